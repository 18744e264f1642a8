//! The engine's clock: µs since the engine started, the only time the core ever sees.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often both clocks are read, to find them undisturbed once.
const TRIES: u32 = 4;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// When that was, in µs since 1970.
    started_unix_us: u64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        // Clocks of several processes are compared to the µs: the two are to be read together.
        let read = || (Instant::now(), SystemTime::now(), Instant::now());
        let together = (0..TRIES).map(|_| read()).min_by_key(|(before, _, after)| *after - *before);
        let (start, now, _) = together.unwrap_or_else(read);
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start, started_unix_us: u64::try_from(since.as_micros()).unwrap_or(u64::MAX) }
    }

    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// A time of this clock in µs since 1970, which clocks of other processes understand.
    pub(crate) const fn to_unix_us(self, us: u64) -> u64 {
        self.started_unix_us.saturating_add(us)
    }

    /// A time in µs since 1970 as this clock has it; its start for what was before.
    pub(crate) const fn of_unix_us(self, unix_us: u64) -> u64 {
        unix_us.saturating_sub(self.started_unix_us)
    }

    /// How long it is until `us`; nothing if that is past.
    pub(crate) fn until(&self, us: u64) -> Duration {
        Duration::from_micros(us).saturating_sub(self.start.elapsed())
    }

    /// Ends at `deadline_us`; never, if there is none.
    pub(crate) async fn wait_until(&self, deadline_us: Option<u64>) {
        match deadline_us.and_then(|us| self.start.checked_add(Duration::from_micros(us))) {
            Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
            None => std::future::pending().await,
        }
    }
}
