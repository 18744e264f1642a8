//! `corn logs`: what the processes of a deployment have said.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::commands::ps::local;
use crate::commands::{print, told_to_stop};
use crate::failure::Failure;
use crate::state::State;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  corn logs assistant            of all its processes
  corn logs assistant w0 -f      of w0 of the plan that is served, and what it says from now on
  corn logs assistant w0-2       of w0 of the second plan: the one that the first update brought

The workers of each plan have logs of their own: `w0-2` stands before the lines of w0 of the
second plan, and `w0-1` before those of the first, once there was an update. Those of the plan
that left last, or that did not come, are kept until the next update.")]
pub(crate) struct Logs {
    /// The deployment.
    name: String,
    /// Only `coordinator`, or a worker such as w0: of the plan that is served, or of another one, as w0-1.
    who: Option<String>,
    /// Go on with what is said from now on.
    #[arg(short, long)]
    follow: bool,
}

/// How far each log was read.
#[derive(Default)]
struct Reader {
    at: BTreeMap<PathBuf, u64>,
}

pub(crate) fn logs(args: &Logs) -> Result<(), Failure> {
    let state = State::of(&args.name)?;
    let mut reader = Reader::default();
    reader.show(&chosen(&state, args.who.as_deref())?)?;
    if !args.follow {
        return Ok(());
    }
    local(async {
        let follow = async {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                // Another plan has logs of its own. Where there are none any more, nothing is said.
                reader.show(&chosen(&state, args.who.as_deref()).unwrap_or_default())?;
            }
        };
        tokio::select! {
            () = told_to_stop() => Ok(()),
            outcome = follow => outcome,
        }
    })
}

/// The logs that are asked for, and what each is called.
fn chosen(state: &State, who: Option<&str>) -> Result<Vec<(String, PathBuf)>, Failure> {
    let mut logs = state.present().all_logs();
    if logs.is_empty() {
        return Err(Failure::Usage(format!("there is no log of a deployment '{}'", state.name)));
    }
    let Some(who) = who else { return Ok(logs) };
    let there_are: Vec<String> = logs.iter().map(|(name, _)| name.clone()).collect();
    let asked = state.present().log_called(who);
    logs.retain(|(_, path)| *path == asked);
    if logs.is_empty() {
        let there_are = there_are.join(", ");
        return Err(Failure::Usage(format!("there is no log of '{who}'; there are {there_are}")));
    }
    Ok(logs)
}

impl Reader {
    fn show(&mut self, logs: &[(String, PathBuf)]) -> Result<(), Failure> {
        let wide = logs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, path) in logs {
            // What cannot be read has been removed: it is of a plan that has left.
            for line in self.lines(path).unwrap_or_default().lines() {
                print(&format!("{name:<wide$}  {line}\n"))?;
            }
        }
        Ok(())
    }

    /// The whole lines that came since the log was read before.
    fn lines(&mut self, path: &Path) -> io::Result<String> {
        let mut file = File::open(path)?;
        let at = self.at.entry(path.to_owned()).or_default();
        // A shorter one has been begun anew.
        if file.metadata()?.len() < *at {
            *at = 0;
        }
        file.seek(SeekFrom::Start(*at))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        *at += whole as u64;
        Ok(String::from_utf8_lossy(&bytes[..whole]).into_owned())
    }
}
