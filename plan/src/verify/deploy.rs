//! P5 and P7 of what is placed and served: GPUs are owned by one worker each and are enough for what is
//! placed on them, and what is served exists and fits its endpoint.

use std::collections::{BTreeMap, BTreeSet};

use crate::endpoint::Face;
use crate::ids::{StageId, WorkerId};
use crate::plan::{Endpoint, Recording, Serve, Stage};
use crate::verify::Report;

pub(super) fn check(report: &mut Report<'_>) {
    check_gpus(report);
    let plan = report.plan;
    for (id, stage) in plan.stages.enumerate() {
        check_stage(report, id, stage);
    }
    let mut served = BTreeSet::new();
    let mut inflight = 0u32;
    for serve in &plan.serves {
        if !served.insert(serve.graph.as_str()) {
            report.violated("P7", format!("graph {} is served twice", serve.graph));
        }
        inflight = inflight.saturating_add(serve.limits.inflight.unwrap_or(0));
        check_serve(report, serve);
    }
    if inflight > plan.inflight {
        let message = format!("{inflight} requests are served at once, but {} are admitted", plan.inflight);
        report.violated("P8", message);
    }
}

/// A GPU has one owner.
fn check_gpus(report: &mut Report<'_>) {
    let mut owners: BTreeMap<(&str, u32), WorkerId> = BTreeMap::new();
    for (id, worker) in report.plan.workers.enumerate() {
        let Some(gpus) = &worker.gpus else { continue };
        if gpus.indices.is_empty() {
            report.violated("P5", format!("worker {id} has GPUs, but none is numbered"));
        }
        for index in &gpus.indices {
            if let Some(other) = owners.insert((&worker.host, *index), id) {
                let message = format!("GPU {index} of host {} belongs to {other} and to {id}", worker.host);
                report.violated("P5", message);
            }
        }
    }
}

fn check_stage(report: &mut Report<'_>, id: StageId, stage: &Stage) {
    let plan = report.plan;
    let distinct: BTreeSet<&WorkerId> = stage.replicas.iter().collect();
    if distinct.len() < stage.replicas.len() {
        report.violated("P5", format!("two replicas of stage {id} are on one worker"));
    }
    let needing = stage.components.iter().find(|component| plan.components[**component].needs.gpus > 0);
    for worker in &stage.replicas {
        let gpus = plan.workers[*worker].gpus.as_ref().map_or(0, |gpus| gpus.indices.len());
        if let (0, Some(component)) = (gpus, needing) {
            let name = &plan.components[*component].name;
            report.violated("P5", format!("component {name} needs a GPU, and worker {worker} has none"));
        } else if gpus.max(1) != stage.tensor_parallel as usize {
            let degree = stage.tensor_parallel;
            let message = format!("stage {id} spreads over {degree} GPUs, and worker {worker} has {gpus}");
            report.violated("P5", message);
        }
    }
}

fn check_serve(report: &mut Report<'_>, serve: &Serve) {
    let plan = report.plan;
    let graph = &serve.graph;
    let recordings: Vec<&Recording> =
        plan.recordings.iter().filter(|recording| recording.graph == *graph).collect();
    if recordings.is_empty() {
        report.violated("P7", format!("graph {graph} is served, but has no recording"));
    }
    let mut seen = BTreeSet::new();
    for endpoint in &serve.endpoints {
        let key = match endpoint {
            Endpoint::Openai { path, with, route } => (path.as_str(), with.as_slice(), route.as_str()),
            Endpoint::Grpc => ("grpc", [].as_slice(), ""),
            Endpoint::Kserve => ("kserve", [].as_slice(), ""),
        };
        if !seen.insert(key) {
            report.violated("P7", format!("graph {graph} is served twice at {}", key.0));
        }
        let Endpoint::Openai { path, with, route } = endpoint else { continue };
        let mut routed = recordings.iter().filter(|recording| recording.route == *route).peekable();
        match Face::find(path) {
            None => report.violated("P7", format!("there is no endpoint {path}")),
            Some(_) if routed.peek().is_none() => {
                report.violated("P7", format!("graph {graph} has no route {route} to serve at {path}"));
            }
            Some(face) if !routed.any(|recording| face.misfits_of(with, recording).is_empty()) => {
                report.violated("P7", format!("route {route} cannot answer {path}: its types differ"));
            }
            Some(_) => {}
        }
    }
    let limits = &serve.limits;
    let is_nothing = limits.body_bytes == Some(0)
        || limits.images == Some(0)
        || limits.audio_ms == Some(0)
        || limits.inflight == Some(0)
        || serve.deadline_ms == Some(0);
    if is_nothing {
        report.violated("P8", format!("graph {graph} is served with a limit of nothing"));
    }
}
