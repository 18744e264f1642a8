//! A graph's declaration: its inputs, its body, and whether the body makes what is promised.

use std::collections::BTreeMap;

use corn_plan::Literal;

use crate::analyze::body::{Body, Eval};
use crate::analyze::consts::{Place, Seen};
use crate::analyze::context::{Const, Context, ParamType};
use crate::analyze::locals::Locals;
use crate::analyze::operand::Wanted;
use crate::analyze::types::{Resolved, Symbols, symbols};
use crate::diagnostic::semantic::{self, Candidate};
use crate::graph::fit::Extents;
use crate::graph::{Graph, Input, Needs, NodeId, NodeKind, Output, Value};
use crate::source::Span;
use crate::syntax::ast::{self, ExprKind, TypeKind};

/// The name of an output that the author gave none.
pub(crate) const ONLY_OUTPUT: &str = "result";

impl Context<'_> {
    /// Analyses the graph at `position`.
    pub(crate) fn graph(&mut self, position: usize) {
        let (module, declared) = self.names.graphs[position];
        let types = declared.params.iter().map(|param| &param.ty);
        let symbols = symbols(types.chain(std::iter::once(&declared.output)));
        let promised = self.promised(declared, &symbols, module);
        let graph = Graph { name: declared.name.text.clone(), span: declared.name.span, ..Graph::default() };
        let mut body = Body {
            context: self,
            module,
            graph,
            locals: Locals::default(),
            guard: Needs::default(),
            scope: None,
            items: None,
        };
        let mut whole = true;
        for param in &declared.params {
            whole &= body.input(param, &symbols);
        }
        let inputs = body.locals.len();
        let eval = body.block(&declared.body);
        debug_assert_eq!(body.locals.len(), inputs, "a block forgets its names");
        let made = Made::of(&declared.body);
        whole &= match promised {
            Some(promised) => body.outputs(&promised, eval, &made),
            None => false,
        };
        body.leave(0, semantic::unused::unread_input);
        let graph = body.graph;
        self.noted.settle(&graph);
        if whole {
            self.note_reads(&graph);
            self.graphs[position] = Some(self.program.graphs.push(graph));
        }
    }

    /// The declared outputs; `None` if they are broken, which is reported.
    fn promised(&mut self, graph: &ast::Graph, symbols: &Symbols, module: usize) -> Option<Promised> {
        let TypeKind::Record(fields) = &graph.output.kind else {
            let resolved = self.value_type(&graph.output, symbols, module)?;
            if resolved.optional {
                self.report(semantic::routes::only_output_optional(graph.output.span));
                return None;
            }
            return Some(Promised {
                fields: vec![(ONLY_OUTPUT.to_owned(), graph.output.span, resolved)],
                named: false,
            });
        };
        let mut promised: Vec<(String, Span, Resolved)> = Vec::new();
        let mut whole = true;
        for (name, ty) in fields {
            if let Some((_, first, _)) = promised.iter().find(|(first, ..)| *first == name.text) {
                self.report(semantic::names::taken(name, *first));
                continue;
            }
            match self.value_type(ty, symbols, module) {
                Some(resolved) => promised.push((name.text.clone(), name.span.to(ty.span), resolved)),
                None => whole = false,
            }
        }
        if promised.is_empty() && whole {
            self.report(semantic::routes::no_outputs(graph.output.span));
            return None;
        }
        whole.then_some(Promised { fields: promised, named: true })
    }
}

/// What a graph says it makes.
struct Promised {
    fields: Vec<(String, Span, Resolved)>,
    /// Whether the outputs have names.
    named: bool,
}

/// Where a graph's outputs are made.
struct Made<'a> {
    at: Span,
    /// The fields of a written record.
    fields: Option<BTreeMap<&'a str, Span>>,
}

impl<'a> Made<'a> {
    fn of(body: &'a ast::Block) -> Self {
        let Some(value) = &body.value else { return Self { at: body.span, fields: None } };
        let fields = match &value.kind {
            ExprKind::Record(fields) => {
                let place = |(name, expr): &'a (ast::Name, Option<ast::Expr>)| {
                    (name.text.as_str(), expr.as_ref().map_or(name.span, |expr| expr.span))
                };
                Some(fields.iter().map(place).collect())
            }
            _ => None,
        };
        Self { at: value.span, fields }
    }

    fn place(&self, name: &str) -> Span {
        self.fields.as_ref().and_then(|fields| fields.get(name).copied()).unwrap_or(self.at)
    }
}

impl Body<'_, '_> {
    /// Adds what a request brings; whether it is well formed.
    fn input(&mut self, param: &ast::Param, symbols: &Symbols) -> bool {
        let default = param.default.as_ref();
        let Some(resolved) = self.context.value_type(&param.ty, symbols, self.module) else {
            self.enter(&param.name, Eval::Poison);
            return false;
        };
        if let (true, Some(default)) = (resolved.optional, default) {
            self.context.report(semantic::routes::optional_with_default(&param.name, default.span));
        }
        let literal = default.and_then(|default| self.input_default(param, &resolved, default));
        if default.is_some() && literal.is_none() {
            self.enter(&param.name, Eval::Poison);
            return false;
        }
        let default = literal;
        let position = u32::try_from(self.graph.inputs.len()).expect("inputs are few");
        let optional = resolved.optional && default.is_none();
        let needs = Needs::present(optional.then_some(position).into_iter().collect());
        let node = self.graph.add(NodeKind::Input(position), Vec::new(), None, param.span);
        let value = Value {
            name: param.name.text.clone(),
            ty: resolved.ty,
            fixed: resolved.fixed,
            node: NodeId(0),
            needs,
            optional: false,
            declared: param.span,
        };
        let value = self.graph.make(node, 0, value);
        let (media, order) = self.media_brought(node, value).unzip();
        let name = param.name.text.clone();
        let span = param.span;
        let input = Input { name, value, optional, default, is: None, media, order, kinds: Vec::new(), span };
        self.graph.inputs.push(input);
        self.enter(&param.name, Eval::Value(value));
        true
    }

