//! `bench router deliveries`: a whole node (writer, views, router, everything durable) with subscribers in the same process.
//!
//! Parts: `latency`, from an event's acknowledgement to a subscriber's receipt at a steady rate; `all` and `some`, fan-out to
//! 50 subscriptions that want everything and to 2,000 that want one in a hundred, looking at whether anybody falls behind;
//! `redrive`, a million dead letters tried again at 20,000 a second, the order of every key checked; `replay`, 3.6 million
//! events to one subscription. `--quick` runs each with a tenth.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use waag::node::routing::{Handlers, TargetOptions};
use waag::node::{NodeOptions, Running};
use waag::store::init::init;
use waag::store::place::Place;
use waag_cloudevents::read_event;
use waag_engine::batch::Outcome as Recorded;
use waag_model::event::Accepted;
use waag_model::ids::{Actor, TenantName};
use waag_router::router::Router;
use waag_router::shown::{Filter, JobShown, JobState, ReplayAsked};
use waag_router::spec::Spec;
use waag_router::target::{Class, Delivery, Failure, Outcome, REFUSED, Reply, Target};

use crate::measure::{peak_memory, percentile};
use crate::probe::sync_times;

/// The type of the events.
const KIND: &str = "invoice.posting";
/// Events of one batch while filling.
const FILL_BATCH: usize = 2_000;
/// Batches under way while filling.
const FILL_UNDER_WAY: usize = 8;
/// Different subjects.
const KEYS: u64 = 50_000;
/// Events a second for fan-out, and for latency.
const FAN_OUT_RATE: u64 = 2_000;
const LATENCY_RATE: u64 = 10_000;
/// What an event may take from its acknowledgement to the subscriber, in milliseconds.
const LATENCY_BAR_MS: f64 = 50.0;
/// Dead letters, and how many a second are tried again.
const LETTERS: u64 = 1_000_000;
const REDRIVE_RATE: u32 = 20_000;
/// Events of an hour of peak, and what their replay may take, in seconds.
const REPLAY_EVENTS: u64 = 3_600_000;
const REPLAY_BAR_S: f64 = 60.0;

/// A subscriber in this process: notes when each position came, and how often a key's order was broken.
#[derive(Default)]
struct Subscriber {
    received: AtomicU64,
    /// Refuses everything for good while set.
    refuses: AtomicBool,
    /// By position: nanoseconds after the start, where somebody asked for them.
    times: Mutex<Option<Vec<u64>>>,
    /// The last position of each subject, where order is checked.
    last: Mutex<Option<BTreeMap<[u8; 16], u64>>>,
    out_of_order: AtomicU64,
    start: Mutex<Option<Instant>>,
}

impl Target for Subscriber {
    fn deliver(&self, delivery: Delivery, reply: Reply) {
        if self.refuses.load(Ordering::Relaxed) {
            reply.give(Outcome::Failed(Failure::new(Class::Terminal, REFUSED, "refused by the benchmark")));
            return;
        }
        self.received.fetch_add(1, Ordering::Relaxed);
        let position = delivery.event.position.0;
        if let Some(times) = self.times.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            let start = *self.start.lock().unwrap_or_else(PoisonError::into_inner);
            let now = start.map_or(0, |start| u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
            let at = usize::try_from(position).unwrap_or(usize::MAX);
            if times.len() <= at {
                times.resize(at.saturating_add(1), u64::MAX);
            }
            if let Some(time) = times.get_mut(at) {
                *time = now;
            }
        }
        if let Some(last) = self.last.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
            && let Some(key) = delivery.event.ordering
            && last.insert(key, position).is_some_and(|before| before >= position)
        {
            self.out_of_order.fetch_add(1, Ordering::Relaxed);
        }
        reply.give(Outcome::Delivered(None));
    }
}

/// A node with one subscriber that all subscriptions go to.
struct Bench {
    running: Running,
    subscriber: Arc<Subscriber>,
    actor: Actor,
    made: u64,
}

