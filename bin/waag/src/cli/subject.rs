//! `waag subject`: what is held about a person, erasing and restricting it, and what has been kept long enough.
//!
//! A running node is asked to do it; otherwise the store is opened here. Not here: what is done (`store::subjects`).

mod report;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use serde::de::DeserializeOwned;
use waag_keys::keyring::PERSON_BYTES_MAX;
use waag_keys::retention::{RETENTION_FILE_BYTES_MAX, Retention};
use waag_model::ids::Actor;
use zeroize::Zeroizing;

use super::failure::{CliError, Exit, Failure};
use super::input::Input;
use super::mask::mask_person;
use super::output::{Output, tell};
use super::setting::Setting;
use crate::node::deliveries::Given;
use crate::node::deliveries::held::Head;
use crate::node::subjects::{Asked, carry_out};
use crate::store::beside::{AskError, ask_doors};
use crate::store::error::StoreError;
use crate::store::reader::{OpenedReader, open_reader};
use crate::store::subjects::told::{Erased, Expired, Restricted, Row, Standing};
use crate::store::subjects::{self, Order, SubjectsError, rules};
use crate::store::writer::{OpenedStore, open_writer};

/// How often a store that another process writes is tried again.
const TRIES_MAX: u32 = 40;
/// The wait between two of these, in milliseconds.
const TRY_DELAY_MS: u64 = 50;
/// Most erasures that are listed.
const LISTED_MAX: usize = 1_000;
/// What a class's years are counted from.
const PER_YEAR: &str = "after the end of the period";

const HELP: &str = "\
The person's id is what the schema's `x-data-subject` finds, with `<kind>:` before it where the
schema has a `x-data-subject-kind`; for types without a schema it is the event's `subject`. With
`-` the id is the first line of standard input, so that it stands in no list of processes. What
is recorded names nobody: a keyed tag stands for the person. How long each class is kept, and by
which law, is in the retention file: the shipped one until --retention names another, which then
stays in use. See docs/guides/persons.md.

Example:
  waag subject report --person customer:4711
  waag subject erase --person customer:4711 --reason \"request 2026-118\"
  waag subject retention --json";

const REPORT_HELP: &str = "\
Reads the whole ledger, and after a promotion those before it too; each entry is named with its
ledger. With --earlier ID that one alone is read. Values are masked; with --reveal they are
shown, and who asked and why is recorded before. With --out the person's copy (GDPR art. 15(3)) is written into a folder:
`report.json` and `entries.jsonl`, one entry a line.

Example:
  waag subject report --person customer:4711 --json
  waag subject report --person customer:4711 --reveal --reason \"request 2026-117\" --out copy";

const ERASE_HELP: &str = "\
Destroys the keys of every class whose retention allows it, so that what they sealed is
unreadable for ever; entries, proofs and checkpoints stay as they are. What a law keeps is
restricted from here on and destroyed when its years are over (GDPR art. 17(3)(b), art. 18).
Data that somebody asked to be restricted is not erased (E0735; art. 17(3)(e), art. 18(1)(c))
without --despite-restriction and a reason; that restriction then ends.
`complete` is when the last backup of the keys has expired. Exit code 1: a law keeps something,
or nothing is and was held about the person.

Example:
  waag subject erase --person customer:4711 --dry-run
  waag subject erase --person customer:4711 --reason \"request 2026-118\"";

const RESTRICT_HELP: &str = "\
What is restricted is stored on and revealed or disclosed to nobody (E0557), and no sweep or
erasure destroys it. Asked for again, the later end holds, and both reasons are listed.

Example:
  waag subject restrict --person customer:4711 --reason \"case 31\" --until 2027-06-30";

const UNRESTRICT_HELP: &str = "\
Example:
  waag subject unrestrict --person customer:4711 --reason \"case 31 closed\"";

const EXPIRE_HELP: &str = "\
A running node does this once a day. Only persons' keys are destroyed; what is nobody's stays.

Example:
  waag subject expire --dry-run
  waag subject expire";

const LIST_HELP: &str = "\
Example:
  waag subject list --json";

