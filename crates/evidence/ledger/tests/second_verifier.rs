//! Two verifiers that share no line of code, one of them in Python and written from docs/reference/pack.md alone, say the
//! same of the same packs: good ones, every byte flipped, and what an operator can do who holds the signing key and lies.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

#[path = "support/packs.rs"]
mod packs;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aws_lc_rs::digest::{SHA256, digest};
use packs::{Gathered, ORIGIN, SIZE, cosigner, entries, gather, seal, signer, tree, vkey};
use serde_json::{Value, json};
use waag_entry::codec::Dictionary;
use waag_ledger::hash::Hash;
use waag_ledger::note::Note;
use waag_ledger::pack::{Trust, prove_entries, verify};

const GOLDEN: &[u8] = include_bytes!("golden/pack-v1.zip");

/// A pack's members, to be changed at will; unlike the writer, nothing here keeps an operator from lying.
type Members = Vec<(String, Vec<u8>)>;

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

fn members(pack: &[u8]) -> Members {
    let (mut found, mut at) = (Vec::new(), 0);
    while pack[at..].starts_with(b"PK\x03\x04") {
        let (length, name) = (u32_at(pack, at + 18), u16_at(pack, at + 26));
        let (from, to) = (at + 30 + name, at + 30 + name + length);
        found.push((String::from_utf8(pack[at + 30..from].to_vec()).unwrap(), pack[from..to].to_vec()));
        at = to;
    }
    found
}

/// The canonical ZIP file of members.
fn zip(members: &Members) -> Vec<u8> {
    let (mut out, mut central) = (Vec::new(), Vec::new());
    for (name, bytes) in members {
        let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        let mut facts = vec![10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        facts.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
        facts.extend_from_slice(&[length, length].concat());
        facts.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
        facts.extend_from_slice(&[0, 0]);
        let at = u32::try_from(out.len()).unwrap().to_le_bytes();
        central.extend_from_slice(
            &[b"PK\x01\x02\x14\0", facts.as_slice(), &[0; 10], &at, name.as_bytes()].concat(),
        );
        out.extend_from_slice(&[b"PK\x03\x04", facts.as_slice(), name.as_bytes(), bytes].concat());
    }
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    let (length, start) = (u32::try_from(central.len()).unwrap(), u32::try_from(out.len()).unwrap());
    let end = [length.to_le_bytes(), start.to_le_bytes()].concat();
    [out, central, b"PK\x05\x06\0\0\0\0".to_vec(), [count, count].concat(), end, vec![0, 0]].concat()
}

fn member<'m>(members: &'m mut Members, name: &str) -> &'m mut Vec<u8> {
    members.iter_mut().find(|(found, _)| found == name).map(|(_, bytes)| bytes).unwrap()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lists the members in the manifest again and signs it: what an operator does who changed something.
fn signed_again(mut members: Members, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let listed: Vec<Value> = members
        .iter()
        .filter(|(name, _)| name != "manifest.json" && name != "manifest.note")
        .map(|(name, bytes)| json!({"bytes": bytes.len(), "name": name, "sha256": hex(&sha256(bytes))}))
        .collect();
    let manifest = member(&mut members, "manifest.json");
    let mut value: Value = serde_json::from_slice(manifest).unwrap();
    value["members"] = Value::Array(listed);
    change(&mut value);
    *manifest = value.to_string().into_bytes();
    sign(members)
}

fn sign(mut members: Members) -> Vec<u8> {
    let hash = Hash(sha256(member(&mut members, "manifest.json")));
    let text = format!("waag evidence pack v1\n{ORIGIN}\n{}\n", hash.to_base64());
    let note = Note::sign(&text, &[&signer(ORIGIN, 1)]).unwrap();
    *member(&mut members, "manifest.note") = note.to_string().into_bytes();
    zip(&members)
}

/// The records of `entries.bin`: position and entry.
fn records(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut found, mut at) = (Vec::new(), 4);
    while at < bytes.len() {
        let length = usize::from(u16::from_be_bytes([bytes[at + 8], bytes[at + 9]]));
        found.push(bytes[at..at + 10 + length].to_vec());
        at += 10 + length;
    }
    found
}

