//! What a chat's answer has to be: `response_format`, which becomes a JSON schema for the input of that name.

use corn_plan::Kind;
use serde_json::{Map, Value, json};

use super::fields::{Fields, missing, wrong};
use super::models::Choice;
use super::refusal::Refusal;
use super::talk::unknown;

const FIELD: &str = "response_format";
const TYPES: &str = "there is text, json_object, json_schema";

/// Makes of `response_format` the schema that the graph's input of that name takes: a text, and empty where the answer
/// is free. Without such an input the field stays as it is.
pub(super) fn read(fields: &mut Fields, choice: &Choice<'_>) -> Result<(), Refusal> {
    let takes_schema = choice.knob(FIELD).is_some_and(|ty| matches!(ty.kind, Kind::Text { .. }));
    if takes_schema && let Some(said) = fields.take(FIELD) {
        fields.put(FIELD, schema(said)?.into());
    }
    Ok(())
}

fn schema(said: Value) -> Result<String, Refusal> {
    let mut said = object(FIELD, said)?;
    let kind = match said.remove("type") {
        Some(Value::String(kind)) => kind,
        Some(other) => return Err(wrong(&at("type"), "a string", &other)),
        None => return Err(missing(&at("type"))),
    };
    let schema = match kind.as_str() {
        "text" => String::new(),
        "json_object" => json!({ "type": "object" }).to_string(),
        "json_schema" => named(said.remove("json_schema"))?,
        other => {
            let place = at("type");
            return Err(Refusal::param(
                &place,
                format!("'{place}' is {other:?}, which is not taken; {TYPES}"),
            ));
        }
    };
    nothing_else(FIELD, &said)?;
    Ok(schema)
}

/// The schema in its envelope. An answer is held to it whether that is `strict` or not, and what its name and its
/// description say, as its own `title` and `description` do, is for people.
fn named(envelope: Option<Value>) -> Result<String, Refusal> {
    let place = at("json_schema");
    let mut envelope = object(&place, envelope.unwrap_or(Value::Null))?;
    match envelope.remove("name") {
        Some(Value::String(_)) => {}
        Some(other) => return Err(wrong(&format!("{place}.name"), "a string", &other)),
        None => return Err(missing(&format!("{place}.name"))),
    }
    match envelope.remove("strict") {
        None | Some(Value::Bool(_) | Value::Null) => {}
        Some(other) => return Err(wrong(&format!("{place}.strict"), "true or false", &other)),
    }
    match envelope.remove("description") {
        None | Some(Value::String(_) | Value::Null) => {}
        Some(other) => return Err(wrong(&format!("{place}.description"), "a string", &other)),
    }
    let schema = object(&format!("{place}.schema"), envelope.remove("schema").unwrap_or(Value::Null))?;
    nothing_else(&place, &envelope)?;
    Ok(Value::Object(schema).to_string())
}

fn object(place: &str, value: Value) -> Result<Map<String, Value>, Refusal> {
    match value {
        Value::Object(fields) => Ok(fields),
        Value::Null => Err(missing(place)),
        other => Err(wrong(place, "an object", &other)),
    }
}

fn nothing_else(place: &str, rest: &Map<String, Value>) -> Result<(), Refusal> {
    match rest.iter().find(|(_, value)| !value.is_null()) {
        Some((name, _)) => Err(unknown(place, name)),
        None => Ok(()),
    }
}

fn at(name: &str) -> String {
    format!("{FIELD}.{name}")
}
