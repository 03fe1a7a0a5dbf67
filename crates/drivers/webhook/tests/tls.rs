//! TLS with real handshakes: the certificate must be the host's and of a known authority.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![expect(unreachable_pub, reason = "shared with other tests")]

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use waag_router::target::{Class, Outcome};
use waag_webhook::{Options, Roots, WebhookPool};

#[expect(dead_code, reason = "shared with other tests")]
mod support;
use support::{
    Log, NO_CONTENT, PATIENCE, Receiver, Script, certificate, deliver, delivery, failed, here, options,
    read_request, runtime, secret,
};

/// A receiver with a certificate, that speaks these versions of TLS.
fn receiver(name: &str, versions: &[&'static rustls::SupportedProtocolVersion], log: &Log) -> Receiver {
    let key = format!("{}/tests/certificates/{name}.key", env!("CARGO_MANIFEST_DIR"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate(name)], PrivateKeyDer::from_pem_file(key).unwrap())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (config, log) = (Arc::new(config), log.clone());
    Receiver::start(move |stream, _| {
        let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = rustls::StreamOwned::new(session, stream);
        while let Some(request) = read_request(&mut stream) {
            assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
            log.push(request);
            drop(stream.write_all(NO_CONTENT.as_bytes()));
        }
    })
}

fn pool(runtime: &tokio::runtime::Runtime, roots: Roots) -> WebhookPool {
    let resolver = Arc::new(Script::new(|_| Ok(vec!["127.0.0.1".parse().unwrap()])));
    let connect_timeout = Duration::from_millis(2_000);
    WebhookPool::new(Options { resolver, roots, connect_timeout, ..options(runtime) }).unwrap()
}

#[test]
fn a_receiver_with_its_certificate_gets_events() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (runtime, log) = (runtime(), Log::default());
        let receiver = receiver("hook", &[version], &log);
        let pool = pool(&runtime, Roots::Only(vec![certificate("other"), certificate("hook")]));
        let mut webhooks = Vec::new();
        for host in ["hook.test", "HOOK.test.", "127.0.0.1"] {
            let url = format!("https://{host}:{}/x", receiver.address.port());
            let webhook = pool.webhook(&url, vec![secret()], here()).unwrap();
            for _ in 0..2 {
                assert_eq!(deliver(&webhook, delivery(PATIENCE)), Outcome::Delivered(Some(204)), "{host}");
            }
            webhooks.push(webhook);
        }
        let requests = log.all();
        // Two ways to write one name are one receiver.
        assert_eq!((requests.len(), receiver.count()), (6, 2));
        let host = format!("hook.test:{}", receiver.address.port());
        assert_eq!(requests[2].header("host"), Some(host.as_str()));
    }
}

#[test]
fn certificates_of_others_and_of_nobody_known_are_refused() {
    let (runtime, log) = (runtime(), Log::default());
    let all = [&rustls::version::TLS13];
    let unknown = receiver("other", &all, &log);
    let known = receiver("hook", &all, &log);
    let plain = Receiver::start(|mut stream, _| drop(stream.write_all(NO_CONTENT.as_bytes())));
    let pool = pool(&runtime, Roots::Only(vec![certificate("hook")]));
    for (receiver, host) in [(&unknown, "hook.test"), (&known, "else.test"), (&plain, "hook.test")] {
        let url = format!("https://{host}:{}/", receiver.address.port());
        let webhook = pool.webhook(&url, vec![secret()], here()).unwrap();
        let failure = failed(deliver(&webhook, delivery(PATIENCE)));
        assert_eq!((failure.class, failure.code), (Class::Transient, "E1165"), "{}", failure.reason);
        assert!(failure.reason.contains(host), "{}", failure.reason);
        assert_eq!(receiver.count(), 1);
    }
    assert!(log.all().is_empty());
}

#[test]
fn a_handshake_that_does_not_end_costs_the_time_of_a_connection() {
    let runtime = runtime();
    let receiver = Receiver::start(|stream, _| {
        std::thread::sleep(PATIENCE);
        drop(stream);
    });
    let pool = pool(&runtime, Roots::Only(vec![certificate("hook")]));
    let url = format!("https://hook.test:{}/", receiver.address.port());
    let webhook = pool.webhook(&url, vec![secret()], here()).unwrap();
    let failure = failed(deliver(&webhook, delivery(PATIENCE)));
    assert_eq!((failure.class, failure.code), (Class::Transient, "E1164"));
    assert_eq!(failure.reason, "`hook.test` could not be connected to within 2000 ms");
}

#[test]
fn a_private_authority_stands_beside_the_systems() {
    let (runtime, log) = (runtime(), Log::default());
    let receiver = receiver("hook", &[&rustls::version::TLS13], &log);
    let resolver = Arc::new(Script::new(|_| Ok(vec!["127.0.0.1".parse().unwrap()])));
    let with = |roots| {
        let resolver = Arc::<Script>::clone(&resolver);
        WebhookPool::new(Options { resolver, roots, ..options(&runtime) })
    };
    assert_eq!(with(Roots::Only(Vec::new())).unwrap_err().code(), "E1165");
    let url = format!("https://hook.test:{}/", receiver.address.port());
    // A machine without certificates says so, and is none that could check a receiver.
    match (with(Roots::System), with(Roots::SystemAnd(vec![certificate("hook")]))) {
        (Ok(system), Ok(both)) => {
            let alone = system.webhook(&url, vec![secret()], here()).unwrap();
            assert_eq!(failed(deliver(&alone, delivery(PATIENCE))).code, "E1165");
            let webhook = both.webhook(&url, vec![secret()], here()).unwrap();
            assert_eq!(deliver(&webhook, delivery(PATIENCE)), Outcome::Delivered(Some(204)));
        }
        (system, both) => {
            assert_eq!((system.unwrap_err().code(), both.unwrap_err().code()), ("E1165", "E1165"));
        }
    }
}
