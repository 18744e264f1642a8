//! From a file to a verified plan: reads `.corn` files and plans, and prints what is wrong.

use std::fs;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corn_compiler::diagnostic::{Diagnostic, render};
use corn_compiler::source::{SourceFile, SourceMap, Sources};
use corn_compiler::{Compilation, Emit, Target};
use corn_plan::{Plan, Transport, Verified, Violation};

use crate::args::Placement;
use crate::commands::say;
use crate::failure::Failure;

/// Most bytes of a program or plan that are read.
const MAX_BYTES: u64 = 64 << 20;

/// The modules that come with the command, by name: `llm`, `models::whisper`.
pub(crate) const STDLIB: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/stdlib.rs"));

/// The texts of `use`: the standard library, and files beside the one that asks.
struct Files {
    folder: PathBuf,
}

impl Sources for Files {
    fn module(&self, path: &[&str]) -> Result<SourceFile, String> {
        if let ["std", name @ ..] = path {
            let name = name.join("::");
            let found = STDLIB.iter().find(|(module, _)| *module == name);
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
    compile_until(Emit::Plan, file, placement)
}

/// The same, not further than a stage.
pub(crate) fn compile_until(last: Emit, file: &Path, placement: &Placement) -> Result<Compilation, Failure> {
    Ok(compile_text(last, file, text(file)?, placement))
}

fn compile_text(last: Emit, file: &Path, text: String, placement: &Placement) -> Compilation {
    let root = SourceFile { name: file.display().to_string(), text };
    let folder = file.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let catalog = corn_executors::catalog();
    corn_compiler::compile_until(last, root, &Files { folder }, &target(placement), &catalog)
}

/// A verified plan, from a `.corn` file or a plan's text. What is wrong is printed.
pub(crate) fn load(file: &Path, placement: &Placement) -> Result<Arc<Verified>, Failure> {
    let text = text(file)?;
    if is_plan(&text) {
        return load_plan(file, &text).map(Arc::new).map_err(|wrong| {
            wrong.report();
            Failure::Program
        });
    }
    let compilation = compile_text(Emit::Plan, file, text, placement);
    report(&compilation);
    compilation.plan.map(Arc::new).ok_or(Failure::Program)
}

/// Refuses a plan with executors that this build does not have; each is named.
pub(crate) fn refuse_foreign(plan: &Plan) -> Result<(), Failure> {
    let problems = corn_executors::cannot_run(plan);
    if problems.is_empty() {
        return Ok(());
    }
    say("error: this plan compiles, but this build of corn cannot run it");
    for problem in problems {
        say(&format!("  {problem}"));
    }
    Err(Failure::Program)
}

/// What a file is, read once.
pub(crate) enum Loaded {
    Program(Box<Compilation>),
    Plan(Verified),
    WrongPlan(WrongPlan),
}

/// A program, compiled as far as it could be, or a plan, verified. What is wrong has not been printed yet.
pub(crate) fn load_either(file: &Path, placement: &Placement) -> Result<Loaded, Failure> {
    let text = text(file)?;
    if is_plan(&text) {
        return Ok(load_plan(file, &text).map_or_else(Loaded::WrongPlan, Loaded::Plan));
    }
    Ok(Loaded::Program(Box::new(compile_text(Emit::Plan, file, text, placement))))
}

/// The same, where a plan is only read: it may name executors that this build does not have.
pub(crate) fn load_to_read(file: &Path, placement: &Placement) -> Result<Loaded, Failure> {
    let text = text(file)?;
    if is_plan(&text) {
        let plan = parse(file, &text).and_then(|plan| verify(file, plan));
        return Ok(plan.map_or_else(Loaded::WrongPlan, Loaded::Plan));
    }
    Ok(Loaded::Program(Box::new(compile_text(Emit::Plan, file, text, placement))))
}

/// What is wrong with a plan's text.
pub(crate) struct WrongPlan {
    file: String,
    /// What is wrong as a whole, about the file.
    summary: &'static str,
    /// The broken rule, where it is one of those of docs/PLAN.md; the line, where it is known; and
    /// what is wrong.
    problems: Vec<(Option<&'static str>, Option<usize>, String)>,
}

impl WrongPlan {
    /// Prints it to standard error.
    pub(crate) fn report(&self) {
        say(&format!("error: '{}' {}", self.file, self.summary));
        for (rule, line, message) in &self.problems {
            let rule = rule.map_or(String::new(), |rule| format!("{rule}: "));
            let line = line.map_or(String::new(), |line| format!("line {line}: "));
            say(&format!("  {rule}{line}{message}"));
        }
    }

    /// The problems in the form of a program's.
    pub(crate) fn problems(&self) -> Vec<serde_json::Value> {
        let problem = |(rule, line, message): &(Option<&str>, Option<usize>, String)| {
            serde_json::json!({
                "code": rule, "severity": "error", "message": message, "file": self.file, "line": line,
                "column": null, "end_line": null, "end_column": null,
                "notes": [], "hint": null, "labels": [],
            })
        };
        self.problems.iter().map(problem).collect()
    }
}

/// A plan's text, parsed, held against what this build runs, and verified.
fn load_plan(file: &Path, text: &str) -> Result<Verified, WrongPlan> {
    let plan = parse(file, text)?;
    let problems = corn_executors::problems(&plan);
    if !problems.is_empty() {
        let problems = problems.into_iter().map(|problem| (None, None, problem)).collect();
        let file = file.display().to_string();
        return Err(WrongPlan { file, summary: "names what this build of corn cannot run", problems });
    }
    verify(file, plan)
}

fn parse(file: &Path, text: &str) -> Result<Plan, WrongPlan> {
    Plan::parse(text).map_err(|error| WrongPlan {
        file: file.display().to_string(),
        summary: "cannot be read as a plan",
        problems: vec![(None, Some(error.line), error.message)],
    })
}

fn verify(file: &Path, plan: Plan) -> Result<Verified, WrongPlan> {
    corn_plan::verify(plan).map_err(|violations| {
        let problem = |violation: Violation| (Some(violation.rule), None, violation.message);
        WrongPlan {
            file: file.display().to_string(),
            summary: "is no plan that can be replayed",
            problems: violations.into_iter().map(problem).collect(),
        }
    })
}

/// Prints the diagnostics of a compilation to standard error.
pub(crate) fn report(compilation: &Compilation) {
    report_all(&compilation.diagnostics, &compilation.sources);
}

/// Prints diagnostics to standard error.
pub(crate) fn report_all(diagnostics: &[Diagnostic], sources: &SourceMap) {
    let rendered = render(diagnostics, sources, is_coloured());
    if !rendered.is_empty() {
        say(rendered.trim_end());
    }
}

/// Whether standard error takes colours: a terminal that can, and a person who wants them. An empty
/// `NO_COLOR` says nothing (<https://no-color.org>).
fn is_coloured() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    std::io::stderr().is_terminal()
        && set("NO_COLOR").is_none()
        && set("TERM").is_none_or(|term| term != "dumb")
}

/// The diagnostics of a compilation for tools.
pub(crate) fn problems(compilation: &Compilation) -> Vec<serde_json::Value> {
    let problems = corn_compiler::diagnostic::to_json(&compilation.diagnostics, &compilation.sources);
    problems.into_iter().map(|problem| serde_json::json!(problem)).collect()
}

/// That a file cannot be used, in the form of a program's problems.
pub(crate) fn unread(file: &str, message: &str) -> serde_json::Value {
    serde_json::json!({
        "code": null, "severity": "error", "message": message, "file": file, "line": null,
        "column": null, "end_line": null, "end_column": null,
        "notes": [], "hint": null, "labels": [],
    })
}

/// Problems as a JSON array.
pub(crate) fn json(problems: &[serde_json::Value]) -> Result<String, Failure> {
    serde_json::to_string_pretty(problems).map_err(|error| Failure::setup(error.to_string()))
}

/// Whether a text is a plan rather than a program.
pub(crate) fn is_plan(text: &str) -> bool {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    first.is_some_and(|line| line.starts_with("corn plan "))
}

/// Refuses a plan where only a program will do.
pub(crate) fn refuse_plan(file: &Path, command: &str) -> Result<(), Failure> {
    if is_plan(&text(file)?) {
        let file = file.display();
        let message = format!(
            "'{file}' is a plan already; `corn {command}` takes a program. `corn run` and `corn check` take plans"
        );
        return Err(Failure::Usage(message));
    }
    Ok(())
}

pub(crate) fn target(placement: &Placement) -> Target {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u32;
    let workers = placement.workers.unwrap_or(cpus.min(2));
    // Workers share this machine's memory; whole GiB, so that like machines compile alike.
    let share = (memory_bytes() / u64::from(workers)) >> 30;
    Target {
        workers,
        cpus,
        memory_bytes: share.max(1) << 30,
        inflight: placement.inflight.unwrap_or(1),
        host: "local".to_owned(),
        transport: if placement.processes { Transport::SharedMemory } else { Transport::Pointer },
    }
}

/// Memory of this machine, in bytes; where it is not known, 8 GiB are assumed.
fn memory_bytes() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map_or(8 << 30, |kib| kib << 10)
}

/// The text of a file.
pub(crate) fn text(file: &Path) -> Result<String, Failure> {
    read(file).map_err(|problem| Failure::Usage(format!("'{}' cannot be read: {problem}", file.display())))
}

fn read(file: &Path) -> Result<String, String> {
    let opened = fs::File::open(file).map_err(|error| error.to_string())?;
    if opened.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err("it is a folder".to_owned());
    }
    utf8(opened)
}

/// The text that can be read from `reader`.
pub(crate) fn utf8(reader: impl Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    reader.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it has more than {} MiB; is it a .corn file?", MAX_BYTES >> 20));
    }
    String::from_utf8(bytes).map_err(|error| {
        format!(
            "it is no UTF-8 text (byte {} is wrong); is it a .corn file?",
            error.utf8_error().valid_up_to()
        )
    })
}
