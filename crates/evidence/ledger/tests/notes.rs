//! Signed notes, checkpoints and proof files: the specifications' own examples, every refusal, and every byte
//! flipped.
//!
//! Place: `LEDGER-3`, `LEDGER-4`, `LEDGER-5`. Not here: other implementations (`interop.rs`).
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use proptest::prelude::*;
use waag_ledger::checkpoint::{Checkpoint, CheckpointError, ORIGIN_BYTES_MAX, SignedCheckpoint};
use waag_ledger::hash::{EMPTY_ROOT, Hash, leaf_hash};
use waag_ledger::note::{
    KEY_NAME_BYTES_MAX, NOTE_BYTES_MAX, Note, NoteError, NoteSigner, SIGNATURES_MAX, VerifierKey,
};
use waag_ledger::proof::PATH_NODES_MAX;
use waag_ledger::range::RangeTree;
use waag_ledger::tlog_proof::{EXTRA_BYTES_MAX, TLOG_PROOF_BYTES_MAX, TlogProof};
use waag_ledger::tree::{Frontier, TREE_SIZE_MAX};

const ORIGIN: &str = "waag.example/acme/00112233445566778899aabbccddeeff";

/// The example of C2SP signed-note.
const SPEC_VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const SPEC_NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo \
    Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

fn signer(name: &str, seed: u8) -> NoteSigner {
    NoteSigner::from_seed(name, &[seed; 32]).unwrap()
}

fn keys(signers: &[&NoteSigner]) -> Vec<VerifierKey> {
    signers.iter().map(|signer| signer.verifier_key().clone()).collect()
}

fn checkpoint(size: u64) -> Checkpoint {
    let root = if size == 0 { EMPTY_ROOT } else { leaf_hash(b"root") };
    Checkpoint { origin: ORIGIN.to_owned(), size, root }
}

/// A ledger of 11 entries, its checkpoint and the proof of entry 6.
fn proof_file(signers: &[&NoteSigner]) -> (TlogProof, Vec<u8>) {
    let entries: Vec<Vec<u8>> = (0..11u8).map(|n| vec![n; 20]).collect();
    let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let tree = RangeTree::append(&mut Frontier::new(), &leaves);
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: tree.tree_size(), root: tree.root() };
    let signed = SignedCheckpoint::sign(checkpoint, signers).unwrap();
    let proof = TlogProof::new(tree.inclusion_proof(6).unwrap(), &signed).unwrap();
    (proof, vec![6; 20])
}

/// Every text at one edit's distance: each bit flipped, each byte taken away, doubled or cut off behind.
fn one_edit(original: &[u8]) -> Vec<Vec<u8>> {
    let mut edits = Vec::new();
    for at in 0..original.len() {
        for bit in 0..8 {
            let mut edit = original.to_vec();
            edit.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
            edits.push(edit);
        }
        let (before, rest) = original.split_at(at);
        let byte = rest.iter().take(1);
        edits.push(before.to_vec());
        edits.push(before.iter().chain(rest.iter().skip(1)).copied().collect());
        edits.push(before.iter().chain(byte).chain(rest).copied().collect());
    }
    for added in [b'\n', b' ', b'=', 0] {
        edits.push(original.iter().copied().chain([added]).collect());
        edits.push([added].into_iter().chain(original.iter().copied()).collect());
    }
    // Taking away or doubling one of two equal neighbours may give the same text twice, never the original.
    edits.retain(|edit| edit != original);
    edits
}

#[test]
fn the_specification_example_verifies() {
    let key: VerifierKey = SPEC_VKEY.parse().unwrap();
    assert_eq!((key.name(), key.id().to_string().as_str()), ("example.com/foo", "530d903a"));
    assert_eq!(key.to_string(), SPEC_VKEY);
    let note = Note::parse(SPEC_NOTE.as_bytes()).unwrap();
    assert_eq!(note.text(), "This is an example message.\n");
    assert_eq!(note.verify(std::slice::from_ref(&key)).unwrap(), [&key]);
    assert_eq!(note.to_string(), SPEC_NOTE);
    for edit in one_edit(SPEC_NOTE.as_bytes()) {
        let believed =
            Note::parse(&edit).and_then(|note| note.verify(std::slice::from_ref(&key)).map(|_| ()));
        assert!(believed.is_err(), "{}", String::from_utf8_lossy(&edit));
    }
}

