//! An entry's outer form: the clear header and the list of sealed parts, to and from bytes.
//!
//! `entry = [header, [part, …]]`; the CDDL stands in `docs/reference/entry.cddl`. Reading borrows and decrypts nothing,
//! so a verifier without any key can hold every stored entry against this form.
//!
//! Not here: sealing and opening a part (`part`), what is in it (`plain`).

use waag_model::ids::{KeyId, Tag};
use waag_model::limits::{RETENTION_BYTES_MAX, TYPE_BYTES_MAX};
use waag_model::time::UtcNanos;

use crate::cbor::{Reader, write};
use crate::error::EntryError;

/// The entry version this program writes and the only one it reads.
pub const VERSION: u64 = 1;
/// Fields of a header of this version.
const HEADER_FIELDS: usize = 10;
/// Most bytes of an entry: what a tlog-tiles entry bundle can carry (C2SP tlog-tiles, uint16 length).
pub const ENTRY_BYTES_MAX: usize = 65_535;
/// Most parts of an entry: the common part and seven persons'.
pub const PARTS_MAX: usize = 8;
/// Most blobs of an entry: at most one for each part.
pub const BLOBS_MAX: usize = PARTS_MAX;

/// What stands in clear in an entry, authenticated by every part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The event's type.
    pub kind: &'a str,
    /// Version of the registered schema the event was accepted under; 0 where its type has none.
    pub schema: u32,
    /// When and where the event was accepted, UTC; not always in order.
    pub accepted: UtcNanos,
    /// The retention class that decides how long it is kept.
    pub retention: &'a str,
    /// Which tag keys made the tags; 0, and room for a change.
    pub tag_epoch: u32,
    /// Stands for `source` + `id`.
    pub identity: Tag,
    /// Stands for `subject`, where there is one.
    pub ordering: Option<Tag>,
    /// The entry that caused this one.
    pub cause: Option<Cause>,
    /// Hashes of the sealed blobs that parts of this entry refer to, by their place here.
    pub blobs: Vec<[u8; 32]>,
}

/// What caused an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Leaf hash of the entry that caused it.
    pub leaf: [u8; 32],
    /// How many causes stand before it, this one included; limited, so that reactions cannot run away.
    pub depth: u8,
}

/// Whose part it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything that is nobody's personal data.
    Common,
    /// One person's data.
    Person,
}

/// How a part's plaintext was encoded before encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Codec 0: as it is.
    Raw,
    /// Codec 1: one zstd frame made with the dictionary whose SHA-256 begins with this name.
    Zstd([u8; 8]),
}

/// A sealed part as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Whose it is.
    pub role: Role,
    /// The data key behind it.
    pub key_id: KeyId,
    /// Its own salt, so that its secret is used once.
    pub salt: [u8; 32],
    /// How the plaintext was encoded.
    pub codec: Codec,
    /// Commits to the part's secret and dictionary.
    pub commitment: [u8; 32],
    /// AES-256-GCM ciphertext and its 16-byte tag.
    pub ciphertext: &'a [u8],
}

/// An entry as it is stored, borrowed from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The clear header.
    pub header: Header<'a>,
    /// The header's bytes, which every part authenticates.
    pub header_bytes: &'a [u8],
    /// The sealed parts; the common one first.
    pub parts: Vec<Part<'a>>,
}

