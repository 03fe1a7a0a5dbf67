//! A run: an immutable file of entries sorted by tag, with its filter and block index in memory.
//!
//! | part | bytes |
//! |---|---|
//! | header | 4,096: what the run is and covers, lengths and checksums of the parts, CRC32C |
//! | blocks | 4,096 each (`block.rs`) |
//! | filter | 64 a line (`filter.rs`), CRC32C in the header |
//! | block index | 8 a block: the first eight bytes of its first tag; CRC32C in the header |
//! | footer | 32: magic, run number, file length, the header's CRC32C, CRC32C |
//!
//! Opening reads and checks header, footer, filter and block index; blocks are checked when they are read, or all at
//! once by [`Run::check`].
//! Not here: writing (`run_writer.rs`), which runs count (`manifest.rs`).

use std::sync::Arc;

use waag_model::ids::{LedgerId, Position, Tag};
use waag_model::time::UtcNanos;
use waag_stdx::files::{File, Open};

use super::Store;
use super::block::{BLOCK_BYTES, find, read_block, tag_of};
use super::bytes::{array, i64_at, put, u32_at, u64_at};
use super::error::IdentityError;
use super::filter::{Filter, LINE_BYTES};
use super::table::Span;

const MAGIC: [u8; 8] = *b"waagidr1";
const FOOTER_MAGIC: [u8; 8] = *b"waagidre";
/// Size of a run's header, in bytes.
pub(super) const HEADER_BYTES: usize = BLOCK_BYTES;
/// Size of a run's footer, in bytes.
pub(super) const FOOTER_BYTES: usize = 32;
/// Bytes of the block index per block.
pub(super) const INDEX_ENTRY_BYTES: usize = 8;
const HEADER_CRC_AT: usize = HEADER_BYTES - 4;
/// How much is read or written at once, in bytes; a multiple of all unit sizes.
pub(super) const CHUNK_BYTES: usize = 64 * BLOCK_BYTES;
/// Most blocks of a run: far above what any level has, it only bounds what a damaged header can make us allocate.
const BLOCKS_MAX: u64 = 1 << 20;

/// What a run's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) number: u64,
    pub(super) level: u32,
    pub(super) entries: u64,
    pub(super) span: Span,
    pub(super) blocks: u64,
    pub(super) filter_lines: u64,
    pub(super) filter_crc: u32,
    pub(super) index_crc: u32,
}

/// An open run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) header: Header,
    /// The header's CRC32C: names this very file in the manifest.
    pub(super) header_crc: u32,
    pub(super) file: Arc<dyn File>,
    pub(super) path: String,
    pub(super) filter: Filter,
    /// First eight bytes of each block's first tag.
    pub(super) firsts: Vec<u64>,
}

/// A run's file name.
pub(super) fn run_name(number: u64) -> String {
    format!("run-{number:016x}")
}

/// The first eight bytes of a tag, in the order that tags sort in.
pub(super) fn prefix(tag: &Tag) -> u64 {
    tag.0.first_chunk::<8>().copied().map(u64::from_be_bytes).unwrap_or_default()
}

impl Header {
    /// The header as stored, and its CRC32C.
    pub(super) fn to_bytes(&self, ledger: LedgerId) -> (Vec<u8>, u32) {
        let mut out = vec![0; HEADER_BYTES];
        put(&mut out, 0, &MAGIC);
        put(&mut out, 8, &self.number.to_le_bytes());
        put(&mut out, 16, &ledger.0);
        put(&mut out, 32, &self.entries.to_le_bytes());
        put(&mut out, 40, &self.span.first_position.0.to_le_bytes());
        put(&mut out, 48, &self.span.last_position.0.to_le_bytes());
        put(&mut out, 56, &self.span.first_time.0.to_le_bytes());
        put(&mut out, 64, &self.span.last_time.0.to_le_bytes());
        put(&mut out, 72, &self.blocks.to_le_bytes());
        put(&mut out, 80, &self.filter_lines.to_le_bytes());
        put(&mut out, 88, &self.filter_crc.to_le_bytes());
        put(&mut out, 92, &self.index_crc.to_le_bytes());
        put(&mut out, 96, &self.level.to_le_bytes());
        let crc = crc32c::crc32c(out.get(..HEADER_CRC_AT).unwrap_or_default());
        put(&mut out, HEADER_CRC_AT, &crc.to_le_bytes());
        (out, crc)
    }

