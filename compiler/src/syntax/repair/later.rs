//! Takes out constructs of later versions whole, so that each is one clear message; also words of the
//! language that are used as names, which would end what they stand in.

use super::Tokens;
use crate::diagnostic::{Diagnostic, syntax};
use crate::source::Span;
use crate::syntax::token::{Tok, Token};

/// Words that begin an item of a later version. They are names everywhere else.
const ITEMS: [&str; 4] = ["cluster", "place", "serve", "workload"];

pub(super) fn later<'t>(tokens: &Tokens<'t>, found: &mut Vec<Diagnostic>) -> Tokens<'t> {
    let mut kept = Vec::with_capacity(tokens.all.len());
    let mut taken_out: Vec<Span> = Vec::new();
    let mut depth = 0_usize;
    let mut index = 0;
    while index < tokens.all.len() {
        let token = &tokens.all[index];
        if let Some(word) = token.tok.reserved()
            && (is_keyword_as_name(tokens, index, depth) || is_construct_as_name(tokens, index))
        {
            found.push(syntax::reserved_name(tokens.span(index), word));
            kept.push(Token { tok: Tok::Name(word), ..token.clone() });
            index += 1;
            continue;
        }
        match &token.tok {
            tok if tok.opens() => depth += 1,
            tok if tok.closes() => depth = depth.saturating_sub(1),
            tok if tok.begins_item() => depth = 0,
            Tok::Name(word) if begins_later_item(tokens, index, depth) => {
                found.push(syntax::not_yet(tokens.span(index), word));
                let end = end_of_construct(tokens, index);
                taken_out.push(tokens.span(index).to(tokens.span(end - 1)));
                kept.push(tokens.skipped(index, end));
                index = end;
                continue;
            }
            _ => {}
        }
        kept.push(token.clone());
        index += 1;
    }
    // What is strange inside may be right in the version that has the construct.
    found.retain(|problem| {
        let inside = |span: &Span, place: Span| span.start < place.start && place.end <= span.end;
        !problem.place().is_some_and(|place| taken_out.iter().any(|span| inside(span, place)))
    });
    tokens.with(kept)
}

fn begins_later_item(tokens: &Tokens<'_>, index: usize, depth: usize) -> bool {
    let is_word = matches!(&tokens.all[index].tok, Tok::Name(word) if ITEMS.contains(word));
    is_word && depth == 0 && tokens.is_fresh(index)
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
        Some(Tok::Let | Tok::Component | Tok::Graph | Tok::Route | Tok::For | Tok::When | Tok::Dot)
            | Some(Tok::PathSep | Tok::Plus)
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

/// One past the last token of the construct that begins at `start`: after its braces and those of
/// an `else`, or before what can be no part of it.
fn end_of_construct(tokens: &Tokens<'_>, start: usize) -> usize {
    let mut depth = 0_usize;
    let mut index = start + 1;
    while let Some(tok) = tokens.get(index) {
        let is_outside = depth == 0 && (*tok == Tok::Let || tok.closes());
        if is_outside || tok.begins_item() {
            return index;
        }
        if tok.opens() {
            depth += 1;
        } else if tok.closes() {
            depth -= 1;
            let goes_on = tokens.get(index + 1) == Some(&Tok::Else);
            if depth == 0 && *tok == Tok::CloseBrace && !goes_on {
                return index + 1;
            }
        }
        index += 1;
    }
    tokens.all.len()
}
