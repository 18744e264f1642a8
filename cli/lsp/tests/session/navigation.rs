//! From names to declarations and back.

use serde_json::{Value, json};

use crate::editor::{Editor, THINKER};

fn program(body: &str) -> String {
    format!(
        "{THINKER}\nuse std::reference::{{Upper, Tone}}\nuse beside::Loud\nlet loud = Loud()\nlet tone = Tone()\n{body}"
    )
}

const BESIDE: &str =
    "component Loud() {\n    in  text: text\n    out text: text\n    run reference \"text.upper\"\n}\n";

/// Where the declaration is of what the cursor is on.
fn declared(body: &str) -> Vec<String> {
    let mut editor = Editor::new();
    editor.write("beside.corn", BESIDE);
    let at = editor.open("a.corn", &program(body));
    let found = editor.ask_at("textDocument/definition", &at);
    let places = editor.places(&found);
    assert!(editor.end());
    places
}

#[test]
fn names_lead_to_their_declarations() {
    let graph = |body: &str| {
        format!(
            "graph g(prompt: text, other: text?) -> {{ reply: stream<text>, voice: stream<audio> }} {{\n{body}\n}}\n"
        )
    };
    assert_eq!(declared(&graph("let t = th|ink(prompt)")), ["a.corn:12:5 think"]);
    assert_eq!(declared(&graph("let t = think(|prompt: prompt)")), ["a.corn:4:9 prompt"]);
    assert_eq!(declared(&graph("let t = think(prompt: promp|t)")), ["a.corn:18:9 prompt"]);
    assert_eq!(
        declared(&graph("let t = think(prompt)\n{ reply: t.|text, voice: tone(t.text) }")),
        ["a.corn:5:9 text"]
    );
    assert_eq!(
        declared(&graph("let t = think(prompt)\n{ |reply: t.text, voice: tone(t.text) }")),
        ["a.corn:18:42 reply"]
    );
    assert_eq!(declared(&graph("let t = loud(|text: prompt)")), ["beside.corn:2:9 text"]);
    assert_eq!(declared(&graph("when |other { other }")), ["a.corn:18:23 other"]);
    let routed = |route: &str| {
        format!("{}{route}", graph("let t = think(prompt)\n{ reply: t.text, voice: tone(t.text) }"))
    };
    assert_eq!(declared(&routed("route r = |g(prompt) -> reply")), ["a.corn:18:7 g"]);
    assert_eq!(declared(&routed("route r = g(|prompt) -> reply")), ["a.corn:18:9 prompt"]);
    assert_eq!(declared(&routed("route r = g(prompt) -> reply + |voice")), ["a.corn:18:63 voice"]);
    assert_eq!(declared("let other = Thinker(|weights: 3)"), ["a.corn:3:19 weights"]);
    assert_eq!(declared("let other = |3"), [""; 0]);
}

#[test]
fn names_of_other_files_lead_there_and_the_library_is_written_out() {
    assert_eq!(declared("let x = |Loud()"), ["beside.corn:1:11 Loud"]);
    assert_eq!(declared("use |beside::Other"), ["beside.corn:1:1 "]);
    assert_eq!(declared("let x = Upp|er()"), ["reference.corn:5:11 Upper"]);
    assert_eq!(declared("use std::ref|erence::Shout"), ["reference.corn:1:1 "]);
}

#[test]
fn a_file_of_the_library_can_be_opened_and_is_not_the_readers_to_rename() {
    let mut editor = Editor::new();
    let at = editor.open("a.corn", "use std::reference::Up|per\nlet upper = Upper()\n");
    let found = editor.ask_at("textDocument/definition", &at);
    let uri = found["uri"].clone();
    let text = std::fs::read_to_string(uri.as_str().unwrap().strip_prefix("file://").unwrap()).unwrap();
    editor.tell(
        "textDocument/didOpen",
        json!({ "textDocument": { "uri": uri, "languageId": "corn", "version": 1, "text": text } }),
    );
    let params =
        json!({ "textDocument": { "uri": uri }, "position": found["range"]["start"], "newName": "Up" });
    assert!(editor.ask("textDocument/hover", params.clone()).is_object());
    assert!(editor.refused("textDocument/rename", params).1.contains("standard library"));
    assert!(editor.refused("textDocument/prepareRename", editor.params(&at)).1.contains("standard library"));
    assert!(editor.end());
}

