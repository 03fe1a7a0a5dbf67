//! Load as it comes: several producers for some seconds, batches and single events, plain invoices, bad ones among them.
//!
//! Every event with a receipt is there exactly once and under the position that the receipt tells; nothing that was refused
//! is there; no answer is the node's own fault; memory stays bounded. How fast it is is shown, not judged.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::Folder;
use crate::support::{BATCH, LINES, Node, ONE, PATIENCE, invoice, key};

const RUN: Duration = Duration::from_secs(10);
const PATIENCE_FOR_AN_ANSWER: Duration = Duration::from_secs(20);
/// A producer's rest between two requests, so that a run's size does not depend on how fast the machine is.
const REST: Duration = Duration::from_millis(20);
/// Events of a batch; every tenth is a bad one.
const BATCH_EVENTS: usize = 50;
const BAD_EVERY: usize = 10;
/// Most memory that the node may ever have had, in KiB: this load needs far less, and a leak per request far more.
const PEAK_KIB_MAX: u64 = 512 * 1_024;
/// How little would be no load at all.
const EVENTS_MIN: usize = 2_000;

/// A connection that is kept.
struct Connection {
    stream: BufReader<TcpStream>,
    key: String,
}

impl Connection {
    fn open(to: SocketAddr, key: &str) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE_FOR_AN_ANSWER)).unwrap();
        Self { stream: BufReader::new(stream), key: key.to_owned() }
    }

    /// Status, body, and how long it took.
    fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value, Duration) {
        let mut request = format!("POST {path} HTTP/1.1\r\nhost: waag\r\nx-api-key: {}\r\n", self.key);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        let begun = Instant::now();
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            assert_ne!(self.stream.read_line(&mut line).unwrap(), 0, "the connection was closed");
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest.split(' ').next().unwrap().parse().unwrap();
            }
            if let Some(rest) = line.strip_prefix("content-length: ") {
                length = rest.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        (status, serde_json::from_slice(&body).unwrap(), begun.elapsed())
    }
}

/// What all producers have seen.
#[derive(Default)]
struct Seen {
    /// Positions by the id of each event that got a receipt.
    receipts: BTreeMap<String, u64>,
    refused: usize,
    repeated: usize,
    took: Vec<Duration>,
}

impl Seen {
    /// An item's outcome against what it should be.
    fn item(&mut self, id: &str, is_bad: bool, item: &Value) {
        let status = item["status"].as_str().unwrap_or_else(|| panic!("{id}: {item}"));
        if is_bad {
            assert_eq!(status, "refused", "{id}: {item}");
            self.refused += 1;
            return;
        }
        let position = item["position"].as_u64().unwrap_or_else(|| panic!("{id}: {item}"));
        match (self.receipts.insert(id.to_owned(), position), status) {
            (None, "recorded") => {}
            // The same again: its first place.
            (Some(first), "before") => {
                assert_eq!(first, position, "{id}");
                self.repeated += 1;
            }
            (first, _) => panic!("{id} after {first:?}: {item}"),
        }
    }
}

