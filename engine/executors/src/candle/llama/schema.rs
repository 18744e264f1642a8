//! JSON schemas of strangers, looked at before they are compiled.
//!
//! The compiler of grammars copies what is referred to, once for each place and for each combination of alternatives,
//! and calls itself as deep as a schema is. So a short schema could take all memory, or all of a stack. Here it is
//! counted what it would come to, without making it.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Schemas that one may come to.
const MAX_SIZE: u64 = 20_000;
/// How deep they may stand in each other, with those that are referred to in their places.
const MAX_DEPTH: usize = 48;
/// Properties of one object.
const MAX_PROPERTIES: usize = 256;

/// Keywords whose value is a schema, or a list of schemas.
const OF_SCHEMAS: [&str; 4] = ["items", "prefixItems", "additionalItems", "additionalProperties"];
/// Keywords that become an automaton of some work, as much as so many schemas are.
const AUTOMATA: [(&str, u64); 3] = [("pattern", 100), ("format", 100), ("multipleOf", 1000)];
/// What a number may be a multiple of, without the zeros around it: its automaton has as many states.
const MAX_MULTIPLE: u64 = 1000;
/// Keywords that would take unbounded work, or make a grammar of the compiler's own.
const REFUSED: [&str; 2] = ["patternProperties", "x-guidance"];
/// Bounds that are whole numbers.
const COUNTS: [&str; 6] =
    ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"];
/// The largest of them: an answer is shorter.
const MAX_COUNT: u64 = 1_000_000;

/// What a schema comes to.
#[derive(Clone, Copy)]
struct Extent {
    size: u64,
    depth: usize,
}

impl Extent {
    const ONE: Self = Self { size: 1, depth: 1 };

    /// Of this with `inner` in it.
    fn hold(&mut self, inner: Self) {
        self.size = self.size.saturating_add(inner.size);
        self.depth = self.depth.max(inner.depth + 1);
    }
}

/// Whether a schema can be compiled with bounded means; what is wrong with it, if it cannot.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    if !schema.is_object() {
        return Err("is no JSON object".to_owned());
    }
    let mut survey = Survey { root: schema, referred: HashMap::new() };
    let extent = survey.schema(schema, 1)?;
    if extent.depth > MAX_DEPTH {
        return Err(too_deep());
    }
    if extent.size > MAX_SIZE {
        return Err(format!(
            "comes to more than {MAX_SIZE} schemas, with those that it refers to in their places and all combinations \
             of alternatives"
        ));
    }
    Ok(())
}

struct Survey<'s> {
    root: &'s Value,
    /// What each reference comes to; nothing while it is being worked out.
    referred: HashMap<&'s str, Option<Extent>>,
}

