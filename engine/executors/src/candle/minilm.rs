//! `minilm.embed`: a text's place in a space where texts of like meaning are near each other.
//!
//! A BERT encoder as `sentence-transformers` runs it for all-MiniLM-L6-v2: the mean of all tokens'
//! rows, brought to length 1. A text longer than the model reads at once is read in windows, one a
//! batch, and the mean is that of all windows; nothing is left out without a word.
//!
//! The windows of a batch lie one after the other in the rows of every layer. Only attention keeps them apart, window by
//! window, so nothing is filled up to the longest and nothing needs a mask: short texts beside a long one cost what
//! they cost alone, and weights are read once for all of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use corn_core::batched::{BatchModel, Ran};
use corn_core::executor::{CallInput, Progress, Usage};
use corn_core::{Datum, Fault, Tensor as Embedding};
use rayon::prelude::*;
use serde::Deserialize;
use tokenizers::Tokenizer;

use super::attention::attend_all;
use super::dense::{Affine, LayerNorm, Rows, gelu};
use super::files::{self, Tensors, Working};
use super::threads::Threads;

/// The entry's name.
pub(super) const NAME: &str = "minilm.embed";

/// Tokens read at once. The model was trained on no more, though it has positions for 512.
const WINDOW: usize = 256;

/// Most tokens of a batch. More make nothing faster, and a cancel is seen no sooner than the batch is over, which takes
/// the better part of a second on one core.
pub(super) const BATCH_TOKENS: u64 = 1024;

/// What `config.json` says.
#[derive(Deserialize)]
struct Config {
    model_type: String,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    layer_norm_eps: f32,
    hidden_act: String,
}

/// Embeds texts.
pub(super) struct MiniLm {
    network: Network,
    tokenizer: Tokenizer,
    /// What every window begins and ends with.
    marks: [u32; 2],
    threads: Threads,
    bytes: u64,
}

/// One text on its way.
pub(super) struct Reading {
    /// The tokens not yet read, without the marks that every window gets.
    tokens: Vec<u32>,
    /// How many there were.
    count: usize,
    /// The sum of the rows of the tokens read so far.
    sum: Vec<f32>,
}

/// Loads the folder `weights` with `model.safetensors`, `tokenizer.json` and `config.json`.
pub(super) fn load(
    paths: &BTreeMap<String, PathBuf>,
    cpus: u32,
    progress: &dyn Progress,
) -> Result<MiniLm, Fault> {
    let folder = files::required(paths, NAME, "weights")?;
    let config = read_config(&files::member(folder, "config.json"))?;
    let path = files::member(folder, "tokenizer.json");
    let tokenizer = files::read_tokenizer(&path)?;
    let mut tensors = Tensors::read(&files::member(folder, "model.safetensors"), progress)?;
    let bytes = tensors.bytes();
    let network = Network::take(&mut tensors, &config)?;
    let (Some(first), Some(last)) = (tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")) else {
        return Err(files::unusable(&path, "it has no tokens [CLS] and [SEP]"));
    };
    if tokenizer.get_vocab(true).values().any(|token| *token as usize >= network.words.count()) {
        return Err(files::unusable(&path, "it knows more words than the model"));
    }
    Ok(MiniLm { network, tokenizer, marks: [first, last], threads: Threads::start(cpus)?, bytes })
}

fn read_config(path: &Path) -> Result<Config, Fault> {
    let config: Config = serde_json::from_value(files::read_json(path)?).map_err(|error| {
        files::unusable(path, format_args!("it is not the configuration of a BERT model ({error})"))
    })?;
    let Config { hidden_size: width, intermediate_size: inner, num_attention_heads: heads, .. } = config;
    let sizes_fit = heads > 0 && width > 0 && inner > 0 && width.is_multiple_of(heads);
    if config.model_type != "bert" || config.hidden_act != "gelu" || !sizes_fit {
        return Err(files::unusable(path, "it is not the configuration of a BERT model with exact GELU"));
    }
    Ok(config)
}

impl BatchModel for MiniLm {
    type Item = Reading;

    fn prepare(&mut self, inputs: &[CallInput]) -> Result<Reading, Fault> {
        let Some(CallInput::Value(Datum::Text(text))) = inputs.first() else {
            return Err(Fault::request("input 'text' must be a text"));
        };
        if text.trim().is_empty() {
            return Err(Fault::request("the text to embed is empty"));
        }
        let encoding = self
            .tokenizer
            .encode_fast(&**text, false)
            .map_err(|error| Fault::request(format!("the text cannot be split into tokens: {error}")))?;
        let tokens = encoding.get_ids().to_vec();
        Ok(Reading { count: tokens.len(), tokens, sum: Vec::new() })
    }

    fn cost(&self, reading: &Reading) -> u64 {
        reading.next_window() as u64 + 2
    }

    fn run(&mut self, mut batch: Vec<Reading>) -> Vec<Result<Ran<Reading>, Fault>> {
        let [first, last] = self.marks;
        let mut window = |reading: &mut Reading| -> Vec<u32> {
            let tokens = reading.tokens.drain(..reading.next_window());
            std::iter::once(first).chain(tokens).chain(std::iter::once(last)).collect()
        };
        let windows: Vec<Vec<u32>> = batch.iter_mut().map(&mut window).collect();
        match self.threads.run(|| self.network.forward(&windows)).while_doing("embedding texts") {
            Ok(rows) => {
                let read = rows.split(windows.iter().map(Vec::len));
                batch.into_iter().zip(read).map(|(reading, rows)| Ok(reading.add(&rows))).collect()
            }
            Err(fault) => batch.iter().map(|_| Err(fault.clone())).collect(),
        }
    }

