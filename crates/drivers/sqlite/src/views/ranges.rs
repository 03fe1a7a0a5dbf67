//! Rows of a large table wait until many of one range can be put in their places together.
//!
//! Rows that are visited at random cost a page each, read, written to the log and from there to the file, for a hundred
//! bytes that changed. Here a table is divided by key into ranges of many thousand rows. What a batch changes in a range is
//! put down as one piece, and when a fair part of the range waits, all of it goes to its places: a page then takes several
//! rows. Where a batch by itself changes that much of a range, as in every small table, nothing waits at all.
//!
//! Beside the table are `TABLE+ranges(id, first, rows)`, where a range has the keys from `first` up to the next one's and
//! `rows` is at least how many the table has of them; `TABLE+waiting(at, keys, cells)`, the pieces, where `at` is the
//! range's id and a number behind it (`leaves::beside`), of which the greater counts; and `TABLE+marks(at, marks)`, two
//! bytes of the CRC-32 of each of a piece's keys. Who looks for a few rows reads the marks of every piece, which are side by
//! side, and hardly any piece. The first range begins with no bytes at all.
//! Not here: rows in their places (`rows`), how keys lie in a piece (`run`).

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension};
use waag_domain::project::{Cell, Row, Table};
use waag_views::contract::ViewKey;

use super::comparable::{self, place};
use super::leaves::{LeafError, beside};
use super::orders::is_kept;
use super::run::{Run, RunWriter};
use super::schema::{names, quoted};

/// Most pieces that wait for one range.
pub(super) const PIECES_MAX: usize = 64;
/// A range goes to its places when this part of it waits, or up to half of that: each range has a number of its own, so
/// that they do not all come to it at once.
const WAITING_PART: usize = 8;
/// So many rows may wait for any range that is large enough.
const WAITING_ROWS_MIN: usize = 4;
/// Rows wait where a batch changes less than one in so many of a range of [`USUAL_ROWS`]: about what a page takes.
const USUAL_SPARSE: usize = 32;
const USUAL_ROWS: usize = 32_768;

/// Whether rows of a table may wait: the tables visited at random are those with indexes, and SQLite's own would not see
/// what waits.
pub(super) fn may_wait(table: &Table) -> bool {
    !table.indexes.is_empty() && table.indexes.iter().all(|index| is_kept(table, index))
}

/// What makes the tables beside one.
pub(super) fn tables(view: &ViewKey, table: &Table) -> String {
    let [ranges, waiting, marks] = table_names(view, table);
    format!(
        "CREATE TABLE {ranges}(id INTEGER PRIMARY KEY, first BLOB NOT NULL UNIQUE, rows INTEGER NOT NULL) STRICT; \
         CREATE TABLE {waiting}(at INTEGER PRIMARY KEY, keys BLOB NOT NULL, cells BLOB NOT NULL) STRICT; \
         CREATE TABLE {marks}(at INTEGER PRIMARY KEY, marks BLOB NOT NULL) STRICT"
    )
}

fn table_names(view: &ViewKey, table: &Table) -> [String; 3] {
    let name = quoted(view, table);
    let name = name.strip_suffix('"').unwrap_or(&name);
    ["ranges", "waiting", "marks"].map(|what| format!("{name}+{what}\""))
}

/// A range.
struct Range {
    id: i64,
    first: Vec<u8>,
    /// At least how many rows of it are in their places.
    rows: usize,
    /// What the next one begins with: a place, and the key it is of.
    end: Option<(Vec<u8>, Row)>,
}

impl Range {
    fn has(&self, table: &Table, row: &[Cell]) -> bool {
        let key = row.get(..table.key).unwrap_or_default();
        self.end.as_ref().is_none_or(|(_, end)| key < end.as_slice())
    }
}

impl Range {
    /// Most rows that wait for it.
    fn waiting_max(&self) -> usize {
        let most = self.rows / WAITING_PART;
        let [less, _] = mark(&self.first);
        let less = usize::from(less);
        (most - most / 2 * less / 256).max(WAITING_ROWS_MIN)
    }
}

