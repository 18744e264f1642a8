//! `corn check`: everything that is wrong with programs and plans.

use corn_plan::Plan;

use crate::args::{Check, Placement};
use crate::failure::Failure;
use crate::program;

pub(crate) fn check(args: &Check) -> Result<(), Failure> {
    let placement = Placement { workers: None, inflight: 1 };
    let mut problems = Vec::new();
    let mut is_wrong = false;
    for file in &args.files {
        if program::is_plan(file)? {
            let text = std::fs::read_to_string(file).map_err(|error| Failure::Usage(error.to_string()))?;
            match Plan::parse(&text) {
                Ok(plan) => is_wrong |= program::verify(plan, file).is_err(),
                Err(error) => {
                    eprintln!("error: '{}', {error}", file.display());
                    is_wrong = true;
                }
            }
            continue;
        }
        let compilation = program::compile(file, &placement)?;
        is_wrong |= compilation.plan.is_none();
        if args.json {
            problems.extend(corn_compiler::diagnostic::to_json(&compilation.diagnostics, &compilation.sources));
        } else {
            program::report(&compilation);
            if let Some(plan) = &compilation.plan {
                let (routes, components) = (plan.recordings.len(), plan.components.len());
                println!("{}: {routes} recordings of {components} components", file.display());
            }
        }
    }
    if args.json {
        let json = serde_json::to_string_pretty(&problems).map_err(|error| Failure::setup(error.to_string()))?;
        println!("{json}");
    }
    if is_wrong { Err(Failure::Program) } else { Ok(()) }
}
