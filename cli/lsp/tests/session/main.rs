//! Sessions with an editor: what it is told and what it is answered.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod completion;
mod diagnostics;
mod editor;
mod hover;
mod navigation;
mod protocol;
mod rename;
