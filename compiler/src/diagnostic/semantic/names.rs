//! Names: unknown, taken, or going round in a circle. E02xx.

use super::{Candidate, Spelled, nearest};
use crate::diagnostic::{Code, Diagnostic, Explained};
use crate::source::Span;

pub(crate) fn unknown(name: &str, span: Span, known: &[Candidate]) -> Diagnostic {
    let message = format!("nothing here is called `{name}`");
    Diagnostic::new(Code("E0201"), span, message, "unknown name").meant(name, known)
}

/// `true` or `false`, if `name` is spelled like it.
pub(crate) fn truth_value_like(name: &str) -> Option<Candidate> {
    nearest(name, ["true", "false"]).map(Candidate::named)
}

pub(crate) fn unknown_module(span: Span, path: &str, why: &str, known: &[Candidate]) -> Diagnostic {
    Diagnostic::new(Code("E0202"), span, format!("there is no module `{path}`"), "not found")
        .note(why)
        .meant(path, known)
}

pub(crate) fn not_in_module<'n>(name: impl Into<Spelled<'n>>, path: &str, known: &[Candidate]) -> Diagnostic {
    let name = name.into();
    let message = format!("`{path}` declares no `{}`", name.text);
    Diagnostic::new(Code("E0203"), name.span, message, "not declared there").meant(name.text, known)
}

pub(crate) fn taken<'n>(name: impl Into<Spelled<'n>>, first: Span) -> Diagnostic {
    let name = name.into();
    let message = format!("the name `{}` is taken", name.text);
    Diagnostic::new(Code("E0204"), name.span, message, "a second meaning")
        .label(first, "the first meaning")
        .hint("a name means one thing wherever it can be seen; choose another")
}

pub(crate) fn reserved<'n>(name: impl Into<Spelled<'n>>) -> Diagnostic {
    let name = name.into();
    let message = format!("`{}` is a function of the language", name.text);
    Diagnostic::new(Code("E0204"), name.span, message, "cannot be declared").hint("choose another name")
}

pub(crate) fn before_made(name: &str, span: Span, later: Span) -> Diagnostic {
    Diagnostic::new(Code("E0205"), span, format!("`{name}` is used before it is made"), "used here")
        .label(later, "made here")
        .hint("move its `let` up; a value cannot be made of itself")
}

/// `steps` are the places of the `use` items and the module that each takes from.
pub(crate) fn circle_of_modules(steps: &[(Span, String)]) -> Diagnostic {
    let path: Vec<String> =
        steps.last().into_iter().chain(steps).map(|(_, module)| format!("`{module}`")).collect();
    let message = format!("these files use each other in a circle: {}", path.join(" → "));
    let mut diagnostic = Diagnostic::without_place(Code("E0206"), message);
    for (place, (span, module)) in steps.iter().enumerate() {
        let label = format!("uses `{module}`");
        diagnostic = if place == 0 {
            Diagnostic::new(Code("E0206"), *span, diagnostic.message, label)
        } else {
            diagnostic.label(*span, label)
        };
    }
    diagnostic.hint("move what both need to a file of its own, and let both use that")
}

pub(crate) fn circle_of_declarations(names: &[Spelled<'_>]) -> Diagnostic {
    let path: Vec<String> =
        names.iter().chain(names.first()).map(|name| format!("`{}`", name.text)).collect();
    let message = format!("this is defined by itself: {}", path.join(" → "));
    let Some((first, others)) = names.split_first() else {
        return Diagnostic::without_place(Code("E0207"), message);
    };
    let mut diagnostic = Diagnostic::new(Code("E0207"), first.span, message, "needs itself");
    for name in others {
        diagnostic = diagnostic.label(name.span, "by way of this");
    }
    diagnostic.hint("what a declaration needs must be known without it")
}

pub(crate) fn unknown_field<'n>(name: impl Into<Spelled<'n>>, known: &[Candidate]) -> Diagnostic {
    let name = name.into();
    let message = format!("there is no output `{}` here", name.text);
    Diagnostic::new(Code("E0208"), name.span, message, "unknown output").meant(name.text, known)
}

/// `only` is the one output of what makes the value, which may be named.
pub(crate) fn no_fields<'n>(name: impl Into<Spelled<'n>>, base: Span, only: Option<&str>) -> Diagnostic {
    let name = name.into();
    let message = format!("this is one value and has no `{}`", name.text);
    let near = only.filter(|only| nearest(name.text, [*only]).is_some());
    let hint = match near {
        Some(only) => format!("did you mean `{only}`?"),
        None => "use the value itself; adaptors are written with brackets: `.sentences()`".to_owned(),
    };
    Diagnostic::new(Code("E0208"), name.span, message, "no such part").label(base, "one value").hint(hint)
}

