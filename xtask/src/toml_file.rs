//! Reading TOML by a path of keys, for the few facts that the checks take from manifests and `deny.toml`.

use anyhow::Context as _;
use toml::{Table, Value};

/// Parses a TOML text; `path` is for the message.
pub(crate) fn parse(path: &str, text: &str) -> anyhow::Result<Table> {
    text.parse::<Table>().with_context(|| format!("`{path}` is not TOML"))
}

/// The value at a path of keys.
pub(crate) fn lookup<'a>(table: &'a Table, keys: &[&str]) -> Option<&'a Value> {
    let (first, rest) = keys.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(key))
}

/// Whether the value at a path of keys is `true`.
pub(crate) fn is_true(table: &Table, keys: &[&str]) -> bool {
    lookup(table, keys).and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::{is_true, lookup, parse};

    #[test]
    fn dotted_keys_and_tables_are_the_same() {
        for text in ["lints.workspace = true", "[lints]\nworkspace = true", "lints = { workspace = true }"] {
            assert!(is_true(&parse("x", text).unwrap(), &["lints", "workspace"]), "{text}");
        }
        let other = parse("x", "lints.workspace = \"true\"").unwrap();
        assert!(!is_true(&other, &["lints", "workspace"]));
        assert!(lookup(&other, &["lints", "nothing"]).is_none());
        assert!(lookup(&other, &[]).is_none());
        assert!(parse("x", "= 1").is_err());
    }
}
