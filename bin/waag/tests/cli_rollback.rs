//! A store whose parts are of different times, and one that two processes want: each is refused with the reason, and
//! nothing is changed by being asked. A restored store and a witness that saw more are refused in tests of their own.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use common::{Folder, events};
use waag_keys::state::{Change, Expect, State, Table};
use waag_sqlite::state::SqliteState;

const LOG: &str = "waag-data/default";
const STATE: &str = "waag-data.state/default";

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else if from.is_file() {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

/// A store of twenty entries, and its folders as they were at ten.
fn grown() -> Folder {
    let folder = Folder::with_store();
    folder.feed(&["append"], events(0..10).as_bytes()).exits(0);
    copy(&folder.path(LOG), &folder.path("kept/log"));
    copy(&folder.path(STATE), &folder.path("kept/state"));
    // A person's key is new in the state, so that its generation moves too.
    let personal =
        r#"{"specversion":"1.0","id":"p","source":"/t","type":"t.y","subject":"E-7","data":{"name":"Ada"}}"#;
    folder.feed(&["append"], personal.as_bytes()).exits(0);
    folder.feed(&["append"], events(10..19).as_bytes()).exits(0);
    folder
}

fn put_back(folder: &Folder, kept: &str, place: &str) {
    std::fs::remove_dir_all(folder.path(place)).unwrap();
    copy(&folder.path(kept), &folder.path(place));
}

/// Every command that would write or serve says why it does not, and leaves every byte of the log as it is.
fn is_refused(folder: &Folder, code: &str, words: &str) {
    let before: Vec<_> =
        folder.files().into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "seg")).collect();
    for arguments in
        [&["append", "--json"][..], &["serve", "--json", "--listen", "127.0.0.1:0", "--pages", "127.0.0.1:0"]]
    {
        let ran = folder.feed(arguments, events(30..31).as_bytes());
        assert_ne!(ran.code, 0, "{ran:?}");
        assert_eq!(ran.json()["error"]["code"], code, "{ran:?}");
        assert!(ran.err.contains(words), "{ran:?}");
    }
    let after: Vec<_> =
        folder.files().into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "seg")).collect();
    assert!(before == after, "being asked changes nothing");
}

#[test]
fn a_log_that_was_rolled_back_is_refused() {
    let folder = grown();
    put_back(&folder, "kept/log", LOG);
    is_refused(&folder, "E0462", "is behind its guard");
    let report = folder.run(&["verify", "--json"]).exits(1).json();
    assert_eq!(report["ok"], false, "{report}");
}

#[test]
fn a_state_that_was_rolled_back_is_refused() {
    let folder = grown();
    let guard = std::fs::read(folder.path(STATE).join("guard")).unwrap();
    put_back(&folder, "kept/state", STATE);
    folder.write(&format!("{STATE}/guard"), guard);
    is_refused(&folder, "E0633", "it was rolled back");
}

/// Puts the state's database back alone, as it was; the log and the guard stay.
fn put_state_back(folder: &Folder, kept: Vec<u8>) {
    folder.write(&format!("{STATE}/state.db"), kept);
    for beside in ["state.db-wal", "state.db-shm"] {
        drop(std::fs::remove_file(folder.path(STATE).join(beside)));
    }
}

/// A store with a person, whose data no law keeps; the state's database as it is then, folded into one file.
fn with_person() -> (Folder, Vec<u8>) {
    let folder = Folder::with_store();
    folder.write("schema.json", SCHEMA);
    folder.run(&["schema", "add", "--type", "contact.told", "--schema", "schema.json"]).exits(0);
    folder.feed(&["append"], contact(1).as_bytes()).exits(0);
    let kept = std::fs::read(folder.path(STATE).join("state.db")).unwrap();
    (folder, kept)
}

const SCHEMA: &str = r#"{"type": "object", "x-retention": "contact", "properties": {"customer": {
    "x-classification": "personal", "x-data-subject": "id", "x-data-subject-kind": "contact",
    "properties": {"id": {}, "name": {}}}}}"#;

