//! Calls in a graph: components, other graphs, functions and adaptors.

use std::rc::Rc;

use corn_plan::shapes::resolved;
use corn_plan::{ComponentId, Form, IdVec, Literal, Type, ValueId};

use crate::analyze::arguments::Takes;
use crate::analyze::body::{Body, Callee, Eval};
use crate::analyze::consts::{Place, Seen};
use crate::analyze::context::{Const, Context, Declared};
use crate::analyze::operand::Wanted;
use crate::diagnostic::semantic;
use crate::graph::fit::Extents;
use crate::graph::{Graph, GraphId, Needs, NodeId, NodeKind, Operand, Value, needs};
use crate::source::Span;
use crate::syntax::ast::{Arg, Expr, ExprKind};

impl Body<'_, '_> {
    pub(crate) fn call(&mut self, callee: &Expr, args: &[Arg], span: Span) -> Eval {
        match &callee.kind {
            ExprKind::Field { base, name } => return self.method(base, name, args, span),
            ExprKind::Name(name) if name == "join" => return self.join(args, span),
            ExprKind::Name(name) if name == "merge" => return self.merge(args, span),
            ExprKind::Name(name) if matches!(name.as_str(), "pypi" | "hf" | "file") => {
                let place = Place { module: self.module, local: Seen::Bound(&self.locals) };
                let expr = Expr {
                    kind: ExprKind::Call { callee: Box::new(callee.clone()), args: args.to_vec() },
                    span,
                };
                return Eval::Const(self.context.constant(&expr, None, place));
            }
            _ => {}
        }
        match self.callee(callee) {
            Callee::Component(component) => self.run(component, args, span),
            Callee::Declaration(position) if self.takes_values(args) => {
                let name = &self.context.names.components[position].1.name;
                self.context.report(semantic::calls::component_not_made(&name.text, callee.span, name.span));
                self.broken_call(args)
            }
            Callee::Declaration(position) => {
                self.mark_used(args);
                let place = Place { module: self.module, local: Seen::Bound(&self.locals) };
                let made = self.context.instantiate(position, args, None, span, place);
                made.map_or(Eval::Poison, |component| Eval::Const(Const::Component(component)))
            }
            Callee::Graph(position) => match self.context.graphs[position] {
                Some(graph) => self.ask(graph, args, span),
                None => self.broken_call(args),
            },
            Callee::Broken => self.broken_call(args),
        }
    }

    /// Looks at the arguments of a call that cannot be made, for problems of their own.
    fn broken_call(&mut self, args: &[Arg]) -> Eval {
        for arg in args {
            self.eval(&arg.value);
        }
        Eval::Poison
    }

    /// Local names that are read as constants are used, too.
    pub(crate) fn mark_used(&mut self, args: &[Arg]) {
        for arg in args {
            if let ExprKind::Name(name) = &arg.value.kind
                && let Some(local) = self.locals.find_mut(name)
            {
                local.used = true;
            }
        }
    }

    /// Calls a component: one run, or one for each item if an item is among the arguments.
    fn run(&mut self, component: ComponentId, args: &[Arg], span: Span) -> Eval {
        let declared = Rc::clone(&self.context.kinds[component]);
        let name = self.context.program.components[component].deployed.name.clone();
        let ports = declared.inputs.iter();
        let takes: Vec<Takes<'_>> = ports
            .map(|port| Takes { name: &port.name, span: Some(port.span), optional: port.optional })
            .collect();
        let Some(filled) = self.context.arguments(&format!("`{name}`"), &takes, args, span) else {
            return self.broken_call(args);
        };
        let mut operands = Vec::new();
        let mut extents = Extents::new();
        let mut whole = true;
        for (position, (port, expr)) in declared.inputs.iter().zip(filled).enumerate() {
            let Some(expr) = expr else { continue };
            let eval = self.eval(expr);
            let wanted = Wanted {
                what: format!("`{}` of `{name}`", port.name),
                declared: Some(port.span),
                ty: &port.ty,
                bounded: true,
                optional: port.optional,
                window: match port.ty.form {
                    Form::Stream { window } if port.windowed => Some(window),
                    _ => None,
                },
            };
            let position = u32::try_from(position).expect("ports are few");
            let Some(operand) = self.fill(position, &wanted, eval, expr.span, &mut extents) else {
                whole = false;
                continue;
            };
            let limit = self.limit_of_port(component, &port.name, port.span);
            whole &= limit.is_none_or(|limit| self.holds(operand.value, &limit, expr.span));
            operands.push(operand);
        }
        if !whole {
            return Eval::Poison;
        }
        let each = operands.iter().any(|operand| operand.each);
        if each && !self.may_run_each(&declared, &operands, &name, span) {
            return Eval::Poison;
        }
        let node = self.add(NodeKind::Run { component, each }, operands, span);
        let mut results = Vec::new();
        for (position, port) in declared.outputs.iter().enumerate() {
            let kind = resolved(&port.ty.kind, &extents);
            let ty = match self.items {
                Some(max) if each => Type::list(kind, max),
                _ => Type { kind, form: port.ty.form },
            };
            let position = u32::try_from(position).expect("ports are few");
            let value = self.make(node, position, format!("{name}.{}", port.name), ty, true, port.span);
            let eval = if each { Eval::Item(value) } else { Eval::Value(value) };
            results.push((port.name.clone(), eval));
        }
        one_or_record(results)
    }

