//! Under which checkpoint a pack stands, who signed it, and the hashes that lead to its root.
//!
//! The published checkpoint is taken where there is one over all of the entries: outsiders and witnesses have seen it. The
//! guard's newest one is taken where there is none.

use std::ops::{ControlFlow, Range};

use waag_cover::{KeyShown, WitnessShown};
use waag_engine::reader::ReadFault;
use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_keys::ledger::LedgerKeys;
use waag_ledger::checkpoint::SignedCheckpoint;
use waag_ledger::cosignature::ML_DSA_44_SIGNATURE_BYTES;
use waag_ledger::hash::{Hash, leaf_hash};
use waag_ledger::history::KeyHistory;
use waag_ledger::note::{Note, NoteSignature, VerifierKey};
use waag_ledger::tree::Frontier;
use waag_log::contract::EventLog;
use waag_model::ids::Position;
use waag_model::time::UtcNanos;

use super::Source;
use super::error::EvidenceError;
use crate::node::publishing::PublishError;
use crate::node::publishing::keys::pack_history;
use crate::node::publishing::record::{cosigned, latest};
use crate::store::error::StoreError;

/// Bytes of an Ed25519 signature (RFC 8032 §5.1.6).
const ED25519_SIGNATURE_BYTES: usize = 64;
/// Bytes of the time before a cosignature (C2SP tlog-cosignature).
const TIME_BYTES: usize = 8;

/// The checkpoint of a pack whose last entry is at `last`, and whether it was published.
pub(super) fn choose(source: &Source<'_>, last: Position) -> Result<(SignedCheckpoint, bool), EvidenceError> {
    let newest = source.checkpoint.checkpoint();
    let keyring = &source.reader.keyring;
    let history = history(keyring, source.keys)?;
    let keys: Vec<VerifierKey> = history.windows().iter().map(|window| window.key.clone()).collect();
    for kept in [cosigned(keyring)?, latest(keyring)?].into_iter().flatten() {
        // One that is newer than what was opened is beyond what can be read here.
        if kept.size <= last.0 || kept.size > newest.size || kept.origin != newest.origin {
            continue;
        }
        if let Ok(checkpoint) = SignedCheckpoint::verify(kept.note.as_bytes(), &keys) {
            return Ok((checkpoint, true));
        }
    }
    Ok(((*source.checkpoint).clone(), false))
}

/// The ledger's signing keys and when each signs, that of a second algorithm included, as a pack tells it.
///
/// # Errors
/// [`StoreError::Keys`].
pub fn history(keyring: &Keyring, keys: &LedgerKeys) -> Result<KeyHistory, StoreError> {
    pack_history(keyring, keys).map_err(|error| match error {
        PublishError::Keys(error) => error.into(),
        PublishError::PolicyFile(_)
        | PublishError::Policy(_)
        | PublishError::Witness(_)
        | PublishError::Key(..)
        | PublishError::Thread(_) => KeysError::Unreadable("the signing keys").into(),
    })
}

/// Who signed a checkpoint for the ledger, as it is shown.
pub(super) fn signers(checkpoint: &SignedCheckpoint) -> Vec<KeyShown> {
    let shown = |key: &VerifierKey| KeyShown { name: key.name().to_owned(), id: hex::encode(key.id().0) };
    checkpoint.signers().iter().map(shown).collect()
}

/// Who is said to have cosigned it, and when: lines under other names than the ledger's whose signature begins with a time.
/// Nobody's key is known here; the lines were checked when they were collected.
pub(super) fn witnesses(checkpoint: &SignedCheckpoint) -> Vec<WitnessShown> {
    let Ok(note) = Note::parse(checkpoint.note().as_bytes()) else { return Vec::new() };
    let origin = &checkpoint.checkpoint().origin;
    let shown = |line: &NoteSignature| {
        let (time, signature) = line.signature.split_first_chunk::<TIME_BYTES>()?;
        let is_one = matches!(signature.len(), ED25519_SIGNATURE_BYTES | ML_DSA_44_SIGNATURE_BYTES);
        let seconds = i64::try_from(u64::from_be_bytes(*time)).ok()?;
        let at = seconds.checked_mul(1_000_000_000)?;
        let key = KeyShown { name: line.name.clone(), id: hex::encode(line.key_id.0) };
        (is_one && line.name != *origin).then_some(WitnessShown { key, at: UtcNanos(at) })
    };
    note.signatures().iter().filter_map(shown).collect()
}

/// The proof's hashes from the log itself, for where the stored hashes are missing or wrong: read once, from the first entry.
pub(super) fn hashes_from_log(
    log: &dyn EventLog,
    positions: &[u64],
    size: u64,
) -> Result<Vec<Hash>, EvidenceError> {
    let mut ranges = Vec::new();
    absent(0..size, positions, &mut ranges);
    let (mut hashes, mut sink) = (Vec::with_capacity(ranges.len()), Vec::new());
    let mut ranges = ranges.into_iter();
    let (mut next, mut tree) = (ranges.next(), Frontier::new());
    let read = log.read(Position(0), &mut |frame| {
        for (position, bytes) in frame.entries() {
            let Some(range) = &next else { return ControlFlow::Break(()) };
            if !range.contains(&position.0) {
                continue;
            }
            sink.clear();
            tree.append(leaf_hash(bytes), &mut sink);
            if position.0.saturating_add(1) == range.end {
                hashes.push(std::mem::replace(&mut tree, Frontier::new()).root());
                next = ranges.next();
            }
        }
        ControlFlow::Continue(())
    });
    read.map_err(ReadFault::Log)?;
    Ok(hashes)
}

/// The largest subtrees that hold none of the positions, from left to right (`docs/reference/pack.md`, `proof.bin`).
fn absent(range: Range<u64>, positions: &[u64], out: &mut Vec<Range<u64>>) {
    let leaves = range.end.saturating_sub(range.start);
    if positions.is_empty() {
        if leaves > 0 {
            out.push(range);
        }
        return;
    }
    if leaves <= 1 {
        return;
    }
    let middle = range.start.saturating_add(1 << leaves.saturating_sub(1).ilog2());
    let (left, right) = positions.split_at(positions.partition_point(|position| *position < middle));
    absent(range.start..middle, left, out);
    absent(middle..range.end, right, out);
}

#[cfg(test)]
mod tests {
    use waag_ledger::pack::prove_entries;
    use waag_ledger::stored::HashReader;

    use super::*;

    #[test]
    fn subtrees_without_an_entry_are_those_of_the_stored_hashes() {
        let leaves: Vec<Hash> = (0..37u64).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let (mut tree, mut stored) = (Frontier::new(), Vec::new());
        for leaf in &leaves {
            tree.append(*leaf, &mut stored);
        }
        let stored: &dyn HashReader = &stored;
        for positions in [vec![0], vec![36], vec![3, 4, 30], vec![0, 36], (0..37).collect::<Vec<u64>>()] {
            let mut ranges = Vec::new();
            absent(0..37, &positions, &mut ranges);
            let root = |range: Range<u64>| {
                let mut tree = Frontier::new();
                let from = usize::try_from(range.start).unwrap();
                let to = usize::try_from(range.end).unwrap();
                leaves[from..to].iter().for_each(|leaf| tree.append(*leaf, &mut Vec::new()));
                tree.root()
            };
            let hashes: Vec<Hash> = ranges.into_iter().map(root).collect();
            assert_eq!(hashes, prove_entries(stored, &positions, 37).unwrap(), "{positions:?}");
        }
    }
}
