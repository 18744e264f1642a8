//! From plain text to what is said: words, letter names and pauses.
//!
//! The text is cut at white space. Each chunk loses the punctuation around it, which becomes
//! pauses; what is left is an abbreviation, an address, a figure, a symbol or a word. Which word
//! an abbreviation or figure stands for may depend on the chunks beside it.

use super::figures::{Beside, figure};
use super::tables::{ABBREVIATIONS, APOSTROPHE_WORDS, CLOSING_ABBREVIATIONS, When, symbol_name, unaccented};

/// One thing to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word as written: its case says something, and it may hold hyphens and apostrophes.
    Word(String),
    /// Letters that are named one by one.
    Letters(String),
    /// A pause: one of `, ; : . ? !`.
    Mark(char),
}

/// A chunk is read up to this many characters; a longer one is noise.
const MAX_CHUNK_CHARS: usize = 400;

/// What is said for `text`, which is free of markup.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let text = straightened(text);
    let chunks: Vec<&str> = text.split_whitespace().collect();
    let mut reader = Reader { chunks, tokens: Vec::new() };
    let mut at = 0;
    while at < reader.chunks.len() {
        at += reader.chunk(at);
    }
    reader.tokens
}

/// Quotes straight, dashes spaced, accents gone, ellipses as three dots.
fn straightened(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let between_digits = out.ends_with(|c: char| c.is_ascii_digit() || c == '%')
            && after.starts_with(|c: char| c.is_ascii_digit() || c == '$');
        match c {
            '‘' | '’' | 'ʼ' | '`' => out.push('\''),
            '“' | '”' | '„' | '«' | '»' => out.push('"'),
            '…' => out.push_str("..."),
            '–' if between_digits => out.push('-'),
            '–' | '—' | '―' => out.push_str(" — "),
            '‐' | '‑' => out.push('-'),
            '-' if after.starts_with('-') => {
                out.push_str(" — ");
                rest = after.trim_start_matches('-');
                continue;
            }
            '\u{300}'..='\u{36f}' | '\u{ad}' | '\u{200c}' | '\u{200d}' => {}
            _ => match unaccented(c) {
                Some(letters) => out.push_str(letters),
                None => out.push(c),
            },
        }
        rest = after;
    }
    out
}

struct Reader<'a> {
    chunks: Vec<&'a str>,
    tokens: Vec<Token>,
}

/// A chunk and the punctuation around it.
#[derive(Clone, Copy)]
struct Peeled<'a> {
    before: &'a str,
    core: &'a str,
    after: &'a str,
}

fn peeled(chunk: &str) -> Peeled<'_> {
    if let Some(word) = APOSTROPHE_WORDS.iter().find(|word| {
        chunk.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
            && chunk[word.len()..].chars().all(|c| c.is_ascii_punctuation())
    }) {
        return Peeled { before: "", core: &chunk[..word.len()], after: &chunk[word.len()..] };
    }
    let decade = chunk.starts_with('\'') && chunk[1..].starts_with(|c: char| c.is_ascii_digit());
    let opening = |c: char| matches!(c, '"' | '(' | '[' | '{' | '¿' | '¡' | '\'');
    let bare = if decade { chunk } else { chunk.trim_start_matches(opening) };
    let before = &chunk[..chunk.len() - bare.len()];
    let closing = |c: char| matches!(c, '"' | ')' | ']' | '}' | '\'' | '.' | ',' | ';' | ':' | '!' | '?');
    let core = bare.trim_end_matches(closing);
    Peeled { before, core, after: &bare[core.len()..] }
}

