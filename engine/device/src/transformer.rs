//! What a transformer does on a GPU between tokens and logits: `transformer.cu` says how.
//!
//! A row comes out the same in any company, bit by bit. Everything is enqueued in the GPU's stream and nobody waits;
//! contents are there for whatever is enqueued later.

mod matrix;

use std::ffi::CStr;
use std::sync::Arc;

use corn_core::Fault;
use half::f16;

pub use matrix::{Block, Form, Matrix, Numbers};

use crate::array::{Array, Space};
use crate::driver::{Given, Graph, Kernel, Recorder, Refused};
use crate::gpu::Gpu;

const TEXT: &str = concat!(include_str!("transformer.ptx"), "\0");

/// In the order of [`Kernels`].
const NAMES: [&CStr; 28] = [
    c"corn_linear_16_1",
    c"corn_linear_16_2",
    c"corn_linear_16_4",
    c"corn_linear_16_8",
    c"corn_linear_16_64x128",
    c"corn_linear_16_128x64",
    c"corn_linear_16_128x128",
    c"corn_linear_8_1",
    c"corn_linear_8_2",
    c"corn_linear_8_4",
    c"corn_linear_8_8",
    c"corn_linear_8_64x128",
    c"corn_linear_8_128x64",
    c"corn_linear_8_128x128",
    c"corn_linear_4_1",
    c"corn_linear_4_2",
    c"corn_linear_4_4",
    c"corn_linear_4_8",
    c"corn_linear_4_64x128",
    c"corn_linear_4_128x64",
    c"corn_linear_4_128x128",
    c"corn_attention_1",
    c"corn_attention_2",
    c"corn_attention_3",
    c"corn_attention_4",
    c"corn_norm",
    c"corn_remember",
    c"corn_gate",
];

/// The oldest GPUs that it runs on, by compute capability.
const LEAST_CAPABILITY: (i32, i32) = (8, 0);

/// Tokens whose keys and values lie together.
pub const PAGE_TOKENS: u32 = 32;

/// Outputs, and inputs, of a tile of weights.
const TILE: u32 = 16;
/// Rows of a tile of rows.
const ROW_TILE: u32 = 8;
/// Threads of a block of each kernel.
const THREADS: u32 = 256;
const ATTENTION_THREADS: u32 = 512;
/// Tiles of rows that a block of each linear kernel for few rows has. All have a tile of outputs.
const FEW: [u32; 3] = [1, 2, 4];

/// What a block of a linear kernel for many rows does, and how long a tile of inputs takes: where each multiprocessor
/// has one such block at most, and where each has `held` together. As measured on an H200; the last takes 100.
struct Many {
    outputs: u32,
    rows: u32,
    alone: u32,
    held: u32,
    together: u32,
}

const MANY: [Many; 4] = [
    Many { outputs: TILE, rows: 8 * ROW_TILE, alone: 16, held: 1, together: 16 },
    Many { outputs: 64, rows: 128, alone: 70, held: 2, together: 120 },
    Many { outputs: 128, rows: 64, alone: 85, held: 2, together: 120 },
    Many { outputs: 128, rows: 128, alone: 100, held: 1, together: 100 },
];

/// Linear kernels for each form of weights: those for few rows, and those for many.
const LINEARS: usize = FEW.len() + MANY.len();

/// Query heads of a block of attention.
const TOGETHER: u32 = 4;

/// How wide a head may be: a multiple of this many elements, up to so many times.
pub const HEAD_UNIT: u32 = 32;
/// See [`HEAD_UNIT`].
pub const MOST_HEAD_UNITS: u32 = 4;

/// The kernels of a transformer on one GPU.
pub struct Transformer {
    gpu: Arc<Gpu>,
    kernels: Arc<Kernels>,
    /// What takes the kernels, if the GPU's stream does not.
    recorder: Option<Recorder>,
}

/// Kernels that were recorded, with what they work on.
pub struct Recorded {
    gpu: Arc<Gpu>,
    graph: Graph,
}

struct Kernels {
    /// For each form of weights, those of [`FEW`] and of [`MANY`].
    linear: [[Kernel; LINEARS]; 3],
    /// That blocks of linear layers are shared among.
    multiprocessors: u32,
    /// For heads of 1 to 4 units.
    attention: [Kernel; MOST_HEAD_UNITS as usize],
    norm: Kernel,
    remember: Kernel,
    gate: Kernel,
}

/// Rows as linear layers take them: in half precision and in tiles.
pub struct Rows {
    elements: Array<f16>,
    width: u32,
}

