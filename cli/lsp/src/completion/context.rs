//! Where in a program a position stands, told by the tokens before it: while a line is typed,
//! there is seldom a tree to ask.

use corn_compiler::syntax::{Lexeme, LexemeKind, lexemes};

/// What may come next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    /// Nothing that could be known: a new name, a number, a comment.
    Nothing,
    /// An item of the file.
    Item,
    /// A module's next part, after `path`, or a name of module `path`.
    Path { path: Vec<String> },
    /// A name of module `path`, apart from those that are taken already.
    Taken { path: Vec<String>, given: Vec<String> },
    /// What a value that ends at byte `base` has after its dot.
    Field { base: u32 },
    /// The type of a value.
    Type,
    /// The type of a component's parameter.
    ParameterType,
    /// The type of an item of a stream or list.
    ItemType,
    /// The type of a tensor's elements.
    Dtype,
    /// A line of a component.
    Clause,
    /// What runs a component.
    Executor,
    /// What `executor` runs; the position is in quotes.
    Entry { executor: String },
    /// What a component may need.
    Resource,
    /// A cluster.
    Cluster,
    /// A component that was made.
    Instance,
    /// A graph that a route asks, or that is deployed.
    RouteGraph,
    /// An input of the graph whose name stands at byte `graph`.
    RouteInput { graph: u32, given: Vec<String> },
    /// An output of that graph.
    RouteOutput { graph: u32, given: Vec<String> },
    /// An argument of what stands at byte `callee`; `given` are those named so far, and so many
    /// stand before by position.
    Argument { callee: u32, given: Vec<String>, before: usize },
    /// The value of argument `name` of what stands at byte `callee`; maybe in quotes.
    Named { callee: u32, name: String },
    /// A bound or a count: a number, or the name of one.
    Amount,
    /// A value.
    Value,
    /// A value or a binding.
    Statement,
    /// A value that may be absent.
    Present,
    /// A field of a record.
    RecordField,
}

/// Where the position is.
#[derive(Debug)]
pub(crate) struct Cursor<'t> {
    text: &'t str,
    /// The tokens before the word at the position.
    before: Vec<Lexeme>,
    /// The first byte of that word, or the position.
    pub(crate) start: usize,
    /// Whether the position is in quotes.
    pub(crate) is_quoted: bool,
}

/// A bracket that is open at the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Names,
    Place,
    ComponentParams,
    ComponentBody,
    GraphParams,
    GraphResult,
    RouteInputs,
    /// A call, with the number of the token before its bracket.
    Call(usize),
    Block,
    Arms,
    Record,
    List,
    Other,
}

impl<'t> Cursor<'t> {
    /// `None` inside a comment or number.
    pub(crate) fn new(text: &'t str, offset: usize) -> Option<Self> {
        let mut before = lexemes(text);
        let at = before.partition_point(|token| (token.start as usize) < offset);
        before.truncate(at);
        let last = before.last().copied();
        let end = last.map_or(0, |token| token.end as usize).min(offset);
        if text.get(end..offset)?.contains("//") {
            return None;
        }
        let mut cursor = Self { text, before, start: offset, is_quoted: false };
        let Some(last) = last.filter(|token| token.end as usize >= offset) else { return Some(cursor) };
        match last.kind {
            LexemeKind::Name | LexemeKind::Reserved => cursor.start = last.start as usize,
            LexemeKind::Text if last.end as usize > offset || !cursor.is_closed(last) => {
                let quote = text[last.start as usize..].chars().next().map_or(0, char::len_utf8);
                cursor.start = (last.start as usize + quote).min(offset);
                cursor.is_quoted = true;
            }
            LexemeKind::Number | LexemeKind::Doc => return None,
            LexemeKind::Text | LexemeKind::Sign | LexemeKind::Error => return Some(cursor),
        }
        cursor.before.pop();
        Some(cursor)
    }

    fn is_closed(&self, token: Lexeme) -> bool {
        token.end - token.start > 1 && self.said(token).ends_with('"')
    }

