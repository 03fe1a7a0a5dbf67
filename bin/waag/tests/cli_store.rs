//! Making stores, verifying them, and every way to be wrong about where they are, through the real program.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails loudly")]

mod common;

use common::{Folder, event, events};
use serde_json::Value;

#[test]
fn a_second_init_says_so_and_changes_nothing() {
    let folder = Folder::new();
    let first = folder.run(&["init", "--json", "--origin", "ledger.example"]).exits(0).json();
    assert_eq!(first["created"], true);
    let origin = first["origin"].as_str().unwrap();
    assert!(origin.starts_with("ledger.example/default/"), "{origin}");
    assert!(first["keys"][0].as_str().unwrap().starts_with(&format!("{origin}+")));
    let before = folder.files();
    let second = folder.run(&["init", "--json"]).exits(0).json();
    assert_eq!((&second["created"], &second["origin"]), (&false.into(), &first["origin"]));
    assert!(folder.files() == before);
    for bad in ["with space", "plus+sign", ""] {
        let refused = folder.run(&["init", "--json", "--tenant", "other", "--origin", bad]).exits(2);
        assert!(refused.json()["error"]["code"].as_str().unwrap().starts_with("E0"), "{bad}");
    }
    assert!(folder.files() == before, "a refused name leaves nothing behind");
}

#[test]
fn a_wrong_place_or_tenant_is_named_and_nothing_is_made() {
    let folder = Folder::new();
    let input = event(0);
    let feed =
        |arguments: &[&str]| folder.feed(&[arguments, &["append", "--json"]].concat(), input.as_bytes());
    let missing = feed(&[]).exits(3);
    assert_eq!(missing.json()["error"]["code"], "E0801");
    assert!(
        missing.err.contains("`waag init` makes one") && missing.err.contains("hint: waag explain E0801")
    );
    assert!(folder.files().is_empty(), "nothing was made");
    folder.run(&["init"]).exits(0);
    assert_eq!(feed(&["--tenant", "other"]).exits(3).json()["error"]["code"], "E0802");
    assert_eq!(feed(&["--tenant", "../default"]).exits(2).json()["error"]["code"], "E0120");
    assert_eq!(feed(&["--state", "waag-data/state"]).exits(2).json()["error"]["code"], "E0805");
    assert_eq!(feed(&["--state", "elsewhere"]).exits(3).json()["error"]["code"], "E0803");
    assert_eq!(feed(&["--as", ""]).exits(2).json()["error"]["code"], "E0120");
    folder.run(&["init", "--tenant", "other"]).exits(0);
    // Two tenants have nothing in common.
    assert_eq!(feed(&["--tenant", "other"]).exits(0).json()["position"], 0);
    assert_eq!(feed(&[]).exits(0).json()["position"], 0);
    // The state of one with the data of the other is no store.
    std::fs::rename(folder.path("waag-data/default"), folder.path("kept")).unwrap();
    std::fs::rename(folder.path("waag-data/other"), folder.path("waag-data/default")).unwrap();
    assert_eq!(feed(&[]).exits(3).code, 3);
    let report = folder.run(&["verify", "--json"]).exits(1).json();
    assert_eq!(report["ok"], false, "{report}");
}

