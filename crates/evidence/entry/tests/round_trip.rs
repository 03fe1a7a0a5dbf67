//! `ENTRY-1` and `ENTRY-3` for arbitrary content: a value comes back from its encoding, a plaintext from its sealing.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail loudly")]

#[path = "support/property.rs"]
mod property;
#[path = "support/values.rs"]
mod values;

use std::sync::OnceLock;

use proptest::prelude::*;
use values::{scalar, shaped, value};
use waag_entry::blob::{blob_secret, open_blob, seal_blob};
use waag_entry::cbor::{Reader, write};
use waag_entry::codec::Dictionary;
use waag_entry::error::EntryError;
use waag_entry::form::{Codec, Entry, Header, Role, write_header};
use waag_entry::part::{Scratch, Seal, open_part, part_secret, seal_part};
use waag_model::ids::{KeyId, LedgerId, Tag};
use waag_model::limits::DEPTH_MAX;
use waag_model::time::UtcNanos;
use waag_model::value::Value;

const LEDGER: LedgerId = LedgerId([3; 16]);

fn encoded(value: &Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write::value(&mut out, value);
    out
}

/// Synthetic samples only: numbered texts of one shape.
fn dictionaries() -> &'static [Dictionary; 2] {
    static DICTIONARIES: OnceLock<[Dictionary; 2]> = OnceLock::new();
    DICTIONARIES.get_or_init(|| {
        ["invoice", "payment"].map(|what| {
            let sample = |n: u64| {
                format!("{{{what}:{n:08},vendor:{},state:received,memo:{}}}", n % 97, n * n).into_bytes()
            };
            let samples: Vec<Vec<u8>> = (0..2_000).map(sample).collect();
            Dictionary::new(&zstd::dict::from_samples(&samples, 4_096).unwrap()).unwrap()
        })
    })
}

struct Case {
    plains: Vec<Vec<u8>>,
    keys: Vec<[u8; 32]>,
    salts: Vec<[u8; 32]>,
}

/// Seals the plaintexts as the parts of one entry.
fn seal(case: &Case, header: &Header<'_>, dictionary: Option<&Dictionary>) -> Vec<u8> {
    let mut scratch = Scratch::default();
    let mut header_bytes = Vec::new();
    write_header(&mut header_bytes, header).unwrap();
    let mut out = Vec::new();
    write::array(&mut out, 2);
    out.extend_from_slice(&header_bytes);
    write::array(&mut out, case.plains.len());
    for (index, ((plain, key), salt)) in case.plains.iter().zip(&case.keys).zip(&case.salts).enumerate() {
        let role = if index == 0 { Role::Common } else { Role::Person };
        let seal = Seal { role, key_id: KeyId([9; 16]), key, salt: *salt, dictionary };
        seal_part(&mut scratch, &LEDGER, &header_bytes, index, seal, plain, &mut out).unwrap();
    }
    out
}

fn header(kind: &str, accepted: i64) -> Header<'_> {
    Header {
        kind,
        schema: 1,
        accepted: UtcNanos(accepted),
        retention: "business",
        tag_epoch: 0,
        identity: Tag([1; 16]),
        ordering: None,
        cause: None,
        blobs: vec![],
    }
}

fn case() -> impl Strategy<Value = Case> {
    let plain = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..600),
        value().prop_map(|value| encoded(&value)),
        (0..9_000_u64)
            .prop_map(|n| format!("{{invoice:{n:08},vendor:7,state:received,memo:1}}").into_bytes()),
    ];
    prop::collection::vec((plain, any::<[u8; 32]>(), any::<[u8; 32]>()), 1..=8).prop_map(|parts| {
        let mut case = Case { plains: vec![], keys: vec![], salts: vec![] };
        for (plain, key, salt) in parts {
            case.plains.push(plain);
            case.keys.push(key);
            case.salts.push(salt);
        }
        case
    })
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.plains).finish()
    }
}

