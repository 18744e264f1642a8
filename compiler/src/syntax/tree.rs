//! What the grammar's actions call: trees are put together here, and what is wrong about a part
//! that parses is said here.

use std::convert::Infallible;

use lalrpop_util::ParseError;

use super::ast::{
    Block, Carried, DimExpr, DimExtent, Expr, ExprKind, Item, Let, LoopBody, LoopStep, Name, TypeExpr,
    TypeKind, Use,
};
use super::token::Tok;
use crate::diagnostic::{Diagnostic, syntax};
use crate::source::{FileId, Span};

/// A parser's error, before it is put into words.
pub(crate) type Unexpected<'t> = ParseError<u32, Tok<'t>, Infallible>;

/// What goes wrong while a tree is made.
pub(crate) struct Found<'t> {
    file: FileId,
    /// Problems of parts that parse.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Places where the parser had to recover.
    pub(crate) unexpected: Vec<Unexpected<'t>>,
}

/// At most so many recoveries are remembered; a text with more is not read to its end by anyone.
const MOST_RECOVERIES: usize = 128;

impl<'t> Found<'t> {
    pub(crate) fn new(file: FileId) -> Self {
        Self { file, diagnostics: Vec::new(), unexpected: Vec::new() }
    }

    pub(crate) fn span(&self, start: u32, end: u32) -> Span {
        Span { file: self.file, start, end: end.max(start) }
    }

    /// Whether the parser had to recover at a place from `start` to `end`.
    fn recovered_within(&self, start: u32, end: u32) -> bool {
        let place = |error: &Unexpected<'t>| match error {
            ParseError::UnrecognizedToken { token: (place, ..), .. }
            | ParseError::ExtraToken { token: (place, ..) }
            | ParseError::UnrecognizedEof { location: place, .. }
            | ParseError::InvalidToken { location: place } => *place,
            ParseError::User { error } => match *error {},
        };
        self.unexpected.iter().any(|error| (start..=end).contains(&place(error)))
    }

    pub(crate) fn recovered(&mut self, error: Unexpected<'t>) {
        if self.unexpected.len() < MOST_RECOVERIES {
            self.unexpected.push(error);
        }
    }
}

/// What stands in a block.
pub(crate) enum Statement {
    Let(Let),
    Value(Expr),
    /// Already reported.
    Error,
}

/// What stands between `<` and `>` of a type.
pub(crate) enum TypeArg {
    Type(TypeExpr),
    Number(Expr),
}

/// `max …` or `window …` after a type.
pub(crate) enum Suffix {
    Max(Expr, Span),
    Window(Expr, Span),
}

/// What stands between `loop` and its body.
pub(crate) enum LoopVar {
    Carried(Carried),
    /// The number of the round, and how many there are.
    Trip(Name, Expr),
    /// Already reported.
    Broken,
}

/// What stands in a loop's body; `None` is a line that was reported.
pub(crate) struct LoopLines {
    pub(crate) lines: Vec<Option<LoopStep>>,
    pub(crate) until: Option<Expr>,
}

/// A loop. Its rounds are counted once.
pub(crate) fn looped(
    found: &mut Found<'_>,
    vars: Vec<LoopVar>,
    max: Option<Expr>,
    body: LoopLines,
    span: Span,
) -> ExprKind {
    let mut carried = Vec::new();
    let mut trip: Option<(Name, Box<Expr>)> = None;
    for var in vars {
        match (var, &trip) {
            (LoopVar::Carried(var), _) => carried.push(var),
            (LoopVar::Broken, _) => {}
            (LoopVar::Trip(name, _), Some((first, _))) => {
                found.diagnostics.push(syntax::said_twice(first.span, name.span, "in"));
            }
            (LoopVar::Trip(name, count), None) => trip = Some((name, Box::new(count))),
        }
    }
    let steps = body.lines.into_iter().flatten().collect();
    let body = LoopBody { steps, until: body.until.map(Box::new), span };
    ExprKind::Loop { carried, trip, max: max.map(Box::new), body }
}

/// A name that may be missing, in which case nothing can refer to the item: it becomes an error node.
pub(crate) fn named(name: Option<Name>, span: Span, item: impl FnOnce(Name) -> Item) -> Item {
    name.map_or(Item::Error(span), item)
}

/// A block: bindings, then one value. Of one whose closing brace had to be put in nothing is said: what
/// stands in it may not be meant to.
pub(crate) fn block(found: &mut Found<'_>, statements: Vec<Statement>, span: Span, is_closed: bool) -> Block {
    let mut lets: Vec<Let> = Vec::new();
    let mut value: Option<Expr> = None;
    let mut broken = !is_closed;
    for statement in statements {
        // What the parser met in the statement before may have ended it too early.
        let from = lets.last().map_or(span.start, |binding: &Let| binding.span.start);
        match statement {
            Statement::Let(binding) => {
                if let Some(dropped) = value.take()
                    && !broken
                    && !found.recovered_within(from, dropped.span.end)
                {
                    found.diagnostics.push(syntax::let_after_value(binding.name.span, dropped.span));
                }
                lets.push(binding);
            }
            Statement::Value(expr) => {
                if let Some(dropped) = value.replace(expr)
                    && !broken
                    && let Some(kept) = &value
                    && !matches!(dropped.kind, ExprKind::Error)
                    && !found.recovered_within(from, dropped.span.end)
                {
                    found.diagnostics.push(syntax::unused_value(dropped.span, kept.span));
                }
            }
            Statement::Error => broken = true,
        }
    }
    if value.is_none() && !broken {
        let last = lets.last().map(|binding| (binding.name.span, binding.name.text.as_str()));
        found.diagnostics.push(syntax::block_without_value(span, last));
    }
    Block { lets, value: value.map(Box::new), span }
}

