//! Witnesses: both sides of `add-checkpoint` against each other, every refusal, and what must never be cosigned.
//!
//! Place: `WITNESS-1`, `WITNESS-2`. Not here: HTTP and keeping the state (`bin/waag`).
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use proptest::prelude::*;
use waag_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use waag_ledger::cosignature::Cosigner;
use waag_ledger::hash::{EMPTY_ROOT, Hash, leaf_hash};
use waag_ledger::note::{Algorithm, NoteSigner, VerifierKey};
use waag_ledger::proof::prove_consistency;
use waag_ledger::stored::frontier_at;
use waag_ledger::tree::Frontier;
use waag_ledger::witness::{
    ADD_CHECKPOINT_BYTES_MAX, AddCheckpoint, Judged, PROOF_LINES_MAX, SIZE_CONTENT_TYPE, WitnessAnswer,
    WitnessReply, WitnessState, WitnessedLog, add_checkpoint_body, judge, origin_path, prove_to_witness,
    read_answer,
};

const ORIGIN: &str = "waag.example/acme/00112233445566778899aabbccddeeff";
const NOW: u64 = 1_700_000_000;

/// A log whose leaves after `fork` are its own.
struct Log {
    stored: Vec<Hash>,
    signer: NoteSigner,
}

impl Log {
    fn new(size: u64, fork: u64) -> Log {
        let (mut frontier, mut stored) = (Frontier::new(), Vec::new());
        for n in 0..size {
            let entry = if n < fork { format!("entry {n}") } else { format!("other {n}") };
            frontier.append(leaf_hash(entry.as_bytes()), &mut stored);
        }
        Log { stored, signer: NoteSigner::from_seed(ORIGIN, &[1; 32]).unwrap() }
    }

    fn at(&self, size: u64) -> SignedCheckpoint {
        let root = frontier_at(&self.stored, size).unwrap().root();
        let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root };
        SignedCheckpoint::sign(checkpoint, &[&self.signer]).unwrap()
    }

    fn proof(&self, old: u64, new: u64) -> Vec<Hash> {
        if old == 0 { Vec::new() } else { prove_consistency(&self.stored, old, new).unwrap().path }
    }

    fn ask(&self, old: u64, new: u64) -> String {
        prove_to_witness(&self.stored, old, &self.at(new)).unwrap()
    }
}

/// A witness with both kinds of keys, and what it keeps.
struct Witness {
    cosigners: Vec<Cosigner>,
    logs: Vec<WitnessedLog>,
    kept: Option<WitnessState>,
}

impl Witness {
    fn new() -> Witness {
        let kinds = [(Algorithm::Ed25519Cosignature, 2), (Algorithm::MlDsa44, 3)];
        let cosigner = |(kind, seed)| Cosigner::from_seed("witness.example", kind, &[seed; 32]).unwrap();
        let key = Log::new(0, 0).signer.verifier_key().clone();
        let logs = WitnessedLog::by_origin(vec![key]);
        Witness { cosigners: kinds.map(cosigner).into(), logs, kept: None }
    }

    fn keys(&self) -> Vec<VerifierKey> {
        self.cosigners.iter().map(|cosigner| cosigner.verifier_key().clone()).collect()
    }

    fn judged(&self, body: &[u8], now: u64) -> Judged {
        match AddCheckpoint::parse(body) {
            Ok(request) => judge(&request, &self.logs, self.kept.as_ref(), &self.cosigners, now),
            Err(reply) => Judged { reply, keep: None, suspicious: false },
        }
    }

    /// Judges, keeps what must be kept through its stored form, and gives the reply.
    fn answer(&mut self, body: &str, now: u64) -> WitnessReply {
        let judged = self.judged(body.as_bytes(), now);
        assert_eq!(judged.keep.is_some(), judged.reply.status == 200);
        if let Some(state) = judged.keep {
            self.kept = Some(WitnessState::decode(&state.encode()).unwrap());
        }
        judged.reply
    }

