//! A linear layer's weights, as its kernels take them.

use corn_core::Fault;
use half::f16;

use super::TILE;
use crate::array::{Array, Space};

/// How a matrix keeps its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In half precision.
    Halves,
    /// As numbers of 8 bits, with a scale and an offset for each output and block of so many inputs, 16 or 32.
    Eights {
        /// Inputs of a block.
        block: u32,
    },
    /// The same of 4 bits.
    Fours {
        /// Inputs of a block.
        block: u32,
    },
}

/// Weights as numbers: each stands for itself times the scale of its block, and the block's offset.
pub struct Numbers {
    /// Not [`Form::Halves`].
    pub form: Form,
    /// Outputs, of inputs each; below 16 if they are of 4 bits.
    pub numbers: Vec<u8>,
    /// Scale and offset: outputs, of blocks each.
    pub scales: Vec<[f16; 2]>,
}

/// A linear layer's weights.
pub struct Matrix {
    pub(super) form: Form,
    pub(super) weights: Array<u8>,
    /// Of the halves, nothing.
    pub(super) scales: Array<f16>,
    pub(super) outputs: u32,
    pub(super) inputs: u32,
}

impl Form {
    const fn bits(self) -> u32 {
        match self {
            Self::Halves => 16,
            Self::Eights { .. } => 8,
            Self::Fours { .. } => 4,
        }
    }

    const fn block(self) -> Option<u32> {
        match self {
            Self::Halves => None,
            Self::Eights { block } | Self::Fours { block } => Some(block),
        }
    }

    /// What keeps weights of both as well as these do.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        match (self.block(), other.block()) {
            (Some(one), Some(two)) => {
                let block = if one < two { one } else { two };
                if self.bits() + other.bits() == 8 { Self::Fours { block } } else { Self::Eights { block } }
            }
            _ => Self::Halves,
        }
    }

    /// Which of three it is, and the logarithm of the tiles of inputs that share a scale: as the kernels count.
    pub(super) const fn kernel(self) -> (usize, u32) {
        match self {
            Self::Halves => (0, 0),
            Self::Eights { block } => (1, block / TILE / 2),
            Self::Fours { block } => (2, block / TILE / 2),
        }
    }

    /// Bytes of the weights, and how many numbers their scales and offsets are.
    const fn sizes(self, outputs: u32, inputs: u32) -> (u64, u64) {
        let outputs = outputs.next_multiple_of(TILE) as u64;
        let scales = match self.block() {
            Some(block) => outputs * (inputs / block) as u64 * 2,
            None => 0,
        };
        (outputs * inputs as u64 * self.bits() as u64 / 8, scales)
    }
}

impl Numbers {
    /// The same as another form keeps them, which must be one `with` this one.
    #[must_use]
    pub fn widened(mut self, form: Form) -> Self {
        let (Some(from), Some(to)) = (self.form.block(), form.block()) else {
            unreachable!("numbers are widened to numbers");
        };
        let times = (from / to) as usize;
        if times > 1 {
            self.scales = self.scales.iter().flat_map(|pair| std::iter::repeat_n(*pair, times)).collect();
        }
        Self { form, ..self }
    }

    /// Adds the outputs of another, of the same form.
    pub fn append(&mut self, mut other: Self) {
        assert_eq!(self.form, other.form, "numbers of one matrix are kept alike");
        self.numbers.append(&mut other.numbers);
        self.scales.append(&mut other.scales);
    }
}

impl Matrix {
    /// Bytes that it takes in its space.
    pub const fn bytes(form: Form, outputs: u32, inputs: u32) -> u64 {
        let (bytes, scales) = form.sizes(outputs, inputs);
        Space::bytes_of::<u8>(bytes) + Space::bytes_of::<f16>(scales)
    }

