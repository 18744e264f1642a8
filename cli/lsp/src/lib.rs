//! A language server for `.corn` files: what is wrong while it is typed, what names stand for,
//! what comes next.
//!
//! One thread reads messages and answers them in order (`server`). It keeps the texts that the
//! editor has open (`world`) and asks the compiler about them; each answer is made in a file of
//! its own from what [`corn_compiler::examine`] says. Nothing here knows an executor: the catalog
//! and the standard library are handed in.

mod completion;
mod diagnostics;
mod format;
mod highlight;
mod hover;
mod navigate;
mod offer;
mod place;
mod rename;
mod server;
mod symbols;
mod text;
mod transport;
mod world;

use std::path::PathBuf;

use corn_compiler::Target;
use corn_plan::catalog::Catalog;
use lsp_server::Connection;

/// What the server is to know from the start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What executors can run.
    pub catalog: Catalog,
    /// What programs are placed on that say nothing themselves.
    pub target: Target,
    /// The modules of the standard library with their texts.
    pub library: &'static [(&'static str, &'static str)],
    /// Where their texts are written when the editor is to open one.
    pub library_folder: PathBuf,
}

/// Serves the editor at the other end of standard input and output until it says `exit`; whether
/// it said `shutdown` before.
pub fn serve_stdio(settings: Settings) -> bool {
    transport::stdio(|connection| serve(settings, connection))
}

/// Serves the editor at the other end of `connection` until it says `exit` or is gone; whether
/// it said `shutdown` before.
pub fn serve(settings: Settings, connection: &Connection) -> bool {
    server::Server::new(settings, connection).run()
}