impl Reader<'_> {
    /// Reads chunk `at` and says how many chunks that took.
    fn chunk(&mut self, at: usize) -> usize {
        let chunk = self.chunks[at];
        if chunk.chars().count() > MAX_CHUNK_CHARS {
            return 1;
        }
        let Peeled { before, core, mut after } = peeled(chunk);
        if before.contains(['(', '[']) {
            self.mark(',');
        }
        if let Some(used) = self.abbreviation(at, core, after) {
            after = &after[used..];
        } else if is_address(core) || is_file_name(core) {
            self.address(core);
        } else if core.contains(|c: char| c.is_ascii_digit()) {
            let beside = Beside { previous: self.beside(at, -1), next: self.beside(at, 1) };
            // Punctuation between the two keeps them apart: "in 1999, million".
            let beside = if after.is_empty() { beside } else { Beside { next: "", ..beside } };
            let read = figure(core, beside);
            self.tokens.extend(read.tokens);
            if read.took_next {
                self.marks(peeled(self.chunks[at + 1]).after);
                return 2;
            }
        } else if let Some(number) = self.roman(at, core) {
            self.words(&number);
        } else {
            self.text(core);
        }
        self.marks(after);
        1
    }

    /// The core of a chunk beside `at`; empty where there is none.
    fn beside(&self, at: usize, offset: isize) -> &str {
        at.checked_add_signed(offset)
            .and_then(|at| self.chunks.get(at))
            .map_or("", |chunk| peeled(chunk).core)
    }

    fn words(&mut self, words: &str) {
        for word in words.split(' ') {
            self.tokens.push(Token::Word(word.to_owned()));
        }
    }

    /// A pause, where something has been said since the last one; the stronger of two stays.
    fn mark(&mut self, mark: char) {
        match self.tokens.last_mut() {
            None => {}
            Some(Token::Mark(last)) => *last = stronger(*last, mark),
            Some(_) => self.tokens.push(Token::Mark(mark)),
        }
    }

    fn marks(&mut self, after: &str) {
        let mut after = after;
        if after.starts_with("..") {
            self.mark(',');
            after = after.trim_start_matches('.');
        }
        for c in after.chars() {
            match c {
                ')' | ']' => self.mark(','),
                ',' | ';' | ':' | '.' | '!' | '?' => self.mark(c),
                _ => {}
            }
        }
    }

    /// Reads an abbreviation; gives the length of `after` that belongs to it.
    fn abbreviation(&mut self, at: usize, core: &str, after: &str) -> Option<usize> {
        let lower = core.to_ascii_lowercase();
        let stop = after.starts_with('.');
        let next = self.chunks.get(at + 1).copied().unwrap_or("");
        let name_follows = next.starts_with(|c: char| c.is_uppercase());
        let number_follows = next.trim_start_matches(['(', '#']).starts_with(|c: char| c.is_ascii_digit());
        let ends =
            at + 1 == self.chunks.len() || (name_follows && CLOSING_ABBREVIATIONS.contains(&lower.as_str()));
        let used = usize::from(stop && !ends);
        if let Some((_, words, when)) = ABBREVIATIONS.iter().find(|entry| entry.0 == lower) {
            let capital = core.starts_with(|c: char| c.is_ascii_uppercase());
            let applies = match when {
                When::Always => true,
                When::Stop => stop,
                When::BeforeNumber => stop && number_follows,
                When::BeforeName => stop && capital && name_follows,
            };
            if applies {
                self.words(words);
                return Some(used);
            }
            // "Main St." is a street.
            if lower == "st" && stop && capital && at > 0 {
                self.words("street");
                return Some(used);
            }
        }
        let letters: String = core.split('.').collect();
        if letters == "PhD" {
            self.tokens.push(Token::Letters("PHD".to_owned()));
            return Some(used);
        }
        let dotted = core.contains('.')
            && core.split('.').all(|part| part.chars().count() == 1)
            && letters.chars().all(|c| c.is_ascii_alphabetic());
        let initial = core.len() == 1 && stop && name_follows && core != "I" && letters != "a";
        if dotted || (initial && core.starts_with(|c: char| c.is_ascii_uppercase())) {
            self.tokens.push(Token::Letters(letters));
            return Some(used);
        }
        None
    }

    /// `II` to `XX` after a word that counts: "World War II", "Henry VIII".
    fn roman(&self, at: usize, core: &str) -> Option<String> {
        const ROMANS: [&str; 20] = [
            "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV", "XV",
            "XVI", "XVII", "XVIII", "XIX", "XX",
        ];
        const COUNTED: [&str; 12] = [
            "war", "chapter", "part", "act", "volume", "section", "type", "phase", "book", "appendix",
            "level", "stage",
        ];
        const KINGS: [&str; 12] = [
            "henry",
            "louis",
            "charles",
            "george",
            "edward",
            "james",
            "william",
            "elizabeth",
            "john",
            "paul",
            "pius",
            "richard",
        ];
        let value = ROMANS.iter().position(|roman| *roman == core)? + 1;
        let previous = self.beside(at, -1);
        if !previous.starts_with(|c: char| c.is_ascii_uppercase()) {
            return None;
        }
        let previous = previous.to_ascii_lowercase();
        if COUNTED.contains(&previous.as_str()) {
            Some(super::numbers::cardinal(&value.to_string()))
        } else if KINGS.contains(&previous.as_str()) && value > 1 {
            Some(format!("the {}", super::numbers::ordinal(&value.to_string())))
        } else {
            None
        }
    }

    /// An address: dots, slashes and the rest are named.
    fn address(&mut self, core: &str) {
        let bare = core.split_once("://").map_or(core, |(_, rest)| rest).trim_end_matches('/');
        let bare = bare.strip_prefix("www.").unwrap_or(bare);
        let bare = if bare.len() > 60 { bare.split('/').next().unwrap_or(bare) } else { bare };
        let mut word = String::new();
        for c in bare.chars().chain(std::iter::once(' ')) {
            if c.is_alphanumeric() {
                word.push(c);
                continue;
            }
            if word.contains(|c: char| c.is_ascii_digit()) {
                self.tokens.extend(figure(&word, Beside { previous: "", next: "" }).tokens);
            } else if !word.is_empty() {
                self.tokens.push(Token::Word(word.clone()));
            }
            word.clear();
            let name = match c {
                '.' => "dot",
                '/' => "slash",
                '-' => "dash",
                '_' => "underscore",
                '@' => "at",
                ':' => "colon",
                '#' => "hash",
                _ => continue,
            };
            self.tokens.push(Token::Word(name.to_owned()));
        }
    }

    /// Words and symbols without digits.
    fn text(&mut self, core: &str) {
        if APOSTROPHE_WORDS.contains(&core.to_ascii_lowercase().as_str()) {
            return self.words(core);
        }
        if let Some(words) = match core {
            "C++" => Some("see plus plus"),
            "C#" => Some("see sharp"),
            "F#" => Some("eff sharp"),
            _ => None,
        } {
            return self.words(words);
        }
        let mut word = String::new();
        let mut chars = core.chars().chain(std::iter::once(' ')).peekable();
        while let Some(c) = chars.next() {
            let inside = !word.is_empty() && chars.peek().is_some_and(char::is_ascii_alphabetic);
            if c.is_ascii_alphabetic()
                || (matches!(c, '\'' | '-') && inside)
                || (c == '\'' && word.is_empty())
            {
                word.push(c);
                continue;
            }
            let ended = std::mem::take(&mut word);
            let has_word = ended.contains(|c: char| c.is_ascii_alphabetic());
            let sentence_ends = ended.len() > 1 && chars.peek().is_some_and(char::is_ascii_uppercase);
            if has_word {
                self.tokens.push(Token::Word(ended));
            }
            match c {
                '.' if sentence_ends => self.mark('.'),
                '.' if has_word && inside => self.words("dot"),
                ',' | ';' | ':' | '!' | '?' => self.mark(c),
                '(' | ')' | '[' | ']' => self.mark(','),
                _ => match symbol_name(c) {
                    Some(",") => self.mark(','),
                    Some(name) => self.words(name),
                    None => {}
                },
            }
        }
    }
}

