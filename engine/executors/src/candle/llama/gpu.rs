//! The Llama network on a GPU: rows of tokens in, logits out, as [`super::network`] does it on the host.
//!
//! Weights are kept as the file has them where the kernels know how, and in half precision otherwise; keys and values
//! in half precision. Those of a conversation lie in
//! pages of 32 tokens, taken from a pool that is made when the model is loaded, and conversations that begin alike
//! share the pages of their beginning. A row's sums are made in an order of its own, so every conversation gets, to
//! the token, what it would get alone. Tokens are looked up, and the next one is chosen, on the host.

use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::quantized::QTensor;
use candle_core::{Device, Tensor};
use corn_core::{Blame, Fault};
use corn_device::transformer::{
    Form, HEAD_UNIT, MOST_HEAD_UNITS, Matrix, PAGE_TOKENS, Pages, Recorded, Rows, Shape, Tokens, Transformer,
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
const MOST_RECORDED: usize = 64;

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
    /// Passes that only write, by how many conversations take part less one: a token of each goes in, and its logits come
    /// out. All such passes differ in what is brought alone.
    writing: Box<[OnceLock<Recorded>]>,
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
    /// Reads the weights, and takes the memory that conversations within `bounds` need.
    pub(super) fn load(file: &mut Gguf<'_>, place: &OnGpu, bounds: Bounds) -> Result<Self, Fault> {
        let sizes = file.sizes()?;
        check(&sizes).map_err(|why| file.wrong(why))?;
        if bounds.open > MOST_OPEN {
            let open = bounds.open;
            return Err(Fault::setup(format!(
                "it says `batch {open}`, and on a GPU takes {MOST_OPEN} at most"
            )));
        }
        let needed = needed_bytes(file, &sizes, bounds);
        if needed.all() > place.memory_bytes {
            let Needed { weights, pages, work } = needed;
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
        let mut space = Space::new(&place.gpu, needed.all())?;
        let embeddings = file.tensor(EMBEDDINGS, &[sizes.vocabulary, sizes.hidden])?;
        let (name, outputs) = output(file, &sizes);
        let output = if name == EMBEDDINGS {
            matrix(&mut space, &[&embeddings]).while_doing("reading the embeddings")??
        } else {
            read_matrix(file, &mut space, &[(name, outputs)], sizes.hidden)?
        };
        let layers = (0..sizes.layers).map(|index| Layer::load(file, &mut space, &sizes, index));
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
        let only_writes = rows == feeds.len() && rows == answers;
        match self.writing.get(rows.wrapping_sub(1)).filter(|_| only_writes) {
            Some(writing) => self.recorded(writing, pass)?.run()?,
            None => pass(&self.transformer)?,
        }
        for feed in feeds {
            feed.memory.tokens += feed.tokens.len();
        }
        self.work.logits.read(&mut to[..answers * self.sizes.vocabulary])
    }

    /// What is in `place`, or `pass` once it is recorded there.
    fn recorded<'a>(
        &self,
        place: &'a OnceLock<Recorded>,
        pass: impl FnOnce(&Transformer) -> Result<(), Fault>,
    ) -> Result<&'a Recorded, Fault> {
        if let Some(recorded) = place.get() {
            return Ok(recorded);
        }
        let recorded = self.transformer.record(pass)?;
        Ok(place.get_or_init(|| recorded))
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
type Parts = Vec<(String, usize)>;

/// The linear layers of a layer, each with its inputs: projections, attention output, gate and up, down.
fn linears(sizes: &Sizes, index: usize) -> [(Parts, usize); 4] {
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

impl Layer {
    fn load(file: &mut Gguf<'_>, space: &mut Space, sizes: &Sizes, index: usize) -> Result<Self, Fault> {
        let name = |name: &str| format!("blk.{index}.{name}.weight");
        let floats = |file: &mut Gguf<'_>, space: &mut Space, part: &str| {
            space.array_of(&file.floats(&name(part), sizes.hidden)?)
        };
        let [projections, attention_output, gate_up, down] = linears(sizes, index);
        let linear = |file: &mut Gguf<'_>, space: &mut Space, (parts, inputs): (Parts, usize)| {
            read_matrix(file, space, &parts, inputs)
        };
        Ok(Self {
            attention_norm: floats(file, space, "attn_norm")?,
            projections: linear(file, space, projections)?,
            attention_output: linear(file, space, attention_output)?,
            feed_norm: floats(file, space, "ffn_norm")?,
            gate_up: linear(file, space, gate_up)?,
            down: linear(file, space, down)?,
        })
    }
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
    match [projected, 2 * inner, sizes.vocabulary].into_iter().find(|outputs| *outputs > MOST_OUTPUTS) {
        Some(outputs) => Err(format!("a layer has {outputs} outputs, and on a GPU at most {MOST_OUTPUTS}")),
        None => Ok(()),
    }
}

