//! Decides which worker has each component, and on which stages each node's work is done.
//!
//! [`target`] places a program on the machine that compiles it, [`cluster`] on the cluster that the program
//! names. Either way all components of a worker are one stage, and the choice depends on the program and the
//! target only.

mod cluster;
mod groups;
mod links;
mod provenance;
mod target;
mod workers;

use std::collections::BTreeSet;
use std::fmt::Write;

use corn_plan::{ComponentId, IdVec, Kind, Stage, StageId, Transport, Type, ValueId, Worker, WorkerId};

pub(crate) use self::links::check_links;
pub(crate) use self::provenance::{Explained, explain};

use crate::diagnostic::Diagnostics;
use crate::graph::deploy::Cluster;
use crate::graph::print::{describe, joined, title};
use crate::graph::{Component, Graph, NodeId, NodeKind, Program, Specialized};

use crate::passes::target::{Target, human};

/// What runs where: a side table of components and graphs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placement {
    /// The workers that have something to do.
    pub workers: IdVec<WorkerId, Worker>,
    /// One stage for each worker, by the ids of [`crate::graph::Program::components`].
    pub stages: IdVec<StageId, Stage>,
    /// For each route's graph, the stages of each node; inputs and constants may have several.
    pub nodes: Vec<IdVec<NodeId, BTreeSet<StageId>>>,
    /// How bytes get from any worker to any other; `None` on a cluster, where that depends on the two.
    pub(crate) transport: Option<Transport>,
    /// The cluster, if the program names one.
    pub(crate) cluster: Option<Cluster>,
}

/// Places the components that `all` call; `None` if they do not fit, which is reported.
pub(crate) fn place(
    all: &[Specialized],
    program: &Program,
    target: &Target,
    found: &mut Diagnostics,
) -> Option<Placement> {
    match &program.deployment.cluster {
        Some(cluster) => cluster::place(all, program, cluster, found),
        None => target::place(all, &program.components, target, found),
    }
}

impl Placement {
    /// How a value of type `ty` gets from one stage to another, whichever replicas a request has: the
    /// first way that all pairs of workers have. `None` if some pair has none.
    pub(crate) fn transport(&self, ty: &Type, from: StageId, to: StageId) -> Option<Transport> {
        if self.transport.is_some() {
            return self.transport;
        }
        let (from, to) = (&self.stages[from].replicas, &self.stages[to].replicas);
        let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to)));
        let ways = pairs.map(|(from, to)| self.way(ty, from, to)).collect::<Option<Vec<Transport>>>()?;
        ways.into_iter().max_by_key(|way| Transport::ALL.iter().position(|known| known == way))
    }

    fn way(&self, ty: &Type, from: WorkerId, to: WorkerId) -> Option<Transport> {
        let (left, right) = (&self.workers[from], &self.workers[to]);
        if from == to {
            Some(Transport::Pointer)
        } else if left.host == right.host {
            let on_gpus = left.gpus.is_some() && right.gpus.is_some();
            let is_tensor = matches!(ty.kind, Kind::Tensor { .. });
            Some(if on_gpus && is_tensor { Transport::Cuda } else { Transport::SharedMemory })
        } else {
            let cluster = self.cluster.as_ref()?;
            let node = |host: &str| cluster.nodes.iter().position(|node| node.name == host);
            let (left, right) = (node(&left.host)?, node(&right.host)?);
            cluster.connects(left, right).then_some(Transport::Tcp)
        }
    }
}

fn called(graph: &Graph) -> BTreeSet<ComponentId> {
    let component = |node: &crate::graph::Node| match node.kind {
        NodeKind::Run { component, .. } => Some(component),
        _ => None,
    };
    graph.nodes.iter().filter_map(component).collect()
}

/// Pairs of components of which one reads what the other streams, directly or by adaptors.
fn apart(graph: &Graph) -> BTreeSet<(ComponentId, ComponentId)> {
    let mut makers: IdVec<ValueId, BTreeSet<ComponentId>> =
        graph.values.iter().map(|_| BTreeSet::new()).collect();
    let mut pairs = BTreeSet::new();
    for node in &graph.nodes {
        let streams = node.operands.iter().map(|operand| operand.value);
        let streams = streams.filter(|value| graph.values[*value].ty.is_stream());
        let upstream: BTreeSet<ComponentId> = streams.flat_map(|value| makers[value].clone()).collect();
        let here = match node.kind {
            NodeKind::Run { component, .. } => {
                let others = upstream.into_iter().filter(|other| *other != component);
                pairs.extend(others.flat_map(|other| [(other, component), (component, other)]));
                BTreeSet::from([component])
            }
            _ => upstream,
        };
        for (_, value) in &node.results {
            makers[*value].clone_from(&here);
        }
    }
    pairs
}

impl Placement {
    /// What is where, as text.
    pub fn to_text(&self, all: &[Specialized], components: &IdVec<ComponentId, Component>) -> String {
        let mut out = String::new();
        for (id, stage) in self.stages.enumerate() {
            let names = stage.components.iter().map(|component| {
                let component = &components[*component].deployed;
                format!("{} ({})", component.name, human(component.needs.memory_bytes))
            });
            let names = joined(names, ", ");
            let names = if names.is_empty() { "no component" } else { &names };
            let _ = writeln!(out, "stage {id} on {}: {names}", joined(stage.replicas.iter(), ", "));
        }
        for (one, nodes) in all.iter().zip(&self.nodes) {
            let _ = writeln!(out, "\n{}", title(one));
            for (id, node) in one.graph.nodes.enumerate() {
                let what = describe(&one.graph, node, components);
                let _ = writeln!(out, "  {id} on {}: {what}", joined(nodes[id].iter(), ", "));
            }
        }
        out
    }
}
