//! Backups and drills on a node's schedule: made, told, failing aloud, and due from the records after a restart; and an
//! export beside a node.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::Value;

use crate::common::{Folder, events};
use crate::support::{Node, PATIENCE, ask, within};

fn store() -> Folder {
    let folder = Folder::with_store();
    folder.feed(&["append"], events(0..100).as_bytes()).exits(0);
    folder.run(&["backup", "init", "repo", "--key", "backup.key"]).exits(0);
    folder
}

fn serve(folder: &Folder, backup: &str, drill: &str) -> Node {
    let schedule = ["--backup-to", "repo", "--backup-key", "backup.key"];
    Node::serve_with(folder, &[&schedule[..], &["--backup-every", backup, "--drill-every", drill]].concat())
}

fn runs(folder: &Folder) -> usize {
    folder.run(&["backup", "list", "repo", "--key", "backup.key", "--json"]).exits(0).lines().len()
}

fn drills(folder: &Folder) -> Vec<Value> {
    folder.run(&["drill", "list", "--json"]).exits(0).lines()
}

/// The value of a figure, where it is told.
fn figure(node: &Node, name: &str) -> Option<f64> {
    let page = ask(node.listen, "GET", "/metrics", &[], "").unwrap().body;
    let line = page
        .lines()
        .find(|line| line.starts_with(&format!("{name} ")) || line.starts_with(&format!("{name}_total ")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
}

#[test]
fn a_node_backs_up_and_drills_by_itself_tells_failures_and_forgets_nothing_when_it_restarts() {
    let folder = store();
    let node = serve(&folder, "1s", "1s");
    within("two backups and a good drill", PATIENCE, || {
        let good = drills(&folder).iter().any(|drill| drill["ok"] == true);
        (good && runs(&folder) >= 2).then_some(())
    });
    within("figures", PATIENCE, || {
        let ages = ["waag_backup_age_seconds", "waag_drill_age_seconds"].map(|name| figure(&node, name));
        ages.iter().all(|age| age.is_some_and(|age| age < 30.0)).then_some(())
    });
    assert_eq!(figure(&node, "waag_backup_failing"), Some(0.0));
    // What it cannot read it cannot do.
    std::fs::set_permissions(folder.path("backup.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    within("a failure that is told", PATIENCE, || {
        (figure(&node, "waag_backup_failing")? > 0.0).then_some(())
    });
    assert!(figure(&node, "waag_upkeep_failures").unwrap() >= 1.0);
    std::fs::set_permissions(folder.path("backup.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    within("a backup again", PATIENCE, || (figure(&node, "waag_backup_failing")? == 0.0).then_some(()));
    assert!(node.terminate().success());
    // A drill that was under way at the end may still be writing; the next start sweeps it.
    let err = std::fs::read_to_string(folder.path("serve.err")).unwrap();
    assert!(err.contains("the backup failed"), "{err}");

    // Nothing is due for an hour, and a restart does not think otherwise.
    let before = (runs(&folder), drills(&folder).len());
    let node = serve(&folder, "1h", "1h");
    within("the records are known", PATIENCE, || figure(&node, "waag_backup_age_seconds"));
    within("nothing is left of drills", PATIENCE, || {
        (!folder.path("waag-data.drill").exists()).then_some(())
    });
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!((runs(&folder), drills(&folder).len()), before);
    assert!(node.terminate().success());
    folder.run(&["verify"]).exits(0);
}

#[test]
fn a_repository_that_cannot_be_opened_is_told_at_once_and_a_drill_by_another_hand_is_no_failure() {
    let folder = store();
    folder.run(&["backup", "init", "other", "--key", "other.key"]).exits(0);
    let to = ["--backup-to", "repo", "--backup-key", "other.key"];
    let node =
        Node::serve_with(&folder, &[&to[..], &["--backup-every", "1h", "--drill-every", "1h"]].concat());
    within("both are told as failing", PATIENCE, || {
        let failing = ["waag_backup_failing", "waag_drill_failing"].map(|name| figure(&node, name));
        (failing == [Some(1.0); 2]).then_some(())
    });
    assert_eq!(figure(&node, "waag_upkeep_failures"), Some(1.0));
    // It serves all the same.
    folder.run(&["checkpoint"]).exits(0);
    assert!(node.terminate().success());
    let err = std::fs::read_to_string(folder.path("serve.err")).unwrap();
    assert!(err.contains("E0885") && err.contains("serves without backups"), "{err}");

    folder.run(&["backup", "repo", "--key", "backup.key"]).exits(0);
    let scratch = folder.path("waag-data.drill/default");
    std::fs::create_dir_all(&scratch).unwrap();
    let files = waag_stdx::files::DiskFiles::new(&scratch);
    let held = waag_stdx::files::Files::lock(&files, "drill.lock").unwrap();
    let node = serve(&folder, "1h", "1s");
    within("the records are known", PATIENCE, || figure(&node, "waag_backup_age_seconds"));
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!((figure(&node, "waag_drill_failing"), drills(&folder).len()), (Some(0.0), 0));
    drop(held);
    within("a drill", PATIENCE, || (!drills(&folder).is_empty()).then_some(()));
    assert!(node.terminate().success());
    let err = std::fs::read_to_string(folder.path("serve.err")).unwrap();
    assert!(!err.contains("failed"), "{err}");
}

#[test]
fn an_export_and_a_drill_beside_a_node_are_recorded_by_it() {
    let folder = store();
    let node = Node::serve(&folder);
    let done = folder.run(&["export", "--all", "out", "--keys", "why", "--json"]).exits(0).json();
    folder.run(&["backup", "repo", "--key", "backup.key"]).exits(0);
    let drilled = folder.run(&["drill", "--backup", "repo", "--key", "backup.key", "--json"]).exits(0).json();
    for (position, kind) in
        [(&done["position"], "waag.export.done"), (&drilled["position"], "waag.drill.done")]
    {
        let position = position.as_u64().unwrap().to_string();
        assert_eq!(folder.run(&["read", "--position", &position]).exits(0).json()["type"], kind);
    }
    assert!(node.terminate().success());
    folder.run(&["export", "--check", "out"]).exits(0);
    folder.run(&["rebuild", "out", "--to", "copy"]).exits(0);
    folder.run(&["verify", "--deep", "--data", "copy"]).exits(0);
}
