//! `/metrics` as Prometheus reads it: by the parser of OpenMetrics of Prometheus' own client for Python, as it comes.
//!
//! Where that cannot be installed, the text is still held to have what it must.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod support;

use std::process::Stdio;

use serde_json::json;
use support::python::python;
use support::{PROGRAM, Server};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const CLIENT: &str = "prometheus-client==0.25.0";

/// Reads the text as Prometheus would, and prints each sample on a line.
const READ: &str = "
import importlib, sys
parser = importlib.import_module(sys.argv[1])
text_string_to_metric_families = parser.text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        print(sample.name, ' '.join(f'{name}={value}' for name, value in sorted(sample.labels.items())), sample.value)
";

/// What scrapers of the format of OpenMetrics say that they take, Prometheus among them.
const OPENMETRICS: &str =
    "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
const OPENMETRICS_PARSER: &str = "prometheus_client.openmetrics.parser";
const CLASSIC_PARSER: &str = "prometheus_client.parser";

/// What this parser reads in `text`.
async fn parsed(parser: &str, text: &str) -> Result<String, String> {
    let mut process = Command::new(python("prometheus-client", &[CLIENT]).await?);
    let process = process
        .args(["-c", READ, parser])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = process.spawn().unwrap();
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).await.unwrap();
    drop(stdin);
    let output = process.wait_with_output().await.unwrap();
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
    let ended = [
        "corn_route_good_total{graph=\"parrot\",route=\"talk\"} 1",
        "corn_route_requests_total{graph=\"broken\",route=\"fail\",outcome=\"component\"} 1",
    ];
    server.metrics_with(&ended).await;
    server.idle().await;
    let scraped = server.ask("GET", "/metrics", &[("accept", OPENMETRICS)], b"").await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(scraped.header("content-type"), Some(kind));
    let text = scraped.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
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
    // Whatever the stages have is a gauge, since clients that read the format do not all know what an info is.
    assert!(text.contains("# TYPE corn_stage_info gauge\n") && !text.contains(" info\n"), "{text}");
    match parsed(OPENMETRICS_PARSER, &text).await {
        Ok(read) => is_read(&read),
        Err(why) => {
            eprintln!("SKIPPED: {CLIENT} cannot be installed here, so its parser read nothing: {why}");
        }
    }
    server.stop().await;
}

fn is_read(read: &str) {
    for said in [
        "corn_route_requests_total graph=parrot outcome=ok route=talk 1",
        "corn_stage_info component=words stage=",
        "corn_route_answer_seconds_count graph=parrot route=talk 1",
    ] {
        assert!(read.contains(said), "{said}: {read}");
    }
}

/// Who does not ask for OpenMetrics gets the format of before, which everybody reads.
#[tokio::test(flavor = "multi_thread")]
async fn the_classic_format_is_what_is_not_asked_for_otherwise() {
    let server = Server::start(PROGRAM, 4, None).await;
    let talk =
        json!({ "graph": "parrot", "route": "talk", "inputs": { "prompt": "hello there. how are you?" } });
    assert_eq!(server.post("/corn/v1/infer", &talk).await.status, 200);
    server.metrics_with(&["corn_route_good_total{graph=\"parrot\",route=\"talk\"} 1"]).await;
    server.idle().await;
    for accept in [None, Some("*/*"), Some("text/plain; version=0.0.4"), Some("application/json")] {
        let headers: Vec<(&str, &str)> = accept.iter().map(|it| ("accept", *it)).collect();
        let scraped = server.ask("GET", "/metrics", &headers, b"").await;
        assert_eq!(scraped.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let text = scraped.text();
        for line in [
            "# TYPE corn_route_requests_total counter",
            "# TYPE corn_component_calls_total counter",
            "# TYPE corn_route_first_item_seconds histogram",
            "# TYPE corn_route_in_flight gauge",
            "corn_route_requests_total{graph=\"parrot\",route=\"talk\",outcome=\"ok\"} 1",
        ] {
            assert!(text.lines().any(|it| it == line), "no {line}\n{text}");
        }
        assert!(text.lines().any(|it| it.starts_with("# HELP corn_route_requests_total ")), "{text}");
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
    }
    let text = server.get("/metrics").await.text();
    match parsed(CLASSIC_PARSER, &text).await {
        Ok(read) => is_read(&read),
        Err(why) => {
            eprintln!("SKIPPED: {CLIENT} cannot be installed here, so its parser read nothing: {why}");
        }
    }
    server.stop().await;
}
