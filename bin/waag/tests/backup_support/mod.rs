//! Stores that are backed up and restored, through the real program.
#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test fails loudly")]

use serde_json::Value;

use crate::common::{Folder, Ran, events};

/// Where backups go, and their key.
pub(crate) const AT: [&str; 3] = ["repo", "--key", "backup.key"];

/// A store with entries, and an empty repository.
pub(crate) fn ready(entries: u64) -> Folder {
    let folder = Folder::with_store();
    folder.feed(&["append"], events(0..entries).as_bytes()).exits(0);
    folder.run(&[&["backup", "init"], &AT[..]].concat()).exits(0);
    folder
}

pub(crate) fn backup(folder: &Folder) -> Ran {
    folder.run(&[&["backup", "--json"], &AT[..]].concat())
}

pub(crate) fn restore(folder: &Folder, to: &str, more: &[&str]) -> Ran {
    folder.run(&[&["restore", "--json"], &AT[..], &["--to", to], more].concat())
}

/// The code of a refusal.
pub(crate) fn code(ran: &Ran) -> String {
    ran.json()["error"]["code"].as_str().unwrap_or_else(|| panic!("{ran:?}")).to_owned()
}

/// What a store's reader shows.
pub(crate) fn read(folder: &Folder, data: &str) -> Vec<Value> {
    folder.run(&["read", "--json", "--data", data]).exits(0).lines()
}
