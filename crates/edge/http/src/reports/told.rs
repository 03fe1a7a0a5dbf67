//! What is told of the invoices' read model: the domain's answers, and how fresh each is.
//!
//! Not here: the JSON of what stands in them (`domains/invoices`), which the command line prints as well.

use serde::Serialize;
use waag_invoices::event::Stage;
use waag_invoices::figures::KeyFigure;
use waag_invoices::life::Lifecycle;
use waag_invoices::lists::After;
use waag_invoices::named::{Line, List};
use waag_invoices::queries::{Grain, Latency, Point, Queries, Report, Vendor};
use waag_model::time::{UtcDay, UtcNanos};

use super::asked::Asked;
use super::cursor;
use crate::fault::{Fault, Kind, Unread};

/// Buckets of a series whose begin is not asked for.
const BUCKETS_DEFAULT: i64 = 30;

/// An answer and how fresh it is.
#[derive(Serialize)]
struct Told<T> {
    /// Entries of the ledger that the read model had taken in.
    projected: u64,
    /// The time it is computed for: nanoseconds since 1970.
    at: i64,
    #[serde(flatten)]
    told: T,
}

#[derive(Serialize)]
struct Lines {
    list: List,
    lines: Vec<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct Life {
    invoice: Lifecycle,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct Totals {
    totals: Report,
}

/// Days of UTC, both of them included.
#[derive(Serialize)]
struct Period {
    days: i64,
    first: String,
    last: String,
}

impl Period {
    /// So many days that end with this one.
    fn of(days: i64, last: UtcDay) -> Self {
        let before = i32::try_from(days.saturating_sub(1)).unwrap_or(0);
        let first = UtcDay(last.0.saturating_sub(before));
        Self { days, first: first.to_string(), last: last.to_string() }
    }
}

#[derive(Serialize)]
struct Figures {
    period: Period,
    figures: Vec<KeyFigure>,
}

#[derive(Serialize)]
struct Times {
    period: Period,
    times: Vec<Latency>,
}

#[derive(Serialize)]
struct Series<'a> {
    stage: Stage,
    grain: Grain,
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor: Option<&'a str>,
    from: String,
    to: String,
    points: Vec<Point>,
}

#[derive(Serialize)]
struct Vendors {
    vendors: Vec<Vendor>,
}

/// The JSON of an answer.
///
/// # Errors
/// [`Unread::NoInvoice`], [`Kind::Query`] for a span that ends before it begins; [`Unread::Time`] and
/// [`Unread::Unreadable`] of the rows.
pub(crate) fn answer(
    asked: &Asked,
    queries: &Queries<'_>,
    projected: u64,
    now: UtcNanos,
) -> Result<Vec<u8>, Fault> {
    let fresh = Fresh { projected, now };
    match asked {
        Asked::List { list, narrow, after, most } => {
            let page = queries.named(*list, &queries.standing(now)?, narrow, after.as_ref(), *most)?;
            let next = page.next.map(|place| cursor::text(list.name(), &place));
            Ok(fresh.json(Lines { list: *list, lines: page.lines, next }))
        }
        Asked::Invoice { id, gone, most } => {
            let (invoice, next) = queries
                .part_of(id, now, *gone, *most)?
                .ok_or_else(|| Fault::of(Kind::Unread(Unread::NoInvoice)))?;
            let next = next.map(|gone| {
                let order = i64::try_from(gone).unwrap_or(i64::MAX);
                cursor::text("events", &After { order, class: 0, id: id.clone() })
            });
            Ok(fresh.json(Life { invoice, next }))
        }
        Asked::Figures { days, until } => {
            // Days that are yet to come would make a period of less than was asked for.
            let last = until.map_or(now.day(), |until| until.min(now.day()));
            let figures = queries.key_figures_until(&queries.standing(now)?, last, *days)?;
            Ok(fresh.json(Figures { period: Period::of(*days, last), figures }))
        }
        Asked::Totals => Ok(fresh.json(Totals { totals: queries.report(now)? })),
        Asked::Series { stage, grain, from, to, vendor } => {
            let to = to.unwrap_or(now);
            let from = from.unwrap_or_else(|| grain.begin_of(BUCKETS_DEFAULT, to));
            if from > to {
                return Err(Fault::of(Kind::Query("to")));
            }
            let points = queries.series(*stage, *grain, (from, to), vendor.as_deref())?;
            let (from, to) = grain.span(from, to);
            let (from, to) = (from.to_string(), to.to_string());
            Ok(fresh.json(Series {
                stage: *stage,
                grain: *grain,
                vendor: vendor.as_deref(),
                from,
                to,
                points,
            }))
        }
        Asked::Times { days } => {
            let times = queries.latency(now, *days)?;
            Ok(fresh.json(Times { period: Period::of(*days, now.day()), times }))
        }
        Asked::Vendors { most } => Ok(fresh.json(Vendors { vendors: queries.vendors(*most)? })),
        Asked::Cash { by, from, currency, most } => {
            let span = (from.unwrap_or(now.day()), i64::try_from(*most).unwrap_or(i64::MAX));
            Ok(fresh.json(queries.cash(now.day(), *by, span, currency.as_deref())?))
        }
    }
}

/// How fresh an answer is.
struct Fresh {
    projected: u64,
    now: UtcNanos,
}

impl Fresh {
    fn json(&self, told: impl Serialize) -> Vec<u8> {
        // Texts, numbers and lists of them: there is nothing that cannot be written.
        serde_json::to_vec(&Told { projected: self.projected, at: self.now.0, told }).unwrap_or_default()
    }
}
