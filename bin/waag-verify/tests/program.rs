//! The program as its users meet it: options, exit codes, both forms of report, limits of its inputs.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail loudly")]

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value as Json, json};
use support::{How, ORIGIN, Sealed, ledger, signer, vkey};

struct Desk {
    folder: tempfile::TempDir,
    sealed: Sealed,
    proof: Vec<u8>,
    key: String,
}

impl Desk {
    fn new(size: u64, index: u64, how: &How<'_>) -> Self {
        let own = signer(ORIGIN, 1);
        let (sealed, proof) = ledger(size, index, how, &[&own]);
        let desk = Self { folder: tempfile::tempdir().unwrap(), sealed, proof, key: vkey(&own).to_string() };
        desk.file("entry", &desk.sealed.bytes);
        desk.file("proof", &desk.proof);
        desk.file("key", format!("{}\n", desk.key).as_bytes());
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(self.folder.path(), arguments, b"")
    }

    /// The usual three arguments and then these.
    fn usual(&self, more: &[&str]) -> Output {
        let mut arguments = vec!["--entry", "entry", "--proof", "proof", "--key", "@key"];
        arguments.extend(more);
        self.run(&arguments)
    }
}

fn run(folder: &Path, arguments: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_waag-verify"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its options reads nothing.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

fn exit(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json_of(output: &Output) -> Json {
    let text = stdout(output);
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn says_verified_and_what_of_several_sizes() {
    for (size, index) in [(1, 0), (2, 1), (3, 2), (8, 5), (13, 12)] {
        let desk = Desk::new(size, index, &How::default());
        let output = desk.usual(&[]);
        let text = stdout(&output);
        assert_eq!((exit(&output), stderr(&output)), (0, String::new()));
        assert!(text.starts_with(&format!("verified\n  position     {index}\n  leaf hash    ")), "{text}");
        assert!(text.contains("  accepted     2026-11-02T08:30:01.000000000Z\n"), "{text}");
        let report = json_of(&desk.usual(&["--json"]));
        assert_eq!(report["ok"], json!(true));
        assert_eq!((&report["position"], &report["tree_size"]), (&json!(index), &json!(size)));
        assert_eq!((&report["origin"], &report["type"]), (&json!(ORIGIN), &json!("expense.approved")));
        assert_eq!((&report["retention"], &report["schema"]), (&json!("business"), &json!(3)));
        let leaf = waag_ledger::hash::leaf_hash(&desk.sealed.bytes).to_string();
        assert_eq!(report["leaf_hash"], json!(leaf));
        assert!(desk.key.starts_with(report["signers"][0].as_str().unwrap()));
        assert!(text.contains(report["root"].as_str().unwrap()), "both forms tell the same root");
        assert!(report.get("part").is_none() && report.get("error").is_none());
    }
}

#[test]
fn says_what_is_wrong_with_its_code_on_the_stream_asked_for() {
    let desk = Desk::new(5, 2, &How::default());
    desk.file("entry", &desk.sealed.bytes[..desk.sealed.bytes.len() - 1]);
    let output = desk.usual(&[]);
    assert_eq!((exit(&output), stdout(&output)), (1, String::new()));
    assert!(stderr(&output).starts_with("not verified: E0201: the bytes are no entry: at byte "));
    let output = desk.usual(&["--json"]);
    assert_eq!((exit(&output), stderr(&output)), (1, String::new()));
    let report = json_of(&output);
    assert_eq!((&report["ok"], &report["error"]["code"]), (&json!(false), &json!("E0201")));
    assert!(report.get("position").is_none());
}

#[test]
fn a_sample_of_flipped_bytes_is_red_in_the_program_too() {
    let desk = Desk::new(5, 2, &How::default());
    assert_eq!(exit(&desk.usual(&[])), 0);
    for (name, original) in
        [("entry", &desk.sealed.bytes), ("proof", &desk.proof), ("key", &desk.key.clone().into_bytes())]
    {
        for at in (0..original.len()).step_by(original.len() / 8).chain([original.len() - 1]) {
            let mut changed = original.clone();
            changed[at] ^= 1;
            desk.file(name, &changed);
            let output = desk.usual(&["--json"]);
            assert_ne!(exit(&output), 0, "{name} at {at}");
            assert_eq!(json_of(&output)["ok"], json!(false));
        }
        desk.file(name, original);
    }
    assert_eq!(exit(&desk.usual(&[])), 0);
}

#[test]
fn empty_and_too_long_inputs_are_refused() {
    let desk = Desk::new(3, 1, &How::default());
    for (name, bytes, want, code) in [
        ("entry", &[][..], 1, "E0751"),
        ("entry", &[0x82; 65_535][..], 1, "E0201"),
        ("entry", &[0x82; 65_536][..], 1, "E0758"),
        ("proof", &[][..], 1, "E0752"),
        ("proof", &[b'x'; 200_000][..], 1, "E0758"),
        ("key", &[][..], 1, "E0328"),
        ("key", b"\n", 1, "E0328"),
        ("key", &[b'x'; 4_097][..], 1, "E0758"),
    ] {
        let before = std::fs::read(desk.path(name)).unwrap();
        desk.file(name, bytes);
        let output = desk.usual(&["--json"]);
        assert_eq!((exit(&output), &json_of(&output)["error"]["code"]), (want, &json!(code)), "{name}");
        desk.file(name, &before);
    }
    // Endless inputs end at the limit.
    let output = desk.run(&["--entry", "/dev/zero", "--proof", "proof", "--key", "@key"]);
    assert_eq!(exit(&output), 1);
    assert!(stderr(&output).contains("E0758"));
}

#[test]
fn wrong_usage_is_2_and_a_missing_file_is_3() {
    let desk = Desk::new(3, 1, &How::default());
    let secret = hex::encode(desk.sealed.secrets[0].as_slice());
    let (_, short) = secret.split_at(2);
    for arguments in [
        &[][..],
        &["--entry", "entry", "--proof", "proof"],
        &["--entry", "entry", "--key", "@key"],
        &["--proof", "proof", "--key", "@key"],
        &["--entry", "entry", "--proof", "proof", "--key", ""],
        &["--entry", "entry", "--proof", "proof", "--key", "no-key"],
        &["--entry", "-", "--proof", "-", "--key", "@key"],
        &["--entry", "-", "--proof", "proof", "--key", "@-"],
        &["--entry", "entry", "--proof", "proof", "--key", "@key", "--unknown"],
        &["--entry", "entry", "--proof", "proof", "--key", "@key", "--part", "0"],
        &["--entry", "entry", "--proof", "proof", "--key", "@key", "--secret", &secret],
        &["--entry", "entry", "--proof", "proof", "--key", "@key", "--part", "8", "--secret", &secret],
        &["--entry", "entry", "--proof", "proof", "--key", "@key", "--part", "0", "--secret", short],
        &[
            "--entry", "entry", "--proof", "proof", "--key", "@key", "--part", "0", "--secret", &secret,
            "--blob", "entry",
        ],
    ] {
        let output = desk.run(arguments);
        assert_eq!((exit(&output), stdout(&output)), (2, String::new()), "{arguments:?}");
        assert!(stderr(&output).starts_with("wrong usage: E0"), "{}", stderr(&output));
        let output = desk.run(&[arguments, &["--json"]].concat());
        assert_eq!((exit(&output), json_of(&output)["ok"].clone()), (2, json!(false)), "{arguments:?}");
    }
    for arguments in [
        ["--entry", "none", "--proof", "proof", "--key", "@key"],
        ["--entry", "entry", "--proof", ".", "--key", "@key"],
        ["--entry", "entry", "--proof", "proof", "--key", "@none"],
    ] {
        let output = desk.run(&arguments);
        assert_eq!(exit(&output), 3, "{arguments:?}");
        assert!(stderr(&output).starts_with("the environment failed: E0759: "), "{}", stderr(&output));
    }
}

#[test]
fn reads_one_input_from_the_standard_input() {
    let desk = Desk::new(3, 1, &How::default());
    for (arguments, stdin) in [
        (["--entry", "-", "--proof", "proof", "--key", "@key"], &desk.sealed.bytes[..]),
        (["--entry", "entry", "--proof", "-", "--key", "@key"], &desk.proof),
        (["--entry", "entry", "--proof", "proof", "--key", "@-"], desk.key.as_bytes()),
        (["--entry", "entry", "--proof", "proof", "--key", &desk.key], b""),
    ] {
        assert_eq!(exit(&run(desk.folder.path(), &arguments, stdin)), 0, "{arguments:?}");
    }
    assert_eq!(
        exit(&run(desk.folder.path(), &["--entry", "-", "--proof", "proof", "--key", "@key"], b"")),
        1
    );
}

#[test]
fn several_keys_in_one_value_are_refused_with_how_they_are_given() {
    let desk = Desk::new(2, 1, &How::default());
    let two = format!("{0},{0}", desk.key);
    for keys in [&two, "@key,@key"] {
        let output = run(desk.folder.path(), &["--entry", "entry", "--proof", "proof", "--key", keys], b"");
        assert_eq!(exit(&output), 2, "{keys}: {}", stderr(&output));
        assert!(stderr(&output).contains("`--key A --key B`"), "{}", stderr(&output));
    }
    let repeated = ["--entry", "entry", "--proof", "proof", "--key", "@key", "--key", &desk.key];
    assert_eq!(exit(&run(desk.folder.path(), &repeated, b"")), 0);
    desk.file("a,b", desk.key.as_bytes());
    let named = ["--entry", "entry", "--proof", "proof", "--key", "@a,b"];
    assert_eq!(exit(&run(desk.folder.path(), &named, b"")), 0, "a comma may be part of a file's name");
}

#[test]
fn opens_a_part_and_its_blob_by_their_secrets() {
    let desk = Desk::new(4, 3, &How { dictionary: None, person_as_blob: true });
    let secret = hex::encode(desk.sealed.secrets[1].as_slice());
    let (blob, blob_secret) = desk.sealed.blob.as_ref().unwrap();
    desk.file("secret", format!("{secret}\r\n").as_bytes());
    desk.file("blob", blob);
    let blob_secret = hex::encode(blob_secret.as_slice());
    let arguments =
        ["--part", "1", "--secret", "@secret", "--blob", "blob", "--blob-secret", &blob_secret, "--json"];
    let output = desk.usual(&arguments);
    assert_eq!(exit(&output), 0, "{}", stdout(&output));
    assert_eq!(json_of(&output)["part"]["content"]["/data/employee"]["id"], "E-3");
    assert!(!stdout(&output).contains(&secret));
    let output = desk.usual(&["--part", "0", "--secret", "@secret"]);
    assert_eq!((exit(&output), stdout(&output)), (1, String::new()));
    assert!(stderr(&output).contains("E0204") && !stderr(&output).contains(&secret));
}

#[test]
fn explains_itself() {
    let desk = Desk::new(1, 0, &How::default());
    let help = desk.run(&["--help"]);
    assert_eq!(exit(&help), 0);
    for needed in ["Example:", "--entry", "--secret", "withheld_in_part", "Exit codes:"] {
        assert!(stdout(&help).contains(needed), "{needed}");
    }
    let version = desk.run(&["--version"]);
    assert_eq!(stdout(&version).trim(), concat!("waag-verify ", env!("CARGO_PKG_VERSION")));
    for shell in ["bash", "zsh", "fish"] {
        let script = desk.run(&["--completions", shell]);
        assert!(exit(&script) == 0 && stdout(&script).contains("waag-verify"), "{shell}");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_no_verification() {
    let desk = Desk::new(1, 0, &How::default());
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_waag-verify"))
        .args(["--entry", "entry", "--proof", "proof", "--key", "@key"])
        .current_dir(desk.folder.path())
        .stdout(full)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(3));
}
