//! The program in unpractised hands: every help text, wrong usage, and whoever stops reading its answer.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod common;

use std::process::{Command, Stdio};

use common::{Folder, Ran, events};

/// Every command as it is typed, those above others included.
const COMMANDS: [&[&str]; 108] = [
    &[],
    &["init"],
    &["append"],
    &["read"],
    &["prove"],
    &["verify"],
    &["checkpoint"],
    &["evidence"],
    &["evidence", "export"],
    &["evidence", "list"],
    &["evidence", "check"],
    &["keys"],
    &["keys", "list"],
    &["keys", "tombstones"],
    &["keys", "rotate"],
    &["keys", "retire"],
    &["keys", "destroy"],
    &["keys", "passphrase"],
    &["schema"],
    &["schema", "shipped"],
    &["schema", "add"],
    &["schema", "list"],
    &["serve"],
    &["import"],
    &["report"],
    &["report", "invoices"],
    &["report", "list"],
    &["report", "invoice"],
    &["report", "figures"],
    &["report", "vendors"],
    &["report", "times"],
    &["report", "series"],
    &["report", "cash"],
    &["rules"],
    &["rules", "show"],
    &["rules", "set"],
    &["rules", "reset"],
    &["views"],
    &["views", "status"],
    &["views", "rebuild"],
    &["views", "check"],
    &["key"],
    &["key", "create"],
    &["key", "list"],
    &["key", "withdraw"],
    &["plan"],
    &["plan", "set"],
    &["plan", "list"],
    &["plan", "show"],
    &["plan", "assign"],
    &["plan", "remove"],
    &["plan", "node"],
    &["pattern"],
    &["pattern", "test"],
    &["subscription"],
    &["subscription", "create"],
    &["subscription", "list"],
    &["subscription", "show"],
    &["subscription", "change"],
    &["subscription", "pause"],
    &["subscription", "resume"],
    &["subscription", "rotate-secret"],
    &["subscription", "remove"],
    &["dead-letter"],
    &["dead-letter", "list"],
    &["dead-letter", "show"],
    &["dead-letter", "redrive"],
    &["dead-letter", "discard"],
    &["dead-letter", "jobs"],
    &["dead-letter", "cancel"],
    &["replay"],
    &["pull"],
    &["bridge"],
    &["bridge", "create"],
    &["bridge", "list"],
    &["bridge", "show"],
    &["bridge", "pause"],
    &["bridge", "resume"],
    &["bridge", "accept-reset"],
    &["bridge", "remove"],
    &["log"],
    &["log", "show"],
    &["log", "keys"],
    &["log", "export"],
    &["subject"],
    &["subject", "report"],
    &["subject", "erase"],
    &["subject", "restrict"],
    &["subject", "unrestrict"],
    &["subject", "expire"],
    &["subject", "list"],
    &["subject", "retention"],
    &["backup"],
    &["backup", "init"],
    &["backup", "list"],
    &["backup", "check"],
    &["backup", "prune"],
    &["restore"],
    &["promote"],
    &["drill"],
    &["drill", "list"],
    &["export"],
    &["rebuild"],
    &["demo"],
    &["tour"],
    &["explain"],
    &["completions"],
    &["help"],
];

/// Neither a panic nor a broken sentence reached the terminal.
fn behaves(ran: &Ran) {
    assert!(!ran.err.contains("panicked") && !ran.err.contains("RUST_BACKTRACE"), "{ran:?}");
    assert!((0..=3).contains(&ran.code), "{ran:?}");
}

#[test]
fn every_help_text_has_an_example_and_names_every_command_below() {
    let folder = Folder::new();
    for command in COMMANDS.into_iter().filter(|command| *command != ["help"]) {
        let help = folder.run(&[command, &["--help"]].concat()).exits(0);
        assert!(help.err.is_empty() && help.out.contains("Usage: waag"), "{help:?}");
        let (_, examples) = help.out.split_once("Example:").unwrap_or_else(|| panic!("{command:?}"));
        let typed = command.iter().all(|word| examples.contains(word));
        assert!(typed && examples.contains("  waag "), "{command:?}: {examples}");
        // What the help lists can be asked for help in turn, so that no command is forgotten above.
        let listed = help.out.split_once("Commands:\n").map_or("", |(_, rest)| rest);
        let is_name = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
        for line in listed.lines().take_while(|line| !line.trim().is_empty()).filter(is_name) {
            let name = line.split_whitespace().next().unwrap();
            let below = [command, &[name][..]].concat();
            assert!(name == "help" || COMMANDS.contains(&below.as_slice()), "{below:?} is not in this test");
        }
        assert_eq!(folder.run(&[&["help"], command].concat()).exits(0).out, help.out, "{command:?}");
    }
    assert!(folder.files().is_empty(), "help makes nothing");
}