    fn input_default(
        &mut self,
        param: &ast::Param,
        resolved: &Resolved,
        default: &ast::Expr,
    ) -> Option<Literal> {
        use corn_plan::{Form, Kind};
        let takes = match (&resolved.ty.kind, resolved.ty.form) {
            (Kind::Int, Form::Value) => ParamType::Int,
            (Kind::Float, Form::Value) => ParamType::Float,
            (Kind::Bool, Form::Value) => ParamType::Bool,
            (Kind::Text { .. }, Form::Value) => ParamType::Text,
            (Kind::Enum(words), Form::Value) => ParamType::Enum(words.clone()),
            (Kind::Text { .. }, Form::List { .. }) => ParamType::Texts,
            _ => {
                let problem = semantic::routes::no_default(&resolved.ty.to_string(), default.span);
                self.context.report(problem);
                return None;
            }
        };
        let value = self.context.constant(default, None, Place { module: self.module, local: Seen::NOTHING });
        match self.context.accepted(&param.name.text, &takes, value, default.span, Some(param.ty.span)) {
            Some(Const::Literal(literal)) => Some(literal),
            _ => None,
        }
    }

    /// Whether `eval` makes what is promised; reports what it does not.
    fn outputs(&mut self, promised: &Promised, eval: Eval, made: &Made<'_>) -> bool {
        let evals = match eval {
            Eval::Poison => return false,
            Eval::Record(fields) if promised.named => fields,
            other if promised.named && promised.fields.len() > 1 => {
                if self.value(other, None, made.at).is_some() {
                    let names: Vec<&str> = promised.fields.iter().map(|(name, ..)| name.as_str()).collect();
                    let (_, declared, _) = promised.fields[0];
                    self.context.report(semantic::routes::record_expected(&names, made.at, declared));
                }
                return false;
            }
            other => vec![(promised.fields[0].0.clone(), other)],
        };
        let mut whole = true;
        for name in made.fields.iter().flat_map(BTreeMap::keys) {
            if promised.named && !promised.fields.iter().any(|(promised, ..)| promised == name) {
                let known: Vec<Candidate> =
                    promised.fields.iter().map(|(name, span, _)| Candidate::at(name, *span)).collect();
                self.context.report(semantic::routes::undeclared_output(name, made.place(name), &known));
                whole = false;
            }
        }
        for (name, span, resolved) in &promised.fields {
            if let Some((_, eval)) = evals.iter().find(|(made, _)| made == name) {
                whole &= self.output(name, *span, resolved, eval.clone(), made.place(name));
                continue;
            }
            // A field with a name like this one's was reported above.
            if whole {
                self.context.report(semantic::routes::output_not_made(name, made.at, *span));
            }
            whole = false;
        }
        whole
    }

    fn output(&mut self, name: &str, declared: Span, resolved: &Resolved, eval: Eval, at: Span) -> bool {
        let Some((value, each)) = self.value(eval, Some(&resolved.ty.kind), at) else { return false };
        if self.graph.values[value].optional && !resolved.optional {
            self.context.report(semantic::control::output_may_turn_out_absent(name, at, declared));
            return false;
        }
        let needs = self.needs_beyond(value, &Needs::default());
        if !needs.is_empty() && !resolved.optional {
            self.context.report(semantic::routes::output_may_be_absent(name, &needs, at, declared));
            return false;
        }
        let what =
            if name == ONLY_OUTPUT { "the graph's output".to_owned() } else { format!("output `{name}`") };
        let wanted = Wanted {
            what,
            declared: Some(declared),
            ty: &resolved.ty,
            bounded: resolved.fixed,
            optional: true,
            window: None,
        };
        if !self.fit(value, each, &wanted, at, &mut Extents::new()) || !self.rate_fits(value, &wanted, at) {
            return false;
        }
        let output = Output { name: name.to_owned(), value, optional: resolved.optional, span: declared };
        self.graph.outputs.push(output);
        true
    }

    /// Nothing resamples or thins what goes to the client.
    fn rate_fits(&mut self, value: corn_plan::ValueId, wanted: &Wanted<'_>, at: Span) -> bool {
        use corn_plan::Kind;
        let made = &self.graph.values[value];
        let fits = match (&made.ty.kind, &wanted.ty.kind) {
            (Kind::Audio { rate_hz: is, .. }, Kind::Audio { rate_hz: promised, .. }) => {
                promised.is_none() || is == promised
            }
            (Kind::Video { rate: is, .. }, Kind::Video { rate: promised, .. }) => {
                promised.is_none_or(|promised| is.is_some_and(|is| is <= promised))
            }
            _ => true,
        };
        if !fits {
            let problem =
                semantic::routes::other_rate(&made.ty, wanted.ty, at, wanted.declared, made.declared);
            self.context.report(problem);
        }
        fits
    }
}
