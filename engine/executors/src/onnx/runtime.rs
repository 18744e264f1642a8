//! Finds the ONNX Runtime library and starts it, once per process.
//!
//! The library is opened at run time, so a build needs neither a download nor a C++ compiler.
//! `ort` panics when it is first used without a library, or with one whose version it cannot
//! use; so nothing in this folder touches `ort` before `start` has returned its environment,
//! and `start` looks at the file first. A failed start leaves nothing behind: the next one
//! may name another file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use corn_core::Fault;
use corn_plan::WeightsSource;
use ort::environment::Environment;
use ort::logging::LogLevel;

/// The variable that names the library and wins over every other place.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// Where the library comes from if [`LIBRARY_VARIABLE`] names none; `None` where it names one, and
/// on machines for which no wheel is pinned.
pub fn library_source() -> Option<WeightsSource> {
    let is_pinned = cfg!(all(target_os = "linux", target_arch = "x86_64"));
    (is_pinned && std::env::var_os(LIBRARY_VARIABLE).is_none_or(|path| path.is_empty())).then(|| {
        WeightsSource::Pypi {
            package: "onnxruntime==1.32.0".to_owned(),
            path: "onnxruntime/capi/libonnxruntime.so.1.32.0".to_owned(),
            sha256: Some("5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d".to_owned()),
        }
    })
}

static STARTED: Mutex<Option<Environment>> = Mutex::new(None);

/// Starts ONNX Runtime from the library that `ORT_DYLIB_PATH` names, or else from `library`: a
/// file, or a folder that holds one `libonnxruntime` file. Later calls return the runtime that
/// is already there, whatever they name: one process has one.
pub(super) fn start(library: Option<&Path>) -> Result<Environment, Fault> {
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*started {
        return Ok(environment.clone());
    }
    let variable = std::env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let file = match (variable, library) {
        (Some(path), _) => library_file(&path, &format!("{LIBRARY_VARIABLE} names"))?,
        (None, Some(path)) => library_file(path, "it was expected as")?,
        (None, None) => {
            return Err(Fault::setup(format!(
                "the ONNX Runtime library is not here; set {LIBRARY_VARIABLE} to the path of \
                 libonnxruntime.so (the Python package onnxruntime carries it as \
                 onnxruntime/capi/libonnxruntime.so.*)"
            )));
        }
    };
    let environment = open(&file)?;
    *started = Some(environment.clone());
    Ok(environment)
}

fn library_file(path: &Path, who: &str) -> Result<PathBuf, Fault> {
    let missing = |what: &str| {
        Fault::setup(format!(
            "the ONNX Runtime library is not there: {who} {}, {what}; fetch it again, or set \
             {LIBRARY_VARIABLE} to the path of libonnxruntime.so",
            path.display()
        ))
    };
    let found = if path.is_dir() {
        library_in(path).ok_or_else(|| missing("a folder without a libonnxruntime file"))?
    } else if path.is_file() {
        path.to_path_buf()
    } else {
        return Err(missing("which is no file"));
    };
    // `ort` takes a relative path as relative to the executable; a caller means its own folder.
    std::path::absolute(&found).map_err(|error| missing(&error.to_string()))
}

/// The shortest matching name, so that the library is preferred over `…_providers_shared`.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let names =
        std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_library = |name: &String| {
        let stem = name.trim_start_matches("lib");
        ["onnxruntime.so", "onnxruntime.dylib", "onnxruntime.dll"].iter().any(|start| stem.starts_with(start))
            || (stem.starts_with("onnxruntime.")
                && Path::new(stem).extension().is_some_and(|end| end == "dylib"))
    };
    let mut names: Vec<String> = names.filter(is_library).collect();
    names.sort_by_key(|name| (name.len(), name.clone()));
    Some(folder.join(names.first()?))
}

fn open(file: &Path) -> Result<Environment, Fault> {
    let refused = |why: &str| {
        Fault::setup(format!(
            "cannot use {} as the ONNX Runtime library: {why}; set {LIBRARY_VARIABLE} to a \
             libonnxruntime.so of version 1.{} or newer, built for this machine",
            file.display(),
            ort::MINOR_VERSION
        ))
    };
    // The version check of `ort` reads only the second number; a library of another major
    // version passes it and then panics inside `build`.
    let built = catch_unwind(AssertUnwindSafe(|| {
        let builder = ort::init_from(file).map_err(|error| error.to_string())?;
        builder.with_name("corn").with_telemetry(false).build().map_err(|error| error.to_string())
    }));
    let environment = match built {
        Ok(Ok(environment)) => environment,
        Ok(Err(why)) => return Err(refused(&why)),
        Err(_) => return Err(refused("it has no interface that this build knows")),
    };
    // Every failure comes back as a status and is told once, by us.
    environment.set_log_level(LogLevel::Fatal);
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_a_setup_fault_that_says_what_to_do() {
        let fault = library_file(Path::new("/nowhere/libonnxruntime.so"), "it was expected as").unwrap_err();
        insta::assert_snapshot!(fault, @"the ONNX Runtime library is not there: it was expected as /nowhere/libonnxruntime.so, which is no file; fetch it again, or set ORT_DYLIB_PATH to the path of libonnxruntime.so");
    }

    #[test]
    fn a_folder_stands_for_the_library_in_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(library_file(folder.path(), "").is_err());
        for name in ["libonnxruntime_providers_shared.so", "libonnxruntime.so.1.32.0", "version.py"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        let found = library_file(folder.path(), "").unwrap();
        assert_eq!(found.file_name().unwrap(), "libonnxruntime.so.1.32.0");
    }

    #[test]
    fn a_file_that_is_no_library_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("libonnxruntime.so");
        std::fs::write(&file, b"not a library").unwrap();
        let message = open(&file).unwrap_err().message;
        assert!(message.starts_with("cannot use ") && message.contains("libonnxruntime.so"), "{message}");
        assert!(message.contains("version 1.17 or newer"), "{message}");
    }
}