/// What waits for a range.
struct Waiting {
    pieces: usize,
    rows: usize,
    /// Where the last piece is.
    last: i64,
}

/// The waiting rows of a table on a connection that is in a transaction.
pub(super) struct Ranges<'c> {
    connection: &'c Connection,
    table: &'static Table,
    /// How many rows a range has, about.
    range_rows: usize,
    base: String,
    ranges: String,
    waiting: String,
    marks: String,
}

/// What is to be written in its place.
#[derive(Default)]
pub(super) struct Places {
    pub(super) puts: Vec<Row>,
    pub(super) deletes: Vec<Row>,
}

/// How long a mark is.
const MARK_BYTES: usize = 2;

/// A key's mark: the least significant bytes of its CRC-32.
fn mark(place: &[u8]) -> [u8; MARK_BYTES] {
    let [a, b, ..] = crc32fast::hash(place).to_le_bytes();
    [a, b]
}

/// A key that is looked for.
struct AskedKey {
    mark: [u8; MARK_BYTES],
    place: Vec<u8>,
    /// Where it is in the list of those that are asked.
    at: usize,
}

/// Keys that are looked for, by their marks.
struct Asked {
    /// A bit for each mark that a key has: most marks of a piece are nobody's, and this is all they are asked.
    bits: Vec<u64>,
    keys: Vec<AskedKey>,
}

impl Asked {
    fn new(keys: &[&Row], offset: usize) -> Self {
        let mut bits = vec![0; 1 << 10];
        let key = |(at, key): (usize, &&Row)| {
            let place = place(key);
            AskedKey { mark: mark(&place), place, at }
        };
        let mut keys: Vec<AskedKey> = (offset..).zip(keys).map(key).collect();
        keys.sort_unstable_by_key(|key| key.mark);
        for key in &keys {
            let (word, bit) = Self::bit(key.mark);
            if let Some(word) = bits.get_mut(word) {
                *word |= bit;
            }
        }
        Self { bits, keys }
    }

    fn bit(mark: [u8; MARK_BYTES]) -> (usize, u64) {
        let number = u16::from_le_bytes(mark);
        (usize::from(number >> 6), 1 << (number & 63))
    }

    /// The keys of a mark.
    fn of(&self, mark: [u8; MARK_BYTES]) -> &[AskedKey] {
        let (word, bit) = Self::bit(mark);
        if self.bits.get(word).is_none_or(|word| word & bit == 0) {
            return &[];
        }
        let from = self.keys.partition_point(|key| key.mark < mark);
        let to = self.keys.partition_point(|key| key.mark <= mark);
        self.keys.get(from..to).unwrap_or_default()
    }
}

