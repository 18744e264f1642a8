//! Linear layers over candle's quantised products.
//!
//! Two things are added to what candle gives:
//!
//! - **A row comes out the same in any company.** Conversations are decoded together, one row each,
//!   and each must get exactly what it gets alone. candle picks some kernels by the number of
//!   rows; [`rows_at_once`] keeps every call to one kernel.
//! - **Formats without a fast kernel are re-encoded while loading** (see [`encoded`]).

use std::ops::Range;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Result, Tensor};

use crate::candle::dense::Rows;
use crate::candle::threads::each;

/// A linear layer without bias, quantised; or several of the same inputs whose outputs lie beside each other: an input
/// is prepared for the product once for all of them.
pub(super) struct Linear {
    inputs: usize,
    outputs: usize,
    /// The weights, split by outputs so that each thread has a part.
    parts: Vec<Part>,
}

/// Some outputs.
struct Part {
    weight: Arc<QTensor>,
    /// Inputs of the weights as they are kept: padded with zeros to whole blocks.
    padded: usize,
}

impl Linear {
    /// A layer of `weights` (`outputs × inputs` each), split into parts for so many threads, and made on the pool that
    /// this is called in.
    pub(super) fn new(weights: &[QTensor], threads: usize) -> Result<Self> {
        let runs = runs(weights)?;
        let ranges = runs
            .iter()
            .flat_map(|run| split(run.outputs, threads).into_iter().map(move |range| (run, range)));
        let parts = each(ranges.collect(), |(run, range)| run.part(range));
        let outputs = runs.iter().map(|run| run.outputs).sum();
        Ok(Self { inputs: runs[0].inputs, outputs, parts: parts.into_iter().collect::<Result<_>>()? })
    }

    /// The product with each row, on the pool that this is called in.
    pub(super) fn forward(&self, rows: &Rows) -> Result<Rows> {
        assert_eq!(rows.width, self.inputs, "rows fit the layer");
        let products = each(self.parts.iter().collect(), |part| part.product(rows));
        let products = products.into_iter().collect::<Result<_>>()?;
        Ok(Rows::new(self.outputs, beside_each_other(products, rows.count())))
    }

    /// Bytes of the weights, counting the second copy that some kernels arrange for themselves.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = |part: &Part| {
            let copies = if is_rearranged(part.weight.dtype(), part.padded) { 2 } else { 1 };
            part.weight.storage_size_in_bytes() as u64 * copies
        };
        self.parts.iter().map(bytes).sum()
    }
}

impl Part {
    fn product(&self, rows: &Rows) -> Result<Vec<f32>> {
        if self.padded == rows.width {
            return product(&self.weight, &rows.data, rows.width);
        }
        let mut padded = vec![0.0; rows.count() * self.padded];
        for (to, from) in padded.chunks_exact_mut(self.padded).zip(rows.data.chunks_exact(rows.width)) {
            to[..rows.width].copy_from_slice(from);
        }
        product(&self.weight, &padded, self.padded)
    }
}

/// Weights of one format, one after the other, as the file has them.
struct Run {
    dtype: GgmlDType,
    inputs: usize,
    outputs: usize,
    bytes: Vec<u8>,
}

/// Puts neighbours of one format together.
fn runs(weights: &[QTensor]) -> Result<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    for weight in weights {
        let (outputs, inputs) = weight.shape().dims2()?;
        let (dtype, bytes) = (weight.dtype(), weight.data()?);
        match runs.last_mut() {
            Some(last) if last.dtype == dtype => {
                assert_eq!(last.inputs, inputs, "layers beside each other take the same");
                last.outputs += outputs;
                last.bytes.extend_from_slice(&bytes);
            }
            _ => runs.push(Run { dtype, inputs, outputs, bytes: bytes.into_owned() }),
        }
    }
    Ok(runs)
}

impl Run {
    /// Some outputs, in a format that has a fast kernel.
    fn part(&self, outputs: Range<usize>) -> Result<Part> {
        let row_bytes = self.inputs / self.dtype.block_size() * self.dtype.type_size();
        let bytes = &self.bytes[outputs.start * row_bytes..outputs.end * row_bytes];
        let storage = QStorage::from_data(bytes.into(), &Device::Cpu, self.dtype)?;
        let (weight, padded) = encoded(QTensor::new(storage, (outputs.len(), self.inputs))?)?;
        Ok(Part { weight: Arc::new(weight), padded })
    }
}

