//! `waag evidence export`: makes a pack, has it recorded, and puts it in its place.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use waag_model::ids::Position;
use waag_model::text::in_line;
use waag_model::time::UtcNanos;
use waag_pattern::limits::PATTERN_BYTES_MAX;

use crate::cli::deliveries::many;
use crate::cli::deliveries::which::time;
use crate::cli::explain;
use crate::cli::failure::{Exit, Failure};
use crate::cli::input::Input;
use crate::cli::key::ask_or_do;
use crate::cli::output::{Output, progress, tell};
use crate::cli::setting::Setting;
use crate::evidence::Source;
use crate::evidence::asked::{Asked, Selection};
use crate::evidence::make::{Survey, make, survey};
use crate::evidence::placed::{must_be_free, write_aside};
use crate::evidence::record::{self, Handed, Told};
use crate::store::beside::AskError;
use crate::store::reader::open_reader;

const HELP: &str = "\
Conditions are combined: an entry must meet all of them. Common parts are opened in the pack; persons' parts stay closed,
unless --reveal says why they are opened: those of --subject where a person is selected, else those of everybody in the
selected entries. What is handed out are secrets of single parts, never keys. The pack is recorded in the ledger, with its
digest, who made it and why, before the file is in its place; while `waag serve` runs, it is asked to record it.

Example:
  waag evidence export invoice-7.zip --invoice INV-7 --reason \"audit 2026-4\"
  waag evidence export q3.zip --positions 1000-2000 --reason \"audit: everything in between\"
  waag evidence export p.zip --subject contact:c-17 --reason \"case 26/1934\" --reveal \"ordered\"
  waag evidence export any.zip --type invoice.posting --from 2026-01-01 --last 100 --dry-run";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// Where the pack is put; nothing may be there. Name it `….zip`
    out: PathBuf,

    /// Events of this invoice
    #[arg(long, value_name = "ID")]
    invoice: Option<String>,

    /// Events about this person, by the id that their schema names, with its kind before it: `contact:c-17`
    #[arg(long, value_name = "PERSON")]
    subject: Option<String>,

    /// Events accepted at this time or later (RFC 3339, or a day in UTC)
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<UtcNanos>,

    /// Events accepted before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<UtcNanos>,

    /// Events from position A to position B, both included; alone, it proves that nothing in between is missing
    #[arg(long, value_name = "A-B", value_parser = span)]
    positions: Option<(Position, Position)>,

    /// Events of this type; may be given several times
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,

    /// Events whose common part matches the event pattern in this file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pattern: Option<PathBuf>,

    /// The newest N of them
    #[arg(long, value_name = "N")]
    last: Option<u64>,

    /// Why the pack is made; it stands in the pack and in the ledger, and names nobody
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,

    /// Open persons' parts too, for this reason, which is recorded
    #[arg(long, value_name = "REASON")]
    reveal: Option<String>,

    /// Use data of restricted persons all the same, for this reason (GDPR art. 18(2)), which is recorded
    #[arg(long, value_name = "REASON")]
    despite_restriction: Option<String>,

    /// All events, where no condition says which
    #[arg(long, conflicts_with_all = ["invoice", "subject", "from", "to", "positions", "types", "pattern", "last"])]
    everything: bool,

    /// Count the events by type and make nothing
    #[arg(long)]
    dry_run: bool,
}

/// A span of positions such as `1000-2000`, or a single one.
fn span(text: &str) -> Result<(Position, Position), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let read = |text: &str| text.parse().ok().map(Position);
    read(first)
        .zip(read(last))
        .filter(|(first, last)| first <= last)
        .ok_or_else(|| "is a span of positions such as `1000-2000`".to_owned())
}

/// A dry run as programs read it.
#[derive(Serialize)]
struct SurveyJson<'a> {
    entries: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    positions: Option<(u64, u64)>,
    types: &'a BTreeMap<String, u64>,
}

/// A pack as programs read it.
#[derive(Serialize)]
struct MadeJson<'a> {
    file: String,
    position: u64,
    #[serde(flatten)]
    pack: &'a Handed,
}

impl Args {
    fn selection(&self) -> Result<Selection, Failure> {
        let pattern = match &self.pattern {
            None => None,
            Some(path) => {
                let bytes = Input::of(path).up_to(PATTERN_BYTES_MAX)?;
                let text = String::from_utf8(bytes)
                    .map_err(|_| Failure::usage(format!("`{}` is no UTF-8", path.display())))?;
                Some(text)
            }
        };
        Ok(Selection {
            invoice: self.invoice.clone(),
            person: self.subject.clone(),
            from: self.from,
            to: self.to,
            positions: self.positions,
            types: self.types.clone(),
            pattern,
            last: self.last,
        })
    }
}

