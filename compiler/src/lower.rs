//! Placed graphs to a plan: dense ids of what is used, and one recording for each route.

use std::collections::BTreeMap;

use corn_plan::{ComponentId, IdVec, Input, InputMedia, Output, Plan, Recording, Stage, Verified, Violation};

use crate::diagnostic::Diagnostics;
use crate::diagnostic::semantic::placement;
use crate::graph::{Component, Graph, Program, Specialized};
use crate::passes::place::Placement;
use crate::passes::target::Target;
use crate::passes::{allocate, schedule, stages, transfer};

/// The plan of `all`, placed as `placement` says; its memory table is still empty.
pub(crate) fn lower(program: &Program, all: &[Specialized], placement: &Placement, target: &Target) -> Plan {
    let (components, renamed) = components(&program.components, placement);
    let stage = |stage: &Stage| Stage {
        components: stage.components.iter().map(|component| renamed[component]).collect(),
        replicas: stage.replicas.clone(),
        tensor_parallel: stage.tensor_parallel,
    };
    let recordings = all.iter().zip(&placement.nodes).map(|(one, nodes)| {
        let blocks = stages::blocks(&one.graph, nodes);
        let handed = transfer::transfer(&one.graph, nodes, &blocks, placement);
        let component = |component| renamed[&component];
        let programs = schedule::schedule(&one.graph, nodes, &blocks, &handed, component);
        recording(one, programs.into_iter().map(allocate::free).collect())
    });
    Plan {
        name: program.name.clone(),
        inflight: inflight(program, target),
        workers: placement.workers.clone(),
        components,
        stages: placement.stages.iter().map(stage).collect(),
        serves: program.deployment.serves.iter().map(|serve| serve.plan.clone()).collect(),
        recordings: recordings.collect(),
        memory: IdVec::new(),
    }
}

/// Requests admitted at once: what `serve` says of the graphs, else what the target does.
fn inflight(program: &Program, target: &Target) -> u32 {
    let said = program.deployment.serves.iter().filter_map(|serve| serve.plan.limits.inflight);
    said.reduce(u32::saturating_add).unwrap_or(target.inflight).max(1)
}

/// The components that are placed, and their new ids.
fn components(
    all: &IdVec<ComponentId, Component>,
    placement: &Placement,
) -> (IdVec<ComponentId, corn_plan::Component>, BTreeMap<ComponentId, ComponentId>) {
    let mut placed: Vec<ComponentId> =
        placement.stages.iter().flat_map(|stage| stage.components.clone()).collect();
    placed.sort_unstable();
    let mut components = IdVec::new();
    let renamed = placed
        .into_iter()
        .map(|id| (id, components.push(all[id].deployed.clone())))
        .collect::<BTreeMap<_, _>>();
    (components, renamed)
}

fn recording(one: &Specialized, programs: Vec<corn_plan::Program>) -> Recording {
    let graph: &Graph = &one.graph;
    let input = |input: &crate::graph::Input| Input {
        name: input.name.clone(),
        value: input.value,
        default: input.default.clone(),
        is: input.is.clone(),
        media: (input.media.is_some() || input.order.is_some()).then(|| InputMedia {
            value: input.media,
            order: input.order,
            kinds: input.kinds.clone(),
        }),
    };
    let output = |output: &crate::graph::Output| Output { name: output.name.clone(), value: output.value };
    Recording {
        route: one.route.clone(),
        graph: graph.name.clone(),
        inputs: graph.inputs.iter().map(input).collect(),
        outputs: graph.outputs.iter().map(output).collect(),
        values: allocate::values(graph),
        programs,
    }
}

/// `plan` as verified. A stall is the program's fault and is reported; any other violation is a
/// mistake of the passes.
pub(crate) fn verified(plan: Plan, all: &[Specialized], found: &mut Diagnostics) -> Option<Verified> {
    let violations = match corn_plan::verify(plan) {
        Ok(verified) => return Some(verified),
        Err(violations) => violations,
    };
    for Violation { rule, message } in violations {
        assert_eq!(rule, "P4", "the passes made a wrong plan: {rule}: {message}");
        let number =
            message.strip_prefix("recording r").and_then(|rest| rest.split(' ').next()?.parse().ok());
        let span = number.and_then(|number: usize| all.get(number)).map(|one| one.span);
        found.push(placement::plan_stalls(&message, span));
    }
    None
}
