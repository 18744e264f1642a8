//! What can stand where in a block of the deployment.

use super::begins_anew;
use crate::diagnostic::{Diagnostic, nearest, syntax};
use crate::source::Span;
use crate::syntax::repair::Tokens;
use crate::syntax::token::{Tok, Token};

/// A word and its token.
type Word = (&'static str, Tok<'static>);

const PARTS: [Word; 2] = [("node", Tok::Node), ("link", Tok::Link)];
const NODE: [Word; 3] = [("cpu", Tok::Cpu), ("memory", Tok::Memory), ("gpu", Tok::Gpu)];
const GPU: [Word; 1] = [("memory", Tok::Memory)];
const SETTINGS: [Word; 6] = [
    ("replicas", Tok::Replicas),
    ("tensor_parallel", Tok::TensorParallel),
    ("with", Tok::With),
    ("apart", Tok::Apart),
    ("on", Tok::On),
    ("auto", Tok::Auto),
];
const LINES: [Word; 5] = [
    ("openai", Tok::Openai),
    ("grpc", Tok::Grpc),
    ("kserve", Tok::Kserve),
    ("limit", Tok::Limit),
    ("deadline", Tok::Deadline),
];
const EXPECTED: [Word; 3] = [("rate", Tok::Rate), ("burst", Tok::Burst), ("target", Tok::Target)];

/// What is read next in a block.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expects {
    /// A new line, or the end of the block.
    Line,
    /// The rest of a line that is read as it is.
    Rest,
    /// Names of components, then a colon.
    Names,
    /// A setting.
    Setting,
    /// What the setting or line is set to.
    Value,
    /// A comma and more of the same, or a new line.
    More,
}

/// A block while it is read.
pub(super) struct Block<'b, 't> {
    tokens: &'b Tokens<'t>,
    found: &'b mut Vec<Diagnostic>,
    kept: &'b mut Vec<Token<'t>>,
    item: Tok<'static>,
    expects: Expects,
    depth: usize,
}

impl<'b, 't> Block<'b, 't> {
    pub(super) fn new(
        tokens: &'b Tokens<'t>,
        found: &'b mut Vec<Diagnostic>,
        kept: &'b mut Vec<Token<'t>>,
        item: Tok<'static>,
    ) -> Self {
        Self { tokens, found, kept, item, expects: Expects::Line, depth: 0 }
    }

    /// Reads the item that begins at `index`, and returns where the next one does.
    pub(super) fn read(mut self, mut index: usize) -> usize {
        self.keep(index, self.item.clone());
        index += 1;
        while let Some(tok) = self.tokens.get(index) {
            if tok.begins_item() || (self.depth > 0 && begins_anew(self.tokens, index)) {
                return index;
            }
            if self.depth == 0 && self.has_no_brace(index) {
                let before = index.checked_sub(1).map_or(0, |before| self.tokens.all[before].end);
                let span = Span { file: self.tokens.file, start: before, end: before };
                self.found.push(syntax::deploy::missing_brace(span, self.shown(index)));
                self.kept.push(Token { tok: Tok::OpenBrace, start: before, end: before });
                self.depth = 1;
            }
            if self.depth == 0
                && (*tok == Tok::Let || (self.tokens.is_fresh(index) && !self.is_header(index)))
            {
                return index;
            }
            if tok.closes() && self.depth <= 1 {
                self.push(index);
                return index + 1;
            }
            index = match tok.name() {
                _ if self.depth == 0 => self.header(index),
                _ if self.depth == 1 => self.line(index),
                Some(word) if self.item == Tok::Cluster => self.in_node(index, word),
                _ => self.plain(index),
            };
        }
        index
    }

