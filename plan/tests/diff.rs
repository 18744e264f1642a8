//! What is said of two plans: every pair in `diffs`, as a reviewer reads it, and what is no difference.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use corn_plan::diff::diff;
use corn_plan::{Plan, verify};

const SPEAK: &str = include_str!("plans/speak.plan");

fn plan(text: &str) -> Plan {
    let mut plan = Plan::parse(text).unwrap();
    plan.lay_out();
    verify(plan).unwrap().plan().clone()
}

/// A pair is `NAME.before.plan` and `NAME.after.plan`; both directions are shown.
#[test]
fn pairs_are_compared() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diffs");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().to_str()?.strip_suffix(".before.plan").map(str::to_owned)
        })
        .collect();
    names.sort();
    assert!(!names.is_empty());
    for name in names {
        let read =
            |side: &str| plan(&fs::read_to_string(folder.join(format!("{name}.{side}.plan"))).unwrap());
        let (before, after) = (read("before"), read("after"));
        let (there, back) = (diff(&before, &after), diff(&after, &before));
        assert_eq!(there.is_empty(), back.is_empty());
        let shown = format!("{}\n\n{there}\n--- back\n{}\n\n{back}", there.summary(), back.summary());
        insta::with_settings!({ snapshot_path => &folder, prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, shown);
        });
        assert!(diff(&before, &before).is_empty());
    }
}

/// Each edit of one plan is a difference, and the only one.
#[test]
fn one_edit_is_one_difference() {
    let edits = [
        ("inflight 4", "inflight 8"),
        ("worker w1 host \"local\" cpu 1 memory 1GiB", "worker w1 host \"local\" cpu 2 memory 2GiB"),
        ("kind \"test::Think\"", "kind \"test::Thinker\""),
        ("run test \"words\"", "run other \"words\""),
        ("words==1.0", "words==1.1"),
        ("  weights more hf \"some/words\" path \"a.bin\" revision \"main\"\n", ""),
        ("option loud false", "option loud true"),
        ("  option top 5\n", ""),
        ("  in prompt: text max 4KiB", "  in prompt: text max 8KiB"),
        ("  remembers prompt\n", ""),
        ("needs cpu 1 memory 1MiB", "needs cpu 2 memory 3MiB"),
        ("batch 4 within 0ms", "batch 2 within 5ms"),
        ("recording r1 chat", "recording r1 write"),
        ("stage s1 say on w1", "stage s1 say on w0, w1"),
    ];
    let before = plan(SPEAK);
    let mut all = String::new();
    for (from, to) in edits {
        assert!(SPEAK.contains(from), "{from}");
        let found = diff(&before, &plan(&SPEAK.replacen(from, to, 1)));
        writeln!(all, "{from:?} is {to:?}\n{}\n{found}", found.summary()).unwrap();
        assert!(!found.is_empty(), "{from}");
    }
    insta::assert_snapshot!("edits", all);
}

/// Other numbers for the same things are no difference, nor are the program's name and comments.
#[test]
fn numbers_and_names_of_files_are_no_difference() {
    let before = plan(SPEAK);
    let mut text = SPEAK.replace("\"speak\"", "\"other\"");
    for (from, to) in [("w0", "w?"), ("w1", "w0"), ("w?", "w1"), ("v0", "v?"), ("v1", "v0"), ("v?", "v1")] {
        text = text.replace(from, to);
    }
    // The lines that declare them stay in order.
    for lines in
        [["worker w1", "worker w0"], ["  value v1", "  value v0"], ["  w1 components", "  w0 components"]]
    {
        text = in_order(&text, lines);
    }
    let after = plan(&text);
    assert_ne!(before.hash(), after.hash());
    assert_eq!(diff(&before, &after).to_string(), "");
    assert_eq!(diff(&before, &after).summary(), "no difference");
}

/// `text` with each line that begins with the first of `begin` behind the next that begins with the second.
fn in_order(text: &str, [first, second]: [&str; 2]) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    let mut place = 0;
    while place + 1 < lines.len() {
        if lines[place].starts_with(first) && lines[place + 1].starts_with(second) {
            lines.swap(place, place + 1);
            place += 1;
        }
        place += 1;
    }
    lines.join("\n")
}
