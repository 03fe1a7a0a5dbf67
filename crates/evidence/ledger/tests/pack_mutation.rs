//! `PACK-1` to `PACK-5` by mutation: whatever is changed in a pack turns it red, whoever changes it. A stranger can
//! change bytes, lengths and checksums; who has no key can make the manifest again; the operator can even sign it.

#[path = "support/packs.rs"]
mod packs;
#[path = "support/pack_property.rs"]
mod property;

use std::cell::Cell;
use std::path::Path;

use packs::{ORIGIN, entries, gather, member, members, relist, renote, resign, signer, tree, vkey, zip};
use waag_fixtures::mutate::mutations;
use waag_ledger::pack::{MEMBERS_MAX, PACK_BYTES_MAX, PackFault, Trust, verify};

const GOLDEN: &[u8] = include_bytes!("golden/pack-v1.zip");

fn fault(file: &[u8]) -> Option<PackFault> {
    let keys = [vkey(1)];
    verify(file, &Trust { keys: &keys, ..Trust::default() }).err()
}

fn code(file: &[u8]) -> Option<&'static str> {
    fault(file).map(|fault| fault.code())
}

#[test]
fn every_flipped_cut_added_doubled_or_missing_byte_is_red() {
    assert_eq!(code(GOLDEN), None);
    for at in 0..GOLDEN.len() {
        for flip in [1_u8 << (at % 8), 0xff] {
            let mut changed = GOLDEN.to_vec();
            changed[at] ^= flip;
            assert!(code(&changed).is_some(), "byte {at} with {flip:02x}");
        }
        assert!(code(&GOLDEN[..at]).is_some(), "cut at {at}");
        assert!(code(&GOLDEN[at + 1..]).is_some(), "from {at}");
        let (before, behind) = GOLDEN.split_at(at);
        let without = [before, &behind[1..]].concat();
        let doubled = [before, &behind[..1], behind].concat();
        assert!(code(&without).is_some() && code(&doubled).is_some(), "byte {at} missing or doubled");
    }
    for added in [&b"\0"[..], b"PK", b"PK\x05\x06", &GOLDEN[GOLDEN.len() - 22..], GOLDEN] {
        assert!(code(&[GOLDEN, added].concat()).is_some());
        assert!(code(&[added, GOLDEN].concat()).is_some());
    }
}

#[test]
fn every_flipped_byte_of_a_member_is_red_also_with_checksums_made_again() {
    let original = members(GOLDEN);
    assert_eq!(zip(&original), GOLDEN);
    for (index, (name, bytes)) in original.iter().enumerate() {
        for at in 0..bytes.len() {
            let mut changed = original.clone();
            changed[index].1[at] ^= 1 << (at % 8);
            assert!(code(&zip(&changed)).is_some(), "{name} at {at}");
            // With the list of members made again, but for the manifest itself and its note.
            if !name.starts_with("manifest.") && at % 7 == 0 {
                relist(&mut changed);
                assert_eq!(code(&zip(&changed)), Some("E0383"), "{name} at {at}");
                renote(&mut changed);
                assert_eq!(code(&zip(&changed)), Some("E0325"), "{name} at {at}");
            }
        }
    }
}

#[test]
fn what_is_proven_is_red_at_every_flipped_byte_also_when_the_operator_signs_it() {
    let original = members(GOLDEN);
    let proven = |name: &str| {
        ["entries.bin", "proof.bin", "parts.bin"].contains(&name)
            || name.starts_with("blobs/")
            || name.starts_with("dictionaries/")
    };
    let mut tried = 0;
    for (index, (name, bytes)) in original.iter().enumerate().filter(|(_, (name, _))| proven(name)) {
        // The last nine bytes say which part is erased: the operator's word, which other entries' parts refuse too.
        for at in 0..bytes.len() {
            let mut changed = original.clone();
            changed[index].1[at] ^= 1 << (at % 8);
            resign(&mut changed);
            assert!(code(&zip(&changed)).is_some(), "{name} at {at}");
            tried += 1;
        }
    }
    assert!(tried > 3_000);
    // Without a change the operator's signature is what it was.
    let mut unchanged = original;
    resign(&mut unchanged);
    assert_eq!(zip(&unchanged), GOLDEN);
}

