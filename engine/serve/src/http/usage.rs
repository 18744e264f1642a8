//! What a request used, as far as the engine can count it.
//!
//! The engine knows no tokenizer: it hands texts to components and gets texts back. So where the API says tokens,
//! words are counted of what came in, and of what went out the pieces in which the model made it, which is a token each
//! for a language model that streams. Beside them stands what can be counted exactly.

use corn_core::Datum;
use corn_core::datum::Part;
use serde_json::{Map, Value, json};

/// How much of everything.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    words: u64,
    text_bytes: u64,
    images: u64,
    video_frames: u64,
    pub(super) audio_ms: u64,
    /// Items of texts and of sounds.
    pieces: u64,
}

impl Used {
    /// What all of these hold.
    pub(super) fn of<'d>(data: impl IntoIterator<Item = &'d Datum>) -> Self {
        let mut used = Self::default();
        data.into_iter().for_each(|datum| used.add(datum));
        used
    }

    /// Counts one more.
    pub(super) fn add(&mut self, datum: &Datum) {
        match datum {
            Datum::Text(text) => {
                self.words += text.split_whitespace().count() as u64;
                self.text_bytes += text.len() as u64;
                self.pieces += 1;
            }
            Datum::Image(_) => self.images += 1,
            Datum::Video(video) => self.video_frames += video.frames.len() as u64,
            Datum::Audio(audio) => {
                self.audio_ms += audio.duration_ms();
                self.pieces += 1;
            }
            Datum::List(items) => items.iter().for_each(|item| self.add(item)),
            Datum::Messages(conversation) => {
                conversation.media.iter().for_each(|medium| self.add(medium));
                for part in conversation.parts() {
                    if let Part::Text(text) = part {
                        self.words += text.split_whitespace().count() as u64;
                        self.text_bytes += text.len() as u64;
                    }
                }
            }
            _ => {}
        }
    }

    fn counted(&self) -> Value {
        let mut counted = Map::new();
        for (name, count) in [
            ("text_bytes", self.text_bytes),
            ("images", self.images),
            ("audio_ms", self.audio_ms),
            ("video_frames", self.video_frames),
        ] {
            if count > 0 {
                counted.insert(name.to_owned(), count.into());
            }
        }
        counted.into()
    }

    /// As chats and completions say it.
    pub(super) fn chat(&self, out: &Self) -> Value {
        json!({
            "prompt_tokens": self.words,
            "completion_tokens": out.pieces,
            "total_tokens": self.words + out.pieces,
            "counted": { "in": self.counted(), "out": out.counted() },
        })
    }

    /// As speech says it.
    pub(super) fn speech(&self, out: &Self) -> Value {
        json!({
            "input_tokens": self.words,
            "output_tokens": out.pieces,
            "total_tokens": self.words + out.pieces,
            "counted": { "in": self.counted(), "out": out.counted() },
        })
    }

    /// As pictures say it: a token for each.
    pub(super) fn images(&self, out: &Self) -> Value {
        let (words, images) = (self.words, self.images);
        json!({
            "input_tokens": words + images,
            "input_tokens_details": { "text_tokens": words, "image_tokens": images },
            "output_tokens": out.images,
            "total_tokens": words + images + out.images,
            "counted": { "in": self.counted(), "out": out.counted() },
        })
    }

    /// As embeddings say it.
    pub(super) fn embeddings(&self) -> Value {
        json!({ "prompt_tokens": self.words, "total_tokens": self.words, "counted": { "in": self.counted() } })
    }

    /// As transcriptions say it: this needs no tokens.
    pub(super) fn transcription(&self) -> Value {
        json!({ "type": "duration", "seconds": self.audio_ms.div_ceil(1000) })
    }
}
