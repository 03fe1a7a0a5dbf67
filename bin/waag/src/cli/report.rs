//! `waag report`: lists and figures from the read models, brought up to date first.
//!
//! Not here: what they say (`domains/invoices`), what people read of them (`words`).

mod words;

use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use waag_domain::project::Reads;
use waag_invoices::cash::{STEPS_MAX, Step};
use waag_invoices::event::{STAGES, Stage};
use waag_invoices::lists::{Narrow, PAGE_LINES_MAX};
use waag_invoices::named::{LISTS, List};
use waag_invoices::queries::{DAYS_MAX, Grain, Queries};
use waag_invoices::when;
use waag_model::text::in_line;
use waag_model::time::{UtcDay, UtcNanos};

use super::failure::{Exit, Failure};
use super::output::{self, Output, progress};
use super::setting::Setting;
use crate::node::read_models::ReadModels;

const HELP: &str = "\
What is recorded and not yet projected is projected first. Works beside a running node.

Example:
  waag report invoices
  waag report list stuck
  waag report invoice INV-2026-0001
  waag report figures --json";

const INVOICES_HELP: &str = "\
Example:
  waag report invoices --json";

const INVOICE_HELP: &str = "\
Every event of the invoice with its place in the ledger: `waag read --position` and `waag prove` take that.

Example:
  waag report invoice INV-2026-0001
  waag report invoice INV-2026-0001 --json";

const LIST_HELP: &str = "\
Open invoices come by deadline, the longest overdue first; loops by returns, the most first; possible duplicates and odd
events newest first, with the place in the ledger of the event that showed it. A closed invoice is in no stage.

Example:
  waag report list stuck
  waag report list approved_not_paid --currency EUR --most 1000
  waag report list loops --stage reconciliation --json";

const CASH_HELP: &str = "\
Open invoices with an amount and a currency. What is overdue or due in seven days is told as of today (UTC).

Example:
  waag report cash
  waag report cash --by week --steps 12 --currency EUR --json";

const FIGURES_HELP: &str = "\
In JSON each with its definition, what it is made of, and its value in hundredths of its unit or by currency.

Example:
  waag report figures
  waag report figures --days 90 --json
  waag report figures --days 365 --until 2019-01-17";

const VENDORS_HELP: &str = "\
Those with the most open invoices first, a line for each currency.

Example:
  waag report vendors --most 20";

const TIMES_HELP: &str = "\
How long visits took whose end was recorded on the last days, today among them (UTC); percentiles within 1 %.

Example:
  waag report times --days 30";

const SERIES_HELP: &str = "\
A line for each bucket that has events, by the events' own times (UTC): at most 180 minutes, 192 hours or 366 days.
Minutes are not kept by vendor.

Example:
  waag report series --stage posting --by day --last 30
  waag report series --stage posting --by day --last 365 --until 2019-01-17
  waag report series --stage ingestion --by hour --last 24 --vendor 'Acme BV' --json";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How many invoices there are, where they are, and what is stuck
    #[command(after_help = INVOICES_HELP)]
    Invoices,
    /// A list: what is open, stuck, approved and not paid, …
    #[command(after_help = LIST_HELP)]
    List(Listed),
    /// One invoice: how it stands, and its whole life
    #[command(after_help = INVOICE_HELP)]
    Invoice {
        /// Its id
        id: String,
    },
    /// The ten key figures
    #[command(after_help = FIGURES_HELP)]
    Figures {
        /// Days that they are about, ending today
        #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(i64).range(1..=DAYS_MAX))]
        days: i64,
        /// The last of these days, instead of today; what is open, stuck or overdue is told as of now all the same
        #[arg(long, value_name = "DATE", value_parser = day)]
        until: Option<UtcDay>,
    },
    /// Vendors by what is open
    #[command(after_help = VENDORS_HELP)]
    Vendors {
        /// Most lines
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        most: u32,
    },
    /// How long each stage takes, by region and vendor class
    #[command(after_help = TIMES_HELP)]
    Times {
        /// Days that they are about, ending today
        #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(i64).range(1..=DAYS_MAX))]
        days: i64,
    },
    /// How many events a stage had, bucket by bucket
    #[command(after_help = SERIES_HELP)]
    Series(Series),
    /// What is outstanding, by due date and currency
    #[command(after_help = CASH_HELP)]
    Cash {
        /// How due dates are put together
        #[arg(long, value_name = "UNIT", default_value = "day")]
        by: Due,
        /// The first due date, instead of today
        #[arg(long, value_name = "DATE", value_parser = day)]
        from: Option<UtcDay>,
        /// Days or weeks
        #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(i64).range(1..=STEPS_MAX))]
        steps: i64,
        /// In this currency alone
        #[arg(long, value_name = "CODE")]
        currency: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
struct Listed {
    /// Which one
    #[arg(value_name = "LIST", value_parser = list)]
    list: List,

    /// Only open invoices in this stage
    #[arg(long, value_name = "NAME", value_parser = stage)]
    stage: Option<Stage>,

    /// Only invoices of this region; empty for those without one
    #[arg(long, value_name = "NAME")]
    region: Option<String>,

    /// Only invoices in this currency; empty for those without one
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,

    /// Most lines
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    most: u32,
}

#[derive(Debug, clap::Args)]
struct Series {
    /// The stage
    #[arg(long, value_name = "NAME", value_parser = stage)]
    stage: Stage,

    /// How long a bucket is
    #[arg(long, value_name = "UNIT", default_value = "day")]
    by: By,

    /// How many buckets, ending now
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(i64).range(1..=DAYS_MAX))]
    last: i64,

    /// The last day, instead of now
    #[arg(long, value_name = "DATE", value_parser = day)]
    until: Option<UtcDay>,

    /// Of this vendor alone
    #[arg(long, value_name = "NAME")]
    vendor: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Minute,
    Hour,
    Day,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Due {
    Day,
    Week,
}

