//! A running node, requests to it, and waits that end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Folder, Ran};

/// Longest wait for anything that is to happen; threads at the lowest priority get little beside tests that take all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);

/// Waits until something is there.
pub(crate) fn within<T>(what: &str, most: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < most, "{what}: not within {most:?}");
        std::thread::sleep(LOOK);
    }
}

/// A process that is killed at the latest when this is dropped, and its lines.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    /// The next line of its answer.
    pub(crate) fn line(&self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("process {} ended without a line", self.id()),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        within("its end", PATIENCE, || self.child.try_wait().unwrap())
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `waag serve` of a folder's store.
pub(crate) struct Node {
    pub(crate) process: Process,
    pub(crate) listen: SocketAddr,
    pub(crate) pages: SocketAddr,
}

impl Node {
    pub(crate) fn serve(folder: &Folder) -> Self {
        Self::serve_with(folder, &[])
    }

    pub(crate) fn serve_with(folder: &Folder, more: &[&str]) -> Self {
        Self::serve_at(folder, ["127.0.0.1:0"; 2], more)
    }

    /// The node again where it was, after its end.
    pub(crate) fn again(&self, folder: &Folder) -> Self {
        Self::serve_at(folder, [&self.listen.to_string(), &self.pages.to_string()], &[])
    }

    fn serve_at(folder: &Folder, [listen, pages]: [&str; 2], more: &[&str]) -> Self {
        let arguments = ["serve", "--json", "--listen", listen, "--pages", pages];
        let mut command = folder.command(&[&arguments, more].concat());
        command.stderr(std::fs::File::create(folder.path("serve.err")).unwrap());
        let process = Process::start(command);
        let told: Value = serde_json::from_str(&process.line()).unwrap();
        let at = |name: &str| told[name].as_str().unwrap().parse().unwrap();
        Self { listen: at("listen"), pages: at("pages"), process }
    }

    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.process.signal(rustix::process::Signal::TERM);
        self.process.ended()
    }

    /// Sends events; JSON where the answer has any.
    pub(crate) fn post(&self, key: &str, media: &str, body: &str) -> Answer {
        post(self.listen, key, media, body).unwrap()
    }

    pub(crate) fn ledger(&self, key: &str) -> Value {
        let answer = ask(self.listen, "GET", "/v1/ledger", &[("x-api-key", key)], "").unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Waits until the read models have everything, while they come forward: they may be slow on a busy machine, and not
    /// stand still for so long. What the ledger tells then.
    pub(crate) fn caught_up(&self, key: &str, most: Duration) -> Value {
        let (mut forward, mut since) = (0, Instant::now());
        loop {
            let told = self.ledger(key);
            if told["entries"] == told["projected"] {
                return told;
            }
            let projected = told["projected"].as_u64().unwrap();
            if projected > forward {
                (forward, since) = (projected, Instant::now());
            }
            assert!(
                since.elapsed() < most,
                "read models that have everything: stood still for {most:?}: {told}"
            );
            std::thread::sleep(LOOK);
        }
    }

    pub(crate) fn page(&self, path: &str) -> Answer {
        ask(self.pages, "GET", path, &[], "").unwrap()
    }
}

/// Makes a key; its text.
pub(crate) fn key(folder: &Folder, more: &[&str]) -> String {
    let made = folder.run(&[&["key", "create", "--json"], more].concat()).exits(0).json();
    made["key"].as_str().unwrap().to_owned()
}

pub(crate) const ONE: &str = "application/cloudevents+json";
pub(crate) const BATCH: &str = "application/cloudevents-batch+json";
pub(crate) const LINES: &str = "application/jsonl";

/// An answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In small letters.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(crate) fn post(to: SocketAddr, key: &str, media: &str, body: &str) -> std::io::Result<Answer> {
    ask(to, "POST", "/v1/events", &[("x-api-key", key), ("content-type", media)], body)
}

/// One request on a connection of its own; an error where no whole answer came.
pub(crate) fn ask(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&to, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let short = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(short)?;
    let head = head.to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(short)?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    if length.is_some_and(|length| length.trim().parse() != Ok(body.len())) {
        return Err(short());
    }
    Ok(Answer { status, head, body: body.to_owned() })
}

/// An event about an invoice, in JSON.
pub(crate) fn invoice(id: &str, stage: &str, invoice: &str) -> String {
    let status = if stage == "posting" { "cleared" } else { "received" };
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/erp","type":"invoice.{stage}","subject":"{invoice}","data":{{"invoice_id":"{invoice}","vendor":"V {invoice}","amount_minor":12550,"currency":"EUR","status":"{status}"}}}}"#
    )
}

/// The report on the invoices.
pub(crate) fn report(folder: &Folder) -> Value {
    folder.run(&["report", "invoices", "--json"]).exits(0).json()
}

/// How often each event of a source was recorded, by id.
pub(crate) fn recorded(folder: &Folder, source: &str) -> std::collections::BTreeMap<String, u32> {
    let mut ids = std::collections::BTreeMap::new();
    for line in folder.run(&["read"]).exits(0).lines() {
        let event = &line["event"];
        if event["source"].as_str() == Some(source) {
            *ids.entry(event["id"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
    }
    ids
}

/// The auditor's program on files of a folder; a name that begins with `@` is a key's file.
pub(crate) fn auditor(folder: &Folder, entry: &str, proof: &str, vkey: &str) -> Ran {
    let path = |name: &str| folder.path(name).into_os_string();
    let mut at_key = std::ffi::OsString::from("@");
    at_key.push(path(vkey));
    let arguments = [
        "waag-verify".into(),
        "--entry".into(),
        path(entry),
        "--proof".into(),
        path(proof),
        "--key".into(),
        at_key,
    ];
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = waag_verify::run(arguments, &mut std::io::empty(), &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: code.into(), out: text(out), err: text(err) }
}
