//! `loop`: rounds that hand values to the next, at most so many.

use corn_plan::catalog::Domain;
use corn_plan::{Kind, Literal, Type, ValueId};

use crate::analyze::body::{Body, Eval};
use crate::analyze::consts::{Place, Seen};
use crate::analyze::context::Const;
use crate::analyze::locals::Local;
use crate::diagnostic::semantic::{self, Candidate};
use crate::graph::fit::{Extents, Misfit, misfit};
use crate::graph::{Limit, NodeId, NodeKind, Operand, Reader, ScopeId};
use crate::source::Span;
use crate::syntax::ast::{Carried, Expr, LoopBody, LoopStep, Name};

/// What stands between `loop` and its body.
pub(crate) struct Head<'h> {
    pub(crate) carried: &'h [Carried],
    pub(crate) trip: Option<&'h (Name, Box<Expr>)>,
    pub(crate) max: Option<&'h Expr>,
}

/// What a carried value is on its way through a round.
struct Var<'h> {
    name: &'h Name,
    inside: ValueId,
    next: Option<(ValueId, Span)>,
}

impl Body<'_, '_> {
    /// `loop x = a, t in steps max 50 { x = f(x, t) until g(x) }`.
    pub(crate) fn looped(&mut self, head: &Head<'_>, body: &LoopBody, span: Span) -> Eval {
        if self.items.is_some() {
            self.context.report(semantic::constructs::not_in_each("`loop`", span));
            return Eval::Poison;
        }
        let max = self.rounds(head, span);
        let inits = self.inits(head);
        let count = self.count_of_rounds(head, max);
        let (Some(max), Some(inits), Some(count)) = (max, inits, count) else {
            self.broken_loop(head, body);
            return Eval::Poison;
        };
        let outside = self.scope;
        let scope = self.graph.scopes.push(outside);
        self.scope = Some(scope);
        let locals = self.locals.len();
        let mut vars = self.enter_loop(head, scope, &inits, count, span);
        let first = self.graph.nodes.len();
        let whole = self.rounds_body(&mut vars, body, locals);
        let until = body.until.as_ref().map(|until| self.until(until));
        self.leave(locals, semantic::unused::local);
        self.scope = outside;
        if !whole || until.is_some_and(|until| until.is_none()) || !self.reads_no_streams(scope, first, span)
        {
            return Eval::Poison;
        }
        self.end_loop(&vars, until.flatten(), scope, max, span)
    }

    /// The bound, which is required.
    fn rounds(&mut self, head: &Head<'_>, span: Span) -> Option<u32> {
        let Some(max) = head.max else {
            self.context.report(semantic::control::loop_without_bound(span));
            return None;
        };
        match self.context.constant(
            max,
            None,
            Place { module: self.module, local: Seen::Bound(&self.locals) },
        ) {
            Const::Literal(Literal::Int(count @ 1..=0x7fff_ffff)) => u32::try_from(count).ok(),
            Const::Poison => None,
            _ => {
                let problem = semantic::types::bad_bound("the number of rounds, at least 1", max.span);
                self.context.report(problem);
                None
            }
        }
    }

    /// What the first round gets.
    fn inits(&mut self, head: &Head<'_>) -> Option<Vec<ValueId>> {
        let mut inits = Vec::new();
        let mut whole = true;
        for var in head.carried {
            let eval = self.eval(&var.init);
            match self.whole_value(eval, var.init.span) {
                Some(value) => inits.push(value),
                None => whole = false,
            }
        }
        whole.then_some(inits)
    }

    /// A value that exists, whole, and is no item.
    fn whole_value(&mut self, eval: Eval, span: Span) -> Option<ValueId> {
        let (value, each) = self.value(eval, None, span)?;
        if !self.exists(value, span) {
            return None;
        }
        let made = &self.graph.values[value];
        if each || made.ty.is_stream() {
            let problem = semantic::control::stream_in_loop(&made.name, span, made.declared);
            self.context.report(problem);
            return None;
        }
        Some(value)
    }

