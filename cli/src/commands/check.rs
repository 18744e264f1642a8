//! `corn check`: everything that is wrong with programs and plans.

use crate::args::{Check, Placement};
use crate::failure::Failure;
use crate::program;

pub(crate) fn check(args: &Check) -> Result<(), Failure> {
    let placement = Placement { workers: None, inflight: 1 };
    let mut problems = Vec::new();
    let mut is_wrong = false;
    for file in &args.files {
        if program::is_plan(file)? {
            match program::load_plan(file) {
                Ok(plan) => println!("{}: plan {} can be replayed", file.display(), plan.hash()),
                Err(_) => is_wrong = true,
            }
            continue;
        }
        let compilation = program::compile(file, &placement)?;
        is_wrong |= compilation.plan.is_none();
        if args.json {
            problems
                .extend(corn_compiler::diagnostic::to_json(&compilation.diagnostics, &compilation.sources));
        } else {
            program::report(&compilation);
            if let Some(plan) = &compilation.plan {
                let (routes, components) = (plan.plan().recordings.len(), plan.plan().components.len());
                println!("{}: {routes} recordings of {components} components", file.display());
            }
        }
    }
    if args.json {
        let json =
            serde_json::to_string_pretty(&problems).map_err(|error| Failure::setup(error.to_string()))?;
        println!("{json}");
    }
    if is_wrong { Err(Failure::Program) } else { Ok(()) }
}
