//! What the router needs from outside, beside the ledger (`source`) and the ledger's writer (`notice`).

use std::fmt;
use std::sync::Arc;

use waag_keys::state::State;
use waag_model::ids::LedgerId;
use waag_stdx::clock::Clock;
use zeroize::Zeroizing;

use crate::error::RouterError;
use crate::notice::Recorder;
use crate::source::Source;
use crate::spec::TargetSpec;
use crate::target::Target;

/// A secret of a target: a webhook's signing secret (`whsec_…`), or what a broker asks for. Wiped, and never shown.
pub struct Secret(pub Zeroizing<String>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Wraps secrets for the state, so that what lies there opens with the tenant's key only.
pub trait Secrets: Send + Sync {
    /// Wraps.
    ///
    /// # Errors
    /// [`RouterError::Keys`].
    fn wrap(&self, plain: &[u8]) -> Result<Vec<u8>, RouterError>;

    /// Opens what [`Self::wrap`] gave.
    ///
    /// # Errors
    /// [`RouterError::Keys`].
    fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, RouterError>;
}

/// Makes targets of subscriptions; `bin/` knows the drivers.
pub trait Targets: Send + Sync {
    /// The target of a subscription; `secrets` has the newest first. Makes no connection yet.
    ///
    /// # Errors
    /// Why this node does not deliver there, in a sentence fragment.
    fn open(&self, name: &str, spec: &TargetSpec, secrets: &[Secret]) -> Result<Arc<dyn Target>, String>;

    /// A new secret, for a target of a kind that needs one and was given none.
    ///
    /// # Errors
    /// Where no randomness can be had, in a sentence fragment.
    fn new_secret(&self, spec: &TargetSpec) -> Result<Option<Secret>, String>;
}

/// What a router needs.
#[derive(Clone)]
pub struct Means {
    /// The ledger's id.
    pub ledger: LedgerId,
    /// The ledger.
    pub source: Arc<dyn Source>,
    /// Where cursors and exceptions lie.
    pub state: Arc<dyn State>,
    /// Wraps targets' secrets.
    pub secrets: Arc<dyn Secrets>,
    /// Records what the router tells.
    pub recorder: Arc<dyn Recorder>,
    /// Makes targets.
    pub targets: Arc<dyn Targets>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Means").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}
