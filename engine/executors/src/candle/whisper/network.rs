//! The Whisper network: 30 s of sound in, tokens of text one after the other out.
//!
//! Radford et al., *Robust Speech Recognition via Large-Scale Weak Supervision*
//! (<https://arxiv.org/abs/2212.04356>); names of tensors are those of Hugging Face `transformers`.
//! Everything that a call changes is in its [`Listened`].

use candle_core::Result;
use corn_core::Fault;

use super::Sizes;
use crate::candle::attention::{Heads, Looks, Memory, attend_all};
use crate::candle::dense::{Affine, LayerNorm, Rows, gelu};
use crate::candle::files::{Tensors, brief};

/// Moments that the encoder hears at once: 30 s, 50 a second.
const FRAMES: usize = 1500;
/// Tokens that a window must have place for: four open a transcript, and half of all are its text.
const FEWEST_TOKENS: usize = 16;
/// Added to variances by the norms.
const EPSILON: f32 = 1e-5;

/// The shared, unchanging part of a recogniser.
pub(super) struct Network {
    sizes: Sizes,
    first_convolution: Affine,
    second_convolution: Affine,
    encoder_positions: Rows,
    encoder: Vec<Block>,
    encoder_norm: LayerNorm,
    /// Rows of tokens on the way in; the same rows weigh the tokens on the way out.
    tokens: Affine,
    decoder_positions: Rows,
    decoder: Vec<Block>,
    decoder_norm: LayerNorm,
}

/// What a call has heard of its window, and written of it.
pub(super) struct Listened {
    /// The decoder's look at itself.
    written: Memory,
    /// The decoder's look at the sound.
    heard: Memory,
}

/// One layer of encoder or decoder.
struct Block {
    attention_norm: LayerNorm,
    attention: Attention,
    /// Only in the decoder: its look at the sound.
    hearing: Option<(LayerNorm, Attention)>,
    norm: LayerNorm,
    up: Affine,
    down: Affine,
}

struct Attention {
    query: Affine,
    key: Affine,
    value: Affine,
    output: Affine,
}

impl Network {
    pub(super) fn take(tensors: &mut Tensors, sizes: Sizes) -> std::result::Result<Self, Fault> {
        let width = sizes.width;
        let layers = |tensors: &mut Tensors, half: &str, count| {
            (0..count)
                .map(|index| Block::take(tensors, &format!("model.{half}.layers.{index}"), width))
                .collect::<std::result::Result<Vec<_>, _>>()
        };
        let first_convolution = convolution(tensors, "model.encoder.conv1", width, sizes.bands)?;
        let second_convolution = convolution(tensors, "model.encoder.conv2", width, width)?;
        let encoder_positions = tensors.rows("model.encoder.embed_positions.weight", width)?;
        if encoder_positions.count() != FRAMES {
            return Err(tensors.wrong(format_args!("it does not hear {FRAMES} moments at once")));
        }
        let encoder = layers(tensors, "encoder", sizes.encoder_layers)?;
        let encoder_norm = LayerNorm::take(tensors, "model.encoder.layer_norm", width, EPSILON)?;
        let Some(&[vocabulary, _]) = tensors.dims("model.decoder.embed_tokens.weight") else {
            return Err(tensors.wrong("it has no usable tensor model.decoder.embed_tokens.weight"));
        };
        let tokens = Affine::take_unbiased(tensors, "model.decoder.embed_tokens", vocabulary, width)?;
        let decoder_positions = tensors.rows("model.decoder.embed_positions.weight", width)?;
        if decoder_positions.count() < FEWEST_TOKENS {
            return Err(tensors.wrong(format_args!("it writes fewer than {FEWEST_TOKENS} tokens")));
        }
        let decoder = layers(tensors, "decoder", sizes.decoder_layers)?;
        let decoder_norm = LayerNorm::take(tensors, "model.decoder.layer_norm", width, EPSILON)?;
        Ok(Self {
            sizes,
            first_convolution,
            second_convolution,
            encoder_positions,
            encoder,
            encoder_norm,
            tokens,
            decoder_positions,
            decoder,
            decoder_norm,
        })
    }

