//! `waag-verify pack` as its users meet it: what it says, what it writes, its exit codes and refusals. What turns a pack
//! red is tested with the rules themselves (`crates/evidence/ledger/tests/pack_mutation.rs`).
#![expect(clippy::unwrap_used, reason = "a test's helpers fail loudly")]

use std::ffi::OsString;
use std::path::Path;

use serde_json::{Value as Json, json};

const GOLDEN: &[u8] = include_bytes!("../../../crates/evidence/ledger/tests/golden/pack-v1.zip");
const KEY: &str = "waag.example/acme/00112233445566778899aabbccddeeff+b00e82b5+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";
const DIGEST: &str = "e716ee3189be0b0f5414001f6a132dd40003456f0b7db2d3bccaf5f3a0d783b4";

struct Desk {
    folder: tempfile::TempDir,
}

struct Answer {
    exit: u8,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        desk.file("audit.zip", GOLDEN);
        desk.file("ledger.vkey", format!("{KEY}\n").as_bytes());
        desk
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    /// Runs `pack` on a file of the desk with a key and these options.
    fn pack(&self, file: &str, more: &[&str]) -> Answer {
        let key = format!("@{}", self.path("ledger.vkey"));
        let mut arguments = vec!["pack".to_owned(), self.path(file), "--key".to_owned(), key];
        arguments.extend(more.iter().map(|more| (*more).to_owned()));
        run(&arguments, b"")
    }
}

