//! Backing up and restoring, through the real program: whole, incremental, to a position, after erasures, never a fork.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

mod backup_support;
#[expect(dead_code, reason = "shared with other tests")]
mod common;

use backup_support::{AT, backup, code, read, ready, restore};
use common::{Folder, Ran, events};
use serde_json::Value;
use waag::store::backups;
use waag_keys::state::{State, Table};
use waag_stdx::clock::{Clock, SystemClock};

fn check(folder: &Folder) -> Ran {
    folder.run(&[&["backup", "check", "--json"], &AT[..]].concat())
}

#[test]
fn a_backup_is_incremental_and_the_restored_store_is_the_same_and_read_only() {
    let folder = ready(300);
    let large = common::event(5_000).replace("1.50", &format!("\"{}\"", "z".repeat(70_000)));
    folder.feed(&["append"], large.as_bytes()).exits(0);
    let first = backup(&folder).exits(0).json();
    // The backup has the event that announces it.
    assert_eq!((&first["run"], &first["size"], &first["entries"]), (&1.into(), &302.into(), &302.into()));
    assert_eq!((&first["objects"], &first["position"]), (&1.into(), &301.into()), "{first}");
    folder.feed(&["append"], events(300..400).as_bytes()).exits(0);
    let second = backup(&folder).exits(0).json();
    assert_eq!((&second["run"], &second["entries"], &second["objects"]), (&2.into(), &101.into(), &0.into()));
    let checked = check(&folder).exits(0).json();
    assert_eq!(
        (&checked["ok"], &checked["runs"], &checked["entries"]),
        (&true.into(), &2.into(), &403.into())
    );
    let list = folder.run(&[&["backup", "list", "--json"], &AT[..]].concat()).exits(0).lines();
    assert_eq!((list.len(), &list[1]["keys_expired"]), (2, &false.into()));
    let restored = restore(&folder, "restored", &[]).exits(0).json();
    assert_eq!((&restored["size"], &restored["read_only"]), (&403.into(), &true.into()));
    assert_eq!(restored["root"], second["root"]);
    folder.run(&["verify", "--deep", "--data", "restored"]).exits(0);
    // Value for value, and the proof of an entry verifies as before.
    assert_eq!(read(&folder, "restored"), read(&folder, "waag-data")[..403]);
    folder.run(&["prove", "7", "--data", "restored"]).exits(0);
    let refused =
        folder.feed(&["append", "--json", "--data", "restored"], events(900..901).as_bytes()).exits(3);
    assert_eq!(code(&refused), "E0741");
}

/// An event about a person, of a type without a schema: sealed under the person's key.
fn about(person: &str, number: u64) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"p{number}","source":"/t","type":"t.p","subject":"{person}","data":{{"n":{number}}}}}"#
    )
}

fn destroy(folder: &Folder, person: &str) {
    folder.run(&["keys", "destroy", "--person", person, "--reason", "asked for"]).exits(0);
}

/// Whether an entry's person part opens.
fn opens(folder: &Folder, data: &str, position: u64) -> bool {
    let all = folder.run(&["read", "--json", "--data", data]).exits(0).lines();
    let entry = all.iter().find(|entry| entry["position"] == position).unwrap();
    entry["erased"].as_array().is_none_or(Vec::is_empty)
}

