//! The layout of values and blocks.

use super::build::Builder;
use crate::syntax::ast::{Arg, Block, Expr, ExprKind};

impl Builder<'_> {
    pub(super) fn value(&mut self, value: &Expr) {
        match &value.kind {
            ExprKind::Call { callee, args } => {
                self.value(callee);
                self.arguments(args, value.span.end);
            }
            ExprKind::Field { base, .. } => {
                self.value(base);
                self.until(value.span.end);
            }
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
            ExprKind::Name(_)
            | ExprKind::Int(_)
            | ExprKind::Float(_)
            | ExprKind::Str(_)
            | ExprKind::Bool(_)
            | ExprKind::Quantity { .. }
            | ExprKind::Error => self.until(value.span.end),
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
        self.braces(count, false, |builder, index| match (block.lets.get(index), &block.value) {
            (Some(binding), _) => builder.binding(binding),
            (None, Some(value)) => builder.line(None, |builder| builder.value(value)),
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
    matches!(kind, ExprKind::When { .. })
}
