//! What `corn call --repeat` measured, as text and as JSON.
//!
//! Times are kept one by one, so that percentiles are exact: a load is looked at in minutes, not in days.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use corn_core::{Blame, Fault};
use serde_json::{Value as Json, json};

use crate::commands::call::histogram;

const SHARES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];

/// Requests that have ended, so far.
#[derive(Default)]
pub(super) struct Measured {
    /// When the first request could be asked.
    begun: Option<Instant>,
    /// To the end of each answer.
    whole: Vec<Duration>,
    /// To the first piece of each.
    first: Vec<Duration>,
    /// Items of all outputs together.
    items: u64,
    /// Failures by blame and component: how many, and the first of them.
    failed: BTreeMap<(&'static str, Option<String>), (u64, Fault)>,
}

impl Measured {
    /// Requests are asked from now on.
    pub(super) fn begin(&mut self) {
        self.begun = Some(Instant::now());
    }

    /// For how long requests have been asked.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.map(|begun| begun.elapsed()).unwrap_or_default()
    }

    /// A request was answered with so many items.
    pub(super) fn answered(&mut self, first: Option<Duration>, whole: Duration, items: u64) {
        self.first.extend(first);
        self.whole.push(whole);
        self.items += items;
    }

    /// A request failed.
    pub(super) fn failed(&mut self, fault: Fault) {
        let kind = (word(fault.blame), fault.component.clone());
        self.failed.entry(kind).or_insert((0, fault)).0 += 1;
    }

    /// A failure of the kind that is the most frequent.
    pub(super) fn fault(&self) -> Option<&Fault> {
        self.failed.values().max_by_key(|(count, _)| *count).map(|(_, fault)| fault)
    }

    /// Requests that have ended.
    pub(super) fn ended(&self) -> u64 {
        self.whole.len() as u64 + self.failures()
    }

    fn failures(&self) -> u64 {
        self.failed.values().map(|(count, _)| count).sum()
    }

    /// For a person: rates, percentiles, how times spread, and what failed.
    pub(super) fn text(&self, elapsed: Duration) -> String {
        let (first, whole) = (sorted(&self.first), sorted(&self.whole));
        let rates = format!(
            "{} answered, {} failed in {:.2} s: {:.0} a second, {:.0} items a second\n",
            whole.len(),
            self.failures(),
            elapsed.as_secs_f64(),
            rate(whole.len() as u64, elapsed),
            rate(self.items, elapsed),
        );
        let mut text = rates;
        if !whole.is_empty() {
            for (what, sorted) in [("first piece", &first), ("whole answer", &whole)] {
                let each = SHARES.map(|(name, share)| format!("{name} {} µs", percentile(sorted, share)));
                text += &format!("  {what:<12}  {}\n", each.join("  "));
            }
            text += "\n  whole answers that took\n";
            text += &histogram::text(&histogram::buckets(&whole));
        }
        if !self.failed.is_empty() {
            text += "\n  failures\n";
        }
        for ((blame, component), (count, fault)) in &self.failed {
            let of = component.as_ref().map(|component| format!(" in '{component}'")).unwrap_or_default();
            text += &format!("    {count:>7}  {blame}{of}: {}\n", fault.message);
        }
        text
    }

    /// The same for a program; times in µs.
    pub(super) fn json(&self, elapsed: Duration, interrupted: bool) -> Json {
        let (first, whole) = (sorted(&self.first), sorted(&self.whole));
        let figures = |sorted: &[u64]| {
            Json::Object(
                SHARES
                    .iter()
                    .map(|(name, share)| ((*name).to_owned(), json!(percentile(sorted, *share))))
                    .collect(),
            )
        };
        let buckets = histogram::buckets(&whole).into_iter();
        let buckets: Vec<Json> =
            buckets.map(|one| json!({ "from": one.from_us, "to": one.to_us, "count": one.count })).collect();
        let errors: Vec<Json> = self
            .failed
            .iter()
            .map(|((blame, component), (count, fault))| {
                json!({ "blame": blame, "component": component, "count": count, "message": fault.message })
            })
            .collect();
        json!({
            "done": whole.len(), "failed": self.failures(), "interrupted": interrupted,
            "seconds": elapsed.as_secs_f64(), "per_second": rate(whole.len() as u64, elapsed),
            "items": self.items, "items_per_second": rate(self.items, elapsed),
            "whole_us": figures(&whole), "first_us": figures(&first),
            "histogram_us": buckets, "errors": errors,
        })
    }
}

fn sorted(times: &[Duration]) -> Vec<u64> {
    let mut micros: Vec<u64> =
        times.iter().map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)).collect();
    micros.sort_unstable();
    micros
}

/// The smallest time that at least `share` of all are not above; 0 if there is none.
fn percentile(sorted: &[u64], share: f64) -> u64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

fn rate(count: u64, elapsed: Duration) -> f64 {
    if elapsed.is_zero() { 0.0 } else { count as f64 / elapsed.as_secs_f64() }
}

/// Blames as they are named on the wire, in `corn-blame`.
const fn word(blame: Blame) -> &'static str {
    match blame {
        Blame::Request => "request",
        Blame::Setup => "setup",
        Blame::Component => "component",
        Blame::Busy => "busy",
        Blame::Unavailable => "unavailable",
        Blame::Lost => "lost",
        Blame::Deadline => "deadline",
        Blame::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load() -> Measured {
        let mut measured = Measured::default();
        for n in 1..=100_u64 {
            let whole = Duration::from_micros(n * n);
            measured.answered(Some(whole / 2), whole, 3);
        }
        for _ in 0..7 {
            measured.failed(Fault::new(Blame::Busy, "too much at once"));
        }
        let mut broken = Fault::component("no memory");
        broken.component = Some("llm".to_owned());
        measured.failed(broken);
        measured
    }

    #[test]
    fn a_load_is_told_to_a_person() {
        insta::assert_snapshot!(load().text(Duration::from_secs(2)));
    }

    #[test]
    fn a_load_is_told_to_a_program() {
        let json = load().json(Duration::from_secs(2), true);
        insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap_or_default());
    }

    #[test]
    fn nothing_measured_is_no_figures() {
        assert_eq!(
            Measured::default().text(Duration::ZERO),
            "0 answered, 0 failed in 0.00 s: 0 a second, 0 items a second\n"
        );
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        assert_eq!(percentile(&[1, 2], 0.5), 1);
        assert_eq!(percentile(&[1, 2, 3], 0.5), 2);
        assert_eq!(percentile(&[1, 2, 3], 1.0), 3);
        assert_eq!(percentile(&[], 0.5), 0);
    }

    #[test]
    fn the_most_frequent_failure_ends_the_command() {
        assert_eq!(load().fault().map(|fault| fault.blame), Some(Blame::Busy));
    }
}