fn run(arguments: &[String], mut stdin: &[u8]) -> Answer {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let arguments = std::iter::once("waag-verify").chain(arguments.iter().map(String::as_str));
    let exit = waag_verify::run(arguments.map(OsString::from), &mut stdin, &mut out, &mut err);
    Answer { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

fn json_of(answer: &Answer) -> Json {
    assert_eq!((answer.out.lines().count(), answer.err.as_str()), (1, ""), "{}", answer.out);
    serde_json::from_str(&answer.out).unwrap()
}

#[test]
fn says_what_is_proven_and_apart_from_it_what_is_told() {
    let desk = Desk::new();
    let answer = desk.pack("audit.zip", &[]);
    assert_eq!((answer.exit, answer.err.as_str()), (0, ""));
    let (proven, told) =
        answer.out.split_once("the operator says, which is signed and not proven\n").unwrap();
    assert!(proven.starts_with(&format!("verified\n  pack         {DIGEST}\n")), "{proven}");
    for fact in [
        "4, at positions 2 to 7",
        "not proven: the positions have gaps",
        "6 of 8 parts",
        "2 parts",
        "1 signature lines",
    ] {
        assert!(proven.contains(fact) && !told.contains(fact), "{fact}");
    }
    for word in [
        "some expenses",
        "audit \"4\" of 2026",
        "auditor-desk",
        "1 of the closed parts",
        "active from",
        "cover.html",
    ] {
        assert!(told.contains(word) && !proven.contains(word), "{word}");
    }
    let report = json_of(&desk.pack("audit.zip", &["--json"]));
    assert_eq!((&report["ok"], &report["pack"]), (&json!(true), &json!(DIGEST)));
    assert_eq!((&report["entries"], &report["complete"]), (&json!(4), &json!(false)));
    assert_eq!((&report["disclosed"], &report["closed"]), (&json!(6), &json!(2)));
    assert_eq!(report["signatures_unchecked"], json!(1));
    assert_eq!(report["told"]["asked"], json!("some expenses"));
    assert!(report.get("events").is_none() && report.get("error").is_none());
}

#[test]
fn shows_events_as_far_as_they_are_disclosed_or_writes_them_out() {
    let desk = Desk::new();
    let shown = json_of(&desk.pack("audit.zip", &["--json", "--events"]));
    let events = shown["events"].as_array().unwrap();
    assert_eq!(events.len(), 4);
    assert_eq!(events[0]["event"]["data"]["employee"], json!({"withheld_in_part": 1}));
    assert_eq!(events[0]["withheld"], json!([{"path": "/data/employee", "part": 1}]));
    assert_eq!(events[1]["event"]["data"]["employee"]["id"], "E-3");
    assert_eq!(events[2]["event"]["data"]["employee"]["id"], "E-4");
    let states = |event: &Json| event["parts"][1]["state"].as_str().unwrap().to_owned();
    assert_eq!(
        events.iter().map(states).collect::<Vec<_>>(),
        ["withheld", "disclosed", "disclosed", "told_erased"]
    );
    let text = desk.pack("audit.zip", &["--events"]);
    assert!(text.out.contains("12.53"), "{}", text.out);
    assert!(!text.out.contains('\u{1b}'));
    let out = desk.path("events.jsonl");
    let option = format!("--events={out}");
    assert_eq!(desk.pack("audit.zip", &[&option]).exit, 0);
    let lines = std::fs::read_to_string(&out).unwrap();
    let read: Vec<Json> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(&read, events);
    // What is there already stays.
    let again = desk.pack("audit.zip", &[&option]);
    assert_eq!(again.exit, 3);
    assert!(
        again.err.starts_with("the environment failed: E0770: the events cannot be written to "),
        "{}",
        again.err
    );
    assert_eq!(std::fs::read_to_string(&out).unwrap(), lines);
}

#[test]
fn writes_the_members_into_a_new_folder_for_the_owner_alone() {
    let desk = Desk::new();
    let folder = desk.path("members");
    assert_eq!(desk.pack("audit.zip", &["--extract", &folder]).exit, 0);
    let path = Path::new(&folder);
    let manifest = std::fs::read_to_string(path.join("manifest.json")).unwrap();
    assert!(manifest.starts_with("{\"actor\":\"auditor-desk\","));
    assert_eq!(std::fs::read_dir(path.join("blobs")).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(path.join("dictionaries")).unwrap().count(), 1);
    #[cfg(unix)]
    {
        let mode = |name: &str| {
            std::os::unix::fs::PermissionsExt::mode(&path.join(name).metadata().unwrap().permissions())
        };
        assert_eq!((mode("parts.bin") & 0o777, mode("") & 0o777), (0o600, 0o700));
    }
    assert_eq!(desk.pack("audit.zip", &["--extract", &folder]).exit, 3);
}

#[test]
fn writes_nothing_of_a_pack_that_is_not_verified() {
    let desk = Desk::new();
    let mut changed = GOLDEN.to_vec();
    changed[4_000] ^= 1;
    desk.file("changed.zip", &changed);
    let (folder, events) = (desk.path("members"), desk.path("events.jsonl"));
    let option = format!("--events={events}");
    let answer = desk.pack("changed.zip", &["--extract", &folder, &option]);
    assert_eq!((answer.exit, answer.out.as_str()), (1, ""));
    assert!(
        answer.err.starts_with("not verified: E0383: the member `entries.bin` does not have the checksum"),
        "{}",
        answer.err
    );
    assert!(!Path::new(&folder).exists() && !Path::new(&events).exists());
    let report = json_of(&desk.pack("changed.zip", &["--json"]));
    assert_eq!((&report["ok"], &report["error"]["code"]), (&json!(false), &json!("E0383")));
    assert_eq!(report["error"]["member"], json!("entries.bin"));
    assert!(report.get("told").is_none());
    desk.file("cut.zip", &GOLDEN[..3_000]);
    let cut = json_of(&desk.pack("cut.zip", &["--json"]));
    assert_eq!((&cut["error"]["code"], cut["error"]["offset"].is_u64()), (&json!("E0377"), true));
}

#[test]
fn trusts_only_what_it_is_given_from_elsewhere() {
    let desk = Desk::new();
    let with = |more: &[&str]| {
        let arguments = ["pack", &desk.path("audit.zip")].map(str::to_owned).into_iter();
        run(&arguments.chain(more.iter().map(|more| (*more).to_owned())).collect::<Vec<_>>(), b"")
    };
    assert_eq!(with(&[]).exit, 2);
    let other = KEY.replace("b00e82b5", "b00e82b6");
    assert_eq!(with(&["--key", &other]).exit, 2);
    assert_eq!(with(&["--key", KEY]).exit, 0);
    // A policy names its logs.
    let none = desk.file("policy", format!("log {KEY}\nquorum none\n").as_bytes());
    let answer = with(&["--policy", &none]);
    assert_eq!(answer.exit, 0, "{}", answer.err);
    let broken = desk.file("broken", b"quorum\n");
    assert_eq!(with(&["--key", KEY, "--policy", &broken]).exit, 1);
    // A published key history is taken from a file, and a key counts only in its time.
    let members = desk.path("members");
    assert_eq!(with(&["--key", KEY, "--extract", &members]).exit, 0);
    let history = std::fs::read_to_string(Path::new(&members).join("keys.json")).unwrap();
    let as_given = desk.file("history", history.as_bytes());
    assert_eq!(with(&["--key", &format!("@{as_given}")]).exit, 0);
    let later = desk.file("later", history.replace("\"from\":\"2026", "\"from\":\"2027").as_bytes());
    let answer = with(&["--key", &format!("@{later}")]);
    assert_eq!(answer.exit, 1);
    assert!(answer.err.contains("E037"), "{}", answer.err);
    let torn = desk.file("torn", &history.as_bytes()[..40]);
    assert_eq!(with(&["--key", &format!("@{torn}")]).exit, 1);
}

#[test]
fn reads_the_pack_from_the_standard_input_and_explains_itself() {
    let arguments = ["pack", "-", "--key", KEY, "--json"].map(str::to_owned);
    assert_eq!(run(&arguments, GOLDEN).exit, 0);
    let empty = run(&arguments, b"");
    assert_eq!((empty.exit, json_of(&empty)["error"]["code"].as_str()), (1, Some("E0376")));
    assert_eq!(run(&["pack", "-", "--key", "@-"].map(str::to_owned), GOLDEN).exit, 2);
    let help = run(&["pack", "--help"].map(str::to_owned), b"");
    assert_eq!(help.exit, 0);
    for needed in
        ["Example:", "--key", "--policy", "--events", "--extract", "Exit codes:", "must come from elsewhere"]
    {
        assert!(help.out.contains(needed), "{needed}");
    }
}
