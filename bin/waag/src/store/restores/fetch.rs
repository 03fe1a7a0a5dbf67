//! Pieces of frames read, opened and hashed on all cores, and given in their order.
//!
//! Memory is bounded: no more than a few pieces are ahead of the one that is due.

use std::collections::BTreeMap;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};

use waag_archive::frames::CheckedFrame;
use waag_archive::manifest::Piece;
use waag_archive::repository::Repository;

use super::RestoreError;
use crate::store::backups::{BackupError, check_piece};

/// Most threads.
const THREADS_MAX: usize = 4;

type Fetched = (Vec<u8>, Vec<CheckedFrame>);
/// Gets each piece; says whether to go on.
type Take<'t> = &'t mut dyn FnMut(&Piece, &[u8], &[CheckedFrame]) -> Result<bool, RestoreError>;

/// Reads pieces until there are no more, or `take` has enough.
pub(super) fn in_order(
    repository: &Repository,
    pieces: &[&Piece],
    take: Take<'_>,
) -> Result<(), RestoreError> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(1, THREADS_MAX);
    let (jobs, waiting) = sync_channel::<usize>(threads + 1);
    let (done, outcomes) = sync_channel::<(usize, Result<Fetched, BackupError>)>(threads + 1);
    let waiting = Mutex::new(waiting);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (done, waiting) = (done.clone(), &waiting);
            scope.spawn(move || {
                loop {
                    let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(number) = job else { return };
                    let fetched = pieces.get(number).map(|piece| fetch(repository, piece));
                    let fetched = fetched.unwrap_or(Err(BackupError::Stopped));
                    if done.send((number, fetched)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let mut early: BTreeMap<usize, Fetched> = BTreeMap::new();
        let mut asked = 0_usize;
        for (number, piece) in pieces.iter().enumerate() {
            // What is asked for and not given yet never exceeds the room of the queue, so that nobody waits for ever.
            while asked < pieces.len() && asked < number + threads + 1 {
                if jobs.send(asked).is_err() {
                    return Err(BackupError::Stopped.into());
                }
                asked += 1;
            }
            while !early.contains_key(&number) {
                let (at, fetched) = outcomes.recv().map_err(|_| BackupError::Stopped)?;
                early.insert(at, fetched?);
            }
            let Some((plain, frames)) = early.remove(&number) else { continue };
            if !take(piece, &plain, &frames)? {
                break;
            }
        }
        drop(jobs);
        Ok(())
    })
}

fn fetch(repository: &Repository, piece: &Piece) -> Result<Fetched, BackupError> {
    let plain = repository.get(piece)?;
    let frames = check_piece(piece, &plain)?;
    Ok((plain, frames))
}
