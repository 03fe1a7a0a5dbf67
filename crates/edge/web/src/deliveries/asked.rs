//! What addresses and forms of these pages ask for: read strictly, written back the same.
//!
//! As on the other pages, an unknown value is refused by name (`E1063`) and an unknown parameter is ignored.

use waag_invoices::when;
use waag_model::time::UtcNanos;
use waag_pattern::limits::PATTERN_BYTES_MAX;
use waag_router::shown::{Filter, RATE_DEFAULT, RATE_MAX};

use crate::error::WebError;
use crate::format::query_value;

/// Longest value that is looked at, in bytes; only patterns and events may be longer.
const VALUE_BYTES_MAX: usize = 1_024;
/// The classes of failures, as the router names them.
pub(crate) const CLASSES: [&str; 4] = ["transient", "throttled", "terminal", "gone"];

/// The named values of an address or a form, as they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

impl Fields {
    /// A value without the space around it; none where it is missing or empty.
    pub(crate) fn text(&self, name: &'static str) -> Result<Option<&str>, WebError> {
        let limit = if ["pattern", "event"].contains(&name) { PATTERN_BYTES_MAX } else { VALUE_BYTES_MAX };
        let found = self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim());
        match found.filter(|value| !value.is_empty()) {
            Some(value) if value.len() > limit => {
                Err(WebError::Parameter { name, allowed: "1,024 bytes long, a pattern or an event 65,536" })
            }
            found => Ok(found),
        }
    }

    pub(crate) fn owned(&self, name: &'static str) -> Result<Option<String>, WebError> {
        Ok(self.text(name)?.map(str::to_owned))
    }

    pub(crate) fn number<N: std::str::FromStr>(&self, name: &'static str) -> Result<Option<N>, WebError> {
        let read = |text: &str| text.parse().map_err(|_| WebError::Parameter { name, allowed: "a number" });
        self.text(name)?.map(read).transpose()
    }

    pub(crate) fn time(&self, name: &'static str) -> Result<Option<i64>, WebError> {
        let read = |text| time(text).ok_or(WebError::Parameter { name, allowed: TIMES });
        self.text(name)?.map(read).transpose()
    }

    /// A position, or a time; one of the two.
    pub(crate) fn place(&self, name: &'static str) -> Result<(Option<u64>, Option<i64>), WebError> {
        match self.text(name)? {
            None => Ok((None, None)),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok((self.number(name)?, None))
            }
            Some(text) => {
                let read = time(text).ok_or(WebError::Parameter { name, allowed: PLACES });
                read.map(|time| (None, Some(time)))
            }
        }
    }

    /// Why; every order needs one.
    pub(crate) fn reason(&self) -> Result<String, WebError> {
        let allowed = "a sentence that says why; it is recorded with the order";
        self.owned("reason")?.ok_or(WebError::Parameter { name: "reason", allowed })
    }

    pub(crate) fn subscription(&self) -> Result<String, WebError> {
        let allowed = "a subscription's name";
        self.owned("subscription")?.ok_or(WebError::Parameter { name: "subscription", allowed })
    }

    /// How many a second: the router's usual rate where none is told.
    pub(crate) fn rate(&self) -> Result<u32, WebError> {
        let rate = self.number("rate")?.unwrap_or(RATE_DEFAULT);
        if (1..=RATE_MAX).contains(&rate) {
            return Ok(rate);
        }
        Err(WebError::Parameter { name: "rate", allowed: "1 to 100,000 a second" })
    }

    /// Which dead letters.
    pub(crate) fn filter(&self) -> Result<Filter, WebError> {
        let class = self.owned("class")?;
        if class.as_deref().is_some_and(|class| !CLASSES.contains(&class)) {
            let allowed = "`transient`, `throttled`, `terminal` or `gone`";
            return Err(WebError::Parameter { name: "class", allowed });
        }
        Ok(Filter {
            from: self.number("from")?,
            to: self.number("to")?,
            kind: self.owned("kind")?,
            code: self.owned("code")?,
            class,
            key: self.owned("key")?,
            since_ns: self.time("since")?,
            until_ns: self.time("until")?,
        })
    }
}

const TIMES: &str = "a time such as `2026-11-20T14:30:00Z`, a minute or a day, all in UTC";
const PLACES: &str =
    "a position such as `1200`, or a time such as `2026-11-20T14:30:00Z`, a minute or a day, in UTC";

/// A time as people and date fields write it, in UTC where no offset is told.
fn time(text: &str) -> Option<i64> {
    let text = text.replacen(' ', "T", 1);
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        _ => text,
    };
    let instant = when::instant(&whole).or_else(|| when::instant(&format!("{whole}Z")));
    instant.map(|at| at.0)
}

