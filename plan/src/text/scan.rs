//! Splits one line of a plan into tokens and walks over them.

use std::borrow::Cow;

use crate::text::ParseError;
use crate::types::FrameRate;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'t> {
    /// A name or keyword; dots and colons may be inside.
    Word(&'t str),
    /// Digits with a sign, a fraction or a unit: `12`, `-3`, `0.7`, `48MiB`, `1e-5`.
    Number(&'t str),
    /// A quoted string, unescaped.
    Text(Cow<'t, str>),
    /// `->` and single marks.
    Mark(&'static str),
}

const MARKS: [&str; 13] = ["->", "<=", "(", ")", "[", "]", "<", ">", ",", ":", "=", "+", "?"];

/// The tokens of one line, with errors that name the line. One value is used for all lines of a text,
/// so that it needs room for the longest only.
#[derive(Default)]
pub(super) struct Line<'t> {
    pub(super) number: usize,
    pub(super) indent: usize,
    tokens: Vec<Token<'t>>,
    next: usize,
}

impl<'t> Line<'t> {
    /// Goes on to line `number`, which is `text`; whether there is anything on it.
    pub(super) fn scan(&mut self, number: usize, text: &'t str) -> Result<bool, ParseError> {
        self.number = number;
        self.indent = text.len() - text.trim_start_matches(' ').len();
        self.tokens.clear();
        self.next = 0;
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            if first == '#' {
                break;
            }
            let (token, length) = self.token(rest, first)?;
            self.tokens.push(token);
            rest = rest[length..].trim_start();
        }
        Ok(!self.tokens.is_empty())
    }

    fn token(&self, rest: &'t str, first: char) -> Result<(Token<'t>, usize), ParseError> {
        if first == '"' {
            return self.quoted(rest);
        }
        let digits_follow = first == '-' && rest[1..].starts_with(|c: char| c.is_ascii_digit());
        if first.is_ascii_digit() || digits_follow {
            let mut previous = first;
            let end = rest[1..].find(|c: char| {
                let exponent_sign = matches!(c, '-' | '+') && previous == 'e';
                previous = c;
                !(c.is_ascii_alphanumeric() || c == '.' || exponent_sign)
            });
            let length = end.map_or(rest.len(), |end| end + 1);
            return Ok((Token::Number(&rest[..length]), length));
        }
        if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'));
            let length = end.unwrap_or(rest.len());
            return Ok((Token::Word(&rest[..length]), length));
        }
        match MARKS.into_iter().find(|mark| rest.starts_with(mark)) {
            Some(mark) => Ok((Token::Mark(mark), mark.len())),
            None => Err(self.error(format!("{first:?} has no place in a plan"))),
        }
    }

    /// A quoted string as `{:?}` of a `str` prints it.
    fn quoted(&self, rest: &'t str) -> Result<(Token<'t>, usize), ParseError> {
        // Most texts have nothing escaped in them.
        if let Some(end) = rest[1..].find(['"', '\\']).map(|end| end + 1)
            && rest[end..].starts_with('"')
        {
            return Ok((Token::Text(Cow::Borrowed(&rest[1..end])), end + 1));
        }
        let mut text = String::new();
        let mut chars = rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return Ok((Token::Text(Cow::Owned(text)), at + 1)),
                '\\' => {
                    let escaped = chars.next().map(|(_, c)| c);
                    text.push(match escaped {
                        Some('n') => '\n',
                        Some('r') => '\r',
                        Some('t') => '\t',
                        Some('0') => '\0',
                        Some(c @ ('\\' | '"' | '\'')) => c,
                        Some('u') => {
                            let code: String =
                                chars.by_ref().map(|(_, c)| c).skip(1).take_while(|c| *c != '}').collect();
                            u32::from_str_radix(&code, 16)
                                .ok()
                                .and_then(char::from_u32)
                                .ok_or_else(|| self.error(format!("'\\u{{{code}}}' is no character")))?
                        }
                        _ => return Err(self.error("a text has an unknown escape")),
                    });
                }
                c => text.push(c),
            }
        }
        Err(self.error("a text is not closed by '\"'"))
    }

    pub(super) fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError { line: self.number, message: message.into() }
    }

    fn unexpected(&self, expected: &str) -> ParseError {
        let found = match self.tokens.get(self.next) {
            None => "the end of the line".to_owned(),
            Some(Token::Word(text) | Token::Number(text)) => format!("'{text}'"),
            Some(Token::Text(text)) => format!("{text:?}"),
            Some(Token::Mark(mark)) => format!("'{mark}'"),
        };
        self.error(format!("expected {expected}, found {found}"))
    }

    pub(super) fn is_at(&self, word: &str) -> bool {
        matches!(self.tokens.get(self.next), Some(Token::Word(text)) if *text == word)
    }

    /// Takes `word` if it is next.
    pub(super) fn eat(&mut self, word: &str) -> bool {
        let is_next = self.is_at(word);
        self.next += usize::from(is_next);
        is_next
    }

    pub(super) fn is_at_mark(&self, mark: &str) -> bool {
        matches!(self.tokens.get(self.next), Some(Token::Mark(next)) if *next == mark)
    }

    /// Takes `mark` if it is next.
    pub(super) fn eat_mark(&mut self, mark: &str) -> bool {
        let is_next = self.is_at_mark(mark);
        self.next += usize::from(is_next);
        is_next
    }

    pub(super) fn keyword(&mut self, word: &str) -> Result<(), ParseError> {
        if self.eat(word) { Ok(()) } else { Err(self.unexpected(&format!("'{word}'"))) }
    }

    pub(super) fn mark(&mut self, mark: &str) -> Result<(), ParseError> {
        if self.eat_mark(mark) { Ok(()) } else { Err(self.unexpected(&format!("'{mark}'"))) }
    }

    pub(super) fn word(&mut self, what: &str) -> Result<&'t str, ParseError> {
        match self.tokens.get(self.next) {
            Some(Token::Word(text)) => {
                self.next += 1;
                Ok(text)
            }
            _ => Err(self.unexpected(what)),
        }
    }

    /// A word that is kept.
    pub(super) fn name(&mut self, what: &str) -> Result<String, ParseError> {
        self.word(what).map(str::to_owned)
    }

    pub(super) fn text(&mut self, what: &str) -> Result<String, ParseError> {
        match self.tokens.get(self.next) {
            Some(Token::Text(text)) => {
                self.next += 1;
                Ok(text.clone().into_owned())
            }
            _ => Err(self.unexpected(&format!("{what} in quotes"))),
        }
    }

    fn number_text(&mut self, what: &str) -> Result<&'t str, ParseError> {
        match self.tokens.get(self.next) {
            Some(Token::Number(text)) => {
                self.next += 1;
                Ok(text)
            }
            _ => Err(self.unexpected(what)),
        }
    }

    pub(super) fn peek(&self) -> Option<&Token<'t>> {
        self.tokens.get(self.next)
    }

    /// A whole number that fits `T`.
    pub(super) fn number<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, ParseError> {
        let text = self.number_text(what)?;
        text.parse().map_err(|_| self.error(format!("expected {what}, found '{text}'")))
    }

    /// A number with one of `units`, each worth so many; the product.
    fn quantity(&mut self, what: &str, units: &[(&str, u64)]) -> Result<u64, ParseError> {
        let text = self.number_text(what)?;
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let count = text[..digits].parse::<u64>().ok();
        let unit = units.iter().find(|(unit, _)| *unit == &text[digits..]).map(|(_, worth)| *worth);
        count
            .zip(unit)
            .and_then(|(count, unit)| count.checked_mul(unit))
            .ok_or_else(|| self.error(format!("expected {what}, found '{text}'")))
    }

    pub(super) fn bytes(&mut self) -> Result<u64, ParseError> {
        self.quantity("bytes such as 4KiB", &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)])
    }

    pub(super) fn millis(&mut self) -> Result<u64, ParseError> {
        self.quantity("a duration such as 30s", &[("ms", 1), ("s", 1000), ("min", 60_000)])
    }

    pub(super) fn hertz(&mut self) -> Result<u64, ParseError> {
        self.quantity("a rate such as 16kHz", &[("Hz", 1), ("kHz", 1000)])
    }

    /// Thousandths can be written.
    pub(super) fn frame_rate(&mut self) -> Result<FrameRate, ParseError> {
        let text = self.number_text("a frame rate such as 2fps")?;
        let number = text.strip_suffix("fps").and_then(|number| number.parse::<f64>().ok());
        let thousandths = number.map(|number| (number * 1000.0).round());
        match thousandths.filter(|it| (1.0..=f64::from(u32::MAX)).contains(it)) {
            Some(thousandths) => Ok(FrameRate(thousandths as u32)),
            None => Err(self.error(format!("expected a frame rate such as 2fps, found '{text}'"))),
        }
    }

    /// An id such as `v12` with this prefix.
    pub(super) fn id<I: crate::ids::Id>(&mut self, prefix: char, what: &str) -> Result<I, ParseError> {
        let number = match self.tokens.get(self.next) {
            Some(Token::Word(text)) => {
                text.strip_prefix(prefix).and_then(|digits| digits.parse::<u32>().ok())
            }
            _ => None,
        };
        match number {
            Some(number) => {
                self.next += 1;
                Ok(I::from_index(number as usize))
            }
            None => Err(self.unexpected(&format!("{what} such as {prefix}0"))),
        }
    }

    pub(super) fn end(&self) -> Result<(), ParseError> {
        if self.next == self.tokens.len() { Ok(()) } else { Err(self.unexpected("the end of the line")) }
    }

    /// `item, item, …` until something else follows; nothing at all if the line is at `stop`.
    pub(super) fn list<T>(
        &mut self,
        close: Option<&str>,
        mut item: impl FnMut(&mut Self) -> Result<T, ParseError>,
    ) -> Result<Vec<T>, ParseError> {
        let mut items = Vec::new();
        if let Some(close) = close
            && self.eat_mark(close)
        {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if !self.eat_mark(",") {
                break;
            }
        }
        if let Some(close) = close {
            self.mark(close)?;
        }
        Ok(items)
    }
}
