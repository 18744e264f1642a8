//! Plans as the compiler makes them, with every kind of block and of media, replayed whole.

mod cluster;

use cluster::{Cluster, assert_within_figure, plan};
use corn_core::message::RequestId;
use corn_core::{Blame, Datum};
use corn_plan::{Output, RecordingId};
use corn_sim::models::inputs;

const PLANS: [&str; 4] = ["control", "blocks_apart", "decided_apart", "media"];

/// Each output's items; sorted, since a merge takes them as they come.
fn answer(cluster: &Cluster, request: u64, outputs: &[Output]) -> Vec<Vec<String>> {
    let seen = &cluster.clients[&RequestId::first(request)];
    assert_eq!(seen.failed, None);
    assert_eq!(seen.ended.len(), outputs.len(), "each output ends once");
    let items = |output: &Output| {
        let items = seen.items.get(&output.value).map_or(&[][..], Vec::as_slice);
        let mut items: Vec<String> = items.iter().map(|item: &Datum| format!("{item:?}")).collect();
        items.sort();
        items
    };
    outputs.iter().map(items).collect()
}

/// R9, R14, P10: whatever the components make, each recording ends with the answer that follows from it, two
/// requests at once do not mix, and no more is held than the plan says.
#[test]
fn every_recording_ends_with_its_answer_in_any_order() {
    for name in PLANS {
        let plan = plan(&format!("compiled/{name}"));
        for (id, recording) in plan.plan().recordings.enumerate() {
            for number in 0..5 {
                let asks = [inputs(recording, number), inputs(recording, number + 100)];
                let mut first = None;
                for seed in 0..8 {
                    let mut cluster = Cluster::new(&plan, seed);
                    for (request, inputs) in (0..).zip(&asks) {
                        let inputs: Vec<(&str, Datum)> =
                            inputs.iter().map(|(name, datum)| (&**name, datum.clone())).collect();
                        cluster.submit(request, id.0, &inputs, None);
                    }
                    cluster.run();
                    cluster.assert_at_rest();
                    assert_within_figure(&cluster, 2);
                    let answers = [0, 1].map(|request| answer(&cluster, request, &recording.outputs));
                    let first = first.get_or_insert_with(|| answers.clone());
                    assert_eq!(answers, *first, "{name} {id}, inputs {number}, seed {seed}");
                }
            }
        }
    }
}

/// F1, P10: cancelled at any moment, every recording gives everything back.
#[test]
fn every_recording_can_be_cancelled() {
    for name in PLANS {
        let plan = plan(&format!("compiled/{name}"));
        let recordings: Vec<RecordingId> = plan.plan().recordings.ids().collect();
        for id in recordings {
            let inputs = inputs(&plan.plan().recordings[id], 3);
            let inputs: Vec<(&str, Datum)> =
                inputs.iter().map(|(name, datum)| (&**name, datum.clone())).collect();
            for moment in (0..).step_by(3) {
                let mut cluster = Cluster::new(&plan, moment);
                cluster.submit(0, id.0, &inputs, None);
                let over = (0..moment).any(|_| !cluster.step());
                cluster.cancel(0);
                cluster.run();
                cluster.assert_at_rest();
                let failed = &cluster.clients[&RequestId::first(0)].failed;
                assert!(failed.as_ref().is_none_or(|fault| fault.blame == Blame::Cancelled), "{failed:?}");
                if over {
                    break;
                }
            }
        }
    }
}
