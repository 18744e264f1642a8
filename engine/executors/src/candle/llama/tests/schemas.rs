//! Answers that are JSON by a schema.

use serde_json::{Value, json};

use super::*;

/// The port `schema`.
const PORT: usize = 7;

/// A call that is answered by `schema`.
fn by_schema(id: u64, prompt: &str, schema: &Value, seed: i64) -> Call {
    let mut call = call(id, prompt, seed, u32::MAX);
    call.inputs.resize(PORT, CallInput::Absent);
    call.inputs.push(CallInput::Value(Datum::text(schema.to_string())));
    call
}

fn is_text(value: &Value, longest: usize) -> bool {
    value.as_str().is_some_and(|text| text.chars().count() <= longest)
}

type Holds = fn(&Value) -> bool;

/// Schemas, and what is true of values by them.
fn schemas() -> Vec<(Value, Holds)> {
    let short = json!({ "type": "string", "maxLength": 5 });
    vec![
        (
            // The order is that of the schema.
            json!({
                "type": "object",
                "properties": { "name": short, "age": { "type": "integer" }, "aside": { "type": "boolean" } },
                "required": ["name", "age"],
                "additionalProperties": false,
            }),
            |it| {
                let names: Vec<&str> = it.as_object().unwrap().keys().map(String::as_str).collect();
                (names == ["name", "age"] || names == ["name", "age", "aside"] && it["aside"].is_boolean())
                    && is_text(&it["name"], 5)
                    && it["age"].is_number()
            },
        ),
        (json!({ "enum": ["red", "green", 7, null] }), |it| {
            [json!("red"), json!("green"), json!(7), Value::Null].contains(it)
        }),
        (json!({ "type": "array", "items": { "enum": [1, 2] }, "minItems": 2, "maxItems": 4 }), |it| {
            it.as_array().is_some_and(|items| {
                (2..=4).contains(&items.len()) && items.iter().all(|it| *it == 1 || *it == 2)
            })
        }),
        (
            json!({
                "type": "object",
                "properties": {
                    "at": {
                        "type": "object",
                        "properties": { "x": { "type": "number", "minimum": -1, "maximum": 1 } },
                        "required": ["x"],
                        "additionalProperties": false,
                    },
                },
                "required": ["at"],
                "additionalProperties": false,
            }),
            |it| it["at"]["x"].as_f64().is_some_and(|x| (-1.0..=1.0).contains(&x)),
        ),
        (json!({ "type": "integer", "minimum": 10, "maximum": 99, "multipleOf": 5 }), |it| {
            it.as_i64().is_some_and(|it| (10..=99).contains(&it) && it % 5 == 0)
        }),
        (json!({ "type": "string", "pattern": "^[A-C]{2}-[0-9]{3}$" }), |it| {
            let text = it.as_str().unwrap_or_default().as_bytes();
            text.len() == 6
                && text[..2].iter().all(|it| (b'A'..=b'C').contains(it))
                && text[3..].iter().all(u8::is_ascii_digit)
        }),
        (
            json!({ "anyOf": [short, { "type": "null" }, { "type": "array", "items": { "type": "boolean" }, "maxItems": 2 }] }),
            |it| {
                is_text(it, 5)
                    || it.is_null()
                    || it.as_array().is_some_and(|it| it.len() <= 2 && it.iter().all(Value::is_boolean))
            },
        ),
        (
            // As pydantic writes it.
            json!({
                "$defs": {
                    "Colour": { "enum": ["red", "green"], "title": "Colour", "type": "string" },
                    "Leaf": {
                        "properties": {
                            "colour": { "$ref": "#/$defs/Colour" },
                            "note": { "anyOf": [short, { "type": "null" }], "default": null, "title": "Note" },
                        },
                        "required": ["colour", "note"],
                        "title": "Leaf",
                        "type": "object",
                        "additionalProperties": false,
                    },
                },
                "properties": {
                    "leaves": { "items": { "$ref": "#/$defs/Leaf" }, "title": "Leaves", "type": "array", "maxItems": 3 },
                },
                "required": ["leaves"],
                "title": "Tree",
                "type": "object",
                "additionalProperties": false,
            }),
            |it| {
                it["leaves"].as_array().is_some_and(|leaves| {
                    leaves.len() <= 3
                        && leaves.iter().all(|leaf| {
                            (leaf["colour"] == "red" || leaf["colour"] == "green")
                                && (leaf["note"].is_null() || is_text(&leaf["note"], 5))
                        })
                })
            },
        ),
        (json!({ "type": "object" }), Value::is_object),
    ]
}

