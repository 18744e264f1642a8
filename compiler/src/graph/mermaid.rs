//! A route's graph as a Mermaid flowchart: what a page or a pull request can show.

use std::fmt::Write;

use corn_plan::{ComponentId, IdVec, Type};

use super::print::{Lit, adaptor_words, block_words};
use super::{Component, Graph, Node, NodeKind, Specialized};

/// The flowchart of one route. Inputs and outputs are round, components square, what the worker
/// does itself six-sided; streams are thick.
pub fn mermaid(one: &Specialized, components: &IdVec<ComponentId, Component>) -> String {
    let graph = &one.graph;
    let mut out = String::from("flowchart LR\n");
    for (id, node) in graph.nodes.enumerate() {
        let (open, text, close) = shape(graph, node, components);
        let _ = writeln!(out, "  {id}{open}\"{}\"{close}", escaped(&text));
    }
    for (position, output) in graph.outputs.iter().enumerate() {
        let _ = writeln!(out, "  out{position}([\"{}\"])", escaped(&output.name));
    }
    for (id, node) in graph.nodes.enumerate() {
        for operand in &node.operands {
            let value = &graph.values[operand.value];
            let _ = writeln!(out, "  {} {} {id}", value.node, arrow(&value.ty));
        }
    }
    for (position, output) in graph.outputs.iter().enumerate() {
        let value = &graph.values[output.value];
        let _ = writeln!(out, "  {} {} out{position}", value.node, arrow(&value.ty));
    }
    out
}

fn shape(
    graph: &Graph,
    node: &Node,
    components: &IdVec<ComponentId, Component>,
) -> (&'static str, String, &'static str) {
    match &node.kind {
        NodeKind::Input(position) => ("([", graph.inputs[*position as usize].name.clone(), "])"),
        NodeKind::Const(literal) => ("([", Lit(literal).to_string(), "])"),
        NodeKind::Run { component, each } => {
            let name = &components[*component].deployed.name;
            ("[", if *each { format!("each {name}") } else { name.clone() }, "]")
        }
        NodeKind::Adapt(adaptor) => ("{{", adaptor_words(adaptor), "}}"),
        NodeKind::Call { graph: callee, .. } => ("[[", callee.to_string(), "]]"),
        NodeKind::Pass => ("{{", "pass".to_owned(), "}}"),
        other => ("{", block_words(other), "}"),
    }
}

fn arrow(ty: &Type) -> String {
    let label = escaped(&short_type(ty));
    if ty.is_stream() { format!("==>|\"{label}\"|") } else { format!("-->|\"{label}\"|") }
}

/// A type without its bounds: enough for a drawing.
pub(super) fn short_type(ty: &Type) -> String {
    let word = ty.kind.word();
    match ty.form {
        corn_plan::Form::Value => word.to_owned(),
        corn_plan::Form::List { .. } => format!("list<{word}>"),
        corn_plan::Form::Stream { .. } => format!("stream<{word}>"),
    }
}

/// Mermaid takes entities in quoted texts; these are the characters that end or bend one.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' => out.push_str("#quot;"),
            '#' => out.push_str("#35;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '\n' => out.push(' '),
            other => out.push(other),
        }
    }
    out
}
