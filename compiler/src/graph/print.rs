//! Graphs as text: one node a line, the same for equal graphs.

use std::fmt::{self, Write};

use corn_plan::{Adaptor, Case, IdVec, Literal};

use super::{Asks, Component, Graph, Needs, Node, NodeKind, Program, Route, ScopeId, Specialized, needs};
use corn_plan::ComponentId;

/// The program's components, graphs and routes.
pub fn program(program: &Program) -> String {
    let mut out = format!("program {}\n", program.name);
    for (id, component) in program.components.enumerate() {
        let component = &component.deployed;
        let (name, kind) = (&component.name, &component.kind);
        let _ =
            writeln!(out, "component {id} {name} = {kind} run {} {:?}", component.executor, component.entry);
    }
    for (id, each) in program.graphs.enumerate() {
        let _ = write!(out, "\ngraph {id} {}\n{}", each.name, graph(each, &program.components));
    }
    if !program.routes.is_empty() {
        out.push('\n');
    }
    for each in &program.routes {
        let _ = writeln!(out, "{}", route(each, program));
    }
    out
}

/// One graph for each route.
pub fn specialized(all: &[Specialized], components: &IdVec<ComponentId, Component>) -> String {
    let sections = all.iter().map(|one| {
        let title = title(one);
        format!("{title}\n{}", graph(&one.graph, components))
    });
    sections.collect::<Vec<_>>().join("\n")
}

/// `talk = assistant(speech, photo) -> reply + voice`.
pub fn title(one: &Specialized) -> String {
    let inputs = one.graph.inputs.iter().flat_map(|input| {
        let own = match &input.is {
            Some(value) => format!("{}: {value}", input.name),
            None => input.name.clone(),
        };
        let kinds = input.kinds.iter().map(|kind| format!("{}.{}", input.name, kind.name()));
        std::iter::once(own).chain(kinds)
    });
    let outputs = one.graph.outputs.iter().map(|output| output.name.as_str());
    let (inputs, outputs) = (joined(inputs, ", "), joined(outputs, " + "));
    format!("{} = {}({inputs}) -> {outputs}", one.route, one.graph.name)
}

/// The nodes and outputs of `graph`.
pub fn graph(graph: &Graph, components: &IdVec<ComponentId, Component>) -> String {
    let mut out = String::new();
    for (id, node) in graph.nodes.enumerate() {
        let what = describe(graph, node, components);
        let results = node.results.iter().map(|(_, value)| {
            let made = &graph.values[*value];
            let may = if made.optional { "?" } else { "" };
            format!("{value} {}: {}{may}{}", made.name, made.ty, needs(graph, &made.needs))
        });
        let results = joined(results, "; ");
        let scope = node.scope.map(|scope| format!(" in {scope}")).unwrap_or_default();
        let results = if results.is_empty() { "nothing" } else { &results };
        let _ = writeln!(out, "  {id}{scope} {what} -> {results}");
    }
    for output in &graph.outputs {
        let asked = if output.optional { " if asked for" } else { "" };
        let _ = writeln!(out, "  output {} {}{asked}", output.name, output.value);
    }
    out
}

/// What a node does, in the words of the language.
pub fn describe(graph: &Graph, node: &Node, components: &IdVec<ComponentId, Component>) -> String {
    let values = || joined(node.operands.iter().map(|operand| operand.value), ", ");
    match &node.kind {
        NodeKind::Input(position) => {
            let input = &graph.inputs[*position as usize];
            let default = input.default.as_ref().map(|literal| format!(" = {}", Lit(literal)));
            let may = if input.optional { "?" } else { "" };
            format!("input {}{may}{}", input.name, default.unwrap_or_default())
        }
        NodeKind::Const(literal) => format!("const {}", Lit(literal)),
        NodeKind::Run { component, each } => {
            let component = &components[*component].deployed;
            let operands = node.operands.iter().map(|operand| {
                let port = &component.inputs[operand.port as usize].name;
                format!("{port}: {}{}", if operand.each { "each " } else { "" }, operand.value)
            });
            let word = if *each { "each" } else { "run" };
            format!("{word} {}({})", component.name, joined(operands, ", "))
        }
        NodeKind::Call { graph: callee, .. } => format!("call {callee}({})", values()),
        NodeKind::Adapt(adaptor) => {
            let words = adaptor_words(adaptor);
            let (name, settings) = words.split_at(words.find(' ').unwrap_or(words.len()));
            format!("{name}({}){settings}", values())
        }
        NodeKind::Pass => format!("pass({})", values()),
        NodeKind::Choose => format!("choose({})", values()),
        NodeKind::Switch { cases, scopes, outputs } => switch_words(node, cases, scopes, *outputs),
        NodeKind::Enter { scope, .. } => format!("enter {scope}({})", values()),
        NodeKind::Loop { scope, max, .. } => format!("loop {scope} max {max}({})", values()),
    }
}

