//! Sessions by the client of the API: `openai` for Python, as it comes.
//!
//! What is said and expected is in `client.py`. The client is installed in an environment of its own; where that
//! cannot be made, the test says so and checks nothing.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use crate::support::python::python;
use crate::support::{PROGRAM, Server};

/// How long all sessions together may take.
const PATIENCE: Duration = Duration::from_secs(150);
const CLIENT: [&str; 2] = ["openai==3.54.0", "websockets==15.0.1"];

#[tokio::test(flavor = "multi_thread")]
async fn the_client_holds_sessions() {
    let python = match python("realtime-client", &CLIENT).await {
        Ok(python) => python,
        Err(why) => {
            eprintln!("SKIPPED: {CLIENT:?} cannot be installed here, so nothing was checked with it: {why}");
            return;
        }
    };
    let server = Server::start(PROGRAM, 8, None).await;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(python);
    command.arg(here.join("tests/realtime/client.py")).arg(server.address.to_string());
    command.arg(here.join("../../dsl-examples/media/question.wav"));
    // Nothing of this machine's settings reaches the client.
    command.env_clear().env("PYTHONUNBUFFERED", "1").env("PYTHONFAULTHANDLER", "1");
    // To a file, so that what it said is known even if it never ends.
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join("realtime-client.log");
    let file = std::fs::File::create(&log).unwrap();
    command.stdout(file.try_clone().unwrap()).stderr(file).kill_on_drop(true);
    let status = tokio::time::timeout(PATIENCE, command.status()).await;
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(status.is_ok_and(|status| status.unwrap().success()), "{said}");
    assert!(said.trim_end().ends_with("all as expected"), "{said}");
    server.idle().await;
    server.stop().await;
}
