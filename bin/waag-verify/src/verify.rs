//! The decision: these bytes are, or are not, in the ledger that these keys speak for.
//!
//! A function of its input: no files, no clock. The order is that of `VERIFY-2`: form, then proof, and only then
//! anything of what the entry says.
//!
//! Not here: the mathematics (`evidence/ledger`), opening (`evidence/entry`), printing (`report`).

use std::cell::Cell;

use waag_entry::blob::blob_hash;
use waag_entry::codec::Dictionary;
use waag_entry::error::EntryError;
use waag_entry::form::{Entry, Role};
use waag_entry::open::{Opener, open};
use waag_entry::part::PartSecret;
use waag_entry::plain::{Common, Fields, Inline, read_common, read_fields};
use waag_ledger::hash::Hash;
use waag_ledger::note::VerifierKey;
use waag_ledger::tlog_proof::TlogProof;
use waag_model::ids::{KeyId, LedgerId};
use waag_model::time::UtcNanos;
use zeroize::Zeroizing;

use crate::error::VerifyError;

/// What is to be verified, as given.
pub struct Given {
    /// The entry's bytes.
    pub entry: Vec<u8>,
    /// The proof file's bytes.
    pub proof: Vec<u8>,
    /// The keys that are trusted.
    pub keys: Vec<VerifierKey>,
    /// The part to be opened, where one is.
    pub part: Option<GivenPart>,
}

/// What opens a part.
pub struct GivenPart {
    /// The part's index, 0 for the common part.
    pub index: usize,
    /// Its secret.
    pub secret: PartSecret,
    /// The dictionary's bytes, for codec 1.
    pub dictionary: Option<Vec<u8>>,
    /// The blob it refers to, where it refers to one.
    pub blob: Option<GivenBlob>,
}

/// A blob as given.
pub struct GivenBlob {
    /// Its sealed bytes.
    pub bytes: Vec<u8>,
    /// Its own secret.
    pub secret: PartSecret,
}

/// What is proven; made by [`verify`], and by nobody outside this crate.
#[non_exhaustive]
pub struct Verified {
    /// Where the entry stands in its ledger.
    pub position: u64,
    /// Its leaf hash.
    pub leaf: Hash,
    /// The size of the tree it is proven in.
    pub tree_size: u64,
    /// The root of that tree.
    pub root: Hash,
    /// The ledger's origin.
    pub origin: String,
    /// The given keys that signed the checkpoint.
    pub signers: Vec<VerifierKey>,
    /// How many signature lines are by other keys and so were not checked.
    pub signatures_unchecked: usize,
    /// The event's type.
    pub kind: String,
    /// The version of its registered schema; 0 for none.
    pub schema: u32,
    /// When it was accepted.
    pub accepted: UtcNanos,
    /// Its retention class.
    pub retention: String,
    /// How many parts it has.
    pub parts: usize,
    /// The opened part.
    pub part: Option<VerifiedPart>,
}

/// An opened part.
pub struct VerifiedPart {
    /// Its index.
    pub index: usize,
    /// Whose it is.
    pub role: Role,
    /// The data key it was sealed under.
    pub key_id: KeyId,
    /// The hash of the blob that holds its content, where one does.
    pub blob: Option<[u8; 32]>,
    /// The plaintext; none where it is in a blob that was not given.
    plain: Option<Zeroizing<Vec<u8>>>,
}

/// What an opened part says.
pub enum Content<'a> {
    /// The common part: an event with what is withheld from it.
    Common(Box<Common<'a>>),
    /// A person's part: values by path.
    Person(Fields<'a>),
    /// It is in a blob that was not given.
    Elsewhere,
}

impl VerifiedPart {
    /// What the part says.
    ///
    /// # Errors
    /// [`EntryError`] never for what [`verify`] returned, which has read it once.
    pub fn content(&self) -> Result<Content<'_>, EntryError> {
        let Some(plain) = &self.plain else { return Ok(Content::Elsewhere) };
        match self.role {
            Role::Common => match read_common(plain)? {
                Inline::Here(common) => Ok(Content::Common(Box::new(common))),
                Inline::Blob(_) => Err(EntryError::BlobReference),
            },
            Role::Person => match read_fields(plain)? {
                Inline::Here(fields) => Ok(Content::Person(fields)),
                Inline::Blob(_) => Err(EntryError::BlobReference),
            },
        }
    }
}

