//! Verification of a whole log that trusts neither the writer nor the index: every byte, every link, every root.
//!
//! Place: behind `waag verify` and every crash test. A driver walks its files in order ([`RawLog`]); the verifier
//! checks frames, chain, tree and guard, and goes on behind a fault. It does not know what an entry's bytes mean: the
//! caller's check is asked for each. Not here: finding the next frame behind damage (the driver's walk).
//!
//! What lies beyond the guard was never acknowledged; it is counted and told as residue, not as a fault. A log whose
//! guard is missing is never verified.

use std::ops::ControlFlow;

use waag_ledger::hash::{EMPTY_ROOT, Hash, leaf_hash};
use waag_ledger::tree::Frontier;
use waag_model::ids::{LedgerId, Position};

use crate::contract::{Place, Tail};
use crate::fault::FrameFault;
use crate::frame::{DecodedFrame, Entries, FrameHeader, HEADER_BYTES};
use crate::guard::GuardRecord;

/// Most faults, and most notes on residue, that are kept one by one; more are only counted.
pub const FAULTS_MAX: usize = 1_000;
/// Frames beyond the guard after which the walk ends; a writer that runs beside adds them without end.
pub const RESIDUE_FRAMES_MAX: u64 = 16;

/// What a driver's walk finds, in the order of the log.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// Bytes with an intact header of this ledger: as many as the header calls for, or all there are.
    Frame {
        /// Where.
        place: Place<'a>,
        /// The header.
        header: FrameHeader,
        /// The frame's bytes.
        bytes: &'a [u8],
    },
    /// Something that is no frame; the walk goes on behind it where it can.
    Fault {
        /// Where.
        place: Place<'a>,
        /// What.
        fault: RawFault<'a>,
    },
}

/// What a driver's walk can find wrong with its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawFault<'a> {
    /// A header that is not intact, or of another ledger.
    Header(FrameFault),
    /// E0428: bytes that are not zero where no frame is.
    NotZero,
    /// E0429: a file that is missing, unknown or cannot be read, in words.
    File(&'a str),
}

/// A log that can be walked raw.
pub trait RawLog {
    /// Shows everything from the log's first byte to its last; the visitor ends the walk with `Break`.
    fn walk(&self, visit: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>);
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFault {
    /// The file, by its name below the log's root.
    pub file: String,
    /// The offset in it, in bytes.
    pub offset: u64,
    /// The first position concerned, where it is known.
    pub position: Option<Position>,
    /// The stable code.
    pub code: &'static str,
    /// What is wrong.
    pub reason: String,
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Frames under the guard that were seen.
    pub frames: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Entries that could not be proven, since an entry before them is damaged or missing.
    pub entries_unproven: u64,
    /// The root computed over all entries under the guard; `None` where the tree could not be computed.
    pub root: Option<Hash>,
    /// The guard's frame, size and root are what was computed.
    pub guard_reached: bool,
    /// The first [`FAULTS_MAX`] faults.
    pub faults: Vec<LogFault>,
    /// How many there are.
    pub faults_total: u64,
    /// Whole frames beyond the guard, at most [`RESIDUE_FRAMES_MAX`].
    pub residue_frames: u64,
    /// Entries in them.
    pub residue_entries: u64,
    /// What else was found beyond the guard: torn or foreign bytes.
    pub residue: Vec<LogFault>,
}

impl Report {
    /// Whether everything under the guard is there and unchanged.
    #[must_use]
    pub fn verified(&self) -> bool {
        self.guard_reached && self.faults_total == 0 && self.entries_unproven == 0
    }
}

/// Asked for each entry under the guard; an error in words becomes a fault at the entry's position.
pub type CheckEntry<'a> = &'a mut dyn FnMut(Position, &[u8]) -> Result<(), String>;

/// Verifies a log up to its guard.
#[must_use]
pub fn verify(
    log: &dyn RawLog,
    ledger: LedgerId,
    guard: Option<&GuardRecord>,
    check: CheckEntry<'_>,
) -> Report {
    let mut verifier = Verifier::new(ledger, guard, check);
    log.walk(&mut |found| verifier.see(found));
    verifier.finish()
}

struct Verifier<'a> {
    guard: Option<&'a GuardRecord>,
    check: CheckEntry<'a>,
    tail: Tail,
    /// The chain is broken before the next frame, and that was reported.
    gap: bool,
    /// `None` once an entry is missing or wrong: no later root can be computed.
    tree: Option<Frontier>,
    sink: Vec<Hash>,
    report: Report,
}

impl<'a> Verifier<'a> {
    fn new(ledger: LedgerId, guard: Option<&'a GuardRecord>, check: CheckEntry<'a>) -> Self {
        let report = Report {
            frames: 0,
            entries: 0,
            bytes: 0,
            entries_unproven: 0,
            root: None,
            guard_reached: false,
            faults: Vec::new(),
            faults_total: 0,
            residue_frames: 0,
            residue_entries: 0,
            residue: Vec::new(),
        };
        let mut this = Self {
            guard,
            check,
            tail: Tail::start(ledger),
            gap: false,
            tree: Some(Frontier::new()),
            sink: Vec::new(),
            report,
        };
        let place = Place { file: "guard", offset: 0 };
        match guard {
            None => this.fault(place, None, "E0408", "there is no guard".to_owned()),
            Some(guard) if guard.ledger != ledger => {
                let reason = format!("the guard is of ledger `{}`", guard.ledger);
                this.fault(place, None, "E0408", reason);
            }
            Some(guard) if guard.size == 0 => {
                this.report.root = Some(EMPTY_ROOT);
                this.report.guard_reached = guard.root == EMPTY_ROOT && guard.header_hash == Hash([0; 32]);
                if !this.report.guard_reached {
                    this.fault(
                        place,
                        None,
                        "E0408",
                        "the guard of an empty ledger has another root".to_owned(),
                    );
                }
            }
            Some(_) => {}
        }
        this
    }

