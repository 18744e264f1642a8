//! `if`, `match`, `switch`, `loop`, `merge` and media: what is decided when, and by what. E0606 to E0618.

use corn_plan::Kind;

use super::{Candidate, Spelled, all, nearest};
use crate::diagnostic::{Code, Diagnostic, Explained};
use crate::source::Span;

/// Adds where a value was made, unless that is where the problem is.
fn made_at(diagnostic: Diagnostic, at: Span, made: Span, text: &str) -> Diagnostic {
    if made == at { diagnostic } else { diagnostic.label(made, text) }
}

pub(crate) fn may_turn_out_absent(name: &str, at: Span, made: Span) -> Diagnostic {
    let message = format!("`{name}` may turn out absent");
    let diagnostic = Diagnostic::new(Code("E0606"), at, message, "a case of a `switch` makes nothing");
    made_at(diagnostic, at, made, "comes from here")
        .hint("give that case a value; an optional port, `join` and an output with `?` do without it")
}

pub(crate) fn may_be_absent_in_callee(
    name: &str,
    input: &str,
    graph: &str,
    at: Span,
    declared: Span,
) -> Diagnostic {
    let message =
        format!("`{name}` may turn out absent, and graph `{graph}` asks whether `{input}` is there");
    Diagnostic::new(Code("E0606"), at, message, "a case of a `switch` makes nothing")
        .label(declared, "whether it is there is known when a request comes")
        .hint("give that case a value, or call the graph in the cases of the `switch`")
}

pub(crate) fn output_may_turn_out_absent(name: &str, at: Span, declared: Span) -> Diagnostic {
    let message = format!("output `{name}` may turn out absent");
    Diagnostic::new(Code("E0606"), at, message, "a case of a `switch` makes nothing")
        .label(declared, "is promised here")
        .hint("add `?` to the type of the output, or give that case a value")
}

pub(crate) fn nothing_as_value(at: Span) -> Diagnostic {
    Diagnostic::new(Code("E0606"), at, "`none` is no value", "nothing is made here")
        .hint("leave the argument out; a case of `switch`, `if` or `match` may be `none`")
}

pub(crate) fn decided_by_made(word: &str, name: &str, at: Span, made: Span) -> Diagnostic {
    let message =
        format!("`{name}` is known only once it is made, and `{word}` is decided when a request comes");
    let diagnostic = Diagnostic::new(Code("E0607"), at, message, "not a parameter of the request");
    made_at(diagnostic, at, made, "is made here").hint(format!(
        "`switch {name} {{ … }}` looks at values that are made; `{word}` at `bool` and `enum` parameters of the graph"
    ))
}

pub(crate) fn decides_in_callee(input: &str, graph: &str, at: Span, declared: Span) -> Diagnostic {
    let message = format!(
        "`{input}` of graph `{graph}` decides what is recorded, and this is known only once it is made"
    );
    Diagnostic::new(Code("E0607"), at, message, "not a constant, and not a parameter of the request")
        .label(declared, "an `if` or `match` asks about it")
        .hint("give it a constant or a parameter, or call the graph in the cases of a `switch`")
}

pub(crate) fn condition_of_no_bool(given: &str, at: Span) -> Diagnostic {
    Diagnostic::new(Code("E0607"), at, "a condition is a `bool`", format!("is `{given}`"))
        .hint("`match` takes the words of an `enum`: `match mode { \"fast\" => … else => … }`")
}

pub(crate) fn match_of_no_choice(given: &str, at: Span) -> Diagnostic {
    Diagnostic::new(Code("E0607"), at, "`match` cannot decide by this", format!("is `{given}`"))
        .hint("it takes a parameter that is a `bool` or an `enum` of at most 64 words, or an item of a list of media")
}

pub(crate) fn match_of_one_medium(name: &str, at: Span, declared: Span) -> Diagnostic {
    let message = format!("`{name}` is one `media`, and `match` takes apart those of a list");
    let diagnostic = Diagnostic::new(Code("E0607"), at, message, "not an item of a list");
    made_at(diagnostic, at, declared, "declared here")
        .hint("take a list, `parts: list<media> max 1`, and write `[match part { … } for part in parts]`")
}

pub(crate) fn switch_of_a_constant(at: Span) -> Diagnostic {
    Diagnostic::new(Code("E0607"), at, "this is known when the program is compiled", "always the same")
        .hint("use `match`, or write down what is made in that case")
}

pub(crate) fn cannot_decide(given: &str, at: Span, made: Span) -> Diagnostic {
    let diagnostic =
        Diagnostic::new(Code("E0607"), at, "`switch` cannot decide by this", format!("is `{given}`"));
    made_at(diagnostic, at, made, "is made here").hint("it takes one whole `enum`, `bool`, `int` or `text`")
}

