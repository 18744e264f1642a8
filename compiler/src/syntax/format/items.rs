//! The layout of items and types.

use super::build::{Braces, Builder};
use super::layout::Table;
use crate::syntax::ast::{Clause, Component, File, Graph, Item, Let, Param, Route, TypeExpr, TypeKind, Use};
use crate::syntax::token::Tok;

impl Builder<'_> {
    /// The whole file, to the comments at its end.
    pub(super) fn file(&mut self, file: &File) {
        for (index, item) in file.items.iter().enumerate() {
            if index > 0 {
                self.must_break();
            }
            while matches!(self.next(), Some(Tok::Doc(_))) {
                self.line(None, Self::take);
                self.must_break();
            }
            match item {
                Item::Use(item) => self.line(None, |builder| builder.use_item(item)),
                Item::Let(item) => self.binding(item),
                Item::Component(item) => self.line(None, |builder| builder.component(item)),
                Item::Graph(item) => self.line(None, |builder| builder.graph(item)),
                Item::Route(item) => self.line(Some(Table::Route), |builder| builder.route(item)),
                Item::Cluster(_) | Item::Place(_) | Item::Serve(_) | Item::Workload(_) => {
                    self.line(None, |builder| builder.deployed(item));
                }
                Item::Error(span) => self.until(span.end),
            }
        }
        self.comments_at_end(file.items.is_empty());
    }

    fn use_item(&mut self, item: &Use) {
        while !matches!(self.next(), Some(Tok::OpenBrace)) && self.starts_before(item.span.end) {
            self.take();
        }
        if self.starts_before(item.span.end) {
            self.list("", item.names.len(), |builder, _| builder.take());
        }
    }

    pub(super) fn binding(&mut self, item: &Let) {
        self.line(Some(Table::Let), |builder| {
            builder.until(item.name.span.end);
            builder.stop();
            builder.take();
            builder.value(&item.value);
        });
    }

    fn component(&mut self, item: &Component) {
        self.until(item.name.span.end);
        self.params(&item.params);
        self.group(|builder| {
            builder.braces(item.clauses.len(), Braces::Clauses, |builder, index| {
                let clause = &item.clauses[index];
                builder.line(None, |builder| builder.clause(clause));
            });
        });
    }

    fn clause(&mut self, clause: &Clause) {
        match clause {
            Clause::In(port) => {
                self.take();
                // As wide as `out`.
                self.pad();
                self.until(port.ty.span.start);
                self.ty(&port.ty);
            }
            Clause::Out(port) => {
                self.until(port.ty.span.start);
                self.ty(&port.ty);
            }
            Clause::Run { span, .. }
            | Clause::Needs { span, .. }
            | Clause::Batch { span, .. }
            | Clause::Error(span) => self.until(span.end),
        }
    }

    fn graph(&mut self, item: &Graph) {
        self.header(
            |builder| {
                builder.until(item.name.span.end);
                builder.params(&item.params);
            },
            |builder| {
                builder.take();
                builder.ty(&item.output);
            },
        );
        self.group(|builder| builder.block(&item.body));
    }

    fn route(&mut self, item: &Route) {
        self.header(
            |builder| {
                builder.until(item.name.span.end);
                builder.stop();
                builder.until(item.graph.span.end);
                builder.list("", item.inputs.len(), |builder, index| {
                    let input = &item.inputs[index];
                    builder.until(input.name.span.end);
                    if input.optional || input.value.is_some() {
                        builder.take();
                    }
                    if let Some(value) = &input.value {
                        builder.value(value);
                    }
                });
                builder.stop();
            },
            |builder| builder.until(item.span.end),
        );
    }

    fn params(&mut self, params: &[Param]) {
        self.list("", params.len(), |builder, index| {
            let param = &params[index];
            builder.until(param.ty.span.start);
            builder.ty(&param.ty);
            if let Some(default) = &param.default {
                builder.take();
                builder.value(default);
            }
        });
    }

    fn ty(&mut self, ty: &TypeExpr) {
        match &ty.kind {
            TypeKind::Of { item, .. } => {
                self.until(item.span.start);
                self.ty(item);
            }
            TypeKind::Tensor { dtype, dims } => {
                self.until(dtype.span.end);
                self.take();
                self.list("", dims.len(), |builder, index| builder.until(dims[index].span.end));
            }
            TypeKind::Enum(words) => {
                self.take();
                self.list("", words.len(), |builder, _| builder.take());
            }
            TypeKind::Record(fields) => {
                self.list(" ", fields.len(), |builder, index| {
                    let (_, ty) = &fields[index];
                    builder.until(ty.span.start);
                    builder.ty(ty);
                });
            }
            TypeKind::Named(_) | TypeKind::Rated { .. } | TypeKind::Error => {}
        }
        // What remains are bounds and `?`.
        self.until(ty.span.end);
    }
}
