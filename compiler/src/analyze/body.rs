//! The body of a graph: expressions to nodes and values.
//!
//! An expression is worth an [`Eval`]. What is broken is [`Eval::Poison`], about which nothing
//! more is said. A value knows the optional inputs that must be present for it to exist; inside
//! `when` blocks those of the block are known to be present ([`Body::guard`]).

use corn_plan::{ComponentId, Form, Kind, Literal, Type, ValueId};

use crate::analyze::consts::{Place, Seen};
use crate::analyze::context::{Const, Context};
use crate::analyze::locals::{Local, Locals};
use crate::analyze::loops::Head;
use crate::analyze::names::{Entity, FUNCTIONS};
use crate::diagnostic::Diagnostic;
use crate::diagnostic::semantic::{self, Candidate};
use crate::graph::print::Lit;
use crate::graph::{Graph, Needs, NodeId, NodeKind, Operand, ScopeId, Value};
use crate::source::Span;
use crate::syntax::ast::{self, Expr, ExprKind};

/// What an expression of a graph is worth.
#[derive(Clone, Debug)]
pub(crate) enum Eval {
    /// A value of the graph.
    Value(ValueId),
    /// One item of a list, inside a comprehension over it.
    Item(ValueId),
    /// Named values: the outputs of a component or graph that has several, or `{ … }`.
    Record(Vec<(String, Eval)>),
    /// Known at compile time.
    Const(Const),
    /// `none`: nothing is made here.
    Nothing,
    /// An output of a graph that needs an input which was not given.
    Absent {
        /// The output's name.
        output: String,
        /// The graph's name.
        graph: String,
        /// The inputs that it needs.
        needs: Vec<String>,
    },
    /// Broken; reported.
    Poison,
}

/// The state of one graph's analysis.
pub(crate) struct Body<'c, 'a> {
    pub(crate) context: &'c mut Context<'a>,
    pub(crate) module: usize,
    pub(crate) graph: Graph,
    pub(crate) locals: Locals,
    /// What a request is known to bring here.
    pub(crate) guard: Needs,
    /// The case of a `switch` or the body of a `loop` around this place.
    pub(crate) scope: Option<ScopeId>,
    /// Inside a comprehension: the bound of its list.
    pub(crate) items: Option<u32>,
}

impl Body<'_, '_> {
    /// What `expr` is worth.
    pub(crate) fn eval(&mut self, expr: &Expr) -> Eval {
        let eval = self.eval_kind(expr);
        self.context.noted.note(expr.span, &eval);
        eval
    }

    fn eval_kind(&mut self, expr: &Expr) -> Eval {
        match &expr.kind {
            ExprKind::Name(name) => self.name(name, expr.span),
            ExprKind::Int(value) => Eval::Const(Const::Literal(Literal::Int(*value))),
            ExprKind::Float(value) => Eval::Const(Const::Literal(Literal::Float(*value))),
            ExprKind::Bool(value) => Eval::Const(Const::Literal(Literal::Bool(*value))),
            ExprKind::Str(text) => Eval::Const(Const::Literal(Literal::Text(text.clone()))),
            ExprKind::Quantity { number, unit } => {
                Eval::Const(self.context.quantity(*number, unit, expr.span))
            }
            ExprKind::Call { callee, args } => self.call(callee, args, expr.span),
            ExprKind::Field { base, name } => {
                let of = self.eval(base);
                self.field(of, name, base.span)
            }
            ExprKind::List(items) => self.list(items, expr.span),
            ExprKind::Each { body, item, list } => self.each(body, item, list, expr.span),
            ExprKind::When { present, body } => self.when(present, body, expr.span),
            ExprKind::Record(fields) => self.record(fields),
            ExprKind::If { arms, otherwise } => self.conditions(arms, otherwise.as_ref(), expr.span),
            ExprKind::Match { subject, arms } => self.matched(subject, arms, expr.span),
            ExprKind::Switch { subject, arms } => self.switch(subject, arms, expr.span),
            ExprKind::Loop { carried, trip, max, body } => {
                let head = Head { carried, trip: trip.as_ref(), max: max.as_deref() };
                self.looped(&head, body, expr.span)
            }
            ExprKind::None => Eval::Nothing,
            ExprKind::Error => Eval::Poison,
        }
    }

