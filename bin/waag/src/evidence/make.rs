//! Making a pack in memory: found, opened, proven, covered, signed, and verified before anybody has it (`EVIDENCE-4`).
//!
//! Nothing is recorded here, and nothing leaves: a pack that is dropped was never handed out.
//! Memory: the entries, what is disclosed, and the file, so about twice the pack's size.

use std::collections::BTreeMap;

use waag_cover::{html, page, pdf};
use waag_engine::reader::ReadFault;
use waag_engine::recover::{signers, verifier_keys};
use waag_entry::form::{Entry, Role};
use waag_keys::error::KeysError;
use waag_ledger::checkpoint::SignedCheckpoint;
use waag_ledger::hash::Hash;
use waag_ledger::pack::{
    self, Contents, DisclosedBlob, Pack, PackFault, SIGNERS_MAX, Selection as Told, Trust, prove_entries,
};
use waag_model::ids::Position;
use waag_stdx::entropy::{Entropy, SystemEntropy};

use super::Source;
use super::asked::{Asked, Selection};
use super::disclosure::{Disclosed, disclose, refuse_restricted};
use super::error::EvidenceError;
use super::facts::{Means, cover};
use super::gather::{Picked, Progress, gather, types};
use super::record::{Handed, Opened};
use super::standing::{choose, hashes_from_log, history};
use crate::store::error::StoreError;
use crate::store::subjects::SubjectsError;
use crate::store::subjects::reason::Against;

/// A pack, made and not yet handed out.
pub struct Made {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// What is recorded of it before anybody may have it.
    pub handed: Handed,
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Made").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// What a selection comes to, without anything of it being opened for anybody.
#[derive(Clone, Debug)]
pub struct Survey {
    /// How many entries.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of each type.
    pub types: BTreeMap<String, u64>,
    /// The first and the last position; none where there is no entry.
    pub positions: Option<(u64, u64)>,
}

/// Counts what a selection comes to.
///
/// # Errors
/// [`EvidenceError`]; an empty selection is none.
pub fn survey(
    source: &Source<'_>,
    selection: &Selection,
    progress: Progress<'_>,
) -> Result<Survey, EvidenceError> {
    let pattern = selection.check()?;
    let end = Position(source.checkpoint.checkpoint().size);
    let picked = gather(&source.reader, selection, pattern.as_ref(), end, progress)?;
    let ends = picked.first().zip(picked.last());
    Ok(Survey {
        entries: picked.len() as u64,
        bytes: picked.iter().map(|one| one.bytes.len() as u64).sum(),
        types: types(&picked)?,
        positions: ends.map(|(first, last)| (first.position.0, last.position.0)),
    })
}

/// Makes a pack of what is asked for.
///
/// # Errors
/// [`EvidenceError`].
pub fn make(source: &Source<'_>, asked: &Asked, progress: Progress<'_>) -> Result<Made, EvidenceError> {
    let pattern = asked.check()?;
    let keyring = &source.reader.keyring;
    if source.keys.signers.is_empty() {
        return Err(KeysError::Unreadable("any active signing key").into());
    }
    if let Some(person) = &asked.selection.person {
        // Looking a person's events up is a use of their data too.
        refuse_restricted(keyring, keyring.person_tag(person), asked)?;
    }
    let end = Position(source.checkpoint.checkpoint().size);
    let picked = gather(&source.reader, &asked.selection, pattern.as_ref(), end, progress)?;
    let last = picked.last().ok_or(EvidenceError::Nothing)?.position;
    refuse_named(source, &picked, asked)?;
    let disclosed = disclose(&source.reader, &picked, asked)?;
    let (checkpoint, published) = choose(source, last)?;
    let event_id = event_id()?;
    let terms = asked.selection.terms(keyring);
    let means =
        Means { source, asked, terms: &terms, event_id: &event_id, checkpoint: &checkpoint, published };
    let page = page(&cover(&means, &picked, &disclosed)?);
    let covers = (html(&page), pdf(&page).map_err(EvidenceError::Cover)?);
    let told = Told { text: asked.selection.words(), terms };
    let sealed = Sealed { source, asked, told, event_id, checkpoint, covers, picked, disclosed };
    let pack = sealed.pack()?;
    Ok(Made { handed: sealed.handed(&pack), bytes: pack.bytes })
}

/// Refuses reasons that have the id of a person of the selected entries: they stand in the pack, and in the ledger for ever.
fn refuse_named(source: &Source<'_>, picked: &[Picked], asked: &Asked) -> Result<(), EvidenceError> {
    let refused = |error| match error {
        SubjectsError::Reason(why) => EvidenceError::Reason(why),
        SubjectsError::Store(error) => error.into(),
        // Nothing else is said of a reason.
        SubjectsError::KeptOnRequest
        | SubjectsError::NotRestricted
        | SubjectsError::Until
        | SubjectsError::Clock
        | SubjectsError::Retention(_)
        | SubjectsError::Folder(_) => EvidenceError::Reason("cannot be recorded"),
    };
    let reasons = [Some(&asked.reason), asked.reveal.as_ref(), asked.despite_restriction.as_ref()];
    let reasons = reasons.into_iter().flatten().map(String::as_str);
    let mut against = Against::new(&source.reader.keyring, reasons).map_err(refused)?;
    for one in picked {
        let entry = Entry::read(&one.bytes).map_err(ReadFault::Entry)?;
        for part in entry.parts.iter().filter(|part| part.role == Role::Person) {
            against.key(part.key_id).map_err(refused)?;
        }
    }
    Ok(())
}

fn event_id() -> Result<String, EvidenceError> {
    let mut bytes = [0; 16];
    SystemEntropy::new().fill(&mut bytes).map_err(|_| KeysError::Entropy)?;
    Ok(hex::encode(bytes))
}

/// Everything that a pack is made of.
struct Sealed<'a> {
    source: &'a Source<'a>,
    asked: &'a Asked,
    told: Told,
    event_id: String,
    checkpoint: SignedCheckpoint,
    covers: (String, Vec<u8>),
    picked: Vec<Picked>,
    disclosed: Disclosed,
}

