//! A webhook's URL, read strictly: what is connected to is what stands there, and no other reader can see another host.
//!
//! Userinfo, fragments, backslashes, spaces and anything beyond ASCII are refused (names in other scripts are given in
//! their `xn--` form), and so are hosts that end in a number without being an IPv4 address in its four-part form, which
//! some lookups would read as one. Not here: which addresses are allowed (`address`). Source: RFC 3986.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::http::uri::PathAndQuery;

use crate::URL_BYTES_MAX;
use crate::error::WebhookError;

/// Longest host name, in bytes (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 253;
/// Longest part of a host name, in bytes.
const LABEL_BYTES_MAX: usize = 63;

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) is_tls: bool,
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) path: PathAndQuery,
}

/// A name to be looked up, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Name(Box<str>),
    Address(IpAddr),
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl Endpoint {
    /// Reads a URL.
    pub(crate) fn parse(url: &str) -> Result<Self, WebhookError> {
        let wrong = WebhookError::Url;
        if url.len() > URL_BYTES_MAX {
            return Err(wrong("it is longer than 2,048 bytes"));
        }
        if !url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return Err(wrong("it has a space, a backslash, a control character or one beyond ASCII"));
        }
        if url.contains('#') {
            return Err(wrong("it has a fragment, which is never sent"));
        }
        let (scheme, rest) = url.split_once("://").ok_or(wrong("it is none"))?;
        let is_tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(wrong("it begins with `https://` or `http://`")),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or(wrong("it is none"))?;
        if authority.contains('@') {
            return Err(wrong("it has a user's name or a password; secrets have another place"));
        }
        let (host, port) = authority_parts(authority)?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let path = PathAndQuery::try_from(path)
            .map_err(|_| wrong("its path has a character that must be escaped"))?;
        Ok(Self { is_tls, host: read_host(host)?, port: read_port(port, is_tls)?, path })
    }

    /// What the `host` header says: the port only where it is not the scheme's own.
    pub(crate) fn authority(&self) -> String {
        if self.port == default_port(self.is_tls) {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

fn default_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

/// Host and port, as they stand there.
fn authority_parts(authority: &str) -> Result<(&str, Option<&str>), WebhookError> {
    // Colons within brackets are part of an IPv6 address.
    if let Some(rest) = authority.strip_prefix('[') {
        let (_, behind) = rest.split_once(']').ok_or(WebhookError::Url("its IPv6 address does not end"))?;
        let host = authority.strip_suffix(behind).unwrap_or(authority);
        return match behind.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if behind.is_empty() => Ok((host, None)),
            None => Err(WebhookError::Url("there is something behind its IPv6 address")),
        };
    }
    Ok(authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))))
}

fn read_port(port: Option<&str>, is_tls: bool) -> Result<u16, WebhookError> {
    let Some(port) = port else { return Ok(default_port(is_tls)) };
    let is_number = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| port.parse().ok()).flatten();
    number.filter(|port| *port != 0).ok_or(WebhookError::Url("its port is a number from 1 to 65,535"))
}

fn read_host(host: &str) -> Result<Host, WebhookError> {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| WebhookError::Url("its IPv6 address is none"))?;
        return Ok(Host::Address(IpAddr::V6(address)));
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(Host::Address(IpAddr::V4(address)));
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > HOST_BYTES_MAX || !name.split('.').all(is_label) {
        return Err(WebhookError::Url("its host is no name and no address"));
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(WebhookError::Url("its host ends in a number and is no IPv4 address of four parts"));
    }
    Ok(Host::Name(name.into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Endpoint, Host};

    #[test]
    fn urls_are_read_as_they_stand() {
        let cases = [
            ("https://a.example/hook", true, "a.example", 443, "/hook", "a.example"),
            ("https://A.Example.:443", true, "a.example", 443, "/", "a.example"),
            ("http://a.example:8080?x=%20y", false, "a.example", 8080, "/?x=%20y", "a.example:8080"),
            (
                "https://xn--bcher-kva.example/a//b/../c?d=e?f/g@h:i",
                true,
                "xn--bcher-kva.example",
                443,
                "/a//b/../c?d=e?f/g@h:i",
                "xn--bcher-kva.example",
            ),
            ("https://10.0.0.1:1/", true, "10.0.0.1", 1, "/", "10.0.0.1:1"),
            ("https://[2001:DB8::1]:65535/", true, "[2001:db8::1]", 65535, "/", "[2001:db8::1]:65535"),
            ("http://[::1]", false, "[::1]", 80, "/", "[::1]"),
            ("https://under_score.example", true, "under_score.example", 443, "/", "under_score.example"),
        ];
        for (url, is_tls, host, port, path, authority) in cases {
            let read = Endpoint::parse(url).unwrap();
            let got = (read.is_tls, read.host.to_string(), read.port, read.path.as_str(), read.authority());
            assert_eq!(got, (is_tls, host.to_owned(), port, path, authority.to_owned()), "{url}");
        }
    }

    #[test]
    fn urls_that_could_mislead_are_refused() {
        let long = format!("https://a.example/{}", "x".repeat(2_048));
        let wrong = [
            "",
            "a.example",
            "https:/a.example",
            "ftp://a.example",
            "HTTPS://a.example",
            "https://",
            "https:///x",
            "https://:443/",
            "https://user@a.example/",
            "https://user:pass@a.example/",
            "https://a.example@127.0.0.1/",
            "https://a.example/#part",
            "https://a.example\\@b.example/",
            "https://a b.example/",
            "https://a.example/ü",
            "https://bücher.example/",
            "https://a.example:0/",
            "https://a.example:/",
            "https://a.example:65536/",
            "https://a.example:+80/",
            "https://a:1:2/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://1.2.3.4.5/",
            "https://[::1/",
            "https://[fe80::1%25eth0]/",
            "https://[::1]x/",
            "https://[1.2.3.4]/",
            "https://a..b/",
            "https://-a.example/",
            "https://a%2eb/",
            "https://a,b/",
            "https://[v1.x]/",
            "https://a.example/\n",
            "https://a.example/\u{0}",
            &long,
        ];
        for url in wrong {
            assert_eq!(Endpoint::parse(url).map_err(|error| error.code()), Err("E1161"), "{url}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_what_is_read_is_plain(url in "(https?://)?[ -~üß\u{202e}]{0,60}") {
            if let Ok(read) = Endpoint::parse(&url) {
                prop_assert!(url.to_ascii_lowercase().contains(read.path.as_str().to_ascii_lowercase().trim_start_matches('/')));
                if let Host::Name(name) = &read.host {
                    prop_assert!(url.to_ascii_lowercase().contains(&**name));
                    prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
                }
            }
        }
    }
}
