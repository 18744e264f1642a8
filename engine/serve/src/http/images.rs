//! `POST /v1/images/generations`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use corn_core::Datum;
use corn_core::message::Priority;
use corn_media::{Format, write_image};
use serde_json::{Value, json};

use super::fields::{Fields, wrong};
use super::models::{self, Brought, Choice};
use super::refusal::Refusal;
use super::{Face, body, measured, now_s};
use crate::Request;

/// The quality of JPEG where none is said.
const JPEG_QUALITY: u8 = 90;

pub(super) async fn answer(State(face): State<Arc<Face>>, request: HttpRequest<Body>) -> Response {
    let path = "images.generations";
    measured(&face, path, async |meter| {
        let body = body::whole(request, models::max_body_bytes(face.served.plan(), path)).await?;
        let (request, format) = read(&face, &body, path)?;
        let mut outputs = face.ask(request, &meter).await?;
        let mut pictures = Vec::new();
        while let Some((_, datum)) = outputs.next().await? {
            match datum {
                Datum::List(items) => pictures.extend(items.iter().cloned()),
                other => pictures.push(other),
            }
        }
        let data = face.prepared(move |_| pictures.iter().map(|it| entry(it, format)).collect()).await?;
        let data: Vec<Value> = data;
        outputs.end();
        let name = match format {
            Format::Png => "png",
            Format::Jpeg { .. } => "jpeg",
            Format::WebpLossless => "webp",
        };
        Ok(Json(json!({ "created": now_s(), "data": data, "output_format": name })).into_response())
    })
    .await
}

fn entry(picture: &Datum, format: Format) -> Result<Value, Refusal> {
    let Datum::Image(image) = picture else {
        return Err(Refusal::ours(format!("a picture was asked for, and {} was made", picture.word())));
    };
    let bytes = write_image(image, format).map_err(|error| Refusal::ours(error.to_string()))?;
    Ok(json!({ "b64_json": BASE64.encode(bytes) }))
}

fn read(face: &Face, body: &[u8], path: &str) -> Result<(Request, Format), Refusal> {
    let mut fields = Fields::from_json(body)?;
    let model = models::find(face.served.plan(), &fields.needed_text("model")?, path)?;
    model.check_body(body.len())?;
    let prompt = fields.needed_text("prompt")?;
    fields.word("response_format", &["b64_json"], "pictures are not kept to be fetched later")?;
    let format = format(&mut fields)?;
    let brought = Brought::one(&["text"]);
    let choice = model.choose(None, &brought).ok_or_else(|| model.takes_else("prompt", None, &brought))?;
    let mut inputs = vec![choice.bring("text", vec![Datum::text(prompt)], "prompt")?];
    size(&mut fields, &choice)?;
    inputs.extend(fields.rest(&choice)?);
    inputs.extend(choice.fixed(&inputs));
    let request = Request {
        graph: model.name().to_owned(),
        inputs,
        outputs: choice.outputs(),
        deadline: None,
        priority: Priority::Normal,
    };
    Ok((request, format))
}

fn format(fields: &mut Fields) -> Result<Format, Refusal> {
    let name = fields.word("output_format", &["png", "jpeg", "webp"], "that is not written")?;
    let param = "output_compression";
    let quality = match fields.take(param) {
        None => None,
        Some(Value::Number(number)) if number.as_u64().is_some_and(|it| (1..=100).contains(&it)) => {
            number.as_u64().map(|it| it as u8)
        }
        Some(other) => return Err(wrong(param, "a whole number from 1 to 100", &other)),
    };
    match (name, quality) {
        (Some("jpeg"), quality) => Ok(Format::Jpeg { quality: quality.unwrap_or(JPEG_QUALITY) }),
        (_, Some(_)) => Err(Refusal::param(
            param,
            "'output_compression' is for jpeg; png and webp are written without loss",
        )),
        (Some("webp"), None) => Ok(Format::WebpLossless),
        _ => Ok(Format::Png),
    }
}

/// A size such as `512x768` sets the inputs `width` and `height`, if the graph has no input `size` for it.
fn size(fields: &mut Fields, choice: &Choice<'_>) -> Result<(), Refusal> {
    if choice.knob("size").is_some() || choice.knob("width").is_none() || choice.knob("height").is_none() {
        return Ok(());
    }
    let Some(said) = fields.text("size")?.filter(|said| said != "auto") else { return Ok(()) };
    let parsed =
        said.split_once('x').and_then(|(w, h)| Some((w.parse::<u32>().ok()?, h.parse::<u32>().ok()?)));
    let Some((width, height)) = parsed else {
        return Err(Refusal::param("size", format!("'size' is {said:?}, and must be as \"512x768\"")));
    };
    fields.put("width", width.into());
    fields.put("height", height.into());
    Ok(())
}
