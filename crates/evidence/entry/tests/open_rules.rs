//! `ENTRY-7` and the partial reading of an entry: what `open` takes, what it leaves closed, what it refuses.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail loudly")]

use std::borrow::Cow;

use waag_entry::blob::{Blob, blob_secret, seal_blob};
use waag_entry::cbor::write;
use waag_entry::codec::Dictionary;
use waag_entry::error::EntryError;
use waag_entry::form::{Entry, Header, Role, write_header};
use waag_entry::open::{Opened, Opener, open};
use waag_entry::part::{PartSecret, Scratch, Seal, part_secret, seal_part};
use waag_entry::plain::{Body, Common, Field, write_blob_reference, write_common, write_fields};
use waag_model::ids::{KeyId, LedgerId, Tag};
use waag_model::time::UtcNanos;
use waag_model::value::{Object, Value};

const LEDGER: LedgerId = LedgerId([5; 16]);
/// Roles and keys: of the common part, of a first person, of a second.
const COMMON: (Role, u8) = (Role::Common, 1);
const ADA: (Role, u8) = (Role::Person, 2);
const BOB: (Role, u8) = (Role::Person, 3);

fn seal(of: (Role, u8), salt: u8, dictionary: Option<&Dictionary>) -> Seal<'_> {
    const KEYS: [[u8; 32]; 4] = [[0; 32], [1; 32], [2; 32], [3; 32]];
    let key = KEYS.get(usize::from(of.1)).unwrap();
    Seal { role: of.0, key_id: KeyId([of.1; 16]), key, salt: [salt; 32], dictionary }
}

fn blob_of(of: (Role, u8), plain: &[u8], dictionary: Option<&Dictionary>) -> Blob {
    seal_blob(&mut Scratch::default(), &LEDGER, seal(of, 99, dictionary), plain).unwrap()
}

/// The common part of an event whose data has a value in part 1 and one in part 2.
fn common() -> Vec<u8> {
    let text = |text: &'static str| Value::Text(text.into());
    let data = vec![(Cow::Borrowed("a"), Value::Withheld(1)), (Cow::Borrowed("b"), Value::Withheld(2))];
    let common = Common {
        id: text("1"),
        source: text("/s"),
        subject: None,
        attributes: Value::Object(Object::default()),
        body: Body::Json(Value::Object(Object::from_members(data).unwrap())),
        actor: text("ops"),
    };
    let mut out = Vec::new();
    write_common(&mut out, &common);
    out
}

fn fields(path: &'static str, value: i128) -> Vec<u8> {
    let mut out = Vec::new();
    write_fields(&mut out, &vec![(path.into(), Field::Value(Value::Integer(value)))]);
    out
}

fn reference(index: usize) -> Vec<u8> {
    let mut out = Vec::new();
    write_blob_reference(&mut out, index);
    out
}

struct World {
    bytes: Vec<u8>,
    blobs: Vec<Blob>,
    /// Which secrets are to be had.
    secrets: Vec<bool>,
    dictionary: Option<Dictionary>,
}

impl World {
    /// An entry with these parts and blobs; every secret and blob is to be had.
    fn new(parts: &[((Role, u8), Vec<u8>)], blobs: Vec<Blob>, dictionary: Option<&Dictionary>) -> Self {
        let header = Header {
            kind: "t",
            schema: 1,
            accepted: UtcNanos(0),
            retention: "business",
            tag_epoch: 0,
            identity: Tag([1; 16]),
            ordering: None,
            cause: None,
            blobs: blobs.iter().map(|blob| blob.hash).collect(),
        };
        let mut header_bytes = Vec::new();
        write_header(&mut header_bytes, &header).unwrap();
        let mut bytes = Vec::new();
        write::array(&mut bytes, 2);
        bytes.extend_from_slice(&header_bytes);
        write::array(&mut bytes, parts.len());
        for (index, (of, plain)) in parts.iter().enumerate() {
            let sealing = seal(*of, u8::try_from(index).unwrap(), dictionary);
            seal_part(&mut Scratch::default(), &LEDGER, &header_bytes, index, sealing, plain, &mut bytes)
                .unwrap();
        }
        Self { bytes, blobs, secrets: vec![true; parts.len()], dictionary: dictionary.cloned() }
    }