#[test]
fn an_erasure_after_the_backup_holds_in_every_restored_store() {
    let folder = ready(5);
    folder.feed(&["append"], about("customer:1", 1).as_bytes()).exits(0);
    folder.feed(&["append"], about("customer:2", 2).as_bytes()).exits(0);
    backup(&folder).exits(0);
    assert!(opens(&folder, "waag-data", 5));
    destroy(&folder, "customer:1");
    assert!(!opens(&folder, "waag-data", 5) && opens(&folder, "waag-data", 6));
    let restrict = ["subject", "restrict", "--person", "customer:2", "--reason", "disputed"];
    folder.run(&restrict).exits(0);
    backup(&folder).exits(0);
    // The newest, and the log as it was before the erasure: with the keys of now.
    let newest = restore(&folder, "newest", &[]).exits(0).json();
    assert_eq!(newest["destroyed_again"], 0, "they were gone when the newest keys were taken");
    let older = restore(&folder, "older", &["--position", "7"]).exits(0).json();
    assert_eq!((&older["size"], &older["keys_of"]), (&7.into(), &2.into()));
    for data in ["newest", "older"] {
        assert!(!opens(&folder, data, 5) && opens(&folder, data, 6), "{data}");
    }
    // The keys of the first run have the person's; the tombstones of the second are applied to them.
    let salvaged = restore(&folder, "salvaged", &["--keys-of", "1", "--position", "7"]).exits(0).json();
    assert!(salvaged["destroyed_again"].as_u64().unwrap() >= 1, "{salvaged}");
    assert!(!opens(&folder, "salvaged", 5) && opens(&folder, "salvaged", 6));
    // So is a restriction that was set since the first run.
    let state =
        waag_sqlite::state::SqliteState::open_read_only(&folder.path("salvaged.state/default")).unwrap();
    assert_eq!(state.scan(Table::Restriction, None, 10).unwrap().len(), 1);
    drop(state);
    // Also where the second run's state is lost: the ledger's own event names the keys.
    let mut told = 0;
    for name in std::fs::read_dir(folder.path("repo/states")).unwrap() {
        let path = name.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        remove(&folder, "told");
        let ran = restore(&folder, "told", &["--keys-of", "1"]);
        std::fs::write(&path, bytes).unwrap();
        if ran.code == 3 {
            assert_eq!(code(&ran), "E0887", "the first run's own state is needed");
        } else {
            told += 1;
            assert!(ran.exits(0).json()["destroyed_again"].as_u64().unwrap() >= 1);
            assert!(!opens(&folder, "told", 5) && opens(&folder, "told", 6));
        }
    }
    assert_eq!(told, 1);
}

#[test]
fn keys_that_are_in_no_backup_that_is_left_are_told_and_all_else_verifies() {
    let folder = ready(5);
    folder.feed(&["append"], about("customer:1", 1).as_bytes()).exits(0);
    backup(&folder).exits(0);
    folder.feed(&["append"], about("customer:2", 2).as_bytes()).exits(0);
    folder.feed(&["append"], about("customer:3", 3).as_bytes()).exits(0);
    destroy(&folder, "customer:3");
    backup(&folder).exits(0);
    let restored = restore(&folder, "older", &["--keys-of", "1"]).exits(0).json();
    // The erased person's is destroyed, and no backup withholds it.
    assert_eq!((&restored["keys_of"], &restored["withheld"]), (&1.into(), &1.into()), "{restored}");
    folder.run(&["verify", "--deep", "--data", "older"]).exits(0);
    let all = read(&folder, "older");
    let told = |name: &str, at: u64| {
        let entry = all.iter().find(|entry| entry["position"] == at).unwrap();
        entry[name].clone()
    };
    assert_eq!((told("withheld", 5), told("erased", 5)), (Value::Null, Value::Null));
    assert_eq!((told("withheld", 7), told("erased", 7)), (serde_json::json!([1]), Value::Null));
    assert_eq!((told("withheld", 8), told("erased", 8)), (Value::Null, serde_json::json!([1])));
    folder.run(&["promote", "--data", "older"]).exits(0);
    append_to(&folder, "older").exits(0);
}

