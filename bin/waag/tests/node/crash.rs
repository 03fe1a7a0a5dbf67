//! A node killed with SIGKILL under HTTP load, six times: what was acknowledged is there exactly once.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::common::Folder;
use crate::support::{BATCH, Node, PATIENCE, invoice, key, post, recorded, report, within};

const KILLS: u64 = 6;
/// Acknowledged events of a round after which it is killed.
const ROUND_EVENTS: usize = 300;

#[test]
fn what_was_acknowledged_survives_kill_9_exactly_once() {
    let folder = Folder::with_store();
    let key = key(&folder, &[]);
    let mut all = BTreeSet::new();
    for round in 0..KILLS {
        let mut node = Node::serve(&folder);
        let (listen, acknowledged) = (node.listen, Mutex::new(BTreeSet::new()));
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let (key, acknowledged) = (&key, &acknowledged);
                scope.spawn(move || {
                    for batch in 0.. {
                        let ids: Vec<String> =
                            (0..20).map(|n| format!("{round}-{thread}-{batch}-{n}")).collect();
                        let events: Vec<String> = ids.iter().map(|id| invoice(id, "ingestion", id)).collect();
                        match post(listen, key, BATCH, &format!("[{}]", events.join(","))) {
                            Ok(answer) if answer.status == 200 => acknowledged.lock().unwrap().extend(ids),
                            Ok(answer) => panic!("{answer:?}"),
                            // Killed.
                            Err(_) => return,
                        }
                    }
                });
            }
            within("load", PATIENCE, || (acknowledged.lock().unwrap().len() >= ROUND_EVENTS).then_some(()));
            node.process.kill();
        });
        all.extend(acknowledged.into_inner().unwrap());
    }
    let node = Node::serve(&folder);
    node.caught_up(&key, PATIENCE);
    let counts = recorded(&folder, "/erp");
    let lost: Vec<_> = all.iter().filter(|id| !counts.contains_key(*id)).collect();
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
    assert!(lost.is_empty() && twice.is_empty(), "lost: {lost:?}; not once: {twice:?}");
    assert!(all.len() >= ROUND_EVENTS * usize::try_from(KILLS).unwrap());
    let told = report(&folder);
    assert_eq!(told["events"].as_u64(), Some(counts.len() as u64), "{told}");
    assert_eq!(told["cases"].as_u64(), Some(counts.len() as u64), "{told}");
    folder.run(&["verify"]).exits(0);
    folder.run(&["views", "check"]).exits(0);
    assert!(node.terminate().success());
}
