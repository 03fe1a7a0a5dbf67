//! What every state keeps (`STATE-1` to `STATE-4`; what poisons a handle, `STATE-5`, is each driver's fault table).

use std::sync::Arc;

use super::{Violation, ensure};
use crate::state::{
    COMMIT_CHANGES_MAX, Change, Check, Expect, Extent, Generation, Place, RECORD_KEY_BYTES_MAX,
    RECORD_VALUE_BYTES_MAX, SCAN_RECORDS_MAX, State, StateError, Sum, Table,
};

/// A change of the stored bytes behind the driver's back.
#[derive(Clone, Copy, Debug)]
pub enum Damage<'a> {
    /// Another value, the record's checksum left as it was.
    Value(&'a [u8]),
    /// Another value, with its right checksum: only the digest can tell.
    ValueAndSum(&'a [u8]),
    /// The record taken away.
    Remove,
    /// A record added, with its right checksum.
    Add(&'a [u8]),
    /// The head's generation set back by one.
    Generation,
}

/// How the suite gets at a driver.
pub trait StateHarness {
    /// Opens the same store; the handle before was dropped.
    ///
    /// # Errors
    /// The driver's.
    fn open(&self) -> Result<Arc<dyn State>, StateError>;
    /// Empties the store, which nobody has open.
    ///
    /// # Errors
    /// The driver's.
    fn reset(&self) -> Result<(), StateError>;
    /// Damages the record at a place of the store, which nobody has open.
    ///
    /// # Errors
    /// The driver's.
    fn damage(&self, table: Table, key: &[u8], damage: Damage<'_>) -> Result<(), StateError>;
}

/// Runs the suite.
///
/// # Errors
/// [`Violation`]: the first thing that does not hold.
pub fn state(harness: &dyn StateHarness) -> Result<(), Violation> {
    for case in [commits_and_reopens, expectations, limits, scans, damages] {
        harness.reset()?;
        case(harness)?;
    }
    Ok(())
}

fn put<'a>(table: Table, key: &'a [u8], value: &'a [u8]) -> Change<'a> {
    Change { table, key, expect: Expect::Any, value: Some(value) }
}

fn remove(table: Table, key: &[u8]) -> Change<'_> {
    Change { table, key, expect: Expect::Any, value: None }
}

fn clean(state: &dyn State, generation: u64, count: u64) -> Result<Check, Violation> {
    let check = state.check(Extent::All)?;
    if let Some(fault) = check.faults.first() {
        return Err(Violation(format!("a fault in a sound state: {fault}")));
    }
    ensure(check.is_clean(), "a sound state is not clean")?;
    ensure(
        check.head.generation == Generation(generation),
        "the generation is not the number of commits (STATE-3)",
    )?;
    ensure(check.head.count == count && check.records == count, "the count is not the number of records")?;
    ensure(state.check(Extent::Head)?.head == check.head, "the two checks see two heads")?;
    Ok(check)
}

fn value_at(state: &dyn State, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Violation> {
    Ok(state.get(table, key)?.map(|record| record.value))
}

fn commits_and_reopens(harness: &dyn StateHarness) -> Result<(), Violation> {
    let state = harness.open()?;
    clean(state.as_ref(), 0, 0)?;
    let first = state.commit(&[
        put(Table::DataKey, b"a", b"one"),
        put(Table::DataKey, b"b", b""),
        put(Table::Cursor, b"a", b"two"),
    ])?;
    ensure(first == Generation(1), "the first commit is not generation 1 (STATE-3)")?;
    ensure(value_at(state.as_ref(), Table::DataKey, b"a")?.as_deref() == Some(b"one"), "a value is lost")?;
    ensure(
        value_at(state.as_ref(), Table::DataKey, b"b")?.as_deref() == Some(b""),
        "an empty value is lost",
    )?;
    ensure(
        value_at(state.as_ref(), Table::Cursor, b"a")?.as_deref() == Some(b"two"),
        "tables are not apart",
    )?;
    ensure(value_at(state.as_ref(), Table::Cursor, b"b")?.is_none(), "a record from nowhere")?;
    let record = state.get(Table::DataKey, b"a")?;
    let sum = Sum::of(Table::DataKey.code(), b"a", b"one");
    ensure(record.is_some_and(|record| record.sum == sum), "the checksum is another (STATE-4)")?;
    let before = clean(state.as_ref(), 1, 3)?;
    drop(state);
    let state = harness.open()?;
    let after = clean(state.as_ref(), 1, 3)?;
    ensure(before == after, "reopening changes the state (STATE-1)")?;
    state.commit(&[
        put(Table::DataKey, b"a", b"a longer value than before"),
        remove(Table::DataKey, b"b"),
        remove(Table::Lease, b"never there"),
    ])?;
    state.commit(&[])?;
    ensure(value_at(state.as_ref(), Table::DataKey, b"b")?.is_none(), "a removed record is there")?;
    clean(state.as_ref(), 3, 2)?;
    state.commit(&[put(Table::DataKey, b"a", b"one"), put(Table::DataKey, b"b", b"")])?;
    let back = clean(state.as_ref(), 4, 3)?;
    ensure(back.head.digest == before.head.digest, "the digest depends on history (STATE-4)")?;
    state.forget()?;
    state.forget()?;
    drop(state);
    clean(harness.open()?.as_ref(), 4, 3)?;
    Ok(())
}

fn expectations(harness: &dyn StateHarness) -> Result<(), Violation> {
    let state = harness.open()?;
    let change = |key, expect, value| Change { table: Table::Lease, key, expect, value };
    let one = Sum::of(Table::Lease.code(), b"k", b"one");
    let two = Sum::of(Table::Lease.code(), b"k", b"two");
    let fails = [
        (change(b"k", Expect::Equals(one), Some(b"x")), "a record expected and absent"),
        (change(b"k", Expect::Equals(one), None), "a removal expected and absent"),
    ];
    for (change, what) in &fails {
        let answer = state.commit(&[put(Table::Cursor, b"other", b"x"), *change]);
        ensure(matches!(answer, Err(StateError::Conflict(Place::Record { .. }))), what)?;
        ensure(
            value_at(state.as_ref(), Table::Cursor, b"other")?.is_none(),
            "half of a commit stays (STATE-2)",
        )?;
    }
    clean(state.as_ref(), 0, 0)?;
    state.commit(&[change(b"k", Expect::Absent, Some(b"one"))])?;
    for (expect, value) in
        [(Expect::Absent, Some(&b"x"[..])), (Expect::Equals(two), Some(b"x")), (Expect::Absent, None)]
    {
        // The failing change comes last, so that a driver that writes as it goes is found out.
        let answer = state.commit(&[put(Table::Cursor, b"other", b"x"), change(b"k", expect, value)]);
        ensure(
            matches!(answer, Err(StateError::Conflict(_))),
            "an expectation that does not hold goes through",
        )?;
    }
    ensure(
        value_at(state.as_ref(), Table::Lease, b"k")?.as_deref() == Some(b"one"),
        "a refused commit wrote",
    )?;
    clean(state.as_ref(), 1, 1)?;
    let done = state
        .commit(&[change(b"k", Expect::Equals(one), Some(b"two")), put(Table::Cursor, b"other", b"y")])?;
    ensure(done == Generation(2), "a conflict counts as a commit, or poisons (STATE-3)")?;
    state.commit(&[change(b"k", Expect::Equals(two), None)])?;
    clean(state.as_ref(), 3, 1)?;
    Ok(())
}

fn limits(harness: &dyn StateHarness) -> Result<(), Violation> {
    let state = harness.open()?;
    let (key, value) = (vec![b'k'; RECORD_KEY_BYTES_MAX], vec![b'v'; RECORD_VALUE_BYTES_MAX]);
    state.commit(&[put(Table::Meta, &key, &value)])?;
    ensure(
        value_at(state.as_ref(), Table::Meta, &key)?.as_deref() == Some(&value),
        "the largest record is lost",
    )?;
    let (long_key, long_value) =
        (vec![b'k'; RECORD_KEY_BYTES_MAX + 1], vec![b'v'; RECORD_VALUE_BYTES_MAX + 1]);
    let refused = |changes: &[Change<'_>]| matches!(state.commit(changes), Err(StateError::Limit(_)));
    ensure(refused(&[put(Table::Meta, &long_key, b"v")]), "a key over the limit is taken")?;
    ensure(refused(&[put(Table::Meta, b"", b"v")]), "an empty key is taken")?;
    ensure(refused(&[put(Table::Meta, b"k", &long_value)]), "a value over the limit is taken")?;
    ensure(refused(&[put(Table::Meta, b"k", b"v"), remove(Table::Meta, b"k")]), "one place is taken twice")?;
    ensure(state.get(Table::Meta, &long_key).is_err(), "a key over the limit is read")?;
    let keys: Vec<[u8; 4]> =
        (0..=COMMIT_CHANGES_MAX).map(|n| u32::try_from(n).unwrap_or(0).to_be_bytes()).collect();
    let many: Vec<Change<'_>> = keys.iter().map(|key| put(Table::Cursor, key, b"")).collect();
    ensure(refused(&many), "a commit with more changes than the limit is taken")?;
    let full = many.get(..COMMIT_CHANGES_MAX).unwrap_or_default();
    state.commit(full)?;
    clean(state.as_ref(), 2, 1 + COMMIT_CHANGES_MAX as u64)?;
    Ok(())
}

fn scans(harness: &dyn StateHarness) -> Result<(), Violation> {
    let state = harness.open()?;
    let count = SCAN_RECORDS_MAX + 10;
    let keys: Vec<[u8; 2]> = (0..count).map(|n| u16::try_from(n).unwrap_or(0).to_be_bytes()).collect();
    let changes: Vec<Change<'_>> = keys.iter().rev().map(|key| put(Table::Person, key, key)).collect();
    state.commit(&changes)?;
    state.commit(&[put(Table::DataKey, &[0xff; 4], b"before"), put(Table::Common, &[0], b"after")])?;
    let first = state.scan(Table::Person, None, usize::MAX)?;
    ensure(first.len() == SCAN_RECORDS_MAX, "a scan returns more or fewer records than its limit")?;
    let mut found = first;
    while let Some(last) = found.last().map(|record| record.key.clone()) {
        let next = state.scan(Table::Person, Some(&last), 3)?;
        ensure(next.len() <= 3, "a scan returns more than it was asked for")?;
        if next.is_empty() {
            break;
        }
        found.extend(next);
    }
    let is_all = found.len() == count && found.iter().zip(&keys).all(|(record, key)| record.key == key);
    ensure(is_all, "a scan is out of order, or leaves records out, or leaves its table")?;
    ensure(state.scan(Table::Person, None, 0)?.is_empty(), "a scan of nothing returns something")?;
    ensure(state.scan(Table::Meta, None, 10)?.is_empty(), "an empty table has records")?;
    // Keys of which one begins the other.
    state.commit(&[
        put(Table::Cursor, b"a", b""),
        put(Table::Cursor, b"ab", b""),
        put(Table::Cursor, b"b", b""),
    ])?;
    let after: Vec<Vec<u8>> = state.scan(Table::Cursor, Some(b"a"), 9)?.into_iter().map(|r| r.key).collect();
    ensure(after == [b"ab".to_vec(), b"b".to_vec()], "a scan does not begin after its key")?;
    Ok(())
}

fn damages(harness: &dyn StateHarness) -> Result<(), Violation> {
    let cases = [
        Damage::Value(b"twn"),
        Damage::ValueAndSum(b"twn"),
        Damage::Remove,
        Damage::Add(b"x"),
        Damage::Generation,
    ];
    for damage in cases {
        harness.reset()?;
        let state = harness.open()?;
        state.commit(&[put(Table::DataKey, b"a", b"one"), put(Table::DataKey, b"b", b"two")])?;
        drop(state);
        let key: &[u8] = if matches!(damage, Damage::Add(_)) { b"c" } else { b"b" };
        harness.damage(Table::DataKey, key, damage)?;
        let state = match harness.open() {
            Ok(state) => state,
            // Refusing to open is detecting.
            Err(_) => continue,
        };
        let check = state.check(Extent::All)?;
        ensure(!check.is_clean(), &format!("not found by the check: {damage:?} (STATE-4)"))?;
        if matches!(damage, Damage::Value(_)) {
            let place = Place::Record { table: Table::DataKey.code(), key: b"b".to_vec() };
            ensure(check.faults.iter().any(|fault| fault.place == place), "the fault names no record")?;
            let read = state.get(Table::DataKey, b"b");
            ensure(matches!(read, Err(StateError::Damaged(_))), "a changed value is read (STATE-4)")?;
            ensure(state.scan(Table::DataKey, None, 9).is_err(), "a changed value is scanned (STATE-4)")?;
            ensure(value_at(state.as_ref(), Table::DataKey, b"a")?.is_some(), "a sound record is refused")?;
        }
    }
    harness.reset()?;
    Ok(())
}
