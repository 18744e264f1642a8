//! Clients that are slow, silent, many, or mean no good, on real sockets: each ends its own connection, and those that
//! ask are answered.

#![allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use corn_serve::{Bounds, Listening, Tls};
use serde_json::json;
use support::certificates::Authority;
use support::{PROGRAM, Reply, Server, may_open, without_deadline};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

const HEALTH: &[u8] = b"GET /health HTTP/1.1\r\nhost: corn\r\n\r\n";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty frame of settings.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
/// Longer than anything here takes, and much shorter than the usual bounds.
const SOON: Duration = Duration::from_secs(5);

fn quick() -> Bounds {
    Bounds { first_within: Duration::from_millis(400), ..Bounds::default() }
}

async fn serve(bounds: Bounds) -> Server {
    let grpc = Some("127.0.0.1:0".to_owned());
    Server::start_at(PROGRAM, 4, Listening { grpc, bounds, ..Listening::default() }).await
}

async fn connect(at: SocketAddr) -> TcpStream {
    TcpStream::connect(at).await.unwrap()
}

/// What comes until the server hangs up.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Who is cut off while it sends may find the connection reset.
    let _ = timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("the server hangs up");
    bytes
}

/// Asks over a connection that is kept, and reads the answer.
async fn ask(stream: &mut TcpStream) -> Vec<u8> {
    stream.write_all(HEALTH).await.unwrap();
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\nok") {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "{}", String::from_utf8_lossy(&bytes));
    }
    bytes
}

async fn hold(server: &Server) -> TcpStream {
    let body =
        json!({ "model": "endless", "messages": [{ "role": "user", "content": "go" }], "stream": true });
    let headers = [("content-type", "application/json")];
    let mut stream = server.send("POST", "/v1/chat/completions", &headers, body.to_string().as_bytes()).await;
    let mut byte = [0; 12];
    stream.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"HTTP/1.1 200");
    stream
}

/// F6: nobody has longer for a request than it takes to send one.
#[tokio::test(flavor = "multi_thread")]
async fn who_sends_a_head_slowly_or_not_at_all_is_cut_off() {
    let server = serve(quick()).await;
    let (http, grpc) = (server.address, server.grpc.unwrap());
    let settings = [PREFACE, &SETTINGS].concat();
    for (at, begin) in [
        (http, &b""[..]),
        (http, b"GE"),
        (http, b"GET /health HTTP/1.1\r\nhost: corn\r\n"),
        (http, &settings),
        (grpc, b""),
        (grpc, b"PRI * "),
        (grpc, &settings),
    ] {
        let began = Instant::now();
        let mut stream = connect(at).await;
        stream.write_all(begin).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
        assert!(began.elapsed() >= quick().first_within, "{begin:?} is given its time");
    }
    // A byte now and then is no more than none.
    let mut stream = connect(http).await;
    let dribble = async {
        for byte in b"GET /health HTTP/1.1\r\nx: ".iter().chain(std::iter::repeat(&b'y')) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    };
    timeout(SOON, dribble).await.expect("it is cut off");
    assert_eq!(server.get("/health").await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let authority = Authority::new("ours");
    let identity = authority.vouch_for("server");
    let tls = Some(Tls::read(&identity.certificate, &identity.key, None).unwrap());
    let listening = Listening { tls, bounds: quick(), ..Listening::default() };
    let server = Server::start_at(PROGRAM, 4, listening).await;
    // The first bytes of a handshake that is 512 bytes long.
    for begin in [&b""[..], &[0x16, 3, 1, 2, 0, 1, 0]] {
        let mut stream = connect(server.address).await;
        stream.write_all(begin).await.unwrap();
        assert_eq!(rest(&mut stream).await, b"");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_asked_may_be_idle_for_a_while() {
    let bounds = Bounds { next_within: Duration::from_secs(2), ..quick() };
    let server = serve(bounds).await;
    let mut stream = connect(server.address).await;
    for _ in 0..3 {
        ask(&mut stream).await;
        tokio::time::sleep(bounds.first_within * 3 / 2).await;
    }
    assert_eq!(rest(&mut stream).await, b"");
    server.stop().await;
}

/// F6: connections that say nothing push out each other, and nobody who asks.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_starves_nobody() {
    let unasked_for = Duration::from_millis(50);
    let bounds = Bounds { connections: 256, unasked: 128, unasked_for, ..Bounds::default() };
    let server = serve(bounds).await;
    let mut kept = connect(server.address).await;
    ask(&mut kept).await;
    let at = server.address;
    let flood = tokio::spawn(async move {
        let mut open = std::collections::VecDeque::new();
        loop {
            open.push_back(TcpStream::connect(at).await);
            if open.len() > 2000 {
                open.pop_front();
            }
        }
    });
    for _ in 0..30 {
        let reply = timeout(SOON, server.get("/health")).await.expect("it is answered in time");
        assert_eq!(reply.status, 200);
        ask(&mut kept).await;
    }
    let held = hold(&server).await;
    flood.abort();
    drop(held);
    server.idle().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_answered_is_not_pushed_out_and_the_next_waits() {
    let bounds = Bounds { connections: 2, ..Bounds::default() };
    let listening = Listening { bounds, ..Listening::default() };
    let server = Server::start_at(&without_deadline(), 4, listening).await;
    let (one, two) = (hold(&server).await, hold(&server).await);
    let mut waits = connect(server.address).await;
    waits.write_all(b"GET /health HTTP/1.1\r\nhost: corn\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut byte = [0; 1];
    assert!(timeout(Duration::from_millis(300), waits.peek(&mut byte)).await.is_err(), "there is no room");
    drop(one);
    assert_eq!(Reply::parse(&rest(&mut waits).await).status, 200);
    drop(two);
    server.idle().await;
    server.stop().await;
}

/// F6: a thousand who asked and stay, and a thousand who never say anything.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_idle_connections_are_no_burden() {
    if !may_open(5000) {
        return;
    }
    let server = serve(Bounds::default()).await;
    let (mut idle, mut silent) = (Vec::new(), Vec::new());
    for _ in 0..1000 {
        let mut stream = connect(server.address).await;
        ask(&mut stream).await;
        idle.push(stream);
        silent.push(connect(server.address).await);
    }
    let began = Instant::now();
    let held = hold(&server).await;
    assert_eq!(server.get("/health").await.status, 200);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    for stream in &mut idle {
        ask(stream).await;
    }
    drop((held, silent, idle));
    server.idle().await;
    server.stop().await;
}

/// W: what was made for a client that does not read is given up in the end.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_is_given_up() {
    let bounds = Bounds { taken_within: Duration::from_millis(300), ..Bounds::default() };
    let listening = Listening { bounds, ..Listening::default() };
    // Its graph has no deadline: nothing else ends it.
    let server = Server::start_at(&without_deadline(), 4, listening).await;
    let held = hold(&server).await;
    server.idle().await;
    drop(held);
    server.stop().await;
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Frames of HTTP/2 as they come: their kinds, and what is in them.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some((payload, after)) = rest.split_at_checked(length) else { break };
        frames.push((*kind, payload.to_vec()));
        bytes = after;
    }
    frames
}

/// `GET http://a/`, from the static table of HPACK.
const GET: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 1, b'a'];
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const GO_AWAY: u8 = 7;
const CALM_DOWN: u8 = 11;

