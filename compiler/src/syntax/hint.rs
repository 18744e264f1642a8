//! Puts a parser's error into words: what could have stood there, said shortly, and what the
//! author probably meant.

use super::token::{Tok, Token};
use super::tree::Unexpected;
use crate::diagnostic::{Diagnostic, syntax};
use crate::source::{FileId, Span};

/// A place where the parser had to recover, with what stands around it.
struct Place<'t, 'a> {
    file: FileId,
    text: &'t str,
    tokens: &'a [Token<'t>],
    /// The token that was not expected; the number of tokens at the end of the file.
    at: usize,
    /// What was, in the grammar's own names.
    expected: &'a [String],
}

/// The error in words. `None` if the mistake has been reported before.
pub(crate) fn explain<'t>(
    file: FileId,
    text: &'t str,
    tokens: &[Token<'t>],
    error: &Unexpected<'t>,
) -> Option<Diagnostic> {
    let (at, expected) = match error {
        Unexpected::UnrecognizedToken { token: (start, tok, end), expected } => {
            // Tokens that `repair` put in are empty, so several can begin at one place.
            let first = tokens.partition_point(|token| token.start < *start);
            let is_same = |token: &Token<'_>| token.end == *end && token.tok == *tok;
            (first + tokens[first..].iter().position(is_same).unwrap_or(0), expected.as_slice())
        }
        Unexpected::UnrecognizedEof { expected, .. } => (tokens.len(), expected.as_slice()),
        Unexpected::ExtraToken { token: (start, ..) } | Unexpected::InvalidToken { location: start } => {
            (tokens.partition_point(|token| token.start < *start), [].as_slice())
        }
        Unexpected::User { error } => match *error {},
    };
    let place = Place { file, text, tokens, at, expected };
    if place.is_reported() {
        return None;
    }
    Some(place.missing().unwrap_or_else(|| {
        syntax::unexpected(place.shown(), &place.found_words(), &place.expected_words(), place.hint())
    }))
}

