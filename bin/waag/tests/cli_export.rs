//! Everything out in open formats, and an equal store from it, through the real program.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails loudly")]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::digest::{SHA256, digest};
use common::{Folder, Ran, events};
use serde_json::Value;
use waag::store::exports::{EXPORT_PREFIX, note_text};
use waag::store::options::Options;
use waag::store::place::Place;
use waag::store::reader::open_reader;
use waag_engine::recover::signers;
use waag_entry::cbor::Reader;
use waag_keys::side::Side;
use waag_model::ids::TenantName;

const SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "customer": {
      "x-classification": "personal", "x-data-subject": "id", "x-data-subject-kind": "customer",
      "properties": {"id": {}, "name": {}}
    },
    "amount": {}
  }
}"#;

const NAME: &str = "Annegret Musterfrau";

fn invoice(number: u64, person: &str, name: &str) -> String {
    format!(
        concat!(
            r#"{{"specversion":"1.0","id":"i{}","source":"/erp","type":"invoice.posting","#,
            r#""data":{{"customer":{{"id":"{}","name":"{}"}},"amount":{}.50,"note":"=1+1"}}}}"#
        ),
        number, person, name, number
    ) + "\n"
}

/// A store with a schema, its dictionary, 600 events of nobody's, persons, and one body that is a blob.
fn store() -> Folder {
    let folder = Folder::with_store();
    folder.write("schema.json", SCHEMA);
    let samples: String = (0..100).map(|number| invoice(number, "c-0", "Sample Person")).collect();
    folder.write("samples", samples.replace("/erp", "/sample"));
    let add =
        ["schema", "add", "--type", "invoice.posting", "--schema", "schema.json", "--samples", "samples"];
    folder.run(&add).exits(0);
    let mut lines = events(0..600);
    for number in 0..6 {
        lines += &invoice(number, if number % 2 == 0 { "c-zutphen" } else { "c-deventer" }, NAME);
    }
    let blob = "x".repeat(100_000);
    lines += &format!(
        "{{\"specversion\":\"1.0\",\"id\":\"b\",\"source\":\"/t\",\"type\":\"Large/Body\",\"data\":{{\"text\":\"{blob}\"}}}}\n"
    );
    folder.feed(&["append", "--as", "erp"], lines.as_bytes()).exits(0);
    folder
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn lines(path: &Path) -> Vec<Value> {
    text(path).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every file below a folder, by its path from there.
fn files(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// The frames of a store's log: its segments without what was prepared behind them.
fn log(folder: &Folder, data: &str) -> Vec<u8> {
    let bytes: Vec<u8> = files(&folder.path(data).join("default/log"))
        .iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "seg"))
        .flat_map(|path| std::fs::read(path).unwrap())
        .collect();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[..=end].to_vec()
}

fn faults(ran: &Ran) -> String {
    format!("{}{}", ran.out, ran.err)
}

#[test]
fn an_export_is_masked_and_whole_and_rebuilds_a_closed_store_that_verifies() {
    let folder = store();
    let done = folder.run(&["export", "--all", "out", "--json"]).exits(0).json();
    assert_eq!((&done["entries"], &done["types"]), (&608.into(), &4.into()));
    let all: String = folder
        .files()
        .into_iter()
        .filter(|(path, _)| path.starts_with(folder.path("out")))
        .map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned())
        .collect();
    assert!(!all.contains("Musterfrau") && !all.contains("c-zutphen"), "a person stands in clear");
    assert!(!folder.path("out/secrets").exists());

    let posted = lines(&folder.path("out/events/invoice.posting.jsonl"));
    assert_eq!(posted.len(), 6);
    assert_eq!(posted[0]["masked"], serde_json::json!(["/data/customer"]));
    let read = folder.run(&["read", "--position", "601"]).exits(0).json();
    for member in ["position", "leaf_hash", "accepted", "actor", "event", "masked"] {
        assert_eq!(posted[0][member], read[member], "{member}");
    }
    let table = text(&folder.path("out/events/invoice.posting.csv"));
    assert!(table.starts_with("position,leaf_hash,"), "{table}");
    assert!(table.contains(",'=1+1") && table.contains(",0.50,"), "{table}");
    let manifest: Value = serde_json::from_str(&text(&folder.path("out/manifest.json"))).unwrap();
    let kinds: BTreeSet<&str> =
        manifest["types"].as_array().unwrap().iter().map(|kind| kind["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, BTreeSet::from(["Large/Body", "invoice.posting", "t.x", "waag.schema.registered"]));
    assert_eq!(manifest["counts"]["blobs"], 1);
    let record = folder.run(&["read", "--position", "608"]).exits(0).json();
    assert_eq!(record["type"], "waag.export.done");
    assert_eq!(record["event"]["data"]["manifest_sha256"], done["manifest_sha256"]);

    folder.write("key", folder.run(&["checkpoint", "--key"]).exits(0).out);
    let checked = folder.run(&["export", "--check", "out", "--public-key", "key", "--json"]).exits(0).json();
    assert_eq!((&checked["trusted"], &checked["entries"]), (&true.into(), &608.into()));
    folder.write("secret", "correct horse battery staple\n");
    let secret = ["rebuild", "out", "--to", "locked", "--passphrase-file", "secret", "--json"];
    let locked = folder.run(&secret).exits(0);
    assert!(locked.json()["passphrase"] == true && !locked.err.contains("no passphrase"), "{locked:?}");
    folder.run(&["checkpoint", "--data", "locked"]).exits(2);
    folder.run(&["checkpoint", "--data", "locked", "--passphrase-file", "secret"]).exits(0);
    let made = folder.run(&["rebuild", "out", "--to", "copy", "--json"]).exits(0).json();
    assert_eq!((&made["entries"], &made["keys"], &made["objects"]), (&608.into(), &0.into(), &3.into()));
    let verified = folder.run(&["verify", "--deep", "--data", "copy"]).exits(0);
    assert!(verified.out.contains("verified: 608 entries"), "{verified:?}");
    let checkpoint = folder.run(&["checkpoint", "--data", "copy"]).exits(0).out;
    assert_eq!(checkpoint, text(&folder.path("out/checkpoint")));
    let closed = folder.run(&["read", "--data", "copy", "--position", "601"]).exits(0).json();
    assert_eq!((&closed["leaf_hash"], closed.get("event")), (&read["leaf_hash"], None), "{closed}");
    folder.run(&["prove", "601", "--data", "copy"]).exits(0);
    let refused = folder.feed(&["append", "--data", "copy"], events(0..1).as_bytes());
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(refused.err.contains("E0741"), "{refused:?}");
}

/// The state remembers an export of so many entries that opens everything.
fn remembered(folder: &Folder, entries: u64, sha256: &Value) {
    let place = Place::new(&folder.path("waag-data"), None, TenantName::new("default").unwrap()).unwrap();
    let store = open_reader(&place, &Options::default()).unwrap();
    let kept = store.keyring.side_records(Side::Upkeep, Some(EXPORT_PREFIX), 10).unwrap();
    let kept = kept.into_iter().find(|record| record.key.starts_with(EXPORT_PREFIX)).unwrap();
    let mut read = Reader::new(&kept.value);
    read.array_of(9, "an export").unwrap();
    assert_eq!((read.uint("version"), read.text("kind")), (Ok(1), Ok("export")));
    read.int("at").unwrap();
    assert_eq!([read.uint("size"), read.uint("revealed"), read.uint("keys")], [Ok(entries), Ok(1), Ok(1)]);
    assert_eq!(hex::encode(read.bytes("manifest").unwrap()), *sha256);
    assert_eq!((read.text("by").is_ok(), read.uint("position")), (true, Ok(entries)));
    read.end().unwrap();
}

#[test]
fn with_keys_the_rebuilt_store_is_equal_and_nobody_can_write_it() {
    let folder = store();
    let destroy = ["keys", "destroy", "--person", "customer:c-deventer", "--reason", "asked"];
    folder.run(&destroy).exits(0);
    folder.feed(&["append"], invoice(9, "c-4713", "Rita Beispiel").as_bytes()).exits(0);
    let restrict = ["subject", "restrict", "--person", "customer:c-4713", "--reason", "dispute"];
    folder.run(&restrict).exits(0);
    let asked = ["export", "--all", "out", "--reveal", "contract ends", "--keys", "contract ends", "--json"];
    let done = folder.run(&asked).exits(0);
    assert!(done.err.contains("every data key"), "{}", done.err);
    let posted = text(&folder.path("out/events/invoice.posting.jsonl"));
    assert!(posted.contains(NAME));
    assert!(!posted.contains("Rita") && posted.contains("****piel"), "restricted, and revealed: {posted}");
    for path in files(&folder.path("out")) {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
    }
    let entries = done.json()["entries"].as_u64().unwrap();
    let kinds: Vec<Value> = (entries - 2..=entries)
        .map(|at| folder.run(&["read", "--position", &at.to_string()]).exits(0).json()["type"].clone())
        .collect();
    assert_eq!(kinds, ["waag.reveal", "waag.disclosed", "waag.export.done"], "recorded, in this order");
    remembered(&folder, entries, &done.json()["manifest_sha256"]);

    let made = folder.run(&["rebuild", "out", "--to", "copy", "--json"]).exits(0).json();
    assert_eq!((&made["keys"], &made["tombstones"]), (&3.into(), &1.into()), "{made}");
    let copy = |arguments: &[&str]| folder.run(&[arguments, &["--data", "copy"]].concat());
    assert!(copy(&["verify", "--deep"]).exits(0).out.contains(&format!("verified: {entries} entries")));
    let count = entries.to_string();
    let there = folder.run(&["read", "--count", &count]).exits(0).out;
    assert_eq!(copy(&["read", "--count", &count]).exits(0).out, there);
    let frames = log(&folder, "copy");
    assert_eq!(frames, log(&folder, "waag-data")[..frames.len()], "every frame, byte for byte");
    let ids = |listed: Ran| -> BTreeSet<String> {
        let lines = listed.lines();
        let keys = lines.iter().filter_map(|line| line.get("data").or(line.get("tombstone")));
        keys.map(|key| format!("{} {} {}", key["id"], key["class"], key["period"])).collect()
    };
    for (list, count) in [("list", 3), ("tombstones", 1)] {
        let listed = ids(copy(&["keys", list, "--json"]).exits(0));
        assert_eq!(listed.len(), count);
        assert_eq!(listed, ids(folder.run(&["keys", list, "--json"]).exits(0)));
    }
    let proofs = ["601", "5"].map(|at| copy(&["prove", at]).exits(0).out);
    assert!(proofs.iter().all(|proof| proof.contains("c2sp.org/tlog-proof")));
    copy(&["views", "rebuild"]).exits(0);
    // What would write it, and what would sign in its name.
    for order in [
        &["append"][..],
        &["keys", "rotate"],
        &["read", "--everything", "--reveal", "why"],
        &["export", "--all", "again"],
    ] {
        let refused = copy(order);
        assert!(refused.code != 0, "{order:?}: {refused:?}");
        assert!(!refused.out.contains(NAME), "{order:?}");
    }
    // It goes on as a ledger of its own, which names the old one; that one stays as it was.
    copy(&["promote"]).exits(0);
    copy(&["append"]).exits(0);
    let id = made["origin"].as_str().unwrap().rsplit('/').next().unwrap();
    assert_eq!(copy(&["read", "--count", &count, "--earlier", id]).exits(0).out, there);
    copy(&["verify", "--earlier", id]).exits(0);
}

#[test]
fn no_changed_missing_or_added_file_passes() {
    let folder = store();
    folder.run(&["export", "--all", "out", "--keys", "why"]).exits(0);
    let root = folder.path("out");
    let check = || folder.run(&["export", "--check", "out"]);
    check().exits(0);
    let all = files(&root);
    assert!(all.len() > 25, "{all:?}");
    for path in &all {
        let whole = std::fs::read(path).unwrap();
        if whole.is_empty() {
            continue;
        }
        for at in [whole.len() / 2, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(path, &changed).unwrap();
            let red = check();
            assert_eq!(red.code, 1, "{} at {at}: {red:?}", path.display());
            assert!(faults(&red).contains("E074"), "{red:?}");
        }
        std::fs::remove_file(path).unwrap();
        assert_eq!(check().code, 1, "{} is missing", path.display());
        std::fs::write(path, &whole).unwrap();
    }
    // Each file is named, whatever else is wrong.
    std::fs::write(root.join("blobs/more"), "x").unwrap();
    std::fs::rename(root.join("frames.jsonl"), root.join("frames")).unwrap();
    let keys = std::fs::read(root.join("data-keys.jsonl")).unwrap();
    std::fs::write(root.join("data-keys.jsonl"), &keys[1..]).unwrap();
    let red = check().exits(1).err;
    for named in [
        "`blobs/more` does not belong",
        "`frames.jsonl` is missing",
        "`frames` does not belong",
        "`data-keys.jsonl` was changed",
    ] {
        assert!(red.contains(named), "{named}: {red}");
    }
    std::fs::remove_file(root.join("blobs/more")).unwrap();
    std::fs::rename(root.join("frames"), root.join("frames.jsonl")).unwrap();
    std::fs::write(root.join("data-keys.jsonl"), &keys).unwrap();
    check().exits(0);
    // Another ledger's key believes nothing of it.
    let other = Folder::with_store();
    folder.write("other", other.run(&["checkpoint", "--key"]).exits(0).out);
    let red = folder.run(&["export", "--check", "out", "--public-key", "other"]).exits(1);
    assert!(red.err.contains("E0748"), "{red:?}");
    folder.run(&["rebuild", "out", "--to", "copy", "--public-key", "other"]).exits(1);
    assert!(!folder.path("copy").exists());
}

#[test]
fn a_pipe_a_link_and_an_empty_folder_are_named_and_waited_for_by_nobody() {
    let folder = store();
    folder.run(&["export", "--all", "out"]).exits(0);
    let check = || folder.run(&["export", "--check", "out"]);
    check().exits(0);
    std::fs::create_dir_all(folder.path("out/events/empty")).unwrap();
    let told = check().exits(1);
    assert!(told.err.contains("`events/empty` does not belong"), "{told:?}");
    std::fs::remove_dir(folder.path("out/events/empty")).unwrap();
    for name in ["manifest.note", "manifest.json", "files.jsonl", "checkpoint", "frames.jsonl"] {
        let (path, aside) = (folder.path(&format!("out/{name}")), folder.path("aside"));
        std::fs::rename(&path, &aside).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        check().exits(1);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&aside, &path).unwrap();
        check().exits(1);
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&aside, &path).unwrap();
    }
    check().exits(0);
}

