//! Cosignatures of both kinds on checkpoints, and policies over them: what each covers, whom it speaks for, and that
//! every changed byte is red.
//!
//! Place: `LEDGER-3` where witnesses and a second algorithm sign. Not here: other people's programs (`outside.rs`).
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fmt::Write as _;

use waag_ledger::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use waag_ledger::cosignature::{COSIGNATURE_TIME_MAX, Cosigner};
use waag_ledger::hash::{EMPTY_ROOT, leaf_hash};
use waag_ledger::note::{
    Algorithm, NOTE_BYTES_MAX, Note, NoteError, NoteSignature, NoteSigner, SIGNATURES_MAX, VerifierKey,
};
use waag_ledger::policy::{POLICY_BYTES_MAX, POLICY_ITEMS_MAX, Policy, PolicyError, PolicyFault};

const ORIGIN: &str = "waag.example/acme/00112233445566778899aabbccddeeff";
const TIME: u64 = 1_679_315_147;

fn signer() -> NoteSigner {
    NoteSigner::from_seed(ORIGIN, &[1; 32]).unwrap()
}

fn cosigner(name: &str, algorithm: Algorithm, seed: u8) -> Cosigner {
    Cosigner::from_seed(name, algorithm, &[seed; 32]).unwrap()
}

fn both(seed: u8) -> [Cosigner; 2] {
    [Algorithm::Ed25519Cosignature, Algorithm::MlDsa44].map(|kind| cosigner("witness.example/w1", kind, seed))
}

fn key(cosigner: &Cosigner) -> VerifierKey {
    cosigner.verifier_key().clone()
}

fn signed(size: u64) -> SignedCheckpoint {
    let root = if size == 0 { EMPTY_ROOT } else { leaf_hash(&size.to_be_bytes()) };
    SignedCheckpoint::sign(Checkpoint { origin: ORIGIN.to_owned(), size, root }, &[&signer()]).unwrap()
}

fn note(signed: &SignedCheckpoint) -> Note {
    Note::parse(signed.note().as_bytes()).unwrap()
}

/// The note with a signature line behind it.
fn with_line(note: &Note, line: &NoteSignature) -> Note {
    Note::parse(format!("{note}{line}").as_bytes()).unwrap()
}

#[test]
fn a_cosignature_is_read_back_with_its_time() {
    for cosigner in both(2) {
        for time in [1, TIME, COSIGNATURE_TIME_MAX] {
            let cosigned = signed(7).cosigned(&cosigner, time).unwrap();
            let log = signer().verifier_key().clone();
            let keys = [log.clone(), key(&cosigner)];
            let read = SignedCheckpoint::verify(cosigned.note().as_bytes(), &keys).unwrap();
            assert_eq!(read, cosigned);
            assert_eq!(read.signers(), keys);
            let times: Vec<Option<u64>> = read.known_signatures().iter().map(|line| line.time).collect();
            assert_eq!(times, [None, Some(time)]);
            // Who does not know the witness reads the checkpoint as before.
            let unknown = SignedCheckpoint::verify(cosigned.note().as_bytes(), &[log]).unwrap();
            assert_eq!((unknown.checkpoint(), unknown.signers().len()), (signed(7).checkpoint(), 1));
        }
        let refused = |time| cosigner.cosign(&signed(7).checkpoint().body(), time).unwrap_err().code();
        assert_eq!([refused(0), refused(COSIGNATURE_TIME_MAX + 1)], ["E0367"; 2]);
        assert_eq!(cosigner.cosign("a poem\n", TIME).unwrap_err().code(), "E0368");
    }
    assert_eq!(Cosigner::from_seed("w", Algorithm::Ed25519, &[1; 32]).unwrap_err().code(), "E0366");
    assert_eq!(Cosigner::from_seed("w w", Algorithm::MlDsa44, &[1; 32]).unwrap_err().code(), "E0327");
}

