//! Inputs, outputs and routes. E07xx.

use corn_plan::{Kind, Type};

use super::{Candidate, Spelled, all, are, listed};
use crate::diagnostic::{Code, Diagnostic, Explained};
use crate::source::Span;

pub(crate) fn unknown_input<'n>(
    name: impl Into<Spelled<'n>>,
    graph: &str,
    known: &[Candidate],
) -> Diagnostic {
    let name = name.into();
    let message = format!("graph `{graph}` has no input `{}`", name.text);
    Diagnostic::new(Code("E0701"), name.span, message, "unknown input").meant(name.text, known)
}

pub(crate) fn unknown_output<'n>(
    name: impl Into<Spelled<'n>>,
    graph: &str,
    known: &[Candidate],
) -> Diagnostic {
    let name = name.into();
    let message = format!("graph `{graph}` does not make `{}`", name.text);
    Diagnostic::new(Code("E0701"), name.span, message, "unknown output").meant(name.text, known)
}

pub(crate) fn not_a_graph<'n>(name: impl Into<Spelled<'n>>, sort: &str) -> Diagnostic {
    let name = name.into();
    let message = format!("a route asks a graph, and `{}` is a {sort}", name.text);
    Diagnostic::new(Code("E0702"), name.span, message, "not a graph")
        .hint("declare a graph that calls it: `graph ask(text: text) -> text { … }`")
}

pub(crate) fn input_left_out<'n>(
    route: impl Into<Spelled<'n>>,
    input: &str,
    graph: &str,
    declared: Span,
) -> Diagnostic {
    let route = route.into();
    let message = format!("route `{}` leaves out `{input}`, which `{graph}` always needs", route.text);
    Diagnostic::new(Code("E0703"), route.span, message, format!("needs `{input}`"))
        .label(declared, "not optional")
        .hint(format!("add `{input}` to the route, or `?` to its type"))
}

pub(crate) fn output_left_out<'n>(
    route: impl Into<Spelled<'n>>,
    output: &str,
    graph: &str,
    declared: Span,
) -> Diagnostic {
    let route = route.into();
    let message = format!("route `{}` does not ask for `{output}`, which `{graph}` always makes", route.text);
    Diagnostic::new(Code("E0704"), route.span, message, format!("add `{output}`"))
        .label(declared, "not optional")
        .hint(format!(
            "ask for it, or add `?` to its type so that it is made only if asked for: `{output}: …?`"
        ))
}

pub(crate) fn asks_for_nothing<'n>(route: impl Into<Spelled<'n>>, known: &[&str]) -> Diagnostic {
    let route = route.into();
    let message = format!("route `{}` asks for nothing", route.text);
    Diagnostic::new(Code("E0704"), route.span, message, "no outputs")
        .hint(format!("ask for some of {}", listed(known)))
}

pub(crate) fn named_twice<'n>(name: impl Into<Spelled<'n>>, first: Span) -> Diagnostic {
    let name = name.into();
    Diagnostic::new(Code("E0705"), name.span, format!("`{}` is named twice", name.text), "again here")
        .label(first, "first here")
}

pub(crate) fn always_needed<'n>(name: impl Into<Spelled<'n>>, graph: &str, declared: Span) -> Diagnostic {
    let name = name.into();
    let message = format!("`{}` is never absent: `{graph}` always needs it", name.text);
    Diagnostic::new(Code("E0705"), name.span, message, "cannot be absent")
        .label(declared, "not optional")
        .hint(format!("write `{}` without `?`", name.text))
}

pub(crate) fn output_not_made(name: &str, at: Span, declared: Span) -> Diagnostic {
    Diagnostic::new(
        Code("E0706"),
        at,
        format!("the graph does not make `{name}`"),
        format!("no `{name}` here"),
    )
    .label(declared, "promised here")
}

pub(crate) fn undeclared_output(name: &str, at: Span, known: &[Candidate]) -> Diagnostic {
    let message = format!("the graph does not promise an output `{name}`");
    Diagnostic::new(Code("E0706"), at, message, "not promised").meant(name, known)
}