/// Holds the entry against its proof and the proof against the keys, and opens the part.
///
/// # Errors
/// [`VerifyError`], the first thing that is wrong.
pub fn verify(given: &Given) -> Result<Verified, VerifyError> {
    if given.keys.is_empty() {
        return Err(VerifyError::NoKey);
    }
    if given.entry.is_empty() {
        return Err(VerifyError::EntryEmpty);
    }
    if given.proof.is_empty() {
        return Err(VerifyError::ProofEmpty);
    }
    let entry = Entry::read(&given.entry).map_err(VerifyError::Entry)?;
    let proof = TlogProof::parse(&given.proof).map_err(VerifyError::Proof)?;
    if !proof.extra().is_empty() {
        return Err(VerifyError::ProofExtra);
    }
    let proven = proof.verify(&given.entry, &given.keys).map_err(VerifyError::Proof)?;
    let checkpoint = proven.checkpoint().checkpoint();
    let part = match &given.part {
        Some(part) => Some(open_given(part, &ledger_of(&checkpoint.origin)?, &entry)?),
        None => None,
    };
    let known = |name: &str, id| given.keys.iter().any(|key| key.name() == name && key.id() == id);
    let lines = proof.note().signatures();
    Ok(Verified {
        position: proven.index(),
        leaf: proven.leaf(),
        tree_size: checkpoint.size,
        root: checkpoint.root,
        origin: checkpoint.origin.clone(),
        signers: proven.checkpoint().signers().to_vec(),
        signatures_unchecked: lines.iter().filter(|line| !known(&line.name, line.key_id)).count(),
        kind: entry.header.kind.to_owned(),
        schema: entry.header.schema,
        accepted: entry.header.accepted,
        retention: entry.header.retention.to_owned(),
        parts: entry.parts.len(),
        part,
    })
}

/// The ledger's id: the last step of its origin, `<configured name>/<tenant>/<ledger id>`.
fn ledger_of(origin: &str) -> Result<LedgerId, VerifyError> {
    let wrong = || VerifyError::OriginLedger { origin: origin.to_owned() };
    let (_, last) = origin.rsplit_once('/').ok_or_else(wrong)?;
    let mut id = [0; 16];
    hex::decode_to_slice(last, &mut id).map_err(|_| wrong())?;
    // One ledger has one origin: capitals would be a second spelling.
    if hex::encode(id) == last { Ok(LedgerId(id)) } else { Err(wrong()) }
}

/// Gives away the one secret that was given, and remembers which blob was asked for.
struct OnePart<'g> {
    given: &'g GivenPart,
    dictionary: Option<Dictionary>,
    asked: Cell<Option<[u8; 32]>>,
}

impl Opener for OnePart<'_> {
    fn part_secret(&self, _: &Entry<'_>, index: usize) -> Option<PartSecret> {
        (index == self.given.index).then(|| self.given.secret.clone())
    }

    fn blob(&self, hash: &[u8; 32]) -> Option<(Vec<u8>, PartSecret)> {
        self.asked.set(Some(*hash));
        let blob = self.given.blob.as_ref().filter(|blob| blob_hash(&blob.bytes) == *hash)?;
        Some((blob.bytes.clone(), blob.secret.clone()))
    }

    fn dictionary(&self, name: &[u8; 8]) -> Option<Dictionary> {
        self.dictionary.clone().filter(|dictionary| dictionary.name() == *name)
    }
}

fn open_given(given: &GivenPart, ledger: &LedgerId, entry: &Entry<'_>) -> Result<VerifiedPart, VerifyError> {
    let index = given.index;
    let wrong = |error| VerifyError::Part { index, error };
    let sealed = entry.parts.get(index).ok_or_else(|| wrong(EntryError::NoPart(index)))?;
    let dictionary = given.dictionary.as_deref().map(Dictionary::new).transpose().map_err(wrong)?;
    let opener = OnePart { given, dictionary, asked: Cell::new(None) };
    let opened = open(ledger, entry, &opener).map_err(wrong)?;
    let plain = opened.plain(index).map(|plain| Zeroizing::new(plain.to_vec()));
    let blob = opener.asked.get();
    match (&given.blob, blob, &plain) {
        (Some(_), None, _) => return Err(VerifyError::BlobUnused),
        (Some(_), Some(_), None) => return Err(wrong(EntryError::BlobHash)),
        (None, _, _) | (Some(_), Some(_), Some(_)) => {}
    }
    let part = VerifiedPart { index, role: sealed.role, key_id: sealed.key_id, blob, plain };
    part.content().map_err(wrong)?;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_id_is_the_last_step_of_the_origin_in_its_one_spelling() {
        let id = "00112233445566778899aabbccddeeff";
        let ledger = ledger_of(&format!("bank.example/acme/{id}")).unwrap();
        assert_eq!(ledger.to_string(), id);
        for origin in [
            id.to_owned(),
            "bank.example/acme".to_owned(),
            format!("bank.example/acme/{}", id.to_uppercase()),
            format!("bank.example/acme/{id}0"),
            format!("bank.example/acme/{id}00"),
            format!("bank.example/acme/{id}/"),
        ] {
            assert_eq!(ledger_of(&origin).unwrap_err().code(), "E0754", "{origin}");
        }
    }
}
