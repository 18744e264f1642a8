//! `corn worker`: a process that replays what a coordinator tells it to.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use corn_engine::{Membership, Token};
use corn_executors::Executors;
use corn_plan::WorkerId;
use corn_store::{Pins, Store, StoreOptions};

use crate::commands::say;
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  corn worker --join unix:/run/corn/talk/coordinator.sock --token-file /run/corn/talk/token
  corn worker --join 10.0.0.1:7070 --token-file token --as w3 --listen 0.0.0.0:0 --advertise 10.0.0.2

`corn up` starts the workers of its own host itself; those of other hosts are started like this.")]
pub(crate) struct Worker {
    /// Where the coordinator listens: unix:PATH on this host, or HOST:PORT.
    #[arg(long, value_name = "ADDRESS", value_parser = crate::args::coordinator)]
    join: String,
    /// A file with the deployment's token; the variable CORN_TOKEN does as well.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Which worker of the plan to be, such as w1 [default: one that is free].
    #[arg(long = "as", value_name = "WORKER", value_parser = crate::args::worker)]
    seat: Option<WorkerId>,
    /// Where to listen for workers of other hosts.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    listen: String,
    /// How workers of other hosts name this one, if not as it listens.
    #[arg(long, value_name = "HOST[:PORT]")]
    advertise: Option<String>,
    /// How long to look for a coordinator that is away, such as 30s or 2min.
    #[arg(long, value_name = "DURATION", default_value = "2min", value_parser = crate::args::duration)]
    patience: Duration,
    /// Where this worker's socket is, a folder that only its owner may enter [default: a new one among the temporary
    /// files].
    #[arg(long, value_name = "FOLDER")]
    socket_folder: Option<PathBuf>,
    /// Use only weights that are in the cache.
    #[arg(long)]
    offline: bool,
}

pub(crate) fn worker(args: &Worker) -> Result<(), Failure> {
    let token = match &args.token_file {
        Some(file) => std::fs::read_to_string(file).map_err(|error| {
            Failure::Usage(format!("the token file '{}' cannot be read: {error}", file.display()))
        })?,
        None => std::env::var("CORN_TOKEN").unwrap_or_default(),
    };
    if token.trim().is_empty() {
        let message = "a worker needs the deployment's token: --token-file FILE, or the variable CORN_TOKEN";
        return Err(Failure::Usage(message.to_owned()));
    }
    let (folder, _own) = if let Some(folder) = &args.socket_folder {
        (folder.clone(), None)
    } else {
        let own = tempfile::Builder::new().prefix("corn-").tempdir();
        let own = own.map_err(|error| Failure::setup(format!("no folder for a socket: {error}")))?;
        (own.path().to_owned(), Some(own))
    };
    let mut options = StoreOptions::from_env();
    options.offline |= args.offline;
    let store = Store::open(options).map_err(|error| Failure::setup(error.to_string()))?;
    // Whoever deploys has put the pins into the plan.
    let loader = Arc::new(Executors::new(Arc::new(store), Pins::default()));
    let membership = Membership {
        coordinator: args.join.clone(),
        token: Token::new(token),
        worker: args.seat,
        listen: args.listen.clone(),
        advertise: args.advertise.clone(),
        folder,
        patience: args.patience,
    };
    Ok(corn_engine::work(&membership, loader, say)?)
}
