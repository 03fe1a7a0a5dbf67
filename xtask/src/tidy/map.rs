//! The map: the crates named in ARCHITECTURE.md are the crates of the tree.
//!
//! The map is the first fenced block under `## Map`. A line that starts in the first column is
//! `PATH — what it is for`; an indented line goes on with the one above.

use std::collections::BTreeSet;

use super::Finding;
use crate::repository::{Member, Tree};

/// The name of this rule.
pub(super) const RULE: &str = "map";

/// Where the map is.
const PAGE: &str = "ARCHITECTURE.md";

/// Compares the map with the tree, both ways.
pub(super) fn check(tree: &Tree, members: &[Member]) -> Vec<Finding> {
    let Some(page) = tree.file(PAGE) else {
        return vec![Finding::on(PAGE, RULE, "the file is missing")];
    };
    let Some(lines) = map_lines(&page.text) else {
        return vec![Finding::on(PAGE, RULE, "no fenced block under the heading `## Map`")];
    };
    let mut findings = Vec::new();
    let mut mapped = BTreeSet::new();
    for (number, line) in lines {
        let path = line.split_whitespace().next().unwrap_or("").trim_end_matches('/');
        if !tree.paths.contains(path) {
            findings.push(Finding::at(PAGE, number, RULE, format!("`{path}` does not exist")));
        }
        if line.split_whitespace().nth(2).is_none() {
            findings.push(Finding::at(
                PAGE,
                number,
                RULE,
                format!("`{path}` is named without saying what it is for"),
            ));
        }
        if !mapped.insert(path) {
            findings.push(Finding::at(PAGE, number, RULE, format!("`{path}` stands in the map twice")));
        }
    }
    for member in members.iter().filter(|member| !mapped.contains(member.folder.as_str())) {
        findings.push(Finding::on(PAGE, RULE, format!("`{}` is not in the map", member.folder)));
    }
    findings
}

/// The entries of the map with their line numbers from 1.
fn map_lines(text: &str) -> Option<Vec<(usize, &str)>> {
    let mut lines = (1..).zip(text.lines()).skip_while(|(_, line)| line.trim_end() != "## Map").skip(1);
    lines
        .by_ref()
        .take_while(|(_, line)| !line.starts_with("## "))
        .find(|(_, line)| line.starts_with("```"))?;
    let block = lines.take_while(|(_, line)| !line.starts_with("```"));
    Some(block.filter(|(_, line)| line.starts_with(|c: char| !c.is_whitespace())).collect())
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::repository::Tree;
    use crate::repository::samples::{member, tree};

    fn with_page(page: &str) -> Tree {
        tree(&[("ARCHITECTURE.md", page), ("crates/base/model/Cargo.toml", ""), ("xtask/Cargo.toml", "")])
    }

    const GOOD: &str = "# A\n## Map\nText.\n```text\ncrates/base/model — ids and time\n    and money\nxtask/ — house-keeping\n```\n";

    #[test]
    fn a_map_of_every_crate_holds() {
        let members = [member("waag-model", "crates/base/model", &[]), member("xtask", "xtask", &[])];
        assert_eq!(check(&with_page(GOOD), &members), []);
    }

    #[test]
    fn missing_unknown_doubled_and_bare_lines_are_found() {
        let members = [member("waag-model", "crates/base/model", &[]), member("xtask", "xtask", &[])];
        let cases = [
            ("# A\n", "no fenced block"),
            ("# A\n## Map\n## Other\n```\nxtask — a b\n```\n", "no fenced block"),
            (&GOOD.replace("xtask/ — house-keeping\n", ""), "`xtask` is not in the map"),
            (&GOOD.replace("xtask/", "xtask — a\nxtusk"), "`xtusk` does not exist"),
            (&GOOD.replace("xtask/ — house-keeping\n", "xtask — a\nxtask — b\n"), "twice"),
            (&GOOD.replace("xtask/ — house-keeping", "xtask"), "without saying"),
        ];
        for (page, why) in cases {
            let findings = check(&with_page(page), &members);
            assert_eq!(findings.len(), 1, "{page}: {findings:?}");
            assert!(findings[0].message.contains(why), "{findings:?}");
        }
        assert_eq!(check(&tree(&[]), &members).len(), 1);
    }
}
