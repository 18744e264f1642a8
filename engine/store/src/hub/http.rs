//! Requests whose wait can be cut short.
//!
//! A blocking request runs on a thread of its own and hands over what arrives piece by piece; who
//! waits here hears a stop at once, and the thread ends by its own time-outs.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::HubOptions;
use crate::error::{StoreError, StoreErrorKind};
use crate::work::Work;

const CONNECT: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);
const CHUNK_BYTES: usize = 256 << 10;
/// Pieces that may wait to be written while more arrive.
const AHEAD: usize = 4;
/// Longest listing of a repository that is read.
const MAX_TEXT_BYTES: usize = 32 << 20;

/// Asks a hub.
pub(crate) struct Client {
    agent: Agent,
    pub(crate) endpoint: String,
    token: Option<String>,
}

/// Why a request gave nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection failed or broke; asking again can help.
    Broken(String),
    /// Said before anything was sent, or stopped.
    Final(StoreError),
}

/// An answer whose body is still arriving.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pieces: Receiver<Piece>,
}

enum Piece {
    Head(StatusCode, HeaderMap),
    Bytes(Vec<u8>),
    End,
    Broken(String),
}

impl Client {
    pub(crate) fn new(options: &HubOptions) -> Result<Self, StoreError> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .timeout_per_read(Some(ANSWER))
            .user_agent(concat!("corn/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &options.authorities {
            config = config.tls_config(TlsConfig::builder().root_certs(read_authorities(path)?).build());
        }
        Ok(Self {
            agent: config.build().into(),
            endpoint: options.endpoint.clone(),
            token: options.token.clone(),
        })
    }

    /// Asks for `address`, its bytes from `offset` on. Redirects are followed; the token goes to
    /// the hub alone. With `head`, only the first answer's headers, redirects not followed.
    pub(crate) fn get(
        &self,
        address: &str,
        offset: u64,
        head: bool,
        work: &Work<'_>,
    ) -> Result<Answer, Failure> {
        let (send, pieces) = mpsc::sync_channel(AHEAD);
        let mut request = if head {
            self.agent.head(address).config().max_redirects(0).build()
        } else {
            self.agent.get(address).config().build()
        };
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if offset > 0 {
            request = request.header("Range", format!("bytes={offset}-"));
        }
        // Bytes are resumed by offset, so they must not be compressed on the way.
        request = request.header("Accept-Encoding", "identity");
        std::thread::spawn(move || match request.call() {
            Ok(response) => forward(response, &send),
            Err(error) => drop(send.send(Piece::Broken(error.to_string()))),
        });
        match next(&pieces, work)? {
            Piece::Head(status, headers) => Ok(Answer { status, headers, pieces }),
            Piece::Broken(reason) => Err(Failure::Broken(reason)),
            Piece::Bytes(_) | Piece::End => unreachable!("the head comes first"),
        }
    }
}

impl Answer {
    /// The next bytes of the body; `None` at its end.
    pub(crate) fn next(&mut self, work: &Work<'_>) -> Result<Option<Vec<u8>>, Failure> {
        match next(&self.pieces, work)? {
            Piece::Bytes(bytes) => Ok(Some(bytes)),
            Piece::End => Ok(None),
            Piece::Broken(reason) => Err(Failure::Broken(reason)),
            Piece::Head(..) => unreachable!("there is one head"),
        }
    }

    /// The whole body, a text of bounded length.
    pub(crate) fn text(mut self, work: &Work<'_>) -> Result<String, Failure> {
        let mut bytes = Vec::new();
        while let Some(more) = self.next(work)? {
            bytes.extend(more);
            if bytes.len() > MAX_TEXT_BYTES {
                let reason = "the hub's answer is longer than any listing should be";
                return Err(Failure::Final(work.error(StoreErrorKind::Network, reason)));
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

fn forward(response: Response<Body>, send: &SyncSender<Piece>) {
    let (head, body) = response.into_parts();
    if send.send(Piece::Head(head.status, head.headers)).is_err() {
        return;
    }
    let mut reader = body.into_reader();
    loop {
        let mut bytes = vec![0; CHUNK_BYTES];
        let piece = match reader.read(&mut bytes) {
            Ok(0) => Piece::End,
            Ok(read) => {
                bytes.truncate(read);
                Piece::Bytes(bytes)
            }
            Err(error) => Piece::Broken(error.to_string()),
        };
        let is_last = !matches!(piece, Piece::Bytes(_));
        // No one listens any more once the fetch was stopped.
        if send.send(piece).is_err() || is_last {
            return;
        }
    }
}

fn next(pieces: &Receiver<Piece>, work: &Work<'_>) -> Result<Piece, Failure> {
    loop {
        work.check().map_err(Failure::Final)?;
        match pieces.recv_timeout(PAUSE) {
            Ok(piece) => return Ok(piece),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::Broken("the connection ended".into()));
            }
        }
    }
}

fn read_authorities(path: &Path) -> Result<RootCerts, StoreError> {
    let broken = |reason: String| {
        StoreError::new(StoreErrorKind::Tool, format!("SSL_CERT_FILE '{}'", path.display()), reason)
    };
    let pem = std::fs::read(path).map_err(|error| broken(error.to_string()))?;
    let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
            Ok(_) => None,
            Err(error) => Some(Err(broken(error.to_string()))),
        })
        .collect::<Result<_, _>>()?;
    Ok(RootCerts::Specific(Arc::new(certificates)))
}
