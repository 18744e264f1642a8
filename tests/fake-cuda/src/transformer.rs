//! The kernels of a transformer, one element after the other. What lies where is said in `engine/device/src/transformer.cu`.

use std::ffi::c_void;
use std::sync::Arc;

use half::f16;

use crate::memory::host;
use crate::stream::Kernel;

/// Tokens of a page.
const PAGE: usize = 32;

/// What a kernel was given.
pub(crate) struct Given(Vec<u64>);

impl Given {
    /// The `count` parameters of a launch: the kernel says how many bytes of each mean something.
    ///
    /// # Safety
    ///
    /// There are as many, each of 64 bits.
    pub(crate) unsafe fn read(parameters: *mut *mut c_void, count: usize) -> Self {
        // SAFETY: as the caller says.
        Self((0..count).map(|index| unsafe { **parameters.add(index).cast::<*const u64>() }).collect())
    }

    fn floats(&self, index: usize) -> At<f32> {
        At(host(self.0[index]).cast())
    }

    fn bytes(&self, index: usize) -> At<u8> {
        At(host(self.0[index]).cast())
    }

    fn halves(&self, index: usize) -> At<f16> {
        At(host(self.0[index]).cast())
    }

    fn ints(&self, index: usize) -> At<u32> {
        At(host(self.0[index]).cast())
    }

    fn int(&self, index: usize) -> usize {
        self.0[index] as u32 as usize
    }

    fn float(&self, index: usize) -> f32 {
        f32::from_bits(self.0[index] as u32)
    }
}

/// Numbers of the device.
#[derive(Clone, Copy)]
struct At<T>(*mut T);

// SAFETY: whoever enqueues work keeps the memory until it is done, and orders who reads and writes.
unsafe impl<T> Send for At<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for At<T> {}

impl<T: Copy> At<T> {
    fn get(self, index: usize) -> T {
        // SAFETY: kernels stay within what they are given.
        unsafe { self.0.add(index).read() }
    }

    fn set(self, index: usize, value: T) {
        // SAFETY: as above.
        unsafe { self.0.add(index).write(value) }
    }
}

/// The work of a kernel on a grid of blocks; `None` if it is none of these.
pub(crate) fn work(name: &[u8], blocks: [usize; 3], parameters: *mut *mut c_void) -> Option<Kernel> {
    // SAFETY: each of these kernels takes so many.
    let given = |count| unsafe { Given::read(parameters, count) };
    if let Some(name) = std::str::from_utf8(name).ok()?.strip_prefix("corn_linear_") {
        let (given, (bits, size)) = (given(9), name.split_once('_')?);
        let bits = bits.parse().ok()?;
        let [over, across] = match size.split_once('x') {
            Some((outputs, rows)) => [outputs.parse().ok()?, rows.parse().ok()?],
            None => [16, size.parse::<usize>().ok()? * 8],
        };
        let (rows, outputs) = (given.int(4), given.int(5));
        assert_eq!(
            blocks,
            [rows.div_ceil(across), outputs.div_ceil(over), 1],
            "blocks cover what is asked for"
        );
        return Some(Arc::new(move || linear(&given, bits)));
    }
    Some(match name {
        b"corn_norm" => {
            let given = given(6);
            Arc::new(move || norm(&given, blocks[0]))
        }
        b"corn_remember" => {
            let given = given(11);
            Arc::new(move || remember(&given, blocks[0]))
        }
        b"corn_gate" => {
            let given = given(3);
            Arc::new(move || gate(&given, blocks[1]))
        }
        _ => {
            let units = name.strip_prefix(b"corn_attention_")?.first()?;
            let (given, width) = (given(10), usize::from(units - b'0') * 32);
            Arc::new(move || attention(&given, blocks[0], width))
        }
    })
}

fn narrow(value: f32) -> f16 {
    f16::from_f32(value.clamp(-65504.0, 65504.0))
}

/// Where an element of rows lies.
fn packed(row: usize, k: usize, width: usize) -> usize {
    let thread = row % 8 * 4 + k % 8 / 2;
    ((row / 8 * (width / 16) + k / 16) * 32 + thread) * 4 + k % 16 / 8 * 2 + k % 2
}

/// The weights of an output, kept as so many bits each.
fn weights(given: &Given, bits: usize, output: usize) -> Vec<f32> {
    let (weights, scales) = (given.bytes(0), given.halves(1));
    let (inputs, alike_log2) = (given.int(6), given.int(8));
    let weight = |input: usize| {
        let tile = output / 16 * (inputs / 16) + input / 16;
        let thread = (tile * 32 + output % 8 * 4 + input % 8 / 2) * bits;
        let (lower, later, odd) = (output % 16 / 8, input % 16 / 8, input % 2);
        let number = match bits {
            16 => return given.halves(0).get(thread / 2 + later * 4 + lower * 2 + odd).to_f32(),
            8 => weights.get(thread + lower * 4 + later * 2 + odd),
            _ => weights.get(thread + odd * 2 + later) >> (lower * 4) & 15,
        };
        let block = output / 16 * ((inputs / 16) >> alike_log2) + ((input / 16) >> alike_log2);
        let at = (block * 16 + output % 8 * 2 + lower) * 2;
        let [scale, offset] = [scales.get(at), scales.get(at + 1)].map(f64::from);
        f16::from_f64(f64::from(number).mul_add(scale, offset)).to_f32()
    };
    (0..inputs).map(weight).collect()
}