/// Changes a file of an export as somebody could who has the ledger's signing key: list, manifest and note fit again.
fn change_and_sign(folder: &Folder, name: &str, from: &str, to: &str) {
    use waag_ledger::note::Note;
    let digest = |text: &str| -> [u8; 32] { digest(&SHA256, text.as_bytes()).as_ref().try_into().unwrap() };
    let sum = |text: &str| hex::encode(digest(text));
    let place = Place::new(&folder.path("waag-data"), None, TenantName::new("default").unwrap()).unwrap();
    let ledger = open_reader(&place, &Options::default()).unwrap().ledger;
    let change = |name: &str, from: &str, to: &str| {
        let path = folder.path(&format!("out/{name}"));
        let old = text(&path);
        assert!(old.contains(from) && from.len() == to.len(), "{name}: {from}");
        let new = old.replacen(from, to, 1);
        std::fs::write(path, &new).unwrap();
        (sum(&old), sum(&new))
    };
    let file = change(name, from, to);
    let list = change("files.jsonl", &file.0, &file.1);
    change("manifest.json", &list.0, &list.1);
    let manifest = text(&folder.path("out/manifest.json"));
    let said = note_text(&ledger.origin, &digest(&manifest));
    let signers = signers(&ledger).unwrap();
    let note = Note::sign(&said, &signers.iter().collect::<Vec<_>>()).unwrap();
    std::fs::write(folder.path("out/manifest.note"), note.to_string()).unwrap();
}

