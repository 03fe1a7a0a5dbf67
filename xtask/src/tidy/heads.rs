//! Heads: every Rust file opens with `//!` and says in a sentence what it is for.
//!
//! That the sentence is true is for reviewers.

use super::Finding;
use crate::repository::{TextFile, Tree};

/// The name of this rule.
pub(super) const RULE: &str = "heads";

/// A first sentence shorter than this says nothing ("Placeholder.", "Utilities.").
const HEAD_CHARS_MIN: usize = 24;

/// Checks every Rust file.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust().filter_map(check_file).collect()
}

fn check_file(file: &TextFile) -> Option<Finding> {
    let head: Vec<&str> = file.text.lines().map_while(|line| line.strip_prefix("//!")).collect();
    let first = head.first().map_or("", |line| line.trim());
    let message = if head.is_empty() {
        "the file must open with `//!`: a sentence on what it keeps true"
    } else if first.chars().count() < HEAD_CHARS_MIN {
        "the head's first line must be a sentence on what the file keeps true"
    } else {
        return None;
    };
    Some(Finding::at(&file.path, 1, RULE, message))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::repository::samples::tree;

    #[test]
    fn a_sentence_at_the_top_is_a_head() {
        let good = "//! Frames are whole or absent: the codec.\n\nfn main() {}\n";
        assert_eq!(check(&tree(&[("a.rs", good), ("b.md", "no head needed")])), []);
    }

    #[test]
    fn none_late_or_empty_heads_are_found() {
        for bad in [
            "fn main() {}\n",
            "\n//! Frames are whole or absent: the codec.\n",
            "//!\n//! Late.\n",
            "//! Placeholder.\n",
            "",
        ] {
            assert_eq!(check(&tree(&[("a.rs", bad)])).len(), 1, "{bad}");
        }
    }
}
