//! Drawings for Graphviz and in SVG of programs small, wide and deep.

mod harness;

use std::fmt::Write;
use std::fs;

use corn_compiler::Drawing;
use harness::{compile_text, programs, stem, tests};

/// One text read by many, all of them read by one.
fn wide() -> String {
    let mut text = String::from(
        "use std::reference::{Upper, Words, Count}\nlet upper = Upper()\nlet words = Words()\nlet count = Count()\n",
    );
    text += "graph wide(first: text, second: text) -> { all: text, some: stream<text>, number: int } {\n";
    for number in 0..12 {
        let from = if number % 3 == 0 { "second" } else { "first" };
        let _ = writeln!(text, "    let x{number} = upper({from})");
    }
    text += "    let y = upper(join(x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, second))\n";
    text += "    { all: join(y, first), some: words(y).sentences(), number: count(x3) }\n}\n";
    text
}

/// A ladder: each step reads the two before it, some the first as well.
fn deep() -> String {
    let mut text = String::from("use std::reference::Upper\nlet upper = Upper()\n");
    text += "graph deep(first: text max 1KiB) -> text {\n";
    text += "    let x0 = upper(first)\n    let x1 = upper(join(first, x0))\n";
    for number in 2..12 {
        let extra = if number % 4 == 0 { ", first" } else { "" };
        let (one, two) = (number - 1, number - 2);
        let _ = writeln!(
            text,
            "    let x{number} = upper(join(x{one}, x{two}{extra}).sentences().collect(max: 16KiB))"
        );
    }
    text + "    x11\n}\n"
}

/// Texts that mean something in SVG and to Graphviz.
const AWKWARD: &str = r#"
use std::reference::{Upper, Words}
let upper = Upper()
let words = Words()
graph awkward(prompt: text) -> stream<text> {
    words(upper(join("<b> & \"quoted\" \\N \u{0}\n]]> --", prompt, "a text that is much too long to be drawn whole in one box")))
}
"#;

#[test]
fn programs_are_drawn() {
    let mut cases = vec![
        ("wide".to_owned(), wide()),
        ("deep".to_owned(), deep()),
        ("awkward".to_owned(), AWKWARD.to_owned()),
    ];
    let example = tests().join("../../dsl-examples/assistant.corn");
    let programs =
        ["omni", "control", "media"].map(|name| tests().join(format!("cases/programs/{name}.corn")));
    for path in programs.into_iter().chain([example]) {
        cases.push((stem(&path).to_owned(), fs::read_to_string(&path).unwrap()));
    }
    for (name, text) in cases {
        let compilation = compile_text(&format!("{name}.corn"), &text);
        let recordings = compilation.recordings().unwrap_or_default().len();
        assert!(recordings > 0, "{name} compiles:\n{}", compilation.render(false));
        // The largest recording.
        let size = |number: &usize| compilation.drawing(*number, Drawing::Svg).unwrap().len();
        let largest = (0..recordings).max_by_key(size).unwrap();
        for (kind, how) in [("svg", Drawing::Svg), ("dot", Drawing::Dot)] {
            let drawing = compilation.drawing(largest, how).unwrap();
            insta::with_settings!({ snapshot_path => "cases/pictures", prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(format!("{name}.{kind}"), drawing);
            });
        }
    }
}

/// R13 for drawings, and that nothing is drawn of what is not there.
#[test]
fn every_recording_is_drawn_with_the_same_bytes_each_time() {
    for path in programs(&tests().join("cases/programs")) {
        let text = fs::read_to_string(&path).unwrap();
        let (once, again) = (compile_text(stem(&path), &text), compile_text(stem(&path), &text));
        for how in [Drawing::Text, Drawing::Mermaid, Drawing::Dot, Drawing::Svg] {
            assert_eq!(once.drawings(how).unwrap(), again.drawings(how).unwrap(), "{}", path.display());
        }
        let recordings = once.recordings().unwrap().len();
        assert_eq!(once.drawings(Drawing::Svg).unwrap().len(), recordings);
        assert_eq!(once.drawing(recordings, Drawing::Svg), None);
    }
}

/// A thousand nodes are drawn in a moment.
#[test]
fn a_large_program_is_drawn() {
    let mut text =
        String::from("use std::reference::Upper\nlet upper = Upper()\ngraph large(first: text) -> text {\n");
    for number in 0..1000 {
        let before = if number == 0 { "first".to_owned() } else { format!("x{}", number - 1) };
        let _ = writeln!(text, "    let x{number} = upper({before})");
    }
    text += "    x999\n}\n";
    let compilation = compile_text("large.corn", &text);
    let drawing = compilation.drawing(0, Drawing::Svg).unwrap();
    assert_eq!(drawing.matches("<g>").count(), 1002);
    // A chain is one straight row: no piece of a line bends.
    assert!(!drawing.contains('C'), "a chain is drawn straight");
}
