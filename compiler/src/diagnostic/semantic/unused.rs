//! What nothing uses. W01xx.

use crate::diagnostic::{Code, Diagnostic, Explained};
use crate::source::Span;

pub(crate) fn local(name: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code("W0101"), span, format!("`{name}` is never used"), "made for nothing")
        .hint(format!("leave it out, or call it `_{name}` if that is meant"))
}

pub(crate) fn unread_input(name: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code("W0101"), span, format!("input `{name}` is never used"), "brought for nothing")
        .hint("leave it out, or use it in the graph")
}

pub(crate) fn taken(name: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code("W0101"), span, format!("`{name}` is taken and never used"), "not used")
        .hint("leave it out of the `use`")
}

pub(crate) fn component(name: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code("W0101"), span, format!("component `{name}` is never called"), "not called")
        .hint("leave it out; it is in no plan")
}

pub(crate) fn declaration(name: &str, span: Span) -> Diagnostic {
    let message = format!("component `{name}` is declared and never made");
    Diagnostic::new(Code("W0101"), span, message, "not made")
        .hint(format!("make one: `let worker = {name}(…)`"))
}

pub(crate) fn port(port: &str, component: &str, span: Span) -> Diagnostic {
    let message = format!("output `{port}` of `{component}` is never used");
    Diagnostic::new(Code("W0102"), span, message, "dropped").hint("leave it out, or use it in a graph")
}

pub(crate) fn output(name: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code("W0102"), span, format!("no route asks for `{name}`"), "never asked for")
}

pub(crate) fn input(name: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code("W0103"), span, format!("no route brings `{name}`"), "never present")
}

pub(crate) fn brought_for_nothing(input: &str, route: &str, span: Span) -> Diagnostic {
    let message = format!("route `{route}` brings `{input}`, and nothing that it asks for is made of it");
    Diagnostic::new(Code("W0103"), span, message, "not used on this route")
        .hint(format!("leave `{input}` out of the route"))
}

/// Rows W01xx.
pub(crate) const TABLE: &[Explained] = &[
    Explained {
        code: Code("W0101"),
        title: "something that is never used",
        text: "\
A binding, a component or a name taken by `use` is there and nothing uses it. What no route needs is in
no recording, so it costs nothing, but it was probably meant to be used. A name that begins with `_` is
left alone.",
    },
    Explained {
        code: Code("W0102"),
        title: "an output that is never used",
        text: "\
Nothing reads this output. It is dropped: a component is not asked to make what a route does not use.",
    },
    Explained {
        code: Code("W0103"),
        title: "an input that is never used",
        text: "\
No route brings this input, or a route brings it and nothing that the route asks for is made of it.
Requests would send it for nothing.",
    },
    Explained {
        code: Code("W0104"),
        title: "an input with a default in a route",
        text: "\
An input with a default may be left out on every route, so it says nothing about which route a request
takes and need not be named in one.",
    },
];
