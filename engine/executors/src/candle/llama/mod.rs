//! `llama.chat`: answers a prompt with a language model of the Llama family from a GGUF file.
//!
//! This is an [`Executor`] of its own and not a [`Model`](corn_core::executor::Model) behind
//! [`Interleaved`](corn_core::interleaved::Interleaved), because its calls share work: one turn is
//! one pass of the network over the next token of *every* conversation that may write, and over a
//! chunk of one prompt that is still being read. So many calls cost little more than one, a long
//! prompt does not hold up others, and calls come and go at any turn (continuous batching). Every
//! call gets, to the token, what it would get alone; see [`quantized`].
//!
//! A prompt that begins like one that was read before goes on from what is remembered of it (see [`kept`]). What is
//! kept for that lies in the memory that open calls could use and do not.

mod blocks;
mod conversation;
mod gguf;
mod gpu;
mod grammar;
mod kept;
mod network;
mod placed;
mod quantized;
mod sampler;
mod schema;
mod template;
#[cfg(test)]
mod tests;
mod vocabulary;
mod writer;

pub use self::gpu::OnGpu;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use corn_core::executor::{Call, CallId, Executor, Progress, Report, Turn};
use corn_core::{Datum, Fault};
use corn_plan::Literal;

use self::conversation::{Answered, Conversation, Defaults, Next};
use self::gguf::Gguf;
use self::grammar::Grammars;
use self::kept::{Store, shared};
use self::placed::{Feed, Logits, Memory, Network};
use self::template::Template;
use self::vocabulary::Vocabulary;
use crate::candle::options::Options;
use crate::candle::{Place, files};

/// The entry's name.
pub(super) const NAME: &str = "llama.chat";

/// Most tokens of prompt and answer where the component does not say. Each takes memory (46 KiB for
/// SmolLM2), so what a model could do at most is not the default.
const DEFAULT_CONTEXT: usize = 4096;

/// Answers prompts.
pub(super) struct Llama {
    reader: Reader,
    network: Network,
    /// Where a pass puts them.
    logits: Logits,
    max_open: usize,
    waiting: VecDeque<Call>,
    /// In the order in which prompts get their chunks.
    open: VecDeque<Conversation>,
    /// Those that waited for room while their memory was needed: they are opened again when they have some.
    parked: VecDeque<Conversation>,
    kept: Store,
    /// Most tokens that are kept.
    keeps: usize,
}

/// What turns a request into tokens.
struct Reader {
    vocabulary: Vocabulary,
    grammars: Grammars,
    template: Template,
    defaults: Defaults,
    /// Most tokens of prompt and answer.
    context: usize,
}

/// Loads the GGUF file `weights`, to run on the GPU of `place` if it has one. As many conversations as a batch may have
/// calls are open at once; each has a memory of its own.
pub(super) fn load(
    paths: &BTreeMap<String, PathBuf>,
    options: &BTreeMap<String, Literal>,
    place: &Place,
    progress: &dyn Progress,
) -> Result<Llama, Fault> {
    let options = Options::new(NAME, options);
    let defaults = Defaults::read(&options)?;
    let mut file = Gguf::open(files::required(paths, NAME, "weights")?, progress)?;
    let made_for = file.sizes()?.context;
    let context = options.int("context", made_for.min(DEFAULT_CONTEXT) as i64, 1..=made_for as i64)? as usize;
    let max_open = place.batch.max.max(1) as usize;
    let network = match &place.gpu {
        Some(on) => {
            let bounds = gpu::Bounds { open: max_open, context };
            Network::Gpu(gpu::Network::load(&mut file, on, bounds, place.cpus as usize)?.into())
        }
        None => Network::Host(network::Network::load(&mut file, place.cpus)?.into()),
    };
    let vocabulary = Vocabulary::load(&file)?;
    if vocabulary.len() != network.sizes().vocabulary {
        return Err(file.wrong("its vocabulary and its weights are of different sizes"));
    }
    let grammars = Grammars::new(&vocabulary)?;
    let template = Template::load(&file, &vocabulary)?;
    // The first passes arrange the weights for the processor, or bring the kernels of long passes and of one token to
    // the GPU; no request should wait for that.
    let mut logits = network.logits();
    for tokens in network.first_passes() {
        let (first, mut memory) = (vec![0; (*tokens).min(context)], network.empty_memory());
        let feed = Feed { tokens: &first, memory: &mut memory, wants_logits: true };
        network.forward(&mut [feed], &mut logits)?;
    }
    let keeps = options.int("prefix_cache", i64::from(u32::MAX), 0..=i64::from(u32::MAX))? as usize;
    let reader = Reader { vocabulary, grammars, template, defaults, context };
    let (waiting, open, parked, kept) = Default::default();
    Ok(Llama { reader, network, logits, max_open, waiting, open, parked, kept, keeps })
}

