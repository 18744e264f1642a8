//! Problems that the parser finds. One constructor each, and the rows E00xx of the code table.

pub(crate) mod deploy;

use super::{Code, Diagnostic, Explained, nearest};
use crate::source::Span;

/// At most so many characters of the program are quoted in a message.
const LONGEST_QUOTE: usize = 32;

/// `text` in backticks, shortened, with control characters made visible.
pub(crate) fn quote(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().take(LONGEST_QUOTE) {
        if character.is_control() {
            shown.extend(character.escape_debug());
        } else {
            shown.push(character);
        }
    }
    if text.chars().nth(LONGEST_QUOTE).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// `a`, `a or b`, `a, b or c`.
pub(crate) fn either(choices: &[String]) -> String {
    match choices {
        [] => String::new(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

pub(crate) fn strange_characters(span: Span, text: &str) -> Diagnostic {
    let hint = match text.chars().next() {
        Some('/') => Some("a comment begins with `//`; there is no division"),
        Some('“' | '”' | '„' | '‘' | '’' | '«' | '»' | '\'' | '`') => {
            Some("a text stands in plain double quotes: \"…\"")
        }
        Some('→') => Some("an arrow is written `->`"),
        Some('≤') => Some("a bound is written `<=`"),
        Some('–' | '—' | '−') => Some("use a plain hyphen `-`"),
        Some('\u{a0}' | '\u{2007}' | '\u{202f}') => Some("this is a no-break space; use a plain one"),
        Some('\u{fffd}') => Some("this looks like a binary file; a .corn file is UTF-8 text"),
        Some('*' | '-' | '%' | '!' | '&' | '|') => {
            Some("the language has no operators; what is computed is a component's work")
        }
        _ => None,
    };
    let what = if text.chars().nth(1).is_some() { "these characters mean" } else { "this character means" };
    Diagnostic::new(
        Code("E0001"),
        span,
        format!("{what} nothing here: {}", quote(text)),
        "not part of the language",
    )
    .maybe_hint(hint.map(str::to_owned))
}

pub(crate) fn foreign_quotes(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0001"), span, "a text stands in plain double quotes", "other quotes")
        .hint("write `\"…\"`")
}

pub(crate) fn foreign_comment(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0001"), span, "a comment begins with `//`", "no comment here")
        .hint("write `//` in front of each line of it")
}

/// `span` is where the first byte is that no text has.
pub(crate) fn binary_file(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0001"), span, "this file is not text", "a zero byte").hint(
        "a .corn file is UTF-8 text; weights, media and plans are named on the command line in other places",
    )
}

pub(crate) fn unterminated_string(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0002"), span, "this text is not closed", "opened here, and the line ends")
        .hint("add `\"`; a line break inside a text is written `\\n`")
}

pub(crate) fn unknown_escape(span: Span, escape: &str) -> Diagnostic {
    Diagnostic::new(Code("E0003"), span, format!("{} is no escape", quote(escape)), "in this text")
        .hint("escapes are \\n, \\t, \\r, \\0, \\\", \\\\, \\' and \\u{e9}; a backslash is written \\\\")
}

pub(crate) fn number_out_of_range(span: Span, what: &str, range: &str) -> Diagnostic {
    Diagnostic::new(Code("E0004"), span, format!("{what} of this size cannot be held"), "out of range")
        .note(format!("the range is {range}"))
}

pub(crate) fn foreign_name(span: Span, name: &str) -> Diagnostic {
    let message = format!("{} is no name: names are ASCII letters, digits and `_`", quote(name));
    Diagnostic::new(Code("E0005"), span, message, "has other characters")
        .note("other letters stand freely in texts and comments")
}

pub(crate) fn semicolon(span: Span, count: usize) -> Diagnostic {
    let found =
        Diagnostic::new(Code("E0006"), span, "there are no semicolons in this language", "not needed");
    let found = if count > 1 { found.note(format!("there are {count} in this file")) } else { found };
    found.hint("leave it out: the next `let` or the closing brace ends a binding")
}

pub(crate) fn file_too_large(span: Span, bytes: usize, max_bytes: usize) -> Diagnostic {
    let message = format!("the file has {bytes} bytes; the most that is read is {max_bytes}");
    Diagnostic::new(Code("E0007"), span, message, "not read")
        .hint("divide it and take the parts in with `use`")
}

pub(crate) fn nested_too_deeply(span: Span, limit: usize) -> Diagnostic {
    Diagnostic::new(Code("E0008"), span, "this is nested too deeply", "the inner part is not read")
        .note(format!("at most {limit} brackets and calls may stand inside each other"))
        .hint("give inner parts a name: `let part = …`")
}

pub(crate) fn too_many_errors(span: Span, shown: usize) -> Diagnostic {
    Diagnostic::new(Code("E0009"), span, "there are more errors in this file", "from here on")
        .note(format!("only the first {shown} are shown"))
}

/// Something stands where it cannot. `expected` is in words for people, such as "`,`" or "a value".
pub(crate) fn unexpected(span: Span, found: &str, expected: &[String], hint: Option<String>) -> Diagnostic {
    let wanted = either(expected);
    let message = if wanted.is_empty() {
        format!("unexpected {found}")
    } else {
        format!("expected {wanted}, found {found}")
    };
    let label = if wanted.is_empty() { "not here".to_owned() } else { format!("expected {wanted}") };
    Diagnostic::new(Code("E0010"), span, message, label).maybe_hint(hint)
}

pub(crate) fn misspelt_word(span: Span, word: &str, meant: &str) -> Diagnostic {
    Diagnostic::new(Code("E0010"), span, format!("unexpected {}", quote(word)), "no word of the language")
        .hint(format!("did you mean `{meant}`?"))
}

pub(crate) fn missing_name(keyword: Span, what: &str, example: &str) -> Diagnostic {
    Diagnostic::new(Code("E0011"), keyword, format!("this `{what}` has no name"), "a name must follow")
        .hint(format!("such as `{example}`"))
}

pub(crate) fn missing_value(after: Span, after_text: &str, found: &str) -> Diagnostic {
    let message = format!("a value is missing after `{after_text}`");
    Diagnostic::new(Code("E0012"), after, message, format!("followed by {found}"))
        .hint("a value is a name, a call such as `f(x)`, a literal, a list or a `when`")
}

pub(crate) fn missing_result(arrow: Span) -> Diagnostic {
    Diagnostic::new(Code("E0013"), arrow, "a type is missing after `->`", "followed by the body").hint(
        "say what the graph makes: `-> text { … }`, or with names `-> { reply: text, voice: audio } { … }`",
    )
}

pub(crate) fn missing_port_name(keyword: Span, word: &str) -> Diagnostic {
    Diagnostic::new(Code("E0011"), keyword, format!("this `{word}` port has no name"), "a name must follow")
        .hint(format!("such as `{word} text: text`"))
}

pub(crate) fn missing_type(after: Span, found: &str) -> Diagnostic {
    Diagnostic::new(Code("E0013"), after, "a type is missing after `:`", format!("followed by {found}"))
        .hint("types are such as `text`, `audio<16kHz>`, `stream<text>` or `tensor<f32>[384]`")
}

/// So many further open brackets are shown.
const MOST_OTHERS: usize = 2;

/// `others` are further brackets that the same mistake leaves open.
pub(crate) fn unclosed(
    open: Span,
    bracket: char,
    others: &[Span],
    stopped: Option<(Span, &str)>,
) -> Diagnostic {
    let closing = closing_of(bracket);
    let mut found =
        Diagnostic::new(Code("E0014"), open, format!("`{bracket}` is never closed"), "opened here");
    for other in others.iter().take(MOST_OTHERS) {
        found = found.label(*other, "also open");
    }
    let before = match stopped {
        Some((span, text)) => {
            found = found.label(span, "this cannot stand inside");
            format!("before {}", quote(text))
        }
        None => "before the end of the file".to_owned(),
    };
    found.hint(format!("add `{closing}` {before}"))
}

pub(crate) fn closing_of(bracket: char) -> char {
    match bracket {
        '(' => ')',
        '[' => ']',
        '<' => '>',
        _ => '}',
    }
}

pub(crate) fn closes_nothing(span: Span, bracket: char) -> Diagnostic {
    Diagnostic::new(
        Code("E0015"),
        span,
        format!("`{bracket}` closes nothing"),
        "no bracket of this kind is open",
    )
    .hint("remove it, or add the bracket that it should close")
}

pub(crate) fn wrong_closing(span: Span, wrong: char, open: Span, bracket: char) -> Diagnostic {
    Diagnostic::new(Code("E0015"), span, format!("`{wrong}` cannot close `{bracket}`"), "of another kind")
        .label(open, "opened here")
        .hint(format!("write `{}`", closing_of(bracket)))
}

/// `near` is the word that was probably meant.
pub(crate) fn unknown_item(span: Span, word: &str, near: Option<&str>) -> Diagnostic {
    let found =
        Diagnostic::new(Code("E0016"), span, format!("no item begins with {}", quote(word)), "unknown word")
            .note("a file is made of `use`, `let`, `component`, `graph`, `route`, `cluster`, `place`, `serve` and `workload`");
    match near {
        Some(near) => found.hint(format!("did you mean `{near}`?")),
        None => found,
    }
}

pub(crate) fn unknown_clause(span: Span, word: &str, near: Option<&str>) -> Diagnostic {
    let message = format!("no line of a component begins with {}", quote(word));
    let found = Diagnostic::new(Code("E0017"), span, message, "unknown word")
        .note("a component is made of `in`, `out`, `run`, `needs` and `batch`");
    match near {
        Some(near) => found.hint(format!("did you mean `{near}`?")),
        None => found,
    }
}

pub(crate) fn reserved_name(span: Span, word: &str) -> Diagnostic {
    let message = format!("`{word}` cannot be a name");
    Diagnostic::new(Code("E0019"), span, message, "it is a word of the language")
        .hint(format!("choose another name, such as `{word}_`"))
}

pub(crate) fn binding_without_let(span: Span, word: &str, name: &str) -> Diagnostic {
    let message = match word {
        "" => format!("this binding of `{name}` lacks its `let`"),
        _ => format!("a binding begins with `let`, not with {}", quote(word)),
    };
    Diagnostic::new(Code("E0020"), span, message, "`let` belongs here")
        .hint(format!("write `let {name} = …`"))
}

pub(crate) fn block_without_value(block: Span, last_let: Option<(Span, &str)>) -> Diagnostic {
    let end = Span { start: block.end.saturating_sub(1).max(block.start), ..block };
    let found =
        Diagnostic::new(Code("E0021"), end, "this block makes no value", "a value must stand before this");
    match last_let {
        Some((span, name)) => {
            found.label(span, "the last binding").hint(format!("name what it makes, such as `{name}`"))
        }
        None => found.hint("write what it makes, such as `llm(prompt)`"),
    }
}

pub(crate) fn unused_value(span: Span, used: Span) -> Diagnostic {
    Diagnostic::new(Code("E0022"), span, "this value is made and then dropped", "not the block's last line")
        .label(used, "this is the block's value")
        .hint("bind it, `let name = …`, or remove it; two values are made as a record: `{ a: …, b: … }`")
}

pub(crate) fn let_after_value(span: Span, value: Span) -> Diagnostic {
    Diagnostic::new(Code("E0022"), value, "this value is made and then dropped", "not the block's last line")
        .label(span, "a binding follows")
        .hint("the block's value is its last line: move it down")
}

pub(crate) fn misplaced_doc(span: Span) -> Diagnostic {
    Diagnostic::new(
        Code("E0023"),
        span,
        "this documentation belongs to nothing",
        "no item follows that keeps it",
    )
    .note("`///` stands before a `component`, a `graph` or a `route`")
    .hint("write an ordinary comment with `//`")
}

pub(crate) fn said_twice(first: Span, second: Span, what: &str) -> Diagnostic {
    Diagnostic::new(Code("E0024"), second, format!("`{what}` is said twice"), "again here")
        .label(first, "first here")
        .hint("keep one of them")
}

pub(crate) fn missing_subject(span: Span, word: &str) -> Diagnostic {
    let example = match word {
        "if" => "if careful { … } else { … }",
        "match" => "match mode { \"fast\" => … }",
        _ => "switch classify(words).intent { \"draw\" => … else => … }",
    };
    Diagnostic::new(
        Code("E0012"),
        span,
        format!("`{word}` does not say what it asks about"),
        "a value must follow",
    )
    .hint(format!("write `{example}`"))
}

pub(crate) fn use_without_names(span: Span, module: &str) -> Diagnostic {
    Diagnostic::new(Code("E0025"), span, "this `use` does not say what to take", "a module and names in it")
        .hint(format!("write `use {module}::Name` or `use {module}::{{One, Other}}`"))
}

pub(crate) fn tensor_without_shape(span: Span, dtype: &str) -> Diagnostic {
    Diagnostic::new(Code("E0026"), span, "this tensor has no shape", "dimensions must follow").hint(format!(
        "such as `tensor<{dtype}>[384]` or `tensor<{dtype}>[n <= 512, 384]`; a scalar is `tensor<{dtype}>[]`"
    ))
}

pub(crate) fn shape_of_no_tensor(span: Span, name: &str) -> Diagnostic {
    let hint = match nearest(name, ["tensor"]) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("many items are bounded with `max`: `{name}<…> max 8`"),
    };
    Diagnostic::new(Code("E0026"), span, format!("`{name}` has no dimensions"), "only a tensor has")
        .hint(hint)
}

pub(crate) fn dtype_is_no_name(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0026"), span, "a tensor's element type is a plain name", "not a dtype")
        .hint("such as `tensor<f32>[384]`")
}

pub(crate) fn negative_extent(span: Span) -> Diagnostic {
    Diagnostic::new(Code("E0026"), span, "a dimension cannot be negative", "below zero")
}

/// The codes of this file: E00xx.
pub(crate) const TABLE: &[Explained] = &[
    Explained {
        code: Code("E0001"),
        title: "characters that mean nothing",
        text: "\
The file has characters that are no part of the language. Names are made of ASCII letters, digits
and `_`; texts stand in double quotes; comments begin with `//`. There are no operators: arithmetic
and comparison are a component's work. Often the cause is a quotation mark or a space that a word
processor has replaced.",
    },
    Explained {
        code: Code("E0002"),
        title: "a text that is not closed",
        text: "\
A text in double quotes ends on the line where it begins. Close it with `\"`. A line break inside it
is written `\\n`:

    let system = \"Answer in one sentence.\\nBe kind.\"",
    },
    Explained {
        code: Code("E0003"),
        title: "an unknown escape",
        text: "\
After a backslash a text may have n (new line), t (tab), r (carriage return), 0 (zero), a quotation
mark, a backslash, or u with a character's number in hex and braces: \\u{1f33d}. A backslash itself
is written \\\\.",
    },
    Explained {
        code: Code("E0004"),
        title: "a number out of range",
        text: "\
Integers are 64-bit and signed, other numbers are 64-bit floats. Amounts can be written with a unit
instead of many digits: `4GiB`, `30s`, `16kHz`. Digits may be grouped: `1_000_000`.",
    },
    Explained {
        code: Code("E0005"),
        title: "a name with other than ASCII letters",
        text: "\
Names of components, graphs, routes, ports and values become names in the plan, on the command line
and in the served API. They are made of the letters A–Z and a–z, digits and `_`, and do not begin with a
digit. Other letters stand freely in texts and comments.",
    },
    Explained {
        code: Code("E0006"),
        title: "a semicolon",
        text: "\
Nothing ends with a semicolon. Each binding begins with `let` and each item with a word of its own,
so that the end of one is the beginning of the next:

    let heard = hear(speech)
    let reply = think(heard)",
    },
    Explained {
        code: Code("E0007"),
        title: "a file too large",
        text: "\
A file of this size is no program that a person wrote, so it is refused before it is read. If it is
generated, divide it into several files and take the parts in with `use`.",
    },
    Explained {
        code: Code("E0008"),
        title: "nested too deeply",
        text: "\
Brackets, calls and chains such as `a.b.c` may stand inside each other up to a fixed depth, so that
no file can exhaust the compiler's stack. Bind inner parts to names with `let`; the plan is the same.",
    },
    Explained {
        code: Code("E0009"),
        title: "more errors than are shown",
        text: "\
The file has very many errors and only the first ones are shown. Mend these first: later errors are
often consequences. If nearly every line is refused, the file may not be a .corn file.",
    },
    Explained {
        code: Code("E0010"),
        title: "something stands where it cannot",
        text: "\
The parser came to a place where the grammar allows only certain things, and found another. The
message lists what could stand there. The usual causes: a missing comma between arguments, a missing
bracket, or a word in the wrong order. `docs/LANGUAGE.md` has the whole grammar on one page.",
    },
    Explained {
        code: Code("E0011"),
        title: "a declaration without a name",
        text: "\
`let`, `component`, `graph` and `route` are each followed by the name that is declared:

    let llm = Chat(weights)
    graph hello(prompt: text) -> stream<text> { llm(prompt) }
    route ask = hello(prompt) -> result",
    },
    Explained {
        code: Code("E0012"),
        title: "a value is missing",
        text: "\
After `=`, and after the `:` of a named argument or of a record's field, a value must stand: a name, a call, a
literal, a list, a record or a `when`.

    let llm = Chat(weights, max_tokens: 256)",
    },
    Explained {
        code: Code("E0013"),
        title: "a type is missing",
        text: "\
Every parameter and every port says its type after a colon, since the compiler sizes each edge of a
graph from it:

    in  speech: audio<16kHz> max 30s
    out text: text max 4KiB",
    },
    Explained {
        code: Code("E0014"),
        title: "a bracket that is never closed",
        text: "\
A bracket was opened, and before its partner came something that cannot stand inside, or the file
ended. The parser goes on as if the partner had been there, so other messages stay meaningful.",
    },
    Explained {
        code: Code("E0015"),
        title: "a bracket that closes nothing",
        text: "\
A closing bracket stands where none of its kind is open. Either it is one too many, or the opening
one was forgotten or is of another kind.",
    },
    Explained {
        code: Code("E0016"),
        title: "an unknown item",
        text: "\
A file is a sequence of items, each with a word in front: `use` takes names from another file, `let`
makes an instance of a component or names a constant, `component` declares a unit of model work,
`graph` joins instances, and `route` says what requests may ask of a graph.",
    },
    Explained {
        code: Code("E0017"),
        title: "an unknown line in a component",
        text: "\
The lines of a component are: `in name: type` and `out name: type` for its ports, `run executor
\"entry\"` for what runs it, `needs cpu 2, memory 1GiB` for what it occupies, and `batch 8 within
4ms` for how many calls share it.",
    },
    Explained {
        code: Code("E0019"),
        title: "a reserved word as a name",
        text: "\
The words `use let component graph route in out for when enum true false` have a meaning of their
own everywhere, and so do `if else match switch loop until none`. None of them can name
anything. (`run needs batch within max window` are names outside their own place.)",
    },
    Explained {
        code: Code("E0020"),
        title: "a binding without `let`",
        text: "\
A value is given a name with `let`, at the top of a file and in a graph alike. A name is bound once
and never changes: the compiler turns each binding into an edge of the graph.

    let heard = hear(speech)

In a call or a record a name is followed by a colon: `Chat(weights, max_tokens: 256)`.",
    },
    Explained {
        code: Code("E0021"),
        title: "a block that makes no value",
        text: "\
A graph's body, and the block of a `when`, is a sequence of bindings and then one value: what the block
makes. Without it the bindings are for nothing.

    graph listen(speech: audio) -> text {
        let heard = hear(speech)
        heard
    }",
    },
    Explained {
        code: Code("E0022"),
        title: "a value that is dropped",
        text: "\
A block is a sequence of bindings and then one value. A value that stands alone before the end is
used by nobody, so the work to make it would be wasted; graphs have no side effects. To make several
outputs, end with a record:

    { reply, voice: say(reply.sentences()) }",
    },
    Explained {
        code: Code("E0023"),
        title: "documentation that belongs to nothing",
        text: "\
A comment with three slashes documents the `component`, `graph` or `route` after it and is kept in
the plan's listings. Elsewhere it would be lost; write an ordinary comment with two slashes.",
    },
    Explained {
        code: Code("E0024"),
        title: "said twice",
        text: "\
A bound or a window is given once. Two of them on one type would contradict or repeat each other:

    stream<text max 4KiB> window 8",
    },
    Explained {
        code: Code("E0025"),
        title: "`use` without names",
        text: "\
`use` names the module and then what is taken from it, so that a reader finds where each name comes
from:

    use std::llm::Chat
    use std::speech::{Recognizer, Speaker}
    use voices::Joe          // from voices.corn beside this file",
    },
    Explained {
        code: Code("E0026"),
        title: "a malformed type",
        text: "\
A tensor has an element type and its dimensions, outermost first; a dimension that is known only at
run time has a symbol and a bound: `tensor<bf16>[n <= 16384, 2048]`. A scalar is `tensor<f32>[]`. Other
types have no dimensions; their size is bounded with `max`.",
    },
];
