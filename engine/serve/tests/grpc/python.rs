//! Clients in Python: Triton's, unchanged, and Corn's own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::harness::{PROGRAM, host};

/// `triton.py` was written after the behaviour of this version.
#[tokio::test]
async fn tritons_client_is_served_unchanged() {
    is_content("triton.py", "tritonclient[grpc]==2.73.0", "tritonclient.grpc").await;
}

#[tokio::test]
async fn corns_client_is_served() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    is_content("client.py", &package.to_string_lossy(), "corn_client").await;
}

/// Runs `script`, which needs `package` to import `module`, against the program. Skipped where no Python has it and
/// none can be made that does.
#[allow(clippy::print_stderr, reason = "a test that is skipped must be seen to be")]
async fn is_content(script: &str, package: &str, module: &str) {
    let python = match python(package, module).await {
        Ok(python) => python,
        Err(why) => return eprintln!("SKIPPED, no {package}: {why}"),
    };
    let host = host(PROGRAM).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/grpc").join(script);
    let mut running = Command::new(python);
    // It is on this machine, whatever the way to others is.
    running.arg(script).arg(host.address.to_string()).env("no_grpc_proxy", "*").kill_on_drop(true);
    for proxy in ["http_proxy", "https_proxy", "grpc_proxy"] {
        running.env_remove(proxy);
    }
    let running = running.spawn();
    let ended = tokio::time::timeout(Duration::from_mins(1), running.unwrap().wait()).await;
    assert!(ended.expect("it ends in time").unwrap().success());
    host.all_given_back().await;
}

/// A Python that has `package`, in a virtual environment below `target`. What comes from this repository is installed
/// each time, since it may have changed.
async fn python(package: &str, module: &str) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(module);
    let python = folder.join("bin/python");
    let is_there = run(Command::new(&python).args(["-c", &format!("import {module}")])).await.is_ok();
    if !is_there {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder)).await?;
    }
    if !is_there || Path::new(package).exists() {
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package];
        run(Command::new(&python).args(install)).await?;
    }
    Ok(python)
}

async fn run(command: &mut Command) -> Result<(), String> {
    let output = command.kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_mins(5), output).await;
    let output = output.map_err(|_| "it took longer than 5 minutes".to_owned())?;
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
