//! Makes names of words of the language that are used as names, which would end what they stand in.

use super::Tokens;
use crate::diagnostic::{Diagnostic, syntax};
use crate::syntax::token::{Tok, Token};

pub(super) fn reserved<'t>(tokens: &Tokens<'t>, found: &mut Vec<Diagnostic>) -> Tokens<'t> {
    let mut kept = Vec::with_capacity(tokens.all.len());
    let mut depth = 0_usize;
    let anywhere = declared_outside(tokens);
    let mut here: Vec<&str> = Vec::new();
    for (index, token) in tokens.all.iter().enumerate() {
        if let Some(word) = token.tok.reserved() {
            let declares = declares(tokens, index);
            if declares {
                found.push(syntax::reserved_name(tokens.span(index), word));
                here.push(word);
            }
            // It was said at its declaration that it cannot be one.
            if declares || ((anywhere.contains(&word) || here.contains(&word)) && is_read(tokens, index)) {
                kept.push(Token { tok: Tok::Name(word), ..token.clone() });
                continue;
            }
        }
        if let Some(word) = token.tok.reserved()
            && (is_keyword_as_name(tokens, index, depth) || is_construct_as_name(tokens, index))
        {
            found.push(syntax::reserved_name(tokens.span(index), word));
            kept.push(Token { tok: Tok::Name(word), ..token.clone() });
            continue;
        }
        match &token.tok {
            tok if tok.opens() => depth += 1,
            tok if tok.closes() => depth = depth.saturating_sub(1),
            tok if tok.begins_item() => {
                depth = 0;
                here.clear();
            }
            _ => {}
        }
        kept.push(token.clone());
    }
    tokens.with(kept)
}

/// Whether the word at `index` is declared: `let out = …`, `graph when(…)`.
fn declares(tokens: &Tokens<'_>, index: usize) -> bool {
    match tokens.before(index) {
        Some(Tok::Let | Tok::Route) => tokens.get(index + 1) == Some(&Tok::Equals),
        Some(Tok::Component | Tok::Graph) => tokens.get(index + 1) == Some(&Tok::OpenParen),
        _ => false,
    }
}

/// The words that are declared outside braces, where every item can name them.
fn declared_outside(tokens: &Tokens<'_>) -> Vec<&'static str> {
    let mut words = Vec::new();
    let mut depth = 0_usize;
    for (index, token) in tokens.all.iter().enumerate() {
        match &token.tok {
            tok if tok.opens() => depth += 1,
            tok if tok.closes() => depth = depth.saturating_sub(1),
            tok if depth == 0 && declares(tokens, index) => words.extend(tok.reserved()),
            _ => {}
        }
    }
    words
}

/// Whether the word at `index` stands where a value is read that it could name.
fn is_read(tokens: &Tokens<'_>, index: usize) -> bool {
    use Tok::{
        CloseBrace, CloseBracket, CloseParen, Colon, Comma, Dot, Equals, FatArrow, In, OpenBrace,
        OpenBracket, OpenParen, Question,
    };
    let begins = matches!(
        tokens.before(index),
        Some(OpenParen | OpenBracket | OpenBrace | Comma | Colon | Equals | FatArrow | In)
    );
    let is_type = tokens.all[index].tok == Tok::Enum && matches!(tokens.get(index + 2), Some(Tok::Str(_)));
    let ends = match tokens.get(index + 1) {
        None | Some(Comma | CloseParen | CloseBracket | CloseBrace | Dot | OpenParen | Question) => true,
        Some(_) => tokens.starts_line(index + 1),
    };
    (begins || tokens.is_fresh(index)) && ends && !is_type
}

/// Whether a word of the language stands where only a name can: before a colon, or where a parameter
/// or an argument is alone. (A port without a name has its keyword before a colon too.)
fn is_keyword_as_name(tokens: &Tokens<'_>, index: usize, depth: usize) -> bool {
    let tok = &tokens.all[index].tok;
    let is_port = matches!(tok, Tok::In | Tok::Out) && tokens.is_fresh(index);
    match tokens.get(index + 1) {
        Some(Tok::Colon) => depth > 0 && !is_port,
        Some(Tok::Comma | Tok::CloseParen | Tok::Question) => {
            depth > 0 && !matches!(tok, Tok::True | Tok::False | Tok::None | Tok::In | Tok::Out | Tok::For)
        }
        _ => false,
    }
}

/// Whether a word that begins or ends a construct stands where only a name can.
fn is_construct_as_name(tokens: &Tokens<'_>, index: usize) -> bool {
    let tok = &tokens.all[index].tok;
    if !matches!(tok, Tok::If | Tok::Else | Tok::Match | Tok::Switch | Tok::Loop | Tok::Until | Tok::None) {
        return false;
    }
    let before = tokens.before(index);
    let after_name = matches!(
        before,
        Some(
            Tok::Let
                | Tok::Component
                | Tok::Graph
                | Tok::Route
                | Tok::For
                | Tok::When
                | Tok::Dot
                | Tok::PathSep
                | Tok::Plus
        )
    );
    let ends = matches!(
        tokens.get(index + 1),
        None | Some(Tok::Comma | Tok::CloseParen | Tok::CloseBracket | Tok::CloseBrace | Tok::Question)
    );
    let goes_on =
        matches!(tokens.get(index + 1), Some(Tok::Colon | Tok::Equals | Tok::AtMost | Tok::PathSep));
    let is_value = *tok == Tok::None;
    let has_fields = tokens.get(index + 1) == Some(&Tok::Dot);
    after_name || goes_on || (!is_value && (ends || has_fields))
}