#[test]
fn every_example_is_a_command_line_that_the_program_takes() {
    let folder = Folder::new();
    let taken = |line: &str| {
        let program = env!("CARGO_BIN_EXE_waag");
        let rest = line.trim().strip_prefix("waag ").unwrap();
        // Asked for its help behind everything else, a command is parsed and not run: some would not end by themselves.
        let line = format!("{program} {rest} --help");
        Command::new("sh").args(["-c", &line]).current_dir(folder.path("")).output().unwrap().status.code()
    };
    let mut examples = 0;
    for command in COMMANDS.into_iter().filter(|command| *command != ["help"]) {
        let help = folder.run(&[command, &["--help"]].concat()).exits(0).out;
        let (_, lines) = help.split_once("Example:").unwrap();
        for line in lines.lines().filter(|line| line.starts_with("  waag ") && !line.contains(['|', '>'])) {
            assert_eq!(taken(line), Some(0), "{command:?}: {line}");
            examples += 1;
        }
    }
    assert!(examples >= COMMANDS.len(), "{examples}");
    for wrong in ["waag serve --nonsense", "waag demo --rate x", "waag key create --days 0"] {
        assert_eq!(taken(wrong), Some(2), "{wrong}");
    }
}

/// Command lines that are wrong; the store they are tried on has three events.
const WRONG: [&[&str]; 74] = [
    &[],
    &["nonsense"],
    &["--nonsense"],
    &["keys"],
    &["keys", "nonsense"],
    &["keys", "rotate"],
    &["keys", "rotate", "nonsense"],
    &["keys", "rotate", "tenant", "--person", "x"],
    &["keys", "retire"],
    &["keys", "retire", "-1"],
    &["keys", "retire", "99999999999"],
    &["keys", "destroy"],
    &["keys", "destroy", "--person", "x"],
    &["keys", "destroy", "--person", "x", "--reason", " "],
    &["keys", "rotate", "signing"],
    &["keys", "retire", "0"],
    &["keys", "passphrase"],
    &["keys", "passphrase", "--remove"],
    &["keys", "passphrase", "--remove", "--new", "schema.json"],
    &["read", "--reveal", "why"],
    &["read", "--everything"],
    &["evidence", "export", "x.zip", "--reason", "audit 7"],
    &["evidence", "export", "x.zip", "--reason", "audit 7", "--everything", "--positions", "0"],
    &["keys", "rotate", "data", "--person", ""],
    &["keys", "rotate", "data", "--class", ""],
    &["keys", "rotate", "data", "--class", "a-class-name-of-more-than-32-bytes"],
    &["schema"],
    &["schema", "add"],
    &["schema", "add", "--type", "t"],
    &["prove"],
    &["prove", "x"],
    &["prove", "99"],
    &["prove", "0", "--disclose", "8"],
    &["prove", "0", "--reason", "r"],
    &["prove", "0", "--disclose-to", "out"],
    &["read", "--from", "x"],
    &["read", "--from", "99"],
    &["read", "--position", "3"],
    &["read", "--position", "1", "--count", "2"],
    &["read", "--reveal", ""],
    &["append", "--batch", "0"],
    &["append", "--batch", "99999"],
    &["append", "--in-flight", "0"],
    &["explain", "E9999"],
    &["explain", "nonsense"],
    &["completions"],
    &["completions", "nonsense"],
    &["tour", "--folder", "waag-data"],
    &["tour", "--state", "keys"],
    &["demo", "--data", "waag-data"],
    &["demo", "--tenant", "acme"],
    &["demo", "--invoices", "1"],
    &["demo", "--rate", "99999"],
    &["demo", "--listen", "nonsense"],
    &["serve", "--listen", "8080"],
    &["serve", "--certificate", "waag.crt"],
    &["serve", "extra"],
    &["import"],
    &["import", "log"],
    &["report"],
    &["report", "nonsense"],
    &["views"],
    &["views", "nonsense"],
    &["key"],
    &["key", "create", "--days", "0"],
    &["key", "create", "--role", "owner"],
    &["key", "create", "--holder", ""],
    &["key", "withdraw"],
    &["key", "withdraw", "0f3a9c0d1e2b4a57"],
    &["init", "extra"],
    &["checkpoint", "extra"],
    &["verify", "extra"],
    &["--tenant", "", "checkpoint"],
    &["--data", "", "checkpoint"],
];

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_right() {
    let folder = Folder::with_store();
    folder.feed(&["append"], events(0..3).as_bytes()).exits(0);
    let before = folder.run(&["checkpoint"]).exits(0).out;
    for wrong in WRONG {
        let ran = folder.run(wrong);
        behaves(&ran);
        assert_eq!(ran.code, 2, "{wrong:?}: {ran:?}");
        assert!(ran.out.is_empty() && ran.err.starts_with("error E"), "{wrong:?}: {ran:?}");
        let as_json = folder.run(&[wrong, &["--json"]].concat()).exits(2);
        let code = as_json.json()["error"]["code"].as_str().unwrap().to_owned();
        assert!(ran.err.starts_with(&format!("error {code}: ")), "{wrong:?}: {ran:?}");
        folder.run(&["explain", &code]).exits(0);
    }
    // Wrong only where people read the answer.
    for wrong in [&["prove", "0", "--disclose", "0"][..], &["append", "--proof"]] {
        assert!(folder.run(wrong).exits(2).err.starts_with("error E0700: "), "{wrong:?}");
    }
    assert_eq!(folder.run(&["checkpoint"]).exits(0).out, before, "nothing was recorded");
}

