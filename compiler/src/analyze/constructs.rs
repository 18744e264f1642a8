//! `when`, comprehensions, lists and records.

use corn_plan::{Adaptor, Dim, Form, Kind, Literal, Type, ValueId};

use crate::analyze::body::{Body, Eval, Sort};
use crate::analyze::context::Const;
use crate::diagnostic::semantic;
use crate::graph::fit::{Extents, kind_misfit};
use crate::graph::{Needs, NodeKind, Operand, Value};
use crate::source::Span;
use crate::syntax::ast::{Block, Expr, ExprKind, Name};

impl Body<'_, '_> {
    /// `when a, b { … }`: made on the routes where all of `present` are.
    pub(crate) fn when(&mut self, present: &[Name], body: &Block, span: Span) -> Eval {
        let outside = self.guard.clone();
        let mut guard = outside.clone();
        let mut broken = false;
        let mut absent: Vec<&str> = Vec::new();
        for name in present {
            let Some(local) = self.locals.find_mut(&name.text) else {
                self.unknown(&name.text, name.span, Sort::Optional);
                broken = true;
                continue;
            };
            local.used = true;
            match local.eval.clone() {
                Eval::Value(value) if !self.graph.values[value].needs.is_met_by(&outside) => {
                    guard.extend(&self.graph.values[value].needs);
                }
                Eval::Poison => broken = true,
                Eval::Value(value) if self.graph.values[value].optional => {
                    let made = self.graph.values[value].declared;
                    self.context.report(semantic::constructs::absent_once_made(&name.text, name.span, made));
                    absent.push(&name.text);
                }
                _ => {
                    let declared = local.span;
                    self.context
                        .report(semantic::constructs::always_present(&name.text, name.span, declared));
                }
            }
        }
        self.guard = guard;
        let eval = self.without(&absent, |inside| inside.block(body));
        let eval = self.only_here(eval, span);
        self.guard = outside;
        if broken || !absent.is_empty() { Eval::Poison } else { eval }
    }

    /// What `inside` makes where `names` stand for something broken, of which nothing more is said.
    pub(crate) fn without(&mut self, names: &[&str], inside: impl FnOnce(&mut Self) -> Eval) -> Eval {
        let mut kept = Vec::new();
        for name in names {
            if let Some(local) = self.locals.find_mut(name) {
                kept.push((*name, std::mem::replace(&mut local.eval, Eval::Poison)));
            }
        }
        let made = inside(self);
        for (name, eval) in kept {
            if let Some(local) = self.locals.find_mut(name) {
                local.eval = eval;
            }
        }
        made
    }

    /// `eval` as something that exists only where the guard holds, even if it is made elsewhere.
    pub(crate) fn only_here(&mut self, eval: Eval, span: Span) -> Eval {
        match eval {
            Eval::Value(value) if self.graph.values[value].needs != self.guard => {
                if !self.exists(value, span) {
                    return Eval::Poison;
                }
                let made = self.graph.values[value].clone();
                let operand = Operand { port: 0, value, each: false };
                let node = self.add(NodeKind::Pass, vec![operand], span);
                let needs = self.guard.clone();
                Eval::Value(self.graph.make(node, 0, Value { fixed: true, needs, ..made }))
            }
            Eval::Const(Const::Literal(literal)) => Eval::Value(self.literal(literal, None, span)),
            Eval::Record(fields) => {
                let fields = fields.into_iter().map(|(name, eval)| (name, self.only_here(eval, span)));
                Eval::Record(fields.collect())
            }
            other => other,
        }
    }

    /// `[body for item in list]`: the calls in `body` are made once for each item.
    pub(crate) fn each(&mut self, body: &Expr, item: &Name, list: &Expr, span: Span) -> Eval {
        if self.items.is_some() {
            self.context.report(semantic::constructs::each_in_each(span));
            return Eval::Poison;
        }
        let of = self.eval(list);
        let Some((value, _)) = self.value(of, None, list.span) else {
            return self.each_of_nothing(body, item);
        };
        let value_ty = self.graph.values[value].ty.clone();
        let Form::List { max } = value_ty.form else {
            let made = &self.graph.values[value];
            let problem = semantic::constructs::each_of_no_list(&value_ty, list.span, made.declared);
            self.context.report(problem);
            return self.each_of_nothing(body, item);
        };
        if !self.exists(value, list.span) {
            return self.each_of_nothing(body, item);
        }
        let locals = self.locals.len();
        self.enter(item, Eval::Item(value));
        self.items = Some(max);
        let eval = self.eval(body);
        self.items = None;
        self.leave(locals, semantic::unused::local);
        match eval {
            Eval::Poison => Eval::Poison,
            Eval::Item(made) => Eval::Value(made),
            Eval::Record(fields) => {
                let names: Vec<String> = fields.into_iter().map(|(name, _)| name).collect();
                self.context.report(semantic::types::record_as_value(&names, body.span));
                Eval::Poison
            }
            _ => {
                self.context
                    .report(semantic::constructs::each_without_item(&item.text, body.span, item.span));
                Eval::Poison
            }
        }
    }

    /// Looks at the body of a comprehension over something broken.
    fn each_of_nothing(&mut self, body: &Expr, item: &Name) -> Eval {
        let locals = self.locals.len();
        self.enter(item, Eval::Poison);
        self.eval(body);
        self.leave(locals, semantic::unused::local);
        Eval::Poison
    }

