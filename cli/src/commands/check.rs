//! `corn check`: everything that is wrong with programs and plans.

use crate::args::{Check, Placement};
use crate::commands::print;
use crate::failure::Failure;
use crate::program::{self, Loaded};

pub(crate) fn check(args: &Check) -> Result<(), Failure> {
    let placement = Placement { workers: None, inflight: 1 };
    let mut problems = Vec::new();
    let mut is_wrong = false;
    for file in &args.files {
        let compilation = match program::load_either(file, &placement) {
            Ok(Loaded::Program(compilation)) => compilation,
            Ok(Loaded::Plan(plan)) => {
                print(&format!("{}: plan {} can be replayed\n", file.display(), plan.hash()))?;
                continue;
            }
            Err(Failure::Program) => {
                is_wrong = true;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        is_wrong |= compilation.plan.is_none();
        if args.json {
            problems
                .extend(corn_compiler::diagnostic::to_json(&compilation.diagnostics, &compilation.sources));
        } else {
            program::report(&compilation);
            if let Some(plan) = &compilation.plan {
                let (routes, components) = (plan.plan().recordings.len(), plan.plan().components.len());
                let (file, s) = (file.display(), |count| if count == 1 { "" } else { "s" });
                print(&format!(
                    "{file}: {routes} recording{} of {components} component{}\n",
                    s(routes),
                    s(components)
                ))?;
            }
        }
    }
    if args.json {
        let json =
            serde_json::to_string_pretty(&problems).map_err(|error| Failure::setup(error.to_string()))?;
        print(&format!("{json}\n"))?;
    }
    if is_wrong { Err(Failure::Program) } else { Ok(()) }
}
