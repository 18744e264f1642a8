//! What an answer is made from: the items of a conversation as the inputs of a recording.
//!
//! A graph that takes conversations (`messages`) gets as many of the newest items as it has room for, and the
//! instructions before them. Any other gets what was said since the last answer: its texts, its sounds as one, and
//! its pictures.

use axum::body::Bytes;
use corn_core::datum::Role;
use corn_plan::types::PART_MAX_BYTES;
use corn_plan::{Kind, Modality};

use super::item::{Item, Part};
use super::settings::Settings;
use super::voice::RATE_HZ;
use crate::Request;
use crate::http::bring;
use crate::http::media::{Content, Medium};
use crate::http::models::{Choice, Model};
use crate::http::refusal::Refusal;
use crate::http::talk::{Said, Turn};
use crate::http::usage::Used;

/// Longest sound of a user that is kept, whatever a graph takes.
const MAX_SOUND_MS: u64 = 10 * 60_000;

/// What chats call what a session's client knows as the conversation.
const CHAT: &str = "messages";
const CONVERSATION: &str = "conversation";

/// The longest sound that the model takes at once; zero if it takes none.
pub(super) fn longest_ms(model: Model<'_>, with: Option<&str>) -> u64 {
    let longest = |choice: Choice<'_>| {
        let word = ["audio", "messages", "media"].into_iter().find(|word| choice.input(word).is_some());
        match word.map(|word| choice.media_type(word).0.medium(Modality::Audio)) {
            Some(Kind::Audio { max_ms, .. }) if choice.has_room_for(Modality::Audio) => max_ms,
            _ => 0,
        }
    };
    let longest = model.choices(with).map(longest).max().unwrap_or(0);
    longest.min(model.limits().audio_ms.unwrap_or(MAX_SOUND_MS)).min(MAX_SOUND_MS)
}

/// What the model is told, and that it takes it.
pub(super) fn turns<'i>(
    model: Model<'_>,
    settings: &Settings,
    items: impl DoubleEndedIterator<Item = &'i Item>,
) -> Result<Vec<Turn>, Refusal> {
    let with = settings.with();
    if !model.takes(with, "messages") {
        let turns = vec![latest(model, items)?];
        return choose(model, with, &turns).map(|_| turns);
    }
    let mut kept = newest(model, settings, items);
    kept.reverse();
    loop {
        // Who answers first has nothing to answer to.
        let answers = kept.iter().take_while(|item| item.role == Role::Assistant).count();
        kept.drain(..answers);
        let said = pieces(&settings.instructions).map(|piece| Said::Text(piece.to_owned()));
        let instructions = Turn { role: Role::System, said: said.collect() };
        let turns: Vec<Turn> =
            std::iter::once(instructions).chain(kept.iter().copied().map(turn)).filter(has_said).collect();
        if turns.is_empty() {
            return Err(nothing_said());
        }
        match choose(model, with, &turns) {
            Ok(_) => return Ok(turns),
            Err(refusal) if kept.len() <= 1 => return Err(refusal),
            // Another recording may take what is left.
            Err(_) => kept.drain(..1),
        };
    }
}

/// The recording that takes these turns.
fn choose<'p>(model: Model<'p>, with: Option<&str>, turns: &[Turn]) -> Result<Choice<'p>, Refusal> {
    bring::choose(model, with, turns).map_err(|refusal| refusal.called(CHAT, CONVERSATION))
}

fn has_said(turn: &Turn) -> bool {
    !turn.said.is_empty()
}

/// From the newest on, as many items as the model has room for, and the newest in any case.
fn newest<'i>(
    model: Model<'_>,
    settings: &Settings,
    items: impl DoubleEndedIterator<Item = &'i Item>,
) -> Vec<&'i Item> {
    let limits = model.limits();
    let max_parts =
        model.choices(settings.with()).filter_map(|choice| match choice.input("messages")?.1.kind {
            Kind::Messages { max_parts } => Some(max_parts as usize),
            _ => None,
        });
    let mut left = max_parts.max().unwrap_or(0).saturating_sub(pieces(&settings.instructions).count());
    let mut pictures = limits.images.map_or(usize::MAX, |images| images as usize);
    let mut sound_ms = limits.audio_ms.unwrap_or(u64::MAX);
    let mut kept = Vec::new();
    for item in items.rev() {
        let has_room = parts(item) <= left && item.pictures() <= pictures && item.heard_ms() <= sound_ms;
        if !has_room && !kept.is_empty() {
            break;
        }
        left = left.saturating_sub(parts(item));
        pictures = pictures.saturating_sub(item.pictures());
        sound_ms = sound_ms.saturating_sub(item.heard_ms());
        kept.push(item);
    }
    kept
}