    /// What is called once for every item neither takes nor makes streams.
    fn may_run_each(
        &mut self,
        declared: &Declared<'_>,
        operands: &[Operand],
        name: &str,
        span: Span,
    ) -> bool {
        if let Some(port) = declared.outputs.iter().find(|port| port.ty.is_stream()) {
            self.context.report(semantic::constructs::stream_in_each(name, &port.name, span, port.span));
            return false;
        }
        for operand in operands.iter().filter(|operand| !operand.each) {
            let value = &self.graph.values[operand.value];
            if value.ty.is_stream() {
                let name = value.name.clone();
                self.context.report(semantic::constructs::stream_shared_by_each(&name, span, value.declared));
                return false;
            }
        }
        true
    }

    /// Asks another graph.
    fn ask(&mut self, id: GraphId, args: &[Arg], span: Span) -> Eval {
        self.context.asked.insert(id);
        let callee = self.context.callee(id);
        if self.items.is_some() {
            self.context.report(semantic::constructs::graph_in_each(&callee.name, span));
            return self.broken_call(args);
        }
        let takes: Vec<Takes<'_>> = callee
            .inputs
            .iter()
            .map(|input| {
                let optional = input.optional || input.default.is_some();
                Takes { name: &input.name, span: Some(input.span), optional }
            })
            .collect();
        let Some(filled) = self.context.arguments(&format!("graph `{}`", callee.name), &takes, args, span)
        else {
            return self.broken_call(args);
        };
        let mut operands = Vec::new();
        // What must be present here for each input of the callee to be present there.
        let mut given: Vec<Option<Given>> = Vec::new();
        for (position, (input, expr)) in callee.inputs.iter().zip(filled).enumerate() {
            let Some(expr) = expr else {
                given.push(
                    input
                        .default
                        .clone()
                        .map(|value| Given { needs: Needs::default(), is: Is::Known(value) }),
                );
                continue;
            };
            let eval = self.eval(expr);
            let wanted = Wanted {
                what: format!("`{}` of graph `{}`", input.name, callee.name),
                declared: Some(input.span),
                ty: &callee.values[input.value].ty,
                bounded: true,
                optional: input.optional,
                window: None,
            };
            let position = u32::try_from(position).expect("inputs are few");
            let Some(operand) = self.fill(position, &wanted, eval, expr.span, &mut Extents::new()) else {
                return Eval::Poison;
            };
            let limits = callee.limits.get(&position).into_iter().flatten();
            if !limits.fold(true, |whole, limit| whole & self.holds(operand.value, limit, expr.span)) {
                return Eval::Poison;
            }
            let given_here = self.given(operand.value);
            if callee.decides(position) && given_here.is == Is::Made {
                let problem =
                    semantic::control::decides_in_callee(&input.name, &callee.name, expr.span, input.span);
                self.context.report(problem);
                return Eval::Poison;
            }
            if callee.asks_for(position) && self.graph.values[operand.value].optional {
                let made = &self.graph.values[operand.value];
                let problem = semantic::control::may_be_absent_in_callee(
                    &made.name,
                    &input.name,
                    &callee.name,
                    expr.span,
                    input.span,
                );
                self.context.report(problem);
                return Eval::Poison;
            }
            if let Is::Brought(here) = given_here.is {
                if callee.decides(position) {
                    self.graph.passed.choose(here, u64::MAX);
                }
                if callee.asks_for(position) {
                    self.graph.passed.present.insert(here);
                }
            }
            given.push(Some(given_here));
            operands.push(operand);
        }
        let node = self.add(NodeKind::Call { graph: id, guard: self.guard.clone() }, operands, span);
        one_or_record(self.answers(&callee, node, &given))
    }

