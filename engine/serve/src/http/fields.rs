//! The fields of a request. Each is taken by whoever uses it, goes to an input of the graph that has its name and a
//! default, or is refused by its name: nothing that a client says is dropped.

use std::collections::BTreeMap;

use corn_core::Datum;
use corn_plan::{Form, Kind, Type};
use serde_json::{Map, Value};

use super::body::check_values;
use super::models::Choice;
use super::refusal::Refusal;

/// What fields say when they say what happens anyhow. Clients send some of these always.
const NEUTRAL: &[(&str, &[&str])] = &[
    ("n", &["1", "\"1\""]),
    ("stream", &["false"]),
    ("logprobs", &["false"]),
    ("store", &["false"]),
    ("echo", &["false"]),
    ("metadata", &["{}"]),
    ("logit_bias", &["{}"]),
    ("stop", &["[]"]),
    ("tools", &["[]"]),
    ("functions", &["[]"]),
    ("tool_choice", &["\"none\"", "\"auto\""]),
    ("response_format", &["{\"type\":\"text\"}"]),
    ("frequency_penalty", &["0", "0.0"]),
    ("presence_penalty", &["0", "0.0"]),
    ("best_of", &["1"]),
    ("partial_images", &["0", "\"0\""]),
    ("speed", &["1", "1.0", "\"1\"", "\"1.0\""]),
    ("size", &["\"auto\""]),
    ("quality", &["\"auto\""]),
    ("background", &["\"auto\"", "\"opaque\""]),
    ("moderation", &["\"auto\""]),
    ("truncation", &["\"auto\""]),
    ("include", &["[]"]),
    ("parallel_tool_calls", &["true", "false"]),
];

/// Fields that say who asks or what for, and nothing of the answer.
const INFORMING: &[&str] = &["user", "metadata", "safety_identifier", "prompt_cache_key"];

/// What a stream says of what it used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SaysUsage {
    Never,
    AtTheEnd,
    /// As far as it is, with each piece, and at the end.
    Always,
}

/// The fields of a request that nobody has taken yet.
#[derive(Debug)]
pub(super) struct Fields {
    fields: BTreeMap<String, Value>,
    /// Everything came as text, from a form.
    is_form: bool,
}

impl Fields {
    /// Of a JSON object.
    pub(super) fn from_json(body: &[u8]) -> Result<Self, Refusal> {
        check_values(body)?;
        let object: Map<String, Value> = serde_json::from_slice(body).map_err(|error| {
            Refusal::request(
                axum::http::StatusCode::BAD_REQUEST,
                format!("the body is no JSON object: {error}"),
            )
        })?;
        // A field that is null is one that is not there.
        let fields = object.into_iter().filter(|(_, value)| !value.is_null()).collect();
        Ok(Self { fields, is_form: false })
    }

    /// Of fields that have been read.
    pub(super) fn from_values(fields: BTreeMap<String, Value>) -> Self {
        Self { fields, is_form: false }
    }

    /// Of a form.
    pub(super) fn from_form(fields: BTreeMap<String, Value>) -> Self {
        Self { fields, is_form: true }
    }

    /// A field as it is.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name)
    }

    /// What a field says that is a text, and stays.
    pub(super) fn said(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }

    /// A field that is a text.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(name, "a string", &other)),
        }
    }

    /// A field that is a text and must be there.
    pub(super) fn needed_text(&mut self, name: &str) -> Result<String, Refusal> {
        self.text(name)?.ok_or_else(|| missing(name))
    }

    /// A field that is yes or no, and no if it is not there.
    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Refusal> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(Value::String(word)) if self.is_form && word.parse::<bool>().is_ok() => Ok(word == "true"),
            Some(other) => Err(wrong(name, "true or false", &other)),
        }
    }

    /// A field that must be there, and is a text or a list of at most `max`.
    pub(super) fn texts(&mut self, name: &str, max: usize) -> Result<Vec<String>, Refusal> {
        let items = match self.take(name) {
            Some(Value::String(text)) => return Ok(vec![text]),
            Some(Value::Array(items)) if (1..=max).contains(&items.len()) => items,
            Some(Value::Array(items)) => {
                let message = format!("'{name}' is a list of {}; 1 to {max} texts are taken", items.len());
                return Err(Refusal::param(name, message));
            }
            Some(other) => return Err(wrong(name, "a string or a list of strings", &other)),
            None => return Err(missing(name)),
        };
        let text = |(at, item)| match item {
            Value::String(text) => Ok(text),
            // Tokens mean something to one tokenizer only, and whose they are is not said.
            other => Err(wrong(&format!("{name}[{at}]"), "a string; tokens are not taken", &other)),
        };
        items.into_iter().enumerate().map(text).collect()
    }

    /// Whether `stream_options` asks for usage in a stream.
    pub(super) fn says_usage(&mut self, is_streamed: bool) -> Result<SaysUsage, Refusal> {
        let mut options = match self.take("stream_options") {
            None => return Ok(SaysUsage::Never),
            Some(Value::Object(options)) if is_streamed => options,
            Some(Value::Object(_)) => {
                let message = "'stream_options' is only for answers that are streamed";
                return Err(Refusal::param("stream_options", message));
            }
            Some(other) => return Err(wrong("stream_options", "an object", &other)),
        };
        let mut flag = |name: &str| match options.remove(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(wrong(&format!("stream_options.{name}"), "true or false", &other)),
        };
        let says_usage = match (flag("include_usage")?, flag("continuous_usage_stats")?) {
            (false, _) => SaysUsage::Never,
            (true, false) => SaysUsage::AtTheEnd,
            (true, true) => SaysUsage::Always,
        };
        let rest = options.into_iter().find(|(_, value)| !value.is_null() && *value != false);
        match rest {
            Some((name, _)) => {
                let param = format!("stream_options.{name}");
                Err(Refusal::param(&param, format!("'{param}' is not taken")))
            }
            None => Ok(says_usage),
        }
    }

    /// A field that is one of `words`. `what` says of others why they are not among them.
    pub(super) fn word(
        &mut self,
        name: &str,
        words: &'static [&'static str],
        what: &str,
    ) -> Result<Option<&'static str>, Refusal> {
        let Some(said) = self.text(name)? else { return Ok(None) };
        one_of(name, &said, words, what).map(Some)
    }

    /// Another name for a field: what is said as `alias` counts as said as `name`, if the graph knows that alone.
    pub(super) fn alias(&mut self, alias: &str, name: &str, choice: &Choice<'_>) {
        if choice.knob(alias).is_none()
            && choice.knob(name).is_some()
            && !self.fields.contains_key(name)
            && let Some(value) = self.fields.remove(alias)
        {
            self.fields.insert(name.to_owned(), value);
        }
    }

    /// A voice: its name, as such or as the `id` of an object. `param` is where it stood. A model with one voice speaks
    /// with that, whatever others call theirs: the API demands that a voice is named.
    pub(super) fn voice(
        &mut self,
        said: Option<Value>,
        param: &str,
        choice: &Choice<'_>,
    ) -> Result<(), Refusal> {
        if let Some(said) = said {
            let name = voice_name(param, &said)?;
            if choice.knob("voice").is_some() {
                self.put("voice", name.into());
            }
        }
        Ok(())
    }

    /// Says something in addition.
    pub(super) fn put(&mut self, name: &str, value: Value) {
        self.fields.insert(name.to_owned(), value);
    }

    /// What is left goes to the inputs of the graph that have these names and a default.
    pub(super) fn rest(self, choice: &Choice<'_>) -> Result<Vec<(String, Datum)>, Refusal> {
        let mut inputs = Vec::new();
        for (name, value) in self.fields {
            if let Some(ty) = choice.knob(&name) {
                let datum = datum(&value, ty, self.is_form)
                    .map_err(|problem| Refusal::param(&name, format!("'{name}': {problem}")))?;
                inputs.push((name, datum));
            } else if !is_neutral(&name, &value) {
                return Err(choice.no_knob(&name));
            }
        }
        Ok(inputs)
    }
}

