//! The log as outsiders read it (`/log/…`), and the desk at which other logs have their checkpoints witnessed (`/witness/…`).
//!
//! Place: behind `publish`. Who may read: everybody where the node says that its log is public, else whoever has a key with
//! the right to read. What a published checkpoint covers never changes, so tiles may be kept for ever; the checkpoint is
//! asked for anew each time.
//! Not here: what is published and when, where tiles come from, what a witness signs (`bin/`); the texts and their
//! proofs (`evidence/ledger`).
//! Bundles are not compressed: sealed parts do not shrink.
//!
//! - `TLOG-1`: at most [`LOG_READS_MAX`] tiles are read, and [`WITNESS_TURNS_MAX`] checkpoints judged, at a time; others
//!   wait, and their connections are bounded.
//! - `TLOG-2`: nothing beyond the published checkpoint is served.
//!
//! Sources: C2SP tlog-tiles, tlog-witness; RFC 9110 §8.8.3 and §13.1.2 (entity tags), RFC 9111 §5.2.2, RFC 8246.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH};
use hyper::{HeaderMap, Request, StatusCode};
use tokio::sync::Semaphore;
use waag_ledger::tile::{Tile, TileKind};
use waag_ledger::witness::{ADD_CHECKPOINT_BYTES_MAX, WitnessReply};

use crate::access::Learned;
use crate::door::{Does, Door};
use crate::fault::{Absent, Fault, Kind};
use crate::json;
use crate::keys::Role;
use crate::problem::Answer;

/// Most tiles and bundles that are read at a time, since each may have whole frames in memory meanwhile.
pub const LOG_READS_MAX: usize = 8;
/// Most checkpoints of other logs that are judged at a time.
pub const WITNESS_TURNS_MAX: usize = 4;
/// Digits of an origin's hash.
const ORIGIN_DIGITS: usize = 64;
/// Bytes of a hash that an entity tag is made of.
const TAG_BYTES: usize = 16;

const LOG: &str = "/log/";
const WITNESS: &str = "/witness/";
const CHECKPOINT_MEDIA: &str = "text/plain; charset=utf-8";
const TILE_MEDIA: &str = "application/octet-stream";

/// A log as far as it is published.
pub trait PublishedLog: Send + Sync {
    /// The newest published checkpoint: a signed note with the cosignatures collected so far. Cheap, asked often.
    ///
    /// # Errors
    /// [`Kind::NotPublished`] before the first one; [`Kind::Unpublished`] where publication has stopped.
    fn checkpoint(&self) -> Result<Arc<str>, Fault>;

    /// A tile's hashes or a bundle of entries, of any width up to the published size; `None` beyond it. Reads the disk.
    ///
    /// # Errors
    /// [`Kind::Unpublished`], or [`Kind::NotSealed`] with the store's code.
    fn tile(&self, tile: Tile) -> Result<Option<Vec<u8>>, Fault>;
}

/// Where other logs have their checkpoints witnessed.
pub trait Witnessing: Send + Sync {
    /// Answers an `add-checkpoint` request; what it cosigns is durable before this returns. Writes the disk.
    ///
    /// # Errors
    /// [`Kind::NotSealed`] with the store's code.
    fn add_checkpoint(&self, request: &[u8]) -> Result<WitnessReply, Fault>;

    /// The newest cosigned checkpoint of a log, by the SHA-256 of its origin in small hexadecimal digits; `None` where there is none.
    ///
    /// # Errors
    /// [`Kind::NotSealed`] with the store's code.
    fn cosigned(&self, origin: &str) -> Result<Option<String>, Fault>;
}

/// What a path of the log serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    Checkpoint,
    Tile(Tile),
    AddCheckpoint,
    /// The hash of an origin stays in the path.
    Cosigned,
}

impl Log {
    pub(crate) fn find(path: &str) -> Option<Self> {
        if let Some(rest) = path.strip_prefix(LOG) {
            return if rest == "checkpoint" {
                Some(Self::Checkpoint)
            } else {
                rest.parse().ok().map(Self::Tile)
            };
        }
        match path.strip_prefix(WITNESS)? {
            "add-checkpoint" => Some(Self::AddCheckpoint),
            rest => origin_of(rest).map(|_| Self::Cosigned),
        }
    }

