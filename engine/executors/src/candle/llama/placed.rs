//! Where a network runs, and where conversations of it are remembered: on the host, or on a GPU.

use corn_core::Fault;
use corn_device::Landing;

use super::gguf::Sizes;
use super::{gpu, network};
use crate::candle::attention;

/// A network, where it runs.
pub(super) enum Network {
    Host(Box<network::Network>),
    Gpu(Box<gpu::Network>),
}

/// What is remembered of one conversation, where its network runs.
pub(super) enum Memory {
    Host(attention::Memory),
    Gpu(gpu::Memory),
}

/// The next tokens of one conversation.
pub(super) struct Feed<'a, M = Memory> {
    pub(super) tokens: &'a [u32],
    pub(super) memory: &'a mut M,
    /// Whether the logits after the last token are wanted.
    pub(super) wants_logits: bool,
}

/// The logits after the last token of each feed that wants them, one after the other.
pub(super) enum Logits {
    Host(Vec<f32>),
    Gpu(Landing<f32>),
}

impl Logits {
    pub(super) fn numbers(&mut self) -> &mut [f32] {
        match self {
            Self::Host(numbers) => numbers,
            Self::Gpu(landing) => landing.numbers(),
        }
    }
}

impl Default for Logits {
    fn default() -> Self {
        Self::Host(Vec::new())
    }
}

impl Network {
    pub(super) fn sizes(&self) -> &Sizes {
        match self {
            Self::Host(network) => network.sizes(),
            Self::Gpu(network) => network.sizes(),
        }
    }

    /// A conversation that has read nothing.
    pub(super) fn empty_memory(&self) -> Memory {
        match self {
            Self::Host(network) => Memory::Host(network.empty_memory()),
            Self::Gpu(_) => Memory::Gpu(gpu::Memory::default()),
        }
    }

    /// Tokens of a prompt that are read in one turn.
    pub(super) const fn chunk(&self) -> usize {
        match self {
            Self::Host(_) => network::CHUNK,
            Self::Gpu(_) => gpu::CHUNK,
        }
    }

    /// Tokens of passes after which no other is slow.
    pub(super) const fn first_passes(&self) -> &'static [usize] {
        match self {
            Self::Host(_) => &[2],
            Self::Gpu(_) => &[gpu::CHUNK, 1],
        }
    }

    /// Tokens whose bytes a memory of so many takes.
    pub(super) fn room(&self, tokens: usize) -> usize {
        match self {
            Self::Host(_) => attention::Memory::room(tokens),
            Self::Gpu(_) => gpu::room(tokens),
        }
    }

    /// Whether there is more memory than was said for as many conversations as may be open.
    pub(super) const fn may_outgrow(&self) -> bool {
        matches!(self, Self::Host(_))
    }

    /// Bytes of what stays: weights, and on a GPU also the room for conversations.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Host(network) => network.bytes(),
            Self::Gpu(network) => network.bytes(),
        }
    }

    /// Where logits are put.
    pub(super) fn logits(&self) -> Logits {
        match self {
            Self::Host(_) => Logits::default(),
            Self::Gpu(network) => Logits::Gpu(network.landing()),
        }
    }

    /// Reads the tokens of each feed into its memory, a chunk of one and a token of each other. Puts the logits of those
    /// that want them into `logits`, which [`Self::logits`] gave.
    ///
    /// Every memory must have room for its tokens within the context. If this fails, the memories are
    /// of no more use.
    pub(super) fn forward(&self, feeds: &mut [Feed<'_>], logits: &mut Logits) -> Result<(), Fault> {
        match (self, logits) {
            (Self::Host(network), Logits::Host(logits)) => {
                let feeds = feeds.iter_mut().map(|feed| feed.with(Memory::host));
                *logits = network.forward(&mut feeds.collect::<Vec<_>>())?;
                Ok(())
            }
            (Self::Gpu(network), Logits::Gpu(logits)) => {
                let feeds = feeds.iter_mut().map(|feed| feed.with(Memory::gpu));
                network.forward(&mut feeds.collect::<Vec<_>>(), logits.numbers())
            }
            _ => unreachable!("logits lie where their network puts them"),
        }
    }
}

impl Feed<'_> {
    fn with<M>(&mut self, memory: fn(&mut Memory) -> &mut M) -> Feed<'_, M> {
        Feed { tokens: self.tokens, memory: memory(self.memory), wants_logits: self.wants_logits }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::Host(attention::Memory::default())
    }
}

impl Memory {
    fn host(&mut self) -> &mut attention::Memory {
        match self {
            Self::Host(memory) => memory,
            Self::Gpu(_) => unreachable!("a memory lies where its network runs"),
        }
    }

    fn gpu(&mut self) -> &mut gpu::Memory {
        match self {
            Self::Gpu(memory) => memory,
            Self::Host(_) => unreachable!("a memory lies where its network runs"),
        }
    }

    /// Tokens remembered in every layer.
    pub(super) fn tokens(&self) -> usize {
        match self {
            Self::Host(memory) => memory.tokens(),
            Self::Gpu(memory) => memory.tokens(),
        }
    }

    /// Tokens whose bytes it takes.
    pub(super) fn room(&self) -> usize {
        match self {
            Self::Host(memory) => attention::Memory::room(memory.tokens()),
            Self::Gpu(memory) => gpu::room(memory.tokens()),
        }
    }

    /// Bytes held beside the network's.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Host(memory) => memory.bytes(),
            Self::Gpu(_) => 0,
        }
    }

    /// A memory of the first `tokens`, or of a little fewer where they are shared in pages.
    pub(super) fn beginning(&self, tokens: usize) -> Self {
        match self {
            Self::Host(memory) => Self::Host(memory.beginning(tokens)),
            Self::Gpu(memory) => Self::Gpu(memory.beginning(tokens)),
        }
    }

    /// Gives back the room that was set aside for more tokens.
    pub(super) fn fit(&mut self) {
        if let Self::Host(memory) = self {
            memory.fit();
        }
    }
}
