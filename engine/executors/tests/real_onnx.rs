//! Runs the ONNX executors on real weights.
//!
//! `common` fetches the weights, and says so, loudly, where they are out of reach.
#![cfg(feature = "onnx")]
#![allow(clippy::unwrap_used, reason = "the functions that tests share may fail like tests")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use corn_core::executor::{Call, CallId, CallInput, Executor, Model, Report, Turn};
use corn_core::interleaved::Interleaved;
use corn_core::{Audio, Blame, Datum, Fault, Image};
use corn_executors::onnx::runtime::{LIBRARY_VARIABLE, library_source};
use corn_executors::onnx::{speak, style};
use corn_plan::Literal;

use common::{fetch, skip, standard_weights, tell};

/// The library that these models run in, or `None`, said aloud, out of reach.
fn library() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(LIBRARY_VARIABLE) {
        return Some(path.into());
    }
    let source = library_source();
    if source.is_none() {
        skip(&format!("no ONNX Runtime is pinned for this machine; set {LIBRARY_VARIABLE} to one"));
    }
    fetch(&source?)
}

fn speaker(options: &[(&str, Literal)]) -> Option<speak::Speaker> {
    let files = BTreeMap::from([
        ("voice".to_owned(), standard_weights("joe")?),
        ("lexicon".to_owned(), standard_weights("us_english")?),
    ]);
    Some(speak::load(&files, &given(options), 2, Some(&library()?)).unwrap())
}

