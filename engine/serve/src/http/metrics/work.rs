//! What components, edges and workers have done, in the text format of OpenMetrics.
//!
//! The engine counts where the work is done; what it gives is written as it is, so there is no second count to keep in step.

use std::fmt::{Display, Write};

use corn_engine::{ComponentWork, Member, Standing, Status, Times};

use corn_plan::{ComponentId, Plan, StageId};

/// One family after the other; all samples of a family stand together, as the format wants it.
struct Families<'t> {
    text: &'t mut String,
}

type Labels<'l> = [(&'static str, &'l dyn Display)];

impl Families<'_> {
    fn family(&mut self, name: &str, kind: &str, about: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.text, "# HELP {name} {about}.\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &Labels<'_>, value: impl Display) {
        self.text.push_str(name);
        for (place, (label, value)) in labels.iter().enumerate() {
            let value = value.to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{}{label}=\"{value}\"", if place == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn counter(&mut self, name: &str, about: &str) {
        self.family(name, "counter", about);
    }

    fn gauge(&mut self, name: &str, about: &str) {
        self.family(name, "gauge", about);
    }
}

/// Adds what `status` says to `text`.
pub(super) fn write(text: &mut String, plan: &Plan, status: &Status) {
    let mut families = Families { text };
    requests(&mut families, plan, status);
    workers(&mut families, status);
    components(&mut families, plan, status);
    edges(&mut families, plan, status);
    messages(&mut families, status);
}

/// Adds how many spans were sent to the collector of traces, and how many were dropped.
pub(super) fn spans(text: &mut String, (sent, dropped): (u64, u64)) {
    let mut to = Families { text };
    to.counter(
        "corn_trace_spans",
        "Spans for the collector of traces; those are dropped that it does not take in time",
    );
    for (outcome, count) in [("sent", sent), ("dropped", dropped)] {
        to.sample("corn_trace_spans_total", &[("outcome", &outcome)], count);
    }
}

fn requests(to: &mut Families<'_>, plan: &Plan, status: &Status) {
    to.counter("corn_requests", "Requests that came to the engine");
    to.sample("corn_requests_total", &[], status.submitted);
    to.gauge("corn_requests_in_flight", "Requests that are replayed");
    to.sample("corn_requests_in_flight", &[], status.in_flight);
    to.gauge("corn_requests_waiting", "Requests that wait for admission");
    to.sample("corn_requests_waiting", &[], status.waiting);
    to.gauge("corn_requests_admitted_max", "Requests that the plan admits at once");
    to.sample("corn_requests_admitted_max", &[], plan.inflight);
}

fn workers(to: &mut Families<'_>, status: &Status) {
    type Figure = (&'static str, &'static str, fn(&Member) -> u64);
    let gauges: [Figure; 4] = [
        ("corn_worker_ready", "Whether a worker takes requests", |it| {
            u64::from(it.standing == Standing::Ready)
        }),
        ("corn_worker_held_bytes", "Bytes of values that a worker holds for requests", |it| it.bytes),
        ("corn_worker_leases", "Values that a worker holds for requests", |it| it.leases),
        ("corn_worker_arena_bytes", "Bytes in use of the memory that a worker shares", |it| it.arena_bytes),
    ];
    for (name, about, figure) in gauges {
        to.gauge(name, about);
        for worker in &status.workers {
            to.sample(name, &[("worker", &of(worker))], figure(worker));
        }
    }
    let counters: [Figure; 2] = [
        ("corn_worker_restarts", "Lives of a worker before this one", |it| u64::from(it.restarts)),
        (
            "corn_worker_copied_bytes",
            "Bytes that had to be copied into the memory that a worker shares",
            |it| it.copied_bytes,
        ),
    ];
    for (name, about, figure) in counters {
        to.counter(name, about);
        for worker in &status.workers {
            to.sample(&format!("{name}_total"), &[("worker", &of(worker))], figure(worker));
        }
    }
}

fn of(worker: &Member) -> String {
    format!("w{}", worker.worker)
}

/// Every component on every worker that has one, with its names.
fn works<'s>(
    plan: &'s Plan,
    status: &'s Status,
) -> impl Iterator<Item = (&'s str, String, &'s ComponentWork)> + Clone {
    status.workers.iter().flat_map(move |worker| {
        worker.work.components.iter().filter_map(move |work| {
            let component = plan.components.get(ComponentId(work.component))?;
            Some((component.name.as_str(), of(worker), work))
        })
    })
}

