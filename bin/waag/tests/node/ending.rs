//! A node that ends: deliveries under way are answered if they can be, and its log says what stops and goes on.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::Folder;
use crate::support::{Node, ONE, PATIENCE, invoice, key, within};

const ALLOWED: [&str; 2] = ["--allow-http-webhooks", "--allow-private-webhooks"];
/// How long the slow receiver takes: less than a node waits.
const SLOW: Duration = Duration::from_millis(1_500);

/// How often a path was asked, and how often its answer could be written.
type Counts = BTreeMap<String, (u32, u32)>;

/// Without a certificate there is nothing to read again, and without a terminal none that could be gone.
#[test]
fn a_node_without_tls_and_without_a_terminal_stays_when_it_is_hung_up() {
    let folder = Folder::with_store();
    let key = key(&folder, &[]);
    let node = Node::serve(&folder);
    node.process.signal(rustix::process::Signal::HUP);
    let said = || std::fs::read_to_string(folder.path("serve.err")).unwrap();
    within("what it says", PATIENCE, || said().contains("SIGHUP").then_some(()));
    assert_eq!(node.post(&key, ONE, &invoice("1", "ingestion", "INV-1")).status, 200);
    assert!(node.terminate().success());
}

/// Answers `/slow` late, `/never` not at all the first time, and `/gone…` that it is gone.
struct Receiver {
    at: SocketAddr,
    counts: Arc<Mutex<Counts>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Self { at: listener.local_addr().unwrap(), counts: Arc::default() };
        let counts = Arc::clone(&receiver.counts);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let counts = Arc::clone(&counts);
                std::thread::spawn(move || answer_all(&mut BufReader::new(stream), &counts));
            }
        });
        receiver
    }

    fn counts(&self, path: &str) -> (u32, u32) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).get(path).copied().unwrap_or_default()
    }
}

/// Answers requests until the connection ends.
fn answer_all(stream: &mut BufReader<TcpStream>, counts: &Mutex<Counts>) -> Option<()> {
    loop {
        let (mut line, mut length) = (String::new(), 0);
        stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let path = line.split(' ').nth(1)?.split('?').next()?.to_owned();
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim().split_once(": ") else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().ok()?;
            }
        }
        stream.read_exact(&mut vec![0; length]).ok()?;
        let asked = {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            let (asked, _) = counts.entry(path.clone()).or_default();
            *asked += 1;
            *asked
        };
        let status = match path.as_str() {
            "/slow" => {
                std::thread::sleep(SLOW);
                204
            }
            "/never" if asked == 1 => {
                // Until the node hangs up.
                drop(stream.read(&mut [0]));
                return None;
            }
            "/gone" => 410,
            _ => 204,
        };
        write!(stream.get_mut(), "HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").ok()?;
        counts.lock().unwrap_or_else(PoisonError::into_inner).entry(path).or_default().1 += 1;
    }
}

fn subscribe(folder: &Folder, receiver: &Receiver, name: &str, more: &str) {
    let spec = json!({
        "name": name, "target": {"kind": "webhook", "url": format!("http://{}/{name}{more}", receiver.at)},
        "pattern": {"type": [{"prefix": "invoice."}]},
    });
    folder.write("spec", spec.to_string());
    folder.run(&["subscription", "create", "--file", "spec"]).exits(0);
}

fn standing(folder: &Folder, name: &str) -> Value {
    folder.run(&["subscription", "show", name, "--json"]).exits(0).json()
}

fn log(folder: &Folder) -> String {
    std::fs::read_to_string(folder.path("serve.err")).unwrap()
}

#[test]
fn a_delivery_under_way_at_the_end_is_answered_and_one_that_is_not_goes_again_at_the_next_start() {
    let folder = Folder::with_store();
    let (key, receiver) = (key(&folder, &[]), Receiver::start());
    let node = Node::serve_with(&folder, &ALLOWED);
    subscribe(&folder, &receiver, "slow", "");
    assert_eq!(node.post(&key, ONE, &invoice("a", "ingestion", "INV-1")).status, 200);
    within("the slow request", PATIENCE, || (receiver.counts("/slow").0 == 1).then_some(()));
    assert!(node.terminate().success());
    // It was answered before the node hung up; the receiver counts right behind its answer.
    within("the answer", PATIENCE, || (receiver.counts("/slow") == (1, 1)).then_some(()));
    assert!(!log(&folder).contains("under way"), "{}", log(&folder));

    let node = Node::serve_with(&folder, &ALLOWED);
    subscribe(&folder, &receiver, "never", "");
    assert_eq!(node.post(&key, ONE, &invoice("b", "ingestion", "INV-1")).status, 200);
    within("both requests", PATIENCE, || {
        (receiver.counts("/slow").1 == 2 && receiver.counts("/never").0 == 1).then_some(())
    });
    let begun = Instant::now();
    assert!(node.terminate().success());
    let took = begun.elapsed();
    assert!((Duration::from_secs(5)..PATIENCE).contains(&took), "{took:?}");
    assert!(log(&folder).contains("within 5000 ms: 1; they go again"), "{}", log(&folder));

    let node = Node::serve_with(&folder, &ALLOWED);
    within("it again", PATIENCE, || (receiver.counts("/never") == (2, 1)).then_some(()));
    within("all is delivered", PATIENCE, || {
        let lag = |name| standing(&folder, name)["overview"]["lag_events"].as_u64();
        (lag("never") == Some(0) && lag("slow") == Some(0)).then_some(())
    });
    assert_eq!(receiver.counts("/slow"), (2, 2), "what was answered is not sent again");
    assert!(node.terminate().success());
}

#[test]
fn the_log_says_what_stops_and_goes_on_and_never_where_a_target_is() {
    let folder = Folder::with_store();
    let (key, receiver) = (key(&folder, &[]), Receiver::start());
    let node = Node::serve_with(&folder, &ALLOWED);
    subscribe(&folder, &receiver, "gone", "?token=geheim");
    assert_eq!(node.post(&key, ONE, &invoice("a", "ingestion", "INV-1")).status, 200);
    let says = |text: &str| within(text, PATIENCE, || log(&folder).contains(text).then_some(()));
    says("the subscription `gone` stopped: ");
    folder.run(&["subscription", "resume", "gone", "--as", "anna"]).exits(0);
    says("note: the subscription `gone` was resumed by anna\n");
    folder.run(&["subscription", "pause", "gone", "--reason", "they move\u{1b}[2J", "--as", "anna"]).exits(0);
    says("note: the subscription `gone` was paused by anna: they move");
    folder.run(&["subscription", "resume", "gone", "--as", "anna"]).exits(0);
    within("it has stopped again", PATIENCE, || {
        (log(&folder).matches("the subscription `gone` stopped: ").count() == 2).then_some(())
    });
    let first = log(&folder);
    assert!(node.terminate().success());
    let node = Node::serve_with(&folder, &ALLOWED);
    says("the subscription `gone` stands still: ");
    for log in [first, log(&folder)] {
        assert!(!log.contains("geheim") && !log.contains("/gone") && !log.contains('\u{1b}'), "{log}");
    }
    assert!(node.terminate().success());
}
