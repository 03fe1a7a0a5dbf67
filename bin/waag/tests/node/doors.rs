//! Events over HTTP in each form: a receipt that an auditor takes, a page that shows them, a node that ends in order.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use waag::store::options::Options;
use waag::store::place::Place;
use waag::store::writer::open_writer;
use waag_model::ids::TenantName;

use crate::common::Folder;
use crate::support::{
    Answer, BATCH, LINES, Node, ONE, PATIENCE, ask, auditor, invoice, key, post, recorded, report, within,
};

/// How long a node may take to end that nobody asks anything; less than it waits for requests under way.
const ENDED_WITHIN: Duration = Duration::from_secs(9);

/// Each form of a request, each with one event about `INV-<its name>`.
fn each_form(node: &Node, key: &str) -> Vec<(&'static str, Answer)> {
    let event = |name: &str| invoice(name, "ingestion", &format!("INV-{name}"));
    let data = r#"{"invoice_id":"INV-binary","amount_minor":1,"currency":"EUR","status":"received"}"#;
    let binary = [
        ("x-api-key", key),
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "binary"),
        ("ce-source", "/erp"),
        ("ce-type", "invoice.ingestion"),
        ("ce-subject", "INV-binary"),
    ];
    let own = [("x-api-key", key), ("content-type", "application/json"), ("idempotency-key", "\"k-1\"")];
    let own_body = r#"{"invoice_id":"INV-own","amount":1.00,"currency":"EUR","status":"received","time":"2026-11-20T10:00:00Z","vendor":"V"}"#;
    vec![
        ("structured", node.post(key, ONE, &event("structured"))),
        ("binary", ask(node.listen, "POST", "/v1/events", &binary, data).unwrap()),
        ("batch", node.post(key, BATCH, &format!("[{}]", event("batch")))),
        ("lines", node.post(key, LINES, &event("lines"))),
        ("own", ask(node.listen, "POST", "/invoices/ingestion", &own, own_body).unwrap()),
    ]
}

#[test]
fn every_form_of_a_request_gets_a_receipt_that_an_auditor_takes_and_is_shown() {
    let folder = Folder::with_store();
    let key = key(&folder, &[]);
    let node = Node::serve(&folder);
    folder.write("ledger.vkey", folder.run(&["checkpoint", "--key"]).exits(0).out.trim_end());
    for (name, answer) in each_form(&node, &key) {
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        let told = answer.json();
        let item = if told["items"].is_array() { &told["items"][0] } else { &told };
        assert_eq!(item["status"], "recorded", "{name}: {told}");
        // Who has a receipt finds its place in the ledger at once.
        assert!(node.ledger(&key)["entries"].as_u64() > item["position"].as_u64(), "{name}");
        within(&format!("INV-{name} on its page"), PATIENCE, || {
            let page = node.page(&format!("/invoice?id=INV-{name}"));
            (page.status == 200 && page.body.contains(&format!("INV-{name}"))).then_some(())
        });
        let position = item["position"].as_u64().unwrap().to_string();
        let proven = folder.run(&["prove", &position, "--json", "--entry-out", name]).exits(0).json();
        assert_eq!(proven["leaf_hash"], item["leaf_hash"], "{name}");
        // The receipt's own proof; with several events it is one for the range, which holds for one event too.
        let proof = told["proof"].as_str().unwrap_or_else(|| panic!("{name}: {told}"));
        folder.write("proof", proof);
        let verified = auditor(&folder, name, "proof", "ledger.vkey").exits(0);
        assert!(verified.out.contains(&position), "{verified:?}");
        folder.write("other", [std::fs::read(folder.path(name)).unwrap(), vec![0]].concat());
        auditor(&folder, "other", "proof", "ledger.vkey").exits(1);
    }
    let told = node.caught_up(&key, PATIENCE);
    assert!(told["entries"].as_u64().unwrap() >= 5, "{told}");
    assert_eq!(report(&folder)["cases"], 5);
    // The same again: the first places.
    for (name, answer) in each_form(&node, &key).into_iter().filter(|(name, _)| *name != "own") {
        let told = answer.json();
        let item = if told["items"].is_array() { &told["items"][0] } else { &told };
        assert_eq!((answer.status, item["status"].as_str()), (200, Some("before")), "{name}: {told}");
    }
    assert_eq!(node.ledger(&key)["entries"], told["entries"]);
    assert!(node.terminate().success());
}

#[test]
fn a_node_told_to_end_under_load_answers_what_it_took_and_leaves_nothing_to_recover() {
    let folder = Folder::with_store();
    let key = key(&folder, &[]);
    let node = Node::serve(&folder);
    let (stop, acknowledged) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()));
    let listen = node.listen;
    let status = std::thread::scope(|scope| {
        for thread in 0..4 {
            let (stop, acknowledged, key) = (&stop, &acknowledged, &key);
            scope.spawn(move || {
                for batch in 0.. {
                    let ids: Vec<String> = (0..10).map(|n| format!("t{thread}-{batch}-{n}")).collect();
                    let events: Vec<String> = ids.iter().map(|id| invoice(id, "ingestion", id)).collect();
                    match post(listen, key, BATCH, &format!("[{}]", events.join(","))) {
                        Ok(answer) if answer.status == 200 => acknowledged.lock().unwrap().extend(ids),
                        // It ends: not taken, and told so.
                        Ok(answer) => assert_eq!(answer.status, 503, "{answer:?}"),
                        Err(_) if stop.load(Ordering::Acquire) => return,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        within("load", PATIENCE, || (acknowledged.lock().unwrap().len() >= 200).then_some(()));
        stop.store(true, Ordering::Release);
        node.terminate()
    });
    assert_eq!(status.code(), Some(0));
    let place = Place::new(&folder.path("waag-data"), None, TenantName::new("default").unwrap()).unwrap();
    let store = open_writer(&place, &Options::default(), &mut |_, _| {}).unwrap();
    assert_eq!(store.recovery, waag_files::recover::Recovery::default(), "the log has nothing to recover");
    drop(store);
    let counts = recorded(&folder, "/erp");
    for id in acknowledged.into_inner().unwrap() {
        assert_eq!(counts.get(&id), Some(&1), "{id}");
    }
    assert!(counts.values().all(|count| *count == 1));
    folder.run(&["verify"]).exits(0);
}

#[test]
fn a_node_ends_at_once_when_it_is_told_so_as_soon_as_its_doors_are_open() {
    let folder = Folder::with_store();
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let mut node = Node::serve(&folder);
        node.process.signal(signal);
        assert_eq!(node.process.ended().code(), Some(0), "{signal:?}");
        // Nor is it held up by who has nothing to ask or waits for news.
        let mut node = Node::serve(&folder);
        let _idle = [node.listen, node.pages].map(|to| TcpStream::connect(to).unwrap());
        let mut live = TcpStream::connect(node.pages).unwrap();
        live.write_all(format!("GET /live HTTP/1.1\r\nhost: {}\r\n\r\n", node.pages).as_bytes()).unwrap();
        let mut first = [0; 12];
        live.set_read_timeout(Some(PATIENCE)).unwrap();
        live.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        let begun = Instant::now();
        node.process.signal(signal);
        assert_eq!(node.process.ended().code(), Some(0), "{signal:?}");
        assert!(begun.elapsed() < ENDED_WITHIN, "{signal:?}: {:?}", begun.elapsed());
    }
}
