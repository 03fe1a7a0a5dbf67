//! Making a pack of what an exporter gathered.
//!
//! What is written is read again part by part, so that no file comes out whose form the verifier refuses. Whether the
//! secrets open and the proof leads to the root is the exporter's to see, by [`super::verify`].
//!
//! Not here: what is gathered, and whether it may be disclosed (`bin/waag`); the cover.

use waag_entry::form::Entry;
use waag_entry::part::PartSecret;
use waag_model::time::UtcNanos;

use super::binary::{DisclosedPart, Parts, read_entries, write_entries, write_parts};
use super::container;
use super::fault::PackFault;
use super::keys::{read_key_history, write_key_history};
use super::manifest::{Counts, Manifest, ManifestMember, Selection};
use super::verify::span;
use super::{SIGNERS_MAX, ledger_of, name, note_text, sha256};
use crate::checkpoint::Checkpoint;
use crate::hash::{HASH_BYTES, Hash};
use crate::history::KeyHistory;
use crate::note::{Note, NoteSigner};

/// What goes into a pack.
#[derive(Clone)]
pub struct Contents<'a> {
    /// Who makes it: a principal's id.
    pub actor: &'a str,
    /// Why.
    pub reason: &'a str,
    /// The id of the ledger's own event that records it; empty where there is none.
    pub event: &'a str,
    /// When.
    pub made: UtcNanos,
    /// What was asked. No text here holds a control character.
    pub selection: Selection,
    /// The signed note of a checkpoint that covers every entry, with its cosignatures.
    pub checkpoint: &'a str,
    /// The ledger's keys.
    pub keys: &'a KeyHistory,
    /// Positions and bytes of the entries, ascending.
    pub entries: &'a [(u64, &'a [u8])],
    /// The hashes of [`super::prove_entries`] at the checkpoint's size.
    pub proof: &'a [Hash],
    /// The parts that are disclosed, ascending by position and part.
    pub disclosed: &'a [DisclosedPart],
    /// Position and part of closed parts whose keys are destroyed, ascending.
    pub erased: &'a [(u64, u8)],
    /// The blobs that disclosed parts refer to, each once, in any order.
    pub blobs: &'a [DisclosedBlob<'a>],
    /// The dictionaries that disclosed parts and blobs were packed with, each once, in any order.
    pub dictionaries: &'a [&'a [u8]],
    /// The cover for a browser.
    pub cover_html: Option<&'a [u8]>,
    /// The cover for print.
    pub cover_pdf: Option<&'a [u8]>,
}

/// A blob and what opens it.
#[derive(Clone)]
pub struct DisclosedBlob<'a> {
    /// Its sealed bytes.
    pub bytes: &'a [u8],
    /// Its own secret.
    pub secret: PartSecret,
}

/// A pack that was made.
#[derive(Clone, PartialEq, Eq)]
pub struct Pack {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// The SHA-256 of its manifest, by which it is named.
    pub digest: Hash,
}

/// Makes a pack, signed by one to eight Ed25519 signers that are named for the origin and active in the key history.
///
/// The same contents and signers make the same bytes.
///
/// # Errors
/// [`PackFault`]: something is beyond a limit, out of order, or not in the form that the verifier takes.
pub fn write(contents: &Contents<'_>, signers: &[&NoteSigner]) -> Result<Pack, PackFault> {
    let note = Note::parse(contents.checkpoint.as_bytes()).map_err(PackFault::NoteSignature)?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(PackFault::Checkpoint)?;
    let sealed = Sealed::of(contents, &checkpoint)?;
    let members = sealed.members(contents);
    let manifest = manifest(contents, (&checkpoint, &members), signers)?.write();
    Manifest::read(&manifest)?;
    let digest = sha256(&manifest);
    let text = note_text(&checkpoint.origin, &digest);
    let note = Note::sign(&text, signers).map_err(PackFault::NoteSignature)?.to_string();
    let covers = members
        .iter()
        .take_while(|(member, _)| name::FIXED.iter().take(2).any(|cover| cover == member))
        .count();
    let (covers, rest) = members.split_at_checked(covers).unwrap_or((&[], &members));
    let signed = [(name::MANIFEST, manifest.as_slice()), (name::NOTE, note.as_bytes())];
    let all: Vec<(&str, &[u8])> = covers.iter().chain(&signed).chain(rest).copied().collect();
    Ok(Pack { bytes: container::write(&all)?, digest })
}