    fn read(&self, reply: &WitnessReply, note: &str) -> WitnessAnswer {
        read_answer(reply.status, Some(reply.content_type), reply.body.as_bytes(), note, &self.keys())
    }

    fn status(&self, body: &str) -> (u16, bool) {
        let judged = self.judged(body.as_bytes(), NOW);
        (judged.reply.status, judged.suspicious)
    }
}

#[test]
fn a_growing_log_is_cosigned_and_its_cosignatures_verify() {
    let (log, mut witness) = (Log::new(300, 300), Witness::new());
    let mut keys = witness.keys();
    keys.push(log.signer.verifier_key().clone());
    let mut old = 0;
    for (step, size) in [0, 0, 1, 2, 2, 64, 100, 256, 257, 300, 300].into_iter().enumerate() {
        let now = NOW + step as u64;
        let reply = witness.answer(&log.ask(old, size), now);
        let WitnessAnswer::Cosigned(lines) = witness.read(&reply, log.at(size).note()) else {
            panic!("{old} to {size}: {reply:?}")
        };
        let published = log.at(size).with_cosignatures(&lines, &witness.keys()).unwrap();
        let times: Vec<Option<u64>> = published.known_signatures().iter().map(|line| line.time).collect();
        assert_eq!(times, [None, Some(now), Some(now)]);
        // What a monitor of the witness reads is the same checkpoint under the same signatures.
        let kept = witness.kept.as_ref().unwrap();
        let shown = SignedCheckpoint::verify(kept.note.as_bytes(), &keys).unwrap();
        assert_eq!((shown.checkpoint(), shown.signers().len()), (published.checkpoint(), 3));
        assert_eq!((kept.size, kept.root, kept.time), (size, published.checkpoint().root, now));
        old = size;
    }
    assert_eq!(origin_path("").len(), 64);
    assert!(origin_path("").starts_with("e3b0c44298fc1c14"));
}

#[test]
fn each_refusal_has_its_status() {
    let (log, mut witness) = (Log::new(300, 300), Witness::new());
    assert_eq!(witness.answer(&log.ask(0, 100), NOW).status, 200);
    // 409 with the size that was cosigned, whichever size was asked from; a proof from there then does.
    for old in [0, 50, 120] {
        let reply = witness.answer(&log.ask(old, 200), NOW);
        assert_eq!(
            (reply.status, reply.content_type, reply.body.as_str()),
            (409, SIZE_CONTENT_TYPE, "100\n")
        );
        assert_eq!(witness.read(&reply, log.at(200).note()), WitnessAnswer::Conflict { size: 100 });
    }
    // A log that was rolled back asks for less than was cosigned, and is told so.
    assert_eq!(witness.status(&log.ask(40, 60)), (409, false));
    // 422: a false proof, one too many or too few nodes, another tree, a proof where none belongs.
    let body = |old, proof: &[Hash], at: &SignedCheckpoint| add_checkpoint_body(old, proof, at.note());
    let proof = log.proof(100, 200);
    let fork = Log::new(300, 90);
    let mut wrong = proof.clone();
    wrong[1].0[0] ^= 1;
    let longer = [&proof[..], &[leaf_hash(b"")]].concat();
    for proof in [&wrong[..], &proof[1..], &longer, &[]] {
        assert_eq!(witness.status(&body(100, proof, &log.at(200))), (422, true));
    }
    assert_eq!(witness.status(&fork.ask(100, 200)), (422, true));
    assert_eq!(witness.status(&fork.ask(100, 100)), (422, true), "the same size with another root");
    assert_eq!(witness.status(&body(100, &proof[..1], &log.at(100))), (422, true));
    // A second root for the cosigned size is a fork from wherever it is asked.
    assert_eq!(witness.status(&fork.ask(0, 100)), (409, true));
    let fresh = Witness::new();
    assert_eq!(fresh.status(&body(0, &proof, &log.at(200))), (422, true));
    // 403: another's signature only, a false one, and one that cannot sign logs.
    let stranger = NoteSigner::from_seed("other.example", &[9; 32]).unwrap();
    let body_text = log.at(200).checkpoint().body();
    let by_stranger = waag_ledger::note::Note::sign(&body_text, &[&stranger]).unwrap().to_string();
    assert_eq!(witness.status(&add_checkpoint_body(100, &proof, &by_stranger)), (403, false));
    let altered = log.at(200).note().replacen("\n200\n", "\n201\n", 1);
    assert_eq!(witness.status(&add_checkpoint_body(100, &[], &altered)), (403, false));
    // 404: an origin that is not witnessed.
    let elsewhere = log.ask(100, 200).replacen(ORIGIN, "waag.example/b", 1);
    assert_eq!(witness.status(&elsewhere), (404, false));
    let answers = [404, 403, 422, 400, 500, 301].map(|status| read_answer(status, None, b"", "", &[]));
    let expected = [
        WitnessAnswer::UnknownLog,
        WitnessAnswer::NotSigned,
        WitnessAnswer::ProofRefused,
        WitnessAnswer::Malformed,
        WitnessAnswer::Other { status: 500 },
        WitnessAnswer::Other { status: 301 },
    ];
    assert_eq!(answers, expected);
}

