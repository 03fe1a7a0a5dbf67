//! TLS over a real listener: the handshake, a certificate replaced while running, and no plain listener beyond loopback.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use waag_http::fault::Kind;
use waag_http::server::{Server, ServerLimits};
use waag_http::tls::{Tls, TlsFiles};

mod support;

fn certificates() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates"))
}

/// Asks for `/healthz` as a client that trusts one certificate; none where the handshake fails.
fn ask(
    address: std::net::SocketAddr,
    trusted: &str,
    version: &'static rustls::SupportedProtocolVersion,
) -> Option<String> {
    let pem = certificates().join(format!("{trusted}.pem"));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut session =
        rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    Some(String::from_utf8(answer).unwrap())
}

#[test]
fn a_certificate_is_replaced_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let files = TlsFiles { chain: folder.path().join("chain.pem"), key: folder.path().join("key.pem") };
    let put = |name: &str| {
        std::fs::copy(certificates().join(format!("{name}.pem")), &files.chain).unwrap();
        std::fs::copy(certificates().join(format!("{name}.key")), &files.key).unwrap();
    };
    put("one");
    let tls = Arc::new(Tls::open(files.clone()).unwrap());
    let door = support::TestDoor::open_tls(support::Settings::default(), Some(Arc::clone(&tls)));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        assert!(ask(door.address, "one", version).unwrap().starts_with("HTTP/1.1 200"));
    }
    assert_eq!(ask(door.address, "two", &rustls::version::TLS13), None);
    assert!(!tls.reload().unwrap());
    std::fs::write(&files.key, "no key").unwrap();
    assert_eq!(tls.reload().unwrap_err().kind.code(), "E0961");
    assert!(ask(door.address, "one", &rustls::version::TLS13).is_some());
    put("two");
    assert!(tls.reload().unwrap());
    assert!(ask(door.address, "two", &rustls::version::TLS13).is_some());
    assert_eq!(ask(door.address, "one", &rustls::version::TLS13), None);
}

#[test]
fn a_listener_beyond_loopback_needs_tls() {
    let bound = Server::bind("0.0.0.0:0".parse().unwrap(), ServerLimits::default(), None);
    assert_eq!(bound.unwrap_err().kind, Kind::PlainListener);
    assert!(
        Server::bind("[::1]:0".parse().unwrap(), ServerLimits::default(), None)
            .map_or_else(|fault| matches!(fault.kind, Kind::Listen(_)), |_| true)
    );
}
