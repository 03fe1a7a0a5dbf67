//! `VERIFY-1`: the verifier itself is tested by mutation. Every bit flipped, every byte taken away, doubled or cut off,
//! of the entry, of the proof and of the key, turns it red; so does anything empty or swapped.
//!
//! The sweeps call the decision in-process; `program.rs` runs the binary on a sample of the same changes.
#![expect(clippy::indexing_slicing, reason = "a test's helpers fail loudly")]

mod support;

use proptest::prelude::*;
use support::{How, ORIGIN, given, ledger, prove, seal, signer, vkey};
use waag_ledger::note::VerifierKey;
use waag_ledger::tlog_proof::TlogProof;
use waag_verify::verify::verify;

/// The code of the refusal; none where it is verified.
fn code(entry: &[u8], proof: &[u8], keys: &[VerifierKey]) -> Option<&'static str> {
    verify(&given(entry, proof, keys)).err().map(|error| {
        assert_ne!(error.exit(), 0);
        error.code()
    })
}

/// Everything at one edit's distance: each bit flipped, each byte taken away or doubled, each cut, a byte added.
fn one_edit(original: &[u8]) -> Vec<Vec<u8>> {
    let mut edits = Vec::new();
    for at in 0..original.len() {
        for bit in 0..8 {
            let mut edit = original.to_vec();
            edit.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
            edits.push(edit);
        }
        let (before, rest) = original.split_at(at);
        edits.push(before.to_vec());
        edits.push([before, &rest[1..]].concat());
        edits.push([before, &rest[..1], rest].concat());
    }
    for added in [b'\n', b' ', b'=', 0] {
        edits.push([original, &[added]].concat());
        edits.push([&[added], original].concat());
    }
    // Doubling or taking away one of two equal neighbours gives one text twice, and never the original.
    edits.retain(|edit| edit != original);
    edits
}

#[test]
fn every_edit_of_the_entry_is_red() {
    let own = signer(ORIGIN, 1);
    for (size, index) in [(1, 0), (2, 1), (11, 6)] {
        let (sealed, proof) = ledger(size, index, &How::default(), &[&own]);
        let keys = [vkey(&own)];
        assert_eq!(code(&sealed.bytes, &proof, &keys), None);
        let edits = one_edit(&sealed.bytes);
        assert!(edits.len() > 9 * sealed.bytes.len());
        for edit in edits {
            assert!(code(&edit, &proof, &keys).is_some(), "size {size}");
        }
    }
}

#[test]
fn every_edit_of_the_proof_is_red() {
    let own = signer(ORIGIN, 1);
    for (size, index) in [(1, 0), (2, 0), (7, 6), (11, 6)] {
        let (sealed, proof) = ledger(size, index, &How::default(), &[&own]);
        let keys = [vkey(&own)];
        assert_eq!(code(&sealed.bytes, &proof, &keys), None);
        for edit in one_edit(&proof) {
            let text = String::from_utf8_lossy(&edit).into_owned();
            assert!(code(&sealed.bytes, &edit, &keys).is_some(), "size {size}: {text}");
        }
    }
}

#[test]
fn every_edit_of_the_key_is_red() {
    let own = signer(ORIGIN, 1);
    let (sealed, proof) = ledger(5, 2, &How::default(), &[&own]);
    let text = vkey(&own).to_string();
    for edit in one_edit(text.as_bytes()) {
        let Ok(key) = String::from_utf8_lossy(&edit).parse::<VerifierKey>() else { continue };
        assert!(code(&sealed.bytes, &proof, &[key]).is_some());
    }
}

#[test]
fn lines_of_other_keys_change_nothing_but_their_count() {
    let (own, witness) = (signer(ORIGIN, 1), signer("witness.example", 2));
    let (sealed, proof) = ledger(11, 3, &How::default(), &[&own, &witness]);
    let keys = [vkey(&own)];
    let before = verify(&given(&sealed.bytes, &proof, &keys)).unwrap();
    assert_eq!((before.signatures_unchecked, before.signers.as_slice()), (1, &keys[..]));
    let witness_line = proof.iter().rposition(|byte| *byte == 0xe2).unwrap();
    let mut passed = 0;
    for at in 0..proof.len() {
        for bit in 0..8 {
            let mut edit = proof.clone();
            edit[at] ^= 1 << bit;
            if let Ok(after) = verify(&given(&sealed.bytes, &edit, &keys)) {
                assert!(at > witness_line, "byte {at} is signed or believed");
                assert_eq!(
                    (after.position, after.leaf, after.root),
                    (before.position, before.leaf, before.root)
                );
                assert_eq!((after.signatures_unchecked, after.signers.len()), (1, 1));
                passed += 1;
            }
        }
    }
    assert!(passed > 100);
    // Once the witness's key is given too, its line is checked.
    let both = [vkey(&own), vkey(&witness)];
    let after = verify(&given(&sealed.bytes, &proof, &both)).unwrap();
    assert_eq!((after.signatures_unchecked, after.signers.len()), (0, 2));
    for edit in one_edit(&proof) {
        // Cutting the line off whole leaves a proof that one key signed, and says so.
        if let Ok(after) = verify(&given(&sealed.bytes, &edit, &both)) {
            assert!(after.signers == keys, "{}", String::from_utf8_lossy(&edit));
        }
    }
}

