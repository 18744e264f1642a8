//! Lowers `.corn` text to static replay plans.
//!
//! [`compile`] is the whole way: text → syntax tree → typed graph → one graph for each route →
//! placed graphs → plan. It is pure: it reads no files (its caller hands it texts), no clock and
//! no randomness, so compiling twice gives the same bytes.

mod analyze;
pub mod diagnostic;
pub mod graph;
mod lower;
mod passes;
pub mod source;
pub mod syntax;

use corn_plan::Verified;
use corn_plan::catalog::Catalog;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::graph::verify::Phase;
use crate::graph::{Program, Specialized};
pub use crate::passes::place::Placement;
pub use crate::passes::target::Target;
use crate::source::{SourceFile, SourceMap, Sources};
use crate::syntax::ast;

/// What a compilation made, stage by stage, as far as it came, and what is wrong.
#[derive(Clone, Debug, Default)]
pub struct Compilation {
    /// Every text that took part; places in diagnostics are places in these.
    pub sources: SourceMap,
    /// Errors and warnings in order of their places.
    pub diagnostics: Vec<Diagnostic>,
    /// The root file as parsed.
    pub ast: ast::File,
    /// The program, analysed; graphs that ask others are still as written.
    pub program: Option<Program>,
    /// One graph for each route and set of present inputs.
    pub specialized: Option<Vec<Specialized>>,
    /// Which stage does what.
    pub placement: Option<Placement>,
    /// The plan, if there are no errors.
    pub plan: Option<Verified>,
}

/// A stage of a compilation, by the name that `corn compile --emit` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// The syntax tree, printed as canonical text.
    Ast,
    /// The typed graphs.
    Graph,
    /// One graph for each route.
    Specialized,
    /// What runs where.
    Placed,
    /// The plan.
    Plan,
}

/// Compiles `root` and what it uses for `target`, with what `catalog` can run.
pub fn compile(root: SourceFile, sources: &dyn Sources, target: &Target, catalog: &Catalog) -> Compilation {
    let mut made = Compilation::default();
    let name = program_name(&root.name);
    let mut found = Diagnostics::default();
    let modules = analyze::modules::load(root, sources, &mut made.sources, &mut found);
    let (program, mut found) = analyze::analyze(&name, &modules, catalog, found);
    made.ast = modules.into_iter().next().map(|module| module.file).unwrap_or_default();
    verify_all(program.graphs.iter(), &program, Phase::Analyzed);
    if !found.has_errors() {
        through_the_passes(&program, target, &mut made, &mut found);
    }
    made.program = Some(program);
    made.diagnostics = found.most_urgent().into_sorted();
    made
}

/// The passes, in order, with a check after each; stops at the first that refuses the program.
fn through_the_passes(analyzed: &Program, target: &Target, made: &mut Compilation, found: &mut Diagnostics) {
    let mut program = analyzed.clone();
    passes::inline::inline(&mut program);
    verify_all(program.graphs.iter(), &program, Phase::Inlined);

    let mut all = passes::specialize::specialize(&program, found);
    verify_all(all.iter().map(|one| &one.graph), &program, Phase::Specialized);

    for one in &mut all {
        passes::simplify::simplify(&mut one.graph);
    }
    verify_all(all.iter().map(|one| &one.graph), &program, Phase::Simplified);

    passes::share::share(&mut all, &program.components);
    verify_all(all.iter().map(|one| &one.graph), &program, Phase::Simplified);
    passes::check::check(&all, found);
    let all = made.specialized.insert(all);
    if found.has_errors() {
        return;
    }

    let Some(placement) = passes::place::place(all, &program.components, target, found) else { return };
    let placement = made.placement.insert(placement);
    let mut plan = lower::lower(&program, all, placement, target);
    passes::allocate::allocate(&mut plan, all, &program.components, found);
    if !found.has_errors() {
        made.plan = lower::verified(plan, all, found);
    }
}

/// A violation here is a mistake of the pass before, not of the program.
fn verify_all<'g>(graphs: impl Iterator<Item = &'g graph::Graph>, program: &Program, phase: Phase) {
    for each in graphs {
        let wrong = graph::verify::verify(each, &program.components, phase);
        assert!(wrong.is_empty(), "graph {} after {phase:?}: {}", each.name, wrong.join("; "));
    }
}

/// `dsl-examples/assistant.corn` is the program `assistant`.
fn program_name(file: &str) -> String {
    let last = file.rsplit(['/', '\\']).next().unwrap_or(file);
    let stem = last.strip_suffix(".corn").unwrap_or(last);
    if stem.is_empty() { "program".to_owned() } else { stem.to_owned() }
}

impl Compilation {
    /// Whether there is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// The errors and warnings for a person, with terminal colours if `color` is set.
    pub fn render(&self, color: bool) -> String {
        diagnostic::render(&self.diagnostics, &self.sources, color)
    }

    /// A stage as text; `None` if the compilation did not come so far.
    pub fn emit(&self, stage: Emit) -> Option<String> {
        let components = &self.program.as_ref()?.components;
        match stage {
            Emit::Ast => Some(syntax::print(&self.ast)),
            Emit::Graph => Some(graph::print::program(self.program.as_ref()?)),
            Emit::Specialized => Some(graph::print::specialized(self.specialized.as_ref()?, components)),
            Emit::Placed => Some(self.placement.as_ref()?.to_text(self.specialized.as_ref()?, components)),
            Emit::Plan => Some(self.plan.as_ref()?.plan().to_text()),
        }
    }

    /// Each route's name with a drawing of what it does: a Mermaid flowchart, or a tree for the
    /// terminal. A route with several recordings has several drawings.
    pub fn drawings(&self, mermaid: bool) -> Option<Vec<(&str, String)>> {
        let components = &self.program.as_ref()?.components;
        let draw = if mermaid { graph::mermaid::mermaid } else { graph::draw::draw };
        let specialized = self.specialized.as_ref()?.iter();
        Some(specialized.map(|one| (one.route.as_str(), draw(one, components))).collect())
    }
}
