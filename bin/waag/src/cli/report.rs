//! `waag report`: figures from the read models, brought up to date first.

use clap::Subcommand;
use waag_invoices::config::Config;
use waag_invoices::event::{STAGES, Stage};
use waag_invoices::queries::{Queries, Report};

use super::failure::{Exit, Failure};
use super::output::{Output, progress};
use super::setting::Setting;
use crate::node::read_models::ReadModels;

const HELP: &str = "\
Example:
  waag report invoices
  waag report invoices --json";

const INVOICES_HELP: &str = "\
What is recorded and not yet projected is projected first. Works beside a running node.

Example:
  waag report invoices --json";

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
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let Command::Invoices = args.command;
    let models = ReadModels::open(&setting.place()?, &setting.options()?, &Config::default())?;
    let bar = progress(Some(models.end().0), "events");
    let shown = bar.clone();
    models.catch_up(Some(Box::new(move |reached| shown.set_position(reached.cursor.position.0))))?;
    bar.finish_and_clear();
    let snapshot = models.rows()?;
    let report = Queries::new(&*snapshot).report(models.clock.now())?;
    output.answer(&report, || text(&report))?;
    Ok(Exit::Done)
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