#[test]
fn the_checkpoint_is_red_at_every_flipped_byte_but_for_lines_of_keys_that_nobody_named() {
    let mut original = members(GOLDEN);
    let checkpoint = member(&mut original, "checkpoint").clone();
    let witness = checkpoint.windows(10).rposition(|window| window == b"\xe2\x80\x94 witnes").unwrap();
    let own = [vkey(1)];
    let witnesses = [packs::cosigner().verifier_key().clone()];
    let mut unnamed = 0;
    for at in 0..checkpoint.len() {
        let mut changed = original.clone();
        member(&mut changed, "checkpoint")[at] ^= 1 << (at % 6);
        resign(&mut changed);
        let file = zip(&changed);
        let with = Trust { keys: &own, witnesses: &witnesses, ..Trust::default() };
        match verify(&file, &with) {
            Err(_) => {}
            // A witness's line whose name or key id was changed is one by nobody, and shown as not checked.
            Ok(verdict) => {
                assert!(at > witness && verdict.signatures_unchecked() == 1, "byte {at}");
                unnamed += 1;
            }
        }
        assert!(at > witness || code(&file).is_some(), "byte {at}");
    }
    assert!(unnamed > 0 && unnamed < 30, "{unnamed}");
}

/// A pack of which one thing was changed before it was made and signed by the operator.
fn made(change: impl FnOnce(&mut packs::Gathered)) -> Result<Vec<u8>, &'static str> {
    let mut gathered = gather(&entries(None), &[2, 3, 4, 7], None);
    change(&mut gathered);
    gathered.signed_by(&[1]).map(|pack| pack.bytes).map_err(|fault| fault.code())
}

#[test]
fn entries_that_are_moved_dropped_doubled_or_anothers_are_red() {
    let red = |file: Result<Vec<u8>, &'static str>, want: &str| {
        let code = file.map_or_else(Some, |file| code(&file));
        assert_eq!(code, Some(want));
    };
    assert_eq!(code(&made(|_| {}).unwrap()), None);
    red(made(|g| g.entries.swap(0, 1)), "E0387");
    red(
        made(|g| {
            let _ = g.entries.remove(0);
        }),
        "E0387",
    );
    red(
        made(|g| {
            let _ = g.entries.pop();
        }),
        "E0388",
    );
    red(made(|g| g.entries.insert(1, g.entries[0].clone())), "E0387");
    red(made(|g| g.entries.clear()), "E0376");
    // In each other's place, at another's position, beyond the tree.
    red(
        made(|g| {
            let one = g.entries[0].1.clone();
            g.entries[0].1 = std::mem::replace(&mut g.entries[1].1, one);
        }),
        "E0388",
    );
    red(made(|g| g.entries[3].0 = 6), "E0388");
    red(made(|g| g.entries[3].0 = 11), "E0387");
    red(made(|g| g.entries[3].0 = u64::MAX), "E0387");
    red(made(|g| g.entries[0].1 = entries(None)[5].bytes.clone()), "E0388");
    red(made(|g| g.entries[0].1.push(0)), "E0201");
    red(made(|g| g.entries[0].1.clear()), "E0387");
    red(made(|g| g.entries[0].1 = vec![0; 65_536]), "E0378");
}

