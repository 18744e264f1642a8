//! From the nested steps of a plan to one flat list, with every name resolved.

use corn_plan::ids::Id;
use corn_plan::{Branch, Case, Loop, Program, Recording, Run, StageId, Step, ValueId, all_steps};

use crate::program::{
    ArmPlan, CarryPlan, Edge, ListPlan, LoadedProgram, LoopPlan, Op, Operand, RunOperand, RunPlan, SlotPlan,
    StepPlan, Until, WHOLE, Writer,
};

impl LoadedProgram {
    /// Makes `program` of `recording` ready.
    pub(crate) fn load(recording: &Recording, program: &Program) -> Self {
        let mut loaded = Self { lists: vec![ListPlan::default()], ..Self::default() };
        let edge =
            |value: ValueId, stage| Edge { value, stage, is_stream: recording.values[value].ty.is_stream() };
        for step in all_steps(&program.steps) {
            match *step {
                Step::Send { value, to, .. } => loaded.leaving.push(edge(value, to)),
                Step::Recv { value, from, .. } => loaded.arriving.push(edge(value, from)),
                _ => {}
            }
        }
        for edges in [&mut loaded.leaving, &mut loaded.arriving] {
            edges.sort_unstable();
            edges.dedup();
        }
        loaded.sending = vec![Vec::new(); loaded.leaving.len()];
        let slot_of = vec![None; recording.values.len()];
        let mut flatten = Flatten { recording, loaded, slot_of, loops: Vec::new() };
        flatten.steps(WHOLE, &program.steps);
        flatten.loaded
    }
}

struct Flatten<'r> {
    recording: &'r Recording,
    loaded: LoadedProgram,
    /// The slot of each value that can be read at this place.
    slot_of: Vec<Option<u32>>,
    /// The loops around this place, the outermost first.
    loops: Vec<usize>,
}

