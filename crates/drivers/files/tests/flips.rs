//! A flipped bit in any class of byte of log and guard: named with file and offset, or told as residue beyond the
//! guard; and opening never changes a byte that is guarded.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use waag_files::guard::{FileGuard, GUARD_FILE, SLOT_BYTES, inspect};
use waag_log::contract::EventLog;
use waag_log::frame::{Frame, HEADER_BYTES};
use waag_log::guard::{Guard, GuardError, GuardFault};
use waag_sim::disk::SimDisk;

mod support;
use support::{SMALL, Store, guard_files, name, reopen, verified};

/// Commits with the space ahead prepared each time, so that segments are zero behind their last frame.
fn prepared_commits(store: &mut Store, n: usize) {
    for _ in 0..n {
        store.log.prepare().unwrap();
        store.commits(1);
    }
}

/// Where a flipped byte lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Guarded {
        frame: usize,
        start: u64,
    },
    Residue {
        start: u64,
    },
    /// In a segment that is followed by another: zero for ever.
    Gap,
    Ahead,
}

/// Every byte class of a log of three segments, its last frame not guarded.
fn classes(store: &Store, unguarded: &Frame) -> Vec<(String, u64, Class)> {
    let mut places = Vec::new();
    let all: Vec<&Frame> = store.acknowledged.iter().chain([unguarded]).collect();
    let (mut segment, mut offset) = (0u64, 0u64);
    for (n, frame) in all.iter().enumerate() {
        let len = frame.bytes().len() as u64;
        if offset + len > SMALL.segment_bytes {
            let end = store.disk.contents(&name(segment)).unwrap().len() as u64;
            places.extend((offset..end).step_by(37).map(|at| (name(segment), at, Class::Gap)));
            (segment, offset) = (frame.header().fields.number.0, 0);
        }
        let class = if n + 1 == all.len() {
            Class::Residue { start: offset }
        } else {
            Class::Guarded { frame: n, start: offset }
        };
        let dense = HEADER_BYTES as u64 + 40;
        let trailer = HEADER_BYTES as u64 + u64::from(frame.header().body_bytes);
        let ats = (0..dense).chain((dense..len).step_by(83)).chain(trailer..(trailer + 6).min(len));
        places.extend(ats.map(|at| (name(segment), offset + at, class)));
        offset += len;
    }
    let end = store.disk.contents(&name(segment)).unwrap().len() as u64;
    places.extend((offset..end).step_by(101).map(|at| (name(segment), at, Class::Ahead)));
    places
}

#[test]
fn a_flipped_bit_in_any_class_of_byte_is_named() {
    let disk = SimDisk::new(0);
    let mut store = Store::create(&disk);
    prepared_commits(&mut store, 11);
    let unguarded = store.next_frame();
    store.append(&unguarded).unwrap();
    store.log.prepare().unwrap();
    let places = classes(&store, &unguarded);
    assert!(disk.paths().len() >= 5, "{:?}", disk.paths());
    assert!(verified(&disk).verified() && verified(&disk).residue_frames == 1);
    let mut seen = [0usize; 4];
    for (n, (path, offset, class)) in places.iter().enumerate() {
        let bit = 1u8 << (n % 8);
        assert!(disk.corrupt(path, *offset, |byte| byte ^ bit));
        let report = verified(&disk);
        let file = path.strip_prefix("data/").unwrap();
        let faults = |list: &[waag_log::verify::LogFault], start: u64| {
            list.iter().any(|fault| fault.file == file && fault.offset == start)
        };
        match class {
            Class::Guarded { frame, start } => {
                seen[0] += 1;
                assert!(!report.verified(), "{path} {offset}");
                assert!(faults(&report.faults, *start), "{path} {offset} {report:?}");
                let first = store.acknowledged[*frame].header().fields.first;
                assert!(report.faults.iter().any(|fault| fault.position == Some(first)), "{report:?}");
            }
            Class::Residue { start } => {
                seen[1] += 1;
                assert!(report.verified(), "{path} {offset} {report:?}");
                assert!(faults(&report.residue, *start), "{path} {offset} {report:?}");
            }
            Class::Gap => {
                seen[2] += 1;
                assert!(!report.verified() && !report.faults.is_empty(), "{path} {offset} {report:?}");
                assert_eq!(report.faults[0].file, file);
            }
            Class::Ahead => {
                seen[3] += 1;
                let near = |fault: &waag_log::verify::LogFault| {
                    fault.file == file && (offset - fault.offset) < HEADER_BYTES as u64
                };
                assert!(report.verified(), "{path} {offset} {report:?}");
                assert!(report.residue.iter().any(near), "{path} {offset} {report:?}");
            }
        }
        assert!(disk.corrupt(path, *offset, |byte| byte ^ bit));
    }
    assert!(seen.iter().all(|n| *n > 30), "{seen:?}");
    assert!(verified(&disk).verified());
}

