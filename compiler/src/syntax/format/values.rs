//! The layout of values and blocks.

use super::build::{Braces, Builder};
use super::layout::Table;
use crate::syntax::ast::{Arg, Arm, Block, Expr, ExprKind, LoopBody, LoopStep};

impl Builder<'_> {
    pub(super) fn value(&mut self, value: &Expr) {
        match &value.kind {
            ExprKind::Call { .. } | ExprKind::Field { .. } => self.chain(value),
            ExprKind::List(items) => {
                self.list("", items.len(), |builder, index| builder.value(&items[index]));
            }
            ExprKind::Each { body, list, .. } => self.each(body, list, value.span.end),
            ExprKind::When { body, .. } => self.group(|builder| {
                builder.until(body.span.start);
                builder.block(body);
            }),
            ExprKind::Record(fields) => self.list(" ", fields.len(), |builder, index| {
                builder.take();
                if let Some(value) = &fields[index].1 {
                    builder.take();
                    builder.value(value);
                }
            }),
            ExprKind::If { arms, otherwise } => self.group(|builder| {
                for (condition, body) in arms {
                    builder.until(condition.span.start);
                    builder.value(condition);
                    builder.block(body);
                }
                if let Some(body) = otherwise {
                    builder.take();
                    builder.block(body);
                }
            }),
            ExprKind::Match { subject, arms } | ExprKind::Switch { subject, arms } => {
                self.cases(subject, arms);
            }
            ExprKind::Loop { carried, trip, body, .. } => {
                let firsts = carried.iter().map(|carried| &carried.init);
                let mut heads: Vec<&Expr> = firsts.chain(trip.iter().map(|(_, count)| &**count)).collect();
                heads.sort_by_key(|head| head.span.start);
                for head in heads {
                    self.until(head.span.start);
                    self.value(head);
                }
                self.until(body.span.start);
                self.group(|builder| builder.rounds(body));
            }
            ExprKind::Name(_)
            | ExprKind::Int(_)
            | ExprKind::Float(_)
            | ExprKind::Str(_)
            | ExprKind::Bool(_)
            | ExprKind::Quantity { .. }
            | ExprKind::None
            | ExprKind::Error => self.until(value.span.end),
        }
    }

    /// A value with calls and fields behind it. With two or more calls of fields it may be broken before each
    /// of them.
    fn chain(&mut self, value: &Expr) {
        let mut links = Vec::new();
        let mut base = value;
        while let ExprKind::Call { callee: inner, .. } | ExprKind::Field { base: inner, .. } = &base.kind {
            links.push(base);
            base = inner;
        }
        links.reverse();
        // A call right behind the value belongs to it.
        let is_field = |link: &&Expr| matches!(link.kind, ExprKind::Field { .. });
        let own = links.iter().position(is_field).unwrap_or(links.len());
        let (own, links) = links.split_at(own);
        let parts: Vec<&[&Expr]> = links.chunk_by(|a, b| is_field(a) || !is_field(b)).collect();
        let calls = parts.iter().filter(|part| part.last().is_some_and(|last| !is_field(last))).count();
        if calls < 2 {
            self.value(base);
            self.links(own);
            return self.links(links);
        }
        self.group(|builder| {
            builder.value(base);
            builder.links(own);
            builder.indent(|builder| {
                for part in parts {
                    builder.may_break("");
                    builder.line(None, |builder| builder.links(part));
                }
            });
        });
    }

    /// What stands behind a value: `.name` or `(arguments)`, each of them.
    fn links(&mut self, links: &[&Expr]) {
        for link in links {
            match &link.kind {
                ExprKind::Call { args, .. } => self.arguments(args, link.span.end),
                _ => self.until(link.span.end),
            }
        }
    }

    fn arguments(&mut self, args: &[Arg], end: u32) {
        let argument = |builder: &mut Self, arg: &Arg| {
            if arg.name.is_some() {
                builder.take();
                builder.take();
            }
            builder.value(&arg.value);
        };
        match args {
            [only] if has_lines(&only.value.kind) && self.hugs(end) => {
                self.take();
                argument(self, only);
                self.take();
            }
            _ => self.list("", args.len(), |builder, index| argument(builder, &args[index])),
        }
    }

    fn each(&mut self, body: &Expr, list: &Expr, end: u32) {
        if has_braces(&body.kind) && self.hugs(end) {
            self.take();
            self.value(body);
            self.until(list.span.start);
            self.value(list);
            return self.take();
        }
        self.group(|builder| {
            builder.take();
            builder.indent(|builder| {
                builder.may_break("");
                builder.line(None, |builder| builder.value(body));
                builder.may_break(" ");
                builder.line(None, |builder| {
                    builder.until(list.span.start);
                    builder.value(list);
                });
                builder.comments_at_end(false);
            });
            builder.may_break("");
            builder.take();
        });
    }

    /// Bindings and a value in braces, without a group of its own.
    pub(super) fn block(&mut self, block: &Block) {
        let count = block.lets.len() + usize::from(block.value.is_some());
        self.braces(count, Braces::Lines, |builder, index| match (block.lets.get(index), &block.value) {
            (Some(binding), _) => builder.binding(binding),
            (None, Some(value)) => builder.line(None, |builder| builder.value(value)),
            (None, None) => {}
        });
    }

    fn cases(&mut self, subject: &Expr, arms: &[Arm]) {
        self.group(|builder| {
            builder.until(subject.span.start);
            builder.value(subject);
            builder.braces(arms.len(), Braces::Cases, |builder, index| {
                let arm = &arms[index];
                builder.line(Some(Table::Case), |builder| {
                    builder.until(arm.pattern.span.end);
                    builder.stop();
                    builder.take();
                    match &arm.body.value {
                        Some(value) if !arm.braced => builder.value(value),
                        _ => builder.group(|builder| builder.block(&arm.body)),
                    }
                });
            });
        });
    }

    /// A line that ends with `value`.
    fn line_to(&mut self, value: &Expr) {
        self.line(None, |builder| {
            builder.until(value.span.start);
            builder.value(value);
        });
    }

    fn rounds(&mut self, body: &LoopBody) {
        let count = body.steps.len() + usize::from(body.until.is_some());
        self.braces(count, Braces::Lines, |builder, index| match (body.steps.get(index), &body.until) {
            (Some(LoopStep::Let(binding)), _) => builder.binding(binding),
            (Some(LoopStep::Next { value, .. }), _) => builder.line_to(value),
            (None, Some(until)) => builder.line_to(until),
            (None, None) => {}
        });
    }
}

/// Whether a value ends in a bracket of its own, so that parentheses need no lines of their own around it.
fn has_lines(kind: &ExprKind) -> bool {
    matches!(kind, ExprKind::List(_) | ExprKind::Record(_) | ExprKind::Each { .. }) || has_braces(kind)
}

/// Whether a value ends in a block.
fn has_braces(kind: &ExprKind) -> bool {
    use ExprKind::{If, Loop, Match, Switch, When};
    matches!(kind, When { .. } | If { .. } | Match { .. } | Switch { .. } | Loop { .. })
}
