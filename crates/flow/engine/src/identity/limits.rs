//! The identity index's limits, and the memory that follows from them.

use std::fmt;

use super::block::BLOCK_RECORDS_MAX;
use super::filter::{BITS_PER_ENTRY, LARGEST_BITS_PER_ENTRY, LINE_BYTES, lines_for};
use super::run::INDEX_ENTRY_BYTES;
use super::table::table_bytes;
use crate::batch::BATCH_ENTRIES_MAX;

/// How long an identity is remembered, in nanoseconds of commit time: 24 hours.
pub const IDENTITY_WINDOW_NS: i64 = 24 * 3_600 * 1_000_000_000;
/// Most identities remembered.
pub const IDENTITY_ENTRIES_MAX: u64 = 100_000_000;
/// Most entries of the table in memory: what 262,144 buckets take.
pub const TABLE_ENTRIES_MAX: usize = 229_376;
/// How many runs of one level are merged into one of the next.
pub const MERGE_FAN_IN: usize = 4;
/// Most runs; a writer that is so far ahead of its background work must wait.
pub const RUNS_MAX: usize = 32;
/// The level whose runs are not merged further: 64 tables, 14,680,064 entries.
const LEVEL_MAX: u32 = 3;
/// Most entries that one step of a merge takes.
const MERGE_STEP_ENTRIES: usize = 1_048_576;

/// The limits of one index; smaller ones are for tests and small machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityLimits {
    /// How long an identity is remembered at least, in nanoseconds of commit time, while `entries_max` allows.
    pub window_ns: i64,
    /// Most identities remembered; at least four tables.
    pub entries_max: u64,
    /// Most entries of a table in memory.
    pub table_entries_max: usize,
    /// Runs of this level are not merged further.
    pub level_max: u32,
    /// Most entries that one step of a merge takes.
    pub merge_step_entries: usize,
    /// Most events of one batch that the writer takes; a batch has its room in the tables before any of it counts.
    pub batch_entries_max: usize,
}

/// Limits with which the index, or the writer before it, would wait for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsError {
    /// The limit's name.
    pub limit: &'static str,
    /// Its value.
    pub value: u64,
    /// The least it may be beside the others.
    pub least: u64,
}

impl LimitsError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "E0643"
    }
}

impl fmt::Display for LimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, value, least } = self;
        write!(f, "the identity index's `{limit}` of `{value}` is less than `{least}`")
    }
}

impl std::error::Error for LimitsError {}

impl Default for IdentityLimits {
    fn default() -> Self {
        Self {
            window_ns: IDENTITY_WINDOW_NS,
            entries_max: IDENTITY_ENTRIES_MAX,
            table_entries_max: TABLE_ENTRIES_MAX,
            level_max: LEVEL_MAX,
            merge_step_entries: MERGE_STEP_ENTRIES,
            batch_entries_max: BATCH_ENTRIES_MAX,
        }
    }
}

impl IdentityLimits {
    /// Refuses limits that leave the longest batch without room though everything before it is written down, and those
    /// that forget what was inserted just before.
    ///
    /// Where nothing waits to be written, one table is empty, and the other may be full: so one must hold the batch.
    ///
    /// # Errors
    /// [`LimitsError`] for the first that is too small.
    pub fn check(&self) -> Result<(), LimitsError> {
        let least = |limit, value: u64, least: u64| {
            if value < least { Err(LimitsError { limit, value, least }) } else { Ok(()) }
        };
        let (table, batch) = (self.table_entries_max as u64, self.batch_entries_max as u64);
        least("batch_entries_max", batch, 1)?;
        least("table_entries_max", table, batch)?;
        least("entries_max", self.entries_max, table.saturating_mul(4))?;
        least("merge_step_entries", self.merge_step_entries as u64, 1)
    }

    /// The most memory that filters and block indexes take, in bytes, the largest run that a merge is making included.
    ///
    /// Below the largest level there are at most a merge's inputs of each level, and a backlog of flushed tables.
    #[must_use]
    pub fn run_bytes_max(&self) -> u64 {
        let fan_in = MERGE_FAN_IN as u64;
        let table = self.table_entries_max as u64;
        let size = |level: u32| table.saturating_mul(fan_in.saturating_pow(level));
        let smaller: u64 = (0..self.level_max).map(|level| fan_in * size(level)).sum();
        let smaller = (smaller + RUNS_MAX as u64 * table).min(self.entries_max);
        let made = size(self.level_max).min(self.entries_max);
        // Per run, line and block are rounded up.
        let rounding = (RUNS_MAX * (LINE_BYTES + INDEX_ENTRY_BYTES)) as u64;
        run_bytes(smaller, BITS_PER_ENTRY)
            + run_bytes(self.entries_max - smaller, LARGEST_BITS_PER_ENTRY)
            + run_bytes(made, LARGEST_BITS_PER_ENTRY)
            + rounding
    }

    /// The most memory of the tables: the one that fills, the frozen one, and the latter's sorted copy while it is
    /// written, in bytes.
    #[must_use]
    pub fn table_bytes_max(&self) -> u64 {
        let sorted = self.table_entries_max * super::block::RECORD_BYTES;
        (2 * table_bytes(self.table_entries_max) + sorted) as u64
    }

    /// The most memory of the whole index, in bytes.
    #[must_use]
    pub fn memory_bytes_max(&self) -> u64 {
        self.run_bytes_max() + self.table_bytes_max()
    }
}

/// Memory of filter and block index for `entries`, in bytes.
fn run_bytes(entries: u64, bits_each: u64) -> u64 {
    let blocks = entries.div_ceil(BLOCK_RECORDS_MAX as u64);
    lines_for(entries, bits_each) * LINE_BYTES as u64 + blocks * INDEX_ENTRY_BYTES as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_longest_batch_and_one_entry_less_is_refused() {
        IdentityLimits::default().check().unwrap();
        let fits = IdentityLimits {
            table_entries_max: 50,
            batch_entries_max: 50,
            entries_max: 200,
            merge_step_entries: 1,
            ..IdentityLimits::default()
        };
        fits.check().unwrap();
        for (bad, limit) in [
            (IdentityLimits { batch_entries_max: 51, ..fits.clone() }, "table_entries_max"),
            (IdentityLimits { table_entries_max: 49, ..fits.clone() }, "table_entries_max"),
            (IdentityLimits { batch_entries_max: 0, ..fits.clone() }, "batch_entries_max"),
            (IdentityLimits { entries_max: 199, ..fits.clone() }, "entries_max"),
            (IdentityLimits { merge_step_entries: 0, ..fits.clone() }, "merge_step_entries"),
        ] {
            let error = bad.check().unwrap_err();
            assert_eq!(error.limit, limit, "{error}");
        }
    }

    #[test]
    fn a_hundred_million_identities_fit_in_the_memory_that_is_promised() {
        let limits = IdentityLimits::default();
        assert_eq!(limits.entries_max, 100_000_000);
        assert_eq!(limits.run_bytes_max(), 155_401_008);
        assert!(limits.run_bytes_max() <= 150 << 20);
        assert!(limits.table_bytes_max() <= 24 << 20, "{}", limits.table_bytes_max());
    }
}
