//! Evidence packs that were handed out with parts of a person. Not here: their records (`crate::evidence::record`).

use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_model::ids::Tag;

use super::told::PackOut;
use crate::evidence::record::packs;

/// Every pack that has a person's parts, the newest first.
///
/// # Errors
/// The state's; [`KeysError::Unreadable`].
pub fn packs_of(keyring: &Keyring, person: Tag) -> Result<Vec<PackOut>, KeysError> {
    let theirs = packs(keyring)?.into_iter().filter(|pack| pack.persons.contains(&person));
    let told = |pack: crate::evidence::record::PackRecord| PackOut {
        digest: pack.digest.to_string(),
        made: pack.made.to_string(),
        by: pack.by,
        position: pack.position.0,
        entries: pack.entries,
    };
    Ok(theirs.map(told).collect())
}