impl<'s> Survey<'s> {
    fn schema(&mut self, schema: &'s Value, at: usize) -> Result<Extent, String> {
        if at > MAX_DEPTH {
            return Err(too_deep());
        }
        let Value::Object(keywords) = schema else { return Ok(Extent::ONE) };
        check_keywords(keywords)?;
        let mut whole = Extent::ONE;
        for keyword in OF_SCHEMAS {
            match keywords.get(keyword) {
                Some(Value::Array(schemas)) => {
                    for schema in schemas {
                        whole.hold(self.schema(schema, at + 1)?);
                    }
                }
                Some(schema) => whole.hold(self.schema(schema, at + 1)?),
                None => {}
            }
        }
        for schema in keywords.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::values)
        {
            whole.hold(self.schema(schema, at + 1)?);
        }
        whole.hold(constant(keywords.get("const")));
        let automata = AUTOMATA.iter().filter(|(keyword, _)| keywords.contains_key(*keyword));
        whole.size = automata.fold(whole.size, |size, (_, work)| size.saturating_add(*work));
        // What stands beside alternatives is copied for each of them.
        let mut times = |others: Extent| {
            whole.size = whole.size.saturating_mul(others.size.max(1));
            whole.depth = whole.depth.max(others.depth + 1);
        };
        times(constant(keywords.get("enum")));
        for keyword in ["anyOf", "oneOf"] {
            let mut options = Extent { size: 0, depth: 0 };
            for option in keywords.get(keyword).and_then(Value::as_array).into_iter().flatten() {
                options.hold(self.schema(option, at + 1)?);
            }
            if keyword == "oneOf" {
                // Each is held against each other.
                options.size = options.size.saturating_mul(options.size);
            }
            times(options);
        }
        for part in keywords.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            times(self.schema(part, at + 1)?);
        }
        if let Some(reference) = keywords.get("$ref").and_then(Value::as_str) {
            times(self.referred(reference, at + 1)?);
        }
        Ok(whole)
    }

    /// What `reference` comes to. What refers to itself is not copied into itself.
    fn referred(&mut self, reference: &'s str, at: usize) -> Result<Extent, String> {
        match self.referred.get(reference) {
            Some(Some(extent)) if at + extent.depth <= MAX_DEPTH => return Ok(*extent),
            Some(None) => return Ok(Extent::ONE),
            _ => {}
        }
        let schema = self.find(reference)?;
        self.referred.insert(reference, None);
        let extent = self.schema(schema, at)?;
        self.referred.insert(reference, Some(extent));
        Ok(extent)
    }

    fn find(&self, reference: &str) -> Result<&'s Value, String> {
        let Some(path) = reference.strip_prefix('#') else {
            return Err(format!("refers to {reference:?}, which is not within it; there is \"#/$defs/…\""));
        };
        let mut names = path.trim_start_matches('/').split('/').filter(|name| !name.is_empty());
        names
            .try_fold(self.root, |schema, name| match schema {
                Value::Array(schemas) => schemas.get(name.parse::<usize>().ok()?),
                other => other.get(name),
            })
            .ok_or_else(|| format!("refers to {reference:?}, and has nothing there"))
    }
}

fn too_deep() -> String {
    format!("is more than {MAX_DEPTH} deep, with those that it refers to in their places")
}

fn check_keywords(keywords: &Map<String, Value>) -> Result<(), String> {
    if let Some(keyword) = REFUSED.iter().find(|keyword| keywords.contains_key(**keyword)) {
        return Err(format!("has {keyword:?}, which is not taken"));
    }
    for keyword in COUNTS {
        match keywords.get(keyword) {
            Some(bound) if bound.as_u64().is_none_or(|bound| bound > MAX_COUNT) => {
                return Err(format!(
                    "has {keyword:?}: {bound}, which must be a whole number up to {MAX_COUNT}"
                ));
            }
            _ => {}
        }
    }
    if let Some(multiple) = keywords.get("multipleOf")
        && digits(multiple).is_none_or(|digits| digits > MAX_MULTIPLE)
    {
        return Err(format!(
            "has \"multipleOf\": {multiple}, which must be a number up to {MAX_MULTIPLE}, times a power of ten"
        ));
    }
    let properties = keywords.get("properties").and_then(Value::as_object).map_or(0, Map::len);
    let required = keywords.get("required").and_then(Value::as_array).map_or(0, Vec::len);
    let count = properties.max(required);
    if count > MAX_PROPERTIES {
        return Err(format!("has an object of {count} properties; there may be {MAX_PROPERTIES}"));
    }
    Ok(())
}

/// The digits of a number, without the zeros before and behind them.
fn digits(number: &Value) -> Option<u64> {
    let text = number.as_f64()?.abs().to_string();
    let digits: String = text.chars().filter(|letter| *letter != '.').collect();
    digits.trim_matches('0').parse().ok()
}

/// What a value comes to that an answer must be.
fn constant(value: Option<&Value>) -> Extent {
    let mut whole = Extent { size: 0, depth: 0 };
    let mut hold = |inner: &Value| whole.hold(constant(Some(inner)));
    match value {
        None => return whole,
        Some(Value::Array(items)) => items.iter().for_each(&mut hold),
        Some(Value::Object(fields)) => fields.values().for_each(&mut hold),
        Some(_) => return Extent::ONE,
    }
    whole
}
