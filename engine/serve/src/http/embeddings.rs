//! `POST /v1/embeddings`.
//!
//! A graph takes one text or a list of some; a client may send more. So what it sends is cut into requests, of which
//! as many are under way as the plan admits, and none of which waits for the others.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use corn_core::message::Priority;
use corn_core::{Datum, Tensor};
use corn_plan::{Dtype, Form};
use half::{bf16, f16};
use serde_json::{Value, json};

use super::answer::InOrder;
use super::fields::Fields;
use super::metrics::Meter;
use super::models::{self, Brought};
use super::refusal::Refusal;
use super::usage::Used;
use super::{Face, body, measured};
use crate::Request;

/// Most texts of one request, as in the API's reference.
const MAX_TEXTS: usize = 2048;

struct Asked {
    requests: VecDeque<Request>,
    texts: usize,
    model: String,
    brought: Used,
    is_base64: bool,
}

pub(super) async fn answer(State(face): State<Arc<Face>>, request: HttpRequest<Body>) -> Response {
    let path = "embeddings";
    measured(&face, path, async |meter| {
        let max_bytes = models::max_body_bytes(face.served.plan(), path);
        let (body, taken) = body::whole(request, max_bytes, &face.intake).await?;
        let asked = read(&face, &body, path)?;
        drop(taken);
        let (vectors, used) = vectors(&face, asked.requests, &meter).await?;
        if vectors.len() != asked.texts {
            let message = format!("{} vectors were made of {} texts", vectors.len(), asked.texts);
            return Err(Refusal::ours(message));
        }
        let entry = |(index, vector): (usize, Vec<f32>)| {
            let embedding = if asked.is_base64 { in_base64(&vector) } else { vector.into() };
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        };
        let data: Vec<Value> = vectors.into_iter().enumerate().map(entry).collect();
        meter.end(200);
        let usage = asked.brought.embeddings(&used);
        let whole = json!({ "object": "list", "data": data, "model": asked.model, "usage": usage });
        Ok(Json(whole).into_response())
    })
    .await
}

fn read(face: &Face, body: &[u8], path: &str) -> Result<Asked, Refusal> {
    let mut fields = Fields::from_json(body)?;
    let model = models::find(face.served.plan(), &fields.needed_text("model")?, path)?;
    model.check_body(body.len())?;
    let is_base64 =
        fields.word("encoding_format", &["float", "base64"], "that is not written")? == Some("base64");
    let texts = fields.texts("input", MAX_TEXTS)?;
    let brought = Brought::one(&["text"]);
    let choice = model.choose(None, &brought).ok_or_else(|| model.takes_else("input", None, &brought))?;
    let rest = fields.rest(&choice)?;
    let at_once = match choice.input("text").map(|(_, ty)| ty.form) {
        Some(Form::List { max }) => max as usize,
        _ => 1,
    };
    let mut requests = VecDeque::new();
    let data: Vec<Datum> = texts.into_iter().map(Datum::text).collect();
    for some in data.chunks(at_once.max(1)) {
        let mut inputs = vec![choice.bring("text", some.to_vec(), "input")?];
        inputs.extend(rest.iter().cloned());
        inputs.extend(choice.fixed(&inputs));
        requests.push_back(Request {
            graph: model.name().to_owned(),
            inputs,
            outputs: choice.outputs(),
            deadline: None,
            priority: Priority::Normal,
        });
    }
    let brought = Used::of(&data);
    Ok(Asked { requests, texts: data.len(), model: model.name().to_owned(), brought, is_base64 })
}

async fn vectors(
    face: &Face,
    requests: VecDeque<Request>,
    meter: &Meter,
) -> Result<(Vec<Vec<f32>>, Used), Refusal> {
    let mut answers = InOrder::new(&face.served, requests, meter);
    let (mut vectors, mut used) = (Vec::new(), Used::default());
    while let Some(mut outputs) = answers.next()? {
        while let Some((_, datum)) = outputs.next().await? {
            match datum {
                Datum::List(items) => {
                    for item in items.iter() {
                        vectors.push(vector(item)?);
                    }
                }
                other => vectors.push(vector(&other)?),
            }
        }
        used.tell_more(outputs.usage());
    }
    Ok((vectors, used))
}

fn vector(datum: &Datum) -> Result<Vec<f32>, Refusal> {
    let Datum::Tensor(tensor) = datum else {
        return Err(Refusal::ours(format!("an embedding was asked for, and {} was made", datum.word())));
    };
    as_f32s(tensor).ok_or_else(|| {
        Refusal::ours(format!("an embedding of {} numbers cannot be written", tensor.dtype.name()))
    })
}

fn as_f32s(tensor: &Tensor) -> Option<Vec<f32>> {
    let halves = |read: fn([u8; 2]) -> f32| {
        tensor.bytes.chunks_exact(2).map(|bytes| read([bytes[0], bytes[1]])).collect()
    };
    match tensor.dtype {
        Dtype::F32 => tensor.to_f32s(),
        Dtype::F16 => Some(halves(|bytes| f16::from_le_bytes(bytes).to_f32())),
        Dtype::Bf16 => Some(halves(|bytes| bf16::from_le_bytes(bytes).to_f32())),
        _ => None,
    }
}

/// As clients ask for it by themselves: little-endian f32 in base64.
fn in_base64(vector: &[f32]) -> Value {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    BASE64.encode(bytes).into()
}
