//! A small ledger built for the tests of the verifier: sealed entries, their tree, a signed checkpoint, proofs.
//!
//! Not here: anything the verifier itself does; only what a ledger's writer does.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test's helpers fail loudly"
)]
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses its own share of these helpers")]

use std::borrow::Cow;

use waag_entry::blob::{blob_secret, seal_blob};
use waag_entry::cbor::write;
use waag_entry::codec::Dictionary;
use waag_entry::form::{Entry, Header, Role, write_header};
use waag_entry::part::{PartSecret, Scratch, Seal, part_secret, seal_part};
use waag_entry::plain::{write_blob_reference, write_common, write_fields};
use waag_entry::split::split;
use waag_entry::tag::TagKey;
use waag_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use waag_ledger::hash::{Hash, leaf_hash};
use waag_ledger::note::{NoteSigner, VerifierKey};
use waag_ledger::range::RangeTree;
use waag_ledger::tlog_proof::TlogProof;
use waag_ledger::tree::Frontier;
use waag_model::event::{Data, Event};
use waag_model::ids::{Actor, KeyId, LedgerId};
use waag_model::schema::Schema;
use waag_model::time::UtcNanos;
use waag_model::value::{Decimal, Object, Value};
use waag_verify::verify::{Given, GivenBlob, GivenPart};

pub(crate) const LEDGER: LedgerId =
    LedgerId([0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]);
pub(crate) const ORIGIN: &str = "waag.example/acme/00112233445566778899aabbccddeeff";

/// Data key of part `index`.
fn key(index: usize) -> [u8; 32] {
    [0xc0 + u8::try_from(index).unwrap(); 32]
}

pub(crate) fn object<'a>(members: Vec<(&'a str, Value<'a>)>) -> Value<'a> {
    Value::Object(
        Object::from_members(members.into_iter().map(|(k, v)| (Cow::Borrowed(k), v)).collect()).unwrap(),
    )
}

pub(crate) fn text(text: &str) -> Value<'_> {
    Value::Text(text.into())
}

fn schema() -> Schema {
    let employee = object(vec![("x-data-subject", text("id")), ("x-classification", text("personal"))]);
    Schema::compile(3, &object(vec![("properties", object(vec![("employee", employee)]))])).unwrap()
}

fn event(n: u64) -> Event<'static> {
    let employee =
        object(vec![("id", Value::Text(format!("E-{n}").into())), ("name", text("Ada \u{1b}[2J Berg"))]);
    let Value::Object(attributes) = object(vec![("time", text("2026-11-02T08:30:00Z"))]) else {
        panic!("an object")
    };
    Event {
        id: format!("exp-{n}").into(),
        source: "/hr/expenses".into(),
        kind: "expense.approved".into(),
        subject: Some("report-9".into()),
        attributes,
        data: Data::Json(object(vec![
            ("amount", Value::Decimal(Decimal { significand: 1_250, exponent: -2 })),
            ("employee", employee),
            ("fake", object(vec![("withheld_in_part", Value::Integer(1))])),
            ("huge", Value::Integer(i128::MAX)),
        ])),
    }
}

/// A sealed entry with what opens it.
pub(crate) struct Sealed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) secrets: Vec<PartSecret>,
    pub(crate) blob: Option<(Vec<u8>, PartSecret)>,
}

/// How to seal.
#[derive(Default)]
pub(crate) struct How<'a> {
    pub(crate) dictionary: Option<&'a Dictionary>,
    pub(crate) person_as_blob: bool,
}

/// A dictionary from synthetic samples: plaintexts of events like the sealed ones.
pub(crate) fn dictionary() -> Dictionary {
    let actor = Actor::new("hr-system").unwrap();
    let sample = |n| {
        let mut plain = Vec::new();
        write_common(&mut plain, &split(event(n), &actor, Some(&schema())).unwrap().common);
        plain
    };
    let samples: Vec<Vec<u8>> = (0..2_000).map(sample).collect();
    Dictionary::new(&zstd::dict::from_samples(&samples, 4_096).unwrap()).unwrap()
}

