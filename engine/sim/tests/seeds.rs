//! F5: seeds of the simulator with random faults. `cargo run --release -p corn-sim -- seeds 10000` runs many more.

use corn_sim::verdict::{Expectations, judge};

/// One large cluster among each 64.
const SEEDS: u64 = 320;

#[test]
fn no_seed_breaks_a_promise() {
    let mut expectations = Expectations::default();
    let (mut answered_again, mut failed) = (0, 0);
    for seed in 0..SEEDS {
        let verdict = judge(seed, false, &mut expectations);
        if !verdict.violations.is_empty() {
            let verdict = judge(seed, true, &mut expectations);
            let log = verdict.log.join("\n");
            panic!("{log}\nseed {seed} breaks promises: {:#?}", verdict.violations);
        }
        answered_again += verdict.answered_again;
        failed += verdict.failed.values().sum::<u64>();
    }
    assert!(answered_again > 20, "the mishaps are such that requests are replayed: {answered_again}");
    assert!(failed > 100, "and such that some fail: {failed}");
}

/// A seed is all that decides.
#[test]
fn a_seed_replays_exactly() {
    for seed in [5, 63] {
        let log = |_| judge(seed, true, &mut Expectations::default()).log;
        let [one, other] = [0, 1].map(log);
        assert!(one.len() > 100);
        assert!(one == other, "seed {seed}");
    }
}
