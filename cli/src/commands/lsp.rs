//! `corn lsp`: answers an editor on standard input and output.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use corn_lsp::Settings;
use corn_store::{Store, StoreOptions};

use crate::args::Placement;
use crate::failure::Failure;
use crate::program;

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
An editor starts it by itself; docs/EDITORS.md says how for VS Code, Neovim, Helix, Zed and Emacs.")]
pub(crate) struct Lsp {
    /// Taken and ignored: some editors add it, and there is no other way to talk.
    #[arg(long, hide = true)]
    stdio: bool,
}

pub(crate) fn lsp(_args: &Lsp) -> Result<(), Failure> {
    let settings = Settings {
        catalog: corn_executors::catalog(),
        target: program::target(&Placement { workers: None, inflight: None, processes: false }),
        library: program::STDLIB,
        library_folder: library_folder(),
    };
    if corn_lsp::serve_stdio(settings) {
        return Ok(());
    }
    Err(Failure::setup("the editor went away without saying `shutdown`"))
}

/// Where an editor finds the texts of the standard library. They are the same for one version.
fn library_folder() -> PathBuf {
    let cache = Store::open(StoreOptions::from_env()).map(|store| store.cache_dir().to_path_buf());
    let folder = cache.unwrap_or_else(|_| std::env::temp_dir().join("corn"));
    folder.join("std").join(env!("CARGO_PKG_VERSION"))
}
