//! `entries.bin` and `parts.bin` in their one form.
//!
//! Not here: whether what they hold is so (`verify`, `opening`).

use waag_entry::part::PartSecret;

use super::fault::PackFault;
use super::{ENTRIES_MAX, MEMBERS_MAX, name};

/// Bytes of a secret and of a hash.
const KEY_BYTES: usize = 32;
/// The most parts that are disclosed, or said to be erased: eight of each entry.
const PARTS_MAX: usize = waag_entry::form::PARTS_MAX * ENTRIES_MAX;

/// A disclosed part.
#[derive(Clone)]
pub struct DisclosedPart {
    /// The entry's position.
    pub position: u64,
    /// The part's index in it.
    pub part: u8,
    /// What opens it, and nothing else.
    pub secret: PartSecret,
}

impl std::fmt::Debug for DisclosedPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DisclosedPart({}, {})", self.position, self.part)
    }
}

/// What `parts.bin` holds.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) disclosed: Vec<DisclosedPart>,
    /// By the blob's hash.
    pub(super) blobs: Vec<([u8; KEY_BYTES], PartSecret)>,
    /// Position and part.
    pub(super) erased: Vec<(u64, u8)>,
}

struct Bytes<'a> {
    member: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    fn fault(&self, expected: &'static str) -> PackFault {
        PackFault::Binary { member: self.member, offset: self.at, expected }
    }

    fn take(&mut self, len: usize, expected: &'static str) -> Result<&'a [u8], PackFault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..len).ok_or_else(|| self.fault(expected))?;
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], PackFault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, expected)?);
        Ok(array)
    }

    fn position(&mut self) -> Result<u64, PackFault> {
        self.array("a position").map(u64::from_be_bytes)
    }

    fn part(&mut self) -> Result<u8, PackFault> {
        self.array::<1>("a part's index").map(|[part]| part)
    }

    fn secret(&mut self) -> Result<PartSecret, PackFault> {
        let mut secret = PartSecret::default();
        secret.copy_from_slice(self.take(KEY_BYTES, "a secret")?);
        Ok(secret)
    }

    /// How many items of at least `least` bytes follow. What cannot be there is refused before room is made for it.
    fn count(&mut self, what: &'static str, most: usize, least: usize) -> Result<usize, PackFault> {
        let count = usize::try_from(u32::from_be_bytes(self.array("a count")?)).unwrap_or(usize::MAX);
        if count > most {
            return Err(PackFault::Limit { what, limit: most, got: count });
        }
        let left = self.bytes.len().saturating_sub(self.at);
        if count.saturating_mul(least) > left {
            return Err(self.fault("as many items as the count says"));
        }
        Ok(count)
    }

    fn end(&self) -> Result<(), PackFault> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.fault("the end of the member")) }
    }
}

/// Positions and bytes of the entries, ascending; each position is below `size`.
pub(super) fn read_entries(bytes: &[u8], size: u64) -> Result<Vec<(u64, &[u8])>, PackFault> {
    let mut input = Bytes { member: name::ENTRIES, bytes, at: 0 };
    let count = input.count("entries", ENTRIES_MAX, 11)?;
    if count == 0 {
        return Err(PackFault::Empty { what: "member `entries.bin`" });
    }
    let mut entries: Vec<(u64, &[u8])> = Vec::with_capacity(count);
    for _ in 0..count {
        let wrong = input.fault("a position above the one before it and below the checkpoint's size");
        let position = input.position()?;
        if position >= size || entries.last().is_some_and(|(before, _)| *before >= position) {
            return Err(wrong);
        }
        let empty = input.fault("an entry of at least one byte");
        let length = usize::from(u16::from_be_bytes(input.array("an entry's length")?));
        if length == 0 {
            return Err(empty);
        }
        entries.push((position, input.take(length, "an entry as long as it is said to be")?));
    }
    input.end()?;
    Ok(entries)
}

/// Writes `entries.bin`; [`read_entries`] says whether it is one.
pub(super) fn write_entries(entries: &[(u64, &[u8])]) -> Result<Vec<u8>, PackFault> {
    let bytes = entries.iter().map(|(_, entry)| 10 + entry.len()).sum::<usize>();
    let mut out = Vec::with_capacity(4 + bytes);
    write_count(&mut out, "entries", entries.len(), ENTRIES_MAX)?;
    for (position, entry) in entries {
        let long = |_| PackFault::Limit {
            what: "bytes of an entry",
            limit: usize::from(u16::MAX),
            got: entry.len(),
        };
        let length = u16::try_from(entry.len()).map_err(long)?;
        out.extend_from_slice(&position.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(entry);
    }
    Ok(out)
}

impl Parts {
    /// Reads `parts.bin`.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, PackFault> {
        let mut input = Bytes { member: name::PARTS, bytes, at: 0 };
        let mut parts = Self::default();
        for _ in 0..input.count("disclosed parts", PARTS_MAX, 9 + KEY_BYTES)? {
            let wrong = input.fault("a part behind the one before it");
            let (position, part) = (input.position()?, input.part()?);
            if parts.disclosed.last().is_some_and(|last| (last.position, last.part) >= (position, part)) {
                return Err(wrong);
            }
            parts.disclosed.push(DisclosedPart { position, part, secret: input.secret()? });
        }
        for _ in 0..input.count("blobs", MEMBERS_MAX, 2 * KEY_BYTES)? {
            let wrong = input.fault("a hash above the one before it");
            let hash = input.array("a blob's hash")?;
            if parts.blobs.last().is_some_and(|(last, _)| *last >= hash) {
                return Err(wrong);
            }
            parts.blobs.push((hash, input.secret()?));
        }
        for _ in 0..input.count("parts said to be erased", PARTS_MAX, 9)? {
            let wrong = input.fault("a part behind the one before it");
            let erased = (input.position()?, input.part()?);
            if parts.erased.last().is_some_and(|last| *last >= erased) {
                return Err(wrong);
            }
            parts.erased.push(erased);
        }
        input.end()?;
        Ok(parts)
    }
}

/// Writes `parts.bin`; [`Parts::read`] says whether it is one.
pub(super) fn write_parts(
    disclosed: &[DisclosedPart],
    blobs: &[([u8; KEY_BYTES], &PartSecret)],
    erased: &[(u64, u8)],
) -> Result<Vec<u8>, PackFault> {
    let mut out = Vec::new();
    write_count(&mut out, "disclosed parts", disclosed.len(), PARTS_MAX)?;
    for part in disclosed {
        out.extend_from_slice(&part.position.to_be_bytes());
        out.push(part.part);
        out.extend_from_slice(part.secret.as_slice());
    }
    write_count(&mut out, "blobs", blobs.len(), MEMBERS_MAX)?;
    for (hash, secret) in blobs {
        out.extend_from_slice(hash);
        out.extend_from_slice(secret.as_slice());
    }
    write_count(&mut out, "parts said to be erased", erased.len(), PARTS_MAX)?;
    for (position, part) in erased {
        out.extend_from_slice(&position.to_be_bytes());
        out.push(*part);
    }
    Ok(out)
}

fn write_count(out: &mut Vec<u8>, what: &'static str, got: usize, limit: usize) -> Result<(), PackFault> {
    let count = u32::try_from(got).ok().filter(|_| got <= limit);
    out.extend_from_slice(&count.ok_or(PackFault::Limit { what, limit, got })?.to_be_bytes());
    Ok(())
}
