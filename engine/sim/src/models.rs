//! Small exact models that stand for real ones, and plans that name them.

mod any;
mod reader;
mod toys;

use std::collections::VecDeque;
use std::sync::Arc;

use corn_core::batched::{BatchModel, Batched, Limits, Ran};
use corn_core::executor::{CallInput, Executor, Io, Model, Step, Taken};
use corn_core::interleaved::Interleaved;
use corn_core::{Audio, Datum, Fault};
use corn_plan::Component;

use crate::process::{Cost, Loaded, Loader};

pub use any::inputs;

/// A text is answered word by word, and on route `talk` each sentence is spoken as well.
pub const ASSISTANT: &str = include_str!("../../core/tests/plans/assistant.plan");

/// Each text of a list is made upper case, then all are told as one.
pub const EACH: &str = include_str!("../../core/tests/plans/each.plan");

/// Branches and loops on one stage, by components that make anything.
pub const CONTROL: &str = include_str!("../../core/tests/plans/compiled/control.plan");

/// Branches and loops over several stages.
pub const BLOCKS_APART: &str = include_str!("../../core/tests/plans/compiled/blocks_apart.plan");

/// Branches whose cases are on other stages than what decides.
pub const DECIDED_APART: &str = include_str!("../../core/tests/plans/compiled/decided_apart.plan");

/// Conversations and media of every kind.
pub const MEDIA: &str = include_str!("../../core/tests/plans/compiled/media.plan");

/// Loads these models; an item takes each of them `item_us`.
pub fn loader(item_us: u64) -> Loader {
    Arc::new(move |component| Loaded {
        executor: load(component),
        cost: Cost { call_us: item_us, item_us, ..Cost::default() },
    })
}

/// The model that a component's entry names; for components of Python, one that makes something of the type of each
/// port. One that takes what it does not know, or an entry that there is not, panics.
pub fn load(component: &Component) -> Box<dyn Executor> {
    let max = component.batch.max;
    match component.entry.as_str() {
        _ if component.executor == "python" => Box::new(Interleaved::new(any::Any(component.clone()), max)),
        "words" => Box::new(Interleaved::new(Words, max)),
        "reads" => Box::new(Interleaved::new(reader::Reader::default(), max)),
        "tone" => Box::new(Interleaved::new(Tone, max)),
        "upper" => Box::new(Batched::new(Upper, Limits::new(component.batch, u64::MAX))),
        "tell" => Box::new(Interleaved::new(Tell, max)),
        other => Box::new(Interleaved::new(toys::Toy(other.to_owned()), max)),
    }
}

fn text(datum: &Datum) -> &str {
    if let Datum::Text(text) = datum { text } else { panic!("{datum:?} is no text") }
}

fn whole(input: &CallInput) -> &Datum {
    if let CallInput::Value(datum) = input { datum } else { panic!("{input:?} is not whole") }
}

/// A text's words, one by one; the word FAIL fails.
struct Words;

impl Model for Words {
    type Session = VecDeque<String>;

    fn open(&mut self, inputs: &[CallInput]) -> Result<VecDeque<String>, Fault> {
        let words = text(whole(&inputs[0])).split(' ').filter(|word| !word.is_empty());
        Ok(words.map(|word| format!("{word} ")).collect())
    }

    fn step(&mut self, words: &mut VecDeque<String>, io: &mut dyn Io) -> Result<Step, Fault> {
        if !io.has_room(0) {
            return Ok(Step::Wait);
        }
        match words.pop_front() {
            None => Ok(Step::Done),
            Some(word) if word == "FAIL " => Err(Fault::component("told to fail")),
            Some(word) => {
                io.emit(0, Datum::text(word));
                Ok(Step::More)
            }
        }
    }

    fn memory_bytes(&self) -> u64 {
        0
    }
}

/// One sample for each byte of each text, whose value is the byte's.
struct Tone;

impl Model for Tone {
    type Session = ();

    fn open(&mut self, _inputs: &[CallInput]) -> Result<(), Fault> {
        Ok(())
    }

    fn step(&mut self, (): &mut (), io: &mut dyn Io) -> Result<Step, Fault> {
        if !io.has_room(0) {
            return Ok(Step::Wait);
        }
        Ok(match io.take(0) {
            Taken::Item(item) => {
                let samples: Vec<f32> = text(&item).bytes().map(|byte| f32::from(byte) / 255.0).collect();
                io.emit(0, Datum::Audio(Audio { rate_hz: 16_000, samples: samples.into() }.into()));
                Step::More
            }
            Taken::Nothing => Step::Wait,
            Taken::Ended => Step::Done,
        })
    }

    fn memory_bytes(&self) -> u64 {
        0
    }
}

/// Texts in upper case, a batch at a time; one with FAIL in it fails.
struct Upper;

impl BatchModel for Upper {
    type Item = Datum;

    fn prepare(&mut self, inputs: &[CallInput]) -> Result<Datum, Fault> {
        Ok(whole(&inputs[0]).clone())
    }

    fn run(&mut self, batch: Vec<Datum>) -> Vec<Result<Ran<Datum>, Fault>> {
        let upper = |item: &Datum| match text(item) {
            failing if failing.contains("FAIL") => Err(Fault::component("told to fail")),
            text => Ok(Ran::done(0, Datum::text(text.to_uppercase()))),
        };
        batch.iter().map(upper).collect()
    }

    fn memory_bytes(&self) -> u64 {
        0
    }
}

/// A greeting and the parts, comma separated.
struct Tell;

impl Model for Tell {
    type Session = String;

    fn open(&mut self, inputs: &[CallInput]) -> Result<String, Fault> {
        let Datum::List(parts) = whole(&inputs[0]) else { panic!("the parts are no list") };
        let greeting = if let CallInput::Value(greeting) = &inputs[1] { Some(greeting) } else { None };
        let told: Vec<&str> = greeting.into_iter().chain(parts.iter()).map(text).collect();
        Ok(told.join(","))
    }

    fn step(&mut self, told: &mut String, io: &mut dyn Io) -> Result<Step, Fault> {
        io.emit(0, Datum::text(told.as_str()));
        Ok(Step::Done)
    }

    fn memory_bytes(&self) -> u64 {
        0
    }
}
