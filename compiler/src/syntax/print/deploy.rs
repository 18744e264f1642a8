//! `cluster`, `place`, `serve` and `workload` as canonical text.

use super::{BROKEN, Printer};
use crate::syntax::ast::deploy::{
    Brings, Cluster, ClusterPart, Endpoint, NodePart, Place, PlaceLine, Serve, ServeLine, SettingKind,
    Target, Workload, WorkloadLine,
};

impl Printer {
    pub(super) fn cluster(&mut self, item: &Cluster) {
        self.put(format_args!("cluster {}", item.name.text));
        self.body(&item.parts, |printer, part| match part {
            ClusterPart::Node(node) => {
                printer.put(format_args!("node {} {{ ", node.name.text));
                for part in &node.parts {
                    printer.node_part(part);
                    printer.put(" ");
                }
                printer.put("}");
            }
            ClusterPart::Link(link) => {
                printer.put(format_args!("link {} {} ", link.from.text, link.to.text));
                printer.expr(&link.rate);
            }
            ClusterPart::Error(_) => printer.put(BROKEN),
        });
    }

    fn node_part(&mut self, part: &NodePart) {
        match part {
            NodePart::Cpu { count, .. } => {
                self.put("cpu ");
                self.expr(count);
            }
            NodePart::Memory { size, .. } => {
                self.put("memory ");
                self.expr(size);
            }
            NodePart::Gpu { count, kind, memory, .. } => {
                self.put("gpu ");
                self.expr(count);
                self.put(format_args!(" {} memory ", kind.text));
                self.expr(memory);
            }
            NodePart::Error(_) => self.put(BROKEN),
        }
    }

    pub(super) fn place(&mut self, item: &Place) {
        self.put("place ");
        self.names(&item.graphs, ", ");
        self.put(format_args!(" on {}", item.cluster.text));
        self.body(&item.lines, |printer, line| match line {
            PlaceLine::Settings { components, settings, .. } => {
                if components.is_empty() {
                    printer.put("*");
                }
                printer.names(components, ", ");
                printer.put(": ");
                printer.listed(settings, |printer, setting| printer.setting(&setting.kind));
            }
            PlaceLine::Error(_) => printer.put(BROKEN),
        });
    }

    fn setting(&mut self, kind: &SettingKind) {
        match kind {
            SettingKind::Replicas(count) => {
                self.put("replicas ");
                self.expr(count);
            }
            SettingKind::TensorParallel(degree) => {
                self.put("tensor_parallel ");
                self.expr(degree);
            }
            SettingKind::With(other) => self.put(format_args!("with {}", other.text)),
            SettingKind::Apart => self.put("apart"),
            SettingKind::On(node) => self.put(format_args!("on {}", node.text)),
            SettingKind::Auto => self.put("auto"),
            SettingKind::Error => self.put(BROKEN),
        }
    }

    pub(super) fn serve(&mut self, item: &Serve) {
        self.put(format_args!("serve {}", item.graph.text));
        self.body(&item.lines, |printer, line| match line {
            ServeLine::Openai { endpoints, .. } => {
                printer.put("openai ");
                printer.listed(endpoints, Self::endpoint);
            }
            ServeLine::Grpc(_) => printer.put("grpc"),
            ServeLine::Kserve(_) => printer.put("kserve"),
            ServeLine::Limit { limits, .. } => {
                printer.put("limit ");
                printer.listed(limits, |printer, (name, most)| {
                    printer.put(format_args!("{} ", name.text));
                    printer.expr(most);
                });
            }
            ServeLine::Deadline { after, .. } => {
                printer.put("deadline ");
                printer.expr(after);
            }
            ServeLine::Error(_) => printer.put(BROKEN),
        });
    }

    fn endpoint(&mut self, endpoint: &Endpoint) {
        self.names(&endpoint.path, ".");
        if !endpoint.with.is_empty() {
            self.put("[");
            self.names(&endpoint.with, ", ");
            self.put("]");
        }
        self.put(format_args!(" -> {}", endpoint.route.text));
    }

    pub(super) fn workload(&mut self, item: &Workload) {
        self.put(format_args!("workload {} for {}", item.name.text, item.graph.text));
        self.body(&item.lines, |printer, line| match line {
            WorkloadLine::Rate { rate, burst, .. } => {
                printer.put("rate ");
                printer.expr(rate);
                if let Some(burst) = burst {
                    printer.put(" burst ");
                    printer.expr(burst);
                }
            }
            WorkloadLine::Share { route, share, brings, .. } => {
                printer.put(format_args!("{} ", route.text));
                printer.expr(share);
                printer.put(" { ");
                printer.listed(brings, Self::brings);
                printer.put(if brings.is_empty() { "}" } else { " }" });
            }
            WorkloadLine::Targets { targets, .. } => {
                printer.put("target ");
                printer.listed(targets, Self::target);
            }
            WorkloadLine::Error(_) => printer.put(BROKEN),
        });
    }

    fn brings(&mut self, brings: &Brings) {
        self.put(format_args!("{} ", brings.input.text));
        self.expr(&brings.least);
        if let Some(most) = &brings.most {
            self.put("..");
            self.expr(most);
        }
        if let Some(share) = &brings.share {
            self.put(" ");
            self.expr(share);
        }
    }

    fn target(&mut self, target: &Target) {
        self.put(format_args!("{}.{} {} ", target.route.text, target.output.text, target.measure.text));
        self.expr(&target.within);
        self.put(format_args!(" {}", target.percentile.text));
    }

    /// A block with a line for each of `parts`.
    fn body<T>(&mut self, parts: &[T], mut one: impl FnMut(&mut Self, &T)) {
        self.put(" {");
        self.indent += 1;
        for part in parts {
            self.line();
            one(self, part);
        }
        self.indent -= 1;
        self.line();
        self.put("}");
    }
}
