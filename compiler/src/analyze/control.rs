//! `if` and `match`: what is decided by the parameters that a request brings.
//!
//! Every case is analysed; a recording keeps the one that its requests take. A case knows the values that the
//! parameter has there ([`Needs::chosen`]), so what is made in it exists on those recordings only.

use corn_plan::{Form, Kind, Literal, Type, ValueId};

use crate::analyze::body::{Body, Eval};
use crate::analyze::constructs::common;
use crate::analyze::context::Const;
use crate::diagnostic::semantic::{self, Candidate};
use crate::graph::{Needs, NodeKind, Operand, needs};
use crate::source::Span;
use crate::syntax::ast::{Arm, Block, Expr, ExprKind, PatternKind};

/// What one case makes, and where.
pub(crate) struct Made {
    pub(crate) eval: Eval,
    pub(crate) span: Span,
}

/// What decides a `match` or an `if`.
enum Decider {
    /// An input of the graph.
    Input(u32),
    /// Known when the program is compiled.
    Known(Literal),
}

impl Body<'_, '_> {
    /// `if a { … } else if b { … } else { … }`.
    pub(crate) fn conditions(
        &mut self,
        arms: &[(Expr, Block)],
        otherwise: Option<&Block>,
        span: Span,
    ) -> Eval {
        let outside = self.guard.clone();
        let mut rest = outside.clone();
        let mut made = Vec::new();
        let mut is_complete = otherwise.is_some();
        let mut broken = false;
        for (condition, body) in arms {
            let Some(decider) = self.decider(condition, "if") else {
                broken = true;
                self.block(body);
                continue;
            };
            let kind = self.decider_kind(&decider);
            if kind != Kind::Bool {
                let problem = semantic::control::condition_of_no_bool(&kind.to_string(), condition.span);
                self.context.report(problem);
                broken = true;
                self.block(body);
                continue;
            }
            match decider {
                Decider::Input(input) => {
                    let mut guard = rest.clone();
                    guard.choose(input, 0b10);
                    rest.choose(input, 0b01);
                    made.push(self.case(body, guard));
                }
                Decider::Known(literal) => {
                    let one = self.case(body, rest.clone());
                    if literal == Literal::Bool(true) {
                        made.push(one);
                        is_complete = true;
                        break;
                    }
                }
            }
        }
        if let Some(body) = otherwise
            && !(is_complete && made.len() > arms.len())
        {
            made.push(self.case(body, rest));
        }
        self.guard = outside;
        if broken { Eval::Poison } else { self.choose(&made, is_complete, span) }
    }

    /// `match mode { "fast" => … else => … }`.
    pub(crate) fn matched(&mut self, subject: &Expr, arms: &[Arm], span: Span) -> Eval {
        if let Some((local, media)) = self.media_item(subject) {
            return self.match_media(local, media, arms, span);
        }
        let Some(decider) = self.decider(subject, "match") else { return self.broken_arms(arms) };
        let kind = self.decider_kind(&decider);
        let values = needs::literals(&kind);
        if let (Kind::Media { .. }, ExprKind::Name(name)) = (&kind, &subject.kind) {
            let declared = self.locals.find(name).map_or(subject.span, |local| local.span);
            self.context.report(semantic::control::match_of_one_medium(name, subject.span, declared));
            // In a case it would be of that kind.
            return self.without(&[name], |body| body.broken_arms(arms));
        }
        if values.is_empty() || values.len() > needs::MOST_WORDS {
            self.context.report(semantic::control::match_of_no_choice(&kind.to_string(), subject.span));
            return self.broken_arms(arms);
        }
        let outside = self.guard.clone();
        let everything = u64::MAX >> (64 - values.len());
        let mut left = everything;
        let mut made = Vec::new();
        for arm in arms {
            let Some(bits) = self.pattern_bits(arm, &kind, left) else {
                self.block(&arm.body);
                return Eval::Poison;
            };
            left &= !bits;
            match &decider {
                Decider::Input(input) => {
                    let mut guard = outside.clone();
                    guard.choose(*input, bits);
                    made.push(self.case(&arm.body, guard));
                }
                Decider::Known(literal) => {
                    let one = self.case(&arm.body, outside.clone());
                    if needs::bit(&kind, literal).is_some_and(|bit| bit & bits != 0) {
                        made.push(one);
                    }
                }
            }
        }
        self.guard = outside;
        if left != 0 {
            let missing = values.iter().enumerate().filter(|(bit, _)| left >> bit & 1 == 1);
            let missing: Vec<String> = missing.map(|(_, value)| value.to_string()).collect();
            self.context.report(semantic::control::cases_missing("match", &missing, span));
            return Eval::Poison;
        }
        self.choose(&made, true, span)
    }

