//! Links: every relative link in a Markdown page leads to a file of the tree, and its anchor to a heading there.
//!
//! Anchors follow GitHub's rule: lower case, punctuation dropped, spaces to hyphens, `-1`, `-2` for repeats.
//! Links to other hosts are not followed: a check that needs the network fails for reasons that are not ours.

use std::collections::BTreeMap;

use super::Finding;
use crate::repository::{TextFile, Tree};

/// The name of this rule.
pub(super) const RULE: &str = "links";

/// Checks every Markdown page.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.markdown().flat_map(|page| check_page(page, tree)).collect()
}

fn check_page(page: &TextFile, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in prose_lines(&page.text) {
        for target in targets(line) {
            let broken = broken_link(page, &target, tree);
            findings.extend(
                broken.map(|why| Finding::at(&page.path, number, RULE, format!("`{target}`: {why}"))),
            );
        }
    }
    findings
}

/// Why a link does not lead anywhere, if so.
fn broken_link(page: &TextFile, target: &str, tree: &Tree) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    if path.starts_with('/') {
        return Some("write the path relative to the page".to_owned());
    }
    let Some(full) = resolve(&page.path, &path.replace("%20", " ")) else {
        return Some("leads out of the repository".to_owned());
    };
    if !full.is_empty() && !tree.paths.contains(&full) {
        return Some(format!("`{full}` does not exist"));
    }
    let anchor = anchor?;
    match tree.file(&full) {
        Some(file) if file.path.ends_with(".md") => {
            (!anchors(&file.text).iter().any(|known| known == anchor))
                .then(|| format!("no heading `#{anchor}` in `{full}`"))
        }
        // `src/file.rs#L10` is a line of a source file.
        Some(_) if anchor.starts_with('L') => None,
        _ => Some("only a page has headings".to_owned()),
    }
}

/// The path from the root that a link names, seen from its page; nothing when it leaves the root.
fn resolve(page: &str, link: &str) -> Option<String> {
    if link.is_empty() {
        return Some(page.to_owned());
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The lines outside of fenced blocks, with their numbers from 1.
fn prose_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let line = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| line.starts_with(mark));
        match (fence, mark) {
            (None, Some(opened)) => fence = Some(opened),
            (Some(open), Some(closed)) if open == closed => {
                fence = None;
                return false;
            }
            (Some(_) | None, _) => {}
        }
        fence.is_none()
    })
}

/// The targets of the links and images of a line, and of a reference definition.
fn targets(line: &str) -> Vec<String> {
    let line = without_code(line);
    let mut found = Vec::new();
    for (offset, _) in line.match_indices("](") {
        let rest = line.get(offset + 2..).unwrap_or("");
        found.extend(closing(rest).map(destination));
    }
    let trimmed = line.trim_start();
    if trimmed.starts_with('[')
        && !trimmed.starts_with("[^")
        && let Some((_, rest)) = trimmed.split_once("]: ")
    {
        found.push(destination(rest));
    }
    found
}

/// The text up to the parenthesis that closes the link; the destination may hold balanced ones.
fn closing(rest: &str) -> Option<&str> {
    let mut depth = 0_usize;
    for (offset, c) in rest.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return rest.get(..offset),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// A destination without its title and angle brackets.
fn destination(text: &str) -> String {
    let text = text.trim();
    match text.strip_prefix('<').and_then(|inner| inner.split_once('>')) {
        Some((inner, _)) => inner.to_owned(),
        None => text.split_whitespace().next().unwrap_or("").to_owned(),
    }
}

/// The line with its code spans replaced by spaces.
fn without_code(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for (index, part) in line.split('`').enumerate() {
        if index % 2 == 0 {
            out.push_str(part);
        } else {
            out.push(' ');
        }
    }
    out
}

/// The anchors of a page: its headings, and ids given in HTML.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = Vec::new();
    for (_, line) in prose_lines(text) {
        let level = line.chars().take_while(|c| *c == '#').count();
        if let (1..=6, Some(title)) = (level, line.trim_start_matches('#').strip_prefix(' ')) {
            let slug = slug(title.trim());
            let repeat = seen.entry(slug.clone()).or_insert(0);
            anchors.push(if *repeat == 0 { slug } else { format!("{slug}-{repeat}") });
            *repeat += 1;
        }
        for mark in ["id=\"", "name=\""] {
            let ids = line.split(mark).skip(1).filter_map(|rest| rest.split('"').next());
            anchors.extend(ids.map(str::to_owned));
        }
    }
    anchors
}

/// GitHub's anchor of a heading; a link in it counts by its text.
fn slug(title: &str) -> String {
    let mut words = String::new();
    let mut rest = title;
    while let Some((before, after)) = rest.split_once("](") {
        words.push_str(before);
        rest = after.split_once(')').map_or("", |(_, behind)| behind);
    }
    words.push_str(rest);
    let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::{anchors, check};
    use crate::repository::samples::tree;

    const TARGET: &str =
        "# Stored form\n\n## `Frame`: header, body\n\n## Again\n\n## Again\n\n```\n# no heading\n```\n";

    fn found(page: &str) -> Vec<String> {
        let files = [("docs/a.md", page), ("docs/reference/entry.md", TARGET), ("src/lib.rs", "//!")];
        check(&tree(&files)).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn good_links_hold() {
        for page in [
            "[a](reference/entry.md) and ![b](../src/lib.rs \"title\")",
            "[a](reference/entry.md#frame-header-body) [b](reference/) [c](..)",
            "# Here\n[a](#here) [b](https://example.org/x#y) [c](mailto:x@example.org)",
            "[a](../src/lib.rs#L1)",
            "`[a](nothing.md)` and\n```\n[a](nothing.md)\n```\n~~~\n```\n[a](nothing.md)\n~~~\n",
            "[id]: reference/entry.md#again-1",
            "- [x] done [1]: no link",
        ] {
            assert_eq!(found(page), Vec::<String>::new(), "{page}");
        }
    }

    #[test]
    fn broken_links_are_found() {
        for (page, why) in [
            ("[a](nothing.md)", "does not exist"),
            ("[a](reference/entry.md#nothing)", "no heading"),
            ("[a](reference/entry.md#no-heading)", "no heading"),
            ("[a](#nothing)", "no heading"),
            ("[a](/docs/a.md)", "relative"),
            ("[a](../../out.md)", "leads out"),
            ("[a](../src/lib.rs#here)", "only a page"),
            ("[id]: nothing.md", "does not exist"),
            ("```\n```\n[a](nothing.md)", "does not exist"),
        ] {
            let messages = found(page);
            assert_eq!(messages.len(), 1, "{page}: {messages:?}");
            assert!(messages[0].contains(why), "{messages:?}");
        }
    }

    #[test]
    fn anchors_are_made_as_the_host_makes_them() {
        assert_eq!(anchors(TARGET), ["stored-form", "frame-header-body", "again", "again-1"]);
        assert_eq!(anchors("## A [link](x.md) — here\n<a id=\"own\"></a>\n"), ["a-link--here", "own"]);
    }
}