pub(crate) fn cases_missing(word: &str, missing: &[String], at: Span) -> Diagnostic {
    let message = match missing {
        [] => format!("this `{word}` does not say what is made otherwise"),
        some => format!("this `{word}` does not say what is made for {}", some.join(", ")),
    };
    Diagnostic::new(Code("E0608"), at, message, "not every value has a case")
        .hint("add the cases, or `else => …` as the last one; `else => none` makes nothing")
}

pub(crate) fn case_never_taken(what: &str, at: Span) -> Diagnostic {
    Diagnostic::new(Code("E0608"), at, format!("{what} is never taken"), "the cases before take all of it")
        .hint("remove it; `else` stands last")
}

pub(crate) fn pattern_of_another_type(subject: &str, at: Span) -> Diagnostic {
    Diagnostic::new(Code("E0608"), at, "the subject is never this", format!("the subject is `{subject}`"))
        .hint("a case is a text, a whole number, `true`, `false`, a kind of media, or `else`")
}

pub(crate) fn pattern_is_a_name(name: &str, subject: &str, at: Span, known: &[Candidate]) -> Diagnostic {
    let message = format!("`{name}` is no case of `{subject}`");
    let diagnostic = Diagnostic::new(Code("E0608"), at, message, "words stand in quotes");
    if nearest(name, ["else"]).is_some() {
        return diagnostic.hint("did you mean `else`?");
    }
    if known.is_empty() { diagnostic } else { diagnostic.meant(&format!("\"{name}\""), known) }
}

pub(crate) fn no_kind_of_media(name: &str, at: Span, known: &[Candidate]) -> Diagnostic {
    let message = match name {
        "" => "this is no kind of media".to_owned(),
        name => format!("`{name}` is no kind of media"),
    };
    Diagnostic::new(Code("E0608"), at, message, "each case names one").meant(name, known)
}

pub(crate) fn cases_of_other_types(one: &str, first: Span, other: &str, second: Span) -> Diagnostic {
    Diagnostic::new(
        Code("E0609"),
        second,
        format!("one makes `{one}`, another `{other}`"),
        format!("is `{other}`"),
    )
    .label(first, format!("is `{one}`"))
    .hint("what reads the result needs one type: let each make the same modality, dtype, rank and form")
}

pub(crate) fn cases_of_other_fields(one: &[String], other: &[String], at: Span, whole: Span) -> Diagnostic {
    let shown = |names: &[String]| if names.is_empty() { "a single value".to_owned() } else { all(names) };
    let message = format!("one case makes {}, another {}", shown(one), shown(other));
    Diagnostic::new(Code("E0609"), at, message, "other names than in the case before")
        .label(whole, "every case makes the same things")
        .hint("let each case end with a record of the same names")
}

pub(crate) fn some_cases_make_nothing(at: Span, whole: Span) -> Diagnostic {
    let message = "some cases make this, and some make nothing";
    Diagnostic::new(Code("E0609"), at, message, "made here")
        .label(whole, "decided when a request comes")
        .hint("let every case make it, or only one: what one case makes exists on its recordings")
}

pub(crate) fn only_in_a_case(name: &str, choices: &[String], at: Span, made: Span) -> Diagnostic {
    let message = format!("`{name}` exists only where {}", all(choices));
    let diagnostic = Diagnostic::new(Code("E0609"), at, message, "not made on every recording");
    made_at(diagnostic, at, made, "comes from here")
        .hint("let every case make a value, or use it in that case; an output with `?` does without it")
}

pub(crate) fn every_case_makes_nothing(at: Span) -> Diagnostic {
    Diagnostic::new(Code("E0609"), at, "no case makes anything", "never makes a value")
        .hint("remove it, or let a case make a value")
}

pub(crate) fn nothing_for_an_item(at: Span) -> Diagnostic {
    Diagnostic::new(Code("E0609"), at, "each item needs something in its place", "makes nothing")
        .hint("leave the case out: requests that bring such media are then refused")
}

pub(crate) fn loop_without_bound(at: Span) -> Diagnostic {
    Diagnostic::new(Code("E0610"), at, "this loop has no bound", "may never end")
        .hint("say how many rounds there are at most: `loop x = start max 50 { … }`")
}

pub(crate) fn more_rounds_than_bound(rounds: &str, max: u32, at: Span, bound: Span) -> Diagnostic {
    let message = format!("{rounds} rounds of a loop that has from 0 to {max}");
    Diagnostic::new(Code("E0610"), at, message, "not within the bound")
        .label(bound, "the bound of the loop")
        .hint("change the number, or the `max`")
}

