//! How all invoices stand at a moment: open and past their deadline by class, read once for all that a page shows.
//!
//! Place in the way of an event: `show`. "Stuck" is a stored deadline compared with the `now` that the caller passes.
//! Not here: lists of invoices (`lists`), figures over time (`queries`, `speed`), key figures (`figures`).

use std::collections::BTreeMap;

use serde::Serialize;
use waag_domain::project::RowsError;
use waag_model::time::UtcNanos;

use crate::event::{STAGES, Stage};
use crate::packed::{Entries, add_up, entries_of};
use crate::project::{range, whole};
use crate::queries::{Queries, Region, Segment, Sum, Sums, between, big, first_hour_ahead, number};
use crate::tables::{DUE, OPEN};
use crate::tally::Change;
use crate::write::LEVEL_HOURS;

/// Bit of a class: its invoices were received.
pub(crate) const RECEIVED: i64 = 2;
/// Bit of a class: the payment of its invoices is approved.
pub(crate) const APPROVED: i64 = 1;

/// A stage on the overview.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tile {
    /// The stage.
    pub stage: Stage,
    /// Open invoices in it.
    pub open: i64,
    /// Their value.
    pub value: Vec<Sum>,
    /// Those past their deadline.
    pub stuck: i64,
    /// The value of those.
    pub stuck_value: Vec<Sum>,
}

/// Invoices without a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WithoutValue {
    /// All of them: without an amount, without a currency, or without either.
    pub invoices: i64,
    /// Of them, those without a currency.
    pub without_currency: i64,
}

impl WithoutValue {
    fn add(&mut self, count: i64, has_currency: bool) {
        self.invoices = self.invoices.saturating_add(count);
        if !has_currency {
            self.without_currency = self.without_currency.saturating_add(count);
        }
    }
}

/// Open invoices that no sum of money holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unpriced {
    /// All open ones without a value.
    pub open: WithoutValue,
    /// Of them, those that the vendor's invoice has come for.
    pub received: WithoutValue,
}

/// Counts of open invoices by class at a moment.
#[derive(Clone, Debug)]
pub struct Standing {
    pub(crate) now: UtcNanos,
    pub(crate) segments: BTreeMap<i64, Segment>,
    pub(crate) open: Entries<2, 1>,
    pub(crate) past: Entries<2, 1>,
}

/// The segment of a class.
pub(crate) fn segment_of(class: i64) -> i64 {
    class.div_euclid(4)
}

impl Queries<'_> {
    /// How all invoices stand at `now`.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn standing(&self, now: UtcNanos) -> Result<Standing, RowsError> {
        let open = whole(self.rows, &OPEN)?;
        let open = open.iter().map(|row| {
            (number(row, 0), Change { counts: [number(row, 1), number(row, 2)], sums: [big(row, 3)] })
        });
        Ok(Standing { now, segments: self.segments()?, open: open.collect(), past: self.past(now)? })
    }

    /// Open invoices that no sum of money holds, since they have no amount or no currency that could be read.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn unpriced(&self) -> Result<Unpriced, RowsError> {
        let segments = self.segments()?;
        let mut unpriced = Unpriced::default();
        for row in whole(self.rows, &OPEN)? {
            let (class, count) = (number(&row, 0), number(&row, 1).saturating_sub(number(&row, 2)));
            let has_currency =
                segments.get(&segment_of(class)).is_some_and(|segment| !segment.currency.is_empty());
            unpriced.open.add(count, has_currency);
            if class & RECEIVED != 0 {
                unpriced.received.add(count, has_currency);
            }
        }
        Ok(unpriced)
    }

    /// Open invoices past their deadline by class: whole blocks of days, whole days, and the hours of the last day.
    fn past(&self, now: UtcNanos) -> Result<Entries<2, 1>, RowsError> {
        let end = first_hour_ahead(now);
        let mut past = Entries::new();
        let mut from: Option<i64> = None;
        for (level, hours) in (0i64..).zip(LEVEL_HOURS).collect::<Vec<_>>().into_iter().rev() {
            let to = end.div_euclid(hours);
            let first = from.map(|hour| hour.div_euclid(hours));
            for row in range(self.rows, &DUE, &between(&[level.into()], first, Some(to)))? {
                add_up(&mut past, &entries_of(&DUE, &row)?);
            }
            from = Some(to.saturating_mul(hours));
        }
        Ok(past)
    }
}

