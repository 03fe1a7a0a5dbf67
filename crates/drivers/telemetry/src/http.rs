//! One HTTP/1.1 POST a message, on a connection of its own, each step within a time limit.
//!
//! A few messages a minute are worth neither a connection pool nor a client library. Only the status is read.
//! Not here: what is sent (`messages`), when (the crate's root).

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};

use crate::{Options, TelemetryError};

/// `HTTP/1.1 200`.
const STATUS_BYTES: usize = 12;

/// Where one kind of message goes.
pub(crate) struct Target {
    host: String,
    port: u16,
    head: String,
    tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
}

fn wrong(why: impl std::fmt::Display) -> TelemetryError {
    TelemetryError::Endpoint(why.to_string())
}

impl Target {
    /// A path below the endpoint.
    pub(crate) fn new(options: &Options, path: &str) -> Result<Self, TelemetryError> {
        let (scheme, rest) = options.endpoint.split_once("://").ok_or_else(|| wrong("it is no URL"))?;
        let (authority, base) = rest.split_once('/').unwrap_or((rest, ""));
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"@?#".contains(&byte);
        if authority.is_empty() || !rest.bytes().all(is_plain) {
            return Err(wrong("it has a host, maybe a port and a path, and nothing else"));
        }
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return Err(wrong("it begins with `http://` or `https://`")),
        };
        // A colon within brackets is part of an IPv6 address.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(wrong)?),
            Some(_) | None => (authority, default_port),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = if scheme == "https" { Some(tls(options, &host)?) } else { None };
        let base = base.trim_end_matches('/');
        let slash = if base.is_empty() { "" } else { "/" };
        let mut head = format!(
            "POST {slash}{base}{path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\ncontent-type: application/x-protobuf\r\n\
             user-agent: waag/{}\r\n",
            env!("CARGO_PKG_VERSION")
        );
        for (name, value) in &options.headers {
            let is_name = !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            if !is_name || value.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
                return Err(wrong(format!("the header `{name}` cannot be sent")));
            }
            head.push_str(&format!("{}: {value}\r\n", name.to_ascii_lowercase()));
        }
        Ok(Self { host, port, head, tls })
    }

    /// Sends a message; whoever does not answer in time, or with another status than 2xx, did not take it.
    pub(crate) fn post(&self, body: &[u8], timeout: Duration) -> io::Result<()> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in (self.host.as_str(), self.port).to_socket_addrs()?.take(2) {
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(timeout))?;
                    stream.set_write_timeout(Some(timeout))?;
                    return match &self.tls {
                        None => self.exchange(stream, body),
                        Some((config, name)) => {
                            let session = rustls::ClientConnection::new(Arc::clone(config), name.clone());
                            let session = session.map_err(io::Error::other)?;
                            self.exchange(rustls::StreamOwned::new(session, stream), body)
                        }
                    };
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn exchange(&self, mut stream: impl Read + Write, body: &[u8]) -> io::Result<()> {
        let head = format!("{}content-length: {}\r\n\r\n", self.head, body.len());
        stream.write_all(&[head.as_bytes(), body].concat())?;
        stream.flush()?;
        let mut status = [0; STATUS_BYTES];
        stream.read_exact(&mut status)?;
        if status.starts_with(b"HTTP/1.") && status.get(8..10) == Some(b" 2") {
            return Ok(());
        }
        Err(io::Error::other("the collector did not take it"))
    }
}

fn tls(
    options: &Options,
    host: &str,
) -> Result<(Arc<rustls::ClientConfig>, ServerName<'static>), TelemetryError> {
    let file = options.certificate.as_ref();
    let file =
        file.ok_or_else(|| wrong("an `https://` endpoint needs the certificates to check it against"))?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(wrong)? {
        roots.add(certificate.map_err(wrong)?).map_err(wrong)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(wrong)?;
    Ok((Arc::new(config), name))
}
