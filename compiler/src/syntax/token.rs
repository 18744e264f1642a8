//! Text to tokens.
//!
//! The lexer never fails: the parser recovers only from its own errors, so what is no token is
//! reported here and handed on as [`Tok::Error`], of which the parser says nothing more.
//! Newlines mean nothing to the parser; every item, binding and clause begins with a word of its
//! own. Ordinary comments are left out, `///` comments are tokens.

use logos::{Lexer, Logos, Skip};

use crate::diagnostic::{Diagnostic, syntax};
use crate::source::{FileId, Span};

/// A token of the text, or what stands for a part of it.
#[derive(Logos, Clone, Debug, PartialEq)]
#[logos(extras = Problems)]
#[logos(skip r"[ \t\r\n\f]+")]
#[logos(skip(r"//([^/\n][^\n]*|//[^\n]*)?", allow_greedy = true))]
pub(crate) enum Tok<'t> {
    #[token("use")]
    Use,
    #[token("let")]
    Let,
    #[token("component")]
    Component,
    #[token("graph")]
    Graph,
    #[token("route")]
    Route,
    #[token("in")]
    In,
    #[token("out")]
    Out,
    #[token("for")]
    For,
    #[token("when")]
    When,
    #[token("if")]
    If,
    #[token("else")]
    Else,
    #[token("match")]
    Match,
    #[token("switch")]
    Switch,
    #[token("loop")]
    Loop,
    #[token("until")]
    Until,
    #[token("none")]
    None,
    #[token("enum")]
    Enum,
    #[token("true")]
    True,
    #[token("false")]
    False,

    // Words with a meaning in one place only; elsewhere they are names.
    #[token("run")]
    Run,
    #[token("needs")]
    Needs,
    #[token("batch")]
    Batch,
    #[token("within")]
    Within,
    #[token("max")]
    Max,
    #[token("window")]
    Window,

    // Words of the deployment. The lexer makes names of them; `repair::deploy` knows where they are words.
    Cluster,
    Place,
    Serve,
    Workload,
    Node,
    Link,
    Cpu,
    Memory,
    Gpu,
    On,
    Replicas,
    TensorParallel,
    With,
    Apart,
    Auto,
    Openai,
    Grpc,
    Kserve,
    Limit,
    Deadline,
    Rate,
    Burst,
    Target,
    /// Stands before each line of a block of the deployment, and has the place of its first token.
    Line,

    #[regex("[A-Za-z_][A-Za-z0-9_]*")]
    #[regex(r"[\p{XID_Start}_]\p{XID_Continue}*", foreign_name, priority = 1)]
    Name(&'t str),
    #[regex(r#""([^"\\\r\n]|\\[^\r\n])*""#, |lex| string(lex, true))]
    #[regex(r#""([^"\\\r\n]|\\[^\r\n])*\\?"#, |lex| string(lex, false))]
    #[regex("[“„][^“”\r\n]*[“”]", foreign_string)]
    #[regex("'[^'\r\n]*'", foreign_string)]
    Str(String),
    #[regex("-?[0-9][0-9_]*", integer)]
    Int(i64),
    #[regex(r"-?[0-9][0-9_]*(\.[0-9][0-9_]*)([eE][+-]?[0-9]+)?", float, priority = 12)]
    #[regex(r"-?[0-9][0-9_]*[eE][+-]?[0-9]+", float, priority = 12)]
    Float(f64),
    #[regex(r"-?[0-9][0-9_]*(\.[0-9][0-9_]*)?([eE][+-]?[0-9]+)?[A-Za-zµ%][A-Za-z0-9_]*", quantity)]
    #[regex(r"-?[0-9][0-9_]*(\.[0-9][0-9_]*)?([eE][+-]?[0-9]+)?/[A-Za-z][A-Za-z0-9_]*", quantity)]
    Quantity((f64, &'t str)),
    /// The text after `///`.
    #[regex(r"///([^/\n][^\n]*)?", doc, allow_greedy = true)]
    Doc(&'t str),

    #[token("(")]
    OpenParen,
    #[token(")")]
    CloseParen,
    #[token("[")]
    OpenBracket,
    #[token("]")]
    CloseBracket,
    #[token("{")]
    OpenBrace,
    #[token("}")]
    CloseBrace,
    #[token("<")]
    Less,
    #[token(">")]
    Greater,
    #[token("<=")]
    AtMost,
    #[token("->")]
    Arrow,
    #[token("=>")]
    FatArrow,
    #[token("::")]
    PathSep,
    #[token(":")]
    Colon,
    #[token(",")]
    Comma,
    #[token(".")]
    Dot,
    #[token("?")]
    Question,
    #[token("=")]
    Equals,
    #[token("+")]
    Plus,
    #[token("*")]
    Star,
    #[token("..")]
    Range,
    #[token(";")]
    Semicolon,

    /// Characters that are no token; already reported.
    #[regex(r"#[^\n]*", foreign_comment, allow_greedy = true)]
    #[regex(r"/\*([^*]|\*+[^*/])*\*+/", foreign_comment)]
    Error,
    /// `else` before `=>`: a case of its own, not what follows an `if`. Made by [`tokens`].
    ElseCase,
    /// Tokens that `repair` took out; already reported. Stands for an item, a clause, a type or a value.
    Skipped,
}

/// A token with its first byte and the byte after its last.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token<'t> {
    pub(crate) tok: Tok<'t>,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// What the lexer found to be wrong, and where it looks.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    file: FileId,
    found: Vec<Diagnostic>,
}

impl<'t> Tok<'t> {
    /// The text of a name, also of a word that is one outside its own place.
    pub(crate) fn name(&self) -> Option<&'t str> {
        Some(match self {
            Self::Name(text) => text,
            Self::Run => "run",
            Self::Needs => "needs",
            Self::Batch => "batch",
            Self::Within => "within",
            Self::Max => "max",
            Self::Window => "window",
            _ => return None,
        })
    }

    /// The text of a word that can never be a name.
    pub(crate) fn reserved(&self) -> Option<&'static str> {
        Some(match self {
            Self::Use => "use",
            Self::Let => "let",
            Self::Component => "component",
            Self::Graph => "graph",
            Self::Route => "route",
            Self::In => "in",
            Self::Out => "out",
            Self::For => "for",
            Self::When => "when",
            Self::If => "if",
            Self::Else => "else",
            Self::Match => "match",
            Self::Switch => "switch",
            Self::Loop => "loop",
            Self::Until => "until",
            Self::None => "none",
            Self::Enum => "enum",
            Self::True => "true",
            Self::False => "false",
            _ => return None,
        })
    }

    /// Whether an item begins with it that can stand in no other.
    pub(crate) fn begins_item(&self) -> bool {
        let deploys = matches!(self, Self::Cluster | Self::Place | Self::Serve | Self::Workload);
        deploys || matches!(self, Self::Use | Self::Component | Self::Graph | Self::Route)
    }

    /// Whether a value begins with it that has braces after its head.
    pub(crate) fn begins_construct(&self) -> bool {
        matches!(self, Self::When | Self::If | Self::Match | Self::Switch | Self::Loop)
    }

    /// Whether it opens parentheses, square brackets or braces.
    pub(crate) fn opens(&self) -> bool {
        matches!(self, Self::OpenParen | Self::OpenBracket | Self::OpenBrace)
    }

    /// Whether it closes them.
    pub(crate) fn closes(&self) -> bool {
        matches!(self, Self::CloseParen | Self::CloseBracket | Self::CloseBrace)
    }

    /// Whether a value or a type can end with it.
    pub(crate) fn ends_value(&self) -> bool {
        let is_literal = matches!(
            self,
            Self::Str(_) | Self::Int(_) | Self::Float(_) | Self::Quantity(_) | Self::True | Self::False
        );
        let is_end =
            matches!(self, Self::Greater | Self::Question | Self::Skipped | Self::Error | Self::None);
        is_literal || is_end || self.closes() || self.name().is_some()
    }
}

