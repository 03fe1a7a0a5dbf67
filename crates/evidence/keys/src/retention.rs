//! Retention classes: how long a key lives, whether an erasure may destroy it before, and which law says so.
//!
//! Place: schemas name a class (`x-retention`), keys are made for one, and this says what an erasure and the daily sweep
//! may destroy. Pure: a text and days in, decisions out.
//! Not here: destroying (`destroy`), which file is in use and where that is recorded (the program).
//!
//! The file is TOML, strict: an unknown key, a number out of range or a class without a law is refused with its line,
//! since a rule that is half understood destroys too early or keeps too long. Its form is in `policies/retention.toml`.
//!
//! - `RETAIN-1`: a class that no rule names is kept as `business` is, never destroyed for want of a rule.
//! - `RETAIN-2`: a key is kept through the last day of its period and so many whole years.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use toml::Spanned;
use waag_model::limits::RETENTION_BYTES_MAX;
use waag_model::schema::DEFAULT_RETENTION;
use waag_model::time::UtcDay;

use crate::list::{KeyInfo, Period, Purpose};

/// Longest file, in bytes: it is recorded in the ledger and held in the state as it is.
pub const RETENTION_FILE_BYTES_MAX: usize = 32_768;
/// Most classes of a file.
pub const CLASSES_MAX: usize = 64;
/// Most years of a class.
pub const YEARS_MAX: i64 = 100;
/// Longest text of a law or of what a class holds, in bytes.
const TEXT_BYTES_MAX: usize = 300;
/// Most laws of a class.
const LAWS_MAX: usize = 8;
/// The only version of the file's form.
const VERSION: i64 = 1;

/// When what is sealed under a class may be destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Erasure {
    /// At once, where its person asks (GDPR art. 17(1)).
    OnRequest,
    /// Not before its years are over: a law asks for it (GDPR art. 17(3)(b)).
    AfterRetention,
}

impl fmt::Display for Erasure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnRequest => "on-request",
            Self::AfterRetention => "after-retention",
        })
    }
}

/// A legal source.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Law {
    /// The country as ISO 3166-1 has it, or `EU`.
    pub country: String,
    /// The act and its article, and what it says.
    pub article: String,
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.country, self.article)
    }
}

/// What holds for one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The class's name.
    pub class: String,
    /// What is recorded under it.
    pub holds: String,
    /// Years after the end of a key's period.
    pub years: i64,
    /// Whether an erasure may come before.
    pub erasure: Erasure,
    /// The laws behind it, at least one.
    pub laws: Vec<Law>,
}

/// What may be done to a key on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Its years are over: it goes, asked or not.
    Over,
    /// It may be destroyed for its person; unasked it stays through this day.
    Erase {
        /// The last day.
        until: UtcDay,
    },
    /// It stays through this day, whoever asks.
    Keep {
        /// The last day.
        until: UtcDay,
    },
}

impl Rule {
    /// The last day on which a key of a period is kept; none for tag keys, which go with the last data key.
    #[must_use]
    pub fn until(&self, period: Period) -> Option<UtcDay> {
        let (year, month, day) = match period {
            Period::Year(year) => (year, 12, 31),
            Period::Day(day) => day.civil(),
            Period::Life => return None,
        };
        let last = i64::from(year).saturating_add(self.years);
        // The 29th of February ends with February.
        let day = if month == 2 && day == 29 && !is_leap(last) { 28 } else { day };
        Some(day_of(last, i64::from(month), i64::from(day)))
    }

    /// What may be done to a key of a period on a day.
    #[must_use]
    pub fn decide(&self, period: Period, today: UtcDay) -> Option<Decision> {
        let until = self.until(period)?;
        Some(match self.erasure {
            _ if today > until => Decision::Over,
            Erasure::OnRequest => Decision::Erase { until },
            Erasure::AfterRetention => Decision::Keep { until },
        })
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// The day of a date that there is; held at the ends of what a day can be. Howard Hinnant's `days_from_civil`.
fn day_of(year: i64, month: i64, day: i64) -> UtcDay {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    UtcDay(i32::try_from(era * 146_097 + day_of_era - 719_468).unwrap_or(i32::MAX))
}

/// The day that a date names, as `2034-12-31`; none where there is no such day.
#[must_use]
pub fn date(text: &str) -> Option<UtcDay> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let is_date = (year.len(), month.len(), day.len()) == (4, 2, 2)
        && parts.next().is_none()
        && [year, month, day].iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    is_date.then_some(())?;
    let there = day_of(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    // A day that is none comes back as another one.
    (there.to_string() == text).then_some(there)
}

/// Why a file is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionError {
    /// The line, from 1; 0 where there is none to name.
    pub line: usize,
    /// What is wrong there.
    pub why: String,
}

impl RetentionError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "E0558"
    }
}

