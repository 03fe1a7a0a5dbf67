//! A small ledger and packs of it, for tests of packs: sealed entries, their tree, a cosigned checkpoint. No clock, no
//! randomness: the same bytes in every run.
//!
//! Not here: anything that verifies; only what an operator does, honest or not.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail loudly")]
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses its own share of these helpers")]

use std::borrow::Cow;

use waag_entry::blob::{blob_secret, seal_blob};
use waag_entry::cbor::write;
use waag_entry::codec::Dictionary;
use waag_entry::form::{Header, Role, write_header};
use waag_entry::part::{PartSecret, Scratch, Seal, part_secret, seal_part};
use waag_entry::plain::{write_blob_reference, write_common, write_fields};
use waag_entry::split::split;
use waag_entry::tag::TagKey;
use waag_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use waag_ledger::cosignature::Cosigner;
use waag_ledger::hash::{Hash, leaf_hash};
use waag_ledger::history::{KeyHistory, KeyState, KeyWindow};
use waag_ledger::note::{Algorithm, Note, NoteSigner, VerifierKey};
use waag_ledger::pack::{
    Contents, DisclosedBlob, DisclosedPart, Pack, PackFault, Selection, Term, prove_entries,
};
use waag_ledger::tree::Frontier;
use waag_model::event::{Data, Event};
use waag_model::ids::{Actor, KeyId, LedgerId};
use waag_model::schema::Schema;
use waag_model::time::UtcNanos;
use waag_model::value::{Decimal, Object, Value};

pub(crate) const LEDGER: LedgerId =
    LedgerId([0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]);
pub(crate) const ORIGIN: &str = "waag.example/acme/00112233445566778899aabbccddeeff";
pub(crate) const WITNESS: &str = "witness.example";
/// 2026-11-21T19:40:00Z, in nanoseconds and in seconds.
pub(crate) const MADE: UtcNanos = UtcNanos(1_795_290_000_000_000_000);
pub(crate) const COSIGNED: u64 = 1_795_289_000;
/// The entries of the ledger.
pub(crate) const SIZE: u64 = 11;

pub(crate) fn signer(name: &str, seed: u8) -> NoteSigner {
    NoteSigner::from_seed(name, &[seed; 32]).unwrap()
}

pub(crate) fn vkey(seed: u8) -> VerifierKey {
    signer(ORIGIN, seed).verifier_key().clone()
}

pub(crate) fn cosigner() -> Cosigner {
    Cosigner::from_seed(WITNESS, Algorithm::Ed25519Cosignature, &[9; 32]).unwrap()
}

/// How an entry is sealed.
#[derive(Clone, Copy, Default)]
pub(crate) struct How<'a> {
    pub(crate) dictionary: Option<&'a Dictionary>,
    pub(crate) person_as_blob: bool,
}

/// A sealed entry with what opens it.
#[derive(Clone)]
pub(crate) struct Sealed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) secrets: Vec<PartSecret>,
    pub(crate) blob: Option<(Vec<u8>, PartSecret)>,
}

fn object<'a>(members: Vec<(&'a str, Value<'a>)>) -> Object<'a> {
    Object::from_members(members.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect())
        .unwrap()
}

fn text(text: &str) -> Value<'_> {
    Value::Text(text.into())
}

fn schema() -> Schema {
    let employee = object(vec![("x-data-subject", text("id")), ("x-classification", text("personal"))]);
    let properties = object(vec![("employee", Value::Object(employee))]);
    Schema::compile(3, &Value::Object(object(vec![("properties", Value::Object(properties))]))).unwrap()
}

fn event(n: u64) -> Event<'static> {
    let employee =
        object(vec![("id", Value::Text(format!("E-{n}").into())), ("name", text("Ada \u{1b} Berg"))]);
    let amount = Value::Decimal(Decimal { significand: 1_250 + i128::from(n), exponent: -2 });
    Event {
        id: format!("exp-{n}").into(),
        source: "/hr/expenses".into(),
        kind: "expense.approved".into(),
        subject: Some("report-9".into()),
        attributes: object(vec![("time", text("2026-11-02T08:30:00Z"))]),
        data: Data::Json(Value::Object(object(vec![
            ("amount", amount),
            ("employee", Value::Object(employee)),
        ]))),
    }
}

