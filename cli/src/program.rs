//! From a file to a verified plan: reads `.corn` files and plans, and prints what is wrong.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corn_compiler::source::{SourceFile, Sources};
use corn_compiler::{Compilation, Target};
use corn_plan::{Plan, Verified};

use crate::args::Placement;
use crate::failure::Failure;

/// Most bytes of a program or plan that are read.
const MAX_BYTES: u64 = 64 << 20;

/// The modules that come with the command, by name.
const STDLIB: [(&str, &str); 5] = [
    ("llm", include_str!("../../stdlib/llm.corn")),
    ("reference", include_str!("../../stdlib/reference.corn")),
    ("speech", include_str!("../../stdlib/speech.corn")),
    ("text", include_str!("../../stdlib/text.corn")),
    ("vision", include_str!("../../stdlib/vision.corn")),
];

/// The texts of `use`: the standard library, and files beside the one that asks.
struct Files {
    folder: PathBuf,
}

impl Sources for Files {
    fn module(&self, path: &[&str]) -> Result<SourceFile, String> {
        if let ["std", name] = path {
            let found = STDLIB.iter().find(|(module, _)| module == name);
            let (_, text) = found.ok_or_else(|| format!("the standard library has no module '{name}'"))?;
            return Ok(SourceFile { name: path.join("::"), text: (*text).to_owned() });
        }
        let file = self.folder.join(path.iter().collect::<PathBuf>()).with_extension("corn");
        let text =
            read(&file).map_err(|problem| format!("'{}' cannot be read: {problem}", file.display()))?;
        Ok(SourceFile { name: file.display().to_string(), text })
    }

    fn known(&self) -> Vec<String> {
        let mut known: Vec<String> = STDLIB.iter().map(|(module, _)| format!("std::{module}")).collect();
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let modules = files.filter(|file| file.extension().is_some_and(|extension| extension == "corn"));
        known.extend(modules.filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned())));
        known.sort();
        known
    }
}

/// A program as far as it could be compiled; what is wrong has not been printed yet.
pub(crate) fn compile(file: &Path, placement: &Placement) -> Result<Compilation, Failure> {
    let text = text(file)?;
    let root = SourceFile { name: file.display().to_string(), text };
    let folder = file.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let catalog = corn_executors::catalog();
    Ok(corn_compiler::compile(root, &Files { folder }, &target(placement), &catalog))
}

/// A verified plan, from a `.corn` file or a plan's text. What is wrong is printed.
pub(crate) fn load(file: &Path, placement: &Placement) -> Result<Arc<Verified>, Failure> {
    if is_plan(file)? {
        return load_plan(file).map(Arc::new);
    }
    let compilation = compile(file, placement)?;
    report(&compilation);
    compilation.plan.map(Arc::new).ok_or(Failure::Program)
}

/// A plan's text, parsed and verified; what is wrong is printed.
pub(crate) fn load_plan(file: &Path) -> Result<Verified, Failure> {
    let plan = Plan::parse(&text(file)?).map_err(|error| {
        eprintln!("error: '{}', {error}", file.display());
        Failure::Program
    })?;
    corn_plan::verify(plan).map_err(|violations| {
        eprintln!("error: '{}' is no plan that can be replayed", file.display());
        for violation in violations {
            eprintln!("  {violation}");
        }
        Failure::Program
    })
}

/// Prints the diagnostics of a compilation to standard error.
pub(crate) fn report(compilation: &Compilation) {
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let rendered = compilation.render(color);
    if !rendered.is_empty() {
        eprintln!("{}", rendered.trim_end());
    }
}

/// Whether a file holds a plan, not a program.
pub(crate) fn is_plan(file: &Path) -> Result<bool, Failure> {
    let text = text(file)?;
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(first.is_some_and(|line| line.starts_with("corn plan ")))
}

fn target(placement: &Placement) -> Target {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u32;
    Target {
        workers: placement.workers.unwrap_or(cpus.min(2)),
        cpus,
        memory_bytes: memory_bytes(),
        inflight: placement.inflight,
        host: "local".to_owned(),
        transport: corn_plan::Transport::Pointer,
    }
}

/// Memory of this machine, in bytes; where it is not known, 8 GiB are assumed.
fn memory_bytes() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map_or(8 << 30, |kib| kib << 10)
}

fn text(file: &Path) -> Result<String, Failure> {
    read(file).map_err(|problem| Failure::Usage(format!("'{}' cannot be read: {problem}", file.display())))
}

fn read(file: &Path) -> Result<String, String> {
    let metadata = fs::metadata(file).map_err(|error| error.to_string())?;
    if metadata.is_dir() {
        return Err("it is a folder".to_owned());
    }
    if metadata.len() > MAX_BYTES {
        return Err(format!(
            "it has {} MiB; a program has at most {} MiB",
            metadata.len() >> 20,
            MAX_BYTES >> 20
        ));
    }
    let bytes = fs::read(file).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| {
        format!(
            "it is no UTF-8 text (byte {} is wrong); is it a .corn file?",
            error.utf8_error().valid_up_to()
        )
    })
}
