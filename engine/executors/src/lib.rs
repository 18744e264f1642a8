//! What runs models: candle, ONNX Runtime and the exact reference executors.
//!
//! [`catalog`] says what this build can run, for the compiler; [`Executors`] loads it, for the
//! engine.

#[cfg(feature = "candle")]
pub mod candle;
#[cfg(feature = "onnx")]
pub mod onnx;
mod ports;
pub mod reference;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use corn_core::Fault;
use corn_core::executor::{Executor, Loader, Progress};
use corn_plan::catalog::{Catalog, Entry, LiteralKind};
use corn_plan::{Component, Literal, Plan, WeightsSource};
use corn_store::{Pins, Store};

/// Everything that this build can run.
pub fn catalog() -> Catalog {
    let mut entries: Vec<Entry> = reference::ENTRIES.to_vec();
    #[cfg(feature = "candle")]
    entries.extend_from_slice(candle::ENTRIES);
    #[cfg(feature = "onnx")]
    entries.extend_from_slice(onnx::ENTRIES);
    Catalog { entries }
}

/// What of `plan` this build cannot run: unknown entries, and components whose ports, weights or options
/// are not their entry's.
pub fn problems(plan: &Plan) -> Vec<String> {
    let catalog = catalog();
    let problem = |component: &Component| {
        let found = entry_of(&catalog, component).and_then(|entry| fits(entry, component));
        found.err().map(|fault| format!("component '{}': {}", component.name, fault.message))
    };
    plan.components.iter().filter_map(problem).collect()
}

fn entry_of<'a>(catalog: &'a Catalog, component: &Component) -> Result<&'a Entry, Fault> {
    let (executor, name) = (&component.executor, &component.entry);
    catalog.find(executor, name).ok_or_else(|| {
        let known: Vec<&str> =
            catalog.entries.iter().filter(|it| it.executor == executor).map(|it| it.name).collect();
        let known = if known.is_empty() { "nothing of that executor".to_owned() } else { known.join(", ") };
        Fault::setup(format!("this build of corn has no {executor} {name:?}; it has {known}"))
    })
}

/// A component has the weights, options and ports of its entry.
fn fits(entry: &Entry, component: &Component) -> Result<(), Fault> {
    let given: Vec<&str> = component.weights.iter().map(|weights| weights.name.as_str()).collect();
    if entry.weights.iter().any(|name| !given.contains(name)) || given.len() != entry.weights.len() {
        let (given, needed) = (given.join(", "), entry.weights.join(", "));
        return Err(Fault::setup(format!("it has the weights [{given}]; {:?} needs [{needed}]", entry.name)));
    }
    for (name, literal) in &component.options {
        let Some((_, kind)) = entry.options.iter().find(|(known, _)| known == name) else {
            let known: Vec<&str> = entry.options.iter().map(|(known, _)| *known).collect();
            return Err(Fault::setup(format!(
                "{:?} has no option '{name}'; it has {}",
                entry.name,
                known.join(", ")
            )));
        };
        let is_right = match literal {
            Literal::Int(_) => matches!(kind, LiteralKind::Int | LiteralKind::Float),
            Literal::Float(_) => *kind == LiteralKind::Float,
            Literal::Bool(_) => *kind == LiteralKind::Bool,
            Literal::Text(_) => *kind == LiteralKind::Text,
            Literal::Texts(_) => *kind == LiteralKind::Texts,
        };
        if !is_right {
            return Err(Fault::setup(format!("option '{name}' takes another kind of value")));
        }
    }
    ports::check(entry, component)
}

/// Progress of one component's load.
struct Loading<'a> {
    component: &'a str,
    progress: &'a dyn Progress,
}

impl Progress for Loading<'_> {
    fn advance(&self, what: &str, done: u64, total: u64) {
        self.progress.advance(&format!("loading {}: {what}", self.component), done, total);
    }
}

/// Loads components: finds their weights in the store, then hands them to their executor.
pub struct Executors {
    store: Arc<Store>,
    pins: Pins,
    catalog: Catalog,
}

impl Executors {
    /// Executors whose weights `store` finds; `pins` hold the hashes of those that the program
    /// gives none for.
    pub fn new(store: Arc<Store>, pins: Pins) -> Self {
        Self { store, pins, catalog: catalog() }
    }

    /// Paths of a component's weights, by parameter.
    fn weights(
        &self,
        component: &Component,
        progress: &dyn Progress,
    ) -> Result<BTreeMap<String, PathBuf>, Fault> {
        let fetch =
            |weights: &corn_plan::Weights| Ok((weights.name.clone(), self.fetch(&weights.source, progress)?));
        component.weights.iter().map(fetch).collect()
    }

    fn fetch(&self, source: &WeightsSource, progress: &dyn Progress) -> Result<PathBuf, Fault> {
        let fetched = self.store.fetch(&self.pins.apply(source), progress);
        fetched.map_err(|error| Fault::setup(error.to_string()))
    }
}

impl Loader for Executors {
    fn load(&self, component: &Component, progress: &dyn Progress) -> Result<Box<dyn Executor>, Fault> {
        let entry = entry_of(&self.catalog, component)?;
        fits(entry, component)?;
        let files = self.weights(component, progress)?;
        let inner = self.load_entry(component, &files, progress)?;
        ports::by_name(inner, entry, component)
    }
}

impl Executors {
    fn load_entry(
        &self,
        component: &Component,
        files: &BTreeMap<String, PathBuf>,
        progress: &dyn Progress,
    ) -> Result<Box<dyn Executor>, Fault> {
        let Component { executor, entry, options, needs, batch, .. } = component;
        let loading = Loading { component: &component.name, progress };
        match executor.as_str() {
            "reference" => reference::load(component),
            #[cfg(feature = "candle")]
            "candle" => candle::load(entry, files, options, needs.cpus, batch.max, &loading),
            #[cfg(feature = "onnx")]
            "onnx" => {
                let library = match onnx::runtime::library_source() {
                    Some(source) => Some(self.fetch(&source, progress)?),
                    None => None,
                };
                loading.advance("its network", 0, 0);
                onnx::load(entry, files, options, needs.cpus, batch.max, library.as_deref())
            }
            other => Err(Fault::setup(format!("this build of corn has no executor '{other}'"))),
        }
    }
}
