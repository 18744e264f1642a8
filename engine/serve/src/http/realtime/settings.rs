//! What a session is set to, and what an answer is asked to be: read from `session.update` and `response.create`.
//!
//! A setting is used, says what happens anyhow, or is refused by its name. What it knows nothing of goes to inputs of
//! the graph that have its name and a default, as the fields of other endpoints do.

use std::collections::BTreeMap;

use corn_core::Datum;
use corn_plan::Modality;
use serde_json::{Map, Value, json};

use super::transcribing::Transcription;
use super::voice::{RATE_HZ, Sensitivity};
use crate::http::fields::{Fields, one_of, wrong};
use crate::http::models::{Choice, Model};
use crate::http::refusal::Refusal;
use crate::http::talk::{object, unknown};

/// Longest times of turn detection.
const MAX_MS: u64 = 10_000;

#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Whether answers are spoken.
    pub(super) speaks: bool,
    pub(super) instructions: String,
    /// None where the client says when a turn is over.
    pub(super) turns: Option<Turns>,
    /// How turns are written down, where the client wants that.
    pub(super) transcription: Option<Transcription>,
    voice: Option<Value>,
    /// Inputs of the graph by name.
    knobs: BTreeMap<String, Value>,
}

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
    const USUAL: Self = Self {
        sensitivity: Sensitivity { threshold: 0.5, silence_ms: 500 },
        prefix_ms: 300,
        answers: true,
        interrupts: true,
    };
}

impl Settings {
    /// Those that a session has before a client says anything.
    pub(super) fn new(model: Model<'_>) -> Self {
        let speaks = model.answers_with("audio");
        let mut settings = Self {
            speaks,
            instructions: String::new(),
            turns: None,
            transcription: None,
            voice: None,
            knobs: BTreeMap::new(),
        };
        settings.turns = settings.hears(model).then_some(Turns::USUAL);
        settings
    }

