//! Another name, everywhere.

use std::fmt::Write;

use crate::editor::{At, Editor, THINKER};

fn renamed(editor: &mut Editor, at: &At, new: &str) -> Result<String, String> {
    let mut params = editor.params(at);
    params["newName"] = new.into();
    let id = editor.begin("textDocument/rename", params);
    match editor.answer(id).response_result {
        Ok(edit) => Ok(editor.edited(&edit)),
        Err(error) => Err(error.message),
    }
}

const GRAPH: &str = "\ngraph g(prompt: text) -> { reply: stream<text>, hidden: stream<tensor<f32>[8]> } {
    let thought = think(prompt: prompt)
    let reply = thought.text
    { reply, hidden: thought.hidden }
}
route r = g(prompt) -> reply + hidden
";

#[test]
fn a_name_is_changed_wherever_it_stands_for_the_same() {
    let mut editor = Editor::new();
    let mut out = String::new();
    for (from, to, new) in [
        ("let thought", "let |thought", "idea"),
        ("let reply", "let |reply", "spoken"),
        ("{ reply: stream", "{ |reply: stream", "answer"),
        ("g(prompt: text)", "g(|prompt: text)", "question"),
        ("let think", "let |think", "mind"),
    ] {
        let at = editor.open("a.corn", &format!("{THINKER}{GRAPH}").replacen(from, to, 1));
        let edited = renamed(&mut editor, &at, new).unwrap();
        let changed = edited.lines().filter(|line| line.contains(new));
        let _ = writeln!(out, "=== {to} to {new}\n{}", changed.collect::<Vec<_>>().join("\n"));
    }
    insta::assert_snapshot!(out);
    assert!(editor.end());
}

#[test]
fn files_that_use_the_name_are_changed_too() {
    let mut editor = Editor::new();
    editor
        .write("b.corn", "use a::size\ngraph h(texts: list<text> max size) -> list<text> max 4 { texts }\n");
    let at = editor.open("a.corn", "let |size = 3\nlet twice = size\n");
    insta::assert_snapshot!(renamed(&mut editor, &at, "count").unwrap());
    assert!(editor.end());
}

#[test]
fn names_that_cannot_be_are_refused() {
    let mut editor = Editor::new();
    let at = editor.open("a.corn", &format!("{THINKER}{GRAPH}").replace("let thought", "let |thought"));
    let mut why = |at: &At, new: &str| renamed(&mut editor, at, new).unwrap_err();
    assert!(why(&at, "graph").contains("word of the language"));
    assert!(why(&at, "join").contains("word of the language"));
    assert!(why(&at, "3x").contains("no name"));
    assert!(why(&at, "a b").contains("no name"));
    assert!(why(&at, "é").contains("no name"));
    assert!(why(&at, "").contains("no name"));
    insta::assert_snapshot!([why(&at, "think"), why(&at, "prompt"), why(&at, "reply")].join("\n"));
    let port = editor.open("a.corn", &THINKER.replace("in  prompt", "in  |prompt"));
    let mut why = |at: &At, new: &str| renamed(&mut editor, at, new).unwrap_err();
    assert!(
        why(&port, "words").contains("candle \"llama.chat\" has no input `words`"),
        "the executor's name"
    );
    let nothing = At { name: "a.corn".to_owned(), line: 0, character: 0 };
    assert!(why(&nothing, "x").contains("no name here"));
    assert!(editor.end());
}

#[test]
fn a_name_that_would_be_taken_for_another_is_refused() {
    let mut editor = Editor::new();
    // `missing` stands for nothing; renamed, `a` would be taken for it.
    let at = editor.open("a.corn", "let |a = 1\nlet b = missing\nlet c = a\n");
    assert!(renamed(&mut editor, &at, "missing").unwrap_err().contains("something else"));
    assert!(editor.end());
}

#[test]
fn what_would_be_renamed_is_shown_first() {
    let mut editor = Editor::new();
    let at = editor.open("a.corn", "let si|ze = 3\n");
    let found = editor.ask_at("textDocument/prepareRename", &at);
    assert_eq!(found["placeholder"], "size");
    assert_eq!(found["range"]["start"]["character"], 4);
    let at = editor.change("a.corn", "let size = |3\n");
    assert!(editor.ask_at("textDocument/prepareRename", &at).is_null());
    assert!(editor.end());
}