    /// What a condition or a subject is decided by; reports it if it is only known once it is made.
    fn decider(&mut self, subject: &Expr, word: &str) -> Option<Decider> {
        let eval = self.eval(subject);
        if let Eval::Const(Const::Literal(literal)) = eval {
            return Some(Decider::Known(literal));
        }
        let (value, each) = self.value(eval, None, subject.span)?;
        if !self.exists(value, subject.span) {
            return None;
        }
        let made = &self.graph.values[value];
        match self.graph.nodes[made.node].kind {
            NodeKind::Input(position) if !each && made.ty.form == Form::Value => {
                Some(Decider::Input(position))
            }
            _ => {
                let (name, declared) = (made.name.clone(), made.declared);
                let problem = semantic::control::decided_by_made(word, &name, subject.span, declared);
                self.context.report(problem);
                None
            }
        }
    }

    fn decider_kind(&self, decider: &Decider) -> Kind {
        match decider {
            Decider::Input(input) => {
                self.graph.values[self.graph.inputs[*input as usize].value].ty.kind.clone()
            }
            Decider::Known(Literal::Bool(_)) => Kind::Bool,
            Decider::Known(Literal::Text(word)) => Kind::Enum(vec![word.clone()]),
            Decider::Known(Literal::Int(_)) => Kind::Int,
            Decider::Known(_) => Kind::Float,
        }
    }

    /// The values that an arm takes of those in `left`; reports a pattern that takes none.
    fn pattern_bits(&mut self, arm: &Arm, kind: &Kind, left: u64) -> Option<u64> {
        let span = arm.pattern.span;
        let bits = match &arm.pattern.kind {
            PatternKind::Else if left == 0 => {
                self.context.report(semantic::control::case_never_taken("else", span));
                return None;
            }
            PatternKind::Else => return Some(left),
            PatternKind::Text(word) => needs::bit(kind, &Literal::Text(word.clone())),
            PatternKind::Bool(value) => needs::bit(kind, &Literal::Bool(*value)),
            PatternKind::Int(_) | PatternKind::Name(_) | PatternKind::Error => None,
        };
        let Some(bits) = bits else {
            self.wrong_pattern(arm, kind);
            return None;
        };
        if left & bits == 0 {
            self.context.report(semantic::control::case_never_taken("this case", span));
            return None;
        }
        Some(bits)
    }

    /// Reports a pattern that a subject of `kind` never is.
    pub(crate) fn wrong_pattern(&mut self, arm: &Arm, kind: &Kind) {
        let span = arm.pattern.span;
        let problem = match (&arm.pattern.kind, kind) {
            (PatternKind::Error, _) => return,
            (PatternKind::Text(word), Kind::Enum(words)) => semantic::types::unknown_word(word, words, span),
            (PatternKind::Name(name), _) => {
                let known: Vec<String> = needs::literals(kind).iter().map(ToString::to_string).collect();
                let known: Vec<Candidate> = known.iter().map(|value| Candidate::named(value)).collect();
                semantic::control::pattern_is_a_name(name, &kind.to_string(), span, &known)
            }
            _ => semantic::control::pattern_of_another_type(&kind.to_string(), span),
        };
        self.context.report(problem);
    }

    /// Looks at cases of something broken, for problems of their own.
    pub(crate) fn broken_arms(&mut self, arms: &[Arm]) -> Eval {
        for arm in arms {
            self.block(&arm.body);
        }
        Eval::Poison
    }

    /// What `body` makes where `guard` holds.
    fn case(&mut self, body: &Block, guard: Needs) -> Made {
        let outside = std::mem::replace(&mut self.guard, guard);
        let span = body.value.as_ref().map_or(body.span, |value| value.span);
        let eval = self.block(body);
        let eval = self.only_here(eval, span);
        self.guard = outside;
        Made { eval, span }
    }

    /// The one of the cases that a recording has. `is_complete` says that there always is one.
    pub(crate) fn choose(&mut self, made: &[Made], is_complete: bool, span: Span) -> Eval {
        let Some(fields) = self.fields_of(made, span) else { return Eval::Poison };
        if fields.is_empty() {
            return self.choose_one(made, is_complete, span);
        }
        let mut record = Vec::new();
        for field in fields {
            let part = made.iter().map(|one| Made { eval: field_of(&one.eval, &field), span: one.span });
            let part: Vec<Made> = part.collect();
            record.push((field, self.choose_one(&part, is_complete, span)));
        }
        Eval::Record(record)
    }

