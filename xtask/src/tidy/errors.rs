//! Error codes: each has one place in the sources and one page under docs/errors/, and no page is left over.
//!
//! A code is a string literal such as `"E0301"` outside of tests. One code stands in one file only, so that a
//! reader who searches for it ends at the place that raises it; a code is never given a second meaning.

use std::collections::BTreeMap;

use super::Finding;
use crate::lexer::{Kind, Source, is_test_path};
use crate::repository::{TextFile, Tree};

/// The name of this rule.
pub(super) const RULE: &str = "error-codes";

/// Where the pages are.
const PAGES: &str = "docs/errors/";

/// The page about the pages.
const INDEX: &str = "docs/errors/README.md";

/// Compares the codes of the sources with the pages.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let sources =
        tree.rust().filter(|file| file.path.starts_with("crates/") || file.path.starts_with("bin/"));
    let mut uses: BTreeMap<String, Vec<(&str, usize)>> = BTreeMap::new();
    for file in sources.filter(|file| !is_test_path(&file.path)) {
        for (code, line) in codes(file) {
            uses.entry(code).or_default().push((&file.path, line));
        }
    }
    let mut findings = Vec::new();
    for (code, places) in &uses {
        findings.extend(check_code(code, places, tree));
    }
    for page in tree.files.iter().filter(|file| file.path.starts_with(PAGES) && file.path != INDEX) {
        findings.extend(check_page(page, &uses));
    }
    findings
}

/// The codes of a file with their lines.
fn codes(file: &TextFile) -> Vec<(String, usize)> {
    let source = Source::new(&file.text);
    let tests = source.test_ranges();
    let literals =
        source.pieces_of(Kind::Text).filter(|(offset, _)| !tests.iter().any(|range| range.contains(offset)));
    literals
        .filter_map(|(offset, literal)| {
            let code = literal.strip_prefix('"')?.strip_suffix('"')?;
            is_code(code).then(|| (code.to_owned(), source.line_of(offset)))
        })
        .collect()
}

fn is_code(text: &str) -> bool {
    text.strip_prefix('E')
        .is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn check_code(code: &str, places: &[(&str, usize)], tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some((first, line)) = places.first() else {
        return findings;
    };
    if tree.file(&format!("{PAGES}{code}.md")).is_none() {
        findings.push(Finding::at(first, *line, RULE, format!("`{code}` has no page {PAGES}{code}.md")));
    }
    for (other, line) in places.iter().filter(|(path, _)| path != first) {
        findings.push(Finding::at(
            other,
            *line,
            RULE,
            format!("`{code}` already stands in {first}; a code has one place"),
        ));
    }
    findings
}

fn check_page(page: &TextFile, uses: &BTreeMap<String, Vec<(&str, usize)>>) -> Option<Finding> {
    let name = page.path.strip_prefix(PAGES).unwrap_or(&page.path);
    let Some(code) = name.strip_suffix(".md").filter(|code| is_code(code)) else {
        return Some(Finding::on(&page.path, RULE, "pages here are named E####.md"));
    };
    let title = page.text.lines().next().and_then(|line| line.strip_prefix(&format!("# {code}: ")));
    if title.is_none_or(|title| title.trim().is_empty()) {
        return Some(Finding::at(&page.path, 1, RULE, format!("the first line must be `# {code}: title`")));
    }
    (!uses.contains_key(code)).then(|| Finding::on(&page.path, RULE, format!("no source raises `{code}`")))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::repository::samples::tree;

    const SOURCE: &str =
        "fn code() -> &'static str { \"E0301\" }\n#[cfg(test)]\nmod tests { const C: &str = \"E0999\"; }\n";
    const PAGE: (&str, &str) = ("docs/errors/E0301.md", "# E0301: the proof does not hold\n");

    #[test]
    fn a_code_with_its_page_holds() {
        let files = [
            ("crates/a/src/error.rs", SOURCE),
            ("crates/a/tests/x.rs", "const C: &str = \"E0301\";"),
            ("testing/sim/src/lib.rs", "const C: &str = \"E0301\";"),
            ("docs/errors/README.md", "# Errors\n"),
            PAGE,
        ];
        assert_eq!(check(&tree(&files)), []);
    }

    #[test]
    fn missing_left_over_untitled_and_doubled_codes_are_found() {
        let source = ("crates/a/src/error.rs", SOURCE);
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[source], "has no page"),
            (&[PAGE], "no source raises"),
            (&[source, (PAGE.0, "# E0302: wrong\n")], "first line must be"),
            (&[source, (PAGE.0, "# E0301: \n")], "first line must be"),
            (&[source, PAGE, ("bin/waag/src/x.rs", SOURCE)], "a code has one place"),
            (&[source, PAGE, ("docs/errors/notes.md", "# Notes\n")], "named E####.md"),
        ];
        for (files, why) in cases {
            let mut files = files.to_vec();
            files.sort_by_key(|(path, _)| !path.starts_with("crates/"));
            let findings = check(&tree(&files));
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert!(findings[0].message.contains(why), "{findings:?}");
        }
    }
}
