//! The evidence pack: one canonical file that proves to an outsider that entries are in a ledger, and opens what was
//! disclosed of them (`docs/reference/pack.md`).
//!
//! Place: beside the way of an event. [`write`] makes a pack of what the exporter gathered; [`verify`] believes one, for
//! whoever was given a key by another way than the pack. Both are pure.
//!
//! Whom it trusts: the keys in [`Trust`], and none that a pack brings.
//!
//! Not here: what is selected, disclosed and recorded (`bin/waag`), the cover's words, files.
//!
//! Invariants:
//! - `PACK-1`: one list of members has one file: every byte of the container is made again and compared.
//! - `PACK-2`: every byte of a member is covered by the manifest's digest, and every byte of its note is checked.
//! - `PACK-3`: a [`Verdict`] is made only by [`verify`], after everything held; nothing a pack says comes out before.
//! - `PACK-4`: entries, positions and size decide the proof: none has a hash too many or too few.
//! - `PACK-5`: each secret, blob and dictionary of a pack is needed, and opens what it is said to open.
//!
//! Error codes: E0376 to E0389, each on its variant of [`PackFault`].

mod binary;
mod container;
mod fault;
mod json;
mod keys;
mod manifest;
mod opening;
mod proof;
mod verify;
mod write;

pub use binary::DisclosedPart;
pub use fault::{MemberFault, PackFault, Place};
pub use keys::{read_key_history, write_key_history};
pub use manifest::{Counts, Manifest, ManifestMember, Selection, Term};
pub use opening::{PackEvent, PartState};
pub use proof::prove_entries;
pub use verify::{Trust, Verdict, verify};
pub use write::{Contents, DisclosedBlob, Pack, write};

/// The form this program writes and the only one it reads: the first line of `manifest.note`.
pub const FORMAT: &str = "waag evidence pack v1";
/// What the first line of every version begins with.
const FORMAT_START: &str = "waag evidence pack ";
/// The form of `keys.json`.
const KEYS_FORMAT: &str = "waag key history v1";

/// The longest pack, in bytes: offsets stay within what every ZIP reader takes for signed 32 bits.
pub const PACK_BYTES_MAX: usize = 2_147_483_647;
/// The most members: one more would need ZIP64.
pub const MEMBERS_MAX: usize = 65_534;
/// The most entries.
pub const ENTRIES_MAX: usize = 1_000_000;
/// The longest `manifest.json`, in bytes: a line for each of the most members fits.
pub const MANIFEST_BYTES_MAX: usize = 16_777_216;
/// The longest `keys.json`, in bytes.
pub const KEYS_BYTES_MAX: usize = 1_048_576;
/// The most signers of a manifest.
pub const SIGNERS_MAX: usize = 8;
/// The longest text of a selection, in bytes.
pub const SELECTION_TEXT_BYTES_MAX: usize = 4_096;
/// The most terms of a selection.
pub const SELECTION_TERMS_MAX: usize = 64;
/// The longest name of a selection's term, in bytes.
pub const TERM_NAME_BYTES_MAX: usize = 32;
/// The longest value of a selection's term, in bytes: a pattern of events fits.
pub const TERM_VALUE_BYTES_MAX: usize = 65_536;
/// The longest reason and the longest id of the recording event, in bytes.
pub const REASON_BYTES_MAX: usize = 1_024;

/// The members by name, but for blobs and dictionaries, which stand behind these in a pack.
pub(crate) mod name {
    pub(crate) const COVER_HTML: &str = "cover.html";
    pub(crate) const COVER_PDF: &str = "cover.pdf";
    pub(crate) const MANIFEST: &str = "manifest.json";
    pub(crate) const NOTE: &str = "manifest.note";
    pub(crate) const CHECKPOINT: &str = "checkpoint";
    pub(crate) const KEYS: &str = "keys.json";
    pub(crate) const ENTRIES: &str = "entries.bin";
    pub(crate) const PROOF: &str = "proof.bin";
    pub(crate) const PARTS: &str = "parts.bin";
    pub(crate) const BLOBS: &str = "blobs/";
    pub(crate) const DICTIONARIES: &str = "dictionaries/";
    /// In the order of the file.
    pub(crate) const FIXED: [&str; 9] =
        [COVER_HTML, COVER_PDF, MANIFEST, NOTE, CHECKPOINT, KEYS, ENTRIES, PROOF, PARTS];
    /// Those that a pack cannot be without.
    pub(crate) const NEEDED: [&str; 7] = [MANIFEST, NOTE, CHECKPOINT, KEYS, ENTRIES, PROOF, PARTS];
}

/// SHA-256 of a member's bytes.
fn sha256(bytes: &[u8]) -> crate::hash::Hash {
    let mut hash = crate::hash::Hash([0; crate::hash::HASH_BYTES]);
    hash.0.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    hash
}

/// The ledger's id, which is the last step of its origin in its one spelling.
fn ledger_of(origin: &str) -> Option<waag_model::ids::LedgerId> {
    let (_, last) = origin.rsplit_once('/')?;
    let mut id = [0; 16];
    crate::text::hex_decode(last, &mut id)?;
    Some(waag_model::ids::LedgerId(id))
}

/// What the manifest's signers sign.
fn note_text(origin: &str, digest: &crate::hash::Hash) -> String {
    format!("{FORMAT}\n{origin}\n{}\n", digest.to_base64())
}
