//! `workload`: how often requests come, what they ask and bring, and what must hold.

use corn_plan::{Form, Kind, Type};

use crate::analyze::context::Context;
use crate::analyze::deploy::endpoint::{brought, made};
use crate::diagnostic::semantic::{self, Candidate};
use crate::graph::deploy::{Amount, Brings, Measure, Share, Target, Workload};
use crate::graph::{Graph, GraphId, Input};
use crate::source::Span;
use crate::syntax::ast::deploy::{self as ast, WorkloadLine};
use crate::syntax::ast::{Expr, ExprKind};

/// What can be measured.
const MEASURES: [(&str, Measure); 3] =
    [("first", Measure::First), ("gap", Measure::Gap), ("last", Measure::Last)];
/// Shares are added up to so much of 100%.
const ROUNDING: f64 = 0.01;

impl Context<'_> {
    pub(super) fn workload(&mut self, block: &ast::Workload) {
        let Some(graph) = self.graph_named(&block.graph) else { return };
        let named = |other: &&Workload| other.name == block.name.text;
        if let Some(first) = self.program.deployment.workloads.iter().find(named).map(|first| first.span) {
            let what = format!("workload `{}`", block.name.text);
            self.report(semantic::serve::workload_says_twice(&what, block.name.span, first));
        }
        let mut made = Workload {
            name: block.name.text.clone(),
            span: block.name.span,
            graph,
            rate_per_s: 0.0,
            burst: 1.0,
            shares: Vec::new(),
            targets: Vec::new(),
        };
        let mut rated: Option<Span> = None;
        let mut shares: Vec<(String, Span)> = Vec::new();
        let mut aims: Vec<Span> = Vec::new();
        let mut whole = true;
        for line in &block.lines {
            match line {
                WorkloadLine::Rate { rate, burst, span } => {
                    if let Some(first) = rated.replace(*span) {
                        self.report(semantic::serve::workload_says_twice("`rate`", *span, first));
                    }
                    made.rate_per_s = self.rate_per_s(rate).unwrap_or(0.0);
                    let burst = burst.as_ref().map(|burst| self.number_from(burst, 1.0, "`burst`"));
                    made.burst = burst.flatten().unwrap_or(1.0);
                }
                WorkloadLine::Share { route, share, brings, span } => {
                    if let Some((_, first)) = shares.iter().find(|(other, _)| *other == route.text) {
                        let what = format!("the share of `{}`", route.text);
                        self.report(semantic::serve::workload_says_twice(&what, *span, *first));
                        continue;
                    }
                    shares.push((route.text.clone(), *span));
                    match self.share(route, share, brings, graph, *span) {
                        Some(share) => made.shares.push(share),
                        None => whole = false,
                    }
                }
                WorkloadLine::Targets { targets, .. } => {
                    for target in targets {
                        let Some(found) = self.target(target, graph) else { continue };
                        self.add_target(found, target.span, &mut made.targets, &mut aims);
                    }
                }
                WorkloadLine::Error(_) => whole = false,
            }
        }
        if rated.is_none() && whole {
            self.report(semantic::serve::no_rate(&block.name));
        }
        let sum: f64 = made.shares.iter().fold(0.0, |sum, share| sum + share.percent);
        if whole && (sum - 100.0).abs() > ROUNDING {
            let span = shares.first().map_or(block.name.span, |(_, span)| *span);
            self.report(semantic::serve::shares_do_not_add_up(&format!("{sum}"), span));
        }
        self.program.deployment.workloads.push(made);
    }

    fn share(
        &mut self,
        route: &crate::syntax::ast::Name,
        share: &Expr,
        brings: &[ast::Brings],
        graph: GraphId,
        span: Span,
    ) -> Option<Share> {
        let percent = self.percent(share);
        let position = self.route_named(route, graph)?;
        let route = self.program.routes[position].clone();
        let mut said: Vec<(&str, Span)> = Vec::new();
        let mut made = Vec::new();
        for one in brings {
            if let Some((_, first)) = said.iter().find(|(other, _)| *other == one.input.text) {
                let what = format!("`{}`", one.input.text);
                self.report(semantic::serve::workload_says_twice(&what, one.span, *first));
                continue;
            }
            said.push((&one.input.text, one.span));
            made.extend(self.brings(one, &route));
        }
        self.left_out(&said, &route, span);
        Some(Share { route: route.name, percent: percent?, brings: made })
    }

    /// Reports inputs that every request on `route` brings and of which `said` does not say how much.
    fn left_out(&mut self, said: &[(&str, Span)], route: &crate::graph::Route, span: Span) {
        let graph = &self.program.graphs[route.graph];
        let inputs = brought(route, graph);
        let is_said = |name: &str| said.iter().any(|(other, _)| *other == name);
        let is_input = |name: &str| inputs.iter().any(|(input, _)| input.name == name);
        let in_messages = |name: &str| in_messages(name, &inputs, graph).is_some();
        // What has a name that no input has was probably meant for one that seems to be left out.
        if said.iter().any(|(name, _)| !is_input(name) && !in_messages(name)) {
            return;
        }
        let mut problems = Vec::new();
        for (input, _) in inputs.iter().filter(|(input, maybe)| !maybe && !is_said(&input.name)) {
            let ty = &graph.values[input.value].ty;
            let example = match (&ty.kind, ty.form) {
                (_, Form::List { max }) => format!("{} 1..{max}", input.name),
                (Kind::Text { max_bytes }, _) => {
                    format!("{} {}..{}", input.name, max_bytes.min(&100), max_bytes.min(&400))
                }
                (Kind::Audio { max_ms, .. }, _) if *max_ms < 15_000 => format!("{} {max_ms}ms", input.name),
                (Kind::Audio { .. }, _) => format!("{} 3s..15s", input.name),
                (Kind::Messages { .. }, _) if !IN_MESSAGES.iter().any(|word| is_said(word)) => {
                    "prompt 100..400".to_owned()
                }
                // There is one of it, whatever it is.
                _ => continue,
            };
            let problem = semantic::serve::left_out(&input.name, &route.name, &example, span, input.span);
            problems.push(problem);
        }
        self.found.extend(problems);
    }

    /// Adds a target; one that was said before, or that says another duration for the same, is reported.
    fn add_target(&mut self, target: Target, span: Span, targets: &mut Vec<Target>, spans: &mut Vec<Span>) {
        let is_same = |other: &Target| {
            let what = (&other.route, &other.output, other.measure, other.percentile);
            what == (&target.route, &target.output, target.measure, target.percentile)
        };
        let Some(first) = targets.iter().position(is_same) else {
            targets.push(target);
            spans.push(span);
            return;
        };
        let word =
            MEASURES.iter().find(|(_, measure)| *measure == target.measure).map_or("", |(word, _)| word);
        let what = format!("`{}.{} {word}` for p{}", target.route, target.output, target.percentile);
        self.report(semantic::serve::target_twice(&what, span, spans[first]));
    }

    fn brings(&mut self, one: &ast::Brings, route: &crate::graph::Route) -> Option<Brings> {
        let graph = &self.program.graphs[route.graph];
        let inputs = brought(route, graph);
        if let Some(ty) = in_messages(&one.input.text, &inputs, graph) {
            let amount = self.amount_of(one, &ty, one.span);
            let percent = one.share.as_ref().map_or(Some(100.0), |share| self.percent(share));
            return Some(Brings { input: one.input.text.clone(), amount: amount?, percent: percent? });
        }
        let Some((input, maybe)) = inputs.iter().find(|(input, _)| input.name == one.input.text) else {
            let mut known: Vec<Candidate> =
                inputs.iter().map(|(input, _)| Candidate::at(&input.name, input.span)).collect();
            let words = IN_MESSAGES.iter().filter(|word| in_messages(word, &inputs, graph).is_some());
            known.extend(words.map(|word| Candidate::named(word)));
            self.report(semantic::serve::unknown_input(&one.input, &route.name, &known));
            return None;
        };
        let (declared, maybe) = (input.span, *maybe);
        let ty = graph.values[input.value].ty.clone();
        let amount = self.amount_of(one, &ty, declared);
        let percent = match &one.share {
            Some(share) if !maybe => {
                self.report(semantic::serve::always_brought(&one.input.text, share.span, declared));
                None
            }
            Some(share) => self.percent(share),
            None => Some(100.0),
        };
        Some(Brings { input: one.input.text.clone(), amount: amount?, percent: percent? })
    }

    fn amount_of(&mut self, one: &ast::Brings, ty: &corn_plan::Type, declared: Span) -> Option<Amount> {
        let last = one.most.as_ref().unwrap_or(&one.least);
        let span = one.least.span.to(last.span);
        let is_sound = matches!((&ty.kind, ty.form), (Kind::Audio { .. }, Form::Value));
        let (least, most) = if is_sound {
            let is_duration = |expr: &Expr| matches!(&expr.kind, ExprKind::Quantity { unit, .. } if ["ms", "s", "min"].contains(&unit.as_str()));
            if !is_duration(&one.least) || !is_duration(last) {
                let takes = "a duration, such as `3s` or `3s..15s`";
                self.report(semantic::serve::wrong_amount(&one.input.text, takes, span, declared));
                return None;
            }
            (self.millis(&one.least, "a sound")?, self.millis(last, "a sound")?)
        } else {
            let count = |expr: &Expr| match expr.kind {
                ExprKind::Int(count) => u64::try_from(count).ok(),
                _ => None,
            };
            let (Some(least), Some(most)) = (count(&one.least), count(last)) else {
                let takes = match (&ty.kind, ty.form) {
                    (Kind::Text { .. }, Form::Value) => "tokens, such as `400` or `400..2000`",
                    _ => "a whole number, such as `1` or `1..4`",
                };
                self.report(semantic::serve::wrong_amount(&one.input.text, takes, span, declared));
                return None;
            };
            (least, most)
        };
        if least > most {
            self.report(semantic::serve::empty_range(span));
            return None;
        }
        let over = match (&ty.kind, ty.form) {
            (Kind::Audio { max_ms, .. }, Form::Value) if most > *max_ms => {
                Some(format!("{}s", *max_ms as f64 / 1e3))
            }
            (_, Form::List { max }) if most > u64::from(max) => Some(max.to_string()),
            // A token is at least one byte of a text.
            (Kind::Text { max_bytes }, Form::Value) if most > *max_bytes => {
                Some(format!("{max_bytes} tokens"))
            }
            (Kind::Image { .. }, Form::Value) if most > 1 => Some("1".to_owned()),
            _ => None,
        };
        if let Some(bound) = over {
            self.report(semantic::serve::over_the_bound(&one.input.text, &bound, span, declared));
            return None;
        }
        Some(if is_sound { Amount::Millis { least, most } } else { Amount::Count { least, most } })
    }

    fn target(&mut self, target: &ast::Target, graph: GraphId) -> Option<Target> {
        let within_ms = self.millis(&target.within, "a target");
        let measure = MEASURES.iter().find(|(word, _)| *word == target.measure.text).map(|(_, it)| *it);
        if measure.is_none() {
            let known = MEASURES.map(|(word, _)| Candidate::named(word));
            self.report(semantic::serve::unknown_measure(&target.measure, &known));
        }
        let percentile = target.percentile.text.strip_prefix('p').and_then(|digits| digits.parse().ok());
        let percentile = percentile.filter(|percentile| (1..=99u8).contains(percentile));
        if percentile.is_none() {
            self.report(semantic::serve::unknown_percentile(&target.percentile));
        }
        let position = self.route_named(&target.route, graph)?;
        let route = &self.program.routes[position];
        let graph = &self.program.graphs[graph];
        let outputs = made(route, graph);
        let Some((output, _)) = outputs.iter().find(|(output, _)| output.name == target.output.text) else {
            let known: Vec<Candidate> =
                outputs.iter().map(|(output, _)| Candidate::at(&output.name, output.span)).collect();
            let problem = semantic::serve::unknown_target_output(&target.output, &route.name, &known);
            self.report(problem);
            return None;
        };
        if measure == Some(Measure::Gap) && !graph.values[output.value].ty.is_stream() {
            let problem = semantic::serve::gap_of_a_whole(&output.name, target.measure.span, output.span);
            self.report(problem);
            return None;
        }
        Some(Target {
            route: target.route.text.clone(),
            output: target.output.text.clone(),
            measure: measure?,
            within_ms: within_ms?,
            percentile: percentile?,
        })
    }
}

/// What a workload may say that a conversation holds.
const IN_MESSAGES: [&str; 4] = ["prompt", "images", "speech", "video"];

/// What a conversation holds, by the names that a workload has for it: tokens of its texts, pictures, sounds and
/// videos. `None` if the route takes no conversation, or `name` is an input of its own.
fn in_messages(name: &str, inputs: &[(&Input, bool)], graph: &Graph) -> Option<Type> {
    let most = inputs.iter().find_map(|(input, _)| match graph.values[input.value].ty.kind {
        Kind::Messages { max_parts } => Some(max_parts),
        _ => None,
    })?;
    if inputs.iter().any(|(input, _)| input.name == name) {
        return None;
    }
    match name {
        "prompt" => Some(Type::value(Kind::Text { max_bytes: u64::MAX })),
        "images" => Some(Type::list(Kind::Image { max_bytes: 0 }, most)),
        "speech" | "video" => Some(Type::value(Kind::Audio { rate_hz: None, max_ms: u64::MAX })),
        _ => None,
    }
}
