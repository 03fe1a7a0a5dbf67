//! What a sender gets for each event: a receipt that was checked before it is shown, or why there is none.

use serde::Serialize;
use waag_engine::batch::{BatchReceipt, Outcome, Recorded};
use waag_ledger::range::RangeTree;
use waag_ledger::tlog_proof::TlogProof;

use super::failure::{EventRefusal, Failure};
use super::output::ErrorJson;
use super::pipeline::Problem;
use crate::store::error::StoreError;
use crate::store::writer::OpenedStore;

/// A receipt as programs read it.
#[derive(Debug, Serialize)]
pub(crate) struct ReceiptJson<'a> {
    /// The input, where there is more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<&'a str>,
    pub(crate) line: u64,
    /// `recorded`, or `before` for a retry.
    pub(crate) status: &'static str,
    pub(crate) position: u64,
    pub(crate) leaf_hash: String,
    pub(crate) tree_size: u64,
    pub(crate) root: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) proof: Option<String>,
}

/// A refusal as programs read it.
#[derive(Debug, Serialize)]
pub(crate) struct RefusalJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<&'a str>,
    pub(crate) line: u64,
    pub(crate) status: &'static str,
    /// The first event of the same identity, for a conflict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<u64>,
    pub(crate) error: ErrorJson<'a>,
}

/// A batch's receipt whose proofs hold.
pub(crate) struct Checked<'s> {
    store: &'s OpenedStore,
    receipt: BatchReceipt,
    new: Option<RangeTree>,
}

impl<'s> Checked<'s> {
    /// Checks that all new entries are proven under the checkpoint.
    pub(crate) fn new(store: &'s OpenedStore, receipt: BatchReceipt) -> Result<Self, Failure> {
        let root = receipt.checkpoint.checkpoint().root;
        let new = match &receipt.range {
            Some(range) => Some(range.verify(&receipt.new_leaves(), &root).map_err(StoreError::Proof)?),
            None => None,
        };
        Ok(Self { store, receipt, new })
    }

    /// One outcome per event of the batch.
    pub(crate) fn outcomes(&self) -> &[Outcome] {
        &self.receipt.items
    }

    /// The receipt of one event; with its proof where that is asked for.
    pub(crate) fn receipt<'a>(
        &'a self,
        (file, line): (Option<&'a str>, u64),
        status: &'static str,
        recorded: &Recorded,
        with_proof: bool,
    ) -> Result<ReceiptJson<'a>, Failure> {
        let checkpoint = &self.receipt.checkpoint;
        let proof = if with_proof { Some(self.proof(recorded)?) } else { None };
        Ok(ReceiptJson {
            file,
            line,
            status,
            position: recorded.position.0,
            leaf_hash: recorded.leaf.to_string(),
            tree_size: checkpoint.checkpoint().size,
            root: checkpoint.checkpoint().root.to_string(),
            checkpoint: with_proof.then(|| checkpoint.note()),
            proof,
        })
    }

    fn proof(&self, recorded: &Recorded) -> Result<String, Failure> {
        let told = self.receipt.checkpoint.checkpoint();
        let position = recorded.position;
        let held = self.new.as_ref().filter(|tree| (tree.first()..tree.end()).contains(&position.0));
        let proof = match held {
            Some(tree) => tree.inclusion_proof(position.0).map_err(StoreError::Proof)?,
            None => self.store.prove(told, position, &recorded.leaf)?,
        };
        proof.verify(&recorded.leaf, &told.root).map_err(StoreError::Proof)?;
        let proof = TlogProof::new(proof, &self.receipt.checkpoint).map_err(StoreError::ProofText)?;
        Ok(proof.to_string())
    }
}

/// The problem of an event that was sealed and not recorded.
pub(crate) fn problem_of(outcome: &Outcome) -> Option<(Problem, u64)> {
    match outcome {
        Outcome::Recorded(_) | Outcome::Before(_) => None,
        Outcome::Conflict(first) => Some((Problem::event(EventRefusal::Conflict, ""), first.0)),
        Outcome::Erased(first) => Some((Problem::event(EventRefusal::Erased, ""), first.0)),
    }
}
