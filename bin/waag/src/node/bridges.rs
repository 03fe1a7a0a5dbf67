//! Bridges into this node: streams of NATS followed, each by a source of its own; made, paused, resumed and removed by people.
//!
//! Place: before *accept*. A bridge goes only to a server that whoever started the node has named (`--nats-server`), since
//! who may make bridges is not always who may reach that network. Each change is an event of the ledger before it is done.
//! Not here: reading a stream (`drivers/nats`), recording what comes (`taker`), what is kept (`record`), the command (`cli`).
//!
//! - `BRIDGE-2`: a bridge that a condition stopped goes on when a person says so, and not before, restarts included.

pub mod error;
mod record;
mod taker;
pub mod told;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use waag_model::ids::Actor;
use waag_model::limits::TYPE_BYTES_MAX;
use waag_model::value::Value;
use waag_nats::error::NatsError;
use waag_nats::source::NatsSource;
use waag_nats::take::{Condition, Cursor, Take};
use waag_stdx::entropy::SystemEntropy;

use super::NodeError;
use super::deliveries::{Part, Refused};
use crate::store::own::{OWN_TYPES, own_event};
use crate::store::writer::OpenedStore;

use error::BridgeError;
pub use record::Counts;
use record::{Kept, New, Record, Standing};
use taker::Taker;
use told::{Answer, Asked, Shown};

/// Most bridges of a ledger.
pub const BRIDGES_MAX: usize = 64;
/// Most bridges in one answer of the desk, which has 16 KiB.
pub const LISTED_MAX: usize = 4;
/// Longest name of a bridge, and of a stream, a consumer or an origin, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest address of a server, in bytes.
pub const SERVER_BYTES_MAX: usize = 255;
/// Most bytes of a reason that is told or kept.
pub const REASON_BYTES_MAX: usize = 512;
/// The type of events made of messages that are none, where nothing else is said.
pub const KIND: &str = "nats.message";
/// The port of NATS.
const PORT: u16 = 4_222;
/// How long the end of a connection is waited for, when the node ends.
const ENDING: Duration = Duration::from_secs(5);
/// The wait before what stopped a bridge is told again, where it could not be.
const TELL_AGAIN: Duration = Duration::from_millis(500);

/// The bridges of a node. Dropping them ends all of them in order: what is being recorded is recorded first.
pub struct Bridges {
    inner: Arc<Inner>,
    runtime: Option<Runtime>,
}

impl fmt::Debug for Bridges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.inner.bridges().keys()).finish()
    }
}

struct Inner {
    store: Arc<OpenedStore>,
    allowed: Vec<String>,
    handle: Handle,
    bridges: Mutex<BTreeMap<String, Bridge>>,
    is_ending: AtomicBool,
}

struct Bridge {
    record: Record,
    kept: Kept,
    run: Option<Run>,
    /// Why it does not run though it stands so.
    refused: Option<(&'static str, String)>,
}

struct Run {
    source: Arc<NatsSource>,
    taker: Arc<Taker>,
    task: JoinHandle<()>,
}

impl Bridges {
    /// Loads the bridges of a store, and starts those that stand so; `allowed` are the servers that they may go to.
    ///
    /// # Errors
    /// [`NodeError::Bridges`], [`NodeError::Thread`].
    pub fn start(store: &Arc<OpenedStore>, allowed: &[String]) -> Result<Self, NodeError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            // Each bridge has one call under way, or one name to look up.
            .max_blocking_threads(BRIDGES_MAX)
            .thread_name("waag-bridge")
            .enable_all()
            .build()
            .map_err(NodeError::Thread)?;
        let inner = Arc::new(Inner {
            store: Arc::clone(store),
            allowed: allowed.iter().map(|server| plain(server)).collect(),
            handle: runtime.handle().clone(),
            bridges: Mutex::default(),
            is_ending: AtomicBool::new(false),
        });
        for (record, kept) in record::load(&store.keyring).map_err(NodeError::Bridges)? {
            let mut bridge = Bridge { record, kept, run: None, refused: None };
            if bridge.record.standing == Standing::Running {
                inner.run_or_say(&mut bridge);
            }
            inner.bridges().insert(bridge.record.name.clone(), bridge);
        }
        Ok(Self { inner, runtime: Some(runtime) })
    }