/// The plaintexts of an event's common and person part.
pub(crate) fn plains(n: u64) -> [Vec<u8>; 2] {
    let actor = Actor::new("hr-system").unwrap();
    let parts = split(event(n), &actor, Some(&schema())).unwrap();
    let mut plains = [Vec::new(), Vec::new()];
    write_common(&mut plains[0], &parts.common);
    write_fields(&mut plains[1], &parts.persons[0].fields);
    plains
}

/// Seals event `n` under keys that are always the same.
pub(crate) fn seal(n: u64, how: How<'_>) -> Sealed {
    let mut plains = plains(n);
    let keys = [[0xc0; 32], [0xc1; 32]];
    let salt = |place: usize| [u8::try_from(place).unwrap() + 7 * u8::try_from(n % 30).unwrap(); 32];
    let seal_as = |index: usize, place: usize| Seal {
        role: if index == 0 { Role::Common } else { Role::Person },
        key_id: KeyId([0xd0 + u8::try_from(index).unwrap(); 16]),
        key: &keys[index],
        salt: salt(place),
        dictionary: how.dictionary,
    };
    let mut scratch = Scratch::default();
    let (mut blobs, mut blob) = (Vec::new(), None);
    if how.person_as_blob {
        let sealed = seal_blob(&mut scratch, &LEDGER, seal_as(1, 20), &plains[1]).unwrap();
        plains[1].clear();
        write_blob_reference(&mut plains[1], 0);
        blobs.push(sealed.hash);
        let secret = blob_secret(&LEDGER, &keys[1], &sealed.bytes).unwrap();
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
    let mut head = Vec::new();
    write_header(&mut head, &header).unwrap();
    let mut bytes = Vec::new();
    write::array(&mut bytes, 2);
    bytes.extend_from_slice(&head);
    write::array(&mut bytes, 2);
    for (index, plain) in plains.iter().enumerate() {
        seal_part(&mut scratch, &LEDGER, &head, index, seal_as(index, index), plain, &mut bytes).unwrap();
    }
    let secrets = (0..2).map(|index| part_secret(&LEDGER, &keys[index], &salt(index))).collect();
    Sealed { bytes, secrets, blob }
}

/// What a pack is made of, to be changed at will before it is made.
#[derive(Clone)]
pub(crate) struct Gathered {
    pub(crate) checkpoint: String,
    pub(crate) keys: KeyHistory,
    pub(crate) entries: Vec<(u64, Vec<u8>)>,
    pub(crate) proof: Vec<Hash>,
    pub(crate) disclosed: Vec<DisclosedPart>,
    pub(crate) erased: Vec<(u64, u8)>,
    pub(crate) blobs: Vec<(Vec<u8>, PartSecret)>,
    pub(crate) dictionaries: Vec<Vec<u8>>,
    pub(crate) cover_html: Option<Vec<u8>>,
    pub(crate) cover_pdf: Option<Vec<u8>>,
}

/// A tree over entries: every leaf's place, the stored hashes, the signed and cosigned checkpoint.
pub(crate) struct Tree {
    pub(crate) stored: Vec<Hash>,
    pub(crate) size: u64,
    pub(crate) checkpoint: SignedCheckpoint,
}

pub(crate) fn tree(entries: &[Sealed], origin: &str, seed: u8) -> Tree {
    let (mut frontier, mut stored) = (Frontier::new(), Vec::new());
    entries.iter().for_each(|entry| frontier.append(leaf_hash(&entry.bytes), &mut stored));
    let size = frontier.size();
    let checkpoint = Checkpoint { origin: origin.to_owned(), size, root: frontier.root() };
    let signed = SignedCheckpoint::sign(checkpoint, &[&signer(origin, seed)]).unwrap();
    Tree { stored, size, checkpoint: signed.cosigned(&cosigner(), COSIGNED).unwrap() }
}

/// A history of one active key.
pub(crate) fn history(seed: u8) -> KeyHistory {
    let window = KeyWindow {
        key: vkey(seed),
        from_ns: 1_793_000_000_000_000_000,
        until_ns: None,
        state: KeyState::Active,
    };
    KeyHistory::new(vec![window]).unwrap()
}

/// Eleven entries: number 4 has a blob, and number 3 was packed with the dictionary, where there is one.
pub(crate) fn entries(dictionary: Option<&Dictionary>) -> Vec<Sealed> {
    let how = |n| How { dictionary: dictionary.filter(|_| n == 3), person_as_blob: n == 4 };
    (0..SIZE).map(|n| seal(n, how(n))).collect()
}

/// Gathers entries with everything disclosed but the persons' parts of 2, which is withheld, and of 7, told as erased.
pub(crate) fn gather(entries: &[Sealed], positions: &[u64], dictionary: Option<&Dictionary>) -> Gathered {
    let tree = tree(entries, ORIGIN, 1);
    let mut gathered = Gathered {
        checkpoint: tree.checkpoint.note().to_owned(),
        keys: history(1),
        entries: Vec::new(),
        proof: prove_entries(&tree.stored, positions, tree.size).unwrap(),
        disclosed: Vec::new(),
        erased: Vec::new(),
        blobs: Vec::new(),
        dictionaries: Vec::new(),
        cover_html: Some(b"<!doctype html><title>A pack</title>".to_vec()),
        cover_pdf: None,
    };
    for position in positions {
        let sealed = &entries[usize::try_from(*position).unwrap()];
        gathered.entries.push((*position, sealed.bytes.clone()));
        let disclose = |part: u8| DisclosedPart {
            position: *position,
            part,
            secret: sealed.secrets[usize::from(part)].clone(),
        };
        gathered.disclosed.push(disclose(0));
        match position {
            2 => {}
            7 => gathered.erased.push((7, 1)),
            _ => gathered.disclosed.push(disclose(1)),
        }
        gathered.blobs.extend(sealed.blob.clone());
        if *position == 3 {
            gathered.dictionaries.extend(dictionary.map(|dictionary| dictionary.bytes().to_vec()));
        }
    }
    gathered
}

impl Gathered {
    /// Makes the pack, signed by the keys of these seeds.
    pub(crate) fn signed_by(&self, seeds: &[u8]) -> Result<Pack, PackFault> {
        let entries: Vec<(u64, &[u8])> =
            self.entries.iter().map(|(position, bytes)| (*position, bytes.as_slice())).collect();
        let blobs: Vec<DisclosedBlob<'_>> = self
            .blobs
            .iter()
            .map(|(bytes, secret)| DisclosedBlob { bytes, secret: secret.clone() })
            .collect();
        let dictionaries: Vec<&[u8]> = self.dictionaries.iter().map(Vec::as_slice).collect();
        let contents = Contents {
            actor: "auditor-desk",
            reason: "audit \"4\" of 2026",
            event: "pack-1",
            made: MADE,
            selection: Selection {
                terms: vec![Term { name: "type".to_owned(), value: "expense.approved".to_owned() }],
                text: "some expenses".to_owned(),
            },
            checkpoint: &self.checkpoint,
            keys: &self.keys,
            entries: &entries,
            proof: &self.proof,
            disclosed: &self.disclosed,
            erased: &self.erased,
            blobs: &blobs,
            dictionaries: &dictionaries,
            cover_html: self.cover_html.as_deref(),
            cover_pdf: self.cover_pdf.as_deref(),
        };
        let signers: Vec<NoteSigner> = seeds.iter().map(|seed| signer(ORIGIN, *seed)).collect();
        waag_ledger::pack::write(&contents, &signers.iter().collect::<Vec<_>>())
    }

    pub(crate) fn pack(&self) -> Vec<u8> {
        self.signed_by(&[1]).unwrap().bytes
    }
}

/// The members of a pack by name, as its local headers tell them.
pub(crate) fn members(file: &[u8]) -> Vec<(String, Vec<u8>)> {
    let (mut members, mut rest) = (Vec::new(), file);
    while rest.starts_with(b"PK\x03\x04") {
        let bytes = usize::try_from(u32::from_le_bytes(rest[22..26].try_into().unwrap())).unwrap();
        let name = usize::from(u16::from_le_bytes(rest[26..28].try_into().unwrap()));
        let (of_name, behind) = rest[30..].split_at(name);
        members.push((String::from_utf8(of_name.to_vec()).unwrap(), behind[..bytes].to_vec()));
        rest = &behind[bytes..];
    }
    members
}

/// The one file of these members, written from docs/reference/pack.md and not by the product.
pub(crate) fn zip(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut central) = (Vec::new(), Vec::new());
    let long = |len: usize| u32::try_from(len).unwrap().to_le_bytes();
    for (name, bytes) in members {
        let mut shared = vec![0x0a, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        shared.extend(crc32fast::hash(bytes).to_le_bytes());
        shared.extend(long(bytes.len()));
        shared.extend(long(bytes.len()));
        shared.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        shared.extend([0, 0]);
        central.extend(
            [&b"PK\x01\x02\x14\0"[..], &shared, &[0; 10], &long(out.len()), name.as_bytes()].concat(),
        );
        out.extend([&b"PK\x03\x04"[..], &shared, name.as_bytes(), bytes].concat());
    }
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    let end = [&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &long(central.len()), &long(out.len()), &[0, 0]];
    [&out[..], &central, &end.concat()].concat()
}

/// A member's bytes, to be changed.
pub(crate) fn member<'m>(members: &'m mut [(String, Vec<u8>)], name: &str) -> &'m mut Vec<u8> {
    &mut members.iter_mut().find(|(of, _)| of == name).unwrap().1
}