fn turn(item: &Item) -> Turn {
    let mut said = Vec::new();
    for (place, part) in item.parts.iter().enumerate() {
        match part {
            Part::Text(text) | Part::Spoken { transcript: text, .. } => {
                said.extend(pieces(text).map(|piece| Said::Text(piece.to_owned())));
            }
            Part::Sound { samples, .. } => said.push(sound(item, place, samples.clone())),
            Part::Picture(url) => said.extend(picture(item, place, url)),
        }
    }
    Turn { role: item.role, said }
}

/// How many parts of a conversation an item becomes.
fn parts(item: &Item) -> usize {
    let parts = item.parts.iter().map(|part| match part {
        Part::Text(text) | Part::Spoken { transcript: text, .. } => pieces(text).count(),
        Part::Sound { .. } | Part::Picture(_) => 1,
    });
    parts.sum()
}

/// A text in pieces that are no longer than a part of a conversation may be, parted at spaces where there are any: an
/// answer may be longer than what a conversation takes of it at once.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest.floor_char_boundary(PART_MAX_BYTES as usize);
        let space = if end < rest.len() { rest[..end].rfind(char::is_whitespace) } else { None };
        let at = space.filter(|at| *at > 0).unwrap_or(end);
        let (piece, left) = rest.split_at(at);
        rest = left;
        (!piece.is_empty()).then_some(piece)
    })
}

fn sound(item: &Item, place: usize, samples: Bytes) -> Said {
    let param = format!("items.{}.content[{place}].audio", item.id);
    Said::Medium(Medium { kind: Modality::Audio, param, content: Content::Samples(RATE_HZ, samples) })
}

/// None if it is no data URL, which was seen when the item came.
fn picture(item: &Item, place: usize, url: &str) -> Option<Said> {
    let param = format!("items.{}.content[{place}].image_url", item.id);
    Medium::from_url(Modality::Image, param, url).ok().map(Said::Medium)
}

/// What users said since the last answer, as one.
fn latest<'i>(model: Model<'_>, items: impl DoubleEndedIterator<Item = &'i Item>) -> Result<Turn, Refusal> {
    let mut since: Vec<&Item> = items.rev().take_while(|item| item.role != Role::Assistant).collect();
    since.reverse();
    let (mut said, mut samples, mut first_sound) = (Vec::new(), Vec::new(), None);
    for item in since {
        if item.role == Role::System {
            let message = format!(
                "the item '{}' is of the system, and the model '{}' takes no conversation (its graph has no input of the type \
                 messages)",
                item.id,
                model.name()
            );
            return Err(Refusal::param("item.role", message));
        }
        for (place, part) in item.parts.iter().enumerate() {
            match part {
                Part::Text(text) | Part::Spoken { transcript: text, .. } => {
                    said.push(Said::Text(text.clone()));
                }
                Part::Picture(url) => said.extend(picture(item, place, url)),
                Part::Sound { samples: more, .. } => {
                    first_sound.get_or_insert((item, place));
                    samples.extend_from_slice(more);
                }
            }
        }
    }
    said.extend(first_sound.map(|(item, place)| sound(item, place, samples.into())));
    if said.is_empty() {
        return Err(nothing_said());
    }
    Ok(Turn { role: Role::User, said })
}

fn nothing_said() -> Refusal {
    let message = "nothing was said that could be answered since the last answer";
    Refusal::request(axum::http::StatusCode::BAD_REQUEST, message).code("nothing_said")
}

/// The request for an answer, what it brings, and where its text is among the outputs.
pub(super) fn request(
    model: Model<'_>,
    settings: &Settings,
    turns: Vec<Turn>,
) -> Result<(Request, Used, Option<usize>), Refusal> {
    let choice = choose(model, settings.with(), &turns)?;
    let mut inputs = bring::inputs(&choice, turns).map_err(|refusal| refusal.called(CHAT, CONVERSATION))?;
    let brought = Used::of(inputs.iter().map(|(_, datum)| datum));
    inputs.extend(settings.inputs(&choice)?);
    inputs.extend(choice.fixed(&inputs));
    let request = Request {
        graph: model.name().to_owned(),
        inputs,
        outputs: choice.outputs(),
        deadline: None,
        priority: corn_core::message::Priority::Normal,
    };
    Ok((request, brought, choice.output("text")))
}
