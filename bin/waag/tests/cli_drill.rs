//! Drills through the real program: what they measure, what they leave behind, and what they say of a bad backup.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

#[expect(dead_code, reason = "shared with other tests")]
mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::{Folder, Ran, events};
use serde_json::Value;

const AT: [&str; 3] = ["repo", "--key", "backup.key"];

fn store(entries: u64) -> Folder {
    let folder = Folder::with_store();
    folder.feed(&["append"], events(0..entries).as_bytes()).exits(0);
    folder.run(&[&["backup", "init"], &AT[..]].concat()).exits(0);
    folder
}

fn backup(folder: &Folder) {
    folder.run(&[&["backup"], &AT[..]].concat()).exits(0);
}

fn drill(folder: &Folder, more: &[&str]) -> Ran {
    folder.run(&[&["drill", "--json", "--backup", "repo", "--key", "backup.key"], more].concat())
}

fn newest(folder: &Folder) -> Value {
    let size = folder.run(&["checkpoint", "--json"]).exits(0).json()["tree_size"].as_u64().unwrap();
    folder.run(&["read", "--position", &(size - 1).to_string()]).exits(0).json()
}

/// The largest file of the repository's pieces: frames.
fn piece(folder: &Folder) -> PathBuf {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(&folder.path("repo/pieces"), &mut found);
    found.into_iter().max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap()
}

#[test]
fn a_drill_measures_what_would_be_lost_records_it_and_leaves_nothing() {
    let folder = store(200);
    backup(&folder);
    let first = drill(&folder, &[]).exits(0).json();
    // The backup's own event stands in it.
    assert_eq!(
        (&first["ok"], &first["rpo_entries"], &first["entries"]),
        (&true.into(), &0.into(), &201.into())
    );
    assert!(first["rto_ms"].as_u64().unwrap() >= first["restored_ms"].as_u64().unwrap());
    let event = newest(&folder);
    assert_eq!((&event["type"], &event["position"]), (&"waag.drill.done".into(), &first["position"]));
    for (told, member) in [("ok", "ok"), ("rpo_ms", "rpo_ms"), ("rto_ms", "rto_ms"), ("entries", "size")] {
        assert_eq!(event["event"]["data"][member], first[told], "{member}");
    }
    folder.feed(&["append"], events(200..250).as_bytes()).exits(0);
    let second = drill(&folder, &["--scratch", "elsewhere"]).exits(0).json();
    // Those fifty, and the first drill's event.
    assert_eq!(second["rpo_entries"], 51);
    assert!(second["rpo_ms"].as_u64().unwrap() >= first["rpo_ms"].as_u64().unwrap());
    for left in ["waag-data.drill", "elsewhere"] {
        assert!(!folder.path(left).exists(), "{left}");
    }
    let listed = folder.run(&["drill", "list", "--json"]).exits(0).lines();
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[1]["rpo_entries"], &listed[1]["at"]), (&51.into(), &second["at"]));
    folder.run(&["verify", "--deep"]).exits(0);
}

#[test]
fn a_backup_that_cannot_be_restored_is_an_outcome_and_recorded() {
    let folder = store(50);
    let empty = drill(&folder, &[]).exits(1).json();
    assert_eq!(
        (&empty["ok"], &empty["rpo_entries"]),
        (&false.into(), &50.into()),
        "nothing could be restored"
    );
    assert!(empty["failed"].as_str().unwrap().starts_with("E0749: "), "{empty}");
    backup(&folder);
    // A drill that was killed has left keys behind, which are gone after the next one.
    std::fs::create_dir_all(folder.path("waag-data.drill/default/state")).unwrap();
    folder.write("waag-data.drill/default/state/left", "keys");
    drill(&folder, &[]).exits(0);
    assert!(!folder.path("waag-data.drill").exists());

    let path = piece(&folder);
    let whole = std::fs::read(&path).unwrap();
    let mut changed = whole.clone();
    let at = changed.len() / 2;
    changed[at] ^= 1;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, &changed).unwrap();
    let size = folder.run(&["checkpoint", "--json"]).exits(0).json()["tree_size"].clone();
    let bad = drill(&folder, &[]).exits(1).json();
    assert_eq!((&bad["ok"], &bad["rpo_entries"]), (&false.into(), &size), "all of it could be lost");
    let event = newest(&folder);
    assert_eq!(
        (&event["type"], &event["event"]["data"]["failed"]),
        (&"waag.drill.done".into(), &bad["failed"])
    );
    assert!(!folder.path("waag-data.drill").exists());
    std::fs::write(&path, &whole).unwrap();
    drill(&folder, &[]).exits(0);

    // Another ledger's repository is no backup of this one.
    let other = store(3);
    backup(&other);
    let repository = other.path("repo").display().to_string();
    let key = other.path("backup.key").display().to_string();
    let wrong = folder.run(&["drill", "--json", "--backup", &repository, "--key", &key]).exits(1).json();
    assert!(wrong["failed"].as_str().unwrap().contains("another ledger's"), "{wrong}");
    folder.run(&["drill"]).exits(2);
    drill(&folder, &["--earlier", "00112233445566778899aabbccddeeff"]).exits(2);
}

#[test]
fn what_is_mistyped_is_refused_and_no_evidence_of_a_failure() {
    let folder = store(5);
    backup(&folder);
    folder.run(&["backup", "init", "repo-2", "--key", "other.key"]).exits(0);
    let before = newest(&folder);
    for (repository, key, code) in [
        ("nobk", "backup.key", "E0883"),
        ("repo", "missing.key", "E0808"),
        ("repo", "other.key", "E0885"),
        ("repo", "repo/repository.sealed", "E0892"),
    ] {
        let refused = folder.run(&["drill", "--json", "--backup", repository, "--key", key]).exits(3).json();
        assert_eq!(refused["error"]["code"], code, "{refused}");
    }
    assert_eq!(newest(&folder), before);
    assert!(folder.run(&["drill", "list", "--json"]).exits(0).lines().is_empty());
}