const RETENTION_HELP: &str = "\
Example:
  waag subject retention
  waag subject retention --retention retention.toml";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// A retention file to use from now on; recorded in the ledger where it is another one than before
    #[arg(long, value_name = "FILE", global = true)]
    retention: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell what the tenant holds about a person (GDPR art. 15)
    #[command(after_help = REPORT_HELP)]
    Report(report::Args),
    /// Erase a person as far as no law keeps the data (GDPR art. 17)
    #[command(after_help = ERASE_HELP)]
    Erase(Erase),
    /// Keep a person's data and show it to nobody (GDPR art. 18)
    #[command(after_help = RESTRICT_HELP)]
    Restrict(Restrict),
    /// Lift a restriction
    #[command(after_help = UNRESTRICT_HELP)]
    Unrestrict(Who),
    /// Destroy persons' keys whose retention is over
    #[command(after_help = EXPIRE_HELP)]
    Expire {
        /// Say what would be done, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// List restrictions, erasures and sweeps
    #[command(after_help = LIST_HELP)]
    List,
    /// Show the retention classes that are in use
    #[command(after_help = RETENTION_HELP)]
    Retention,
}

#[derive(Debug, clap::Args)]
struct Who {
    /// The person's id; `-` reads it from standard input
    #[arg(long, value_name = "ID")]
    person: String,

    /// Why; recorded, so it must not name the person
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, clap::Args)]
struct Erase {
    /// The person's id; `-` reads it from standard input
    #[arg(long, value_name = "ID")]
    person: String,

    /// Why; recorded, so it must not name the person
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,

    /// Erase also what somebody asked to be kept (`waag subject restrict`), for this reason, which is recorded
    #[arg(long, value_name = "REASON")]
    despite_restriction: Option<String>,

    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
struct Restrict {
    #[command(flatten)]
    who: Who,

    /// The last day, as 2034-12-31; until it is lifted where not given
    #[arg(long, value_name = "DATE")]
    until: Option<String>,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    if let Some(path) = &args.retention {
        use_retention(setting, path)?;
    }
    match &args.command {
        Command::Report(args) => report::run(setting, args, output),
        Command::Erase(args) => erase(setting, args, output),
        Command::Restrict(args) => {
            let until = args.until.clone();
            let done: Restricted = order(setting, &args.who, |by, person, reason| Asked::Restrict {
                by,
                person,
                reason,
                until,
            })?;
            if args.until.as_ref().is_some_and(|asked| done.until.as_ref() != Some(asked)) {
                tell("note: a restriction that holds longer stays; `waag subject unrestrict` lifts it first");
            }
            tell_restricted(setting, &done, output, "restricted")
        }
        Command::Unrestrict(who) => {
            let done = order(setting, who, |by, person, reason| Asked::Unrestrict { by, person, reason })?;
            tell_restricted(setting, &done, output, "not restricted any more")
        }
        Command::Expire { dry_run } => expire(setting, *dry_run, output),
        Command::List => list(setting, output),
        Command::Retention => retention(setting, output),
    }
}

/// A person's id as it was given; from standard input for `-`.
fn person(given: &str) -> Result<Given, Failure> {
    if given != "-" {
        return Ok(Given(Zeroizing::new(given.to_owned())));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(PERSON_BYTES_MAX + 2));
    let most = PERSON_BYTES_MAX as u64 + 2;
    let failed = |source| CliError::Input { name: "standard input".to_owned(), source };
    std::io::stdin().lock().take(most).read_to_end(bytes.as_mut()).map_err(failed)?;
    let line = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| Failure::usage("the person's id is not UTF-8"))?;
    Ok(Given(Zeroizing::new(line.to_owned())))
}

/// Reads a retention file, and refuses one that cannot be used before anything is asked or opened for it.
fn read_retention(path: &Path) -> Result<String, Failure> {
    let bytes = Input::of(path).up_to(RETENTION_FILE_BYTES_MAX + 1)?;
    let text =
        String::from_utf8(bytes).map_err(|_| Failure::usage(format!("`{}` is not UTF-8", path.display())))?;
    Retention::read(&text).map_err(SubjectsError::Retention)?;
    Ok(text)
}

