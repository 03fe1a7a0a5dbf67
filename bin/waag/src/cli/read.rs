//! `waag read`: recorded events as far as their keys are there, personal fields masked unless a reason is given.
//!
//! A reveal is recorded before anything is shown: who asked, why, and for which positions.

use std::ops::ControlFlow;

use waag_engine::reader::ReadFault;
use waag_entry::form::Entry;
use waag_ledger::hash::leaf_hash;
use waag_log::contract::FrameView;
use waag_model::ids::Position;
use waag_model::value::Value;

use super::failure::{Exit, Failure};
use super::output::{Output, tell};
use super::setting::Setting;
use crate::store::beside::REVEALED;
use crate::store::error::StoreError;
use crate::store::lines::Lines;
use crate::store::own::own_event;
use crate::store::reader::{OpenedReader, open_reader};
use crate::store::subjects::reason::checked;
use crate::store::subjects::report::{refuse_named, refuse_restricted};

const HELP: &str = "\
One JSON object a line: `position`, `leaf_hash`, `accepted`, `actor`, `type`, and `event` in the CloudEvents JSON format.
`masked` lists the places (JSON Pointers) of which at most the last four characters are shown; with --reveal REASON
everything is shown, and an event with the actor, the reason and the positions is recorded before; where another
process writes the store, that process is asked to record it. A reason is one line that names nobody (E0730).
A span with a person in it whose data is restricted (`waag subject restrict`) is not revealed.
`erased` lists the parts whose keys were destroyed, `withheld` those whose keys are not in this copy of the store, `missing`
the places that stood in them.

Example:
  waag read --from 100 --count 20
  waag read --position 42 --reveal \"ticket 4711, customer asked\"";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The first position; 0 where not given
    #[arg(long, value_name = "N", conflicts_with = "position")]
    from: Option<u64>,

    /// How many events; up to the newest where not given
    #[arg(long, value_name = "N", conflicts_with = "position")]
    count: Option<u64>,

    /// This event only
    #[arg(long, value_name = "N")]
    position: Option<u64>,

    /// Show personal fields, for this reason, which is recorded
    #[arg(long, value_name = "REASON")]
    reveal: Option<String>,

    /// With --reveal: all events, where neither --position nor --from nor --count says which
    #[arg(long, requires = "reveal", conflicts_with_all = ["position", "from", "count"])]
    everything: bool,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let says_which =
        args.everything || args.position.is_some() || args.from.is_some() || args.count.is_some();
    if args.reveal.is_some() && !says_which {
        return Err(Failure::usage(
            "--reveal needs --position, --from or --count, or --everything to show all fields of the whole ledger",
        ));
    }
    // What cannot be recorded is refused before anything is read.
    let reveal = args.reveal.as_deref().map(checked).transpose()?;
    let (place, options) = (setting.place()?, setting.options()?);
    let mut store = open_reader(&place, &options)?;
    let (from, to) = range(args, store.end())?;
    if let Some(reason) = reveal {
        refuse_restricted(&store.reader, from, to)?;
        refuse_named(&store.reader, from, to, reason)?;
        drop(store);
        record_reveal(setting, reason, from, to)?;
        store = open_reader(&place, &options)?;
    }
    for fault in &store.schema_faults {
        tell(&format!("warning: {}: {fault}", fault.code()));
    }
    show(&store, from, to, args.reveal.is_some(), output)?;
    Ok(Exit::Done)
}

/// The positions asked for: the first, and the one after the last.
fn range(args: &Args, end: Position) -> Result<(Position, Position), Failure> {
    let (from, count) = match args.position {
        Some(position) => (position, Some(1)),
        None => (args.from.unwrap_or_default(), args.count),
    };
    let is_beyond = from > end.0 || (args.position.is_some() && from >= end.0);
    if is_beyond {
        return Err(ReadFault::Beyond(Position(from)).into());
    }
    let to = count.map_or(end.0, |count| from.saturating_add(count).min(end.0));
    Ok((Position(from), Position(to)))
}

fn record_reveal(setting: &Setting, reason: &str, from: Position, to: Position) -> Result<(), Failure> {
    let data = vec![
        ("reason", Value::Text(reason.into())),
        ("from", Value::Integer(from.0.into())),
        ("to", Value::Integer(to.0.into())),
    ];
    let event = own_event(REVEALED, None, data)
        .map_err(|_| StoreError::Keys(waag_keys::error::KeysError::Entropy))?;
    let position = setting.record(&event)?;
    tell(&format!("note: this reveal is recorded at position {position}"));
    Ok(())
}

fn show(
    store: &OpenedReader,
    from: Position,
    to: Position,
    reveal: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    if from >= to {
        return Ok(());
    }
    let mut lines = Lines::new(store, reveal);
    let mut failed = None;
    let mut look = |frame: FrameView<'_>| {
        for (position, bytes) in frame.entries().filter(|(position, _)| *position >= from) {
            if position >= to {
                return ControlFlow::Break(());
            }
            if let Err(failure) = show_one(&mut lines, position, bytes, output) {
                failed = Some(failure);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    };
    store.reader.log.read(from, &mut look).map_err(ReadFault::Log)?;
    failed.map_or(Ok(()), Err)
}

fn show_one(
    lines: &mut Lines<'_>,
    position: Position,
    bytes: &[u8],
    output: &mut Output,
) -> Result<(), Failure> {
    let entry = Entry::read(bytes).map_err(ReadFault::Entry)?;
    output.json(&lines.line(position, leaf_hash(bytes), None, &entry)?)
}
