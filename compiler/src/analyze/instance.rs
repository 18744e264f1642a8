//! `Recognizer(weights, max_tokens: 64)`: a declared component with its arguments, ready to run.

use std::collections::BTreeMap;
use std::rc::Rc;

use corn_plan::{Batch, ComponentId, Literal, Needs, Port, Weights};

use crate::analyze::arguments::Takes;
use crate::analyze::consts::{Place, Seen};
use crate::analyze::context::{Const, Context, Declared, DeclaredPort, ParamType};
use crate::diagnostic::semantic;
use crate::graph::Component;
use crate::graph::print::Lit;
use crate::source::Span;
use crate::syntax::ast::{Arg, Clause, Expr};

/// Working memory of a component that says none; only those without weights may.
const DEFAULT_MEMORY_BYTES: u64 = 16 << 20;
/// Most threads of a component.
pub(crate) const MAX_CPUS: i64 = 1024;
/// Most GPUs of a component.
pub(crate) const MAX_GPUS: i64 = 64;
/// Most calls in a batch.
pub(crate) const MAX_BATCH: i64 = 65_536;

impl Context<'_> {
    /// Makes a component of the declaration at `position`; `None` if something is wrong, which is
    /// reported.
    pub(crate) fn instantiate(
        &mut self,
        position: usize,
        args: &[Arg],
        name: Option<&str>,
        span: Span,
        place: Place<'_>,
    ) -> Option<ComponentId> {
        let declared = Rc::clone(self.declared[position].as_ref()?);
        let values = self.instance_values(&declared, args, span, place)?;
        let mut weights = Vec::new();
        let mut options = BTreeMap::new();
        for (name, value) in &values {
            match value {
                Const::Weights(source) => {
                    weights.push(Weights { name: name.clone(), source: source.clone() });
                }
                Const::Literal(literal) if declared.options.contains_key(name) => {
                    options.insert(name.clone(), literal.clone());
                }
                _ => {}
            }
        }
        let clauses = Place { module: declared.module, local: Seen::Given(&values) };
        let needs = self.needs(&declared, clauses)?;
        let batch = self.batch(&declared, clauses)?;
        let has = |name: &&&str| declared.inputs.iter().any(|port| port.name == **name);
        let entry = self.catalog.find(&declared.executor, &declared.entry);
        let remembers = entry.map_or(&[][..], |entry| entry.remembers).iter().filter(has);
        let remembers = remembers.map(|name| (*name).to_owned()).collect();
        let name = name.map_or_else(|| declared.ast.name.text.to_lowercase(), ToOwned::to_owned);
        let deployed = corn_plan::Component {
            name: self.free_name(&name),
            kind: declared.kind.clone(),
            executor: declared.executor.clone(),
            entry: declared.entry.clone(),
            weights,
            options,
            inputs: declared.inputs.iter().map(port).collect(),
            outputs: declared.outputs.iter().map(port).collect(),
            remembers,
            needs,
            batch,
        };
        self.kinds.push(declared);
        Some(self.program.components.push(Component { deployed, span }))
    }

    /// The value of every parameter that has one.
    fn instance_values(
        &mut self,
        declared: &Declared<'_>,
        args: &[Arg],
        span: Span,
        place: Place<'_>,
    ) -> Option<Vec<(String, Const)>> {
        let params = declared.params.iter();
        let takes: Vec<Takes<'_>> = params
            .map(|param| Takes { name: &param.name, span: Some(param.span), optional: param.optional })
            .collect();
        let what = format!("component `{}`", declared.ast.name.text);
        let filled = self.arguments(&what, &takes, args, span)?;
        let mut values = Vec::new();
        let mut whole = true;
        for (param, expr) in declared.params.iter().zip(filled) {
            let Some(expr) = expr else {
                values.extend(param.default.clone().map(|value| (param.name.clone(), value)));
                continue;
            };
            let value = self.constant(expr, None, place);
            match self.accepted(&param.name, &param.ty, value, expr.span, Some(param.span)) {
                Some(Const::Poison) | None => whole = false,
                Some(value) => {
                    whole &= self.within_range(declared, param, &value, expr.span);
                    values.push((param.name.clone(), value));
                }
            }
        }
        whole.then_some(values)
    }

    fn needs(&mut self, declared: &Declared<'_>, place: Place<'_>) -> Option<Needs> {
        let mut needs = Needs { cpus: 1, gpus: 0, memory_bytes: DEFAULT_MEMORY_BYTES };
        for clause in &declared.ast.clauses {
            let Clause::Needs { needs: amounts, .. } = clause else { continue };
            for (name, amount) in amounts {
                match name.text.as_str() {
                    "cpu" => needs.cpus = self.whole_number(amount, 1..=MAX_CPUS, "cpu", place)?,
                    "gpu" => needs.gpus = self.whole_number(amount, 0..=MAX_GPUS, "gpu", place)?,
                    "memory" => match self.constant(amount, None, place) {
                        Const::Bytes(bytes @ 1..) => needs.memory_bytes = bytes,
                        Const::Poison => return None,
                        other => {
                            let given = match other {
                                Const::Bytes(_) => "no memory at all".to_owned(),
                                other => other.describe(),
                            };
                            let taken = ParamType::Bytes.describe();
                            self.report(semantic::components::bad_amount(
                                "memory",
                                &taken,
                                &given,
                                amount.span,
                            ));
                            return None;
                        }
                    },
                    _ => return None,
                }
            }
        }
        Some(needs)
    }

    fn batch(&mut self, declared: &Declared<'_>, place: Place<'_>) -> Option<Batch> {
        let mut batch = Batch { max: 1, within_ms: 0 };
        for clause in &declared.ast.clauses {
            let Clause::Batch { max, within, .. } = clause else { continue };
            batch.max = self.whole_number(max, 1..=MAX_BATCH, "batch", place)?;
            let Some(within) = within else { continue };
            batch.within_ms = match self.constant(within, None, place) {
                Const::Millis(millis) => millis,
                Const::Poison => return None,
                other => {
                    let taken = ParamType::Millis.describe();
                    let given = other.describe();
                    self.report(semantic::components::bad_amount("within", &taken, &given, within.span));
                    return None;
                }
            };
        }
        Some(batch)
    }

    fn whole_number(
        &mut self,
        expr: &Expr,
        range: std::ops::RangeInclusive<i64>,
        what: &str,
        place: Place<'_>,
    ) -> Option<u32> {
        match self.constant(expr, None, place) {
            Const::Literal(Literal::Int(number)) if range.contains(&number) => u32::try_from(number).ok(),
            Const::Poison => None,
            other => {
                let taken = format!("a whole number from {} to {}", range.start(), range.end());
                let given = match &other {
                    Const::Literal(literal) => format!("`{}`", Lit(literal)),
                    other => other.describe(),
                };
                self.report(semantic::components::bad_amount(what, &taken, &given, expr.span));
                None
            }
        }
    }

    /// `name`, or with a number behind it if another component has it.
    fn free_name(&mut self, name: &str) -> String {
        let mut free = name.to_owned();
        while self.next_number.contains_key(&free) {
            let next = self.next_number.entry(name.to_owned()).or_insert(2);
            free = format!("{name}_{next}");
            *next += 1;
        }
        self.next_number.insert(free.clone(), 2);
        free
    }
}

fn port(declared: &DeclaredPort) -> Port {
    Port { name: declared.name.clone(), ty: declared.ty.clone(), optional: declared.optional }
}
