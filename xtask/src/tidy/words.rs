//! Words that must not be committed: paths of one machine, and marks of unfinished work.
//!
//! The words stand here in two pieces each, so that this file passes its own rule.

use super::Finding;
use crate::lexer::{is_word, word_offsets};
use crate::repository::{TextFile, Tree};

/// The name of this rule.
pub(super) const RULE: &str = "words";

/// Folders that exist on somebody's machine only.
const MACHINE_PATHS: [&str; 3] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tmp/bash", "_jobs")];

/// Marks of unfinished work, as whole words.
const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Macros that stand for work left undone or for debugging.
const MACROS: [&str; 3] = [concat!("dbg", "!("), concat!("todo", "!("), concat!("unimplemented", "!(")];

/// Checks every text file.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.files.iter().flat_map(check_file).collect()
}

fn check_file(file: &TextFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        let mut found = |why: &str, word: &str| {
            findings.push(Finding::at(&file.path, number, RULE, format!("`{word}`: {why}")));
        };
        for word in MACHINE_PATHS {
            if starts_a_path(line, word) {
                found("a path of one machine", word);
            }
        }
        for word in MARKS {
            if word_offsets(line, word).next().is_some() {
                found("unfinished work is an issue, not a comment", word);
            }
        }
        for word in MACROS {
            if line.contains(word) {
                found("a stub or a debugging aid", word);
            }
        }
    }
    findings
}

/// Whether an absolute path starts with `word` in a line; `a/b` and `../b` are no absolute paths.
fn starts_a_path(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(offset, _)| {
        let before = line.get(..offset).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| is_word(c) || matches!(c, '.' | '-' | '}' | '/'))
    })
}

#[cfg(test)]
mod tests {
    use super::{MACHINE_PATHS, MACROS, MARKS, check};
    use crate::repository::samples::tree;

    #[test]
    fn ordinary_text_is_fine() {
        let text = format!(
            "shared{0} and ..{0} are relative; {1}S is no mark; todo = \"warn\"",
            MACHINE_PATHS[0], MARKS[0]
        );
        assert_eq!(check(&tree(&[("a.md", &text)])), []);
    }

    #[test]
    fn each_word_is_found_in_any_kind_of_file() {
        for word in MACHINE_PATHS.iter().chain(&MARKS).chain(&MACROS) {
            let text = format!("one\nsee {word}x\n").replace(&format!("{word}x"), &format!("{word} x"));
            let findings = check(&tree(&[("a.toml", &text)]));
            assert_eq!(findings.len(), 1, "{word}: {findings:?}");
            assert_eq!(findings[0].line, Some(2));
        }
    }
}
