//! `POST /v1/audio/speech`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use corn_core::Datum;
use corn_core::message::Priority;
use corn_media::{SoundFormat, SoundWriter};
use serde_json::{Value, json};

use super::events::{Grow, Say, events, growing};
use super::fields::Fields;
use super::models::{self, Brought};
use super::refusal::Refusal;
use super::sound::{self, NOT_WRITTEN};
use super::usage::Used;
use super::{Face, body, measured};
use crate::Request;

const FORMATS: &[&str] = &["mp3", "opus", "flac", "wav", "pcm"];

struct Asked {
    request: Request,
    brought: Used,
    format: SoundFormat,
    as_events: bool,
}

pub(super) async fn answer(State(face): State<Arc<Face>>, request: HttpRequest<Body>) -> Response {
    let path = "audio.speech";
    measured(&face, path, async |meter| {
        let max_bytes = models::max_body_bytes(face.served.plan(), path);
        let (body, taken) = body::whole(request, max_bytes, &face.intake).await?;
        let asked = read(&face, &body, path)?;
        drop(taken);
        let outputs = face.ask(asked.request, &meter).await?;
        let sound = SoundWriter::new(asked.format);
        if asked.as_events {
            return Ok(events(Deltas { sound, brought: asked.brought, made: Used::default() }, outputs));
        }
        let content_type = asked.format.media_type();
        Ok(([(header::CONTENT_TYPE, content_type)], growing(sound, outputs)).into_response())
    })
    .await
}

fn read(face: &Face, body: &[u8], path: &str) -> Result<Asked, Refusal> {
    let mut fields = Fields::from_json(body)?;
    let model = models::find(face.served.plan(), &fields.needed_text("model")?, path)?;
    model.check_body(body.len())?;
    let text = fields.needed_text("input")?;
    let word = fields.word("response_format", FORMATS, NOT_WRITTEN)?;
    let format = word.map_or(SoundFormat::Mp3, sound::format);
    speed(&mut fields)?;
    let stream_format = fields.word("stream_format", &["audio", "sse"], "that is no way to send it")?;
    let brought = Brought::one(&["text"]);
    let choice = model.choose(None, &brought).ok_or_else(|| model.takes_else("input", None, &brought))?;
    let mut inputs = vec![choice.bring("text", vec![Datum::text(text)], "input")?];
    let brought = Used::of(inputs.iter().map(|(_, datum)| datum));
    let voice = fields.take("voice");
    fields.voice(voice, "voice", &choice)?;
    inputs.extend(fields.rest(&choice)?);
    inputs.extend(choice.fixed(&inputs));
    let request = Request {
        graph: model.name().to_owned(),
        inputs,
        outputs: choice.outputs(),
        deadline: None,
        priority: Priority::Normal,
    };
    Ok(Asked { request, brought, format, as_events: stream_format == Some("sse") })
}

/// A speed is one that the API has; whether it can be chosen is seen later.
fn speed(fields: &mut Fields) -> Result<(), Refusal> {
    let Some(speed) = fields.take("speed") else { return Ok(()) };
    if !speed.as_f64().is_some_and(|speed| (0.25..=4.0).contains(&speed)) {
        return Err(Refusal::param(
            "speed",
            format!("'speed' is {speed}, and must be a number from 0.25 to 4"),
        ));
    }
    fields.put("speed", speed);
    Ok(())
}

impl Grow for SoundWriter {
    fn item(&mut self, _place: usize, datum: &Datum) -> Result<Vec<u8>, Refusal> {
        // The endpoint wants one output, of sound.
        let Datum::Audio(audio) = datum else { return Ok(Vec::new()) };
        self.push(audio).map_err(|error| Refusal::ours(error.to_string()))
    }

    fn end(&mut self) -> Result<Vec<u8>, Refusal> {
        self.finish().map_err(|error| Refusal::ours(error.to_string()))
    }
}

struct Deltas {
    sound: SoundWriter,
    brought: Used,
    made: Used,
}

fn delta(bytes: &[u8]) -> Option<Value> {
    let audio = (!bytes.is_empty()).then(|| BASE64.encode(bytes))?;
    Some(json!({ "type": "speech.audio.delta", "audio": audio }))
}

impl Say for Deltas {
    fn begin(&mut self) -> Vec<Value> {
        Vec::new()
    }

    fn item(&mut self, place: usize, datum: &Datum) -> Result<Vec<Value>, Refusal> {
        self.made.add(datum);
        Ok(delta(&self.sound.item(place, datum)?).into_iter().collect())
    }

    fn end(&mut self) -> Result<Vec<Value>, Refusal> {
        let last = delta(&self.sound.end()?);
        let usage = self.brought.speech(&self.made);
        Ok(last.into_iter().chain([json!({ "type": "speech.audio.done", "usage": usage })]).collect())
    }

    fn says_done(&self) -> bool {
        false
    }
}