/// Appends a header's bytes.
///
/// # Errors
/// [`EntryError::Header`] for a header the reader would refuse.
pub fn write_header(out: &mut Vec<u8>, header: &Header<'_>) -> Result<(), EntryError> {
    let fits = |text: &str, bytes_max: usize| !text.is_empty() && text.len() <= bytes_max;
    if !fits(header.kind, TYPE_BYTES_MAX) {
        return Err(EntryError::Header("a type of 1 to 255 bytes"));
    }
    if !fits(header.retention, RETENTION_BYTES_MAX) {
        return Err(EntryError::Header("a retention class of 1 to 32 bytes"));
    }
    if header.blobs.len() > BLOBS_MAX || header.cause.is_some_and(|cause| cause.depth == 0) {
        return Err(EntryError::Header("at most 8 blobs and a cause's depth above 0"));
    }
    write::array(out, HEADER_FIELDS);
    write::uint(out, VERSION);
    write::text(out, header.kind);
    write::uint(out, u64::from(header.schema));
    write::int(out, header.accepted.0);
    write::text(out, header.retention);
    write::uint(out, u64::from(header.tag_epoch));
    write::bytes(out, &header.identity.0);
    match header.ordering {
        Some(tag) => write::bytes(out, &tag.0),
        None => write::null(out),
    }
    match header.cause {
        Some(cause) => {
            write::array(out, 2);
            write::bytes(out, &cause.leaf);
            write::uint(out, u64::from(cause.depth));
        }
        None => write::null(out),
    }
    write::array(out, header.blobs.len());
    header.blobs.iter().for_each(|hash| write::bytes(out, hash));
    Ok(())
}

/// Appends everything of a part that stands before its ciphertext's bytes.
pub(crate) fn write_part_head(out: &mut Vec<u8>, part: &Part<'_>) {
    write::array(out, 6);
    write_role(out, part.role);
    write::bytes(out, &part.key_id.0);
    write::bytes(out, &part.salt);
    write_codec(out, part.codec);
    write::bytes(out, &part.commitment);
}

/// Appends a role: 0 common, 1 person.
pub(crate) fn write_role(out: &mut Vec<u8>, role: Role) {
    write::uint(out, u64::from(role == Role::Person));
}

/// Appends a codec: 0, or `[1, name]`.
pub(crate) fn write_codec(out: &mut Vec<u8>, codec: Codec) {
    match codec {
        Codec::Raw => write::uint(out, 0),
        Codec::Zstd(name) => {
            write::array(out, 2);
            write::uint(out, 1);
            write::bytes(out, &name);
        }
    }
}

/// Appends a whole sealed part.
pub fn write_part(out: &mut Vec<u8>, part: &Part<'_>) {
    write_part_head(out, part);
    write::bytes(out, part.ciphertext);
}

impl<'a> Entry<'a> {
    /// Reads an entry; refuses anything that is not exactly one, in its one encoding.
    ///
    /// # Errors
    /// [`EntryError::Version`] for a version this program does not know, [`EntryError::TooLong`],
    /// [`EntryError::Form`] for everything else.
    pub fn read(bytes: &'a [u8]) -> Result<Self, EntryError> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(EntryError::TooLong(bytes.len()));
        }
        let mut parts = Vec::new();
        let (header, header_bytes) = walk(bytes, &mut |part| parts.push(part))?;
        Ok(Self { header, header_bytes, parts })
    }
}

/// Reads a whole entry, showing its parts one by one.
fn walk<'a>(bytes: &'a [u8], part: &mut dyn FnMut(Part<'a>)) -> Result<(Header<'a>, &'a [u8]), EntryError> {
    let mut reader = Reader::new(bytes);
    reader.array_of(2, "an entry: header and parts")?;
    let start = reader.offset();
    let header = read_header(&mut reader)?;
    let header_bytes = bytes.get(start..reader.offset()).unwrap_or_default();
    let offset = reader.offset();
    let count = reader.array("the parts")?;
    if count == 0 || count > PARTS_MAX {
        return Err(EntryError::Form { offset, expected: "1 to 8 parts" });
    }
    for index in 0..count {
        let offset = reader.offset();
        let read = read_part(&mut reader)?;
        // ENTRY-2.
        if (read.role == Role::Common) != (index == 0) {
            return Err(EntryError::Form {
                offset,
                expected: "the common part first and persons' parts after it",
            });
        }
        part(read);
    }
    reader.end()?;
    Ok((header, header_bytes))
}

/// Checks an entry's form without keeping anything: what verification calls for every stored entry.
///
/// # Errors
/// As [`Entry::read`].
pub fn check(bytes: &[u8]) -> Result<(), EntryError> {
    if bytes.len() > ENTRY_BYTES_MAX {
        return Err(EntryError::TooLong(bytes.len()));
    }
    walk(bytes, &mut |_| {}).map(drop)
}