/// An invoice's event; of a type that has a schema, since of others everything is sealed for its subject alone.
fn event(number: u64) -> String {
    let (key, bucket) = (number.wrapping_mul(2_654_435_761) % KEYS, number % 100);
    format!(
        r#"{{"specversion":"1.0","id":"b{number}","source":"/bench","type":"{KIND}","subject":"INV-{key}","time":"2026-01-01T00:00:00Z","traceparent":"00-{number:032x}-{number:016x}-01","data":{{"bucket":{bucket},"invoice_id":"INV-{key}","status":"posted","vendor":"Vendor {bucket}","amount_minor":{},"currency":"EUR","reference":"RF{number:020}","region":"eu-west-1","note":"{:0>120}"}}}}"#,
        number % 10_000_000,
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    )
}

impl Bench {
    fn open(folder: &std::path::Path) -> anyhow::Result<Self> {
        let place = Place::new(&folder.join("data"), None, TenantName::new("bench")?)?;
        let subscriber = Arc::new(Subscriber::default());
        let target: Arc<dyn Target> = subscriber.clone();
        let handlers = Handlers(BTreeMap::from([("bench".to_owned(), target)]));
        let targets = TargetOptions { handlers, ..TargetOptions::default() };
        let options = NodeOptions { targets, ..NodeOptions::default() };
        init(&place, "bench", &options.store)?;
        let actor = Actor::new("bench")?;
        let running = Running::start(&place, &options, &actor, &mut |_, _| {})?;
        Ok(Self { running, subscriber, actor, made: 0 })
    }

    fn router(&self) -> &Router {
        self.running.router()
    }

