//! The verifier's refusals: for each of P1–P10 a plan in which only that invariant is broken.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use std::fmt::Write;

use corn_plan::{Plan, Violation, verify};

const SPEAK: &str = include_str!("plans/speak.plan");
const STALL: &str = include_str!("plans/stall.plan");

/// A name, a plan's text, and edits that break it.
type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// The violations of a plan's text after `edits`, each of which must change something. The memory
/// table is made right again, unless it is what is tested.
fn violations(text: &str, edits: &[(&str, &str)], keep_memory: bool) -> Vec<Violation> {
    let mut text = text.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from:?} is not in the plan");
        text = text.replacen(from, to, 1);
    }
    let mut plan = Plan::parse(&text).unwrap();
    if !keep_memory {
        plan.lay_out();
    }
    verify(plan).err().unwrap_or_default()
}

/// The rules and messages that one broken plan violates, a line each.
fn report(text: &str, edits: &[(&str, &str)], keep_memory: bool) -> String {
    let lines = violations(text, edits, keep_memory);
    lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_good_plan_is_verified_and_its_text_is_its_identity() {
    let plan = Plan::parse(SPEAK).unwrap();
    let verified = verify(plan.clone()).unwrap();
    assert_eq!(Plan::parse(&plan.to_text()).unwrap(), plan, "P9");
    assert_eq!(verified.hash(), Plan::parse(&plan.to_text()).unwrap().hash());
    insta::assert_snapshot!("speak", plan.to_text());
}

#[test]
fn each_rule_is_refused_on_its_own() {
    let cases: [Case; 22] = [
        ("P1 twice in a program", SPEAK, &[("    input v0\n", "    input v0\n    input v0\n")]),
        ("P1 two programs", SPEAK, &[("  on s1\n", "  on s0\n  on s1\n")]),
        (
            "P2 before it is there",
            SPEAK,
            &[(
                "    input v0\n    run think(prompt: v0) -> (text: v1)",
                "    run think(prompt: v0) -> (text: v1)\n    input v0",
            )],
        ),
        (
            "P2 after its free",
            SPEAK,
            &[
                ("    output v1\n    sentences", "    sentences"),
                ("    free v1\n    send", "    free v1\n    output v1\n    send"),
            ],
        ),
        ("P2 an output nobody sends", SPEAK, &[("    output v3\n", "")]),
        (
            "P2 an output nobody asked for",
            SPEAK,
            &[("  output voice v3\n", ""), ("chat = assistant", "chat = other")],
        ),
        ("P3 no receive", SPEAK, &[("    send v2 to s1 by pointer\n", "")]),
        ("P3 other transport", SPEAK, &[("recv v2 from s0 by pointer", "recv v2 from s0 by tcp")]),
        ("P3 other host", SPEAK, &[("worker w1 host \"local\"", "worker w1 host \"far\"")]),
        ("P4 stall", STALL, &[]),
        ("P5 type", SPEAK, &[("  in prompt: text max 4KiB", "  in prompt: int")]),
        ("P5 bound", SPEAK, &[("  in prompt: text max 4KiB", "  in prompt: text max 1KiB")]),
        ("P5 a port left open", SPEAK, &[("run say(text: v2)", "run say()")]),
        ("P5 unknown value", SPEAK, &[("run say(text: v2)", "run say(text: v9)")]),
        ("P5 in two stages", SPEAK, &[("stage s1 say", "stage s1 say, think")]),
        ("P5 no input", SPEAK, &[("remembers prompt", "remembers text")]),
        ("P7 one signature", SPEAK, &[("  output voice v3\n", ""), ("    output v3\n", "")]),
        ("P8 inflight", SPEAK, &[("inflight 4", "inflight 0")]),
        ("P8 batch", SPEAK, &[("batch 4", "batch 0")]),
        ("P8 bytes", SPEAK, &[("window 2 in 11250KiB", "window 2 in 1B")]),
        ("P10 never freed", SPEAK, &[("    free v3\n", "")]),
        ("P10 freed twice", SPEAK, &[("    free v3\n", "    free v3\n    free v3\n")]),
    ];
    let mut all = String::new();
    for (name, text, edits) in cases {
        let report = report(text, edits, false);
        assert!(!report.is_empty(), "{name} is accepted");
        let rule = name.split(' ').next().unwrap();
        assert!(
            report.lines().all(|line| line.starts_with(&format!("{rule}:"))),
            "{name} breaks more:\n{report}"
        );
        writeln!(all, "{name}").unwrap();
        for line in report.lines() {
            writeln!(all, "    {line}").unwrap();
        }
    }
    insta::assert_snapshot!("refusals", all);
}

#[test]
fn memory_that_does_not_fit_is_refused_with_the_figures() {
    let edits =
        [("worker w1 host \"local\" cpu 1 memory 1GiB", "worker w1 host \"local\" cpu 1 memory 8MiB")];
    insta::assert_snapshot!(report(SPEAK, &edits, true), @"P6: worker w1 has 8.0 MiB, but its components take 1.0 MiB and 4 requests in flight take 11.0 MiB each");
    let edits = [("w0 components 1MiB request", "w0 components 2MiB request")];
    insta::assert_snapshot!(report(SPEAK, &edits, true), @"P6: the memory table is not the one that follows from the components and values");
}

#[test]
fn names_that_no_text_can_hold_are_refused() {
    let mut plan = Plan::parse(SPEAK).unwrap();
    plan.recordings[corn_plan::RecordingId(0)].route = "two words".to_owned();
    let violations = verify(plan).unwrap_err();
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].rule, "P9");
}

