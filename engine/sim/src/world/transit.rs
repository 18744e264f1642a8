//! Sending, delivering, breaking and renewing connections.

use corn_core::message::{CoordinatorEvent, WorkerEvent};
use corn_plan::ids::Id;

use crate::event::{Event, Message};
use crate::network::{Line, Link, Pair, Place};
use crate::world::Simulation;

impl Simulation {
    /// Sends `message`. A sender that cannot is told that the other is lost.
    pub(super) fn send(&mut self, from: Place, to: Place, message: Message) {
        let pair = Pair::new(from, to);
        let line = self.line(pair);
        let is_usable = match self.links.by_pair.get(&pair) {
            Some(link) if !link.is_broken => true,
            // Nobody has told the sender yet: what it says is lost.
            Some(link) if !link.has_noticed[pair.side(from)] => return,
            // Between a worker and the coordinator, the next connection is the next life.
            _ if pair.has(Place::Hub) => return,
            _ => self.renew(pair, from),
        };
        if !is_usable {
            let wait_us = 1 + self.up_to(line.latency_us);
            self.after(wait_us, Event::Told { place: from, other: to });
            return;
        }
        let jitter_us = self.up_to(line.jitter_us);
        let Some(link) = self.links.by_pair.get_mut(&pair) else { return };
        let at_us = link.send(self.now_us, pair.side(to), message.bytes(), line, jitter_us);
        let generation = link.generation;
        self.at(at_us, Event::Deliver { pair, to, generation, message });
    }

    /// Makes a connection between two workers, if they can reach each other.
    fn renew(&mut self, pair: Pair, by: Place) -> bool {
        let lives = |place: Place| match place {
            Place::Hub => true,
            Place::Worker(seat) => self.processes[seat.worker.index()].seat == Some(seat),
        };
        let other = pair.other(by);
        if !lives(by) || !lives(other) || self.links.is_cut(by.party(), other.party()) {
            return false;
        }
        let link = self.links.by_pair.entry(pair).or_default();
        if link.is_broken {
            let has_noticed = link.has_noticed[pair.side(other)];
            link.renew();
            if !has_noticed {
                // Whoever takes a new connection knows by that that the old one is gone.
                self.after(0, Event::Told { place: other, other: by });
            }
        }
        true
    }

    pub(super) fn open_link(&mut self, pair: Pair) {
        self.links.by_pair.insert(pair, Link::default());
    }

    fn line(&self, pair: Pair) -> Line {
        let host = |place| match place {
            Place::Hub => None,
            Place::Worker(seat) => self.plan.plan().workers.get(seat.worker).map(|worker| &worker.host),
        };
        let network = &self.settings.network;
        if host(pair.0).is_some() && host(pair.0) == host(pair.1) { network.near } else { network.far }
    }

    /// Breaks a connection. Each end notices in its own time, within `notice_us`; `closing`, if one of them closes
    /// it, knows.
    pub(super) fn break_link(&mut self, pair: Pair, closing: Option<Place>, notice_us: u64) {
        let line = self.line(pair);
        let lost_from_us: [u64; 2] =
            std::array::from_fn(|_| self.now_us + self.up_to(2 * line.latency_us + line.jitter_us));
        let Some(link) = self.links.by_pair.get_mut(&pair).filter(|link| !link.is_broken) else { return };
        link.is_broken = true;
        link.lost_from_us = lost_from_us;
        link.has_noticed = [closing == Some(pair.0), closing == Some(pair.1)];
        let generation = link.generation;
        self.log.add(self.now_us, || format!("{} and {} lose their connection", pair.0, pair.1));
        for place in [pair.0, pair.1].into_iter().filter(|place| closing != Some(*place)) {
            let least_us = if notice_us > self.settings.notice_us { notice_us / 2 } else { 0 };
            let wait_us = least_us + self.up_to(notice_us - least_us);
            self.after(wait_us, Event::Notice { pair, place, generation });
        }
    }

    pub(super) fn noticed(&mut self, pair: Pair, place: Place, generation: u64) {
        let Some(link) = self.links.by_pair.get_mut(&pair).filter(|link| link.generation == generation)
        else {
            return;
        };
        let side = pair.side(place);
        if link.is_broken && !std::mem::replace(&mut link.has_noticed[side], true) {
            self.told(place, pair.other(place));
        }
    }

    /// An end hears that it lost the other.
    pub(super) fn told(&mut self, place: Place, other: Place) {
        match (place, other) {
            (Place::Hub, Place::Worker(seat)) => self.coordinator_hears(CoordinatorEvent::Lost(seat)),
            (Place::Worker(seat), Place::Hub) => self.lose_coordinator(seat),
            (Place::Worker(seat), Place::Worker(peer)) => {
                if self.processes[seat.worker.index()].seat == Some(seat) {
                    self.worker_hears(seat.worker, WorkerEvent::PeerLost(peer));
                }
            }
            (Place::Hub, Place::Hub) => unreachable!("it has no connection to itself"),
        }
    }

    pub(super) fn delivered(&mut self, to: Place, message: Message) {
        match (to, message) {
            (Place::Worker(seat), Message::Worker(event)) => {
                let process = &self.processes[seat.worker.index()];
                if process.is_up && process.seat == Some(seat) {
                    self.worker_hears(seat.worker, event);
                }
            }
            (Place::Hub, Message::Coordinator(event)) => {
                if let CoordinatorEvent::Joined(seat) = &event {
                    let process = &mut self.processes[seat.worker.index()];
                    // It may have died since it said so.
                    process.joined_us = process.seat.filter(|now| now == seat).map(|_| self.now_us);
                }
                self.coordinator_hears(event);
            }
            (Place::Hub, Message::Output { from, request, stage, value, item }) => {
                self.coordinator_hears(CoordinatorEvent::Heard(from));
                self.output(from, request, stage, value, item);
            }
            _ => unreachable!("messages go to whom they are for"),
        }
    }
}
