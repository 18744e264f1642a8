//! Whisper from CTranslate2 to the names and configuration of Hugging Face's `transformers`.
//!
//! Every weight has the same layout in both, so bytes are copied as they are, in the type they
//! have. CTranslate2 joins the projections of an attention into one matrix, query, key, value one
//! below the other; they are cut apart. It gives the keys a bias of zeros, which Whisper has not.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::ctranslate2::{self, Model};
use super::tensors::{self, Tensor};
use super::{ConvertError, first_bytes};
use crate::work::Work;

const MODEL: &str = "model.bin";
const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "config.json";
/// Size of a configuration that is read.
const MAX_CONFIG_BYTES: u64 = 4 << 20;
/// Vocabularies from this size on have languages.
const MULTILINGUAL_VOCABULARY: u64 = 51_865;
/// Exact GELU, in CTranslate2's numbering of activations.
const GELU: i64 = 3;

/// A folder with a CTranslate2 model of Whisper and its tokenizer.
pub(crate) fn recognise(path: &Path) -> io::Result<bool> {
    if !path.is_dir() || !path.join(MODEL).is_file() || !path.join(TOKENIZER).is_file() {
        return Ok(false);
    }
    let start = first_bytes(&path.join(MODEL), 64)?;
    Ok(ctranslate2::specification(&start).is_some_and(|name| name == "WhisperSpec"))
}

/// Writes `model.safetensors`, `config.json` and `tokenizer.json`.
pub(crate) fn convert(path: &Path, target: &Path, work: &Work<'_>) -> Result<(), ConvertError> {
    let source = path.join(MODEL);
    let model = ctranslate2::read(&source)?;
    let tensors = rename(&model)?;
    let config = configuration(&model, &read_config(&path.join(CONFIG))?)?;
    tensors::write(&source, &tensors, &target.join("model.safetensors"), work)?;
    let config_path = target.join(CONFIG);
    let text = serde_json::to_string_pretty(&config).expect("a JSON value is JSON") + "\n";
    fs::write(&config_path, text).map_err(|error| ConvertError::Disk(config_path, error))?;
    let tokenizer = target.join(TOKENIZER);
    fs::copy(path.join(TOKENIZER), &tokenizer).map(drop).map_err(|error| ConvertError::Disk(tokenizer, error))
}

/// Every tensor under its name in `transformers`.
fn rename(model: &Model) -> Result<BTreeMap<String, Tensor>, ConvertError> {
    if let Some(&activation) =
        model.scalars.get("decoder/activation").filter(|activation| **activation != GELU)
    {
        return Err(ConvertError::content(format!(
            "it has activation {activation} where Whisper has GELU ({GELU})"
        )));
    }
    let mut renamed = BTreeMap::new();
    // Numbers with a fraction are settings too, of which Whisper needs none.
    for (name, tensor) in model.tensors.iter().filter(|(_, tensor)| !tensor.shape.is_empty()) {
        if matches!(tensor.element.name, "I8" | "I16" | "I32") {
            let reason = format!(
                "'{name}' is quantised ({}); take a float16 or float32 conversion",
                tensor.element.name
            );
            return Err(ConvertError::content(reason));
        }
        for (new, piece) in translate(name, tensor)? {
            renamed.insert(new, piece);
        }
    }
    Ok(renamed)
}

/// The tensors that `name` becomes: one, or the projections that it joins.
fn translate(name: &str, tensor: &Tensor) -> Result<Vec<(String, Tensor)>, ConvertError> {
    let unknown = || ConvertError::content(format!("'{name}' is no variable of Whisper"));
    let parts: Vec<&str> = name.split('/').collect();
    let (half @ ("encoder" | "decoder"), rest) =
        parts.split_first().map(|(half, rest)| (*half, rest)).ok_or_else(unknown)?
    else {
        return Err(unknown());
    };
    let one = |new: String| Ok(vec![(format!("model.{half}.{new}"), tensor.clone())]);
    match *rest {
        [conv @ ("conv1" | "conv2"), part @ ("weight" | "bias")] => one(format!("{conv}.{part}")),
        ["position_encodings", "encodings"] => one("embed_positions.weight".into()),
        ["embeddings", "weight"] => one("embed_tokens.weight".into()),
        ["layer_norm", part] => one(format!("layer_norm.{}", norm(part).ok_or_else(unknown)?)),
        [layer, "ffn", linear, part] if linear != "layer_norm" => {
            let fc = match linear {
                "linear_0" => "fc1",
                "linear_1" => "fc2",
                _ => return Err(unknown()),
            };
            one(format!("{}.{fc}.{part}", self::layer(layer).ok_or_else(unknown)?))
        }
        [layer, block, "layer_norm", part] => {
            let norm = norm(part).ok_or_else(unknown)?;
            let block = match block {
                "ffn" => "final_layer_norm",
                "self_attention" => "self_attn_layer_norm",
                "attention" => "encoder_attn_layer_norm",
                _ => return Err(unknown()),
            };
            one(format!("{}.{block}.{norm}", self::layer(layer).ok_or_else(unknown)?))
        }
        [layer, block, linear, part @ ("weight" | "bias")] => {
            let (attention, projections): (_, &[&str]) = match (block, linear) {
                ("self_attention", "linear_0") => ("self_attn", &["q_proj", "k_proj", "v_proj"]),
                ("self_attention", "linear_1") => ("self_attn", &["out_proj"]),
                ("attention", "linear_0") => ("encoder_attn", &["q_proj"]),
                ("attention", "linear_1") => ("encoder_attn", &["k_proj", "v_proj"]),
                ("attention", "linear_2") => ("encoder_attn", &["out_proj"]),
                _ => return Err(unknown()),
            };
            let layer = self::layer(layer).ok_or_else(unknown)?;
            let pieces = cut(name, tensor, projections.len() as u64)?;
            let named = projections
                .iter()
                .zip(pieces)
                .filter(|(projection, _)| !(**projection == "k_proj" && part == "bias"));
            Ok(named
                .map(|(projection, piece)| {
                    (format!("model.{half}.{layer}.{attention}.{projection}.{part}"), piece)
                })
                .collect())
        }
        _ => Err(unknown()),
    }
}

