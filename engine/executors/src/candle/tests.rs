//! MiniLM and Whisper as tiny networks with random weights, and the faults of files that are not
//! what they should be.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use corn_core::executor::{Call, CallId, CallInput, Executor, NoProgress, Report, Turn};
use corn_core::{Audio, Blame, Datum, Fault};
use corn_plan::Batch;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::json;
use tempfile::TempDir;

use super::{ENTRIES, Place, load};

/// Tensors of these shapes with random elements.
fn random(shapes: &[(&str, &[usize])]) -> HashMap<String, Tensor> {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut tensor = |shape: &[usize]| {
        let count = shape.iter().product();
        let elements = (0..count).map(|_| random.next_u32() as f32 / u32::MAX as f32 * 2.0 - 1.0).collect();
        Tensor::from_vec::<_, f32>(elements, shape, &Device::Cpu).unwrap()
    };
    shapes.iter().map(|(name, shape)| ((*name).to_owned(), tensor(shape))).collect()
}

fn write_json(path: &Path, value: &serde_json::Value) {
    fs::write(path, serde_json::to_vec(value).unwrap()).unwrap();
}

/// A tokenizer of whole words, the last ones special.
fn write_tokenizer(path: &Path, words: &[&str], specials: &[&str]) {
    let vocabulary: HashMap<_, _> = words.iter().chain(specials).zip(0..).collect();
    let added: Vec<_> = specials
        .iter()
        .map(|name| {
            json!({"id": vocabulary[name], "content": name, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true})
        })
        .collect();
    write_json(
        path,
        &json!({"version": "1.0", "added_tokens": added, "pre_tokenizer": {"type": "Whitespace"},
            "padding": {"strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": null,
                "pad_id": 0, "pad_type_id": 0, "pad_token": "?"},
            "truncation": {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "?"}}),
    );
}

/// A MiniLM of 8 elements and one layer.
fn write_minilm(folder: &Path) {
    write_tokenizer(&folder.join("tokenizer.json"), &["?", "corn", "grows", "tall"], &["[CLS]", "[SEP]"]);
    write_json(
        &folder.join("config.json"),
        &json!({"model_type": "bert", "hidden_act": "gelu", "hidden_size": 8, "intermediate_size": 16,
            "num_hidden_layers": 1, "num_attention_heads": 2, "layer_norm_eps": 1e-12}),
    );
    let mut shapes: Vec<(&str, &[usize])> = vec![
        ("embeddings.word_embeddings.weight", &[6, 8]),
        ("embeddings.position_embeddings.weight", &[256, 8]),
        ("embeddings.token_type_embeddings.weight", &[2, 8]),
        ("encoder.layer.0.intermediate.dense.weight", &[16, 8]),
        ("encoder.layer.0.intermediate.dense.bias", &[16]),
        ("encoder.layer.0.output.dense.weight", &[8, 16]),
        ("encoder.layer.0.output.dense.bias", &[8]),
    ];
    let norms = ["embeddings", "encoder.layer.0.attention.output", "encoder.layer.0.output"];
    let squares = ["self.query", "self.key", "self.value", "output.dense"];
    let names: Vec<String> = norms
        .iter()
        .flat_map(|norm| ["weight", "bias"].map(|part| format!("{norm}.LayerNorm.{part}")))
        .chain(squares.iter().map(|square| format!("encoder.layer.0.attention.{square}.bias")))
        .collect();
    let weights = squares.map(|square| format!("encoder.layer.0.attention.{square}.weight"));
    shapes.extend(names.iter().map(|name| (name.as_str(), &[8][..])));
    shapes.extend(weights.iter().map(|name| (name.as_str(), &[8, 8][..])));
    candle_core::safetensors::save(&random(&shapes), folder.join("model.safetensors")).unwrap();
}

