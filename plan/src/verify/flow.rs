//! P1, P2, P3 and P10: who writes, reads, hands over and frees each value, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{RecordingId, StageId, ValueId};
use crate::plan::{Program, Recording, Step, Transport};
use crate::verify::Report;

pub(super) fn check(report: &mut Report<'_>) {
    for (id, recording) in report.plan.recordings.enumerate() {
        let mut stages = BTreeSet::new();
        for program in &recording.programs {
            if !stages.insert(program.stage) {
                report.violated("P1", format!("recording {id} has two programs for {}", program.stage));
            }
            check_program(report, id, program);
        }
        check_origins(report, id, recording);
        check_pairs(report, id, recording);
    }
}

fn check_program(report: &mut Report<'_>, id: RecordingId, program: &Program) {
    let at = format!("recording {id}, {}", program.stage);
    let mut written = BTreeSet::new();
    let mut freed = BTreeSet::new();
    for step in &program.steps {
        for value in step.reads() {
            if freed.contains(&value) {
                report.violated("P2", format!("{at}: {value} is read after its free"));
            } else if !written.contains(&value) {
                report.violated("P2", format!("{at}: {value} is read before it is there"));
            }
        }
        for value in step.writes() {
            if !written.insert(value) {
                report.violated("P1", format!("{at}: {value} is written twice"));
            }
        }
        if let Step::Free { value } = step {
            if !written.contains(value) {
                report.violated("P10", format!("{at}: {value} is freed where it never was"));
            }
            if !freed.insert(*value) {
                report.violated("P10", format!("{at}: {value} is freed twice"));
            }
        }
    }
    for value in written.difference(&freed) {
        report.violated("P10", format!("{at}: {value} is never freed"));
    }
}

/// A value has one origin: the request, a constant, or one stage's work. Others receive it.
fn check_origins(report: &mut Report<'_>, id: RecordingId, recording: &Recording) {
    let inputs: BTreeSet<ValueId> = recording.inputs.iter().map(|input| input.value).collect();
    let mut makers: BTreeMap<ValueId, Vec<StageId>> = BTreeMap::new();
    let mut given = BTreeSet::new();
    let mut sent = BTreeMap::new();
    for program in &recording.programs {
        for step in &program.steps {
            match step {
                Step::Input { value } if inputs.contains(value) => {
                    given.insert(*value);
                }
                Step::Input { value } => {
                    report.violated("P2", format!("recording {id}: {value} is no input of the request"));
                }
                Step::Const { value, .. } => {
                    given.insert(*value);
                }
                Step::Run(_) | Step::Adapt { .. } => {
                    for value in step.writes() {
                        makers.entry(value).or_default().push(program.stage);
                    }
                }
                Step::Output { value } => *sent.entry(*value).or_insert(0) += 1,
                Step::Send { .. } | Step::Recv { .. } | Step::Free { .. } => {}
            }
        }
    }
    for (value, stages) in &makers {
        if stages.len() > 1 || given.contains(value) {
            report.violated("P1", format!("recording {id}: {value} has more than one origin"));
        }
    }
    for output in &recording.outputs {
        if sent.remove(&output.value) != Some(1) {
            let name = &output.name;
            report.violated(
                "P2",
                format!("recording {id}: output {name} is not sent to the client exactly once"),
            );
        }
    }
    for value in sent.keys() {
        report
            .violated("P2", format!("recording {id}: {value} is sent to the client, who did not ask for it"));
    }
}

fn check_pairs(report: &mut Report<'_>, id: RecordingId, recording: &Recording) {
    let mut sends: BTreeMap<(ValueId, StageId, StageId), Vec<Transport>> = BTreeMap::new();
    let mut recvs: BTreeMap<(ValueId, StageId, StageId), Vec<Transport>> = BTreeMap::new();
    for program in &recording.programs {
        for step in &program.steps {
            match *step {
                Step::Send { value, to, transport } => {
                    sends.entry((value, program.stage, to)).or_default().push(transport);
                }
                Step::Recv { value, from, transport } => {
                    recvs.entry((value, from, program.stage)).or_default().push(transport);
                }
                _ => {}
            }
        }
    }
    let edges: BTreeSet<_> = sends.keys().chain(recvs.keys()).copied().collect();
    for edge in edges {
        let (value, from, to) = edge;
        let (sent, received) = (sends.get(&edge), recvs.get(&edge));
        if sent != received || sent.is_none_or(|transports| transports.len() != 1) || from == to {
            let message =
                format!("recording {id}: the hand-over of {value} from {from} to {to} does not pair");
            report.violated("P3", message);
        } else if sent.is_some_and(|transports| transports[0] != Transport::Tcp)
            && !one_host(report, from, to)
        {
            let message = format!(
                "recording {id}: {value} goes from {from} to {to} within a host, but they are on two"
            );
            report.violated("P3", message);
        }
    }
}

fn one_host(report: &Report<'_>, from: StageId, to: StageId) -> bool {
    let replicas = |stage: StageId| report.plan.stages[stage].replicas.iter();
    let hosts: BTreeSet<&str> =
        replicas(from).chain(replicas(to)).map(|worker| report.plan.workers[*worker].host.as_str()).collect();
    hosts.len() == 1
}
