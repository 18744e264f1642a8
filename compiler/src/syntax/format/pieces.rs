//! The tokens of a text, each with the comments and the empty lines around it.
//!
//! What stands between two tokens of a text without mistakes is white space and `//` comments, so
//! nothing else need be looked at, and no text in quotes is mistaken for a comment.

use crate::source::FileId;
use crate::syntax::token::{self, Tok};

/// A `//` comment on a line of its own.
#[derive(Clone, Copy)]
pub(super) struct Comment<'t> {
    pub(super) text: &'t str,
    /// Whether an empty line stands before it.
    pub(super) after_blank: bool,
}

/// A `//` comment at the end of a line.
#[derive(Clone, Copy)]
pub(super) struct Trailing<'t> {
    pub(super) text: &'t str,
    /// The spaces before it.
    pub(super) gap: usize,
}

/// A token, or with an empty text the end of the file.
pub(super) struct Piece<'t> {
    pub(super) text: &'t str,
    pub(super) tok: Option<Tok<'t>>,
    pub(super) start: u32,
    pub(super) end: u32,
    /// The comments on lines of their own before it.
    pub(super) comments: Vec<Comment<'t>>,
    /// Whether an empty line stands right before it.
    pub(super) after_blank: bool,
    /// Whether it is the first token of its line.
    pub(super) begins_line: bool,
    /// Whether more than one space stands before it in its line.
    pub(super) is_padded: bool,
    /// The comment after it in its line.
    pub(super) trailing: Option<Trailing<'t>>,
}

/// The pieces of `text`, which has no syntax errors, with one for its end.
pub(super) fn pieces(file: FileId, text: &str) -> Vec<Piece<'_>> {
    let (tokens, _) = token::tokens(file, text);
    let mut pieces: Vec<Piece<'_>> = Vec::with_capacity(tokens.len() + 1);
    let mut end = 0;
    for token in tokens {
        let (start, after) = (token.start as usize, token.end as usize);
        // A documentation's end of line is not part of what it says.
        let slice = text[start..after].trim_end();
        let piece = between(&text[end..start], pieces.last_mut());
        pieces.push(Piece { text: slice, tok: Some(token.tok), start: token.start, end: token.end, ..piece });
        end = after;
    }
    let last = between(&text[end..], pieces.last_mut());
    pieces.push(Piece { start: u32::MAX, end: u32::MAX, ..last });
    pieces
}

/// What `gap` says of the piece after it; a comment in its first line goes to the piece before it.
fn between<'t>(gap: &'t str, before: Option<&mut Piece<'t>>) -> Piece<'t> {
    let mut comments = Vec::new();
    let mut after_blank = false;
    let lines = gap.split('\n').count();
    let is_first = before.is_none();
    for (index, line) in gap.split('\n').enumerate() {
        let text = line.trim();
        match &before {
            // The first line belongs to what stands before it.
            Some(_) if index == 0 => {}
            _ if !text.is_empty() => {
                comments.push(Comment { text, after_blank });
                after_blank = false;
            }
            // The last line is the indentation of the token after it.
            _ if index + 1 < lines => after_blank = true,
            _ => {}
        }
    }
    if let Some(before) = before {
        let line = gap.split('\n').next().unwrap_or_default();
        let text = line.trim();
        let gap = line.len() - line.trim_start().len();
        before.trailing = (!text.is_empty()).then_some(Trailing { text, gap });
    }
    Piece {
        text: "",
        tok: None,
        start: 0,
        end: 0,
        comments,
        after_blank,
        begins_line: is_first || lines > 1,
        is_padded: lines == 1 && gap.len() > 1,
        trailing: None,
    }
}