fn entries_bin(records: &[Vec<u8>]) -> Vec<u8> {
    let count = u32::try_from(records.len()).unwrap().to_be_bytes();
    [count.to_vec(), records.concat()].concat()
}

/// Changes one member and has everything else follow.
fn with(pack: &[u8], name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut members = members(pack);
    change(member(&mut members, name));
    signed_again(members, |_| {})
}

fn with_records(
    pack: &[u8],
    change: impl FnOnce(&mut Vec<Vec<u8>>),
    counts: impl FnOnce(&mut Value),
) -> Vec<u8> {
    let mut members = members(pack);
    let bytes = member(&mut members, "entries.bin");
    let mut records = records(bytes);
    change(&mut records);
    *bytes = entries_bin(&records);
    signed_again(members, counts)
}

fn with_manifest(pack: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    signed_again(members(pack), change)
}

/// The manifest's text changed, and signed.
fn with_spelling(pack: &[u8], change: impl FnOnce(String) -> String) -> Vec<u8> {
    let mut members = members(pack);
    let manifest = member(&mut members, "manifest.json");
    *manifest = change(String::from_utf8(manifest.clone()).unwrap()).into_bytes();
    sign(members)
}

fn dictionary() -> Dictionary {
    let mut golden = members(GOLDEN);
    let at = golden.iter().position(|(name, _)| name.starts_with("dictionaries/")).unwrap();
    Dictionary::new(&golden.swap_remove(at).1).unwrap()
}

/// Packs that hold, by name.
fn good() -> Vec<(&'static str, Vec<u8>)> {
    let dictionary = dictionary();
    let all = entries(Some(&dictionary));
    let pack = |positions: &[u64]| gather(&all, positions, Some(&dictionary)).pack();
    let mut without_cover = gather(&all, &[5], Some(&dictionary));
    without_cover.cover_html = None;
    let whole: Vec<u64> = (0..SIZE).collect();
    let mut closed = gather(&all, &[4, 9], Some(&dictionary));
    closed.disclosed.clear();
    closed.blobs.clear();
    vec![
        ("the golden pack", GOLDEN.to_vec()),
        ("a gapless span", pack(&[5, 6, 8 - 1])),
        ("the whole ledger", pack(&whole)),
        ("one entry, no cover", without_cover.pack()),
        ("a blob", pack(&[0, 4])),
        ("nothing disclosed", closed.pack()),
        ("signed again by the operator", signed_again(members(GOLDEN), |_| {})),
        // As in Go's `note`: the same line again adds nothing, and is no reason to refuse.
        ("a signature twice", {
            with(GOLDEN, "checkpoint", |bytes| {
                let note = String::from_utf8(bytes.clone()).unwrap();
                let line = note.lines().find(|line| line.starts_with('\u{2014}')).unwrap();
                bytes.extend_from_slice(format!("{line}\n").as_bytes());
            })
        }),
    ]
}

/// Packs of an operator who holds the key and lies, or of somebody who edits what he got.
fn lies() -> Vec<(String, Vec<u8>)> {
    let dictionary = dictionary();
    let all = entries(Some(&dictionary));
    let pack = gather(&all, &[2, 3, 4, 7], Some(&dictionary)).pack();
    let other = gather(&all, &[1, 5, 6], Some(&dictionary)).pack();
    let mut lies: Vec<(String, Vec<u8>)> = Vec::new();
    let mut lie = |what: &str, pack: Vec<u8>| lies.push((what.to_owned(), pack));

    entry_lies(&pack, &other, &mut lie);
    proof_and_part_lies(&pack, &other, &mut lie);
    companion_lies(&pack, &mut lie);
    let mut alone = gather(&all, &[2, 3, 4, 7], Some(&dictionary));
    alone.disclosed.retain(|part| part.position != 3 || part.part == 1);
    lie("a person's part without the common one", alone.pack());
    manifest_lies(&pack, &mut lie);
    history_lies(&pack, &mut lie);
    checkpoint_lies(&all, &pack, &dictionary, &mut lie);
    container_lies(&pack, &mut lie);

    // Members of one pack in another, with the old manifest and with one signed anew.
    for (name, bytes) in members(&other) {
        let mut mixed = members(&pack);
        if mixed.iter().all(|(found, same)| found != &name || same == &bytes) {
            continue;
        }
        *member(&mut mixed, &name) = bytes;
        lie(&format!("{name} of another pack"), zip(&mixed));
        if !name.starts_with("manifest") && name != "cover.html" {
            lie(&format!("{name} of another pack, signed"), signed_again(mixed, |_| {}));
        }
    }
    lies
}

