//! The accept loop of both faces: takes connections, by TLS where there is a certificate, and serves HTTP/1.1 and
//! HTTP/2 over them within [bounds](Bounds).
//!
//! A client is believed when it has asked something. Until then it has little time and holds one of few places, and
//! whoever came first loses its place when there is no other; so a flood of connections that say nothing pushes out
//! itself, and not those that ask.

mod crowd;
mod held;
mod offered;
mod tls;
mod wire;

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower_service::Service;

use crate::keys::Slot;
use crate::{Notices, stopped};
use crowd::{Crowd, Member};
pub(crate) use held::Held;
use offered::Offered;
pub use tls::Tls;
use wire::Wire;

/// How long to wait when the system has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(100);
/// How long a connection has to say farewell when its place is given to another.
const FAREWELL: Duration = Duration::from_secs(5);
/// How often a peer that says nothing is asked whether it is there, over HTTP/2 and by TCP.
const PING_EVERY: Duration = Duration::from_secs(10);
/// A peer that answers no ping for so long has gone: its requests are given up.
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// The same by TCP, in pings.
const UNANSWERED_PINGS: u32 = 3;
/// What waits in the system at most to be sent to one peer.
#[cfg(target_os = "linux")]
const MAX_UNSENT_BYTES: u32 = 128 << 10;
/// Most bytes of a request's head.
const MAX_HEAD_BYTES: u32 = 32 << 10;
/// Most fields of a request's head, over HTTP/1.1.
const MAX_HEAD_FIELDS: usize = 100;
/// What one connection has read at most and not yet parsed, over HTTP/1.1.
const MAX_READ_BYTES: usize = 64 << 10;
/// Streams that a client may have reset before they were looked at; one that resets more floods.
const MAX_PENDING_RESETS: usize = 20;
/// Streams that a client may make us reset; one that does so more often is no client.
const MAX_OWN_RESETS: usize = 1024;

/// What the clients of one face may take together, and how long each may take over it.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once. When there are as many, the one that has been idle for longest makes room; where none is,
    /// the next waits.
    pub connections: usize,
    /// Those of them that have not asked anything yet.
    pub unasked: usize,
    /// How long one of those has before it makes room for another.
    pub unasked_for: Duration,
    /// Requests at once over one connection of HTTP/2.
    pub streams: u32,
    /// How long a connection has until the head of its first request has come, the handshake of TLS included.
    pub first_within: Duration,
    /// How long it has for each later one over HTTP/1.1, from the end of the answer before.
    pub next_within: Duration,
    /// How long a client may take nothing of what is there for it to read, of a connection or of one answer.
    pub taken_within: Duration,
    /// Bytes of requests, over all faces together, that are coming or have come and were not read yet.
    pub request_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self::of(4096)
    }
}

impl Bounds {
    /// With so many connections at once, and in everything else as usual.
    pub fn of(connections: usize) -> Self {
        Self {
            connections,
            unasked: connections.div_ceil(4),
            unasked_for: Duration::from_secs(1),
            streams: 256,
            first_within: Duration::from_secs(10),
            next_within: Duration::from_secs(90),
            taken_within: Duration::from_mins(5),
            request_bytes: 1 << 30,
        }
    }
}

/// What a face speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// HTTP/1.1 and HTTP/2.
    Http,
    /// HTTP/2 only, as gRPC needs it.
    Grpc,
}

impl Speaks {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Grpc => "gRPC",
        }
    }
}

/// Held by whatever is under way, and by nothing else for long: when the last of them is dropped, all has ended.
pub(crate) type InUse = mpsc::Sender<Infallible>;

/// What answers the requests that come now. Those under way go on with what they began with.
#[derive(Clone)]
pub(crate) struct Answering {
    pub(crate) router: Router,
    pub(crate) in_use: InUse,
}

/// Where a face takes connections, and how.
#[derive(Clone)]
pub(crate) struct Entrance {
    pub(crate) speaks: Speaks,
    pub(crate) tls: Option<Tls>,
    pub(crate) bounds: Bounds,
    pub(crate) notices: Notices,
}

