//! `corn explain`: the longer text of an error code, or where a placed value comes from.

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
        return print(&list);
    };
    let path = Path::new(what);
    if args.path.is_some() || path.extension().is_some_and(|extension| extension == "corn") {
        return placed(path, args.path.as_deref());
    }
    let code = what.to_uppercase();
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