#[test]
fn an_answer_is_by_its_schema() {
    let mut llama = tiny(&[("max_tokens", Literal::Int(200))], 4);
    for (schema, holds) in schemas() {
        let mut ended = 0;
        for seed in 0..8 {
            llama.start(by_schema(0, "Hello!", &schema, seed));
            let seen = Seen::default().all(&mut llama);
            assert!(seen.done.contains(&CallId(0)), "{schema}: {:?}", seen.failed);
            let text = &seen.text[&CallId(0)];
            if seen.used[&CallId(0)].is_cut {
                continue;
            }
            let value: Value =
                serde_json::from_str(text).unwrap_or_else(|error| panic!("{schema}: {text}: {error}"));
            assert!(holds(&value), "{schema}: {text}");
            ended += 1;
        }
        assert!(ended >= 3, "{ended} of 8 answers ended by {schema}");
    }
}

#[test]
fn those_with_and_without_a_schema_get_together_what_each_gets_alone() {
    let all = schemas();
    let calls = || {
        let mut free = call(2, "What is a dataflow?", 3, u32::MAX);
        free.inputs.resize(PORT, CallInput::Absent);
        // One that is empty is none.
        free.inputs.push(CallInput::Value(Datum::text("")));
        [by_schema(0, "Hello!", &all[0].0, 1), by_schema(1, &"long ".repeat(30), &all[7].0, 2), free]
    };
    let mut llama = tiny(&[("max_tokens", Literal::Int(60))], 3);
    let alone: Vec<String> = calls()
        .into_iter()
        .map(|call| {
            let id = call.id;
            llama.start(call);
            Seen::default().all(&mut llama).text.remove(&id).unwrap()
        })
        .collect();
    assert!(alone[0].starts_with("{\"name\": ") && alone[1].starts_with("{\"leaves\": "), "{alone:?}");
    assert_eq!(alone[2], self::alone(&mut llama, "What is a dataflow?", 3));
    // Also where what was read is no longer known.
    for mut llama in [llama, tiny(&[("max_tokens", Literal::Int(60)), ("prefix_cache", Literal::Int(0))], 3)]
    {
        for call in calls() {
            llama.start(call);
        }
        let seen = Seen::default().all(&mut llama);
        for (id, alone) in (0..).zip(&alone) {
            assert_eq!(&seen.text[&CallId(id)], alone);
        }
    }
}

#[test]
fn an_answer_that_its_tokens_do_not_suffice_for_is_cut() {
    let schema = json!({ "const": [1, 2, 3] });
    let whole = "[1, 2, 3]";
    for (most, is_cut) in [(8, true), (9, false), (10, false)] {
        let stop = Literal::Texts(vec!["2".to_owned()]);
        let mut llama = tiny(&[("max_tokens", Literal::Int(most)), ("stop", stop)], 1);
        llama.start(by_schema(0, "Hello!", &schema, 1));
        let seen = Seen::default().all(&mut llama);
        // Each token is a letter here. A word that ends other answers ends none by a schema.
        assert_eq!(seen.text[&CallId(0)], whole[..whole.len().min(most as usize)]);
        assert_eq!(seen.used[&CallId(0)].is_cut, is_cut, "after {most}");
    }
}

/// What is said to `schema`.
fn refusal(llama: &mut Llama, schema: &str) -> String {
    let mut call = by_schema(0, "Hello!", &Value::Null, 1);
    call.inputs[PORT] = CallInput::Value(Datum::text(schema));
    llama.start(call);
    let mut seen = Seen::default().all(llama);
    let fault = seen.failed.remove(&CallId(0)).unwrap_or_else(|| panic!("{schema} was answered"));
    assert_eq!(fault.blame, Blame::Request, "{fault}");
    assert!(fault.message.contains("'schema'") && !fault.message.contains('\n'), "{fault}");
    fault.message
}

#[test]
fn a_schema_that_cannot_be_answered_by_is_the_requests_fault_and_named() {
    let mut llama = tiny(&[], 1);
    assert!(refusal(&mut llama, "{").contains("no JSON"));
    for (schema, why) in [
        (json!([]), "no JSON object"),
        (json!(true), "no JSON object"),
        (json!({ "$ref": "https://example.org/a.json" }), "not within it"),
        (json!({ "$ref": "#/$defs/a" }), "nothing there"),
        (json!({ "type": "strange" }), "strange"),
        (json!({ "type": "array", "uniqueItems": true }), "uniqueItems"),
        (json!({ "not": { "type": "string" } }), "not"),
        (json!({ "patternProperties": { "a": {} } }), "patternProperties"),
        (json!({ "x-guidance": { "lenient": true }, "uniqueItems": true }), "x-guidance"),
        (json!({ "type": "string", "format": "strange" }), "strange"),
        (json!({ "type": "string", "pattern": "(a" }), "unclosed group"),
        (json!({ "type": "string", "pattern": "(?=a)b" }), "look-ahead"),
        (json!({ "oneOf": [{ "type": "string" }, { "type": "string", "minLength": 2 }] }), "oneOf"),
        (json!({ "type": "object", "properties": { "a": false }, "required": ["a"] }), "'a'"),
        (json!({ "type": "number", "multipleOf": 0 }), "multipleOf"),
        (json!({ "type": "array", "maxItems": -1 }), "maxItems"),
        (json!({ "type": "array", "minItems": 3, "maxItems": 2 }), "minItems"),
        (json!({ "enum": "é".repeat(200) }), "enum"),
        (json!({ "$ref": "#" }), "may come next"),
    ] {
        let said = refusal(&mut llama, &schema.to_string());
        assert!(said.contains(why), "{schema}: {said}");
    }
    assert!(!alone(&mut llama, "Hello!", 1).is_empty(), "and it goes on");
}