    /// Binds what `each` says for the rest of the block.
    pub(crate) fn bind(&mut self, each: &ast::Let) {
        let mark = self.graph.values.len();
        let eval = match &each.value.kind {
            // A component made here takes the name of its `let`.
            ExprKind::Call { callee, args } if self.is_component(callee) && !self.takes_values(args) => {
                self.mark_used(args);
                let place = Place { module: self.module, local: Seen::Bound(&self.locals) };
                Eval::Const(self.context.constant(&each.value, Some(&each.name.text), place))
            }
            _ => self.eval(&each.value),
        };
        self.name_results(&eval, &each.name.text, mark);
        self.locals.arrive(&each.name.text, each.name.span);
        self.enter(&each.name, eval);
    }

    /// Adds a name to those that can be seen; a name means one thing.
    pub(crate) fn enter(&mut self, name: &ast::Name, eval: Eval) {
        let first = self.locals.find(&name.text).map(|local| local.span);
        let first = first.or_else(|| Some(self.context.names.scopes[self.module].get(&name.text)?.span));
        if let Some(first) = first {
            self.context.report(semantic::names::taken(name, first));
        }
        self.context.noted.note(name.span, &eval);
        let quiet = name.text.starts_with('_') || first.is_some();
        self.locals.push(Local { name: name.text.clone(), span: name.span, eval, used: false, quiet });
    }

    /// Forgets the names bound since there were `count`, and warns of those that nothing used by
    /// `unused`.
    pub(crate) fn leave(&mut self, count: usize, unused: fn(&str, Span) -> Diagnostic) {
        for local in self.locals.split_off(count) {
            if !local.used && !local.quiet && !matches!(local.eval, Eval::Poison) {
                self.context.report(unused(&local.name, local.span));
            }
        }
    }

    /// The block's value; its names are seen in it only.
    pub(crate) fn block(&mut self, block: &ast::Block) -> Eval {
        let locals = self.locals.len();
        for each in &block.lets {
            self.locals.announce(&each.name.text, each.name.span);
        }
        for each in &block.lets {
            self.bind(each);
        }
        let eval = block.value.as_ref().map_or(Eval::Poison, |value| self.eval(value));
        self.leave(locals, semantic::unused::local);
        eval
    }

    /// Whether calling `callee` makes a component.
    fn is_component(&self, callee: &Expr) -> bool {
        let ExprKind::Name(name) = &callee.kind else { return false };
        let named = self.context.names.scopes[self.module].get(name);
        let is_local = self.locals.find(name).is_some();
        !is_local && named.is_some_and(|named| matches!(named.entity, Some(Entity::Component(_))))
    }

    /// Whether an argument names a value that only a request brings.
    pub(crate) fn takes_values(&self, args: &[ast::Arg]) -> bool {
        args.iter().any(|arg| {
            let ExprKind::Name(name) = &arg.value.kind else { return false };
            self.locals.find(name).is_some_and(|local| !matches!(local.eval, Eval::Const(_) | Eval::Poison))
        })
    }

    fn name(&mut self, name: &str, span: Span) -> Eval {
        if let Some(local) = self.locals.find_mut(name) {
            local.used = true;
            return local.eval.clone();
        }
        match self.context.look_up(self.module, name).map(|named| named.entity) {
            Some(Some(Entity::Let(position))) => Eval::Const(self.context.lets[position].clone()),
            Some(Some(entity)) => {
                self.context.report(semantic::types::not_a_value(name, entity.sort(), span));
                Eval::Poison
            }
            Some(None) => Eval::Poison,
            None => {
                self.unknown(name, span, Sort::Value);
                Eval::Poison
            }
        }
    }

