//! Says how many frames a second of what a request brings are wanted, where all who read it name a rate: so many are
//! decoded, and no more.

use corn_plan::ids::IdVec;
use corn_plan::{Adaptor, ComponentId, FrameRate, Kind, ValueId};

use crate::graph::{Component, Graph, Node, NodeKind};

/// Names the rates of videos that are brought, and of media in which they are, where none is written.
pub(super) fn name_rates(graph: &mut Graph, components: &IdVec<ComponentId, Component>) {
    let readers = graph.readers();
    let is_output = |value: &ValueId| graph.outputs.iter().any(|output| output.value == *value);
    let mut picked = Vec::new();
    let mut media = Vec::new();
    for node in &graph.nodes {
        let is_brought = matches!(node.kind, NodeKind::Input(_) | NodeKind::Adapt(Adaptor::Pick(_)));
        for (_, value) in node.results.iter().filter(|(_, value)| is_brought && !is_output(value)) {
            match &graph.values[*value].ty.kind {
                Kind::Video { rate: None, .. } => picked.push(*value),
                Kind::Media { rate: None, .. } => media.push(*value),
                _ => {}
            }
        }
    }
    for video in picked {
        let taken = readers[video].iter().map(|reader| taken(&graph.nodes[*reader], video, components));
        let named = highest(taken);
        if let Kind::Video { rate, .. } = &mut graph.values[video].ty.kind {
            *rate = named;
        }
    }
    for media in media {
        let of_picked = readers[media].iter().flat_map(|reader| {
            let node = &graph.nodes[*reader];
            let is_apart = matches!(node.kind, NodeKind::Adapt(Adaptor::Pick(_)));
            let kinds = node.results.iter().map(|(_, value)| &graph.values[*value].ty.kind);
            let rates = kinds.filter(move |kind| !is_apart || matches!(kind, Kind::Video { .. }));
            rates.map(|kind| if let Kind::Video { rate, .. } = kind { *rate } else { None })
        });
        let named = highest(of_picked);
        if let Kind::Media { rate, .. } = &mut graph.values[media].ty.kind {
            *rate = named;
        }
    }
}

/// The rate at which `node` takes `video`; none if it takes all of it.
fn taken(node: &Node, video: ValueId, components: &IdVec<ComponentId, Component>) -> Option<FrameRate> {
    let NodeKind::Run { component, .. } = node.kind else { return None };
    let ports = &components[component].deployed.inputs;
    highest(node.operands.iter().filter(|operand| operand.value == video).map(|operand| {
        let kind = ports.get(operand.port as usize).map(|port| &port.ty.kind);
        if let Some(Kind::Video { rate, .. }) = kind { *rate } else { None }
    }))
}

/// The highest of `rates`; none if one of them is none, which is all frames, or there are none.
fn highest(rates: impl Iterator<Item = Option<FrameRate>>) -> Option<FrameRate> {
    rates.reduce(|one, other| Some(one?.max(other?))).flatten()
}
