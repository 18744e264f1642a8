//! How the turns of a client are found in the sound that it sends.

use serde_json::{Map, Value, json};

use super::refused::Refused;
use super::voice::Sensitivity;
use crate::http::fields::{missing, one_of, wrong};
use crate::http::refusal::Refusal;
use crate::http::talk::object;

/// Where it stands in the settings.
pub(super) const AT: &str = "session.audio.input.turn_detection";
/// Longest times of turn detection.
const MAX_MS: u64 = 10_000;

/// How eager a client that asks for `semantic_vad` can be for turns to end, and the silence that ends them then. What
/// is said is not understood here, so being eager is waiting less.
const EAGERNESS: [(&str, u64); 4] =
    [("low", 1000), ("medium", USUAL_SILENCE_MS), ("auto", USUAL_SILENCE_MS), ("high", 300)];
const USUAL_SILENCE_MS: u64 = 500;

/// How turns are found in what a client sends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Turns {
    pub(super) sensitivity: Sensitivity,
    /// What a turn has of the sound before it.
    pub(super) prefix_ms: u64,
    /// Whether the end of a turn asks for an answer.
    pub(super) answers: bool,
    /// Whether the beginning of a turn ends the answer under way.
    pub(super) interrupts: bool,
}

impl Turns {
    pub(super) const USUAL: Self = Self {
        sensitivity: Sensitivity { threshold: 0.5, silence_ms: USUAL_SILENCE_MS },
        prefix_ms: 300,
        answers: true,
        interrupts: true,
    };

    /// Reads `turn_detection`.
    pub(super) fn read(said: Value, refused: &mut Refused) -> Option<Self> {
        let mut said = refused.ok(object(AT, said))?;
        let kind = refused.ok(kind(said.remove("type")))?;
        let mut turns = Self::USUAL;
        if kind == "semantic_vad" {
            if let Some(word) = said.remove("eagerness") {
                turns.sensitivity.silence_ms = refused.ok(silence_of(&word)).unwrap_or(USUAL_SILENCE_MS);
            }
        } else {
            turns.read_figures(&mut said, refused);
        }
        let Self { answers, interrupts, .. } = &mut turns;
        for (name, flag) in [("create_response", answers), ("interrupt_response", interrupts)] {
            match said.remove(name) {
                None => {}
                Some(Value::Bool(is)) => *flag = is,
                Some(other) => refused.add(wrong(&place(name), "true or false", &other)),
            }
        }
        refused.rest(AT, said);
        Some(turns)
    }

    fn read_figures(&mut self, said: &mut Map<String, Value>, refused: &mut Refused) {
        let Self { sensitivity, prefix_ms, .. } = self;
        let Sensitivity { threshold, silence_ms } = sensitivity;
        if let Some(value) = said.remove("threshold") {
            match value.as_f64().filter(|it| (0.0..=1.0).contains(it)) {
                Some(number) => *threshold = number,
                None => refused.add(out_of("threshold", &value, "a number from 0 to 1")),
            }
        }
        for (name, ms) in [("prefix_padding_ms", prefix_ms), ("silence_duration_ms", silence_ms)] {
            let Some(value) = said.remove(name) else { continue };
            match value.as_u64().filter(|ms| *ms <= MAX_MS) {
                Some(number) => *ms = number,
                None => refused.add(out_of(name, &value, &format!("a whole number from 0 to {MAX_MS}"))),
            }
        }
    }

    /// As a session shows it.
    pub(super) fn shown(&self) -> Value {
        json!({
            "type": "server_vad",
            "threshold": self.sensitivity.threshold,
            "prefix_padding_ms": self.prefix_ms,
            "silence_duration_ms": self.sensitivity.silence_ms,
            "create_response": self.answers,
            "interrupt_response": self.interrupts,
        })
    }
}

fn place(name: &str) -> String {
    format!("{AT}.{name}")
}

fn out_of(name: &str, value: &Value, what: &str) -> Refusal {
    let param = place(name);
    Refusal::param(&param, format!("'{param}' is {value}, and must be {what}"))
}

fn kind(said: Option<Value>) -> Result<&'static str, Refusal> {
    let param = place("type");
    match said {
        Some(Value::String(kind)) => {
            one_of(&param, &kind, &["server_vad", "semantic_vad"], "turns are not found that way here")
        }
        Some(other) => Err(wrong(&param, "a string", &other)),
        None => Err(missing(&param)),
    }
}

/// The silence that ends a turn where a client is as eager as this.
fn silence_of(word: &Value) -> Result<u64, Refusal> {
    let silence = EAGERNESS.iter().find(|(eagerness, _)| word == eagerness);
    silence.map(|(_, ms)| *ms).ok_or_else(|| {
        let words = EAGERNESS.map(|(eagerness, _)| eagerness).join(", ");
        let param = place("eagerness");
        Refusal::param(&param, format!("'{param}' is {word}; there is {words}"))
    })
}
