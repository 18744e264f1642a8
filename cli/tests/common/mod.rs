//! Runs the built command as a person would.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test file uses its part; what is wrong fails the test"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a command did.
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The outcome of a command that must succeed.
    pub(crate) fn good(self) -> Self {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The command, in the repository, without colours.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corn"));
    command.args(args).current_dir(root()).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Runs `corn` with `args`.
pub(crate) fn corn(args: &[&str]) -> Outcome {
    outcome(command(args))
}

/// Runs `command` to its end.
pub(crate) fn outcome(mut command: Command) -> Outcome {
    let output = command.output().unwrap();
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
