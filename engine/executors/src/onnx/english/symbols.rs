//! From misaki's phonemes to the symbols that espeak-ng writes, which Piper's English voices
//! were trained on.
//!
//! misaki writes each diphthong and affricate as one letter (`A` for the vowel of "day") and
//! leaves out vowel length; espeak writes IPA with length marks and r-coloured vowels as one
//! letter. Both put stress marks right before the vowel. Source of the left side: the vocabulary
//! in misaki's `EN_PHONES.md`; of the right side: `espeak-ng --ipa -v en-us`.

/// Every symbol that [`espeak`] can write; a voice must know them all.
pub(in crate::onnx) const ALPHABET: &str = "abdefhijklmnopstuvwzæðŋɐɑɔəɚɛɜɡɪɹɾʃʊʌʒʔˈˌːθᵻ\u{329}";

const VOWELS: &str = "AIOWYaiuæɑɔəɛɜɪʊʌᵻᵊ";

/// Whether the first sound of `phonemes` (misaki's notation) is a vowel.
pub(super) fn starts_with_vowel(phonemes: &str) -> bool {
    phonemes.chars().find(|symbol| !matches!(symbol, 'ˈ' | 'ˌ')).is_some_and(is_vowel)
}

pub(super) fn is_vowel(symbol: char) -> bool {
    VOWELS.contains(symbol)
}

/// One word, from misaki's notation to espeak's. `spelling` is the word as written: espeak gives
/// an unstressed "a" at the start of a word a sound of its own.
pub(super) fn espeak(phonemes: &str, spelling: &str) -> String {
    let symbols: Vec<char> = phonemes.chars().collect();
    let vowels = symbols.iter().filter(|symbol| is_vowel(**symbol)).count();
    let mut out = String::with_capacity(phonemes.len() + 8);
    let mut at = 0;
    while at < symbols.len() {
        let next = symbols.get(at + 1).copied();
        let after = symbols.get(at + 2).copied();
        let stressed = at > 0 && matches!(symbols[at - 1], 'ˈ' | 'ˌ');
        let before_vowel = |symbol: Option<char>| {
            symbol.is_some_and(|symbol| is_vowel(symbol) || matches!(symbol, 'ˈ' | 'ˌ'))
        };
        let mut taken = 1;
        match symbols[at] {
            'A' => out.push_str("eɪ"),
            'I' => out.push_str("aɪ"),
            'O' => out.push_str("oʊ"),
            'W' => out.push_str("aʊ"),
            'Y' => out.push_str("ɔɪ"),
            'ʤ' => out.push_str("dʒ"),
            'ʧ' => out.push_str("tʃ"),
            'ɜ' if next == Some('ɹ') => {
                out.push_str(if before_vowel(after) { "ɜːɹ" } else { "ɜː" });
                taken = 2;
            }
            'ə' | 'ᵊ' if next == Some('ɹ') && at > 0 => {
                out.push_str(if before_vowel(after) { "ɚɹ" } else { "ɚ" });
                taken = 2;
            }
            'ə' if at == 0 && spelling.starts_with(['a', 'A']) => out.push('ɐ'),
            'ʔ' if next == Some('n') => {
                out.push_str("ʔn\u{329}");
                taken = 2;
            }
            'ʔ' if next == Some('ᵊ') && after == Some('n') => {
                out.push_str("ʔn\u{329}");
                taken = 3;
            }
            'ᵊ' => out.push('ə'),
            'ɑ' => out.push_str("ɑː"),
            'ɔ' => out.push_str("ɔː"),
            'ɜ' => out.push_str("ɜː"),
            'u' => out.push_str("uː"),
            'i' if stressed || vowels == 1 => out.push_str("iː"),
            symbol if ALPHABET.contains(symbol) => out.push(symbol),
            _ => {}
        }
        at += taken;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_the_symbols_of_espeak() {
        let words = [
            ("həlˈO", "hello"),
            ("nˈɜɹs", "nurse"),
            ("fˈɜɹi", "furry"),
            ("bˈʌɾəɹ", "butter"),
            ("mˈɛməɹi", "memory"),
            ("hˈæpi", "happy"),
            ("sˈi", "see"),
            ("ʃi", "she"),
            ("əbˈWt", "about"),
            ("bˈʌʔn", "button"),
            ("bˈɑɾᵊl", "bottle"),
            ("ʧˈYs", "choice"),
            ("ʤˈʌʤ", "judge"),
            ("fˈIəɹ", "fire"),
            ("nˈɔɹθ", "north"),
            ("ɹˈOzᵻz", "roses"),
            ("əɹˈWnd", "around"),
            ("pəɹˈAd", "parade"),
            ("", ""),
        ];
        let table: Vec<String> =
            words.iter().map(|(phonemes, word)| format!("{word:10} {}", espeak(phonemes, word))).collect();
        insta::assert_snapshot!(table.join("\n"));
    }

    #[test]
    fn nothing_outside_the_alphabet_is_written() {
        let every: String = "AIOWYʤʧɜəᵊʔɑɔuiɹnbdfhjklmpstvwzæðŋɛɡɪɾʃʊʌʒˈˌθᵻ?#é".chars().rev().collect();
        for phonemes in [every.clone(), every.chars().rev().collect()] {
            assert!(espeak(&phonemes, "a").chars().all(|symbol| ALPHABET.contains(symbol)));
        }
    }
}
