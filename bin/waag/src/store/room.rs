//! How much is free on the disks that a store grows on, and whether that is enough to take more events.
//!
//! A disk that runs full in the middle of a commit stops the writer until it is started again (E0433). So no more events are
//! taken before that; what is under way, read models and what Waag itself records go on in what is left, and events are
//! taken again as soon as there is room. Nobody has to start anything again.
//!
//! Not here: who is refused, and how (`edge/http`, `node::feed`, `node::bridges`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use waag_http::fault::Kind;
use waag_stdx::clock::Clock;

use super::error::StoreError;
use super::options::Options;
use super::place::Place;
use crate::cli::tell;

/// What must be free for events to be taken, in bytes, where nothing else is asked for: more than a second of the fastest
/// sender brings, with read models and the space that is prepared ahead.
pub const FREE_BYTES_MIN: u64 = 256 * MIB;
const MIB: u64 = 1_024 * 1_024;
/// How old a look at the disks may be.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Beyond the least, this part of it must be free before events are taken again, so that it does not go to and fro.
const AGAIN_PART: u64 = 8;

/// Tells how many bytes are free where a folder is.
type Free = dyn Fn(&Path) -> Option<u64> + Send + Sync;

/// The disks of one store.
pub struct Room {
    folders: [PathBuf; 2],
    least: u64,
    clock: Arc<dyn Clock>,
    free: Box<Free>,
    seen: Mutex<Seen>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    at: Option<Duration>,
    left: Left,
    /// What was told last.
    told_low: bool,
}

/// What was seen at most a second ago.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Free bytes, where both folders are on disks of their own on the fuller one; none where nobody can tell.
    pub free: Option<u64>,
    /// No more events are taken.
    pub is_low: bool,
}

/// Too little is free to take more events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom {
    /// Bytes that are free.
    pub free: u64,
    /// Bytes that are to be.
    pub least: u64,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (free, least) = (self.free / MIB, self.least / MIB);
        write!(
            f,
            "{free} MiB are free on the disk of the store, and {least} are to be (--disk-free-mib): no more events are taken"
        )
    }
}

impl std::error::Error for NoRoom {}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room")
            .field("folders", &self.folders)
            .field("least", &self.least)
            .finish_non_exhaustive()
    }
}

impl Room {
    /// Of a store that is opened so.
    pub(crate) fn new(place: &Place, options: &Options) -> Self {
        let folders = [place.data.clone(), place.state.clone()];
        Self::by(folders, options.free_bytes_min, Arc::clone(&options.clock), free_bytes)
    }

    fn by(
        folders: [PathBuf; 2],
        least: u64,
        clock: Arc<dyn Clock>,
        free: impl Fn(&Path) -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        Self { folders, least, clock, free: Box::new(free), seen: Mutex::default() }
    }

    /// What is left; tells once where it has become too little or enough again.
    pub fn left(&self) -> Left {
        let mut seen = self.seen();
        let (left, is_news) = (seen.left, seen.left.is_low != seen.told_low);
        seen.told_low = left.is_low;
        drop(seen);
        if is_news {
            self.tell(left);
        }
        left
    }

    /// Whether more events are taken; who is refused tells it.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`].
    pub fn check(&self) -> Result<(), StoreError> {
        let left = self.seen().left;
        if left.is_low { Err(StoreError::NoRoom(self.error(left))) } else { Ok(()) }
    }

    /// What was seen, after a look at the disks where the last one is too old.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        let now = self.clock.monotonic();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.at.is_none_or(|at| now.saturating_sub(at) >= LOOK_EVERY) {
            let more = if seen.left.is_low { self.least / AGAIN_PART } else { 0 };
            let least = self.least.saturating_add(more);
            let free = self.folders.iter().filter_map(|folder| (self.free)(folder)).min();
            seen.left = Left { free, is_low: free.is_some_and(|free| free < least) };
            seen.at = Some(now);
        }
        seen
    }

    fn error(&self, left: Left) -> NoRoom {
        NoRoom { free: left.free.unwrap_or(0), least: self.least }
    }

    fn tell(&self, left: Left) {
        if left.is_low {
            let error = self.error(left);
            tell(&format!("warning: {}: {error}; they are again once there is more", Kind::NoRoom.code()));
        } else {
            tell("note: there is room on the disk again, and events are taken");
        }
    }
}

