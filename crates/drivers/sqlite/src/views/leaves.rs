//! A sorted set of keys in leaves of some thousand, each with changes that wait until there are enough of them.
//!
//! A tree of pages is written page by page: a change at a random place costs a whole page in the log and one in the file,
//! for a few bytes. Here a change is put down beside its leaf, those of one batch side by side, and a leaf is written anew
//! when a fair part of it changed. Whoever reads lays the changes over the leaf: who reads pays, not who writes.
//!
//! Two tables: `LEAVES(id, first, entries)`, where a leaf has the keys from `first` up to the next leaf's, and
//! `LEAVES.waiting(at, changes)`, where `at` is the leaf's id and a number behind it (`beside`), of which the greater
//! counts. The first leaf begins with no bytes at all. Rows lie by whole numbers, and only `first` has an index by
//! bytes: in a tree by bytes SQLite compares by reading a row whole, which here is many pages.
//! Not here: what a key says (`orders`, `comparable`), how keys lie in a leaf (`run`), laying changes over it (`read_leaf`).

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::read_leaf::{ReadLeaf, Seen};
use super::run::{Damaged, Run, RunWriter};

/// A leaf that would be longer is split, in bytes.
const LEAF_BYTES_MAX: usize = 65_536;
/// Where it is split.
const SPLIT_BYTES: usize = 49_152;
/// A leaf that came to be shorter goes to the one before it.
const LEAF_BYTES_MIN: usize = 1_024;
/// Changes of so many bytes may wait whatever the leaf's length; beyond that a quarter of it.
const WAITING_BYTES_MIN: usize = 4_096;
/// Most batches' changes that wait for one leaf.
const WAITING_RUNS_MAX: usize = 32;
/// What a change takes at least.
const CHANGE_BYTES_MIN: usize = 3;

/// Why leaves could not be read or written.
#[derive(Debug)]
pub(super) enum LeafError {
    /// SQLite's.
    Sql(rusqlite::Error),
    /// A value that is no run.
    Damaged,
}

impl From<rusqlite::Error> for LeafError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Damaged> for LeafError {
    fn from(Damaged: Damaged) -> Self {
        Self::Damaged
    }
}

/// Keys to put and to take out; the last word on a key counts.
#[derive(Default)]
pub(super) struct Changes {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    from: usize,
    to: usize,
    is_put: bool,
}

impl Changes {
    /// Adds a change of the key that `write` appends.
    pub(super) fn add(&mut self, is_put: bool, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.bytes.len();
        write(&mut self.bytes);
        self.places.push(Place { from, to: self.bytes.len(), is_put });
    }

    fn key(&self, place: &Place) -> &[u8] {
        self.bytes.get(place.from..place.to).unwrap_or_default()
    }

    /// By key, each once.
    fn sorted(&self) -> Vec<Place> {
        let mut places = self.places.clone();
        let compare = |a: &Place, b: &Place| self.key(a).cmp(self.key(b));
        // Stable: of one key the later stays behind.
        places.sort_by(compare);
        places.dedup_by(|later, kept| {
            let is_same = compare(later, kept).is_eq();
            if is_same {
                *kept = *later;
            }
            is_same
        });
        places
    }
}

/// A leaf, by what it begins with.
struct Leaf {
    id: i64,
    first: Vec<u8>,
    bytes: usize,
}

/// The changes that wait for a leaf.
struct Waiting {
    runs: usize,
    bytes: usize,
    last: i64,
}

/// A set of keys on a connection that is in a transaction.
pub(super) struct Leaves<'c> {
    connection: &'c Connection,
    /// What was read before, where nothing is written.
    seen: Option<&'c Seen>,
    leaves: String,
    waiting: String,
}

/// What makes the tables; both names quoted.
pub(super) fn tables(leaves: &str) -> String {
    let waiting = waiting_name(leaves);
    format!(
        "CREATE TABLE {leaves}(id INTEGER PRIMARY KEY, first BLOB NOT NULL UNIQUE, entries BLOB NOT NULL) STRICT; \
         CREATE TABLE {waiting}(at INTEGER PRIMARY KEY, changes BLOB NOT NULL) STRICT"
    )
}

/// `"NAME"` to `"NAME.waiting"`.
fn waiting_name(leaves: &str) -> String {
    format!("{}.waiting\"", leaves.strip_suffix('"').unwrap_or(leaves))
}

/// Rows beside a leaf or a range have its id and, in these bits, a number from 1 on; fewer may wait than these can say.
const BESIDE_BITS: u32 = 8;
const _: () = assert!(WAITING_RUNS_MAX < 1 << BESIDE_BITS && super::ranges::PIECES_MAX < 1 << BESIDE_BITS);

