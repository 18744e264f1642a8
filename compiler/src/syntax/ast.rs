//! The syntax tree: every node has its place in the text, and broken parts are error nodes.
//!
//! Nothing is resolved here. The tree holds what was written, including what later phases refuse.

pub mod deploy;

use self::deploy::{Cluster, Place, Serve, Workload};
use crate::source::Span;

/// A parsed file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct File {
    /// Its items in order.
    pub items: Vec<Item>,
}

/// A top-level item.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// `use std::speech::{Recognizer, Speaker}`.
    Use(Use),
    /// `let hear = Recognizer(…)`.
    Let(Let),
    /// `component Recognizer(…) { … }`.
    Component(Component),
    /// `graph assistant(…) -> … { … }`.
    Graph(Graph),
    /// `route talk = assistant(speech, photo?) -> reply + voice`.
    Route(Route),
    /// `cluster lab { … }`.
    Cluster(Cluster),
    /// `place omni on lab { … }`.
    Place(Place),
    /// `serve omni { … }`.
    Serve(Serve),
    /// `workload evening for omni { … }`.
    Workload(Workload),
    /// Text that is no item; already reported.
    Error(Span),
}

/// An identifier with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The text.
    pub text: String,
    /// Its place.
    pub span: Span,
}

/// A string literal, unescaped, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Str {
    /// The contents.
    pub text: String,
    /// The place of the literal with its quotes.
    pub span: Span,
}

/// Names taken from another file: `use std::speech::Recognizer`, `use voices::{Joe, Amy}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Use {
    /// The module's path: `std`, `speech`.
    pub module: Vec<Name>,
    /// The names taken from it.
    pub names: Vec<Name>,
    /// The whole item.
    pub span: Span,
}

/// `let name = value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Let {
    /// What is bound.
    pub name: Name,
    /// To what.
    pub value: Expr,
    /// The whole item.
    pub span: Span,
}

/// A component's declaration.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// `///` lines before it, without the slashes.
    pub docs: Vec<String>,
    /// Its name.
    pub name: Name,
    /// Its parameters.
    pub params: Vec<Param>,
    /// `in`, `out`, `run`, `needs`, `batch`, `queue` lines in order.
    pub clauses: Vec<Clause>,
    /// The whole item.
    pub span: Span,
}

/// A parameter of a component or graph: `max_tokens: int = 256`, `photo: image?`.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub ty: TypeExpr,
    /// Its default.
    pub default: Option<Expr>,
    /// The whole parameter.
    pub span: Span,
}

/// A line of a component's body.
#[derive(Clone, Debug, PartialEq)]
pub enum Clause {
    /// `in  image: image`.
    In(Port),
    /// `out embedding: tensor<bf16>[n <= 16384, d]`.
    Out(Port),
    /// `run candle "whisper.transcribe"`.
    Run {
        /// `candle`.
        executor: Name,
        /// `"whisper.transcribe"`.
        entry: Str,
        /// The whole clause.
        span: Span,
    },
    /// `needs cpu 2, memory 1.4GiB`.
    Needs {
        /// Each resource and its amount.
        needs: Vec<(Name, Expr)>,
        /// The whole clause.
        span: Span,
    },
    /// `batch max_batch within 4ms`.
    Batch {
        /// Most calls at once.
        max: Expr,
        /// Longest wait.
        within: Option<Expr>,
        /// The whole clause.
        span: Span,
    },
    /// Text that is no clause; already reported.
    Error(Span),
}

/// A typed port.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub ty: TypeExpr,
    /// The whole clause.
    pub span: Span,
}

/// A type as written.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeExpr {
    /// What it is.
    pub kind: TypeKind,
    /// `max …`: bytes, a duration or a count.
    pub max: Option<Box<Expr>>,
    /// `window …` of a stream.
    pub window: Option<Box<Expr>>,
    /// Whether it ends in `?`.
    pub optional: bool,
    /// Its place.
    pub span: Span,
}

/// The shape of a written type.
#[derive(Clone, Debug, PartialEq)]
pub enum TypeKind {
    /// `text`, `image`, `audio`, `weights`, …
    Named(Name),
    /// `stream<text>`, `list<image>`.
    Of {
        /// `stream` or `list`.
        name: Name,
        /// The item's type.
        item: Box<TypeExpr>,
    },
    /// `audio<16kHz>`.
    Rated {
        /// `audio`.
        name: Name,
        /// A quantity.
        rate: Box<Expr>,
    },
    /// `tensor<bf16>[n <= 16384, d]`.
    Tensor {
        /// The dtype.
        dtype: Name,
        /// The dimensions, outermost first.
        dims: Vec<DimExpr>,
    },
    /// `enum("Ethan", "Chelsie")`.
    Enum(Vec<Str>),
    /// `{ reply: stream<text>, voice: stream<audio>? }`, only as a graph's output.
    Record(Vec<(Name, TypeExpr)>),
    /// Broken; already reported.
    Error,
}

/// A dimension as written.
#[derive(Clone, Debug, PartialEq)]
pub struct DimExpr {
    /// `2048`, `n`, or the symbol of `n <= 16384`.
    pub extent: DimExtent,
    /// Its place.
    pub span: Span,
}

/// The extent of a dimension as written.
#[derive(Clone, Debug, PartialEq)]
pub enum DimExtent {
    /// A number.
    Fixed(u64),
    /// A symbol, with its bound if one is written.
    Symbol(Name, Option<u64>),
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Its place.
    pub span: Span,
}

