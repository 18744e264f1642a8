//! The layout of `cluster`, `place`, `serve` and `workload`: a line for each part.

use super::build::{Braces, Builder};
use crate::source::Span;
use crate::syntax::ast::Item;
use crate::syntax::ast::deploy::{ClusterPart, PlaceLine, ServeLine, WorkloadLine};

impl Builder<'_> {
    /// An item of the deployment.
    pub(super) fn deployed(&mut self, item: &Item) {
        let (header, lines): (u32, Vec<Span>) = match item {
            Item::Cluster(item) => (item.name.span.end, item.parts.iter().map(part).collect()),
            Item::Place(item) => (item.cluster.span.end, item.lines.iter().map(placed).collect()),
            Item::Serve(item) => (item.graph.span.end, item.lines.iter().map(served).collect()),
            Item::Workload(item) => (item.graph.span.end, item.lines.iter().map(expected).collect()),
            _ => return,
        };
        self.until(header);
        self.group(|builder| {
            builder.braces(lines.len(), Braces::Clauses, |builder, index| {
                builder.line(None, |builder| builder.until(lines[index].end));
            });
        });
    }
}

const fn part(part: &ClusterPart) -> Span {
    match part {
        ClusterPart::Node(node) => node.span,
        ClusterPart::Link(link) => link.span,
        ClusterPart::Error(span) => *span,
    }
}

const fn placed(line: &PlaceLine) -> Span {
    match line {
        PlaceLine::Settings { span, .. } | PlaceLine::Error(span) => *span,
    }
}

const fn served(line: &ServeLine) -> Span {
    match line {
        ServeLine::Openai { span, .. }
        | ServeLine::Grpc(span)
        | ServeLine::Kserve(span)
        | ServeLine::Limit { span, .. }
        | ServeLine::Deadline { span, .. }
        | ServeLine::Error(span) => *span,
    }
}

const fn expected(line: &WorkloadLine) -> Span {
    match line {
        WorkloadLine::Rate { span, .. }
        | WorkloadLine::Share { span, .. }
        | WorkloadLine::Targets { span, .. }
        | WorkloadLine::Error(span) => *span,
    }
}
