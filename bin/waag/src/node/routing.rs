//! The router of a running node: its ledger, its state, its writer and its targets put together.
//!
//! Place: behind the guard, beside the read models. What subscribers get is an event's common part.
//! Not here: what is delivered when (`flow/router`), how (`drivers/webhook`, `drivers/nats`).

mod log;
mod recorder;
mod source;
mod targets;

use std::sync::Arc;

use waag_keys::keyring::Keyring;
use waag_router::error::RouterError;
use waag_router::ports::{Means, Secrets};
use waag_router::router::Router;
use waag_router::source::Source;
use waag_stdx::entropy::SystemEntropy;
use zeroize::Zeroizing;

use crate::cli::tell;
use crate::store::writer::OpenedStore;

use recorder::LedgerRecorder;
use source::LedgerSource;
use targets::NodeTargets;
pub use targets::{Handlers, TargetOptions};

/// Starts the router of a store that is open to write.
///
/// # Errors
/// [`RouterError`].
pub fn start(store: &Arc<OpenedStore>, options: &TargetOptions) -> Result<Router, RouterError> {
    let source = super::following::source(store);
    let recorder = LedgerRecorder::start(Arc::clone(store), source.clone())
        .map_err(|error| RouterError::Stopped(format!("a thread cannot be had: {error}")))?;
    let router = Router::start(Means {
        ledger: store.ledger.id,
        source: Arc::new(LedgerSource(source)),
        state: Arc::clone(&store.state),
        secrets: Arc::new(KeyringSecrets(Arc::clone(&store.keyring))),
        recorder: Arc::new(recorder),
        targets: Arc::new(NodeTargets::new(options, Arc::clone(&store.clock)).map_err(RouterError::Stopped)?),
        clock: Arc::clone(&store.clock),
    })?;
    router.overviews()?.iter().filter_map(log::at_start).for_each(|line| tell(&line));
    Ok(router)
}

/// The ledger as subscribers see it.
pub(super) fn source(store: &OpenedStore) -> impl Source + use<> {
    LedgerSource(super::following::source(store))
}

/// Targets' secrets, wrapped under the tenant's keys.
struct KeyringSecrets(Arc<Keyring>);

impl Secrets for KeyringSecrets {
    fn wrap(&self, plain: &[u8]) -> Result<Vec<u8>, RouterError> {
        Ok(self.0.wrap_target_secret(&SystemEntropy::new(), plain)?)
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, RouterError> {
        Ok(self.0.unwrap_target_secret(wrapped)?)
    }
}
