//! Which recording a request gets: a look-up by what it brings and asks for, by words and truth values that it
//! chooses, and by the kinds of media in it. The verifier has seen that no two recordings answer one request.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::{Input, Kind, Literal, Plan, Recording, RecordingId, Signature};

use crate::datum::Datum;
use crate::fault::Fault;
use crate::intake::kinds_in;

/// A graph, the inputs without a default that are brought, and the outputs that are asked for, both sorted.
type Asked = (String, Vec<String>, Vec<String>);

/// The recordings of a plan, by what decides before anything of a request is looked into.
#[derive(Debug)]
pub(crate) struct Routes {
    by_asked: BTreeMap<Asked, Vec<RecordingId>>,
    /// Graphs and inputs of them whose media some recording looks at.
    looked_at: BTreeSet<(String, String)>,
}

impl Routes {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut by_asked: BTreeMap<Asked, Vec<RecordingId>> = BTreeMap::new();
        let mut looked_at = BTreeSet::new();
        for (id, recording) in plan.recordings.enumerate() {
            by_asked.entry(asked(&recording.signature())).or_default().push(id);
            let inputs = recording.inputs.iter().filter(|input| input.media.is_some());
            looked_at.extend(inputs.map(|input| (recording.graph.clone(), input.name.clone())));
        }
        Self { by_asked, looked_at }
    }

    pub(crate) fn look_up(&self, plan: &Plan, signature: &Signature) -> Result<RecordingId, Fault> {
        let alike = self.by_asked.get(&asked(signature)).into_iter().flatten();
        let fitting = alike.filter(|id| {
            let recording = &plan.recordings[**id];
            is_chosen(recording, signature) && self.takes_media(recording, signature)
        });
        // One that looks at media knows which there are; one that does not takes any.
        let looks = |id: &&RecordingId| {
            plan.recordings[**id].inputs.iter().filter(|input| input.media.is_some()).count()
        };
        fitting.max_by_key(looks).copied().ok_or_else(|| self.no_recording(plan, signature))
    }

    /// Whether the media that are brought are those that `recording` is for. One that does not look at them takes
    /// them only if another of its graph does: what no route ever looks at is not dropped silently.
    fn takes_media(&self, recording: &Recording, signature: &Signature) -> bool {
        recording.inputs.iter().all(|input| {
            let brought = kinds_of(signature, &input.name);
            match &input.media {
                Some(media) => brought == media.kinds.iter().map(|kind| kind.name()).collect(),
                None => {
                    brought.is_empty()
                        || self.looked_at.contains(&(recording.graph.clone(), input.name.clone()))
                }
            }
        })
    }

    fn no_recording(&self, plan: &Plan, asked_for: &Signature) -> Fault {
        let recordings = || plan.recordings.iter().filter(|recording| recording.graph == asked_for.graph);
        if recordings().next().is_none() {
            let graphs: BTreeSet<&str> =
                plan.recordings.iter().map(|recording| recording.graph.as_str()).collect();
            let graphs: Vec<&str> = graphs.into_iter().collect();
            let (graph, graphs) = (&asked_for.graph, graphs.join(", "));
            return Fault::request(format!("there is no graph '{graph}'; there is {graphs}"));
        }
        // What one route lacks or has too much of is said by listing the routes that come nearest.
        let distance = |signature: &Signature| {
            let missing = |ours: &[String], theirs: &[String]| {
                ours.iter().filter(|name| !theirs.contains(name)).count()
            };
            let choices = &signature.choices;
            missing(&signature.inputs, &asked_for.inputs)
                + missing(&asked_for.inputs, &signature.inputs)
                + missing(&signature.outputs, &asked_for.outputs)
                + missing(&asked_for.outputs, &signature.outputs)
                + choices.iter().filter(|choice| !asked_for.choices.contains(choice)).count()
        };
        let mut nearest: Vec<Signature> = recordings().map(Recording::signature).collect();
        nearest.sort_by_cached_key(|signature| (distance(signature), signature.clone()));
        let nearest: Vec<String> = nearest.iter().take(3).map(|signature| format!("  {signature}")).collect();
        let (nearest, untaken) = (nearest.join("\n"), self.untaken(plan, asked_for));
        Fault::request(format!("no route takes {asked_for}; the nearest are\n{nearest}{untaken}"))
    }

    /// Says of a kind of media that no route for these inputs and outputs takes which routes do.
    fn untaken(&self, plan: &Plan, asked_for: &Signature) -> String {
        let alike: Vec<RecordingId> =
            self.by_asked.get(&asked(asked_for)).into_iter().flatten().copied().collect();
        let takes = |recording: &Recording, name: &String| recording.signature().inputs.contains(name);
        let kinds = asked_for.inputs.iter().filter(|name| name.contains('.'));
        let untaken = kinds.filter(|name| !alike.iter().any(|id| takes(&plan.recordings[*id], name)));
        let said = untaken.map(|name| {
            let (input, kind) = name.split_once('.').unwrap_or((name, ""));
            let of_graph = plan.recordings.iter().filter(|recording| recording.graph == asked_for.graph);
            let takers = of_graph.filter(|recording| takes(recording, name));
            let routes: BTreeSet<&str> = takers.map(|recording| recording.route.as_str()).collect();
            let routes: Vec<&str> = routes.into_iter().collect();
            match routes.as_slice() {
                [] => format!("\n{kind} in '{input}' is taken by no route"),
                routes => format!("\n{kind} in '{input}' is taken by {}", routes.join(", ")),
            }
        });
        said.collect()
    }
}

