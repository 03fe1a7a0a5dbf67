//! The contract of the state: the small durable store of what cannot be derived again.
//!
//! Place: wrapped keys, tombstones, leases and delivery cursors are records here; `drivers/` implements [`State`].
//! Not here: what the records mean (`records`, and the crates that own them), personal data in clear (never stored).
//! A crash at any instant leaves the state as it was before a commit or after it, never between.
//!
//! Invariants, each tested by [`crate::conformance::state`] on every driver:
//! - `STATE-1`: a commit is whole and durable before it returns, or leaves no trace.
//! - `STATE-2`: every expectation of a commit holds at its instant, or nothing changes.
//! - `STATE-3`: each commit adds one to the generation, which never goes back.
//! - `STATE-4`: every record carries the SHA-256 of its table, key and value, checked at each read; the head carries
//!   their number, their sum and its own checksum, so that a changed, lost or added record is found.
//! - `STATE-5`: after a failed or uncertain commit the handle refuses everything; reopening reads what is there.
//!
//! The digest of the set is the sum modulo 2^256 of the records' checksums: it can be kept up to date record by record.
//! It finds faults of machines; who can write the store can also write a digest, and is held by the ledger, not by this.

mod table;

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

pub use table::Table;

/// Longest key of a record, in bytes.
pub const RECORD_KEY_BYTES_MAX: usize = 256;
/// Longest value of a record, in bytes.
pub const RECORD_VALUE_BYTES_MAX: usize = 65_536;
/// Most changes of one commit.
pub const COMMIT_CHANGES_MAX: usize = 65_536;
/// Most bytes of keys and values in one commit.
pub const COMMIT_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// Most records one scan returns.
pub const SCAN_RECORDS_MAX: usize = 1_024;
/// A scan stops after the record that brings its keys and values to this many bytes.
pub const SCAN_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Most faults a check lists; [`Check::faults_more`] counts the rest.
pub const CHECK_FAULTS_MAX: usize = 1_000;

/// The SHA-256 over a record's table, key and value, each with its length before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sum(pub [u8; 32]);

impl Sum {
    /// The checksum of a record: SHA-256 over the table's code (1 byte), the key's length (8 bytes, big-endian), the
    /// key, the value's length (8 bytes), the value.
    #[must_use]
    pub fn of(table: u8, key: &[u8], value: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&[table]);
        context.update(&(key.len() as u64).to_be_bytes());
        context.update(key);
        context.update(&(value.len() as u64).to_be_bytes());
        context.update(value);
        Self::of_digest(context.finish().as_ref())
    }

    fn of_digest(digest: &[u8]) -> Self {
        let mut sum = [0; 32];
        for (to, from) in sum.iter_mut().zip(digest) {
            *to = *from;
        }
        Self(sum)
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The sum modulo 2^256 of records' checksums, read as big-endian numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetDigest(pub [u8; 32]);

impl SetDigest {
    /// With one record more.
    #[must_use]
    pub fn with(self, sum: Sum) -> Self {
        let (mut out, mut carry) = (self.0, 0_u16);
        for (a, b) in out.iter_mut().zip(sum.0).rev() {
            let [high, low] = (u16::from(*a) + u16::from(b) + carry).to_be_bytes();
            *a = low;
            carry = u16::from(high);
        }
        Self(out)
    }

    /// With one record less.
    #[must_use]
    pub fn without(self, sum: Sum) -> Self {
        let (mut out, mut borrow) = (self.0, false);
        for (a, b) in out.iter_mut().zip(sum.0).rev() {
            let (first, under_first) = a.overflowing_sub(b);
            let (second, under_second) = first.overflowing_sub(u8::from(borrow));
            *a = second;
            borrow = under_first || under_second;
        }
        Self(out)
    }
}

/// How many commits a state has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// What the store says of itself: changed in every commit, with a checksum of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// How many commits there were.
    pub generation: Generation,
    /// How many records there are.
    pub count: u64,
    /// The digest over them.
    pub digest: SetDigest,
}

impl Head {
    /// The head's own checksum: SHA-256 over `waag state head v1`, generation, count (8 bytes each, big-endian), digest.
    #[must_use]
    pub fn sum(&self) -> Sum {
        let mut context = Context::new(&SHA256);
        context.update(b"waag state head v1");
        context.update(&self.generation.0.to_be_bytes());
        context.update(&self.count.to_be_bytes());
        context.update(&self.digest.0);
        Sum::of_digest(context.finish().as_ref())
    }

    /// The head after a commit that replaced `old` by `new` in one place; the generation is counted apart.
    #[must_use]
    pub fn after(mut self, old: Option<Sum>, new: Option<Sum>) -> Self {
        if let Some(sum) = old {
            self.digest = self.digest.without(sum);
            self.count = self.count.saturating_sub(1);
        }
        if let Some(sum) = new {
            self.digest = self.digest.with(sum);
            self.count = self.count.saturating_add(1);
        }
        self
    }
}