/// How attention is divided, and where its pages are.
pub struct Pages {
    elements: Array<f16>,
    shape: Shape,
}

/// Sizes of attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Layers of the network.
    pub layers: u32,
    /// Query heads; a multiple of `heads`.
    pub queries: u32,
    /// Key-value heads.
    pub heads: u32,
    /// Elements of a head.
    pub width: u32,
}

impl Shape {
    /// Elements of the queries, keys and values of a token in one layer.
    pub const fn projected(self) -> u32 {
        (self.queries + 2 * self.heads) * self.width
    }

    /// Elements of a page: keys and values of its tokens in all layers.
    pub const fn page_elements(self) -> u64 {
        2 * PAGE_TOKENS as u64 * self.width as u64 * self.heads as u64 * self.layers as u64
    }
}

/// The tokens that a pass goes over. Each list has an element for each row, but for `tables`. What stands in the lists
/// is not looked at here: slots and tables must be of pages that there are.
pub struct Tokens {
    /// Where each is in its conversation.
    pub positions: Array<u32>,
    /// Where it is remembered: its page times [`PAGE_TOKENS`], and its place in the page.
    pub slots: Array<u32>,
    /// Tokens that it looks at: those before it, and itself.
    pub lengths: Array<u32>,
    /// Where in `tables` the pages of its conversation begin.
    pub starts: Array<u32>,
    /// Pages, those of one conversation after the other.
    pub tables: Array<u32>,
}

/// Which linear kernel is done first, and the outputs and rows of a block of it.
fn best_linear(rows: u32, outputs: u32, multiprocessors: u32) -> (usize, [u32; 2]) {
    if let Some(few) = FEW.iter().position(|tiles| rows <= tiles * ROW_TILE) {
        return (few, [TILE, FEW[few] * ROW_TILE]);
    }
    let takes = |many: &Many| {
        let blocks = u64::from(rows.div_ceil(many.rows)) * u64::from(outputs.div_ceil(many.outputs));
        if blocks <= u64::from(multiprocessors) {
            u64::from(many.alone)
        } else {
            blocks.div_ceil(u64::from(multiprocessors) * u64::from(many.held)) * u64::from(many.together)
        }
    };
    let best = (0..MANY.len()).min_by_key(|many| takes(&MANY[*many])).unwrap_or(0);
    (FEW.len() + best, [MANY[best].outputs, MANY[best].rows])
}

impl Rows {
    /// Elements that room for so many rows takes.
    pub const fn elements(rows: u32, width: u32) -> u64 {
        rows.next_multiple_of(ROW_TILE) as u64 * width as u64
    }

    /// Room for so many rows. `width` is a multiple of 16.
    pub fn new(space: &mut Space, rows: u32, width: u32) -> Self {
        assert!(width.is_multiple_of(TILE), "rows come in tiles");
        Self { elements: space.array(Self::elements(rows, width)), width }
    }

    fn has_room(&self, rows: u32, width: u32) -> bool {
        self.width == width && self.elements.len() >= Self::elements(rows, width)
    }
}

impl Pages {
    /// So many pages of attention of this shape.
    pub fn new(space: &mut Space, count: u32, shape: Shape) -> Self {
        Self { elements: space.array(shape.page_elements() * u64::from(count)), shape }
    }

    /// What they are of.
    pub const fn shape(&self) -> Shape {
        self.shape
    }
}

impl Transformer {
    /// The kernels, compiled for `gpu`.
    pub fn load(gpu: &Arc<Gpu>) -> Result<Self, Fault> {
        let refused = |refused: &Refused| {
            Fault::setup(format!("{} takes no kernels of a transformer: {refused}", gpu.called()))
        };
        let capability = gpu.context().capability().map_err(|error| refused(&error))?;
        if capability < LEAST_CAPABILITY {
            let ((major, minor), (least_major, least_minor)) = (capability, LEAST_CAPABILITY);
            return Err(Fault::setup(format!(
                "{} is of compute capability {major}.{minor}; a transformer needs {least_major}.{least_minor} or more",
                gpu.called()
            )));
        }
        let multiprocessors = gpu.context().multiprocessors().map_err(|error| refused(&error))?;
        let text = CStr::from_bytes_with_nul(TEXT.as_bytes()).expect("it ends with its only zero");
        let mut loaded =
            Kernel::load(gpu.context(), text, NAMES).map_err(|error| refused(&error))?.into_iter();
        let mut next = || loaded.next().expect("as many are named");
        let kernels = Arc::new(Kernels {
            linear: std::array::from_fn(|_| std::array::from_fn(|_| next())),
            multiprocessors,
            attention: std::array::from_fn(|_| next()),
            norm: next(),
            remember: next(),
            gate: next(),
        });
        Ok(Self { gpu: Arc::clone(gpu), kernels, recorder: None })
    }

