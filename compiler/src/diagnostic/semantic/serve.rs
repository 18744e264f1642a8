//! What `serve` and `workload` say about routes. E0914 to E0922, W0302.

use super::{Candidate, Spelled};
use crate::diagnostic::{Code, Diagnostic, Explained};
use crate::source::Span;

pub(crate) fn unknown_endpoint<'n>(path: impl Into<Spelled<'n>>, known: &[Candidate]) -> Diagnostic {
    let path = path.into();
    let message = format!("there is no OpenAI endpoint `{}`", path.text);
    Diagnostic::new(Code("E0914"), path.span, message, "unknown endpoint").meant(path.text, known)
}

pub(crate) fn unknown_extra<'n>(word: impl Into<Spelled<'n>>, path: &str, known: &[Candidate]) -> Diagnostic {
    let word = word.into();
    let message = format!("nobody can ask `{path}` for `{}`", word.text);
    let found = Diagnostic::new(Code("E0914"), word.span, message, "unknown");
    if known.is_empty() { found.hint("leave the brackets out") } else { found.meant(word.text, known) }
}

/// `about` are the declarations that `why` is about.
pub(crate) fn wrong_types(
    endpoint: &str,
    route: &str,
    why: &str,
    needs: &str,
    span: Span,
    mut about: Vec<(Span, String)>,
) -> Diagnostic {
    let message = format!("route `{route}` cannot answer `{endpoint}`: {why}");
    about.sort();
    about.dedup();
    let found = Diagnostic::new(Code("E0915"), span, message, "does not fit").note(needs);
    about.into_iter().fold(found, |found, (span, text)| found.label(span, text))
}

pub(crate) fn served_twice(what: &str, span: Span, first: Span) -> Diagnostic {
    Diagnostic::new(Code("E0916"), span, format!("{what} is served twice"), "again here")
        .label(first, "served here")
        .hint("leave one of them out")
}

pub(crate) fn unknown_limit<'n>(name: impl Into<Spelled<'n>>, known: &[Candidate]) -> Diagnostic {
    let name = name.into();
    let message = format!("`{}` cannot be limited", name.text);
    Diagnostic::new(Code("E0917"), name.span, message, "unknown limit").meant(name.text, known)
}

pub(crate) fn limit_of_nothing(name: &str, graph: &str, span: Span) -> Diagnostic {
    let message = format!("a limit of `{name}`, but no route of `{graph}` takes any");
    Diagnostic::new(Code("E0917"), span, message, "limits nothing").hint("leave it out")
}

pub(crate) fn limited_twice(name: &str, span: Span, first: Span) -> Diagnostic {
    Diagnostic::new(Code("E0917"), span, format!("`{name}` is set twice"), "set again")
        .label(first, "set here")
}

pub(crate) fn unknown_route<'n>(
    name: impl Into<Spelled<'n>>,
    graph: &str,
    known: &[Candidate],
) -> Diagnostic {
    let name = name.into();
    let message = format!("graph `{graph}` has no route `{}`", name.text);
    Diagnostic::new(Code("E0918"), name.span, message, "unknown route").meant(name.text, known)
}

pub(crate) fn nothing_to_serve(graph: &str, span: Span) -> Diagnostic {
    let message = format!("graph `{graph}` has no route that could be served");
    Diagnostic::new(Code("E0918"), span, message, "no request can ask it")
        .note("a graph that another graph calls has no route of its own unless it is declared")
        .hint(format!("declare one: `route ask = {graph}(…) -> …`"))
}

pub(crate) fn unknown_input<'n>(
    name: impl Into<Spelled<'n>>,
    route: &str,
    known: &[Candidate],
) -> Diagnostic {
    let name = name.into();
    let message = format!("requests on route `{route}` bring no `{}`", name.text);
    Diagnostic::new(Code("E0919"), name.span, message, "not brought").meant(name.text, known)
}

pub(crate) fn wrong_amount(input: &str, takes: &str, span: Span, declared: Span) -> Diagnostic {
    let message = format!("how much `{input}` a request brings is said as {takes}");
    Diagnostic::new(Code("E0919"), span, message, "another kind of amount").label(declared, "declared here")
}

pub(crate) fn over_the_bound(input: &str, most: &str, span: Span, declared: Span) -> Diagnostic {
    let message = format!("a request may bring at most {most} of `{input}`");
    Diagnostic::new(Code("E0919"), span, message, "more than that").label(declared, "declared here")
}

pub(crate) fn always_brought(input: &str, span: Span, declared: Span) -> Diagnostic {
    let message = format!("every request brings `{input}`, so it has no share");
    Diagnostic::new(Code("E0919"), span, message, "of all requests").label(declared, "always needed here")
}

/// `example` is a line that says it.
pub(crate) fn left_out(input: &str, route: &str, example: &str, span: Span, declared: Span) -> Diagnostic {
    let message =
        format!("every request on route `{route}` brings `{input}`, and this does not say how much");
    Diagnostic::new(Code("E0919"), span, message, format!("leaves `{input}` out"))
        .label(declared, "always needed here")
        .hint(format!("say it in the braces: `{example}`"))
}

pub(crate) fn empty_range(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0919"), span, "the least is more than the most", "nothing is in between")
}

pub(crate) fn shares_do_not_add_up(sum: &str, span: Span) -> Diagnostic {
    let message = format!("the shares of this workload are {sum}% together");
    Diagnostic::new(Code("E0920"), span, message, "must be 100%")
}