/// `switch v3 { "draw" => x0 v5; else => x1 none }`.
fn switch_words(node: &Node, cases: &[Case], scopes: &[ScopeId], outputs: u32) -> String {
    let filled = |port: u32| {
        let operand = node.operands.iter().find(|operand| operand.port == port);
        operand.map_or("none".to_owned(), |operand| operand.value.to_string())
    };
    let case = |((number, case), scope): ((u32, &Case), &ScopeId)| {
        let pattern = match case {
            Case::Is(literal) => literal.to_string(),
            Case::Else => "else".to_owned(),
        };
        let made = joined((0..outputs).map(|output| filled(1 + number * outputs + output)), ", ");
        format!("{pattern} => {scope} {made}")
    };
    let cases = joined((0u32..).zip(cases).zip(scopes).map(case), "; ");
    format!("switch {} {{ {cases} }}", filled(0))
}

/// The name of an adaptor with its settings.
pub fn adaptor_words(adaptor: &Adaptor) -> String {
    match adaptor {
        Adaptor::Join => "join".to_owned(),
        Adaptor::Sentences => "sentences".to_owned(),
        Adaptor::Windows { size, left, first } => format!("windows size {size} left {left} first {first}"),
        Adaptor::Collect => "collect".to_owned(),
        Adaptor::List => "list".to_owned(),
        Adaptor::Merge { tags } if tags.is_empty() => "merge".to_owned(),
        Adaptor::Merge { tags } => format!("merge tags {}", joined(tags.iter(), " ")),
        Adaptor::Pick(modality) => format!("pick {}", modality.name()),
        Adaptor::Interleave(kinds) => {
            let kinds = joined(kinds.iter().map(|kind| kind.name()), " ");
            format!("interleave {kinds}").trim_end().to_owned()
        }
    }
}

/// What stands for a block: `switch`, `loop max 50`.
pub fn block_words(kind: &NodeKind) -> String {
    match kind {
        NodeKind::Choose => "choose".to_owned(),
        NodeKind::Switch { .. } => "switch".to_owned(),
        NodeKind::Enter { .. } => "each round".to_owned(),
        NodeKind::Loop { max, .. } => format!("loop max {max}"),
        _ => String::new(),
    }
}

fn route(route: &Route, program: &Program) -> String {
    let graph = &program.graphs[route.graph];
    match &route.asks {
        Asks::Everything => format!("route {} = {}: every combination", route.name, graph.name),
        Asks::Exactly { present, maybe, pinned, outputs } => {
            let input = |position: &u32| {
                let name = &graph.inputs[*position as usize].name;
                let value = pinned.get(position).map(|values| pinned_value(graph, *position, *values));
                name.clone() + &value.unwrap_or_default()
            };
            let inputs = present.iter().map(input);
            let inputs = inputs.chain(maybe.iter().map(|position| input(position) + "?"));
            let others = pinned.keys().filter(|position| !present.contains(position));
            let inputs = inputs.chain(others.map(input));
            let outputs = outputs.iter().map(|position| graph.outputs[*position as usize].name.as_str());
            let (inputs, outputs) = (joined(inputs, ", "), joined(outputs, " + "));
            format!("route {} = {}({inputs}) -> {outputs}", route.name, graph.name)
        }
    }
}

/// `: "fast"`.
fn pinned_value(graph: &Graph, position: u32, values: u64) -> String {
    let kind = &graph.values[graph.inputs[position as usize].value].ty.kind;
    let fixed = needs::literals(kind).into_iter().enumerate().find(|(bit, _)| values >> bit & 1 == 1);
    fixed.map(|(_, value)| format!(": {value}")).unwrap_or_default()
}

fn needs(graph: &Graph, needs: &Needs) -> String {
    if needs.is_empty() {
        return String::new();
    }
    format!(" when {}", joined(needs.words(graph).iter(), ", "))
}

/// A literal as it is written in `.corn` text.
pub struct Lit<'a>(pub &'a Literal);

impl fmt::Display for Lit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Literal::Int(value) => write!(f, "{value}"),
            Literal::Float(value) => write!(f, "{value:?}"),
            Literal::Bool(value) => write!(f, "{value}"),
            Literal::Text(text) => write!(f, "{text:?}"),
            Literal::Texts(texts) => f.debug_list().entries(texts).finish(),
        }
    }
}

/// `items` with `separator` between.
pub fn joined<T: fmt::Display>(items: impl Iterator<Item = T>, separator: &str) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(separator)
}
