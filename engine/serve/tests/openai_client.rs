//! The OpenAI-compatible face by its own client: `openai` for Python, as it comes, against every endpoint.
//!
//! What is asked and expected is in `openai_client.py`. The client is installed in an environment of its own; where
//! that cannot be made, the test says so and checks nothing.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod support;

use std::path::Path;
use std::time::Duration;

use support::python::python;
use support::{PROGRAM, Server};
use tokio::process::Command;

/// How long all questions together may take.
const PATIENCE: Duration = Duration::from_secs(150);
const CLIENT: &str = "openai==3.54.0";

#[tokio::test(flavor = "multi_thread")]
async fn the_client_gets_what_it_asks_for() {
    let python = match python("openai-client", &[CLIENT]).await {
        Ok(python) => python,
        Err(why) => {
            eprintln!("SKIPPED: {CLIENT} cannot be installed here, so nothing was checked with it: {why}");
            return;
        }
    };
    let server = Server::start(PROGRAM, 4, None).await;
    let busy = Server::start(PROGRAM, 1, None).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openai_client.py");
    let mut command = Command::new(python);
    command.arg(script).arg(server.address.to_string()).arg(busy.address.to_string());
    // Nothing of this machine's settings reaches the client.
    command.env_clear().env("PYTHONUNBUFFERED", "1").env("PYTHONFAULTHANDLER", "1");
    // To a file, so that what it said is known even if it never ends.
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openai-client.log");
    let file = std::fs::File::create(&log).unwrap();
    command.stdout(file.try_clone().unwrap()).stderr(file).kill_on_drop(true);
    let status = tokio::time::timeout(PATIENCE, command.status()).await;
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(status.is_ok_and(|status| status.unwrap().success()), "{said}");
    assert!(said.trim_end().ends_with("all as expected"), "{said}");
    server.idle().await;
    busy.idle().await;
    server.stop().await;
    busy.stop().await;
}
