//! Ratchets: long files and long functions may only shrink, and new ones are not let in.
//!
//! `xtask/ratchet.txt` lists the exceptions, one a line: `PATH LINES` or `PATH fn NAME LINES`.
//! A number is exact: what has grown fails, and what has shrunk asks for the lower number, so that no gain is lost.

use std::collections::BTreeMap;

use anyhow::Context as _;

use super::Finding;
use crate::lexer::Source;
use crate::repository::{TextFile, Tree};

/// The name of this rule.
pub(super) const RULE: &str = "ratchet";

/// The list of exceptions.
const LIST: &str = "xtask/ratchet.txt";

/// Longest file, in lines.
const FILE_LINES_MAX: usize = 600;

/// Longest function, in lines from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// What is measured: a file, or a function of a file by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Measured {
    path: String,
    function: Option<String>,
}

/// A length and the line at which what is measured starts.
#[derive(Clone, Copy)]
struct Length {
    lines: usize,
    from: usize,
}

/// Measures every Rust file against the limits and the list.
pub(super) fn check(tree: &Tree) -> anyhow::Result<Vec<Finding>> {
    let mut allowed = parse_list(tree.file(LIST).map_or("", |file| &file.text))?;
    let mut findings = Vec::new();
    for (measured, length) in tree.rust().flat_map(measure) {
        let limit = if measured.function.is_some() { FUNCTION_LINES_MAX } else { FILE_LINES_MAX };
        let recorded = allowed.remove(&measured);
        let message = verdict(&measured, length.lines, limit, recorded);
        findings.extend(message.map(|message| Finding::at(&measured.path, length.from, RULE, message)));
    }
    for measured in allowed.into_keys() {
        let what = measured
            .function
            .map_or_else(|| measured.path.clone(), |name| format!("{} fn {name}", measured.path));
        findings.push(Finding::on(LIST, RULE, format!("`{what}` is gone: remove its line")));
    }
    Ok(findings)
}

/// The file and its functions; of functions with one name, the longest counts.
fn measure(file: &TextFile) -> BTreeMap<Measured, Length> {
    let whole = Measured { path: file.path.clone(), function: None };
    let mut lengths = BTreeMap::from([(whole, Length { lines: file.text.lines().count(), from: 1 })]);
    for function in Source::new(&file.text).functions() {
        let measured = Measured { path: file.path.clone(), function: Some(function.name) };
        let length = Length { lines: function.lines, from: function.line };
        let longest = lengths.entry(measured).or_insert(length);
        if longest.lines < length.lines {
            *longest = length;
        }
    }
    lengths
}

/// What is wrong with a length, if anything.
fn verdict(measured: &Measured, lines: usize, limit: usize, recorded: Option<usize>) -> Option<String> {
    let what =
        measured.function.as_ref().map_or_else(|| "the file".to_owned(), |name| format!("`fn {name}`"));
    match recorded {
        None if lines > limit => Some(format!("{what} has {lines} lines, the limit is {limit}: split it")),
        None => None,
        Some(_) if lines <= limit => {
            Some(format!("{what} is within the limit of {limit}: remove it from {LIST}"))
        }
        Some(recorded) if lines > recorded => {
            Some(format!("{what} has grown from {recorded} to {lines} lines; it may only shrink"))
        }
        Some(recorded) if lines < recorded => {
            Some(format!("{what} has shrunk to {lines} lines: lower its {recorded} in {LIST}"))
        }
        Some(_) => None,
    }
}

/// Reads the exceptions; blank lines and `#` lines are comments.
fn parse_list(text: &str) -> anyhow::Result<BTreeMap<Measured, usize>> {
    let mut list = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (path, function, lines) = match words.as_slice() {
            [path, lines] => (path, None, lines),
            [path, "fn", name, lines] => (path, Some((*name).to_owned()), lines),
            _ => anyhow::bail!("{LIST}: `{line}` is neither `PATH LINES` nor `PATH fn NAME LINES`"),
        };
        let lines = lines.parse().with_context(|| format!("{LIST}: `{line}` does not end with a number"))?;
        list.insert(Measured { path: (*path).to_owned(), function }, lines);
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::{check, parse_list};
    use crate::repository::samples::tree;

    fn messages(list: &str, text: &str) -> Vec<String> {
        let findings = check(&tree(&[("xtask/ratchet.txt", list), ("a.rs", text)])).unwrap();
        findings.into_iter().map(|finding| finding.message).collect()
    }

    fn function(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    f();\n".repeat(lines - 2))
    }

    #[test]
    fn at_the_limit_is_within_and_one_more_is_not() {
        assert!(messages("", &"//\n".repeat(600)).is_empty());
        assert!(messages("", &"//\n".repeat(601))[0].contains("601 lines, the limit is 600"));
        assert!(messages("", &function(70)).is_empty());
        assert!(messages("", &function(71))[0].contains("`fn long` has 71 lines, the limit is 70"));
    }

    #[test]
    fn a_listed_length_may_only_shrink_and_the_list_follows() {
        let list = "# exceptions\n\na.rs 610\n";
        assert!(messages(list, &"//\n".repeat(610)).is_empty());
        assert!(messages(list, &"//\n".repeat(611))[0].contains("grown from 610 to 611"));
        assert!(messages(list, &"//\n".repeat(609))[0].contains("lower its 610"));
        assert!(messages(list, &"//\n".repeat(600))[0].contains("remove it"));
        assert!(messages("a.rs fn long 80\n", &function(80)).is_empty());
        assert!(messages("a.rs fn long 80\n", &function(81))[0].contains("grown"));
        assert!(messages("a.rs fn other 80\n", "//\n")[0].contains("gone"));
        assert!(messages("b.rs 700\n", "//\n")[0].contains("gone"));
    }

    #[test]
    fn of_functions_with_one_name_the_longest_counts() {
        let text = format!("{}{}", function(75), function(3));
        assert_eq!(messages("", &text).len(), 1);
        assert!(messages("a.rs fn long 75\n", &text).is_empty());
    }

    #[test]
    fn a_list_that_cannot_be_read_is_an_error() {
        for bad in ["a.rs", "a.rs many", "a.rs function x 3", "a.rs fn x"] {
            assert!(parse_list(bad).is_err(), "{bad}");
        }
    }
}