fn list(name: &str) -> Result<List, String> {
    List::of_name(name).ok_or_else(|| format!("is one of {}", LISTS.map(List::name).join(", ")))
}

fn stage(name: &str) -> Result<Stage, String> {
    let known = STAGES.into_iter().find(|stage| stage.name() == name);
    known.ok_or_else(|| format!("is one of {}", STAGES.map(Stage::name).join(", ")))
}

fn day(text: &str) -> Result<UtcDay, String> {
    let is_date = |_: &i32| text.len() == "2026-11-30".len();
    when::day(text).filter(is_date).map(UtcDay).ok_or_else(|| "is a date such as 2026-11-30".to_owned())
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    if let Command::Series(Series { by: By::Minute, vendor: Some(_), .. }) = &args.command {
        return Err(Failure::usage("minutes are not kept by vendor; --by hour or --by day"));
    }
    let models = ReadModels::open(&setting.place()?, &setting.options()?)?;
    let bar = progress(Some(models.end().0), "events");
    let shown = bar.clone();
    models.catch_up(Some(Box::new(move |reached| shown.set_position(reached.cursor.position.0))))?;
    bar.finish_and_clear();
    let snapshot = models.rows()?;
    let rows: &dyn Reads = &*snapshot;
    tell(&Queries::new(rows), models.clock.now(), &args.command, output)
}

fn tell(
    queries: &Queries<'_>,
    now: UtcNanos,
    command: &Command,
    output: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        Command::Invoices => {
            let report = queries.report(now)?;
            output.answer(&report, || words::report_text(&report))?;
        }
        Command::List(listed) => return list_lines(queries, now, listed, output),
        Command::Invoice { id } => {
            let Some(life) = queries.invoice(id, now)? else {
                let reason = format!("no event names an invoice `{}`", in_line(id));
                return Err(Failure { code: "E0845", reason, exit: Exit::Refused });
            };
            output.answer(&life, || words::life_text(&life))?;
        }
        Command::Figures { days, until } => {
            let last = until.unwrap_or(now.day());
            let figures = queries.key_figures_until(&queries.standing(now)?, last, *days)?;
            lines(&figures, words::figure_text, output)?;
        }
        Command::Vendors { most } => {
            lines(
                &queries.vendors(usize::try_from(*most).unwrap_or(usize::MAX))?,
                words::vendor_text,
                output,
            )?;
        }
        Command::Cash { by, from, steps, currency } => {
            let by = match by {
                Due::Day => Step::Day,
                Due::Week => Step::Week,
            };
            let span = (from.unwrap_or(now.day()), *steps);
            let cash = queries.cash(now.day(), by, span, currency.as_deref())?;
            output.answer(&cash, || words::cash_text(&cash))?;
        }
        Command::Times { days } => lines(&queries.latency(now, *days)?, words::latency_text, output)?,
        Command::Series(Series { stage, by, last, until, vendor }) => {
            let grain = match by {
                By::Minute => Grain::Minute,
                By::Hour => Grain::Hour,
                By::Day => Grain::Day,
            };
            let end = until.map_or(now, UtcDay::end);
            // The bucket under way is one of them, and not the one that begins where a day ends.
            let begin = grain.begin_of(*last, end.later_by(-1));
            let points = queries.series(*stage, grain, (begin, end), vendor.as_deref())?;
            lines(&points, words::point_text, output)?;
        }
    }
    Ok(Exit::Done)
}

/// The lines of a list, page after page of one snapshot; what is left out is told.
fn list_lines(
    queries: &Queries<'_>,
    now: UtcNanos,
    listed: &Listed,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let standing = queries.standing(now)?;
    let narrow =
        Narrow { stage: listed.stage, region: listed.region.clone(), currency: listed.currency.clone() };
    let mut left = usize::try_from(listed.most).unwrap_or(usize::MAX);
    let mut after = None;
    while left > 0 {
        let page =
            queries.named(listed.list, &standing, &narrow, after.as_ref(), left.min(PAGE_LINES_MAX))?;
        left = left.saturating_sub(page.lines.len());
        lines(&page.lines, words::line_text, output)?;
        after = page.next;
        if after.is_none() {
            return Ok(Exit::Done);
        }
    }
    output::tell(&format!("note: there are more than these {}; --most N prints more of them", listed.most));
    Ok(Exit::Done)
}

/// One line for each.
fn lines<T: Serialize>(all: &[T], line: fn(&T) -> String, output: &mut Output) -> Result<(), Failure> {
    all.iter().try_for_each(|one| output.answer(one, || line(one)))
}
