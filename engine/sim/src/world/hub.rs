//! The coordinator's process: the coordinator, and the passing on of answers.

use corn_core::message::{CoordinatorAction, CoordinatorEvent, RequestId, Seat, WorkerEvent};
use corn_core::{Blame, Datum, Fault};
use corn_plan::ids::Id;
use corn_plan::{StageId, ValueId, WorkerId};

use crate::client::{Piece, Untaken};
use crate::event::{Event, Message, coordinator_line};
use crate::network::{Pair, Place};
use crate::world::Simulation;

impl Simulation {
    pub(super) fn coordinator_hears(&mut self, event: CoordinatorEvent) {
        if !matches!(event, CoordinatorEvent::Heard(_)) {
            self.log.add(self.now_us, || format!("coordinator hears {}", coordinator_line(&event)));
        }
        let mut actions = Vec::new();
        self.coordinator.handle(self.now_us, event, &mut actions);
        let (inflight, waiting) = (self.coordinator.in_flight(), self.coordinator.waiting());
        let most = self.plan.plan().inflight as usize;
        if inflight > most || inflight + waiting > 5 * most {
            self.violate(&format!(
                "{inflight} requests are in flight and {waiting} wait; the plan admits {most}"
            ));
        }
        for action in actions {
            self.coordinator_acts(action);
        }
        if let Some(at_us) = self.coordinator.next_deadline_us() {
            let at_us = at_us.max(self.now_us + 1);
            if self.coordinator_tick_us.is_none_or(|known_us| known_us > at_us) {
                self.coordinator_tick_us = Some(at_us);
                self.at(at_us, Event::CoordinatorTick);
            }
        }
    }

    fn tell(&mut self, worker: Seat, event: WorkerEvent) {
        self.send(Place::Hub, Place::Worker(worker), Message::Worker(event));
    }

    fn coordinator_acts(&mut self, action: CoordinatorAction) {
        match action {
            CoordinatorAction::Open { worker, header, stage, inputs } => {
                self.tell(worker, WorkerEvent::Open { header, stage, inputs });
            }
            CoordinatorAction::Cancel { worker, request, stage, fault } => {
                self.tell(worker, WorkerEvent::Cancel { request, stage, fault });
            }
            CoordinatorAction::PeerLost { worker, peer } => self.tell(worker, WorkerEvent::PeerLost(peer)),
            CoordinatorAction::Failed(request, fault) => self.failed(request, fault),
            CoordinatorAction::Again(request) => {
                self.log.add(self.now_us, || format!("{request} begins"));
                if let Some(answer) = self.answers.get_mut(&request.number) {
                    answer.attempt = request;
                }
            }
            CoordinatorAction::Finished(request) => self.finished(request),
            CoordinatorAction::Eject(seat) => {
                self.log.add(self.now_us, || format!("{seat} is ejected"));
                self.check_eject(seat);
                self.break_link(
                    Pair::new(Place::Hub, Place::Worker(seat)),
                    Some(Place::Hub),
                    self.settings.notice_us,
                );
            }
            CoordinatorAction::Drained(worker) => self.replace(worker),
        }
    }

    /// A piece of an answer has come.
    pub(super) fn output(
        &mut self,
        from: Seat,
        request: RequestId,
        stage: StageId,
        value: ValueId,
        item: Option<Datum>,
    ) {
        let now_us = self.now_us;
        let Some(answer) = self.answers.get_mut(&request.number) else { return };
        if !answer.passes(request) {
            return;
        }
        answer.first_us.get_or_insert(now_us);
        if answer.passing.replace(request).is_none() {
            let wait_us = self.up_to(self.settings.answered_us);
            self.after(wait_us, Event::Answered(request));
        }
        let Some(answer) = self.answers.get_mut(&request.number) else { return };
        let Some(datum) = item else {
            answer.ended.insert(value);
            answer.ended_us = Some(now_us);
            return;
        };
        answer.pieces.entry(value).or_default().push(Piece { attempt: request.attempt, datum });
        answer.inbox.push_back(Untaken { from, request, stage, value });
        if !std::mem::replace(&mut answer.is_taking, true) {
            let take_us = answer.request.take_us;
            self.after(take_us, Event::Take(request.number));
        }
    }