    fn from_bytes(bytes: &[u8], ledger: LedgerId) -> Option<(Self, u32)> {
        let crc = u32_at(bytes, HEADER_CRC_AT)?;
        let whole = bytes.len() == HEADER_BYTES && crc == crc32c::crc32c(bytes.get(..HEADER_CRC_AT)?);
        if !whole || array(bytes, 0)? != MAGIC || array(bytes, 16)? != ledger.0 {
            return None;
        }
        let header = Self {
            number: u64_at(bytes, 8)?,
            entries: u64_at(bytes, 32)?,
            span: Span {
                first_position: Position(u64_at(bytes, 40)?),
                last_position: Position(u64_at(bytes, 48)?),
                first_time: UtcNanos(i64_at(bytes, 56)?),
                last_time: UtcNanos(i64_at(bytes, 64)?),
            },
            blocks: u64_at(bytes, 72)?,
            filter_lines: u64_at(bytes, 80)?,
            filter_crc: u32_at(bytes, 88)?,
            index_crc: u32_at(bytes, 92)?,
            level: u32_at(bytes, 96)?,
        };
        let bounded = header.blocks <= BLOCKS_MAX && header.filter_lines <= BLOCKS_MAX * 4;
        bounded.then_some((header, crc))
    }

    /// Where the filter begins.
    pub(super) fn filter_at(&self) -> u64 {
        HEADER_BYTES as u64 + self.blocks * BLOCK_BYTES as u64
    }

    /// Where the block index begins.
    pub(super) fn index_at(&self) -> u64 {
        self.filter_at() + self.filter_lines * LINE_BYTES as u64
    }

    /// Where the footer begins.
    pub(super) fn footer_at(&self) -> u64 {
        self.index_at() + self.blocks * INDEX_ENTRY_BYTES as u64
    }

    /// The footer as stored.
    pub(super) fn footer(&self, header_crc: u32) -> [u8; FOOTER_BYTES] {
        let mut out = [0; FOOTER_BYTES];
        put(&mut out, 0, &FOOTER_MAGIC);
        put(&mut out, 8, &self.number.to_le_bytes());
        put(&mut out, 16, &(self.footer_at() + FOOTER_BYTES as u64).to_le_bytes());
        put(&mut out, 24, &header_crc.to_le_bytes());
        let crc = crc32c::crc32c(out.get(..28).unwrap_or_default());
        put(&mut out, 28, &crc.to_le_bytes());
        out
    }
}

impl Run {
    /// Opens run `number` and checks all of it but the blocks.
    pub(super) fn open(store: &Store, number: u64) -> Result<Self, IdentityError> {
        let path = store.path(&run_name(number));
        let io = |source| IdentityError::Io { what: "open", file: path.clone(), source };
        let damaged = |offset, what| IdentityError::Damaged { file: path.clone(), offset, what };
        let file = store.files.open(&path, Open::Read).map_err(io)?;
        let mut bytes = vec![0; HEADER_BYTES];
        read_whole(&*file, &path, &mut bytes, 0)?;
        let (header, header_crc) =
            Header::from_bytes(&bytes, store.ledger).ok_or_else(|| damaged(0, "the header"))?;
        if header.number != number {
            return Err(damaged(8, "the run's number"));
        }
        let footer_at = header.footer_at();
        let mut footer = [0; FOOTER_BYTES];
        read_whole(&*file, &path, &mut footer, footer_at)?;
        let len = file.len().map_err(io)?;
        if footer != header.footer(header_crc) || len != footer_at + FOOTER_BYTES as u64 {
            return Err(damaged(footer_at, "the footer"));
        }
        let lines = usize::try_from(header.filter_lines).unwrap_or_default();
        let mut filter = Filter::to_read(lines);
        let mut part = (header.filter_at(), header.index_at());
        let crc = read_part(&*file, &path, part, |chunk| filter.read_lines(chunk))?;
        if crc != header.filter_crc {
            return Err(damaged(part.0, "the filter"));
        }
        let mut firsts = Vec::with_capacity(usize::try_from(header.blocks).unwrap_or_default());
        part = (header.index_at(), footer_at);
        let crc = read_part(&*file, &path, part, |chunk| {
            firsts.extend(
                chunk.as_chunks::<INDEX_ENTRY_BYTES>().0.iter().map(|first| u64::from_le_bytes(*first)),
            );
        })?;
        if crc != header.index_crc {
            return Err(damaged(part.0, "the block index"));
        }
        Ok(Self { header, header_crc, file, path, filter, firsts })
    }

