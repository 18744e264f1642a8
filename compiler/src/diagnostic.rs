//! What is wrong with a program: where, why and what to do about it.
//!
//! A [`Diagnostic`] is plain data. How it looks on a terminal ([`render`]) or to a tool
//! ([`to_json`]) is decided in the submodules, and no renderer's type shows here. The constructors
//! are all in one place, one function for each kind of problem: `syntax` for what the parser
//! finds, `semantic` for what later phases find. Each of the two also holds its rows of the code
//! table, so that a code, its message and its long explanation stand together.

mod json;
mod nearest;
mod render;
pub(crate) mod semantic;
pub(crate) mod syntax;

use std::fmt;

use serde::{Serialize, Serializer};

pub use self::json::{JsonDiagnostic, JsonLabel, to_json};
pub use self::nearest::nearest;
pub use self::render::render;
pub use self::semantic::placement::NEEDS_CLUSTER;
use crate::source::Span;

/// A stable code: `E0312` for an error, `W0101` for a warning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub(crate) &'static str);

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// There is no plan.
    Error,
    /// There is a plan, but probably not the one that was meant.
    Warning,
}

/// A row of the code table.
#[derive(Clone, Copy, Debug)]
pub struct Explained {
    /// The code.
    pub code: Code,
    /// What it is about, in a few words.
    pub title: &'static str,
    /// What it means, why it is refused and how to mend it, with an example.
    pub text: &'static str,
}

/// A place in a source text and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What stands beside the caret; may be empty.
    pub text: String,
    /// Whether this is where the problem is, not just where something about it was said.
    pub primary: bool,
}

/// A problem of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its stable code.
    pub code: Code,
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where; the first is primary. Empty if the problem has no place in any text.
    pub labels: Vec<Label>,
    /// Why it is so, one sentence each.
    pub notes: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Code {
    /// The code as written: `E0312`.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// What the code's first letter says.
    pub fn severity(self) -> Severity {
        if self.0.starts_with('W') { Severity::Warning } else { Severity::Error }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl Diagnostic {
    /// A problem at `span`, with a text beside the caret.
    pub(crate) fn new(code: Code, span: Span, message: impl Into<String>, label: impl Into<String>) -> Self {
        let mut diagnostic = Self::without_place(code, message);
        diagnostic.labels.push(Label { span, text: label.into(), primary: true });
        diagnostic
    }

    /// A problem of the program as a whole.
    pub(crate) fn without_place(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            message: message.into(),
            labels: Vec::new(),
            notes: Vec::new(),
            hint: None,
        }
    }

    /// Adds another place that has to do with it.
    #[must_use]
    pub(crate) fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into(), primary: false });
        self
    }

    /// Adds a sentence that says why.
    #[must_use]
    pub(crate) fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        self.hint = Some(text.into());
        self
    }

    /// Says what to do about it, if there is anything to say.
    #[must_use]
    pub(crate) fn maybe_hint(mut self, text: Option<String>) -> Self {
        self.hint = text.or(self.hint);
        self
    }

    /// Whether it stops the compilation.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The place of the problem itself.
    pub fn place(&self) -> Option<Span> {
        self.labels.iter().find(|label| label.primary).or(self.labels.first()).map(|label| label.span)
    }
}

/// Problems found so far.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    found: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds a problem.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Adds several.
    pub fn extend(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        self.found.extend(diagnostics);
    }

    /// Whether one of them stops the compilation.
    pub fn has_errors(&self) -> bool {
        self.found.iter().any(Diagnostic::is_error)
    }

    /// How much was found.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Leaves the warnings out if there are errors: many would only say that what is broken is
    /// not used, and the rest can wait.
    #[must_use]
    pub fn most_urgent(mut self) -> Self {
        if self.has_errors() {
            self.found.retain(Diagnostic::is_error);
        }
        self
    }

    /// What was found, in order of place, each once. Problems without a place come last.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        let key = |diagnostic: &Diagnostic| {
            let place = diagnostic.place();
            (place.is_none(), place, diagnostic.code)
        };
        self.found.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message)));
        self.found.dedup();
        self.found
    }
}

fn rows() -> impl Iterator<Item = &'static Explained> {
    syntax::TABLE.iter().chain(syntax::deploy::TABLE).chain(semantic::TABLES.into_iter().flatten())
}

/// Every code with its explanation, in order of the codes.
pub fn codes() -> Vec<Explained> {
    let mut rows: Vec<Explained> = rows().copied().collect();
    rows.sort_by_key(|row| row.code);
    rows
}

/// The longer text about a code such as `E0312`; `None` if there is no such code.
pub fn explain(code: &str) -> Option<&'static str> {
    rows().find(|row| row.code.0.eq_ignore_ascii_case(code)).map(|row| row.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::FileId;

    fn span(start: u32, end: u32) -> Span {
        Span { file: FileId(0), start, end }
    }

    #[test]
    fn every_code_stands_once_in_the_table_and_is_explained() {
        let rows = codes();
        for pair in rows.windows(2) {
            assert!(pair[0].code < pair[1].code, "{} stands twice", pair[1].code);
        }
        for row in &rows {
            assert_eq!(row.code.0.len(), 5, "{}", row.code);
            assert!(row.code.0.starts_with(['E', 'W']), "{}", row.code);
            assert!(row.text.len() > 80, "{} is hardly explained", row.code);
            assert_eq!(explain(row.code.as_str()), Some(row.text));
        }
        assert_eq!(explain("E9999"), None);
    }

    #[test]
    fn problems_are_sorted_by_place_and_said_once() {
        let mut found = Diagnostics::default();
        let late = Diagnostic::new(Code("E0010"), span(9, 10), "late", "");
        found.push(Diagnostic::without_place(Code("E0001"), "nowhere"));
        found.push(late.clone());
        found.push(late);
        found.push(Diagnostic::new(Code("E0020"), span(1, 2), "early", ""));
        assert!(found.has_errors());
        let messages: Vec<String> = found.into_sorted().into_iter().map(|found| found.message).collect();
        assert_eq!(messages, ["early", "late", "nowhere"]);
    }
}
