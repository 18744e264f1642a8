//! `corn compile`: a program's plan, or any stage on the way to it, as text.

use corn_compiler::Emit as Stage;

use crate::args::{Compile, Emit};
use crate::commands::print;
use crate::failure::Failure;
use crate::program;

pub(crate) fn compile(args: &Compile) -> Result<(), Failure> {
    program::refuse_plan(&args.file, "compile")?;
    if let Some(output) = &args.output
        && output.canonicalize().ok().is_some_and(|output| Some(output) == args.file.canonicalize().ok())
    {
        return Err(Failure::Usage(format!(
            "'{}' is the program itself; write the plan to another file",
            output.display()
        )));
    }
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