#[test]
fn a_text_may_hold_empty_lines_and_any_unicode() {
    // The specification's poem, whose text holds an empty line, with a signature by a key nobody here knows.
    let poem = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n";
    let line = "\u{2014} quasimodo.example/salvatore \
        NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";
    let note = Note::parse(format!("{poem}\n{line}").as_bytes()).unwrap();
    assert_eq!(note.text(), poem);
    let own = signer("a", 1);
    assert_eq!(note.verify(&keys(&[&own])), Err(NoteError::NoKnownSignature));
    for text in [poem, "\n", "\n\n", "a\n\n\nb\n\n", "\u{2014} a AAAAAAA=\n"] {
        let note = Note::sign(text, &[&own]).unwrap();
        let again = Note::parse(note.to_string().as_bytes()).unwrap();
        assert_eq!((again.text(), &again), (text, &note));
        assert_eq!(again.verify(&keys(&[&own])).unwrap(), [own.verifier_key()]);
    }
    for text in ["", "no newline", "tab\t\n", "nul\0\n", "cr\r\n"] {
        assert_eq!(Note::sign(text, &[&own]), Err(NoteError::Text), "{text:?}");
    }
}

#[test]
fn malformed_notes_are_refused() {
    let cases: [(&[u8], &str); 14] = [
        (b"", "E0321"),
        (b"text\n", "E0321"),
        (b"text\n\n", "E0322"),
        (b"text\n\n\n", "E0322"),
        (b"text\n\xff\n\n", "E0321"),
        (b"te\rxt\n\n\xe2\x80\x94 a AAAAAAA=\n", "E0321"),
        (b"text\n\n\xe2\x80\x94 a AAAAAAA=", "E0322"),
        (b"text\n\n\xe2\x80\x94 a AAAAAA==\n", "E0322"), // four bytes: a key id, no signature
        (b"text\n\n\xe2\x80\x94 a AAAAAAB=\n", "E0322"), // unused bits set
        (b"text\n\n\xe2\x80\x94 a+b AAAAAAA=\n", "E0322"),
        (b"text\n\n\xe2\x80\x94  AAAAAAA=\n", "E0322"),
        (b"text\n\n\xe2\x80\x94 a\xc2\xa0b AAAAAAA=\n", "E0322"), // a Unicode space
        (b"text\n\n- a AAAAAAA=\n", "E0322"),
        (b"text\n\n\xe2\x80\x94 a AAAAAAA= \n", "E0322"),
    ];
    for (bytes, code) in cases {
        let error = Note::parse(bytes).unwrap_err();
        assert_eq!(error.code(), code, "{}", String::from_utf8_lossy(bytes));
    }
    assert!(Note::parse("text\n\n\u{2014} a AAAAAAA=\n".as_bytes()).is_ok());
}

