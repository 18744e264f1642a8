//! What a repository holds, as the hub's API tells it.

use std::time::Duration;

use serde::Deserialize;

use super::download::{refused, unreachable_hub};
use super::http::{Answer, Client, Failure};
use super::{Repository, escape, file_address};
use crate::digest::is_sha256;
use crate::error::{StoreError, StoreErrorKind};
use crate::source::is_inside;
use crate::work::Work;

const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(300);
/// Most files of one repository.
const MAX_FILES: usize = 20_000;

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) path: String,
    pub(crate) bytes: Option<u64>,
    /// Known for large files.
    pub(crate) sha256: Option<String>,
    /// Where it is downloaded from: at the commit that was listed.
    pub(crate) address: String,
}

#[derive(Deserialize)]
struct Revision {
    sha: String,
}

#[derive(Deserialize)]
struct Node {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    size: Option<u64>,
    lfs: Option<LargeFile>,
}

#[derive(Deserialize)]
struct LargeFile {
    oid: Option<String>,
    size: Option<u64>,
}

/// The file at `path`, or every file if there is none, sorted by path. All are of one commit, even
/// if the branch moves while they are downloaded.
pub(crate) fn list(
    client: &Client,
    repository: &Repository<'_>,
    path: Option<&str>,
    work: &Work<'_>,
) -> Result<Vec<Listed>, StoreError> {
    match path {
        Some(path) => Ok(vec![one(client, repository, path, work)?]),
        None => all(client, repository, work),
    }
}

fn one(
    client: &Client,
    repository: &Repository<'_>,
    path: &str,
    work: &Work<'_>,
) -> Result<Listed, StoreError> {
    let address = file_address(&client.endpoint, repository.name, repository.revision, path);
    let name = format!("'{path}' in {} at revision {}", repository.name, repository.revision);
    let answer = ask(client, &address, true, &name, work)?;
    let quoted = |name: &str| answer.header(name).map(|tag| tag.trim_start_matches("W/").trim_matches('"'));
    let sha256 = [quoted("x-linked-etag"), quoted("etag")].into_iter().flatten().find(|tag| is_sha256(tag));
    let bytes = answer.header("x-linked-size").and_then(|text| text.parse().ok());
    let commit = answer.header("x-repo-commit").filter(|commit| is_commit(commit));
    let address = commit
        .map_or(address.clone(), |commit| file_address(&client.endpoint, repository.name, commit, path));
    Ok(Listed { path: path.to_owned(), bytes, sha256: sha256.map(str::to_lowercase), address })
}

fn all(client: &Client, repository: &Repository<'_>, work: &Work<'_>) -> Result<Vec<Listed>, StoreError> {
    let api = format!("{}/api/models/{}", client.endpoint, escape(repository.name));
    let name = format!("repository {} at revision {}", repository.name, repository.revision);
    let revision = escape(repository.revision).replace('/', "%2F");
    let text = ask_text(client, &format!("{api}/revision/{revision}"), &name, work)?.0;
    let Revision { sha } = parse(&text, work)?;
    if !is_commit(&sha) {
        return Err(work.error(StoreErrorKind::Network, format!("the hub names '{sha}' as a commit")));
    }
    let mut files = Vec::new();
    let mut page = Some(format!("{api}/tree/{sha}?recursive=true"));
    while let Some(address) = page {
        let (text, next) = ask_text(client, &address, &name, work)?;
        let nodes: Vec<Node> = parse(&text, work)?;
        for node in nodes.into_iter().filter(|node| node.kind == "file") {
            files.push(listed(client, repository, &sha, node, work)?);
        }
        if files.len() > MAX_FILES {
            let reason = format!("{name} has more than {MAX_FILES} files; name the one that is wanted");
            return Err(work.error(StoreErrorKind::Content, reason));
        }
        // Another host would get the token.
        page = next.filter(|next| next.starts_with(&format!("{}/", client.endpoint)));
    }
    if files.is_empty() {
        return Err(work.error(StoreErrorKind::Missing, format!("{name} holds no files")));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn listed(
    client: &Client,
    repository: &Repository<'_>,
    commit: &str,
    node: Node,
    work: &Work<'_>,
) -> Result<Listed, StoreError> {
    if !is_inside(&node.path) {
        let reason =
            format!("the hub lists a file '{}', which is outside its repository; refused", node.path);
        return Err(work.error(StoreErrorKind::Content, reason));
    }
    let address = file_address(&client.endpoint, repository.name, commit, &node.path);
    let sha256 = node.lfs.as_ref().and_then(|large| large.oid.clone()).filter(|oid| is_sha256(oid));
    let bytes = node.lfs.and_then(|large| large.size).or(node.size);
    Ok(Listed { path: node.path, bytes, sha256: sha256.map(|hash| hash.to_lowercase()), address })
}

/// The text at `address`, and the address of the next page.
fn ask_text(
    client: &Client,
    address: &str,
    name: &str,
    work: &Work<'_>,
) -> Result<(String, Option<String>), StoreError> {
    let answer = ask(client, address, false, name, work)?;
    let next = answer.header("link").and_then(next_page).map(str::to_owned);
    match answer.text(work) {
        Ok(text) => Ok((text, next)),
        Err(Failure::Final(error)) => Err(error),
        Err(Failure::Broken(reason)) => Err(unreachable_hub(address, &reason, work)),
    }
}

/// `<https://…>; rel="next"` → the address.
fn next_page(link: &str) -> Option<&str> {
    link.split(',').find(|part| part.contains("rel=\"next\""))?.split('>').next()?.trim().strip_prefix('<')
}

/// An answer that says yes, after a few tries.
fn ask(
    client: &Client,
    address: &str,
    head: bool,
    name: &str,
    work: &Work<'_>,
) -> Result<Answer, StoreError> {
    work.advance("looking up", 0, 0)?;
    let mut tries = 0;
    loop {
        let failure = match client.get(address, 0, head, work) {
            // A large file is elsewhere; what this answer says of it is what is asked for.
            Ok(answer) if answer.status.is_success() || (head && answer.status.is_redirection()) => {
                return Ok(answer);
            }
            Ok(answer) => refused(answer.status, name, work),
            Err(failure) => failure,
        };
        match failure {
            Failure::Final(error) => return Err(error),
            Failure::Broken(reason) => {
                tries += 1;
                if tries == TRIES {
                    return Err(unreachable_hub(address, &reason, work));
                }
                if work.interrupt.wait(PAUSE * tries) {
                    return Err(StoreError::interrupted(&work.what));
                }
            }
        }
    }
}

fn parse<T: for<'a> Deserialize<'a>>(text: &str, work: &Work<'_>) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| {
        work.error(StoreErrorKind::Network, format!("the hub's answer cannot be understood ({error})"))
            .hint("check HF_ENDPOINT")
    })
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_followed() {
        let link = r#"<https://hub/api?cursor=b>; rel="prev", <https://hub/api?cursor=c>; rel="next""#;
        assert_eq!(next_page(link), Some("https://hub/api?cursor=c"));
        assert_eq!(next_page(r#"<https://hub/api>; rel="prev""#), None);
    }
}