#[test]
fn nothing_empty_or_foreign_is_verified() {
    let (own, other) = (signer(ORIGIN, 1), signer("waag.example/acme/ffffffffffffffffffffffffffffffff", 1));
    let (sealed, proof) = ledger(4, 1, &How::default(), &[&own]);
    let keys = [vkey(&own)];
    assert_eq!(code(&[], &proof, &keys), Some("E0751"));
    assert_eq!(code(&sealed.bytes, &[], &keys), Some("E0752"));
    assert_eq!(code(&sealed.bytes, &proof, &[]), Some("E0750"));
    assert_eq!(code(&[], &[], &[]), Some("E0750"));
    // The same key pair under another ledger's name, another key of the same name, and both of another name.
    assert_eq!(code(&sealed.bytes, &proof, &[vkey(&other)]), Some("E0324"));
    assert_eq!(code(&sealed.bytes, &proof, &[vkey(&signer(ORIGIN, 9))]), Some("E0324"));
    let witnessed = ledger(4, 1, &How::default(), &[&own, &other]).1;
    assert_eq!(code(&sealed.bytes, &witnessed, &[vkey(&other)]), Some("E0344"));
    // Two proofs swapped, and a proof moved to another position.
    let entries: Vec<Vec<u8>> = (0..4).map(|n| seal(n, &How::default()).bytes).collect();
    let proofs: Vec<Vec<u8>> = (0..4).map(|n| prove(&entries, n, ORIGIN, &[&own])).collect();
    for (at, entry) in entries.iter().enumerate() {
        for (of, proof) in proofs.iter().enumerate() {
            assert_eq!(code(entry, proof, &keys), (at != of).then_some("E0313"));
        }
    }
    let text = String::from_utf8(proofs[1].clone()).unwrap();
    for (index, want) in [("2", "E0313"), ("4", "E0310"), ("01", "E0353")] {
        let moved = text.replace("\nindex 1\n", &format!("\nindex {index}\n"));
        assert_eq!(code(&entries[1], moved.as_bytes(), &keys), Some(want));
    }
}

#[test]
fn an_empty_tree_an_extra_line_and_unknown_signatures_prove_nothing() {
    use waag_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
    use waag_ledger::hash::EMPTY_ROOT;
    let own = signer(ORIGIN, 1);
    let keys = [vkey(&own)];
    let (sealed, proof) = ledger(1, 0, &How::default(), &[&own]);
    let empty = Checkpoint { origin: ORIGIN.to_owned(), size: 0, root: EMPTY_ROOT };
    let note = SignedCheckpoint::sign(empty, &[&own]).unwrap().note().to_owned();
    let file = format!("c2sp.org/tlog-proof@v1\nindex 0\n\n{note}");
    assert_eq!(code(&sealed.bytes, file.as_bytes(), &keys), Some("E0310"));
    let extra = TlogProof::parse(&proof).unwrap().with_extra(b"who says so?".to_vec()).unwrap().to_string();
    assert_eq!(code(&sealed.bytes, extra.as_bytes(), &keys), Some("E0753"));
    // The one signature line replaced by one of a type and key nobody gave: 0x04 cosignatures look like this.
    let text = String::from_utf8(proof).unwrap();
    let (signed, _) = text.rsplit_once("\u{2014} ").unwrap();
    let unknown = format!("{signed}\u{2014} witness.example AAAABAUGBwgJCgsMDQ4PEA==\n");
    assert!(TlogProof::parse(unknown.as_bytes()).is_ok());
    assert_eq!(code(&sealed.bytes, unknown.as_bytes(), &keys), Some("E0324"));
    assert_eq!(code(&sealed.bytes, signed.as_bytes(), &keys), Some("E0322"));
}

#[test]
fn a_proven_leaf_that_is_no_entry_is_not_verified() {
    let own = signer(ORIGIN, 1);
    // The same entry said to be of version 2: proven, and not to be read by this program.
    let mut next = seal(0, &How::default()).bytes;
    assert_eq!(&next[..3], [0x82, 0x8a, 1]);
    next[2] = 2;
    for (leaf, want) in [(&b"{\"type\":\"a\"}"[..], "E0201"), (&next, "E0202")] {
        let proof = prove(&[leaf.to_vec()], 0, ORIGIN, &[&own]);
        assert_eq!(code(leaf, &proof, &[vkey(&own)]), Some(want));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_position_of_every_size_is_proven_and_no_other(size in 1..40_u64, at: prop::sample::Index, seed: u8) {
        let own = signer(ORIGIN, seed);
        let index = at.index(usize::try_from(size).unwrap()) as u64;
        let (sealed, proof) = ledger(size, index, &How::default(), &[&own]);
        let verified = verify(&given(&sealed.bytes, &proof, &[vkey(&own)])).map_err(|e| e.to_string()).unwrap();
        prop_assert_eq!((verified.position, verified.tree_size), (index, size));
        let stranger = seal(size, &How::default()).bytes;
        prop_assert_eq!(code(&stranger, &proof, &[vkey(&own)]), Some("E0313"));
    }

    #[test]
    fn any_bytes_are_refused(entry in prop::collection::vec(any::<u8>(), 0..200), proof in prop::collection::vec(any::<u8>(), 0..200)) {
        let own = signer(ORIGIN, 1);
        let (sealed, good) = ledger(2, 1, &How::default(), &[&own]);
        prop_assert!(code(&entry, &good, &[vkey(&own)]).is_some());
        prop_assert!(code(&sealed.bytes, &proof, &[vkey(&own)]).is_some());
    }
}
