//! Media that requests name by URL, against a store that redirects, lies, floods and never answers.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use corn_serve::{Listening, MediaSources};
use serde_json::{Value, json};
use support::{PROGRAM, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const CHART: &[u8] = include_bytes!("../../media/tests/data/chart.png");
const TONE: &[u8] = include_bytes!("../../media/tests/data/tone.wav");

/// Answers paths with what was prepared for them, and writes down which were asked for.
struct MediaStore {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    /// Connections that wait for an answer and get none.
    silent: watch::Receiver<usize>,
}

impl MediaStore {
    async fn start(answers: BTreeMap<&'static str, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, answers) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answers));
        let (count, silent) = watch::channel(0);
        let (heard, count) = (Arc::clone(&asked), Arc::new(count));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answers, heard, count) = (Arc::clone(&answers), Arc::clone(&heard), Arc::clone(&count));
                tokio::spawn(async move {
                    answer(stream, &answers, &heard, &count).await;
                });
            }
        });
        Self { address, asked, silent }
    }

    fn url(&self, path: &str) -> String {
        format!("http://localhost:{}/{path}", self.address.port())
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

async fn answer(
    mut stream: TcpStream,
    answers: &BTreeMap<&str, Vec<u8>>,
    heard: &Mutex<Vec<String>>,
    silent: &watch::Sender<usize>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
    heard.lock().unwrap().push(path.clone());
    let Some(answer) = answers.get(path.as_str()) else { return };
    if path == "flood" {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let chunk = [b"10000\r\n".as_slice(), &vec![0; 1 << 16], b"\r\n"].concat();
        while stream.write_all(&chunk).await.is_ok() {}
    } else if path == "silent" {
        silent.send_modify(|count| *count += 1);
        // Ends when the other side has closed.
        let _ = stream.read_u8().await;
        silent.send_modify(|count| *count -= 1);
    } else {
        let _ = stream.write_all(answer).await;
    }
}

fn whole(content: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", content.len());
    [head.as_bytes(), content].concat()
}

fn moved(to: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

async fn store() -> MediaStore {
    MediaStore::start(BTreeMap::from([
        ("chart", whole(CHART)),
        ("tone", whole(TONE)),
        ("page", whole(b"<html></html>")),
        ("near", moved("chart")),
        ("three", moved("/two")),
        ("two", moved("/one")),
        ("one", moved("/chart")),
        ("four", moved("/three")),
        ("circle", moved("/circle")),
        ("abroad", moved("http://example.org/chart")),
        ("metadata", moved("http://169.254.169.254/latest")),
        ("file", moved("file:///etc/passwd")),
        ("lost", b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n".to_vec()),
        ("gone", b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec()),
        ("huge", b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\nx".to_vec()),
        ("short", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx".to_vec()),
        ("noise", b"\0\xff\0\xff\r\n\r\n".to_vec()),
        ("head", [b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &vec![b'x'; 1 << 20]].concat()),
        ("flood", Vec::new()),
        ("silent", Vec::new()),
    ]))
    .await
}

/// A server that fetches from these domains.
async fn server(domains: &[String], reaches_private: bool) -> Server {
    let media = MediaSources::new(domains, reaches_private).unwrap();
    Server::start_at(PROGRAM, 4, Listening { media, ..Listening::default() }).await
}

fn chat(parts: &Value) -> Value {
    json!({ "model": "assistant", "messages": [
        { "role": "system", "content": "Look." },
        { "role": "user", "content": parts },
    ] })
}

fn picture(url: &str) -> Value {
    json!([{ "type": "text", "text": "at" }, { "type": "image_url", "image_url": { "url": url } }])
}

/// The message, place and code of the refusal of a picture.
async fn refused(server: &Server, url: &str) -> (String, String) {
    let reply = server.post("/v1/chat/completions", &chat(&picture(url))).await;
    let (message, _, param, code) = reply.error();
    assert_eq!((reply.status, param.as_str()), (400, "messages[1].content[1].image_url"), "{url}: {message}");
    assert!(message.starts_with("'messages[1].content[1].image_url'"), "{message}");
    (message, code)
}

/// W6: nothing is fetched unless the operator says from where.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_fetched_by_default() {
    let (store, server) = (store().await, server(&[], false).await);
    let (message, code) = refused(&server, &store.url("chart")).await;
    assert!(message.contains("no host is allowed") && code == "url_not_allowed", "{message}");
    assert_eq!(store.asked(), Vec::<String>::new());
    server.stop().await;
}

/// W6: a domain that is allowed and stands for a private address is not reached.
#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_refused_though_their_domain_is_allowed() {
    let store = store().await;
    let port = store.address.port();
    let domains = ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "0.0.0.0"];
    let domains: Vec<String> = domains.iter().map(|host| format!("{host}:{port}")).collect();
    let server = server(&domains, false).await;
    for domain in domains {
        let (message, code) = refused(&server, &format!("http://{domain}/chart")).await;
        assert!(message.contains("no address that this server may reach"), "{message}");
        assert_eq!(code, "url_not_allowed");
    }
    assert_eq!(store.asked(), Vec::<String>::new());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn media_come_from_where_they_may() {
    let store = store().await;
    let server = server(&[format!("localhost:{}", store.address.port())], true).await;
    let parts = json!([
        { "type": "image_url", "image_url": { "url": store.url("chart") } },
        { "type": "audio_url", "audio_url": { "url": store.url("tone") } },
        { "type": "text", "text": "and" },
        { "type": "image_url", "image_url": { "url": store.url("three") } },
    ]);
    let reply = server.post("/v1/chat/completions", &chat(&parts)).await;
    let said = reply.json()["choices"][0]["message"]["content"].as_str().map(str::to_owned);
    assert_eq!(said.as_deref(), Some("system: Look.\nuser: <48x32> <200 ms> and <48x32>\n"), "{reply:?}");
    let mut asked = store.asked();
    asked.sort();
    assert_eq!(asked, ["chart", "chart", "one", "three", "tone", "two"]);
    let near = server.post("/v1/chat/completions", &chat(&picture(&store.url("near")))).await;
    assert_eq!(near.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_url_is_said_with_its_place() {
    let store = store().await;
    let server =
        server(&[format!("localhost:{}", store.address.port()), "169.254.169.254".into()], true).await;
    let cases = [
        ("four", "more than 3 times", "url_not_fetched"),
        ("circle", "in a circle", "url_not_fetched"),
        ("abroad", "fetches nothing from example.org", "url_not_allowed"),
        ("metadata", "no address that this server may reach", "url_not_allowed"),
        ("file", "then it has no URL of http or https", "url_not_allowed"),
        ("lost", "not where", "url_not_fetched"),
        ("gone", "404", "url_not_fetched"),
        ("huge", "over the limit of 1048576 bytes", "url_not_fetched"),
        ("flood", "over the limit of 1048576 bytes", "url_not_fetched"),
        ("short", "broke off", "url_not_fetched"),
        ("noise", "could not be asked", "url_not_fetched"),
        ("head", "could not be asked", "url_not_fetched"),
        ("page", "this is a text of tags", ""),
    ];
    for (path, says, code) in cases {
        let (message, got) = refused(&server, &store.url(path)).await;
        assert!(message.contains(says), "{path}: {message}");
        assert_eq!(got, code, "{path}: {message}");
    }
    for url in
        ["ftp://localhost/a", "/etc/passwd", "HTTP://", "http://a@localhost/", "http://nowhere.invalid/"]
    {
        assert_eq!(refused(&server, url).await.1, "url_not_allowed", "{url}");
    }
    server.stop().await;
}

/// A model that takes no pictures makes nobody fetch one, and a picture too many is not fetched either.
#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_refused_is_not_fetched() {
    let store = store().await;
    let server = server(&[format!("localhost:{}", store.address.port())], true).await;
    let url = store.url("chart");
    let one = json!({ "type": "image_url", "image_url": { "url": url } });
    let many = server.post("/v1/chat/completions", &chat(&json!([one, one, one]))).await;
    assert_eq!((many.status, many.error().2.as_str()), (400, "messages[1].content[2].image_url"));
    let mut other = chat(&json!([{ "type": "text", "text": "x" }, one]));
    other["model"] = "parrot".into();
    assert_eq!(server.post("/v1/chat/completions", &other).await.status, 400);
    assert_eq!(store.asked(), Vec::<String>::new());
    server.stop().await;
}

/// A client that goes away takes its fetches along.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_its_fetches() {
    let mut store = store().await;
    let server = server(&[format!("localhost:{}", store.address.port())], true).await;
    let body = chat(&picture(&store.url("silent"))).to_string();
    let headers = [("content-type", "application/json")];
    let stream = server.send("POST", "/v1/chat/completions", &headers, body.as_bytes()).await;
    store.silent.wait_for(|count| *count == 1).await.unwrap();
    drop(stream);
    store.silent.wait_for(|count| *count == 0).await.unwrap();
    assert_eq!(store.asked(), ["silent"]);
    server.stop().await;
}