/// What opening makes of the same flips: under the guard's own segment it refuses, elsewhere it may not notice, but it
/// never changes a byte that is under the guard.
#[test]
fn opening_over_a_flipped_bit_never_changes_what_is_guarded() {
    let disk = SimDisk::new(0);
    let mut store = Store::create(&disk);
    prepared_commits(&mut store, 13);
    let unguarded = store.next_frame();
    store.append(&unguarded).unwrap();
    store.log.prepare().unwrap();
    let places = classes(&store, &unguarded);
    let guarded = store.acknowledged.clone();
    let data = disk.folder("data");
    drop(store);
    disk.kill();
    let clean = data.snapshot();
    let (mut refused, mut opened) = (0, 0);
    for (n, (path, offset, class)) in places.iter().enumerate().step_by(5) {
        data.restore(&clean);
        disk.corrupt(path, *offset, |byte| byte ^ (1 << (n % 8)));
        let before = disk.contents(path).unwrap();
        match reopen(&disk) {
            Ok((log, _, _, recovery, _)) => {
                opened += 1;
                match class {
                    Class::Guarded { frame, .. } => {
                        assert_ne!(*frame + 1, guarded.len(), "the guard's own frame is damaged");
                        assert_eq!(disk.contents(path).unwrap(), before);
                    }
                    Class::Gap => assert_eq!(disk.contents(path).unwrap(), before),
                    Class::Residue { .. } => {
                        assert_eq!(recovery.residue.len(), 0);
                        assert_eq!(log.tail().next.0, 13);
                    }
                    Class::Ahead => assert!(recovery.cut.is_some()),
                }
            }
            Err(_) => {
                refused += 1;
                assert_eq!(disk.contents(path).unwrap(), before);
                assert!(!matches!(class, Class::Residue { .. } | Class::Ahead), "{path} {offset}");
            }
        }
    }
    assert!(refused > 20 && opened > 20, "{refused} {opened}");
}

#[test]
fn every_byte_of_the_guard_is_covered() {
    let disk = SimDisk::new(0);
    let mut store = Store::create(&disk);
    store.commits(3);
    drop(store);
    disk.kill();
    let path = format!("state/{GUARD_FILE}");
    assert!(inspect(&guard_files(&disk)).unwrap().faults.is_empty());
    for offset in 0..2 * SLOT_BYTES as u64 {
        disk.corrupt(&path, offset, |byte| byte ^ 0x10);
        let slot = offset / SLOT_BYTES as u64;
        let found = inspect(&guard_files(&disk)).unwrap();
        let faults: Vec<u64> = found.faults.iter().map(|(at, _)| *at).collect();
        assert_eq!(faults, [slot * SLOT_BYTES as u64], "{offset}");
        // Sequence 3 is in slot 1; without it the guard falls back, and the log is one frame ahead of it.
        assert_eq!(found.record.unwrap().sequence, if slot == 1 { 2 } else { 3 });
        if offset % 1_024 == 7 {
            let (log, guard, record, recovery, inspection) = reopen(&disk).unwrap();
            assert_eq!(inspection.faults.len(), 1);
            assert_eq!(recovery.residue.len(), usize::from(slot == 1));
            assert_eq!(log.tail().next.0, 3);
            // The next swap mends it.
            let mut next = record.clone();
            next.sequence += 1;
            guard.swap(Some(record.sequence), &next).unwrap();
            assert!(inspect(&guard_files(&disk)).unwrap().faults.is_empty() || slot != next.sequence % 2);
            drop((log, guard));
            return_to_three(&disk);
        } else {
            disk.corrupt(&path, offset, |byte| byte ^ 0x10);
        }
    }
    // Longer, shorter, empty, gone.
    let whole = disk.contents(&path).unwrap();
    disk.replace(&path, &[&whole[..], &[0]].concat());
    assert_eq!(inspect(&guard_files(&disk)).unwrap().faults.len(), 1);
    disk.replace(&path, &whole[..SLOT_BYTES + 9]);
    assert_eq!(inspect(&guard_files(&disk)).unwrap().faults, [(SLOT_BYTES as u64, GuardFault::Cut)]);
    disk.replace(&path, &vec![0; 2 * SLOT_BYTES]);
    assert!(matches!(FileGuard::open(&guard_files(&disk)), Err(GuardError::Damaged { .. })));
    disk.vanish(&path);
    assert!(matches!(FileGuard::open(&guard_files(&disk)), Err(GuardError::Failed { .. })));
}

fn return_to_three(disk: &SimDisk) {
    let fresh = SimDisk::new(0);
    let mut store = Store::create(&fresh);
    store.commits(3);
    disk.replace("state/guard", &fresh.contents("state/guard").unwrap());
}
