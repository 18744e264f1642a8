//! Files and repositories of a Hugging Face hub.
//!
//! First the hub's own cache on this machine is asked, so that what other tools have downloaded is
//! not downloaded again. Then HTTPS: a file by its address, a repository by its listing, each
//! resumed where it stopped.

mod download;
mod http;
mod listing;
mod snapshot;

use std::path::{Path, PathBuf};

use crate::error::{StoreError, StoreErrorKind};
use crate::work::Work;

pub(crate) use download::{Wanted, fetch_file};
pub(crate) use http::Client;
pub(crate) use listing::{Listed, list};
pub(crate) use snapshot::find as find_snapshot;

/// Where the hub is and who asks.
#[derive(Clone, Debug)]
pub struct HubOptions {
    /// Its address, without a slash at the end.
    pub endpoint: String,
    /// A token for repositories that are not public.
    pub token: Option<String>,
    /// The cache that the hub's own tools keep on this machine, if it is to be looked into.
    pub cache_dir: Option<PathBuf>,
    /// PEM file of the certificate authorities to trust instead of the built-in ones.
    pub authorities: Option<PathBuf>,
}

impl Default for HubOptions {
    /// The public hub, without a token or a cache.
    fn default() -> Self {
        Self { endpoint: "https://huggingface.co".into(), token: None, cache_dir: None, authorities: None }
    }
}

impl HubOptions {
    /// What the hub's own tools take from the environment: `HF_ENDPOINT`, `HF_TOKEN` (or the file
    /// that logging in leaves), `HF_HUB_CACHE`, `HF_HOME`; and `SSL_CERT_FILE`.
    pub fn from_env() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let home = variable("HF_HOME").map(PathBuf::from).or_else(|| {
            let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
            let user = || directories::BaseDirs::new().map(|dirs| dirs.home_dir().join(".cache"));
            Some(cache.or_else(user)?.join("huggingface"))
        });
        let token_file =
            variable("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| Some(home.as_ref()?.join("token")));
        let logged_in = || std::fs::read_to_string(token_file?).ok();
        Self {
            endpoint: variable("HF_ENDPOINT")
                .unwrap_or(Self::default().endpoint)
                .trim_end_matches('/')
                .to_owned(),
            token: variable("HF_TOKEN").or_else(logged_in).map(|token| token.trim().to_owned()),
            cache_dir: variable("HF_HUB_CACHE").map(PathBuf::from).or_else(|| Some(home?.join("hub"))),
            authorities: variable("SSL_CERT_FILE").map(PathBuf::from),
        }
    }
}

/// A repository at one revision.
pub(crate) struct Repository<'a> {
    pub(crate) name: &'a str,
    pub(crate) revision: &'a str,
}

impl Repository<'_> {
    /// Checks that name and revision can be part of an address and of a path.
    pub(crate) fn check(&self, work: &Work<'_>) -> Result<(), StoreError> {
        let is_word = |text: &str| {
            !text.is_empty()
                && !text.starts_with('.')
                && text.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.'))
        };
        if self.name.split('/').count() > 2 || !self.name.split('/').all(is_word) {
            let reason = format!("'{}' is no repository; one is written \"owner/name\"", self.name);
            return Err(work.error(StoreErrorKind::Source, reason));
        }
        if !self.revision.split('/').all(is_word) {
            let reason = format!("'{}' is no revision; one is a branch, tag or commit", self.revision);
            return Err(work.error(StoreErrorKind::Source, reason));
        }
        Ok(())
    }
}

/// A text as part of an address: everything but unreserved characters and `/` escaped.
pub(crate) fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                (byte as char).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// The address of a file.
pub(crate) fn file_address(endpoint: &str, name: &str, revision: &str, path: &str) -> String {
    format!("{endpoint}/{}/resolve/{}/{}", escape(name), escape(revision).replace('/', "%2F"), escape(path))
}

/// Makes the folders above `path`.
fn make_parent(path: &Path, work: &Work<'_>) -> Result<(), StoreError> {
    match path.parent() {
        Some(parent) => std::fs::create_dir_all(parent).map_err(|error| work.disk(parent, &error)),
        None => Ok(()),
    }
}
