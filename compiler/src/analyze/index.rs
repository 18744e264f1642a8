//! What every name of a program stands for and what every expression is worth: what an editor
//! asks.
//!
//! The types are noted while graphs are analysed (`Noted`); what names stand for is found by a
//! walk over the trees afterwards (`walk`), which asks nothing of the analysis but the scopes of
//! the files. So the index is there however much of the program is broken. It is made only for
//! those who ask for it.

mod deploy;
mod walk;

use std::collections::BTreeMap;

use corn_plan::{ComponentId, IdVec, Type, id};

use crate::analyze::body::Eval;
use crate::analyze::context::{Const, Context};
use crate::analyze::names::{Entity, FUNCTIONS, Names};
use crate::graph::Graph;
use crate::source::{FileId, Span};
use crate::syntax::ast::{self, Clause, Item, TypeKind};

id!(
    /// Something that has a name.
    DefinitionId, "d"
);

/// What every name stands for.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// Everything that has a name; what is part of something comes after it.
    pub definitions: IdVec<DefinitionId, Definition>,
    /// Every place where one of them is named, its declaration too, in order of place.
    pub references: Vec<Reference>,
    /// What expressions are worth, in order of place.
    pub types: Vec<(Span, Shown)>,
    /// By the number of the file: what can be seen anywhere in it.
    pub visible: Vec<BTreeMap<String, DefinitionId>>,
}

/// Something that has a name.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// Where its name stands.
    pub span: Span,
    /// Its whole declaration.
    pub whole: Span,
    /// What it is.
    pub sort: Sort,
    /// What it is a part of.
    pub of: Option<DefinitionId>,
    /// Its parts in order: parameters, ports, inputs, outputs.
    pub parts: Vec<DefinitionId>,
    /// What stands after a dot behind it.
    pub fields: Vec<DefinitionId>,
    /// The declaration that it was made of, if it is a component.
    pub made_of: Option<DefinitionId>,
    /// Where it can be seen, if that is a part of its file only.
    pub scope: Option<Span>,
    /// The lines of `///` before it.
    pub docs: Vec<String>,
    /// What it is worth, as far as that is known.
    pub shown: Option<Shown>,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// A file that others use.
    Module,
    /// A component's declaration.
    Component,
    /// A parameter of a component.
    Parameter,
    /// An input port of a component.
    InPort,
    /// An output port of a component.
    OutPort,
    /// A graph.
    Graph,
    /// What a request brings.
    Input,
    /// What a request gets.
    Output,
    /// A `let` at the top of a file.
    Let,
    /// A name bound in a graph.
    Local,
    /// A field of a record that a graph makes for itself.
    Field,
    /// A route.
    Route,
    /// A cluster.
    Cluster,
    /// A machine of a cluster.
    Node,
}

/// A place where something is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The place.
    pub span: Span,
    /// What is named.
    pub definition: DefinitionId,
    /// Whether it is a field `{ name }` that is short for `{ name: name }`: two things are named
    /// at once.
    pub is_short: bool,
}

/// What an expression or a name is worth.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// A value of a graph, or a port.
    Value {
        /// Its type with every bound.
        ty: Type,
        /// What a request must bring for it to exist: `photo`, `mode: "fast"`.
        when: Vec<String>,
        /// Whether it is one item of a list of that type.
        is_item: bool,
    },
    /// Several, by name.
    Record(Vec<(String, Shown)>),
    /// Known when the program is compiled: what it is.
    Constant(String),
    /// A component, ready to run.
    Component(ComponentId),
}

/// The words of the language that are no keywords of its grammar.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary {
    /// Types of values.
    pub types: &'static [&'static str],
    /// Types of a component's parameters.
    pub parameter_types: &'static [&'static str],
    /// What is called after a dot.
    pub adaptors: &'static [&'static str],
    /// What is called by name without being declared.
    pub functions: &'static [&'static str],
    /// What a component may need.
    pub resources: &'static [&'static str],
}

/// The words that analysis knows.
pub const VOCABULARY: Vocabulary = Vocabulary {
    types: &crate::analyze::types::MODALITIES,
    parameter_types: &crate::analyze::types::PARAMETERS,
    adaptors: &crate::analyze::adapt::ADAPTORS,
    functions: &FUNCTIONS,
    resources: &crate::analyze::declare::RESOURCES,
};

impl Index {
    /// What is named at byte `offset` of `file`, or ends there.
    pub fn at(&self, file: FileId, offset: u32) -> Option<&Reference> {
        let end = self.references.partition_point(|it| (it.span.file, it.span.start) <= (file, offset));
        let last = self.references[..end].last()?;
        if last.span.file != file || offset > last.span.end {
            return None;
        }
        // Names do not overlap, but a short field names two things: what it is filled with counts.
        let start = self.references.partition_point(|it| it.span < last.span);
        let here = &self.references[start..end];
        here.iter().find(|it| !self.is_field(it.definition)).or(here.first())
    }

    fn is_field(&self, definition: DefinitionId) -> bool {
        matches!(self.definitions[definition].sort, Sort::Output | Sort::Field)
    }