/// A schema of `count` more that each refer to the one before twice, beside another keyword.
fn doubled(count: usize) -> Value {
    let reference = |at: usize| json!({ "$ref": format!("#/$defs/a{at}"), "type": "object" });
    let mut definitions = serde_json::Map::new();
    definitions.insert("a0".to_owned(), json!({ "type": "object" }));
    for at in 1..=count {
        let schema = json!({ "properties": { "l": reference(at - 1), "r": reference(at - 1) } });
        definitions.insert(format!("a{at}"), schema);
    }
    json!({ "$ref": format!("#/$defs/a{count}"), "$defs": definitions })
}

fn nested(depth: usize) -> Value {
    (1..depth).fold(json!({ "type": "string" }), |schema, _| json!({ "type": "array", "items": schema }))
}

fn properties(count: usize, schema: &Value) -> Value {
    let named: serde_json::Map<_, _> = (0..count).map(|at| (format!("p{at}"), schema.clone())).collect();
    json!({ "type": "object", "properties": named })
}

#[test]
fn a_schema_that_would_take_too_much_is_refused() {
    let mut llama = tiny(&[], 1);
    let chain: serde_json::Map<_, _> =
        (0..2000).map(|at| (format!("a{at}"), json!({ "$ref": format!("#/$defs/a{}", at + 1) }))).collect();
    let multiple = |of: u64| json!({ "type": "integer", "multipleOf": of });
    let pattern = json!({ "type": "string", "pattern": "(.*1.*)?(x.*2.*)*.{10}" });
    for (schema, why) in [
        (nested(49), "deep"),
        (json!({ "$ref": "#/$defs/a0", "$defs": chain }), "deep"),
        (doubled(20), "comes to more"),
        (properties(257, &json!({})), "257 properties"),
        (properties(250, &pattern), "comes to more"),
        (json!({ "allOf": [multiple(997), multiple(991)] }), "comes to more"),
        (multiple(9973), "multipleOf"),
        (json!({ "type": "array", "minItems": 2_000_000 }), "minItems"),
        (json!({ "type": "string", "pattern": format!("{}a{}", "(".repeat(300), ")".repeat(300)) }), "nest"),
        (json!({ "type": "string", "pattern": "[a-z]?".repeat(5000) }), "too many"),
    ] {
        let said = refusal(&mut llama, &schema.to_string());
        assert!(said.contains(why), "{why}: {said}");
    }
}

#[test]
fn a_schema_within_its_bounds_is_answered_by_however_it_is_meant() {
    let mut llama = tiny(&[("max_tokens", Literal::Int(20))], 1);
    for schema in [
        nested(48),
        doubled(10),
        properties(256, &json!({ "type": "string" })),
        properties(100, &json!({ "type": "string", "pattern": "(.*1.*)?(x.*2.*)*.{10}" })),
        properties(15, &json!({ "type": "integer", "multipleOf": 997 })),
        json!({ "type": "array", "minItems": 1_000_000 }),
        json!({ "type": "string", "minLength": 1_000_000 }),
        json!({ "type": "string", "pattern": "((((a{1000}){1000}){1000}){1000})" }),
        json!({ "type": "string", "pattern": "^(.*a.{40}|.*b.{30}c)(.*a.{30}){4}$" }),
        json!({ "type": "string", "pattern": (0..5000).map(|at| format!("w{at}x")).collect::<Vec<_>>().join("|") }),
        json!({ "enum": (0..5000).map(|at| format!("word {at}")).collect::<Vec<_>>() }),
        json!({ "$ref": "#/$defs/a", "$defs": { "a": { "properties": { "a": { "$ref": "#/$defs/a" } }, "required": ["a"] } } }),
    ] {
        llama.start(by_schema(0, "Hello!", &schema, 1));
        let seen = Seen::default().all(&mut llama);
        assert!(seen.done.contains(&CallId(0)), "{:.60}: {:?}", schema.to_string(), seen.failed);
    }
}