/// `use a::b::C`, or with `names` `use a::b::{C, D}`.
pub(crate) fn use_item(
    found: &mut Found<'_>,
    mut path: Vec<Name>,
    names: Option<Vec<Name>>,
    span: Span,
) -> Item {
    let names = names.or_else(|| (path.len() > 1).then(|| path.pop().into_iter().collect()));
    match names {
        Some(names) if !names.is_empty() => Item::Use(Use { module: path, names, span }),
        _ => {
            let module: Vec<&str> = path.iter().map(|name| name.text.as_str()).collect();
            found.diagnostics.push(syntax::use_without_names(span, &module.join("::")));
            Item::Error(span)
        }
    }
}

/// A type with its bounds.
pub(crate) fn bounded(
    found: &mut Found<'_>,
    kind: TypeKind,
    suffixes: Vec<Suffix>,
    optional: bool,
    span: Span,
) -> TypeExpr {
    let mut max: Option<(Expr, Span)> = None;
    let mut window: Option<(Expr, Span)> = None;
    for suffix in suffixes {
        let (slot, value, place, word) = match suffix {
            Suffix::Max(value, place) => (&mut max, value, place, "max"),
            Suffix::Window(value, place) => (&mut window, value, place, "window"),
        };
        match slot {
            Some((_, first)) => found.diagnostics.push(syntax::said_twice(*first, place, word)),
            None => *slot = Some((value, place)),
        }
    }
    let only = |slot: Option<(Expr, Span)>| slot.map(|(value, _)| Box::new(value));
    TypeExpr { kind, max: only(max), window: only(window), optional, span }
}

/// `name<arg>` or `name<arg>[dims]`, whose place is `span`; `dims` are `Some(None)` if one of them is broken.
#[expect(clippy::option_option, reason = "broken and not written are two things")]
pub(crate) fn applied(
    found: &mut Found<'_>,
    name: Name,
    arg: TypeArg,
    dims: Option<Option<Vec<DimExpr>>>,
    span: Span,
) -> TypeKind {
    // Without it the tensor would have another rank.
    if dims == Some(None) {
        return TypeKind::Error;
    }
    match (arg, dims.flatten()) {
        (TypeArg::Number(rate), None) if name.text != "tensor" => {
            TypeKind::Rated { name, rate: Box::new(rate) }
        }
        (TypeArg::Type(item), dims) if name.text == "tensor" => tensor(found, item, dims, span),
        (TypeArg::Type(item), None) => TypeKind::Of { name, item: Box::new(item) },
        (TypeArg::Number(_), _) if name.text == "tensor" => {
            found.diagnostics.push(syntax::dtype_is_no_name(span));
            TypeKind::Error
        }
        _ => {
            found.diagnostics.push(syntax::shape_of_no_tensor(span, &name.text));
            TypeKind::Error
        }
    }
}

fn tensor(found: &mut Found<'_>, item: TypeExpr, dims: Option<Vec<DimExpr>>, span: Span) -> TypeKind {
    match (item.kind, dims) {
        (TypeKind::Named(dtype), Some(dims))
            if item.max.is_none() && item.window.is_none() && !item.optional =>
        {
            TypeKind::Tensor { dtype, dims }
        }
        (TypeKind::Named(dtype), None) => {
            found.diagnostics.push(syntax::tensor_without_shape(span, &dtype.text));
            TypeKind::Error
        }
        (TypeKind::Error, _) => TypeKind::Error,
        _ => {
            found.diagnostics.push(syntax::dtype_is_no_name(item.span));
            TypeKind::Error
        }
    }
}

/// `384`; `None` is reported.
pub(crate) fn fixed_dim(found: &mut Found<'_>, extent: i64, span: Span) -> Option<DimExpr> {
    Some(DimExpr { extent: DimExtent::Fixed(natural(found, extent, span)?), span })
}

/// `n` or `n <= 512`.
pub(crate) fn symbol_dim(found: &mut Found<'_>, name: Name, max: Option<i64>, span: Span) -> Option<DimExpr> {
    let max = match max {
        Some(max) => Some(natural(found, max, span)?),
        None => None,
    };
    Some(DimExpr { extent: DimExtent::Symbol(name, max), span })
}

fn natural(found: &mut Found<'_>, extent: i64, span: Span) -> Option<u64> {
    let natural = u64::try_from(extent).ok();
    if natural.is_none() {
        found.diagnostics.push(syntax::negative_extent(span));
    }
    natural
}
