//! Setting, listing and assigning usage plans, in this process or by asking the one that has the doors open; and a day's
//! counts, which outlive the process.
//!
//! Each change is an event of the ledger (`waag.plan.set`, `waag.plan.removed`, `waag.plan.assigned`, `waag.plan.node`). A
//! plan is durable before it counts, and counts before it is recorded; what a crash leaves between the two is recorded at the
//! next opening (`TOLD-1`).
//! The day's counts lie in a small file of the data folder, written once a second where they changed and at the end; a
//! kill forgets the last second at most. The file is not synced, so that it costs a commit nothing: after a loss of power
//! a key may have used some seconds more than the counts say.
//! Not here: counting (`waag_http::limit`), the stored form of plans (`waag_http::plans`), the command (`cli`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use waag_http::keys::{KeyError, Keys};
use waag_http::limit::{DayCounts, Limiter, Plan, Rate};
use waag_http::plans::{NODE, PlanError, Plans};
use waag_http::ports::Shelf;
use waag_model::ids::{Actor, NameError};
use waag_model::value::{Object, Value};
use waag_stdx::clock::Clock;

use crate::store::error::StoreError;
use crate::store::own::Members;
use crate::store::told_changes::{self, Change, Record};
use crate::store::writer::OpenedStore;

use super::desk::{StateDesk, record_name};

/// Most plans in one answer; with the longest names and numbers these are fewer bytes than the desk's answers may have.
pub const LISTED_MAX: usize = 16;
/// How often a day's counts are written, in milliseconds.
const COUNTS_MS: u64 = 1_000;
/// The file of a day's counts.
const COUNTS_FILE: &str = "day-counts.json";

/// What may be asked about usage plans.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "plan", rename_all = "lowercase", deny_unknown_fields)]
pub enum Asked {
    /// Make one, or replace it.
    Set {
        /// Who asks.
        by: String,
        /// Its name.
        name: String,
        /// What it allows.
        allows: Plan,
    },
    /// Take one away that no key is under.
    Remove {
        /// Who asks.
        by: String,
        /// Its name.
        name: String,
    },
    /// List those behind a name, or from the first; as many as [`LISTED_MAX`], which is short of all where there are more.
    List {
        /// The name of the last one seen.
        after: Option<String>,
    },
    /// Put a key under one.
    Assign {
        /// Who asks.
        by: String,
        /// The key's id.
        id: String,
        /// The plan's name.
        name: String,
    },
    /// Tell the node's own rate.
    Node,
    /// Set the node's own rate.
    Limit {
        /// Who asks.
        by: String,
        /// The rate; none for no limit.
        rate: Option<Rate>,
    },
}

/// A plan as it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Its name; the node itself has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it allows.
    #[serde(flatten)]
    pub allows: Plan,
    /// How many keys are under it.
    pub keys: usize,
}

/// Why what was asked was not done.
#[derive(Debug)]
pub enum PlansError {
    /// The plans' own store.
    Plans(PlanError),
    /// The keys' own store.
    Keys(KeyError),
    /// A name that is none.
    Name(NameError),
    /// It could not be recorded: what was done nevertheless counts, and is recorded at the next opening.
    Store(StoreError),
    /// No plan has this name.
    Unknown(String),
    /// No key has this id.
    UnknownKey(String),
    /// So many keys are under the plan.
    InUse(String, usize),
}

impl PlansError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Plans(error) => error.code(),
            Self::Keys(error) => error.code(),
            Self::Name(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::UnknownKey(id) => super::api_keys::ApiKeyError::Unknown(id.clone()).code(),
            Self::Unknown(_) => "E0859",
            Self::InUse(..) => "E0860",
        }
    }

    /// Whether the caller named something that is not there, or cannot be.
    #[must_use]
    pub fn is_callers(&self) -> bool {
        match self {
            Self::Plans(error) => matches!(error, PlanError::Name(_) | PlanError::Zero),
            Self::Keys(_) | Self::Store(_) => false,
            Self::Name(_) | Self::Unknown(_) | Self::UnknownKey(_) | Self::InUse(..) => true,
        }
    }
}

