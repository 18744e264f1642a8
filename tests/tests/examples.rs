//! Every stage of every example, as text: what the compiler makes of the programs that people
//! read first. Each snapshot lies beside the others under the example's name.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use std::fs;

use corn_compiler::{Drawing, Emit};
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
        let drawings = |how| {
            let drawings = compilation.drawings(how).unwrap();
            drawings.iter().map(|(_, drawing)| drawing.trim_end()).collect::<Vec<_>>().join("\n\n")
        };
        insta::assert_snapshot!(format!("{name}.drawing"), drawings(Drawing::Text));
        insta::assert_snapshot!(format!("{name}.mermaid"), drawings(Drawing::Mermaid));
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

/// The README's program is one.
#[test]
fn the_readme_tells_the_truth() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let program = readme.split("```corn\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(compile("readme.corn", program).render(false), "");
    for (name, _) in examples() {
        assert!(readme.contains(&format!("`{name}.corn`")), "the README does not name {name}.corn");
    }
}
