//! Who is connected to a face, and who makes room for the next.
//!
//! Each connection is in one of three states: it has not asked anything yet, it is at work on requests, or it is idle
//! after some. Room is made by the one that has not asked for longest, if that is long enough for whoever means well to
//! have asked; then by the one that is idle for longest; and never by one that is at work. Until someone can make room,
//! nobody is let in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::keys::Slot;

/// The connections of a face.
pub(super) struct Crowd {
    max: usize,
    max_unasked: usize,
    /// How long who has just come may take before it makes room.
    grace: Duration,
    state: Mutex<State>,
    /// Someone has left, or could.
    eased: Notify,
}

#[derive(Default)]
struct State {
    members: BTreeMap<u64, Arc<Notify>>,
    /// By the order in which they came, with when each can make room.
    unasked: BTreeMap<u64, Instant>,
    /// By the order in which they became idle, with who it is.
    idle: BTreeSet<(u64, u64)>,
    /// Counts who came and who became idle.
    now: u64,
}

impl State {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    /// Sends `id` away. It counts no more from now on, though it may need a moment.
    fn send_away(&mut self, id: u64) {
        if let Some(told) = self.members.remove(&id) {
            told.notify_one();
        }
    }

    /// When the one that has not asked for longest can make room.
    fn oldest_until(&self) -> Option<Instant> {
        self.unasked.first_key_value().map(|(_, until)| *until)
    }

    /// Whether someone could make room, and did.
    fn make_room(&mut self) -> bool {
        let is_old = self.oldest_until().is_some_and(|until| until <= Instant::now());
        let idle = if is_old { None } else { self.idle.pop_first().map(|(_, id)| id) };
        let id = idle.or_else(|| self.unasked.pop_first().map(|(id, _)| id));
        id.inspect(|id| self.send_away(*id)).is_some()
    }
}

/// Whether another can be let in.
enum Room {
    Now,
    /// At this time, or when someone has left.
    At(Instant),
    /// When someone has left, or is idle.
    Later,
}

