//! Problems that are found while words of the deployment are read. E003x.

use super::{either, quote};
use crate::diagnostic::{Code, Diagnostic, Explained};
use crate::source::Span;

/// `words` are those that can stand here in a `block`, `near` the one that was probably meant.
pub(crate) fn unknown_word(
    span: Span,
    word: &str,
    block: &str,
    words: &[&str],
    near: Option<&str>,
) -> Diagnostic {
    let message = format!("{} is no word of `{block}`", quote(word));
    let listed: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    let found = Diagnostic::new(Code("E0030"), span, message, "unknown word")
        .note(format!("only {} can stand here", either(&listed)));
    match near {
        Some(near) => found.hint(format!("did you mean `{near}`?")),
        None => found,
    }
}

/// `word` can only follow `mark`.
pub(crate) fn missing_mark(span: Span, mark: &str, word: &str) -> Diagnostic {
    let message = format!("`{mark}` is missing before `{word}`");
    Diagnostic::new(Code("E0031"), span, message, "begins here").hint(
        "a line names components, then after a colon what is set, with commas between: `talker: replicas 2, apart`",
    )
}

/// `found` begins the first line of a block, and stands after its header.
pub(crate) fn missing_brace(after: Span, found: &str) -> Diagnostic {
    let message = format!("expected `{{`, found {}", quote(found));
    Diagnostic::new(Code("E0010"), after, message, "expected `{`")
        .hint("the lines of a block stand in braces: `serve omni { grpc }`")
}

pub(crate) fn place_without_on(cluster: Span) -> Diagnostic {
    Diagnostic::new(Code("E0031"), cluster, "`on` is missing before the cluster", "begins here")
        .hint("write `place omni on lab { … }`")
}

/// Rows E003x.
pub(crate) const TABLE: &[Explained] = &[
    Explained {
        code: Code("E0030"),
        title: "an unknown word in a block of the deployment",
        text: "\
The lines of `cluster`, `place`, `serve` and `workload` begin with words of their own, and nothing else is
taken. These words mean something in their block only; everywhere else they are names.

    place omni on lab {
        talker: replicas 2, apart
    }",
    },
    Explained {
        code: Code("E0031"),
        title: "a mark that is missing in a `place` block",
        text: "\
A line of a `place` block names components, then after a colon what is set, with commas between. The cluster
stands after `on`.

    place omni on lab {
        talker, vocoder: replicas 2, apart
    }",
    },
];