    /// A client takes an item, and goes on to the next.
    pub(super) fn take(&mut self, number: u64) {
        let Some(answer) = self.answers.get_mut(&number) else { return };
        let taken = answer.inbox.pop_front();
        answer.is_taking = !answer.inbox.is_empty();
        let (is_taking, take_us) = (answer.is_taking, answer.request.take_us);
        if let Some(Untaken { from, request, stage, value }) = taken {
            self.tell(from, WorkerEvent::Consumed { request, stage, value, count: 1 });
        }
        if is_taking {
            self.after(take_us, Event::Take(number));
        }
    }

    fn failed(&mut self, request: RequestId, fault: Fault) {
        let now_us = self.now_us;
        self.log.add(now_us, || format!("{request} fails: {:?}: {fault}", fault.blame));
        if let Some(broken) = self.broken_by_failure(request, &fault) {
            self.violate(&broken);
        }
        let Some(answer) = self.answers.get_mut(&request.number) else { return };
        let is_first = answer.failure.is_none() && answer.finished_us.is_none();
        answer.failure = Some(fault);
        answer.ended_us = Some(now_us);
        if !is_first {
            self.violate(&format!("{request} fails twice, or after its end"));
        }
    }

    /// What a failure breaks that only shows now.
    fn broken_by_failure(&self, request: RequestId, fault: &Fault) -> Option<String> {
        let answer = self.answers.get(&request.number)?;
        match fault.blame {
            Blame::Unavailable => {
                let named = fault.component.as_deref().unwrap_or_default();
                let plan = self.plan.plan();
                let has = |stage: &&corn_plan::Stage| {
                    stage
                        .components
                        .iter()
                        .any(|id| named.split(", ").any(|n| plan.components[*id].name == n))
                };
                let Some(stage) = plan.stages.iter().find(has) else {
                    return Some(format!("{request} is refused without the name of a component"));
                };
                let ready = stage.replicas.iter().find(|worker| self.is_surely_ready(**worker))?;
                Some(format!("{request} is refused for '{named}', but {ready} is ready"))
            }
            Blame::Lost if !answer.has_begun() && request.attempt < 2 => {
                Some(format!("{request} had sent nothing, and is not replayed"))
            }
            Blame::Lost if fault.component.is_none() => {
                Some(format!("{request} is lost without the name of a component"))
            }
            Blame::Deadline if answer.request.deadline_us.is_none_or(|at_us| at_us > self.now_us) => {
                Some(format!("{request} is given up before its deadline"))
            }
            Blame::Cancelled if answer.request.leave_us.is_none() => {
                Some(format!("{request} is cancelled by nobody"))
            }
            Blame::Busy if self.coordinator.waiting() < 4 * self.plan.plan().inflight as usize => {
                Some(format!("{request} is refused, but more may wait"))
            }
            Blame::Setup | Blame::Request | Blame::Component => Some(format!("{request} fails: {fault}")),
            _ => None,
        }
    }

    /// F2: nobody is given up who did nothing wrong.
    fn check_eject(&mut self, seat: Seat) {
        if self.processes[seat.worker.index()].seat == Some(seat) && self.is_surely_ready(seat.worker) {
            self.violate(&format!("{seat} is ejected, but nothing was wrong with it"));
        }
    }

    /// Whether the coordinator has had every chance to know that a worker is ready.
    fn is_surely_ready(&self, worker: WorkerId) -> bool {
        let process = &self.processes[worker.index()];
        let suspect_us = self.settings.patience.map_or(0, |patience| patience.suspect_us);
        let slack_us = 2 * self.settings.heartbeat_us + self.settings.notice_us + suspect_us;
        let settled_us = process.disturbed_us.max(self.all_disturbed_us) + slack_us;
        process.is_up
            && !process.is_draining
            && process.joined_us.is_some_and(|joined_us| joined_us < self.now_us)
            && settled_us < self.now_us
    }

    fn finished(&mut self, request: RequestId) {
        let now_us = self.now_us;
        self.log.add(now_us, || format!("{request} is over"));
        let Some(answer) = self.answers.get_mut(&request.number) else { return };
        if answer.finished_us.replace(now_us).is_some() {
            self.violate(&format!("{request} ends twice"));
            return;
        }
        if answer.failure.is_none() && answer.passing.is_some_and(|passed| passed != request) {
            answer.failure = Some(Fault::cut_short());
            answer.ended_us = Some(now_us);
        }
        self.unfinished -= 1;
    }
}
