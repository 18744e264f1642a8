//! Every program in `cases/programs`: what each stage of the compiler makes of it.

mod harness;

use std::fs;

use corn_compiler::{Drawing, Emit};
use harness::{compile_text, programs, stem, tests};

#[test]
fn every_stage() {
    let folder = tests().join("cases/programs");
    for path in programs(&folder) {
        let name = stem(&path);
        let compilation = compile_text(&format!("{name}.corn"), &fs::read_to_string(&path).unwrap());
        let said = compilation.render(false);
        assert!(!compilation.has_errors(), "{name} compiles:\n{said}");
        let drawings = |how| {
            let drawings = compilation.drawings(how)?;
            Some(drawings.into_iter().map(|(_, drawing)| drawing).collect::<Vec<_>>().join("\n"))
        };
        let stages = [
            ("graph", compilation.emit(Emit::Graph)),
            ("specialized", compilation.emit(Emit::Specialized)),
            ("placed", compilation.emit(Emit::Placed)),
            ("plan", compilation.emit(Emit::Plan)),
            ("drawing", drawings(Drawing::Text)),
            ("mermaid", drawings(Drawing::Mermaid)),
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
        assert_eq!(once.emit(Emit::Plan).unwrap(), again.emit(Emit::Plan).unwrap(), "{}", path.display());
        assert_eq!(once.diagnostics, again.diagnostics, "{}", path.display());
    }
}

/// The examples that come with Corn compile without a warning.
#[test]
fn examples_say_nothing() {
    for path in programs(&tests().join("../../dsl-examples")) {
        let compilation = compile_text(stem(&path), &fs::read_to_string(&path).unwrap());
        assert_eq!(compilation.render(false), "", "{}", path.display());
        assert!(compilation.plan.is_some());
    }
}

/// A program as large as any: a thousand nodes on sixty-four routes.
#[test]
fn a_large_program_compiles() {
    let inputs = ["a", "b", "c", "d", "e", "f"];
    let declared: Vec<String> = inputs.iter().map(|name| format!("{name}: text?")).collect();
    let asked: Vec<String> = inputs.iter().map(|name| format!("{name}?")).collect();
    let mut lines = vec![
        "use std::reference::Upper".to_owned(),
        "let upper = Upper()".to_owned(),
        format!("graph large(first: text, {}) -> text {{", declared.join(", ")),
        format!("    let x0 = upper(join(first, {}))", inputs.join(", ")),
    ];
    lines.extend((1..1000).map(|number| format!("    let x{number} = upper(x{})", number - 1)));
    lines.push(format!("    x999\n}}\nroute all = large(first, {}) -> result", asked.join(", ")));
    let text = lines.join("\n");
    let compilation = compile_text("large.corn", &text);
    assert_eq!(compilation.render(false), "");
    let plan = compilation.plan.unwrap();
    assert_eq!(plan.plan().recordings.len(), 64);
    assert!(plan.plan().recordings.iter().all(|recording| recording.values.len() > 1000));
}

/// Every placed value says who set it and what it replaced.
#[test]
fn placed_values_are_explained() {
    let folder = tests().join("cases/programs");
    insta::with_settings!({ snapshot_path => &folder, prepend_module_to_snapshot => false, omit_expression => true }, {
        for (name, path) in [("omni_8_gpus", "omni"), ("two_nodes", "read"), ("hello", "hello")] {
            let text = fs::read_to_string(folder.join(name).with_extension("corn")).unwrap();
            let compilation = compile_text(&format!("{name}.corn"), &text);
            insta::assert_snapshot!(format!("{name}.explained"), compilation.explain_path(path).unwrap());
        }
    });
}

#[test]
fn an_unknown_path_is_answered_with_the_nearest() {
    let path = tests().join("cases/programs/omni_8_gpus.corn");
    let compilation = compile_text("omni_8_gpus.corn", &fs::read_to_string(path).unwrap());
    let known = compilation.explain_path("omni.talker.replicas").unwrap();
    assert!(known.starts_with("omni.talker.replicas = 3\n"), "{known}");
    assert_eq!(compilation.explain_path("omni.taker.replica"), Err(vec!["omni.talker.replicas".to_owned()]));
    assert_eq!(compilation.explain_path("omny.talker"), Err(vec!["omni.talker".to_owned()]));
    assert_eq!(compilation.explain_path("x"), Err(vec!["omni".to_owned()]));
}
