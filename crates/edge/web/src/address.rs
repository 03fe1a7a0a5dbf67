//! The state of a page as its address holds it: read strictly, written back the same.
//!
//! A page that is sent to a colleague shows what the sender saw. Unknown values are refused by name (`E1063`), unknown
//! parameters are ignored, since trackers and mail programs add theirs.

use waag_invoices::event::Stage;
use waag_invoices::when;
use waag_model::time::UtcDay;

use crate::error::WebError;
use crate::format::query_value;

/// The longest value that is looked at, in bytes; ids above it are no invoice's.
const VALUE_BYTES_MAX: usize = 1_024;

/// How far back trends and figures reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Range {
    /// The last hour, by minute.
    Hour,
    /// The last 24 hours, by hour.
    #[default]
    Day,
    /// The last seven days, by hour.
    Week,
    /// The last thirty days, by day.
    Month,
}

impl Range {
    /// All ranges, shortest first.
    pub const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Month];

    /// Its word in addresses.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    /// Its name on screens, after "last".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "last hour",
            Self::Day => "last 24 hours",
            Self::Week => "last 7 days",
            Self::Month => "last 30 days",
        }
    }

    /// How many days it is, today among them.
    #[must_use]
    pub fn days(self) -> i64 {
        match self {
            Self::Hour | Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
        }
    }

    /// The hours that steps between stages are told for, which are kept by hour.
    pub(crate) fn hours_name(self) -> &'static str {
        match self {
            Self::Hour => "this hour and the one before (UTC)",
            Self::Day | Self::Week | Self::Month => self.name(),
        }
    }

    /// The hours or days that times in stage are told for, in words, after "in": they are kept by hour and by day.
    pub(crate) fn days_name(self) -> &'static str {
        match self {
            Self::Hour => "this hour and the one before (UTC)",
            Self::Day => "the last 24 hours",
            Self::Week => "the last 7 days",
            Self::Month => "the last 30 days",
        }
    }
}

/// How due dates are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Step {
    /// Each due date.
    Day,
    /// By week, from Monday.
    #[default]
    Week,
}

impl Step {
    /// Its word in addresses.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
        }
    }
}

/// What an address asks for; each page uses its own part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// How far back.
    pub range: Range,
    /// The named filter's word; empty for the first.
    pub filter: String,
    /// Only this stage.
    pub stage: Option<Stage>,
    /// Only this region.
    pub region: Option<String>,
    /// Only this currency.
    pub currency: Option<String>,
    /// The row after which a list goes on, as an earlier page gave it.
    pub after: Option<String>,
    /// The invoice asked for.
    pub id: Option<String>,
    /// How due dates are put together.
    pub by: Step,
    /// The first due date shown.
    pub from: Option<UtcDay>,
}

/// Reads the parameters of an address.
pub(crate) fn read(pairs: Vec<(String, String)>) -> Result<Asked, WebError> {
    let mut asked = Asked::default();
    for (name, value) in pairs {
        // An id is what its producer told, spaces at its ends included, and so is what comes behind it in a list.
        let is_exact = matches!(name.as_str(), "id" | "after");
        if value.is_empty() || !is_exact && value.trim().is_empty() {
            continue;
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err(WebError::Parameter { name: "a value", allowed: "1,024 bytes long" });
        }
        let told = value.as_str();
        let value = told.trim();
        match name.as_str() {
            "range" => {
                let range = Range::ALL.into_iter().find(|range| range.word() == value);
                asked.range = range
                    .ok_or(WebError::Parameter { name: "range", allowed: "`1h`, `24h`, `7d` or `30d`" })?;
            }
            "stage" => {
                let allowed = "`ingestion`, `reconciliation`, `authorization` or `posting`";
                asked.stage =
                    Some(Stage::of_name(value).ok_or(WebError::Parameter { name: "stage", allowed })?);
            }
            "by" => {
                let by = [Step::Day, Step::Week].into_iter().find(|by| by.word() == value);
                asked.by = by.ok_or(WebError::Parameter { name: "by", allowed: "`day` or `week`" })?;
            }
            "from" => {
                let from = when::day(value).map(UtcDay);
                asked.from =
                    Some(from.ok_or(WebError::Parameter {
                        name: "from",
                        allowed: "a date such as `2026-11-20`",
                    })?);
            }
            "filter" => asked.filter = value.to_owned(),
            // Chosen from what events told.
            "region" => asked.region = Some(told.to_owned()),
            "currency" => asked.currency = Some(told.to_owned()),
            "after" => asked.after = Some(told.to_owned()),
            "id" => asked.id = Some(told.to_owned()),
            _ => {}
        }
    }
    Ok(asked)
}