impl Llama {
    /// Opens the next call that waits, if there is one.
    fn open_next(&mut self, reports: &mut dyn FnMut(Report)) -> bool {
        let Some(call) = self.waiting.pop_front() else { return false };
        let Some(room) = call.outputs.first().copied().flatten() else {
            reports(Report::Done { call: call.id });
            return true;
        };
        match Conversation::open(&call, room, &self.reader) {
            Ok(mut conversation) => {
                conversation.remember(self.memory_for(conversation.tokens()));
                reports(Report::Used { call: call.id, usage: conversation.brought() });
                self.open.push_back(conversation);
                self.keep_in_bounds();
            }
            Err(fault) => reports(Report::Failed { call: call.id, fault }),
        }
        true
    }

    /// The longest memory of a beginning of `tokens` that there is, of a conversation that is over or of an open one.
    fn memory_for(&mut self, tokens: &[u32]) -> Memory {
        // Its last token is read in any case: the answer follows from that.
        let most = if self.keeps == 0 { 0 } else { tokens.len() - 1 };
        let known = |open: &Conversation| shared(open.tokens(), tokens).min(open.memory().tokens()).min(most);
        let open = self.open.iter().map(|open| (known(open), open)).max_by_key(|(known, _)| *known);
        let known = open.as_ref().map_or(0, |(known, _)| *known);
        match (self.kept.find(tokens, most, known), open) {
            (Some(memory), _) => memory,
            (None, Some((known, open))) if known > 0 => open.memory().beginning(known),
            (None, _) => self.network.empty_memory(),
        }
    }

    /// A call is over, and so may what it remembers be of use.
    fn close(&mut self, index: usize) {
        if let Some(over) = self.open.remove(index)
            && self.keeps > 0
        {
            self.kept.keep(over.leave());
            self.keep_in_bounds();
        }
    }

    /// Tokens that open calls may come to.
    fn taken_tokens(&self) -> usize {
        self.open.iter().map(|open| self.network.room(open.most_tokens())).sum()
    }

    /// Tokens that there is memory for, as the component says it.
    fn most_tokens(&self) -> usize {
        self.max_open * self.network.room(self.reader.context)
    }

    /// Whether there is memory for one more call of so many tokens.
    fn has_memory_for(&self, tokens: usize) -> bool {
        self.network.may_outgrow() || self.taken_tokens() + self.network.room(tokens) <= self.most_tokens()
    }

    /// Opens a parked call that has room again, if there is one.
    fn resume_next(&mut self) -> bool {
        let can_go_on = |parked: &Conversation| parked.room > 0 && self.has_memory_for(parked.most_tokens());
        let Some(index) = self.parked.iter().position(can_go_on) else { return false };
        let mut conversation = self.parked.remove(index).expect("its position was just found");
        conversation.remember(self.memory_for(conversation.tokens()));
        self.open.push_back(conversation);
        self.keep_in_bounds();
        true
    }

    /// All that are open wait for room. Whether another call could go on, for which some of them are parked if there is
    /// no memory for it otherwise: it may be the very one that they wait for.
    fn make_way(&mut self) -> bool {
        if self.waiting.is_empty() && self.parked.iter().all(|parked| parked.room == 0) {
            return false;
        }
        while !self.has_memory_for(self.reader.context)
            && let Some(mut stalled) = self.open.pop_front()
        {
            let left = stalled.park();
            if self.keeps > 0 {
                self.kept.keep(left);
            }
            self.parked.push_back(stalled);
        }
        self.keep_in_bounds();
        true
    }

    /// What is kept lies where open calls do not.
    fn keep_in_bounds(&mut self) {
        let taken = self.taken_tokens();
        let free = self.most_tokens().saturating_sub(taken);
        self.kept.shrink(free.min(self.keeps));
    }

    /// The calls that take part in the next pass: those that write, and the first that reads; as many as may be open.
    fn choose(&self) -> Vec<CallId> {
        let mut reads = false;
        let mut chosen = Vec::new();
        for conversation in
            self.open.iter().filter(|conversation| conversation.is_ready(self.network.chunk()))
        {
            if conversation.is_reading() && std::mem::replace(&mut reads, true) {
                continue;
            }
            chosen.push(conversation.call);
            if chosen.len() == self.max_open {
                break;
            }
        }
        chosen
    }

