//! How one word of a sentence is said.
//!
//! The dictionary comes first, by the spelling that the word's place suggests; then the word's
//! parts (camel case, hyphens, apostrophes), its stem, its halves, and at last its letters.

use super::lexicon::{Lexicon, Said};
use super::spelling::spell;
use super::stems::{compound, through_stem, with_s};
use super::tags::Tag;

/// Where a word stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) tag: Tag,
    /// It opens the sentence, so its capital says nothing.
    pub(super) first: bool,
    /// It ends its clause.
    pub(super) last: bool,
    /// Most words around it are in capitals, so its own say nothing.
    pub(super) shouting: bool,
}

/// Words in capitals that are stressed words, not acronyms, though they are short.
const STRESSED: &[&str] = &[
    "ALL", "AND", "ANY", "ARE", "BIG", "BUT", "CAN", "DID", "DO", "FOR", "GO", "HAS", "HOW", "IF", "IS",
    "NEW", "NO", "NOT", "NOW", "OFF", "OH", "ON", "ONE", "OR", "OUR", "OUT", "SO", "THE", "TO", "TOP", "TWO",
    "UP", "VERY", "WAS", "WE", "WHY", "WOW", "YES", "YOU", "HOT", "END", "BAD", "SEE", "TRY", "RUN", "ADD",
    "SET", "GET", "OLD", "LOW", "HEY", "BE", "MY", "AT", "AN", "AS", "BY", "HE", "ME", "IN", "OF", "OK",
];
/// Capitalised words that keep the name's sound even where they open a sentence.
const NAMES_FIRST: &[&str] = &["August", "Polish"];
/// Stems of stems of stems: "unplugged" is two deep.
const MAX_DEPTH: u8 = 3;
const MAX_WORD: usize = 45;

/// Words that are newer than the dictionary, in lower case.
const NEW_WORDS: &[(&str, &str)] = &[
    ("async", "ˈAsˌɪŋk"),
    ("chatbot", "ʧˈætbˌɑt"),
    ("cuda", "kˈudə"),
    ("github", "ɡˈɪthˌʌb"),
    ("json", "ʤˈAsən"),
    ("kubernetes", "kˌubəɹnˈɛɾiz"),
    ("linux", "lˈɪnəks"),
    ("numpy", "nˈʌmpˌI"),
    ("nvidia", "ɛnvˈɪdiə"),
    ("onnx", "ˈɑnɪks"),
    ("pytorch", "pˈItˌɔɹʧ"),
    ("qwen", "kwˈɛn"),
    ("regex", "ɹˈɛʤˌɛks"),
    ("repo", "ɹˈipO"),
    ("sudo", "sˈudu"),
    ("tokenizer", "tˈOkənˌIzəɹ"),
    ("wifi", "wˈIfˌI"),
    ("yaml", "jˈæməl"),
];

/// The phonemes of `word` in misaki's notation; several words where it has hyphens. Empty where
/// nothing of it can be said.
pub(super) fn pronounce(lexicon: &Lexicon, word: &str, place: Place) -> String {
    let word: String = word.chars().take(MAX_WORD).collect();
    let word = word.trim_matches('-');
    if let Some(said) = whole(lexicon, word, place) {
        return said;
    }
    if word.contains('-') {
        let parts = word.split('-').filter(|part| !part.is_empty());
        let count = parts.clone().count();
        let each = parts.enumerate().map(|(index, part)| {
            let place =
                Place { first: place.first && index == 0, last: place.last && index + 1 == count, ..place };
            pronounce(lexicon, part, place)
        });
        return each.filter(|said| !said.is_empty()).collect::<Vec<_>>().join(" ");
    }
    if word.contains('\'') {
        return with_apostrophe(lexicon, word, place);
    }
    let parts = camel_parts(word);
    if parts.len() > 1 {
        let each = parts.iter().map(|part| pronounce(lexicon, part, Place { first: false, ..place }));
        return each.collect::<Vec<_>>().join(" ");
    }
    unknown(lexicon, &word.to_ascii_lowercase(), place.tag)
}

/// The names of `letters` as one word. Each keeps its stress: listeners mistake "GPU" for "GTU"
/// where only the last letter has one.
pub(super) fn letters(letters: &str) -> String {
    const NAMES: &str = "ˈA bˈi sˈi dˈi ˈi ˈɛf ʤˈi ˈAʧ ˈI ʤˈA kˈA ˈɛl ˈɛm ˈɛn ˈO pˈi kjˈu ˈɑɹ ˈɛs tˈi jˈu vˈi \
                         dˈʌbᵊlju ˈɛks wˈI zˈi";
    let name = |letter: u8| NAMES.split(' ').nth(usize::from(letter.to_ascii_lowercase() - b'a'));
    letters.bytes().filter(u8::is_ascii_alphabetic).filter_map(name).collect()
}

