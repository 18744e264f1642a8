//! `corn graph`: what a program does on each route, drawn.

use std::path::{Path, PathBuf};

use corn_compiler::{Compilation, Drawing as How};

use crate::args::{Drawing, Graph, Placement};
use crate::commands::{print, refuse_overwriting, write};
use crate::failure::Failure;
use crate::program;
use crate::request::way::no_such_route;

/// Stands for the recording's number in the name of a file.
const NUMBER: &str = "{}";

pub(crate) fn graph(args: &Graph) -> Result<(), Failure> {
    program::refuse_plan(&args.file, "graph")?;
    let compilation =
        program::compile(&args.file, &Placement { workers: None, inflight: None, processes: false })?;
    if !compilation.lacks_only_a_cluster() {
        program::report(&compilation);
    }
    let recordings = compilation.recordings().ok_or(Failure::Program)?;
    let wanted = wanted(args, &recordings)?;
    let numbered = args.output.as_deref().is_some_and(|file| file.to_string_lossy().contains(NUMBER));
    if wanted.len() > 1 && !numbered && matches!(args.format, Drawing::Dot | Drawing::Svg) {
        return Err(Failure::Usage(several(args, &wanted, &recordings)));
    }
    let Some(file) = &args.output else { return print(&drawn(&compilation, &wanted, args.format)) };
    if !numbered {
        refuse_overwriting(file, &args.file)?;
        return write(file, &drawn(&compilation, &wanted, args.format));
    }
    for number in wanted {
        let file = numbered_file(file, number);
        refuse_overwriting(&file, &args.file)?;
        write(&file, &drawn(&compilation, &[number], args.format))?;
    }
    Ok(())
}

/// The recordings that are asked for, at least one.
fn wanted(args: &Graph, recordings: &[(&str, String)]) -> Result<Vec<usize>, Failure> {
    let is_wanted = |number: usize, route: &str| {
        args.route.as_ref().is_none_or(|wanted| wanted == route)
            && args.recording.is_none_or(|wanted| wanted == number)
    };
    if recordings.is_empty() {
        return Err(Failure::Usage(
            "the program has no graph that a request can ask, so nothing to draw".to_owned(),
        ));
    }
    let numbered = recordings.iter().enumerate();
    let wanted: Vec<usize> =
        numbered.filter(|(number, (route, _))| is_wanted(*number, route)).map(|(number, _)| number).collect();
    if !wanted.is_empty() {
        return Ok(wanted);
    }
    let mut routes: Vec<&str> = recordings.iter().map(|(route, _)| *route).collect();
    routes.dedup();
    Err(Failure::Usage(match (&args.route, args.recording) {
        (Some(route), _) if !routes.contains(&route.as_str()) => no_such_route(route, &routes),
        (Some(route), Some(number)) => {
            let of_route = recordings.iter().enumerate().filter(|(_, (of, _))| of == route);
            let list = list(of_route.map(|(number, _)| number), recordings);
            format!("recording {number} is none of route '{route}'; its recordings are\n{list}")
        }
        (_, number) => {
            let list = list(0..recordings.len(), recordings);
            format!("there is no recording {}; there is\n{list}", number.unwrap_or_default())
        }
    }))
}

/// Says that one file holds one drawing, and how to choose.
fn several(args: &Graph, wanted: &[usize], recordings: &[(&str, String)]) -> String {
    let format = if args.format == Drawing::Svg { "svg" } else { "dot" };
    let list = list(wanted.iter().copied(), recordings);
    let first = wanted.first().copied().unwrap_or_default();
    format!(
        "there are {} recordings to draw, and one file holds one drawing; choose one with --recording {first}, \
         or write a file for each with -o 'NAME-{NUMBER}.{format}':\n{list}",
        wanted.len()
    )
}

fn list(numbers: impl Iterator<Item = usize>, recordings: &[(&str, String)]) -> String {
    let line = |number: usize| format!("  r{number}  {}", recordings[number].1);
    numbers.map(line).collect::<Vec<_>>().join("\n")
}

fn drawn(compilation: &Compilation, wanted: &[usize], format: Drawing) -> String {
    let how = match format {
        Drawing::Text => How::Text,
        Drawing::Mermaid => How::Mermaid,
        Drawing::Dot => How::Dot,
        Drawing::Svg => How::Svg,
    };
    let drawings = wanted.iter().filter_map(|number| compilation.drawing(*number, how));
    let drawings: Vec<String> = drawings.map(|drawing| drawing.trim_end().to_owned()).collect();
    format!("{}\n", drawings.join("\n\n"))
}

fn numbered_file(file: &Path, number: usize) -> PathBuf {
    PathBuf::from(file.to_string_lossy().replace(NUMBER, &number.to_string()))
}
