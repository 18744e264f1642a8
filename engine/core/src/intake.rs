//! What a request brings, held against its recording and taken apart into the values of its inputs.
//!
//! A conversation comes with its media in it, and a replay has them apart: the conversation with marks where they
//! stood, the media as a list, and of which kind each is, in order.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::plan::InputMedia;
use corn_plan::{Input, Modality, Recording, ValueId};

use crate::datum::{Conversation, Datum, Part};
use crate::fault::Fault;

/// Every input is there, of its type and its choice, with its media, and none too many.
pub(crate) fn check(recording: &Recording, inputs: &[(String, Datum)]) -> Result<(), Fault> {
    let route = &recording.route;
    for (name, datum) in inputs {
        let Some(input) = recording.inputs.iter().find(|input| input.name == *name) else {
            let inputs: Vec<&str> = recording.inputs.iter().map(|input| input.name.as_str()).collect();
            let inputs = inputs.join(", ");
            return Err(Fault::request(format!(
                "route '{route}' takes no input '{name}'; it takes {inputs}"
            )));
        };
        if let Some(is) = input.is.as_ref().filter(|is| Datum::from(*is) != *datum) {
            return Err(Fault::request(format!("route '{route}' is replayed for {name}: {is} here")));
        }
        let ty = &recording.values[input.value].ty;
        datum
            .check_type(ty)
            .and_then(|()| check_media(recording, input, datum))
            .map_err(|problem| Fault::request(format!("input '{name}': {problem}")))?;
    }
    for input in &recording.inputs {
        let given = inputs.iter().filter(|(name, _)| *name == input.name).count();
        if given > 1 || (given == 0 && input.default.is_none()) {
            let name = &input.name;
            return Err(Fault::request(format!(
                "route '{route}' takes input '{name}' once, not {given} times"
            )));
        }
    }
    Ok(())
}

/// The media in an input are those of the recording, and within the bounds of those who read them.
fn check_media(recording: &Recording, input: &Input, datum: &Datum) -> Result<(), String> {
    if let Datum::Messages(conversation) = datum {
        let marks = conversation.parts().filter(|part| matches!(part, Part::Media(_))).count();
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
pub(crate) fn kinds_in(datum: &Datum) -> impl Iterator<Item = Modality> {
    media_in(datum).iter().filter_map(Datum::modality)
}

/// The values of all inputs of `recording`, for inputs that [`check`] has passed.
pub(crate) fn values(recording: &Recording, inputs: &[(String, Datum)]) -> BTreeMap<ValueId, Datum> {
    let mut values = BTreeMap::new();
    for input in &recording.inputs {
        let given = inputs.iter().find(|(name, _)| *name == input.name).map(|(_, datum)| datum.clone());
        let datum = given.or_else(|| input.default.as_ref().map(Datum::from));
        let datum = datum.expect("the check found it given or with a default");
        if let Some(media) = &input.media {
            let words = kinds_in(&datum).map(|kind| Datum::text(kind.name()));
            values.extend(media.order.map(|order| (order, Datum::List(words.collect()))));
            values.extend(media.value.map(|value| (value, Datum::List(media_in(&datum).into()))));
        }
        values.insert(input.value, without_media(datum));
    }
    values
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
