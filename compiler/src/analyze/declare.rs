//! Component declarations: ports, parameters and the executor's entry, held against the catalog.

use std::collections::BTreeSet;
use std::rc::Rc;

use corn_plan::catalog::{Entry, EntryPort, LiteralKind};
use corn_plan::{Form, Kind};

use crate::analyze::consts::Place;
use crate::analyze::context::{Context, Declared, DeclaredParam, DeclaredPort, ParamType};
use crate::analyze::types::{Symbols, symbols};
use crate::diagnostic::semantic::{self, Candidate};
use crate::source::Span;
use crate::syntax::ast::{self, Clause, ExprKind};

/// What a component may need.
const RESOURCES: [&str; 2] = ["cpu", "memory"];

impl<'a> Context<'a> {
    /// Resolves the component at `position`.
    pub(crate) fn declare(&mut self, position: usize) {
        let (module, component) = self.names.components[position];
        let types = component.clauses.iter().filter_map(|clause| match clause {
            Clause::In(port) | Clause::Out(port) => Some(&port.ty),
            _ => None,
        });
        let symbols = symbols(types);
        let params = self.params(module, component);
        let inputs = self.ports(module, component, &symbols, true);
        let outputs = self.ports(module, component, &symbols, false);
        self.check_clauses(component, &params);
        let run = component.clauses.iter().find_map(|clause| match clause {
            Clause::Run { executor, entry, .. } => Some((executor, entry)),
            _ => None,
        });
        let (Some((executor, entry)), Some(inputs), Some(outputs)) = (run, inputs, outputs) else { return };
        if outputs.is_empty() {
            self.report(semantic::components::no_output(&component.name));
            return;
        }
        let mut declared = Declared {
            module,
            ast: component,
            kind: self.qualified(module, &component.name.text),
            params,
            inputs,
            outputs,
            executor: executor.text.clone(),
            entry: entry.text.clone(),
            options: BTreeSet::new(),
        };
        let Some(known) = self.find_entry(executor, entry) else { return };
        self.check_ports(&declared, known, entry.span);
        self.check_params(&mut declared, known, entry.span);
        self.declared[position] = Some(Rc::new(declared));
    }

    /// `std::speech::Recognizer`.
    fn qualified(&self, module: usize, name: &str) -> String {
        let path = &self.modules[module].path;
        if path.is_empty() { name.to_owned() } else { format!("{path}::{name}") }
    }

    fn params(&mut self, module: usize, component: &'a ast::Component) -> Vec<DeclaredParam> {
        let mut params: Vec<DeclaredParam> = Vec::new();
        for param in &component.params {
            if let Some(first) = params.iter().find(|first| first.name == param.name.text) {
                self.report(semantic::names::taken(&param.name, first.span));
                continue;
            }
            let ty = self.param_type(&param.ty);
            let default = param.default.as_ref().and_then(|default| {
                let value = self.constant(default, None, Place { module, local: &[] });
                self.accepted(&param.name.text, &ty, value, default.span, Some(param.ty.span))
            });
            params.push(DeclaredParam {
                name: param.name.text.clone(),
                span: param.span,
                ty,
                optional: param.ty.optional || param.default.is_some(),
                default,
            });
        }
        params
    }

    /// The input or output ports; `None` if one is broken, which is reported.
    fn ports(
        &mut self,
        module: usize,
        component: &'a ast::Component,
        symbols: &Symbols,
        inputs: bool,
    ) -> Option<Vec<DeclaredPort>> {
        let mut ports: Vec<DeclaredPort> = Vec::new();
        let mut whole = true;
        for clause in &component.clauses {
            let port = match clause {
                Clause::In(port) if inputs => port,
                Clause::Out(port) if !inputs => port,
                _ => continue,
            };
            if let Some(first) = ports.iter().find(|first| first.name == port.name.text) {
                self.report(semantic::names::taken(&port.name, first.span));
                continue;
            }
            let Some(resolved) = self.value_type(&port.ty, symbols, module) else {
                whole = false;
                continue;
            };
            if let (false, kind @ (Kind::Media { .. } | Kind::Messages { .. })) = (inputs, &resolved.ty.kind)
            {
                self.report(semantic::control::media_made(&port.name, kind.word()));
                whole = false;
                continue;
            }
            if resolved.optional && !inputs {
                self.report(semantic::components::optional_output(&port.name));
            }
            ports.push(DeclaredPort {
                name: port.name.text.clone(),
                span: port.span,
                ty: resolved.ty,
                optional: resolved.optional && inputs,
                windowed: resolved.windowed,
            });
        }
        whole.then_some(ports)
    }