    fn said(&self, token: Lexeme) -> &'t str {
        self.text.get(token.start as usize..token.end as usize).unwrap_or_default()
    }

    /// The word that begins at byte `start`.
    pub(crate) fn word_at(&self, start: u32) -> &'t str {
        let found = self.before.binary_search_by_key(&start, |token| token.start);
        found.map_or("", |number| self.word(Some(number)))
    }

    /// What token `number` says; nothing before the first.
    fn word(&self, number: Option<usize>) -> &'t str {
        number.and_then(|number| self.before.get(number)).map_or("", |token| self.said(*token))
    }

    /// The words of the item at the position that are bound there, for want of a tree: `let a`,
    /// `name:`.
    pub(crate) fn bound(&self) -> Vec<&'t str> {
        let begin = self.before.iter().rposition(|token| begins_item(self.said(*token))).unwrap_or(0);
        let is_graph = self.word(Some(begin)) == "graph";
        // A graph's inputs stand before its result.
        let body = self.before[begin..].iter().position(|token| self.said(*token) == "->");
        let body = if is_graph { begin + body.unwrap_or(self.before.len() - begin) } else { begin };
        let numbers = begin..self.before.len();
        let names = numbers.filter(|number| {
            let is_let = matches!(self.word(number.checked_sub(1)), "let" | "for");
            let is_param = *number < body && self.word(Some(number + 1)) == ":";
            self.before[*number].kind == LexemeKind::Name && (is_let || is_param)
        });
        let mut names: Vec<_> = names.map(|number| self.word(Some(number))).collect();
        if self.is_in_binding() {
            names.pop();
        }
        names
    }

    /// Whether the value of the last `let` is not at its end.
    fn is_in_binding(&self) -> bool {
        let Some(last) = self.before.iter().rposition(|token| self.said(*token) == "let") else {
            return false;
        };
        let words = || self.before[last..].iter().map(|token| self.said(*token));
        let opened = words().filter(|said| matches!(*said, "(" | "[" | "{")).count();
        let closed = words().filter(|said| matches!(*said, ")" | "]" | "}")).count();
        opened > closed || self.word(self.before.len().checked_sub(1)) == "="
    }

    /// The names with dots between that end at byte `end`: `a.b` is `["a", "b"]`.
    pub(crate) fn dotted(&self, end: u32) -> Vec<&'t str> {
        let mut names = Vec::new();
        let mut last = self.before.iter().position(|token| token.end == end);
        while let Some(number) = last.filter(|number| self.before[*number].kind == LexemeKind::Name) {
            names.insert(0, self.word(Some(number)));
            let dot = number.checked_sub(1).filter(|dot| self.word(Some(*dot)) == ".");
            let Some(dot) = dot else { return names };
            last = dot.checked_sub(1);
        }
        Vec::new()
    }

    /// What may come next.
    pub(crate) fn context(&self) -> Context {
        let mut item = "";
        let mut begin = 0;
        let mut open: Vec<(Open, usize)> = Vec::new();
        for (number, token) in self.before.iter().enumerate() {
            let said = self.said(*token);
            match said {
                // Words of the deployment half begin an item only where one can begin.
                "cluster" | "place" | "serve" | "workload" if open.is_empty() && !self.continues(number) => {
                    (item, begin) = (said, number);
                }
                "let" if open.is_empty() => (item, begin) = (said, number),
                _ if begins_item(said) => {
                    open.clear();
                    (item, begin) = (said, number);
                }
                "(" | "[" | "{" => open.push((self.opened(item, open.is_empty(), number), number)),
                ")" | "]" | "}" => {
                    let closed = open.pop().map(|(open, _)| open);
                    let ends = matches!(closed, Some(Open::ComponentBody | Open::Names | Open::Place))
                        || (open.is_empty() && matches!(item, "cluster" | "serve" | "workload"))
                        || (closed == Some(Open::Block) && open.is_empty());
                    if ends {
                        item = "";
                    }
                }
                _ => {}
            }
        }
        let last = self.before.len().checked_sub(1);
        let previous = self.word(last);
        if previous == "." {
            let base = last.and_then(|last| last.checked_sub(1)).map(|base| self.before[base].end);
            return base.map_or(Context::Nothing, |base| Context::Field { base });
        }
        match open.last() {
            None => self.at_the_top(item, begin, previous),
            Some((kind, at)) => self.inside(*kind, *at, begin, previous),
        }
    }

    /// Whether token `number` can only go on with what stands before it.
    fn continues(&self, number: usize) -> bool {
        let before = self.word(number.checked_sub(1));
        matches!(
            before,
            "=" | "->" | "+" | "." | "::" | "use" | "let" | "component" | "graph" | "route" | "for" | "on"
        )
    }

    /// What the bracket at token `number` opens.
    fn opened(&self, item: &str, at_the_top: bool, number: usize) -> Open {
        let (said, before) = (self.word(Some(number)), number.checked_sub(1));
        match (item, said) {
            ("use", "{") => Open::Names,
            ("place", "{") => Open::Place,
            ("cluster" | "serve" | "workload", _) => Open::Other,
            ("route", "(") if at_the_top => Open::RouteInputs,
            ("component", "(") if at_the_top => Open::ComponentParams,
            ("component", "{") if at_the_top => Open::ComponentBody,
            ("graph", "(") if at_the_top => Open::GraphParams,
            ("graph", "{") if at_the_top && self.word(before) == "->" => Open::GraphResult,
            ("graph", "{") if at_the_top => Open::Block,
            (_, "[") => Open::List,
            (_, "(") => match before.map(|before| self.before[before].kind) {
                Some(LexemeKind::Name) => Open::Call(before.unwrap_or_default()),
                _ => Open::Other,
            },
            (_, "{") => self.braces(number),
            _ => Open::Other,
        }
    }

    /// A block comes after its construct's word, a record where a value can begin.
    fn braces(&self, number: usize) -> Open {
        let mut depth = 0usize;
        for before in (0..number).rev() {
            match self.word(Some(before)) {
                "when" | "if" | "loop" if depth == 0 => return Open::Block,
                "else" | "=>" if before + 1 == number => return Open::Block,
                "match" | "switch" if depth == 0 => return Open::Arms,
                ")" | "]" | "}" => depth += 1,
                "(" | "[" | "{" | "let" | "=>" if depth == 0 => return Open::Record,
                "(" | "[" | "{" => depth -= 1,
                _ => {}
            }
        }
        Open::Record
    }

    fn at_the_top(&self, item: &str, begin: usize, previous: &str) -> Context {
        match (item, previous) {
            ("use", "use" | "::") => Context::Path { path: self.path(begin) },
            ("route", "->" | "+") => {
                let given = self.names_after(begin, "->");
                Context::RouteOutput { graph: self.route_graph(begin), given }
            }
            ("let", "=") => Context::Value,
            ("route", "=") | ("place", "place" | ",") | ("serve", "serve") | ("workload", "for") => {
                Context::RouteGraph
            }
            ("place", "on") => Context::Cluster,
            ("place" | "serve" | "workload" | "cluster", _) => Context::Nothing,
            ("graph", "->") => Context::Type,
            ("graph" | "component", "<") => self.argument_type(),
            (_, "let" | "component" | "graph" | "route" | "::" | "=" | "+") | ("graph" | "component", _) => {
                Context::Nothing
            }
            _ => Context::Item,
        }
    }

    /// Inside the bracket of this sort at token `at`.
    fn inside(&self, open: Open, at: usize, begin: usize, previous: &str) -> Context {
        match (open, previous) {
            (Open::Names, "{" | ",") => {
                Context::Taken { path: self.path(begin), given: self.names_after(at, "{") }
            }
            (Open::ComponentParams, ":") => Context::ParameterType,
            (Open::GraphParams | Open::GraphResult, ":") => Context::Type,
            (Open::ComponentParams | Open::GraphParams | Open::GraphResult | Open::ComponentBody, "<") => {
                self.argument_type()
            }
            (Open::ComponentParams | Open::GraphParams | Open::GraphResult, "max" | "window") => {
                Context::Amount
            }
            (Open::ComponentBody, _) => self.clause(at, previous),
            (Open::Place, "{" | "with" | ",") => Context::Instance,
            (Open::RouteInputs, "(" | ",") => {
                Context::RouteInput { graph: self.route_graph(begin), given: self.names_after(at, "(") }
            }
            (Open::RouteInputs, ":") => {
                let name = self.before.len().checked_sub(2);
                Context::Named { callee: self.route_graph(begin), name: self.word(name).to_owned() }
            }
            (Open::Call(callee), "(" | ",") => self.argument(callee, at),
            (Open::Call(callee), ":") => {
                let name = self.before.len().checked_sub(2);
                Context::Named { callee: self.before[callee].start, name: self.word(name).to_owned() }
            }
            (Open::Block, "when") => Context::Present,
            (Open::Block, ",") if self.clause_word(at, &["when"]) => Context::Present,
            (Open::ComponentParams | Open::GraphParams | Open::Block, "=")
            | (Open::Block, "if" | "match" | "switch" | "until" | "in" | "max")
            | (Open::Record, ":")
            | (Open::List, "[" | "," | "in")
            | (Open::Arms, "=>") => Context::Value,
            (Open::Block, "let" | "loop") => Context::Nothing,
            (Open::Block, _) => Context::Statement,
            (Open::Record, "{" | ",") => Context::RecordField,
            _ => Context::Nothing,
        }
    }

    /// What stands between the angles of a type.
    fn argument_type(&self) -> Context {
        match self.word(self.before.len().checked_sub(2)) {
            "tensor" => Context::Dtype,
            "audio" => Context::Amount,
            _ => Context::ItemType,
        }
    }

    fn argument(&self, callee: usize, at: usize) -> Context {
        let (mut given, mut before, mut depth) = (Vec::new(), 0, 0usize);
        for number in at + 1..self.before.len() {
            match self.word(Some(number)) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                ":" if depth == 0 => given.push(self.word(number.checked_sub(1)).to_owned()),
                "," if depth == 0 => before += 1,
                _ => {}
            }
        }
        let before = before - given.len().min(before);
        Context::Argument { callee: self.before[callee].start, given, before }
    }

    fn clause(&self, at: usize, previous: &str) -> Context {
        match previous {
            ":" => Context::Type,
            "run" => Context::Executor,
            "needs" => Context::Resource,
            "," if self.clause_word(at, &["needs"]) => Context::Resource,
            "in" | "out" | "=" => Context::Nothing,
            "batch" | "within" | "max" | "window" => Context::Amount,
            _ if self.is_quoted => match self.before.len().checked_sub(2) {
                Some(run) if self.word(Some(run)) == "run" => {
                    Context::Entry { executor: previous.to_owned() }
                }
                _ => Context::Nothing,
            },
            // After the name of an executor comes its entry, after that of a resource its amount.
            _ if matches!(self.word(self.before.len().checked_sub(2)), "run" | "in" | "out") => {
                Context::Nothing
            }
            _ if self.clause_word(at, &["needs"]) && self.is_name_last() => Context::Amount,
            _ => Context::Clause,
        }
    }

    fn is_name_last(&self) -> bool {
        self.before.last().is_some_and(|token| token.kind == LexemeKind::Name)
            && matches!(self.word(self.before.len().checked_sub(2)), "," | "needs")
    }

    /// Whether the last of the words that begin something after token `at` is one of `words`.
    fn clause_word(&self, at: usize, words: &[&str]) -> bool {
        const WORDS: [&str; 9] = ["in", "out", "run", "needs", "batch", "let", "when", "=", "{"];
        let mut after = (at + 1..self.before.len()).rev().map(|number| self.word(Some(number)));
        after.find(|said| WORDS.contains(said)).is_some_and(|said| words.contains(&said))
    }

    /// The path of the `use` at token `begin`.
    fn path(&self, begin: usize) -> Vec<String> {
        let words = self.before[begin + 1..].iter().map(|token| self.said(*token));
        words.take_while(|said| *said != "{").filter(|said| *said != "::").map(str::to_owned).collect()
    }

    /// The names after the first `sign` from token `begin` on.
    fn names_after(&self, begin: usize, sign: &str) -> Vec<String> {
        let tokens = self.before[begin..].iter().skip_while(|token| self.said(**token) != sign);
        let names = tokens.filter(|token| token.kind == LexemeKind::Name);
        names.map(|token| self.said(*token).to_owned()).collect()
    }

    /// Where the graph of the route at token `begin` is named.
    fn route_graph(&self, begin: usize) -> u32 {
        let mut tokens = self.before[begin..].iter().skip_while(|token| self.said(**token) != "=");
        tokens.nth(1).map_or(0, |token| token.start)
    }
}

fn begins_item(word: &str) -> bool {
    matches!(word, "use" | "component" | "graph" | "route")
}
