//! Expressions whose value is known when a program is compiled: literals, quantities, weights
//! and components.

use corn_plan::{Literal, WeightsSource};

use crate::analyze::arguments::Takes;
use crate::analyze::context::{Const, Context, ParamType};
use crate::analyze::locals::{Local, Locals};
use crate::analyze::names::{Entity, FUNCTIONS};
use crate::diagnostic::semantic::{self, Candidate};
use crate::source::Span;
use crate::syntax::ast::{Arg, Expr, ExprKind};

/// Where a constant expression stands: which names it can see.
#[derive(Clone, Copy)]
pub(crate) struct Place<'p> {
    /// The module whose names are seen.
    pub(crate) module: usize,
    /// Names of parameters or local constants, which come first.
    pub(crate) local: Seen<'p>,
}

/// Names that come before those of the module.
#[derive(Clone, Copy)]
pub(crate) enum Seen<'p> {
    /// Parameters with their values.
    Given(&'p [(String, Const)]),
    /// What a graph's body has bound.
    Bound(&'p Locals),
}

impl Seen<'_> {
    pub(crate) const NOTHING: Self = Self::Given(&[]);

    fn find(self, name: &str) -> Option<Const> {
        match self {
            Self::Given(values) => {
                values.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone())
            }
            Self::Bound(locals) => locals.find(name).map(Local::constant),
        }
    }

    fn candidates(self) -> Vec<Candidate> {
        match self {
            Self::Given(values) => values.iter().map(|(given, _)| Candidate::named(given)).collect(),
            Self::Bound(locals) => locals.iter().map(|local| Candidate::named(&local.name)).collect(),
        }
    }
}

/// Makes a constant of a number.
type Measure = fn(f64) -> Const;

/// Units of bytes, milliseconds, hertz and thousandths of a frame a second.
const UNITS: [(&str, Measure); 14] = [
    ("B", |number| Const::Bytes(number.round() as u64)),
    ("KiB", |number| Const::Bytes((number * 1024.0).round() as u64)),
    ("MiB", |number| Const::Bytes((number * 1024.0 * 1024.0).round() as u64)),
    ("GiB", |number| Const::Bytes((number * 1024.0 * 1024.0 * 1024.0).round() as u64)),
    ("TiB", |number| Const::Bytes((number * 1024.0 * 1024.0 * 1024.0 * 1024.0).round() as u64)),
    ("KB", |number| Const::Bytes((number * 1e3).round() as u64)),
    ("MB", |number| Const::Bytes((number * 1e6).round() as u64)),
    ("GB", |number| Const::Bytes((number * 1e9).round() as u64)),
    ("ms", |number| Const::Millis(number.round() as u64)),
    ("s", |number| Const::Millis((number * 1e3).round() as u64)),
    ("min", |number| Const::Millis((number * 6e4).round() as u64)),
    ("Hz", |number| Const::Hertz(number.round() as u64)),
    ("kHz", |number| Const::Hertz((number * 1e3).round() as u64)),
    ("fps", |number| Const::MilliFps((number * 1e3).round() as u64)),
];

/// Most bytes, milliseconds, hertz or thousandths of a quantity: sums of many stay exact.
const MOST_OF_A_UNIT: u64 = 1 << 53;

