//! `waag serve`: runs a node until it is told to end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::ArgMatches;
use clap::parser::ValueSource;
use serde::Serialize;
use waag_model::ids::Position;
use waag_views::progress::Activity;

use super::drill::schedule::Schedule;
use super::failure::{Exit, Failure};
use super::log::flags::Publication;
use super::log::vkey_line;
use super::output::{Output, progress, tell};
use super::setting::{FreeSpace, Setting, not_started};
use crate::node::access_log::AccessLogOptions;
use crate::node::api_keys::load;
use crate::node::doors::{Doors, Where};
use crate::node::routing::TargetOptions;
use crate::node::traces::{SHARE_ALL, TelemetryOptions};
use crate::node::{NodeError, NodeOptions, Running};
use crate::store::init::init;
use crate::store::place::{ACCESS_FOLDER, Place};

const HELP: &str = "\
A store is made where there is none. Events come in through the first address, with an API key (`waag key create`);
the pages are at the second one, which is on loopback always.
The log is published every second, with its tiles, below `/log/`; `--publish-log` lets anybody read it.
Each request leaves a line in the access log: JSON Lines below the data folder, one file a day or more.
With little free on the disk no more events are taken, until there is room again; nothing has to be started again.
An address beyond loopback needs TLS. SIGTERM and ctrl-c end it in order: what was taken is answered first, and deliveries
under way are waited for, five seconds at most. SIGHUP has the certificate read again at once, and is of no effect
without one.

Example:
  waag serve
  waag serve --listen 0.0.0.0:8443 --certificate waag.crt --private-key waag.key";

/// What a ledger's checkpoints begin with where nothing else is asked for.
const ORIGIN: &str = "waag";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Where events are taken
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Where the pages are; loopback only
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pages: SocketAddr,

    /// What a new ledger's checkpoints begin with: `NAME/<tenant>/<ledger id>`; it can never be changed [default: waag]
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,

    /// The certificate chain, in PEM; read again when it changes
    #[arg(long, value_name = "FILE", requires = "private_key")]
    certificate: Option<std::path::PathBuf>,

    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    private_key: Option<std::path::PathBuf>,

    /// Days that the access log is kept, in `access` below the tenant's data folder; client addresses are personal data
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(0..=3_650))]
    access_log_days: u16,

    /// Mebibytes that all files of the access log may have together; the oldest give way
    #[arg(long, value_name = "N", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..))]
    access_log_mib: u32,

    /// Keep no access log
    #[arg(long, conflicts_with_all = ["access_log_days", "access_log_mib"])]
    no_access_log: bool,

    /// Deliver webhooks to plain `http` URLs too: they can be read and changed on their way
    #[arg(long)]
    allow_http_webhooks: bool,

    /// Deliver webhooks to this machine and to private networks too: whoever may make subscriptions can then reach them
    #[arg(long)]
    allow_private_webhooks: bool,

    /// A NATS server that subscriptions may deliver to and bridges may read from, as `nats://host:port`; may be given
    /// several times
    #[arg(long = "nats-server", value_name = "URL")]
    nats_servers: Vec<String>,

    /// A retention file to use from now on; recorded in the ledger where it is another one than before
    #[arg(long, value_name = "FILE")]
    retention: Option<std::path::PathBuf>,

    /// Let the pages pause subscriptions, redrive, discard and replay, make evidence packs, erase and restrict persons:
    /// whoever may open them on this machine may then do so
    #[arg(long)]
    pages_act: bool,

    #[command(flatten)]
    free: FreeSpace,

    #[command(flatten)]
    publication: Publication,

    #[command(flatten)]
    schedule: Schedule,

    #[command(flatten)]
    telemetry: Telemetry,
}

/// Where traces and figures go; named as the OpenTelemetry specification names them.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "OpenTelemetry")]
struct Telemetry {
    /// The collector that traces and figures are sent to (OTLP over HTTP, protobuf); nothing is sent where it is not given
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,

    /// Headers for the collector, as `name=value,name=value`
    #[arg(long, value_name = "LIST", env = "OTEL_EXPORTER_OTLP_HEADERS", hide_env_values = true)]
    otlp_headers: Option<String>,

    /// The certificates (PEM) that an `https://` collector is checked against
    #[arg(long, value_name = "FILE", env = "OTEL_EXPORTER_OTLP_CERTIFICATE")]
    otlp_certificate: Option<std::path::PathBuf>,

    /// Milliseconds between two sendings of figures
    #[arg(long, value_name = "N", env = "OTEL_METRIC_EXPORT_INTERVAL", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    otlp_metrics_ms: u64,

    /// Share of requests without a caller's trace that is recorded, from 0 to 1
    #[arg(long, value_name = "SHARE", env = "OTEL_TRACES_SAMPLER_ARG", default_value_t = 1.0, value_parser = share)]
    otlp_share: f64,

    /// Attributes of this node, as `name=value,name=value`; `service.name` is `waag` where it is not among them
    #[arg(long, value_name = "LIST", env = "OTEL_RESOURCE_ATTRIBUTES")]
    otlp_attributes: Option<String>,

    /// The name that this node has among traces
    #[arg(long, value_name = "NAME", env = "OTEL_SERVICE_NAME")]
    otlp_service: Option<String>,

    /// Longest time for one message to the collector, in milliseconds
    #[arg(long, value_name = "N", env = "OTEL_EXPORTER_OTLP_TIMEOUT", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    otlp_timeout_ms: u64,
}