fn entry_lies(pack: &[u8], other: &[u8], lie: &mut dyn FnMut(&str, Vec<u8>)) {
    lie("two entries change places", with_records(pack, |r| r.swap(0, 1), |_| {}));
    lie(
        "two entries change what they say",
        with_records(
            pack,
            |r| {
                let (first, second) = (r[0].clone(), r[1].clone());
                r[0] = [&first[..8], &second[8..]].concat();
                r[1] = [&second[..8], &first[8..]].concat();
            },
            |_| {},
        ),
    );
    lie(
        "an entry is left out",
        with_records(pack, |r| drop(r.remove(1)), |m| m["counts"]["entries"] = json!(3)),
    );
    lie(
        "an entry stands twice",
        with_records(pack, |r| r.insert(1, r[1].clone()), |m| m["counts"]["entries"] = json!(5)),
    );
    lie("an entry of another pack is added", {
        let foreign = records(member(&mut members(other), "entries.bin"))[1].clone();
        with_records(pack, |r| r.insert(3, foreign), |m| m["counts"]["entries"] = json!(5))
    });
    lie("an entry is changed", with_records(pack, |r| *r[0].last_mut().unwrap() ^= 1, |_| {}));
    lie("no entry", with_records(pack, Vec::clear, |m| m["counts"]["entries"] = json!(0)));
    lie(
        "a position beyond the tree",
        with_records(pack, |r| r[3][7] = 200, |m| m["positions"]["last"] = json!("200")),
    );
    lie("bytes behind the last entry", with(pack, "entries.bin", |bytes| bytes.push(0)));
    lie("the number of entries is wrong", with(pack, "entries.bin", |bytes| bytes[3] = 5));
}

fn proof_and_part_lies(pack: &[u8], other: &[u8], lie: &mut dyn FnMut(&str, Vec<u8>)) {
    lie("a hash too many", with(pack, "proof.bin", |bytes| bytes.extend_from_slice(&[0; 32])));
    lie("a hash too few", with(pack, "proof.bin", |bytes| bytes.truncate(bytes.len() - 32)));
    lie("half a hash", with(pack, "proof.bin", |bytes| bytes.truncate(bytes.len() - 16)));
    lie("two hashes change places", with(pack, "proof.bin", |bytes| bytes[..64].rotate_left(32)));
    lie(
        "another proof",
        with(pack, "proof.bin", |bytes| {
            *bytes = member(&mut members(other), "proof.bin").clone();
        }),
    );

    // What is disclosed: records of 41 bytes behind a count.
    let parts = |change: &dyn Fn(&mut Vec<u8>)| with(pack, "parts.bin", |bytes| change(bytes));
    lie("a wrong secret", parts(&|bytes| bytes[4 + 9] ^= 1));
    lie(
        "secrets change places",
        parts(&|bytes| {
            let (first, second) = (bytes[13..45].to_vec(), bytes[54..86].to_vec());
            bytes[13..45].copy_from_slice(&second);
            bytes[54..86].copy_from_slice(&first);
        }),
    );
    lie("parts in another order", parts(&|bytes| bytes[4..86].rotate_left(41)));
    lie("a part that the entry has not", parts(&|bytes| bytes[4 + 8] = 9));
    lie("a part of an entry that is not there", parts(&|bytes| bytes[4 + 7] = 1));
    lie(
        "a disclosed part is said to be erased",
        parts(&|bytes| {
            let end = bytes.len();
            bytes[end - 1] = 0;
        }),
    );
    lie("bytes behind the parts", parts(&|bytes| bytes.push(0)));
    lie("cut parts", parts(&|bytes| bytes.truncate(bytes.len() - 1)));
}

