//! The worked example of `docs/reference/entry.md` is what the code writes: the document and the golden file are held
//! against a sealing with fixed keys and salts, and every byte of it matters.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::unreachable,
    reason = "a test's helpers fail loudly"
)]

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

use waag_entry::cbor::write;
use waag_entry::error::EntryError;
use waag_entry::form::{Entry, Header, Role, write_header};
use waag_entry::merge::merge;
use waag_entry::part::{Scratch, Seal, open_part, part_secret, seal_part};
use waag_entry::plain::{Inline, read_common, read_fields, write_common, write_fields};
use waag_entry::split::split;
use waag_entry::tag::TagKey;
use waag_model::event::{Data, Event};
use waag_model::ids::{Actor, KeyId, LedgerId};
use waag_model::schema::Schema;
use waag_model::time::UtcNanos;
use waag_model::value::{Decimal, Object, Value};

const LEDGER: LedgerId = LedgerId(*b"waag-example-one");
const TAG_KEY: [u8; 32] = [0x11; 32];
/// Key id, key and salt of the common part, then of the person's.
const KEYS: [(KeyId, [u8; 32], [u8; 32]); 2] =
    [(KeyId([0xa0; 16]), [0xa1; 32], [0xa2; 32]), (KeyId([0xb0; 16]), [0xb1; 32], [0xb2; 32])];

fn object<'a>(members: Vec<(&'a str, Value<'a>)>) -> Value<'a> {
    Value::Object(
        Object::from_members(members.into_iter().map(|(k, v)| (Cow::Borrowed(k), v)).collect()).unwrap(),
    )
}

fn event() -> Event<'static> {
    let Value::Object(attributes) = object(vec![("time", Value::Text("2026-11-02T08:30:00Z".into()))]) else {
        unreachable!("an object")
    };
    let employee = object(vec![("id", Value::Text("E-7".into())), ("name", Value::Text("Ada Berg".into()))]);
    Event {
        id: "exp-42".into(),
        source: "/hr/expenses".into(),
        kind: "expense.approved".into(),
        subject: Some("report-9".into()),
        attributes,
        data: Data::Json(object(vec![
            ("amount", Value::Decimal(Decimal { significand: 1_250, exponent: -2 })),
            ("employee", employee),
        ])),
    }
}

fn schema() -> Schema {
    let employee = object(vec![
        ("x-data-subject", Value::Text("id".into())),
        ("x-classification", Value::Text("personal".into())),
    ]);
    Schema::compile(1, &object(vec![("properties", object(vec![("employee", employee)]))])).unwrap()
}

/// The entry's bytes and the plaintexts of its parts.
fn seal() -> (Vec<u8>, Vec<Vec<u8>>) {
    let actor = Actor::new("hr-system").unwrap();
    let event = event();
    let tags = TagKey::new(&TAG_KEY);
    let header = Header {
        kind: &event.kind,
        schema: 1,
        accepted: UtcNanos(1_793_608_201_000_000_000),
        retention: "business",
        tag_epoch: 0,
        identity: tags.identity(&LEDGER, &event.source, &event.id),
        ordering: event.subject.as_deref().map(|subject| tags.ordering(&LEDGER, subject)),
        cause: None,
        blobs: vec![],
    };
    let mut header_bytes = Vec::new();
    write_header(&mut header_bytes, &header).unwrap();
    let parts = split(event.clone(), &actor, Some(&schema())).unwrap();
    let mut plains = vec![Vec::new(), Vec::new()];
    write_common(&mut plains[0], &parts.common);
    write_fields(&mut plains[1], &parts.persons[0].fields);
    let mut bytes = Vec::new();
    write::array(&mut bytes, 2);
    bytes.extend_from_slice(&header_bytes);
    write::array(&mut bytes, 2);
    for (index, (plain, (key_id, key, salt))) in plains.iter().zip(&KEYS).enumerate() {
        let role = if index == 0 { Role::Common } else { Role::Person };
        let seal = Seal { role, key_id: *key_id, key, salt: *salt, dictionary: None };
        seal_part(&mut Scratch::default(), &LEDGER, &header_bytes, index, seal, plain, &mut bytes).unwrap();
    }
    (bytes, plains)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// The bytes of the `hex` blocks of the document: everything after `;` is explanation.
fn documented(document: &str, heading: &str) -> String {
    let section = document.split(heading).nth(1).unwrap();
    let block = section.split("```hex\n").nth(1).unwrap().split("```").next().unwrap();
    block.lines().flat_map(|line| line.split(';').next().unwrap().split_whitespace()).collect()
}

#[test]
fn the_document_shows_what_the_code_writes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/reference/entry.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (bytes, plains) = seal();
    assert_eq!(documented(&document, "## The entry"), hex(&bytes));
    assert_eq!(documented(&document, "## Inside the common part"), hex(&plains[0]));
    assert_eq!(documented(&document, "## Inside the person's part"), hex(&plains[1]));
    for (key, salt) in KEYS.iter().map(|(_, key, salt)| (key, salt)) {
        let secret = part_secret(&LEDGER, key, salt);
        assert!(
            document.contains(&hex(secret.as_slice())),
            "the part secrets are shown: {}",
            hex(secret.as_slice())
        );
    }
}

