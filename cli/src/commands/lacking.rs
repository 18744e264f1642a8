//! What stands in the way of workers that are not ready, in words.

use corn_engine::{Member, Standing, Started, Status};
use corn_plan::{Plan, WorkerId};

use crate::state::State;

/// How `member` is, if it is not ready. `state` is the generation that it is of.
pub(crate) fn lack(state: &State, plan: &Plan, member: &Member) -> Option<String> {
    let worker = WorkerId(member.worker);
    let says_why = || format!("`corn logs {} {}` says why", state.name, state.log_name(worker));
    Some(match (&member.standing, &member.started) {
        (Standing::Ready, _) => return None,
        (Standing::Failed(why), _) => format!("{worker} cannot load: {why}"),
        (Standing::Loading { what, .. }, _) if what.is_empty() => format!("{worker} loads"),
        (Standing::Loading { what, .. }, _) => format!("{worker} loads '{what}'"),
        (Standing::Draining, _) => format!("{worker} has requests under way"),
        (Standing::Drained, _) => format!("{worker} is drained"),
        (Standing::Away, None) => {
            let host = &plan.workers[worker].host;
            format!(
                "nobody has joined from host '{host}' as {worker}: start `corn worker … --as {worker}` there"
            )
        }
        (Standing::Away, Some(Started { last: Some(how), .. })) => {
            format!("{worker} ended: {how}; {}", says_why())
        }
        (Standing::Away, Some(Started { last: None, .. })) => format!("{worker} has not joined"),
    })
}

/// The same of all of them.
pub(crate) fn lacks(state: &State, plan: &Plan, status: &Status) -> String {
    let each: Vec<String> = status.workers.iter().filter_map(|member| lack(state, plan, member)).collect();
    each.join("; ")
}

/// Why a worker does not become ready by itself, if that is known: a process of it has ended since it was as `before`,
/// or it is of another host and nobody is it.
pub(crate) fn obstacle(state: &State, plan: &Plan, before: &Member, now: &Member) -> Option<String> {
    let ended = |member: &Member| member.started.as_ref().map_or(0, |started| started.ended);
    let is_there = !matches!(now.standing, Standing::Away | Standing::Loading { .. } | Standing::Failed(_));
    match (&now.started, &now.standing) {
        _ if is_there => None,
        (None, Standing::Away | Standing::Failed(_)) => lack(state, plan, now),
        (Some(Started { last: Some(how), .. }), _) if ended(now) > ended(before) => {
            let worker = WorkerId(now.worker);
            let (name, log) = (&state.name, state.log_name(worker));
            Some(format!("{worker} ended: {how}; `corn logs {name} {log}` says why"))
        }
        _ => None,
    }
}