impl Entrance {
    /// Answers whoever connects to `listener` by what is `answering` then, until told to stop and until what is under
    /// way has ended.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        answering: watch::Receiver<Answering>,
        stop: watch::Receiver<bool>,
    ) {
        let bounds = self.bounds;
        let crowd = Crowd::new(bounds.connections, bounds.unasked, bounds.unasked_for);
        let shared =
            Arc::new(Shared { builder: self.builder(), entrance: self, answering, stop: stop.clone() });
        let mut connections = JoinSet::new();
        let mut stopped = pin!(stopped(stop));
        // Whoever comes when everybody here is being answered; those behind it wait in the system's queue.
        let mut next = None;
        let mut has_said = false;
        loop {
            tokio::select! {
                () = &mut stopped => break,
                Some(_) = connections.join_next() => {}
                () = crowd.has_room(), if next.is_some() => {
                    if let Some(stream) = next.take() {
                        connections.spawn(serve_one(Arc::clone(&shared), stream, crowd.enter()));
                    }
                }
                accepted = listener.accept(), if next.is_none() => match accepted {
                    Ok((stream, _)) => (next, has_said) = (Some(stream), false),
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        if !std::mem::replace(&mut has_said, true) {
                            let face = shared.entrance.speaks.name();
                            shared.entrance.notices.say(&format!(
                                "{face}: no connection can be taken for the moment: {error}; see `ulimit -n`"
                            ));
                        }
                        crowd.make_room();
                        tokio::time::sleep(NO_ROOM).await;
                    }
                },
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.bounds.next_within)
            .max_headers(MAX_HEAD_FIELDS)
            .max_buf_size(MAX_READ_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PONG_WITHIN)
            .max_concurrent_streams(self.bounds.streams)
            .max_header_list_size(MAX_HEAD_BYTES)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_local_error_reset_streams(MAX_OWN_RESETS);
        match self.speaks {
            Speaks::Http => builder,
            Speaks::Grpc => builder.http2_only(),
        }
    }
}

/// What goes wrong with one connection before it is taken; the next is another.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// What all connections of a face share.
struct Shared {
    entrance: Entrance,
    builder: Builder<TokioExecutor>,
    answering: watch::Receiver<Answering>,
    stop: watch::Receiver<bool>,
}