/// What a client may do is said to it; who resets streams as fast as it opens them is told to calm down, and cut off.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_reset_at_once_end_their_connection() {
    let server = serve(Bounds::default()).await;
    for at in [server.address, server.grpc.unwrap()] {
        let mut stream = connect(at).await;
        let mut sent = [PREFACE, &SETTINGS].concat();
        for id in (1..20_000).step_by(2) {
            sent.extend(frame(HEADERS, 0x5, id, &GET));
            sent.extend(frame(RESET, 0, id, &8u32.to_be_bytes()));
        }
        let _ = stream.write_all(&sent).await;
        let heard = frames(&rest(&mut stream).await);
        let settings: Vec<&[u8]> = heard.first().unwrap().1.chunks(6).collect();
        assert!(settings.contains(&&[0, 3, 0, 0, 1, 0][..]), "256 streams at once: {settings:?}");
        assert!(settings.contains(&&[0, 6, 0, 0, 0x80, 0][..]), "32 KiB of headers: {settings:?}");
        let away = heard.iter().find(|(kind, _)| *kind == GO_AWAY);
        assert!(away.is_some_and(|(_, said)| said[7] == CALM_DOWN), "{heard:?}");
    }
    assert_eq!(server.get("/health").await.status, 200);
    server.stop().await;
}

/// Heads over their bound, and heads that never end, over HTTP/2.
#[tokio::test(flavor = "multi_thread")]
async fn heads_without_end_are_refused() {
    let server = serve(quick()).await;
    // A field `x` of 8,000 bytes, again and again, and no end of the head.
    let mut field = vec![0, 1, b'x', 0x7f, 0xc1, 0x3d];
    field.extend(vec![b'y'; 8000]);
    for at in [server.address, server.grpc.unwrap()] {
        let mut stream = connect(at).await;
        let mut sent = [PREFACE, &SETTINGS, &frame(HEADERS, 0, 1, &GET)].concat();
        for _ in 0..200 {
            sent.extend(frame(9, 0, 1, &field));
        }
        let _ = stream.write_all(&sent).await;
        let heard = frames(&rest(&mut stream).await);
        assert!(heard.iter().any(|(kind, _)| *kind == GO_AWAY), "{heard:?}");
    }
    assert_eq!(server.get("/health").await.status, 200);
    server.stop().await;
}