impl Token<'_> {
    /// Its place.
    pub(crate) fn span(&self, file: FileId) -> Span {
        Span { file, start: self.start, end: self.end }
    }
}

/// The tokens of `text`, which is shorter than 4 GiB, and what is no token.
pub(crate) fn tokens(file: FileId, text: &str) -> (Vec<Token<'_>>, Vec<Diagnostic>) {
    let mut lexer = Tok::lexer_with_extras(text, Problems { file, found: Vec::new() });
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut semicolons: Vec<Span> = Vec::new();
    while let Some(read) = lexer.next() {
        let (start, end) = (lexer.span().start as u32, lexer.span().end as u32);
        match read {
            Ok(Tok::Semicolon) => semicolons.push(Span { file, start, end }),
            Ok(tok) => tokens.push(Token { tok, start, end }),
            Err(()) if start == 0 && lexer.slice() == "\u{feff}" => {}
            // Neighbouring strange characters are one mistake.
            Err(()) => match tokens.last_mut() {
                Some(last) if last.tok == Tok::Error && last.end == start => last.end = end,
                _ => tokens.push(Token { tok: Tok::Error, start, end }),
            },
        }
    }
    for index in 1..tokens.len() {
        if tokens[index].tok == Tok::FatArrow && tokens[index - 1].tok == Tok::Else {
            tokens[index - 1].tok = Tok::ElseCase;
        }
    }
    let mut found = lexer.extras.found;
    for token in tokens.iter().filter(|token| token.tok == Tok::Error) {
        let strange = &text[token.start as usize..token.end as usize];
        found.push(syntax::strange_characters(token.span(file), strange));
    }
    if let Some(first) = semicolons.first() {
        found.push(syntax::semicolon(*first, semicolons.len()));
    }
    (tokens, found)
}

