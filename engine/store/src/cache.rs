//! The cache on disk.
//!
//! ```text
//! v1/entries/KEY/record.toml     what it is, every file with size, time and hash
//! v1/entries/KEY/content/…       the files
//! v1/work/KEY/…                  downloads and conversions under way
//! v1/locks/KEY                   held by the one process that works on KEY
//! ```
//!
//! An entry appears by one rename of a complete folder, so a reader never sees half of one. Only
//! the holder of a key's lock touches `work/KEY`; what it leaves behind when it dies is continued
//! or cleared by the next holder.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::digest;
use crate::error::{StoreError, StoreErrorKind};
use crate::work::Work;

/// Layout of the record; another one is not read but fetched anew.
const FORMAT: u32 = 1;
const RECORD: &str = "record.toml";
const CONTENT: &str = "content";

/// The cache folder.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    root: PathBuf,
}

/// What is known of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    format: u32,
    /// The source, as a program writes it.
    pub(crate) source: String,
    /// What a fetch returns, below the folder of the files; empty for that folder itself.
    pub(crate) entry: String,
    /// Hash of what was fetched: of the wheel, of the file, or of the listing of a folder.
    pub(crate) sha256: String,
    /// Bytes of what was fetched.
    pub(crate) bytes: u64,
    /// The conversion that made the files, with its version.
    pub(crate) converter: Option<String>,
    /// The entry of the wheel that the files were taken out of.
    pub(crate) wheel: Option<String>,
    /// Every file of the entry, sorted by path.
    pub(crate) files: Vec<FileRecord>,
    /// Files of this machine that the entry rests on; without files of its own, it is they.
    pub(crate) outside: Option<Outside>,
}

/// Files that stay where they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outside {
    pub(crate) root: PathBuf,
    pub(crate) files: Vec<FileRecord>,
}

/// One file of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileRecord {
    /// Below the root, with `/`.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    /// Nanoseconds since 1970 of the last change, to notice a change without reading the file.
    modified_ns: u64,
}

/// What a complete entry is recorded as.
pub(crate) struct Recorded<'a> {
    pub(crate) entry: &'a str,
    pub(crate) sha256: &'a str,
    pub(crate) bytes: u64,
    pub(crate) converter: Option<&'a str>,
    pub(crate) wheel: Option<&'a str>,
    /// Files outside that the entry rests on: their folder, and their paths below it.
    pub(crate) outside: Option<(&'a Path, &'a [String])>,
}