#[test]
fn the_golden_entry_of_version_1_reads_for_ever() {
    let golden = include_bytes!("golden/entry-v1.cbor");
    assert_eq!(hex(golden), hex(&seal().0));
    let entry = Entry::read(golden).unwrap();
    assert_eq!((entry.header.kind, entry.parts.len()), ("expense.approved", 2));
    let open = |index: usize| {
        let (_, key, salt) = &KEYS[index];
        open_part(&LEDGER, &entry, index, &part_secret(&LEDGER, key, salt), None).unwrap()
    };
    let (common, person) = (open(0), open(1));
    let Inline::Here(common) = read_common(&common).unwrap() else { unreachable!("inline") };
    let Inline::Here(fields) = read_fields(&person).unwrap() else { unreachable!("inline") };
    assert_eq!(merge(common, vec![(1, fields)]).unwrap().into_event(entry.header.kind).unwrap(), event());
}

#[test]
fn every_flipped_bit_is_seen_by_form_commitment_or_cipher() {
    let (bytes, _) = seal();
    let secrets: Vec<_> = KEYS.iter().map(|(_, key, salt)| part_secret(&LEDGER, key, salt)).collect();
    let opens = |bytes: &[u8]| -> Result<(), EntryError> {
        let entry = Entry::read(bytes)?;
        secrets
            .iter()
            .enumerate()
            .try_for_each(|(i, secret)| open_part(&LEDGER, &entry, i, secret, None).map(drop))
    };
    assert_eq!(opens(&bytes), Ok(()));
    // A salt is not authenticated by the part itself (the secret already came from it); the leaf hash covers it.
    let salts: Vec<usize> = KEYS
        .iter()
        .flat_map(|(_, _, salt)| {
            let at = bytes.windows(32).position(|window| window == salt).unwrap();
            at..at + 32
        })
        .collect();
    let mut unseen = Vec::new();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            if opens(&flipped).is_ok() {
                unseen.push(at);
            }
        }
    }
    unseen.dedup();
    assert_eq!(unseen, salts);
}

#[test]
fn a_secret_opens_its_own_part_only() {
    let (bytes, _) = seal();
    let entry = Entry::read(&bytes).unwrap();
    let secret = |(_, key, salt): &(KeyId, [u8; 32], [u8; 32])| part_secret(&LEDGER, key, salt);
    let other_ledger = part_secret(&LedgerId([9; 16]), &KEYS[0].1, &KEYS[0].2);
    assert_eq!(open_part(&LEDGER, &entry, 0, &secret(&KEYS[1]), None).unwrap_err(), EntryError::Commitment);
    assert_eq!(open_part(&LEDGER, &entry, 1, &secret(&KEYS[0]), None).unwrap_err(), EntryError::Commitment);
    assert_eq!(open_part(&LEDGER, &entry, 0, &other_ledger, None).unwrap_err(), EntryError::Commitment);
    assert_eq!(open_part(&LEDGER, &entry, 2, &other_ledger, None).unwrap_err(), EntryError::NoPart(2));
}
