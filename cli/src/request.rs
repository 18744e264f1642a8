//! A request from the command line: which recording, what it brings, where its outputs go.

pub(crate) mod answer;
pub(crate) mod inputs;
pub(crate) mod npy;
pub(crate) mod outputs;

use corn_compiler::diagnostic::nearest;
use corn_plan::{Literal, Plan, Recording, RecordingId};

use crate::failure::Failure;

/// `name=value` of `--in` and `--out`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Splits `name=value`.
pub(crate) fn bindings(option: &str, texts: &[String]) -> Result<Vec<Binding>, Failure> {
    let split = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() && (option == "in" || !value.is_empty()) => {
            Ok(Binding { name: name.trim().to_owned(), value: value.to_owned() })
        }
        _ => Err(Failure::Usage(format!("--{option} {text}: expected --{option} name=value"))),
    };
    texts.iter().map(split).collect()
}

/// The recording that takes exactly what is brought and makes what is asked.
pub(crate) fn choose(
    plan: &Plan,
    route: Option<&str>,
    inputs: &[Binding],
    outputs: &[Binding],
) -> Result<RecordingId, Failure> {
    let of_route: Vec<RecordingId> = plan
        .recordings
        .enumerate()
        .filter(|(_, recording)| route.is_none_or(|route| recording.route == route))
        .map(|(id, _)| id)
        .collect();
    if plan.recordings.is_empty() {
        return Err(Failure::Usage(format!(
            "the program '{}' declares no graph, so there is nothing to run",
            plan.name
        )));
    }
    if of_route.is_empty() {
        let mut routes: Vec<&str> =
            plan.recordings.iter().map(|recording| recording.route.as_str()).collect();
        routes.dedup();
        return Err(Failure::Usage(no_such_route(route.unwrap_or_default(), &routes)));
    }
    // What is asked must be made; what is made beyond it is the least.
    let fitting = of_route.iter().copied().filter(|id| fits(&plan.recordings[*id], inputs, outputs));
    let extra = |id: &RecordingId| plan.recordings[*id].outputs.len();
    fitting.min_by_key(extra).ok_or_else(|| no_route(plan, &of_route, inputs, outputs))
}

/// Says that there is no such route, which there are, and which is nearest.
pub(crate) fn no_such_route(route: &str, routes: &[&str]) -> String {
    let there_is = routes.join(", ");
    match nearest(route, routes.iter().copied()) {
        Some(name) => format!("there is no route '{route}'; did you mean '{name}'? There is {there_is}"),
        None => format!("there is no route '{route}'; there is {there_is}"),
    }
}

fn fits(recording: &Recording, inputs: &[Binding], outputs: &[Binding]) -> bool {
    let takes_all = inputs.iter().all(|given| recording.inputs.iter().any(|input| input.name == given.name));
    let has_all = recording
        .inputs
        .iter()
        .all(|input| input.default.is_some() || inputs.iter().any(|given| given.name == input.name));
    let makes_all =
        outputs.iter().all(|asked| recording.outputs.iter().any(|output| output.name == asked.name));
    // A parameter that decides has the value of this recording, or that is its default.
    let is_decided = recording.inputs.iter().all(|input| {
        let Some(is) = &input.is else { return true };
        match inputs.iter().find(|given| given.name == input.name) {
            Some(given) => written(is) == given.value,
            None => input.default.as_ref() == Some(is),
        }
    });
    takes_all && has_all && makes_all && is_decided
}

/// A literal as a person writes it on the command line.
fn written(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => text.clone(),
        other => other.to_string(),
    }
}

fn no_route(plan: &Plan, of_route: &[RecordingId], inputs: &[Binding], outputs: &[Binding]) -> Failure {
    let names = |bindings: &[Binding]| {
        let mut names: Vec<&str> = bindings.iter().map(|binding| binding.name.as_str()).collect();
        names.dedup();
        if names.is_empty() { "nothing".to_owned() } else { names.join(" + ") }
    };
    let routes: Vec<String> = of_route.iter().map(|id| describe(&plan.recordings[*id])).collect();
    let known = |names: &mut dyn Iterator<Item = &'_ str>, binding: &Binding| -> Option<String> {
        let names: Vec<&str> = names.collect();
        if names.contains(&binding.name.as_str()) {
            return None;
        }
        nearest(&binding.name, names).map(|name| format!("; did you mean '{name}' by '{}'?", binding.name))
    };
    let recordings = || of_route.iter().map(|id| &plan.recordings[*id]);
    let hint = inputs
        .iter()
        .find_map(|given| {
            known(&mut recordings().flat_map(|it| &it.inputs).map(|it| it.name.as_str()), given)
        })
        .or_else(|| {
            let mut asked = outputs.iter();
            asked.find_map(|it| {
                known(&mut recordings().flat_map(|it| &it.outputs).map(|it| it.name.as_str()), it)
            })
        })
        .unwrap_or_default();
    let asked = if outputs.is_empty() { String::new() } else { format!(" and makes {}", names(outputs)) };
    Failure::Usage(format!(
        "no route takes {}{asked}{hint}\nThere is\n  {}",
        names(inputs),
        routes.join("\n  ")
    ))
}

/// A recording as a person asks for it: `talk: --in speech=… --out voice=…`.
fn describe(recording: &Recording) -> String {
    let inputs: Vec<String> = recording
        .inputs
        .iter()
        .map(|input| {
            let name = &input.name;
            let word = recording.values[input.value].ty.kind.word();
            let word = input.is.as_ref().map_or(word.to_owned(), written);
            if input.default.is_some() {
                format!("[--in {name}={word}]")
            } else {
                format!("--in {name}={word}")
            }
        })
        .collect();
    let outputs: Vec<String> = recording
        .outputs
        .iter()
        .map(|output| format!("{} ({})", output.name, recording.values[output.value].ty.kind.word()))
        .collect();
    format!("{}: {} makes {}", recording.route, inputs.join(" "), outputs.join(" + "))
}