    /// What `work` does with the transformer that it is given, to be done as often as wanted. It is not done now.
    ///
    /// Enqueueing it takes the host as long as one kernel, so this is for what is done again and again with arrays in
    /// the same places and as many rows. Fails where the driver is older than CUDA 11.4.
    pub fn record(&self, work: impl FnOnce(&Self) -> Result<(), Fault>) -> Result<Recorded, Fault> {
        let failed = |refused: Refused| self.gpu.failed(&refused);
        let recorder = Recorder::new(self.gpu.context()).map_err(failed)?;
        let gpu = Arc::clone(&self.gpu);
        let recording = Self { gpu, kernels: Arc::clone(&self.kernels), recorder: Some(recorder) };
        let done = work(&recording);
        let graph = recording.recorder.map(Recorder::end).expect("it was given one above");
        done?;
        Ok(Recorded { gpu: recording.gpu, graph: graph.map_err(failed)? })
    }

    /// `to`, rows of the matrix's outputs, becomes the product with each of the first `rows`; or it is added to `to`.
    pub fn linear(
        &self,
        matrix: &Matrix,
        from: &Rows,
        to: &Array<f32>,
        rows: u32,
        adds: bool,
    ) -> Result<(), Fault> {
        let Matrix { form, weights, scales, outputs, inputs } = matrix;
        assert!(from.has_room(rows, *inputs), "rows fit the layer");
        assert!(to.len() >= u64::from(rows) * u64::from(*outputs), "there is room for the products");
        let (size, [over, across]) = best_linear(rows, *outputs, self.kernels.multiprocessors);
        let (which, alike_log2) = form.kernel();
        let given = [
            Given::At(weights.span()),
            Given::At(scales.span()),
            Given::At(from.elements.span()),
            Given::At(to.span()),
            Given::Int(rows),
            Given::Int(*outputs),
            Given::Int(*inputs),
            Given::Int(u32::from(adds)),
            Given::Int(alike_log2),
        ];
        let blocks = [rows.div_ceil(across), outputs.div_ceil(over), 1];
        self.launch(&self.kernels.linear[which][size], blocks, THREADS, &given)
    }

    /// The rows `which` of `from` (`width` wide, `from` has as many as they name), each over its root mean square and
    /// times `weight`.
    pub fn norm(
        &self,
        from: &Array<f32>,
        weight: &Array<f32>,
        which: &Array<u32>,
        to: &Rows,
        epsilon: f32,
    ) -> Result<(), Fault> {
        let (rows, width) = (which.len() as u32, weight.len() as u32);
        assert!(to.has_room(rows, width), "there is room for the rows");
        let given = [
            Given::At(from.span()),
            Given::At(weight.span()),
            Given::At(which.span()),
            Given::At(to.elements.span()),
            Given::Int(width),
            Given::Float(epsilon),
        ];
        self.launch(&self.kernels.norm, [rows, 1, 1], THREADS, &given)
    }

    /// Turns queries and keys of `projected` by each token's position times `turns` (radians of each pair, which are
    /// neighbours), and puts keys and values of `layer` into the pages. Slots must be of pages that there are.
    pub fn remember(
        &self,
        projected: &Array<f32>,
        turns: &Array<f32>,
        tokens: &Tokens,
        pages: &Pages,
        layer: u32,
    ) -> Result<(), Fault> {
        let Shape { layers, queries, heads, width } = pages.shape;
        let rows = tokens.check(projected, pages.shape);
        assert!(layer < layers, "it is a layer of the pages");
        assert!(turns.len() * 2 <= u64::from(width), "no more is turned than a head has");
        let given = [
            Given::At(projected.span()),
            Given::At(turns.span()),
            Given::At(tokens.positions.span()),
            Given::At(tokens.slots.span()),
            Given::At(pages.elements.span()),
            Given::Int(layer),
            Given::Int(layers),
            Given::Int(queries),
            Given::Int(heads),
            Given::Int(width),
            Given::Int(turns.len() as u32 * 2),
        ];
        self.launch(&self.kernels.remember, [rows, 1, 1], THREADS, &given)
    }

