//! A repository: runs in a chain, pieces read and written through the key, and what has expired or was left behind.
//!
//! Place: what backup and restore work with. Not here: where it lies (`contract`), what is in pieces (`frames`, `records`).
//!
//! A run's steps, each safe to break off behind: unfinished objects removed, and those that have expired but for the newest
//! run's → pieces put and read back → manifest put → what has expired of the run before removed. Until the manifest
//! stands, the run is not there, and the next one removes what it left.

use std::collections::BTreeSet;
use std::sync::Arc;

use waag_ledger::hash::Hash;
use waag_model::time::UtcNanos;
use waag_stdx::entropy::Entropy;

use crate::contract::BackupStore;
use crate::error::ArchiveError;
use crate::key::BackupKey;
use crate::manifest::{Kind, Manifest, Piece, Shelf, object_hash};
use crate::sealed;

/// The object that says which repository this is.
pub const REPOSITORY: &str = "repository";
/// What the names of manifests begin with.
pub const RUNS: &str = "runs/";
/// Nanoseconds of a second.
const SECOND_NS: i64 = 1_000_000_000;

/// A run that stands in the chain.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it says.
    pub manifest: Manifest,
    /// The hash of its object, which the next one names.
    pub hash: Hash,
    /// The object's length.
    pub object_bytes: u64,
}

/// The manifests of a repository, read as far as each can be.
#[derive(Debug, Default)]
pub struct Survey {
    /// The chain from the first run up to the first fault.
    pub runs: Vec<Run>,
    /// Runs behind that, each readable by itself; what links them to the chain is not proven.
    pub behind: Vec<Run>,
    /// Manifests with what is wrong, in the order of the chain.
    pub faults: Vec<(String, ArchiveError)>,
}

/// What a piece holds, beside its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Contents {
    /// Frames, objects, names or records.
    pub items: u64,
    /// Frames: the number of the first.
    pub first_frame: u64,
    /// Frames: the position of the first entry.
    pub first_position: u64,
    /// Frames: the position behind the last entry.
    pub end_position: u64,
    /// Frames: commit time of the last.
    pub committed: UtcNanos,
}

/// A repository under its key.
#[derive(Clone)]
pub struct Repository {
    store: Arc<dyn BackupStore>,
    key: BackupKey,
    entropy: Arc<dyn Entropy>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Repository {{ id: {} }}", self.key.repository)
    }
}

fn run_name(sequence: u64) -> String {
    format!("{RUNS}{sequence:020}")
}

/// The number in a manifest's name; none where it is no such name.
fn sequence_of(name: &str) -> Option<u64> {
    let sequence = name.strip_prefix(RUNS)?.parse().ok()?;
    (run_name(sequence) == name).then_some(sequence)
}