    /// What the call `node` of `callee` makes; `given` as in [`Self::ask`].
    fn answers(&mut self, callee: &Graph, node: NodeId, given: &[Option<Given>]) -> Vec<(String, Eval)> {
        let mut results = Vec::new();
        for (position, output) in callee.outputs.iter().enumerate() {
            let made = &callee.values[output.value];
            let mut needs = self.guard.clone();
            let mut absent: Vec<String> = Vec::new();
            for input in made.needs.present.iter().chain(made.needs.chosen.keys()) {
                let name = || callee.inputs[*input as usize].name.clone();
                match &given[*input as usize] {
                    Some(given) => needs.extend(&given.needs),
                    None => absent.push(name()),
                }
            }
            for (input, values) in &made.needs.chosen {
                let of = &callee.inputs[*input as usize];
                match given[*input as usize].as_ref().map(|given| &given.is) {
                    Some(Is::Brought(here)) => needs.choose(*here, *values),
                    Some(Is::Known(literal)) => {
                        let bit = needs::bit(&callee.values[of.value].ty.kind, literal).unwrap_or(0);
                        if bit & values == 0 {
                            absent.push(format!("{}: another value", of.name));
                        }
                    }
                    Some(Is::Made) | None => {}
                }
            }
            if !absent.is_empty() {
                let (output, graph) = (output.name.clone(), callee.name.clone());
                results.push((output.clone(), Eval::Absent { output, graph, needs: absent }));
                continue;
            }
            let value = Value {
                name: format!("{}.{}", callee.name, output.name),
                ty: made.ty.clone(),
                fixed: true,
                node,
                needs,
                optional: made.optional,
                declared: output.span,
            };
            let position = u32::try_from(position).expect("outputs are few");
            results.push((output.name.clone(), Eval::Value(self.graph.make(node, position, value))));
        }
        results
    }
}

/// What a call gives one input of the graph that it asks.
struct Given {
    /// What must be brought here for it to be there.
    needs: Needs,
    is: Is,
}

/// What is known of a value that is given.
#[derive(PartialEq)]
enum Is {
    /// Always this.
    Known(Literal),
    /// What a request brings in this input.
    Brought(u32),
    /// Known only once it is made.
    Made,
}

impl Body<'_, '_> {
    fn given(&self, value: ValueId) -> Given {
        let made = &self.graph.values[value];
        let is = match &self.graph.nodes[made.node].kind {
            NodeKind::Const(literal) => Is::Known(literal.clone()),
            NodeKind::Input(position) => Is::Brought(*position),
            _ => Is::Made,
        };
        Given { needs: made.needs.clone(), is }
    }
}

/// The one result, or all of them by name.
fn one_or_record(mut results: Vec<(String, Eval)>) -> Eval {
    match results.len() {
        1 => results.pop().map_or(Eval::Poison, |(_, eval)| eval),
        _ => Eval::Record(results),
    }
}

impl Context<'_> {
    /// Graph `id`, which may be asked often: it is copied the first time only.
    fn callee(&mut self, id: GraphId) -> Rc<Graph> {
        let copy = self.callees.entry(id).or_insert_with(|| Rc::new(self.program.graphs[id].clone()));
        Rc::clone(copy)
    }

    /// Notes the output ports that `graph` reads.
    pub(crate) fn note_reads(&mut self, graph: &Graph) {
        let mut read: IdVec<ValueId, bool> = graph.values.iter().map(|_| false).collect();
        let operands = graph.nodes.iter().flat_map(|node| &node.operands);
        let values = operands.map(|operand| operand.value);
        for value in values.chain(graph.outputs.iter().map(|output| output.value)) {
            read[value] = true;
        }
        for node in &graph.nodes {
            let NodeKind::Run { component, .. } = node.kind else { continue };
            for (port, value) in &node.results {
                if read[*value] {
                    self.read_ports.insert((component, *port));
                }
            }
        }
    }
}