    /// Tokens that one window can be written in, the opening ones included.
    pub(super) fn most_tokens(&self) -> usize {
        self.decoder_positions.count()
    }

    /// How many tokens there are.
    pub(super) fn vocabulary(&self) -> usize {
        self.tokens.outputs()
    }

    /// Hears 30 s of sound: 3000 rows of bands.
    pub(super) fn listen(&self, bands: &Rows) -> Result<Listened> {
        let mut rows = self.first_convolution.forward(&with_neighbours(bands, 1))?;
        gelu(&mut rows.data);
        let mut rows = self.second_convolution.forward(&with_neighbours(&rows, 2))?;
        gelu(&mut rows.data);
        rows.add(&self.encoder_positions);
        for block in &self.encoder {
            block.encode(&mut rows, self.sizes.encoder_heads)?;
        }
        let rows = self.encoder_norm.forward(&rows);
        let heads = self.heads();
        let mut heard = Memory::new(self.decoder.len(), heads);
        for (index, block) in self.decoder.iter().enumerate() {
            if let Some((_, hearing)) = &block.hearing {
                let (keys, values) = (hearing.key.forward(&rows)?, hearing.value.forward(&rows)?);
                for frame in 0..FRAMES {
                    heard.remember(index, heads, keys.row(frame), values.row(frame));
                }
            }
        }
        heard.advance(FRAMES);
        Ok(Listened { written: Memory::new(self.decoder.len(), heads), heard })
    }

    /// Reads the next token that was written; the row that the one after it is chosen from.
    pub(super) fn read(&self, listened: &mut Listened, token: u32) -> Result<Rows> {
        let position = listened.written.tokens();
        let mut rows = Rows::new(self.sizes.width, self.tokens.weights_of(token)?);
        for (element, place) in rows.data.iter_mut().zip(self.decoder_positions.row(position)) {
            *element += place;
        }
        for (index, block) in self.decoder.iter().enumerate() {
            block.decode(&mut rows, index, self.heads(), listened)?;
        }
        listened.written.advance(1);
        Ok(self.decoder_norm.forward(&rows))
    }

    /// The logits of the token after a row.
    pub(super) fn logits(&self, row: &Rows) -> Result<Vec<f32>> {
        Ok(self.tokens.forward(row)?.data)
    }

    fn heads(&self) -> Heads {
        let heads = self.sizes.decoder_heads;
        Heads { queries: heads, key_values: heads, width: self.sizes.width / heads }
    }
}

impl Block {
    fn take(tensors: &mut Tensors, name: &str, width: usize) -> std::result::Result<Self, Fault> {
        let hears = tensors.dims(&format!("{name}.encoder_attn.q_proj.weight")).is_some();
        let hearing = if hears {
            let norm = LayerNorm::take(tensors, &format!("{name}.encoder_attn_layer_norm"), width, EPSILON)?;
            Some((norm, Attention::take(tensors, &format!("{name}.encoder_attn"), width)?))
        } else {
            None
        };
        Ok(Self {
            attention_norm: LayerNorm::take(
                tensors,
                &format!("{name}.self_attn_layer_norm"),
                width,
                EPSILON,
            )?,
            attention: Attention::take(tensors, &format!("{name}.self_attn"), width)?,
            hearing,
            norm: LayerNorm::take(tensors, &format!("{name}.final_layer_norm"), width, EPSILON)?,
            up: Affine::take(tensors, &format!("{name}.fc1"), width * 4, width)?,
            down: Affine::take(tensors, &format!("{name}.fc2"), width, width * 4)?,
        })
    }

    fn encode(&self, rows: &mut Rows, heads: usize) -> Result<()> {
        let normal = self.attention_norm.forward(rows);
        let Attention { query, key, value, output } = &self.attention;
        let (queries, keys) = (query.forward(&normal)?, key.forward(&normal)?);
        let seen = attend_all(heads, queries, &keys, &value.forward(&normal)?)?;
        rows.add(&output.forward(&seen)?);
        self.feed_forward(rows)
    }

