//! The door's desk on the state: API keys, plans and mappings lie beside the keys, durable and under the guard.

use std::sync::Arc;

use waag_http::ports::{Desk, DeskError, Shelf};
use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;

/// Keeps a door's records in the state.
#[derive(Clone)]
pub struct StateDesk(pub Arc<Keyring>);

impl std::fmt::Debug for StateDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StateDesk")
    }
}

/// What the names of a shelf's records begin with.
fn prefix(shelf: Shelf) -> &'static str {
    match shelf {
        Shelf::Keys => "key/",
        Shelf::Plans => "plan/",
        Shelf::Mappings => "mapping/",
    }
}

/// The state's name of a shelf's record.
#[must_use]
pub fn record_name(shelf: Shelf, name: &str) -> Vec<u8> {
    format!("{}{name}", prefix(shelf)).into_bytes()
}

fn failed(error: KeysError) -> DeskError {
    DeskError { code: error.code(), reason: error.to_string() }
}

impl Desk for StateDesk {
    fn load(&self, shelf: Shelf) -> Result<Vec<(String, Vec<u8>)>, DeskError> {
        let begin = prefix(shelf).as_bytes();
        let records = self.0.door_records(begin).map_err(failed)?;
        let named = |(name, record): (Vec<u8>, Vec<u8>)| {
            let name = name.strip_prefix(begin).unwrap_or_default();
            (String::from_utf8_lossy(name).into_owned(), record)
        };
        Ok(records.into_iter().map(named).collect())
    }

    fn save(&self, shelf: Shelf, name: &str, record: Option<&[u8]>) -> Result<(), DeskError> {
        self.0.keep_door_record(&record_name(shelf, name), record).map_err(failed)
    }
}
