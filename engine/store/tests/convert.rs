//! Conversions, on honest and on hostile content, by way of `file(…)`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::PathBuf;

use corn_core::executor::NoProgress;
use corn_store::{StoreError, StoreErrorKind};
use proptest::prelude::*;
use proptest::sample::Index;
use safetensors::SafeTensors;
use serde_json::Value;
use support::pickle::{Pickle, floats, legacy, state_dict};
use support::{Place, archive, file, plain, read, sha256, with_pin};
use zip::CompressionMethod;

const VALUES: [f32; 6] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];

/// A checkpoint with a matrix, the same matrix by columns, and a scalar, of one storage.
fn object() -> Vec<u8> {
    let rows = state_dict().text("rows").tensor("k", 6, 0, &[2, 3], &[3, 1]);
    let columns = rows.text("columns").tensor("k", 6, 0, &[3, 2], &[1, 3]);
    columns.text("scalar").tensor("k", 6, 4, &[], &[]).text("epoch").int(7).op(b"u}b").end()
}

fn convert(place: &Place, bytes: &[u8]) -> Result<PathBuf, StoreError> {
    fs::write(place.path("model.pth"), bytes).unwrap();
    place.store().fetch(&file("model.pth"), &NoProgress)
}

fn tensor(bytes: &[u8], name: &str) -> (Vec<usize>, Vec<u8>) {
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let tensor = tensors.tensor(name).unwrap();
    (tensor.shape().to_vec(), tensor.data().to_vec())
}

#[test]
fn both_layouts_of_torch_give_the_same_tensors() {
    let data = floats(&VALUES);
    let zipped = archive(&[("m/data.pkl", &object()), ("m/data/k", &data)], CompressionMethod::Stored);
    for bytes in [legacy(&object(), &[("k", &VALUES)]), zipped] {
        let place = Place::new();
        let path = convert(&place, &bytes).unwrap();
        assert_eq!(path.file_name().unwrap(), "model.safetensors");
        let made = read(&path);
        assert_eq!(SafeTensors::deserialize(&made).unwrap().len(), 3);
        assert_eq!(tensor(&made, "rows"), (vec![2, 3], floats(&VALUES)));
        assert_eq!(tensor(&made, "columns"), (vec![3, 2], floats(&[0.0, 3.0, 1.0, 4.0, 2.0, 5.0])));
        assert_eq!(tensor(&made, "scalar"), (vec![], floats(&[4.0])));
    }
}

#[test]
fn tensors_are_found_where_checkpoints_keep_them() {
    let inner = Pickle::new().op(b"}(").text("epoch").int(3).text("state_dict");
    let inner = inner.global("collections", "OrderedDict").op(b")R(").text("w").tensor("k", 6, 0, &[6], &[1]);
    let place = Place::new();
    let path = convert(&place, &legacy(&inner.op(b"uu").end(), &[("k", &VALUES)])).unwrap();
    assert_eq!(tensor(&read(path), "w"), (vec![6], floats(&VALUES)));
}

#[test]
fn a_file_is_converted_again_only_when_it_changes() {
    let place = Place::new();
    let path = convert(&place, &legacy(&object(), &[("k", &VALUES)])).unwrap();
    let made = fs::metadata(&path).unwrap().modified().unwrap();
    assert_eq!(place.offline().fetch(&file("model.pth"), &NoProgress).unwrap(), path);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), made);
    let other = convert(&place, &legacy(&object(), &[("k", &[9.0; 6])])).unwrap();
    assert_eq!(tensor(&read(other), "scalar").1, floats(&[9.0]));
}

#[test]
fn files_are_found_checked_and_left_where_they_are() {
    let place = Place::new();
    fs::write(place.path("model.gguf"), "weights").unwrap();
    let store = place.store();
    let fetched = store.fetch_checked(&file("model.gguf"), &NoProgress).unwrap();
    assert_eq!((fetched.path, fetched.sha256, fetched.bytes), (place.path("model.gguf"), None, 7));
    let pinned = with_pin(file("model.gguf"), &sha256(b"weights"));
    assert_eq!(read(store.fetch(&pinned, &NoProgress).unwrap()), b"weights");
    fs::write(place.path("model.gguf"), "changed").unwrap();
    assert_eq!(store.fetch(&pinned, &NoProgress).unwrap_err().kind, StoreErrorKind::Integrity);
    let missing = store.fetch(&file("no.gguf"), &NoProgress).unwrap_err();
    assert_eq!(missing.kind, StoreErrorKind::Missing);
    assert_eq!(store.fetch(&file("~nobody"), &NoProgress).unwrap_err().kind, StoreErrorKind::Missing);
}