#[test]
fn nothing_missing_or_cut_is_verified() {
    let folder = Folder::new();
    let verify = || folder.run(&["verify", "--json"]).exits(1).json();
    // Another folder is meant: that is no alarm.
    assert_eq!(folder.run(&["verify", "--json"]).exits(3).json()["error"]["code"], "E0801");
    folder.run(&["init"]).exits(0);
    assert_eq!(
        folder.run(&["verify", "--tenant", "other", "--json"]).exits(3).json()["error"]["code"],
        "E0802"
    );
    // A ledger that nothing was recorded in is whole, and its guard is signed.
    let empty = folder.run(&["verify", "--json"]).exits(0).json();
    assert_eq!((&empty["ok"], &empty["entries"]), (&true.into(), &0.into()), "{empty}");
    assert!(folder.run(&["verify"]).exits(0).out.contains("no entry yet"));
    let guard = std::fs::read(folder.path("waag-data.state/default/guard")).unwrap();
    std::fs::remove_file(folder.path("waag-data.state/default/state.db")).unwrap();
    let told = folder.run(&["verify"]).exits(1).out;
    assert!(told.contains("there is no state here") && !told.contains("record :"), "{told}");
    assert!(!told.contains("offset 0") && !told.contains("record  "), "{told}");
    std::fs::remove_dir_all(folder.path("waag-data")).unwrap();
    std::fs::remove_dir_all(folder.path("waag-data.state")).unwrap();
    folder.run(&["init"]).exits(0);
    folder.write("waag-data.state/default/guard", guard);
    assert_eq!(verify()["ok"], false, "another empty ledger's guard");
    std::fs::remove_dir_all(folder.path("waag-data")).unwrap();
    std::fs::remove_dir_all(folder.path("waag-data.state")).unwrap();
    folder.run(&["init"]).exits(0);
    folder.feed(&["append"], events(0..10).as_bytes()).exits(0);
    let good = folder.run(&["verify", "--json"]).exits(0).json();
    assert_eq!((&good["ok"], &good["entries"]), (&true.into(), &10.into()));
    let root = good["root"].as_str().unwrap();
    let checkpoint = folder.run(&["checkpoint", "--json"]).exits(0).json();
    assert_eq!(checkpoint["root"].as_str().unwrap(), root);
    for name in [
        "waag-data/default/log/00000000000000000000.seg",
        "waag-data.state/default/guard",
        "waag-data.state/default/vault.key",
    ] {
        let path = folder.path(name);
        let whole = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(verify()["ok"], false, "{name} missing");
        for cut in [0, 1, 4_095] {
            folder.write(name, &whole[..cut.min(whole.len() - 1)]);
            assert_eq!(verify()["ok"], false, "{name} cut to {cut}");
        }
        folder.write(name, &whole);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    folder.run(&["verify"]).exits(0);
}

/// Flips a byte, verifies, and puts it back; `None` where the store is still verified.
fn flip(folder: &Folder, name: &str, at: usize) -> Option<Value> {
    let path = folder.path(name);
    let whole = std::fs::read(&path).unwrap();
    let mut changed = whole.clone();
    changed[at] ^= 0x10;
    std::fs::write(&path, &changed).unwrap();
    let ran = folder.run(&["verify", "--json", "--read-only"]);
    std::fs::write(&path, &whole).unwrap();
    match ran.code {
        0 => None,
        1 => Some(ran.json()),
        code => panic!("exit {code}: {ran:?}"),
    }
}

#[test]
fn a_flipped_byte_is_found_with_its_file_and_offset() {
    let folder = Folder::with_store();
    folder.feed(&["append"], events(0..20).as_bytes()).exits(0);
    let long = event(99).replace("1.50", &format!("\"{}\"", "z".repeat(70_000)));
    folder.feed(&["append"], long.as_bytes()).exits(0);
    let log = "waag-data/default/log/00000000000000000000.seg";
    // Magic, header, entry, trailer of the first frame; zeros behind the last.
    for at in [0, 40, 700, 4_000] {
        let report = flip(&folder, log, at).unwrap_or_else(|| panic!("byte {at} of the log"));
        let fault = &report["faults"][0];
        assert!(fault["file"].as_str().unwrap().ends_with("log/00000000000000000000.seg"), "{fault}");
        assert_eq!(fault["offset"].as_u64().unwrap() / 4_096, at as u64 / 4_096, "{fault}");
        assert_eq!(fault["position"], 0, "{fault}");
    }
    for (name, offsets) in [
        ("waag-data.state/default/guard", &[0, 100, 300, 8_191, 8_192, 16_383][..]),
        ("waag-data.state/default/vault.key", &[0, 9, 11, 30, 60, 90][..]),
    ] {
        for at in offsets {
            let report = flip(&folder, name, *at).unwrap_or_else(|| panic!("byte {at} of {name}"));
            let fault = &report["faults"][0];
            assert!(fault["file"].as_str().unwrap().ends_with(name), "{fault}");
            assert!(fault["offset"].is_u64(), "{fault}");
        }
    }
    let object =
        folder.files().into_iter().find(|(path, _)| path.to_string_lossy().contains("objects")).unwrap().0;
    let object = object.strip_prefix(folder.path("")).unwrap().to_str().unwrap().to_owned();
    for at in [0, 100, 69_000] {
        let report = flip(&folder, &object, at).unwrap_or_else(|| panic!("byte {at} of the object"));
        assert!(report["faults"][0]["file"].as_str().unwrap().ends_with(&object), "{report}");
    }
    // A record of the state: found by what is stored, wherever SQLite has put it.
    let state = "waag-data.state/default/state.db";
    let bytes = std::fs::read(folder.path(state)).unwrap();
    let tenant = bytes.windows(7).position(|window| window == b"default").unwrap();
    let report = flip(&folder, state, tenant).unwrap();
    let fault = &report["faults"][0];
    assert!(fault["file"].as_str().unwrap().ends_with("state.db"), "{fault}");
    assert!(report["faults"].as_array().unwrap().iter().any(|fault| fault["table"].is_string()), "{report}");
    folder.run(&["verify"]).exits(0);
}

#[test]
fn wrong_derived_files_are_no_fault_and_are_made_again() {
    let folder = Folder::with_store();
    folder.feed(&["append"], events(0..100).as_bytes()).exits(0);
    let hashes = folder.path("waag-data/default/derived/hashes");
    let right = std::fs::read(&hashes).unwrap();
    for at in [0, 40, 3_000, right.len() - 1] {
        let mut wrong = right.clone();
        wrong[at] ^= 1;
        std::fs::write(&hashes, &wrong).unwrap();
        // A proof made from wrong hashes is never handed out: it is made from the log.
        folder.run(&["prove", "7"]).exits(0);
        let report = folder.run(&["verify", "--json", "--read-only"]).exits(0).json();
        assert_eq!(report["derived"][0]["rebuilt"], false, "{report}");
        assert_eq!(std::fs::read(&hashes).unwrap(), wrong);
        let report = folder.run(&["verify", "--json"]).exits(0).json();
        assert_eq!(
            (&report["ok"], &report["derived"][0]["rebuilt"]),
            (&true.into(), &true.into()),
            "byte {at}"
        );
        assert_eq!(std::fs::read(&hashes).unwrap(), right);
        assert_eq!(folder.run(&["verify", "--json"]).exits(0).json()["derived"], Value::Array(vec![]));
    }
    std::fs::remove_dir_all(folder.path("waag-data/default/derived")).unwrap();
    folder.run(&["verify"]).exits(0);
    folder.feed(&["append"], events(0..101).as_bytes()).exits(0);
    assert_eq!(folder.run(&["verify", "--json"]).exits(0).json()["derived"], Value::Array(vec![]));
}

#[test]
fn bytes_beyond_the_guard_are_residue() {
    let folder = Folder::with_store();
    folder.feed(&["append"], events(0..5).as_bytes()).exits(0);
    let log = folder.path("waag-data/default/log/00000000000000000000.seg");
    let mut bytes = std::fs::read(&log).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let beyond = (end / 4_096 + 1) * 4_096;
    bytes[beyond + 5] = 7;
    std::fs::write(&log, &bytes).unwrap();
    let report = folder.run(&["verify", "--json"]).exits(0).json();
    let residue = &report["residue"]["bytes"][0];
    assert_eq!(residue["offset"], beyond as u64, "{report}");
    assert!(residue["file"].as_str().unwrap().ends_with("log/00000000000000000000.seg"));
}

#[test]
fn what_keeps_a_store_from_being_written_is_no_residue() {
    let folder = Folder::with_store();
    folder.feed(&["append"], events(0..5).as_bytes()).exits(0);
    let log = "waag-data/default/log";
    let foreign = format!("{log}/00000000000000000999.seg");
    folder.write(&foreign, b"");
    assert_eq!(
        folder.feed(&["append", "--json"], events(5..6).as_bytes()).exits(3).json()["error"]["code"],
        "E0461"
    );
    let report = folder.run(&["verify", "--json"]).exits(1).json();
    assert_eq!(report["faults"][0]["code"], "E0461", "{report}");
    assert!(report["faults"][0]["file"].as_str().unwrap().ends_with("999.seg"), "{report}");
    // Of a copy of the whole segment every frame is told in one line.
    for n in 5..12 {
        std::fs::remove_file(folder.path(&foreign)).unwrap();
        folder.feed(&["append"], events(n..n + 1).as_bytes()).exits(0);
        std::fs::copy(folder.path(&format!("{log}/00000000000000000000.seg")), folder.path(&foreign))
            .unwrap();
    }
    let told = folder.run(&["verify"]).exits(1).out;
    assert!(told.contains("more of this kind") && told.lines().count() < 8, "{told}");
    std::fs::remove_file(folder.path(&foreign)).unwrap();
    folder.run(&["verify"]).exits(0);
}

#[test]
fn a_state_that_others_can_write_is_not_believed_and_the_views_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::with_store();
    folder.feed(&["append"], events(0..5).as_bytes()).exits(0);
    let set = |path: &str, mode| {
        std::fs::set_permissions(folder.path(path), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let state = "waag-data.state/default";
    for (path, wrong, right) in
        [(state.to_owned(), 0o777, 0o700), (format!("{state}/state.db"), 0o666, 0o600)]
    {
        set(&path, wrong);
        let refused = folder.feed(&["append", "--json"], events(5..6).as_bytes()).exits(3).json();
        assert_eq!(refused["error"]["code"], "E0828", "{refused}");
        let report = folder.run(&["verify", "--json"]).exits(1).json();
        assert_eq!(report["faults"][0]["code"], "E0828", "{report}");
        folder.run(&["read"]).exits(0);
        // SQLite makes the files beside the database as the database is.
        for beside in ["state.db-wal", "state.db-shm"] {
            let beside = format!("{state}/{beside}");
            folder.path(&beside).exists().then(|| set(&beside, 0o600));
        }
        set(&path, right);
        folder.run(&["verify"]).exits(0);
    }
    set("waag-data.state", 0o777);
    assert!(
        folder.run(&["verify"]).exits(0).out.contains("put another state folder in its place (mode 0777)")
    );
    set("waag-data.state", 0o700);
    // Views that an earlier program made are taken from others as well.
    folder.run(&["views", "rebuild"]).exits(0);
    let views = || {
        let files = std::fs::read_dir(folder.path("waag-data/default/views")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().permissions().mode() & 0o777).collect::<Vec<_>>()
    };
    assert!(!views().is_empty() && views().iter().all(|mode| *mode == 0o600), "{:?}", views());
}

#[test]
fn the_examples_of_every_help_text_work() {
    let folder = Folder::with_store();
    folder.write("events.jsonl", events(0..150));
    folder.write(
        "invoice.json",
        r#"{"properties":{"buyer":{"x-classification":"personal","x-data-subject":"/subject"}}}"#,
    );
    folder.write("passphrase.txt", "correct horse\n");
    folder.write("synthetic.jsonl", events(0..200));
    folder.write("rule.json", r#"{"type": [{"prefix": "invoice."}]}"#);
    folder.write("event.json", r#"{"type": "invoice.posted"}"#);
    folder.run(&["append", "events.jsonl"]).exits(0);
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_waag"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let has_pages = !folder.run(&["explain"]).exits(0).out.is_empty();
    let mut done = 0;
    for command in [
        &[][..],
        &["init"],
        &["append"],
        &["read"],
        &["prove"],
        &["verify"],
        &["checkpoint"],
        &["keys"],
        &["keys", "list"],
        &["keys", "tombstones"],
        &["keys", "rotate"],
        &["keys", "retire"],
        &["keys", "destroy"],
        &["keys", "passphrase"],
        &["schema"],
        &["schema", "add"],
        &["schema", "list"],
        &["pattern"],
        &["pattern", "test"],
        &["backup"],
        &["backup", "init"],
        &["backup", "list"],
        &["backup", "check"],
        &["backup", "prune"],
        &["restore"],
        &["promote"],
        &["tour"],
        &["explain"],
        &["completions"],
    ] {
        let help = folder.run(&[command, &["--help"]].concat()).exits(0).out;
        let (_, examples) =
            help.split_once("Example:").unwrap_or_else(|| panic!("{command:?} has no example"));
        for line in examples.lines().map(str::trim).filter(|line| line.starts_with("waag ")) {
            if line.contains("explain") && !has_pages {
                continue;
            }
            let ran = std::process::Command::new("sh")
                .args(["-c", line])
                .env("PATH", &path)
                .env_remove("WAAG_PASSPHRASE")
                .current_dir(folder.path(""))
                .stdin(std::process::Stdio::null())
                .output()
                .unwrap();
            assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
            done += 1;
        }
    }
    assert!(done >= 47, "{done} examples");
    folder.run(&["verify", "--deep"]).exits(0);
}

#[test]
fn explain_knows_every_page_and_says_where_there_is_none() {
    let folder = Folder::new();
    let pages = folder.run(&["explain", "--json"]).exits(0).lines();
    for page in &pages {
        let code = page["code"].as_str().unwrap();
        let told = folder.run(&["explain", &code.to_lowercase()]).exits(0).out;
        assert!(told.starts_with(&format!("# {code}: ")));
    }
    let unknown = folder.run(&["explain", "E9999", "--json"]).exits(2);
    assert_eq!(unknown.json()["error"]["code"], "E0703");
}

#[test]
fn a_passphrase_opens_the_vault_and_its_absence_is_said() {
    let folder = Folder::new();
    folder.write("pass", "correct horse\n");
    folder.write("wrong", "battery staple\n");
    folder.write("none", "\n");
    folder.run(&["init", "--passphrase-file", "pass"]).exits(0);
    let input = event(0);
    let feed =
        |arguments: &[&str]| folder.feed(&[&["append", "--json"], arguments].concat(), input.as_bytes());
    assert_eq!(feed(&[]).exits(2).json()["error"]["code"], "E0527");
    assert_eq!(feed(&["--passphrase-file", "wrong"]).exits(2).json()["error"]["code"], "E0527");
    // An endless file is too long for a passphrase, and no reason to read for ever.
    let endless = feed(&["--passphrase-file", "/dev/zero"]).exits(2).json();
    assert_eq!(endless["error"]["reason"], "the vault's passphrase must have 1 to 1,024 bytes");
    assert_eq!(feed(&["--passphrase-file", "none"]).exits(2).json()["error"]["code"], "E0707");
    assert_eq!(folder.run(&["verify"]).exits(2).code, 2);
    feed(&["--passphrase-file", "pass"]).exits(0);
    let mut command = folder.command(&["verify"]);
    assert!(command.env("WAAG_PASSPHRASE", "correct horse").status().unwrap().success());
    folder.run(&["keys", "passphrase", "--passphrase-file", "pass", "--remove"]).exits(0);
    folder.run(&["verify"]).exits(0);
}

/// A limit on the size of files stands for a full disk: reading makes a file beside the state, and cannot.
#[test]
fn a_reader_that_finds_no_room_says_so() {
    let folder = Folder::with_store();
    folder.feed(&["append"], event(0).as_bytes()).exits(0);
    let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" read --json";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_waag")]).current_dir(folder.path("."));
    let output = shell.env_remove("WAAG_PASSPHRASE").output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("E0510") && told.contains("may be full"), "{told}");
    folder.run(&["read"]).exits(0);
}
