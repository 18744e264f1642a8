//! What holds for every text and every tree: parsing never panics and ends, every place lies in the
//! text, and printing then parsing gives the same tree.

mod trees;

use corn_compiler::diagnostic::{render, to_json};
use corn_compiler::source::{FileId, SourceMap, Span};
use corn_compiler::syntax::ast::File;
use corn_compiler::syntax::{format, parse, print};
use proptest::prelude::*;
use trees::item;

/// Parses, and checks what holds for any text.
fn check(text: &str) -> File {
    let mut sources = SourceMap::default();
    let file = sources.add("any.corn", text);
    let text = &sources.file(file).text;
    let (tree, problems) = parse(file, text);
    for label in problems.iter().flat_map(|problem| &problem.labels) {
        let Span { start, end, .. } = label.span;
        assert!(start <= end && end as usize <= text.len(), "{label:?}");
        assert!(text.is_char_boundary(start as usize) && text.is_char_boundary(end as usize), "{label:?}");
    }
    assert_eq!(to_json(&problems, &sources).len(), problems.len());
    assert_eq!(render(&problems, &sources, false).is_empty(), problems.is_empty());
    let printed = print(&tree);
    assert!(!printed.contains("<error>") || !problems.is_empty(), "a broken tree has no message");
    if let Ok(formatted) = format(file, text) {
        assert_eq!(format(file, &formatted), Ok(formatted.clone()), "{text}");
    }
    tree
}

/// The tree as text without places.
fn without_places(tree: &File) -> String {
    let debug = format!("{tree:?}");
    let mut kept = String::new();
    let mut rest = debug.as_str();
    while let Some(at) = rest.find("Span { file: ") {
        kept.push_str(&rest[..at]);
        let after = &rest[at..];
        rest = &after[after.find('}').expect("a span is closed") + 1..];
    }
    kept + rest
}

/// Tokens, so that the parser is reached and not only the lexer.
fn soup() -> impl Strategy<Value = String> {
    let tokens = vec![
        "use",
        "let",
        "component",
        "graph",
        "route",
        "in",
        "out",
        "for",
        "when",
        "enum",
        "true",
        "run",
        "needs",
        "batch",
        "within",
        "max",
        "window",
        "name",
        "lte",
        "switch",
        "place omni on lab {",
        "cluster lab { node a {",
        "serve omni {",
        "workload evening for omni {",
        "replicas 2",
        "tensor_parallel",
        "with",
        "apart",
        "auto",
        "node",
        "link a b 4Gbps",
        "gpu 4 h200",
        "openai chat",
        "grpc",
        "limit",
        "rate 3/s",
        "60%",
        "target",
        "*",
        "..",
        "\"s\"",
        "\"",
        "1",
        "2.5",
        "3s",
        "/// d\n",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "<",
        ">",
        "<=",
        "->",
        "::",
        ":",
        ",",
        ".",
        "?",
        "=",
        "+",
        ";",
        "@",
        "\n",
    ];
    prop::collection::vec(prop::sample::select(tokens), 0..60).prop_map(|tokens| tokens.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "\\PC{0,80}") {
        check(&text);
    }

    #[test]
    fn any_tokens_are_read_without_a_panic(text in soup()) {
        check(&text);
    }

    #[test]
    fn a_printed_tree_is_read_back(items in prop::collection::vec(item(), 0..4)) {
        let tree = File { items };
        let text = print(&tree);
        let (read, problems) = parse(FileId(0), &text);
        prop_assert_eq!(&problems, &vec![], "{}", text);
        prop_assert_eq!(without_places(&read), without_places(&tree), "{}", text);
        prop_assert_eq!(print(&read), text);
    }
}

