//! Every stage of every example, as text: what the compiler makes of the programs that people
//! read first. Each snapshot lies beside the others under the example's name.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use std::fs;

use corn_compiler::Emit;
use corn_tests::{compile, root};

fn examples() -> Vec<(String, String)> {
    let files = fs::read_dir(root().join("dsl-examples")).unwrap().map(|entry| entry.unwrap().path());
    let mut examples: Vec<(String, String)> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "corn"))
        .map(|file| {
            (file.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&file).unwrap())
        })
        .collect();
    examples.sort();
    examples
}

#[test]
fn every_example_compiles_to_its_snapshots() {
    for (name, text) in examples() {
        let compilation = compile(&format!("{name}.corn"), &text);
        let problems = compilation.render(false);
        assert_eq!(problems, "", "{name} compiles without a warning");
        let stages = [
            ("graph", compilation.emit(Emit::Graph)),
            ("specialized", compilation.emit(Emit::Specialized)),
            ("placed", compilation.emit(Emit::Placed)),
            ("plan", compilation.emit(Emit::Plan)),
        ];
        for (stage, text) in stages {
            insta::assert_snapshot!(format!("{name}.{stage}"), text.unwrap());
        }
        let drawings = |mermaid| {
            let drawings = compilation.drawings(mermaid).unwrap();
            drawings.iter().map(|(_, drawing)| drawing.trim_end()).collect::<Vec<_>>().join("\n\n")
        };
        insta::assert_snapshot!(format!("{name}.drawing"), drawings(false));
        insta::assert_snapshot!(format!("{name}.mermaid"), drawings(true));
    }
}

/// R13: compiling twice gives the same bytes.
#[test]
fn compiling_twice_gives_the_same_bytes() {
    for (name, text) in examples() {
        let plan = || compile(&name, &text).emit(Emit::Plan).unwrap();
        assert_eq!(plan(), plan(), "{name}");
    }
}

/// R15: a typo in any name of any example is an error that points at it or at what then misses it.
#[test]
fn a_typo_in_any_example_is_an_error() {
    for (name, text) in examples() {
        for (start, word) in names(&text) {
            let mut typo = text.clone();
            typo.insert(start + word.len(), 'q');
            let compilation = compile(&name, &typo);
            let found = compilation.diagnostics.iter().any(|diagnostic| {
                diagnostic.hint.as_ref().is_some_and(|hint| hint.contains(word))
                    || diagnostic.message.contains(word)
            });
            assert!(found, "{name}: '{word}q' at byte {start}: {:?}", compilation.diagnostics);
        }
    }
}

/// Identifiers outside comments and strings that are used, not those that a declaration introduces and nobody
/// else could know.
fn names(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let code = line.split("//").next().unwrap_or_default();
        let mut in_string = false;
        let mut start = None;
        for (at, c) in code.char_indices().chain([(code.len(), ' ')]) {
            if c == '"' {
                in_string = !in_string;
            }
            if !in_string && (c.is_alphanumeric() || c == '_') {
                start.get_or_insert(at);
            } else if let Some(begin) = start.take() {
                found.push((offset + begin, &text[offset + begin..offset + at]));
            }
        }
        offset += line.len();
    }
    let count = |word: &str| found.iter().filter(|(_, other)| *other == word).count();
    found
        .iter()
        .filter(|(_, word)| {
            word.len() > 2 && !word.starts_with(|c: char| c.is_ascii_digit()) && count(word) > 1
        })
        .copied()
        .collect()
}
