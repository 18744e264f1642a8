//! Reference executors: exact and small, so that every plan runs on any CPU and tests know the
//! answers. What each entry makes is defined by its few lines here.

mod bytes;
pub(crate) mod gpu;
mod shapes;

use std::sync::Arc;

use corn_core::batched::{Batched, Limits};
use corn_core::executor::{CallInput, Executor};
use corn_core::interleaved::Interleaved;
use corn_core::{Audio, Datum, Fault, Image, Tensor};
use corn_device::Gpu;
use corn_plan::catalog::{Entry, EntryPort};
use corn_plan::{Batch, Component};

use bytes::Fill;
use shapes::{ItemWise, Items, Source, Whole};

/// Samples a second of `tone.speak`.
const TONE_RATE_HZ: u32 = 16_000;
/// Most calls of a batch, so that a turn is bounded.
const BATCH_CALLS: u64 = 64;
/// Most ticks of `stream.ticks`, so that no request runs for ever.
const MAX_TICKS: i64 = 1_000_000;

const fn port(name: &'static str, modality: &'static str) -> EntryPort {
    EntryPort::value(name, modality)
}

const fn stream(name: &'static str, modality: &'static str) -> EntryPort {
    EntryPort::stream(name, modality)
}

const fn entry(
    name: &'static str,
    about: &'static str,
    inputs: &'static [EntryPort],
    outputs: &'static [EntryPort],
) -> Entry {
    Entry::new("reference", name, about).ports(inputs, outputs)
}

/// What this executor runs.
pub const ENTRIES: &[Entry] = &[
    entry("text.upper", "The text in capitals.", &[port("text", "text")], &[port("text", "text")]),
    entry(
        "text.words",
        "The words of a text, one by one.",
        &[port("text", "text")],
        &[stream("words", "text")],
    ),
    entry(
        "text.shout",
        "Each text in capitals with '!', a line each.",
        &[stream("text", "text")],
        &[stream("text", "text")],
    ),
    entry("text.count", "The number of words.", &[port("text", "text")], &[port("count", "int")]),
    entry(
        "text.embed",
        "Eight letter statistics, L2-normalised.",
        &[port("text", "text")],
        &[port("embedding", "tensor")],
    ),
    entry(
        "tone.speak",
        "A tone for each text, 10 ms a byte.",
        &[stream("text", "text")],
        &[stream("voice", "audio")],
    ),
    entry(
        "image.mean",
        "The mean red, green and blue, 0..1.",
        &[port("image", "image")],
        &[port("colour", "tensor")],
    ),
    entry("image.invert", "The negative of a picture.", &[port("image", "image")], &[port("image", "image")]),
    entry(
        "video.times",
        "When the frames of a video are shown, in ms.",
        &[port("video", "video")],
        &[port("times", "text")],
    ),
    entry("stream.ticks", "0, 1, 2, … as tensors.", &[port("count", "int")], &[stream("ticks", "tensor")]),
    entry("bytes.fill", "So many bytes, all alike.", &[port("count", "int")], &[port("bytes", "tensor")]),
    entry("bytes.invert", "Each byte inverted.", &[port("bytes", "tensor")], &[port("bytes", "tensor")]),
    entry("bytes.pass", "The same tensor.", &[port("bytes", "tensor")], &[port("bytes", "tensor")]),
    entry("bytes.count", "How many bytes.", &[port("bytes", "tensor")], &[port("count", "int")]),
    entry(
        "stream.sum",
        "The sum of each window.",
        &[stream("windows", "tensor")],
        &[stream("sums", "tensor")],
    ),
];

/// Loads `component`, whose entry is one of [`ENTRIES`], to work on `gpu` if there is one.
pub(crate) fn load(component: &Component, gpu: Option<Arc<Gpu>>) -> Result<Box<dyn Executor>, Fault> {
    let Component { batch, .. } = component;
    if let Some(gpu) = gpu {
        return gpu::load(component, gpu);
    }
    let max = batch.max;
    Ok(match component.entry.as_str() {
        "text.upper" => whole(batch, LIGHT, |text| Datum::text(as_text(text).to_uppercase())),
        "text.words" => source(max, |text| Ok(words(text))),
        "text.shout" => {
            item_wise(max, LIGHT, |text| Ok(Datum::text(format!("{}!\n", as_text(text).to_uppercase()))))
        }
        "text.count" => {
            whole(batch, LIGHT, |text| Datum::Int(as_text(text).split_whitespace().count() as i64))
        }
        "text.embed" => whole(batch, LIGHT, |text| Datum::Tensor(embed(as_text(text)).into())),
        "tone.speak" => item_wise(max, !LIGHT, |text| Ok(Datum::Audio(tone(as_text(text)).into()))),
        "image.mean" => whole(batch, !LIGHT, mean_colour),
        "image.invert" => whole(batch, !LIGHT, invert),
        "video.times" => whole(batch, LIGHT, times),
        "stream.ticks" => source(max, ticks),
        "bytes.fill" => Box::new(Interleaved::new(Fill::default(), max)),
        "bytes.invert" => whole(batch, !LIGHT, bytes::invert),
        "bytes.pass" => whole(batch, LIGHT, Datum::clone),
        "bytes.count" => whole(batch, LIGHT, |tensor| Datum::Int(tensor.bytes() as i64)),
        "stream.sum" => item_wise(max, LIGHT, sum),
        other => return Err(Fault::setup(format!("the reference executor has no entry {other:?}"))),
    })
}

