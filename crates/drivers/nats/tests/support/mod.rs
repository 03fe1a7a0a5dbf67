//! A real NATS server on a port and a folder of its own, and a plain client to look into its streams.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "helpers of tests, which each test program uses another part of"
)]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waag_model::ids::{LedgerId, Position};
use waag_model::time::UtcNanos;
use waag_nats::protocol::{Message, Parser, Received, Writer};
use waag_nats::{Login, Options};
use waag_router::source::Event;
use waag_router::target::{Delivery, Outcome, Reply, Settle, Target};

/// Longest that anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

fn program() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let program = root.join(target).join("needs/bin/nats-server");
    assert!(program.is_file(), "{} is not there; `cargo xtask test` brings it", program.display());
    program
}

/// A server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    folder: tempfile::TempDir,
}

impl Server {
    /// A server with JetStream and further lines of configuration.
    pub(crate) fn start(further: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = waag_fixtures::port::reserved();
        let streams = folder.path().join("streams");
        let config = format!(
            "listen: \"127.0.0.1:{port}\"\nserver_name: one\njetstream {{ store_dir: {streams:?} }}\n{further}\n"
        );
        std::fs::write(folder.path().join("config"), config).unwrap();
        let child = spawn(folder.path());
        let server = Self { child, port, folder };
        server.wait();
        server
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        self.child = spawn(self.folder.path());
        self.wait();
    }

    fn wait(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            if log.contains("Server is ready") {
                return;
            }
            assert!(Instant::now() < end, "the server does not start: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            server: format!("nats://127.0.0.1:{}", self.port),
            login: Login::None,
            certificates: None,
            name: "waag test".to_owned(),
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.port, &json!({}))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(folder: &Path) -> Child {
    drop(std::fs::remove_file(folder.join("log")));
    let mut command = Command::new(program());
    command.arg("-c").arg(folder.join("config")).arg("-l").arg(folder.join("log"));
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A client that asks and waits.
pub(crate) struct Client {
    stream: TcpStream,
    parser: Parser,
    asked: u64,
}

impl Client {
    pub(crate) fn connect(port: u16, login: &Value) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self { stream, parser: Parser::new(), asked: 0 };
        let mut options = json!({"verbose": false, "headers": true, "no_responders": true});
        for (name, value) in login.as_object().unwrap() {
            options[name] = value.clone();
        }
        let mut writer = Writer::new();
        writer.connect(&options);
        writer.subscribe("_INBOX.test.*", 1).unwrap();
        client.stream.write_all(&writer.take()).unwrap();
        client
    }

    fn receive(&mut self) -> Received {
        loop {
            if let Some(received) = self.parser.next().unwrap() {
                return received;
            }
            let mut piece = [0; 65_536];
            let read = self.stream.read(&mut piece).unwrap();
            assert!(read > 0, "the server closed the connection");
            self.parser.feed(&piece[..read]);
        }
    }

    /// The answer to a message.
    pub(crate) fn ask(&mut self, subject: &str, headers: &[(&str, &str)], payload: &[u8]) -> Message {
        self.asked += 1;
        let inbox = format!("_INBOX.test.{}", self.asked);
        let mut writer = Writer::new();
        writer.publish(subject.as_bytes(), Some(&inbox), headers, payload).unwrap();
        self.stream.write_all(&writer.take()).unwrap();
        loop {
            match self.receive() {
                Received::Message(message) if *message.subject == *inbox.as_bytes() => return message,
                Received::Error(error) => panic!("{error}"),
                Received::Message(_) | Received::Info(_) | Received::Ping | Received::Pong | Received::Ok => {
                }
            }
        }
    }

    pub(crate) fn api(&mut self, call: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.ask(&format!("$JS.API.{call}"), &[], body.as_bytes());
        serde_json::from_slice(&answer.payload).unwrap()
    }

    pub(crate) fn create(&mut self, stream: &str, further: &Value) {
        let mut config = json!({"name": stream, "subjects": [format!("{stream}.>")]});
        for (name, value) in further.as_object().unwrap() {
            config[name] = value.clone();
        }
        let answer = self.api(&format!("STREAM.CREATE.{stream}"), &config);
        assert_eq!(answer["error"], Value::Null, "{answer}");
    }

    pub(crate) fn delete(&mut self, stream: &str) {
        let answer = self.api(&format!("STREAM.DELETE.{stream}"), &Value::Null);
        assert_eq!(answer["success"], true, "{answer}");
    }

    pub(crate) fn count(&mut self, stream: &str) -> u64 {
        self.api(&format!("STREAM.INFO.{stream}"), &Value::Null)["state"]["messages"].as_u64().unwrap()
    }

    /// A message of a stream as a publisher's headers and payload.
    pub(crate) fn get(&mut self, stream: &str, sequence: u64) -> Message {
        let body = json!({ "seq": sequence }).to_string();
        self.ask(&format!("$JS.API.DIRECT.GET.{stream}"), &[], body.as_bytes())
    }

    /// What the API says of a message.
    pub(crate) fn get_raw(&mut self, stream: &str, sequence: u64) -> Value {
        self.api(&format!("STREAM.MSG.GET.{stream}"), &json!({ "seq": sequence }))
    }

    pub(crate) fn publish(&mut self, subject: &str, headers: &[(&str, &str)], payload: &str) -> u64 {
        let answer = self.ask(subject, headers, payload.as_bytes());
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        answer["seq"].as_u64().unwrap_or_else(|| panic!("{answer}"))
    }
}

/// Outcomes by serial.
#[derive(Default)]
pub(crate) struct Outcomes {
    came: Mutex<HashMap<u64, Vec<Outcome>>>,
    bell: Condvar,
}

impl Settle for Outcomes {
    fn settle(&self, serial: u64, outcome: Outcome) {
        self.came.lock().unwrap().entry(serial).or_default().push(outcome);
        self.bell.notify_all();
    }
}

impl Outcomes {
    /// The one outcome of a serial.
    pub(crate) fn of(&self, serial: u64) -> Outcome {
        let came = self.came.lock().unwrap();
        let is_missing = |came: &mut HashMap<u64, Vec<Outcome>>| !came.contains_key(&serial);
        let (came, waited) = self.bell.wait_timeout_while(came, PATIENCE, is_missing).unwrap();
        assert!(!waited.timed_out(), "no outcome for {serial}");
        assert_eq!(came[&serial].len(), 1, "{:?}", came[&serial]);
        came[&serial][0].clone()
    }
}

pub(crate) fn delivery(position: u64, json: &str) -> Delivery {
    let event = Event {
        position: Position(position),
        committed: UtcNanos(0),
        kind: "test".into(),
        ordering: None,
        depth: 0,
        json: json.as_bytes().into(),
    };
    Delivery {
        subscription: "orders".into(),
        ledger: LedgerId([7; 16]),
        event: Arc::new(event),
        transformed: None,
        attempt: 1,
        replay: None,
        timeout: Duration::from_secs(5),
    }
}

/// Delivers once and waits for the outcome; each call of a test has a serial of its own.
pub(crate) fn deliver(target: &dyn Target, delivery: Delivery) -> Outcome {
    let outcomes = Arc::new(Outcomes::default());
    target.deliver(delivery, Reply::new(Arc::clone(&outcomes) as Arc<dyn Settle>, 1));
    outcomes.of(1)
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}