fn given(options: &[(&str, Literal)]) -> BTreeMap<String, Literal> {
    options.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn style_file() -> Option<BTreeMap<String, PathBuf>> {
    let path = standard_weights("multistyle26")?;
    Some(BTreeMap::from([("weights".to_owned(), path)]))
}

/// Runs one call to its end and gives what it emitted on output 0.
fn run<M: Model>(
    executor: &mut Interleaved<M>,
    inputs: Vec<CallInput>,
    items: &[&str],
) -> Result<Vec<Datum>, Fault> {
    let id = CallId(0);
    executor.start(Call { id, inputs, outputs: vec![Some(1)] });
    for item in items {
        executor.feed(id, 0, Datum::text(*item));
    }
    executor.end(id, 0);
    let mut emitted = Vec::new();
    let mut ended = None;
    while ended.is_none() {
        let before = emitted.len();
        let turn = executor.advance(0, &mut |report| match report {
            Report::Emitted { item, .. } => emitted.push(item),
            Report::Done { .. } => ended = Some(Ok(())),
            Report::Failed { fault, .. } => ended = Some(Err(fault)),
            Report::Took { .. } | Report::Used { .. } | Report::Batch { .. } => {}
        });
        if emitted.len() > before {
            executor.grant(id, 0, 1);
        }
        assert!(turn == Turn::Busy || ended.is_some(), "a call with all its input must not stall");
    }
    ended.unwrap().map(|()| emitted)
}

fn sounds(items: Vec<Datum>) -> Vec<Arc<Audio>> {
    items
        .into_iter()
        .map(|item| match item {
            Datum::Audio(audio) => audio,
            other => panic!("{other:?} is no sound"),
        })
        .collect()
}

#[test]
fn english_text_has_the_sounds_of_the_dictionary() {
    let Some(speaker) = speaker(&[]) else { return };
    let texts = include_str!("real_onnx/sentences.txt").lines().filter(|line| !line.is_empty());
    let table: Vec<String> = texts
        .map(|text| {
            let said = speaker.phonemes(&text.replace("\\n", "\n")).join("\n  ");
            format!("{text}\n  {said}")
        })
        .collect();
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn speech_comes_sentence_by_sentence_and_is_no_noise() {
    let Some(speaker) = speaker(&[]) else { return };
    let mut executor = Interleaved::new(speaker, 2);
    let texts =
        ["Good morning, how are you today? I am fine.", " \n", "😀 …", "The meeting starts at 3:30 pm."];
    let started = Instant::now();
    let sounds = sounds(run(&mut executor, vec![CallInput::Stream], &texts).unwrap());
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(sounds.len(), 3, "one for each sentence, none for white space and symbols");
    let mut spoken_s = 0.0;
    for sound in &sounds {
        assert_eq!(sound.rate_hz, 22_050);
        let spoken = sound.samples.len() as f64 / 22_050.0;
        assert!((0.5..6.0).contains(&spoken), "{spoken} s");
        let (pause, voiced) = (4410, sound.samples.len() - 4410);
        assert!(
            sound.samples[voiced..].iter().all(|sample| *sample == 0.0),
            "ends in {pause} silent samples"
        );
        let power: f32 = sound.samples[..voiced].iter().map(|sample| sample * sample).sum();
        let level = (power / voiced as f32).sqrt();
        assert!((0.01..0.5).contains(&level), "level {level}");
        assert!(sound.samples.iter().all(|sample| sample.abs() <= 1.0));
        spoken_s += spoken;
    }
    tell(&format!(
        "speech: {spoken_s:.1} s of sound in {seconds:.2} s, real-time factor {:.3}",
        seconds / spoken_s
    ));
}

#[test]
fn without_noise_the_voice_repeats_itself_and_speed_makes_it_shorter() {
    let say = |options: &[(&str, Literal)]| {
        let mut executor = Interleaved::new(speaker(options)?, 1);
        let text = CallInput::Value(Datum::text("The same words, again and again."));
        Some(sounds(run(&mut executor, vec![text], &[]).unwrap()))
    };
    let Some(first) = say(&[("noise", Literal::Int(0))]) else { return };
    assert_eq!(Some(&first), say(&[("noise", Literal::Float(0.0))]).as_ref());
    let fast = say(&[("noise", Literal::Int(0)), ("speed", Literal::Float(2.0))]).unwrap();
    let ratio = first[0].samples.len() as f64 / fast[0].samples.len() as f64;
    assert!((1.5..2.3).contains(&ratio), "{ratio}");
}

#[test]
fn any_text_is_read_to_its_end() {
    let Some(speaker) = speaker(&[]) else { return };
    let noise: String = (0..4000u32).filter_map(|c| char::from_u32(c * 7 % 0x3000)).collect();
    let texts = [
        "a".repeat(5000),
        "word ".repeat(1000),
        "1".repeat(3000),
        "1,".repeat(500),
        "((((((((((".repeat(50),
        "$ % & 5$ $5 %5 -5- '' '' \"\" ' '90s 'tis #1 @me ...".to_owned(),
        "é ü ß 你好 مرحبا Привет 12٣ ½ ²".to_owned(),
        "**`_~[](<&;".repeat(100),
        noise,
    ];
    for text in &texts {
        for clause in speaker.phonemes(text) {
            assert!(clause.chars().count() <= 400, "a step must be bounded: {}", clause.chars().count());
        }
    }
}

#[test]
fn wrong_options_and_files_are_setup_faults() {
    let Some(library) = library() else { return };
    let Some(lexicon) = standard_weights("us_english") else { return };
    let Some(voice) = standard_weights("joe") else { return };
    let Some(style) = style_file() else { return };
    let broken = tempfile::tempdir().unwrap();
    std::fs::write(broken.path().join("a.onnx"), b"no model").unwrap();
    std::fs::copy(voice.join("en_US-joe-medium.onnx.json"), broken.path().join("a.onnx.json")).unwrap();
    let other = tempfile::tempdir().unwrap();
    std::fs::copy(&style["weights"], other.path().join("a.onnx")).unwrap();
    std::fs::copy(voice.join("en_US-joe-medium.onnx.json"), other.path().join("a.onnx.json")).unwrap();

    let fault = |voice: &Path, lexicon: &Path, options: &[(&str, Literal)]| {
        let files =
            BTreeMap::from([("voice".to_owned(), voice.into()), ("lexicon".to_owned(), lexicon.into())]);
        speak::load(&files, &given(options), 1, Some(&library)).map(|_| ()).unwrap_err()
    };
    let restyle_fault = |options: &[(&str, Literal)], files: &BTreeMap<String, PathBuf>| {
        style::load(files, &given(options), 1, Some(&library)).map(|_| ()).unwrap_err()
    };
    let faults = [
        fault(&voice, &lexicon, &[("speed", Literal::Int(9))]),
        fault(&voice, &lexicon, &[("noise", Literal::Bool(true))]),
        fault(&voice, broken.path(), &[]),
        fault(broken.path(), &lexicon, &[]),
        fault(other.path(), &lexicon, &[]),
        fault(Path::new("/nowhere"), &lexicon, &[]),
        restyle_fault(&[("style", Literal::Int(26))], &style),
        restyle_fault(&[], &BTreeMap::new()),
        restyle_fault(&[], &BTreeMap::from([("weights".to_owned(), broken.path().join("a.onnx"))])),
    ];
    assert!(faults.iter().all(|fault| fault.blame == Blame::Setup));
    let messages: Vec<String> = faults.iter().map(|fault| fault.message.clone()).collect();
    let text = messages
        .join("\n")
        .replace(&broken.path().display().to_string(), "BROKEN")
        .replace(&other.path().display().to_string(), "OTHER");
    insta::assert_snapshot!(text);
}

fn photo(width: u32, height: u32) -> Image {
    let pixel = |at: u32| {
        let (x, y) = (at % width, at / width);
        [(x * 255 / width) as u8, (y * 255 / height) as u8, if (x / 16 + y / 16) % 2 == 0 { 220 } else { 40 }]
    };
    Image { width, height, rgb: (0..width * height).flat_map(pixel).collect() }
}

fn restyle(
    executor: &mut Interleaved<style::Restyler>,
    photo: Image,
    style: Option<i64>,
) -> Result<Image, Fault> {
    let style = style.map_or(CallInput::Absent, |style| CallInput::Value(Datum::Int(style)));
    let items = run(executor, vec![CallInput::Value(Datum::Image(Arc::new(photo))), style], &[])?;
    match &items[..] {
        [Datum::Image(image)] => Ok(Image::clone(image)),
        other => panic!("{other:?} is not one picture"),
    }
}

#[test]
fn a_photo_is_repainted_in_its_own_size() {
    let Some(files) = style_file() else { return };
    let Some(library) = library() else { return };
    let options = given(&[("style", Literal::Int(3))]);
    let mut executor = Interleaved::new(style::load(&files, &options, 2, Some(&library)).unwrap(), 1);
    let original = photo(360, 240);
    let started = Instant::now();
    let default = restyle(&mut executor, original.clone(), None).unwrap();
    tell(&format!("restyle: 360×240 in {:.2} s", started.elapsed().as_secs_f64()));
    assert_eq!((default.width, default.height, default.rgb.len()), (360, 240, 360 * 240 * 3));
    assert_eq!(default, restyle(&mut executor, original.clone(), Some(3)).unwrap(), "3 is the default");
    let other = restyle(&mut executor, original.clone(), Some(19)).unwrap();
    let distance = |one: &Image, two: &Image| {
        let sum: u64 = one.rgb.iter().zip(&two.rgb).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum / one.rgb.len() as u64
    };
    assert!(distance(&default, &other) > 10, "styles differ");
    assert!(distance(&default, &original) > 10, "and differ from the photo");
    for (width, height) in [(1, 1), (3, 70), (33, 31), (1100, 40)] {
        let image = restyle(&mut executor, photo(width, height), None).unwrap();
        assert_eq!((image.width, image.height), (width, height));
        assert_eq!(image.rgb.len(), (width * height * 3) as usize);
    }
    let fault = restyle(&mut executor, photo(40, 40), Some(26)).unwrap_err();
    assert_eq!(fault.blame, Blame::Request);
    insta::assert_snapshot!(fault.message, @"style 26 does not exist: this network has the styles 0 to 25");
    let empty = Image { width: 0, height: 0, rgb: Vec::new().into() };
    assert_eq!(restyle(&mut executor, empty, None).unwrap_err().blame, Blame::Request);
}
