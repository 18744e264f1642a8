//! `corn check`: everything that is wrong with programs and plans.

use corn_compiler::Compilation;

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
                print(&format!("{name}: plan {} can be replayed\n", plan.hash()))?;
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
