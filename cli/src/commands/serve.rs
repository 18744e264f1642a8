//! `corn serve`: a program's routes, answered in this process over gRPC and HTTP.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use corn_core::executor::Progress;
use corn_engine::{Engine, NoObserver, Observer};
use corn_executors::Executors;
use corn_plan::{Endpoint, Plan, RecordingId, Verified};
use corn_serve::{
    Bound, Bounds, Keys, Listening, Log, MediaSources, Notices, Origins, Served, Sockets, Tls, Traces,
};
use tokio::sync::watch;

use crate::args::Placement;
use crate::commands::models::{open_store, pins};
use crate::commands::{say, told_to_stop, told_to_stop_times};
use crate::failure::Failure;
use crate::program;
use crate::progress::Bars;
use crate::request::paste;

/// Requests in flight at once, if nobody says how many.
const INFLIGHT: u32 = 16;
/// Where the faces listen, if nobody says where.
const HTTP: &str = "127.0.0.1:8000";
const GRPC: &str = "127.0.0.1:8001";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  corn serve assistant.corn                 over HTTP at 127.0.0.1:8000 and over gRPC at 127.0.0.1:8001
  corn serve assistant.corn --http 0.0.0.0:8000 --grpc 0.0.0.0:8001
  corn serve assistant.corn --tls-cert cert.pem --tls-key key.pem --keys keys.txt

It listens at once, and answers requests with 503 until everything is loaded. Ctrl-C takes no new requests and lets those under way end;
a second one ends at once.")]
pub(crate) struct Serve {
    /// The `.corn` file, or a plan.
    file: PathBuf,
    #[command(flatten)]
    pub(crate) faces: Faces,
    /// Use only weights that are in the cache.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    placement: Placement,
}

/// Where requests come in.
#[derive(Clone, Debug, Args)]
pub(crate) struct Faces {
    /// Where the OpenAI-compatible HTTP API listens.
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
    /// Where Corn's gRPC service and KServe v2 listen.
    #[arg(long, value_name = "HOST:PORT")]
    grpc: Option<String>,
    /// A file of keys, one a line, of which each client must bring one as `Authorization: Bearer KEY`. Behind a key may
    /// stand what it allows: `name=lab concurrency=4 rate=60/min`. It is read again when it changes.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// A collector of traces (OTLP over HTTP), such as http://localhost:4318 or https://…; without, what
    /// OTEL_EXPORTER_OTLP_ENDPOINT says.
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// Certificates in PEM, one of which must vouch for a collector at https:// [default: what
    /// OTEL_EXPORTER_OTLP_CERTIFICATE says, or those of Mozilla].
    #[arg(long, value_name = "FILE")]
    otlp_ca: Option<PathBuf>,
    /// A line for each call at its end, to standard error.
    #[arg(long, value_name = "FORM", value_enum, default_value_t = LogForm::Off)]
    log: LogForm,
    /// A certificate in PEM, followed by those that vouch for it: both faces speak TLS then. It is read again when it
    /// changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Certificates in PEM of which one must vouch for that of each client.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// Connections of clients at once, over HTTP and over gRPC each [default: 4096].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: Option<u32>,
    /// Domains from which media are fetched that requests name by URL: example.org, *.example.org, store:9000 or *.
    /// Without, nothing is fetched.
    #[arg(long, value_name = "DOMAIN", value_delimiter = ',')]
    media_domains: Vec<String>,
    /// Fetch media also where these domains are on this machine or in private networks.
    #[arg(long, requires = "media_domains")]
    media_private: bool,
    /// Pages of other hosts that may ask over HTTP from a browser: `https://app.example.org`, or `*` for any.
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',')]
    origins: Vec<String>,
}

/// How calls are logged.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogForm {
    /// An object on each line.
    Json,
    /// `name=value` after each other.
    Text,
    /// Not at all.
    Off,
}

impl Faces {
    /// How calls are logged, if they are.
    pub(crate) const fn log(&self) -> Option<Log> {
        match self.log {
            LogForm::Json => Some(Log::Json),
            LogForm::Text => Some(Log::Text),
            LogForm::Off => None,
        }
    }

    /// Who tells traces, if anybody is to be told.
    pub(crate) fn traces(&self, plan: &Plan) -> Result<Option<Arc<Traces>>, Failure> {
        let said = |name: &str| std::env::var(name).ok().filter(|said| !said.is_empty());
        let Some(url) = self.otlp.clone().or_else(|| said("OTEL_EXPORTER_OTLP_ENDPOINT")) else {
            return Ok(None);
        };
        // What is said for all programs may be of no use for this collector; what is said here is meant.
        let of_all = || said("OTEL_EXPORTER_OTLP_CERTIFICATE").filter(|_| url.starts_with("https:"));
        let authorities = self.otlp_ca.clone().or_else(|| of_all().map(PathBuf::from));
        Ok(Some(Arc::new(Traces::new(&url, authorities.as_deref(), plan)?)))
    }

    /// Whether anyone said where to listen.
    pub(crate) const fn are_any(&self) -> bool {
        self.http.is_some() || self.grpc.is_some()
    }

