//! Component declarations: ports, parameters and clauses. What runs them is held against the catalog in
//! `entries.rs`.

use std::collections::BTreeMap;
use std::rc::Rc;

use corn_plan::Kind;

use crate::analyze::consts::{Place, Seen};
use crate::analyze::context::{Context, Declared, DeclaredParam, DeclaredPort, ParamType};
use crate::analyze::types::{Symbols, symbols};
use crate::diagnostic::semantic::{self, Candidate};
use crate::syntax::ast::{self, Clause};

/// What a component may need.
pub(crate) const RESOURCES: [&str; 3] = ["cpu", "gpu", "memory"];

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
            options: BTreeMap::new(),
        };
        let Some(known) = self.find_entry(executor, entry) else { return };
        self.check_ports(&declared, known, entry.span);
        self.check_params(&mut declared, known, entry.span);
        self.check_defaults(&mut declared);
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
                let value = self.constant(default, None, Place { module, local: Seen::NOTHING });
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
        let is_known = |name: &&ast::Name| RESOURCES.contains(&name.text.as_str());
        let weighty = params.iter().find(|param| param.ty == ParamType::Weights);
        if let Some(weights) = weighty
            && !resources.iter().any(|name| name.text == "memory")
            // What is unknown was probably meant to be it.
            && resources.iter().all(is_known)
        {
            self.report(semantic::components::no_memory(&component.name, weights.span));
        }
    }
}
