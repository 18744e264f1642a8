//! Calls and their arguments. E04xx.

use super::{Candidate, Spelled, all};
use crate::diagnostic::{Code, Diagnostic, Explained};
use crate::source::Span;

pub(crate) fn unknown_argument<'n>(
    what: &str,
    name: impl Into<Spelled<'n>>,
    known: &[Candidate],
) -> Diagnostic {
    let name = name.into();
    let message = format!("{what} takes no `{}`", name.text);
    let diagnostic = Diagnostic::new(Code("E0401"), name.span, message, "unknown argument");
    if known.is_empty() {
        return diagnostic.hint("it takes no arguments by name");
    }
    diagnostic.meant(name.text, known)
}

pub(crate) fn missing(what: &str, param: &str, declared: Option<Span>, call: Span) -> Diagnostic {
    let message = format!("{what} needs `{param}`");
    let diagnostic = Diagnostic::new(Code("E0402"), call, message, format!("`{param}` is missing"));
    match declared {
        Some(declared) => diagnostic.label(declared, "declared here"),
        None => diagnostic,
    }
}

pub(crate) fn too_many(what: &str, params: &[&str], span: Span) -> Diagnostic {
    let message = match params {
        [] => format!("{what} takes no arguments"),
        [only] => format!("{what} takes one argument, `{only}`"),
        several => format!("{what} takes {} arguments: {}", several.len(), all(several)),
    };
    Diagnostic::new(Code("E0403"), span, message, "one too many").hint("leave it out")
}

pub(crate) fn given_twice(param: &str, span: Span, first: Span) -> Diagnostic {
    Diagnostic::new(Code("E0404"), span, format!("`{param}` is given twice"), "again here")
        .label(first, "first here")
}

pub(crate) fn position_after_name(span: Span, named: Option<Span>) -> Diagnostic {
    let message = "an argument without a name stands after one with a name";
    let diagnostic = Diagnostic::new(Code("E0405"), span, message, "which parameter is this?");
    let diagnostic = match named {
        Some(named) => diagnostic.label(named, "names begin here"),
        None => diagnostic,
    };
    diagnostic.hint("name it, or move it to the front")
}

pub(crate) fn wrong_argument(
    param: &str,
    takes: &str,
    given: &str,
    span: Span,
    declared: Option<Span>,
) -> Diagnostic {
    let message = format!("`{param}` takes {takes}, not {given}");
    let diagnostic = Diagnostic::new(Code("E0406"), span, message, format!("is {given}"));
    match declared {
        Some(declared) => diagnostic.label(declared, format!("takes {takes}")),
        None => diagnostic,
    }
}

pub(crate) fn not_callable(what: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0407"), span, format!("{what} is a value and cannot be called"), "not callable")
        .hint("components, graphs, `join`, `pypi`, `hf` and `file` can be called")
}

pub(crate) fn component_not_made(name: &str, span: Span, declared: Span) -> Diagnostic {
    let message = format!("`{name}` declares a component; it must be made before it can be called");
    Diagnostic::new(Code("E0408"), span, message, "not made yet")
        .label(declared, "declared here")
        .hint(format!("outside the graph: `let worker = {name}(…)`; then call `worker`"))
}

/// Rows E04xx.
pub(crate) const TABLE: &[Explained] = &[
    Explained {
        code: Code("E0401"),
        title: "unknown argument",
        text: "\
An argument is given by position or by the name of a parameter: `Chat(weights, max_tokens: 256)`. What is
called here has no parameter of this name.",
    },
    Explained {
        code: Code("E0402"),
        title: "missing argument",
        text: "\
Every parameter must be given unless it is declared with `?` or has a default. The message points at the
declaration of the one that is missing.",
    },
    Explained {
        code: Code("E0403"),
        title: "too many arguments",
        text: "\
More arguments are given than there are parameters. The message lists the parameters in their order.",
    },
    Explained {
        code: Code("E0404"),
        title: "an argument given twice",
        text: "\
A parameter takes one argument. It was given by position and by name, or twice by name.",
    },
    Explained {
        code: Code("E0405"),
        title: "position after name",
        text: "\
Arguments by position come first, in the order of the parameters; arguments by name follow in any order:
`windows(25, left: 25, first: 5)`.",
    },
    Explained {
        code: Code("E0406"),
        title: "an argument of the wrong type",
        text: "\
A parameter of a component, or the default of an input, takes constants of one type: a whole number, a
number, a truth value, a text, a word of an enum, a size, a duration, or weights. A whole number is taken
where a `float` is declared; nothing else is converted.",
    },
    Explained {
        code: Code("E0407"),
        title: "not callable",
        text: "\
Only components, graphs and the functions `join`, `hf`, `pypi` and `file` can be called; adaptors are
called behind a dot. A value is used by its name alone.",
    },
    Explained {
        code: Code("E0408"),
        title: "a component that was not made",
        text: "\
A declaration such as `Recognizer` says what a component is; a `let` makes one of it, with its weights and
settings; and that one is called with what it works on:

    let hear = Recognizer(weights)
    graph listen(speech: audio) -> text { hear(speech) }",
    },
];
