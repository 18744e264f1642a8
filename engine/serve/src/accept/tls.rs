//! TLS of the faces: the certificate and its key, and whom clients must be known to.
//!
//! The files are looked at again and again, so that a certificate is renewed by replacing them. They are compared by
//! their contents: what mounts secrets swaps links and keeps times. Files that do not go together, as there are for a
//! moment when they are replaced one after the other, leave what was there before.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use corn_core::Fault;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use super::Speaks;
use crate::pem::{certificates, private_key};

/// The option that takes a private key.
const KEY_OPTION: &str = "--tls-key";

/// The first byte of who speaks TLS.
const HANDSHAKE: u8 = 0x16;

/// A certificate to be known by, and perhaps those to know clients by. Clones share what was read.
#[derive(Clone, Debug)]
pub struct Tls {
    files: Arc<Files>,
    current: Arc<RwLock<Configs>>,
    /// What was read last, whether or not it could be used.
    read: Arc<Mutex<Result<Contents, Fault>>>,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A key is written nowhere.
        f.write_str("Contents")
    }
}

#[derive(Clone, Debug)]
struct Configs {
    http: Arc<ServerConfig>,
    grpc: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the chain of certificates in PEM, its private key in PEM, and the certificates of those who vouch for
    /// clients, if clients must bring one.
    ///
    /// # Errors
    /// Of the set-up, if a file cannot be read, is not what it should be, or does not go with the others.
    pub fn read(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Self, Fault> {
        let files = Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            client_ca: client_ca.map(Path::to_owned),
        };
        let contents = files.contents()?;
        let configs = files.configs(&contents)?;
        Ok(Self {
            files: Arc::new(files),
            current: Arc::new(RwLock::new(configs)),
            read: Arc::new(Mutex::new(Ok(contents))),
        })
    }

    /// Reads the files again. None if they are what they were; otherwise what is used from now on, in words, or why
    /// they cannot be used, in which case those from before are.
    pub(crate) fn look_again(&self) -> Option<Result<String, Fault>> {
        let contents = self.files.contents();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if *read == contents {
            return None;
        }
        let configs = contents.as_ref().map_err(Clone::clone).and_then(|it| self.files.configs(it));
        *read = contents;
        Some(configs.map(|configs| {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = configs;
            format!("the TLS certificate in {} is new, and is used", self.files.certificate.display())
        }))
    }

    /// Takes handshakes of clients of a face.
    pub(super) fn acceptor(&self, speaks: Speaks) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(match speaks {
            Speaks::Http => &current.http,
            Speaks::Grpc => &current.grpc,
        }))
    }
}

impl Files {
    fn contents(&self) -> Result<Contents, Fault> {
        let read = |what: &str, path: &Path| {
            std::fs::read(path).map_err(|error| {
                Fault::setup(format!("the TLS {what} {} cannot be read: {error}", path.display()))
            })
        };
        Ok(Contents {
            certificate: read("certificate", &self.certificate)?,
            key: read("key", &self.key)?,
            client_ca: self
                .client_ca
                .as_deref()
                .map(|path| read("certificates of who vouches for clients", path))
                .transpose()?,
        })
    }

    fn configs(&self, contents: &Contents) -> Result<Configs, Fault> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Fault::setup(format!("no TLS: {error}")))?;
        let builder = match self.client_ca.as_deref().zip(contents.client_ca.as_deref()) {
            None => builder.with_no_client_auth(),
            Some((path, pem)) => builder.with_client_cert_verifier(clients(path, pem, provider)?),
        };
        let chain = certificates("certificate", &self.certificate, &contents.certificate, Some(KEY_OPTION))?;
        let key = private_key(&self.key, &contents.key)?;
        let mut config = builder.with_single_cert(chain, key).map_err(|error| self.unfit(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let grpc = Arc::new(config.clone());
        config.alpn_protocols.push(b"http/1.1".to_vec());
        Ok(Configs { http: Arc::new(config), grpc })
    }

    fn unfit(&self, error: &rustls::Error) -> Fault {
        let (key, certificate) = (self.key.display(), self.certificate.display());
        Fault::setup(match error {
            rustls::Error::InconsistentKeys(_) => format!(
                "the TLS key {key} is not that of the first certificate in {certificate}; give the key that it was \
                 made with, and put the server's own certificate before those that vouch for it"
            ),
            rustls::Error::InvalidCertificate(why) => {
                format!("the first certificate in {certificate} cannot be used for TLS: {why:?}")
            }
            error => format!("the TLS key {key} and certificate {certificate} cannot be used: {error}"),
        })
    }
}

/// Whom a client must bring a certificate of.
fn clients(
    path: &Path,
    pem: &[u8],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, Fault> {
    let what = "certificates of who vouches for clients";
    let unfit =
        |why: String| Fault::setup(format!("the TLS {what} in {} cannot be used: {why}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in certificates(what, path, pem, Some(KEY_OPTION))? {
        roots.add(certificate).map_err(|error| unfit(error.to_string()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map_err(|error| unfit(error.to_string()))
}

/// Whether the peer begins as TLS does.
pub(super) async fn is_spoken(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; 1];
    let read = stream.peek(&mut first).await?;
    Ok(read == 0 || first[0] == HANDSHAKE)
}

/// Tells a client that speaks HTTP without TLS what is wanted, in words that it can show.
pub(super) async fn say_it_is_wanted(mut stream: TcpStream) -> io::Result<()> {
    let message = "{\"error\":{\"message\":\"this address speaks TLS: ask https:// instead of http://\",\
                   \"type\":\"invalid_request_error\",\"param\":null,\"code\":\"tls_wanted\"}}";
    let length = message.len();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{message}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
