//! Whether the ledger is still the one that was published, grown (`PUBLISH-1`).
//!
//! Asked at each opening to write, before anything is signed, by `waag verify`, and where publication begins.
//! What was published ended with a frame, as every checkpoint does; the header of that frame has the root. One frame is
//! read, and nothing derived is believed.

use std::ops::ControlFlow;

use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_ledger::hash::Hash;
use waag_log::contract::EventLog;
use waag_model::ids::Position;

use super::record::{self, Kept};
use super::status::Stopped;

/// What was published last of the ledger with that origin. What another ledger of this tenant published says nothing of it.
///
/// # Errors
/// [`KeysError::State`], [`KeysError::Unreadable`].
pub(crate) fn published(keyring: &Keyring, origin: &str) -> Result<Option<Kept>, KeysError> {
    Ok(record::latest(keyring)?.filter(|kept| kept.origin == origin))
}

/// Compares what was published with a ledger of so many guarded entries.
pub(crate) fn check(log: &dyn EventLog, size: u64, kept: &Kept) -> Result<(), Stopped> {
    if kept.size > size {
        return Err(Stopped::taken_back(kept.size, size));
    }
    let Some(last) = kept.size.checked_sub(1) else { return Ok(()) };
    let mut found: Option<(u64, Hash)> = None;
    let read = log.read(Position(last), &mut |frame| {
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