impl Context<'_> {
    /// The value of `expr`; `name` is the name that a component made there gets.
    pub(crate) fn constant(&mut self, expr: &Expr, name: Option<&str>, place: Place<'_>) -> Const {
        match &expr.kind {
            ExprKind::Int(value) => Const::Literal(Literal::Int(*value)),
            ExprKind::Float(value) => Const::Literal(Literal::Float(*value)),
            ExprKind::Bool(value) => Const::Literal(Literal::Bool(*value)),
            ExprKind::Str(text) => Const::Literal(Literal::Text(text.clone())),
            ExprKind::Quantity { number, unit } => self.quantity(*number, unit, expr.span),
            ExprKind::Name(read) => self.constant_name(read, expr.span, place),
            ExprKind::List(items) => self.texts(items, place),
            ExprKind::Call { callee, args } => self.constant_call(callee, args, name, expr.span, place),
            ExprKind::Error => Const::Poison,
            ExprKind::Field { .. }
            | ExprKind::Each { .. }
            | ExprKind::When { .. }
            | ExprKind::If { .. }
            | ExprKind::Match { .. }
            | ExprKind::Switch { .. }
            | ExprKind::Loop { .. }
            | ExprKind::None
            | ExprKind::Record(_) => {
                self.report(semantic::types::not_constant(expr.span));
                Const::Poison
            }
        }
    }

    /// A number with its unit.
    pub(crate) fn quantity(&mut self, number: f64, unit: &str, span: Span) -> Const {
        if let Some((_, make)) = UNITS.iter().find(|(name, _)| *name == unit) {
            let made = make(number);
            let size = match made {
                Const::Bytes(size) | Const::Millis(size) | Const::Hertz(size) | Const::MilliFps(size) => size,
                _ => 0,
            };
            if number < 0.0 || size > MOST_OF_A_UNIT {
                self.report(semantic::types::quantity_out_of_range(unit, span));
                return Const::Poison;
            }
            return made;
        }
        let units = UNITS.map(|(name, _)| Candidate::named(name));
        self.report(semantic::names::unknown_unit(unit, &units, span));
        Const::Poison
    }

    fn constant_name(&mut self, name: &str, span: Span, place: Place<'_>) -> Const {
        match place.local.find(name) {
            Some(Const::Brought) => {
                self.report(semantic::types::not_constant(span));
                return Const::Poison;
            }
            Some(value) => return value,
            None => {}
        }
        match self.look_up(place.module, name).map(|named| named.entity) {
            Some(Some(Entity::Let(position))) => self.lets[position].clone(),
            Some(Some(entity)) => {
                self.report(semantic::types::not_a_value(name, entity.sort(), span));
                Const::Poison
            }
            Some(None) => Const::Poison,
            None => {
                let mut known = self.visible(place.module, |entity| matches!(entity, Entity::Let(_)));
                known.extend(place.local.candidates());
                known.extend(semantic::names::truth_value_like(name));
                self.report(semantic::names::unknown(name, span, &known));
                Const::Poison
            }
        }
    }

    fn texts(&mut self, items: &[Expr], place: Place<'_>) -> Const {
        let mut texts = Vec::new();
        for item in items {
            match self.constant(item, None, place) {
                Const::Literal(Literal::Text(text)) => texts.push(text),
                Const::Poison => return Const::Poison,
                other => {
                    self.report(semantic::types::list_of_texts(&other.describe(), item.span));
                    return Const::Poison;
                }
            }
        }
        Const::Literal(Literal::Texts(texts))
    }

    fn constant_call(
        &mut self,
        callee: &Expr,
        args: &[Arg],
        name: Option<&str>,
        span: Span,
        place: Place<'_>,
    ) -> Const {
        let ExprKind::Name(function) = &callee.kind else {
            self.report(semantic::types::not_constant(span));
            return Const::Poison;
        };
        match function.as_str() {
            "pypi" | "hf" | "file" => return self.weights(function, args, span, place),
            "join" | "merge" => {
                self.report(semantic::types::not_constant(span));
                return Const::Poison;
            }
            _ => {}
        }
        match self.look_up(place.module, function).map(|named| named.entity) {
            Some(Some(Entity::Component(position))) => {
                self.instantiate(position, args, name, span, place).map_or(Const::Poison, Const::Component)
            }
            Some(None) => Const::Poison,
            Some(Some(_)) => {
                self.report(semantic::types::not_constant(span));
                Const::Poison
            }
            None => {
                let mut known = self.visible(place.module, |entity| matches!(entity, Entity::Component(_)));
                known.extend(FUNCTIONS.map(Candidate::named));
                self.report(semantic::names::unknown(function, callee.span, &known));
                Const::Poison
            }
        }
    }

    fn weights(&mut self, function: &str, args: &[Arg], span: Span, place: Place<'_>) -> Const {
        let params: &[(&str, bool)] = match function {
            "pypi" => &[("package", false), ("path", false), ("sha256", true)],
            "hf" => &[("repo", false), ("path", true), ("revision", true), ("sha256", true)],
            _ => &[("path", false), ("sha256", true)],
        };
        let takes: Vec<Takes<'_>> =
            params.iter().map(|&(name, optional)| Takes { name, span: None, optional }).collect();
        let what = format!("`{function}`");
        let Some(filled) = self.arguments(&what, &takes, args, span) else { return Const::Poison };
        let mut texts = Vec::new();
        for (expr, takes) in filled.iter().zip(&takes) {
            let Some(expr) = expr else {
                texts.push(None);
                continue;
            };
            match self.constant(expr, None, place) {
                Const::Literal(Literal::Text(text)) => texts.push(Some((text, expr.span))),
                Const::Poison => return Const::Poison,
                other => {
                    let taken = ParamType::Text.describe();
                    let given = other.describe();
                    self.report(semantic::calls::wrong_argument(takes.name, &taken, &given, expr.span, None));
                    return Const::Poison;
                }
            }
        }
        self.weights_source(function, texts).map_or(Const::Poison, Const::Weights)
    }

    fn weights_source(
        &mut self,
        function: &str,
        mut texts: Vec<Option<(String, Span)>>,
    ) -> Option<WeightsSource> {
        let sha256 = match texts.pop().flatten() {
            Some((text, span)) if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                self.report(semantic::components::bad_hash(span));
                return None;
            }
            other => other.map(|(text, _)| text.to_ascii_lowercase()),
        };
        let mut texts = texts.into_iter();
        let (first, span) = texts.next().flatten()?;
        let second = texts.next().flatten().map(|(text, _)| text);
        let third = texts.next().flatten().map(|(text, _)| text);
        Some(match function {
            "pypi" => {
                let well_formed = first
                    .split_once("==")
                    .is_some_and(|(name, version)| !name.is_empty() && !version.is_empty());
                if !well_formed {
                    self.report(semantic::components::package_without_version(&first, span));
                    return None;
                }
                WeightsSource::Pypi { package: first, path: second?, sha256 }
            }
            "hf" => {
                let well_formed =
                    first.split_once('/').is_some_and(|(owner, name)| !owner.is_empty() && !name.is_empty());
                if !well_formed {
                    self.report(semantic::components::repo_without_owner(&first, span));
                    return None;
                }
                let revision = third.unwrap_or_else(|| "main".to_owned());
                WeightsSource::Hf { repo: first, path: second, revision, sha256 }
            }
            _ => WeightsSource::File { path: first, sha256 },
        })
    }
}

