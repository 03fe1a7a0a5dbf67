//! What `waag prove` hands out is what `waag-verify` takes, and nothing else: the two programs, with only files between.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

#[expect(dead_code, reason = "shared with other tests")]
mod common;

use std::ffi::OsString;

use common::{Folder, Ran, event, events};

const FILES: [&str; 3] = ["7.entry", "7.tlog-proof", "ledger.vkey"];

/// A store whose event 7 is a person's, and the files that prove it to anybody; its parts are disclosed into `out`.
fn proven() -> Folder {
    let folder = Folder::with_store();
    let person = event(7).replace(r#""type""#, r#""subject":"bob@example.org","type""#);
    folder.feed(&["append"], (events(0..7) + &person + "\n" + &events(8..30)).as_bytes()).exits(0);
    let key = folder.run(&["checkpoint", "--key"]).exits(0).out;
    folder.write("ledger.vkey", key.trim_end());
    let prove = ["prove", "7", "--out", "7.tlog-proof", "--entry-out", "7.entry"];
    folder
        .run(&[&prove[..], &["--disclose", "0", "--disclose", "1", "--disclose-to", "out"]].concat())
        .exits(0);
    folder
}

/// The auditor's program on files of a folder.
fn verify(folder: &Folder, arguments: &[&str]) -> Ran {
    let in_folder = |argument: &&str| -> OsString {
        match argument.strip_prefix('@') {
            Some(name) => format!("@{}", folder.path(name).display()).into(),
            None if argument.starts_with("--") || argument.parse::<u8>().is_ok() => (*argument).into(),
            None => folder.path(argument).into(),
        }
    };
    let arguments = std::iter::once("waag-verify".into()).chain(arguments.iter().map(in_folder));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = waag_verify::run(arguments, &mut std::io::empty(), &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: code.into(), out: text(out), err: text(err) }
}

const ALL: [&str; 6] = ["--entry", "7.entry", "--proof", "7.tlog-proof", "--key", "@ledger.vkey"];

#[test]
fn a_proof_and_a_disclosed_part_are_taken_by_the_auditors_program() {
    let folder = proven();
    let proven = verify(&folder, &[&ALL[..], &["--json"]].concat()).exits(0).json();
    let told = folder.run(&["prove", "7", "--json"]).exits(0).json();
    assert_eq!(proven["leaf_hash"], told["leaf_hash"], "{proven}");
    let common = verify(&folder, &[&ALL[..], &["--part", "0", "--secret", "@out/part-0.secret"]].concat());
    let common = common.exits(0).out;
    assert!(!common.contains("bob@example.org"), "{common}");
    let person = verify(&folder, &[&ALL[..], &["--part", "1", "--secret", "@out/part-1.secret"]].concat());
    let person = person.exits(0).out;
    assert!(person.contains("bob@example.org"), "{person}");
    // A secret opens its own part only.
    let crossed = verify(&folder, &[&ALL[..], &["--part", "1", "--secret", "@out/part-0.secret"]].concat());
    assert!(!crossed.exits(1).out.contains("bob@"));
}

#[test]
fn any_changed_byte_of_entry_proof_or_key_is_refused() {
    let folder = proven();
    verify(&folder, &ALL).exits(0);
    for name in FILES {
        let whole = std::fs::read(folder.path(name)).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 8);
            folder.write(name, &changed);
            let ran = verify(&folder, &ALL);
            assert_eq!(ran.code, 1, "byte {at} of {name}: {ran:?}");
            assert!(ran.out.is_empty(), "nothing is shown of what is not proven");
        }
        for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
            folder.write(name, &whole[..cut]);
            assert_eq!(verify(&folder, &ALL).code, 1, "{name} cut to {cut}");
        }
        folder.write(name, &whole);
    }
    verify(&folder, &ALL).exits(0);
}

#[test]
fn another_entrys_proof_and_another_ledgers_key_are_refused() {
    let folder = proven();
    folder.run(&["prove", "8", "--out", "8.tlog-proof", "--entry-out", "8.entry"]).exits(0);
    verify(&folder, &["--entry", "8.entry", "--proof", "8.tlog-proof", "--key", "@ledger.vkey"]).exits(0);
    verify(&folder, &["--entry", "7.entry", "--proof", "8.tlog-proof", "--key", "@ledger.vkey"]).exits(1);
    verify(&folder, &["--entry", "8.entry", "--proof", "7.tlog-proof", "--key", "@ledger.vkey"]).exits(1);
    let other = proven();
    folder.write("other.vkey", std::fs::read(other.path("ledger.vkey")).unwrap());
    folder.write("other.tlog-proof", std::fs::read(other.path("7.tlog-proof")).unwrap());
    verify(&folder, &["--entry", "7.entry", "--proof", "7.tlog-proof", "--key", "@other.vkey"]).exits(1);
    verify(&folder, &["--entry", "7.entry", "--proof", "other.tlog-proof", "--key", "@ledger.vkey"]).exits(1);
    verify(&folder, &["--entry", "7.entry", "--proof", "other.tlog-proof", "--key", "@other.vkey"]).exits(1);
}