impl Crowd {
    pub(super) fn new(max: usize, max_unasked: usize, grace: Duration) -> Arc<Self> {
        let (max, max_unasked) = (max.max(1), max_unasked.max(1));
        Arc::new(Self { max, max_unasked, grace, state: Mutex::default(), eased: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when another connection can be taken.
    pub(super) async fn has_room(&self) {
        loop {
            let eased = self.eased.notified();
            match self.room() {
                Room::Now => return,
                Room::Later => eased.await,
                Room::At(until) => {
                    let _ = tokio::time::timeout_at(until, eased).await;
                }
            }
        }
    }

    fn room(&self) -> Room {
        let state = self.state();
        let is_full = state.members.len() >= self.max;
        let has_many_unasked = state.unasked.len() >= self.max_unasked;
        if !has_many_unasked && (!is_full || !state.idle.is_empty()) {
            return Room::Now;
        }
        match state.oldest_until() {
            Some(until) if until <= Instant::now() => Room::Now,
            Some(until) => Room::At(until),
            None => Room::Later,
        }
    }

    /// Sends someone away, if it is not at work.
    pub(super) fn make_room(&self) {
        self.state().make_room();
    }

    /// Takes a connection; if there are too many, another makes room.
    pub(super) fn enter(self: &Arc<Self>) -> Arc<Member> {
        let mut state = self.state();
        if state.unasked.len() >= self.max_unasked
            && let Some((id, _)) = state.unasked.pop_first()
        {
            state.send_away(id);
        }
        while state.members.len() >= self.max && state.make_room() {}
        let id = state.tick();
        let told = Arc::new(Notify::new());
        state.members.insert(id, Arc::clone(&told));
        state.unasked.insert(id, Instant::now() + self.grace);
        drop(state);
        Arc::new(Member { crowd: Arc::clone(self), id, told, asked: Mutex::default(), slot: OnceLock::new() })
    }
}

/// A connection that is one of the crowd until this is dropped.
pub(super) struct Member {
    crowd: Arc<Crowd>,
    id: u64,
    told: Arc<Notify>,
    asked: Mutex<Asked>,
    /// What it holds of its key until its end, if another protocol has taken it over.
    slot: OnceLock<Slot>,
}

#[derive(Default)]
struct Asked {
    is_known: bool,
    under_way: usize,
    /// When it became idle, by the crowd's count.
    idle_since: Option<u64>,
}

impl Member {
    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when another is given its place.
    pub(super) async fn told_to_go(&self) {
        self.told.notified().await;
    }

    /// Whether it has ever asked anything.
    pub(super) fn has_asked(&self) -> bool {
        self.asked().is_known
    }

    /// It asks something.
    pub(super) fn begin(self: &Arc<Self>) -> Work {
        let mut asked = self.asked();
        asked.under_way += 1;
        if !asked.is_known {
            asked.is_known = true;
            self.crowd.state().unasked.remove(&self.id);
            self.crowd.eased.notify_one();
        } else if let Some(since) = asked.idle_since.take() {
            self.crowd.state().idle.remove(&(since, self.id));
        }
        drop(asked);
        Work { member: Arc::clone(self), is_endless: false.into() }
    }

    fn end(&self) {
        let mut asked = self.asked();
        asked.under_way -= 1;
        if asked.under_way == 0 {
            let mut state = self.crowd.state();
            // Who has been sent away has no place to lose.
            if state.members.contains_key(&self.id) {
                let since = state.tick();
                state.idle.insert((since, self.id));
                asked.idle_since = Some(since);
            }
            drop(state);
            self.crowd.eased.notify_one();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let since = self.asked.get_mut().unwrap_or_else(PoisonError::into_inner).idle_since;
        let mut state = self.crowd.state();
        state.members.remove(&self.id);
        state.unasked.remove(&self.id);
        if let Some(since) = since {
            state.idle.remove(&(since, self.id));
        }
        drop(state);
        self.crowd.eased.notify_one();
    }
}

/// A request under way. It is over when this is dropped.
pub(crate) struct Work {
    member: Arc<Member>,
    is_endless: AtomicBool,
}

impl Work {
    /// The connection is at work, and holds `slot`, for as long as there is one.
    pub(super) fn goes_on(&self, slot: Slot) {
        // It is taken over once.
        let _ = self.member.slot.set(slot);
        self.is_endless.store(true, Ordering::Relaxed);
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !*self.is_endless.get_mut() {
            self.member.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn is_told(member: &Member) -> bool {
        member.told_to_go().now_or_never().is_some()
    }

    #[test]
    fn who_has_not_asked_for_longest_goes_first() {
        let crowd = Crowd::new(10, 2, Duration::ZERO);
        let (first, second) = (crowd.enter(), crowd.enter());
        let third = crowd.enter();
        assert!(is_told(&first) && !is_told(&second) && !is_told(&third));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_just_come_has_time_to_ask() {
        let crowd = Crowd::new(10, 1, Duration::from_secs(1));
        let first = crowd.enter();
        let began = Instant::now();
        crowd.has_room().await;
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        let second = crowd.enter();
        assert!(is_told(&first) && !is_told(&second));
        drop(second.begin());
        assert!(crowd.has_room().now_or_never().is_some(), "the next need not wait for who has asked");
    }

    #[test]
    fn who_is_at_work_stays_and_the_next_waits() {
        let crowd = Crowd::new(2, 2, Duration::ZERO);
        let (one, two) = (crowd.enter(), crowd.enter());
        let (work, other) = (one.begin(), two.begin());
        assert!(crowd.has_room().now_or_never().is_none());
        drop(other);
        assert!(crowd.has_room().now_or_never().is_some());
        let three = crowd.enter();
        assert!(is_told(&two) && !is_told(&one) && !is_told(&three));
        drop((work, two, one));
        let four = crowd.enter();
        assert!(!is_told(&three) && !is_told(&four));
    }

    #[test]
    fn who_is_idle_for_longest_goes_before_others() {
        let crowd = Crowd::new(2, 2, Duration::ZERO);
        let (one, two) = (crowd.enter(), crowd.enter());
        drop((one.begin(), two.begin()));
        drop(one.begin());
        let _three = crowd.enter();
        assert!(is_told(&two) && !is_told(&one));
    }

    #[test]
    fn what_goes_on_is_never_idle() {
        let crowd = Crowd::new(1, 1, Duration::ZERO);
        let one = crowd.enter();
        one.begin().goes_on(Slot::default());
        assert!(crowd.has_room().now_or_never().is_none());
        drop(one);
        assert!(crowd.has_room().now_or_never().is_some());
    }
}