impl Standing {
    /// The moment.
    #[must_use]
    pub fn now(&self) -> UtcNanos {
        self.now
    }

    /// Sums by currency of the classes wanted.
    fn sums(&self, classes: &Entries<2, 1>, wanted: impl Fn(i64, &Segment) -> bool) -> Vec<Sum> {
        self.counted(classes, wanted, |[invoices, _]| invoices)
    }

    /// The same of those invoices alone that have a value, in currencies with some.
    fn priced(&self, classes: &Entries<2, 1>, wanted: impl Fn(i64, &Segment) -> bool) -> Vec<Sum> {
        let mut sums = self.counted(classes, wanted, |[_, priced]| priced);
        sums.retain(|sum| sum.invoices > 0);
        sums
    }

    fn counted(
        &self,
        classes: &Entries<2, 1>,
        wanted: impl Fn(i64, &Segment) -> bool,
        count: impl Fn([i64; 2]) -> i64,
    ) -> Vec<Sum> {
        let mut sums = Sums::default();
        for (class, Change { counts, sums: [value] }) in classes {
            let segment = self.segments.get(&segment_of(*class));
            if let Some(segment) = segment.filter(|segment| wanted(*class, segment)) {
                sums.add(&segment.currency, count(*counts), *value);
            }
        }
        sums.finish()
    }

    /// The four stages in their order.
    #[must_use]
    pub fn tiles(&self) -> Vec<Tile> {
        let total = |sums: &[Sum]| sums.iter().fold(0i64, |all, sum| all.saturating_add(sum.invoices));
        let tile = |stage: Stage| {
            let value = self.sums(&self.open, |_, segment| segment.stage == stage);
            let stuck_value = self.sums(&self.past, |_, segment| segment.stage == stage);
            Tile { stage, open: total(&value), value, stuck: total(&stuck_value), stuck_value }
        };
        STAGES.into_iter().map(tile).collect()
    }

    /// Open invoices whose payment is approved.
    #[must_use]
    pub fn approved_not_paid(&self) -> Vec<Sum> {
        self.sums(&self.open, |class, _| class & APPROVED != 0)
    }

    /// Open invoices that the vendor's invoice has come for.
    #[must_use]
    pub fn received_not_cleared(&self) -> Vec<Sum> {
        self.sums(&self.open, |class, _| class & RECEIVED != 0)
    }

    /// Open invoices past their deadline.
    #[must_use]
    pub fn stuck(&self) -> Vec<Sum> {
        self.sums(&self.past, |_, _| true)
    }

    /// All open invoices.
    pub(crate) fn open_invoices(&self) -> i64 {
        self.open.iter().fold(0, |all, (_, Change { counts: [count, _], .. })| all.saturating_add(*count))
    }

    /// Of the stuck ones, those that have a value.
    pub(crate) fn stuck_priced(&self) -> Vec<Sum> {
        self.priced(&self.past, |_, _| true)
    }

    /// Of the open invoices that the vendor's invoice has come for, the ones that have a value.
    pub(crate) fn payable(&self) -> Vec<Sum> {
        self.priced(&self.open, |class, _| class & RECEIVED != 0)
    }

    /// Regions side by side.
    #[must_use]
    pub fn regions(&self) -> Vec<Region> {
        let mut regions: BTreeMap<&str, (Region, Sums, Sums)> = BTreeMap::new();
        for (is_past, classes) in [(false, &self.open), (true, &self.past)] {
            for (class, Change { counts: [count, _], sums: [value] }) in classes {
                let Some(segment) = self.segments.get(&segment_of(*class)) else { continue };
                let (region, open, past) = regions.entry(&segment.region).or_default();
                let (counts, sums) =
                    if is_past { (&mut region.stuck, past) } else { (&mut region.open, open) };
                if let Some(sum) = counts.get_mut(usize::from(segment.stage.number())) {
                    *sum = sum.saturating_add(*count);
                }
                sums.add(&segment.currency, *count, *value);
            }
        }
        let region = |(name, (region, open, past)): (&str, (Region, Sums, Sums))| Region {
            region: name.to_owned(),
            value: open.finish(),
            stuck_value: past.finish(),
            ..region
        };
        regions.into_iter().map(region).collect()
    }
}
