//! The frame: one commit's entries with a header that binds them to one place in one ledger.
//!
//! Place: what [`crate::contract::EventLog::append`] stores. Byte by byte in `docs/reference/frame.md`, whose worked
//! example a test rebuilds. Not here: how a frame follows another ([`crate::contract::Tail::check_next`]), why one
//! is refused ([`crate::fault`]).
//!
//! Layout: header (148 bytes), body, trailer (4 bytes), zeros up to a multiple of [`FRAME_ALIGN`]. A later frame thus
//! begins in a block of its own, and writing it never touches a block that holds acknowledged bytes.
//!
//! The trailer's checksum runs over the header **without** the header's own checksum, and the body: the CRC of a
//! message followed by its CRC is a constant, so that running over all 148 bytes would not bind the body to its
//! header at all.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use crc32c::{crc32c, crc32c_append};
use waag_ledger::hash::Hash;
use waag_model::ids::{Epoch, FrameNumber, LedgerId, Position};
use waag_model::time::UtcNanos;

use crate::fault::FrameFault;
use crate::wire::{array, first_nonzero, hash_at, u16_at, u32_at, u64_at};

/// The first eight bytes of every frame.
pub const FRAME_MAGIC: [u8; 8] = *b"WAAGFRM\n";
/// The version of the layout.
pub const FRAME_VERSION: u16 = 1;
/// Length of a frame's header, its checksum included.
pub const HEADER_BYTES: usize = 148;
/// Length of a frame's trailer.
pub const TRAILER_BYTES: usize = 4;
/// A frame's length is a multiple of this: the page and the largest usual sector.
pub const FRAME_ALIGN: usize = 4_096;
/// Longest frame, padding included.
pub const FRAME_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// Most entries in a frame.
pub const FRAME_ENTRIES_MAX: usize = 16_384;
/// Longest entry: what the two length bytes of a C2SP tlog-tiles entry bundle can say.
pub const ENTRY_BYTES_MAX: usize = 65_535;
/// The bytes of the length in front of each entry.
pub const LENGTH_BYTES: usize = 2;

/// Where the header's own checksum stands; it covers everything before it.
const HEADER_CRC_AT: usize = HEADER_BYTES - 4;

/// What the writer decides about a frame; count, length and tree size follow from the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameFields {
    /// The ledger it belongs to.
    pub ledger: LedgerId,
    /// The writer's term.
    pub epoch: Epoch,
    /// Its number, from 0.
    pub number: FrameNumber,
    /// When it was committed; strictly increasing in a ledger.
    pub commit_time: UtcNanos,
    /// The position of its first entry.
    pub first: Position,
    /// The hash of the previous frame's header; zeros before the first frame.
    pub previous: Hash,
    /// The root of the tree after its last entry.
    pub root: Hash,
}

/// A frame's header, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the writer decided.
    pub fields: FrameFields,
    /// Entries in the frame, 1 to [`FRAME_ENTRIES_MAX`].
    pub count: u32,
    /// Length of the body in bytes.
    pub body_bytes: u32,
    /// The number of leaves after its last entry: `first + count`.
    pub tree_size: u64,
}

