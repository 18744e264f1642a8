//! The way to a server: its address, and a connection there.
//!
//! The connection is made here and not by tonic, because who cannot be reached or is not trusted is to be told in words.

use std::future::{Ready, ready};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::Uri;
use corn_core::{Blame, Fault};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Endpoint;

use super::{Connection, trouble};
use crate::grpc::proto::corn::corn_client::CornClient;
use crate::trust::{self, KnownBy};

/// How long a server has to take a connection, its TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// How often a server is asked whether it is there, and how long it has to say so.
const PING: Duration = Duration::from_secs(20);

/// Where a server is, and how it is to be asked.
#[derive(Clone)]
pub struct Address {
    pub(super) url: Arc<str>,
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
    pub(super) key: Option<AsciiMetadataValue>,
}

impl Address {
    /// The server at `url`, which is `http://HOST:PORT`, or `https://HOST:PORT` for TLS. It is trusted if who vouches for
    /// it is in `authorities`; without, if it is one of those that browsers trust. With `key`, every request brings it.
    ///
    /// # Errors
    /// Of the request if `url` or `key` cannot be one, of the set-up if a file cannot be used.
    pub fn new(
        url: &str,
        authorities: Option<&Path>,
        known_by: Option<&KnownBy>,
        key: Option<&str>,
    ) -> Result<Self, Fault> {
        let wrong = |why: &str| {
            Fault::request(format!(
                "'{url}' is no address of a server: {why}; say it as http://localhost:8001, or https://… for TLS"
            ))
        };
        let uri: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
        let (is_tls, port) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            _ => return Err(wrong("it does not begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("there is something behind the port"));
        }
        if !is_tls && (authorities.is_some() || known_by.is_some()) {
            return Err(wrong("certificates are of use only with https://"));
        }
        let tls = is_tls.then(|| trust::config(authorities, known_by)).transpose()?.map(|mut config| {
            config.alpn_protocols = vec![b"h2".to_vec()];
            Arc::new(config)
        });
        let key = key.map(|key| -> Result<AsciiMetadataValue, Fault> {
            let mut key = AsciiMetadataValue::try_from(format!("Bearer {key}"))
                .map_err(|_| Fault::request("the key has characters that no key has"))?;
            key.set_sensitive(true);
            Ok(key)
        });
        Ok(Self {
            url: url.trim_end_matches('/').into(),
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(port),
            uri,
            tls,
            key: key.transpose()?,
        })
    }

    /// Connects.
    ///
    /// # Errors
    /// If nobody listens there, or who does is not trusted.
    pub async fn connect(&self) -> Result<Connection, Fault> {
        let late = || {
            let (url, seconds) = (&self.url, CONNECT.as_secs());
            Fault::new(Blame::Unavailable, format!("{url} does not answer within {seconds} s"))
        };
        let ended = Ended::default();
        let channel = tokio::time::timeout(CONNECT, self.channel(&ended)).await.map_err(|_| late())??;
        let client = CornClient::new(channel).max_decoding_message_size(usize::MAX);
        Ok(Connection { client, address: self.clone(), key: self.key.clone(), ended })
    }

    async fn channel(&self, ended: &Ended) -> Result<tonic::transport::Channel, Fault> {
        let unreached = |error: io::Error| Fault::new(Blame::Unavailable, self.unreached(&error));
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreached)?;
        stream.set_nodelay(true).map_err(unreached)?;
        let endpoint = Endpoint::from(self.uri.clone())
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .user_agent(concat!("corn/", env!("CARGO_PKG_VERSION")));
        let endpoint = endpoint.map_err(|error| Fault::setup(format!("no client of gRPC: {error}")))?;
        let channel = match &self.tls {
            None => endpoint.connect_with_connector(Once::new(stream, ended)).await,
            Some(config) => {
                let stream = self.trusted(config, stream).await?;
                endpoint.connect_with_connector(Once::new(stream, ended)).await
            }
        };
        channel.map_err(|error| {
            let noted = ended.get().map(|noted| noted as &(dyn std::error::Error + 'static));
            trouble::of_connection(&self.url, noted.unwrap_or(&error))
        })
    }

    async fn trusted(
        &self,
        config: &Arc<ClientConfig>,
        stream: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Fault> {
        let name = ServerName::try_from(self.host.clone());
        let name = name.map_err(|_| Fault::request(format!("'{}' is no name for TLS", self.host)))?;
        let connected = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
        connected.map_err(|error| {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            match inner {
                Some(inner) => trouble::of_tls(&self.url, inner),
                None => Fault::new(Blame::Unavailable, format!("{} ends the handshake: {error}", self.url)),
            }
        })
    }

    fn unreached(&self, error: &io::Error) -> String {
        let url = &self.url;
        match error.kind() {
            io::ErrorKind::ConnectionRefused => format!(
                "nobody listens at {url}; `corn serve` and `corn up --grpc` say where they do, and this is for gRPC"
            ),
            _ => format!("{url} cannot be reached: {error}"),
        }
    }
}

/// A stream that notes why it ended: who asks over it is only told that it has.
struct Noting<S> {
    stream: S,
    ended: Ended,
}

/// Why a connection has ended, if it has.
pub(super) type Ended = Arc<OnceLock<io::Error>>;

impl<S: AsyncRead + Unpin> Noting<S> {
    /// Who cannot write any more may have been told why: that is read before the connection is left.
    fn ended_by<T>(&mut self, cx: &mut Context<'_>, written: io::Result<T>) -> io::Result<T> {
        if written.is_err() {
            let mut last = [0; 1];
            let _ = Pin::new(self).poll_read(cx, &mut ReadBuf::new(&mut last));
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Noting<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, ended } = self.get_mut();
        let before = into.filled().len();
        let read = ready!(Pin::new(stream).poll_read(cx, into));
        match read {
            Ok(()) if into.filled().len() == before => {
                let _ = ended.set(io::Error::new(io::ErrorKind::UnexpectedEof, "the server has closed it"));
                Poll::Ready(Ok(()))
            }
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => {
                let kind = error.kind();
                let _ = ended.set(error);
                Poll::Ready(Err(kind.into()))
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Noting<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        Poll::Ready(self.ended_by(cx, written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, parts));
        Poll::Ready(self.ended_by(cx, written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        Poll::Ready(self.ended_by(cx, flushed))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Gives a connection that there is, once. Who loses it is to know, so it is not made anew in silence.
struct Once<S>(Option<S>);

impl<S> Once<S> {
    fn new(stream: S, ended: &Ended) -> Once<Noting<S>> {
        Once(Some(Noting { stream, ended: Arc::clone(ended) }))
    }
}

impl<S: Send + 'static> tower_service::Service<Uri> for Once<S>
where
    TokioIo<S>: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    type Response = TokioIo<S>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<S>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().map(TokioIo::new).ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}
