//! Where a URL points, and which places an operator allows.

use std::fmt;

use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// Longest URL that is looked at.
const MAX_URL_BYTES: usize = 8 << 10;

/// Where a URL points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) is_tls: bool,
    /// A name or an address, without brackets, in small letters.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: PathAndQuery,
}

impl Place {
    /// Where `url` points, if it is one of http or https and whole.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        if url.len() > MAX_URL_BYTES {
            return Err(format!("its URL has more than {MAX_URL_BYTES} bytes"));
        }
        // What follows '#' is for whoever shows a page.
        let url = url.split('#').next().unwrap_or_default();
        let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        let is_tls = match scheme.as_deref() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err("it has no URL of http or https".to_owned()),
        };
        let uri: Uri = url.parse().map_err(|error| format!("its URL is wrong: {error}"))?;
        let authority = uri.authority().ok_or("its URL has no host")?;
        if authority.as_str().contains('@') {
            return Err("its URL has a user name, and such are not fetched".to_owned());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let port = match authority.as_str().rsplit_once(':') {
            Some((_, port)) if !port.ends_with(']') => {
                port.parse().map_err(|_| format!("its URL has no port that exists: {port:?}"))?
            }
            _ => default_port(is_tls),
        };
        if host.is_empty() || port == 0 {
            return Err("its URL has no host".to_owned());
        }
        let path = uri.into_parts().path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Self { is_tls, host, port, path })
    }

    /// Where the answer of this place says that something is.
    pub(super) fn join(&self, location: &str) -> Result<Self, String> {
        let scheme = if self.is_tls { "https" } else { "http" };
        let is_whole = location.split(['/', '?', '#']).next().is_some_and(|start| start.contains(':'));
        if is_whole {
            Self::parse(location)
        } else if location.starts_with("//") {
            Self::parse(&format!("{scheme}:{location}"))
        } else if location.starts_with('/') {
            Self::parse(&format!("{scheme}://{}{location}", self.authority()))
        } else {
            let folder = self.path.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            Self::parse(&format!("{scheme}://{}{folder}/{location}", self.authority()))
        }
    }

    /// Host and port, as in a URL.
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == default_port(self.is_tls) { host } else { format!("{host}:{}", self.port) }
    }
}

const fn default_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

/// A domain from which media may be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Domain {
    host: Host,
    /// Without one, the ports of http and of https are meant.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Any,
    Exactly(String),
    /// All that end so, beginning with a dot.
    Under(String),
}

impl Domain {
    /// Reads `example.org`, `*.example.org` or `*`, each perhaps with `:PORT`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "{text:?} is no domain that media can come from: {why}; write it as example.org, *.example.org, store:9000 or *"
            )
        };
        if text.contains('/') {
            return Err(wrong("it is a URL or a path"));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                let port: Option<u16> = port.parse().ok().filter(|port| *port > 0);
                (host, Some(port.ok_or_else(|| wrong("its port is no number from 1 to 65535"))?))
            }
            _ => (text, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let is_name = |name: &str| {
            let is_allowed =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
            !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_allowed)
        };
        let host = match host.strip_prefix("*.") {
            _ if host == "*" => Host::Any,
            Some(rest) if is_name(rest) => Host::Under(format!(".{rest}")),
            None if is_name(&host) => Host::Exactly(host),
            _ => return Err(wrong("a name has letters, digits, dots, '-' and '_'")),
        };
        Ok(Self { host, port })
    }

    pub(super) fn allows(&self, place: &Place) -> bool {
        let is_host = match &self.host {
            Host::Any => true,
            Host::Exactly(host) => *host == place.host,
            Host::Under(end) => place.host.len() > end.len() && place.host.ends_with(end),
        };
        is_host && place.port == self.port.unwrap_or(default_port(place.is_tls))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Any => f.write_str("*")?,
            Host::Exactly(host) if host.contains(':') => write!(f, "[{host}]")?,
            Host::Exactly(host) => f.write_str(host)?,
            Host::Under(end) => write!(f, "*{end}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Place {
        Place::parse(url).unwrap()
    }

    #[test]
    fn urls_are_taken_apart() {
        let it = place("https://Example.ORG./a/b.png?x=1#top");
        assert_eq!((it.is_tls, it.port, it.path.as_str()), (true, 443, "/a/b.png?x=1"));
        assert_eq!((it.host.as_str(), it.authority().as_str()), ("example.org", "example.org"));
        let it = place("http://[::1]:8080");
        assert_eq!((it.host.as_str(), it.port, it.path.as_str()), ("::1", 8080, "/"));
        assert_eq!(it.authority(), "[::1]:8080");
        assert_eq!(place("http://[::1]/").port, 80);
        for url in [
            "ftp://example.org/a",
            "file:///etc/passwd",
            "//example.org/a",
            "/etc/passwd",
            "http://user@example.org/",
            "http://good.org@127.0.0.1/",
            "http:///a",
            "http://example.org:0/",
            "http://example.org:99999/",
            "http://exa mple.org/",
            "http://example.org/\r\nx: y",
            "",
        ] {
            assert!(Place::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn redirects_are_resolved() {
        let from = place("https://a.org:8443/x/y?z");
        assert_eq!(from.join("w.png").unwrap(), place("https://a.org:8443/x/w.png"));
        assert_eq!(from.join("/w.png?a:b").unwrap(), place("https://a.org:8443/w.png?a:b"));
        assert_eq!(from.join("//b.org/w").unwrap(), place("https://b.org/w"));
        assert_eq!(from.join("http://b.org/w").unwrap(), place("http://b.org/w"));
        assert!(from.join("file:///etc/passwd").is_err());
        assert!(from.join("gopher:x").is_err());
    }

    #[test]
    fn domains_allow_what_they_say() {
        let allows = |domain: &str, url: &str| Domain::parse(domain).unwrap().allows(&place(url));
        assert!(
            allows("example.org", "https://EXAMPLE.org/x") && allows("example.org", "http://example.org.")
        );
        assert!(
            !allows("example.org", "https://a.example.org/")
                && !allows("example.org", "https://example.org.evil.net/")
        );
        assert!(
            !allows("example.org", "https://example.org:444/")
                && allows("example.org:444", "https://example.org:444/")
        );
        assert!(!allows("example.org:444", "https://example.org/"));
        assert!(
            allows("*.example.org", "https://b.a.example.org/")
                && !allows("*.example.org", "https://example.org/")
        );
        assert!(!allows("*.example.org", "https://badexample.org/"));
        assert!(allows("*", "https://any.net/") && !allows("*", "https://any.net:8443/"));
        assert!(allows("[::1]:80", "http://[::1]/"));
        for wrong in
            ["", "https://example.org", "example.org/a", "a b", "*.", "*x", "a:0", "a:x", ".org", "a,b"]
        {
            assert!(Domain::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Domain::parse("*.Example.org:8443").unwrap().to_string(), "*.example.org:8443");
    }
}
