//! What runs a component: its `run` clause, ports and parameters held against the catalog's entry, and the
//! values of parameters against the ranges of whoever reads them.

use std::collections::{BTreeMap, BTreeSet};

use corn_plan::catalog::{Domain, Entry, EntryForm, EntryPort, endpoint};
use corn_plan::{Form, Literal};

use crate::analyze::context::{Const, Context, Declared, DeclaredParam, DeclaredPort, ParamType};
use crate::analyze::instance::{MAX_BATCH, MAX_CPUS, MAX_GPUS};
use crate::diagnostic::Diagnostic;
use crate::diagnostic::semantic::{self, Candidate};
use crate::graph::print::Lit;
use crate::source::Span;
use crate::syntax::ast::{self, Clause, Expr, ExprKind};

impl<'a> Context<'a> {
    /// The entry of a `run` clause; reports it if there is none.
    pub(crate) fn find_entry(&mut self, executor: &ast::Name, entry: &ast::Str) -> Option<&'a Entry> {
        let catalog = self.catalog;
        if let Some(known) = catalog.find(&executor.text, &entry.text) {
            return Some(known);
        }
        let here: Vec<&Entry> = catalog.of(&executor.text).collect();
        let names: Vec<Candidate> = here.iter().map(|known| Candidate::named(known.name)).collect();
        let problem = match here.first().map(|known| known.form) {
            None => {
                let executors: BTreeSet<&str> = catalog.entries.iter().map(|known| known.executor).collect();
                let known: Vec<Candidate> = executors.into_iter().map(Candidate::named).collect();
                semantic::components::unknown_executor(executor, &known)
            }
            Some(EntryForm::Name) => semantic::components::unknown_entry(entry, &executor.text, &names),
            Some(EntryForm::Class) => {
                semantic::components::malformed_entry(entry, &executor.text, "a class", &names)
            }
            Some(EntryForm::Url(_)) => wrong_address(executor, entry, &here),
        };
        self.report(problem);
        None
    }

    pub(crate) fn check_ports(&mut self, declared: &Declared<'_>, entry: &Entry, run: Span) {
        if entry.open.ports {
            return;
        }
        let name = entry_name(declared);
        for (inputs, ports, known) in
            [(true, &declared.inputs, entry.inputs), (false, &declared.outputs, entry.outputs)]
        {
            for port in ports {
                let Some(takes) = known.iter().find(|known| known.name == port.name) else {
                    let known: Vec<Candidate> =
                        known.iter().map(|known| Candidate::named(known.name)).collect();
                    self.report(semantic::components::unknown_port(
                        &port.name, inputs, &name, port.span, &known,
                    ));
                    continue;
                };
                if !matches_port(port, takes) {
                    let (given, takes) = (short(port), takes.describe());
                    self.report(semantic::components::port_differs(
                        &port.name, &given, &name, &takes, port.span,
                    ));
                } else if port.optional && !takes.optional {
                    self.report(semantic::components::port_not_optional(&port.name, &name, port.span));
                }
            }
        }
        let has = |name: &str| declared.inputs.iter().any(|port| port.name == name);
        for missing in entry.inputs.iter().filter(|known| !known.optional && !has(known.name)) {
            let port = format!("`in {}: {}`", missing.name, missing.describe());
            self.report(semantic::components::port_missing(&name, &port, run));
        }
        if !entry.one_of.is_empty() && !entry.one_of.iter().any(|name| has(name)) {
            let ports = entry.inputs.iter().filter(|known| entry.one_of.contains(&known.name));
            let ports: Vec<String> =
                ports.map(|port| format!("`in {}: {}`", port.name, port.describe())).collect();
            self.report(semantic::components::port_missing(&name, &ports.join(" or "), run));
        }
    }

    pub(crate) fn check_params(&mut self, declared: &mut Declared<'a>, entry: &Entry, run: Span) {
        let name = entry_name(declared);
        let has_weights = |wanted: &str| {
            declared.params.iter().any(|param| {
                param.name == wanted && matches!(param.ty, ParamType::Weights | ParamType::Poison)
            })
        };
        for weights in entry.weights.iter().filter(|weights| !has_weights(weights)) {
            self.report(semantic::components::weights_missing(&name, weights, run));
        }
        let amounts = amounts(declared.ast);
        let mut options = BTreeMap::new();
        for param in &declared.params {
            if param.ty == ParamType::Poison {
                continue;
            }
            if param.ty == ParamType::Weights
                && (entry.open.weights || entry.weights.contains(&param.name.as_str()))
            {
                continue;
            }
            let option = entry.option(&param.name);
            let is_amount = amounts.iter().any(|amount| amount.param == param.name);
            let domain = option.map(|option| option.domain);
            match domain.or((entry.open.options && !is_amount).then_some(Domain::Any)) {
                Some(domain) if takes_option(domain, &param.ty) => {
                    options.insert(param.name.clone(), domain);
                }
                Some(domain) => {
                    let (takes, given) = (domain.kind(), param.ty.describe());
                    self.report(semantic::components::option_differs(
                        &param.name,
                        &given,
                        &name,
                        takes,
                        param.span,
                    ));
                }
                None if is_amount => {}
                None => self.unknown_option(param, entry, &name),
            }
        }
        for option in entry.options.iter().filter(|option| option.required) {
            match declared.params.iter().find(|param| param.name == option.name) {
                None => {
                    let kind = option.domain.kind().trim_matches('`');
                    let problem = semantic::components::option_missing(&name, option.name, kind, run);
                    self.report(problem);
                }
                Some(param) if param.optional && !has_default(declared.ast, &param.name) => {
                    self.report(semantic::components::option_not_optional(&name, &param.name, param.span));
                }
                Some(_) => {}
            }
        }
        declared.options = options;
    }

    fn unknown_option(&mut self, param: &DeclaredParam, entry: &Entry, name: &str) {
        let words: Vec<&str> = if param.ty == ParamType::Weights {
            entry.weights.to_vec()
        } else {
            entry.options.iter().map(|option| option.name).collect()
        };
        let known: Vec<Candidate> = words.into_iter().map(Candidate::named).collect();
        self.report(semantic::components::unknown_option(&param.name, name, param.span, &known));
    }

    /// Holds defaults against the ranges of who reads them; one that is outside is not used further.
    pub(crate) fn check_defaults(&mut self, declared: &mut Declared<'a>) {
        for position in 0..declared.params.len() {
            let param = declared.params[position].clone();
            let Some(value) = &param.default else { continue };
            let written = declared.ast.params.iter().find(|written| written.name.text == param.name);
            let span = written.and_then(|written| written.default.as_ref()).map_or(param.span, |it| it.span);
            if !self.within_range(declared, &param, value, span) {
                declared.params[position].default = Some(Const::Poison);
            }
        }
    }

    /// Whether everything that reads `param` takes `value`, which stands at `span`; reports it if not.
    pub(crate) fn within_range(
        &mut self,
        declared: &Declared<'_>,
        param: &DeclaredParam,
        value: &Const,
        span: Span,
    ) -> bool {
        if *value == Const::Bytes(0)
            && let Some(amount) = amounts(declared.ast).iter().find(|amount| amount.param == param.name)
        {
            let reader = format!("read by `{}`", amount.clause);
            let takes = "a size of more than nothing";
            let reader = (amount.span, reader.as_str());
            self.report(semantic::components::option_outside(&param.name, takes, "0B", span, reader, &[]));
            return false;
        }
        let Const::Literal(value) = value else { return true };
        if let Some(domain) = declared.options.get(&param.name)
            && !domain.takes(value)
        {
            let reader = format!("an option of {}", entry_name(declared));
            self.report(outside(param, value, *domain, span, (param.span, &reader)));
            return false;
        }
        for amount in amounts(declared.ast).iter().filter(|amount| amount.param == param.name) {
            let Some(domain) = amount.domain else { continue };
            if !domain.takes(value) {
                let reader = format!("read by `{}`", amount.clause);
                self.report(outside(param, value, domain, span, (amount.span, &reader)));
                return false;
            }
        }
        true
    }
}

