//! Numbers that a reader takes only within a range: the rounds of a loop, a port that the executor knows as an
//! option too.
//!
//! What is known when the program is compiled is held against the range: a constant, the default of an input, and
//! what a caller gives for an input that is read so, through as many graphs as there are.

use corn_plan::catalog::Domain;
use corn_plan::{ComponentId, ValueId};

use crate::analyze::body::Body;
use crate::analyze::entries::known_words;
use crate::diagnostic::semantic;
use crate::graph::print::Lit;
use crate::graph::{Limit, NodeKind, Reader};
use crate::source::Span;

impl Body<'_, '_> {
    /// What port `port` of `component`, declared at `span`, takes: an executor's option of that name says it.
    pub(crate) fn limit_of_port(&self, component: ComponentId, port: &str, span: Span) -> Option<Limit> {
        let declared = &self.context.kinds[component];
        let entry = self.context.catalog.find(&declared.executor, &declared.entry)?;
        let takes = entry.option(port)?.domain;
        (takes != Domain::INT).then(|| Limit { takes, reader: Reader::Port(port.to_owned()), span })
    }

    /// Whether what is known of `value`, given at `at`, is within `limit`; reports it if not. A limit of an input
    /// holds for whoever asks this graph.
    pub(crate) fn holds(&mut self, value: ValueId, limit: &Limit, at: Span) -> bool {
        let made = &self.graph.values[value];
        let node = &self.graph.nodes[made.node];
        let (literal, at) = match &node.kind {
            NodeKind::Const(literal) => (literal, at),
            NodeKind::Input(position) => {
                let limits = self.graph.limits.entry(*position).or_default();
                if !limits.contains(limit) {
                    limits.push(limit.clone());
                }
                match &self.graph.inputs[*position as usize].default {
                    Some(literal) => (literal, made.declared),
                    None => return true,
                }
            }
            NodeKind::Pass | NodeKind::Choose => {
                let given: Vec<ValueId> = node.operands.iter().map(|operand| operand.value).collect();
                return given.into_iter().all(|value| self.holds(value, limit, at));
            }
            NodeKind::Switch { .. } => {
                let given: Vec<ValueId> = node.operands.iter().skip(1).map(|operand| operand.value).collect();
                return given.into_iter().all(|value| self.holds(value, limit, at));
            }
            _ => return true,
        };
        // A literal of another kind was reported, or is another result of the case.
        if !limit.takes.is_kind_of(literal) || limit.takes.takes(literal) {
            return true;
        }
        let given = Lit(literal).to_string();
        let problem = match &limit.reader {
            Reader::Rounds { max } => semantic::control::more_rounds_than_bound(&given, *max, at, limit.span),
            Reader::Port(port) => {
                let (takes, known) = (limit.takes.to_string(), known_words(limit.takes));
                let reader = (limit.span, "read by this port");
                semantic::components::option_outside(port, &takes, &given, at, reader, &known)
            }
        };
        self.context.report(problem);
        false
    }
}
