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

pub use crate::analyze::index;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::graph::verify::Phase;
use crate::graph::{Program, Specialized};
pub use crate::passes::place::Placement;
pub use crate::passes::target::Target;
use crate::source::{SourceFile, SourceMap, Sources};
use crate::syntax::ast;

/// At most so many problems of a program are reported.
const MOST_PROBLEMS: usize = 200;

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
    /// The same with every call replaced by what is called; kept only where the compilation was to
    /// stop there.
    pub inlined: Option<Program>,
    /// One graph for each route and set of present inputs, as the last pass that ran left them.
    pub specialized: Option<Vec<Specialized>>,
    /// Which stage does what.
    pub placement: Option<Placement>,
    /// The plan, if there are no errors.
    pub plan: Option<Verified>,
    /// What every name stands for; only [`examine`] makes it.
    pub index: Option<index::Index>,
}

/// A stage of a compilation, by the name that `corn compile --emit` takes; in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Emit {
    /// The syntax tree, printed as canonical text.
    Ast,
    /// The typed graphs.
    Graph,
    /// The typed graphs, with what they call in place of the calls.
    Inlined,
    /// One graph for each route.
    Specialized,
    /// The same, without nodes that do nothing.
    Simplified,
    /// The same, with what is equal made once.
    Shared,
    /// What runs where.
    Placed,
    /// The plan.
    Plan,
}

/// How a route is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawing {
    /// A tree for the terminal.
    Text,
    /// A Mermaid flowchart.
    Mermaid,
    /// A Graphviz graph.
    Dot,
    /// An SVG document.
    Svg,
}

/// Compiles `root` and what it uses for `target`, with what `catalog` can run.
pub fn compile(root: SourceFile, sources: &dyn Sources, target: &Target, catalog: &Catalog) -> Compilation {
    compile_until(Emit::Plan, root, sources, target, catalog)
}

/// Compiles as [`compile`] does, but not further than `last`: what only later stages find wrong is
/// not found.
pub fn compile_until(
    last: Emit,
    root: SourceFile,
    sources: &dyn Sources,
    target: &Target,
    catalog: &Catalog,
) -> Compilation {
    through(last, root, sources, target, catalog, &mut Watch { is_indexed: false, done: &mut |_| {} })
}

/// [`compile_until`], which tells `done` the name of each stage when it ends: the compiler has no
/// clock, but its caller may. A check of the graphs stands between the passes as `graph verify`.
pub fn compile_watched(
    last: Emit,
    root: SourceFile,
    sources: &dyn Sources,
    target: &Target,
    catalog: &Catalog,
    done: &mut dyn FnMut(&'static str),
) -> Compilation {
    through(last, root, sources, target, catalog, &mut Watch { is_indexed: false, done })
}

/// Compiles as [`compile_until`] does, for an editor: with an index of all names, unless `last` is
/// the tree.
pub fn examine(
    last: Emit,
    root: SourceFile,
    sources: &dyn Sources,
    target: &Target,
    catalog: &Catalog,
) -> Compilation {
    through(last, root, sources, target, catalog, &mut Watch { is_indexed: true, done: &mut |_| {} })
}

/// What a caller wants to know besides.
struct Watch<'w> {
    /// Whether an index of all names is made.
    is_indexed: bool,
    /// Told the name of each stage when it ends.
    done: &'w mut dyn FnMut(&'static str),
}

fn through(
    last: Emit,
    root: SourceFile,
    sources: &dyn Sources,
    target: &Target,
    catalog: &Catalog,
    watch: &mut Watch<'_>,
) -> Compilation {
    let done = &mut *watch.done;
    let mut made = Compilation::default();
    let name = program_name(&root.name);
    let mut found = Diagnostics::default();
    let modules = analyze::modules::load(root, sources, &mut made.sources, &mut found);
    done("parse");
    if last == Emit::Ast {
        made.ast = modules.into_iter().next().map(|module| module.file).unwrap_or_default();
        made.diagnostics = found.most_urgent().into_sorted();
        return made;
    }
    let (program, mut found, index) = analyze::analyze(&name, &modules, catalog, found, watch.is_indexed);
    made.index = index;
    made.ast = modules.into_iter().next().map(|module| module.file).unwrap_or_default();
    done("analyze");
    verify_all(program.graphs.iter(), &program, Phase::Analyzed);
    done("graph verify");
    if !found.has_errors() && last > Emit::Graph {
        through_the_passes(last, &program, target, &mut made, &mut found, done);
    }
    made.program = Some(program);
    made.diagnostics = found.most_urgent().into_sorted();
    if made.diagnostics.len() > MOST_PROBLEMS {
        let next = made.diagnostics[MOST_PROBLEMS].place();
        made.diagnostics.truncate(MOST_PROBLEMS);
        made.diagnostics.extend(next.map(|span| diagnostic::syntax::too_many_errors(span, MOST_PROBLEMS)));
    }
    made
}