/// Bytes of a GPU that a model takes.
struct Needed {
    weights: u64,
    pages: u64,
    work: u64,
}

impl Needed {
    const fn all(&self) -> u64 {
        self.weights + self.pages + self.work
    }
}

fn needed_bytes(file: &Gguf<'_>, sizes: &Sizes, bounds: Bounds) -> Needed {
    let Sizes { hidden, inner, heads, vocabulary, rotated, .. } = *sizes;
    let halves = Space::bytes_of::<f16>;
    let floats = |count: usize| Space::bytes_of::<f32>(count as u64);
    let matrix = |parts: &[(String, usize)], inputs: usize| {
        let forms = parts.iter().map(|(name, _)| file.dtype(name).map_or(Form::Halves, blocks::form));
        let outputs: usize = parts.iter().map(|(_, outputs)| outputs).sum();
        Matrix::bytes(forms.reduce(Form::with).unwrap_or(Form::Halves), outputs as u32, inputs as u32)
    };
    let layers = (0..sizes.layers).map(|index| {
        let linears = linears(sizes, index).iter().map(|(parts, inputs)| matrix(parts, *inputs)).sum::<u64>();
        linears + 2 * floats(hidden)
    });
    let weights = layers.sum::<u64>() + floats(hidden) + matrix(&[output(file, sizes)], hidden);
    let rows = most_rows(bounds);
    let in_tiles = |width: usize| halves(Rows::elements(rows as u32, width as u32));
    let (seen, projected) = (heads.queries * heads.width, shape(sizes).projected() as usize);
    let step = Space::bytes_of::<u32>(step_numbers(sizes, bounds));
    Needed {
        weights: weights + floats(rotated / 2),
        pages: halves(shape(sizes).page_elements() * u64::from(page_count(bounds))),
        work: step
            + in_tiles(hidden)
            + floats(rows * projected)
            + in_tiles(seen)
            + floats(2 * rows * inner)
            + in_tiles(inner)
            + floats(bounds.open * vocabulary),
    }
}

fn floats(tensor: &QTensor) -> candle_core::Result<Vec<f32>> {
    tensor.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1()
}

/// A linear layer of one or more tensors, each with its outputs.
fn read_matrix(
    file: &mut Gguf<'_>,
    space: &mut Space,
    parts: &[(String, usize)],
    inputs: usize,
) -> Result<Matrix, Fault> {
    let tensors = parts.iter().map(|(name, outputs)| file.tensor(name, &[*outputs, inputs]));
    let tensors = tensors.collect::<Result<Vec<_>, _>>()?;
    matrix(space, &tensors.iter().collect::<Vec<_>>()).while_doing("reading weights")?
}

/// The same of tensors that are read.
fn matrix(space: &mut Space, tensors: &[&QTensor]) -> candle_core::Result<Result<Matrix, Fault>> {
    let (_, inputs) = tensors[0].shape().dims2()?;
    let outputs: usize = tensors.iter().map(|tensor| tensor.shape().elem_count() / inputs).sum();
    let [outputs, inputs] = [outputs, inputs].map(|count| count as u32);
    let forms = tensors.iter().map(|tensor| blocks::form(tensor.dtype()));
    let form = forms.reduce(Form::with).unwrap_or(Form::Halves);
    if form == Form::Halves {
        let mut weights = Vec::new();
        for tensor in tensors {
            weights.append(&mut floats(tensor)?);
        }
        return Ok(Matrix::new(space, outputs, inputs, &weights));
    }
    let mut all = blocks::numbers(tensors[0])?.widened(form);
    for tensor in &tensors[1..] {
        all.append(blocks::numbers(tensor)?.widened(form));
    }
    Ok(Matrix::of_numbers(space, outputs, inputs, &all))
}
