//! Who may write behind a restore: one store at most, whatever is asked again, broken off, or named wrongly.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails loudly")]

#[expect(dead_code, reason = "shared with other tests")]
mod common;

use common::{Folder, Ran, events};
use serde_json::Value;

const AT: [&str; 3] = ["repo", "--key", "backup.key"];

/// A store with entries, and an empty repository.
fn ready(entries: u64) -> Folder {
    let folder = Folder::with_store();
    folder.feed(&["append"], events(0..entries).as_bytes()).exits(0);
    folder.run(&[&["backup", "init"], &AT[..]].concat()).exits(0);
    folder
}

fn backup(folder: &Folder) -> Ran {
    folder.run(&[&["backup", "--json"], &AT[..]].concat())
}

fn restore(folder: &Folder, to: &str, more: &[&str]) -> Ran {
    folder.run(&[&["restore", "--json"], &AT[..], &["--to", to], more].concat())
}

fn code(ran: &Ran) -> String {
    ran.json()["error"]["code"].as_str().unwrap_or_else(|| panic!("{ran:?}")).to_owned()
}

fn read(folder: &Folder, data: &str) -> Vec<Value> {
    folder.run(&["read", "--json", "--data", data]).exits(0).lines()
}

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

/// Runs the program and kills it at the n-th of its calls on any of these files; whether it came that far.
fn killed_at(folder: &Folder, arguments: &[&str], calls: &str, files: &[&str], nth: usize) -> bool {
    let mut command = std::process::Command::new("strace");
    command.args(["-f", "-q", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    command.args(["-e", &format!("inject={calls}:signal=KILL:when={nth}")]);
    for file in files {
        command.arg("-P").arg(folder.path(file));
    }
    let program = folder.command(arguments);
    command.arg(program.get_program()).args(program.get_args()).current_dir(folder.path(""));
    let output = command.output().unwrap();
    !output.status.success()
}

#[test]
fn a_handover_that_was_broken_off_anywhere_is_finished_by_the_same_restore() {
    let asked = [&["restore", "--json"], &AT[..], &["--to", "taken", "--guard", "waag-data.state"]].concat();
    let guards = ["waag-data.state/default/guard", "taken.state/default/guard"];
    let marks = ["waag-data.state/default", "taken.state/default"];
    for (calls, files) in [("fdatasync", &guards), ("fsync", &marks)] {
        for nth in 1..40 {
            let folder = ready(20);
            backup(&folder).exits(0);
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
fn a_promotion_that_was_broken_off_is_named_by_every_opening_and_finished_by_asking_again() {
    let (asked, marks) =
        (["promote", "--data", "r"], ["r.state/default", "r.state/default/guard", "r/default"]);
    let mut seen = 0;
    for nth in 1..40 {
        let folder = ready(20);
        backup(&folder).exits(0);
        restore(&folder, "r", &[]).exits(0);
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
