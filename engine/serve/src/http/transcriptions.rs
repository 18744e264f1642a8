//! `POST /v1/audio/transcriptions`.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request as HttpRequest, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use corn_core::Datum;
use corn_core::message::Priority;
use corn_plan::Modality;
use serde_json::{Value, json};

use super::events::{Say, events};
use super::fields::{Fields, missing};
use super::media::{Content, Medium, Room};
use super::models::{self, Brought, Choice, Model};
use super::refusal::Refusal;
use super::usage::Used;
use super::{Face, body, measured};
use crate::Request;

/// What `serve` calls it.
pub(super) const PATH: &str = "audio.transcriptions";

struct Asked {
    request: Request,
    brought: Used,
    is_streamed: bool,
    format: Written,
}

/// How a transcription that is not streamed is written.
enum Written {
    Json,
    Plain,
    /// With what else is known: how long the sound is, and the language, if the client said it.
    Verbose {
        language: String,
    },
}

pub(super) async fn answer(State(face): State<Arc<Face>>, request: HttpRequest<Body>) -> Response {
    measured(&face, PATH, async |meter| {
        let max_bytes = models::max_body_bytes(face.served.plan(), PATH);
        let (form, bytes, taken) = body::form(request, max_bytes, &face.intake).await?;
        let asked = face.prepared(move |face| read(face, form, bytes)).await?;
        drop(taken);
        let mut outputs = face.ask(asked.request, &meter).await?;
        if asked.is_streamed {
            return Ok(events(Deltas { text: String::new(), brought: asked.brought }, outputs));
        }
        let mut text = String::new();
        while let Some((_, datum)) = outputs.next().await? {
            if let Datum::Text(piece) = datum {
                text.push_str(&piece);
            }
        }
        outputs.end();
        let usage = asked.brought.transcription();
        Ok(match asked.format {
            Written::Plain => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response(),
            Written::Json => Json(json!({ "text": text, "usage": usage })).into_response(),
            Written::Verbose { language } => {
                let duration = asked.brought.audio_seconds();
                let whole = json!({ "task": "transcribe", "language": language, "duration": duration,
                    "text": text, "usage": usage });
                Json(whole).into_response()
            }
        })
    })
    .await
}

fn read(face: &Face, form: body::Form, bytes: usize) -> Result<Asked, Refusal> {
    let sound = file(form.files)?;
    let mut fields = Fields::from_form(form.texts);
    let model = models::find(face.served.plan(), &fields.needed_text("model")?, PATH)?;
    model.check_body(bytes)?;
    let is_streamed = fields.flag("stream")?;
    let what = "that is not written, since graphs say no times of what they hear";
    let format = match fields.word("response_format", &["json", "text", "verbose_json"], what)? {
        Some("text") => Written::Plain,
        Some("verbose_json") => {
            Written::Verbose { language: fields.said("language").unwrap_or("unknown").to_owned() }
        }
        _ => Written::Json,
    };
    let sound = Medium { kind: Modality::Audio, param: "file".to_owned(), content: Content::Raw(sound) };
    let (request, brought) = request(model, sound, fields)?;
    Ok(Asked { request, brought, is_streamed, format })
}

/// The recording that hears a sound which stands at `param`, and what is said to it besides.
pub(super) fn choose<'p>(
    model: Model<'p>,
    fields: &mut Fields,
    param: &str,
) -> Result<(Choice<'p>, Option<String>), Refusal> {
    let prompt = if model.takes(None, "text") { fields.text("prompt")? } else { None };
    let mut words = vec!["audio"];
    words.extend(prompt.as_ref().map(|_| "text"));
    let brought = Brought::one(&words);
    let choice = model.choose(None, &brought).ok_or_else(|| model.takes_else(param, None, &brought))?;
    Ok((choice, prompt))
}

/// The request that hears `sound`, and what it brings. `fields` set inputs.
pub(super) fn request(
    model: Model<'_>,
    sound: Medium,
    mut fields: Fields,
) -> Result<(Request, Used), Refusal> {
    let param = sound.param.clone();
    let (choice, prompt) = choose(model, &mut fields, &param)?;
    let mut room = Room::new(&model.limits(), &[&sound])?;
    let kind = choice.media_type("audio").0.medium(Modality::Audio);
    let mut inputs = vec![choice.bring("audio", vec![sound.read(&kind, &mut room)?], &param)?];
    let brought = Used::of(inputs.iter().map(|(_, datum)| datum));
    if let Some(prompt) = prompt {
        inputs.push(choice.bring("text", vec![Datum::text(prompt)], "prompt")?);
    }
    inputs.extend(fields.rest(&choice)?);
    inputs.extend(choice.fixed(&inputs));
    let request = Request {
        graph: model.name().to_owned(),
        inputs,
        outputs: choice.outputs(),
        deadline: None,
        priority: Priority::Normal,
    };
    Ok((request, brought))
}

fn file(files: Vec<(String, Bytes)>) -> Result<Bytes, Refusal> {
    let mut found = None;
    for (name, content) in files {
        if name != "file" {
            return Err(Refusal::param(&name, format!("'{name}' is a file, and only 'file' is one here")));
        }
        if found.replace(content).is_some() {
            return Err(Refusal::param("file", "'file' is sent twice"));
        }
    }
    found.ok_or_else(|| missing("file"))
}

struct Deltas {
    text: String,
    brought: Used,
}

impl Say for Deltas {
    fn begin(&mut self) -> Vec<Value> {
        Vec::new()
    }

    fn item(&mut self, _place: usize, datum: &Datum) -> Result<Vec<Value>, Refusal> {
        let Datum::Text(piece) = datum else {
            return Err(Refusal::ours(format!("a transcription was answered with {}", datum.word())));
        };
        self.text.push_str(piece);
        Ok(vec![json!({ "type": "transcript.text.delta", "delta": &**piece })])
    }

    fn end(&mut self) -> Result<Vec<Value>, Refusal> {
        let usage = self.brought.transcription();
        Ok(vec![json!({ "type": "transcript.text.done", "text": self.text, "usage": usage })])
    }

    fn says_done(&self) -> bool {
        false
    }
}
