//! Cells come back as they went in, and every scan gives what the model gives.

use waag_domain::memory::MemoryRows;
use waag_domain::project::{Cell, Index, Kind, Reads, Row, Rows, RowsError, Scan, Table};

use super::{
    BY_COLOUR, BY_MINUTE, BY_NUMBER, BY_SIZE, BY_SIZE_ALONE, Broken, KEYS, THINGS, VISITS, ViewsHarness, at,
    definition, ensure, everything, key, serving,
};
use crate::contract::place_of;

/// Series of changes that are compared.
const ROUNDS: u64 = 12;
/// Scans compared after each.
const SCANS: usize = 60;

/// A small generator: the suite is the same on every run, and no driver needs a crate for it.
struct Draws(u64);

impl Draws {
    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }

    fn pick<'p, T>(&mut self, of: &'p [T]) -> Option<&'p T> {
        of.get(usize::try_from(self.below(of.len() as u64)).unwrap_or(0))
    }

    fn cell(&mut self, kind: Kind, nullable: bool) -> Cell {
        if nullable && self.below(3) == 0 {
            return Cell::Null;
        }
        match kind {
            Kind::Integer => Cell::Integer(self.pick(&INTEGERS).copied().unwrap_or(0)),
            Kind::Text => Cell::from(self.pick(&TEXTS).copied().unwrap_or("")),
            Kind::Bytes => Cell::Bytes(self.pick(&BYTES).copied().unwrap_or(b"").into()),
        }
    }

    fn row(&mut self, table: &Table) -> Row {
        table.columns.iter().map(|column| self.cell(column.kind, column.nullable)).collect()
    }

    fn key(&mut self, table: &Table) -> Row {
        table.columns.iter().take(table.key).map(|column| self.cell(column.kind, false)).collect()
    }
}

const INTEGERS: [i64; 6] = [i64::MIN, -1, 0, 1, 2, i64::MAX];
/// Empty, one the beginning of another, with zeros and controls, cased, accented, beyond the basic plane, quoted.
const TEXTS: [&str; 12] =
    ["", "a", "ab", "a\0", "a\0b", "a\u{1}", "B", "b", "é", "z", "\u{ffff}", "\u{1f600}'\"\\%_?$1"];
const BYTES: [&[u8]; 6] = [b"", b"\0", b"\0\0", b"a", b"\xff", b"\xff\0"];

/// Every value of every kind is stored and compared exactly.
pub(super) fn cells(harness: &dyn ViewsHarness) -> Result<(), Broken> {
    let views = harness.open()?;
    views.open(&definition(1, 0))?;
    let mut rows: Vec<Row> = Vec::new();
    for text in TEXTS {
        for number in INTEGERS {
            let mark = Cell::Bytes(text.as_bytes().into());
            rows.push(vec![text.into(), number.into(), Some(text).into(), Some(number).into(), mark]);
        }
    }
    let keys: Vec<Row> = BYTES.iter().map(|bytes| vec![Cell::Bytes((*bytes).into())]).collect();
    let misfits: [Row; 3] = [vec!["a".into()], vec![Cell::Null; 5], vec![1.into(); 5]];
    views.commit(&key(1, 0), at(0), at(1), &mut |store| {
        store.put(&THINGS, rows.iter().rev().cloned().collect())?;
        store.put(&KEYS, keys.clone())?;
        // The same again, and nothing at all.
        store.put(&KEYS, keys.clone())?;
        store.put(&KEYS, Vec::new())?;
        store.delete(&KEYS, &[])?;
        let refused = misfits.iter().all(|row| store.put(&THINGS, vec![row.clone()]).is_err());
        super::ensure_rows(refused)
    })?;
    let snapshot = serving(views.as_ref())?;
    rows.sort();
    ensure(snapshot.scan(&THINGS, &everything())? == rows, "rows come back changed or in another order")?;
    ensure(snapshot.scan(&KEYS, &everything())? == keys, "keys of bytes come back changed")?;
    let asked: Vec<Row> = rows.iter().rev().map(|row| place_of(&THINGS, None, row)).collect();
    let mut with_gap = asked.clone();
    with_gap.insert(3, vec!["nobody".into(), 0.into()]);
    let mut expected: Vec<Option<Row>> = rows.iter().rev().cloned().map(Some).collect();
    expected.insert(3, None);
    ensure(snapshot.get(&THINGS, &with_gap)? == expected, "rows are not got in the order asked")?;
    ensure(snapshot.get(&THINGS, &[])?.is_empty(), "nothing asked and something got")?;
    ensure(snapshot.get(&THINGS, &[vec![1.into()]]).is_err(), "a key that does not fit is taken")?;
    let misfit = Scan { equal: &[Cell::Integer(1)], ..everything() };
    ensure(snapshot.scan(&THINGS, &misfit).is_err(), "a scan that does not fit is taken")
}

