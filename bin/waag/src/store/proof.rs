//! Inclusion proofs that are checked before anybody gets them: from the stored hashes, and where these are missing or
//! wrong, from the log itself.
//!
//! The stored hashes are derived and may lag behind their writer, or be damaged. Then the log is read once from its first
//! entry, and of all hashes only those that the proof asks for are kept.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use waag_ledger::checkpoint::Checkpoint;
use waag_ledger::hash::{Hash, leaf_hash};
use waag_ledger::proof::{InclusionProof, prove_inclusion};
use waag_ledger::stored::{HashReadError, HashReader};
use waag_ledger::tree::Frontier;
use waag_log::contract::EventLog;
use waag_model::ids::Position;

use super::error::StoreError;

/// The proof that `leaf` stands at `position` under a checkpoint.
///
/// # Errors
/// [`StoreError::Proof`] where not even the log leads to the checkpoint's root; [`StoreError::Read`].
pub fn prove(
    stored: &dyn HashReader,
    log: &dyn EventLog,
    checkpoint: &Checkpoint,
    position: Position,
    leaf: &Hash,
) -> Result<InclusionProof, StoreError> {
    let quick = prove_inclusion(stored, position.0, checkpoint.size).ok();
    if let Some(proof) = quick.filter(|proof| proof.verify(leaf, &checkpoint.root).is_ok()) {
        return Ok(proof);
    }
    let asked = Asked::default();
    // Only to learn which hashes are needed: nothing is there to be read.
    drop(prove_inclusion(&asked, position.0, checkpoint.size));
    let recomputed = from_log(log, checkpoint.size, asked.0.into_inner())?;
    let proof = prove_inclusion(&recomputed, position.0, checkpoint.size)?;
    proof.verify(leaf, &checkpoint.root)?;
    Ok(proof)
}

/// Notes what is asked for and has none of it.
#[derive(Default)]
struct Asked(RefCell<Vec<u64>>);

impl HashReader for Asked {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, HashReadError> {
        self.0.borrow_mut().extend_from_slice(indexes);
        Err(HashReadError::Missing { index: indexes.first().copied().unwrap_or(0) })
    }
}

/// A few stored hashes by their numbers.
struct Few(BTreeMap<u64, Hash>);

impl HashReader for Few {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, HashReadError> {
        let find = |index: &u64| self.0.get(index).copied().ok_or(HashReadError::Missing { index: *index });
        indexes.iter().map(find).collect()
    }
}

fn from_log(log: &dyn EventLog, size: u64, wanted: Vec<u64>) -> Result<Few, StoreError> {
    let mut found: BTreeMap<u64, Option<Hash>> = wanted.into_iter().map(|index| (index, None)).collect();
    let (mut frontier, mut sink, mut next) = (Frontier::new(), Vec::new(), 0_u64);
    let mut look = |frame: waag_log::contract::FrameView<'_>| {
        for (_, bytes) in frame.entries() {
            if frontier.size() == size {
                return ControlFlow::Break(());
            }
            sink.clear();
            frontier.append(leaf_hash(bytes), &mut sink);
            for hash in &sink {
                if let Some(place) = found.get_mut(&next) {
                    *place = Some(*hash);
                }
                next += 1;
            }
        }
        ControlFlow::Continue(())
    };
    log.read(Position(0), &mut look)
        .map_err(|error| StoreError::Read(waag_engine::reader::ReadFault::Log(error)))?;
    Ok(Few(found.into_iter().filter_map(|(index, hash)| Some((index, hash?))).collect()))
}
