//! The verifier sees what is wrong with frames whose bytes are intact: order, roots, entries, guard.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::ops::ControlFlow;

use waag_ledger::hash::Hash;
use waag_log::conformance::{Chain, sample_entries};
use waag_log::contract::Place;
use waag_log::frame::{Frame, FrameFields, FrameHeader};
use waag_log::guard::GuardRecord;
use waag_log::verify::{FAULTS_MAX, Found, RawFault, RawLog, Report, verify};
use waag_model::ids::{LedgerId, Position};

const LEDGER: LedgerId = LedgerId([3; 16]);

/// A log in memory: frames and faults in order.
struct Memory(Vec<Result<Vec<u8>, RawFault<'static>>>);

impl RawLog for Memory {
    fn walk(&self, visit: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>) {
        let mut offset = 0;
        for item in &self.0 {
            let place = Place { file: "memory", offset };
            let found = match item {
                Ok(bytes) => {
                    offset += bytes.len() as u64;
                    Found::Frame { place, header: FrameHeader::decode(bytes).unwrap(), bytes }
                }
                Err(fault) => Found::Fault { place, fault: *fault },
            };
            if visit(found).is_break() {
                return;
            }
        }
    }
}

fn frames(n: u64) -> (Vec<Frame>, Chain) {
    let mut chain = Chain::new(LEDGER);
    let make = |chain: &mut Chain, n: u64| {
        let entries = sample_entries(n, 1 + usize::try_from(n % 7).unwrap(), 300);
        let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        chain.next(&slices).unwrap()
    };
    ((0..n).map(|n| make(&mut chain, n)).collect(), chain)
}

fn run(frames: &[Frame], guard: Option<&GuardRecord>) -> Report {
    let log = Memory(frames.iter().map(|frame| Ok(frame.bytes().to_vec())).collect());
    verify(&log, LEDGER, guard, &mut |_, _| Ok(()))
}

/// The same frame with other fields, its checksums right.
fn refit(frame: &Frame, change: impl FnOnce(&mut FrameFields)) -> Frame {
    let mut fields = frame.header().fields;
    change(&mut fields);
    Frame::build(&fields, &[frame.body()], Vec::new()).unwrap()
}

#[test]
fn a_whole_log_is_verified() {
    let (frames, chain) = frames(30);
    let report = run(&frames, Some(&chain.guard(1)));
    assert!(report.verified(), "{report:?}");
    assert_eq!(
        (report.frames, report.entries, report.root),
        (30, chain.tail().position.0, Some(chain.tail().root))
    );
}

#[test]
fn nothing_empty_cut_or_unguarded_is_verified() {
    let (all, chain) = frames(5);
    let guard = chain.guard(1);
    assert!(!run(&[], None).verified());
    assert!(!run(&all, None).verified());
    for end in 0..5 {
        assert!(!run(&all[..end], Some(&guard)).verified(), "{end}");
    }
    // A ledger without entries is verified by its own guard only.
    let empty = Chain::new(LEDGER).guard(0);
    assert!(run(&[], Some(&empty)).verified());
    assert!(!run(&[], Some(&GuardRecord { root: Hash([1; 32]), ..empty.clone() })).verified());
    assert!(!run(&[], Some(&GuardRecord { ledger: LedgerId([4; 16]), ..empty })).verified());
}

#[test]
fn a_guard_of_anything_else_is_a_fault() {
    let (all, chain) = frames(5);
    let guard = chain.guard(1);
    let changed = [
        GuardRecord { root: Hash([1; 32]), ..guard.clone() },
        GuardRecord { header_hash: Hash([1; 32]), ..guard.clone() },
        GuardRecord { size: guard.size - 1, ..guard.clone() },
        GuardRecord { ledger: LedgerId([1; 16]), ..guard.clone() },
    ];
    for wrong in changed {
        let report = run(&all, Some(&wrong));
        assert!(!report.verified(), "{wrong:?}");
        assert!(report.faults.iter().any(|fault| fault.code == "E0408"), "{report:?}");
    }
}

#[test]
fn frames_swapped_left_out_or_twice_are_faults() {
    let (all, chain) = frames(8);
    let guard = chain.guard(1);
    for at in 0..7 {
        let mut swapped = all.clone();
        swapped.swap(at, at + 1);
        assert!(!run(&swapped, Some(&guard)).verified(), "{at}");
        let mut short = all.clone();
        short.remove(at);
        let report = run(&short, Some(&guard));
        assert!(!report.verified() && report.entries_unproven > 0, "{report:?}");
        assert_eq!(report.faults_total, 1, "one loss is one fault: {report:?}");
        let mut twice = all.clone();
        twice.insert(at, all[at].clone());
        assert!(!run(&twice, Some(&guard)).verified(), "{at}");
    }
}

type Change = fn(&mut FrameFields);

#[test]
fn a_wrong_link_time_epoch_or_root_is_named() {
    let (all, chain) = frames(6);
    let guard = chain.guard(1);
    let cases: [(&str, Change); 6] = [
        ("E0421", |f| f.ledger = LedgerId([9; 16])),
        ("E0423", |f| f.first = Position(f.first.0 + 1)),
        ("E0424", |f| f.previous = Hash([9; 32])),
        ("E0425", |f| f.commit_time.0 -= 2_000_000),
        ("E0426", |f| f.epoch.0 = 0),
        ("E0407", |f| f.root = Hash([9; 32])),
    ];
    for (code, change) in cases {
        let mut wrong = all.clone();
        wrong[3] = refit(&all[3], change);
        let report = run(&wrong, Some(&guard));
        assert!(!report.verified());
        let offset: usize = all[..3].iter().map(|frame| frame.bytes().len()).sum();
        let named = report.faults.iter().any(|fault| fault.code == code && fault.offset == offset as u64);
        assert!(named, "{code} {report:?}");
    }
}

/// An entry changed with all checksums put right: only the tree can tell, and it tells once.
#[test]
fn a_forged_entry_is_seen_by_the_tree() {
    let (all, chain) = frames(6);
    let mut body = all[2].body().to_vec();
    *body.last_mut().unwrap() ^= 1;
    let mut forged = all.clone();
    forged[2] = Frame::build(&all[2].header().fields, &[&body], Vec::new()).unwrap();
    let report = run(&forged, Some(&chain.guard(1)));
    assert_eq!(report.faults_total, 1, "{report:?}");
    assert_eq!(report.faults[0].code, "E0407");
    assert_eq!(report.faults[0].position, Some(all[2].header().fields.first));
    assert_eq!(report.root, None);
    let behind: u64 = all[2..].iter().map(|frame| u64::from(frame.header().count)).sum();
    assert_eq!(report.entries_unproven, behind);
}

/// Where only the trailer or the padding is damaged, the tree goes on.
#[test]
fn damage_beside_the_entries_is_one_fault() {
    let (all, chain) = frames(6);
    for at_end in [false, true] {
        let mut items: Vec<_> = all.iter().map(|frame| Ok(frame.bytes().to_vec())).collect();
        let bytes = items[2].as_mut().unwrap();
        let trailer = waag_log::frame::HEADER_BYTES + all[2].header().body_bytes as usize;
        let at = if at_end { bytes.len() - 1 } else { trailer };
        bytes[at] ^= 1;
        let report = verify(&Memory(items), LEDGER, Some(&chain.guard(1)), &mut |_, _| Ok(()));
        assert_eq!((report.faults_total, report.entries_unproven), (1, 0), "{report:?}");
        assert!(!report.verified() && report.root.is_some());
    }
}

#[test]
fn refused_entries_are_named_by_position() {
    let (all, chain) = frames(6);
    let log = Memory(all.iter().map(|frame| Ok(frame.bytes().to_vec())).collect());
    let mut check =
        |position: Position, _: &[u8]| if position.0 == 9 { Err("not an entry".to_owned()) } else { Ok(()) };
    let report = verify(&log, LEDGER, Some(&chain.guard(1)), &mut check);
    assert_eq!(report.faults_total, 1);
    assert_eq!(
        (report.faults[0].position, report.faults[0].reason.as_str()),
        (Some(Position(9)), "not an entry")
    );
}

#[test]
fn what_lies_beyond_the_guard_is_residue() {
    let (mut all, chain) = frames(4);
    let guard = chain.guard(1);
    let (more, _) = frames(6);
    all.extend_from_slice(&more[4..]);
    let mut items: Vec<_> = all.iter().map(|frame| Ok(frame.bytes().to_vec())).collect();
    items.push(Err(RawFault::NotZero));
    let report = verify(&Memory(items), LEDGER, Some(&guard), &mut |_, _| Ok(()));
    assert!(report.verified(), "{report:?}");
    assert_eq!((report.frames, report.residue_frames, report.residue.len()), (4, 2, 1));
}

#[test]
fn the_list_of_faults_is_bounded_and_their_number_is_not() {
    let (all, chain) = frames(3);
    let mut items: Vec<_> = (0..FAULTS_MAX + 7).map(|_| Err(RawFault::NotZero)).collect();
    items.extend(all.iter().map(|frame| Ok(frame.bytes().to_vec())));
    let report = verify(&Memory(items), LEDGER, Some(&chain.guard(1)), &mut |_, _| Ok(()));
    assert_eq!((report.faults.len(), report.faults_total), (FAULTS_MAX, FAULTS_MAX as u64 + 7));
}