/// Puts, gets, deletes and scans at random, over several commits: each answer is the model's.
pub(super) fn against_the_model(harness: &dyn ViewsHarness) -> Result<(), Broken> {
    let views = harness.open()?;
    views.open(&definition(1, 0))?;
    let mut model = MemoryRows::new();
    for round in 0..ROUNDS {
        let mut draws = Draws(round);
        let mut gets_agree = true;
        views.commit(&key(1, 0), at(round), at(round + 1), &mut |rows| {
            for _ in 0..12 {
                gets_agree &= change(&mut draws, rows, &mut model)?;
            }
            Ok(())
        })?;
        ensure(gets_agree, &format!("round {round}: a change reads other rows than the model's"))?;
        let snapshot = serving(views.as_ref())?;
        for _ in 0..SCANS {
            scan(&mut draws, snapshot.as_ref(), &model)?;
        }
    }
    Ok(())
}

/// One change of both; whether what is read on the way is the same.
fn change(draws: &mut Draws, rows: &mut dyn Rows, model: &mut MemoryRows) -> Result<bool, RowsError> {
    let tables: [&'static Table; 4] = [&KEYS, &THINGS, &VISITS, &VISITS];
    let table = draws.pick(&tables).copied().unwrap_or(&THINGS);
    // Few rows and many: some stores let few of them wait for others.
    let most = if draws.below(2) == 0 { 3 } else { 20 };
    let count = 1 + draws.below(most);
    let keys: Vec<Row> = (0..count).map(|_| draws.key(table)).collect();
    match draws.below(4) {
        0 => {
            rows.delete(table, &keys)?;
            model.delete(table, &keys)?;
        }
        1 => {
            // As projections do: what is read is changed in some columns and put back.
            let read = rows.get(table, &keys)?;
            let agree = read == model.get(table, &keys)?;
            let changed: Vec<Row> = read
                .into_iter()
                .zip(&keys)
                .map(|(found, key)| {
                    let fresh = draws.row(table);
                    let keep = draws.below(2) == 0;
                    let mut row = found.filter(|_| keep).unwrap_or_else(|| {
                        key.iter().cloned().chain(fresh.iter().skip(table.key).cloned()).collect()
                    });
                    if let (Some(last), Some(fresh)) = (row.get_mut(4), fresh.get(4)) {
                        *last = fresh.clone();
                    }
                    row
                })
                .collect();
            rows.put(table, changed.clone())?;
            model.put(table, changed)?;
            return Ok(agree);
        }
        _ => {
            let fresh: Vec<Row> = (0..count).map(|_| draws.row(table)).collect();
            rows.put(table, fresh.clone())?;
            model.put(table, fresh)?;
        }
    }
    Ok(rows.get(table, &keys)? == model.get(table, &keys)?
        && rows.scan(table, &everything())? == model.scan(table, &everything())?)
}

/// A scan with bounds, a page's beginning and an order at random.
fn scan(draws: &mut Draws, store: &dyn Reads, model: &MemoryRows) -> Result<(), Broken> {
    let things = draws.below(2) == 0;
    let table: &'static Table = if things { &THINGS } else { &VISITS };
    let of_things = [&BY_COLOUR, &BY_SIZE, &BY_SIZE_ALONE, &BY_NUMBER];
    let indexes: &[&Index] = if things { &of_things } else { &[&BY_MINUTE] };
    let index = if draws.below(3) == 0 { None } else { draws.pick(indexes).copied() };
    let columns: Vec<usize> =
        index.map_or(&[][..], |index| index.columns).iter().copied().chain(0..table.key).collect();
    let column = |at: usize| columns.get(at).and_then(|at| table.columns.get(*at));
    let equals = usize::try_from(draws.below(columns.len() as u64 + 1)).unwrap_or(0);
    let equals = if draws.below(2) == 0 { 0 } else { equals };
    let equal: Vec<Cell> =
        (0..equals).filter_map(column).map(|column| draws.cell(column.kind, column.nullable)).collect();
    let bound = |draws: &mut Draws| {
        let column = column(equals).filter(|_| draws.below(3) == 0)?;
        Some(draws.cell(column.kind, false))
    };
    let (from, to) = (bound(draws), bound(draws));
    let found = model.scan(table, &everything())?;
    let row = if draws.below(3) == 0 { Some(draws.row(table)) } else { draws.pick(&found).cloned() };
    let after = row.filter(|_| draws.below(2) == 0).map(|row| place_of(table, index, &row));
    let scan = Scan {
        index,
        equal: &equal,
        from,
        to,
        after: after.as_deref(),
        descending: draws.below(2) == 0,
        limit: usize::try_from(draws.below(8)).unwrap_or(0).max(if draws.below(2) == 0 { 0 } else { 1_000 }),
    };
    let (got, expected) = (store.scan(table, &scan)?, model.scan(table, &scan)?);
    ensure(got == expected, &format!("{scan:?} gives {} rows, the model {}", got.len(), expected.len()))
}
