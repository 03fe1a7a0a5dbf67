//! Publication: every interval the newest guarded checkpoint is shown to outsiders, and witnesses are asked to cosign it.
//!
//! Place in the way of an event: *publish*, behind the acknowledgement and never in its way: whatever fails here stops no
//! append, it makes the lag grow, which is told ([`PublicationStatus`], figures).
//! One thread looks at the writer and keeps what is published; another one asks all witnesses (`asking`).
//! Not here: serving (`tiles`, `edge/http`), witnessing other logs (`node/witnessing`), the static copy (`waag log export`).
//!
//! - `PUBLISH-1`: what is published never shrinks: it is durable in the state before anybody is told of it, and a ledger
//!   that is not that one, grown, publishes nothing ([`Stopped`]).
//! - `PUBLISH-2`: a witness gets one question at a time, and what it has seen of another history is kept and shown.
//!
//! A crash between keeping and showing shows the same checkpoint after the next start.

mod asking;
pub mod figures;
pub(crate) mod history;
pub mod keys;
pub mod record;
pub mod status;
pub mod tiles;

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use waag_engine::recover::verifier_keys;
use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_ledger::checkpoint::SignedCheckpoint;
use waag_ledger::cosignature::Cosigner;
use waag_ledger::note::{Note, NoteSignature, VerifierKey};
use waag_ledger::policy::{Policy, PolicyError};
use waag_model::time::UtcNanos;
use waag_witness::WitnessError;

use crate::cli::tell;
use crate::store::writer::OpenedStore;

use record::{COSIGNED, Kept, LATEST, NOTE_BYTES_MAX, forget_witness, keep_witness};
use status::{Alarm, AlarmKind, Answer, Cosigned, PublicationStatus, QuorumStatus, Stopped, WitnessStatus};

/// How often the newest checkpoint is published, in milliseconds, where nothing else is asked for.
pub const PUBLISH_INTERVAL_MS: u64 = 1_000;
/// How many checkpoints wait for cosignatures, so that a witness that takes longer than an interval counts too.
const RECENT_MAX: usize = 8;
/// How often the standing of witnesses is kept, in milliseconds; a published checkpoint is kept at once.
const KEEP_MS: u64 = 2_000;
/// How far a cosignature's time may lie ahead of this clock, in seconds.
const AHEAD_S_MAX: u64 = 300;
/// How long one question to a witness may take, in milliseconds.
pub const WITNESS_TIMEOUT_MS: u64 = 5_000;

/// How a node publishes.
#[derive(Clone, Debug)]
pub struct PublishOptions {
    /// How often the newest checkpoint is published, in milliseconds.
    pub interval_ms: u64,
    /// Whether anybody may read the log without a key.
    pub is_public: bool,
    /// Whether what is published is signed with ML-DSA-44 beside Ed25519.
    pub with_ml_dsa: bool,
    /// Whose cosignatures are asked for; nobody's where there is none.
    pub policy: Option<Policy>,
    /// Whether witnesses may be asked over plain `http`.
    pub allow_http: bool,
    /// How long one question to a witness may take.
    pub timeout_ms: u64,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self {
            interval_ms: PUBLISH_INTERVAL_MS,
            is_public: false,
            with_ml_dsa: true,
            policy: None,
            allow_http: false,
            timeout_ms: WITNESS_TIMEOUT_MS,
        }
    }
}