    /// One pass of the network over the conversations of `chosen` calls.
    fn pass(&mut self, chosen: &[CallId], reports: &mut dyn FnMut(Report)) {
        let chunk = self.network.chunk();
        let mut feeds: Vec<Feed<'_>> = self
            .open
            .iter_mut()
            .filter(|conversation| chosen.contains(&conversation.call))
            .map(|conversation| {
                let Next { tokens, memory, is_last } = conversation.next(chunk);
                Feed { tokens, memory, wants_logits: is_last }
            })
            .collect();
        let wants: Vec<bool> = feeds.iter().map(|feed| feed.wants_logits).collect();
        reports(Report::Batch { calls: chosen.len() as u32 });
        if let Err(fault) = self.network.forward(&mut feeds, &mut self.logits) {
            // Their memories are of no more use.
            self.open.retain(|open| !chosen.contains(&open.call));
            for call in chosen {
                reports(Report::Failed { call: *call, fault: fault.clone() });
            }
            return;
        }
        let mut logits = std::mem::take(&mut self.logits);
        let mut rows = logits.numbers().chunks_exact_mut(self.reader.vocabulary.len());
        for (call, wants) in chosen.iter().zip(wants) {
            let row = if wants { rows.next() } else { None };
            self.take_in(*call, row, reports);
        }
        self.logits = logits;
    }

    /// A conversation's tokens have been read; `logits` follow the last one that is known.
    fn take_in(&mut self, call: CallId, logits: Option<&mut [f32]>, reports: &mut dyn FnMut(Report)) {
        let index = self.open.iter().position(|open| open.call == call).expect("it took part in the pass");
        let Some(logits) = logits else {
            // More of its prompt is to be read: now it is another prompt's turn.
            let conversation = self.open.remove(index).expect("its position was just found");
            self.open.push_back(conversation);
            return;
        };
        let conversation = &mut self.open[index];
        let Answered { text, ended } = match conversation.write(logits, &self.reader) {
            Ok(answered) => answered,
            Err(fault) => {
                self.close(index);
                reports(Report::Failed { call, fault });
                return;
            }
        };
        if !text.is_empty() {
            assert!(conversation.room > 0, "a conversation writes only where there is room");
            conversation.room -= 1;
            reports(Report::Emitted { call, port: 0, item: Datum::text(text) });
        }
        if ended {
            reports(Report::Used { call, usage: self.open[index].made() });
            self.close(index);
            reports(Report::Done { call });
        }
    }
}

impl Executor for Llama {
    fn start(&mut self, call: Call) {
        self.waiting.push_back(call);
    }

    fn feed(&mut self, _call: CallId, _port: u32, _item: Datum) {
        // No input of this entry is a stream; the compiler has checked it.
    }

    fn end(&mut self, _call: CallId, _port: u32) {}

    fn grant(&mut self, call: CallId, port: u32, count: u32) {
        let waiting = self.waiting.iter_mut().filter(|waiting| waiting.id == call);
        let waiting = waiting.filter_map(|waiting| waiting.outputs.get_mut(port as usize)?.as_mut());
        let open = self.open.iter_mut().filter(|open| open.call == call);
        let parked = self.parked.iter_mut().filter(|parked| parked.call == call);
        for room in waiting.chain(open.chain(parked).map(|open| &mut open.room)) {
            *room = room.saturating_add(count);
        }
    }

    fn cancel(&mut self, call: CallId) {
        self.waiting.retain(|waiting| waiting.id != call);
        self.parked.retain(|parked| parked.call != call);
        if let Some(index) = self.open.iter().position(|open| open.call == call) {
            self.close(index);
        }
    }

    fn advance(&mut self, _now_us: u64, reports: &mut dyn FnMut(Report)) -> Turn {
        if self.open.len() < self.max_open && (self.resume_next() || self.open_next(reports)) {
            return Turn::Busy;
        }
        let chosen = self.choose();
        if chosen.is_empty() {
            let goes_on = self.make_way() && (self.resume_next() || self.open_next(reports));
            return if goes_on { Turn::Busy } else { Turn::Idle };
        }
        self.pass(&chosen, reports);
        Turn::Busy
    }

    fn memory_bytes(&self) -> u64 {
        let open: u64 = self.open.iter().map(Conversation::bytes).sum();
        self.network.bytes() + open + self.kept.bytes()
    }
}
