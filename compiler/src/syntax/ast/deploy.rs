//! The deployment half of a tree: where a graph runs, how it is served, what is expected of it.

use super::{Expr, Name};
use crate::source::Span;

/// `cluster lab { node a { … } link a b 400Gbps }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Its name.
    pub name: Name,
    /// Its nodes and links, in order.
    pub parts: Vec<ClusterPart>,
    /// The whole item.
    pub span: Span,
}

/// A part of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum ClusterPart {
    /// `node a { cpu 96 memory 1TiB gpu 4 h200 memory 139GiB }`.
    Node(Node),
    /// `link a b 400Gbps`.
    Link(Link),
    /// Text that is neither; already reported.
    Error(Span),
}

/// A machine of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: Name,
    /// What it has, in order.
    pub parts: Vec<NodePart>,
    /// From `node` to its closing brace.
    pub span: Span,
}

/// What a node has.
#[derive(Clone, Debug, PartialEq)]
pub enum NodePart {
    /// `cpu 96`: cores.
    Cpu {
        /// How many.
        count: Expr,
        /// The whole part.
        span: Span,
    },
    /// `memory 1TiB`.
    Memory {
        /// How much.
        size: Expr,
        /// The whole part.
        span: Span,
    },
    /// `gpu 4 h200 memory 139GiB`.
    Gpu {
        /// How many.
        count: Expr,
        /// What kind.
        kind: Name,
        /// Memory of each.
        memory: Expr,
        /// The whole part.
        span: Span,
    },
    /// Text that is none of these; already reported.
    Error(Span),
}

/// A connection between two nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// One end.
    pub from: Name,
    /// The other.
    pub to: Name,
    /// How fast.
    pub rate: Expr,
    /// The whole part.
    pub span: Span,
}

/// `place omni on lab { … }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The graphs whose components are placed.
    pub graphs: Vec<Name>,
    /// The cluster.
    pub cluster: Name,
    /// Its lines, in order.
    pub lines: Vec<PlaceLine>,
    /// The whole item.
    pub span: Span,
}

/// `talker, vocoder : replicas 5, apart`.
#[derive(Clone, Debug, PartialEq)]
pub enum PlaceLine {
    /// Settings of some components.
    Settings {
        /// The components; empty for `*`, all that no other line names.
        components: Vec<Name>,
        /// What is set, in order.
        settings: Vec<Setting>,
        /// The whole line.
        span: Span,
    },
    /// Text that is no line; already reported.
    Error(Span),
}

/// One thing that a `place` line sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// What.
    pub kind: SettingKind,
    /// Its place.
    pub span: Span,
}

/// What a `place` line can set.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingKind {
    /// `replicas 2`.
    Replicas(Expr),
    /// `tensor_parallel 2`.
    TensorParallel(Expr),
    /// `with thinker`.
    With(Name),
    /// `apart`.
    Apart,
    /// `on a`.
    On(Name),
    /// `auto`.
    Auto,
    /// Broken; already reported.
    Error,
}

/// `serve omni { … }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Serve {
    /// The graph.
    pub graph: Name,
    /// Its lines, in order.
    pub lines: Vec<ServeLine>,
    /// The whole item.
    pub span: Span,
}

/// A line of a `serve` block.
#[derive(Clone, Debug, PartialEq)]
pub enum ServeLine {
    /// `openai chat -> chat, chat[audio] -> speak`.
    Openai {
        /// Endpoints and their routes.
        endpoints: Vec<Endpoint>,
        /// The whole line.
        span: Span,
    },
    /// `grpc`: every route, natively.
    Grpc(Span),
    /// `kserve`: every route, by the KServe protocol.
    Kserve(Span),
    /// `limit body 64MiB, images 20`.
    Limit {
        /// What is limited, and to how much.
        limits: Vec<(Name, Expr)>,
        /// The whole line.
        span: Span,
    },
    /// `deadline 120s`.
    Deadline {
        /// After how long a request is given up.
        after: Expr,
        /// The whole line.
        span: Span,
    },
    /// Text that is no line; already reported.
    Error(Span),
}

/// `chat[audio] -> speak`.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// `audio`, `speech` of `audio.speech`.
    pub path: Vec<Name>,
    /// `audio` of `chat[audio]`.
    pub with: Vec<Name>,
    /// The route that answers.
    pub route: Name,
    /// The whole of it.
    pub span: Span,
}

/// `workload evening for omni { … }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Its name.
    pub name: Name,
    /// The graph.
    pub graph: Name,
    /// Its lines, in order.
    pub lines: Vec<WorkloadLine>,
    /// The whole item.
    pub span: Span,
}

/// A line of a `workload` block.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkloadLine {
    /// `rate 3.5/s burst 2.0`.
    Rate {
        /// Requests a second.
        rate: Expr,
        /// How much faster they come at times.
        burst: Option<Expr>,
        /// The whole line.
        span: Span,
    },
    /// `chat 60% { prompt 400..2000, images 1 50% }`.
    Share {
        /// The route.
        route: Name,
        /// Of how many of the requests.
        share: Expr,
        /// What they bring.
        brings: Vec<Brings>,
        /// The whole line.
        span: Span,
    },
    /// `target speak.voice first 600ms p95, …`.
    Targets {
        /// Each of them.
        targets: Vec<Target>,
        /// The whole line.
        span: Span,
    },
    /// Text that is no line; already reported.
    Error(Span),
}

/// `images 1 50%`, `speech 3s..15s`.
#[derive(Clone, Debug, PartialEq)]
pub struct Brings {
    /// The input.
    pub input: Name,
    /// How much of it; the least, if `most` is there.
    pub least: Expr,
    /// The most.
    pub most: Option<Expr>,
    /// In how many of the requests; all, if it is left out.
    pub share: Option<Expr>,
    /// The whole of it.
    pub span: Span,
}

/// `speak.voice first 600ms p95`.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The route.
    pub route: Name,
    /// Its output.
    pub output: Name,
    /// `first`, `gap` or `last`.
    pub measure: Name,
    /// Within how long.
    pub within: Expr,
    /// `p95`.
    pub percentile: Name,
    /// The whole of it.
    pub span: Span,
}
