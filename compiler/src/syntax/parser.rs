//! The way from a text to its tree, with everything that is wrong on it.

use super::ast::{File, Item};
use super::tree::Found;
use super::{grammar, hint, repair, token};
use crate::diagnostic::{Diagnostic, Diagnostics, syntax};
use crate::source::{FileId, Span};

/// The longest text that is read. A program that people wrote is a thousand times shorter.
pub const MAX_SOURCE_BYTES: usize = 1 << 20;

/// At most so many problems of one file are reported.
const MOST_PROBLEMS: usize = 50;

/// The tree of `text` and what is wrong with it, in order of place.
///
/// It never fails: what cannot be read is an error node in the tree, and has been reported.
pub fn parse(file: FileId, text: &str) -> (File, Vec<Diagnostic>) {
    if text.len() > MAX_SOURCE_BYTES {
        let start = Span { file, start: 0, end: 0 };
        return (File::default(), vec![syntax::file_too_large(start, text.len(), MAX_SOURCE_BYTES)]);
    }
    if let Some(zero) = text.find('\0') {
        let start = zero as u32;
        return (File::default(), vec![syntax::binary_file(Span { file, start, end: start + 1 })]);
    }
    let (tokens, mut problems) = token::tokens(file, text);
    let tokens = repair::repair(file, text, tokens, &mut problems);

    let mut found = Found::new(file);
    let triples = tokens.iter().map(|token| (token.start, token.tok.clone(), token.end));
    let tree = grammar::FileParser::new().parse(&mut found, triples).unwrap_or_else(|error| {
        found.recovered(error);
        File { items: vec![Item::Error(Span { file, start: 0, end: text.len() as u32 })] }
    });

    problems.append(&mut found.diagnostics);
    problems.extend(found.unexpected.iter().filter_map(|error| hint::explain(file, text, &tokens, error)));
    (tree, shortened(problems))
}

/// The places of the tokens of `text`, in order, and what is no token: the first step of [`parse`]
/// on its own, for who measures or tests it. Texts that `parse` refuses whole have no tokens.
pub fn lex(file: FileId, text: &str) -> (Vec<Span>, Vec<Diagnostic>) {
    if text.len() > MAX_SOURCE_BYTES || text.contains('\0') {
        return (Vec::new(), Vec::new());
    }
    let (tokens, problems) = token::tokens(file, text);
    (tokens.iter().map(|token| token.span(file)).collect(), problems)
}

/// The first problems in order, with a last one that says if there are more.
fn shortened(problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut found = Diagnostics::default();
    found.extend(problems);
    let mut problems = found.into_sorted();
    if problems.len() > MOST_PROBLEMS {
        let next = problems[MOST_PROBLEMS].place();
        problems.truncate(MOST_PROBLEMS);
        problems.extend(next.map(|span| syntax::too_many_errors(span, MOST_PROBLEMS)));
    }
    problems
}