impl FrameHeader {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let f = &self.fields;
        let mut out = [0; HEADER_BYTES];
        let mut rest = out.as_mut_slice();
        let mut put = |bytes: &[u8]| {
            let taken = std::mem::take(&mut rest);
            if let Some((head, tail)) = taken.split_at_mut_checked(bytes.len()) {
                head.copy_from_slice(bytes);
                rest = tail;
            }
        };
        put(&FRAME_MAGIC);
        put(&FRAME_VERSION.to_le_bytes());
        put(&[0; 6]);
        put(&f.ledger.0);
        put(&f.epoch.0.to_le_bytes());
        put(&f.number.0.to_le_bytes());
        put(&f.commit_time.0.to_le_bytes());
        put(&f.first.0.to_le_bytes());
        put(&self.count.to_le_bytes());
        put(&self.body_bytes.to_le_bytes());
        put(&f.previous.0);
        put(&self.tree_size.to_le_bytes());
        put(&f.root.0);
        let crc = out.get(..HEADER_CRC_AT).map_or(0, crc32c);
        if let Some(end) = out.last_chunk_mut::<4>() {
            *end = crc.to_le_bytes();
        }
        out
    }

    /// Reads a header from the start of `bytes`, which may be longer.
    ///
    /// # Errors
    /// [`FrameFault`]: no frame (zeros), cut, magic, checksum, version, reserved bytes, or limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameFault> {
        let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(if first_nonzero(bytes).is_none() { FrameFault::NoFrame } else { FrameFault::Cut });
        };
        let Some(fields) = Self::fields(head) else { return Err(FrameFault::Cut) };
        if array::<8>(head, 0) != Some(FRAME_MAGIC) {
            let blank = first_nonzero(head).is_none();
            return Err(if blank { FrameFault::NoFrame } else { FrameFault::Magic });
        }
        if u32_at(head, HEADER_CRC_AT) != head.get(..HEADER_CRC_AT).map(crc32c) {
            return Err(FrameFault::HeaderChecksum);
        }
        let version = u16_at(head, 8).unwrap_or(0);
        if version != FRAME_VERSION {
            return Err(FrameFault::Version(version));
        }
        if array::<6>(head, 10) != Some([0; 6]) {
            return Err(FrameFault::Reserved);
        }
        fields.check_limits()?;
        Ok(fields)
    }

    fn fields(head: &[u8; HEADER_BYTES]) -> Option<Self> {
        Some(Self {
            fields: FrameFields {
                ledger: LedgerId(array(head, 16)?),
                epoch: Epoch(u64_at(head, 32)?),
                number: FrameNumber(u64_at(head, 40)?),
                commit_time: UtcNanos(array(head, 48).map(i64::from_le_bytes)?),
                first: Position(u64_at(head, 56)?),
                previous: hash_at(head, 72)?,
                root: hash_at(head, 112)?,
            },
            count: u32_at(head, 64)?,
            body_bytes: u32_at(head, 68)?,
            tree_size: u64_at(head, 104)?,
        })
    }

    fn check_limits(&self) -> Result<(), FrameFault> {
        let entries = self.count as usize;
        if entries == 0 || entries > FRAME_ENTRIES_MAX || self.frame_bytes() > FRAME_BYTES_MAX {
            return Err(FrameFault::Limits { entries: self.count, body_bytes: self.body_bytes });
        }
        if self.fields.first.0.checked_add(u64::from(self.count)) != Some(self.tree_size) {
            return Err(FrameFault::TreeSize {
                found: self.tree_size,
                first: self.fields.first,
                count: self.count,
            });
        }
        Ok(())
    }

    /// The length of the whole frame, padding included.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        frame_bytes(self.body_bytes as usize)
    }
}

/// The length of a frame with a body of `body_bytes`, padding included.
#[must_use]
pub fn frame_bytes(body_bytes: usize) -> usize {
    body_bytes.saturating_add(HEADER_BYTES + TRAILER_BYTES).div_ceil(FRAME_ALIGN).saturating_mul(FRAME_ALIGN)
}

/// SHA-256 over a header's stored bytes: what the next frame's `previous` must be.
#[must_use]
pub fn header_hash(header: &[u8; HEADER_BYTES]) -> Hash {
    let mut hash = Hash([0; 32]);
    hash.0.copy_from_slice(digest(&SHA256, header).as_ref());
    hash
}

/// Puts an entry into a body: its length as a big-endian `u16`, then its bytes.
///
/// # Errors
/// [`FrameError::EntryLength`] where it is empty or longer than [`ENTRY_BYTES_MAX`]; `body` is unchanged.
pub fn push_entry(body: &mut Vec<u8>, entry: &[u8]) -> Result<(), FrameError> {
    let length = u16::try_from(entry.len()).ok().filter(|length| *length > 0);
    let length = length.ok_or(FrameError::EntryLength { bytes: entry.len() })?;
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(entry);
    Ok(())
}

