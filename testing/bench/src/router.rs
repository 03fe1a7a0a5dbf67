//! `bench router`: what it costs to tell which subscriptions an event concerns, and to deliver it.

use crate::{deliveries, matching};

/// `matching [--events N] [--rounds N]`; without a part, all of them.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    match arguments {
        [] => {
            matching::run(&[])?;
            deliveries::run(&[])
        }
        ["deliveries", rest @ ..] => deliveries::run(rest),
        ["matching", rest @ ..] => matching::run(rest),
        [other, ..] => anyhow::bail!("`{other}` is not a part of this benchmark: matching, deliveries"),
    }
}
