//! One suite that every driver of [`EventLog`] and of [`Guard`] passes, the simulated ones too.
//!
//! Place: called by drivers' tests. It returns what broke instead of panicking, so that it can also be run against a
//! store in the field. Not here: faults of a driver's own medium (its fault table).

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;

use waag_ledger::hash::{Hash, leaf_hash};
use waag_ledger::tree::Frontier;
use waag_model::ids::{Epoch, FrameNumber, LedgerId, Position};
use waag_model::time::UtcNanos;

use crate::contract::{AppendError, EventLog, ReadError, Tail, TrimError};
use crate::fault::FrameFault;
use crate::frame::{
    ENTRY_BYTES_MAX, FRAME_BYTES_MAX, FRAME_ENTRIES_MAX, Frame, FrameError, FrameFields, HEADER_BYTES,
    LENGTH_BYTES, TRAILER_BYTES, push_entry,
};
use crate::guard::{GUARD_CHECKPOINT_BYTES_MAX, Guard, GuardError, GuardFault, GuardRecord};

/// What a driver broke, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

fn broken(words: impl fmt::Display) -> Broken {
    Broken(words.to_string())
}

fn ensure(holds: bool, words: impl fmt::Display) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(broken(words)) }
}

/// How the suite makes logs of a driver.
pub trait LogHarness {
    /// A new, empty log in a place of its own.
    ///
    /// # Errors
    /// The driver's, in words.
    fn create(&self, ledger: LedgerId) -> Result<Arc<dyn EventLog>, Broken>;
    /// Opens the log last created again; every handle to it was dropped before.
    ///
    /// # Errors
    /// The driver's, in words.
    fn reopen(&self, guard: &GuardRecord) -> Result<Arc<dyn EventLog>, Broken>;
}

/// Makes frames that follow each other, with true roots.
#[derive(Clone, Debug)]
pub struct Chain {
    tail: Tail,
    tree: Frontier,
    sink: Vec<Hash>,
}

impl Chain {
    /// Before the first frame of a ledger.
    #[must_use]
    pub fn new(ledger: LedgerId) -> Self {
        Self { tail: Tail::start(ledger), tree: Frontier::new(), sink: Vec::new() }
    }

    /// What the next frame follows.
    #[must_use]
    pub fn tail(&self) -> Tail {
        self.tail
    }

    /// What the next frame of these entries would be told, without making it.
    #[must_use]
    pub fn fields(&self, entries: &[&[u8]]) -> FrameFields {
        let mut tree = self.tree.clone();
        let mut sink = Vec::new();
        for entry in entries {
            tree.append(leaf_hash(entry), &mut sink);
        }
        FrameFields {
            ledger: self.tail.ledger,
            epoch: Epoch(self.tail.epoch.0.max(1)),
            number: self.tail.next,
            commit_time: UtcNanos(self.tail.commit_time.0.max(0)).later_by(1_000_000),
            first: self.tail.position,
            previous: self.tail.header_hash,
            root: tree.root(),
        }
    }

    /// The next frame.
    ///
    /// # Errors
    /// [`FrameError`]; the chain has then not moved.
    pub fn next(&mut self, entries: &[&[u8]]) -> Result<Frame, FrameError> {
        let mut body = Vec::new();
        for entry in entries {
            push_entry(&mut body, entry)?;
        }
        let frame = Frame::build(&self.fields(entries), &[&body], Vec::new())?;
        for entry in entries {
            self.tree.append(leaf_hash(entry), &mut self.sink);
        }
        self.sink.clear();
        self.tail = Tail::after(frame.header(), frame.header_hash());
        Ok(frame)
    }

    /// The guard over everything made so far.
    #[must_use]
    pub fn guard(&self, sequence: u64) -> GuardRecord {
        GuardRecord {
            sequence,
            ledger: self.tail.ledger,
            epoch: self.tail.epoch,
            frame: FrameNumber(self.tail.next.0.saturating_sub(1)),
            size: self.tail.position.0,
            root: self.tail.root,
            header_hash: self.tail.header_hash,
            keys_generation: 0,
            checkpoint: b"a checkpoint\n".to_vec(),
        }
    }
}

/// Entries of `count` different lengths up to `bytes`, told apart by `salt`.
#[must_use]
pub fn sample_entries(salt: u64, count: usize, bytes: usize) -> Vec<Vec<u8>> {
    let entry = |n: usize| {
        let length = 1 + (n.wrapping_mul(7_919).wrapping_add(bytes / 2)) % bytes.max(1);
        let word = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n as u64);
        word.to_le_bytes().into_iter().cycle().take(length).collect()
    };
    (0..count).map(entry).collect()
}

fn slices(entries: &[Vec<u8>]) -> Vec<&[u8]> {
    entries.iter().map(Vec::as_slice).collect()
}

