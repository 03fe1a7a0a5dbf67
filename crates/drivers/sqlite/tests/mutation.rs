//! Any flipped byte of a state's file is found, or refused at opening, or changes no record.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::os::unix::fs::FileExt;
use std::path::Path;

use waag_keys::state::{Change, Expect, Extent, Head, Record, State, StateError, Table};
use waag_sqlite::state::SqliteState;

type Contents = (Head, Vec<(Table, Record)>);

fn contents(state: &dyn State) -> Result<Contents, StateError> {
    let head = state.check(Extent::Head)?.head;
    let mut found = Vec::new();
    for table in Table::ALL {
        found.extend(state.scan(table, None, usize::MAX)?.into_iter().map(|record| (table, record)));
    }
    Ok((head, found))
}

fn small_state(folder: &Path) -> Contents {
    let state = SqliteState::create(folder).unwrap();
    let large = vec![0xd1; 5_000];
    let put =
        |table, key: &'static [u8], value| Change { table, key, expect: Expect::Any, value: Some(value) };
    state.commit(&[put(Table::DataKey, b"gone", b"soon gone"), put(Table::Cursor, b"gone", b"x")]).unwrap();
    state
        .commit(&[
            put(Table::Tenant, b"tenant", b"the tenant's record"),
            put(Table::DataKey, b"key one", b"a wrapped key"),
            put(Table::DataKey, b"key two", b"another wrapped key"),
            put(Table::Person, b"person", b"an index"),
            put(Table::Cursor, b"cursor", &large),
        ])
        .unwrap();
    let remove = |table| Change { table, key: b"gone", expect: Expect::Any, value: None };
    state.commit(&[remove(Table::DataKey), remove(Table::Cursor)]).unwrap();
    state.forget().unwrap();
    let contents = contents(&state).unwrap();
    drop(state);
    assert!(!folder.join("state.db-wal").exists());
    contents
}

#[derive(Debug, Default)]
struct Outcomes {
    refused: usize,
    found: usize,
    unchanged: usize,
}

fn flip_every(pattern: impl Fn(usize) -> u8) -> Outcomes {
    let folder = tempfile::tempdir().unwrap();
    let before = small_state(folder.path());
    let path = folder.path().join("state.db");
    let bytes = std::fs::read(&path).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let mut outcomes = Outcomes::default();
    for (at, byte) in bytes.iter().enumerate() {
        file.write_all_at(&[byte ^ pattern(at)], at as u64).unwrap();
        match SqliteState::open_read_only(folder.path()) {
            Err(_) => outcomes.refused += 1,
            Ok(state) => match state.check(Extent::All) {
                Err(_) => outcomes.found += 1,
                Ok(check) if !check.is_clean() => outcomes.found += 1,
                Ok(_) => {
                    assert_eq!(contents(&state).unwrap(), before, "byte {at} changed records unseen");
                    outcomes.unchanged += 1;
                }
            },
        }
        file.write_all_at(&[*byte], at as u64).unwrap();
    }
    // Undone, the state is whole: the flips above, not the test, made the faults.
    let state = SqliteState::open(folder.path()).unwrap();
    assert!(state.check(Extent::All).unwrap().is_clean());
    assert_eq!(contents(&state).unwrap(), before);
    outcomes
}

fn every_flip_is_accounted_for(outcomes: &Outcomes) {
    // The records alone are more than 5,200 bytes, checksums included; the tables' text is more than 300.
    assert!(outcomes.found > 5_200 && outcomes.refused > 300 && outcomes.unchanged > 0, "{outcomes:?}");
}

#[test]
fn one_flipped_bit_in_any_byte() {
    every_flip_is_accounted_for(&flip_every(|at| 1 << (at % 8)));
}

#[test]
fn any_byte_inverted() {
    every_flip_is_accounted_for(&flip_every(|_| 0xff));
}
