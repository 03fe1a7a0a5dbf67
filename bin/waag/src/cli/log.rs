//! `waag log`: the log as outsiders see it: what is published, who witnessed it, by which keys, and a static copy of it.

mod export;
pub(crate) mod flags;

use clap::Subcommand;
use serde::Serialize;
use waag_ledger::history::KeyState;
use waag_ledger::note::VerifierKey;
use waag_model::time::UtcNanos;

use super::failure::{Exit, Failure, chain};
use super::output::Output;
use super::setting::Setting;
use crate::node::publishing::PublishError;
use crate::node::publishing::keys::key_history;
use crate::node::publishing::record::{cosigned, latest, witnesses};
use crate::node::publishing::status::WitnessStatus;
use crate::node::witnessing::all_witness_keys;
use crate::store::reader::open_reader;

const HELP: &str = "\
A running node publishes the newest checkpoint every second and serves it with its tiles below `/log/`. These commands only
read, and run beside it.

Example:
  waag log show
  waag log keys
  waag log export /var/www/log";

const SHOW_HELP: &str = "\
What a running node knows of its witnesses is kept every few seconds, and shown from there.
Of signatures that are too long for a line, as those of ML-DSA-44 are, the beginning is shown; --json has all of them.

Example:
  waag log show
  waag log show --json";

const KEYS_HELP: &str = "\
Each key that signs or has signed checkpoints of this log, oldest first, with the time in which it may be believed; then the
keys by which this store has been a witness of others. A key is printed in the vkey form, `name+id+base64`; of one that is
too long for a line, as those of ML-DSA-44 are, its name and id, unless --full asks for all of it. --json always has it.

Example:
  waag log keys
  waag log keys --full
  waag log keys --json";

/// Longest public key that is printed whole where nobody asked for it, in characters: any of Ed25519, none of ML-DSA-44.
const VKEY_CHARS_MAX: usize = 512;

/// Longest line of a checkpoint that is printed whole, in characters: any signature by Ed25519, none by ML-DSA-44.
const NOTE_LINE_CHARS_MAX: usize = 512;
/// How much of a longer one is printed, in characters.
const NOTE_LINE_CHARS_SHOWN: usize = 120;

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what is published, how far that is behind, and how the witnesses stand
    #[command(after_help = SHOW_HELP)]
    Show,
    /// List the keys that sign checkpoints, with the time in which each may be believed
    #[command(after_help = KEYS_HELP)]
    Keys {
        /// Print long keys whole
        #[arg(long)]
        full: bool,
    },
    /// Write a static copy of the published log, or bring one up to date
    #[command(after_help = export::HELP)]
    Export(export::Args),
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        let is_callers = matches!(
            error,
            PublishError::PolicyFile(_)
                | PublishError::Policy(_)
                | PublishError::Witness(_)
                | PublishError::Key(..)
        );
        let exit = if is_callers { Exit::Usage } else { Exit::Environment };
        Self { code: error.code(), reason: chain(&error), exit }
    }
}

#[derive(Serialize)]
struct Shown {
    origin: String,
    /// Entries under the published checkpoint; none before the first one.
    published: Option<u64>,
    published_at: Option<String>,
    guarded: u64,
    lag: u64,
    taken_back: bool,
    cosigned: Option<u64>,
    cosigned_at: Option<String>,
    checkpoint: Option<String>,
    witnesses: Vec<WitnessJson>,
}

#[derive(Serialize)]
struct WitnessJson {
    name: String,
    url: Option<String>,
    vkey: String,
    size: u64,
    cosigned_at: Option<String>,
    asked_at: Option<String>,
    answer: String,
    failures: u32,
    alarm: Option<AlarmJson>,
}

#[derive(Serialize)]
struct AlarmJson {
    code: &'static str,
    reason: String,
    at: String,
}

#[derive(Serialize)]
struct KeyJson {
    vkey: String,
    /// The same for people.
    #[serde(skip)]
    line: String,
    algorithm: String,
    state: &'static str,
    from: Option<String>,
    until: Option<String>,
    /// `log` or `witness`.
    of: &'static str,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    match &args.command {
        Command::Show => show(setting, output),
        Command::Keys { full } => keys(setting, *full, output),
        Command::Export(args) => export::run(setting, args, output),
    }
}

fn time(time: Option<UtcNanos>) -> Option<String> {
    time.map(|time| time.to_string())
}

fn witness(status: WitnessStatus) -> WitnessJson {
    WitnessJson {
        answer: status.answer.to_string(),
        alarm: status.alarm.map(|alarm| AlarmJson {
            code: alarm.code(),
            reason: alarm.to_string(),
            at: alarm.at.to_string(),
        }),
        name: status.name,
        url: status.url,
        vkey: status.vkey,
        size: status.size,
        cosigned_at: time(status.cosigned_at),
        asked_at: time(status.asked_at),
        failures: status.failures,
    }
}

