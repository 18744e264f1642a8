//! What editors read of the language stays true to it.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn json(path: &str) -> Value {
    let text = fs::read_to_string(root().join(path)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The texts under any of `keys`, at any depth.
fn texts<'v>(value: &'v Value, keys: &[&str], found: &mut Vec<&'v str>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if keys.contains(&key.as_str()) => found.push(text),
                    _ => texts(value, keys, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, keys, found)),
        _ => {}
    }
}

/// The words that the lexer knows, reserved or with a meaning in their place.
fn words() -> BTreeSet<String> {
    let lexer = fs::read_to_string(root().join("compiler/src/syntax/token.rs")).unwrap();
    let tokens = lexer.split("#[token(\"").skip(1).filter_map(|rest| rest.split('"').next());
    tokens.filter(|token| token.chars().all(|c| c.is_ascii_lowercase())).map(str::to_owned).collect()
}

#[test]
fn the_grammar_for_editors_knows_every_word() {
    let grammar = json("docs/editors/vscode/syntaxes/corn.tmLanguage.json");
    let mut patterns = Vec::new();
    texts(&grammar, &["match", "begin"], &mut patterns);
    let spaced = patterns.join(" ").replace("\\b", " ").replace("\\s", " ");
    let known: BTreeSet<&str> = spaced.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let words = words();
    assert!(words.len() > 20, "the words are not where they should be: {words:?}");
    for word in &words {
        assert!(known.contains(word.as_str()), "corn.tmLanguage.json has no pattern for `{word}`");
    }
}

#[test]
fn the_grammar_refers_to_what_it_has() {
    let grammar = json("docs/editors/vscode/syntaxes/corn.tmLanguage.json");
    let mut includes = Vec::new();
    texts(&grammar, &["include"], &mut includes);
    for include in includes {
        let name = include.strip_prefix('#').expect("an include of its own");
        assert!(grammar["repository"].get(name).is_some(), "there is no {include}");
    }
}

#[test]
fn the_extension_refers_to_what_it_has() {
    let manifest = json("docs/editors/vscode/package.json");
    json("docs/editors/vscode/language-configuration.json");
    let mut paths = Vec::new();
    texts(&manifest, &["path", "main"], &mut paths);
    texts(&manifest["contributes"]["languages"], &["configuration"], &mut paths);
    assert_eq!(paths.len(), 3, "{paths:?}");
    for path in paths {
        assert!(root().join("docs/editors/vscode").join(path).is_file(), "{path}");
    }
}
