//! The ZIP around a pack's members, in its one form (`PACK-1`): read by making every header again.
//!
//! Source: APPNOTE.TXT 6.3.10 of PKWARE, sections 4.3.7 (local header), 4.3.12 (central header), 4.3.16 (end record).
//! Stored members only; no extra field, comment, data descriptor or ZIP64.
//!
//! Not here: what the members say.

use super::fault::{MemberFault, PackFault};
use super::{MEMBERS_MAX, PACK_BYTES_MAX, name};

const LOCAL: [u8; 4] = *b"PK\x03\x04";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const LOCAL_BYTES: usize = 30;
/// Where in a local header the checksum begins and ends.
const CHECKSUM: std::ops::Range<usize> = 14..18;
/// What every header has from `needs` to `date`: 1.0, no flags, stored, 00:00:00 on 1980-01-01.
const CONSTANTS: [u8; 10] = [0x0a, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
const MADE_BY: [u8; 2] = [0x14, 0];

/// A member as it stands in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    pub(super) name: &'a str,
    pub(super) bytes: &'a [u8],
    offset: u32,
    checksum: u32,
}

/// A member's place among the others; none for a name that no member has.
fn rank(member: &str) -> Option<usize> {
    let named_by_hash = |folder: &str| {
        let hex = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
        member.strip_prefix(folder).is_some_and(|hash| hash.len() == 64 && hash.bytes().all(hex))
    };
    let fixed = name::FIXED.iter().position(|fixed| *fixed == member);
    let blob = || named_by_hash(name::BLOBS).then_some(name::FIXED.len());
    fixed.or_else(blob).or_else(|| named_by_hash(name::DICTIONARIES).then_some(name::FIXED.len() + 1))
}

/// Takes the file apart.
///
/// # Errors
/// [`PackFault`]: the file is empty, too long, or not the one file of its members; a member's name or order is wrong.
pub(super) fn read(file: &[u8]) -> Result<Vec<Member<'_>>, PackFault> {
    if file.is_empty() {
        return Err(PackFault::Empty { what: "file" });
    }
    if file.len() > PACK_BYTES_MAX {
        return Err(PackFault::Limit { what: "bytes of a pack", limit: PACK_BYTES_MAX, got: file.len() });
    }
    let mut members: Vec<Member<'_>> = Vec::new();
    let mut at = 0;
    while file.get(at..).is_some_and(|rest| rest.starts_with(&LOCAL)) {
        let member = read_member(file, at)?;
        let named = |fault| PackFault::Member { name: member.name.to_owned(), fault };
        if rank(member.name).is_none() {
            return Err(named(MemberFault::Unknown));
        }
        let place = (rank(member.name), member.name);
        if members.last().is_some_and(|before| (rank(before.name), before.name) >= place) {
            return Err(named(MemberFault::Misplaced));
        }
        if members.len() == MEMBERS_MAX {
            return Err(PackFault::Limit { what: "members", limit: MEMBERS_MAX, got: MEMBERS_MAX + 1 });
        }
        at += LOCAL_BYTES + member.name.len() + member.bytes.len();
        members.push(member);
    }
    let rest = file.get(at..).unwrap_or_default();
    let directory = directory(&members, at)?;
    match first_difference(rest, &directory) {
        None => Ok(members),
        Some(0) if members.is_empty() => {
            Err(PackFault::Container { offset: 0, expected: "a ZIP file's local header: this is no pack" })
        }
        Some(0) => Err(PackFault::Container {
            offset: at,
            expected: "the next member's local header, or the central directory",
        }),
        Some(behind) => Err(PackFault::Container {
            offset: at + behind,
            expected: if behind < directory.len() {
                "the central directory of the members before it"
            } else {
                "the end of the file"
            },
        }),
    }
}

