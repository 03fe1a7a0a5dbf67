//! Packs: what is made is verified, what the golden pack says, and what is refused before anything is looked at.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail loudly")]

#[path = "support/packs.rs"]
mod packs;

use packs::{COSIGNED, MADE, ORIGIN, SIZE, WITNESS, cosigner, entries, gather, tree, vkey};
use waag_entry::plain::Body;
use waag_ledger::cosignature::Cosigner;
use waag_ledger::history::{KeyHistory, KeyState, KeyWindow};
use waag_ledger::note::{Algorithm, VerifierKey};
use waag_ledger::pack::{PackFault, PartState, Trust, Verdict, prove_entries, verify};
use waag_ledger::policy::Policy;

const GOLDEN: &[u8] = include_bytes!("golden/pack-v1.zip");

fn trust(keys: &[VerifierKey]) -> Trust<'_> {
    Trust { keys, ..Trust::default() }
}

/// The code of the refusal; none where it is verified.
fn code(file: &[u8], trust: &Trust<'_>) -> Option<&'static str> {
    verify(file, trust).err().map(|fault| {
        assert!(!fault.to_string().is_empty());
        fault.code()
    })
}

fn verified(file: &[u8]) -> Verdict<'_> {
    let keys = [vkey(1)];
    verify(file, &trust(&keys)).map_err(|fault| fault.to_string()).unwrap()
}

#[test]
fn the_golden_pack_is_verified_and_says_what_it_said() {
    let verdict = verified(GOLDEN);
    let manifest = verdict.manifest();
    assert_eq!(verdict.digest().to_string(), GOLDEN_DIGEST);
    assert_eq!((manifest.origin.as_str(), manifest.size, manifest.made), (ORIGIN, SIZE, MADE));
    assert_eq!((manifest.actor.as_str(), manifest.reason.as_str()), ("auditor-desk", "audit \"4\" of 2026"));
    assert_eq!((manifest.first, manifest.last, verdict.completeness()), (2, 7, None));
    let counts = manifest.counts;
    assert_eq!((counts.entries, counts.parts, counts.disclosed, counts.erased), (4, 8, 6, 1));
    assert_eq!((counts.blobs, counts.dictionaries, verdict.closed()), (1, 1, 2));
    assert_eq!(verdict.checkpoint().signers(), [vkey(1)]);
    assert_eq!((verdict.signatures_unchecked(), verdict.quorum()), (1, None));
    assert_eq!(verdict.key_history(), &packs::history(1));
    assert!(verdict.cover_html().unwrap().starts_with(b"<!doctype html>"));
    assert_eq!(verdict.cover_pdf(), None);
    let mut seen = Vec::new();
    for event in verdict.events() {
        let event = event.unwrap();
        let common = event.event().unwrap().unwrap();
        assert_eq!(common.id, waag_model::value::Value::Text(format!("exp-{}", event.position).into()));
        let Body::Json(data) = &common.body else { panic!("a body") };
        // The person's name is there where it is disclosed, and nowhere else.
        assert_eq!(format!("{data:?}").contains("Ada"), event.parts[1] == PartState::Disclosed);
        assert_eq!(event.plain(1).is_some(), event.parts[1] == PartState::Disclosed);
        seen.push((event.position, event.parts[1]));
    }
    let [withheld, erased] = [PartState::Withheld, PartState::ToldErased];
    assert_eq!(seen, [(2, withheld), (3, PartState::Disclosed), (4, PartState::Disclosed), (7, erased)]);
    let names: Vec<&str> = verdict.members().map(|(name, _)| name).collect();
    assert_eq!(names[..3], ["cover.html", "manifest.json", "manifest.note"]);
    assert_eq!(names.len(), 10);
}

const GOLDEN_DIGEST: &str = "e716ee3189be0b0f5414001f6a132dd40003456f0b7db2d3bccaf5f3a0d783b4";

#[test]
fn the_same_contents_make_the_same_bytes() {
    let entries = entries(None);
    let gathered = gather(&entries, &[2, 3, 4, 7], None);
    let one = gathered.signed_by(&[1]).unwrap();
    assert!(one == gathered.signed_by(&[1]).unwrap());
    assert_eq!(verified(&one.bytes).digest(), one.digest);
}

