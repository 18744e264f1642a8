//! Layers of unquantised transformers: rows in, rows out.
//!
//! Products go through candle; what lies between them (bias, norms, activation, residuals) is plain
//! loops, because candle would do that on threads of its own (see [`threads`](super::threads)).
//! Everything runs on the rayon pool that it is called in.

use candle_core::{Device, Result, Tensor};
use corn_core::Fault;
use rayon::prelude::*;

use super::files::Tensors;

/// Rows of activations, one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rows {
    /// Elements of one row.
    pub(super) width: usize,
    /// Whole rows.
    pub(super) data: Vec<f32>,
}

impl Rows {
    pub(super) fn new(width: usize, data: Vec<f32>) -> Self {
        assert_eq!(data.len() % width, 0, "rows are whole");
        Self { width, data }
    }

    /// How many rows there are.
    pub(super) fn count(&self) -> usize {
        self.data.len() / self.width
    }

    pub(super) fn row(&self, index: usize) -> &[f32] {
        &self.data[index * self.width..(index + 1) * self.width]
    }

    pub(super) fn row_mut(&mut self, index: usize) -> &mut [f32] {
        &mut self.data[index * self.width..(index + 1) * self.width]
    }

    /// The first rows, as many as the first of `counts` says, then the next ones, and so on.
    pub(super) fn split(&self, counts: impl Iterator<Item = usize>) -> impl Iterator<Item = Self> {
        let mut rest = &self.data[..];
        counts.map(move |count| {
            let (rows, after) = rest.split_at(count * self.width);
            rest = after;
            Self::new(self.width, rows.to_vec())
        })
    }

    /// Adds as many rows of the same width, element by element.
    pub(super) fn add(&mut self, more: &Self) {
        assert_eq!(self.data.len(), more.data.len(), "rows fit together");
        for (element, more) in self.data.iter_mut().zip(&more.data) {
            *element += more;
        }
    }
}

/// A linear layer with or without bias.
pub(super) struct Affine {
    /// `outputs × inputs`.
    weight: Tensor,
    bias: Option<Vec<f32>>,
    outputs: usize,
}

impl Affine {
    /// Takes `name.weight` (`outputs × inputs`) and `name.bias`.
    pub(super) fn take(
        tensors: &mut Tensors,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> std::result::Result<Self, Fault> {
        let bias = tensors.floats(&format!("{name}.bias"), outputs)?;
        Ok(Self { bias: Some(bias), ..Self::take_unbiased(tensors, name, outputs, inputs)? })
    }

    /// Takes `name.weight` (`outputs × inputs`) alone.
    pub(super) fn take_unbiased(
        tensors: &mut Tensors,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> std::result::Result<Self, Fault> {
        let weight = tensors.take(&format!("{name}.weight"), &[outputs, inputs])?;
        Ok(Self { weight, bias: None, outputs })
    }

    /// A layer of these weights (`outputs × inputs`) and this bias.
    pub(super) fn new(weight: Tensor, bias: Vec<f32>) -> Self {
        Self { weight, outputs: bias.len(), bias: Some(bias) }
    }

    /// The weights that make element `output` of a row.
    pub(super) fn weights_of(&self, output: u32) -> Result<Vec<f32>> {
        self.weight.get(output as usize)?.to_vec1()
    }

    /// Elements of the rows it takes.
    pub(super) fn inputs(&self) -> usize {
        self.weight.dims()[1]
    }

    /// Elements of the rows it gives.
    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(super) fn forward(&self, rows: &Rows) -> Result<Rows> {
        let input = Tensor::from_slice(&rows.data, (rows.count(), rows.width), &Device::Cpu)?;
        let mut output = input.matmul(&self.weight.t()?)?.flatten_all()?.to_vec1::<f32>()?;
        if let Some(bias) = &self.bias {
            output.par_chunks_exact_mut(self.outputs).for_each(|row| {
                for (element, bias) in row.iter_mut().zip(bias) {
                    *element += bias;
                }
            });
        }
        Ok(Rows::new(self.outputs, output))
    }
}

/// Brings every row to mean 0 and variance 1, then scales and shifts its elements.
pub(super) struct LayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

impl LayerNorm {
    /// Takes `name.weight` and `name.bias`.
    pub(super) fn take(
        tensors: &mut Tensors,
        name: &str,
        width: usize,
        epsilon: f32,
    ) -> std::result::Result<Self, Fault> {
        let weight = tensors.floats(&format!("{name}.weight"), width)?;
        let bias = tensors.floats(&format!("{name}.bias"), width)?;
        Ok(Self { weight, bias, epsilon })
    }

    pub(super) fn forward(&self, rows: &Rows) -> Rows {
        let mut rows = rows.clone();
        rows.data.par_chunks_exact_mut(rows.width).for_each(|row| {
            let count = row.len() as f32;
            let mean = row.iter().sum::<f32>() / count;
            let variance = row.iter().map(|element| (element - mean).powi(2)).sum::<f32>() / count;
            let scale = 1.0 / (variance + self.epsilon).sqrt();
            for (element, (weight, bias)) in row.iter_mut().zip(self.weight.iter().zip(&self.bias)) {
                *element = (*element - mean) * scale * weight + bias;
            }
        });
        rows
    }
}

/// The exact GELU of every element: `x × Φ(x)`.
pub(super) fn gelu(data: &mut [f32]) {
    data.par_chunks_mut(1 << 12).for_each(|chunk| {
        for element in chunk {
            *element *= 0.5 * (1.0 + erf(*element * std::f32::consts::FRAC_1_SQRT_2));
        }
    });
}

/// The error function to 1.5e-7: Abramowitz and Stegun, *Handbook of Mathematical Functions*, 7.1.26.
fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let series =
        t * (0.254_829_6 + t * (-0.284_496_72 + t * (1.421_413_8 + t * (-1.453_152_1 + t * 1.061_405_4))));
    (1.0 - series * (-x * x).exp()).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gelu_has_its_known_values() {
        let mut values = [-3.0, -1.0, 0.0, 0.5, 1.0, 3.0];
        gelu(&mut values);
        let known = [-0.004_049_7, -0.158_655_25, 0.0, 0.345_731_2, 0.841_344_7, 2.995_950_3];
        for (value, known) in values.iter().zip(known) {
            assert!((value - known).abs() < 1e-6, "{value} for {known}");
        }
    }

    #[test]
    fn a_norm_brings_rows_to_mean_zero_and_variance_one() {
        let norm = LayerNorm { weight: vec![1.0, 1.0, 2.0], bias: vec![0.0, 0.0, 1.0], epsilon: 0.0 };
        let rows = norm.forward(&Rows::new(3, vec![1.0, 2.0, 3.0]));
        let side = 1.5f32.sqrt();
        for (found, expected) in rows.data.iter().zip([-side, 0.0, 2.0 * side + 1.0]) {
            assert!((found - expected).abs() < 1e-6, "{rows:?}");
        }
    }

    #[test]
    fn an_affine_layer_multiplies_and_adds() {
        let weight = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0, 5.0, 6.0], (2, 3), &Device::Cpu).unwrap();
        let layer = Affine::new(weight, vec![10.0, 20.0]);
        let rows = layer.forward(&Rows::new(3, vec![1.0, 0.0, 1.0, 0.0, 1.0, 0.0])).unwrap();
        assert_eq!(rows, Rows::new(2, vec![14.0, 30.0, 12.0, 25.0]));
    }
}
