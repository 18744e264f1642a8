//! `corn diff`: what changed from one plan or program to another.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args as ClapArgs;
use corn_plan::Plan;
use corn_plan::diff::{Diff, diff as compare};

use crate::args::Placement;
use crate::commands::print;
use crate::failure::Failure;
use crate::program::{self, Loaded};

/// What the command takes.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Programs are compiled, for this machine and with the settings given here. Things are matched by name, so other
numbers for the same things are no difference.

Exit codes:
  0 no difference   1 they differ   2 one of them cannot be read, does not compile, or is no plan

Examples:
  corn diff live.plan assistant.corn
  corn diff old.plan new.plan --json")]
pub(crate) struct Args {
    /// The earlier one: a plan, or a `.corn` file.
    before: PathBuf,
    /// The later one.
    after: PathBuf,
    /// Print what changed as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    placement: Placement,
}

pub(crate) fn diff(args: &Args) -> Result<ExitCode, Failure> {
    let (before, after) = (plan(&args.before, &args.placement)?, plan(&args.after, &args.placement)?);
    let found = compare(&before, &after);
    if args.json {
        let json = serde_json::to_string_pretty(&json(&found));
        print(&format!("{}\n", json.map_err(|error| Failure::setup(error.to_string()))?))?;
    } else {
        let space = if found.is_empty() { "" } else { "\n" };
        print(&format!("{}\n{space}{found}", found.summary()))?;
    }
    Ok(ExitCode::from(u8::from(!found.is_empty())))
}

/// A plan, or that of a program. That there is none is printed, and is not to be taken for a
/// difference.
fn plan(file: &Path, placement: &Placement) -> Result<Plan, Failure> {
    let none = || Failure::Usage(format!("'{}' cannot be compared: there is no plan of it", file.display()));
    match program::load_to_read(file, placement)? {
        Loaded::Plan(plan) => Ok(plan.plan().clone()),
        Loaded::WrongPlan(wrong) => {
            wrong.report();
            Err(none())
        }
        Loaded::Program(compilation) => {
            program::report(&compilation);
            compilation.plan.map(|plan| plan.plan().clone()).ok_or_else(none)
        }
    }
}

fn json(found: &Diff) -> serde_json::Value {
    let sections = found.sections.iter().map(|section| {
        let entries = section.entries.iter().map(|entry| {
            let details = entry.details.iter().map(|detail| {
                serde_json::json!({ "what": detail.what, "before": detail.before, "after": detail.after })
            });
            serde_json::json!({
                "change": entry.change.word(),
                "names": entry.names,
                "details": details.collect::<Vec<_>>(),
            })
        });
        serde_json::json!({ "about": section.title, "changes": entries.collect::<Vec<_>>() })
    });
    serde_json::json!({
        "equal": found.is_empty(),
        "summary": found.summary(),
        "sections": sections.collect::<Vec<_>>(),
    })
}
