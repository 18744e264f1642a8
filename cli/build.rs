//! Puts the standard library into the command: every `.corn` file of `stdlib/`, by its path. No list of names
//! can forget a file, because there is none.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new("..").join("stdlib").canonicalize()?;
    let mut modules = Vec::new();
    collect(&root, "", &mut modules)?;
    modules.sort();
    let mut table = String::from("&[\n");
    for (name, path) in modules {
        writeln!(table, "    ({name:?}, include_str!({:?})),", path.display().to_string())?;
    }
    table.push(']');
    let out = std::env::var_os("OUT_DIR").ok_or("cargo names no folder for what is generated")?;
    fs::write(Path::new(&out).join("stdlib.rs"), table)?;
    Ok(())
}

/// The modules of `folder` and of the folders in it: `models::whisper` is `models/whisper.corn`.
fn collect(folder: &Path, prefix: &str, modules: &mut Vec<(String, PathBuf)>) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        if path.is_dir() {
            collect(&path, &format!("{prefix}{stem}::"), modules)?;
        } else if path.extension().is_some_and(|extension| extension == "corn") {
            modules.push((format!("{prefix}{stem}"), path));
        }
    }
    Ok(())
}