    fn subscribe(&self, name: &str, more: &str) -> anyhow::Result<()> {
        let spec = format!(r#"{{"name":"{name}","target":{{"kind":"in-process","handler":"bench"}}{more}}}"#);
        self.router().create(Spec::read(spec.as_bytes())?, None, &self.actor)?;
        Ok(())
    }

    fn end(&self) -> u64 {
        self.running.writer().checkpoint.checkpoint().size
    }

    /// Seals and submits the next events; the receipt is waited for by who gets it back.
    fn submit(&mut self, many: usize) -> anyhow::Result<waag_engine::runtime::Pending> {
        let store = self.running.store();
        let mut batch = store.sealer.begin();
        for _ in 0..many {
            let text = event(self.made);
            self.made += 1;
            let event = read_event(text.as_bytes()).map_err(|refusal| anyhow!("{refusal}"))?;
            let accepted = Accepted { event, actor: self.actor.clone(), accepted: store.clock.now() };
            batch.push(accepted, None)?;
        }
        store.writer.submit(batch.finish()).map_err(|_| anyhow!("the writer is full"))
    }

    /// Records so many events as fast as one thread does.
    fn fill(&mut self, events: u64) -> anyhow::Result<f64> {
        let start = Instant::now();
        let mut waiting = std::collections::VecDeque::new();
        let mut left = events;
        while left > 0 {
            let many = usize::try_from(left)?.min(FILL_BATCH);
            waiting.push_back(self.submit(many)?);
            left -= many as u64;
            if waiting.len() >= FILL_UNDER_WAY
                && let Some(pending) = waiting.pop_front()
            {
                pending.wait()?;
            }
        }
        for pending in waiting {
            pending.wait()?;
        }
        Ok(events as f64 / start.elapsed().as_secs_f64())
    }

    fn wait_until(
        &self,
        what: &str,
        most: Duration,
        mut is_so: impl FnMut(&Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<f64> {
        let start = Instant::now();
        while !is_so(self)? {
            ensure!(start.elapsed() < most, "{what}: not within {} s", most.as_secs());
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(start.elapsed().as_secs_f64())
    }

    /// Waits until the ledger does not grow, so that spans have the events that were sent and no others.
    fn settle(&self) -> anyhow::Result<()> {
        let mut end = (self.end(), Instant::now());
        self.wait_until("a quiet ledger", Duration::from_secs(60), |bench| {
            if bench.end() != end.0 {
                end = (bench.end(), Instant::now());
            }
            Ok(end.1.elapsed() > Duration::from_secs(1))
        })
        .map(drop)
    }

    fn job_done(&self, number: u32) -> anyhow::Result<Option<JobShown>> {
        let job = self.router().job(number)?;
        Ok((job.state != JobState::Running).then_some(job))
    }
}

/// Sends at a steady rate for so long; each look, once a second, is given the seconds so far.
fn steadily(
    bench: &mut Bench,
    rate: u64,
    seconds: u64,
    mut acknowledged: impl FnMut(Instant, &[Recorded]),
    mut look: impl FnMut(&Bench, u64) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let batches = 100;
    let many = usize::try_from(rate / batches)?;
    let start = Instant::now();
    let (sender, receiver) = std::sync::mpsc::channel::<waag_engine::runtime::Pending>();
    let (told, answers) = std::sync::mpsc::channel();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        scope.spawn(move || {
            for pending in receiver {
                let answer = pending.wait();
                drop(told.send((Instant::now(), answer)));
            }
        });
        for at in 0..seconds * batches {
            let due = start + Duration::from_millis(at * 1_000 / batches);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            sender.send(bench.submit(many)?).map_err(|_| anyhow!("the waiting thread ended"))?;
            if at % batches == batches - 1 {
                look(bench, at / batches + 1)?;
            }
        }
        drop(sender);
        for (at, answer) in answers {
            acknowledged(at, &answer?.items);
        }
        Ok(())
    })
}

fn latency(bench: &mut Bench, seconds: u64) -> anyhow::Result<()> {
    bench.subscribe("latency", "")?;
    let start = Instant::now();
    let from = bench.end();
    *bench.subscriber.start.lock().unwrap_or_else(PoisonError::into_inner) = Some(start);
    *bench.subscriber.times.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    let mut acknowledged: Vec<(u64, u64)> = Vec::new();
    let note = |at: Instant, items: &[Recorded]| {
        let at = u64::try_from(at.duration_since(start).as_nanos()).unwrap_or(u64::MAX);
        acknowledged.extend(items.iter().filter_map(|item| match item {
            Recorded::Recorded(recorded) | Recorded::Before(recorded) => Some((recorded.position.0, at)),
            Recorded::Conflict(_) | Recorded::Erased(_) => None,
        }));
    };
    steadily(bench, LATENCY_RATE, seconds, note, |_, _| Ok(()))?;
    let wanted = seconds * LATENCY_RATE;
    bench.wait_until("the last events", Duration::from_secs(20), |bench| {
        Ok(bench.subscriber.received.load(Ordering::Relaxed) >= wanted)
    })?;
    let received = bench.subscriber.times.lock().unwrap_or_else(PoisonError::into_inner).take();
    let received = received.context("times")?;
    let mut times = Vec::new();
    for (position, at) in &acknowledged {
        let got = usize::try_from(*position).ok().and_then(|at| received.get(at).copied());
        let got = got.filter(|time| *time != u64::MAX).context("an acknowledged event never came")?;
        times.push(got.saturating_sub(*at) as f64 / 1e6);
    }
    times.sort_by(f64::total_cmp);
    let p99 = percentile(&times, 0.99);
    println!(
        "latency: {LATENCY_RATE} events/s for {seconds} s from position {from}: from acknowledgement to the subscriber p50 {:.1} ms, \
         p99 {p99:.1} ms, most {:.1} ms over {} events (bar: p99 below {LATENCY_BAR_MS} ms: {})",
        percentile(&times, 0.5),
        percentile(&times, 1.0),
        times.len(),
        if p99 < LATENCY_BAR_MS { "reached" } else { "missed" },
    );
    bench.router().remove("latency", "measured", &bench.actor)?;
    Ok(())
}

fn fan_out(
    bench: &mut Bench,
    name: &str,
    many: u64,
    more: impl Fn(u64) -> String,
    seconds: u64,
) -> anyhow::Result<()> {
    let start = Instant::now();
    for number in 0..many {
        bench.subscribe(&format!("{name}-{number}"), &more(number))?;
    }
    println!("{name}: {many} subscriptions made in {:.1} s", start.elapsed().as_secs_f64());
    let before = bench.subscriber.received.load(Ordering::Relaxed);
    let mut lags = Vec::new();
    let look = |bench: &Bench, _| {
        lags.push(bench.router().figures().lag_events_max);
        Ok(())
    };
    steadily(bench, FAN_OUT_RATE, seconds, |_, _| {}, look)?;
    let late = bench.wait_until("the last events", Duration::from_secs(60), |bench| {
        Ok(bench.router().figures().lag_events_max == 0)
    })?;
    let came = bench.subscriber.received.load(Ordering::Relaxed) - before;
    let third = lags.len() / 3;
    let most = |lags: &[u64]| lags.iter().copied().max().unwrap_or_default();
    let (first, last) = (
        most(lags.get(..third).unwrap_or_default()),
        most(lags.get(lags.len() - third..).unwrap_or_default()),
    );
    println!(
        "{name}: {many} subscriptions, {FAN_OUT_RATE} events/s for {seconds} s: {came} deliveries ({:.0}/s), greatest lag {first} events in \
         the first third, {last} in the last, all there {late:.1} s after the end ({})",
        came as f64 / seconds as f64,
        if last <= first.max(FAN_OUT_RATE / 2) { "does not grow" } else { "grows" },
    );
    for number in 0..many {
        bench.router().remove(&format!("{name}-{number}"), "measured", &bench.actor)?;
    }
    Ok(())
}

fn redrive(bench: &mut Bench, letters: u64) -> anyhow::Result<()> {
    bench.settle()?;
    let from = bench.end();
    bench.subscriber.refuses.store(true, Ordering::Relaxed);
    let filled = bench.fill(letters)?;
    let start = Instant::now();
    let spec = format!(
        r#","pattern":{{"type":["{KIND}"]}},"on_failure":"skip","concurrency":1024,"start":{{"position":{from}}}"#
    );
    bench.subscribe("redrive", &spec)?;
    bench.wait_until("dead letters", Duration::from_secs(1_200), |bench| {
        Ok(bench.router().detail("redrive")?.overview.dead_letters >= letters)
    })?;
    let died = start.elapsed().as_secs_f64();
    bench.wait_until("notices in the ledger", Duration::from_secs(1_200), |bench| {
        Ok(bench.end() >= from + 2 * letters)
    })?;
    let told = start.elapsed().as_secs_f64();
    bench.subscriber.refuses.store(false, Ordering::Relaxed);
    *bench.subscriber.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(BTreeMap::new());
    let before = bench.subscriber.received.load(Ordering::Relaxed);
    let memory_before = peak_memory(None);
    let start = Instant::now();
    let counted = bench.router().count_dead_letters("redrive", &Filter::default())?;
    let count_s = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let job =
        bench.router().redrive("redrive", Filter::default(), REDRIVE_RATE, "the benchmark", &bench.actor)?;
    let mut done = None;
    bench.wait_until("redriven", Duration::from_secs(1_200), |bench| {
        done = bench.job_done(job.number)?;
        Ok(done.is_some())
    })?;
    let took = start.elapsed().as_secs_f64();
    let done = done.context("the job")?;
    let came = bench.subscriber.received.load(Ordering::Relaxed) - before;
    println!(
        "redrive: {letters} events recorded at {filled:.0}/s, all dead letters after {died:.0} s, all told in the ledger after {told:.0} s; \
         dry run counted {counted} in {count_s:.1} s; redriven {} of {} in {took:.1} s, {:.0}/s of at most {REDRIVE_RATE}/s, {came} received, \
         {} out of their key's order, {} left; peak memory {} MiB ({} MiB before)",
        done.succeeded,
        done.total,
        came as f64 / took,
        bench.subscriber.out_of_order.load(Ordering::Relaxed),
        bench.router().detail("redrive")?.overview.dead_letters,
        peak_memory(None) >> 20,
        memory_before >> 20,
    );
    *bench.subscriber.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    bench.router().remove("redrive", "measured", &bench.actor)?;
    Ok(())
}

fn replay(bench: &mut Bench, events: u64) -> anyhow::Result<()> {
    bench.settle()?;
    let from = bench.end();
    let filled = bench.fill(events)?;
    bench.subscribe("replay", r#","concurrency":1024"#)?;
    // So that the figure is the replay's: the views have what they need before.
    bench.wait_until("views", Duration::from_secs(1_200), |bench| {
        Ok(bench.running.reached().cursor.position.0 >= bench.end())
    })?;
    *bench.subscriber.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(BTreeMap::new());
    let broken_before = bench.subscriber.out_of_order.load(Ordering::Relaxed);
    let before = bench.subscriber.received.load(Ordering::Relaxed);
    let asked = ReplayAsked {
        from: Some(from),
        to: Some(from + events),
        reason: "the benchmark".to_owned(),
        ..ReplayAsked::default()
    };
    let start = Instant::now();
    let job = bench.router().replay("replay", asked, &bench.actor)?;
    bench.wait_until("replayed", Duration::from_secs(1_200), |bench| {
        Ok(bench.job_done(job.number)?.is_some())
    })?;
    let took = start.elapsed().as_secs_f64();
    let came = bench.subscriber.received.load(Ordering::Relaxed) - before;
    let bar = REPLAY_BAR_S * events as f64 / REPLAY_EVENTS as f64;
    println!(
        "replay: {events} events recorded at {filled:.0}/s; replayed {came} in {took:.1} s, {:.0}/s, {} out of their key's order, \
         peak memory {} MiB (bar: {bar:.0} s: {})",
        came as f64 / took,
        bench.subscriber.out_of_order.load(Ordering::Relaxed) - broken_before,
        peak_memory(None) >> 20,
        if took < bar { "reached" } else { "missed" },
    );
    bench.router().remove("replay", "measured", &bench.actor)?;
    Ok(())
}

/// `[latency | all | some | redrive | replay] [--folder DIR] [--quick]`; without a part, all of them on one ledger.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let (mut parts, mut folder, mut is_quick) = (Vec::new(), None::<PathBuf>, false);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match *argument {
            "--folder" => folder = Some(arguments.next().context("--folder takes a folder")?.into()),
            "--quick" => is_quick = true,
            part @ ("latency" | "all" | "some" | "redrive" | "replay") => parts.push(part),
            other => anyhow::bail!("`{other}`: latency, all, some, redrive, replay, --folder DIR, --quick"),
        }
    }
    if parts.is_empty() {
        parts = vec!["latency", "all", "some", "redrive", "replay"];
    }
    let folder = folder.unwrap_or_else(std::env::temp_dir);
    std::fs::create_dir_all(&folder)?;
    let held = tempfile::tempdir_in(folder)?;
    let syncs = sync_times(held.path(), 65_536)?;
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    println!(
        "deliveries: one process on {cores} cores, embedded drivers, events of {} bytes over {KEYS} subjects, views following; \
         syncing 64 KiB takes p50 {:.2} ms, p99 {:.2} ms",
        event(1).len(),
        syncs.p50_ms,
        syncs.p99_ms,
    );
    let share = if is_quick { 10 } else { 1 };
    let seconds = if is_quick { 5 } else { 30 };
    let mut bench = Bench::open(held.path())?;
    for part in parts {
        match part {
            "latency" => latency(&mut bench, seconds)?,
            "all" => fan_out(&mut bench, "all", 50, |_| String::new(), seconds)?,
            "some" => {
                let more = |number: u64| format!(r#","pattern":{{"data":{{"bucket":[{}]}}}}"#, number % 100);
                fan_out(&mut bench, "some", 2_000, more, seconds)?;
            }
            "redrive" => redrive(&mut bench, LETTERS / share)?,
            _ => replay(&mut bench, REPLAY_EVENTS / share)?,
        }
    }
    Ok(())
}
