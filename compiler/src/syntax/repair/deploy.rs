//! Makes words of the names in `cluster`, `place`, `serve` and `workload` that stand where only such a
//! word can.
//!
//! These words are names everywhere else, and newlines mean nothing, so where one stands follows from
//! what is before it in its block: [`block`] knows what can. A slip is mended with the nearest word.
//! Each line of a block gets a token of its own before it, where the parser takes up again after a
//! mistake.

mod block;

use self::block::Block;
use super::Tokens;
use crate::diagnostic::{Diagnostic, nearest, syntax};
use crate::syntax::token::{Tok, Token};

/// Every word that begins an item, to know which one was meant by a slip.
const ITEMS: [&str; 9] =
    ["use", "let", "component", "graph", "route", "cluster", "place", "serve", "workload"];

pub(super) fn deploy<'t>(tokens: &Tokens<'t>, found: &mut Vec<Diagnostic>) -> Tokens<'t> {
    let mut kept: Vec<Token<'t>> = Vec::with_capacity(tokens.all.len());
    let mut depth = 0_usize;
    let mut index = 0;
    while index < tokens.all.len() {
        let token = &tokens.all[index];
        match &token.tok {
            tok if tok.begins_item() => depth = 0,
            tok if tok.opens() => depth += 1,
            tok if tok.closes() => depth = depth.saturating_sub(1),
            Tok::Name(word) if depth == 0 => {
                if let Some(item) = item(tokens, index, word, found) {
                    index = Block::new(tokens, found, &mut kept, item).read(index);
                    continue;
                }
            }
            // It stands for everything else in a `place` block, and for nothing elsewhere.
            Tok::Star => {
                found.push(syntax::strange_characters(tokens.span(index), "*"));
                kept.push(Token { tok: Tok::Error, ..token.clone() });
                index += 1;
                continue;
            }
            _ => {}
        }
        kept.push(token.clone());
        index += 1;
    }
    tokens.with(kept)
}

/// The item of the deployment that begins with `word` at `index`; a slip is reported.
fn item(tokens: &Tokens<'_>, index: usize, word: &str, found: &mut Vec<Diagnostic>) -> Option<Tok<'static>> {
    let next = tokens.get(index + 1);
    let is_named = next.is_some_and(|tok| tok.name().is_some());
    let begins = begins_anew(tokens, index)
        || tokens.is_fresh(index)
        || (is_named && tokens.before(index).is_none_or(Tok::ends_value));
    if !begins {
        return None;
    }
    if let Some(item) = keyword(word) {
        let is_binding = next == Some(&Tok::Equals);
        return (!is_binding).then_some(item);
    }
    let meant = nearest(word, ITEMS).filter(|_| is_named && tokens.get(index + 2) != Some(&Tok::Equals))?;
    let item = keyword(meant)?;
    found.push(syntax::unknown_item(tokens.span(index), word, Some(meant)));
    Some(item)
}

/// Whether an item of the deployment begins inside the block of another, which was never closed.
fn begins_anew(tokens: &Tokens<'_>, index: usize) -> bool {
    let Some(Tok::Name(word)) = tokens.get(index) else { return false };
    if keyword(word).is_none()
        || !tokens.starts_line(index)
        || tokens.get(index + 1).and_then(Tok::name).is_none()
    {
        return false;
    }
    matches!(tokens.get(index + 2), Some(Tok::OpenBrace | Tok::For | Tok::Name("on")))
}

fn keyword(word: &str) -> Option<Tok<'static>> {
    Some(match word {
        "cluster" => Tok::Cluster,
        "place" => Tok::Place,
        "serve" => Tok::Serve,
        "workload" => Tok::Workload,
        _ => return None,
    })
}
