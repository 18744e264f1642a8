//! `corn call --at`: the gRPC face of `corn serve` or `corn up`, here or anywhere.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use clap::Args;
use corn_serve::KnownBy;
use corn_serve::client::{Address, Question};

use crate::commands::call::measured::Measured;
use crate::commands::call::whom::Server;
use crate::commands::call::{Call, answered};
use crate::failure::Failure;
use crate::request::way::{Way, Ways};
use crate::request::{Binding, inputs};

/// Where the key of a server is, if no option says it.
const KEY: &str = "CORN_API_KEY";

/// A server, and how it is to be asked.
#[derive(Debug, Args)]
pub(super) struct Reach {
    /// The gRPC address of a server in place of a deployment: http://HOST:PORT, or https://HOST:PORT for TLS.
    #[arg(long, value_name = "URL")]
    at: Option<String>,
    /// Certificates in PEM, one of which must vouch for the server's [default: those of Mozilla, or in SSL_CERT_FILE].
    #[arg(long, value_name = "FILE", requires = "at", conflicts_with = "name")]
    cacert: Option<PathBuf>,
    /// A certificate in PEM to be known by, where the server wants one.
    #[arg(long, value_name = "FILE", requires_all = ["at", "key"], conflicts_with = "name")]
    cert: Option<PathBuf>,
    /// The private key of that certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// A key of the server's [default: what CORN_API_KEY is, which others on this machine cannot see].
    #[arg(long, value_name = "KEY", requires = "at", conflicts_with = "name")]
    api_key: Option<String>,
}

impl Reach {
    fn address(&self) -> Result<Address, Failure> {
        let known_by = self.cert.clone().zip(self.key.clone());
        let known_by = known_by.map(|(certificate, key)| KnownBy { certificate, key });
        let set = std::env::var(KEY).ok().filter(|key| !key.is_empty());
        let key = self.api_key.clone().or(set);
        let url = self.at.as_deref().unwrap_or_default();
        Ok(Address::new(url, self.cacert.as_deref(), known_by.as_ref(), key.as_deref())?)
    }
}

/// Asks a server.
pub(super) async fn served(
    args: &Call,
    given: &[Binding],
    asked: &[Binding],
    measured: &Rc<RefCell<Measured>>,
) -> Result<(), Failure> {
    let address = args.reach.address()?;
    let offer = address.connect().await?.offer().await?;
    let ways = Ways::of_server(&offer);
    let (route, way) = ways.choose(args.route.as_deref(), given, asked)?;
    let question = Question {
        route: Arc::clone(&offer.routes[route]),
        inputs: inputs::read(way, given)?,
        outputs: wanted(way, asked),
        deadline: args.deadline,
        priority: args.priority,
    };
    answered(args, &Server { address, question: Rc::new(question) }, way, asked, measured).await
}

/// The outputs to ask for: where anything is asked for, that and what is always made, as from a deployment.
fn wanted(way: &Way, asked: &[Binding]) -> Vec<String> {
    if asked.is_empty() {
        return Vec::new();
    }
    let is_wanted = |name: &str| asked.iter().any(|binding| binding.name == name);
    let outputs = way.outputs.iter().filter(|output| output.is_certain || is_wanted(&output.name));
    outputs.map(|output| output.name.clone()).collect()
}