/// A stored record, its checksum verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Its key within the table.
    pub key: Vec<u8>,
    /// Its value; may hold wrapped secrets, so it is not shown in `Debug`.
    pub value: Vec<u8>,
    /// Its checksum, for [`Expect::Equals`].
    pub sum: Sum,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Record {{ key: {}, value: {} bytes, sum: {:?} }}",
            hex(&self.key),
            self.value.len(),
            self.sum
        )
    }
}

/// What must stand at a change's place for its commit to go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Anything.
    Any,
    /// No record.
    Absent,
    /// A record with this checksum.
    Equals(Sum),
}

/// One change of a commit. A commit names each place at most once.
#[derive(Clone, Copy)]
pub struct Change<'a> {
    /// The table.
    pub table: Table,
    /// The key, 1 to [`RECORD_KEY_BYTES_MAX`] bytes.
    pub key: &'a [u8],
    /// What must be there.
    pub expect: Expect,
    /// The value to stand there afterwards; none removes the record (removing what is not there is no error).
    pub value: Option<&'a [u8]>,
}

/// How much a check looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The head and its checksum; costs one read.
    Head,
    /// Every record, the digest, the count, and what the driver knows of its own structure.
    All,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The head as stored, also where it is a fault's place.
    pub head: Head,
    /// How many records were read; 0 for [`Extent::Head`].
    pub records: u64,
    /// The faults, at most [`CHECK_FAULTS_MAX`].
    pub faults: Vec<Fault>,
    /// How many more there were.
    pub faults_more: u64,
}

impl Check {
    /// A check that has found nothing yet.
    #[must_use]
    pub fn new(head: Head) -> Self {
        Self { head, records: 0, faults: Vec::new(), faults_more: 0 }
    }

    /// Notes a fault, or counts it where the list is full.
    pub fn found(&mut self, place: Place, reason: String) {
        if self.faults.len() < CHECK_FAULTS_MAX {
            self.faults.push(Fault { place, reason });
        } else {
            self.faults_more = self.faults_more.saturating_add(1);
        }
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty() && self.faults_more == 0
    }
}

/// Where a fault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A record: its table's stored code, its key.
    Record {
        /// The stored code, which a fault may have made one that no [`Table`] has.
        table: u8,
        /// The key as stored.
        key: Vec<u8>,
    },
    /// The head: generation, count, digest.
    Head,
    /// The driver's own structure.
    Store,
}

/// One fault that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What, as a lowercase fragment.
    pub reason: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record { table, key } => match Table::of_code(*table) {
                Some(known) => write!(f, "table `{}` record `{}`", known.name(), hex(key)),
                None => write!(f, "table {table} record `{}`", hex(key)),
            },
            Self::Head => write!(f, "table `head`"),
            Self::Store => write!(f, "the store's own structure"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

/// Why the state refused or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateError {
    /// An expectation did not hold; nothing changed. Caller's fault, or another writer's work.
    Conflict(Place),
    /// An earlier commit on this handle failed or is uncertain: reopen.
    Poisoned,
    /// A key, value or commit is outside its limits; nothing changed. Ours.
    Limit(&'static str),
    /// What is stored is not what was written.
    Damaged(Fault),
    /// Another process writes this state.
    InUse,
    /// There is no state here.
    Missing,
    /// There is something else here, or a version this program does not know.
    Foreign(String),
    /// The handle was opened to read.
    ReadOnly,
    /// Old bytes could not be truncated away since readers hold them: call `forget` again.
    Held,
    /// The environment failed: what was attempted, and the message.
    Environment(&'static str, String),
}

impl StateError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "E0501",
            Self::Poisoned => "E0502",
            Self::Limit(_) => "E0503",
            Self::Damaged(_) => "E0504",
            Self::InUse => "E0505",
            Self::Missing => "E0506",
            Self::Foreign(_) => "E0507",
            Self::ReadOnly => "E0508",
            Self::Held => "E0509",
            Self::Environment(..) => "E0510",
        }
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(place) => write!(f, "{place} is not as expected, nothing was changed"),
            Self::Poisoned => write!(f, "an earlier commit to the state failed, it must be reopened"),
            Self::Limit(what) => write!(f, "outside the state's limits: {what}"),
            Self::Damaged(fault) => write!(f, "the state is damaged: {fault}"),
            Self::InUse => write!(f, "another process writes this state"),
            Self::Missing => write!(f, "there is no state here"),
            Self::Foreign(what) => write!(f, "this is no state that can be read: {what}"),
            Self::ReadOnly => write!(f, "the state was opened to read only"),
            Self::Held => write!(f, "old bytes are still held by readers of the state"),
            Self::Environment(attempt, message) => write!(f, "could not {attempt}: {message}"),
        }
    }
}

impl std::error::Error for StateError {}

/// A durable set of small records. One writer; any number of threads may use a handle.
///
/// Nobody retries: a commit either changed all (and is durable), or [`StateError::Conflict`] or [`StateError::Limit`]
/// changed nothing, or the handle is poisoned and what happened is known only after reopening. A caller must not assume
/// that a record it read is still there when it commits: that is what [`Expect`] is for.
pub trait State: Send + Sync {
    /// The record at a place, its checksum verified.
    ///
    /// # Errors
    /// [`StateError::Damaged`] where the checksum does not match; the driver's.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Record>, StateError>;

