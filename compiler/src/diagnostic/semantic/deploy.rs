//! Clusters and what `place` sets on them. E0901 to E0912, W0301.

use super::{Candidate, Spelled, all};
use crate::diagnostic::{Code, Diagnostic, Explained};
use crate::source::Span;

pub(crate) fn no_node<'n>(cluster: impl Into<Spelled<'n>>) -> Diagnostic {
    let cluster = cluster.into();
    let message = format!("cluster `{}` has no node", cluster.text);
    Diagnostic::new(Code("E0901"), cluster.span, message, "nothing can run there")
        .hint("declare one: `node a { gpu 4 h200 memory 139GiB }`")
}

pub(crate) fn too_many_nodes<'n>(cluster: impl Into<Spelled<'n>>, most: usize) -> Diagnostic {
    let cluster = cluster.into();
    let message = format!("cluster `{}` has more than {most} nodes", cluster.text);
    Diagnostic::new(Code("E0901"), cluster.span, message, "too large")
}

pub(crate) fn node_part_twice(word: &str, node: &str, span: Span, first: Span) -> Diagnostic {
    let message = format!("node `{node}` says its `{word}` twice");
    Diagnostic::new(Code("E0901"), span, message, "said again").label(first, "said first")
}

pub(crate) fn link_to_itself(node: &str, span: Span) -> Diagnostic {
    let message = format!("this links node `{node}` with itself");
    Diagnostic::new(Code("E0901"), span, message, "both ends are one node")
        .hint("within a node no link is needed; name two nodes")
}

pub(crate) fn linked_twice(from: &str, to: &str, span: Span, first: Span) -> Diagnostic {
    let message = format!("nodes `{from}` and `{to}` are linked twice");
    Diagnostic::new(Code("E0901"), span, message, "linked again")
        .label(first, "linked here")
        .hint("a link goes both ways; add up what is there")
}

pub(crate) fn bad_amount(what: &str, takes: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0902"), span, format!("{what} takes {takes}"), "makes no sense here")
}

pub(crate) fn unknown_cluster<'n>(name: impl Into<Spelled<'n>>, known: &[Candidate]) -> Diagnostic {
    let name = name.into();
    let message = format!("there is no cluster `{}`", name.text);
    let found = Diagnostic::new(Code("E0903"), name.span, message, "unknown cluster");
    if known.is_empty() {
        return found.hint("declare it: `cluster lab { node a { gpu 4 h200 memory 139GiB } }`");
    }
    found.meant(name.text, known)
}

pub(crate) fn not_a_cluster<'n>(name: impl Into<Spelled<'n>>, sort: &str) -> Diagnostic {
    let name = name.into();
    let message = format!("`{}` is a {sort}, not a cluster", name.text);
    Diagnostic::new(Code("E0903"), name.span, message, "nothing can be placed on it")
}

pub(crate) fn unknown_node<'n>(
    name: impl Into<Spelled<'n>>,
    cluster: &str,
    known: &[Candidate],
) -> Diagnostic {
    let name = name.into();
    let message = format!("cluster `{cluster}` has no node `{}`", name.text);
    Diagnostic::new(Code("E0904"), name.span, message, "unknown node").meant(name.text, known)
}

/// `elsewhere` is where a component of that name is made that these graphs do not call.
pub(crate) fn unknown_component<'n>(
    name: impl Into<Spelled<'n>>,
    graphs: &[String],
    elsewhere: Option<Span>,
    known: &[Candidate],
) -> Diagnostic {
    let name = name.into();
    let (graphs, calls) = (all(graphs), if graphs.len() == 1 { "calls" } else { "call" });
    let message = format!("{graphs} {calls} no component `{}`", name.text);
    let found = Diagnostic::new(Code("E0905"), name.span, message, "unknown component");
    match elsewhere {
        Some(span) => found
            .label(span, format!("`{}` is made here, and {graphs} never {calls} it", name.text))
            .hint("leave it out, or place the graph that calls it"),
        None => found.meant(name.text, known),
    }
}

pub(crate) fn follower_sets(word: &str, name: &str, with: &str, span: Span, follows: Span) -> Diagnostic {
    let message = format!("`{name}` is with `{with}`, so it cannot set `{word}` itself");
    Diagnostic::new(Code("E0906"), span, message, "contradicts `with`")
        .label(follows, format!("shares the workers of `{with}`"))
        .hint(format!("set it for `{with}`, or leave `with {with}` out"))
}

pub(crate) fn auto_and_set(word: &str, name: &str, span: Span, auto: Span) -> Diagnostic {
    let message = format!("`{name}` is left to the planner, and `{word}` is set as well");
    Diagnostic::new(Code("E0906"), span, message, "contradicts `auto`")
        .label(auto, "left to the planner here")
        .hint(match word {
            "on" => "put both into one line, `auto, on NODE`, or leave one of the two out",
            _ => "leave one of the two out",
        })
}

/// `names` each want to be with the next, the last with the first.
pub(crate) fn circle_of_with(names: &[&str], spans: &[Span]) -> Diagnostic {
    let path: Vec<String> = names.iter().chain(names.first()).map(|name| format!("`{name}`")).collect();
    let message = match names {
        [only] => format!("`{only}` is with itself"),
        _ => format!("these are with each other in a circle: {}", path.join(" → ")),
    };
    let mut spans = spans.iter();
    let Some(first) = spans.next() else { return Diagnostic::without_place(Code("E0906"), message) };
    let found = Diagnostic::new(Code("E0906"), *first, message, "leads back here");
    spans
        .fold(found, |found, span| found.label(*span, "by way of this"))
        .hint("name one of them as the one that the others are with")
}