    fn before(&self) -> Option<&Tok<'t>> {
        self.kept.last().map(|token| &token.tok)
    }

    fn keep(&mut self, index: usize, tok: Tok<'t>) {
        self.kept.push(Token { tok, ..self.tokens.all[index].clone() });
    }

    fn push(&mut self, index: usize) {
        self.kept.push(self.tokens.all[index].clone());
    }

    /// Takes the token as it is.
    fn plain(&mut self, index: usize) -> usize {
        let tok = &self.tokens.all[index].tok;
        if tok.opens() {
            self.depth += 1;
        } else if tok.closes() {
            self.depth -= 1;
        }
        self.push(index);
        index + 1
    }

    /// Whether a line of the block begins although its brace was never opened.
    fn has_no_brace(&self, index: usize) -> bool {
        let is_complete = self.before().is_some_and(|before| before.name().is_some());
        let is_slip = self.item == Tok::Serve
            && self
                .tokens
                .get(index)
                .and_then(Tok::name)
                .is_some_and(|word| LINES.iter().all(|(known, _)| *known != word));
        is_complete && self.tokens.starts_line(index) && !is_slip && self.is_new_line(index)
    }

    fn shown(&self, index: usize) -> &str {
        let span = self.tokens.span(index);
        &self.tokens.text[span.start as usize..span.end as usize]
    }

    /// Whether a token of the header may stand at the beginning of a line.
    fn is_header(&self, index: usize) -> bool {
        let tok = self.tokens.get(index);
        let is_on = self.item == Tok::Place && tok == Some(&Tok::Name("on"));
        is_on || matches!(tok, Some(Tok::OpenBrace | Tok::For | Tok::Comma))
    }

    /// `place NAME, NAME on NAME`; the others have no words before their brace.
    fn header(&mut self, index: usize) -> usize {
        let tok = &self.tokens.all[index].tok;
        let is_said = self.kept.iter().rev().map(|token| &token.tok).take_while(|tok| **tok != Tok::Place);
        if self.item != Tok::Place || is_said.clone().any(|tok| *tok == Tok::On) {
            return self.plain(index);
        }
        let after_name = self.before().is_some_and(|before| before.name().is_some());
        let is_first = self.before() == Some(&Tok::Place);
        let is_last = self.tokens.get(index + 2) == Some(&Tok::OpenBrace);
        match tok {
            Tok::Name("on") if after_name || (is_first && is_last) => self.keep(index, Tok::On),
            Tok::In if after_name => {
                self.found.push(syntax::deploy::unknown_word(
                    self.tokens.span(index),
                    "in",
                    "place",
                    &["on"],
                    Some("on"),
                ));
                self.keep(index, Tok::On);
            }
            Tok::Name(word) if after_name => {
                let at = self.tokens.span(index);
                if *word == "at" || nearest(word, ["onto"]).is_some() {
                    self.found.push(syntax::deploy::unknown_word(at, word, "place", &["on"], Some("on")));
                    self.keep(index, Tok::On);
                } else {
                    self.found.push(syntax::deploy::place_without_on(at));
                    self.kept.push(Token { tok: Tok::On, start: at.start, end: at.start });
                    self.push(index);
                }
            }
            _ => return self.plain(index),
        }
        index + 1
    }

    /// A token directly in the block's braces.
    fn line(&mut self, index: usize) -> usize {
        let is_open = self.before() == Some(&Tok::OpenBrace);
        if is_open || self.is_new_line(index) {
            self.expects = Expects::Line;
        }
        if self.expects == Expects::More && self.tokens.get(index) != Some(&Tok::Comma) {
            self.expects = Expects::Line;
        }
        match self.item {
            Tok::Cluster => self.cluster(index),
            Tok::Place => self.place(index),
            Tok::Serve => self.serve(index),
            _ => self.workload(index),
        }
    }

    /// Whether a line begins here although the one before is not complete.
    fn is_new_line(&self, index: usize) -> bool {
        let is_rest = self.item == Tok::Place && self.tokens.get(index) == Some(&Tok::Star);
        let Some(word) = self.tokens.get(index).and_then(Tok::name) else { return is_rest };
        let goes_on = matches!(self.before(), Some(Tok::Comma | Tok::Arrow));
        self.tokens.starts_line(index)
            && match self.item {
                Tok::Cluster => self.begins_part(index, word),
                Tok::Place => self.is_entry(index) && !goes_on,
                Tok::Serve => nearest(word, LINES.map(|(known, _)| known)).is_some() && !goes_on,
                _ => word == "target" || word == "rate" || self.is_share(index),
            }
    }

    /// Begins a line with one of `words`, or with the nearest; takes the rest of the line out if none is near.
    fn begin(&mut self, index: usize, words: &[Word], what: &str) -> (usize, Option<Tok<'static>>) {
        self.keep(index, Tok::Line);
        let Some(word) = self.tokens.get(index).and_then(Tok::name) else {
            self.expects = Expects::Rest;
            return (self.plain(index), None);
        };
        if let Some(tok) = self.word(index, word, words, what) {
            return (index + 1, Some(tok));
        }
        let mut end = index + 1;
        let mut depth = 0_usize;
        while let Some(tok) = self.tokens.get(end) {
            let is_next = depth == 0 && self.tokens.starts_line(end);
            if tok.begins_item() || (depth == 0 && tok.closes()) || is_next {
                break;
            }
            depth = if tok.opens() { depth + 1 } else { depth - usize::from(tok.closes()) };
            end += 1;
        }
        self.kept.push(self.tokens.skipped(index, end));
        self.expects = Expects::Line;
        (end, None)
    }

    /// Keeps the one of `words` that is written or was meant; reports a slip, or that there is no such word.
    fn word(&mut self, index: usize, word: &str, words: &[Word], what: &str) -> Option<Tok<'static>> {
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let is_set = self.tokens.get(index + 1).is_some_and(is_number);
        let near = nearest(word, all.iter().copied()).or(match words {
            // Nothing else can be set here.
            [(only, _)] if is_set => Some(*only),
            _ => None,
        });
        if near != Some(word) {
            let span = self.tokens.span(index);
            self.found.push(syntax::deploy::unknown_word(span, word, what, &all, near));
        }
        let (_, tok) = words.iter().find(|(known, _)| Some(*known) == near)?;
        self.keep(index, tok.clone());
        Some(tok.clone())
    }

    /// `node NAME { … }` and `link NAME NAME NUMBER`.
    fn cluster(&mut self, index: usize) -> usize {
        if self.expects == Expects::Line {
            let (next, word) = self.begin(index, &PARTS, "cluster");
            if word.is_some() {
                self.expects = Expects::Rest;
            }
            return next;
        }
        // A node ends with its brace, a link with how fast it is.
        let tok = &self.tokens.all[index].tok;
        let is_end = is_number(tok) && self.tokens.get(index + 1).is_none_or(|tok| !is_number(tok));
        self.expects = if is_end || *tok == Tok::OpenBrace { Expects::Line } else { Expects::Rest };
        self.plain(index)
    }

    fn in_node(&mut self, index: usize, word: &'t str) -> usize {
        let mut before = self.kept.iter().rev().map(|token| &token.tok);
        let (last, gpu) = (before.next(), before.next() == Some(&Tok::Gpu));
        let next_is_number = self.tokens.get(index + 1).is_some_and(is_number);
        let is_kind = gpu && last.is_some_and(is_number) && !(word == "memory" && next_is_number);
        if is_kind || (last == Some(&Tok::Gpu) && word != "memory") {
            return self.plain(index);
        }
        if self.tokens.starts_line(index) && self.begins_part(index, word) {
            self.close_node(index);
            return self.line(index);
        }
        let after_kind = last.is_some_and(|last| last.name().is_some());
        let words: &[Word] = if after_kind { &GPU } else { &NODE };
        if self.word(index, word, words, "node").is_some() {
            return index + 1;
        }
        // With no word near, the word and what it is set to go.
        let end = index + 1 + usize::from(next_is_number);
        self.kept.push(self.tokens.skipped(index, end));
        end
    }

    /// Whether a node or a link begins, and not what a node has.
    fn begins_part(&self, index: usize, word: &str) -> bool {
        let is_named = self.tokens.get(index + 1).is_some_and(|tok| tok.name().is_some());
        is_named && PARTS.iter().any(|(known, _)| *known == word)
    }

    /// Closes the braces of a node that are still open where the next one begins.
    fn close_node(&mut self, index: usize) {
        let next = self.tokens.span(index);
        if let Some(open) = self.kept.iter().rposition(|token| token.tok == Tok::OpenBrace) {
            let open = self.kept[open].span(self.tokens.file);
            let text = &self.tokens.text[next.start as usize..next.end as usize];
            self.found.push(syntax::unclosed(open, '{', &[], Some((next, text))));
        }
        self.kept.push(Token { tok: Tok::CloseBrace, start: next.start, end: next.start });
        self.depth = 1;
        self.expects = Expects::Line;
    }

    /// `NAME, NAME : setting, setting`.
    fn place(&mut self, index: usize) -> usize {
        let tok = &self.tokens.all[index].tok;
        if self.expects == Expects::Line {
            if let Some(word) = tok.name()
                && !self.is_entry(index)
                && self.before() != Some(&Tok::OpenBrace)
                && SETTINGS.iter().any(|(known, _)| *known == word)
            {
                let at = self.tokens.span(index);
                self.found.push(syntax::deploy::missing_mark(at, ",", word));
                self.kept.push(Token { tok: Tok::Comma, start: at.start, end: at.start });
                self.expects = Expects::Setting;
                return self.setting(index, word);
            }
            self.keep(index, Tok::Line);
            self.expects = Expects::Names;
            return self.plain(index);
        }
        match (self.expects, tok.name()) {
            (Expects::Names, Some(word))
                if self.before().is_some_and(|before| before.name().is_some() || *before == Tok::Star)
                    && SETTINGS.iter().any(|(known, _)| *known == word) =>
            {
                let at = self.tokens.span(index);
                self.found.push(syntax::deploy::missing_mark(at, ":", word));
                self.kept.push(Token { tok: Tok::Colon, start: at.start, end: at.start });
                self.setting(index, word)
            }
            (Expects::Setting, Some(word)) => self.setting(index, word),
            _ => {
                self.expects = match (self.expects, tok) {
                    (Expects::Names, Tok::Colon) | (Expects::More, _) => Expects::Setting,
                    (Expects::Value, _) => Expects::More,
                    (expects, _) => expects,
                };
                self.plain(index)
            }
        }
    }

    fn setting(&mut self, index: usize, word: &'t str) -> usize {
        match self.word(index, word, &SETTINGS, "place") {
            Some(Tok::Apart | Tok::Auto) => self.expects = Expects::More,
            Some(_) => self.expects = Expects::Value,
            None => {
                let is_set = self.tokens.get(index + 1).is_some_and(is_number);
                let end = index + 1 + usize::from(is_set);
                self.kept.push(self.tokens.skipped(index, end));
                self.expects = Expects::More;
                return end;
            }
        }
        index + 1
    }

    /// Whether names and a colon follow.
    fn is_entry(&self, mut index: usize) -> bool {
        while self.tokens.get(index).is_some_and(|tok| tok.name().is_some()) {
            match self.tokens.get(index + 1) {
                Some(Tok::Colon) => return true,
                Some(Tok::Comma) => index += 2,
                _ => return false,
            }
        }
        false
    }

    /// `openai … -> NAME, …`, `limit NAME NUMBER, …`, `deadline NUMBER`, and words alone.
    fn serve(&mut self, index: usize) -> usize {
        let tok = &self.tokens.all[index].tok;
        if self.expects == Expects::Line {
            let (next, word) = self.begin(index, &LINES, "serve");
            self.expects = match word {
                Some(Tok::Openai | Tok::Limit | Tok::Deadline) => Expects::Rest,
                _ => Expects::Line,
            };
            return next;
        }
        let is_route = self.before() == Some(&Tok::Arrow);
        self.expects = if *tok == Tok::Comma {
            Expects::Rest
        } else if is_route || is_number(tok) {
            Expects::More
        } else {
            self.expects
        };
        self.plain(index)
    }

    /// `rate NUMBER burst NUMBER`, `NAME 60% { … }`, `target …`.
    fn workload(&mut self, index: usize) -> usize {
        let tok = &self.tokens.all[index].tok;
        match (self.expects, tok.name()) {
            (Expects::Line, Some(word))
                if self.before().is_some_and(is_number) && self.is_burst(index, word) =>
            {
                self.word(index, word, &EXPECTED[1..2], "workload");
                self.expects = Expects::Value;
                return index + 1;
            }
            (Expects::Line, Some(_)) if self.is_share(index) => {
                self.keep(index, Tok::Line);
                self.expects = Expects::Rest;
            }
            (Expects::Line, _) => {
                let (next, word) = self.begin(index, &EXPECTED, "workload");
                self.expects = match word {
                    Some(Tok::Rate | Tok::Burst) => Expects::Value,
                    Some(_) => Expects::Rest,
                    None => self.expects,
                };
                return next;
            }
            (Expects::Value, _) => self.expects = Expects::Line,
            (Expects::More, _) => self.expects = Expects::Rest,
            // A target ends with its percentile, which follows a number.
            (_, Some(_)) if self.before().is_some_and(is_number) => self.expects = Expects::More,
            _ if *tok == Tok::OpenBrace => self.expects = Expects::Line,
            _ => {}
        }
        self.plain(index)
    }

    /// Whether `word` is `burst`, or a slip of it.
    fn is_burst(&self, index: usize, word: &str) -> bool {
        nearest(word, ["burst"]).is_some()
            && !self.is_share(index)
            && self.tokens.get(index + 1).is_some_and(is_number)
    }

    /// Whether a route and its share of the requests follow.
    fn is_share(&self, index: usize) -> bool {
        let opens = self.tokens.get(index + 2) == Some(&Tok::OpenBrace);
        let is_word = self.tokens.get(index).and_then(Tok::name);
        let is_word = EXPECTED.iter().any(|(known, _)| Some(*known) == is_word);
        match self.tokens.get(index + 1) {
            Some(Tok::Quantity((_, "%"))) => opens || !is_word,
            Some(Tok::OpenBrace) => true,
            Some(tok) => is_number(tok) && opens,
            None => false,
        }
    }
}

const fn is_number(tok: &Tok<'_>) -> bool {
    matches!(tok, Tok::Int(_) | Tok::Float(_) | Tok::Quantity(_))
}
