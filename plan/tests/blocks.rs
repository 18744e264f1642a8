//! The verifier's refusals for branches and loops: plans in which only one invariant is broken.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use std::fmt::Write;

use corn_plan::{Plan, verify};

const BLOCKS: &str = include_str!("plans/blocks.plan");

/// A name that begins with the rule, and edits that break it.
type Case = (&'static str, &'static [(&'static str, &'static str)]);

const CASES: &[Case] = &[
    ("P1 made twice in a case", &[("        const v6 1 ", "        const v6 1\n        const v6 1 ")]),
    ("P2 sent to the client from inside", &[("        yield v14", "        output v14\n        yield v14")]),
    (
        "P3 another case on another stage",
        &[("      case \"edit\"\n        run repaint", "      case \"chat\"\n        run repaint")],
    ),
    (
        "P3 other rounds on another stage",
        &[("loop b0 max 50 count v4 until", "loop b0 max 40 count v4 until")],
    ),
    ("P3 received from another stage", &[("recv v15 from s1", "recv v15 from s2")]),
    (
        "P5 no case for a word",
        &[
            ("      case else\n        yield none\n", ""),
            ("      case else\n", ""),
            ("      case else\n", ""),
        ],
    ),
    (
        "P5 absent where it must not be",
        &[("value v16 \"picture\" image max 3MiB?", "value v16 \"picture\" image max 3MiB")],
    ),
    (
        "P5 a number among words",
        &[
            ("      case \"draw\"", "      case 7"),
            ("      case \"draw\"", "      case 7"),
            ("      case \"draw\"", "      case 7"),
        ],
    ),
    (
        "P5 anything else before the last case",
        &[
            ("      case \"draw\"", "      case else"),
            ("      case \"draw\"", "      case else"),
            ("      case \"draw\"", "      case else"),
        ],
    ),
    (
        "P5 rounds counted by a truth value",
        &[("value v4 \"steps\" int in 8B", "value v4 \"steps\" float in 8B")],
    ),
    ("P8 no rounds", &[("b0 max 50", "b0 max 0"), ("b0 max 50", "b0 max 0")]),
    ("P10 freed twice in a case", &[("        free v15", "        free v15\n        free v15")]),
    ("P10 freed and handed on", &[("        yield v14", "        free v14\n        yield v14")]),
    ("P10 never freed in a round", &[("          free v12", "          #")]),
];

/// The violations of the plan after `edits`; each edit replaces the first place that it still finds.
fn report(edits: &[(&str, &str)]) -> String {
    let mut text = BLOCKS.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from:?} is not in the plan");
        text = text.replacen(from, to, 1);
    }
    let mut plan = Plan::parse(&text).unwrap();
    plan.lay_out();
    let violations = verify(plan).err().unwrap_or_default();
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_plan_with_blocks_is_verified_and_read_back() {
    assert_eq!(report(&[]), "");
    let plan = Plan::parse(BLOCKS).unwrap();
    assert_eq!(Plan::parse(&plan.to_text()).unwrap(), plan, "P9");
    assert_eq!(plan.to_text(), BLOCKS);
}

#[test]
fn each_rule_is_refused_on_its_own_inside_blocks() {
    let mut all = String::new();
    for (name, edits) in CASES {
        let report = report(edits);
        assert!(!report.is_empty(), "{name} is accepted");
        let rule = name.split(' ').next().unwrap();
        let is_only = report.lines().all(|line| line.starts_with(&format!("{rule}:")));
        assert!(is_only, "{name} breaks more:\n{report}");
        writeln!(all, "{name}").unwrap();
        for line in report.lines() {
            writeln!(all, "    {line}").unwrap();
        }
    }
    insta::assert_snapshot!(all);
}

/// F6: steps that are indented wrongly, cut or doubled are refused or read, and never a panic.
#[test]
fn no_broken_block_makes_it_panic() {
    for (index, line) in BLOCKS.lines().enumerate() {
        let lines = || BLOCKS.lines().enumerate();
        let without: Vec<&str> = lines().filter(|(other, _)| *other != index).map(|(_, line)| line).collect();
        let _ = Plan::parse(&without.join("\n")).map(verify);
        for shifted in [format!("  {line}"), format!("        {line}"), line.trim_start().to_owned()] {
            let moved = |(other, line)| if other == index { shifted.clone() } else { str::to_owned(line) };
            let moved: Vec<String> = lines().map(moved).collect();
            let _ = Plan::parse(&moved.join("\n")).map(verify);
        }
    }
}
