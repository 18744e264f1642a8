//! Whether each endpoint has a recording that can answer it.
//!
//! Analysis has held the types of a route against its endpoint. Which combinations of its inputs and outputs have
//! a recording is known only now.

use corn_plan::endpoint::Face;
use corn_plan::{Endpoint, Plan, Recording};

use crate::diagnostic::Diagnostics;
use crate::diagnostic::semantic::serve;
use crate::graph::Program;

/// Reports endpoints that no recording of their route can answer.
pub(crate) fn check(plan: &Plan, program: &Program, found: &mut Diagnostics) {
    for serve in &program.deployment.serves {
        let all: Vec<&Recording> =
            plan.recordings.iter().filter(|recording| recording.graph == serve.plan.graph).collect();
        if all.is_empty() {
            found.push(serve::nothing_to_serve(&serve.plan.graph, serve.span));
        }
        for endpoint in &serve.plan.endpoints {
            let Endpoint::Openai { path, with, route } = endpoint else { continue };
            let Some(face) = Face::find(path) else { continue };
            let mut routed = all.iter().filter(|recording| recording.route == *route);
            if !routed.any(|recording| face.misfits_of(with, recording).is_empty()) {
                let needs = serve::endpoint_needs(path, &face.takes_words(), &face.makes_words(with));
                let why = "no combination of its inputs and outputs that has a recording is what it wants";
                found.push(serve::wrong_types(path, route, why, &needs, serve.span, Vec::new()));
            }
        }
    }
}
