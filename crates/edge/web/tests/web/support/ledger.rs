//! A ledger of a few entries with a real tree, real proofs and a real signature.

use waag_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use waag_ledger::hash::{Hash, leaf_hash};
use waag_ledger::note::NoteSigner;
use waag_ledger::range::RangeTree;
use waag_ledger::tlog_proof::TlogProof;
use waag_ledger::tree::Frontier;
use waag_model::ids::Position;
use waag_model::time::UtcNanos;
use waag_web::ports::{Field, Proof, Recorded, Shown};

use super::NOW;

const ORIGIN: &str = "waag.example/default/000102030405060708090a0b0c0d0e0f";
/// Entries of the ledger; seven, so that the tree is no full one.
pub(crate) const ENTRIES: u64 = 7;

/// The ledger.
pub(crate) struct Ledger {
    entries: Vec<Vec<u8>>,
    tree: RangeTree,
    checkpoint: SignedCheckpoint,
    key: String,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        let entries: Vec<Vec<u8>> =
            (0..ENTRIES).map(|at| format!("sealed entry number {at}").into_bytes()).collect();
        let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        let tree = RangeTree::append(&mut Frontier::new(), &leaves);
        let signer = NoteSigner::from_seed(ORIGIN, &[7; 32]).unwrap();
        let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: ENTRIES, root: tree.root() };
        let checkpoint = SignedCheckpoint::sign(checkpoint, &[&signer]).unwrap();
        Self { entries, tree, checkpoint, key: signer.verifier_key().to_string() }
    }

    pub(crate) fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    pub(crate) fn proof(&self, position: Position) -> Option<Proof> {
        let entry = self.entries.get(usize::try_from(position.0).ok()?)?.clone();
        let path = self.tree.inclusion_proof(position.0).ok()?;
        let file = TlogProof::new(path, &self.checkpoint).ok()?.to_string();
        Some(Proof { entry, file, keys: vec![self.key.clone()] })
    }

    pub(crate) fn recorded(&self, position: Position) -> Option<Recorded> {
        let entry = self.entries.get(usize::try_from(position.0).ok()?)?;
        let kinds = [
            "ingestion",
            "ingestion",
            "reconciliation",
            "reconciliation",
            "authorization",
            "posting",
            "posting",
        ];
        let status = ["received", "validated", "matching", "matched", "blocked", "scheduled", "paid"];
        let at = usize::try_from(position.0).ok()?;
        let plain =
            |path: &str, text: &str| Field { path: path.to_owned(), shown: Shown::Plain(text.to_owned()) };
        let hours = i64::try_from(ENTRIES - position.0).ok()? * 19;
        let happened = UtcNanos(NOW.0 - hours * 3_600_000_000_000 - 123_456_789);
        Some(Recorded {
            position,
            leaf: leaf_hash(entry),
            kind: format!("invoice.{}", kinds[at]),
            id: Some(format!("evt-{}", 88_210 + position.0)),
            source: Some("/erp/eu-west-1".to_owned()),
            happened: Some(happened),
            accepted: UtcNanos(happened.0 + 1_240_000_000),
            committed: UtcNanos(happened.0 + 1_251_000_000),
            actor: Some("erp-intake".to_owned()),
            fields: vec![
                plain("status", status[at]),
                plain("amount_minor", "1845000"),
                plain("currency", "EUR"),
                Field {
                    path: "contact.name".to_owned(),
                    shown: if at == 0 { Shown::Erased } else { Shown::Masked("rens".to_owned()) },
                },
                Field { path: "account".to_owned(), shown: Shown::Masked("4300".to_owned()) },
            ],
        })
    }
}
