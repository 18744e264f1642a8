//! Who is connected to a face, and who makes room for the next.
//!
//! Each connection is in one of three states: it has not asked anything yet, it is at work on requests, or it is idle
//! after some. Room is made by the one that has not asked for longest, then by the one that is idle for longest, and
//! never by one that is at work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The connections of a face.
pub(super) struct Crowd {
    max: usize,
    max_unasked: usize,
    state: Mutex<State>,
    /// Someone has left, or could.
    eased: Notify,
}

#[derive(Default)]
struct State {
    members: BTreeMap<u64, Arc<Notify>>,
    /// By the order in which they came.
    unasked: BTreeSet<u64>,
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

    /// Whether someone could make room, and did.
    fn make_room(&mut self) -> bool {
        let id = self.unasked.pop_first().or_else(|| self.idle.pop_first().map(|(_, id)| id));
        id.inspect(|id| self.send_away(*id)).is_some()
    }
}

impl Crowd {
    pub(super) fn new(max: usize, max_unasked: usize) -> Arc<Self> {
        let (max, max_unasked) = (max.max(1), max_unasked.max(1));
        Arc::new(Self { max, max_unasked, state: Mutex::default(), eased: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when another connection can be taken.
    pub(super) async fn has_room(&self) {
        loop {
            let eased = self.eased.notified();
            let is_full = {
                let state = self.state();
                state.members.len() >= self.max && state.unasked.is_empty() && state.idle.is_empty()
            };
            if !is_full {
                return;
            }
            eased.await;
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
            && let Some(id) = state.unasked.pop_first()
        {
            state.send_away(id);
        }
        while state.members.len() >= self.max && state.make_room() {}
        let id = state.tick();
        let told = Arc::new(Notify::new());
        state.members.insert(id, Arc::clone(&told));
        state.unasked.insert(id);
        drop(state);
        Arc::new(Member { crowd: Arc::clone(self), id, told, asked: Mutex::default() })
    }
}

/// A connection that is one of the crowd until this is dropped.
pub(super) struct Member {
    crowd: Arc<Crowd>,
    id: u64,
    told: Arc<Notify>,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    has_asked: bool,
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
        self.asked().has_asked
    }

    /// It asks something.
    pub(super) fn begin(self: &Arc<Self>) -> Work {
        let mut asked = self.asked();
        asked.under_way += 1;
        if !asked.has_asked {
            asked.has_asked = true;
            self.crowd.state().unasked.remove(&self.id);
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
    /// The connection is at work for as long as there is one.
    pub(super) fn goes_on(&self) {
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
        let crowd = Crowd::new(10, 2);
        let (first, second) = (crowd.enter(), crowd.enter());
        let third = crowd.enter();
        assert!(is_told(&first) && !is_told(&second) && !is_told(&third));
    }

    #[test]
    fn who_is_at_work_stays_and_the_next_waits() {
        let crowd = Crowd::new(2, 2);
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
        let crowd = Crowd::new(2, 2);
        let (one, two) = (crowd.enter(), crowd.enter());
        drop((one.begin(), two.begin()));
        drop(one.begin());
        let _three = crowd.enter();
        assert!(is_told(&two) && !is_told(&one));
    }

    #[test]
    fn what_goes_on_is_never_idle() {
        let crowd = Crowd::new(1, 1);
        let one = crowd.enter();
        one.begin().goes_on();
        assert!(crowd.has_room().now_or_never().is_none());
        drop(one);
        assert!(crowd.has_room().now_or_never().is_some());
    }
}
