//! The Llama network on a GPU: rows of tokens in, logits out, as [`super::network`] does it on the host.
//!
//! Weights are kept as the file has them where the kernels know how, and in half precision otherwise. Keys and values
//! are in half precision; those of a conversation lie in
//! pages of 32 tokens, taken from a pool that is made when the model is loaded, and conversations that begin alike
//! share the pages of their beginning. A row's sums are made in an order of its own, so every conversation gets, to
//! the token, what it would get alone. Tokens are looked up, and the next one is chosen, on the host.

use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Tensor};
use corn_core::{Blame, Fault};
use corn_device::transformer::{
    Form, HEAD_UNIT, MOST_HEAD_UNITS, Matrix, Numbers, PAGE_TOKENS, Pages, Recorded, Rows, Shape, Tokens,
    Transformer,
};
use corn_device::{Array, Gpu, Landing, Space};
use corn_plan::Bytes;
use half::f16;

use super::blocks;
use super::gguf::{Gguf, Sizes};
use super::network::turns;
use super::placed::Feed;
use crate::candle::files::Working;

/// Tokens of a prompt that are read in one turn.
pub(super) const CHUNK: usize = 256;

/// Inputs of linear layers come in tiles of so many.
const TILE: usize = 16;

/// Most outputs of a linear layer: a grid has so many blocks of a tile each.
const MOST_OUTPUTS: usize = 65_535 * TILE;

/// Most conversations: a grid has so many blocks of a row each.
const MOST_OPEN: usize = 65_535 - CHUNK;

/// Most conversations whose passes are recorded. Where more take part, the GPU has more to do than launching takes.
const MOST_RECORDED: usize = 16;

/// What the driver takes for a kernel of a recorded pass, about.
const RECORDED_BYTES: u64 = 10 << 10;

/// Kernels of a layer in a pass.
const KERNELS: usize = 9;

const PAGE: usize = PAGE_TOKENS as usize;

/// The GPU that a model runs on, and what it may take of it.
#[derive(Clone)]
pub struct OnGpu {
    /// Which it is.
    pub gpu: Arc<Gpu>,
    /// Bytes of its memory that the component declares.
    pub memory_bytes: u64,
}

/// How many conversations there may be, and how long.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) open: usize,
    /// Most tokens of each.
    pub(super) context: usize,
}

/// The shared part of a language model, and the pages that its conversations take.
pub(super) struct Network {
    gpu: Arc<Gpu>,
    sizes: Sizes,
    bounds: Bounds,
    transformer: Transformer,
    embeddings: QTensor,
    layers: Vec<Layer>,
    norm: Array<f32>,
    output: Matrix,
    /// Radians that each rotated pair turns by from one position to the next.
    turns: Array<f32>,
    pages: Pages,
    pool: Arc<Pool>,
    work: Work,
    /// Passes that only write, by how many conversations take part less one: a token of each goes in, and its logits
    /// come out. All such passes differ in what is brought alone. `None` where the driver does not record them.
    writing: Box<[OnceLock<Option<Recorded>>]>,
    bytes: u64,
}

struct Layer {
    attention_norm: Array<f32>,
    /// Queries, keys and values.
    projections: Matrix,
    attention_output: Matrix,
    feed_norm: Array<f32>,
    /// Gates, and what goes through them.
    gate_up: Matrix,
    down: Matrix,
}

/// What a pass works in.
struct Work {
    /// What the host brings: rows of tokens, which the layers add to, and what is said of the tokens.
    step: Array<u32>,
    normal: Rows,
    projected: Array<f32>,
    seen: Rows,
    gates_ups: Array<f32>,
    gated: Rows,
    logits: Array<f32>,
}

/// What is remembered of a conversation.
#[derive(Default)]
pub(super) struct Memory {
    /// All but the last are full. A page that is not full is nobody else's.
    pages: Vec<Arc<Page>>,
    /// Tokens remembered.
    tokens: usize,
}

