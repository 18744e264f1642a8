//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use corn_plan::WorkerId;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::commands;

/// Compile graphs of models into static replay plans, and replay them.
#[derive(Debug, Parser)]
#[command(name = "corn", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Begin with:
  corn run dsl-examples/reference.corn --in text=\"hello there\"   needs no download
  corn run dsl-examples/hello.corn --in prompt=\"What is corn?\"   fetches a small language model

Exit codes:
  0 done   1 the program is wrong   2 the command line is wrong   3 the request is wrong
  4 this machine lacks something   5 a component failed   6 too busy   124 deadline   130 interrupted")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find what is wrong with programs, all of it in one run.
    Check(Check),
    /// Compile a program to its replay plan.
    Compile(Compile),
    /// Draw what a program does on each route.
    Graph(Graph),
    /// Compare two plans or programs, in words.
    Diff(crate::commands::diff::Args),
    /// Compile a program and replay one request in this process.
    Run(Run),
    /// Serve a program's routes over gRPC and HTTP, in this process.
    Serve(commands::serve::Serve),
    /// Deploy a program on this host: a coordinator, and its workers as processes.
    Up(commands::up::Up),
    /// Ask a deployment that is up, or a server anywhere.
    Call(commands::call::Call),
    /// List the deployments that are up, and how their workers are.
    Ps(commands::ps::Ps),
    /// Print what a deployment's processes have said.
    Logs(commands::logs::Logs),
    /// Give a worker no new requests, and wait until it has none.
    Drain(commands::ps::Drain),
    /// Give a worker another process, or all of them in turn, while requests go on.
    Restart(commands::ps::Restart),
    /// Change how many replicas of a component there are.
    Scale(commands::ps::Scale),
    /// Give a deployment another plan, while requests go on.
    Update(commands::update::Update),
    /// End a deployment.
    Down(commands::ps::Down),
    /// Be a worker of a deployment.
    Worker(commands::worker::Worker),
    /// List, prefetch, verify and remove model weights.
    Models(Models),
    /// Answer an editor: what is wrong, what names stand for, what comes next.
    Lsp(commands::lsp::Lsp),
    /// Explain an error code at length, or where a placed value of a program comes from.
    Explain(Explain),
    /// Put programs into the house's form.
    Fmt(commands::fmt::Fmt),
    /// Print what a shell needs to complete the command.
    Completions(commands::completions::Completions),
}

