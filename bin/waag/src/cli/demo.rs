//! `waag demo`: a node with thirty days of made-up invoice traffic behind it, and more of it coming in.
//!
//! Everything after the making of events is what `waag serve` does; nothing is shown that is not in the ledger.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use waag_http::keys::Role;
use waag_model::ids::{Actor, Position, TenantName};

use super::failure::{CliError, Exit, Failure};
use super::output::{Output, progress, tell};
use super::serve::{tell_aside, wait_for_views};
use super::setting::{DEFAULT_TENANT, FreeSpace, Setting};
use crate::demo::traffic::{Live, Plan, Traffic};
use crate::demo::{reached, subscribers, unfinished};
use crate::node::api_keys::{Asked, carry_out, load};
use crate::node::doors::{Doors, Where};
use crate::node::feed::{Feed, Given};
use crate::node::routing::TargetOptions;
use crate::node::{NodeOptions, Running};
use crate::store::error::StoreError;
use crate::store::init::init;
use crate::store::options::Options;
use crate::store::place::Place;
use crate::store::writer::OpenedStore;

/// Who brings the demonstration's events.
const ACTOR: &str = "demo-erp";
/// How long the read models are waited for before the doors open, in milliseconds.
const VIEWS_MS_MAX: u64 = 60_000;
/// The demonstration's firm.
const SEED: u64 = 20_26;
/// How often it is noted how far the firm is.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether to end, or to go on.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Nanoseconds of a day.
const DAY_NS: i64 = 86_400_000_000_000;

const HELP: &str = "\
Needs nothing: the store is made in a folder of its own, thirty days of invoices are recorded in it (a month's end, late
vendors, duplicates, stuck invoices, a regional outage, a word that no rule knows), and new events keep coming in. Prints
where the pages are, an API key and a line for curl. Ctrl-c ends it; the same folder again goes on where it was. `waag tour`
shows the ledger itself.

Example:
  waag demo
  waag demo --folder demo --rate 100";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Where to put the demonstration's store
    #[arg(long, value_name = "DIR", default_value = "waag-demo")]
    folder: PathBuf,

    /// Where events are taken
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Where the pages are; loopback only
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pages: SocketAddr,

    /// Invoices of the thirty days; each has some five events
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(10..=2_000_000))]
    invoices: u32,

    /// New events a second, many times what the thirty days have, so that one sees them come; 0 for none
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=20_000))]
    rate: u32,

    #[command(flatten)]
    free: FreeSpace,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    setting.must_name_no_place("--folder")?;
    let tenant = TenantName::new(DEFAULT_TENANT).map_err(|error| Failure::name("tenant", error))?;
    let place = Place::new(&args.folder.join("data"), None, tenant)?;
    let targets = TargetOptions { handlers: subscribers::handlers(), ..TargetOptions::default() };
    let store = args.free.of(Options::default());
    let options = NodeOptions { targets, store, ..NodeOptions::default() };
    let actor = Actor::new(ACTOR).map_err(|error| Failure::name("actor", error))?;
    let plan = history_to_make(args, &place, &options)?;
    let running = Arc::new(Running::start(&place, &options, &actor, &mut |_, _| {})?);
    tell_aside(&running);
    let store = running.store();
    let now = store.clock.now();
    let (firm, taken) = firm(args, plan)?;
    let mut traffic = firm.as_ref().map(Traffic::new);
    record_history(&running, &actor, traffic.as_mut(), plan.as_ref())?;
    if let Some(plan) = &plan {
        reached::write(&args.folder, plan, 0)
            .map_err(CliError::file("write", &reached::path(&args.folder)))?;
        unfinished::done(&args.folder).map_err(CliError::file("remove", &unfinished::path(&args.folder)))?;
    }
    subscribers::subscribe(running.router(), running.writer().checkpoint.checkpoint().size, &actor)?;
    let keys = load(store)?;
    let at = Where { pages_act: true, ..Where::plain(args.listen, args.pages) };
    let doors = Doors::open(Arc::clone(&running), Arc::clone(&keys), &at)?;
    let asked = Asked::Create {
        by: ACTOR.to_owned(),
        holder: "curl".to_owned(),
        role: Role::Producer,
        plan: "standard".to_owned(),
        expires: Some(now.later_by(DAY_NS).0),
        subscriptions: Vec::new(),
    };
    let made = carry_out(store, &keys, &asked)?;
    let key = made.into_iter().next().and_then(|told| told.key).unwrap_or_default();
    // From now on, and not from when the thirty days began to be recorded.
    let live = traffic.filter(|_| args.rate > 0);
    let live = live.map(|traffic| traffic.live(store.clock.now(), args.rate).without(taken));
    let open = Open {
        listen: doors.listen_url(),
        pages: format!("http://{}/", doors.pages()),
        key,
        entries: running.writer().checkpoint.checkpoint().size,
        events_per_second: if live.is_some() { args.rate } else { 0 },
    };
    output.answer(&open, || welcome(&open))?;
    output.flush()?;
    let ending = AtomicBool::new(false);
    let going_on = live.zip(firm).map(|(live, plan)| GoingOn { folder: &args.folder, plan, taken, live });
    let ended = std::thread::scope(|scope| {
        let feeding =
            going_on.map(|going_on| scope.spawn(|| going_on.run(store, &actor, args.rate, &ending)));
        let ended = doors.wait(&running, &keys);
        ending.store(true, Ordering::Release);
        if let Some(Ok(Err(error))) = feeding.map(std::thread::ScopedJoinHandle::join) {
            tell(&format!("warning: new events stopped coming: {error}"));
        }
        ended
    });
    ended?;
    Ok(Exit::Done)
}

