//! A person leaves: everything that a running node has of them is looked through before and after, byte by byte and in every
//! form in which text is commonly written, and what proves the ledger still does.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails loudly, prints its figures, and measures real time"
)]

#[expect(dead_code, reason = "shared with other tests")]
#[path = "../common/mod.rs"]
mod common;
mod search;
#[expect(dead_code, reason = "shared with other tests")]
#[path = "../node/support.rs"]
mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{Folder, Ran};
use search::{Search, by_marker};
use serde_json::{Value, json};
use waag_keys::state::{State, Table};
use waag_sqlite::state::SqliteState;

use support::{Answer, BATCH, LINES, Node, ONE, PATIENCE, ask, auditor, key, post, report, within};

/// Who leaves: in fields of a registered schema, and as the subject of events that nobody has described.
const CONTACT: &str = "contact:id-Qz81-Leaver";
const SUBJECT: &str = "subj-Qz82-leaver@example.org";
/// What stands in their fields, letters beyond ASCII and characters that are escaped among them.
const MARKERS: [&str; 9] = [
    "id-Qz81-Leaver",
    "Zoë Qz83 Löfgren",
    "zoe.qz84@mail.example",
    "subj-Qz82-leaver@example.org",
    "NL91Qz85ABNA0417164300",
    "Qz86 \"quoted\" & <tagged>/slashed",
    "Qz87-blob-marker-of-the-leaver",
    "Qz88-binary-marker",
    "Qz89-extension-attribute",
];
/// What stands in somebody's fields who stays.
const OTHER: &str = "Other Qx77 Person";

/// Answers every delivery with words of its own and a status that is final.
fn refusing() -> (SocketAddr, std::sync::Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (at, came) = (listener.local_addr().unwrap(), std::sync::Arc::new(AtomicU64::new(0)));
    let count = std::sync::Arc::clone(&came);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut bytes = vec![0; 65_536];
            let read = stream.read(&mut bytes).unwrap_or(0);
            count.fetch_add(u64::from(read > 0), Ordering::SeqCst);
            let body = "no thanks";
            drop(write!(
                stream,
                "HTTP/1.1 422 no\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            ));
        }
    });
    (at, came)
}

fn invoice(number: u32, stage: &str, contact: &Value) -> Value {
    json!({
        "specversion": "1.0", "id": format!("{stage}-{number}"), "source": "/erp",
        "type": format!("invoice.{stage}"), "subject": format!("INV-{number}"),
        "data": {
            "invoice_id": format!("INV-{number}"), "vendor": "V", "amount_minor": 1_000 + number,
            "currency": "EUR", "status": "received", "contact": contact,
        },
    })
}

fn leaver() -> Value {
    json!({"id": "id-Qz81-Leaver", "name": "Zoë Qz83 Löfgren", "mail": "zoe.qz84@mail.example"})
}