/// The entries of a body in order; stops at the first one whose length does not fit.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    /// Over a body: entries one after the other, each behind its big-endian `u16` length.
    #[must_use]
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// What is left behind the last entry given.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, behind) = self.rest.split_first_chunk::<LENGTH_BYTES>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, rest) = behind.split_at_checked(length).filter(|_| length > 0)?;
        self.rest = rest;
        Some(entry)
    }
}

/// Why entries do not make a frame: the caller's mistake, nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// E0401: no entry at all.
    Empty,
    /// E0402: more than [`FRAME_ENTRIES_MAX`] entries.
    TooManyEntries {
        /// Entries given.
        entries: usize,
    },
    /// E0403: longer than [`FRAME_BYTES_MAX`] with header and padding.
    TooLong {
        /// The frame's length in bytes.
        bytes: usize,
    },
    /// E0404: an entry is empty or longer than [`ENTRY_BYTES_MAX`].
    EntryLength {
        /// Its length.
        bytes: usize,
    },
    /// E0405: a piece of a body is no whole number of entries.
    Piece {
        /// Which piece, from 0.
        piece: usize,
    },
    /// E0406: the position after the last entry does not fit 64 bits.
    Position,
}

impl FrameError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "E0401",
            Self::TooManyEntries { .. } => "E0402",
            Self::TooLong { .. } => "E0403",
            Self::EntryLength { .. } => "E0404",
            Self::Piece { .. } => "E0405",
            Self::Position => "E0406",
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "a frame needs an entry"),
            Self::TooManyEntries { entries } => {
                write!(f, "`{entries}` entries are above the limit of `{FRAME_ENTRIES_MAX}` for a frame")
            }
            Self::TooLong { bytes } => {
                write!(f, "a frame of `{bytes}` bytes is above the limit of `{FRAME_BYTES_MAX}`")
            }
            Self::EntryLength { bytes } => {
                write!(f, "an entry of `{bytes}` bytes is not within 1 to `{ENTRY_BYTES_MAX}`")
            }
            Self::Piece { piece } => write!(f, "piece `{piece}` of the body is no whole number of entries"),
            Self::Position => write!(f, "the position after the frame does not fit 64 bits"),
        }
    }
}

impl std::error::Error for FrameError {}

/// A frame ready for one write: header, body, trailer and padding in one buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    header: FrameHeader,
    hash: Hash,
    bytes: Vec<u8>,
}

