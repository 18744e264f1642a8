//! Types: what does not fit, and what is no type. E03xx.

use corn_plan::{Dim, Form, Kind, Type};

use super::{Candidate, Spelled, all};
use crate::diagnostic::{Code, Diagnostic, Explained};
use crate::source::Span;

/// Both ends of an edge whose types differ.
pub(crate) struct Ends {
    /// The type that is given.
    pub(crate) given: String,
    /// Its dimensions, if it is a tensor.
    pub(crate) given_dims: Vec<Dim>,
    /// The name of the value that is given, and where it got its type.
    pub(crate) made: (String, Span),
    /// The type that is taken.
    pub(crate) wanted: String,
    /// Its dimensions, if it is a tensor.
    pub(crate) wanted_dims: Vec<Dim>,
    /// What takes it.
    pub(crate) what: String,
    /// Where that got its type.
    pub(crate) declared: Option<Span>,
    /// Where they meet.
    pub(crate) at: Span,
}

impl Ends {
    fn problem(&self, code: Code, message: String) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(code, self.at, message, format!("is `{}`", self.given));
        if self.made.1 != self.at {
            diagnostic = diagnostic.label(self.made.1, format!("`{}` got its type here", self.made.0));
        }
        match self.declared {
            Some(declared) => diagnostic.label(declared, format!("takes `{}`", self.wanted)),
            None => diagnostic,
        }
    }
}

pub(crate) fn other_kind(given: &Type, wanted: &Type, ends: &Ends) -> Diagnostic {
    let (is, takes) = (words(given), words(wanted));
    ends.problem(Code("E0301"), format!("{} takes {takes}, not {is}", ends.what))
}

pub(crate) fn stream_given(given: &Type, ends: &Ends) -> Diagnostic {
    let hint = match given.kind {
        Kind::Text { .. } | Kind::Audio { .. } => "`.collect()` waits for its end and makes one value of it",
        _ => "`.collect(max: n)` waits for its end and makes a list of it",
    };
    let message = format!("{} takes a whole value, but this is a stream", ends.what);
    ends.problem(Code("E0302"), message).hint(hint)
}

pub(crate) fn stream_wanted(given: &Type, ends: &Ends) -> Diagnostic {
    let message = format!("{} takes a stream, but this is a whole value", ends.what);
    ends.problem(Code("E0303"), message).maybe_hint(as_stream(given))
}

pub(crate) fn over_bound(ends: &Ends) -> Diagnostic {
    ends.problem(Code("E0304"), format!("this can be larger than {} takes", ends.what))
        .hint("write a smaller bound (`max …`) where it is made, or a larger one where it is taken")
}

pub(crate) fn other_rank(ends: &Ends) -> Diagnostic {
    let (given, taken) = (ends.given_dims.len(), ends.wanted_dims.len());
    let message = format!("{} takes a tensor of {taken} dimensions, and this has {given}", ends.what);
    ends.problem(Code("E0305"), message)
        .hint("`.windows(…)` adds one dimension in front; a component can reshape what it makes")
}

/// An extent in words: `exactly 64`, `at most 64`.
fn extent(dims: &[Dim], axis: usize) -> String {
    match dims.get(axis) {
        Some(Dim::Fixed(extent)) => format!("exactly {extent}"),
        Some(Dim::Upto { max, .. }) => format!("up to {max}"),
        None => "none".to_owned(),
    }
}

/// `axis` counts from 0.
pub(crate) fn other_extent(axis: usize, ends: &Ends) -> Diagnostic {
    let (given, taken) = (extent(&ends.given_dims, axis), extent(&ends.wanted_dims, axis));
    let message = format!("{} takes {taken} in dimension {}, and this has {given}", ends.what, axis + 1);
    ends.problem(Code("E0305"), message).hint(
        "dimensions are counted from 1, outermost first; one that is open, `n <= 64`, takes any extent up to its bound",
    )
}

pub(crate) fn list_given(ends: &Ends) -> Diagnostic {
    ends.problem(Code("E0306"), format!("{} takes one item, but this is a list", ends.what))
        .hint("call it for each item: `[name(item) for item in list]`")
}

pub(crate) fn list_wanted(ends: &Ends) -> Diagnostic {
    ends.problem(Code("E0306"), format!("{} takes a list, but this is one item", ends.what))
        .hint("put it in a list: `[value]`")
}

/// How a whole value becomes a stream, if it can.
fn as_stream(given: &Type) -> Option<String> {
    matches!(given.kind, Kind::Text { .. }).then(|| "`.sentences()` makes a stream of a text".to_owned())
}