/// Blocks of this many inputs are what the fastest kernels work on.
const BLOCK: usize = 256;

/// The weights in a format that has a fast kernel, and their inputs after padding.
///
/// Q4_1, Q5_0 and Q5_1 have only a scalar loop in candle (2 GMAC/s against 10 to 60), so they
/// become Q8_0: its step is at most 1/254 of a block's largest weight, a tenth of the error that
/// 4 or 5 bits have made already. Half floats become floats, which loses nothing. Where
/// the processor multiplies bytes, Q8_0 is padded with zeros to blocks of 256, which the fastest
/// kernel needs.
fn encoded(weight: QTensor) -> Result<(QTensor, usize)> {
    let inputs = weight.shape().dims2()?.1;
    let target = match weight.dtype() {
        GgmlDType::Q4_1 | GgmlDType::Q5_0 | GgmlDType::Q5_1 => GgmlDType::Q8_0,
        GgmlDType::F16 | GgmlDType::BF16 => GgmlDType::F32,
        other => other,
    };
    let padded =
        if target == GgmlDType::Q8_0 && multiplies_bytes() { inputs.next_multiple_of(BLOCK) } else { inputs };
    if target == weight.dtype() && padded == inputs {
        return Ok((weight, inputs));
    }
    let floats = weight.dequantize(&Device::Cpu)?.pad_with_zeros(1, 0, padded - inputs)?;
    Ok((QTensor::quantize(&floats, target)?, padded))
}

/// Whether the processor has the instructions that candle's kernel of bytes is written for.
fn multiplies_bytes() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni"))
            || (is_x86_feature_detected!("avxvnni") && is_x86_feature_detected!("avx2"))
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// Whether candle keeps a second, rearranged copy of such weights after their first use.
fn is_rearranged(dtype: GgmlDType, inputs: usize) -> bool {
    match dtype {
        GgmlDType::Q4K | GgmlDType::Q6K => true,
        GgmlDType::Q8_0 => {
            cfg!(target_arch = "aarch64") || (inputs.is_multiple_of(BLOCK) && multiplies_bytes())
        }
        GgmlDType::Q4_0 | GgmlDType::Q5K => cfg!(target_arch = "aarch64"),
        _ => false,
    }
}

/// How many rows a product may be given at once so that its kernel does not depend on it.
///
/// On x86 a single row of Q6K goes another way than several, and 32 or more of Q4K may go through
/// AMX tiles. On Arm the kernels differ for rows in fours, so rows go one by one. A test
/// compares the bits for every format.
fn rows_at_once(dtype: GgmlDType) -> Range<usize> {
    match dtype {
        _ if cfg!(target_arch = "aarch64") => 1..2,
        GgmlDType::Q6K => 2..usize::MAX,
        GgmlDType::Q4K => 1..32,
        _ => 1..usize::MAX,
    }
}

/// The product with rows of `width` floats.
fn product(weight: &Arc<QTensor>, rows: &[f32], width: usize) -> Result<Vec<f32>> {
    let Range { start: fewest, end } = rows_at_once(weight.dtype());
    let mut outputs = Vec::new();
    for group in rows.chunks((end - 1).saturating_mul(width)) {
        let count = group.len() / width;
        // A row too few is there twice.
        let input = if count < fewest {
            Tensor::from_vec(group.repeat(fewest), (count * fewest, width), &Device::Cpu)?
        } else {
            Tensor::from_slice(group, (count, width), &Device::Cpu)?
        };
        let mut output = input.apply_op1_no_bwd(&**weight)?.flatten_all()?.to_vec1::<f32>()?;
        output.truncate(output.len() / input.dim(0)? * count);
        if outputs.is_empty() {
            outputs = output;
        } else {
            outputs.append(&mut output);
        }
    }
    Ok(outputs)
}

/// Ranges of outputs for `threads` parts, in whole sixteens, which are the widest kernels' unit.
///
/// What is left over is always a part of its own: its kernel is another one, and which outputs go
/// through it must not depend on the number of threads.
fn split(outputs: usize, threads: usize) -> Vec<Range<usize>> {
    const UNIT: usize = 16;
    let whole = outputs / UNIT * UNIT;
    let each = whole.div_ceil(threads.max(1)).next_multiple_of(UNIT).max(UNIT);
    let mut ranges: Vec<_> = (0..whole).step_by(each).map(|start| start..whole.min(start + each)).collect();
    if whole < outputs {
        ranges.push(whole..outputs);
    }
    ranges
}

