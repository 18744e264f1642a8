//! One GET from addresses that were looked at before.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use corn_core::Fault;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::place::Place;
use super::{BytesLeft, Trouble};
use crate::trust;

/// How long one address has to take a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Most bytes of an answer's head.
const MAX_HEAD_BYTES: usize = 32 << 10;

/// What a place answered.
#[derive(Debug)]
pub(super) enum Got {
    Content(Bytes),
    /// It says that the content is there.
    Elsewhere(String),
}

/// Whom to trust. Certificates come with this program, or from the file that `SSL_CERT_FILE` names.
pub(super) struct Tls {
    connector: TlsConnector,
}

impl Tls {
    pub(super) fn new() -> Result<Self, Fault> {
        Ok(Self { connector: TlsConnector::from(Arc::new(trust::config(None, None)?)) })
    }
}

/// Asks the first of `addresses` that takes a connection.
pub(super) async fn get(
    place: &Place,
    addresses: &[SocketAddr],
    tls: &Tls,
    left: &BytesLeft,
) -> Result<Got, Trouble> {
    let host = &place.host;
    let failed = |what: String| Trouble::Failed(format!("{host} {what}"));
    let stream = connect(addresses).await.map_err(|error| failed(format!("takes no connection: {error}")))?;
    let response = if place.is_tls {
        let name = ServerName::try_from(host.clone()).map_err(|_| failed("is no name for TLS".to_owned()))?;
        let stream = tls.connector.connect(name, stream).await;
        ask(place, stream.map_err(|error| failed(format!("is not trusted: {error}")))?).await
    } else {
        ask(place, stream).await
    };
    let response = response.map_err(|error| failed(format!("could not be asked: {error}")))?;
    match response.status() {
        StatusCode::OK => content(response, left).await.map(Got::Content),
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => {
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let location =
                location.ok_or_else(|| failed("says that it is elsewhere, and not where".to_owned()))?;
            Ok(Got::Elsewhere(location.to_owned()))
        }
        status => Err(failed(format!("answers with {status}"))),
    }
}

async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

async fn ask(
    place: &Place,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> hyper::Result<Response<Incoming>> {
    let mut builder = http1::Builder::new();
    let (mut sender, connection) =
        builder.max_buf_size(MAX_HEAD_BYTES).handshake(TokioIo::new(stream)).await?;
    // Ends when the answer has been read or dropped.
    tokio::spawn(connection);
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = Uri::from(place.path.clone());
    *request.headers_mut() = headers(place);
    sender.send_request(request).await
}

fn headers(place: &Place) -> HeaderMap {
    let fixed = [
        (header::USER_AGENT, concat!("corn/", env!("CARGO_PKG_VERSION"))),
        (header::ACCEPT, "*/*"),
        (header::ACCEPT_ENCODING, "identity"),
        (header::CONNECTION, "close"),
    ];
    let mut headers: HeaderMap =
        fixed.into_iter().map(|(name, value)| (name, header::HeaderValue::from_static(value))).collect();
    headers.extend(place.authority().parse().ok().map(|host| (header::HOST, host)));
    headers
}

/// The body, counted while it comes. What is announced as too large is not begun.
async fn content(response: Response<Incoming>, left: &BytesLeft) -> Result<Bytes, Trouble> {
    let announced = response.headers().get(header::CONTENT_LENGTH);
    let announced: Option<u64> =
        announced.and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok());
    if announced.is_some_and(|bytes| bytes > left.max) {
        return Err(left.over());
    }
    let mut body = response.into_body();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Trouble::Failed(format!("it broke off: {error}")))?;
        if let Ok(piece) = frame.into_data() {
            left.take(piece.len() as u64)?;
            whole.extend_from_slice(&piece);
        }
    }
    Ok(whole.freeze())
}