fn read_member(file: &[u8], at: usize) -> Result<Member<'_>, PackFault> {
    let cut = |expected| PackFault::Container { offset: at, expected };
    let after = |from: usize, len: usize| file.get(from..).and_then(|rest| rest.get(..len));
    let header = after(at, LOCAL_BYTES).ok_or_else(|| cut("a local header of 30 bytes"))?;
    let bytes_long = little_endian(header, 22, 4);
    let name_long = little_endian(header, 26, 2);
    let behind = at + LOCAL_BYTES;
    let name = after(behind, name_long).ok_or_else(|| cut("a member's name"))?;
    let name = std::str::from_utf8(name)
        .map_err(|_| PackFault::Container { offset: behind, expected: "a member's name in UTF-8" })?;
    let bytes = after(behind + name_long, bytes_long).ok_or_else(|| cut("a member that ends in the file"))?;
    let offset = u32::try_from(at).map_err(|_| cut("an offset of 32 bits"))?;
    let member = Member { name, bytes, offset, checksum: crc32fast::hash(bytes) };
    match first_difference(header, &local_header(&member)) {
        None => Ok(member),
        Some(place) if CHECKSUM.contains(&place) && rank(name).is_some() => {
            Err(PackFault::Member { name: name.to_owned(), fault: MemberFault::Checksum })
        }
        Some(place) => Err(PackFault::Container {
            offset: at + place,
            expected: "the local header that the member's name and bytes call for",
        }),
    }
}

/// The number in `len` bytes from `at`, 0 where they are not there.
fn little_endian(header: &[u8], at: usize, len: usize) -> usize {
    let bytes = header.iter().skip(at).take(len);
    bytes.rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn first_difference(there: &[u8], wanted: &[u8]) -> Option<usize> {
    let common = there.iter().zip(wanted).position(|(a, b)| a != b);
    common.or_else(|| (there.len() != wanted.len()).then(|| there.len().min(wanted.len())))
}

/// Checksum, both lengths, and the length of the name: equal in both headers.
fn measures(out: &mut Vec<u8>, member: &Member<'_>) {
    // Every length was held against the limit of the file, which is below 32 bits, and names are short.
    let bytes = u32::try_from(member.bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&member.checksum.to_le_bytes());
    out.extend_from_slice(&bytes);
    out.extend_from_slice(&bytes);
    out.extend_from_slice(&u16::try_from(member.name.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(&[0, 0]);
}

fn local_header(member: &Member<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(LOCAL_BYTES);
    out.extend_from_slice(&LOCAL);
    out.extend_from_slice(&CONSTANTS);
    measures(&mut out, member);
    out
}

/// The central headers and the end record of members that end at `start`.
fn directory(members: &[Member<'_>], start: usize) -> Result<Vec<u8>, PackFault> {
    let mut out = Vec::new();
    for member in members {
        out.extend_from_slice(&CENTRAL);
        out.extend_from_slice(&MADE_BY);
        out.extend_from_slice(&CONSTANTS);
        measures(&mut out, member);
        out.extend_from_slice(&[0; 10]);
        out.extend_from_slice(&member.offset.to_le_bytes());
        out.extend_from_slice(member.name.as_bytes());
    }
    let large = |got| PackFault::Limit { what: "bytes of a pack", limit: PACK_BYTES_MAX, got };
    let length = u32::try_from(out.len()).map_err(|_| large(out.len()))?;
    let start = u32::try_from(start).map_err(|_| large(start))?;
    let many = |_| PackFault::Limit { what: "members", limit: MEMBERS_MAX, got: members.len() };
    let count = u16::try_from(members.len()).map_err(many)?.to_le_bytes();
    out.extend_from_slice(&END);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&count);
    out.extend_from_slice(&count);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&start.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    Ok(out)
}

/// Puts members, which come in their order, into one file.
///
/// # Errors
/// [`PackFault::Limit`].
pub(super) fn write(members: &[(&str, &[u8])]) -> Result<Vec<u8>, PackFault> {
    if members.len() > MEMBERS_MAX {
        return Err(PackFault::Limit { what: "members", limit: MEMBERS_MAX, got: members.len() });
    }
    let headers = |name: &str| LOCAL_BYTES + 46 + 2 * name.len();
    let length = members.iter().map(|(name, bytes)| headers(name) + bytes.len()).sum::<usize>() + 22;
    if length > PACK_BYTES_MAX {
        return Err(PackFault::Limit { what: "bytes of a pack", limit: PACK_BYTES_MAX, got: length });
    }
    let mut out = Vec::with_capacity(length);
    let mut placed = Vec::with_capacity(members.len());
    for (name, bytes) in members {
        let offset = u32::try_from(out.len()).unwrap_or(u32::MAX);
        let member = Member { name, bytes, offset, checksum: crc32fast::hash(bytes) };
        out.extend_from_slice(&local_header(&member));
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(bytes);
        placed.push(member);
    }
    let directory = directory(&placed, out.len())?;
    out.extend_from_slice(&directory);
    Ok(out)
}