    /// Its place in [`crate::routes::Route::LABELS`].
    pub(crate) fn label(self) -> usize {
        match self {
            Self::Checkpoint => 27,
            Self::Tile(Tile { kind: TileKind::Hashes(_), .. }) => 28,
            Self::Tile(Tile { kind: TileKind::Entries, .. }) => 29,
            Self::AddCheckpoint => 30,
            Self::Cosigned => 31,
        }
    }

    pub(crate) fn allow(self) -> &'static str {
        match self {
            Self::Checkpoint | Self::Tile(_) | Self::Cosigned => "GET, HEAD",
            Self::AddCheckpoint => "POST",
        }
    }
}

/// The origin's hash in the path behind [`WITNESS`].
fn origin_of(rest: &str) -> Option<&str> {
    let origin = rest.strip_suffix("/checkpoint")?;
    let is_hash =
        origin.len() == ORIGIN_DIGITS && origin.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hash.then_some(origin)
}

/// Turns at the disk for those who read the log, and for those who have it witnessed.
#[derive(Debug)]
pub(crate) struct LogTurns {
    reads: Arc<Semaphore>,
    judgements: Arc<Semaphore>,
}

impl Default for LogTurns {
    fn default() -> Self {
        Self {
            reads: Arc::new(Semaphore::new(LOG_READS_MAX)),
            judgements: Arc::new(Semaphore::new(WITNESS_TURNS_MAX)),
        }
    }
}

impl Door {
    /// Answers a request about the log.
    pub(crate) async fn tlog(
        &self,
        log: Log,
        request: Request<Incoming>,
        learned: &mut Learned,
    ) -> Result<Answer, Fault> {
        match log {
            Log::Checkpoint => {
                let (log, _) = self.published(request.headers(), learned)?;
                let note = log.checkpoint()?;
                Ok(cached(CHECKPOINT_MEDIA, note.as_bytes().to_vec(), "no-cache", request.headers()))
            }
            Log::Tile(tile) => {
                let (log, is_public) = self.published(request.headers(), learned)?;
                let read = self.aside(&self.log_turns.reads, move || log.tile(tile)).await?;
                let bytes = read.ok_or_else(|| Fault::of(Kind::NotPublished))?;
                // A shared cache would hand out what only holders of a key may read (RFC 9111 §3.5).
                let kept = if is_public {
                    "public, max-age=31536000, immutable"
                } else {
                    "private, max-age=31536000, immutable"
                };
                Ok(cached(TILE_MEDIA, bytes, kept, request.headers()))
            }
            Log::AddCheckpoint => self.add_checkpoint(request, learned).await,
            Log::Cosigned => {
                let path = request.uri().path().strip_prefix(WITNESS).unwrap_or_default();
                let origin = origin_of(path).unwrap_or_default().to_owned();
                let witness = self.witness()?;
                let read = self.aside(&self.log_turns.judgements, move || witness.cosigned(&origin)).await?;
                let note = read.ok_or_else(|| Fault::of(Kind::NotPublished))?;
                Ok(cached(CHECKPOINT_MEDIA, note.into_bytes(), "no-cache", request.headers()))
            }
        }
    }

    async fn add_checkpoint(
        &self,
        request: Request<Incoming>,
        learned: &mut Learned,
    ) -> Result<Answer, Fault> {
        let witness = self.witness()?;
        let (head, body) = request.into_parts();
        let body = self.body_within(ADD_CHECKPOINT_BYTES_MAX, &head.headers, body, learned).await?;
        let judged = self.aside(&self.log_turns.judgements, move || witness.add_checkpoint(&body)).await?;
        let status = StatusCode::from_u16(judged.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Ok(Answer::of(judged.content_type, status, judged.body.into_bytes()))
    }

    fn witness(&self) -> Result<Arc<dyn Witnessing>, Fault> {
        self.node().witness().ok_or_else(|| Fault::of(Kind::NotFound(Absent::Witness)))
    }

    /// The log that is asked for, and whether it is everybody's.
    fn published(
        &self,
        headers: &HeaderMap,
        learned: &mut Learned,
    ) -> Result<(Arc<dyn PublishedLog>, bool), Fault> {
        if let Some(log) = self.node().public_log() {
            return Ok((log, true));
        }
        let pass = self.pass(headers, Role::Reader, Does::Read, learned)?;
        let log = pass.ledger.published().ok_or_else(|| Fault::of(Kind::NotPublished))?;
        Ok((log, false))
    }

    /// Does what touches the disk, in turn, and not on the thread that serves connections. It goes on where its client goes
    /// away, and so keeps its turn.
    async fn aside<T: Send + 'static>(
        &self,
        turns: &Arc<Semaphore>,
        work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let turn = Arc::clone(turns).acquire_owned().await.map_err(|_| Fault::of(Kind::Stopped))?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|_| Fault::of(Kind::Stopped))?
    }
}