impl Cache {
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        let root = folder.join("v1");
        for part in ["entries", "work", "locks"] {
            let path = root.join(part);
            fs::create_dir_all(&path).map_err(|error| StoreError::disk("cache folder", &path, &error))?;
        }
        Ok(Self { folder: folder.to_owned(), root })
    }

    /// The folder that holds everything.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn entry(&self, key: &str) -> PathBuf {
        self.root.join("entries").join(key)
    }

    /// The folder for what is under way; made if it is not there.
    pub(crate) fn work_folder(&self, key: &str, work: &Work<'_>) -> Result<PathBuf, StoreError> {
        let path = self.root.join("work").join(key);
        fs::create_dir_all(&path).map_err(|error| work.disk(&path, &error))?;
        Ok(path)
    }

    /// An empty folder `name` in the work folder of `key`.
    pub(crate) fn fresh_folder(&self, key: &str, name: &str, work: &Work<'_>) -> Result<PathBuf, StoreError> {
        let folder = self.work_folder(key, work)?;
        let path = folder.join(name);
        let clear = || {
            // A child of a process that was killed may still write below the old folder. It knows it
            // by name, so a new name stops it from adding to what is being removed.
            let old = folder.join(format!("old-{name}"));
            remove_tree(&old)?;
            if path.exists() {
                fs::rename(&path, &old)?;
                remove_tree(&old)?;
            }
            fs::create_dir(&path)
        };
        clear().map_err(|error| work.disk(&path, &error))?;
        Ok(path)
    }

    /// The folder `name` in the work folder of `key`, as it was left; everything else there is removed.
    pub(crate) fn only_folder(&self, key: &str, name: &str, work: &Work<'_>) -> Result<PathBuf, StoreError> {
        let folder = self.work_folder(key, work)?;
        let path = folder.join(name);
        let clear = || {
            for other in folder_names(&folder)?.iter().filter(|other| *other != name) {
                remove_tree(&folder.join(other))?;
            }
            fs::create_dir_all(&path)
        };
        clear().map_err(|error| work.disk(&folder, &error))?;
        Ok(path)
    }

    /// Waits until this process alone works on `key`.
    pub(crate) fn lock(&self, key: &str, work: &Work<'_>) -> Result<Held, StoreError> {
        let path = self.root.join("locks").join(key);
        let open = || File::options().create(true).truncate(false).write(true).open(&path);
        let file = open().map_err(|error| work.disk(&path, &error))?;
        match file.try_lock() {
            Ok(()) => return Ok(Held { _file: file }),
            Err(fs::TryLockError::WouldBlock) => {}
            Err(fs::TryLockError::Error(error)) => return Err(work.disk(&path, &error)),
        }
        // The lock is waited for on a thread of its own, so that stop is heard meanwhile.
        let (done, locked) = mpsc::channel();
        std::thread::spawn(move || {
            let outcome = file.lock().map(|()| file);
            // Nobody listens any more if the fetch was stopped; the lock is then let go at once.
            let _ = done.send(outcome);
        });
        loop {
            work.advance("waiting for another process that fetches", 0, 0)?;
            match locked.recv_timeout(Duration::from_millis(50)) {
                Ok(Ok(file)) => return Ok(Held { _file: file }),
                Ok(Err(error)) => return Err(work.disk(&path, &error)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("the thread sends before it ends"),
            }
        }
    }

    /// The record of `key`, if there is an entry that this version reads.
    pub(crate) fn record(&self, key: &str) -> Option<Record> {
        let text = fs::read_to_string(self.entry(key).join(RECORD)).ok()?;
        toml::from_str::<Record>(&text).ok().filter(|record| record.format == FORMAT)
    }

    /// The path that a fetch of the entry returns.
    pub(crate) fn path(&self, key: &str, record: &Record) -> PathBuf {
        let root = match &record.outside {
            Some(outside) if record.files.is_empty() => outside.root.clone(),
            _ => self.entry(key).join(CONTENT),
        };
        if record.entry.is_empty() { root } else { root.join(&record.entry) }
    }

    /// Whether every file is there as recorded. A file whose time of change differs is read and
    /// hashed; with `thorough` every file is. The error says which file and what about it.
    pub(crate) fn check(
        &self,
        key: &str,
        record: &Record,
        thorough: bool,
        work: &Work<'_>,
    ) -> Result<(), StoreError> {
        let own = record.files.iter().map(|file| (self.entry(key).join(CONTENT).join(&file.path), file));
        let outside = record.outside.iter();
        let outside = outside
            .flat_map(|outside| outside.files.iter().map(|file| (outside.root.join(&file.path), file)));
        for (path, file) in own.chain(outside) {
            let damaged = |reason: &str| {
                work.error(StoreErrorKind::Integrity, format!("'{}' {reason}", path.display()))
            };
            let (bytes, modified_ns) =
                stat(&path).map_err(|error| damaged(&format!("is not there ({error})")))?;
            if bytes != file.bytes {
                return Err(damaged(&format!("has {bytes} bytes instead of {}", file.bytes)));
            }
            if (thorough || !is_same_time(modified_ns, file.modified_ns))
                && digest::of_file(&path, work)? != file.sha256
            {
                return Err(damaged("has changed since it was fetched"));
            }
        }
        Ok(())
    }

    /// Makes the entry `key` of the files in `folder`, which must be on the same disk: inside the
    /// work folder of `key`; or of none of its own. The work folder is cleared.
    pub(crate) fn publish(
        &self,
        key: &str,
        folder: Option<&Path>,
        recorded: &Recorded<'_>,
        work: &Work<'_>,
    ) -> Result<Record, StoreError> {
        let mut files = Vec::new();
        if let Some(folder) = folder {
            let paths = files_below(folder).map_err(|error| work.disk(folder, &error))?;
            files = describe(folder, &paths, work)?;
        }
        let outside = match recorded.outside {
            Some((root, paths)) => {
                Some(Outside { root: root.to_owned(), files: describe(root, paths, work)? })
            }
            None => None,
        };
        let record = Record {
            format: FORMAT,
            source: work.what.clone(),
            entry: recorded.entry.to_owned(),
            sha256: recorded.sha256.to_owned(),
            bytes: recorded.bytes,
            converter: recorded.converter.map(str::to_owned),
            wheel: recorded.wheel.map(str::to_owned),
            files,
            outside,
        };
        let staged = self.fresh_folder(key, "staged", work)?;
        if let Some(folder) = folder {
            let moved = fs::rename(folder, staged.join(CONTENT));
            moved.map_err(|error| work.disk(&staged, &error))?;
        }
        self.replace(key, &staged, &record, work)?;
        Ok(record)
    }

    fn replace(&self, key: &str, staged: &Path, record: &Record, work: &Work<'_>) -> Result<(), StoreError> {
        let text = toml::to_string(record).expect("texts and numbers are TOML");
        let entry = self.entry(key);
        let replace = || {
            let record = staged.join(RECORD);
            fs::write(&record, text)?;
            File::open(&record)?.sync_all()?;
            remove_tree(&entry)?;
            fs::rename(staged, &entry)?;
            remove_tree(&self.root.join("work").join(key))
        };
        replace().map(drop).map_err(|error| work.disk(&entry, &error))
    }

    /// Keys of all entries, sorted.
    pub(crate) fn keys(&self) -> io::Result<Vec<String>> {
        folder_names(&self.root.join("entries"))
    }

    /// Keys of all work that was left behind or is under way, sorted.
    pub(crate) fn keys_under_way(&self) -> io::Result<Vec<String>> {
        folder_names(&self.root.join("work"))
    }

    /// Removes the entry and its work; the lock must be held. Returns the bytes that were freed.
    pub(crate) fn remove(&self, key: &str, work: &Work<'_>) -> Result<u64, StoreError> {
        let mut freed = 0;
        for path in [self.entry(key), self.root.join("work").join(key)] {
            freed += remove_tree(&path).map_err(|error| work.disk(&path, &error))?;
        }
        Ok(freed)
    }

    /// Removes the work folder of `key`; the lock must be held.
    pub(crate) fn clear_work(&self, key: &str, work: &Work<'_>) -> Result<u64, StoreError> {
        let path = self.root.join("work").join(key);
        remove_tree(&path).map_err(|error| work.disk(&path, &error))
    }
}

