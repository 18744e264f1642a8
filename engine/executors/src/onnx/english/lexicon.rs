//! The pronouncing dictionary: words with their phonemes in misaki's notation.
//!
//! Two JSON files, as PyPI `misaki` carries them (Apache-2.0): `us_gold.json`, checked by people,
//! wins over `us_silver.json`. An entry is a string, or an object with one pronunciation for each
//! part of speech; there `null` says that the word is spelled out, as in "US".

use std::collections::HashMap;
use std::path::Path;

use corn_core::Fault;
use serde::Deserialize;

use super::tags::Tag;
use crate::onnx::given;

/// Words by their exact spelling. Never iterated, so its order cannot be seen.
pub(super) struct Lexicon {
    words: HashMap<Box<str>, Entry>,
    bytes: u64,
}

/// How a word is spoken.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Entry {
    One(Box<str>),
    ByTag(HashMap<Box<str>, Option<Box<str>>>),
}

/// What the lexicon says of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// Phonemes in misaki's notation.
    Phonemes(&'a str),
    /// It is spelled by the names of its letters.
    Letters,
}

impl Lexicon {
    /// Reads the two files in `folder`.
    pub(super) fn load(folder: &Path) -> Result<Self, Fault> {
        let mut words = HashMap::new();
        let mut bytes = 0;
        for name in ["us_silver.json", "us_gold.json"] {
            let file = folder.join(name);
            let json = given::read(&file)?;
            bytes += json.len() as u64;
            let entries: HashMap<Box<str>, Entry> = serde_json::from_slice(&json).map_err(|error| {
                Fault::setup(format!(
                    "{} is no pronouncing dictionary: {error}; fetch it again",
                    file.display()
                ))
            })?;
            words.extend(entries);
        }
        if words.is_empty() {
            return Err(Fault::setup(format!("the dictionary in {} is empty", folder.display())));
        }
        Ok(Self { words, bytes })
    }

    /// Size of the files; in memory it is about twice that.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether there is an entry spelled exactly so.
    pub(super) fn contains(&self, word: &str) -> bool {
        self.words.contains_key(word)
    }

    /// How `word`, spelled exactly so, is said as part of speech `tag`. `last` is whether it ends
    /// its clause, where words that are weak elsewhere keep their stress.
    pub(super) fn get(&self, word: &str, tag: Tag, last: bool) -> Option<Said<'_>> {
        let by_tag = match self.words.get(word)? {
            Entry::One(phonemes) => return Some(Said::Phonemes(phonemes)),
            Entry::ByTag(by_tag) => by_tag,
        };
        let at_end = if last { by_tag.get("None") } else { None };
        let said = at_end
            .or_else(|| tag.names().iter().find_map(|name| by_tag.get(*name)))
            .or_else(|| by_tag.get("DEFAULT"))?;
        Some(said.as_deref().map_or(Said::Letters, Said::Phonemes))
    }
}