    /// What is asked for in addition at the endpoint.
    pub(super) fn with(&self) -> Option<&'static str> {
        self.speaks.then_some("audio")
    }

    /// Whether what a user says is taken.
    fn hears(&self, model: Model<'_>) -> bool {
        model.choices(self.with()).any(|choice| choice.has_room_for(Modality::Audio))
    }

    /// These settings changed by a `session`.
    pub(super) fn updated(&self, model: Model<'_>, said: Value) -> Result<Self, Refusal> {
        let mut said = whole_object("session", said)?;
        for (name, only) in [("type", "realtime"), ("model", model.name())] {
            if let Some(value) = said.remove(name)
                && value != only
                && !value.is_null()
            {
                let param = format!("session.{name}");
                let message = format!("'{param}' is {value}, and sessions here are of {only:?}");
                return Err(Refusal::param(param, message));
            }
        }
        let mut new = self.clone();
        if let Some(audio) = said.get_mut("audio").and_then(Value::as_object_mut)
            && let Some(input) = audio.remove("input")
        {
            new.input(input, model)?;
        }
        new.output(said, "session", model)?;
        if new.turns.is_some() && !new.hears(model) {
            let message =
                format!("the model '{}' takes no sound, so there are no turns to detect", model.name());
            return Err(Refusal::param("session.audio.input.turn_detection", message));
        }
        Ok(new)
    }

    /// These settings changed for one answer, by what is left of a `response`.
    pub(super) fn for_answer(&self, model: Model<'_>, said: Map<String, Value>) -> Result<Self, Refusal> {
        let mut new = self.clone();
        new.output(said, "response", model)?;
        Ok(new)
    }

    fn input(&mut self, said: Value, model: Model<'_>) -> Result<(), Refusal> {
        let at = "session.audio.input";
        let mut said = whole_object(at, said)?;
        match said.remove("turn_detection") {
            None => {}
            Some(Value::Null) => self.turns = None,
            Some(turns) => self.turns = Some(read_turns(turns)?),
        }
        match said.remove("transcription") {
            None => {}
            Some(Value::Null) => self.transcription = None,
            Some(how) => {
                let how = whole_object(&format!("{at}.transcription"), how)?;
                self.transcription = Some(Transcription::read(model, how)?);
            }
        }
        check_format(at, said.remove("format"))?;
        nothing_else(at, said)
    }

    /// What is said of answers, at `at`.
    fn output(&mut self, mut said: Map<String, Value>, at: &str, model: Model<'_>) -> Result<(), Refusal> {
        if let Some(words) = said.remove("output_modalities") {
            self.speaks = modalities(&format!("{at}.output_modalities"), &words, model)?;
        }
        match said.remove("instructions") {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => self.instructions = text,
            Some(other) => return Err(wrong(&format!("{at}.instructions"), "a string", &other)),
        }
        if let Some(audio) = said.remove("audio") {
            let inner = format!("{at}.audio");
            let mut audio = whole_object(&inner, audio)?;
            if let Some(output) = audio.remove("output") {
                self.voice(&format!("{inner}.output"), output)?;
            }
            nothing_else(&inner, audio)?;
        }
        for (name, value) in said {
            self.knob(name, value);
        }
        self.check(model).map_err(|refusal| refusal.within(at))
    }

    /// Sets an input; or leaves it to its default, if nothing is said of it.
    fn knob(&mut self, name: String, value: Value) {
        let is_unbounded = name == "max_output_tokens" && value == "inf";
        if value.is_null() || is_unbounded {
            self.knobs.remove(&name);
        } else {
            self.knobs.insert(name, value);
        }
    }

    fn voice(&mut self, at: &str, said: Value) -> Result<(), Refusal> {
        let mut said = whole_object(at, said)?;
        check_format(at, said.remove("format"))?;
        if let Some(voice) = said.remove("voice") {
            self.voice = Some(voice).filter(|voice| !voice.is_null());
        }
        if let Some(speed) = said.remove("speed") {
            self.knob("speed".to_owned(), speed);
        }
        nothing_else(at, said)
    }

    /// Whether there is a recording that these can be said to.
    fn check(&self, model: Model<'_>) -> Result<(), Refusal> {
        let mut refusal = None;
        for choice in model.choices(self.with()) {
            match self.inputs(&choice) {
                Ok(_) => return Ok(()),
                Err(why) => refusal = Some(why),
            }
        }
        Err(refusal.unwrap_or_else(|| Refusal::ours("no recording answers this endpoint")))
    }

    /// What they set of the inputs of a recording.
    pub(super) fn inputs(&self, choice: &Choice<'_>) -> Result<Vec<(String, Datum)>, Refusal> {
        let mut fields = Fields::from_values(self.knobs.clone());
        fields.voice(self.voice.clone(), "audio.output.voice", choice)?;
        fields.alias("max_output_tokens", "max_tokens", choice);
        if !self.instructions.is_empty() && choice.input("messages").is_none() {
            let names = ["instructions", "system"];
            let Some(name) = names.into_iter().find(|name| choice.knob(name).is_some()) else {
                let model = choice.model.name();
                let message = format!(
                    "the model '{model}' takes no instructions: its graph has no conversation and no input 'instructions' or \
                     'system' with a default"
                );
                return Err(Refusal::param("instructions", message));
            };
            fields.put(name, Value::String(self.instructions.clone()));
        }
        fields.rest(choice)
    }

    /// As `session.created` and `session.updated` say them.
    pub(super) fn shown(&self, model: &str, id: &str) -> Value {
        let turns = self.turns.map(|turns| {
            json!({
                "type": "server_vad",
                "threshold": turns.sensitivity.threshold,
                "prefix_padding_ms": turns.prefix_ms,
                "silence_duration_ms": turns.sensitivity.silence_ms,
                "create_response": turns.answers,
                "interrupt_response": turns.interrupts,
            })
        });
        let mut shown = json!({
            "type": "realtime",
            "object": "realtime.session",
            "id": id,
            "model": model,
            "output_modalities": [self.modality()],
            "instructions": self.instructions,
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "truncation": "auto",
            "audio": {
                "input": {
                    "format": format(),
                    "turn_detection": turns,
                    "transcription": self.transcription.as_ref().map(Transcription::shown),
                },
                "output": self.shown_output(),
            },
        });
        for (name, value) in &self.knobs {
            shown[name] = value.clone();
        }
        shown
    }

    /// What is said of the sound of answers.
    pub(super) fn shown_output(&self) -> Value {
        let default = Value::from("default");
        json!({ "format": format(), "voice": self.voice.as_ref().unwrap_or(&default) })
    }

    /// The word for what answers are.
    pub(super) fn modality(&self) -> &'static str {
        if self.speaks { "audio" } else { "text" }
    }
}