/// Every way in: one event, a batch, lines, invoices, files, what is long, what is binary, what is refused.
fn fill(node: &Node, key: &str) {
    let (other, leaver) = (json!({"id": "id-stays", "name": OTHER}), leaver());
    let batch: Vec<Value> = (0..40)
        .map(|number| invoice(number, "ingestion", if number % 2 == 0 { &leaver } else { &other }))
        .collect();
    assert_eq!(node.post(key, BATCH, &json!(batch).to_string()).status, 200);
    let lines: String =
        (0..20).map(|number| invoice(number, "posting", &leaver).to_string() + "\n").collect();
    assert_eq!(node.post(key, LINES, &lines).status, 200);
    let whole = |id: &str, data: Value| {
        json!({
            "specversion": "1.0", "id": id, "source": "/crm", "type": "crm.note", "subject": SUBJECT, "data": data,
        })
    };
    let note = json!({"iban": "NL91Qz85ABNA0417164300", "text": "Qz86 \"quoted\" & <tagged>/slashed"});
    let long = "Qz87-blob-marker-of-the-leaver ".repeat(4_000);
    let mut binary = whole("binary", Value::Null);
    binary.as_object_mut().unwrap().remove("data");
    binary["data_base64"] = "UXo4OC1iaW5hcnktbWFya2VyAP8=".into();
    let mut extended = whole("extended", json!({"n": 1}));
    extended["personname"] = "Qz89-extension-attribute".into();
    for event in [extended, whole("note", note), whole("long", json!({"text": long})), binary] {
        let answer = node.post(key, ONE, &event.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    // Refused: another content under the same identity, and a contact that is none.
    assert_eq!(
        node.post(key, ONE, &whole("note", json!({"iban": "NL91Qz85ABNA0417164300"})).to_string()).status,
        409
    );
    let broken = invoice(99, "ingestion", &json!({"name": "Zoë Qz83 Löfgren", "mail": 7}));
    assert!((400..500).contains(&node.post(key, ONE, &broken.to_string()).status));
    // A path and a query that name somebody: whoever sends that is refused, and leaves no such line behind.
    let path = "/v1/persons/Zo%C3%AB%20Qz83%20L%C3%B6fgren?mail=zoe.qz84@mail.example";
    assert_eq!(ask(node.listen, "GET", path, &[("x-api-key", key)], "").unwrap().status, 404);
}

/// Opens whatever shows something; all that was shown.
fn visit(node: &Node, key: &str, events: u64) -> String {
    let mut shown = String::new();
    for path in [
        "/",
        "/operations",
        "/operations?filter=open",
        "/operations?filter=odd",
        "/operations.csv?filter=open",
        "/operations.csv?filter=odd",
        "/invoice?id=INV",
        "/invoice?id=INV-0",
        "/invoice?id=INV-2",
        "/cash",
        "/subscriptions",
        "/subscriptions/hook",
        "/dead-letters",
        "/patterns",
        "/ledger",
        "/evidence",
        "/subjects",
        "/backups",
        "/invoice?id=id-Qz81-Leaver",
    ] {
        let page = node.page(path);
        assert!(page.status < 500, "{path}: {page:?}");
        // A page says again what it was asked for.
        shown.push_str(&page.body.replace("id-Qz81-Leaver", ""));
    }
    for position in 0..events {
        shown.push_str(&node.page(&format!("/event/{position}")).body);
        let masked =
            ask(node.listen, "GET", &format!("/v1/events/{position}"), &[("x-api-key", key)], "").unwrap();
        shown.push_str(&masked.body);
        shown.push_str(&masked.head);
    }
    shown
}

fn erase(folder: &Folder, person: &str) -> Value {
    let arguments = ["subject", "erase", "--person", "-", "--reason", "request 2026-118", "--json"];
    folder.feed(&arguments, person.as_bytes()).exits(0).json()
}

/// The retention file under which everything may be erased on request.
fn on_request(folder: &Folder) {
    let shipped = include_str!("../../../../policies/retention.toml");
    folder.write("retention.toml", shipped.replace("\"after-retention\"", "\"on-request\""));
}

/// Every data key and tag key of a state, wrapped, without what stands before it in clear.
fn wrapped(state: &Path) -> Vec<Vec<u8>> {
    let state = SqliteState::open_read_only(state).unwrap();
    let (mut keys, mut after) = (Vec::new(), None::<Vec<u8>>);
    loop {
        let records = state.scan(Table::DataKey, after.as_deref(), 1_000).unwrap();
        let Some(last) = records.last() else { return keys };
        after = Some(last.key.clone());
        keys.extend(records.iter().map(|record| record.value[record.value.len() - 40..].to_vec()));
    }
}

/// Which of these byte strings stand in some file below these folders, and how many files there are.
fn holding(folders: &[PathBuf], wanted: &[Vec<u8>]) -> (BTreeSet<Vec<u8>>, usize) {
    let (mut found, mut files) = (BTreeSet::new(), 0);
    let mut folders = folders.to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files += 1;
                let bytes = std::fs::read(entry.path()).unwrap();
                found
                    .extend(wanted.iter().filter(|key| memchr::memmem::find(&bytes, key).is_some()).cloned());
            }
        }
    }
    (found, files)
}

