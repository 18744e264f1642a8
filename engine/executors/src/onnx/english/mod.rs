//! From written English to phonemes.
//!
//! Text → [`markup`] takes Markdown out → [`tokens`] gives words, letter names and pauses →
//! [`tags`] guesses parts of speech → [`pronounce`] says each word in misaki's notation →
//! [`symbols`] writes it as espeak would, since Piper's voices learned from espeak. The
//! dictionary is on disk ([`lexicon`]); everything else is rules in this folder.

mod figures;
mod lexicon;
mod markup;
mod numbers;
mod pronounce;
mod spelling;
mod spelling_rules;
mod stems;
pub(super) mod symbols;
mod tables;
mod tags;
mod tokens;

use std::path::Path;

use corn_core::Fault;
use lexicon::Lexicon;
use pronounce::{Place, letters, pronounce};
use symbols::{espeak, starts_with_vowel};
use tokens::{Token, tokens};

/// A reader of English.
pub(super) struct English {
    lexicon: Lexicon,
}

/// A piece of text as sounds: a sentence, or a part of a long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clause {
    /// Symbols of espeak's alphabet, spaces between words, and `, ; : . ? !` after them.
    pub(super) phonemes: String,
    /// Whether a sentence ends here.
    pub(super) ends_sentence: bool,
}

/// Symbols of a clause, so that one step of speech is bounded; a longer sentence is cut at a
/// pause if there is one, else between words.
const MAX_CLAUSE: usize = 260;
/// Symbols of one word.
const MAX_WORD: usize = 120;

/// A word with its sounds in misaki's notation.
struct Spoken {
    spelling: String,
    phonemes: String,
}

/// What stands in a sentence once its words have sounds.
enum Part {
    Word(Spoken),
    Mark(char),
}

impl English {
    /// Reads the dictionary in `folder`.
    pub(super) fn load(folder: &Path) -> Result<Self, Fault> {
        Ok(Self { lexicon: Lexicon::load(folder)? })
    }

    /// Bytes of the dictionary's files.
    pub(super) const fn bytes(&self) -> u64 {
        self.lexicon.bytes()
    }

    /// The clauses of `text`, in order; none where nothing in it can be said.
    pub(super) fn clauses(&self, text: &str) -> Vec<Clause> {
        let tokens = tokens(&markup::plain(text));
        let is_end = |token: &Token| matches!(token, Token::Mark('.' | '?' | '!'));
        let mut clauses = Vec::new();
        for sentence in tokens.split_inclusive(is_end) {
            self.sentence(sentence, &mut clauses);
        }
        clauses
    }

    fn sentence(&self, tokens: &[Token], clauses: &mut Vec<Clause>) {
        let parts = self.parts(tokens);
        let mut said = String::new();
        for (at, part) in parts.iter().enumerate() {
            match part {
                Part::Mark(mark) if !said.is_empty() => said.push(*mark),
                Part::Mark(_) => {}
                Part::Word(word) => {
                    let symbols = in_context(word, &parts[at + 1..]);
                    if !said.is_empty() && said.chars().count() + symbols.chars().count() > MAX_CLAUSE {
                        cut(&mut said, clauses);
                    }
                    if !said.is_empty() && !symbols.is_empty() {
                        said.push(' ');
                    }
                    said.push_str(&symbols);
                }
            }
        }
        if said.chars().any(char::is_alphabetic) {
            if !said.ends_with(['.', '?', '!']) {
                said = said.trim_end_matches([',', ';', ':']).to_owned() + ".";
            }
            clauses.push(Clause { phonemes: said, ends_sentence: true });
        }
    }

    /// The words of a sentence with their sounds, each by itself.
    fn parts(&self, tokens: &[Token]) -> Vec<Part> {
        let lower: Vec<String> = tokens
            .iter()
            .filter_map(|token| match token {
                Token::Word(word) | Token::Letters(word) => Some(word.to_ascii_lowercase()),
                Token::Mark(_) => None,
            })
            .collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let shouting = is_shouting(tokens);
        let mut index = 0;
        let mut parts = Vec::with_capacity(tokens.len());
        for (at, token) in tokens.iter().enumerate() {
            let last = matches!(tokens.get(at + 1), None | Some(Token::Mark(_)));
            let (spelling, phonemes) = match token {
                Token::Mark(mark) => {
                    parts.push(Part::Mark(*mark));
                    continue;
                }
                Token::Letters(names) => (names, letters(names)),
                Token::Word(word) => {
                    let place = Place { tag: tags::tag(&lower, index), first: index == 0, last, shouting };
                    (word, pronounce(&self.lexicon, word, place))
                }
            };
            parts.push(Part::Word(Spoken { spelling: spelling.clone(), phonemes }));
            index += 1;
        }
        parts
    }
}

/// The symbols of a word, with the sounds that "the" and "to" take before what `follows`.
fn in_context(word: &Spoken, follows: &[Part]) -> String {
    let next = match follows.first() {
        Some(Part::Word(next)) => Some(starts_with_vowel(&next.phonemes)),
        _ => None,
    };
    let phonemes = match (word.spelling.to_ascii_lowercase().as_str(), next) {
        ("the", Some(false)) => "ðə",
        ("the", _) => "ðɪ",
        ("to", Some(false)) => "tə",
        ("to", Some(true)) => "tʊ",
        ("an", Some(_)) => "ən",
        _ => &word.phonemes,
    };
    let symbols: Vec<String> = phonemes.split(' ').map(|part| espeak(part, &word.spelling)).collect();
    symbols.join(" ").chars().take(MAX_WORD).collect()
}

