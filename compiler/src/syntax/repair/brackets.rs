//! Balances brackets, so that the parser never loses its place over one, and bounds how deep they
//! and chains such as `a.b.c` go, since the tree is walked by recursion.

use super::Tokens;
use crate::diagnostic::{Diagnostic, syntax};
use crate::source::Span;
use crate::syntax::token::{Tok, Token};

/// Brackets and links of chains around one place.
pub(super) const DEEPEST: usize = 128;

/// An open bracket.
struct Frame {
    bracket: char,
    /// Whether it holds the parameters of a component or graph.
    parameters: bool,
    span: Span,
    /// Links of the chain of fields and calls that is being read in it.
    chain: usize,
    /// Constructs such as `switch` whose brace is still to come: their heads nest without brackets.
    heads: usize,
}

struct Balance<'t, 'f> {
    tokens: &'f Tokens<'t>,
    found: &'f mut Vec<Diagnostic>,
    kept: Vec<Token<'t>>,
    /// The first is the file itself.
    frames: Vec<Frame>,
    /// The sum of all frames and their chains.
    depth: usize,
}

pub(super) fn brackets<'t>(tokens: &Tokens<'t>, found: &mut Vec<Diagnostic>) -> Tokens<'t> {
    let file = Frame {
        bracket: ' ',
        parameters: false,
        span: Span { file: tokens.file, start: 0, end: 0 },
        chain: 0,
        heads: 0,
    };
    let kept = Vec::with_capacity(tokens.all.len());
    let mut balance = Balance { tokens, found, kept, frames: vec![file], depth: 0 };
    let mut index = 0;
    while index < tokens.all.len() {
        index = balance.token(index);
    }
    let end = tokens.all.last().map_or(0, |last| last.end);
    balance.close_down_to(1, end, None);
    let kept = balance.kept;
    tokens.with(kept)
}

fn opening(tok: &Tok<'_>) -> Option<char> {
    Some(match tok {
        Tok::OpenParen => '(',
        Tok::OpenBracket => '[',
        Tok::OpenBrace => '{',
        Tok::Less => '<',
        _ => return None,
    })
}

/// The bracket that `tok` closes.
fn closing(tok: &Tok<'_>) -> Option<char> {
    Some(match tok {
        Tok::CloseParen => '(',
        Tok::CloseBracket => '[',
        Tok::CloseBrace => '{',
        Tok::Greater => '<',
        _ => return None,
    })
}

fn closer(bracket: char) -> Tok<'static> {
    match bracket {
        '(' => Tok::CloseParen,
        '[' => Tok::CloseBracket,
        '<' => Tok::Greater,
        _ => Tok::CloseBrace,
    }
}

impl Balance<'_, '_> {
    /// Takes the token at `index` and returns where to go on.
    fn token(&mut self, index: usize) -> usize {
        let token = &self.tokens.all[index];
        let tok = &token.tok;
        if tok.begins_item() {
            self.close_down_to(1, token.start, Some(index));
        } else if self.ends_lists(index) {
            let braces = self.frames.iter().rposition(|frame| matches!(frame.bracket, '{' | ' '));
            self.close_down_to(braces.map_or(1, |braces| braces + 1), token.start, Some(index));
        }
        if let Some(bracket) = opening(tok) {
            return self.open(index, bracket);
        }
        if let Some(bracket) = closing(tok) {
            self.close(index, bracket);
            return index + 1;
        }
        if *tok == Tok::Dot {
            if !self.link(index) {
                return self.rest_of_frame(index);
            }
        } else if self.tokens.begins_head(index) {
            if !self.fits(index) {
                return self.rest_of_frame(index);
            }
            self.frame().heads += 1;
            self.depth += 1;
        } else if tok.name().is_none() {
            let frame = self.frame();
            let chain = std::mem::take(&mut frame.chain);
            self.depth -= chain;
        }
        self.kept.push(token.clone());
        index + 1
    }

    /// Whether the token can stand in no parentheses and no square brackets.
    fn ends_lists(&self, index: usize) -> bool {
        match &self.tokens.all[index].tok {
            Tok::Let | Tok::Out | Tok::Arrow => true,
            Tok::In => {
                let is_each = index >= 2 && self.tokens.get(index - 2) == Some(&Tok::For);
                !is_each && !self.frame_has(|tok| *tok == Tok::Loop)
            }
            // The body of a component whose parameters are not closed.
            Tok::OpenBrace => {
                let in_parameters = self.frames.last().is_some_and(|frame| frame.parameters);
                let after_value = self.tokens.before(index).is_some_and(Tok::ends_value);
                let head = |tok: &Tok<'_>| tok.begins_construct() || *tok == Tok::Else;
                in_parameters && after_value && !self.frame_has(head)
            }
            _ => false,
        }
    }