/// `layer_3` → `layers.3`.
fn layer(part: &str) -> Option<String> {
    let number: u32 = part.strip_prefix("layer_")?.parse().ok()?;
    Some(format!("layers.{number}"))
}

fn norm(part: &str) -> Option<&'static str> {
    match part {
        "gamma" => Some("weight"),
        "beta" => Some("bias"),
        _ => None,
    }
}

/// Cuts `tensor` along its first dimension into `count` equal pieces.
fn cut(name: &str, tensor: &Tensor, count: u64) -> Result<Vec<Tensor>, ConvertError> {
    let uneven =
        || ConvertError::content(format!("'{name}' of shape {:?} is not {count} projections", tensor.shape));
    let rows = tensor.shape.first().copied().filter(|rows| rows % count == 0).ok_or_else(uneven)? / count;
    let mut shape = tensor.shape.clone();
    shape[0] = rows;
    let piece = Tensor { shape, ..tensor.clone() };
    let bytes =
        piece.elements().and_then(|elements| elements.checked_mul(piece.element.bytes)).ok_or_else(uneven)?;
    Ok((0..count).map(|index| Tensor { offset: tensor.offset + index * bytes, ..piece.clone() }).collect())
}

fn read_config(path: &Path) -> Result<Value, ConvertError> {
    let bytes = match fs::File::open(path) {
        Ok(_) => first_bytes(path, MAX_CONFIG_BYTES).map_err(|error| ConvertError::reading(path, error))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Value::Null),
        Err(error) => return Err(ConvertError::reading(path, error)),
    };
    serde_json::from_slice(&bytes)
        .map_err(|error| ConvertError::content(format!("its {CONFIG} is no JSON ({error})")))
}

/// The configuration in `transformers`' words: sizes from the tensors' shapes, tokens to suppress
/// from CTranslate2's own configuration.
fn configuration(model: &Model, config: &Value) -> Result<Value, ConvertError> {
    let extent = |name: &str, axis: usize| {
        let shape = model.tensors.get(name).map(|tensor| &tensor.shape);
        shape
            .and_then(|shape| shape.get(axis).copied())
            .ok_or_else(|| ConvertError::content(format!("it has no '{name}' of {} dimensions", axis + 1)))
    };
    let scalar = |name: &str| {
        let value = model.scalars.get(name).copied().filter(|value| *value > 0);
        value.ok_or_else(|| ConvertError::content(format!("it does not say '{name}'")))
    };
    let layers = |half: &str| {
        let is_first =
            |name: &&String| name.starts_with(half) && name.ends_with("/self_attention/linear_0/weight");
        model.tensors.keys().filter(is_first).count()
    };
    let tokens = |name: &str| -> Vec<u64> {
        config[name].as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
    };
    let vocabulary = extent("decoder/embeddings/weight", 0)?;
    let mut settings = json!({
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "torch_dtype": match model.tensors["decoder/embeddings/weight"].element.name {
            "F16" => "float16",
            "BF16" => "bfloat16",
            _ => "float32",
        },
        "activation_function": "gelu",
        "num_mel_bins": extent("encoder/conv1/weight", 1)?,
        "max_source_positions": extent("encoder/position_encodings/encodings", 0)?,
        "max_target_positions": extent("decoder/position_encodings/encodings", 0)?,
        "d_model": extent("decoder/embeddings/weight", 1)?,
        "vocab_size": vocabulary,
        "encoder_layers": layers("encoder/"),
        "encoder_attention_heads": scalar("encoder/num_heads")?,
        "encoder_ffn_dim": extent("encoder/layer_0/ffn/linear_0/weight", 0)?,
        "decoder_layers": layers("decoder/"),
        "decoder_attention_heads": scalar("decoder/num_heads")?,
        "decoder_ffn_dim": extent("decoder/layer_0/ffn/linear_0/weight", 0)?,
        "scale_embedding": false,
        "is_multilingual": vocabulary >= MULTILINGUAL_VOCABULARY,
        "suppress_tokens": tokens("suppress_ids"),
        "begin_suppress_tokens": tokens("suppress_ids_begin"),
    });
    // A conversion is the same to the byte, whoever changes how it is written here.
    settings.sort_all_objects();
    Ok(settings)
}