#[test]
fn known_keys_decide_and_unknown_ones_are_ignored() {
    let (old, new) = (signer(ORIGIN, 1), signer(ORIGIN, 2));
    let stranger = signer("stranger", 3);
    let text = "text\n";
    let note = Note::sign(text, &[&stranger, &old, &new]).unwrap();
    // In the order of the lines, whatever the order of the keys.
    assert_eq!(note.verify(&keys(&[&new, &old])).unwrap(), [old.verifier_key(), new.verifier_key()]);
    assert_eq!(note.verify(&keys(&[&new])).unwrap(), [new.verifier_key()]);
    assert_eq!(note.verify(&[]), Err(NoteError::NoKnownSignature));

    // A false signature by a known key spoils the note, though the other key signed rightly.
    let other = Note::sign("other\n", &[&new]).unwrap();
    let new_line = other.signatures().iter().map(ToString::to_string).collect::<String>();
    let old_line = note.signatures().iter().map(ToString::to_string).nth(1).unwrap();
    let mixed = Note::parse(format!("{text}\n{old_line}{new_line}").as_bytes()).unwrap();
    assert_eq!(mixed.verify(&keys(&[&old])).unwrap(), [old.verifier_key()]);
    assert_eq!(mixed.verify(&keys(&[&old, &new])).unwrap_err().code(), "E0325");

    // A key that signed rightly twice counts once; rightly and falsely is false.
    let twice = Note::parse(format!("{text}\n{old_line}{old_line}").as_bytes()).unwrap();
    assert_eq!(twice.verify(&keys(&[&old, &old])).unwrap(), [old.verifier_key()]);
    let false_line = Note::sign("other\n", &[&old]).unwrap().signatures().first().unwrap().to_string();
    let contradicting = Note::parse(format!("{text}\n{old_line}{false_line}").as_bytes()).unwrap();
    assert_eq!(contradicting.verify(&keys(&[&old])).unwrap_err().code(), "E0325");

    // A known key's name over another key's id is another key, and so is the reverse.
    let renamed = old_line.replace(ORIGIN, "else.example");
    let note = Note::parse(format!("{text}\n{renamed}").as_bytes()).unwrap();
    assert_eq!(note.verify(&keys(&[&old])), Err(NoteError::NoKnownSignature));

    // A signature of a wrong length is false, not a panic.
    let short = Note::parse(
        format!("{text}\n\u{2014} {ORIGIN} {}\n", {
            let mut bytes = old.verifier_key().id().0.to_vec();
            bytes.push(7);
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
        })
        .as_bytes(),
    )
    .unwrap();
    assert_eq!(short.verify(&keys(&[&old])).unwrap_err().code(), "E0325");
    assert_eq!(Note::sign(text, &[&old, &old]), Err(NoteError::AmbiguousKeys));
}

#[test]
fn keys_that_share_name_and_id_are_refused() {
    // 32 bits of id collide among some ten thousands of keys; anyone can make such a pair.
    let mut seen = std::collections::HashMap::new();
    let (one, other) = (0..1_000_000u32)
        .find_map(|n| {
            let mut public_key = [0; 32];
            public_key.iter_mut().zip(n.to_be_bytes()).for_each(|(to, from)| *to = from);
            let key = VerifierKey::new(ORIGIN, public_key).unwrap();
            seen.insert(key.id(), key.clone()).map(|earlier| (earlier, key))
        })
        .unwrap();
    assert_ne!(one, other);
    let mut line = one.id().0.to_vec();
    line.extend([0; 64]);
    let line = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, line);
    let note = Note::parse(format!("text\n\n\u{2014} {ORIGIN} {line}\n").as_bytes()).unwrap();
    assert_eq!(note.verify(&[one.clone(), other]), Err(NoteError::AmbiguousKeys));
    assert_eq!(note.verify(&[one.clone(), one]).unwrap_err().code(), "E0325");
}