    fn memory_bytes(&self) -> u64 {
        self.bytes
    }
}

impl Reading {
    /// Tokens of the window that is read next.
    fn next_window(&self) -> usize {
        self.tokens.len().min(WINDOW - 2)
    }

    /// Adds what its next window has come to.
    fn add(mut self, rows: &Rows) -> Ran<Self> {
        self.sum.resize(rows.width, 0.0);
        for row in rows.data.chunks_exact(rows.width) {
            for (sum, element) in self.sum.iter_mut().zip(row) {
                *sum += element;
            }
        }
        if !self.tokens.is_empty() {
            return Ran::more(self);
        }
        let usage = Usage { prompt_tokens: self.count as u64, ..Usage::default() };
        Ran::done(0, Datum::Tensor(Embedding::from_f32s(&of_length_one(&self.sum)).into())).using(usage)
    }
}

/// The direction of a sum of rows, which is that of their mean.
fn of_length_one(sum: &[f32]) -> Vec<f32> {
    let length = sum.iter().map(|element| element * element).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    sum.iter().map(|element| element / length).collect()
}

/// The encoder.
struct Network {
    heads: usize,
    words: Rows,
    positions: Rows,
    /// The row that is added to every token: what it is to be part of the first text.
    kind: Vec<f32>,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

struct Layer {
    query: Affine,
    key: Affine,
    value: Affine,
    attention_output: Affine,
    attention_norm: LayerNorm,
    up: Affine,
    down: Affine,
    output_norm: LayerNorm,
}

impl Network {
    fn take(tensors: &mut Tensors, config: &Config) -> Result<Self, Fault> {
        let width = config.hidden_size;
        let epsilon = config.layer_norm_eps;
        let words = tensors.rows("embeddings.word_embeddings.weight", width)?;
        let positions = tensors.rows("embeddings.position_embeddings.weight", width)?;
        if positions.count() < WINDOW {
            return Err(tensors.wrong(format_args!("it has fewer than {WINDOW} positions")));
        }
        let kind = tensors.rows("embeddings.token_type_embeddings.weight", width)?.row(0).to_vec();
        let norm = LayerNorm::take(tensors, "embeddings.LayerNorm", width, epsilon)?;
        let layers = (0..config.num_hidden_layers)
            .map(|index| Layer::take(tensors, &format!("encoder.layer.{index}"), config))
            .collect::<Result<_, _>>()?;
        Ok(Self { heads: config.num_attention_heads, words, positions, kind, norm, layers })
    }

    /// One row for each token, window after window.
    fn forward(&self, windows: &[Vec<u32>]) -> candle_core::Result<Rows> {
        let lengths: Vec<usize> = windows.iter().map(Vec::len).collect();
        let mut data = Vec::with_capacity(lengths.iter().sum::<usize>() * self.words.width);
        for (position, token) in windows.iter().flat_map(|window| window.iter().enumerate()) {
            let (word, place) = (self.words.row(*token as usize), self.positions.row(position));
            data.extend(
                word.iter().zip(place).zip(&self.kind).map(|((word, place), kind)| word + place + kind),
            );
        }
        let mut rows = self.norm.forward(&Rows::new(self.words.width, data));
        for layer in &self.layers {
            rows = layer.forward(&rows, &lengths, self.heads)?;
        }
        Ok(rows)
    }
}

impl Layer {
    fn take(tensors: &mut Tensors, name: &str, config: &Config) -> Result<Self, Fault> {
        let (width, inner, epsilon) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let mut square =
            |part: &str| Affine::take(tensors, &format!("{name}.attention.{part}"), width, width);
        let query = square("self.query")?;
        let key = square("self.key")?;
        let value = square("self.value")?;
        let attention_output = square("output.dense")?;
        Ok(Self {
            query,
            key,
            value,
            attention_output,
            attention_norm: LayerNorm::take(
                tensors,
                &format!("{name}.attention.output.LayerNorm"),
                width,
                epsilon,
            )?,
            up: Affine::take(tensors, &format!("{name}.intermediate.dense"), inner, width)?,
            down: Affine::take(tensors, &format!("{name}.output.dense"), width, inner)?,
            output_norm: LayerNorm::take(tensors, &format!("{name}.output.LayerNorm"), width, epsilon)?,
        })
    }

    /// `lengths` says how many of the rows are each window's.
    fn forward(&self, rows: &Rows, lengths: &[usize], heads: usize) -> candle_core::Result<Rows> {
        let split = |rows: &Rows| rows.split(lengths.iter().copied()).collect::<Vec<Rows>>();
        let queries = split(&self.query.forward(rows)?);
        let (keys, values) = (split(&self.key.forward(rows)?), split(&self.value.forward(rows)?));
        let windows = queries.into_par_iter().zip(&keys).zip(&values);
        let seen: Vec<Rows> = windows
            .map(|((queries, keys), values)| attend_all(heads, queries, keys, values))
            .collect::<candle_core::Result<_>>()?;
        let seen = Rows::new(rows.width, seen.into_iter().flat_map(|rows| rows.data).collect());
        let mut attended = self.attention_output.forward(&seen)?;
        attended.add(rows);
        let attended = self.attention_norm.forward(&attended);
        let mut inner = self.up.forward(&attended)?;
        gelu(&mut inner.data);
        let mut output = self.down.forward(&inner)?;
        output.add(&attended);
        Ok(self.output_norm.forward(&output))
    }
}
