//! Attention: step by step over what a call has read so far, or all rows over all rows at once.
//!
//! Step by step is plain loops over the call's own [`Memory`]: no tensor of all calls has to be put
//! together, nothing is copied when a token is added, and a row's result depends on its own
//! call alone, bit by bit. The loops go sixteen numbers abreast, in one order on every processor; `pulp`
//! compiles them once for each width of its registers and picks at run time.

#![allow(
    clippy::inline_always,
    reason = "only what is inlined is compiled for the registers that pulp has picked"
)]

use std::array;

use candle_core::{Device, Result, Tensor};

use super::dense::Rows;

/// Tokens of a tile, whose products with a query are made abreast.
const LANES: usize = 16;

/// Tokens whose values are gone through by one query after the other while they are near.
const NEAR: usize = 64;

/// Rows of queries that go through the keys together.
const ROWS: usize = 4;

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
    /// In tiles: `tokens / 16 × head width × 16`. What the last one has room for beyond the tokens says nothing.
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

    /// Tokens whose bytes a memory of so many may take.
    pub(super) fn room(tokens: usize) -> usize {
        tokens.next_multiple_of(LANES)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> u64 {
        self.heads.iter().map(|head| (head.keys.capacity() + head.values.capacity()) as u64 * 4).sum()
    }

    /// Adds the key and value of one token to a layer. [`advance`](Self::advance) follows when
    /// every layer has them.
    pub(super) fn remember(&mut self, layer: usize, heads: Heads, keys: &[f32], values: &[f32]) {
        let heads_of_layer = &mut self.heads[layer * heads.key_values..][..heads.key_values];
        let rows = keys.chunks_exact(heads.width).zip(values.chunks_exact(heads.width));
        for (head, (key, value)) in heads_of_layer.iter_mut().zip(rows) {
            let tile = LANES * heads.width;
            let token = head.values.len() / heads.width;
            if token.is_multiple_of(LANES) {
                head.keys.resize(head.keys.len() + tile, 0.0);
            }
            let last = head.keys.len() - tile;
            for (lanes, element) in head.keys[last..].chunks_exact_mut(LANES).zip(key) {
                lanes[token % LANES] = *element;
            }
            head.values.extend_from_slice(value);
        }
    }

    /// A memory of the first `tokens`.
    pub(super) fn beginning(&self, tokens: usize) -> Self {
        let begin = |head: &Head| {
            let width = head.values.len() / self.tokens.max(1);
            let (keys, values) = (Self::room(tokens) * width, tokens * width);
            Head { keys: head.keys[..keys].to_vec(), values: head.values[..values].to_vec() }
        };
        Self { heads: self.heads.iter().map(begin).collect(), tokens }
    }

    /// Gives back the room that was set aside for more tokens.
    pub(super) fn fit(&mut self) {
        for head in &mut self.heads {
            head.keys.shrink_to_fit();
            head.values.shrink_to_fit();
        }
    }

    /// Counts `tokens` that every layer has been given.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.tokens += tokens;
    }

    /// Attention of query rows over a layer into `output`, which is as wide: the first row sees the first `tokens` tokens,
    /// and each one after it one more. It comes in parts that may be done in any order, also at once.
    pub(super) fn attention<'a>(
        &'a self,
        layer: usize,
        heads: Heads,
        queries: &'a [f32],
        tokens: usize,
        output: &'a mut [f32],
    ) -> impl Iterator<Item = Looks<'a>> {
        let group = heads.queries / heads.key_values * heads.width;
        let layer = &self.heads[layer * heads.key_values..][..heads.key_values];
        let width = heads.queries * heads.width;
        let blocks = queries.chunks(ROWS * width).zip(output.chunks_mut(ROWS * width));
        blocks.enumerate().flat_map(move |(block, (queries, output))| {
            let mut parts: Vec<_> = layer.iter().map(|head| Looks { head, each: Vec::new() }).collect();
            let rows = queries.chunks_exact(width).zip(output.chunks_exact_mut(width));
            for (row, (queries, output)) in rows.enumerate() {
                let tokens = tokens + block * ROWS + row;
                let groups = queries.chunks_exact(group).zip(output.chunks_exact_mut(group));
                for (part, (queries, output)) in parts.iter_mut().zip(groups) {
                    let each = queries.chunks_exact(heads.width).zip(output.chunks_exact_mut(heads.width));
                    part.each.extend(each.map(|(query, output)| Look { tokens, query, output }));
                }
            }
            parts
        })
    }
}