pub(crate) fn unknown_type<'n>(name: impl Into<Spelled<'n>>, known: &[Candidate]) -> Diagnostic {
    let name = name.into();
    let message = format!("there is no type `{}`", name.text);
    Diagnostic::new(Code("E0209"), name.span, message, "unknown type").meant(name.text, known)
}

pub(crate) fn unknown_dtype<'n>(name: impl Into<Spelled<'n>>, known: &[Candidate]) -> Diagnostic {
    let name = name.into();
    let message = format!("there is no element type `{}`", name.text);
    Diagnostic::new(Code("E0209"), name.span, message, "unknown element type").meant(name.text, known)
}

pub(crate) fn unknown_unit(unit: &str, known: &[Candidate], span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0210"), span, format!("there is no unit `{unit}`"), "unknown unit")
        .meant(unit, known)
}

pub(crate) fn unknown_adaptor<'n>(name: impl Into<Spelled<'n>>, known: &[Candidate]) -> Diagnostic {
    let name = name.into();
    let message = format!("there is no adaptor `.{}()`", name.text);
    Diagnostic::new(Code("E0211"), name.span, message, "unknown adaptor").meant(name.text, known)
}

/// Rows E02xx.
pub(crate) const TABLE: &[Explained] = &[
    Explained {
        code: Code("E0201"),
        title: "unknown name",
        text: "\
A name must be declared before it can be used: by a `let`, a `component` or a `graph` of this file, by a
`use`, as an input of the graph, or by a `let` further up in the same block. The message points at the
nearest name that can be seen. What another file declares must be taken first:

    use std::speech::Recognizer",
    },
    Explained {
        code: Code("E0202"),
        title: "unknown module",
        text: "\
`use` takes names from a module: one of the standard library (`std::speech`) or a file beside this one
(`use voices::Joe` reads voices.corn). There is no module of that name.",
    },
    Explained {
        code: Code("E0203"),
        title: "a name that the module does not declare",
        text: "\
`use` takes what the other file declares itself: components, graphs and lets. What that file takes from
a third one is not passed on; take it from where it is declared.",
    },
    Explained {
        code: Code("E0204"),
        title: "a name with two meanings",
        text: "\
A name means one thing wherever it can be seen, so that a reader never has to ask which one is meant.
Components, graphs and lets of a file share one space of names, and nothing inside a graph may take a
name from it. Names of two blocks that cannot see each other may be equal. Routes have a space of their
own.",
    },
    Explained {
        code: Code("E0205"),
        title: "used before it is made",
        text: "\
Values are made in the order of their `let`s, and a value can only be made of earlier ones. Two values
that are made of each other would wait for each other for ever. Move the `let` up.",
    },
    Explained {
        code: Code("E0206"),
        title: "files that use each other",
        text: "\
If one file uses another, that one cannot use the first, directly or by way of others. Put what both
need into a file of its own and let both use that.",
    },
    Explained {
        code: Code("E0207"),
        title: "defined by itself",
        text: "\
A declaration may name others, but no chain of names may lead back to where it began: a graph that asks
itself would never end, and a `let` made of itself has no value.",
    },
    Explained {
        code: Code("E0208"),
        title: "unknown output of a component or graph",
        text: "\
A component or graph with several outputs is worth a record: `let thought = thinker(prompt)`, then
`thought.text` and `thought.hidden`. One with a single output is worth that output itself, without a name
behind a dot.",
    },
    Explained {
        code: Code("E0209"),
        title: "unknown type",
        text: "\
Values are `text`, `image`, `audio`, `tensor<…>[…]`, `int`, `float`, `bool` and `enum(…)`, whole or as
`stream<…>` or `list<…> max n`. Parameters of components are also `weights`, `bytes` and `duration`.",
    },
    Explained {
        code: Code("E0210"),
        title: "unknown unit",
        text: "\
Sizes are in B, KiB, MiB, GiB, TiB (or KB, MB, GB by thousands), durations in ms, s and min, frequencies
in Hz and kHz, frame rates in fps. The unit stands right behind the number: `1.4GiB`.",
    },
    Explained {
        code: Code("E0211"),
        title: "unknown adaptor",
        text: "\
Adaptors are applied with a dot and brackets: `text.sentences()` cuts text after each sentence,
`stream.windows(size, left: n, first: m)` makes windows over a stream, `stream.collect()` waits for the
end of a stream and makes one value of it.",
    },
];