    /// Every place where `definition` is named.
    pub fn named(&self, definition: DefinitionId) -> impl Iterator<Item = &Reference> {
        self.references.iter().filter(move |it| it.definition == definition)
    }

    /// What the smallest expression around byte `offset` of `file` is worth.
    pub fn worth(&self, file: FileId, offset: u32) -> Option<&(Span, Shown)> {
        let around =
            |(span, _): &&(Span, Shown)| span.file == file && span.start <= offset && offset <= span.end;
        self.types.iter().filter(around).min_by_key(|(span, _)| span.end - span.start)
    }

    /// What the largest expression that ends at byte `end` of `file` is worth.
    pub fn worth_before(&self, file: FileId, end: u32) -> Option<&Shown> {
        let ends = self.types.iter().filter(|(span, _)| span.file == file && span.end == end);
        ends.min_by_key(|(span, _)| span.start).map(|(_, shown)| shown)
    }

    /// The parts of `definition` of these sorts.
    pub fn parts<'i>(
        &'i self,
        definition: DefinitionId,
        sorts: &'i [Sort],
    ) -> impl Iterator<Item = (DefinitionId, &'i Definition)> {
        let parts = self.definitions[definition].parts.iter().map(|id| (*id, &self.definitions[*id]));
        parts.filter(|(_, part)| sorts.contains(&part.sort))
    }
}

/// What was seen while graphs were analysed.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// Whether anyone wants to know.
    pub(crate) is_wanted: bool,
    evals: Vec<(Span, Eval)>,
    types: Vec<(Span, Shown)>,
}

impl Noted {
    /// What stands at `span` is worth `eval`.
    pub(crate) fn note(&mut self, span: Span, eval: &Eval) {
        if self.is_wanted && !matches!(eval, Eval::Poison) {
            self.evals.push((span, eval.clone()));
        }
    }

    /// The types of what was noted in `graph`, which is not narrowed any more.
    pub(crate) fn settle(&mut self, graph: &Graph) {
        let evals = std::mem::take(&mut self.evals);
        self.types.extend(evals.into_iter().filter_map(|(span, eval)| Some((span, shown(&eval, graph)?))));
    }
}

fn shown(eval: &Eval, graph: &Graph) -> Option<Shown> {
    let value = |id: &corn_plan::ValueId, is_item| {
        let value = &graph.values[*id];
        Shown::Value { ty: value.ty.clone(), when: value.needs.words(graph), is_item }
    };
    match eval {
        Eval::Value(id) => Some(value(id, false)),
        Eval::Item(id) => Some(value(id, true)),
        Eval::Record(fields) => {
            let fields = fields.iter().filter_map(|(name, eval)| Some((name.clone(), shown(eval, graph)?)));
            Some(Shown::Record(fields.collect()))
        }
        Eval::Const(value) => constant(value),
        Eval::Absent { .. } | Eval::Nothing | Eval::Poison => None,
    }
}

fn constant(value: &Const) -> Option<Shown> {
    match value {
        Const::Poison | Const::Brought => None,
        Const::Component(component) => Some(Shown::Component(*component)),
        other => Some(Shown::Constant(other.describe())),
    }
}

/// The definitions of what the files declare, by position among those of a sort.
struct Entities {
    modules: Vec<DefinitionId>,
    components: Vec<DefinitionId>,
    graphs: Vec<DefinitionId>,
    lets: Vec<DefinitionId>,
    clusters: Vec<DefinitionId>,
}

impl Entities {
    fn of(&self, entity: Entity) -> DefinitionId {
        match entity {
            Entity::Component(position) => self.components[position],
            Entity::Graph(position) => self.graphs[position],
            Entity::Let(position) => self.lets[position],
            Entity::Cluster(position) => self.clusters[position],
        }
    }
}

/// The index of the program that `context` has analysed.
pub(crate) fn build(context: &mut Context<'_>) -> Index {
    let mut index = Index { types: std::mem::take(&mut context.noted.types), ..Index::default() };
    index.types.sort_by_key(|(span, _)| *span);
    // What is looked at once for each kind of media has several types; the first is shown.
    index.types.dedup_by_key(|(span, _)| *span);
    let entities = declared(&mut index, context);
    for scope in &context.names.scopes {
        let seen = scope.iter().filter_map(|(name, named)| Some((name.clone(), entities.of(named.entity?))));
        index.visible.push(seen.collect());
    }
    walk::walk(&mut index, context, &entities);
    index.references.sort_unstable();
    index.references.dedup();
    index
}

