//! P4 by counting items: slow, and plain enough to be believed. Random recordings stall here exactly
//! when the verifier says that they do.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{RecordingId, Replay, stuck_message};
use crate::ids::{ComponentId, StageId, ValueId};
use crate::plan::{Operand, Program, Recording, Run, Step, Transport, Value};
use crate::types::{Form, Kind, Type};

/// A value on one stage.
#[derive(Default)]
struct Slot {
    /// Items so far: 0 or 1 for whole values.
    items: u64,
    ended: bool,
    window: Option<u64>,
    /// Items taken by each reading step.
    taken: BTreeMap<usize, u64>,
    /// The steps that write or read it.
    touching: Vec<usize>,
}

impl Slot {
    fn room(&self) -> u64 {
        let slowest = self.taken.values().copied().min().unwrap_or(self.items);
        self.window.map_or(u64::MAX, |window| (slowest + window).saturating_sub(self.items))
    }

    fn is_finished_for(&self, step: usize) -> bool {
        self.ended && self.taken.get(&step).is_none_or(|taken| *taken == self.items)
    }
}

struct Items<'a> {
    recording: &'a Recording,
    /// Items of every stream that nothing else feeds.
    length: u64,
    slots: Vec<BTreeMap<ValueId, Slot>>,
    done: Vec<Vec<bool>>,
}

impl<'a> Items<'a> {
    fn new(recording: &'a Recording) -> Self {
        let windows: u64 = recording
            .values
            .iter()
            .map(|value| match value.ty.form {
                Form::Stream { window } => u64::from(window),
                _ => 0,
            })
            .sum();
        let copies = recording.programs.len() as u64 + 1;
        Self {
            recording,
            length: windows.saturating_mul(copies).saturating_add(1),
            slots: recording.programs.iter().map(|program| slots(recording, program)).collect(),
            done: recording.programs.iter().map(|program| vec![false; program.steps.len()]).collect(),
        }
    }

    /// Lets every step do what it can once; whether any did.
    fn advance(&mut self) -> bool {
        let mut moved = false;
        for program in 0..self.done.len() {
            for step in 0..self.done[program].len() {
                if !self.done[program][step] {
                    moved |= self.step(program, step);
                }
            }
        }
        moved
    }

    fn step(&mut self, program: usize, index: usize) -> bool {
        let step = &self.recording.programs[program].steps[index];
        match step {
            Step::Recv { .. } => self.settle(program, index, |slots, value| slots[&value].ended),
            Step::Free { value } => self.free(program, index, *value),
            Step::Send { value, to, .. } => self.send(program, index, *value, *to),
            _ => self.work(program, index, &step.reads(), &step.writes()),
        }
    }

    /// A receive has ended when what it receives has.
    fn settle(
        &mut self,
        program: usize,
        index: usize,
        ended: impl Fn(&BTreeMap<ValueId, Slot>, ValueId) -> bool,
    ) -> bool {
        let writes = self.recording.programs[program].steps[index].writes();
        let done = writes.iter().all(|value| ended(&self.slots[program], *value));
        self.done[program][index] = done;
        done
    }

    fn free(&mut self, program: usize, index: usize, value: ValueId) -> bool {
        let touching = &self.slots[program][&value].touching;
        let done = touching.iter().all(|other| self.done[program][*other]);
        self.done[program][index] = done;
        done
    }

    fn send(&mut self, program: usize, index: usize, value: ValueId, to: crate::ids::StageId) -> bool {
        let Some(target) = self.recording.programs.iter().position(|program| program.stage == to) else {
            return false;
        };
        let here = &self.slots[program][&value];
        let (items, ended) = (here.items, here.ended);
        let taken = here.taken.get(&index).copied().unwrap_or(0);
        let Some(there) = self.slots[target].get_mut(&value) else { return false };
        let moved = (items - taken).min(there.room());
        there.items += moved;
        let finished = ended && taken + moved == items;
        there.ended |= finished;
        if let Some(here) = self.slots[program].get_mut(&value) {
            here.taken.insert(index, taken + moved);
        }
        self.done[program][index] = finished;
        moved > 0 || finished
    }

