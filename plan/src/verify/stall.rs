//! P4: no recording can stall.
//!
//! Each recording is replayed symbolically: values are there or not, streams are counts of items,
//! and every stream is longer than all windows of the recording together, so that a reader who
//! waits for an end while another holds a window full is found. What a component does between its
//! streams is unknown; it is taken to make one item of each output for each item it takes, to take
//! nothing while an output is full, and to make whole values only after its input streams end.
//! A recording with branches is replayed once for each way through it.

use std::collections::BTreeMap;

use crate::ids::{RecordingId, ValueId};
use crate::plan::{Program, Recording, Step};
use crate::types::Form;
use crate::verify::Report;
use crate::verify::paths::paths;

/// Windows are cut to this many items here: streams are endless beside them either way, and the
/// replay takes time with the largest.
const MAX_WINDOW: u64 = 16;

pub(super) fn check(report: &mut Report<'_>) {
    for (id, recording) in report.plan.recordings.enumerate() {
        let has_blocks = |program: &Program| program.steps.iter().any(|step| !step.nested().is_empty());
        if !recording.programs.iter().any(has_blocks) {
            violated(report, replayed(id, recording));
            continue;
        }
        let found = paths(recording).iter().find_map(|path| replayed(id, path));
        violated(report, found);
    }
}

fn violated(report: &mut Report<'_>, found: Option<String>) {
    if let Some(message) = found {
        report.violated("P4", message);
    }
}

/// What stalls, if anything does.
fn replayed(id: RecordingId, recording: &Recording) -> Option<String> {
    let mut replay = Replay::new(recording);
    while replay.advance() {}
    stuck_message(id, recording, &replay)
}

/// A step that waits for a whole value while it holds a stream back is the cause; others follow
/// from it.
fn stuck_message(id: RecordingId, recording: &Recording, replay: &Replay<'_>) -> Option<String> {
    let name = |value: &ValueId| recording.values[*value].name.as_str();
    let mut any = None;
    for (program, done) in replay.done.iter().enumerate() {
        let stage = recording.programs[program].stage;
        for (index, _) in done.iter().enumerate().filter(|(_, done)| !**done) {
            let step = &recording.programs[program].steps[index];
            let slots = &replay.slots[program];
            let reads = step.reads();
            let awaited = reads.iter().find(|value| slots[value].window.is_none() && !slots[value].ended);
            let held = reads.iter().find(|value| slots[value].window.is_some());
            if let Some((awaited, held)) = awaited.zip(held) {
                return Some(format!(
                    "recording {id} stalls on {stage}: a step waits for the whole of '{}', which cannot end, because the same step holds the stream '{}' back until it starts",
                    name(awaited),
                    name(held),
                ));
            }
            let values: Vec<&str> = reads.iter().chain(&step.writes()).map(name).collect();
            any.get_or_insert_with(|| {
                format!("recording {id} stalls on {stage}: the step with {} never ends", values.join(", "))
            });
        }
    }
    any
}

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

struct Replay<'a> {
    recording: &'a Recording,
    /// Items of every stream that nothing else feeds.
    length: u64,
    slots: Vec<BTreeMap<ValueId, Slot>>,
    done: Vec<Vec<bool>>,
}

impl<'a> Replay<'a> {
    fn new(recording: &'a Recording) -> Self {
        let windows: u64 = recording
            .values
            .iter()
            .map(|value| match value.ty.form {
                Form::Stream { window } => u64::from(window).min(MAX_WINDOW),
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
                Form::Stream { window } => Some(u64::from(window).min(MAX_WINDOW)),
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
