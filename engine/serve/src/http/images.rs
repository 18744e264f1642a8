//! `POST /v1/images/generations` and `POST /v1/images/edits`.
//!
//! The two differ in what they bring: a text as JSON, or a text and pictures as a form.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request as HttpRequest, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use corn_core::message::Priority;
use corn_core::{Datum, Image};
use corn_media::{Format, write_image};
use corn_plan::Modality;
use serde_json::{Value, json};

use super::events::{Say, events};
use super::fields::{Fields, missing, wrong};
use super::media::{Content, Medium, Room};
use super::metrics::Meter;
use super::models::{self, Brought, Choice, Model};
use super::refusal::Refusal;
use super::usage::Used;
use super::{Face, body, measured, now_s};
use crate::Request;

/// The quality of JPEG where none is said.
const JPEG_QUALITY: u8 = 90;

struct Asked {
    request: Request,
    brought: Used,
    format: Format,
    is_streamed: bool,
}

pub(super) async fn generate(State(face): State<Arc<Face>>, request: HttpRequest<Body>) -> Response {
    let path = "images.generations";
    measured(&face, path, async |meter| {
        let max_bytes = models::max_body_bytes(face.served.plan(), path);
        let (body, taken) = body::whole(request, max_bytes, &face.intake).await?;
        let mut fields = Fields::from_json(&body)?;
        let model = models::find(face.served.plan(), &fields.needed_text("model")?, path)?;
        model.check_body(body.len())?;
        let asked = read(model, fields, Vec::new())?;
        drop(taken);
        send(&face, asked, &meter, "image_generation.completed").await
    })
    .await
}

pub(super) async fn edit(State(face): State<Arc<Face>>, request: HttpRequest<Body>) -> Response {
    let path = "images.edits";
    measured(&face, path, async |meter| {
        let max_bytes = models::max_body_bytes(face.served.plan(), path);
        let (form, bytes, taken) = body::form(request, max_bytes, &face.intake).await?;
        let read = move |face: &Face| {
            let pictures = pictures(form.files)?;
            let mut fields = Fields::from_form(form.texts);
            let model = models::find(face.served.plan(), &fields.needed_text("model")?, path)?;
            model.check_body(bytes)?;
            read(model, fields, pictures)
        };
        let asked = face.prepared(read).await?;
        drop(taken);
        send(&face, asked, &meter, "image_edit.completed").await
    })
    .await
}

/// The files of a form as pictures. One is called `image`, several are called `image[]`.
fn pictures(files: Vec<(String, Bytes)>) -> Result<Vec<Medium>, Refusal> {
    let mut pictures = Vec::new();
    for (name, content) in files {
        let param = match name.as_str() {
            "image" => name,
            "image[]" => format!("image[{}]", pictures.len()),
            "mask" => {
                let message =
                    "'mask' is not taken: graphs have no input for one; say in 'prompt' what to change";
                return Err(Refusal::param("mask", message));
            }
            _ => {
                let message = format!("'{name}' is a file, and only 'image' and 'image[]' are files here");
                return Err(Refusal::param(&name, message));
            }
        };
        pictures.push(Medium { kind: Modality::Image, param, content: Content::Raw(content) });
    }
    if pictures.is_empty() { Err(missing("image")) } else { Ok(pictures) }
}

fn read(model: Model<'_>, mut fields: Fields, pictures: Vec<Medium>) -> Result<Asked, Refusal> {
    let prompt = fields.needed_text("prompt")?;
    fields.word("response_format", &["b64_json"], "pictures are not kept to be fetched later")?;
    let format = format(&mut fields)?;
    let is_streamed = fields.flag("stream")?;
    let mut items = vec![("text", 1), ("image", pictures.len())];
    items.retain(|(_, count)| *count > 0);
    let brought = Brought { items, ..Brought::one(&[]) };
    let choice = model.choose(None, &brought).ok_or_else(|| {
        let param = if pictures.is_empty() { "prompt" } else { "image" };
        model.takes_else(param, None, &brought)
    })?;
    let mut inputs = vec![choice.bring("text", vec![Datum::text(prompt)], "prompt")?];
    if !pictures.is_empty() {
        inputs.push(decoded(&choice, pictures)?);
    }
    let brought = Used::of(inputs.iter().map(|(_, datum)| datum));
    partial(&mut fields, &choice)?;
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
    Ok(Asked { request, brought, format, is_streamed })
}

