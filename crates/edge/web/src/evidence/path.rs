//! One entry's way to the root as a drawing: what is computed from the entry in the middle, the hashes that the proof brings
//! beside it, the checkpoint's root above.
//!
//! The drawing is made of the proof file itself and computes what it shows; it is a picture and no check, which the reader's
//! browser makes (`assets/proof.js`) or `waag-verify`.
//! Source: RFC 9162 §2.1.3.2, the algorithm that verifies an inclusion proof.

use std::fmt::Write as _;

use waag_ledger::checkpoint::Checkpoint;
use waag_ledger::hash::{Hash, node_hash};
use waag_ledger::tlog_proof::TlogProof;

use crate::format::Html;

const WIDTH: usize = 560;
/// From one level to the next.
const LEVEL: usize = 52;
const BOX: (usize, usize) = (132, 26);
/// The middles of the three columns.
const LEFT: usize = 90;
const OWN: usize = 280;
const RIGHT: usize = 470;
/// Digits of a hash that are shown.
const DIGITS: usize = 10;

/// A step towards the root.
pub(crate) struct Step {
    /// The hash that the proof brings.
    pub(crate) brought: Hash,
    /// Whether it stands to the left.
    pub(crate) is_left: bool,
    /// What follows from it.
    pub(crate) follows: Hash,
}

impl Step {
    fn column(&self) -> usize {
        if self.is_left { LEFT } else { RIGHT }
    }
}

/// The way of one entry.
pub(crate) struct Way {
    pub(crate) leaf: Hash,
    pub(crate) steps: Vec<Step>,
    /// Entries under the checkpoint.
    pub(crate) size: u64,
    /// The root that the checkpoint has.
    pub(crate) root: Hash,
}

/// Reads the way out of a proof file; none where it has none that can be drawn.
pub(crate) fn read(file: &str, leaf: Hash) -> Option<Way> {
    let proof = TlogProof::parse(file.as_bytes()).ok()?;
    let checkpoint = Checkpoint::parse(proof.note().text()).ok()?;
    let (mut index, mut last) = (proof.index(), checkpoint.size.checked_sub(1)?);
    let (mut own, mut steps) = (leaf, Vec::new());
    for brought in proof.path() {
        let is_left = index & 1 == 1 || index == last;
        if is_left {
            own = node_hash(brought, &own);
            // A lone node at the edge goes up as it is.
            while index & 1 == 0 && index != 0 {
                (index, last) = (index >> 1, last >> 1);
            }
        } else {
            own = node_hash(&own, brought);
        }
        steps.push(Step { brought: *brought, is_left, follows: own });
        (index, last) = (index >> 1, last >> 1);
    }
    Some(Way { leaf, steps, size: checkpoint.size, root: checkpoint.root })
}

impl Way {
    /// Whether it leads where the checkpoint says.
    pub(crate) fn holds(&self) -> bool {
        self.steps.last().map_or(self.leaf, |step| step.follows) == self.root
    }

    /// The drawing.
    pub(crate) fn svg(&self) -> Html {
        let height = (self.steps.len() + 1) * LEVEL;
        let mut out = format!("<svg class=\"way\" viewBox=\"0 0 {WIDTH} {height}\" aria-hidden=\"true\">");
        let y = |level: usize| height - level * LEVEL - LEVEL / 2;
        for (level, step) in self.steps.iter().enumerate() {
            let side = step.column();
            let (from, to) = (y(level), y(level + 1));
            let _ = write!(
                out,
                "<path class=\"way-edge\" d=\"M{} {from}V{to}M{side} {from}L{} {to}\"/>",
                OWN, OWN
            );
        }
        node(&mut out, OWN, y(0), "way-own", &self.leaf);
        for (level, step) in self.steps.iter().enumerate() {
            node(&mut out, step.column(), y(level), "way-brought", &step.brought);
            let kind = if level + 1 == self.steps.len() { "way-root" } else { "way-own" };
            node(&mut out, OWN, y(level + 1), kind, &step.follows);
        }
        out.push_str("</svg>");
        Html(out)
    }
}

/// A box with the beginning of a hash.
fn node(out: &mut String, x: usize, y: usize, kind: &str, hash: &Hash) {
    let text = hash.to_string();
    let text = text.get(..DIGITS).unwrap_or(&text);
    let (left, top) = (x - BOX.0 / 2, y - BOX.1 / 2);
    let _ = write!(
        out,
        "<rect class=\"{kind}\" x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\" rx=\"6\"/>\
         <text class=\"way-text {kind}-text\" x=\"{x}\" y=\"{}\">{text}…</text>",
        BOX.0,
        BOX.1,
        y + 4
    );
}

#[cfg(test)]
mod tests {
    use waag_ledger::checkpoint::SignedCheckpoint;
    use waag_ledger::hash::leaf_hash;
    use waag_ledger::note::NoteSigner;
    use waag_ledger::range::RangeTree;
    use waag_ledger::tree::Frontier;

    use super::*;

    #[test]
    fn every_entry_of_every_small_tree_is_drawn_to_its_root_and_no_other_leaf_is() {
        let signer = NoteSigner::from_seed("log.example", &[7; 32]).unwrap();
        for size in 1..=33u64 {
            let leaves: Vec<Hash> = (0..size).map(|at| leaf_hash(&at.to_be_bytes())).collect();
            let tree = RangeTree::append(&mut Frontier::new(), &leaves);
            let checkpoint = Checkpoint { origin: "log.example".to_owned(), size, root: tree.root() };
            let checkpoint = SignedCheckpoint::sign(checkpoint, &[&signer]).unwrap();
            for (at, leaf) in leaves.iter().enumerate() {
                let proof = tree.inclusion_proof(at as u64).unwrap();
                let steps = proof.path.len();
                let file = TlogProof::new(proof, &checkpoint).unwrap().to_string();
                let way = read(&file, *leaf).unwrap();
                assert!(way.holds(), "{at} of {size}");
                assert_eq!((way.steps.len(), way.size), (steps, size));
                assert_eq!(way.svg().0.matches("<rect").count(), 1 + 2 * steps);
                assert!(!read(&file, Hash([9; 32])).unwrap().holds());
            }
        }
        assert!(read("no proof", Hash([0; 32])).is_none());
    }
}
