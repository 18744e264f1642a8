//! Asks a server, so many questions at once, and says how long it took.

use std::time::{Duration, Instant};

use crate::Outcome;
use crate::questions::Asker;

/// Answers that do not count, of each asker: connections and caches are warm after them.
const WARM_UP: u32 = 5;

/// What a round took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) per_second: f64,
}

impl Figures {
    /// The best of two rounds, figure by figure.
    pub(crate) fn better(self, other: Self) -> Self {
        Self {
            p50_us: self.p50_us.min(other.p50_us),
            p99_us: self.p99_us.min(other.p99_us),
            per_second: self.per_second.max(other.per_second),
        }
    }
}

/// Asks for as long as `round`, `at_once` questions at a time.
pub(crate) async fn measured(asker: &Asker, at_once: usize, round: Duration) -> Outcome<Figures> {
    let mut warm = tokio::task::JoinSet::new();
    for place in 0..at_once {
        let mut one = asker.one(place);
        warm.spawn(async move {
            for _ in 0..WARM_UP {
                one.ask().await?;
            }
            Outcome::Ok(one)
        });
    }
    let ready: Vec<_> = warm.join_all().await.into_iter().collect::<Outcome<_>>()?;
    let begun = Instant::now();
    let mut asking = tokio::task::JoinSet::new();
    for mut one in ready {
        asking.spawn(async move {
            let mut took = Vec::new();
            while begun.elapsed() < round {
                let from = Instant::now();
                one.ask().await?;
                took.push(from.elapsed());
            }
            Outcome::Ok(took)
        });
    }
    let each: Vec<Vec<Duration>> = asking.join_all().await.into_iter().collect::<Outcome<_>>()?;
    let elapsed = begun.elapsed();
    let mut took: Vec<Duration> = each.into_iter().flatten().collect();
    took.sort_unstable();
    let at = |share: f64| {
        let place = ((took.len() as f64 * share) as usize).min(took.len().saturating_sub(1));
        took.get(place).map_or(f64::INFINITY, |took| took.as_secs_f64() * 1e6)
    };
    let per_second = took.len() as f64 / elapsed.as_secs_f64();
    Ok(Figures { p50_us: at(0.5), p99_us: at(0.99), per_second })
}
