//! What a conversation brings: the recording that takes it, and its parts as inputs of the graph.

use std::collections::BTreeSet;

use corn_core::Datum;
use corn_core::datum::{Conversation, Message, Part, Role};
use corn_plan::Modality;

use super::media::{Medium, Room};
use super::models::{Brought, Choice, Model};
use super::refusal::Refusal;
use super::talk::{Said, Turn};

/// The recording that takes these turns. Nothing is fetched or decoded to find it.
pub(super) fn choose<'p>(
    model: Model<'p>,
    with: Option<&str>,
    turns: &[Turn],
) -> Result<Choice<'p>, Refusal> {
    let media: Vec<&Medium> = media(turns).collect();
    Room::new(&model.limits(), &media)?;
    let kinds: BTreeSet<Modality> = media.iter().map(|medium| medium.kind).collect();
    if model.takes(with, "messages") {
        let brought = Brought { items: vec![("messages", 1)], kinds };
        let choice = model.choose(with, &brought);
        let choice = choice.ok_or_else(|| model.takes_else("messages", with, &brought))?;
        check_count(&choice, "messages", &media)?;
        return Ok(choice);
    }
    let count = |kind| media.iter().filter(|medium| medium.kind == kind).count();
    let has_text = usize::from(has_text(turns));
    let mut apart = vec![("text", has_text)];
    apart.extend(Modality::ALL.map(|kind| (kind.name(), count(kind))));
    apart.retain(|(_, count)| *count > 0);
    let apart = Brought { items: apart, kinds: BTreeSet::new() };
    let mut together = vec![("text", has_text), ("media", media.len())];
    together.retain(|(_, count)| *count > 0);
    let together = Brought { items: together, kinds };
    let choice = model.choose(with, &apart).or_else(|| model.choose(with, &together));
    let choice = choice.ok_or_else(|| model.takes_else("messages", with, &apart))?;
    for word in ["image", "audio", "video", "media"] {
        check_count(&choice, word, &media)?;
    }
    Ok(choice)
}

/// The turns as inputs of the recording that was chosen for them.
pub(super) fn inputs(choice: &Choice<'_>, turns: Vec<Turn>) -> Result<Vec<(String, Datum)>, Refusal> {
    let media: Vec<&Medium> = media(&turns).collect();
    let mut room = Room::new(&choice.model.limits(), &media)?;
    if choice.input("messages").is_some() {
        let conversation = conversation(choice, turns, &mut room)?;
        return Ok(vec![choice.bring("messages", vec![Datum::Messages(conversation.into())], "messages")?]);
    }
    separately(choice, turns, &mut room)
}

fn media(turns: &[Turn]) -> impl Iterator<Item = &Medium> {
    let said = turns.iter().flat_map(|turn| &turn.said);
    said.filter_map(|said| if let Said::Medium(medium) = said { Some(medium) } else { None })
}

/// Whether a user says something, which need not be where there are media.
fn has_text(turns: &[Turn]) -> bool {
    let says = |turn: &Turn| turn.said.iter().any(|it| matches!(it, Said::Text(_)));
    media(turns).next().is_none() || turns.iter().any(|turn| turn.role == Role::User && says(turn))
}

/// Holds how many media there are against what `word` takes, before any is decoded.
fn check_count(choice: &Choice<'_>, word: &str, media: &[&Medium]) -> Result<(), Refusal> {
    if choice.input(word).is_none() {
        return Ok(());
    }
    let (_, max) = choice.media_type(word);
    let mut of_word =
        media.iter().filter(|medium| medium.kind.name() == word || matches!(word, "messages" | "media"));
    match of_word.nth(max as usize) {
        Some(over) => {
            let param = &over.param;
            Err(Refusal::param(param, format!("'{param}' is one more than the {max} that the model takes")))
        }
        None => Ok(()),
    }
}

fn conversation(choice: &Choice<'_>, turns: Vec<Turn>, room: &mut Room) -> Result<Conversation, Refusal> {
    let (kind, _) = choice.media_type("messages");
    let mut conversation = Conversation::default();
    for turn in turns {
        let mut parts = Vec::new();
        for said in turn.said {
            match said {
                Said::Text(text) => parts.push(Part::Text(text.into())),
                Said::Medium(medium) => {
                    parts.push(Part::Media(medium.kind));
                    let kind = kind.medium(medium.kind);
                    conversation.media.push(medium.read(&kind, room)?);
                }
            }
        }
        conversation.messages.push(Message { role: turn.role, parts });
    }
    Ok(conversation)
}

/// One message, whose text and media are inputs of their own.
fn separately(
    choice: &Choice<'_>,
    turns: Vec<Turn>,
    room: &mut Room,
) -> Result<Vec<(String, Datum)>, Refusal> {
    let (model, has_text) = (choice.model.name(), has_text(&turns));
    let (mut system, mut texts) = (Vec::new(), Vec::new());
    let mut media: Vec<(&str, Vec<Datum>)> = Vec::new();
    let mut asks = 0;
    for (at, turn) in turns.into_iter().enumerate() {
        let param = format!("messages[{at}]");
        asks += usize::from(turn.role == Role::User);
        if turn.role == Role::Assistant || asks > 1 {
            let message = format!(
                "'{param}': the model '{model}' takes one message of a user, not a conversation (its graph has no input \
                 of the type messages)"
            );
            return Err(Refusal::param(param, message));
        }
        if turn.role == Role::System && choice.knob("system").is_none() {
            let message =
                format!("'{param}': the model '{model}' has no input 'system' for what a system says");
            return Err(Refusal::param(param, message));
        }
        for said in turn.said {
            match said {
                Said::Text(text) if turn.role == Role::System => system.push(text),
                Said::Text(text) => texts.push(text),
                Said::Medium(medium) => {
                    let own = medium.kind.name();
                    let word = if choice.input(own).is_some() { own } else { "media" };
                    let kind = choice.media_type(word).0.medium(medium.kind);
                    let datum = medium.read(&kind, room)?;
                    match media.iter_mut().find(|(of, _)| *of == word) {
                        Some((_, data)) => data.push(datum),
                        None => media.push((word, vec![datum])),
                    }
                }
            }
        }
    }
    if asks == 0 {
        return Err(Refusal::param(
            "messages",
            format!("'messages' has no message of a user, and '{model}' takes one"),
        ));
    }
    let mut inputs = Vec::new();
    if has_text {
        inputs.push(choice.bring("text", vec![Datum::text(texts.join("\n\n"))], "messages")?);
    }
    if !system.is_empty() {
        inputs.push(("system".to_owned(), Datum::text(system.join("\n\n"))));
    }
    for (word, data) in media {
        inputs.push(choice.bring(word, data, "messages")?);
    }
    Ok(inputs)
}
