//! The pages of evidence over a real node: the ledger before outsiders, a pack from making to checking, a person looked up
//! and erased, with their id in no address and on no page.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::common::Folder;
use crate::support::{BATCH, Node, PATIENCE, invoice, key, within};

/// A person's fields, of a class that a request ends.
const SCHEMA: &str = r#"{
  "type": "object", "x-retention": "contact",
  "properties": {
    "customer": {
      "x-classification": "personal", "x-data-subject": "id", "x-data-subject-kind": "customer",
      "properties": {"id": {}, "mail": {}}
    }
  }
}"#;
const PERSON: &str = "customer:hendrika-van-der-meulen";

fn contact(person: &str) -> String {
    let id = person.strip_prefix("customer:").unwrap();
    format!(
        r#"{{"specversion":"1.0","id":"p-1","source":"/crm","type":"crm.contact","data":{{"customer":{{"id":"{id}","mail":"marker-mail"}}}}}}"#
    )
}

/// An answer, byte for byte.
struct Raw {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Raw {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

fn raw(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Raw {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Raw { status, head, body: bytes[split + 4..].to_vec() }
}

/// A reader of the pages, with the cookie and the field of a form.
struct Reader {
    to: SocketAddr,
    cookie: String,
    token: String,
}

impl Reader {
    fn new(to: SocketAddr) -> Self {
        let page = raw(to, "GET", "/subjects", &[], b"");
        assert_eq!(page.status, 200, "{}", page.text());
        let cookie = page.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let html = page.text();
        let token =
            html.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        Self { to, cookie, token }
    }

    fn page(&self, path: &str) -> String {
        let page = raw(self.to, "GET", path, &[], b"");
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        page.text()
    }

    fn send(&self, path: &str, kind: &str, body: &[u8]) -> Raw {
        let origin = format!("http://{}", self.to);
        let headers = [("origin", origin.as_str()), ("cookie", &self.cookie), ("content-type", kind)];
        raw(self.to, "POST", path, &headers, body)
    }

    /// Sends a form and gives the page that it leads to, with its address.
    fn order(&self, path: &str, fields: &str) -> (String, String) {
        let body = format!("token={}&{fields}", self.token);
        self.led(&self.send(path, "application/x-www-form-urlencoded", body.as_bytes()))
    }

    fn check(&self, pack: &[u8]) -> String {
        let head = format!(
            "--XbX\r\ncontent-disposition: form-data; name=\"token\"\r\n\r\n{}\r\n--XbX\r\ncontent-disposition: form-data; \
             name=\"pack\"; filename=\"pack.zip\"\r\n\r\n",
            self.token
        );
        let body = [head.as_bytes(), pack, b"\r\n--XbX--\r\n"].concat();
        self.led(&self.send("/evidence/check", "multipart/form-data; boundary=XbX", &body)).1
    }

    fn led(&self, answer: &Raw) -> (String, String) {
        assert_eq!(answer.status, 303, "{}", answer.text());
        let place = answer.header("location").unwrap().to_owned();
        let html = self.page(&place);
        (place, html)
    }
}

/// A node with two invoices and a person.
fn node(folder: &Folder) -> (Node, Reader) {
    folder.write("schema.json", SCHEMA);
    folder.run(&["schema", "add", "--type", "crm.contact", "--schema", "schema.json"]).exits(0);
    let key = key(folder, &[]);
    let node = Node::serve_with(folder, &["--pages-act"]);
    let events = [
        invoice("a", "ingestion", "INV-1"),
        invoice("b", "posting", "INV-1"),
        invoice("c", "ingestion", "INV-2"),
        contact(PERSON),
    ];
    let answer = node.post(&key, BATCH, &format!("[{}]", events.join(",")));
    assert_eq!(answer.status, 200, "{answer:?}");
    node.caught_up(&key, PATIENCE);
    let reader = Reader::new(node.pages);
    (node, reader)
}

#[test]
fn the_pages_tell_how_the_ledger_stands_and_a_pack_goes_from_making_to_checking() {
    let folder = Folder::with_store();
    let (node, reader) = node(&folder);
    let vkey = folder.run(&["checkpoint", "--key"]).exits(0).out.trim_end().to_owned();
    let ledger = within("a published checkpoint on the page", PATIENCE, || {
        let page = reader.page("/ledger");
        (page.contains("in time") && page.contains("0 behind")).then_some(page)
    });
    for part in [vkey.as_str(), "Nobody cosigns", "Ed25519, on the newest checkpoint"] {
        assert!(ledger.contains(part), "{part}: {ledger}");
    }
    let checkpoint = raw(node.pages, "GET", "/ledger/checkpoint", &[], b"").text();
    assert!(vkey.starts_with(checkpoint.lines().next().unwrap()), "{checkpoint}");
    assert!(reader.page("/backups").contains("This ledger has no backup"));
    // Made by a form, recorded, fetched, checked here and by the auditor's program.
    reader.order("/evidence", "invoice=INV-1&reason=the+auditor+asks");
    let page = within("a pack", PATIENCE, || {
        let page = reader.page("/evidence");
        assert!(!page.contains("not made"), "{page}");
        page.contains("Download the pack").then_some(page)
    });
    assert!(page.contains("the auditor asks"), "it stands in the list with its reason: {page}");
    let address = page.split("href=\"/evidence/packs/").nth(1).unwrap().split('"').next().unwrap();
    let pack = raw(node.pages, "GET", &format!("/evidence/packs/{address}"), &[], b"");
    assert_eq!((pack.status, pack.header("content-type")), (200, Some("application/zip")));
    let good = reader.check(&pack.body);
    assert!(good.contains("every line below holds") && good.contains("2, each under that root"), "{good}");
    let mut bad = pack.body.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    let told = reader.check(&bad);
    assert!(told.contains("Not verified") && !told.contains("every line below holds"), "{told}");
    folder.write("pack.zip", &pack.body);
    let path = folder.path("pack.zip");
    let arguments = ["waag-verify", "pack", path.to_str().unwrap(), "--key", &vkey];
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = waag_verify::run(arguments.map(Into::into), &mut std::io::empty(), &mut out, &mut err);
    assert_eq!(code, 0, "{}", String::from_utf8_lossy(&err));
    let nothing = reader.send(
        "/evidence",
        "application/x-www-form-urlencoded",
        format!("token={}&reason=x&invoice=INV-9", reader.token).as_bytes(),
    );
    assert_eq!(nothing.status, 303);
    within("why there is no pack", PATIENCE, || {
        reader.page("/evidence").contains("waag explain E0720").then_some(())
    });
    assert!(node.terminate().success());
}

#[test]
fn a_person_is_looked_up_and_erased_on_the_pages_and_their_id_stands_nowhere() {
    let folder = Folder::with_store();
    let (node, reader) = node(&folder);
    let person = PERSON.replace(':', "%3A");
    let (place, page) = reader.order("/subjects", &format!("person={person}"));
    assert!(page.contains("contact") && page.contains("can be erased") && page.contains("ulen"), "{page}");
    let (nobody, page_of_nobody) = reader.order("/subjects", "person=customer%3Anobody");
    assert!(page_of_nobody.contains("Nothing is held"));
    let confirm = reader.page(&format!("{place}/confirm?do=erase"));
    assert!(confirm.contains("no backup holds these keys"), "{confirm}");
    // A reason that names the person would be recorded for ever.
    let naming = format!("token={}&reason=of+hendrika-van-der-meulen", reader.token);
    let refused =
        reader.send(&format!("{place}/erase"), "application/x-www-form-urlencoded", naming.as_bytes());
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(!refused.text().contains("hendrika"));
    let (done, outcome) = reader.order(&format!("{place}/erase"), "reason=asked+for+by+letter");
    assert!(outcome.contains("1 key destroyed") && outcome.contains("Erased at"), "{outcome}");
    let subjects = reader.page("/subjects");
    assert!(subjects.contains("asked for by letter") && subjects.contains("erased"), "{subjects}");
    let (_, again) = reader.order("/subjects", &format!("person={person}"));
    assert!(again.contains("Nothing is readable any more"), "{again}");
    for (what, text) in [
        ("place", &place),
        ("nobody", &nobody),
        ("page", &page),
        ("confirm", &confirm),
        ("done", &done),
        ("outcome", &outcome),
        ("subjects", &subjects),
        ("again", &again),
    ] {
        assert!(!text.contains("hendrika") && !text.contains("marker-mail"), "{what}: {text}");
    }
    assert!(node.terminate().success());
    let said = std::fs::read_to_string(folder.path("serve.err")).unwrap();
    assert!(!said.contains("hendrika"), "{said}");
    // Each look-up was recorded before it was answered, by nobody's name but a tag; a page that is loaded again records nothing.
    let all = folder.run(&["read", "--json"]).exits(0).lines();
    let looked_up: Vec<&Value> = all.iter().filter(|line| line["type"] == "waag.subject.reported").collect();
    assert_eq!(looked_up.len(), 3, "{looked_up:?}");
    assert!(looked_up.iter().all(|line| line["actor"] == "page"), "{looked_up:?}");
}

#[test]
fn without_commands_the_pages_answer_questions_and_take_no_order() {
    let folder = Folder::with_store();
    let node = Node::serve(&folder);
    let reader = Reader::new(node.pages);
    let (place, _) = reader.order("/subjects", "person=customer%3Anobody");
    let form = format!("token={}&reason=x&last=1", reader.token);
    for path in ["/evidence".to_owned(), format!("{place}/erase"), "/replay".to_owned()] {
        let answer = reader.send(&path, "application/x-www-form-urlencoded", form.as_bytes());
        assert_eq!(answer.status, 405, "{path}");
    }
    assert!(reader.check(b"PK").contains("Not verified"));
    let foreign = [("origin", "http://evil.example"), ("cookie", reader.cookie.as_str())];
    assert_eq!(raw(node.pages, "POST", "/subjects", &foreign, form.as_bytes()).status, 403);
    assert!(node.terminate().success());
}