    /// Answers what is asked about bridges: the JSON of an [`Answer`].
    #[must_use]
    pub fn answer(&self, asked: &Asked) -> String {
        let told = match asked {
            Asked::List { after } => json(&Answer::Told(self.inner.list(after.as_deref()))),
            Asked::Show { name } => shown(self.inner.show(name)),
            Asked::Create { .. } => shown(self.inner.create(asked)),
            Asked::Pause { by, name } => shown(self.inner.pause(by, name)),
            Asked::Resume { by, name } => shown(self.inner.resume(by, name)),
            Asked::AcceptReset { by, name, reason } => shown(self.inner.accept_reset(by, name, reason)),
            Asked::Remove { by, name } => shown(self.inner.remove(by, name)),
        };
        told.unwrap_or_else(|error| error.to_string())
    }
}

impl Drop for Bridges {
    fn drop(&mut self) {
        self.inner.is_ending.store(true, Ordering::Release);
        for bridge in self.inner.bridges().values_mut() {
            bridge.stop();
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(ENDING);
        }
    }
}

fn json<T: Serialize>(answer: &Answer<T>) -> serde_json::Result<String> {
    serde_json::to_string(answer)
}

fn shown(done: Result<Shown, BridgeError>) -> serde_json::Result<String> {
    match done {
        Ok(shown) => json(&Answer::Told(shown)),
        Err(error) => json::<Shown>(&Answer::Refused(Refused {
            code: error.code().to_owned(),
            reason: short(&error.to_string()),
            callers: error.is_callers(),
        })),
    }
}

fn short(text: &str) -> String {
    let mut text = text.to_owned();
    text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
    text
}

fn text(text: &str) -> Value<'static> {
    Value::Text(text.to_owned().into())
}

/// A server's address in the form in which two are compared: in small letters, with its port, without a slash behind it.
fn plain(server: &str) -> String {
    let server = server.strip_suffix('/').unwrap_or(server).to_ascii_lowercase();
    let authority = server.split_once("://").map_or(server.as_str(), |(_, authority)| authority);
    let behind_host = authority.rsplit_once(']').map_or(authority, |(_, behind)| behind);
    if behind_host.contains(':') { server } else { format!("{server}:{PORT}") }
}

/// The host of an address, as an origin.
fn host(server: &str) -> String {
    let authority = plain(server);
    let authority = authority.split_once("://").map_or(authority.as_str(), |(_, authority)| authority);
    authority.rsplit_once(':').map_or(authority, |(host, _)| host).to_owned()
}

fn unusable(why: &str) -> BridgeError {
    NatsError::Options(why.to_owned()).into()
}

/// Names and sizes; the source itself says what else they must be.
fn check(new: &New<'_>) -> Result<(), BridgeError> {
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = new.name.len() <= NAME_BYTES_MAX
        && new.name.starts_with(|c: char| c.is_ascii_lowercase())
        && new.name.chars().all(is_letter);
    if !is_name {
        return Err(unusable(
            "a bridge's name has at most 64 lower-case letters, digits and hyphens, beginning with a letter",
        ));
    }
    if [new.stream, new.consumer, new.origin].iter().any(|name| name.len() > NAME_BYTES_MAX) {
        return Err(unusable("stream, consumer and origin have at most 64 characters"));
    }
    if new.server.len() > SERVER_BYTES_MAX {
        return Err(unusable("a server's address has at most 255 characters"));
    }
    let is_kind = new.kind.len() <= TYPE_BYTES_MAX
        && !new.kind.starts_with(OWN_TYPES)
        && !new.kind.chars().any(char::is_control);
    if is_kind {
        Ok(())
    } else {
        Err(unusable("events have a type of at most 255 bytes, and none of Waag's own"))
    }
}

impl Bridge {
    /// Ends its run, once what it is recording is recorded.
    fn stop(&mut self) {
        self.refused = None;
        if let Some(run) = self.run.take() {
            run.task.abort();
            self.kept = run.taker.close();
        }
    }