#[test]
fn the_ed25519_message_is_the_specifications() {
    // The same Ed25519 key as a plain signer signs the very bytes that C2SP tlog-cosignature spells out.
    let body = signed(20_852_163).checkpoint().body();
    let plain = NoteSigner::from_seed("witness.example/w1", &[2; 32]).unwrap();
    let spelled = Note::sign(&format!("cosignature/v1\ntime {TIME}\n{body}"), &[&plain]).unwrap();
    let [ed25519, _] = both(2);
    let line = ed25519.cosign(&body, TIME).unwrap();
    let expected = [&TIME.to_be_bytes()[..], &spelled.signatures()[0].signature].concat();
    assert_eq!(line.signature, expected);
    assert_ne!(line.key_id, spelled.signatures()[0].key_id, "each type has its own key id");
}

#[test]
fn a_cosignature_of_another_text_time_key_or_kind_is_false() {
    for (at, cosigner) in both(2).into_iter().enumerate() {
        let line = cosigner.cosign(&signed(7).checkpoint().body(), TIME).unwrap();
        let judged = |note: &Note, key: VerifierKey| note.verify_lines(&[key]).map(|lines| lines[0].time);
        assert_eq!(judged(&with_line(&note(&signed(7)), &line), key(&cosigner)), Ok(Some(TIME)));
        let false_line = || Err(NoteError::FalseSignature { name: line.name.clone(), key_id: line.key_id });
        assert_eq!(judged(&with_line(&note(&signed(8)), &line), key(&cosigner)), false_line());
        // Every bit of the time and of the signature's beginning and end counts, and so does its length.
        let length = line.signature.len();
        for byte in (0..72).chain(length - 8..length) {
            let mut edit = line.clone();
            edit.signature[byte] ^= 1 << (byte % 8);
            assert_eq!(judged(&with_line(&note(&signed(7)), &edit), key(&cosigner)), false_line(), "{byte}");
        }
        for length in [1, 7, 8, 71, length - 1, length + 1] {
            let mut edit = line.clone();
            edit.signature.resize(length, 0);
            assert_eq!(
                judged(&with_line(&note(&signed(7)), &edit), key(&cosigner)),
                false_line(),
                "{length}"
            );
        }
        // The same name, another seed or another kind: not this key's line, so nobody's.
        for other in [key(&both(3)[at]), key(&both(2)[1 - at])] {
            let judged = judged(&with_line(&note(&signed(7)), &line), other);
            assert_eq!(judged, Err(NoteError::NoKnownSignature));
        }
    }
}

#[test]
fn what_each_kind_covers() {
    let body = signed(7).checkpoint().body();
    let extended = format!("{body}an extension line\n");
    let [ed25519, ml_dsa] = both(2);
    let read = |text: &str, line: &NoteSignature, key: VerifierKey| {
        Note::parse(format!("{text}\n{line}").as_bytes()).unwrap().verify_lines(&[key]).is_ok()
    };
    let line = ed25519.cosign(&body, TIME).unwrap();
    assert!(read(&body, &line, key(&ed25519)) && !read(&extended, &line, key(&ed25519)));
    // ML-DSA-44 says nothing about extension lines, which is why they are never told.
    let line = ml_dsa.cosign(&body, TIME).unwrap();
    assert!(read(&body, &line, key(&ml_dsa)) && read(&extended, &line, key(&ml_dsa)));
    assert_eq!(Checkpoint::parse(&extended), Checkpoint::parse(&body));
    // It says the cosigner's name, though: the same key under another name did not sign.
    let renamed = VerifierKey::with_algorithm("w2", Algorithm::MlDsa44, key(&ml_dsa).public_key()).unwrap();
    let line = NoteSignature { name: "w2".to_owned(), key_id: renamed.id(), ..line };
    assert!(!read(&body, &line, renamed));
    // A note that is no checkpoint has no cosignatures.
    let line = ed25519.cosign(&body, TIME).unwrap();
    assert!(!read("a poem\n", &line, key(&ed25519)));
}