#[test]
fn events_that_say_something_else_than_their_entries_are_named_though_they_are_signed() {
    let folder = store();
    folder.run(&["export", "--all", "out", "--keys", "why"]).exits(0);
    let made = folder.run(&["rebuild", "out", "--to", "whole", "--json"]).exits(0).json();
    assert_eq!((&made["events_compared"], &made["events_closed"]), (&made["entries"], &0.into()), "{made}");
    // What is sealed: only who opens it can tell.
    let name = "events/invoice.posting.jsonl";
    change_and_sign(&folder, name, "2.50", "9.50");
    let said = folder.run(&["export", "--check", "out"]).exits(0);
    assert!(said.out.contains("compared by `waag rebuild`"), "{said:?}");
    let red = folder.run(&["rebuild", "out", "--to", "copy"]).exits(1);
    assert!(red.err.contains("E0747") && red.err.contains(name), "{red:?}");
    change_and_sign(&folder, name, "9.50", "2.50");
    // What is in clear is compared by every check.
    let first = lines(&folder.path(&format!("out/{name}")))[0].clone();
    for member in ["position", "leaf_hash", "accepted"] {
        let told = first[member].to_string();
        let digit = told.rfind(|c: char| c.is_ascii_digit()).unwrap();
        let other = if told.as_bytes()[digit] == b'1' { "2" } else { "1" };
        let mut wrong = told.clone();
        wrong.replace_range(digit..=digit, other);
        let (told, wrong) = (format!("\"{member}\":{told}"), format!("\"{member}\":{wrong}"));
        change_and_sign(&folder, name, &told, &wrong);
        let red = folder.run(&["export", "--check", "out"]).exits(1);
        assert!(red.err.contains(name), "{member}: {red:?}");
        change_and_sign(&folder, name, &wrong, &told);
    }
    folder.run(&["export", "--check", "out"]).exits(0);
}

