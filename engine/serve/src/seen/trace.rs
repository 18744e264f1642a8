//! Traces: a span for each call, and below it one for each step and each hand-over that the engine tells of.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use corn_core::Fault;
use corn_core::message::{CallTrace, RequestId};
use corn_engine::{Answer, Ask, Engine, HandOverTrace, Observer};
use corn_plan::Plan;
use serde_json::Value;

use super::otlp::Exporter;

/// Which trace a call is part of, and its own span there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    pub(super) trace: [u8; 16],
    pub(super) parent: Option<[u8; 8]>,
    pub(super) span: [u8; 8],
}

/// Something that took a while.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) trace: [u8; 16],
    pub(super) id: [u8; 8],
    pub(super) parent: Option<[u8; 8]>,
    pub(super) name: String,
    /// Else it is a part of one that is.
    pub(super) is_server: bool,
    pub(super) from_us: u64,
    pub(super) to_us: u64,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) has_failed: bool,
}

impl Context {
    /// A trace of its own. None if the machine has no random numbers.
    pub(super) fn new() -> Option<Self> {
        Some(Self { trace: random()?, parent: None, span: random()? })
    }

    /// A part of this one.
    pub(super) fn below(&self) -> Option<Self> {
        Some(Self { trace: self.trace, parent: Some(self.span), span: random()? })
    }

    /// The trace that a `traceparent` names, and whether it is wanted.
    pub(super) fn parse(text: &str) -> Option<(Self, bool)> {
        let mut parts = text.split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_known = version.len() == 2 && version != "ff" && (version != "00" || parts.next().is_none());
        let (trace, parent): ([u8; 16], [u8; 8]) = (hex(trace)?, hex(parent)?);
        let [flags]: [u8; 1] = hex(flags)?;
        hex::<1>(version)?;
        if !is_known || trace == [0; 16] || parent == [0; 8] {
            return None;
        }
        Some((Self { trace, parent: Some(parent), span: random()? }, flags & 1 == 1))
    }

    pub(super) fn trace_hex(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.trace))
    }
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(bytes)
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes)
}

/// What is told of a request that is traced.
struct Followed {
    context: Context,
    /// What to add to the engine's clock for µs since 1970.
    offset_us: u64,
}

/// Tells a collector of spans what calls, steps and hand-overs took. Give it to the engine as its observer, and to the faces.
pub struct Traces {
    exporter: Exporter,
    plan: Plan,
    followed: Mutex<HashMap<u64, Followed>>,
}

impl Traces {
    /// Tells the collector at `endpoint`, such as `http://localhost:4318`, which need not be there. One at `https://…` is
    /// trusted if who vouches for it is in the file `authorities`; without, if it is one of those that browsers trust.
    ///
    /// # Errors
    /// Of the set-up, if `endpoint` is no URL of http or https, or the file cannot be used.
    pub fn new(endpoint: &str, authorities: Option<&Path>, plan: &Plan) -> Result<Self, Fault> {
        let exporter = Exporter::start(endpoint, authorities, &plan.name)?;
        Ok(Self { exporter, plan: plan.clone(), followed: Mutex::default() })
    }

    /// Waits until what is known has been told, or for two seconds. Blocks.
    pub fn flush(&self) {
        self.exporter.flush();
    }

    /// Spans that were sent, and those that had to be dropped.
    pub(crate) fn counts(&self) -> (u64, u64) {
        self.exporter.counts()
    }

    pub(super) fn tell(&self, span: Span) {
        self.exporter.tell(span);
    }

    /// Submits a request whose steps and hand-overs belong below `context`.
    pub(super) fn submit(&self, engine: &Engine, ask: Ask, context: &Context) -> Answer {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        let followed =
            Followed { context: context.clone(), offset_us: unix_us.saturating_sub(engine.now_us()) };
        // Held meanwhile, so that nothing is told of the request before it is known.
        let mut all = self.lock();
        let answer = engine.submit(Ask { is_traced: true, ..ask });
        all.insert(answer.request().number, followed);
        answer
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Followed>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A span from `from_us` to `to_us` of the engine's clock, below the call of `request`.
    fn below(&self, request: RequestId, name: String, from_us: u64, to_us: u64, said: Vec<(String, String)>) {
        let span = {
            let all = self.lock();
            let (Some(followed), Some(id)) = (all.get(&request.number), random()) else { return };
            Span {
                trace: followed.context.trace,
                id,
                parent: Some(followed.context.span),
                name,
                is_server: false,
                from_us: from_us.saturating_add(followed.offset_us),
                to_us: to_us.saturating_add(followed.offset_us),
                attributes: said,
                has_failed: false,
            }
        };
        self.tell(span);
    }
}

impl Observer for Traces {
    fn call(&self, trace: &CallTrace) {
        let Some(component) = self.plan.components.get(trace.component) else { return };
        let mut said = vec![
            ("corn.component".to_owned(), component.name.clone()),
            ("corn.entry".to_owned(), component.entry.clone()),
            ("corn.items".to_owned(), trace.items.to_string()),
        ];
        said.extend(trace.first_us.map(|first| {
            let ms = first.saturating_sub(trace.started_us) as f64 / 1e3;
            ("corn.first_item_ms".to_owned(), ms.to_string())
        }));
        self.below(trace.request, component.name.clone(), trace.started_us, trace.ended_us, said);
    }

    fn hand_over(&self, trace: &HandOverTrace) {
        let said = vec![
            ("corn.from".to_owned(), trace.from.to_string()),
            ("corn.to".to_owned(), trace.to.to_string()),
            ("corn.value".to_owned(), trace.value.to_string()),
            ("corn.transport".to_owned(), trace.transport.name().to_owned()),
            ("corn.bytes".to_owned(), trace.bytes.to_string()),
        ];
        let name = format!("{} → {}", trace.from, trace.to);
        self.below(trace.request, name, trace.sent_us, trace.taken_us, said);
    }

    fn finished(&self, request: RequestId) {
        self.lock().remove(&request.number);
    }
}

/// A value of a log as the text of an attribute.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_w3c_has_it() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let (context, is_sampled) = Context::parse(text).unwrap();
        assert!(is_sampled);
        assert_eq!(context.trace_hex(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.parent, Some([0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]));
        assert!(!Context::parse(&format!("{}00", &text[..53])).unwrap().1);
        assert!(Context::parse(&format!("cc{}-what-comes-later", &text[2..])).is_some());
        for wrong in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Context::parse(wrong), None, "{wrong}");
        }
    }
}