impl fmt::Display for RetentionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "the retention file cannot be used: {}", self.why),
            line => write!(f, "the retention file cannot be used: line {line}: {}", self.why),
        }
    }
}

impl std::error::Error for RetentionError {}

/// A file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: Spanned<i64>,
    class: BTreeMap<Spanned<String>, Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    holds: Spanned<String>,
    years: Spanned<i64>,
    erasure: Erasure,
    law: Spanned<Vec<Spanned<Law>>>,
}

/// The rules of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    text: String,
    business: Rule,
    others: BTreeMap<String, Rule>,
}

/// Tells lines of a text.
struct Lines<'t>(&'t str);

impl Lines<'_> {
    fn wrong(&self, byte: usize, why: impl Into<String>) -> RetentionError {
        let line = self.0.bytes().take(byte).filter(|byte| *byte == b'\n').count() + 1;
        RetentionError { line, why: why.into() }
    }

    fn rule(&self, name: &Spanned<String>, written: Written) -> Result<Rule, RetentionError> {
        let class = name.get_ref();
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = !class.is_empty() && class.len() <= RETENTION_BYTES_MAX;
        if !fits || !class.bytes().all(is_plain) {
            let why = "a class is named by 1 to 32 characters `a`-`z`, `0`-`9`, `-`";
            return Err(self.wrong(name.span().start, why));
        }
        let years = *written.years.get_ref();
        if !(0..=YEARS_MAX).contains(&years) {
            let why = format!("`years` is from 0 to {YEARS_MAX}");
            return Err(self.wrong(written.years.span().start, why));
        }
        let is_text = |text: &str| {
            (1..=TEXT_BYTES_MAX).contains(&text.trim().len()) && !text.chars().any(char::is_control)
        };
        let no_text = |what: &str| format!("{what} has 1 to {TEXT_BYTES_MAX} bytes in one line");
        if !is_text(written.holds.get_ref()) {
            return Err(self.wrong(written.holds.span().start, no_text("`holds`")));
        }
        let at_laws = written.law.span().start;
        let laws = written.law.into_inner();
        if laws.is_empty() || laws.len() > LAWS_MAX {
            return Err(self.wrong(at_laws, format!("a class has 1 to {LAWS_MAX} laws")));
        }
        for law in &laws {
            let country = law.get_ref().country.as_bytes();
            if country.len() != 2 || !country.iter().all(u8::is_ascii_uppercase) {
                return Err(self.wrong(law.span().start, "`country` is two capital letters"));
            }
            if !is_text(&law.get_ref().article) {
                return Err(self.wrong(law.span().start, no_text("`article`")));
            }
        }
        Ok(Rule {
            class: class.clone(),
            holds: written.holds.into_inner(),
            years,
            erasure: written.erasure,
            laws: laws.into_iter().map(Spanned::into_inner).collect(),
        })
    }
}

impl Retention {
    /// Reads a file's text.
    ///
    /// # Errors
    /// [`RetentionError`] with the line, where one can be told.
    pub fn read(text: &str) -> Result<Self, RetentionError> {
        if text.len() > RETENTION_FILE_BYTES_MAX {
            let why = format!("it has more than {RETENTION_FILE_BYTES_MAX} bytes");
            return Err(RetentionError { line: 0, why });
        }
        let lines = Lines(text);
        let document: Document = toml::from_str(text).map_err(|error| {
            let why = error.message().trim().to_owned();
            error.span().map_or_else(
                || RetentionError { line: 0, why: why.clone() },
                |span| lines.wrong(span.start, why.clone()),
            )
        })?;
        if *document.version.get_ref() != VERSION {
            let why = "`version` is not 1, the only form there is";
            return Err(lines.wrong(document.version.span().start, why));
        }
        if document.class.len() > CLASSES_MAX {
            let why = format!("it has more than {CLASSES_MAX} classes");
            return Err(RetentionError { line: 0, why });
        }
        let mut others = BTreeMap::new();
        for (name, written) in document.class {
            let rule = lines.rule(&name, written)?;
            others.insert(rule.class.clone(), rule);
        }
        let business = others.remove(DEFAULT_RETENTION).ok_or_else(|| RetentionError {
            line: 0,
            why: format!("it has no class `{DEFAULT_RETENTION}`, which holds for all that name none"),
        })?;
        Ok(Self { text: text.to_owned(), business, others })
    }