/// Products of the parts, put together row by row.
fn beside_each_other(mut products: Vec<Vec<f32>>, rows: usize) -> Vec<f32> {
    if products.len() == 1 {
        return products.remove(0);
    }
    let mut joined = Vec::with_capacity(products.iter().map(Vec::len).sum());
    for row in 0..rows {
        for product in &products {
            let width = product.len() / rows;
            joined.extend_from_slice(&product[row * width..(row + 1) * width]);
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candle::threads::Threads;

    const FORMATS: [GgmlDType; 14] = [
        GgmlDType::F32,
        GgmlDType::F16,
        GgmlDType::BF16,
        GgmlDType::Q4_0,
        GgmlDType::Q4_1,
        GgmlDType::Q5_0,
        GgmlDType::Q5_1,
        GgmlDType::Q8_0,
        GgmlDType::Q2K,
        GgmlDType::Q3K,
        GgmlDType::Q4K,
        GgmlDType::Q5K,
        GgmlDType::Q6K,
        GgmlDType::Q8K,
    ];

    fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
            })
            .collect()
    }

    fn weight(outputs: usize, inputs: usize, dtype: GgmlDType) -> QTensor {
        let floats = Tensor::from_vec(noise(outputs * inputs, 7), (outputs, inputs), &Device::Cpu).unwrap();
        QTensor::quantize(&floats, dtype).unwrap()
    }

    #[test]
    fn a_row_is_the_same_in_any_company() {
        for dtype in FORMATS {
            let layer = Linear::new(&[weight(48, 512, dtype)], 1).unwrap();
            let rows = Rows::new(512, noise(512 * 70, 3));
            let together = layer.forward(&rows).unwrap();
            for index in 0..rows.count() {
                let alone = layer.forward(&Rows::new(512, rows.row(index).to_vec())).unwrap();
                assert_eq!(alone.data, together.row(index), "{dtype:?}, row {index}");
            }
        }
    }

    #[test]
    fn parts_for_threads_give_what_one_gives() {
        let threads = Threads::start(3).unwrap();
        for dtype in [GgmlDType::Q4_1, GgmlDType::Q8_0, GgmlDType::Q6K, GgmlDType::F32] {
            let weight = [weight(104, 512, dtype)];
            let rows = Rows::new(512, noise(512 * 5, 3));
            let one = Linear::new(&weight, 1).unwrap().forward(&rows).unwrap();
            let three = Linear::new(&weight, 3).unwrap();
            let three = threads.run(|| three.forward(&rows)).unwrap();
            assert_eq!(one.data, three.data, "{dtype:?}");
        }
    }

    #[test]
    fn layers_beside_each_other_give_what_each_gives() {
        let threads = Threads::start(2).unwrap();
        // Of one format, and of two.
        for [one, two, three] in [
            [GgmlDType::Q8_0; 3],
            [GgmlDType::Q4K, GgmlDType::Q4K, GgmlDType::Q6K],
            [GgmlDType::F16, GgmlDType::Q4_1, GgmlDType::Q4_1],
        ] {
            let weights = [weight(48, 512, one), weight(32, 512, two), weight(16, 512, three)];
            let rows = Rows::new(512, noise(512 * 3, 3));
            let beside = Linear::new(&weights, 2).unwrap();
            let beside = threads.run(|| beside.forward(&rows)).unwrap();
            let each = weights.map(|weight| Linear::new(&[weight], 1).unwrap().forward(&rows).unwrap());
            for row in 0..rows.count() {
                let each: Vec<f32> = each.iter().flat_map(|layer| layer.row(row).to_vec()).collect();
                assert_eq!(beside.row(row), each, "{one:?} {two:?} {three:?}");
            }
        }
    }

    #[test]
    fn every_format_multiplies_rightly() {
        for dtype in FORMATS {
            // 288 is no multiple of 256: formats of 32 are padded where that helps.
            let inputs = if dtype.block_size() > 32 { 256 } else { 288 };
            let weight = weight(32, inputs, dtype);
            let exact = weight.dequantize(&Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
            let row = noise(inputs, 11);
            let found = Linear::new(&[weight], 1).unwrap().forward(&Rows::new(inputs, row.clone())).unwrap();
            for (found, weights) in found.data.iter().zip(&exact) {
                let expected: f32 = weights.iter().zip(&row).map(|(a, b)| a * b).sum();
                assert!((found - expected).abs() < 0.1, "{dtype:?}: {found} for {expected}");
            }
        }
    }
}