/// Reads only an entry's clear header: what rebuilding an index needs.
///
/// # Errors
/// As [`Entry::read`], for the header.
pub fn read_clear(bytes: &[u8]) -> Result<Header<'_>, EntryError> {
    let mut reader = Reader::new(bytes);
    reader.array_of(2, "an entry: header and parts")?;
    read_header(&mut reader)
}

fn read_header<'a>(reader: &mut Reader<'a>) -> Result<Header<'a>, EntryError> {
    let offset = reader.offset();
    let fields = reader.array("a header")?;
    // The version first: a later one may have other fields, and is to be refused by its name.
    let version = reader.uint("the version")?;
    if version != VERSION {
        return Err(EntryError::Version(version));
    }
    if fields != HEADER_FIELDS {
        return Err(EntryError::Form { offset, expected: "a header of 10 fields" });
    }
    let kind = bounded_text(reader, TYPE_BYTES_MAX, "a type of 1 to 255 bytes")?;
    let schema = small(reader, "a schema version")?;
    let accepted = UtcNanos(reader.int("the accepted time")?);
    let retention = bounded_text(reader, RETENTION_BYTES_MAX, "a retention class of 1 to 32 bytes")?;
    let tag_epoch = small(reader, "a tag epoch")?;
    let identity = Tag(reader.fixed("an identity tag of 16 bytes")?);
    let ordering =
        if reader.null() { None } else { Some(Tag(reader.fixed("an ordering tag of 16 bytes, or null")?)) };
    let cause = if reader.null() { None } else { Some(read_cause(reader)?) };
    let offset = reader.offset();
    let count = reader.array("the blobs' hashes")?;
    if count > BLOBS_MAX {
        return Err(EntryError::Form { offset, expected: "at most 8 blobs" });
    }
    let blobs = (0..count).map(|_| reader.fixed("a blob's hash")).collect::<Result<_, _>>()?;
    Ok(Header { kind, schema, accepted, retention, tag_epoch, identity, ordering, cause, blobs })
}

fn read_cause(reader: &mut Reader<'_>) -> Result<Cause, EntryError> {
    reader.array_of(2, "a cause, or null")?;
    let leaf = reader.fixed("the cause's leaf hash")?;
    let offset = reader.offset();
    let depth = u8::try_from(reader.uint("the cause's depth")?).ok().filter(|depth| *depth > 0);
    let depth = depth.ok_or(EntryError::Form { offset, expected: "a depth of 1 to 255" })?;
    Ok(Cause { leaf, depth })
}

/// Reads one sealed part.
///
/// # Errors
/// [`EntryError::Form`].
pub(crate) fn read_part<'a>(reader: &mut Reader<'a>) -> Result<Part<'a>, EntryError> {
    reader.array_of(6, "a part")?;
    let offset = reader.offset();
    let role = match reader.uint("a role")? {
        0 => Role::Common,
        1 => Role::Person,
        _ => {
            return Err(EntryError::Form { offset, expected: "a role: 0 or 1" });
        }
    };
    let key_id = KeyId(reader.fixed("a key id of 16 bytes")?);
    let salt = reader.fixed("a salt of 32 bytes")?;
    let codec = read_codec(reader)?;
    let commitment = reader.fixed("a commitment of 32 bytes")?;
    let offset = reader.offset();
    let ciphertext = reader.bytes("a ciphertext")?;
    if ciphertext.len() < 16 {
        return Err(EntryError::Form { offset, expected: "a ciphertext with its 16-byte tag" });
    }
    Ok(Part { role, key_id, salt, codec, commitment, ciphertext })
}

