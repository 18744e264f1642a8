//! `--timings`: what each component took, and what was left for replaying.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use corn_core::message::CallTrace;
use corn_engine::Observer;
use corn_plan::{ComponentId, Plan};
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
    total_us: u64,
    /// How long at least one component worked.
    working_us: u64,
}

/// One component; its calls together.
struct Row {
    component: String,
    calls: u64,
    started_us: u64,
    first_us: Option<u64>,
    ended_us: u64,
    busy_us: u64,
    items: u64,
    /// Calls in a batch on the average; `None` if each has its turns alone.
    batch: Option<f64>,
}

impl Timings {
    /// The report of a request that ran from `from_us` to `to_us` of the engine's clock.
    pub(crate) fn report(&self, plan: &Plan, from_us: u64, to_us: u64) -> Report {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let mean = |(batches, calls): &(u64, u64)| *calls as f64 / *batches as f64;
        let since = |us: u64| us.saturating_sub(from_us);
        let mut rows: BTreeMap<ComponentId, Row> = BTreeMap::new();
        for call in calls.iter() {
            let row = rows.entry(call.component).or_insert_with(|| Row {
                component: plan.components[call.component].name.clone(),
                calls: 0,
                started_us: u64::MAX,
                first_us: None,
                ended_us: 0,
                busy_us: 0,
                items: 0,
                batch: batches.get(&call.component).map(mean),
            });
            row.calls += 1;
            row.started_us = row.started_us.min(since(call.started_us));
            row.first_us = row.first_us.into_iter().chain(call.first_us.map(since)).min();
            row.ended_us = row.ended_us.max(since(call.ended_us));
            row.items += call.items;
        }
        for (component, from, to) in busy.iter() {
            if let Some(row) = rows.get_mut(component) {
                row.busy_us += to - from;
            }
        }
        let mut rows: Vec<Row> = rows.into_values().collect();
        rows.sort_by_key(|row| row.started_us);
        let intervals = busy.iter().map(|(_, from, to)| ((*from).max(from_us), (*to).min(to_us)));
        Report { rows, total_us: to_us - from_us, working_us: union(intervals.collect()) }
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

impl Report {
    /// A table for people.
    pub(crate) fn to_text(&self) -> String {
        let ms = |us: u64| format!("{:.1}", us as f64 / 1000.0);
        let width = self.rows.iter().map(|row| row.component.len()).max().unwrap_or(0).max(9);
        let mut text = format!(
            "{:width$}  {:>5}  {:>10}  {:>10}  {:>10}  {:>10}  {:>6}  {:>6}   (ms since the request)\n",
            "component", "calls", "started", "first item", "ended", "worked", "items", "batch"
        );
        for row in &self.rows {
            let (started, ended, busy) = (ms(row.started_us), ms(row.ended_us), ms(row.busy_us));
            let first = row.first_us.map_or_else(|| "-".to_owned(), ms);
            let batch = row.batch.map_or_else(|| "-".to_owned(), |batch| format!("{batch:.1}"));
            let (name, calls, items) = (&row.component, row.calls, row.items);
            // Writing to a string succeeds.
            let _ = writeln!(
                text,
                "{name:width$}  {calls:>5}  {started:>10}  {first:>10}  {ended:>10}  {busy:>10}  {items:>6}  {batch:>6}"
            );
        }
        let own = self.total_us.saturating_sub(self.working_us);
        let share = 100.0 * own as f64 / self.total_us.max(1) as f64;
        let (total, working, own) = (ms(self.total_us), ms(self.working_us), ms(own));
        let _ = writeln!(
            text,
            "total {total} ms: components worked for {working} ms, replaying took {own} ms ({share:.2} %)"
        );
        text
    }

    /// The same for scripts, in µs.
    pub(crate) fn to_json(&self) -> Json {
        let rows = self.rows.iter().map(|row| {
            json!({
                "component": row.component, "calls": row.calls, "started_us": row.started_us, "first_item_us": row.first_us,
                "ended_us": row.ended_us, "worked_us": row.busy_us, "items": row.items, "mean_batch": row.batch,
            })
        });
        json!({
            "calls": rows.collect::<Vec<_>>(), "total_us": self.total_us, "worked_us": self.working_us,
            "replay_us": self.total_us.saturating_sub(self.working_us),
        })
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