fn contact(number: u64) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"c{number}","source":"/t","type":"contact.told","data":{{"customer":{{"id":"c-3","name":"Ada"}}}}}}"#
    )
}

#[test]
fn an_erasure_a_restriction_or_a_withdrawal_is_not_undone_by_putting_the_state_back() {
    let person = ["--person", "contact:c-3", "--reason", "request 1"];
    for order in [&["subject", "erase"][..], &["keys", "destroy"], &["subject", "restrict"]] {
        let (folder, kept) = with_person();
        folder.run(&[order, &person].concat()).exits(0);
        // Events under keys that were there before are no help to who puts the state back.
        folder.feed(&["append"], contact(2).replace("c-3", "c-4").as_bytes()).exits(0);
        put_state_back(&folder, kept);
        is_refused(&folder, "E0633", "it was rolled back");
        let report = folder.run(&["verify", "--deep", "--json"]).exits(1).json();
        assert_eq!(report["faults"][0]["code"], "E0633", "{report}");
    }
    let folder = Folder::with_store();
    let made = folder.run(&["key", "create", "--json"]).exits(0).json();
    let kept = std::fs::read(folder.path(STATE).join("state.db")).unwrap();
    folder.run(&["key", "withdraw", made["id"].as_str().unwrap()]).exits(0);
    put_state_back(&folder, kept);
    is_refused(&folder, "E0633", "it was rolled back");
}

/// The state, open as whoever may write its folder can open it: with sums that fit.
fn by_hand(folder: &Folder) -> SqliteState {
    SqliteState::open(&folder.path(STATE)).unwrap()
}

#[test]
fn a_destroyed_key_that_is_there_again_and_a_restriction_that_is_gone_are_told_by_the_ledger() {
    let (folder, _) = with_person();
    let person = ["--person", "contact:c-3", "--reason", "request 1"];
    folder.run(&[&["subject", "restrict"], &person[..]].concat()).exits(0);
    folder.run(&["verify", "--deep"]).exits(0);
    let state = by_hand(&folder);
    let restrictions = state.scan(Table::Restriction, None, 10).unwrap();
    assert_eq!(restrictions.len(), 1);
    let gone = |key: &[u8]| {
        let change = Change { table: Table::Restriction, key, expect: Expect::Any, value: None };
        state.commit(&[change]).unwrap();
    };
    restrictions.iter().for_each(|record| gone(&record.key));
    let keys = state.scan(Table::DataKey, None, 10).unwrap();
    drop(state);
    let report = folder.run(&["verify", "--json"]).exits(1).json();
    let fault = &report["faults"][0];
    assert_eq!((&fault["code"], &fault["table"]), (&"E0827".into(), &"restriction".into()), "{report}");
    assert_eq!((fault["position"].as_u64(), &report["faults_total"]), (Some(2), &1.into()), "{report}");
    // Lifted, it is not missed any more.
    folder.run(&[&["subject", "restrict"], &person[..]].concat()).exits(0);
    folder.run(&[&["subject", "unrestrict"], &person[..]].concat()).exits(0);
    folder.run(&["verify"]).exits(0);

    folder.run(&[&["subject", "erase"], &person[..]].concat()).exits(0);
    folder.run(&["verify", "--deep"]).exits(0);
    let state = by_hand(&folder);
    let stones = state.scan(Table::Tombstone, None, 10).unwrap();
    let back = keys.iter().filter(|key| stones.iter().any(|stone| stone.key == key.key));
    let mut changes: Vec<Change<'_>> = Vec::new();
    for key in back {
        let (expect, place) = (Expect::Any, key.key.as_slice());
        changes.push(Change { table: Table::DataKey, key: place, expect, value: Some(&key.value) });
        changes.push(Change { table: Table::Tombstone, key: place, expect, value: None });
    }
    assert!(!changes.is_empty());
    state.commit(&changes).unwrap();
    drop(state);
    for arguments in [&["verify", "--json"][..], &["verify", "--deep", "--json"]] {
        let report = folder.run(arguments).exits(1).json();
        let fault = &report["faults"][0];
        assert_eq!((&fault["code"], &fault["table"]), (&"E0826".into(), &"data-key".into()), "{report}");
        assert_eq!(report["faults_total"], changes.len() / 2, "{report}");
    }
}

