//! The tokens of a text as an editor sees them: where each stands and of which sort it is.

use super::token::{Tok, tokens};
use crate::source::FileId;

/// A token's place and sort; what it says is in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lexeme {
    /// Its sort.
    pub kind: LexemeKind,
    /// Its first byte.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
}

/// The sort of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexemeKind {
    /// A word that can never be a name.
    Reserved,
    /// A name, or a word with a meaning in one place only.
    Name,
    /// A text in quotes.
    Text,
    /// A number, also with a unit.
    Number,
    /// `///` and what follows it.
    Doc,
    /// A bracket or sign.
    Sign,
    /// No token of the language.
    Error,
}

/// The tokens of `text` without comments; nothing is said of what is wrong.
pub fn lexemes(text: &str) -> Vec<Lexeme> {
    let (tokens, _) = tokens(FileId(0), text);
    let lexeme = |token: super::token::Token<'_>| Lexeme {
        kind: kind(&token.tok),
        start: token.start,
        end: token.end,
    };
    tokens.into_iter().map(lexeme).collect()
}

/// Whether `word` is one that can never be a name.
pub fn is_reserved(word: &str) -> bool {
    let (tokens, _) = tokens(FileId(0), word);
    matches!(tokens.as_slice(), [token] if token.tok.reserved().is_some())
}

fn kind(tok: &Tok<'_>) -> LexemeKind {
    match tok {
        _ if tok.reserved().is_some() => LexemeKind::Reserved,
        _ if tok.name().is_some() => LexemeKind::Name,
        Tok::Str(_) => LexemeKind::Text,
        Tok::Int(_) | Tok::Float(_) | Tok::Quantity(_) => LexemeKind::Number,
        Tok::Doc(_) => LexemeKind::Doc,
        Tok::Error | Tok::Skipped => LexemeKind::Error,
        _ => LexemeKind::Sign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use LexemeKind::{Name, Number, Reserved, Sign, Text};

    #[test]
    fn every_token_has_its_place_and_sort() {
        let found = lexemes("let run = a(\"b\", 3s) // no\n");
        let kinds: Vec<LexemeKind> = found.iter().map(|lexeme| lexeme.kind).collect();
        assert_eq!(kinds, [Reserved, Name, Sign, Name, Sign, Text, Sign, Number, Sign]);
        assert_eq!((found[1].start, found[1].end), (4, 7));
        assert!(is_reserved("graph") && !is_reserved("run") && !is_reserved("a b") && !is_reserved(""));
    }
}