pub(crate) fn record_expected(names: &[&str], at: Span, declared: Span) -> Diagnostic {
    let message = format!("the graph promises {}, and this is one value", all(names));
    Diagnostic::new(Code("E0706"), at, message, "one value")
        .label(declared, "promised here")
        .hint(format!("end with a record: `{{ {} }}`", names.join(", ")))
}

pub(crate) fn same_output(name: &str, span: Span, other: &str, first: Span) -> Diagnostic {
    let message = format!("outputs `{other}` and `{name}` are one and the same value");
    Diagnostic::new(Code("E0706"), span, message, "the same again")
        .label(first, "first here")
        .hint("promise it once; who asks can use it twice")
}

pub(crate) fn no_outputs(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0706"), span, "a graph makes at least one output", "none is promised")
}

pub(crate) fn only_output_optional(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0706"), span, "the only output of a graph cannot be optional", "always made")
        .hint("leave `?` out, or name the outputs: `{ reply: text, voice: audio? }`")
}

pub(crate) fn output_may_be_absent(name: &str, needs: &[String], at: Span, declared: Span) -> Diagnostic {
    let message = format!("`{name}` is promised always, but exists only when {} present", are(needs));
    Diagnostic::new(Code("E0707"), at, message, "may be absent")
        .label(declared, "promised here without `?`")
        .hint("add `?` to its type; it is then made where it can be")
}

pub(crate) fn absent_output(output: &str, graph: &str, needs: &[String], at: Span) -> Diagnostic {
    let message = format!("`{graph}` makes `{output}` only when it is given {}", all(needs));
    Diagnostic::new(Code("E0707"), at, message, "is not made here").hint(format!("give it {}", all(needs)))
}

/// `why` says what an output lacks on this route.
pub(crate) fn cannot_make(route: &str, output: &str, why: &Unmakeable, span: Span) -> Diagnostic {
    match why {
        Unmakeable::Absent { inputs, present, at } => {
            let brings = if present.is_empty() {
                "brings nothing".to_owned()
            } else {
                format!("brings {}", all(present))
            };
            let message = format!(
                "route `{route}` cannot make `{output}`: it exists only when {} is present",
                all(inputs)
            );
            Diagnostic::new(Code("E0708"), span, message, brings)
                .label(*at, "needed here")
                .hint(format!("add {} to the route", all(inputs)))
        }
        Unmakeable::NothingToJoin { at, present } => {
            let brings = if present.is_empty() {
                "brings nothing".to_owned()
            } else {
                format!("brings {}", all(present))
            };
            let message =
                format!("route `{route}` cannot make `{output}`: everything that goes into it is absent");
            Diagnostic::new(Code("E0708"), span, message, brings)
                .label(*at, "has nothing to put together")
                .hint("let the route bring one of the inputs that it is made of")
        }
    }
}

/// What an output lacks on a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unmakeable {
    /// Inputs that must be present.
    Absent { inputs: Vec<String>, present: Vec<String>, at: Span },
    /// A `join` of absent texts only.
    NothingToJoin { at: Span, present: Vec<String> },
}

pub(crate) fn same_signature(
    signature: &str,
    route: &str,
    span: Span,
    other: &str,
    first: Span,
) -> Diagnostic {
    let message = format!("routes `{other}` and `{route}` answer the same request: {signature}");
    Diagnostic::new(Code("E0709"), span, message, "the same again").label(first, "first here").hint(
        "remove one of the two, or take out the `?` that makes them meet: each combination has one route",
    )
}

/// `example` is a `route` line that the graph could have.
pub(crate) fn too_many_combinations(graph: &str, most: usize, example: &str, span: Span) -> Diagnostic {
    let message = format!("graph `{graph}` can be asked in more than {most} ways");
    Diagnostic::new(Code("E0710"), span, message, "too many combinations")
        .hint(format!("say which are wanted, a line for each: `{example}`"))
}

pub(crate) fn route_too_wide(route: &str, combinations: usize, most: usize, span: Span) -> Diagnostic {
    let message = format!("route `{route}` has {combinations} combinations, and at most {most} are recorded");
    Diagnostic::new(Code("E0710"), span, message, "too many combinations")
        .hint("leave out `?` where both cases are not needed, or say the cases in several routes")
}