/// A type for a sentence: the modality, and what differs if that is not it.
fn words(ty: &Type) -> String {
    let kind = match &ty.kind {
        Kind::Tensor { .. } | Kind::Enum(_) => ty.kind.to_string(),
        kind => kind.word().to_owned(),
    };
    match ty.form {
        Form::Value => format!("`{kind}`"),
        Form::List { .. } => format!("`list<{kind}>`"),
        Form::Stream { .. } => format!("`stream<{kind}>`"),
    }
}

pub(crate) fn unknown_word(word: &str, words: &[String], span: Span) -> Diagnostic {
    let known: Vec<Candidate> = words.iter().map(|word| Candidate::named(&format!("{word:?}"))).collect();
    let message = format!("{word:?} is not one of the words that are taken here");
    Diagnostic::new(Code("E0301"), span, message, "unknown word").meant(&format!("{word:?}"), &known)
}

pub(crate) fn value_as_stream(given: &Type, what: &str, at: Span, made: Span) -> Diagnostic {
    let message = format!("{what} takes a stream, but this is a whole value");
    let hint =
        matches!(given.kind, Kind::Text { .. }).then(|| "`.sentences()` makes a stream of a text".to_owned());
    from(Code("E0303"), message, given, at, made).maybe_hint(hint)
}

pub(crate) fn nothing_to_collect(given: &Type, at: Span, made: Span) -> Diagnostic {
    let message = "`.collect()` takes a stream, but this is whole already".to_owned();
    from(Code("E0303"), message, given, at, made).hint("leave `.collect()` out")
}

pub(crate) fn sentences_take_text(given: &Type, at: Span, made: Span) -> Diagnostic {
    from(Code("E0301"), "`.sentences()` takes text".to_owned(), given, at, made)
}

pub(crate) fn no_windows_of(given: &Type, at: Span, made: Span) -> Diagnostic {
    let message = "`.windows()` takes a stream of tensors, text or audio".to_owned();
    from(Code("E0301"), message, given, at, made)
}

pub(crate) fn join_takes_text(given: &Type, at: Span, made: Span) -> Diagnostic {
    let (code, hint) = match (&given.kind, given.form) {
        (Kind::Text { .. }, Form::Stream { .. }) => {
            (Code("E0302"), Some("`.collect()` waits for its end and makes one text of it".to_owned()))
        }
        _ => (Code("E0301"), None),
    };
    from(code, "`join` takes whole texts".to_owned(), given, at, made).maybe_hint(hint)
}

pub(crate) fn not_a_list_item(given: &Type, at: Span, made: Span) -> Diagnostic {
    let (code, hint) = match given.form {
        Form::Stream { .. } => (Code("E0302"), Some("`.collect()` waits for its end".to_owned())),
        _ => (Code("E0306"), None),
    };
    from(code, "a list holds whole items".to_owned(), given, at, made).maybe_hint(hint)
}

fn from(code: Code, message: String, given: &Type, at: Span, made: Span) -> Diagnostic {
    let diagnostic = Diagnostic::new(code, at, message, format!("is `{given}`"));
    if made == at { diagnostic } else { diagnostic.label(made, "got its type here") }
}

pub(crate) fn mixed_list(one: &str, first: Span, other: &str, at: Span) -> Diagnostic {
    Diagnostic::new(Code("E0306"), at, "the items of a list are of one kind", format!("is `{other}`"))
        .label(first, format!("is `{one}`"))
}

pub(crate) fn list_of_texts(given: &str, at: Span) -> Diagnostic {
    let message = format!("a constant list holds texts, not {given}");
    Diagnostic::new(Code("E0306"), at, message, "not a text")
}

pub(crate) fn list_without_bound(kind: &Kind, span: Span) -> Diagnostic {
    let item = match kind {
        Kind::Tensor { .. } | Kind::Enum(_) => kind.to_string(),
        kind => kind.word().to_owned(),
    };
    Diagnostic::new(Code("E0307"), span, "this list has no bound", "how many items at most?")
        .hint(format!("write the most items that a request may bring: `list<{item}> max 8`"))
}

pub(crate) fn dimension_without_bound<'n>(name: impl Into<Spelled<'n>>) -> Diagnostic {
    let name = name.into();
    let name_text = &name.text;
    Diagnostic::new(
        Code("E0307"),
        name.span,
        format!("dimension `{name_text}` has no bound"),
        "how large at most?",
    )
    .hint(format!("write it once in this declaration: `{name_text} <= 4096`"))
}

pub(crate) fn bad_collect(kind: &Kind, at: Option<Span>, call: Span) -> Diagnostic {
    let (takes, example) = match kind {
        Kind::Text { .. } => ("a size in bytes", "`.collect(max: 64KiB)`"),
        Kind::Audio { .. } => ("a duration", "`.collect(max: 30s)`"),
        _ => ("a number of items", "`.collect(max: 16)`"),
    };
    let message = format!("collecting a stream of `{}` needs {takes} as its bound", kind.word());
    Diagnostic::new(Code("E0307"), at.unwrap_or(call), message, "how much at most?")
        .hint(format!("write {example}"))
}

