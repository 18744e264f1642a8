//! P1, P2, P3 and P10: who writes, reads, hands over and frees each value, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use crate::control::{BlockId, Branch, Loop, all_steps};
use crate::ids::{RecordingId, StageId, ValueId};
use crate::plan::{InputMedia, Program, Recording, Step, Transport};
use crate::types::Kind;
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
    let scope = Scope { at: &at, outer: &BTreeSet::new(), given: BTreeSet::new(), handed: BTreeSet::new() };
    check_steps(report, &scope, &program.steps);
}

/// What a list of steps has to do with what is around it.
struct Scope<'a> {
    at: &'a str,
    /// Values of the steps around, which may be read here and are freed there.
    outer: &'a BTreeSet<ValueId>,
    /// Values that are there from the start.
    given: BTreeSet<ValueId>,
    /// Values that are handed on at the end instead of being freed.
    handed: BTreeSet<ValueId>,
}

fn check_steps(report: &mut Report<'_>, scope: &Scope<'_>, steps: &[Step]) {
    let at = scope.at;
    let mut written = scope.given.clone();
    let mut freed = BTreeSet::new();
    for step in steps {
        for value in step.reads() {
            if freed.contains(&value) {
                report.violated("P2", format!("{at}: {value} is read after its free"));
            } else if !written.contains(&value) && !scope.outer.contains(&value) {
                report.violated("P2", format!("{at}: {value} is read before it is there"));
            }
        }
        if matches!(step, Step::Branch(_) | Step::Loop(_)) {
            let there = scope.outer.union(&written).copied();
            let readable: BTreeSet<ValueId> = there.filter(|value| !freed.contains(value)).collect();
            check_inside(report, at, &readable, step);
        }
        for value in step.writes() {
            if !written.insert(value) || scope.outer.contains(&value) {
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
    for value in written.difference(&freed).filter(|value| !scope.handed.contains(value)) {
        report.violated("P10", format!("{at}: {value} is never freed"));
    }
    for value in scope.handed.intersection(&freed) {
        report.violated("P10", format!("{at}: {value} is freed and then handed on"));
    }
    for value in &scope.handed {
        if !written.contains(value) && !scope.outer.contains(value) {
            report.violated("P2", format!("{at}: {value} is handed on and never was"));
        }
    }
}

/// The steps inside a branch or loop, where `readable` values of the steps around can be read.
fn check_inside(report: &mut Report<'_>, at: &str, readable: &BTreeSet<ValueId>, step: &Step) {
    match step {
        Step::Branch(branch) => {
            for (number, arm) in branch.arms.iter().enumerate() {
                let at = format!("{at}, {} case {number}", branch.block);
                let handed = arm.yields.iter().flatten().copied().collect();
                let scope = Scope { at: &at, outer: readable, given: BTreeSet::new(), handed };
                check_steps(report, &scope, &arm.steps);
            }
        }
        Step::Loop(looped) => {
            let at = format!("{at}, {}", looped.block);
            let insides = looped.carries.iter().map(|carry| carry.inside);
            let given = insides.chain(looped.index).collect();
            let handed = looped.carries.iter().map(|carry| carry.next).collect();
            let scope = Scope { at: &at, outer: readable, given, handed };
            check_steps(report, &scope, &looped.steps);
            let is_there = |value: &ValueId| {
                readable.contains(value)
                    || all_steps(&looped.steps).iter().any(|step| step.writes().contains(value))
            };
            if looped.until.is_some_and(|until| !is_there(&until)) {
                report.violated("P2", format!("{at}: what ends the rounds is never there"));
            }
        }
        _ => {}
    }
}

/// A value has one origin: the request, a constant, or one stage's work. Others receive it.
fn check_origins(report: &mut Report<'_>, id: RecordingId, recording: &Recording) {
    let media = recording.inputs.iter().filter_map(|input| input.media.as_ref());
    let media = media.flat_map(InputMedia::values);
    let inputs: BTreeSet<ValueId> = recording.inputs.iter().map(|input| input.value).chain(media).collect();
    let mut makers: BTreeMap<ValueId, Vec<StageId>> = BTreeMap::new();
    let mut given = BTreeSet::new();
    let mut sent = BTreeMap::new();
    for program in &recording.programs {
        let inside: BTreeSet<ValueId> = program.steps.iter().flat_map(Step::inner_writes).collect();
        for step in all_steps(&program.steps) {
            match step {
                Step::Output { value } if inside.contains(value) => {
                    let message =
                        format!("recording {id}: {value} is sent to the client from inside a block");
                    report.violated("P2", message);
                }
                Step::Input { value } if inputs.contains(value) => {
                    given.insert(*value);
                }
                Step::Input { value } => {
                    report.violated("P2", format!("recording {id}: {value} is no input of the request"));
                }
                Step::Const { value, .. } => {
                    given.insert(*value);
                }
                Step::Run(_) | Step::Adapt { .. } | Step::Branch(_) | Step::Loop(_) => {
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

/// The branches and loops around a step: which block, and which of its cases.
type Path = Vec<(BlockId, usize)>;
/// A hand-over: what, from where to where, and inside which blocks.
type Edge = (ValueId, StageId, StageId, Path);

#[derive(Default)]
struct Pairs {
    sends: BTreeMap<Edge, Vec<Transport>>,
    recvs: BTreeMap<Edge, Vec<Transport>>,
}

impl Pairs {
    fn collect(&mut self, stage: StageId, steps: &[Step], path: &Path) {
        for step in steps {
            match *step {
                Step::Send { value, to, transport } => {
                    self.sends.entry((value, stage, to, path.clone())).or_default().push(transport);
                }
                Step::Recv { value, from, transport } => {
                    self.recvs.entry((value, from, stage, path.clone())).or_default().push(transport);
                }
                Step::Branch(Branch { block, .. }) | Step::Loop(Loop { block, .. }) => {
                    for (number, inside) in step.nested().into_iter().enumerate() {
                        let path = path.iter().copied().chain([(block, number)]).collect();
                        self.collect(stage, inside, &path);
                    }
                }
                _ => {}
            }
        }
    }
}

fn check_pairs(report: &mut Report<'_>, id: RecordingId, recording: &Recording) {
    let mut pairs = Pairs::default();
    for program in &recording.programs {
        pairs.collect(program.stage, &program.steps, &Path::new());
    }
    let Pairs { sends, recvs } = pairs;
    let edges: BTreeSet<&Edge> = sends.keys().chain(recvs.keys()).collect();
    for edge in edges {
        let (value, from, to, _) = *edge;
        let (sent, received) = (sends.get(edge), recvs.get(edge));
        if sent != received || sent.is_none_or(|transports| transports.len() != 1) || from == to {
            let message =
                format!("recording {id}: the hand-over of {value} from {from} to {to} does not pair");
            report.violated("P3", message);
        } else if sent.is_some_and(|transports| transports[0] == Transport::Cuda)
            && !(is_tensor(recording, value) && has_gpus(report, from) && has_gpus(report, to))
        {
            let message = format!(
                "recording {id}: {value} goes from {from} to {to} by cuda, but is no tensor between GPUs"
            );
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

fn is_tensor(recording: &Recording, value: ValueId) -> bool {
    matches!(recording.values[value].ty.kind, Kind::Tensor { .. })
}

fn has_gpus(report: &Report<'_>, stage: StageId) -> bool {
    let mut replicas = report.plan.stages[stage].replicas.iter();
    replicas.all(|worker| report.plan.workers[*worker].gpus.is_some())
}

fn one_host(report: &Report<'_>, from: StageId, to: StageId) -> bool {
    let replicas = |stage: StageId| report.plan.stages[stage].replicas.iter();
    let hosts: BTreeSet<&str> =
        replicas(from).chain(replicas(to)).map(|worker| report.plan.workers[*worker].host.as_str()).collect();
    hosts.len() == 1
}