pub(crate) fn nothing_to_spread(name: &str, span: Span, made: Span) -> Diagnostic {
    let message = format!("`{name}` needs no GPU, so there is nothing to spread over several");
    Diagnostic::new(Code("E0906"), span, message, "makes no sense")
        .label(made, "made here")
        .hint("say `needs gpu 1` in its component, or use `replicas`")
}

pub(crate) fn set_twice(word: &str, name: &str, span: Span, first: Span) -> Diagnostic {
    Diagnostic::new(Code("E0907"), span, format!("`{word}` of `{name}` is set twice"), "set again")
        .label(first, "set here")
        .hint("leave one of them out")
}

pub(crate) fn named_twice<'n>(name: impl Into<Spelled<'n>>, first: Span) -> Diagnostic {
    let name = name.into();
    let message = format!("`{}` is named twice in one line", name.text);
    Diagnostic::new(Code("E0907"), name.span, message, "named again")
        .label(first, "named here")
        .hint("leave one of them out")
}

pub(crate) fn rest_twice(span: Span, first: Span) -> Diagnostic {
    Diagnostic::new(Code("E0907"), span, "`*` stands for everything else, and is set twice", "set again")
        .label(first, "set here")
        .hint("put both into one line")
}

pub(crate) fn placed_twice<'n>(graph: impl Into<Spelled<'n>>, first: Span) -> Diagnostic {
    let graph = graph.into();
    Diagnostic::new(Code("E0907"), graph.span, format!("graph `{}` is placed twice", graph.text), "again")
        .label(first, "placed here")
        .hint("put everything about a graph into one `place` block")
}

pub(crate) fn two_clusters<'n>(second: impl Into<Spelled<'n>>, first: &str, place: Span) -> Diagnostic {
    let second = second.into();
    let message = format!("one plan runs on one cluster, not on `{first}` and on `{}`", second.text);
    Diagnostic::new(Code("E0912"), second.span, message, "another cluster")
        .label(place, "this plan's cluster")
        .hint("put the nodes of both into one cluster, or write a root file for each")
}

pub(crate) fn not_a_graph<'n>(name: impl Into<Spelled<'n>>, sort: &str) -> Diagnostic {
    let name = name.into();
    let message = format!("`{}` is a {sort}, not a graph", name.text);
    Diagnostic::new(Code("E0913"), name.span, message, "a graph belongs here").hint(
        "graphs are placed, served and expected something of; components are set inside a `place` block",
    )
}

pub(crate) fn idle_cluster(name: &str, span: Span) -> Diagnostic {
    let message = format!("nothing is placed on cluster `{name}`");
    Diagnostic::new(Code("W0301"), span, message, "never used")
        .hint(format!("write `place NAME on {name} {{ *: auto }}`"))
}

/// Rows E0901 to E0907, E0912, E0913 and W0301.
pub(crate) const TABLE: &[Explained] = &[
    Explained {
        code: Code("E0901"),
        title: "a cluster that is not whole",
        text: "\
A cluster has at least one node; a node says once each how many cores, how much memory and which GPUs it
has. A link joins two different nodes, both ways, and is said once.",
    },
    Explained {
        code: Code("E0902"),
        title: "an amount that makes no sense",
        text: "\
Numbers of the deployment have units of their own: sizes (`80GiB`), durations (`120s`), how fast a link is
(`400Gbps`), how often requests come (`3.5/s`), shares (`60%`). Counts are whole numbers from 1.",
    },
    Explained {
        code: Code("E0903"),
        title: "unknown cluster",
        text: "\
`place NAME on CLUSTER` names a cluster of this file, or one that `use` takes from another. It says which
machines there are; without one a program is placed on the machine that compiles it.",
    },
    Explained {
        code: Code("E0904"),
        title: "unknown node",
        text: "\
`link` and `on` name nodes of the cluster. The message points at the nearest name, or lists all of them.",
    },
    Explained {
        code: Code("E0905"),
        title: "a component that is not there to be placed",
        text: "\
A `place` block sets where the components of its graphs run, by the names that their `let`s give them. Only
components that one of these graphs calls, directly or by another graph, can be set.",
    },
    Explained {
        code: Code("E0906"),
        title: "settings that contradict each other",
        text: "\
What is `with` another component shares its workers, and so its replicas, GPUs and node; it cannot set them
itself. `apart` keeps away everything that does not ask for it by `with`. `auto` leaves everything to the planner, and can only stand with
`on`, in one line.
`with` must not lead round in a circle.",
    },
    Explained {
        code: Code("E0907"),
        title: "placed or set twice",
        text: "\
Each setting of a component is said once, and a graph is placed by one block, so that a reader finds one
answer. `*` sets what no other line of its block names.",
    },
    Explained {
        code: Code("E0912"),
        title: "two clusters in one plan",
        text: "\
All `place` blocks of a root file name one cluster, because requests, memory and links are planned together.
For two clusters write two root files that use the same graphs.",
    },
    Explained {
        code: Code("E0913"),
        title: "not a graph",
        text: "\
`place`, `serve` and `workload` are about graphs, because requests ask graphs. Where single components run is
set by the lines inside a `place` block.",
    },
    Explained {
        code: Code("W0301"),
        title: "a cluster that nothing is placed on",
        text: "\
The file declares a cluster, and no `place` block names it. The program is placed on the machine that
compiles it, as if the cluster were not there.",
    },
];
