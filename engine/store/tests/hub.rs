//! `hf(…)` against a small hub on this machine.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;

use corn_core::executor::NoProgress;
use corn_store::{HubOptions, Interrupt, Store, StoreError, StoreErrorKind, StoreOptions};
use support::hub::{Answer, Hub, ranged};
use support::{Place, Watch, hf, plain, read, sha256, with_pin};

fn store(place: &Place, hub: &Hub) -> Store {
    Store::open(options(place, hub)).unwrap()
}

fn options(place: &Place, hub: &Hub) -> StoreOptions {
    StoreOptions {
        hub: HubOptions { endpoint: hub.address.clone(), ..HubOptions::default() },
        ..place.options()
    }
}

fn bytes() -> Vec<u8> {
    (0..3_000_000u32).map(|n| (n % 251) as u8).collect()
}

#[test]
fn a_file_is_fetched_once_and_then_needs_no_hub() {
    let (place, bytes) = (Place::new(), bytes());
    let hub = Hub::with_file(bytes.clone(), sha256(&bytes), vec![]);
    let source = hf("owner/name", Some("model.gguf"));
    let fetched = store(&place, &hub).fetch_checked(&source, &NoProgress).unwrap();
    assert_eq!(fetched.path.file_name().unwrap(), "model.gguf");
    assert!(read(&fetched.path) == bytes);
    assert_eq!((fetched.sha256, fetched.bytes), (Some(sha256(&bytes)), bytes.len() as u64));
    let commit = "c".repeat(40);
    let expected = [
        "HEAD /owner/name/resolve/main/model.gguf".to_owned(),
        format!("GET /owner/name/resolve/{commit}/model.gguf"),
    ];
    assert_eq!(hub.log(), expected);
    let again = place.offline().fetch(&source, &NoProgress).unwrap();
    assert_eq!(again, fetched.path);
    assert_eq!(hub.log().len(), 2);
}

#[test]
fn a_cut_connection_is_resumed() {
    let (place, bytes) = (Place::new(), bytes());
    let hub = Hub::with_file(bytes.clone(), sha256(&bytes), vec![1_000_000, 500_000]);
    let path = store(&place, &hub).fetch(&hf("owner/name", Some("model.gguf")), &NoProgress).unwrap();
    assert!(read(path) == bytes);
    let ranges: Vec<_> = hub.asked().into_iter().map(|asked| asked.range).collect();
    assert_eq!(ranges, [None, None, Some("bytes=1000000-".into()), Some("bytes=1500000-".into())]);
}

#[test]
fn a_stopped_fetch_is_continued_by_the_next() {
    let (place, bytes) = (Place::new(), bytes());
    let hub = Hub::with_file(bytes.clone(), sha256(&bytes), vec![]);
    let source = hf("owner/name", Some("model.gguf"));
    let interrupt = Interrupt::default();
    let watch = Watch::new(interrupt.clone(), |_, done| done >= 1_000_000);
    let stopped = Store::open(StoreOptions { interrupt, ..options(&place, &hub) }).unwrap();
    let error = stopped.fetch(&source, &watch).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Interrupted);
    assert!(read(store(&place, &hub).fetch(&source, &NoProgress).unwrap()) == bytes);
    let range = hub.asked().last().unwrap().range.clone().unwrap();
    let start: usize = range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
    assert!((1_000_000..bytes.len()).contains(&start), "{range}");
}

#[test]
fn what_another_commit_left_is_not_continued() {
    let (place, old, new) = (Place::new(), bytes(), vec![7; 3_000_000]);
    let source = hf("owner/name", Some("model.gguf"));
    let interrupt = Interrupt::default();
    let watch = Watch::new(interrupt.clone(), |_, done| done >= 1_000_000);
    let first = Hub::with_file(old.clone(), sha256(&old), vec![]);
    let stopped = Store::open(StoreOptions { interrupt, ..options(&place, &first) }).unwrap();
    stopped.fetch(&source, &watch).unwrap_err();
    let second = Hub::with_file(new.clone(), sha256(&new), vec![]);
    assert!(read(store(&place, &second).fetch(&source, &NoProgress).unwrap()) == new);
}