fn everything(folder: &Folder, reason: &str) -> Ran {
    folder.run(&["read", "--everything", "--reveal", reason]).exits(0)
}

/// A folder with a node's store, everything that was shown of it, and what is looked for.
struct World {
    folder: Folder,
    admin: String,
    producer: String,
    search: Search,
    outputs: String,
}

/// What stood before the person left, to be compared.
struct Before {
    /// An event with the person's fields.
    at: usize,
    figures: Value,
    keys: Vec<Vec<u8>>,
}

impl World {
    fn new() -> Self {
        let folder = Folder::with_store();
        on_request(&folder);
        let (admin, producer) = (key(&folder, &["--role", "admin"]), key(&folder, &["--role", "producer"]));
        let dictionary = std::fs::read("../../schemas/invoice.dictionary").unwrap();
        let search = Search::new(&MARKERS, vec![dictionary]);
        Self { folder, admin, producer, search, outputs: String::new() }
    }

    /// A node whose one target takes nothing, so that dead letters hold, and with it all that a node leaves behind.
    fn serve(&mut self) -> Node {
        let folder = &self.folder;
        let (target, came) = refusing();
        let allowed = ["--allow-http-webhooks", "--allow-private-webhooks", "--retention", "retention.toml"];
        let node = Node::serve_with(folder, &allowed);
        let hook = json!({
            "name": "hook", "target": {"kind": "webhook", "url": format!("http://{target}/in")},
            "pattern": {"type": [{"prefix": "invoice."}, "crm.note"]},
            "retry": {"attempts_max": 1, "age_s_max": 60, "delay_ms_min": 10, "delay_ms_max": 20},
        });
        folder.write("hook.json", hook.to_string());
        folder.run(&["subscription", "create", "--file", "hook.json"]).exits(0);
        folder.run(&["subscription", "create", "--name", "taker", "--pull"]).exits(0);
        fill(&node, &self.producer);
        let pulled = folder.run(&["pull", "taker", "--count", "5", "--wait", "10"]).exits(0).out;
        within("dead letters", PATIENCE, || (came.load(Ordering::SeqCst) >= 3).then_some(()));
        self.outputs.push_str(&pulled);
        self.visit(&node);
        self.folder.run(&["backup", "init", "repository", "--key", "backup.key"]).exits(0);
        self.backup();
        node
    }

    fn visit(&mut self, node: &Node) {
        let events = node.caught_up(&self.admin, PATIENCE)["entries"].as_u64().unwrap();
        self.outputs.push_str(&visit(node, &self.admin, events));
    }

    fn backup(&self) {
        self.folder.run(&["backup", "repository", "--key", "backup.key"]).exits(0);
    }

    fn stored(&self) -> Vec<PathBuf> {
        ["waag-data", "waag-data.state", "repository"].map(|name| self.folder.path(name)).into()
    }

    fn state(&self) -> PathBuf {
        self.folder.path("waag-data.state/default")
    }

    /// An event as an administrator sees it who gives a reason.
    fn revealed(&self, node: &Node, at: usize) -> Answer {
        let headers = [("x-api-key", self.admin.as_str()), ("waag-reveal-reason", "case 4")];
        ask(node.listen, "GET", &format!("/v1/events/{at}"), &headers, "").unwrap()
    }

    fn prove(&self, at: usize, name: &str) {
        let (proof, entry) = (format!("{name}.proof"), format!("{name}.entry"));
        self.folder.run(&["prove", &at.to_string(), "--out", &proof, "--entry-out", &entry]).exits(0);
    }