    /// Reports a name that nothing here has, with those that could stand in its place.
    pub(crate) fn unknown(&mut self, name: &str, span: Span, sort: Sort) {
        if let Some(later) = self.locals.later(name) {
            let problem = semantic::names::before_made(name, span, later);
            self.context.report(problem);
            return;
        }
        if !self.context.hints() {
            self.context.report(semantic::names::unknown(name, span, &[]));
            return;
        }
        let is_called =
            |eval: &Eval| matches!(eval, Eval::Const(Const::Component(_) | Const::Poison) | Eval::Poison);
        let locals = self.locals.iter().rev();
        let locals = locals.filter(|local| (sort == Sort::Called) == is_called(&local.eval));
        let mut known: Vec<Candidate> = locals.map(|local| Candidate::at(&local.name, local.span)).collect();
        let context = &self.context;
        known.extend(context.visible(self.module, |entity| match entity {
            Entity::Let(position) => match context.lets[position] {
                Const::Component(_) => sort == Sort::Called,
                Const::Poison => true,
                _ => sort == Sort::Value,
            },
            Entity::Component(_) | Entity::Graph(_) => sort == Sort::Called,
            Entity::Cluster(_) => false,
        }));
        let words: &[&str] = match sort {
            Sort::Called => &FUNCTIONS,
            Sort::Value => &["when", "none"],
            Sort::Optional => &[],
        };
        known.extend(words.iter().map(|word| Candidate::named(word)));
        known.extend(semantic::names::truth_value_like(name).filter(|_| sort == Sort::Value));
        self.context.report(semantic::names::unknown(name, span, &known));
    }

    fn field(&mut self, base: Eval, name: &ast::Name, base_span: Span) -> Eval {
        match base {
            Eval::Poison | Eval::Const(Const::Poison) => Eval::Poison,
            Eval::Record(fields) => {
                if let Some((_, eval)) = fields.iter().find(|(field, _)| *field == name.text) {
                    return eval.clone();
                }
                let known: Vec<Candidate> = fields.iter().map(|(field, _)| Candidate::named(field)).collect();
                self.context.report(semantic::names::unknown_field(name, &known));
                Eval::Poison
            }
            Eval::Absent { output, graph, needs } => {
                self.context.report(semantic::routes::absent_output(&output, &graph, &needs, base_span));
                Eval::Poison
            }
            Eval::Value(value) if name.text == "media" && self.media_of(value).is_some() => {
                self.media_of(value).map_or(Eval::Poison, Eval::Value)
            }
            Eval::Value(value) if self.only_output(value) == Some(&name.text) => Eval::Value(value),
            Eval::Item(value) if self.only_output(value) == Some(&name.text) => Eval::Item(value),
            Eval::Value(value) | Eval::Item(value) => {
                let only = self.only_output(value).map(ToOwned::to_owned);
                self.context.report(semantic::names::no_fields(name, base_span, only.as_deref()));
                Eval::Poison
            }
            Eval::Nothing | Eval::Const(_) => {
                self.context.report(semantic::names::no_fields(name, base_span, None));
                Eval::Poison
            }
        }
    }

    /// The output that `value` is, if what makes it has no other.
    fn only_output(&self, value: ValueId) -> Option<&str> {
        match self.graph.nodes[self.graph.values[value].node].kind {
            NodeKind::Run { component, .. } => {
                let [output] = self.context.kinds[component].outputs.as_slice() else { return None };
                Some(&output.name)
            }
            NodeKind::Call { graph, .. } => {
                let [output] = self.context.program.graphs[graph].outputs.as_slice() else { return None };
                Some(&output.name)
            }
            _ => None,
        }
    }

    /// What `callee` is worth when it is called: functions of the language are not looked at here.
    pub(crate) fn callee(&mut self, callee: &Expr) -> Callee {
        let ExprKind::Name(name) = &callee.kind else {
            return match self.eval(callee) {
                Eval::Const(Const::Component(component)) => Callee::Component(component),
                Eval::Poison | Eval::Const(Const::Poison) => Callee::Broken,
                _ => {
                    self.context.report(semantic::calls::not_callable("this", callee.span));
                    Callee::Broken
                }
            };
        };
        if self.locals.find(name).is_some() {
            return match self.name(name, callee.span) {
                Eval::Const(Const::Component(component)) => Callee::Component(component),
                Eval::Poison | Eval::Const(Const::Poison) => Callee::Broken,
                _ => {
                    self.context.report(semantic::calls::not_callable(&format!("`{name}`"), callee.span));
                    Callee::Broken
                }
            };
        }
        match self.context.look_up(self.module, name).map(|named| named.entity) {
            Some(Some(Entity::Component(position))) => Callee::Declaration(position),
            Some(Some(Entity::Graph(position))) => Callee::Graph(position),
            Some(Some(Entity::Let(position))) => match self.context.lets[position] {
                Const::Component(component) => Callee::Component(component),
                Const::Poison => Callee::Broken,
                _ => {
                    self.context.report(semantic::calls::not_callable(&format!("`{name}`"), callee.span));
                    Callee::Broken
                }
            },
            Some(Some(Entity::Cluster(_))) => {
                self.context.report(semantic::calls::not_callable(&format!("`{name}`"), callee.span));
                Callee::Broken
            }
            Some(None) => Callee::Broken,
            None => {
                self.unknown(name, callee.span, Sort::Called);
                Callee::Broken
            }
        }
    }