/// A key's lock, let go when dropped.
pub(crate) struct Held {
    _file: File,
}

fn describe(root: &Path, paths: &[String], work: &Work<'_>) -> Result<Vec<FileRecord>, StoreError> {
    paths
        .iter()
        .map(|path| {
            let full = root.join(path);
            let (bytes, modified_ns) = stat(&full).map_err(|error| work.disk(&full, &error))?;
            Ok(FileRecord { sha256: digest::of_file(&full, work)?, path: path.clone(), bytes, modified_ns })
        })
        .collect()
}

/// Whether two times are one; a whole second may be what an archive has left of a finer time.
fn is_same_time(now: u64, recorded: u64) -> bool {
    const SECOND: u64 = 1_000_000_000;
    now == recorded || (now.is_multiple_of(SECOND) && now / SECOND == recorded / SECOND)
}

/// Bytes and time of change.
fn stat(path: &Path) -> io::Result<(u64, u64)> {
    let meta = fs::metadata(path)?;
    let modified = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((meta.len(), modified.as_nanos() as u64))
}

fn folder_names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = fs::read_dir(folder)?
        .map(|item| Ok(item?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Every file below `folder`, relative, with `/`, sorted.
pub(crate) fn files_below(folder: &Path) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(below) = folders.pop() {
        for item in fs::read_dir(folder.join(&below))? {
            let item = item?;
            let name = item.file_name().to_string_lossy().into_owned();
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            // Follows links: the Hugging Face cache is made of them.
            if fs::metadata(item.path())?.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}

/// Removes a file or folder, if it is there, and returns the bytes it held.
fn remove_tree(path: &Path) -> io::Result<u64> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    if !meta.is_dir() {
        fs::remove_file(path)?;
        return Ok(meta.len());
    }
    let bytes = files_below(path)?
        .iter()
        .filter_map(|file| stat(&path.join(file)).ok())
        .map(|(bytes, _)| bytes)
        .sum();
    fs::remove_dir_all(path)?;
    Ok(bytes)
}
