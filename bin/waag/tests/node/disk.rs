//! A disk that is nearly full: no more events are taken, all else goes on, and they are taken again once there is room.

use std::fs::File;
use std::path::Path;

use crate::common::{Folder, event};
use crate::support::{Answer, Node, ONE, PATIENCE, ask, invoice, key, within};

/// More mebibytes than any disk has.
const MORE_THAN_ANY: &str = "4294967295";

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
}

fn get(node: &Node, path: &str, key: &str) -> Answer {
    ask(node.listen, "GET", path, &[("x-api-key", key)], "").unwrap()
}

#[test]
fn with_too_little_room_no_events_are_taken_and_all_else_goes_on() {
    let folder = Folder::with_store();
    let key = key(&folder, &[]);
    let node = Node::serve(&folder);
    assert_eq!(node.post(&key, ONE, &invoice("before", "ingestion", "INV-1")).status, 200);
    node.caught_up(&key, PATIENCE);
    let before = node.ledger(&key)["entries"].clone();
    assert!(node.terminate().success());
    let node = Node::serve_with(&folder, &["--disk-free-mib", MORE_THAN_ANY]);
    let refused = node.post(&key, ONE, &invoice("full", "ingestion", "INV-2"));
    assert_eq!(code(&refused), (503, "E0924".to_owned()), "{refused:?}");
    assert!(refused.head.contains("\r\nretry-after: 10\r\n"), "{refused:?}");
    assert_eq!(node.ledger(&key)["entries"], before);
    assert_eq!(code(&get(&node, "/readyz", &key)), (503, "E0924".to_owned()));
    for path in ["/healthz", "/v1/ledger", "/v1/events/0", "/v1/report/invoices"] {
        assert_ne!(get(&node, path, &key).status / 100, 5, "{path}");
    }
    assert!(get(&node, "/metrics", &key).body.contains("\nwaag_disk_low 1\n"));
    assert!(node.page("/").body.contains("Paused, disk nearly full (E0924)"));
    assert!(node.page("/invoice?id=INV-1").body.contains("INV-1"));
    // What Waag itself records finds room.
    crate::support::key(&folder, &[]);
    assert!(node.terminate().success());
    // Nor do commands take events then.
    let said =
        folder.feed(&["append", "--json", "--disk-free-mib", MORE_THAN_ANY], event(1).as_bytes()).exits(3);
    assert_eq!(said.json()["error"]["code"], "E0924", "{said:?}");
    assert_eq!(said.err.matches("MiB").count(), 1, "told once: {said:?}");
    let node = Node::serve(&folder);
    assert_eq!(node.post(&key, ONE, &invoice("full", "ingestion", "INV-2")).status, 200);
    assert!(get(&node, "/metrics", &key).body.contains("\nwaag_disk_low 0\n"));
}

/// Mebibytes that are free there.
fn free_mib(folder: &Path) -> u64 {
    let disk = rustix::fs::statvfs(folder).unwrap();
    disk.f_bavail * disk.f_frsize / (1 << 20)
}

#[test]
fn events_are_taken_again_when_there_is_room_again() {
    let folder = Folder::with_store();
    let key = key(&folder, &[]);
    let free = free_mib(&folder.path("."));
    // Far from both bounds, whatever other tests write meanwhile.
    let node = Node::serve_with(&folder, &["--disk-free-mib", &(free / 4 * 3).to_string()]);
    assert_eq!(node.post(&key, ONE, &invoice("1", "ingestion", "INV-1")).status, 200);
    let (name, fills) = (folder.path("fills"), free * 3 / 8 * (1 << 20));
    let file = File::create(&name).unwrap();
    let filled = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, fills);
    if filled.is_err() || free < 4_096 {
        return eprintln!("skipped: {free} MiB are free, and space that is taken at once: {filled:?}");
    }
    within("a full disk", PATIENCE, || {
        let answer = node.post(&key, ONE, &invoice("1", "ingestion", "INV-1"));
        (code(&answer) == (503, "E0924".to_owned())).then_some(())
    });
    drop(file);
    std::fs::remove_file(&name).unwrap();
    within("room again", PATIENCE, || {
        (node.post(&key, ONE, &invoice("2", "ingestion", "INV-2")).status == 200).then_some(())
    });
    assert_eq!(get(&node, "/readyz", &key).status, 200);
    assert!(node.terminate().success());
}