pub(crate) fn no_combination(graph: &str, why: Option<&Unmakeable>, span: Span) -> Diagnostic {
    let message = format!("graph `{graph}` cannot be asked in any way");
    let diagnostic =
        Diagnostic::new(Code("E0710"), span, message, "no combination of inputs makes its outputs");
    match why {
        Some(Unmakeable::Absent { at, .. }) => {
            diagnostic.label(*at, "needs an input that is never present with the others")
        }
        Some(Unmakeable::NothingToJoin { at, .. }) => diagnostic.label(*at, "has nothing to put together"),
        None => diagnostic,
    }
}

pub(crate) fn stream_input(name: &str, span: Span) -> Diagnostic {
    let message = format!("`{name}` is a stream, and a request brings whole values");
    Diagnostic::new(Code("E0711"), span, message, "a stream")
        .hint("declare a whole value; a graph that takes a stream can be asked by another graph")
}

pub(crate) fn optional_with_default<'n>(name: impl Into<Spelled<'n>>, default: Span) -> Diagnostic {
    let name = name.into();
    let message = format!("`{}` has a default, so it is never absent", name.text);
    Diagnostic::new(Code("E0712"), name.span, message, "optional")
        .label(default, "taken where it is left out")
        .hint("leave out `?` or the default")
}

pub(crate) fn no_default(ty: &str, span: Span) -> Diagnostic {
    let message = format!("an input of type `{ty}` can have no default");
    Diagnostic::new(Code("E0712"), span, message, "not for this type")
        .hint("numbers, truth values, texts, lists of texts and words of an enum can; make others optional with `?`")
}

pub(crate) fn other_rate(
    given: &Type,
    wanted: &Type,
    at: Span,
    declared: Option<Span>,
    made: Span,
) -> Diagnostic {
    let message = format!("the output is promised as `{}`, but this is `{}`", wanted.kind, given.kind);
    let diagnostic =
        Diagnostic::new(Code("E0301"), at, message, "another rate").label(made, "got its type here");
    let diagnostic = match declared {
        Some(declared) => diagnostic.label(declared, "promised here"),
        None => diagnostic,
    };
    diagnostic.hint(match given.kind {
        Kind::Video { .. } => {
            "promise `video` of any rate, or one that it keeps; frames are left out for components only"
        }
        _ => "promise `audio` of any rate, or the rate that it has; sound is resampled for components only",
    })
}

pub(crate) fn input_has_default<'n>(name: impl Into<Spelled<'n>>, declared: Span) -> Diagnostic {
    let name = name.into();
    let message =
        format!("`{}` need not be named: it has a default, so it does not decide the route", name.text);
    Diagnostic::new(Code("W0104"), name.span, message, "has a default")
        .label(declared, "declared with a default")
}

/// `largest` is the call with most nodes, and how many.
pub(crate) fn too_many_nodes(
    graph: &str,
    nodes: usize,
    most: usize,
    at: Span,
    largest: Option<(Span, usize)>,
) -> Diagnostic {
    let counted = if nodes == usize::MAX { "more than can be counted".to_owned() } else { nodes.to_string() };
    let message = format!(
        "graph `{graph}` has {counted} nodes with those of the graphs that it asks; at most {most} can be"
    );
    let diagnostic = Diagnostic::new(Code("E0720"), at, message, "too large");
    let diagnostic = match largest {
        Some((call, usize::MAX)) => diagnostic.label(call, "more than can be counted are in this call"),
        Some((call, nodes)) => diagnostic.label(call, format!("{nodes} are in this call")),
        None => diagnostic,
    };
    diagnostic
        .note("a call is replaced by the nodes of the graph that it asks, so calls of calls multiply")
        .hint("ask the graph once and use its outputs again, or serve the parts as programs of their own")
}