#[test]
fn an_empty_tree_has_one_root() {
    let (log, witness) = (Log::new(0, 0), Witness::new());
    let text = format!("{ORIGIN}\n0\n{}\n", leaf_hash(b"x").to_base64());
    let note = waag_ledger::note::Note::sign(&text, &[&log.signer]).unwrap().to_string();
    assert_eq!(witness.status(&add_checkpoint_body(0, &[], &note)), (422, true));
    assert_eq!(log.at(0).checkpoint().root, EMPTY_ROOT);
    assert_eq!(witness.status(&log.ask(0, 0)), (200, false));
}

#[test]
fn malformed_requests_are_told_so() {
    let (log, witness) = (Log::new(300, 300), Witness::new());
    let good = log.ask(100, 200);
    for (from, to) in [
        ("old 100\n", ""),
        ("old 100\n", "old 0100\n"),
        ("old 100\n", "old  100\n"),
        ("old 100\n", "old -1\n"),
        ("old 100\n", "old \n"),
        ("old 100\n", "Old 100\n"),
        ("old 100\n", "old 100\r\n"),
        ("old 100\n", "old 201\n"),
        ("old 100\n", "old 4611686018427387905\n"),
        ("=\n", "\n"),
        ("=\n", "=\nnot a hash\n"),
        ("\n\n", "\n"),
        ("\n200\n", "\n0200\n"),
    ] {
        assert_eq!(witness.status(&good.replacen(from, to, 1)), (400, false), "{from:?} to {to:?}");
    }
    assert_eq!(witness.status(&good), (409, false), "the original is none of those");
    assert_eq!(witness.status(good.trim_end()), (400, false));
    assert_eq!(witness.judged(b"old 0\n\n\xff", NOW).reply.status, 400);
    let lines = |count| add_checkpoint_body(100, &vec![leaf_hash(b""); count], log.at(200).note());
    assert_eq!(witness.status(&lines(PROOF_LINES_MAX)), (409, false));
    assert_eq!(witness.status(&lines(PROOF_LINES_MAX + 1)), (400, false));
    let long = vec![b'\n'; ADD_CHECKPOINT_BYTES_MAX + 1];
    assert!(AddCheckpoint::parse(&long).unwrap_err().body.contains("too long"));
    assert!(!AddCheckpoint::parse(&long[1..]).unwrap_err().body.contains("too long"));
}

#[test]
fn times_never_go_back() {
    let (log, mut witness) = (Log::new(300, 300), Witness::new());
    assert_eq!(witness.answer(&log.ask(0, 100), NOW).status, 200);
    assert_eq!(witness.answer(&log.ask(100, 200), NOW - 50).status, 200);
    assert_eq!(witness.kept.as_ref().unwrap().time, NOW);
    let mut fresh = Witness::new();
    assert_eq!(fresh.answer(&log.ask(0, 100), 0).status, 200);
    assert_eq!(fresh.kept.unwrap().time, 1, "a time is always stated");
    // Without a key of its own a witness says nothing.
    fresh = Witness { cosigners: Vec::new(), ..Witness::new() };
    assert_eq!(fresh.status(&log.ask(0, 100)), (500, false));
}