/// From where on and up to where what is beside the leaf or the range of this id lies.
pub(super) fn beside(id: i64) -> (i64, i64) {
    let from = id.saturating_mul(1 << BESIDE_BITS);
    (from, from.saturating_add((1 << BESIDE_BITS) - 1))
}

fn leaf(row: &rusqlite::Row<'_>) -> rusqlite::Result<Leaf> {
    Ok(Leaf { id: row.get(0)?, first: row.get(1)?, bytes: size(row, 2)? })
}

/// A count or a length in a column.
fn size(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<usize> {
    let number: i64 = row.get(column)?;
    usize::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

impl<'c> Leaves<'c> {
    /// The set in the tables of this name, quoted.
    pub(super) fn new(connection: &'c Connection, leaves: String, seen: Option<&'c Seen>) -> Self {
        let waiting = waiting_name(&leaves);
        Self { connection, seen, leaves, waiting }
    }

    /// Changes keys.
    pub(super) fn change(&self, changes: &Changes) -> Result<(), LeafError> {
        let sorted = changes.sorted();
        let mut rest = sorted.as_slice();
        let mut writer = RunWriter::default();
        while let Some(next) = rest.first() {
            let leaf = self.leaf_for(changes.key(next))?;
            let end = self.first_after(&leaf.first)?;
            let is_here = |place: &Place| end.as_deref().is_none_or(|end| changes.key(place) < end);
            let (here, others) = rest.split_at(rest.partition_point(is_here));
            // A leaf that does not have the key it was found by would be asked for ever.
            if here.is_empty() {
                return Err(LeafError::Damaged);
            }
            self.change_leaf(&leaf, changes, here, &mut writer)?;
            rest = others;
        }
        Ok(())
    }

    /// The leaf whose range a key is in, made where there is none at all.
    fn leaf_for(&self, key: &[u8]) -> Result<Leaf, LeafError> {
        if let Some(leaf) = self.find(key)? {
            return Ok(leaf);
        }
        let id = self.make_leaf(&[], &[])?;
        Ok(Leaf { id, first: Vec::new(), bytes: 0 })
    }

    fn find(&self, key: &[u8]) -> Result<Option<Leaf>, LeafError> {
        let sql = format!(
            "SELECT id, first, length(entries) FROM {} WHERE first <= ?1 ORDER BY first DESC LIMIT 1",
            self.leaves
        );
        Ok(self.connection.prepare_cached(&sql)?.query_row((key,), leaf).optional()?)
    }

    fn first_after(&self, first: &[u8]) -> Result<Option<Vec<u8>>, LeafError> {
        let sql = format!("SELECT first FROM {} WHERE first > ?1 ORDER BY first LIMIT 1", self.leaves);
        Ok(self.connection.prepare_cached(&sql)?.query_row((first,), |row| row.get(0)).optional()?)
    }

    fn leaf_before(&self, first: &[u8]) -> Result<Option<Leaf>, LeafError> {
        let sql = format!(
            "SELECT id, first, length(entries) FROM {} WHERE first < ?1 ORDER BY first DESC LIMIT 1",
            self.leaves
        );
        Ok(self.connection.prepare_cached(&sql)?.query_row((first,), leaf).optional()?)
    }

    fn waiting(&self, id: i64) -> Result<Waiting, LeafError> {
        let sql = format!(
            "SELECT count(*), coalesce(sum(length(changes)), 0), coalesce(max(at), ?1) FROM {} \
             WHERE at BETWEEN ?1 AND ?2",
            self.waiting
        );
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Waiting { runs: size(row, 0)?, bytes: size(row, 1)?, last: row.get(2)? })
        };
        Ok(self.connection.prepare_cached(&sql)?.query_row(beside(id), read)?)
    }

    fn make_leaf(&self, first: &[u8], entries: &[u8]) -> Result<i64, LeafError> {
        let sql = format!("INSERT INTO {}(first, entries) VALUES (?1, ?2)", self.leaves);
        Ok(self.connection.prepare_cached(&sql)?.insert((first, entries))?)
    }

    fn write_leaf(&self, id: i64, entries: &[u8]) -> Result<(), LeafError> {
        let sql = format!("UPDATE {} SET entries = ?2 WHERE id = ?1", self.leaves);
        self.connection.prepare_cached(&sql)?.execute((id, entries))?;
        Ok(())
    }

    /// Puts changes down behind those that wait for a leaf.
    fn write_waiting(&self, waiting: &Waiting, changes: &[u8]) -> Result<(), LeafError> {
        let sql = format!("INSERT INTO {}(at, changes) VALUES (?1, ?2)", self.waiting);
        self.connection.prepare_cached(&sql)?.execute((waiting.last.saturating_add(1), changes))?;
        Ok(())
    }

    /// Puts changes of a leaf down beside it, or writes it anew.
    fn change_leaf(
        &self,
        leaf: &Leaf,
        changes: &Changes,
        here: &[Place],
        writer: &mut RunWriter,
    ) -> Result<(), LeafError> {
        let waiting = self.waiting(leaf.id)?;
        let most = (leaf.bytes / 4).max(WAITING_BYTES_MIN);
        let room = most.saturating_sub(waiting.bytes);
        if waiting.runs < WAITING_RUNS_MAX && here.len().saturating_mul(CHANGE_BYTES_MIN) <= room {
            here.iter().for_each(|place| writer.add(changes.key(place), place.is_put));
            let mut run = Vec::new();
            writer.finish(&mut run);
            if run.len() <= room {
                return self.write_waiting(&waiting, &run);
            }
        }
        if waiting.runs == 0 {
            return self.fold(leaf, changes, here, writer);
        }
        let mut all = Changes::default();
        for run in self.runs(leaf.id)? {
            let mut keys = Run::new(&run)?.from(None)?;
            while keys.step()? {
                all.add(keys.is_put(), |bytes| bytes.extend_from_slice(keys.key()));
            }
        }
        for place in here {
            all.add(place.is_put, |bytes| bytes.extend_from_slice(changes.key(place)));
        }
        let sql = format!("DELETE FROM {} WHERE at BETWEEN ?1 AND ?2", self.waiting);
        self.connection.prepare_cached(&sql)?.execute(beside(leaf.id))?;
        self.fold(leaf, &all, &all.sorted(), writer)
    }

    /// Writes a leaf anew with these changes, as one or as several.
    fn fold(
        &self,
        leaf: &Leaf,
        changes: &Changes,
        sorted: &[Place],
        writer: &mut RunWriter,
    ) -> Result<(), LeafError> {
        let fresh: usize = sorted.iter().map(|place| place.to.saturating_sub(place.from)).sum();
        let split = if leaf.bytes.saturating_add(fresh) > LEAF_BYTES_MAX { SPLIT_BYTES } else { usize::MAX };
        let entries = self.entries(leaf.id)?;
        let mut keys = Run::new(&entries)?.from(None)?;
        let mut pieces = Pieces { done: Vec::new(), first: leaf.first.clone(), split, writer };
        let mut is_left = keys.step()?;
        for place in sorted {
            let key = changes.key(place);
            while is_left && keys.key() < key {
                pieces.add(keys.key());
                is_left = keys.step()?;
            }
            if is_left && keys.key() == key {
                is_left = keys.step()?;
            }
            if place.is_put {
                pieces.add(key);
            }
        }
        while is_left {
            pieces.add(keys.key());
            is_left = keys.step()?;
        }
        let pieces = pieces.finish();
        let [(_, run), others @ ..] = pieces.as_slice() else { return Ok(()) };
        if others.is_empty()
            && run.len() < LEAF_BYTES_MIN
            && !leaf.first.is_empty()
            && self.hand_over(leaf, run)?
        {
            return Ok(());
        }
        self.write_leaf(leaf.id, run)?;
        others.iter().try_for_each(|(first, run)| self.make_leaf(first, run).map(drop))
    }

    /// Gives what is left of a leaf to the one before it; whether that one takes it.
    fn hand_over(&self, leaf: &Leaf, run: &[u8]) -> Result<bool, LeafError> {
        let Some(before) = self.leaf_before(&leaf.first)? else { return Ok(false) };
        if !Run::new(run)?.is_empty() {
            let waiting = self.waiting(before.id)?;
            let bytes = waiting.bytes.saturating_add(run.len());
            if waiting.runs >= WAITING_RUNS_MAX || bytes > WAITING_BYTES_MIN {
                return Ok(false);
            }
            self.write_waiting(&waiting, run)?;
        }
        let sql = format!("DELETE FROM {} WHERE id = ?1", self.leaves);
        self.connection.prepare_cached(&sql)?.execute((leaf.id,))?;
        Ok(true)
    }

    fn entries(&self, id: i64) -> Result<Vec<u8>, LeafError> {
        let sql = format!("SELECT entries FROM {} WHERE id = ?1", self.leaves);
        let found = self.connection.prepare_cached(&sql)?.query_row((id,), |row| row.get(0)).optional()?;
        Ok(found.unwrap_or_default())
    }

    fn runs(&self, id: i64) -> Result<Vec<Vec<u8>>, LeafError> {
        let sql = format!("SELECT changes FROM {} WHERE at BETWEEN ?1 AND ?2 ORDER BY at", self.waiting);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let found = statement.query_map(beside(id), |row| row.get(0))?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    /// At most `limit` keys from `low` on and before `high`, in their order or the other way round.
    pub(super) fn scan(
        &self,
        low: &[u8],
        high: &[u8],
        descending: bool,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, LeafError> {
        let mut found = Vec::new();
        let mut at = if low >= high || limit == 0 {
            None
        } else if descending {
            self.before(high)?
        } else {
            self.at(low)?
        };
        while let Some(leaf) = at {
            let left = limit.saturating_sub(found.len());
            if descending {
                let keys = leaf.keys(low, high, usize::MAX)?;
                found.extend(keys.into_iter().rev().take(left));
            } else {
                found.extend(leaf.keys(low, high, left)?);
            }
            if found.len() >= limit {
                break;
            }
            at = match &leaf.end {
                _ if descending && leaf.first.as_slice() > low => self.before(&leaf.first)?,
                Some(next) if !descending && next.as_slice() < high => self.at(next)?,
                Some(_) | None => None,
            };
        }
        Ok(found)
    }

    /// The leaf whose range a key is in, read.
    fn at(&self, key: &[u8]) -> Result<Option<Arc<ReadLeaf>>, LeafError> {
        if let Some(read) = self.seen.and_then(|seen| seen.at(&self.leaves, key)) {
            return Ok(Some(read));
        }
        self.find(key)?.map(|leaf| self.read(leaf)).transpose()
    }

    /// The last leaf that begins before a key, read.
    fn before(&self, key: &[u8]) -> Result<Option<Arc<ReadLeaf>>, LeafError> {
        self.leaf_before(key)?.map(|leaf| self.read(leaf)).transpose()
    }

    fn read(&self, Leaf { id, first, .. }: Leaf) -> Result<Arc<ReadLeaf>, LeafError> {
        let (entries, runs, end) = (self.entries(id)?, self.runs(id)?, self.first_after(&first)?);
        let read = Arc::new(ReadLeaf { first, end, entries, runs });
        if let Some(seen) = self.seen {
            seen.keep(&self.leaves, &read);
        }
        Ok(read)
    }
}

/// Leaves being written.
struct Pieces<'w> {
    done: Vec<(Vec<u8>, Vec<u8>)>,
    /// What the next one begins with.
    first: Vec<u8>,
    /// How long one gets, in bytes.
    split: usize,
    writer: &'w mut RunWriter,
}

impl Pieces<'_> {
    fn add(&mut self, key: &[u8]) {
        if self.writer.len() >= self.split {
            self.close(key.to_vec());
        }
        self.writer.add(key, true);
    }

    fn close(&mut self, next: Vec<u8>) {
        let mut run = Vec::new();
        self.writer.finish(&mut run);
        self.done.push((std::mem::replace(&mut self.first, next), run));
    }

    fn finish(mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        if self.writer.keys() > 0 || self.done.is_empty() {
            self.close(Vec::new());
        }
        self.done
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const NAME: &str = "\"set\"";

    fn connection() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(&tables(NAME)).unwrap();
        connection
    }

    fn leaves(connection: &Connection) -> Leaves<'_> {
        Leaves::new(connection, NAME.to_owned(), None)
    }

    fn count(connection: &Connection, table: &str) -> i64 {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), (), |row| row.get(0)).unwrap()
    }

    /// A small generator (xorshift64), so that a failure comes again.
    struct Draws(u64);

    impl Draws {
        fn below(&mut self, end: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % end
        }
    }

    fn key(number: u64) -> Vec<u8> {
        format!("{:04}/invoice-{number:08}", number / 1_000).into_bytes()
    }

    /// Puts and takes out, and the set that comes of it.
    fn change(leaves: &Leaves<'_>, set: &mut BTreeSet<Vec<u8>>, said: &[(u64, bool)]) {
        let mut changes = Changes::default();
        for (number, is_put) in said {
            let key = key(*number);
            changes.add(*is_put, |bytes| bytes.extend_from_slice(&key));
            if *is_put {
                set.insert(key);
            } else {
                set.remove(&key);
            }
        }
        leaves.change(&changes).unwrap();
    }

    fn all(leaves: &Leaves<'_>) -> Vec<Vec<u8>> {
        leaves.scan(b"", &[AFTER], false, usize::MAX).unwrap()
    }

    const AFTER: u8 = 0xff;

    #[test]
    fn keys_are_those_of_a_set_whatever_waits_or_was_split() {
        for (seed, keys, batch) in [(1, 50, 5), (2, 3_000, 40), (3, 60_000, 2_500), (4, 60_000, 20_000)] {
            let connection = connection();
            let leaves = leaves(&connection);
            let (mut draws, mut set, mut most) = (Draws(seed), BTreeSet::new(), 0);
            for round in 0..40 {
                // Ever more is taken out, so that leaves become short and go.
                let put_of_ten = 10 - round / 4;
                let said: Vec<(u64, bool)> =
                    (0..batch).map(|_| (draws.below(keys), draws.below(10) < put_of_ten)).collect();
                change(&leaves, &mut set, &said);
                most = most.max(count(&connection, NAME));
                for _ in 0..10 {
                    let (a, b) = (key(draws.below(keys)), key(draws.below(keys)));
                    let (low, high) = if a < b { (a, b) } else { (b, a) };
                    let limit = usize::try_from(1 + draws.below(60)).unwrap();
                    let within: Vec<Vec<u8>> = set.range(low.clone()..high.clone()).cloned().collect();
                    let found = leaves.scan(&low, &high, false, limit).unwrap();
                    assert_eq!(found, within.iter().take(limit).cloned().collect::<Vec<_>>());
                    let found = leaves.scan(&low, &high, true, limit).unwrap();
                    assert_eq!(found, within.iter().rev().take(limit).cloned().collect::<Vec<_>>());
                }
            }
            assert!(all(&leaves).into_iter().eq(set.iter().cloned()), "seed {seed}");
            assert!(keys < 60_000 || most > 1, "nothing was split");
            if keys == 60_000 {
                continue;
            }
            // All of it taken out leaves one empty leaf, in the end.
            for _ in 0..WAITING_RUNS_MAX + 2 {
                let said: Vec<(u64, bool)> = (0..keys).map(|number| (number, false)).collect();
                change(&leaves, &mut set, &said);
                assert_eq!(all(&leaves), [] as [Vec<u8>; 0]);
            }
            assert_eq!(count(&connection, NAME), 1);
        }
    }

    #[test]
    fn the_last_word_on_a_key_counts() {
        let connection = connection();
        let leaves = leaves(&connection);
        let mut set = BTreeSet::new();
        for said in [
            &[(1, true), (1, false), (2, false), (2, true)][..],
            &[(1, true), (2, true)],
            &[(2, false)],
            &[(2, false), (3, false)],
        ] {
            change(&leaves, &mut set, said);
            assert!(all(&leaves).into_iter().eq(set.iter().cloned()));
        }
        assert_eq!(all(&leaves), [key(1)]);
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_length() {
        let connection = connection();
        let leaves = leaves(&connection);
        let (mut draws, mut set) = (Draws(7), BTreeSet::new());
        for _ in 0..500 {
            let said: Vec<(u64, bool)> =
                (0..1 + draws.below(30)).map(|_| (draws.below(20_000), draws.below(3) > 0)).collect();
            change(&leaves, &mut set, &said);
            let sql = "SELECT max(n), max(b) FROM (SELECT count(*) AS n, sum(length(changes)) AS b \
                       FROM \"set.waiting\" GROUP BY at / 256)";
            let most: (Option<i64>, Option<i64>) =
                connection.query_row(sql, (), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            assert!(most.0.is_none_or(|runs| runs <= 32));
            let bytes_most = i64::try_from(LEAF_BYTES_MAX / 4).unwrap();
            assert!(most.1.is_none_or(|bytes| bytes <= bytes_most));
        }
        assert!(count(&connection, "\"set.waiting\"") > 0);
        let orphans = "SELECT count(*) FROM \"set.waiting\" WHERE at / 256 NOT IN (SELECT id FROM \"set\")";
        assert_eq!(connection.query_row(orphans, (), |row| row.get::<_, i64>(0)).unwrap(), 0);
    }

    #[test]
    fn a_damaged_leaf_is_told() {
        let connection = connection();
        let leaves = leaves(&connection);
        let mut set = BTreeSet::new();
        change(&leaves, &mut set, &[(1, true)]);
        connection.execute_batch("UPDATE \"set\" SET entries = x'0102'").unwrap();
        assert!(matches!(leaves.scan(b"", &[AFTER], false, 10), Err(LeafError::Damaged)));
        let said = (0..5_000).map(|number| (number, true)).collect::<Vec<_>>();
        let mut changes = Changes::default();
        for (number, is_put) in said {
            changes.add(is_put, |bytes| bytes.extend_from_slice(&key(number)));
        }
        assert!(matches!(leaves.change(&changes), Err(LeafError::Damaged)));
    }
}