pub(crate) fn no_max(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0308"), span, "this type takes no `max`", "not needed")
        .hint("its size is known; leave `max` out")
}

pub(crate) fn no_window(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0308"), span, "only a stream has a window", "not a stream's")
        .hint("leave it out, or make it a stream: `stream<text> window 4`")
}

pub(crate) fn stream_max(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0308"), span, "a stream has no end that could be bounded", "bounds what?")
        .hint("bound its items, `stream<text max 4KiB>`, or the items in flight, `stream<text> window 4`")
}

pub(crate) fn bad_item(outer: &str, span: Span) -> Diagnostic {
    let message = format!("a `{outer}` holds plain items");
    Diagnostic::new(Code("E0308"), span, message, "not a plain item").hint(
        "write `stream<text>` or `list<image> max 8`; streams and lists do not nest, and `?` stands last",
    )
}

pub(crate) fn incomplete<'n>(name: impl Into<Spelled<'n>>) -> Diagnostic {
    let name = name.into();
    let example = match name.text {
        "tensor" => "`tensor<f32>[n <= 512, 64]`",
        "enum" => "`enum(\"low\", \"high\")`",
        "stream" => "`stream<text>`",
        _ => "`list<image> max 8`",
    };
    let message = format!("`{}` alone is no type", name.text);
    Diagnostic::new(Code("E0308"), name.span, message, "of what?").hint(format!("write, say, {example}"))
}

pub(crate) fn parameter_type<'n>(name: impl Into<Spelled<'n>>) -> Diagnostic {
    let name = name.into();
    let message = format!("`{}` is a type of component parameters, not of values", name.text);
    Diagnostic::new(Code("E0308"), name.span, message, "no value has this type")
        .hint("give it to the component where it is made: `let hear = Recognizer(weights)`")
}

pub(crate) fn bad_parameter_type(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0308"), span, "a parameter of a component cannot have this type", "not for parameters")
        .hint("parameters are `weights`, `int`, `float`, `bool`, `text`, `list<text>`, `enum(…)`, `bytes` or `duration`, without bounds; what a request brings goes through an `in` port")
}

pub(crate) fn record_type(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0308"), span, "only a graph's output can have several parts", "not here")
        .hint("give each part an input, port or parameter of its own")
}

pub(crate) fn no_rate<'n>(name: impl Into<Spelled<'n>>) -> Diagnostic {
    let name = name.into();
    let message = format!("only `audio` and `video` have a rate, not `{}`", name.text);
    Diagnostic::new(Code("E0308"), name.span, message, "has no rate").hint("leave the rate out")
}

pub(crate) fn bad_rate(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0308"), span, "this is no sampling rate", "no rate")
        .hint("write a frequency up to 192kHz: `audio<16kHz>`")
}

pub(crate) fn bad_frame_rate(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0308"), span, "this is no frame rate", "no rate")
        .hint("write frames a second, from 0.001 to 1000: `video<2fps>`")
}

pub(crate) fn bad_bound(wanted: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0308"), span, format!("this must be {wanted}"), "is something else, or too small")
}

pub(crate) fn empty_dimension(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0308"), span, "a dimension of nothing", "the tensor would have no elements").hint(
        "an extent is at least 1, and so is the most that a symbol may be: `tensor<f32>[n <= 512, 384]`",
    )
}

pub(crate) fn quantity_out_of_range(unit: &str, span: Span) -> Diagnostic {
    let message = format!("no number of `{unit}` that can be counted");
    Diagnostic::new(Code("E0308"), span, message, "below zero, or more than there ever is")
}

pub(crate) fn not_a_value(name: &str, sort: &str, span: Span) -> Diagnostic {
    let hint = match sort {
        "component" => format!("make one with its arguments, `let x = {name}(…)`, and call that"),
        _ => format!("ask it with its inputs: `{name}(…)`"),
    };
    Diagnostic::new(Code("E0310"), span, format!("`{name}` is a {sort}, not a value"), "not a value")
        .hint(hint)
}

pub(crate) fn component_as_value(name: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0310"), span, format!("`{name}` is a component, not a value"), "not called")
        .hint(format!("call it with what it works on: `{name}(…)`"))
}

pub(crate) fn constant_as_value(what: &str, span: Span) -> Diagnostic {
    Diagnostic::new(
        Code("E0310"),
        span,
        format!("{what} is not a value that a graph works on"),
        "not a value",
    )
    .hint("quantities and weights are arguments of components, where these are made")
}

