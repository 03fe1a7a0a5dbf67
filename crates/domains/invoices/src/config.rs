//! What a firm settles about its invoices: service levels, what counts as late, odd or a loop, how long figures stay.
//!
//! Deadlines are stored, so a changed service level is another version of the view: [`Config::hash`] is part of the
//! projection's version, and the view of the new settings is built beside the old one.
//! Not here: reading and checking settings (`settings`), the file they are read from (`bin/waag`).

use serde::{Deserialize, Serialize};

use crate::event::Stage;

/// A service level: how long an invoice may be in a stage. The first level that fits an invoice counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceLevel {
    /// The stage.
    pub stage: Stage,
    /// Vendors of this class only; `None` for all.
    pub vendor_class: Option<String>,
    /// Amounts in this ISO 4217 currency only; `None` for all, then amounts are compared whatever their currency.
    pub currency: Option<String>,
    /// Amounts of at least this many minor units only; `None` for all, and for invoices without an amount.
    pub amount_minor_min: Option<i64>,
    /// Hours from entering the stage.
    pub hours: u32,
}

/// The settings of the invoice view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Service levels, the particular before the general.
    pub service_levels: Vec<ServiceLevel>,
    /// Whether an approved invoice's payment is due at the end of its due date, where it has one, instead of its
    /// service level.
    pub payment_by_due_date: bool,
    /// Fewest samples from which a cohort's p95 is believed.
    pub learned_samples_min: u64,
    /// Days of stage times that a cohort's p95 is learned from.
    pub learned_days: u32,
    /// First plausible year of an event's time.
    pub year_min: i32,
    /// Hours an event's time may be after it was accepted.
    pub future_hours_max: u32,
    /// Hours from an event's time to its acceptance, after which it is late.
    pub late_hours: u32,
    /// Returns to a stage from which an invoice is listed as a loop.
    pub loops_min: u32,
    /// Activities of another system's log that mean that the invoice was received.
    pub received_activities: Vec<String>,
    /// Activities that mean that the invoice was cleared.
    pub cleared_activities: Vec<String>,
    /// Days that figures per minute stay.
    pub minute_days: u32,
    /// Days that figures per hour stay.
    pub hour_days: u32,
    /// Most odd events listed for each reason; further ones are counted.
    pub odd_rows_max: u64,
    /// Most segments (stage × region × currency) told apart; further regions are shown as [`REGION_OTHER`].
    pub segments_max: u32,
    /// Most vendor classes whose times are learned apart; further ones share [`CLASS_OTHER`].
    pub classes_max: u32,
}

/// The region that stands for all regions beyond [`Config::segments_max`].
pub const REGION_OTHER: &str = "(other)";

/// The vendor class that stands for all classes beyond [`Config::classes_max`], where times are learned.
pub const CLASS_OTHER: &str = "(other)";

impl Default for Config {
    /// A day to take an invoice in, three to match it, two to approve it, thirty to pay one without a due date.
    /// Approval of 100,000.00 and more may take five days, since it commonly needs a second signature.
    fn default() -> Self {
        let level = |stage, amount_minor_min, hours| ServiceLevel {
            stage,
            vendor_class: None,
            currency: None,
            amount_minor_min,
            hours,
        };
        Self {
            service_levels: vec![
                level(Stage::Ingestion, None, 24),
                level(Stage::Reconciliation, None, 72),
                level(Stage::Authorization, Some(10_000_000), 120),
                level(Stage::Authorization, None, 48),
                level(Stage::Posting, None, 720),
            ],
            payment_by_due_date: true,
            learned_samples_min: 200,
            learned_days: 28,
            year_min: 2018,
            future_hours_max: 24,
            late_hours: 24,
            loops_min: 1,
            received_activities: vec!["Record Invoice Receipt".into()],
            cleared_activities: vec!["Clear Invoice".into()],
            minute_days: 8,
            hour_days: 400,
            odd_rows_max: 100_000,
            segments_max: 4_096,
            classes_max: 1_024,
        }
    }
}

impl Config {
    /// Hours an invoice may be in a stage; none where no level fits.
    #[must_use]
    pub fn hours(&self, stage: Stage, class: &str, currency: &str, amount: Option<i64>) -> Option<u32> {
        let fits = |level: &&ServiceLevel| {
            level.stage == stage
                && level.vendor_class.as_deref().is_none_or(|wanted| wanted == class)
                && level.currency.as_deref().is_none_or(|wanted| wanted == currency)
                && level.amount_minor_min.is_none_or(|least| amount.is_some_and(|minor| minor >= least))
        };
        self.service_levels.iter().find(fits).map(|level| level.hours)
    }

    /// A hash of all settings: FNV-1a over their canonical text, the same on every machine.
    #[must_use]
    pub fn hash(&self) -> u64 {
        fnv(format!("{self:?}").as_bytes())
    }
}

/// FNV-1a, 64 bits, with a last mixing so that its high bits are as good as its low ones.
pub(crate) fn fnv<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u64 {
    let hash = bytes.into_iter().fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    hash ^ (hash >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_level_that_fits_counts() {
        let mut config = Config::default();
        let strict = ServiceLevel {
            stage: Stage::Authorization,
            vendor_class: Some("critical".into()),
            currency: Some("EUR".into()),
            amount_minor_min: None,
            hours: 4,
        };
        config.service_levels.insert(0, strict);
        let hours = |class, currency, amount| config.hours(Stage::Authorization, class, currency, amount);
        assert_eq!(hours("critical", "EUR", None), Some(4));
        assert_eq!(hours("critical", "USD", None), Some(48));
        assert_eq!(hours("", "EUR", Some(10_000_000)), Some(120));
        assert_eq!(hours("", "EUR", Some(9_999_999)), Some(48));
        config.service_levels.clear();
        assert_eq!(config.hours(Stage::Posting, "", "", None), None);
    }

    #[test]
    fn another_setting_is_another_hash() {
        let config = Config::default();
        let mut other = config.clone();
        other.service_levels[0].hours += 1;
        assert_ne!(config.hash(), other.hash());
        assert_eq!(config.hash(), Config::default().hash());
    }
}
