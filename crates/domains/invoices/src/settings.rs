//! Settings from a file of the firm's: read strictly, and refused with the place of a fault before anything uses them.
//!
//! A word that is not known is refused rather than passed over: it may be a misspelt one that was meant to count, and a
//! deadline that nobody set would be kept for as long as the view is.
//! Not here: what the settings mean (`config`), which file it is (`bin/waag`).

use std::fmt::{self, Display};
use std::ops::RangeInclusive;

use waag_model::money::Currency;

use crate::config::{Config, ServiceLevel};
use crate::event::NAME_BYTES_MAX;

/// Longest text of settings, in bytes.
pub const SETTINGS_BYTES_MAX: usize = 1 << 20;
/// Most service levels.
pub const SERVICE_LEVELS_MAX: usize = 1_000;
/// Most activities of a list of them.
pub const ACTIVITIES_MAX: usize = 1_000;
/// Longest activity, in bytes.
pub const ACTIVITY_BYTES_MAX: usize = 200;
/// Longest time that can be set, in hours: ten years.
pub const HOURS_SET_MAX: u32 = 87_600;

/// Samples, returns and other counts that have no use of their own above this.
const COUNT_MAX: u64 = 1_000_000_000;

/// Settings that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The text is longer than [`SETTINGS_BYTES_MAX`].
    TooLong,
    /// No JSON, or none of the settings' form.
    Form {
        /// Counted from 1.
        line: usize,
        /// Counted from 1; 0 at a line's begin.
        column: usize,
        /// What was met there.
        reason: String,
    },
    /// A value that makes no sense.
    Value {
        /// Where it stands, such as `service_levels[2].hours`.
        path: String,
        /// What is allowed there.
        reason: String,
    },
}

impl ConfigError {
    /// The stable code; `docs/errors` has a page for it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "E1002"
    }
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the settings have more than {SETTINGS_BYTES_MAX} bytes"),
            Self::Form { line, column, reason } => {
                write!(f, "the settings cannot be read at line {line}, column {column}: {reason}")
            }
            Self::Value { path, reason } => write!(f, "the setting `{path}` cannot be used: {reason}"),
        }
    }
}

impl std::error::Error for ConfigError {}

fn refuse(path: impl Display, reason: impl Into<String>) -> ConfigError {
    ConfigError::Value { path: path.to_string(), reason: reason.into() }
}

fn within<T: PartialOrd + Display>(
    path: impl Display,
    value: &T,
    allowed: RangeInclusive<T>,
) -> Result<(), ConfigError> {
    if allowed.contains(value) {
        return Ok(());
    }
    let (first, last) = allowed.into_inner();
    Err(refuse(path, format!("{value} is not within {first} to {last}")))
}

fn at_most(path: &str, count: usize, most: usize) -> Result<(), ConfigError> {
    if count <= most { Ok(()) } else { Err(refuse(path, format!("{count} are more than {most}"))) }
}

/// Texts that an event could tell: an empty one is told by none.
fn activities(path: &str, texts: &[String]) -> Result<(), ConfigError> {
    at_most(path, texts.len(), ACTIVITIES_MAX)?;
    let bad = |text: &String| text.is_empty() || text.len() > ACTIVITY_BYTES_MAX;
    texts.iter().position(bad).map_or(Ok(()), |at| {
        Err(refuse(format_args!("{path}[{at}]"), format!("an activity has 1 to {ACTIVITY_BYTES_MAX} bytes")))
    })
}

impl ServiceLevel {
    fn check(&self, at: usize) -> Result<(), ConfigError> {
        let path = |member: &str| format!("service_levels[{at}].{member}");
        within(path("hours"), &self.hours, 1..=HOURS_SET_MAX)?;
        // Events' texts are cut to this: a level of a longer one would fit no invoice.
        if self.vendor_class.as_ref().is_some_and(|class| class.len() > NAME_BYTES_MAX) {
            let reason = format!("a vendor class has at most {NAME_BYTES_MAX} bytes");
            return Err(refuse(path("vendor_class"), reason));
        }
        if self.currency.as_deref().is_some_and(|code| Currency::of(code).is_none()) {
            return Err(refuse(path("currency"), "it is no active ISO 4217 code in capital letters"));
        }
        Ok(())
    }
}

