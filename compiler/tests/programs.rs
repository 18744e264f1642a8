//! Every program in `cases/programs`: what each stage of the compiler makes of it.

mod harness;

use std::fs;

use harness::{compile_text, programs, stem, tests};

#[test]
fn every_stage() {
    let folder = tests().join("cases/programs");
    for path in programs(&folder) {
        let name = stem(&path);
        let compilation = compile_text(&format!("{name}.corn"), &fs::read_to_string(&path).unwrap());
        let said = compilation.render(false);
        assert!(!compilation.has_errors(), "{name} compiles:\n{said}");
        let drawings = |mermaid| {
            let drawings = compilation.drawings(mermaid);
            Some(drawings.into_iter().map(|(_, drawing)| drawing).collect::<Vec<_>>().join("\n"))
        };
        let stages = [
            ("graph", compilation.graph_text()),
            ("specialized", compilation.specialized_text()),
            ("placed", compilation.placed_text()),
            ("plan", compilation.plan.as_ref().map(corn_plan::Plan::to_text)),
            ("drawing", drawings(false)),
            ("mermaid", drawings(true)),
            ("said", (!said.is_empty()).then_some(said)),
        ];
        insta::with_settings!({ snapshot_path => &folder, prepend_module_to_snapshot => false, omit_expression => true }, {
            for (stage, text) in stages {
                if stage == "said" && text.is_none() {
                    continue;
                }
                insta::assert_snapshot!(format!("{name}.{stage}"), text.unwrap());
            }
        });
    }
}

/// R13: compiling twice gives the same bytes.
#[test]
fn compiling_twice_gives_the_same_bytes() {
    for path in programs(&tests().join("cases/programs")) {
        let text = fs::read_to_string(&path).unwrap();
        let once = compile_text(stem(&path), &text);
        let again = compile_text(stem(&path), &text);
        assert_eq!(once.plan.unwrap().to_text(), again.plan.unwrap().to_text(), "{}", path.display());
        assert_eq!(once.diagnostics, again.diagnostics, "{}", path.display());
    }
}