impl Flatten<'_> {
    /// Adds the steps of `list`. What they make cannot be read after them.
    fn steps(&mut self, list: usize, steps: &[Step]) {
        for step in steps.iter().filter(|step| !matches!(step, Step::Free { .. })) {
            self.step(list, step);
        }
    }

    fn close(&mut self, list: usize) {
        for slot in &self.loaded.lists[list].slots {
            self.slot_of[self.loaded.slots[*slot].value.index()] = None;
        }
    }

    /// Adds a step that does nothing yet.
    fn add(&mut self, list: usize, op: Op) -> usize {
        let step = self.loaded.steps.len();
        self.loaded.steps.push(StepPlan { op, list, uses: Vec::new(), streams: Vec::new() });
        self.loaded.lists[list].steps.push(step);
        step
    }

    fn step(&mut self, list: usize, step: &Step) {
        // The operation is put in once the slots that it names are there.
        let index = self.add(list, Op::Loop(usize::MAX));
        let op = match step {
            Step::Input { value } => {
                let slot = self.write(list, index, *value, Writer::Arrival { step: index, edge: None });
                self.loaded.inputs.push((*value, slot));
                Op::Input { slot }
            }
            Step::Const { value, literal } => {
                let slot = self.write(list, index, *value, Writer::Steps(Vec::new()));
                Op::Const { slot, datum: literal.into() }
            }
            Step::Recv { value, from, .. } => {
                let edge = place(&self.loaded.arriving, *value, *from);
                let writer = Writer::Arrival { step: index, edge: Some(edge) };
                for of in self.loops.clone() {
                    let senders = &mut self.loaded.loops[of].senders;
                    if senders.iter().all(|sender| sender.stage != *from) {
                        senders.push(self.loaded.arriving[edge]);
                    }
                }
                Op::Recv { slot: self.write(list, index, *value, writer), edge }
            }
            Step::Send { value, to, .. } => {
                for of in self.loops.clone() {
                    self.add_receiver(of, *to, index);
                }
                let edge = place(&self.loaded.leaving, *value, *to);
                self.loaded.sending[edge].push(index);
                let within = self.loops.last().copied();
                Op::Send { from: self.read(list, index, *value), edge, within }
            }
            Step::Output { value } => {
                self.loaded.outputs.push((*value, index));
                Op::Output { from: self.read(list, index, *value), value: *value }
            }
            Step::Run(run) => self.run(list, index, run),
            Step::Adapt { adaptor, operands, results } => {
                let operands = operands.iter().map(|value| self.read(list, index, *value)).collect();
                let writer = || Writer::Steps(vec![index]);
                let results = results.iter().map(|value| self.write(list, index, *value, writer())).collect();
                Op::Adapt { adaptor: adaptor.clone(), operands, results }
            }
            Step::Branch(branch) => self.branch(list, index, branch),
            Step::Loop(looped) => self.looped(list, index, looped),
            Step::Free { .. } => unreachable!("frees are left out"),
        };
        self.loaded.steps[index].op = op;
    }

    fn run(&mut self, list: usize, index: usize, run: &Run) -> Op {
        let operand = |operand: &corn_plan::Operand| RunOperand {
            port: operand.port,
            from: self.read(list, index, operand.value),
            each: operand.each,
        };
        let operands = run.operands.iter().map(operand).collect();
        let result = |(port, value): &(u32, ValueId)| {
            (*port, self.write(list, index, *value, Writer::Call { step: index, port: *port }))
        };
        let results = run.results.iter().map(result).collect();
        Op::Run(RunPlan { component: run.component, operands, results, each: run.each })
    }

    fn branch(&mut self, list: usize, index: usize, branch: &Branch) -> Op {
        let subject = self.read(list, index, branch.subject).slot;
        let result = |value: &ValueId| self.write(list, index, *value, Writer::Steps(Vec::new()));
        let results: Vec<usize> = branch.results.iter().map(result).collect();
        let mut arms = Vec::new();
        for arm in &branch.arms {
            let inner = self.begin(Some(index));
            self.steps(inner, &arm.steps);
            let mut absent = Vec::new();
            for (to, made) in results.iter().zip(&arm.yields) {
                match made {
                    None => absent.push(*to),
                    Some(made) => {
                        let step = self.add(inner, Op::Loop(usize::MAX));
                        let from = self.read(inner, step, *made);
                        self.loaded.steps[step].op = Op::Yield { from, to: *to };
                        if let Writer::Steps(steps) = &mut self.loaded.slots[*to].writer {
                            steps.push(step);
                        }
                    }
                }
            }
            self.close(inner);
            let is = match &arm.case {
                Case::Is(literal) => Some(literal.into()),
                Case::Else => None,
            };
            arms.push(ArmPlan { is, list: inner, absent });
        }
        Op::Branch { subject, arms }
    }

    fn looped(&mut self, list: usize, index: usize, looped: &Loop) -> Op {
        let number = self.loaded.loops.len();
        let inits: Vec<usize> =
            looped.carries.iter().map(|carry| self.read(list, index, carry.init).slot).collect();
        let count = looped.count.map(|count| self.read(list, index, count).slot);
        let results: Vec<Option<usize>> = looped
            .carries
            .iter()
            .map(|carry| {
                carry.result.map(|result| self.write(list, index, result, Writer::Steps(Vec::new())))
            })
            .collect();
        let body = self.begin(Some(index));
        self.loaded.loops.push(LoopPlan {
            block: looped.block,
            outer: self.loops.last().copied(),
            max: looped.max,
            count,
            index: None,
            until: None,
            carries: Vec::new(),
            body,
            senders: Vec::new(),
            receivers: Vec::new(),
        });
        // A round's beginning fills these, and uses them until it has.
        let given = |value: ValueId| self.given(body, value);
        let insides: Vec<usize> =
            looped.carries.iter().map(|carry| carry.inside).chain(looped.index).map(given).collect();
        let is_made =
            |until: &ValueId| all_steps(&looped.steps).iter().any(|step| step.writes().contains(until));
        let made = looped.until.filter(is_made);
        self.loops.push(number);
        let first = self.loaded.slots.len();
        self.steps(body, &looped.steps);
        self.loops.pop();
        for slot in &mut self.loaded.slots[first..] {
            if Some(slot.value) == made {
                slot.ends = Some(number);
            }
        }
        let carry =
            |((carry, init), (inside, result)): ((&corn_plan::Carry, usize), (&usize, Option<usize>))| {
                CarryPlan { init, inside: *inside, next: self.kept(body, index, carry.next), result }
            };
        let carries = looped.carries.iter().zip(inits).zip(insides.iter().zip(results)).map(carry).collect();
        self.close(body);
        let until = looped.until.map(|until| match made {
            Some(_) => Until::Made,
            None => Until::Outside(self.read(list, index, until).slot),
        });
        let plan = &mut self.loaded.loops[number];
        (plan.carries, plan.until) = (carries, until);
        plan.index = looped.index.and_then(|_| insides.last().copied());
        Op::Loop(number)
    }

    fn begin(&mut self, owner: Option<usize>) -> usize {
        self.loaded.lists.push(ListPlan { owner, ..ListPlan::default() });
        self.loaded.lists.len() - 1
    }

    fn add_receiver(&mut self, of: usize, to: StageId, step: usize) {
        let receivers = &mut self.loaded.loops[of].receivers;
        match receivers.iter_mut().find(|(stage, _)| *stage == to) {
            Some((_, steps)) => steps.push(step),
            None => receivers.push((to, vec![step])),
        }
    }

    /// What a round hands on is held until the round has ended, if it was made in it.
    fn kept(&mut self, body: usize, step: usize, next: ValueId) -> usize {
        let slot = self.slot(next);
        let plan = &mut self.loaded.slots[slot];
        if plan.list != body {
            return self.read(self.loaded.steps[step].list, step, next).slot;
        }
        if !self.loaded.lists[body].kept.contains(&slot) {
            plan.users += 1;
            self.loaded.lists[body].kept.push(slot);
        }
        slot
    }

    fn slot(&self, value: ValueId) -> usize {
        self.slot_of[value.index()].expect("a verified step reads what is there") as usize
    }

    /// `step` of `list` reads `value`.
    fn read(&mut self, list: usize, step: usize, value: ValueId) -> Operand {
        let slot = self.slot(value);
        let plan = &mut self.loaded.slots[slot];
        if plan.readers.last() != Some(&step) {
            plan.readers.push(step);
        }
        let mut operand = Operand { slot, reader: 0 };
        let is_stream = plan.window().is_some();
        if is_stream {
            operand.reader = plan.stream_readers;
            plan.stream_readers += 1;
            self.loaded.steps[step].streams.push(operand);
        }
        // From the inside out to the step of the slot's own list, which stands for all that is inside of it.
        let (mut list, mut user) = (list, step);
        while list != self.loaded.slots[slot].list {
            if is_stream {
                self.loaded.lists[list].outer_streams.push(operand);
            }
            user = self.loaded.lists[list].owner.expect("what is read is made in a list around this one");
            list = self.loaded.steps[user].list;
        }
        self.use_slot(user, slot);
        operand
    }

    fn use_slot(&mut self, step: usize, slot: usize) {
        let uses = &mut self.loaded.steps[step].uses;
        if !uses.contains(&slot) {
            uses.push(slot);
            self.loaded.slots[slot].users += 1;
        }
    }

    fn write(&mut self, list: usize, step: usize, value: ValueId, writer: Writer) -> usize {
        let slot = self.add_slot(list, value, writer);
        self.use_slot(step, slot);
        slot
    }

    /// A value that each round of `body` begins with.
    fn given(&mut self, body: usize, value: ValueId) -> usize {
        let slot = self.add_slot(body, value, Writer::Steps(Vec::new()));
        self.loaded.slots[slot].users += 1;
        slot
    }

    fn add_slot(&mut self, list: usize, value: ValueId, writer: Writer) -> usize {
        let slot = self.loaded.slots.len();
        let of = &self.recording.values[value];
        self.slot_of[value.index()] = Some(slot as u32);
        self.loaded.lists[list].slots.push(slot);
        self.loaded.slots.push(SlotPlan {
            value,
            ty: of.ty.clone(),
            is_optional: of.optional,
            list,
            writer,
            readers: Vec::new(),
            stream_readers: 0,
            users: 0,
            ends: None,
        });
        slot
    }
}

fn place(edges: &[Edge], value: ValueId, stage: StageId) -> usize {
    Edge::find(edges, value, stage).expect("every hand-over was listed before")
}
