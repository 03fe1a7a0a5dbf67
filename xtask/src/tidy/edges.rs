//! Layers: a crate depends only on crates that stand before it in the house, and drivers are named by programs alone.
//!
//! Development dependencies are free: a test may use any crate.
//! What a crate does with its dependencies is not seen here; `purity` reads the text of those that do no IO.

use super::Finding;
use crate::repository::Member;

/// The name of this rule.
pub(super) const RULE: &str = "layers";

/// The house from the ground up; `*` is every crate of a folder, and those do not depend on each other.
const HOUSE: [&str; 20] = [
    "crates/base/model",
    "crates/base/stdx",
    "crates/evidence/entry",
    "crates/evidence/ledger",
    "crates/evidence/log",
    "crates/evidence/keys",
    "crates/evidence/archive",
    "crates/flow/domain",
    "crates/flow/views",
    "crates/flow/engine",
    "crates/flow/pattern",
    "crates/flow/router",
    "crates/flow/alarms",
    "crates/domains/*",
    "crates/drivers/*",
    // The form that several doors read.
    "crates/edge/cloudevents",
    "crates/edge/*",
    "bin/*",
    "testing/*",
    "xtask",
];

/// What the offline verifier may stand on: the forms and the proofs, and nothing that reaches for a store.
const VERIFIER_MAY_USE: [&str; 4] = ["waag-model", "waag-stdx", "waag-entry", "waag-ledger"];

/// Checks the normal dependencies of every member.
pub(super) fn check(members: &[Member]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in members {
        if rank(&member.folder).is_none() {
            findings.push(Finding::on(
                &member.folder,
                RULE,
                "this folder is not a layer of the house (xtask/src/tidy/edges.rs)",
            ));
        }
        for needed in members.iter().filter(|other| member.normal.contains(&other.name)) {
            let broken = broken_rule(member, needed);
            findings.extend(broken.map(|why| {
                Finding::on(
                    &member.folder,
                    RULE,
                    format!("`{}` depends on `{}`: {why}", member.name, needed.name),
                )
            }));
        }
        if member.folder.starts_with("crates/") && member.normal.iter().any(|name| name == "anyhow") {
            findings.push(Finding::on(
                &member.folder,
                RULE,
                "`anyhow` is for programs, tests and xtask; a library's errors are enums",
            ));
        }
    }
    findings
}

/// The place of a folder in the house.
fn rank(folder: &str) -> Option<usize> {
    HOUSE.iter().position(|layer| match layer.strip_suffix('*') {
        Some(parent) => {
            folder.strip_prefix(parent).is_some_and(|name| !name.is_empty() && !name.contains('/'))
        }
        None => folder == *layer,
    })
}

/// Why `member` may not depend on `needed`, if it may not; the first reason that applies.
fn broken_rule(member: &Member, needed: &Member) -> Option<&'static str> {
    let from = |folder: &str| member.folder.starts_with(folder);
    let to = |folder: &str| needed.folder.starts_with(folder);
    let program = from("bin/") || from("testing/");
    if from("crates/domains/") && to("crates/domains/") {
        return Some("domains meet only through events");
    }
    if from("crates/domains/") && needed.folder == "crates/flow/engine" {
        return Some("a domain is pure and does not know the engine");
    }
    if from("crates/drivers/") && to("crates/drivers/") {
        return Some("drivers share a contract, not each other's code");
    }
    if to("crates/drivers/") && !program {
        return Some("drivers are named by bin/, testing/ and tests alone");
    }
    if member.name == "waag-verify" && !VERIFIER_MAY_USE.contains(&needed.name.as_str()) {
        return Some("the verifier stands on model, stdx, entry and ledger only");
    }
    if to("xtask") {
        return Some("nothing depends on the house-keeper");
    }
    let (own, other) = (rank(&member.folder)?, rank(&needed.folder)?);
    // The simulator, the fixtures and the benches are tools for each other; no one ships them.
    let among_test_tools = from("testing/") && to("testing/");
    (other >= own && !among_test_tools).then_some("it stands later in the house")
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::repository::Member;
    use crate::repository::samples::member;

    fn house(changed: Member) -> Vec<Member> {
        let mut members = vec![
            member("waag-model", "crates/base/model", &[]),
            member("waag-entry", "crates/evidence/entry", &["waag-model", "zstd"]),
            member("waag-ledger", "crates/evidence/ledger", &["waag-model"]),
            member("waag-log", "crates/evidence/log", &["waag-ledger", "waag-entry"]),
            member("waag-engine", "crates/flow/engine", &["waag-log"]),
            member("waag-invoices", "crates/domains/invoices", &["waag-model"]),
            member("waag-payments", "crates/domains/payments", &["waag-model"]),
            member("waag-files", "crates/drivers/files", &["waag-log"]),
            member("waag-sqlite", "crates/drivers/sqlite", &["waag-log"]),
            member("waag-cloudevents", "crates/edge/cloudevents", &["waag-model"]),
            member("waag", "bin/waag", &["waag-engine", "waag-files", "waag-cloudevents", "anyhow"]),
            member("waag-verify", "bin/waag-verify", &["waag-entry", "waag-ledger"]),
            member("waag-fixtures", "testing/fixtures", &["waag-model"]),
            member("waag-sim", "testing/sim", &["waag-engine", "waag-files", "waag-fixtures"]),
            member("xtask", "xtask", &["anyhow"]),
        ];
        members.retain(|member| member.name != changed.name);
        members.push(changed);
        members
    }

    #[test]
    fn the_house_as_designed_holds() {
        assert_eq!(check(&house(member("waag-model", "crates/base/model", &[]))), []);
    }

    #[test]
    fn every_forbidden_edge_is_found() {
        let cases: [(&str, &str, &[&str], &str); 13] = [
            ("waag-model", "crates/base/model", &["waag-entry"], "later in the house"),
            ("waag-entry", "crates/evidence/entry", &["waag-ledger"], "later in the house"),
            ("waag-invoices", "crates/domains/invoices", &["waag-payments"], "only through events"),
            ("waag-invoices", "crates/domains/invoices", &["waag-engine"], "does not know the engine"),
            ("waag-invoices", "crates/domains/invoices", &["waag-files"], "drivers are named by"),
            ("waag-sqlite", "crates/drivers/sqlite", &["waag-files"], "not each other's code"),
            ("waag-cloudevents", "crates/edge/cloudevents", &["waag-files"], "drivers are named by"),
            ("xtask", "xtask", &["waag-files"], "drivers are named by"),
            ("waag-verify", "bin/waag-verify", &["waag-log"], "the verifier stands on"),
            ("waag", "bin/waag", &["waag-sim"], "later in the house"),
            ("waag", "bin/waag", &["waag-verify"], "later in the house"),
            ("waag-log", "crates/evidence/log", &["anyhow"], "errors are enums"),
            ("waag-new", "crates/misc/new", &[], "not a layer"),
        ];
        for (name, folder, normal, why) in cases {
            let findings = check(&house(member(name, folder, normal)));
            assert_eq!(findings.len(), 1, "{name}: {findings:?}");
            assert!(findings[0].message.contains(why), "{name}: {findings:?}");
            assert_eq!(findings[0].place, folder);
        }
    }
}