    /// Each clause that may stand once stands once, `run` stands, and resources are known.
    fn check_clauses(&mut self, component: &'a ast::Component, params: &[DeclaredParam]) {
        let mut runs = Vec::new();
        let mut batches = Vec::new();
        let mut resources: Vec<&ast::Name> = Vec::new();
        for clause in &component.clauses {
            match clause {
                Clause::Run { span, .. } => runs.push(*span),
                Clause::Batch { span, .. } => batches.push(*span),
                Clause::Needs { needs, .. } => {
                    for (name, _) in needs {
                        if !RESOURCES.contains(&name.text.as_str()) {
                            let known = RESOURCES.map(Candidate::named);
                            self.report(semantic::components::unknown_resource(name, &known));
                        }
                        if let Some(first) = resources.iter().find(|first| first.text == name.text) {
                            self.report(semantic::components::clause_twice("needs", name.span, first.span));
                        }
                        resources.push(name);
                    }
                }
                Clause::In(_) | Clause::Out(_) | Clause::Error(_) => {}
            }
        }
        for (word, spans) in [("run", &runs), ("batch", &batches)] {
            for again in spans.iter().skip(1) {
                self.report(semantic::components::clause_twice(word, *again, spans[0]));
            }
        }
        // A clause that could not be parsed may have been this one.
        let broken = component.clauses.iter().any(|clause| matches!(clause, Clause::Error(_)));
        if runs.is_empty() && !broken {
            self.report(semantic::components::no_run(&component.name));
        }
        let weighty = params.iter().find(|param| param.ty == ParamType::Weights);
        if let Some(weights) = weighty
            && !resources.iter().any(|name| name.text == "memory")
        {
            self.report(semantic::components::no_memory(&component.name, weights.span));
        }
    }

    fn find_entry(&mut self, executor: &ast::Name, entry: &ast::Str) -> Option<&'a Entry> {
        let catalog = self.catalog;
        if let Some(known) = catalog.find(&executor.text, &entry.text) {
            return Some(known);
        }
        let here: Vec<&Entry> =
            catalog.entries.iter().filter(|known| known.executor == executor.text).collect();
        if here.is_empty() {
            let executors: BTreeSet<&str> = catalog.entries.iter().map(|known| known.executor).collect();
            let known: Vec<Candidate> = executors.into_iter().map(Candidate::named).collect();
            self.report(semantic::components::unknown_executor(executor, &known));
        } else {
            let known: Vec<Candidate> = here.iter().map(|known| Candidate::named(known.name)).collect();
            self.report(semantic::components::unknown_entry(entry, &executor.text, &known));
        }
        None
    }

    fn check_ports(&mut self, declared: &Declared<'_>, entry: &Entry, run: Span) {
        for (inputs, ports, known) in
            [(true, &declared.inputs, entry.inputs), (false, &declared.outputs, entry.outputs)]
        {
            for port in ports {
                let Some(takes) = known.iter().find(|known| known.name == port.name) else {
                    let known: Vec<Candidate> =
                        known.iter().map(|known| Candidate::named(known.name)).collect();
                    let name = entry_name(entry);
                    self.report(semantic::components::unknown_port(
                        &port.name, inputs, &name, port.span, &known,
                    ));
                    continue;
                };
                let name = entry_name(entry);
                if !matches_port(port, takes) {
                    let (given, takes) = (short(port), words(takes));
                    self.report(semantic::components::port_differs(
                        &port.name, &given, &name, &takes, port.span,
                    ));
                } else if port.optional && !takes.optional {
                    self.report(semantic::components::port_not_optional(&port.name, &name, port.span));
                }
            }
            for missing in known.iter().filter(|known| inputs && !known.optional) {
                if !ports.iter().any(|port| port.name == missing.name) {
                    let (name, port) =
                        (entry_name(entry), format!("in {}: {}", missing.name, words(missing)));
                    self.report(semantic::components::port_missing(&name, &port, run));
                }
            }
        }
    }

    fn check_params(&mut self, declared: &mut Declared<'a>, entry: &Entry, run: Span) {
        let name = entry_name(entry);
        for weights in entry.weights {
            let has = |param: &DeclaredParam| {
                param.name == *weights && matches!(param.ty, ParamType::Weights | ParamType::Poison)
            };
            if !declared.params.iter().any(has) {
                self.report(semantic::components::weights_missing(&name, weights, run));
            }
        }
        let in_clauses = names_in_clauses(declared.ast);
        let mut options = BTreeSet::new();
        for param in &declared.params {
            let known_weights = entry.weights.contains(&param.name.as_str());
            match entry.options.iter().find(|(option, _)| *option == param.name) {
                _ if param.ty == ParamType::Poison => {}
                _ if param.ty == ParamType::Weights && known_weights => {}
                Some((_, kind)) if takes_option(*kind, &param.ty) => {
                    options.insert(param.name.clone());
                }
                Some((_, kind)) => {
                    let (takes, given) = (literal_words(*kind), param.ty.describe());
                    let problem =
                        semantic::components::option_differs(&param.name, &given, &name, takes, param.span);
                    self.report(problem);
                }
                None if in_clauses.contains(param.name.as_str()) => {}
                None => {
                    let words: Vec<&str> = if param.ty == ParamType::Weights {
                        entry.weights.to_vec()
                    } else {
                        entry.options.iter().map(|(option, _)| *option).collect()
                    };
                    let known: Vec<Candidate> = words.into_iter().map(Candidate::named).collect();
                    self.report(semantic::components::unknown_option(&param.name, &name, param.span, &known));
                }
            }
        }
        declared.options = options;
    }
}

