//! Who may write behind a restore: one store at most, whatever is asked again, broken off, or named wrongly.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod backup_support;
mod common;
mod kill_support;

use backup_support::{AT, backup, code, read, ready, restore};
use common::{Folder, Ran, events};
use kill_support::{copy_of, killed_at};
use serde_json::Value;

fn remove(folder: &Folder, data: &str) {
    for name in [data.to_owned(), format!("{data}.state")] {
        if folder.path(&name).exists() {
            std::fs::remove_dir_all(folder.path(&name)).unwrap();
        }
    }
}

fn append_to(folder: &Folder, data: &str) -> Ran {
    folder.feed(&["append", "--json", "--data", data], events(700..701).as_bytes())
}

#[test]
fn an_earlier_ledger_is_not_promoted_and_the_promoted_one_keeps_every_entry() {
    let folder = ready(20);
    backup(&folder).exits(0);
    restore(&folder, "r", &[]).exits(0);
    let old = folder.run(&["promote", "--json", "--data", "r"]).exits(0).json()["old_ledger"].clone();
    append_to(&folder, "r").exits(0);
    let before = (folder.files(), read(&folder, "r"));
    let earlier = ["--data", "r", "--earlier", old.as_str().unwrap(), "--json"];
    for command in [
        &["promote"][..],
        &["schema", "add", "--type", "t.y", "--schema", "schema.json"],
        &["keys", "rotate", "signing"],
        &["subject", "restrict", "--person", "customer:1", "--reason", "disputed"],
    ] {
        folder.write("schema.json", "{}");
        let refused = folder.run(&[command, &earlier[..]].concat());
        assert!([2, 3].contains(&refused.code), "{command:?}: {refused:?}");
        assert!(!refused.out.contains("goes on under a new ledger"), "{command:?}: {refused:?}");
    }
    std::fs::remove_file(folder.path("schema.json")).unwrap();
    assert_eq!(code(&folder.run(&[&["promote"], &earlier[..]].concat()).exits(2)), "E0700");
    assert!(folder.files() == before.0, "nothing was made or changed");
    assert_eq!(read(&folder, "r"), before.1);
    folder.run(&["verify", "--data", "r"]).exits(0);
}

#[test]
fn what_was_handed_over_is_never_written_nor_promoted_again_and_says_so() {
    let folder = ready(20);
    backup(&folder).exits(0);
    restore(&folder, "taken", &["--guard", "waag-data.state"]).exits(0);
    let guard = || std::fs::read(folder.path("waag-data.state/default/guard")).unwrap();
    let before = guard();
    assert_eq!(code(&folder.run(&["promote", "--json"]).exits(3)), "E0898");
    let refused = append_to(&folder, "waag-data").exits(3);
    assert_eq!(code(&refused), "E0741");
    assert!(refused.out.contains("handed over") && !refused.out.contains("new ledger"), "{refused:?}");
    let again = restore(&folder, "again", &["--guard", "waag-data.state"]).exits(3);
    assert!(code(&again) == "E0742" && again.out.contains("taken.state"), "{again:?}");
    remove(&folder, "again");
    assert!(folder.run(&["verify"]).exits(0).out.contains("handed over"));
    assert_eq!(guard(), before);
    append_to(&folder, "taken").exits(0);
}

#[test]
fn needs_strace_a_handover_that_was_broken_off_anywhere_is_finished_by_the_same_restore() {
    let asked = [&["restore", "--json"], &AT[..], &["--to", "taken", "--guard", "waag-data.state"]].concat();
    let guards = ["waag-data.state/default/guard", "taken.state/default/guard"];
    let marks = ["waag-data.state/default", "taken.state/default"];
    let whole = ready(20);
    backup(&whole).exits(0);
    for (calls, files) in [("fdatasync", &guards), ("fsync", &marks)] {
        for nth in 1..40 {
            let folder = copy_of(&whole);
            if !killed_at(&folder, &asked, calls, files, nth) {
                assert!(nth > 2, "{calls}: what is struck was never called");
                break;
            }
            let mut ran = folder.run(&asked);
            // Before the handover is begun, the rest of a restore is removed, or stands and may be read; behind its last step
            // there is nothing left to finish.
            let is_done = || append_to(&folder, "taken").code == 0;
            if ran.code != 0 && ["E0817", "E0740"].contains(&code(&ran).as_str()) && !is_done() {
                remove(&folder, "taken");
                ran = folder.run(&asked);
            }
            if ran.code == 0 {
                let done = ran.json();
                assert_eq!((&done["read_only"], &done["size"]), (&false.into(), &21.into()), "{calls} {nth}");
            }
            append_to(&folder, "taken").exits(0);
            folder.run(&["verify", "--data", "taken"]).exits(0);
            assert_eq!(code(&append_to(&folder, "waag-data").exits(3)), "E0741", "{calls} {nth}");
            assert_eq!(code(&restore(&folder, "x", &["--guard", "waag-data.state"]).exits(3)), "E0742");
        }
    }
}