fn read_codec(reader: &mut Reader<'_>) -> Result<Codec, EntryError> {
    let offset = reader.offset();
    if reader.uint_next() {
        return match reader.uint("a codec")? {
            0 => Ok(Codec::Raw),
            _ => Err(EntryError::Form { offset, expected: "codec 0, or codec 1 with a dictionary's name" }),
        };
    }
    reader.array_of(2, "codec 1 with a dictionary's name")?;
    match reader.uint("codec 1")? {
        1 => Ok(Codec::Zstd(reader.fixed("a dictionary's name of 8 bytes")?)),
        _ => Err(EntryError::Form { offset, expected: "codec 1" }),
    }
}

fn bounded_text<'a>(
    reader: &mut Reader<'a>,
    bytes_max: usize,
    expected: &'static str,
) -> Result<&'a str, EntryError> {
    let offset = reader.offset();
    let text = reader.text(expected)?;
    if text.is_empty() || text.len() > bytes_max {
        return Err(EntryError::Form { offset, expected });
    }
    Ok(text)
}

fn small(reader: &mut Reader<'_>, expected: &'static str) -> Result<u32, EntryError> {
    let offset = reader.offset();
    u32::try_from(reader.uint(expected)?).map_err(|_| EntryError::Form { offset, expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header<'static> {
        Header {
            kind: "invoice.ingestion",
            schema: 3,
            accepted: UtcNanos(-5),
            retention: "business",
            tag_epoch: 0,
            identity: Tag([1; 16]),
            ordering: Some(Tag([2; 16])),
            cause: Some(Cause { leaf: [3; 32], depth: 1 }),
            blobs: vec![[4; 32], [5; 32]],
        }
    }

    fn part(role: Role, codec: Codec) -> Part<'static> {
        let ciphertext = &[9; 20];
        Part { role, key_id: KeyId([6; 16]), salt: [7; 32], codec, commitment: [8; 32], ciphertext }
    }

    fn bytes_of(header: &Header<'_>, parts: &[Part<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        write::array(&mut out, 2);
        write_header(&mut out, header).unwrap();
        write::array(&mut out, parts.len());
        parts.iter().for_each(|part| write_part(&mut out, part));
        out
    }

    #[test]
    fn reads_what_it_writes() {
        let parts = [part(Role::Common, Codec::Zstd([1; 8])), part(Role::Person, Codec::Raw)];
        let bytes = bytes_of(&header(), &parts);
        let entry = Entry::read(&bytes).unwrap();
        assert_eq!(entry.header, header());
        assert_eq!(entry.parts, parts);
        assert_eq!(read_clear(&bytes).unwrap(), header());
        let bare = Header { ordering: None, cause: None, blobs: vec![], ..header() };
        assert_eq!(Entry::read(&bytes_of(&bare, &parts)).unwrap().header, bare);
    }

    #[test]
    fn the_common_part_comes_first_and_once() {
        let common = || part(Role::Common, Codec::Raw);
        let person = || part(Role::Person, Codec::Raw);
        let read = |parts: &[Part<'_>]| Entry::read(&bytes_of(&header(), parts)).map(|_| ());
        assert!(read(&[common()]).is_ok());
        assert!(read(&[person()]).is_err());
        assert!(read(&[common(), common()]).is_err());
        assert!(read(&[person(), common()]).is_err());
        assert!(read(&[]).is_err());
        let mut most = vec![common()];
        most.extend((1..PARTS_MAX).map(|_| person()));
        assert!(read(&most).is_ok());
        most.push(person());
        assert!(read(&most).is_err());
    }

    #[test]
    fn a_cut_or_longer_entry_is_no_entry() {
        let bytes = bytes_of(&header(), &[part(Role::Common, Codec::Raw)]);
        for len in 0..bytes.len() {
            assert!(Entry::read(&bytes[..len]).is_err(), "cut at {len}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(Entry::read(&longer).is_err());
        assert!(Entry::read(&vec![0; ENTRY_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn an_unknown_version_says_so() {
        let mut bytes = bytes_of(&header(), &[part(Role::Common, Codec::Raw)]);
        assert_eq!(bytes[..3], [0x82, 0x8a, 0x01]);
        bytes[2] = 2;
        assert_eq!(Entry::read(&bytes).unwrap_err(), EntryError::Version(2));
    }
}
