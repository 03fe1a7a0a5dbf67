//! `waag views`: the read models: how far they are, building them anew, comparing them with the ledger.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Subcommand;
use serde::Serialize;
use waag_views::check::check;
use waag_views::contract::Views;
use waag_views::follow::Following;
use waag_views::memory::MemoryViews;
use waag_views::progress::Progress;
use waag_views::rebuild::{Rebuilt, drop_others, rebuild};

use super::failure::{Exit, Failure};
use super::output::{Output, progress, tell};
use super::setting::Setting;
use crate::node::read_models::ReadModels;

const HELP: &str = "\
Read models are derived from the ledger: deleting their folder loses nothing, the next start makes them again.

Example:
  waag views status
  waag views rebuild
  waag views check";

const STATUS_HELP: &str = "\
Example:
  waag views status --json";

const REBUILD_HELP: &str = "\
The new rows are built beside those that serve, which are exchanged when the new ones have caught up. Broken off, it goes
on where it stopped. Works beside a running node.

Example:
  waag views rebuild";

const CHECK_HELP: &str = "\
Projects everything once more into memory and compares row by row; exits with 1 where anything differs. Works beside a
running node: the rows of one moment are compared, and the ledger is read as far as it was then.

Example:
  waag views check";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show how far each read model is
    #[command(after_help = STATUS_HELP)]
    Status,
    /// Build them anew beside the old ones
    #[command(after_help = REBUILD_HELP)]
    Rebuild,
    /// Project again and compare
    #[command(after_help = CHECK_HELP)]
    Check,
}

#[derive(Serialize)]
struct StatusJson {
    view: String,
    position: u64,
    behind: u64,
    serves: bool,
}

#[derive(Serialize)]
struct TableJson {
    table: &'static str,
    rows: u64,
    different: u64,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let models = ReadModels::open(&setting.place()?, &setting.options()?)?;
    match args.command {
        Command::Status => status(&models, output),
        Command::Rebuild => build(&models, output),
        Command::Check => compare(&models, output),
    }
}

fn status(models: &ReadModels, output: &mut Output) -> Result<Exit, Failure> {
    for standing in models.views.list()? {
        let position = standing.cursor.position.0;
        let told = StatusJson {
            view: standing.key.to_string(),
            position,
            behind: models.end().0.saturating_sub(position),
            serves: standing.serves,
        };
        output.answer(&told, || {
            let serves = if told.serves { "serves" } else { "beside" };
            format!("{}  {serves}  at {}, {} behind\n", told.view, told.position, told.behind)
        })?;
    }
    Ok(Exit::Done)
}

/// The ledger as far as it is whenever asked: a node may be running.
fn recorded(models: &ReadModels) -> impl FnMut() -> Result<Following, Failure> {
    || Ok(models.recorded()?)
}

fn build(models: &ReadModels, output: &mut Output) -> Result<Exit, Failure> {
    let bar = progress(Some(models.end().0), "events");
    let shown = bar.clone();
    let heard = Progress::new(Some(Box::new(move |reached| shown.set_position(reached.cursor.position.0))));
    let stop = AtomicBool::new(false);
    let built = rebuild(&models.views, &mut recorded(models), &models.invoices, Arc::new(heard), &stop)?;
    bar.finish_and_clear();
    match built {
        Rebuilt::Serves(key) => {
            drop_others(&*models.views, &key.name)?;
            output.text(&format!("{key} serves\n"))?;
        }
        Rebuilt::Stopped(key) => tell(&format!("note: {key} is not whole yet; ask again to go on")),
    }
    Ok(Exit::Done)
}

fn compare(models: &ReadModels, output: &mut Output) -> Result<Exit, Failure> {
    let scratch: Arc<dyn Views> = Arc::new(MemoryViews::default());
    let bar = progress(Some(models.end().0), "events");
    let shown = bar.clone();
    let heard = Progress::new(Some(Box::new(move |reached| shown.set_position(reached.cursor.position.0))));
    let stop = AtomicBool::new(false);
    let (views, mut recorded) = (&*models.views, recorded(models));
    let checked = check(views, &scratch, &mut recorded, &models.invoices, Arc::new(heard), &stop)?;
    bar.finish_and_clear();
    let Some(checked) = checked else { return Ok(Exit::Refused) };
    for table in &checked.tables {
        let told = TableJson { table: table.table, rows: table.rows, different: table.different };
        output.answer(&told, || {
            format!("{:>12} rows, {:>6} differ  {}\n", told.rows, told.different, told.table)
        })?;
        for difference in &table.first {
            tell(&format!("{}: {:?}", table.table, difference.key));
        }
    }
    Ok(if checked.is_equal() { Exit::Done } else { Exit::Refused })
}
