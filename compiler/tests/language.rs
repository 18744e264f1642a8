//! What `docs/LANGUAGE.md` says is so: its programs are read without a complaint, and its index has every code.

use std::fs;
use std::path::Path;

use corn_compiler::diagnostic::{codes, render};
use corn_compiler::source::SourceMap;
use corn_compiler::syntax::parse;

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/LANGUAGE.md");
    fs::read_to_string(path).expect("the page lies in docs")
}

#[test]
fn its_programs_are_read_without_a_complaint() {
    let page = page();
    let programs: Vec<&str> =
        page.split("```corn\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(programs.len() > 1, "the page has programs");
    for program in programs {
        let mut sources = SourceMap::default();
        let file = sources.add("LANGUAGE.md", program);
        let (_, problems) = parse(file, program);
        assert_eq!(render(&problems, &sources, false), "");
    }
}

#[test]
fn its_index_has_every_code_with_its_title() {
    let page = page();
    for row in codes() {
        let entry = format!("{} {}", row.code, row.title);
        assert!(page.contains(&entry), "docs/LANGUAGE.md lacks `{entry}` in its index");
    }
}

/// The example of an explanation is a program, or part of one, that is right.
#[test]
fn examples_of_explanations_are_read_without_a_complaint() {
    for row in codes().iter().filter(|row| row.code.as_str() < "E0100") {
        let lines = row.text.lines().filter_map(|line| line.strip_prefix("    "));
        let example = lines.collect::<Vec<_>>().join("\n");
        // Parts of a program: a record, ports and a type.
        if ["E0013", "E0022", "E0024"].contains(&row.code.as_str()) {
            continue;
        }
        let mut sources = SourceMap::default();
        let file = sources.add(row.code.as_str(), &example);
        let (_, problems) = parse(file, &example);
        assert_eq!(render(&problems, &sources, false), "");
    }
}