    /// The position of `tag`, read from its block; to be asked after the filter.
    pub(super) fn find(&self, tag: &Tag) -> Result<Option<Position>, IdentityError> {
        let wanted = prefix(tag);
        let mut after = self.firsts.partition_point(|first| *first <= wanted);
        let mut bytes = [0; BLOCK_BYTES];
        while let Some(number) = after.checked_sub(1) {
            let place = u32::try_from(number).unwrap_or(u32::MAX);
            let records = self.block(place, &mut bytes)?;
            if let Some(position) = find(records, tag) {
                return Ok(Some(position));
            }
            // Only where a block begins with the very prefix can the tag stand before that block.
            if self.firsts.get(number).is_none_or(|first| *first != wanted) {
                break;
            }
            after = number;
        }
        Ok(None)
    }

    /// Reads every block: each is whole and in its place, tags rise from the first to the last, and there are as many
    /// records as the header and the block index say.
    pub(super) fn check(&self) -> Result<(), IdentityError> {
        let mut bytes = [0; BLOCK_BYTES];
        let (mut last, mut entries) = (None, 0_u64);
        let blocks = u32::try_from(self.header.blocks).unwrap_or(u32::MAX);
        for (number, first) in (0..blocks).zip(&self.firsts) {
            let offset = HEADER_BYTES as u64 + u64::from(number) * BLOCK_BYTES as u64;
            let records = self.block(number, &mut bytes)?;
            if records.first().map(|record| prefix(&tag_of(record))) != Some(*first) {
                return Err(self.damaged_at(offset));
            }
            for record in records {
                let tag = Some(tag_of(record));
                if tag < last {
                    return Err(self.damaged_at(offset));
                }
                last = tag;
            }
            entries = entries.saturating_add(records.len() as u64);
        }
        let is_whole = entries == self.header.entries && self.firsts.len() as u64 == self.header.blocks;
        if is_whole { Ok(()) } else { Err(self.damaged_at(HEADER_BYTES as u64)) }
    }

    fn block<'b>(
        &self,
        number: u32,
        bytes: &'b mut [u8; BLOCK_BYTES],
    ) -> Result<&'b [super::block::Record], IdentityError> {
        let offset = HEADER_BYTES as u64 + u64::from(number) * BLOCK_BYTES as u64;
        read_whole(&*self.file, &self.path, bytes, offset)?;
        read_block(bytes, self.header.number, number).ok_or_else(|| self.damaged_at(offset))
    }

    /// The fault of a block at `offset` that is not what was written.
    pub(super) fn damaged_at(&self, offset: u64) -> IdentityError {
        IdentityError::Damaged { file: self.path.clone(), offset, what: "a block" }
    }

    /// Memory of filter and block index, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.filter.memory_bytes() + self.firsts.capacity() * INDEX_ENTRY_BYTES
    }
}

/// Fills `bytes` from `offset`; a file that ends before is damaged.
pub(super) fn read_whole(
    file: &dyn File,
    path: &str,
    bytes: &mut [u8],
    offset: u64,
) -> Result<(), IdentityError> {
    match file.read_at(bytes, offset) {
        Ok(read) if read == bytes.len() => Ok(()),
        Ok(_) => Err(IdentityError::Damaged { file: path.to_owned(), offset, what: "the end of the file" }),
        Err(source) => Err(IdentityError::Io { what: "read", file: path.to_owned(), source }),
    }
}

/// Reads a part of a file in chunks and gives its CRC32C.
fn read_part(
    file: &dyn File,
    path: &str,
    (mut at, end): (u64, u64),
    mut each: impl FnMut(&[u8]),
) -> Result<u32, IdentityError> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut crc = 0;
    while at < end {
        let len = usize::try_from(end - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let bytes = chunk.get_mut(..len).unwrap_or_default();
        read_whole(file, path, bytes, at)?;
        crc = crc32c::crc32c_append(crc, bytes);
        each(bytes);
        at += len as u64;
    }
    Ok(crc)
}