#[test]
fn pickles_that_want_more_than_tensors_are_refused_by_name() {
    let whole = legacy(&object(), &[("k", &VALUES)]);
    let one = |pickle: Pickle| legacy(&pickle.op(b"u").end(), &[("k", &VALUES)]);
    let w = || state_dict().text("w");
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a call", one(state_dict().global("os", "system").text("touch evil").op(b"\x85R"))),
        ("an escape", one(state_dict().global("bui\x1b[31mltins", "eval"))),
        ("a name from the stack", one(state_dict().text("posix").text("system").op(b"\x93"))),
        ("an object", one(state_dict().global("collections", "OrderedDict").op(b")\x81"))),
        ("a call of a storage", one(state_dict().global("torch", "FloatStorage").op(b")R"))),
        ("an opcode of another protocol", one(state_dict().op(b"I1\n"))),
        ("no mark", legacy(&Pickle::new().op(b"t.").end(), &[])),
        ("an empty stack", legacy(&Pickle::new().op(b".").end(), &[])),
        ("an unknown memory", legacy(&Pickle::new().op(b"h\x05").end(), &[])),
        ("no tensors", legacy(&Pickle::new().op(b"}").end(), &[])),
        ("a tensor past its storage", one(w().tensor("k", 6, 1, &[6], &[1]))),
        ("strides past it", one(w().tensor("k", 6, 0, &[2, 3], &[4, 1]))),
        ("a tensor blown up by strides of zero", one(w().tensor("k", 6, 0, &[1 << 20, 1 << 20], &[0, 0]))),
        (
            "extents that overflow",
            one(w().tensor("k", 6, 0, &[i32::MAX, i32::MAX, i32::MAX], &[i32::MAX, 1, 1])),
        ),
        ("negative extents", one(w().tensor("k", 6, 0, &[-1], &[1]))),
        (
            "a storage larger than the file",
            legacy(&w().tensor("k", 1 << 30, 0, &[2], &[1]).op(b"u").end(), &[("k", &VALUES)]),
        ),
        ("a storage that is not there", legacy(&w().tensor("k", 6, 0, &[6], &[1]).op(b"u").end(), &[])),
        ("an odd entry", one(w())),
        ("a text longer than the file", legacy(&Pickle::new().op(b"X\xff\xff\xff\xff").end(), &[])),
        ("a cut in the tensors", whole[..whole.len() - 1].to_vec()),
        ("a cut in the pickle", whole[..60].to_vec()),
        ("a nesting without end", legacy(&Pickle::new().op(b")").op(&b"\x85".repeat(5 << 20)).end(), &[])),
    ];
    let texts: Vec<String> = cases
        .iter()
        .map(|(name, bytes)| {
            let place = Place::new();
            let error = convert(&place, bytes).expect_err(name);
            assert_eq!(error.kind, StoreErrorKind::Content, "{name}: {error}");
            assert!(place.store().list().unwrap().is_empty());
            format!("{name}: {}", plain(&error, &place))
        })
        .collect();
    assert!(!std::path::Path::new("evil").exists());
    insta::assert_snapshot!(texts.join("\n"));
}

/// A Whisper of CTranslate2 with one layer of width two on each side.
fn whisper() -> Vec<u8> {
    let mut variables: Vec<(String, Vec<u32>)> = vec![
        ("encoder/conv1/weight".into(), vec![2, 4, 3]),
        ("encoder/conv1/bias".into(), vec![2]),
        ("encoder/position_encodings/encodings".into(), vec![5, 2]),
        ("encoder/layer_norm/gamma".into(), vec![2]),
        ("decoder/embeddings/weight".into(), vec![7, 2]),
        ("decoder/position_encodings/encodings".into(), vec![6, 2]),
    ];
    for half in ["encoder", "decoder"] {
        let mut add =
            |name: &str, shape: &[u32]| variables.push((format!("{half}/layer_0/{name}"), shape.to_vec()));
        add("self_attention/linear_0/weight", &[6, 2]);
        add("self_attention/linear_0/bias", &[6]);
        add("self_attention/linear_1/weight", &[2, 2]);
        add("self_attention/layer_norm/beta", &[2]);
        add("ffn/linear_0/weight", &[8, 2]);
        add("ffn/linear_1/bias", &[2]);
        add("ffn/layer_norm/gamma", &[2]);
    }
    variables.push(("decoder/layer_0/attention/linear_0/weight".into(), vec![2, 2]));
    variables.push(("decoder/layer_0/attention/linear_1/weight".into(), vec![4, 2]));
    variables.push(("decoder/layer_0/attention/linear_1/bias".into(), vec![4]));
    variables.push(("decoder/layer_0/attention/linear_2/weight".into(), vec![2, 2]));
    variables.push(("decoder/layer_0/attention/layer_norm/gamma".into(), vec![2]));
    let mut bytes = 6u32.to_le_bytes().to_vec();
    let name = |bytes: &mut Vec<u8>, name: &str| {
        bytes.extend((name.len() as u16 + 1).to_le_bytes());
        bytes.extend(name.as_bytes());
        bytes.push(0);
    };
    name(&mut bytes, "WhisperSpec");
    bytes.extend(3u32.to_le_bytes());
    bytes.extend((variables.len() as u32 + 2).to_le_bytes());
    for half in ["encoder", "decoder"] {
        name(&mut bytes, &format!("{half}/num_heads"));
        bytes.extend([0, 2, 2, 0, 0, 0, 1, 0]);
    }
    for (index, (variable, shape)) in variables.iter().enumerate() {
        name(&mut bytes, variable);
        bytes.push(shape.len() as u8);
        bytes.extend(shape.iter().flat_map(|extent| extent.to_le_bytes()));
        let count: u32 = shape.iter().product();
        bytes.push(0);
        bytes.extend((count * 4).to_le_bytes());
        bytes.extend((0..count).flat_map(|n| (index as f32 * 100.0 + n as f32).to_le_bytes()));
    }
    bytes.extend(0u32.to_le_bytes());
    bytes
}