    /// A step that reads and writes values of its own stage.
    fn work(&mut self, program: usize, index: usize, reads: &[ValueId], writes: &[ValueId]) -> bool {
        let slots = &self.slots[program];
        let is_stream = |value: &ValueId| slots[value].window.is_some();
        let (streams_in, values_in): (Vec<ValueId>, Vec<ValueId>) =
            reads.iter().copied().partition(is_stream);
        let (streams_out, values_out): (Vec<ValueId>, Vec<ValueId>) =
            writes.iter().copied().partition(is_stream);
        if !values_in.iter().all(|value| slots[value].ended) {
            return false;
        }
        let room = streams_out.iter().map(|value| slots[value].room()).min().unwrap_or(u64::MAX);
        let available =
            |value: &ValueId| slots[value].items - slots[value].taken.get(&index).copied().unwrap_or(0);
        let moved = if streams_in.is_empty() {
            let made = streams_out.iter().map(|value| slots[value].items).max().unwrap_or(0);
            if streams_out.is_empty() { 0 } else { (self.length - made).min(room) }
        } else {
            streams_in.iter().map(available).max().unwrap_or(0).min(room)
        };
        let takes: Vec<(ValueId, u64)> =
            streams_in.iter().map(|value| (*value, available(value).min(moved))).collect();
        for (value, count) in takes {
            let slot = self.slots[program].get_mut(&value).expect("a read value has a slot");
            *slot.taken.entry(index).or_default() += count;
        }
        for value in &streams_out {
            self.slots[program].get_mut(value).expect("a written value has a slot").items += moved;
        }
        let slots = &self.slots[program];
        let finished = if streams_in.is_empty() {
            streams_out.iter().all(|value| slots[value].items == self.length)
        } else {
            streams_in.iter().all(|value| slots[value].is_finished_for(index))
        };
        if finished {
            for value in streams_out.iter().chain(&values_out) {
                let slot = self.slots[program].get_mut(value).expect("a written value has a slot");
                slot.items = slot.items.max(1);
                slot.ended = true;
            }
            self.done[program][index] = true;
        }
        moved > 0 || finished
    }
}

fn slots(recording: &Recording, program: &Program) -> BTreeMap<ValueId, Slot> {
    let mut slots: BTreeMap<ValueId, Slot> = BTreeMap::new();
    for (index, step) in program.steps.iter().enumerate() {
        for value in step.writes() {
            let window = match recording.values[value].ty.form {
                Form::Stream { window } => Some(u64::from(window)),
                _ => None,
            };
            let slot = slots.entry(value).or_default();
            slot.window = window;
            slot.touching.push(index);
        }
        for value in step.reads() {
            let slot = slots.entry(value).or_default();
            slot.taken.insert(index, 0);
            slot.touching.push(index);
        }
    }
    slots
}

/// A component of a random recording: how many of the last values it reads, which, and what it makes.
type Choice = (Vec<usize>, Vec<Option<u32>>, bool);

/// A recording on two stages; values cross as they are needed.
fn recording(choices: &[Choice]) -> Recording {
    let mut recording = Recording::default();
    let mut stage_of = vec![0u32];
    let ty = |window: Option<u32>| Type {
        kind: Kind::Int,
        form: window.map_or(Form::Value, |window| Form::Stream { window }),
    };
    let value = |window: Option<u32>| Value {
        name: "v".to_owned(),
        ty: ty(window),
        optional: false,
        bytes: 8,
        offsets: Vec::new(),
    };
    recording.values.push(value(None));
    let mut programs = [0, 1].map(|stage| Program { stage: StageId(stage), steps: Vec::new() });
    programs[0].steps.push(Step::Input { value: ValueId(0) });
    let mut crossed: Vec<(ValueId, u32)> = Vec::new();
    for (reads, makes, on_second) in choices {
        let stage = u32::from(*on_second);
        let mut operands: Vec<ValueId> = Vec::new();
        for back in reads {
            let id = ValueId((back % recording.values.len()) as u32);
            if !operands.contains(&id) {
                operands.push(id);
            }
        }
        for id in &operands {
            let from = stage_of[id.0 as usize];
            if from != stage && !crossed.contains(&(*id, stage)) {
                crossed.push((*id, stage));
                let (transport, value) = (Transport::Pointer, *id);
                programs[from as usize].steps.push(Step::Send { value, to: StageId(stage), transport });
                programs[stage as usize].steps.push(Step::Recv { value, from: StageId(from), transport });
            }
        }
        let results = makes.iter().map(|window| {
            stage_of.push(stage);
            recording.values.push(value(*window))
        });
        let results = (0u32..).zip(results).collect();
        let operands = (0u32..).zip(operands).map(|(port, value)| Operand { port, value, each: false });
        let run = Run { component: ComponentId(0), operands: operands.collect(), results, each: false };
        programs[stage as usize].steps.push(Step::Run(run));
    }
    recording.programs = programs.into();
    recording
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_recording_stalls_when_counting_its_items_does(
        choices in prop::collection::vec(
            (
                prop::collection::vec(0usize..16, 0..4),
                prop::collection::vec(prop::option::of(1u32..4), 1..3),
                any::<bool>(),
            ),
            0..10,
        )
    ) {
        let recording = recording(&choices);
        let mut items = Items::new(&recording);
        while items.advance() {}
        let stalls = items.done.iter().flatten().any(|done| !done);
        let mut replay = Replay::new(&recording);
        replay.run();
        let message = stuck_message(RecordingId(0), &recording, &replay);
        prop_assert_eq!(message.is_some(), stalls, "{:?}\n{:?}", message, recording.programs);
        let undone = items.done.iter().flatten().filter(|done| !**done).count();
        prop_assert_eq!(replay.tasks.iter().filter(|task| !task.done).count(), undone);
    }
}
