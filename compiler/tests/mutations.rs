//! What no file may do to the compiler: make it panic. And what every typo must do: be found.

mod harness;

use std::fs;
use std::path::PathBuf;

use harness::{compile_text, programs, stem, tests};

/// All programs that compile.
fn sound() -> Vec<PathBuf> {
    let mut all = programs(&tests().join("cases/programs"));
    all.extend(programs(&tests().join("../../dsl-examples")));
    all
}

/// A word of a program: its place and whether it is an identifier.
fn tokens(text: &str) -> Vec<(usize, &str, bool)> {
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(c) = text[rest..].chars().next() {
        let line = text[rest..].find('\n').map_or(text.len(), |end| rest + end);
        let end = if text[rest..].starts_with("//") {
            line
        } else if c == '"' {
            text[rest + 1..].find('"').map_or(text.len(), |end| rest + end + 2)
        } else if c.is_alphanumeric() || c == '_' {
            let part = |c: char| c.is_alphanumeric() || c == '_';
            rest + text[rest..].find(|c| !part(c)).unwrap_or(text.len() - rest)
        } else {
            rest + c.len_utf8()
        };
        let word = &text[rest..end];
        if !c.is_whitespace() && !word.starts_with("//") {
            found.push((rest, word, c.is_alphabetic() || c == '_'));
        }
        rest = end;
    }
    found
}

fn replaced(text: &str, at: usize, word: &str, by: &str) -> String {
    format!("{}{by}{}", &text[..at], &text[at + word.len()..])
}

/// How many mutations are tried of each program; all of them take minutes.
const TRIED: usize = 100;

/// Words taken out, doubled, and put in each other's place.
#[test]
fn no_program_makes_the_compiler_panic() {
    for path in sound() {
        let text = fs::read_to_string(&path).unwrap();
        let tokens = tokens(&text);
        let mut mutated = Vec::new();
        for (place, (at, word, is_name)) in tokens.iter().copied().enumerate() {
            mutated.push(replaced(&text, at, word, ""));
            mutated.push(replaced(&text, at, word, &format!("{word} {word}")));
            for step in [1, 5, 17, 40] {
                let (_, other, other_is_name) = tokens[(place + step) % tokens.len()];
                if is_name == other_is_name {
                    mutated.push(replaced(&text, at, word, other));
                }
            }
        }
        let step = (mutated.len() / TRIED).max(1);
        for text in mutated.iter().step_by(step) {
            let compilation = compile_text("mutated.corn", text);
            assert_eq!(compilation.plan.is_none(), compilation.has_errors(), "{text}");
        }
    }
}

/// What is no name; the parser's own cases hold slips of these.
const KEYWORDS: [&str; 9] =
    ["component", "graph", "route", "needs", "batch", "when", "window", "within", "enum"];

/// R15: a typo in any name is an error that names what was meant.
#[test]
fn a_typo_is_found_and_what_was_meant_is_named() {
    let mut missed = Vec::new();
    for path in sound() {
        let text = fs::read_to_string(&path).unwrap();
        let tokens = tokens(&text);
        for (place, (at, word, is_name)) in tokens.iter().copied().enumerate() {
            // Any name is right for a route.
            let is_route = place > 0 && tokens[place - 1].1 == "route";
            // And any is right for a kind of GPU.
            let is_kind = place > 1 && tokens[place - 2].1 == "gpu";
            // A class of one's own may call its ports and parameters what it likes.
            let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
            let declares =
                ["component ", "    in ", "    out "].iter().any(|head| text[line..].starts_with(head));
            if declares && text.contains("run python") {
                continue;
            }
            let uses = tokens.iter().filter(|(_, other, _)| *other == word).count();
            if !is_name || is_route || is_kind || word.len() < 4 || uses < 2 || KEYWORDS.contains(&word) {
                continue;
            }
            let middle = word.len() / 2;
            let typo = format!("{}{}", &word[..middle], &word[middle + 1..]);
            let compilation = compile_text(stem(&path), &replaced(&text, at, word, &typo));
            let named = compilation.diagnostics.iter().any(|found| {
                let hint = found.hint.as_deref().unwrap_or_default();
                hint.contains(word) || found.message.contains(word)
            });
            if !named {
                let said = compilation.render(false);
                missed.push(format!("{}: `{typo}` for `{word}` at {at}:\n{said}", path.display()));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
