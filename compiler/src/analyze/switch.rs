//! `switch`: what is decided by a value that is made, at run time.

use corn_plan::{Case, Form, Kind, Literal, ValueId};

use crate::analyze::body::{Body, Eval};
use crate::analyze::context::Const;
use crate::analyze::control::{Made, field_of};
use crate::diagnostic::semantic;
use crate::graph::{NodeKind, Operand, ScopeId, needs};
use crate::source::Span;
use crate::syntax::ast::{Arm, Expr, PatternKind};

impl Body<'_, '_> {
    /// `switch subject { "draw" => … else => none }`.
    pub(crate) fn switch(&mut self, subject: &Expr, arms: &[Arm], span: Span) -> Eval {
        if self.items.is_some() {
            self.context.report(semantic::constructs::not_in_each("`switch`", span));
            return self.broken_arms(arms);
        }
        let Some(decides) = self.switch_subject(subject) else { return self.broken_arms(arms) };
        let kind = self.graph.values[decides].ty.kind.clone();
        let Some(cases) = self.cases(arms, &kind, span) else { return self.broken_arms(arms) };
        let outside = self.scope;
        let mut scopes: Vec<ScopeId> = Vec::new();
        let mut made: Vec<Made> = Vec::new();
        for arm in arms {
            let scope = self.graph.scopes.push(outside);
            self.scope = Some(scope);
            let eval = self.block(&arm.body);
            let span = arm.body.value.as_ref().map_or(arm.body.span, |value| value.span);
            let eval = self.literals_made(eval, span);
            scopes.push(scope);
            made.push(Made { eval, span });
        }
        self.scope = outside;
        let Some(fields) = self.fields_of(&made, span) else { return Eval::Poison };
        let outputs = if fields.is_empty() { vec![made] } else { by_field(&made, &fields) };
        let Some(yields) = self.yields(&outputs, span) else { return Eval::Poison };
        self.switched(decides, Cases { cases, scopes }, &yields, &fields, span)
    }

    /// The value that decides.
    fn switch_subject(&mut self, subject: &Expr) -> Option<ValueId> {
        let eval = self.eval(subject);
        if let Eval::Const(Const::Literal(_)) = eval {
            self.context.report(semantic::control::switch_of_a_constant(subject.span));
            return None;
        }
        let (value, each) = self.value(eval, None, subject.span)?;
        if !self.exists(value, subject.span) {
            return None;
        }
        let made = &self.graph.values[value];
        let decides = matches!(made.ty.kind, Kind::Enum(_) | Kind::Bool | Kind::Int | Kind::Text { .. });
        if each || made.ty.form != Form::Value || !decides {
            let problem = semantic::control::cannot_decide(&made.ty.to_string(), subject.span, made.declared);
            self.context.report(problem);
            return None;
        }
        Some(value)
    }

    /// The patterns of `arms`; reports those that never fit and values that none takes.
    fn cases(&mut self, arms: &[Arm], kind: &Kind, span: Span) -> Option<Vec<Case>> {
        let mut cases: Vec<Case> = Vec::new();
        for arm in arms {
            let case = match (&arm.pattern.kind, kind) {
                (PatternKind::Else, _) => Case::Else,
                (PatternKind::Text(word), Kind::Enum(words)) if words.contains(word) => {
                    Case::Is(Literal::Text(word.clone()))
                }
                (PatternKind::Text(word), Kind::Text { .. }) => Case::Is(Literal::Text(word.clone())),
                (PatternKind::Int(number), Kind::Int) => Case::Is(Literal::Int(*number)),
                (PatternKind::Bool(value), Kind::Bool) => Case::Is(Literal::Bool(*value)),
                _ => {
                    self.wrong_pattern(arm, kind);
                    return None;
                }
            };
            if cases.contains(&case) || cases.contains(&Case::Else) {
                self.context.report(semantic::control::case_never_taken("this case", arm.pattern.span));
                return None;
            }
            cases.push(case);
        }
        let values = needs::literals(kind);
        let missing = values.iter().filter(|value| !cases.contains(&Case::Is((*value).clone())));
        let missing: Vec<String> = missing.map(ToString::to_string).collect();
        if !cases.contains(&Case::Else) && (values.is_empty() || !missing.is_empty()) {
            self.context.report(semantic::control::cases_missing("switch", &missing, span));
            return None;
        }
        Some(cases)
    }