    fn shown(&self) -> Shown {
        let status = self.run.as_ref().map(|run| run.source.status()).unwrap_or_default();
        let kept = self.run.as_ref().map_or_else(|| self.kept.clone(), |run| run.taker.kept());
        let (standing, stopped) = match &self.record.standing {
            Standing::Running => ("running", None),
            Standing::Paused => ("paused", None),
            Standing::Stopped { code, reason } => ("stopped", Some((code.clone(), reason.clone()))),
        };
        let owned = |(code, reason): (&str, String)| (code.to_owned(), reason);
        let failure =
            stopped.or_else(|| status.failure.map(owned)).or_else(|| self.refused.clone().map(owned));
        let (code, reason) = failure.map(|(code, reason)| (code, short(&reason))).unzip();
        let Record { name, server, stream, consumer, origin, kind, .. } = self.record.clone();
        let following = status.is_following;
        Shown {
            name,
            server,
            stream,
            consumer,
            origin,
            kind,
            standing: standing.to_owned(),
            following,
            code,
            reason,
            cursor: kept.cursor,
            counts: kept.counts,
        }
    }
}

impl Inner {
    fn bridges(&self) -> MutexGuard<'_, BTreeMap<String, Bridge>> {
        self.bridges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn list(&self, after: Option<&str>) -> Part<Shown> {
        let bridges = self.bridges();
        let mut behind = bridges.values().filter(|one| after.is_none_or(|after| *one.record.name > *after));
        let items = behind.by_ref().take(LISTED_MAX).map(Bridge::shown).collect();
        Part { items, more: behind.next().is_some() }
    }

    fn show(&self, name: &str) -> Result<Shown, BridgeError> {
        self.with(name, |bridge| Ok(bridge.shown()))
    }

    fn with<T>(
        &self,
        name: &str,
        then: impl FnOnce(&mut Bridge) -> Result<T, BridgeError>,
    ) -> Result<T, BridgeError> {
        let mut bridges = self.bridges();
        then(bridges.get_mut(name).ok_or_else(|| BridgeError::Unknown(name.to_owned()))?)
    }

    fn allow(&self, server: &str) -> Result<(), BridgeError> {
        let is_allowed = self.allowed.contains(&plain(server));
        if is_allowed { Ok(()) } else { Err(BridgeError::NotAllowed(short(server))) }
    }

    /// Records a change, with who asked for it.
    fn tell(
        &self,
        by: &str,
        kind: &str,
        record: &Record,
        more: Vec<(&'static str, Value<'static>)>,
    ) -> Result<(), BridgeError> {
        let by = Actor::new(by).map_err(BridgeError::Name)?;
        let Record { name, server, stream, consumer, origin, kind: made, .. } = record;
        let mut members = vec![
            ("bridge", text(name)),
            ("server", text(server)),
            ("stream", text(stream)),
            ("consumer", text(consumer)),
            ("origin", text(origin)),
            ("kind", text(made)),
        ];
        members.extend(more);
        let event = own_event(kind, None, members).map_err(BridgeError::Entropy)?;
        self.store.record(&event, &by).map(drop).map_err(BridgeError::Store)
    }

    /// Starts a run from where the bridge is.
    fn run(self: &Arc<Self>, bridge: &mut Bridge) -> Result<(), BridgeError> {
        let Bridge { record, kept, .. } = &*bridge;
        self.allow(&record.server)?;
        let options = record.options(&self.store.keyring)?;
        let source = Arc::new(NatsSource::new(&options, &SystemEntropy::new())?);
        let taker = Arc::new(Taker::new(&self.store, record, kept.clone())?);
        let (inner, followed, take) = (Arc::clone(self), Arc::clone(&source), Arc::clone(&taker));
        let (name, cursor) = (record.name.clone(), kept.cursor.clone());
        let task = self.handle.spawn(async move {
            let condition = followed.follow(cursor, Arc::clone(&take) as Arc<dyn Take>).await;
            // An error means that the node is ending.
            let told = tokio::task::spawn_blocking(move || inner.stopped(&name, &take, &condition)).await;
            drop(told);
        });
        bridge.run = Some(Run { source, taker, task });
        bridge.refused = None;
        Ok(())
    }

    /// One that cannot run any more holds up neither the node nor the others.
    fn run_or_say(self: &Arc<Self>, bridge: &mut Bridge) {
        if let Err(error) = self.run(bridge) {
            bridge.refused = Some((error.code(), error.to_string()));
        }
    }

