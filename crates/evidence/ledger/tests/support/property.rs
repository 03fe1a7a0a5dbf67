//! What must hold of the readers of notes, checkpoints, proofs, keys, policies and requests to witnesses for any input at
//! all; shared by the corpus test and the fuzz target.
//!
//! `LEDGER-4`: what parses is printed again byte for byte. `LEDGER-5`: no input makes a reader panic.

use std::sync::OnceLock;

use waag_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use waag_ledger::hash::Hash;
use waag_ledger::note::{Note, VerifierKey};
use waag_ledger::policy::Policy;
use waag_ledger::tlog_proof::TlogProof;
use waag_ledger::witness::{AddCheckpoint, WitnessAnswer, WitnessState, WitnessedLog, judge, read_answer};

/// The ledger that the corpus speaks of; its key was made from the seed of 32 times `07`.
pub(crate) const VKEY: &str = "waag.example/acme/00112233445566778899aabbccddeeff+5fa0ae5e+\
                               AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs";

/// The entry that the corpus's proofs are of.
pub(crate) const ENTRY: &[u8] = b"an entry of the corpus";

fn keys() -> &'static [VerifierKey] {
    static KEYS: OnceLock<Vec<VerifierKey>> = OnceLock::new();
    KEYS.get_or_init(|| VKEY.parse().into_iter().collect())
}

/// Panics where a reader panics, or where what it took is not printed again as it was.
///
/// Answers whether the input was believed: a checkpoint or a proof under the corpus's key, or that key itself.
pub(crate) fn holds_for(input: &[u8]) -> bool {
    assert_eq!(keys().len(), 1);
    witnessing(input);
    // Each runs, whatever the others say.
    [checkpoint(input), proof(input), key(input)].contains(&true)
}

fn checkpoint(input: &[u8]) -> bool {
    if let Ok(note) = Note::parse(input) {
        assert_eq!(note.to_string().as_bytes(), input);
        body(note.text());
        let believed = note.verify(keys()).is_ok();
        assert!(!believed || !note.signatures().is_empty());
        assert!(note.verify(&[]).is_err());
    }
    let Ok(signed) = SignedCheckpoint::verify(input, keys()) else { return false };
    assert_eq!(signed.note().as_bytes(), input);
    assert_eq!(signed.signers(), keys());
    assert!(signed.signers().iter().any(|key| key.name() == signed.checkpoint().origin));
    true
}

/// Extension lines are read over and not printed; all else comes back.
fn body(text: &str) {
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        let printed = checkpoint.body();
        assert!(text.starts_with(&printed), "{text:?}");
        assert_eq!(Checkpoint::parse(&printed), Ok(checkpoint));
    }
}

/// Policies, requests to a witness, its answers and what it keeps: no reader panics, and nothing is cosigned for nobody.
fn witnessing(input: &[u8]) {
    if let Ok(policy) = Policy::parse(input) {
        let names = policy.witnesses().len();
        assert_eq!((policy.witness_keys().len(), policy.log_keys().len()), (names, policy.logs().len()));
        let note = Note::parse(format!("{VKEY}\n0\nx\n\n\u{2014} w AAAAAAA=\n").as_bytes());
        let quorum = note.and_then(|note| policy.evaluate(&note, None));
        let met = quorum.map(|quorum| (quorum.met, quorum.silent.len()));
        assert_eq!(met, Ok((policy.quorum_name().is_none(), names)));
    }
    if let Ok(request) = AddCheckpoint::parse(input) {
        assert!(!request.origin().is_empty());
        let logs = WitnessedLog::by_origin(keys().to_vec());
        let judged = judge(&request, &logs, None, &[], 1);
        assert!(judged.keep.is_none() && judged.reply.status >= 400);
    }
    if let Ok(state) = WitnessState::decode(input) {
        assert_eq!(state.encode(), input);
    }
    let answer = read_answer(200, None, input, "", keys());
    assert!(matches!(answer, WitnessAnswer::NotCosigned(_)), "{answer:?}");
}

fn proof(input: &[u8]) -> bool {
    let Ok(proof) = TlogProof::parse(input) else { return false };
    assert_eq!(proof.to_string().as_bytes(), input);
    body(proof.note().text());
    assert!(proof.verify(ENTRY, &[]).is_err());
    match proof.verify(ENTRY, keys()) {
        Ok(proven) => {
            assert!(proven.index() < proven.checkpoint().checkpoint().size);
            assert!(proof.verify(b"another entry", keys()).is_err());
            true
        }
        Err(error) => {
            assert!(error.code().starts_with("E03"), "{error}");
            false
        }
    }
}

fn key(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    if let Ok(hash) = text.parse::<Hash>() {
        assert_eq!(hash.to_string(), text);
    }
    if let Ok(hash) = Hash::from_base64(text) {
        assert_eq!(hash.to_base64(), text);
    }
    let Ok(key) = text.parse::<VerifierKey>() else { return false };
    assert_eq!(key.to_string(), text);
    keys().contains(&key)
}
