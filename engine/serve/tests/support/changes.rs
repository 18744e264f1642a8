//! Values that nobody means well, and where to put them.

use proptest::prelude::*;
use serde_json::{Value, json};

/// Values of every kind, good and bad.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let numbers =
        prop::sample::select(vec![json!(0), json!(-1), json!(1e300), json!(u64::MAX), json!(2.5), json!(99)]);
    let texts = prop::sample::select(vec![
        "",
        "auto",
        "data:,",
        "data:image/png;base64,",
        "http://127.0.0.1/",
        "\0",
        "é\u{202e}",
        "none",
        "true",
        "1",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        numbers,
        texts.prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,9}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// The places of all values in `value`, as JSON pointers.
pub(crate) fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| places(item, &format!("{at}/{n}"), found));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| places(field, &format!("{at}/{name}"), found));
        }
        _ => {}
    }
}
