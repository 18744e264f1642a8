//! Python with the clients that a test needs, in a virtual environment below `target`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::Mutex;

/// How long an installation may take.
const WITHIN: Duration = Duration::from_mins(5);

/// Python with these packages, each `name==version`, in a virtual environment called `name`: made once for each target
/// folder, and again when they change. Why there is none, otherwise.
pub(crate) async fn python(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    // Tests of one binary may want the same at once.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
    let _one = ONE_AT_A_TIME.lock().await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (python, installed) = (folder.join("bin/python"), folder.join("installed"));
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    runs(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder)).await?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    runs(Command::new(&python).args(install).args(packages)).await?;
    std::fs::write(installed, wanted).map_err(|error| error.to_string())?;
    Ok(python)
}

async fn runs(command: &mut Command) -> Result<(), String> {
    let output = tokio::time::timeout(WITHIN, command.kill_on_drop(true).output()).await;
    let output = output.map_err(|_| format!("it took longer than {} s", WITHIN.as_secs()))?;
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
