//! The tokens of a language model: text in, tokens out, and the bytes of each token.
//!
//! Built from the GGUF file itself, by candle's reader for byte-level vocabularies ("gpt2", which
//! Llama 3, SmolLM and most others use). One thing is put right: candle gives models that it has no
//! entry for a space before every part of a text, also after `<|im_start|>`, which none of them was
//! trained with.

use std::collections::BTreeSet;

use candle_core::quantized::gguf_file::Value;
use candle_core::quantized::tokenizer::TokenizerFromGguf;
use corn_core::Fault;
use tokenizers::Tokenizer;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;

use super::gguf::Gguf;
use crate::candle::files::brief;

/// The tokens of one model.
pub(super) struct Vocabulary {
    tokenizer: Tokenizer,
    /// The bytes that each token adds to a text; `None` for one that controls.
    bytes: Vec<Option<Box<[u8]>>>,
    /// The names of tokens that control, such as `<|im_end|>`.
    controls: Vec<String>,
    /// Tokens that end an answer.
    ends: BTreeSet<u32>,
    /// The token that every text begins with, where the model wants one.
    begin: Option<u32>,
    pub(super) begin_name: String,
    pub(super) end_name: String,
}

/// Kinds of tokens in GGUF files.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// Controls that end an answer whichever of them the file names as its end: chat models end a turn
/// with one and a text with another.
const ENDS: [&str; 7] =
    ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|end|>", "</s>", "<|eom_id|>"];

impl Vocabulary {
    pub(super) fn load(file: &Gguf<'_>) -> Result<Self, Fault> {
        let mut tokenizer = Tokenizer::from_gguf(file.content())
            .map_err(|error| file.wrong(format_args!("its vocabulary cannot be used ({})", brief(&error))))?;
        if let Some(splitter) = splitter(file.text("tokenizer.ggml.pre").unwrap_or("gpt-2")) {
            tokenizer.with_pre_tokenizer(Some(splitter));
        }
        let names = names(file)?;
        let kinds = kinds(file);
        let kind = |index: usize| kinds.get(index).copied().unwrap_or(1);
        let alphabet = Alphabet::new();
        let mut controls = Vec::new();
        let bytes = names
            .iter()
            .enumerate()
            .map(|(index, name)| match kind(index) {
                CONTROL => {
                    controls.push((*name).to_owned());
                    None
                }
                USER_DEFINED => Some(name.as_bytes().into()),
                _ => Some(alphabet.bytes(name)),
            })
            .collect();
        let id = |key: &str| file.int(key).filter(|id| *id < names.len());
        let end = id("tokenizer.ggml.eos_token_id");
        let begin = id("tokenizer.ggml.bos_token_id");
        let adds_begin =
            matches!(file.content().metadata.get("tokenizer.ggml.add_bos_token"), Some(Value::Bool(true)));
        let ends = (0..names.len())
            .filter(|index| kind(*index) == CONTROL && ENDS.contains(&names[*index]))
            .chain(end)
            .chain(id("tokenizer.ggml.eot_token_id"))
            .map(|index| index as u32)
            .collect();
        let name = |index: Option<usize>| index.map_or(String::new(), |index| names[index].to_owned());
        Ok(Self {
            tokenizer,
            bytes,
            controls,
            ends,
            begin: begin.filter(|_| adds_begin).map(|id| id as u32),
            begin_name: name(begin),
            end_name: name(end),
        })
    }

    /// How many tokens there are.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The tokens of a whole prompt. Names of controls in it become controls.
    pub(super) fn encode(&self, prompt: &str) -> Result<Vec<u32>, Fault> {
        let encoding = self
            .tokenizer
            .encode_fast(prompt, false)
            .map_err(|error| Fault::request(format!("the prompt cannot be split into tokens: {error}")))?;
        let mut tokens = encoding.get_ids().to_vec();
        if let Some(begin) = self.begin
            && tokens.first() != Some(&begin)
        {
            tokens.insert(0, begin);
        }
        Ok(tokens)
    }

