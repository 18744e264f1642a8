//! Finds what each name of the trees stands for.
//!
//! What a call makes is read off the declarations, so that `thought.text` is found even where
//! something else about `thought` is wrong.

use super::{Definition, DefinitionId, Entities, Index, Reference, Sort};
use crate::analyze::context::Context;
use crate::analyze::names::Entity;
use crate::source::Span;
use crate::syntax::ast::{
    Arg, Block, Carried, Clause, Component, Expr, ExprKind, Graph, Item, Let, LoopBody, LoopStep, Name,
    Param, Route, TypeExpr, TypeKind, Use,
};

/// Lets that stand for lets are followed so far; those that stand for themselves never end.
const LONGEST_CHAIN: usize = 16;

/// Enters every place where something is named.
pub(super) fn walk(index: &mut Index, context: &Context<'_>, entities: &Entities) {
    let mut walk = Walk { index, context, entities, module: 0, locals: Vec::new() };
    for (module, each) in context.modules.iter().enumerate() {
        walk.module = module;
        for (position, item) in each.file.items.iter().enumerate() {
            match item {
                Item::Use(used) => walk.used(used, position),
                Item::Route(route) => walk.route(route),
                // Declarations are walked below, by sort.
                _ => {}
            }
        }
    }
    for ((module, each), id) in context.names.lets.iter().zip(&entities.lets) {
        walk.module = *module;
        let shape = walk.expr(&each.value);
        walk.shaped(*id, &shape);
    }
    for ((module, component), id) in context.names.components.iter().zip(&entities.components) {
        walk.module = *module;
        walk.component(component, *id);
    }
    for ((module, graph), id) in context.names.graphs.iter().zip(&entities.graphs) {
        walk.module = *module;
        walk.graph(graph, *id);
    }
    // Last: components may be made in graphs.
    for (module, each) in context.modules.iter().enumerate() {
        walk.module = module;
        each.file.items.iter().for_each(|item| walk.deployment(item));
    }
}

pub(super) struct Walk<'w, 'a> {
    pub(super) index: &'w mut Index,
    pub(super) context: &'w Context<'a>,
    pub(super) entities: &'w Entities,
    pub(super) module: usize,
    locals: Vec<(DefinitionId, Shape)>,
}

/// What an expression is worth, as far as names go.
#[derive(Clone, Debug)]
enum Shape {
    /// A declared component or graph itself.
    Declared(DefinitionId),
    /// A component that was made.
    Made(DefinitionId),
    /// What a component or graph with several outputs makes.
    Outputs(DefinitionId),
    /// A record with these fields.
    Record(Vec<DefinitionId>),
    /// Nothing that has names in it.
    Plain,
}

impl Shape {
    /// What is known of a value that is one of two.
    fn or(self, other: Self) -> Self {
        if matches!(self, Self::Plain) { other } else { self }
    }
}

impl Walk<'_, '_> {
    fn used(&mut self, used: &Use, position: usize) {
        let uses = &self.context.modules[self.module].uses;
        let Some((_, module)) = uses.iter().find(|(item, _)| *item == position) else { return };
        if let Some(last) = used.module.last() {
            self.index.refer(last.span, self.entities.modules[*module]);
        }
        for name in &used.names {
            // What another file takes itself cannot be taken from it.
            let theirs = self.context.names.scopes[*module].get(&name.text).filter(|named| !named.taken);
            if let Some(entity) = theirs.and_then(|named| named.entity) {
                self.index.refer(name.span, self.entities.of(entity));
            }
        }
    }