const LEDGER: LedgerId = LedgerId(*b"conformance-0001");

/// Runs the suite for logs.
///
/// # Errors
/// [`Broken`] with the first thing that does not hold.
pub fn event_log(harness: &dyn LogHarness) -> Result<(), Broken> {
    an_empty_log(harness)?;
    appends_are_read_back(harness)?;
    what_does_not_follow_is_refused(harness)?;
    frames_at_the_limits(harness)?;
    reopening_keeps_everything(harness)?;
    of_two_writers_one_is_refused(harness)
}

fn an_empty_log(harness: &dyn LogHarness) -> Result<(), Broken> {
    let log = harness.create(LEDGER)?;
    ensure(log.tail() == Tail::start(LEDGER), "an empty log's tail is the start")?;
    ensure(collect(&*log, 0)?.is_empty(), "an empty log shows nothing")?;
    let beyond = log.read(Position(1), &mut |_| ControlFlow::Continue(()));
    ensure(matches!(beyond, Err(ReadError::BeyondTail { .. })), "reading beyond the tail is refused")?;
    ensure(log.trim(Position(0)) == Err(TrimError::NoArchive), "nothing is trimmed without an archive")
}

/// The frames that a reading from `from` shows: number, first position and body.
fn collect(log: &dyn EventLog, from: u64) -> Result<Vec<(u64, u64, Vec<u8>)>, Broken> {
    let mut seen = Vec::new();
    let read = log.read(Position(from), &mut |view| {
        let fields = view.header().fields;
        seen.push((fields.number.0, fields.first.0, view.body().to_vec()));
        ControlFlow::Continue(())
    });
    read.map_err(|error| broken(format!("reading from {from}: {error}")))?;
    Ok(seen)
}

fn append(log: &dyn EventLog, frame: &Frame) -> Result<(), Broken> {
    let number = frame.header().fields.number;
    log.append(number, frame).map_err(|error| broken(format!("appending frame {number}: {error}")))?;
    let after = Tail::after(frame.header(), frame.header_hash());
    ensure(log.tail() == after, format!("the tail after frame {number} is behind it"))
}

fn filled(log: &dyn EventLog, chain: &mut Chain, frames: u64) -> Result<Vec<Frame>, Broken> {
    let mut made = Vec::new();
    for n in 0..frames {
        let count = 1 + usize::try_from(n * n % 41).unwrap_or(0);
        let entries = sample_entries(n, count, 1 + 257 * count);
        let frame = chain.next(&slices(&entries)).map_err(broken)?;
        append(log, &frame)?;
        made.push(frame);
    }
    Ok(made)
}

fn shows(log: &dyn EventLog, frames: &[Frame]) -> Result<(), Broken> {
    let expected = |frame: &Frame| {
        let fields = frame.header().fields;
        (fields.number.0, fields.first.0, frame.body().to_vec())
    };
    let all: Vec<_> = frames.iter().map(expected).collect();
    ensure(collect(log, 0)? == all, "LOG-1: everything appended is read back in order")?;
    for (n, frame) in frames.iter().enumerate() {
        let first = frame.header().fields.first.0;
        let last = frame.header().tree_size.saturating_sub(1);
        for from in [first, last] {
            let shown = collect(log, from)?;
            let due = all.get(n..).unwrap_or(&[]);
            ensure(shown == due, format!("reading from {from} begins with the frame that holds it"))?;
        }
    }
    Ok(())
}

fn appends_are_read_back(harness: &dyn LogHarness) -> Result<(), Broken> {
    let log = harness.create(LEDGER)?;
    let frames = filled(&*log, &mut Chain::new(LEDGER), 40)?;
    shows(&*log, &frames)?;
    let mut shown = 0;
    let read = log.read(Position(0), &mut |view| {
        shown += view.entries().count();
        ControlFlow::Break(())
    });
    read.map_err(broken)?;
    let first = frames.first().map_or(0, |frame| frame.header().count as usize);
    ensure(shown == first, "a reader that breaks off sees no more")?;
    let end = log.tail().position;
    ensure(collect(&*log, end.0)?.is_empty(), "reading from the tail shows nothing")
}