/// Light unless it makes much: pictures and sounds take a thread of their own.
const LIGHT: bool = true;

fn whole(batch: &Batch, is_light: bool, make: fn(&Datum) -> Datum) -> Box<dyn Executor> {
    Box::new(Batched::new(Whole::new(make, is_light), Limits::new(*batch, BATCH_CALLS)))
}

fn source(max: u32, make: fn(&Datum) -> Result<Items, Fault>) -> Box<dyn Executor> {
    Box::new(Interleaved::new(Source::new(make), max))
}

fn item_wise(max: u32, is_light: bool, make: fn(&Datum) -> Result<Datum, Fault>) -> Box<dyn Executor> {
    Box::new(Interleaved::new(ItemWise::new(make, is_light), max))
}

/// The first input of a call, which is whole.
fn first(inputs: &[CallInput]) -> Result<Datum, Fault> {
    match inputs.first() {
        Some(CallInput::Value(datum)) => Ok(datum.clone()),
        _ => Err(Fault::component("its first input is not there")),
    }
}

fn as_text(datum: &Datum) -> &str {
    if let Datum::Text(text) = datum { text } else { "" }
}

fn words(text: &Datum) -> Items {
    let words: Vec<Datum> =
        as_text(text).split_whitespace().map(|word| Datum::text(format!("{word} "))).collect();
    Box::new(words.into_iter())
}

fn ticks(count: &Datum) -> Result<Items, Fault> {
    match count {
        Datum::Int(count) if (0..=MAX_TICKS).contains(count) => {
            Ok(Box::new((0..*count).map(|tick| Datum::Tensor(Tensor::from_f32s(&[tick as f32]).into()))))
        }
        Datum::Int(count) => {
            Err(Fault::request(format!("{count} ticks are asked for; 0 to {MAX_TICKS} can be had")))
        }
        other => Err(Fault::component(format!("{} where a count is declared", other.word()))),
    }
}

fn sum(window: &Datum) -> Result<Datum, Fault> {
    let values = if let Datum::Tensor(tensor) = window { tensor.to_f32s() } else { None };
    let values = values.ok_or_else(|| Fault::component("its windows are no f32 tensors"))?;
    Ok(Datum::Tensor(Tensor::from_f32s(&[values.iter().sum()]).into()))
}

/// How often letters of eight classes occur, as a unit vector.
fn embed(text: &str) -> Tensor {
    let mut counts = [0f32; 8];
    for letter in text.bytes() {
        counts[usize::from(letter.to_ascii_lowercase() % 8)] += 1.0;
    }
    let norm = counts.iter().map(|count| count * count).sum::<f32>().sqrt().max(1.0);
    Tensor::from_f32s(&counts.map(|count| count / norm))
}

/// A tone as long as the text, with a pitch that follows its first byte.
fn tone(text: &str) -> Audio {
    let samples = text.len() * TONE_RATE_HZ as usize / 100;
    let pitch_hz = 220.0 + 4.0 * f32::from(text.bytes().next().unwrap_or(0));
    let angle = std::f32::consts::TAU * pitch_hz / TONE_RATE_HZ as f32;
    Audio { rate_hz: TONE_RATE_HZ, samples: (0..samples).map(|n| 0.3 * (n as f32 * angle).sin()).collect() }
}

fn mean_colour(image: &Datum) -> Datum {
    let mut sums = [0u64; 3];
    let mut pixels = 0u64;
    if let Datum::Image(image) = image {
        for pixel in image.rgb.chunks_exact(3) {
            pixels += 1;
            for (sum, channel) in sums.iter_mut().zip(pixel) {
                *sum += u64::from(*channel);
            }
        }
    }
    let mean = sums.map(|sum| sum as f32 / (pixels.max(1) as f32 * 255.0));
    Datum::Tensor(Tensor::from_f32s(&mean).into())
}

fn times(video: &Datum) -> Datum {
    let frames = if let Datum::Video(video) = video { &video.frames[..] } else { &[] };
    let times: Vec<String> = frames.iter().map(|frame| (frame.time_us / 1000).to_string()).collect();
    Datum::text(times.join(" "))
}

fn invert(image: &Datum) -> Datum {
    match image {
        Datum::Image(image) => {
            let rgb = image.rgb.iter().map(|channel| !channel).collect();
            Datum::Image(Image { width: image.width, height: image.height, rgb }.into())
        }
        other => other.clone(),
    }
}