#[test]
fn what_opens_must_be_needed_and_what_is_needed_must_be_there() {
    let dictionary =
        members(GOLDEN).into_iter().find(|(name, _)| name.starts_with("dictionaries/")).unwrap().1;
    let sealed = entries(None);
    let (blob, blob_secret) = sealed[4].blob.clone().unwrap();
    let stranger = (b"no blob of this ledger".to_vec(), blob_secret.clone());
    let red = |file: Result<Vec<u8>, &'static str>, want: &str| {
        assert_eq!(file.map_or_else(Some, |file| code(&file)), Some(want));
    };
    // Secrets of parts that are not there, doubled, or another's.
    red(made(|g| g.disclosed[0].position = 1), "E0389");
    red(made(|g| g.disclosed[2].part = 2), "E0389");
    red(made(|g| g.disclosed.insert(0, g.disclosed[0].clone())), "E0387");
    red(made(|g| g.disclosed.swap(0, 1)), "E0387");
    red(made(|g| g.disclosed[0].secret = sealed[3].secrets[0].clone()), "E0204");
    red(made(|g| g.disclosed[3].secret = blob_secret.clone()), "E0204");
    // A person's part without the common part that says where it belongs.
    red(
        made(|g| {
            let _ = g.disclosed.remove(1);
        }),
        "E0389",
    );
    // Said to be erased: what is disclosed, what is not there, twice.
    red(made(|g| g.erased.insert(0, (3, 1))), "E0389");
    red(made(|g| g.erased.push((7, 2))), "E0389");
    red(made(|g| g.erased.push((8, 0))), "E0389");
    red(made(|g| g.erased.push((7, 1))), "E0387");
    // Blobs: missing, one too many, twice, with another's secret, with a byte changed.
    red(made(|g| g.blobs.clear()), "E0389");
    red(made(|g| g.blobs.push(stranger.clone())), "E0389");
    red(made(|g| g.blobs.push(g.blobs[0].clone())), "E0387");
    red(made(|g| g.blobs[0].1 = sealed[4].secrets[1].clone()), "E0204");
    red(
        made(|g| {
            g.blobs[0].0 = {
                let mut blob = blob.clone();
                blob[40] ^= 1;
                blob
            }
        }),
        "E0389",
    );
    // The blob of a part that is not disclosed is not needed.
    red(
        made(|g| {
            let _ = g.disclosed.remove(4);
        }),
        "E0389",
    );
    // A dictionary that nothing was packed with, and one that is none.
    red(made(|g| g.dictionaries.push(dictionary.clone())), "E0389");
    red(made(|g| g.dictionaries.push(b"no dictionary".to_vec())), "E0389");
    let mut without: Vec<(String, Vec<u8>)> = members(GOLDEN);
    without.retain(|(name, _)| !name.starts_with("dictionaries/"));
    resign(&mut without);
    assert_eq!(code(&zip(&without)), Some("E0206"));
}

#[test]
fn members_of_another_pack_and_of_another_order_are_red() {
    let one = members(&made(|_| {}).unwrap());
    let other = members(&gather(&entries(None), &[2, 3, 4], None).pack());
    assert_eq!(code(&zip(&other)), None);
    for index in 0..one.len() {
        let name = &one[index].0;
        let Some(there) = other.iter().find(|(of, _)| of == name).filter(|there| **there != one[index])
        else {
            continue;
        };
        let mut swapped = one.clone();
        swapped[index] = there.clone();
        assert!(code(&zip(&swapped)).is_some(), "{name} of another pack");
        let signed = swapped.clone();
        if !name.starts_with("manifest.") {
            let mut signed = signed;
            resign(&mut signed);
            assert!(code(&zip(&signed)).is_some(), "{name} of another pack, signed");
        }
    }
    for index in 1..one.len() {
        let mut moved = one.clone();
        moved.swap(index - 1, index);
        assert_eq!(code(&zip(&moved)), Some("E0383"), "{} before {}", moved[index - 1].0, moved[index].0);
    }
    for index in 0..one.len() {
        let mut doubled = one.clone();
        doubled.insert(index, one[index].clone());
        assert_eq!(code(&zip(&doubled)), Some("E0383"));
        let mut dropped = one.clone();
        let (name, _) = dropped.remove(index);
        assert_eq!(code(&zip(&dropped)), Some("E0383"), "without {name}");
        if !name.starts_with("manifest.") && name != "cover.html" {
            resign(&mut dropped);
            assert!(code(&zip(&dropped)).is_some(), "without {name}, signed");
        }
    }
    for name in [
        "Checkpoint",
        "checkpoint ",
        "./checkpoint",
        "../x",
        "blobs/",
        "blobs/00",
        "a",
        "ENTRIES.BIN",
        "cover.pdf/",
    ] {
        let mut more = one.clone();
        more.push((name.to_owned(), b"x".to_vec()));
        assert_eq!(code(&zip(&more)), Some("E0383"), "{name}");
    }
}

