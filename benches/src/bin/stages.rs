//! Prints how long each stage of a compilation takes: the table of `docs/PERFORMANCE.md`.
//!
//! `cargo run --release -p corn-benches --bin stages [NODES…]`

#![allow(clippy::print_stdout, reason = "its table is what it is for")]

use std::time::{Duration, Instant};

use corn_benches::{Shape, Times, compiled, generated, routes};
use corn_plan::Plan;

/// Compilations of which the fastest counts, stage by stage.
const TIMES: usize = 9;

fn main() {
    let mut sizes: Vec<usize> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![100, 1_000, 10_000];
    }
    for shape in [Shape::Spread, Shape::Dense] {
        for nodes in &sizes {
            table(*nodes, shape);
        }
    }
}

fn table(nodes: usize, shape: Shape) {
    let program = generated(nodes, routes(nodes), shape);
    let mut all: Vec<Times> = Vec::new();
    let mut text = String::new();
    let mut recorded = 0;
    for _ in 0..TIMES {
        let (made, times) = compiled(&program.text);
        let Some(plan) = &made.plan else {
            println!("{}", made.render(false));
            return;
        };
        text = plan.plan().to_text();
        recorded = made.specialized.iter().flatten().map(|one| one.graph.nodes.len()).sum();
        all.push(times);
    }
    println!(
        "\n{shape:?}: {} nodes, {} routes, {recorded} nodes in recordings, plan of {} KiB",
        program.nodes,
        routes(nodes),
        text.len() / 1024
    );
    for (stage, _) in &all[0].stages {
        line(stage, all.iter().map(|times| times.of(stage)).collect());
    }
    line("whole", all.iter().map(Times::whole).collect());
    let parses = (0..TIMES).map(|_| {
        let since = Instant::now();
        let parsed = Plan::parse(&text);
        let took = since.elapsed();
        assert!(parsed.is_ok(), "a plan's text is read back");
        took
    });
    line("(plan parse)", parses.collect());
}

/// The least of the measurements: what else the machine does only adds to them.
fn line(stage: &str, took: Vec<Duration>) {
    let least = took.into_iter().min().unwrap_or_default();
    println!("  {stage:<14} {:>9.3} ms", least.as_secs_f64() * 1e3);
}
