//! Every program in `cases/refused`: what is said about it.

mod harness;

use std::collections::BTreeSet;
use std::fs;

use harness::{compile_text, programs, stem, tests};

#[test]
fn what_is_said() {
    let folder = tests().join("cases/refused");
    for path in programs(&folder) {
        let name = stem(&path);
        let compilation = compile_text(&format!("{name}.corn"), &fs::read_to_string(&path).unwrap());
        assert!(compilation.plan.is_none(), "{name} is refused");
        insta::with_settings!({ snapshot_path => &folder, prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, compilation.render(false));
        });
    }
}

/// Every problem that this phase can find is found in some case.
#[test]
fn every_code_has_a_case() {
    let mut seen = BTreeSet::new();
    for folder in ["cases/refused", "cases/programs"] {
        for path in programs(&tests().join(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            let compilation = compile_text(stem(&path), &text);
            seen.extend(compilation.diagnostics.iter().map(|diagnostic| diagnostic.code.as_str()));
        }
    }
    let codes = corn_compiler::diagnostic::codes();
    let semantic = codes.iter().map(|row| row.code.as_str()).filter(|code| !code.starts_with("E00"));
    let missing: Vec<&str> = semantic.filter(|code| !seen.contains(code)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "codes without a case");
}