/// The shape of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `prompt`.
    Name(String),
    /// `42`.
    Int(i64),
    /// `0.7`.
    Float(f64),
    /// `"text"`.
    Str(String),
    /// `true`.
    Bool(bool),
    /// `1.4GiB`, `30s`, `16kHz`.
    Quantity {
        /// The number.
        number: f64,
        /// The unit as written.
        unit: String,
    },
    /// `hear(speech)`, `join(a, b)`, `hf("…")`; with a field as callee, `reply.sentences()`.
    Call {
        /// What is called.
        callee: Box<Expr>,
        /// With what.
        args: Vec<Arg>,
    },
    /// `thought.text`.
    Field {
        /// Of what.
        base: Box<Expr>,
        /// Which.
        name: Name,
    },
    /// `[a, b]`.
    List(Vec<Expr>),
    /// `[vision(i) for i in images]`.
    Each {
        /// Made for each item.
        body: Box<Expr>,
        /// The item's name.
        item: Name,
        /// The list.
        list: Box<Expr>,
    },
    /// `when photo { caption(photo) }`: exists on the routes where `photo` is present.
    When {
        /// The optional inputs that must all be present.
        present: Vec<Name>,
        /// What is made then.
        body: Block,
    },
    /// `{ reply, voice: say(reply) }`.
    Record(Vec<(Name, Option<Expr>)>),
    /// `if careful { … } else if … { … } else { … }`: resolved for each recording.
    If {
        /// Conditions with what is made where they hold, in order.
        arms: Vec<(Expr, Block)>,
        /// What is made where none holds.
        otherwise: Option<Block>,
    },
    /// `match mode { "fast" => …, "good" => … }`: resolved for each recording, or for each item of a
    /// list of media.
    Match {
        /// A request's parameter, or an item.
        subject: Box<Expr>,
        /// The cases.
        arms: Vec<Arm>,
    },
    /// `switch classify(words).intent { "draw" => … else => none }`: chosen at run time.
    Switch {
        /// A value that was made.
        subject: Box<Expr>,
        /// The cases.
        arms: Vec<Arm>,
    },
    /// `loop x = noise(seed), t in steps max 50 { x = denoise(x, t) until converged(x) }`.
    Loop {
        /// What one round hands to the next.
        carried: Vec<Carried>,
        /// The number of the round, and how many rounds there are.
        trip: Option<(Name, Box<Expr>)>,
        /// Most rounds; required, reported if it is missing.
        max: Option<Box<Expr>>,
        /// What a round does.
        body: LoopBody,
    },
    /// `none`: nothing is made.
    None,
    /// Broken; already reported.
    Error,
}

/// A case of `match` or `switch`.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// When it is taken.
    pub pattern: Pattern,
    /// What is made then. Without braces it is a value alone.
    pub body: Block,
    /// Whether the body stands in braces of its own and begins with `let`.
    pub braced: bool,
    /// The whole arm.
    pub span: Span,
}

/// What a subject is held against.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    /// What it is.
    pub kind: PatternKind,
    /// Its place.
    pub span: Span,
}

/// The shape of a pattern.
#[derive(Clone, Debug, PartialEq)]
pub enum PatternKind {
    /// `"draw"`.
    Text(String),
    /// `3`.
    Int(i64),
    /// `true`.
    Bool(bool),
    /// `image`: a kind of media.
    Name(String),
    /// `else`: whatever no other arm takes.
    Else,
    /// Broken; already reported.
    Error,
}

/// What one round of a loop hands to the next: `x = noise(seed)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    /// Its name in the body, where it is the value of the last round.
    pub name: Name,
    /// What the first round gets.
    pub init: Expr,
    /// Both.
    pub span: Span,
}

/// The body of a loop.
#[derive(Clone, Debug, PartialEq)]
pub struct LoopBody {
    /// Bindings and assignments in order.
    pub steps: Vec<LoopStep>,
    /// Ends the loop after the round in which it is true.
    pub until: Option<Box<Expr>>,
    /// Its place with the braces.
    pub span: Span,
}

/// A line of a loop's body.
#[derive(Clone, Debug, PartialEq)]
pub enum LoopStep {
    /// `let guess = denoise(x, t)`.
    Let(Let),
    /// `x = step(x, guess)`: what the next round, and the rest of this one, gets.
    Next {
        /// What is carried.
        name: Name,
        /// Its new value.
        value: Expr,
        /// Both.
        span: Span,
    },
}

/// An argument, named or by position.
#[derive(Clone, Debug, PartialEq)]
pub struct Arg {
    /// `max_tokens:`.
    pub name: Option<Name>,
    /// The value.
    pub value: Expr,
}

/// `{ let … value }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Its bindings in order.
    pub lets: Vec<Let>,
    /// Its value; `None` if it is missing (reported by the parser).
    pub value: Option<Box<Expr>>,
    /// Its place.
    pub span: Span,
}

/// A graph's declaration.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// `///` lines before it, without the slashes.
    pub docs: Vec<String>,
    /// Its name.
    pub name: Name,
    /// What a request may bring.
    pub params: Vec<Param>,
    /// What a request may get.
    pub output: TypeExpr,
    /// How it is made.
    pub body: Block,
    /// The whole item.
    pub span: Span,
}

/// A route's declaration.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// `///` lines before it, without the slashes.
    pub docs: Vec<String>,
    /// Its name.
    pub name: Name,
    /// The graph it asks.
    pub graph: Name,
    /// What a request brings.
    pub inputs: Vec<RouteInput>,
    /// What is asked for.
    pub outputs: Vec<Name>,
    /// The whole item.
    pub span: Span,
}

/// An input of a route: `speech`, `photo?`, or `mode: "fast"`.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteInput {
    /// Its name.
    pub name: Name,
    /// Whether a `?` follows: both cases are wanted.
    pub optional: bool,
    /// The value that the route fixes.
    pub value: Option<Expr>,
}