    /// A text of the client's with every name of a control broken by a space, so that nobody can
    /// write the end of their own turn and speak as another.
    pub(super) fn disarm(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for control in self.controls.iter().filter(|control| control.chars().count() > 1) {
            if text.contains(control.as_str()) {
                let first = control.chars().next().map_or(0, char::len_utf8);
                text =
                    text.replace(control.as_str(), &format!("{} {}", &control[..first], &control[first..]));
            }
        }
        text
    }

    /// Whether a token ends the answer.
    pub(super) fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// The tokens that end an answer.
    pub(super) fn ends(&self) -> impl Iterator<Item = u32> {
        self.ends.iter().copied()
    }

    /// The bytes that a token adds to the answer.
    pub(super) fn bytes(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).and_then(Option::as_deref).unwrap_or_default()
    }
}

/// How text is split before its tokens are looked up; `None` where candle's choice is right.
///
/// Both forms are those of llama.cpp (`llama-vocab.cpp`): GPT-2's own expression, for "smollm" with
/// every digit apart.
fn splitter(name: &str) -> Option<PreTokenizerWrapper> {
    let bytes = ByteLevel::new(false, false, true);
    match name {
        "qwen2" | "smaug-bpe" | "lfm2" | "llama3" => None,
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" => {
            Some(Sequence::new(vec![Digits::new(true).into(), bytes.into()]).into())
        }
        _ => Some(bytes.into()),
    }
}

fn names<'a>(file: &'a Gguf<'_>) -> Result<Vec<&'a str>, Fault> {
    match file.content().metadata.get("tokenizer.ggml.tokens") {
        Some(Value::Array(names)) => Ok(names
            .iter()
            .map(|name| match name {
                Value::String(name) => name.as_str(),
                _ => "",
            })
            .collect()),
        _ => Err(file.wrong("it has no vocabulary")),
    }
}

fn kinds(file: &Gguf<'_>) -> Vec<i64> {
    let Some(Value::Array(kinds)) = file.content().metadata.get("tokenizer.ggml.token_type") else {
        return Vec::new();
    };
    kinds
        .iter()
        .map(|kind| match kind {
            Value::I32(kind) => i64::from(*kind),
            Value::U32(kind) => i64::from(*kind),
            _ => 1,
        })
        .collect()
}

/// The letters that byte-level vocabularies write bytes with.
///
/// Printable bytes of Latin-1 stand for themselves; the others, in order, for the letters from U+0100
/// on (GPT-2's `bytes_to_unicode`).
struct Alphabet {
    /// The byte of each letter up to the last one used.
    bytes: Vec<Option<u8>>,
}

impl Alphabet {
    fn new() -> Self {
        let mut bytes = vec![None; 0x200];
        let mut next = 0x100;
        for byte in 0..=u8::MAX {
            let stands_for_itself = matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
            let letter = if stands_for_itself { usize::from(byte) } else { next };
            next += usize::from(!stands_for_itself);
            bytes[letter] = Some(byte);
        }
        Self { bytes }
    }

    fn bytes(&self, name: &str) -> Box<[u8]> {
        let mut bytes = Vec::with_capacity(name.len());
        for letter in name.chars() {
            match self.bytes.get(letter as usize).copied().flatten() {
                Some(byte) => bytes.push(byte),
                None => bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_writes_every_byte_with_one_letter() {
        let alphabet = Alphabet::new();
        let mut written: Vec<u8> = alphabet.bytes.iter().flatten().copied().collect();
        written.sort_unstable();
        assert_eq!(written, (0..=u8::MAX).collect::<Vec<_>>());
        assert_eq!(&*alphabet.bytes("Ġhello"), b" hello");
        assert_eq!(&*alphabet.bytes("Ċ"), b"\n");
        assert_eq!(&*alphabet.bytes("Ã©"), "é".as_bytes());
    }
}
