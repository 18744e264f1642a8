//! `corn graph`: what a program does on each route, drawn.

use crate::args::{Drawing, Graph, Placement};
use crate::commands::compile::print;
use crate::failure::Failure;
use crate::program;

pub(crate) fn graph(args: &Graph) -> Result<(), Failure> {
    let compilation = program::compile(&args.file, &Placement { workers: None, inflight: 1 })?;
    program::report(&compilation);
    let drawings = compilation.drawings(args.format == Drawing::Mermaid).ok_or(Failure::Program)?;
    let wanted: Vec<_> = drawings
        .iter()
        .filter(|(route, _)| args.route.as_ref().is_none_or(|wanted| wanted == route))
        .collect();
    if wanted.is_empty() {
        let mut routes: Vec<&str> = drawings.iter().map(|(route, _)| *route).collect();
        routes.dedup();
        let (wanted, routes) = (args.route.as_deref().unwrap_or_default(), routes.join(", "));
        return Err(Failure::Usage(format!("there is no route '{wanted}'; there is {routes}")));
    }
    let text: Vec<&str> = wanted.iter().map(|(_, drawing)| drawing.trim_end()).collect();
    print(&format!("{}\n", text.join("\n\n")))
}
