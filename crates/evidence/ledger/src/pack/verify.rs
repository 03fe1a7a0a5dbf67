//! The decision (`PACK-3`): this file is, or is not, a pack of the ledger that the given keys speak for.
//!
//! A function of its input: no clock, no files. The order is that of docs/reference/pack.md, "Verifying".
//!
//! Not here: the container (`container`), the proof (`proof`), opening (`opening`).

use std::ops::RangeInclusive;

use waag_entry::form::Entry;

use super::binary::{Parts, read_entries};
use super::container::{self, Member};
use super::fault::{MemberFault, PackFault};
use super::keys::read_key_history;
use super::manifest::{Counts, Manifest};
use super::opening::{Material, PackEvent};
use super::{FORMAT, FORMAT_START, ledger_of, name, note_text, proof, sha256};
use crate::checkpoint::SignedCheckpoint;
use crate::hash::{Hash, leaf_hash};
use crate::history::{KeyHistory, KeyState, KeyWindow, SignedAt};
use crate::note::{Algorithm, Note, NoteError, NoteSignature, VerifierKey};
use crate::policy::{Policy, Quorum};

/// Whom a verifier trusts: nothing of it may come from the pack.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trust<'t> {
    /// Keys of ledgers; only those named for the pack's origin matter.
    pub keys: &'t [VerifierKey],
    /// Keys of the ledger with the times in which their signatures count; they are trusted beside `keys`, and a key
    /// that stands in both is held to its window.
    pub history: Option<&'t KeyHistory>,
    /// Keys of witnesses, beside those of `policy`.
    pub witnesses: &'t [VerifierKey],
    /// What a checkpoint needs: by which logs, cosigned by which witnesses. The keys of its logs are trusted too.
    pub policy: Option<&'t Policy>,
    /// The verifier's time, in seconds since 1970: cosignatures from after it do not count for the policy.
    pub at: Option<u64>,
}

impl Trust<'_> {
    /// Every key that may speak for a ledger.
    fn ledger_keys(&self) -> Vec<VerifierKey> {
        let windows = self.history.map_or(&[][..], KeyHistory::windows);
        let of_policy = self.policy.map(Policy::log_keys).unwrap_or_default();
        let of_windows = windows.iter().map(|window| window.key.clone());
        self.keys.iter().cloned().chain(of_windows).chain(of_policy).collect()
    }

    fn witness_keys(&self) -> Vec<VerifierKey> {
        let of_policy = self.policy.map(Policy::witness_keys).unwrap_or_default();
        self.witnesses.iter().cloned().chain(of_policy).collect()
    }

    /// Whether a signature of that time by a key, which is trusted, counts.
    fn admits(&self, key: &VerifierKey, at: SignedAt) -> Result<(), PackFault> {
        match self.history {
            Some(history) if history.windows().iter().any(|window| window.key == *key) => {
                history.trusts(key, at).map_err(PackFault::Keys)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether one of the keys that signed counts; the reason of the last that does not.
    fn admits_one<'k>(
        &self,
        signers: impl Iterator<Item = &'k VerifierKey>,
        at: SignedAt,
        origin: &str,
    ) -> Result<(), PackFault> {
        let mut refused = PackFault::NoTrustedKey { origin: Some(origin.to_owned()) };
        for key in signers {
            match self.admits(key, at) {
                Ok(()) => return Ok(()),
                Err(fault) => refused = fault,
            }
        }
        Err(refused)
    }
}

/// A verified pack.
pub struct Verdict<'a> {
    manifest: Manifest,
    digest: Hash,
    checkpoint: SignedCheckpoint,
    quorum: Option<Quorum>,
    signatures_unchecked: usize,
    key_history: KeyHistory,
    members: Vec<Member<'a>>,
    entries: Vec<(u64, &'a [u8])>,
    leaves: Leaves,
    material: Material<'a>,
}

/// Holds a file against the form, the keys and itself.
///
/// # Errors
/// [`PackFault`], the first thing that is wrong.
pub fn verify<'a>(file: &'a [u8], trust: &Trust<'_>) -> Result<Verdict<'a>, PackFault> {
    let keys = trust.ledger_keys();
    if keys.is_empty() {
        return Err(PackFault::NoTrustedKey { origin: None });
    }
    let members = container::read(file)?;
    let (manifest, digest) = signed_manifest(&members, &keys, trust)?;
    hold_members(&members, &manifest)?;
    if ledger_of(&manifest.origin) != Some(manifest.ledger) {
        return Err(claim("ledger", manifest.ledger, "the last step of the origin"));
    }
    let (origin, key_history) = read_key_history(get(&members, name::KEYS)?)?;
    if origin != manifest.origin {
        return Err(claim("origin", &manifest.origin, origin));
    }
    let inactive = |key: &&VerifierKey| {
        let of = |window: &&KeyWindow| window.key == **key && window.state == KeyState::Active;
        !key_history.windows().iter().any(|window| of(&window))
    };
    if let Some(key) = manifest.signers.iter().find(inactive) {
        return Err(claim("signers", key, "a key history in which it is not active"));
    }
    let signed = Signed::read(&members, &manifest, &key_history, (&keys, trust))?;
    let entries = read_entries(get(&members, name::ENTRIES)?, manifest.size)?;
    let (leaves, parts_of) = read_leaves(&entries)?;
    let root = proof::root(&leaves, manifest.size, get(&members, name::PROOF)?)?;
    if root != manifest.root {
        return Err(PackFault::Root { tree_size: manifest.size });
    }
    let material = material(&members, &manifest)?;
    hold_parts(&material, &entries, &parts_of)?;
    open_all(&material, &entries)?;
    hold_counts(&manifest, &members, &material, (&entries, &parts_of))?;
    let Signed { checkpoint, quorum, signatures_unchecked } = signed;
    Ok(Verdict {
        manifest,
        digest,
        checkpoint,
        quorum,
        signatures_unchecked,
        key_history,
        members,
        entries,
        leaves,
        material,
    })
}

fn claim(what: &'static str, said: impl ToString, found: impl ToString) -> PackFault {
    PackFault::Claim { what, said: said.to_string(), found: found.to_string() }
}

fn get<'a>(members: &[Member<'a>], name: &str) -> Result<&'a [u8], PackFault> {
    let found = members.iter().find(|member| member.name == name);
    let missing = || PackFault::Member { name: name.to_owned(), fault: MemberFault::Missing };
    found.map(|member| member.bytes).ok_or_else(missing)
}

