//! The frame codec: every byte counts, every fault has its name, nothing that is cut or changed passes.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use proptest::prelude::*;
use waag_ledger::hash::Hash;
use waag_log::conformance::{Chain, sample_entries};
use waag_log::fault::FrameFault;
use waag_log::frame::{
    DecodedFrame, ENTRY_BYTES_MAX, Entries, FRAME_ALIGN, FRAME_ENTRIES_MAX, Frame, FrameError, FrameHeader,
    HEADER_BYTES, push_entry,
};
use waag_model::ids::{LedgerId, Position};

const LEDGER: LedgerId = LedgerId([7; 16]);

fn frame() -> Frame {
    let mut chain = Chain::new(LEDGER);
    let entries = sample_entries(1, 5, 40);
    let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    chain.next(&slices).unwrap()
}

/// Puts a changed header's checksums right again, as a forger or a broken writer would.
fn sealed(mut bytes: Vec<u8>, body_bytes: usize) -> Vec<u8> {
    let head = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]);
    bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&head.to_le_bytes());
    let end = HEADER_BYTES + body_bytes;
    let trailer = crc32c::crc32c_append(head, &bytes[HEADER_BYTES..end]);
    bytes[end..end + 4].copy_from_slice(&trailer.to_le_bytes());
    bytes
}

#[test]
fn every_flipped_bit_is_refused_with_its_name() {
    let frame = frame();
    let body = frame.header().body_bytes as usize;
    for at in 0..frame.bytes().len() {
        for bit in 0..8 {
            let mut bytes = frame.bytes().to_vec();
            bytes[at] ^= 1 << bit;
            let due = match at {
                0..8 => FrameFault::Magic,
                8..HEADER_BYTES => FrameFault::HeaderChecksum,
                _ if at < HEADER_BYTES + body + 4 => FrameFault::TrailerChecksum,
                _ => FrameFault::Padding { at },
            };
            assert_eq!(DecodedFrame::decode(&bytes).map(|_| ()), Err(due), "{at}");
            if at > HEADER_BYTES && bit > 0 {
                break;
            }
        }
    }
}

#[test]
fn every_cut_is_refused() {
    let frame = frame();
    for end in 0..frame.bytes().len() {
        let due = if end == 0 { FrameFault::NoFrame } else { FrameFault::Cut };
        assert_eq!(DecodedFrame::decode(&frame.bytes()[..end]).map(|_| ()), Err(due), "{end}");
    }
    assert_eq!(DecodedFrame::decode(&[0; 4_096]).map(|_| ()), Err(FrameFault::NoFrame));
    let longer = [frame.bytes(), &[1; 10]].concat();
    assert_eq!(DecodedFrame::decode(&longer).unwrap().bytes, frame.bytes());
}

#[test]
fn right_checksums_do_not_save_a_wrong_header() {
    let frame = frame();
    let body = frame.header().body_bytes as usize;
    let change = |at: usize, with: &[u8]| {
        let mut bytes = frame.bytes().to_vec();
        bytes[at..at + with.len()].copy_from_slice(with);
        DecodedFrame::decode(&sealed(bytes, body)).map(|_| ())
    };
    assert_eq!(change(8, &[2, 0]), Err(FrameFault::Version(2)));
    assert_eq!(change(15, &[1]), Err(FrameFault::Reserved));
    let body_bytes = frame.header().body_bytes;
    assert_eq!(change(64, &[0; 4]), Err(FrameFault::Limits { entries: 0, body_bytes }));
    let above = u32::try_from(FRAME_ENTRIES_MAX + 1).unwrap();
    assert_eq!(change(64, &above.to_le_bytes()), Err(FrameFault::Limits { entries: above, body_bytes }));
    assert_eq!(change(68, &[255; 4]), Err(FrameFault::Limits { entries: 5, body_bytes: u32::MAX }));
    assert_eq!(change(104, &[9]), Err(FrameFault::TreeSize { found: 9, first: Position(0), count: 5 }));
    assert_eq!(change(HEADER_BYTES, &[9]), Err(FrameFault::EntryLengths));
    assert_eq!(change(HEADER_BYTES, &[0, 0]), Err(FrameFault::EntryLengths));
}

