//! What the requests of all faces share while they are taken in: room for what comes of them, and turns to read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use corn_core::{Blame, Fault};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// How long a client may send nothing; and how far one that was fast may fall behind afterwards.
const PAUSE: Duration = Duration::from_secs(30);
/// The pace that a client must keep in the long run. A modem of the nineties is not as fast.
const LEAST_BYTES_PER_S: u64 = 16 << 10;

/// Shared by all faces, whatever they serve. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Intake(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Most bytes of requests that are under way to whoever reads them.
    max_bytes: u64,
    bytes: AtomicU64,
    turns: Arc<Semaphore>,
}

/// Room that something takes until this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    intake: Intake,
    bytes: u64,
}

impl Intake {
    /// Room for `max_bytes`, and as many turns as there are cores, since more at once would only need more memory.
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self::with_turns(max_bytes, std::thread::available_parallelism().map_or(1, usize::from))
    }

    fn with_turns(max_bytes: u64, turns: usize) -> Self {
        let turns = Arc::new(Semaphore::new(turns));
        Self(Arc::new(Shared { max_bytes, bytes: AtomicU64::new(0), turns }))
    }

    /// What has come of something: nothing yet.
    pub(crate) fn begin(&self) -> Taken {
        Taken { intake: self.clone(), bytes: 0 }
    }

    /// Does work that takes long, such as decoding a picture, where it keeps no other call waiting. What waits for its
    /// turn is not begun if its client goes, or if it is `until` then.
    ///
    /// # Errors
    /// If the deadline has passed, or the work panicked.
    pub(crate) async fn apart<T: Send + 'static>(
        &self,
        until: Option<Instant>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let turn = Arc::clone(&self.0.turns).acquire_owned();
        let turn = match until {
            Some(until) => tokio::time::timeout_at(until, turn).await.map_err(|_| {
                Fault::new(Blame::Deadline, "the deadline passed before the request could be read")
            })?,
            None => turn.await,
        };
        let done = tokio::task::spawn_blocking(move || {
            // Kept to the end of the work, which goes on even if the client has gone away.
            let _turn = turn;
            work()
        });
        done.await.map_err(|_| {
            Fault::new(
                Blame::Component,
                "reading the request or writing its answer panicked; this is a bug of corn",
            )
        })
    }
}

impl Taken {
    /// Takes `bytes` more. One that is alone may be as large as its own limits say.
    ///
    /// # Errors
    /// If there is no room left.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), Fault> {
        let Shared { max_bytes, bytes: all, .. } = &*self.intake.0;
        let (own, room) = (self.bytes + bytes, *max_bytes);
        let take = |all: u64| {
            let all = all + bytes;
            (all <= room || all <= own).then_some(all)
        };
        if all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            let message = format!(
                "requests that are coming in hold as much as all of them may together, {room} bytes: try again later"
            );
            return Err(Fault::new(Blame::Busy, message));
        }
        self.bytes = own;
        Ok(())
    }

    /// Gives back all that was taken.
    pub(crate) fn clear(&mut self) {
        self.intake.0.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = 0;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Until when a client may be waited for. It is put off by what comes, and never far: who holds a place must keep on
/// sending.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) until: Instant,
}

impl Pace {
    pub(crate) fn begin() -> Self {
        Self { until: Instant::now() + PAUSE }
    }

    /// `bytes` have come.
    pub(crate) fn came(&mut self, bytes: usize) {
        let earned = Duration::from_micros(bytes as u64 * 1_000_000 / LEAST_BYTES_PER_S);
        self.until = (self.until + earned).min(Instant::now() + PAUSE);
    }

    /// What is said to who was too slow to send `what`.
    pub(crate) fn missed(what: &str) -> String {
        let (seconds, kib) = (PAUSE.as_secs(), LEAST_BYTES_PER_S >> 10);
        format!(
            "{what} came too slowly: it may pause for {seconds} s, and must come with {kib} KiB/s in the long run"
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]
mod tests {
    use std::pin::Pin;
    use std::sync::mpsc;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn there_is_room_for_so_much_and_for_one_that_is_alone() {
        let intake = Intake::new(10);
        let (mut one, mut other) = (intake.begin(), intake.begin());
        one.take(6).unwrap();
        other.take(4).unwrap();
        let fault = other.take(1).unwrap_err();
        assert_eq!(fault.blame, Blame::Busy);
        assert!(fault.message.ends_with("together, 10 bytes: try again later"), "{fault}");
        drop(one);
        other.take(20).unwrap();
        assert!(intake.begin().take(1).is_err());
        other.clear();
        intake.begin().take(10).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_may_pause_and_must_keep_up() {
        let mut pace = Pace::begin();
        for _ in 0..4 {
            tokio::time::advance(PAUSE / 2).await;
            pace.came(usize::try_from(LEAST_BYTES_PER_S).unwrap() * 15);
            assert_eq!(pace.until, Instant::now() + PAUSE);
        }
        // What came in advance is no credit, and a byte now and then is nothing.
        pace.came(1 << 30);
        let until = Instant::now() + PAUSE;
        while Instant::now() < until {
            tokio::time::advance(PAUSE / 10).await;
            pace.came(1);
        }
        assert!(pace.until <= Instant::now() + Duration::from_millis(1));
    }

    #[tokio::test]
    async fn what_waits_for_a_turn_is_not_begun_when_nobody_wants_it() {
        let intake = Intake::with_turns(1, 1);
        let (end, ended) = mpsc::channel::<()>();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let first = intake.clone();
        let first = tokio::spawn(async move {
            let work = move || {
                begun.send(()).unwrap();
                let _ = ended.recv();
            };
            first.apart(None, work).await
        });
        has_begun.await.unwrap();
        let soon = Instant::now() + Duration::from_millis(10);
        let late: Result<(), Fault> =
            intake.apart(Some(soon), || unreachable!("its deadline has passed")).await;
        assert_eq!(late.unwrap_err().blame, Blame::Deadline);
        let mut gone: Pin<Box<dyn Future<Output = Result<(), Fault>>>> =
            Box::pin(intake.apart(None, || unreachable!("nobody waits for it")));
        assert!((&mut gone).now_or_never().is_none());
        drop(gone);
        end.send(()).unwrap();
        first.await.unwrap().unwrap();
        assert_eq!(intake.apart(None, || 7).await.unwrap(), 7);
    }
}