    /// A condition has ended a run: it is told, and the bridge stands so from then on. Tried until it is done, or until the
    /// run is ended by somebody: the next run meets the same condition.
    fn stopped(&self, name: &str, taker: &Arc<Taker>, condition: &Condition) {
        let reason = short(&condition.to_string());
        let mut is_told = false;
        while !self.is_ending.load(Ordering::Acquire) {
            // Told outside of the lock, since a full writer is waited for.
            is_told = is_told || taker.tell_stopped(condition.code(), &reason).is_ok();
            if is_told {
                let mut bridges = self.bridges();
                let is_same = |run: &Run| Arc::ptr_eq(&run.taker, taker);
                let Some(bridge) =
                    bridges.get_mut(name).filter(|bridge| bridge.run.as_ref().is_some_and(is_same))
                else {
                    return;
                };
                let standing =
                    Standing::Stopped { code: condition.code().to_owned(), reason: reason.clone() };
                let record = bridge.record.standing(standing);
                if record::keep_record(&self.store.keyring, &record).is_ok() {
                    bridge.record = record;
                    bridge.stop();
                    return;
                }
            }
            std::thread::sleep(TELL_AGAIN);
        }
    }

    fn create(self: &Arc<Self>, asked: &Asked) -> Result<Shown, BridgeError> {
        let Asked::Create { by, name, server, stream, consumer, origin, kind, secret } = asked else {
            return Err(BridgeError::Unknown(String::new()));
        };
        let origin = origin.clone().unwrap_or_else(|| host(server));
        let new = New { name, server, stream, consumer, origin: &origin, kind };
        check(&new)?;
        let keyring = &self.store.keyring;
        let record = Record::new(&new, secret.as_ref().map(|secret| secret.0.as_str()), keyring)?;
        NatsSource::new(&record.options(keyring)?, &SystemEntropy::new())?;
        self.allow(server)?;
        let mut bridges = self.bridges();
        if bridges.contains_key(name) {
            return Err(BridgeError::Taken(format!("there is a bridge `{name}` already")));
        }
        if bridges.len() >= BRIDGES_MAX {
            return Err(BridgeError::Taken(format!("there are {BRIDGES_MAX} bridges already")));
        }
        let is_same = |one: &&Bridge| {
            let (one, stream) = (&one.record, record.stream.as_str());
            one.stream == stream
                && (one.origin == record.origin
                    || (plain(&one.server) == plain(server) && one.consumer == record.consumer))
        };
        if let Some(other) = bridges.values().find(is_same) {
            let other = &other.record.name;
            return Err(BridgeError::Taken(format!(
                "the bridge `{other}` has this stream already, under the same origin or by the same consumer"
            )));
        }
        self.tell(by, "waag.bridge.created", &record, Vec::new())?;
        let cursor = Cursor { generation: record::generation(keyring, &record)?, ..Cursor::default() };
        let kept = Kept::new(cursor, Counts::default());
        record::keep_cursor(keyring, name, &kept)?;
        record::keep_record(keyring, &record)?;
        let mut bridge = Bridge { record, kept, run: None, refused: None };
        self.run_or_say(&mut bridge);
        let shown = bridge.shown();
        bridges.insert(name.clone(), bridge);
        Ok(shown)
    }

    /// Changes how a bridge stands, durably.
    fn stand(&self, bridge: &mut Bridge, standing: Standing) -> Result<(), BridgeError> {
        let record = bridge.record.standing(standing);
        record::keep_record(&self.store.keyring, &record)?;
        bridge.record = record;
        Ok(())
    }

    fn pause(&self, by: &str, name: &str) -> Result<Shown, BridgeError> {
        self.with(name, |bridge| {
            if bridge.record.standing != Standing::Running {
                return Err(BridgeError::Standing(format!("the bridge `{name}` is not running")));
            }
            self.tell(by, "waag.bridge.paused", &bridge.record, Vec::new())?;
            self.stand(bridge, Standing::Paused)?;
            bridge.stop();
            Ok(bridge.shown())
        })
    }