pub(super) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let selection = args.selection()?;
    let asked = Asked {
        selection,
        reason: args.reason.clone().unwrap_or_default(),
        reveal: args.reveal.clone(),
        despite_restriction: args.despite_restriction.clone(),
        by: setting.actor()?,
    };
    if asked.selection.is_everything() && !args.everything && !args.dry_run {
        return Err(Failure::usage(
            "no condition is given: say which events, or --everything to open the whole ledger's common parts",
        ));
    }
    let (place, options) = (setting.place()?, setting.options()?);
    if !args.dry_run {
        // What cannot be is said before the log is read.
        asked.check()?;
        setting.must_be_outside(&args.out)?;
        must_be_free(&args.out)?;
    }
    let store = open_reader(&place, &options)?;
    for fault in &store.schema_faults {
        tell(&format!("warning: {}: {fault}", fault.code()));
    }
    let source = Source::of_reader(&store, options.clock.now());
    let bar = progress(Some(store.end().0), "entries");
    let mut heard = |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    };
    if args.dry_run {
        let survey = survey(&source, &asked.selection, &mut heard)?;
        bar.finish_and_clear();
        return show_survey(&survey, output);
    }
    let made = make(&source, &asked, &mut heard)?;
    bar.finish_and_clear();
    // Recorded before the first secret is in a file: a command that is killed leaves a record of a pack that nobody has, and
    // never a pack that nobody knows of.
    let position = recorded(setting, &made.handed)?;
    write_aside(&args.out, &made.handed.event_id, &made.bytes)?.place()?;
    show(args, &made.handed, position, output)
}

fn show_survey(survey: &Survey, output: &mut Output) -> Result<Exit, Failure> {
    let Survey { entries, bytes, types, positions } = survey;
    let json = SurveyJson { entries: *entries, bytes: *bytes, positions: *positions, types };
    output.answer(&json, || {
        let lines = types.iter().map(|(kind, count)| format!("{count:>10}  {}\n", in_line(kind)));
        let span = positions.map_or(String::new(), |(first, last)| format!(", positions {first} to {last}"));
        let whole = format!("{}, {bytes} bytes{span}; nothing was made\n", many(*entries, "event"));
        lines.chain([whole]).collect()
    })?;
    Ok(if *entries == 0 { Exit::Refused } else { Exit::Done })
}

/// Has the pack recorded, by the node that runs or here; the position of its event.
fn recorded(setting: &Setting, handed: &Handed) -> Result<u64, Failure> {
    let question = record::Asked::Record(Box::new(handed.clone()));
    let told = ask_or_do(setting, &question, |store| Ok(Told::Recorded(record::record(store, handed)?.0)))?;
    match told {
        Told::Recorded(position) => Ok(position),
        Told::Refused { code, reason, refusal } => Err(match explain::known(&code) {
            Some(code) => {
                let exit = if refusal { Exit::Refused } else { Exit::Environment };
                Failure { code, reason, exit }
            }
            // A node of another version has codes that this program does not know.
            None => AskError::Refused(format!("{code}: {reason}")).into(),
        }),
    }
}

fn show(args: &Args, handed: &Handed, position: u64, output: &mut Output) -> Result<Exit, Failure> {
    let file = args.out.display().to_string();
    output.answer(&MadeJson { file: file.clone(), position, pack: handed }, || {
        let Handed { entries, first, last, gapless, digest, bytes, parts, .. } = handed;
        let gaps = if *gapless { "without a gap" } else { "with gaps" };
        let text = format!(
            "{file}: {}, positions {first} to {last} {gaps}, {bytes} bytes\n  digest        {digest}\n  recorded at   {position}\n  \
             parts         {} common and {} of persons opened, {} closed, {} erased\n",
            many(*entries, "event"),
            parts.common,
            parts.persons,
            parts.closed,
            parts.erased,
        );
        text
    })?;
    if !output.is_json() {
        tell(
            "note: an outsider checks it with: waag-verify pack PACK.zip --key @ledger.vkey (`waag checkpoint --key`)",
        );
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_two_positions_in_order_or_one() {
        assert_eq!(span("5-7"), Ok((Position(5), Position(7))));
        assert_eq!(span("5"), Ok((Position(5), Position(5))));
        for wrong in ["", "7-5", "a-b", "1-", "-1", "1-2-3"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
