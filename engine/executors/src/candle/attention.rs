//! Attention: step by step over what a call has read so far, or all rows over all rows at once.
//!
//! Step by step is plain loops over the call's own [`Memory`]: no tensor of all calls has to be put
//! together, nothing is copied when a token is added, and a row's result depends on its own
//! call alone, bit by bit.

use candle_core::{Device, Result, Tensor};

use super::dense::Rows;

/// Keys and values of one conversation, for every layer and key-value head.
#[derive(Default)]
pub(super) struct Memory {
    /// `layer × key-value heads + head`.
    heads: Vec<Head>,
    /// Tokens remembered.
    tokens: usize,
}

#[derive(Default)]
struct Head {
    /// `tokens × head width`.
    keys: Vec<f32>,
    /// `tokens × head width`.
    values: Vec<f32>,
}

/// How attention is divided into heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heads {
    /// Query heads; a multiple of `key_values`.
    pub(super) queries: usize,
    /// Key-value heads.
    pub(super) key_values: usize,
    /// Elements of a head.
    pub(super) width: usize,
}

impl Memory {
    /// A memory of nothing.
    pub(super) fn new(layers: usize, heads: Heads) -> Self {
        let heads = (0..layers * heads.key_values).map(|_| Head::default()).collect();
        Self { heads, tokens: 0 }
    }

    /// Tokens remembered in every layer.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> u64 {
        self.heads.iter().map(|head| (head.keys.capacity() + head.values.capacity()) as u64 * 4).sum()
    }

    /// Adds the key and value of one token to a layer. [`advance`](Self::advance) follows when
    /// every layer has them.
    pub(super) fn remember(&mut self, layer: usize, heads: Heads, keys: &[f32], values: &[f32]) {
        for index in 0..heads.key_values {
            let part = index * heads.width..(index + 1) * heads.width;
            let head = &mut self.heads[layer * heads.key_values + index];
            head.keys.extend_from_slice(&keys[part.clone()]);
            head.values.extend_from_slice(&values[part]);
        }
    }

    /// Counts `tokens` that every layer has been given.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.tokens += tokens;
    }

    /// Attention of one query row over the first `tokens` tokens of a layer, into `output`.
    pub(super) fn attend(
        &self,
        layer: usize,
        heads: Heads,
        query: &[f32],
        tokens: usize,
        output: &mut [f32],
    ) {
        let group = heads.queries / heads.key_values;
        let mut weights = vec![0.0; tokens];
        let rows = query.chunks_exact(heads.width).zip(output.chunks_exact_mut(heads.width));
        for (index, (query, output)) in rows.enumerate() {
            let head = &self.heads[layer * heads.key_values + index / group];
            head.attend(query, &mut weights, output);
        }
    }
}

impl Head {
    fn attend(&self, query: &[f32], weights: &mut [f32], output: &mut [f32]) {
        let scale = 1.0 / (query.len() as f32).sqrt();
        for (weight, key) in weights.iter_mut().zip(self.keys.chunks_exact(query.len())) {
            *weight = dot(query, key) * scale;
        }
        softmax(weights);
        output.fill(0.0);
        for (weight, value) in weights.iter().zip(self.values.chunks_exact(query.len())) {
            for (output, value) in output.iter_mut().zip(value) {
                *output += weight * value;
            }
        }
    }
}

/// Attention of every query row over every key row, in `heads` heads.
pub(super) fn attend_all(heads: usize, mut queries: Rows, keys: &Rows, values: &Rows) -> Result<Rows> {
    let width = queries.width / heads;
    let scale = 1.0 / (width as f32).sqrt();
    queries.data.iter_mut().for_each(|element| *element *= scale);
    let weights = by_head(&queries, heads)?.matmul(&by_head(keys, heads)?.t()?)?;
    let weights = candle_nn::ops::softmax_last_dim(&weights)?;
    let seen = weights.matmul(&by_head(values, heads)?)?;
    Ok(Rows::new(queries.width, seen.transpose(0, 1)?.flatten_all()?.to_vec1()?))
}

/// `heads × rows × width of a head`.
fn by_head(rows: &Rows, heads: usize) -> Result<Tensor> {
    let tensor = Tensor::from_slice(&rows.data, (rows.count(), heads, rows.width / heads), &Device::Cpu)?;
    tensor.transpose(0, 1)?.contiguous()
}

/// Sixteen sums side by side: a single one would make every addition wait for the one before.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0f32; LANES];
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_blocks.remainder().iter().zip(b_blocks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_blocks.zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

fn softmax(weights: &mut [f32]) {
    let largest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for weight in weights.iter_mut() {
        *weight = (*weight - largest).exp();
        sum += *weight;
    }
    for weight in weights {
        *weight /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: Heads = Heads { queries: 2, key_values: 1, width: 2 };

    #[test]
    fn attention_weighs_values_by_likeness_of_keys() {
        let mut memory = Memory::new(1, HEADS);
        memory.remember(0, HEADS, &[1.0, 0.0], &[10.0, 0.0]);
        memory.remember(0, HEADS, &[0.0, 1.0], &[0.0, 20.0]);
        memory.advance(2);
        let mut output = [0.0; 4];
        // The first query head is all for the first key, the second for neither.
        memory.attend(0, HEADS, &[100.0, 0.0, 0.0, 0.0], 2, &mut output);
        assert!((output[0] - 10.0).abs() < 1e-3 && output[1].abs() < 1e-3, "{output:?}");
        assert!((output[2] - 5.0).abs() < 1e-3 && (output[3] - 10.0).abs() < 1e-3, "{output:?}");
    }

    #[test]
    fn a_query_sees_only_as_many_tokens_as_it_is_told() {
        let mut memory = Memory::new(1, HEADS);
        memory.remember(0, HEADS, &[1.0, 0.0], &[3.0, 4.0]);
        memory.remember(0, HEADS, &[9.0, 9.0], &[500.0, 500.0]);
        let mut output = [0.0; 4];
        memory.attend(0, HEADS, &[1.0, 1.0, 1.0, 1.0], 1, &mut output);
        assert_eq!(output.map(f32::to_bits), [3.0, 4.0, 3.0, 4.0].map(f32::to_bits));
    }

    #[test]
    fn all_at_once_is_the_same_as_row_by_row() {
        let rows = |seed: usize| Rows::new(6, (0..24).map(|i| ((i * seed) % 7) as f32 / 3.0 - 1.0).collect());
        let (queries, keys, values) = (rows(3), rows(5), rows(4));
        let heads = Heads { queries: 2, key_values: 2, width: 3 };
        let mut memory = Memory::new(1, heads);
        for index in 0..4 {
            memory.remember(0, heads, keys.row(index), values.row(index));
        }
        let all = attend_all(2, queries.clone(), &keys, &values).unwrap();
        for index in 0..4 {
            let mut output = [0.0; 6];
            memory.attend(0, heads, queries.row(index), 4, &mut output);
            for (found, expected) in all.row(index).iter().zip(output) {
                assert!((found - expected).abs() < 1e-5, "row {index}");
            }
        }
    }
}
