//! Criterion benches of the compiler: the whole of it (Q4), each stage on its own, and the plan's text.
//!
//! `cargo bench -p corn-benches`. A stage cannot run without those before it, so its bench compiles
//! the whole program and counts the time of that stage only.

use std::hint::black_box;
use std::time::Duration;

use corn_benches::{Shape, compiled, generated, routes};
use corn_compiler::source::FileId;
use corn_compiler::syntax;
use corn_plan::{Plan, verify};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const SIZES: [usize; 3] = [100, 1_000, 10_000];

fn whole(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compile");
    let dense = SIZES[..2].iter().map(|nodes| (*nodes, Shape::Dense));
    for (nodes, shape) in SIZES.map(|nodes| (nodes, Shape::Spread)).into_iter().chain(dense) {
        let program = generated(nodes, routes(nodes), shape);
        group.bench_function(BenchmarkId::new(format!("{shape:?}"), nodes), |bencher| {
            bencher.iter(|| compiled(black_box(&program.text)));
        });
    }
    group.finish();
}

fn stages(criterion: &mut Criterion) {
    for nodes in SIZES {
        let program = generated(nodes, routes(nodes), Shape::Spread);
        let mut group = criterion.benchmark_group(format!("stage/{nodes}"));
        for (stage, _) in compiled(&program.text).1.stages {
            group.bench_function(stage, |bencher| {
                bencher.iter_custom(|times| {
                    (0..times).map(|_| compiled(&program.text).1.of(stage)).sum::<Duration>()
                });
            });
        }
        group.bench_function("lex", |bencher| bencher.iter(|| syntax::lex(FileId(0), &program.text)));
        group.bench_function("parse", |bencher| bencher.iter(|| syntax::parse(FileId(0), &program.text)));
        group.finish();
    }
}

fn plans(criterion: &mut Criterion) {
    for nodes in SIZES {
        let program = generated(nodes, routes(nodes), Shape::Spread);
        let Some(verified) = compiled(&program.text).0.plan else { continue };
        let plan = verified.plan();
        let text = plan.to_text();
        let mut group = criterion.benchmark_group(format!("plan/{nodes}"));
        group.bench_function("print", |bencher| bencher.iter(|| plan.to_text()));
        group.bench_function("parse", |bencher| bencher.iter(|| Plan::parse(black_box(&text))));
        group.bench_function("hash", |bencher| bencher.iter(|| plan.hash()));
        group.bench_function("verify", |bencher| {
            bencher.iter_batched(|| plan.clone(), verify, criterion::BatchSize::LargeInput);
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = whole, stages, plans
}
criterion_main!(benches);
