//! What is asked of the invoices' read model: paths and queries, read strictly (`ASK-2`).
//!
//! Not here: how it is answered (`told`).

use waag_invoices::cash::Step;
use waag_invoices::event::Stage;
use waag_invoices::lists::{After, Narrow, PAGE_LINES_MAX};
use waag_invoices::named::List;
use waag_invoices::queries::{DAYS_MAX, Grain};
use waag_invoices::when;
use waag_model::time::{UtcDay, UtcNanos};

use super::cursor;
use crate::fault::{Absent, Fault, Kind};
use crate::query::Parameters;
use crate::routes::{Report, invoice_of};

/// Lines of an answer where no other number is asked for.
pub(crate) const LINES_DEFAULT: usize = 100;
/// Most lines of an answer, but of vendors.
pub(crate) const LINES_MAX: usize = PAGE_LINES_MAX;
/// Most vendors of an answer, which has no further page.
pub(crate) const VENDORS_MAX: usize = 1_000;
/// Days of a period where no other number is asked for.
pub(crate) const DAYS_DEFAULT: i64 = 30;
/// Days or weeks of due dates where no other number is asked for.
pub(crate) const DATES_DEFAULT: usize = 30;

/// The first day that can be asked for: 0001-01-01, a Monday.
const DAY_MIN: UtcDay = UtcDay(-719_162);

/// A question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    List {
        list: List,
        narrow: Narrow,
        after: Option<After>,
        most: usize,
    },
    Invoice {
        id: String,
        gone: u64,
        most: usize,
    },
    Figures {
        days: i64,
        /// The last day; today where none is asked for.
        until: Option<UtcDay>,
    },
    Totals,
    Series {
        stage: Stage,
        grain: Grain,
        from: Option<UtcNanos>,
        to: Option<UtcNanos>,
        vendor: Option<String>,
    },
    Times {
        days: i64,
    },
    Vendors {
        most: usize,
    },
    Cash {
        by: Step,
        from: Option<UtcDay>,
        currency: Option<String>,
        most: usize,
    },
}

fn lines(told: &mut Parameters, most: usize, default: usize) -> Result<usize, Fault> {
    let lines = told.within("limit", (1, most as u64), default as u64)?;
    Ok(usize::try_from(lines).unwrap_or(default))
}

fn days(told: &mut Parameters) -> Result<i64, Fault> {
    let days = told.within("days", (1, DAYS_MAX.unsigned_abs()), DAYS_DEFAULT.unsigned_abs())?;
    Ok(i64::try_from(days).unwrap_or(DAYS_DEFAULT))
}

/// A date of the years 1 to 9999 and nothing behind it.
fn date(text: &str) -> Option<UtcDay> {
    let day = when::day(text).filter(|_| text.len() == "2026-11-30".len()).map(UtcDay);
    day.filter(|day| *day >= DAY_MIN)
}

/// The code of a currency, whether or not there is one of it.
fn currency(text: &str) -> Option<String> {
    let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    is_code.then(|| text.to_owned())
}

/// A word of those that there are.
pub(crate) fn step(name: &str) -> Option<Step> {
    match name {
        "day" => Some(Step::Day),
        "week" => Some(Step::Week),
        _ => None,
    }
}

impl Asked {
    /// The question of a path and its query.
    ///
    /// # Errors
    /// [`Kind::Query`], [`Kind::NoQuery`]; [`Kind::NotFound`] where the path's last element is no percent-encoding.
    pub(crate) fn of(report: Report, path: &str, query: &str) -> Result<Self, Fault> {
        match report {
            Report::List => Self::list(query),
            Report::Invoice => {
                let id = invoice_of(path).ok_or_else(|| Fault::of(Kind::NotFound(Absent::Path)))?;
                Self::invoice(id, query)
            }
            Report::Figures => {
                let mut told = Parameters::of(query, &["days", "until"])?;
                Ok(Self::Figures { days: days(&mut told)?, until: told.read("until", date)? })
            }
            Report::Totals => Parameters::of(query, &[]).map(|_| Self::Totals),
            Report::Series => Self::series(query),
            Report::Times => {
                let mut told = Parameters::of(query, &["days"])?;
                Ok(Self::Times { days: days(&mut told)? })
            }
            Report::Vendors => {
                let mut told = Parameters::of(query, &["limit"])?;
                Ok(Self::Vendors { most: lines(&mut told, VENDORS_MAX, LINES_DEFAULT)? })
            }
            Report::Cash => Self::cash(query),
        }
    }

    fn list(query: &str) -> Result<Self, Fault> {
        let known = ["list", "stage", "region", "currency", "limit", "after"];
        let mut told = Parameters::of(query, &known)?;
        let list = told.read("list", List::of_name)?.unwrap_or(List::Open);
        let narrow = Narrow {
            stage: told.read("stage", Stage::of_name)?,
            region: told.text("region"),
            // Empty for those without one, as with regions.
            currency: told.read("currency", |text| {
                if text.is_empty() { Some(String::new()) } else { currency(text) }
            })?,
        };
        let after = told.read("after", |text| cursor::read(list.name(), text))?;
        Ok(Self::List { list, narrow, after, most: lines(&mut told, LINES_MAX, LINES_DEFAULT)? })
    }

    fn invoice(id: String, query: &str) -> Result<Self, Fault> {
        let mut told = Parameters::of(query, &["limit", "after"])?;
        let gone = told.read("after", |text| {
            let place = cursor::read("events", text).filter(|place| place.id == id)?;
            u64::try_from(place.order).ok()
        })?;
        Ok(Self::Invoice { id, gone: gone.unwrap_or(0), most: lines(&mut told, LINES_MAX, LINES_DEFAULT)? })
    }

    fn series(query: &str) -> Result<Self, Fault> {
        let mut told = Parameters::of(query, &["stage", "grain", "from", "to", "vendor"])?;
        let stage = told.read("stage", Stage::of_name)?.ok_or_else(|| Fault::of(Kind::Query("stage")))?;
        let grain = told.read("grain", Grain::of_name)?.unwrap_or(Grain::Day);
        let (from, to) = (told.read("from", when::end_of_span)?, told.read("to", when::end_of_span)?);
        let vendor = told.text("vendor");
        if vendor.as_ref().is_some_and(String::is_empty) {
            return Err(Fault::of(Kind::Query("vendor")));
        }
        if vendor.is_some() && grain == Grain::Minute {
            // Minutes are not kept by vendor: an answer without any would say that there was nothing.
            return Err(Fault::of(Kind::Query("grain")));
        }
        Ok(Self::Series { stage, grain, from, to, vendor })
    }

    fn cash(query: &str) -> Result<Self, Fault> {
        let mut told = Parameters::of(query, &["by", "from", "currency", "limit"])?;
        Ok(Self::Cash {
            by: told.read("by", step)?.unwrap_or(Step::Day),
            from: told.read("from", date)?,
            currency: told.read("currency", currency)?,
            most: lines(&mut told, LINES_MAX, DATES_DEFAULT)?,
        })
    }
}
