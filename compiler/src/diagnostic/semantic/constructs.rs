//! `when`, comprehensions, `join` and what may be absent. E06xx.

use corn_plan::{Form, Type};

use super::all;
use crate::diagnostic::{Code, Diagnostic, Explained};
use crate::source::Span;

pub(crate) fn may_be_absent(name: &str, needs: &[String], at: Span, made: Span) -> Diagnostic {
    let message = match needs {
        [only] if only == name => format!("`{name}` may be absent"),
        [only] => format!("`{name}` exists only when `{only}` is present"),
        several => format!("`{name}` exists only when {} are present", all(several)),
    };
    let diagnostic = Diagnostic::new(Code("E0601"), at, message, "not always there");
    let diagnostic = if made == at { diagnostic } else { diagnostic.label(made, "comes from here") };
    diagnostic
        .hint(format!("use it inside `when {} {{ … }}`; `join` leaves out absent texts", needs.join(", ")))
}

pub(crate) fn always_present(name: &str, at: Span, declared: Span) -> Diagnostic {
    Diagnostic::new(Code("E0602"), at, format!("`{name}` is always present here"), "never absent")
        .label(declared, "declared here")
        .hint("leave out the `when`, or declare the input with `?`")
}

pub(crate) fn absent_once_made(name: &str, at: Span, made: Span) -> Diagnostic {
    let message = format!("whether `{name}` is there is known only once it is made");
    Diagnostic::new(Code("E0602"), at, message, "not an optional input, nor made of one")
        .label(made, "a case of this makes nothing")
        .hint("do the rest in the cases of the `switch`, or give every case a value")
}

pub(crate) fn each_of_no_list(given: &Type, at: Span, made: Span) -> Diagnostic {
    let diagnostic = Diagnostic::new(Code("E0603"), at, "this is not a list", format!("is `{given}`"));
    let diagnostic = if made == at { diagnostic } else { diagnostic.label(made, "got its type here") };
    match given.form {
        Form::Stream { .. } => diagnostic
            .hint("a component that takes a stream works item by item; `.collect(max: n)` makes a list"),
        _ => diagnostic.hint("declare it as a list: `list<image> max 8`"),
    }
}

pub(crate) fn each_without_item(item: &str, body: Span, declared: Span) -> Diagnostic {
    Diagnostic::new(Code("E0603"), body, "this is the same for every item", format!("does not use `{item}`"))
        .label(declared, "the item")
        .hint("move it out of the brackets")
}

pub(crate) fn each_in_each(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0604"), span, "a comprehension inside a comprehension", "cannot be planned")
        .hint("bind the inner one with a `let` before it")
}

pub(crate) fn not_in_each(what: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0604"), span, format!("{what} cannot be made for each item"), "of one item")
        .hint("only components are called for each item; give it the whole list afterwards")
}

pub(crate) fn graph_in_each(name: &str, span: Span) -> Diagnostic {
    let message = format!("graph `{name}` cannot be asked for each item");
    Diagnostic::new(Code("E0604"), span, message, "a graph, not a component")
        .hint("call its components here, or give the graph the whole list")
}

pub(crate) fn stream_in_each(component: &str, port: &str, span: Span, declared: Span) -> Diagnostic {
    let message = format!("`{component}` makes a stream, and a list holds whole items");
    Diagnostic::new(Code("E0604"), span, message, "called for each item")
        .label(declared, format!("`{port}` is a stream"))
        .hint("call it once, outside the brackets, or choose a component that makes whole values")
}

pub(crate) fn stream_shared_by_each(name: &str, span: Span, made: Span) -> Diagnostic {
    let message = format!("every call would read the stream `{name}` from its beginning");
    Diagnostic::new(Code("E0604"), span, message, "called for each item")
        .label(made, "a stream")
        .hint("`.collect()` it first")
}

pub(crate) fn join_of_nothing(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0605"), span, "`join` has nothing to put together", "no texts")
        .hint("give it texts: `join(prompt, heard)`")
}

/// Rows E06xx.
pub(crate) const TABLE: &[Explained] = &[
    Explained {
        code: Code("E0601"),
        title: "a value that may be absent",
        text: "\
An input with `?`, and everything made of it, exists only on the routes where it is present. It is used
inside a `when` of that input, in `join`, which leaves out what is absent, or for an input port that is
optional itself:

    let seen = when photo { caption(photo) }
    think(join(prompt, seen))",
    },
    Explained {
        code: Code("E0602"),
        title: "`when` of something that is always present",
        text: "\
`when x { … }` is for optional inputs and what is made of them. This name is present on every route that
comes here, so the `when` would decide nothing; or a `switch` decides at run time whether it is there.",
    },
    Explained {
        code: Code("E0603"),
        title: "a comprehension that is none",
        text: "\
`[caption(photo) for photo in photos]` calls what is in front once for every item of a list. It needs a
list behind `in`, and the item in front.",
    },
    Explained {
        code: Code("E0604"),
        title: "what cannot be made for each item",
        text: "\
Each call of a component in a comprehension becomes one step of the plan that runs once for every item;
calls may be nested in each other. Adaptors, other graphs, comprehensions and components that make
streams are not called that way; use them before or after.",
    },
    Explained {
        code: Code("E0605"),
        title: "`join` of nothing",
        text: "\
`join(a, b, …)` puts texts together with a blank line between and leaves out those that are absent. At
least one of them must be present on every route that needs the result.",
    },
];
