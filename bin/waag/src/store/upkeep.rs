//! What goes on behind an open store: space prepared ahead of the log's tail, and acknowledged frames read again.
//!
//! Two threads. The first sleeps until an append says that space is wanted; the second wakes once a second and reads as
//! much as the rate grants. Neither is in the way of an event. Not here: what they do (`drivers/files`).

use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use waag_files::log::FilesLog;
use waag_files::scrub::{ScrubRate, Scrubber};
use waag_log::contract::{AppendError, EventLog, FrameView, ReadError, Tail, TrimError};
use waag_log::frame::Frame;
use waag_log::verify::LogFault;
use waag_model::ids::{FrameNumber, LedgerId, Position};
use waag_model::time::UtcNanos;
use waag_stdx::clock::Clock;
use waag_stdx::files::Files;

/// How often the state's write-ahead log is folded into its file.
const FOLD_PERIOD: Duration = Duration::from_millis(200);
/// How often the scrubber wakes.
const SCRUB_PERIOD: Duration = Duration::from_secs(1);
/// How long to wait after space could not be prepared.
const PREPARE_DELAY: Duration = Duration::from_secs(1);
/// Most faults that are kept one by one.
const FAULTS_MAX: usize = 100;

/// What the scrubber has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubStatus {
    /// Whether it runs.
    pub runs: bool,
    /// Bytes read again.
    pub bytes: u64,
    /// How often it came round.
    pub rounds: u64,
    /// When it last did.
    pub ended: Option<UtcNanos>,
    /// Bytes of the round under way.
    pub round_bytes: u64,
    /// Bytes of the last whole round.
    pub whole_bytes: u64,
    /// The first faults found, at most 100.
    pub faults: Vec<LogFault>,
    /// How often reading failed.
    pub failures: u64,
}

#[derive(Debug, Default)]
struct Signals {
    wanted: bool,
    stop: bool,
}

/// Wakes the preparing thread, and stops both.
#[derive(Debug, Default)]
struct Bell {
    signals: Mutex<Signals>,
    changed: Condvar,
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bell {
    fn ring(&self, change: impl FnOnce(&mut Signals)) {
        change(&mut hold(&self.signals));
        self.changed.notify_all();
    }

    /// Waits until space is wanted; false where it is time to stop.
    fn wait_wanted(&self) -> bool {
        let mut signals = hold(&self.signals);
        while !signals.wanted && !signals.stop {
            signals = self.changed.wait(signals).unwrap_or_else(PoisonError::into_inner);
        }
        signals.wanted = false;
        !signals.stop
    }

    /// Sleeps unless it is time to stop; false where it is.
    fn sleep(&self, period: Duration) -> bool {
        let signals = hold(&self.signals);
        let slept = self.changed.wait_timeout_while(signals, period, |signals| !signals.stop);
        !slept.unwrap_or_else(PoisonError::into_inner).0.stop
    }
}

/// The log with a bell: after an append that leaves little space, the preparing thread wakes.
#[derive(Debug)]
pub(crate) struct WakingLog {
    log: Arc<FilesLog>,
    bell: Arc<Bell>,
}

impl EventLog for WakingLog {
    fn append(&self, expected: FrameNumber, frame: &Frame) -> Result<(), AppendError> {
        let appended = self.log.append(expected, frame);
        if self.log.wants_preparing() {
            self.bell.ring(|signals| signals.wanted = true);
        }
        appended
    }

    fn read(
        &self,
        from: Position,
        visit: &mut dyn FnMut(FrameView<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.log.read(from, visit)
    }

    fn tail(&self) -> Tail {
        self.log.tail()
    }

    fn trim(&self, before: Position) -> Result<(), TrimError> {
        self.log.trim(before)
    }
}

/// The two threads; dropping it stops them.
#[derive(Debug)]
pub(crate) struct Upkeep {
    bell: Arc<Bell>,
    scrubbed: Arc<Mutex<ScrubStatus>>,
    threads: Vec<JoinHandle<()>>,
}

impl Upkeep {
    /// Starts the threads; `fold` is called a few times a second, so that no commit of keys has to fold SQLite's log
    /// itself. A rate of 0 bytes per second means no scrubbing.
    ///
    /// # Errors
    /// The operating system's, where a thread cannot be had.
    pub(crate) fn start(
        log: &Arc<FilesLog>,
        files: Arc<dyn Files>,
        ledger: LedgerId,
        clock: Arc<dyn Clock>,
        scrub_bytes_per_s: u64,
        fold: impl Fn() + Send + 'static,
    ) -> io::Result<(Self, WakingLog)> {
        // The first round makes up for what a crash has taken of the space that was ready.
        let bell = Arc::new(Bell::default());
        bell.ring(|signals| signals.wanted = true);
        let scrubbed = Arc::new(Mutex::new(ScrubStatus::default()));
        let mut this = Self { bell: Arc::clone(&bell), scrubbed: Arc::clone(&scrubbed), threads: Vec::new() };
        let (own, own_bell) = (Arc::clone(log), Arc::clone(&bell));
        this.threads.push(spawn("waag-prepare", move || prepare(&own, &own_bell))?);
        let own_bell = Arc::clone(&bell);
        this.threads.push(spawn("waag-fold", move || {
            while own_bell.sleep(FOLD_PERIOD) {
                fold();
            }
        })?);
        if scrub_bytes_per_s > 0 {
            let (own, own_bell) = (Arc::clone(log), Arc::clone(&bell));
            let scrubber = Scrubber::new(files, ledger);
            let rate = ScrubRate::new(scrub_bytes_per_s, clock.monotonic());
            hold(&scrubbed).runs = true;
            this.threads.push(spawn("waag-scrub", move || {
                scrub(scrubber, rate, &own, &own_bell, &*clock, &scrubbed)
            })?);
        }
        Ok((this, WakingLog { log: Arc::clone(log), bell }))
    }

    /// What the scrubber has done so far.
    pub(crate) fn scrubbed(&self) -> ScrubStatus {
        hold(&self.scrubbed).clone()
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.bell.ring(|signals| signals.stop = true);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

fn prepare(log: &FilesLog, bell: &Bell) {
    while bell.wait_wanted() {
        match log.prepare() {
            Ok(_) => {}
            // Appends go on in the space that is ready; perhaps there will be more.
            Err(AppendError::NoSpace(_)) => {
                if !bell.sleep(PREPARE_DELAY) {
                    return;
                }
            }
            // The next append says why.
            Err(_) => return,
        }
    }
}

fn scrub(
    mut scrubber: Scrubber,
    mut rate: ScrubRate,
    log: &FilesLog,
    bell: &Bell,
    clock: &dyn Clock,
    status: &Mutex<ScrubStatus>,
) {
    while bell.sleep(SCRUB_PERIOD) {
        let step = scrubber.step(rate.grant(clock.monotonic()), log.tail().next);
        let mut status = hold(status);
        match step {
            Ok(step) => {
                status.bytes += step.bytes;
                status.rounds += u64::from(step.wrapped);
                status.round_bytes += step.bytes;
                if step.wrapped {
                    status.ended = Some(clock.now());
                    status.whole_bytes = std::mem::take(&mut status.round_bytes);
                }
                let room = FAULTS_MAX.saturating_sub(status.faults.len());
                let known: Vec<LogFault> = status.faults.clone();
                status
                    .faults
                    .extend(step.faults.into_iter().filter(|fault| !known.contains(fault)).take(room));
            }
            Err(_) => status.failures += 1,
        }
    }
}