pub(crate) fn rounds_not_counted(given: &str, at: Span, made: Span) -> Diagnostic {
    let diagnostic =
        Diagnostic::new(Code("E0610"), at, "rounds are counted by an `int`", format!("is `{given}`"));
    made_at(diagnostic, at, made, "is made here").hint("`t in steps` has rounds 0 to `steps` − 1")
}

pub(crate) fn until_of_no_bool(given: &str, at: Span, made: Span) -> Diagnostic {
    let diagnostic = Diagnostic::new(Code("E0610"), at, "`until` takes a `bool`", format!("is `{given}`"));
    made_at(diagnostic, at, made, "is made here").hint("let a component say whether it is enough")
}

pub(crate) fn never_changes(name: &str, at: Span, body: Span) -> Diagnostic {
    Diagnostic::new(Code("E0611"), at, format!("`{name}` gets no next value"), "every round has the same one")
        .label(body, format!("no line here is `{name} = …`"))
        .hint(format!("give it its next value, `{name} = …`, or bind it before the loop with `let`"))
}

pub(crate) fn next_twice(name: &str, at: Span, first: Span) -> Diagnostic {
    Diagnostic::new(Code("E0611"), at, format!("`{name}` gets two next values"), "again here")
        .label(first, "first here")
        .hint("bind the first with a `let` of its own")
}

pub(crate) fn not_carried<'n>(name: impl Into<Spelled<'n>>, known: &[Candidate]) -> Diagnostic {
    let name = name.into();
    let message = format!("the loop does not carry `{}`", name.text);
    Diagnostic::new(Code("E0611"), name.span, message, "cannot get a next value").meant(name.text, known)
}

/// `is_larger` if the two differ in nothing but their bound.
pub(crate) fn carried_changes_type(
    name: &str,
    given: &str,
    at: Span,
    taken: &str,
    first: Span,
    is_larger: bool,
) -> Diagnostic {
    let message = format!("the next `{name}` is `{given}`, and the first is `{taken}`");
    Diagnostic::new(Code("E0611"), at, message, format!("is `{given}`"))
        .label(first, format!("is `{taken}`"))
        .hint(if is_larger {
            "every round has the same type and bound: let the first have the larger one"
        } else {
            "every round begins with what the last one made: let each make what the first has, and `let` bind the rest"
        })
}

pub(crate) fn stream_in_loop(name: &str, at: Span, made: Span) -> Diagnostic {
    let message = format!("`{name}` does not come whole, and rounds hand whole values to the next");
    let diagnostic = Diagnostic::new(Code("E0612"), at, message, "a stream, or one item of a list");
    made_at(diagnostic, at, made, "is made here").hint("`.collect(max: …)` makes it whole")
}

pub(crate) fn stream_from_outside(name: &str, at: Span, made: Span, whole: Span) -> Diagnostic {
    let message = format!("a round reads the stream `{name}`, which is made once");
    Diagnostic::new(Code("E0612"), at, message, "every round would read it")
        .label(made, "the stream")
        .label(whole, "the loop")
        .hint("collect it before the loop: `.collect(max: …)`")
}

pub(crate) fn media_made<'n>(port: impl Into<Spelled<'n>>, kind: &str) -> Diagnostic {
    let message = format!("no component makes `{kind}`");
    Diagnostic::new(Code("E0613"), port.into().span, message, "only a request brings it")
        .hint("say what is made: `image`, `audio`, `video` or `text`")
}

pub(crate) fn messages_without_bound(at: Span) -> Diagnostic {
    Diagnostic::new(Code("E0613"), at, "a conversation has a bound", "how many parts?")
        .hint("say how many texts and media together: `messages max 64`")
}

pub(crate) fn merge_of_what(count: usize, at: Span) -> Diagnostic {
    let message = match count {
        0 | 1 => "`merge` takes two streams or more",
        _ => "in a `merge` all streams have a name, or none has",
    };
    Diagnostic::new(Code("E0614"), at, message, "cannot be merged")
        .hint("`merge(a, b)` is a stream; `merge(fast: a, smart: b)` has `.item` and, for each item, `.tag`")
}

pub(crate) fn cannot_be_pinned(name: &str, kind: &Kind, at: Span, declared: Span) -> Diagnostic {
    let message = format!("a route cannot fix `{name}`");
    Diagnostic::new(Code("E0615"), at, message, "decides nothing")
        .label(declared, format!("is `{kind}`"))
        .hint("a route fixes `bool` and `enum` inputs; give others a default in the graph")
}