/// Room for some tokens of all layers, free again when nobody remembers them.
struct Page {
    index: u32,
    pool: Arc<Pool>,
}

/// The pages that are free.
struct Pool {
    free: Mutex<Vec<u32>>,
}

impl Pool {
    fn take(self: &Arc<Self>) -> Result<Arc<Page>, Fault> {
        let index = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let full = || Fault::new(Blame::Busy, "no memory is left on the GPU for another conversation");
        index.map(|index| Arc::new(Page { index, pool: Arc::clone(self) })).ok_or_else(full)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.index);
    }
}

impl Memory {
    pub(super) const fn tokens(&self) -> usize {
        self.tokens
    }

    /// Of the first `tokens`, as far as they fill pages: those are shared.
    pub(super) fn beginning(&self, tokens: usize) -> Self {
        let pages = tokens.min(self.tokens) / PAGE;
        Self { pages: self.pages[..pages].to_vec(), tokens: pages * PAGE }
    }

    /// Takes pages for so many tokens more.
    fn make_room(&mut self, pool: &Arc<Pool>, tokens: usize) -> Result<(), Fault> {
        while self.pages.len() * PAGE < self.tokens + tokens {
            self.pages.push(pool.take()?);
        }
        Ok(())
    }

    /// Where the token after so many is remembered.
    fn slot(&self, token: usize) -> u32 {
        self.pages[token / PAGE].index * PAGE_TOKENS + (token % PAGE) as u32
    }
}

impl Network {
    /// Reads the weights, which `threads` lay out, and takes the memory that conversations within `bounds` need.
    pub(super) fn load(
        file: &mut Gguf<'_>,
        place: &OnGpu,
        bounds: Bounds,
        threads: usize,
    ) -> Result<Self, Fault> {
        let sizes = file.sizes()?;
        check(&sizes).map_err(|why| file.wrong(why))?;
        if bounds.open > MOST_OPEN {
            let open = bounds.open;
            return Err(Fault::setup(format!(
                "it says `batch {open}`, and on a GPU takes {MOST_OPEN} at most"
            )));
        }
        if bounds.open.saturating_mul(room(bounds.context)) / PAGE > u32::MAX as usize {
            let Bounds { open, context } = bounds;
            return Err(Fault::setup(format!(
                "{open} conversations of {context} tokens are more than a GPU remembers"
            )));
        }
        let needed = needed_bytes(file, &sizes, bounds);
        if needed.all() > place.memory_bytes {
            let Needed { weights, pages, work, recorded } = needed;
            let work = work.saturating_add(recorded);
            let Bounds { open, context } = bounds;
            return Err(Fault::setup(format!(
                "it says `memory {}`, and takes {:#} of its GPU: {:#} for weights, {:#} for what {open} conversations \
                 of {context} tokens remember and {:#} to work in; say more, or lower option 'context' or `batch`",
                Bytes(place.memory_bytes),
                Bytes(needed.all()),
                Bytes(weights),
                Bytes(pages),
                Bytes(work)
            )));
        }
        let transformer = Transformer::load(&place.gpu)?;
        let mut space = Space::new(&place.gpu, needed.placed())?;
        let embeddings = file.tensor(EMBEDDINGS, &[sizes.vocabulary, sizes.hidden])?;
        let (name, outputs) = output(file, &sizes);
        let mut loading = Loading { file, space: &mut space, threads };
        let output = if name == EMBEDDINGS {
            loading.matrix(&[(name, outputs)], sizes.hidden, Some(&embeddings))?
        } else {
            loading.matrix(&[(name, outputs)], sizes.hidden, None)?
        };
        let layers = (0..sizes.layers).map(|index| loading.layer(&sizes, index));
        let layers = layers.collect::<Result<_, _>>()?;
        let norm = space.array_of(&file.floats("output_norm.weight", sizes.hidden)?)?;
        let turns = space.array_of(&turns(file, &sizes)?)?;
        let count = page_count(bounds);
        let pages = Pages::new(&mut space, count, shape(&sizes));
        let pool = Arc::new(Pool { free: Mutex::new((0..count).rev().collect()) });
        let work = Work::new(&mut space, &sizes, bounds);
        let bytes = space.bytes();
        Ok(Self {
            gpu: Arc::clone(&place.gpu),
            sizes,
            bounds,
            transformer,
            embeddings,
            layers,
            norm,
            output,
            turns,
            pages,
            pool,
            work,
            writing: (0..bounds.open.min(MOST_RECORDED)).map(|_| OnceLock::new()).collect(),
            bytes,
        })
    }