fn convert_whisper(place: &Place, bytes: &[u8]) -> Result<PathBuf, StoreError> {
    let folder = place.path("whisper");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("model.bin"), bytes).unwrap();
    fs::write(folder.join("tokenizer.json"), "{}").unwrap();
    fs::write(folder.join("config.json"), r#"{"suppress_ids":[-1,4,5],"suppress_ids_begin":[6]}"#).unwrap();
    place.store().fetch(&file("whisper"), &NoProgress)
}

#[test]
fn whisper_gets_the_names_of_transformers() {
    let place = Place::new();
    let folder = convert_whisper(&place, &whisper()).unwrap();
    let made = read(folder.join("model.safetensors"));
    let tensors = SafeTensors::deserialize(&made).unwrap();
    let mut lines: Vec<String> = tensors
        .iter()
        .map(|(name, tensor)| {
            let first = f32::from_le_bytes(*tensor.data().first_chunk().unwrap());
            format!("{name} {:?} {first}", tensor.shape())
        })
        .collect();
    lines.sort();
    let config: Value = serde_json::from_slice(&read(folder.join("config.json"))).unwrap();
    insta::assert_snapshot!(format!("{}\n{config}", lines.join("\n")));
    assert_eq!(read(folder.join("tokenizer.json")), b"{}");
}

#[test]
fn whispers_that_are_not_whole_are_refused() {
    let whole = whisper();
    // Before this many bytes it is no model of CTranslate2 at all, and left as it is.
    let recognised = 4 + 2 + "WhisperSpec".len() + 1;
    for cut in (recognised..whole.len() - 4).step_by(5) {
        let error = convert_whisper(&Place::new(), &whole[..cut]).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Content, "cut at {cut}: {error}");
    }
    let replace = |from: &str, to: &str| {
        let text: Vec<u8> = whole.clone();
        let at = text.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        [&text[..at], to.as_bytes(), &text[at + from.len()..]].concat()
    };
    let place = Place::new();
    let texts: Vec<String> = [
        replace("decoder/embeddings/weight", "decoder/embeddings/scales"),
        replace("layer_0/self_attention/linear_0", "layer_x/self_attention/linear_0"),
        replace("encoder/num_heads", "encoder/num_tails"),
    ]
    .iter()
    .map(|bytes| plain(&convert_whisper(&place, bytes).unwrap_err(), &place))
    .collect();
    insta::assert_snapshot!(texts.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the bytes, the outcome is a whole safetensors file or an error.
    #[test]
    fn flipped_bytes_never_panic(flips in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6)) {
        let flipped = |mut bytes: Vec<u8>| {
            for (index, value) in &flips {
                let at = index.index(bytes.len());
                bytes[at] = *value;
            }
            bytes
        };
        let place = Place::new();
        let pickle = flipped(legacy(&object(), &[("k", &VALUES)]));
        if let Ok(path) = convert(&place, &pickle) && path.ends_with("model.safetensors") {
            prop_assert!(SafeTensors::deserialize(&read(path)).is_ok());
        }
        let model = flipped(whisper());
        if let Ok(folder) = convert_whisper(&place, &model) && folder != place.path("whisper") {
            prop_assert!(SafeTensors::deserialize(&read(folder.join("model.safetensors"))).is_ok());
        }
    }
}
