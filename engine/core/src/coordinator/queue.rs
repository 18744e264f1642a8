//! Requests that wait for admission, the most urgent first.
//!
//! A class of priority is worth a time of waiting: a request goes before one of the class above that came so much
//! later. So order inside a class is order of arrival, no class starves, and a place in the queue never changes
//! while time passes: it needs no timer, and joining and leaving cost the logarithm of its length.

use std::collections::BTreeMap;

use corn_plan::RecordingId;

use crate::coordinator::intake::Ask;
use crate::message::Priority;

/// How much longer a request must have waited to go before one of the class above.
const CLASS_US: u64 = 2_000_000;

/// The waiting requests.
#[derive(Debug, Default)]
pub(super) struct Queue {
    asks: BTreeMap<Place, Ask>,
    places: BTreeMap<u64, Place>,
    arrivals: u64,
}

/// When it would have come if it were of the highest class, then the order of arrival.
type Place = (u64, u64);

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.asks.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.asks.is_empty()
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.places.contains_key(&number)
    }

    pub(super) fn push(&mut self, now_us: u64, ask: Ask) {
        let classes = match ask.priority {
            Priority::High => 0,
            Priority::Normal => 1,
            Priority::Low => 2,
        };
        let place = (now_us.saturating_add(classes * CLASS_US), self.arrivals);
        self.arrivals += 1;
        self.places.insert(ask.request.number, place);
        self.asks.insert(place, ask);
    }

    pub(super) fn pop(&mut self) -> Option<Ask> {
        let (_, ask) = self.asks.pop_first()?;
        self.places.remove(&ask.request.number);
        Some(ask)
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Ask> {
        let place = self.places.remove(&number)?;
        self.asks.remove(&place)
    }

    /// Takes out every request for one of `recordings`, the most urgent first.
    pub(super) fn remove_all(&mut self, recordings: &[RecordingId]) -> Vec<Ask> {
        let asks = self.asks.values().filter(|ask| recordings.contains(&ask.recording));
        let numbers: Vec<u64> = asks.map(|ask| ask.request.number).collect();
        numbers.into_iter().filter_map(|number| self.remove(number)).collect()
    }
}
