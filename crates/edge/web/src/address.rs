//! The state of a page as its address holds it: read strictly, written back the same.
//!
//! A page that is sent to a colleague shows what the sender saw. Unknown values are refused by name (`E1063`), unknown
//! parameters are ignored, since trackers and mail programs add theirs.

use waag_invoices::event::Stage;
use waag_invoices::when;
use waag_model::time::UtcDay;

use crate::error::WebError;
use crate::format::query_value;
use crate::period::{Period, Range};

/// The longest value that is looked at, in bytes; ids above it are no invoice's.
const VALUE_BYTES_MAX: usize = 1_024;

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
    /// How much time, and until when.
    pub period: Period,
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
    /// How many rows the pages before had, as their links tell it; 0 where nobody told.
    pub seen: u64,
    /// The invoice asked for.
    pub id: Option<String>,
    /// The position before which an invoice's events are shown.
    pub before: Option<u64>,
    /// How due dates are put together.
    pub by: Step,
    /// The first due date shown.
    pub from: Option<UtcDay>,
}

/// Reads the parameters of an address, asked for today.
pub(crate) fn read(pairs: Vec<(String, String)>, today: UtcDay) -> Result<Asked, WebError> {
    let mut asked = Asked::default();
    let (mut range, mut until, mut shown) = (None, None, None);
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
            "range" => range = Some(range_of("range", value)?),
            "shown" => shown = Some(range_of("shown", value)?),
            // A day that is yet to come has nothing to tell of.
            "until" => until = Some(day("until", value)?.min(today)),
            "stage" => {
                let allowed = "`ingestion`, `reconciliation`, `authorization` or `posting`";
                asked.stage =
                    Some(Stage::of_name(value).ok_or(WebError::Parameter { name: "stage", allowed })?);
            }
            "by" => {
                let by = [Step::Day, Step::Week].into_iter().find(|by| by.word() == value);
                asked.by = by.ok_or(WebError::Parameter { name: "by", allowed: "`day` or `week`" })?;
            }
            "from" => asked.from = Some(day("from", value)?),
            "filter" => asked.filter = value.to_owned(),
            // Chosen from what events told.
            "region" => asked.region = Some(told.to_owned()),
            "currency" => asked.currency = Some(told.to_owned()),
            "after" => asked.after = Some(told.to_owned()),
            "id" => asked.id = Some(told.to_owned()),
            "seen" => asked.seen = number("seen", value)?,
            "before" => asked.before = Some(number("before", value)?),
            _ => {}
        }
    }
    // The form of the last day tells the hours that it stands beside: until today they stay as they are.
    if let (None, Some(hours)) = (range, shown.filter(|_| until.is_none_or(|day| day == today))) {
        (range, until) = (Some(hours), until.filter(|_| hours.days() > 1));
    }
    asked.period = Period::of(range, until)?;
    Ok(asked)
}

fn range_of(name: &'static str, value: &str) -> Result<Range, WebError> {
    let found = Range::ALL.into_iter().find(|range| range.word() == value);
    found.ok_or(WebError::Parameter { name, allowed: "`1h`, `24h`, `7d`, `30d` or `1y`" })
}

fn day(name: &'static str, value: &str) -> Result<UtcDay, WebError> {
    let allowed = "a date such as `2026-11-20`";
    when::day(value).map(UtcDay).ok_or(WebError::Parameter { name, allowed })
}

