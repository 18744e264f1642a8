//! `corn compile`: a program's plan, or any stage on the way to it, as text.

use corn_compiler::Emit as Stage;

use crate::args::{Compile, Emit, Format};
use crate::commands::{print, refuse_overwriting, say, write};
use crate::failure::Failure;
use crate::program;

pub(crate) fn compile(args: &Compile) -> Result<(), Failure> {
    program::refuse_plan(&args.file, "compile")?;
    if let Some(output) = &args.output {
        refuse_overwriting(output, &args.file)?;
    }
    let wanted = args.emit.unwrap_or(args.stop_after);
    if wanted > args.stop_after {
        return Err(Failure::Usage(
            "--emit asks for a later stage than --stop-after lets it reach".to_owned(),
        ));
    }
    let compilation = program::compile_until(stage(args.stop_after), &args.file, &args.placement)?;
    match args.format {
        Format::Text => program::report(&compilation),
        Format::Json => say(&program::json(&program::problems(&compilation))?),
    }
    if compilation.has_errors() && wanted > Emit::Graph {
        return Err(Failure::Program);
    }
    let text = if wanted < args.stop_after {
        // Later passes rewrite the graphs; stopping there shows them as they were.
        program::compile_until(stage(wanted), &args.file, &args.placement)?.emit(stage(wanted))
    } else {
        compilation.emit(stage(wanted))
    };
    let text = text.ok_or(Failure::Program)?;
    match &args.output {
        Some(path) => write(path, &text)?,
        None => print(&text)?,
    }
    if compilation.has_errors() { Err(Failure::Program) } else { Ok(()) }
}

const fn stage(emit: Emit) -> Stage {
    match emit {
        Emit::Ast => Stage::Ast,
        Emit::Graph => Stage::Graph,
        Emit::Inlined => Stage::Inlined,
        Emit::Specialized => Stage::Specialized,
        Emit::Simplified => Stage::Simplified,
        Emit::Shared => Stage::Shared,
        Emit::Placed => Stage::Placed,
        Emit::Plan => Stage::Plan,
    }
}
