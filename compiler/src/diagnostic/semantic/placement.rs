//! Memory, workers, GPUs, links and stalls. E08xx, E0908 to E0911.

use super::all;
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

/// The code of programs that need a GPU and do not say where there is one: they are right as far as they go.
pub const NEEDS_CLUSTER: Code = Code("E0922");

pub(crate) fn gpu_without_cluster(names: &[&str], span: Span) -> Diagnostic {
    let need = if names.len() == 1 { "needs a GPU" } else { "need GPUs" };
    let message = format!("{} {need}, and nothing says where there is one", all(names));
    Diagnostic::new(NEEDS_CLUSTER, span, message, "cannot run on the CPU")
        .note("without a cluster a program is placed on the CPU of the machine that compiles it")
        .hint("write `cluster lab { node a { gpu 1 h200 memory 139GiB } }` and `place GRAPH on lab { *: auto }`")
}

/// `on` is the node that it must be on, and where that is said.
pub(crate) fn no_gpu(name: &str, cluster: &str, on: Option<(&str, Span)>, span: Span) -> Diagnostic {
    let found = if let Some((node, at)) = on {
        let message = format!("component `{name}` needs a GPU, and node `{node}` has none");
        Diagnostic::new(Code("E0909"), at, message, "placed here").label(span, "made here")
    } else {
        let message = format!("component `{name}` needs a GPU, and no node of cluster `{cluster}` has one");
        Diagnostic::new(Code("E0909"), span, message, "cannot run on the CPU")
    };
    found.hint("say what the node has: `node a { gpu 4 h200 memory 139GiB }`")
}

pub(crate) fn too_parallel(name: &str, degree: u32, most: u32, table: &[String], span: Span) -> Diagnostic {
    let message =
        format!("`{name}` is spread over {degree} GPUs, and no node that it may be on has more than {most}");
    with_table(Diagnostic::new(Code("E0908"), span, message, "more than a node has"), table)
        .hint(format!("spread it over at most {most}: `tensor_parallel {most}`"))
}

/// `wants` are replicas and the GPUs of each, of which `placed` replicas found room.
pub(crate) fn no_free_gpus(
    name: &str,
    wants: (u32, u32),
    placed: usize,
    cluster: &str,
    table: &[String],
    span: Span,
) -> Diagnostic {
    let (replicas, degree) = wants;
    let gpus = if degree == 1 { "1 GPU" } else { &format!("{degree} GPUs of one node") };
    let message = match replicas {
        1 => format!("`{name}` takes {gpus}, and cluster `{cluster}` has no more that are free"),
        _ => format!(
            "`{name}` has {replicas} replicas of {gpus} each, and cluster `{cluster}` holds only {placed}"
        ),
    };
    with_table(Diagnostic::new(Code("E0908"), span, message, "not enough free GPUs"), table)
        .hint("lower `replicas` or `tensor_parallel`, put components together with `with`, or add nodes")
}

pub(crate) fn no_host_memory(name: &str, needs: &str, table: &[String], span: Span) -> Diagnostic {
    let message =
        format!("`{name}` needs {needs} of a host's memory, and no node that it may be on has that left");
    with_table(Diagnostic::new(Code("E0911"), span, message, "cannot be placed"), table).hint(
        "say how much memory a node has (64GiB if it does not), lower `replicas`, or leave a `with` out",
    )
}

/// `figures` are what each of `degree` GPUs would hold, and has.
pub(crate) fn too_large_for_gpu(
    parts: &[(&str, String)],
    degree: u32,
    figures: (&str, &str),
    over: &str,
    table: &[String],
    span: Span,
) -> Diagnostic {
    let (share, most) = figures;
    let on = if degree == 1 { "one GPU" } else { &format!("each of {degree} GPUs") };
    let (what, takes) = if let [(only, _)] = parts {
        (format!("`{only}`"), "takes")
    } else {
        let parts: Vec<String> = parts.iter().map(|(name, bytes)| format!("`{name}` {bytes}")).collect();
        (parts.join(" + "), "take")
    };
    let message = format!("{what} {takes} {share} on {on}, and each there has {most}");
    let found = Diagnostic::new(Code("E0911"), span, message, format!("{over} too much"));
    let found =
        if parts.len() > 1 { found.note("what is `with` a component is on the same GPUs") } else { found };
    with_table(found, table)
        .hint("spread it over more GPUs with `tensor_parallel`, take others apart, or use larger GPUs")
}

/// `from` and `to` are components and their hosts.
pub(crate) fn no_link(
    value: &str,
    from: (&str, &str),
    to: (&str, &str),
    cluster: Option<(&str, Span)>,
    span: Span,
) -> Diagnostic {
    let message =
        format!("`{value}` cannot get from node `{}` to node `{}`: no link joins them", from.1, to.1);
    let found = Diagnostic::new(Code("E0910"), span, message, "made here")
        .note(format!("{} is on {}, and {} on {}", from.0, from.1, to.0, to.1));
    let found = match cluster {
        Some((name, at)) => found.label(at, format!("cluster `{name}`")),
        None => found,
    };
    found.hint(format!(
        "add `link {} {} 400Gbps` to the cluster, or put both on one node with `on`",
        from.1, to.1
    ))
}

fn with_table(found: Diagnostic, table: &[String]) -> Diagnostic {
    table.iter().fold(found, Diagnostic::note)
}

/// `over` is what the fullest worker lacks.
pub(crate) fn requests_do_not_fit(
    over: &str,
    worker: &str,
    table: &[String],
    span: Option<Span>,
) -> Diagnostic {
    let message = format!("the plan does not fit: {worker} lacks {over}");
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
    let message = format!("one request may hold {request} of the {capacity} of {worker}");
    let mut diagnostic = Diagnostic::new(Code("W0202"), span, message, "the route that holds most");
    for row in largest {
        diagnostic = diagnostic.note(row);
    }
    diagnostic.hint("write smaller bounds where you can: `image max 12MiB`, `list<image> max 4`")
}

/// Rows E08xx, E0908 to E0911 and W02xx.
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
        code: Code("E0908"),
        title: "more GPUs than the cluster has",
        text: "\
A replica takes as many GPUs of one node as `tensor_parallel` says, or as its component needs, and shares them
with nothing but what is `with` it. So many are not free. The table shows what is placed where.",
    },
    Explained {
        code: Code("E0909"),
        title: "a GPU where there is none",
        text: "\
A component that `needs gpu n` runs on a node that has GPUs. Which nodes there are is said by a cluster:

    cluster lab {
        node a { gpu 4 h200 memory 139GiB }
    }",
    },
    Explained {
        code: Code("E0910"),
        title: "a link that the cluster lacks",
        text: "\
A value that is made on one node and read on another needs a link between the two. With several replicas that
holds for every pair of them, because a request may take any. Declare the link, or keep the components on one
node with `on`.",
    },
    Explained {
        code: Code("E0911"),
        title: "a component that does not fit on its GPUs or node",
        text: "\
The memory of a component that needs a GPU is spread evenly over the GPUs of its worker, together with what is
`with` it; that of others is its node's. The message says by how much it is too large.",
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
    Explained {
        code: NEEDS_CLUSTER,
        title: "GPUs without a cluster",
        text: "\
The program has components that need a GPU, and without a `cluster` it is placed on the CPU of the machine that
compiles it. As a description of models it may be right all the same: `corn check` and `corn graph` take it. For a
plan, say where it runs: `cluster lab { node a { gpu 1 h200 memory 139GiB } }` and `place omni on lab { *: auto }`,
here or in a file of the operator's that uses this one.",
    },
];