/// Blobs and dictionaries.
fn companion_lies(pack: &[u8], lie: &mut dyn FnMut(&str, Vec<u8>)) {
    for begin in ["blobs/", "dictionaries/"] {
        let without: Members =
            members(pack).into_iter().filter(|(name, _)| !name.starts_with(begin)).collect();
        lie(&format!("without {begin}"), signed_again(without, |_| {}));
        let mut more = members(pack);
        let bytes = b"nobody needs this".to_vec();
        let name = format!("{begin}{}", hex(&sha256(&bytes)));
        let at = more.iter().position(|(found, _)| *found > name && found.starts_with(begin));
        let behind = more.iter().rposition(|(found, _)| found.starts_with(begin)).unwrap() + 1;
        more.insert(at.unwrap_or(behind), (name, bytes));
        lie(&format!("one more of {begin}"), signed_again(more, |_| {}));
        let mut changed = members(pack);
        let found = changed.iter_mut().find(|(name, _)| name.starts_with(begin)).unwrap();
        found.1[30] ^= 1;
        lie(&format!("a changed one of {begin}"), signed_again(changed.clone(), |_| {}));
        let found = changed.iter_mut().find(|(name, _)| name.starts_with(begin)).unwrap();
        found.0 = format!("{begin}{}", hex(&sha256(&found.1)));
        lie(&format!("a changed and renamed one of {begin}"), signed_again(changed, |_| {}));
    }
}

