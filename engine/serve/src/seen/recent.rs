//! How long answers took lately, for who looks now: histograms are since the start, and what is slow today is lost in them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Answers that are remembered.
const MOST: usize = 512;
/// How long one is.
const LATELY: Duration = Duration::from_mins(1);

/// The newest answers.
#[derive(Default)]
pub(super) struct Recent(Mutex<VecDeque<Took>>);

#[derive(Clone, Copy)]
struct Took {
    ended: Instant,
    first: Duration,
    whole: Duration,
}

impl Recent {
    /// An answer ended now, whose first item took `first`.
    pub(super) fn ended(&self, first: Duration, whole: Duration) {
        self.ended_at(Instant::now(), first, whole);
    }

    fn ended_at(&self, ended: Instant, first: Duration, whole: Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.pop_front();
        }
        all.push_back(Took { ended, first, whole });
    }

    /// The medians of the first items and of whole answers, in µs; none if nothing ended lately.
    pub(super) fn medians_us(&self) -> (Option<u64>, Option<u64>) {
        self.medians_at(Instant::now())
    }

    fn medians_at(&self, now: Instant) -> (Option<u64>, Option<u64>) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lately: Vec<Took> =
            all.iter().copied().filter(|it| now.duration_since(it.ended) < LATELY).collect();
        drop(all);
        let median = |of: fn(&Took) -> Duration| {
            let mut times: Vec<Duration> = lately.iter().map(of).collect();
            times.sort_unstable();
            times
                .get(times.len().saturating_sub(1) / 2)
                .map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
        };
        (median(|it| it.first), median(|it| it.whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let (recent, begin) = (Recent::default(), Instant::now());
        assert_eq!(recent.medians_at(begin), (None, None));
        let ms = Duration::from_millis;
        recent.ended_at(begin, ms(500), ms(900));
        for took in [3, 1, 2] {
            recent.ended_at(begin + ms(30_000), ms(took), ms(10 * took));
        }
        assert_eq!(recent.medians_at(begin + ms(30_000)), (Some(2000), Some(20_000)));
        assert_eq!(recent.medians_at(begin + ms(70_000)), (Some(2000), Some(20_000)));
        assert_eq!(recent.medians_at(begin + ms(90_000)), (None, None));
        for n in 0..MOST as u64 + 100 {
            recent.ended_at(begin + ms(100_000), ms(n), ms(n));
        }
        assert_eq!(recent.0.lock().unwrap().len(), MOST);
    }
}
