//! Plans of this folder, and what every answer must be like.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: what is wrong here fails the test")]
#![allow(dead_code, reason = "no test uses all of it")]

use std::sync::Arc;

use corn_core::Datum;
use corn_core::message::RequestId;
use corn_plan::{Output, Plan, RecordingId, Verified, verify};

pub(crate) use corn_sim::orders::Cluster;

/// Reads a plan of `tests/plans`.
pub(crate) fn plan(name: &str) -> Arc<Verified> {
    let path = format!("{}/tests/plans/{name}.plan", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    Arc::new(verify(Plan::parse(&text).unwrap()).unwrap())
}

pub(crate) fn text(datum: &Datum) -> &str {
    if let Datum::Text(text) = datum { text } else { panic!("{datum:?} is no text") }
}

/// What the answer to a request is, whatever the order of events: its outputs by name, items put together.
pub(crate) fn answer(cluster: &Cluster, request: u64, recording: u32) -> Vec<(String, String)> {
    let seen = &cluster.clients[&RequestId::first(request)];
    assert_eq!(seen.failed, None);
    let outputs = &cluster.plan.plan().recordings[RecordingId(recording)].outputs;
    assert_eq!(seen.ended.len(), outputs.len(), "each output ends once");
    let said = |output: &Output| {
        let items = seen.items.get(&output.value).map_or(&[][..], Vec::as_slice);
        (output.name.clone(), items.iter().map(text).collect())
    };
    outputs.iter().map(said).collect()
}

/// What each worker held at most is within the plan's figure for `requests` of them.
pub(crate) fn assert_within_figure(cluster: &Cluster, requests: u64) {
    for worker in &cluster.workers {
        let (row, peak) = (&cluster.plan.plan().memory[worker.id()], worker.ledger().peak_bytes);
        let on_gpus = row.gpu.map_or(0, |gpu| gpu.request_bytes);
        let figure = (row.request_bytes + on_gpus) * requests;
        assert!(peak <= figure, "{} held {peak} of {figure} bytes", worker.id());
    }
}
