//! KServe v2 as Triton's own client speaks it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::harness::{PROGRAM, host};

/// The client whose behaviour `triton.py` was written after.
const CLIENT: &str = "tritonclient[grpc]==2.73.0";

#[tokio::test]
async fn tritons_client_is_served_unchanged() {
    let Ok(python) = python().await.inspect_err(|why| eprintln!("SKIPPED, no client of Triton: {why}"))
    else {
        return;
    };
    let host = host(PROGRAM).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/grpc/triton.py");
    let mut script =
        Command::new(python).arg(script).arg(host.address.to_string()).kill_on_drop(true).spawn().unwrap();
    let ended = tokio::time::timeout(Duration::from_mins(1), script.wait()).await;
    assert!(ended.expect("it ends in time").unwrap().success());
    host.all_given_back().await;
}

/// A Python that has the client; it is fetched if it is not there yet.
async fn python() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tritonclient-2.73.0");
    let python = folder.join("bin/python");
    if run(Command::new(&python).args(["-c", "import tritonclient.grpc"])).await.is_ok() {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder)).await?;
    run(Command::new(&python).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        CLIENT,
    ]))
    .await?;
    Ok(python)
}

async fn run(command: &mut Command) -> Result<(), String> {
    let output = command.kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_mins(5), output).await;
    let output = output.map_err(|_| "it took longer than 5 minutes".to_owned())?;
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