    fn component(&mut self, component: &Component, id: DefinitionId) {
        for param in &component.params {
            self.param(param);
        }
        let params = self.index.parts(id, &[Sort::Parameter]).map(|(id, _)| (id, Shape::Plain));
        let params: Vec<_> = params.collect();
        for clause in &component.clauses {
            match clause {
                Clause::In(port) | Clause::Out(port) => self.ty(&port.ty),
                Clause::Needs { needs, .. } => {
                    self.locals.clone_from(&params);
                    self.all(needs.iter().map(|(_, amount)| amount));
                }
                Clause::Batch { max, within, .. } => {
                    self.locals.clone_from(&params);
                    self.all(std::iter::once(max).chain(within));
                }
                Clause::Run { .. } | Clause::Error(_) => {}
            }
            self.locals.clear();
        }
    }

    fn graph(&mut self, graph: &Graph, id: DefinitionId) {
        for param in &graph.params {
            self.param(param);
        }
        self.ty(&graph.output);
        let inputs = self.index.parts(id, &[Sort::Input]).map(|(id, _)| (id, Shape::Plain));
        self.locals = inputs.collect();
        self.lets(&graph.body);
        match graph.body.value.as_deref() {
            Some(Expr { kind: ExprKind::Record(fields), .. }) => {
                for (name, value) in fields {
                    let output = self.part(id, &[Sort::Output], &name.text);
                    self.field(name, value.as_ref(), output);
                }
            }
            Some(value) => drop(self.expr(value)),
            None => {}
        }
        self.locals.clear();
    }

    fn route(&mut self, route: &Route) {
        let Some(Shape::Declared(graph)) = self.name(&route.graph.text, route.graph.span) else { return };
        for input in &route.inputs {
            self.part_named(graph, &[Sort::Input], &input.name);
            self.all(&input.value);
        }
        for name in &route.outputs {
            self.part_named(graph, &[Sort::Output], name);
        }
    }

    fn param(&mut self, param: &Param) {
        self.ty(&param.ty);
        self.all(&param.default);
    }

    fn ty(&mut self, ty: &TypeExpr) {
        self.all(ty.max.as_deref().into_iter().chain(ty.window.as_deref()));
        match &ty.kind {
            TypeKind::Of { item, .. } => self.ty(item),
            TypeKind::Rated { rate, .. } => drop(self.expr(rate)),
            TypeKind::Record(fields) => fields.iter().for_each(|(_, ty)| self.ty(ty)),
            TypeKind::Named(_) | TypeKind::Tensor { .. } | TypeKind::Enum(_) | TypeKind::Error => {}
        }
    }

    /// The block's value; its names are seen in it only.
    fn block(&mut self, block: &Block) -> Shape {
        let mark = self.locals.len();
        self.lets(block);
        let shape = block.value.as_ref().map_or(Shape::Plain, |value| self.expr(value));
        self.locals.truncate(mark);
        shape
    }

    fn lets(&mut self, block: &Block) {
        block.lets.iter().for_each(|each| self.bound(each, block.span));
    }

    /// Binds a name for the rest of a block.
    fn bound(&mut self, Let { name, value, span }: &Let, block: Span) {
        let shape = self.expr(value);
        let scope = Span { start: span.end, end: block.end.max(span.end), ..*span };
        self.bind(name, *span, scope, shape);
    }

    fn bind(&mut self, name: &Name, whole: Span, scope: Span, shape: Shape) {
        let shown = self.index.exactly(name.span);
        let definition = Definition::new(&name.text, name.span, whole, Sort::Local);
        let id = self.index.define(Definition { scope: Some(scope), shown, ..definition });
        self.shaped(id, &shape);
        self.locals.push((id, shape));
    }

    /// Notes what can be done with a name that is worth `shape`.
    fn shaped(&mut self, id: DefinitionId, shape: &Shape) {
        match shape {
            Shape::Made(component) => self.index.definitions[id].made_of = Some(*component),
            Shape::Outputs(callee) => {
                let fields = self.index.parts(*callee, &[Sort::OutPort, Sort::Output]).map(|(id, _)| id);
                self.index.definitions[id].fields = fields.collect();
            }
            Shape::Record(fields) => self.index.definitions[id].fields.clone_from(fields),
            Shape::Declared(_) | Shape::Plain => {}
        }
    }