    /// Nothing stands in clear in any file of the node or of a backup; what is asked to be revealed does.
    fn before(&self, node: &Node) -> Before {
        let found = self.search.folders(&self.stored());
        told("before", &found);
        assert!(found.places.is_empty(), "in clear before: {:?}", found.places);
        let all = everything(&self.folder, "check").out;
        let mut clear = search::Found::default();
        self.search.bytes("a reveal", all.as_bytes(), &mut clear);
        told("a reveal before", &clear);
        assert_eq!(
            by_marker(&clear).len(),
            MARKERS.len(),
            "every marker was recorded: {:?}",
            by_marker(&clear)
        );
        let at = all.lines().position(|line| line.contains("Qz83")).unwrap();
        let shown = self.revealed(node, at);
        assert!(shown.body.contains("Qz83"), "{shown:?}");
        let pack = [
            "evidence",
            "export",
            "pack.zip",
            "--subject",
            CONTACT,
            "--reason",
            "case 5",
            "--reveal",
            "case 5",
        ];
        self.folder.run(&pack).exits(0);
        self.prove(at, "before");
        let keys = wrapped(&self.state());
        let (there, _) = holding(&self.stored(), &keys);
        assert_eq!(there.len(), keys.len(), "the search for keys finds every one before");
        Before { at, figures: report(&self.folder), keys }
    }

    fn leave(&mut self) {
        let done = [erase(&self.folder, CONTACT), erase(&self.folder, SUBJECT)];
        for done in &done {
            assert!(done["keys"].as_u64().unwrap() > 0 && done["held"] == false, "{done}");
            let (erased, complete) = (done["erased_at"].as_str(), done["complete_at"].as_str());
            assert!(complete > erased, "the backup's keys are waited for: {done}");
            self.outputs.push_str(&done.to_string());
        }
        assert_eq!(done[0]["packs"].as_array().unwrap().len(), 1, "the pack that was handed out is listed");
    }

    /// Asks everything again of the commands, and rebuilds what can be rebuilt.
    fn commands_tell_nothing(&mut self, before: &Before) {
        let folder = &self.folder;
        let all = everything(folder, "check again");
        assert!(all.out.contains(OTHER), "who stays is there");
        self.outputs.push_str(&all.out);
        for person in [CONTACT, SUBJECT] {
            let report = ["subject", "report", "--person", "-", "--reveal", "--reason", "check", "--json"];
            let lines = folder.feed(&report, person.as_bytes()).exits(0).lines();
            assert_eq!((lines.len(), &lines[1]["end"]["entries"]), (2, &0.into()));
        }
        folder.run(&["verify", "--deep"]).exits(0);
        folder.run(&["views", "rebuild"]).exits(0);
        folder.run(&["views", "check"]).exits(0);
        let again = report(folder);
        let cases = |figures: &Value| figures["cases"].as_u64().unwrap();
        assert_eq!(cases(&again), cases(&before.figures) + 1, "what they had, and the invoice since then");
        assert_eq!(again["cleared"], before.figures["cleared"]);
    }

    /// What was proven is there byte for byte, and is proven still.
    fn proofs_hold(&self, before: &Before) {
        self.prove(before.at, "after");
        let entry = |name: &str| std::fs::read(self.folder.path(name)).unwrap();
        assert_eq!(entry("before.entry"), entry("after.entry"));
        self.folder.write("vkey", self.folder.run(&["checkpoint", "--key"]).exits(0).out);
        for proof in ["before.proof", "after.proof"] {
            assert_eq!(auditor(&self.folder, "after.entry", proof, "vkey").code, 0, "{proof}");
        }
    }

    /// The keys themselves, wrapped as they were, are in no page of the state, free or not, nor in its log, nor in what a
    /// restore makes of a repository whose first backup was taken before; and no marker is anywhere.
    fn nothing_is_left(&self, before: &Before) {
        self.folder.run(&["restore", "repository", "--key", "backup.key", "--to", "restored"]).exits(0);
        let mut everywhere = self.stored();
        everywhere.extend(["restored", "restored.state"].map(|name| self.folder.path(name)));
        let left = wrapped(&self.state());
        let gone: Vec<Vec<u8>> = before.keys.iter().filter(|key| !left.contains(key)).cloned().collect();
        let (still, files) = holding(&everywhere, &gone);
        println!(
            "keys: {} before, {} destroyed, {} of these found in {files} files",
            before.keys.len(),
            gone.len(),
            still.len()
        );
        assert!(gone.len() == 3 && still.is_empty(), "{} gone, {} still there", gone.len(), still.len());
        let mut found = self.search.folders(&everywhere);
        self.search.bytes("what was shown", self.outputs.as_bytes(), &mut found);
        told("after", &found);
        assert!(found.places.is_empty(), "after: {:?}", found.places);
        assert!(found.files > 10 && found.bytes > 100_000);
    }
}

