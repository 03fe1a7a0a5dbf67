//! What SQLite passes over in its write-ahead log is told, and told apart from what a crash leaves.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::path::Path;

use waag_keys::state::{Change, Expect, Extent, State, Table};
use waag_sqlite::state::{STATE_FILE, SqliteState};
use waag_sqlite::wal::{Unread, WAL_FILE, unread};

const HEADER_BYTES: usize = 32;
const FRAME_BYTES: usize = 24 + 4_096;

/// Three commits that stand in the log only, as a kill leaves them: the state's file, the log, and where each ends.
fn killed() -> (Vec<u8>, Vec<u8>, Vec<usize>) {
    let folder = tempfile::tempdir().unwrap();
    let state = SqliteState::create(folder.path()).unwrap();
    let log = folder.path().join(WAL_FILE);
    let mut ends = Vec::new();
    for key in [b"a", b"b", b"c"] {
        state
            .commit(&[Change { table: Table::Cursor, key, expect: Expect::Absent, value: Some(&[7; 9]) }])
            .unwrap();
        ends.push(std::fs::read(&log).unwrap().len());
    }
    (std::fs::read(folder.path().join(STATE_FILE)).unwrap(), std::fs::read(log).unwrap(), ends)
}

fn found(folder: &Path, log: &[u8]) -> Option<Unread> {
    std::fs::write(folder.join(WAL_FILE), log).unwrap();
    unread(folder).unwrap()
}

#[test]
fn every_byte_of_a_log_flipped_is_found_at_its_frame_and_only_an_end_can_be_a_crash() {
    let (_, log, ends) = killed();
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(unread(folder.path()).unwrap(), None, "no log at all");
    assert_eq!(found(folder.path(), &log), None);
    let mut changed = log.clone();
    // Every byte of the headers, one in 31 of the pages.
    let in_frame = |at: usize| at.checked_sub(HEADER_BYTES).map(|at| at % FRAME_BYTES);
    for at in (0..log.len()).filter(|at| in_frame(*at).is_none_or(|place| place < 24 || place % 31 == 0)) {
        changed[at] ^= 1 << (at % 8);
        let unread = found(folder.path(), &changed).unwrap();
        let frame = in_frame(at).map_or(0, |place| at - place);
        assert_eq!(unread.offset, frame as u64, "byte {at}");
        // Of the last commit nobody can say that it was ever finished; but a frame that a changed byte makes its second
        // end is no crash's.
        let may_end = in_frame(at).is_some_and(|place| (4..8).contains(&place));
        assert!(unread.is_damage || at >= ends[1], "byte {at}");
        assert!(!unread.is_damage || at < ends[1] || may_end, "byte {at}");
        changed[at] = log[at];
    }
}

#[test]
fn a_cut_log_is_told_unless_it_is_cut_between_commits() {
    let (_, log, ends) = killed();
    let folder = tempfile::tempdir().unwrap();
    for len in
        (0..log.len()).step_by(97).chain([HEADER_BYTES, HEADER_BYTES + FRAME_BYTES]).chain(ends.clone())
    {
        let between = len == 0 || len == HEADER_BYTES || ends.contains(&len);
        let unread = found(folder.path(), &log[..len]);
        assert_eq!(unread.is_none(), between, "{len}: {unread:?}");
        assert!(!unread.is_some_and(|unread| unread.is_damage), "a crash can cut");
    }
}

#[test]
fn what_is_found_is_what_sqlite_passes_over() {
    let (state, log, ends) = killed();
    for (commits, end) in ends.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(STATE_FILE), &state).unwrap();
        let mut changed = log.clone();
        changed[end - 1] ^= 1;
        assert!(found(folder.path(), &changed).is_some());
        let opened = SqliteState::open_read_only(folder.path());
        let shown = opened.map(|state| state.check(Extent::Head).unwrap().head.generation.0);
        assert_eq!(shown.unwrap_or_default(), commits as u64);
    }
}

#[test]
fn frames_of_an_earlier_round_of_the_log_are_nobodys_matter() {
    let folder = tempfile::tempdir().unwrap();
    let state = SqliteState::create(folder.path()).unwrap();
    let put = |key: u64, bytes: usize| {
        let (key, value) = (key.to_be_bytes(), vec![7; bytes]);
        let change = Change { table: Table::Cursor, key: &key, expect: Expect::Absent, value: Some(&value) };
        state.commit(&[change]).unwrap();
    };
    put(0, 3_000);
    put(1, 3_000);
    let before = std::fs::read(folder.path().join(WAL_FILE)).unwrap();
    state.fold_log().unwrap();
    put(2, 9);
    let after = std::fs::read(folder.path().join(WAL_FILE)).unwrap();
    assert_ne!(before[16..24], after[16..24], "the log was begun anew");
    assert_eq!(before.len(), after.len(), "and old frames stand behind the new ones");
    assert_eq!(unread(folder.path()).unwrap(), None);
}
