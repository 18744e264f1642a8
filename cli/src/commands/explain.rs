//! `corn explain`: the longer text of an error code.

use std::fmt::Write;

use corn_compiler::diagnostic;

use crate::args::Explain;
use crate::commands::print;
use crate::failure::Failure;

pub(crate) fn explain(args: &Explain) -> Result<(), Failure> {
    let Some(code) = &args.code else {
        let mut list = String::new();
        for explained in diagnostic::codes() {
            let _ = writeln!(list, "{}  {}", explained.code.as_str(), explained.title);
        }
        return print(&list);
    };
    let code = code.to_uppercase();
    match diagnostic::codes().into_iter().find(|row| row.code.as_str() == code) {
        Some(row) => print(&format!("{code}: {}\n\n{}\n", row.title, row.text.trim_end())),
        None => Err(Failure::Usage(format!("there is no code '{code}'; `corn explain` lists all of them"))),
    }
}