    /// Records of a table in bytewise order of their keys, from the first whose key is greater than `after`.
    ///
    /// At most `limit` (and [`SCAN_RECORDS_MAX`]) records, fewer once they reach [`SCAN_BYTES_MAX`]; an empty answer,
    /// and nothing else, is the end. Each scan sees one commit's state; two scans need not see the same.
    ///
    /// # Errors
    /// [`StateError::Damaged`] for the first record whose checksum does not match; the driver's.
    fn scan(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Record>, StateError>;

    /// Makes all changes, or none. Durable when it returns the new generation. An empty list is also a commit.
    ///
    /// # Errors
    /// [`StateError::Conflict`] and [`StateError::Limit`] changed nothing; after any other error nothing is known and
    /// the handle is poisoned.
    fn commit(&self, changes: &[Change<'_>]) -> Result<Generation, StateError>;

    /// Reads back and verifies. What a driver cannot read is a fault in the answer, with its place, as far as it can go.
    ///
    /// # Errors
    /// Only where nothing can be said of the store at all.
    fn check(&self, extent: Extent) -> Result<Check, StateError>;

    /// Removes the remains (write-ahead log, free pages, caches) of what earlier commits removed or replaced in tables
    /// that [`Table::holds_secrets`]. When it returns, no file of the store holds those bytes. Idempotent.
    ///
    /// What the file system or the device keeps of freed blocks is beyond it.
    ///
    /// # Errors
    /// [`StateError::Held`] where readers are in the way: call again. Else the driver's.
    fn forget(&self) -> Result<(), StateError>;
}

/// Checks a commit's limits the same way in every driver: sizes, number, each place once.
///
/// # Errors
/// [`StateError::Limit`] naming the limit.
pub fn check_limits(changes: &[Change<'_>]) -> Result<(), StateError> {
    if changes.len() > COMMIT_CHANGES_MAX {
        return Err(StateError::Limit("more changes than one commit may have"));
    }
    let mut bytes = 0_usize;
    let mut places: Vec<(Table, &[u8])> = Vec::with_capacity(changes.len());
    for change in changes {
        check_key(change.key)?;
        let value = change.value.map_or(0, <[u8]>::len);
        if value > RECORD_VALUE_BYTES_MAX {
            return Err(StateError::Limit("a value is too long"));
        }
        bytes = bytes.saturating_add(value).saturating_add(change.key.len());
        places.push((change.table, change.key));
    }
    if bytes > COMMIT_BYTES_MAX {
        return Err(StateError::Limit("more bytes than one commit may have"));
    }
    places.sort_unstable();
    if places.iter().zip(places.iter().skip(1)).any(|(a, b)| a == b) {
        return Err(StateError::Limit("one place comes twice in a commit"));
    }
    Ok(())
}

/// Checks a key's length.
///
/// # Errors
/// [`StateError::Limit`].
pub fn check_key(key: &[u8]) -> Result<(), StateError> {
    if key.is_empty() || key.len() > RECORD_KEY_BYTES_MAX {
        return Err(StateError::Limit("a key is empty or too long"));
    }
    Ok(())
}

/// Whether a place is as expected; `found` is the checksum of what stands there.
///
/// # Errors
/// [`StateError::Conflict`] with the place.
pub fn check_expectation(change: &Change<'_>, found: Option<Sum>) -> Result<(), StateError> {
    let holds = match change.expect {
        Expect::Any => true,
        Expect::Absent => found.is_none(),
        Expect::Equals(sum) => found == Some(sum),
    };
    if holds {
        Ok(())
    } else {
        Err(StateError::Conflict(Place::Record { table: change.table.code(), key: change.key.to_vec() }))
    }
}

/// Bytes in lowercase hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_adds_and_takes_away_with_carries() {
        let one = Sum(std::array::from_fn(|at| u8::from(at == 31)));
        let all = SetDigest([0xff; 32]);
        assert_eq!(all.with(one), SetDigest([0; 32]));
        assert_eq!(SetDigest([0; 32]).without(one), all);
        let (a, b) = (Sum::of(1, b"a", b"x"), Sum::of(1, b"b", b"y"));
        let set = SetDigest::default().with(a).with(b);
        assert_eq!(set, SetDigest::default().with(b).with(a));
        assert_eq!(set.without(a), SetDigest::default().with(b));
        assert_eq!(set.without(b).without(a), SetDigest::default());
    }

    #[test]
    fn a_checksum_tells_table_key_and_value_apart() {
        let sums = [
            Sum::of(1, b"ab", b"c"),
            Sum::of(1, b"a", b"bc"),
            Sum::of(2, b"ab", b"c"),
            Sum::of(1, b"abc", b""),
        ];
        for (at, sum) in sums.iter().enumerate() {
            assert!(!sums[at + 1..].contains(sum));
        }
    }
}
