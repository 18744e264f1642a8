//! `corn check`: everything that is wrong with programs and plans.

use corn_compiler::Compilation;
use corn_plan::Verified;

use crate::args::{Check, Format, Placement};
use crate::commands::{print, say};
use crate::failure::Failure;
use crate::program::{self, Loaded};

pub(crate) fn check(args: &Check) -> Result<(), Failure> {
    let placement = Placement { workers: None, inflight: None, processes: false };
    let is_json = args.format() == Format::Json;
    let mut problems = Vec::new();
    let (mut is_wrong, mut is_unread) = (false, false);
    for file in &args.files {
        let name = file.display();
        let loaded = match program::load_either(file, &placement) {
            Ok(loaded) => loaded,
            Err(failure) if args.files.len() == 1 => return Err(failure),
            Err(failure) => {
                is_unread = true;
                if is_json {
                    problems.push(program::unread(&name.to_string(), &failure.to_string()));
                } else {
                    say(&format!("error: {failure}"));
                }
                continue;
            }
        };
        match loaded {
            Loaded::Plan(plan) if !is_json => {
                print(&held(&name.to_string(), &plan))?;
            }
            Loaded::Plan(_) => {}
            Loaded::WrongPlan(wrong) => {
                is_wrong = true;
                if is_json {
                    problems.extend(wrong.problems());
                } else {
                    wrong.report();
                }
            }
            Loaded::Program(compilation) => {
                let is_unplaced = compilation.lacks_only_a_cluster();
                is_wrong |= compilation.plan.is_none() && !is_unplaced;
                if is_unplaced {
                    if !is_json {
                        print(&unplaced(&name.to_string(), &compilation))?;
                    }
                } else if is_json {
                    problems.extend(program::problems(&compilation));
                } else {
                    program::report(&compilation);
                    print(&summary(&name.to_string(), &compilation))?;
                }
            }
        }
    }
    if is_json {
        print(&format!("{}\n", program::json(&problems)?))?;
    }
    match (is_unread, is_wrong) {
        (true, _) => Err(Failure::Files),
        (false, true) => Err(Failure::Program),
        (false, false) => Ok(()),
    }
}

/// What is said of a plan that holds, and of what in it this engine does not replay.
fn held(file: &str, plan: &Verified) -> String {
    let faults = plan.plan().recordings.iter().filter_map(|recording| corn_core::replayable(recording).err());
    let mut faults: Vec<String> = faults.map(|fault| fault.message).collect();
    faults.dedup();
    if faults.is_empty() {
        return format!("{file}: plan {} can be replayed\n", plan.hash());
    }
    let lines = faults.join("\n  ");
    format!("{file}: plan {} holds, but not all of it can be replayed\n  {lines}\n", plan.hash())
}

/// What there is of a program that is right and has no plan, since it does not say where its GPUs are.
fn unplaced(file: &str, compilation: &Compilation) -> String {
    let recordings = compilation.recordings().map_or(0, |recordings| recordings.len());
    let s = if recordings == 1 { "" } else { "s" };
    format!(
        "{file}: {recordings} recording{s}; it needs GPUs and has no cluster, so it was not placed (corn explain E0922)\n"
    )
}

/// `program.corn: 3 recordings of 5 components`, if it compiles.
fn summary(file: &str, compilation: &Compilation) -> String {
    let Some(plan) = &compilation.plan else { return String::new() };
    let (routes, components) = (plan.plan().recordings.len(), plan.plan().components.len());
    if routes == 0 {
        return format!("{file}: 0 recordings; it has no graph that a request could ask\n");
    }
    let s = |count| if count == 1 { "" } else { "s" };
    format!("{file}: {routes} recording{} of {components} component{}\n", s(routes), s(components))
}
