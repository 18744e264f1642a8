//! What goes wrong between here and a server, in words.

use std::error::Error;

use corn_core::{Blame, Fault};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};
use tonic::{Code, Status, TimeoutExpired};

use super::Address;
use super::connect::Ended;
use crate::grpc::status;

impl Address {
    /// What a status of this server says, which came over a connection that may have `ended`.
    pub(super) fn fault(&self, status: &Status, ended: &Ended) -> Fault {
        let said = |name: &str| status.metadata().get(name).and_then(|word| word.to_str().ok());
        if said("corn-blame").is_some() {
            let fault = status::fault(status);
            let Some(component) = said("corn-component") else { return fault };
            // The message begins with it, and so does the fault of a component.
            let begins = format!("component '{component}': ");
            let message = fault.message.strip_prefix(&begins).unwrap_or(&fault.message);
            return Fault::new(fault.blame, message).in_component(component);
        }
        let url = &self.url;
        // Held here as well, for servers that do not say so themselves in time.
        if status.source().is_some_and(|source| causes(source).any(<dyn Error>::is::<TimeoutExpired>)) {
            return Fault::new(Blame::Deadline, "the deadline passed");
        }
        match status.code() {
            Code::Unauthenticated if self.key.is_some() => {
                Fault::request(format!("{url} does not know this key"))
            }
            Code::Unauthenticated => {
                Fault::request(format!("{url} wants a key: set CORN_API_KEY to it, or say --api-key"))
            }
            // What tonic says of an answer that is none of gRPC.
            Code::Unimplemented | Code::Internal if is_foreign(status) => Fault::request(format!(
                "who listens at {url} does not speak corn's gRPC; a server says at which address it does, and that is \
                 not the one for HTTP"
            )),
            Code::DeadlineExceeded => Fault::new(Blame::Deadline, "the deadline passed"),
            Code::OutOfRange | Code::InvalidArgument => Fault::request(status.message()),
            _ => match (ended.get(), status.source()) {
                (Some(ended), _) => of_connection(url, ended),
                (None, Some(source)) => of_connection(url, source),
                (None, None) => Fault::new(Blame::Unavailable, format!("{url} says: {}", status.message())),
            },
        }
    }
}

/// Whether a status was made here, of an answer by who does not speak our service.
fn is_foreign(status: &Status) -> bool {
    status.code() == Code::Unimplemented || status.message().contains("while receiving response with status")
}

/// An error, and what was behind it.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'e (dyn Error + 'static)| (*error).source())
}

/// A connection that could not be used, or broke.
pub(super) fn of_connection(url: &str, error: &(dyn Error + 'static)) -> Fault {
    let tls = |error: &(dyn Error + 'static)| {
        let io = error.downcast_ref::<std::io::Error>();
        let inner = io.and_then(std::io::Error::get_ref).and_then(|it| it.downcast_ref::<rustls::Error>());
        inner.or_else(|| error.downcast_ref::<rustls::Error>()).cloned()
    };
    if let Some(error) = causes(error).find_map(tls) {
        return of_tls(url, &error);
    }
    let deepest = causes(error).last().unwrap_or(error);
    let hint = if url.starts_with("http:") {
        "; if it speaks TLS, say https://"
    } else {
        // Its last words are lost when what was on its way to it comes after its end.
        "; a server that wants a certificate of its clients, or another one, may end it so: see --cert and --key"
    };
    Fault::new(Blame::Unavailable, format!("the connection to {url} broke: {deepest}{hint}"))
}

/// What TLS does not take.
pub(super) fn of_tls(url: &str, error: &rustls::Error) -> Fault {
    let not_trusted = |why: &str| Fault::setup(format!("the certificate of {url} is not taken: {why}"));
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            not_trusted("nobody who is trusted vouches for it; name who does with --cacert FILE")
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => not_trusted(&format!("it is for another name ({error})")),
        rustls::Error::InvalidCertificate(why) => not_trusted(&why.to_string()),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            Fault::setup(format!("{url} wants a certificate of its clients: say --cert FILE and --key FILE"))
        }
        rustls::Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::CertificateExpired
            | AlertDescription::AccessDenied,
        ) => Fault::setup(format!("{url} does not take the certificate that --cert names: {error}")),
        rustls::Error::InvalidMessage(_) => {
            Fault::setup(format!("who listens at {url} does not speak TLS; say http:// if that is meant"))
        }
        error => Fault::setup(format!("no TLS with {url}: {error}")),
    }
}
