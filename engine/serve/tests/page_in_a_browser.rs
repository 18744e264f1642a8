//! The status page in a browser: headless Chromium opens it, sees the graph, and asks what a newcomer would ask.
//!
//! What is done and expected is in `page_in_a_browser.py`, which drives Debian's `chromium` through `chromium-driver`.
//! Where they are not installed, the test says so and checks nothing.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use corn_serve::Keys;
use support::python::python;
use support::{PROGRAM, Server};
use tokio::process::Command;

/// How long all of it may take; a browser begins slowly on a machine that is busy.
const PATIENCE: Duration = Duration::from_mins(5);
const CLIENT: &str = "selenium==4.39.0";

/// Where the first of `names` is installed.
fn installed(names: &[&str]) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&folders).collect();
    names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_finds_what_there_is_and_tries_it() {
    let browser =
        installed(&["chromium", "chromium-browser", "google-chrome"]).zip(installed(&["chromedriver"]));
    let Some((chromium, driver)) = browser else {
        eprintln!(
            "SKIPPED: no chromium with chromedriver is installed here, so the page was opened by no browser"
        );
        return;
    };
    let python = match python("selenium", &[CLIENT]).await {
        Ok(python) => python,
        Err(why) => {
            eprintln!(
                "SKIPPED: {CLIENT} cannot be installed here, so the page was opened by no browser: {why}"
            );
            return;
        }
    };
    let open = Server::start(&support::without_deadline(), 4, None).await;
    let locked = Server::start(PROGRAM, 4, Some(Keys::parse("open-sesame").unwrap())).await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&folder).unwrap();
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page_in_a_browser.py"));
    command.arg(open.address.to_string()).arg(locked.address.to_string());
    command.args([chromium, driver]).arg(&folder).kill_on_drop(true);
    // To a file, so that what it said is known even if it never ends.
    let log = folder.join("said.log");
    let file = std::fs::File::create(&log).unwrap();
    command.stdout(file.try_clone().unwrap()).stderr(file);
    let status = tokio::time::timeout(PATIENCE, command.status()).await;
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(status.is_ok_and(|status| status.unwrap().success()), "{said}");
    if let Some(why) = said.lines().find(|line| line.starts_with("SKIPPED")) {
        eprintln!("{why}");
    } else {
        assert!(said.trim_end().ends_with("all as expected"), "{said}");
    }
    open.idle().await;
    open.stop().await;
    locked.stop().await;
}

#[tokio::test]
async fn the_page_is_for_everybody_and_what_it_reads_is_for_those_with_a_key() {
    let locked = Server::start(PROGRAM, 4, Some(Keys::parse("open-sesame").unwrap())).await;
    let page = locked.get("/").await;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'none'; script-src 'sha256-")
    );
    for foreign in ["src=\"http", "href=\"http", "url(http", "@import"] {
        assert!(!page.text().contains(foreign), "the page has {foreign}");
    }
    for path in ["/corn/v1/plan", "/corn/v1/status"] {
        assert_eq!(locked.get(path).await.status, 401, "{path}");
        let known = locked.ask("GET", path, &[("authorization", "Bearer open-sesame")], b"").await;
        assert_eq!(known.status, 200, "{path}");
    }
    assert_eq!(locked.post("/corn/v1/infer", &serde_json::json!({})).await.status, 401);
    locked.stop().await;
}
