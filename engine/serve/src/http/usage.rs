//! What a request used, as far as the engine can count it.
//!
//! Components with a tokenizer say how many tokens they have read and made. Others are handed texts and give texts back:
//! there, where the API says tokens, words are counted of what came in, and of what went out the pieces in which the model
//! made it. Beside them stands what can be counted exactly.

use corn_core::Datum;
use corn_core::datum::Part;
use corn_core::executor::Usage;
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
    /// What components say that they have used to make this.
    told: Option<Usage>,
}

/// Why an answer has ended that components have used so much for, as chats and completions say it.
pub(super) fn finish(usage: Option<Usage>) -> &'static str {
    if usage.is_some_and(|usage| usage.is_cut) { "length" } else { "stop" }
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

    /// Components say that they have used so much to make all of this.
    pub(super) fn tell(&mut self, usage: Option<Usage>) {
        self.told = usage.or(self.told);
    }

    /// And so much to make another of the things that are counted here.
    pub(super) fn tell_more(&mut self, usage: Option<Usage>) {
        self.told = usage.map(|usage| self.told.unwrap_or_default().and(usage)).or(self.told);
    }

    /// Why this has ended.
    pub(super) fn finish(&self) -> &'static str {
        finish(self.told)
    }

    /// Whether this has ended because it had become as long as it may.
    pub(super) fn is_cut(&self) -> bool {
        self.told.is_some_and(|told| told.is_cut)
    }

    /// Tokens that were brought, those of them that did not have to be read, and those that were made.
    fn tokens(&self, out: &Self) -> (u64, u64, u64) {
        let told = out.told.unwrap_or_default();
        let or = |told, counted| if told == 0 { counted } else { told };
        (or(told.prompt_tokens, self.words), told.cached_tokens, or(told.completion_tokens, out.pieces))
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
        let (read, cached, made) = self.tokens(out);
        json!({
            "prompt_tokens": read,
            "prompt_tokens_details": { "cached_tokens": cached },
            "completion_tokens": made,
            "total_tokens": read + made,
            "counted": { "in": self.counted(), "out": out.counted() },
        })
    }

    /// As speech says it.
    pub(super) fn speech(&self, out: &Self) -> Value {
        let (read, cached, made) = self.tokens(out);
        json!({
            "input_tokens": read,
            "input_token_details": { "cached_tokens": cached },
            "output_tokens": made,
            "total_tokens": read + made,
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
    pub(super) fn embeddings(&self, out: &Self) -> Value {
        let (read, ..) = self.tokens(out);
        json!({ "prompt_tokens": read, "total_tokens": read, "counted": { "in": self.counted() } })
    }

    /// How long its sounds are, in seconds.
    pub(super) fn audio_seconds(&self) -> f64 {
        self.audio_ms as f64 / 1000.0
    }

    /// As transcriptions say it: this needs no tokens.
    pub(super) fn transcription(&self) -> Value {
        json!({ "type": "duration", "seconds": self.audio_ms.div_ceil(1000) })
    }
}
