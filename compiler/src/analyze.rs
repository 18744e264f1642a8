//! Syntax trees to typed graphs: names, types, routes, and everything that is wrong with them.
//!
//! Declarations are analysed in the order of their dependencies, so that each finds what it names
//! ready. Analysis returns a program *and* its problems; what is broken is left out of the program
//! quietly, so that one mistake is said once.

mod adapt;
mod arguments;
mod body;
mod calls;
mod constructs;
mod consts;
mod context;
mod control;
mod declare;
mod dependencies;
mod deploy;
mod entries;
mod graphs;
pub mod index;
mod instance;
mod limits;
mod locals;
mod loops;
mod media;
pub(crate) mod modules;
mod names;
mod operand;
mod routes;
mod switch;
mod taken;
mod types;
mod unused;

use corn_plan::catalog::Catalog;

use self::consts::{Place, Seen};
use self::context::Context;
use self::index::Index;
use self::modules::Module;
use self::names::Entity;
use crate::diagnostic::Diagnostics;
use crate::graph::Program;

/// Analyses `modules`, of which the first is the root. `found` are the problems so far. The index is
/// made if `is_indexed`.
pub(crate) fn analyze(
    name: &str,
    modules: &[Module],
    catalog: &Catalog,
    mut found: Diagnostics,
    is_indexed: bool,
) -> (Program, Diagnostics, Option<Index>) {
    let names = names::collect(modules, &mut found);
    let order = dependencies::order(&names, &mut found);
    let mut context = Context::new(modules, names, catalog, found);
    name.clone_into(&mut context.program.name);
    context.noted.is_wanted = is_indexed;
    for entity in order.entities.iter().filter(|entity| !order.circular.contains(entity)) {
        match *entity {
            Entity::Component(position) => context.declare(position),
            Entity::Let(position) => {
                let (module, each) = context.names.lets[position];
                let place = Place { module, local: Seen::NOTHING };
                context.lets[position] = context.constant(&each.value, Some(&each.name.text), place);
            }
            Entity::Graph(position) => context.graph(position),
            Entity::Cluster(position) => context.cluster(position),
        }
    }
    context.routes();
    context.deployment();
    if !context.found.has_errors() {
        context.warn_of_unused();
    }
    let index = is_indexed.then(|| index::build(&mut context));
    (context.program, context.found, index)
}
