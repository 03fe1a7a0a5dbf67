//! Frames of a piece, held against the chain and the tree that they continue (`ARCHIVE-3`).
//!
//! In two halves, so that the first can be done on any number of threads: every frame by itself with the hashes of its
//! entries, then how frames follow one another, one piece after the other.
//! Not here: the frame (`evidence/log`), the tree (`evidence/ledger`), reading the log (`bin/waag`).

use waag_ledger::hash::{Hash, leaf_hash};
use waag_ledger::tree::Frontier;
use waag_log::contract::Tail;
use waag_log::frame::{DecodedFrame, Entries, FrameHeader};
use waag_log::guard::GuardRecord;
use waag_model::ids::{LedgerId, Position};
use waag_model::time::UtcNanos;

use crate::error::{ArchiveError, SpanFault};
use crate::manifest::{Manifest, Piece};

/// A piece of frames is closed before the frame that would bring it above this length.
pub const FRAMES_BYTES: usize = 16 * 1_024 * 1_024;

/// A frame that is whole, with the hashes of its entries.
#[derive(Clone, Debug)]
pub struct CheckedFrame {
    /// Its header.
    pub header: FrameHeader,
    /// The hash of its header.
    pub hash: Hash,
    /// The leaf hashes of its entries.
    pub leaves: Vec<Hash>,
    /// Its length.
    pub bytes: usize,
}

/// A position and what is wrong from there on.
pub type At = (Position, SpanFault);

/// Checks every frame of a piece by itself.
///
/// # Errors
/// The first that is not whole; position 0 where nothing of it can be read.
pub fn check_frames(mut piece: &[u8]) -> Result<Vec<CheckedFrame>, At> {
    let mut frames = Vec::new();
    let mut next = Position(0);
    while !piece.is_empty() {
        let frame = DecodedFrame::decode(piece).map_err(|fault| (next, SpanFault::Frame(fault)))?;
        let leaves = Entries::new(frame.body).map(leaf_hash).collect();
        let (header, hash, bytes) = (frame.header, frame.header_hash, frame.bytes.len());
        next = Position(header.tree_size);
        frames.push(CheckedFrame { header, hash, leaves, bytes });
        piece = piece.get(bytes..).unwrap_or_default();
    }
    Ok(frames)
}

/// The chain and the tree as far as they are checked.
#[derive(Clone, Debug)]
pub struct Span {
    tail: Tail,
    frontier: Frontier,
    sink: Vec<Hash>,
}

impl Span {
    /// Before the first frame.
    #[must_use]
    pub fn start(ledger: LedgerId) -> Self {
        Self { tail: Tail::start(ledger), frontier: Frontier::new(), sink: Vec::new() }
    }

    /// Behind the frames of a run.
    #[must_use]
    pub fn behind(run: &Manifest) -> Self {
        let (guard, start) = (&run.guard, Tail::start(run.ledger));
        let tail = Tail {
            next: guard.next_frame(),
            position: guard.next_position(),
            header_hash: guard.header_hash,
            commit_time: run.committed,
            epoch: if guard.size == 0 { start.epoch } else { guard.epoch },
            root: guard.root,
            ..start
        };
        Self { tail, frontier: run.frontier.clone(), sink: Vec::new() }
    }

    /// Goes over a frame.
    ///
    /// # Errors
    /// Where it does not follow, or its entries do not lead to its root.
    pub fn take(&mut self, frame: &CheckedFrame) -> Result<(), At> {
        let first = frame.header.fields.first;
        self.tail.check_next(&frame.header).map_err(|fault| (first, SpanFault::Frame(fault)))?;
        self.sink.clear();
        for leaf in &frame.leaves {
            self.frontier.append(*leaf, &mut self.sink);
        }
        if self.frontier.size() != frame.header.tree_size || self.frontier.root() != frame.header.fields.root
        {
            return Err((first, SpanFault::Root));
        }
        self.tail = Tail::after(&frame.header, frame.hash);
        Ok(())
    }

    /// Goes over the frames of a piece, which must be those that the manifest names.
    ///
    /// # Errors
    /// [`ArchiveError::Frames`].
    pub fn take_piece(&mut self, piece: &Piece, frames: &[CheckedFrame]) -> Result<(), ArchiveError> {
        let wrong = |(position, fault)| ArchiveError::Frames { name: piece.name.clone(), position, fault };
        let starts = (self.tail.next.0, self.tail.position.0) == (piece.first_frame, piece.first_position);
        frames.iter().try_for_each(|frame| self.take(frame)).map_err(wrong)?;
        let ends = self.tail.position.0 == piece.end_position && self.tail.commit_time == piece.committed;
        if starts && ends && frames.len() as u64 == piece.items {
            Ok(())
        } else {
            Err(wrong((Position(piece.first_position), SpanFault::Named)))
        }
    }

    /// Whether the frames lead exactly to a guard.
    #[must_use]
    pub fn reaches(&self, guard: &GuardRecord) -> bool {
        let tail = &self.tail;
        tail.ledger == guard.ledger
            && tail.position.0 == guard.size
            && tail.next == guard.next_frame()
            && tail.root == guard.root
            && tail.header_hash == guard.header_hash
    }

    /// The end of what was gone over.
    #[must_use]
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The tree there.
    #[must_use]
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Stored hashes that the last frame completed, in the order of `evidence/ledger`, `stored`.
    #[must_use]
    pub fn completed(&self) -> &[Hash] {
        &self.sink
    }
}

/// Where a restored log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Behind the newest run's last frame.
    Newest,
    /// Behind the last frame that ends at or before a position.
    Position(Position),
    /// Behind the last frame that was committed at or before a time.
    Time(UtcNanos),
}

impl End {
    /// Whether a frame is still within.
    #[must_use]
    pub fn holds(self, header: &FrameHeader) -> bool {
        match self {
            Self::Newest => true,
            Self::Position(position) => header.tree_size <= position.0,
            Self::Time(time) => header.fields.commit_time <= time,
        }
    }
}