#[test]
fn what_the_manifest_says_of_the_pack_is_held_against_it_and_its_spelling_is_one() {
    let original = members(GOLDEN);
    let said = |from: &str, to: &str| {
        let mut changed = original.clone();
        let manifest = String::from_utf8(member(&mut changed, "manifest.json").clone()).unwrap();
        assert_eq!(manifest.matches(from).count(), 1, "{from}");
        *member(&mut changed, "manifest.json") = manifest.replace(from, to).into_bytes();
        resign(&mut changed);
        code(&zip(&changed))
    };
    assert_eq!(said("auditor-desk", "somebody"), None);
    for (from, to) in [
        ("\"blobs\":1", "\"blobs\":0"),
        ("\"dictionaries\":1", "\"dictionaries\":2"),
        ("\"disclosed\":6", "\"disclosed\":7"),
        ("\"entries\":4", "\"entries\":5"),
        ("\"erased\":1", "\"erased\":0"),
        ("\"parts\":8", "\"parts\":9"),
        ("\"gapless\":0", "\"gapless\":1"),
        ("\"first\":\"2\"", "\"first\":\"1\""),
        ("\"last\":\"7\"", "\"last\":\"8\""),
        ("\"size\":\"11\"", "\"size\":\"12\""),
        ("\"root\":\"94", "\"root\":\"95"),
        ("\"ledger\":\"00", "\"ledger\":\"01"),
    ] {
        assert_eq!(said(from, to), Some("E0384"), "{to}");
    }
    for (from, to) in [
        ("{\"actor\"", "{ \"actor\""),
        ("{\"actor\":\"auditor-desk\",", "{\"actor\":\"a\",\"actor\":\"auditor-desk\","),
        ("{\"actor\":\"auditor-desk\",", "{"),
        ("\"event\":\"pack-1\"", "\"event\":\"pack-1\",\"extra\":1"),
        ("\"gapless\":0", "\"gapless\":false"),
        ("\"gapless\":0", "\"gapless\":00"),
        ("\"entries\":4", "\"entries\":4.0"),
        ("\"size\":\"11\"", "\"size\":\"011\""),
        ("\"size\":\"11\"", "\"size\":11"),
        ("auditor-desk", "auditor\\u002ddesk"),
        ("auditor-desk", ""),
        ("some expenses", "some\nexpenses"),
        ("\"name\":\"type\"", "\"name\":\"Type\""),
        ("40:00.000000000Z", "40:00.0Z"),
        ("waag evidence pack v1", "waag evidence pack v2"),
    ] {
        assert_eq!(said(from, to), Some("E0382"), "{to}");
    }
}

