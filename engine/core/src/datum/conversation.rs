//! Conversations: texts with the roles that say them, and where media stand between them.

use std::sync::Arc;

use corn_plan::Modality;
use corn_plan::types::PART_MAX_BYTES;

use crate::datum::Datum;

/// A conversation.
///
/// A request brings it with its media. At admission they are taken out, since they are a value of their own: each goes
/// straight to what works on its kind, and whoever reads the conversation finds marks where they stood.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversation {
    /// What is said, in order.
    pub messages: Vec<Message>,
    /// The media, in the order of their marks; none are left in a value of a replay.
    pub media: Vec<Datum>,
}

/// What is said at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// Its texts and marks of media, in order.
    pub parts: Vec<Part>,
}

/// Who says something in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Whoever runs the service.
    System,
    /// Whoever asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The word in chat templates and in the JSON of chat endpoints.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text.
    Text(Arc<str>),
    /// Here stands the next of the media, which is of this kind.
    Media(Modality),
}

impl Conversation {
    /// Every part, in order.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.messages.iter().flat_map(|message| &message.parts)
    }

    /// Bytes of its texts and of the media that are still in it.
    pub(super) fn bytes(&self) -> u64 {
        let texts = self.parts().map(|part| if let Part::Text(text) = part { text.len() as u64 } else { 0 });
        texts.sum::<u64>() + self.media.iter().map(Datum::bytes).sum::<u64>()
    }

    /// Whether it is within its bounds, and its media, if it has any, are those that are marked.
    pub(super) fn check(&self, max_parts: u32) -> Result<(), String> {
        let parts = self.parts().count();
        if parts > max_parts as usize {
            return Err(format!("a conversation of {parts} parts is over the bound of {max_parts} parts"));
        }
        let texts =
            self.parts().filter_map(|part| if let Part::Text(text) = part { Some(text) } else { None });
        if let Some(long) = texts.map(|text| text.len() as u64).find(|bytes| *bytes > PART_MAX_BYTES) {
            return Err(format!("a part of {long} bytes is over the bound of {PART_MAX_BYTES} bytes"));
        }
        let marked =
            self.parts().filter_map(|part| if let Part::Media(kind) = part { Some(*kind) } else { None });
        let are_marked = self.media.iter().map(Datum::modality).eq(marked.map(Some));
        if !self.media.is_empty() && !are_marked {
            return Err("the media of the conversation are not those that its parts say".to_owned());
        }
        Ok(())
    }
}
