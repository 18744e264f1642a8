//! Steps as text: one a line, what is inside a branch or a loop indented below it.

use std::fmt::{self, Write};

use crate::control::{Arm, BlockId, Branch, Carry, Case, Loop};
use crate::ids::ValueId;
use crate::plan::{Adaptor, Modality, Operand, Plan, Port, Recording, Run, Step, Transport};
use crate::text::ParseError;
use crate::text::parse::{Components, component_named, literal};
use crate::text::scan::Line;

type Parsed<T> = Result<T, ParseError>;

/// Indentation of the steps of a stage, and of what is inside one.
const STEPS: usize = 4;
const INNER: usize = 2;
/// Branches and loops around one step.
const DEEPEST: usize = 64;

/// Prints `steps` with `indent` spaces before each.
pub(super) fn write(out: &mut String, plan: &Plan, recording: &Recording, steps: &[Step]) -> fmt::Result {
    write_steps(out, plan, recording, steps, STEPS)
}

fn write_steps(
    out: &mut String,
    plan: &Plan,
    recording: &Recording,
    steps: &[Step],
    indent: usize,
) -> fmt::Result {
    for step in steps {
        let line = step_line(plan, step);
        let width = 60usize.saturating_sub(indent);
        write!(out, "{:indent$}{line:<width$} # ", "")?;
        write_note(out, recording, step);
        out.push('\n');
        match step {
            Step::Branch(branch) => {
                for arm in &branch.arms {
                    write_arm(out, plan, recording, arm, indent + INNER)?;
                }
            }
            Step::Loop(looped) => {
                let inner = indent + INNER;
                for carry in &looped.carries {
                    write!(out, "{:inner$}carry {} as {} next {}", "", carry.init, carry.inside, carry.next)?;
                    match carry.result {
                        Some(result) => writeln!(out, " -> {result}")?,
                        None => writeln!(out)?,
                    }
                }
                write_steps(out, plan, recording, &looped.steps, inner)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn write_arm(out: &mut String, plan: &Plan, recording: &Recording, arm: &Arm, indent: usize) -> fmt::Result {
    write!(out, "{:indent$}case ", "")?;
    match &arm.case {
        Case::Is(literal) => writeln!(out, "{literal}")?,
        Case::Else => writeln!(out, "else")?,
    }
    let inner = indent + INNER;
    write_steps(out, plan, recording, &arm.steps, inner)?;
    if !arm.yields.is_empty() {
        let yields =
            arm.yields.iter().map(|value| value.map_or("none".to_owned(), |value| value.to_string()));
        writeln!(out, "{:inner$}yield {}", "", yields.collect::<Vec<_>>().join(", "))?;
    }
    Ok(())
}

/// The names behind the ids of a step, for the reader.
fn write_note(out: &mut String, recording: &Recording, step: &Step) {
    let reads = match step {
        Step::Free { value } => vec![*value],
        Step::Branch(branch) => vec![branch.subject],
        Step::Loop(looped) => looped.carries.iter().map(|carry| carry.init).collect(),
        other => other.reads(),
    };
    let writes = step.writes();
    write_names(out, recording, &reads);
    out.push_str(if reads.is_empty() || writes.is_empty() { "" } else { " -> " });
    write_names(out, recording, &writes);
}

fn write_names(out: &mut String, recording: &Recording, values: &[ValueId]) {
    for (place, id) in values.iter().enumerate() {
        out.push_str(if place == 0 { "" } else { ", " });
        let name = recording.values.get(*id).map_or("?", |value| value.name.as_str());
        if name.contains('\n') {
            out.push_str(&name.replace('\n', " "));
        } else {
            out.push_str(name);
        }
    }
}

/// What values are called.
type Names<'a> = &'a dyn Fn(&ValueId) -> String;

fn step_line(plan: &Plan, step: &Step) -> String {
    step_words(plan, step, &ValueId::to_string)
}

/// A step in the words of the plan's text, with `name` of each value; without the steps inside.
pub(crate) fn step_words(plan: &Plan, step: &Step, name: Names<'_>) -> String {
    match step {
        Step::Input { value } => format!("input {}", name(value)),
        Step::Const { value, literal } => format!("const {} {literal}", name(value)),
        Step::Run(run) => run_line(plan, run, name),
        Step::Adapt { adaptor, operands, results } => {
            adapt_line(adaptor, &list(operands.iter().map(name)), &list(results.iter().map(name)))
        }
        Step::Branch(branch) => {
            let makes = if branch.results.is_empty() { "" } else { " -> " };
            let results = list(branch.results.iter().map(name));
            format!("branch {} on {}{makes}{results}", branch.block, name(&branch.subject))
        }
        Step::Loop(looped) => {
            let mut line = format!("loop {} max {}", looped.block, looped.max);
            for (word, value) in [("count", looped.count), ("index", looped.index), ("until", looped.until)] {
                if let Some(value) = value {
                    let _ = write!(line, " {word} {}", name(&value));
                }
            }
            line
        }
        Step::Send { value, to, transport } => {
            format!("send {} to {to} by {}", name(value), transport.name())
        }
        Step::Recv { value, from, transport } => {
            format!("recv {} from {from} by {}", name(value), transport.name())
        }
        Step::Output { value } => format!("output {}", name(value)),
        Step::Free { value } => format!("free {}", name(value)),
    }
}

fn adapt_line(adaptor: &Adaptor, operands: &str, results: &str) -> String {
    let words = match adaptor {
        Adaptor::Join => format!("join({operands})"),
        Adaptor::Sentences => format!("sentences({operands})"),
        Adaptor::Collect => format!("collect({operands})"),
        Adaptor::List => format!("list({operands})"),
        Adaptor::Windows { size, left, first } => {
            format!("windows({operands}) size {size} left {left} first {first}")
        }
        Adaptor::Merge { tags } if tags.is_empty() => format!("merge({operands})"),
        Adaptor::Merge { tags } => {
            format!("merge({operands}) tags {}", list(tags.iter().map(|tag| format!("{tag:?}"))))
        }
        Adaptor::Pick(kind) => format!("pick({operands}) {}", kind.name()),
        Adaptor::Interleave(kinds) => {
            let kinds = list(kinds.iter().map(|kind| kind.name()));
            let space = if kinds.is_empty() { "" } else { " " };
            format!("interleave({operands}){space}{kinds}")
        }
    };
    format!("{words} -> {results}")
}

fn run_line(plan: &Plan, run: &Run, value: Names<'_>) -> String {
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
            value(&operand.value)
        )
    }));
    let results = list(run.results.iter().map(|(index, made)| {
        format!("{}: {}", port(component.map(|component| &component.outputs), *index), value(made))
    }));
    let word = if run.each { "each" } else { "run" };
    format!("{word} {name}({operands}) -> ({results})")
}

