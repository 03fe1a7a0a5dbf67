//! A log that outsiders read, copy and witness: over real HTTP, with the real program, and with witnesses that say anything.

mod fakes;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use waag_fixtures::port;
use waag_ledger::checkpoint::SignedCheckpoint;
use waag_ledger::cosignature::Cosigner;
use waag_ledger::hash::{Hash, leaf_hash};
use waag_ledger::note::{Algorithm, VerifierKey};
use waag_ledger::tile::read_entry_bundle;
use waag_ledger::tree::Frontier;

use crate::common::{Folder, events};
use crate::support::{LINES, Node, PATIENCE, Process, ask, key, within};

/// How often these nodes publish.
const OFTEN: [&str; 2] = ["--publish-interval-ms", "100"];

/// An answer with its bytes as they are.
struct Got {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

fn get(from: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Got {
    let mut stream = TcpStream::connect(from).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!("GET {path} HTTP/1.1\r\nhost: {from}\r\nconnection: close\r\n");
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Got { status, head, body: bytes[end + 4..].to_vec() }
}

/// The keys of a store's log, or those by which it is a witness, as `waag log keys` lists them.
pub(crate) fn vkeys(folder: &Folder, of: &str) -> Vec<String> {
    let listed = folder.run(&["log", "keys", "--json"]).exits(0);
    let lines = listed.lines().into_iter().filter(|line| line["of"] == of);
    lines.map(|line| line["vkey"].as_str().unwrap().to_owned()).collect()
}

fn trusted(folder: &Folder) -> Vec<VerifierKey> {
    vkeys(folder, "log").iter().map(|key| key.parse().unwrap()).collect()
}

/// The served checkpoint once it covers what the ledger has.
fn published(node: &Node, folder: &Folder, least: u64) -> SignedCheckpoint {
    let keys = trusted(folder);
    within("a published checkpoint", PATIENCE, || {
        let got = get(node.listen, "/log/checkpoint", &[]);
        let note = (got.status == 200).then(|| SignedCheckpoint::verify(&got.body, &keys).unwrap())?;
        (note.checkpoint().size >= least).then_some(note)
    })
}

fn figure(node: &Node, name: &str) -> Option<f64> {
    let text = ask(node.listen, "GET", "/metrics", &[], "").unwrap().body;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.map(|value| value.parse().unwrap())
}

fn hashes(bytes: &[u8]) -> Vec<Hash> {
    bytes.chunks(32).map(|hash| Hash(hash.try_into().unwrap())).collect()
}

/// Every tile's path of a log of that size, without its prefix.
fn paths(size: u64) -> Vec<String> {
    let mut paths = Vec::new();
    let mut add = |level: &str, count: u64| {
        for index in 0..count.div_ceil(256) {
            let left = count - index * 256;
            let partial = if left < 256 { format!(".p/{left}") } else { String::new() };
            paths.push(format!("tile/{level}/{index:03}{partial}"));
        }
    };
    add("entries", size);
    for level in 0..3 {
        add(&level.to_string(), size >> (8 * level));
    }
    paths
}

#[test]
fn what_is_published_is_read_by_anybody_and_leads_to_the_signed_root() {
    let folder = Folder::with_store();
    let key = key(&folder, &["--holder", "erp"]);
    let node = Node::serve_with(&folder, &[&OFTEN[..], &["--publish-log"]].concat());
    assert_eq!(node.post(&key, LINES, &events(0..600)).status, 200);
    let size = node.ledger(&key)["entries"].as_u64().unwrap();
    assert!(size > 600);
    let checkpoint = published(&node, &folder, size);
    assert_eq!(checkpoint.checkpoint().size, size);
    let algorithms: Vec<Algorithm> = checkpoint.signers().iter().map(VerifierKey::algorithm).collect();
    assert_eq!(algorithms, [Algorithm::Ed25519, Algorithm::MlDsa44]);
    // Each entry is a leaf, each tile has the roots of the tiles below, and the leaves lead to the root.
    let (mut frontier, mut leaves, mut sink) = (Frontier::new(), Vec::new(), Vec::new());
    for path in paths(size).iter().filter(|path| path.starts_with("tile/entries/")) {
        let got = get(node.listen, &format!("/log/{path}"), &[]);
        assert_eq!(got.status, 200, "{path}");
        leaves.extend(read_entry_bundle(&got.body).unwrap().into_iter().map(leaf_hash));
    }
    leaves.iter().for_each(|leaf| frontier.append(*leaf, &mut sink));
    assert_eq!((frontier.size(), frontier.root()), (size, checkpoint.checkpoint().root));
    let below = |index: usize| {
        let mut frontier = Frontier::new();
        leaves[index * 256..(index + 1) * 256]
            .iter()
            .for_each(|leaf| frontier.append(*leaf, &mut Vec::new()));
        frontier.root()
    };
    for (path, expected) in [
        ("tile/0/000", leaves[..256].to_vec()),
        ("tile/0/001.p/7", leaves[256..263].to_vec()),
        ("tile/1/000.p/2", vec![below(0), below(1)]),
        ("tile/1/000.p/1", vec![below(0)]),
    ] {
        let got = get(node.listen, &format!("/log/{path}"), &[]);
        assert_eq!((got.status, hashes(&got.body)), (200, expected), "{path}");
        assert_eq!(got.header("content-type"), Some("application/octet-stream"));
        assert_eq!(got.header("cache-control"), Some("public, max-age=31536000, immutable"));
        let tag = got.header("etag").unwrap().to_owned();
        let again = get(node.listen, &format!("/log/{path}"), &[("if-none-match", &tag)]);
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
    }
    let got = get(node.listen, "/log/checkpoint", &[]);
    assert_eq!(got.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(got.header("cache-control"), Some("no-cache"));
    let beyond = size % 256 + 1;
    for path in [format!("tile/entries/002.p/{beyond}"), "tile/0/002".to_owned(), "tile/2/000.p/1".to_owned()]
    {
        let got = get(node.listen, &format!("/log/{path}"), &[]);
        assert!(got.status == 404 && String::from_utf8_lossy(&got.body).contains("E0982"), "{path}");
    }
    assert_eq!(figure(&node, "waag_published_entries"), Some(size as f64));
    assert_eq!(figure(&node, "waag_publish_stopped"), Some(0.0));
    assert!(node.terminate().success());
}

#[test]
fn a_log_that_is_not_public_needs_a_key_and_a_copy_of_it_is_brought_up_to_date() {
    let folder = Folder::with_store();
    let (key, puller) = (key(&folder, &[]), key(&folder, &["--role", "subscriber"]));
    let node = Node::serve_with(&folder, &OFTEN);
    assert_eq!(node.post(&key, LINES, &events(0..300)).status, 200);
    let told = |size: u64| {
        within("a published checkpoint", PATIENCE, || {
            let shown = folder.run(&["log", "show", "--json"]).exits(0).json();
            (shown["published"].as_u64() >= Some(size)).then_some(shown)
        })
    };
    let size = told(node.ledger(&key)["entries"].as_u64().unwrap())["published"].as_u64().unwrap();
    for path in ["/log/checkpoint", "/log/tile/0/000", "/log/tile/entries/000"] {
        assert_eq!(get(node.listen, path, &[]).status, 401, "{path}");
        assert_eq!(get(node.listen, path, &[("x-api-key", &puller)]).status, 403, "{path}");
        assert_eq!(get(node.listen, path, &[("x-api-key", &key)]).status, 200, "{path}");
    }
    let got = get(node.listen, "/log/tile/0/000", &[("x-api-key", &key)]);
    assert_eq!(got.header("cache-control"), Some("private, max-age=31536000, immutable"));
    let copy = |code: i32| folder.run(&["log", "export", "--json", "copy"]).exits(code);
    let same = |size: u64| {
        for path in paths(size) {
            let served = get(node.listen, &format!("/log/{path}"), &[("x-api-key", &key)]);
            assert_eq!(std::fs::read(folder.path("copy").join(&path)).unwrap(), served.body, "{path}");
        }
    };
    let first = copy(0).json();
    assert_eq!((first["size"].as_u64(), first["there"].as_u64()), (Some(size), Some(0)));
    assert_eq!(first["written"].as_u64(), Some(paths(size).len() as u64));
    same(size);
    // What was lost on the way is written again, and full tiles are left alone.
    std::fs::remove_file(folder.path("copy").join("tile/entries/000")).unwrap();
    assert_eq!(node.post(&key, LINES, &events(300..700)).status, 200);
    let size = told(node.ledger(&key)["entries"].as_u64().unwrap())["published"].as_u64().unwrap();
    let second = copy(0).json();
    assert_eq!((second["size"].as_u64(), second["there"].as_u64()), (Some(size), Some(1)), "{second}");
    same(size);
    std::fs::remove_file(folder.path("copy").join("tile/entries/000")).unwrap();
    let third = copy(0).json();
    let all = paths(size).len() as u64;
    assert_eq!((third["written"].as_u64(), third["there"].as_u64()), (Some(1), Some(all - 1)), "{third}");
    let note = std::fs::read(folder.path("copy/checkpoint")).unwrap();
    assert_eq!(SignedCheckpoint::verify(&note, &trusted(&folder)).unwrap().checkpoint().size, size);
    assert!(node.terminate().success());
    // A folder that holds another log is left as it is.
    let other = Folder::with_store();
    other.feed(&["append"], events(0..3).as_bytes()).exits(0);
    let theirs = folder.path("copy");
    let refused = other.run(&["log", "export", theirs.to_str().unwrap()]);
    assert!(refused.code == 3 && refused.err.contains("E0710"), "{refused:?}");
    assert_eq!(std::fs::read(theirs.join("checkpoint")).unwrap(), note);
    folder.run(&["verify"]).exits(0);
    // A damaged hash is in no copy; made anew from the log, it is what it was, also while the node has it in memory only.
    let hashes = folder.path("waag-data/default/derived/hashes");
    let file = std::fs::File::options().write(true).open(&hashes).unwrap();
    // The hash of leaf 8, behind the 15 that the leaves before it stored.
    file.write_at(&[0; 32], 32 * 15).unwrap();
    let refused = folder.run(&["log", "export", "fresh"]);
    assert!(refused.code == 3 && refused.err.contains("E0712"), "{refused:?}");
    assert!(!folder.path("fresh/checkpoint").exists());
    std::fs::remove_file(&hashes).unwrap();
    let node = Node::serve_with(&folder, &["--publish-log"]);
    folder.run(&["log", "export", "fresh"]).exits(0);
    for path in paths(size) {
        let served = get(node.listen, &format!("/log/{path}"), &[]).body;
        assert_eq!(std::fs::read(folder.path("fresh").join(&path)).unwrap(), served, "{path}");
    }
    assert!(node.terminate().success());
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Go's checksum database reads a running node: everything it serves is fetched as it is, and a changed byte is noticed.
#[test]
fn needs_go_x_mod_reads_what_a_node_serves() {
    let folder = Folder::with_store();
    let key = key(&folder, &[]);
    let node = Node::serve_with(&folder, &[&OFTEN[..], &["--publish-log"]].concat());
    assert_eq!(node.post(&key, LINES, &events(0..600)).status, 200);
    let size = node.ledger(&key)["entries"].as_u64().unwrap();
    let fetched = folder.path("fetched");
    let put = |path: &str, bytes: &[u8]| {
        let path = fetched.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    put("checkpoint", published(&node, &folder, size).note().as_bytes());
    for path in paths(size) {
        put(&path, &get(node.listen, &format!("/log/{path}"), &[]).body);
    }
    assert!(node.terminate().success());
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let cache = root().join(target).join("needs/go-cache");
    std::fs::create_dir_all(&cache).unwrap();
    let vkey = vkeys(&folder, "log").into_iter().next().unwrap();
    let program = folder.path("go_tlog");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(root().join("testing/outside/go_tlog"))
        .envs([
            ("GO111MODULE", "off"),
            ("GOPATH", "/usr/share/gocode"),
            ("GOFLAGS", ""),
            ("CGO_ENABLED", "0"),
        ])
        .env("GOCACHE", std::fs::canonicalize(cache).unwrap())
        .status();
    assert!(built.unwrap().success());
    let says = || {
        let output = Command::new(&program).arg(&fetched).arg(&vkey).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (is_verified, told) = says();
    assert!(is_verified && told.contains("verified: "), "{told}");
    let tile = fetched.join("tile/entries/001");
    let mut bytes = std::fs::read(&tile).unwrap();
    bytes[1_000] ^= 1;
    std::fs::write(&tile, bytes).unwrap();
    let (is_verified, told) = says();
    assert!(!is_verified && told.contains("refused: "), "{told}");
}

/// `waag serve` at a port that others know before.
pub(crate) fn serve_at(folder: &Folder, port: u16, more: &[&str]) -> Node {
    serve_trusting(folder, port, more, None)
}

/// The same, with other certificates than the system's.
fn serve_trusting(folder: &Folder, port: u16, more: &[&str], roots: Option<&Path>) -> Node {
    let listen = format!("127.0.0.1:{port}");
    let arguments = ["serve", "--json", "--publish-log", "--pages", "127.0.0.1:0", "--listen", &listen];
    let mut command = folder.command(&[&arguments[..], &OFTEN, more].concat());
    command.stderr(std::fs::File::create(folder.path("serve.err")).unwrap());
    command.envs(roots.map(|roots| ("SSL_CERT_FILE", roots)));
    let process = Process::start(command);
    let told: Value = serde_json::from_str(&process.line()).unwrap();
    let at = |name: &str| told[name].as_str().unwrap().parse().unwrap();
    Node { listen: at("listen"), pages: at("pages"), process }
}

pub(crate) const POLICY: [&str; 3] = ["--witness-policy", "policy", "--allow-http-witnesses"];

pub(crate) fn witness_of<'a>(logs: &'a str, name: &'a str) -> [&'a str; 4] {
    ["--witness-for", logs, "--witness-name", name]
}

/// A store, and its keys as a witness of the name given: they are made when it is one for the first time.
pub(crate) fn witness_store(name: &str) -> (Folder, Vec<String>) {
    let folder = Folder::with_store();
    folder.write("logs", "# nobody yet\n");
    assert!(serve_at(&folder, 0, &witness_of("logs", name)).terminate().success());
    let keys = vkeys(&folder, "witness");
    assert_eq!(keys.len(), 2, "Ed25519 and ML-DSA-44");
    // A person is shown the long one by name and id, and all of it when asking for it.
    let shown = folder.run(&["log", "keys"]).exits(0).out;
    let whole = folder.run(&["log", "keys", "--full"]).exits(0).out;
    assert!(keys.iter().all(|key| whole.contains(key.as_str())), "{whole}");
    assert!(shown.lines().all(|line| line.len() < 600), "{shown}");
    for key in &keys {
        // The base64 behind them may have a `+` of its own.
        let (end, _) = key.match_indices('+').nth(1).unwrap();
        assert!(shown.contains(key.get(..end).unwrap()), "{shown}");
    }
    (folder, keys)
}

#[test]
fn two_nodes_witness_each_other_and_go_on_after_a_restart() {
    let names = ["one.example/w", "two.example/w"];
    let stores = names.map(witness_store);
    let ports = [port::reserved(), port::reserved()];
    let keys = [0, 1].map(|here| key(&stores[here].0, &[]));
    let mut flags: Vec<&str> = POLICY.to_vec();
    for (here, there) in [(0, 1), (1, 0)] {
        let (folder, _) = &stores[here];
        folder.write("logs", vkeys(&stores[there].0, "log").join("\n"));
        let witness = &stores[there].1[0];
        let url = format!("http://127.0.0.1:{}/witness", ports[there]);
        folder.write("policy", format!("witness other {witness} {url}\nquorum other\n"));
    }
    let serve = |here: usize, flags: &[&str]| {
        serve_at(&stores[here].0, ports[here], &[flags, &witness_of("logs", names[here])].concat())
    };
    let nodes = [serve(0, &flags), serve(1, &flags)];
    let cosigned = |node: &Node, here: usize, least: u64| {
        let mut known = trusted(&stores[here].0);
        known.push(stores[1 - here].1[0].parse().unwrap());
        within("a cosigned checkpoint", PATIENCE, || {
            let got = get(node.listen, "/log/checkpoint", &[]);
            let note = SignedCheckpoint::verify(&got.body, &known).ok()?;
            let is_whole =
                note.known_signatures().iter().any(|line| line.key.algorithm().signature_type() == 4);
            (is_whole && note.checkpoint().size >= least).then_some(note)
        })
    };
    for here in [0, 1] {
        assert_eq!(nodes[here].post(&keys[here], LINES, &events(0..40)).status, 200);
        let size = nodes[here].ledger(&keys[here])["entries"].as_u64().unwrap();
        let note = cosigned(&nodes[here], here, size);
        assert_eq!(figure(&nodes[here], "waag_published_quorum"), Some(1.0));
        // The witness shows the same to whoever monitors the log.
        let path = waag_ledger::witness::origin_path(&note.checkpoint().origin);
        let theirs = get(nodes[1 - here].listen, &format!("/witness/{path}/checkpoint"), &[]);
        let theirs = SignedCheckpoint::verify(&theirs.body, &trusted(&stores[here].0)).unwrap();
        assert_eq!(theirs.checkpoint(), note.checkpoint());
    }
    let before = get(nodes[0].listen, "/log/checkpoint", &[]).body;
    let [first, second] = nodes;
    assert!(first.terminate().success());
    let first = serve(0, &flags);
    assert_eq!(get(first.listen, "/log/checkpoint", &[]).body, before, "with its cosignature, unchanged");
    assert_eq!(first.post(&keys[0], LINES, &events(40..400)).status, 200);
    cosigned(&first, 0, 400);
    let shown = stores[0].0.run(&["log", "show"]).exits(0).out;
    assert!(shown.contains("witness    other") && !shown.contains("ALARM"), "{shown}");
    assert!(first.terminate().success() && second.terminate().success());
    flags.clear();
}

/// All of a store's files.
fn copied(folder: &Folder, to: &str) {
    for name in ["waag-data", "waag-data.state"] {
        let from = folder.path(name);
        let to = folder.path(to).join(name);
        std::fs::create_dir_all(&to).unwrap();
        let done = std::process::Command::new("cp").arg("-a").arg(from.join(".")).arg(&to).status().unwrap();
        assert!(done.success());
    }
}

#[test]
fn a_ledger_that_was_taken_back_is_refused_by_its_witness_and_by_its_own_record() {
    let (witness, witness_keys) = witness_store("w.example/1");
    let log = Folder::with_store();
    let key = key(&log, &[]);
    let port = port::reserved();
    witness.write("logs", vkeys(&log, "log").join("\n"));
    let url = format!("http://127.0.0.1:{port}/witness");
    log.write("policy", format!("witness w {} {url}\nquorum w\n", witness_keys[0]));
    let watching = serve_at(&witness, port, &witness_of("logs", "w.example/1"));
    let cosigned = |node: &Node| {
        let size = node.ledger(&key)["entries"].as_u64().unwrap();
        within("a cosignature", PATIENCE, || {
            let is_met = figure(node, "waag_published_quorum") == Some(1.0);
            (is_met && figure(node, "waag_published_entries") == Some(size as f64)).then_some(size)
        })
    };
    let node = serve_at(&log, 0, &POLICY);
    assert_eq!(node.post(&key, LINES, &events(0..20)).status, 200);
    cosigned(&node);
    assert!(node.terminate().success());
    copied(&log, "early");
    let node = serve_at(&log, 0, &POLICY);
    assert_eq!(node.post(&key, LINES, &events(20..60)).status, 200);
    let late = cosigned(&node);
    assert!(node.terminate().success());
    copied(&log, "late");
    // Everything of this machine is taken back: nothing here knows, the witness does.
    for name in ["waag-data", "waag-data.state"] {
        std::fs::remove_dir_all(log.path(name)).unwrap();
        std::fs::rename(log.path("early").join(name), log.path(name)).unwrap();
    }
    let node = serve_at(&log, 0, &POLICY);
    assert_eq!(node.post(&key, LINES, &events(100..110)).status, 200);
    within("an alarm", PATIENCE, || (figure(&node, "waag_witnesses_alarm") == Some(1.0)).then_some(()));
    let shown = within("a kept alarm", PATIENCE, || {
        let shown = log.run(&["log", "show", "--json"]);
        (shown.code == 1).then(|| shown.json())
    });
    let witness_shown = &shown["witnesses"][0];
    assert_eq!(witness_shown["alarm"]["code"], "E0865", "{shown}");
    assert_eq!(witness_shown["answer"], format!("409: it has cosigned {late} entries"), "{shown}");
    assert!(node.terminate().success());
    // It stays, also where nobody asks any more.
    let node = serve_at(&log, 0, &[]);
    assert!(log.run(&["log", "show"]).exits(1).out.contains("ALARM      E0865"));
    assert!(node.terminate().success());
    // The store says what the witness saw, too.
    let report = log.run(&["verify", "--json"]).exits(1).json();
    assert_eq!(report["faults"][0]["code"], "E0865", "{report}");
    assert!(watching.terminate().success());
    is_refused_for_what_was_published(&log);
}

/// A ledger that knows that more was published says so by itself, and signs nothing of the other history.
fn is_refused_for_what_was_published(log: &Folder) {
    copied(log, "short");
    let serve = ["serve", "--json", "--listen", "127.0.0.1:0", "--pages", "127.0.0.1:0"];
    let is_refused = |code: &str| {
        for arguments in [&serve[..], &["append", "--json"], &["prove", "3", "--json"]] {
            let refused = log.run(arguments).exits(3).json();
            assert_eq!(refused["error"]["code"], code, "{refused}");
        }
        let told = log.run(&["verify", "--json"]).exits(1).json();
        assert!(told["faults"].as_array().unwrap().iter().any(|fault| fault["code"] == code), "{told}");
        let export = log.run(&["log", "export", "copy"]);
        assert!(export.code == 3 && !log.path("copy").exists(), "{export:?}");
    };
    kept_of_late(log);
    is_refused("E0862");
    // Grown beyond what was published, it is another history still.
    for name in ["waag-data", "waag-data.state"] {
        std::fs::remove_dir_all(log.path(name)).unwrap();
        std::fs::rename(log.path("short").join(name), log.path(name)).unwrap();
    }
    log.feed(&["append"], events(200..300).as_bytes()).exits(0);
    kept_of_late(log);
    is_refused("E0863");
}

/// Puts what the later store knew as published into the earlier one.
fn kept_of_late(log: &Folder) {
    use waag::store::options::Options;
    use waag::store::place::Place;
    use waag::store::writer::open_writer;
    use waag_keys::side::Side;
    use waag_keys::state::Expect;
    use waag_model::ids::TenantName;
    let open = |folder: &std::path::Path| {
        let place = Place::new(folder, None, TenantName::new("default").unwrap()).unwrap();
        open_writer(&place, &Options::default(), &mut |_, _| {}).unwrap()
    };
    let late = open(&log.path("late/waag-data")).keyring.side_record(Side::Publication, b"latest").unwrap();
    let value = late.unwrap().value;
    let early = open(&log.path("waag-data"));
    early.keyring.keep_side_record(Side::Publication, b"latest", Expect::Any, Some(&value)).unwrap();
}

#[test]
fn a_witness_is_checked_against_the_certificates_that_the_system_trusts() {
    let certificate = |name: &str| root().join("crates/edge/http/tests/certificates").join(name);
    let (witness, keys) = witness_store("w.example/tls");
    let log = Folder::with_store();
    let key = key(&log, &[]);
    witness.write("logs", vkeys(&log, "log").join("\n"));
    for (from, to) in [("one.pem", "chain"), ("one.key", "key")] {
        witness.write(to, std::fs::read(certificate(from)).unwrap());
    }
    let tls = ["--certificate", "chain", "--private-key", "key"];
    let watching = serve_at(&witness, 0, &[&tls[..], &witness_of("logs", "w.example/tls")].concat());
    let url = format!("https://localhost:{}/witness/", watching.listen.port());
    log.write("policy", format!("witness w {} {url}\nquorum w\n", keys[1]));
    let policy = ["--witness-policy", "policy"];
    let node = serve_trusting(&log, 0, &policy, Some(&certificate("two.pem")));
    assert_eq!(node.post(&key, LINES, &events(0..10)).status, 200);
    within("a witness that is not trusted", PATIENCE, || {
        (figure(&node, "waag_witnesses_failing") == Some(1.0)).then_some(())
    });
    assert_eq!(figure(&node, "waag_published_quorum"), Some(0.0));
    assert!(node.terminate().success());
    assert!(log.run(&["log", "show"]).exits(0).out.contains("E0869: the witness does not answer"));
    let node = serve_trusting(&log, 0, &policy, Some(&certificate("one.pem")));
    within("a cosignature", PATIENCE, || (figure(&node, "waag_published_quorum") == Some(1.0)).then_some(()));
    // By the witness's ML-DSA-44 key, which this policy names.
    let note = published(&node, &log, 10);
    let mut known = trusted(&log);
    known.push(keys[1].parse().unwrap());
    let signed = SignedCheckpoint::verify(note.note().as_bytes(), &known).unwrap();
    assert_eq!(signed.signers().len(), 3);
    assert!(node.terminate().success() && watching.terminate().success());
}

#[test]
fn whatever_witnesses_answer_is_told_and_stops_nothing() {
    const EXPECTED: [(&str, &str, bool); 13] = [
        ("unknown", "404", false),
        ("unsigned", "403", false),
        ("malformed", "400", false),
        ("larger", "409: it has cosigned 1000000", true),
        ("same", "409: it has cosigned 0", false),
        ("sizeless", "status 409", false),
        ("refused", "422", true),
        ("moved", "status 307", false),
        ("garbage", "E0869: the witness does not answer", false),
        ("false", "200 without a valid cosignature: E0374", false),
        ("endless", "E0869: the witness does not answer", false),
        ("slow", "E0869: the witness does not answer: not within 500 ms", false),
        ("down", "E0869: the witness does not answer", false),
    ];
    let folder = Folder::with_store();
    let key = key(&folder, &[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    fakes::witnesses(listener);
    let mut policy = String::new();
    for (number, (name, ..)) in (1_u8..).zip(EXPECTED) {
        let signer =
            Cosigner::from_seed(&format!("{name}.example"), Algorithm::Ed25519Cosignature, &[number; 32]);
        let at = if name == "down" { "127.0.0.1:9".to_owned() } else { at.to_string() };
        policy.push_str(&format!("witness {name} {} http://{at}/{name}\n", signer.unwrap().verifier_key()));
    }
    let silent = Cosigner::from_seed("silent.example", Algorithm::MlDsa44, &[99; 32]).unwrap();
    policy.push_str(&format!("witness silent {}\nquorum unknown\n", silent.verifier_key()));
    folder.write("policy", &policy);
    let refused = folder.run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--pages",
        "127.0.0.1:0",
        "--witness-policy",
        "policy",
    ]);
    assert!(refused.code != 0 && refused.err.contains("E0866"), "plain http: {refused:?}");
    let node = serve_at(&folder, 0, &[&POLICY[..], &["--witness-timeout-ms", "500"]].concat());
    assert_eq!(node.post(&key, LINES, &events(0..10)).status, 200);
    published(&node, &folder, 10);
    let told = within("what all of them answered", PATIENCE, || {
        let shown = folder.run(&["log", "show", "--json"]).json();
        let witnesses = shown["witnesses"].as_array().unwrap().clone();
        let told: BTreeMap<String, Value> =
            witnesses.into_iter().map(|one| (one["name"].as_str().unwrap().to_owned(), one)).collect();
        let is_asked = |name: &str| told.get(name).is_some_and(|one| one["failures"].as_u64() > Some(0));
        // One that answered too late for once is asked again.
        let has_told = |name: &str, answer: &str| {
            told.get(name)
                .is_some_and(|one| one["answer"].as_str().is_some_and(|told| told.starts_with(answer)))
        };
        EXPECTED.iter().all(|(name, answer, _)| is_asked(name) && has_told(name, answer)).then_some(told)
    });
    for (name, answer, has_alarm) in EXPECTED {
        let one = &told[name];
        assert!(one["answer"].as_str().unwrap().starts_with(answer), "{one}");
        assert_eq!(!one["alarm"].is_null(), has_alarm, "{one}");
    }
    assert_eq!(told["silent"]["answer"], "the policy names no URL");
    assert_eq!(figure(&node, "waag_witnesses_alarm"), Some(2.0));
    assert_eq!(figure(&node, "waag_published_quorum"), Some(0.0));
    // Appends and publication go on.
    assert_eq!(node.post(&key, LINES, &events(10..20)).status, 200);
    published(&node, &folder, 20);
    assert!(node.terminate().success());
}
