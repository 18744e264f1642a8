//! What a request brings, read as its routes declare it, within the limits of its graph.

use corn_core::Datum;
use corn_plan::{Limits, Plan};
use tonic::Status;

use crate::grpc::proto::corn::Value;
use crate::grpc::proto::corn::value::Kind;
use crate::grpc::routes::Route;
use crate::grpc::value::{self, Budget};
use crate::grpc::{ask, status};

/// The limits of a graph; refuses a request of `bytes` that is over them.
pub(super) fn limits(plan: &Plan, graph: &str, bytes: usize) -> Result<Limits, Status> {
    let serve = plan.serves.iter().find(|serve| serve.graph == graph);
    let limits = serve.map(|serve| serve.limits).unwrap_or_default();
    match limits.body_bytes {
        Some(limit) if bytes as u64 > limit => {
            Err(status::refused(format!("a request of {bytes} bytes is over the bound of {limit} bytes")))
        }
        _ => Ok(limits),
    }
}

/// Whether reading takes so long that it is done apart: whether there can be files to decode.
pub(super) fn is_work(value: &Value) -> bool {
    match &value.kind {
        Some(Kind::List(list)) => list.items.iter().any(is_work),
        Some(Kind::Image(_) | Kind::Audio(_) | Kind::Video(_) | Kind::Messages(_)) => true,
        _ => false,
    }
}

/// The inputs, as `routes` declare them, which are called `of`.
pub(super) fn read(
    routes: &[&Route],
    of: &str,
    mut given: Vec<(String, Value)>,
    limits: Limits,
) -> Result<Vec<(String, Datum)>, Status> {
    // In an order that does not change from call to call, so that the same mistake has the same message.
    given.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut budget = Budget::new(limits);
    let read = |(name, value): (String, Value)| {
        let mut inputs = routes.iter().flat_map(|route| &route.inputs);
        let Some(input) = inputs.find(|input| input.name == name) else {
            return Err(ask::unknown_input(of, routes, &name));
        };
        match value::read(value, input, &mut budget) {
            Ok(datum) => Ok((name, datum)),
            Err(problem) => Err(status::refused(format!("input '{name}': {problem}"))),
        }
    };
    given.into_iter().map(read).collect()
}