fn linear(given: &Given, bits: usize) {
    let (from, to) = (given.halves(2), given.floats(3));
    let (rows, outputs, inputs, adds) = (given.int(4), given.int(5), given.int(6), given.int(7) != 0);
    for output in 0..outputs {
        let weights = weights(given, bits, output);
        for row in 0..rows {
            let product =
                |(input, weight): (usize, &f32)| from.get(packed(row, input, inputs)).to_f32() * weight;
            let sum: f32 = weights.iter().enumerate().map(product).sum();
            let at = row * outputs + output;
            to.set(at, if adds { to.get(at) + sum } else { sum });
        }
    }
}

fn norm(given: &Given, rows: usize) {
    let (from, weight, which, to) = (given.floats(0), given.floats(1), given.ints(2), given.halves(3));
    let (width, epsilon) = (given.int(4), given.float(5));
    for index in 0..rows {
        let row: Vec<f32> = (0..width).map(|k| from.get(which.get(index) as usize * width + k)).collect();
        let mean = row.iter().map(|x| x * x).sum::<f32>() / width as f32;
        let scale = 1.0 / (mean + epsilon).sqrt();
        for (k, x) in row.iter().enumerate() {
            to.set(packed(index, k, width), narrow(x * scale * weight.get(k)));
        }
    }
}

/// Where keys and values of one head and layer begin in a page.
fn page_at(page: usize, layers: usize, layer: usize, heads: usize, head: usize, width: usize) -> usize {
    ((page * layers + layer) * heads + head) * 2 * PAGE * width
}

fn remember(given: &Given, count: usize) {
    let (rows, turns, positions) = (given.floats(0), given.floats(1), given.ints(2));
    let (slots, pages) = (given.ints(3), given.halves(4));
    let [layer, layers, queries, heads, width, rotated] = [5, 6, 7, 8, 9, 10].map(|index| given.int(index));
    for row in 0..count {
        let slot = slots.get(row) as usize;
        for head in 0..queries + 2 * heads {
            let at = (row * (queries + 2 * heads) + head) * width;
            for k in (0..rotated).step_by(2).filter(|_| head < queries + heads) {
                let (sine, cosine) = (positions.get(row) as f32 * turns.get(k / 2)).sin_cos();
                let (one, other) = (rows.get(at + k), rows.get(at + k + 1));
                rows.set(at + k, one * cosine - other * sine);
                rows.set(at + k + 1, one * sine + other * cosine);
            }
            let Some(kept) = head.checked_sub(queries) else { continue };
            let page = page_at(slot / PAGE, layers, layer, heads, kept % heads, width);
            for k in 0..width {
                let place = if kept < heads {
                    (k / 8 * PAGE + slot % PAGE) * 8 + k % 8
                } else {
                    PAGE * width + slot % PAGE * width + k
                };
                pages.set(page + place, narrow(rows.get(at + k)));
            }
        }
    }
}

fn attention(given: &Given, count: usize, width: usize) {
    let (rows, pages, tables) = (given.floats(0), given.halves(1), given.ints(2));
    let (starts, lengths, to) = (given.ints(3), given.ints(4), given.halves(5));
    let [layer, layers, queries, heads] = [6, 7, 8, 9].map(|index| given.int(index));
    let scale = 1.0 / (width as f32).sqrt();
    for row in 0..count {
        for query in 0..queries {
            let at = (row * (queries + 2 * heads) + query) * width;
            let head = query / (queries / heads);
            let page = |token: usize| {
                let page = tables.get(starts.get(row) as usize + token / PAGE) as usize;
                page_at(page, layers, layer, heads, head, width)
            };
            let likeness = |token: usize| {
                let key =
                    |k: usize| pages.get(page(token) + (k / 8 * PAGE + token % PAGE) * 8 + k % 8).to_f32();
                (0..width).map(|k| rows.get(at + k) * key(k)).sum::<f32>() * scale
            };
            let mut shares: Vec<f32> = (0..lengths.get(row) as usize).map(likeness).collect();
            let most = shares.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for share in &mut shares {
                *share = (*share - most).exp();
            }
            let all: f32 = shares.iter().sum();
            for k in 0..width {
                let value =
                    |token: usize| pages.get(page(token) + PAGE * width + token % PAGE * width + k).to_f32();
                let seen: f32 = shares.iter().enumerate().map(|(token, share)| share * value(token)).sum();
                to.set(packed(row, query * width + k, queries * width), narrow(seen / all));
            }
        }
    }
}

fn gate(given: &Given, rows: usize) {
    let (from, to, width) = (given.floats(0), given.halves(1), given.int(2));
    for row in 0..rows {
        for k in 0..width {
            let (gate, up) = (from.get(row * 2 * width + k), from.get((row * 2 + 1) * width + k));
            to.set(packed(row, k, width), narrow(gate / (1.0 + (-gate).exp()) * up));
        }
    }
}
