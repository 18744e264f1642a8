//! The house's form of a text: every file in `cases/format` formatted, and what comes with Corn is formatted.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

use corn_compiler::source::FileId;
use corn_compiler::syntax;

/// The `.corn` files of a folder beside this crate's tests, sorted.
fn programs(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "corn"));
    paths.sort();
    assert!(!paths.is_empty(), "{} has no programs", folder.display());
    paths
}

fn formatted(text: &str) -> String {
    syntax::format(FileId(0), text).unwrap_or_else(|problems| panic!("{problems:?}"))
}

#[test]
fn cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/format");
    for path in programs("tests/cases/format") {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let once = formatted(&fs::read_to_string(&path).unwrap());
        assert_eq!(formatted(&once), once, "{name}");
        insta::with_settings!({ snapshot_path => &folder, prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, once);
        });
    }
}

#[test]
fn what_comes_with_it_is_formatted() {
    for path in ["../stdlib", "../stdlib/models", "../dsl-examples"].into_iter().flat_map(programs) {
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(formatted(&text), text, "{}: run `corn fmt stdlib dsl-examples`", path.display());
    }
}

#[test]
fn what_has_mistakes_is_refused() {
    let problems = syntax::format(FileId(0), "let a = f(\ngraph g() -> text { a }\n").unwrap_err();
    assert_eq!(problems.iter().map(|problem| problem.code.as_str()).collect::<Vec<_>>(), ["E0014"]);
}

#[test]
fn deep_values_are_formatted() {
    for (open, close) in [
        ("f(", ")"),
        ("f([", "])"),
        ("[", "]"),
        ("{ a: ", " }"),
        ("when a { ", " }"),
        ("if a { b } else { ", " }"),
        ("[match a { b => ", " } for x in y]"),
        ("loop y = ", " max 3 { y = f(y) }"),
        ("", ".a(b).c(d)"),
    ] {
        let depth = 40;
        let text = format!("let a = {}x{}\n", open.repeat(depth), close.repeat(depth));
        let once = formatted(&text);
        assert_eq!(formatted(&once), once);
    }
}

#[test]
fn every_kind_of_line_end_and_an_empty_file() {
    assert_eq!(formatted(""), "");
    assert_eq!(formatted(" \n\n\t\n"), "");
    assert_eq!(formatted("// a"), "// a\n");
    assert_eq!(formatted("\u{feff}let a = b // c\r\n\r\n\r\n// d\r\n"), "let a = b // c\n\n// d\n");
}
