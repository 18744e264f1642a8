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
use corn_plan::catalog::{Catalog, Entry};
use corn_plan::{Component, WeightsSource};
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
        let (executor, name) = (&component.executor, &component.entry);
        let entry = self.catalog.find(executor, name).ok_or_else(|| {
            Fault::setup(format!("this build of corn has no {executor} {name:?}; was it built without the feature '{executor}'?"))
        })?;
        let files = self.weights(component, progress)?;
        progress.advance(&format!("loading {}", component.name), 0, 0);
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
        match executor.as_str() {
            "reference" => reference::load(component),
            #[cfg(feature = "candle")]
            "candle" => candle::load(entry, files, options, needs.cpus, batch.max, progress),
            #[cfg(feature = "onnx")]
            "onnx" => {
                let library = match onnx::runtime::library_source() {
                    Some(source) => Some(self.fetch(&source, progress)?),
                    None => None,
                };
                onnx::load(entry, files, options, needs.cpus, batch.max, library.as_deref())
            }
            other => Err(Fault::setup(format!("this build of corn has no executor '{other}'"))),
        }
    }
}
