//! No predictable keys: what `waag` is linked from holds no seeded generator, and no source outside `testing/` makes one.
//!
//! Two looks. The first walks the resolved graph from the package `waag`, with every feature of every member
//! switched on and for every platform, over all but development and build dependencies; it sees at least
//! everything that can be linked, so a pass is a proof as far as packages can be told by name. What it cannot see
//! is a generator that a package carries within its own sources under another name. The second look reads our own
//! sources outside of tests for the constructors of seeded generators and for further sources of randomness.

use std::collections::{BTreeMap, VecDeque};

use anyhow::Context as _;

use super::Finding;
use crate::lexer::{Source, is_test_path, word_offsets};
use crate::repository::{Packages, TextFile, Tree};

/// The name of this rule.
pub(super) const RULE: &str = "randomness";

/// The program whose salts and keys are at stake.
const PROGRAM: &str = "waag";

/// Packages that make random numbers from a seed, or worlds from them.
const SEEDED: [&str; 13] = [
    "waag-sim",
    "waag-fixtures",
    "rand",
    "rand_core",
    "rand_chacha",
    "rand_pcg",
    "rand_xoshiro",
    "rand_xorshift",
    "fastrand",
    "oorandom",
    "nanorand",
    "turmoil",
    "madsim",
];

/// Names under which a seeded generator is made.
///
/// `from_seed` is none of them: it also reads an Ed25519 private key (RFC 8032 §5.1.5) from its 32 stored bytes, and a
/// generator's `from_seed` needs the trait `SeedableRng` in scope, which is named here.
const CONSTRUCTORS: [&str; 7] =
    ["SeededEntropy", "SeedableRng", "StdRng", "SmallRng", "seed_from_u64", "with_seed", "SplitMix64"];

/// The one file that may implement the trait through which all randomness comes.
const SYSTEM_ENTROPY: &str = "crates/base/stdx/src/entropy.rs";

/// Looks at the graph and at the sources.
pub(super) fn check(tree: &Tree, packages: &Packages) -> anyhow::Result<Vec<Finding>> {
    let mut findings = check_graph(packages)?;
    let shipped =
        tree.rust().filter(|file| file.path.starts_with("crates/") || file.path.starts_with("bin/"));
    findings.extend(shipped.filter(|file| !is_test_path(&file.path)).flat_map(check_source));
    Ok(findings)
}

/// Walks breadth first, so that the path told is a shortest one.
fn check_graph(packages: &Packages) -> anyhow::Result<Vec<Finding>> {
    let start = packages.graph.iter().find(|(_, package)| package.name == PROGRAM);
    let (start, _) =
        start.with_context(|| format!("there is no package `{PROGRAM}`: nothing was checked"))?;
    let mut reached_from: BTreeMap<&str, Option<&str>> = BTreeMap::from([(start.as_str(), None)]);
    let mut next = VecDeque::from([start.as_str()]);
    let mut findings = Vec::new();
    while let Some(id) = next.pop_front() {
        let package = packages.graph.get(id).with_context(|| format!("`{id}` is not in the graph"))?;
        if SEEDED.contains(&package.name.as_str()) {
            let path = path_to(id, &reached_from, packages);
            findings.push(Finding::on(
                "bin/waag",
                RULE,
                format!("the program is linked from a seeded generator: {path}"),
            ));
        }
        for needed in &package.linked {
            reached_from.entry(needed).or_insert_with(|| {
                next.push_back(needed);
                Some(id)
            });
        }
    }
    Ok(findings)
}

/// The chain of packages that leads to one, from the program on.
fn path_to(id: &str, reached_from: &BTreeMap<&str, Option<&str>>, packages: &Packages) -> String {
    let chain = std::iter::successors(Some(id), |id| reached_from.get(id).copied().flatten());
    let mut names: Vec<&str> =
        chain.map(|id| packages.graph.get(id).map_or(id, |package| &package.name)).collect();
    names.reverse();
    names.join(" → ")
}

fn check_source(file: &TextFile) -> Vec<Finding> {
    let source = Source::new(&file.text);
    let code = source.code_without_tests();
    let mut findings = Vec::new();
    for (offset, _) in code.match_indices("Entropy for ").filter(|_| file.path != SYSTEM_ENTROPY) {
        let message = format!(
            "randomness has one source, {SYSTEM_ENTROPY}; others live in testing/ and in tests alone"
        );
        findings.push(Finding::at(&file.path, source.line_of(offset), RULE, message));
    }
    for name in CONSTRUCTORS {
        for offset in word_offsets(&code, name) {
            let message =
                format!("`{name}` makes randomness from a seed; that lives in testing/ and in tests alone");
            findings.push(Finding::at(&file.path, source.line_of(offset), RULE, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{check, check_graph};
    use crate::repository::samples::tree;
    use crate::repository::{Packages, Resolved};

    fn graph(edges: &[(&str, &[&str])]) -> Packages {
        let mut packages = Packages::default();
        for (name, linked) in edges {
            let linked = linked.iter().map(|name| (*name).to_owned()).collect();
            let resolved = Resolved { name: (*name).to_owned(), linked, ..Resolved::default() };
            packages.graph.insert((*name).to_owned(), resolved);
        }
        packages
    }

    #[test]
    fn a_generator_that_others_use_is_no_matter() {
        let packages = graph(&[
            ("waag", &["waag-engine"]),
            ("waag-engine", &[]),
            ("waag-sim", &["rand"]),
            ("rand", &[]),
        ]);
        assert_eq!(check_graph(&packages).unwrap(), []);
    }

    #[test]
    fn a_linked_generator_is_found_with_its_path() {
        let packages = graph(&[
            ("waag", &["waag-engine", "clap"]),
            ("waag-engine", &["tempfile"]),
            ("clap", &["waag-engine"]),
            ("tempfile", &["fastrand"]),
            ("fastrand", &[]),
        ]);
        let findings = check_graph(&packages).unwrap();
        assert_eq!(findings.len(), 1);
        assert!(findings[0].message.contains("waag → waag-engine → tempfile → fastrand"), "{findings:?}");
    }

    #[test]
    fn without_the_program_nothing_was_checked() {
        assert!(check_graph(&graph(&[("waag-sim", &[])])).is_err());
    }

    #[test]
    fn seeds_are_for_tests_alone() {
        let packages = graph(&[("waag", &[])]);
        let good = [
            ("testing/sim/src/lib.rs", "struct SeededEntropy;\nimpl Entropy for SeededEntropy {}"),
            ("crates/base/stdx/src/entropy.rs", "impl Entropy for SystemEntropy {}"),
            ("crates/a/tests/x.rs", "use waag_sim::SeededEntropy;"),
            (
                "crates/a/src/lib.rs",
                "// never SeededEntropy\nlet k = Signer::from_seed(b);\n#[cfg(test)]\nmod tests { use waag_sim::SeededEntropy; }",
            ),
        ];
        assert_eq!(check(&tree(&good), &packages).unwrap(), []);
        for bad in [
            "use waag_sim::SeededEntropy;",
            "let r = StdRng::seed_from_u64(1);",
            "use rand::SeedableRng as _;",
        ] {
            assert!(!check(&tree(&[("bin/waag/src/main.rs", bad)]), &packages).unwrap().is_empty(), "{bad}");
        }
    }
}