fn components(to: &mut Families<'_>, plan: &Plan, status: &Status) {
    type Figure = (&'static str, &'static str, fn(&ComponentWork) -> f64);
    let works = works(plan, status);
    to.gauge("corn_component_open", "Calls of a component that have not ended, waiting or worked on");
    for (component, worker, work) in works.clone() {
        to.sample("corn_component_open", &[("component", &component), ("worker", &worker)], work.open);
    }
    to.counter("corn_component_calls", "Calls of a component that ended, by how");
    for (component, worker, work) in works.clone() {
        for (outcome, count) in [("ok", work.ended), ("failed", work.failed), ("cancelled", work.cancelled)] {
            let labels: &Labels<'_> =
                &[("component", &component), ("worker", &worker), ("outcome", &outcome)];
            to.sample("corn_component_calls_total", labels, count);
        }
    }
    let counters: [Figure; 10] = [
        ("corn_component_items", "Items that a component made", |it| it.items as f64),
        ("corn_component_made_bytes", "Bytes of them", |it| it.bytes as f64),
        ("corn_component_audio_seconds", "How long the sound in them lasts", |it| seconds(it.audio_us)),
        ("corn_component_prompt_tokens", "Tokens that it was given, where it counts them", |it| {
            it.prompt_tokens as f64
        }),
        ("corn_component_cached_tokens", "Those of them that it did not have to read again", |it| {
            it.cached_tokens as f64
        }),
        ("corn_component_completion_tokens", "Tokens that it made", |it| it.completion_tokens as f64),
        ("corn_component_turns", "Turns of work", |it| it.turns as f64),
        ("corn_component_busy_seconds", "How long they took", |it| seconds(it.busy_us)),
        ("corn_component_batches", "Turns that could take several calls", |it| it.batches as f64),
        ("corn_component_batched_calls", "Calls in those; with the batches it gives their mean size", |it| {
            it.batched_calls as f64
        }),
    ];
    for (name, about, figure) in counters {
        to.counter(name, about);
        for (component, worker, work) in works.clone() {
            let labels: &Labels<'_> = &[("component", &component), ("worker", &worker)];
            to.sample(&format!("{name}_total"), labels, figure(work));
        }
    }
    to.gauge("corn_component_real_time_factor", "Seconds of work for each second of sound, since the start");
    for (component, worker, work) in works.clone().filter(|(_, _, work)| work.audio_us > 0) {
        let factor = work.busy_us as f64 / work.audio_us as f64;
        let labels: &Labels<'_> = &[("component", &component), ("worker", &worker)];
        to.sample("corn_component_real_time_factor", labels, factor);
    }
    let about = "From the start of a component's call to its end, of those that ended well";
    times(
        to,
        "corn_component_call_seconds",
        about,
        works.clone().map(|(name, worker, it)| (name, worker, &it.call)),
    );
    let about = "From the start of a component's call to its first item";
    times(
        to,
        "corn_component_first_item_seconds",
        about,
        works.map(|(name, worker, it)| (name, worker, &it.first)),
    );
}

fn times<'s>(
    to: &mut Families<'_>,
    name: &str,
    about: &str,
    all: impl Iterator<Item = (&'s str, String, &'s Times)>,
) {
    to.family(name, "histogram", about);
    let bounds = Times::BOUNDS_US.iter().map(|us| seconds(*us).to_string()).chain(["+Inf".to_owned()]);
    let bounds: Vec<String> = bounds.collect();
    for (component, worker, times) in all {
        let mut so_far = 0;
        for (bound, count) in bounds.iter().zip(&times.counts) {
            so_far += count;
            let labels: &Labels<'_> = &[("component", &component), ("worker", &worker), ("le", bound)];
            to.sample(&format!("{name}_bucket"), labels, so_far);
        }
        let labels: &Labels<'_> = &[("component", &component), ("worker", &worker)];
        to.sample(&format!("{name}_count"), labels, so_far);
        to.sample(&format!("{name}_sum"), labels, seconds(times.sum_us));
    }
}

fn edges(to: &mut Families<'_>, plan: &Plan, status: &Status) {
    // A kind `info` has nobody but OpenMetrics, and not every client of that.
    to.gauge("corn_stage_info", "The components of each stage");
    for (stage, of) in plan.stages.enumerate() {
        for component in &of.components {
            let name = &plan.components[*component].name;
            to.sample("corn_stage_info", &[("stage", &stage), ("component", name)], 1);
        }
    }
    for (name, about) in [
        ("corn_edge_items", "Values and items that were handed over from stage to stage"),
        ("corn_edge_bytes", "Bytes of them"),
    ] {
        to.counter(name, about);
        for worker in &status.workers {
            for edge in &worker.work.edges {
                let (from, to_stage) = (StageId(edge.from), StageId(edge.to));
                let labels: &Labels<'_> = &[
                    ("from", &from),
                    ("to", &to_stage),
                    ("transport", &edge.transport),
                    ("worker", &of(worker)),
                ];
                let count = if name == "corn_edge_items" { edge.items } else { edge.bytes };
                to.sample(&format!("{name}_total"), labels, count);
            }
        }
    }
}

fn messages(to: &mut Families<'_>, status: &Status) {
    to.counter("corn_messages", "Messages between the processes of a deployment, by who sent them");
    for (kind, count) in &status.sent {
        to.sample("corn_messages_total", &[("sender", &"coordinator"), ("kind", kind)], count);
    }
    for worker in &status.workers {
        for (kind, count) in &worker.work.sent {
            to.sample("corn_messages_total", &[("sender", &of(worker)), ("kind", kind)], count);
        }
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}