/// The members that are made, and the names of those that are named by their hash.
struct Sealed<'a> {
    keys: Vec<u8>,
    entries: Vec<u8>,
    proof: Vec<u8>,
    parts: Vec<u8>,
    blobs: Vec<(String, &'a [u8])>,
    dictionaries: Vec<(String, &'a [u8])>,
}

impl<'a> Sealed<'a> {
    fn of(contents: &Contents<'a>, checkpoint: &Checkpoint) -> Result<Self, PackFault> {
        let entries = write_entries(contents.entries)?;
        read_entries(&entries, checkpoint.size)?;
        let mut blobs: Vec<([u8; HASH_BYTES], &DisclosedBlob<'a>)> =
            contents.blobs.iter().map(|blob| (sha256(blob.bytes).0, blob)).collect();
        blobs.sort_by_key(|(hash, _)| *hash);
        let secrets: Vec<([u8; HASH_BYTES], &PartSecret)> =
            blobs.iter().map(|(hash, blob)| (*hash, &blob.secret)).collect();
        let parts = write_parts(contents.disclosed, &secrets, contents.erased)?;
        Parts::read(&parts)?;
        let keys = write_key_history(&checkpoint.origin, contents.keys);
        read_key_history(&keys)?;
        let named = |folder: &str, bytes: &'a [u8]| (format!("{folder}{}", sha256(bytes)), bytes);
        let mut dictionaries: Vec<(String, &'a [u8])> =
            contents.dictionaries.iter().map(|bytes| named(name::DICTIONARIES, bytes)).collect();
        dictionaries.sort();
        let blobs = blobs.iter().map(|(hash, blob)| (format!("{}{}", name::BLOBS, Hash(*hash)), blob.bytes));
        let proof = contents.proof.iter().flat_map(|hash| hash.0).collect();
        Ok(Self { keys, entries, proof, parts, blobs: blobs.collect(), dictionaries })
    }

    /// All members but the manifest and its note, in the file's order.
    fn members<'m>(&'m self, contents: &Contents<'m>) -> Vec<(&'m str, &'m [u8])> {
        let cover = |name: &'static str, bytes: Option<&'m [u8]>| bytes.map(|bytes| (name, bytes));
        let made: [(&str, &[u8]); 5] = [
            (name::CHECKPOINT, contents.checkpoint.as_bytes()),
            (name::KEYS, &self.keys),
            (name::ENTRIES, &self.entries),
            (name::PROOF, &self.proof),
            (name::PARTS, &self.parts),
        ];
        let named = self.blobs.iter().chain(&self.dictionaries);
        let covers =
            [cover(name::COVER_HTML, contents.cover_html), cover(name::COVER_PDF, contents.cover_pdf)];
        let named = named.map(|(name, bytes)| (name.as_str(), *bytes));
        covers.into_iter().flatten().chain(made).chain(named).collect()
    }
}

fn manifest(
    contents: &Contents<'_>,
    (checkpoint, members): (&Checkpoint, &[(&str, &[u8])]),
    signers: &[&NoteSigner],
) -> Result<Manifest, PackFault> {
    if signers.len() > SIGNERS_MAX {
        return Err(PackFault::Limit { what: "signers", limit: SIGNERS_MAX, got: signers.len() });
    }
    let expected = "an origin whose last step is the ledger's id";
    let ledger = ledger_of(&checkpoint.origin).ok_or(PackFault::CheckpointRule { expected })?;
    let mut parts = 0;
    for (position, bytes) in contents.entries {
        let entry = Entry::read(bytes).map_err(|error| PackFault::Entry { position: *position, error })?;
        parts += entry.parts.len() as u64;
    }
    let (first, last) = span(contents.entries);
    let entries = contents.entries.len() as u64;
    let listed = |(name, bytes): &(&str, &[u8])| ManifestMember {
        name: (*name).to_owned(),
        bytes: bytes.len() as u64,
        sha256: sha256(bytes),
    };
    Ok(Manifest {
        actor: contents.actor.to_owned(),
        root: checkpoint.root,
        size: checkpoint.size,
        counts: Counts {
            blobs: contents.blobs.len() as u64,
            dictionaries: contents.dictionaries.len() as u64,
            disclosed: contents.disclosed.len() as u64,
            entries,
            erased: contents.erased.len() as u64,
            parts,
        },
        event: contents.event.to_owned(),
        gapless: last - first + 1 == entries,
        ledger,
        made: contents.made,
        members: members.iter().map(listed).collect(),
        origin: checkpoint.origin.clone(),
        first,
        last,
        reason: contents.reason.to_owned(),
        selection: contents.selection.clone(),
        signers: signers.iter().map(|signer| signer.verifier_key().clone()).collect(),
    })
}
