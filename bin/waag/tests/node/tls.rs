//! TLS: a certificate that is replaced while the node runs, by a signal.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::common::Folder;
use crate::support::{Node, within};

/// Less than the time after which the door looks at the files by itself.
const RELOADED_WITHIN: Duration = Duration::from_secs(30);

fn certificate(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/edge/http/tests/certificates"))
        .join(name)
}

/// Whether a client that trusts one certificate gets an answer.
fn trusted(to: SocketAddr, name: &str) -> bool {
    answer(to, name, "/healthz").starts_with("HTTP/1.1 200")
}

/// What a client that trusts one certificate is answered; nothing where it does not trust.
fn answer(to: SocketAddr, name: &str, path: &str) -> String {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate(&format!("{name}.pem"))).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut session =
        rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut socket = TcpStream::connect_timeout(&to, RELOADED_WITHIN).unwrap();
    socket.set_read_timeout(Some(RELOADED_WITHIN)).unwrap();
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    let mut told = Vec::new();
    let asked = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    if stream.write_all(asked.as_bytes()).is_err() {
        return String::new();
    }
    // How a connection closes is not what is asked here.
    drop(stream.read_to_end(&mut told));
    String::from_utf8_lossy(&told).into_owned()
}

#[test]
fn a_hang_up_has_the_certificate_read_again_and_a_bad_one_changes_nothing() {
    let folder = Folder::with_store();
    let put = |name: &str| {
        folder.write("chain", std::fs::read(certificate(&format!("{name}.pem"))).unwrap());
        folder.write("key", std::fs::read(certificate(&format!("{name}.key"))).unwrap());
    };
    put("one");
    let node = Node::serve_with(&folder, &["--certificate", "chain", "--private-key", "key"]);
    assert!(trusted(node.listen, "one") && !trusted(node.listen, "two"));
    folder.write("chain", "nonsense");
    node.process.signal(Signal::HUP);
    assert!(trusted(node.listen, "one"), "it goes on with what it has");
    let said = || std::fs::read_to_string(folder.path("serve.err")).unwrap().matches("E0961").count();
    within("a warning", RELOADED_WITHIN, || (said() == 1).then_some(()));
    // The same again is counted, and told once.
    node.process.signal(Signal::HUP);
    within("the count of failures", RELOADED_WITHIN, || {
        let page = answer(node.listen, "one", "/metrics");
        let has = |line: &str| page.lines().any(|told| told == line);
        (has("waag_tls_certificate_failures_total 2") && has("waag_tls_certificate_stale 1")).then_some(())
    });
    assert_eq!(said(), 1);
    put("two");
    node.process.signal(Signal::HUP);
    within("the other certificate", RELOADED_WITHIN, || trusted(node.listen, "two").then_some(()));
    assert!(!trusted(node.listen, "one"));
    assert_eq!(node.terminate().code(), Some(0));
}
