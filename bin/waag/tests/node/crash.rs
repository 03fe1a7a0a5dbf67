//! A node killed with SIGKILL under HTTP load: what was acknowledged is there exactly once, and an open page catches up.

use std::collections::BTreeSet;
use std::sync::Mutex;

use waag_chromium::Chromium;

use crate::common::Folder;
use crate::support::{BATCH, Node, PATIENCE, invoice, key, post, recorded, report, within};

const KILLS: u64 = 6;
/// Acknowledged events of a round after which it is killed.
const ROUND_EVENTS: usize = 300;

/// Kills a node while batches come in; the ids that it acknowledged, each of which begins with the round's number.
fn killed_under_load(node: &mut Node, key: &str, round: u64) -> BTreeSet<String> {
    let (listen, acknowledged) = (node.listen, Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let acknowledged = &acknowledged;
            scope.spawn(move || {
                for batch in 0.. {
                    let ids: Vec<String> = (0..20).map(|n| format!("{round}-{thread}-{batch}-{n}")).collect();
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
    acknowledged.into_inner().unwrap()
}

#[test]
fn what_was_acknowledged_survives_kill_9_exactly_once() {
    let folder = Folder::with_store();
    let key = key(&folder, &[]);
    let mut all = BTreeSet::new();
    for round in 0..KILLS {
        let mut node = Node::serve(&folder);
        all.extend(killed_under_load(&mut node, &key, round));
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

#[test]
fn needs_chromium_an_open_page_catches_up_by_itself_after_kill_9() {
    const LIVE: &str = "document.getElementById('fresh').classList.contains('on')";
    const LOST: &str = "document.querySelector('.fresh.lost')?.innerText.includes('Node not reached')";
    let folder = Folder::with_store();
    let key = key(&folder, &[]);
    let mut node = Node::serve(&folder);
    assert_eq!(node.post(&key, BATCH, &format!("[{}]", invoice("0", "ingestion", "0"))).status, 200);
    node.caught_up(&key, PATIENCE);
    let mut browser = Chromium::start();
    browser.open(&format!("http://{}/", node.pages));
    browser.until(LIVE);
    // A word that a page opened anew would not know.
    browser.value("window.opened = 'once'");
    let acknowledged = killed_under_load(&mut node, &key, 1);
    browser.until(LOST);
    let node = node.again(&folder);
    node.caught_up(&key, PATIENCE);
    browser.until_within(20, LIVE);
    // The first tile tells the invoices that are in the first stage, all of which were sent there.
    let counts = recorded(&folder, "/erp");
    assert!(acknowledged.iter().all(|id| counts.contains_key(id)));
    let shown = "document.querySelector('.tile .big').innerText.replace(/[^0-9]/g, '')";
    browser.until(&format!("{shown} === '{}'", counts.len()));
    assert_eq!(browser.value("window.opened"), "once", "it is the page that was open before");
    assert!(node.terminate().success());
    browser.until(LOST);
}
