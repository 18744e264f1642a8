//! The workers' processes: starting, connecting, hearing, acting, and the turns of their executors.

use corn_core::Worker;
use corn_core::executor::{Executor, Report, Turn};
use corn_core::message::{CoordinatorEvent, Seat, WorkerAction, WorkerEvent};
use corn_plan::ids::Id;
use corn_plan::{ComponentId, WorkerId};

use crate::event::{Event, Message, worker_line};
use crate::network::{Pair, Party, Place};
use crate::process::{Loaded, Running};
use crate::world::Simulation;

impl Simulation {
    pub(super) fn start(&mut self, worker: WorkerId) {
        let process = &mut self.processes[worker.index()];
        if process.is_up {
            return;
        }
        process.is_up = true;
        let incarnation = process.incarnation;
        let plan = std::sync::Arc::clone(&self.plan);
        let here = plan.plan().stages.iter().filter(|stage| stage.replicas.contains(&worker));
        for component in here.flat_map(|stage| &stage.components) {
            let Loaded { executor, cost } = (self.load)(&plan.plan().components[*component]);
            let running = Running { executor, cost, due_us: None, free_us: 0, begun: 0 };
            self.processes[worker.index()].executors.insert(*component, running);
        }
        self.log.add(self.now_us, || format!("{worker} starts"));
        let load_us = self.up_to(self.settings.load_us);
        self.after(load_us, Event::Connect { worker, incarnation });
    }

    pub(super) fn connect(&mut self, worker: WorkerId, incarnation: u32) {
        let process = &self.processes[worker.index()];
        if process.incarnation != incarnation || process.seat.is_some() {
            return;
        }
        if self.links.is_cut(Party::Coordinator, Party::Worker(worker)) {
            self.processes[worker.index()].disturbed_us = self.now_us;
            self.after(self.settings.back_off_us, Event::Connect { worker, incarnation });
            return;
        }
        let seat = self.coordinator.welcome(worker, 0);
        let process = &mut self.processes[worker.index()];
        process.seat = Some(seat);
        process.is_draining = false;
        self.open_link(Pair::new(Place::Hub, Place::Worker(seat)));
        self.send(Place::Hub, Place::Worker(seat), Message::Worker(WorkerEvent::Seated(seat)));
    }

    /// A worker's connection to the coordinator is gone: it closes all others, and connects again.
    pub(super) fn lose_coordinator(&mut self, seat: Seat) {
        let process = &mut self.processes[seat.worker.index()];
        if !process.is_up || process.seat != Some(seat) {
            return;
        }
        let incarnation = process.incarnation;
        self.worker_hears(seat.worker, WorkerEvent::Forsaken);
        let process = &mut self.processes[seat.worker.index()];
        process.seat = None;
        process.joined_us = None;
        process.disturbed_us = process.disturbed_us.max(self.now_us);
        let here = Place::Worker(seat);
        for pair in self.links.whole(|pair| pair.has(here)) {
            self.break_link(pair, Some(here), self.settings.notice_us);
        }
        self.after(self.settings.back_off_us, Event::Connect { worker: seat.worker, incarnation });
    }

    pub(super) fn beat(&mut self, worker: WorkerId, incarnation: u32) {
        let process = &self.processes[worker.index()];
        let Some(seat) = process.seat.filter(|_| process.incarnation == incarnation) else { return };
        self.report_to_coordinator(seat, CoordinatorEvent::Heard(seat));
        self.after(self.settings.heartbeat_us, Event::Beat { worker, incarnation });
    }

    fn report_to_coordinator(&mut self, from: Seat, event: CoordinatorEvent) {
        self.send(Place::Worker(from), Place::Hub, Message::Coordinator(event));
    }

    pub(super) fn worker_tick(&mut self, worker: WorkerId, incarnation: u32) {
        let now_us = self.now_us;
        let process = &mut self.processes[worker.index()];
        if process.incarnation == incarnation && process.tick_us.take_if(|at_us| *at_us <= now_us).is_some() {
            self.worker_hears(worker, WorkerEvent::Tick);
        }
    }

    pub(super) fn worker_hears(&mut self, worker: WorkerId, event: WorkerEvent) {
        if !matches!(event, WorkerEvent::Report(..) | WorkerEvent::Tick) {
            self.log.add(self.now_us, || format!("{worker} hears {}", worker_line(&event)));
        }
        let mut actions = Vec::new();
        let process = &mut self.processes[worker.index()];
        if let WorkerEvent::Seated(seat) = event {
            match &mut process.worker {
                Some(known) => known.handle(self.now_us, event, &mut actions),
                None => process.worker = Some(Worker::new(seat, std::sync::Arc::clone(&self.plan))),
            }
            self.report_to_coordinator(seat, CoordinatorEvent::Joined(seat));
            let incarnation = self.processes[worker.index()].incarnation;
            self.after(self.settings.heartbeat_us, Event::Beat { worker, incarnation });
        } else if let Some(known) = &mut process.worker {
            known.handle(self.now_us, event, &mut actions);
        }
        self.check_ledger(worker);
        for action in actions {
            self.worker_acts(worker, action);
        }
        let process = &mut self.processes[worker.index()];
        let due_us = process.worker.as_ref().and_then(Worker::next_deadline_us);
        if let Some(at_us) = due_us
            && process.tick_us.is_none_or(|known_us| known_us > at_us)
        {
            let at_us = at_us.max(self.now_us + 1);
            process.tick_us = Some(at_us);
            let incarnation = process.incarnation;
            self.at(at_us, Event::WorkerTick { worker, incarnation });
        }
    }