impl Sealed<'_> {
    /// The pack, verified; from the stored hashes, and where these do not lead to the root, from the log itself.
    fn pack(&self) -> Result<Pack, EvidenceError> {
        let positions: Vec<u64> = self.picked.iter().map(|one| one.position.0).collect();
        let size = self.checkpoint.checkpoint().size;
        let stored = prove_entries(&*self.source.hashes, &positions, size).ok();
        if let Some(pack) = stored.map(|proof| self.written(&proof)).transpose()? {
            match self.verified(&pack) {
                Ok(()) => return Ok(pack),
                Err(PackFault::Root { .. }) => {}
                Err(fault) => return Err(EvidenceError::Unverified(fault)),
            }
        }
        let proof = hashes_from_log(&*self.source.reader.log, &positions, size)?;
        let pack = self.written(&proof)?;
        self.verified(&pack).map_err(EvidenceError::Unverified)?;
        Ok(pack)
    }

    fn written(&self, proof: &[Hash]) -> Result<Pack, EvidenceError> {
        let Self { source, asked, told, event_id, checkpoint, covers, picked, disclosed } = self;
        let entries: Vec<(u64, &[u8])> =
            picked.iter().map(|one| (one.position.0, one.bytes.as_slice())).collect();
        let blobs: Vec<DisclosedBlob<'_>> = disclosed
            .blobs
            .iter()
            .map(|(bytes, secret)| DisclosedBlob { bytes, secret: secret.clone() })
            .collect();
        let dictionaries: Vec<&[u8]> = disclosed.dictionaries.values().map(|one| one.bytes()).collect();
        let keys = history(&source.reader.keyring, source.keys)?;
        let contents = Contents {
            actor: asked.by.as_str(),
            reason: asked.reason.trim(),
            event: event_id,
            made: source.now,
            selection: told.clone(),
            checkpoint: checkpoint.note(),
            keys: &keys,
            entries: &entries,
            proof,
            disclosed: &disclosed.parts,
            erased: &disclosed.erased,
            blobs: &blobs,
            dictionaries: &dictionaries,
            cover_html: Some(covers.0.as_bytes()),
            cover_pdf: Some(&covers.1),
        };
        let signers = signers(source.keys).map_err(StoreError::Origin)?;
        // A manifest has fewer signers than a checkpoint may have; those that sign longest are known best.
        let signers: Vec<_> = signers.iter().take(SIGNERS_MAX).collect();
        pack::write(&contents, &signers).map_err(EvidenceError::Pack)
    }

    fn verified(&self, pack: &Pack) -> Result<(), PackFault> {
        let keys = verifier_keys(self.source.keys).map_err(PackFault::NoteSignature)?;
        let trust = Trust { keys: &keys, history: None, witnesses: &[], policy: None, at: None };
        pack::verify(&pack.bytes, &trust).map(drop)
    }

    fn handed(&self, pack: &Pack) -> Handed {
        let Self { source, asked, told, event_id, checkpoint, picked, disclosed, .. } = self;
        let position = |one: Option<&Picked>| one.map_or(0, |one| one.position.0);
        let (first, last) = (position(picked.first()), position(picked.last()));
        let entries = picked.len() as u64;
        let conditions = told.terms.iter().map(|term| (term.name.clone(), term.value.clone()));
        Handed {
            by: asked.by.as_str().to_owned(),
            event_id: event_id.clone(),
            digest: pack.digest.to_string(),
            bytes: pack.bytes.len() as u64,
            made_ns: source.now.0,
            entries,
            first,
            last,
            gapless: last.saturating_sub(first).saturating_add(1) == entries,
            tree_size: checkpoint.checkpoint().size,
            root: checkpoint.checkpoint().root.to_string(),
            selection: told.text.clone(),
            conditions: conditions.collect(),
            reason: asked.reason.trim().to_owned(),
            reveal: asked.reveal.as_ref().map(|why| why.trim().to_owned()),
            despite_restriction: asked.despite_restriction.as_ref().map(|why| why.trim().to_owned()),
            persons: disclosed.persons.iter().map(|tag| hex::encode(tag.0)).collect(),
            keys: disclosed.keys.iter().map(|id| hex::encode(id.0)).collect(),
            parts: Opened {
                common: disclosed.counts.common,
                persons: disclosed.counts.persons,
                closed: disclosed.counts.closed,
                erased: disclosed.counts.erased,
            },
        }
    }
}
