//! `corn lsp`, as an editor starts it.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};

use common::command;
use serde_json::{Value, json};

fn send(to: &mut ChildStdin, message: &Value) {
    let text = message.to_string();
    write!(to, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
    to.flush().unwrap();
}

/// The next message that is an answer, or has this method.
fn next(from: &mut BufReader<ChildStdout>, method: Option<&str>) -> Value {
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            from.read_line(&mut line).unwrap();
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").expect("standard output carries messages only");
            assert_eq!(name, "Content-Length");
            length = value.parse().unwrap();
        }
        let mut bytes = vec![0; length];
        from.read_exact(&mut bytes).unwrap();
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        if message["method"].as_str() == method {
            return message;
        }
    }
}

#[test]
fn an_editor_is_answered_and_the_session_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let mut child = command(&["lsp"])
        .env("CORN_CACHE", &cache)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut to, mut from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    write!(to, "this is no message\r\n\r\nContent-Length: 3\r\n\r\n{{]}}").unwrap();
    send(
        &mut to,
        &json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": { "capabilities": {} } }),
    );
    assert_eq!(next(&mut from, None)["result"]["serverInfo"]["name"], "corn lsp");
    send(&mut to, &json!({ "jsonrpc": "2.0", "method": "initialized", "params": {} }));
    let uri = format!("file://{}/a.corn", folder.path().display());
    let text = "use std::llm::Chat\nlet llm = Chat(3)\n";
    let document = json!({ "uri": uri, "languageId": "corn", "version": 1, "text": text });
    send(
        &mut to,
        &json!({ "jsonrpc": "2.0", "method": "textDocument/didOpen", "params": { "textDocument": document } }),
    );
    let published = next(&mut from, Some("textDocument/publishDiagnostics"));
    assert_eq!(published["params"]["diagnostics"][0]["code"], "E0406", "{published}");
    let at = json!({ "textDocument": { "uri": uri }, "position": { "line": 0, "character": 15 } });
    send(&mut to, &json!({ "jsonrpc": "2.0", "id": 2, "method": "textDocument/definition", "params": at }));
    let found = next(&mut from, None);
    let path = found["result"]["uri"].as_str().unwrap().strip_prefix("file://").unwrap();
    assert!(std::fs::read_to_string(path).unwrap().contains("component Chat("), "{path}");
    send(&mut to, &json!({ "jsonrpc": "2.0", "id": 3, "method": "shutdown" }));
    assert_eq!(next(&mut from, None)["result"], Value::Null);
    send(&mut to, &json!({ "jsonrpc": "2.0", "method": "exit" }));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    from.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[test]
fn an_editor_that_goes_away_ends_the_session_and_it_was_not_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&["lsp", "--stdio"]);
    let outcome = common::outcome({
        command.env("CORN_CACHE", folder.path());
        command
    });
    assert_eq!((outcome.code, outcome.stdout.as_str()), (4, ""), "{}", outcome.stderr);
}
