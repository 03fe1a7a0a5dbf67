//! Checking a pack with the ledger's own keys, and what came of it line by line.
//!
//! That the operator's program says so convinces nobody but the operator: an outsider uses `waag-verify` and a key from
//! elsewhere, and whoever shows this says so ([`OUTSIDERS`]).

use serde::Serialize;
use waag_engine::recover::verifier_keys;
use waag_keys::ledger::LedgerKeys;
use waag_ledger::pack::{PackFault, Trust, Verdict, verify};

/// What is said beside every outcome.
pub const OUTSIDERS: &str = "this was checked with the ledger's own keys; an outsider gets the ledger's key elsewhere and \
                             runs: waag-verify pack PACK.zip --key @ledger.vkey";

/// What was found of a pack that is verified.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// SHA-256 of its manifest, in hexadecimal digits.
    pub digest: String,
    /// The ledger's origin.
    pub origin: String,
    /// Entries.
    pub entries: u64,
    /// The first and the last position.
    pub positions: (u64, u64),
    /// Whether nothing is missing between the two.
    pub complete: bool,
    /// The checkpoint's size.
    pub tree_size: u64,
    /// Its root, in hexadecimal digits.
    pub root: String,
    /// Who signed it.
    pub signers: Vec<String>,
    /// Parts that open.
    pub disclosed: u64,
    /// Parts that do not, erased ones included.
    pub closed: u64,
    /// What the exporter says: who.
    pub by: String,
    /// What the exporter says: when.
    pub made: String,
    /// What the exporter says: why.
    pub reason: String,
    /// What the exporter says: what was asked.
    pub selection: String,
}

/// Checks a pack.
///
/// # Errors
/// [`PackFault`]: exactly what is wrong.
pub fn check(keys: &LedgerKeys, pack: &[u8]) -> Result<Checked, PackFault> {
    let keys = verifier_keys(keys).map_err(PackFault::NoteSignature)?;
    let trust = Trust { keys: &keys, history: None, witnesses: &[], policy: None, at: None };
    Ok(Checked::of(&verify(pack, &trust)?))
}

impl Checked {
    fn of(verdict: &Verdict<'_>) -> Self {
        let manifest = verdict.manifest();
        let checkpoint = verdict.checkpoint();
        let told = checkpoint.checkpoint();
        Self {
            digest: verdict.digest().to_string(),
            origin: told.origin.clone(),
            entries: manifest.counts.entries,
            positions: (manifest.first, manifest.last),
            complete: verdict.completeness().is_some(),
            tree_size: told.size,
            root: told.root.to_string(),
            signers: checkpoint.signers().iter().map(ToString::to_string).collect(),
            disclosed: manifest.counts.disclosed,
            closed: verdict.closed(),
            by: manifest.actor.clone(),
            made: manifest.made.to_string(),
            reason: manifest.reason.clone(),
            selection: manifest.selection.text.clone(),
        }
    }

    /// What was found, as names and values in the order in which they are shown; what is only the exporter's word says so.
    #[must_use]
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let (first, last) = self.positions;
        let completeness = if self.complete {
            format!("gapless: nothing is missing between positions {first} and {last}")
        } else {
            format!("positions {first} to {last} with gaps: not proven to be everything")
        };
        vec![
            ("origin", self.origin.clone()),
            ("entries", self.entries.to_string()),
            ("completeness", completeness),
            ("checkpoint", format!("size {}, root {}", self.tree_size, self.root)),
            ("signed by", self.signers.join(", ")),
            ("opened parts", self.disclosed.to_string()),
            ("closed parts", self.closed.to_string()),
            ("digest", self.digest.clone()),
            ("the exporter says", format!("made {} by {}", self.made, self.by)),
            ("it was asked for", self.selection.clone()),
            ("because", self.reason.clone()),
        ]
    }
}