#[test]
fn wrong_texts_are_refused_with_their_line() {
    let cases = [
        ("", ""),
        ("corn plan 1 \"speak\"", "corn plan 2 \"speak\""),
        ("corn plan 1 \"speak\"", "a plan"),
        ("inflight 4", "inflight many"),
        ("worker w1", "worker w7"),
        ("memory 1GiB", "memory 1GB"),
        ("run test \"words\"", "run test words"),
        ("  needs cpu 1", "  wants cpu 1"),
        ("stage s1 say on w1", "stage s1 sing on w1"),
        ("run think(prompt: v0)", "run think(promt: v0)"),
        ("by pointer", "by pigeon"),
        ("stream<text max 64B> window 4", "stream<txt max 64B> window 4"),
        ("option greeting \"Hi", "option greeting Hi"),
        ("\\u{1f33d}", "\\u{1f33d"),
        ("    free v3", "    free v3 please"),
        ("    output v1", "    explode v1"),
        ("memory\n", "memory ~\n"),
    ];
    let mut all = String::new();
    for (from, to) in cases {
        let text = if from.is_empty() { String::new() } else { SPEAK.replacen(from, to, 1) };
        let error = Plan::parse(&text).unwrap_err();
        writeln!(all, "{to:?}\n    {error}").unwrap();
    }
    insta::assert_snapshot!("wrong_texts", all);
}

/// F6: no cut or changed byte makes the parser or the verifier panic.
#[test]
fn no_broken_text_makes_it_panic() {
    for text in [SPEAK, STALL] {
        for cut in 0..text.len() {
            let _ = Plan::parse(&text[..cut]).map(verify);
        }
        for (index, line) in text.lines().enumerate() {
            let without: Vec<&str> =
                text.lines().enumerate().filter(|(other, _)| *other != index).map(|(_, line)| line).collect();
            let _ = Plan::parse(&without.join("\n")).map(verify);
            let twice = text.replacen(line, &format!("{line}\n{line}"), 1);
            let _ = Plan::parse(&twice).map(verify);
        }
        for (index, digit) in text.match_indices(|c: char| c.is_ascii_digit()) {
            for other in ["0", "3", "9", "18446744073709551615", "-1", "é"] {
                let mut changed = text.to_owned();
                changed.replace_range(index..index + digit.len(), other);
                let _ = Plan::parse(&changed).map(verify);
            }
        }
    }
}

#[test]
fn a_value_that_overlaps_another_in_its_arena_is_refused() {
    let edits = [("at s0 4352B, s1 0B", "at s0 4KiB, s1 0B")];
    insta::assert_snapshot!(report(SPEAK, &edits, true), @"P6: recording r0: v2 is not where it must be in its arenas");
}