    /// A matrix of `weights`, `outputs` rows of `inputs`, in half precision, which must hold them. `inputs` is a
    /// multiple of 16.
    pub fn new(space: &mut Space, outputs: u32, inputs: u32, weights: &[f32]) -> Result<Self, Fault> {
        assert_eq!(weights.len() as u64, u64::from(outputs) * u64::from(inputs), "each weight is given");
        let mut packed = Vec::with_capacity(Form::Halves.sizes(outputs, inputs).0 as usize / 2);
        let inputs_ = inputs as usize;
        let weight = |output: usize, input: usize| {
            f16::from_f32(weights.get(output * inputs_ + input).copied().unwrap_or(0.0))
        };
        each_thread(outputs, inputs, |g, t| {
            for (output, input) in [(g, t), (g + 8, t), (g, t + 8), (g + 8, t + 8)] {
                packed.extend([weight(output, input), weight(output, input + 1)]);
            }
        });
        if let Some(weight) = packed.iter().find(|weight| !weight.is_finite()) {
            return Err(not_a_number(*weight));
        }
        Self::place(space, Form::Halves, [outputs, inputs], bytemuck::cast_slice(&packed), &[])
    }

    /// A matrix of `outputs` rows of `inputs`, which is a multiple of the form's blocks.
    pub fn of_numbers(space: &mut Space, outputs: u32, inputs: u32, from: &Numbers) -> Result<Self, Fault> {
        let block = from.form.block().expect("numbers come in blocks") as usize;
        let (numbers, blocks) = (u64::from(outputs) * u64::from(inputs), inputs as usize / block);
        assert!((inputs as usize).is_multiple_of(block), "inputs come in blocks");
        assert_eq!(from.numbers.len() as u64, numbers, "each weight is given");
        assert_eq!(from.scales.len(), outputs as usize * blocks, "each block has a scale");
        let largest = if from.form.bits() == 4 { 15.0 } else { 255.0 };
        for [scale, offset] in &from.scales {
            let far = f16::from_f32(scale.to_f32().mul_add(largest, offset.to_f32()));
            if let Some(weight) = [*scale, *offset, far].iter().find(|weight| !weight.is_finite()) {
                return Err(not_a_number(*weight));
            }
        }
        let inputs_ = inputs as usize;
        let number = |output: usize, input: usize| {
            from.numbers.get(output * inputs_ + input).copied().unwrap_or_default()
        };
        let mut packed = Vec::with_capacity(from.form.sizes(outputs, inputs).0 as usize);
        each_thread(outputs, inputs, |g, t| {
            if from.form.bits() == 8 {
                for output in [g, g + 8] {
                    packed.extend([t, t + 1, t + 8, t + 9].map(|input| number(output, input)));
                }
            } else {
                for t in [t, t + 1] {
                    for t in [t, t + 8] {
                        packed.push(number(g, t) | number(g + 8, t) << 4);
                    }
                }
            }
        });
        let mut scales = Vec::with_capacity(from.form.sizes(outputs, inputs).1 as usize);
        for first in (0..outputs as usize).step_by(TILE as usize) {
            for block in 0..blocks {
                for output in (first..first + 8).flat_map(|output| [output, output + 8]) {
                    scales.extend(from.scales.get(output * blocks + block).copied().unwrap_or_default());
                }
            }
        }
        Self::place(space, from.form, [outputs, inputs], &packed, &scales)
    }

    fn place(
        space: &mut Space,
        form: Form,
        [outputs, inputs]: [u32; 2],
        weights: &[u8],
        scales: &[f16],
    ) -> Result<Self, Fault> {
        assert!(inputs.is_multiple_of(TILE), "inputs come in tiles");
        Ok(Self { form, weights: space.array_of(weights)?, scales: space.array_of(scales)?, outputs, inputs })
    }

    /// Elements of the rows it gives.
    pub const fn outputs(&self) -> u32 {
        self.outputs
    }
}

/// Calls `each` with the first output and the first input of each thread's part of each tile, in the order in which
/// they lie.
fn each_thread(outputs: u32, inputs: u32, mut each: impl FnMut(usize, usize)) {
    for first_output in (0..outputs as usize).step_by(TILE as usize) {
        for first_input in (0..inputs as usize).step_by(TILE as usize) {
            for thread in 0..32 {
                each(first_output + thread / 4, first_input + thread % 4 * 2);
            }
        }
    }
}

fn not_a_number(weight: f16) -> Fault {
    Fault::setup(format!("a weight is {weight} in half precision, which is no number to work with"))
}