#[test]
fn notes_hold_to_their_limits() {
    let signers: Vec<NoteSigner> = (0..65u8).map(|n| signer(ORIGIN, n)).collect();
    let some = |count| signers.iter().take(count).collect::<Vec<_>>();
    for count in [1, 16, SIGNATURES_MAX] {
        let note = Note::sign("text\n", &some(count)).unwrap();
        let again = Note::parse(note.to_string().as_bytes()).unwrap();
        assert_eq!(again.verify(&keys(&some(count))).unwrap().len(), count);
    }
    assert_eq!(Note::sign("text\n", &[]), Err(NoteError::SignatureCount { got: 0 }));
    assert_eq!(
        Note::sign("text\n", &some(SIGNATURES_MAX + 1)),
        Err(NoteError::SignatureCount { got: SIGNATURES_MAX + 1 })
    );
    let full = Note::sign("text\n", &some(SIGNATURES_MAX)).unwrap().to_string();
    let line = full.lines().last().unwrap().to_owned();
    assert_eq!(Note::parse(format!("{full}{line}\n").as_bytes()).unwrap_err().code(), "E0323");

    // Sixteen ML-DSA-44 signature lines fit: 8 + 2,420 bytes behind the key id.
    let large = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [1; 4 + 8 + 2420]);
    let lines: String = (0..16).map(|n| format!("\u{2014} witness{n}.example/cosigner {large}\n")).collect();
    assert_eq!(Note::parse(format!("text\n\n{lines}").as_bytes()).unwrap().signatures().len(), 16);

    let frame = Note::sign("\n", &some(1)).unwrap().to_string().len() - 1;
    let text = |length: usize| format!("{}\n", "x".repeat(length - frame - 1));
    let longest = Note::sign(&text(NOTE_BYTES_MAX), &some(1)).unwrap().to_string();
    assert_eq!(longest.len(), NOTE_BYTES_MAX);
    assert!(Note::parse(longest.as_bytes()).is_ok());
    assert_eq!(Note::sign(&text(NOTE_BYTES_MAX + 1), &some(1)).unwrap_err().code(), "E0320");
    assert_eq!(Note::parse(format!("x{longest}").as_bytes()).unwrap_err().code(), "E0320");
}

#[test]
fn verifier_keys_are_strict() {
    let key = signer(ORIGIN, 9).verifier_key().clone();
    assert_eq!(key.to_string().parse::<VerifierKey>().unwrap(), key);
    let typed = |kind: u8, length: usize| {
        let mut bytes = vec![7; length];
        bytes.insert(0, kind);
        let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
        format!("a+00000000+{base64}").parse::<VerifierKey>().unwrap_err().code()
    };
    assert_eq!(typed(0x01, 32), "E0330");
    assert_eq!((typed(0x01, 31), typed(0x01, 33)), ("E0328", "E0328"));
    assert_eq!((typed(0x04, 32), typed(0x06, 1_312)), ("E0330", "E0330"));
    assert_eq!((typed(0x04, 33), typed(0x06, 1_311)), ("E0328", "E0328"));
    assert_eq!((typed(0x02, 91), typed(0xff, 32)), ("E0329", "E0329"));
    // Above the limit even the type is not looked at.
    assert_eq!((typed(0x02, 3_000), typed(0x02, 3_100)), ("E0329", "E0328"));
    for bad in ["", "+", "++", "a+b", "a+53+AAAA", "a b+00000000+AQ=="] {
        assert_eq!(bad.parse::<VerifierKey>().unwrap_err().code(), "E0328", "`{bad}`");
    }
    for name in ["", "a b", "a+b", "a\u{3000}b", "a\nb", "a\u{7f}b", "a\u{9f}b"] {
        assert_eq!(VerifierKey::new(name, [1; 32]), Err(NoteError::KeyName), "{name:?}");
    }
    assert!(VerifierKey::new(&"n".repeat(KEY_NAME_BYTES_MAX), [1; 32]).is_ok());
    assert_eq!(VerifierKey::new(&"n".repeat(KEY_NAME_BYTES_MAX + 1), [1; 32]), Err(NoteError::KeyName));
    // One changed character anywhere: the id no longer follows from name and key.
    for edit in one_edit(key.to_string().as_bytes()) {
        if let Ok(text) = String::from_utf8(edit) {
            assert!(text.parse::<VerifierKey>().is_err(), "{text}");
        }
    }
}

#[test]
fn a_signer_never_prints_its_seed() {
    let printed = format!("{:?}", NoteSigner::from_seed(ORIGIN, &[0xab; 32]).unwrap());
    assert!(printed.contains(ORIGIN) && !printed.contains("abab") && !printed.contains("171"), "{printed}");
}

