//! What the tree's walk is made of: taking tokens with their comments, and lists, blocks and lines of them.

use std::mem;

use super::layout::{Break, Doc, Group, Table};
use super::pieces::{Comment, Piece};
use crate::syntax::token::Tok;

/// A document in the making.
pub(super) struct Builder<'t> {
    pieces: Vec<Piece<'t>>,
    /// The piece that is taken next.
    at: usize,
    docs: Vec<Doc<'t>>,
    /// Comments on lines of their own that were met in the line in the making: they go above it.
    above: Vec<Comment<'t>>,
    /// Whether the next token begins a line or follows what already ends in a space.
    is_fresh: bool,
}

/// What stands in braces.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Braces {
    /// Lines that are never joined.
    Clauses,
    /// Lines, of which a single one may stand between the braces.
    Lines,
    /// Cases, which may stand between the braces with commas between them.
    Cases,
}

impl<'t> Builder<'t> {
    pub(super) fn new(pieces: Vec<Piece<'t>>) -> Self {
        Self { pieces, at: 0, docs: Vec::new(), above: Vec::new(), is_fresh: true }
    }

    pub(super) fn into_document(self) -> Vec<Doc<'t>> {
        self.docs
    }

    /// The next token.
    pub(super) fn next(&self) -> Option<&Tok<'t>> {
        self.pieces[self.at].tok.as_ref()
    }

    /// Whether an empty line stands before what is next.
    pub(super) fn after_blank(&self) -> bool {
        let piece = &self.pieces[self.at];
        piece.comments.first().map_or(piece.after_blank, |comment| comment.after_blank)
    }

    /// Takes the next token.
    pub(super) fn take(&mut self) {
        let last = self.pieces.len() - 1;
        if self.at == last {
            return;
        }
        let (taken, pieces) = self.pieces.split_at_mut(self.at);
        let piece = &mut pieces[0];
        self.above.append(&mut piece.comments);
        let before = taken.last().and_then(|before| before.tok.as_ref());
        if !self.is_fresh && is_spaced(before, piece.tok.as_ref()) {
            self.docs.push(Doc::Text(" "));
        }
        self.docs.push(Doc::Text(piece.text));
        self.docs.extend(piece.trailing.map(Doc::Trailing));
        self.is_fresh = false;
        self.at += 1;
    }

    /// Whether the next token begins before `end`.
    pub(super) fn starts_before(&self, end: u32) -> bool {
        self.pieces[self.at].start < end
    }

    /// Takes the tokens that begin before `end`.
    pub(super) fn until(&mut self, end: u32) {
        while self.starts_before(end) {
            self.take();
        }
    }

    /// One more space before the next token.
    pub(super) fn pad(&mut self) {
        self.docs.push(Doc::Text(" "));
    }

    /// The next token is aligned with those above and below it.
    pub(super) fn stop(&mut self) {
        let is_padded = self.pieces[self.at].is_padded;
        self.docs.push(Doc::Stop { is_padded });
    }

    /// The line may end here, and is `flat` if it does not.
    pub(super) fn may_break(&mut self, flat: &'static str) {
        self.docs.push(Doc::Break(Break { flat, is_hard: false, is_blank: false }));
        self.is_fresh = true;
    }

    /// The line ends here.
    pub(super) fn must_break(&mut self) {
        let is_blank = self.after_blank();
        self.docs.push(Doc::hard(is_blank));
        self.is_fresh = true;
    }

    /// The groups around this are broken.
    pub(super) fn force(&mut self) {
        self.docs.push(Doc::Force);
    }

    /// What `build` makes, on its own.
    fn apart(&mut self, build: impl FnOnce(&mut Self)) -> Vec<Doc<'t>> {
        let outside = mem::take(&mut self.docs);
        build(self);
        mem::replace(&mut self.docs, outside)
    }

    /// What is broken as a whole. A comment after its last token is not part of it.
    pub(super) fn group(&mut self, build: impl FnOnce(&mut Self)) {
        let mut docs = self.apart(build);
        let trailing = docs.pop_if(|last| matches!(last, Doc::Trailing(_)));
        self.docs.push(Doc::Group(Group::new(docs)));
        self.docs.extend(trailing);
    }

    pub(super) fn indent(&mut self, build: impl FnOnce(&mut Self)) {
        let docs = self.apart(build);
        self.docs.push(Doc::Indent(docs));
    }

    /// `left` and `right` with a space between, on one line or two.
    pub(super) fn header(&mut self, left: impl FnOnce(&mut Self), right: impl FnOnce(&mut Self)) {
        let left = self.apart(left);
        self.is_fresh = true;
        let right = self.apart(right);
        self.docs.push(Doc::Header { left, right });
    }

    /// A line: an item, a statement, an entry of a list. Comments on lines of their own that stand in it go
    /// above it.
    pub(super) fn line(&mut self, table: Option<Table>, build: impl FnOnce(&mut Self)) {
        let outside = mem::take(&mut self.above);
        let first = &self.pieces[self.at];
        let (before_first, after_blank) = (first.comments.len(), first.after_blank);
        self.is_fresh = true;
        let docs = self.apart(build);
        let above = mem::replace(&mut self.above, outside);
        for (index, comment) in above.iter().enumerate() {
            if index > 0 {
                self.docs.push(Doc::hard(comment.after_blank && index < before_first));
            }
            self.docs.push(Doc::Text(comment.text));
        }
        if !above.is_empty() {
            self.docs.push(Doc::hard(after_blank && before_first > 0));
        }
        self.docs.push(Doc::Line { table, docs });
    }

    /// The comments between the last line and what closes the lines.
    pub(super) fn comments_at_end(&mut self, is_empty: bool) {
        let comments = mem::take(&mut self.pieces[self.at].comments);
        for (index, comment) in comments.iter().enumerate() {
            self.docs.push(Doc::hard(comment.after_blank && (index > 0 || !is_empty)));
            self.docs.push(Doc::Text(comment.text));
        }
    }

    /// A bracket, `count` entries with commas between, and the bracket that closes it. One that had
    /// a comma after its last entry stays broken.
    pub(super) fn list(&mut self, flat: &'static str, count: usize, mut entry: impl FnMut(&mut Self, usize)) {
        self.group(|builder| {
            if count == 0 && builder.empty() {
                return;
            }
            if count > 0 {
                builder.take();
            }
            builder.indent(|builder| {
                for index in 0..count {
                    if index == 0 {
                        builder.may_break(flat);
                    } else {
                        let is_blank = builder.after_blank();
                        builder.docs.push(Doc::Break(Break { flat: " ", is_hard: false, is_blank }));
                    }
                    builder.line(None, |builder| entry(builder, index));
                    builder.comma(index + 1 == count);
                }
                builder.comments_at_end(count == 0);
            });
            builder.may_break(flat);
            builder.take();
        });
    }

    /// The comma after an entry of a list.
    fn comma(&mut self, is_last: bool) {
        let has_comma = self.next() == Some(&Tok::Comma);
        match (has_comma, is_last) {
            (true, false) => {
                self.hand_on_comments();
                self.take();
            }
            (true, true) => {
                self.force();
                self.docs.push(Doc::IfBroken(","));
                self.skip();
            }
            (false, true) => self.docs.push(Doc::IfBroken(",")),
            (false, false) => {}
        }
    }

    /// A brace, `count` lines, and the brace that closes it, without a group of their own. They are broken
    /// if the first line was.
    pub(super) fn braces(&mut self, count: usize, kind: Braces, mut one: impl FnMut(&mut Self, usize)) {
        if count == 0 && self.empty() {
            return;
        }
        if count > 0 {
            self.take();
        }
        let is_one = kind == Braces::Cases || (kind == Braces::Lines && count < 2);
        if !is_one || self.pieces[self.at].begins_line {
            self.force();
        }
        self.indent(|builder| {
            for index in 0..count {
                let is_blank = index > 0 && builder.after_blank();
                builder.docs.push(Doc::Break(Break { flat: " ", is_hard: false, is_blank }));
                builder.is_fresh = true;
                one(builder, index);
                if kind == Braces::Cases {
                    builder.comma_of_case(index + 1 == count);
                }
            }
            builder.comments_at_end(count == 0);
        });
        self.may_break(" ");
        self.take();
    }

    /// The comma after a case is there only where another follows it on its line.
    fn comma_of_case(&mut self, is_last: bool) {
        if self.next() == Some(&Tok::Comma) {
            self.skip();
        }
        if !is_last {
            self.docs.push(Doc::IfFlat(","));
        }
    }

    /// Leaves the next token out, and keeps the comments around it.
    fn skip(&mut self) {
        self.hand_on_comments();
        self.docs.extend(self.pieces[self.at].trailing.map(Doc::Trailing));
        self.at += 1;
    }

    /// What stands above the next token, a comma, is about what follows it.
    fn hand_on_comments(&mut self) {
        let comments = mem::take(&mut self.pieces[self.at].comments);
        self.pieces[self.at + 1].comments.splice(0..0, comments);
    }

    /// Takes a bracket in which nothing stands and the one that closes it, or if there are comments between
    /// them only the first; then it is false.
    fn empty(&mut self) -> bool {
        self.take();
        let trailing = self.docs.pop_if(|last| matches!(last, Doc::Trailing(_)));
        let is_empty = trailing.is_none() && self.pieces[self.at].comments.is_empty();
        self.docs.extend(trailing.map(|trailing| Doc::Indent(vec![trailing])));
        if is_empty {
            self.is_fresh = true;
            self.take();
        }
        is_empty
    }

    /// Whether brackets from the next token to `end` can be put around their only entry without
    /// a line of their own: nothing stands between them and it.
    pub(super) fn hugs(&self, end: u32) -> bool {
        let close = self.pieces.partition_point(|piece| piece.end < end);
        let (open, first, last) = (&self.pieces[self.at], &self.pieces[self.at + 1], &self.pieces[close - 1]);
        open.trailing.is_none()
            && first.comments.is_empty()
            && last.tok != Some(Tok::Comma)
            && last.trailing.is_none()
            && self.pieces[close].comments.is_empty()
    }
}

/// Whether a space stands between two tokens of a line.
fn is_spaced(before: Option<&Tok<'_>>, tok: Option<&Tok<'_>>) -> bool {
    let (Some(before), Some(tok)) = (before, tok) else { return false };
    let is_tight_after = matches!(
        before,
        Tok::OpenParen | Tok::OpenBracket | Tok::Dot | Tok::Range | Tok::PathSep | Tok::Less
    );
    let is_tight_before = match tok {
        // `tensor<f32>[8]`, `chat[audio]`; a list begins after something else.
        Tok::OpenBracket => matches!(before, Tok::Greater | Tok::Name(_)),
        Tok::OpenParen | Tok::CloseParen | Tok::CloseBracket | Tok::Less | Tok::Greater => true,
        _ => matches!(tok, Tok::Comma | Tok::Dot | Tok::Range | Tok::PathSep | Tok::Colon | Tok::Question),
    };
    !is_tight_after && !is_tight_before
}