    /// A literal as a value. `kind` is what the reader takes, for numbers and words.
    pub(crate) fn literal(&mut self, literal: Literal, kind: Option<&Kind>, span: Span) -> ValueId {
        let (literal, ty) = match (literal, kind) {
            (Literal::Int(value), Some(Kind::Float)) => {
                (Literal::Float(value as f64), Type::value(Kind::Float))
            }
            (Literal::Text(word), Some(Kind::Enum(words))) if words.contains(&word) => {
                (Literal::Text(word.clone()), Type::value(Kind::Enum(vec![word])))
            }
            (literal, _) => {
                let ty = literal_type(&literal);
                (literal, ty)
            }
        };
        let name = short_name(&literal);
        let node = self.add(NodeKind::Const(literal), Vec::new(), span);
        self.make(node, 0, name, ty, true, span)
    }

    /// Adds a value that exists wherever this place is reached.
    pub(crate) fn make(
        &mut self,
        node: NodeId,
        port: u32,
        name: String,
        ty: Type,
        fixed: bool,
        declared: Span,
    ) -> ValueId {
        let needs = self.guard.clone();
        self.graph.make(node, port, Value { name, ty, fixed, node, needs, optional: false, declared })
    }

    /// Adds a node at this place.
    pub(crate) fn add(&mut self, kind: NodeKind, operands: Vec<Operand>, span: Span) -> NodeId {
        self.graph.add(kind, operands, self.scope, span)
    }

    /// Adds a node with one result.
    pub(crate) fn made(
        &mut self,
        kind: NodeKind,
        operands: Vec<Operand>,
        name: String,
        ty: Type,
        fixed: bool,
        span: Span,
    ) -> ValueId {
        let node = self.add(kind, operands, span);
        self.make(node, 0, name, ty, fixed, span)
    }

    /// Gives the values made since `mark` that `eval` stands for the name that binds them.
    pub(crate) fn name_results(&mut self, eval: &Eval, name: &str, mark: usize) {
        match eval {
            Eval::Value(value) | Eval::Item(value) if value.0 as usize >= mark => {
                name.clone_into(&mut self.graph.values[*value].name);
            }
            Eval::Record(fields) => {
                for (field, eval) in fields {
                    self.name_results(eval, &format!("{name}.{field}"), mark);
                }
            }
            _ => {}
        }
    }
}

/// What a name that is looked for stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Something to be called.
    Called,
    /// A value.
    Value,
    /// A value that may be absent.
    Optional,
}

/// What is called.
pub(crate) enum Callee {
    /// A component that was made.
    Component(ComponentId),
    /// A declared component, to be made of the arguments.
    Declaration(usize),
    /// A graph, by its position among the declarations.
    Graph(usize),
    /// Reported.
    Broken,
}

/// A literal as a name: its first characters.
fn short_name(literal: &Literal) -> String {
    const LONGEST: usize = 24;
    let whole = Lit(literal).to_string();
    if whole.chars().count() <= LONGEST {
        return whole;
    }
    let start: String = whole.chars().take(LONGEST - 2).collect();
    format!("{}…", start.trim_end())
}

/// The type of a literal on its own.
fn literal_type(literal: &Literal) -> Type {
    let bytes = |text: &String| (text.len() as u64).max(1);
    match literal {
        Literal::Int(_) => Type::value(Kind::Int),
        Literal::Float(_) => Type::value(Kind::Float),
        Literal::Bool(_) => Type::value(Kind::Bool),
        Literal::Text(text) => Type::value(Kind::Text { max_bytes: bytes(text) }),
        Literal::Texts(texts) => {
            let max_bytes = texts.iter().map(bytes).max().unwrap_or(1);
            let max = u32::try_from(texts.len().max(1)).expect("a list of the source fits 32 bits");
            Type { kind: Kind::Text { max_bytes }, form: Form::List { max } }
        }
    }
}
