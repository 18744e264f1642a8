//! What of a recording this engine replays: the rest is refused when a plan is loaded, not in the middle of a request.

use corn_plan::{Adaptor, Kind, Recording, Step, all_steps};

use crate::fault::Fault;

/// Whether every step and value of `recording` can be replayed; the fault says what cannot.
pub fn replayable(recording: &Recording) -> Result<(), Fault> {
    let steps = recording.programs.iter().flat_map(|program| all_steps(&program.steps));
    let step = steps.into_iter().find_map(|step| match step {
        Step::Branch(_) => Some("`switch`"),
        Step::Loop(_) => Some("`loop`"),
        Step::Adapt { adaptor, .. } => match adaptor {
            Adaptor::Merge { .. } => Some("`merge`"),
            Adaptor::Pick(_) | Adaptor::Interleave(_) => Some("`match` over media"),
            _ => None,
        },
        _ => None,
    });
    let value = recording.values.iter().find_map(|value| match value.ty.kind {
        Kind::Video { .. } => Some("video"),
        Kind::Media { .. } => Some("media"),
        Kind::Messages { .. } => Some("conversations"),
        _ => None,
    });
    let Some(what) = step.or(value) else { return Ok(()) };
    let route = &recording.route;
    Err(Fault::setup(format!("route '{route}' cannot be replayed: this engine does not know {what}")))
}
