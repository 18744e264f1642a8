//! What a component gives to an entry: paths of its weights and values of its options.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use corn_core::Fault;
use corn_plan::Literal;

/// The path that weights parameter `name` stands for; it exists.
pub(super) fn weights<'a>(files: &'a BTreeMap<String, PathBuf>, name: &str) -> Result<&'a Path, Fault> {
    let path =
        files.get(name).ok_or_else(|| Fault::setup(format!("the component gives no weights '{name}'")))?;
    if !path.exists() {
        return Err(Fault::setup(format!(
            "the weights '{name}' are not there: {} does not exist; fetch them again",
            path.display()
        )));
    }
    Ok(path)
}

/// The bytes of `file`.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, Fault> {
    std::fs::read(file)
        .map_err(|error| Fault::setup(format!("cannot read {}: {error}; fetch it again", file.display())))
}

/// Option `name` as a float within `range`, if it is given.
pub(super) fn float(
    options: &BTreeMap<String, Literal>,
    name: &str,
    range: RangeInclusive<f64>,
) -> Result<Option<f64>, Fault> {
    let value = match options.get(name) {
        None => return Ok(None),
        Some(Literal::Float(value)) => *value,
        Some(Literal::Int(value)) => *value as f64,
        Some(_) => return Err(Fault::setup(format!("the option '{name}' must be a number"))),
    };
    if range.contains(&value) {
        return Ok(Some(value));
    }
    Err(Fault::setup(format!(
        "the option '{name}' is {value}; it must be from {} to {}",
        range.start(),
        range.end()
    )))
}

/// Option `name` as an integer, if it is given.
pub(super) fn int(options: &BTreeMap<String, Literal>, name: &str) -> Result<Option<i64>, Fault> {
    match options.get(name) {
        None => Ok(None),
        Some(Literal::Int(value)) => Ok(Some(*value)),
        Some(_) => Err(Fault::setup(format!("the option '{name}' must be a whole number"))),
    }
}
