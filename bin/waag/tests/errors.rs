//! The catalogue of error codes: every code in the sources has a whole page, and the program prints it as it is.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails loudly")]

#[expect(dead_code, reason = "shared with other tests")]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use common::Folder;

const FAULTS: [&str; 4] = ["the caller's", "the counterparty's", "the environment's", "ours"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pages in the folder by their codes.
fn pages() -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("docs/errors")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name != "README" {
            pages.insert(name, read(&path));
        }
    }
    pages
}

/// Every `E` and four digits between quotation marks in a text.
fn codes(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("\"E").filter_map(|(at, _)| {
        let code = text.get(at + 1..at + 6)?;
        let is_code = code.bytes().skip(1).all(|byte| byte.is_ascii_digit());
        (is_code && text.get(at + 6..at + 7) == Some("\"")).then_some(code)
    })
}

fn sources(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            // What stands behind the first tests of a file is about codes, and raises none.
            let text = read(&path);
            let raising = text.split("#[cfg(test)]").next().unwrap();
            found.extend(codes(raising).map(str::to_owned));
        }
    }
}

/// The codes that product code raises.
fn raised() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let layers = [
        "crates/base",
        "crates/evidence",
        "crates/flow",
        "crates/domains",
        "crates/drivers",
        "crates/edge",
        "bin",
    ];
    for layer in layers {
        for member in std::fs::read_dir(root().join(layer)).unwrap() {
            let sources_of = member.unwrap().path().join("src");
            if sources_of.is_dir() {
                sources(&sources_of, &mut found);
            }
        }
    }
    found
}

/// What is wrong with a page, if anything.
fn fault_of(code: &str, page: &str) -> Option<&'static str> {
    let title = page.lines().next().and_then(|line| line.strip_prefix(&format!("# {code}: ")));
    if title.is_none_or(|title| title.trim().is_empty() || title.ends_with('.')) {
        return Some("its first line is not `# CODE: title`");
    }
    let (fault, rest) = page
        .split_once("\n\n**Whose fault:** ")
        .map_or(("", ""), |(_, rest)| rest.split_once("\n\n").unwrap_or_default());
    if !FAULTS.contains(&fault) {
        return Some("whose fault it is, is none of the four");
    }
    let Some((what, rest)) = rest.split_once("\n## What to do\n\n") else {
        return Some("it does not say what to do");
    };
    let Some((advice, place)) = rest.split_once("\n## Where it comes from\n\n") else {
        return Some("it does not say where it comes from");
    };
    if [what, advice, place].iter().any(|text| text.trim().len() < 10 || text.contains("\n#")) {
        return Some("one of its parts is empty, or there are more parts");
    }
    None
}

#[test]
fn every_code_has_a_whole_page_and_explain_prints_it() {
    let (pages, raised) = (pages(), raised());
    assert!(raised.len() > 200, "{} codes in the sources", raised.len());
    let paged: BTreeSet<String> = pages.keys().cloned().collect();
    let (without, unused): (Vec<_>, Vec<_>) =
        (raised.difference(&paged).collect(), paged.difference(&raised).collect());
    assert!(
        without.is_empty() && unused.is_empty(),
        "without a page: {without:?}; raised nowhere: {unused:?}"
    );
    let folder = Folder::new();
    let listed = folder.run(&["explain", "--json"]).exits(0).lines();
    assert_eq!(folder.run(&["explain", "E0204", "--json"]).exits(0).json()["text"], pages["E0204"].as_str());
    assert_eq!(listed.len(), pages.len());
    for ((code, page), line) in pages.iter().zip(&listed) {
        assert_eq!(fault_of(code, page), None, "{code}");
        assert_eq!(line["code"], code.as_str());
        assert_eq!(format!("# {code}: {}", line["title"].as_str().unwrap()), page.lines().next().unwrap());
    }
    for (code, page) in &pages {
        assert_eq!(&folder.run(&["explain", code]).exits(0).out, page, "{code}");
    }
}

#[test]
fn a_page_that_lacks_a_part_is_noticed() {
    let whole = &pages()["E0204"];
    assert_eq!(fault_of("E0204", whole), None);
    assert!(fault_of("E0205", whole).is_some());
    for part in
        ["**Whose fault:** the caller's", "## What to do", "## Where it comes from", "`evidence/entry`"]
    {
        assert!(whole.contains(part), "{part}");
        let (before, _) = whole.split_once(part).unwrap();
        assert!(fault_of("E0204", before).is_some(), "cut before {part}");
    }
    assert!(fault_of("E0204", &whole.replace("the caller's", "nobody's")).is_some());
}

#[test]
fn the_page_about_pages_shows_what_is_printed_and_which_codes_are_gone() {
    let readme = read(&root().join("docs/errors/README.md"));
    let (_, rest) = readme.split_once("```markdown\n").unwrap();
    let (sample, _) = rest.split_once("```").unwrap();
    let code = sample.get(2..7).unwrap();
    assert_eq!(Folder::new().run(&["explain", code]).exits(0).out, sample);
    let (_, retired) = readme.split_once("## Retired codes").unwrap();
    let (pages, raised) = (pages(), raised());
    let mut gone = 0;
    for row in retired.lines().filter(|row| row.starts_with("| E")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert!(!pages.contains_key(cells[1]) && !raised.contains(cells[1]), "`{}` is used again", cells[1]);
        assert!(pages.contains_key(cells[3]), "`{row}` leads nowhere");
        gone += 1;
    }
    assert!(gone >= 3);
}
