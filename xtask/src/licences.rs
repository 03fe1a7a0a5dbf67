//! Licences and banned crates: what `deny.toml` allows, checked without `cargo-deny` where that is not installed.
//!
//! The list in `deny.toml` is the only one; both checkers read it.
//! What `cargo-deny` does beyond (sources, duplicates, licence texts) is not repeated here.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use toml::Value;

use crate::repository::Packages;
use crate::toml_file;

/// What the project lets in.
pub(crate) struct Policy {
    allowed: BTreeSet<String>,
    /// With those that may depend on it all the same (`wrappers`).
    banned: BTreeMap<String, BTreeSet<String>>,
}

impl Policy {
    /// Reads the lists of `deny.toml`.
    pub(crate) fn read(text: &str) -> anyhow::Result<Self> {
        let table = toml_file::parse("deny.toml", text)?;
        let list = |keys: &[&str]| -> anyhow::Result<Vec<Value>> {
            let list = toml_file::lookup(&table, keys).and_then(Value::as_array);
            list.cloned().with_context(|| format!("deny.toml has no list `{}`", keys.join(".")))
        };
        let allowed = list(&["licenses", "allow"])?;
        let banned = list(&["bans", "deny"])?;
        let name =
            |value: &Value| value.get("crate").or(Some(value)).and_then(Value::as_str).map(str::to_owned);
        let with_wrappers = |value: &Value| {
            let wrappers = value.get("wrappers").and_then(Value::as_array);
            let wrappers = wrappers.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
            Some((name(value)?, wrappers.collect()))
        };
        Ok(Self {
            allowed: allowed.iter().filter_map(name).collect(),
            banned: banned.iter().filter_map(with_wrappers).collect(),
        })
    }

    /// What is wrong with the packages, one line each.
    pub(crate) fn check(&self, packages: &Packages) -> Vec<String> {
        let mut wrong = Vec::new();
        for (id, package) in &packages.graph {
            let name = format!("{} {}", package.name, package.version);
            if self.is_banned(id, &package.name, packages) {
                wrong.push(format!("{name}: this crate is banned by deny.toml"));
            }
            match package.licence.as_deref() {
                None => wrong.push(format!("{name}: no licence is stated")),
                Some(expression) => match self.permits(expression) {
                    Some(true) => {}
                    Some(false) => wrong.push(format!("{name}: `{expression}` is not covered by deny.toml")),
                    None => wrong.push(format!("{name}: `{expression}` is not a licence expression")),
                },
            }
        }
        wrong
    }

    /// Whether a crate may not be there, or is linked into another than those that may have it.
    fn is_banned(&self, id: &String, name: &str, packages: &Packages) -> bool {
        let Some(wrappers) = self.banned.get(name) else { return false };
        let mut above = packages.graph.values().filter(|package| package.linked.contains(id)).peekable();
        above.peek().is_none() || above.any(|package| !wrappers.contains(&package.name))
    }

    /// Whether an SPDX expression can be met by allowed licences alone; nothing when it cannot be read.
    fn permits(&self, expression: &str) -> Option<bool> {
        // Before SPDX expressions, crates wrote `MIT/Apache-2.0` for a choice.
        let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let (result, rest) = self.either(&words)?;
        rest.is_empty().then_some(result)
    }