fn place<'t>(lex: &Lexer<'t, Tok<'t>>) -> Span {
    Span { file: lex.extras.file, start: lex.span().start as u32, end: lex.span().end as u32 }
}

fn foreign_name<'t>(lex: &mut Lexer<'t, Tok<'t>>) -> &'t str {
    let problem = syntax::foreign_name(place(lex), lex.slice());
    lex.extras.found.push(problem);
    lex.slice()
}

/// A text in the quotes of a word processor or of another language.
fn foreign_string<'t>(lex: &mut Lexer<'t, Tok<'t>>) -> String {
    let problem = syntax::foreign_quotes(place(lex));
    lex.extras.found.push(problem);
    let slice = lex.slice();
    slice.trim_matches(['“', '”', '„', '\'']).to_owned()
}

fn foreign_comment<'t>(lex: &mut Lexer<'t, Tok<'t>>) -> Skip {
    let problem = syntax::foreign_comment(place(lex));
    lex.extras.found.push(problem);
    Skip
}

fn doc<'t>(lex: &mut Lexer<'t, Tok<'t>>) -> &'t str {
    let text = lex.slice().trim_start_matches('/').trim_end();
    text.strip_prefix(' ').unwrap_or(text)
}

fn integer<'t>(lex: &mut Lexer<'t, Tok<'t>>) -> i64 {
    lex.slice().replace('_', "").parse().unwrap_or_else(|_| {
        let problem = syntax::number_out_of_range(place(lex), "an integer", "−2⁶³ to 2⁶³−1");
        lex.extras.found.push(problem);
        0
    })
}

fn float<'t>(lex: &mut Lexer<'t, Tok<'t>>) -> f64 {
    let slice = lex.slice();
    finite(lex, slice)
}

fn quantity<'t>(lex: &mut Lexer<'t, Tok<'t>>) -> (f64, &'t str) {
    let slice = lex.slice();
    let (number, unit) = slice.split_at(unit_start(slice));
    (finite(lex, number), unit)
}

/// Where the unit begins: at the first letter that is not the `e` of an exponent.
fn unit_start(slice: &str) -> usize {
    let letter = slice.find(|c: char| c.is_alphabetic() || matches!(c, '%' | '/')).unwrap_or(slice.len());
    let rest = &slice[letter..];
    let exponent = rest.strip_prefix(['e', 'E']).map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
    let digits = exponent.map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    match exponent {
        Some(after) if digits > 0 && digits < after.len() && !after[digits..].starts_with('_') => {
            slice.len() - after.len() + digits
        }
        _ => letter,
    }
}

fn finite<'t>(lex: &mut Lexer<'t, Tok<'t>>, number: &str) -> f64 {
    let value: f64 = number.replace('_', "").parse().unwrap_or(f64::INFINITY);
    if value.is_finite() {
        return value;
    }
    let problem = syntax::number_out_of_range(place(lex), "a number", "about ±1.8 × 10³⁰⁸");
    lex.extras.found.push(problem);
    0.0
}

/// The contents of a string literal. One that is not closed ends with its line.
fn string<'t>(lex: &mut Lexer<'t, Tok<'t>>, closed: bool) -> String {
    let whole = place(lex);
    let slice = lex.slice();
    let inside = if closed { &slice[1..slice.len() - 1] } else { &slice[1..] };
    if !closed {
        lex.extras.found.push(syntax::unterminated_string(whole));
    }
    let mut text = String::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(backslash) = rest.find('\\') {
        text.push_str(&rest[..backslash]);
        let escape = &rest[backslash..];
        let offset = whole.start + 1 + (inside.len() - escape.len()) as u32;
        let length = match escaped(escape) {
            Ok((character, length)) => {
                text.push(character);
                length
            }
            Err(length) => {
                let span = Span { start: offset, end: offset + length as u32, ..whole };
                // An unterminated string may end in a lone backslash: one message is enough.
                if closed {
                    lex.extras.found.push(syntax::unknown_escape(span, &escape[..length]));
                }
                length
            }
        };
        rest = &escape[length..];
    }
    text.push_str(rest);
    text
}

