//! Whether a client is still there. One that lost its network says nothing, so it is asked (a ping), and given up
//! when it does not answer; one that answers and never says anything is let go after a long while.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Without a sign for so long, a client is asked for one.
pub(super) const ASK_AFTER: Duration = Duration::from_secs(20);
/// Without a sign for so long, it is gone.
pub(super) const GONE_AFTER: Duration = Duration::from_mins(1);
/// Without an event, and without an answer under way, for so long, it is let go.
pub(super) const IDLE_AFTER: Duration = Duration::from_mins(30);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Ask,
    Gone,
    Idle,
}

/// When a client was last heard of.
pub(super) struct Pulse {
    sign: Instant,
    event: Instant,
    was_asked: bool,
}

impl Pulse {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { sign: now, event: now, was_asked: false }
    }

    /// Something came from the client, be it a pong.
    pub(super) fn sign(&mut self) {
        self.sign = Instant::now();
        self.was_asked = false;
    }

    /// There was an event, of the client's or for it.
    pub(super) fn event(&mut self) {
        self.event = Instant::now();
    }

    /// Waits for what is to be done next. Given up in the middle, it has lost nothing.
    pub(super) async fn beat(&mut self) -> Beat {
        let (sign, beat) = if self.was_asked {
            (self.sign + GONE_AFTER, Beat::Gone)
        } else {
            (self.sign + ASK_AFTER, Beat::Ask)
        };
        let idle = self.event + IDLE_AFTER;
        sleep_until(sign.min(idle)).await;
        if idle <= sign {
            return Beat::Idle;
        }
        self.was_asked = true;
        beat
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_asked_and_then_given_up() {
        let (began, mut pulse) = (Instant::now(), Pulse::new());
        assert_eq!((pulse.beat().await, began.elapsed().as_secs()), (Beat::Ask, 20));
        assert_eq!((pulse.beat().await, began.elapsed().as_secs()), (Beat::Gone, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn who_answers_and_says_nothing_is_let_go() {
        let (began, mut pulse) = (Instant::now(), Pulse::new());
        let mut asked = 0;
        loop {
            match pulse.beat().await {
                Beat::Ask => {
                    asked += 1;
                    pulse.sign();
                }
                Beat::Idle => break,
                Beat::Gone => panic!("it answered each time"),
            }
        }
        assert_eq!((asked, began.elapsed()), (89, IDLE_AFTER));
    }
}