    /// What each token sees of those that it looks at, in `layer`. Tables must be of pages that there are.
    pub fn attention(
        &self,
        projected: &Array<f32>,
        tokens: &Tokens,
        pages: &Pages,
        to: &Rows,
        layer: u32,
    ) -> Result<(), Fault> {
        let Shape { layers, queries, heads, width } = pages.shape;
        let rows = tokens.check(projected, pages.shape);
        assert!(layer < layers, "it is a layer of the pages");
        assert!(to.has_room(rows, queries * width), "there is room for the rows");
        let given = [
            Given::At(projected.span()),
            Given::At(pages.elements.span()),
            Given::At(tokens.tables.span()),
            Given::At(tokens.starts.span()),
            Given::At(tokens.lengths.span()),
            Given::At(to.elements.span()),
            Given::Int(layer),
            Given::Int(layers),
            Given::Int(queries),
            Given::Int(heads),
        ];
        let kernel = &self.kernels.attention[(width / HEAD_UNIT) as usize - 1];
        let blocks = [rows, heads, (queries / heads).div_ceil(TOGETHER)];
        self.launch(kernel, blocks, ATTENTION_THREADS, &given)
    }

    /// SiLU of the first half of each of `rows` times the second.
    pub fn gate(&self, from: &Array<f32>, to: &Rows, rows: u32) -> Result<(), Fault> {
        let width = to.width;
        assert!(to.has_room(rows, width), "there is room for the rows");
        assert!(from.len() >= 2 * u64::from(rows) * u64::from(width), "both halves of each are there");
        let given = [Given::At(from.span()), Given::At(to.elements.span()), Given::Int(width)];
        self.launch(&self.kernels.gate, [width.div_ceil(2 * THREADS), rows, 1], THREADS, &given)
    }

    fn launch(
        &self,
        kernel: &Kernel,
        blocks: [u32; 3],
        threads: u32,
        given: &[Given<'_>],
    ) -> Result<(), Fault> {
        if blocks.contains(&0) {
            return Ok(());
        }
        let is_here = |given: &Given<'_>| !matches!(given, Given::At(span) if !span.is_of(self.gpu.work()));
        assert!(given.iter().all(is_here), "arrays lie on the transformer's GPU");
        let launched = match &self.recorder {
            Some(recorder) => recorder.launch(kernel, blocks, threads, given),
            None => self.gpu.work().launch(kernel, blocks, threads, given),
        };
        launched.map_err(|refused| self.gpu.failed(&refused))
    }
}

impl Recorded {
    /// Does what was recorded.
    pub fn run(&self) -> Result<(), Fault> {
        self.gpu.work().run(&self.graph).map_err(|refused| self.gpu.failed(&refused))
    }
}

impl Tokens {
    /// How many there are; all that is said of them is, and there are as many rows.
    fn check(&self, projected: &Array<f32>, shape: Shape) -> u32 {
        let rows = self.positions.len();
        let all = [&self.slots, &self.lengths, &self.starts];
        assert!(all.iter().all(|list| list.len() == rows), "each list has an element for each row");
        assert!(projected.len() >= rows * u64::from(shape.projected()), "there are as many rows");
        rows as u32
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::best_linear;

    /// Few rows have a kernel of their size; of many, what leaves no multiprocessor idle is taken.
    #[test]
    fn the_kernel_that_is_done_first_is_taken() {
        let chosen = |rows, outputs, multiprocessors| best_linear(rows, outputs, multiprocessors);
        assert_eq!([1, 8, 9, 17, 32].map(|rows| chosen(rows, 4096, 132).0), [0, 0, 1, 2, 2]);
        assert_eq!(chosen(33, 4096, 132), (3, [16, 64]));
        assert_eq!(chosen(64, 28_672, 132), (5, [128, 64]));
        assert_eq!(chosen(256, 4096, 132), (4, [64, 128]));
        assert_eq!(chosen(256, 28_672, 132), (6, [128, 128]));
        assert_eq!(chosen(256, 28_672, 1), (6, [128, 128]));
    }

    #[test]
    fn the_kernels_are_made_of_their_source() {
        let digest = Sha256::digest(include_str!("transformer.cu"));
        let of = digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        let said = include_str!("transformer.ptx").lines().next().unwrap_or_default();
        assert_eq!(said, format!("// of transformer.cu {of}"), "run engine/device/compile_kernels.sh");
    }

    #[test]
    fn drivers_take_their_text() {
        for text in [include_str!("kernels.ptx"), super::TEXT] {
            assert!(text.is_ascii(), "drivers refuse PTX in which anything is not ASCII, comments too");
        }
    }
}
