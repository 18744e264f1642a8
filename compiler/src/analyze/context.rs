//! What analysis knows so far, shared by all of its parts.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use corn_plan::catalog::{Catalog, Domain};
use corn_plan::{ComponentId, IdVec, Type, WeightsSource};

use crate::analyze::index::Noted;
use crate::analyze::modules::Module;
use crate::analyze::names::{Entity, Named, Names};
use crate::diagnostic::semantic::Candidate;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::graph::deploy::Cluster;
use crate::graph::{Graph, GraphId, Program};
use crate::source::Span;
use crate::syntax::ast;

/// At most so many problems get a hint that names what was meant.
const MOST_HINTS: usize = 100;

/// The state of one analysis.
pub(crate) struct Context<'a> {
    pub(crate) modules: &'a [Module],
    pub(crate) names: Names<'a>,
    pub(crate) catalog: &'a Catalog,
    pub(crate) found: Diagnostics,
    /// By position in [`Names::components`]; `None` until declared or if broken.
    pub(crate) declared: Vec<Option<Rc<Declared<'a>>>>,
    /// By position in [`Names::lets`].
    pub(crate) lets: Vec<Const>,
    /// By position in [`Names::graphs`]; `None` until analysed or if broken.
    pub(crate) graphs: Vec<Option<GraphId>>,
    /// By position in [`Names::clusters`]; `None` until resolved or if broken.
    pub(crate) clusters: Vec<Option<Cluster>>,
    /// The declaration of each component made.
    pub(crate) kinds: IdVec<ComponentId, Rc<Declared<'a>>>,
    /// Whether no route is broken; an unknown one is said only then.
    pub(crate) has_all_routes: bool,
    /// What was named somewhere; the rest is warned of.
    pub(crate) used: BTreeSet<Entity>,
    /// By name of a component, the number that the next one of that name gets.
    pub(crate) next_number: BTreeMap<String, u32>,
    /// Copies of the graphs that others ask, to be looked at while their callers are made.
    pub(crate) callees: BTreeMap<GraphId, Rc<Graph>>,
    /// Graphs that another graph asks.
    pub(crate) asked: BTreeSet<GraphId>,
    /// Output ports that some graph uses.
    pub(crate) read_ports: BTreeSet<(ComponentId, u32)>,
    /// What an editor will ask.
    pub(crate) noted: Noted,
    /// What analysis makes.
    pub(crate) program: Program,
}

/// What is known when a program is compiled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Const {
    Literal(corn_plan::Literal),
    Bytes(u64),
    Millis(u64),
    Hertz(u64),
    /// Thousandths of a frame a second.
    MilliFps(u64),
    Weights(WeightsSource),
    Component(ComponentId),
    /// A value that only a request brings.
    Brought,
    /// Broken; reported.
    Poison,
}

/// A component's declaration, resolved.
#[derive(Clone, Debug)]
pub(crate) struct Declared<'a> {
    /// The number of its module.
    pub(crate) module: usize,
    /// As written.
    pub(crate) ast: &'a ast::Component,
    /// `std::speech::Recognizer`.
    pub(crate) kind: String,
    pub(crate) params: Vec<DeclaredParam>,
    pub(crate) inputs: Vec<DeclaredPort>,
    pub(crate) outputs: Vec<DeclaredPort>,
    pub(crate) executor: String,
    pub(crate) entry: String,
    /// Parameters that the executor takes as options, with what it takes.
    pub(crate) options: BTreeMap<String, Domain>,
}

/// A parameter of a component.
#[derive(Clone, Debug)]
pub(crate) struct DeclaredParam {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) ty: ParamType,
    pub(crate) optional: bool,
    pub(crate) default: Option<Const>,
}

/// What a parameter of a component takes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ParamType {
    Int,
    Float,
    Bool,
    Text,
    Texts,
    Enum(Vec<String>),
    Bytes,
    Millis,
    Weights,
    /// Broken; reported.
    Poison,
}

/// A port of a component.
#[derive(Clone, Debug)]
pub(crate) struct DeclaredPort {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) ty: Type,
    pub(crate) optional: bool,
    /// Whether its stream's window was written.
    pub(crate) windowed: bool,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        modules: &'a [Module],
        names: Names<'a>,
        catalog: &'a Catalog,
        found: Diagnostics,
    ) -> Self {
        Self {
            modules,
            catalog,
            found,
            declared: vec![None; names.components.len()],
            lets: vec![Const::Poison; names.lets.len()],
            graphs: vec![None; names.graphs.len()],
            clusters: vec![None; names.clusters.len()],
            kinds: IdVec::new(),
            has_all_routes: false,
            used: BTreeSet::new(),
            next_number: BTreeMap::new(),
            callees: BTreeMap::new(),
            asked: BTreeSet::new(),
            read_ports: BTreeSet::new(),
            noted: Noted::default(),
            program: Program::default(),
            names,
        }
    }

    pub(crate) fn report(&mut self, problem: Diagnostic) {
        self.found.push(problem);
    }

    /// What `name` means in `module`, apart from local names; notes that it was used.
    pub(crate) fn look_up(&mut self, module: usize, name: &str) -> Option<Named> {
        let named = self.names.scopes[module].get(name).copied()?;
        self.used.extend(named.entity);
        Some(named)
    }

    /// Whether a problem is still worth a search for the name that was meant. With very many names
    /// and as many problems it would take for ever, and nobody reads so far.
    pub(crate) fn hints(&self) -> bool {
        self.found.len() < MOST_HINTS
    }

    /// The names of `module`'s scope that `fits` accepts, for hints.
    pub(crate) fn visible(&self, module: usize, fits: impl Fn(Entity) -> bool) -> Vec<Candidate> {
        if !self.hints() {
            return Vec::new();
        }
        let scope = self.names.scopes[module].iter();
        scope
            .filter(|(_, named)| named.entity.is_some_and(&fits))
            .map(|(name, named)| Candidate::at(name, named.span))
            .collect()
    }
}

impl Const {
    /// What a person calls it.
    pub(crate) fn describe(&self) -> String {
        use corn_plan::Literal;
        match self {
            Self::Literal(Literal::Int(_)) => "an `int`".to_owned(),
            Self::Literal(Literal::Float(_)) => "a `float`".to_owned(),
            Self::Literal(Literal::Bool(_)) => "a `bool`".to_owned(),
            Self::Literal(Literal::Text(_)) => "a `text`".to_owned(),
            Self::Literal(Literal::Texts(_)) => "a `list<text>`".to_owned(),
            Self::Bytes(_) => "a size in bytes".to_owned(),
            Self::Millis(_) => "a duration".to_owned(),
            Self::Hertz(_) => "a frequency".to_owned(),
            Self::MilliFps(_) => "a frame rate".to_owned(),
            Self::Weights(_) => "`weights`".to_owned(),
            Self::Component(_) => "a component".to_owned(),
            Self::Brought => "what a request brings".to_owned(),
            Self::Poison => "something broken".to_owned(),
        }
    }
}

impl ParamType {
    /// As it is written.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Int => "`int`".to_owned(),
            Self::Float => "`float`".to_owned(),
            Self::Bool => "`bool`".to_owned(),
            Self::Text => "`text`".to_owned(),
            Self::Texts => "`list<text>`".to_owned(),
            Self::Enum(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                format!("`enum({})`", words.join(", "))
            }
            Self::Bytes => "`bytes`, such as `512MiB`".to_owned(),
            Self::Millis => "`duration`, such as `30s`".to_owned(),
            Self::Weights => "`weights`".to_owned(),
            Self::Poison => "something broken".to_owned(),
        }
    }
}