/// Serves with publication until so many entries are published.
fn publish(folder: &Folder, entries: u64) {
    let serve =
        ["serve", "--listen", "127.0.0.1:0", "--pages", "127.0.0.1:0", "--publish-interval-ms", "100"];
    let mut command = folder.command(&[&serve[..], &["--publish-log"]].concat());
    let mut node = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // A node records events of its own when it first starts.
    let is_published = || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let shown = folder.run(&["log", "show", "--json"]).json();
        shown["published"].as_u64() >= Some(entries) && shown["lag"] == 0
    };
    assert!((0..600).any(|_| is_published()), "nothing is published");
    rustix::process::kill_process(rustix::process::Pid::from_child(&node), rustix::process::Signal::TERM)
        .unwrap();
    assert!(node.wait().unwrap().success());
}

#[test]
fn a_ledger_smaller_than_what_was_published_is_not_written_and_not_verified() {
    let folder = grown();
    publish(&folder, 20);
    folder.run(&["verify"]).exits(0);
    // Log and guard are put back, which fit together; the state stays, and knows what was published.
    put_back(&folder, "kept/log", LOG);
    std::fs::copy(folder.path("kept/state/guard"), folder.path(STATE).join("guard")).unwrap();
    is_refused(&folder, "E0862", "it was taken back");
    let report = folder.run(&["verify", "--deep", "--json"]).exits(1).json();
    let fault = &report["faults"][0];
    assert_eq!((&fault["code"], &fault["table"]), (&"E0862".into(), &"publication".into()), "{report}");
    folder.run(&["read", "--from", "9", "--json"]).exits(0);
}

#[test]
fn a_guard_older_than_what_was_published_is_told_as_taken_back() {
    let folder = Folder::with_store();
    publish(&folder, 1);
    folder.feed(&["append"], events(0..10).as_bytes()).exits(0);
    let before = folder.run(&["checkpoint", "--json"]).exits(0).json()["tree_size"].as_u64().unwrap();
    let guard = std::fs::read(folder.path(STATE).join("guard")).unwrap();
    folder.feed(&["append"], events(10..11).as_bytes()).exits(0);
    publish(&folder, before + 1);
    // One frame beyond the guard is what a crash leaves too: only what was published tells them apart.
    folder.write(&format!("{STATE}/guard"), guard);
    is_refused(&folder, "E0862", "it was taken back");
    assert_eq!(folder.run(&["verify", "--json"]).exits(1).json()["faults"][0]["code"], "E0862");
}

#[test]
fn a_guard_whose_slots_were_moved_is_not_healed_by_writing() {
    let folder = grown();
    let path = folder.path(STATE).join("guard");
    let guard = std::fs::read(&path).unwrap();
    let (low, high) = guard.split_at(8_192);
    for moved in [[high, low], [low, low], [high, high]] {
        let moved = moved.concat();
        std::fs::write(&path, &moved).unwrap();
        is_refused(&folder, "E0449", "is damaged");
        let report = folder.run(&["verify", "--json"]).exits(1).json();
        assert_eq!(report["faults"][0]["code"], "E0458", "{report}");
        assert!(std::fs::read(&path).unwrap() == moved, "it is left as it is");
    }
    std::fs::write(&path, guard).unwrap();
    folder.run(&["verify"]).exits(0);
}