/// An event, or one that is none: without its type, or with data that breaks its schema.
fn event(id: &str, number: usize) -> (String, bool) {
    let good = invoice(id, "ingestion", id);
    match number % (2 * BAD_EVERY) {
        0 => (good.replace(r#""type":"invoice.ingestion","#, ""), true),
        number if number == BAD_EVERY => (good.replace("12550", r#""much""#), true),
        _ => (good, false),
    }
}

/// Batches, as an array or in lines; every fifth is sent again.
fn batches(name: &str, connection: &mut Connection, until: Instant, seen: &Mutex<Seen>) {
    for round in 0.. {
        let events: Vec<(String, String, bool)> = (0..BATCH_EVENTS)
            .map(|number| {
                let id = format!("{name}-{round}-{number}");
                let (event, is_bad) = event(&id, number);
                (id, event, is_bad)
            })
            .collect();
        let texts: Vec<&str> = events.iter().map(|(_, event, _)| event.as_str()).collect();
        let (media, body) = if round % 2 == 0 {
            (BATCH, format!("[{}]", texts.join(",")))
        } else {
            (LINES, texts.join("\n"))
        };
        for _ in 0..if round % 5 == 0 { 2 } else { 1 } {
            let (status, told, took) = connection.post("/v1/events", &[("content-type", media)], &body);
            assert_eq!(status, 207, "{told}");
            let mut seen = seen.lock().unwrap();
            seen.took.push(took);
            let items = told["items"].as_array().unwrap();
            assert_eq!(items.len(), events.len());
            events.iter().zip(items).for_each(|((id, _, is_bad), item)| seen.item(id, *is_bad, item));
        }
        if Instant::now() >= until {
            return;
        }
        std::thread::sleep(REST);
    }
}

/// Single events; every tenth is bad.
fn singles(name: &str, connection: &mut Connection, until: Instant, seen: &Mutex<Seen>) {
    for number in 0.. {
        let id = format!("{name}-{number}");
        let (event, is_bad) = event(&id, number);
        let (status, told, took) = connection.post("/v1/events", &[("content-type", ONE)], &event);
        {
            let mut seen = seen.lock().unwrap();
            seen.took.push(took);
            if is_bad {
                assert!(matches!(status, 400 | 422), "{status}: {told}");
                seen.refused += 1;
            } else {
                assert_eq!(status, 200, "{told}");
                seen.item(&id, false, &told);
            }
        }
        if Instant::now() >= until {
            return;
        }
        std::thread::sleep(REST);
    }
}

/// Plain invoices with ids of their own.
fn invoices(name: &str, connection: &mut Connection, until: Instant, seen: &Mutex<Seen>) {
    for number in 0.. {
        let id = format!("{name}-{number}");
        let body = format!(
            r#"{{"id":"{id}","invoice_id":"{id}","amount":12.50,"currency":"EUR","status":"received","time":"2026-11-21T08:00:00Z"}}"#
        );
        let key = format!("\"{id}\"");
        let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
        let (status, told, took) = connection.post("/invoices/ingestion", &headers, &body);
        assert_eq!(status, 200, "{told}");
        {
            let mut seen = seen.lock().unwrap();
            seen.took.push(took);
            seen.item(&id, false, &told);
        }
        if Instant::now() >= until {
            return;
        }
        std::thread::sleep(REST);
    }
}

/// The most memory that a process ever had, in KiB.
fn peak_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

type Producer = fn(&str, &mut Connection, Instant, &Mutex<Seen>);

#[test]
fn every_event_with_a_receipt_is_there_exactly_once_after_ten_seconds_of_mixed_load() {
    let folder = Folder::with_store();
    let key = key(&folder, &[]);
    let node = Node::serve(&folder);
    let seen = Mutex::new(Seen::default());
    let (begun, until) = (Instant::now(), Instant::now() + RUN);
    let producers: [(&str, Producer); 8] = [
        ("b1", batches),
        ("b2", batches),
        ("b3", batches),
        ("s1", singles),
        ("s2", singles),
        ("s3", singles),
        ("s4", singles),
        ("i1", invoices),
    ];
    std::thread::scope(|scope| {
        for (name, produce) in producers {
            let (key, seen, to) = (&key, &seen, node.listen);
            scope.spawn(move || produce(name, &mut Connection::open(to, key), until, seen));
        }
    });
    let took = begun.elapsed();
    node.caught_up(&key, PATIENCE);
    let peak = peak_kib(node.process.id());
    assert!(node.terminate().success());
    let mut seen = seen.into_inner().unwrap();
    seen.took.sort();
    let at = |percent: usize| seen.took[(seen.took.len() - 1) * percent / 100];
    println!(
        "load: {} producers, {:.1} s, {} requests, {} events recorded, {} repeated, {} refused; p50 {:?}, p99 {:?}, most {:?}; peak {} MiB",
        producers.len(),
        took.as_secs_f64(),
        seen.took.len(),
        seen.receipts.len(),
        seen.repeated,
        seen.refused,
        at(50),
        at(99),
        at(100),
        peak / 1_024
    );
    assert!(seen.receipts.len() >= EVENTS_MIN && seen.refused > 0 && seen.repeated > 0);
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
    let mut there: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in folder.run(&["read"]).exits(0).lines() {
        let is_own = line["type"].as_str().is_some_and(|kind| kind.starts_with("waag."));
        if !is_own {
            let id = line["event"]["id"].as_str().unwrap().to_owned();
            there.entry(id).or_default().push(line["position"].as_u64().unwrap());
        }
    }
    let want: BTreeMap<String, Vec<u64>> = seen.receipts.into_iter().map(|(id, at)| (id, vec![at])).collect();
    // Not `assert_eq`: thousands of lines would tell nobody what differs.
    let differs: Vec<_> =
        want.keys().chain(there.keys()).filter(|id| want.get(*id) != there.get(*id)).collect();
    assert!(differs.is_empty(), "{} differ, first {:?}", differs.len(), &differs[..differs.len().min(10)]);
    folder.run(&["verify"]).exits(0);
}
