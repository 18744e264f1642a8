//! `POST /v1/completions`: text after text, without roles.
//!
//! Of several prompts each is a request of its own, and a choice of the answer.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use corn_core::Datum;
use corn_core::executor::Usage;
use corn_core::message::Priority;
use serde_json::{Value, json};

use super::answer::InOrder;
use super::events::{Say, events};
use super::fields::{Fields, SaysUsage};
use super::models::{self, Brought};
use super::refusal::Refusal;
use super::usage::{Used, finish};
use super::{Face, RequestName, body, measured, now_s};
use crate::Request;

/// Most prompts of one request.
const MAX_PROMPTS: usize = 128;

struct Asked {
    requests: VecDeque<Request>,
    is_streamed: bool,
    says_usage: SaysUsage,
    told: Told,
}

/// What the answer says of itself.
struct Told {
    id: String,
    created_s: u64,
    model: String,
    brought: Used,
}

pub(super) async fn answer(
    State(face): State<Arc<Face>>,
    Extension(name): Extension<RequestName>,
    request: HttpRequest<Body>,
) -> Response {
    let path = "completions";
    measured(&face, path, async |meter| {
        let max_bytes = models::max_body_bytes(face.served.plan(), path);
        let (body, taken) = body::whole(request, max_bytes, &face.intake).await?;
        let Asked { mut requests, is_streamed, says_usage, told } = read(&face, &body, path, &name)?;
        drop(taken);
        if is_streamed && let Some(request) = requests.pop_front() {
            let outputs = face.ask(request, &meter).await?;
            return Ok(events(Chunks { told, says_usage, made: Used::default() }, outputs));
        }
        let mut answers = InOrder::new(&face.served, requests, &meter);
        let (mut choices, mut made) = (Vec::new(), Used::default());
        while let Some(mut outputs) = answers.next()? {
            let mut whole = String::new();
            while let Some((_, datum)) = outputs.next().await? {
                made.add(&datum);
                whole.push_str(text(&datum)?);
            }
            choices.push(choice(choices.len(), &whole, Some(finish(outputs.usage()))));
            made.tell_more(outputs.usage());
        }
        meter.end(200);
        let mut whole = told.head();
        whole["choices"] = choices.into();
        whole["usage"] = told.brought.chat(&made);
        Ok(Json(whole).into_response())
    })
    .await
}

fn read(face: &Face, body: &[u8], path: &str, name: &RequestName) -> Result<Asked, Refusal> {
    let mut fields = Fields::from_json(body)?;
    let model = models::find(face.served.plan(), &fields.needed_text("model")?, path)?;
    model.check_body(body.len())?;
    let is_streamed = fields.flag("stream")?;
    let says_usage = fields.says_usage(is_streamed)?;
    let prompts = fields.texts("prompt", if is_streamed { 1 } else { MAX_PROMPTS })?;
    let brought = Brought::one(&["text"]);
    let choice = model.choose(None, &brought).ok_or_else(|| model.takes_else("prompt", None, &brought))?;
    fields.alias("max_tokens", "max_completion_tokens", &choice);
    let rest = fields.rest(&choice)?;
    let (mut requests, mut brought) = (VecDeque::new(), Used::default());
    for prompt in prompts {
        let prompt = Datum::text(prompt);
        brought.add(&prompt);
        let mut inputs = vec![choice.bring("text", vec![prompt], "prompt")?];
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
    let (id, model) = (format!("cmpl-{}", name.0), model.name().to_owned());
    Ok(Asked { requests, is_streamed, says_usage, told: Told { id, created_s: now_s(), model, brought } })
}

fn text(datum: &Datum) -> Result<&str, Refusal> {
    match datum {
        Datum::Text(text) => Ok(text),
        other => Err(Refusal::ours(format!("a text was asked for, and {} was made", other.word()))),
    }
}

fn choice(index: usize, text: &str, finish: Option<&str>) -> Value {
    json!({ "index": index, "text": text, "finish_reason": finish, "logprobs": null })
}

impl Told {
    fn head(&self) -> Value {
        let Self { id, created_s, model, .. } = self;
        json!({ "id": id, "object": "text_completion", "created": created_s, "model": model })
    }
}

/// An answer in pieces.
struct Chunks {
    told: Told,
    says_usage: SaysUsage,
    made: Used,
}

impl Chunks {
    fn chunk(&self, text: &str, finish: Option<&str>) -> Value {
        let mut chunk = self.told.head();
        chunk["choices"] = json!([choice(0, text, finish)]);
        match self.says_usage {
            SaysUsage::Never => {}
            SaysUsage::AtTheEnd => chunk["usage"] = Value::Null,
            SaysUsage::Always => chunk["usage"] = self.told.brought.chat(&self.made),
        }
        chunk
    }
}

impl Say for Chunks {
    fn begin(&mut self) -> Vec<Value> {
        Vec::new()
    }

    fn item(&mut self, _place: usize, datum: &Datum) -> Result<Vec<Value>, Refusal> {
        self.made.add(datum);
        Ok(vec![self.chunk(text(datum)?, None)])
    }

    fn used(&mut self, usage: Usage) {
        self.made.tell(Some(usage));
    }

    fn end(&mut self) -> Result<Vec<Value>, Refusal> {
        let mut last = vec![self.chunk("", Some(self.made.finish()))];
        if self.says_usage != SaysUsage::Never {
            let mut usage = self.told.head();
            usage["choices"] = json!([]);
            usage["usage"] = self.told.brought.chat(&self.made);
            last.push(usage);
        }
        Ok(last)
    }

    fn says_done(&self) -> bool {
        true
    }
}
