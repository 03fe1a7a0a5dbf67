//! The house rules: each check takes the files or the packages and returns what it found.
//!
//! A check never stops at its first finding, and one that cannot be made is an error, never a pass.
//! What is not here: formatting and lints, which rustfmt and clippy hold; see `test_command`.

mod edges;
mod errors;
mod heads;
mod links;
mod manifests;
mod map;
mod purity;
mod randomness;
mod ratchet;
mod test_marks;
mod words;

use std::fmt;
use std::path::Path;

use crate::repository::{self, Packages, Tree};

/// One breach of one rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// The file, or the folder of the package.
    place: String,
    /// The line from 1, where one can be named.
    line: Option<usize>,
    /// The rule's name, as in the list that `cargo xtask tidy` prints.
    rule: &'static str,
    /// What is wrong and what would be right.
    message: String,
}

impl Finding {
    fn at(place: &str, line: usize, rule: &'static str, message: impl Into<String>) -> Self {
        Self { place: place.to_owned(), line: Some(line), rule, message: message.into() }
    }

    fn on(place: &str, rule: &'static str, message: impl Into<String>) -> Self {
        Self { place: place.to_owned(), line: None, rule, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, line, rule, message } = self;
        match line {
            Some(line) => write!(out, "{place}:{line}: {rule}: {message}"),
            None => write!(out, "{place}: {rule}: {message}"),
        }
    }
}

/// A check by name.
type Check = (&'static str, fn(&Tree, &Packages) -> anyhow::Result<Vec<Finding>>);

/// Every check.
const CHECKS: [Check; 11] = [
    (edges::RULE, |_, packages| Ok(edges::check(&packages.members))),
    (purity::RULE, |tree, _| Ok(purity::check(tree))),
    (map::RULE, |tree, packages| Ok(map::check(tree, &packages.members))),
    (heads::RULE, |tree, _| Ok(heads::check(tree))),
    (ratchet::RULE, |tree, _| ratchet::check(tree)),
    (test_marks::RULE, |tree, _| Ok(test_marks::check(tree))),
    (links::RULE, |tree, _| Ok(links::check(tree))),
    (manifests::RULE, |tree, packages| manifests::check(tree, &packages.members)),
    (randomness::RULE, |tree, packages| randomness::check(tree, packages)),
    (errors::RULE, |tree, _| Ok(errors::check(tree))),
    (words::RULE, |tree, _| Ok(words::check(tree))),
];

/// Runs every check, prints the findings, and gives them as they were printed.
pub(crate) fn command(root: &Path) -> anyhow::Result<Vec<String>> {
    let tree = repository::read_tree(root)?;
    let packages = repository::read_packages(root)?;
    let mut all = Vec::new();
    for (name, check) in CHECKS {
        let mut findings = check(&tree, &packages)?;
        findings.sort();
        findings.dedup();
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        for line in &lines {
            println!("{line}");
        }
        let result =
            if findings.is_empty() { "holds".to_owned() } else { format!("{} found", findings.len()) };
        println!("tidy: {name}: {result}");
        all.extend(lines);
    }
    println!(
        "tidy: {} rules, {} files, {} crates: {} found",
        CHECKS.len(),
        tree.files.len(),
        packages.members.len(),
        all.len()
    );
    Ok(all)
}
