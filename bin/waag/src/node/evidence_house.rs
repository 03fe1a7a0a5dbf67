//! What the pages of evidence show of a running node, and what they order of it.
//!
//! Place: between the pages and the use cases of publication, packs, persons and upkeep, which record what is ordered.
//! Not here: how pages look (`edge/web`), the use cases themselves.

mod packs;
mod persons;
mod standing;
mod upkeep;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use waag_model::ids::Actor;
use waag_model::time::{UtcDay, UtcNanos};
use waag_web::ports::HouseError;

use self::packs::Packing;
use self::standing::Growth;
use super::Running;
use crate::store::ledgers::Earlier;

/// How long the number of tombstones is told before they are counted again.
const TOMBSTONES_FOR: Duration = Duration::from_secs(60);

/// A running node as the pages of evidence see it.
pub struct EvidenceHouse {
    running: Arc<Running>,
    growth: Mutex<Growth>,
    tombstones: Mutex<Option<(Duration, u64)>>,
    packing: Arc<Packing>,
    /// The ledgers before the present one, opened when something is looked for in them.
    earlier: OnceLock<Earlier>,
}

impl std::fmt::Debug for EvidenceHouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EvidenceHouse").finish_non_exhaustive()
    }
}

impl EvidenceHouse {
    /// That of a running node.
    #[must_use]
    pub fn new(running: Arc<Running>) -> Self {
        Self {
            running,
            growth: Mutex::default(),
            tombstones: Mutex::default(),
            packing: Arc::new(Packing::default()),
            earlier: OnceLock::new(),
        }
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error in the pages' words.
fn failed(code: &'static str, reason: impl ToString) -> HouseError {
    HouseError { code, reason: reason.to_string() }
}

/// Who orders.
fn actor(by: &str) -> Result<Actor, HouseError> {
    Actor::new(by).map_err(|error| failed(error.code(), error))
}

/// A time as use cases tell it.
fn time(text: &str) -> Option<UtcNanos> {
    waag_invoices::when::instant(text)
}

/// A day as use cases tell it.
fn day(text: &str) -> Option<UtcDay> {
    waag_invoices::when::day(text).map(UtcDay)
}