    fn resume(self: &Arc<Self>, by: &str, name: &str) -> Result<Shown, BridgeError> {
        self.with(name, |bridge| {
            if bridge.record.standing == Standing::Running && bridge.run.is_some() {
                return Err(BridgeError::Standing(format!("the bridge `{name}` is running")));
            }
            self.allow(&bridge.record.server)?;
            self.tell(by, "waag.bridge.resumed", &bridge.record, Vec::new())?;
            self.stand(bridge, Standing::Running)?;
            self.run(bridge)?;
            Ok(bridge.shown())
        })
    }

    fn accept_reset(self: &Arc<Self>, by: &str, name: &str, reason: &str) -> Result<Shown, BridgeError> {
        let is_reason = !reason.trim().is_empty() && reason.len() <= REASON_BYTES_MAX;
        if !is_reason {
            return Err(BridgeError::Standing(
                "a reset is accepted with a reason, of at most 512 bytes".to_owned(),
            ));
        }
        self.with(name, |bridge| {
            let reset = Condition::Reset(String::new());
            let is_reset = |code: &String| *code == reset.code();
            match &bridge.record.standing {
                Standing::Stopped { code, .. } if is_reset(code) => {}
                Standing::Running | Standing::Paused | Standing::Stopped { .. } => {
                    let why = format!("the bridge `{name}` has not stopped because its stream was reset");
                    return Err(BridgeError::Standing(why));
                }
            }
            self.allow(&bridge.record.server)?;
            let Cursor { created, sequence, generation, .. } = &bridge.kept.cursor;
            let data = vec![
                ("reason", text(reason)),
                ("created", text(created)),
                ("sequence", Value::Integer((*sequence).into())),
                ("generation", Value::Integer((*generation).into())),
            ];
            self.tell(by, "waag.bridge.reset-accepted", &bridge.record, data)?;
            let cursor = bridge.kept.cursor.after_reset();
            let keyring = &self.store.keyring;
            record::keep_generation(keyring, &bridge.record, cursor.generation)?;
            let kept = Kept::new(cursor, bridge.kept.counts.clone());
            record::keep_cursor(keyring, name, &kept)?;
            bridge.kept = kept;
            self.stand(bridge, Standing::Running)?;
            self.run(bridge)?;
            Ok(bridge.shown())
        })
    }

    fn remove(&self, by: &str, name: &str) -> Result<Shown, BridgeError> {
        let mut bridges = self.bridges();
        let bridge = bridges.get_mut(name).ok_or_else(|| BridgeError::Unknown(name.to_owned()))?;
        self.tell(by, "waag.bridge.removed", &bridge.record, Vec::new())?;
        bridge.stop();
        record::remove(&self.store.keyring, name)?;
        let shown = bridge.shown();
        bridges.remove(name);
        Ok(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_the_same_with_and_without_the_port_of_nats() {
        for (one, other) in [
            ("nats://Hub", "nats://hub:4222/"),
            ("tls://[::1]", "tls://[::1]:4222"),
            ("nats://hub:4223", "nats://hub:4223"),
        ] {
            assert_eq!(plain(one), plain(other));
        }
        assert_ne!(plain("nats://hub"), plain("tls://hub"));
        assert_ne!(plain("nats://hub:4222"), plain("nats://hub:42222"));
        assert_eq!(host("nats://hub.example:99/"), "hub.example");
    }

    #[test]
    fn names_and_types_are_checked_at_their_limits() {
        let long = "a".repeat(NAME_BYTES_MAX);
        let longer = "a".repeat(NAME_BYTES_MAX + 1);
        let (kind, longer_kind) = ("k".repeat(TYPE_BYTES_MAX), "k".repeat(TYPE_BYTES_MAX + 1));
        let new =
            |name, stream, kind| New { name, server: "nats://h", stream, consumer: "c", origin: "o", kind };
        let is_fine = |name, stream, kind| check(&new(name, stream, kind)).is_ok();
        assert!(is_fine(&long, &long, KIND));
        assert!(!is_fine(&longer, "S", KIND));
        assert!(!is_fine("a", &longer, KIND));
        for wrong in ["", "A", "1a", "a/b", "a b"] {
            assert!(!is_fine(wrong, "S", KIND), "{wrong}");
        }
        assert!(!is_fine("a", "S", "waag.x"));
        assert!(!is_fine("a", "S", "x\ny"));
        assert!(is_fine("a", "S", &kind));
        assert!(!is_fine("a", "S", &longer_kind));
    }
}
