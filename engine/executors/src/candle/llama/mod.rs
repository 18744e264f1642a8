//! `llama.chat`: answers a prompt with a language model of the Llama family from a GGUF file.
//!
//! This is an [`Executor`] of its own and not a [`Model`](corn_core::executor::Model) behind
//! [`Interleaved`](corn_core::interleaved::Interleaved), because its calls share work: one turn is
//! one pass of the network over the next token of *every* conversation that may write, and over a
//! chunk of one prompt that is still being read. So many calls cost little more than one, a long
//! prompt does not hold up others, and calls come and go at any turn (continuous batching). Every
//! call gets, to the token, what it would get alone; see [`quantized`].

mod conversation;
mod gguf;
mod network;
mod quantized;
mod sampler;
mod template;
#[cfg(test)]
mod tests;
mod vocabulary;
mod writer;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use corn_core::executor::{Call, CallId, Executor, Progress, Report, Turn};
use corn_core::{Datum, Fault};
use corn_plan::Literal;

use self::conversation::{Answered, Conversation, Defaults, Next};
use self::gguf::Gguf;
use self::network::{Feed, Network};
use self::template::Template;
use self::vocabulary::Vocabulary;
use crate::candle::files;
use crate::candle::options::Options;

/// The entry's name.
pub(super) const NAME: &str = "llama.chat";

/// Tokens of a prompt that are read in one turn.
const CHUNK: usize = 64;

/// Most tokens of prompt and answer where the component does not say. Each takes memory (46 KiB for
/// SmolLM2), so what a model could do at most is not the default.
const DEFAULT_CONTEXT: usize = 4096;

/// Answers prompts.
pub(super) struct Llama {
    reader: Reader,
    network: Network,
    max_open: usize,
    waiting: VecDeque<Call>,
    /// In the order in which prompts get their chunks.
    open: VecDeque<Conversation>,
}

/// What turns a request into tokens.
struct Reader {
    vocabulary: Vocabulary,
    template: Template,
    defaults: Defaults,
    /// Most tokens of prompt and answer.
    context: usize,
}

/// Loads the GGUF file `weights`. At most `max_open` conversations are open at once; each has a
/// memory of its own.
pub(super) fn load(
    paths: &BTreeMap<String, PathBuf>,
    options: &BTreeMap<String, Literal>,
    cpus: u32,
    max_open: u32,
    progress: &dyn Progress,
) -> Result<Llama, Fault> {
    let options = Options::new(NAME, options);
    let defaults = Defaults::read(&options)?;
    let mut file = Gguf::open(files::required(paths, NAME, "weights")?, progress)?;
    let network = Network::load(&mut file, cpus)?;
    let made_for = network.sizes().context;
    let context = options.int("context", made_for.min(DEFAULT_CONTEXT) as i64, 1..=made_for as i64)? as usize;
    let vocabulary = Vocabulary::load(&file)?;
    if vocabulary.len() != network.sizes().vocabulary {
        return Err(file.wrong("its vocabulary and its weights are of different sizes"));
    }
    let template = Template::load(&file, &vocabulary)?;
    // The first pass arranges the weights for the processor; no request should wait for that.
    let mut memory = network.empty_memory();
    network.forward(&mut [Feed { tokens: &[0, 0], memory: &mut memory, wants_logits: true }])?;
    let reader = Reader { vocabulary, template, defaults, context };
    let max_open = max_open.max(1) as usize;
    Ok(Llama { reader, network, max_open, waiting: VecDeque::new(), open: VecDeque::new() })
}

impl Llama {
    /// Opens the next call that waits, if there is one.
    fn open_next(&mut self, reports: &mut dyn FnMut(Report)) -> bool {
        let Some(call) = self.waiting.pop_front() else { return false };
        let Some(room) = call.outputs.first().copied().flatten() else {
            reports(Report::Done { call: call.id });
            return true;
        };
        match Conversation::open(&call, room, &self.reader, self.network.empty_memory()) {
            Ok(conversation) => self.open.push_back(conversation),
            Err(fault) => reports(Report::Failed { call: call.id, fault }),
        }
        true
    }

    /// The calls that take part in the next pass: all that write, and the first that reads.
    fn choose(&self) -> Vec<CallId> {
        let mut reads = false;
        let mut chosen = Vec::new();
        for conversation in self.open.iter().filter(|conversation| conversation.is_ready(CHUNK)) {
            if conversation.is_reading() && std::mem::replace(&mut reads, true) {
                continue;
            }
            chosen.push(conversation.call);
        }
        chosen
    }

    /// One pass of the network over the conversations of `chosen` calls.
    fn pass(&mut self, chosen: &[CallId], reports: &mut dyn FnMut(Report)) {
        let mut feeds: Vec<Feed<'_>> = self
            .open
            .iter_mut()
            .filter(|conversation| chosen.contains(&conversation.call))
            .map(|conversation| {
                let Next { tokens, memory, is_last } = conversation.next(CHUNK);
                Feed { tokens, memory, wants_logits: is_last }
            })
            .collect();
        reports(Report::Batch { calls: chosen.len() as u32 });
        let logits = match self.network.forward(&mut feeds) {
            Ok(logits) => logits,
            Err(fault) => {
                for call in chosen {
                    self.cancel(*call);
                    reports(Report::Failed { call: *call, fault: fault.clone() });
                }
                return;
            }
        };
        for (call, logits) in chosen.iter().zip(logits) {
            self.take_in(*call, logits, reports);
        }
    }

    /// A conversation's tokens have been read; `logits` follow the last one that is known.
    fn take_in(&mut self, call: CallId, logits: Option<Vec<f32>>, reports: &mut dyn FnMut(Report)) {
        let index = self.open.iter().position(|open| open.call == call).expect("it took part in the pass");
        let Some(logits) = logits else {
            // More of its prompt is to be read: now it is another prompt's turn.
            let conversation = self.open.remove(index).expect("its position was just found");
            self.open.push_back(conversation);
            return;
        };
        let conversation = &mut self.open[index];
        let Answered { text, ended } = conversation.write(logits, &self.reader);
        if !text.is_empty() {
            assert!(conversation.room > 0, "a conversation writes only where there is room");
            conversation.room -= 1;
            reports(Report::Emitted { call, port: 0, item: Datum::text(text) });
        }
        if ended {
            self.open.remove(index);
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
        for room in waiting.chain(open.map(|open| &mut open.room)) {
            *room = room.saturating_add(count);
        }
    }

    fn cancel(&mut self, call: CallId) {
        self.waiting.retain(|waiting| waiting.id != call);
        self.open.retain(|open| open.call != call);
    }

    fn advance(&mut self, _now_us: u64, reports: &mut dyn FnMut(Report)) -> Turn {
        if self.open.len() < self.max_open && self.open_next(reports) {
            return Turn::Busy;
        }
        let chosen = self.choose();
        if chosen.is_empty() {
            // All that are open wait for room; the next one may be the very reader that they wait for.
            return if self.open_next(reports) { Turn::Busy } else { Turn::Idle };
        }
        self.pass(&chosen, reports);
        Turn::Busy
    }

    fn memory_bytes(&self) -> u64 {
        let open: u64 = self.open.iter().map(Conversation::bytes).sum();
        self.network.bytes() + open
    }
}