/// The manifest, once its signatures hold, and its digest.
fn signed_manifest(
    members: &[Member<'_>],
    keys: &[VerifierKey],
    trust: &Trust<'_>,
) -> Result<(Manifest, Hash), PackFault> {
    let wrong = |expected| PackFault::Note { expected };
    for needed in name::NEEDED {
        get(members, needed)?;
    }
    let note = Note::parse(get(members, name::NOTE)?).map_err(PackFault::NoteSignature)?;
    let first = note.text().split('\n').next().unwrap_or_default();
    if first != FORMAT {
        return Err(if first.starts_with(FORMAT_START) {
            PackFault::Version { line: first.to_owned() }
        } else {
            wrong("the first line of an evidence pack's note")
        });
    }
    let bytes = get(members, name::MANIFEST)?;
    let digest = sha256(bytes);
    if note.text().lines().nth(2) != Some(&digest.to_base64()) {
        let fault = MemberFault::Changed;
        return Err(PackFault::Member { name: name::MANIFEST.to_owned(), fault });
    }
    let manifest = Manifest::read(bytes)?;
    let origin = &manifest.origin;
    if note.text() != note_text(origin, &digest) {
        return Err(wrong("three lines: the version, the manifest's origin and its hash"));
    }
    let signers = &manifest.signers;
    let may_sign = |key: &VerifierKey| key.speaks_for(origin) && key.algorithm() == Algorithm::Ed25519;
    if signers.is_empty() || !signers.iter().all(may_sign) {
        return Err(wrong("Ed25519 keys named for the origin as signers"));
    }
    let trusted = signers.iter().filter(|key| keys.contains(key));
    trust.admits_one(trusted, SignedAt::Told { ns: manifest.made.0 }, origin)?;
    let lines = note.signatures();
    let by = |(key, line): (&VerifierKey, &NoteSignature)| key.name() == line.name && key.id() == line.key_id;
    let twice =
        signers.iter().enumerate().any(|(at, key)| signers.iter().skip(at + 1).any(|other| other == key));
    if twice || lines.len() != signers.len() || !signers.iter().zip(lines).all(by) {
        return Err(wrong("one signature of each of the manifest's signers, in their order"));
    }
    note.verify(signers).map_err(PackFault::NoteSignature)?;
    Ok((manifest, digest))
}

/// Holds the members against the manifest's list, and those that are named by their hash against it.
fn hold_members(members: &[Member<'_>], manifest: &Manifest) -> Result<(), PackFault> {
    let wrong = |name: &str, fault| PackFault::Member { name: name.to_owned(), fault };
    let signed = |member: &&Member<'_>| member.name != name::MANIFEST && member.name != name::NOTE;
    let mut listed = manifest.members.iter();
    for member in members.iter().filter(signed) {
        let line = listed.next().filter(|line| line.name == member.name);
        let line = line.ok_or_else(|| wrong(member.name, MemberFault::Unlisted))?;
        let hash = sha256(member.bytes);
        let named = member.name.strip_prefix(name::BLOBS);
        let named = named.or_else(|| member.name.strip_prefix(name::DICTIONARIES));
        let as_named = named.is_none_or(|named| hash.to_string() == named);
        if line.bytes != member.bytes.len() as u64 || line.sha256 != hash || !as_named {
            return Err(wrong(member.name, MemberFault::Changed));
        }
    }
    match listed.next() {
        Some(line) => Err(wrong(&line.name, MemberFault::Missing)),
        None => Ok(()),
    }
}

/// What the checkpoint and those who signed it say.
struct Signed {
    checkpoint: SignedCheckpoint,
    quorum: Option<Quorum>,
    signatures_unchecked: usize,
}

impl Signed {
    fn read(
        members: &[Member<'_>],
        manifest: &Manifest,
        key_history: &KeyHistory,
        (keys, trust): (&[VerifierKey], &Trust<'_>),
    ) -> Result<Self, PackFault> {
        let bytes = get(members, name::CHECKPOINT)?;
        let given: Vec<VerifierKey> = keys.iter().cloned().chain(trust.witness_keys()).collect();
        let checkpoint = SignedCheckpoint::verify(bytes, &given).map_err(PackFault::Checkpoint)?;
        let note = Note::parse(bytes).map_err(PackFault::NoteSignature)?;
        let told = checkpoint.checkpoint();
        if note.text() != told.body() || told.size == 0 {
            let expected = "three lines of text, and a tree that is not empty";
            return Err(PackFault::CheckpointRule { expected });
        }
        if told.origin != manifest.origin {
            return Err(claim("origin", &manifest.origin, &told.origin));
        }
        if told.size != manifest.size {
            return Err(claim("checkpoint's size", manifest.size, told.size));
        }
        if told.root != manifest.root {
            return Err(claim("checkpoint's root", manifest.root, told.root));
        }
        let of_ledger = |key: &&VerifierKey| key.speaks_for(&told.origin) && keys.contains(key);
        let witnessed = checkpoint.known_signatures().iter().filter(|line| !of_ledger(&&line.key));
        let at = match witnessed.filter_map(|line| line.time).min() {
            Some(seconds) => SignedAt::Cosigned { seconds },
            None => SignedAt::Told { ns: manifest.made.0 },
        };
        trust.admits_one(checkpoint.signers().iter().filter(of_ledger), at, &told.origin)?;
        // Trust comes from the given keys alone; but a signature that is false by the pack's own word is a lie.
        let history: Vec<VerifierKey> =
            key_history.windows().iter().map(|window| window.key.clone()).collect();
        match note.verify(&history) {
            Ok(_) | Err(NoteError::NoKnownSignature) => {}
            Err(error) => return Err(PackFault::NoteSignature(error)),
        }
        let unknown = |line: &&NoteSignature| {
            let made = |key: &VerifierKey| key.name() == line.name && key.id() == line.key_id;
            !given.iter().chain(&history).any(made)
        };
        let signatures_unchecked = note.signatures().iter().filter(unknown).count();
        let quorum = trust.policy.map(|policy| policy.evaluate(&note, trust.at)).transpose();
        let quorum = quorum.map_err(PackFault::NoteSignature)?;
        if let Some(quorum) = quorum.as_ref().filter(|quorum| !quorum.met) {
            let unmet = quorum.unmet.iter().map(|unmet| unmet.name.to_string()).collect();
            return Err(PackFault::Quorum { unmet });
        }
        Ok(Self { checkpoint, quorum, signatures_unchecked })
    }
}

/// Position and leaf hash of each entry.
type Leaves = Vec<(u64, Hash)>;

/// The leaves, and how many parts each entry has, after reading it strictly.
fn read_leaves(entries: &[(u64, &[u8])]) -> Result<(Leaves, Vec<u8>), PackFault> {
    let mut leaves = Vec::with_capacity(entries.len());
    let mut parts_of = Vec::with_capacity(entries.len());
    for (position, bytes) in entries {
        let entry = Entry::read(bytes).map_err(|error| PackFault::Entry { position: *position, error })?;
        // At most `PARTS_MAX`, which is 8.
        parts_of.push(u8::try_from(entry.parts.len()).unwrap_or(u8::MAX));
        leaves.push((*position, leaf_hash(bytes)));
    }
    Ok((leaves, parts_of))
}

fn material<'a>(members: &[Member<'a>], manifest: &Manifest) -> Result<Material<'a>, PackFault> {
    let parts = Parts::read(get(members, name::PARTS)?)?;
    let named = |folder: &'static str| members.iter().filter(move |member| member.name.starts_with(folder));
    let mut secrets = parts.blobs.iter();
    let mut blobs = Vec::new();
    let expected = "the secret of each blob in the pack, and of no other";
    let wrong = PackFault::Disclosure { position: None, part: None, expected };
    for member in named(name::BLOBS) {
        let hash = secrets.next().map(|(hash, _)| format!("{}{}", name::BLOBS, Hash(*hash)));
        if hash.as_deref() != Some(member.name) {
            return Err(wrong);
        }
        blobs.push(member.bytes);
    }
    if secrets.next().is_some() {
        return Err(wrong);
    }
    let dictionaries: Vec<&[u8]> = named(name::DICTIONARIES).map(|member| member.bytes).collect();
    Material::new(manifest.ledger, parts, blobs, &dictionaries)
}

/// Each disclosed or erased part is one that an entry of the pack has; none is both; none is disclosed without its
/// entry's common part.
fn hold_parts(material: &Material<'_>, entries: &[(u64, &[u8])], parts_of: &[u8]) -> Result<(), PackFault> {
    let disclosed = || material.disclosed().iter().map(|part| (part.position, part.part));
    let wrong = |(position, part): (u64, u8), expected| {
        Err(PackFault::Disclosure { position: Some(position), part: Some(part), expected })
    };
    for (position, part) in disclosed().chain(material.erased().iter().copied()) {
        let at = entries.binary_search_by_key(&position, |(position, _)| *position).ok();
        let parts = at.and_then(|at| parts_of.get(at));
        if parts.is_none_or(|parts| part >= *parts) {
            return wrong((position, part), "a part of an entry in the pack");
        }
    }
    // Ascending, so an entry's common part stands before its persons'.
    let mut common = None;
    for (position, part) in disclosed() {
        if part == 0 {
            common = Some(position);
        } else if common != Some(position) {
            return wrong((position, part), "the common part, which says where it belongs, disclosed too");
        }
    }
    // Both are ascending: the one that is behind takes the next step.
    let mut erased = material.erased().iter().copied().peekable();
    for one in disclosed() {
        while erased.next_if(|other| *other < one).is_some() {}
        if erased.peek() == Some(&one) {
            return wrong(one, "a part that is either disclosed or said to be erased");
        }
    }
    Ok(())
}

/// Opens everything once: whatever is disclosed opens, and everything in the pack is needed for it.
fn open_all(material: &Material<'_>, entries: &[(u64, &[u8])]) -> Result<(), PackFault> {
    let used = material.unused();
    let mut opened = None;
    for part in material.disclosed() {
        if opened == Some(part.position) {
            continue;
        }
        opened = Some(part.position);
        let at = entries.binary_search_by_key(&part.position, |(position, _)| *position).ok();
        if let Some((position, bytes)) = at.and_then(|at| entries.get(at)) {
            let entry =
                Entry::read(bytes).map_err(|error| PackFault::Entry { position: *position, error })?;
            material.open(*position, &entry, &used)?;
        }
    }
    if used.all() {
        return Ok(());
    }
    let expected = "no blob or dictionary that no disclosed part needs";
    Err(PackFault::Disclosure { position: None, part: None, expected })
}

fn hold_counts(
    manifest: &Manifest,
    members: &[Member<'_>],
    material: &Material<'_>,
    (entries, parts_of): (&[(u64, &[u8])], &[u8]),
) -> Result<(), PackFault> {
    let named = |folder: &str| members.iter().filter(|member| member.name.starts_with(folder)).count() as u64;
    let counts = Counts {
        blobs: named(name::BLOBS),
        dictionaries: named(name::DICTIONARIES),
        disclosed: material.disclosed().len() as u64,
        entries: entries.len() as u64,
        erased: material.erased().len() as u64,
        parts: parts_of.iter().map(|parts| u64::from(*parts)).sum(),
    };
    if manifest.counts != counts {
        return Err(claim("counts", format!("{:?}", manifest.counts), format!("{counts:?}")));
    }
    let (first, last) = span(entries);
    if (manifest.first, manifest.last) != (first, last) {
        let said = format!("{} to {}", manifest.first, manifest.last);
        return Err(claim("positions", said, format!("{first} to {last}")));
    }
    let gapless = last - first + 1 == counts.entries;
    if manifest.gapless != gapless {
        return Err(claim("positions without a gap", manifest.gapless, gapless));
    }
    Ok(())
}

/// The lowest and the highest position.
pub(super) fn span(entries: &[(u64, &[u8])]) -> (u64, u64) {
    let position = |entry: Option<&(u64, &[u8])>| entry.map_or(0, |(position, _)| *position);
    (position(entries.first()), position(entries.last()))
}

impl<'a> Verdict<'a> {
    /// What the pack says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The SHA-256 of `manifest.json`, by which the pack is named.
    #[must_use]
    pub fn digest(&self) -> Hash {
        self.digest
    }

    /// The checkpoint, with those of the given keys that signed it and their times.
    #[must_use]
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// How the policy's quorum is met; none without a policy.
    #[must_use]
    pub fn quorum(&self) -> Option<&Quorum> {
        self.quorum.as_ref()
    }

    /// How many signature lines of the checkpoint are by keys that nobody named, and so were not checked.
    #[must_use]
    pub fn signatures_unchecked(&self) -> usize {
        self.signatures_unchecked
    }

    /// The pack's key history: the operator's words.
    #[must_use]
    pub fn key_history(&self) -> &KeyHistory {
        &self.key_history
    }

    /// The positions between which nothing is missing; none where there is a gap.
    #[must_use]
    pub fn completeness(&self) -> Option<RangeInclusive<u64>> {
        self.manifest.gapless.then_some(self.manifest.first..=self.manifest.last)
    }

    /// How many parts are closed, those included that are said to be erased.
    #[must_use]
    pub fn closed(&self) -> u64 {
        self.manifest.counts.parts - self.manifest.counts.disclosed
    }

    /// The cover for a browser: the operator's words.
    #[must_use]
    pub fn cover_html(&self) -> Option<&'a [u8]> {
        get(&self.members, name::COVER_HTML).ok()
    }

    /// The cover for print: the operator's words.
    #[must_use]
    pub fn cover_pdf(&self) -> Option<&'a [u8]> {
        get(&self.members, name::COVER_PDF).ok()
    }

    /// Every member by name, in the file's order. The names are those of docs/reference/pack.md and no others.
    pub fn members(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.members.iter().map(|member| (member.name, member.bytes))
    }

    /// The entries, ascending by position, opened one by one as far as they are disclosed.
    ///
    /// An item is an error never for what [`verify`] returned, which has opened each once.
    pub fn events(&self) -> impl Iterator<Item = Result<PackEvent<'a>, PackFault>> {
        let used = self.material.unused();
        self.entries.iter().zip(&self.leaves).map(move |((position, bytes), (_, leaf))| {
            let entry =
                Entry::read(bytes).map_err(|error| PackFault::Entry { position: *position, error })?;
            let opened = self.material.open(*position, &entry, &used)?;
            let parts = self.material.states(*position, entry.parts.len());
            Ok(PackEvent { position: *position, leaf: *leaf, bytes, entry, parts, opened })
        })
    }
}