/// Why publication cannot begin.
#[derive(Debug)]
pub enum PublishError {
    /// The policy file cannot be read.
    PolicyFile(std::io::Error),
    /// It is none.
    Policy(PolicyError),
    /// Witnesses cannot be asked.
    Witness(WitnessError),
    /// What is kept of it cannot be read, or a key cannot be made.
    Keys(KeysError),
    /// A key has no place in a signed note.
    Key(&'static str, String),
    /// A thread cannot be had.
    Thread(std::io::Error),
}

impl PublishError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::PolicyFile(_) => "E0868",
            Self::Policy(error) => error.code(),
            Self::Witness(error) => error.code(),
            Self::Keys(error) => error.code(),
            Self::Key(code, _) => code,
            Self::Thread(_) => "E0864",
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PolicyFile(_) => write!(f, "the file of witnesses or logs cannot be read"),
            Self::Policy(error) => error.fmt(f),
            Self::Witness(error) => error.fmt(f),
            Self::Keys(error) => error.fmt(f),
            Self::Key(_, why) => f.write_str(why),
            Self::Thread(_) => write!(f, "the threads of publication cannot be started"),
        }
    }
}

impl std::error::Error for PublishError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::PolicyFile(error) | Self::Thread(error) => Some(error),
            Self::Policy(_) | Self::Witness(_) | Self::Keys(_) | Self::Key(..) => None,
        }
    }
}

impl From<KeysError> for PublishError {
    fn from(error: KeysError) -> Self {
        Self::Keys(error)
    }
}

/// Reads a policy file (C2SP tlog-policy).
///
/// # Errors
/// [`PublishError::PolicyFile`], [`PublishError::Policy`].
pub fn read_policy(path: &Path) -> Result<Policy, PublishError> {
    let bytes = read_small(path, waag_ledger::policy::POLICY_BYTES_MAX)?;
    Policy::parse(&bytes).map_err(PublishError::Policy)
}

/// Reads a file, and of a longer one one byte more than it may have.
pub(super) fn read_small(path: &Path, bytes_max: usize) -> Result<Vec<u8>, PublishError> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(PublishError::PolicyFile)?;
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(PublishError::PolicyFile)?;
    Ok(bytes)
}

/// The witnesses of a policy with what is kept of them, and behind them former ones with an alarm; what is kept of other
/// former ones is forgotten, but for a node that is started without any policy.
fn known_witnesses(keyring: &Keyring, policy: Option<&Policy>) -> Result<Vec<WitnessStatus>, KeysError> {
    let mut kept = record::witnesses(keyring)?;
    let mut all = Vec::new();
    for witness in policy.into_iter().flat_map(Policy::witnesses) {
        let url = witness.url.as_ref().map(ToString::to_string);
        let named = WitnessStatus::new(witness.name.to_string(), witness.key.to_string(), url);
        let place = kept.iter().position(|known| known.vkey == named.vkey);
        all.push(match place.map(|place| kept.swap_remove(place)) {
            Some(known) => WitnessStatus { name: named.name, url: named.url, ..known },
            None => named,
        });
    }
    for former in kept {
        if former.alarm.is_some() {
            all.push(former);
        } else if policy.is_some() {
            forget_witness(keyring, &former)?;
        }
    }
    Ok(all)
}

/// A checkpoint that is published.
#[derive(Clone)]
struct Held {
    /// As the log signed it.
    log: SignedCheckpoint,
    /// With the cosignatures collected so far.
    all: SignedCheckpoint,
    note: Arc<str>,
    at: UtcNanos,
    /// What the policy says of this note, where there is one.
    quorum: Option<QuorumStatus>,
}

impl Held {
    fn size(&self) -> u64 {
        self.log.checkpoint().size
    }

    fn kept(&self) -> Kept {
        let told = self.log.checkpoint();
        let (origin, note) = (told.origin.clone(), self.note.to_string());
        Kept { origin, size: told.size, root: told.root, at: self.at, note }
    }
}

#[derive(Default)]
struct State {
    /// Newest last; that one is served.
    recent: VecDeque<Held>,
    cosigned: Option<Cosigned>,
    /// By the monotonic clock: everything that was guarded then is published.
    complete_at: Duration,
    stopped: Option<Stopped>,
    witnesses: Vec<WitnessStatus>,
    /// The newest one has cosignatures that are not kept.
    is_latest_due: bool,
    /// Witnesses have answered things that are not kept; at once, where one is an alarm.
    due: Due,
    kept_at: Duration,
    ending: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    #[default]
    Nothing,
    Later,
    Now,
}