fn number(name: &'static str, value: &str) -> Result<u64, WebError> {
    value.parse().map_err(|_| WebError::Parameter { name, allowed: "a whole number from 0 on" })
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
        let until = self.period.until.map(|day| day.to_string());
        let seen = (self.seen > 0).then(|| self.seen.to_string());
        let before = self.before.map(|position| position.to_string());
        let texts = [
            ("stage", self.stage.map(Stage::name)),
            ("region", self.region.as_deref()),
            ("currency", self.currency.as_deref()),
            ("range", self.period.told().map(Range::word)),
            ("until", until.as_deref()),
            ("by", (self.by != Step::default()).then_some(self.by.word())),
            ("from", from.as_deref()),
            ("after", self.after.as_deref()),
            ("seen", seen.as_deref()),
            ("id", self.id.as_deref()),
            ("before", before.as_deref()),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                add(name, value);
            }
        }
        if parts.is_empty() { path.to_owned() } else { format!("{path}?{}", parts.join("&")) }
    }

    pub(crate) fn with_period(&self, path: &str, period: &Period) -> String {
        Self { period: *period, ..self.clone() }.address(path)
    }

    pub(crate) fn with_range(&self, path: &str, range: &Range) -> String {
        self.with_period(path, &self.period.with_range(range))
    }

    /// The days until another one.
    pub(crate) fn with_until(&self, path: &str, day: &UtcDay) -> String {
        self.with_period(path, &self.period.with_until(day))
    }

    /// What a form sends beside its own fields so that all but the period stays as it is.
    pub(crate) fn choices(&self) -> Vec<(&'static str, &str)> {
        let texts = [
            ("filter", Some(self.filter.as_str()).filter(|word| !word.is_empty())),
            ("stage", self.stage.map(Stage::name)),
            ("region", self.region.as_deref()),
            ("currency", self.currency.as_deref()),
        ];
        texts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    pub(crate) fn with_filter(&self, path: &str, filter: &str) -> String {
        Self { filter: filter.to_owned(), after: None, seen: 0, ..self.clone() }.address(path)
    }

    /// The page of a list behind a row, and how many rows come before it.
    pub(crate) fn with_after(&self, path: &str, after: Option<&str>, seen: u64) -> String {
        Self { after: after.map(str::to_owned), seen, ..self.clone() }.address(path)
    }

    pub(crate) fn with_before(&self, path: &str, before: Option<u64>) -> String {
        Self { before, ..self.clone() }.address(path)
    }

    pub(crate) fn with_currency(&self, path: &str, currency: &str) -> String {
        Self { currency: Some(currency.to_owned()), after: None, seen: 0, ..self.clone() }.address(path)
    }

    pub(crate) fn with_step(&self, path: &str, by: Step) -> String {
        Self { by, from: None, ..self.clone() }.address(path)
    }

    pub(crate) fn with_from(&self, path: &str, from: Option<&UtcDay>) -> String {
        Self { from: from.copied(), ..self.clone() }.address(path)
    }

    /// Without stage, region, currency and place: the filter alone.
    pub(crate) fn without_choices(&self, path: &str) -> String {
        let bare = Self { stage: None, region: None, currency: None, after: None, seen: 0, ..self.clone() };
        bare.address(path)
    }

    pub(crate) fn is_stage(&self, stage: &Stage) -> bool {
        self.stage == Some(*stage)
    }

    /// What narrows a list beside the named filter, in words; empty where nothing does.
    pub(crate) fn narrowing(&self) -> String {
        let stage = self.stage.map(|stage| stage.name().to_owned());
        let choices = [("stage", &stage), ("region", &self.region), ("currency", &self.currency)];
        let told = choices.iter().filter_map(|(name, value)| Some(format!("{name} {}", value.as_deref()?)));
        told.collect::<Vec<_>>().join(", ")
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

    /// 2026-11-20.
    const TODAY: UtcDay = UtcDay(20_777);

    fn read_today(pairs: Vec<(String, String)>) -> Result<Asked, WebError> {
        read(pairs, TODAY)
    }

    #[test]
    fn a_last_day_that_is_yet_to_come_is_today() {
        let until = |day: &str| read_today(pairs(&[("until", day)]));
        let named = |day: &str| until(day).unwrap().period.name();
        assert_eq!(named("2026-11-19"), "30 days until 2026-11-19");
        assert_eq!([named("2026-11-20"), named("9999-12-31")], ["30 days until 2026-11-20"; 2]);
    }

    #[test]
    fn an_address_is_written_as_it_was_read() {
        let asked = read_today(pairs(&[
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
        let further = read_today(pairs(&[("filter", "stuck"), ("after", "7~1~x"), ("seen", "50")])).unwrap();
        assert_eq!(further.address("/operations"), "/operations?filter=stuck&after=7~1~x&seen=50");
        let other = further.with_filter("/operations", "loops");
        assert!(!other.contains("after") && !other.contains("seen"), "{other}");
    }

    #[test]
    fn a_day_that_has_passed_ends_a_period_of_days() {
        let told = |list: &[(&str, &str)]| read_today(pairs(list)).map(|asked| asked.address("/"));
        assert_eq!(told(&[("until", "2019-01-31")]).unwrap(), "/?until=2019-01-31");
        assert_eq!(told(&[("until", "2019-01-31"), ("range", "30d")]).unwrap(), "/?until=2019-01-31");
        let year = told(&[("range", "1y"), ("until", "2019-01-31")]).unwrap();
        assert_eq!(year, "/?range=1y&until=2019-01-31");
        assert!(told(&[("range", "1h"), ("until", "2019-01-31")]).is_err(), "hours are kept for a time only");
    }

    #[test]
    fn an_unknown_value_is_refused_by_name_and_an_empty_one_is_no_choice() {
        for name in ["range", "stage", "by", "from", "until", "seen", "before"] {
            let error = read_today(pairs(&[(name, "<x>")])).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        assert_eq!(read_today(pairs(&[("stage", ""), ("region", " ")])).unwrap(), Asked::default());
        let long = "x".repeat(VALUE_BYTES_MAX);
        assert_eq!(read_today(pairs(&[("id", &long)])).unwrap().id, Some(long.clone()));
        assert!(read_today(pairs(&[("id", &format!("{long}x"))])).is_err());
        assert_eq!(read_today(pairs(&[("range", " 7d ")])).unwrap().period.range, Range::Week);
        let exact =
            read_today(pairs(&[("id", " D-10 "), ("after", "1~2~x "), ("region", " north")])).unwrap();
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