    /// The text it was read from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a class has a rule of its own.
    #[must_use]
    pub fn knows(&self, class: &str) -> bool {
        class == DEFAULT_RETENTION || self.others.contains_key(class)
    }

    /// What holds for a class; that of `business` where it has no rule of its own (`RETAIN-1`).
    #[must_use]
    pub fn rule(&self, class: &str) -> &Rule {
        self.others.get(class).unwrap_or(&self.business)
    }

    /// Every rule, `business` first, the others by name.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        std::iter::once(&self.business).chain(self.others.values())
    }

    /// What may be done to a data key on a day; none for tag keys, which go with the last data key.
    #[must_use]
    pub fn decide(&self, key: &KeyInfo, today: UtcDay) -> Option<Decision> {
        match key.purpose {
            Purpose::Data => self.rule(&key.class).decide(key.period, today),
            Purpose::Tags => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../../../policies/retention.toml");
    const SMALL: &str = r#"version = 1
[class.business]
holds = "x"
years = 7
erasure = "after-retention"
law = [{ country = "NL", article = "a" }]
[class.contact]
holds = "y"
years = 1
erasure = "on-request"
law = [{ country = "EU", article = "b" }]
"#;

    #[test]
    fn the_shipped_file_is_read_and_every_class_has_a_law() {
        let shipped = Retention::read(SHIPPED).unwrap();
        assert_eq!(shipped.text(), SHIPPED);
        assert!(shipped.rules().count() >= 6);
        assert_eq!((shipped.rule("business").years, shipped.rule("never-heard-of").years), (7, 7));
        assert!(shipped.rules().all(|rule| !rule.laws.is_empty() && shipped.knows(&rule.class)));
        assert!(!shipped.knows("never-heard-of"));
    }

    #[test]
    fn years_are_counted_from_the_end_of_the_period() {
        let rules = Retention::read(SMALL).unwrap();
        let business = rules.rule("business");
        let until = |period| business.until(period).unwrap().to_string();
        assert_eq!(until(Period::Year(2026)), "2033-12-31");
        assert_eq!(until(Period::Day(date("2026-11-21").unwrap())), "2033-11-21");
        assert_eq!(until(Period::Day(date("2024-02-29").unwrap())), "2031-02-28");
        assert_eq!(until(Period::Day(date("2021-02-28").unwrap())), "2028-02-28");
        assert_eq!(business.until(Period::Life), None);
        let last = date("2033-12-31").unwrap();
        assert_eq!(business.decide(Period::Year(2026), last), Some(Decision::Keep { until: last }));
        assert_eq!(business.decide(Period::Year(2026), UtcDay(last.0 + 1)), Some(Decision::Over));
        let today = date("2026-06-01").unwrap();
        let until = date("2027-12-31").unwrap();
        let contact = rules.rule("contact");
        assert_eq!(contact.decide(Period::Year(2026), today), Some(Decision::Erase { until }));
        assert_eq!(contact.decide(Period::Year(2024), today), Some(Decision::Over));
    }

    #[test]
    fn only_days_that_there_are_are_dates() {
        for good in ["1970-01-01", "2000-02-29", "2262-04-11", "0001-01-01"] {
            assert_eq!(date(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "2026-02-29",
            "2026-13-01",
            "2026-1-01",
            "2026-01-01x",
            "2026-01",
            "+026-01-01",
            "2026-01-00",
        ] {
            assert_eq!(date(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (from, to, line, word) in [
            ("version = 1", "version = 2", 1, "version"),
            ("years = 7", "years = 101", 4, "years"),
            ("years = 7", "years = -1", 4, "years"),
            ("years = 7", "years = \"7\"", 4, "i64"),
            ("years = 7", "year = 7", 4, "year"),
            ("\"after-retention\"", "\"never\"", 5, "never"),
            ("country = \"NL\"", "country = \"nl\"", 6, "country"),
            ("[{ country = \"NL\", article = \"a\" }]", "[]", 6, "laws"),
            ("[class.contact]", "[class.Contact]", 7, "class"),
            ("[class.contact]", "[class.business]", 7, ""),
            ("holds = \"y\"", "holds = \" \"", 8, "holds"),
            ("[class.business]", "[class.other]", 0, "business"),
        ] {
            let text = SMALL.replacen(from, to, 1);
            assert_ne!(text, SMALL);
            let error = Retention::read(&text).unwrap_err();
            assert_eq!(error.line, line, "{to}: {error}");
            assert!(error.why.contains(word), "{to}: {error}");
        }
        let long = format!("{SMALL}#{}", "x".repeat(RETENTION_FILE_BYTES_MAX));
        assert!(Retention::read(&long).is_err());
    }
}
