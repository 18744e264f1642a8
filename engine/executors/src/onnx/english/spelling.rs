//! Pronounces words that no dictionary knows, by their letters.
//!
//! Three steps: the rules of [`RULES`] give sounds, the endings and the number of syllables give
//! the place of the stress, and vowels far from it are weakened. It is right for about half of
//! all English words and understandable for most others, names above all.

use super::spelling_rules::{RULES, Rule};
use super::symbols::is_vowel;

/// The phonemes of `word` (ASCII letters, any case) in misaki's notation, with stress.
pub(super) fn spell(word: &str) -> String {
    let letters: Vec<u8> =
        word.bytes().filter(u8::is_ascii_alphabetic).map(|b| b.to_ascii_lowercase()).collect();
    let mut sounds = String::new();
    let mut at = 0;
    while at < letters.len() {
        // The table ends with a rule for each letter.
        let Some((_, taken, _, sound)) = RULES.iter().find(|rule| applies(rule, &letters, at)) else {
            at += 1;
            continue;
        };
        // "nng", "sss": a sound that repeats is said once.
        if !(sound.chars().count() == 1 && sounds.ends_with(sound) && !sound.starts_with(is_vowel)) {
            sounds.push_str(sound);
        }
        at += taken.len();
    }
    stressed(&sounds, &letters)
}

fn applies((left, taken, right, _): &Rule, letters: &[u8], at: usize) -> bool {
    letters[at..].starts_with(taken.as_bytes())
        && left
            .bytes()
            .rev()
            .enumerate()
            .all(|(back, pattern)| fits(pattern, at.checked_sub(back + 1).map(|index| letters[index])))
        && right
            .bytes()
            .enumerate()
            .all(|(ahead, pattern)| fits(pattern, letters.get(at + taken.len() + ahead).copied()))
}

fn fits(pattern: u8, letter: Option<u8>) -> bool {
    let vowel = |letter: u8| b"aeiouy".contains(&letter);
    match (pattern, letter) {
        (b'#', letter) => letter.is_none(),
        (_, None) => false,
        (b'V', Some(letter)) => vowel(letter),
        (b'C', Some(letter)) => !vowel(letter),
        (b'E', Some(letter)) => b"eiy".contains(&letter),
        (pattern, Some(letter)) => pattern == letter,
    }
}

/// Endings that fix the stress, and on which syllable it falls, counted from the end.
const ENDINGS: &[(&str, usize)] = &[
    ("tion", 2),
    ("sion", 2),
    ("cian", 2),
    ("ic", 2),
    ("ics", 2),
    ("ical", 3),
    ("ity", 3),
    ("ify", 3),
    ("ology", 3),
    ("graphy", 3),
    ("ette", 1),
    ("eer", 1),
    ("ee", 1),
    ("ese", 1),
    ("esque", 1),
    ("ina", 2),
    ("ini", 2),
    ("ino", 2),
    ("ana", 2),
    ("ano", 2),
    ("aka", 2),
    ("ashi", 2),
    ("ella", 2),
    ("etti", 2),
    ("ista", 2),
    ("osa", 2),
    ("ova", 2),
];

/// Second to last in short words and in names that end as in Italian or Japanese ("Sedona",
/// "Tanaka"), third to last in others ("Moldavia").
fn usual_place(word: &str, syllables: usize) -> usize {
    let vowel = |back: usize| word.bytes().rev().nth(back).is_some_and(|letter| b"aeiouy".contains(&letter));
    let open = word.ends_with(['a', 'i', 'o', 'u']) && !vowel(1);
    if syllables == 2 || open { 2 } else { 3 }
}

fn stressed(sounds: &str, letters: &[u8]) -> String {
    let symbols: Vec<char> = sounds.chars().collect();
    let vowels: Vec<usize> = (0..symbols.len()).filter(|at| is_vowel(symbols[*at])).collect();
    if vowels.is_empty() {
        return sounds.to_owned();
    }
    let word = std::str::from_utf8(letters).unwrap_or("");
    let from_end = ENDINGS
        .iter()
        .filter(|(ending, _)| word.ends_with(ending) && word.len() > ending.len() + 1)
        .max_by_key(|(ending, _)| ending.len())
        .map_or_else(|| usual_place(word, vowels.len()), |(_, place)| *place);
    let mut main = vowels.len().saturating_sub(from_end);
    // A weak first syllable gives its stress away: "about", "before".
    if vowels.len() > 1 && main == 0 && matches!(symbols[vowels[0]], 'ə' | 'ᵊ' | 'ᵻ') {
        main = 1;
    }
    let mut out = String::with_capacity(sounds.len() + 4);
    for (at, symbol) in symbols.iter().copied().enumerate() {
        let Some(syllable) = vowels.iter().position(|vowel| *vowel == at) else {
            out.push(symbol);
            continue;
        };
        let before_r = symbols.get(at + 1) == Some(&'ɹ');
        if syllable == main {
            out.push('ˈ');
            out.push(if symbol == 'ə' && before_r { 'ɜ' } else { symbol });
        } else if (main == syllable + 2 || (syllable > main + 1 && "AIOWYuɑ".contains(symbol)))
            && !matches!(symbol, 'ə' | 'ᵊ' | 'ᵻ')
        {
            out.push('ˌ');
            out.push(symbol);
        } else {
            let weak = matches!(symbol, 'æ' | 'ʌ')
                || (matches!(symbol, 'ɑ' | 'ɛ' | 'O') && syllable + 1 < vowels.len());
            let before_vowel = symbols.get(at + 1).is_some_and(|next| is_vowel(*next));
            out.push(if weak && !before_vowel { 'ə' } else { symbol });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_has_a_rule_of_its_own() {
        for letter in 'a'..='z' {
            let letter = letter.to_string();
            assert!(
                RULES
                    .iter()
                    .any(|(left, taken, right, _)| left.is_empty() && *taken == letter && right.is_empty()),
                "{letter}"
            );
        }
    }

    #[test]
    fn unknown_words_sound_like_english() {
        let words = "kubernetes gradio pytorch corn flarn blorptastic zephyrine vocoder tokenizer quantization \
                     mixtral nvidia wugs thrasher brillig slithy toves borogoves Nakamura Kowalski Giovanni \
                     knighthood phlegmatic schnitzel xylograph strengthful rhythmic q bcd ooo";
        let table: Vec<String> =
            words.split_whitespace().map(|word| format!("{word:14} {}", spell(word))).collect();
        insta::assert_snapshot!(table.join("\n"));
    }

    #[test]
    fn anything_is_read_without_a_panic() {
        for word in ["", "'", "1", "ééé", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "zzzzzzzzzz"] {
            let _ = spell(word);
        }
    }
}
