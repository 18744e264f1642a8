//! `cluster`: nodes, what they have, and the links between them.

use crate::analyze::context::Context;
use crate::diagnostic::semantic::{self, Candidate};
use crate::graph::deploy::{Cluster, Link, Node, NodeGpus};
use crate::source::Span;
use crate::syntax::ast::Name;
use crate::syntax::ast::deploy::{self as ast, ClusterPart, NodePart};

/// Cores and memory of a node that says nothing of them.
const DEFAULT_CPUS: u32 = 16;
const DEFAULT_MEMORY_BYTES: u64 = 64 << 30;
/// Most cores and most GPUs of a node, and most nodes of a cluster.
const MOST_CPUS: u32 = 4096;
const MOST_GPUS: u32 = 64;
const MOST_NODES: usize = 1024;

impl<'a> Context<'a> {
    /// Resolves the cluster at `position`.
    pub(crate) fn cluster(&mut self, position: usize) {
        let (_, declared) = self.names.clusters[position];
        let mut cluster = Cluster {
            name: declared.name.text.clone(),
            span: declared.name.span,
            nodes: Vec::new(),
            links: Vec::new(),
        };
        let mut whole = true;
        for part in &declared.parts {
            match part {
                ClusterPart::Node(node) => match self.node(node, &cluster) {
                    Some(node) => cluster.nodes.push(node),
                    None => whole = false,
                },
                ClusterPart::Error(_) => whole = false,
                ClusterPart::Link(_) => {}
            }
        }
        if cluster.nodes.is_empty() && whole {
            self.report(semantic::deploy::no_node(&declared.name));
            return;
        }
        if cluster.nodes.len() > MOST_NODES {
            self.report(semantic::deploy::too_many_nodes(&declared.name, MOST_NODES));
            return;
        }
        let has_all_nodes = whole;
        let mut linked: Vec<(usize, usize, Span)> = Vec::new();
        for part in &declared.parts {
            let ClusterPart::Link(link) = part else { continue };
            // A node that is broken is not there to be named.
            match self.link(link, &cluster, has_all_nodes, &mut linked) {
                Some(link) => cluster.links.push(link),
                None => whole = false,
            }
        }
        self.clusters[position] = whole.then_some(cluster);
    }

    fn node(&mut self, node: &'a ast::Node, cluster: &Cluster) -> Option<Node> {
        if let Some(first) = cluster.nodes.iter().find(|first| first.name == node.name.text) {
            self.report(semantic::names::taken(&node.name, first.span));
            return None;
        }
        let mut made = Node {
            name: node.name.text.clone(),
            span: node.name.span,
            cpus: DEFAULT_CPUS,
            memory_bytes: DEFAULT_MEMORY_BYTES,
            gpus: None,
        };
        let mut whole = true;
        let mut seen: Vec<(&str, Span)> = Vec::new();
        for part in &node.parts {
            let (word, span) = match part {
                NodePart::Cpu { span, .. } => ("cpu", *span),
                NodePart::Memory { span, .. } => ("memory", *span),
                NodePart::Gpu { span, .. } => ("gpu", *span),
                NodePart::Error(_) => {
                    whole = false;
                    continue;
                }
            };
            if let Some((_, first)) = seen.iter().find(|(seen, _)| *seen == word) {
                self.report(semantic::deploy::node_part_twice(word, &node.name.text, span, *first));
                whole = false;
                continue;
            }
            seen.push((word, span));
            whole &= self.node_part(part, &mut made).is_some();
        }
        whole.then_some(made)
    }

    fn node_part(&mut self, part: &'a NodePart, node: &mut Node) -> Option<()> {
        match part {
            NodePart::Cpu { count, .. } => node.cpus = self.whole(count, MOST_CPUS, "`cpu`")?,
            NodePart::Memory { size, .. } => node.memory_bytes = self.size(size, "`memory`")?,
            NodePart::Gpu { count, kind, memory, .. } => {
                let count = self.whole(count, MOST_GPUS, "`gpu`");
                let memory_bytes = self.size(memory, "the memory of each GPU");
                node.gpus =
                    Some(NodeGpus { count: count?, kind: kind.text.clone(), memory_bytes: memory_bytes? });
            }
            NodePart::Error(_) => {}
        }
        Some(())
    }

    fn link(
        &mut self,
        link: &'a ast::Link,
        cluster: &Cluster,
        whole: bool,
        linked: &mut Vec<(usize, usize, Span)>,
    ) -> Option<Link> {
        let bits_per_s = self.link_rate(&link.rate);
        let from = self.node_named(&link.from, cluster, whole);
        let to = self.node_named(&link.to, cluster, whole);
        let (bits_per_s, from, to) = (bits_per_s?, from?, to?);
        if from == to {
            self.report(semantic::deploy::link_to_itself(&link.from.text, link.span));
            return None;
        }
        let ends = (from.min(to), from.max(to));
        if let Some((.., first)) = linked.iter().find(|(from, to, _)| (*from, *to) == ends) {
            self.report(semantic::deploy::linked_twice(&link.from.text, &link.to.text, link.span, *first));
            return None;
        }
        linked.push((ends.0, ends.1, link.span));
        Some(Link { from, to, bits_per_s })
    }

    /// The position of a node; reports that there is none, if all of them could be read.
    pub(super) fn node_named(&mut self, name: &Name, cluster: &Cluster, whole: bool) -> Option<usize> {
        let found = cluster.nodes.iter().position(|node| node.name == name.text);
        if found.is_none() && whole {
            let known: Vec<Candidate> =
                cluster.nodes.iter().map(|node| Candidate::at(&node.name, node.span)).collect();
            self.report(semantic::deploy::unknown_node(name, &cluster.name, &known));
        }
        found
    }
}