#[test]
fn checkpoints_round_trip_and_parse_strictly() {
    for size in [0, 1, 20_852_163, TREE_SIZE_MAX] {
        assert_eq!(Checkpoint::parse(&checkpoint(size).body()), Ok(checkpoint(size)));
    }
    let root = leaf_hash(b"root").to_base64();
    let extended = format!("{ORIGIN}\n5\n{root}\nextension one\nextension two\n");
    let parsed = Checkpoint::parse(&extended).unwrap();
    assert_eq!(parsed, checkpoint(5));
    assert_eq!(parsed.body(), format!("{ORIGIN}\n5\n{root}\n"), "extension lines are read, never written");
    let cases = [
        (String::new(), "E0340"),
        (format!("{ORIGIN}\n5\n"), "E0340"),
        (format!("{ORIGIN}\n5\n{root}"), "E0340"),
        (format!("{ORIGIN}\n5\n{root}\n\n"), "E0340"),
        (format!("{ORIGIN}\n5\n{root}\n\nextension\n"), "E0340"),
        (format!("\n5\n{root}\n"), "E0340"),
        (format!("{}\n5\n{root}\n", "o".repeat(ORIGIN_BYTES_MAX + 1)), "E0341"),
        (format!("tab\there\n5\n{root}\n"), "E0341"),
        (format!("{ORIGIN}\n05\n{root}\n"), "E0342"),
        (format!("{ORIGIN}\n+5\n{root}\n"), "E0342"),
        (format!("{ORIGIN}\n5 \n{root}\n"), "E0342"),
        (format!("{ORIGIN}\n{}\n{root}\n", TREE_SIZE_MAX + 1), "E0342"),
        (format!("{ORIGIN}\n5\n{}\n", leaf_hash(b"root")), "E0343"),
        (format!("{ORIGIN}\n5\n{}\n", root.trim_end_matches('=')), "E0343"),
        (format!("{ORIGIN}\n0\n{root}\n"), "E0343"),
    ];
    for (body, code) in cases {
        assert_eq!(Checkpoint::parse(&body).unwrap_err().code(), code, "{body:?}");
    }
    assert!(Checkpoint::parse(&format!("{}\n5\n{root}\n", "o".repeat(ORIGIN_BYTES_MAX))).is_ok());
}

#[test]
fn only_a_key_of_the_origin_makes_a_signed_checkpoint() {
    let (own, next, other) = (signer(ORIGIN, 1), signer(ORIGIN, 2), signer("other.example", 3));
    let signed = SignedCheckpoint::sign(checkpoint(5), &[&own, &next, &other]).unwrap();
    assert_eq!(signed.signers(), keys(&[&own, &next, &other]));
    let again = SignedCheckpoint::verify(signed.note().as_bytes(), &keys(&[&own, &next, &other])).unwrap();
    assert_eq!(again, signed);
    for known in [&[&own][..], &[&next], &[&other, &own]] {
        let verified = SignedCheckpoint::verify(signed.note().as_bytes(), &keys(known)).unwrap();
        assert_eq!((verified.checkpoint(), verified.note()), (&checkpoint(5), signed.note()));
    }
    // The other key is known and signed rightly, but it speaks for another ledger.
    let error = SignedCheckpoint::verify(signed.note().as_bytes(), &keys(&[&other])).unwrap_err();
    assert_eq!(error, CheckpointError::NotByOrigin { origin: ORIGIN.to_owned() });
    assert_eq!(SignedCheckpoint::sign(checkpoint(5), &[&other]).unwrap_err().code(), "E0344");
    assert_eq!(SignedCheckpoint::verify(signed.note().as_bytes(), &[]).unwrap_err().code(), "E0324");
    // What could not be read back is not signed.
    for (wrong, code) in [
        (Checkpoint { origin: format!("{ORIGIN}\n7"), ..checkpoint(5) }, "E0341"),
        (Checkpoint { size: TREE_SIZE_MAX + 1, ..checkpoint(5) }, "E0342"),
        (Checkpoint { size: 0, ..checkpoint(5) }, "E0343"),
    ] {
        assert_eq!(SignedCheckpoint::sign(wrong, &[&own]).unwrap_err().code(), code);
    }
    // A signed note that is no checkpoint is none, however well it is signed.
    let poem = Note::sign("not a checkpoint\n", &[&own]).unwrap().to_string();
    assert_eq!(SignedCheckpoint::verify(poem.as_bytes(), &keys(&[&own])).unwrap_err().code(), "E0340");
}