    /// Whether such a token stands in the innermost open bracket.
    fn frame_has(&self, is_such: impl Fn(&Tok<'_>) -> bool) -> bool {
        let start = self.frames.last().map_or(0, |frame| frame.span.start);
        let inside = self.kept.iter().rev().take_while(|token| token.start >= start);
        inside.map(|token| &token.tok).any(is_such)
    }

    fn frame(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("the file's own frame is never closed")
    }

    /// Whether one more level fits, and the bracket that may follow it; reports it if not.
    fn fits(&mut self, index: usize) -> bool {
        let fits = self.depth + 1 < DEEPEST;
        if !fits {
            self.found.push(syntax::nested_too_deeply(self.tokens.span(index), DEEPEST));
        }
        fits
    }

    /// Counts a link of a chain; false if it is too long.
    fn link(&mut self, index: usize) -> bool {
        if !self.fits(index) {
            return false;
        }
        self.frame().chain += 1;
        self.depth += 1;
        true
    }

    fn open(&mut self, index: usize, bracket: char) -> usize {
        let token = &self.tokens.all[index];
        let after_value = self.kept.last().is_some_and(|last| last.tok.closes());
        if bracket == '(' && after_value && !self.link(index) {
            return self.rest_of_frame(index);
        }
        if bracket == '{' && self.frame().heads > 0 && !self.tokens.begins_value(index) {
            self.frame().heads -= 1;
            self.depth -= 1;
        }
        if self.depth >= DEEPEST {
            self.found.push(syntax::nested_too_deeply(self.tokens.span(index), DEEPEST));
            let end = self.end_of_group(index);
            let place = self.tokens.all[end - 1].end;
            self.kept.push(token.clone());
            self.kept.push(Token { tok: Tok::Skipped, start: token.end, end: token.end });
            self.kept.push(Token { tok: closer(bracket), start: place, end: place });
            return end;
        }
        let head = self.kept.len().checked_sub(2).map(|head| &self.kept[head].tok);
        let parameters = bracket == '(' && matches!(head, Some(Tok::Component | Tok::Graph));
        self.frames.push(Frame { bracket, parameters, span: self.tokens.span(index), chain: 0, heads: 0 });
        self.depth += 1;
        self.kept.push(token.clone());
        index + 1
    }

    fn close(&mut self, index: usize, bracket: char) {
        let token = &self.tokens.all[index];
        if bracket == '<' {
            if self.frame().bracket == '<' {
                self.pop();
            }
            self.kept.push(token.clone());
            return;
        }
        let angles = self.frames.iter().rev().take_while(|frame| frame.bracket == '<').count();
        for _ in 0..angles {
            self.pop();
        }
        let partner = self.frames.iter().rposition(|frame| frame.bracket == bracket);
        let top = self.frame().bracket;
        match partner {
            Some(partner) => {
                self.close_down_to(partner + 1, token.start, Some(index));
                self.pop();
                self.kept.push(token.clone());
            }
            None if matches!(top, '(' | '[') => {
                let open = self.frame().span;
                let wrong = syntax::closing_of(bracket);
                self.found.push(syntax::wrong_closing(self.tokens.span(index), wrong, open, top));
                self.pop();
                self.kept.push(Token { tok: closer(top), start: token.start, end: token.end });
            }
            None => {
                let stray = syntax::closing_of(bracket);
                self.found.push(syntax::closes_nothing(self.tokens.span(index), stray));
            }
        }
    }

    fn pop(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.depth -= 1 + frame.chain + frame.heads;
        }
    }

    /// Closes brackets until `left` frames are open, because of the token at `because` or the end.
    fn close_down_to(&mut self, left: usize, place: u32, because: Option<usize>) {
        let open: Vec<Span> = self.frames[left..]
            .iter()
            .rev()
            .filter(|frame| frame.bracket != '<')
            .map(|frame| frame.span)
            .collect();
        if let [innermost, others @ ..] = open.as_slice() {
            let tokens = self.tokens;
            let at = |span: Span| &tokens.text[span.start as usize..span.end as usize];
            let bracket = at(*innermost).chars().next().unwrap_or('{');
            let stopped = because.map(|index| (tokens.span(index), at(tokens.span(index))));
            self.found.push(syntax::unclosed(*innermost, bracket, others, stopped));
        }
        while self.frames.len() > left {
            let bracket = self.frame().bracket;
            if bracket != '<' {
                self.kept.push(Token { tok: closer(bracket), start: place, end: place });
            }
            self.pop();
        }
    }

    /// One past the bracket group that opens at `start`, or where something else begins.
    fn end_of_group(&self, start: usize) -> usize {
        let mut depth = 0_usize;
        for (index, token) in self.tokens.all.iter().enumerate().skip(start) {
            if opening(&token.tok).is_some() {
                depth += 1;
            } else if closing(&token.tok).is_some() {
                depth = depth.saturating_sub(1);
            } else if token.tok.begins_item() || token.tok == Tok::Let {
                return index;
            }
            if depth == 0 {
                return index + 1;
            }
        }
        self.tokens.all.len()
    }

    /// The place where the innermost open bracket is closed, or an item begins.
    fn rest_of_frame(&self, start: usize) -> usize {
        let mut depth = 0_usize;
        for (index, token) in self.tokens.all.iter().enumerate().skip(start) {
            if opening(&token.tok).is_some() {
                depth += 1;
            } else if closing(&token.tok).is_some() {
                if depth == 0 {
                    return index;
                }
                depth -= 1;
            } else if token.tok.begins_item() || (token.tok == Tok::Let && depth == 0) {
                return index;
            }
        }
        self.tokens.all.len()
    }
}
