//! Downloads one file, resuming what an earlier try left.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use ureq::http::StatusCode;

use super::http::{Answer, Client, Failure};
use super::make_parent;
use crate::digest::{self, Hasher};
use crate::error::{StoreError, StoreErrorKind};
use crate::work::Work;

/// Tries in a row that bring no byte before giving up.
const FRUITLESS_TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// What is to be downloaded.
pub(crate) struct Wanted<'a> {
    pub(crate) address: &'a str,
    /// For the error when there is none.
    pub(crate) name: &'a str,
    /// The hash that the program or the hub gives, if one is known.
    pub(crate) sha256: Option<&'a str>,
    /// The size, if it is known.
    pub(crate) bytes: Option<u64>,
}

/// Downloads into `part`, from where it stops, and returns hash and size. A file that is already
/// whole is only checked. What differs from the wanted hash is deleted.
pub(crate) fn fetch_file(
    client: &Client,
    wanted: &Wanted<'_>,
    part: &Path,
    work: &Work<'_>,
) -> Result<(String, u64), StoreError> {
    make_parent(part, work)?;
    let mut fruitless = 0;
    loop {
        let before = length(part);
        match attempt(client, wanted, part, work) {
            Ok(()) => break,
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Broken(reason)) => {
                fruitless = if length(part) > before { 0 } else { fruitless + 1 };
                if fruitless == FRUITLESS_TRIES {
                    return Err(unreachable_hub(wanted.address, &reason, work));
                }
                if work.interrupt.wait(FIRST_PAUSE * 2u32.pow(fruitless)) {
                    return Err(StoreError::interrupted(&work.what));
                }
            }
        }
    }
    finish(wanted, part, work)
}

fn length(part: &Path) -> u64 {
    fs::metadata(part).map_or(0, |meta| meta.len())
}

/// One request, written behind what is already there.
fn attempt(client: &Client, wanted: &Wanted<'_>, part: &Path, work: &Work<'_>) -> Result<(), Failure> {
    let offset = length(part);
    if wanted.bytes == Some(offset) {
        return Ok(());
    }
    let mut answer = client.get(wanted.address, offset, false, work)?;
    let starts_at = match answer.status {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if range_start(&answer) == Some(offset) => offset,
        // What is there is not the start of what is there now.
        StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT => {
            fs::remove_file(part).map_err(|error| Failure::Final(work.disk(part, &error)))?;
            return Err(Failure::Broken("the hub does not continue where the download stopped".into()));
        }
        status => return Err(refused(status, wanted.name, work)),
    };
    let total = answer
        .header("content-length")
        .and_then(|text| text.parse().ok())
        .map(|length: u64| length + starts_at);
    let open = || {
        let file = File::options().create(true).truncate(false).write(true).open(part)?;
        file.set_len(starts_at)?;
        Ok(file)
    };
    let on_disk = |error: std::io::Error| Failure::Final(work.disk(part, &error));
    let mut file = open().map_err(on_disk)?;
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(starts_at)).map_err(on_disk)?;
    let mut done = starts_at;
    while let Some(bytes) = answer.next(work)? {
        file.write_all(&bytes).map_err(on_disk)?;
        done += bytes.len() as u64;
        if wanted.bytes.is_some_and(|size| done > size) {
            drop(fs::remove_file(part));
            let reason =
                format!("the hub sends more than the {} bytes it announced", wanted.bytes.unwrap_or(0));
            return Err(Failure::Final(work.error(StoreErrorKind::Integrity, reason)));
        }
        let total = wanted.bytes.or(total).unwrap_or(0);
        work.advance("downloading", done, total).map_err(Failure::Final)?;
    }
    file.sync_all().map_err(on_disk)?;
    match wanted.bytes.or(total) {
        Some(size) if done < size => {
            Err(Failure::Broken(format!("the connection ended at {done} of {size} bytes")))
        }
        _ => Ok(()),
    }
}

/// `bytes 100-199/200` → 100.
fn range_start(answer: &Answer) -> Option<u64> {
    let range = answer.header("content-range")?.strip_prefix("bytes ")?;
    range.split('-').next()?.parse().ok()
}

fn finish(wanted: &Wanted<'_>, part: &Path, work: &Work<'_>) -> Result<(String, u64), StoreError> {
    let mut hasher = Hasher::default();
    let on_disk = |error: std::io::Error| work.disk(part, &error);
    let mut file = File::open(part).map_err(on_disk)?;
    let mut bytes = 0;
    while let Some(chunk) = digest::read_chunk(&mut file).map_err(on_disk)? {
        hasher.update(&chunk);
        bytes += chunk.len() as u64;
        work.advance("checking", bytes, wanted.bytes.unwrap_or(0))?;
    }
    let found = hasher.hex();
    if let Some(expected) = wanted.sha256.filter(|expected| *expected != found) {
        fs::remove_file(part).map_err(on_disk)?;
        return Err(StoreError::integrity(&work.what, &format!("'{}'", wanted.name), expected, &found));
    }
    Ok((found, bytes))
}

/// What a status other than success means.
pub(crate) fn refused(status: StatusCode, name: &str, work: &Work<'_>) -> Failure {
    let error = match status {
        StatusCode::UNAUTHORIZED => work
            .error(
                StoreErrorKind::Denied,
                format!("the hub wants a login for {name}, or there is no such repository"),
            )
            .hint(
                "check the name; for a private or gated repository set HF_TOKEN to a token that may read it",
            ),
        StatusCode::FORBIDDEN => work
            .error(StoreErrorKind::Denied, format!("the hub refuses {name} to this login"))
            .hint("accept the repository's terms on its page, and set HF_TOKEN to a token that may read it"),
        StatusCode::NOT_FOUND => work
            .error(StoreErrorKind::Missing, format!("the hub has no {name}"))
            .hint("check owner, name, path and revision"),
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            return Failure::Broken(format!("the hub answers {status}"));
        }
        status => work.error(StoreErrorKind::Network, format!("the hub answers {status} to {name}")),
    };
    Failure::Final(error)
}

/// The hub cannot be reached or fails.
pub(crate) fn unreachable_hub(address: &str, reason: &str, work: &Work<'_>) -> StoreError {
    let host = address.split('/').take(3).collect::<Vec<_>>().join("/");
    let what = if reason.contains("certificate") {
        "where a proxy has its own certificate authority, set SSL_CERT_FILE to its PEM file"
    } else {
        "check the network, or set HF_ENDPOINT to a mirror"
    };
    work.error(StoreErrorKind::Network, format!("{host} cannot be reached or fails ({reason})"))
        .hint(format!("{what}, then run this again: it continues where it stopped"))
}
