//! Each system call of committing and preparing, failed in every way in turn: the store makes progress, or says that
//! it must be reopened, and then everything acknowledged is there.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeMap;

use waag_log::contract::{AppendError, EventLog};
use waag_log::frame::Frame;
use waag_log::guard::{Guard, GuardError};
use waag_model::ids::Position;
use waag_sim::disk::SimDisk;
use waag_sim::fault::{Fault, Op};
use waag_sim::prng::Prng;

mod support;
use support::{CommitError, Store, recover, verified};

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// No error at all.
    Progress,
    /// Refused for lack of space, and accepted when tried again.
    TriedAgain,
    /// Poisoned: reopened, nothing lost.
    Reopened,
}

const COMMITS: usize = 14;

/// Runs commits and preparing with one fault; `None` where the fault found no such call any more.
fn run(op: Op, nth: u64, fault: Fault, seed: u64) -> Option<Outcome> {
    let disk = SimDisk::new(seed);
    let mut store = Store::create(&disk);
    disk.fault_nth(op, nth, fault);
    let mut offered: Vec<Frame> = Vec::new();
    let mut outcome = Outcome::Progress;
    let mut done = 0;
    while done < COMMITS {
        if done % 3 == 0 {
            match store.log.prepare() {
                Ok(_) => {}
                Err(AppendError::NoSpace(_)) => outcome = Outcome::TriedAgain,
                Err(_) => {
                    outcome = Outcome::Reopened;
                    break;
                }
            }
        }
        let frame = {
            let mut ahead = store.chain.clone();
            let entries = store.entries();
            let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
            ahead.next(&slices).unwrap()
        };
        offered.push(frame);
        match store.commit() {
            Ok(()) => done += 1,
            Err(CommitError::Log(AppendError::NoSpace(_))) => outcome = Outcome::TriedAgain,
            Err(error) => {
                outcome = Outcome::Reopened;
                poisoned(&mut store, &error);
                break;
            }
        }
    }
    if disk.faults_struck() == 0 {
        return None;
    }
    let acknowledged = store.acknowledged.clone();
    if outcome == Outcome::Reopened {
        readable(&store, &acknowledged);
    }
    drop(store);
    let mut rng = Prng::new(seed);
    if rng.coin() {
        disk.kill()
    } else {
        disk.crash(&mut rng)
    }
    let mut store = recover(&disk, acknowledged, &offered);
    store.commits(3);
    let report = verified(&disk);
    assert!(report.verified() && report.residue.is_empty(), "{report:?}");
    assert_eq!(report.entries, store.log.tail().position.0);
    Some(outcome)
}

/// A handle that has failed once never accepts anything again.
fn poisoned(store: &mut Store, error: &CommitError) {
    match error {
        CommitError::Log(AppendError::Failed { .. }) => {
            assert!(store.log.is_poisoned());
            let again = store.chain.clone().next(&[b"again"]).unwrap();
            let refused = store.log.append(again.header().fields.number, &again);
            assert!(matches!(refused, Err(AppendError::Poisoned)));
            assert!(matches!(store.log.prepare(), Err(AppendError::Poisoned)));
        }
        CommitError::Guard(GuardError::Failed { .. }) => {
            let refused = store.guard.swap(Some(store.sequence), &store.chain.guard(store.sequence + 1));
            assert!(matches!(refused, Err(GuardError::Poisoned)));
        }
        CommitError::Log(_) | CommitError::Guard(_) => panic!("{error:?}"),
    }
}

/// Reads go on when writing has stopped.
fn readable(store: &Store, acknowledged: &[Frame]) {
    let mut seen = 0;
    let mut equal = true;
    let read = store.log.read(Position(0), &mut |view| {
        equal &= acknowledged.get(seen).is_none_or(|frame| frame.bytes() == view.frame.bytes);
        seen += 1;
        std::ops::ControlFlow::Continue(())
    });
    read.unwrap();
    assert!(equal && seen >= acknowledged.len());
}

#[test]
fn every_call_failed_in_every_way() {
    use Outcome::{Progress, Reopened, TriedAgain};
    let slow = Fault::Slow { ns: 3_000_000_000 };
    // What may come of each; where two are named, it depends on which call it is (preparing or a frame, log or guard).
    let table: [(Op, Fault, &[Outcome]); 19] = [
        (Op::Write, Fault::Io, &[Reopened]),
        (Op::Write, Fault::IoShort, &[Reopened]),
        (Op::Write, Fault::IoPersisted, &[Reopened]),
        (Op::Write, Fault::NoSpace, &[TriedAgain, Reopened]),
        (Op::Write, Fault::NoSpaceShort, &[TriedAgain, Reopened]),
        (Op::Write, slow, &[Progress]),
        (Op::Sync, Fault::Io, &[Reopened]),
        (Op::Sync, Fault::IoShort, &[Reopened]),
        (Op::Sync, Fault::IoPersisted, &[Reopened]),
        (Op::Sync, Fault::NoSpace, &[Reopened]),
        (Op::Sync, slow, &[Progress]),
        (Op::Create, Fault::Io, &[Reopened]),
        (Op::Create, Fault::IoPersisted, &[Reopened]),
        (Op::Create, Fault::NoSpace, &[TriedAgain]),
        (Op::Create, slow, &[Progress]),
        (Op::Rename, Fault::Io, &[Reopened]),
        (Op::Rename, Fault::IoPersisted, &[Reopened]),
        (Op::Rename, Fault::NoSpace, &[Reopened]),
        (Op::Rename, slow, &[Progress]),
    ];
    for (op, fault, due) in table {
        let mut seen: BTreeMap<Outcome, u64> = BTreeMap::new();
        let mut nth = 0;
        while let Some(outcome) = run(op, nth, fault, nth) {
            assert!(due.contains(&outcome), "{op:?} {nth} {fault:?}: {outcome:?}");
            *seen.entry(outcome).or_default() += 1;
            nth += 1;
        }
        let least = if matches!(op, Op::Write | Op::Sync) { 2 * COMMITS as u64 } else { 1 };
        assert!(nth >= least, "{op:?}: only {nth} calls");
        assert!(due.iter().all(|outcome| seen.contains_key(outcome)), "{op:?} {fault:?}: {seen:?}");
    }
}

#[test]
fn reading_that_fails_is_an_error_and_nothing_else() {
    let disk = SimDisk::new(0);
    let mut store = Store::create(&disk);
    store.commits(5);
    disk.fault_nth(Op::Read, 0, Fault::Io);
    let failed = store.log.read(Position(0), &mut |_| std::ops::ControlFlow::Continue(()));
    assert!(matches!(failed, Err(waag_log::contract::ReadError::Failed { .. })));
    store.commits(1);
    assert!(store.guard.read().unwrap().is_some());
    readable(&store, &store.acknowledged);
}