#[test]
fn the_note_is_of_this_version_by_exactly_the_signers_and_never_a_checkpoints() {
    let original = members(GOLDEN);
    let noted = |text: &str, seeds: &[u8]| {
        let signers: Vec<_> = seeds.iter().map(|seed| signer(ORIGIN, *seed)).collect();
        let note = waag_ledger::note::Note::sign(text, &signers.iter().collect::<Vec<_>>()).unwrap();
        let mut changed = original.clone();
        *member(&mut changed, "manifest.note") = note.to_string().into_bytes();
        code(&zip(&changed))
    };
    let digest = "5xbuMYm+Cw9UFAAfahMt1AADRW8LfbLTvMr186DXg7Q=";
    let text = format!("waag evidence pack v1\n{ORIGIN}\n{digest}\n");
    assert_eq!(noted(&text, &[1]), None);
    assert_eq!(noted(&text.replace("v1", "v2"), &[1]), Some("E0380"));
    assert_eq!(noted(&text.replace("waag evidence", "another"), &[1]), Some("E0381"));
    assert_eq!(noted(&format!("{text}more\n"), &[1]), Some("E0381"));
    assert_eq!(noted(&text.replace("acme", "other"), &[1]), Some("E0381"));
    assert_eq!(noted(&text.replace("5xbu", "6xbu"), &[1]), Some("E0383"));
    assert_eq!(noted(&text, &[2]), Some("E0381"));
    assert_eq!(noted(&text, &[1, 2]), Some("E0381"));
    // Signed by the operator's own key, a checkpoint is no manifest's note, and a manifest's note is no checkpoint.
    let mut original = original.clone();
    let checkpoint = member(&mut original, "checkpoint").clone();
    let body = std::str::from_utf8(&checkpoint).unwrap().split("\n\n").next().unwrap();
    assert_eq!(noted(&format!("{body}\n"), &[1]), Some("E0381"));
    let mut swapped = original.clone();
    *member(&mut swapped, "checkpoint") = member(&mut original, "manifest.note").clone();
    resign(&mut swapped);
    assert_eq!(code(&zip(&swapped)), Some("E0342"));
    assert!(waag_ledger::note::VerifierKey::new("waag evidence pack v1", [0; 32]).is_err());
}

#[test]
fn two_signers_are_both_checked_and_both_active() {
    use waag_ledger::history::{KeyHistory, KeyState, KeyWindow};
    let window = |seed, until_ns, state| KeyWindow { key: vkey(seed), from_ns: 0, until_ns, state };
    let active = || vec![window(1, None, KeyState::Active), window(2, None, KeyState::Active)];
    let mut gathered = gather(&entries(None), &[2, 3], None);
    gathered.keys = KeyHistory::new(active()).unwrap();
    let file = gathered.signed_by(&[1, 2]).unwrap().bytes;
    assert_eq!(code(&file), None);
    // Every byte of the line by the key that was not given counts too.
    let original = members(&file);
    let note = original.iter().find(|(name, _)| name == "manifest.note").unwrap().1.clone();
    for at in 0..note.len() {
        let mut changed = original.clone();
        member(&mut changed, "manifest.note")[at] ^= 1 << (at % 6);
        assert!(code(&zip(&changed)).is_some(), "byte {at}");
    }
    gathered.keys =
        KeyHistory::new(vec![window(1, None, KeyState::Active), window(2, Some(1), KeyState::Retired)])
            .unwrap();
    assert_eq!(code(&gathered.signed_by(&[1, 2]).unwrap().bytes), Some("E0384"));
    // Signed by a key that was not given alone.
    gathered.keys = KeyHistory::new(active()).unwrap();
    assert_eq!(code(&gathered.signed_by(&[2]).unwrap().bytes), Some("E0379"));
    assert_eq!(gathered.signed_by(&[]).map(|_| ()).unwrap_err().code(), "E0323");
    assert_eq!(gathered.signed_by(&[1, 1]).map(|_| ()).unwrap_err().code(), "E0326");
    assert_eq!(gathered.signed_by(&[1; 9]).map(|_| ()).unwrap_err().code(), "E0378");
}