impl std::fmt::Display for PlansError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plans(error) => error.fmt(f),
            Self::Keys(error) => error.fmt(f),
            Self::Name(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Unknown(name) => write!(f, "no usage plan has the name `{name}`"),
            Self::UnknownKey(id) => super::api_keys::ApiKeyError::Unknown(id.clone()).fmt(f),
            Self::InUse(name, keys) => {
                write!(f, "{keys} API keys are under the usage plan `{name}`; assign them another one first")
            }
        }
    }
}

impl std::error::Error for PlansError {}

impl From<StoreError> for PlansError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The plans of a store.
///
/// # Errors
/// [`PlanError`].
pub fn load(store: &OpenedStore) -> Result<Arc<Plans>, PlanError> {
    Plans::load(Arc::new(StateDesk(Arc::clone(&store.keyring)))).map(Arc::new)
}

/// Does what was asked, and records it.
///
/// # Errors
/// [`PlansError`].
pub fn carry_out(
    store: &OpenedStore,
    keys: &Keys,
    plans: &Plans,
    asked: &Asked,
) -> Result<Vec<Told>, PlansError> {
    let tell = |name: &str, allows: Plan| {
        let keys = keys.list().iter().filter(|key| key.plan == name).count();
        Told { name: Some(name.to_owned()), allows, keys }
    };
    let known = |name: &str| {
        let found = plans.list().into_iter().find(|(known, _)| known == name);
        found.map(|(_, plan)| plan).ok_or_else(|| PlansError::Unknown(name.to_owned()))
    };
    let node = || Told { allows: Plan { all: plans.node(), ..Plan::default() }, ..Told::default() };
    match asked {
        Asked::List { after } => {
            let all = plans.list().into_iter();
            let behind = all.filter(|(name, _)| after.as_ref().is_none_or(|after| name > after));
            Ok(behind.take(LISTED_MAX).map(|(name, plan)| tell(&name, plan)).collect())
        }
        Asked::Node => Ok(vec![node()]),
        Asked::Set { by, name, allows } => {
            plans.takes(name, *allows).map_err(PlansError::Plans)?;
            let data = members(Some(name), *allows);
            let set = || plans.set(name, *allows).map_err(PlansError::Plans);
            change(store, by, "waag.plan.set", data, (Shelf::Plans, name), set)?;
            Ok(vec![tell(name, *allows)])
        }
        Asked::Remove { by, name } => {
            let told = tell(name, known(name)?);
            if told.keys > 0 {
                return Err(PlansError::InUse(name.clone(), told.keys));
            }
            let data = members(Some(name), told.allows);
            let remove = || plans.remove(name).map_err(PlansError::Plans);
            change(store, by, "waag.plan.removed", data, (Shelf::Plans, name), remove)?;
            Ok(vec![told])
        }
        Asked::Assign { by, id, name } => {
            let plan = known(name)?;
            let unknown = || PlansError::UnknownKey(id.clone());
            if !keys.list().iter().any(|key| key.id == *id) {
                return Err(unknown());
            }
            let mut data = members(Some(name), plan);
            data.push(("key_id", Value::Text(id.clone().into())));
            let assign = || keys.assign(id, name).map_err(PlansError::Keys)?.ok_or_else(unknown);
            change(store, by, "waag.plan.assigned", data, (Shelf::Keys, id), assign)?;
            Ok(vec![tell(name, plan)])
        }
        Asked::Limit { by, rate } => {
            let data = members(None, Plan { all: *rate, ..Plan::default() });
            let limit = || plans.set_node(*rate).map_err(PlansError::Plans);
            change(store, by, "waag.plan.node", data, (Shelf::Plans, NODE), limit)?;
            Ok(vec![node()])
        }
    }
}