/// An address that is none, or one of an endpoint that the executor does not know.
fn wrong_address(executor: &ast::Name, entry: &ast::Str, here: &[&Entry]) -> Diagnostic {
    let ends = here.iter().filter_map(|known| match known.form {
        EntryForm::Url(end) if !end.is_empty() => Some(Candidate::named(end)),
        _ => None,
    });
    let ends: Vec<Candidate> = ends.collect();
    if let Some(end) = endpoint(&entry.text) {
        return semantic::components::unknown_endpoint(end, &executor.text, entry.span, &ends);
    }
    let example: Vec<Candidate> = here.iter().take(1).map(|known| Candidate::named(known.name)).collect();
    semantic::components::malformed_entry(entry, &executor.text, "an address", &example)
}

fn outside(
    param: &DeclaredParam,
    value: &Literal,
    domain: Domain,
    span: Span,
    reader: (Span, &str),
) -> Diagnostic {
    let known = known_words(domain);
    let given = Lit(value).to_string();
    semantic::components::option_outside(&param.name, &domain.to_string(), &given, span, reader, &known)
}

/// The words that `domain` takes, as they are written.
pub(crate) fn known_words(domain: Domain) -> Vec<Candidate> {
    let words: &[&str] = if let Domain::Words(words) = domain { words } else { &[] };
    words.iter().map(|word| Candidate::named(&format!("{word:?}"))).collect()
}