/// Whether a name has the form of those on a shelf.
fn is_on_shelf(shelf: Shelf, name: &str) -> bool {
    let is_random = |digits: &str| {
        digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let Some(rest) = name.strip_prefix(shelf.prefix()) else { return false };
    match shelf {
        Shelf::Pieces => rest
            .split_once('/')
            .is_some_and(|(first, digits)| is_random(digits) && digits.get(..2) == Some(first)),
        Shelf::States | Shelf::Keys => {
            let digits = rest.split_once('-').map(|(_, digits)| digits);
            expiry_of(shelf, name).is_some() && digits.is_some_and(is_random)
        }
    }
}

/// The expiry that a name on a shelf tells, in seconds since 1970.
fn expiry_of(shelf: Shelf, name: &str) -> Option<i64> {
    let (digits, _) = name.strip_prefix(shelf.prefix())?.split_once('-')?;
    digits.parse().ok().filter(|_| digits.len() == 12)
}

impl Repository {
    /// Makes a repository in an empty store.
    ///
    /// # Errors
    /// [`ArchiveError::NotEmpty`]; the store's.
    pub fn create(
        store: Arc<dyn BackupStore>,
        key: BackupKey,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, ArchiveError> {
        if !store.list("")?.is_empty() {
            return Err(ArchiveError::NotEmpty);
        }
        let object = sealed::repository_object(&key).ok_or(waag_stdx::entropy::NoEntropy)?;
        store.put_new(REPOSITORY, &object)?;
        Ok(Self { store, key, entropy })
    }

    /// Opens a repository.
    ///
    /// # Errors
    /// [`ArchiveError::NoRepository`], [`ArchiveError::OtherKey`], [`ArchiveError::Damaged`]; the store's.
    pub fn open(
        store: Arc<dyn BackupStore>,
        key: BackupKey,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, ArchiveError> {
        let object = store.get(REPOSITORY)?.ok_or(ArchiveError::NoRepository)?;
        if sealed::repository_object(&key).as_deref() != Some(&object) {
            return Err(match sealed::repository_of(&object) {
                Some(found) if found != key.repository => {
                    ArchiveError::OtherKey { key: key.repository, found }
                }
                Some(_) | None => ArchiveError::Damaged { name: REPOSITORY.to_owned() },
            });
        }
        Ok(Self { store, key, entropy })
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &BackupKey {
        &self.key
    }

    /// All runs, oldest first, their chain checked.
    ///
    /// # Errors
    /// [`ArchiveError::Chain`], [`ArchiveError::Damaged`], [`ArchiveError::Form`]; the store's.
    pub fn runs(&self) -> Result<Vec<Run>, ArchiveError> {
        let survey = self.survey()?;
        survey.faults.into_iter().next().map_or(Ok(survey.runs), |(_, error)| Err(error))
    }

    /// What there is of runs, also where a manifest cannot be read: the chain as far as it is whole, what is behind the
    /// break, and what is wrong with which manifest.
    ///
    /// # Errors
    /// The store's, where not even names can be listed.
    pub fn survey(&self) -> Result<Survey, ArchiveError> {
        let mut survey = Survey::default();
        let mut before: Option<Run> = None;
        let mut due = 1_u64;
        for name in self.store.list(RUNS)? {
            let Some(sequence) = sequence_of(&name) else { continue };
            if sequence != due {
                let missing = ArchiveError::Chain { sequence: due, what: "its manifest is missing" };
                survey.faults.push((run_name(due), missing));
                before = None;
            }
            due = sequence.saturating_add(1);
            let run = match self.read_run(&name) {
                Ok(run) => run,
                Err(error) => {
                    survey.faults.push((name, error));
                    before = None;
                    continue;
                }
            };
            // Behind a manifest that cannot be read nothing can be said of the link to it.
            let linked = if before.is_some() || sequence == 1 {
                check_link(before.as_ref(), &run.manifest, sequence)
            } else if run.manifest.sequence == sequence {
                Ok(())
            } else {
                Err(ArchiveError::Chain { sequence, what: "it has another number" })
            };
            if let Err(error) = linked {
                survey.faults.push((name, error));
            }
            before = Some(run.clone());
            if survey.faults.is_empty() { survey.runs.push(run) } else { survey.behind.push(run) }
        }
        Ok(survey)
    }

    fn read_run(&self, name: &str) -> Result<Run, ArchiveError> {
        let object = self.store.get(name)?.ok_or_else(|| ArchiveError::Missing { name: name.to_owned() })?;
        let plain = sealed::open(&self.key, name, &object)
            .ok_or_else(|| ArchiveError::Damaged { name: name.to_owned() })?;
        let manifest = Manifest::decode(&plain)
            .ok_or_else(|| ArchiveError::Form { name: name.to_owned(), what: "it is no manifest" })?;
        Ok(Run { manifest, hash: object_hash(&object), object_bytes: object.len() as u64 })
    }

    /// Opens an object by its name alone, which is authenticated with it: for what a manifest named that cannot be read.
    ///
    /// # Errors
    /// [`ArchiveError::Missing`], [`ArchiveError::Damaged`]; the store's.
    pub fn get_named(&self, name: &str) -> Result<Vec<u8>, ArchiveError> {
        let object = self.store.get(name)?.ok_or_else(|| ArchiveError::Missing { name: name.to_owned() })?;
        sealed::open(&self.key, name, &object).ok_or_else(|| ArchiveError::Damaged { name: name.to_owned() })
    }

    /// A name that was never used, for a piece of this kind.
    ///
    /// # Errors
    /// No randomness.
    pub fn fresh_name(&self, kind: Kind, expire: UtcNanos) -> Result<String, ArchiveError> {
        let mut random = [0; 16];
        self.entropy.fill(&mut random)?;
        let (digits, shelf) = (hex::encode(random), kind.shelf());
        let prefix = shelf.prefix();
        Ok(match shelf {
            Shelf::Pieces => format!("{prefix}{}/{digits}", digits.get(..2).unwrap_or_default()),
            Shelf::States | Shelf::Keys => {
                format!("{prefix}{:012}-{digits}", expire.0.div_euclid(SECOND_NS).max(0))
            }
        })
    }

    /// Seals a piece and puts it; durable on return, not read back yet.
    ///
    /// # Errors
    /// The store's.
    pub fn put(
        &self,
        kind: Kind,
        expire: UtcNanos,
        contents: Contents,
        plain: &[u8],
    ) -> Result<Piece, ArchiveError> {
        let name = self.fresh_name(kind, expire)?;
        let object = sealed::seal(&self.key, &*self.entropy, &name, plain)?;
        let sha256 = object_hash(&object);
        self.store.put_new(&name, &object)?;
        Ok(Piece {
            kind,
            name,
            plain_bytes: plain.len() as u64,
            object_bytes: object.len() as u64,
            sha256,
            items: contents.items,
            first_frame: contents.first_frame,
            first_position: contents.first_position,
            end_position: contents.end_position,
            committed: contents.committed,
        })
    }

    /// Reads a piece, its hash compared, and opens it.
    ///
    /// # Errors
    /// [`ArchiveError::Missing`], [`ArchiveError::Damaged`]; the store's.
    pub fn get(&self, piece: &Piece) -> Result<Vec<u8>, ArchiveError> {
        let object = self.store.get(&piece.name)?;
        let object = object.ok_or_else(|| ArchiveError::Missing { name: piece.name.clone() })?;
        let damaged = || ArchiveError::Damaged { name: piece.name.clone() };
        if object.len() as u64 != piece.object_bytes || object_hash(&object) != piece.sha256 {
            return Err(damaged());
        }
        let plain = sealed::open(&self.key, &piece.name, &object).ok_or_else(damaged)?;
        if plain.len() as u64 == piece.plain_bytes { Ok(plain) } else { Err(damaged()) }
    }

    /// Puts a run's manifest and reads it back: from here on the run is listed (`ARCHIVE-2`).
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`] where another is read than was written; the store's, [`ArchiveError::Store`] with
    /// E0880 where another run has this number.
    pub fn put_run(&self, manifest: Manifest) -> Result<Run, ArchiveError> {
        let name = run_name(manifest.sequence);
        let form = |what| ArchiveError::Form { name: name.clone(), what };
        let plain = manifest.encode().ok_or_else(|| form("it cannot be written"))?;
        if Manifest::decode(&plain).as_ref() != Some(&manifest) {
            return Err(form("it would not be read back"));
        }
        let object = sealed::seal(&self.key, &*self.entropy, &name, &plain)?;
        self.store.put_new(&name, &object)?;
        if self.store.get(&name)?.as_deref() != Some(&object) {
            return Err(ArchiveError::Damaged { name });
        }
        Ok(Run { manifest, hash: object_hash(&object), object_bytes: object.len() as u64 })
    }

    /// Removes what has expired and what no run names; answers the names. The newest run's state stays.
    ///
    /// For the one process that writes the repository: another's run under way would lose its pieces.
    ///
    /// # Errors
    /// The store's; what was removed before is gone.
    pub fn prune(&self, runs: &[Run], now: UtcNanos) -> Result<Vec<String>, ArchiveError> {
        self.remove(runs, now, &|piece| piece.kind == Kind::State)
    }

    /// The same before a run: nothing of the newest one is removed, so that there is key material until there is newer.
    ///
    /// # Errors
    /// As [`Repository::prune`].
    pub fn make_room(&self, runs: &[Run], now: UtcNanos) -> Result<Vec<String>, ArchiveError> {
        self.remove(runs, now, &|_| true)
    }

    /// Removes what no run names, and what has expired but for those of the newest run's pieces that stay.
    fn remove(
        &self,
        runs: &[Run],
        now: UtcNanos,
        stays: &dyn Fn(&Piece) -> bool,
    ) -> Result<Vec<String>, ArchiveError> {
        let named: BTreeSet<&str> =
            runs.iter().flat_map(|run| &run.manifest.pieces).map(|piece| piece.name.as_str()).collect();
        let newest = runs.last().into_iter().flat_map(|run| &run.manifest.pieces);
        let stays: BTreeSet<&str> =
            newest.filter(|piece| stays(piece)).map(|piece| piece.name.as_str()).collect();
        let seconds = now.0.div_euclid(SECOND_NS);
        let mut removed = Vec::new();
        for shelf in [Shelf::Keys, Shelf::States, Shelf::Pieces] {
            for name in self.store.list(shelf.prefix())? {
                let has_expired = match shelf {
                    Shelf::Pieces => false,
                    Shelf::States | Shelf::Keys => {
                        expiry_of(shelf, &name).is_some_and(|expiry| expiry <= seconds)
                    }
                };
                // Of any other form it is nobody's, and stays.
                if !is_on_shelf(shelf, &name) {
                    continue;
                }
                if !named.contains(name.as_str()) || (has_expired && !stays.contains(name.as_str())) {
                    self.store.remove(&name)?;
                    removed.push(name);
                }
            }
        }
        Ok(removed)
    }

    /// All names of objects in the repository; what has a name of no object is nobody's.
    ///
    /// # Errors
    /// The store's.
    pub fn names(&self) -> Result<Vec<String>, ArchiveError> {
        let mut names = self.store.list("")?;
        names.retain(|name| {
            let shelves = [Shelf::Keys, Shelf::States, Shelf::Pieces];
            name == REPOSITORY
                || sequence_of(name).is_some()
                || shelves.into_iter().any(|shelf| is_on_shelf(shelf, name))
        });
        Ok(names)
    }
}

/// Whether state and key material of a run may be used still (`ARCHIVE-4`).
#[must_use]
pub fn is_fresh(run: &Manifest, now: UtcNanos) -> bool {
    now < run.expire
}

/// Whether a piece may be missing by now: what expires, once it has, but for the newest run's state.
#[must_use]
pub fn may_be_gone(run: &Manifest, is_newest: bool, piece: &Piece, now: UtcNanos) -> bool {
    match piece.kind.shelf() {
        Shelf::Pieces => false,
        Shelf::States => !is_newest && !is_fresh(run, now),
        Shelf::Keys => !is_fresh(run, now),
    }
}

/// The newest run whose key material may be used.
///
/// # Errors
/// [`ArchiveError::KeysExpired`].
pub fn newest_keys(runs: &[Run], now: UtcNanos) -> Result<&Run, ArchiveError> {
    let fresh = runs.iter().rev().find(|run| is_fresh(&run.manifest, now));
    fresh.ok_or_else(|| ArchiveError::KeysExpired { at: runs.last().map(|run| run.manifest.expire) })
}

/// How a run follows the one before it: hash, ledger, and frames without a gap (`ARCHIVE-3`).
fn check_link(before: Option<&Run>, manifest: &Manifest, sequence: u64) -> Result<(), ArchiveError> {
    let broken = |what| Err(ArchiveError::Chain { sequence, what });
    if manifest.sequence != sequence {
        return broken("it has another number");
    }
    let previous = before.map_or(Hash([0; 32]), |run| run.hash);
    if manifest.previous != previous {
        return broken("it follows another run than the one before it");
    }
    if before.is_some_and(|run| run.manifest.ledger != manifest.ledger) {
        return broken("it is of another ledger");
    }
    let start = before.map_or((0, 0), |run| {
        let guard = &run.manifest.guard;
        (guard.next_frame().0, guard.size)
    });
    let mut next = start;
    for piece in manifest.of(Kind::Frames) {
        if (piece.first_frame, piece.first_position) != next {
            return broken("its frames do not follow");
        }
        next = (piece.first_frame.saturating_add(piece.items), piece.end_position);
    }
    if next == (manifest.guard.next_frame().0, manifest.guard.size) {
        Ok(())
    } else {
        broken("its frames do not lead to its checkpoint")
    }
}