impl Config {
    /// The settings that a JSON text tells; what it does not tell is as [`Config::default`] has it.
    ///
    /// # Errors
    /// [`ConfigError`], for a text that is not of this form and for values that [`Config::check`] refuses.
    pub fn from_json(text: &[u8]) -> Result<Self, ConfigError> {
        if text.len() > SETTINGS_BYTES_MAX {
            return Err(ConfigError::TooLong);
        }
        // The library takes a list for an object too, member by member.
        if text.trim_ascii_start().first().is_some_and(|byte| *byte != b'{') {
            return Err(ConfigError::Form { line: 1, column: 0, reason: "it is no object".to_owned() });
        }
        let config: Self = serde_json::from_slice(text).map_err(|error| {
            let reason = error.to_string();
            // The library says the place at the end of its words too.
            let place = format!(" at line {} column {}", error.line(), error.column());
            let reason = reason.strip_suffix(&place).unwrap_or(&reason).to_owned();
            ConfigError::Form { line: error.line(), column: error.column(), reason }
        })?;
        config.check()?;
        Ok(config)
    }

    /// Whether these settings can be used.
    ///
    /// # Errors
    /// [`ConfigError::Value`], with the place of the first fault.
    pub fn check(&self) -> Result<(), ConfigError> {
        at_most("service_levels", self.service_levels.len(), SERVICE_LEVELS_MAX)?;
        self.service_levels.iter().enumerate().try_for_each(|(at, level)| level.check(at))?;
        activities("received_activities", &self.received_activities)?;
        activities("cleared_activities", &self.cleared_activities)?;
        within("learned_samples_min", &self.learned_samples_min, 1..=COUNT_MAX)?;
        within("learned_days", &self.learned_days, 1..=366)?;
        within("year_min", &self.year_min, 1_970..=2_100)?;
        within("future_hours_max", &self.future_hours_max, 1..=HOURS_SET_MAX)?;
        within("late_hours", &self.late_hours, 1..=HOURS_SET_MAX)?;
        within("loops_min", &u64::from(self.loops_min), 1..=COUNT_MAX)?;
        within("minute_days", &self.minute_days, 1..=366)?;
        within("hour_days", &self.hour_days, 1..=3_660)?;
        within("odd_rows_max", &self.odd_rows_max, 0..=10_000_000)?;
        within("segments_max", &self.segments_max, 1..=65_536)?;
        within("classes_max", &self.classes_max, 1..=65_536)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Stage;

    fn path(text: &str) -> String {
        match Config::from_json(text.as_bytes()) {
            Err(ConfigError::Value { path, .. }) => path,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_is_not_told_is_as_it_was_and_settings_come_back_as_they_are_shown() {
        assert_eq!(Config::from_json(b"{}"), Ok(Config::default()));
        assert_eq!(Config::default().check(), Ok(()));
        let text = r#"{"service_levels": [{"stage": "authorization", "currency": "EUR", "hours": 12}],
            "payment_by_due_date": false, "received_activities": ["Wareneingang"]}"#;
        let config = Config::from_json(text.as_bytes()).unwrap();
        let level = &config.service_levels[0];
        assert_eq!((level.stage, level.hours, level.amount_minor_min), (Stage::Authorization, 12, None));
        assert_eq!((config.payment_by_due_date, config.late_hours), (false, 24));
        let shown = serde_json::to_vec(&config).unwrap();
        assert_eq!(Config::from_json(&shown), Ok(config));
    }

    #[test]
    fn the_example_of_the_reference_holds_and_its_last_levels_are_those_of_no_settings() {
        let reference = include_str!("../../../../docs/reference/invoices.md");
        let example = reference.split("```json").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let config = Config::from_json(example.as_bytes()).unwrap();
        assert_eq!(config.service_levels[1..], Config::default().service_levels);
    }

    #[test]
    fn a_text_of_another_form_is_refused_with_its_place() {
        for (text, line, word) in [
            ("{\n\"late_hour\": 3}", 2, "late_hour"),
            ("{\"late_hours\": 3, \"late_hours\": 4}", 1, "duplicate"),
            ("{\"late_hours\": -1}", 1, "-1"),
            ("{\"late_hours\": 1.5}", 1, "1.5"),
            ("{\"late_hours\": 5000000000}", 1, "5000000000"),
            ("{\"service_levels\": [{\"stage\": \"paying\", \"hours\": 3}]}", 1, "paying"),
            ("{\"service_levels\": [{\"stage\": \"posting\"}]}", 1, "hours"),
            ("{\"service_levels\": [{\"stage\": \"posting\", \"hours\": 3, \"days\": 1}]}", 1, "days"),
            ("{} {}", 1, "trailing"),
            ("", 1, "EOF"),
            ("[]", 1, "no object"),
            ("\u{feff}{}", 1, "no object"),
        ] {
            let Err(ConfigError::Form { line: found, reason, .. }) = Config::from_json(text.as_bytes())
            else {
                panic!("{text}")
            };
            assert!(
                found == line && reason.contains(word) && !reason.contains(" at line "),
                "{text}: {reason}"
            );
        }
        let long = vec![b' '; SETTINGS_BYTES_MAX + 1];
        assert_eq!(Config::from_json(&long), Err(ConfigError::TooLong));
        let mut most = long;
        most.truncate(SETTINGS_BYTES_MAX - 2);
        most.extend_from_slice(b"{}");
        assert_eq!(Config::from_json(&most), Ok(Config::default()));
    }

    #[test]
    fn every_limit_holds_and_one_beyond_it_is_refused_with_its_path() {
        for (name, first, last) in [
            ("learned_samples_min", 1i64, 1_000_000_000),
            ("learned_days", 1, 366),
            ("year_min", 1_970, 2_100),
            ("future_hours_max", 1, 87_600),
            ("late_hours", 1, 87_600),
            ("loops_min", 1, 1_000_000_000),
            ("minute_days", 1, 366),
            ("hour_days", 1, 3_660),
            ("odd_rows_max", 0, 10_000_000),
            ("segments_max", 1, 65_536),
            ("classes_max", 1, 65_536),
        ] {
            for good in [first, last] {
                assert!(
                    Config::from_json(format!("{{\"{name}\": {good}}}").as_bytes()).is_ok(),
                    "{name} {good}"
                );
            }
            for bad in [first - 1, last + 1].into_iter().filter(|bad| *bad >= 0) {
                assert_eq!(path(&format!("{{\"{name}\": {bad}}}")), name);
            }
        }
        let level = |members: &str| {
            let good = r#"{"stage": "posting", "hours": 87600, "currency": "JPY", "vendor_class": ""}"#;
            format!(r#"{{"service_levels": [{good}, {{"stage": "ingestion", {members}}}]}}"#)
        };
        for hours in [0, 87_601] {
            assert_eq!(path(&level(&format!("\"hours\": {hours}"))), "service_levels[1].hours");
        }
        for code in ["", "eur", "XTS", "EURO"] {
            let members = format!("\"hours\": 1, \"currency\": \"{code}\"");
            assert_eq!(path(&level(&members)), "service_levels[1].currency");
        }
        let class = |bytes| level(&format!("\"hours\": 1, \"vendor_class\": \"{}\"", "c".repeat(bytes)));
        assert!(Config::from_json(class(NAME_BYTES_MAX).as_bytes()).is_ok());
        assert_eq!(path(&class(NAME_BYTES_MAX + 1)), "service_levels[1].vendor_class");
        for name in ["received_activities", "cleared_activities"] {
            let list = |texts: &[String]| format!("{{\"{name}\": {texts:?}}}");
            let long = |bytes| "a".repeat(bytes);
            assert!(
                Config::from_json(list(&vec![long(ACTIVITY_BYTES_MAX); ACTIVITIES_MAX]).as_bytes()).is_ok()
            );
            assert_eq!(path(&list(&[long(1), long(ACTIVITY_BYTES_MAX + 1)])), format!("{name}[1]"));
            assert_eq!(path(&list(&[String::new()])), format!("{name}[0]"));
            assert_eq!(path(&list(&vec![long(1); ACTIVITIES_MAX + 1])), name);
        }
        let mut config = Config::default();
        let level = config.service_levels[0].clone();
        config.service_levels = vec![level.clone(); SERVICE_LEVELS_MAX];
        assert_eq!(config.check(), Ok(()));
        config.service_levels.push(level);
        let error = config.check().unwrap_err();
        assert_eq!((error.code(), error.to_string().contains("`service_levels`")), ("E1002", true));
    }
}