/// Runs the program with a standard output that nobody reads.
fn unread(folder: &Folder, arguments: &[&str]) -> Ran {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = folder.command(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    Ran { code: output.status.code().unwrap_or(-1), out: String::new(), err }
}

#[test]
fn nothing_panics_where_nobody_reads_the_answer() {
    let folder = Folder::with_store();
    folder.write("events", events(0..300));
    folder.write("more", events(300..600));
    folder.write("schema.json", "{}");
    folder.run(&["append", "events"]).exits(0);
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["help", "keys"],
        &["init"],
        &["append", "--json", "more"],
        &["read"],
        &["read", "--everything", "--reveal", "r"],
        &["prove", "5"],
        &["prove", "5", "--json", "--disclose", "0"],
        &["verify"],
        &["verify", "--json"],
        &["checkpoint"],
        &["checkpoint", "--key"],
        &["keys", "list"],
        &["keys", "tombstones"],
        &["keys", "rotate", "data"],
        &["keys", "destroy", "--person", "x", "--reason", "r", "--json"],
        &["schema", "add", "--type", "t", "--schema", "schema.json"],
        &["schema", "list"],
        &["tour"],
        &["serve", "--listen", "127.0.0.1:0", "--pages", "127.0.0.1:0"],
        &["demo", "--invoices", "10", "--listen", "127.0.0.1:0", "--pages", "127.0.0.1:0"],
        &["import", "events", "--mapping", "schema.json"],
        &["report", "invoices"],
        &["views", "status"],
        &["views", "rebuild"],
        &["views", "check", "--json"],
        &["key", "create"],
        &["key", "list"],
        &["explain"],
        &["explain", "E0204"],
        &["completions", "bash"],
        &["nonsense", "--json"],
    ] {
        let ran = unread(&folder, arguments);
        behaves(&ran);
        assert!(!ran.err.contains("E0704"), "{arguments:?}: closing is the reader's right: {ran:?}");
    }
    folder.run(&["verify"]).exits(0);
    // Closed before the program starts: it cannot even be opened, and nothing may be written into the store instead.
    let program = env!("CARGO_BIN_EXE_waag");
    for arguments in ["read", "checkpoint", "keys list", "append --json events"] {
        let line = format!("{program} {arguments} >&- 2>&-");
        let ran = Command::new("sh").args(["-c", &line]).current_dir(folder.path("")).status().unwrap();
        assert!(ran.code().is_some_and(|code| (0..=3).contains(&code)), "{arguments}: {ran}");
    }
    folder.run(&["verify", "--deep"]).exits(0);
}

