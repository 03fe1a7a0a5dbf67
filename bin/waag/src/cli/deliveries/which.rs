//! Which dead letters, and which points in time: arguments that several commands take.
//!
//! Not here: what a filter means (`flow/router`).

use waag_model::time::UtcNanos;
use waag_router::shown::Filter;

use super::super::failure::Failure;

/// Which dead letters; several together name those that have all of it.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Which dead letters")]
pub(in crate::cli) struct Which {
    /// The one of this event
    #[arg(long, value_name = "N", conflicts_with_all = ["from", "to"])]
    position: Option<u64>,

    /// Of events from this position on
    #[arg(long, value_name = "N")]
    from: Option<u64>,

    /// Of events below this position
    #[arg(long, value_name = "N")]
    to: Option<u64>,

    /// Of events whose type begins so
    #[arg(long = "type", value_name = "PREFIX")]
    kind: Option<String>,

    /// Given up with this code
    #[arg(long, value_name = "CODE")]
    code: Option<String>,

    /// Given up with a failure of this class
    #[arg(long, value_parser = ["transient", "throttled", "terminal", "gone"])]
    class: Option<String>,

    /// Of this key, in hexadecimal as it is listed
    #[arg(long, value_name = "HEX")]
    key: Option<String>,

    /// Given up at this time or later (RFC 3339, or a day in UTC)
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<UtcNanos>,

    /// Given up before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<UtcNanos>,
}

impl Which {
    /// What was asked for, as the node takes it.
    pub(in crate::cli) fn filter(&self) -> Filter {
        let Self { position, from, to, kind, code, class, key, since, until } = self.clone();
        let one = position.map(Filter::one).unwrap_or_default();
        Filter {
            from: one.from.or(from),
            to: one.to.or(to),
            kind,
            code,
            class,
            key,
            since_ns: since.map(|time| time.0),
            until_ns: until.map(|time| time.0),
        }
    }

    /// The position, where one dead letter was asked for.
    pub(in crate::cli) fn position(&self) -> Option<u64> {
        self.position
    }

    /// The same as [`Self::filter`] for what changes dead letters: all of them are meant only where that is said.
    pub(in crate::cli) fn filter_or_all(&self, all: bool) -> Result<Filter, Failure> {
        let filter = self.filter();
        match (filter == Filter::default(), all) {
            (true, false) => Err(Failure::usage(
                "which dead letters is not said: --position N, another filter, or --all for every one",
            )),
            (false, true) => Err(Failure::usage("--all and a filter cannot both be meant")),
            (true, true) | (false, false) => Ok(filter),
        }
    }
}

/// A point in time: RFC 3339, or a day in UTC, which begins at midnight.
pub(in crate::cli) fn time(text: &str) -> Result<UtcNanos, String> {
    let is_day = text.len() == 10 && waag_invoices::when::day(text).is_some();
    let whole = if is_day { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let time = waag_invoices::when::instant(&whole);
    time.ok_or_else(|| "is a time such as `2026-11-21T09:30:00Z` or a day such as `2026-11-21`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_and_a_time_is_rfc_3339() {
        assert_eq!(time("1970-01-02"), Ok(UtcNanos(86_400_000_000_000)));
        assert_eq!(time("1970-01-01T01:00:00.5+01:00"), Ok(UtcNanos(500_000_000)));
        for wrong in ["", "now", "1970-01-32", "1970-01-01T", "1970-01-01 ", "1970-1-1", "3000-01-01"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_position_is_a_span_of_one() {
        let one = Which { position: Some(7), code: Some("E1160".to_owned()), ..Which::default() };
        let filter = one.filter();
        assert_eq!((filter.from, filter.to, filter.code.as_deref()), (Some(7), Some(8), Some("E1160")));
        let last = Which { position: Some(u64::MAX), ..Which::default() }.filter();
        assert_eq!((last.from, last.to), (Some(u64::MAX), None));
    }

    #[test]
    fn all_dead_letters_are_meant_only_where_that_is_said() {
        let one = Which { position: Some(7), ..Which::default() };
        assert!(Which::default().filter_or_all(false).is_err() && one.filter_or_all(true).is_err());
        assert_eq!(Which::default().filter_or_all(true).unwrap(), Filter::default());
        assert_eq!(one.filter_or_all(false).unwrap(), Filter::one(7));
    }
}
