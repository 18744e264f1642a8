//! P1, P2, P3 and P10: who writes, reads, hands over and frees each value, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use crate::control::{BlockId, Branch, Loop, all_steps};
use crate::ids::{IdVec, RecordingId, StageId, ValueId};
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
            check_program(report, id, recording, program);
        }
        check_origins(report, id, recording);
        check_pairs(report, id, recording);
    }
}

fn check_program(report: &mut Report<'_>, id: RecordingId, recording: &Recording, program: &Program) {
    let at = format!("recording {id}, {}", program.stage);
    let held = recording.values.iter().map(|_| Held::Never).collect();
    let mut walk = Walk { report, held, scopes: 0 };
    walk.steps(&Scope { at: &at, given: Vec::new(), handed: Vec::new(), is_inside: false }, &program.steps);
}

/// What a list of steps has to do with what is around it.
struct Scope<'a> {
    at: &'a str,
    /// Values that are there from the start.
    given: Vec<ValueId>,
    /// Values that are handed on at the end instead of being freed.
    handed: Vec<ValueId>,
    /// Whether a block is around it.
    is_inside: bool,
}

/// Where a value is on the way through a program.
#[derive(Clone, Copy, PartialEq)]
enum Held {
    /// Not yet, or not any more: what is made inside a block ends there.
    Never,
    /// Written by the list of this number.
    Written(u32),
    Freed,
}

/// The way through one program. Lists of steps are numbered as they begin.
struct Walk<'w, 'r> {
    report: &'w mut Report<'r>,
    held: IdVec<ValueId, Held>,
    scopes: u32,
}

impl Walk<'_, '_> {
    fn steps(&mut self, scope: &Scope<'_>, steps: &[Step]) {
        let at = scope.at;
        self.scopes += 1;
        let number = self.scopes;
        let mut own: Vec<ValueId> = Vec::new();
        for value in &scope.given {
            self.write(*value, number, at, &mut own);
        }
        for step in steps {
            for value in step.reads() {
                match self.held[value] {
                    Held::Freed => {
                        self.report.violated("P2", format!("{at}: {value} is read after its free"));
                    }
                    Held::Never => {
                        self.report.violated("P2", format!("{at}: {value} is read before it is there"));
                    }
                    Held::Written(_) => {}
                }
            }
            match step {
                Step::Branch(_) | Step::Loop(_) => self.inside(at, step),
                Step::Output { value } if scope.is_inside => {
                    let message = format!("{at}: {value} is sent to the client from inside a block");
                    self.report.violated("P2", message);
                }
                Step::Input { value } if scope.is_inside => {
                    let message = format!("{at}: {value} is taken from the request inside a block");
                    self.report.violated("P2", message);
                }
                Step::Free { value } => self.free(*value, number, at),
                _ => {}
            }
            for value in step.writes() {
                self.write(value, number, at, &mut own);
            }
        }
        self.end(scope, &own);
    }

    fn write(&mut self, value: ValueId, number: u32, at: &str, own: &mut Vec<ValueId>) {
        if self.held[value] != Held::Never {
            self.report.violated("P1", format!("{at}: {value} is written twice"));
            return;
        }
        self.held[value] = Held::Written(number);
        own.push(value);
    }

    fn free(&mut self, value: ValueId, number: u32, at: &str) {
        match self.held[value] {
            Held::Written(by) if by == number => self.held[value] = Held::Freed,
            Held::Freed => self.report.violated("P10", format!("{at}: {value} is freed twice")),
            Held::Never | Held::Written(_) => {
                self.report.violated("P10", format!("{at}: {value} is freed where it never was"));
            }
        }
    }

    /// What a list has made is freed or handed on, and is not there after it.
    fn end(&mut self, scope: &Scope<'_>, own: &[ValueId]) {
        let at = scope.at;
        for value in &scope.handed {
            match self.held[*value] {
                Held::Freed => {
                    self.report.violated("P10", format!("{at}: {value} is freed and then handed on"));
                }
                Held::Never => {
                    self.report.violated("P2", format!("{at}: {value} is handed on and never was"));
                }
                Held::Written(_) => {}
            }
        }
        for value in own {
            if self.held[*value] != Held::Freed && !scope.handed.contains(value) {
                self.report.violated("P10", format!("{at}: {value} is never freed"));
            }
            if scope.is_inside {
                self.held[*value] = Held::Never;
            }
        }
    }

    /// The steps inside a branch or loop, which may read what is around it.
    fn inside(&mut self, at: &str, step: &Step) {
        match step {
            Step::Branch(branch) => {
                for (number, arm) in branch.arms.iter().enumerate() {
                    let at = format!("{at}, {} case {number}", branch.block);
                    let handed = arm.yields.iter().flatten().copied().collect();
                    let scope = Scope { at: &at, given: Vec::new(), handed, is_inside: true };
                    self.steps(&scope, &arm.steps);
                }
            }
            Step::Loop(looped) => {
                let at = format!("{at}, {}", looped.block);
                let insides = looped.carries.iter().map(|carry| carry.inside);
                let given = insides.chain(looped.index).collect();
                let handed = looped.carries.iter().map(|carry| carry.next).collect();
                let is_made = |until: ValueId| {
                    all_steps(&looped.steps).iter().any(|step| step.writes().contains(&until))
                };
                let lost = looped
                    .until
                    .filter(|until| !matches!(self.held[*until], Held::Written(_)) && !is_made(*until));
                if lost.is_some() {
                    self.report.violated("P2", format!("{at}: what ends the rounds is never there"));
                }
                self.steps(&Scope { at: &at, given, handed, is_inside: true }, &looped.steps);
            }
            _ => {}
        }
    }
}

/// A value has one origin: the request, a constant, or one stage's work. Others receive it.
fn check_origins(report: &mut Report<'_>, id: RecordingId, recording: &Recording) {
    let media = recording.inputs.iter().filter_map(|input| input.media.as_ref());
    let media = media.flat_map(InputMedia::values);
    let inputs: BTreeSet<ValueId> = recording.inputs.iter().map(|input| input.value).chain(media).collect();
    // How many stages make a value; a constant or an input is given by none of them.
    let mut makers: IdVec<ValueId, u32> = recording.values.iter().map(|_| 0).collect();
    let mut given: IdVec<ValueId, bool> = recording.values.iter().map(|_| false).collect();
    let mut sent = BTreeMap::new();
    for program in &recording.programs {
        for step in all_steps(&program.steps) {
            match step {
                Step::Input { value } if inputs.contains(value) => given[*value] = true,
                Step::Input { value } => {
                    report.violated("P2", format!("recording {id}: {value} is no input of the request"));
                }
                Step::Const { value, .. } => given[*value] = true,
                Step::Run(_) | Step::Adapt { .. } | Step::Branch(_) | Step::Loop(_) => {
                    for value in step.writes() {
                        makers[value] += 1;
                    }
                }
                Step::Output { value } => *sent.entry(*value).or_insert(0) += 1,
                Step::Send { .. } | Step::Recv { .. } | Step::Free { .. } => {}
            }
        }
    }
    for (value, made) in makers.enumerate() {
        if *made > 1 || (*made == 1 && given[value]) {
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
