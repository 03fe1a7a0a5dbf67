//! `waag bridge`: streams of NATS that events come in from.
//!
//! Bridges are the work of a running node, so these commands ask it and open no store themselves.
//! Not here: what a bridge does (`node::bridges`), what is asked of the node (`node::bridges::told`).

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::deliveries::{NodeAskError, by, many, read_secret, table};
use super::failure::{Exit, Failure};
use super::output::{Output, tell};
use super::setting::Setting;
use crate::node::bridges::KIND;
use crate::node::bridges::told::{Answer, Asked, Shown};
use crate::node::deliveries::Part;
use crate::store::beside::{AskError, ask_doors};
use waag_model::text::in_line;

const HELP: &str = "\
A bridge follows a stream of NATS JetStream: each of its messages becomes an event, once. A node must run that was started
for the server (`waag serve --nats-server URL`). Each change is an event of the ledger.

Example:
  waag bridge create --name orders --nats nats://127.0.0.1:4222 --stream ORDERS --consumer waag
  waag bridge list
  waag bridge accept-reset orders --reason \"stream was made anew on purpose\"";

const CREATE_HELP: &str = "\
It begins with the stream's first message. A message that is a CloudEvent keeps its `source` and `id`; any other is named
`nats://ORIGIN/STREAM` and by its number, so the origin must stay the same when the server's address does not.

Example:
  waag bridge create --name orders --nats nats://127.0.0.1:4222 --stream ORDERS --consumer waag
  waag bridge create --name o --nats tls://hub --stream O --consumer waag --secret-file login";

const LIST_HELP: &str = "\
Example:
  waag bridge list --json";

const SHOW_HELP: &str = "\
Example:
  waag bridge show orders";

const PAUSE_HELP: &str = "\
Messages wait in the stream, as long as it keeps them.

Example:
  waag bridge pause orders";

const RESUME_HELP: &str = "\
It goes on from where it is. A stream that is another one than before stops it again (`waag bridge accept-reset`).

Example:
  waag bridge resume orders";

const ACCEPT_HELP: &str = "\
The stream as it is now is read from its first message on, under identities of a new generation. CloudEvents keep theirs, so
those that were recorded are not recorded again.

Example:
  waag bridge accept-reset orders --reason \"stream was made anew on purpose\"";

const REMOVE_HELP: &str = "\
Without --yes it says what would be removed, and changes nothing. What was recorded stays. The consumer stays at the server, and keeps its messages from being removed where the stream is a
work queue.

Example:
  waag bridge remove orders --yes";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a bridge, and start it
    #[command(after_help = CREATE_HELP)]
    Create(Create),
    /// List bridges and how they stand
    #[command(after_help = LIST_HELP)]
    List,
    /// Show one bridge: what it is, how far, what came of messages
    #[command(after_help = SHOW_HELP)]
    Show {
        /// The bridge
        name: String,
    },
    /// Pause a bridge
    #[command(after_help = PAUSE_HELP)]
    Pause {
        /// The bridge
        name: String,
    },
    /// Let a bridge go on that is paused or has stopped
    #[command(after_help = RESUME_HELP)]
    Resume {
        /// The bridge
        name: String,
    },
    /// Let a bridge go on with a stream that was made anew or went back
    #[command(after_help = ACCEPT_HELP)]
    AcceptReset {
        /// The bridge
        name: String,

        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Remove a bridge
    #[command(after_help = REMOVE_HELP)]
    Remove {
        /// The bridge
        name: String,

        /// Do it; what would be removed is said where not given
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Its name: lower-case letters, digits and hyphens, beginning with a letter
    #[arg(long)]
    name: String,

    /// The server: `nats://host:port` or `tls://host:port`
    #[arg(long, value_name = "SERVER")]
    nats: String,

    /// The stream
    #[arg(long)]
    stream: String,

    /// The durable consumer's name, this bridge's alone; it is made where it is not there
    #[arg(long)]
    consumer: String,

    /// What the server or account is called in the identities of events; the server's host where not given
    #[arg(long)]
    origin: Option<String>,

    /// The type of events made of messages that are no CloudEvents
    #[arg(long = "type", value_name = "TYPE", default_value = KIND)]
    kind: String,

    /// A file whose first line is the login: `user:password`, or a token
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let asked = match &args.command {
        Command::List => return list(setting, output),
        Command::Show { name } => Asked::Show { name: name.clone() },
        Command::Create(args) => Asked::Create {
            by: by(setting)?,
            name: args.name.clone(),
            server: args.nats.clone(),
            stream: args.stream.clone(),
            consumer: args.consumer.clone(),
            origin: args.origin.clone(),
            kind: args.kind.clone(),
            secret: read_secret(args.secret_file.as_ref())?,
        },
        Command::Pause { name } => Asked::Pause { by: by(setting)?, name: name.clone() },
        Command::Resume { name } => Asked::Resume { by: by(setting)?, name: name.clone() },
        Command::AcceptReset { name, reason } => {
            Asked::AcceptReset { by: by(setting)?, name: name.clone(), reason: reason.clone() }
        }
        Command::Remove { name, yes } => return remove(setting, name, *yes, output),
    };
    let told: Shown = ask(setting, &asked)?;
    output.answer(&told, || in_full(&told))?;
    Ok(Exit::Done)
}

/// What would be removed.
#[derive(Serialize)]
struct DryRun<'a> {
    bridge: &'a str,
    dry_run: bool,
    recorded: u64,
}

