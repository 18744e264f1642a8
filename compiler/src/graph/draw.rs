//! A route's graph as a tree for the terminal: each output, and below it what it is made of.

use std::collections::BTreeSet;
use std::fmt::Write;

use corn_plan::{ComponentId, IdVec, ValueId};

use super::mermaid::short_type;
use super::print::{Lit, adaptor_words, block_words, title};
use super::{Component, Graph, NodeId, NodeKind, Specialized};

/// The drawing of one route. What was drawn already is named and not drawn again.
pub fn draw(one: &Specialized, components: &IdVec<ComponentId, Component>) -> String {
    let mut drawing = Drawing { graph: &one.graph, components, drawn: BTreeSet::new(), out: String::new() };
    let _ = writeln!(drawing.out, "{}", title(one));
    for output in &one.graph.outputs {
        let ty = short_type(&one.graph.values[output.value].ty);
        let _ = writeln!(drawing.out, "\n{}: {ty}", output.name);
        drawing.below(output.value);
    }
    drawing.out
}

/// Bytes of indentation after which nothing is drawn below: a chain of many thousand nodes would
/// fill the memory with it, and no screen is so wide.
const DEEPEST: usize = 600;

struct Drawing<'a> {
    graph: &'a Graph,
    components: &'a IdVec<ComponentId, Component>,
    drawn: BTreeSet<NodeId>,
    out: String,
}

impl Drawing<'_> {
    /// Draws `root` and what it is made of. The work left is a list, so that a long graph needs
    /// no deep stack: value, indentation of its line, whether it is the last of its siblings.
    fn below(&mut self, root: ValueId) {
        let mut left = vec![(root, String::new(), true)];
        while let Some((value, indent, is_last)) = left.pop() {
            let id = self.graph.values[value].node;
            let known = !self.drawn.insert(id);
            let leaf = self.graph.nodes[id].operands.is_empty();
            let is_deep = indent.len() > DEEPEST;
            let above = match (leaf, known) {
                (false, true) => " (above)",
                (false, false) if is_deep => " (and what it is made of)",
                _ => "",
            };
            let branch = if is_last { "└─" } else { "├─" };
            let _ = writeln!(self.out, "{indent}{branch} {}{above}", self.line(value));
            if known || is_deep {
                continue;
            }
            let indent = indent + if is_last { "   " } else { "│  " };
            let operands = self.graph.nodes[id].operands.iter().rev();
            let below =
                operands.enumerate().map(|(place, operand)| (operand.value, indent.clone(), place == 0));
            left.extend(below);
        }
    }

    fn line(&self, value: ValueId) -> String {
        let made = &self.graph.values[value];
        let node = &self.graph.nodes[made.node];
        let ty = short_type(&made.ty);
        match &node.kind {
            NodeKind::Input(position) => format!("{}: {ty}", self.graph.inputs[*position as usize].name),
            NodeKind::Const(literal) => Lit(literal).to_string(),
            NodeKind::Run { component, each } => {
                let component = &self.components[*component].deployed;
                let runs = format!("{} {:?}", component.executor, component.entry);
                format!("{}{}: {ty}   {runs}", if *each { "each " } else { "" }, component.name)
            }
            NodeKind::Adapt(adaptor) => format!("{}: {ty}", adaptor_words(adaptor)),
            NodeKind::Call { graph: callee, .. } => format!("{callee}: {ty}"),
            NodeKind::Pass => format!("pass: {ty}"),
            other => format!("{}: {ty}", block_words(other)),
        }
    }
}