/// The values of a filter by their names in addresses and forms; times to the nanosecond.
pub(crate) fn filter_fields(filter: &Filter) -> Vec<(&'static str, String)> {
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let time = |nanos: Option<i64>| nanos.map(|nanos| UtcNanos(nanos).to_string());
    let all = [
        ("from", number(filter.from)),
        ("to", number(filter.to)),
        ("kind", filter.kind.clone()),
        ("code", filter.code.clone()),
        ("class", filter.class.clone()),
        ("key", filter.key.clone()),
        ("since", time(filter.since_ns)),
        ("until", time(filter.until_ns)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// An address with values.
pub(crate) fn address(path: &str, values: &[(&'static str, String)]) -> String {
    let parts: Vec<String> =
        values.iter().map(|(name, value)| format!("{name}={}", query_value(value))).collect();
    if parts.is_empty() { path.to_owned() } else { format!("{path}?{}", parts.join("&")) }
}

/// The list of a subscription's dead letters.
pub(crate) fn letters(subscription: &str, filter: &Filter, after: Option<u64>) -> String {
    let mut values = vec![("subscription", subscription.to_owned())];
    values.extend(filter_fields(filter));
    values.extend(after.map(|after| ("after", after.to_string())));
    address("/dead-letters", &values)
}

/// The list of all dead letters of a subscription.
pub(crate) fn all_letters(subscription: &str) -> String {
    letters(subscription, &Filter::default(), None)
}

/// The one dead letter of a position.
pub(crate) fn one_letter(subscription: &str, position: &u64) -> String {
    letters(subscription, &Filter::one(*position), None)
}

/// The page that asks once more before dead letters are redriven or discarded.
pub(crate) fn confirm(what: &str, subscription: &str, filter: &Filter) -> String {
    let mut values = vec![("do", what.to_owned()), ("subscription", subscription.to_owned())];
    values.extend(filter_fields(filter));
    address("/dead-letters/confirm", &values)
}

/// A subscription's page.
pub(crate) fn subscription(name: &str) -> String {
    format!("/subscriptions/{}", query_value(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)]) -> Fields {
        Fields(list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_filter_is_written_as_it_was_read() {
        let asked = fields(&[
            ("from", "3"),
            ("kind", "invoice.<x>&"),
            ("class", "terminal"),
            ("since", "2026-11-20"),
            ("until", "2026-11-20T14:30:00.123456789Z"),
            ("code", " "),
            ("utm", "x"),
        ]);
        let filter = asked.filter().unwrap();
        assert_eq!(filter.since_ns, time("2026-11-20T00:00:00Z"));
        let address = letters("erp", &filter, Some(7));
        assert_eq!(
            address,
            "/dead-letters?subscription=erp&from=3&kind=invoice.%3Cx%3E%26&class=terminal\
             &since=2026-11-20T00%3A00%3A00.000000000Z&until=2026-11-20T14%3A30%3A00.123456789Z&after=7"
        );
        let again: Vec<(&str, String)> = filter_fields(&filter);
        let again: Vec<(&str, &str)> = again.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(fields(&again).filter().unwrap(), filter, "to the nanosecond");
    }

    #[test]
    fn a_value_that_is_none_is_refused_by_name() {
        for (name, value) in [
            ("from", "-1"),
            ("to", "x"),
            ("class", "lunch"),
            ("since", "yesterday"),
            ("until", "2026-13-01"),
            ("kind", &"x".repeat(VALUE_BYTES_MAX + 1)),
        ] {
            let error = fields(&[(name, value)]).filter().unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(fields(&[("kind", &"x".repeat(VALUE_BYTES_MAX))]).filter().is_ok());
        for rate in ["0", "100001", "fast"] {
            assert!(fields(&[("rate", rate)]).rate().is_err(), "{rate}");
        }
        assert_eq!(fields(&[("rate", "100000")]).rate().unwrap(), RATE_MAX);
        assert_eq!(fields(&[]).rate().unwrap(), RATE_DEFAULT);
        assert!(fields(&[("reason", "  ")]).reason().is_err(), "space is no reason");
    }

    #[test]
    fn a_place_is_a_position_or_a_time() {
        let place = |text: &str| fields(&[("from", text)]).place("from");
        assert_eq!(place("12").unwrap(), (Some(12), None));
        assert_eq!(place("").unwrap(), (None, None));
        assert_eq!(place("1970-01-01 00:01").unwrap(), (None, Some(60_000_000_000)));
        assert_eq!(place("1970-01-01T00:00:01").unwrap(), (None, Some(1_000_000_000)));
        assert_eq!(place("1970-01-01T01:00:01+01:00").unwrap(), (None, Some(1_000_000_000)));
        for bad in ["12a", "99999999999999999999999", "2026-02-30"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