impl Asked {
    /// The address of `path` with this state and one thing changed; defaults are left out.
    fn address(&self, path: &str) -> String {
        let mut parts: Vec<String> = Vec::new();
        let mut add = |name: &str, value: &str| parts.push(format!("{name}={}", query_value(value)));
        if !self.filter.is_empty() {
            add("filter", &self.filter);
        }
        let from = self.from.map(|day| day.to_string());
        let texts = [
            ("stage", self.stage.map(Stage::name)),
            ("region", self.region.as_deref()),
            ("currency", self.currency.as_deref()),
            ("range", (self.range != Range::default()).then_some(self.range.word())),
            ("by", (self.by != Step::default()).then_some(self.by.word())),
            ("from", from.as_deref()),
            ("after", self.after.as_deref()),
            ("id", self.id.as_deref()),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                add(name, value);
            }
        }
        if parts.is_empty() { path.to_owned() } else { format!("{path}?{}", parts.join("&")) }
    }

    pub(crate) fn with_range(&self, path: &str, range: &Range) -> String {
        Self { range: *range, ..self.clone() }.address(path)
    }

    pub(crate) fn with_filter(&self, path: &str, filter: &str) -> String {
        Self { filter: filter.to_owned(), after: None, ..self.clone() }.address(path)
    }

    pub(crate) fn with_after(&self, path: &str, after: Option<&str>) -> String {
        Self { after: after.map(str::to_owned), ..self.clone() }.address(path)
    }

    pub(crate) fn with_currency(&self, path: &str, currency: &str) -> String {
        Self { currency: Some(currency.to_owned()), after: None, ..self.clone() }.address(path)
    }

    pub(crate) fn with_step(&self, path: &str, by: Step) -> String {
        Self { by, from: None, ..self.clone() }.address(path)
    }

    pub(crate) fn with_from(&self, path: &str, from: Option<&UtcDay>) -> String {
        Self { from: from.copied(), ..self.clone() }.address(path)
    }

    /// Without stage, region, currency and place: the filter alone.
    pub(crate) fn without_choices(&self, path: &str) -> String {
        let bare = Self { stage: None, region: None, currency: None, after: None, ..self.clone() };
        bare.address(path)
    }

    pub(crate) fn is_stage(&self, stage: &Stage) -> bool {
        self.stage == Some(*stage)
    }

    /// Whether the list is narrowed beside the named filter.
    pub(crate) fn narrowed(&self) -> bool {
        self.stage.is_some() || self.region.is_some() || self.currency.is_some()
    }
}

/// An invoice's page.
pub(crate) fn invoice(id: &str) -> String {
    format!("/invoice?id={}", query_value(id))
}

/// Whether an address leads to a page of this very site: what a redirect may go to.
pub(crate) fn is_own(address: &str) -> bool {
    let mut bytes = address.bytes();
    bytes.next() == Some(b'/')
        && !matches!(bytes.next(), Some(b'/' | b'\\'))
        && address.len() <= 2 * VALUE_BYTES_MAX
        && address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_address_is_written_as_it_was_read() {
        let asked = read(pairs(&[
            ("filter", "stuck"),
            ("stage", "posting"),
            ("region", "eu west/1"),
            ("range", "7d"),
            ("utm", "x"),
        ]))
        .unwrap();
        assert_eq!(
            asked.address("/operations"),
            "/operations?filter=stuck&stage=posting&region=eu%20west%2F1&range=7d"
        );
        assert_eq!(Asked::default().address("/"), "/");
        assert_eq!(asked.with_filter("/operations", "loops").matches("after").count(), 0);
    }

    #[test]
    fn an_unknown_value_is_refused_by_name_and_an_empty_one_is_no_choice() {
        for name in ["range", "stage", "by", "from"] {
            let error = read(pairs(&[(name, "<x>")])).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        assert_eq!(read(pairs(&[("stage", ""), ("region", " ")])).unwrap(), Asked::default());
        let long = "x".repeat(VALUE_BYTES_MAX);
        assert_eq!(read(pairs(&[("id", &long)])).unwrap().id, Some(long.clone()));
        assert!(read(pairs(&[("id", &format!("{long}x"))])).is_err());
        assert_eq!(read(pairs(&[("range", " 7d ")])).unwrap().range, Range::Week);
        let exact = read(pairs(&[("id", " D-10 "), ("after", "1~2~x "), ("region", " north")])).unwrap();
        assert_eq!(exact.id.as_deref(), Some(" D-10 "), "a link leads to the id as it was told");
        assert_eq!((exact.after.as_deref(), exact.region.as_deref()), (Some("1~2~x "), Some(" north")));
    }

    #[test]
    fn only_own_addresses_are_redirected_to() {
        for own in ["/", "/operations?filter=stuck", "/invoice?id=a%2Fb"] {
            assert!(is_own(own), "{own}");
        }
        for foreign in
            ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nSet-Cookie: x", "/a b"]
        {
            assert!(!is_own(foreign), "{foreign}");
        }
    }
}
