//! Manifests: every member takes its lints, licence, edition and version from the workspace.
//!
//! A member that sets its own could switch off `unsafe_code = "forbid"` unseen.

use super::Finding;
use crate::repository::{Member, Tree};
use crate::toml_file;

/// The name of this rule.
pub(super) const RULE: &str = "manifests";

/// What every package inherits.
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "publish"];

/// Checks the manifest of every member, and that the workspace still forbids unsafe code.
pub(super) fn check(tree: &Tree, members: &[Member]) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for member in members {
        let path = format!("{}/Cargo.toml", member.folder);
        match tree.file(&path) {
            Some(file) => findings.extend(check_member(&path, &file.text)?),
            None => findings.push(Finding::on(&path, RULE, "the manifest is not among the tracked files")),
        }
    }
    let root = tree.file("Cargo.toml").map_or("", |file| &file.text);
    let root = toml_file::parse("Cargo.toml", root)?;
    let forbids = toml_file::lookup(&root, &["workspace", "lints", "rust", "unsafe_code"]);
    if forbids.and_then(toml::Value::as_str) != Some("forbid") {
        findings.push(Finding::on(
            "Cargo.toml",
            RULE,
            "`unsafe_code = \"forbid\"` must stand in [workspace.lints.rust]",
        ));
    }
    Ok(findings)
}

fn check_member(path: &str, text: &str) -> anyhow::Result<Vec<Finding>> {
    let manifest = toml_file::parse(path, text)?;
    let mut findings = Vec::new();
    if !toml_file::is_true(&manifest, &["lints", "workspace"]) {
        findings.push(Finding::on(path, RULE, "`[lints] workspace = true` is missing"));
    }
    for key in INHERITED {
        if !toml_file::is_true(&manifest, &["package", key, "workspace"]) {
            findings.push(Finding::on(path, RULE, format!("`{key}.workspace = true` is missing")));
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::repository::samples::{member, tree};

    const ROOT: &str = "[workspace.lints.rust]\nunsafe_code = \"forbid\"\n";
    const GOOD: &str = "[package]\nname = \"a\"\nversion.workspace = true\nedition.workspace = true\n\
                        rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n\
                        [lints]\nworkspace = true\n";

    fn found(root: &str, manifest: &str) -> Vec<String> {
        let files = tree(&[("Cargo.toml", root), ("crates/a/Cargo.toml", manifest)]);
        let findings = check(&files, &[member("a", "crates/a", &[])]).unwrap();
        findings.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn inherited_settings_hold() {
        assert_eq!(found(ROOT, GOOD), Vec::<String>::new());
    }

    #[test]
    fn own_settings_are_found() {
        let cases = [
            (ROOT, GOOD.replace("[lints]\nworkspace = true", ""), "[lints]"),
            (
                ROOT,
                GOOD.replace("[lints]\nworkspace = true", "[lints.rust]\nunsafe_code = \"allow\""),
                "[lints]",
            ),
            (ROOT, GOOD.replace("license.workspace = true", "license = \"MIT\""), "license"),
            (ROOT, GOOD.replace("publish.workspace = true\n", ""), "publish"),
            ("[workspace.lints.rust]\nunsafe_code = \"deny\"\n", GOOD.to_owned(), "unsafe_code"),
        ];
        for (root, manifest, why) in cases {
            let messages = found(root, &manifest);
            assert_eq!(messages.len(), 1, "{messages:?}");
            assert!(messages[0].contains(why), "{messages:?}");
        }
        assert!(check(&tree(&[("Cargo.toml", ROOT)]), &[member("a", "crates/a", &[])]).unwrap().len() == 1);
        assert!(check(&tree(&[("Cargo.toml", "=")]), &[]).is_err());
    }
}