/// Two frames whose bodies are equally long: each trailer must belong to its own header.
#[test]
fn a_body_is_bound_to_its_header() {
    let mut chain = Chain::new(LEDGER);
    let one = chain.next(&[b"first"]).unwrap();
    let two = chain.next(&[b"other"]).unwrap();
    let mixed = [&one.bytes()[..HEADER_BYTES], &two.bytes()[HEADER_BYTES..]].concat();
    assert_eq!(DecodedFrame::decode(&mixed).map(|_| ()), Err(FrameFault::TrailerChecksum));
}

#[test]
fn what_makes_no_frame_is_refused() {
    let fields = Chain::new(LEDGER).fields(&[]);
    let build = |pieces: &[&[u8]]| Frame::build(&fields, pieces, Vec::new()).map(|_| ());
    assert_eq!(build(&[]), Err(FrameError::Empty));
    assert_eq!(build(&[&[]]), Err(FrameError::Empty));
    assert_eq!(build(&[&[0, 1, 9], &[0]]), Err(FrameError::Piece { piece: 1 }));
    assert_eq!(build(&[&[0, 0]]), Err(FrameError::Piece { piece: 0 }));
    let last = waag_log::frame::FrameFields { first: Position(u64::MAX), ..fields };
    assert_eq!(Frame::build(&last, &[&[0, 1, 9]], Vec::new()).map(|_| ()), Err(FrameError::Position));
    let mut body = Vec::new();
    assert_eq!(push_entry(&mut body, &[]), Err(FrameError::EntryLength { bytes: 0 }));
    push_entry(&mut body, &[1; ENTRY_BYTES_MAX]).unwrap();
    assert_eq!(body[..2], [0xff, 0xff]);
}

#[test]
fn pieces_and_a_used_buffer_make_the_same_frame() {
    let mut chain = Chain::new(LEDGER);
    let whole = chain.clone().next(&[b"one", b"two", b"three"]).unwrap();
    let fields = chain.fields(&[b"one", b"two", b"three"]);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    push_entry(&mut a, b"one").unwrap();
    push_entry(&mut b, b"two").unwrap();
    push_entry(&mut b, b"three").unwrap();
    let used = chain.next(&[&[0xff; 9_000]]).unwrap().into_buffer();
    assert_eq!(Frame::build(&fields, &[&a, &[], &b], used).unwrap(), whole);
}

proptest! {
    #[test]
    fn any_entries_are_read_back(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..900), 1..40)) {
        let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        let frame = Chain::new(LEDGER).next(&slices).unwrap();
        prop_assert_eq!(frame.bytes().len() % FRAME_ALIGN, 0);
        let decoded = DecodedFrame::decode(frame.bytes()).unwrap();
        prop_assert_eq!(decoded.header, *frame.header());
        prop_assert_eq!(decoded.header_hash, frame.header_hash());
        prop_assert_eq!(Entries::new(decoded.body).collect::<Vec<_>>(), slices);
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..9_000)) {
        prop_assert!(DecodedFrame::decode(&bytes).is_err());
    }

    #[test]
    fn any_header_field_is_read_back(count in 1u32..=16_384, first in any::<u32>(), epoch in any::<u64>(), time in any::<i64>(), hash in any::<[u8; 32]>()) {
        let mut header = *frame().header();
        header.count = count;
        header.fields.first = Position(u64::from(first));
        header.tree_size = u64::from(first) + u64::from(count);
        header.fields.epoch.0 = epoch;
        header.fields.commit_time.0 = time;
        header.fields.previous = Hash(hash);
        prop_assert_eq!(FrameHeader::decode(&header.encode()), Ok(header));
    }
}