proptest! {
    #[test]
    fn a_value_comes_back_from_its_encoding(value in value()) {
        let bytes = encoded(&value);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(reader.value(), Ok(value));
        prop_assert_eq!(reader.end(), Ok(()));
        prop_assert!(property::holds_for(&bytes));
    }

    #[test]
    fn a_placeholder_comes_back_where_it_is_allowed(
        value in shaped((1..=7_u8).prop_map(Value::Withheld).boxed(), ".{0,5}".boxed())
    ) {
        let bytes = encoded(&value);
        prop_assert_eq!(Reader::new(&bytes).value(), Ok(value.clone()));
        let mut strict = Reader::new(&bytes);
        strict.refuse_placeholders();
        let has = format!("{value:?}").contains("Withheld");
        prop_assert_eq!(strict.value().is_err(), has);
    }

    #[test]
    fn two_values_never_share_an_encoding(a in scalar(".{0,3}".boxed()), b in scalar(".{0,3}".boxed())) {
        prop_assert_eq!(encoded(&a) == encoded(&b), a == b);
    }

    #[test]
    fn a_cut_encoding_is_no_value(value in value(), at: prop::sample::Index) {
        let bytes = encoded(&value);
        let at = at.index(bytes.len());
        prop_assert!(Reader::new(&bytes[..at]).value().is_err());
    }

    #[test]
    fn what_is_sealed_is_opened(
        case in case(),
        kind in "[a-z.]{1,255}",
        accepted: i64,
        dictionary in prop::option::of(0..2_usize),
        flip in (any::<prop::sample::Index>(), 0..8_u8),
    ) {
        let header = header(&kind, accepted);
        let given = dictionary.map(|at| &dictionaries()[at]);
        let bytes = seal(&case, &header, given);
        let entry = Entry::read(&bytes).unwrap();
        prop_assert_eq!(&entry.header, &header);
        prop_assert!(property::holds_for(&bytes));
        let codec = given.map_or(Codec::Raw, |dictionary| Codec::Zstd(dictionary.name()));
        let secret = |at: usize| part_secret(&LEDGER, &case.keys[at], &case.salts[at]);
        for (at, plain) in case.plains.iter().enumerate() {
            prop_assert_eq!(entry.parts[at].codec, codec);
            let opened = open_part(&LEDGER, &entry, at, &secret(at), given).unwrap();
            prop_assert_eq!(&*opened, plain);
            // Another dictionary opens nothing.
            if let Some(at_other) = dictionary.map(|at| 1 - at) {
                let wrong = open_part(&LEDGER, &entry, at, &secret(at), Some(&dictionaries()[at_other]));
                prop_assert!(matches!(wrong, Err(EntryError::DictionaryMissing(_))));
                prop_assert!(open_part(&LEDGER, &entry, at, &secret(at), None).is_err());
            }
        }
        // A changed ciphertext opens nothing.
        let at = flip.0.index(case.plains.len());
        let mut ciphertext = entry.parts[at].ciphertext.to_vec();
        let byte = flip.0.index(ciphertext.len());
        ciphertext[byte] ^= 1 << flip.1;
        let mut changed = entry.clone();
        changed.parts[at].ciphertext = &ciphertext;
        prop_assert_eq!(
            open_part(&LEDGER, &changed, at, &secret(at), given).unwrap_err(),
            EntryError::Ciphertext
        );
    }

    #[test]
    fn a_blob_is_opened_by_its_own_secret_only(plain in prop::collection::vec(any::<u8>(), 0..4_000), key: [u8; 32], salt: [u8; 32], packed: bool) {
        let dictionary = packed.then(|| &dictionaries()[0]);
        let seal = Seal { role: Role::Person, key_id: KeyId([1; 16]), key: &key, salt, dictionary };
        let blob = seal_blob(&mut Scratch::default(), &LEDGER, seal, &plain).unwrap();
        let secret = blob_secret(&LEDGER, &key, &blob.bytes).unwrap();
        let opened = open_blob(&LEDGER, &blob.hash, &blob.bytes, &secret, dictionary).unwrap();
        prop_assert_eq!(&*opened, &plain);
        // The part's secret of the same key and salt is another.
        let part = part_secret(&LEDGER, &key, &salt);
        prop_assert_eq!(
            open_blob(&LEDGER, &blob.hash, &blob.bytes, &part, dictionary).unwrap_err(),
            EntryError::Commitment
        );
    }
}

#[test]
fn the_deepest_data_is_read_and_deeper_is_refused() {
    let nested = |depth: usize| (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
    for (depth, taken) in [(DEPTH_MAX, true), (DEPTH_MAX + 1, true), (DEPTH_MAX + 2, false)] {
        assert_eq!(Reader::new(&encoded(&nested(depth))).value().is_ok(), taken, "{depth}");
    }
    // Only heads, far beyond any limit: refused without going down.
    for head in [0x81, 0xa1, 0xc4, 0xc2] {
        assert!(Reader::new(&vec![head; 1 << 20]).value().is_err());
    }
}
