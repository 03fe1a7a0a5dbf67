//! Webhooks from a real node to a real receiver: signed, in the order of each key, through a kill and a redrive.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::common::Folder;
use crate::support::{BATCH, Node, PATIENCE, invoice, key, within};

/// A request as it came.
#[derive(Clone, Debug)]
struct Came {
    id: String,
    subject: String,
    number: u64,
    attempt: u64,
    status: u16,
}

/// Answers 422 for one subject until it is told to take all, and 503 for another's first attempts.
struct Receiver {
    at: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
    takes_all: Arc<AtomicBool>,
    secret: Arc<Mutex<Option<String>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Self {
            at: listener.local_addr().unwrap(),
            came: Arc::default(),
            takes_all: Arc::default(),
            secret: Arc::default(),
        };
        let (came, takes_all, secret) =
            (Arc::clone(&receiver.came), Arc::clone(&receiver.takes_all), Arc::clone(&receiver.secret));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (came, takes_all, secret) =
                    (Arc::clone(&came), Arc::clone(&takes_all), Arc::clone(&secret));
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    while let Some(one) = answer(&mut stream, &takes_all, &secret) {
                        came.lock().unwrap_or_else(PoisonError::into_inner).push(one);
                    }
                });
            }
        });
        receiver
    }

    fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The numbers of a subject's events that were taken, in the order in which they came.
    fn taken(&self, subject: &str) -> Vec<u64> {
        let came = self.came();
        came.iter().filter(|one| one.subject == subject && one.status == 204).map(|one| one.number).collect()
    }
}

/// Reads one request, checks its signature and answers; none where the connection ends.
fn answer(
    stream: &mut BufReader<TcpStream>,
    takes_all: &AtomicBool,
    secret: &Mutex<Option<String>>,
) -> Option<Came> {
    let (mut line, mut headers) = (String::new(), Vec::new());
    stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
    assert!(line.starts_with("POST /events "), "{line}");
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let header =
        |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let mut body = vec![0; header("content-length")?.parse().ok()?];
    stream.read_exact(&mut body).ok()?;
    let secret = within("the secret", PATIENCE, || secret.lock().unwrap().clone());
    let secret = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let (id, time) = (header("webhook-id").unwrap(), header("webhook-timestamp").unwrap());
    let signed = [id.as_bytes(), b".", time.as_bytes(), b".", &body].concat();
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), &signed);
    assert_eq!(header("webhook-signature"), Some(format!("v1,{}", STANDARD.encode(mac)).as_str()));
    let event: Value = serde_json::from_slice(&body).unwrap();
    let (subject, attempt) = (event["subject"].as_str().unwrap(), header("waag-attempt").unwrap());
    let attempt: u64 = attempt.parse().unwrap();
    let status = match subject {
        "INV-C" if !takes_all.load(Ordering::SeqCst) => 422,
        "INV-B" if attempt == 1 => 503,
        _ => 204,
    };
    write!(stream.get_mut(), "HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").ok()?;
    let number = event["id"].as_str().unwrap().parse().unwrap();
    Some(Came { id: id.to_owned(), subject: subject.to_owned(), number, attempt, status })
}

fn dead_letters(folder: &Folder) -> Vec<Value> {
    folder.run(&["dead-letter", "list", "hook", "--json"]).exits(0).lines()
}

#[test]
fn webhooks_come_signed_and_in_order_through_a_kill_and_a_redrive() {
    let folder = Folder::with_store();
    let key = key(&folder, &[]);
    let receiver = Receiver::start();
    let allowed = ["--allow-http-webhooks", "--allow-private-webhooks"];
    let url = format!("http://{}/events", receiver.at);
    let spec = json!({
        "name": "hook", "target": {"kind": "webhook", "url": url},
        "pattern": {"type": [{"prefix": "invoice."}]},
        "retry": {"attempts_max": 5, "age_s_max": 600, "delay_ms_min": 50, "delay_ms_max": 100},
    });
    std::fs::write(folder.path("hook.json"), spec.to_string()).unwrap();
    let create = ["subscription", "create", "--file", "hook.json", "--json"];

    let strict = Node::serve(&folder);
    let refused = folder.run(&create);
    assert!(refused.code != 0 && refused.err.contains("E1139"), "without leave: {refused:?}");
    assert!(strict.terminate().success());

    let mut node = Node::serve_with(&folder, &allowed);
    let made = folder.run(&create).exits(0).json();
    *receiver.secret.lock().unwrap() = Some(made["secret"].as_str().unwrap().to_owned());
    let events: Vec<String> = (0..18)
        .map(|number| invoice(&number.to_string(), "ingestion", ["INV-A", "INV-B", "INV-C"][number % 3]))
        .collect();
    assert_eq!(node.post(&key, BATCH, &format!("[{}]", events.join(","))).status, 200);
    let all = |first: u64| (first..18).step_by(3).collect::<Vec<_>>();
    within("the others' events", PATIENCE, || {
        (receiver.taken("INV-A") == all(0) && receiver.taken("INV-B") == all(1)).then_some(())
    });
    let letters = within("a dead letter", PATIENCE, || {
        let letters = dead_letters(&folder);
        (letters.len() == 1).then_some(letters)
    });
    assert_eq!((letters[0]["status"].as_u64(), letters[0]["parks"].as_bool()), (Some(422), Some(true)));

    node.process.kill();
    let node = Node::serve_with(&folder, &allowed);
    assert_eq!(dead_letters(&folder).len(), 1);
    assert!(receiver.taken("INV-C").is_empty(), "its key waits, also after the kill");
    receiver.takes_all.store(true, Ordering::SeqCst);
    folder.run(&["dead-letter", "redrive", "hook", "--all", "--yes", "--follow"]).exits(0);
    within("the parked key", PATIENCE, || (receiver.taken("INV-C") == all(2)).then_some(()));
    assert_eq!(dead_letters(&folder).len(), 0);
    let came = receiver.came();
    for one in &came {
        assert_eq!(
            came.iter().filter(|other| (other.id == one.id) != (other.number == one.number)).count(),
            0
        );
    }
    assert!(came.iter().any(|one| one.subject == "INV-B" && one.attempt == 2));
    let told = folder.run(&["read"]).exits(0);
    assert!(told.out.contains("waag.dead-letter.recorded") && !told.out.contains("whsec_"), "{told:?}");
    assert!(node.terminate().success());
}