#[test]
fn the_first_line_of_a_long_answer_is_all_that_is_needed() {
    let folder = Folder::with_store();
    folder.write("events", events(0..800));
    folder.run(&["append", "events"]).exits(0);
    let program = env!("CARGO_BIN_EXE_waag");
    for arguments in ["read", "explain", "append --json events", "completions zsh", "--help"] {
        let line = format!("{program} {arguments} | head -1");
        let output = Command::new("sh").args(["-c", &line]).current_dir(folder.path("")).output().unwrap();
        let (out, err) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!((out.lines().count(), err.as_str()), (1, ""), "{arguments}");
    }
    folder.run(&["verify"]).exits(0);
}

#[test]
fn an_earlier_ledger_is_only_read_and_a_refused_node_makes_no_store() {
    let folder = Folder::new();
    let earlier = "00000000000000000000000000000000";
    for command in [&["init"][..], &["append"], &["key", "create"], &["serve"], &["import", "x.csv"]] {
        let refused = folder.run(&[command, &["--earlier", earlier]].concat()).exits(2);
        assert!(refused.err.contains("--earlier"), "{command:?}: {}", refused.err);
    }
    for wrong in [["--pages", "0.0.0.0:0"], ["--listen", "0.0.0.0:0"]] {
        let refused = folder.run(&[&["serve"][..], &wrong].concat()).exits(3);
        assert!(!refused.err.contains("a new store"), "{}", refused.err);
    }
    assert!(!folder.path("waag-data").exists(), "no store was made");
    folder.run(&["init"]).exits(0);
    let refused = folder.run(&["plan", "set", "wide"]).exits(2);
    assert!(refused.err.contains("--unlimited"), "{}", refused.err);
    folder.run(&["plan", "set", "wide", "--unlimited"]).exits(0);
    let removed = folder.run(&["plan", "remove", "wide"]).exits(0);
    assert!(removed.out.starts_with("removed: wide"), "{}", removed.out);
}

#[test]
fn what_is_handed_out_replaces_nothing_and_is_put_into_no_store() {
    let folder = Folder::with_store();
    folder.feed(&["append"], events(0..3).as_bytes()).exits(0);
    std::os::unix::fs::symlink(folder.path("waag-data"), folder.path("link")).unwrap();
    folder.write("mine", "mine");
    let before = folder.files();
    let refused = |arguments: &[&str], code: &str| {
        let told = folder.run(&[arguments, &["--json"]].concat()).exits(2).json();
        assert_eq!(told["error"]["code"], code, "{arguments:?}: {told}");
    };
    refused(&["prove", "1", "--out", "mine"], "E0708");
    refused(&["prove", "1", "--entry-out", "mine"], "E0708");
    refused(&["prove", "1", "--out", "f", "--entry-out", "./f"], "E0700");
    refused(&["prove", "1", "--out", "waag-data.state/default/vault.key"], "E0700");
    let reasoned = ["--reason", "audit 7"];
    for inside in ["waag-data/x", "waag-data.state/x", "link/x", "none/../waag-data/x", "waag-data/default/x"]
    {
        refused(&["prove", "1", "--out", inside], "E0700");
        refused(&["prove", "1", "--entry-out", inside], "E0700");
        refused(
            &[&["prove", "1", "--disclose", "0", "--disclose-to", inside][..], &reasoned].concat(),
            "E0700",
        );
        refused(&["export", "--all", inside], "E0700");
        refused(&["log", "export", inside], "E0700");
        refused(&["backup", "init", inside], "E0700");
        refused(&[&["evidence", "export", inside, "--positions", "0"][..], &reasoned].concat(), "E0700");
        let report = ["subject", "report", "--person", "c:c-17", "--reveal", "--out", inside];
        refused(&[&report[..], &reasoned].concat(), "E0700");
    }
    // Of one tenant nothing is put into another's folders.
    refused(&["log", "export", "waag-data/default/x", "--tenant", "other"], "E0700");
    assert!(folder.files() == before, "nothing was changed and nothing recorded");
    let disclose = ["prove", "1", "--disclose", "0", "--disclose-to", "out", "--out", "1.proof"];
    folder.run(&[&disclose[..], &reasoned].concat()).exits(0);
    let told = ["prove", "2", "--disclose", "0", "--disclose-to", "out", "--out", "2.proof"];
    refused(&[&told[..], &reasoned].concat(), "E0708");
}
