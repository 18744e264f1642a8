//! What the verifier holds of plans with GPUs, replicas and endpoints: each rule broken on its own.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use std::fmt::Write;

use corn_plan::{Plan, verify};

const GPUS: &str = include_str!("plans/gpus.plan");

/// What the verifier says of the plan after `edits`, each of which must change something.
fn report(edits: &[(&str, &str)], keep_memory: bool) -> Vec<String> {
    let mut text = GPUS.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from:?} is not in the plan");
        text = text.replacen(from, to, 1);
    }
    let mut plan = Plan::parse(&text).unwrap();
    if !keep_memory {
        plan.lay_out();
    }
    verify(plan).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn a_good_plan_is_verified_and_read_back() {
    let plan = Plan::parse(GPUS).unwrap();
    assert_eq!(report(&[], true), [""; 0]);
    assert_eq!(Plan::parse(&plan.to_text()).unwrap(), plan, "P9");
}

#[test]
fn each_rule_is_refused_on_its_own() {
    let cases: [(&str, &[(&str, &str)]); 15] = [
        (
            "P3 by cuda without a GPU",
            &[
                ("gpu 0, 1 kind \"h200\" memory 139GiB", ""),
                ("needs cpu 1 gpu 2", "needs cpu 1"),
                (" tensor_parallel 2", ""),
                ("64GiB", "640GiB"),
            ],
        ),
        ("P3 by cuda to another host", &[("worker w2 host \"a\"", "worker w2 host \"b\"")]),
        ("P5 a GPU with two owners", &[("gpu 3", "gpu 2")]),
        (
            "P5 no GPU for what needs one",
            &[
                ("memory 64GiB gpu 3 kind \"h200\" memory 139GiB", "memory 640GiB"),
                ("by cuda", "by tcp"),
                ("by cuda", "by tcp"),
            ],
        ),
        ("P5 fewer GPUs than it spreads over", &[("gpu 0, 1", "gpu 0")]),
        ("P5 more GPUs than it spreads over", &[(" tensor_parallel 2", "")]),
        ("P5 two replicas on one worker", &[("on w1, w2", "on w1, w2, w2")]),
        ("P7 served twice", &[("serve look\n", "serve look\n  grpc\nserve look\n")]),
        ("P7 no such graph", &[("serve look", "serve other")]),
        ("P7 no such route", &[("-> echo", "-> shout")]),
        ("P7 no such endpoint", &[("completions", "chatter")]),
        ("P7 other types", &[("completions -> echo", "audio.speech -> echo")]),
        ("P7 an endpoint twice", &[("  grpc\n", "  grpc\n  grpc\n")]),
        ("P8 more served than admitted", &[("limit inflight 4", "limit inflight 5")]),
        ("P8 a limit of nothing", &[("limit images 4", "limit images 0")]),
    ];
    let mut all = String::new();
    for (name, edits) in cases {
        let report = report(edits, false);
        assert!(!report.is_empty(), "{name} is accepted");
        let rule = name.split(' ').next().unwrap();
        assert!(report.iter().all(|line| line.starts_with(&format!("{rule}:"))), "{name}: {report:?}");
        writeln!(all, "{name}\n    {}", report.join("\n    ")).unwrap();
    }
    insta::assert_snapshot!("deploy", all);
}

#[test]
fn a_gpu_that_is_too_full_is_refused_with_the_figures() {
    let edits = [("gpu 2 kind \"h200\" memory 139GiB", "gpu 2 kind \"h200\" memory 66GiB")];
    let full = "P6: each GPU of worker w1 has 66.0 GiB, but its components take 66.0 GiB and 4 requests in flight take 4.0 MiB each";
    assert_eq!(report(&edits, true), [full]);
    let edits = [("gpu components 50GiB", "gpu components 51GiB")];
    let wrong = "P6: the memory table is not the one that follows from the components and values";
    assert_eq!(report(&edits, true), [wrong]);
}

#[test]
fn no_broken_text_makes_it_panic() {
    for cut in 0..GPUS.len() {
        let _ = Plan::parse(&GPUS[..cut]).map(verify);
    }
    for line in GPUS.lines() {
        let _ = Plan::parse(&GPUS.replacen(line, "", 1)).map(verify);
        let _ = Plan::parse(&GPUS.replacen(line, &format!("{line}\n{line}"), 1)).map(verify);
    }
}