/// Puts a node's retention file into use, where it is given one, and says which classes have no rule.
pub(super) fn serve_retention(store: &OpenedStore, path: Option<&Path>, by: &Actor) -> Result<(), Failure> {
    if let Some(path) = path {
        rules::set(store, by, &read_retention(path)?)?;
    }
    let retention = rules::in_use(&store.keyring)?;
    tell_classes(&rules::unknown(&retention, &store.schemas().records, &store.sealer.registry()));
    Ok(())
}

/// Puts a retention file into use.
fn use_retention(setting: &Setting, path: &Path) -> Result<(), Failure> {
    let text = read_retention(path)?;
    let by = setting.actor()?.as_str().to_owned();
    let position: Option<u64> = ask_or_do(setting, &Asked::SetRetention { by, text })?;
    if let Some(position) = position {
        tell(&format!("note: this retention file is in use, and recorded at position {position}"));
    }
    Ok(())
}

/// Asks for an order about a person; what cannot be recorded is refused before anything is asked or opened.
fn order<T: DeserializeOwned>(
    setting: &Setting,
    who: &Who,
    asked: impl FnOnce(String, Given, String) -> Asked,
) -> Result<T, Failure> {
    let (by, person) = (setting.actor()?, person(&who.person)?);
    Order { person: &person.0, reason: &who.reason, by: &by }.check()?;
    ask_or_do(setting, &asked(by.as_str().to_owned(), person, who.reason.clone()))
}

