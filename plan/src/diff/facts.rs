//! Facts about a thing, and which of them differ.
//!
//! Whoever lists the facts of a thing takes it apart field by field, so that a field that a later
//! version adds cannot be forgotten here.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::{Change, Detail, Entry};
use crate::plan::{Component, Endpoint, Limits, Needs, Port, Serve};
use crate::text::source;
use crate::types::{Bytes, Millis};

/// A fact: what it is about, what it is, and how it reads where that differs.
pub(super) struct Fact {
    pub(super) what: String,
    /// What is compared.
    pub(super) key: String,
    /// What is shown.
    pub(super) text: String,
}

pub(super) fn fact(what: impl Into<String>, is: impl Display) -> Fact {
    let text = is.to_string();
    Fact { what: what.into(), key: text.clone(), text }
}

/// The facts of `before` and `after` that differ, in the order of `after`, then those that are gone.
/// Facts about the same are told apart by their order.
pub(super) fn compared(before: Vec<Fact>, after: Vec<Fact>) -> Vec<Detail> {
    let (before, after) = (numbered(before), numbered(after));
    let mut old: BTreeMap<&str, &Fact> = before.iter().map(|fact| (fact.what.as_str(), fact)).collect();
    let mut details = Vec::new();
    for fact in &after {
        let was = old.remove(fact.what.as_str());
        if was.is_none_or(|was| was.key != fact.key) {
            details.push(Detail {
                what: fact.what.clone(),
                before: was.map(|was| was.text.clone()),
                after: Some(fact.text.clone()),
            });
        }
    }
    let gone = before.iter().filter(|fact| old.contains_key(fact.what.as_str()));
    details.extend(gone.map(|fact| Detail {
        what: fact.what.clone(),
        before: Some(fact.text.clone()),
        after: None,
    }));
    details
}

/// The facts with `(2)`, `(3)`, … after what is named again.
fn numbered(mut facts: Vec<Fact>) -> Vec<Fact> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for fact in &mut facts {
        let count = seen.entry(fact.what.clone()).or_insert(0);
        *count += 1;
        if *count > 1 {
            fact.what = format!("{} ({count})", fact.what);
        }
    }
    facts
}

/// A changed thing, if it did change.
pub(super) fn changed(name: &str, details: Vec<Detail>) -> Option<Entry> {
    (!details.is_empty()).then(|| Entry { change: Change::Changed, names: vec![name.to_owned()], details })
}

pub(super) fn component_facts(component: &Component) -> Vec<Fact> {
    let Component {
        name: _,
        kind,
        executor,
        entry,
        weights,
        options,
        inputs,
        outputs,
        remembers,
        needs,
        batch,
    } = component;
    let mut facts = vec![fact("kind", kind), fact("run", format!("{executor} {entry:?}"))];
    facts.extend(
        weights.iter().map(|weights| fact(format!("weights {}", weights.name), source(&weights.source))),
    );
    facts.extend(options.iter().map(|(name, value)| fact(format!("option {name}"), value)));
    for (word, ports) in [("in", inputs), ("out", outputs)] {
        facts.extend(ports.iter().map(|Port { name, ty, optional }| {
            let may = if *optional { ", may be left out" } else { "" };
            fact(format!("{word} {name}"), format!("{ty}{may}"))
        }));
    }
    facts.extend((!remembers.is_empty()).then(|| fact("remembers", remembers.join(", "))));
    let Needs { cpus, gpus, memory_bytes } = needs;
    facts.push(fact("needs cpu", cpus));
    facts.extend((*gpus > 0).then(|| fact("needs gpu", gpus)));
    facts.push(fact("needs memory", Bytes(*memory_bytes)));
    facts.push(fact("batch", batch.max));
    facts.push(fact("batch within", Millis(batch.within_ms)));
    facts
}

/// What a graph is served by: its endpoints, and each limit.
pub(super) fn serve_facts(serve: &Serve) -> Vec<Fact> {
    let mut facts: Vec<Fact> = serve
        .endpoints
        .iter()
        .map(|endpoint| match endpoint {
            Endpoint::Openai { path, with, route } if with.is_empty() => {
                fact(format!("openai {path}"), route)
            }
            Endpoint::Openai { path, with, route } => {
                fact(format!("openai {path}[{}]", with.join(", ")), route)
            }
            Endpoint::Grpc => fact("grpc", "every route"),
            Endpoint::Kserve => fact("kserve", "every route"),
        })
        .collect();
    let Limits { body_bytes, images, audio_ms, inflight } = serve.limits;
    facts.extend(body_bytes.map(|most| fact("limit body", Bytes(most))));
    facts.extend(images.map(|most| fact("limit images", most)));
    facts.extend(audio_ms.map(|most| fact("limit audio", Millis(most))));
    facts.extend(inflight.map(|most| fact("limit inflight", most)));
    facts.extend(serve.deadline_ms.map(|after| fact("deadline", Millis(after))));
    facts
}
