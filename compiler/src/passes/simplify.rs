//! Takes out nodes that do nothing: values passed on, and `join` of one text.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::{Adaptor, IdVec, Kind, ValueId};

use crate::graph::{Graph, NodeId, NodeKind};

/// Bytes of the blank line that `join` puts between two texts.
const BLANK_LINE_BYTES: u64 = 2;

/// Simplifies one route's graph.
pub(crate) fn simplify(graph: &mut Graph) {
    let mut stands: IdVec<ValueId, ValueId> = graph.values.ids().collect();
    let mut gone = BTreeSet::new();
    let mut names = None;
    for id in graph.nodes.ids() {
        for operand in &mut graph.nodes[id].operands {
            operand.value = stands[operand.value];
        }
        let is_identity = match graph.nodes[id].kind {
            // Of the cases of an `if` or `match` the route has kept one.
            NodeKind::Pass | NodeKind::Choose => true,
            NodeKind::Adapt(Adaptor::Join) => {
                tighten(graph, id);
                graph.nodes[id].operands.len() == 1 && narrow_operand(graph, id)
            }
            _ => false,
        };
        if is_identity {
            let from = graph.nodes[id].results[0].1;
            let to = graph.nodes[id].operands[0].value;
            rename(graph, id);
            names.get_or_insert_with(|| Derived::of(graph)).rename(graph, from, to);
            stands[from] = to;
            gone.insert(id);
        }
    }
    if !gone.is_empty() {
        graph.read_through(&stands);
        *graph = graph.retain(|node| !gone.contains(&node));
    }
}

/// The bound of a `join` from the texts that are present.
fn tighten(graph: &mut Graph, join: NodeId) {
    let node = &graph.nodes[join];
    let texts = node.operands.iter().map(|operand| graph.values[operand.value].ty.kind.max_bytes());
    let texts = texts.map(|bytes| bytes.unwrap_or(u64::MAX));
    let blanks = (node.operands.len() as u64).saturating_sub(1).saturating_mul(BLANK_LINE_BYTES);
    let most = texts.fold(blanks, u64::saturating_add);
    let result = node.results[0].1;
    if let Kind::Text { max_bytes } = &mut graph.values[result].ty.kind {
        *max_bytes = (*max_bytes).min(most);
    }
}

/// Whether the one operand of a join can stand for its result: it has no larger bound, or the
/// bound is the request's and can be narrowed. A join that stays checks the bound.
fn narrow_operand(graph: &mut Graph, join: NodeId) -> bool {
    let node = &graph.nodes[join];
    let (operand, result) = (node.operands[0].value, node.results[0].1);
    let Kind::Text { max_bytes: most } = graph.values[result].ty.kind else { return false };
    let maker = graph.values[operand].node;
    let narrows = !graph.values[operand].fixed && !matches!(graph.nodes[maker].kind, NodeKind::Run { .. });
    match &mut graph.values[operand].ty.kind {
        Kind::Text { max_bytes } if *max_bytes <= most => true,
        Kind::Text { max_bytes } if narrows => {
            *max_bytes = most;
            true
        }
        _ => false,
    }
}

/// A value that is passed on keeps the better name: the one that a `let` gave to the result.
fn rename(graph: &mut Graph, id: NodeId) {
    let node = &graph.nodes[id];
    let (operand, result) = (node.operands[0].value, node.results[0].1);
    let maker = graph.values[operand].node;
    if matches!(node.kind, NodeKind::Pass | NodeKind::Choose)
        && !matches!(graph.nodes[maker].kind, NodeKind::Input(_))
    {
        graph.values[operand].name = graph.values[result].name.clone();
    }
}

/// Where the values are that are called after another: `think.text` after `think`.
struct Derived {
    /// Values by what stands before a dot of their names. A value that was renamed may still stand
    /// under an old name.
    after: BTreeMap<String, Vec<ValueId>>,
}

impl Derived {
    fn of(graph: &Graph) -> Self {
        let mut derived = Self { after: BTreeMap::new() };
        for (id, value) in graph.values.enumerate() {
            derived.add(&value.name, id);
        }
        derived
    }

    fn add(&mut self, name: &str, id: ValueId) {
        for (dot, _) in name.match_indices('.') {
            self.after.entry(name[..dot].to_owned()).or_default().push(id);
        }
    }

    /// What is called after `from`, which is gone, is called after `to`, which is in its place.
    fn rename(&mut self, graph: &mut Graph, from: ValueId, to: ValueId) {
        let (old, new) = (&graph.values[from].name, &graph.values[to].name);
        if old == new {
            return;
        }
        let (old, new) = (old.clone(), new.clone());
        let Some(values) = self.after.remove(&old) else { return };
        let (later, earlier): (Vec<ValueId>, Vec<ValueId>) = values.into_iter().partition(|id| *id > from);
        for id in later {
            let rest = graph.values[id].name.strip_prefix(&old).filter(|rest| rest.starts_with('.'));
            if let Some(rest) = rest {
                let name = format!("{new}{rest}");
                self.add(&name, id);
                graph.values[id].name = name;
            }
        }
        self.after.entry(old).or_default().extend(earlier);
    }
}