/// An English Whisper of 8 elements, one layer on each side and four words.
fn write_whisper(folder: &Path) {
    let specials = ["<|endoftext|>", "<|startoftranscript|>", "<|nospeech|>", "<|notimestamps|>"];
    write_tokenizer(&folder.join("tokenizer.json"), &["?", "corn", "grows", "tall"], &specials);
    write_json(
        &folder.join("config.json"),
        &json!({"num_mel_bins": 6, "d_model": 8, "encoder_layers": 1, "encoder_attention_heads": 2,
            "decoder_layers": 1, "decoder_attention_heads": 2, "begin_suppress_tokens": [4]}),
    );
    let mut shapes: Vec<(String, Vec<usize>)> = vec![
        ("model.encoder.conv1.weight".into(), vec![8, 6, 3]),
        ("model.encoder.conv1.bias".into(), vec![8]),
        ("model.encoder.conv2.weight".into(), vec![8, 8, 3]),
        ("model.encoder.conv2.bias".into(), vec![8]),
        ("model.encoder.embed_positions.weight".into(), vec![1500, 8]),
        ("model.decoder.embed_positions.weight".into(), vec![40, 8]),
        ("model.decoder.embed_tokens.weight".into(), vec![8, 8]),
    ];
    let norm = |name: String, shapes: &mut Vec<_>| {
        shapes.extend(["weight", "bias"].map(|part| (format!("{name}.{part}"), vec![8])));
    };
    for half in ["encoder", "decoder"] {
        let layer = format!("model.{half}.layers.0");
        norm(format!("model.{half}.layer_norm"), &mut shapes);
        norm(format!("{layer}.final_layer_norm"), &mut shapes);
        for (name, size) in [("fc1", [32, 8]), ("fc2", [8, 32])] {
            shapes.push((format!("{layer}.{name}.bias"), vec![size[0]]));
            shapes.push((format!("{layer}.{name}.weight"), size.to_vec()));
        }
        for attention in ["self_attn", "encoder_attn"].iter().take(if half == "encoder" { 1 } else { 2 }) {
            norm(format!("{layer}.{attention}_layer_norm"), &mut shapes);
            for name in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                shapes.push((format!("{layer}.{attention}.{name}.weight"), vec![8, 8]));
                if name != "k_proj" {
                    shapes.push((format!("{layer}.{attention}.{name}.bias"), vec![8]));
                }
            }
        }
    }
    let shapes: Vec<(&str, &[usize])> =
        shapes.iter().map(|(name, shape)| (name.as_str(), &shape[..])).collect();
    candle_core::safetensors::save(&random(&shapes), folder.join("model.safetensors")).unwrap();
}

const PLACE: Place = Place { cpus: 1, batch: Batch { max: 4, within_ms: 0 }, gpu: None };

fn folder_of(write: fn(&Path)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    folder
}

fn loaded(entry: &str, folder: &Path) -> Result<Box<dyn Executor>, Fault> {
    let files = BTreeMap::from([("weights".to_owned(), folder.to_owned())]);
    load(entry, &files, &BTreeMap::new(), &PLACE, &NoProgress)
}

/// What calls with these inputs come to, all of them open at once.
fn together(executor: &mut dyn Executor, inputs: &[Datum]) -> Vec<Result<Datum, Fault>> {
    for (id, input) in (0..).zip(inputs) {
        let inputs = vec![CallInput::Value(input.clone())];
        executor.start(Call { id: CallId(id), inputs, outputs: vec![Some(1)] });
    }
    let mut results = BTreeMap::new();
    let mut take = |report| match report {
        Report::Emitted { call, item, .. } => assert!(results.insert(call, Ok(item)).is_none()),
        Report::Failed { call, fault } => drop(results.insert(call, Err(fault))),
        Report::Took { .. } | Report::Used { .. } | Report::Done { .. } | Report::Batch { .. } => {}
    };
    while executor.advance(0, &mut take) == Turn::Busy {}
    assert_eq!(results.len(), inputs.len());
    results.into_values().collect()
}

fn alone(executor: &mut dyn Executor, input: &Datum) -> Result<Datum, Fault> {
    together(executor, std::slice::from_ref(input)).remove(0)
}

fn tone(seconds: usize, step: usize) -> Datum {
    let samples =
        (0..seconds * 16_000).map(|i| if (i / step).is_multiple_of(2) { 0.4 } else { -0.4 }).collect();
    Datum::Audio(Audio { rate_hz: 16_000, samples }.into())
}

#[test]
fn an_embedding_has_length_one_and_is_its_texts_own() {
    let folder = folder_of(write_minilm);
    let mut minilm = loaded("minilm.embed", folder.path()).unwrap();
    // The last is longer than a window, and none is cut or filled up as the tokenizer's file would
    // have it.
    let texts = ["corn", "corn grows tall", "corn grows tall corn grows tall", &"tall corn ".repeat(300)];
    let texts: Vec<Datum> = texts.into_iter().map(Datum::text).collect();
    let embeddings = together(&mut *minilm, &texts);
    for (index, (text, embedding)) in texts.iter().zip(&embeddings).enumerate() {
        let floats = |embedding: &Result<Datum, Fault>| match embedding {
            Ok(Datum::Tensor(tensor)) if tensor.shape == [8] => tensor.to_f32s().unwrap(),
            other => panic!("{other:?}"),
        };
        // Products of more rows may add in another order.
        let (together, alone) = (floats(embedding), floats(&alone(&mut *minilm, text)));
        assert!(together.iter().zip(&alone).all(|(together, alone)| (together - alone).abs() < 1e-5));
        let length: f32 = together.iter().map(|element| element * element).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
        assert!(!embeddings[..index].contains(embedding));
    }
    assert_eq!(alone(&mut *minilm, &Datum::text(" ")).unwrap_err().blame, Blame::Request);
}