    /// Where to listen; nowhere if nobody says so.
    pub(crate) fn listening(&self) -> Result<Listening, Failure> {
        let keys = self.keys.as_deref().map(Keys::read).transpose()?;
        let media = MediaSources::new(&self.media_domains, self.media_private)?;
        let origins = Origins::new(&self.origins)?;
        let client_ca = self.tls_client_ca.as_deref();
        let tls = self.tls_cert.as_deref().zip(self.tls_key.as_deref());
        let tls = tls.map(|(certificate, key)| Tls::read(certificate, key, client_ca)).transpose()?;
        let (http, grpc) = (self.http.clone(), self.grpc.clone());
        let bounds = self.max_connections.map_or_else(Bounds::default, |most| Bounds::of(most as usize));
        take_all_files();
        Ok(Listening { http, grpc, keys, media, origins, tls, bounds, notices: Notices(say) })
    }

    /// Says what is served, and where.
    pub(crate) fn say_bound(&self, plan: &Plan, bound: &Bound) {
        let name = &plan.name;
        let scheme = if self.tls_cert.is_some() { "https" } else { "http" };
        if let Some(http) = bound.http {
            let is_model = |endpoint: &Endpoint| matches!(endpoint, Endpoint::Openai { .. });
            let has_models = plan.serves.iter().flat_map(|it| &it.endpoints).any(is_model);
            let at = if has_models { "/v1" } else { "/corn/v1" };
            say(&format!(
                "{name} is served over HTTP at {scheme}://{http}{at}, with a page to see and try it at {scheme}://{http}/"
            ));
            if !has_models {
                say(
                    "  no model of the OpenAI API is among it: no `openai` stands in a `serve` of the program",
                );
            }
        }
        if let Some(grpc) = bound.grpc {
            say(&format!("{name} is served over gRPC at {scheme}://{grpc}"));
        }
        let server = paste::Server {
            http: bound.http.map(|at| format!("{scheme}://{at}")),
            grpc: bound.grpc.map(|at| format!("{scheme}://{at}")),
            certificate: self.tls_cert.as_ref().map(|path| path.display().to_string()),
            wants_certificates: self.tls_client_ca.is_some(),
            wants_keys: self.keys.is_some(),
        };
        for line in paste::to_server(plan, &server) {
            say(&format!("  {line}"));
        }
    }
}

pub(crate) fn serve(args: &Serve) -> Result<(), Failure> {
    let inflight = args.placement.inflight.or(Some(INFLIGHT));
    let plan = program::load(&args.file, &Placement { inflight, ..args.placement.clone() })?;
    program::refuse_foreign(plan.plan())?;
    let mut listening = args.faces.listening()?;
    if !args.faces.are_any() {
        listening.http = Some(HTTP.to_owned());
        listening.grpc = Some(GRPC.to_owned());
    }
    let traces = args.faces.traces(plan.plan())?;
    let (store, interrupt) = open_store(&args.file, args.offline)?;
    let executors = Arc::new(Executors::new(store, pins(&args.file)?));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::setup(format!("no event loop: {error}")))?;
    let outcome = runtime.block_on(async {
        let sockets = Sockets::bind(&listening).await?;
        let (served, bound) = (Served::awaiting(Arc::clone(&plan)), sockets.bound());
        served.tell(args.faces.log(), traces.clone());
        let (_served, is_served) = watch::channel(Arc::clone(&served));
        let begun = async {
            match load(&plan, executors, observer(traces.as_ref())).await {
                Ok(engine) => {
                    let engine = Arc::new(engine);
                    served.begin(Arc::clone(&engine));
                    args.faces.say_bound(plan.plan(), &bound);
                    // Whoever keeps this running starts it again, and that takes the GPU up again.
                    return Err(Failure::Fault(engine.lost().await));
                }
                // Told to stop, and so did as it was told.
                Err(_) if interrupt.is_raised() => {}
                Err(failure) => return Err(failure),
            }
            std::future::pending().await
        };
        let is_told = async {
            told_to_stop().await;
            // Of use while weights are fetched, which nothing else ends.
            interrupt.raise();
        };
        tokio::select! {
            outcome = sockets.serve(is_served, is_told) => outcome.map_err(Failure::Fault),
            outcome = begun => outcome,
            () = told_twice() => Ok(()),
        }
    });
    runtime.shutdown_background();
    if let Some(traces) = &traces {
        traces.flush();
    }
    outcome
}

/// Who is told what the engine does.
pub(crate) fn observer(traces: Option<&Arc<Traces>>) -> Arc<dyn Observer> {
    match traces {
        Some(traces) => Arc::clone(traces) as Arc<dyn Observer>,
        None => Arc::new(NoObserver),
    }
}

/// Loads every component, and shows how far that is.
async fn load(
    plan: &Arc<Verified>,
    executors: Arc<Executors>,
    observer: Arc<dyn Observer>,
) -> Result<Engine, Failure> {
    let bars = Arc::new(Bars::new(false));
    let recordings: Vec<RecordingId> = plan.plan().recordings.ids().collect();
    let progress = Arc::clone(&bars) as Arc<dyn Progress>;
    let engine = Engine::start(Arc::clone(plan), &recordings, executors, progress, observer).await;
    bars.clear();
    Ok(engine?)
}

/// A connection is an open file, and many systems let a process have few of those unless it asks for more.
fn take_all_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // Who may not have them says so when there are none left.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

/// Ends at the second word to stop.
pub(crate) async fn told_twice() {
    told_to_stop().await;
    say("stops: requests under way may end; once more ends at once");
    told_to_stop_times(2).await;
}