pub(super) fn list<T: fmt::Display>(items: impl Iterator<Item = T>) -> String {
    joined(items, ", ")
}

pub(super) fn joined<T: fmt::Display>(items: impl Iterator<Item = T>, separator: &str) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(separator)
}

/// Takes the step on `line` into the list of `steps` where its indentation puts it.
pub(super) fn parse(components: Components<'_>, steps: &mut Vec<Step>, line: &mut Line<'_>) -> Parsed<()> {
    if line.indent < STEPS {
        return Err(line.error("a step is indented by four spaces, and by two more inside a branch or loop"));
    }
    inside(components, steps, line, (line.indent - STEPS) / INNER, 0)
}

/// `below` levels are left between this list and the line's place.
fn inside(
    components: Components<'_>,
    steps: &mut Vec<Step>,
    line: &mut Line<'_>,
    below: usize,
    depth: usize,
) -> Parsed<()> {
    if below == 0 {
        steps.push(step(components, line)?);
        return Ok(());
    }
    if depth > DEEPEST {
        return Err(line.error(format!("branches and loops go deeper than {DEEPEST}")));
    }
    match steps.last_mut() {
        Some(Step::Branch(branch)) if below == 1 => {
            line.keyword("case")?;
            let case = if line.eat("else") { Case::Else } else { Case::Is(literal(line)?) };
            branch.arms.push(Arm { case, steps: Vec::new(), yields: Vec::new() });
            Ok(())
        }
        Some(Step::Branch(branch)) => {
            let Some(arm) = branch.arms.last_mut() else {
                return Err(line.error("the steps of a branch follow a 'case'"));
            };
            if below == 2 && line.eat("yield") {
                arm.yields = line.list(None, |line| {
                    if line.eat("none") { Ok(None) } else { line.id('v', "a value or 'none'").map(Some) }
                })?;
                return Ok(());
            }
            inside(components, &mut arm.steps, line, below - 2, depth + 1)
        }
        Some(Step::Loop(looped)) => {
            if below == 1 && line.eat("carry") {
                looped.carries.push(carry(line)?);
                return Ok(());
            }
            inside(components, &mut looped.steps, line, below - 1, depth + 1)
        }
        _ => Err(line.error("this is indented as if it were inside a branch or loop")),
    }
}

fn carry(line: &mut Line<'_>) -> Parsed<Carry> {
    let init = value(line)?;
    line.keyword("as")?;
    let inside = value(line)?;
    line.keyword("next")?;
    let next = value(line)?;
    let result = if line.eat_mark("->") { Some(value(line)?) } else { None };
    Ok(Carry { init, inside, next, result })
}

