//! What every log driver keeps: frames that are whole or absent, in one gapless chain, never behind their guard.
//!
//! Place in the way of an event: *append*. The engine builds a [`frame::Frame`] from sealed entries, a driver's
//! [`contract::EventLog`] makes it durable, and [`guard::Guard`] keeps the last signed checkpoint in another place.
//!
//! Not here: any input or output (drivers, `drivers/files`), what an entry's bytes mean (`evidence/entry`), the tree
//! itself (`evidence/ledger`), and who may write (the lease in `state`).
//!
//! Invariants, held by every driver and checked by [`conformance`] and [`verify`]:
//! - `LOG-1`: an append that returned without error is durable, whole, and read back byte for byte.
//! - `LOG-2`: an append that failed left the frame whole or absent; the handle refuses every later append, except
//!   where the error says that nothing was written.
//! - `LOG-3`: positions are gapless: a frame begins where its predecessor ended.
//! - `LOG-4`: frame numbers are gapless and each header names the hash of its predecessor's header.
//! - `LOG-5`: of two appends of the same frame number one is refused with `Conflict`.
//! - `LOG-6`: commit times strictly increase; epochs never decrease.
//! - `LOG-7`: nothing at or below the guard is ever cut, moved or rewritten.
//! - `LOG-8`: every byte of a log is covered: by a header's checksum, a frame's checksum, or by having to be zero.
//! - `LOG-9`: a frame's root is the Merkle tree hash over every entry up to its last one.
//!
//! Error codes: E0401 to E0459, each on its variant. Drivers of this contract use E0460 and up.

pub mod conformance;
pub mod contract;
pub mod fault;
pub mod frame;
pub mod guard;
pub mod hashes;
pub mod objects;
pub mod verify;
pub mod wire;
