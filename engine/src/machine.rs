//! What a plan asks of machines that this engine cannot give it yet.

use std::collections::BTreeSet;

use corn_plan::{Plan, Step, Transport};

/// Why `plan` cannot be replayed by this engine, a sentence each; nothing if it can. Its executors run on the CPU.
pub fn problems(plan: &Plan) -> Vec<String> {
    let mut problems = Vec::new();
    for (id, worker) in plan.workers.enumerate() {
        if let Some(gpus) = &worker.gpus {
            let (host, kind) = (&worker.host, &gpus.kind);
            problems.push(format!(
                "worker {id} owns GPUs ({kind}, on host '{host}'), and this build of corn drives none yet"
            ));
        }
    }
    let programs = plan.recordings.iter().flat_map(|recording| &recording.programs);
    let by_cuda = |step: &Step| {
        matches!(
            step,
            Step::Send { transport: Transport::Cuda, .. } | Step::Recv { transport: Transport::Cuda, .. }
        )
    };
    if programs.flat_map(|program| &program.steps).any(by_cuda) {
        problems.push("it hands tensors over by cuda, which this build of corn cannot do yet".to_owned());
    }
    problems
}

/// Why `plan` cannot be replayed within one process, if it can be replayed at all.
pub(crate) fn not_embedded(plan: &Plan) -> Option<String> {
    let hosts: BTreeSet<&str> = plan.workers.iter().map(|worker| worker.host.as_str()).collect();
    if hosts.len() < 2 {
        return None;
    }
    let hosts = hosts.into_iter().collect::<Vec<_>>().join("', '");
    Some(format!("its workers are on hosts '{hosts}'; `corn up` deploys it"))
}
