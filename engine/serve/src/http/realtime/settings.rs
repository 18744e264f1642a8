//! What a session is set to, and what an answer is asked to be: read from `session.update` and `response.create`.
//!
//! A setting is used, says what happens anyhow, or is refused by its name. What it knows nothing of goes to inputs of
//! the graph that have its name and a default, as the fields of other endpoints do.

use std::collections::BTreeMap;

use corn_core::Datum;
use corn_plan::Modality;
use serde_json::{Map, Value, json};

use super::refused::{MOST, Refused};
use super::transcribing::Transcription;
use super::turns::{self, Turns};
use super::voice::RATE_HZ;
use crate::http::fields::{Fields, one_of, voice_name, wrong};
use crate::http::models::{Choice, Model};
use crate::http::refusal::Refusal;
use crate::http::talk::object;

/// Where it is said how a client is heard.
const INPUT: &str = "session.audio.input";
/// Where a voice and its speed are said.
const VOICE: &str = "audio.output.voice";
const SPEED: &str = "audio.output.speed";

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
    speed: Option<Value>,
    /// Inputs of the graph by name.
    knobs: BTreeMap<String, Value>,
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
            speed: None,
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

    /// These settings changed by a `session`: all that it says, or nothing.
    pub(super) fn updated(&self, model: Model<'_>, said: Value) -> Result<Self, Refusal> {
        let (mut new, mut refused) = (self.clone(), Refused::default());
        if let Some(said) = refused.ok(whole_object("session", said)) {
            new.session(said, model, &mut refused);
        }
        let ended = refused.end().map_err(|refusal| refusal.and("nothing of this update is applied"));
        ended.map(|()| new)
    }

    /// These settings changed for one answer, by what is left of a `response`.
    pub(super) fn for_answer(&self, model: Model<'_>, said: Map<String, Value>) -> Result<Self, Refusal> {
        let (mut new, mut refused) = (self.clone(), Refused::default());
        new.output(said, "response", model, &mut refused);
        refused.end().map(|()| new)
    }

    fn session(&mut self, mut said: Map<String, Value>, model: Model<'_>, refused: &mut Refused) {
        for (name, only) in [("type", "realtime"), ("object", "realtime.session"), ("model", model.name())] {
            if let Some(value) = said.remove(name)
                && value != only
                && !value.is_null()
            {
                let param = format!("session.{name}");
                let message = format!("'{param}' is {value}, and sessions here are of {only:?}");
                refused.add(Refusal::param(param, message));
            }
        }
        informing(&mut said, refused);
        if let Some(audio) = said.get_mut("audio").and_then(Value::as_object_mut)
            && let Some(input) = audio.remove("input")
            && let Some(input) = refused.ok(whole_object(INPUT, input))
        {
            self.input(input, model, refused);
        }
        self.output(said, "session", model, refused);
        if self.turns.is_some() && !self.hears(model) {
            let message =
                format!("the model '{}' takes no sound, so there are no turns to detect", model.name());
            refused.add(Refusal::param(turns::AT, message));
        }
    }

    fn input(&mut self, mut said: Map<String, Value>, model: Model<'_>, refused: &mut Refused) {
        refused.format(INPUT, said.remove("format"));
        if let Some(how) = said.remove("noise_reduction").filter(|how| !how.is_null()) {
            let param = format!("{INPUT}.noise_reduction");
            let message = format!("'{param}' is {how}, and sounds are heard as they come; there is null");
            refused.add(Refusal::param(param, message));
        }
        match said.remove("turn_detection") {
            None => {}
            // Some clients say so that they find turns themselves.
            Some(Value::Null | Value::Bool(false)) => self.turns = None,
            Some(turns) => self.turns = Turns::read(turns, refused),
        }
        match said.remove("transcription") {
            None => {}
            Some(Value::Null) => self.transcription = None,
            Some(how) => {
                let how = refused.ok(whole_object(&format!("{INPUT}.transcription"), how));
                self.transcription = how.and_then(|how| Transcription::read(model, how, refused));
            }
        }
        refused.rest(INPUT, said);
    }

    /// What is said of answers, at `at`.
    fn output(&mut self, mut said: Map<String, Value>, at: &str, model: Model<'_>, refused: &mut Refused) {
        if let Some(words) = said.remove("output_modalities") {
            let speaks = refused.ok(modalities(&format!("{at}.output_modalities"), &words, model));
            self.speaks = speaks.unwrap_or(self.speaks);
        }
        match said.remove("instructions") {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => self.instructions = text,
            Some(other) => refused.add(wrong(&format!("{at}.instructions"), "a string", &other)),
        }
        let inner = format!("{at}.audio");
        let audio = said.remove("audio").and_then(|audio| refused.ok(whole_object(&inner, audio)));
        if let Some(mut audio) = audio {
            let output = audio.remove("output");
            let place = format!("{inner}.output");
            let output = output.and_then(|output| refused.ok(whole_object(&place, output)));
            if let Some(output) = output {
                self.sound(output, &place, refused);
            }
            refused.rest(&inner, audio);
        }
        for (name, value) in said {
            self.knob(name, value);
        }
        let knows_voices = |with| model.choices(with).any(|choice| choice.knob("voice").is_some());
        if ![None, Some("audio")].into_iter().any(knows_voices) {
            // There is one voice, whatever clients call it.
            self.voice = None;
        }
        self.check(model, at, refused);
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

    /// What is said of the sound of answers, at `at`.
    fn sound(&mut self, mut said: Map<String, Value>, at: &str, refused: &mut Refused) {
        refused.format(at, said.remove("format"));
        if let Some(voice) = said.remove("voice") {
            let is_name = voice.is_null() || refused.ok(voice_name(&format!("{at}.voice"), &voice)).is_some();
            self.voice = Some(voice).filter(|voice| is_name && !voice.is_null());
        }
        if let Some(speed) = said.remove("speed") {
            self.speed = Some(speed).filter(|speed| !speed.is_null());
        }
        refused.rest(at, said);
    }

    /// Whether there is a recording that these can be said to. If there is none, what is refused is what the one that
    /// takes most of them does not take.
    fn check(&self, model: Model<'_>, at: &str, refused: &mut Refused) {
        let mut nearest: Option<(Vec<Refusal>, Refusal)> = None;
        for choice in model.choices(self.with()) {
            let Err(whole) = self.inputs(&choice) else { return };
            let alone =
                self.each().filter_map(|one| one.inputs(&choice).err()).take(MOST + 1).collect::<Vec<_>>();
            if nearest.as_ref().is_none_or(|(fewest, _)| alone.len() < fewest.len()) {
                nearest = Some((alone, whole));
            }
        }
        match nearest {
            Some((alone, whole)) => refused.each(at, alone.into_iter(), whole),
            None => refused.add(Refusal::ours("no recording answers this endpoint")),
        }
    }

    /// Each of these settings that sets an input, alone.
    fn each(&self) -> impl Iterator<Item = Self> {
        let (instructions, knobs) = (String::new(), BTreeMap::new());
        let none =
            Self { instructions, voice: None, speed: None, transcription: None, knobs, ..self.clone() };
        let of = [
            Self { instructions: self.instructions.clone(), ..none.clone() },
            Self { voice: self.voice.clone(), ..none.clone() },
            Self { speed: self.speed.clone(), ..none.clone() },
        ];
        let knobs = self.knobs.iter().map(move |(name, value)| {
            let knobs = BTreeMap::from([(name.clone(), value.clone())]);
            Self { knobs, ..none.clone() }
        });
        of.into_iter().chain(knobs)
    }

    /// What they set of the inputs of a recording.
    pub(super) fn inputs(&self, choice: &Choice<'_>) -> Result<Vec<(String, Datum)>, Refusal> {
        let mut fields = Fields::from_values(self.knobs.clone());
        fields.voice(self.voice.clone(), VOICE, choice)?;
        if let Some(speed) = &self.speed {
            fields.put("speed", speed.clone());
        }
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
        let inputs = fields.rest(choice);
        let inputs = inputs.map_err(|it| if self.voice.is_some() { it.called("voice", VOICE) } else { it });
        inputs.map_err(|it| if self.speed.is_some() { it.called("speed", SPEED) } else { it })
    }

    /// As `session.created` and `session.updated` say them.
    pub(super) fn shown(&self, model: &str, id: &str) -> Value {
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
                    "turn_detection": self.turns.as_ref().map(Turns::shown),
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
        let mut shown = json!({ "format": format(), "voice": self.voice.as_ref().unwrap_or(&default) });
        if let Some(speed) = &self.speed {
            shown["speed"] = speed.clone();
        }
        shown
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

/// Takes what asks for nothing: how a client is called in traces of its own, and what a session says of itself.
fn informing(said: &mut Map<String, Value>, refused: &mut Refused) {
    match said.remove("tracing") {
        None | Some(Value::Null | Value::Object(_)) => {}
        Some(word) if word == "auto" => {}
        Some(other) => {
            let param = "session.tracing";
            let message = format!("'{param}' is {other}, and must be null, \"auto\" or an object");
            refused.add(Refusal::param(param, message));
        }
    }
    if said.get("id").is_some_and(Value::is_string) {
        said.remove("id");
    }
}

impl Refused {
    /// Refuses sounds of formats that are not made and not read, at `at`.
    fn format(&mut self, at: &str, said: Option<Value>) {
        let Some(said) = said.filter(|said| !said.is_null()) else { return };
        let at = format!("{at}.format");
        let Some(mut said) = self.ok(object(&at, said)) else { return };
        for (name, only) in [("type", json!("audio/pcm")), ("rate", json!(RATE_HZ))] {
            if let Some(value) = said.remove(name).filter(|value| *value != only) {
                let param = format!("{at}.{name}");
                self.add(Refusal::param(&param, format!("'{param}' is {value}; there is {only}")));
            }
        }
        self.rest(&at, said);
    }
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