fn number(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<usize> {
    let number: i64 = row.get(column)?;
    usize::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

impl<'c> Ranges<'c> {
    pub(super) fn new(
        connection: &'c Connection,
        view: &ViewKey,
        table: &'static Table,
        range_rows: usize,
    ) -> Self {
        let [ranges, waiting, marks] = table_names(view, table);
        Self { connection, table, range_rows, base: quoted(view, table), ranges, waiting, marks }
    }

    /// The range of a place; none where the table has none yet.
    fn range_of(&self, place: &[u8]) -> Result<Option<Range>, LeafError> {
        let sql = format!(
            "SELECT id, first, rows FROM {} WHERE first <= ?1 ORDER BY first DESC LIMIT 1",
            self.ranges
        );
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?, number(row, 2)?));
        let found = self.connection.prepare_cached(&sql)?.query_row((place,), read).optional()?;
        let Some((id, first, rows)) = found else { return Ok(None) };
        let sql = format!("SELECT first FROM {} WHERE first > ?1 ORDER BY first LIMIT 1", self.ranges);
        let end = self.connection.prepare_cached(&sql)?.query_row((&first,), |row| row.get(0)).optional()?;
        let keyed = |end: Vec<u8>| {
            let key = comparable::read(&end).ok_or(LeafError::Damaged)?;
            Ok::<_, LeafError>((end, key))
        };
        Ok(Some(Range { id, first, rows, end: end.map(keyed).transpose()? }))
    }

    fn waiting(&self, id: i64) -> Result<Waiting, LeafError> {
        let sql = format!(
            "SELECT count(*), coalesce(sum(length(marks)), 0) / {MARK_BYTES}, coalesce(max(at), ?1) FROM {} \
             WHERE at BETWEEN ?1 AND ?2",
            self.marks
        );
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Waiting { pieces: number(row, 0)?, rows: number(row, 1)?, last: row.get(2)? })
        };
        Ok(self.connection.prepare_cached(&sql)?.query_row(beside(id), read)?)
    }

    /// What waits for these keys, which are in their order, by their places in the list: a row, or none that is to be.
    pub(super) fn find(&self, keys: &[&Row]) -> Result<HashMap<usize, Option<Row>>, LeafError> {
        let mut found = HashMap::new();
        let mut at = 0;
        while let Some(rest) = keys.get(at..)
            && let Some(next) = rest.first()
        {
            let Some(range) = self.range_of(&place(next))? else { return Ok(found) };
            let here = rest.partition_point(|key| range.has(self.table, key)).max(1);
            self.find_in(range.id, at, rest.get(..here).unwrap_or_default(), &mut found)?;
            at = at.saturating_add(here);
        }
        Ok(found)
    }

    fn find_in(
        &self,
        id: i64,
        offset: usize,
        keys: &[&Row],
        found: &mut HashMap<usize, Option<Row>>,
    ) -> Result<(), LeafError> {
        let sql = format!("SELECT at, marks FROM {} WHERE at BETWEEN ?1 AND ?2 ORDER BY at", self.marks);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut pieces = statement.query(beside(id))?;
        let mut asked = None;
        while let Some(piece) = pieces.next()? {
            let asked = asked.get_or_insert_with(|| Asked::new(keys, offset));
            let marks = piece.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let mut alike = Vec::new();
            for (slot, mark) in marks.as_chunks().0.iter().enumerate() {
                alike.extend(asked.of(*mark).iter().map(|key| (slot, key)));
            }
            if !alike.is_empty() {
                self.find_in_piece(piece.get(0)?, &alike, found)?;
            }
        }
        Ok(())
    }

    /// Adds those rows of a piece, in slots whose marks are alike, that are asked.
    fn find_in_piece(
        &self,
        at: i64,
        alike: &[(usize, &AskedKey)],
        found: &mut HashMap<usize, Option<Row>>,
    ) -> Result<(), LeafError> {
        let sql = format!("SELECT keys, cells FROM {} WHERE at = ?1", self.waiting);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut pieces = statement.query((at,))?;
        let piece = pieces.next()?.ok_or(LeafError::Damaged)?;
        let run = piece.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        let mut keys = Run::new(run)?.from(None)?;
        for (slot, key) in alike {
            keys.go_to(*slot)?;
            if key.place.as_slice() != keys.key() {
                continue;
            }
            let row = if keys.is_put() {
                let cells = piece.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
                Some(self.row(&key.place, cells, *slot)?)
            } else {
                None
            };
            found.insert(key.at, row);
        }
        Ok(())
    }

    /// A row of a piece.
    fn row(&self, place: &[u8], cells: &[u8], slot: usize) -> Result<Row, LeafError> {
        let read = || {
            let mut row = comparable::read(place)?;
            let mut bytes = cells_of(cells, slot)?;
            for _ in self.table.key..self.table.columns.len() {
                row.push(read_cell(&mut bytes)?);
            }
            bytes.is_empty().then_some(row)
        };
        read().filter(|row| row.len() == self.table.columns.len()).ok_or(LeafError::Damaged)
    }

    /// All that waits from `low` on and before `high`.
    pub(super) fn between(
        &self,
        low: &[u8],
        high: &[u8],
    ) -> Result<BTreeMap<Vec<u8>, Option<Row>>, LeafError> {
        let mut all = BTreeMap::new();
        let mut at = low.to_vec();
        while let Some(range) = self.range_of(&at)? {
            self.collect(range.id, low, high, &mut all)?;
            match range.end {
                Some((end, _)) if end.as_slice() < high => at = end,
                Some(_) | None => break,
            }
        }
        Ok(all)
    }

    fn collect(
        &self,
        id: i64,
        low: &[u8],
        high: &[u8],
        all: &mut BTreeMap<Vec<u8>, Option<Row>>,
    ) -> Result<(), LeafError> {
        let sql = format!("SELECT at, marks FROM {} WHERE at BETWEEN ?1 AND ?2 ORDER BY at", self.marks);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut all_marks = statement.query(beside(id))?;
        let sql =
            format!("SELECT at, keys, cells FROM {} WHERE at BETWEEN ?1 AND ?2 ORDER BY at", self.waiting);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut pieces = statement.query(beside(id))?;
        loop {
            // Who asks for a row goes by the marks alone: a piece without them would be lost to him, and not be missed.
            let (piece, marks) = match (pieces.next()?, all_marks.next()?) {
                (None, None) => break,
                (Some(piece), Some(marks)) if piece.get::<_, i64>(0)? == marks.get::<_, i64>(0)? => {
                    (piece, marks)
                }
                _ => return Err(LeafError::Damaged),
            };
            let marks = marks.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let run = Run::new(piece.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?;
            let cells = piece.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            let (mut keys, mut slot) = (run.from(None)?, 0);
            for found in marks.as_chunks().0 {
                // A row whose mark is another's would be here for a list, and not for who asks for it.
                if !keys.step()? || mark(keys.key()) != *found {
                    return Err(LeafError::Damaged);
                }
                if keys.key() >= low && keys.key() < high {
                    let row = if keys.is_put() { Some(self.row(keys.key(), cells, slot)?) } else { None };
                    all.insert(keys.key().to_vec(), row);
                }
                slot += 1;
            }
            if keys.step()? {
                return Err(LeafError::Damaged);
            }
        }
        Ok(())
    }

    /// Takes rows to be put, or keys to be taken out, in their order, each key once; gives back what is to be written in
    /// its place now.
    pub(super) fn change(&self, rows: Vec<Row>, is_put: bool) -> Result<Places, LeafError> {
        let mut places = Places::default();
        let mut rest = rows.into_iter().peekable();
        while let Some(next) = rest.peek() {
            let range = match self.range_of(&place(next.get(..self.table.key).unwrap_or_default()))? {
                Some(range) => range,
                None => Range { id: self.make(&[], 0)?, first: Vec::new(), rows: 0, end: None },
            };
            let here: Vec<Row> =
                std::iter::from_fn(|| rest.next_if(|row| range.has(self.table, row))).collect();
            // A range that does not have the row it was found by would be asked for ever.
            if here.is_empty() {
                return Err(LeafError::Damaged);
            }
            self.change_range(&range, here, is_put, &mut places)?;
        }
        Ok(places)
    }

    /// Makes a range; gives its id.
    fn make(&self, first: &[u8], rows: usize) -> Result<i64, LeafError> {
        let sql = format!("INSERT INTO {}(first, rows) VALUES (?1, ?2)", self.ranges);
        let counted = i64::try_from(rows).unwrap_or(i64::MAX);
        Ok(self.connection.prepare_cached(&sql)?.insert((first, counted))?)
    }

    /// Writes how many rows of a range are in their places.
    fn count(&self, range: &Range, rows: usize) -> Result<(), LeafError> {
        if rows == range.rows {
            return Ok(());
        }
        let sql = format!("UPDATE {} SET rows = ?2 WHERE id = ?1", self.ranges);
        let counted = i64::try_from(rows).unwrap_or(i64::MAX);
        self.connection.prepare_cached(&sql)?.execute((range.id, counted))?;
        Ok(())
    }

    fn change_range(
        &self,
        range: &Range,
        here: Vec<Row>,
        is_put: bool,
        places: &mut Places,
    ) -> Result<(), LeafError> {
        let sparse = (self.range_rows.saturating_mul(USUAL_SPARSE) / USUAL_ROWS).max(1);
        let is_sparse = here.len().saturating_mul(sparse) < range.rows;
        let is_large = range.rows >= self.range_rows / 2;
        let waiting = self.waiting(range.id)?;
        let most = range.waiting_max();
        let fits = waiting.rows.saturating_add(here.len()) <= most && waiting.pieces < PIECES_MAX;
        if is_sparse && is_large && fits {
            return self.put_down(waiting.last.saturating_add(1), &here, is_put);
        }
        let before = places.puts.len();
        if waiting.pieces == 0 {
            if is_put {
                places.puts.extend(here);
            } else {
                places.deletes.extend(here);
            }
        } else {
            let mut all = BTreeMap::new();
            self.collect(range.id, &[], &[comparable::AFTER_ALL], &mut all)?;
            for beside_it in [&self.waiting, &self.marks] {
                let sql = format!("DELETE FROM {beside_it} WHERE at BETWEEN ?1 AND ?2");
                self.connection.prepare_cached(&sql)?.execute(beside(range.id))?;
            }
            for row in here {
                all.insert(place(row.get(..self.table.key).unwrap_or_default()), is_put.then_some(row));
            }
            for (place, row) in all {
                match row {
                    Some(row) => places.puts.push(row),
                    None => places.deletes.push(comparable::read(&place).ok_or(LeafError::Damaged)?),
                }
            }
        }
        let puts = places.puts.len().saturating_sub(before);
        self.count(range, range.rows.saturating_add(puts))
    }

    fn put_down(&self, at: i64, rows: &[Row], is_put: bool) -> Result<(), LeafError> {
        let (mut writer, mut marks, mut keys) = (RunWriter::default(), Vec::new(), Vec::new());
        let (mut cells, mut ends) = (Vec::new(), Vec::new());
        for row in rows {
            let place = place(row.get(..self.table.key).unwrap_or_default());
            marks.extend_from_slice(&mark(&place));
            writer.add(&place, is_put);
            for cell in row.iter().skip(self.table.key) {
                write_cell(cell, &mut cells)?;
            }
            ends.push(u32::try_from(cells.len()).map_err(|_| LeafError::Damaged)?);
        }
        writer.finish(&mut keys);
        ends.iter().for_each(|end| cells.extend_from_slice(&end.to_le_bytes()));
        let count = u32::try_from(ends.len()).map_err(|_| LeafError::Damaged)?;
        cells.extend_from_slice(&count.to_le_bytes());
        // There is a piece where no marks are.
        let damaged = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ConstraintViolation) => LeafError::Damaged,
            _ => LeafError::Sql(error),
        };
        let sql = format!("INSERT INTO {}(at, keys, cells) VALUES (?1, ?2, ?3)", self.waiting);
        self.connection.prepare_cached(&sql)?.execute((at, keys, cells)).map_err(damaged)?;
        let sql = format!("INSERT INTO {}(at, marks) VALUES (?1, ?2)", self.marks);
        self.connection.prepare_cached(&sql)?.execute((at, marks))?;
        Ok(())
    }

    /// Divides ranges that have grown, after rows went to their places.
    pub(super) fn divide(&self) -> Result<(), LeafError> {
        let most = self.range_rows.saturating_mul(2);
        let sql = format!("SELECT first FROM {} WHERE rows > ?1 ORDER BY first", self.ranges);
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let grown = self
            .connection
            .prepare_cached(&sql)?
            .query_map((most,), |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<Vec<u8>>>>()?;
        grown.iter().try_for_each(|first| self.divide_one(first))
    }

    fn divide_one(&self, first: &[u8]) -> Result<(), LeafError> {
        let Some(range) = self.range_of(first)? else { return Ok(()) };
        // Only what just went to its places makes a range too large; what waits would be of the range as it was.
        if self.waiting(range.id)?.pieces > 0 {
            return Ok(());
        }
        let key = names(self.table, 0..self.table.key);
        let marks = |from: usize| {
            let marks: Vec<String> = (0..self.table.key).map(|at| format!("?{}", from + at)).collect();
            marks.join(", ")
        };
        let (mut conditions, mut values) = (Vec::new(), Vec::new());
        for (operator, bound) in [(">=", Some(&range.first)), ("<", range.end.as_ref().map(|(end, _)| end))] {
            let Some(bound) = bound.filter(|bound| !bound.is_empty()) else { continue };
            conditions.push(format!("({key}) {operator} ({})", marks(values.len() + 1)));
            values.extend(comparable::read(bound).ok_or(LeafError::Damaged)?);
        }
        let conditions = if conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", conditions.join(" AND "))
        };
        let sql = format!("SELECT {key} FROM {}{conditions} ORDER BY {key}", self.base);
        let mut statement = self.connection.prepare_cached(&sql)?;
        super::rows::bind(&mut statement, &values)?;
        let mut found = statement.raw_query();
        let (mut rows, mut firsts) = (0_usize, Vec::new());
        while let Some(row) = found.next()? {
            if rows > 0 && rows.is_multiple_of(self.range_rows) {
                firsts.push(place(&super::rows::read_row(row, &[], self.table.key)?));
            }
            rows += 1;
        }
        drop(found);
        // A little more than a range is left whole.
        if rows <= self.range_rows.saturating_mul(3) / 2 {
            firsts.clear();
        }
        let Some(last) = firsts.len().checked_sub(1) else {
            return self.count(&range, rows);
        };
        self.count(&range, self.range_rows)?;
        for (at, first) in firsts.iter().enumerate() {
            let here = if at == last { rows % self.range_rows } else { 0 };
            self.make(first, if here == 0 { self.range_rows } else { here })?;
        }
        Ok(())
    }
}