/// Free bytes of the file system that a folder is on, for who has no privileges.
fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use waag_model::time::UtcNanos;
    use waag_sim::senses::SimClock;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    /// What a disk has free that cannot be asked.
    const UNKNOWN: u64 = 1_000_000;

    /// A data folder and a state folder on disks of their own.
    struct Disks {
        clock: Arc<SimClock>,
        data: Arc<AtomicU64>,
        state: Arc<AtomicU64>,
        room: Room,
    }

    impl Disks {
        fn new(least: u64) -> Self {
            let clock = Arc::new(SimClock::new(UtcNanos(0)));
            let [data, state] = [1_000 * MIB; 2].map(|free| Arc::new(AtomicU64::new(free)));
            let (of_data, of_state) = (Arc::clone(&data), Arc::clone(&state));
            let free = move |folder: &Path| {
                let disk = if folder == Path::new("data") { &of_data } else { &of_state };
                Some(disk.load(Ordering::Relaxed)).filter(|free| *free < UNKNOWN * MIB)
            };
            let folders = ["data", "state"].map(PathBuf::from);
            let room = Room::by(folders, least * MIB, Arc::clone(&clock) as Arc<dyn Clock>, free);
            Self { clock, data, state, room }
        }

        /// What is told a second later, so many mebibytes being free then.
        fn later(&self, data: u64, state: u64) -> Left {
            self.data.store(data * MIB, Ordering::Relaxed);
            self.state.store(state * MIB, Ordering::Relaxed);
            self.clock.pass(SECOND);
            self.room.left()
        }
    }

    fn is_low(free: u64) -> Left {
        Left { free: Some(free * MIB), is_low: true }
    }

    fn is_enough(free: u64) -> Left {
        Left { free: Some(free * MIB), is_low: false }
    }

    #[test]
    fn events_are_taken_while_the_least_is_free_on_both_disks_and_again_when_an_eighth_more_is() {
        let disks = Disks::new(800);
        assert_eq!(disks.room.left(), is_enough(1_000));
        assert_eq!(disks.later(900, 800), is_enough(800));
        assert_eq!(disks.later(799, 900), is_low(799));
        assert_eq!(disks.later(900, 899), is_low(899));
        assert_eq!(disks.later(900, 900), is_enough(900));
        assert_eq!(disks.later(900, 799), is_low(799));
        let refused = disks.room.check().unwrap_err();
        assert_eq!(refused.code(), "E0924");
        assert!(refused.to_string().contains("799 MiB"), "{refused}");
    }

    #[test]
    fn the_disks_are_looked_at_once_a_second() {
        let disks = Disks::new(800);
        assert_eq!(disks.room.left(), is_enough(1_000));
        disks.data.store(MIB, Ordering::Relaxed);
        disks.clock.pass(SECOND - 1);
        assert_eq!(disks.room.left(), is_enough(1_000));
        disks.clock.pass(1);
        assert_eq!(disks.room.left(), is_low(1));
    }

    #[test]
    fn a_disk_that_cannot_be_asked_and_no_bound_refuse_nobody() {
        let disks = Disks::new(800);
        assert_eq!(disks.later(UNKNOWN, UNKNOWN), Left::default());
        assert_eq!(disks.later(UNKNOWN, 900), is_enough(900));
        assert_eq!(Disks::new(0).later(0, 0), is_enough(0));
    }

    #[test]
    fn a_real_disk_tells_what_is_free_and_a_folder_that_is_not_there_nothing() {
        let here = tempfile::tempdir().unwrap();
        assert!(free_bytes(here.path()).is_some_and(|free| free > 0));
        assert_eq!(free_bytes(&here.path().join("none")), None);
    }
}