/// What the threads and those who ask share.
struct Shared {
    store: Arc<OpenedStore>,
    options: PublishOptions,
    second: Option<Cosigner>,
    witness_keys: Vec<VerifierKey>,
    state: Mutex<State>,
    bell: Condvar,
    news: watch::Sender<()>,
}

/// Publishes one ledger. Dropping it publishes what is guarded by then, and ends its threads.
pub struct Publishing {
    shared: Arc<Shared>,
    looking: Option<JoinHandle<()>>,
    asking: Option<asking::Asking>,
}

impl fmt::Debug for Publishing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publishing").finish_non_exhaustive()
    }
}

impl Publishing {
    /// Starts publication. What does not fit to what was published before is no error: it is told, and nothing is published.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn start(store: &Arc<OpenedStore>, options: PublishOptions) -> Result<Self, PublishError> {
        let keyring = &store.keyring;
        let second = if options.with_ml_dsa { Some(keys::second(store)?) } else { None };
        let witness_keys = options.policy.as_ref().map(Policy::witness_keys).unwrap_or_default();
        let witnesses = known_witnesses(keyring, options.policy.as_ref())?;
        let mut state = State { witnesses, ..State::default() };
        let (news, heard) = watch::channel(());
        let bell = Condvar::new();
        let store = Arc::clone(store);
        let mut shared = Shared { store, options, second, witness_keys, state: Mutex::default(), bell, news };
        let guarded = Arc::clone(&shared.store.status().checkpoint);
        let latest = history::published(&shared.store.keyring, &guarded.checkpoint().origin)?;
        if let Some(kept) = &latest {
            match history::check(&*shared.store.log, guarded.checkpoint().size, kept) {
                Ok(()) => state.recent.extend(shared.held_again(kept)),
                Err(stopped) => state.stopped = Some(stopped),
            }
        }
        let cosigned = record::cosigned(&shared.store.keyring)?;
        state.cosigned = cosigned
            .filter(|kept| kept.origin == guarded.checkpoint().origin)
            .map(|kept| Cosigned { size: kept.size, at: kept.at, note: kept.note.into() });
        state.complete_at = shared.store.clock.monotonic();
        shared.state = Mutex::new(state);
        let shared = Arc::new(shared);
        let known = shared.state().recent.back().map(Held::size);
        known.into_iter().for_each(|size| shared.consider(size));
        let asking = asking::Asking::start(&shared, heard)?;
        let looker = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("waag-publish".to_owned());
        let looking = thread.spawn(move || looker.run()).map_err(PublishError::Thread)?;
        Ok(Self { shared, looking: Some(looking), asking })
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> PublicationStatus {
        self.shared.status()
    }