const NULL: u8 = 0;
const INTEGER: u8 = 1;
const TEXT: u8 = 2;
const BYTES: u8 = 3;

fn write_cell(cell: &Cell, to: &mut Vec<u8>) -> Result<(), LeafError> {
    let (kind, bytes) = match cell {
        Cell::Null => {
            to.push(NULL);
            return Ok(());
        }
        Cell::Integer(number) => {
            to.push(INTEGER);
            to.extend_from_slice(&number.to_le_bytes());
            return Ok(());
        }
        Cell::Text(text) => (TEXT, text.as_bytes()),
        Cell::Bytes(bytes) => (BYTES, &**bytes),
    };
    to.push(kind);
    to.extend_from_slice(&u32::try_from(bytes.len()).map_err(|_| LeafError::Damaged)?.to_le_bytes());
    to.extend_from_slice(bytes);
    Ok(())
}

fn read_cell(bytes: &mut &[u8]) -> Option<Cell> {
    let (kind, rest) = bytes.split_first()?;
    let (cell, rest) = match *kind {
        NULL => (Cell::Null, rest),
        INTEGER => {
            let (number, rest) = rest.split_first_chunk()?;
            (Cell::Integer(i64::from_le_bytes(*number)), rest)
        }
        kind => {
            let (length, rest) = rest.split_first_chunk()?;
            let (found, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
            let cell = match kind {
                TEXT => Cell::Text(std::str::from_utf8(found).ok()?.into()),
                BYTES => Cell::Bytes(found.into()),
                _ => return None,
            };
            (cell, rest)
        }
    };
    *bytes = rest;
    Some(cell)
}

/// The cells of one row of a piece.
fn cells_of(cells: &[u8], slot: usize) -> Option<&[u8]> {
    let (rest, count) = cells.split_last_chunk()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let (cells, ends) = rest.split_at_checked(rest.len().checked_sub(count.checked_mul(4)?)?)?;
    let (ends, _) = ends.as_chunks::<4>();
    let end = |at: usize| usize::try_from(u32::from_le_bytes(*ends.get(at)?)).ok();
    let from = if slot == 0 { 0 } else { end(slot - 1)? };
    cells.get(from..end(slot)?)
}
