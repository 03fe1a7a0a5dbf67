//! The keys that seal every entry: made once, kept wrapped in the state, destroyed for good when a person is erased.
//!
//! Place: the sealing workers ask [`keyring::Keyring::data_key`] for a key; the writer makes new keys durable with
//! [`keyring::Keyring::commit_pending`] before the frame whose entries used them; readers open parts through
//! [`keyring::Keyring::open_key`].
//! Not here: sealing with a data key (`evidence/entry`), signing (`evidence/ledger`), the drivers of the two contracts
//! (`drivers/sqlite`, `drivers/files`), the decision whether a law forbids an erasure (the caller of [`destroy`]).
//!
//! ```text
//! vault key (KeyVault) ─wraps─► tenant key, by version ─wraps─► lookup key       finds a person's keys
//!                                                      ├──────► ledger tag keys  identity, ordering; never rotated
//!                                                      ├──────► signing seeds    several, active or retired
//!                                                      └──────► data keys        (person or none, class, period)
//!                                                               and each person's tag key
//! ```
//!
//! Invariants:
//! - `KEYS-1`: for one (person or none, class, period) there is one current key, whoever asks and however often.
//! - `KEYS-2`: a key is durable before a frame whose entries used it; [`keyring::Durable`] is the proof.
//! - `KEYS-3`: a destroyed key is told from one that never was, for ever: its tombstone stays.
//! - `KEYS-4`: a wrapped key opens only in its place: kind, ids, class, period and tenant-key version are authenticated.
//! - `KEYS-5`: no secret is in a `Debug` or `Display`, in an error, or in a listing.
//! - `STATE-1` to `STATE-5`: see [`state`].

pub mod cache;
pub mod carry;
pub mod conformance;
pub mod create;
pub mod destroy;
pub mod door;
pub mod error;
pub mod keyring;
pub mod ledger;
pub mod list;
pub mod memory;
mod records;
pub mod restored;
pub mod restriction;
pub mod retention;
pub mod rotate;
pub mod secret;
pub mod side;
pub mod state;
pub mod succeed;
pub mod vault;
mod wire;
pub mod wrap;
