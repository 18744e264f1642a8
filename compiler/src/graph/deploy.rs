//! Where a program runs, how it is served and what is expected of it, with no name left to resolve.

use std::collections::BTreeMap;

use corn_plan::ComponentId;

use super::GraphId;
use crate::source::Span;

/// Everything that the root file says about deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deployment {
    /// The cluster that `place` names. Without one, a program is placed on the target.
    pub cluster: Option<Cluster>,
    /// Each `place` block: its graphs, and its first line.
    pub places: Vec<(Vec<GraphId>, Span)>,
    /// What is set for each component that a `place` line is about.
    pub rules: BTreeMap<ComponentId, Rule>,
    /// Each `serve` block.
    pub serves: Vec<Serve>,
    /// Each `workload` block.
    pub workloads: Vec<Workload>,
}

/// A value that the program sets, and where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Said<T> {
    /// The value.
    pub value: T,
    /// Where it is set.
    pub span: Span,
}

/// What `place` lines set for a component.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// `replicas 2`.
    pub replicas: Option<Said<u32>>,
    /// `tensor_parallel 2`.
    pub tensor_parallel: Option<Said<u32>>,
    /// `with thinker`.
    pub with: Option<Said<ComponentId>>,
    /// `apart`.
    pub apart: Option<Said<()>>,
    /// `on a`: a position in [`Cluster::nodes`].
    pub on: Option<Said<usize>>,
    /// `auto`.
    pub auto: Option<Said<()>>,
}

/// Machines and the links between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// Its machines, at least one.
    pub nodes: Vec<Node>,
    /// Connections between two of them.
    pub links: Vec<Link>,
}

/// A machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name, which is the plan's name of the host.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// CPU cores.
    pub cpus: u32,
    /// Memory of the host, in bytes.
    pub memory_bytes: u64,
    /// Its GPUs, if it has any.
    pub gpus: Option<NodeGpus>,
}

/// The GPUs of a machine, all alike.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeGpus {
    /// How many.
    pub count: u32,
    /// What they are, such as `h200`.
    pub kind: String,
    /// Memory of each, in bytes.
    pub memory_bytes: u64,
}

/// A connection between two machines, positions in [`Cluster::nodes`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// One end.
    pub from: usize,
    /// The other.
    pub to: usize,
    /// How fast.
    pub bits_per_s: f64,
}

/// How a graph is served.
#[derive(Clone, Debug, PartialEq)]
pub struct Serve {
    /// The graph.
    pub graph: GraphId,
    /// As the plan will have it.
    pub plan: corn_plan::Serve,
    /// Where the block begins.
    pub span: Span,
    /// Where limits and the deadline are set, by name.
    pub said: BTreeMap<&'static str, Span>,
}

/// What is expected of a graph: for the planner and the simulator.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub span: Span,
    /// The graph.
    pub graph: GraphId,
    /// Requests a second.
    pub rate_per_s: f64,
    /// How many times faster they come in a burst.
    pub burst: f64,
    /// What requests ask.
    pub shares: Vec<Share>,
    /// What must hold.
    pub targets: Vec<Target>,
}

/// How many requests ask a route, and what they bring.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The route.
    pub route: String,
    /// Of how many requests.
    pub percent: f64,
    /// What they bring.
    pub brings: Vec<Brings>,
}

/// An input that requests bring.
#[derive(Clone, Debug, PartialEq)]
pub struct Brings {
    /// The input.
    pub input: String,
    /// How much of it, drawn evenly from least to most.
    pub amount: Amount,
    /// In how many of the requests.
    pub percent: f64,
}

/// How much of an input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// Tokens of a text, items of a list, or a number.
    Count {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// Duration of a sound, in milliseconds.
    Millis {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
}

/// What must hold of a route's output.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The route.
    pub route: String,
    /// Its output.
    pub output: String,
    /// What is measured.
    pub measure: Measure,
    /// The most that it may be, in milliseconds.
    pub within_ms: u64,
    /// In so many of a hundred requests.
    pub percentile: u8,
}

/// What is measured of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// From the request to the first item.
    First,
    /// From one item to the next.
    Gap,
    /// From the request to the end.
    Last,
}

impl Cluster {
    /// Whether data can go from one node to another.
    pub fn connects(&self, from: usize, to: usize) -> bool {
        let joins = |link: &Link| (link.from, link.to) == (from, to) || (link.to, link.from) == (from, to);
        from == to || self.links.iter().any(joins)
    }
}

impl Rule {
    /// The same without places: what two components must have in common to be one.
    #[must_use]
    pub fn plain(&self) -> Self {
        fn plain<T: Copy>(said: Option<Said<T>>) -> Option<Said<T>> {
            said.map(|said| Said { span: Span::default(), ..said })
        }
        Self {
            replicas: plain(self.replicas),
            tensor_parallel: plain(self.tensor_parallel),
            with: plain(self.with),
            apart: plain(self.apart),
            on: plain(self.on),
            // It sets nothing.
            auto: None,
        }
    }
}
