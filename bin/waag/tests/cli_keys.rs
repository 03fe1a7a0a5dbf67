//! Keys at their limits, and keys and secrets seen beside a running writer, through the real program.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

#[expect(dead_code, reason = "shared with other tests")]
mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;

use common::{Folder, event, events};
use waag_files::guard::FileGuard;
use waag_files::vault::{FileVault, VAULT_KEYS_MAX};
use waag_keys::create::ORIGIN_BYTES_MAX;
use waag_keys::ledger::SIGNERS_ACTIVE_MAX;
use waag_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use waag_ledger::hash::Hash;
use waag_ledger::note::NoteSigner;
use waag_ledger::tree::TREE_SIZE_MAX;
use waag_log::guard::{Guard, GuardError, GuardRecord};
use waag_model::ids::{Epoch, FrameNumber, LedgerId};
use waag_stdx::entropy::SystemEntropy;
use waag_stdx::files::DiskFiles;

/// A configured name that makes the origin as long as it may be.
fn longest_name() -> String {
    "o".repeat(ORIGIN_BYTES_MAX - "/default/".len() - 32)
}

#[test]
fn a_guard_holds_the_checkpoint_of_as_many_signers_as_a_ledger_may_have_and_no_more() {
    let origin = "o".repeat(ORIGIN_BYTES_MAX);
    for (signers, fits) in [(SIGNERS_ACTIVE_MAX, true), (SIGNERS_ACTIVE_MAX + 1, false)] {
        let signer = |seed| NoteSigner::from_seed(&origin, &[u8::try_from(seed).unwrap(); 32]).unwrap();
        let signers: Vec<NoteSigner> = (0..signers).map(signer).collect();
        let (size, root) = (TREE_SIZE_MAX, Hash([7; 32]));
        let checkpoint = Checkpoint { origin: origin.clone(), size, root };
        let signed = SignedCheckpoint::sign(checkpoint, &signers.iter().collect::<Vec<_>>()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let guard = FileGuard::create(&DiskFiles::new(folder.path())).unwrap();
        let record = GuardRecord {
            sequence: 0,
            ledger: LedgerId([1; 16]),
            epoch: Epoch(0),
            frame: FrameNumber(0),
            size,
            root,
            header_hash: Hash([0; 32]),
            keys_generation: 1,
            checkpoint: signed.note().as_bytes().to_vec(),
        };
        match guard.swap(None, &record) {
            Ok(()) => assert!(fits && guard.read().unwrap() == Some(record)),
            Err(GuardError::Record(fault)) => assert!(!fits && fault.code() == "E0456", "{fault}"),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_ledger_with_the_longest_origin_and_all_its_signers_is_written_and_one_more_is_refused() {
    let folder = Folder::new();
    let made = folder.run(&["init", "--json", "--origin", &longest_name()]).exits(0).json();
    assert_eq!(made["origin"].as_str().unwrap().len(), ORIGIN_BYTES_MAX);
    for _ in 1..SIGNERS_ACTIVE_MAX {
        folder.run(&["keys", "rotate", "signing", "--reason", "r"]).exits(0);
    }
    let before = folder.run(&["checkpoint", "--json"]).exits(0).json();
    let refused = folder.run(&["keys", "rotate", "signing", "--reason", "r", "--json"]).exits(2).json();
    assert_eq!(refused["error"]["code"], "E0555", "{refused}");
    assert_eq!(folder.run(&["checkpoint", "--json"]).exits(0).json(), before, "nothing was recorded");
    folder.feed(&["append"], events(0..3).as_bytes()).exits(0);
    let checkpoint = folder.run(&["checkpoint"]).exits(0).out;
    assert_eq!(checkpoint.matches('—').count(), SIGNERS_ACTIVE_MAX);
    folder.run(&["verify"]).exits(0);
    folder.run(&["keys", "retire", "0", "--reason", "r"]).exits(0);
    folder.run(&["keys", "rotate", "signing", "--reason", "r"]).exits(0);
    folder.run(&["verify"]).exits(0);
    let other = Folder::new();
    let long = longest_name() + "o";
    assert_eq!(other.run(&["init", "--json", "--origin", &long]).exits(2).json()["error"]["code"], "E0327");
}

#[test]
fn a_vault_full_of_rotations_that_were_broken_off_is_mended_by_asking_again() {
    let folder = Folder::with_store();
    let files = Arc::new(DiskFiles::new(&folder.path("waag-data.state/default")));
    let vault = FileVault::open(files, Arc::new(SystemEntropy::new()), None).unwrap();
    for _ in 1..VAULT_KEYS_MAX {
        vault.rotate().unwrap();
    }
    assert_eq!(vault.rotate().unwrap_err().code(), "E0531");
    drop(vault);
    let done = folder.run(&["keys", "rotate", "vault"]).exits(0);
    assert!(done.out.contains("broken off is finished"), "{done:?}");
    let again = folder.run(&["keys", "rotate", "vault"]).exits(0);
    assert!(again.out.contains("a new key"), "{again:?}");
    folder.run(&["verify"]).exits(0);
}

/// `waag append` that has receipts for two events of a person and waits for more.
fn running(folder: &Folder) -> (Child, ChildStdin, BufReader<std::process::ChildStdout>) {
    let mut child =
        folder.command(&["append", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for number in 0..2 {
        let line = event(number).replace(r#""type""#, r#""subject":"bob@example.org","type""#);
        writeln!(input, "{line}").unwrap();
        let mut receipt = String::new();
        output.read_line(&mut receipt).unwrap();
        assert!(receipt.contains(&format!(r#""position":{number}"#)), "{receipt}");
    }
    (child, input, output)
}

#[test]
fn keys_are_listed_and_parts_revealed_and_disclosed_beside_a_running_writer() {
    let folder = Folder::with_store();
    let (mut child, mut input, mut output) = running(&folder);
    let keys = folder.run(&["keys", "list", "--json"]).exits(0).lines();
    assert!(keys.iter().any(|key| key["data"]["person"] == true), "{keys:?}");
    assert!(folder.run(&["keys", "tombstones"]).exits(0).out.is_empty());
    folder.run(&["schema", "list"]).exits(0);
    let masked = folder.run(&["read", "--position", "0"]).exits(0).json();
    assert_eq!(masked["event"]["subject"], "****.org");
    let reveal = ["read", "--position", "0", "--reveal", "ticket 7", "--as", "anna", "--json"];
    let shown = folder.run(&reveal).exits(0);
    assert_eq!(shown.json()["event"]["subject"], "bob@example.org");
    assert!(shown.err.contains("recorded at position 2"), "{shown:?}");
    let record = folder.run(&["read", "--position", "2"]).exits(0).json();
    assert_eq!((&record["type"], &record["actor"]), (&"waag.reveal".into(), &"anna".into()));
    assert_eq!(record["event"]["data"], serde_json::json!({"reason": "ticket 7", "from": 0, "to": 1}));
    let disclosed =
        folder.run(&["prove", "1", "--json", "--disclose", "1", "--reason", "audit"]).exits(0).json();
    assert_eq!(disclosed["disclosed"][0]["secret"].as_str().unwrap().len(), 64);
    assert_eq!(disclosed["tree_size"], 4, "the proof covers the record of the disclosure");
    let record = folder.run(&["read", "--position", "3"]).exits(0).json();
    assert_eq!(record["type"], "waag.disclosed");
    // What changes keys still has to wait, and is told for whom.
    for change in [
        &["keys", "rotate", "tenant"][..],
        &["keys", "rotate", "signing", "--reason", "r"],
        &["keys", "retire", "0", "--reason", "r"],
        &["keys", "destroy", "--person", "bob@example.org", "--reason", "r"],
        &["keys", "passphrase", "--remove"],
    ] {
        let refused = folder.run(&[change, &["--json"]].concat()).exits(3).json();
        assert_eq!(refused["error"]["code"], "E0806", "{change:?}");
        let reason = refused["error"]["reason"].as_str().unwrap();
        assert_eq!(reason, format!("another process writes this store: process {}", child.id()));
    }
    // The writer goes on where the others' events end, and takes its socket with it.
    writeln!(input, "{}", event(9)).unwrap();
    let mut receipt = String::new();
    output.read_line(&mut receipt).unwrap();
    assert!(receipt.contains(r#""position":4"#), "{receipt}");
    assert!(folder.path("waag-data.state/default/writer.sock").exists());
    drop(input);
    assert!(child.wait().unwrap().success());
    assert!(!folder.path("waag-data.state/default/writer.sock").exists());
    assert_eq!(folder.run(&["verify", "--json", "--deep"]).exits(0).json()["entries"], 5);
}

#[test]
fn nothing_is_revealed_that_the_writer_did_not_record() {
    let folder = Folder::with_store();
    let (mut child, input, _output) = running(&folder);
    let socket = folder.path("waag-data.state/default/writer.sock");
    // Whoever speaks with the socket gets nothing recorded but what is recorded for others.
    let before = folder.run(&["verify", "--json"]).exits(0).json();
    for (question, answer) in [
        (&b"record anna\n{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/waag\",\"type\":\"waag.keys.destroyed\"}"[..], "refused only"),
        (b"record anna\n{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/x\",\"type\":\"waag.reveal\"}", "refused only"),
        (b"record \n{}", "refused E0120"),
        (b"record anna\n{}", "refused E0110"),
        (b"record anna", "refused the question"),
        (b"", "refused the question"),
        (b"\xff\n", "refused the question"),
    ] {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        stream.write_all(question).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let told = std::io::read_to_string(stream).unwrap();
        assert!(told.starts_with(answer), "{told}");
    }
    assert_eq!(folder.run(&["verify", "--json"]).exits(0).json()["entries"], before["entries"]);
    // A socket that nobody answers, as one that takes the question and goes.
    std::fs::remove_file(&socket).unwrap();
    let reveal = ["read", "--position", "0", "--reveal", "ticket 8", "--json"];
    let alone = folder.run(&reveal).exits(3);
    assert_eq!(alone.json()["error"]["code"], "E0806");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let going = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut question = String::new();
        std::io::Read::read_to_string(&mut stream, &mut question).unwrap();
        question
    });
    let unanswered = folder.run(&reveal).exits(3);
    assert_eq!(unanswered.json()["error"]["code"], "E0816");
    assert!(going.join().unwrap().contains("ticket 8"));
    for ran in [&alone, &unanswered] {
        assert!(!ran.out.contains("bob@") && !ran.err.contains("bob@"), "{ran:?}");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    // What a writer that died left of its socket is no obstacle.
    let (mut child, input, _output) = running(&folder);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(input);
    assert!(socket.exists());
    folder.run(&["verify"]).exits(0);
    std::fs::remove_file(&socket).unwrap();
    std::fs::write(&socket, "no socket").unwrap();
    assert_eq!(folder.run(&["verify", "--json"]).exits(1).json()["faults"][0]["code"], "E0815");
    folder.run(&reveal).exits(0);
    let (mut child, input, _output) = running(&folder);
    folder.run(&reveal).exits(0);
    drop(input);
    assert!(child.wait().unwrap().success());
    folder.run(&["verify"]).exits(0);
}

#[test]
fn a_signing_key_that_comes_or_goes_is_recorded_with_the_public_keys_and_the_reason() {
    let folder = Folder::with_store();
    let keys = |more: &[&str]| -> Vec<String> {
        let told = folder.run(&[&["checkpoint", "--key"], more].concat()).exits(0).out;
        told.lines().map(str::to_owned).collect()
    };
    let said = |position: &serde_json::Value| {
        let at = position.to_string();
        folder.run(&["read", "--position", &at]).exits(0).json()["event"]["data"].clone()
    };
    let first = keys(&[]);
    folder.run(&["keys", "rotate", "signing"]).exits(2);
    let added = folder.run(&["keys", "rotate", "signing", "--reason", "yearly", "--json"]).exits(0).json();
    let data = said(&added["position"]);
    assert_eq!(
        (&data["what"], &data["reason"], &data["number"]),
        (&"signing".into(), &"yearly".into(), &1.into())
    );
    assert_eq!(data["predecessor"]["vkey"], first[0].as_str());
    assert_eq!(data["vkey"], added["vkey"]);
    assert_eq!(keys(&[]), [first[0].as_str(), data["vkey"].as_str().unwrap()]);
    let retired = folder.run(&["keys", "retire", "0", "--reason", "over", "--json"]).exits(0).json();
    let over = said(&retired["position"]);
    assert_eq!((&over["what"], &over["vkey"]), (&"retire-signing".into(), &first[0].as_str().into()));
    assert_eq!(over["signing"][0]["vkey"], added["vkey"]);
    // The record of the end is under a checkpoint that the key signed before its end.
    let checkpoint = folder.run(&["checkpoint", "--json"]).exits(0).json();
    let until = checkpoint["keys"][1]["until"].as_str().unwrap().to_owned();
    let event = folder.run(&["read", "--position", &retired["position"].to_string()]).exits(0).json();
    assert!(event["accepted"].as_str().unwrap() < until.as_str(), "{event} {until}");
    // Whoever asks for the key gets the one that signs.
    assert_eq!(keys(&[]), [data["vkey"].as_str().unwrap()]);
    assert_eq!(keys(&["--all"]).len(), 2);
    let told = folder.run(&["checkpoint", "--key", "--all", "--json"]).exits(0).json();
    assert_eq!((&told["keys"][0]["active"], &told["keys"][1]["active"]), (&true.into(), &false.into()));
    folder.run(&["verify"]).exits(0);
}

#[test]
fn a_passphrase_is_removed_only_where_that_is_said_and_its_changes_are_told_apart() {
    let folder = Folder::with_store();
    folder.write("one", "correct horse\n");
    folder.write("two", "battery staple\n");
    let what = |ran: common::Ran| {
        let position = ran.exits(0).json()["position"].to_string();
        let read = ["battery staple", "correct horse", ""].into_iter().map(|passphrase| {
            let mut read = folder.command(&["read", "--position", &position]);
            if !passphrase.is_empty() {
                read.env("WAAG_PASSPHRASE", passphrase);
            }
            read.output().unwrap()
        });
        let read = read.into_iter().find(|read| read.status.success()).unwrap();
        let told: serde_json::Value = serde_json::from_slice(&read.stdout).unwrap();
        told["event"]["data"]["what"].as_str().unwrap().to_owned()
    };
    folder.run(&["keys", "passphrase"]).exits(2);
    assert_eq!(what(folder.run(&["keys", "passphrase", "--new", "one", "--json"])), "passphrase-set");
    let change = ["keys", "passphrase", "--passphrase-file", "one", "--new", "two", "--json"];
    assert_eq!(what(folder.run(&change)), "passphrase-changed");
    folder.run(&["keys", "passphrase", "--passphrase-file", "two"]).exits(2);
    assert_eq!(
        folder.run(&["verify", "--json"]).exits(2).json()["error"]["code"],
        "E0527",
        "it is still there"
    );
    let remove = ["keys", "passphrase", "--passphrase-file", "two", "--remove", "--json"];
    assert_eq!(what(folder.run(&remove)), "passphrase-removed");
    folder.run(&["verify"]).exits(0);
    folder.run(&["keys", "passphrase", "--remove"]).exits(2);
}

#[test]
fn an_empty_passphrase_is_none_and_one_that_others_may_read_is_told() {
    let folder = Folder::new();
    let made = folder.command(&["init", "--json"]).env("WAAG_PASSPHRASE", "").output().unwrap();
    assert_eq!(made.status.code(), Some(2), "{made:?}");
    assert!(String::from_utf8(made.stdout).unwrap().contains("E0707"));
    assert!(!folder.path("waag-data").exists() && !folder.path("waag-data.state").exists());
    folder.write("pass", "correct horse\n");
    let open = folder.run(&["init", "--passphrase-file", "pass"]).exits(0);
    assert_eq!(open.err.matches("others may read it").count(), 1, "{open:?}");
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
    std::fs::set_permissions(folder.path("pass"), mode).unwrap();
    let closed = folder.run(&["checkpoint", "--passphrase-file", "pass"]).exits(0);
    assert!(!closed.err.contains("others may read"), "{closed:?}");
}

#[test]
fn destroying_nobodys_keys_is_recorded_nowhere() {
    let folder = Folder::with_store();
    folder.feed(&["append"], events(0..2).as_bytes()).exits(0);
    let before = folder.run(&["checkpoint"]).exits(0).out;
    let destroy = ["keys", "destroy", "--person", "c:nobody", "--reason", "request 7", "--json"];
    let done = folder.run(&destroy).exits(0).json();
    assert_eq!((&done["destroyed"], &done["position"]), (&0.into(), &serde_json::Value::Null));
    assert_eq!(folder.run(&["checkpoint"]).exits(0).out, before);
}
