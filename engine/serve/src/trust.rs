//! Whom this program trusts where it is the client of others: for media that requests name, collectors of traces, and
//! servers that `corn call` asks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use corn_core::Fault;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::pem;

/// A certificate that a client is known by, followed by those that vouch for it, and its key; both in PEM.
#[derive(Clone, Debug)]
pub struct KnownBy {
    /// The certificates.
    pub certificate: PathBuf,
    /// The private key of the first.
    pub key: PathBuf,
}

/// Trusts whom the certificates in `authorities` vouch for; without, those in the file that `SSL_CERT_FILE` names, or
/// those that come with this program. Shows `known_by` to who asks for it.
///
/// # Errors
/// Of the set-up, if a file cannot be used.
pub(crate) fn config(authorities: Option<&Path>, known_by: Option<&KnownBy>) -> Result<ClientConfig, Fault> {
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::setup(format!("no TLS: {error}")))?
        .with_root_certificates(roots(authorities)?);
    let Some(KnownBy { certificate, key }) = known_by else { return Ok(builder.with_no_client_auth()) };
    let chain =
        pem::certificates("certificate", certificate, &read("certificate", certificate)?, Some("--key"))?;
    let private_key = pem::private_key(key, &read("key", key)?)?;
    builder.with_client_auth_cert(chain, private_key).map_err(|error| {
        let (certificate, key) = (certificate.display(), key.display());
        Fault::setup(format!("the TLS key {key} and certificate {certificate} cannot be used: {error}"))
    })
}

fn roots(authorities: Option<&Path>) -> Result<RootCertStore, Fault> {
    let set = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()).map(PathBuf::from);
    let mut roots = RootCertStore::empty();
    let (what, path) = match (authorities, set) {
        (Some(path), _) => ("certificates of who vouches for servers", path.to_owned()),
        (None, Some(path)) => ("certificates that SSL_CERT_FILE names,", path),
        (None, None) => {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            return Ok(roots);
        }
    };
    for certificate in pem::certificates(what, &path, &read(what, &path)?, None)? {
        roots.add(certificate).map_err(|error| {
            Fault::setup(format!("the TLS {what} in {} cannot be used: {error}", path.display()))
        })?;
    }
    Ok(roots)
}

fn read(what: &str, path: &Path) -> Result<Vec<u8>, Fault> {
    std::fs::read(path)
        .map_err(|error| Fault::setup(format!("the TLS {what} {} cannot be read: {error}", path.display())))
}