/// What is looked up for a request that brings `inputs` and asks for `outputs` of `graph`.
pub(crate) fn signature(
    plan: &Plan,
    graph: &str,
    inputs: &[(String, Datum)],
    outputs: &[String],
) -> Signature {
    let of_graph = || plan.recordings.iter().filter(|recording| recording.graph == graph);
    let declared = |name: &str| {
        let named = of_graph()
            .flat_map(move |recording| recording.inputs.iter().map(move |input| (recording, input)));
        let name = name.to_owned();
        named.filter(move |(_, input)| input.name == name)
    };
    let mut signature = Signature {
        graph: graph.to_owned(),
        inputs: Vec::new(),
        choices: Vec::new(),
        outputs: outputs.to_vec(),
    };
    for (name, datum) in inputs {
        if declared(name).all(|(_, input)| input.default.is_none()) {
            signature.inputs.push(name.clone());
        }
        let brings_media = |(recording, input): (&Recording, &Input)| {
            matches!(recording.values[input.value].ty.kind, Kind::Media { .. } | Kind::Messages { .. })
        };
        if declared(name).any(brings_media) {
            let kinds: BTreeSet<_> = kinds_in(datum).collect();
            signature.inputs.extend(kinds.iter().map(|kind| format!("{name}.{}", kind.name())));
        }
        if declared(name).any(|(_, input)| input.is.is_some())
            && let Some(choice) = chosen(datum)
        {
            signature.choices.push((name.clone(), choice.to_string()));
        }
    }
    signature.inputs.sort();
    signature.choices.sort();
    signature.outputs.sort();
    signature
}

/// What a signature asks apart from kinds of media and choices.
fn asked(signature: &Signature) -> Asked {
    let inputs = signature.inputs.iter().filter(|name| !name.contains('.')).cloned().collect();
    (signature.graph.clone(), inputs, signature.outputs.clone())
}

fn kinds_of<'s>(signature: &'s Signature, input: &str) -> BTreeSet<&'s str> {
    let kinds = signature.inputs.iter().filter_map(|name| name.split_once('.'));
    kinds.filter(|(name, _)| *name == input).map(|(_, kind)| kind).collect()
}

/// Whether what decides is as `recording` has it.
fn is_chosen(recording: &Recording, signature: &Signature) -> bool {
    recording.inputs.iter().all(|input| {
        let Some(is) = &input.is else { return true };
        match signature.choices.iter().find(|(name, _)| *name == input.name) {
            Some((_, choice)) => *choice == is.to_string(),
            None => input.default.as_ref() == Some(is),
        }
    })
}

/// A word or truth value, as a recording names it.
fn chosen(datum: &Datum) -> Option<Literal> {
    match datum {
        Datum::Bool(value) => Some(Literal::Bool(*value)),
        Datum::Text(word) => Some(Literal::Text(word.to_string())),
        _ => None,
    }
}
