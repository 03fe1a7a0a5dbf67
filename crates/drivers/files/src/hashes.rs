//! Stored hashes in a file: derived from the frames, so that losing it costs time and nothing else.
//!
//! Place: beside the log; the engine appends what `waag_ledger::tree::Frontier::append` yields, proofs read it. Not
//! here: the order of the hashes (`waag_ledger::stored`), and trust in them: whoever uses a hash from here checks
//! what comes out of it against a signed root, and rebuilds the file from frames where that fails.
//!
//! Layout: 32 bytes per hash, nothing else. Appends are buffered and not durable until [`HashFile::sync`]; after a
//! crash the caller cuts the file to a count whose root fits, or rebuilds it.

use std::io;
use std::sync::{Arc, Mutex};

use waag_ledger::hash::{HASH_BYTES, Hash};
use waag_ledger::stored::{HashReadError, HashReader};
use waag_stdx::files::{File, Files, Open};

use crate::log::hold;

/// Bytes that wait in memory before they are written.
pub const BUFFER_BYTES_MAX: usize = 256 * 1_024;

/// The file, open to append and read.
#[derive(Debug)]
pub struct HashFile {
    file: Arc<dyn File>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Hashes in the file.
    written: u64,
    /// Hashes behind them, still in memory.
    waiting: Vec<u8>,
}

fn bytes_of(count: u64) -> io::Result<u64> {
    count.checked_mul(HASH_BYTES as u64).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

impl HashFile {
    /// Opens the file at `path`, made where it is missing; a part of a hash at its end is not counted.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(files: &dyn Files, path: &str) -> io::Result<Self> {
        let file = match files.open(path, Open::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => files.open(path, Open::Create)?,
            other => other?,
        };
        let written = file.len()? / HASH_BYTES as u64;
        let waiting = Vec::with_capacity(BUFFER_BYTES_MAX);
        Ok(Self { file, state: Mutex::new(State { written, waiting }) })
    }

    /// How many hashes it has, the waiting ones included.
    #[must_use]
    pub fn count(&self) -> u64 {
        let state = hold(&self.state);
        state.written + (state.waiting.len() / HASH_BYTES) as u64
    }

    /// Appends hashes; they are readable at once and durable after [`HashFile::sync`].
    ///
    /// # Errors
    /// The file system's; the caller then reopens and cuts or rebuilds.
    pub fn append(&self, hashes: &[Hash]) -> io::Result<()> {
        let mut state = hold(&self.state);
        for hash in hashes {
            state.waiting.extend_from_slice(&hash.0);
            if state.waiting.len() >= BUFFER_BYTES_MAX {
                self.write_waiting(&mut state)?;
            }
        }
        Ok(())
    }

    fn write_waiting(&self, state: &mut State) -> io::Result<()> {
        self.file.write_at(&state.waiting, bytes_of(state.written)?)?;
        state.written += (state.waiting.len() / HASH_BYTES) as u64;
        state.waiting.clear();
        Ok(())
    }

    /// Writes what waits, without syncing.
    ///
    /// # Errors
    /// The file system's.
    pub fn flush(&self) -> io::Result<()> {
        let mut state = hold(&self.state);
        if state.waiting.is_empty() { Ok(()) } else { self.write_waiting(&mut state) }
    }

    /// Makes everything appended durable.
    ///
    /// # Errors
    /// The file system's.
    pub fn sync(&self) -> io::Result<()> {
        self.flush()?;
        self.file.sync()
    }

    /// Cuts the file to its first `count` hashes; a higher count changes nothing.
    ///
    /// # Errors
    /// The file system's.
    pub fn truncate_to(&self, count: u64) -> io::Result<()> {
        let mut state = hold(&self.state);
        if let Some(kept) = count.checked_sub(state.written) {
            let kept = usize::try_from(kept).unwrap_or(usize::MAX).saturating_mul(HASH_BYTES);
            state.waiting.truncate(kept);
            return Ok(());
        }
        state.waiting.clear();
        self.file.set_len(bytes_of(count)?)?;
        state.written = count;
        Ok(())
    }

    fn read_one(&self, state: &State, index: u64) -> Result<Hash, HashReadError> {
        let missing = HashReadError::Missing { index };
        let mut hash = Hash([0; HASH_BYTES]);
        if let Some(behind) = index.checked_sub(state.written) {
            let at = usize::try_from(behind).ok().and_then(|n| n.checked_mul(HASH_BYTES));
            let waiting = at.and_then(|at| state.waiting.get(at..)).and_then(|rest| rest.first_chunk());
            return waiting.map(|bytes| Hash(*bytes)).ok_or(missing);
        }
        let offset = index.saturating_mul(HASH_BYTES as u64);
        match self.file.read_at(&mut hash.0, offset) {
            Ok(HASH_BYTES) => Ok(hash),
            Ok(_) => Err(missing),
            Err(error) => Err(HashReadError::Unreadable { index, reason: error.to_string() }),
        }
    }
}

impl HashReader for HashFile {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, HashReadError> {
        let state = hold(&self.state);
        indexes.iter().map(|index| self.read_one(&state, *index)).collect()
    }
}
