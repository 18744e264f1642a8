//! `corn compile`: a program's plan, or any stage on the way to it, as text.

use std::io::Write;

use corn_compiler::Emit as Stage;

use crate::args::{Compile, Emit};
use crate::failure::Failure;
use crate::program;

pub(crate) fn compile(args: &Compile) -> Result<(), Failure> {
    let compilation = program::compile(&args.file, &args.placement)?;
    program::report(&compilation);
    let stage = match args.emit {
        Emit::Ast => Stage::Ast,
        Emit::Graph => Stage::Graph,
        Emit::Specialized => Stage::Specialized,
        Emit::Placed => Stage::Placed,
        Emit::Plan => Stage::Plan,
    };
    let text = compilation.emit(stage).ok_or(Failure::Program)?;
    match &args.output {
        Some(path) => std::fs::write(path, text)
            .map_err(|error| Failure::setup(format!("'{}' cannot be written: {error}", path.display()))),
        None => print(&text),
    }
}

/// Prints to standard output; a reader that has gone away is not an error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::setup(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}
