//! Encryption of connections to other hosts, by TLS 1.3 and without certificates that anyone would have to hand out.
//!
//! Each process makes a certificate for itself, and nobody looks at whose it is: who is at the other end is shown by the
//! token, as everywhere. What makes that hold is that the proof of the token is bound to this very TLS connection, by a
//! value that both of its ends derive from its secrets (exporters of RFC 8446, as a channel binding of RFC 5056).
//! Whoever stands between two processes has two TLS connections, which have two such values, and can pass no proof on.
//!
//! Enciphering is done by threads of its own, so that it holds up nobody who replays; those write to and read from one
//! end of a pair of sockets, and find nothing different about it.

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{self, CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{
    self, ClientConfig, ConnectionCommon, DigitallySignedStruct, ServerConfig, SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// How long a handshake may take.
const AGREES_WITHIN: Duration = Duration::from_secs(5);
/// Threads that encipher. With one for each core, there would be none left to replay.
const THREADS: usize = 2;
/// Bytes that are enciphered at once.
const PIECE_BYTES: usize = 64 << 10;
/// What the value is derived for that proofs are bound to.
const BINDING: &[u8] = b"EXPORTER-corn-token";
/// The name in the certificates, at which nobody looks.
const NAME: &str = "corn";

/// Who begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Connects,
    Listens,
}

/// Encrypts connections; made at the first of them.
#[derive(Default)]
pub(crate) struct Cipher {
    made: OnceLock<Result<Made, String>>,
}

struct Made {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
    /// There until it is dropped.
    threads: Option<Runtime>,
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher")
    }
}

impl Cipher {
    /// The near end of a connection that is encrypted beyond it, and what proofs over it are bound to.
    pub(crate) async fn conceal(&self, stream: TcpStream, side: Side) -> io::Result<(UnixStream, String)> {
        let made = self.made.get_or_init(Made::new).as_ref();
        let made = made.map_err(|why| io::Error::other(format!("no encryption: {why}")))?;
        let (near, far) = UnixStream::pair()?;
        let (far, stream) = (far.into_std()?, stream.into_std()?);
        let (agreed, is_agreed) = oneshot::channel();
        let (connector, acceptor) = (made.connector.clone(), made.acceptor.clone());
        let threads = made.threads.as_ref().ok_or(ErrorKind::NotConnected)?;
        threads.spawn(async move {
            let begun = async {
                let (far, stream) = (UnixStream::from_std(far)?, TcpStream::from_std(stream)?);
                match side {
                    Side::Connects => {
                        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
                        let stream = connector.connect(name, stream).await.map_err(in_words)?;
                        let binding = binding(stream.get_ref().1)?;
                        Ok((far, Box::new(stream) as Box<dyn Duplex>, binding))
                    }
                    Side::Listens => {
                        let stream = acceptor.accept(stream).await.map_err(in_words)?;
                        let binding = binding(stream.get_ref().1)?;
                        Ok((far, Box::new(stream) as Box<dyn Duplex>, binding))
                    }
                }
            };
            match tokio::time::timeout(AGREES_WITHIN, begun).await {
                Ok(Ok((far, stream, binding))) => {
                    if agreed.send(Ok(binding)).is_ok() {
                        pass(far, stream).await;
                    }
                }
                Ok(Err(error)) => drop(agreed.send(Err(error))),
                Err(_) => drop(agreed.send(Err(io::Error::new(ErrorKind::TimedOut, "no TLS was agreed on")))),
            }
        });
        let binding = is_agreed.await.map_err(|_| io::Error::from(ErrorKind::BrokenPipe))??;
        Ok((near, binding))
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// Passes on what comes from either end, until both have ended. That one broke is seen by the other as an end.
async fn pass(mut near: UnixStream, mut far: Box<dyn Duplex>) {
    let _ = tokio::io::copy_bidirectional_with_sizes(&mut near, &mut far, PIECE_BYTES, PIECE_BYTES).await;
}

fn binding<Data>(connection: &ConnectionCommon<Data>) -> io::Result<String> {
    let value = connection.export_keying_material([0; 32], BINDING, None).map_err(io::Error::other)?;
    Ok(super::greet::hex(&value))
}

/// An error of a handshake, where it is not that the other end has gone.
fn in_words(error: io::Error) -> io::Error {
    if error.kind() != ErrorKind::InvalidData {
        return error;
    }
    let why = format!("it does not encrypt as this deployment does, so its token is another: {error}");
    io::Error::new(ErrorKind::InvalidData, why)
}

impl Made {
    fn new() -> Result<Self, String> {
        let own = rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(|error| error.to_string())?;
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let provider = Arc::new(ring::default_provider());
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(Arc::clone(&provider))))
            .with_no_client_auth();
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key.into())
            .map_err(|error| error.to_string())?;
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        let threads = threads.worker_threads(THREADS).thread_name("corn-cipher").enable_all().build();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(client)),
            acceptor: TlsAcceptor::from(Arc::new(server)),
            threads: Some(threads.map_err(|error| error.to_string())?),
        })
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // Whoever drops it may be on an event loop, which must not wait.
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

