//! `corn explain`: the longer text of an error code or of a rule for plans, or where a placed value comes from.

use std::fmt::Write;
use std::path::Path;

use corn_compiler::diagnostic;

use crate::args::{Explain, Placement};
use crate::commands::print;
use crate::failure::Failure;
use crate::program;

pub(crate) fn explain(args: &Explain) -> Result<(), Failure> {
    let Some(what) = &args.what else {
        let mut list = String::new();
        for explained in diagnostic::codes() {
            let _ = writeln!(list, "{}  {}", explained.code.as_str(), explained.title);
        }
        let _ = writeln!(list, "P1 to P10  what must hold of a plan");
        return print(&list);
    };
    let path = Path::new(what);
    // No code has a dot or a slash.
    if args.path.is_some() || what.contains(['.', '/']) {
        return placed(path, args.path.as_deref());
    }
    let code = what.to_uppercase();
    if let Some((rule, text)) = corn_plan::RULES.iter().find(|(rule, _)| *rule == code) {
        return print(&format!("{rule}: what must hold of a plan\n\n{text}.\n"));
    }
    match diagnostic::codes().into_iter().find(|row| row.code.as_str() == code) {
        Some(row) => print(&format!("{code}: {}\n\n{}\n", row.title, row.text.trim_end())),
        None => Err(Failure::Usage(format!("there is no code '{code}'; `corn explain` lists all of them"))),
    }
}

/// Where the value at `path` of a program comes from; without a path, all of them.
fn placed(file: &Path, path: Option<&str>) -> Result<(), Failure> {
    program::refuse_plan(file, "explain")?;
    let compilation = program::compile(file, &Placement { workers: None, inflight: None, processes: false })?;
    program::report(&compilation);
    if compilation.plan.is_none() {
        return Err(Failure::Program);
    }
    match compilation.explain_path(path.unwrap_or_default()) {
        Ok(text) => print(&text),
        Err(near) => {
            let path = path.unwrap_or_default();
            let near = near.join("', '");
            let near = if near.is_empty() { String::new() } else { format!("; did you mean '{near}'?") };
            Err(Failure::Usage(format!("nothing that is placed is called '{path}'{near}")))
        }
    }
}