#[test]
fn a_log_may_sign_with_ml_dsa_and_never_by_cosignature() {
    let second = cosigner(ORIGIN, Algorithm::MlDsa44, 5);
    let cosigned = signed(7).cosigned(&second, TIME).unwrap();
    let read = SignedCheckpoint::verify(cosigned.note().as_bytes(), &[key(&second)]).unwrap();
    assert_eq!(read.checkpoint(), signed(7).checkpoint());
    // A published checkpoint with both algorithms is longer than a guard's, and far below a note's limit.
    assert!((3_000..4_096).contains(&cosigned.note().len()), "{}", cosigned.note().len());
    let wrong = cosigner(ORIGIN, Algorithm::Ed25519Cosignature, 6);
    let cosigned = signed(7).cosigned(&wrong, TIME).unwrap();
    let refused = SignedCheckpoint::verify(cosigned.note().as_bytes(), &[key(&wrong)]).unwrap_err();
    assert_eq!(refused, CheckpointError::NotByOrigin { origin: ORIGIN.to_owned() });
    assert_eq!(signed(7).cosigned(&second, 0).unwrap_err().code(), "E0367");
    let twice = signed(7).cosigned(&second, TIME).unwrap().cosigned(&second, TIME + 1);
    assert_eq!(twice.unwrap_err().code(), "E0326");
}

#[test]
fn collected_cosignatures_are_verified_and_stand_once() {
    let [ed25519, ml_dsa] = both(2);
    let [stranger, _] = both(9);
    let body = signed(7).checkpoint().body();
    let line = |cosigner: &Cosigner, time| cosigner.cosign(&body, time).unwrap();
    let keys = [key(&ed25519), key(&ml_dsa)];
    let lines = [line(&ed25519, 5), line(&stranger, 5), line(&ml_dsa, 6), line(&ed25519, 7)];
    let collected = signed(7).with_cosignatures(&lines, &keys).unwrap();
    let times: Vec<Option<u64>> = collected.known_signatures().iter().map(|line| line.time).collect();
    assert_eq!(times, [None, Some(5), Some(6)]);
    assert_eq!(note(&collected).signatures().len(), 3, "lines of others are left out");
    // Asked again, what was published stays as it is.
    assert_eq!(collected.with_cosignatures(&[line(&ed25519, 9)], &keys).unwrap(), collected);
    let other = ed25519.cosign(&signed(8).checkpoint().body(), 5).unwrap();
    let refused = signed(7).with_cosignatures(std::slice::from_ref(&other), &keys).unwrap_err();
    assert_eq!(refused.code(), "E0325");
    // A false line that came with the note cannot keep the true one out.
    let junk = with_line(&note(&signed(7)), &other).to_string();
    let log = [signer().verifier_key().clone()];
    let junk = SignedCheckpoint::verify(junk.as_bytes(), &log).unwrap();
    assert_eq!(junk.with_cosignatures(&[line(&ed25519, 5)], &keys).unwrap().signers().len(), 2);
    // A note's limits hold: at most so many lines, of at most so many bytes.
    let many: Vec<Cosigner> = (0..64).map(both).map(|[ed25519, _]| ed25519).collect();
    let lines: Vec<NoteSignature> = many.iter().map(|cosigner| line(cosigner, 5)).collect();
    let keys: Vec<VerifierKey> = many.iter().map(key).collect();
    let fits = signed(7).with_cosignatures(&lines[..SIGNATURES_MAX - 1], &keys).unwrap();
    assert_eq!(fits.signers().len(), SIGNATURES_MAX);
    assert_eq!(signed(7).with_cosignatures(&lines, &keys).unwrap_err().code(), "E0323");
    let large: Vec<Cosigner> = (0..20).map(both).map(|[_, ml_dsa]| ml_dsa).collect();
    let lines: Vec<NoteSignature> = large.iter().map(|cosigner| line(cosigner, 5)).collect();
    let keys: Vec<VerifierKey> = large.iter().map(key).collect();
    let sixteen = signed(7).with_cosignatures(&lines[..16], &keys).unwrap();
    assert!(sixteen.note().len() < NOTE_BYTES_MAX, "16 of ML-DSA-44 fit");
    assert_eq!(signed(7).with_cosignatures(&lines, &keys).unwrap_err().code(), "E0320");
}