    /// The names that the records of all cases have; empty if they make single values.
    pub(crate) fn fields_of(&mut self, made: &[Made], span: Span) -> Option<Vec<String>> {
        let mut fields: Option<Vec<String>> = None;
        for one in made {
            let these = match &one.eval {
                Eval::Poison | Eval::Const(Const::Poison) => return None,
                Eval::Nothing => continue,
                Eval::Record(record) => record.iter().map(|(name, _)| name.clone()).collect(),
                _ => Vec::new(),
            };
            match &fields {
                Some(first) if *first != these => {
                    self.context
                        .report(semantic::control::cases_of_other_fields(first, &these, one.span, span));
                    return None;
                }
                _ => fields = Some(these),
            }
        }
        Some(fields.unwrap_or_default())
    }

    fn choose_one(&mut self, made: &[Made], is_complete: bool, span: Span) -> Eval {
        let mut values: Vec<(ValueId, bool, Span)> = Vec::new();
        for one in made.iter().filter(|one| !matches!(one.eval, Eval::Nothing)) {
            let Some((value, each)) = self.value(one.eval.clone(), None, one.span) else {
                return Eval::Poison;
            };
            values.push((value, each, one.span));
        }
        match values.as_slice() {
            [] => Eval::Nothing,
            [(value, each, _)] => item_or_value(*value, *each),
            [(_, _, first), ..] if !is_complete || values.len() < made.len() => {
                self.context.report(semantic::control::some_cases_make_nothing(*first, span));
                Eval::Poison
            }
            [(_, each, _), ..] => {
                let each = *each;
                let Some(ty) = self.common_type(&values) else { return Eval::Poison };
                let operands = values.iter().enumerate().map(|(port, (value, ..))| Operand {
                    port: u32::try_from(port).expect("cases are few"),
                    value: *value,
                    each: false,
                });
                let name = self.graph.values[values[0].0].name.clone();
                let operands = operands.collect();
                let chosen = self.made(NodeKind::Choose, operands, name, ty, true, span);
                self.graph.values[chosen].optional =
                    values.iter().any(|(value, ..)| self.graph.values[*value].optional);
                item_or_value(chosen, each)
            }
        }
    }

    /// The type that what all cases make has; reports cases that differ.
    pub(crate) fn common_type(&mut self, values: &[(ValueId, bool, Span)]) -> Option<Type> {
        let (first, each, first_span) = *values.first()?;
        let mut ty = self.graph.values[first].ty.clone();
        for (value, other_each, span) in &values[1..] {
            let other = &self.graph.values[*value].ty;
            let form = match (ty.form, other.form) {
                (Form::Value, Form::Value) => Some(Form::Value),
                (Form::List { max: a }, Form::List { max: b }) => Some(Form::List { max: a.max(b) }),
                (Form::Stream { window: a }, Form::Stream { window: b }) => {
                    Some(Form::Stream { window: a.min(b) })
                }
                _ => None,
            };
            let both = common(&ty.kind, &other.kind).zip(form).filter(|_| each == *other_each);
            let Some((kind, form)) = both else {
                let (one, other) = (ty.to_string(), other.to_string());
                self.context.report(semantic::control::cases_of_other_types(&one, first_span, &other, *span));
                return None;
            };
            ty = Type { kind, form };
        }
        Some(ty)
    }

    /// The local name and the list, if `subject` is an item of a list of media.
    fn media_item(&self, subject: &Expr) -> Option<(usize, ValueId)> {
        let ExprKind::Name(name) = &subject.kind else { return None };
        let position = self.locals.iter().rposition(|local| local.name == *name)?;
        match self.locals[position].eval {
            Eval::Item(value) if matches!(self.graph.values[value].ty.kind, Kind::Media { .. }) => {
                Some((position, value))
            }
            _ => None,
        }
    }
}

fn item_or_value(value: ValueId, each: bool) -> Eval {
    if each { Eval::Item(value) } else { Eval::Value(value) }
}

/// What `eval`, a record or nothing, has under `field`.
pub(crate) fn field_of(eval: &Eval, field: &str) -> Eval {
    match eval {
        Eval::Record(record) => {
            let found = record.iter().find(|(name, _)| name == field);
            found.map_or(Eval::Nothing, |(_, eval)| eval.clone())
        }
        _ => Eval::Nothing,
    }
}