fn what_does_not_follow_is_refused(harness: &dyn LogHarness) -> Result<(), Broken> {
    let log = harness.create(LEDGER)?;
    let mut chain = Chain::new(LEDGER);
    let frames = filled(&*log, &mut chain, 3)?;
    let entries: [&[u8]; 1] = [b"entry"];
    let good = chain.fields(&entries);
    let mut body = Vec::new();
    push_entry(&mut body, b"entry").map_err(broken)?;
    let build = |fields: FrameFields| Frame::build(&fields, &[&body], Vec::new()).map_err(broken);
    for expected in [good.number.0 - 1, good.number.0 + 1] {
        let refused = log.append(FrameNumber(expected), &build(good)?);
        ensure(
            matches!(refused, Err(AppendError::Conflict { .. })),
            "LOG-5: another expected number is a conflict",
        )?;
    }
    let wrong = [
        (
            "ledger",
            FrameFields { ledger: LedgerId([9; 16]), ..good },
            FrameFault::Ledger { found: LedgerId([9; 16]) },
        ),
        (
            "number",
            FrameFields { number: FrameNumber(9), ..good },
            FrameFault::Number { found: FrameNumber(9), expected: good.number },
        ),
        (
            "position",
            FrameFields { first: Position(good.first.0 + 1), ..good },
            FrameFault::Position { found: Position(good.first.0 + 1), expected: good.first },
        ),
        ("previous", FrameFields { previous: Hash([1; 32]), ..good }, FrameFault::Previous),
        (
            "commit time",
            FrameFields { commit_time: chain.tail().commit_time, ..good },
            FrameFault::CommitTime,
        ),
        (
            "epoch",
            FrameFields { epoch: Epoch(0), ..good },
            FrameFault::Epoch { found: Epoch(0), least: chain.tail().epoch },
        ),
    ];
    for (what, fields, fault) in wrong {
        let refused = log.append(good.number, &build(fields)?);
        let named = matches!(refused, Err(AppendError::Frame(found)) if found == fault);
        ensure(named, format!("a frame of another {what} is refused, and by name"))?;
    }
    shows(&*log, &frames)?;
    append(&*log, &build(good)?)
}

fn frames_at_the_limits(harness: &dyn LogHarness) -> Result<(), Broken> {
    let log = harness.create(LEDGER)?;
    let mut chain = Chain::new(LEDGER);
    let one = [7u8];
    let most: Vec<&[u8]> = std::iter::repeat_n(&one[..], FRAME_ENTRIES_MAX).collect();
    append(&*log, &chain.next(&most).map_err(broken)?)?;
    let more: Vec<&[u8]> = std::iter::repeat_n(&one[..], FRAME_ENTRIES_MAX + 1).collect();
    let refused = chain.next(&more).map(|_| ());
    ensure(
        refused == Err(FrameError::TooManyEntries { entries: FRAME_ENTRIES_MAX + 1 }),
        "one entry above the limit is refused",
    )?;
    // The longest frame: as many of the longest entries as fit, and one that fills up the rest to the last byte.
    let longest = vec![0x5a; ENTRY_BYTES_MAX];
    let room = FRAME_BYTES_MAX - HEADER_BYTES - TRAILER_BYTES;
    let whole = room / (ENTRY_BYTES_MAX + LENGTH_BYTES);
    let rest = room - whole * (ENTRY_BYTES_MAX + LENGTH_BYTES);
    let last = vec![0xa5; rest.saturating_sub(LENGTH_BYTES)];
    let mut entries: Vec<&[u8]> = std::iter::repeat_n(&longest[..], whole).collect();
    entries.push(&last);
    let frame = chain.next(&entries).map_err(broken)?;
    ensure(frame.bytes().len() == FRAME_BYTES_MAX, "the longest frame is as long as the limit")?;
    append(&*log, &frame)?;
    let longer = vec![0xa5; last.len() + 1];
    entries.pop();
    entries.push(&longer);
    let refused = chain.next(&entries).map(|_| ());
    let too_long = matches!(refused, Err(FrameError::TooLong { .. }));
    ensure(too_long, "one byte above the limit is refused")?;
    let bytes = ENTRY_BYTES_MAX + 1;
    let refused = chain.next(&[&vec![0; bytes]]).map(|_| ());
    ensure(refused == Err(FrameError::EntryLength { bytes }), "an entry above the limit is refused")?;
    append(&*log, &chain.next(&[b"small again"]).map_err(broken)?)?;
    ensure(collect(&*log, 0)?.len() == 3, "frames at the limits are read back")
}

fn reopening_keeps_everything(harness: &dyn LogHarness) -> Result<(), Broken> {
    let log = harness.create(LEDGER)?;
    let mut chain = Chain::new(LEDGER);
    let mut frames = filled(&*log, &mut chain, 9)?;
    drop(log);
    let log = harness.reopen(&chain.guard(1))?;
    ensure(log.tail() == chain.tail(), "reopened, the tail is where it was")?;
    shows(&*log, &frames)?;
    let behind = chain.guard(2);
    frames.extend(filled(&*log, &mut chain, 1)?);
    drop(log);
    let log = harness.reopen(&behind)?;
    ensure(log.tail() == chain.tail(), "a whole frame beyond the guard is kept")?;
    frames.extend(filled(&*log, &mut chain, 5)?);
    shows(&*log, &frames)?;
    drop(log);
    let mut ahead = chain.guard(3);
    ahead.frame = FrameNumber(ahead.frame.0 + 1);
    ahead.size += 1;
    ensure(harness.reopen(&ahead).is_err(), "LOG-7: a log behind its guard is not opened to append")?;
    let log = harness.reopen(&chain.guard(4))?;
    shows(&*log, &frames)
}

