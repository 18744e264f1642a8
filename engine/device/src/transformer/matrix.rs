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
    /// As numbers of 8 bits, with a scale and an offset for each output and block of inputs.
    Eights(Block),
    /// The same of 4 bits.
    Fours(Block),
}

/// How many inputs have the same scale and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Block {
    /// 16.
    Of16,
    /// 32.
    Of32,
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
            Self::Eights(_) => 8,
            Self::Fours(_) => 4,
        }
    }

    const fn block(self) -> Option<Block> {
        match self {
            Self::Halves => None,
            Self::Eights(block) | Self::Fours(block) => Some(block),
        }
    }

    /// What keeps weights of both as well as these do.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Halves, _) | (_, Self::Halves) => Self::Halves,
            (Self::Fours(one), Self::Fours(two)) => Self::Fours(one.min(two)),
            (Self::Eights(one) | Self::Fours(one), Self::Eights(two) | Self::Fours(two)) => {
                Self::Eights(one.min(two))
            }
        }
    }

    /// Which of three it is, and the logarithm of the tiles of inputs that share a scale: as the kernels count.
    pub(super) const fn kernel(self) -> (usize, u32) {
        match self {
            Self::Halves => (0, 0),
            Self::Eights(block) => (1, block.tiles_log2()),
            Self::Fours(block) => (2, block.tiles_log2()),
        }
    }

    /// Bytes of the weights, and how many numbers their scales and offsets are.
    const fn sizes(self, outputs: u32, inputs: u32) -> (u64, u64) {
        let outputs = outputs.next_multiple_of(TILE) as u64;
        let scales = match self.block() {
            Some(block) => outputs * (inputs / block.inputs()) as u64 * 2,
            None => 0,
        };
        (outputs * inputs as u64 * self.bits() as u64 / 8, scales)
    }
}

impl Block {
    /// Inputs of a block.
    pub const fn inputs(self) -> u32 {
        TILE << self.tiles_log2()
    }

    const fn tiles_log2(self) -> u32 {
        match self {
            Self::Of16 => 0,
            Self::Of32 => 1,
        }
    }
}

impl Numbers {
    /// The same as another form keeps them, which must be one `with` this one.
    #[must_use]
    pub fn widened(mut self, form: Form) -> Self {
        let (Some(from), Some(to)) = (self.form.block(), form.block()) else {
            unreachable!("numbers are widened to numbers");
        };
        assert_eq!(self.form.with(form), form, "the other keeps these as well");
        let times = (from.inputs() / to.inputs()) as usize;
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

    /// A matrix of `weights`, `outputs` rows of `inputs`, which is a multiple of 16. `threads` lay them out.
    pub fn new(
        space: &mut Space,
        outputs: u32,
        inputs: u32,
        weights: &[f16],
        threads: usize,
    ) -> Result<Self, Fault> {
        assert_eq!(weights.len() as u64, u64::from(outputs) * u64::from(inputs), "each weight is given");
        if let Some(weight) = weights.iter().find(|weight| !weight.is_finite()) {
            return Err(not_a_number(*weight));
        }
        let columns = inputs as usize;
        let weight =
            |output: usize, input: usize| weights.get(output * columns + input).copied().unwrap_or_default();
        let packed = packed(outputs, inputs, 8, threads, |to: &mut [f16], g, t| {
            for (pair, (output, input)) in
                to.chunks_exact_mut(2).zip([(g, t), (g + 8, t), (g, t + 8), (g + 8, t + 8)])
            {
                pair.copy_from_slice(&[weight(output, input), weight(output, input + 1)]);
            }
        });
        Self::place(space, Form::Halves, [outputs, inputs], bytemuck::cast_slice(&packed), &[])
    }

    /// A matrix of `outputs` rows of `inputs`, which is a multiple of the form's blocks. `threads` lay them out.
    pub fn of_numbers(
        space: &mut Space,
        outputs: u32,
        inputs: u32,
        from: &Numbers,
        threads: usize,
    ) -> Result<Self, Fault> {
        let block = from.form.block().expect("numbers come in blocks").inputs() as usize;
        let (columns, blocks) = (inputs as usize, inputs as usize / block);
        assert!(columns.is_multiple_of(block), "inputs come in blocks");
        assert_eq!(from.numbers.len(), outputs as usize * columns, "each weight is given");
        assert_eq!(from.scales.len(), outputs as usize * blocks, "each block has a scale");
        for ([scale, offset], numbers) in from.scales.iter().zip(from.numbers.chunks_exact(block)) {
            let largest = f32::from(numbers.iter().copied().max().unwrap_or(0));
            let far = f16::from_f32(scale.to_f32().mul_add(largest, offset.to_f32()));
            if let Some(weight) = [*scale, *offset, far].iter().find(|weight| !weight.is_finite()) {
                return Err(not_a_number(*weight));
            }
        }
        let number = |output: usize, input: usize| {
            from.numbers.get(output * columns + input).copied().unwrap_or_default()
        };
        let bytes = from.form.bits() as usize;
        let packed = packed(outputs, inputs, bytes, threads, |to: &mut [u8], g, t| {
            if bytes == 8 {
                for (four, output) in to.chunks_exact_mut(4).zip([g, g + 8]) {
                    four.copy_from_slice(&[t, t + 1, t + 8, t + 9].map(|input| number(output, input)));
                }
            } else {
                for (byte, input) in to.iter_mut().zip([t, t + 8, t + 1, t + 9]) {
                    *byte = number(g, input) & 15 | number(g + 8, input) << 4;
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
        Ok(Self { form, weights: space.array_of(weights)?, scales: space.array_of(scales)?, outputs, inputs })
    }
}

/// What lies in a matrix: `each` puts so many elements for the first output and the first input of a thread's part of a
/// tile. Those beyond the last output are to be 0.
fn packed<T: Clone + Default + Send>(
    outputs: u32,
    inputs: u32,
    elements: usize,
    threads: usize,
    each: impl Fn(&mut [T], usize, usize) + Sync,
) -> Vec<T> {
    assert!(inputs.is_multiple_of(TILE), "inputs come in tiles");
    let (tile, tiles) = (TILE as usize, (inputs / TILE) as usize);
    let rows_of_tiles = outputs.div_ceil(TILE) as usize;
    let mut all = vec![T::default(); rows_of_tiles * tiles * 32 * elements];
    let share = rows_of_tiles.div_ceil(threads.max(1)).max(1);
    std::thread::scope(|scope| {
        for (first, part) in (0..).step_by(share).zip(all.chunks_mut(share * tiles * 32 * elements)) {
            let each = &each;
            scope.spawn(move || {
                for (index, to) in part.chunks_exact_mut(elements).enumerate() {
                    let (thread, of) = (index % 32, index / 32);
                    let (row, column) = (first + of / tiles, of % tiles);
                    each(to, row * tile + thread / 4, column * tile + thread % 4 * 2);
                }
            });
        }
    });
    all
}

fn not_a_number(weight: f16) -> Fault {
    Fault::setup(format!("a weight is {weight} in half precision, which is no number to work with"))
}
