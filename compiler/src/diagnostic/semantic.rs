//! Problems that are found after parsing: names, types, calls, routes, bounds. One constructor
//! each, in the file of its subject; every file holds its rows of the code table.

pub(crate) mod calls;
pub(crate) mod components;
pub(crate) mod constructs;
pub(crate) mod control;
pub(crate) mod deploy;
pub(crate) mod names;
pub(crate) mod placement;
pub(crate) mod routes;
pub(crate) mod serve;
pub(crate) mod types;
pub(crate) mod unused;

use super::{Diagnostic, Explained, nearest};
use crate::source::Span;

/// The codes of these files: E02xx to E09xx and W0xxx.
pub(crate) const TABLES: [&[Explained]; 11] = [
    names::TABLE,
    types::TABLE,
    calls::TABLE,
    components::TABLE,
    constructs::TABLE,
    control::TABLE,
    routes::TABLE,
    placement::TABLE,
    deploy::TABLE,
    serve::TABLE,
    unused::TABLE,
];

/// Most names that a hint lists.
const MOST_LISTED: usize = 12;

/// A name as it was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spelled<'n> {
    pub(crate) text: &'n str,
    pub(crate) span: Span,
}

/// A name that would have been right.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    /// Where it was declared, if in a text.
    pub(crate) span: Option<Span>,
}

impl Candidate {
    /// A name of the language or of an executor.
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), span: None }
    }

    /// A name declared at `span`.
    pub(crate) fn at(name: &str, span: Span) -> Self {
        Self { name: name.to_owned(), span: Some(span) }
    }
}

impl Diagnostic {
    /// Says which of `known` was probably meant by `name` and where it is declared, or lists them.
    #[must_use]
    pub(crate) fn meant(self, name: &str, known: &[Candidate]) -> Self {
        let near = nearest(name, known.iter().map(|candidate| candidate.name.as_str()));
        let near = near.and_then(|near| known.iter().find(|candidate| candidate.name == near));
        match near {
            Some(Candidate { name, span: Some(span) }) => self
                .label(*span, format!("`{name}` is declared here"))
                .hint(format!("did you mean `{name}`?")),
            Some(Candidate { name, span: None }) => self.hint(format!("did you mean `{name}`?")),
            None if known.is_empty() => self,
            None => {
                let names: Vec<&str> = known.iter().map(|candidate| candidate.name.as_str()).collect();
                let listed = listed(&names);
                self.hint(format!("known here: {listed}"))
            }
        }
    }
}

/// `` `a`, `b` and `c` ``.
pub(crate) fn all<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// `` `a` is ``, `` `a` and `b` are ``.
pub(crate) fn are<S: AsRef<str>>(names: &[S]) -> String {
    format!("{} {}", all(names), if names.len() == 1 { "is" } else { "are" })
}

/// `` `a`, `b`, … ``, cut where it gets long.
pub(crate) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    let shown: Vec<String> =
        names.iter().take(MOST_LISTED).map(|name| format!("`{}`", name.as_ref())).collect();
    let more = if names.len() > MOST_LISTED { ", …" } else { "" };
    shown.join(", ") + more
}
