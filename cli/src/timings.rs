//! `--timings`: what each component took, and what was left for replaying or what handing over took.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use corn_core::message::CallTrace;
use corn_engine::{CallTimes, HandOverTimes, Observer, RequestTimes};
use corn_plan::{Bytes, ComponentId, Plan};
use serde_json::{Value as Json, json};

/// Collects what an engine does for one request.
#[derive(Default)]
pub(crate) struct Timings {
    calls: Mutex<Vec<CallTrace>>,
    busy: Mutex<Vec<(ComponentId, u64, u64)>>,
    /// Of each component, its batches and the calls in them together.
    batches: Mutex<BTreeMap<ComponentId, (u64, u64)>>,
}

impl Observer for Timings {
    fn call(&self, trace: &CallTrace) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(trace.clone());
    }

    fn busy(&self, component: ComponentId, from_us: u64, to_us: u64) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).push((component, from_us, to_us));
    }

    fn batch(&self, component: ComponentId, calls: u32) {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let known = batches.entry(component).or_default();
        *known = (known.0 + 1, known.1 + u64::from(calls));
    }
}

/// The times of one request, in µs since it was submitted.
pub(crate) struct Report {
    rows: Vec<Row>,
    hand_overs: Vec<HandOverTimes>,
    total_us: u64,
    /// How long at least one component worked; `None` if only their processes know.
    working_us: Option<u64>,
}

/// One component.
struct Row {
    times: CallTimes,
    /// How long it worked, where that is known.
    busy_us: u64,
    /// Calls in a batch on the average; `None` if each has its turns alone, or only its process knows.
    batch: Option<f64>,
}

impl Timings {
    /// The report of a request that ran from `from_us` to `to_us` of the engine's clock.
    pub(crate) fn report(&self, plan: &Plan, from_us: u64, to_us: u64) -> Report {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let mean = |(batches, calls): &(u64, u64)| *calls as f64 / *batches as f64;
        let mut rows: BTreeMap<ComponentId, Row> = BTreeMap::new();
        for call in calls.iter() {
            let row = rows.entry(call.component).or_insert_with(|| Row {
                times: CallTimes::of(&plan.components[call.component].name),
                busy_us: 0,
                batch: batches.get(&call.component).map(mean),
            });
            row.times.add(call, from_us);
        }
        for (component, from, to) in busy.iter() {
            if let Some(row) = rows.get_mut(component) {
                row.busy_us += to - from;
            }
        }
        let mut rows: Vec<Row> = rows.into_values().collect();
        rows.sort_by_key(|row| row.times.started_us);
        let intervals = busy.iter().map(|(_, from, to)| ((*from).max(from_us), (*to).min(to_us)));
        let working_us = Some(union(intervals.collect()));
        Report { rows, hand_overs: Vec::new(), total_us: to_us - from_us, working_us }
    }
}

impl Report {
    /// Of what a deployment says of a request that took so long.
    pub(crate) fn of_deployed(times: RequestTimes, total_us: u64) -> Self {
        let rows = times.calls.into_iter().map(|times| Row { times, busy_us: 0, batch: None });
        Self { rows: rows.collect(), hand_overs: times.hand_overs, total_us, working_us: None }
    }
}

/// How much time the intervals cover together.
fn union(mut intervals: Vec<(u64, u64)>) -> u64 {
    intervals.sort_unstable();
    let (mut covered, mut reached) = (0, 0);
    for (from, to) in intervals {
        let from = from.max(reached);
        if to > from {
            covered += to - from;
            reached = to;
        }
    }
    covered
}

fn ms(us: u64) -> String {
    format!("{:.1}", us as f64 / 1000.0)
}

