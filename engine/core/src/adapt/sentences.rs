//! `.sentences()`: cuts running text after each sentence, as soon as the cut is certain.
//!
//! A sentence ends at `.`, `!`, `?` or `…` (with closing quotes or brackets) before white space,
//! or at a line break. A point after a known abbreviation or a single letter, and one inside a
//! number, ends nothing. A sentence longer than an item may be is cut at its last white space.

use std::collections::VecDeque;

use crate::datum::Datum;

const ABBREVIATIONS: [&str; 24] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "etc", "e.g", "i.e", "no", "fig", "approx",
    "dept", "est", "inc", "ltd", "co", "jan", "feb", "a.m", "p.m",
];

/// Text so far that is no whole sentence yet.
#[derive(Debug)]
pub(crate) struct Sentences {
    rest: String,
    max_bytes: usize,
}

impl Sentences {
    pub(crate) const fn new(max_bytes: usize) -> Self {
        Self { rest: String::new(), max_bytes }
    }

    pub(crate) fn push(&mut self, text: &str, made: &mut VecDeque<Datum>) {
        self.rest.push_str(text);
        while let Some(cut) = self.cut() {
            let is_too_long = self.rest[..cut].trim().len() > self.max_bytes;
            let cut = if is_too_long { self.forced_cut() } else { cut };
            let rest = self.rest.split_off(cut);
            let sentence = std::mem::replace(&mut self.rest, rest);
            emit(&sentence, made);
        }
    }

    pub(crate) fn end(&mut self, made: &mut VecDeque<Datum>) {
        while self.rest.trim().len() > self.max_bytes {
            let rest = self.rest.split_off(self.forced_cut());
            emit(&std::mem::replace(&mut self.rest, rest), made);
        }
        emit(&std::mem::take(&mut self.rest), made);
    }

    /// Where the first sentence ends, if that is certain.
    fn cut(&self) -> Option<usize> {
        let mut chars = self.rest.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if c == '\n' && !self.rest[..at].trim().is_empty() {
                return Some(at + 1);
            }
            if !matches!(c, '.' | '!' | '?' | '…') {
                continue;
            }
            while chars.next_if(|(_, c)| is_closing(*c)).is_some() {}
            match chars.peek() {
                Some((end, next))
                    if next.is_whitespace() && !(c == '.' && is_abbreviation(&self.rest[..at])) =>
                {
                    return Some(*end);
                }
                _ => {}
            }
        }
        (self.rest.len() > self.max_bytes).then(|| self.forced_cut())
    }

    /// The last white space within the bound, or the bound itself; at least one character.
    fn forced_cut(&self) -> usize {
        let leading = self.rest.len() - self.rest.trim_start().len();
        let first = self.rest[leading..].chars().next().map_or(0, char::len_utf8);
        let bound =
            self.rest.floor_char_boundary(leading.saturating_add(self.max_bytes)).max(leading + first);
        let space = self.rest[..bound].rfind(char::is_whitespace).filter(|at| *at > leading);
        if bound == self.rest.len() { bound } else { space.unwrap_or(bound) }
    }
}

const fn is_closing(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '"' | '\'' | '”' | '’' | ')' | ']' | '»')
}

fn is_abbreviation(before: &str) -> bool {
    let start =
        before.rfind(|c: char| c.is_whitespace() || matches!(c, '(' | '"' | '“')).map_or(0, |at| at + 1);
    let word = before[before.ceil_char_boundary(start)..].to_lowercase();
    let is_initial = word.chars().count() == 1 && word != "i" && word.chars().all(char::is_alphabetic);
    // "1. First" in a list is no sentence of its own.
    let is_number = !word.is_empty() && word.chars().all(|c| c.is_ascii_digit()) && before.trim() == word;
    is_initial || is_number || ABBREVIATIONS.contains(&word.as_str())
}

fn emit(sentence: &str, made: &mut VecDeque<Datum>) {
    let sentence = sentence.trim();
    if !sentence.is_empty() {
        made.push_back(Datum::text(sentence));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(chunks: &[&str], max_bytes: usize) -> Vec<String> {
        let mut state = Sentences::new(max_bytes);
        let mut made = VecDeque::new();
        for chunk in chunks {
            state.push(chunk, &mut made);
        }
        state.end(&mut made);
        made.into_iter()
            .map(|item| if let Datum::Text(text) = item { text.to_string() } else { String::new() })
            .collect()
    }

    #[test]
    fn cuts_after_each_sentence() {
        let cases: [(&str, &[&str]); 9] = [
            ("", &[]),
            ("   \n ", &[]),
            ("One. Two! Three?", &["One.", "Two!", "Three?"]),
            ("Pi is 3.14 today. Yes.", &["Pi is 3.14 today.", "Yes."]),
            ("Dr. Who met J. Smith. They left.", &["Dr. Who met J. Smith.", "They left."]),
            ("He said \"Stop!\" Then he ran…  Away", &["He said \"Stop!\"", "Then he ran…", "Away"]),
            ("1. First thing.\n2. Second", &["1. First thing.", "2. Second"]),
            ("No end\nnext line", &["No end", "next line"]),
            ("Größe. Über uns. 日本。", &["Größe.", "Über uns.", "日本。"]),
        ];
        for (text, expected) in cases {
            assert_eq!(sentences(&[text], 4096), expected, "{text:?}");
            let letters: Vec<String> = text.chars().map(String::from).collect();
            let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
            assert_eq!(sentences(&letters, 4096), expected, "{text:?} letter by letter");
        }
    }

    #[test]
    fn a_sentence_leaves_as_soon_as_the_next_begins() {
        let mut state = Sentences::new(4096);
        let mut made = VecDeque::new();
        state.push("First one.", &mut made);
        assert!(made.is_empty(), "the point may belong to a number");
        state.push(" S", &mut made);
        assert_eq!(made, [Datum::text("First one.")]);
    }

    #[test]
    fn no_sentence_is_longer_than_an_item_may_be() {
        let made = sentences(&[&"word ".repeat(100)], 32);
        assert!(made.iter().all(|sentence| sentence.len() <= 32), "{made:?}");
        assert_eq!(made.join(" "), "word ".repeat(100).trim());
        assert_eq!(sentences(&[&"ä".repeat(40)], 32).concat(), "ä".repeat(40));
        let long = "This sentence has more than thirty-two bytes in it. And so on.";
        let made = sentences(&[long], 32);
        assert!(made.iter().all(|sentence| sentence.len() <= 32), "{made:?}");
        assert_eq!(made.join(" "), long);
        assert_eq!(sentences(&["  abc de"], 2), ["ab", "c", "de"]);
    }
}
