//! What fills a port: is it a value, does it exist here, has it the port's type?

use corn_plan::{Adaptor, Dim, Form, Kind, Literal, Type, ValueId};

use crate::analyze::body::{Body, Eval};
use crate::analyze::context::Const;
use crate::diagnostic::Diagnostic;
use crate::diagnostic::semantic::{self, types::Ends};
use crate::graph::fit::{Extents, Misfit, misfit};
use crate::graph::{NodeKind, Operand};
use crate::source::Span;

/// What a reader takes.
pub(crate) struct Wanted<'w> {
    /// `in prompt of `think``, for messages.
    pub(crate) what: String,
    /// Where it was declared.
    pub(crate) declared: Option<Span>,
    pub(crate) ty: &'w Type,
    /// Whether the bounds of `ty` count. An output whose bound was not written takes any.
    pub(crate) bounded: bool,
    /// Whether a value that may not exist is taken: the reader then does without it.
    pub(crate) optional: bool,
    /// The window that the author wrote for this reader.
    pub(crate) window: Option<u32>,
}

impl Body<'_, '_> {
    /// `eval` as a value of the graph, and whether it is one item of it.
    pub(crate) fn value(&mut self, eval: Eval, kind: Option<&Kind>, span: Span) -> Option<(ValueId, bool)> {
        let problem = match eval {
            Eval::Value(value) => return Some((value, false)),
            Eval::Item(value) => return Some((value, true)),
            Eval::Const(Const::Literal(literal)) => {
                if let (Literal::Text(word), Some(Kind::Enum(words))) = (&literal, kind)
                    && !words.contains(word)
                {
                    self.context.report(semantic::types::unknown_word(word, words, span));
                    return None;
                }
                return Some((self.literal(literal, kind, span), false));
            }
            Eval::Poison | Eval::Const(Const::Poison) => return None,
            Eval::Record(fields) => {
                let names: Vec<String> = fields.into_iter().map(|(name, _)| name).collect();
                semantic::types::record_as_value(&names, span)
            }
            Eval::Const(Const::Component(component)) => {
                let name = &self.context.program.components[component].deployed.name;
                semantic::types::component_as_value(name, span)
            }
            Eval::Nothing => semantic::control::nothing_as_value(span),
            Eval::Const(other) => semantic::types::constant_as_value(&other.describe(), span),
            Eval::Absent { output, graph, needs } => {
                semantic::routes::absent_output(&output, &graph, &needs, span)
            }
        };
        self.context.report(problem);
        None
    }

    /// Whether `value` exists wherever this place is reached; reports it if not.
    pub(crate) fn exists(&mut self, value: ValueId, span: Span) -> bool {
        let missing = self.needs_beyond(value, &self.guard);
        let value = &self.graph.values[value];
        let choices = value.needs.choices_beyond(&self.guard);
        if !choices.is_empty() {
            let words = choices.words(&self.graph);
            let problem = semantic::control::only_in_a_case(&value.name, &words, span, value.declared);
            self.context.report(problem);
            return false;
        }
        if missing.is_empty() && !value.optional {
            return true;
        }
        if missing.is_empty() {
            self.context.report(semantic::control::may_turn_out_absent(&value.name, span, value.declared));
            return false;
        }
        self.context.report(semantic::constructs::may_be_absent(&value.name, &missing, span, value.declared));
        false
    }

    /// Fills port `port` of a reader that takes `wanted` with `eval`.
    pub(crate) fn fill(
        &mut self,
        port: u32,
        wanted: &Wanted<'_>,
        eval: Eval,
        span: Span,
        extents: &mut Extents,
    ) -> Option<Operand> {
        let (value, each) = self.value(eval, Some(&wanted.ty.kind), span)?;
        if !wanted.optional && !self.exists(value, span) {
            return None;
        }
        self.fit(value, each, wanted, span, extents).then_some(Operand { port, value, each })
    }

    /// Whether `value` has the type that is wanted; narrows it if its bound is not fixed, and
    /// reports it otherwise.
    pub(crate) fn fit(
        &mut self,
        value: ValueId,
        each: bool,
        wanted: &Wanted<'_>,
        span: Span,
        extents: &mut Extents,
    ) -> bool {
        let mut given = self.graph.values[value].ty.clone();
        if each {
            given.form = Form::Value;
        }
        if let Some(narrow) = self.narrowed(value, &given, wanted) {
            given = narrow;
        }
        if let (Some(window), Form::Stream { window: has }) = (wanted.window, given.form) {
            let window = window.min(has);
            self.graph.values[value].ty.form = Form::Stream { window };
        }
        match misfit(&given, wanted.ty, extents) {
            None => true,
            Some(Misfit::Bound) if !wanted.bounded && given.max_items() <= wanted.ty.max_items() => true,
            Some(misfit) => {
                let made = &self.graph.values[value];
                let ends = Ends {
                    given: given.to_string(),
                    given_dims: dims(&given),
                    made: (made.name.clone(), made.declared),
                    wanted: wanted.ty.to_string(),
                    wanted_dims: dims(wanted.ty),
                    what: wanted.what.clone(),
                    declared: wanted.declared,
                    at: span,
                };
                self.context.report(mismatch(misfit, &given, wanted.ty, &ends));
                false
            }
        }
    }

    /// Narrows `value`, now of type `given`, to the bound that is wanted, if it may be.
    fn narrowed(&mut self, value: ValueId, given: &Type, wanted: &Wanted<'_>) -> Option<Type> {
        let made = &self.graph.values[value];
        // What `merge` makes are the items of its streams, as they are.
        let narrows = match &self.graph.nodes[made.node].kind {
            NodeKind::Adapt(adaptor) => !matches!(adaptor, Adaptor::Merge { .. }),
            kind => matches!(kind, NodeKind::Input(_)),
        };
        if made.fixed || !narrows || !wanted.bounded {
            return None;
        }
        let mut kind = given.kind.clone();
        match (&mut kind, &wanted.ty.kind) {
            (Kind::Text { max_bytes: is }, Kind::Text { max_bytes: most })
            | (Kind::Image { max_bytes: is }, Kind::Image { max_bytes: most })
            | (Kind::Video { max_bytes: is, .. }, Kind::Video { max_bytes: most, .. })
            | (Kind::Audio { max_ms: is, .. }, Kind::Audio { max_ms: most, .. }) => *is = (*is).min(*most),
            _ => return None,
        }
        self.graph.values[value].ty.kind = kind.clone();
        Some(Type { kind, form: given.form })
    }
}

/// The dimensions of a tensor.
fn dims(ty: &Type) -> Vec<Dim> {
    match &ty.kind {
        Kind::Tensor { dims, .. } => dims.clone(),
        _ => Vec::new(),
    }
}

/// The problem of an edge whose ends do not fit.
fn mismatch(misfit: Misfit, given: &Type, wanted: &Type, ends: &Ends) -> Diagnostic {
    match misfit {
        Misfit::Kind => semantic::types::other_kind(given, wanted, ends),
        Misfit::StreamGiven => semantic::types::stream_given(given, ends),
        Misfit::StreamTaken => semantic::types::stream_wanted(given, ends),
        Misfit::Bound => semantic::types::over_bound(ends),
        Misfit::Rank => semantic::types::other_rank(ends),
        Misfit::Extent { axis } => semantic::types::other_extent(axis, ends),
        Misfit::ListGiven => semantic::types::list_given(ends),
        Misfit::ListTaken => semantic::types::list_wanted(ends),
    }
}