fn of_two_writers_one_is_refused(harness: &dyn LogHarness) -> Result<(), Broken> {
    let log = harness.create(LEDGER)?;
    let mut chain = Chain::new(LEDGER);
    for n in 0..20u64 {
        let mut other = chain.clone();
        let mine = chain.next(&[b"mine"]).map_err(broken)?;
        let theirs = other.next(&[b"theirs"]).map_err(broken)?;
        let expected = FrameNumber(n);
        let (one, two) = thread::scope(|scope| {
            let two = scope.spawn(|| log.append(expected, &theirs));
            (log.append(expected, &mine), two.join())
        });
        let two = two.map_err(|_| broken("the second writer panicked"))?;
        let conflict = |result: &Result<(), AppendError>| matches!(result, Err(AppendError::Conflict { .. }));
        let fair = one.is_ok() && conflict(&two) || two.is_ok() && conflict(&one);
        ensure(fair, format!("LOG-5: of two appends of frame {n} one is refused: {one:?}, {two:?}"))?;
        if two.is_ok() {
            chain = other;
        }
        ensure(log.tail() == chain.tail(), "the tail is behind the frame that was accepted")?;
    }
    ensure(collect(&*log, 0)?.len() == 20, "LOG-4: one frame per number")
}

/// How the suite makes guards of a driver.
pub trait GuardHarness {
    /// A new guard without a record, in a place of its own.
    ///
    /// # Errors
    /// The driver's, in words.
    fn create(&self) -> Result<Box<dyn Guard>, Broken>;
    /// Opens the guard last created again; its handle was dropped before.
    ///
    /// # Errors
    /// The driver's, in words.
    fn reopen(&self) -> Result<Box<dyn Guard>, Broken>;
}

/// Runs the suite for guards.
///
/// # Errors
/// [`Broken`] with the first thing that does not hold.
pub fn guard(harness: &dyn GuardHarness) -> Result<(), Broken> {
    let read = |guard: &dyn Guard| guard.read().map_err(broken);
    let conflict = |result: Result<(), GuardError>| matches!(result, Err(GuardError::Conflict { .. }));
    let mut chain = Chain::new(LEDGER);
    let guard = harness.create()?;
    ensure(read(&*guard)?.is_none(), "a new guard has no record")?;
    ensure(
        conflict(guard.swap(Some(0), &chain.guard(1))),
        "a swap of a record that is not there is a conflict",
    )?;
    ensure(conflict(guard.swap(None, &chain.guard(1))), "the first record has sequence 0")?;
    guard.swap(None, &chain.guard(0)).map_err(broken)?;
    ensure(read(&*guard)? == Some(chain.guard(0)), "the first record is read back")?;
    ensure(conflict(guard.swap(None, &chain.guard(0))), "a second first record is a conflict")?;
    drop(guard);
    let mut guard = harness.reopen()?;
    for sequence in 1..=6u64 {
        let frame_entry = sequence.to_le_bytes();
        chain.next(&[&frame_entry]).map_err(broken)?;
        let new = chain.guard(sequence);
        for other in [sequence.checked_sub(2), Some(sequence), None] {
            ensure(conflict(guard.swap(other, &new)), format!("a swap of {other:?} is a conflict"))?;
        }
        ensure(
            conflict(guard.swap(Some(sequence - 1), &chain.guard(sequence + 1))),
            "no sequence is left out",
        )?;
        guard.swap(Some(sequence - 1), &new).map_err(broken)?;
        ensure(read(&*guard)? == Some(new.clone()), "the record swapped in is read back")?;
        if sequence.is_multiple_of(2) {
            drop(guard);
            guard = harness.reopen()?;
            ensure(read(&*guard)? == Some(new), "a record outlives its handle")?;
        }
    }
    let mut long = chain.guard(7);
    long.checkpoint = vec![b'x'; GUARD_CHECKPOINT_BYTES_MAX + 1];
    let refused = guard.swap(Some(6), &long);
    let named = matches!(refused, Err(GuardError::Record(GuardFault::CheckpointLength { .. })));
    ensure(named, "a checkpoint above the limit is refused")?;
    long.checkpoint.pop();
    guard.swap(Some(6), &long).map_err(broken)?;
    drop(guard);
    ensure(read(&*harness.reopen()?)? == Some(long), "a checkpoint at the limit is read back")
}
