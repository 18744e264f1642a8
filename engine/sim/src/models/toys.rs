//! Small exact components for plans with blocks and media, by entry.

use corn_core::executor::{CallInput, Io, Model, Step, Taken};
use corn_core::{Datum, Fault, Part};

use crate::models::text;

/// A component that makes one thing of whole inputs, or passes a stream on.
pub(super) struct Toy(pub(super) String);

pub(super) enum Work {
    Makes(Datum),
    Passes,
    Ends,
}

impl Model for Toy {
    type Session = Work;

    fn open(&mut self, inputs: &[CallInput]) -> Result<Work, Fault> {
        let (word, of) = self.0.split_once(':').unwrap_or((&self.0, ""));
        let whole = |port: usize| match &inputs[port] {
            CallInput::Value(datum) => datum,
            other => panic!("{word} takes whole inputs, not {other:?}"),
        };
        Ok(Work::Makes(match (word, &inputs[0]) {
            ("echo", CallInput::Stream) => return Ok(Work::Passes),
            ("echo", CallInput::Absent) => return Ok(Work::Ends),
            ("first", _) => Datum::text(text(whole(0)).split(' ').next().unwrap_or("")),
            ("append", _) if text(whole(0)).contains("FAIL") => return Err(Fault::component("told to fail")),
            ("append", _) => Datum::text(format!("{}{of}", text(whole(0)))),
            ("note", _) => {
                let note = if inputs[1] == CallInput::Absent { "-" } else { text(whole(1)) };
                Datum::text(format!("{}[{note}]", text(whole(0))))
            }
            ("longer", _) => Datum::Bool(text(whole(0)).len() > of.parse().expect("a length")),
            ("count", _) => Datum::text(format!("{}{:?}", text(whole(0)), whole(1))),
            ("even", _) => Datum::Bool(matches!(whole(0), Datum::Int(n) if n % 2 == 0)),
            ("fill", _) => Datum::text("x".repeat(4096)),
            ("size", _) => Datum::text(text(whole(0)).len().to_string()),
            ("see" | "hear" | "watch", CallInput::Value(item)) => Datum::text(match item {
                Datum::Image(image) => format!("i{}", image.width),
                Datum::Audio(audio) => format!("a{}", audio.samples.len()),
                Datum::Video(video) => format!("v{}", video.frames.len()),
                other => panic!("{other:?} is no medium"),
            }),
            ("chat", CallInput::Value(Datum::Messages(talk))) => {
                assert!(talk.media.is_empty(), "media are a value of their own");
                let seen = if let CallInput::Value(Datum::List(seen)) = &inputs[1] { &seen[..] } else { &[] };
                let mut seen = seen.iter().map(text);
                let part = |part: &Part| match part {
                    Part::Text(text) => text.to_string(),
                    Part::Media(kind) => format!("<{} {}>", kind.name(), seen.next().unwrap_or("?")),
                };
                Datum::text(talk.parts().map(part).collect::<Vec<_>>().join(" "))
            }
            (other, input) => panic!("no test component {other} of {input:?}"),
        }))
    }

    fn step(&mut self, work: &mut Work, io: &mut dyn Io) -> Result<Step, Fault> {
        if !io.has_room(0) {
            return Ok(Step::Wait);
        }
        Ok(match work {
            Work::Ends => Step::Done,
            Work::Makes(made) => {
                io.emit(0, made.clone());
                Step::Done
            }
            Work::Passes => match io.take(0) {
                Taken::Item(item) => {
                    io.emit(0, item);
                    Step::More
                }
                Taken::Nothing => Step::Wait,
                Taken::Ended => Step::Done,
            },
        })
    }

    fn memory_bytes(&self) -> u64 {
        0
    }
}
