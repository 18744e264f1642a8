//! H7: criterion bench of the arena that contents are handed over in: a block is allocated and given back, in one without
//! other blocks and in one with many of them and as many holes in between.
//!
//! `cargo bench -p corn-benches --bench arena`. Allocation is constant time, so neither the size of the block nor the
//! number of the others should show.

#[path = "../../engine/src/arena.rs"]
#[allow(dead_code, unused_imports, reason = "only what allocates is measured, and its tests run elsewhere")]
mod arena;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use arena::{Arena, Block};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const SIZES: [usize; 4] = [256, 4 << 10, 1 << 20, 64 << 20];
/// How many other blocks there are.
const LIVE: [usize; 3] = [0, 1_000, 30_000];

/// An arena with `live` blocks of several sizes, and a hole after each.
fn filled(live: usize) -> (Arc<Arena>, Vec<Block>) {
    let arena = Arena::new(1 << 30).expect("the system has memory to share");
    let block = |number: usize| arena.allocate(256 * (1 + number % 16)).expect("the arena has room");
    let blocks: Vec<Block> = (0..2 * live).map(block).collect();
    let kept = blocks.into_iter().step_by(2).collect();
    (arena, kept)
}

fn blocks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("block");
    for live in LIVE {
        let (arena, kept) = filled(live);
        assert_eq!(kept.len(), live);
        for bytes in SIZES {
            assert!(arena.allocate(bytes).is_some(), "{bytes} bytes beside {live} blocks");
            group.bench_function(BenchmarkId::new(format!("beside {live}"), bytes), |bencher| {
                bencher.iter(|| arena.allocate(black_box(bytes)));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = blocks
}
criterion_main!(benches);