#[test]
fn another_ledgers_checkpoint_a_smaller_tree_and_an_empty_one_are_red() {
    let sealed = entries(None);
    let other = tree(&sealed, "waag.example/acme/ffffffffffffffffffffffffffffffff", 1);
    let smaller = tree(&sealed[..8], ORIGIN, 1);
    // The signatures are the operator's; what the manifest's origin and size are told by is the checkpoint.
    let file = made(|g| g.checkpoint = smaller.checkpoint.note().to_owned()).unwrap();
    assert_eq!(code(&file), Some("E0387"));
    // A history of another ledger's keys does not even come into the file.
    assert_eq!(made(|g| g.checkpoint = other.checkpoint.note().to_owned()).unwrap_err(), "E0382");
    let mut swapped = members(&made(|_| {}).unwrap());
    *member(&mut swapped, "checkpoint") = other.checkpoint.note().as_bytes().to_vec();
    resign(&mut swapped);
    assert_eq!(code(&zip(&swapped)), Some("E0324"));
    let extended = {
        let checkpoint =
            waag_ledger::note::Note::parse(tree(&sealed, ORIGIN, 1).checkpoint.note().as_bytes()).unwrap();
        let text = format!("{}an extension\n", checkpoint.text());
        waag_ledger::note::Note::sign(&text, &[&signer(ORIGIN, 1)]).unwrap().to_string()
    };
    assert_eq!(code(&made(|g| g.checkpoint = extended).unwrap()), Some("E0385"));
}

#[test]
fn every_limit_is_held_above_it_and_not_at_it() {
    // Nothing of these is read: a file that is too long is refused by its length.
    assert_eq!(code(&vec![0; PACK_BYTES_MAX + 1]), Some("E0378"));
    assert_eq!(code(&vec![0; PACK_BYTES_MAX]), Some("E0377"));
    let original = members(GOLDEN);
    let with = |count: usize| {
        let mut many = original[..9].to_vec();
        let more = (0..count - many.len()).map(|at| (format!("dictionaries/{at:064x}"), Vec::new()));
        many.extend(more);
        code(&zip(&many))
    };
    assert_eq!((with(MEMBERS_MAX), with(MEMBERS_MAX + 1)), (Some("E0383"), Some("E0378")));
    let counted = |name: &str, at: usize, count: u32| {
        let mut changed = original.clone();
        member(&mut changed, name)[at..at + 4].copy_from_slice(&count.to_be_bytes());
        resign(&mut changed);
        code(&zip(&changed))
    };
    assert_eq!(
        (counted("entries.bin", 0, 1_000_000), counted("entries.bin", 0, 1_000_001)),
        (Some("E0387"), Some("E0378"))
    );
    assert_eq!(
        (counted("parts.bin", 0, 8_000_000), counted("parts.bin", 0, 8_000_001)),
        (Some("E0387"), Some("E0378"))
    );
    assert_eq!(counted("entries.bin", 0, 0), Some("E0376"));
    let long = |name: &str, bytes: usize| {
        let mut changed = original.clone();
        member(&mut changed, name).resize(bytes, b' ');
        if name != "manifest.json" {
            resign(&mut changed);
        } else {
            renote(&mut changed);
        }
        code(&zip(&changed))
    };
    assert_eq!((long("keys.json", 1_048_576), long("keys.json", 1_048_577)), (Some("E0382"), Some("E0378")));
    assert_eq!(
        (long("manifest.json", 16_777_216), long("manifest.json", 16_777_217)),
        (Some("E0382"), Some("E0378"))
    );
}

#[test]
fn fuzz_corpus_pack() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus/pack");
    let (mut verified, mut not) = (0, 0);
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let holds = property::holds_for(&std::fs::read(&path).unwrap());
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(!name.starts_with("good_") || holds, "{name} was not verified");
        assert!(!name.starts_with("bad_") || !holds, "{name} was verified");
        if holds { verified += 1 } else { not += 1 }
    }
    assert!(verified >= 3 && not >= 5, "the corpus is there: {verified} verified, {not} not");
    assert_eq!(property::VKEY, vkey(1).to_string());
}

#[test]
fn mutations_of_the_fuzz_corpus_pack() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus/pack");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let (verified, not) = (Cell::new(0), Cell::new(0));
    mutations(&seeds, 20_000, 1, &mut |input| {
        let counted = if property::holds_for(input) { &verified } else { &not };
        counted.set(counted.get() + 1);
    });
    assert!(not.get() > 10_000, "{} verified, {} not", verified.get(), not.get());
}