/// Ends a clause within a sentence: at its last pause if that is in its second half.
fn cut(said: &mut String, clauses: &mut Vec<Clause>) {
    let pause = said.rfind([',', ';', ':']).filter(|at| *at > said.len() / 2);
    let rest = match pause {
        Some(at) => said.split_off(at + 1).trim_start().to_owned(),
        None => String::new(),
    };
    if !said.ends_with([',', ';', ':']) {
        said.push(',');
    }
    clauses.push(Clause { phonemes: std::mem::replace(said, rest), ends_sentence: false });
}

/// Whether most words of a sentence of some length are in capitals.
fn is_shouting(tokens: &[Token]) -> bool {
    let words = tokens.iter().filter_map(|token| match token {
        Token::Word(word) if word.len() > 1 => Some(word),
        _ => None,
    });
    let (mut all, mut loud) = (0, 0);
    for word in words {
        all += 1;
        loud += usize::from(word.chars().all(|c| c.is_ascii_uppercase() || !c.is_alphabetic()));
    }
    all >= 3 && loud * 3 > all * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLD: &str = r#"{
        "the": "ði", "a": "A", "A": "ˈA", "to": "tu", "an": "æn", "apple": "ˈæpᵊl", "dog": "dˈɔɡ", "sees": "sˈiz",
        "go": "ɡˌO", "eat": "ˈit", "want": "wˈɑnt", "US": {"DEFAULT": "ˌʌs", "NOUN": null}, "us": "ˌʌs",
        "U": "jˈu", "S": "ˈɛs", "F": "ˈɛf", "B": "bˈi", "I": "ˈI", "we": "wi", "will": {"DEFAULT": "wɪl", "None": "wˈɪl"},
        "record": {"DEFAULT": "ɹˈɛkəɹd", "VERB": "ɹəkˈɔɹd"}, "stop": "stˈɑp", "now": "nˈW", "right": "ɹˈIt",
        "well": "wˈɛl", "known": "nˈOn", "August": "ˈɔɡəst", "august": "ɔɡˈʌst", "Rome": "ɹˈOm", "java": "ʤˈɑvə",
        "script": "skɹˈɪpt", "data": "dˈAɾə", "flow": "flˈO", "one": "wˈʌn", "two": "tˈu", "dollar": "dˈɑləɹ"
    }"#;

    fn english() -> English {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("us_gold.json"), GOLD).unwrap();
        std::fs::write(folder.path().join("us_silver.json"), r#"{"dog": "wrong", "zorp": "zˈɔɹp"}"#).unwrap();
        English::load(folder.path()).unwrap()
    }

    #[test]
    fn sentences_become_phonemes() {
        let english = english();
        let texts = [
            "The dog sees an apple. A dog sees the apple!",
            "Go to Rome, go to eat, want to.",
            "We record the record, we will.",
            "The US, us, the FBI and UFOs.",
            "STOP THE DOG RIGHT NOW",
            "A well-known JavaScript dataflow, $2.",
            "August zorps unzorped flibbergasted nth.",
            "\"the dog\" (a dog), dog's dogs'",
            "😀",
            "",
        ];
        let table: Vec<String> = texts
            .iter()
            .map(|text| {
                let clauses = english.clauses(text);
                let said: Vec<&str> = clauses.iter().map(|clause| &*clause.phonemes).collect();
                format!("{text}\n    {}", said.join(" ‖ "))
            })
            .collect();
        insta::assert_snapshot!(table.join("\n"));
    }

    #[test]
    fn long_sentences_are_cut_where_they_pause() {
        let english = english();
        let text = "the dog sees the apple now, ".repeat(30);
        let clauses = english.clauses(&text);
        assert!(clauses.len() > 2);
        for clause in &clauses {
            assert!(clause.phonemes.chars().count() <= MAX_CLAUSE + MAX_WORD);
            assert!(clause.phonemes.ends_with([',', '.']), "{}", clause.phonemes);
        }
        let ends: Vec<bool> = clauses.iter().map(|clause| clause.ends_sentence).collect();
        assert_eq!(ends.iter().filter(|ends| **ends).count(), 1);
        assert_eq!(ends.last(), Some(&true));
        let words: usize = clauses.iter().map(|clause| clause.phonemes.split(' ').count()).sum();
        assert_eq!(words, 30 * 6, "no word is lost or said twice");
    }

    #[test]
    fn a_dictionary_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(English::load(folder.path()).is_err());
        for json in ["", "[]", "{\"a\": 1}", "{}"] {
            std::fs::write(folder.path().join("us_gold.json"), json).unwrap();
            std::fs::write(folder.path().join("us_silver.json"), json).unwrap();
            let fault = English::load(folder.path()).map(|_| ()).unwrap_err();
            assert!(fault.message.contains("dictionary"), "{fault}");
        }
    }
}
