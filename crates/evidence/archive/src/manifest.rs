//! What a run made: the manifest that names every piece, and the run before it by its hash (`ARCHIVE-2`).
//!
//! Deterministic CBOR, read back strictly: what does not encode to the same bytes again is refused.
//! Byte by byte in `docs/reference/backup.md`. Not here: sealing it (`sealed`), the chain (`repository`).

use aws_lc_rs::digest::{SHA256, digest};
use waag_entry::cbor::{Reader, write};
use waag_ledger::hash::Hash;
use waag_ledger::tree::Frontier;
use waag_log::guard::GuardRecord;
use waag_model::ids::LedgerId;
use waag_model::time::UtcNanos;

use crate::key::RepositoryId;

/// The version that is written.
pub const MANIFEST_VERSION: u64 = 1;
/// Most pieces of one run.
pub const PIECES_MAX: usize = 400_000;
const ITEMS: usize = 20;
const PIECE_ITEMS: usize = 10;

/// What a piece holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Whole frames.
    Frames,
    /// Objects behind their names.
    Objects,
    /// The names of the objects of a run.
    Names,
    /// Records of tables that hold no secret.
    State,
    /// Records of tables that hold secrets.
    Keys,
    /// The vault's key file.
    Vault,
    /// A stretch of a file of an earlier ledger.
    Earlier,
}

impl Kind {
    /// The stored code.
    #[must_use]
    pub fn code(self) -> u64 {
        match self {
            Self::Frames => 1,
            Self::Objects => 2,
            Self::Names => 3,
            Self::State => 4,
            Self::Keys => 5,
            Self::Vault => 6,
            Self::Earlier => 7,
        }
    }

    fn of_code(code: u64) -> Option<Self> {
        let all =
            [Self::Frames, Self::Objects, Self::Names, Self::State, Self::Keys, Self::Vault, Self::Earlier];
        all.into_iter().find(|kind| kind.code() == code)
    }

    /// Where pieces of this kind have their names.
    #[must_use]
    pub fn shelf(self) -> Shelf {
        match self {
            Self::Frames | Self::Objects | Self::Names | Self::Earlier => Shelf::Pieces,
            Self::State => Shelf::States,
            Self::Keys | Self::Vault => Shelf::Keys,
        }
    }
}

/// Where objects have their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// What is kept as long as the repository.
    Pieces,
    /// Tables without secrets.
    States,
    /// Key material.
    Keys,
}

impl Shelf {
    /// What names on it begin with.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Pieces => "pieces/",
            Self::States => "states/",
            Self::Keys => "keys/",
        }
    }
}

/// A piece as its run names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it holds.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Length of the plaintext.
    pub plain_bytes: u64,
    /// Length of the object.
    pub object_bytes: u64,
    /// SHA-256 of the object.
    pub sha256: Hash,
    /// Frames, objects, names or records in it.
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

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The repository.
    pub repository: RepositoryId,
    /// Its number, from 1.
    pub sequence: u64,
    /// The hash of the previous run's object; zeros in run 1.
    pub previous: Hash,
    /// The tenant.
    pub tenant: String,
    /// The ledger.
    pub ledger: LedgerId,
    /// Its origin.
    pub origin: String,
    /// The program that wrote it.
    pub program: String,
    /// When the run began.
    pub started: UtcNanos,
    /// When state and keys began to be read.
    pub taken: UtcNanos,
    /// When it was written.
    pub finished: UtcNanos,
    /// When state and key material expire.
    pub expire: UtcNanos,
    /// The guard, read before state and keys were.
    pub guard: GuardRecord,
    /// Commit time of the last frame under it.
    pub committed: UtcNanos,
    /// The tree at the guard's size.
    pub frontier: Frontier,
    /// The state's generation.
    pub generation: u64,
    /// Its records.
    pub records: u64,
    /// Its digest.
    pub digest: [u8; 32],
    /// Objects in this run and all before it.
    pub objects: u64,
    /// Its pieces.
    pub pieces: Vec<Piece>,
}

