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
        folder.run(&["keys", "rotate", "signing"]).exits(0);
    }
    let before = folder.run(&["checkpoint", "--json"]).exits(0).json();
    let refused = folder.run(&["keys", "rotate", "signing", "--json"]).exits(2).json();
    assert_eq!(refused["error"]["code"], "E0555", "{refused}");
    assert_eq!(folder.run(&["checkpoint", "--json"]).exits(0).json(), before, "nothing was recorded");
    folder.feed(&["append"], events(0..3).as_bytes()).exits(0);
    let checkpoint = folder.run(&["checkpoint"]).exits(0).out;
    assert_eq!(checkpoint.matches('—').count(), SIGNERS_ACTIVE_MAX);
    folder.run(&["verify"]).exits(0);
    folder.run(&["keys", "retire", "0"]).exits(0);
    folder.run(&["keys", "rotate", "signing"]).exits(0);
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
        &["keys", "rotate", "signing"],
        &["keys", "retire", "0"],
        &["keys", "destroy", "--person", "bob@example.org", "--reason", "r"],
        &["keys", "passphrase"],
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
