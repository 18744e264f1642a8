//! P6: the memory table is the one that follows from the plan, and every worker can hold it.

use crate::types::Bytes;
use crate::verify::Report;

pub(super) fn check(report: &mut Report<'_>) {
    let plan = report.plan;
    let rows = plan.memory_rows();
    if rows != plan.memory {
        report.violated(
            "P6",
            "the memory table is not the one that follows from the components and values".to_owned(),
        );
    }
    for (id, recording) in plan.recordings.enumerate() {
        let offsets = plan.offsets(recording);
        let wrong = recording.values.enumerate().find(|(value, of)| of.offsets != offsets[*value]);
        if let Some((value, _)) = wrong {
            let message = format!("recording {id}: {value} is not where it must be in its arenas");
            report.violated("P6", message);
        }
    }
    for (id, row) in rows.enumerate() {
        let worker = &plan.workers[id];
        if row.total_bytes(plan.inflight).is_none_or(|total| total > worker.memory_bytes) {
            let what = format!("worker {id}");
            too_full(report, &what, worker.memory_bytes, row.components_bytes, row.request_bytes);
        }
        if let (Some(gpus), Some(gpu)) = (&worker.gpus, row.gpu)
            && gpu.total_bytes(plan.inflight).is_none_or(|total| total > gpus.memory_bytes)
        {
            let what = format!("each GPU of worker {id}");
            too_full(report, &what, gpus.memory_bytes, gpu.components_bytes, gpu.request_bytes);
        }
    }
}

fn too_full(report: &mut Report<'_>, what: &str, capacity: u64, components: u64, request: u64) {
    let (components, request, capacity) = (Bytes(components), Bytes(request), Bytes(capacity));
    let message = format!(
        "{what} has {capacity:#}, but its components take {components:#} and {} requests in flight take {request:#} each",
        report.plan.inflight
    );
    report.violated("P6", message);
}