    fn decode(&self, rows: &mut Rows, index: usize, heads: Heads, listened: &mut Listened) -> Result<()> {
        let Listened { written, heard } = listened;
        let normal = self.attention_norm.forward(rows);
        let keys = self.attention.key.forward(&normal)?;
        let values = self.attention.value.forward(&normal)?;
        written.remember(index, heads, &keys.data, &values.data);
        let seen = self.attention.look(&normal, written, index, heads, written.tokens() + 1)?;
        rows.add(&seen);
        if let Some((norm, hearing)) = &self.hearing {
            let seen = hearing.look(&norm.forward(rows), heard, index, heads, FRAMES)?;
            rows.add(&seen);
        }
        self.feed_forward(rows)
    }

    fn feed_forward(&self, rows: &mut Rows) -> Result<()> {
        let mut inner = self.up.forward(&self.norm.forward(rows))?;
        gelu(&mut inner.data);
        rows.add(&self.down.forward(&inner)?);
        Ok(())
    }
}

impl Attention {
    fn take(tensors: &mut Tensors, name: &str, width: usize) -> std::result::Result<Self, Fault> {
        Ok(Self {
            query: Affine::take(tensors, &format!("{name}.q_proj"), width, width)?,
            key: Affine::take_unbiased(tensors, &format!("{name}.k_proj"), width, width)?,
            value: Affine::take(tensors, &format!("{name}.v_proj"), width, width)?,
            output: Affine::take(tensors, &format!("{name}.out_proj"), width, width)?,
        })
    }

    /// One row's look at the first `tokens` of a memory.
    fn look(&self, row: &Rows, memory: &Memory, index: usize, heads: Heads, tokens: usize) -> Result<Rows> {
        let query = self.query.forward(row)?;
        let mut seen = vec![0.0; row.width];
        memory.attention(index, heads, &query.data, tokens, &mut seen).for_each(Looks::run);
        self.output.forward(&Rows::new(row.width, seen))
    }
}

/// A convolution over three rows is a linear layer over them side by side.
fn convolution(
    tensors: &mut Tensors,
    name: &str,
    outputs: usize,
    inputs: usize,
) -> std::result::Result<Affine, Fault> {
    let weight = tensors.take(&format!("{name}.weight"), &[outputs, inputs, 3])?;
    let bias = tensors.floats(&format!("{name}.bias"), outputs)?;
    let weight = weight.transpose(1, 2).and_then(|weight| weight.reshape((outputs, 3 * inputs)));
    Ok(Affine::new(weight.map_err(|error| tensors.wrong(brief(&error)))?, bias))
}

/// Every `stride`th row with the one before and the one after it beside it; beyond the ends are
/// zeros.
fn with_neighbours(rows: &Rows, stride: usize) -> Rows {
    let nothing = vec![0.0; rows.width];
    let mut data = Vec::with_capacity(rows.data.len() * 3 / stride);
    for middle in (0..rows.count()).step_by(stride) {
        data.extend_from_slice(if middle == 0 { &nothing } else { rows.row(middle - 1) });
        data.extend_from_slice(rows.row(middle));
        data.extend_from_slice(if middle + 1 == rows.count() { &nothing } else { rows.row(middle + 1) });
    }
    Rows::new(rows.width * 3, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_beside_their_neighbours() {
        let rows = Rows::new(1, vec![1.0, 2.0, 3.0, 4.0]);
        assert_eq!(
            with_neighbours(&rows, 1).data,
            [0.0, 1.0, 2.0, 1.0, 2.0, 3.0, 2.0, 3.0, 4.0, 3.0, 4.0, 0.0]
        );
        assert_eq!(with_neighbours(&rows, 2).data, [0.0, 1.0, 2.0, 2.0, 3.0, 4.0]);
    }
}
