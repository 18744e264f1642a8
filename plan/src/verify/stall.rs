//! P4: no recording can stall.
//!
//! Each recording is replayed symbolically: values end or do not, and every stream is longer than all
//! windows of the recording together, so that a reader who waits for an end while another holds a
//! window full is found. What a component does between its streams is unknown; it is taken to make one
//! item of each output for each item it takes, to take nothing while an output is full, and to make
//! whole values only after its input streams end.
//!
//! Because streams outlast every window, no items need to be counted. A step *flows* once its whole
//! operands are there and every reader of every stream it makes flows: then it can move items without
//! end. A step that does not flow fills the windows behind it and holds its streams back. A step is
//! done when it flows and the streams that it reads have ended; what it makes has then ended. The
//! replay follows these three facts from step to step, each once, so it takes time with the size of
//! the recording. A recording with branches is replayed once for each way through it.

#[cfg(test)]
mod by_items;

use std::collections::BTreeMap;

use crate::ids::{RecordingId, StageId, ValueId};
use crate::plan::{Program, Recording, Step};
use crate::verify::Report;
use crate::verify::paths;

pub(super) fn check(report: &mut Report<'_>) {
    for (id, recording) in report.plan.recordings.enumerate() {
        let has_blocks = |program: &Program| program.steps.iter().any(|step| !step.nested().is_empty());
        if !recording.programs.iter().any(has_blocks) {
            violated(report, replayed(id, recording));
            continue;
        }
        let mut way = recording.clone();
        let found = paths::ways(recording).iter().find_map(|choice| {
            way.programs = paths::taken(recording, choice);
            replayed(id, &way)
        });
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
    replay.run();
    stuck_message(id, recording, &replay)
}

/// A step that waits for a whole value while it holds a stream back is the cause; others follow
/// from it.
fn stuck_message(id: RecordingId, recording: &Recording, replay: &Replay<'_>) -> Option<String> {
    let name = |value: &ValueId| recording.values[*value].name.as_str();
    let is_stream = |value: &ValueId| recording.values[*value].ty.is_stream();
    let mut any = None;
    for task in replay.tasks.iter().filter(|task| !task.done) {
        let stage = task.stage;
        let reads = task.step.reads();
        let ended = |value: &ValueId| {
            let slot = replay.read_slots(task).find(|slot| replay.slots[*slot].value == *value);
            slot.is_some_and(|slot| replay.slots[slot].ended)
        };
        let awaited = reads.iter().find(|value| !is_stream(value) && !ended(value));
        let held = reads.iter().find(|value| is_stream(value));
        if let Some((awaited, held)) = awaited.zip(held) {
            return Some(format!(
                "recording {id} stalls on {stage}: a step waits for the whole of '{}', which cannot end, because the same step holds the stream '{}' back until it starts",
                name(awaited),
                name(held),
            ));
        }
        let values: Vec<&str> = reads.iter().chain(&task.step.writes()).map(name).collect();
        any.get_or_insert_with(|| {
            format!("recording {id} stalls on {stage}: the step with {} never ends", values.join(", "))
        });
    }
    any
}

/// A value on one stage.
struct Slot {
    value: ValueId,
    is_stream: bool,
    ended: bool,
    /// The step that fills it: what makes it here, or the send on another stage.
    filler: Option<usize>,
    /// The steps that read it here: places in [`Replay::reads`].
    first_read: Option<usize>,
    /// Readers that do not flow yet; while there are any, a stream is held back.
    holding: usize,
}

/// A step that reads a slot, and the next that does.
struct Read {
    task: usize,
    next: Option<usize>,
}

/// A step while it is replayed. Frees are left out: nothing waits for them.
struct Task<'a> {
    stage: StageId,
    step: &'a Step,
    /// Places in [`Replay::touched`]: slots that it reads, then slots that it fills.
    reads: std::ops::Range<usize>,
    fills: std::ops::Range<usize>,
    /// Whole operands that have not ended.
    awaited: usize,
    /// Streams that it reads and that have not ended.
    open: usize,
    /// Streams that it makes and that are held back.
    held: usize,
    flows: bool,
    done: bool,
}

struct Replay<'a> {
    slots: Vec<Slot>,
    tasks: Vec<Task<'a>>,
    reads: Vec<Read>,
    touched: Vec<usize>,
    /// Tasks of which something changed.
    changed: Vec<usize>,
}

impl<'a> Replay<'a> {
    fn new(recording: &'a Recording) -> Self {
        let mut replay = Self {
            slots: Vec::new(),
            tasks: Vec::new(),
            reads: Vec::new(),
            touched: Vec::new(),
            changed: Vec::new(),
        };
        let mut arriving: BTreeMap<(StageId, ValueId), usize> = BTreeMap::new();
        let mut here: Vec<Option<usize>> = vec![None; recording.values.len()];
        for program in &recording.programs {
            let first = replay.slots.len();
            for step in program.steps.iter().filter(|step| !matches!(step, Step::Free { .. })) {
                let task = replay.add(program.stage, step, recording, &mut here);
                if let Step::Recv { value, .. } = step {
                    arriving.insert((program.stage, *value), replay.touched[replay.tasks[task].fills.start]);
                }
            }
            for slot in &replay.slots[first..] {
                here[slot.value.0 as usize] = None;
            }
        }
        replay.link(&arriving);
        replay
    }