#[test]
fn needs_strace_a_promotion_that_was_broken_off_is_named_by_every_opening_and_finished_by_asking_again() {
    let (asked, marks) =
        (["promote", "--data", "r"], ["r.state/default", "r.state/default/guard", "r/default"]);
    let whole = ready(20);
    backup(&whole).exits(0);
    restore(&whole, "r", &[]).exits(0);
    let mut seen = 0;
    for nth in 1..40 {
        let folder = copy_of(&whole);
        if !killed_at(&folder, &asked, "fsync", &marks, nth) {
            break;
        }
        if folder.path("r.state/default/promoting").exists() {
            seen += 1;
            for command in [&["read"][..], &["append", "-"], &["checkpoint"]] {
                let ran = folder.run(&[command, &["--json", "--data", "r"]].concat()).exits(3);
                assert_eq!(code(&ran), "E0818", "{nth}: {command:?}");
            }
            let verified = folder.run(&["verify", "--data", "r"]).exits(1);
            assert!(verified.out.contains("E0818") && !verified.out.contains("E0814"), "{verified:?}");
        }
        let again = folder.run(&["promote", "--json", "--data", "r"]);
        // The mark was gone already: the promotion was done.
        assert!(again.code == 0 || code(&again) == "E0898", "{nth}: {again:?}");
        append_to(&folder, "r").exits(0);
        folder.run(&["verify", "--data", "r"]).exits(0);
        let first = read(&folder, "r")[0].to_string();
        assert!(first.contains("waag.restore.promoted"), "{first}");
    }
    assert!(seen >= 3, "{seen}");
}

/// The file of a run's manifest.
fn manifest(folder: &Folder, run: u64) -> std::path::PathBuf {
    folder.path(&format!("repo/runs/{run:020}.sealed"))
}

/// An event about a person, of a type without a schema: sealed under the person's key.
fn about(person: &str, number: u64) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"p{number}","source":"/t","type":"t.p","subject":"{person}","data":{{"n":{number}}}}}"#
    )
}

/// Whether the part of the event at a position opens.
fn opens(folder: &Folder, data: &str, position: u64) -> bool {
    let all = read(folder, data);
    let entry = all.iter().find(|entry| entry["position"] == position).unwrap();
    entry["erased"].as_array().is_none_or(Vec::is_empty)
}

#[test]
fn a_damaged_manifest_leaves_the_runs_before_it_to_be_listed_checked_and_restored() {
    let folder = ready(5);
    folder.feed(&["append"], about("customer:1", 1).as_bytes()).exits(0);
    backup(&folder).exits(0);
    backup(&folder).exits(0);
    folder.run(&["keys", "destroy", "--person", "customer:1", "--reason", "asked for"]).exits(0);
    backup(&folder).exits(0);
    let mut bytes = std::fs::read(manifest(&folder, 3)).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(manifest(&folder, 3), bytes).unwrap();
    let refused = restore(&folder, "r", &[]).exits(3);
    assert!(code(&refused) == "E0886" && refused.out.contains("--run 2"), "{refused:?}");
    assert!(!folder.path("r").exists() && !folder.path("r.state").exists());
    let name = format!("runs/{:020}", 3);
    let listed = folder.run(&[&["backup", "list"], &AT[..]].concat()).exits(1);
    assert!(listed.out.lines().count() == 2 && listed.err.contains(&name), "{listed:?}");
    let checked = folder.run(&[&["backup", "check", "--json"], &AT[..]].concat()).exits(1).json();
    let faults: Vec<_> = checked["faults"].as_array().unwrap().iter().map(|fault| &fault["object"]).collect();
    assert_eq!((&checked["runs"], faults), (&2.into(), vec![&Value::from(name)]));
    assert_eq!(checked["missing_runs"], serde_json::json!([]));
    for run in ["0", "4"] {
        restore(&folder, "r", &["--run", run]).exits(if run == "0" { 2 } else { 3 });
    }
    let done = restore(&folder, "r", &["--run", "2"]).exits(0).json();
    assert_eq!((&done["keys_of"], &done["size"]), (&2.into(), &8.into()));
    folder.run(&["verify", "--data", "r"]).exits(0);
    assert!(!opens(&folder, "r", 5), "the damaged run's own state tells of the erasure");
}