/// What was removed.
#[derive(Serialize)]
struct Removed<'a> {
    bridge: &'a str,
    removed: bool,
}

fn remove(setting: &Setting, name: &str, yes: bool, output: &mut Output) -> Result<Exit, Failure> {
    if !yes {
        let now: Shown = ask(setting, &Asked::Show { name: name.to_owned() })?;
        let told = DryRun { bridge: name, dry_run: true, recorded: now.counts.recorded };
        output.answer(&told, || {
            let Shown { stream, server, .. } = &now;
            let (place, came) = (in_line(&format!("{stream} at {server}")), many(told.recorded, "message"));
            format!("`{name}`, which follows {place}, would be removed; {came} recorded stay in the ledger\n")
        })?;
        if !output.is_json() {
            tell("note: nothing was changed; --yes does it");
        }
        return Ok(Exit::Done);
    }
    let _: Shown = ask(setting, &Asked::Remove { by: by(setting)?, name: name.to_owned() })?;
    output.answer(&Removed { bridge: name, removed: true }, || format!("{name}  removed\n"))?;
    Ok(Exit::Done)
}

fn ask<T: DeserializeOwned>(setting: &Setting, asked: &Asked) -> Result<T, Failure> {
    let no_answer = |why: String| Failure::from(NodeAskError::NoAnswer(why));
    let question = serde_json::to_string(asked).map_err(|error| no_answer(error.to_string()))?;
    let told = match ask_doors(&setting.place()?, &question) {
        Ok(Some(told)) => told,
        Ok(None) => return Err(NodeAskError::NoNode(None).into()),
        Err(AskError::Refused(why)) => return Err(NodeAskError::NoNode(Some(why)).into()),
        Err(AskError::NoAnswer(error)) => return Err(no_answer(error.to_string())),
    };
    match serde_json::from_str(&told).map_err(|error| no_answer(error.to_string()))? {
        Answer::Told(told) => Ok(told),
        Answer::Refused(refused) => Err(refused.into()),
    }
}

fn list(setting: &Setting, output: &mut Output) -> Result<Exit, Failure> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let Part::<Shown> { items, more } = ask(setting, &Asked::List { after })?;
        after = items.last().filter(|_| more).map(|last| last.name.clone());
        all.extend(items);
        if after.is_none() {
            break;
        }
    }
    if output.is_json() {
        all.iter().try_for_each(|one| output.json(one))?;
    } else {
        output.text(&listed(&all))?;
    }
    Ok(Exit::Done)
}

/// How a bridge stands, in a word.
fn standing(shown: &Shown) -> &str {
    match (shown.standing.as_str(), shown.following) {
        ("running", true) => "following",
        ("running", false) => "not connected",
        (other, _) => other,
    }
}

fn listed(all: &[Shown]) -> String {
    let row = |one: &Shown| {
        let counts = &one.counts;
        let passed = counts.conflicts.saturating_add(counts.refused);
        let why = one.code.clone().unwrap_or_default();
        vec![
            one.name.clone(),
            in_line(&one.server),
            one.stream.clone(),
            standing(one).to_owned(),
            one.cursor.sequence.to_string(),
            counts.recorded.to_string(),
            passed.to_string(),
            counts.missing.to_string(),
            in_line(&why),
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    table(
        &["name", "server", "stream", "standing", " at", " recorded", " passed over", " missing", "code"],
        &rows,
    )
}

fn in_full(shown: &Shown) -> String {
    let Shown { name, server, stream, consumer, origin, kind, cursor, counts, .. } = shown;
    let mut text = format!("{name}  {}\n", standing(shown));
    let mut line = |what: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {what:<12}  {}", in_line(&value));
    };
    if let (Some(code), Some(reason)) = (&shown.code, &shown.reason) {
        line("because", format!("{code}: {reason}"));
    }
    line("stream", format!("{stream} at {server}"));
    line("consumer", consumer.clone());
    line("identities", format!("nats://{origin}/{stream}, type {kind}"));
    line(
        "at",
        format!("{}, generation {}, stream made {}", cursor.sequence, cursor.generation, cursor.created),
    );
    line("recorded", format!("{}, of them {} as bytes", counts.recorded, counts.opaque));
    line("before", counts.before.to_string());
    line("passed over", format!("{} conflicts, {} refused", counts.conflicts, counts.refused));
    line("own", format!("{}, published by this ledger's own targets", counts.own));
    line("missing", counts.missing.to_string());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::bridges::Counts;

    #[test]
    fn a_bridge_is_told_with_its_trouble() {
        let text = |text: &str| text.to_owned();
        let shown = Shown {
            name: text("a"),
            server: text("nats://h"),
            stream: text("S"),
            consumer: text("c"),
            origin: text("o"),
            kind: text("k"),
            standing: text("stopped"),
            following: false,
            code: Some(text("E1178")),
            reason: Some(text("the stream\nwas reset")),
            cursor: waag_nats::take::Cursor::default(),
            counts: Counts { recorded: 5, conflicts: 2, refused: 1, ..Counts::default() },
        };
        let full = in_full(&shown);
        assert!(
            full.contains("E1178: the stream was reset") && full.contains("2 conflicts, 1 refused"),
            "{full}"
        );
        let listed = listed(&[shown]);
        let cells: Vec<&str> = listed.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(cells, ["a", "nats://h", "S", "stopped", "0", "5", "3", "0", "E1178"]);
    }
}