    /// How many rounds the request wants; the outer `None` is reported.
    #[expect(clippy::option_option, reason = "broken and not given are two things")]
    fn count_of_rounds(&mut self, head: &Head<'_>, max: Option<u32>) -> Option<Option<ValueId>> {
        let Some((_, count)) = head.trip else { return Some(None) };
        let eval = self.eval(count);
        let value = self.whole_value(eval, count.span)?;
        let limit = max.zip(head.max).map(|(max, bound)| Limit {
            takes: Domain::Int(0, i64::from(max)),
            reader: Reader::Rounds { max },
            span: bound.span,
        });
        if limit.is_some_and(|limit| !self.holds(value, &limit, count.span)) {
            return None;
        }
        let made = &self.graph.values[value];
        if made.ty != Type::value(Kind::Int) {
            let problem =
                semantic::control::rounds_not_counted(&made.ty.to_string(), count.span, made.declared);
            self.context.report(problem);
            return None;
        }
        Some(Some(value))
    }

    /// Adds what a round begins with, and the names inside.
    fn enter_loop<'h>(
        &mut self,
        head: &Head<'h>,
        scope: ScopeId,
        inits: &[ValueId],
        count: Option<ValueId>,
        span: Span,
    ) -> Vec<Var<'h>> {
        let operands = inits.iter().copied().chain(count).zip(0u32..);
        let operands = operands.map(|(value, port)| Operand { port, value, each: false }).collect();
        let carried = u32::try_from(inits.len()).expect("carried values are few");
        let node = self.add(NodeKind::Enter { scope, carried }, operands, span);
        let mut vars = Vec::new();
        for ((port, var), init) in (0u32..).zip(head.carried).zip(inits) {
            let ty = self.graph.values[*init].ty.clone();
            let inside = self.make(node, port, var.name.text.clone(), ty, true, var.span);
            self.enter(&var.name, Eval::Value(inside));
            self.quiet_last();
            vars.push(Var { name: &var.name, inside, next: None });
        }
        if let Some((name, _)) = head.trip {
            let ty = Type::value(Kind::Int);
            let index = self.make(node, carried, name.text.clone(), ty, true, name.span);
            self.enter(name, Eval::Value(index));
            self.quiet_last();
        }
        vars
    }

    fn quiet_last(&mut self) {
        if let Some(local) = self.locals.last_mut() {
            local.quiet = true;
        }
    }

    /// The lines of the body; whether each carried value gets its next one.
    fn rounds_body(&mut self, vars: &mut [Var<'_>], body: &LoopBody, locals: usize) -> bool {
        for step in &body.steps {
            if let LoopStep::Let(each) = step {
                self.locals.announce(&each.name.text, each.name.span);
            }
        }
        let mut whole = true;
        for step in &body.steps {
            match step {
                LoopStep::Let(each) => self.bind(each),
                LoopStep::Next { name, value, span } => {
                    whole &= self.next(vars, name, value, *span, locals);
                }
            }
        }
        for var in vars.iter().filter(|var| var.next.is_none()) {
            if whole {
                self.context.report(semantic::control::never_changes(
                    &var.name.text,
                    var.name.span,
                    body.span,
                ));
            }
            whole = false;
        }
        whole
    }

    /// `x = step(x)`.
    fn next(&mut self, vars: &mut [Var<'_>], name: &Name, value: &Expr, span: Span, locals: usize) -> bool {
        let mark = self.graph.values.len();
        let eval = self.eval(value);
        let Some(var) = vars.iter_mut().find(|var| var.name.text == name.text) else {
            let known: Vec<Candidate> =
                vars.iter().map(|var| Candidate::at(&var.name.text, var.name.span)).collect();
            self.context.report(semantic::control::not_carried(name, &known));
            return false;
        };
        let Some(next) = self.whole_value(eval, value.span) else {
            var.next = var.next.or(Some((var.inside, span)));
            return false;
        };
        let (given, taken) = (&self.graph.values[next], &self.graph.values[var.inside]);
        if let Some(misfit) = misfit(&given.ty, &taken.ty, &mut Extents::new()) {
            let problem = semantic::control::carried_changes_type(
                &name.text,
                &given.ty.to_string(),
                value.span,
                &taken.ty.to_string(),
                taken.declared,
                misfit == Misfit::Bound,
            );
            self.context.report(problem);
            var.next = Some((var.inside, span));
            return false;
        }
        if let Some((_, first)) = var.next.replace((next, span)) {
            self.context.report(semantic::control::next_twice(&name.text, span, first));
            return false;
        }
        self.name_results(&Eval::Value(next), &name.text, mark);
        let inside: &mut [Local] = &mut self.locals[locals..];
        if let Some(local) = inside.iter_mut().find(|local| local.name == name.text) {
            local.eval = Eval::Value(next);
        }
        true
    }

    /// What ends the rounds.
    fn until(&mut self, until: &Expr) -> Option<ValueId> {
        let eval = self.eval(until);
        let value = self.whole_value(eval, until.span)?;
        let made = &self.graph.values[value];
        if made.ty != Type::value(Kind::Bool) {
            let problem =
                semantic::control::until_of_no_bool(&made.ty.to_string(), until.span, made.declared);
            self.context.report(problem);
            return None;
        }
        Some(value)
    }

    /// A stream can be read once, so no round may read one from outside.
    fn reads_no_streams(&mut self, scope: ScopeId, first: usize, span: Span) -> bool {
        let graph = &self.graph;
        let inside = graph.nodes.enumerate().skip(first).map(|(_, node)| node);
        let inside = inside.filter(|node| graph.is_within(node.scope, Some(scope)));
        let read =
            inside.flat_map(|node| node.operands.iter().map(move |operand| (node.span, operand.value)));
        let outer = |value: ValueId| {
            let made = &graph.values[value];
            made.ty.is_stream() && !graph.is_within(graph.nodes[made.node].scope, Some(scope))
        };
        let Some((at, value)) = read.into_iter().find(|(_, value)| outer(*value)) else { return true };
        let made = &self.graph.values[value];
        let problem = semantic::control::stream_from_outside(&made.name, at, made.declared, span);
        self.context.report(problem);
        false
    }

    fn end_loop(
        &mut self,
        vars: &[Var<'_>],
        until: Option<ValueId>,
        scope: ScopeId,
        max: u32,
        span: Span,
    ) -> Eval {
        let next = vars.iter().filter_map(|var| var.next).map(|(value, _)| value);
        let operands = next.chain(until).zip(0u32..);
        let operands = operands.map(|(value, port)| Operand { port, value, each: false }).collect();
        let carried = u32::try_from(vars.len()).expect("carried values are few");
        let node: NodeId = self.add(NodeKind::Loop { scope, carried, max }, operands, span);
        let mut results = Vec::new();
        for (port, var) in (0u32..).zip(vars) {
            let ty = self.graph.values[var.inside].ty.clone();
            let value = self.make(node, port, var.name.text.clone(), ty, true, var.name.span);
            results.push((var.name.text.clone(), Eval::Value(value)));
        }
        match results.len() {
            1 => results.pop().map_or(Eval::Poison, |(_, eval)| eval),
            _ => Eval::Record(results),
        }
    }

    /// Looks at the body of a loop whose head is broken.
    fn broken_loop(&mut self, head: &Head<'_>, body: &LoopBody) {
        let locals = self.locals.len();
        for name in head.carried.iter().map(|var| &var.name).chain(head.trip.map(|(name, _)| name)) {
            self.enter(name, Eval::Poison);
        }
        for step in &body.steps {
            match step {
                LoopStep::Let(each) => self.bind(each),
                LoopStep::Next { value, .. } => {
                    self.eval(value);
                }
            }
        }
        if let Some(until) = &body.until {
            self.eval(until);
        }
        self.leave(locals, semantic::unused::local);
    }
}
