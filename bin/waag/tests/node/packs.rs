//! Packs made beside a running node: it records them, and nothing is handed out that it did not record.

use crate::common::{Folder, Ran};
use crate::publishing::{POLICY, serve_at, vkeys, witness_of, witness_store};
use crate::support::{LINES, Node, PATIENCE, key, within};

fn lines(count: u32) -> String {
    let line = |number: u32| {
        format!("{{\"specversion\":\"1.0\",\"id\":\"e{number}\",\"source\":\"/t\",\"type\":\"t.x\"}}\n")
    };
    (0..count).map(line).collect()
}

/// The auditor's program on a pack of a folder, with the key in `ledger.vkey`.
fn auditor(folder: &Folder, pack: &str, more: &[&str]) -> Ran {
    let key = format!("@{}", folder.path("ledger.vkey").display());
    let pack = folder.path(pack).display().to_string();
    let arguments = ["waag-verify", "pack", &pack, "--key", &key];
    let arguments = arguments.iter().chain(more).map(|one| (*one).into());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = waag_verify::run(arguments, &mut std::io::empty(), &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: code.into(), out: text(out), err: text(err) }
}

#[test]
fn a_pack_beside_a_node_is_recorded_by_it_and_stands_under_its_checkpoint() {
    let folder = Folder::with_store();
    let key = key(&folder, &["--role", "producer"]);
    let node = Node::serve(&folder);
    assert_eq!(node.post(&key, LINES, &lines(20)).status, 200);
    folder.write("ledger.vkey", folder.run(&["checkpoint", "--key"]).exits(0).out);
    let export =
        ["evidence", "export", "a.zip", "--type", "t.x", "--reason", "audit", "--as", "desk", "--json"];
    let made = folder.run(&export).exits(0).json();
    assert_eq!(made["entries"], 20);
    let position = made["position"].to_string();
    let event = folder.run(&["read", "--position", &position]).exits(0).json();
    assert_eq!((&event["type"], &event["actor"]), (&"waag.evidence.exported".into(), &"desk".into()));
    let listed = folder.run(&["evidence", "list", "--json"]).exits(0).json();
    assert_eq!((&listed["digest"], &listed["reason"]), (&made["digest"], &"audit".into()));
    assert!(folder.run(&["evidence", "check", "a.zip"]).exits(0).out.starts_with("verified"));
    // Where the node is asked to record what it cannot, nothing is in the place.
    let state = folder.path("waag-data.state/default/writer.sock");
    let aside = folder.path("writer.sock.aside");
    std::fs::rename(&state, &aside).unwrap();
    let refused = folder.run(&["evidence", "export", "b.zip", "--type", "t.x", "--reason", "audit"]).exits(3);
    assert!(refused.err.contains("E08") && !folder.path("b.zip").exists(), "{refused:?}");
    std::fs::rename(&aside, &state).unwrap();
    assert_eq!(folder.run(&["evidence", "list", "--json"]).exits(0).lines().len(), 1);
    assert!(node.terminate().success());
}

#[test]
fn a_pack_stands_under_the_published_checkpoint_with_its_cosignatures() {
    let (witness, witness_keys) = witness_store("notary.example/w");
    let log = Folder::with_store();
    let key = key(&log, &["--role", "producer"]);
    log.write("ledger.vkey", log.run(&["checkpoint", "--key"]).exits(0).out);
    // Its second key is made when it first publishes, and the witness is told both.
    assert!(serve_at(&log, 0, &[]).terminate().success());
    witness.write("logs", vkeys(&log, "log").join("\n"));
    let port = waag_fixtures::port::reserved();
    let url = format!("http://127.0.0.1:{port}/witness");
    log.write("policy", format!("witness notary {} {url}\nquorum notary\n", witness_keys[0]));
    let notary = serve_at(&witness, port, &witness_of("logs", "notary.example/w"));
    let node = serve_at(&log, 0, &POLICY);
    assert_eq!(node.post(&key, LINES, &lines(20)).status, 200);
    let mut tries = 0;
    let pack = within("a pack under a cosigned checkpoint", PATIENCE, || {
        tries += 1;
        let name = format!("pack-{tries}.zip");
        let export = ["evidence", "export", &name, "--type", "t.x", "--reason", "audit"];
        log.run(&export).exits(0);
        let bytes = std::fs::read(log.path(&name)).unwrap();
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        (has("Cosigned by") && has("yes: it is served to everybody")).then_some(name)
    });
    let told = auditor(&log, &pack, &["--witness", &witness_keys[0]]).exits(0).out;
    assert!(told.contains("notary.example/w") && told.contains("entries      20"), "{told}");
    let policy = log.path("policy").display().to_string();
    let told = auditor(&log, &pack, &["--policy", &policy]).exits(0).out;
    assert!(told.contains("notary"), "{told}");
    assert!(node.terminate().success() && notary.terminate().success());
}
