//! Power cuts and kills: what was acknowledged is there, in order, once, and the rest is whole or absent; also when
//! the machine crashes again while it recovers.

#![expect(clippy::panic, reason = "helpers of tests")]

use waag_log::contract::EventLog;
use waag_log::frame::Frame;
use waag_sim::disk::SimDisk;
use waag_sim::fault::Fault;
use waag_sim::prng::Prng;

mod support;
use support::{Store, recover, reopen, verified};

/// Commits until the power goes, the guard of a frame some times left for later, as a pipeline does.
fn until_off(store: &mut Store, rng: &mut Prng, offered: &mut Vec<Frame>, most: usize) {
    for _ in 0..most {
        if rng.coin() {
            let _ = store.log.prepare();
        }
        let before = store.chain.clone();
        let frame = store.next_frame();
        offered.push(frame.clone());
        if store.append(&frame).is_err() {
            store.chain = before;
            return;
        }
        if store.swap().is_err() {
            return;
        }
        store.acknowledged.push(frame);
    }
}

fn a_world(seed: u64, kill: bool) {
    let mut rng = Prng::new(seed);
    let disk = SimDisk::new(seed);
    let mut store = Store::create(&disk);
    let mut offered = Vec::new();
    for _round in 0..3 {
        disk.fault_at(disk.operations() + rng.below(60), Fault::PowerOff);
        until_off(&mut store, &mut rng, &mut offered, 25);
        let acknowledged = store.acknowledged.clone();
        drop(store);
        let crash = |rng: &mut Prng| if kill { disk.kill() } else { disk.crash(rng) };
        crash(&mut rng);
        disk.clear_faults();
        // The recovery itself is cut short at each of its operations with some chance, and then done again.
        for _ in 0..2 {
            disk.fault_at(disk.operations() + rng.below(6), Fault::PowerOff);
            let guard = waag_files::guard::FileGuard::open(&support::guard_files(&disk));
            if guard.is_ok() {
                drop(guard);
                // Cut short or not, only what it leaves counts.
                let _ = reopen_or_off(&disk);
            }
            crash(&mut rng);
            disk.clear_faults();
        }
        store = recover(&disk, acknowledged, &offered);
        let report = verified(&disk);
        assert!(report.verified(), "{report:?}");
        assert_eq!((report.residue_frames, report.residue.len()), (0, 0), "{report:?}");
        assert_eq!(report.entries, store.log.tail().position.0);
        store.commits(2);
        for frame in store.acknowledged.iter().rev().take(2) {
            offered.push(frame.clone());
        }
    }
}

fn reopen_or_off(disk: &SimDisk) -> Result<(), ()> {
    use waag_log::guard::Guard;
    let (guard, _) = waag_files::guard::FileGuard::open(&support::guard_files(disk)).map_err(|_| ())?;
    let record = guard.read().map_err(|_| ())?.ok_or(())?;
    let opened =
        waag_files::log::FilesLog::open(support::log_files(disk), support::SMALL, support::LEDGER, &record);
    match opened {
        Ok(_) => Ok(()),
        Err(waag_files::error::OpenError::Failed { .. }) => Err(()),
        Err(other) => panic!("a crash is taken for damage: {other}"),
    }
}

#[test]
fn power_cuts_lose_nothing_acknowledged() {
    for seed in 0..400 {
        let world = std::panic::catch_unwind(|| a_world(seed, false));
        assert!(world.is_ok(), "seed {seed}");
    }
}

#[test]
fn kills_lose_nothing_acknowledged() {
    for seed in 0..150 {
        let world = std::panic::catch_unwind(|| a_world(seed, true));
        assert!(world.is_ok(), "seed {seed}");
    }
}

