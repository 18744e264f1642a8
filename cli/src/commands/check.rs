//! `corn check`: everything that is wrong with programs and plans.

use corn_compiler::Compilation;

use crate::args::{Check, Format, Placement};
use crate::commands::print;
use crate::failure::Failure;
use crate::program::{self, Loaded};

pub(crate) fn check(args: &Check) -> Result<(), Failure> {
    let placement = Placement { workers: None, inflight: 1 };
    let is_json = args.format() == Format::Json;
    let mut problems = Vec::new();
    let mut is_wrong = false;
    for file in &args.files {
        let name = file.display();
        match program::load_either(file, &placement)? {
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
                is_wrong |= compilation.plan.is_none();
                if is_json {
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
    if is_wrong { Err(Failure::Program) } else { Ok(()) }
}

/// `program.corn: 3 recordings of 5 components`, if it compiles.
fn summary(file: &str, compilation: &Compilation) -> String {
    let Some(plan) = &compilation.plan else { return String::new() };
    let (routes, components) = (plan.plan().recordings.len(), plan.plan().components.len());
    let s = |count| if count == 1 { "" } else { "s" };
    format!("{file}: {routes} recording{} of {components} component{}\n", s(routes), s(components))
}