    fn open(&self) -> Result<Opened, EntryError> {
        open(&LEDGER, &Entry::read(&self.bytes).unwrap(), self)
    }

    /// The values at `a` and `b`.
    fn values(&self) -> (Value<'static>, Value<'static>) {
        let opened = self.open().unwrap();
        let Body::Json(Value::Object(data)) = opened.event().unwrap().unwrap().body else {
            return (Value::Null, Value::Null);
        };
        let data = data.into_owned();
        (data.get("a").unwrap().clone(), data.get("b").unwrap().clone())
    }
}

fn key_of(id: KeyId) -> [u8; 32] {
    let [first, ..] = id.0;
    *seal((Role::Common, first), 0, None).key
}

impl Opener for World {
    fn part_secret(&self, entry: &Entry<'_>, index: usize) -> Option<PartSecret> {
        let part = entry.parts.get(index)?;
        self.secrets.get(index)?.then(|| part_secret(&LEDGER, &key_of(part.key_id), &part.salt))
    }

    fn blob(&self, hash: &[u8; 32]) -> Option<(Vec<u8>, PartSecret)> {
        let blob = self.blobs.iter().find(|blob| blob.hash == *hash)?;
        let (_, key_id) = waag_entry::blob::blob_owner(&blob.bytes).ok()?;
        Some((blob.bytes.clone(), blob_secret(&LEDGER, &key_of(key_id), &blob.bytes).ok()?))
    }

    fn dictionary(&self, name: &[u8; 8]) -> Option<Dictionary> {
        self.dictionary.clone().filter(|dictionary| dictionary.name() == *name)
    }
}

fn dictionary() -> Dictionary {
    let sample = |n: u32| format!("{{synthetic:{n:08},state:received,memo:{}}}", n % 77).into_bytes();
    let samples: Vec<Vec<u8>> = (0..2_000).map(sample).collect();
    Dictionary::new(&zstd::dict::from_samples(&samples, 4_096).unwrap()).unwrap()
}

#[test]
fn parts_and_blobs_of_one_event_open_to_it() {
    let dictionary = dictionary();
    for given in [None, Some(&dictionary)] {
        let blob = |of, plain: &[u8]| blob_of(of, plain, given);
        let blobs = vec![blob(BOB, &fields("/data/b", 2)), blob(COMMON, &common())];
        let parts = [(COMMON, reference(1)), (ADA, fields("/data/a", 1)), (BOB, reference(0))];
        let world = World::new(&parts, blobs, given);
        assert_eq!(world.open().unwrap().closed(), 0);
        assert_eq!(world.values(), (Value::Integer(1), Value::Integer(2)));
    }
}

#[test]
fn what_is_not_to_be_had_stays_closed_and_says_so() {
    let parts = [(COMMON, common()), (ADA, fields("/data/a", 1)), (BOB, reference(0))];
    let whole = || World::new(&parts, vec![blob_of(BOB, &fields("/data/b", 2), None)], None);
    let mut world = whole();
    world.secrets = vec![true, true, false];
    assert_eq!(world.values(), (Value::Integer(1), Value::Withheld(2)));
    world.secrets = vec![true, false, true];
    assert_eq!(world.values(), (Value::Withheld(1), Value::Integer(2)));
    // The part opens, its blob is lost.
    let mut world = whole();
    world.blobs.clear();
    let opened = world.open().unwrap();
    assert_eq!((opened.closed(), opened.plain(2)), (1, None));
    assert_eq!(world.values(), (Value::Integer(1), Value::Withheld(2)));
    // Without the common part there is no event to show.
    world.secrets = vec![false, true, true];
    let opened = world.open().unwrap();
    assert_eq!((opened.closed(), opened.plain(1)), (2, Some(fields("/data/a", 1).as_slice())));
    assert_eq!(opened.event().unwrap(), None);
}