    /// `a OR b OR …`
    fn either<'a, 'b>(&self, words: &'b [&'a str]) -> Option<(bool, &'b [&'a str])> {
        let (mut result, mut rest) = self.all(words)?;
        while let ["OR", behind @ ..] = rest {
            let (next, after) = self.all(behind)?;
            result |= next;
            rest = after;
        }
        Some((result, rest))
    }

    /// `a AND b AND …`, which binds closer than `OR` (SPDX 3.0.1, annex B).
    fn all<'a, 'b>(&self, words: &'b [&'a str]) -> Option<(bool, &'b [&'a str])> {
        let (mut result, mut rest) = self.one(words)?;
        while let ["AND", behind @ ..] = rest {
            let (next, after) = self.one(behind)?;
            result &= next;
            rest = after;
        }
        Some((result, rest))
    }

    /// A licence, a licence with an exception, or an expression in parentheses.
    fn one<'a, 'b>(&self, words: &'b [&'a str]) -> Option<(bool, &'b [&'a str])> {
        match words {
            ["(", inner @ ..] => match self.either(inner)? {
                (result, [")", rest @ ..]) => Some((result, rest)),
                _ => None,
            },
            [")" | "OR" | "AND" | "WITH", ..] | [] => None,
            [name, "WITH", exception, rest @ ..] => {
                Some((self.allowed.contains(&format!("{name} WITH {exception}")), rest))
            }
            [name, rest @ ..] => Some((self.allowed.contains(*name), rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Policy;
    use crate::repository::{Packages, Resolved};

    const DENY: &str = "[licenses]\nallow = [\"MIT\", \"Apache-2.0\", \"ISC\", \"Apache-2.0 WITH LLVM-exception\"]\n\
                        [bans]\ndeny = [{ crate = \"openssl\", reason = \"x\" }, \"native-tls\", { crate = \"old\", wrappers = [\"kept\"] }]\n";

    #[test]
    fn expressions_are_weighed_as_spdx_says() {
        let policy = Policy::read(DENY).unwrap();
        for (expression, expected) in [
            ("MIT", Some(true)),
            ("GPL-3.0-only", Some(false)),
            ("AGPL-3.0-or-later", Some(false)),
            ("MIT OR GPL-3.0-only", Some(true)),
            ("MIT AND GPL-3.0-only", Some(false)),
            ("GPL-2.0/MIT", Some(true)),
            ("MIT OR Apache-2.0 AND GPL-3.0-only", Some(true)),
            ("(MIT OR Apache-2.0) AND GPL-3.0-only", Some(false)),
            ("ISC AND (Apache-2.0 OR (ISC AND MIT))", Some(true)),
            ("Apache-2.0 WITH LLVM-exception", Some(true)),
            ("GPL-2.0 WITH Classpath-exception-2.0", Some(false)),
            ("(MIT", None),
            ("MIT OR", None),
            ("MIT Apache-2.0", None),
            ("", None),
        ] {
            assert_eq!(policy.permits(expression), expected, "{expression}");
        }
    }

    #[test]
    fn packages_are_held_to_the_policy() {
        let policy = Policy::read(DENY).unwrap();
        let check = |name: &str, licence: Option<&str>| {
            let resolved = Resolved {
                name: name.to_owned(),
                licence: licence.map(str::to_owned),
                ..Resolved::default()
            };
            policy.check(&Packages { members: Vec::new(), graph: [(name.to_owned(), resolved)].into() })
        };
        assert!(check("a", Some("MIT")).is_empty());
        assert_eq!(check("a", Some("LGPL-3.0-only")).len(), 1);
        assert_eq!(check("a", None).len(), 1);
        assert_eq!(check("openssl", Some("Apache-2.0")).len(), 1);
        assert_eq!(check("native-tls", Some("MIT")).len(), 1);
        let linked = |above: &[&str]| {
            let of = |name: &str, linked: &[&str]| {
                let (name, licence) = (name.to_owned(), Some("MIT".to_owned()));
                let linked = linked.iter().map(|&id| id.to_owned()).collect();
                (name.clone(), Resolved { name, licence, linked, ..Resolved::default() })
            };
            let above = above.iter().map(|name| of(name, &["old"]));
            let graph = above.chain([of("old", &[])]).collect();
            policy.check(&Packages { members: Vec::new(), graph }).len()
        };
        assert_eq!([linked(&["kept"]), linked(&["kept", "a"]), linked(&["a"]), linked(&[])], [0, 1, 1, 1]);
    }

    #[test]
    fn a_policy_without_its_lists_is_an_error() {
        assert!(Policy::read("[licenses]\nallow = []\n").is_err());
        assert!(Policy::read("[bans]\ndeny = []\n").is_err());
    }
}