fn entry_name(entry: &Entry) -> String {
    format!("{} {:?}", entry.executor, entry.name)
}

fn words(port: &EntryPort) -> String {
    if port.stream { format!("stream<{}>", port.modality) } else { port.modality.to_owned() }
}

fn short(port: &DeclaredPort) -> String {
    let word = port.ty.kind.word();
    match port.ty.form {
        Form::Value => word.to_owned(),
        Form::List { .. } => format!("list<{word}>"),
        Form::Stream { .. } => format!("stream<{word}>"),
    }
}

/// Whether a declared port is what the executor expects. Only `any` takes lists: other entries
/// are called once for each item.
fn matches_port(port: &DeclaredPort, takes: &EntryPort) -> bool {
    let modality = takes.modality == "any" || takes.modality == port.ty.kind.word();
    let form = match port.ty.form {
        Form::Stream { .. } => takes.stream,
        Form::Value => !takes.stream,
        Form::List { .. } => !takes.stream && takes.modality == "any",
    };
    modality && form
}

const fn takes_option(kind: LiteralKind, ty: &ParamType) -> bool {
    matches!(
        (kind, ty),
        (LiteralKind::Int, ParamType::Int)
            | (LiteralKind::Float, ParamType::Float | ParamType::Int)
            | (LiteralKind::Bool, ParamType::Bool)
            | (LiteralKind::Text, ParamType::Text | ParamType::Enum(_))
            | (LiteralKind::Texts, ParamType::Texts)
    )
}

const fn literal_words(kind: LiteralKind) -> &'static str {
    match kind {
        LiteralKind::Int => "`int`",
        LiteralKind::Float => "`float`",
        LiteralKind::Bool => "`bool`",
        LiteralKind::Text => "`text`",
        LiteralKind::Texts => "`list<text>`",
    }
}

/// Names that the amounts of `needs` and `batch` read.
fn names_in_clauses(component: &ast::Component) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for clause in &component.clauses {
        let amounts: Vec<&ast::Expr> = match clause {
            Clause::Needs { needs, .. } => needs.iter().map(|(_, amount)| amount).collect(),
            Clause::Batch { max, within, .. } => std::iter::once(max).chain(within).collect(),
            _ => Vec::new(),
        };
        for amount in amounts {
            if let ExprKind::Name(name) = &amount.kind {
                names.insert(name.as_str());
            }
        }
    }
    names
}