/// The word from the dictionary, or as an acronym.
fn whole(lexicon: &Lexicon, word: &str, place: Place) -> Option<String> {
    if word.len() == 1 {
        return Some(single(word, place));
    }
    let lower = word.to_ascii_lowercase();
    if let Some((_, phonemes)) = NEW_WORDS.iter().find(|entry| entry.0 == lower) {
        return Some((*phonemes).to_owned());
    }
    let capitals = word.chars().filter(char::is_ascii_uppercase).count();
    if capitals == word.len() && !place.shouting && !STRESSED.contains(&word) {
        return Some(acronym(lexicon, word, &lower, place));
    }
    let plural = word.strip_suffix('s').or_else(|| word.strip_suffix("'s"));
    if let Some(acronym_stem) = plural
        && acronym_stem.len() > 1
        && acronym_stem.chars().all(|c| c.is_ascii_uppercase())
    {
        return Some(with_s(&acronym(lexicon, acronym_stem, &acronym_stem.to_ascii_lowercase(), place)));
    }
    let capitalised = {
        let mut chars = lower.chars();
        chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str())?
    };
    let by_place: [&str; 3] = if place.first && capitals == 1 && !NAMES_FIRST.contains(&word) {
        [&lower, word, &capitalised]
    } else {
        [word, &lower, &capitalised]
    };
    by_place.iter().find_map(|spelling| said(lexicon, spelling, place.tag, place.last))
}

fn single(word: &str, place: Place) -> String {
    match word {
        "a" if !place.last => "ə".to_owned(),
        "A" if place.first && !place.last => "ə".to_owned(),
        "I" => "I".to_owned(),
        _ => letters(word),
    }
}

/// A word in capitals: a name with a sound of its own, letters, or a word after all.
fn acronym(lexicon: &Lexicon, word: &str, lower: &str, place: Place) -> String {
    if lexicon.contains(word) {
        return said(lexicon, word, Tag::Noun, place.last).unwrap_or_else(|| letters(word));
    }
    let known = || said(lexicon, lower, place.tag, place.last);
    match word.len() {
        ..=3 => letters(word),
        4..=5 => known().unwrap_or_else(|| letters(word)),
        _ => known().unwrap_or_else(|| unknown(lexicon, lower, place.tag)),
    }
}

/// A lower-case word that has no entry of its own.
fn unknown(lexicon: &Lexicon, lower: &str, tag: Tag) -> String {
    stem(lexicon, lower, tag, MAX_DEPTH)
        .or_else(|| compound(lower, &mut |part| plain(lexicon, part, Tag::Unknown)))
        .unwrap_or_else(|| {
            let has_vowel = lower.contains(['a', 'e', 'i', 'o', 'u', 'y']);
            if has_vowel { spell(lower) } else { letters(lower) }
        })
}

fn said(lexicon: &Lexicon, word: &str, tag: Tag, last: bool) -> Option<String> {
    match lexicon.get(word, tag, last)? {
        Said::Phonemes(phonemes) => Some(phonemes.to_owned()),
        Said::Letters => Some(letters(word)),
    }
}

/// A lower-case word, or the name that is spelled so.
fn plain(lexicon: &Lexicon, lower: &str, tag: Tag) -> Option<String> {
    match lexicon.get(lower, tag, false)? {
        Said::Phonemes(phonemes) => Some(phonemes.to_owned()),
        Said::Letters => None,
    }
}

fn stem(lexicon: &Lexicon, lower: &str, tag: Tag, depth: u8) -> Option<String> {
    through_stem(lower, &mut |stem_word| {
        plain(lexicon, stem_word, tag)
            .or_else(|| if depth > 1 { stem(lexicon, stem_word, tag, depth - 1) } else { None })
    })
}

/// "Corn's", "engineers'", "might've", "o'clock".
fn with_apostrophe(lexicon: &Lexicon, word: &str, place: Place) -> String {
    let inner = Place { last: false, ..place };
    for (ending, sound) in
        [("n't", "ᵊnt"), ("'ll", "ᵊl"), ("'ve", "əv"), ("'re", "əɹ"), ("'d", "d"), ("'m", "m"), ("in'", "ɪn")]
    {
        if let Some(base) = word.strip_suffix(ending).filter(|base| !base.is_empty()) {
            return format!("{}{sound}", pronounce(lexicon, base, inner));
        }
    }
    if let Some(base) = word.strip_suffix("'s").filter(|base| !base.is_empty()) {
        return with_s(&pronounce(lexicon, base, inner));
    }
    if let Some(base) = word.strip_suffix('\'') {
        return pronounce(lexicon, base, place);
    }
    // "O'Hara": a name that opens with a syllable of its own.
    let parts = word.split('\'').filter(|part| !part.is_empty());
    parts.map(|part| pronounce(lexicon, part, inner)).collect()
}

/// "JavaScript" → Java, Script; "OpenAI" → Open, AI; "iPhone" → i, Phone.
fn camel_parts(word: &str) -> Vec<String> {
    let chars: Vec<char> = word.chars().collect();
    let mut parts: Vec<String> = Vec::new();
    for (at, c) in chars.iter().enumerate() {
        let upper = |index: usize| chars.get(index).is_some_and(char::is_ascii_uppercase);
        let lower = |index: usize| chars.get(index).is_some_and(char::is_ascii_lowercase);
        let opens = at == 0
            || (upper(at) && lower(at - 1))
            || (upper(at) && upper(at - 1) && lower(at + 1) && at + 2 < chars.len());
        if opens {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push(*c);
        }
    }
    parts
}