fn sha256(bytes: &[u8]) -> Hash {
    Hash(waag_entry::blob::blob_hash(bytes))
}

/// The manifest's list of members made again: what somebody without the operator's key can do.
pub(crate) fn relist(members: &mut [(String, Vec<u8>)]) {
    let line = |(name, bytes): &(String, Vec<u8>)| {
        format!("{{\"bytes\":{},\"name\":\"{name}\",\"sha256\":\"{}\"}}", bytes.len(), sha256(bytes))
    };
    let listed = members.iter().filter(|(name, _)| !name.starts_with("manifest."));
    let lines = listed.map(line).collect::<Vec<_>>().join(",");
    let manifest = String::from_utf8(member(members, "manifest.json").clone()).unwrap();
    let (before, rest) = manifest.split_once("\"members\":[").unwrap();
    let (_, after) = rest.split_once("],\"origin\":").unwrap();
    *member(members, "manifest.json") =
        format!("{before}\"members\":[{lines}],\"origin\":{after}").into_bytes();
}

/// The manifest's note for the manifest as it is, with the signature that was there.
pub(crate) fn renote(members: &mut [(String, Vec<u8>)]) {
    let digest = sha256(member(members, "manifest.json")).to_base64();
    let note = String::from_utf8(member(members, "manifest.note").clone()).unwrap();
    let mut lines: Vec<&str> = note.split('\n').collect();
    lines[2] = &digest;
    *member(members, "manifest.note") = lines.join("\n").into_bytes();
}

/// The list and the note made again and signed: what the operator can do.
pub(crate) fn resign(members: &mut [(String, Vec<u8>)]) {
    relist(members);
    let digest = sha256(member(members, "manifest.json")).to_base64();
    let text = format!("waag evidence pack v1\n{ORIGIN}\n{digest}\n");
    let note = Note::sign(&text, &[&signer(ORIGIN, 1)]).unwrap();
    *member(members, "manifest.note") = note.to_string().into_bytes();
}