impl Report {
    /// Tables for people.
    pub(crate) fn to_text(&self) -> String {
        let width = self.rows.iter().map(|row| row.times.component.len()).max().unwrap_or(0).max(9);
        let knows_work = self.working_us.is_some();
        let mut text = format!(
            "{:width$}  {:>5}  {:>10}  {:>10}  {:>10}",
            "component", "calls", "started", "first item", "ended"
        );
        let more = if knows_work {
            format!("  {:>10}  {:>6}  {:>6}", "worked", "items", "batch")
        } else {
            format!("  {:>6}", "items")
        };
        text += &more;
        text += "   (ms since the request)\n";
        for row in &self.rows {
            let CallTimes { component: name, calls, started_us, first_us, ended_us, items } = &row.times;
            let (started, ended, busy) = (ms(*started_us), ms(*ended_us), ms(row.busy_us));
            let first = first_us.map_or_else(|| "-".to_owned(), ms);
            let batch = row.batch.map_or_else(|| "-".to_owned(), |batch| format!("{batch:.1}"));
            // Writing to a string succeeds.
            let _ = write!(text, "{name:width$}  {calls:>5}  {started:>10}  {first:>10}  {ended:>10}");
            let _ = if knows_work {
                writeln!(text, "  {busy:>10}  {items:>6}  {batch:>6}")
            } else {
                writeln!(text, "  {items:>6}")
            };
        }
        self.hand_overs_to(&mut text);
        let total = ms(self.total_us);
        let _ = match self.working_us {
            Some(working_us) => {
                let own = self.total_us.saturating_sub(working_us);
                let share = 100.0 * own as f64 / self.total_us.max(1) as f64;
                let (working, own) = (ms(working_us), ms(own));
                writeln!(
                    text,
                    "total {total} ms: components worked for {working} ms, replaying took {own} ms ({share:.2} %)"
                )
            }
            None => writeln!(text, "total {total} ms, from here and back"),
        };
        text
    }

    fn hand_overs_to(&self, text: &mut String) {
        if self.hand_overs.is_empty() {
            return;
        }
        let ways = self.hand_overs.iter().map(|way| format!("{} -> {}", way.from, way.to));
        let ways: Vec<String> = ways.collect();
        let width = |longest: Option<usize>, title: &str| longest.unwrap_or(0).max(title.len());
        let value = width(self.hand_overs.iter().map(|way| way.value.len()).max(), "handed over");
        let way = width(ways.iter().map(String::len).max(), "from -> to");
        let _ = writeln!(
            text,
            "{:value$}  {:way$}  {:7}  {:>6}  {:>9}  {:>9}  {:>9}   (ms on the way)",
            "handed over", "from -> to", "by", "items", "together", "mean", "longest"
        );
        for (handed, route) in self.hand_overs.iter().zip(&ways) {
            let HandOverTimes { value: name, transport, items, took_us, longest_us, .. } = handed;
            let bytes = format!("{:#}", Bytes(handed.bytes));
            let mean = *took_us as f64 / (*items).max(1) as f64;
            let [mean, most] = [mean, *longest_us as f64].map(|us| format!("{:.3}", us / 1000.0));
            let _ = writeln!(
                text,
                "{name:value$}  {route:way$}  {transport:7}  {items:>6}  {bytes:>9}  {mean:>9}  {most:>9}"
            );
        }
    }

    /// The same for scripts, in µs.
    pub(crate) fn to_json(&self) -> Json {
        let calls = self.rows.iter().map(|row| {
            let CallTimes { component, calls, started_us, first_us, ended_us, items } = &row.times;
            let mut call = json!({
                "component": component, "calls": calls, "started_us": started_us, "first_item_us": first_us,
                "ended_us": ended_us, "items": items,
            });
            if self.working_us.is_some() {
                call["worked_us"] = json!(row.busy_us);
                call["mean_batch"] = json!(row.batch);
            }
            call
        });
        let mut report = json!({ "calls": calls.collect::<Vec<_>>(), "total_us": self.total_us });
        if let Some(working_us) = self.working_us {
            report["worked_us"] = json!(working_us);
            report["replay_us"] = json!(self.total_us.saturating_sub(working_us));
        } else {
            report["hand_overs"] = json!(self.hand_overs);
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::union;

    #[test]
    fn overlapping_intervals_count_once() {
        assert_eq!(union(vec![]), 0);
        assert_eq!(union(vec![(5, 9), (0, 3), (2, 6), (20, 21)]), 10);
        assert_eq!(union(vec![(0, 10), (1, 2), (3, 12)]), 12);
    }
}