impl Frame {
    /// Builds a frame; the body is the pieces one after the other, each a run of whole entries as [`push_entry`]
    /// makes them, so that several workers can each fill a piece. Their bytes are copied once.
    ///
    /// `reuse` is emptied and becomes the frame's buffer: a writer hands back [`Frame::into_buffer`] of a frame that
    /// is durable and saves mapping megabytes anew for each commit.
    ///
    /// # Errors
    /// [`FrameError`]: no entries, too many, too long, or a piece that is no run of entries.
    pub fn build(fields: &FrameFields, pieces: &[&[u8]], reuse: Vec<u8>) -> Result<Self, FrameError> {
        let mut count = 0usize;
        let mut body_bytes = 0usize;
        for (piece, bytes) in pieces.iter().enumerate() {
            let mut entries = Entries::new(bytes);
            count = count.saturating_add(entries.by_ref().count());
            body_bytes = body_bytes.saturating_add(bytes.len());
            if !entries.rest().is_empty() {
                return Err(FrameError::Piece { piece });
            }
        }
        let total = frame_bytes(body_bytes);
        let count_stored = match u32::try_from(count) {
            Ok(0) => return Err(FrameError::Empty),
            Ok(n) if count <= FRAME_ENTRIES_MAX => n,
            Ok(_) | Err(_) => return Err(FrameError::TooManyEntries { entries: count }),
        };
        let body_stored = u32::try_from(body_bytes).ok().filter(|_| total <= FRAME_BYTES_MAX);
        let body_bytes = body_stored.ok_or(FrameError::TooLong { bytes: total })?;
        let tree_size = fields.first.0.checked_add(u64::from(count_stored)).ok_or(FrameError::Position)?;
        let header = FrameHeader { fields: *fields, count: count_stored, body_bytes, tree_size };
        let head = header.encode();
        let mut bytes = reuse;
        bytes.clear();
        bytes.reserve(total);
        bytes.extend_from_slice(&head);
        let mut crc = bound_crc(&head);
        for piece in pieces {
            bytes.extend_from_slice(piece);
            crc = crc32c_append(crc, piece);
        }
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.resize(total, 0);
        Ok(Self { header, hash: header_hash(&head), bytes })
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// The hash of the header: the next frame's `previous`.
    #[must_use]
    pub fn header_hash(&self) -> Hash {
        self.hash
    }

    /// All its bytes, as stored.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its body: the entries behind their lengths.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(HEADER_BYTES..HEADER_BYTES + self.header.body_bytes as usize).unwrap_or(&[])
    }

    /// Its buffer, to build another frame in.
    #[must_use]
    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}

/// A frame read back, every byte of it checked; how it stands to its neighbours is not.
#[derive(Clone, Copy, Debug)]
pub struct DecodedFrame<'a> {
    /// The header.
    pub header: FrameHeader,
    /// The hash of the header's bytes.
    pub header_hash: Hash,
    /// The entries behind their lengths; [`Entries`] gives them one by one.
    pub body: &'a [u8],
    /// All bytes of the frame, padding included.
    pub bytes: &'a [u8],
}

impl<'a> DecodedFrame<'a> {
    /// Reads the frame at the start of `bytes`, which may be longer.
    ///
    /// # Errors
    /// [`FrameFault`]: what [`FrameHeader::decode`] refuses, and cut, the trailer's checksum, padding that is not
    /// zero, or lengths of entries that do not fill the body.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FrameFault> {
        let header = FrameHeader::decode(bytes)?;
        Self::decode_behind(header, bytes)
    }

    /// Reads the frame whose header was decoded from the start of the same bytes.
    ///
    /// # Errors
    /// As [`DecodedFrame::decode`].
    pub fn decode_behind(header: FrameHeader, bytes: &'a [u8]) -> Result<Self, FrameFault> {
        let (whole, _) = bytes.split_at_checked(header.frame_bytes()).ok_or(FrameFault::Cut)?;
        let (head, behind) = whole.split_first_chunk::<HEADER_BYTES>().ok_or(FrameFault::Cut)?;
        let (body, behind) = behind.split_at_checked(header.body_bytes as usize).ok_or(FrameFault::Cut)?;
        let (trailer, padding) = behind.split_first_chunk::<TRAILER_BYTES>().ok_or(FrameFault::Cut)?;
        if crc32c_append(bound_crc(head), body) != u32::from_le_bytes(*trailer) {
            return Err(FrameFault::TrailerChecksum);
        }
        if let Some(at) = first_nonzero(padding) {
            return Err(FrameFault::Padding { at: whole.len() - padding.len() + at });
        }
        let mut entries = Entries::new(body);
        let count = entries.by_ref().count();
        if count != header.count as usize || !entries.rest().is_empty() {
            return Err(FrameFault::EntryLengths);
        }
        Ok(Self { header, header_hash: header_hash(head), body, bytes: whole })
    }
}

/// The checksum over the part of the header that the trailer binds the body to.
fn bound_crc(head: &[u8; HEADER_BYTES]) -> u32 {
    head.get(..HEADER_CRC_AT).map_or(0, crc32c)
}