    /// How often it looks at the writer, in milliseconds.
    #[must_use]
    pub fn interval_ms(&self) -> u64 {
        self.shared.options.interval_ms
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        drop(self.asking.take());
        self.shared.state().ending = true;
        self.shared.bell.notify_all();
        if let Some(looking) = self.looking.take() {
            drop(looking.join());
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_s(&self) -> u64 {
        u64::try_from(self.store.clock.now().0.div_euclid(1_000_000_000)).unwrap_or(0)
    }

    /// Looks at the writer until told to end, and once more then.
    fn run(&self) {
        let interval = Duration::from_millis(self.options.interval_ms.max(1));
        let mut ending = false;
        loop {
            self.look();
            self.keep(ending);
            if ending {
                return;
            }
            let state = self.state();
            let slept = self.bell.wait_timeout_while(state, interval, |state| !state.ending);
            ending = slept.unwrap_or_else(PoisonError::into_inner).0.ending;
        }
    }

    /// Publishes the newest guarded checkpoint where it is newer than what is published.
    fn look(&self) {
        let looked = self.store.clock.monotonic();
        let guarded = Arc::clone(&self.store.status().checkpoint);
        let size = guarded.checkpoint().size;
        let (published, is_stopped) = {
            let state = self.state();
            (state.recent.back().map(Held::size), state.stopped.is_some())
        };
        if is_stopped {
            return;
        }
        if published.is_some_and(|published| published >= size) {
            self.state().complete_at = looked;
            return;
        }
        let held = match self.signed(&guarded) {
            Ok(held) => held,
            Err(stopped) => return self.stop(stopped),
        };
        if let Err(error) = held.kept().keep(&self.store.keyring, LATEST) {
            return self.stop(Stopped { code: error.code(), reason: error.to_string() });
        }
        let mut state = self.state();
        state.recent.push_back(held);
        while state.recent.len() > RECENT_MAX {
            state.recent.pop_front();
        }
        state.complete_at = looked;
        state.is_latest_due = false;
        drop(state);
        self.consider(size);
        self.news.send_replace(());
    }

    fn stop(&self, stopped: Stopped) {
        tell(&format!("warning: {}: {}; nothing more is published", stopped.code, stopped.reason));
        self.state().stopped = Some(stopped);
    }

    /// A guarded checkpoint with the log's second signature.
    fn signed(&self, guarded: &SignedCheckpoint) -> Result<Held, Stopped> {
        let log = match &self.second {
            None => guarded.clone(),
            Some(second) => guarded
                .cosigned(second, self.now_s())
                .map_err(|error| Stopped { code: error.code(), reason: error.to_string() })?,
        };
        let note = log.note().into();
        Ok(Held { all: log.clone(), log, note, at: self.store.clock.now(), quorum: None })
    }

    /// What was published last, with the cosignatures that it had; where its note cannot be believed as it is kept, nothing
    /// is lost but these.
    fn held_again(&self, kept: &Kept) -> Option<Held> {
        let mut keys = verifier_keys(&self.store.ledger).ok()?;
        keys.extend(self.second.as_ref().map(|second| second.verifier_key().clone()));
        let note = Note::parse(kept.note.as_bytes()).ok()?;
        let log = SignedCheckpoint::verify(kept.note.as_bytes(), &keys).ok()?;
        let all =
            log.with_cosignatures(note.signatures(), &self.witness_keys).unwrap_or_else(|_| log.clone());
        let note = all.note().into();
        Some(Held { log, all, note, at: kept.at, quorum: None })
    }

    /// Adds cosignatures to the checkpoint of that size, as long as it is among the recent ones.
    fn add(&self, size: u64, lines: &[NoteSignature]) {
        let mut state = self.state();
        let is_newest = state.recent.back().is_some_and(|held| held.size() == size);
        let Some(held) = state.recent.iter_mut().find(|held| held.size() == size) else { return };
        let Ok(all) = held.all.with_cosignatures(lines, &self.witness_keys) else { return };
        if all.note().len() > NOTE_BYTES_MAX {
            return;
        }
        held.note = all.note().into();
        held.all = all;
        state.is_latest_due |= is_newest;
        drop(state);
        self.consider(size);
    }

    /// Looks what the policy says of a checkpoint, and notes one that has all cosignatures which it asks for.
    fn consider(&self, size: u64) {
        let Some(policy) = &self.options.policy else { return };
        let of_size = |held: &&mut Held| held.size() == size;
        let note = self.state().recent.iter_mut().find(of_size).map(|held| Arc::clone(&held.note));
        let Some(note) = note else { return };
        // Signatures are verified without holding up those who read.
        let quorum = self.quorum(policy, &note);
        let mut state = self.state();
        let is_newer = state.cosigned.as_ref().is_none_or(|cosigned| cosigned.size <= size);
        if quorum.met && is_newer {
            let at = self.store.clock.now();
            state.cosigned = Some(Cosigned { size, at, note: Arc::clone(&note) });
            state.due = state.due.max(Due::Later);
        }
        // Another answer may have come meanwhile, which looks by itself.
        let held = state.recent.iter_mut().find(of_size).filter(|held| Arc::ptr_eq(&held.note, &note));
        if let Some(held) = held {
            held.quorum = Some(quorum);
        }
    }

    fn quorum(&self, policy: &Policy, note: &str) -> QuorumStatus {
        let latest = self.now_s().saturating_add(AHEAD_S_MAX);
        let name = policy.quorum_name().map(ToString::to_string);
        let found = Note::parse(note.as_bytes()).and_then(|note| policy.evaluate(&note, Some(latest)));
        match found {
            Ok(quorum) => {
                let silent = quorum.silent.iter().map(ToString::to_string).collect();
                QuorumStatus { name, met: quorum.met, silent }
            }
            // A false line never gets into a published note; one that is found counts against it.
            Err(_) => QuorumStatus { name, met: false, silent: Vec::new() },
        }
    }

    /// Keeps what is due.
    fn keep(&self, ending: bool) {
        let now = self.store.clock.monotonic();
        let (latest, rest) = {
            let mut state = self.state();
            let latest =
                std::mem::take(&mut state.is_latest_due).then(|| state.recent.back().map(Held::kept));
            let age = now.saturating_sub(state.kept_at);
            let is_due = match state.due {
                Due::Nothing => false,
                Due::Later => ending || age >= Duration::from_millis(KEEP_MS),
                Due::Now => true,
            };
            let rest = is_due.then(|| {
                state.due = Due::Nothing;
                state.kept_at = now;
                (state.witnesses.clone(), state.cosigned.clone())
            });
            (latest.flatten(), rest)
        };
        if let Err(error) = self.keep_all(latest, rest) {
            self.stop(Stopped { code: error.code(), reason: error.to_string() });
        }
    }

    fn keep_all(
        &self,
        latest: Option<Kept>,
        rest: Option<(Vec<WitnessStatus>, Option<Cosigned>)>,
    ) -> Result<(), KeysError> {
        let keyring = &self.store.keyring;
        if let Some(latest) = latest {
            latest.keep(keyring, LATEST)?;
        }
        let Some((witnesses, cosigned)) = rest else { return Ok(()) };
        for witness in &witnesses {
            keep_witness(keyring, witness)?;
        }
        let Some(Cosigned { size, at, note }) = cosigned else { return Ok(()) };
        let Ok(parsed) = SignedCheckpoint::verify(note.as_bytes(), &self.log_keys()) else { return Ok(()) };
        let told = parsed.checkpoint();
        let (origin, note) = (told.origin.clone(), note.to_string());
        Kept { origin, size, root: told.root, at, note }.keep(keyring, COSIGNED)
    }

    fn log_keys(&self) -> Vec<VerifierKey> {
        verifier_keys(&self.store.ledger).unwrap_or_default()
    }

    fn status(&self) -> PublicationStatus {
        let store = &self.store;
        // The published one first, which only grows: what is told as lag is that at least.
        let state = self.state();
        let newest = state.recent.back();
        let size = newest.map_or(0, Held::size);
        let lag_entries = store.status().checkpoint.checkpoint().size.saturating_sub(size);
        let behind = store.clock.monotonic().saturating_sub(state.complete_at);
        let note = newest.map(|held| Arc::clone(&held.note));
        PublicationStatus {
            size,
            published_at: newest.map(|held| held.at),
            lag_entries,
            lag: if lag_entries == 0 { Duration::ZERO } else { behind },
            stopped: state.stopped.clone(),
            is_public: self.options.is_public,
            quorum: newest.and_then(|held| held.quorum.clone()),
            cosigned: state.cosigned.clone(),
            witnesses: state.witnesses.clone(),
            note,
        }
    }
}
