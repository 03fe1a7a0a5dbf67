//! A witness's submission prefix, read strictly.
//!
//! Not here: whether plain `http` is allowed. Source: C2SP tlog-witness; RFC 3986.

use hyper::Uri;
use hyper::http::uri::PathAndQuery;

use crate::URL_BYTES_MAX;

/// Where checkpoints are offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) is_tls: bool,
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What the `host` header says.
    pub(crate) authority: String,
    pub(crate) path: PathAndQuery,
}

impl Endpoint {
    pub(crate) fn parse(prefix: &str) -> Result<Self, &'static str> {
        if prefix.len() > URL_BYTES_MAX {
            return Err("its URL is longer than 2,048 bytes");
        }
        if prefix.contains('#') || prefix.contains('?') {
            return Err("its URL has a query or a fragment");
        }
        let uri: Uri = prefix.parse().map_err(|_| "its URL is none")?;
        let (is_tls, default) = match uri.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            Some(_) | None => return Err("its URL begins with `https://`"),
        };
        let authority = uri.authority().ok_or("its URL has no host")?;
        if authority.as_str().contains('@') {
            return Err("its URL has a user's name or a password");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        // By its text: the library's own reading passes over a port that is none.
        let behind = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let port = match behind.strip_prefix(':') {
            // A number may have a sign, a port may not.
            Some(port) if port.starts_with('+') => return Err("its URL's port is none"),
            Some(port) => port.parse().map_err(|_| "its URL's port is none")?,
            None => default,
        };
        if host.is_empty() || port == 0 {
            return Err("its URL has no host, or no port");
        }
        let path = format!("{}/add-checkpoint", uri.path().trim_end_matches('/'));
        let path = PathAndQuery::try_from(path).map_err(|_| "its URL's path is none")?;
        Ok(Self { is_tls, host, port, authority: authority.as_str().to_owned(), path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_read_as_it_stands() {
        for (prefix, is_tls, host, port, authority, path) in [
            ("https://w.example", true, "w.example", 443, "w.example", "/add-checkpoint"),
            ("https://w.example/a/b/", true, "w.example", 443, "w.example", "/a/b/add-checkpoint"),
            (
                "http://127.0.0.1:8080/witness",
                false,
                "127.0.0.1",
                8080,
                "127.0.0.1:8080",
                "/witness/add-checkpoint",
            ),
            ("https://[::1]:1/", true, "::1", 1, "[::1]:1", "/add-checkpoint"),
        ] {
            let read = Endpoint::parse(prefix).unwrap();
            let got =
                (read.is_tls, read.host.as_str(), read.port, read.authority.as_str(), read.path.as_str());
            assert_eq!(got, (is_tls, host, port, authority, path), "{prefix}");
        }
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        let long = format!("https://w.example/{}", "x".repeat(URL_BYTES_MAX));
        for prefix in [
            "",
            "w.example",
            "/a",
            "ftp://w.example",
            "https://",
            "https://:443",
            "https://u@w.example",
            "https://w.example?a",
            "https://w.example/#a",
            "https://w.example:0",
            "https://w.example:",
            "https://w.example:70000",
            "https://w.example:+80",
            "https://w example",
            &long,
        ] {
            assert!(Endpoint::parse(prefix).is_err(), "{prefix}");
        }
    }
}