fn stronger(one: char, other: char) -> char {
    const STRENGTH: &str = ",:;.!?";
    if STRENGTH.find(other) > STRENGTH.find(one) { other } else { one }
}

/// `https://…`, `www.…`, `name@host.tld`, `host.tld` with a well-known ending.
fn is_address(core: &str) -> bool {
    const ENDINGS: [&str; 12] =
        [".com", ".org", ".net", ".io", ".edu", ".gov", ".dev", ".ai", ".rs", ".co.uk", ".de", ".app"];
    let host = core.split('/').next().unwrap_or(core).to_ascii_lowercase();
    core.contains("://")
        || core.starts_with("www.")
        || (core.contains('@') && core.split('@').nth(1).is_some_and(|host| host.contains('.')))
        || (host.len() > 4 && ENDINGS.iter().any(|ending| host.ends_with(ending)))
}

/// `main_2.rs`, `photo1.png`: letters, then a dot, then a short ending in letters.
fn is_file_name(core: &str) -> bool {
    core.rsplit_once('.').is_some_and(|(name, ending)| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && (1..=5).contains(&ending.len())
            && (ending.chars().all(|c| c.is_ascii_lowercase())
                || ending.chars().all(|c| c.is_ascii_uppercase()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words as they are, letters in brackets, pauses as their marks.
    fn shown(text: &str) -> String {
        let each = tokens(text).into_iter().map(|token| match token {
            Token::Word(word) => word,
            Token::Letters(letters) => format!("[{letters}]"),
            Token::Mark(mark) => mark.to_string(),
        });
        each.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn written_text_becomes_words_and_pauses() {
        let texts = include_str!("tokens_cases.txt").lines().filter(|line| !line.is_empty());
        let table: Vec<String> = texts.map(|text| format!("{text}\n    {}", shown(text))).collect();
        insta::assert_snapshot!(table.join("\n"));
    }

    #[test]
    fn noise_gives_nothing_to_say() {
        for text in ["", " ", "...", "-- --", "()[]{}", "\"'", "😀 ¡!", "你好", &"x".repeat(500)] {
            assert!(
                tokens(text).iter().all(|token| matches!(token, Token::Mark(_))),
                "{text}: {}",
                shown(text)
            );
        }
    }
}