#[test]
fn a_hub_that_does_not_resume_is_asked_from_the_start() {
    let (place, bytes) = (Place::new(), bytes());
    let whole = bytes.clone();
    let hub = Hub::start(move |asked, before| match asked.method.as_str() {
        "HEAD" => Answer::of(200),
        _ => Answer { cut: (before == 1).then_some(1000), ..Answer::body(whole.clone()) },
    });
    let path = store(&place, &hub).fetch(&hf("owner/name", Some("model.gguf")), &NoProgress).unwrap();
    assert!(read(path) == bytes);
}

#[test]
fn a_damaged_download_is_not_kept() {
    let (place, bytes) = (Place::new(), bytes());
    let hub = Hub::with_file(bytes, "0".repeat(64), vec![]);
    let error = store(&place, &hub).fetch(&hf("owner/name", Some("model.gguf")), &NoProgress).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Integrity);
    assert!(store(&place, &hub).list().unwrap().is_empty());
    let left = fs::read_dir(place.path("cache/v1/work")).unwrap().count();
    assert!(
        store(&place, &hub).remove_partial(&NoProgress).unwrap() == 0 && left <= 1,
        "no byte of it is left"
    );
}

#[test]
fn a_pin_that_the_hub_contradicts_is_refused_before_the_download() {
    let (place, bytes) = (Place::new(), bytes());
    let hub = Hub::with_file(bytes.clone(), sha256(&bytes), vec![]);
    let source = with_pin(hf("owner/name", Some("model.gguf")), &"ab".repeat(32));
    let error = store(&place, &hub).fetch(&source, &NoProgress).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Integrity);
    assert!(error.reason.contains(&"ab".repeat(32)) && error.reason.contains(&sha256(&bytes)), "{error}");
    assert!(hub.log().iter().all(|line| line.starts_with("HEAD")));
}

#[test]
fn the_token_goes_to_the_hub_and_nowhere_else() {
    let place = Place::new();
    let elsewhere = Hub::start(|_, _| Answer::body("weights"));
    let target = elsewhere.address.replace("127.0.0.1", "localhost") + "/blob";
    let hub = Hub::start(move |_, _| Answer::of(302).header("Location", &target));
    let mut options = options(&place, &hub);
    options.hub.token = Some("secret".into());
    let store = Store::open(options).unwrap();
    let path = store.fetch(&hf("owner/name", Some("model.gguf")), &NoProgress).unwrap();
    assert_eq!(read(path), b"weights");
    assert!(hub.asked().iter().all(|asked| asked.token.as_deref() == Some("Bearer secret")));
    assert!(elsewhere.asked().iter().all(|asked| asked.token.is_none()));
}

