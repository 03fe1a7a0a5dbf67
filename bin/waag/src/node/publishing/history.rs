//! Whether the ledger is still the one that was published, grown (`PUBLISH-1`).
//!
//! What was published ended with a frame, as every checkpoint does; the header of that frame has the root. One frame is
//! read, and nothing derived is believed.

use std::ops::ControlFlow;

use waag_ledger::hash::Hash;
use waag_log::contract::EventLog;
use waag_model::ids::Position;

use crate::store::writer::OpenedStore;

use super::record::Kept;
use super::status::Stopped;

pub(super) fn check(store: &OpenedStore, kept: &Kept) -> Result<(), Stopped> {
    let size = store.status().checkpoint.checkpoint().size;
    if kept.size > size {
        return Err(Stopped::taken_back(kept.size, size));
    }
    let Some(last) = kept.size.checked_sub(1) else { return Ok(()) };
    let mut found: Option<(u64, Hash)> = None;
    let read = store.log.read(Position(last), &mut |frame| {
        found = Some((frame.header().tree_size, frame.header().fields.root));
        ControlFlow::Break(())
    });
    if let Err(error) = read {
        return Err(Stopped { code: error.code(), reason: error.to_string() });
    }
    if found == Some((kept.size, kept.root)) {
        return Ok(());
    }
    Err(Stopped::other_history(kept.size))
}
