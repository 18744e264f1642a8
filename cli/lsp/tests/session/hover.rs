//! What is said about what the cursor is on.

use std::fmt::Write;

use serde_json::Value;

use crate::editor::{Editor, THINKER};

/// Hovers at each `|` of `text`, one after the other.
fn hovered(text: &str) -> String {
    let mut editor = Editor::new();
    editor.write("voices.corn", "/// Writes large.\ncomponent Loud() {\n    in  text: text\n    out text: text\n    run reference \"text.upper\"\n}\n");
    editor.open("a.corn", "");
    let parts: Vec<&str> = text.split('|').collect();
    let mut out = String::new();
    for place in 1..parts.len() {
        let (before, after) = (parts[..place].concat(), parts[place..].concat());
        let at = editor.change("a.corn", &format!("{before}|{after}"));
        let line = after.lines().next().unwrap_or_default();
        let found = editor.ask_at("textDocument/hover", &at);
        let said = match &found {
            Value::Null => "nothing",
            found => found["contents"]["value"].as_str().unwrap(),
        };
        let _ = writeln!(out, "=== |{line}\n{said}\n");
    }
    assert!(editor.end());
    out
}

#[test]
fn names_say_what_they_stand_for() {
    let text = format!(
        "{THINKER}{}",
        r#"
use std::|reference::{Upper, |Tone}
use |voices::Loud

let size = 3
let loud = |Loud()
let tone = Tone()

/// Answers.
graph |answer(|prompt: text?, words: list<text> max |size, |mode: enum("a", "b") = "a")
        -> { reply: stream<text>, |voice: stream<audio>?, all: list<text> max 3 } {
    let |given = when prompt { |loud(prompt) }
    let |thought = |think(|prompt: join("so", given))
    let all = [loud(|word) for word in words]
    { reply: thought.|text|, voice: tone(thought.text.|sentences()), |all }
}

route |ask = answer(|words, prompt?) -> reply + |voice + all
"#
    );
    insta::assert_snapshot!(hovered(&text));
}

#[test]
fn components_say_their_ports_and_parameters() {
    let text =
        THINKER.replace("component Thinker", "component |Thinker").replace("out hidden", "out |hidden");
    let text = text.replace("max_tokens: int", "|max_tokens: int").replace("let think", "let |think");
    let text = text.replace("max_tokens: 5", "|max_tokens: |5");
    insta::assert_snapshot!(hovered(&text));
}

#[test]
fn what_is_right_is_said_where_something_else_is_wrong() {
    let text = "use std::reference::Upper\nlet upper = Upper()\nlet wrong = Nothing(\n\
        graph g(text: text, other: nonsense) -> text {\n    let |made = |upper(|text)\n    let x = made.\n    made\n}\n";
    insta::assert_snapshot!(hovered(text));
}