#[test]
fn references_are_found_in_every_file_of_the_workspace() {
    let mut editor = Editor::new();
    editor.write("other.corn", "use beside::Loud\nlet one = Loud()\nlet two = Loud()\ngraph h(text: text) -> text { one(text: two(text)) }\n");
    editor.write(
        "stranger.corn",
        "component Loud() {\n    in  text: text\n    out text: text\n    run reference \"text.upper\"\n}\n",
    );
    editor.write("beside.corn", BESIDE);
    let at = editor.open("a.corn", "use beside::Loud\nlet mine = |Loud()\n");
    let found = editor.ask_at("textDocument/references", &at);
    assert_eq!(
        editor.places(&found),
        [
            "a.corn:1:13 Loud",
            "a.corn:2:12 Loud",
            "beside.corn:1:11 Loud",
            "other.corn:1:13 Loud",
            "other.corn:2:11 Loud",
            "other.corn:3:11 Loud"
        ]
    );
    let mut params = editor.params(&at);
    params["context"]["includeDeclaration"] = json!(false);
    assert_eq!(editor.ask("textDocument/references", params).as_array().unwrap().len(), 5);
    let at = editor.open("beside.corn", &BESIDE.replace("in  text", "in  |text"));
    let found = editor.ask_at("textDocument/references", &at);
    assert_eq!(editor.places(&found), ["beside.corn:2:9 text", "other.corn:4:35 text"]);
    assert!(editor.end());
}

#[test]
fn the_same_name_lights_up_in_the_file() {
    let mut editor = Editor::new();
    let at = editor.open(
        "a.corn",
        "use std::reference::Upper\nlet upper = Upper()\ngraph g(te|xt: text) -> text { upper(text) }\n",
    );
    let found = editor.ask_at("textDocument/documentHighlight", &at);
    assert_eq!(found.as_array().unwrap().len(), 2);
    assert!(editor.end());
}

#[test]
fn a_file_has_an_outline() {
    let mut editor = Editor::new();
    editor.open("a.corn", &format!("{THINKER}\n/// Says it.\ngraph g(prompt: text) -> stream<text> {{\n    let t = think(prompt)\n    t.text\n}}\nroute r = g(prompt) -> result\n"));
    let found =
        editor.ask("textDocument/documentSymbol", json!({ "textDocument": { "uri": editor.uri("a.corn") } }));
    insta::assert_snapshot!(outline(&found, 0));
    assert!(editor.end());
}

fn outline(symbols: &Value, depth: usize) -> String {
    let lines = symbols.as_array().into_iter().flatten().map(|symbol| {
        let (name, kind) = (symbol["name"].as_str().unwrap(), &symbol["kind"]);
        let detail = symbol["detail"].as_str().map(|detail| format!(": {detail}")).unwrap_or_default();
        format!("{}{name}{detail} ({kind})\n{}", "  ".repeat(depth), outline(&symbol["children"], depth + 1))
    });
    lines.collect()
}

#[test]
fn words_have_their_meaning_as_colours() {
    let mut editor = Editor::new();
    let text = "/// Says é.\ngraph g(text: text) -> text { upper(text: \"é\", 3) }\nuse std::reference::Upper\nlet upper = Upper()\n";
    editor.open("a.corn", text);
    let answer = editor
        .ask("textDocument/semanticTokens/full", json!({ "textDocument": { "uri": editor.uri("a.corn") } }));
    let kinds = [
        "keyword",
        "string",
        "number",
        "comment",
        "namespace",
        "class",
        "function",
        "parameter",
        "property",
        "variable",
        "type",
    ];
    let (mut line, mut column, mut out) = (0usize, 0usize, Vec::new());
    let data: Vec<usize> = answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| usize::try_from(it.as_u64().unwrap()).unwrap())
        .collect();
    for token in data.chunks(5) {
        column = if token[0] == 0 { column + token[1] } else { token[1] };
        line += token[0];
        let written: String = text.lines().nth(line).unwrap().chars().skip(column).take(token[2]).collect();
        out.push(format!("{written} {}", kinds[token[3]]));
    }
    insta::assert_snapshot!(out.join("\n"));
    assert!(editor.end());
}