/// The name of a voice, as such or as the `id` of an object.
pub(super) fn voice_name<'s>(param: &str, said: &'s Value) -> Result<&'s str, Refusal> {
    let name = match said {
        Value::Object(voice) if voice.len() == 1 => voice.get("id"),
        other => Some(other),
    };
    name.and_then(Value::as_str).ok_or_else(|| {
        Refusal::param(param, format!("'{param}' is no name of a voice, and no object with its 'id'"))
    })
}

/// `said`, if it is one of `words`.
pub(super) fn one_of(
    name: &str,
    said: &str,
    words: &'static [&'static str],
    what: &str,
) -> Result<&'static str, Refusal> {
    words.iter().find(|word| **word == said).copied().ok_or_else(|| {
        Refusal::param(name, format!("'{name}' is {said:?}, and {what}; there is {}", words.join(", ")))
    })
}

/// The field `name` is not of the type that it must be.
pub(super) fn wrong(name: &str, what: &str, is: &Value) -> Refusal {
    let is = match is {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    Refusal::param(name, format!("'{name}' is {is} and must be {what}"))
}

/// The field `name` must be there.
pub(super) fn missing(name: &str) -> Refusal {
    Refusal::param(name, format!("'{name}' is missing"))
}

fn is_neutral(name: &str, value: &Value) -> bool {
    let said = value.to_string();
    INFORMING.contains(&name)
        || NEUTRAL.iter().any(|(field, neutral)| *field == name && neutral.contains(&said.as_str()))
}

/// What a field says, as a value of type `ty`.
fn datum(value: &Value, ty: &Type, is_form: bool) -> Result<Datum, String> {
    // A form has only texts, so the type of the input says what they are.
    let parsed = match value {
        Value::String(text) if is_form && !matches!(ty.kind, Kind::Text { .. } | Kind::Enum(_)) => {
            serde_json::from_str(text).ok()
        }
        _ => None,
    };
    let value = parsed.as_ref().unwrap_or(value);
    let datum = match (ty.form, value) {
        (Form::List { .. }, Value::Array(items)) => {
            let items: Option<Vec<Datum>> = items.iter().map(|item| single(item, &ty.kind)).collect();
            items.map(|items| Datum::List(items.into()))
        }
        // As in `stop`: one instead of a list of one.
        (Form::List { .. }, value) => single(value, &ty.kind).map(|item| Datum::List([item].into())),
        _ => single(value, &ty.kind),
    };
    let datum = datum.ok_or_else(|| format!("{value} where {ty} is declared"))?;
    datum.check_type(ty).map(|()| datum)
}

fn single(value: &Value, kind: &Kind) -> Option<Datum> {
    Some(match (kind, value) {
        (Kind::Text { .. } | Kind::Enum(_), Value::String(text)) => Datum::text(text.as_str()),
        (Kind::Int, Value::Number(number)) => Datum::Int(number.as_i64()?),
        (Kind::Float, Value::Number(number)) => Datum::Float(number.as_f64()?),
        (Kind::Bool, Value::Bool(flag)) => Datum::Bool(*flag),
        _ => return None,
    })
}
