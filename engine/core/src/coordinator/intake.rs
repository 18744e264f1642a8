//! What comes in: the inputs of a request held against its recording and taken apart into its values, and what is
//! known in advance about admitting to it.
//!
//! A conversation comes with its media in it, and a replay has them apart: the conversation with marks where they
//! stood, the media as a list, and of which kind each is, in order.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::{
    Input, InputMedia, Modality, Plan, Program, Recording, RecordingId, StageId, Step, ValueId, all_steps,
};

use crate::datum::{Conversation, Datum, Part as Piece};
use crate::fault::Fault;
use crate::message::{Priority, RequestId, Submission};

/// A request whose inputs are right.
#[derive(Debug)]
pub(super) struct Ask {
    /// The attempt that is under way, or the first.
    pub(super) request: RequestId,
    pub(super) recording: RecordingId,
    /// The values that the inputs of the recording become, defaults filled in, in the order of [`brought`].
    pub(super) inputs: Vec<(ValueId, Datum)>,
    pub(super) deadline_us: Option<u64>,
    pub(super) priority: Priority,
}

/// A stage's part in a recording, as far as admission needs it.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) stage: StageId,
    /// Which of the values that are [`brought`] it takes.
    pub(super) inputs: Vec<usize>,
    /// Whether the coordinator opens it: a stage that receives opens with its first hand-over. One that does so only
    /// inside of blocks may never get any.
    pub(super) is_opened: bool,
    /// The stages that it hands to or receives from.
    pub(super) peers: Vec<StageId>,
}

impl Part {
    fn new(recording: &Recording, program: &Program) -> Self {
        let brought: Vec<ValueId> = recording.inputs.iter().flat_map(brought).collect();
        let takes = |step: &Step| match step {
            Step::Input { value } => brought.iter().position(|brought| brought == value),
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

/// Every input is there, of its type and its choice, with its media, and none too many.
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
        let checked = datum.check_type(ty).and_then(|()| check_media(recording, input, &datum));
        checked.map_err(|problem| Fault::request(format!("input '{name}': {problem}")))?;
        let (count, place) = &mut given[place];
        *count += 1;
        *place = Some(datum);
    }
    let mut inputs = Vec::with_capacity(given.len());
    for (input, (count, datum)) in recording.inputs.iter().zip(given) {
        let datum = datum.or_else(|| input.default.as_ref().map(Datum::from)).filter(|_| count <= 1);
        let datum = datum.ok_or_else(|| {
            let name = &input.name;
            Fault::request(format!("route '{route}' takes input '{name}' once, not {count} times"))
        })?;
        inputs.extend(brought(input).zip(taken_apart(input, datum)));
    }
    let Submission { request, recording, deadline_us, priority, .. } = submission;
    Ok(Ask { request, recording, inputs, deadline_us, priority })
}

/// The media in an input are those of the recording, and within the bounds of those who read them.
fn check_media(recording: &Recording, input: &Input, datum: &Datum) -> Result<(), String> {
    if let Datum::Messages(conversation) = datum {
        let marks = conversation.parts().filter(|part| matches!(part, Piece::Media(_))).count();
        if marks != conversation.media.len() {
            let media = conversation.media.len();
            return Err(format!("a conversation with {marks} marks of media and {media} media"));
        }
    }
    let Some(InputMedia { value, kinds, .. }) = &input.media else { return Ok(()) };
    let brought: BTreeSet<Modality> = kinds_in(datum).collect();
    if brought != kinds.iter().copied().collect() {
        let route = &recording.route;
        let (brought, kinds) = (listed(brought.into_iter()), listed(kinds.iter().copied()));
        return Err(format!("it brings {brought}, and route '{route}' is replayed for {kinds} here"));
    }
    let Some(ty) = value.map(|value| &recording.values[value].ty) else { return Ok(()) };
    let media = media_in(datum);
    if media.len() > ty.max_items() as usize {
        return Err(format!("{} media are over the bound of {}", media.len(), ty.max_items()));
    }
    media.iter().try_for_each(|item| item.check(&ty.kind))
}

fn listed(kinds: impl Iterator<Item = Modality>) -> String {
    let words: Vec<&str> = kinds.map(Modality::name).collect();
    if words.is_empty() { "no media".to_owned() } else { words.join(" and ") }
}

/// The media that an input brings, in order.
fn media_in(datum: &Datum) -> &[Datum] {
    match datum {
        Datum::Messages(conversation) => &conversation.media,
        Datum::List(items) => items,
        _ => &[],
    }
}

/// Of which kind each of the media in an input is.
pub(super) fn kinds_in(datum: &Datum) -> impl Iterator<Item = Modality> {
    media_in(datum).iter().filter_map(Datum::modality)
}

/// The values that an input becomes.
fn brought(input: &Input) -> impl Iterator<Item = ValueId> {
    let media = input.media.iter().flat_map(|media| {
        // A list of media is its own list of media.
        media.order.into_iter().chain(media.value.filter(|value| *value != input.value))
    });
    std::iter::once(input.value).chain(media)
}

/// What they are, in the same order.
fn taken_apart(input: &Input, datum: Datum) -> Vec<Datum> {
    let Some(media) = &input.media else { return vec![without_media(datum)] };
    let order = media.order.map(|_| kinds_in(&datum).map(|kind| Datum::text(kind.name())).collect());
    let list = media.value.filter(|value| *value != input.value).map(|_| media_in(&datum).into());
    let whole = without_media(datum);
    std::iter::once(whole).chain(order.map(Datum::List)).chain(list.map(Datum::List)).collect()
}

fn without_media(datum: Datum) -> Datum {
    match datum {
        Datum::Messages(conversation) if !conversation.media.is_empty() => {
            let messages = conversation.messages.clone();
            Datum::Messages(Conversation { messages, media: Vec::new() }.into())
        }
        other => other,
    }
}
