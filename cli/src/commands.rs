//! The commands, a file each.

pub(crate) mod call;
pub(crate) mod check;
pub(crate) mod compile;
pub(crate) mod completions;
pub(crate) mod diff;
pub(crate) mod explain;
pub(crate) mod fmt;
pub(crate) mod graph;
pub(crate) mod lacking;
pub(crate) mod logs;
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
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use tokio::sync::watch;

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

/// How often this process was told to stop since somebody first asked for that.
static TOLD: OnceLock<watch::Sender<u32>> = OnceLock::new();

/// Ends when a person or the system has said stop: Ctrl-C, and where there are such signals, TERM and HUP.
pub(crate) async fn told_to_stop() {
    told_to_stop_times(1).await;
}

/// Ends when that was said so often. It may have been said before this is asked, though not before that was first asked:
/// then the system ends the process, which is a stop as well.
pub(crate) async fn told_to_stop_times(times: u32) {
    let told = TOLD.get_or_init(|| {
        let told = watch::Sender::new(0);
        let counted = told.clone();
        let (listens, is_listening) = channel();
        // A thread of its own: one that is busy, or ends, loses no word.
        let thread = std::thread::Builder::new().name("corn-signals".to_owned());
        let _ = thread.spawn(move || count_stops(&counted, listens));
        // It has said so, or cannot listen and is over.
        let _ = is_listening.recv();
        told
    });
    // It is there as long as the process.
    let _ = told.subscribe().wait_for(|count| *count >= times).await;
}

/// Counts, and says so once it listens. Without handlers, the system ends the process.
fn count_stops(told: &watch::Sender<u32>, listens: Sender<()>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let each = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
            if let [Ok(mut interrupt), Ok(mut term), Ok(mut hup)] = each {
                drop(listens);
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = term.recv() => {}
                        _ = hup.recv() => {}
                    }
                    told.send_modify(|count| *count += 1);
                }
            }
        }
        drop(listens);
        while tokio::signal::ctrl_c().await.is_ok() {
            told.send_modify(|count| *count += 1);
        }
    });
}