impl Command {
    /// Whether failures are printed as JSON.
    pub(crate) const fn is_json(&self) -> bool {
        match self {
            Self::Check(check) => matches!(check.format(), Format::Json),
            Self::Diff(diff) => diff.json,
            Self::Run(run) => run.json,
            Self::Call(call) => call.json,
            _ => false,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Check {
    /// The `.corn` files, or plans.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// How problems are printed.
    #[arg(long, value_enum, default_value_t = Format::Text, conflicts_with = "json")]
    format: Format,
    /// The same as --format json.
    #[arg(long)]
    json: bool,
}

impl Check {
    /// How problems are printed.
    pub(crate) const fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// Where a program is placed when it says nothing itself.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Placement {
    /// Workers to place components on [default: 2, or 1 on a machine with one core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) workers: Option<u32>,
    /// Requests that may be in flight at once [default: 1; 16 where a program is deployed].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub(crate) inflight: Option<u32>,
    /// Workers are processes, as `corn up` starts them, and hand over by shared memory rather than by pointer.
    #[arg(long)]
    pub(crate) processes: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Compile {
    /// The `.corn` file.
    pub(crate) file: PathBuf,
    /// The stage to print [default: the last].
    #[arg(long, value_enum, value_name = "STAGE")]
    pub(crate) emit: Option<Emit>,
    /// Stop after this stage; what only later stages find wrong is not found.
    #[arg(long, value_enum, value_name = "STAGE", default_value_t = Emit::Plan)]
    pub(crate) stop_after: Emit,
    /// How problems are printed to standard error.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Write to this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) placement: Placement,
}

/// How problems are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For tools: an array of problems, as docs/LANGUAGE.md describes it.
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Emit {
    /// The syntax tree, printed as canonical text.
    Ast,
    /// The typed graphs.
    Graph,
    /// The typed graphs, with what they call in place of the calls.
    Inlined,
    /// One graph for each route's signature.
    Specialized,
    /// The same, without nodes that do nothing.
    Simplified,
    /// The same, with what is equal made once.
    Shared,
    /// The same, with the stage of each node.
    Placed,
    /// The plan.
    Plan,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  corn graph assistant.corn --route talk
  corn graph assistant.corn --recording 10 --format svg -o talk.svg
  corn graph assistant.corn --format svg -o 'drawings/assistant-{}.svg'   one file for each recording")]
pub(crate) struct Graph {
    /// The `.corn` file.
    pub(crate) file: PathBuf,
    /// Only this route.
    #[arg(long, value_name = "ROUTE")]
    pub(crate) route: Option<String>,
    /// Only this recording, by its number in the plan, such as 10 or r10.
    #[arg(long, value_name = "N", value_parser = recording)]
    pub(crate) recording: Option<usize>,
    /// How to draw.
    #[arg(long, value_enum, default_value_t = Drawing::Text)]
    pub(crate) format: Drawing,
    /// Write to this file instead of standard output; `{}` in its name becomes the recording's number.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Drawing {
    /// Indented text.
    Text,
    /// A Mermaid flowchart.
    Mermaid,
    /// A graph for Graphviz: `| dot -Tpdf`.
    Dot,
    /// An SVG picture; Graphviz is not needed.
    Svg,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  corn run hello.corn --in prompt=\"Name three colours\"
  corn run assistant.corn --in speech=@question.wav --out voice=answer.wav
  corn run listen.corn --in speech=@talk.mp3 > talk.txt
  corn run restyle.corn --in photo=@cat.jpg --in style=3 --out image=cat.png
  corn run watch.corn --in talk=\"What happens?\" --in talk=@film.mp4
  echo hello | corn run hello.corn --in prompt=-

The route is chosen by what you bring (--in) and what you ask for (--out); --route names it instead.
Text that no --out takes is printed as it comes.")]
pub(crate) struct Run {
    /// The `.corn` file, or a plan.
    pub(crate) file: PathBuf,
    /// The route to replay [default: the one that takes what is brought and makes what is asked].
    #[arg(long, value_name = "ROUTE")]
    pub(crate) route: Option<String>,
    /// An input: name=value, name=@file, or name=- for standard input. Repeat it for a list, and for the parts of what is said.
    #[arg(long = "in", value_name = "NAME=VALUE|@FILE|-")]
    pub(crate) inputs: Vec<String>,
    /// Where an output goes: name=file, or name=- for standard output.
    #[arg(long = "out", value_name = "NAME=FILE|-")]
    pub(crate) outputs: Vec<String>,
    /// Print what each component took, and what replaying took, to standard error.
    #[arg(long)]
    pub(crate) timings: bool,
    /// Print one JSON object when the request is over, instead of streaming text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Give up when the request takes longer than this, such as 30s or 2min; loading does not count.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) deadline: Option<Duration>,
    /// Use only weights that are in the cache.
    #[arg(long)]
    pub(crate) offline: bool,
    #[command(flatten)]
    pub(crate) placement: Placement,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Models {
    #[command(subcommand)]
    pub(crate) action: ModelsAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsAction {
    /// List the weights in the cache.
    List,
    /// Fetch the weights that programs name.
    Prefetch {
        /// The `.corn` files, or plans.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Write the SHA-256 of what has none into `corn.lock` beside each file.
        #[arg(long)]
        lock: bool,
    },
    /// Read everything in the cache again and compare it with its SHA-256.
    Verify,
    /// Remove weights from the cache: those whose name contains a word, or all.
    Remove {
        /// Part of the name, as `list` prints it.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        name: Option<String>,
        /// Remove everything.
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  corn explain E0201
  corn explain omni.corn omni.talker.replicas   who set it, where, and what it replaced
  corn explain omni.corn omni.talker            everything about one component")]
pub(crate) struct Explain {
    /// A code such as E0201, a rule for plans such as P4, or a `.corn` file; without one, all codes are listed.
    #[arg(value_name = "CODE|FILE")]
    pub(crate) what: Option<String>,
    /// A value of the placed program, such as omni.talker.replicas [default: all of them].
    pub(crate) path: Option<String>,
}

fn recording(text: &str) -> Result<usize, String> {
    let number = text.strip_prefix('r').unwrap_or(text).parse();
    number.map_err(|_| "a recording is a number as in the plan, such as 10 or r10".to_owned())
}

/// A worker, such as w1.
pub(crate) fn worker(text: &str) -> Result<WorkerId, String> {
    let number = text.strip_prefix('w').unwrap_or(text).parse();
    number.map(WorkerId).map_err(|_| "a worker is named as in the plan, such as w1".to_owned())
}

/// Where a coordinator listens.
pub(crate) fn coordinator(text: &str) -> Result<String, String> {
    let is_named = match text.strip_prefix("unix:") {
        Some(path) => !path.is_empty(),
        None => text
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)),
    };
    is_named.then(|| text.to_owned()).ok_or_else(|| "it is unix:PATH on this host, or HOST:PORT".to_owned())
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: Option<f64> = text[..digits].parse().ok();
    let unit = match &text[digits..] {
        "ms" => Some(0.001),
        "s" | "" => Some(1.0),
        "min" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    };
    let seconds = number.zip(unit).map(|(number, unit)| number * unit);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "a duration is a number with ms, s, min or h, such as 30s".to_owned())
}