/// Takes any certificate: who is there is for the token to show. That it is there with the key of its certificate is
/// looked at all the same.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test code: what is wrong here fails the test")]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::LocalSet;

    use super::*;
    use crate::wire::codec::Writer;
    use crate::wire::control::Control;
    use crate::wire::greet::{Token, greet, listen};
    use crate::wire::link::{Inbox, Outbox, Socket};

    const SAID: &[u8] = b"what nobody else may read";

    fn run<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, test)
    }

    fn lane(nonce: String, proof: String) -> Control {
        let from = corn_core::message::Seat { worker: corn_plan::WorkerId(0), epoch: 0 }.into();
        Control::Lane { nonce, proof, from, to: from, link: 0, lane: 0 }
    }

    /// Listens for one process that knows `token`, and greets it over `between`.
    type Met = (Result<(Outbox, Inbox), String>, Result<(Outbox, Inbox), String>);

    async fn meet(at: &TcpListener, through: &str, listens: &Token, connects: &Token) -> Met {
        let listening = async {
            let socket = Socket::of_tcp(at.accept().await.unwrap().0).unwrap();
            let socket = socket.secured(listens, Side::Listens).await.map_err(|error| error.to_string())?;
            let (out, mut inbox) = socket.split().map_err(|error| error.to_string())?;
            listen(&out, &mut inbox, listens).await?;
            Ok((out, inbox))
        };
        let connecting = async {
            let socket = Socket::tcp(through, connects).await.map_err(|error| error.to_string())?;
            let (out, mut inbox) = socket.split().map_err(|error| error.to_string())?;
            greet(&out, &mut inbox, connects, lane).await?;
            Ok((out, inbox))
        };
        tokio::join!(listening, connecting)
    }

    /// Stands between, and writes down what passes. With a cipher it deciphers and enciphers.
    async fn between(to: String, cipher: Option<Arc<Cipher>>, heard: Arc<Mutex<Vec<u8>>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::task::spawn_local(async move {
            let client = listener.accept().await.unwrap().0;
            let server = TcpStream::connect(to).await.unwrap();
            let (mut client, mut server): (Box<dyn Duplex>, Box<dyn Duplex>) = match &cipher {
                None => (Box::new(client), Box::new(server)),
                Some(cipher) => {
                    let client = cipher.conceal(client, Side::Listens).await.unwrap().0;
                    (Box::new(client), Box::new(cipher.conceal(server, Side::Connects).await.unwrap().0))
                }
            };
            let (mut one, mut other) = ([0; 4096], [0; 4096]);
            loop {
                let (from, into) = tokio::select! {
                    read = client.read(&mut one) => (&one[..read.unwrap_or(0)], &mut server),
                    read = server.read(&mut other) => (&other[..read.unwrap_or(0)], &mut client),
                };
                heard.lock().unwrap().extend(from);
                if from.is_empty() || into.write_all(from).await.is_err() {
                    return;
                }
            }
        });
        address
    }

    fn has_heard(heard: &Mutex<Vec<u8>>, what: &[u8]) -> bool {
        heard.lock().unwrap().windows(what.len()).any(|it| it == what)
    }

    /// H: who listens on the way hears nothing of what is said, with encryption, and everything without.
    #[test]
    fn what_is_said_cannot_be_read_on_the_way() {
        run(async {
            for (token, is_open) in [(Token::new("a"), true), (Token::new("tls-a"), false)] {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let heard = Arc::default();
                let to = listener.local_addr().unwrap().to_string();
                let through = between(to, None, Arc::clone(&heard)).await;
                let (listens, connects) = meet(&listener, &through, &token, &token).await;
                let ((answers, mut hears), (asks, mut is_answered)) = (listens.unwrap(), connects.unwrap());
                let large: Bytes = SAID.repeat(100_000).into();
                asks.send(Writer { head: SAID.to_vec(), payloads: vec![large.clone()] });
                let came = hears.next().await.unwrap().unwrap();
                assert!(came.head == SAID && came.payloads == [large]);
                answers.send(Writer { head: SAID.to_vec(), payloads: Vec::new() });
                assert_eq!(is_answered.next().await.unwrap().unwrap().head, SAID);
                assert_eq!(has_heard(&heard, SAID), is_open);
                // An end is an end on the other side as well.
                drop((asks, is_answered));
                assert!(hears.next().await.is_ok_and(|came| came.is_none()));
            }
        });
    }

    /// Whoever ends TLS on both sides has not the token, and proofs that it passes on prove nothing.
    #[test]
    fn who_stands_between_is_found_out() {
        run(async {
            let token = Token::new("tls-a");
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let to = listener.local_addr().unwrap().to_string();
            // What it has taken it passes on to the end, also once one side has gone.
            let cipher = Arc::new(Cipher::default());
            let through = between(to, Some(Arc::clone(&cipher)), Arc::default()).await;
            let (listens, connects) = meet(&listener, &through, &token, &token).await;
            let reason = "its token is not that of this deployment";
            assert_eq!((listens.err().as_deref(), connects.err().as_deref()), (Some(reason), Some(reason)));
        });
    }

    #[test]
    fn tokens_that_differ_are_refused() {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let at = listener.local_addr().unwrap().to_string();
            let (listens, connects) = meet(&listener, &at, &Token::new("tls-a"), &Token::new("tls-b")).await;
            assert!(listens.is_err() && connects.is_err());
            let (listens, connects) = meet(&listener, &at, &Token::new("a"), &Token::new("tls-a")).await;
            assert!(listens.is_err());
            let why = connects.err().unwrap();
            assert!(why.contains("does not encrypt as this deployment does"), "{why}");
        });
    }
}