    pub(super) const fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Pages that nobody remembers anything in.
    #[cfg(test)]
    pub(super) fn free_pages(&self) -> usize {
        self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Room for the logits of a pass.
    pub(super) fn landing(&self) -> Landing<f32> {
        Landing::new(&self.gpu, self.bounds.open * self.sizes.vocabulary)
    }

    /// As [`super::placed::Network::forward`].
    pub(super) fn forward(&self, feeds: &mut [Feed<'_, Memory>], to: &mut [f32]) -> Result<(), Fault> {
        let mut step = Step::default();
        let rows: usize = feeds.iter().map(|feed| feed.tokens.len()).sum();
        let state = step.put(self.embed(feeds).while_doing("looking up tokens")?);
        let [mut positions, mut slots, mut lengths, mut starts, mut tables, mut wanted] =
            [const { Vec::new() }; 6];
        for feed in feeds.iter_mut() {
            feed.memory.make_room(&self.pool, feed.tokens.len())?;
            let first = feed.memory.tokens;
            for token in first..first + feed.tokens.len() {
                positions.push(token as u32);
                slots.push(feed.memory.slot(token));
                lengths.push(token as u32 + 1);
                starts.push(tables.len() as u32);
            }
            tables.extend(feed.memory.pages.iter().map(|page| page.index));
            if feed.wants_logits {
                wanted.push(positions.len() as u32 - 1);
            }
        }
        let answers = wanted.len();
        let lists = [(0..rows as u32).collect(), wanted, positions, slots, lengths, starts, tables];
        let lists = lists.map(|list: Vec<u32>| step.put(list));
        self.work.step.write(&step.numbers)?;
        let state = self.work.step.part_as(0, state.end);
        let [every, wanted, positions, slots, lengths, starts, tables] =
            lists.map(|range| self.work.step.part(range));
        let tokens = Tokens { positions, slots, lengths, starts, tables };
        let pass = |transformer: &Transformer| {
            let Work { normal, logits, .. } = &self.work;
            self.layers(transformer, rows as u32, &state, &every, &tokens)?;
            transformer.norm(&state, &self.norm, &wanted, normal, self.sizes.epsilon)?;
            transformer.linear(&self.output, normal, logits, answers as u32, false)
        };
        let writing = self.writing.get(rows.wrapping_sub(1)).filter(|_| rows == answers);
        // What fails to be recorded can still be done, or says why not.
        match writing.and_then(|place| place.get_or_init(|| self.transformer.record(pass).ok()).as_ref()) {
            Some(recorded) => recorded.run()?,
            None => pass(&self.transformer)?,
        }
        for feed in feeds {
            feed.memory.tokens += feed.tokens.len();
        }
        self.work.logits.read(&mut to[..answers * self.sizes.vocabulary])
    }

    /// Takes `state`, a row for each token, through all layers.
    fn layers(
        &self,
        transformer: &Transformer,
        rows: u32,
        state: &Array<f32>,
        every: &Array<u32>,
        tokens: &Tokens,
    ) -> Result<(), Fault> {
        let Self { pages, turns, .. } = self;
        let Work { normal, projected, seen, gates_ups, gated, .. } = &self.work;
        let epsilon = self.sizes.epsilon;
        for (index, layer) in (0..).zip(&self.layers) {
            transformer.norm(state, &layer.attention_norm, every, normal, epsilon)?;
            transformer.linear(&layer.projections, normal, projected, rows, false)?;
            transformer.remember(projected, turns, tokens, pages, index)?;
            transformer.attention(projected, tokens, pages, seen, index)?;
            transformer.linear(&layer.attention_output, seen, state, rows, true)?;
            transformer.norm(state, &layer.feed_norm, every, normal, epsilon)?;
            transformer.linear(&layer.gate_up, normal, gates_ups, rows, false)?;
            transformer.gate(gates_ups, gated, rows)?;
            transformer.linear(&layer.down, gated, state, rows, true)?;
        }
        Ok(())
    }

    /// The rows of the feeds' tokens, as the numbers that are brought.
    fn embed(&self, feeds: &[Feed<'_, Memory>]) -> candle_core::Result<Vec<u32>> {
        let tokens: Vec<u32> = feeds.iter().flat_map(|feed| feed.tokens.iter().copied()).collect();
        let count = tokens.len();
        let embedded = self.embeddings.embedding(&Tensor::from_vec(tokens, count, &Device::Cpu)?)?;
        Ok(embedded.flatten_all()?.to_vec1()?.into_iter().map(f32::to_bits).collect())
    }
}

/// What is brought to the GPU at once, one list after the other.
#[derive(Default)]
struct Step {
    numbers: Vec<u32>,
}

impl Step {
    /// Where the list lies.
    fn put(&mut self, list: Vec<u32>) -> Range<u64> {
        let start = self.numbers.len() as u64;
        self.numbers.extend(list);
        start..self.numbers.len() as u64
    }
}

/// What a linear layer is made of: the names of tensors, each with its outputs.
type Parts = [(String, usize)];

/// The linear layers of a layer, each with its inputs: projections, attention output, gate and up, down.
fn linears(sizes: &Sizes, index: usize) -> [(Vec<(String, usize)>, usize); 4] {
    let Sizes { hidden, inner, heads, .. } = *sizes;
    let queries = heads.queries * heads.width;
    let key_values = heads.key_values * heads.width;
    let named = |parts: &[(&str, usize)]| {
        parts.iter().map(|(part, outputs)| (format!("blk.{index}.{part}.weight"), *outputs)).collect()
    };
    [
        (named(&[("attn_q", queries), ("attn_k", key_values), ("attn_v", key_values)]), hidden),
        (named(&[("attn_output", hidden)]), queries),
        (named(&[("ffn_gate", inner), ("ffn_up", inner)]), hidden),
        (named(&[("ffn_down", hidden)]), inner),
    ]
}

const EMBEDDINGS: &str = "token_embd.weight";

/// What gives the logits.
fn output(file: &Gguf<'_>, sizes: &Sizes) -> (String, usize) {
    let name = if file.has("output.weight") { "output.weight" } else { EMBEDDINGS };
    (name.to_owned(), sizes.vocabulary)
}

/// Reads layers from a file, and lays them out in a space.
struct Loading<'a, 'b> {
    file: &'a mut Gguf<'b>,
    space: &'a mut Space,
    threads: usize,
}

impl Loading<'_, '_> {
    fn layer(&mut self, sizes: &Sizes, index: usize) -> Result<Layer, Fault> {
        let [projections, attention_output, gate_up, down] = linears(sizes, index);
        Ok(Layer {
            attention_norm: self.norm(index, "attn_norm", sizes)?,
            projections: self.matrix(&projections.0, projections.1, None)?,
            attention_output: self.matrix(&attention_output.0, attention_output.1, None)?,
            feed_norm: self.norm(index, "ffn_norm", sizes)?,
            gate_up: self.matrix(&gate_up.0, gate_up.1, None)?,
            down: self.matrix(&down.0, down.1, None)?,
        })
    }

    fn norm(&mut self, index: usize, name: &str, sizes: &Sizes) -> Result<Array<f32>, Fault> {
        self.space.array_of(&self.file.floats(&format!("blk.{index}.{name}.weight"), sizes.hidden)?)
    }

    /// A linear layer of one or more tensors; `known` is the first, if it has been read.
    fn matrix(&mut self, parts: &Parts, inputs: usize, known: Option<&QTensor>) -> Result<Matrix, Fault> {
        let form = form(self.file, parts);
        let outputs: usize = parts.iter().map(|(_, outputs)| outputs).sum();
        let (mut halves, mut numbers) = (Vec::new(), None::<Numbers>);
        for (name, outputs) in parts {
            let read;
            let tensor = if let Some(known) = known {
                known
            } else {
                read = self.file.tensor(name, &[*outputs, inputs])?;
                &read
            };
            if form == Form::Halves {
                let mut more = to_halves(tensor).while_doing("reading weights")?;
                if halves.is_empty() {
                    halves = more;
                } else {
                    halves.append(&mut more);
                }
                continue;
            }
            let more = blocks::numbers(tensor).while_doing("reading weights")?.widened(form);
            match &mut numbers {
                Some(numbers) => numbers.append(more),
                None => numbers = Some(more),
            }
        }
        let (outputs, inputs) = (outputs as u32, inputs as u32);
        let made = match &numbers {
            Some(numbers) => Matrix::of_numbers(self.space, outputs, inputs, numbers, self.threads),
            None => Matrix::new(self.space, outputs, inputs, &halves, self.threads),
        };
        made.map_err(|fault| {
            let names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
            self.file.wrong(format_args!("{}: {}", names.join(", "), fault.message))
        })
    }
}

/// How a linear layer's weights are kept, by what the file says of its tensors.
fn form(file: &Gguf<'_>, parts: &Parts) -> Form {
    let forms = parts.iter().map(|(name, _)| file.dtype(name).map_or(Form::Halves, blocks::form));
    forms.reduce(Form::with).unwrap_or(Form::Halves)
}

fn to_halves(tensor: &QTensor) -> candle_core::Result<Vec<f16>> {
    let floats = tensor.dequantize(&Device::Cpu)?;
    let halves = floats.to_dtype(DType::F16)?;
    // There may be gigabytes of them.
    drop(floats);
    halves.flatten_all()?.to_vec1()
}

impl Work {
    fn new(space: &mut Space, sizes: &Sizes, bounds: Bounds) -> Self {
        let Sizes { hidden, inner, heads, vocabulary, .. } = *sizes;
        let rows = most_rows(bounds);
        let count = |width: usize| (rows * width) as u64;
        let in_tiles = |space: &mut Space, width: usize| Rows::new(space, rows as u32, width as u32);
        Self {
            step: space.array(step_numbers(sizes, bounds)),
            normal: in_tiles(space, hidden),
            projected: space.array(count(shape(sizes).projected() as usize)),
            seen: in_tiles(space, heads.queries * heads.width),
            gates_ups: space.array(count(2 * inner)),
            gated: in_tiles(space, inner),
            logits: space.array((bounds.open * vocabulary) as u64),
        }
    }
}

/// Tokens whose bytes a memory of so many takes.
pub(super) const fn room(tokens: usize) -> usize {
    tokens.next_multiple_of(PAGE)
}

/// Most rows of a pass: a chunk of a prompt, and a token of every other conversation.
const fn most_rows(bounds: Bounds) -> usize {
    CHUNK + bounds.open
}

const fn page_count(bounds: Bounds) -> u32 {
    (bounds.open * room(bounds.context) / PAGE) as u32
}

/// Most numbers that a pass brings: a row and six numbers for each token, and all pages.
const fn step_numbers(sizes: &Sizes, bounds: Bounds) -> u64 {
    (most_rows(bounds) * (sizes.hidden + 6)) as u64 + page_count(bounds) as u64
}

const fn shape(sizes: &Sizes) -> Shape {
    let heads = sizes.heads;
    Shape {
        layers: sizes.layers as u32,
        queries: heads.queries as u32,
        heads: heads.key_values as u32,
        width: heads.width as u32,
    }
}

/// Why a network of these sizes does not run on a GPU.
fn check(sizes: &Sizes) -> Result<(), String> {
    let Sizes { hidden, inner, heads, .. } = *sizes;
    let (unit, most) = (HEAD_UNIT as usize, (HEAD_UNIT * MOST_HEAD_UNITS) as usize);
    if !heads.width.is_multiple_of(unit) || heads.width > most {
        let width = heads.width;
        return Err(format!(
            "its heads are {width} wide, and on a GPU they are a multiple of {unit}, up to {most}"
        ));
    }
    if let Some(width) = [hidden, inner].into_iter().find(|width| !width.is_multiple_of(TILE)) {
        return Err(format!("its rows are {width} wide, and on a GPU they are a multiple of {TILE}"));
    }
    let projected = heads.queries.saturating_add(2 * heads.key_values).saturating_mul(heads.width);
    match [projected, 2 * inner, hidden, sizes.vocabulary].into_iter().find(|outputs| *outputs > MOST_OUTPUTS)
    {
        Some(outputs) => Err(format!("a layer has {outputs} outputs, and on a GPU at most {MOST_OUTPUTS}")),
        None => Ok(()),
    }
}

/// Bytes of a GPU that a model takes.
struct Needed {
    weights: u64,
    pages: u64,
    work: u64,
    /// That the driver takes for recorded passes.
    recorded: u64,
}

impl Needed {
    const fn placed(&self) -> u64 {
        self.weights.saturating_add(self.pages).saturating_add(self.work)
    }

    const fn all(&self) -> u64 {
        self.placed().saturating_add(self.recorded)
    }
}

fn needed_bytes(file: &Gguf<'_>, sizes: &Sizes, bounds: Bounds) -> Needed {
    let Sizes { hidden, inner, heads, vocabulary, rotated, .. } = *sizes;
    let halves = Space::bytes_of::<f16>;
    let floats = |count: usize| Space::bytes_of::<f32>(count as u64);
    let matrix = |parts: &Parts, inputs: usize| {
        let outputs: usize = parts.iter().map(|(_, outputs)| outputs).sum();
        Matrix::bytes(form(file, parts), outputs as u32, inputs as u32)
    };
    let layers = (0..sizes.layers).map(|index| {
        let linears = linears(sizes, index);
        linears.iter().map(|(parts, inputs)| matrix(parts, *inputs)).sum::<u64>() + 2 * floats(hidden)
    });
    let weights = layers.fold(0, u64::saturating_add);
    let rest = floats(hidden) + matrix(&[output(file, sizes)], hidden) + floats(rotated / 2);
    let rows = most_rows(bounds);
    let in_tiles = |width: usize| halves(Rows::elements(rows as u32, width as u32));
    let (seen, projected) = (heads.queries * heads.width, shape(sizes).projected() as usize);
    let step = Space::bytes_of::<u32>(step_numbers(sizes, bounds));
    Needed {
        weights: weights.saturating_add(rest),
        pages: halves(shape(sizes).page_elements() * u64::from(page_count(bounds))),
        work: step
            + in_tiles(hidden)
            + floats(rows * projected)
            + in_tiles(seen)
            + floats(2 * rows * inner)
            + in_tiles(inner)
            + floats(bounds.open * vocabulary),
        recorded: bounds.open.min(MOST_RECORDED) as u64
            * (KERNELS * sizes.layers + 2) as u64
            * RECORDED_BYTES,
    }
}
