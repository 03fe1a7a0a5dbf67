//! SQLite keeps the contract of the state, and what is beside it: modes, locks, readers, forgetting.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use waag_keys::conformance::{Damage, StateHarness};
use waag_keys::state::{Change, Expect, Extent, State, StateError, Sum, Table};
use waag_sqlite::state::SqliteState;

struct Harness {
    folder: tempfile::TempDir,
}

impl Harness {
    fn at(&self) -> PathBuf {
        self.folder.path().join("state")
    }
}

fn sql(path: &Path, text: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(text).unwrap();
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl StateHarness for Harness {
    fn open(&self) -> Result<Arc<dyn State>, StateError> {
        Ok(Arc::new(SqliteState::create(&self.at())?))
    }

    fn reset(&self) -> Result<(), StateError> {
        match std::fs::remove_dir_all(self.at()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StateError::Environment("reset", error.to_string()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn damage(&self, table: Table, key: &[u8], damage: Damage<'_>) -> Result<(), StateError> {
        let (code, place) = (table.code(), format!("tbl = {} AND key = x'{}'", table.code(), hex(key)));
        let sum = |value: &[u8]| hex(&Sum::of(code, key, value).0);
        let set_value = |value: &[u8]| {
            format!(
                "UPDATE slot SET value = x'01{}' WHERE id = (SELECT slot FROM record WHERE {place});",
                hex(value)
            )
        };
        let text = match damage {
            Damage::Value(value) => set_value(value),
            Damage::ValueAndSum(value) => {
                set_value(value) + &format!("UPDATE record SET sum = x'{}' WHERE {place}", sum(value))
            }
            Damage::Remove => format!("DELETE FROM record WHERE {place}"),
            Damage::Add(value) => format!(
                "INSERT INTO slot(value) VALUES (x'01{}'); \
                 INSERT INTO record(tbl, key, slot, sum) VALUES ({code}, x'{}', last_insert_rowid(), x'{}')",
                hex(value),
                hex(key),
                sum(value)
            ),
            Damage::Generation => "UPDATE head SET generation = generation - 1".to_owned(),
        };
        sql(&self.at().join("state.db"), &text);
        Ok(())
    }
}

#[test]
fn keeps_the_contract() {
    let harness = Harness { folder: tempfile::tempdir().unwrap() };
    waag_keys::conformance::state(&harness).unwrap();
}

fn put<'a>(table: Table, key: &'a [u8], value: &'a [u8]) -> Change<'a> {
    Change { table, key, expect: Expect::Any, value: Some(value) }
}

#[test]
fn files_are_the_owners_alone_and_one_process_writes() {
    let harness = Harness { folder: tempfile::tempdir().unwrap() };
    let state = SqliteState::create(&harness.at()).unwrap();
    state.commit(&[put(Table::Meta, b"k", b"v")]).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&harness.at()), 0o700);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(harness.at()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(names, ["lock", "state.db", "state.db-shm", "state.db-wal"]);
    assert_eq!(SqliteState::open(&harness.at()).unwrap_err(), StateError::InUse);
    let beside = SqliteState::open_read_only(&harness.at()).unwrap();
    assert!(beside.get(Table::Meta, b"k").unwrap().is_some());
    state.commit(&[put(Table::Meta, b"l", b"v")]).unwrap();
    assert!(beside.get(Table::Meta, b"l").unwrap().is_some());
    assert!(beside.check(Extent::All).unwrap().is_clean());
    assert_eq!(beside.commit(&[]), Err(StateError::ReadOnly));
    drop(state);
    assert!(beside.get(Table::Meta, b"l").unwrap().is_some());
    drop(beside);
    let alone = SqliteState::open_read_only(&harness.at()).unwrap();
    assert_eq!(alone.check(Extent::All).unwrap().records, 2);
}

#[test]
fn folding_the_log_beside_commits_loses_nothing() {
    let harness = Harness { folder: tempfile::tempdir().unwrap() };
    let state = SqliteState::create(&harness.at()).unwrap();
    let before = std::fs::metadata(harness.at().join("state.db")).unwrap().len();
    std::thread::scope(|scope| {
        let commits = scope.spawn(|| {
            for n in 0..500_u32 {
                state.commit(&[put(Table::DataKey, &n.to_be_bytes(), &[7; 300])]).unwrap();
            }
        });
        while !commits.is_finished() {
            state.fold_log().unwrap();
        }
    });
    state.fold_log().unwrap();
    let after = std::fs::metadata(harness.at().join("state.db")).unwrap().len();
    assert!(after > before + 500 * 300, "the log was folded: {before} bytes before, {after} after");
    let check = state.check(Extent::All).unwrap();
    assert!(check.is_clean() && check.records == 500, "{:?}", check.faults);
    let beside = SqliteState::open_read_only(&harness.at()).unwrap();
    assert_eq!(beside.fold_log(), Err(StateError::ReadOnly));
}

#[test]
fn a_reader_that_holds_old_bytes_is_told_and_forgetting_goes_on_after_it() {
    let harness = Harness { folder: tempfile::tempdir().unwrap() };
    let state = SqliteState::create(&harness.at()).unwrap();
    state.commit(&[put(Table::DataKey, b"k", &[0xa5; 64])]).unwrap();
    let reader = rusqlite::Connection::open(harness.at().join("state.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM record;").unwrap();
    let _: i64 = reader.query_row("SELECT count(*) FROM record", (), |row| row.get(0)).unwrap();
    state.commit(&[Change { table: Table::DataKey, key: b"k", expect: Expect::Any, value: None }]).unwrap();
    assert_eq!(state.forget(), Err(StateError::Held));
    reader.execute_batch("COMMIT").unwrap();
    state.forget().unwrap();
    assert!(!in_any_file(&harness.at(), &[&[0xa5; 64]]));
}

/// Whether any of these stands in any file of the folder.
fn in_any_file(folder: &Path, needles: &[&[u8]]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        needles.iter().any(|needle| bytes.windows(needle.len()).any(|part| part == *needle))
    })
}

/// 3,000 values of several lengths in random order of keys, so that pages split; every second is destroyed, some are
/// replaced by another length. Without slots this finds copies that SQLite's `secure_delete` left (see `schema`).
#[test]
fn no_file_holds_a_byte_of_a_value_that_was_destroyed() {
    let harness = Harness { folder: tempfile::tempdir().unwrap() };
    let state = SqliteState::create(&harness.at()).unwrap();
    let record = |n: u64| {
        let key = Sum::of(0, &n.to_be_bytes(), b"key").0;
        let marks: Vec<u8> =
            (0..3 + n % 4).flat_map(|part| Sum::of(1, &n.to_be_bytes(), &part.to_be_bytes()).0).collect();
        (key, marks)
    };
    let count = 3_000_u64;
    for first in (0..count).step_by(10) {
        let records: Vec<_> = (first..first + 10).map(record).collect();
        let changes: Vec<_> = records.iter().map(|(key, value)| put(Table::DataKey, key, value)).collect();
        state.commit(&changes).unwrap();
    }
    let mut gone = std::collections::BTreeSet::new();
    for n in 0..count {
        let (key, value) = record(n);
        let longer = [&value[..32], b"more"].concat();
        let change = match n % 4 {
            0 | 1 => Change { table: Table::DataKey, key: &key, expect: Expect::Any, value: None },
            2 => put(Table::DataKey, &key, &longer),
            _ => continue,
        };
        state.commit(&[change]).unwrap();
        let parts = if n % 4 == 2 { &value[32..] } else { &value[..] };
        gone.extend(parts.chunks(32).map(<[u8]>::to_vec));
    }
    state.forget().unwrap();
    let check = state.check(Extent::All).unwrap();
    assert!(check.is_clean(), "{:?}", check.faults);
    for entry in std::fs::read_dir(harness.at()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let left = bytes.windows(32).filter(|part| gone.contains(*part)).count();
        assert_eq!(left, 0, "{}", path.display());
    }
    // The test can see: what was kept is found.
    assert!(in_any_file(&harness.at(), &[&record(3).1[..32]]));
}