/// Every operation of a run is the last one before the power goes, once.
#[test]
fn power_cut_at_every_operation() {
    let probe = SimDisk::new(0);
    let mut store = Store::create(&probe);
    let created = probe.operations();
    store.commits(12);
    let last = probe.operations();
    for at in created..last {
        for seed in 0..8 {
            let disk = SimDisk::new(seed);
            let mut store = Store::create(&disk);
            disk.fault_at(at, Fault::PowerOff);
            let (mut rng, mut offered) = (Prng::new(seed ^ at), Vec::new());
            let mut fixed = 0;
            while fixed < 12 {
                let before = store.chain.clone();
                let frame = store.next_frame();
                offered.push(frame.clone());
                if store.append(&frame).is_err() {
                    store.chain = before;
                    break;
                }
                if store.swap().is_err() {
                    break;
                }
                store.acknowledged.push(frame);
                fixed += 1;
            }
            assert!(disk.is_off(), "operation {at} was never reached");
            let acknowledged = std::mem::take(&mut store.acknowledged);
            drop(store);
            disk.crash(&mut rng);
            let mut store = recover(&disk, acknowledged, &offered);
            store.commits(1);
            assert!(verified(&disk).verified());
        }
    }
}

/// Creation can be cut short anywhere and is completed by creating again.
#[test]
fn creation_is_completed_after_a_cut() {
    use waag_files::guard::FileGuard;
    use waag_files::log::FilesLog;
    use waag_log::guard::{Guard, GuardError};
    let probe = SimDisk::new(0);
    drop(Store::create(&probe));
    for at in 0..probe.operations() {
        for seed in 0..8 {
            let disk = SimDisk::new(seed);
            disk.fault_at(at, Fault::PowerOff);
            let chain = waag_log::conformance::Chain::new(support::LEDGER);
            let create = || -> Result<(), String> {
                let log = FilesLog::create(support::log_files(&disk), support::SMALL, support::LEDGER);
                let log = log.map_err(|e| e.to_string())?;
                match FileGuard::create(&support::guard_files(&disk)) {
                    Ok(guard) => guard.swap(None, &chain.guard(0)).map_err(|e| e.to_string())?,
                    Err(GuardError::Conflict { expected: None, actual: Some(0) }) => {}
                    Err(error) => return Err(error.to_string()),
                }
                drop(log);
                Ok(())
            };
            assert!(create().is_err());
            disk.crash(&mut Prng::new(seed));
            create().unwrap();
            let mut store = recover(&disk, Vec::new(), &[]);
            store.commits(3);
            assert!(verified(&disk).verified());
        }
    }
}

/// A frame whose sync failed can look whole from the page cache. Reopening must not take the cache's word for it.
#[test]
fn a_failed_sync_is_not_believed_from_the_cache() {
    use waag_sim::fault::Op;
    let disk = SimDisk::new(1);
    let mut store = Store::create(&disk);
    store.commits(3);
    let frame = store.next_frame();
    // With space ready, the next sync is the frame's.
    store.log.prepare().unwrap();
    disk.fault_nth(Op::Sync, 0, Fault::Io);
    assert!(store.append(&frame).is_err());
    drop(store);
    disk.kill();
    let (log, guard, _, recovery, _) = reopen(&disk).unwrap();
    assert_eq!(recovery.residue.len(), 1, "the cache shows the frame");
    assert_eq!(log.tail().next.0, 4);
    drop((log, guard));
    // The residue was reported, so it must be on the media.
    let mut rng = Prng::new(0);
    for _ in 0..4 {
        disk.crash(&mut rng);
    }
    let (log, ..) = reopen(&disk).unwrap();
    assert_eq!(log.tail().next.0, 4);
}

/// The same for the guard: what a failed swap left in the cache is either made durable at opening or not gone by.
#[test]
fn a_failed_swap_is_not_believed_from_the_cache() {
    use waag_sim::fault::Op;
    for seed in 0..16 {
        let disk = SimDisk::new(seed);
        let mut store = Store::create(&disk);
        store.commits(3);
        let frame = store.next_frame();
        store.append(&frame).unwrap_or_else(|error| panic!("{error:?}"));
        disk.fault_nth(Op::Sync, 0, Fault::Io);
        assert!(store.swap().is_err());
        drop(store);
        disk.kill();
        let (log, guard, record, ..) = reopen(&disk).unwrap();
        assert_eq!(record.sequence, 4, "the cache shows the new record");
        drop((log, guard));
        disk.crash(&mut Prng::new(seed));
        let (_, _, record, ..) = reopen(&disk).unwrap();
        assert_eq!(record.sequence, 4, "what was gone by is still there");
    }
}