/// The pictures as an input, counted before any is decoded.
fn decoded(choice: &Choice<'_>, pictures: Vec<Medium>) -> Result<(String, Datum), Refusal> {
    let mut room = Room::new(&choice.model.limits(), &pictures.iter().collect::<Vec<_>>())?;
    let (kind, max) = choice.media_type("image");
    if let Some(over) = pictures.get(max as usize) {
        let param = &over.param;
        let message = format!("'{param}' is one more than the {max} that the model takes");
        return Err(Refusal::param(param, message));
    }
    let kind = kind.medium(Modality::Image);
    let images = pictures.into_iter().map(|picture| picture.read(&kind, &mut room));
    choice.bring("image", images.collect::<Result<_, _>>()?, "image")
}

async fn send(
    face: &Arc<Face>,
    asked: Asked,
    meter: &Meter,
    event: &'static str,
) -> Result<Response, Refusal> {
    let Asked { request, brought, format, is_streamed } = asked;
    let mut outputs = face.ask(request, meter).await?;
    if is_streamed {
        return Ok(events(Pictures { event, brought, format }, outputs));
    }
    let mut made = Vec::new();
    while let Some((_, datum)) = outputs.next().await? {
        made.push(datum);
    }
    let usage = brought.images(&Used::of(&made));
    let encode = move |_: &Face| {
        let pictures = made.iter().flat_map(each);
        pictures.map(|picture| Ok(json!({ "b64_json": encoded(image(picture)?, format)? }))).collect()
    };
    let data: Vec<Value> = face.prepared(encode).await?;
    outputs.end();
    let whole = json!({ "created": now_s(), "data": data, "output_format": name(format), "usage": usage });
    Ok(Json(whole).into_response())
}

/// The pictures of an item: one, or those in a list.
fn each(datum: &Datum) -> &[Datum] {
    if let Datum::List(items) = datum { items } else { std::slice::from_ref(datum) }
}

fn image(datum: &Datum) -> Result<&Image, Refusal> {
    match datum {
        Datum::Image(image) => Ok(image),
        other => Err(Refusal::ours(format!("a picture was asked for, and {} was made", other.word()))),
    }
}

fn encoded(image: &Image, format: Format) -> Result<String, Refusal> {
    let bytes = write_image(image, format).map_err(|error| Refusal::ours(error.to_string()))?;
    Ok(BASE64.encode(bytes))
}

const fn name(format: Format) -> &'static str {
    match format {
        Format::Png => "png",
        Format::Jpeg { .. } => "jpeg",
        Format::WebpLossless => "webp",
    }
}

fn format(fields: &mut Fields) -> Result<Format, Refusal> {
    let name = fields.word("output_format", &["png", "jpeg", "webp"], "that is not written")?;
    let param = "output_compression";
    let number = |value: &Value| match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    let quality = match fields.take(param) {
        None => None,
        Some(said) => match number(&said).filter(|it| (1..=100).contains(it)) {
            Some(number) => Some(number as u8),
            None => return Err(wrong(param, "a whole number from 1 to 100", &said)),
        },
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

/// No graph shows a picture that is not whole, so none of them is what happens anyhow.
fn partial(fields: &mut Fields, choice: &Choice<'_>) -> Result<(), Refusal> {
    let param = "partial_images";
    if choice.knob(param).is_some() {
        return Ok(());
    }
    let Some(said) = fields.take(param) else { return Ok(()) };
    if said == 0 || said == "0" {
        return Ok(());
    }
    let message = format!(
        "'{param}' is {said}, and the model '{}' shows no picture before it is whole: 0 is taken, and with 'stream' each \
         picture is sent as soon as it is made",
        choice.model.name()
    );
    Err(Refusal::param(param, message))
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

/// Pictures as events, each whole.
struct Pictures {
    event: &'static str,
    brought: Used,
    format: Format,
}

impl Say for Pictures {
    fn begin(&mut self) -> Vec<Value> {
        Vec::new()
    }

    fn item(&mut self, _place: usize, datum: &Datum) -> Result<Vec<Value>, Refusal> {
        let event = |picture: &Datum| {
            let image = image(picture)?;
            Ok(json!({
                "type": self.event,
                "b64_json": encoded(image, self.format)?,
                "created_at": now_s(),
                "output_format": name(self.format),
                "size": format!("{}x{}", image.width, image.height),
                "background": "opaque",
                "quality": "auto",
                "usage": self.brought.images(&Used::of([picture])),
            }))
        };
        each(datum).iter().map(event).collect()
    }

    fn end(&mut self) -> Result<Vec<Value>, Refusal> {
        Ok(Vec::new())
    }

    fn says_done(&self) -> bool {
        false
    }
}