#[test]
fn frames_beyond_an_older_guard_are_not_said_to_be_never_acknowledged() {
    let folder = Folder::with_store();
    folder.feed(&["append"], events(0..10).as_bytes()).exits(0);
    let guard = std::fs::read(folder.path(STATE).join("guard")).unwrap();
    folder.feed(&["append"], events(10..11).as_bytes()).exits(0);
    folder.write(&format!("{STATE}/guard"), guard);
    let told = folder.run(&["verify"]).exits(0).out;
    let words = "perhaps never acknowledged, or the guard was taken back";
    assert!(told.contains("1 whole frame:") && told.contains(words), "{told}");
    let told = folder.feed(&["append"], events(11..12).as_bytes()).exits(0).err;
    assert!(told.contains("1 whole frame is part") && told.contains(words), "{told}");
}

#[test]
fn a_log_that_is_ahead_of_a_state_and_guard_put_back_is_refused() {
    let folder = grown();
    let before = folder.run(&["checkpoint", "--json"]).exits(0).json();
    put_back(&folder, "kept/state", STATE);
    // The frames beyond the guard name a key that this older state never had.
    is_refused(&folder, "E0634", "never had");
    assert_eq!(before["tree_size"], 20);
}

#[test]
fn a_guard_taken_back_by_more_than_a_crash_leaves_is_no_verified_store() {
    let folder = grown();
    for n in 20..24 {
        folder.feed(&["append"], events(n..n + 1).as_bytes()).exits(0);
    }
    folder.run(&["verify"]).exits(0);
    put_back(&folder, "kept/state", STATE);
    is_refused(&folder, "E0463", "the guard was taken back");
    let report = folder.run(&["verify", "--json"]).exits(1).json();
    assert_eq!((&report["ok"], &report["faults"][0]["code"]), (&false.into(), &"E0463".into()), "{report}");
}

#[test]
fn log_and_state_rolled_back_together_have_another_history_than_a_receipt_tells() {
    let folder = grown();
    let receipts = folder.run(&["checkpoint", "--json"]).exits(0).json();
    put_back(&folder, "kept/log", LOG);
    put_back(&folder, "kept/state", STATE);
    folder.feed(&["append"], events(100..115).as_bytes()).exits(0);
    let now = folder.run(&["checkpoint", "--json"]).exits(0).json();
    // Inside the store nothing tells; the older receipt does: its tree is no beginning of this one.
    assert!(now["tree_size"].as_u64() > receipts["tree_size"].as_u64());
    let read = folder.run(&["read", "--from", "19", "--json"]).exits(0);
    assert!(read.out.contains("e109"), "another event stands where the receipt's did: {}", read.out);
}

#[test]
fn a_second_node_on_one_store_is_refused_and_told_who_has_it() {
    let folder = Folder::with_store();
    let serve = ["serve", "--json", "--listen", "127.0.0.1:0", "--pages", "127.0.0.1:0"];
    let mut first = folder.command(&serve).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(first.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let second = folder.run(&serve);
    let (code, told) = (second.json()["error"]["code"].clone(), second.err.clone());
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(line.contains("listen"), "{line}");
    assert_eq!((second.code, code), (3, "E0806".into()), "{told}");
    assert!(told.contains(&first.id().to_string()), "{told}");
}

#[test]
fn what_is_to_outlive_a_store_is_not_put_inside_of_it() {
    let folder = grown();
    std::os::unix::fs::symlink(folder.path("waag-data"), folder.path("link")).unwrap();
    let before = folder.files();
    for inside in
        ["waag-data/default/log", "waag-data/default", "waag-data.state/default/x", "link/default/x"]
    {
        for arguments in [
            &["backup", "init", inside, "--key", "k"][..],
            &["log", "export", inside],
            &["export", "--all", inside],
        ] {
            let ran = folder.run(&[arguments, &["--json"]].concat()).exits(2);
            assert_eq!(ran.json()["error"]["code"], "E0700", "{arguments:?}");
        }
    }
    assert!(folder.files() == before);
}