/// The SHA-256 of an object's bytes.
#[must_use]
pub fn object_hash(bytes: &[u8]) -> Hash {
    let mut hash = Hash([0; 32]);
    hash.0.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

impl Manifest {
    /// Its pieces of a kind, in order.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().filter(move |piece| piece.kind == kind)
    }

    /// The stored form; none where the guard's record is outside its limits.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        write::array(&mut out, ITEMS);
        write::uint(&mut out, MANIFEST_VERSION);
        write::bytes(&mut out, &self.repository.0);
        write::uint(&mut out, self.sequence);
        write::bytes(&mut out, &self.previous.0);
        write::text(&mut out, &self.tenant);
        write::bytes(&mut out, &self.ledger.0);
        write::text(&mut out, &self.origin);
        write::text(&mut out, &self.program);
        for time in [self.started, self.taken, self.finished, self.expire] {
            write::int(&mut out, time.0);
        }
        write::bytes(&mut out, &self.guard.encode().ok()?);
        write::int(&mut out, self.committed.0);
        write::array(&mut out, self.frontier.hashes().len());
        self.frontier.hashes().iter().for_each(|hash| write::bytes(&mut out, &hash.0));
        write::uint(&mut out, self.generation);
        write::uint(&mut out, self.records);
        write::bytes(&mut out, &self.digest);
        write::uint(&mut out, self.objects);
        write::array(&mut out, self.pieces.len());
        self.pieces.iter().for_each(|piece| piece.encode(&mut out));
        Some(out)
    }

    /// Reads a manifest; none where it is not exactly one of this version.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let read = &mut reader;
        read.array_of(ITEMS, "a manifest").ok()?;
        if read.uint("a version").ok()? != MANIFEST_VERSION {
            return None;
        }
        let repository = RepositoryId(read.fixed("a repository").ok()?);
        let sequence = read.uint("a sequence").ok()?;
        let previous = Hash(read.fixed("a hash").ok()?);
        let tenant = read.text("a tenant").ok()?.to_owned();
        let ledger = LedgerId(read.fixed("a ledger").ok()?);
        let origin = read.text("an origin").ok()?.to_owned();
        let program = read.text("a program").ok()?.to_owned();
        let mut time = || read.int("a time").ok().map(UtcNanos);
        let (started, taken, finished, expire) = (time()?, time()?, time()?, time()?);
        let guard = GuardRecord::decode(read.bytes("a guard").ok()?).ok()?;
        let committed = UtcNanos(read.int("a time").ok()?);
        let count = read.array("hashes").ok().filter(|count| *count <= 64)?;
        let hash = |_| read.fixed("a hash").ok().map(Hash);
        let hashes = (0..count).map(hash).collect::<Option<Vec<_>>>()?;
        let frontier = Frontier::from_hashes(guard.size, hashes).ok()?;
        let generation = read.uint("a generation").ok()?;
        let records = read.uint("a count").ok()?;
        let digest = read.fixed("a digest").ok()?;
        let objects = read.uint("a count").ok()?;
        let count = read.array("pieces").ok().filter(|count| *count <= PIECES_MAX)?;
        let pieces = (0..count).map(|_| Piece::decode(read)).collect::<Option<Vec<_>>>()?;
        reader.end().ok()?;
        let this = Self {
            repository,
            sequence,
            previous,
            tenant,
            ledger,
            origin,
            program,
            started,
            taken,
            finished,
            expire,
            guard,
            committed,
            frontier,
            generation,
            records,
            digest,
            objects,
            pieces,
        };
        let is_sound = this.guard.ledger == this.ledger && this.frontier.root() == this.guard.root;
        (is_sound && this.encode()?.as_slice() == bytes).then_some(this)
    }
}

impl Piece {
    fn encode(&self, out: &mut Vec<u8>) {
        write::array(out, PIECE_ITEMS);
        write::uint(out, self.kind.code());
        write::text(out, &self.name);
        write::uint(out, self.plain_bytes);
        write::uint(out, self.object_bytes);
        write::bytes(out, &self.sha256.0);
        for number in [self.items, self.first_frame, self.first_position, self.end_position] {
            write::uint(out, number);
        }
        write::int(out, self.committed.0);
    }

    fn decode(read: &mut Reader<'_>) -> Option<Self> {
        read.array_of(PIECE_ITEMS, "a piece").ok()?;
        let kind = Kind::of_code(read.uint("a kind").ok()?)?;
        let name = read.text("a name").ok()?.to_owned();
        if !name.starts_with(kind.shelf().prefix()) {
            return None;
        }
        let mut number = || read.uint("a number").ok();
        let (plain_bytes, object_bytes) = (number()?, number()?);
        let sha256 = Hash(read.fixed("a hash").ok()?);
        let mut number = || read.uint("a number").ok();
        let (items, first_frame, first_position, end_position) = (number()?, number()?, number()?, number()?);
        let committed = UtcNanos(read.int("a time").ok()?);
        Some(Self {
            kind,
            name,
            plain_bytes,
            object_bytes,
            sha256,
            items,
            first_frame,
            first_position,
            end_position,
            committed,
        })
    }
}

#[cfg(test)]
mod tests {
    use waag_ledger::hash::EMPTY_ROOT;
    use waag_model::ids::{Epoch, FrameNumber};

    use super::*;

    fn manifest() -> Manifest {
        let ledger = LedgerId([5; 16]);
        Manifest {
            repository: RepositoryId([1; 16]),
            sequence: 3,
            previous: Hash([2; 32]),
            tenant: "bank".into(),
            ledger,
            origin: "waag/bank/0505".into(),
            program: "waag 0.1.0".into(),
            started: UtcNanos(1),
            taken: UtcNanos(2),
            finished: UtcNanos(3),
            expire: UtcNanos(-4),
            guard: GuardRecord {
                sequence: 1,
                ledger,
                epoch: Epoch(1),
                frame: FrameNumber(0),
                size: 0,
                root: EMPTY_ROOT,
                header_hash: Hash([0; 32]),
                keys_generation: 7,
                checkpoint: b"note\n".to_vec(),
            },
            committed: UtcNanos(i64::MIN),
            frontier: Frontier::new(),
            generation: 9,
            records: 4,
            digest: [8; 32],
            objects: 2,
            pieces: vec![Piece {
                kind: Kind::Vault,
                name: "keys/000000000001-00".into(),
                plain_bytes: 1,
                object_bytes: 65,
                sha256: Hash([7; 32]),
                items: 1,
                first_frame: 0,
                first_position: 0,
                end_position: 0,
                committed: UtcNanos(0),
            }],
        }
    }

    #[test]
    fn a_manifest_reads_back_and_none_that_is_cut_does() {
        let bytes = manifest().encode().unwrap();
        assert_eq!(Manifest::decode(&bytes), Some(manifest()));
        for at in 0..bytes.len() {
            assert_eq!(Manifest::decode(&bytes[..at]), None, "cut to {at}");
        }
        assert_eq!(Manifest::decode(&[&bytes[..], &[0]].concat()), None);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let mut other = manifest();
        other.ledger = LedgerId([6; 16]);
        assert_eq!(Manifest::decode(&other.encode().unwrap()), None);
        let mut other = manifest();
        other.guard.root = Hash([1; 32]);
        assert_eq!(Manifest::decode(&other.encode().unwrap()), None);
        let mut other = manifest();
        other.pieces[0].name = "pieces/00/00".into();
        assert_eq!(Manifest::decode(&other.encode().unwrap()), None);
    }
}