pub(crate) fn seal(n: u64, how: &How<'_>) -> Sealed {
    let actor = Actor::new("hr-system").unwrap();
    let parts = split(event(n), &actor, Some(&schema())).unwrap();
    let mut plains = [Vec::new(), Vec::new()];
    write_common(&mut plains[0], &parts.common);
    write_fields(&mut plains[1], &parts.persons[0].fields);
    let mut scratch = Scratch::default();
    let salt = |index: usize| [u8::try_from(index).unwrap() + 7 * u8::try_from(n % 30).unwrap(); 32];
    let seal = |index: usize, place: usize| Seal {
        role: if index == 0 { Role::Common } else { Role::Person },
        key_id: KeyId([0xd0 + u8::try_from(index).unwrap(); 16]),
        key: Box::leak(Box::new(key(index))),
        salt: salt(place),
        dictionary: how.dictionary,
    };
    let mut blobs = Vec::new();
    let mut blob = None;
    if how.person_as_blob {
        let sealed = seal_blob(&mut scratch, &LEDGER, seal(1, 20), &plains[1]).unwrap();
        plains[1].clear();
        write_blob_reference(&mut plains[1], 0);
        blobs.push(sealed.hash);
        let secret = blob_secret(&LEDGER, &key(1), &sealed.bytes).unwrap();
        blob = Some((sealed.bytes, secret));
    }
    let tags = TagKey::new(&[0x11; 32]);
    let header = Header {
        kind: "expense.approved",
        schema: 3,
        accepted: UtcNanos(1_793_608_201_000_000_000),
        retention: "business",
        tag_epoch: 0,
        identity: tags.identity(&LEDGER, "/hr/expenses", &format!("exp-{n}")),
        ordering: Some(tags.ordering(&LEDGER, "report-9")),
        cause: None,
        blobs,
    };
    let mut header_bytes = Vec::new();
    write_header(&mut header_bytes, &header).unwrap();
    let mut bytes = Vec::new();
    write::array(&mut bytes, 2);
    bytes.extend_from_slice(&header_bytes);
    write::array(&mut bytes, 2);
    for (index, plain) in plains.iter().enumerate() {
        seal_part(&mut scratch, &LEDGER, &header_bytes, index, seal(index, index), plain, &mut bytes)
            .unwrap();
    }
    Entry::read(&bytes).unwrap();
    let secrets = (0..2).map(|index| part_secret(&LEDGER, &key(index), &salt(index))).collect();
    Sealed { bytes, secrets, blob }
}

pub(crate) fn signer(name: &str, seed: u8) -> NoteSigner {
    NoteSigner::from_seed(name, &[seed; 32]).unwrap()
}

pub(crate) fn vkey(signer: &NoteSigner) -> VerifierKey {
    signer.verifier_key().clone()
}

/// The proof file of entry `index` in a ledger of these entries, under the checkpoint of all of them.
pub(crate) fn prove(entries: &[Vec<u8>], index: u64, origin: &str, signers: &[&NoteSigner]) -> Vec<u8> {
    let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let tree = RangeTree::append(&mut Frontier::new(), &leaves);
    let checkpoint = Checkpoint { origin: origin.to_owned(), size: tree.tree_size(), root: tree.root() };
    let signed = SignedCheckpoint::sign(checkpoint, signers).unwrap();
    TlogProof::new(tree.inclusion_proof(index).unwrap(), &signed).unwrap().to_string().into_bytes()
}

/// A ledger of `size` entries: the sealed entry at `index`, and its proof.
pub(crate) fn ledger(size: u64, index: u64, how: &How<'_>, signers: &[&NoteSigner]) -> (Sealed, Vec<u8>) {
    let sealed = seal(index, how);
    let entries: Vec<Vec<u8>> = (0..size)
        .map(|n| if n == index { sealed.bytes.clone() } else { seal(n, &How::default()).bytes })
        .collect();
    let proof = prove(&entries, index, ORIGIN, signers);
    (sealed, proof)
}

pub(crate) fn given(entry: &[u8], proof: &[u8], keys: &[VerifierKey]) -> Given {
    Given { entry: entry.to_vec(), proof: proof.to_vec(), keys: keys.to_vec(), part: None }
}

pub(crate) fn given_part(index: usize, secret: &PartSecret) -> GivenPart {
    GivenPart { index, secret: secret.clone(), dictionary: None, blob: None }
}

pub(crate) fn given_blob(bytes: &[u8], secret: &PartSecret) -> GivenBlob {
    GivenBlob { bytes: bytes.to_vec(), secret: secret.clone() }
}