#[test]
fn every_choice_of_entries_of_a_small_ledger_is_proven_by_one_proof() {
    let entries = entries(None);
    for size in 1..=6 {
        let tree = packs::tree(&entries[..size], ORIGIN, 1);
        for chosen in 1_u64..1 << size {
            let positions: Vec<u64> = (0..size as u64).filter(|at| chosen >> at & 1 == 1).collect();
            let mut gathered = gather(&entries[..size], &positions, None);
            let file = gathered.pack();
            let verdict = verified(&file);
            let gapless = (chosen >> chosen.trailing_zeros()).count_ones()
                == chosen.ilog2() + 1 - chosen.trailing_zeros();
            assert_eq!(verdict.completeness().is_some(), gapless, "{positions:?}");
            assert_eq!(verdict.checkpoint().checkpoint(), tree.checkpoint.checkpoint());
            // One hash more, one less, two in each other's place.
            gathered.proof.push(waag_ledger::hash::EMPTY_ROOT);
            assert_eq!(code(&gathered.pack(), &trust(&[vkey(1)])), Some("E0387"));
            gathered.proof.pop();
            if let Some(last) = gathered.proof.pop() {
                assert_eq!(code(&gathered.pack(), &trust(&[vkey(1)])), Some("E0387"));
                gathered.proof.insert(0, last);
                let moved = gathered.proof.len() > 1;
                assert_eq!(
                    code(&gathered.pack(), &trust(&[vkey(1)])),
                    moved.then_some("E0388"),
                    "{positions:?}"
                );
            }
        }
    }
}

#[test]
fn nobody_to_trust_nothing_given_or_another_ledgers_key_verifies_nothing() {
    let own = [vkey(1)];
    assert_eq!(code(GOLDEN, &Trust::default()), Some("E0379"));
    assert_eq!(code(&[], &Trust::default()), Some("E0379"));
    assert_eq!(code(&[], &trust(&own)), Some("E0376"));
    assert_eq!(code(b"PK", &trust(&own)), Some("E0377"));
    assert_eq!(code(b"%PDF-1.7", &trust(&own)), Some("E0377"));
    // The same key under another name, another key under the same name, a witness's key.
    let other = packs::signer("waag.example/acme/ffffffffffffffffffffffffffffffff", 1).verifier_key().clone();
    assert_eq!(code(GOLDEN, &trust(&[other])), Some("E0379"));
    assert_eq!(code(GOLDEN, &trust(&[vkey(2)])), Some("E0379"));
    assert_eq!(code(GOLDEN, &trust(&[cosigner().verifier_key().clone()])), Some("E0379"));
    assert_eq!(code(GOLDEN, &trust(&[vkey(2), vkey(1)])), None);
    // An empty ZIP file is canonical, and no pack.
    let empty = [&b"PK\x05\x06"[..], &[0; 18]].concat();
    assert_eq!(code(&empty, &trust(&own)), Some("E0383"));
}

#[test]
fn witnesses_are_shown_and_a_policy_is_held() {
    let own = [vkey(1)];
    let witness = [cosigner().verifier_key().clone()];
    let with = Trust { witnesses: &witness, ..trust(&own) };
    let verdict = verify(GOLDEN, &with).map_err(|fault| fault.to_string()).unwrap();
    let times: Vec<Option<u64>> =
        verdict.checkpoint().known_signatures().iter().map(|line| line.time).collect();
    assert_eq!((times, verdict.signatures_unchecked()), (vec![None, Some(COSIGNED)], 0));
    let policy = |of: &VerifierKey| {
        Policy::parse(format!("log {}\nwitness w {of}\nquorum w\n", vkey(1)).as_bytes()).unwrap()
    };
    let met = policy(&witness[0]);
    let verdict = verify(GOLDEN, &Trust { policy: Some(&met), ..Trust::default() });
    assert!(verdict.map_err(|fault| fault.to_string()).unwrap().quorum().unwrap().met);
    // A cosignature from the verifier's future does not count, and neither does a witness that is not there.
    let future = Trust { policy: Some(&met), at: Some(COSIGNED - 1), ..Trust::default() };
    assert_eq!(code(GOLDEN, &future), Some("E0386"));
    let stranger = Cosigner::from_seed(WITNESS, Algorithm::Ed25519Cosignature, &[8; 32]);
    let unmet = policy(stranger.unwrap().verifier_key());
    assert_eq!(code(GOLDEN, &Trust { policy: Some(&unmet), ..Trust::default() }), Some("E0386"));
}

#[test]
fn a_key_counts_only_within_the_window_that_was_given() {
    let window = |from_ns, until_ns, state| {
        KeyHistory::new(vec![KeyWindow { key: vkey(1), from_ns, until_ns, state }]).unwrap()
    };
    let judge = |history: &KeyHistory| code(GOLDEN, &Trust { history: Some(history), ..Trust::default() });
    assert_eq!(judge(&window(0, None, KeyState::Active)), None);
    assert_eq!(judge(&window(0, Some(MADE.0 + 1), KeyState::Retired)), None);
    for history in [
        window(MADE.0 + 1, None, KeyState::Active),
        window(0, Some(MADE.0), KeyState::Retired),
        window(0, Some(MADE.0 + 1), KeyState::Revoked),
    ] {
        let code = judge(&history);
        assert!(code.is_some_and(|code| code.starts_with("E037")), "{code:?}");
        // A key that is given by itself too is held to its window all the same.
        let own = [vkey(1)];
        let both = Trust { history: Some(&history), ..trust(&own) };
        assert_eq!(self::code(GOLDEN, &both), code);
    }
}

