//! `waag report`: figures from the read models, brought up to date first.

use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use waag_domain::project::Reads;
use waag_invoices::event::{STAGES, Stage};
use waag_invoices::figures::{KeyFigure, Unit};
use waag_invoices::life::Lifecycle;
use waag_invoices::queries::{DAYS_MAX, Grain, Latency, Point, Queries, Report, Sum, Vendor};
use waag_invoices::when;
use waag_model::money::Currency;
use waag_model::text::in_line;
use waag_model::time::{UtcDay, UtcNanos};

use super::failure::{Exit, Failure};
use super::output::{Output, progress};
use super::setting::Setting;
use crate::node::read_models::ReadModels;

const HELP: &str = "\
What is recorded and not yet projected is projected first. Works beside a running node.

Example:
  waag report invoices
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
How long visits took that ended on the last days, today among them (UTC); percentiles within 1 %.

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
            output.answer(&report, || text(&report))?;
        }
        Command::Invoice { id } => {
            let Some(life) = queries.invoice(id, now)? else {
                let reason = format!("no event names an invoice `{}`", in_line(id));
                return Err(Failure { code: "E0845", reason, exit: Exit::Refused });
            };
            output.answer(&life, || life_text(&life))?;
        }
        Command::Figures { days, until } => {
            let last = until.unwrap_or(now.day());
            let figures = queries.key_figures_until(&queries.standing(now)?, last, *days)?;
            lines(&figures, figure_text, output)?;
        }
        Command::Vendors { most } => {
            lines(&queries.vendors(usize::try_from(*most).unwrap_or(usize::MAX))?, vendor_text, output)?;
        }
        Command::Times { days } => lines(&queries.latency(now, *days)?, latency_text, output)?,
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
            lines(&points, point_text, output)?;
        }
    }
    Ok(Exit::Done)
}

/// One line for each.
fn lines<T: Serialize>(all: &[T], line: fn(&T) -> String, output: &mut Output) -> Result<(), Failure> {
    all.iter().try_for_each(|one| output.answer(one, || line(one)))
}

/// The word that stands for it in JSON, too.
fn word(value: &impl Serialize) -> String {
    let told = serde_json::to_value(value).unwrap_or_default();
    told.as_str().unwrap_or_default().replace('_', " ")
}

fn life_text(life: &Lifecycle) -> String {
    let state = &life.state;
    let stuck = if state.stuck { ", stuck" } else { "" };
    let mut text =
        format!("{} in {}, {}{stuck}\n", in_line(&state.id), state.stage.name(), word(&state.condition));
    for step in &life.steps {
        let stage = step.stage.map_or("no stage", Stage::name);
        let marks =
            if step.marks.is_empty() { String::new() } else { format!(" ({})", step.marks.join(", ")) };
        let (at, action) = (UtcNanos(step.at), word(&step.action));
        text.push_str(&format!("{:>12}  {at}  {stage}: {action}{marks}\n", step.position));
    }
    text
}

/// A whole number with its last digits behind a point.
fn decimal(number: i128, digits: u8) -> String {
    let (sign, plain) = (if number < 0 { "-" } else { "" }, number.unsigned_abs().to_string());
    let width = usize::from(digits);
    let plain = format!("{plain:0>least$}", least = width + 1);
    match plain.split_at_checked(plain.len().saturating_sub(width)) {
        Some((whole, part)) if !part.is_empty() => format!("{sign}{whole}.{part}"),
        _ => format!("{sign}{plain}"),
    }
}

fn figure_text(figure: &KeyFigure) -> String {
    let unit = |value: i128, currency: &str| match figure.unit {
        Unit::Percent => format!("{} %", decimal(value, 2)),
        Unit::Days => format!("{} days {currency}", decimal(value, 2)).trim_end().to_owned(),
        Unit::Money => {
            let exponent = Currency::of(currency).map_or(0, Currency::exponent);
            // Without a currency it is nought of any.
            format!("{} {currency}", decimal(value, exponent)).trim_end().to_owned()
        }
    };
    let mut values: Vec<String> = figure.value.map(|value| unit(value.into(), "")).into_iter().collect();
    values.extend(figure.by_currency.iter().map(|one| unit(one.value, &one.currency)));
    let told = if values.is_empty() { "not known".to_owned() } else { values.join(", ") };
    let note = figure.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
    format!("{:<32}  {told}, of {} invoices{note}\n", figure.name, figure.of)
}

fn sum_text(sum: &Sum) -> String {
    let currency = if sum.currency.is_empty() { "-" } else { &sum.currency };
    format!("{:>9}  {:>20} {currency:<3}", sum.invoices, decimal(sum.minor, sum.exponent))
}

fn vendor_text(vendor: &Vendor) -> String {
    let (open, all) = (sum_text(&vendor.open), sum_text(&vendor.total));
    format!("open {open}  of {all}  {}\n", in_line(&vendor.vendor))
}

fn latency_text(one: &Latency) -> String {
    let hours = |ms: u64| decimal(i128::from(ms / 36_000), 2);
    let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { in_line(text) };
    format!(
        "{:<14}  {:>9} visits  p50 {:>10} h  p95 {:>10} h  p99 {:>10} h  {}  {}\n",
        one.stage.name(),
        one.count,
        hours(one.p50_ms),
        hours(one.p95_ms),
        hours(one.p99_ms),
        or_none(&one.region),
        or_none(&one.vendor_class)
    )
}

fn point_text(point: &Point) -> String {
    format!(
        "{}  {:>9} events  {:>9} entered  {:>7} failed or held\n",
        UtcNanos(point.at),
        point.events,
        point.entered,
        point.failed
    )
}

/// The report for people: where all invoices are, then what of them is worth a look.
fn text(report: &Report) -> String {
    let mut text = format!("{} invoices of {} events\n", report.cases, report.events);
    let mut line = |count: i64, words: &str| text.push_str(&format!("{count:>10}  {words}\n"));
    line(report.cleared, "cleared");
    line(report.rejected, "rejected");
    // In the stages' order; by name they are in that of the alphabet.
    for stage in STAGES.map(Stage::name) {
        line(report.by_stage.get(stage).copied().unwrap_or(0), &format!("in {stage}"));
    }
    line(report.received_not_cleared, "received, not cleared");
    line(report.approved_not_paid, "approved, not paid");
    line(report.stuck, "stuck");
    line(report.duplicates, "possible duplicates");
    line(report.odd, "odd events");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_tells_every_count_once() {
        let by_stage = STAGES.into_iter().zip(11..).map(|(stage, count)| (stage.name().to_owned(), count));
        let report = Report {
            events: 1,
            cases: 2,
            cleared: 3,
            rejected: 4,
            received_not_cleared: 5,
            approved_not_paid: 6,
            stuck: 7,
            odd: 8,
            odd_by_reason: [("unknown_stage".to_owned(), 9)].into(),
            duplicates: 10,
            by_stage: by_stage.collect(),
        };
        let told = text(&report);
        let lines: Vec<&str> = told.lines().map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "2 invoices of 1 events",
                "3  cleared",
                "4  rejected",
                "11  in ingestion",
                "12  in reconciliation",
                "13  in authorization",
                "14  in posting",
                "5  received, not cleared",
                "6  approved, not paid",
                "7  stuck",
                "10  possible duplicates",
                "8  odd events",
            ]
        );
    }
}
