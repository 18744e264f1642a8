//! The commands, a file each.

pub(crate) mod call;
pub(crate) mod check;
pub(crate) mod compile;
pub(crate) mod completions;
pub(crate) mod diff;
pub(crate) mod explain;
pub(crate) mod fmt;
pub(crate) mod graph;
pub(crate) mod lsp;
pub(crate) mod models;
pub(crate) mod ps;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod up;
pub(crate) mod update;
pub(crate) mod worker;

use std::io::Write;
use std::path::Path;

use crate::failure::Failure;

/// Prints to standard output; a reader that has gone away is not an error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::setup(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says something on standard error, if anyone can hear it.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Writes a file.
pub(crate) fn write(file: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text)
        .map_err(|error| Failure::setup(format!("'{}' cannot be written: {error}", file.display())))
}

/// Refuses to write what was made of a program over the program.
pub(crate) fn refuse_overwriting(output: &Path, program: &Path) -> Result<(), Failure> {
    if output.canonicalize().ok().is_some_and(|output| Some(output) == program.canonicalize().ok()) {
        let output = output.display();
        return Err(Failure::Usage(format!("'{output}' is the program itself; write to another file")));
    }
    Ok(())
}

/// Ends when a person or the system says stop: Ctrl-C, and where there are such signals, TERM and HUP.
pub(crate) async fn told_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let (Ok(mut term), Ok(mut hup)) = (signal(SignalKind::terminate()), signal(SignalKind::hangup())) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = term.recv() => {}
                _ = hup.recv() => {}
            }
            return;
        }
    }
    // Without a handler the system ends the process, which is a stop as well.
    let _ = tokio::signal::ctrl_c().await;
}
