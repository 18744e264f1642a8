//! Which pages in browsers may ask.
//!
//! Browsers let any page send requests and open WebSockets to any host, this machine's included, and say only which page it
//! was; whether that page may read the answer is the server's to say. Where keys are wanted, a page must know one. Where
//! none are, pages of this very host are answered and those that the operator named: else any page that somebody looks at
//! could talk to the models behind it.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use corn_core::Fault;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::refusal::{Refusal, SHOULD_RETRY};

/// How long a browser may go by what it was told.
const KNOWN_FOR: Duration = Duration::from_hours(1);
/// Browsers say here what the page is to the host, and no page can change it.
const SITE: &str = "sec-fetch-site";

/// The pages of other hosts that may ask.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    named: Vec<HeaderValue>,
    are_all: bool,
}

impl Origins {
    /// From what stands before the path in the address of a page, such as `https://app.example.org`; `*` is any page.
    ///
    /// # Errors
    /// Of the set-up, if one is no origin.
    pub fn new(origins: &[String]) -> Result<Self, Fault> {
        let mut read = Self::default();
        for origin in origins {
            if origin == "*" {
                read.are_all = true;
                continue;
            }
            let rest =
                origin.split_once("://").filter(|(scheme, _)| !scheme.is_empty()).map(|(_, rest)| rest);
            let is_one = rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '*', '?', '#']));
            match HeaderValue::from_str(origin) {
                Ok(value) if is_one => read.named.push(value),
                _ => {
                    return Err(Fault::setup(format!(
                        "'{origin}' is no origin of pages: it is what stands before the path, such as https://app.example.org, or *"
                    )));
                }
            }
        }
        Ok(read)
    }

    /// What tells browsers that these pages may read answers; nothing, if no page of other hosts may.
    pub(super) fn layer(&self) -> Option<CorsLayer> {
        let allowed = match (self.are_all, self.named.is_empty()) {
            (true, _) => AllowOrigin::any(),
            (false, false) => AllowOrigin::list(self.named.clone()),
            (false, true) => return None,
        };
        let shown =
            ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
        let shown = shown.map(HeaderName::from_static);
        Some(
            CorsLayer::new()
                .allow_origin(allowed)
                .allow_methods([Method::GET, Method::POST])
                .allow_headers(AllowHeaders::mirror_request())
                .expose_headers(
                    shown
                        .into_iter()
                        .chain([super::REQUEST_ID, SHOULD_RETRY, header::RETRY_AFTER])
                        .collect::<Vec<_>>(),
                )
                .max_age(KNOWN_FOR),
        )
    }

    /// Refuses pages of other hosts that are not among these. Whoever is no browser sends no origin.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        if self.are_all || self.named.contains(origin) || is_own(origin, headers) {
            return Ok(());
        }
        let origin = origin.to_str().unwrap_or("null");
        let message = format!(
            "pages of {origin:?} may not ask here, since this server wants no keys; start it with --origins {origin}, or with --keys"
        );
        Err(Refusal::request(StatusCode::FORBIDDEN, message).code("wrong_origin"))
    }
}

/// Whether a page is of the host that is asked. A proxy may ask this host by another name than the browser asked it.
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    if headers.get(SITE).is_some_and(|site| site == "same-origin") {
        return true;
    }
    let text = |value: &HeaderValue| value.to_str().ok().and_then(|text| text.parse::<Uri>().ok());
    let (page, host) = (text(origin), headers.get(header::HOST).and_then(text));
    let (page, host) = (page.as_ref().and_then(Uri::host), host.as_ref().and_then(Uri::host));
    page.is_some() && page == host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origins: &Origins, headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        origins.check(&headers.collect()).is_ok()
    }

    #[test]
    fn only_pages_of_the_same_host_are_answered() {
        let host = ("host", "localhost:8000");
        let none = Origins::default();
        assert!(allowed(&none, &[host]));
        assert!(allowed(&none, &[host, ("origin", "http://localhost:3000")]));
        assert!(allowed(&none, &[("host", "corn.example"), ("origin", "https://corn.example")]));
        assert!(allowed(
            &none,
            &[host, ("origin", "https://corn.example"), ("sec-fetch-site", "same-origin")]
        ));
        assert!(!allowed(
            &none,
            &[host, ("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")]
        ));
        assert!(!allowed(&none, &[host, ("origin", "https://localhost.evil.example")]));
        assert!(!allowed(&none, &[host, ("origin", "null")]));
    }

    #[test]
    fn pages_that_the_operator_named_are_answered_too() {
        let named = Origins::new(&["https://app.example".to_owned(), "app://notes".to_owned()]).unwrap();
        let host = ("host", "localhost:8000");
        assert!(allowed(&named, &[host, ("origin", "https://app.example")]));
        assert!(allowed(&named, &[host, ("origin", "app://notes")]));
        assert!(!allowed(&named, &[host, ("origin", "https://app.example:8443")]));
        assert!(allowed(&Origins::new(&["*".to_owned()]).unwrap(), &[host, ("origin", "null")]));
        for wrong in
            ["", "app.example", "https://", "https://app.example/", "https://*.example", "://x", "a\n://b"]
        {
            assert!(Origins::new(&[wrong.to_owned()]).is_err(), "{wrong:?}");
        }
    }
}