fn manifest_lies(pack: &[u8], lie: &mut dyn FnMut(&str, Vec<u8>)) {
    for count in ["blobs", "dictionaries", "disclosed", "entries", "erased", "parts"] {
        lie(&format!("another count of {count}"), with_manifest(pack, |m| m["counts"][count] = json!(77)));
    }
    let changes: [(&str, &str, Value); 16] = [
        ("it claims that there is no gap", "/gapless", json!(1)),
        ("another first position", "/positions/first", json!("1")),
        ("another last position", "/positions/last", json!("8")),
        ("another ledger", "/ledger", json!("00112233445566778899aabbccddeefe")),
        ("another origin", "/origin", json!("waag.example/acme/00112233445566778899aabbccddeefe")),
        ("another size", "/checkpoint/size", json!("12")),
        ("a size with a zero before it", "/checkpoint/size", json!("011")),
        ("another root", "/checkpoint/root", json!("00".repeat(32))),
        ("another version", "/format", json!("waag evidence pack v2")),
        ("a number that is none", "/gapless", json!(0.0)),
        ("a truth for a number", "/gapless", json!(false)),
        ("a time that is none", "/made", json!("2026-02-30T00:00:00.000000000Z")),
        ("a time with few digits", "/made", json!("2026-11-21T19:40:00Z")),
        ("no signer", "/signers", json!([])),
        ("no actor", "/actor", json!("")),
        ("a control character", "/reason", json!("a\u{1b}[31m")),
    ];
    for (what, place, value) in changes {
        lie(what, with_manifest(pack, |m| *m.pointer_mut(place).unwrap() = value));
    }
    lie(
        "a signer who did not sign",
        with_manifest(pack, |m| {
            m["signers"].as_array_mut().unwrap().push(json!(vkey(2).to_string()));
        }),
    );
    lie("a member too many", with_manifest(pack, |m| m["note"] = json!("")));
    lie("a member too few", with_manifest(pack, |m| drop(m.as_object_mut().unwrap().remove("reason"))));
    lie("white space", with_spelling(pack, |text| text.replacen(':', ": ", 1)));
    lie("a line feed at the end", with_spelling(pack, |text| text + "\n"));
    lie("a name twice", with_spelling(pack, |text| text.replacen('{', "{\"actor\":\"a\",", 1)));
    lie("a needless escape", with_spelling(pack, |text| text.replacen("auditor", "\\u0061uditor", 1)));
    lie(
        "names in another order",
        with_spelling(pack, |text| {
            let rest = text.strip_prefix(r#"{"actor":"auditor-desk","#).unwrap();
            format!(r#"{},"actor":"auditor-desk"}}"#, format!("{{{rest}").strip_suffix('}').unwrap())
        }),
    );
}

fn history_lies(pack: &[u8], lie: &mut dyn FnMut(&str, Vec<u8>)) {
    let keys = |change: &dyn Fn(&mut Value)| {
        with(pack, "keys.json", |bytes| {
            let mut value: Value = serde_json::from_slice(bytes).unwrap();
            change(&mut value);
            *bytes = value.to_string().into_bytes();
        })
    };
    lie(
        "a retired signer",
        keys(&|k| {
            k["keys"][0]["state"] = json!("retired");
            k["keys"][0]["until"] = json!("2026-11-21T00:00:00.000000000Z");
        }),
    );
    lie(
        "a key that ends before it begins",
        keys(&|k| {
            k["keys"][0]["until"] = json!("1999-01-01T00:00:00.000000000Z");
        }),
    );
    lie("a retired key without an end", keys(&|k| k["keys"][0]["state"] = json!("revoked")));
    lie(
        "a key of another name",
        keys(&|k| k["keys"][0]["vkey"] = json!(cosigner().verifier_key().to_string())),
    );
    lie(
        "a key twice",
        keys(&|k| {
            let first = k["keys"][0].clone();
            k["keys"].as_array_mut().unwrap().push(first);
        }),
    );
    lie("keys of another origin", keys(&|k| k["origin"] = json!("waag.example/other")));
}

fn checkpoint_lies(
    all: &[packs::Sealed],
    pack: &[u8],
    dictionary: &Dictionary,
    lie: &mut dyn FnMut(&str, Vec<u8>),
) {
    let positions = [2, 3, 4, 7];
    let gathered = |note: String, proof: Vec<Hash>| -> Option<Vec<u8>> {
        let honest = gather(all, &positions, Some(dictionary));
        let lying = Gathered { checkpoint: note, proof, ..honest };
        lying.signed_by(&[1]).ok().map(|pack| pack.bytes)
    };
    let honest = tree(all, ORIGIN, 1);
    let proof = prove_entries(&honest.stored, &positions, honest.size).unwrap();
    // Another ledger's tree, a tree signed by a key that nobody was given, a smaller tree of the same ledger.
    let foreign = tree(all, "waag.example/other/00112233445566778899aabbccddeeff", 1);
    let unknown = tree(all, ORIGIN, 2);
    let smaller = tree(&all[..9], ORIGIN, 1);
    let rewritten: Vec<packs::Sealed> =
        (0..SIZE).map(|n| seal(n + u64::from(n == 3), packs::How::default())).collect();
    let rewritten = tree(&rewritten, ORIGIN, 1);
    for (what, tree) in [
        ("another origin's", &foreign),
        ("an unknown key's", &unknown),
        ("a smaller", &smaller),
        ("a rewritten", &rewritten),
    ] {
        if let Some(pack) = gathered(tree.checkpoint.note().to_owned(), proof.clone()) {
            lie(&format!("{what} checkpoint"), pack);
        }
        let name = format!("{what} checkpoint, by hand");
        lie(&name, with(pack, "checkpoint", |bytes| *bytes = tree.checkpoint.note().as_bytes().to_vec()));
    }
    let edit = |change: &dyn Fn(String) -> String| {
        with(pack, "checkpoint", |bytes| {
            *bytes = change(String::from_utf8(bytes.clone()).unwrap()).into_bytes()
        })
    };
    lie("an extension line", edit(&|note| note.replacen("\n\n", "\nmore\n\n", 1)));
    lie("without signatures", edit(&|note| note.split_inclusive("\n\n").next().unwrap().to_owned()));
    lie("no line feed at the end", edit(&|note| note.trim_end().to_owned()));
    lie("a carriage return", edit(&|note| note.replacen('\n', "\r\n", 1)));
}

fn container_lies(pack: &[u8], lie: &mut dyn FnMut(&str, Vec<u8>)) {
    lie("nothing", Vec::new());
    let mut twice = members(pack);
    twice.insert(1, twice[0].clone());
    lie("a member twice", signed_again(twice, |_| {}));
    let mut order = members(pack);
    order.swap(0, 1);
    lie("members in another order", signed_again(order, |_| {}));
    let mut strange = members(pack);
    strange.push(("note.txt".to_owned(), b"by the way".to_vec()));
    lie("a member that no pack has", signed_again(strange, |_| {}));
    let mut upper = members(pack);
    upper[0].0 = "Cover.html".to_owned();
    lie("a name in capitals", signed_again(upper, |_| {}));
    for name in
        ["manifest.json", "manifest.note", "checkpoint", "keys.json", "entries.bin", "proof.bin", "parts.bin"]
    {
        let without: Members = members(pack).into_iter().filter(|(found, _)| found != name).collect();
        lie(&format!("without {name}"), zip(&without));
    }
    let mut comment = pack.to_vec();
    let end = comment.len();
    comment[end - 2] = 2;
    comment.extend_from_slice(b"hi");
    lie("a comment", comment);
    lie("a pack behind a pack", [pack, pack].concat());
    lie("the members without a directory", {
        let start = u32_at(pack, pack.len() - 6);
        pack[..start].to_vec()
    });
    lie("bytes between members and directory", {
        let start = u32_at(pack, pack.len() - 6);
        let mut gap = [&pack[..start], b"gap", &pack[start..]].concat();
        let (end, moved) = (gap.len(), u32::try_from(start + 3).unwrap().to_le_bytes());
        gap[end - 6..end - 2].copy_from_slice(&moved);
        gap
    });
}

/// `tools/verify_pack.py`, asked in one process.
fn python(folder: &Path, asked: &[(&str, &[u8])]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let python = root.join(target).join("needs/bin/python");
    assert!(python.is_file(), "{} is not there; `cargo xtask test` brings it", python.display());
    let mut lines = String::new();
    for (at, (mode, pack)) in asked.iter().enumerate() {
        let path: PathBuf = folder.join(format!("{at}.zip"));
        std::fs::write(&path, pack).unwrap();
        lines += &format!("{mode} {}\n", path.display());
    }
    let mut child = Command::new(python)
        .arg(root.join("testing/outside/verify_packs.py"))
        .arg(root.join("tools/verify_pack.py"))
        .arg(vkey(1).to_string())
        .arg(cosigner().verifier_key().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Written by a thread of its own, since each side may wait for the other.
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let answers: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), asked.len());
    answers
}

fn rust(pack: &[u8]) -> Result<(), String> {
    let (keys, witnesses) = ([vkey(1)], [cosigner().verifier_key().clone()]);
    let trust = Trust { keys: &keys, witnesses: &witnesses, ..Trust::default() };
    verify(pack, &trust).map(drop).map_err(|fault| format!("{}: {fault}", fault.code()))
}

#[test]
fn both_verify_what_holds_and_refuse_every_lie_needs_cryptography_needs_zstandard() {
    let folder = tempfile::tempdir().unwrap();
    let (good, lies) = (good(), lies());
    let asked: Vec<(&str, &[u8])> = good
        .iter()
        .map(|(_, pack)| ("one", pack.as_slice()))
        .chain(lies.iter().map(|(_, pack)| ("one", pack.as_slice())))
        .collect();
    let answers = python(folder.path(), &asked);
    for ((what, pack), answer) in good.iter().zip(&answers) {
        assert_eq!((rust(pack), answer.as_str()), (Ok(()), "verified"), "{what}");
    }
    assert!(lies.len() > 100, "{}", lies.len());
    for ((what, pack), answer) in lies.iter().zip(&answers[good.len()..]) {
        let ours = rust(pack);
        assert!(ours.is_err() && answer.starts_with("refused: "), "{what}: {ours:?}, {answer}");
    }
}

#[test]
fn both_refuse_every_byte_flipped_and_every_length_needs_cryptography_needs_zstandard() {
    let folder = tempfile::tempdir().unwrap();
    let good: Vec<Vec<u8>> = good().into_iter().map(|(_, pack)| pack).take(2).collect();
    let asked: Vec<(&str, &[u8])> = good.iter().map(|pack| ("mutations", pack.as_slice())).collect();
    for (pack, answer) in good.iter().zip(python(folder.path(), &asked)) {
        let total = 3 * pack.len() + 2;
        assert_eq!(answer, format!("{total} of {total} refused []"));
        for at in 0..pack.len() {
            for bit in [1, 128] {
                let mut changed = pack.clone();
                changed[at] ^= bit;
                assert!(rust(&changed).is_err(), "bit {bit} of byte {at}");
            }
            assert!(rust(&pack[..at]).is_err(), "cut at {at}");
        }
    }
}
