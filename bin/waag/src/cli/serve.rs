//! `waag serve`: runs a node until it is told to end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use waag_model::ids::Position;
use waag_views::progress::Activity;

use super::failure::{Exit, Failure};
use super::output::{Output, progress, tell};
use super::setting::Setting;
use crate::node::api_keys::load;
use crate::node::doors::{Doors, Where};
use crate::node::{NodeOptions, Running};
use crate::store::init::init;

const HELP: &str = "\
A store is made where there is none. Events come in through the first address, with an API key (`waag key create`);
the pages are at the second one, which is on loopback always.
An address beyond loopback needs TLS. SIGTERM and ctrl-c end it in order: what was taken is answered first.

Example:
  waag serve
  waag serve --listen 0.0.0.0:8443 --certificate waag.crt --private-key waag.key";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Where events are taken
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Where the pages are; loopback only
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pages: SocketAddr,

    /// What a new ledger's checkpoints begin with: `NAME/<tenant>/<ledger id>`; it can never be changed
    #[arg(long, value_name = "NAME", default_value = "waag")]
    origin: String,

    /// The certificate chain, in PEM; read again when it changes
    #[arg(long, value_name = "FILE", requires = "private_key")]
    certificate: Option<std::path::PathBuf>,

    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    private_key: Option<std::path::PathBuf>,
}

/// What is told when the doors are open.
#[derive(Serialize)]
struct Open {
    listen: String,
    pages: String,
    origin: String,
    entries: u64,
    process: u32,
}

/// Says that damaged read models were set aside.
pub(crate) fn tell_aside(running: &Running) {
    if let Some(aside) = running.following().aside() {
        tell(&format!(
            "note: the read models were damaged; they are made again from the ledger, the damaged file is `{}`",
            aside.display()
        ));
    }
}

/// Waits for the read models, and says so where they are not there in time or cannot go on.
pub(crate) fn wait_for_views(running: &Running, all: Position, most: Duration) {
    let reached = running.following().progress().wait_for(all, most);
    let behind = all.0.saturating_sub(reached.cursor.position.0);
    match reached.activity {
        Activity::Halted { code, reason } => {
            tell(&format!(
                "warning: the read models stopped {behind} events before the end: {code}: {reason}"
            ));
        }
        Activity::Following | Activity::Stopped if behind > 0 => {
            tell(&format!(
                "note: the read models are {behind} events behind; the next command goes on with them"
            ));
        }
        Activity::Following | Activity::Stopped => {}
    }
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let place = setting.place()?;
    let options = NodeOptions { store: setting.options()?, ..NodeOptions::default() };
    let actor = setting.actor()?;
    if !place.data.exists() && !place.state.exists() {
        let made = init(&place, &args.origin, &options.store)?;
        tell(&format!("note: a new store: {}", made.origin));
    }
    let bar = progress(None, "entries");
    let mut heard = |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    };
    let running = Arc::new(Running::start(&place, &options, &actor, &mut heard)?);
    bar.finish_and_clear();
    tell_aside(&running);
    let keys = load(running.store())?;
    let tls = args.certificate.clone().zip(args.private_key.clone());
    let at = Where { listen: args.listen, tls, pages: args.pages };
    let doors = Doors::open(Arc::clone(&running), Arc::clone(&keys), &at)?;
    let checkpoint = running.writer().checkpoint;
    let open = Open {
        listen: doors.listen().to_string(),
        pages: doors.pages().to_string(),
        origin: checkpoint.checkpoint().origin.clone(),
        entries: checkpoint.checkpoint().size,
        process: std::process::id(),
    };
    output.answer(&open, || {
        format!(
            "{} with {} entries\n  events   {}  (POST /v1/events with the header x-api-key)\n  pages    http://{}/\n",
            open.origin,
            open.entries,
            doors.listen_url(),
            open.pages
        )
    })?;
    output.flush()?;
    let ended = doors.wait(&running, &keys);
    tell("note: ending");
    drop(running);
    ended?;
    Ok(Exit::Done)
}