    /// Adds `step` with the slots that it touches on its own stage.
    fn add(
        &mut self,
        stage: StageId,
        step: &'a Step,
        recording: &Recording,
        here: &mut [Option<usize>],
    ) -> usize {
        let start = self.touched.len();
        for value in step.reads() {
            self.touch(value, recording, here);
        }
        let middle = self.touched.len();
        for value in step.writes() {
            self.touch(value, recording, here);
        }
        let (reads, fills) = (start..middle, middle..self.touched.len());
        self.tasks.push(Task {
            stage,
            step,
            reads,
            fills,
            awaited: 0,
            open: 0,
            held: 0,
            flows: false,
            done: false,
        });
        self.tasks.len() - 1
    }

    fn touch(&mut self, value: ValueId, recording: &Recording, here: &mut [Option<usize>]) {
        let slot = *here[value.0 as usize].get_or_insert_with(|| {
            let is_stream = recording.values[value].ty.is_stream();
            self.slots.push(Slot {
                value,
                is_stream,
                ended: false,
                filler: None,
                first_read: None,
                holding: 0,
            });
            self.slots.len() - 1
        });
        self.touched.push(slot);
    }

    /// Counts what every step waits for. A receive is no work: the send fills its slot.
    fn link(&mut self, arriving: &BTreeMap<(StageId, ValueId), usize>) {
        for id in 0..self.tasks.len() {
            let step = self.tasks[id].step;
            if let Step::Send { value, to, .. } = step
                && let Some(slot) = arriving.get(&(*to, *value))
            {
                self.touched.push(*slot);
                self.tasks[id].fills = self.touched.len() - 1..self.touched.len();
            }
            for place in self.tasks[id].reads.clone() {
                let slot = &mut self.slots[self.touched[place]];
                self.reads.push(Read { task: id, next: slot.first_read });
                slot.first_read = Some(self.reads.len() - 1);
                slot.holding += 1;
                if slot.is_stream {
                    self.tasks[id].open += 1;
                } else {
                    self.tasks[id].awaited += 1;
                }
            }
            if !matches!(step, Step::Recv { .. }) {
                for place in self.tasks[id].fills.clone() {
                    self.slots[self.touched[place]].filler = Some(id);
                }
            }
        }
        for slot in self.slots.iter().filter(|slot| slot.is_stream && slot.holding > 0) {
            if let Some(filler) = slot.filler {
                self.tasks[filler].held += 1;
            }
        }
    }

    fn read_slots(&self, task: &Task<'_>) -> impl Iterator<Item = usize> {
        self.touched[task.reads.clone()].iter().copied()
    }

    /// Follows what flows and what ends until nothing changes.
    fn run(&mut self) {
        self.changed = (0..self.tasks.len()).rev().collect();
        while let Some(id) = self.changed.pop() {
            let task = &self.tasks[id];
            if matches!(task.step, Step::Recv { .. }) {
                continue;
            }
            // A send to a stage that does not receive fills nothing and never ends.
            let can_flow = task.awaited == 0 && task.held == 0;
            let leads_nowhere = matches!(task.step, Step::Send { .. }) && task.fills.is_empty();
            if can_flow && !leads_nowhere && !task.flows {
                self.tasks[id].flows = true;
                self.release(id);
            }
            let task = &mut self.tasks[id];
            if task.flows && task.open == 0 && !task.done {
                task.done = true;
                self.end(id);
            }
        }
        for task in self.tasks.iter_mut().filter(|task| matches!(task.step, Step::Recv { .. })) {
            task.done = self.slots[self.touched[task.fills.start]].ended;
        }
    }

    /// `id` flows: it no longer holds the streams back that it reads.
    fn release(&mut self, id: usize) {
        for place in self.tasks[id].reads.clone() {
            let slot = &mut self.slots[self.touched[place]];
            slot.holding -= 1;
            if slot.is_stream
                && slot.holding == 0
                && let Some(filler) = slot.filler
            {
                self.tasks[filler].held -= 1;
                self.changed.push(filler);
            }
        }
    }

    /// `id` is done: what it fills has ended, which its readers learn.
    fn end(&mut self, id: usize) {
        for place in self.tasks[id].fills.clone() {
            let slot = &mut self.slots[self.touched[place]];
            slot.ended = true;
            let is_stream = slot.is_stream;
            let mut read = slot.first_read;
            while let Some(place) = read {
                let Read { task, next } = self.reads[place];
                let waiting = &mut self.tasks[task];
                if is_stream {
                    waiting.open -= 1;
                } else {
                    waiting.awaited -= 1;
                }
                self.changed.push(task);
                read = next;
            }
        }
    }
}
