//! What the keyring's tests share: means in memory, and a state that fails at a chosen commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use waag_keys::create::create_tenant;
use waag_keys::keyring::{Keyring, Limits, Means};
use waag_keys::memory::{MemoryState, MemoryVault};
use waag_keys::state::{Change, Check, Extent, Generation, Record, State, StateError, Table};
use waag_keys::vault::KeyVault;
use waag_model::ids::TenantName;
use waag_stdx::clock::SystemClock;
use waag_stdx::entropy::SystemEntropy;

/// How a chosen commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing was written.
    Lost,
    /// All was written, but the caller is told that it failed.
    Persisted,
}

/// A state whose n-th commit from now fails, and every call after it, as if the process had died there.
pub(crate) struct FailingState {
    inner: MemoryState,
    commits_left: AtomicU64,
    failure: Failure,
    pub(crate) gets: AtomicU64,
}

impl FailingState {
    pub(crate) fn new(inner: MemoryState, commits: u64, failure: Failure) -> Arc<Self> {
        Arc::new(Self { inner, commits_left: AtomicU64::new(commits), failure, gets: AtomicU64::new(0) })
    }

    fn alive(&self) -> Result<(), StateError> {
        if self.commits_left.load(Ordering::SeqCst) == 0 { Err(StateError::Poisoned) } else { Ok(()) }
    }
}

impl State for FailingState {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Record>, StateError> {
        self.alive()?;
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.inner.get(table, key)
    }

    fn scan(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Record>, StateError> {
        self.alive()?;
        self.inner.scan(table, after, limit)
    }

    fn commit(&self, changes: &[Change<'_>]) -> Result<Generation, StateError> {
        self.alive()?;
        if self.commits_left.fetch_sub(1, Ordering::SeqCst) > 1 {
            return self.inner.commit(changes);
        }
        if self.failure == Failure::Persisted {
            self.inner.commit(changes)?;
        }
        Err(StateError::Environment("commit", "the test's fault".to_owned()))
    }

    fn check(&self, extent: Extent) -> Result<Check, StateError> {
        self.alive()?;
        self.inner.check(extent)
    }

    fn forget(&self) -> Result<(), StateError> {
        self.alive()?;
        self.inner.forget()
    }
}

/// A tenant's world: the same state and vault, opened as often as needed.
pub(crate) struct World {
    pub(crate) state: MemoryState,
    pub(crate) vault: Arc<dyn KeyVault>,
    pub(crate) tenant: TenantName,
}

impl World {
    /// A world with a tenant and no ledger.
    pub(crate) fn new() -> Self {
        let vault = Arc::new(MemoryVault::new(Arc::new(SystemEntropy::new())).unwrap());
        let world = Self { state: MemoryState::new(), vault, tenant: TenantName::new("bank").unwrap() };
        create_tenant(&world.means(Arc::new(world.state.clone())), &world.tenant).unwrap();
        world
    }

    pub(crate) fn means(&self, state: Arc<dyn State>) -> Means {
        Means {
            state,
            vault: Arc::clone(&self.vault),
            entropy: Arc::new(SystemEntropy::new()),
            clock: Arc::new(SystemClock::new()),
        }
    }

    pub(crate) fn open(&self) -> Keyring {
        self.open_with(Arc::new(self.state.clone()), Limits::default())
    }

    pub(crate) fn open_with(&self, state: Arc<dyn State>, limits: Limits) -> Keyring {
        Keyring::open(self.means(state), &self.tenant, limits).unwrap()
    }

    pub(crate) fn count(&self, table: Table) -> usize {
        self.state.model().records.keys().filter(|(code, _)| *code == table.code()).count()
    }
}
