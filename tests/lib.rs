//! What the tests of several crates share: programs compiled for a fixed machine, and engines that
//! replay them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use corn_compiler::source::{SourceFile, Sources};
use corn_compiler::{Compilation, Target};
use corn_core::executor::NoProgress;
use corn_engine::{Engine, NoObserver, Observer};
use corn_executors::Executors;
use corn_plan::{RecordingId, Verified};
use corn_store::{Pins, Store, StoreOptions};

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The standard library, read from its folder.
struct Stdlib;

impl Sources for Stdlib {
    fn module(&self, path: &[&str]) -> Result<SourceFile, String> {
        let ["std", names @ ..] = path else { return Err("only std is here".to_owned()) };
        let file = names.iter().fold(root().join("stdlib"), |folder, name| folder.join(name));
        let file = file.with_extension("corn");
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
        Ok(SourceFile { name: path.join("::"), text })
    }

    fn known(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Compiles a program for a machine that is the same everywhere.
pub fn compile(name: &str, text: &str) -> Compilation {
    let root = SourceFile { name: name.to_owned(), text: text.to_owned() };
    let target = Target {
        workers: 2,
        cpus: 4,
        memory_bytes: 16 << 30,
        inflight: 2,
        host: "local".to_owned(),
        transport: corn_plan::Transport::Pointer,
    };
    corn_compiler::compile(root, &Stdlib, &target, &corn_executors::catalog())
}

/// The verified plan of a program; what is wrong with it fails the test.
pub fn plan(name: &str, text: &str) -> Arc<Verified> {
    let compilation = compile(name, text);
    let problems = compilation.render(false);
    Arc::new(compilation.plan.unwrap_or_else(|| panic!("{problems}")))
}

/// Loads components that need no weights.
pub fn executors() -> Arc<Executors> {
    let folder = std::env::temp_dir().join("corn-tests-store");
    let options = StoreOptions { cache_dir: Some(folder), offline: true, ..StoreOptions::default() };
    let store = Store::open(options).unwrap_or_else(|error| panic!("{error}"));
    Arc::new(Executors::new(Arc::new(store), Pins::default()))
}

/// An engine that serves every recording of `plan`, which must need no weights.
pub async fn engine(plan: &Arc<Verified>) -> Engine {
    engine_seen_by(plan, Arc::new(NoObserver)).await
}

/// The same, of which `observer` is told.
pub async fn engine_seen_by(plan: &Arc<Verified>, observer: Arc<dyn Observer>) -> Engine {
    let recordings: Vec<RecordingId> = plan.plan().recordings.ids().collect();
    let started = Engine::start(Arc::clone(plan), &recordings, executors(), Arc::new(NoProgress), observer);
    started.await.unwrap_or_else(|fault| panic!("{fault}"))
}
