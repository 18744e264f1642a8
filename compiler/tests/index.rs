//! What an editor is told of the programs in `cases/index`: what each name stands for and what
//! each expression is worth, also where something else is wrong.

mod harness;

use std::fmt::Write;
use std::fs;

use corn_compiler::index::{Index, Shown, Sort};
use corn_compiler::source::{SourceFile, Span};
use corn_compiler::{Compilation, Emit, Target, examine};
use harness::{Modules, catalog, programs, stem, tests};

#[test]
fn what_names_stand_for() {
    let folder = tests().join("cases/index");
    for path in programs(&folder) {
        let name = stem(&path);
        let text = fs::read_to_string(&path).unwrap();
        let root = SourceFile { name: format!("{name}.corn"), text };
        let examined = examine(Emit::Graph, root, &Modules, &Target::default(), &catalog());
        insta::with_settings!({ snapshot_path => &folder, prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, print(&examined));
        });
    }
}

/// The references and types of the root file.
fn print(examined: &Compilation) -> String {
    let index = examined.index.as_ref().expect("an index was asked for");
    let place = |span: Span| {
        let (line, column) = examined.sources.line_column(span.file, span.start);
        let file = &examined.sources.file(span.file).name;
        if span.file.0 == 0 { format!("{line}:{column}") } else { format!("{file}:{line}:{column}") }
    };
    let written = |span: Span| {
        let text = &examined.sources.file(span.file).text;
        text[span.start as usize..span.end as usize].replace('\n', " ")
    };
    let mut out = String::new();
    for reference in index.references.iter().filter(|it| it.span.file.0 == 0) {
        let definition = &index.definitions[reference.definition];
        let _ = write!(out, "{} {} is ", place(reference.span), written(reference.span));
        if definition.span == reference.span {
            let _ = write!(out, "declared: {:?}", definition.sort);
        } else {
            let _ = write!(out, "{:?} {} of {}", definition.sort, definition.name, place(definition.span));
        }
        let _ = writeln!(out, "{}", if reference.is_short { ", short" } else { "" });
    }
    out.push('\n');
    for (span, shown) in index.types.iter().filter(|(span, _)| span.file.0 == 0) {
        let _ = writeln!(out, "{} {}: {}", place(*span), written(*span), show(shown));
    }
    let _ = writeln!(out, "\nlocal:");
    for definition in local(index) {
        let scope = definition.scope.map(|scope| format!(" from {} to byte {}", place(scope), scope.end));
        let _ = writeln!(out, "{}{}", definition.name, scope.unwrap_or_default());
    }
    out
}

fn local(index: &Index) -> impl Iterator<Item = &corn_compiler::index::Definition> {
    index.definitions.iter().filter(|it| it.sort == Sort::Local && it.span.file.0 == 0)
}

fn show(shown: &Shown) -> String {
    match shown {
        Shown::Value { ty, when, is_item } => {
            let item = if *is_item { "one of " } else { "" };
            let when = if when.is_empty() { String::new() } else { format!(" when {}", when.join(", ")) };
            format!("{item}{ty}{when}")
        }
        Shown::Record(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(name, shown)| format!("{name}: {}", show(shown))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Shown::Constant(what) => what.clone(),
        Shown::Component(id) => format!("component {id}"),
    }
}

#[test]
fn compiling_makes_no_index_and_an_index_needs_no_plan() {
    let path = tests().join("cases/index/whole.corn");
    let text = fs::read_to_string(path).unwrap();
    let root = || SourceFile { name: "whole.corn".to_owned(), text: text.clone() };
    let compiled = harness::compile_text("whole.corn", &text);
    assert!(compiled.index.is_none() && compiled.plan.is_some(), "{}", compiled.render(false));
    let examined = examine(Emit::Graph, root(), &Modules, &Target::default(), &catalog());
    assert!(examined.index.is_some() && examined.plan.is_none());
    let both = examine(Emit::Plan, root(), &Modules, &harness::target(&text), &catalog());
    assert!(both.index.is_some() && both.plan.is_some());
}
