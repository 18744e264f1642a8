//! `corn graph`: what a program does on each route, drawn.

use crate::args::{Drawing, Graph, Placement};
use crate::commands::print;
use crate::failure::Failure;
use crate::program;
use crate::request::no_such_route;

pub(crate) fn graph(args: &Graph) -> Result<(), Failure> {
    program::refuse_plan(&args.file, "graph")?;
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
        return Err(Failure::Usage(no_such_route(args.route.as_deref().unwrap_or_default(), &routes)));
    }
    let text: Vec<&str> = wanted.iter().map(|(_, drawing)| drawing.trim_end()).collect();
    print(&format!("{}\n", text.join("\n\n")))
}
