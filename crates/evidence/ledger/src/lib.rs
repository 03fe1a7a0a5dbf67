//! The ledger's mathematics: whoever holds a signed checkpoint can check, alone, that an entry is in the
//! ledger and that nothing before it was rewritten.
//!
//! Place in the way of an event: between *seal* and *append* the leaf hashes of a frame grow the tree
//! ([`range::RangeTree::append`]); after it the root is signed ([`checkpoint::SignedCheckpoint::sign`]) and the
//! receipts are cut ([`range::RangeTree::range_proof`]). The verifier runs the other half of the same modules.
//! Beside it, [`pack`] puts entries, one proof and what opens them into a file for outsiders, and verifies it.
//!
//! Not here: any input or output, the clock, randomness (a signing seed is passed in), the form of an entry
//! (`evidence/entry`, which only packs look into), frames (`evidence/log`), and the rule that a checkpoint is signed only after its frame
//! is durable and its guard is swapped (`flow/engine`).
//!
//! Standards: RFC 6962 §2.1 and RFC 9162 §2.1 (tree and proofs), C2SP signed-note, tlog-checkpoint, tlog-cosignature,
//! tlog-policy, tlog-witness, tlog-proof and tlog-tiles (texts). Everything written here can be read by any other implementation of them.
//!
//! Invariants:
//! - `LEDGER-1`: a root is a function of the leaves in their order, and of nothing else.
//! - `LEDGER-2`: a proof is accepted only with exactly the nodes its position and size call for.
//! - `LEDGER-3`: a [`checkpoint::SignedCheckpoint`] was signed by a key that bears its origin's name.
//! - `LEDGER-4`: each text has one form: what parses is printed again byte for byte.
//! - `LEDGER-5`: no size, position or length in an input makes this crate panic or work without bound.
//!
//! Error codes: E0301 to E0389, each on its variant.

pub mod checkpoint;
pub mod cosignature;
pub mod hash;
pub mod history;
pub mod note;
pub mod pack;
pub mod policy;
pub mod proof;
pub mod range;
pub mod stored;
mod subtree;
mod text;
pub mod tile;
pub mod tlog_proof;
pub mod tree;
pub mod witness;

#[cfg(test)]
mod tests {
    const SOURCES: [&str; 14] = [
        include_str!("checkpoint.rs"),
        include_str!("cosignature.rs"),
        include_str!("hash.rs"),
        include_str!("history.rs"),
        include_str!("note.rs"),
        include_str!("pack/fault.rs"),
        include_str!("policy.rs"),
        include_str!("proof.rs"),
        include_str!("range.rs"),
        include_str!("stored.rs"),
        include_str!("tile.rs"),
        include_str!("tlog_proof.rs"),
        include_str!("tree.rs"),
        include_str!("witness.rs"),
    ];

    /// The last two digits behind each `marker` that starts a line or follows a match arrow.
    fn codes(marker: &str) -> Vec<&'static str> {
        let code_only = SOURCES.iter().filter_map(|source| source.split("#[cfg(test)]").next());
        let lines = code_only.flat_map(str::lines);
        let code = |line: &'static str| {
            let line = line.trim();
            let (before, digits) = line.split_once(marker)?;
            let starts = before.is_empty() || before.ends_with("=> ");
            digits.get(..2).filter(|_| starts)
        };
        let mut codes: Vec<&str> = lines.filter_map(code).collect();
        codes.sort_unstable();
        codes
    }

    #[test]
    fn every_error_code_is_unique_and_documented() {
        let documented = codes("/// E03");
        let returned = codes("\"E03");
        assert_eq!(documented, returned);
        let mut unique = returned.clone();
        unique.dedup();
        assert_eq!(unique, returned);
        assert!(unique.len() >= 53, "the markers still find the codes");
    }
}
