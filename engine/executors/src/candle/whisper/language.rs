//! The tokens that Whisper opens a transcript with, and those that it must not write.

use std::path::Path;

use corn_core::Fault;
use serde_json::Value;
use tokenizers::Tokenizer;

use crate::candle::files::unusable;

/// Vocabularies of this size and more have languages; smaller ones are English only.
const MULTILINGUAL: usize = 51_865;

/// What is known of the special tokens.
pub(super) struct Marks {
    /// Opens every transcript.
    pub(super) start: u32,
    /// Ends it.
    pub(super) end: u32,
    /// Its likelihood right after `start` says that nobody speaks.
    pub(super) no_speech: Option<u32>,
    /// Languages to choose from; empty where there is nothing to choose.
    pub(super) languages: Vec<u32>,
    /// What follows `start` and the language.
    pub(super) opening: Vec<u32>,
    /// Tokens that are never written.
    never: Vec<u32>,
    /// Tokens that are not written first.
    never_first: Vec<u32>,
}

impl Marks {
    /// Reads `tokenizer` (the file at `path`) and the model's configuration.
    pub(super) fn read(
        tokenizer: &Tokenizer,
        path: &Path,
        vocabulary: usize,
        config: &Value,
        language: Option<&str>,
    ) -> Result<Self, Fault> {
        let token = |name: &str| tokenizer.token_to_id(name).filter(|token| (*token as usize) < vocabulary);
        let needed =
            |name: &str| token(name).ok_or_else(|| unusable(path, format_args!("it has no token {name}")));
        let start = needed("<|startoftranscript|>")?;
        let end = needed("<|endoftext|>")?;
        let mut opening = vec![needed("<|notimestamps|>")?];
        let mut languages = Vec::new();
        if vocabulary >= MULTILINGUAL {
            let transcribe = needed("<|transcribe|>")?;
            opening.insert(0, transcribe);
            languages = match language {
                Some(code) => vec![token(&format!("<|{code}|>")).ok_or_else(|| {
                    Fault::setup(format!(
                        "option 'language' is {code:?}, which the model does not know; \
                         give a code such as \"en\""
                    ))
                })?],
                // They lie between the start and the first task.
                None => (start + 1..needed("<|translate|>")?.min(transcribe)).collect(),
            };
        } else if language.is_some_and(|code| code != "en") {
            return Err(Fault::setup(
                "option 'language' asks for another language than English, and the model knows English only",
            ));
        }
        let no_speech = token("<|nospeech|>").or_else(|| token("<|nocaptions|>"));
        let list = |names: [&str; 2]| -> Vec<u32> {
            let list = names.iter().find_map(|name| config.get(name)?.as_array());
            list.into_iter().flatten().filter_map(|token| u32::try_from(token.as_u64()?).ok()).collect()
        };
        Ok(Self {
            start,
            end,
            no_speech,
            languages,
            opening,
            never: list(["suppress_tokens", "suppress_ids"]),
            never_first: list(["begin_suppress_tokens", "suppress_ids_begin"]),
        })
    }

    /// The token of a language that a request names, by its code; none where the model knows only that one.
    pub(super) fn language(&self, tokenizer: &Tokenizer, code: &str) -> Result<Option<u32>, Fault> {
        let code = code.trim().to_ascii_lowercase();
        if self.languages.is_empty() {
            return match code.as_str() {
                "en" => Ok(None),
                _ => Err(Fault::request(format!("'language' is {code:?}, and the model knows only \"en\""))),
            };
        }
        let token = tokenizer.token_to_id(&format!("<|{code}|>")).filter(|it| self.languages.contains(it));
        token.map(Some).ok_or_else(|| {
            Fault::request(format!(
                "'language' is {code:?}, which the model does not take; give a code such as \"en\""
            ))
        })
    }

    /// Makes what must not be written impossible.
    pub(super) fn suppress(&self, logits: &mut [f32], is_first: bool) {
        // Specials, times included, all lie behind the end.
        let specials = self.end as usize + 1;
        if let Some(specials) = logits.get_mut(specials..) {
            specials.fill(f32::NEG_INFINITY);
        }
        let first = self.never_first.iter().filter(|_| is_first);
        for token in self.never.iter().chain(first) {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}