#[test]
fn every_edit_of_a_signed_checkpoint_is_refused() {
    let own = signer(ORIGIN, 1);
    let signed = SignedCheckpoint::sign(checkpoint(1_234_567), &[&own]).unwrap();
    for edit in one_edit(signed.note().as_bytes()) {
        let believed = SignedCheckpoint::verify(&edit, &keys(&[&own]));
        assert!(believed.is_err(), "{}", String::from_utf8_lossy(&edit));
    }
}

#[test]
fn a_proof_file_proves_its_entry_and_nothing_else() {
    let own = signer(ORIGIN, 1);
    let (proof, entry) = proof_file(&[&own]);
    let file = proof.to_string();
    assert!(file.starts_with("c2sp.org/tlog-proof@v1\nindex 6\n"));
    let read = TlogProof::parse(file.as_bytes()).unwrap();
    assert_eq!((&read, read.to_string()), (&proof, file));
    let proven = read.verify(&entry, &keys(&[&own])).unwrap();
    assert_eq!((proven.index(), proven.leaf()), (6, leaf_hash(&entry)));
    assert_eq!(proven.checkpoint().checkpoint().size, 11);
    for at in 0..entry.len() {
        let mut other = entry.clone();
        other.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1);
        assert_eq!(read.verify(&other, &keys(&[&own])).unwrap_err().code(), "E0313");
    }
    assert_eq!(read.verify(&entry, &keys(&[&signer(ORIGIN, 2)])).unwrap_err().code(), "E0324");
    assert_eq!(read.verify(b"", &keys(&[&own])).unwrap_err().code(), "E0313");
}

#[test]
fn every_edit_of_a_proof_file_is_refused() {
    let own = signer(ORIGIN, 1);
    let (proof, entry) = proof_file(&[&own]);
    for edit in one_edit(proof.to_string().as_bytes()) {
        let believed = TlogProof::parse(&edit).and_then(|proof| proof.verify(&entry, &keys(&[&own])));
        assert!(believed.is_err(), "{}", String::from_utf8_lossy(&edit));
    }
}

#[test]
fn extra_data_is_carried_but_not_believed() {
    let own = signer(ORIGIN, 1);
    let (proof, entry) = proof_file(&[&own]);
    let plain = proof.verify(&entry, &keys(&[&own])).unwrap();
    let with_extra = proof.clone().with_extra(b"opaque".to_vec()).unwrap();
    let file = with_extra.to_string();
    assert!(file.starts_with("c2sp.org/tlog-proof@v1\nextra b3BhcXVl\nindex 6\n"));
    let read = TlogProof::parse(file.as_bytes()).unwrap();
    assert_eq!((read.extra(), &read), (&b"opaque"[..], &with_extra));
    // Whatever stands in the extra line, the result of verification is the same.
    assert_eq!(read.verify(&entry, &keys(&[&own])).unwrap(), plain);
    for edit in one_edit(file.as_bytes()) {
        let believed = TlogProof::parse(&edit).and_then(|read| {
            let proven = read.verify(&entry, &keys(&[&own]))?;
            Ok((read, proven))
        });
        if let Ok((read, proven)) = believed {
            assert_eq!(proven, plain);
            assert_eq!(read.clone().with_extra(Vec::new()).unwrap(), proof, "only the extra line may differ");
            assert_ne!(read.extra(), b"opaque");
        }
    }
    assert_eq!(proof.clone().with_extra(Vec::new()).unwrap(), proof);
    assert!(proof.clone().with_extra(vec![0; EXTRA_BYTES_MAX]).is_ok());
    assert_eq!(proof.with_extra(vec![0; EXTRA_BYTES_MAX + 1]).unwrap_err().code(), "E0352");
}

