//! A real NATS server on a port and in a folder of its own, and a plain client of it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use waag_nats::protocol::{Parser, Received, Writer};

use crate::support::{PATIENCE, within};

fn program() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let program = root.join(target).join("needs/bin/nats-server");
    assert!(program.is_file(), "{} is not there; `cargo xtask test` brings it", program.display());
    program
}

/// A server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    _folder: tempfile::TempDir,
}

impl Server {
    /// A server with JetStream, and with a password where one is given.
    pub(crate) fn start(password: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = waag_fixtures::port::reserved();
        let streams = folder.path().join("streams");
        let login = password
            .map(|password| format!("authorization {{ user: me, password: {password:?} }}\n"))
            .unwrap_or_default();
        let config = format!("listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {streams:?} }}\n{login}");
        std::fs::write(folder.path().join("config"), config).unwrap();
        let log = folder.path().join("log");
        let mut command = Command::new(program());
        command.arg("-c").arg(folder.path().join("config")).arg("-l").arg(&log);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { child, port, _folder: folder };
        within("a NATS server", PATIENCE, || {
            let told = std::fs::read_to_string(&log).unwrap_or_default();
            told.contains("Server is ready").then_some(())
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A client that asks and waits.
pub(crate) struct Client {
    stream: TcpStream,
    parser: Parser,
    asked: u64,
}

impl Client {
    pub(crate) fn connect(port: u16, password: Option<&str>) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self { stream, parser: Parser::new(), asked: 0 };
        let mut options = json!({"verbose": false, "headers": true, "no_responders": true});
        if let Some(password) = password {
            (options["user"], options["pass"]) = (json!("me"), json!(password));
        }
        let mut writer = Writer::new();
        writer.connect(&options);
        writer.subscribe("_INBOX.test.*", 1).unwrap();
        client.stream.write_all(&writer.take()).unwrap();
        client
    }

    fn ask(&mut self, subject: &str, payload: &[u8]) -> Value {
        self.asked += 1;
        let inbox = format!("_INBOX.test.{}", self.asked);
        let mut writer = Writer::new();
        writer.publish(subject.as_bytes(), Some(&inbox), &[], payload).unwrap();
        self.stream.write_all(&writer.take()).unwrap();
        loop {
            match self.parser.next().unwrap() {
                Some(Received::Message(message)) if *message.subject == *inbox.as_bytes() => {
                    return serde_json::from_slice(&message.payload).unwrap();
                }
                Some(Received::Error(error)) => panic!("{error}"),
                Some(_) => {}
                None => {
                    let mut piece = [0; 65_536];
                    let read = self.stream.read(&mut piece).unwrap();
                    assert!(read > 0, "the server closed the connection");
                    self.parser.feed(&piece[..read]);
                }
            }
        }
    }

    fn api(&mut self, call: &str, body: &str) {
        let answer = self.ask(&format!("$JS.API.{call}"), body.as_bytes());
        assert_eq!(answer["error"], Value::Null, "{answer}");
    }

    /// Makes a stream of the subjects below its name.
    pub(crate) fn create(&mut self, stream: &str) {
        let config = json!({"name": stream, "subjects": [format!("{stream}.>")]});
        self.api(&format!("STREAM.CREATE.{stream}"), &config.to_string());
    }

    pub(crate) fn delete(&mut self, stream: &str) {
        self.api(&format!("STREAM.DELETE.{stream}"), "");
    }

    /// Removes messages before a number.
    pub(crate) fn purge(&mut self, stream: &str, before: u64) {
        self.api(&format!("STREAM.PURGE.{stream}"), &json!({ "seq": before }).to_string());
    }

    /// Publishes; the number in the stream.
    pub(crate) fn publish(&mut self, subject: &str, payload: &[u8]) -> u64 {
        let answer = self.ask(subject, payload);
        answer["seq"].as_u64().unwrap_or_else(|| panic!("{answer}"))
    }
}
