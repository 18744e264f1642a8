//! The session itself: beginning, end, and what is no request.

use lsp_server::{ErrorCode, Message, Notification, Request, Response};
use serde_json::{Value, json};

use crate::editor::{Editor, THINKER};

fn code(code: ErrorCode) -> i32 {
    code as i32
}

#[test]
fn what_is_offered() {
    let mut editor = Editor::silent();
    let answer = editor.initialize(&json!({}));
    insta::assert_snapshot!(serde_json::to_string_pretty(&answer["capabilities"]).unwrap());
    assert_eq!(answer["serverInfo"]["name"], "corn lsp");
    assert!(editor.end());
}

#[test]
fn an_editor_that_can_is_asked_to_watch_files() {
    let mut editor = Editor::silent();
    editor.initialize(&json!({ "workspace": { "didChangeWatchedFiles": { "dynamicRegistration": true } } }));
    let request = editor.asked();
    assert_eq!(request.method, "client/registerCapability");
    assert_eq!(
        request.params["registrations"][0]["registerOptions"]["watchers"][0]["globPattern"],
        "**/*.corn"
    );
    editor.send(Response::new_ok(request.id, Value::Null).into());
    assert!(editor.end());
}

#[test]
fn the_first_encoding_that_both_know_is_taken() {
    let mut editor = Editor::silent();
    let answer =
        editor.initialize(&json!({ "general": { "positionEncodings": ["utf-32", "utf-8", "utf-16"] } }));
    assert_eq!(answer["capabilities"]["positionEncoding"], "utf-8");
    assert!(editor.end());
}

#[test]
fn a_session_begins_once_and_ends_in_order() {
    let mut editor = Editor::silent();
    assert_eq!(editor.refused("textDocument/hover", json!({})).0, code(ErrorCode::ServerNotInitialized));
    editor.initialize(&json!({}));
    assert_eq!(
        editor.refused("initialize", json!({ "capabilities": {} })).0,
        code(ErrorCode::InvalidRequest)
    );
    assert_eq!(editor.ask("shutdown", Value::Null), Value::Null);
    assert_eq!(editor.refused("textDocument/hover", json!({})).0, code(ErrorCode::InvalidRequest));
    editor.tell("exit", Value::Null);
    assert!(editor.ended());
}

#[test]
fn an_end_without_shutdown_is_not_well() {
    let mut editor = Editor::new();
    editor.tell("exit", Value::Null);
    assert!(!editor.ended());
    assert!(!Editor::new().vanish());
}

#[test]
fn what_cannot_be_answered_is_refused() {
    let mut editor = Editor::new();
    assert_eq!(editor.refused("corn/nonsense", json!({})).0, code(ErrorCode::MethodNotFound));
    assert_eq!(editor.refused("textDocument/hover", json!({ "x": 1 })).0, code(ErrorCode::InvalidParams));
    let nowhere = json!({
        "textDocument": { "uri": "file:///nowhere.corn" }, "position": { "line": 0, "character": 0 },
        "context": { "includeDeclaration": true, "triggerKind": 1 }, "newName": "x",
    });
    for method in [
        "hover",
        "definition",
        "references",
        "completion",
        "rename",
        "prepareRename",
        "documentSymbol",
        "documentHighlight",
        "semanticTokens/full",
    ] {
        let (found, message) = editor.refused(&format!("textDocument/{method}"), nowhere.clone());
        assert_eq!(found, code(ErrorCode::InvalidParams), "{method}: {message}");
        assert!(message.contains("not open"), "{method}: {message}");
    }
    assert!(editor.end());
}

#[test]
fn notifications_that_make_no_sense_are_passed_over() {
    let mut editor = Editor::new();
    editor.tell("textDocument/didOpen", json!({ "what": 1 }));
    editor.tell(
        "textDocument/didChange",
        json!({ "textDocument": { "uri": "file:///x", "version": 1 }, "contentChanges": [] }),
    );
    editor.tell("$/setTrace", json!({ "value": "off" }));
    editor.tell("nonsense", json!([1, 2]));
    editor.close("never.corn");
    let at = editor.open("a.corn", "let |a = 3\n");
    assert!(editor.ask_at("textDocument/hover", &at).is_object());
    assert!(editor.end());
}

#[test]
fn a_request_that_was_cancelled_meanwhile_is_not_worked_on() {
    let mut editor = Editor::new();
    let at = editor.open("a.corn", "let |a = 3\n");
    // The server is busy with these while the rest arrives.
    let busy: Vec<i32> =
        (0..40).map(|_| editor.begin("textDocument/completion", editor_params(&editor, &at))).collect();
    let id = editor.begin("textDocument/hover", editor_params(&editor, &at));
    editor.tell("$/cancelRequest", json!({ "id": id }));
    for id in busy {
        assert!(editor.answer(id).response_result.is_ok());
    }
    let outcome = editor.answer(id).response_result;
    // It may have been answered before the message came; it is never answered twice.
    assert!(outcome.is_ok() || outcome.unwrap_err().code == code(ErrorCode::RequestCanceled));
    assert!(editor.end());
}

fn editor_params(editor: &Editor, at: &crate::editor::At) -> Value {
    editor.params(at)
}