/// Turns a bit of the first entry in a store's log.
fn damage(folder: &Folder, data: &str) {
    let path = folder.path(&format!("{data}/default/log/{:020}.seg", 0));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[400] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_restore_that_was_broken_off_is_named_by_everybody_and_no_store_is_made_in_its_place() {
    let folder = ready(20);
    backup(&folder).exits(0);
    // Its vault is there, its frames are not.
    let frames = folder.files().into_iter().filter(|(path, _)| path.starts_with(folder.path("repo/pieces")));
    let (path, bytes) = frames.max_by_key(|(_, bytes)| bytes.len()).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(code(&restore(&folder, "broken", &[]).exits(3)), "E0887");
    std::fs::write(&path, bytes).unwrap();
    let before = folder.files();
    for command in [
        &["init"][..],
        &["serve", "--listen", "127.0.0.1:0"],
        &["append", "-"],
        &["read"],
        &["promote"],
        &["checkpoint"],
    ] {
        let ran = folder.run(&[command, &["--json", "--data", "broken"]].concat()).exits(3);
        assert_eq!(code(&ran), "E0817", "{command:?}");
        assert!(ran.out.contains("broken/default") && ran.out.contains("broken.state/default"), "{ran:?}");
    }
    assert_eq!(code(&restore(&folder, "broken", &[]).exits(3)), "E0817");
    let verified = folder.run(&["verify", "--data", "broken"]).exits(1);
    assert!(verified.out.contains("E0817"), "{verified:?}");
    assert!(folder.files() == before, "nothing was made or changed");
    remove(&folder, "broken");
    restore(&folder, "broken", &[]).exits(0);
    assert!(!folder.path("broken.state/default/restoring").exists());
}

#[test]
fn a_store_that_its_restore_did_not_verify_is_promoted_when_it_is_whole_and_not_before() {
    let folder = ready(20);
    backup(&folder).exits(0);
    restore(&folder, "restored", &[]).exits(0);
    // As a restore leaves it that was killed before it had verified.
    folder.write("restored.state/default/restoring", "");
    damage(&folder, "restored");
    assert_eq!(code(&folder.run(&["promote", "--json", "--data", "restored"]).exits(1)), "E0744");
    assert!(folder.path("restored.state/default/restoring").exists());
    damage(&folder, "restored");
    let verified = folder.run(&["verify", "--json", "--data", "restored"]).exits(0);
    assert!(verified.out.contains("not verified to its end"), "{verified:?}");
    folder.run(&["promote", "--data", "restored"]).exits(0);
    assert!(!folder.path("restored.state/default/restoring").exists());
    append_to(&folder, "restored").exits(0);
}

#[test]
fn what_names_a_store_that_is_there_is_refused_where_one_is_made() {
    let folder = ready(3);
    backup(&folder).exits(0);
    let ledger = "00112233445566778899aabbccddeeff";
    for more in [&["--data", "elsewhere"][..], &["--earlier", ledger]] {
        let told = restore(&folder, "x", more).exits(2).json()["error"].to_string();
        assert!(told.contains(more[0]) && told.contains("--to"), "{told}");
        folder.run(&[&["rebuild", "nothing", "--to", "x"], more].concat()).exits(2);
    }
    assert!(!folder.path("x").exists() && !folder.path("x.state").exists());
    restore(&folder, "x", &["--state", "y"]).exits(0);
}

fn remove(folder: &Folder, data: &str) {
    for name in [data.to_owned(), format!("{data}.state")] {
        if folder.path(&name).exists() {
            std::fs::remove_dir_all(folder.path(&name)).unwrap();
        }
    }
}

#[test]
fn a_restore_ends_at_a_frame_and_reaches_no_further_than_the_backups() {
    let folder = Folder::with_store();
    for at in 0..4 {
        folder.feed(&["append"], events(at * 10..at * 10 + 10).as_bytes()).exits(0);
    }
    folder.run(&[&["backup", "init"], &AT[..]].concat()).exits(0);
    backup(&folder).exits(0);
    let size = |to: &str, more: &[&str]| restore(&folder, to, more).exits(0).json()["size"].as_u64().unwrap();
    assert_eq!(size("a", &["--position", "25"]), 20);
    assert_eq!(size("b", &["--position", "40"]), 40);
    folder.run(&["verify", "--data", "a"]).exits(0);
    assert_eq!(size("c", &["--time", "2100-01-01T00:00:00Z"]), 41);
    for (to, more) in [
        ("d", &["--position", "42"][..]),
        ("e", &["--position", "3"]),
        ("f", &["--time", "2000-01-01T00:00:00Z"]),
        ("g", &["--keys-of", "7"]),
    ] {
        assert_eq!(code(&restore(&folder, to, more).exits(2)), "E0743", "{more:?}");
    }
    // Nothing is written over, whatever it is.
    let before = folder.files();
    assert_eq!(code(&restore(&folder, "waag-data", &[]).exits(2)), "E0740");
    assert_eq!(code(&restore(&folder, "a", &[]).exits(2)), "E0740");
    assert!(folder.files() == before);
    let other = folder.run(&[&["restore", "--json", "--tenant", "other"], &AT[..], &["--to", "x"]].concat());
    assert_eq!(code(&other.exits(3)), "E0543");
}

#[test]
fn a_promoted_store_is_a_ledger_of_its_own_that_names_the_old_one() {
    let folder = ready(50);
    folder.feed(&["append"], about("customer:1", 1).as_bytes()).exits(0);
    backup(&folder).exits(0);
    restore(&folder, "restored", &[]).exits(0);
    folder.run(&["report", "invoices", "--data", "restored"]).exits(0);
    let old = folder.run(&["verify", "--json", "--data", "restored"]).exits(0).json();
    let promoted = folder.run(&["promote", "--json", "--data", "restored"]).exits(0).json();
    assert_eq!((&promoted["old_size"], &promoted["position"]), (&52.into(), &0.into()));
    assert_ne!(promoted["ledger"], promoted["old_ledger"]);
    let first = &read(&folder, "restored")[0];
    assert_eq!(
        first["event"]["type"].as_str().or(first["type"].as_str()),
        Some("waag.restore.promoted"),
        "{first}"
    );
    let told = first.to_string();
    for name in ["origin", "root"] {
        assert!(told.contains(old[name].as_str().unwrap()), "{told}");
    }
    folder.feed(&["append", "--data", "restored"], events(0..10).as_bytes()).exits(0);
    folder.run(&["verify", "--data", "restored"]).exits(0);
    // The old one can be read, proven and verified, and is not written.
    let earlier = promoted["old_ledger"].as_str().unwrap();
    let of_old = |more: &[&str]| {
        let at = ["--data", "restored", "--earlier", earlier];
        folder.run(&[more, &at[..]].concat())
    };
    assert_eq!(of_old(&["read", "--json"]).exits(0).lines().len(), 52);
    of_old(&["prove", "7"]).exits(0);
    of_old(&["report", "invoices"]).exits(0);
    let again = of_old(&["verify", "--json"]).exits(0).json();
    assert_eq!((&again["root"], &again["entries"]), (&old["root"], &old["entries"]));
    let at = ["append", "--json", "--data", "restored", "--earlier", earlier];
    assert_eq!(code(&folder.feed(&at, events(90..91).as_bytes()).exits(2)), "E0700");
    // An erasure reaches persons in both.
    folder
        .run(&["keys", "destroy", "--data", "restored", "--person", "customer:1", "--reason", "asked"])
        .exits(0);
    let entry = of_old(&["read", "--json"]).exits(0).lines().swap_remove(50);
    assert!(!entry["erased"].as_array().unwrap().is_empty(), "{entry}");
    // Asking again is refused, as is promoting what was never restored; the old repository holds the old ledger only.
    assert_eq!(code(&folder.run(&["promote", "--json", "--data", "restored"]).exits(3)), "E0898");
    assert_eq!(code(&folder.run(&["promote", "--json"]).exits(3)), "E0898");
    let refused = folder.run(&[&["backup", "--json", "--data", "restored"], &AT[..]].concat());
    assert_eq!(code(&refused.exits(3)), "E0889");
    // A new one has both, and both come back.
    let to = ["repo-2", "--key", "backup-2.key"];
    folder.run(&[&["backup", "init"], &to[..]].concat()).exits(0);
    for _ in 0..2 {
        folder.run(&[&["backup", "--data", "restored"], &to[..]].concat()).exits(0);
    }
    folder.run(&[&["backup", "check", "--data", "restored"], &to[..]].concat()).exits(0);
    folder.run(&[&["restore"], &to[..], &["--to", "both"]].concat()).exits(0);
    let old_again = folder.run(&["verify", "--json", "--data", "both", "--earlier", earlier]).exits(0).json();
    assert_eq!((&old_again["root"], &old_again["entries"]), (&old["root"], &old["entries"]));
    folder.run(&["verify", "--data", "both"]).exits(0);
}

#[test]
fn the_right_to_write_moves_with_a_guard_that_says_nothing_came_after_and_with_no_other() {
    let folder = ready(20);
    backup(&folder).exits(0);
    // Nothing came after it: the lost data comes back, and the right to write with it.
    let taken = restore(&folder, "taken", &["--guard", "waag-data.state"]).exits(0).json();
    assert_eq!((&taken["read_only"], &taken["size"]), (&false.into(), &21.into()));
    append_to(&folder, "taken").exits(0);
    folder.run(&["verify", "--data", "taken"]).exits(0);
    // It was given away: neither the old store nor anybody else has it.
    assert_eq!(code(&append_to(&folder, "waag-data").exits(3)), "E0741");
    assert_eq!(code(&restore(&folder, "again", &["--guard", "waag-data.state"]).exits(3)), "E0742");
    assert_eq!(code(&append_to(&folder, "again").exits(3)), "E0741");
    folder.run(&["verify", "--data", "again"]).exits(0);
    assert_eq!(
        code(&restore(&folder, "own", &["--guard", "again.state"]).exits(3)),
        "E0742",
        "a restored guard"
    );
    // Where an entry was acknowledged beyond the backup, nobody gets it.
    assert_eq!(code(&restore(&folder, "behind", &["--guard", "taken.state"]).exits(3)), "E0742");
    append_to(&folder, "taken").exits(0);
}

fn append_to(folder: &Folder, data: &str) -> Ran {
    folder.feed(&["append", "--json", "--data", data], events(700..701).as_bytes())
}

#[test]
fn keys_expire_the_newest_as_well_and_what_expired_is_removed_and_not_used() {
    let folder = ready(10);
    backup(&folder).exits(0);
    let keys = || std::fs::read_dir(folder.path("repo/keys")).unwrap().count();
    assert_eq!(keys(), 2, "the tables and the vault");
    // As if it had been made long ago: what is named by an earlier second has expired. The name is authenticated, so that
    // renaming does not bring it back either.
    for name in std::fs::read_dir(folder.path("repo/keys")).unwrap() {
        let path = name.unwrap().path();
        let old = path.file_name().unwrap().to_str().unwrap().replacen(|c: char| c.is_ascii_digit(), "0", 12);
        std::fs::rename(&path, path.with_file_name(old)).unwrap();
    }
    let removed = folder.run(&[&["backup", "prune", "--json"], &AT[..]].concat()).exits(0).json();
    assert_eq!(removed["removed"].as_array().unwrap().len(), 2);
    assert_eq!(keys(), 0);
    assert_eq!(code(&restore(&folder, "x", &[]).exits(3)), "E0887");
    assert_eq!(check(&folder).exits(1).json()["faults"].as_array().unwrap().len(), 2);
    remove(&folder, "x");
    // The next run makes it whole again.
    backup(&folder).exits(0);
    restore(&folder, "x", &[]).exits(0);
    let refused = folder.run(&[&["backup", "--json", "--key-days", "0"], &AT[..]].concat());
    assert_eq!(code(&refused.exits(2)), "E0700");
}

#[test]
fn every_damage_to_a_repository_is_named() {
    let folder = ready(30);
    let large = common::event(5_000).replace("1.50", &format!("\"{}\"", "z".repeat(70_000)));
    folder.feed(&["append"], large.as_bytes()).exits(0);
    backup(&folder).exits(0);
    folder.feed(&["append"], events(30..40).as_bytes()).exits(0);
    backup(&folder).exits(0);
    let objects: Vec<_> = folder
        .files()
        .into_iter()
        .filter(|(path, _)| {
            path.starts_with(folder.path("repo")) && path.extension().is_some_and(|e| e == "sealed")
        })
        .collect();
    assert!(objects.len() >= 11, "{}", objects.len());
    let names = |what: &str| {
        let name = what.trim_end_matches(".sealed");
        match check_here(&folder) {
            Ok(faults) => assert!(faults.iter().any(|(at, _)| at == name), "{what}: {faults:?}"),
            Err((_, told)) => assert!(told.contains(name), "{what}: {told}"),
        }
    };
    let fails_with = |code: &str| assert_eq!(check_here(&folder).unwrap_err().0, code);
    for (path, bytes) in &objects {
        let name = path.strip_prefix(folder.path("repo")).unwrap().to_str().unwrap().to_owned();
        for byte in [0, 9, 20, 50, bytes.len() / 2, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[byte] ^= 0x20;
            std::fs::write(path, &changed).unwrap();
            match (name.as_str(), byte) {
                ("repository.sealed", 16..32) => fails_with("E0885"),
                ("repository.sealed", _) => fails_with("E0886"),
                _ => names(&name),
            }
        }
        std::fs::remove_file(path).unwrap();
        match name.as_str() {
            "repository.sealed" => fails_with("E0883"),
            "runs/00000000000000000002.sealed" => {
                // The newest run taken away: the repository cannot know, the ledger does.
                let told = check(&folder).exits(1).json();
                assert_eq!(told["missing_runs"], serde_json::json!([2]), "{told}");
            }
            _ => names(&name),
        }
        std::fs::write(path, bytes).unwrap();
    }
    assert_eq!(check_here(&folder), Ok(Vec::new()));
    // A key of another repository, and one that is none.
    folder.run(&["backup", "init", "other", "--key", "other.key"]).exits(0);
    let with = |key: &str| folder.run(&["backup", "check", "--json", "repo", "--key", key]).exits(3);
    assert_eq!(code(&with("other.key")), "E0885");
    folder.write("none.key", "nothing\n");
    assert_eq!(code(&with("none.key")), "E0892", "also since others may read it");
    check(&folder).exits(0);
}

/// Faults with their objects, or why nothing can be said, by its code and in words.
fn check_here(folder: &Folder) -> Result<Vec<(String, String)>, (String, String)> {
    let told = |error: waag::store::backups::BackupError| (error.code().to_owned(), error.to_string());
    let repository = backups::open(&folder.path("repo"), &folder.path("backup.key")).map_err(told)?;
    let now = SystemClock::new().now();
    let (checked, _) = backups::check::check(&repository, now, &|_, _| {}).map_err(told)?;
    Ok(checked.faults.into_iter().map(|fault| (fault.name, fault.reason)).collect())
}

#[test]
fn a_backup_beside_a_running_node_is_recorded_by_the_node() {
    use std::io::BufRead as _;
    let folder = ready(20);
    let mut command =
        folder.command(&["serve", "--json", "--listen", "127.0.0.1:0", "--pages", "127.0.0.1:0"]);
    let mut node =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut lines = std::io::BufReader::new(node.stdout.take().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    let first = backup(&folder);
    let second = backup(&folder);
    // The store that runs is not lost: its guard is not to be had.
    let taken = restore(&folder, "taken", &["--guard", "waag-data.state"]);
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(i32::try_from(node.id()).unwrap()).unwrap(),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    assert!(node.wait().unwrap().success());
    let (first, second) = (first.exits(0).json(), second.exits(0).json());
    assert!(first["position"].as_u64().unwrap() < first["size"].as_u64().unwrap(), "{first}");
    assert!(second["entries"].as_u64().unwrap() >= 1, "{second}");
    assert_eq!(code(&taken.exits(3)), "E0742");
    check(&folder).exits(0);
    let told = read(&folder, "waag-data");
    let event = told.iter().find(|entry| entry["position"] == second["position"]).unwrap().to_string();
    assert!(event.contains("waag.backup.begun"), "{event}");
    restore(&folder, "restored", &[]).exits(0);
}

#[test]
fn a_vaults_passphrase_is_in_no_backup_and_is_asked_for_before_anything_is_copied() {
    let folder = Folder::new();
    folder.write("pass", "correct horse\n");
    let with = ["--passphrase-file", "pass"];
    folder.run(&[&["init"], &with[..]].concat()).exits(0);
    folder.feed(&[&["append"], &with[..]].concat(), events(0..5).as_bytes()).exits(0);
    folder.run(&[&["backup", "init"], &AT[..]].concat()).exits(0);
    folder.run(&[&["backup"], &AT[..], &with[..]].concat()).exits(0);
    assert_eq!(code(&restore(&folder, "restored", &[]).exits(2)), "E0527");
    assert!(!folder.path("restored").exists());
    restore(&folder, "restored", &with).exits(0);
}
