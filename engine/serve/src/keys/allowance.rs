//! What the bearer of a key may ask for: so many requests at once, and so many in a time.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When to ask again, if that depends on when others end.
const AGAIN: Duration = Duration::from_secs(1);

/// Requests in a time. As many may come at once; from then on, one after each part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    most: u32,
    period: Duration,
}

impl Rate {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parsed = || {
            let (most, unit) = text.split_once('/')?;
            let most = most.parse().ok().filter(|most| (1..=1_000_000).contains(most))?;
            let seconds = match unit {
                "s" => 1,
                "min" => 60,
                "h" => 3600,
                _ => return None,
            };
            Some(Self { most, period: Duration::from_secs(seconds) })
        };
        parsed().ok_or_else(|| {
            "a rate is a number of requests to a million in s, min or h, such as 60/min".into()
        })
    }

    fn step(self) -> Duration {
        self.period / self.most
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = match self.period.as_secs() {
            1 => "second",
            60 => "minute",
            _ => "hour",
        };
        write!(f, "{} requests per {period}", self.most)
    }
}

/// What holds for a key, and how much of it is used.
pub(super) struct Allowance {
    name: Option<String>,
    concurrency: Option<u32>,
    rate: Option<Rate>,
    usage: Arc<Usage>,
}

#[derive(Default)]
pub(super) struct Usage(Mutex<Used>);

#[derive(Default)]
struct Used {
    under_way: u32,
    /// When everything that was allowed will have been earned: the later, the less is left.
    earned_at: Option<Instant>,
}

impl Usage {
    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Allowance {
    pub(super) const fn new(
        name: Option<String>,
        concurrency: Option<u32>,
        rate: Option<Rate>,
        usage: Arc<Usage>,
    ) -> Self {
        Self { name, concurrency, rate, usage }
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn usage(&self) -> Arc<Usage> {
        Arc::clone(&self.usage)
    }

    /// One more request, if it is allowed.
    pub(super) fn begin(&self) -> Result<Slot, Over> {
        let mut used = self.usage.used();
        if let Some(most) = self.concurrency.filter(|most| used.under_way >= *most) {
            let what = format!("{most} requests under way, and may have no more at once");
            return Err(self.over(&what, AGAIN));
        }
        let standing = match self.rate {
            None => None,
            Some(rate) => {
                let now = Instant::now();
                let earned_at = used.earned_at.map_or(now, |at| at.max(now)) + rate.step();
                let ahead = earned_at.duration_since(now);
                if let Some(again) = ahead.checked_sub(rate.period).filter(|again| !again.is_zero()) {
                    return Err(self.over(&format!("used up its {rate}"), again));
                }
                used.earned_at = Some(earned_at);
                let left = rate.period.saturating_sub(ahead);
                let remaining = left.as_nanos() / rate.step().as_nanos().max(1);
                Some(Standing { limit: rate.most, remaining: remaining as u32, whole_in: ahead })
            }
        };
        used.under_way += 1;
        Ok(Slot(Some(Arc::new(Place { usage: self.usage(), standing }))))
    }

    fn over(&self, what: &str, again: Duration) -> Over {
        let who =
            self.name.as_ref().map_or_else(|| "this key".to_owned(), |name| format!("the key '{name}'"));
        let message =
            format!("{who} has {what}; ask again in {:.1} s", (again.as_secs_f64() * 10.0).ceil() / 10.0);
        Over { message, again }
    }
}

/// More than a key allows.
#[derive(Debug)]
pub(crate) struct Over {
    /// For whoever asked.
    pub(crate) message: String,
    /// When the same request can be allowed.
    pub(crate) again: Duration,
}

/// A request's place among those that a key allows, given back when the last clone is dropped.
#[derive(Clone, Default)]
pub(crate) struct Slot(Option<Arc<Place>>);

struct Place {
    usage: Arc<Usage>,
    standing: Option<Standing>,
}

/// What is left of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Requests that may come at once at most.
    pub(crate) limit: u32,
    /// Those that may come now.
    pub(crate) remaining: u32,
    /// Until all of them may again.
    pub(crate) whole_in: Duration,
}

impl Slot {
    /// Whether there is a key that it counts for.
    pub(crate) const fn is_any(&self) -> bool {
        self.0.is_some()
    }

    /// What is left of the key's rate, if it has one.
    pub(crate) fn standing(&self) -> Option<Standing> {
        self.0.as_ref().and_then(|place| place.standing)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.usage.used().under_way -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowance(concurrency: Option<u32>, rate: Option<&str>) -> Allowance {
        let rate = rate.map(|rate| Rate::parse(rate).unwrap());
        Allowance::new(Some("lab".to_owned()), concurrency, rate, Arc::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_lets_as_many_in_at_once_and_then_one_by_one() {
        let allowance = allowance(None, Some("4/s"));
        for left in [3, 2, 1, 0] {
            let standing = allowance.begin().unwrap().standing().unwrap();
            assert_eq!((standing.limit, standing.remaining), (4, left));
        }
        let over = allowance.begin().unwrap_err();
        assert_eq!(over.again, Duration::from_millis(250));
        assert_eq!(over.message, "the key 'lab' has used up its 4 requests per second; ask again in 0.3 s");
        tokio::time::advance(over.again).await;
        assert!(allowance.begin().is_ok() && allowance.begin().is_err());
        // What is not used is not saved up beyond the rate.
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!((0..9).filter(|_| allowance.begin().is_ok()).count(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_refused_for_one_bound_uses_nothing_of_the_other() {
        let allowance = allowance(Some(1), Some("2/h"));
        let slot = allowance.begin().unwrap();
        let copy = slot.clone();
        drop(slot);
        let over = allowance.begin().unwrap_err();
        assert!(over.message.contains("1 requests under way"), "{}", over.message);
        drop(copy);
        drop(allowance.begin().unwrap());
        assert!(allowance.begin().unwrap_err().again > Duration::from_mins(29));
    }

    #[test]
    fn rates_are_read() {
        let shown = |text| Rate::parse(text).map(|rate| rate.to_string());
        assert_eq!(shown("1000000/h").unwrap(), "1000000 requests per hour");
        for wrong in ["", "/s", "x/s", "1/", "-1/s", "1000001/s", "1.5/s"] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
    }
}