fn told(when: &str, found: &search::Found) {
    println!(
        "marker search, {when}: {} markers; {} files, {} bytes, {} streams unpacked: {} markers found",
        MARKERS.len(),
        found.files,
        found.bytes,
        found.streams,
        by_marker(found).len()
    );
}

#[test]
fn after_an_erasure_no_stored_byte_page_log_line_or_backup_yields_the_person() {
    let mut world = World::new();
    println!("marker search: {} forms of each marker", world.search.forms() / MARKERS.len());
    let node = world.serve();
    let before = world.before(&node);
    world.leave();
    // The node serves on, is asked everything again, and makes another backup.
    let more = invoice(300, "ingestion", &json!({"id": "id-stays", "name": OTHER}));
    assert_eq!(node.post(&world.producer, ONE, &more.to_string()).status, 200);
    world.visit(&node);
    let shown = world.revealed(&node, before.at);
    assert!(shown.status == 200 && !shown.body.contains("Qz"), "{shown:?}");
    world.backup();
    assert!(node.terminate().success());
    world.outputs.push_str(&std::fs::read_to_string(world.folder.path("serve.err")).unwrap());
    world.commands_tell_nothing(&before);
    world.proofs_hold(&before);
    world.nothing_is_left(&before);
}

#[test]
fn a_node_takes_events_of_a_person_while_it_erases_them() {
    let folder = Folder::with_store();
    on_request(&folder);
    let producer = key(&folder, &["--role", "producer"]);
    let node = Node::serve_with(&folder, &["--retention", "retention.toml"]);
    let stop = AtomicBool::new(false);
    let sent = AtomicU64::new(0);
    let erased = std::thread::scope(|scope| {
        for thread in 0..2_u32 {
            let (at, producer, stop, sent) = (node.listen, &producer, &stop, &sent);
            scope.spawn(move || {
                let mut number = 0;
                while !stop.load(Ordering::SeqCst) {
                    number += 1;
                    let event = invoice(thread * 1_000_000 + number, "ingestion", &leaver());
                    let answer = post(at, producer, ONE, &event.to_string()).unwrap();
                    assert_eq!(answer.status, 200, "the intake answers: {answer:?}");
                    sent.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let mut erased = Vec::new();
        for _ in 0..3 {
            let from = sent.load(Ordering::SeqCst);
            within("events", PATIENCE, || (sent.load(Ordering::SeqCst) >= from + 5).then_some(()));
            erased.push(erase(&folder, CONTACT)["position"].as_u64().unwrap());
        }
        let from = sent.load(Ordering::SeqCst);
        within("events", PATIENCE, || (sent.load(Ordering::SeqCst) >= from + 5).then_some(()));
        stop.store(true, Ordering::SeqCst);
        erased
    });
    // A restriction that was asked for over the socket is refused at the door, with its own code.
    let admin = key(&folder, &["--role", "admin"]);
    let restrict = ["subject", "restrict", "--person", CONTACT, "--reason", "case 6", "--json"];
    folder.run(&restrict).exits(0);
    let told = folder.run(&["read"]).exits(0).lines();
    let theirs: Vec<&Value> = told.iter().filter(|line| line["type"] == "invoice.ingestion").collect();
    let gone = theirs.iter().filter(|line| line["erased"].is_array()).count();
    let lives: Vec<u64> = theirs
        .iter()
        .filter(|line| !line["erased"].is_array())
        .map(|line| line["position"].as_u64().unwrap())
        .collect();
    assert_eq!(theirs.len() as u64, sent.load(Ordering::SeqCst), "everything that was answered is there");
    assert!(gone >= 15 && !lives.is_empty(), "{gone} gone, {} live", lives.len());
    let header = [("x-api-key", admin.as_str()), ("waag-reveal-reason", "case 7")];
    let refused =
        ask(node.listen, "GET", &format!("/v1/events/{}", lives[lives.len() - 1]), &header, "").unwrap();
    assert_eq!((refused.status, refused.json()["code"].as_str()), (403, Some("E0557")), "{refused:?}");
    let mine = ["subject", "unrestrict", "--person", CONTACT, "--reason", "case 6 closed", "--json"];
    folder.run(&mine).exits(0);
    let shown =
        ask(node.listen, "GET", &format!("/v1/events/{}", lives[lives.len() - 1]), &header, "").unwrap();
    assert!(shown.body.contains("Qz83"), "{shown:?}");
    assert_eq!(
        folder.run(&mine).exits(2).json()["error"]["code"],
        "E0731",
        "refused by the node, with its code"
    );
    assert_eq!(erased.len(), 3);
    assert!(node.terminate().success());
    folder.run(&["verify", "--deep"]).exits(0);
}

#[test]
fn needs_strace_an_erasure_that_is_killed_anywhere_is_finished_by_the_next_command() {
    let base = Folder::with_store();
    let lines: String = (0..6)
        .map(|number| {
            let person = if number % 2 == 0 { "anna" } else { "bert" };
            json!({"specversion": "1.0", "id": number.to_string(), "source": "/s", "type": "t", "subject": person, "data": {"n": 1}})
                .to_string()
                + "\n"
        })
        .collect();
    base.feed(&["append"], lines.as_bytes()).exits(0);
    on_request(&base);
    base.run(&["subject", "retention", "--retention", "retention.toml"]).exits(0);
    let erase = ["subject", "erase", "--person", "anna", "--reason", "request 1", "--json"];
    let mut killed = 0;
    for nth in (1..60).step_by(2) {
        let folder = Folder::new();
        for name in ["waag-data", "waag-data.state"] {
            copy(&base.path(name), &folder.path(name));
        }
        let plain = folder.command(&erase);
        let mut traced = std::process::Command::new("strace");
        traced.args(["-f", "-o", "trace", "-e", "trace=fdatasync,fsync", "-e"]);
        traced.arg(format!("inject=fdatasync,fsync:signal=SIGKILL:when={nth}"));
        traced.arg(plain.get_program()).args(plain.get_args()).current_dir(folder.path("."));
        let ended = traced.output().unwrap();
        let is_killed = ended.status.code().is_none() || ended.status.code() == Some(137);
        killed += u32::from(is_killed);
        let again = folder.run(&erase).exits(0).json();
        let told = folder.run(&["read"]).exits(0).lines();
        let of = |kind: &str| told.iter().filter(|line| line["type"] == kind).collect::<Vec<_>>();
        let erased = of("waag.subject.erased");
        assert_eq!(erased.len(), 1, "{nth}: {again}");
        let keys = erased[0]["event"]["data"]["keys"].as_array().unwrap().len();
        let stones = folder.run(&["keys", "tombstones", "--json"]).exits(0).lines().len();
        assert_eq!(
            (keys, stones),
            (2, 2),
            "{nth}: the event names what is gone, the data key and the tag key"
        );
        let gone = of("t").iter().filter(|line| line["erased"].is_array()).count();
        assert_eq!(gone, 3, "{nth}: hers are gone, and nobody else's");
        let list = folder.run(&["subject", "list", "--json"]).exits(0).lines();
        assert!(
            list.iter().all(|line| line["erasure"]["pending"] == false) && list.len() == 1,
            "{nth}: {list:?}"
        );
        if !is_killed {
            break;
        }
    }
    println!("erasure: killed at {killed} places");
    assert!(killed >= 3, "{killed}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
