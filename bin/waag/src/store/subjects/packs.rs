//! What was handed out with parts of a person: evidence packs, and exports of the whole ledger. Not here: their records
//! (`crate::evidence::record`, `store/exports`).

use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_keys::side::Side;
use waag_model::ids::Tag;

use super::told::{ExportOut, PackOut};
use crate::evidence::record::packs;
use crate::store::exports::{EXPORT_PREFIX, ExportRecord};

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

/// Every export with persons' fields or keys, the newest first: whoever is in the ledger may be in it.
///
/// # Errors
/// The state's; [`KeysError::Unreadable`].
pub fn exports(keyring: &Keyring) -> Result<Vec<ExportOut>, KeysError> {
    let mut found = Vec::new();
    keyring.each_side_record(Side::Upkeep, EXPORT_PREFIX, |record| {
        let export = ExportRecord::decode(&record.value).ok_or(KeysError::Unreadable("an export"))?;
        if export.revealed || export.keys {
            found.push(ExportOut {
                manifest_sha256: hex::encode(export.digest),
                made: export.at.to_string(),
                by: export.by,
                revealed: export.revealed,
                keys: export.keys,
                position: export.position,
            });
        }
        Ok(())
    })?;
    found.reverse();
    Ok(found)
}

impl ExportOut {
    /// A line that names it.
    #[must_use]
    pub fn line(&self) -> String {
        let what = match (self.revealed, self.keys) {
            (true, true) => "persons' fields and keys",
            (_, true) => "keys",
            (_, false) => "persons' fields",
        };
        let (digest, made, by) = (&self.manifest_sha256, &self.made, &self.by);
        format!("an export of everything with {what}, manifest {digest}, made {made} by {by}")
    }
}