/// Enters what the files declare.
fn declared(index: &mut Index, context: &Context<'_>) -> Entities {
    let Names { components, graphs, lets, clusters, .. } = &context.names;
    let modules = (0u32..).zip(context.modules).map(|(number, module)| {
        let span = Span { file: FileId(number), start: 0, end: 0 };
        index.define(Definition::new(&module.path, span, span, Sort::Module))
    });
    let modules = modules.collect();
    let components = components.iter().enumerate();
    let components = components.map(|(position, (_, ast))| index.component(ast, position, context)).collect();
    let graphs = graphs.iter().enumerate();
    let graphs = graphs.map(|(position, (_, ast))| index.graph(ast, position, context)).collect();
    let lets = lets.iter().zip(&context.lets).map(|((_, ast), value)| {
        let definition = Definition::new(&ast.name.text, ast.name.span, ast.span, Sort::Let);
        index.define(Definition { shown: constant(value), ..definition })
    });
    let lets = lets.collect();
    let clusters = clusters.iter().map(|(_, ast)| index.cluster(ast)).collect();
    for item in context.modules.iter().flat_map(|module| &module.file.items) {
        if let Item::Route(route) = item {
            let definition = Definition::new(&route.name.text, route.name.span, route.span, Sort::Route);
            index.define(Definition { docs: route.docs.clone(), ..definition });
        }
    }
    Entities { modules, components, graphs, lets, clusters }
}

impl Definition {
    fn new(name: &str, span: Span, whole: Span, sort: Sort) -> Self {
        Self {
            name: name.to_owned(),
            span,
            whole,
            sort,
            of: None,
            parts: Vec::new(),
            fields: Vec::new(),
            made_of: None,
            scope: None,
            docs: Vec::new(),
            shown: None,
        }
    }
}

impl Index {
    /// Enters a definition; its name is a reference to it.
    fn define(&mut self, definition: Definition) -> DefinitionId {
        let (span, of) = (definition.span, definition.of);
        let id = self.definitions.push(definition);
        if let Some(of) = of {
            self.definitions[of].parts.push(id);
        }
        // The only output of a graph and a file have no name in the text.
        if span.start < span.end {
            self.refer(span, id);
        }
        id
    }

    fn refer(&mut self, span: Span, definition: DefinitionId) {
        self.references.push(Reference { span, definition, is_short: false });
    }

    fn part_named(&mut self, of: DefinitionId, sorts: &[Sort], name: &ast::Name) {
        let part = self.parts(of, sorts).find(|(_, part)| part.name == name.text).map(|(id, _)| id);
        if let Some(part) = part {
            self.refer(name.span, part);
        }
    }

    fn component(&mut self, ast: &ast::Component, position: usize, context: &Context<'_>) -> DefinitionId {
        let definition = Definition::new(&ast.name.text, ast.name.span, ast.span, Sort::Component);
        let id = self.define(Definition { docs: ast.docs.clone(), ..definition });
        let declared = context.declared[position].as_ref();
        for param in &ast.params {
            let part = Definition::new(&param.name.text, param.name.span, param.span, Sort::Parameter);
            self.define(Definition { of: Some(id), ..part });
        }
        for clause in &ast.clauses {
            let (port, sort) = match clause {
                Clause::In(port) => (port, Sort::InPort),
                Clause::Out(port) => (port, Sort::OutPort),
                _ => continue,
            };
            let known =
                declared.iter().flat_map(|it| if sort == Sort::InPort { &it.inputs } else { &it.outputs });
            let known = known.into_iter().find(|known| known.span == port.span);
            let shown =
                known.map(|known| Shown::Value { ty: known.ty.clone(), when: Vec::new(), is_item: false });
            let part = Definition::new(&port.name.text, port.name.span, port.span, sort);
            self.define(Definition { of: Some(id), shown, ..part });
        }
        id
    }

    fn graph(&mut self, ast: &ast::Graph, position: usize, context: &Context<'_>) -> DefinitionId {
        let definition = Definition::new(&ast.name.text, ast.name.span, ast.span, Sort::Graph);
        let id = self.define(Definition { docs: ast.docs.clone(), ..definition });
        for param in &ast.params {
            let part = Definition::new(&param.name.text, param.name.span, param.span, Sort::Input);
            let shown = self.exactly(param.name.span);
            self.define(Definition { of: Some(id), scope: Some(ast.span), shown, ..part });
        }
        let graph = context.graphs[position].map(|graph| &context.program.graphs[graph]);
        let made = |name: &str| {
            let output = graph?.outputs.iter().find(|output| output.name == name)?;
            shown(&Eval::Value(output.value), graph?)
        };
        let TypeKind::Record(fields) = &ast.output.kind else {
            let name = crate::analyze::graphs::ONLY_OUTPUT;
            let span = Span { end: ast.output.span.start, ..ast.output.span };
            let part = Definition::new(name, span, ast.output.span, Sort::Output);
            self.define(Definition { of: Some(id), shown: made(name), ..part });
            return id;
        };
        for (name, ty) in fields {
            let part = Definition::new(&name.text, name.span, name.span.to(ty.span), Sort::Output);
            self.define(Definition { of: Some(id), shown: made(&name.text), ..part });
        }
        id
    }

    /// What stands exactly at `span`.
    fn exactly(&self, span: Span) -> Option<Shown> {
        let position = self.types.binary_search_by_key(&span, |(span, _)| *span).ok()?;
        Some(self.types[position].1.clone())
    }
}
