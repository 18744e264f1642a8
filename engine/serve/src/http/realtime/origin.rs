//! Whether a page in a browser may open a session.
//!
//! Browsers let any page open WebSockets to any host, this machine's included, and say only which page it was. Where
//! keys are wanted, a page must know one. Where none are, only pages of this very host are answered: else any page
//! that somebody looks at could talk to the models behind it.

use axum::http::{HeaderMap, StatusCode, Uri, header};

use crate::http::refusal::Refusal;

/// Refuses pages of other hosts. Whoever is no browser sends no origin.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let host =
        headers.get(header::HOST).and_then(|host| host.to_str().ok()).and_then(|host| host.parse().ok());
    let origin = origin.to_str().unwrap_or("null");
    let page = origin.parse().ok();
    let (page, host) = (page.as_ref().and_then(Uri::host), host.as_ref().and_then(Uri::host));
    if page.is_some() && page == host {
        return Ok(());
    }
    let message = format!(
        "pages of {origin:?} may not open sessions here, since this server wants no keys; start it with keys, or serve the page \
         from the same host"
    );
    Err(Refusal::request(StatusCode::FORBIDDEN, message).code("wrong_origin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_same_host_are_answered() {
        let allowed = |origin: Option<&str>, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            origin.map(|origin| headers.insert(header::ORIGIN, origin.parse().unwrap()));
            check(&headers).is_ok()
        };
        assert!(allowed(None, "localhost:8000"));
        assert!(allowed(Some("http://localhost:3000"), "localhost:8000"));
        assert!(allowed(Some("https://corn.example"), "corn.example"));
        assert!(!allowed(Some("https://evil.example"), "localhost:8000"));
        assert!(!allowed(Some("https://localhost.evil.example"), "localhost:8000"));
        assert!(!allowed(Some("null"), "localhost:8000"));
    }
}