/// Asks the node that has the store open, or opens it and does it here.
fn ask_or_do<T: DeserializeOwned>(setting: &Setting, asked: &Asked) -> Result<T, Failure> {
    let (place, options) = (setting.place()?, setting.options()?);
    let mut tries = 0;
    loop {
        if let Some(answer) = ask(&place, asked)? {
            return read_answer(&answer);
        }
        match open_writer(&place, &options, &mut |_, _| {}) {
            Ok(store) => return read_answer(&carry_out(&store, asked)?),
            // It starts, or ends, or is one of the commands that are done soon.
            Err(StoreError::InUse) if tries < TRIES_MAX => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(TRY_DELAY_MS));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn read_answer<T: DeserializeOwned>(answer: &str) -> Result<T, Failure> {
    serde_json::from_str(answer).map_err(|error| AskError::NoAnswer(std::io::Error::other(error)).into())
}

/// The whole answer of a running node; none where no desk is open.
fn ask(place: &crate::store::place::Place, asked: &Asked) -> Result<Option<String>, Failure> {
    let broken = |why: String| Failure::from(AskError::NoAnswer(std::io::Error::other(why)));
    let mut question = serde_json::to_string(asked).map_err(|error| broken(error.to_string()))?;
    let mut whole = String::new();
    loop {
        let Some(told) = ask_doors(place, &question)? else { return Ok(None) };
        let (head, piece) = told.split_once('\n').ok_or_else(|| broken("it has no head".to_owned()))?;
        whole.push_str(piece);
        match serde_json::from_str(head).map_err(|error| broken(error.to_string()))? {
            Head::Last => return Ok(Some(whole)),
            Head::Refused(refused) => return Err(refused.into()),
            Head::Held { answer, next } if next == whole.len() => {
                let more = Asked::More { answer, from: next };
                question = serde_json::to_string(&more).map_err(|error| broken(error.to_string()))?;
            }
            Head::Held { .. } => return Err(broken("its pieces do not fit together".to_owned())),
        }
    }
}

/// Says which classes have no rule.
fn tell_unknown(store: &OpenedReader) -> Result<(), Failure> {
    let retention = rules::in_use(&store.keyring)?;
    tell_classes(&rules::unknown(&retention, &store.schemas, &store.reader.registry));
    Ok(())
}

fn tell_classes(unknown: &BTreeSet<String>) {
    for class in unknown {
        tell(&format!(
            "warning: the retention file has no class `{class}`, which a schema names; that of `business` holds for it"
        ));
    }
}

fn erase(setting: &Setting, args: &Erase, output: &mut Output) -> Result<Exit, Failure> {
    let store = open_reader(&setting.place()?, &setting.options()?)?;
    tell_unknown(&store)?;
    let given = person(&args.person)?;
    let done: Erased = if args.dry_run {
        subjects::planned(&store.keyring, &given.0, setting.options()?.clock.now())?
    } else {
        // Readers hold old bytes of the state.
        drop(store);
        let by = setting.actor()?;
        let reason = args.reason.clone().unwrap_or_default();
        Order { person: &given.0, reason: &reason, by: &by }.check()?;
        let despite_restriction = args.despite_restriction.clone();
        if let Some(despite) = &despite_restriction {
            Order { person: &given.0, reason: despite, by: &by }.check()?;
        }
        let by = by.as_str().to_owned();
        ask_or_do(setting, &Asked::Erase { by, person: given.clone(), reason, despite_restriction })?
    };
    let is_known = !done.erased.is_empty() || !done.kept.is_empty();
    let is_unknown = !is_known && !tell_none_held(setting, &done.person)?;
    if done.held {
        tell(
            "warning: readers still hold old bytes of the state; a running node removes them when these have ended, else the next `waag subject` does",
        );
    }
    output.answer(&done, || erased_text(&done, &heading(&given.0, &done.person)))?;
    Ok(if done.kept.is_empty() && !is_unknown { Exit::Done } else { Exit::Refused })
}

/// A person as an answer names them: kind, masked id, and the tag by which lists and events know them.
fn heading(person: &str, tag: &str) -> String {
    let kind = person.split_once(':').map(|(kind, _)| format!("{kind}:")).unwrap_or_default();
    format!("{kind}{}  {tag}", mask_person(person))
}

/// Says why nothing is held of a person: when they were erased, or that perhaps they were never known; whether they were.
pub(super) fn tell_none_held(setting: &Setting, tag: &str) -> Result<bool, Failure> {
    let store = open_reader(&setting.place()?, &setting.options()?)?;
    let recent = subjects::recent(&store.keyring, usize::MAX)?;
    let Some(before) = recent.iter().find(|done| done.person.as_deref() == Some(tag) && done.keys > 0) else {
        tell("note: nothing is held about this person; was the id right, with its kind before it?");
        return Ok(false);
    };
    let at = before.erased_at.as_ref().unwrap_or(&before.at);
    let recorded = before.position.map(|position| format!(", recorded at position {position}"));
    tell(&format!(
        "note: nothing is held about this person any more: erased {at}{}",
        recorded.unwrap_or_default()
    ));
    Ok(true)
}

/// A number of keys in words.
fn keys(number: u64) -> String {
    format!("{number} {}", if number == 1 { "key" } else { "keys" })
}

fn row_text(row: &Row) -> String {
    format!("  {}  {}  {}  {}\n", row.class, row.period, keys(row.keys), row.holds)
}

fn erased_text(done: &Erased, person: &str) -> String {
    let mut text = String::new();
    let verb = if done.dry_run { "would be destroyed" } else { "destroyed" };
    text.push_str(&format!("{person}: {} {verb}\n", keys(done.keys)));
    for row in &done.erased {
        text.push_str(&row_text(row));
    }
    if let Some(Standing { since, until, reason, .. }) = &done.restriction {
        let until = until.as_deref().unwrap_or("it is lifted");
        text.push_str(&format!(
            "restricted on request since {since} until {until}: {reason}\n  refused without --despite-restriction REASON\n"
        ));
    }
    if let Some(at) = &done.erased_at {
        text.push_str(&format!("erased    {at}\n"));
    }
    match (&done.complete_at, done.keys) {
        (Some(at), 1..) => text.push_str(&format!("complete  {at}\n")),
        (None, 1..) => text.push_str("complete  not known: the record of a backup cannot be read\n"),
        (_, 0) => {}
    }
    for row in &done.kept {
        text.push_str(&format!(
            "restricted until {}: {} of {}, {}\n",
            row.until, row.class, row.period, row.holds
        ));
        for law in &row.law {
            text.push_str(&format!("  {law}\n"));
        }
    }
    for pack in &done.packs {
        let (digest, made, by) = (&pack.digest, &pack.made, &pack.by);
        text.push_str(&format!("handed out before: pack {digest}, made {made} by {by}\n"));
    }
    for export in &done.exports {
        text.push_str(&format!("handed out before: {}\n", export.line()));
    }
    for (what, position) in [("the erasure", done.position), ("the refusal", done.refused_position)] {
        if let Some(position) = position {
            text.push_str(&format!("{what} is recorded at position {position}\n"));
        }
    }
    text
}

fn tell_restricted(
    setting: &Setting,
    done: &Restricted,
    output: &mut Output,
    what: &str,
) -> Result<Exit, Failure> {
    if !done.is_known {
        tell_none_held(setting, &done.person)?;
    }
    output.answer(done, || {
        let until = done.until.as_ref().map(|day| format!(" until {day}")).unwrap_or_default();
        format!("{what}{until}; recorded at position {}\n", done.position)
    })?;
    Ok(Exit::Done)
}

fn expire(setting: &Setting, dry_run: bool, output: &mut Output) -> Result<Exit, Failure> {
    let mut all = Expired::default();
    if dry_run {
        let options = setting.options()?;
        let store = open_reader(&setting.place()?, &options)?;
        tell_unknown(&store)?;
        all = subjects::expiring(&store.keyring, options.clock.now())?;
    } else {
        let by = setting.actor()?.as_str().to_owned();
        loop {
            let done: Expired = ask_or_do(setting, &Asked::Expire { by: by.clone() })?;
            all.keys = all.keys.saturating_add(done.keys);
            all.restricted = done.restricted;
            all.positions.extend(done.positions);
            if !done.more {
                break;
            }
        }
    }
    output.answer(&all, || {
        let verb = if dry_run { "would be destroyed" } else { "destroyed" };
        let more = if all.more { " and more" } else { "" };
        format!(
            "{}{more} {verb}; {} kept, since their persons' data is restricted\n",
            keys(all.keys),
            keys(all.restricted)
        )
    })?;
    Ok(Exit::Done)
}

/// A line of the list.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Restriction {
        person: String,
        #[serde(flatten)]
        standing: &'a subjects::told::Standing,
    },
    Erasure(&'a subjects::told::Done),
}

fn list(setting: &Setting, output: &mut Output) -> Result<Exit, Failure> {
    let options = setting.options()?;
    let store = open_reader(&setting.place()?, &options)?;
    let (today, mut after) = (options.clock.now().day(), None);
    loop {
        let some = store.keyring.restrictions(after, 256)?;
        let Some((last, _)) = some.last() else { break };
        after = Some(*last);
        for (tag, restriction) in some.iter().filter(|(_, restriction)| restriction.holds_on(today)) {
            let (standing, person) = (subjects::standing(restriction), subjects::tag_text(*tag));
            output.answer(&Line::Restriction { person: person.clone(), standing: &standing }, || {
                let until = standing.until.as_deref().unwrap_or("it is lifted");
                let (since, reason) = (&standing.since, &standing.reason);
                let by_law = if standing.by_law { ", by law" } else { "" };
                format!("restricted  {person}  since {since} until {until}{by_law}: {reason}\n")
            })?;
        }
    }
    for done in subjects::recent(&store.keyring, LISTED_MAX)? {
        output.answer(&Line::Erasure(&done), || {
            let whose = done.person.as_deref().unwrap_or("expired");
            let state = if done.pending { "to be finished" } else { "done" };
            let what = if done.keys == 0 && done.refused_position.is_some() { "refused" } else { "erased" };
            format!("{what:<10}  {whose}  {}  {}  {state}: {}\n", keys(done.keys), done.at, done.reason)
        })?;
    }
    Ok(Exit::Done)
}

fn retention(setting: &Setting, output: &mut Output) -> Result<Exit, Failure> {
    let store = open_reader(&setting.place()?, &setting.options()?)?;
    tell_unknown(&store)?;
    for class in rules::classes(&rules::in_use(&store.keyring)?) {
        output.answer(&class, || {
            let law: String = class.law.iter().map(|law| format!("  {law}\n")).collect();
            format!(
                "{}  {} years {PER_YEAR}, {}: {}\n{law}",
                class.class, class.years, class.erasure, class.holds
            )
        })?;
    }
    Ok(Exit::Done)
}
