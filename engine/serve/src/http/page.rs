//! The status page, and what it reads: what can be asked, how requests run through it, and what happens now.
//!
//! The page is one document without anything from elsewhere. It holds nothing of the plan, so it needs no key; what it reads does.

mod flow;

use std::sync::{Arc, LazyLock};

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use corn_plan::{Form, Kind, Literal, Type};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Face;
use crate::grpc::body_bytes;
use crate::grpc::routes::{Input, Route};

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = concat!(
    include_str!("page/words.js"),
    include_str!("page/graph.js"),
    include_str!("page/playground.js"),
    include_str!("page/code.js"),
    include_str!("page/page.js"),
);

/// The document, and the policy that lets a browser run nothing but what is in it.
static PAGE: LazyLock<(String, String)> = LazyLock::new(|| {
    let page = include_str!("page/page.html").replace("/* style */", STYLE).replace("/* script */", SCRIPT);
    let hash = |text: &str| BASE64.encode(Sha256::digest(text));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data: blob:; \
         media-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    (page, policy)
});

/// `GET /`.
pub(super) async fn page() -> Response {
    let (page, policy) = &*PAGE;
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, Html(page.as_str())).into_response()
}

/// `GET /corn/v1/plan`: what can be asked, and how it runs. It does not change while a server lives.
pub(super) async fn plan(State(face): State<Arc<Face>>) -> Json<Value> {
    let plan = face.served.plan();
    let routes: Vec<Value> = face.native.routes().iter().map(|it| route(&face, it)).collect();
    let components = plan.components.enumerate().map(|(id, component)| {
        let stage = plan.stages.enumerate().find(|(_, stage)| stage.components.contains(&id));
        json!({
            "name": component.name, "kind": component.kind, "executor": component.executor, "entry": component.entry,
            "batch": component.batch.max, "memory_bytes": component.needs.memory_bytes,
            "stage": stage.map(|(id, _)| id.0),
            "workers": stage.map(|(_, stage)| stage.replicas.iter().map(|worker| worker.0).collect::<Vec<_>>()),
        })
    });
    let workers = plan.workers.iter().map(|worker| {
        json!({ "host": worker.host, "cpus": worker.cpus, "memory_bytes": worker.memory_bytes,
            "gpus": worker.gpus.as_ref().map_or(0, |gpus| gpus.indices.len()) })
    });
    let stages = plan.stages.iter().map(|stage| {
        let names = stage.components.iter().map(|id| plan.components[*id].name.as_str());
        json!(names.collect::<Vec<_>>())
    });
    Json(json!({
        "name": plan.name,
        "hash": face.served.plan.hash().to_string(),
        "inflight": plan.inflight,
        "routes": routes,
        "components": components.collect::<Vec<_>>(),
        "workers": workers.collect::<Vec<_>>(),
        "stages": stages.collect::<Vec<_>>(),
    }))
}

/// `GET /corn/v1/status`: what happens, in counts since the start; rates are their differences.
pub(super) async fn status(State(face): State<Arc<Face>>) -> Json<Value> {
    let served = &face.served;
    let routes = face.native.routes().iter().map(|route| {
        let fares = served.fares(&route.graph, &route.name);
        json!({
            "ok": fares.ok, "failed": fares.failed, "gone": fares.gone, "in_flight": fares.in_flight,
            "p50_first_us": fares.p50_first_us, "p50_answer_us": fares.p50_answer_us,
        })
    });
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "hash": served.plan.hash().to_string(),
        "ready": served.is_ready(),
        "lacking": served.lacking(),
        "routes": routes.collect::<Vec<_>>(),
        "engine": served.engine().ok().map(|engine| engine.status()),
    }))
}

fn route(face: &Face, route: &Route) -> Value {
    let plan = face.served.plan();
    let serve = plan.serves.iter().find(|serve| serve.graph == route.graph);
    let outputs = route.outputs.iter().map(
        |output| json!({ "name": output.name, "optional": output.is_optional, "type": of_type(&output.ty) }),
    );
    json!({
        "graph": route.graph,
        "route": route.name,
        "inputs": route.inputs.iter().map(input).collect::<Vec<_>>(),
        "outputs": outputs.collect::<Vec<_>>(),
        "deadline_ms": serve.and_then(|serve| serve.deadline_ms),
        "body_bytes": serve.and_then(|serve| serve.limits.body_bytes).unwrap_or_else(|| body_bytes(plan)),
        "flows": route.recordings.iter().map(|id| flow::flow(plan, &plan.recordings[*id])).collect::<Vec<_>>(),
    })
}

fn input(input: &Input) -> Value {
    json!({
        "name": input.name,
        "type": of_type(&input.ty),
        "required": input.is_required,
        "default": input.default.as_ref().map(literal),
        "choices": input.choices.iter().map(literal).collect::<Vec<_>>(),
        "media": input.media.as_ref().map(of_type),
    })
}

fn literal(literal: &Literal) -> Value {
    match literal {
        Literal::Int(value) => json!(value),
        Literal::Float(value) => json!(value),
        Literal::Bool(value) => json!(value),
        Literal::Text(text) => json!(text),
        Literal::Texts(texts) => json!(texts),
    }
}

fn of_type(ty: &Type) -> Value {
    let words = if let Kind::Enum(words) = &ty.kind { words.as_slice() } else { &[] };
    let form = match ty.form {
        Form::Value => "value",
        Form::List { .. } => "list",
        Form::Stream { .. } => "stream",
    };
    let dtype = if let Kind::Tensor { dtype, .. } = &ty.kind { Some(dtype.name()) } else { None };
    json!({ "text": ty.to_string(), "kind": ty.kind.word(), "form": form, "max_items": ty.max_items(), "words": words, "dtype": dtype })
}
