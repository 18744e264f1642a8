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
    for (id, row) in rows.enumerate() {
        let requests = row.request_bytes.checked_mul(u64::from(plan.inflight));
        let total = requests.and_then(|bytes| bytes.checked_add(row.components_bytes));
        let capacity = plan.workers[id].memory_bytes;
        if total.is_none_or(|total| total > capacity) {
            let (components, request, capacity) =
                (Bytes(row.components_bytes), Bytes(row.request_bytes), Bytes(capacity));
            let message = format!(
                "worker {id} has {capacity:#}, but its components take {components:#} and {} requests in flight take {request:#} each",
                plan.inflight
            );
            report.violated("P6", message);
        }
    }
}
