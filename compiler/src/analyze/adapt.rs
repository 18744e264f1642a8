//! Adaptors: `join(…)`, `.sentences()`, `.windows(…)` and `.collect()`.

use corn_plan::types::{DEFAULT_AUDIO_MAX_MS, DEFAULT_STREAM_WINDOW, DEFAULT_TEXT_MAX_BYTES};
use corn_plan::{Adaptor, Dim, Form, Kind, Type, ValueId};

use crate::analyze::arguments::Takes;
use crate::analyze::body::{Body, Eval};
use crate::analyze::consts::{Place, Seen};
use crate::analyze::context::Const;
use crate::diagnostic::semantic::{self, Candidate};
use crate::graph::{NodeKind, Operand};
use crate::source::Span;
use crate::syntax::ast::{Arg, Expr, Name};

pub(crate) const ADAPTORS: [&str; 3] = ["sentences", "windows", "collect"];
/// Bytes of the blank line that `join` puts between two texts.
const BLANK_LINE_BYTES: u64 = 2;

impl Body<'_, '_> {
    /// `join(a, b, …)`: texts put together; those that are absent are left out.
    pub(crate) fn join(&mut self, args: &[Arg], span: Span) -> Eval {
        let mut operands = Vec::new();
        let mut max_bytes = 0u64;
        let mut whole = true;
        for (position, arg) in args.iter().enumerate() {
            if let Some(name) = &arg.name {
                self.context.report(semantic::calls::unknown_argument("`join`", name, &[]));
                whole = false;
            }
            let eval = self.eval(&arg.value);
            let Some(value) = self.joined(eval, arg.value.span) else {
                whole = false;
                continue;
            };
            let bytes = self.graph.values[value].ty.kind.max_bytes().unwrap_or(u64::MAX);
            let blank = if position == 0 { 0 } else { BLANK_LINE_BYTES };
            max_bytes = max_bytes.saturating_add(bytes).saturating_add(blank);
            let port = u32::try_from(position).expect("arguments are few");
            operands.push(Operand { port, value, each: false });
        }
        if args.is_empty() {
            self.context.report(semantic::constructs::join_of_nothing(span));
            whole = false;
        }
        if !whole {
            return Eval::Poison;
        }
        let ty = Type::value(Kind::Text { max_bytes });
        let kind = NodeKind::Adapt(Adaptor::Join);
        Eval::Value(self.made(kind, operands, "join".to_owned(), ty, false, span))
    }

    /// A whole text; it may be absent.
    fn joined(&mut self, eval: Eval, span: Span) -> Option<ValueId> {
        let (value, each) = self.value(eval, None, span)?;
        if each {
            self.context.report(semantic::constructs::not_in_each("`join`", span));
            return None;
        }
        let made = &self.graph.values[value];
        if matches!((&made.ty.kind, made.ty.form), (Kind::Text { .. }, Form::Value)) {
            return Some(value);
        }
        let problem = semantic::types::join_takes_text(&made.ty, span, made.declared);
        self.context.report(problem);
        None
    }

    /// `base.name(args)`.
    pub(crate) fn method(&mut self, base: &Expr, name: &Name, args: &[Arg], span: Span) -> Eval {
        let of = self.eval(base);
        if !ADAPTORS.contains(&name.text.as_str()) {
            self.unknown_method(&of, name, args);
            return Eval::Poison;
        }
        let Some((value, each)) = self.value(of, None, base.span) else { return Eval::Poison };
        if each {
            let what = format!("`.{}()`", name.text);
            self.context.report(semantic::constructs::not_in_each(&what, span));
            return Eval::Poison;
        }
        if !self.exists(value, base.span) {
            return Eval::Poison;
        }
        let made = match name.text.as_str() {
            "sentences" => self.sentences(value, args, base.span, span),
            "windows" => self.windows(value, args, base.span, span),
            _ => self.collect(value, args, base.span, span),
        };
        let Some((adaptor, ty, fixed)) = made else { return Eval::Poison };
        let called = format!("{}.{}", self.graph.values[value].name, name.text);
        let operand = Operand { port: 0, value, each: false };
        Eval::Value(self.made(NodeKind::Adapt(adaptor), vec![operand], called, ty, fixed, span))
    }

    fn unknown_method(&mut self, of: &Eval, name: &Name, args: &[Arg]) {
        for arg in args {
            self.eval(&arg.value);
        }
        match of {
            Eval::Poison | Eval::Const(Const::Poison) => {}
            Eval::Record(fields) if fields.iter().any(|(field, _)| *field == name.text) => {
                self.context.report(semantic::calls::not_callable(&format!("`{}`", name.text), name.span));
            }
            _ => {
                self.context.report(semantic::names::unknown_adaptor(name, &ADAPTORS.map(Candidate::named)));
            }
        }
    }

    fn sentences(
        &mut self,
        value: ValueId,
        args: &[Arg],
        base: Span,
        span: Span,
    ) -> Option<(Adaptor, Type, bool)> {
        self.context.arguments("`sentences`", &[], args, span)?;
        let made = &self.graph.values[value];
        let Kind::Text { max_bytes } = made.ty.kind else {
            let problem = semantic::types::sentences_take_text(&made.ty, base, made.declared);
            self.context.report(problem);
            return None;
        };
        // A stream's sentence may be put together from many items.
        let max_bytes = match made.ty.form {
            Form::Value => max_bytes,
            Form::Stream { .. } => max_bytes.max(DEFAULT_TEXT_MAX_BYTES),
            Form::List { .. } => {
                let problem = semantic::types::sentences_take_text(&made.ty, base, made.declared);
                self.context.report(problem);
                return None;
            }
        };
        Some((Adaptor::Sentences, Type::stream(Kind::Text { max_bytes }), false))
    }

