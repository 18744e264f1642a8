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

use std::slice;

use candle_core::quantized::QTensor;
use candle_core::{Device, Tensor};
use corn_core::Fault;

use super::gguf::{Gguf, Sizes};
use super::placed::Feed as AnyFeed;
use super::quantized::Linear;
use crate::candle::attention::{Looks, Memory};
use crate::candle::dense::Rows;
use crate::candle::files::{Working, brief};
use crate::candle::threads::{Threads, each};

/// Tokens of a prompt that are read in one turn.
pub(super) const CHUNK: usize = 64;

type Feed<'a> = AnyFeed<'a, Memory>;

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
    /// Queries, keys and values.
    projections: Linear,
    attention_output: Linear,
    feed_norm: Vec<f32>,
    /// Gates, and what goes through them.
    gate_up: Linear,
    down: Linear,
}

impl Network {
    /// Reads the weights, to be worked on by `cpus` threads.
    pub(super) fn load(file: &mut Gguf<'_>, cpus: u32) -> Result<Self, Fault> {
        // A single thread is the caller's own: no pool, no hop.
        if cpus <= 1 {
            return Self::read(file, 1);
        }
        let threads = Threads::start(cpus)?;
        let read = threads.run(|| Self::read(file, threads.count()))?;
        Ok(Self { threads: Some(threads), ..read })
    }

    fn read(file: &mut Gguf<'_>, threads: usize) -> Result<Self, Fault> {
        let sizes = file.sizes()?;
        let embedding_shape = [sizes.vocabulary, sizes.hidden];
        let embeddings = file.tensor("token_embd.weight", &embedding_shape)?;
        let output = if file.has("output.weight") {
            linear(file, &[("output.weight".to_owned(), sizes.vocabulary)], sizes.hidden, threads)?
        } else {
            Linear::new(slice::from_ref(&embeddings), threads).map_err(|error| file.wrong(brief(&error)))?
        };
        let layers = (0..sizes.layers)
            .map(|index| Layer::load(file, &sizes, index, threads))
            .collect::<Result<_, _>>()?;
        let norm = file.floats("output_norm.weight", sizes.hidden)?;
        let turns = turns(file, &sizes)?;
        Ok(Self { sizes, threads: None, embeddings, layers, norm, output, turns })
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

    /// As [`super::placed::Network::forward`].
    pub(super) fn forward(&self, feeds: &mut [Feed<'_>]) -> Result<Vec<f32>, Fault> {
        match &self.threads {
            Some(threads) => threads.run(|| self.pass(feeds)),
            None => self.pass(feeds),
        }
    }

    fn pass(&self, feeds: &mut [Feed<'_>]) -> Result<Vec<f32>, Fault> {
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
        let heads = self.sizes.heads;
        let normal = self.normalized(rows, &layer.attention_norm);
        let mut projected = layer.projections.forward(&normal)?;
        let mut queries = Rows::new(heads.queries * heads.width, Vec::new());
        // First every key and value is remembered, then every row looks back as far as itself.
        let mut row = 0;
        for feed in feeds.iter_mut() {
            for offset in 0..feed.tokens.len() {
                let position = feed.memory.tokens() + offset;
                let (query, rest) = projected.row_mut(row).split_at_mut(queries.width);
                let (key, value) = rest.split_at_mut(heads.key_values * heads.width);
                self.rotate(query, position);
                self.rotate(key, position);
                queries.data.extend_from_slice(query);
                feed.memory.remember(index, heads, key, value);
                row += 1;
            }
        }
        let mut seen = Rows::new(queries.width, vec![0.0; queries.data.len()]);
        let (mut looking, mut seeing) = (&queries.data[..], &mut seen.data[..]);
        let mut parts = Vec::new();
        for feed in feeds.iter() {
            let of_feed = feed.tokens.len() * queries.width;
            let (queries, output);
            (queries, looking) = looking.split_at(of_feed);
            (output, seeing) = seeing.split_at_mut(of_feed);
            let first = feed.memory.tokens() + 1;
            parts.extend(feed.memory.attention(index, heads, queries, first, output));
        }
        each(parts, Looks::run);
        rows.add(&layer.attention_output.forward(&seen)?);
        Ok(())
    }

    fn feed_forward(&self, layer: &Layer, rows: &mut Rows) -> candle_core::Result<()> {
        let normal = self.normalized(rows, &layer.feed_norm);
        let both = layer.gate_up.forward(&normal)?;
        let mut inner = Rows::new(both.width / 2, Vec::with_capacity(both.data.len() / 2));
        for both in both.data.chunks_exact(both.width) {
            let (gates, ups) = both.split_at(inner.width);
            inner.data.extend(gates.iter().zip(ups).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up));
        }
        rows.add(&layer.down.forward(&inner)?);
        Ok(())
    }

    fn logits(&self, feeds: &[Feed<'_>], rows: &Rows) -> candle_core::Result<Vec<f32>> {
        let mut end = 0;
        let mut wanted = Vec::new();
        for feed in feeds {
            end += feed.tokens.len();
            if feed.wants_logits {
                wanted.extend_from_slice(rows.row(end - 1));
            }
        }
        let last = self.normalized(&Rows::new(rows.width, wanted), &self.norm);
        Ok(self.output.forward(&last)?.data)
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
        let mut part = |names: &[(&str, usize)], inputs| {
            let names = names.iter().map(|(name, outputs)| (format!("blk.{index}.{name}.weight"), *outputs));
            linear(file, &names.collect::<Vec<_>>(), inputs, threads)
        };
        let projections =
            part(&[("attn_q", queries), ("attn_k", key_values), ("attn_v", key_values)], hidden)?;
        let attention_output = part(&[("attn_output", hidden)], queries)?;
        let gate_up = part(&[("ffn_gate", inner), ("ffn_up", inner)], hidden)?;
        let down = part(&[("ffn_down", hidden)], inner)?;
        let attention_norm = file.floats(&format!("blk.{index}.attn_norm.weight"), hidden)?;
        let feed_norm = file.floats(&format!("blk.{index}.ffn_norm.weight"), hidden)?;
        Ok(Self { attention_norm, projections, attention_output, feed_norm, gate_up, down })
    }

    fn bytes(&self) -> u64 {
        [&self.projections, &self.attention_output, &self.gate_up, &self.down]
            .into_iter()
            .map(Linear::bytes)
            .sum()
    }
}

/// A layer of one or more tensors, each with its outputs.
fn linear(
    file: &mut Gguf<'_>,
    names: &[(String, usize)],
    inputs: usize,
    threads: usize,
) -> Result<Linear, Fault> {
    let weights = names.iter().map(|(name, outputs)| file.tensor(name, &[*outputs, inputs]));
    let weights = weights.collect::<Result<Vec<_>, _>>()?;
    Linear::new(&weights, threads)
        .map_err(|error| file.wrong(format_args!("tensor {} cannot be used ({})", names[0].0, brief(&error))))
}

/// Wave lengths grow geometrically; Llama 3.1 and later stretch them by a factor for each pair.
pub(super) fn turns(file: &mut Gguf<'_>, sizes: &Sizes) -> Result<Vec<f32>, Fault> {
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
