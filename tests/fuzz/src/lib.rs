//! What the targets have in common: the standard library, read once, and the catalog of the
//! compiler's tests, which runs everything that their programs name.

#![allow(dead_code, unreachable_pub, reason = "the tests' harness has more than is used here")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use corn_compiler::source::{SourceFile, Sources};
use corn_plan::catalog::Catalog;

#[path = "../../../compiler/tests/harness/mod.rs"]
mod harness;

/// The catalog of the compiler's tests.
pub fn catalog() -> Catalog {
    harness::catalog()
}

/// The standard library and the modules of the compiler's cases.
pub struct Modules;

static TEXTS: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut texts = BTreeMap::new();
    for (prefix, folder) in [("std::", "stdlib"), ("", "compiler/tests/cases/modules")] {
        for entry in fs::read_dir(root.join(folder)).into_iter().flatten().flatten() {
            let path = entry.path();
            if let (Some(stem), Ok(text)) = (path.file_stem(), fs::read_to_string(&path)) {
                texts.insert(format!("{prefix}{}", stem.to_string_lossy()), text);
            }
        }
    }
    texts
});

impl Sources for Modules {
    fn module(&self, path: &[&str]) -> Result<SourceFile, String> {
        let name = path.join("::");
        let text = TEXTS.get(&name).cloned().ok_or("there is no such file")?;
        Ok(SourceFile { name, text })
    }

    fn known(&self) -> Vec<String> {
        TEXTS.keys().cloned().collect()
    }
}
