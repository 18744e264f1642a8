//! What a worker does itself between components: small state machines over items.

mod sentences;
mod windows;

use std::collections::VecDeque;

use corn_plan::{Adaptor, Kind, Modality, Type};

use crate::datum::{Audio, Datum};
use crate::fault::Fault;
use sentences::Sentences;
use windows::Windows;

/// A stream adaptor at work for one step of one request.
#[derive(Debug)]
pub(crate) enum Adapting {
    Sentences(Sentences),
    Windows(Windows),
    /// What a case hands on is what its branch makes.
    Pass,
    Collect {
        items: Vec<Datum>,
        bytes: u64,
        max_bytes: u64,
    },
}

impl Adapting {
    /// A stream adaptor that makes `result`; `None` for adaptors that only take whole values.
    pub(crate) fn new(adaptor: &Adaptor, result: &Type) -> Option<Self> {
        match adaptor {
            Adaptor::Sentences => {
                let max_bytes = result.kind.max_bytes().unwrap_or(u64::MAX);
                Some(Self::Sentences(Sentences::new(usize::try_from(max_bytes).unwrap_or(usize::MAX))))
            }
            Adaptor::Windows { size, left, first } => Some(Self::Windows(Windows::new(*size, *left, *first))),
            Adaptor::Collect => {
                let max_bytes = result.max_bytes().unwrap_or(u64::MAX);
                Some(Self::Collect { items: Vec::new(), bytes: 0, max_bytes })
            }
            Adaptor::Join
            | Adaptor::List
            | Adaptor::Merge { .. }
            | Adaptor::Pick(_)
            | Adaptor::Interleave(_) => None,
        }
    }

    /// Takes an item; what it makes is appended to `made`.
    pub(crate) fn item(&mut self, item: Datum, made: &mut VecDeque<Datum>) -> Result<(), Fault> {
        match self {
            Self::Sentences(sentences) => match item {
                Datum::Text(text) => sentences.push(&text, made),
                other => return Err(Fault::component(format!("sentences() was given {}", other.word()))),
            },
            Self::Windows(windows) => return windows.push(item, made),
            Self::Pass => made.push_back(item),
            Self::Collect { items, bytes, max_bytes } => {
                *bytes += item.bytes();
                if bytes > max_bytes {
                    let message = format!("collect() has {bytes} bytes, over the bound of {max_bytes} bytes");
                    return Err(Fault::component(message));
                }
                items.push(item);
            }
        }
        Ok(())
    }

    /// The input has ended; what is left is appended to `made`.
    pub(crate) fn end(&mut self, result: &Type, made: &mut VecDeque<Datum>) -> Result<(), Fault> {
        match self {
            Self::Sentences(sentences) => sentences.end(made),
            Self::Windows(windows) => windows.end(made)?,
            Self::Pass => {}
            Self::Collect { items, .. } => made.push_back(collect(std::mem::take(items), result)?),
        }
        Ok(())
    }
}

/// What an adaptor makes of whole values; of those that a `join` reads, absent ones are not among them.
pub(crate) fn of_wholes(adaptor: &Adaptor, wholes: &[&Datum]) -> Result<Datum, Fault> {
    match adaptor {
        Adaptor::Join => Ok(join(wholes)),
        Adaptor::List => Ok(Datum::List(wholes.iter().copied().cloned().collect())),
        Adaptor::Pick(kind) => {
            let is_of_kind = |item: &&Datum| item.modality() == Some(*kind);
            Ok(Datum::List(items(wholes[0]).iter().filter(is_of_kind).cloned().collect()))
        }
        Adaptor::Interleave(kinds) => interleave(kinds, items(wholes[0]), &wholes[1..]),
        Adaptor::Sentences | Adaptor::Windows { .. } | Adaptor::Collect | Adaptor::Merge { .. } => {
            unreachable!("those take streams")
        }
    }
}

fn items(list: &Datum) -> &[Datum] {
    if let Datum::List(items) = list { items } else { &[] }
}

/// What was made of each kind, in the order of the media: `order` says of which kind each was.
fn interleave(kinds: &[Modality], order: &[Datum], made: &[&Datum]) -> Result<Datum, Fault> {
    let mut left: Vec<_> = made.iter().map(|list| items(list).iter()).collect();
    let mut whole = Vec::with_capacity(order.len());
    for kind in order {
        let place = kinds.iter().position(|of| *kind == Datum::text(of.name()));
        let next = place.and_then(|place| left[place].next());
        let next = next.ok_or_else(|| Fault::component(format!("nothing was made of one {kind:?}")))?;
        whole.push(next.clone());
    }
    if left.iter().any(|list| list.len() > 0) {
        return Err(Fault::component("more was made of the media than there are"));
    }
    Ok(Datum::List(whole.into()))
}

/// `join`: texts with a blank line between; empty ones are left out.
fn join(texts: &[&Datum]) -> Datum {
    let mut joined = String::new();
    for datum in texts {
        if let Datum::Text(text) = datum {
            let text = text.trim();
            if !joined.is_empty() && !text.is_empty() {
                joined.push_str("\n\n");
            }
            joined.push_str(text);
        }
    }
    Datum::text(joined)
}

/// A stream's items as one value of type `result`.
fn collect(items: Vec<Datum>, result: &Type) -> Result<Datum, Fault> {
    match (&result.kind, result.form) {
        (_, corn_plan::Form::List { .. }) => Ok(Datum::List(items.into())),
        (Kind::Text { .. }, _) => {
            let texts = items.iter().map(|item| if let Datum::Text(text) = item { text } else { "" });
            Ok(Datum::text(texts.collect::<String>()))
        }
        (Kind::Audio { rate_hz, .. }, _) => {
            append(&items, rate_hz.unwrap_or(corn_plan::types::MAX_AUDIO_RATE_HZ))
        }
        (kind, _) => Err(Fault::component(format!("collect() cannot make one {} of many", kind.word()))),
    }
}

/// Sounds one after the other; `silence_hz` is the rate of the answer when there are none.
pub(crate) fn append(items: &[Datum], silence_hz: u32) -> Result<Datum, Fault> {
    let mut rate = 0;
    let mut whole: Vec<f32> = Vec::new();
    for item in items {
        let Datum::Audio(audio) = item else {
            return Err(Fault::component(format!("a {} among sounds", item.word())));
        };
        if rate != 0 && rate != audio.rate_hz {
            let (one, other) = (rate, audio.rate_hz);
            return Err(Fault::component(format!("sounds of {one} Hz and of {other} Hz cannot be appended")));
        }
        rate = audio.rate_hz;
        whole.extend_from_slice(&audio.samples);
    }
    let rate_hz = if rate == 0 { silence_hz } else { rate };
    Ok(Datum::Audio(Audio { rate_hz, samples: whole.into() }.into()))
}