/// Whatever is in the text, every request is answered.
#[test]
fn garbage_in_texts_harms_nobody() {
    let mut editor = Editor::new();
    let texts = [
        "",
        "\0",
        "{{{{",
        ")))",
        "use use use",
        "use ::",
        "graph g(",
        "let = =",
        "component C { in in in }",
        "\u{feff}let a",
        "\"",
        "let a = \"\\",
        "route r = r(r) -> r",
        "graph g(x: text) -> text { x.y.z.(.) }",
        "a.b.c.",
        "𝄞.𝄞(𝄞",
        "use a::a use a::b::{",
        "/// only docs",
        "//",
        "graph g(a: list<",
        "let a = “é",
        "let a = “é” 'x'",
        "let x = x(x: x.x(x: x))",
    ];
    editor.open("g.corn", "");
    for text in texts {
        editor.change("g.corn", text);
        let lines = text.lines().count();
        for line in 0..=lines {
            for character in [0, 1, 2, 5, 9, 14, 30, 9999] {
                let at = crate::editor::At { name: "g.corn".to_owned(), line, character };
                for method in
                    ["hover", "definition", "references", "completion", "prepareRename", "documentHighlight"]
                {
                    let params = editor.params(&at);
                    let id = editor.begin(&format!("textDocument/{method}"), params);
                    let answer = editor.answer(id).response_result;
                    let is_broken =
                        matches!(&answer, Err(error) if error.code == code(ErrorCode::InternalError));
                    assert!(!is_broken, "{method} in {text:?} at {line}:{character}");
                }
            }
        }
        for method in ["documentSymbol", "semanticTokens/full"] {
            let document = json!({ "textDocument": { "uri": editor.uri("g.corn") } });
            editor.ask(&format!("textDocument/{method}"), document);
        }
    }
    assert!(editor.end());
}

/// A program that ends anywhere is one that is being typed.
#[test]
fn every_beginning_of_a_program_has_answers() {
    let mut editor = Editor::new();
    let text = format!("{THINKER}{PROGRAM}");
    editor.open("g.corn", "");
    let mut offered = 0;
    for end in (0..=text.len()).step_by(3).filter(|end| text.is_char_boundary(*end)) {
        let at = editor.change("g.corn", &format!("{}|", &text[..end]));
        for method in ["hover", "completion", "documentHighlight"] {
            let params = editor.params(&at);
            let id = editor.begin(&format!("textDocument/{method}"), params);
            let answer = editor
                .answer(id)
                .response_result
                .unwrap_or_else(|error| panic!("{method} at {end}: {error:?}"));
            offered +=
                usize::from(method == "completion" && answer.as_array().is_some_and(|it| !it.is_empty()));
        }
    }
    assert!(offered > 100, "something is offered at {offered} places only");
    assert!(editor.end());
}

const PROGRAM: &str = r#"
use std::reference::{Upper, Tone}
let upper = Upper()
let tone = Tone()
graph g(prompt: text?, words: list<text> max 3, mode: enum("a", "b") = "a") -> { reply: stream<text>, voice: stream<audio>? } {
    let given = when prompt { upper(prompt) }
    let all = [upper(word) for word in words]
    let one = match mode { "a" => given, "b" => upper("é") }
    let thought = think(prompt: join("so", one))
    { reply: thought.text, voice: tone(thought.text.windows(3, left: 1)) }
}
route r = g(words, prompt?) -> reply + voice
"#;

#[test]
fn unsaved_texts_have_answers_too() {
    let mut editor = Editor::new();
    let document = json!({ "uri": "untitled:Untitled-1", "languageId": "corn", "version": 1, "text": "use beside::X\nlet a = 3\n" });
    editor.tell("textDocument/didOpen", json!({ "textDocument": document }));
    let at = json!({ "textDocument": { "uri": "untitled:Untitled-1" }, "position": { "line": 1, "character": 4 } });
    assert!(
        editor.ask("textDocument/hover", at)["contents"]["value"].as_str().unwrap().contains("let a = 3")
    );
    editor.send(Message::Request(Request::new("x".to_owned().into(), "shutdown".to_owned(), Value::Null)));
    editor.send(Notification::new("exit".to_owned(), Value::Null).into());
    assert!(editor.ended());
}

#[test]
fn a_text_is_given_its_form_by_the_lines_that_change() {
    let mut editor = Editor::new();
    editor.open("a.corn", "// Kept.\nlet a   =  3\nlet bb = 4 // Kept, too.\n\nlet c = 5\n");
    let params = json!({ "textDocument": { "uri": editor.uri("a.corn") }, "options": { "tabSize": 2, "insertSpaces": true } });
    let edits = editor.ask("textDocument/formatting", params.clone());
    let formed = editor.edited(&json!({ "changes": { editor.uri("a.corn"): edits } }));
    insta::assert_snapshot!(formed);
    assert_eq!(edits.as_array().unwrap().len(), 1);
    assert_ne!(edits[0]["range"]["start"]["line"], 0, "what has its form is left alone");
    editor.change("a.corn", "let a = 3\n");
    assert_eq!(editor.ask("textDocument/formatting", params.clone()), json!([]));
    editor.change("a.corn", "let a = (\n");
    assert!(editor.refused("textDocument/formatting", params).1.contains("keeps its form"));
    assert!(editor.end());
}
