//! Two plans compared, in the words of a reviewer.
//!
//! Everything is matched by name: components by theirs, recordings by route and signature, values
//! by theirs, stages and workers by the components that they have. So ids that move are no
//! difference, and neither is the order of steps, which fire as their operands come, nor a `free`,
//! which follows from the readers. The program's name, which is its file's, is none either.

mod facts;
mod placement;
mod recordings;
mod steps;
mod text;

use crate::plan::Plan;

use self::facts::{changed, compared, component_facts};
use self::placement::Paired;

/// What changed from one plan to another. Without entries, the plans are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// What changed, by what it is about; none is empty.
    pub sections: Vec<Section>,
}

/// What changed about one kind of thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The kind of thing, in the plural: `components`.
    pub title: &'static str,
    /// What changed.
    pub entries: Vec<Entry>,
}

/// Things that were added, removed or changed in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What happened.
    pub change: Change,
    /// To which; several if the same happened to them.
    pub names: Vec<String>,
    /// What changed in them.
    pub details: Vec<Detail>,
}

/// What happened to a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Only the later plan has it.
    Added,
    /// Only the earlier plan has it.
    Removed,
    /// Both have it, not alike.
    Changed,
}

/// A fact that changed: at least one of the two is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// What the fact is about: `option max_tokens`.
    pub what: String,
    /// What it was; `None` if there was none.
    pub before: Option<String>,
    /// What it is; `None` if there is none any more.
    pub after: Option<String>,
}

/// What changed from `before` to `after`.
pub fn diff(before: &Plan, after: &Plan) -> Diff {
    let paired = Paired::new(before, after);
    let sections = [
        ("requests in flight", inflight(before, after)),
        ("workers", paired.workers()),
        ("components", components(before, after)),
        ("stages", paired.stages()),
        ("serving", serves(before, after)),
        ("recordings", recordings::recordings(&paired)),
        ("memory", paired.memory()),
    ];
    let sections = sections.into_iter().map(|(title, entries)| Section { title, entries });
    Diff { sections: sections.filter(|section| !section.entries.is_empty()).collect() }
}

impl Diff {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }
}

impl Change {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

fn inflight(before: &Plan, after: &Plan) -> Vec<Entry> {
    let facts = |plan: &Plan| vec![facts::fact("admitted at once", plan.inflight)];
    changed("all requests", compared(facts(before), facts(after))).into_iter().collect()
}

/// How graphs are served; the lines of the plan's text are the facts.
fn serves(before: &Plan, after: &Plan) -> Vec<Entry> {
    let mut graphs: Vec<&str> =
        before.serves.iter().chain(&after.serves).map(|serve| serve.graph.as_str()).collect();
    graphs.sort_unstable();
    graphs.dedup();
    let facts = |plan: &Plan, graph: &str| {
        let serve = plan.serves.iter().find(|serve| serve.graph == graph);
        serve.map_or_else(Vec::new, facts::serve_facts)
    };
    graphs
        .into_iter()
        .filter_map(|graph| changed(graph, compared(facts(before, graph), facts(after, graph))))
        .collect()
}

fn components(before: &Plan, after: &Plan) -> Vec<Entry> {
    let mut entries = Vec::new();
    for component in &after.components {
        let old = before.components.iter().find(|old| old.name == component.name);
        let facts = component_facts(component);
        match old {
            Some(old) => entries.extend(changed(&component.name, compared(component_facts(old), facts))),
            None => entries.push(Entry {
                change: Change::Added,
                names: vec![component.name.clone()],
                details: compared(Vec::new(), facts),
            }),
        }
    }
    for component in &before.components {
        if !after.components.iter().any(|new| new.name == component.name) {
            let names = vec![component.name.clone()];
            entries.push(Entry { change: Change::Removed, names, details: Vec::new() });
        }
    }
    entries
}
