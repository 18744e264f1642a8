//! Memory, workers and stalls. E08xx.

use crate::diagnostic::{Code, Diagnostic, Explained};
use crate::source::Span;

pub(crate) fn component_does_not_fit(name: &str, needs: &str, table: &[String], span: Span) -> Diagnostic {
    let message = format!("component `{name}` needs {needs}, and no worker has that much left");
    let mut diagnostic = Diagnostic::new(Code("E0801"), span, message, "cannot be placed");
    for row in table {
        diagnostic = diagnostic.note(row);
    }
    diagnostic.hint("give the workers more memory, use more of them, or choose a smaller model")
}

/// `over` is what the fullest worker lacks.
pub(crate) fn requests_do_not_fit(
    over: &str,
    worker: &str,
    table: &[String],
    span: Option<Span>,
) -> Diagnostic {
    let message = format!("the plan does not fit: worker {worker} lacks {over}");
    let mut diagnostic = match span {
        Some(span) => Diagnostic::new(Code("E0802"), span, message, "the route that holds most"),
        None => Diagnostic::without_place(Code("E0802"), message),
    };
    for row in table {
        diagnostic = diagnostic.note(row);
    }
    diagnostic.hint("admit fewer requests at once, write smaller bounds (`image max 12MiB`), or give the workers more memory")
}

pub(crate) fn stall(reader: Span, stream: &str, made: Span, waits: &str, whole: Span) -> Diagnostic {
    let message = format!(
        "this would wait for ever: it reads the stream `{stream}` only after `{waits}`, and `{waits}` only comes after the end of the stream"
    );
    Diagnostic::new(Code("E0803"), reader, message, "reads both")
        .label(made, format!("`{stream}` is made here, a window at a time"))
        .label(whole, format!("`{waits}` needs all of it"))
        .hint("read the collected value instead of the stream, or make what is whole of something else")
}

pub(crate) fn plan_stalls(message: &str, span: Option<Span>) -> Diagnostic {
    let text = format!("this route would wait for ever: {message}");
    match span {
        Some(span) => Diagnostic::new(Code("E0803"), span, text, "cannot end"),
        None => Diagnostic::without_place(Code("E0803"), text),
    }
    .hint("a stream with two readers moves as fast as the slower one; if that one waits for what the other makes, nothing moves")
}

pub(crate) fn few_cores(name: &str, wants: u32, has: u32, span: Span) -> Diagnostic {
    let message = format!("component `{name}` may use {wants} threads, but its worker has {has}");
    Diagnostic::new(Code("W0201"), span, message, "will be slower than declared")
}

pub(crate) fn large_request(
    request: &str,
    worker: &str,
    capacity: &str,
    largest: &[String],
    span: Span,
) -> Diagnostic {
    let message = format!("one request may hold {request} of the {capacity} of worker {worker}");
    let mut diagnostic = Diagnostic::new(Code("W0202"), span, message, "the route that holds most");
    for row in largest {
        diagnostic = diagnostic.note(row);
    }
    diagnostic.hint("write smaller bounds where you can: `image max 12MiB`, `list<image> max 4`")
}

/// Rows E08xx and W02xx.
pub(crate) const TABLE: &[Explained] = &[
    Explained {
        code: Code("E0801"),
        title: "a component that fits nowhere",
        text: "\
Components are placed by the memory that they declare with `needs memory`. No worker has enough left for
this one. The table shows what is placed where.",
    },
    Explained {
        code: Code("E0802"),
        title: "requests that do not fit",
        text: "\
Everything that a request can hold on a worker is bounded: texts, pictures, sounds, windows of streams.
The components of a worker and the values of as many requests as are admitted at once must fit in its
memory; otherwise a busy hour would end in a crash. The table shows the figures of every worker.",
    },
    Explained {
        code: Code("E0803"),
        title: "a stream that waits for its own end",
        text: "\
A stream with several readers moves as fast as the slowest. Here a reader starts only when another value
is there, and that value needs the whole stream: the reader holds the stream back, and the stream holds
the reader back. For example, `rewrite(reply, summary(reply.collect()))` with a stream `reply`.",
    },
    Explained {
        code: Code("W0201"),
        title: "fewer cores than declared",
        text: "\
The component declares with `needs cpu` more threads than the worker it is placed on has cores. It runs,
but its threads take turns.",
    },
    Explained {
        code: Code("W0202"),
        title: "a request that could fill a worker",
        text: "\
With the bounds as written, one request may hold more than half of what a worker has left beside its
components. Requests seldom reach their bounds, but the engine reserves for them, so few can be admitted at
once. Pictures and lists of pictures are the usual reason.",
    },
];
