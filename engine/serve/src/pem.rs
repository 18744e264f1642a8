//! Certificates and keys as they are in files of people: PEM, and what is wrong with it in their words.

use std::path::Path;

use corn_core::Fault;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What a file holds that is to hold certificates, of which there is at least one. `key_option` is where a key goes that
/// stands there instead.
///
/// # Errors
/// Of the set-up, if it does not.
pub(crate) fn certificates(
    what: &str,
    path: &Path,
    pem: &[u8],
    key_option: Option<&str>,
) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(pem).collect();
    let path = path.display();
    match found {
        Ok(found) if found.is_empty() => {
            let is_key = PrivateKeyDer::from_pem_slice(pem).is_ok();
            let instead = match key_option.filter(|_| is_key) {
                Some(option) => format!("; there is a private key, which goes to {option}"),
                None => "; certificates begin with -----BEGIN CERTIFICATE-----".to_owned(),
            };
            Err(Fault::setup(format!("the TLS {what} {path} has no certificate in PEM{instead}")))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(Fault::setup(format!("the TLS {what} {path} is damaged: {error}"))),
    }
}

/// The private key that a file holds.
///
/// # Errors
/// Of the set-up, if it holds none that can be used.
pub(crate) fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        let path = path.display();
        let is_locked = pem.windows(9).any(|it| it == b"ENCRYPTED");
        Fault::setup(match error {
            pem::Error::NoItemsFound if is_locked => format!(
                "the TLS key {path} is encrypted; write it without a passphrase, as `openssl pkey -in {path}` does"
            ),
            pem::Error::NoItemsFound => format!(
                "the TLS key {path} has no private key in PEM; those begin with -----BEGIN PRIVATE KEY-----, \
                 EC PRIVATE KEY or RSA PRIVATE KEY"
            ),
            error => format!("the TLS key {path} is damaged: {error}"),
        })
    })
}
