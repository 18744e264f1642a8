//! What holds for every well-typed program: it compiles, to the same bytes each time, and its plan is
//! verified and read back from its text.
//!
//! Graphs have a text but no parser: it is for reading, and nothing else is made of it. So it is only
//! held to be the same each time.

#[allow(dead_code, reason = "the harness has more than is used here")]
mod harness;

use std::fmt::Write;

use corn_compiler::Emit;
use corn_plan::{Plan, verify};
use harness::compile_text;
use proptest::prelude::*;

/// A statement: what it does, and which of the values so far it reads.
type Choice = (u8, usize, usize);

/// The values so far, by type.
struct Program {
    body: String,
    texts: Vec<String>,
    streams: Vec<String>,
    lists: Vec<String>,
    /// Texts that exist only where `note` does.
    maybe: Vec<String>,
    numbers: Vec<String>,
    next: usize,
}

impl Program {
    fn new() -> Self {
        let one = |name: &str| vec![name.to_owned()];
        Self {
            body: String::new(),
            texts: one("words"),
            streams: Vec::new(),
            lists: one("parts"),
            maybe: Vec::new(),
            numbers: Vec::new(),
            next: 0,
        }
    }

    fn bind(&mut self, made: &str) -> String {
        let name = format!("v{}", self.next);
        self.next += 1;
        let _ = writeln!(self.body, "    let {name} = {made}");
        name
    }

    fn statement(&mut self, (what, a, b): Choice) {
        let pick = |of: &[String], place: usize| of[place % of.len()].clone();
        let (x, y) = (pick(&self.texts, a), pick(&self.texts, b));
        match what {
            0 => {
                let made = self.bind(&format!("upper({x})"));
                self.texts.push(made);
            }
            1 => {
                let made = self.bind(&format!("join({x}, {y}, \"and\")"));
                self.texts.push(made);
            }
            2 => {
                let made = self.bind(&format!("words_of({x})"));
                self.streams.push(made);
            }
            3 if !self.streams.is_empty() => {
                let made = self.bind(&format!("shout({})", pick(&self.streams, b)));
                self.streams.push(made);
            }
            4 if !self.streams.is_empty() => {
                let made = self.bind(&format!("{}.collect(max: 8KiB)", pick(&self.streams, b)));
                self.texts.push(made);
            }
            5 => {
                let made = self.bind(&format!("{x}.sentences()"));
                self.streams.push(made);
            }
            6 => {
                let made = self.bind(&format!("[upper(part) for part in {}]", pick(&self.lists, b)));
                self.lists.push(made);
            }
            7 => {
                let made = self.bind("when note { upper(note) }");
                self.maybe.push(made);
            }
            8 if !self.maybe.is_empty() => {
                let made = self.bind(&format!("upper(join({x}, {}))", pick(&self.maybe, b)));
                self.texts.push(made);
            }
            9 => {
                let made = self.bind(&format!("twice({x}, {y})"));
                self.texts.push(format!("{made}.one"));
                self.streams.push(format!("{made}.other"));
            }
            10 => {
                let made = self.bind(&format!("count({x})"));
                self.numbers.push(made);
            }
            _ => {
                let made = self.bind(&format!("[upper({x}), upper({y})]"));
                self.lists.push(made);
            }
        }
    }

    /// The program with the values made last as outputs, and with routes if `routed`.
    fn text(&self, routed: bool) -> String {
        // What is equal is shared, and no value is two outputs: so one of each type, apart from streams,
        // which two calls never share.
        let made = |of: &[String], most: usize, call: &str| -> Vec<String> {
            let last = of.iter().rev().filter(|name| name.starts_with('v')).take(most);
            last.map(|name| if call.is_empty() { name.clone() } else { format!("{call}({name})") }).collect()
        };
        let groups: [(&str, Vec<String>); 5] = [
            ("text", made(&self.texts, 1, "upper")),
            ("stream<text>", made(&self.streams, 3, "shout")),
            ("list<text> max 16", made(&self.lists, 1, "")),
            ("text?", made(&self.maybe, 1, "")),
            ("int", made(&self.numbers, 1, "")),
        ];
        let mut outputs: Vec<(String, String)> = vec![("text".to_owned(), "upper(words)".to_owned())];
        for (ty, names) in groups {
            outputs.extend(names.into_iter().map(|name| (ty.to_owned(), name)));
        }
        let mut text = "use std::reference::{Upper, Words, Shout, Count}\n".to_owned();
        text.push_str(
            "let upper = Upper()\nlet words_of = Words()\nlet shout = Shout()\nlet count = Count()\n",
        );
        text.push_str("graph twice(a: text, b: text) -> { one: text, other: stream<text> } {\n");
        text.push_str("    let both = upper(join(a, b))\n    { one: both, other: words_of(both) }\n}\n");
        text.push_str(
            "graph made(words: text max 4KiB, parts: list<text max 1KiB> max 4, note: text?) -> {\n",
        );
        for (place, (ty, _)) in outputs.iter().enumerate() {
            // Some outputs are made only if asked for.
            let asked = if place % 5 == 2 && !ty.ends_with('?') { "?" } else { "" };
            let _ = writeln!(text, "    out{place}: {ty}{asked},");
        }
        let _ = writeln!(text, "}} {{\n{}    {{", self.body);
        for (place, (_, name)) in outputs.iter().enumerate() {
            let _ = writeln!(text, "        out{place}: {name},");
        }
        text.push_str("    }\n}\n");
        if routed {
            let all = (0..outputs.len()).map(|place| format!("out{place}")).collect::<Vec<_>>().join(" + ");
            let _ = writeln!(text, "route all = made(words, parts, note) -> {all}");
        }
        text
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_well_typed_program_has_one_plan_that_holds(
        choices in prop::collection::vec((0u8..12, 0usize..32, 0usize..32), 0..24),
        routed in any::<bool>(),
    ) {
        let mut program = Program::new();
        for choice in choices {
            program.statement(choice);
        }
        let text = program.text(routed);
        let made = compile_text("made.corn", &text);
        let Some(plan) = &made.plan else { panic!("{text}\n{}", made.render(false)) };
        prop_assert_eq!(&Plan::parse(&plan.plan().to_text()).unwrap(), plan.plan());
        prop_assert_eq!(verify(plan.plan().clone()).unwrap().hash(), plan.hash());
        let again = compile_text("made.corn", &text);
        for stage in [Emit::Ast, Emit::Graph, Emit::Specialized, Emit::Placed, Emit::Plan] {
            prop_assert_eq!(made.emit(stage), again.emit(stage));
        }
    }
}
