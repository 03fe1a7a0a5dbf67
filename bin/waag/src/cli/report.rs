//! `waag report`: figures from the read models, brought up to date first.

use clap::Subcommand;
use waag_invoices::config::Config;
use waag_invoices::queries::Queries;

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
    output.answer(&report, || {
        let mut text = format!(
            "{} invoices of {} events\n{:>10}  cleared\n{:>10}  received, not cleared\n{:>10}  stuck\n{:>10}  odd events\n",
            report.cases, report.events, report.cleared, report.received_not_cleared, report.stuck, report.odd
        );
        for (stage, count) in &report.by_stage {
            text.push_str(&format!("{count:>10}  in {stage}\n"));
        }
        text
    })?;
    Ok(Exit::Done)
}