    /// `eval` with constants as values of this place.
    fn literals_made(&mut self, eval: Eval, span: Span) -> Eval {
        match eval {
            Eval::Const(Const::Literal(literal)) => Eval::Value(self.literal(literal, None, span)),
            Eval::Record(fields) => {
                let fields = fields.into_iter().map(|(name, eval)| (name, self.literals_made(eval, span)));
                Eval::Record(fields.collect())
            }
            other => other,
        }
    }

    /// For each output, what each case makes of it.
    fn yields(&mut self, outputs: &[Vec<Made>], span: Span) -> Option<Vec<Yields>> {
        let mut all = Vec::new();
        for made in outputs {
            let mut yields = Vec::new();
            for one in made {
                if matches!(one.eval, Eval::Nothing) {
                    yields.push(None);
                    continue;
                }
                let (value, _) = self.value(one.eval.clone(), None, one.span)?;
                let missing = self.needs_beyond(value, &self.guard);
                if !missing.is_empty() {
                    let made = &self.graph.values[value];
                    let problem =
                        semantic::constructs::may_be_absent(&made.name, &missing, one.span, made.declared);
                    self.context.report(problem);
                    return None;
                }
                yields.push(Some((value, one.span)));
            }
            if yields.iter().all(Option::is_none) {
                self.context.report(semantic::control::every_case_makes_nothing(span));
                return None;
            }
            all.push(yields);
        }
        Some(all)
    }

    /// Adds the node.
    fn switched(
        &mut self,
        decides: ValueId,
        cases: Cases,
        outputs: &[Yields],
        fields: &[String],
        span: Span,
    ) -> Eval {
        let number = |count: usize| u32::try_from(count).expect("cases are few");
        let mut types = Vec::new();
        for yields in outputs {
            let values: Vec<(ValueId, bool, Span)> =
                yields.iter().flatten().map(|(value, span)| (*value, false, *span)).collect();
            let Some(ty) = self.common_type(&values) else { return Eval::Poison };
            let absent = |made: &Option<(ValueId, Span)>| {
                made.is_none_or(|(value, _)| self.graph.values[value].optional)
            };
            types.push((ty, yields.iter().any(absent)));
        }
        let mut operands = vec![Operand { port: 0, value: decides, each: false }];
        for case in 0..cases.cases.len() {
            for (output, yields) in outputs.iter().enumerate() {
                if let Some((value, _)) = yields[case] {
                    let port = number(1 + case * outputs.len() + output);
                    operands.push(Operand { port, value, each: false });
                }
            }
        }
        let Cases { cases, scopes } = cases;
        let kind = NodeKind::Switch { cases, scopes, outputs: number(outputs.len()) };
        let node = self.add(kind, operands, span);
        let mut results = Vec::new();
        for (output, (ty, optional)) in types.into_iter().enumerate() {
            let name = fields.get(output).cloned().unwrap_or_else(|| "switch".to_owned());
            let value = self.make(node, number(output), name.clone(), ty, true, span);
            self.graph.values[value].optional = optional;
            results.push((name, Eval::Value(value)));
        }
        if fields.is_empty() {
            return results.pop().map_or(Eval::Poison, |(_, eval)| eval);
        }
        Eval::Record(results)
    }
}

/// What each case makes of one output, and where; `None` if it makes nothing.
type Yields = Vec<Option<(ValueId, Span)>>;

/// The cases of one switch with their scopes.
struct Cases {
    cases: Vec<Case>,
    scopes: Vec<ScopeId>,
}

fn by_field(made: &[Made], fields: &[String]) -> Vec<Vec<Made>> {
    let part = |field: &String| {
        let part = made.iter().map(|one| Made { eval: field_of(&one.eval, field), span: one.span });
        part.collect()
    };
    fields.iter().map(part).collect()
}
