//! Programs that nobody writes and a generator might: each gets an answer, in bounded time and memory,
//! on the small stack of a test's thread.

#[allow(dead_code, reason = "the harness has more than is used here")]
mod harness;

use std::fmt::Write;

use corn_compiler::syntax::MAX_SOURCE_BYTES;
use corn_compiler::{Compilation, Drawing};
use harness::compile_text;

fn codes(made: &Compilation) -> Vec<&str> {
    made.diagnostics.iter().map(|found| found.code.as_str()).collect()
}

const UPPER: &str = "use std::reference::{Upper}\nlet upper = Upper()\n";

/// g1 asks g0 twice, g2 asks g1 twice, …: 2⁶⁴ nodes in a few lines.
#[test]
fn calls_that_multiply_are_refused_before_they_are_made() {
    let mut text = format!("{UPPER}graph g0(t: text) -> text {{ upper(t) }}\n");
    for level in 1..=64 {
        let below = level - 1;
        let _ = writeln!(text, "graph g{level}(t: text) -> text {{ g{below}(g{below}(t)) }}");
    }
    let made = compile_text("doubled.corn", &text);
    assert_eq!(codes(&made), ["E0720"], "{}", made.render(false));
}

#[test]
fn a_chain_of_many_lets_compiles() {
    let mut text = format!("{UPPER}graph long(a0: text max 1KiB) -> text max 16KiB {{\n");
    let count = 5_000;
    for place in 0..count {
        let _ = writeln!(text, "let a{} = upper(a{place})", place + 1);
    }
    let _ = writeln!(text, "a{count} }}");
    let made = compile_text("long.corn", &text);
    assert!(made.plan.is_some(), "{}", made.render(false));
    let drawn: usize = made.drawings(Drawing::Text).iter().flatten().map(|(_, drawing)| drawing.len()).sum();
    assert!(drawn < 1 << 20, "a drawing of {drawn} bytes");
}

/// As many as a file can hold.
#[test]
fn very_many_broken_lets_are_refused() {
    let mut text = format!("{UPPER}graph long(a: text) -> text {{\n");
    let mut place = 0;
    while text.len() < MAX_SOURCE_BYTES - 64 {
        let _ = writeln!(text, "let a{place} = b{place}");
        place += 1;
    }
    text.push_str("a }");
    assert!(compile_text("long.corn", &text).has_errors());
}

#[test]
fn long_names_and_long_lists_are_read() {
    let name = "n".repeat(10_000);
    let text =
        format!("{UPPER}graph g({name}: text) -> text {{ upper({name}) }}\nroute r = g({name}x) -> result");
    assert!(codes(&compile_text("names.corn", &text)).contains(&"E0701"));

    let items = "1,".repeat(500_000);
    let made = compile_text("list.corn", &format!("let a = [{items}]\n"));
    assert!(made.has_errors(), "a list of numbers is no constant");

    let operands = vec!["t"; 20_000].join(", ");
    let text = format!("{UPPER}graph g(t: text max 1B) -> text max 1MiB {{ join({operands}) }}");
    let made = compile_text("join.corn", &text);
    assert!(made.plan.is_some(), "{}", made.render(false));
}

#[test]
fn many_components_get_names_of_their_own() {
    let mut text = "use std::reference::{Upper}\n".to_owned();
    for place in 0..2_000 {
        let _ = writeln!(text, "let upper{place} = Upper()");
    }
    text.push_str("graph g(t: text) -> text {\n    let made0 = upper0(t)\n");
    for place in 1..2_000 {
        let _ = writeln!(text, "    let made{place} = upper{place}(made{})", place - 1);
    }
    text.push_str("    made1999\n}\n");
    let made = compile_text("many.corn", &text);
    assert!(made.plan.is_some(), "{}", made.render(false));
}

#[test]
fn a_file_of_a_hundred_megabytes_is_refused_at_once() {
    let made = compile_text("huge.corn", &"let a = 1\n".repeat(10_000_000));
    assert_eq!(codes(&made), ["E0007"]);
}