pub(crate) fn too_many_recordings(route: &str, most: usize, at: Span) -> Diagnostic {
    let message = format!("route `{route}` has more than {most} recordings");
    Diagnostic::new(Code("E0616"), at, message, "one for each combination")
        .note("each value of a parameter that an `if` or `match` asks about, and each set of kinds of media, has its own")
        .hint("fix parameters in several routes, `mode: \"fast\"`, or let a `switch` decide at run time")
}

/// Rows of the code table.
pub(crate) const TABLE: &[Explained] = &[
    Explained {
        code: Code("E0606"),
        title: "a value that may turn out absent",
        text: "\
A case of a `switch` that is `none` makes nothing, so the result may be absent, and which case is taken is known
only at run time. Such a value can go where absence is allowed: into a port that ends in `?`, into `join`, to an
output whose type ends in `?`. Anywhere else something would wait for it for ever. Give the case a value, or let
what reads the result be part of the cases.",
    },
    Explained {
        code: Code("E0607"),
        title: "decided by something that cannot decide",
        text: "\
`if` and `match` are decided when a request comes, by its own parameters: `bool` and `enum` inputs of the graph.
Each value has a recording of its own, so nothing is decided while a request runs. `switch` is decided by a value
that is made: one whole `enum`, `bool`, `int` or `text`. A graph that is called takes constants and parameters where
its own `if` or `match` asks.",
    },
    Explained {
        code: Code("E0608"),
        title: "cases that are missing or never taken",
        text: "\
The cases of `match` and `switch` are tried in order, and one of them must fit whatever the subject is: every word
of an `enum`, `true` and `false`, or `else` as the last. A case after one that takes the same values is never
taken. The cases for media are the kinds `image`, `audio` and `video`; requests with a kind that has no case are
refused before anything runs.",
    },
    Explained {
        code: Code("E0609"),
        title: "cases that make different things",
        text: "\
What follows a `switch`, an `if` or a `match` reads one value, whichever case made it. So all cases make the same
modality, dtype and number of dimensions, all of them whole, or lists, or streams; bounds may differ, and the
largest holds. With records every case has the same names. Of an `if` or `match` either every case makes a value,
or one alone does, which then exists on its recordings.",
    },
    Explained {
        code: Code("E0610"),
        title: "how often a loop goes round",
        text: "\
A loop says how many rounds it has at most, `max 50`, so that a request cannot run for ever and the plan can say
what it holds. `t in steps` counts the rounds from 0 and ends after `steps` of them, an `int`; `until` ends it after
the round in which a `bool` is true. Both are optional.",
    },
    Explained {
        code: Code("E0611"),
        title: "what a loop carries",
        text: "\
Each value before the body, `loop x = start`, is carried: the body reads the value of the last round and gives it
its next one, once, with `x = …`. The next one has the type of the first and no larger bound, since it takes
its place. What does not change is bound with `let` before the loop and can be read inside.",
    },
    Explained {
        code: Code("E0612"),
        title: "a stream in a loop",
        text: "\
Rounds hand whole values to the next, and a stream is read once. So nothing that is carried is a stream, and no
round reads a stream that is made outside. `.collect()` makes a stream whole. Streams that begin and end within a
round are fine.",
    },
    Explained {
        code: Code("E0613"),
        title: "media and conversations",
        text: "\
`media` is one picture, sound or video, and `messages max 64` a conversation of at most 64 texts and media: only
requests bring them, and components make `image`, `audio`, `video` or `text`. The media of a conversation are its
`.media`, a list in order, which `[match part { image => … } for part in talk.media]` takes apart.",
    },
    Explained {
        code: Code("E0614"),
        title: "what `merge` takes",
        text: "\
`merge(a, b)` puts the items of several streams of one type into one stream, as they come. With a name for each,
`merge(fast: a, smart: b)`, it is a record: `.item` is that stream and `.tag` says of each item in turn which stream
it came from.",
    },
    Explained {
        code: Code("E0615"),
        title: "an input that a route cannot fix",
        text: "\
A route may fix the value of an input, `route quick = answer(prompt, mode: \"fast\") -> reply`: it is then for
requests with that value only. That works for `bool` and `enum` inputs, by whose values recordings are looked up.",
    },
    Explained {
        code: Code("E0616"),
        title: "too many recordings",
        text: "\
A route has a recording for each combination of what is optional, of the values of parameters that an `if` or
`match` asks about, and of the kinds of media that a request may bring. At most 64 of them are made for one route.
Fix parameters in several routes, or let a `switch` decide at run time.",
    },
];