/// Why a command line is refused that says how to send to a collector and not which. Variables may be there for other
/// programs.
pub(super) fn without_collector(found: &ArgMatches) -> Option<String> {
    let found = found.subcommand_matches("serve")?;
    let to: Option<&String> = found.get_one("otlp_endpoint");
    if to.is_some_and(|to| !to.is_empty()) {
        return None;
    }
    let is_given = |id: &&clap::Id| found.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    let given = found.ids().filter(is_given).map(clap::Id::as_str);
    let mut how = given.filter(|id| id.starts_with("otlp_") && *id != "otlp_endpoint");
    let option = how.next()?.replace('_', "-");
    Some(format!(
        "--{option} is of no use without --otlp-endpoint: nothing is sent where no collector is named"
    ))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "is a number from 0 to 1".to_owned())
}

/// `name=value,name=value`, with white space around names and values left out.
fn pairs(text: Option<&str>) -> Result<Vec<(String, String)>, Failure> {
    let pairs = text.unwrap_or_default().split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned())).filter(|(name, _)| !name.is_empty())
    };
    let wrong = || Failure::usage("a list of `name=value` for OpenTelemetry has another form".to_owned());
    pairs.map(|one| pair(one).ok_or_else(wrong)).collect()
}

impl Telemetry {
    fn options(&self, origin: &str) -> Result<Option<TelemetryOptions>, Failure> {
        let Some(endpoint) = self.otlp_endpoint.clone().filter(|endpoint| !endpoint.is_empty()) else {
            return Ok(None);
        };
        let mut resource = pairs(self.otlp_attributes.as_deref())?;
        if let Some(name) = self.otlp_service.clone().filter(|name| !name.is_empty()) {
            resource.retain(|(known, _)| known != "service.name");
            resource.push(("service.name".to_owned(), name));
        }
        for (name, value) in [
            ("service.name", "waag"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("waag.origin", origin),
        ] {
            if !resource.iter().any(|(known, _)| known == name) {
                resource.push((name.to_owned(), value.to_owned()));
            }
        }
        let to = waag_telemetry::Options {
            endpoint,
            headers: pairs(self.otlp_headers.as_deref())?,
            certificate: self.otlp_certificate.clone(),
            resource,
            metrics_ms: self.otlp_metrics_ms,
            timeout_ms: self.otlp_timeout_ms,
        };
        let parts = f64::from(SHARE_ALL) * self.otlp_share;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share between 0 and 1 of a small whole number"
        )]
        let share = parts.round() as u32;
        Ok(Some(TelemetryOptions { to, share }))
    }
}

impl Args {
    fn doors(&self, place: &Place, origin: &str) -> Result<Where, Failure> {
        Ok(Where {
            listen: self.listen,
            tls: self.certificate.clone().zip(self.private_key.clone()),
            pages: self.pages,
            pages_act: self.pages_act,
            access_log: self.access_log(place),
            telemetry: self.telemetry.options(origin)?,
        })
    }

    fn access_log(&self, place: &Place) -> Option<AccessLogOptions> {
        (!self.no_access_log).then(|| AccessLogOptions {
            folder: place.data.join(ACCESS_FOLDER),
            days: self.access_log_days,
            bytes_max: u64::from(self.access_log_mib).saturating_mul(1_024 * 1_024),
        })
    }
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

/// Says why nothing is published, and by which keys this node is a witness.
fn tell_publication(running: &Running) {
    if let Some(stopped) = running.publishing().status().stopped {
        tell(&format!("warning: {}: {}; nothing is published", stopped.code, stopped.reason));
    }
    for key in running.witness().map(|witness| witness.keys()).unwrap_or_default() {
        tell(&format!("note: a witness by the key {}", vkey_line(&key)));
    }
}

/// Says that a ledger keeps the origin it was made with, where another one was named.
fn tell_origin(running: &Running, asked: Option<&str>) {
    let checkpoint = running.writer().checkpoint;
    let origin = &checkpoint.checkpoint().origin;
    if let Some(asked) = asked.filter(|asked| !origin.starts_with(&format!("{asked}/"))) {
        tell(&format!("note: --origin {asked} is of no effect: this ledger was made as {origin}, for ever"));
    }
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let place = setting.place()?;
    let targets = TargetOptions {
        allow_http: args.allow_http_webhooks,
        allow_private: args.allow_private_webhooks,
        nats_servers: args.nats_servers.clone(),
        ..TargetOptions::default()
    };
    let (publish, witness) = (args.publication.publish()?, args.publication.witness()?);
    let upkeep = args.schedule.options()?;
    let store = args.free.of(setting.options()?);
    let options = NodeOptions { store, targets, publish, witness, ..NodeOptions::default() };
    let actor = setting.actor()?;
    if !place.data.exists() && !place.state.exists() {
        // A store is made for ever: not for a node that then cannot start.
        let origin = args.origin.as_deref().unwrap_or(ORIGIN);
        args.doors(&place, origin)?.check()?;
        let made = init(&place, origin, &options.store)?;
        tell(&format!("note: a new store: {}", made.origin));
    }
    let bar = progress(None, "entries");
    let mut heard = |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    };
    let running = Arc::new(
        Running::start(&place, &options, &actor, &mut heard).map_err(|error| not_started(&place, error))?,
    );
    bar.finish_and_clear();
    tell_aside(&running);
    tell_publication(&running);
    tell_origin(&running, args.origin.as_deref());
    super::subject::serve_retention(running.store(), args.retention.as_deref(), &actor)?;
    let keys = load(running.store())?;
    let at = args.doors(&place, &running.writer().checkpoint.checkpoint().origin)?;
    let doors = Doors::open(Arc::clone(&running), Arc::clone(&keys), &at)?;
    if let Some(upkeep) = &upkeep {
        let begun = running.upkeeping().begin(&running, &options.store, upkeep, &actor);
        begun.map_err(NodeError::Thread)?;
    }
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
