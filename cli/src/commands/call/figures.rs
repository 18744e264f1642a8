//! What a load took, in figures: percentiles, how often each length of time occurred, and what failed why.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use corn_core::{Blame, Fault};
use serde_json::{Value as Json, json};

/// Shares of the requests that took no longer.
const SHARES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];
/// Where bars begin and end within each power of ten: about as many steps from one to the next.
const STEPS: [u64; 6] = [10, 15, 20, 30, 50, 70];
/// Characters of the longest bar.
const BAR: usize = 40;

/// What was measured, request by request.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// To the end of each answer.
    whole: Vec<Duration>,
    /// To the first piece of each.
    first: Vec<Duration>,
    pub(super) failed: Vec<Fault>,
}

/// The same, summed up.
pub(super) struct Figures {
    taken: Taken,
    elapsed: Duration,
}

impl Taken {
    /// Adds a request. Of one that failed nothing counts but why.
    pub(super) fn add(&mut self, whole: Duration, first: Option<Duration>, failed: Option<Fault>) {
        if let Some(fault) = failed {
            self.failed.push(fault);
        } else {
            self.whole.push(whole);
            self.first.extend(first);
        }
    }

    pub(super) fn figures(mut self, elapsed: Duration) -> Figures {
        self.whole.sort_unstable();
        self.first.sort_unstable();
        Figures { taken: self, elapsed }
    }
}

impl Figures {
    fn per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.taken.whole.len() as f64 / seconds } else { 0.0 }
    }

    /// How many failed for each reason, with what the first of them said.
    fn reasons(&self) -> BTreeMap<String, (usize, String)> {
        let mut reasons: BTreeMap<String, (usize, String)> = BTreeMap::new();
        for fault in &self.taken.failed {
            let reason = reasons.entry(reason(fault)).or_insert_with(|| (0, fault.message.clone()));
            reason.0 += 1;
        }
        reasons
    }

    pub(super) fn to_json(&self) -> Json {
        let Taken { whole, first, failed } = &self.taken;
        let percentiles = |sorted: &[Duration]| {
            let each = SHARES.iter().map(|(name, share)| ((*name).to_owned(), json!(micros(sorted, *share))));
            Json::Object(each.collect())
        };
        let bars = bars(whole).into_iter();
        let bars = bars.map(|bar| json!({ "from_us": bar.from_us, "to_us": bar.to_us, "count": bar.count }));
        let errors = self.reasons().into_iter();
        let errors =
            errors.map(|(reason, (count, first))| (reason, json!({ "count": count, "first": first })));
        json!({
            "done": whole.len(), "failed": failed.len(), "seconds": self.elapsed.as_secs_f64(),
            "per_second": self.per_second(), "whole_us": percentiles(whole), "first_us": percentiles(first),
            "histogram": bars.collect::<Vec<_>>(), "errors": Json::Object(errors.collect()),
        })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Taken { whole, first, failed } = &self.taken;
        let (done, failed, seconds) = (whole.len(), failed.len(), self.elapsed.as_secs_f64());
        let per_second = self.per_second();
        writeln!(out, "{done} answered, {failed} failed in {seconds:.2} s: {per_second:.0} a second")?;
        for (what, sorted) in [("first piece", first), ("whole answer", whole)] {
            let each = SHARES.iter().map(|(name, share)| format!("{name} {} µs", micros(sorted, *share)));
            writeln!(out, "  {what:<12}  {}", each.collect::<Vec<_>>().join("  "))?;
        }
        let bars = bars(whole);
        let most = bars.iter().map(|bar| bar.count).max().unwrap_or(0);
        for bar in bars {
            let length = (bar.count * BAR).div_ceil(most.max(1));
            let (from, to) = (written(bar.from_us), written(bar.to_us));
            let line = format!("  {from:>7} to {to:>7}  {:>7}  {}", bar.count, "█".repeat(length));
            writeln!(out, "{}", line.trim_end())?;
        }
        for (reason, (count, first)) in self.reasons() {
            writeln!(out, "  {count} failed, {reason}: {first}")?;
        }
        Ok(())
    }
}

/// How many requests took so long.
#[derive(Debug, PartialEq, Eq)]
struct Bar {
    from_us: u64,
    /// Not including it.
    to_us: u64,
    count: usize,
}