#[test]
fn malformed_proof_files_are_refused() {
    let own = signer(ORIGIN, 1);
    let (proof, _) = proof_file(&[&own]);
    let note = proof.note().to_string();
    let header = "c2sp.org/tlog-proof@v1\n";
    let hash = leaf_hash(b"x").to_base64();
    let path = |count: usize| format!("{hash}\n").repeat(count);
    let cases = [
        (String::new(), "E0351"),
        ("c2sp.org/tlog-proof@v2\nindex 0\n".to_owned(), "E0351"),
        (format!("\n{header}index 0\n\n{note}"), "E0351"),
        (header.to_owned(), "E0353"),
        (format!("{header}extra \nindex 0\n\n{note}"), "E0352"),
        (format!("{header}extra ???\nindex 0\n\n{note}"), "E0352"),
        (format!("{header}extra AAAA\nextra AAAA\nindex 0\n\n{note}"), "E0353"),
        (format!("{header}index 00\n\n{note}"), "E0353"),
        (format!("{header}index -1\n\n{note}"), "E0353"),
        (format!("{header}Index 0\n\n{note}"), "E0353"),
        (format!("{header}index 0\n{hash}x\n\n{note}"), "E0354"),
        (format!("{header}index 0\n{hash} \n\n{note}"), "E0354"),
        (format!("{header}index 0\n{}\n{note}", path(PATH_NODES_MAX + 1)), "E0355"),
        (format!("{header}index 0\n{hash}"), "E0321"),
        (format!("{header}index 0\n\n"), "E0321"),
        (format!("{header}index 0\n{note}"), "E0354"),
        ("x".repeat(TLOG_PROOF_BYTES_MAX + 1), "E0350"),
    ];
    for (file, code) in cases {
        let error = TlogProof::parse(file.as_bytes()).unwrap_err();
        assert_eq!(error.code(), code, "{}", file.chars().take(200).collect::<String>());
    }
    assert!(
        TlogProof::parse(format!("{header}index 0\n{}\n{note}", path(PATH_NODES_MAX)).as_bytes()).is_ok()
    );
    // The largest of everything fits the limit of the whole.
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [0; EXTRA_BYTES_MAX]);
    let head = format!("{header}extra {base64}\nindex {TREE_SIZE_MAX}\n{}\n", path(PATH_NODES_MAX));
    assert!(head.len() + NOTE_BYTES_MAX <= TLOG_PROOF_BYTES_MAX);

    let signed = SignedCheckpoint::sign(checkpoint(12), &[&own]).unwrap();
    let tree = RangeTree::append(&mut Frontier::new(), &[leaf_hash(b"x"); 11]);
    let error = TlogProof::new(tree.inclusion_proof(0).unwrap(), &signed).unwrap_err();
    assert_eq!(error.code(), "E0356");
}

proptest! {
    #[test]
    fn parsers_survive_anything(bytes in prop::collection::vec(any::<u8>(), 0..400), text in "(?s).{0,200}") {
        for input in [&bytes[..], text.as_bytes()] {
            let _ = Note::parse(input);
            let _ = TlogProof::parse(input);
            let _ = TlogProof::parse(&[b"c2sp.org/tlog-proof@v1\nindex 1\n", input].concat());
        }
        let _ = Checkpoint::parse(&text);
        let _ = text.parse::<VerifierKey>();
    }

    #[test]
    fn whatever_parses_prints_the_same(text in "[a-c\n]{0,12}", names in "[a\u{2014} \n=+]{0,12}") {
        let note = format!("{text}\n\n\u{2014} {names} AAAAAAA=\n");
        if let Ok(parsed) = Note::parse(note.as_bytes()) {
            prop_assert_eq!(parsed.to_string(), note);
        }
    }
}
