//! Tests that cannot fail: ignored, empty or commented-out tests are not let in.
//!
//! That a test asserts the right thing is for reviewers.

use super::Finding;
use crate::lexer::{Kind, Source};
use crate::repository::{TextFile, Tree};

/// The name of this rule.
pub(super) const RULE: &str = "tests";

/// How an ignored test is marked; in two pieces, so that a search for such marks finds only real ones.
const IGNORED: &str = concat!("#[", "ignore");

/// Checks every Rust file.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust().flat_map(check_file).collect()
}

fn check_file(file: &TextFile) -> Vec<Finding> {
    let source = Source::new(&file.text);
    let at = |offset: usize, message: &str| Finding::at(&file.path, source.line_of(offset), RULE, message);
    let mut findings = Vec::new();
    for (offset, _) in source.code.match_indices(IGNORED) {
        findings.push(at(offset, "an ignored test proves nothing: mend it or remove it"));
    }
    for function in source.functions() {
        let body = source.code.get(function.body.clone()).unwrap_or("");
        let literal = file.text.get(function.body.clone()).unwrap_or("").contains('"');
        if body.trim().is_empty() && !literal && is_test(&source.code, function.start) {
            findings.push(at(function.body.start, "an empty test cannot fail"));
        }
    }
    for (offset, comment) in source.pieces_of(Kind::Comment) {
        if comment.lines().any(is_commented_test) {
            findings.push(at(offset, "a commented-out test: mend it or remove it"));
        }
    }
    for (offset, doc) in source.pieces_of(Kind::DocComment) {
        if doc.lines().any(is_ignored_example) {
            findings.push(at(offset, "an ignored example: make it run, or mark it `text`"));
        }
    }
    findings
}

/// Whether the function that starts at an offset carries a test attribute: `#[test]`, `#[tokio::test]` and kin.
fn is_test(code: &str, start: usize) -> bool {
    let before = code.get(..start).unwrap_or("");
    // The attributes of a function stand between the end of the item before and its `fn`.
    let own = before.rsplit(['}', '{', ';']).next().unwrap_or("");
    own.split("#[").skip(1).any(|attribute| {
        let path = attribute.split([']', '(']).next().unwrap_or("").trim();
        path == "test" || path.ends_with("::test")
    })
}

fn is_commented_test(line: &str) -> bool {
    let code = line.trim_start_matches(['/', '*', ' ', '\t']);
    ["#[test]", "#[tokio::test", "#[cfg(test)]", IGNORED].iter().any(|mark| code.starts_with(mark))
}

fn is_ignored_example(line: &str) -> bool {
    let fence = line.trim_start_matches(['/', '!', '*', ' ', '\t']).strip_prefix("```");
    fence.is_some_and(|words| words.split(',').any(|word| word.trim().starts_with("ignore")))
}

#[cfg(test)]
mod tests {
    use super::{IGNORED, check};
    use crate::repository::samples::tree;

    #[test]
    fn real_tests_and_empty_ordinary_functions_are_fine() {
        let text = "/// ```text\n/// x\n/// ```\nfn nothing() {}\nstruct Unit;\n// See #[test] below.\n\
                    #[test]\nfn works() { assert!(true); }\nfn helper() {}\n\
                    #[test]\n#[should_panic(expected = \"x\")]\nfn panics() { f(); }\n";
        assert_eq!(check(&tree(&[("a.rs", text)])), []);
    }

    #[test]
    fn ignored_empty_and_commented_tests_are_found() {
        let ignored = format!("#[test]\n{IGNORED}]\nfn f() {{ assert!(true); }}");
        let reasoned = format!("#[test]\n{IGNORED} = \"slow\"]\nfn f() {{ assert!(true); }}");
        let cases = [
            (ignored.as_str(), "ignored test"),
            (&reasoned, "ignored test"),
            ("#[test]\nfn f() {}", "empty test"),
            ("#[test]\nfn f() {\n    // later\n}", "empty test"),
            ("#[tokio::test(flavor = \"x\")]\nasync fn f() { }", "empty test"),
            ("fn g() { h(); }\n#[test]\n#[should_panic]\nfn f() {}", "empty test"),
            ("// #[test]\n// fn f() { assert!(true); }", "commented-out"),
            ("/*\n#[test]\nfn f() { assert!(true); }\n*/", "commented-out"),
            ("/// ```ignore\n/// f();\n/// ```\nfn f() { g(); }", "ignored example"),
            ("//! ```rust,ignore\n", "ignored example"),
        ];
        for (text, why) in cases {
            let findings = check(&tree(&[("a.rs", text)]));
            assert_eq!(findings.len(), 1, "{text}: {findings:?}");
            assert!(findings[0].message.contains(why), "{findings:?}");
        }
    }
}