fn value(line: &mut Line<'_>) -> Parsed<ValueId> {
    line.id('v', "a value")
}

fn step(components: Components<'_>, line: &mut Line<'_>) -> Parsed<Step> {
    let word = line.word("a step")?;
    Ok(match word {
        "input" => Step::Input { value: value(line)? },
        "const" => Step::Const { value: value(line)?, literal: literal(line)? },
        "run" | "each" => Step::Run(run(components, line, word == "each")?),
        "join" | "sentences" | "collect" | "windows" | "list" | "merge" | "pick" | "interleave" => {
            adapt(word, line)?
        }
        "branch" => {
            let block = block(line)?;
            line.keyword("on")?;
            let subject = value(line)?;
            let results = if line.eat_mark("->") { line.list(None, value)? } else { Vec::new() };
            Step::Branch(Branch { block, subject, arms: Vec::new(), results })
        }
        "loop" => {
            let block = block(line)?;
            line.keyword("max")?;
            let max = line.number("a number of rounds")?;
            let mut given = |word: &str| if line.eat(word) { value(line).map(Some) } else { Ok(None) };
            let (count, index, until) = (given("count")?, given("index")?, given("until")?);
            Step::Loop(Loop { block, max, count, index, until, carries: Vec::new(), steps: Vec::new() })
        }
        "send" => {
            let value = value(line)?;
            line.keyword("to")?;
            Step::Send { value, to: line.id('s', "a stage")?, transport: transport(line)? }
        }
        "recv" => {
            let value = value(line)?;
            line.keyword("from")?;
            Step::Recv { value, from: line.id('s', "a stage")?, transport: transport(line)? }
        }
        "output" => Step::Output { value: value(line)? },
        "free" => Step::Free { value: value(line)? },
        other => return Err(line.error(format!("'{other}' is no step"))),
    })
}

fn block(line: &mut Line<'_>) -> Parsed<BlockId> {
    line.id('b', "a block")
}

fn transport(line: &mut Line<'_>) -> Parsed<Transport> {
    line.keyword("by")?;
    let name = line.word("a transport")?;
    let found = Transport::ALL.into_iter().find(|transport| transport.name() == name);
    found.ok_or_else(|| line.error(format!("'{name}' is no transport")))
}

fn adapt(word: &str, line: &mut Line<'_>) -> Parsed<Step> {
    line.mark("(")?;
    let operands = line.list(Some(")"), value)?;
    let adaptor = match word {
        "join" => Adaptor::Join,
        "sentences" => Adaptor::Sentences,
        "collect" => Adaptor::Collect,
        "list" => Adaptor::List,
        "merge" => {
            let tags =
                if line.eat("tags") { line.list(None, |line| line.text("a tag"))? } else { Vec::new() };
            Adaptor::Merge { tags }
        }
        "pick" => Adaptor::Pick(modality(line)?),
        "interleave" if line.is_at_mark("->") => Adaptor::Interleave(Vec::new()),
        "interleave" => Adaptor::Interleave(line.list(None, modality)?),
        _ => {
            let mut count = |word: &str| {
                line.keyword(word)?;
                line.number("a number of items")
            };
            Adaptor::Windows { size: count("size")?, left: count("left")?, first: count("first")? }
        }
    };
    line.mark("->")?;
    Ok(Step::Adapt { adaptor, operands, results: line.list(None, value)? })
}

pub(super) fn modality(line: &mut Line<'_>) -> Parsed<Modality> {
    let name = line.word("'image', 'audio' or 'video'")?;
    Modality::from_name(name).ok_or_else(|| line.error(format!("'{name}' is no kind of media")))
}

fn run(components: Components<'_>, line: &mut Line<'_>, each: bool) -> Parsed<Run> {
    let id = component_named(components.names, line)?;
    let component = &components.all[id];
    line.mark("(")?;
    let operands = line.list(Some(")"), |line| {
        let port = port_named(line, &component.inputs)?;
        line.mark(":")?;
        let each = line.eat("each");
        Ok(Operand { port, value: line.id('v', "a value")?, each })
    })?;
    line.mark("->")?;
    line.mark("(")?;
    let results = line.list(Some(")"), |line| {
        let port = port_named(line, &component.outputs)?;
        line.mark(":")?;
        Ok((port, line.id('v', "a value")?))
    })?;
    Ok(Run { component: id, operands, results, each })
}

fn port_named(line: &mut Line<'_>, ports: &[Port]) -> Parsed<u32> {
    let name = line.word("a port")?;
    let found = ports.iter().position(|port| port.name == name);
    found.map(|index| index as u32).ok_or_else(|| line.error(format!("no port is called '{name}'")))
}
