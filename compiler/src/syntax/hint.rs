//! Puts a parser's error into words: what could have stood there, said shortly, and what the
//! author probably meant.

use super::repair;
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
    let (start, expected) = match error {
        Unexpected::UnrecognizedToken { token, expected } => (token.0, expected.as_slice()),
        Unexpected::UnrecognizedEof { location, expected } => (*location, expected.as_slice()),
        Unexpected::ExtraToken { token } => (token.0, [].as_slice()),
        Unexpected::InvalidToken { location } => (*location, [].as_slice()),
        Unexpected::User { error } => match *error {},
    };
    let at = match error {
        Unexpected::UnrecognizedEof { .. } => tokens.len(),
        _ => tokens.partition_point(|token| token.start < start),
    };
    let at = at + tokens[at..].iter().take_while(|token| !is_same(token, error)).count();
    let place = Place { file, text, tokens, at, expected };
    place.explain()
}

/// Inserted tokens are empty, so that several can begin at one place.
fn is_same(token: &Token<'_>, error: &Unexpected<'_>) -> bool {
    match error {
        Unexpected::UnrecognizedToken { token: (_, tok, end), .. } => token.end == *end && token.tok == *tok,
        _ => true,
    }
}

impl<'t> Place<'t, '_> {
    fn explain(&self) -> Option<Diagnostic> {
        if matches!(self.found(), Some(Tok::Error | Tok::Skipped)) {
            return None;
        }
        if let Some(word) = self.found().and_then(Tok::reserved)
            && self.wants_name_only()
            && !self.at_line_start()
        {
            return Some(syntax::reserved_name(self.span(), word, repair::is_reserved(word)));
        }
        if let Some(missing) = self.missing() {
            return Some(missing);
        }
        Some(syntax::unexpected(self.span(), &self.found_words(), &self.expected_words(), self.hint()))
    }

    fn found(&self) -> Option<&Tok<'t>> {
        self.tokens.get(self.at).map(|token| &token.tok)
    }

    /// The `n`th token before.
    fn before(&self, n: usize) -> Option<&Token<'t>> {
        self.at.checked_sub(n).and_then(|index| self.tokens.get(index))
    }

    fn before_tok(&self, n: usize) -> Option<&Tok<'t>> {
        self.before(n).map(|token| &token.tok)
    }

    /// The place of the token, or that just after the last one.
    fn span(&self) -> Span {
        match self.tokens.get(self.at) {
            Some(token) => token.span(self.file),
            None => {
                let end = self.tokens.last().map_or(0, |last| last.end);
                Span { file: self.file, start: end, end }
            }
        }
    }

    fn at_line_start(&self) -> bool {
        let from = self.before(1).map_or(0, |before| before.end as usize);
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

    /// Whether nothing but a name, or what closes the list of names, can stand here.
    fn wants_name_only(&self) -> bool {
        self.expects("name") && !self.expects_value() && !self.expects_type()
    }

    /// The innermost bracket that is open here and the token before it.
    fn bracket(&self) -> Option<(&Tok<'t>, Option<&Tok<'t>>)> {
        let mut closed = 0_usize;
        for index in (0..self.at).rev() {
            match &self.tokens[index].tok {
                Tok::CloseParen | Tok::CloseBracket | Tok::CloseBrace => closed += 1,
                Tok::OpenParen | Tok::OpenBracket | Tok::OpenBrace if closed > 0 => closed -= 1,
                tok @ (Tok::OpenParen | Tok::OpenBracket | Tok::OpenBrace) => {
                    return Some((tok, index.checked_sub(1).map(|before| &self.tokens[before].tok)));
                }
                tok if tok.begins_item() => return None,
                _ => {}
            }
        }
        None
    }

    /// Mistakes that are something left out: they are shown where it should follow.
    fn missing(&self) -> Option<Diagnostic> {
        let before = self.before(1)?;
        let span = before.span(self.file);
        match &before.tok {
            Tok::Let if self.expects("name") => Some(syntax::missing_name(span, "let", "let llm = …")),
            Tok::Component if self.expects("name") => {
                Some(syntax::missing_name(span, "component", "component Chat(…) { … }"))
            }
            Tok::Graph if self.expects("name") => {
                Some(syntax::missing_name(span, "graph", "graph hello(prompt: text) -> text { … }"))
            }
            Tok::Route if self.expects("name") => {
                Some(syntax::missing_name(span, "route", "route talk = assistant(speech) -> voice"))
            }
            Tok::Equals if self.expects_value() => {
                Some(syntax::missing_value(span, "=", &self.found_words()))
            }
            Tok::Colon if self.expects_type() => Some(syntax::missing_type(span, &self.found_words())),
            Tok::Colon if self.expects_value() => Some(syntax::missing_value(span, ":", &self.found_words())),
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        let open = self.bracket();
        let opens = |wanted: &Tok<'_>| open.is_some_and(|(tok, _)| tok == wanted);
        let hint = match self.found() {
            Some(Tok::Equals) if opens(&Tok::OpenParen) => "a named argument has a colon: `max_tokens: 256`",
            Some(Tok::Equals) => "only `let name = …` binds; values cannot be changed",
            Some(Tok::Colon | Tok::Comma) if opens(&Tok::OpenBrace) && self.expects("}") => {
                "outputs with names are a record in braces of its own: `{ { reply, voice: say(reply) } }`"
            }
            Some(Tok::OpenBrace) if self.expects("->") => {
                "a graph says what it makes before its body: `-> text { … }`"
            }
            Some(Tok::OpenBrace | Tok::Arrow) if self.expects("(") => {
                "parameters stand in parentheses, also if there are none: `()`"
            }
            Some(Tok::OpenParen) if self.is_condition() => {
                "`when` takes names of optional inputs: `when photo { look(photo) }`"
            }
            Some(Tok::OpenParen) if self.expects_value() => {
                "parentheses stand only after what is called: `f(x)`"
            }
            Some(Tok::For) => "each item of a list: `[f(item) for item in items]`",
            Some(Tok::Less | Tok::Greater | Tok::AtMost | Tok::Plus) if self.expects("}") => {
                "the language does not compute; let a component do it"
            }
            Some(Tok::Question) => "`?` stands after a type, or after an input of a route",
            Some(Tok::Str(_)) if self.expects("->") => "a result is a type: `-> text`",
            _ if self.expects("->") && self.expects("{").eq(&false) && opens(&Tok::OpenParen).eq(&false) => {
                "what is made follows an arrow: `-> reply`"
            }
            _ if self.in_arguments(open.map(|(tok, _)| tok)) => "arguments and items are separated by commas",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// Whether this is in what follows `when`.
    fn is_condition(&self) -> bool {
        let mut back = 1;
        while let Some(tok) = self.before_tok(back) {
            match tok {
                Tok::When => return true,
                Tok::Comma | Tok::Dot => {}
                tok if tok.name().is_some() => {}
                _ => return false,
            }
            back += 1;
        }
        false
    }

    fn in_arguments(&self, open: Option<&Tok<'t>>) -> bool {
        let listed = matches!(open, Some(Tok::OpenParen | Tok::OpenBracket));
        listed && self.expects(",") && self.before_tok(1).is_some_and(Tok::ends_value)
    }

    /// What was found, for a message.
    fn found_words(&self) -> String {
        let Some(token) = self.tokens.get(self.at) else { return "the end of the file".to_owned() };
        match &token.tok {
            Tok::Str(_) => "a text".to_owned(),
            Tok::Doc(_) => "documentation".to_owned(),
            // Put in by `repair`: the place is where a bracket was missing.
            _ if token.start == token.end => "nothing".to_owned(),
            _ => syntax::quote(&self.text[token.start as usize..token.end as usize]),
        }
    }

    /// What was expected, for a message: few words, those of the grammar grouped.
    fn expected_words(&self) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let mut covered: Vec<&str> = vec!["error", "skipped", "doc", ";"];
        let mut group = |word: &str, terminals: &[&'static str]| {
            words.push(word.to_owned());
            covered.extend(terminals);
        };
        if self.expects_item() {
            group("an item (`use`, `let`, `component`, `graph` or `route`)", &ITEM);
        }
        if self.expects("needs") && self.expects("in") && self.expects("out") {
            group("a line of the component (`in`, `out`, `run`, `needs` or `batch`)", &CLAUSE);
        }
        if self.expects_value() {
            group(
                if self.expects("let") && !self.expects_item() { "`let` or a value" } else { "a value" },
                &VALUE,
            );
            covered.push("let");
        } else if self.expects_type() {
            group("a type", &TYPE);
        } else if self.expects("quantity") {
            group("a number", &["int", "float", "quantity", "name"]);
            covered.extend(NAME);
        } else if self.expects("name") {
            group("a name", &NAME);
        }
        // What continues a value or a type is always possible and seldom what was meant.
        let continues = [".", "(", "max", "window", "<", "::", "+"];
        let rest: Vec<&str> = self
            .expected
            .iter()
            .map(|terminal| terminal.trim_matches('"'))
            .filter(|terminal| !covered.contains(terminal))
            .collect();
        let closing: Vec<&str> =
            rest.iter().copied().filter(|terminal| !continues.contains(terminal)).collect();
        let shown = if closing.is_empty() && words.is_empty() { rest } else { closing };
        words.extend(shown.into_iter().take(MOST_EXPECTED).map(in_words));
        words
    }
}

/// At most so many things that could have stood somewhere are listed one by one.
const MOST_EXPECTED: usize = 4;

const ITEM: [&str; 5] = ["use", "let", "component", "graph", "route"];
const CLAUSE: [&str; 5] = ["in", "out", "run", "needs", "batch"];
const NAME: [&str; 7] = ["name", "run", "needs", "batch", "within", "max", "window"];
const TYPE: [&str; 5] = ["name", "enum", "{", "int", "float"];
const VALUE: [&str; 16] = [
    "name", "run", "needs", "batch", "within", "max", "window", "string", "int", "float", "quantity", "true",
    "false", "[", "{", "when",
];

fn in_words(terminal: &str) -> String {
    match terminal {
        "string" => "a text in quotes".to_owned(),
        "name" => "a name".to_owned(),
        "int" => "an integer".to_owned(),
        "float" | "quantity" => "a number".to_owned(),
        other => format!("`{other}`"),
    }
}
