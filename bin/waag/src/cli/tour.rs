//! `waag tour`: the ledger at work in a minute, done with the program's own commands and nothing else.
//!
//! Each step is a child process of this very program, shown as one would type it, so that the tour cannot do
//! what a user could not. The last steps change one byte of the log and put it back: what notices is `waag verify`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::failure::{CliError, Exit, Failure};
use super::output::Output;
use super::setting::Setting;

const HELP: &str = "\
Example:
  waag tour
  waag tour --folder tour";

/// Invoices of the tour; each goes through four stages.
const INVOICES: usize = 25;
const STAGES: [&str; 4] = ["ingestion", "reconciliation", "authorization", "posting"];

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Where to put the tour's store; must not exist yet
    #[arg(long, default_value = "waag-tour")]
    folder: PathBuf,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    setting.must_name_no_place("--folder")?;
    if output.is_json() {
        return Err(Failure::usage(
            "the tour shows other commands as people type them, and has no answer in JSON: each of them takes --json",
        ));
    }
    setting.must_be_outside(&args.folder)?;
    let failed = |what: &'static str, error: std::io::Error| CliError::file(what, &args.folder)(error);
    if args.folder.exists() {
        return Err(Failure::usage(format!(
            "`{}` exists: remove it, or choose another place with --folder",
            args.folder.display()
        )));
    }
    std::fs::create_dir_all(&args.folder).map_err(|error| failed("make", error))?;
    let tour = Tour { folder: args.folder.clone() };
    let events = args.folder.join("events.jsonl");
    std::fs::write(&events, events_of_the_tour()).map_err(|error| failed("write the events below", error))?;

    output.text("A store: keys, a ledger, two folders.\n")?;
    tour.step(output, &["init"])?;
    output.text(
        "\nInvoices on their way, one CloudEvents object a line; the answer is a receipt for each.\n",
    )?;
    tour.step(output, &["append", "@events.jsonl"])?;
    output.text("\nThe same file again: nothing is doubled, each event gets its first receipt.\n")?;
    tour.step(output, &["append", "@events.jsonl"])?;
    output.text("\nThe newest signed checkpoint, in the form any C2SP client reads.\n")?;
    tour.step(output, &["checkpoint"])?;
    output
        .text("\nA proof for one entry, to be checked by anybody with `waag-verify` and the public key.\n")?;
    tour.step(output, &["prove", "7", "--out", "@7.tlog-proof", "--entry-out", "@7.entry"])?;
    output.text("\nEvery byte, every link, every root.\n")?;
    tour.step(output, &["verify"])?;

    output.text("\nNow somebody changes one byte of the log behind the program's back:\n")?;
    let segment = first_segment(&args.folder.join("data"));
    let segment = segment.ok_or_else(|| failed("find the log below", std::io::ErrorKind::NotFound.into()))?;
    let flip = |at: usize| -> std::io::Result<()> {
        let mut bytes = std::fs::read(&segment)?;
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1;
        }
        std::fs::write(&segment, bytes)
    };
    flip(1_000).map_err(|error| failed("change the log below", error))?;
    let noticed = tour.step(output, &["verify"])? != Some(0);
    flip(1_000).map_err(|error| failed("change the log below", error))?;
    output.text("\nThe byte is put back:\n")?;
    let whole = tour.step(output, &["verify"])? == Some(0);
    output.text(&format!(
        "\nThe store is in `{}`; try `waag --data {}/data read --count 3`.\n",
        args.folder.display(),
        args.folder.display()
    ))?;
    Ok(if noticed && whole { Exit::Done } else { Exit::Refused })
}

struct Tour {
    folder: PathBuf,
}

impl Tour {
    /// Runs one command of this program on the tour's store, shown as it would be typed; `@` stands for the
    /// tour's folder.
    fn step(&self, output: &mut Output, words: &[&str]) -> Result<Option<i32>, Failure> {
        let failed = |error: std::io::Error| CliError::file("run this program on", &self.folder)(error);
        let program = std::env::current_exe().map_err(failed)?;
        let words: Vec<String> = words
            .iter()
            .map(|word| match word.strip_prefix('@') {
                Some(name) => self.folder.join(name).display().to_string(),
                None => (*word).to_owned(),
            })
            .collect();
        let data = self.folder.join("data");
        output.text(&format!("$ waag --data {} {}\n", data.display(), words.join(" ")))?;
        output.flush()?;
        let status = Command::new(program)
            .arg("--data")
            .arg(&data)
            .args(&words)
            .stdin(Stdio::null())
            .status()
            .map_err(failed)?;
        Ok(status.code())
    }
}

fn first_segment(data: &Path) -> Option<PathBuf> {
    let folder = data.join("default").join("log");
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    names.retain(|path| path.extension().is_some_and(|kind| kind == "seg"));
    names.sort();
    names.into_iter().next()
}

fn events_of_the_tour() -> Vec<u8> {
    let mut lines = Vec::new();
    for (stage, name) in STAGES.iter().enumerate() {
        for invoice in 0..INVOICES {
            let (amount, day) = (1_250 + invoice * 7_919 % 90_000, 1 + invoice % 28);
            // Writing into a Vec cannot fail.
            drop(writeln!(
                lines,
                r#"{{"specversion":"1.0","id":"{name}-{invoice}","source":"/erp/tour","type":"invoice.{name}","subject":"INV-{invoice:04}","time":"2026-11-{day:02}T0{stage}:30:00Z","data":{{"invoice_id":"INV-{invoice:04}","amount_minor":{amount},"currency":"EUR","status":"{name}"}}}}"#
            ));
        }
    }
    lines
}