#[test]
fn recordings_heard_at_once_come_to_what_each_comes_to_alone() {
    let folder = folder_of(write_whisper);
    let mut whisper = loaded("whisper.transcribe", folder.path()).unwrap();
    let recordings = [tone(2, 20), tone(35, 33), tone(1, 50)];
    let texts = together(&mut *whisper, &recordings);
    for (recording, text) in recordings.iter().zip(&texts) {
        assert_eq!(text, &alone(&mut *whisper, recording));
        assert!(matches!(text, Ok(Datum::Text(_))), "{text:?}");
    }
}

#[test]
fn recordings_that_cannot_be_heard_are_refused_and_silent_ones_are_empty() {
    let folder = folder_of(write_whisper);
    let mut whisper = loaded("whisper.transcribe", folder.path()).unwrap();
    let sound = |rate_hz, samples: Vec<f32>| Datum::Audio(Audio { rate_hz, samples: samples.into() }.into());
    for (bad, word) in [
        (sound(8000, vec![0.5; 99]), "8000"),
        (sound(16_000, vec![f32::NAN]), "not numbers"),
        (Datum::Int(1), "speech"),
    ] {
        let fault = alone(&mut *whisper, &bad).unwrap_err();
        assert_eq!(fault.blame, Blame::Request);
        assert!(fault.message.contains(word), "{fault}");
    }
    for silent in [sound(16_000, Vec::new()), sound(16_000, vec![0.0; 16_000 * 70])] {
        assert_eq!(alone(&mut *whisper, &silent), Ok(Datum::text("")));
    }
}

#[test]
fn a_folder_that_is_not_the_model_is_a_fault_of_the_set_up_that_names_the_file() {
    for (entry, write) in [("minilm.embed", write_minilm as fn(&Path)), ("whisper.transcribe", write_whisper)]
    {
        for file in ["model.safetensors", "config.json", "tokenizer.json"] {
            for contents in [None, Some(""), Some("{}"), Some("\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{7f}")] {
                let folder = folder_of(write);
                let path = folder.path().join(file);
                match contents {
                    Some(contents) => fs::write(&path, contents).unwrap(),
                    None => fs::remove_file(&path).unwrap(),
                }
                let fault = loaded(entry, folder.path()).err().unwrap();
                assert_eq!(fault.blame, Blame::Setup, "{fault}");
                assert!(fault.message.contains(file), "{fault}");
            }
        }
        let folder = folder_of(write);
        let path = folder.path().join("model.safetensors");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 4]).unwrap();
        assert!(loaded(entry, folder.path()).err().unwrap().message.contains("model.safetensors"));
    }
}

#[test]
fn tensors_of_another_model_are_named() {
    let folder = folder_of(write_minilm);
    let path = folder.path().join("config.json");
    let config = fs::read_to_string(&path).unwrap();
    for (from, to, expected) in [
        ("\"intermediate_size\":16", "\"intermediate_size\":32", "encoder.layer.0.intermediate.dense"),
        ("\"num_hidden_layers\":1", "\"num_hidden_layers\":2", "encoder.layer.1"),
        ("\"hidden_size\":8", "\"hidden_size\":0", "config.json"),
    ] {
        fs::write(&path, config.replace(from, to)).unwrap();
        let fault = loaded("minilm.embed", folder.path()).err().unwrap();
        assert!(fault.message.contains(expected), "{fault}");
    }
}

#[test]
fn every_entry_is_loaded_by_its_name() {
    for entry in ENTRIES {
        let fault = load(entry.name, &BTreeMap::new(), &BTreeMap::new(), &PLACE, &NoProgress).err().unwrap();
        assert_eq!(fault.message, format!("{} needs weights 'weights', which were not given", entry.name));
    }
    let fault = load("llama.chatt", &BTreeMap::new(), &BTreeMap::new(), &PLACE, &NoProgress).err().unwrap();
    assert!(fault.message.contains("llama.chatt") && fault.message.contains("llama.chat,"), "{fault}");
}
