//! What an invoice adds to the key figures, as it stands: when it was received, approved and paid, and how.
//!
//! Place in the way of an event: `project`. A batch takes away what an invoice added before it and adds what it adds
//! after, so that a payment that was taken back, or a date that was corrected, leaves nothing behind, and rows are the
//! same however facts were cut into batches (`PROJECT-1`). What was told without a usable time is of no day, and so of
//! no period: it counts under a day that none has.
//! Not here: the figures made of it (`figures`), possible duplicates, which are counted once each (`write`).

use waag_model::money::Currency;
use waag_model::time::UtcNanos;

use crate::state::{Condition, Invoice, flag};
use crate::tables::DAY_NONE;
use crate::tally::{Change, Tally};

/// Places of the counts in `KEY_FIGURES`.
pub(crate) mod kpi {
    /// Invoices received.
    pub(crate) const RECEIVED: usize = 0;
    /// Invoices paid.
    pub(crate) const PAID: usize = 1;
    /// Of those, with a due date.
    pub(crate) const DUE_KNOWN: usize = 2;
    /// Of those, paid by then.
    pub(crate) const ON_TIME: usize = 3;
    /// Paid, and events said whether a person acted.
    pub(crate) const TOUCH_KNOWN: usize = 4;
    /// Of those, without one, an exception or a return.
    pub(crate) const TOUCHLESS: usize = 5;
    /// Paid after an exception.
    pub(crate) const EXCEPTED: usize = 6;
    /// Paid after a return to a stage.
    pub(crate) const REWORKED: usize = 7;
    /// Possible duplicates found.
    pub(crate) const DUPLICATES: usize = 8;
    /// Approved as an event told, and received before.
    pub(crate) const APPROVED_TIMED: usize = 9;
    /// Paid, and received before.
    pub(crate) const PAID_TIMED: usize = 10;
    /// How many counts.
    pub(crate) const COUNTS: usize = 11;
    /// Sum of seconds from received to approved.
    pub(crate) const APPROVAL_S: usize = 0;
    /// Sum of seconds from received to paid.
    pub(crate) const PAYMENT_S: usize = 1;
    /// Value of the received.
    pub(crate) const RECEIVED_VALUE: usize = 2;
    /// How many sums.
    pub(crate) const SUMS: usize = 3;
}

/// Counts and sums by day of event time and currency.
pub(crate) type KeyFigures = Tally<(i64, Option<Currency>), { kpi::COUNTS }, { kpi::SUMS }>;

type KeyChange = Change<{ kpi::COUNTS }, { kpi::SUMS }>;

/// A payment, as the key figures count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Payment {
    day: i64,
    /// Seconds since it was received; none where it was not received before.
    took_s: Option<i64>,
    /// None without a due date.
    is_on_time: Option<bool>,
    /// None where no event said whether a person acted.
    is_touchless: Option<bool>,
    is_excepted: bool,
    is_reworked: bool,
}

/// What an invoice adds. The default adds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyShare {
    currency: Option<Currency>,
    /// The day, and the value.
    received: Option<(i64, i64)>,
    /// The day, and seconds since it was received.
    approved: Option<(i64, i64)>,
    payment: Option<Payment>,
}

fn day(at: i64) -> i64 {
    i64::from(UtcNanos(at).day().0)
}

impl KeyShare {
    pub(crate) fn of(invoice: &Invoice) -> Self {
        let received = invoice.received.filter(|_| !invoice.has(flag::RECEIVED_UNDATED));
        let took_s = |at: i64| {
            let took = received.and_then(|since| at.checked_sub(since)).filter(|took| *took >= 0);
            took.map(|nanos| nanos / 1_000_000_000)
        };
        let value = invoice.amount.filter(|_| invoice.currency.is_some()).unwrap_or(0);
        // Posting implies an approval; when that was, nobody told.
        let is_told = invoice.has(flag::APPROVAL_TOLD) && !invoice.has(flag::APPROVED_UNDATED);
        let approved = invoice.approved.filter(|_| is_told);
        let paid = invoice.closed.filter(|_| invoice.condition == Condition::Paid);
        let payment = |at: i64| {
            let (is_excepted, is_reworked) = (invoice.has(flag::EXCEPTION), invoice.loops > 0);
            let is_touched = invoice.has(flag::MANUAL) || is_excepted || is_reworked;
            let paid = (!invoice.has(flag::CLOSED_UNDATED)).then_some(at);
            Payment {
                day: paid.map_or(DAY_NONE, day),
                took_s: paid.and_then(took_s),
                is_on_time: paid.zip(invoice.due).map(|(at, due)| day(at) <= i64::from(due)),
                is_touchless: invoice.has(flag::TOUCH_KNOWN).then_some(!is_touched),
                is_excepted,
                is_reworked,
            }
        };
        Self {
            currency: invoice.currency,
            received: invoice.received.map(|_| (received.map_or(DAY_NONE, day), value)),
            approved: approved.and_then(|at| Some((day(at), took_s(at)?))),
            payment: paid.map(payment),
        }
    }

    /// Adds what an invoice adds after a batch, less what it added before.
    pub(crate) fn count(before: &Self, after: &Self, figures: &mut KeyFigures) {
        if before == after {
            return;
        }
        for (share, sign) in [(before, -1), (after, 1)] {
            share.add(sign, figures);
        }
    }

    fn add(&self, sign: i64, figures: &mut KeyFigures) {
        let mut add = |day: i64, counts: &[(usize, bool)], sums: &[(usize, i64)]| {
            let mut change = KeyChange::NONE;
            for (at, _) in counts.iter().filter(|(_, is)| *is) {
                if let Some(count) = change.counts.get_mut(*at) {
                    *count = sign;
                }
            }
            for (at, value) in sums {
                if let Some(sum) = change.sums.get_mut(*at) {
                    *sum = i128::from(*value) * i128::from(sign);
                }
            }
            figures.add((day, self.currency), change);
        };
        if let Some((day, value)) = self.received {
            add(day, &[(kpi::RECEIVED, true)], &[(kpi::RECEIVED_VALUE, value)]);
        }
        if let Some((day, seconds)) = self.approved {
            add(day, &[(kpi::APPROVED_TIMED, true)], &[(kpi::APPROVAL_S, seconds)]);
        }
        if let Some(payment) = &self.payment {
            let counts = [
                (kpi::PAID, true),
                (kpi::DUE_KNOWN, payment.is_on_time.is_some()),
                (kpi::ON_TIME, payment.is_on_time == Some(true)),
                (kpi::TOUCH_KNOWN, payment.is_touchless.is_some()),
                (kpi::TOUCHLESS, payment.is_touchless == Some(true)),
                (kpi::EXCEPTED, payment.is_excepted),
                (kpi::REWORKED, payment.is_reworked),
                (kpi::PAID_TIMED, payment.took_s.is_some()),
            ];
            add(payment.day, &counts, &[(kpi::PAYMENT_S, payment.took_s.unwrap_or(0))]);
        }
    }
}