/// `text` with other spaces and line breaks, and comments in between; and those comments.
fn disordered(text: &str, choices: &[u8]) -> (String, Vec<String>) {
    let (mut made, mut comments) = (String::new(), Vec::new());
    let mut chosen = choices.iter().cycle().copied();
    let mut noise = |made: &mut String, space: &str| match chosen.next() {
        Some(0) => made.push('\n'),
        Some(1) => made.push_str("  \n\n \n"),
        Some(2) => {
            comments.push(format!("// note {}.", comments.len()));
            made.push_str(&comments[comments.len() - 1]);
            made.push('\n');
        }
        Some(3) => {
            comments.push(format!("// note {}.", comments.len()));
            made.push_str("\n\n\n\t");
            made.push_str(&comments[comments.len() - 1]);
            made.push_str("\n ");
        }
        Some(4) if !space.is_empty() => made.push_str("   "),
        _ => made.push_str(space),
    };
    for line in text.split_inclusive('\n') {
        if line.starts_with("///") {
            made.push_str(line);
            continue;
        }
        let (mut is_text, mut is_escaped, mut angles, mut before) = (false, false, 0, ' ');
        for (at, character) in line.char_indices() {
            // A `<` that nothing closes in its line is taken for a slip.
            match character {
                '<' if !is_text && !line[at..].starts_with("<=") => angles += 1,
                '>' if !is_text && !matches!(before, '-' | '=') => angles -= 1,
                _ => {}
            }
            before = character;
            let is_fixed = is_text || angles > 0;
            if !is_fixed && ")]}".contains(character) {
                noise(&mut made, "");
            }
            match character {
                ' ' | '\n' if !is_fixed => noise(&mut made, if character == ' ' { " " } else { "\n" }),
                _ => made.push(character),
            }
            if !is_fixed && "([{".contains(character) {
                noise(&mut made, "");
            }
            is_text ^= character == '"' && !is_escaped;
            is_escaped = is_text && character == '\\' && !is_escaped;
        }
    }
    (made, comments)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn formatting_changes_only_the_looks(
        items in prop::collection::vec(item(), 0..4),
        choices in prop::collection::vec(0_u8..40, 1..200),
    ) {
        let printed = print(&File { items });
        let (mut text, mut comments) = disordered(&printed, &choices);
        // What begins a line is sometimes taken for a slip of a keyword.
        if !parse(FileId(0), &text).1.is_empty() {
            (text, comments) = (printed, Vec::new());
        }
        let (tree, problems) = parse(FileId(0), &text);
        prop_assert_eq!(&problems, &vec![], "{}", text);
        let formatted = format(FileId(0), &text).expect("no problems");
        let (read, problems) = parse(FileId(0), &formatted);
        prop_assert_eq!(&problems, &vec![], "{}\n{}", text, formatted);
        prop_assert_eq!(without_places(&read), without_places(&tree), "{}\n{}", text, formatted);
        for comment in &comments {
            prop_assert_eq!(formatted.matches(comment.as_str()).count(), 1, "{}\n{}", text, formatted);
        }
        prop_assert!(!formatted.contains(" \n") && !formatted.contains("\n\n\n"), "{}", formatted);
        let again = format(FileId(0), &formatted).expect("no problems");
        prop_assert_eq!(&again, &formatted, "{}", text);
    }
}

#[test]
fn depth_is_bounded_in_every_construct() {
    let deep = [
        ("f(", "x", ")"),
        ("[", "x", "]"),
        ("{ a: ", "x", " }"),
        ("when a { ", "x", " }"),
        ("[x for x in ", "x", "]"),
        ("", "x", ".y"),
        ("", "x", "()"),
        ("{ let a = when b ", "{ x }", " a }"),
    ];
    for (open, middle, close) in deep {
        let text = format!("let a = {}{middle}{}\nlet b = c", open.repeat(30_000), close.repeat(30_000));
        let (tree, problems) = parse(FileId(0), &text);
        assert!(
            problems.iter().any(|problem| problem.code.as_str() == "E0008"),
            "{open}{close}: {problems:?}"
        );
        assert!(print(&tree).ends_with("let b = c\n"), "{open}{close}");
    }
    let types = format!("component C(a: {}text{}) {{}}", "list<".repeat(30_000), ">".repeat(30_000));
    assert_eq!(parse(FileId(0), &types).1[0].code.as_str(), "E0008");
}

#[test]
fn a_file_too_large_is_refused() {
    let (tree, problems) = parse(FileId(0), &" ".repeat(corn_compiler::syntax::MAX_SOURCE_BYTES + 1));
    assert_eq!((tree.items.len(), problems.len(), problems[0].code.as_str()), (0, 1, "E0007"));
}
