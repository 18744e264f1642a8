//! Puts a comma where two arguments, items or parameters stand side by side.
//!
//! The parser would take out the second one, and the call would then lack an argument as well.

use super::Tokens;
use crate::diagnostic::{Diagnostic, syntax};
use crate::syntax::token::{Tok, Token};

pub(super) fn commas<'t>(tokens: &Tokens<'t>, found: &mut Vec<Diagnostic>) -> Tokens<'t> {
    let mut kept: Vec<Token<'t>> = Vec::with_capacity(tokens.all.len());
    // Each bracket with whether parameters of a declaration stand in it.
    let mut open: Vec<(&Tok<'t>, bool)> = Vec::new();
    for (index, token) in tokens.all.iter().enumerate() {
        let closing = match open.last() {
            Some((Tok::OpenParen, declares)) => Some((")", *declares)),
            Some((Tok::OpenBracket, _)) => Some(("]", false)),
            _ => None,
        };
        if let Some((closing, declares)) = closing
            && is_item(tokens, index)
            && (!declares || tokens.get(index + 1) == Some(&Tok::Colon))
        {
            let span = tokens.span(index);
            let text = &tokens.text[span.start as usize..span.end as usize];
            let expected = [",", closing].map(|mark| format!("`{mark}`"));
            let hint = "arguments and items are separated by commas".to_owned();
            found.push(syntax::unexpected(span, &syntax::quote(text), &expected, Some(hint)));
            kept.push(Token { tok: Tok::Comma, start: token.start, end: token.start });
        }
        match &token.tok {
            tok if tok.opens() => {
                let item = index.checked_sub(2).and_then(|item| tokens.get(item));
                open.push((tok, matches!(item, Some(Tok::Component | Tok::Graph))));
            }
            tok if tok.closes() => {
                open.pop();
            }
            tok if tok.begins_item() => open.clear(),
            _ => {}
        }
        kept.push(token.clone());
    }
    tokens.with(kept)
}

/// Whether a name or a literal begins an item of its own right after another: what follows it is what can.
fn is_item(tokens: &Tokens<'_>, index: usize) -> bool {
    use Tok::{CloseBracket, CloseParen, Colon, Comma, Dot, Float, Int, Name, OpenParen, Quantity, Str};
    let begins = matches!(tokens.all[index].tok, Name(_) | Str(_) | Int(_) | Float(_) | Quantity(_));
    // A word with a meaning of its own is no end: `text max 4`.
    let after = match tokens.before(index) {
        Some(Name(_) | Str(_) | Int(_) | Float(_) | Quantity(_) | CloseParen | CloseBracket) => true,
        Some(_) | None => false,
    };
    let goes_on =
        matches!(tokens.get(index + 1), Some(Comma | CloseParen | CloseBracket | Dot | OpenParen | Colon));
    // `for item list`
    let is_bound = index.checked_sub(2).and_then(|before| tokens.get(before)) == Some(&Tok::For);
    begins && after && goes_on && !is_bound
}