#[test]
fn every_flipped_bit_of_a_cosigned_checkpoint_is_noticed() {
    let [ed25519, _] = both(2);
    let cosigned = signed(7).cosigned(&ed25519, TIME).unwrap();
    let keys = [signer().verifier_key().clone(), key(&ed25519)];
    let original = cosigned.note().as_bytes();
    for at in 0..original.len() {
        for bit in 0..8 {
            let mut edit = original.to_vec();
            edit[at] ^= 1 << bit;
            let both = SignedCheckpoint::verify(&edit, &keys).is_ok_and(|read| read.signers().len() == 2);
            assert!(!both, "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn seeds_and_keys_are_apart_for_each_kind() {
    let [ed25519, ml_dsa] = both(2);
    for cosigner in [&ed25519, &ml_dsa] {
        let vkey = cosigner.verifier_key().to_string();
        assert_eq!(vkey.parse::<VerifierKey>().unwrap(), key(cosigner));
        let printed = format!("{cosigner:?}");
        assert!(printed.contains(&vkey) && !printed.contains("0202"), "no seed is printed");
    }
    // FIPS 204 keys follow from their seed alone; signatures are hedged, so that two of one text differ.
    assert_eq!(key(&cosigner("witness.example/w1", Algorithm::MlDsa44, 2)), key(&ml_dsa));
    let body = signed(7).checkpoint().body();
    assert_ne!(ml_dsa.cosign(&body, TIME).unwrap(), ml_dsa.cosign(&body, TIME).unwrap());
    assert_eq!(ed25519.cosign(&body, TIME).unwrap(), ed25519.cosign(&body, TIME).unwrap());
    for algorithm in [Algorithm::Ed25519, Algorithm::Ed25519Cosignature, Algorithm::MlDsa44] {
        assert_eq!(Algorithm::from_signature_type(algorithm.signature_type()), Some(algorithm));
    }
    let published = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";
    let published: VerifierKey = published.parse().unwrap();
    assert_eq!(published.algorithm(), Algorithm::Ed25519Cosignature);
}

/// A policy over witnesses `a` to `f` (seeds 11 to 16), and its cosigners.
fn witnesses(lines: &str) -> (Vec<u8>, Vec<Cosigner>) {
    let (mut text, mut cosigners) = (String::from("# our witnesses\n\n"), Vec::new());
    writeln!(text, "log {}", signer().verifier_key()).unwrap();
    for (seed, name) in (11..).zip(["a", "b", "c", "d", "e", "f"]) {
        let kind = if seed % 2 == 0 { Algorithm::MlDsa44 } else { Algorithm::Ed25519Cosignature };
        let cosigner = cosigner(&format!("witness.example/{name}"), kind, seed);
        writeln!(text, " witness\t{name}  {}  https://{name}.example/", cosigner.verifier_key()).unwrap();
        cosigners.push(cosigner);
    }
    text.push_str(lines);
    (text.into_bytes(), cosigners)
}

#[test]
fn quorums_are_met_by_enough_witnesses_and_by_no_fewer() {
    let lines = "group x 2 a b c\ngroup y any d e\ngroup both all x y\nquorum both\n";
    let (text, cosigners) = witnesses(lines);
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(policy.quorum_name().unwrap().as_bytes(), b"both");
    assert_eq!((policy.logs().len(), policy.witnesses().len()), (1, 6));
    assert_eq!(policy.witnesses()[0].url.as_ref().unwrap().as_str(), Some("https://a.example/"));
    let judge = |by: &[usize]| {
        let body = signed(7).checkpoint().body();
        let lines: Vec<NoteSignature> =
            by.iter().map(|at| cosigners[*at].cosign(&body, TIME + *at as u64).unwrap()).collect();
        let cosigned = signed(7).with_cosignatures(&lines, &policy.witness_keys()).unwrap();
        policy.verify(cosigned.note().as_bytes(), &[], None)
    };
    let unmet = |by: &[usize]| match judge(by) {
        Err(PolicyError::Quorum(quorum)) => {
            let one = |unmet: &waag_ledger::policy::Unmet| unmet.to_string();
            quorum.unmet.iter().map(one).collect::<Vec<String>>().join("; ")
        }
        other => format!("{other:?}"),
    };
    let (checkpoint, quorum) = judge(&[0, 2, 4]).unwrap();
    assert_eq!(checkpoint.checkpoint().size, 7);
    let times: Vec<u64> = quorum.witnessed.iter().map(|witness| witness.time).collect();
    assert_eq!(times, [TIME, TIME + 2, TIME + 4]);
    let silent: Vec<String> = quorum.silent.iter().map(ToString::to_string).collect();
    assert_eq!(silent, ["b", "d", "f"]);
    assert!(judge(&[0, 1, 2, 3, 4, 5]).is_ok());
    assert_eq!(unmet(&[0, 1, 2]), "`both` has `1` of `2`; missing `y`; `y` has `0` of `1`; missing `d`, `e`");
    assert_eq!(unmet(&[0, 3]), "`both` has `1` of `2`; missing `x`; `x` has `1` of `2`; missing `b`, `c`");
    assert!(unmet(&[]).starts_with("`both` has `0` of `2`; missing `x`, `y`; `x` has"));
    assert_eq!(judge(&[]).unwrap_err().code(), "E0373");
}

#[test]
fn a_policy_counts_only_true_timed_lines_of_listed_keys() {
    let (text, cosigners) = witnesses("quorum a\n");
    let policy = Policy::parse(&text).unwrap();
    let body = signed(7).checkpoint().body();
    let line = cosigners[0].cosign(&body, TIME).unwrap();
    let met = |note: &Note, now| policy.evaluate(note, now).map(|quorum| quorum.met);
    let good = with_line(&note(&signed(7)), &line);
    assert_eq!(
        (met(&good, None), met(&good, Some(TIME)), met(&good, Some(TIME - 1))),
        (Ok(true), Ok(true), Ok(false))
    );
    assert_eq!(met(&note(&signed(7)), None), Ok(false));
    // A false line by a known witness spoils the note; it is no silence.
    assert!(met(&with_line(&note(&signed(8)), &line), None).is_err());
    // The log's own signature is asked for, whatever the witnesses say.
    let unsigned = Note::parse(format!("{body}\n{line}").as_bytes()).unwrap();
    assert_eq!(met(&unsigned, None), Ok(true));
    assert_eq!(policy.verify(unsigned.to_string().as_bytes(), &[], None).unwrap_err().code(), "E0324");
    // A policy that lists no log takes the keys of the caller, and trusts nobody without them.
    let open = Policy::parse(b"quorum none\n").unwrap();
    assert_eq!(open.quorum_name(), None);
    let log = [signer().verifier_key().clone()];
    assert!(open.verify(signed(7).note().as_bytes(), &log, None).unwrap().1.met);
    assert_eq!(open.verify(signed(7).note().as_bytes(), &[], None).unwrap_err().code(), "E0324");
    // One that lists logs takes no others.
    let other = NoteSigner::from_seed("other.example", &[8; 32]).unwrap();
    let listed = format!("log {}\nquorum none\n", other.verifier_key());
    let listed = Policy::parse(listed.as_bytes()).unwrap();
    assert_eq!(listed.verify(signed(7).note().as_bytes(), &log, None).unwrap_err().code(), "E0324");
}

#[test]
fn a_cosignature_without_a_time_is_no_witness_of_the_newest() {
    // A time of zero, which ML-DSA-44 allows for subtrees; signed here by hand with the library itself.
    use aws_lc_rs::signature::{ML_DSA_44_SIGNING, PqdsaKeyPair};
    let (text, cosigners) = witnesses("quorum b\n");
    let pair = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, &[12; 32]).unwrap();
    let name = "witness.example/b";
    let mut message = b"subtree/v1\n\0".to_vec();
    message.push(17);
    message.extend_from_slice(name.as_bytes());
    message.extend_from_slice(&[0; 8]);
    message.push(u8::try_from(ORIGIN.len()).unwrap());
    message.extend_from_slice(ORIGIN.as_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&7u64.to_be_bytes());
    message.extend_from_slice(&signed(7).checkpoint().root.0);
    let mut signature = vec![0; 8 + 2_420];
    pair.sign(&message, &mut signature[8..]).unwrap();
    let line = NoteSignature { name: name.to_owned(), key_id: key(&cosigners[1]).id(), signature };
    let note = with_line(&note(&signed(7)), &line);
    assert_eq!(note.verify_lines(&[key(&cosigners[1])]).unwrap()[0].time, None);
    assert!(!Policy::parse(&text).unwrap().evaluate(&note, None).unwrap().met);
}

#[test]
fn wrong_policies_are_refused_with_their_line() {
    let fault = |lines: &str| match Policy::parse(&witnesses(lines).0) {
        Err(PolicyError::Line { line, fault }) => (line - 9, fault),
        other => panic!("{lines}: {other:?}"),
    };
    let again = |name: &str| {
        format!("witness g {}\n", cosigner(name, Algorithm::Ed25519Cosignature, 11).verifier_key())
    };
    let log = signer().verifier_key().to_string();
    let cases: Vec<(String, usize, PolicyFault)> = vec![
        ("group g 2 a b\n".to_owned(), 2, PolicyFault::NoQuorum),
        ("quorum a\nquorum a\n".to_owned(), 2, PolicyFault::QuorumTwice),
        ("quorum z\n".to_owned(), 1, PolicyFault::UnknownName),
        ("group g any z\nquorum g\n".to_owned(), 1, PolicyFault::UnknownName),
        ("group g any g\n".to_owned(), 1, PolicyFault::UnknownName),
        ("group g any none\n".to_owned(), 1, PolicyFault::UnknownName),
        ("quorum g\ngroup g any a\n".to_owned(), 1, PolicyFault::UnknownName),
        ("group g any a a\n".to_owned(), 1, PolicyFault::MemberTwice),
        ("group g any a\ngroup h any a\n".to_owned(), 2, PolicyFault::MemberTwice),
        ("group g 0 a\n".to_owned(), 1, PolicyFault::Threshold),
        ("group g 3 a b\n".to_owned(), 1, PolicyFault::Threshold),
        ("group g 01 a\n".to_owned(), 1, PolicyFault::Threshold),
        ("group g any\n".to_owned(), 1, PolicyFault::Threshold),
        ("group g\n".to_owned(), 1, PolicyFault::Items),
        ("quorum a b\n".to_owned(), 1, PolicyFault::Items),
        ("group none any a\n".to_owned(), 1, PolicyFault::NameTwice),
        ("group a any b\n".to_owned(), 1, PolicyFault::NameTwice),
        ("Quorum a\n".to_owned(), 1, PolicyFault::Keyword),
        ("quorum a\r\n".to_owned(), 1, PolicyFault::Character),
        ("quorum\u{b}a\n".to_owned(), 1, PolicyFault::Character),
        (again("another.example"), 1, PolicyFault::KeyTwice),
        (format!("log {log}\n"), 1, PolicyFault::KeyTwice),
        (format!("witness g {log}\n"), 1, PolicyFault::KeyUse),
        (again("x").replace("witness g", "log"), 1, PolicyFault::KeyUse),
        ("log nonsense\n".to_owned(), 1, PolicyFault::Key(NoteError::VerifierKey)),
    ];
    for (lines, line, expected) in cases {
        assert_eq!(fault(&lines), (line, expected), "{lines}");
    }
    assert_eq!(Policy::parse(b"").unwrap_err().code(), "E0371");
    // Names and addresses are octets; the last newline may be missing.
    let (mut text, _) = witnesses("");
    text.extend_from_slice(b"group \xff any a\nquorum \xff");
    let policy = Policy::parse(&text).unwrap();
    assert_eq!(policy.quorum_name().unwrap().as_str(), None);
    assert_eq!(policy.quorum_name().unwrap().to_string(), "\u{fffd}");
}

#[test]
fn a_policy_has_bounds() {
    let mut text = b"quorum none\n".to_vec();
    text.resize(POLICY_BYTES_MAX, b'\n');
    assert!(Policy::parse(&text).is_ok());
    text.push(b'\n');
    assert_eq!(Policy::parse(&text).unwrap_err().code(), "E0372");
    let logs = |count: usize| {
        let mut text = String::from("quorum none\n");
        for at in 0..count {
            let mut public = [7; 32];
            public[..8].copy_from_slice(&at.to_be_bytes());
            writeln!(text, "log {}", VerifierKey::new("log.example", public).unwrap()).unwrap();
        }
        Policy::parse(text.as_bytes()).map(|policy| policy.logs().len())
    };
    assert_eq!(logs(POLICY_ITEMS_MAX), Ok(POLICY_ITEMS_MAX));
    assert_eq!(
        logs(POLICY_ITEMS_MAX + 1),
        Err(PolicyError::Line { line: POLICY_ITEMS_MAX + 2, fault: PolicyFault::TooMany })
    );
}