/// A hub with a repository of three files, listed on two pages; the second is at `next_host`, or
/// here.
fn repository(next_host: Option<&'static str>) -> Hub {
    const FILES: [(&str, &str); 3] =
        [("config.json", "{}"), ("onnx/model.onnx", "onnx"), ("tokenizer.json", "[]")];
    Hub::start(move |asked, _| {
        let commit = "d".repeat(40);
        let tree = format!("/api/models/owner/name/tree/{commit}?recursive=true");
        let node = |(path, content): (&str, &str)| serde_json::json!({ "type": "file", "path": path, "size": content.len(), "oid": "1".repeat(40) });
        if asked.path == "/api/models/owner/name/revision/main" {
            return Answer::body(format!(r#"{{"sha":"{commit}"}}"#));
        }
        if asked.path == tree {
            let page = serde_json::json!([node(FILES[0]), { "type": "directory", "path": "onnx" }]);
            let next = format!("<http://{}{tree}&cursor=2>; rel=\"next\"", next_host.unwrap_or(&asked.host));
            return Answer::body(page.to_string()).header("Link", &next);
        }
        if asked.path == format!("{tree}&cursor=2") {
            return Answer::body(serde_json::json!([node(FILES[1]), node(FILES[2])]).to_string());
        }
        let file = asked.path.strip_prefix(&format!("/owner/name/resolve/{commit}/"));
        let content = file.and_then(|file| FILES.iter().find(|(path, _)| *path == file));
        content.map_or(Answer::of(404), |(_, content)| ranged(content.as_bytes(), asked.range.as_deref()))
    })
}

#[test]
fn a_whole_repository_is_a_folder() {
    let place = Place::new();
    let hub = repository(None);
    let source = hf("owner/name", None);
    let fetched = store(&place, &hub).fetch_checked(&source, &NoProgress).unwrap();
    assert_eq!(read(fetched.path.join("onnx/model.onnx")), b"onnx");
    let lines: String = [("{}", "config.json"), ("onnx", "onnx/model.onnx"), ("[]", "tokenizer.json")]
        .map(|(content, path)| format!("{}  {path}\n", sha256(content.as_bytes())))
        .concat();
    assert_eq!(fetched.sha256, Some(sha256(lines.as_bytes())));
    assert_eq!(place.offline().fetch(&source, &NoProgress).unwrap(), fetched.path);
}

#[test]
fn the_next_page_of_a_listing_is_asked_of_the_hub_alone() {
    let place = Place::new();
    let hub = repository(Some("127.0.0.1:9"));
    let folder = store(&place, &hub).fetch(&hf("owner/name", None), &NoProgress).unwrap();
    assert!(folder.join("config.json").exists() && !folder.join("tokenizer.json").exists());
}

#[test]
fn a_listing_that_leaves_its_folder_is_refused() {
    let place = Place::new();
    let hub = Hub::start(|asked, _| {
        if asked.path.contains("/revision/") {
            return Answer::body(format!(r#"{{"sha":"{}"}}"#, "d".repeat(40)));
        }
        Answer::body(r#"[{"type":"file","path":"../../evil","size":1}]"#)
    });
    let error = store(&place, &hub).fetch(&hf("owner/name", None), &NoProgress).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Content);
}

#[test]
fn what_the_hubs_own_tools_have_is_taken_from_there() {
    let place = Place::new();
    let hub = Hub::start(|_, _| Answer::of(500));
    let repo = place.path("hub/models--owner--name");
    let snapshot = repo.join("snapshots").join("e".repeat(40));
    fs::create_dir_all(snapshot.join("sub")).unwrap();
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::write(repo.join("refs/main"), "e".repeat(40)).unwrap();
    fs::write(snapshot.join("sub/model.gguf"), "weights").unwrap();
    let mut options = options(&place, &hub);
    options.hub.cache_dir = Some(place.path("hub"));
    let open = |options: &StoreOptions| Store::open(options.clone()).unwrap();
    let source = hf("owner/name", Some("sub/model.gguf"));
    let fetched = open(&options).fetch_checked(&source, &NoProgress).unwrap();
    assert_eq!(fetched.path, snapshot.join("sub/model.gguf"));
    assert_eq!(fetched.sha256, Some(sha256(b"weights")));
    let pinned = with_pin(source, &"ab".repeat(32));
    assert_eq!(open(&options).fetch(&pinned, &NoProgress).unwrap_err().kind, StoreErrorKind::Integrity);
    options.offline = true;
    assert_eq!(open(&options).fetch(&hf("owner/name", None), &NoProgress).unwrap(), snapshot);
    assert!(hub.log().is_empty());
}

#[test]
fn refusals_of_the_hub_say_what_to_do() {
    let texts: Vec<String> = [401, 403, 404, 418, 503]
        .into_iter()
        .map(|status| {
            let place = Place::new();
            let hub = Hub::start(move |_, _| Answer::of(status));
            let error =
                store(&place, &hub).fetch(&hf("owner/name", Some("model.gguf")), &NoProgress).unwrap_err();
            plain(&error, &place)
        })
        .collect();
    let place = Place::new();
    let hub = Hub::start(|_, _| Answer::of(200));
    let fails = |options: StoreOptions, source| -> StoreError {
        Store::open(options).unwrap().fetch(&source, &NoProgress).unwrap_err()
    };
    let mut nowhere = options(&place, &hub);
    nowhere.hub.endpoint = "http://127.0.0.1:9".into();
    let mut offline = options(&place, &hub);
    offline.offline = true;
    insta::assert_snapshot!(format!(
        "{}\n{}\n{}\n{}",
        texts.join("\n"),
        plain(&fails(nowhere, hf("owner/name", None)), &place),
        plain(&fails(offline, hf("owner/name", None)), &place),
        plain(&fails(options(&place, &hub), hf("../name", None)), &place),
    ));
}