#[test]
fn a_copy_loses_a_passphrase_only_where_somebody_says_so() {
    let folder = Folder::new();
    folder.write("secret", "correct horse battery staple\n");
    let held = ["--passphrase-file", "secret"];
    let locked = |arguments: &[&str]| folder.run(&[arguments, &held].concat());
    locked(&["init"]).exits(0);
    let given = [&["append"][..], &held].concat();
    folder.feed(&given, events(0..3).as_bytes()).exits(0);
    locked(&["export", "--all", "out"]).exits(0);
    let refused = folder.run(&["rebuild", "out", "--to", "copy"]).exits(2);
    assert!(refused.err.contains("E0765"), "{refused:?}");
    assert!(!folder.path("copy").exists() && !folder.path("copy.state").exists());
    locked(&["rebuild", "out", "--to", "copy", "--no-passphrase"]).exits(2);
    let open = folder.run(&["rebuild", "out", "--to", "copy", "--no-passphrase", "--json"]).exits(0);
    assert_eq!(open.json()["passphrase"], false);
    assert!(open.err.contains("warning: the new vault has no passphrase"), "{open:?}");
    folder.run(&["checkpoint", "--data", "copy"]).exits(0);
}

#[test]
fn what_cannot_be_exported_or_rebuilt_is_refused_before_anything_is_recorded() {
    let folder = Folder::with_store();
    assert!(folder.run(&["export", "--all", "out"]).exits(2).err.contains("E0814"));
    folder.feed(&["append"], events(0..3).as_bytes()).exits(0);
    folder.run(&["export", "--all", "out", "--reveal", " "]).exits(2);
    std::fs::create_dir(folder.path("full")).unwrap();
    folder.write("full/x", "x");
    assert!(folder.run(&["export", "--all", "full", "--keys", "why"]).exits(2).err.contains("E0745"));
    assert_eq!(folder.run(&["read"]).exits(0).lines().len(), 3, "nothing was recorded");
    folder.run(&["export"]).exits(2);
    folder.run(&["export", "--all", "out"]).exits(0);
    assert!(folder.run(&["rebuild", "out", "--to", "waag-data"]).exits(2).err.contains("E0745"));
    assert!(folder.run(&["rebuild", "full", "--to", "copy"]).exits(1).err.contains("E0748"));
    std::fs::remove_file(folder.path("out/manifest.note")).unwrap();
    assert!(folder.run(&["rebuild", "out", "--to", "copy"]).exits(1).err.contains("E0748"));
    assert!(!folder.path("copy").exists());
}

/// An export is a log of C2SP tlog-tiles as it lies there: Go's checksum database proves every entry from it.
#[test]
fn needs_go_x_mod_reads_an_export() {
    let folder = store();
    folder.run(&["export", "--all", "out"]).exits(0);
    let vkey = folder.run(&["checkpoint", "--key"]).exits(0).out;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let cache = root.join(target).join("needs/go-cache");
    std::fs::create_dir_all(&cache).unwrap();
    let program = folder.path("go_tlog");
    let flags =
        [("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode"), ("GOFLAGS", ""), ("CGO_ENABLED", "0")];
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(root.join("testing/outside/go_tlog"))
        .envs(flags)
        .env("GOCACHE", std::fs::canonicalize(cache).unwrap())
        .status();
    assert!(built.unwrap().success());
    let says = || {
        let output = Command::new(&program).arg(folder.path("out")).arg(vkey.trim()).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (is_verified, told) = says();
    assert!(is_verified && told.contains("verified: 608 records"), "{told}");
    let tile = folder.path("out/tile/0/001");
    let mut bytes = std::fs::read(&tile).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&tile, bytes).unwrap();
    assert!(!says().0);
}
