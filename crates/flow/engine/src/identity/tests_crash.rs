//! Every change of the disk in turn fails, or is the last before a crash; the index must answer as the log does.

use waag_model::time::UtcNanos;

use super::tests::{check, open, replay, small};
use super::tests_support::{After, Effect, MemFiles, random_tag};
use super::*;

const TABLE: usize = 8;
const ENTRIES: u64 = 8 * 22;

fn log() -> Vec<(Tag, UtcNanos)> {
    (0..ENTRIES).map(|n| (random_tag(n), UtcNanos(i64::try_from(n).unwrap()))).collect()
}

/// Fills the index with the log, working whenever a table is full; ends early where the disk fails.
fn fill(index: &mut IdentityIndex, log: &[(Tag, UtcNanos)]) -> Result<(), IdentityError> {
    for (at, (tag, time)) in log.iter().enumerate() {
        if index.room() <= TABLE {
            index.maintain()?;
        }
        index.insert(*tag, Position(at as u64), *time)?;
    }
    index.maintain()
}

/// A window and a bound that make the workload forget, and the limits without either.
fn settings() -> [IdentityLimits; 2] {
    [small(TABLE, 1 << 20, i64::MAX), small(TABLE, 120, 90)]
}

#[test]
fn a_crash_at_any_change_loses_no_identity() {
    let log = log();
    for limits in settings() {
        let quiet = MemFiles::default();
        fill(&mut open(&quiet, &log, &limits).index, &log).unwrap();
        let changes = quiet.changes();
        assert!(changes > 150, "{changes}");
        let (mut kept, mut rebuilt) = (0, 0);
        for at in 0..changes {
            for effect in [Effect::Nothing, Effect::Half, Effect::All] {
                let files = MemFiles::default();
                files.fail(at, effect, After::Dead);
                let filled = fill(&mut open(&files, &log, &limits).index, &log);
                // A removal may fail unnoticed, but then the next change does not.
                assert!(files.changes() == at + 1 && (filled.is_err() || at + 8 > changes), "change {at}");
                for keep_unsynced in [false, true] {
                    let disk = files.after_crash(keep_unsynced);
                    let Opened { mut index, empty } = open(&disk, &log, &limits);
                    match empty {
                        None => kept += 1,
                        Some(Empty::Missing) => rebuilt += 1,
                        other => panic!("change {at}, {effect:?}: {other:?}"),
                    }
                    replay(&mut index, &log).unwrap();
                    check(&index, &log);
                    index.maintain().unwrap();
                    check(&index, &log);
                }
            }
        }
        assert!(kept > 10 * rebuilt, "most crashes find an index: {kept} did, {rebuilt} did not");
    }
}

#[test]
fn a_disk_that_fails_once_costs_nothing_but_a_second_try() {
    let log = log();
    for limits in settings() {
        let quiet = MemFiles::default();
        fill(&mut open(&quiet, &log, &limits).index, &log).unwrap();
        for at in 0..quiet.changes() {
            for effect in [Effect::Nothing, Effect::Half, Effect::All] {
                let files = MemFiles::default();
                files.fail(at, effect, After::Well);
                let mut index = open(&files, &log, &limits).index;
                for (position, (tag, time)) in log.iter().enumerate() {
                    if index.room() <= TABLE && index.maintain().is_err() {
                        index.maintain().unwrap();
                    }
                    index.insert(*tag, Position(position as u64), *time).unwrap();
                }
                if index.maintain().is_err() {
                    index.maintain().unwrap();
                }
                check(&index, &log);
                let Opened { index: mut again, empty } = open(&files.after_crash(false), &log, &limits);
                assert!(empty.is_none(), "change {at}, {effect:?}: {empty:?}");
                replay(&mut again, &log).unwrap();
                check(&again, &log);
            }
        }
    }
}