/// The passes, in order, with a check after each; stops at the first that refuses the program, and
/// after `last`.
fn through_the_passes(
    last: Emit,
    analyzed: &Program,
    target: &Target,
    made: &mut Compilation,
    found: &mut Diagnostics,
    done: &mut dyn FnMut(&'static str),
) {
    let mut program = analyzed.clone();
    let is_inlined = passes::inline::inline(&mut program, found);
    done("inline");
    if !is_inlined {
        return;
    }
    verify_all(program.graphs.iter(), &program, Phase::Inlined);
    done("graph verify");
    if last == Emit::Inlined {
        made.inlined = Some(program);
        return;
    }

    let mut all = passes::specialize::specialize(&program, found);
    done("specialize");
    verify_all(all.iter().map(|one| &one.graph), &program, Phase::Specialized);
    done("graph verify");
    if last == Emit::Specialized {
        made.specialized = Some(all);
        return;
    }

    for one in &mut all {
        passes::simplify::simplify(&mut one.graph);
    }
    done("simplify");
    verify_all(all.iter().map(|one| &one.graph), &program, Phase::Simplified);
    done("graph verify");
    if last == Emit::Simplified {
        made.specialized = Some(all);
        return;
    }

    passes::share::share(&mut all, &program);
    done("share");
    passes::copies::copies(&mut all);
    done("copies");
    verify_all(all.iter().map(|one| &one.graph), &program, Phase::Simplified);
    done("graph verify");
    passes::check::check(&all, &program, found);
    done("check");
    let all = made.specialized.insert(all);
    if found.has_errors() || last == Emit::Shared {
        return;
    }

    let Some(placement) = passes::place::place(all, &program, target, found) else { return };
    passes::place::check_links(all, &program, &placement, found);
    done("place");
    let placement = made.placement.insert(placement);
    if last == Emit::Placed || found.has_errors() {
        return;
    }
    let mut plan = lower::lower(&program, all, placement, target);
    done("lower");
    passes::allocate::allocate(&mut plan, all, &program.components, found);
    passes::served::check(&plan, &program, found);
    done("allocate");
    if !found.has_errors() {
        made.plan = lower::verified(plan, all, found);
        done("plan verify");
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

    /// Whether all that keeps the program from a plan is that it needs GPUs and says nothing of where they are.
    pub fn lacks_only_a_cluster(&self) -> bool {
        let mut errors = self.diagnostics.iter().filter(|found| found.is_error()).peekable();
        errors.peek().is_some() && errors.all(|found| found.code == diagnostic::NEEDS_CLUSTER)
    }

    /// The errors and warnings for a person, with terminal colours if `color` is set.
    pub fn render(&self, color: bool) -> String {
        diagnostic::render(&self.diagnostics, &self.sources, color)
    }

    /// A stage as text; `None` if the compilation did not come so far. The graphs of the routes are
    /// as the last pass left them: [`compile_until`] shows them as an earlier one did.
    pub fn emit(&self, stage: Emit) -> Option<String> {
        if stage == Emit::Ast {
            return Some(syntax::print(&self.ast));
        }
        let program = self.program.as_ref()?;
        let components = &program.components;
        match stage {
            Emit::Ast | Emit::Graph => Some(graph::print::program(program)),
            Emit::Inlined => Some(graph::print::program(self.inlined.as_ref()?)),
            Emit::Specialized | Emit::Simplified | Emit::Shared => {
                Some(graph::print::specialized(self.specialized.as_ref()?, components))
            }
            Emit::Placed => Some(self.placement.as_ref()?.to_text(self.specialized.as_ref()?, components)),
            Emit::Plan => Some(self.plan.as_ref()?.plan().to_text()),
        }
    }

    /// Where the placed value at `path` comes from, such as `omni.talker.replicas`: who set it, in which file
    /// and line, and what it replaced. A path that ends early explains everything below it, an empty one all.
    ///
    /// Fails with the known paths nearest to `path`; with none if the program was not placed.
    pub fn explain_path(&self, path: &str) -> Result<String, Vec<String>> {
        let (Some(program), Some(specialized), Some(placement), Some(plan)) =
            (&self.program, &self.specialized, &self.placement, &self.plan)
        else {
            return Err(Vec::new());
        };
        let inflight = plan.plan().inflight;
        let of =
            passes::place::Explained { program, specialized, placement, inflight, sources: &self.sources };
        passes::place::explain(&of, path)
    }

    /// Each recording's route and title, `talk = assistant(speech) -> reply`, in the plan's order.
    pub fn recordings(&self) -> Option<Vec<(&str, String)>> {
        let specialized = self.specialized.as_ref()?.iter();
        Some(specialized.map(|one| (one.route.as_str(), graph::print::title(one))).collect())
    }

    /// A drawing of what the recording with this number does.
    pub fn drawing(&self, number: usize, how: Drawing) -> Option<String> {
        let components = &self.program.as_ref()?.components;
        let one = self.specialized.as_ref()?.get(number)?;
        let picture = || {
            let placed = self.placement.as_ref().and_then(|placement| {
                let nodes = placement.nodes.get(number)?;
                Some(graph::picture::Placed { stages: &placement.stages, nodes })
            });
            graph::picture::picture(one, components, placed)
        };
        Some(match how {
            Drawing::Text => graph::draw::draw(one, components),
            Drawing::Mermaid => graph::mermaid::mermaid(one, components),
            Drawing::Dot => graph::picture::dot::dot(&picture()),
            Drawing::Svg => graph::picture::svg::svg(&picture()),
        })
    }

    /// A drawing of each recording, with its route.
    pub fn drawings(&self, how: Drawing) -> Option<Vec<(&str, String)>> {
        let numbered = self.specialized.as_ref()?.iter().enumerate();
        numbered.map(|(number, one)| Some((one.route.as_str(), self.drawing(number, how)?))).collect()
    }
}