#[test]
fn events_of_erasures_serve_where_tombstones_are_lost_also_beyond_the_position() {
    let folder = ready(5);
    folder.feed(&["append"], about("customer:1", 1).as_bytes()).exits(0);
    backup(&folder).exits(0);
    let first: Vec<_> = folder.files().into_iter().map(|(path, _)| path).collect();
    folder.run(&["keys", "destroy", "--person", "customer:1", "--reason", "asked for"]).exits(0);
    backup(&folder).exits(0);
    let states = folder
        .files()
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| path.starts_with(folder.path("repo/states")) && !first.contains(path));
    states.for_each(|path| std::fs::remove_file(path).unwrap());
    let refused = restore(&folder, "r", &[]).exits(3);
    assert!(code(&refused) == "E0887" && refused.out.contains("--keys-of 1"), "{refused:?}");
    assert!(!folder.path("r").exists() && !folder.path("r.state").exists());
    let done = restore(&folder, "r", &["--keys-of", "1", "--position", "6"]).exits(0).json();
    assert_eq!(done["size"], 6);
    assert!(done["destroyed_again"].as_u64().unwrap() >= 1, "{done}");
    assert!(!opens(&folder, "r", 5));
}

#[test]
fn a_wrong_option_of_restore_leaves_nothing_behind() {
    let folder = Folder::new();
    folder.write("pass", "correct horse\n");
    folder.write("other", "wrong horse\n");
    let with = ["--passphrase-file", "pass"];
    folder.run(&[&["init"], &with[..]].concat()).exits(0);
    folder.feed(&[&["append"], &with[..]].concat(), events(0..5).as_bytes()).exits(0);
    folder.run(&[&["backup", "init"], &AT[..]].concat()).exits(0);
    folder.run(&[&["backup"], &AT[..], &with[..]].concat()).exits(0);
    for more in [
        &["--passphrase-file", "other"][..],
        &[],
        &["--position", "0", "--passphrase-file", "pass"],
        &["--time", "2000-01-01T00:00:00Z", "--passphrase-file", "pass"],
        &["--keys-of", "9", "--passphrase-file", "pass"],
        &["--run", "9", "--passphrase-file", "pass"],
    ] {
        assert_ne!(restore(&folder, "deep/r", more).code, 0, "{more:?}");
        assert!(!folder.path("deep").exists(), "{more:?}");
    }
    restore(&folder, "deep/r", &with).exits(0);
}

#[test]
fn what_is_nobodys_in_a_repository_is_left_alone() {
    let folder = ready(5);
    backup(&folder).exits(0);
    for name in ["repo/keys/junk", "repo/runs/junk.sealed", "repo/keys/junk.sealed", "repo/states/a b"] {
        folder.write(name, "somebody's");
    }
    backup(&folder).exits(0);
    let pruned = folder.run(&[&["backup", "prune", "--json"], &AT[..]].concat()).exits(0).json();
    assert_eq!(pruned["removed"], serde_json::json!([]));
    let checked = folder.run(&[&["backup", "check", "--json"], &AT[..]].concat()).exits(0).json();
    assert_eq!((&checked["ok"], &checked["unnamed"]), (&true.into(), &0.into()));
    restore(&folder, "r", &[]).exits(0);
    assert!(folder.path("repo/keys/junk.sealed").exists());
}

#[test]
fn check_and_list_tell_the_same_bytes_and_an_empty_repository_has_a_code() {
    let folder = ready(5);
    let empty = folder.run(&[&["backup", "check", "--json"], &AT[..]].concat()).exits(1).json();
    assert_eq!(empty["faults"][0]["code"], "E0890", "{empty}");
    let made = folder.run(&[&["backup"], &AT[..]].concat()).exits(0);
    assert!(!made.out.contains("entries/s") && !made.out.contains(" 0.0 "), "{made:?}");
    backup(&folder).exits(0);
    let list = folder.run(&[&["backup", "list", "--json"], &AT[..]].concat()).exits(0).lines();
    let checked = folder.run(&[&["backup", "check", "--json"], &AT[..]].concat()).exits(0).json();
    assert_eq!(checked["bytes"], list[1]["bytes_in_all"]);
}
