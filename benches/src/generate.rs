//! Writes a `.corn` program of a given size.
//!
//! The program has one graph of about `nodes` nodes and `routes` routes, each with an output of its
//! own. Part of the graph is a core that routes share; the rest is parts, one for each output. Both
//! are made of motifs in turn: a call, a `join` of two earlier texts, a stream that is made, read
//! and collected, a comprehension over pictures that may be absent, a list of texts, and a call of
//! another graph. Every seventh part keeps its output as a stream. So no two recordings are alike, and
//! together they have every node.

use std::fmt::Write;

/// How much of the graph each route has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A quarter of the nodes are shared, and each route has another stretch of them: what a program
    /// of many models looks like.
    Spread,
    /// More than half of the nodes are on every route.
    Dense,
}

/// A generated program.
#[derive(Clone, Debug)]
pub struct Generated {
    /// Its text.
    pub text: String,
    /// Nodes of its graph after inlining, inputs and constants included.
    pub nodes: usize,
}

/// Routes of a program of `nodes` nodes: 64, or fewer where the nodes would not do for so many.
pub fn routes(nodes: usize) -> usize {
    (nodes / 8).clamp(1, 64)
}

/// A program with one graph of `nodes` nodes, or a few more, and `routes` routes.
pub fn generated(nodes: usize, routes: usize, shape: Shape) -> Generated {
    let shared = match shape {
        Shape::Spread => nodes / 4,
        Shape::Dense => nodes * 3 / 4,
    };
    let mut writer = Writer { body: String::new(), texts: vec!["prompt".to_owned()], nodes: 3, motif: 0 };
    while writer.nodes < shared {
        writer.motif("core");
    }
    let core = writer.texts.clone();
    let mut outputs = Vec::new();
    for part in 0..routes {
        let from = match shape {
            Shape::Spread => (core.len() * (part + 1) / routes).max(1) - 1,
            Shape::Dense => core.len() - 1 - part % (core.len() / 8).max(1),
        };
        let goal = shared + (nodes - shared) * (part + 1) / routes;
        outputs.push(writer.part(part, &core[from], goal));
    }
    Generated { text: program(&writer.body, &outputs), nodes: writer.nodes }
}

/// An output of the graph.
struct Made {
    output: String,
    is_stream: bool,
    /// Whether its own part looks at pictures.
    photos: bool,
}

/// Writes the graph's body.
struct Writer {
    body: String,
    /// Names of the texts so far that the next motif may read, the newest last.
    texts: Vec<String>,
    nodes: usize,
    motif: usize,
}

impl Writer {
    /// The nodes between the core's text `from` and an output; what they make.
    fn part(&mut self, part: usize, from: &str, goal: usize) -> Made {
        self.texts = vec![from.to_owned()];
        let start = self.body.len();
        let name = format!("part{part}_");
        loop {
            self.motif(&name);
            if self.nodes >= goal {
                break;
            }
        }
        let last = self.text(0);
        let output = format!("out{part}");
        let is_stream = part.is_multiple_of(7);
        let made = if is_stream { format!("shout(words({last}))") } else { format!("upper({last})") };
        self.nodes += if is_stream { 2 } else { 1 };
        self.write(&output, &made);
        let photos = self.body[start..].contains("photos");
        Made { output, is_stream, photos }
    }

    /// The text made `back` motifs ago, or the first.
    fn text(&self, back: usize) -> String {
        self.texts[self.texts.len().saturating_sub(back + 1)].clone()
    }

    fn motif(&mut self, prefix: &str) {
        let number = self.motif;
        self.motif += 1;
        let (last, earlier) = (self.text(0), self.text(3));
        let name = format!("{prefix}{number}");
        let (made, nodes) = match number % 6 {
            0 => (format!("upper({last})"), 1),
            1 => (format!("trim(join({last}, {earlier}))"), 2),
            2 => {
                self.write(&format!("{name}s"), &format!("words({last})"));
                (format!("shout({name}s).collect(max: 8KiB)"), 3)
            }
            3 => {
                self.write(
                    &format!("{name}p"),
                    &format!("when photos {{ look({last}, [see(photo) for photo in photos]) }}"),
                );
                (format!("upper(join({last}, {name}p))"), 3)
            }
            4 => (format!("pick([{last}, {earlier}])"), 2),
            _ => (format!("polish({last})"), 3),
        };
        self.nodes += nodes;
        self.write(&name, &made);
        self.texts.push(name);
    }

    fn write(&mut self, name: &str, made: &str) {
        let _ = writeln!(self.body, "    let {name} = {made}");
    }
}

const COMPONENTS: &str = r#"
component Upper() { in text: text max 8KiB  out text: text max 8KiB  run bench "upper"  needs memory 1MiB }
component Trim() { in text: text max 16KiB?  out text: text max 8KiB  run bench "upper"  needs memory 2MiB }
component Words() { in text: text max 8KiB  out words: stream<text max 64B> window 8  run bench "words"  needs memory 1MiB }
component Shout() { in text: stream<text max 64B>  out text: stream<text max 64B> window 4  run bench "shout"  needs memory 1MiB }
component See() { in image: image max 1MiB  out seen: tensor<f32>[n <= 64, 128]  run bench "see"  needs memory 8MiB }
component Look() { in text: text max 8KiB  in seen: list<tensor<f32>[n <= 64, 128]> max 4  out text: text max 8KiB  run bench "look"  needs memory 8MiB }
component Pick() { in texts: list<text max 8KiB> max 4  out text: text max 8KiB  run bench "pick"  needs memory 1MiB }

let upper = Upper()
let trim  = Trim()
let words = Words()
let shout = Shout()
let see   = See()
let look  = Look()
let pick  = Pick()

graph polish(draft: text max 8KiB) -> text max 8KiB {
    let clean = trim(draft)
    upper(join(clean, "Thank you."))
}
"#;

/// The whole program: routes whose own part looks at pictures bring them.
fn program(body: &str, outputs: &[Made]) -> String {
    let mut text = COMPONENTS.to_owned();
    text.push_str("\ngraph big(prompt: text max 4KiB, photos: list<image max 1MiB> max 4?) -> {\n");
    for Made { output, is_stream, .. } in outputs {
        let ty = if *is_stream { "stream<text max 64B>" } else { "text max 8KiB" };
        let _ = writeln!(text, "    {output}: {ty}?,");
    }
    let _ = writeln!(text, "}} {{\n{body}    {{");
    for Made { output, .. } in outputs {
        let _ = writeln!(text, "        {output},");
    }
    text.push_str("    }\n}\n\n");
    for (route, Made { output, photos, .. }) in outputs.iter().enumerate() {
        let photos = if *photos { ", photos" } else { "" };
        let _ = writeln!(text, "route route{route} = big(prompt{photos}) -> {output}");
    }
    text
}