fn format() -> Value {
    json!({ "type": "audio/pcm", "rate": RATE_HZ })
}

/// An object, with what is null in it.
fn whole_object(at: &str, said: Value) -> Result<Map<String, Value>, Refusal> {
    match said {
        Value::Object(said) => Ok(said),
        Value::Null => Ok(Map::new()),
        other => Err(wrong(at, "an object", &other)),
    }
}

/// Refuses what nothing has taken.
fn nothing_else(at: &str, said: Map<String, Value>) -> Result<(), Refusal> {
    match said.into_iter().find(|(_, value)| !value.is_null()) {
        Some((name, _)) => Err(unknown(at, &name)),
        None => Ok(()),
    }
}

fn check_format(at: &str, said: Option<Value>) -> Result<(), Refusal> {
    let Some(said) = said.filter(|said| !said.is_null()) else { return Ok(()) };
    let at = format!("{at}.format");
    let mut said = object(&at, said)?;
    if let Some(kind) = said.remove("type")
        && kind != "audio/pcm"
    {
        let param = format!("{at}.type");
        return Err(Refusal::param(&param, format!("'{param}' is {kind}; there is \"audio/pcm\"")));
    }
    if let Some(rate) = said.remove("rate")
        && rate != RATE_HZ
    {
        let param = format!("{at}.rate");
        return Err(Refusal::param(&param, format!("'{param}' is {rate}; there is {RATE_HZ}")));
    }
    nothing_else(&at, said)
}

/// Whether answers are to be spoken.
fn modalities(param: &str, words: &Value, model: Model<'_>) -> Result<bool, Refusal> {
    let Some([Value::String(word)]) = words.as_array().map(Vec::as_slice) else {
        let message = format!(
            "'{param}' is {words}; there is [\"text\"], and [\"audio\"], which has its words as well"
        );
        return Err(Refusal::param(param, message));
    };
    let speaks = one_of(param, word, &["text", "audio"], "that is not made")? == "audio";
    let name = model.name();
    if speaks && !model.answers_with("audio") {
        return Err(Refusal::param(param, format!("the model '{name}' answers in text only")));
    }
    if !speaks && !model.answers_plainly() {
        return Err(Refusal::param(param, format!("the model '{name}' answers with [\"audio\"] only")));
    }
    Ok(speaks)
}

fn read_turns(said: Value) -> Result<Turns, Refusal> {
    let at = "session.audio.input.turn_detection";
    let mut said = object(at, said)?;
    let param = format!("{at}.type");
    match said.remove("type") {
        Some(Value::String(kind)) => {
            one_of(&param, &kind, &["server_vad"], "turns are not found that way here")?;
        }
        Some(other) => return Err(wrong(&param, "a string", &other)),
        None => return Err(Refusal::param(&param, format!("'{param}' is missing"))),
    }
    let mut turns = Turns::USUAL;
    if let Some(value) = said.remove("threshold") {
        let threshold = value.as_f64().filter(|it| (0.0..=1.0).contains(it)).ok_or_else(|| {
            let param = format!("{at}.threshold");
            Refusal::param(&param, format!("'{param}' is {value}, and must be a number from 0 to 1"))
        })?;
        turns.sensitivity.threshold = threshold;
    }
    let Turns { sensitivity, prefix_ms, answers, interrupts } = &mut turns;
    let times = [("prefix_padding_ms", prefix_ms), ("silence_duration_ms", &mut sensitivity.silence_ms)];
    for (name, ms) in times {
        let Some(value) = said.remove(name) else { continue };
        *ms = value.as_u64().filter(|ms| *ms <= MAX_MS).ok_or_else(|| {
            let param = format!("{at}.{name}");
            Refusal::param(
                &param,
                format!("'{param}' is {value}, and must be a whole number from 0 to {MAX_MS}"),
            )
        })?;
    }
    for (name, flag) in [("create_response", answers), ("interrupt_response", interrupts)] {
        match said.remove(name) {
            None => {}
            Some(Value::Bool(is)) => *flag = is,
            Some(other) => return Err(wrong(&format!("{at}.{name}"), "true or false", &other)),
        }
    }
    nothing_else(at, said)?;
    Ok(turns)
}