/// Bytes with their entity tag; without the bytes where the client has them.
fn cached(media: &'static str, body: Vec<u8>, kept: &'static str, headers: &HeaderMap) -> Answer {
    let mut tag = b"\"".to_vec();
    let hash = digest(&SHA256, &body);
    json::hex(&mut tag, hash.as_ref().get(..TAG_BYTES).unwrap_or_default());
    tag.push(b'"');
    let known = headers.get_all(IF_NONE_MATCH).iter().any(|known| names(known.as_bytes(), &tag));
    let mut answer = if known {
        Answer::of("", StatusCode::NOT_MODIFIED, Vec::new())
    } else {
        Answer::of(media, StatusCode::OK, body)
    };
    answer.headers.push((CACHE_CONTROL, HeaderValue::from_static(kept)));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        answer.headers.push((ETAG, tag));
    }
    answer
}

/// Whether a list of entity tags names this one, compared weakly (RFC 9110 §13.1.2).
fn names(list: &[u8], tag: &[u8]) -> bool {
    list.split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|one| one == b"*" || one.strip_prefix(b"W/").unwrap_or(one) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_tlog_tiles_and_tlog_witness_and_no_others() {
        let hash = "0f".repeat(32);
        let tile = |path: &str| Some(Log::Tile(path.parse().unwrap()));
        for (path, found) in [
            ("/log/checkpoint", Some(Log::Checkpoint)),
            ("/log/tile/0/000", tile("tile/0/000")),
            ("/log/tile/0/x001/x234/067.p/12", tile("tile/0/x001/x234/067.p/12")),
            ("/log/tile/entries/000.p/1", tile("tile/entries/000.p/1")),
            ("/witness/add-checkpoint", Some(Log::AddCheckpoint)),
            (&format!("/witness/{hash}/checkpoint"), Some(Log::Cosigned)),
            ("/log/", None),
            ("/log/checkpoint/", None),
            ("/log/tile/64/000", None),
            ("/log/tile/0/000.p/0", None),
            ("/log/tile/0/000.p/256", None),
            ("/log/tile/0/0", None),
            ("/log/tile/00/000", None),
            ("/log/tile/0/x000/001", None),
            ("/log/tile/0/../0/000", None),
            ("/log/tile/data/000", None),
            ("/witness/", None),
            ("/witness/checkpoint", None),
            (&format!("/witness/{}/checkpoint", hash.to_uppercase()), None),
            (&format!("/witness/{}/checkpoint", hash.split_at(1).1), None),
        ] {
            assert_eq!(Log::find(path), found, "{path}");
        }
    }

    #[test]
    fn a_client_that_has_the_bytes_gets_none() {
        let asked = |tag: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::try_from(tag).unwrap());
            cached(TILE_MEDIA, vec![1, 2], "no-cache", &headers)
        };
        let first = cached(TILE_MEDIA, vec![1, 2], "no-cache", &HeaderMap::new());
        let (_, tag) = first.headers.iter().find(|(name, _)| *name == ETAG).unwrap();
        let tag = tag.to_str().unwrap();
        assert_eq!((first.status, first.body.len()), (StatusCode::OK, 2));
        for known in [tag.to_owned(), format!("W/{tag}"), format!("\"x\" ,{tag}"), "*".to_owned()] {
            let told = asked(&known);
            assert_eq!((told.status, told.body.len()), (StatusCode::NOT_MODIFIED, 0), "{known}");
        }
        for other in ["\"x\"", "", tag.split_at(1).1, &format!("x{tag}")] {
            assert_eq!(asked(other).status, StatusCode::OK, "{other}");
        }
    }
}
