//! Whether the server lives, and whether it can answer: two questions, since a process that loads must not be killed for
//! it, and must not be sent requests either.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use corn_core::{Blame, Fault};
use serde_json::{Value, json};

use super::Face;
use super::refusal::Refusal;
use crate::Served;

/// `GET /health/live`: whoever hears this has asked a process that lives.
pub(super) async fn live() -> &'static str {
    "ok"
}

/// `GET /health`: whether every component is ready on some worker, as the health service of gRPC says it.
pub(super) async fn ready(State(face): State<Arc<Face>>) -> Result<&'static str, Refusal> {
    loaded(&face.served)?;
    if face.served.is_ready() {
        return Ok("ok");
    }
    let lacking: Vec<String> = face.served.lacking().into_iter().collect();
    let message = format!("not ready: no worker has {}; try again later", lacking.join(", "));
    Err(Fault::new(Blame::Unavailable, message).into())
}

/// Refuses what comes while the engine loads its components.
pub(super) fn loaded(served: &Served) -> Result<(), Refusal> {
    match served.engine() {
        Ok(_) => Ok(()),
        Err(mut fault) => {
            let loading: Vec<String> = served.lacking().into_iter().collect();
            fault.message = format!("{} ({})", fault.message, loading.join(", "));
            Err(Refusal::from(fault).code("loading"))
        }
    }
}

/// `GET /version`.
pub(super) async fn version() -> Json<Value> {
    Json(json!({ "version": env!("CARGO_PKG_VERSION") }))
}