    /// `[a, b]`: a constant list of texts, or values of one kind.
    pub(crate) fn list(&mut self, items: &[Expr], span: Span) -> Eval {
        let evals: Vec<(Eval, Span)> = items.iter().map(|item| (self.eval(item), item.span)).collect();
        let text = |eval: &Eval| match eval {
            Eval::Const(Const::Literal(Literal::Text(text))) => Some(text.clone()),
            _ => None,
        };
        if let Some(texts) = evals.iter().map(|(eval, _)| text(eval)).collect() {
            return Eval::Const(Const::Literal(Literal::Texts(texts)));
        }
        let mut operands: Vec<Operand> = Vec::new();
        let mut kind: Option<(Kind, Span)> = None;
        let mut whole = true;
        for (position, (eval, at)) in evals.into_iter().enumerate() {
            let Some(value) = self.list_item(eval, at) else {
                whole = false;
                continue;
            };
            let given = &self.graph.values[value].ty.kind;
            let both = kind.as_ref().map_or(Some(given.clone()), |(so_far, _)| common(so_far, given));
            let Some(both) = both else {
                let (one, first) = kind.map_or((String::new(), at), |(kind, at)| (kind.to_string(), at));
                self.context.report(semantic::types::mixed_list(&one, first, &given.to_string(), at));
                return Eval::Poison;
            };
            kind = Some((both, kind.map_or(at, |(_, first)| first)));
            let port = u32::try_from(position).expect("items are few");
            operands.push(Operand { port, value, each: false });
        }
        let Some((kind, _)) = kind.filter(|_| whole) else { return Eval::Poison };
        let max = u32::try_from(operands.len()).expect("items are few");
        let ty = Type::list(kind, max);
        Eval::Value(self.made(NodeKind::Adapt(Adaptor::List), operands, "list".to_owned(), ty, true, span))
    }

    /// What may stand in a list: a whole value that exists.
    fn list_item(&mut self, eval: Eval, span: Span) -> Option<ValueId> {
        let (value, each) = self.value(eval, None, span)?;
        if each {
            self.context.report(semantic::constructs::not_in_each("a list", span));
            return None;
        }
        let made = &self.graph.values[value];
        if made.ty.form != Form::Value {
            let problem = semantic::types::not_a_list_item(&made.ty, span, made.declared);
            self.context.report(problem);
            return None;
        }
        self.exists(value, span).then_some(value)
    }

    /// `{ reply, voice: say(reply) }`.
    pub(crate) fn record(&mut self, fields: &[(Name, Option<Expr>)]) -> Eval {
        let mut evals: Vec<(String, Eval)> = Vec::new();
        for (position, (name, expr)) in fields.iter().enumerate() {
            let mark = self.graph.values.len();
            let eval = match expr {
                Some(expr) => self.eval(expr),
                None => self.eval(&Expr { kind: ExprKind::Name(name.text.clone()), span: name.span }),
            };
            if let Some((first, _)) = fields[..position].iter().find(|(first, _)| first.text == name.text) {
                self.context.report(semantic::names::taken(name, first.span));
                continue;
            }
            if expr.is_some() {
                self.name_results(&eval, &name.text, mark);
            }
            evals.push((name.text.clone(), eval));
        }
        Eval::Record(evals)
    }
}

/// The kind that holds items of both kinds, with the larger bound.
pub(crate) fn common(one: &Kind, other: &Kind) -> Option<Kind> {
    match (one, other) {
        (Kind::Text { max_bytes: a }, Kind::Text { max_bytes: b }) => {
            Some(Kind::Text { max_bytes: *a.max(b) })
        }
        (Kind::Image { max_bytes: a }, Kind::Image { max_bytes: b }) => {
            Some(Kind::Image { max_bytes: *a.max(b) })
        }
        (Kind::Audio { rate_hz: a, max_ms: x }, Kind::Audio { rate_hz: b, max_ms: y }) => {
            Some(Kind::Audio { rate_hz: if a == b { *a } else { None }, max_ms: *x.max(y) })
        }
        (Kind::Tensor { dtype, dims: a }, Kind::Tensor { dtype: same, dims: b })
            if dtype == same && a.len() == b.len() =>
        {
            let dims = a.iter().zip(b).map(|(a, b)| common_dim(a, b)).collect();
            Some(Kind::Tensor { dtype: *dtype, dims })
        }
        (Kind::Enum(a), Kind::Enum(b)) => {
            let others = b.iter().filter(|word| !a.contains(word));
            Some(Kind::Enum(a.iter().chain(others).cloned().collect()))
        }
        _ if kind_misfit(other, one, &mut Extents::new()).is_none() => Some(one.clone()),
        _ if kind_misfit(one, other, &mut Extents::new()).is_none() => Some(other.clone()),
        _ => None,
    }
}

/// The extent that both fit.
fn common_dim(one: &Dim, other: &Dim) -> Dim {
    match (one, other) {
        (one, other) if one == other => one.clone(),
        (Dim::Upto { name, .. }, other) | (other, Dim::Upto { name, .. }) => {
            Dim::Upto { name: name.clone(), max: one.max().max(other.max()) }
        }
        (Dim::Fixed(one), Dim::Fixed(other)) => Dim::Upto { name: "n".to_owned(), max: *one.max(other) },
    }
}

impl Body<'_, '_> {
    /// The names of the inputs that `value` needs beyond what is known here.
    pub(crate) fn needs_beyond(&self, value: ValueId, known: &Needs) -> Vec<String> {
        let needs = self.graph.values[value].needs.beyond(known);
        needs.into_iter().map(|input| self.graph.inputs[input as usize].name.clone()).collect()
    }
}
