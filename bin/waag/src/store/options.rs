//! What can be set about a store when it is opened; nothing of it is stored.

use std::fmt;
use std::sync::Arc;

use waag_engine::identity::IdentityLimits;
use waag_files::config::LogConfig;
use waag_keys::keyring::Limits;
use waag_stdx::clock::{Clock, SystemClock};
use zeroize::Zeroizing;

use super::room::FREE_BYTES_MIN;

/// How fast the background reads acknowledged frames again, in bytes per second, where nothing else is asked for.
pub const SCRUB_BYTES_PER_S: u64 = 4 * 1_024 * 1_024;

/// How a store is opened. Randomness is not among these: it is always the operating system's.
#[derive(Clone)]
pub struct Options {
    /// Sizes of the log's files.
    pub log: LogConfig,
    /// Limits of the identity index.
    pub identity: IdentityLimits,
    /// Limits of the keyring's memory.
    pub keys: Limits,
    /// Bytes that the background reads again per second; 0 for none.
    pub scrub_bytes_per_s: u64,
    /// Bytes that must be free on the store's disks for events to be taken; 0 for no bound.
    pub free_bytes_min: u64,
    /// The vault's passphrase, where it has one.
    pub passphrase: Option<Zeroizing<Vec<u8>>>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Whoever opens it finishes a promotion: the ledger's first entry, before which nobody else may write it.
    pub promotes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log: LogConfig::default(),
            identity: IdentityLimits::default(),
            keys: Limits::default(),
            scrub_bytes_per_s: SCRUB_BYTES_PER_S,
            free_bytes_min: FREE_BYTES_MIN,
            passphrase: None,
            clock: Arc::new(SystemClock::new()),
            promotes: false,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("log", &self.log)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}