/// Serves one connection to its end.
async fn serve_one(shared: Arc<Shared>, stream: TcpStream, member: Arc<Member>) {
    let Shared { entrance, builder, answering, stop } = &*shared;
    let first_until = Instant::now() + entrance.bounds.first_within;
    prepare(&stream);
    let opened = tokio::select! {
        opened = open(entrance, stream, &member) => opened,
        () = tokio::time::sleep_until(first_until) => return,
        () = member.told_to_go() => return,
        () = stopped(stop.clone()) => return,
    };
    // Who cannot agree on how to speak has been told so by TLS.
    let Ok(Some(wire)) = opened else { return };
    let taken_within = entrance.bounds.taken_within;
    let service = hyper::service::service_fn(|request| answer(answering, &member, taken_within, request));
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(wire), service);
    let mut connection = pin!(connection);
    let mut stopping = pin!(stopped(stop.clone()));
    let mut first = pin!(tokio::time::sleep_until(first_until));
    let (mut is_first, mut is_stopping) = (true, false);
    loop {
        tokio::select! {
            // What has come is heard before it is said that nothing has.
            biased;
            // What was wrong with it was wrong on the other side, which has been told as far as it can be.
            _ = connection.as_mut() => return,
            () = &mut first, if is_first => {
                if !member.has_asked() {
                    return;
                }
                is_first = false;
            }
            () = member.told_to_go() => {
                connection.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(FAREWELL, connection).await;
                return;
            }
            () = &mut stopping, if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Small pieces of an answer go out at once, each for itself; a peer whose host has gone is noticed; and little waits in
/// the system for a peer that reads slowly, so that it is seen to read.
fn prepare(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive =
        TcpKeepalive::new().with_time(PING_EVERY).with_interval(PING_EVERY).with_retries(UNANSWERED_PINGS);
    // A socket that takes none of this still serves.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&keepalive);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_notsent_lowat(MAX_UNSENT_BYTES);
}

/// The connection as HTTP finds it: deciphered, if there is a certificate. None for who does not speak TLS and has been
/// told that this is wanted.
async fn open(entrance: &Entrance, stream: TcpStream, member: &Arc<Member>) -> io::Result<Option<Wire>> {
    let taken_within = entrance.bounds.taken_within;
    let Some(tls) = &entrance.tls else {
        return Ok(Some(Wire::plain(stream, Arc::clone(member), taken_within)));
    };
    if !tls::is_spoken(&stream).await? {
        tls::say_it_is_wanted(stream).await?;
        return Ok(None);
    }
    let stream = tls.acceptor(entrance.speaks).accept(stream).await?;
    Ok(Some(Wire::tls(stream, Arc::clone(member), taken_within)))
}

type Answered = Result<Response<Offered>, Infallible>;

/// Answers one request. The connection is at work until the answer has gone out whole, or was given up.
fn answer(
    answering: &watch::Receiver<Answering>,
    member: &Arc<Member>,
    taken_within: Duration,
    request: Request<Incoming>,
) -> Pin<Box<dyn Future<Output = Answered> + Send>> {
    let work = member.begin();
    let Answering { mut router, in_use } = answering.borrow().clone();
    // Whoever watches health watches the server, whatever it serves.
    let in_use = (!request.uri().path().starts_with("/grpc.")).then_some(in_use);
    Box::pin(async move {
        let mut response = router.call(request).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            // It is another protocol's from now on, and at work until its end.
            work.goes_on(response.extensions_mut().remove::<Slot>().unwrap_or_default());
        }
        Ok(response.map(|body| Offered::new(body, (work, in_use), taken_within)))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]
mod tests {
    use axum::extract::ws::{WebSocket, WebSocketUpgrade};
    use axum::routing::any;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::keys::Keys;

    const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nhost: corn\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    /// A connection that becomes a WebSocket has its place, and its key's slot, until it ends.
    #[tokio::test]
    async fn what_another_protocol_takes_over_is_held_to_its_end() {
        let keys = Keys::parse("alpha concurrency=1").unwrap();
        let pass = keys.pass(Some("Bearer alpha")).unwrap();
        let asks = pass.clone();
        let open = move |upgrade: WebSocketUpgrade| async move {
            let mut response = upgrade
                .on_upgrade(|mut socket: WebSocket| async move { while socket.recv().await.is_some() {} });
            response.extensions_mut().insert(asks.begin().unwrap());
            response
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let bounds = Bounds { first_within: Duration::from_millis(50), ..Bounds::of(1) };
        let entrance = Entrance { speaks: Speaks::Http, tls: None, bounds, notices: Notices::default() };
        let (_stop, stopped) = watch::channel(false);
        let (in_use, _) = mpsc::channel(1);
        let (_answers, answering) =
            watch::channel(Answering { router: Router::new().route("/", any(open)), in_use });
        tokio::spawn(entrance.serve(listener, answering, stopped));

        let mut socket = TcpStream::connect(at).await.unwrap();
        socket.write_all(UPGRADE).await.unwrap();
        let mut head = [0; 12];
        socket.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 101");
        assert!(pass.begin().is_err());
        // There is one place, and it is taken.
        let mut next = TcpStream::connect(at).await.unwrap();
        next.write_all(UPGRADE).await.unwrap();
        let mut byte = [0; 1];
        let answer = tokio::time::timeout(bounds.first_within * 4, next.peek(&mut byte)).await;
        assert!(answer.is_err() && pass.begin().is_err());
        drop(socket);
        next.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 101");
    }
}
