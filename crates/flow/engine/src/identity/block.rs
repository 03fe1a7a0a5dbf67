//! A run's data in blocks of 4 KiB: up to 170 records sorted by tag, bound to run and place, checksummed.
//!
//! | bytes | what |
//! |---|---|
//! | 0–4,079 | records: tag (16), position (8, little-endian); unused ones are zero |
//! | 4,080–4,083 | how many records |
//! | 4,084–4,087 | the run's number, its low 32 bits |
//! | 4,088–4,091 | the block's number in the run |
//! | 4,092–4,095 | CRC32C of all before it |
//!
//! Run and block number in the block make a misdirected or swapped block as visible as a changed one.

use waag_model::ids::{Position, Tag};

use super::bytes::{put, u32_at};

/// Size of a block, in bytes.
pub(super) const BLOCK_BYTES: usize = 4_096;
/// Size of one record, in bytes.
pub(super) const RECORD_BYTES: usize = 24;
/// Most records in a block.
pub(super) const BLOCK_RECORDS_MAX: usize = 170;

const COUNT_AT: usize = BLOCK_RECORDS_MAX * RECORD_BYTES;
const RUN_AT: usize = COUNT_AT + 4;
const NUMBER_AT: usize = RUN_AT + 4;
const CRC_AT: usize = NUMBER_AT + 4;
const _: () = assert!(CRC_AT + 4 == BLOCK_BYTES);

/// One record as it is stored.
pub(super) type Record = [u8; RECORD_BYTES];

/// A record of tag and position.
pub(super) fn record(tag: &Tag, position: Position) -> Record {
    let mut record = [0; RECORD_BYTES];
    put(&mut record, 0, &tag.0);
    put(&mut record, 16, &position.0.to_le_bytes());
    record
}

/// A record's tag.
pub(super) fn tag_of(record: &Record) -> Tag {
    Tag(record.first_chunk::<16>().copied().unwrap_or_default())
}

/// A record's position.
pub(super) fn position_of(record: &Record) -> Position {
    Position(record.last_chunk::<8>().copied().map(u64::from_le_bytes).unwrap_or_default())
}

/// Appends one block of sorted `records` (at most `BLOCK_RECORDS_MAX`) to `out`.
pub(super) fn write_block(records: &[Record], run: u64, number: u32, out: &mut Vec<u8>) {
    let mut block = [0; BLOCK_BYTES];
    for (index, record) in records.iter().take(BLOCK_RECORDS_MAX).enumerate() {
        put(&mut block, index * RECORD_BYTES, record);
    }
    let count = u32::try_from(records.len().min(BLOCK_RECORDS_MAX)).unwrap_or_default();
    put(&mut block, COUNT_AT, &count.to_le_bytes());
    put(&mut block, RUN_AT, &low_half(run).to_le_bytes());
    put(&mut block, NUMBER_AT, &number.to_le_bytes());
    let crc = block.split_at_checked(CRC_AT).map_or(0, |(body, _)| crc32c::crc32c(body));
    put(&mut block, CRC_AT, &crc.to_le_bytes());
    out.extend_from_slice(&block);
}

/// The records of a block, where it is whole and the one that was asked for.
pub(super) fn read_block(block: &[u8], run: u64, number: u32) -> Option<&[Record]> {
    let (body, crc) = block.split_at_checked(CRC_AT)?;
    if crc.len() != 4 || u32_at(crc, 0)? != crc32c::crc32c(body) {
        return None;
    }
    if u32_at(body, RUN_AT)? != low_half(run) || u32_at(body, NUMBER_AT)? != number {
        return None;
    }
    let count = usize::try_from(u32_at(body, COUNT_AT)?).ok()?;
    let (records, _) = body.get(..COUNT_AT)?.as_chunks::<RECORD_BYTES>();
    records.get(..count).filter(|records| !records.is_empty())
}

/// The position of `tag` among a block's records.
pub(super) fn find(records: &[Record], tag: &Tag) -> Option<Position> {
    let index = records.binary_search_by(|record| tag_of(record).cmp(tag)).ok()?;
    records.get(index).map(position_of)
}

fn low_half(run: u64) -> u32 {
    u32::try_from(run & u64::from(u32::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_block_is_read_back_and_any_changed_byte_is_seen() {
        let records: Vec<Record> =
            (0..170_u8).map(|n| record(&Tag([n; 16]), Position(u64::from(n) << 40))).collect();
        let mut block = Vec::new();
        write_block(&records, 7, 3, &mut block);
        assert_eq!(block.len(), BLOCK_BYTES);
        let read = read_block(&block, 7, 3).unwrap();
        assert_eq!(read, records);
        assert_eq!(find(read, &Tag([169; 16])), Some(Position(169 << 40)));
        assert_eq!(find(read, &Tag([170; 16])), None);
        assert!(read_block(&block, 8, 3).is_none(), "another run's");
        assert!(read_block(&block, 7, 2).is_none(), "another block's");
        assert!(read_block(&block[..BLOCK_BYTES - 1], 7, 3).is_none(), "cut");
        for at in 0..BLOCK_BYTES {
            block[at] ^= 0x10;
            assert!(read_block(&block, 7, 3).is_none(), "byte {at}");
            block[at] ^= 0x10;
        }
        assert!(read_block(&[0; BLOCK_BYTES], 0, 0).is_none(), "zeros are no block");
    }
}