pub(crate) fn no_rate<'n>(workload: impl Into<Spelled<'n>>) -> Diagnostic {
    let workload = workload.into();
    let message = format!("how often do requests of workload `{}` come?", workload.text);
    Diagnostic::new(Code("E0920"), workload.span, message, "does not say").hint("add, say, `rate 3.5/s`")
}

pub(crate) fn workload_says_twice(what: &str, span: Span, first: Span) -> Diagnostic {
    Diagnostic::new(Code("E0920"), span, format!("{what} is said twice"), "said again")
        .label(first, "said first")
}

/// `what` is measured, and in how many of a hundred requests.
pub(crate) fn target_twice(what: &str, span: Span, first: Span) -> Diagnostic {
    Diagnostic::new(Code("E0921"), span, format!("{what} has two targets"), "set again")
        .label(first, "set first")
        .hint("leave one of them out; another percentile may have a target of its own")
}

pub(crate) fn unknown_target_output<'n>(
    name: impl Into<Spelled<'n>>,
    route: &str,
    known: &[Candidate],
) -> Diagnostic {
    let name = name.into();
    let message = format!("route `{route}` makes no `{}`", name.text);
    Diagnostic::new(Code("E0921"), name.span, message, "not made there").meant(name.text, known)
}

pub(crate) fn unknown_measure<'n>(name: impl Into<Spelled<'n>>, known: &[Candidate]) -> Diagnostic {
    let name = name.into();
    let message = format!("`{}` is nothing that is measured", name.text);
    Diagnostic::new(Code("E0921"), name.span, message, "unknown measure").meant(name.text, known)
}

pub(crate) fn unknown_percentile<'n>(name: impl Into<Spelled<'n>>) -> Diagnostic {
    let name = name.into();
    let message = format!("`{}` is no percentile", name.text);
    Diagnostic::new(Code("E0921"), name.span, message, "in how many of a hundred requests?")
        .hint("write `p50`, `p95`, `p99`, …")
}

pub(crate) fn gap_of_a_whole(output: &str, span: Span, declared: Span) -> Diagnostic {
    let message = format!("`{output}` comes whole, so there is no `gap` between its items");
    Diagnostic::new(Code("E0921"), span, message, "needs a stream")
        .label(declared, "declared here")
        .hint("measure `last`")
}

pub(crate) fn never_served(route: &str, graph: &str, serve: Span, declared: Span) -> Diagnostic {
    let message = format!("route `{route}` of graph `{graph}` is never served");
    Diagnostic::new(Code("W0302"), declared, message, "no request can reach it")
        .label(serve, format!("`{graph}` is served here"))
        .hint("name it behind an endpoint, or serve all routes with `grpc`")
}

/// What an endpoint brings and wants, as a note.
pub(crate) fn endpoint_needs(endpoint: &str, brings: &str, wants: &str) -> String {
    format!("`{endpoint}` brings {brings}, and wants {wants}")
}

/// Rows E0914 to E0921 and W0302.
pub(crate) const TABLE: &[Explained] = &[
    Explained {
        code: Code("E0914"),
        title: "unknown endpoint",
        text: "\
`openai` serves a route at an endpoint of the OpenAI API: `chat`, `completions`, `embeddings`, `audio.speech`,
`audio.transcriptions`, `images.generations` or `images.edits`. `chat[audio]` answers those who ask for sound as
well.",
    },
    Explained {
        code: Code("E0915"),
        title: "a route of other types than its endpoint",
        text: "\
What a request brings at an endpoint must fill the inputs of the route, and what the route makes must be
what the endpoint sends. An input that the endpoint never brings needs a default or may be absent. For example, `audio.speech`
brings a text and wants a sound.",
    },
    Explained {
        code: Code("E0916"),
        title: "served twice",
        text: "\
A graph is served by one `serve` block, and each endpoint in it is answered by one route or by several: a request
takes the first, as they are written, that takes what it brings. So to write one twice says nothing.",
    },
    Explained {
        code: Code("E0917"),
        title: "limits",
        text: "\
`limit` takes `body` (bytes of a request), `images` (pictures of a request), `audio` (sound of a request) and
`inflight` (requests at once), each once, and only what some route of the graph can bring.",
    },
    Explained {
        code: Code("E0918"),
        title: "unknown route",
        text: "\
`serve` and `workload` name routes of their graph. A graph without `route` lines has one route, with the
graph's own name.",
    },
    Explained {
        code: Code("E0919"),
        title: "what requests of a workload bring",
        text: "\
A workload says for each input of a route how much of it requests bring: tokens of a text (`prompt 400..2000`),
how many pictures (`images 1`), the duration of a sound (`speech 3s..15s`), and for an input that may be absent in
how many of them (`images 1 50%`). It stays within the bounds of the input; a token is at least one byte of a text.
Texts, sounds and lists that every request brings are not left out.",
    },
    Explained {
        code: Code("E0920"),
        title: "a workload that does not add up",
        text: "\
A workload says once how often requests come (`rate 3.5/s`), and how they are shared out over the routes of its
graph: the shares are 100% together.",
    },
    Explained {
        code: Code("E0921"),
        title: "a target of a workload",
        text: "\
A target names an output of a route and what must hold of it: `first` (from the request to its first item),
`gap` (from item to item) or `last` (from the request to its end), within a duration, in so many of a hundred
requests: `target speak.voice first 600ms p95`. For the same output, measure and percentile there is one target.",
    },
    Explained {
        code: Code("W0302"),
        title: "a route that is never served",
        text: "\
The graph is served, and no endpoint names this route, so no request can reach it. `grpc` and `kserve` serve
every route of a graph.",
    },
];