fn show(setting: &Setting, output: &mut Output) -> Result<Exit, Failure> {
    let store = open_reader(&setting.place()?, &setting.options()?)?;
    let guarded = store.checkpoint.checkpoint();
    let of_this = |kept: &crate::node::publishing::record::Kept| kept.origin == guarded.origin;
    let published = latest(&store.keyring)?.filter(of_this);
    let cosigned = cosigned(&store.keyring)?.filter(of_this);
    let size = published.as_ref().map(|kept| kept.size);
    let shown = Shown {
        origin: guarded.origin.clone(),
        published: size,
        published_at: time(published.as_ref().map(|kept| kept.at)),
        guarded: guarded.size,
        lag: guarded.size.saturating_sub(size.unwrap_or(0)),
        taken_back: size.is_some_and(|size| size > guarded.size),
        cosigned: cosigned.as_ref().map(|kept| kept.size),
        cosigned_at: time(cosigned.map(|kept| kept.at)),
        checkpoint: published.map(|kept| kept.note),
        witnesses: witnesses(&store.keyring)?.into_iter().map(witness).collect(),
    };
    output.answer(&shown, || text(&shown))?;
    let is_wrong = shown.taken_back || shown.witnesses.iter().any(|witness| witness.alarm.is_some());
    Ok(if is_wrong { Exit::Refused } else { Exit::Done })
}

fn text(shown: &Shown) -> String {
    let mut out = format!("{}\n", shown.origin);
    match (&shown.published, &shown.published_at) {
        (Some(size), Some(at)) => {
            out.push_str(&format!("published  {size} entries at {at}, {} behind the ledger\n", shown.lag));
        }
        _ => out.push_str(&format!("published  nothing yet, of {} entries\n", shown.guarded)),
    }
    if shown.taken_back {
        out.push_str(&format!(
            "ALARM      the ledger has {} entries only: it was taken back\n",
            shown.guarded
        ));
    }
    if let (Some(size), Some(at)) = (shown.cosigned, &shown.cosigned_at) {
        out.push_str(&format!("cosigned   {size} entries at {at}, as the policy asks\n"));
    }
    for witness in &shown.witnesses {
        let when = witness.asked_at.as_deref().unwrap_or("never");
        out.push_str(&format!(
            "witness    {}  {} entries, asked {when}: {}\n",
            witness.name, witness.size, witness.answer
        ));
        if let Some(alarm) = &witness.alarm {
            out.push_str(&format!("ALARM      {}: {} (since {})\n", alarm.code, alarm.reason, alarm.at));
        }
    }
    if let Some(checkpoint) = &shown.checkpoint {
        out.push('\n');
        checkpoint.lines().for_each(|line| out.push_str(&format!("{}\n", note_line(line))));
    }
    out
}

/// A line of a note as a terminal has room for it: whole, or its beginning and its length.
fn note_line(line: &str) -> String {
    let chars = line.chars().count();
    if chars <= NOTE_LINE_CHARS_MAX {
        return line.to_owned();
    }
    let beginning: String = line.chars().take(NOTE_LINE_CHARS_SHOWN).collect();
    format!("{beginning}… ({chars} characters: `waag log show --json`)")
}

/// A public key as a line has room for it: whole, or its name and id, which every signature by it bears.
pub(super) fn vkey_line(key: &VerifierKey) -> String {
    let whole = key.to_string();
    if whole.len() <= VKEY_CHARS_MAX {
        return whole;
    }
    format!("{}+{} ({} characters: `waag log keys --full`)", key.name(), key.id(), whole.len())
}

fn keys(setting: &Setting, full: bool, output: &mut Output) -> Result<Exit, Failure> {
    let store = open_reader(&setting.place()?, &setting.options()?)?;
    let history = key_history(&store.keyring, &store.ledger)?;
    let line = |key: &VerifierKey| if full { key.to_string() } else { vkey_line(key) };
    let of_log = history.windows().iter().map(|window| KeyJson {
        vkey: window.key.to_string(),
        line: line(&window.key),
        algorithm: window.key.algorithm().to_string(),
        state: match window.state {
            KeyState::Active => "active",
            KeyState::Retired => "retired",
            KeyState::Revoked => "revoked",
        },
        from: Some(UtcNanos(window.from_ns).to_string()),
        until: time(window.until_ns.map(UtcNanos)),
        of: "log",
    });
    let of_witness = all_witness_keys(&store.keyring)?.into_iter().map(|(key, created)| KeyJson {
        vkey: key.to_string(),
        line: line(&key),
        algorithm: key.algorithm().to_string(),
        state: "active",
        from: time(Some(created)),
        until: None,
        of: "witness",
    });
    for key in of_log.chain(of_witness) {
        output.answer(&key, || {
            let until = key.until.as_deref().map(|until| format!(" until {until}")).unwrap_or_default();
            let from = key.from.as_deref().unwrap_or_default();
            format!(
                "{:<7}  {}  {}, from {from}{until}\n         {}\n",
                key.of, key.state, key.algorithm, key.line
            )
        })?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_fits_is_whole_and_of_a_longer_one_the_beginning_is_shown() {
        let most = format!("— log {}", "a".repeat(NOTE_LINE_CHARS_MAX - 6));
        assert_eq!(note_line(&most), most);
        let longer = format!("{most}b");
        let shown = note_line(&longer);
        assert!(shown.starts_with("— log aaa") && shown.chars().count() < 200, "{shown}");
        assert!(shown.ends_with("a… (513 characters: `waag log show --json`)"), "{shown}");
    }
}
