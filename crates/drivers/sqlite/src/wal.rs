//! What SQLite passes over in its write-ahead log without a word.
//!
//! SQLite reads the log up to the last commit before the first frame that is not sound, and takes what follows for a
//! transaction that a crash cut short. So a changed byte would silently take back every commit behind it. Here the same
//! log is read by its own format (SQLite, "WAL-mode File Format"), and whatever belongs to it and was not read is told.
//! Whether that was a commit that counts only the caller can know, by the generation the guard asks for.
//!
//! Place: beneath `waag verify`. Nothing is changed and no lock is taken, so that a writer beside it can show as a
//! finding; a caller asks again and goes by what stays. Not here: the records (`check`).
//!
//! Frames that are not told: those with other salts, which an earlier round of the log has left behind its end.

use std::io;
use std::path::Path;
use std::sync::Arc;

use waag_stdx::files::{DiskFiles, File, Files, Open};

/// The write-ahead log's name beside [`crate::state::STATE_FILE`].
pub const WAL_FILE: &str = "state.db-wal";
/// The name of SQLite's index of that log; it is made anew by whoever opens the state first.
pub const WAL_INDEX_FILE: &str = "state.db-shm";

const HEADER_BYTES: usize = 32;
const FRAME_HEAD_BYTES: usize = 24;
/// The magic number but for its lowest bit, which is set where checksums are over big-endian words.
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;
const PAGE_BYTES_MIN: u32 = 512;
const PAGE_BYTES_MAX: u32 = 65_536;

/// The first place from which on SQLite does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The offset in [`WAL_FILE`], in bytes.
    pub offset: u64,
    /// No crash explains it. Otherwise it looks like a transaction that was never finished.
    pub is_damage: bool,
    /// What stands there.
    pub what: &'static str,
}

/// The checksum of the log's format: two sums that run on from frame to frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums(u32, u32);

/// What the log's header says.
struct Header {
    big_endian: bool,
    page_bytes: usize,
    salts: [u8; 8],
    sums: Sums,
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}

impl Sums {
    fn read(bytes: &[u8], at: usize) -> Option<Self> {
        Some(Self(number(bytes, at)?, number(bytes, at + 4)?))
    }

    fn over(mut self, bytes: &[u8], big_endian: bool) -> Self {
        for [a, b, c, d, e, f, g, h] in bytes.as_chunks::<8>().0 {
            let word = |bytes| if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
            self.0 = self.0.wrapping_add(word([*a, *b, *c, *d])).wrapping_add(self.1);
            self.1 = self.1.wrapping_add(word([*e, *f, *g, *h])).wrapping_add(self.0);
        }
        self
    }
}

impl Header {
    fn read(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let magic = number(bytes, 0)?;
        let page = number(bytes, 8)?;
        let big_endian = magic & 1 == 1;
        let sums = Sums::default().over(bytes.get(..24)?, big_endian);
        let is_sound = magic & !1 == MAGIC
            && number(bytes, 4)? == VERSION
            && page.is_power_of_two()
            && (PAGE_BYTES_MIN..=PAGE_BYTES_MAX).contains(&page)
            && Sums::read(bytes, 24)? == sums;
        let salts = *bytes.get(16..)?.first_chunk()?;
        is_sound.then_some(Self { big_endian, page_bytes: usize::try_from(page).ok()?, salts, sums })
    }

    /// The sums behind a frame, whatever it says about them.
    fn sums_behind(&self, before: Sums, frame: &[u8]) -> Sums {
        let head = frame.get(..8).unwrap_or_default();
        let page = frame.get(FRAME_HEAD_BYTES..).unwrap_or_default();
        before.over(head, self.big_endian).over(page, self.big_endian)
    }

    fn is_of_this_round(&self, frame: &[u8]) -> bool {
        frame.get(8..16) == Some(&self.salts)
    }
}

/// Whether a frame ends a transaction: only then it tells the file's length in pages.
fn ends_transaction(frame: &[u8]) -> bool {
    number(frame, 4).is_some_and(|pages| pages != 0)
}

/// What SQLite does not read of the log of the state in `folder`; `None` where it reads everything, or there is no log.
///
/// # Errors
/// The file system's.
pub fn unread(folder: &Path) -> io::Result<Option<Unread>> {
    let file = match DiskFiles::new(folder).open(WAL_FILE, Open::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = [0; HEADER_BYTES];
    let read = file.read_at(&mut bytes, 0)?;
    if read == 0 {
        return Ok(None);
    }
    match Header::read(&bytes).filter(|_| read == HEADER_BYTES) {
        Some(header) => frames(&file, &header),
        None => {
            // The header is synced before any frame is written behind it.
            let is_damage = file.len()? > HEADER_BYTES as u64;
            Ok(Some(Unread {
                offset: 0,
                is_damage,
                what: "the log's header is not sound, all of it is passed over",
            }))
        }
    }
}

/// Walks the frames as SQLite does, and then looks at what it leaves.
fn frames(file: &Arc<dyn File>, header: &Header) -> io::Result<Option<Unread>> {
    let mut frame = vec![0; FRAME_HEAD_BYTES + header.page_bytes];
    let step = frame.len() as u64;
    let (mut offset, mut sums) = (HEADER_BYTES as u64, header.sums);
    let mut committed = offset;
    loop {
        let read = file.read_at(&mut frame, offset)?;
        let behind = header.sums_behind(sums, &frame);
        let is_whole = read == frame.len();
        let is_continued = is_whole && Sums::read(&frame, 16) == Some(behind);
        let is_ours = header.is_of_this_round(&frame);
        if is_continued && is_ours && number(&frame, 0) != Some(0) {
            (offset, sums) = (offset + step, behind);
            if ends_transaction(&frame) {
                committed = offset;
            }
            continue;
        }
        // In the rest of a cut frame's buffer stands what the frame before it left.
        let is_ours = is_ours && is_whole;
        let ends = u32::from(is_whole && (is_ours || is_continued) && ends_transaction(&frame));
        let (more, ends) = behind_the_end(file, header, offset + step, ends)?;
        let what = if read > 0 && !is_whole {
            "a frame that is cut"
        } else if is_ours || is_continued || more {
            "a frame that is not sound; it and what follows are passed over"
        } else if committed < offset {
            return Ok(Some(Unread {
                offset: committed,
                is_damage: false,
                what: "a transaction without its end",
            }));
        } else {
            return Ok(None);
        };
        // A second end behind it: the first was synced before the second began, so that no crash has torn it.
        return Ok(Some(Unread { offset, is_damage: ends > 1, what }));
    }
}

/// Whether frames of this round stand from `offset` on, and how many of them end a transaction, with `ends` before.
fn behind_the_end(
    file: &Arc<dyn File>,
    header: &Header,
    mut offset: u64,
    mut ends: u32,
) -> io::Result<(bool, u32)> {
    let mut head = [0; FRAME_HEAD_BYTES];
    let mut found = false;
    while file.read_at(&mut head, offset)? == FRAME_HEAD_BYTES {
        if header.is_of_this_round(&head) {
            found = true;
            ends = ends.saturating_add(u32::from(ends_transaction(&head)));
        }
        offset += (FRAME_HEAD_BYTES + header.page_bytes) as u64;
    }
    Ok((found, ends))
}
