//! In which order declarations are analysed: each after those that it names. Declarations that
//! name each other in a circle are refused.

use std::collections::BTreeSet;

use crate::analyze::names::{Entity, Names};
use crate::diagnostic::{Diagnostics, semantic};
use crate::graph::order::{around, groups, is_cycle};
use crate::syntax::ast::{
    Arg, Block, Carried, Clause, Expr, ExprKind, LoopBody, LoopStep, Name, Param, TypeExpr, TypeKind,
};

/// An order of all declarations, and those that are part of a circle.
pub(crate) struct Order {
    /// What is named before what names it.
    pub(crate) entities: Vec<Entity>,
    /// Those that need themselves; reported.
    pub(crate) circular: BTreeSet<Entity>,
}

/// The order in which to analyse the declarations of `names`.
pub(crate) fn order(names: &Names<'_>, found: &mut Diagnostics) -> Order {
    let entities: Vec<Entity> = (0..names.components.len())
        .map(Entity::Component)
        .chain((0..names.lets.len()).map(Entity::Let))
        .chain((0..names.graphs.len()).map(Entity::Graph))
        .chain((0..names.clusters.len()).map(Entity::Cluster))
        .collect();
    let needs: Vec<BTreeSet<usize>> = entities
        .iter()
        .map(|entity| {
            let mut walk = Walk::default();
            walk.entity(*entity, names);
            let scope = &names.scopes[names.module_of(*entity)];
            let read = walk.names.iter().filter(|name| !walk.bound.contains(*name));
            read.filter_map(|name| scope.get(*name)?.entity).map(|needed| position(needed, names)).collect()
        })
        .collect();
    let mut order = Order { entities: Vec::new(), circular: BTreeSet::new() };
    for group in groups(&needs) {
        if is_cycle(&group, &needs) {
            let path = around(&group, &needs);
            let steps: Vec<_> =
                path.iter().map(|position| names.name_of(entities[*position]).into()).collect();
            found.push(semantic::names::circle_of_declarations(&steps));
            order.circular.extend(group.iter().map(|position| entities[*position]));
        }
        order.entities.extend(group.iter().map(|position| entities[*position]));
    }
    order
}

/// Where an entity stands among components, then lets, then graphs, then clusters.
fn position(entity: Entity, names: &Names<'_>) -> usize {
    match entity {
        Entity::Component(position) => position,
        Entity::Let(position) => names.components.len() + position,
        Entity::Graph(position) => names.components.len() + names.lets.len() + position,
        Entity::Cluster(position) => {
            names.components.len() + names.lets.len() + names.graphs.len() + position
        }
    }
}

/// Collects names that are read and names that the declaration binds itself.
#[derive(Default)]
struct Walk<'a> {
    names: Vec<&'a str>,
    bound: BTreeSet<&'a str>,
}

impl<'a> Walk<'a> {
    fn entity(&mut self, entity: Entity, names: &Names<'a>) {
        match entity {
            // A cluster names nothing but its own nodes.
            Entity::Cluster(_) => {}
            Entity::Let(position) => self.expr(&names.lets[position].1.value),
            Entity::Component(position) => {
                let component = names.components[position].1;
                self.params(&component.params);
                component.clauses.iter().for_each(|clause| self.clause(clause));
            }
            Entity::Graph(position) => {
                let graph = names.graphs[position].1;
                self.params(&graph.params);
                self.ty(&graph.output);
                self.block(&graph.body);
            }
        }
    }

    fn params(&mut self, params: &'a [Param]) {
        for param in params {
            self.bound.insert(&param.name.text);
            self.ty(&param.ty);
            param.default.iter().for_each(|default| self.expr(default));
        }
    }

    fn clause(&mut self, clause: &'a Clause) {
        match clause {
            Clause::In(port) | Clause::Out(port) => self.ty(&port.ty),
            Clause::Needs { needs, .. } => needs.iter().for_each(|(_, amount)| self.expr(amount)),
            Clause::Batch { max, within, .. } => {
                self.expr(max);
                if let Some(within) = within {
                    self.expr(within);
                }
            }
            Clause::Run { .. } | Clause::Error(_) => {}
        }
    }

    fn ty(&mut self, ty: &'a TypeExpr) {
        ty.max.iter().chain(&ty.window).for_each(|bound| self.expr(bound));
        match &ty.kind {
            TypeKind::Of { item, .. } => self.ty(item),
            TypeKind::Rated { rate, .. } => self.expr(rate),
            TypeKind::Record(fields) => fields.iter().for_each(|(_, ty)| self.ty(ty)),
            TypeKind::Named(_) | TypeKind::Tensor { .. } | TypeKind::Enum(_) | TypeKind::Error => {}
        }
    }

    fn block(&mut self, block: &'a Block) {
        for each in &block.lets {
            self.bound.insert(&each.name.text);
            self.expr(&each.value);
        }
        block.value.iter().for_each(|value| self.expr(value));
    }

    fn expr(&mut self, expr: &'a Expr) {
        match &expr.kind {
            ExprKind::Name(name) => self.names.push(name),
            ExprKind::Call { callee, args } => {
                self.expr(callee);
                for Arg { value, .. } in args {
                    self.expr(value);
                }
            }
            ExprKind::Field { base, .. } => self.expr(base),
            ExprKind::List(items) => items.iter().for_each(|item| self.expr(item)),
            ExprKind::Each { body, item, list } => {
                self.bound.insert(&item.text);
                self.expr(list);
                self.expr(body);
            }
            ExprKind::When { body, .. } => self.block(body),
            ExprKind::Record(fields) => {
                for (name, value) in fields {
                    match value {
                        Some(value) => self.expr(value),
                        None => self.names.push(&name.text),
                    }
                }
            }
            ExprKind::If { arms, otherwise } => {
                for (condition, body) in arms {
                    self.expr(condition);
                    self.block(body);
                }
                if let Some(body) = otherwise {
                    self.block(body);
                }
            }
            ExprKind::Match { subject, arms } | ExprKind::Switch { subject, arms } => {
                self.expr(subject);
                for arm in arms {
                    self.block(&arm.body);
                }
            }
            ExprKind::Loop { carried, trip, max, body } => {
                self.looped(carried, trip.as_ref(), max.as_deref(), body);
            }
            ExprKind::None
            | ExprKind::Int(_)
            | ExprKind::Float(_)
            | ExprKind::Str(_)
            | ExprKind::Bool(_)
            | ExprKind::Quantity { .. }
            | ExprKind::Error => {}
        }
    }

    fn looped(
        &mut self,
        carried: &'a [Carried],
        trip: Option<&'a (Name, Box<Expr>)>,
        max: Option<&'a Expr>,
        body: &'a LoopBody,
    ) {
        for var in carried {
            self.bound.insert(&var.name.text);
            self.expr(&var.init);
        }
        if let Some((name, count)) = trip {
            self.bound.insert(&name.text);
            self.expr(count);
        }
        max.into_iter().chain(body.until.as_deref()).for_each(|expr| self.expr(expr));
        for step in &body.steps {
            match step {
                LoopStep::Let(each) => {
                    self.bound.insert(&each.name.text);
                    self.expr(&each.value);
                }
                LoopStep::Next { value, .. } => self.expr(value),
            }
        }
    }
}
