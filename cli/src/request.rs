//! A request from the command line: which way to ask, what it brings, where its outputs go.

pub(crate) mod answer;
pub(crate) mod inputs;
pub(crate) mod npy;
pub(crate) mod outputs;
pub(crate) mod way;

use crate::failure::Failure;

/// `name=value` of `--in` and `--out`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Splits `name=value`.
pub(crate) fn bindings(option: &str, texts: &[String]) -> Result<Vec<Binding>, Failure> {
    let split = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() && (option == "in" || !value.is_empty()) => {
            Ok(Binding { name: name.trim().to_owned(), value: value.to_owned() })
        }
        _ => Err(Failure::Usage(format!("--{option} {text}: expected --{option} name=value"))),
    };
    texts.iter().map(split).collect()
}
