//! Memories of conversations that are over, for those that begin like one of them.
//!
//! The next turn of a conversation begins with all that was said before, and requests of one application begin with
//! the same system message. What the network remembers of a token depends only on the tokens up to it, bit by bit (see
//! [`super::quantized`]), so whoever begins alike goes on from there and gets, to the token, what it would get alone.

use std::collections::VecDeque;

use super::placed::Memory;

/// What a conversation that is over leaves.
pub(super) struct Kept {
    /// One for each token that the memory holds.
    pub(super) tokens: Vec<u32>,
    pub(super) memory: Memory,
}

/// Memories that are kept, the one that was of use last at the end.
#[derive(Default)]
pub(super) struct Store {
    kept: VecDeque<Kept>,
    /// In all of them: as many as their bytes are of.
    tokens: usize,
}

impl Store {
    /// Keeps the memory of a conversation that is over. Others that it begins like are of no more use.
    pub(super) fn keep(&mut self, mut new: Kept) {
        if new.tokens.is_empty() || self.kept.iter().any(|kept| kept.tokens.starts_with(&new.tokens)) {
            return;
        }
        self.kept.retain(|kept| !new.tokens.starts_with(&kept.tokens));
        new.memory.fit();
        self.kept.push_back(new);
        self.tokens = self.kept.iter().map(|kept| kept.memory.room()).sum();
    }

    /// Forgets what was of use longest ago until at most so many tokens are kept.
    pub(super) fn shrink(&mut self, most_tokens: usize) {
        while self.tokens > most_tokens
            && let Some(oldest) = self.kept.pop_front()
        {
            self.tokens -= oldest.memory.room();
        }
    }

    /// A memory of at most `most` of the first of `tokens`, if one is kept that is longer than `known`.
    pub(super) fn find(&mut self, tokens: &[u32], most: usize, known: usize) -> Option<Memory> {
        let shared = |kept: &Kept| shared(&kept.tokens, tokens).min(most);
        let (index, length) = (0..).zip(self.kept.iter().map(shared)).max_by_key(|(_, length)| *length)?;
        if length <= known {
            return None;
        }
        let found = self.kept.remove(index)?;
        if length == found.tokens.len() {
            // It goes on.
            self.tokens -= found.memory.room();
            return Some(found.memory);
        }
        let memory = found.memory.beginning(length);
        self.kept.push_back(found);
        Some(memory)
    }

    /// How much is kept.
    #[cfg(test)]
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> u64 {
        self.kept.iter().map(|kept| kept.memory.bytes()).sum()
    }
}

/// How many tokens two conversations have in common at their beginning.
pub(super) fn shared(one: &[u32], other: &[u32]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}
