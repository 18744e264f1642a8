//! The engine's clock: µs since the engine started, the only time the core ever sees.

use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
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
