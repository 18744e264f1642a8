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

use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use corn_core::Fault;
use corn_core::executor::{Device, Executor, Loader, Progress};
use corn_device::Gpu;
use corn_plan::catalog::{Catalog, Entry, open};
use corn_plan::{Component, ComponentId, Plan, WeightsSource};
use corn_store::{Pins, Store};

/// Everything that a program may name: what this build runs, and the open entries, which compile everywhere.
pub fn catalog() -> Catalog {
    let mut entries: Vec<Entry> = reference::ENTRIES.to_vec();
    entries.extend_from_slice(open::ENTRIES);
    #[cfg(feature = "candle")]
    entries.extend_from_slice(candle::ENTRIES);
    #[cfg(feature = "onnx")]
    entries.extend_from_slice(onnx::ENTRIES);
    Catalog { entries }
}

/// What of `plan` is not in the catalog: unknown entries, and components whose ports, weights or options
/// are not their entry's.
pub fn problems(plan: &Plan) -> Vec<String> {
    let catalog = catalog();
    let problem = |component: &Component| {
        let found = entry_of(&catalog, component).and_then(|entry| fits(entry, component));
        found.err().map(|fault| format!("component '{}': {}", component.name, fault.message))
    };
    plan.components.iter().filter_map(problem).collect()
}

/// The executors that are compiled into this build.
const RUNNING: &[&str] = &[
    "reference",
    #[cfg(feature = "candle")]
    "candle",
    #[cfg(feature = "onnx")]
    "onnx",
];

/// What of `plan` compiles and cannot run here: components of executors that this build does not have, and those
/// that need a GPU and that this build runs on the CPU only, or on one GPU.
pub fn cannot_run(plan: &Plan) -> Vec<String> {
    let problem = |(id, component): (ComponentId, &Component)| {
        let Component { name, executor, entry, needs, .. } = component;
        if !RUNNING.contains(&executor.as_str()) {
            return Some(format!("component '{name}': {}", not_running(executor, entry)));
        }
        let on_gpus = plan.stages.iter().find(|stage| stage.components.contains(&id))?.tensor_parallel;
        match needs.gpus {
            0 => None,
            _ if !on_gpu(executor).contains(&entry.as_str()) => Some(format!(
                "component '{name}': it needs a GPU, and this build of corn runs {executor} {entry:?} on the CPU only"
            )),
            _ if on_gpus > 1 => Some(format!(
                "component '{name}': it is spread over {on_gpus} GPUs, and {executor} {entry:?} runs on one"
            )),
            _ => None,
        }
    };
    plan.components.enumerate().filter_map(problem).collect()
}

/// The entries of an executor that run on a GPU.
fn on_gpu(executor: &str) -> &'static [&'static str] {
    match executor {
        "reference" => &reference::gpu::ENTRIES,
        #[cfg(feature = "candle")]
        "candle" => &candle::ON_GPU,
        _ => &[],
    }
}

/// The GPU that a component works on; `None` if it needs none.
fn gpu_of(component: &Component, device: Option<Arc<dyn Device>>) -> Result<Option<Arc<Gpu>>, Fault> {
    if component.needs.gpus == 0 {
        return Ok(None);
    }
    let device = device.map(|device| -> Arc<dyn Any + Send + Sync> { device });
    let gpu = device.and_then(|device| device.downcast().ok());
    gpu.map(Some).ok_or_else(|| Fault::setup("it needs a GPU, and has none here"))
}

fn not_running(executor: &str, entry: &str) -> String {
    format!("this build of corn cannot run {executor} {entry:?}; it runs {}", RUNNING.join(", "))
}

fn entry_of<'a>(catalog: &'a Catalog, component: &Component) -> Result<&'a Entry, Fault> {
    let (executor, name) = (&component.executor, &component.entry);
    catalog.find(executor, name).ok_or_else(|| {
        let known: Vec<&str> = catalog.of(executor).map(|entry| entry.name).collect();
        let known = if known.is_empty() { "nothing of that executor".to_owned() } else { known.join(", ") };
        Fault::setup(format!("this build of corn has no {executor} {name:?}; it has {known}"))
    })
}

/// A component has the weights, options and ports of its entry.
fn fits(entry: &Entry, component: &Component) -> Result<(), Fault> {
    let given: Vec<&str> = component.weights.iter().map(|weights| weights.name.as_str()).collect();
    let is_short = entry.weights.iter().any(|name| !given.contains(name));
    if is_short || !entry.open.weights && given.len() != entry.weights.len() {
        let (given, needed) = (given.join(", "), entry.weights.join(", "));
        return Err(Fault::setup(format!("it has the weights [{given}]; {:?} needs [{needed}]", entry.name)));
    }
    for (name, literal) in &component.options {
        let Some(option) = entry.option(name) else {
            if entry.open.options {
                continue;
            }
            let known: Vec<&str> = entry.options.iter().map(|option| option.name).collect();
            return Err(Fault::setup(format!(
                "{:?} has no option '{name}'; it has {}",
                entry.name,
                known.join(", ")
            )));
        };
        if !option.domain.takes(literal) {
            return Err(Fault::setup(format!("option '{name}' takes {}", option.domain)));
        }
    }
    let required = entry.options.iter().filter(|option| option.required);
    if let Some(missing) = required.into_iter().find(|option| !component.options.contains_key(option.name)) {
        return Err(Fault::setup(format!("{:?} needs the option '{}'", entry.name, missing.name)));
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
    fn load(
        &self,
        component: &Component,
        device: Option<Arc<dyn Device>>,
        progress: &dyn Progress,
    ) -> Result<Box<dyn Executor>, Fault> {
        let entry = entry_of(&self.catalog, component)?;
        fits(entry, component)?;
        let gpu = gpu_of(component, device)?;
        let files = self.weights(component, progress)?;
        let inner = self.load_entry(component, &files, gpu, progress)?;
        ports::by_name(inner, entry, component)
    }
}

impl Executors {
    #[cfg_attr(
        not(any(feature = "candle", feature = "onnx")),
        allow(
            unused_variables,
            clippy::unused_self,
            reason = "the reference executors need no files and little else"
        )
    )]
    fn load_entry(
        &self,
        component: &Component,
        files: &BTreeMap<String, PathBuf>,
        gpu: Option<Arc<Gpu>>,
        progress: &dyn Progress,
    ) -> Result<Box<dyn Executor>, Fault> {
        let Component { executor, entry, options, needs, batch, .. } = component;
        let loading = Loading { component: &component.name, progress };
        match executor.as_str() {
            "reference" => reference::load(component, gpu),
            #[cfg(feature = "candle")]
            "candle" => {
                let gpu = gpu.map(|gpu| candle::OnGpu { gpu, memory_bytes: needs.memory_bytes });
                let place = candle::Place { cpus: needs.cpus, batch: *batch, gpu };
                candle::load(entry, files, options, &place, &loading)
            }
            #[cfg(feature = "onnx")]
            "onnx" => {
                let library = match onnx::runtime::library_source() {
                    Some(source) => Some(self.fetch(&source, progress)?),
                    None => None,
                };
                loading.advance("its network", 0, 0);
                onnx::load(entry, files, options, needs.cpus, batch.max, library.as_deref())
            }
            other => Err(Fault::setup(not_running(other, entry))),
        }
    }
}
