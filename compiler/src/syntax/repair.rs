//! Mends the token sequence before the parser sees it, where a mistake is plain.
//!
//! An LR parser that meets a forgotten bracket or a slip in a keyword loses its place and answers with
//! a shower of errors. Here such mistakes are found with the knowledge of the whole file, said
//! once, and mended, so that what the parser reports afterwards is about something else. Each pass
//! takes tokens and gives tokens:
//!
//! 1. [`deploy`] makes words of the deployment of the names that stand where only such words can,
//! 2. [`reserved`] makes names of words of the language that are used as names,
//! 3. [`slips`] puts the keyword that was meant in place of the one that was written,
//! 4. [`brackets`] balances brackets and bounds their depth: the tree is walked by recursion,
//! 5. [`commas`] puts a comma between two items that stand side by side,
//! 6. [`results`] puts a broken type where a graph's result is missing, since its body could be one,
//! 7. [`documentation`] drops `///` lines that belong to nothing.

mod brackets;
mod commas;
mod deploy;
mod reserved;
mod slips;

use super::token::{Tok, Token};
use crate::diagnostic::{Diagnostic, syntax};
use crate::source::{FileId, Span};

/// The tokens being mended, with what is needed to judge them.
struct Tokens<'t> {
    file: FileId,
    text: &'t str,
    all: Vec<Token<'t>>,
}

/// `tokens` of `text`, mended. What was wrong is added to `found`.
pub(crate) fn repair<'t>(
    file: FileId,
    text: &'t str,
    tokens: Vec<Token<'t>>,
    found: &mut Vec<Diagnostic>,
) -> Vec<Token<'t>> {
    let tokens = Tokens { file, text, all: tokens };
    let tokens = deploy::deploy(&tokens, found);
    let tokens = reserved::reserved(&tokens, found);
    let tokens = slips::slips(&tokens, found);
    let tokens = brackets::brackets(&tokens, found);
    let tokens = commas::commas(&tokens, found);
    let tokens = results(&tokens, found);
    documentation(&tokens, found).all
}

impl<'t> Tokens<'t> {
    fn get(&self, index: usize) -> Option<&Tok<'t>> {
        self.all.get(index).map(|token| &token.tok)
    }

    /// The token before `index`, documentation aside.
    fn before(&self, index: usize) -> Option<&Tok<'t>> {
        self.all[..index].iter().rev().map(|token| &token.tok).find(|tok| !matches!(tok, Tok::Doc(_)))
    }

    /// Whether the token is the first on its line.
    fn starts_line(&self, index: usize) -> bool {
        let to = self.all[index].start as usize;
        // The mark of a line has the place of the token after it.
        let from = index.checked_sub(1).map_or(0, |before| (self.all[before].end as usize).min(to));
        index == 0 || self.text[from..to].contains('\n')
    }

    /// Whether something new begins here: first in a body, or first on its line after a complete
    /// value or type.
    fn is_fresh(&self, index: usize) -> bool {
        match self.before(index) {
            None | Some(Tok::OpenBrace) => true,
            Some(tok) => tok.ends_value() && self.starts_line(index),
        }
    }

    /// Whether a construct whose head is a value begins here: its brace comes after that.
    fn begins_head(&self, index: usize) -> bool {
        match self.all[index].tok {
            Tok::If => self.before(index) != Some(&Tok::Else),
            Tok::Match | Tok::Switch | Tok::Loop => true,
            _ => false,
        }
    }

    /// Whether the brace at `index` stands where a value is expected: it is a record, or a block after
    /// `else` or `=>`, and no body of what was begun before.
    fn begins_value(&self, index: usize) -> bool {
        use Tok::{
            Colon, Comma, Else, Equals, FatArrow, If, In, Match, OpenBracket, OpenParen, Switch, Until,
        };
        matches!(
            self.before(index),
            Some(
                Equals
                    | Comma
                    | OpenParen
                    | OpenBracket
                    | Colon
                    | FatArrow
                    | Else
                    | In
                    | If
                    | Match
                    | Switch
                    | Until
            )
        )
    }

    fn span(&self, index: usize) -> Span {
        self.all[index].span(self.file)
    }

    /// The token after the braces that open at `index`.
    fn after_braces(&self, index: usize) -> Option<&Tok<'t>> {
        let mut depth = 0_usize;
        for (index, token) in self.all.iter().enumerate().skip(index) {
            match token.tok {
                Tok::OpenBrace => depth += 1,
                Tok::CloseBrace if depth == 1 => return self.get(index + 1),
                Tok::CloseBrace => depth -= 1,
                _ => {}
            }
        }
        None
    }

    /// The same text with other tokens.
    fn with(&self, all: Vec<Token<'t>>) -> Self {
        Self { file: self.file, text: self.text, all }
    }

    /// One token in place of those from `start` up to, without, `end`.
    fn skipped(&self, start: usize, end: usize) -> Token<'t> {
        Token { tok: Tok::Skipped, start: self.all[start].start, end: self.all[end - 1].end }
    }
}

/// `-> { … }` followed by no body: the braces are the body, and the type is missing.
fn results<'t>(tokens: &Tokens<'t>, found: &mut Vec<Diagnostic>) -> Tokens<'t> {
    let mut kept = Vec::with_capacity(tokens.all.len());
    let mut in_graph = false;
    let mut depth = 0_usize;
    for (index, token) in tokens.all.iter().enumerate() {
        kept.push(token.clone());
        match &token.tok {
            tok if tok.begins_item() => in_graph = *tok == Tok::Graph,
            tok if tok.opens() => depth += 1,
            tok if tok.closes() => depth = depth.saturating_sub(1),
            Tok::Arrow if in_graph && depth == 0 && tokens.get(index + 1) == Some(&Tok::OpenBrace) => {
                let after = tokens.after_braces(index + 1);
                if !matches!(after, Some(Tok::OpenBrace | Tok::Question | Tok::Max | Tok::Window)) {
                    found.push(syntax::missing_result(tokens.span(index)));
                    kept.push(Token { tok: Tok::Skipped, start: token.end, end: token.end });
                }
            }
            _ => {}
        }
    }
    tokens.with(kept)
}

fn documentation<'t>(tokens: &Tokens<'t>, found: &mut Vec<Diagnostic>) -> Tokens<'t> {
    let mut kept = Vec::with_capacity(tokens.all.len());
    let mut index = 0;
    while index < tokens.all.len() {
        let lines = tokens.all[index..].iter().take_while(|token| matches!(token.tok, Tok::Doc(_))).count();
        match tokens.get(index + lines) {
            _ if lines == 0 => {
                kept.push(tokens.all[index].clone());
                index += 1;
                continue;
            }
            Some(Tok::Component | Tok::Graph | Tok::Route) => {
                kept.extend_from_slice(&tokens.all[index..index + lines]);
            }
            Some(Tok::Skipped) => {}
            _ => {
                let span = tokens.span(index).to(tokens.span(index + lines - 1));
                found.push(syntax::misplaced_doc(span));
            }
        }
        index += lines;
    }
    tokens.with(kept)
}
