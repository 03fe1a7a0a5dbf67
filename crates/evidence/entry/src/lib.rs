//! The stored form of an event: what a leaf's bytes are, for ever.
//!
//! Place in the way of an event: `seal`. An event becomes an entry here, and an entry becomes an event again for whoever
//! holds the secrets of its parts. `docs/reference/entry.md` walks through one entry byte by byte; a test holds the two
//! together.
//!
//! Not here: which key seals a part (`evidence/keys`), where entries are kept (`evidence/log`), how they are hashed into
//! a tree (`evidence/ledger`), any input or output.
//!
//! Invariants:
//! - `ENTRY-1`: one value has one encoding (deterministic CBOR, RFC 8949 §4.2); the reader refuses every other.
//! - `ENTRY-2`: part 0 is the common part and the only one; parts 1 to 7 are persons'.
//! - `ENTRY-3`: a part opens to one plaintext only: its commitment, which also covers the dictionary, is compared
//!   before anything is decrypted.
//! - `ENTRY-4`: no name, subject or source of an event stands in clear, only its type and keyed tags.
//! - `ENTRY-5`: splitting an event into parts and merging them gives the event back, value for value.
//! - `ENTRY-6`: a place whose value is withheld names the part that fills it, and that part fills nothing else.
//! - `ENTRY-7`: each blob is referred to by exactly one part, of the same role and under the same key, and refers to none.

pub mod blob;
pub mod cbor;
pub mod codec;
pub mod error;
pub mod form;
mod kdf;
pub mod merge;
pub mod open;
pub mod part;
pub mod plain;
pub mod split;
pub mod tag;