/// The thirty days that are to be recorded: of a new store, or of one whose first start was broken off; those of a broken
/// start are the same events again, so that what is there already is told as before and the rest is recorded.
fn history_to_make(args: &Args, place: &Place, options: &NodeOptions) -> Result<Option<Plan>, Failure> {
    let file = unfinished::path(&args.folder);
    if place.state.exists() {
        let begun = unfinished::read(&args.folder).map_err(CliError::file("read", &file))?;
        if begun.is_some() && !place.data.exists() {
            // The start was broken off while the store was made: that goes on where it stopped.
            init(place, "waag-demo", &options.store)?;
        }
        return Ok(begun);
    }
    let plan = Plan { seed: SEED, invoices: args.invoices, end: options.store.clock.now() };
    std::fs::create_dir_all(&args.folder).map_err(CliError::file("make", &args.folder))?;
    unfinished::begin(&args.folder, &plan).map_err(CliError::file("write", &file))?;
    init(place, "waag-demo", &options.store)?;
    Ok(Some(plan))
}

/// The firm whose traffic goes on, and how many events behind its thirty days were taken before; none where the store was
/// made by a build that did not note it.
fn firm(args: &Args, made_now: Option<Plan>) -> Result<(Option<Plan>, u64), Failure> {
    if let Some(plan) = made_now {
        return Ok((Some(plan), 0));
    }
    let file = reached::path(&args.folder);
    let known = match reached::read(&args.folder) {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => None,
        known => known.map_err(CliError::file("read", &file))?,
    };
    if known.is_none() && args.rate > 0 {
        tell(
            "note: it is not noted how far this demonstration's firm was, so nothing new comes in. Name another \
             --folder for a new one",
        );
    }
    Ok(known.map_or((None, 0), |(plan, taken)| (Some(plan), taken)))
}

/// What is told when the doors are open.
#[derive(Serialize)]
struct Open {
    listen: String,
    pages: String,
    key: String,
    entries: u64,
    events_per_second: u32,
}

