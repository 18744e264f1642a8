//! What is wrong while a text is typed.

use serde_json::{Value, json};

use crate::editor::Editor;

fn shown(diagnostics: &Value) -> String {
    serde_json::to_string_pretty(diagnostics).unwrap()
}

#[test]
fn a_problem_has_its_place_code_cause_and_hint_and_goes_when_it_is_mended() {
    let mut editor = Editor::new();
    editor.open(
        "a.corn",
        "use std::reference::Upper\n\nlet uppre = Upper()\n\ngraph é(text: text) -> text { upper(text) }\n",
    );
    let found = shown(&editor.published("a.corn"));
    insta::assert_snapshot!(found.replace(editor.root().to_str().unwrap(), "/folder"));
    // `upper` for `uppre`, by a change of two letters.
    let range = json!({ "start": { "line": 2, "character": 7 }, "end": { "line": 2, "character": 9 } });
    editor.change_by("a.corn", &json!([{ "range": range, "text": "er" }]));
    let now = editor.published("a.corn");
    assert_eq!(now[0]["code"], "E0005", "only the name is left: {now}");
    assert_eq!(now.as_array().unwrap().len(), 1);
    editor.change(
        "a.corn",
        "use std::reference::Upper\nlet upper = Upper()\ngraph g(text: text) -> text { upper(text) }\n",
    );
    assert_eq!(editor.published("a.corn"), json!([]));
    editor.close("a.corn");
    assert_eq!(editor.published("a.corn"), json!([]));
    assert!(editor.end());
}

#[test]
fn other_places_of_a_problem_are_related() {
    let mut editor = Editor::new();
    editor.open("a.corn", "let a = 1\nlet a = 2\n");
    let found = editor.published("a.corn");
    assert_eq!(found[0]["code"], "E0204");
    let related = &found[0]["relatedInformation"][0];
    assert_eq!(editor.places(&related["location"]), ["a.corn:1:5 a"]);
    assert!(!related["message"].as_str().unwrap().is_empty());
    assert!(editor.end());
}

#[test]
fn a_problem_that_only_placement_finds_is_shown() {
    let mut editor = Editor::new();
    let text = "component Big(weights: weights) {\n    in  prompt: text\n    out text: stream<text>\n    run candle \"llama.chat\"\n    needs memory 900GiB\n}\n\
        let big = Big(hf(\"a/b\"))\ngraph g(prompt: text) -> stream<text> { big(prompt) }\n";
    editor.open("a.corn", text);
    let found = editor.published("a.corn");
    assert_eq!(found[0]["code"], "E0801", "{found}");
    assert!(editor.end());
}

#[test]
fn what_is_unused_is_a_warning_that_editors_can_fade() {
    let mut editor = Editor::new();
    editor.open("a.corn", "use std::reference::{Upper, Tone}\nlet upper = Upper()\ngraph g(text: text) -> text { upper(text) }\n");
    let found = editor.published("a.corn");
    assert_eq!(
        (&found[0]["code"], &found[0]["severity"], &found[0]["tags"]),
        (&json!("W0101"), &json!(2), &json!([1]))
    );
    assert!(editor.end());
}

#[test]
fn used_files_are_read_from_the_editor_before_the_disk_and_their_problems_are_theirs() {
    let mut editor = Editor::new();
    editor.write("beside.corn", "let size = 3\n");
    editor.open(
        "a.corn",
        "use beside::size\ngraph g(texts: list<text> max size) -> list<text> max 4 { texts }\n",
    );
    assert_eq!(editor.published("a.corn"), json!([]));
    // In the editor, the other file says less.
    editor.open("beside.corn", "let sizes = 3\n");
    let found = editor.published("a.corn");
    assert_eq!(found[0]["code"], "E0203", "{found}");
    // And then something wrong.
    editor.change("beside.corn", "let size = \n");
    let mut found = editor.published("beside.corn");
    while found == json!([]) {
        found = editor.published("beside.corn");
    }
    assert_eq!(found[0]["code"], "E0012", "{found}");
    assert_eq!(found.as_array().unwrap().len(), 1, "said once, though two files have it: {found}");
    // Closed, the disk counts again.
    editor.close("beside.corn");
    let mut found = editor.published("a.corn");
    while found != json!([]) {
        found = editor.published("a.corn");
    }
    assert!(editor.end());
}

#[test]
fn a_file_that_comes_later_mends_the_problem() {
    let mut editor = Editor::new();
    editor.open("a.corn", "use late::size\nlet twice = size\n");
    assert_eq!(editor.published("a.corn")[0]["code"], "E0202");
    editor.write("late.corn", "let size = 3\n");
    editor.tell(
        "workspace/didChangeWatchedFiles",
        json!({ "changes": [{ "uri": editor.uri("late.corn"), "type": 1 }] }),
    );
    assert_eq!(editor.published("a.corn"), json!([]));
    assert!(editor.end());
}

#[test]
fn a_burst_of_changes_is_compiled_once() {
    let mut editor = Editor::new();
    editor.open("a.corn", "");
    editor.published("a.corn");
    for count in 0..50 {
        editor.change("a.corn", &format!("let a = {}\n", "x".repeat(count + 1)));
    }
    let found = editor.published("a.corn");
    assert!(found[0]["message"].as_str().unwrap().contains(&"x".repeat(50)), "the last text: {found}");
    assert!(editor.end());
}