/// Bars from the shortest to the longest of these times, those between that nothing fell into included.
fn bars(sorted: &[Duration]) -> Vec<Bar> {
    let (Some(shortest), Some(longest)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    let mut edges = vec![0];
    let mut ten = 1;
    // Every power of ten of µs that a duration can hold at all ends before this overflows.
    while edges.last().is_some_and(|last| u128::from(*last) <= longest.as_micros()) && ten < u64::MAX / 1000 {
        edges.extend(STEPS.map(|step| step * ten));
        ten *= 10;
    }
    let mut bars = Vec::new();
    for (from, to) in edges.iter().zip(edges.iter().skip(1)) {
        let (from_us, to_us) = (*from, *to);
        if u128::from(to_us) <= shortest.as_micros() || u128::from(from_us) > longest.as_micros() {
            continue;
        }
        let below = |edge: u64| sorted.partition_point(|took| took.as_micros() < u128::from(edge));
        bars.push(Bar { from_us, to_us, count: below(to_us) - below(from_us) });
    }
    bars
}

/// The time that `share` of the requests took at most, in µs.
fn micros(sorted: &[Duration], share: f64) -> u64 {
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0, |took| took.as_micros() as u64)
}

/// A time in the unit in which it is short.
fn written(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", us as f64 / 1e3),
        _ => format!("{} s", us as f64 / 1e6),
    }
}

/// What kind of failure it is, and where.
fn reason(fault: &Fault) -> String {
    let reason = match fault.blame {
        Blame::Request => "the request is wrong",
        Blame::Setup => "the set-up is wrong",
        Blame::Component => "a component failed",
        Blame::Busy => "too much at once",
        Blame::Unavailable => "no worker is ready",
        Blame::Lost => "a worker was lost",
        Blame::Deadline => "the deadline passed",
        Blame::Cancelled => "cancelled",
    };
    match &fault.component {
        Some(component) => format!("{reason} ({component})"),
        None => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(times: &[u64]) -> Vec<Duration> {
        times.iter().map(|time| Duration::from_micros(*time)).collect()
    }

    #[test]
    fn bars_grow_with_the_time() {
        let of = |times: &[u64]| -> Vec<(u64, u64, usize)> {
            bars(&us(times)).into_iter().map(|bar| (bar.from_us, bar.to_us, bar.count)).collect()
        };
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[0]), [(0, 10, 1)]);
        assert_eq!(of(&[10]), [(10, 15, 1)]);
        assert_eq!(of(&[149, 150, 199, 310]), [(100, 150, 1), (150, 200, 2), (200, 300, 0), (300, 500, 1)]);
        let wide = of(&[9, 12_000_000]);
        assert_eq!((wide[0], wide[wide.len() - 1]), ((0, 10, 1), (10_000_000, 15_000_000, 1)));
        assert_eq!(bars(&[Duration::MAX]).iter().map(|bar| bar.count).sum::<usize>(), 0);
    }

    #[test]
    fn a_load_is_summed_up() {
        let mut taken = Taken::default();
        for time in us(&[120, 130, 140, 160, 1_800]) {
            taken.add(time, Some(time / 2), None);
        }
        let busy = Fault::new(Blame::Busy, "64 requests are waiting");
        for fault in [busy.clone(), Fault::component("no straw").in_component("hear"), busy] {
            taken.add(Duration::from_secs(9), None, Some(fault));
        }
        let figures = taken.figures(Duration::from_millis(500));
        let bar = |length| "█".repeat(length);
        let expected = [
            "5 answered, 3 failed in 0.50 s: 10 a second".to_owned(),
            "  first piece   p50 70 µs  p90 900 µs  p99 900 µs  p999 900 µs  max 900 µs".to_owned(),
            "  whole answer  p50 140 µs  p90 1800 µs  p99 1800 µs  p999 1800 µs  max 1800 µs".to_owned(),
            format!("   100 µs to  150 µs        3  {}", bar(40)),
            format!("   150 µs to  200 µs        1  {}", bar(14)),
            "   200 µs to  300 µs        0".to_owned(),
            "   300 µs to  500 µs        0".to_owned(),
            "   500 µs to  700 µs        0".to_owned(),
            "   700 µs to    1 ms        0".to_owned(),
            "     1 ms to  1.5 ms        0".to_owned(),
            format!("   1.5 ms to    2 ms        1  {}", bar(14)),
            "  1 failed, a component failed (hear): no straw".to_owned(),
            "  2 failed, too much at once: 64 requests are waiting".to_owned(),
        ];
        assert_eq!(figures.to_string().lines().collect::<Vec<_>>(), expected);
        let json = figures.to_json();
        assert_eq!(
            (&json["done"], &json["failed"], &json["whole_us"]["p50"]),
            (&5.into(), &3.into(), &140.into())
        );
        assert_eq!(json["histogram"][0], json!({ "from_us": 100, "to_us": 150, "count": 3 }));
        assert_eq!(json["errors"]["too much at once"]["count"], 2);
    }

    #[test]
    fn nothing_measured_is_no_figure() {
        let figures = Taken::default().figures(Duration::ZERO);
        assert!(figures.to_string().starts_with("0 answered, 0 failed in 0.00 s: 0 a second\n"));
        assert_eq!(figures.to_json()["histogram"], json!([]));
    }
}
