//! Diagnostics for people: the line, a caret under the place, the cause and a hint.
//!
//! The drawing is done by `annotate-snippets`; this file only hands it what it needs.

use annotate_snippets::{AnnotationKind, Element, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Label, Severity};
use crate::source::{FileId, SourceMap};

/// `diagnostics` as text, in the order given, with a blank line between; with terminal colours
/// if `color` is set.
pub fn render(diagnostics: &[Diagnostic], sources: &SourceMap, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for diagnostic in diagnostics {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&renderer.render(&[group(diagnostic, sources)]));
        text.push('\n');
    }
    text
}

fn group<'a>(diagnostic: &'a Diagnostic, sources: &'a SourceMap) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.as_str());
    let notes = diagnostic.notes.iter().map(|note| Level::NOTE.message(note.as_str()).into());
    let hint = diagnostic.hint.iter().map(|hint| Level::HELP.message(hint.as_str()).into());
    title.elements(snippets(diagnostic, sources).into_iter().chain(notes).chain(hint))
}

/// One snippet for each file that has a label, in order of first mention.
fn snippets<'a>(diagnostic: &'a Diagnostic, sources: &'a SourceMap) -> Vec<Element<'a>> {
    let mut files: Vec<FileId> = Vec::new();
    for label in &diagnostic.labels {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    let snippet = |id: FileId| {
        let file = sources.file(id);
        let labels = diagnostic.labels.iter().filter(|label| label.span.file == id);
        let annotations = labels.map(|label| {
            let kind = if label.primary { AnnotationKind::Primary } else { AnnotationKind::Context };
            let text = (!label.text.is_empty()).then_some(label.text.as_str());
            kind.span(byte_range(label, &file.text)).label(text)
        });
        Snippet::source(file.text.as_str()).path(file.name.as_str()).annotations(annotations).into()
    };
    files.into_iter().map(snippet).collect()
}

/// The label's bytes, kept inside the text and on borders of characters.
fn byte_range(label: &Label, text: &str) -> std::ops::Range<usize> {
    let start = text.floor_char_boundary(label.span.start as usize);
    let end = text.ceil_char_boundary(label.span.end as usize).min(text.len());
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Code;
    use crate::source::Span;

    #[test]
    fn a_problem_shows_its_line_caret_cause_and_hint() {
        let mut sources = SourceMap::default();
        let file = sources.add("a.corn", "let é = hear(\n");
        let span = Span { file, start: 13, end: 14 };
        let diagnostic = Diagnostic::new(Code("E0016"), span, "`(` is never closed", "opened here")
            .label(Span { file, start: 9, end: 13 }, "of this call")
            .note("the text ends first")
            .hint("add `)`");
        insta::assert_snapshot!(render(std::slice::from_ref(&diagnostic), &sources, false), @r"
        error[E0016]: `(` is never closed
         --> a.corn:1:13
          |
        1 | let é = hear(
          |         ----^ opened here
          |         |
          |         of this call
          |
          = note: the text ends first
          = help: add `)`
        ");
        assert!(render(&[diagnostic], &sources, true).contains("\u{1b}["));
    }

    #[test]
    fn a_problem_without_place_is_one_line_and_a_place_past_the_end_is_kept_inside() {
        let mut sources = SourceMap::default();
        let file = sources.add("a.corn", "let");
        let nowhere = Diagnostic::without_place(Code("E0001"), "it does not fit");
        let past = Diagnostic::new(Code("W0001"), Span { file, start: 90, end: 99 }, "late", "");
        insta::assert_snapshot!(render(&[nowhere, past], &sources, false), @r"
        error[E0001]: it does not fit

        warning[W0001]: late
         --> a.corn:1:4
          |
        1 | let
          |    ^
        ");
    }
}