impl<'t> Place<'t, '_> {
    fn found(&self) -> Option<&Tok<'t>> {
        self.tokens.get(self.at).map(|token| &token.tok)
    }

    /// Whether the token stands for something of which was said before what is wrong.
    fn is_reported(&self) -> bool {
        self.tokens
            .get(self.at)
            .is_some_and(|token| token.start == token.end || matches!(token.tok, Tok::Error | Tok::Skipped))
    }

    fn before(&self) -> Option<&Token<'t>> {
        // The mark of a line has the place of the token after it.
        self.tokens[..self.at.min(self.tokens.len())].iter().rev().find(|token| token.tok != Tok::Line)
    }

    /// The place of the token, or that just after the last one.
    fn span(&self) -> Span {
        self.tokens.get(self.at).map_or_else(
            || {
                let end = self.tokens.last().map_or(0, |last| last.end);
                Span { file: self.file, start: end, end }
            },
            |token| token.span(self.file),
        )
    }

    /// Where to show the mistake: at the token, but if that begins a part of its own, after the one
    /// before, where something is missing.
    fn shown(&self) -> Span {
        let begins = self.found().is_none_or(|tok| {
            let is_clause =
                matches!(tok, Tok::In | Tok::Out | Tok::Run | Tok::Needs | Tok::Batch | Tok::Line);
            is_clause || matches!(tok, Tok::Let | Tok::CloseBrace) || tok.begins_item()
        });
        match self.before() {
            Some(before) if begins && self.at_line_start() => {
                Span { file: self.file, start: before.end, end: before.end }
            }
            _ => self.span(),
        }
    }

    fn at_line_start(&self) -> bool {
        let from = self.before().map_or(0, |before| before.end as usize);
        self.text[from..self.span().start as usize].contains('\n')
    }

    fn expects(&self, terminal: &str) -> bool {
        self.expected.iter().any(|expected| expected.trim_matches('"') == terminal)
    }

    fn expects_value(&self) -> bool {
        self.expects("quantity") && self.expects("string") && self.expects("[")
    }

    fn expects_type(&self) -> bool {
        self.expects("enum")
    }

    fn expects_item(&self) -> bool {
        self.expects("component") && self.expects("route")
    }

    /// The innermost bracket that is open here.
    fn bracket(&self) -> Option<&Tok<'t>> {
        let mut closed = 0_usize;
        for token in self.tokens[..self.at].iter().rev() {
            match &token.tok {
                tok if tok.closes() => closed += 1,
                tok if tok.opens() && closed == 0 => return Some(tok),
                tok if tok.opens() => closed -= 1,
                tok if tok.begins_item() => return None,
                _ => {}
            }
        }
        None
    }

    /// Mistakes that are something left out: they are shown where it should follow.
    fn missing(&self) -> Option<Diagnostic> {
        let before = self.before()?;
        let span = before.span(self.file);
        let found = self.found_words();
        Some(match &before.tok {
            tok if self.expects("name") && !self.expects_value() && !self.expects_type() => match tok {
                Tok::Let => syntax::missing_name(span, "let", "let llm = …"),
                Tok::Component => syntax::missing_name(span, "component", "component Chat(…) { … }"),
                Tok::Graph => syntax::missing_name(span, "graph", "graph hello(prompt: text) -> text { … }"),
                Tok::Route => syntax::missing_name(span, "route", "route talk = assistant(speech) -> voice"),
                Tok::Use => syntax::use_without_names(span, "std::llm"),
                Tok::Cluster => syntax::missing_name(span, "cluster", "cluster lab { … }"),
                Tok::Place => syntax::missing_name(span, "place", "place omni on lab { … }"),
                Tok::Serve => syntax::missing_name(span, "serve", "serve omni { … }"),
                Tok::Workload => syntax::missing_name(span, "workload", "workload evening for omni { … }"),
                Tok::In => syntax::missing_port_name(span, "in"),
                Tok::Out => syntax::missing_port_name(span, "out"),
                _ => return None,
            },
            Tok::Equals if self.expects_value() => syntax::missing_value(span, "=", &found),
            Tok::Colon if self.expects_type() => syntax::missing_type(span, &found),
            Tok::Colon if self.expects_value() => syntax::missing_value(span, ":", &found),
            _ => return None,
        })
    }

    fn hint(&self) -> Option<String> {
        let hint = match self.found() {
            Some(Tok::Name(item)) if self.is_type_constructor() => {
                return Some(format!("what it is made of stands in angle brackets: `<{item}>`"));
            }
            Some(tok) => self.hint_at(tok),
            None => None,
        };
        let hint = hint.or_else(|| {
            if self.expects("->") && self.bracket().is_none() {
                Some("what is made follows an arrow: `-> reply`")
            } else if self.in_arguments() {
                Some("arguments and items are separated by commas")
            } else {
                None
            }
        });
        hint.map(str::to_owned)
    }

    /// What the author probably meant by `found`.
    fn hint_at(&self, found: &Tok<'t>) -> Option<&'static str> {
        let in_braces = self.bracket() == Some(&Tok::OpenBrace);
        Some(match found {
            Tok::Equals if self.bracket() == Some(&Tok::OpenParen) => {
                "a named argument has a colon: `max_tokens: 256`"
            }
            Tok::Equals => "only `let name = …` binds; values cannot be changed",
            Tok::Colon | Tok::Comma if in_braces && self.expects("let") => {
                "several outputs are a record in braces of its own: `{ { reply, voice: say(reply) } }`"
            }
            Tok::OpenBrace if self.expects("->") => {
                "a graph says what it makes before its body: `-> text { … }`"
            }
            Tok::OpenBrace | Tok::Arrow if self.expects("(") => {
                "parameters stand in parentheses, also if there are none: `()`"
            }
            Tok::Name(_) if self.at > 1 && self.tokens[self.at - 2].tok == Tok::Run => {
                "what is run stands in quotes: `run python \"package.module:Class\"`"
            }
            _ if self.expects("=>") => {
                "a case is a pattern, `=>`, and what is made: `\"draw\" => paint(words)`"
            }
            Tok::OpenParen | Tok::Dot if self.expects("=") => {
                "a line of a loop is `let name = …`, or gives what is carried its next value: `x = step(x)`"
            }
            _ if self.expects("}") && self.follows_until() => "`until` is the last line of a loop",
            _ if self.is_condition() => "`when` takes names of optional inputs: `when photo { look(photo) }`",
            Tok::OpenParen if self.expects_value() => "parentheses stand only after what is called: `f(x)`",
            Tok::For => "each item of a list: `[f(item) for item in items]`",
            Tok::Less | Tok::Greater | Tok::AtMost | Tok::Plus | Tok::Star if self.expects("let") => {
                "the language does not compute; let a component do it"
            }
            Tok::Max | Tok::Window if self.before().is_some_and(|before| before.tok == Tok::Question) => {
                "`?` stands last in a type"
            }
            Tok::Name(_) if self.expects(":") && !self.expects(",") => {
                "each parameter and port says its type: `prompt: text`"
            }
            Tok::Memory => {
                "each `gpu` says how many, of what kind, and the memory of each: `gpu 4 h200 memory 139GiB`"
            }
            Tok::Question => "`?` stands after a type, or after an input of a route",
            _ => return None,
        })
    }

    /// Whether this is in what follows `when`.
    fn is_condition(&self) -> bool {
        for token in self.tokens[..self.at].iter().rev() {
            match &token.tok {
                Tok::When => return true,
                Tok::Comma | Tok::Dot => {}
                tok if tok.name().is_some() => {}
                _ => return false,
            }
        }
        false
    }

    /// Whether a value after `until` ends here.
    fn follows_until(&self) -> bool {
        let line = self.tokens[..self.at]
            .iter()
            .rev()
            .take_while(|token| !matches!(token.tok, Tok::OpenBrace | Tok::Let));
        line.into_iter().any(|token| token.tok == Tok::Until)
    }

    fn is_type_constructor(&self) -> bool {
        let before = self.before().and_then(|before| before.tok.name());
        self.expects("<") && matches!(before, Some("stream" | "list" | "tensor" | "audio"))
    }

    fn in_arguments(&self) -> bool {
        let listed = matches!(self.bracket(), Some(Tok::OpenParen | Tok::OpenBracket));
        let begins = match self.found() {
            Some(Tok::Str(_) | Tok::Int(_) | Tok::Float(_) | Tok::Quantity(_) | Tok::OpenBracket) => true,
            Some(tok) => tok.name().is_some(),
            None => false,
        };
        listed && begins && self.expects(",") && self.before().is_some_and(|before| before.tok.ends_value())
    }

    /// What was found, for a message.
    fn found_words(&self) -> String {
        let Some(token) = self.tokens.get(self.at) else { return "the end of the file".to_owned() };
        match &token.tok {
            Tok::Str(_) => "a text".to_owned(),
            Tok::Doc(_) => "documentation".to_owned(),
            _ => syntax::quote(&self.text[token.start as usize..token.end as usize]),
        }
    }

    /// What was expected, for a message: few words, those of the grammar grouped.
    fn expected_words(&self) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let mut covered: Vec<&str> = vec!["error", "skipped", "doc", ";", "line"];
        let mut group = |word: &str, terminals: &[&'static str]| {
            words.push(word.to_owned());
            covered.extend(terminals);
        };
        if self.expects_item() {
            group(
                "an item (`use`, `let`, `component`, `graph`, `route`, `cluster`, `place`, `serve` or `workload`)",
                &ITEM,
            );
        }
        if self.expects("needs") && self.expects("in") && self.expects("out") {
            group("a line of the component (`in`, `out`, `run`, `needs` or `batch`)", &CLAUSE);
        }
        if self.expects("replicas") {
            group("a setting (`replicas`, `tensor_parallel`, `with`, `apart`, `on` or `auto`)", &SETTING);
        }
        if self.expects_value() {
            if self.expects("let") && !self.expects_item() {
                group("`let`", &["let"]);
            }
            group("a value", &VALUE);
        } else if self.expects_type() {
            group("a type", &TYPE);
        } else if self.expects("quantity") {
            group("a number", &NUMBER);
        } else if self.expects("name") {
            group("a name", &NAME);
        }
        let mut rest: Vec<&str> = self.expected.iter().map(|terminal| terminal.trim_matches('"')).collect();
        rest.retain(|terminal| !covered.contains(terminal));
        // What continues a value or a type is nearly always possible and seldom what was meant.
        if !words.is_empty() || rest.iter().any(|terminal| !CONTINUES.contains(terminal)) {
            rest.retain(|terminal| !CONTINUES.contains(terminal));
        }
        rest.sort_by_key(|terminal| *terminal != ",");
        words.extend(rest.into_iter().take(MOST_EXPECTED).map(in_words));
        words
    }
}

