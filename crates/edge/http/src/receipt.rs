//! What a sender gets: the receipt of one event, or the outcomes of many that share one checkpoint.
//!
//! Not here: what was recorded (`intake`), refusals of whole requests (`problem`).
//! One event's proof is a C2SP tlog-proof, checkpoint included, as `waag-verify` reads it; many events share a checkpoint
//! and a range proof (`evidence/ledger`, `range`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use waag_engine::batch::Recorded;
use waag_ledger::checkpoint::SignedCheckpoint;
use waag_ledger::hash::Hash;
use waag_ledger::proof::InclusionProof;
use waag_ledger::range::RangeProof;

use crate::fault::{Fault, Kind};
use crate::intake::{ItemOutcome, Settled};
use crate::invoices::IdsMade;
use crate::json;
use crate::problem::{self, Answer};

/// The form of a request decides that of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One event.
    One,
    /// A list of events, also of one.
    Many,
}

/// Bytes of an item in an answer, as a first guess.
const ITEM_BYTES: usize = 128;

/// Other content under an id that was made from an `Idempotency-Key` is that key's fault (422, not 409).
pub(crate) fn by_idempotency_key(settled: Settled, made: &IdsMade) -> Settled {
    match settled {
        Settled::Items { checkpoint, mut items, range, inclusion } => {
            for (index, item) in items.iter_mut().enumerate() {
                if matches!(item, ItemOutcome::Conflict(_)) && made.of(index) {
                    *item = ItemOutcome::Refused(Box::new(Fault::of(Kind::IdempotencyReused)));
                }
            }
            Settled::Items { checkpoint, items, range, inclusion }
        }
        Settled::Nothing(fault) => Settled::Nothing(fault),
    }
}

/// The answer to a request.
pub(crate) fn answer(settled: Settled, shape: Shape) -> Answer {
    let counts = counts(&settled);
    Answer { counts, ..formed(settled, shape) }
}

/// How many events were recorded, recorded before, and refused.
fn counts(settled: &Settled) -> [u64; 3] {
    let mut counts = [0; 3];
    if let Settled::Items { items, .. } = settled {
        let [recorded, before, refused] = &mut counts;
        for item in items {
            match item {
                ItemOutcome::Recorded(_) => *recorded += 1,
                ItemOutcome::Before(_) => *before += 1,
                ItemOutcome::Conflict(_) | ItemOutcome::Erased(_) | ItemOutcome::Refused(_) => *refused += 1,
            }
        }
    }
    counts
}

fn formed(settled: Settled, shape: Shape) -> Answer {
    match settled {
        Settled::Nothing(fault) => problem::answer(&fault),
        Settled::Items { checkpoint, items, range, inclusion } => {
            if shape == Shape::One
                && let [item] = items.as_slice()
            {
                return one(item, checkpoint.as_deref(), inclusion.as_ref());
            }
            many(&items, checkpoint.as_deref(), range.as_ref(), inclusion.as_ref())
        }
    }
}

/// Why an item was not recorded, where it was not.
fn fault_of(item: &ItemOutcome) -> Option<Fault> {
    match item {
        ItemOutcome::Recorded(_) | ItemOutcome::Before(_) => None,
        ItemOutcome::Conflict(_) => Some(Fault::of(Kind::Conflict)),
        ItemOutcome::Erased(_) => Some(Fault::of(Kind::Erased)),
        ItemOutcome::Refused(fault) => Some(fault.as_ref().clone()),
    }
}

fn one(
    item: &ItemOutcome,
    checkpoint: Option<&SignedCheckpoint>,
    inclusion: Option<&InclusionProof>,
) -> Answer {
    if let Some(fault) = fault_of(item) {
        return problem::answer(&fault);
    }
    let mut out = Vec::with_capacity(2_048);
    out.push(b'{');
    outcome(&mut out, item, &mut 0);
    if let Some(checkpoint) = checkpoint {
        tree(&mut out, checkpoint);
        proof(&mut out, checkpoint, inclusion);
    }
    out.push(b'}');
    Answer::json(StatusCode::OK, out)
}