    fn beyond_guard(&self) -> bool {
        self.guard.is_some_and(|guard| self.tail.next >= guard.next_frame())
    }

    fn fault(&mut self, place: Place<'_>, position: Option<Position>, code: &'static str, reason: String) {
        let beyond = self.beyond_guard() && self.report.guard_reached;
        let list = if beyond { &mut self.report.residue } else { &mut self.report.faults };
        if list.len() < FAULTS_MAX {
            list.push(LogFault { file: place.file.to_owned(), offset: place.offset, position, code, reason });
        }
        if !beyond {
            self.report.faults_total += 1;
        }
    }

    fn see(&mut self, found: Found<'_>) -> ControlFlow<()> {
        match found {
            Found::Frame { place, header, bytes } => self.frame(place, &header, bytes),
            Found::Fault { place, fault } => {
                let position = Some(self.tail.position).filter(|_| !self.gap);
                match fault {
                    RawFault::Header(fault) => {
                        self.fault(place, position, fault.code(), fault.to_string());
                        self.gap = true;
                    }
                    RawFault::NotZero => {
                        self.fault(place, position, "E0428", "bytes not zero where no frame is".to_owned());
                    }
                    RawFault::File(words) => {
                        self.fault(place, position, "E0429", words.to_owned());
                        self.gap = true;
                    }
                }
            }
        }
        if self.report.residue_frames < RESIDUE_FRAMES_MAX {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }

    fn frame(&mut self, place: Place<'_>, header: &FrameHeader, bytes: &[u8]) {
        let first = header.fields.first;
        if let Err(fault) = self.tail.check_next(header) {
            let behind = header.fields.ledger != self.tail.ledger || header.fields.number < self.tail.next;
            if behind || !self.gap {
                self.fault(place, Some(first), fault.code(), fault.to_string());
            }
            if behind {
                // Not a frame of this place at all: it must not become what the next frame is measured by.
                return;
            }
            if header.fields.first != self.tail.position {
                self.tree = None;
            }
        }
        self.gap = false;
        let mut intact = true;
        let body = match DecodedFrame::decode_behind(*header, bytes) {
            Ok(frame) => frame.body,
            Err(fault) => {
                self.fault(place, Some(first), fault.code(), fault.to_string());
                intact = false;
                bytes.get(HEADER_BYTES..).and_then(|b| b.get(..header.body_bytes as usize)).unwrap_or(&[])
            }
        };
        let beyond = self.guard.is_some_and(|guard| header.fields.number >= guard.next_frame());
        self.entries(place, header, body, intact, beyond);
        let count = u64::from(header.count);
        if beyond {
            self.report.residue_frames += u64::from(intact);
            self.report.residue_entries += if intact { count } else { 0 };
        } else {
            self.report.frames += 1;
            self.report.entries += count;
            self.report.bytes += bytes.len() as u64;
            self.report.entries_unproven += if self.tree.is_some() { 0 } else { count };
        }
        let hash = bytes.first_chunk::<HEADER_BYTES>().map_or(Hash([0; 32]), crate::frame::header_hash);
        self.guarded(place, header, hash);
        self.tail = Tail::after(header, hash);
    }

    /// Checks the entries one by one and the root over them.
    ///
    /// A damaged frame's entries are hashed as well: where the root still fits, the damage is in trailer or padding.
    fn entries(&mut self, place: Place<'_>, header: &FrameHeader, body: &[u8], intact: bool, beyond: bool) {
        let mut position = header.fields.first;
        let mut refused = Vec::new();
        for entry in Entries::new(body) {
            if let Some(tree) = &mut self.tree {
                tree.append(leaf_hash(entry), &mut self.sink);
            }
            if intact
                && !beyond
                && refused.len() < FAULTS_MAX
                && let Err(reason) = (self.check)(position, entry)
            {
                refused.push((position, reason));
            }
            position = Position(position.0.saturating_add(1));
        }
        self.sink.clear();
        for (position, reason) in refused {
            self.fault(place, Some(position), "E0427", reason);
        }
        let fits = self
            .tree
            .as_ref()
            .map(|tree| tree.size() == header.tree_size && tree.root() == header.fields.root);
        if fits == Some(false) {
            self.tree = None;
            if intact {
                let reason = "root does not match the entries".to_owned();
                self.fault(place, Some(header.fields.first), "E0407", reason);
            }
        }
    }

    /// Compares the guard with its frame.
    fn guarded(&mut self, place: Place<'_>, header: &FrameHeader, hash: Hash) {
        let Some(guard) = self.guard.filter(|guard| guard.size > 0 && guard.frame == header.fields.number)
        else {
            return;
        };
        self.report.root = self.tree.as_ref().map(Frontier::root);
        let same = guard.size == header.tree_size
            && guard.root == header.fields.root
            && guard.header_hash == hash
            && guard.ledger == header.fields.ledger;
        if same {
            self.report.guard_reached = true;
        } else {
            let reason = "the guard's size, root or header hash is not its frame's".to_owned();
            self.fault(place, Some(header.fields.first), "E0408", reason);
        }
    }

    fn finish(mut self) -> Report {
        if let Some(guard) = self.guard.filter(|guard| self.tail.next < guard.next_frame()) {
            let reason = format!(
                "the log ends before frame `{}` and position `{}`, the guard is at frame `{}` and size `{}`",
                self.tail.next, self.tail.position, guard.frame, guard.size
            );
            let position = self.tail.position;
            self.fault(Place { file: "log", offset: 0 }, Some(position), "E0409", reason);
        }
        self.report
    }
}