#[test]
fn answers_are_believed_only_as_far_as_they_verify() {
    let (log, mut witness) = (Log::new(300, 300), Witness::new());
    let (note, other) = (log.at(100), log.at(99));
    let body = witness.answer(&log.ask(0, 100), NOW).body;
    let keys = witness.keys();
    let read = |body: &str, note: &SignedCheckpoint, keys: &[VerifierKey]| {
        read_answer(200, Some("text/plain"), body.as_bytes(), note.note(), keys)
    };
    let refused = |answer| {
        let WitnessAnswer::NotCosigned(error) = answer else { panic!("{answer:?}") };
        error.code()
    };
    let WitnessAnswer::Cosigned(lines) = read(&body, &note, &keys) else { panic!("{body}") };
    assert_eq!(lines.len(), 2);
    // A key that is not configured is left out, and by itself is no cosignature.
    assert!(matches!(read(&body, &note, &keys[1..]), WitnessAnswer::Cosigned(lines) if lines.len() == 1));
    assert_eq!(refused(read(&body, &note, &[])), "E0374");
    // A cosignature of another checkpoint, a cut or flipped one, none at all, a log's own signature.
    assert_eq!(refused(read(&body, &other, &keys)), "E0374");
    assert_eq!(refused(read(body.trim_end(), &note, &keys)), "E0374");
    assert_eq!(refused(read("", &note, &keys)), "E0374");
    assert_eq!(refused(read("<html></html>\n", &note, &keys)), "E0374");
    let own = note.note().rsplit_once("\n\n").unwrap().1;
    assert_eq!(refused(read(own, &note, &keys)), "E0374");
    let log_key = [log.signer.verifier_key().clone()];
    assert_eq!(refused(read(own, &note, &log_key)), "E0374", "a signature without a time is none");
    // Every flipped bit of the Ed25519 line: refused, or no longer by a known key.
    let first = body.split_inclusive('\n').next().unwrap();
    for at in 0..first.len() * 8 {
        let mut edit = first.as_bytes().to_vec();
        edit[at / 8] ^= 1 << (at % 8);
        let answer = read_answer(200, None, &edit, note.note(), &keys);
        assert!(matches!(answer, WitnessAnswer::NotCosigned(_)), "bit {at}");
    }
}

#[test]
fn a_told_size_is_a_plain_decimal_under_its_type() {
    let read = |kind: Option<&str>, body: &str| read_answer(409, kind, body.as_bytes(), "", &[]);
    assert_eq!(read(Some(SIZE_CONTENT_TYPE), "0\n"), WitnessAnswer::Conflict { size: 0 });
    assert_eq!(read(Some("Text/X.tlog.size; charset=utf-8"), "7\n"), WitnessAnswer::Conflict { size: 7 });
    for (kind, body) in [
        (None, "7\n"),
        (Some("text/plain"), "7\n"),
        (Some(SIZE_CONTENT_TYPE), "7"),
        (Some(SIZE_CONTENT_TYPE), "07\n"),
        (Some(SIZE_CONTENT_TYPE), "\n"),
        (Some(SIZE_CONTENT_TYPE), "7\n\n"),
        (Some(SIZE_CONTENT_TYPE), "4611686018427387905\n"),
    ] {
        assert_eq!(read(kind, body), WitnessAnswer::Other { status: 409 }, "{kind:?} {body:?}");
    }
    // A witness that has seen more than the log has cannot be proven anything.
    let log = Log::new(10, 10);
    assert_eq!(prove_to_witness(&log.stored, 11, &log.at(10)).unwrap_err().code(), "E0315");
}