/// Looks of some queries at what one head remembers.
pub(super) struct Looks<'a> {
    head: &'a Head,
    each: Vec<Look<'a>>,
}

/// The look of one query at the first `tokens` tokens.
struct Look<'a> {
    tokens: usize,
    query: &'a [f32],
    output: &'a mut [f32],
}

impl Looks<'_> {
    pub(super) fn run(self) {
        pulp::Arch::new().dispatch(self);
    }
}

impl pulp::NullaryFnOnce for Looks<'_> {
    type Output = ();

    #[inline(always)]
    fn call(mut self) {
        let stride = self.each.iter().map(|look| Memory::room(look.tokens)).max().unwrap_or(0);
        let mut weights = vec![0.0; stride * self.each.len()];
        compare(&self.head.keys, &self.each, &mut weights, stride);
        for (look, weights) in self.each.iter().zip(weights.chunks_exact_mut(stride)) {
            softmax(&mut weights[..look.tokens]);
        }
        gather(&self.head.values, &mut self.each, &weights, stride);
    }
}

/// The likeness of each query to each key. Each key is read once for four queries.
#[inline(always)]
fn compare(keys: &[f32], looks: &[Look<'_>], weights: &mut [f32], stride: usize) {
    let width = looks[0].query.len();
    for (first, tile) in (0..stride).step_by(LANES).zip(keys.chunks_exact(LANES * width)) {
        for (looks, weights) in looks.chunks(4).zip(weights.chunks_mut(4 * stride)) {
            let weights = &mut weights[first..];
            if let [look] = looks {
                likeness([look], tile, weights, stride);
            } else {
                // What is missing of four is the last one again, whose likeness has no place to go to.
                let four: [_; 4] = array::from_fn(|index| &looks[index.min(looks.len() - 1)]);
                likeness(four, tile, weights, stride);
            }
        }
    }
}

#[inline(always)]
fn likeness<const N: usize>(looks: [&Look<'_>; N], tile: &[f32], weights: &mut [f32], stride: usize) {
    let width = looks[0].query.len();
    let scale = 1.0 / (width as f32).sqrt();
    let queries = looks.map(|look| &look.query[..width]);
    let mut sums = [[0.0; LANES]; N];
    for (element, keys) in tile.as_chunks().0.iter().enumerate() {
        for index in 0..N {
            add(&mut sums[index], queries[index][element], keys);
        }
    }
    for (sums, weights) in sums.iter().zip(weights.chunks_mut(stride)) {
        for (weight, sum) in weights.iter_mut().zip(sums) {
            *weight = sum * scale;
        }
    }
}

/// With an index, since the compiler does not see through two iterators here: five times as slow.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "see above")]
fn add(sums: &mut [f32; LANES], times: f32, elements: &[f32; LANES]) {
    for lane in 0..LANES {
        sums[lane] += times * elements[lane];
    }
}

/// The values, each times its weight, added up for each query.
#[inline(always)]
fn gather(values: &[f32], looks: &mut [Look<'_>], weights: &[f32], stride: usize) {
    let width = looks[0].query.len();
    for look in looks.iter_mut() {
        look.output.fill(0.0);
    }
    for (first, values) in (0..).step_by(NEAR).zip(values.chunks(NEAR * width)) {
        for (look, weights) in looks.iter_mut().zip(weights.chunks_exact(stride)) {
            let weights = &weights[first.min(look.tokens)..look.tokens.min(first + NEAR)];
            let (pairs, rest) = look.output.as_chunks_mut::<{ 2 * LANES }>();
            let start = 2 * LANES * pairs.len();
            for (index, pair) in pairs.iter_mut().enumerate() {
                let mut sums = [[0.0; LANES]; 2];
                sums.as_flattened_mut().copy_from_slice(pair);
                for (weight, value) in weights.iter().zip(values.chunks_exact(width)) {
                    let (lanes, _) = value[2 * LANES * index..][..2 * LANES].as_chunks();
                    add(&mut sums[0], *weight, &lanes[0]);
                    add(&mut sums[1], *weight, &lanes[1]);
                }
                pair.copy_from_slice(sums.as_flattened());
            }
            for (weight, value) in weights.iter().zip(values.chunks_exact(width)) {
                for (output, value) in rest.iter_mut().zip(&value[start..]) {
                    *output += weight * value;
                }
            }
        }
    }
}

#[inline(always)]
fn softmax(weights: &mut [f32]) {
    let larger = |one: f32, other: f32| if other > one { other } else { one };
    let mut most = [f32::NEG_INFINITY; LANES];
    let blocks = weights.chunks_exact(LANES);
    let rest = blocks.remainder().iter().copied().fold(f32::NEG_INFINITY, larger);
    for block in blocks {
        for (most, weight) in most.iter_mut().zip(block) {
            *most = larger(*most, *weight);
        }
    }
    let largest = most.into_iter().fold(rest, larger);
    let mut sums = [0.0f32; LANES];
    let mut blocks = weights.chunks_exact_mut(LANES);
    for block in &mut blocks {
        for (sum, weight) in sums.iter_mut().zip(block) {
            *weight = exp(*weight - largest);
            *sum += *weight;
        }
    }
    let mut sum = sums.iter().sum::<f32>();
    for weight in blocks.into_remainder() {
        *weight = exp(*weight - largest);
        sum += *weight;
    }
    let share = 1.0 / sum;
    for weight in weights {
        *weight *= share;
    }
}

/// e to the power of `x`, which is at most 0, to 2e-7 of it: a power of two times a polynomial over what is left, whose
/// coefficients are those of `expf` in Moshier's Cephes library (<https://www.netlib.org/cephes/>). Unlike the standard
/// library's, it can be done abreast.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Added to a number, it leaves whole ones in the lowest bits.
    const WHOLE: f32 = 12_582_912.0;
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + WHOLE;
    let twos = shifted - WHOLE;
    let x = x - twos * (355.0 / 512.0) + twos * 2.121_944_4e-4;
    let mut sum = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        sum = sum * x + coefficient;
    }
    let power = sum * x * x + x + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(WHOLE.to_bits()) << 23;
    f32::from_bits(power.to_bits().wrapping_add(exponent))
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

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: Heads = Heads { queries: 2, key_values: 1, width: 2 };

    /// What rows of queries see of a memory's first layer.
    fn seen(memory: &Memory, heads: Heads, queries: &[f32], tokens: usize) -> Vec<f32> {
        let mut output = vec![f32::NAN; queries.len()];
        memory.attention(0, heads, queries, tokens, &mut output).for_each(Looks::run);
        output
    }

    #[test]
    fn attention_weighs_values_by_likeness_of_keys() {
        let mut memory = Memory::new(1, HEADS);
        memory.remember(0, HEADS, &[1.0, 0.0], &[10.0, 0.0]);
        memory.remember(0, HEADS, &[0.0, 1.0], &[0.0, 20.0]);
        memory.advance(2);
        // The first query head is all for the first key, the second for neither.
        let output = seen(&memory, HEADS, &[100.0, 0.0, 0.0, 0.0], 2);
        assert!((output[0] - 10.0).abs() < 1e-3 && output[1].abs() < 1e-3, "{output:?}");
        assert!((output[2] - 5.0).abs() < 1e-3 && (output[3] - 10.0).abs() < 1e-3, "{output:?}");
    }

    #[test]
    fn a_query_sees_only_as_many_tokens_as_it_is_told() {
        let mut memory = Memory::new(1, HEADS);
        memory.remember(0, HEADS, &[1.0, 0.0], &[3.0, 4.0]);
        memory.remember(0, HEADS, &[9.0, 9.0], &[500.0, 500.0]);
        assert_eq!(seen(&memory, HEADS, &[1.0; 4], 1), [3.0, 4.0, 3.0, 4.0]);
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
            let output = seen(&memory, heads, queries.row(index), 4);
            for (found, expected) in all.row(index).iter().zip(output) {
                assert!((found - expected).abs() < 1e-5, "row {index}");
            }
        }
    }

    /// Numbers between -1 and 1 that look random.
    fn noise(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn attention_is_what_its_formula_says_and_the_same_in_any_company() {
        // Widths with and without a rest; tokens that fill their last tile and that do not.
        for (width, tokens) in [(64, 150), (40, 33), (8, 16), (3, 1)] {
            let heads = Heads { queries: 6, key_values: 2, width };
            let mut memory = Memory::new(1, heads);
            let (keys, values) = (noise(tokens * 2 * width, 1), noise(tokens * 2 * width, 2));
            for (key, value) in keys.chunks_exact(2 * width).zip(values.chunks_exact(2 * width)) {
                memory.remember(0, heads, key, value);
            }
            memory.advance(tokens);
            let rows = tokens.min(9);
            let first = tokens + 1 - rows;
            let queries: Vec<f32> = noise(rows * 6 * width, 3).iter().map(|element| 4.0 * element).collect();
            let together = seen(&memory, heads, &queries, first);
            for (row, query) in queries.chunks_exact(6 * width).enumerate() {
                let found = &together[row * 6 * width..][..6 * width];
                // Alone, of a memory that ends there.
                let known = memory.beginning(first + row);
                assert_eq!(seen(&known, heads, query, first + row), found, "{width}, row {row}");
                let exact = exactly(&keys, &values, query, width, first + row);
                for (found, exact) in found.iter().zip(exact) {
                    assert!((f64::from(*found) - exact).abs() < 1e-6, "{width}, row {row}: {found}, {exact}");
                }
            }
        }
    }

    /// Attention of six heads in three pairs of key-value heads, slowly.
    fn exactly(keys: &[f32], values: &[f32], query: &[f32], width: usize, tokens: usize) -> Vec<f64> {
        let at = |rows: &[f32], token, head, element| f64::from(rows[(token * 2 + head) * width + element]);
        let mut output = Vec::new();
        for (index, query) in query.chunks_exact(width).enumerate() {
            let head = index / 3;
            let likeness = |token| {
                let sum: f64 = (0..width).map(|it| f64::from(query[it]) * at(keys, token, head, it)).sum();
                (sum / (width as f64).sqrt()).exp()
            };
            let weights: Vec<f64> = (0..tokens).map(likeness).collect();
            let sum: f64 = weights.iter().sum();
            output.extend((0..width).map(|it| {
                weights
                    .iter()
                    .enumerate()
                    .map(|(token, weight)| weight / sum * at(values, token, head, it))
                    .sum::<f64>()
            }));
        }
        output
    }

    #[test]
    fn a_power_of_e_is_one() {
        for step in 0..=8700 {
            let x = -(step as f32) / 100.0;
            let (found, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((found - exact).abs() <= 2e-7 * exact, "{x}: {found} for {exact}");
        }
        assert!(exp(f32::NEG_INFINITY) < 2e-38 && exp(f32::NAN).is_nan());
    }
}
