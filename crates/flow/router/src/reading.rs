//! Reading the ledger for lanes: a stretch that all who keep up share, and readers of the past for everybody else.
//!
//! Place: between the ledger and `feed`. Two threads read: one for the shared stretch, so that replays and lanes that lag hold
//! nobody up, one for the past and for single events. What they read comes back as messages.
//! Not here: who asks for what (`feed`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use waag_model::ids::Position;
use waag_pattern::Scratch;

use crate::records::LaneId;
use crate::rules::{Rules, Sorted};
use crate::source::{ChunkLimits, Event, Source, SourceError};

/// How much is read at a time.
pub(crate) const CHUNK: ChunkLimits = ChunkLimits { events_max: 4_096, bytes_max: 8 * 1_024 * 1_024 };
/// Most bytes of events that the shared stretch holds.
const SHARED_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// Most chunks that it holds, however small.
const SHARED_CHUNKS_MAX: usize = 4_096;
/// Most requests that wait for a reader.
const REQUESTS_MAX: usize = 8_192;

/// The newest part of the ledger, sorted; lanes that keep up take their events from here.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    chunks: VecDeque<Arc<Sorted>>,
    first: u64,
    end: u64,
    bytes: usize,
}

impl Shared {
    /// Begins anew at a position.
    pub(crate) fn begin(&mut self, at: u64) {
        *self = Self { first: at, end: at, ..Self::default() };
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Whether a lane that has read so far finds here what comes next, at once or soon.
    pub(crate) fn is_near(&self, read_to: u64, near: u64) -> bool {
        read_to >= self.first && read_to <= self.end.saturating_add(near)
    }

    pub(crate) fn push(&mut self, chunk: Sorted) {
        if chunk.from != self.end {
            return;
        }
        self.end = chunk.end;
        self.bytes = self.bytes.saturating_add(chunk.bytes);
        self.chunks.push_back(Arc::new(chunk));
        while self.bytes > SHARED_BYTES_MAX || self.chunks.len() > SHARED_CHUNKS_MAX {
            let Some(old) = self.chunks.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(old.bytes);
            self.first = old.end;
        }
    }

    /// The chunk that holds a position.
    pub(crate) fn chunk(&self, position: u64) -> Option<&Arc<Sorted>> {
        if position < self.first || position >= self.end {
            return None;
        }
        let at = self.chunks.partition_point(|chunk| chunk.end <= position);
        self.chunks.get(at)
    }
}

/// What is asked of a reader.
pub(crate) enum Request {
    /// A chunk for all who keep up, or for one lane.
    Chunk {
        /// None for the shared stretch.
        lane: Option<LaneId>,
        from: u64,
        to: u64,
        rules: Arc<Rules>,
    },
    /// Single events for a lane, by rising position.
    Pick { lane: LaneId, positions: Vec<u64> },
}

/// What a reader answers.
pub(crate) enum Answer {
    Chunk { lane: Option<LaneId>, from: u64, result: Result<Sorted, SourceError> },
    Picked { lane: LaneId, result: Result<Vec<Arc<Event>>, SourceError> },
}

/// A thread that reads. Dropping it ends it after what it is at.
pub(crate) struct Reader {
    requests: Option<SyncSender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    pub(crate) fn start(
        name: &str,
        source: Arc<dyn Source>,
        tell: impl Fn(Answer) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (requests, asked) = sync_channel(REQUESTS_MAX);
        let run = move || read(&*source, &asked, &tell);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// Asks; `false` where too much is asked already.
    pub(crate) fn ask(&self, request: Request) -> bool {
        let sent = self.requests.as_ref().map(|requests| requests.try_send(request));
        !matches!(sent, Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn read(source: &dyn Source, asked: &Receiver<Request>, tell: &dyn Fn(Answer)) {
    let mut scratch = Scratch::new();
    while let Ok(request) = asked.recv() {
        tell(match request {
            Request::Chunk { lane, from, to, rules } => {
                let read = source.read(Position(from), Position(to), CHUNK);
                let result = read.map(|chunk| rules.sort(from, chunk.events, &mut scratch));
                Answer::Chunk { lane, from, result }
            }
            Request::Pick { lane, positions } => {
                let positions: Vec<Position> = positions.into_iter().map(Position).collect();
                Answer::Picked { lane, result: source.pick(&positions) }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(from: u64, end: u64, bytes: usize) -> Sorted {
        Sorted { from, end, bytes, ..Sorted::default() }
    }

    #[test]
    fn the_shared_stretch_has_no_gap_and_drops_its_oldest() {
        let mut shared = Shared::default();
        shared.begin(100);
        shared.push(chunk(100, 110, SHARED_BYTES_MAX / 2));
        shared.push(chunk(111, 120, 1));
        assert_eq!(shared.end(), 110, "a gap is refused");
        shared.push(chunk(110, 120, SHARED_BYTES_MAX / 2));
        assert_eq!(shared.chunk(109).unwrap().end, 110);
        assert_eq!(shared.chunk(110).unwrap().end, 120);
        shared.push(chunk(120, 121, 1));
        assert!(shared.chunk(109).is_none() && shared.chunk(121).is_none());
        assert!(!shared.is_near(109, 5) && shared.is_near(110, 5) && shared.is_near(126, 5));
        assert!(!shared.is_near(127, 5));
    }
}