pub(crate) fn record_as_value(names: &[String], span: Span) -> Diagnostic {
    let message = match names {
        [only] => format!("this is a record of `{only}`, and the value itself is needed here"),
        _ => format!("this has {} outputs, and one is needed here", names.len()),
    };
    let hint = names.first().map(|first| match names {
        [only] => format!("promise it by name, `-> {{ {only}: … }}`, or leave the braces out"),
        _ => format!("choose one of {}, such as `.{first}`", all(names)),
    });
    Diagnostic::new(Code("E0311"), span, message, "a record").maybe_hint(hint)
}

pub(crate) fn not_constant(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0312"), span, "this must be known when the program is compiled", "not known then")
        .hint("literals, `hf(…)`, `pypi(…)`, `file(…)` and components are; what a request brings is used inside a graph")
}

pub(crate) fn too_large(ty: &str, span: Span) -> Diagnostic {
    let message = format!("no machine could hold `{ty}`");
    Diagnostic::new(Code("E0313"), span, message, "its size overflows 64 bits").hint("write smaller bounds")
}

/// Rows E03xx.
pub(crate) const TABLE: &[Explained] = &[
    Explained {
        code: Code("E0301"),
        title: "types that differ",
        text: "\
What is given has another type than what is taken. The message names both ends and where each got its
type. Nothing is converted silently, with one exception: sound of any rate may go into a port that names
a rate, `audio<16kHz>`, because the engine resamples it, and so does video: it is thinned for `video<2fps>`.",
    },
    Explained {
        code: Code("E0302"),
        title: "a stream where a whole value is taken",
        text: "\
A stream comes item by item while its producer runs; the reader here needs everything at once. Say that
you want to wait for the end: `reply.collect()` puts the texts (or sounds) of a stream together. Where the
reader could work item by item, declare its port as a stream instead.",
    },
    Explained {
        code: Code("E0303"),
        title: "a whole value where a stream is taken",
        text: "\
The reader works item by item, but this value comes in one piece. A text becomes a stream of its
sentences with `.sentences()`.",
    },
    Explained {
        code: Code("E0304"),
        title: "larger than the reader takes",
        text: "\
Every text, picture, sound and list has a bound, and the memory of a plan is computed from them. A bound
that you wrote is held: if a value may be larger than its reader takes, that is an error. A bound that was
not written is narrowed to what the reader takes for what a request brings and for what `join`,
`.sentences()` and `.collect()` make; a request that brings more is refused at once. When no bound is
written, a text has at most 16KiB, a picture 48MiB (16 megapixels), a sound one minute.",
    },
    Explained {
        code: Code("E0305"),
        title: "shapes that differ",
        text: "\
The tensor that is given has another shape than the one that is taken. A dimension with a symbol and a
bound, `n <= 512`, takes any extent up to the bound, the same for one symbol in all ports of a call; a
fixed one takes exactly its own.",
    },
    Explained {
        code: Code("E0306"),
        title: "lists and items",
        text: "\
A list and an item are two things. To call a component once for each item of a list, write
`[caption(photo) for photo in photos]`; the results keep the order. To make a list of a few values of one
kind, write `[a, b]`.",
    },
    Explained {
        code: Code("E0307"),
        title: "no bound",
        text: "\
Memory is computed before any request arrives, so everything whose size is known only at run time says
how large it can become: `list<image> max 8`, `tensor<f32>[n <= 512, 64]`, `.collect(max: 16)`. A symbol
is bounded once in a declaration and may then stand alone.",
    },
    Explained {
        code: Code("E0308"),
        title: "a type or bound that makes no sense",
        text: "\
`max` bounds text and pictures in bytes, sound in time and lists in items; `window` is how many items of
a stream are in flight. Streams and lists hold plain items and do not nest; `?` stands last. Parameters of
components are `weights`, `int`, `float`, `bool`, `text`, `list<text>`, `enum(…)`, `bytes` and `duration`.",
    },
    Explained {
        code: Code("E0310"),
        title: "not a value",
        text: "\
Inside a graph, names stand for what flows through it. A component is called with what it works on, and a
declared component is made first with its arguments:

    let hear = Recognizer(weights)
    graph listen(speech: audio) -> text { hear(speech) }",
    },
    Explained {
        code: Code("E0311"),
        title: "several outputs where one is needed",
        text: "\
This component or graph makes several values. Say which one is meant:

    let thought = thinker(prompt)
    thought.text",
    },
    Explained {
        code: Code("E0312"),
        title: "not known when the program is compiled",
        text: "\
Components, their arguments, weights and bounds are fixed before any request arrives. They are made of
literals, of `hf(…)`, `pypi(…)` and `file(…)`, and of `let`s that are; never of what a request brings.",
    },
    Explained {
        code: Code("E0313"),
        title: "a size that overflows",
        text: "\
The product of the bounds of this type does not fit in 64 bits, so no machine could hold such a value.
Write the bounds that you really expect.",
    },
];
