//! The stored form is what `docs/reference/frame.md` says, and what the golden files hold.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use waag_ledger::hash::{Hash, leaf_hash};
use waag_ledger::tree::Frontier;
use waag_log::contract::Tail;
use waag_log::frame::{DecodedFrame, Frame, FrameFields, HEADER_BYTES, push_entry};
use waag_log::guard::{GuardFault, GuardRecord};
use waag_model::ids::{Epoch, FrameNumber, LedgerId, Position};
use waag_model::time::UtcNanos;

const PAGE: &str = include_str!("../../../../docs/reference/frame.md");
const FRAME: &[u8] = include_bytes!("golden/frame-v1.bin");
const GUARD: &[u8] = include_bytes!("golden/guard-v1.bin");

/// The bytes of the block that begins with this fence.
fn block(name: &str) -> Vec<u8> {
    let fence = format!("```hex {name}\n");
    let (_, behind) = PAGE.split_once(&fence).unwrap_or_else(|| panic!("no block {name}"));
    let (text, _) = behind.split_once("```").unwrap();
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    hex::decode(digits).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn example() -> Frame {
    let entries: [&[u8]; 2] = [&[0xde], &[0xad, 0xbe, 0xef]];
    let (mut tree, mut sink, mut body) = (Frontier::new(), Vec::new(), Vec::new());
    for entry in entries {
        tree.append(leaf_hash(entry), &mut sink);
        push_entry(&mut body, entry).unwrap();
    }
    let time = UtcNanos(1_767_323_045_000_000_006);
    assert_eq!(time.to_string(), "2026-01-02T03:04:05.000000006Z");
    let fields = FrameFields {
        ledger: LedgerId(std::array::from_fn(|n| u8::try_from(n).unwrap())),
        epoch: Epoch(1),
        number: FrameNumber(0),
        commit_time: time,
        first: Position(0),
        previous: Hash([0; 32]),
        root: tree.root(),
    };
    Frame::build(&fields, &[&body], Vec::new()).unwrap()
}

fn guard_example() -> GuardRecord {
    let frame = example();
    let fields = frame.header().fields;
    GuardRecord {
        sequence: 1,
        ledger: fields.ledger,
        epoch: fields.epoch,
        frame: fields.number,
        size: frame.header().tree_size,
        root: fields.root,
        header_hash: frame.header_hash(),
        keys_generation: 2,
        checkpoint: b"note\n".to_vec(),
    }
}

#[test]
fn the_page_shows_the_frame() {
    let frame = example();
    let shown = [block("header"), block("body")].concat();
    let bytes = frame.bytes();
    assert_eq!(hex::encode(&shown), hex::encode(&bytes[..shown.len()]));
    assert_eq!(bytes.len() - shown.len(), 3_936);
    assert!(PAGE.contains("3,936 zeros follow"));
    assert!(bytes[shown.len()..].iter().all(|byte| *byte == 0));
    assert_eq!(block("header").len(), HEADER_BYTES);
}

#[test]
fn the_page_shows_the_guard() {
    assert_eq!(hex::encode(block("guard")), hex::encode(guard_example().encode().unwrap()));
}

#[test]
fn golden_files_of_version_1_read_for_ever() {
    let frame = DecodedFrame::decode(FRAME).unwrap();
    Tail::start(frame.header.fields.ledger).check_next(&frame.header).unwrap();
    assert_eq!(frame.bytes, example().bytes());
    assert_eq!(frame.header, *example().header());
    assert_eq!(GuardRecord::decode(GUARD).unwrap(), guard_example());
}

#[test]
fn no_byte_of_a_guard_record_is_free() {
    for at in 0..GUARD.len() {
        let mut bytes = GUARD.to_vec();
        bytes[at] ^= 4;
        assert!(GuardRecord::decode(&bytes).is_err(), "{at}");
        let cut = GuardRecord::decode(&GUARD[..at]);
        assert!(matches!(cut, Err(GuardFault::Cut | GuardFault::Blank | GuardFault::Magic)), "{at} {cut:?}");
    }
    let longer = [GUARD, &[0, 0, 1]].concat();
    assert_eq!(GuardRecord::decode(&longer), Err(GuardFault::Padding { at: GUARD.len() + 2 }));
}
