//! Takes a file or folder out of a wheel, which is a zip archive.
//!
//! A wheel comes from strangers: paths must stay inside the target, nothing but plain files is
//! written, and sizes are bounded by what was announced and by [`MAX_BYTES`].

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use crate::digest::read_chunk;
use crate::error::{StoreError, StoreErrorKind};
use crate::source::is_inside;
use crate::work::Work;

/// Most bytes taken out of one wheel. The public index takes wheels of a gigabyte at most.
const MAX_BYTES: u64 = 16 << 30;
/// Most files taken out of one wheel.
const MAX_FILES: usize = 100_000;

struct Item {
    index: usize,
    /// Below the target folder.
    path: String,
    bytes: u64,
}

/// Unpacks `path` of the wheel at `archive` into `target`: a file under its own name, or, if
/// `path` ends in `/`, the folder's content.
pub(crate) fn unpack(archive: &Path, path: &str, target: &Path, work: &Work<'_>) -> Result<(), StoreError> {
    let file = File::open(archive).map_err(|error| work.disk(archive, &error))?;
    let mut zip = ZipArchive::new(file).map_err(|error| broken(&error, archive, work))?;
    let items = select(&mut zip, path, archive, work)?;
    let total = items.iter().map(|item| item.bytes).sum();
    let mut done = 0;
    for item in &items {
        let mut reader = zip.by_index(item.index).map_err(|error| broken(&error, archive, work))?;
        let file = target.join(&item.path);
        write_item(&mut reader, item, &file, work, &mut done, total)?;
    }
    Ok(())
}

/// The files that `path` names, with where each goes.
fn select(
    zip: &mut ZipArchive<File>,
    path: &str,
    archive: &Path,
    work: &Work<'_>,
) -> Result<Vec<Item>, StoreError> {
    let mut items = Vec::new();
    for index in 0..zip.len() {
        let item = zip.by_index_raw(index).map_err(|error| broken(&error, archive, work))?;
        let name = item.name().map_err(|error| broken(&error, archive, work))?.into_owned();
        let below = if path.ends_with('/') {
            name.strip_prefix(path).map(str::to_owned)
        } else {
            (name == path).then(|| path.rsplit('/').next().unwrap_or(path).to_owned())
        };
        let Some(below) = below.filter(|below| !below.is_empty() && !item.is_dir()) else { continue };
        if !item.is_file() || !is_inside(&below) {
            let reason = format!("the package contains '{name}', which is no plain file inside it; refused");
            return Err(work.error(StoreErrorKind::Content, reason));
        }
        items.push(Item { index, path: below, bytes: item.size() });
    }
    if items.is_empty() {
        return Err(missing(zip, path, work));
    }
    let total = items.iter().try_fold(0u64, |total, item| total.checked_add(item.bytes));
    if items.len() > MAX_FILES || total.is_none_or(|total| total > MAX_BYTES) {
        let reason = format!("'{path}' holds {} files and over {MAX_BYTES} bytes; refused", items.len());
        return Err(work.error(StoreErrorKind::Content, reason));
    }
    Ok(items)
}

/// Names what is there that looks most like what was asked for.
fn missing(zip: &ZipArchive<File>, path: &str, work: &Work<'_>) -> StoreError {
    let wanted = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
    let ending = wanted.rsplit_once('.').map(|(_, ending)| format!(".{ending}"));
    let names = || zip.file_names().filter_map(Result::ok).filter(|name| !name.contains(".dist-info/"));
    let mut near: Vec<String> =
        names().filter(|name| name.contains(wanted)).map(Cow::into_owned).take(5).collect();
    if let (true, Some(ending)) = (near.is_empty(), ending) {
        near = names().filter(|name| name.ends_with(&ending)).map(Cow::into_owned).take(5).collect();
    }
    if near.is_empty() {
        near = names().map(Cow::into_owned).take(8).collect();
    }
    work.error(StoreErrorKind::Missing, format!("the package has no '{path}' in it"))
        .hint(format!("it has {}", near.join(", ")))
}

fn write_item(
    reader: &mut impl Read,
    item: &Item,
    file: &Path,
    work: &Work<'_>,
    done: &mut u64,
    total: u64,
) -> Result<(), StoreError> {
    let create = || {
        fs::create_dir_all(file.parent().unwrap_or(file))?;
        // Two items of one name would let the second write over the first.
        File::create_new(file)
    };
    let mut out = create().map_err(|error| work.disk(file, &error))?;
    // One byte more than announced shows that the announcement was a lie.
    let mut reader = reader.take(item.bytes + 1);
    let mut written = 0;
    loop {
        let chunk = read_chunk(&mut reader).map_err(|error| damaged(&error, item, work))?;
        let Some(chunk) = chunk else { break };
        out.write_all(&chunk).map_err(|error| work.disk(file, &error))?;
        written += chunk.len() as u64;
        *done += chunk.len() as u64;
        work.advance("unpacking", *done, total)?;
    }
    if written != item.bytes {
        let reason = format!("'{}' in the package is not as long as it says; refused", item.path);
        return Err(work.error(StoreErrorKind::Content, reason));
    }
    out.sync_all().map_err(|error| work.disk(file, &error))
}

fn damaged(error: &io::Error, item: &Item, work: &Work<'_>) -> StoreError {
    work.error(StoreErrorKind::Content, format!("'{}' in the package is damaged ({error})", item.path))
        .hint("fetch it again")
}

fn broken(error: &ZipError, archive: &Path, work: &Work<'_>) -> StoreError {
    match error {
        ZipError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => work.disk(archive, error),
        error => {
            let name = archive.file_name().unwrap_or_default().to_string_lossy();
            work.error(StoreErrorKind::Content, format!("the wheel '{name}' cannot be read ({error})"))
        }
    }
}
