//! `corn models`: the weights in the cache.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use corn_plan::WeightsSource;
use corn_store::{Interrupt, Pins, Store, StoreError, StoreOptions, describe};

use crate::args::{Models, ModelsAction, Placement};
use crate::commands::{print, say};
use crate::failure::Failure;
use crate::program;
use crate::progress::Bars;

pub(crate) fn models(args: &Models) -> Result<(), Failure> {
    match &args.action {
        ModelsAction::List => list(),
        ModelsAction::Prefetch { files, lock } => {
            for file in files {
                prefetch(file, *lock)?;
            }
            Ok(())
        }
        ModelsAction::Verify => verify(),
        ModelsAction::Remove { name, .. } => remove(name.as_deref()),
    }
}

/// The store that a program's weights are kept in, and what stops its fetches.
pub(crate) fn open_store(file: &Path, offline: bool) -> Result<(Arc<Store>, Interrupt), Failure> {
    let mut options = StoreOptions { base_dir: folder_of(file).to_owned(), ..StoreOptions::from_env() };
    options.offline |= offline;
    let interrupt = options.interrupt.clone();
    Ok((Arc::new(Store::open(options).map_err(failed)?), interrupt))
}

/// The pins beside a program.
pub(crate) fn pins(file: &Path) -> Result<Pins, Failure> {
    Pins::read(&folder_of(file).join(Pins::FILE_NAME)).map_err(failed)
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[allow(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
fn failed(error: StoreError) -> Failure {
    Failure::setup(error.to_string())
}

fn list() -> Result<(), Failure> {
    let (store, _) = open_store(Path::new("."), true)?;
    let entries = store.list().map_err(failed)?;
    let mut text = String::new();
    let mut total = 0;
    for entry in &entries {
        total += entry.bytes;
        let _ = writeln!(text, "{:>9}  {}", size(entry.bytes), entry.source);
    }
    let _ = writeln!(text, "{:>9}  in {}", size(total), store.cache_dir().display());
    print(&text)
}

fn prefetch(file: &Path, lock: bool) -> Result<(), Failure> {
    let plan = program::load(file, &Placement { workers: None, inflight: None, processes: false })?;
    let (store, _) = open_store(file, false)?;
    let mut pins = pins(file)?;
    let components = plan.plan().components.iter();
    let sources: BTreeSet<&WeightsSource> =
        components.flat_map(|component| &component.weights).map(|weights| &weights.source).collect();
    let bars = Bars::new(false);
    let mut is_changed = false;
    for source in sources {
        let fetched = store.fetch_checked(&pins.apply(source), &bars).map_err(failed)?;
        is_changed |= lock && pins.note(source, &fetched);
        print(&format!("{:>9}  {}\n", size(fetched.bytes), describe(source)))?;
    }
    bars.clear();
    if is_changed {
        let path = folder_of(file).join(Pins::FILE_NAME);
        pins.write(&path).map_err(failed)?;
        print(&format!("wrote {}\n", path.display()))?;
    }
    Ok(())
}

fn verify() -> Result<(), Failure> {
    let (store, _) = open_store(Path::new("."), true)?;
    let bars = Bars::new(true);
    let mut broken = 0;
    for entry in store.list().map_err(failed)? {
        match store.verify(&entry, &bars) {
            Ok(()) => print(&format!("{:>9}  {}\n", "good", entry.source))?,
            Err(error) => {
                broken += 1;
                print(&format!("{:>9}  {}\n", "BROKEN", entry.source))?;
                say(&format!("error: {error}"));
            }
        }
    }
    if broken == 0 {
        return Ok(());
    }
    Err(Failure::setup(format!(
        "{broken} entries of the cache are broken; they are fetched again when they are used"
    )))
}

fn remove(name: Option<&str>) -> Result<(), Failure> {
    let (store, _) = open_store(Path::new("."), true)?;
    let bars = Bars::new(true);
    let entries = store.list().map_err(failed)?;
    let wanted: Vec<_> =
        entries.iter().filter(|entry| name.is_none_or(|name| entry.source.contains(name))).collect();
    if let (true, Some(name)) = (wanted.is_empty(), name) {
        return Err(Failure::Usage(format!(
            "nothing in the cache has '{name}' in its name; see `corn models list`"
        )));
    }
    let mut freed = 0;
    for entry in wanted {
        freed += store.remove(entry, &bars).map_err(failed)?;
        print(&format!("removed {}\n", entry.source))?;
    }
    freed += store.remove_partial(&bars).map_err(failed)?;
    print(&format!("{} freed\n", size(freed)))
}

fn size(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
