//! `/metrics` as Prometheus reads it: by the parser of OpenMetrics of Prometheus' own client for Python, as it comes.
//!
//! Where that cannot be installed, the text is still held to have what it must.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod support;

use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use support::{PROGRAM, Server};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const CLIENT: &str = "prometheus-client==0.25.0";

/// Reads the text as Prometheus would, and prints each sample on a line.
const READ: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        print(sample.name, ' '.join(f'{name}={value}' for name, value in sorted(sample.labels.items())), sample.value)
";

async fn runs(program: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().await.map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// What the parser reads in `text`.
async fn parsed(text: &str) -> Result<String, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prometheus-client");
    let python = folder.join("bin/python");
    if runs(&python, &["-c", "import prometheus_client"]).await.is_err() {
        runs(Path::new("python3"), &["-m", "venv", &folder.to_string_lossy()]).await?;
        runs(&python, &["-m", "pip", "install", "--quiet", CLIENT]).await?;
    }
    let mut parser = Command::new(&python);
    let parser =
        parser.args(["-c", READ]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut parser = parser.spawn().unwrap();
    let mut stdin = parser.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).await.unwrap();
    drop(stdin);
    let output = parser.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_components_and_edges_are_counted_as_prometheus_reads_them() {
    let server = Server::start(PROGRAM, 4, None).await;
    let talk =
        json!({ "graph": "parrot", "route": "talk", "inputs": { "prompt": "hello there. how are you?" } });
    assert_eq!(server.post("/corn/v1/infer", &talk).await.status, 200);
    let fail = json!({ "graph": "broken", "inputs": { "prompt": "x" } });
    assert_eq!(server.post("/corn/v1/infer", &fail).await.status, 500);
    server.idle().await;
    let text = server.get("/metrics").await.text();
    for line in [
        "corn_route_requests_total{graph=\"parrot\",route=\"talk\",outcome=\"ok\"} 1",
        "corn_route_requests_total{graph=\"broken\",route=\"fail\",outcome=\"component\"} 1",
        "corn_route_good_total{graph=\"parrot\",route=\"talk\"} 1",
        "corn_route_in_flight{graph=\"parrot\",route=\"talk\"} 0",
        "corn_route_first_item_seconds_count{graph=\"parrot\",route=\"talk\"} 1",
        "corn_requests_admitted_max 4",
    ] {
        assert!(text.lines().any(|it| it == line), "no {line}\n{text}");
    }
    let lines = |name: &str| text.lines().filter(|line| line.starts_with(name)).collect::<Vec<_>>();
    let of = |name: &str, component: &str| {
        let label = format!("component=\"{component}\"");
        let found = lines(name).into_iter().find(|line| line.contains(&label));
        let found = found.unwrap_or_else(|| panic!("no {name} of {component}\n{text}"));
        found.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!(of("corn_component_audio_seconds_total", "tone") > 0.0);
    assert!(of("corn_component_real_time_factor", "tone") > 0.0);
    assert!((of("corn_component_call_seconds_count", "words") - 1.0).abs() < 1e-9);
    assert!(
        lines("corn_edge_bytes_total").iter().any(|line| line.contains("transport=\"pointer\"")),
        "{text}"
    );
    match parsed(&text).await {
        Ok(read) => {
            assert!(
                read.contains("corn_route_requests_total graph=parrot outcome=ok route=talk 1\n"),
                "{read}"
            );
        }
        Err(why) => {
            eprintln!("SKIPPED: {CLIENT} cannot be installed here, so its parser read nothing: {why}");
        }
    }
    server.stop().await;
}