/// A plan in an event: its name and its limits, those that it has.
fn members(name: Option<&str>, plan: Plan) -> Members<'static> {
    let number = |number: u64| Value::Integer(number.into());
    let rate = |rate: Rate| {
        let members =
            vec![("per_s".into(), number(rate.per_s.into())), ("burst".into(), number(rate.burst.into()))];
        Object::from_members(members).map_or(Value::Null, Value::Object)
    };
    let mut data = Vec::new();
    data.extend(name.map(|name| ("plan", Value::Text(name.to_owned().into()))));
    for (name, limit) in [("all", plan.all), ("read", plan.read), ("write", plan.write)] {
        data.extend(limit.map(|limit| (name, rate(limit))));
    }
    data.extend(plan.events_per_day.map(|events| ("events_per_day", number(events))));
    data
}

/// Changes a record of a shelf and tells it.
fn change<T>(
    store: &OpenedStore,
    by: &str,
    kind: &'static str,
    data: Members<'static>,
    (shelf, name): (Shelf, &str),
    make: impl FnOnce() -> Result<T, PlansError>,
) -> Result<T, PlansError> {
    let by = Actor::new(by).map_err(PlansError::Name)?;
    let change = Change { by: &by, kind, data, record: Record::Door(record_name(shelf, name)) };
    told_changes::carry_out(store, change, make)
}

/// The stored form of a day's counts, version 1.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCounts {
    version: u8,
    day: i32,
    events: std::collections::BTreeMap<String, u64>,
}

/// Keeps a day's counts over a restart. Dropping it writes them.
#[derive(Debug)]
pub struct DayKeeper {
    ending: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl DayKeeper {
    /// Takes up what was counted today before, and keeps what will be; a file that cannot be read or is of another day
    /// counts nothing.
    ///
    /// # Errors
    /// The operating system's, where a thread cannot be had.
    pub fn start(folder: &Path, limiter: Arc<Limiter>, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let file = folder.join(COUNTS_FILE);
        if let Some(counts) = read_counts(&file).filter(|counts| counts.day == clock.now().day()) {
            limiter.resume(&counts);
        }
        let ending: Arc<(Mutex<bool>, Condvar)> = Arc::default();
        let of_thread = Arc::clone(&ending);
        let run = move || {
            let mut written = None;
            loop {
                let (ending, bell) = &*of_thread;
                let ending = ending.lock().unwrap_or_else(PoisonError::into_inner);
                let wait = Duration::from_millis(COUNTS_MS);
                let (ending, _) = bell
                    .wait_timeout_while(ending, wait, |ending| !*ending)
                    .unwrap_or_else(PoisonError::into_inner);
                let is_ending = *ending;
                drop(ending);
                let counts = limiter.counts(clock.now().day());
                // A disk that is full forgets counts and stops nobody.
                if written.as_ref() != Some(&counts) && write_counts(&file, &counts).is_ok() {
                    written = Some(counts);
                }
                if is_ending {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("waag-quota".to_owned()).spawn(run)?;
        Ok(Self { ending, thread: Some(thread) })
    }
}

impl Drop for DayKeeper {
    fn drop(&mut self) {
        let (ending, bell) = &*self.ending;
        *ending.lock().unwrap_or_else(PoisonError::into_inner) = true;
        bell.notify_one();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn read_counts(file: &Path) -> Option<DayCounts> {
    let stored: StoredCounts = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    let day = waag_model::time::UtcDay(stored.day);
    (stored.version == 1).then(|| DayCounts { day, events: stored.events.into_iter().collect() })
}

fn write_counts(file: &Path, counts: &DayCounts) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if let Some(folder) = file.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let next: PathBuf = file.with_extension("json.next");
    let stored =
        StoredCounts { version: 1, day: counts.day.0, events: counts.events.iter().cloned().collect() };
    let mut options = std::fs::OpenOptions::new();
    let out = options.write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    serde_json::to_writer(io::BufWriter::new(out), &stored)?;
    std::fs::rename(&next, file)
}
