//! Diagnostics for tools: plain values that serialize to JSON.

use serde::Serialize;

use super::{Diagnostic, Severity};
use crate::source::{SourceMap, Span};

/// A diagnostic with its places as lines and columns, both from 1; columns count characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JsonDiagnostic {
    /// Such as `E0312`.
    pub code: &'static str,
    /// `error` or `warning`.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// The file of the problem; `null` if it has no place.
    pub file: Option<String>,
    /// Its line.
    pub line: Option<usize>,
    /// Its column.
    pub column: Option<usize>,
    /// Line of the place just after the problem.
    pub end_line: Option<usize>,
    /// Column of the place just after the problem.
    pub end_column: Option<usize>,
    /// Why it is so.
    pub notes: Vec<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Every place that has to do with it.
    pub labels: Vec<JsonLabel>,
}

/// A place and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JsonLabel {
    /// The file.
    pub file: String,
    /// Line of the first character.
    pub line: usize,
    /// Column of the first character.
    pub column: usize,
    /// Line of the place just after the last character.
    pub end_line: usize,
    /// Column of the place just after the last character.
    pub end_column: usize,
    /// First byte and the byte after the last, in the file.
    pub bytes: [u32; 2],
    /// What stands beside it.
    pub text: String,
    /// Whether it is the problem's own place.
    pub primary: bool,
}

/// `diagnostics` with lines and columns, in the order given.
pub fn to_json(diagnostics: &[Diagnostic], sources: &SourceMap) -> Vec<JsonDiagnostic> {
    diagnostics.iter().map(|diagnostic| one(diagnostic, sources)).collect()
}

fn one(diagnostic: &Diagnostic, sources: &SourceMap) -> JsonDiagnostic {
    let place = diagnostic.place();
    let start = place.map(|span| sources.line_column(span.file, span.start));
    let end = place.map(|span| sources.line_column(span.file, span.end));
    JsonDiagnostic {
        code: diagnostic.code.as_str(),
        severity: diagnostic.severity,
        message: diagnostic.message.clone(),
        file: place.map(|span| sources.file(span.file).name.clone()),
        line: start.map(|(line, _)| line),
        column: start.map(|(_, column)| column),
        end_line: end.map(|(line, _)| line),
        end_column: end.map(|(_, column)| column),
        notes: diagnostic.notes.clone(),
        hint: diagnostic.hint.clone(),
        labels: diagnostic
            .labels
            .iter()
            .map(|label| json_label(label.span, &label.text, label.primary, sources))
            .collect(),
    }
}

fn json_label(span: Span, text: &str, primary: bool, sources: &SourceMap) -> JsonLabel {
    let (line, column) = sources.line_column(span.file, span.start);
    let (end_line, end_column) = sources.line_column(span.file, span.end);
    JsonLabel {
        file: sources.file(span.file).name.clone(),
        line,
        column,
        end_line,
        end_column,
        bytes: [span.start, span.end],
        text: text.to_owned(),
        primary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Code;

    #[test]
    fn places_are_lines_and_columns_of_characters() {
        let mut sources = SourceMap::default();
        let file = sources.add("a.corn", "let é = 1\nlet b = c");
        let start = u32::try_from(sources.file(file).text.find('c').unwrap()).unwrap();
        let span = Span { file, start, end: start + 1 };
        let first = Span { file, start: 4, end: 6 };
        let diagnostic = Diagnostic::new(Code("E0010"), span, "no", "here").label(first, "there").hint("do");
        let json = serde_json::to_value(to_json(&[diagnostic], &sources)).unwrap();
        assert_eq!(
            json,
            serde_json::json!([{
                "code": "E0010", "severity": "error", "message": "no",
                "file": "a.corn", "line": 2, "column": 9, "end_line": 2, "end_column": 10,
                "notes": [], "hint": "do",
                "labels": [
                    {"file": "a.corn", "line": 2, "column": 9, "end_line": 2, "end_column": 10,
                     "bytes": [19, 20], "text": "here", "primary": true},
                    {"file": "a.corn", "line": 1, "column": 5, "end_line": 1, "end_column": 6,
                     "bytes": [4, 6], "text": "there", "primary": false},
                ],
            }])
        );
    }
}
