//! Blocks of quantised weights, as GGUF files have them, taken apart into numbers with scales and offsets for a GPU.
//!
//! What a block means is defined by <https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c>.

use std::array::from_fn;

use candle_core::quantized::{GgmlDType, QTensor};
use corn_device::transformer::{Block, Form, Numbers};
use half::f16;

/// How a GPU keeps weights that a file has as `dtype`.
pub(super) const fn form(dtype: GgmlDType) -> Form {
    match dtype {
        GgmlDType::Q4_0 | GgmlDType::Q4_1 | GgmlDType::Q4K => Form::Fours(Block::Of32),
        GgmlDType::Q5_0 | GgmlDType::Q5_1 | GgmlDType::Q8_0 | GgmlDType::Q5K => Form::Eights(Block::Of32),
        GgmlDType::Q6K => Form::Eights(Block::Of16),
        _ => Form::Halves,
    }
}

/// The weights of a tensor that is not kept as halves.
pub(super) fn numbers(tensor: &QTensor) -> candle_core::Result<Numbers> {
    let dtype = tensor.dtype();
    let (take, form): (fn(&[u8], &mut Numbers), _) = match dtype {
        GgmlDType::Q4_0 => (q4_0, form(dtype)),
        GgmlDType::Q4_1 => (q4_1, form(dtype)),
        GgmlDType::Q5_0 => (q5_0, form(dtype)),
        GgmlDType::Q5_1 => (q5_1, form(dtype)),
        GgmlDType::Q8_0 => (q8_0, form(dtype)),
        GgmlDType::Q4K => (q4_k, form(dtype)),
        GgmlDType::Q5K => (q5_k, form(dtype)),
        GgmlDType::Q6K => (q6_k, form(dtype)),
        other => candle_core::bail!("{other:?} is kept as halves"),
    };
    let count = tensor.shape().elem_count();
    let blocks = match form {
        Form::Halves => 0,
        Form::Eights(block) | Form::Fours(block) => count / block.inputs() as usize,
    };
    let mut numbers =
        Numbers { form, numbers: Vec::with_capacity(count), scales: Vec::with_capacity(blocks) };
    for block in tensor.data()?.chunks_exact(dtype.type_size()) {
        take(block, &mut numbers);
    }
    Ok(numbers)
}

fn half(block: &[u8], at: usize) -> f16 {
    f16::from_le_bytes([block[at], block[at + 1]])
}

fn times(scale: f16, times: i16) -> f16 {
    f16::from_f32(scale.to_f32() * f32::from(times))
}

/// The lower halves of all bytes, then the upper.
fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().map(|byte| byte & 15).chain(bytes.iter().map(|byte| byte >> 4))
}

/// The bit of each of 32 weights that is kept apart.
fn fifth(bits: &[u8], weight: usize) -> u8 {
    (bits[weight / 8] >> (weight % 8) & 1) << 4
}

fn q4_0(block: &[u8], to: &mut Numbers) {
    let scale = half(block, 0);
    to.scales.push([scale, times(scale, -8)]);
    to.numbers.extend(nibbles(&block[2..]));
}

fn q4_1(block: &[u8], to: &mut Numbers) {
    to.scales.push([half(block, 0), half(block, 2)]);
    to.numbers.extend(nibbles(&block[4..]));
}

fn q5_0(block: &[u8], to: &mut Numbers) {
    let scale = half(block, 0);
    to.scales.push([scale, times(scale, -16)]);
    to.numbers.extend(nibbles(&block[6..]).zip(0..).map(|(low, weight)| low | fifth(&block[2..6], weight)));
}

fn q5_1(block: &[u8], to: &mut Numbers) {
    to.scales.push([half(block, 0), half(block, 2)]);
    to.numbers.extend(nibbles(&block[8..]).zip(0..).map(|(low, weight)| low | fifth(&block[4..8], weight)));
}

fn q8_0(block: &[u8], to: &mut Numbers) {
    let scale = half(block, 0);
    to.scales.push([scale, times(scale, -128)]);
    to.numbers.extend(block[2..].iter().map(|number| number ^ 0x80));
}

/// Scale and offset of the eight blocks of 32 that share 12 bytes of both, six bits each.
fn scales_of_k(block: &[u8]) -> [[f16; 2]; 8] {
    let (scale, least, six) = (half(block, 0), half(block, 2), &block[4..16]);
    from_fn(|index| {
        let (times_scale, times_least) = if index < 4 {
            (six[index] & 63, six[index + 4] & 63)
        } else {
            let (low, high) = (six[index + 4], |byte: u8| byte >> 6 << 4);
            (low & 15 | high(six[index - 4]), low >> 4 | high(six[index]))
        };
        [times(scale, times_scale.into()), times(least, -i16::from(times_least))]
    })
}

fn q4_k(block: &[u8], to: &mut Numbers) {
    to.scales.extend(scales_of_k(block));
    to.numbers.extend(block[16..].chunks(32).flat_map(nibbles));
}

fn q5_k(block: &[u8], to: &mut Numbers) {
    to.scales.extend(scales_of_k(block));
    let fifth = |weight: usize| (block[16 + weight % 32] >> (weight / 32) & 1) << 4;
    let low = block[48..].chunks(32).flat_map(nibbles);
    to.numbers.extend(low.zip(0..).map(|(low, weight)| low | fifth(weight)));
}

fn q6_k(block: &[u8], to: &mut Numbers) {
    let (low, high, scales, scale) = (&block[..128], &block[128..192], &block[192..208], half(block, 208));
    for each in scales {
        let scale = times(scale, each.cast_signed().into());
        to.scales.push([scale, times(scale, -32)]);
    }
    for (low, high) in low.chunks(64).zip(high.chunks(32)) {
        to.numbers.extend(nibbles(low).zip(0..).map(|(low, weight)| {
            let high = high[weight % 32] >> (weight / 32 * 2) & 3;
            low | high << 4
        }));
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    /// Numbers, scales and offsets mean what candle makes of the blocks, but for what a half cannot say.
    #[test]
    fn blocks_mean_what_candle_reads() {
        use GgmlDType as D;
        for dtype in [D::Q4_0, D::Q4_1, D::Q5_0, D::Q5_1, D::Q8_0, D::Q4K, D::Q5K, D::Q6K] {
            let weights: Vec<f32> = (0..1024_u16).map(|x| (f32::from(x) * 1.7).sin() * 0.3 + 0.05).collect();
            let weights = Tensor::from_vec(weights, (2, 512), &Device::Cpu).unwrap();
            let tensor = QTensor::quantize(&weights, dtype).unwrap();
            let expected: Vec<f32> =
                tensor.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            let Numbers { form, numbers, scales } = numbers(&tensor).unwrap();
            let (Form::Eights(block) | Form::Fours(block)) = form else { panic!("{dtype:?}") };
            let block = block.inputs() as usize;
            assert_eq!((numbers.len(), scales.len()), (1024, 1024 / block));
            assert!(!matches!(form, Form::Fours(_)) || numbers.iter().all(|number| *number < 16));
            for (index, (number, expected)) in numbers.iter().zip(&expected).enumerate() {
                let [scale, offset] = scales[index / block].map(f16::to_f32);
                let weight = scale.mul_add(f32::from(*number), offset);
                let bound = 0.001 * (offset.abs() + scale.abs() * f32::from(*number));
                assert!((weight - expected).abs() <= bound, "{dtype:?} {index}: {weight} and not {expected}");
            }
        }
    }
}