pub(crate) fn too_much_recorded(most: usize, route: Span) -> Diagnostic {
    let message = format!("the recordings have more than {most} nodes together");
    Diagnostic::new(Code("E0721"), route, message, "with this route there are too many")
        .note("each route, and each combination of inputs that it may bring, has a recording of its own")
        .hint("leave routes or `?` out, or serve some of them as a program of their own")
}

/// Rows E07xx.
pub(crate) const TABLE: &[Explained] = &[
    Explained {
        code: Code("E0701"),
        title: "an input or output that the graph does not have",
        text: "\
A route names inputs and outputs of the graph that it asks: `route talk = assistant(speech, photo?) ->
reply + voice`. The only output of a graph that gives it no name is called `result`.",
    },
    Explained {
        code: Code("E0702"),
        title: "a route to something that is no graph",
        text: "\
A route asks a graph. A component alone is asked by way of a graph that calls it:

    graph listen(speech: audio) -> text { hear(speech) }",
    },
    Explained {
        code: Code("E0703"),
        title: "a route without an input that is always needed",
        text: "\
An input without `?` and without a default is needed on every route. Name it in the route, or make it
optional in the graph and say with `when` what depends on it.",
    },
    Explained {
        code: Code("E0704"),
        title: "a route without an output that is always made",
        text: "\
An output without `?` is made on every route, so every route asks for it. Mark with `?` what should be
made only if it is asked for.",
    },
    Explained {
        code: Code("E0705"),
        title: "a route that contradicts itself or the graph",
        text: "\
A route names each input and output once. `x?` in a route means that requests with and without `x` are
both answered, so `x` must be optional in the graph.",
    },
    Explained {
        code: Code("E0706"),
        title: "outputs that are promised and not made, or made and not promised",
        text: "\
What stands behind `->` is a promise: the body ends with exactly these outputs, by name. With several, the
body ends with a record:

    graph assistant(prompt: text) -> { reply: stream<text>, voice: stream<audio>? } {
        let reply = think(prompt)
        { reply, voice: say(reply.sentences()) }
    }",
    },
    Explained {
        code: Code("E0707"),
        title: "an output that does not always exist",
        text: "\
An output that is made of an optional input exists only on routes where that is present, so its type ends
in `?`.",
    },
    Explained {
        code: Code("E0708"),
        title: "a route that cannot make what it asks for",
        text: "\
With the inputs that this route brings, an output that it asks for cannot be made: something on the way to
it exists only when another input is present, or a `join` has nothing to put together.",
    },
    Explained {
        code: Code("E0709"),
        title: "two routes for one request",
        text: "\
A request is given its recording by a look-up: the graph, the inputs that it brings (those with a default
do not count) and the outputs that it asks for. Two routes with the same three could not be told apart. A
route with `x?` stands for two: with and without `x`.",
    },
    Explained {
        code: Code("E0710"),
        title: "combinations of inputs and outputs",
        text: "\
A graph without `route` lines is recorded once for every combination of present inputs and wanted outputs
that makes sense, at most 64. Write `route` lines for those that you want to serve.",
    },
    Explained {
        code: Code("E0711"),
        title: "a stream in a request",
        text: "\
A request brings whole values; streams begin inside the graph, at a component or `.sentences()`. A graph
that takes a stream can be asked by another graph.",
    },
    Explained {
        code: Code("E0712"),
        title: "a default that cannot be",
        text: "\
An input with a default is never absent, so it is not optional as well. Defaults are constants: numbers,
truth values, texts, lists of texts and words of an enum.",
    },
    Explained {
        code: Code("E0720"),
        title: "a graph of too many nodes",
        text: "\
A graph has at most 100000 nodes, counted with those of the graphs that it asks: each call is replaced by the
nodes of the graph that it asks. A graph that asks another twice, which asks a third twice, and so on, is soon
larger than any machine holds. Ask a graph once and use its outputs again, or split the program.",
    },
    Explained {
        code: Code("E0721"),
        title: "recordings of too many nodes",
        text: "\
Each route, and each combination of optional inputs that it may bring, has a recording of its own, with the
nodes that it needs. All recordings of a program have at most 600000 nodes together. Leave out routes that
nobody asks, or split the program.",
    },
];
