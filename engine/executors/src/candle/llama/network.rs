//! The Llama network: rows of tokens in, logits out.
//!
//! One [`forward`](Network::forward) takes tokens of several conversations. Linear layers run once
//! on the rows of all of them; rotation and attention run for each row with its own conversation's
//! [`Memory`]. Weights are shared and never change; everything that a conversation changes is in
//! its memory. So conversations can join and leave at any step.
//!
//! The network is that of the Llama papers (RMS norm before each half, rotary positions,
//! grouped-query attention, SiLU-gated feed-forward); names of tensors and the order of rotated
//! pairs (2i, 2i+1) are those of GGUF files: <https://github.com/ggml-org/llama.cpp>.

use candle_core::quantized::QTensor;
use candle_core::{Device, Tensor};
use corn_core::Fault;
use rayon::prelude::*;

use super::gguf::{Gguf, Sizes};
use super::quantized::Linear;
use crate::candle::attention::Memory;
use crate::candle::dense::Rows;
use crate::candle::files::{Working, brief};
use crate::candle::threads::Threads;

/// The shared, unchanging part of a language model.
pub(super) struct Network {
    sizes: Sizes,
    threads: Option<Threads>,
    embeddings: QTensor,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    output: Linear,
    /// Radians that each rotated pair turns by from one position to the next.
    turns: Vec<f32>,
}

struct Layer {
    attention_norm: Vec<f32>,
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    feed_norm: Vec<f32>,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// The next tokens of one conversation.
pub(super) struct Feed<'a> {
    pub(super) tokens: &'a [u32],
    pub(super) memory: &'a mut Memory,
    /// Whether the logits after the last token are wanted.
    pub(super) wants_logits: bool,
}

impl Network {
    /// Reads the weights, to be worked on by `cpus` threads.
    pub(super) fn load(file: &mut Gguf<'_>, cpus: u32) -> Result<Self, Fault> {
        let sizes = file.sizes()?;
        // A single thread is the caller's own: no pool, no hop.
        let threads = if cpus > 1 { Some(Threads::start(cpus)?) } else { None };
        let count = threads.as_ref().map_or(1, Threads::count);
        let embedding_shape = [sizes.vocabulary, sizes.hidden];
        let embeddings = file.tensor("token_embd.weight", &embedding_shape)?;
        let output = if file.has("output.weight") {
            linear(file, "output.weight", embedding_shape, count)?
        } else {
            Linear::new(&embeddings, count).map_err(|error| file.wrong(brief(&error)))?
        };
        let layers = (0..sizes.layers)
            .map(|index| Layer::load(file, &sizes, index, count))
            .collect::<Result<_, _>>()?;
        let norm = file.floats("output_norm.weight", sizes.hidden)?;
        let turns = turns(file, &sizes)?;
        Ok(Self { sizes, threads, embeddings, layers, norm, output, turns })
    }

    pub(super) fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// A conversation that has read nothing.
    pub(super) fn empty_memory(&self) -> Memory {
        Memory::new(self.sizes.layers, self.sizes.heads)
    }

    /// Bytes of the weights.
    pub(super) fn bytes(&self) -> u64 {
        let layers: u64 = self.layers.iter().map(Layer::bytes).sum();
        layers + self.output.bytes() + self.embeddings.storage_size_in_bytes() as u64
    }

