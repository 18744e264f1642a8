//! Whether a route has the types that an endpoint brings and wants.

use corn_plan::endpoint::{Face, Misfit, Part};

use crate::analyze::context::Context;
use crate::diagnostic::semantic::serve;
use crate::graph::{Asks, Graph, Input, Output, Route};
use crate::source::Span;

/// Inputs that requests on `route` may bring, those with a default left out, and whether each may be absent.
pub(super) fn brought<'g>(route: &Route, graph: &'g Graph) -> Vec<(&'g Input, bool)> {
    let inputs = (0u32..).zip(&graph.inputs).filter(|(_, input)| input.default.is_none());
    match &route.asks {
        Asks::Exactly { present, maybe, pinned, .. } => inputs
            .filter(|(position, _)| !pinned.contains_key(position))
            .filter(|(position, input)| {
                present.contains(position) || maybe.contains(position) || !input.optional
            })
            .map(|(position, input)| (input, maybe.contains(&position)))
            .collect(),
        Asks::Everything => inputs.map(|(_, input)| (input, input.optional)).collect(),
    }
}

/// Outputs that requests on `route` get, and whether each only if asked for.
pub(super) fn made<'g>(route: &Route, graph: &'g Graph) -> Vec<(&'g Output, bool)> {
    let outputs = (0u32..).zip(&graph.outputs);
    match &route.asks {
        Asks::Exactly { outputs: asked, .. } => outputs
            .filter(|(position, _)| asked.contains(position))
            .map(|(_, output)| (output, false))
            .collect(),
        Asks::Everything => outputs.map(|(_, output)| (output, output.optional)).collect(),
    }
}

impl Context<'_> {
    /// Reports what keeps `route` from answering `face`, written as `shown` at `span`.
    pub(super) fn fits_endpoint(
        &mut self,
        face: &Face,
        with: &[String],
        shown: &str,
        route: &Route,
        span: Span,
    ) {
        let graph = &self.program.graphs[route.graph];
        let brought = brought(route, graph);
        let made = made(route, graph);
        let takes = |wanted: bool| {
            let some = brought.iter().filter(move |(_, maybe)| *maybe == wanted);
            some.map(|(input, _)| part(&input.name, &graph.values[input.value].ty))
        };
        let always: Vec<Part<'_>> = made
            .iter()
            .filter(|(_, maybe)| !maybe)
            .map(|(output, _)| part(&output.name, &graph.values[output.value].ty))
            .collect();
        let all: Vec<Part<'_>> =
            made.iter().map(|(output, _)| part(&output.name, &graph.values[output.value].ty)).collect();
        // A graph without `route` lines makes some outputs only if asked: the endpoint asks for what it wants.
        let misfits = [always, all]
            .into_iter()
            .map(|outputs| {
                let misfits = |inputs: &[Part<'_>]| face.misfits(with, inputs, &outputs);
                fewest(takes(false).collect(), takes(true), misfits)
            })
            .min_by_key(Vec::len)
            .unwrap_or_default();
        let needs = serve::endpoint_needs(shown, &face.takes_words(), &face.makes_words(with));
        if misfits.is_empty() {
            return;
        }
        let (why, about): (Vec<String>, Vec<(Span, String)>) =
            misfits.iter().map(|misfit| said(misfit, graph, route)).unzip();
        let problem = serve::wrong_types(shown, &route.name, &why.join("; "), &needs, span, about);
        self.found.push(problem);
    }
}

/// The misfits with `always` and those of `perhaps` that mend some or make none: what may be absent, and is nothing
/// that the endpoint brings, is absent there.
fn fewest<'p>(
    mut always: Vec<Part<'p>>,
    perhaps: impl Iterator<Item = Part<'p>>,
    misfits: impl Fn(&[Part<'p>]) -> Vec<Misfit>,
) -> Vec<Misfit> {
    let mut least = misfits(&always);
    for part in perhaps {
        always.push(part);
        let found = misfits(&always);
        if found.len() <= least.len() {
            least = found;
        } else {
            always.pop();
        }
    }
    least
}

const fn part<'p>(name: &'p str, ty: &'p corn_plan::Type) -> Part<'p> {
    Part { name, ty, has_default: false }
}

/// What is wrong, and the declaration that it is about.
fn said(misfit: &Misfit, graph: &Graph, route: &Route) -> (String, (Span, String)) {
    let declared = |name: &str| {
        let input = graph.inputs.iter().find(|input| input.name == *name);
        let input = input.map(|input| (input.span, input.value));
        let output = graph.outputs.iter().find(|output| output.name == *name);
        input.or(output.map(|output| (output.span, output.value)))
    };
    let labelled = |name: &str| match declared(name) {
        Some((span, value)) => (span, format!("`{name}` is `{}`", graph.values[value].ty)),
        None => (route.span, "declared here".to_owned()),
    };
    match misfit {
        Misfit::NeverBrought { input } => {
            (format!("it never brings `{input}`, which has no default"), labelled(input))
        }
        Misfit::NotTaken { what } => {
            (format!("it brings {what}, and no input takes that"), (route.span, "this route".to_owned()))
        }
        Misfit::NotSent { output } => (format!("it cannot send `{output}`"), labelled(output)),
        Misfit::NotMade { what } => {
            (format!("it wants {what}, and no output is that"), (route.span, "this route".to_owned()))
        }
    }
}