/// At most so many things that could have stood somewhere are listed one by one.
const MOST_EXPECTED: usize = 4;

const ITEM: [&str; 9] =
    ["use", "let", "component", "graph", "route", "cluster", "place", "serve", "workload"];
const CLAUSE: [&str; 5] = ["in", "out", "run", "needs", "batch"];
const SETTING: [&str; 6] = ["replicas", "tensor_parallel", "with", "apart", "on", "auto"];
const NAME: [&str; 7] = ["name", "run", "needs", "batch", "within", "max", "window"];
const NUMBER: [&str; 4] = ["int", "float", "quantity", "name"];
const TYPE: [&str; 6] = ["name", "enum", "{", "int", "float", "quantity"];
const VALUE: [&str; 21] = [
    "name", "run", "needs", "batch", "within", "max", "window", "string", "int", "float", "quantity", "true",
    "false", "[", "{", "when", "if", "match", "switch", "loop", "none",
];
const CONTINUES: [&str; 13] =
    [".", "(", "max", "window", "<", "::", "+", "?", ":", "for", "within", "<=", "else"];

fn in_words(terminal: &str) -> String {
    match terminal {
        "string" => "a text in quotes".to_owned(),
        "name" => "a name".to_owned(),
        "int" => "an integer".to_owned(),
        "float" | "quantity" => "a number".to_owned(),
        other => format!("`{other}`"),
    }
}
