//! No IO below the log: `model`, `entry` and `ledger` name neither files, network, processes nor environment.
//!
//! Read from the text, because a dependency on the standard library cannot be seen in `cargo metadata`.
//! Tests of these crates may read files.

use super::Finding;
use crate::lexer::{Source, is_test_path, is_word, word_offsets};
use crate::repository::{TextFile, Tree};

/// The name of this rule.
pub(super) const RULE: &str = "no-io";

/// The crates that do no IO.
const PURE: [&str; 4] =
    ["crates/base/model/", "crates/evidence/entry/", "crates/evidence/ledger/", "crates/flow/pattern/"];

/// What they must not name, by the crate it is in.
const REACHES_OUT: [(&str, &[&str]); 2] =
    [("std", &["fs", "net", "process", "env", "thread", "os"]), ("waag_stdx", &["files"])];

/// Checks the sources of the pure crates.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let pure = tree.rust().filter(|file| PURE.iter().any(|folder| file.path.starts_with(folder)));
    pure.filter(|file| !is_test_path(&file.path)).flat_map(check_file).collect()
}

fn check_file(file: &TextFile) -> Vec<Finding> {
    let source = Source::new(&file.text);
    let code = source.code_without_tests();
    let mut findings = Vec::new();
    for (library, modules) in REACHES_OUT {
        for (module, offset) in named(&code, library, modules) {
            let message = format!("`{library}::{module}` reaches out into the world; this crate does no IO");
            findings.push(Finding::at(&file.path, source.line_of(offset), RULE, message));
        }
    }
    findings
}

/// The modules of a crate that code names, as `std::fs` or within `use std::{fs, …};`, with their offsets.
fn named<'a>(code: &str, library: &str, modules: &[&'a str]) -> Vec<(&'a str, usize)> {
    let mut found = Vec::new();
    for start in word_offsets(code, library) {
        let Some(path) = code.get(start + library.len()..).and_then(|rest| rest.strip_prefix("::")) else {
            continue;
        };
        let grouped = path.starts_with('{');
        let end = if grouped { path.find(';') } else { path.find(|c| !is_word(c)) };
        let names = path.get(..end.unwrap_or(path.len())).unwrap_or("");
        let here = modules.iter().filter(|module| word_offsets(names, module).next().is_some());
        found.extend(here.map(|module| (*module, start)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::repository::samples::tree;

    #[test]
    fn comments_strings_tests_and_other_crates_are_free() {
        let text = "//! Never std::fs.\nuse std::{fmt, mem};\nuse waag_stdx::clock::Clock;\nlet fs = std::mem::take(f);\nconst S: &str = \"std::net\";\n\
                    #[cfg(test)]\nmod tests { use std::fs; }\n";
        let files = [
            ("crates/evidence/entry/src/lib.rs", text),
            ("crates/evidence/entry/tests/golden.rs", "use std::fs;"),
            ("crates/drivers/files/src/lib.rs", "use std::fs;"),
        ];
        assert_eq!(check(&tree(&files)), []);
    }

    #[test]
    fn io_in_a_pure_crate_is_found() {
        for text in [
            "use std::fs::File;",
            "use std::{fmt, net::IpAddr};",
            "fn f() { std::process::abort() }",
            "use waag_stdx::files::Files;",
            "use waag_stdx::{clock::Clock, files::File};",
        ] {
            let findings = check(&tree(&[("crates/base/model/src/lib.rs", text)]));
            assert_eq!(findings.len(), 1, "{text}: {findings:?}");
        }
    }
}