#[test]
fn a_fault_says_where_it_is() {
    let gathered = {
        let mut gathered = gather(&entries(None), &[2, 3], None);
        gathered.disclosed[1].secret[0] ^= 1;
        gathered
    };
    let fault = verify(&gathered.pack(), &trust(&[vkey(1)])).err().unwrap();
    assert_eq!(fault.code(), "E0204");
    assert_eq!((fault.place().position, fault.place().part), (Some(3), Some(0)));
    assert!(fault.to_string().starts_with("part `0` of entry `3` does not open: "), "{fault}");
    let mut cut = gathered.pack();
    cut.pop();
    let fault = verify(&cut, &trust(&[vkey(1)])).err().unwrap();
    assert!(matches!(fault, PackFault::Container { offset, .. } if offset == cut.len()), "{fault:?}");
}

#[test]
fn a_pack_of_a_larger_ledger_is_proven_whatever_is_chosen() {
    let sealed: Vec<_> = (0..300).map(|n| packs::seal(n, packs::How::default())).collect();
    for step in [1_u64, 2, 3, 7, 64, 255, 299] {
        for first in [0, 1, step - 1] {
            let positions: Vec<u64> = (first..300).step_by(usize::try_from(step).unwrap()).collect();
            let file = gather(&sealed, &positions, None).pack();
            let verdict = verified(&file);
            let seen: Vec<u64> = verdict.events().map(|event| event.unwrap().position).collect();
            assert_eq!(seen, positions);
        }
    }
    let none = prove_entries(&tree(&sealed, ORIGIN, 1).stored, &[], 300);
    assert_eq!(none.unwrap_err().code(), "E0316");
    for (positions, size) in [([3, 3], 300), ([4, 3], 300), ([3, 300], 300)] {
        let stored = tree(&sealed, ORIGIN, 1).stored;
        assert_eq!(prove_entries(&stored, &positions, size).unwrap_err().code(), "E0310");
    }
}

#[test]
fn a_pack_may_disclose_nothing() {
    let mut gathered = gather(&entries(None), &[2, 4], None);
    gathered.disclosed.clear();
    gathered.blobs.clear();
    gathered.erased = vec![(4, 0), (4, 1)];
    let file = gathered.pack();
    let verdict = verified(&file);
    assert_eq!((verdict.closed(), verdict.manifest().counts.disclosed), (4, 0));
    for event in verdict.events() {
        let event = event.unwrap();
        assert!(event.event().unwrap().is_none() && event.plain(0).is_none());
        let state = if event.position == 4 { PartState::ToldErased } else { PartState::Withheld };
        assert_eq!(event.parts, [state; 2]);
    }
}

#[test]
fn a_ledgers_second_algorithm_is_no_witness() {
    let second = Cosigner::from_seed(ORIGIN, Algorithm::MlDsa44, &[5; 32]).unwrap();
    let entries = entries(None);
    let mut gathered = gather(&entries, &[2, 3], None);
    gathered.checkpoint =
        tree(&entries, ORIGIN, 1).checkpoint.cosigned(&second, 7).unwrap().note().to_owned();
    let window = |key: VerifierKey| KeyWindow { key, from_ns: 0, until_ns: None, state: KeyState::Active };
    let both = [vkey(1), second.verifier_key().clone()];
    gathered.keys = KeyHistory::new(both.iter().cloned().map(window).collect()).unwrap();
    let file = gathered.pack();
    // By the pack's own history its line is checked, and makes nobody trusted.
    let verdict = verified(&file);
    assert_eq!((verdict.checkpoint().signers(), verdict.signatures_unchecked()), (&both[..1], 1));
    let verdict = verify(&file, &trust(&both)).map_err(|fault| fault.to_string()).unwrap();
    assert_eq!(verdict.checkpoint().signers(), both);
    assert_eq!(code(&file, &trust(&both[1..])), Some("E0379"));
    // Its time is the ledger's own, and no witness's: the window is held against the time the pack was made.
    let late = KeyHistory::new(vec![KeyWindow { from_ns: 8_000_000_000, ..window(vkey(1)) }]).unwrap();
    let with = Trust { history: Some(&late), ..trust(&both[1..]) };
    assert_eq!(code(&file, &with), None);
    // A line that is false by the pack's own history is a lie, whoever is trusted.
    let other = Cosigner::from_seed(ORIGIN, Algorithm::MlDsa44, &[6; 32]).unwrap();
    let line = |cosigner: &Cosigner| {
        cosigner.cosign("another\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 7)
    };
    let signed = tree(&entries, ORIGIN, 1).checkpoint;
    gathered.checkpoint = format!("{}{}", signed.note(), line(&other).unwrap());
    assert_eq!(verified(&gathered.pack()).signatures_unchecked(), 2);
    gathered.checkpoint = format!("{}{}", signed.note(), line(&second).unwrap());
    assert_eq!(code(&gathered.pack(), &trust(&[vkey(1)])), Some("E0325"));
}
