//! Requests that wait for admission, the most urgent first.
//!
//! A class of priority is worth a time of waiting: a request goes before one of the class above that came so much
//! later. So order inside a class is order of arrival, no class starves, and a place in the queue never changes
//! while time passes: it needs no timer, and joining and leaving cost the logarithm of its length. Those of one share
//! of the admission stand in a row of their own, so that whoever waits for its share is in nobody's way.

use std::collections::BTreeMap;

use corn_plan::RecordingId;

use crate::coordinator::intake::Ask;
use crate::message::Priority;

/// How much longer a request must have waited to go before one of the class above.
const CLASS_US: u64 = 2_000_000;

/// The waiting requests.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// By share.
    rows: BTreeMap<usize, BTreeMap<Place, Ask>>,
    /// By the number of the request, with its share.
    places: BTreeMap<u64, (usize, Place)>,
    arrivals: u64,
}

/// When it would have come if it were of the highest class, then the order of arrival.
type Place = (u64, u64);

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Those of one share.
    pub(super) fn len_of(&self, share: usize) -> usize {
        self.rows.get(&share).map_or(0, BTreeMap::len)
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.places.contains_key(&number)
    }

    pub(super) fn push(&mut self, share: usize, ask: Ask) {
        let classes = match ask.priority {
            Priority::High => 0,
            Priority::Normal => 1,
            Priority::Low => 2,
        };
        let place = (ask.since_us.saturating_add(classes * CLASS_US), self.arrivals);
        self.arrivals += 1;
        self.places.insert(ask.request.number, (share, place));
        self.rows.entry(share).or_default().insert(place, ask);
    }

    /// The most urgent of the shares that have room.
    pub(super) fn pop(&mut self, has_room: impl Fn(usize) -> bool) -> Option<Ask> {
        let rows = self.rows.iter_mut().filter(|(share, _)| has_room(**share));
        let (_, row) =
            rows.filter(|(_, row)| !row.is_empty()).min_by_key(|(_, row)| row.keys().next().copied())?;
        let (_, ask) = row.pop_first()?;
        self.places.remove(&ask.request.number);
        Some(ask)
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Ask> {
        let (share, place) = self.places.remove(&number)?;
        self.rows.get_mut(&share)?.remove(&place)
    }

    /// Takes out every request for one of `recordings`, the most urgent first.
    pub(super) fn remove_all(&mut self, recordings: &[RecordingId]) -> Vec<Ask> {
        let asks = self.rows.values().flatten().filter(|(_, ask)| recordings.contains(&ask.recording));
        let mut numbers: Vec<(Place, u64)> = asks.map(|(place, ask)| (*place, ask.request.number)).collect();
        numbers.sort_unstable();
        let numbers = numbers.into_iter().map(|(_, number)| number);
        numbers.filter_map(|number| self.remove(number)).collect()
    }
}