#[test]
fn a_blob_that_breaks_the_rules_is_refused() {
    let ada = || fields("/data/a", 1);
    let blob = |of: (Role, u8), plain: &[u8]| blob_of(of, plain, None);
    let first = |part: Vec<u8>, blobs: Vec<Blob>| {
        World::new(&[(COMMON, common()), (ADA, part), (BOB, fields("/data/b", 2))], blobs, None)
    };
    let refused = |what: &str, world: World| {
        assert_eq!(world.open().err(), Some(EntryError::BlobReference), "{what}");
    };
    assert!(first(reference(0), vec![blob(ADA, &ada())]).open().is_ok());
    refused("beyond the list", first(reference(1), vec![blob(ADA, &ada())]));
    refused("an empty list", first(reference(0), vec![]));
    refused("another person's", first(reference(0), vec![blob(BOB, &ada())]));
    refused("another role's", first(reference(0), vec![blob((Role::Common, 2), &ada())]));
    refused("another key's", first(reference(0), vec![blob((Role::Person, 1), &ada())]));
    refused("it refers on", first(reference(0), vec![blob(ADA, &reference(0))]));
    refused("nobody refers to it", first(ada(), vec![blob(ADA, &ada())]));
    refused("one of two is unused", first(reference(0), vec![blob(ADA, &ada()), blob(BOB, &ada())]));
    let twice = [(COMMON, common()), (ADA, reference(0)), (ADA, reference(0))];
    refused("two parts refer to it", World::new(&twice, vec![blob(ADA, &ada())], None));
    // An unused blob cannot be told from one of a closed part's before all parts are open.
    let mut world = first(ada(), vec![blob(ADA, &ada())]);
    world.secrets = vec![true, true, false];
    assert!(world.open().is_ok());
}

#[test]
fn a_changed_blob_is_refused_under_its_old_name() {
    let mut world = World::new(
        &[(COMMON, common()), (ADA, reference(0)), (BOB, fields("/data/b", 2))],
        vec![blob_of(ADA, &fields("/data/a", 1), None)],
        None,
    );
    let original = world.blobs.clone();
    for at in 0..original.iter().map(|blob| blob.bytes.len()).sum() {
        world.blobs.clone_from(&original);
        for blob in &mut world.blobs {
            blob.bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1);
        }
        // A blob that is none any more is not to be had: the world's own reader refuses it, and the part stays closed.
        let opened = world.open();
        assert!(opened.map_or(true, |opened| opened.closed() == 1), "byte {at}");
    }
}

#[test]
fn parts_that_do_not_fit_are_no_event() {
    for (what, a, b) in [
        ("the same place twice", fields("/data/a", 1), fields("/data/a", 2)),
        ("swapped", fields("/data/b", 2), fields("/data/a", 1)),
        ("a place that is not withheld", fields("/data/a", 1), fields("/actor", 1)),
        ("a place that is not there", fields("/data/a", 1), fields("/data/c", 1)),
        ("an escape that is none", fields("/data/a", 1), fields("/data/~2", 1)),
    ] {
        let world = World::new(&[(COMMON, common()), (ADA, a), (BOB, b)], vec![], None);
        let opened = world.open().unwrap();
        assert!(matches!(opened.event(), Err(EntryError::Merge(_))), "{what}");
    }
}

#[test]
fn a_blob_may_be_raw_where_its_part_is_compressed() {
    let dictionary = dictionary();
    let parts = [(COMMON, common()), (ADA, reference(0)), (BOB, fields("/data/b", 2))];
    let blobs = vec![blob_of(ADA, &fields("/data/a", 1), None)];
    let world = World::new(&parts, blobs, Some(&dictionary));
    assert_eq!(world.values(), (Value::Integer(1), Value::Integer(2)));
}
