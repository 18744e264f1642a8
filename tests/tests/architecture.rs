//! The one-way rules of `docs/ARCHITECTURE.md`: which crate and which module may name which.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// What each crate of ours may depend on, apart from its tests.
const CRATES: [(&str, &[&str]); 15] = [
    ("corn-plan", &[]),
    ("corn-compiler", &["corn-plan"]),
    ("corn-core", &["corn-plan"]),
    ("corn-device", &["corn-core"]),
    ("corn-fake-cuda", &[]),
    ("corn-sim", &["corn-core", "corn-plan"]),
    ("corn-media", &["corn-core", "corn-plan"]),
    ("corn-store", &["corn-core", "corn-plan"]),
    ("corn-engine", &["corn-core", "corn-device", "corn-media", "corn-plan"]),
    ("corn-executors", &["corn-core", "corn-device", "corn-plan", "corn-store"]),
    ("corn-serve", &["corn-core", "corn-engine", "corn-media", "corn-plan"]),
    ("corn-lsp", &["corn-compiler", "corn-plan"]),
    (
        "corn",
        &[
            "corn-compiler",
            "corn-core",
            "corn-engine",
            "corn-executors",
            "corn-lsp",
            "corn-media",
            "corn-plan",
            "corn-serve",
            "corn-store",
        ],
    ),
    ("corn-benches", &["corn-compiler", "corn-plan"]),
    (
        "corn-tests",
        &["corn-compiler", "corn-core", "corn-engine", "corn-executors", "corn-plan", "corn-store"],
    ),
];

/// The compiler's modules in order: each may name those before it.
const COMPILER: [&str; 7] = ["source", "diagnostic", "syntax", "graph", "analyze", "passes", "lower"];

/// Crates that only one of ours may use.
const ALONE: [(&str, &str); 8] = [
    ("candle-core", "corn-executors"),
    ("cudarc", "corn-device"),
    ("ort", "corn-executors"),
    ("lalrpop-util", "corn-compiler"),
    ("lsp-server", "corn-lsp"),
    ("lsp-types", "corn-lsp"),
    ("petgraph", "corn-compiler"),
    ("tonic", "corn-serve"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn packages() -> Vec<cargo_metadata::Package> {
    let manifest = root().join("Cargo.toml");
    let offline = vec!["--offline".to_owned()];
    MetadataCommand::new().manifest_path(manifest).no_deps().other_options(offline).exec().unwrap().packages
}

fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let normal = |package: &cargo_metadata::Package| {
        let normal =
            package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
        normal.map(|dependency| dependency.name.clone()).collect()
    };
    packages().iter().map(|package| (package.name.to_string(), normal(package))).collect()
}

/// The README's commands begin with `cargo run --`, and there are several programs.
#[test]
fn cargo_runs_the_command_if_no_program_is_named() {
    let packages = packages();
    let default_runs: Vec<&str> =
        packages.iter().filter_map(|package| package.default_run.as_deref()).collect();
    assert_eq!(default_runs, ["corn"]);
}

#[test]
fn crates_depend_one_way() {
    let dependencies = dependencies();
    let known: BTreeSet<&str> = CRATES.iter().map(|(name, _)| *name).collect();
    assert_eq!(known, dependencies.keys().map(String::as_str).collect(), "every crate has its rule");
    for (name, allowed) in CRATES {
        for dependency in dependencies[name].iter().filter(|dependency| known.contains(dependency.as_str())) {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
    }
    for (dependency, user) in ALONE {
        for (name, used) in &dependencies {
            assert!(
                !used.contains(dependency) || name == user,
                "{name} must not use {dependency}; only {user} does"
            );
        }
    }
}

/// The core has no I/O, no clock, no threads.
#[test]
fn the_core_and_the_compiler_are_pure() {
    let impure =
        ["std::fs", "std::net", "std::thread", "std::process", "std::time", "std::io", "std::env", "tokio"];
    for folder in ["plan/src", "compiler/src", "engine/core/src"] {
        for (file, text) in sources(&root().join(folder)) {
            for word in impure {
                let found =
                    text.lines().find(|line| line.contains(word) && !line.trim_start().starts_with("//"));
                assert_eq!(found, None, "{} names {word}", file.display());
            }
        }
    }
}

#[test]
fn the_compiler_reads_one_way() {
    let folder = root().join("compiler/src");
    for (file, text) in sources(&folder) {
        let relative = file.strip_prefix(&folder).unwrap().with_extension("");
        let module = relative.iter().next().unwrap().to_str().unwrap();
        let Some(place) = COMPILER.iter().position(|known| *known == module) else {
            assert_eq!(module, "lib", "{} has a place in the order", file.display());
            continue;
        };
        for later in &COMPILER[place + 1..] {
            let names = format!("crate::{later}");
            assert!(!text.contains(&names), "{} must not name {names}: it comes later", file.display());
        }
    }
}

/// A file has one subject and at most 600 lines.
#[test]
fn no_file_is_too_long() {
    for folder in ["plan", "compiler", "engine", "cli", "tests", "benches"] {
        for (file, text) in sources(&root().join(folder)) {
            let lines = text.lines().count();
            assert!(lines <= 600, "{} has {lines} lines", file.display());
        }
    }
}

/// The lint denies `unsafe`; whoever allows it is listed here.
#[test]
fn unsafe_is_written_in_few_places() {
    let allowing = |folder: &str| {
        let all = sources(&root().join(folder));
        all.into_iter().filter(|(_, text)| text.lines().any(|line| line.starts_with("#![allow(unsafe_code")))
    };
    let folders = ["plan", "compiler", "engine", "cli", "tests", "benches"];
    let mut found: Vec<PathBuf> =
        folders.iter().flat_map(|folder| allowing(folder)).map(|(file, _)| file).collect();
    found.sort();
    // Shared memory, the driver of GPUs, and what stands in for that driver in tests.
    let expected = ["engine/device/src/driver.rs", "engine/src/arena.rs", "tests/fake-cuda/src/lib.rs"];
    assert_eq!(found, expected.map(|file| root().join(file)));
}

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}