    /// Looks at expressions whose worth does not matter.
    fn all<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>) {
        for expr in exprs {
            self.expr(expr);
        }
    }

    fn expr(&mut self, expr: &Expr) -> Shape {
        match &expr.kind {
            ExprKind::Name(name) => self.name(name, expr.span).unwrap_or(Shape::Plain),
            ExprKind::Call { callee, args } => self.call(callee, args),
            ExprKind::Field { base, name } => {
                let of = self.expr(base);
                self.field_of(&of, name)
            }
            ExprKind::List(items) => {
                self.all(items);
                Shape::Plain
            }
            ExprKind::Each { body, item, list } => {
                self.expr(list);
                let mark = self.locals.len();
                self.bind(item, item.span, expr.span, Shape::Plain);
                self.expr(body);
                self.locals.truncate(mark);
                Shape::Plain
            }
            ExprKind::When { present, body } => {
                for name in present {
                    self.name(&name.text, name.span);
                }
                self.block(body)
            }
            ExprKind::Record(fields) => {
                let fields = fields.iter().map(|(name, value)| {
                    let span = value.as_ref().map_or(name.span, |value| name.span.to(value.span));
                    let field = self.index.define(Definition::new(&name.text, name.span, span, Sort::Field));
                    self.index.references.pop();
                    self.field(name, value.as_ref(), Some(field));
                    field
                });
                Shape::Record(fields.collect())
            }
            ExprKind::If { arms, otherwise } => {
                self.all(arms.iter().map(|(condition, _)| condition));
                let blocks = arms.iter().map(|(_, block)| block).chain(otherwise);
                blocks.map(|block| self.block(block)).reduce(Shape::or).unwrap_or(Shape::Plain)
            }
            ExprKind::Match { subject, arms } | ExprKind::Switch { subject, arms } => {
                self.expr(subject);
                arms.iter().map(|arm| self.block(&arm.body)).reduce(Shape::or).unwrap_or(Shape::Plain)
            }
            ExprKind::Loop { carried, trip, max, body } => {
                self.all(max.as_deref());
                self.rounds(carried, trip.as_ref(), body)
            }
            ExprKind::Int(_)
            | ExprKind::Float(_)
            | ExprKind::Str(_)
            | ExprKind::Bool(_)
            | ExprKind::Quantity { .. }
            | ExprKind::None
            | ExprKind::Error => Shape::Plain,
        }
    }

    /// A loop's carried values, then what is made of them in each round.
    fn rounds(&mut self, carried: &[Carried], trip: Option<&(Name, Box<Expr>)>, body: &LoopBody) -> Shape {
        let mark = self.locals.len();
        let shapes: Vec<Shape> = carried.iter().map(|each| self.expr(&each.init)).collect();
        if let Some((_, count)) = trip {
            self.expr(count);
        }
        for (each, shape) in carried.iter().zip(shapes) {
            self.bind(&each.name, each.span, body.span, shape);
        }
        let made: Vec<DefinitionId> = self.locals[mark..].iter().map(|(id, _)| *id).collect();
        if let Some((name, _)) = trip {
            self.bind(name, name.span, body.span, Shape::Plain);
        }
        for step in &body.steps {
            match step {
                LoopStep::Let(each) => self.bound(each, body.span),
                LoopStep::Next { name, value, .. } => {
                    self.expr(value);
                    self.name(&name.text, name.span);
                }
            }
        }
        self.all(body.until.as_deref());
        self.locals.truncate(mark);
        if made.len() == 1 { Shape::Plain } else { Shape::Record(made) }
    }

    /// `name: value` or `name` of a record, where `name` stands for `output`.
    fn field(&mut self, name: &Name, value: Option<&Expr>, output: Option<DefinitionId>) {
        let is_short = value.is_none();
        if let Some(definition) = output {
            self.index.references.push(Reference { span: name.span, definition, is_short });
        }
        let Some(value) = value else {
            let mark = self.index.references.len();
            self.name(&name.text, name.span);
            self.index.references[mark..].iter_mut().for_each(|it| it.is_short = true);
            return;
        };
        self.expr(value);
    }

    fn call(&mut self, callee: &Expr, args: &[Arg]) -> Shape {
        // A callee with a dot is an adaptor, or a field that cannot be called.
        let called = match &callee.kind {
            ExprKind::Field { base, .. } => {
                self.expr(base);
                Shape::Plain
            }
            _ => self.expr(callee),
        };
        let (takes, made) = match &called {
            Shape::Made(component) => (Some((*component, Sort::InPort)), self.outputs(*component)),
            Shape::Declared(id) if self.index.definitions[*id].sort == Sort::Graph => {
                (Some((*id, Sort::Input)), self.outputs(*id))
            }
            Shape::Declared(id) => (Some((*id, Sort::Parameter)), Shape::Made(*id)),
            Shape::Outputs(_) | Shape::Record(_) | Shape::Plain => (None, Shape::Plain),
        };
        for arg in args {
            if let (Some(name), Some((of, sort))) = (&arg.name, takes) {
                self.part_named(of, &[sort], name);
            }
            self.expr(&arg.value);
        }
        made
    }

    /// What calling `callee` makes.
    fn outputs(&self, callee: DefinitionId) -> Shape {
        let count = self.index.parts(callee, &[Sort::OutPort, Sort::Output]).count();
        if count == 1 { Shape::Plain } else { Shape::Outputs(callee) }
    }

    fn field_of(&mut self, of: &Shape, name: &Name) -> Shape {
        match of {
            Shape::Outputs(callee) => self.part_named(*callee, &[Sort::OutPort, Sort::Output], name),
            Shape::Record(fields) => {
                let named = |id: &&DefinitionId| self.index.definitions[**id].name == name.text;
                if let Some(field) = fields.iter().find(named) {
                    self.index.refer(name.span, *field);
                }
            }
            Shape::Declared(_) | Shape::Made(_) | Shape::Plain => {}
        }
        Shape::Plain
    }

    fn part_named(&mut self, of: DefinitionId, sorts: &[Sort], name: &Name) {
        self.index.part_named(of, sorts, name);
    }

    fn part(&self, of: DefinitionId, sorts: &[Sort], name: &str) -> Option<DefinitionId> {
        self.index.parts(of, sorts).find(|(_, part)| part.name == name).map(|(id, _)| id)
    }

    /// What `name` stands for here; `None` if it stands for nothing.
    fn name(&mut self, name: &str, span: Span) -> Option<Shape> {
        let local = self.locals.iter().rev().find(|(id, _)| self.index.definitions[*id].name == name);
        if let Some((id, shape)) = local.cloned() {
            self.index.refer(span, id);
            return Some(shape);
        }
        let entity = self.context.names.scopes[self.module].get(name)?.entity?;
        self.index.refer(span, self.entities.of(entity));
        Some(self.shape_of(entity, LONGEST_CHAIN))
    }

    fn shape_of(&self, entity: Entity, chain: usize) -> Shape {
        let Entity::Let(position) = entity else { return Shape::Declared(self.entities.of(entity)) };
        let (module, each) = self.context.names.lets[position];
        let (name, is_call) = match &each.value.kind {
            ExprKind::Call { callee, .. } => (&callee.kind, true),
            kind => (kind, false),
        };
        let ExprKind::Name(name) = name else { return Shape::Plain };
        let named = self.context.names.scopes[module].get(name).and_then(|named| named.entity);
        match named {
            Some(entity) if chain > 0 => match self.shape_of(entity, chain - 1) {
                Shape::Declared(id) if is_call => Shape::Made(id),
                shape if !is_call => shape,
                _ => Shape::Plain,
            },
            _ => Shape::Plain,
        }
    }
}