    fn windows(
        &mut self,
        value: ValueId,
        args: &[Arg],
        base: Span,
        span: Span,
    ) -> Option<(Adaptor, Type, bool)> {
        let takes = [("size", false), ("left", true), ("first", true)].map(|(name, optional)| Takes {
            name,
            span: None,
            optional,
        });
        let filled = self.context.arguments("`windows`", &takes, args, span)?;
        self.mark_used(args);
        let size = self.item_count(filled[0], 1)?.unwrap_or(1);
        let left = self.item_count(filled[1], 0)?.unwrap_or(0);
        let first = self.item_count(filled[2], 1)?.unwrap_or(size);
        let made = &self.graph.values[value];
        if !made.ty.is_stream() {
            let problem = semantic::types::value_as_stream(&made.ty, "`.windows()`", base, made.declared);
            self.context.report(problem);
            return None;
        }
        let most = u64::from(size.max(first)) + u64::from(left);
        let Some(kind) = window_kind(&made.ty.kind, most, size == first && left == 0 && size == 1) else {
            let problem = semantic::types::no_windows_of(&made.ty, base, made.declared);
            self.context.report(problem);
            return None;
        };
        let ty = Type { kind, form: Form::Stream { window: DEFAULT_STREAM_WINDOW } };
        if ty.max_bytes().is_none() {
            self.context.report(semantic::types::too_large(&ty.to_string(), span));
            return None;
        }
        Some((Adaptor::Windows { size, left, first }, ty, false))
    }

    /// A number of items known at compile time; `None` inside if it was not given.
    #[expect(clippy::option_option, reason = "broken and not given are two things")]
    fn item_count(&mut self, expr: Option<&Expr>, least: i64) -> Option<Option<u32>> {
        let Some(expr) = expr else { return Some(None) };
        match self.context.constant(
            expr,
            None,
            Place { module: self.module, local: Seen::Bound(&self.locals) },
        ) {
            Const::Literal(corn_plan::Literal::Int(count)) if (least..=0x7fff_ffff).contains(&count) => {
                Some(u32::try_from(count).ok())
            }
            Const::Poison => None,
            _ => {
                let wanted = format!("a whole number of items, at least {least}");
                self.context.report(semantic::types::bad_bound(&wanted, expr.span));
                None
            }
        }
    }

    fn collect(
        &mut self,
        value: ValueId,
        args: &[Arg],
        base: Span,
        span: Span,
    ) -> Option<(Adaptor, Type, bool)> {
        let takes = [Takes { name: "max", span: None, optional: true }];
        let filled = self.context.arguments("`collect`", &takes, args, span)?;
        self.mark_used(args);
        let ty = self.graph.values[value].ty.clone();
        if !ty.is_stream() {
            let declared = self.graph.values[value].declared;
            self.context.report(semantic::types::nothing_to_collect(&ty, base, declared));
            return None;
        }
        let max = match filled[0] {
            None => None,
            Some(expr) => {
                let max = self.context.constant(
                    expr,
                    None,
                    Place { module: self.module, local: Seen::Bound(&self.locals) },
                );
                Some((max, expr.span))
            }
        };
        let fixed = max.is_some();
        let collected = match (&ty.kind, max) {
            (_, Some((Const::Poison, _))) => return None,
            (Kind::Text { .. }, None) => Type::value(Kind::Text { max_bytes: DEFAULT_TEXT_MAX_BYTES }),
            (Kind::Text { .. }, Some((Const::Bytes(max_bytes @ 1..), _))) => {
                Type::value(Kind::Text { max_bytes })
            }
            (Kind::Audio { rate_hz, .. }, None) => {
                Type::value(Kind::Audio { rate_hz: *rate_hz, max_ms: DEFAULT_AUDIO_MAX_MS })
            }
            (Kind::Audio { rate_hz, .. }, Some((Const::Millis(max_ms @ 1..), _))) => {
                Type::value(Kind::Audio { rate_hz: *rate_hz, max_ms })
            }
            (kind, Some((Const::Literal(corn_plan::Literal::Int(max @ 1..=0x7fff_ffff)), _)))
                if !matches!(kind, Kind::Text { .. } | Kind::Audio { .. }) =>
            {
                Type::list(kind.clone(), u32::try_from(max).ok()?)
            }
            (kind, given) => {
                self.context.report(semantic::types::bad_collect(kind, given.map(|(_, at)| at), span));
                return None;
            }
        };
        if collected.max_bytes().is_none() {
            self.context.report(semantic::types::too_large(&collected.to_string(), span));
            return None;
        }
        Some((Adaptor::Collect, collected, fixed))
    }
}

/// What one window of at most `most` items is; `None` if such items make no windows.
fn window_kind(item: &Kind, most: u64, always: bool) -> Option<Kind> {
    Some(match item {
        Kind::Tensor { dtype, dims } => {
            let count =
                if always { Dim::Fixed(most) } else { Dim::Upto { name: "items".to_owned(), max: most } };
            let dims = std::iter::once(count).chain(dims.iter().cloned()).collect();
            Kind::Tensor { dtype: *dtype, dims }
        }
        Kind::Text { max_bytes } => Kind::Text { max_bytes: max_bytes.saturating_mul(most) },
        Kind::Audio { rate_hz, max_ms } => {
            Kind::Audio { rate_hz: *rate_hz, max_ms: max_ms.saturating_mul(most) }
        }
        Kind::Image { .. }
        | Kind::Video { .. }
        | Kind::Media { .. }
        | Kind::Messages { .. }
        | Kind::Int
        | Kind::Float
        | Kind::Bool
        | Kind::Enum(_) => return None,
    })
}
