//! Media that requests name by URL.
//!
//! A URL comes from anyone, and this server can reach what its clients cannot. So nothing is fetched but from domains
//! that the operator allows. A name is resolved here, its addresses are held against [`address::reach`], and the
//! connection goes to an address that was looked at, so a name that means something else a moment later leads nowhere
//! else. A redirect starts from the beginning. Proxies are not used: they would resolve names by themselves.

mod address;
mod get;
mod place;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use corn_core::Fault;
use tokio::sync::Semaphore;

use address::{Reach, reach};
use get::{Got, Tls};
use place::{Domain, Place};

/// Redirects that are followed for one URL.
const MAX_REDIRECTS: usize = 3;
/// How long all that is fetched for one request may take.
pub(crate) const WHOLE: Duration = Duration::from_secs(20);
/// Fetches of all requests at once; more wait for their turn.
const AT_ONCE: usize = 64;

/// From where media may be fetched that requests name by URL: nowhere, unless said otherwise.
#[derive(Clone, Debug, Default)]
pub struct MediaSources {
    domains: Vec<Domain>,
    reaches_private: bool,
}

impl MediaSources {
    /// From `domains`: `example.org` is this host, `*.example.org` all below it, `*` any; `:PORT` behind it a port other
    /// than those of http and https. With `reaches_private` also where these names stand for addresses of this machine
    /// or of private networks. Addresses that are link-local, multicast or otherwise special are never reached.
    ///
    /// # Errors
    /// Of the set-up, if one is no domain.
    pub fn new(domains: &[String], reaches_private: bool) -> Result<Self, Fault> {
        let domains = domains.iter().map(|domain| Domain::parse(domain));
        let domains = domains.collect::<Result<_, _>>().map_err(Fault::setup)?;
        Ok(Self { domains, reaches_private })
    }

    fn allow(&self, place: &Place) -> Result<(), Trouble> {
        if self.domains.iter().any(|domain| domain.allows(place)) {
            return Ok(());
        }
        let from = if self.domains.is_empty() {
            "no host is allowed".to_owned()
        } else {
            let domains: Vec<String> = self.domains.iter().map(ToString::to_string).collect();
            format!("allowed is {}", domains.join(", "))
        };
        let host = place.authority();
        Err(Trouble::NotAllowed(format!("this server fetches nothing from {host}: {from} (--media-domains)")))
    }

    fn reaches(&self, address: SocketAddr) -> bool {
        match reach(address.ip()) {
            Reach::Public => true,
            Reach::Private => self.reaches_private,
            Reach::Never => false,
        }
    }
}

/// Why something was not fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It must not be.
    NotAllowed(String),
    /// It could not be.
    Failed(String),
}

/// How many bytes a request may still bring.
#[derive(Debug)]
pub(crate) struct BytesLeft {
    left: AtomicU64,
    max: u64,
}

impl BytesLeft {
    /// Of `max`, with `taken` taken already.
    pub(crate) fn new(max: u64, taken: u64) -> Self {
        Self { left: AtomicU64::new(max.saturating_sub(taken)), max }
    }

    fn take(&self, bytes: u64) -> Result<(), Trouble> {
        let taken =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map(drop).map_err(|_| self.over())
    }

    fn over(&self) -> Trouble {
        let max = self.max;
        Trouble::Failed(format!("with all else that the request brings it is over the limit of {max} bytes"))
    }
}

/// Fetches media.
pub(crate) struct Fetcher {
    sources: MediaSources,
    tls: Tls,
    turns: Semaphore,
}

impl Fetcher {
    /// # Errors
    /// Of the set-up, if the certificates to trust cannot be read.
    pub(crate) fn new(sources: MediaSources) -> Result<Self, Fault> {
        Ok(Self { sources, tls: Tls::new()?, turns: Semaphore::new(AT_ONCE) })
    }

    /// Whether `url` may be fetched, as far as can be told by looking at it.
    pub(crate) fn allow(&self, url: &str) -> Result<(), Trouble> {
        self.sources.allow(&Place::parse(url).map_err(Trouble::NotAllowed)?)
    }

    /// The content of `url`. Whoever drops this closes the connection.
    pub(crate) async fn fetch(&self, url: &str, left: &BytesLeft) -> Result<Bytes, Trouble> {
        let _turn = self.turns.acquire().await;
        let mut place = Place::parse(url).map_err(Trouble::NotAllowed)?;
        let mut seen = BTreeSet::new();
        for _ in 0..=MAX_REDIRECTS {
            self.sources.allow(&place)?;
            let addresses = self.addresses(&place).await?;
            match get::get(&place, &addresses, &self.tls, left).await? {
                Got::Content(bytes) => return Ok(bytes),
                Got::Elsewhere(location) => {
                    seen.insert(format!("{}{}", place.authority(), place.path));
                    place = place.join(&location).map_err(|problem| {
                        Trouble::NotAllowed(format!("it is redirected, and then {problem}"))
                    })?;
                    if seen.contains(&format!("{}{}", place.authority(), place.path)) {
                        return Err(Trouble::Failed("it is redirected in a circle".to_owned()));
                    }
                }
            }
        }
        Err(Trouble::Failed(format!("it is redirected more than {MAX_REDIRECTS} times")))
    }

    /// The addresses of a place that may be reached.
    async fn addresses(&self, place: &Place) -> Result<Vec<SocketAddr>, Trouble> {
        let host = &place.host;
        let resolved = tokio::net::lookup_host((host.as_str(), place.port)).await;
        let resolved: Vec<SocketAddr> =
            resolved.map_err(|_| Trouble::Failed(format!("no address is known for {host}")))?.collect();
        let is_private = resolved.iter().any(|it| reach(it.ip()) == Reach::Private);
        let allowed: Vec<SocketAddr> = resolved.into_iter().filter(|it| self.sources.reaches(*it)).collect();
        if allowed.is_empty() {
            let would_help = is_private && !self.sources.reaches_private;
            let more = if would_help { " (--media-private allows private networks)" } else { "" };
            let message = format!("{host} stands for no address that this server may reach{more}");
            return Err(Trouble::NotAllowed(message));
        }
        Ok(allowed)
    }
}