fn welcome(open: &Open) -> String {
    let Open { listen: events, pages, key, entries, events_per_second } = open;
    let more = if *events_per_second > 0 { ", and more coming in" } else { "" };
    format!(
        "\n{entries} entries, sealed and provable{more}.\n\n\
         Open   {pages}\n\n\
         Key    {key}\n\n\
         Send   curl -s {events}/v1/events -H 'x-api-key: {key}' \\\n\
         \x20        -H 'content-type: application/cloudevents+json' \\\n\
         \x20        -d '{{\"specversion\":\"1.0\",\"id\":\"hello-1\",\"source\":\"/hello\",\"type\":\"invoice.ingestion\",\
         \"subject\":\"INV-HELLO\",\"data\":{{\"invoice_id\":\"INV-HELLO\",\"vendor\":\"Hello BV\",\
         \"amount_minor\":12550,\"currency\":\"EUR\",\"status\":\"received\"}}}}'\n\n\
         See    {pages}invoice?id=INV-HELLO\n\n\
         Ctrl-c ends it.\n"
    )
}

/// Records the thirty days where they are not there or not all there, and waits until the read models have them.
fn record_history(
    running: &Running,
    actor: &Actor,
    traffic: Option<&mut Traffic>,
    plan: Option<&Plan>,
) -> Result<(), Failure> {
    let store = running.store();
    let invoices = plan.map_or(0, |plan| plan.invoices);
    let bar = progress(Some(u64::from(invoices) * 5), "events");
    let mut feed = Feed::new(store, actor.clone());
    for (number, sent) in traffic.filter(|_| plan.is_some()).into_iter().flatten().enumerate() {
        feed.push(Given { event: sent.event, accepted: sent.accepted, number: number as u64 })?;
        bar.set_position(number as u64);
    }
    feed.finish()?;
    bar.finish_and_clear();
    let all = Position(running.writer().checkpoint.checkpoint().size);
    wait_for_views(running, all, Duration::from_millis(VIEWS_MS_MAX));
    Ok(())
}

/// The firm's traffic behind its thirty days.
struct GoingOn<'a> {
    folder: &'a Path,
    plan: Plan,
    taken: u64,
    live: Live,
}

impl GoingOn<'_> {
    /// Records new events at their rate until told to end, and notes how far it is.
    fn run(
        mut self,
        store: &Arc<OpenedStore>,
        actor: &Actor,
        rate: u32,
        ending: &AtomicBool,
    ) -> Result<(), StoreError> {
        let mut feed = Feed::new(store, actor.clone());
        let fed = self.feed(store, &mut feed, rate, ending);
        // What came last is recorded before it is noted.
        let finished = feed.finish();
        self.note()?;
        fed.and(finished.map(|_| ()))
    }

    fn feed(
        &mut self,
        store: &Arc<OpenedStore>,
        feed: &mut Feed<'_>,
        rate: u32,
        ending: &AtomicBool,
    ) -> Result<(), StoreError> {
        let mut begun = store.clock.monotonic();
        let gap = Duration::from_secs(1) / rate;
        let mut noted = begun;
        for number in 0_u64.. {
            let due = gap.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
            loop {
                if ending.load(Ordering::Acquire) {
                    return Ok(());
                }
                if store.room.left().is_low {
                    // Not made up for later: it is traffic of the moment.
                    std::thread::sleep(LOOK_EVERY);
                    begun = begun.saturating_add(LOOK_EVERY);
                    continue;
                }
                let passed = store.clock.monotonic().saturating_sub(begun);
                let Some(left) = due.checked_sub(passed).filter(|left| !left.is_zero()) else { break };
                std::thread::sleep(left.min(LOOK_EVERY));
            }
            let Some(sent) = self.live.next() else { return Ok(()) };
            feed.push(Given { event: sent.event, accepted: store.clock.now(), number })?;
            self.taken = self.taken.saturating_add(1);
            // Many a second share a batch, few are recorded as they come.
            if rate <= 100 || number.is_multiple_of(32) {
                feed.finish()?;
                let now = store.clock.monotonic();
                if now.saturating_sub(noted) >= NOTE_EVERY {
                    self.note()?;
                    noted = now;
                }
            }
        }
        Ok(())
    }

    fn note(&self) -> Result<(), StoreError> {
        reached::write(self.folder, &self.plan, self.taken)
            .map_err(StoreError::io("write", &reached::path(self.folder)))
    }
}