    /// Reads the tokens of each feed into its memory. Gives logits for those that want them.
    ///
    /// Every memory must have room for its tokens within the context. If this fails, the memories are
    /// of no more use.
    pub(super) fn forward(&self, feeds: &mut [Feed<'_>]) -> Result<Vec<Option<Vec<f32>>>, Fault> {
        let mut rows = self.embed(feeds).while_doing("looking up tokens")?;
        for (index, layer) in self.layers.iter().enumerate() {
            self.attend(index, layer, feeds, &mut rows).while_doing("attention")?;
            self.feed_forward(layer, &mut rows).while_doing("a feed-forward layer")?;
        }
        for feed in feeds.iter_mut() {
            feed.memory.advance(feed.tokens.len());
        }
        self.logits(feeds, &rows).while_doing("computing logits")
    }

    fn embed(&self, feeds: &[Feed<'_>]) -> candle_core::Result<Rows> {
        let tokens: Vec<u32> = feeds.iter().flat_map(|feed| feed.tokens.iter().copied()).collect();
        let count = tokens.len();
        let embedded = self.embeddings.embedding(&Tensor::from_vec(tokens, count, &Device::Cpu)?)?;
        Ok(Rows::new(self.sizes.hidden, embedded.flatten_all()?.to_vec1()?))
    }

    fn attend(
        &self,
        index: usize,
        layer: &Layer,
        feeds: &mut [Feed<'_>],
        rows: &mut Rows,
    ) -> candle_core::Result<()> {
        let (heads, threads) = (self.sizes.heads, self.threads.as_ref());
        let normal = self.normalized(rows, &layer.attention_norm);
        let mut queries = layer.query.forward(&normal, threads)?;
        let mut keys = layer.key.forward(&normal, threads)?;
        let values = layer.value.forward(&normal, threads)?;
        // First every key and value is remembered, then every row looks back as far as itself.
        let mut row = 0;
        for feed in feeds.iter_mut() {
            for offset in 0..feed.tokens.len() {
                let position = feed.memory.tokens() + offset;
                self.rotate(queries.row_mut(row), position);
                self.rotate(keys.row_mut(row), position);
                feed.memory.remember(index, heads, keys.row(row), values.row(row));
                row += 1;
            }
        }
        let mut seen = Rows::new(queries.width, vec![0.0; queries.data.len()]);
        let mut looks = looks(feeds, &queries, &mut seen);
        let run =
            |look: &mut Look<'_>| look.memory.attend(index, heads, look.query, look.tokens, look.output);
        if let Some(threads) = threads {
            threads.run(|| looks.par_iter_mut().for_each(run));
        } else {
            looks.iter_mut().for_each(run);
        }
        rows.add(&layer.attention_output.forward(&seen, threads)?);
        Ok(())
    }

    fn feed_forward(&self, layer: &Layer, rows: &mut Rows) -> candle_core::Result<()> {
        let threads = self.threads.as_ref();
        let normal = self.normalized(rows, &layer.feed_norm);
        let mut gate = layer.gate.forward(&normal, threads)?;
        let up = layer.up.forward(&normal, threads)?;
        for (gate, up) in gate.data.iter_mut().zip(&up.data) {
            *gate = *gate / (1.0 + (-*gate).exp()) * up;
        }
        rows.add(&layer.down.forward(&gate, threads)?);
        Ok(())
    }

    fn logits(&self, feeds: &[Feed<'_>], rows: &Rows) -> candle_core::Result<Vec<Option<Vec<f32>>>> {
        let mut end = 0;
        let mut wanted = Vec::new();
        for feed in feeds {
            end += feed.tokens.len();
            if feed.wants_logits {
                wanted.extend_from_slice(rows.row(end - 1));
            }
        }
        let last = self.normalized(&Rows::new(rows.width, wanted), &self.norm);
        let logits = self.output.forward(&last, self.threads.as_ref())?;
        let mut each = logits.data.chunks_exact(logits.width);
        Ok(feeds.iter().map(|feed| feed.wants_logits.then(|| each.next().map(<[f32]>::to_vec))?).collect())
    }

    /// Root-mean-square norm of each row.
    fn normalized(&self, rows: &Rows, weights: &[f32]) -> Rows {
        let mut normal = rows.clone();
        for row in normal.data.chunks_exact_mut(rows.width) {
            let mean = row.iter().map(|x| x * x).sum::<f32>() / row.len() as f32;
            let scale = 1.0 / (mean + self.sizes.epsilon).sqrt();
            for (x, weight) in row.iter_mut().zip(weights) {
                *x *= scale * weight;
            }
        }
        normal
    }

    /// Turns the pairs of every head by what the position asks for.
    fn rotate(&self, row: &mut [f32], position: usize) {
        let turned: Vec<(f32, f32)> =
            self.turns.iter().map(|turn| (position as f32 * turn).sin_cos()).collect();
        for head in row.chunks_exact_mut(self.sizes.heads.width) {
            for (pair, (sin, cos)) in head.chunks_exact_mut(2).zip(&turned) {
                (pair[0], pair[1]) = (pair[0] * cos - pair[1] * sin, pair[0] * sin + pair[1] * cos);
            }
        }
    }
}

impl Layer {
    fn load(file: &mut Gguf<'_>, sizes: &Sizes, index: usize, threads: usize) -> Result<Self, Fault> {
        let Sizes { hidden, inner, heads, .. } = *sizes;
        let queries = heads.queries * heads.width;
        let key_values = heads.key_values * heads.width;
        let mut part = |name: &str, outputs, inputs| {
            linear(file, &format!("blk.{index}.{name}.weight"), [outputs, inputs], threads)
        };
        let query = part("attn_q", queries, hidden)?;
        let key = part("attn_k", key_values, hidden)?;
        let value = part("attn_v", key_values, hidden)?;
        let attention_output = part("attn_output", hidden, queries)?;
        let gate = part("ffn_gate", inner, hidden)?;
        let up = part("ffn_up", inner, hidden)?;
        let down = part("ffn_down", hidden, inner)?;
        let attention_norm = file.floats(&format!("blk.{index}.attn_norm.weight"), hidden)?;
        let feed_norm = file.floats(&format!("blk.{index}.ffn_norm.weight"), hidden)?;
        Ok(Self { attention_norm, query, key, value, attention_output, feed_norm, gate, up, down })
    }

    fn bytes(&self) -> u64 {
        [&self.query, &self.key, &self.value, &self.attention_output, &self.gate, &self.up, &self.down]
            .into_iter()
            .map(Linear::bytes)
            .sum()
    }
}

fn linear(file: &mut Gguf<'_>, name: &str, shape: [usize; 2], threads: usize) -> Result<Linear, Fault> {
    let weight = file.tensor(name, &shape)?;
    Linear::new(&weight, threads)
        .map_err(|error| file.wrong(format_args!("tensor {name} cannot be used ({})", brief(&error))))
}

/// Wave lengths grow geometrically; Llama 3.1 and later stretch them by a factor for each pair.
fn turns(file: &mut Gguf<'_>, sizes: &Sizes) -> Result<Vec<f32>, Fault> {
    let pairs = sizes.rotated / 2;
    let factors = if file.has("rope_freqs.weight") {
        file.floats("rope_freqs.weight", pairs)?
    } else {
        vec![1.0; pairs]
    };
    Ok(factors
        .iter()
        .enumerate()
        .map(|(pair, factor)| sizes.rotation_base.powf(-2.0 * pair as f32 / sizes.rotated as f32) / factor)
        .collect())
}

/// One row's look back at its conversation.
struct Look<'a> {
    memory: &'a Memory,
    /// How many tokens it sees: itself and those before it.
    tokens: usize,
    query: &'a [f32],
    output: &'a mut [f32],
}

fn looks<'a>(feeds: &'a [Feed<'_>], queries: &'a Rows, seen: &'a mut Rows) -> Vec<Look<'a>> {
    let width = queries.width;
    let mut rows = queries.data.chunks_exact(width).zip(seen.data.chunks_exact_mut(width));
    let mut looks = Vec::new();
    for feed in feeds {
        let first = feed.memory.tokens() + 1;
        for (tokens, (query, output)) in (first..first + feed.tokens.len()).zip(&mut rows) {
            looks.push(Look { memory: feed.memory, tokens, query, output });
        }
    }
    looks
}