/// The character that the escape at the start of `escape` stands for and the escape's length, or
/// the length of what is no escape.
fn escaped(escape: &str) -> Result<(char, usize), usize> {
    let Some(letter) = escape[1..].chars().next() else { return Err(1) };
    let simple = match letter {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        '0' => '\0',
        '"' | '\\' | '\'' => letter,
        'u' => return unicode_escape(escape),
        _ => return Err(1 + letter.len_utf8()),
    };
    Ok((simple, 2))
}

/// `\u{1f600}`.
fn unicode_escape(escape: &str) -> Result<(char, usize), usize> {
    let Some(end) = escape.find('}').filter(|_| escape[2..].starts_with('{')) else { return Err(2) };
    let code = u32::from_str_radix(&escape[3..end], 16).ok().filter(|_| end - 3 <= 6);
    code.and_then(char::from_u32).map(|character| (character, end + 1)).ok_or(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Tok<'_>>, Vec<String>) {
        let (tokens, found) = tokens(FileId(0), text);
        (
            tokens.into_iter().map(|token| token.tok).collect(),
            found.into_iter().map(|one| one.message).collect(),
        )
    }

    #[test]
    fn numbers_have_underscores_signs_exponents_and_units() {
        let (tokens, found) = read("1_000 -5 0.5 1e-7 -2.5E3 16kHz 1.4GiB 2e3ms 4e 5em 1e5x9 µ");
        assert_eq!(found.len(), 1, "only the lone µ: {found:?}");
        assert_eq!(
            tokens[..11],
            [
                Tok::Int(1000),
                Tok::Int(-5),
                Tok::Float(0.5),
                Tok::Float(1e-7),
                Tok::Float(-2500.0),
                Tok::Quantity((16.0, "kHz")),
                Tok::Quantity((1.4, "GiB")),
                Tok::Quantity((2000.0, "ms")),
                Tok::Quantity((4.0, "e")),
                Tok::Quantity((5.0, "em")),
                Tok::Quantity((100_000.0, "x9")),
            ]
        );
    }

    #[test]
    fn numbers_out_of_range_are_reported_and_stay_numbers() {
        let (tokens, found) = read("9223372036854775807 9223372036854775808 1e999 1e999s");
        assert_eq!(tokens, [Tok::Int(i64::MAX), Tok::Int(0), Tok::Float(0.0), Tok::Quantity((0.0, "s"))]);
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn strings_are_unescaped() {
        let (tokens, found) = read(r#""a\n\t\r\0\"\\\'\u{e9}b""#);
        assert_eq!(tokens, [Tok::Str("a\n\t\r\0\"\\'éb".to_owned())]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn broken_strings_stay_strings() {
        let (tokens, found) = read("\"ab\\qc\\u{110000}\\u{zz\" \"open\nlet \"x\\\r\n\"\\");
        assert_eq!(
            tokens,
            [
                Tok::Str("abc{zz".to_owned()),
                Tok::Str("open".to_owned()),
                Tok::Let,
                Tok::Str("x".to_owned()),
                Tok::Str(String::new()),
            ]
        );
        assert_eq!(found.len(), 6, "{found:?}");
    }

    #[test]
    fn what_other_languages_write_is_understood_and_refused() {
        let (tokens, found) = read("# no\n/* no\n * no **/ “a” 'b' /*/ let");
        assert_eq!(tokens[..2], [Tok::Str("a".to_owned()), Tok::Str("b".to_owned())]);
        assert_eq!(found.len(), 5, "{found:?}");
    }

    #[test]
    fn comments_are_left_out_and_docs_are_kept() {
        let (tokens, found) = read("// no\n/// Yes.\r\n//// no\n///\n//\nlet //");
        assert_eq!(tokens, [Tok::Doc("Yes."), Tok::Doc(""), Tok::Let]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn strange_characters_are_one_error_where_they_touch() {
        let (tokens, found) = read("a @@^ b $ é; ;");
        assert_eq!(tokens, [Tok::Name("a"), Tok::Error, Tok::Name("b"), Tok::Error, Tok::Name("é")]);
        assert_eq!(found.len(), 4, "{found:?}");
    }
}