    /// T6, H4: what requests hold stays within the plan's figure.
    fn check_ledger(&mut self, worker: WorkerId) {
        let Some(known) = &self.processes[worker.index()].worker else { return };
        let row = self.plan.plan().memory[worker];
        let gpu_bytes = row.gpu.map_or(0, |gpu| gpu.request_bytes);
        let most = (row.request_bytes + gpu_bytes) * u64::from(self.plan.plan().inflight);
        let held = known.ledger().bytes;
        if held > most {
            self.violate(&format!("{worker} holds {held} bytes, but the plan says at most {most}"));
        }
    }

    fn worker_acts(&mut self, worker: WorkerId, action: WorkerAction) {
        match action {
            WorkerAction::Start(component, _, call) => {
                if let Some(running) = self.processes[worker.index()].executors.get_mut(&component) {
                    running.begun += 1;
                }
                self.command(worker, component, |executor| executor.start(call));
            }
            WorkerAction::Feed(component, call, port, item) => {
                self.command(worker, component, |executor| executor.feed(call, port, item));
            }
            WorkerAction::End(component, call, port) => {
                self.command(worker, component, |executor| executor.end(call, port));
            }
            WorkerAction::Grant(component, call, port, count) => {
                self.command(worker, component, |executor| executor.grant(call, port, count));
            }
            WorkerAction::Abort(component, call) => {
                self.command(worker, component, |executor| executor.cancel(call));
            }
            WorkerAction::Trace(_) | WorkerAction::Used { .. } => {}
            other => {
                if let Some(seat) = self.processes[worker.index()].seat {
                    self.worker_sends(seat, other);
                }
            }
        }
    }

    fn worker_sends(&mut self, from: Seat, action: WorkerAction) {
        match action {
            WorkerAction::HandOver(to, hand_over) => {
                let message = Message::Worker(WorkerEvent::HandOver(hand_over));
                if to != from {
                    return self.send(Place::Worker(from), Place::Worker(to), message);
                }
                // To a stage on the same worker: in its own inbox, which nothing breaks while it lives.
                let here = Place::Worker(from);
                let pair = Pair(here, here);
                if !self.links.by_pair.contains_key(&pair) {
                    self.open_link(pair);
                }
                self.after(1, Event::Deliver { pair, to: here, generation: 0, message });
            }
            WorkerAction::Output { request, stage, value, item } => {
                let message = Message::Output { from, request, stage, value, item };
                self.send(Place::Worker(from), Place::Hub, message);
            }
            WorkerAction::Closed { request, stage, outcome } => {
                self.report_to_coordinator(from, CoordinatorEvent::Closed { request, stage, outcome });
            }
            WorkerAction::Parted { peer, kept } => {
                self.report_to_coordinator(from, CoordinatorEvent::Parted { worker: from, peer, kept });
            }
            _ => unreachable!("the others are for executors"),
        }
    }

    fn command(&mut self, worker: WorkerId, component: ComponentId, tell: impl FnOnce(&mut dyn Executor)) {
        let process = &mut self.processes[worker.index()];
        let incarnation = process.incarnation;
        let Some(running) = process.executors.get_mut(&component) else { return };
        tell(running.executor.as_mut());
        // Later than that is only the end of a wait, which is over now.
        let at_us = running.free_us.max(self.now_us + 1);
        if running.due_us.is_none_or(|known_us| known_us > at_us) {
            running.due_us = Some(at_us);
            self.at(at_us, Event::Turn { worker, incarnation, component });
        }
    }

    pub(super) fn turn(&mut self, worker: WorkerId, incarnation: u32, component: ComponentId) {
        let now_us = self.now_us;
        let process = &mut self.processes[worker.index()];
        if process.incarnation != incarnation {
            return;
        }
        let slowness = process.slowness;
        let Some(running) = process.executors.get_mut(&component) else { return };
        if running.due_us.take_if(|at_us| *at_us <= now_us).is_none() {
            return;
        }
        let mut reports = Vec::new();
        let turn = running.executor.advance(now_us, &mut |report| reports.push(report));
        let work_us = running.work_us(turn, &reports) * slowness;
        *process.busy_us.entry(component).or_default() += work_us;
        running.free_us = now_us + work_us.max(1);
        running.due_us = match turn {
            Turn::Busy => Some(running.free_us),
            Turn::Until(us) => Some(us.max(running.free_us)),
            Turn::Idle => None,
        };
        let (free_us, due_us) = (running.free_us, running.due_us);
        for report in &reports {
            if let Report::Batch { calls } = report {
                process.batches.entry(component).or_default().push(*calls);
            }
        }
        if !reports.is_empty() {
            self.at(free_us, Event::Reports { worker, incarnation, component, reports });
        }
        if let Some(at_us) = due_us {
            self.at(at_us, Event::Turn { worker, incarnation, component });
        }
    }

    pub(super) fn reported(
        &mut self,
        worker: WorkerId,
        incarnation: u32,
        component: ComponentId,
        reports: Vec<Report>,
    ) {
        if self.processes[worker.index()].incarnation == incarnation {
            for report in reports {
                self.worker_hears(worker, WorkerEvent::Report(component, report));
            }
        }
    }
}
