//! What is offered while a line is typed.

use std::fmt::Write;

use serde_json::Value;

use crate::editor::{Editor, THINKER};

/// What is offered at the `|` of each of `texts`.
fn offered(texts: &[&str]) -> String {
    let mut editor = Editor::new();
    editor.write("beside.corn", "use std::reference::Tone\nlet size = 3\nlet tone = Tone()\n");
    editor.open("a.corn", "");
    let mut out = String::new();
    for text in texts {
        let at = editor.change("a.corn", text);
        let found = editor.ask_at("textDocument/completion", &at);
        let items: Vec<String> = found
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| {
                let detail = item["detail"].as_str().map(|detail| format!(" ({detail})")).unwrap_or_default();
                format!("{}{detail}", item["label"].as_str().unwrap())
            })
            .collect();
        let line = text.lines().find(|line| line.contains('|')).unwrap();
        let _ = writeln!(out, "=== {}\n{}\n", line.trim(), items.join("\n"));
    }
    assert!(editor.end());
    out
}

fn in_graph(line: &str) -> String {
    format!(
        "{THINKER}\nuse std::reference::Upper\nlet upper = Upper()\n\
         graph other(text: text, mode: enum(\"fast\", \"good\") = \"fast\") -> text {{ upper(text) }}\n\
         graph g(prompt: text, more: text?) -> {{ reply: stream<text>, hidden: stream<tensor<f32>[8]> }} {{\n    \
         let thought = think(prompt)\n    {line}\n    let after = 3\n    {{ reply: thought.text, hidden: thought.hidden }}\n}}\n"
    )
}

#[test]
fn at_the_top_of_a_file() {
    insta::assert_snapshot!(offered(&[
        "|",
        "let a = 3\ngr|",
        "use |",
        "use st|",
        "use std::|",
        "use std::reference::|",
        "use std::reference::{Upper, |}",
        "use beside::|",
        "let a = |",
        "let |",
        "graph g() -> text { a } |",
    ]));
}

#[test]
fn in_a_graph() {
    let lines = [
        "|",
        "let x = th|",
        "let x = think(|",
        "let x = think(prompt: |",
        "let x = other(prompt, |)",
        "let x = other(prompt, mode: |)",
        "let x = other(prompt, mode: \"|\")",
        "let x = thought.|",
        "thought.te|",
        "let x = thought.text.|",
        "thought.text.|",
        "let x = thought.|\n    let y = 3",
        "let x = think(prompt).|",
        "let x = prompt.|",
        "let x = thought.text.windows(3, |)",
        "let x = when |",
        "let x = { |",
        "let x = [upper(|) for p in prompt]",
        "let x = hf(\"a/b\", |)",
        "let x = 3|",
        "// pro|",
        "let x = \"pro|",
    ];
    let texts: Vec<String> = lines.iter().map(|line| in_graph(line)).collect();
    insta::assert_snapshot!(offered(&texts.iter().map(String::as_str).collect::<Vec<_>>()));
}

#[test]
fn in_a_component() {
    let lines = [
        "|",
        "in  text: |",
        "in  text: stream<|",
        "in  text: tensor<|",
        "in  text: text max |",
        "run |",
        "run candle \"|\"",
        "run candle \"ll|",
        "needs |",
        "needs cpu |",
        "needs cpu 2, |",
        "batch |",
        "in |",
    ];
    let texts: Vec<String> = lines
        .iter()
        .map(|line| {
            format!("component C(weights: weights, threads: int = 2) {{\n    in  a: text\n    {line}\n}}\n")
        })
        .collect();
    let mut texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    texts.extend(["component C(a: |", "component C(a: int = |", "component C(|"]);
    insta::assert_snapshot!(offered(&texts));
}

#[test]
fn in_types_and_routes() {
    let graph = "graph g(prompt: text, more: text?) -> { reply: text, all: text } { { reply: prompt, all: prompt } }\n";
    let lines = [
        "route r = |",
        "route r = g(|",
        "route r = g(prompt, |) -> reply",
        "route r = g(prompt) -> |",
        "route r = g(prompt) -> reply + |",
    ];
    let routes: Vec<String> = lines.iter().map(|line| format!("{graph}{line}")).collect();
    let mut texts = vec![
        "graph g(a: |",
        "graph g(a: text) -> |",
        "graph g(a: text) -> { reply: |",
        "graph g(a: list<|> max 3) -> text { a }",
    ];
    texts.extend(routes.iter().map(String::as_str));
    insta::assert_snapshot!(offered(&texts));
}

#[test]
fn in_deployments() {
    let program = "use std::reference::Upper\nlet upper = Upper()\ngraph g(text: text) -> text { upper(text) }\n\
        cluster lab { node a { cpu 8 memory 16GiB } }\n";
    let lines = [
        "|",
        "place |",
        "place g on |",
        "place g on lab { | }",
        "place g on lab { upper: with | }",
        "serve |",
        "serve g { | }",
        "workload day for |",
        "cluster other { | }",
        "serve g { grpc } |",
    ];
    let texts: Vec<String> = lines.iter().map(|line| format!("{program}{line}")).collect();
    insta::assert_snapshot!(offered(&texts.iter().map(String::as_str).collect::<Vec<_>>()));
}

#[test]
fn a_word_is_replaced_as_far_as_it_was_typed_and_snippets_only_go_to_editors_that_know_them() {
    let mut editor = Editor::new();
    let at = editor.open("a.corn", "gra|");
    let found = editor.ask_at("textDocument/completion", &at);
    let graph = found.as_array().unwrap().iter().find(|it| it["label"] == "graph").unwrap();
    assert_eq!(graph["textEdit"]["range"]["start"]["character"], 0);
    assert_eq!(graph["textEdit"]["range"]["end"]["character"], 3);
    assert!(graph["textEdit"]["newText"].as_str().unwrap().starts_with("graph ${1:name}("));
    assert_eq!(graph["insertTextFormat"], 2);
    assert!(editor.end());

    let mut editor = Editor::silent();
    editor.initialize(&serde_json::json!({}));
    let at = editor.open("a.corn", "gra|");
    let found = editor.ask_at("textDocument/completion", &at);
    let texts: Vec<&Value> = found.as_array().unwrap().iter().map(|it| &it["textEdit"]["newText"]).collect();
    assert!(texts.iter().all(|text| !text.as_str().unwrap().contains('$')), "{texts:?}");
    assert!(editor.end());
}
