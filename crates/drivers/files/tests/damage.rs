//! Damage of every kind, in every kind of byte: named with file and offset, or recognised as what a crash leaves;
//! never passed over, and never mended by cutting what was acknowledged.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use waag_files::error::{Damage, OpenError};
use waag_files::guard::{FileGuard, GUARD_FILE, SLOT_BYTES, inspect};
use waag_files::log::FilesLog;
use waag_files::scrub::Scrubber;
use waag_log::contract::{AppendError, EventLog, ReadError};
use waag_log::fault::FrameFault;
use waag_log::frame::{Frame, HEADER_BYTES};
use waag_log::guard::{Guard, GuardError, GuardFault, GuardRecord};
use waag_model::ids::{FrameNumber, Position};
use waag_sim::disk::SimDisk;
use waag_sim::fault::{Fault, Op};
use waag_sim::prng::Prng;
use waag_stdx::files::{Files, Open};

mod support;
use support::{CommitError, LEDGER, SMALL, Store, guard_files, log_files, name, recover, reopen, verified};

const FIRST: &str = "data/log/00000000000000000000.seg";

/// Three acknowledged frames and a fourth of this body, appended and not guarded. Gives the fourth and its offset.
fn with_unguarded(body: &[&[u8]]) -> (SimDisk, Vec<Frame>, Frame, usize) {
    let disk = SimDisk::new(0);
    let mut store = Store::create(&disk);
    store.commits(3);
    let offset = store.acknowledged.iter().map(|frame| frame.bytes().len()).sum();
    let frame = store.chain.next(body).unwrap();
    store.append(&frame).unwrap();
    let acknowledged = store.acknowledged.clone();
    drop(store);
    disk.kill();
    (disk, acknowledged, frame, offset)
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_before_the_next_append() {
    let (disk, acknowledged, frame, offset) = with_unguarded(&[&[0x55; 150], &[0x66; 60]]);
    let whole = disk.contents(FIRST).unwrap();
    let written = HEADER_BYTES + frame.header().body_bytes as usize + 4;
    let offered: Vec<Frame> = acknowledged.iter().cloned().chain([frame.clone()]).collect();
    for kept in 0..=frame.bytes().len() {
        for cut_file in [false, true] {
            let mut torn = whole.clone();
            torn[offset + kept..].fill(0);
            if cut_file {
                torn.truncate(offset + kept);
            }
            disk.replace(FIRST, &torn);
            let (log, guard, _, recovery, _) = reopen(&disk).unwrap();
            let kept_whole = kept >= written && (!cut_file || kept == frame.bytes().len());
            assert_eq!(recovery.residue.len(), usize::from(kept_whole), "{kept}");
            assert_eq!(recovery.cut.is_some(), !kept_whole && kept > 0, "{kept}");
            assert_eq!(log.tail().next.0, 3 + u64::from(kept_whole));
            drop((log, guard));
            if kept % 97 == 0 {
                // Crash, recover, append, crash again.
                let mut store = recover(&disk, acknowledged.clone(), &offered);
                store.commits(1);
                let now = store.acknowledged.clone();
                drop(store);
                disk.crash(&mut Prng::new(kept as u64));
                let store = recover(&disk, now.clone(), &now);
                assert!(verified(&disk).verified());
                drop(store);
                disk.vanish(&format!("state/{GUARD_FILE}"));
                let (again, ..) = with_unguarded(&[&[0x55; 150], &[0x66; 60]]);
                disk.replace(&format!("state/{GUARD_FILE}"), &again.contents("state/guard").unwrap());
            }
        }
    }
}

#[test]
fn a_file_cut_at_any_sector_is_opened_only_above_the_guard() {
    let (disk, acknowledged, frame, offset) = with_unguarded(&[&[0x55; 5_000]]);
    let whole = disk.contents(FIRST).unwrap();
    for end in (0..=whole.len()).step_by(512) {
        let cut = &whole[..end];
        disk.replace(FIRST, cut);
        let report = verified(&disk);
        match reopen(&disk) {
            Ok((log, ..)) => {
                assert!(end >= offset, "opened although cut at {end}");
                assert!(report.verified(), "{report:?}");
                assert_eq!(log.tail().next.0, if end >= offset + frame.bytes().len() { 4 } else { 3 });
            }
            Err(OpenError::Damaged { file, .. } | OpenError::BehindGuard { file, .. }) => {
                assert!(end < offset, "refused although cut at {end}");
                assert!(FIRST.ends_with(&file));
                assert_eq!(disk.contents(FIRST).unwrap(), cut, "a refused log is left as it is");
                assert!(!report.verified() && !report.faults.is_empty(), "{report:?}");
                let short = acknowledged.iter().map(|f| f.bytes().len()).scan(0, |at, n| {
                    *at += n;
                    Some(*at)
                });
                let frames = short.take_while(|at| *at <= end).count() as u64;
                assert!(report.frames <= frames + 1);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_guard_written_into_the_wrong_slot_still_counts() {
    let disk = SimDisk::new(0);
    let mut store = Store::create(&disk);
    store.commits(3);
    // The fourth record belongs in slot 0 and lands in slot 1, over the third.
    let frame = store.next_frame();
    store.append(&frame).unwrap();
    disk.fault_nth(Op::Write, 0, Fault::Misdirected { offset: SLOT_BYTES as u64 });
    store.swap().unwrap();
    drop(store);
    disk.crash(&mut Prng::new(1));
    let (log, guard, record, recovery, inspection) = reopen(&disk).unwrap();
    assert_eq!((record.sequence, recovery.residue.len(), log.tail().next.0), (4, 0, 4));
    assert!(!inspection.faults.is_empty());
    drop((log, guard));
    assert_eq!(inspect(&guard_files(&disk)).unwrap().record.unwrap().sequence, 4);
    // Opened again before any swap: it was put right, and stands there once.
    let (.., record, _, inspection) = reopen(&disk).unwrap();
    assert_eq!((record.sequence, inspection.faults), (4, vec![(SLOT_BYTES as u64, GuardFault::Blank)]));
}

#[test]
fn a_guard_whose_slots_were_exchanged_or_copied_is_read_and_not_written() {
    let disk = SimDisk::new(0);
    let mut store = Store::create(&disk);
    store.commits(3);
    drop(store);
    disk.kill();
    let path = format!("state/{GUARD_FILE}");
    let before = disk.contents(&path).unwrap();
    let (low, high) = before.split_at(SLOT_BYTES);
    for moved in [[high, low], [low, low], [high, high]] {
        let moved = moved.concat();
        disk.replace(&path, &moved);
        let found = inspect(&guard_files(&disk)).unwrap();
        assert_eq!(found.faults.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, SLOT_BYTES as u64]);
        assert!(found.newest().is_ok(), "readers go on");
        let refused = FileGuard::open(&guard_files(&disk)).unwrap_err();
        assert!(matches!(refused, GuardError::Damaged { .. }), "{refused}");
        assert_eq!(disk.contents(&path).unwrap(), moved, "it is left as it is");
    }
    disk.replace(&path, &before);
    FileGuard::open(&guard_files(&disk)).unwrap();
}

#[test]
fn a_frame_that_went_elsewhere_or_nowhere_is_missed() {
    for (fault, at) in
        [(Fault::Lost, 5), (Fault::Misdirected { offset: 0 }, 5), (Fault::Misdirected { offset: 16_384 }, 6)]
    {
        let disk = SimDisk::new(0);
        let mut store = Store::create(&disk);
        store.commits(at);
        // With space ready, the first write is the frame's.
        store.log.prepare().unwrap();
        disk.fault_nth(Op::Write, 0, fault);
        store.commits(1);
        assert_eq!(disk.faults_struck(), 1);
        drop(store);
        disk.crash(&mut Prng::new(3));
        let report = verified(&disk);
        assert!(!report.verified(), "{fault:?} {report:?}");
        let error = reopen(&disk).map(|_| ()).unwrap_err();
        assert!(
            matches!(error, OpenError::BehindGuard { .. } | OpenError::Damaged { .. }),
            "{fault:?} {error}"
        );
    }
}

#[test]
fn a_stale_segment_is_recognised() {
    let disk = SimDisk::new(0);
    let mut store = Store::create(&disk);
    store.commits(4);
    let old = disk.contents(FIRST).unwrap();
    store.commits(2);
    drop(store);
    disk.kill();
    disk.replace(FIRST, &old);
    let error = reopen(&disk).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::BehindGuard { missing: FrameNumber(4), .. }), "{error}");
    // An old frame where a new one belongs, whole and of this ledger.
    let mut store = Store::create(&SimDisk::new(0));
    store.commits(2);
    let (one, two) = (&store.acknowledged[0], &store.acknowledged[1]);
    let mut bytes = disk.contents(FIRST).unwrap();
    let at = one.bytes().len();
    bytes[at..at + one.bytes().len()].copy_from_slice(one.bytes());
    assert!(two.bytes().len() >= one.bytes().len());
    disk.replace(FIRST, &bytes);
    let report = verified(&disk);
    let named = FrameFault::Number { found: FrameNumber(0), expected: FrameNumber(1) };
    assert!(
        report.faults.iter().any(|f| f.offset == at as u64 && f.reason == named.to_string()),
        "{report:?}"
    );
}

#[test]
fn rollback_of_log_or_state_alone_is_seen() {
    for behind in 1..5usize {
        let disk = SimDisk::new(0);
        let (data, state) = (disk.folder("data"), disk.folder("state"));
        let mut store = Store::create(&disk);
        store.commits(8);
        let (old_data, old_state) = (data.snapshot(), state.snapshot());
        store.commits(behind);
        drop(store);
        disk.kill();
        let (new_data, new_state) = (data.snapshot(), state.snapshot());
        data.restore(&old_data);
        let error = reopen(&disk).map(|_| ()).unwrap_err();
        assert!(matches!(error, OpenError::BehindGuard { missing: FrameNumber(8), .. }), "{error}");
        assert!(!verified(&disk).verified());
        data.restore(&new_data);
        state.restore(&old_state);
        match reopen(&disk) {
            // One or two frames beyond the guard are what a crash leaves as well.
            Ok((log, _, _, recovery, _)) => {
                assert!(behind <= 2);
                assert_eq!((recovery.residue.len(), log.tail().next.0), (behind, 8 + behind as u64));
            }
            Err(OpenError::GuardTooOld { first: FrameNumber(8), .. }) => assert!(behind > 2),
            Err(other) => panic!("{other}"),
        }
        state.restore(&new_state);
        reopen(&disk).unwrap();
    }
}

#[test]
fn segments_missing_added_or_foreign_are_named() {
    let build = || {
        let disk = SimDisk::new(0);
        let mut store = Store::create(&disk);
        store.commits(26);
        drop(store);
        disk.kill();
        disk
    };
    let segments: Vec<String> = build().paths().into_iter().filter(|p| p.ends_with(".seg")).collect();
    assert!(segments.len() >= 3, "{segments:?}");
    for lost in &segments {
        let disk = build();
        disk.vanish(lost);
        let report = verified(&disk);
        assert!(!report.verified() && report.faults.len() <= 4, "{report:?}");
        // Opening follows the chain from the guard's segment on; earlier ones it only looks for by their first header.
        if lost == &segments[0] || lost == &segments[segments.len() - 1] {
            assert!(reopen(&disk).is_err(), "{lost}");
        }
    }
    let disk = build();
    disk.replace("data/log/notes.txt", b"hello");
    let report = verified(&disk);
    // Behind the guard's frame in the walk, and yet no residue of a crash; told all the same.
    assert!(
        report.residue.iter().chain(&report.faults).any(|fault| fault.file == "log/notes.txt"),
        "{report:?}"
    );
    let disk = build();
    disk.replace(&name(99), &disk.contents(FIRST).unwrap());
    assert!(matches!(reopen(&disk).map(|_| ()), Err(OpenError::Damaged { damage: Damage::Segment, .. })));
}

#[test]
fn readers_stop_at_damage_and_say_where() {
    let disk = SimDisk::new(0);
    let mut store = Store::create(&disk);
    store.commits(9);
    let start: usize = store.acknowledged[..3].iter().map(|frame| frame.bytes().len()).sum();
    disk.corrupt(FIRST, start as u64 + 160, |byte| byte ^ 1);
    let mut shown = 0;
    let error = store.log.read(Position(0), &mut |_| {
        shown += 1;
        std::ops::ControlFlow::Continue(())
    });
    assert_eq!(shown, 3);
    let fourth = store.acknowledged[3].header().fields.first;
    match error.unwrap_err() {
        ReadError::Damaged { file, offset, position, fault } => {
            assert_eq!((offset, position), (start as u64, fourth));
            assert!(FIRST.ends_with(&file));
            assert_eq!(fault, FrameFault::TrailerChecksum);
        }
        other @ (ReadError::BeyondTail { .. } | ReadError::Trimmed { .. } | ReadError::Failed { .. }) => {
            panic!("{other}")
        }
    }
    // Appending goes on: what is damaged is below, and known.
    store.commits(1);
}

#[test]
fn scrubbing_comes_round_and_finds_damage() {
    let disk = SimDisk::new(0);
    let mut store = Store::create(&disk);
    store.commits(14);
    let files: Arc<dyn Files> = log_files(&disk);
    let mut scrubber = Scrubber::new(Arc::clone(&files), LEDGER);
    let round = |scrubber: &mut Scrubber| {
        let (mut frames, mut faults, mut steps) = (0, Vec::new(), 0);
        loop {
            let step = scrubber.step(10_000, FrameNumber(14)).unwrap();
            frames += step.frames;
            faults.extend(step.faults);
            steps += 1;
            if step.wrapped {
                return (frames, faults, steps);
            }
        }
    };
    let (frames, faults, steps) = round(&mut scrubber);
    assert_eq!((frames, faults.len()), (14, 0), "{faults:?}");
    assert!(steps > 5);
    let second: Vec<String> = disk.paths().into_iter().filter(|p| p.ends_with(".seg")).collect();
    for (path, offset) in [(FIRST, 5_000), (FIRST, 3), (&second[1], 100)] {
        disk.corrupt(path, offset, |byte| byte ^ 1);
        let (_, faults, _) = round(&mut scrubber);
        assert!(faults.iter().any(|fault| path.ends_with(&fault.file)), "{path} {offset}");
        disk.corrupt(path, offset, |byte| byte ^ 1);
    }
    assert_eq!(round(&mut scrubber).1, []);
}

#[test]
fn two_writers_and_a_reader() {
    let disk = SimDisk::new(0);
    let mut store = Store::create(&disk);
    store.commits(6);
    let record = store.guard.read().unwrap().unwrap();
    let second = FilesLog::open(log_files(&disk), SMALL, LEDGER, &record);
    assert!(matches!(second, Err(OpenError::Held)));
    assert!(matches!(FilesLog::create(log_files(&disk), SMALL, LEDGER), Err(OpenError::Held)));
    assert!(matches!(FileGuard::open(&guard_files(&disk)), Err(GuardError::Held)));
    let reader = FilesLog::open_read_only(log_files(&disk), LEDGER, &record).unwrap();
    store.commits(6);
    assert_eq!(reader.tail().next, FrameNumber(6));
    let mut frames = 0;
    let count = &mut |_: waag_log::contract::FrameView<'_>| {
        frames += 1;
        std::ops::ControlFlow::Continue(())
    };
    reader.read(Position(0), count).unwrap();
    assert_eq!(frames, 6);
    let next = store.next_frame();
    assert!(matches!(reader.append(FrameNumber(6), &next), Err(AppendError::ReadOnly)));
    assert!(!reader.prepare().unwrap());
    drop(store);
    reopen(&disk).unwrap();
    let exists = FilesLog::create(log_files(&disk), SMALL, LEDGER);
    assert!(matches!(exists, Err(OpenError::Exists)));
    let mut other = record.clone();
    other.ledger = waag_model::ids::LedgerId([1; 16]);
    let of_another = FilesLog::open(log_files(&disk), SMALL, LEDGER, &other);
    assert!(matches!(of_another, Err(OpenError::Ledger)));
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_space() {
    let disk = SimDisk::new(0);
    let mut store = Store::create(&disk);
    store.commits(2);
    disk.set_capacity(Some(140_000));
    let mut refused = None;
    for _ in 0..40 {
        if let Err(error) = store.commit() {
            refused = Some(error);
            break;
        }
    }
    assert!(matches!(refused, Some(CommitError::Log(AppendError::NoSpace(_)))), "{refused:?}");
    assert!(!store.log.is_poisoned());
    assert!(matches!(store.log.prepare(), Err(AppendError::NoSpace(_)) | Ok(_)));
    assert!(matches!(store.commit(), Err(CommitError::Log(AppendError::NoSpace(_)))));
    let before = store.acknowledged.len();
    assert!(verified(&disk).verified());
    disk.set_capacity(None);
    store.commits(10);
    let acknowledged = store.acknowledged.clone();
    assert_eq!(acknowledged.len(), before + 10);
    drop(store);
    disk.crash(&mut Prng::new(5));
    recover(&disk, acknowledged.clone(), &acknowledged);
    assert!(verified(&disk).verified());
}

#[test]
fn stored_hashes_are_buffered_cut_and_read() {
    use waag_files::hashes::HashFile;
    use waag_ledger::hash::leaf_hash;
    use waag_ledger::stored::{HashReadError, HashReader};
    let disk = SimDisk::new(0);
    let hashes: Vec<_> = (0..20_000u64).map(|n| leaf_hash(&n.to_le_bytes())).collect();
    let file = HashFile::open(&disk, "hashes").unwrap();
    file.append(&hashes[..15_000]).unwrap();
    file.sync().unwrap();
    file.append(&hashes[15_000..]).unwrap();
    assert_eq!(file.count(), 20_000);
    assert_eq!(
        file.read_hashes(&[0, 14_999, 15_000, 19_999]).unwrap(),
        [hashes[0], hashes[14_999], hashes[15_000], hashes[19_999]]
    );
    assert!(matches!(file.read_hashes(&[20_000]), Err(HashReadError::Missing { index: 20_000 })));
    file.truncate_to(17_000).unwrap();
    assert_eq!(file.count(), 17_000);
    file.truncate_to(10_000).unwrap();
    assert!(file.read_hashes(&[10_000]).is_err());
    file.append(&hashes[10_000..12_000]).unwrap();
    file.sync().unwrap();
    drop(file);
    disk.crash(&mut Prng::new(1));
    let file = HashFile::open(&disk, "hashes").unwrap();
    assert_eq!(file.count(), 12_000);
    assert_eq!(file.read_hashes(&[11_999]).unwrap(), [hashes[11_999]]);
    let raw = disk.open("hashes", Open::Write).unwrap();
    raw.set_len(12_000 * 32 - 5).unwrap();
    assert_eq!(HashFile::open(&disk, "hashes").unwrap().count(), 11_999);
}

#[test]
fn a_guard_made_for_another_frame_is_refused() {
    let disk = SimDisk::new(0);
    let mut store = Store::create(&disk);
    store.commits(6);
    let record = store.guard.read().unwrap().unwrap();
    drop(store);
    disk.kill();
    let other = waag_ledger::hash::Hash([5; 32]);
    let changed = [
        GuardRecord { root: other, ..record.clone() },
        GuardRecord { header_hash: other, ..record.clone() },
        GuardRecord { size: record.size + 1, ..record.clone() },
    ];
    for wrong in changed {
        let opened = FilesLog::open(log_files(&disk), SMALL, LEDGER, &wrong).map(|_| ());
        assert!(matches!(opened, Err(OpenError::Damaged { damage: Damage::NotGuarded, .. })), "{opened:?}");
        let opened = FilesLog::open_read_only(log_files(&disk), LEDGER, &wrong).map(|_| ());
        assert!(matches!(opened, Err(OpenError::Damaged { damage: Damage::NotGuarded, .. })), "{opened:?}");
    }
    FilesLog::open(log_files(&disk), SMALL, LEDGER, &record).unwrap();
}

/// Whole frames and headers behind the tail that are not due there are no torn write: they are left for people to see.
#[test]
fn intact_frames_behind_the_tail_are_damage_and_are_not_cut() {
    let (disk, acknowledged, frame, offset) = with_unguarded(&[&[0x55; 100]]);
    let clean = disk.contents(FIRST).unwrap();
    let old = acknowledged[1].bytes();
    let put = |at: usize, bytes: &[u8]| {
        let mut changed = clean.clone();
        changed.resize(clean.len().max(at + bytes.len()), 0);
        changed[offset..].fill(0);
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        disk.replace(FIRST, &changed);
        changed
    };
    let next = frame.bytes();
    // An old frame at the tail, one block behind it, its header alone, and the frame due one block too late.
    for (at, bytes) in [(offset, old), (offset + 4_096, old), (offset, &old[..512]), (offset + 4_096, next)] {
        let changed = put(at, bytes);
        let opened = reopen(&disk).map(|_| ());
        assert!(matches!(opened, Err(OpenError::Damaged { .. })), "{at} {opened:?}");
        assert_eq!(disk.contents(FIRST).unwrap(), changed);
    }
    // Farther off than any torn frame reaches.
    put(offset + waag_log::frame::FRAME_BYTES_MAX, &[1]);
    let opened = reopen(&disk).map(|_| ());
    assert!(matches!(opened, Err(OpenError::Damaged { damage: Damage::NotZero, .. })), "{opened:?}");
    put(offset + waag_log::frame::FRAME_BYTES_MAX - 1, &[1]);
    assert!(reopen(&disk).unwrap().3.cut.is_some());
}

/// `FSLOG-2`: what was prepared is on the media, also where the preparing process was killed before its sync.
#[test]
fn prepared_space_is_durable() {
    let durable = |disk: &SimDisk| {
        let copy = SimDisk::new(0);
        copy.restore(&disk.snapshot());
        disk.paths().iter().all(|path| copy.contents(path) == disk.contents(path))
    };
    let disk = SimDisk::new(0);
    let mut store = Store::create(&disk);
    store.commits(2);
    assert!(store.log.prepare().unwrap() && !store.log.prepare().unwrap());
    assert!(!store.log.wants_preparing());
    assert!(durable(&disk));
    store.commits(2);
    disk.fault_nth(Op::Sync, 0, Fault::PowerOff);
    assert!(store.log.prepare().is_err());
    drop(store);
    disk.kill();
    assert!(!durable(&disk), "the zeros wait in the cache");
    let (log, ..) = reopen(&disk).unwrap();
    assert!(durable(&disk));
    assert_eq!((log.tail().next.0, log.stalls()), (4, 0));
}