#[test]
fn a_witness_trusts_a_log_by_its_keys() {
    let second = Cosigner::from_seed(ORIGIN, Algorithm::MlDsa44, &[4; 32]).unwrap();
    let weak = Cosigner::from_seed(ORIGIN, Algorithm::Ed25519Cosignature, &[5; 32]).unwrap();
    let log = Log::new(20, 20);
    let witness = |keys: Vec<VerifierKey>| Witness { logs: WitnessedLog::by_origin(keys), ..Witness::new() };
    let note = log.at(20).cosigned(&second, 5).unwrap().cosigned(&weak, 5).unwrap();
    let body = add_checkpoint_body(0, &[], note.note());
    assert_eq!(witness(vec![second.verifier_key().clone()]).status(&body), (200, false));
    // A cosigning key speaks for no log, so that its origin is not even known.
    assert_eq!(witness(vec![weak.verifier_key().clone()]).status(&body), (404, false));
    let mut forced = witness(Vec::new());
    forced.logs = vec![WitnessedLog { origin: ORIGIN.to_owned(), keys: vec![weak.verifier_key().clone()] }];
    assert_eq!(forced.status(&body), (403, false));
    // Of the log's lines only the verified ones are kept and shown.
    let mut by_second = witness(vec![second.verifier_key().clone()]);
    assert_eq!(by_second.answer(&body, NOW).status, 200);
    let shown = by_second.kept.unwrap().note;
    assert_eq!(shown.lines().filter(|line| line.starts_with('\u{2014}')).count(), 3);
}

#[test]
fn a_kept_state_is_read_back_whole_or_not() {
    let (log, mut witness) = (Log::new(20, 20), Witness::new());
    witness.answer(&log.ask(0, 20), NOW);
    let bytes = witness.kept.unwrap().encode();
    for length in 0..bytes.len() {
        let cut = WitnessState::decode(&bytes[..length]);
        assert!(cut.is_err(), "cut at {length}");
    }
    for at in (0..9).chain(17..49) {
        let mut edit = bytes.clone();
        edit[at] ^= 1;
        assert_eq!(WitnessState::decode(&edit).unwrap_err().code(), "E0375", "byte {at}");
    }
}

proptest! {
    /// Whatever sizes and histories are asked for, only what goes on from the last cosigned tree is cosigned.
    #[test]
    fn nothing_is_cosigned_that_does_not_go_on(
        asks in prop::collection::vec((0u64..40, 0u64..40, 0u64..40, any::<bool>()), 1..12)
    ) {
        let mut witness = Witness::new();
        witness.cosigners.truncate(1);
        let logs: Vec<Log> = [40, 25, 10, 0].map(|fork| Log::new(40, fork)).into();
        let mut last = (0, EMPTY_ROOT);
        for (old, size, which, honest) in asks {
            let log = &logs[usize::try_from(which % 4).unwrap()];
            let old = if honest { last.0 } else { old };
            let proof = if old <= size { log.proof(old, size) } else { Vec::new() };
            let at = log.at(size);
            let reply = witness.answer(&add_checkpoint_body(old, &proof, at.note()), NOW);
            let root = at.checkpoint().root;
            let goes_on = old == last.0 && size >= old && frontier_at(&log.stored, old).unwrap().root() == last.1;
            prop_assert_eq!(reply.status == 200, goes_on, "{} to {} of {}", old, size, which % 4);
            if goes_on {
                last = (size, root);
            }
        }
    }

    #[test]
    fn any_bytes_are_refused_or_judged(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let judged = Witness::new().judged(&body, NOW);
        prop_assert!(judged.keep.is_none());
        let answer = read_answer(200, None, &body, "", &[]);
        prop_assert!(matches!(answer, WitnessAnswer::NotCosigned(_)));
        let answer = read_answer(409, Some(SIZE_CONTENT_TYPE), &body, "", &[]);
        let told = matches!(answer, WitnessAnswer::Other { .. } | WitnessAnswer::Conflict { .. });
        prop_assert!(told);
        prop_assert!(WitnessState::decode(&body).is_err());
    }
}
