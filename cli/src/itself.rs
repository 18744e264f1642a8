//! Other processes of this very program.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio::process::Command;

/// This program, as the system holds it open.
const RUNNING: &str = "/proc/self/exe";

/// A command that runs this program, also where another has taken its place on the disk since: one that speaks
/// otherwise than this process does would be of no use to it.
pub(crate) fn itself() -> io::Result<Command> {
    let path = std::env::current_exe()?;
    let file = |path: &Path| fs::metadata(path).map(|it| (it.dev(), it.ino()));
    if file(Path::new(RUNNING)).ok() == file(&path).ok() {
        return Ok(Command::new(path));
    }
    let mut command = Command::new(RUNNING);
    command.arg0(env!("CARGO_BIN_NAME"));
    Ok(command)
}