impl Context<'_> {
    /// `value` as parameter `name` of type `ty` holds it; reports it and returns `None` if it
    /// takes no such value.
    pub(crate) fn accepted(
        &mut self,
        name: &str,
        ty: &ParamType,
        value: Const,
        span: Span,
        declared: Option<Span>,
    ) -> Option<Const> {
        let problem = match (ty, &value) {
            (ParamType::Enum(words), Const::Literal(Literal::Text(word))) => {
                semantic::types::unknown_word(word, words, span)
            }
            _ => semantic::calls::wrong_argument(name, &ty.describe(), &value.describe(), span, declared),
        };
        let accepted = ty.accept(value);
        if accepted.is_none() {
            self.report(problem);
        }
        accepted
    }
}

impl ParamType {
    /// `value` as this parameter holds it; `None` if it takes no such value.
    fn accept(&self, value: Const) -> Option<Const> {
        match (self, value) {
            (_, Const::Poison) | (Self::Poison, _) => Some(Const::Poison),
            (Self::Float, Const::Literal(Literal::Int(value))) => {
                Some(Const::Literal(Literal::Float(value as f64)))
            }
            (Self::Enum(words), Const::Literal(Literal::Text(word))) => {
                words.contains(&word).then_some(Const::Literal(Literal::Text(word)))
            }
            (Self::Int, value @ Const::Literal(Literal::Int(_)))
            | (Self::Float, value @ Const::Literal(Literal::Float(_)))
            | (Self::Bool, value @ Const::Literal(Literal::Bool(_)))
            | (Self::Text, value @ Const::Literal(Literal::Text(_)))
            | (Self::Texts, value @ Const::Literal(Literal::Texts(_)))
            | (Self::Bytes, value @ Const::Bytes(_))
            | (Self::Millis, value @ Const::Millis(_))
            | (Self::Weights, value @ Const::Weights(_)) => Some(value),
            _ => None,
        }
    }
}
