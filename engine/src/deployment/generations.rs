//! The generations of a deployment: each replays one plan with workers of its own. There is one, and while it is
//! replaced there are two: the one that comes loads beside the one that serves, and the one that leaves ends what it
//! has under way.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corn_core::Fault;
use corn_plan::{PlanHash, Recording, Verified};
use futures_util::future::select_all;
use tokio::sync::watch;

use super::noted::Note;
use super::{Deployment, Status};
use crate::client::{Answer, Piece};
use crate::engine::Ask;

/// Plans that were replaced, of which clients may still ask.
const REMEMBERED: usize = 8;

/// What is served now, and what comes or leaves.
pub struct Generations {
    all: Mutex<All>,
    /// How often one came or went.
    changes: watch::Sender<u64>,
}

struct All {
    now: Arc<Deployment>,
    generation: u64,
    /// The plans of those before, the last one first: clients may have looked recordings up in them.
    before: VecDeque<Arc<Verified>>,
    coming: Option<Arc<Deployment>>,
    leaving: Option<Arc<Deployment>>,
}

/// An answer of the generation that serves, to whoever knows the plan of the one before.
pub(crate) struct Translated {
    answer: Answer,
    /// Where each output of it stands in the recording that was asked for.
    outputs: Vec<usize>,
    /// What will be told of it, if it is traced.
    note: Option<Note>,
}

impl Generations {
    /// With one of them.
    pub fn new(first: Arc<Deployment>) -> Self {
        let all = All { now: first, generation: 1, before: VecDeque::new(), coming: None, leaving: None };
        Self { all: Mutex::new(all), changes: watch::Sender::new(0) }
    }

    /// The one that serves.
    pub fn now(&self) -> Arc<Deployment> {
        Arc::clone(&self.lock().now)
    }

    /// Whether one comes or leaves.
    pub fn is_changing(&self) -> bool {
        let all = self.lock();
        all.coming.is_some() || all.leaving.is_some()
    }

    /// `next` loads.
    pub fn begin(&self, next: Arc<Deployment>) {
        self.change(|all| all.coming = Some(next));
    }

    /// The one that comes does not.
    pub fn give_up(&self) {
        self.change(|all| all.coming = None);
    }

    /// The one that comes serves from now on, and the other leaves.
    pub fn switch(&self) {
        self.change(|all| {
            if let Some(next) = all.coming.take() {
                let before = std::mem::replace(&mut all.now, next);
                all.before.push_front(Arc::clone(before.engine().plan()));
                all.before.truncate(REMEMBERED);
                all.leaving = Some(before);
                all.generation += 1;
            }
        });
    }

    /// The one that leaves has left.
    pub fn end(&self) {
        self.change(|all| all.leaving = None);
    }

    /// How the one that serves is, and what comes or leaves beside it.
    pub fn status(&self) -> Status {
        let all = self.lock();
        let mut status = all.now.status();
        status.version = self.version(&all);
        status.generation = all.generation;
        let boxed =
            |beside: &Option<Arc<Deployment>>| beside.as_ref().map(|beside| Box::new(beside.status()));
        status.coming = boxed(&all.coming);
        status.leaving = boxed(&all.leaving);
        status
    }

    /// Ends when something about the workers has changed since it was `version` of [`Status`].
    pub async fn changed(&self, version: u64) {
        loop {
            let mut changes = self.changes.subscribe();
            let each: Vec<(Arc<Deployment>, u64)> = {
                let all = self.lock();
                if self.version(&all) != version {
                    return;
                }
                all.each().map(|one| (Arc::clone(one), one.version())).collect()
            };
            let changed = each.iter().map(|(one, version)| Box::pin(one.changed(*version)));
            tokio::select! {
                // It is there as long as this is.
                _ = changes.changed() => {}
                _ = select_all(changed) => {}
            }
        }
    }

    /// Submits what was looked up in `plan`, which may not be the one that is served any more.
    pub(crate) fn submit(&self, plan: PlanHash, ask: Ask) -> Result<Translated, Fault> {
        let (now, known) = {
            let all = self.lock();
            let mut plans = std::iter::once(all.now.engine().plan()).chain(&all.before);
            (Arc::clone(&all.now), plans.find(|known| known.hash() == plan).cloned())
        };
        let Some(known) = known else {
            return Err(Fault::request(format!("plan {plan} is not served any more: ask anew")));
        };
        let known = known.plan();
        if ask.recording.0 as usize >= known.recordings.len() {
            return Err(Fault::request(format!("the plan has no recording r{}", ask.recording.0)));
        }
        let asked = &known.recordings[ask.recording];
        if plan == now.engine().plan().hash() {
            let outputs = (0..asked.outputs.len()).collect();
            return Ok(Translated::submit(&now, ask, outputs));
        }
        let engine = now.engine();
        let wanted: Vec<String> = asked.outputs.iter().map(|output| output.name.clone()).collect();
        let recording = engine.look_up(&engine.signature(&asked.graph, &ask.inputs, &wanted))?;
        let outputs = translate(asked, &engine.plan().plan().recordings[recording])?;
        Ok(Translated::submit(&now, Ask { recording, ..ask }, outputs))
    }

    /// Never the same again once something has changed: what is counted by one that went is made up for.
    fn version(&self, all: &All) -> u64 {
        let changes = *self.changes.borrow() << 40;
        all.each().fold(changes, |version, one| version.wrapping_add(one.version()))
    }

    fn change(&self, change: impl FnOnce(&mut All)) {
        change(&mut self.lock());
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn each(&self) -> impl Iterator<Item = &Arc<Deployment>> {
        [Some(&self.now), self.coming.as_ref(), self.leaving.as_ref()].into_iter().flatten()
    }
}

/// Where each output of `found` stands in `asked`: they must be the same outputs to whoever takes them.
fn translate(asked: &Recording, found: &Recording) -> Result<Vec<usize>, Fault> {
    let place = |name: &str| asked.outputs.iter().position(|output| output.name == name);
    let outputs = found.outputs.iter().map(|output| {
        let place = place(&output.name)?;
        let before = &asked.values[asked.outputs[place].value].ty;
        (before == &found.values[output.value].ty).then_some(place)
    });
    let outputs: Option<Vec<usize>> = outputs.collect();
    outputs.filter(|outputs| outputs.len() == asked.outputs.len()).ok_or_else(|| {
        let route = &asked.route;
        Fault::request(format!("route '{route}' answers something else since an update: ask anew"))
    })
}

impl Translated {
    fn submit(deployment: &Deployment, ask: Ask, outputs: Vec<usize>) -> Self {
        let (answer, note) = deployment.submit(ask);
        Self { answer, outputs, note }
    }

    /// What will be told of it, if it is traced.
    pub(super) const fn note(&mut self) -> Option<Note> {
        self.note.take()
    }

    /// How many outputs there are.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs.len()
    }

    /// The next piece, as whoever asked understands it; see [`Answer::next`].
    pub(crate) async fn next(&mut self) -> Option<Piece> {
        let outputs = &self.outputs;
        self.answer.next().await.map(|piece| match piece {
            Piece::Item { output, datum } => Piece::Item { output: outputs[output], datum },
            Piece::End { output } => Piece::End { output: outputs[output] },
            Piece::Used(usage) => Piece::Used(usage),
            Piece::Failed(fault) => Piece::Failed(fault),
        })
    }

    /// See [`Answer::has_next`].
    pub(crate) fn has_next(&self) -> bool {
        self.answer.has_next()
    }

    /// See [`Answer::leave`].
    pub(crate) fn leave(self) {
        self.answer.leave();
    }
}
