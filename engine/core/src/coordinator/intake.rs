//! What comes in: recordings looked up by signature, the inputs of a request held against its recording, and
//! what is known in advance about admitting to it.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::{Plan, Program, Recording, RecordingId, Signature, StageId, Step, ValueId, all_steps};

use crate::datum::Datum;
use crate::fault::Fault;
use crate::message::{Priority, RequestId, Submission};

/// A request whose inputs are right.
#[derive(Debug)]
pub(super) struct Ask {
    /// The attempt that is under way, or the first.
    pub(super) request: RequestId,
    pub(super) recording: RecordingId,
    /// One for each input of the recording, defaults filled in.
    pub(super) inputs: Vec<Datum>,
    pub(super) deadline_us: Option<u64>,
    pub(super) priority: Priority,
}

/// A stage's part in a recording, as far as admission needs it.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) stage: StageId,
    /// The recording's inputs that it takes, by their place, and the values they become.
    pub(super) inputs: Vec<(usize, ValueId)>,
    /// Whether the coordinator opens it: a stage that only receives opens with its first hand-over.
    pub(super) is_opened: bool,
    /// The stages that it hands to or receives from.
    pub(super) peers: Vec<StageId>,
}

impl Part {
    fn new(recording: &Recording, program: &Program) -> Self {
        let place = |value| recording.inputs.iter().position(|input| input.value == value);
        let takes = |step: &Step| match step {
            Step::Input { value } => place(*value).map(|place| (place, *value)),
            _ => None,
        };
        let inputs: Vec<_> = program.steps.iter().filter_map(takes).collect();
        let receives = program.steps.iter().any(|step| matches!(step, Step::Recv { .. }));
        let peer = |step: &Step| match step {
            Step::Send { to, .. } => Some(*to),
            Step::Recv { from, .. } => Some(*from),
            _ => None,
        };
        let peers: BTreeSet<StageId> = all_steps(&program.steps).into_iter().filter_map(peer).collect();
        Self {
            stage: program.stage,
            is_opened: !inputs.is_empty() || !receives,
            inputs,
            peers: peers.into_iter().collect(),
        }
    }
}

/// The parts of every recording, in order of the recordings.
pub(super) fn parts(plan: &Plan) -> Vec<Vec<Part>> {
    let of = |recording: &Recording| {
        recording.programs.iter().map(|program| Part::new(recording, program)).collect()
    };
    plan.recordings.iter().map(of).collect()
}

/// Every input is there, of its type, and none too many.
pub(super) fn check(recording: &Recording, submission: Submission) -> Result<Ask, Fault> {
    let route = &recording.route;
    let names = recording.inputs.iter().enumerate().map(|(place, input)| (input.name.as_str(), place));
    let places: BTreeMap<&str, usize> = names.collect();
    let mut given: Vec<(usize, Option<Datum>)> = vec![(0, None); recording.inputs.len()];
    for (name, datum) in submission.inputs {
        let Some(place) = places.get(name.as_str()).copied() else {
            let inputs: Vec<&str> = recording.inputs.iter().map(|input| input.name.as_str()).collect();
            let inputs = inputs.join(", ");
            return Err(Fault::request(format!(
                "route '{route}' takes no input '{name}'; it takes {inputs}"
            )));
        };
        let input = &recording.inputs[place];
        if let Some(is) = input.is.as_ref().filter(|is| Datum::from(*is) != datum) {
            return Err(Fault::request(format!("route '{route}' is replayed for {name}: {is} here")));
        }
        let ty = &recording.values[input.value].ty;
        datum.check_type(ty).map_err(|problem| Fault::request(format!("input '{name}': {problem}")))?;
        let (count, place) = &mut given[place];
        *count += 1;
        *place = Some(datum);
    }
    let mut inputs = Vec::with_capacity(given.len());
    for (input, (count, datum)) in recording.inputs.iter().zip(given) {
        let datum = datum.or_else(|| input.default.as_ref().map(Datum::from)).filter(|_| count <= 1);
        inputs.push(datum.ok_or_else(|| {
            let name = &input.name;
            Fault::request(format!("route '{route}' takes input '{name}' once, not {count} times"))
        })?);
    }
    let Submission { request, recording, deadline_us, priority, .. } = submission;
    Ok(Ask { request, recording, inputs, deadline_us, priority })
}

/// Says that there is no recording for what was asked, and which come nearest.
pub(super) fn no_recording(known: &BTreeMap<Signature, RecordingId>, asked: &Signature) -> Fault {
    let of_graph = || known.keys().filter(|signature| signature.graph == asked.graph);
    if of_graph().next().is_none() {
        let graphs: BTreeSet<&str> = known.keys().map(|signature| signature.graph.as_str()).collect();
        let graphs: Vec<&str> = graphs.into_iter().collect();
        let graphs = graphs.join(", ");
        return Fault::request(format!("there is no graph '{}'; there is {graphs}", asked.graph));
    }
    // What one route lacks or has too much of is said by listing the routes that come nearest.
    let distance = |signature: &Signature| {
        let count =
            |ours: &[String], theirs: &[String]| ours.iter().filter(|name| !theirs.contains(name)).count();
        count(&signature.inputs, &asked.inputs)
            + count(&asked.inputs, &signature.inputs)
            + count(&signature.outputs, &asked.outputs)
            + count(&asked.outputs, &signature.outputs)
    };
    let mut nearest: Vec<&Signature> = of_graph().collect();
    nearest.sort_by_key(|signature| distance(signature));
    let nearest: Vec<String> = nearest.iter().take(3).map(|signature| format!("  {signature}")).collect();
    Fault::request(format!("no route takes {asked}; the nearest are\n{}", nearest.join("\n")))
}