/// As `run` names it.
fn entry_name(declared: &Declared<'_>) -> String {
    format!("{} {:?}", declared.executor, declared.entry)
}

fn has_default(component: &ast::Component, name: &str) -> bool {
    component.params.iter().any(|param| param.name.text == name && param.default.is_some())
}

fn short(port: &DeclaredPort) -> String {
    let word = port.ty.kind.word();
    match port.ty.form {
        Form::Value => word.to_owned(),
        Form::List { .. } => format!("list<{word}>"),
        Form::Stream { .. } => format!("stream<{word}>"),
    }
}

/// Whether a declared port is what the executor expects.
fn matches_port(port: &DeclaredPort, takes: &EntryPort) -> bool {
    (takes.modality == "any" || takes.modality == port.ty.kind.word()) && takes.form.takes(port.ty.form)
}

const fn takes_option(domain: Domain, ty: &ParamType) -> bool {
    match ty {
        ParamType::Int => {
            matches!(domain, Domain::Int(..) | Domain::Float(..) | Domain::Above(..) | Domain::Any)
        }
        ParamType::Float => matches!(domain, Domain::Float(..) | Domain::Above(..) | Domain::Any),
        ParamType::Bool => matches!(domain, Domain::Bool | Domain::Any),
        ParamType::Text | ParamType::Enum(_) => {
            matches!(domain, Domain::Text | Domain::Filled | Domain::Words(_) | Domain::Any)
        }
        ParamType::Texts => matches!(domain, Domain::Texts | Domain::Any),
        ParamType::Bytes | ParamType::Millis | ParamType::Weights | ParamType::Poison => false,
    }
}

/// A parameter that `needs` or `batch` reads.
struct Amount<'e> {
    param: &'e str,
    /// `needs cpu`, `batch` or `within`.
    clause: String,
    span: Span,
    /// Which numbers the clause takes; durations and sizes are checked by their type.
    domain: Option<Domain>,
}

/// Parameters that the clauses of `component` read as amounts.
fn amounts(component: &ast::Component) -> Vec<Amount<'_>> {
    let mut amounts = Vec::new();
    for clause in &component.clauses {
        match clause {
            Clause::Needs { needs, .. } => {
                for (name, amount) in needs {
                    let domain = match name.text.as_str() {
                        "cpu" => Some(Domain::Int(1, MAX_CPUS)),
                        "gpu" => Some(Domain::Int(0, MAX_GPUS)),
                        _ => None,
                    };
                    amounts.extend(read(amount, format!("needs {}", name.text), domain));
                }
            }
            Clause::Batch { max, within, .. } => {
                amounts.extend(read(max, "batch".to_owned(), Some(Domain::Int(1, MAX_BATCH))));
                amounts.extend(within.iter().filter_map(|it| read(it, "within".to_owned(), None)));
            }
            Clause::In(_) | Clause::Out(_) | Clause::Run { .. } | Clause::Error(_) => {}
        }
    }
    amounts
}

fn read(expr: &Expr, clause: String, domain: Option<Domain>) -> Option<Amount<'_>> {
    let ExprKind::Name(param) = &expr.kind else { return None };
    Some(Amount { param, clause, span: expr.span, domain })
}