fn many(
    items: &[ItemOutcome],
    checkpoint: Option<&SignedCheckpoint>,
    range: Option<&RangeProof>,
    inclusion: Option<&InclusionProof>,
) -> Answer {
    if items.is_empty() {
        return problem::answer(&Fault::of(Kind::NoEvent));
    }
    let refused = items.iter().filter(|item| fault_of_is(item)).count();
    if refused == items.len() {
        let faults = items.iter().enumerate().filter_map(|(index, item)| Some((index, fault_of(item)?)));
        return problem::of_items(faults);
    }
    let mut out = Vec::with_capacity(2_048 + items.len() * ITEM_BYTES);
    out.extend_from_slice(b"{\"recorded\":");
    let recorded = items.iter().filter(|item| matches!(item, ItemOutcome::Recorded(_))).count();
    json::number(&mut out, recorded as u64);
    out.extend_from_slice(b",\"before\":");
    json::number(&mut out, (items.len() - refused - recorded) as u64);
    out.extend_from_slice(b",\"refused\":");
    json::number(&mut out, refused as u64);
    if let Some(checkpoint) = checkpoint {
        tree(&mut out, checkpoint);
        if inclusion.is_some() {
            proof(&mut out, checkpoint, inclusion);
        } else {
            out.extend_from_slice(b",\"checkpoint\":");
            json::text(&mut out, checkpoint.note());
        }
    }
    if let Some(range) = range {
        range_proof(&mut out, range);
    }
    out.extend_from_slice(b",\"items\":[");
    // Of many bad events no more is told than fits to what was sent.
    let mut errors_left = problem::ERRORS_MAX;
    for (index, item) in items.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{" } else { b",{" });
        outcome(&mut out, item, &mut errors_left);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    Answer::json(if refused == 0 { StatusCode::OK } else { StatusCode::MULTI_STATUS }, out)
}

fn fault_of_is(item: &ItemOutcome) -> bool {
    match item {
        ItemOutcome::Recorded(_) | ItemOutcome::Before(_) => false,
        ItemOutcome::Conflict(_) | ItemOutcome::Erased(_) | ItemOutcome::Refused(_) => true,
    }
}

/// The members of one outcome, without its braces; as many faults are listed as are left to the answer.
fn outcome(out: &mut Vec<u8>, item: &ItemOutcome, errors_left: &mut usize) {
    let mut place = |status: &[u8], Recorded { position, leaf }: &Recorded| {
        out.extend_from_slice(status);
        json::number(out, position.0);
        out.extend_from_slice(b",\"leaf_hash\":\"");
        json::hex(out, &leaf.0);
        out.push(b'"');
    };
    match item {
        ItemOutcome::Recorded(recorded) => place(b"\"status\":\"recorded\",\"position\":", recorded),
        ItemOutcome::Before(recorded) => place(b"\"status\":\"before\",\"position\":", recorded),
        ItemOutcome::Conflict(first) | ItemOutcome::Erased(first) => {
            out.extend_from_slice(b"\"status\":\"refused\",\"position\":");
            json::number(out, first.0);
            error(out, &fault_of(item).unwrap_or_else(|| Fault::of(Kind::Conflict)));
        }
        ItemOutcome::Refused(fault) => {
            out.extend_from_slice(b"\"status\":\"refused\"");
            error(out, fault);
            if !fault.also.is_empty() {
                errors(out, fault, errors_left);
            }
        }
    }
}

fn error(out: &mut Vec<u8>, fault: &Fault) {
    out.extend_from_slice(b",\"error\":");
    problem::entry(out, "", fault);
}

/// All faults of one event, or the first of them and how many more there are.
fn errors(out: &mut Vec<u8>, fault: &Fault, left: &mut usize) {
    let told = (*left).min(1 + fault.also.len());
    *left -= told;
    if told > 0 {
        out.extend_from_slice(b",\"errors\":[");
        for (number, fault) in fault.each().take(told).enumerate() {
            if number > 0 {
                out.push(b',');
            }
            problem::entry(out, "", fault);
        }
        out.push(b']');
    }
    // The first stands in `error` in any case.
    problem::errors_more(out, 1 + fault.also.len() - told.max(1));
}

fn tree(out: &mut Vec<u8>, checkpoint: &SignedCheckpoint) {
    let told = checkpoint.checkpoint();
    out.extend_from_slice(b",\"tree_size\":");
    json::number(out, told.size);
    out.extend_from_slice(b",\"root\":\"");
    json::hex(out, &told.root.0);
    out.push(b'"');
}

/// The text of a `.tlog-proof` file as a JSON string; of an event recorded before, only the checkpoint is at hand.
fn proof(out: &mut Vec<u8>, checkpoint: &SignedCheckpoint, inclusion: Option<&InclusionProof>) {
    let Some(inclusion) = inclusion else {
        out.extend_from_slice(b",\"checkpoint\":");
        return json::text(out, checkpoint.note());
    };
    out.extend_from_slice(b",\"proof\":\"c2sp.org/tlog-proof@v1\\nindex ");
    json::number(out, inclusion.index);
    for hash in &inclusion.path {
        out.extend_from_slice(b"\\n");
        base64(out, hash);
    }
    out.extend_from_slice(b"\\n\\n");
    // The note goes on within the same string.
    let from = out.len();
    json::text(out, checkpoint.note());
    out.remove(from);
}

fn range_proof(out: &mut Vec<u8>, range: &RangeProof) {
    out.extend_from_slice(b",\"range_proof\":{\"first\":");
    json::number(out, range.first);
    out.extend_from_slice(b",\"tree_size\":");
    json::number(out, range.tree_size);
    for (name, hashes) in [(&b",\"left\":["[..], &range.left), (b",\"right\":[", &range.right)] {
        out.extend_from_slice(name);
        for (index, hash) in hashes.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
            base64(out, hash);
            out.push(b'"');
        }
        out.push(b']');
    }
    out.push(b'}');
}

fn base64(out: &mut Vec<u8>, hash: &Hash) {
    let mut text = [0; 44];
    let used = STANDARD.encode_slice(hash.0, &mut text).unwrap_or(0);
    out.extend_from_slice(text.get(..used).unwrap_or_default());
}
