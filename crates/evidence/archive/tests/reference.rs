//! The worked examples of `docs/reference/backup.md`, rebuilt and compared.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails loudly")]

use waag_archive::key::{BackupKey, RepositoryId};
use waag_archive::manifest::{Kind, Manifest, Piece};
use waag_archive::records::{StateRecord, push_object, push_record};
use waag_archive::sealed::{open, repository_object, seal_with};
use waag_keys::state::Table;
use waag_ledger::hash::{EMPTY_ROOT, Hash};
use waag_ledger::tree::Frontier;
use waag_log::guard::GuardRecord;
use waag_model::ids::{Epoch, FrameNumber, LedgerId};
use waag_model::time::UtcNanos;

const PAGE: &str = include_str!("../../../../docs/reference/backup.md");

/// The bytes of the page's block of this name.
fn block(name: &str) -> Vec<u8> {
    let begin = format!("```hex {name}\n");
    let (_, rest) = PAGE.split_once(&begin).unwrap_or_else(|| panic!("no block `{name}`"));
    let (digits, _) = rest.split_once("```").unwrap();
    hex::decode(digits.split_whitespace().collect::<String>()).unwrap()
}

fn counted<const N: usize>() -> [u8; N] {
    std::array::from_fn(|at| u8::try_from(at).unwrap())
}

fn key() -> BackupKey {
    BackupKey::of(RepositoryId(counted()), counted())
}

fn holds(name: &str, made: &[u8]) {
    assert!(block(name) == made, "block `{name}` is {}", hex::encode(made));
}

#[test]
fn the_key_file_the_repository_and_a_sealed_object_are_as_the_page_says() {
    assert!(PAGE.contains(key().line().as_str()), "{}", key().line().as_str());
    holds("repository", &repository_object(&key()).unwrap());
    let sealed = seal_with(&key(), &counted(), "pieces/ab/abcd", b"Waag").unwrap();
    holds("sealed", &sealed);
    assert_eq!(open(&key(), "pieces/ab/abcd", &sealed).unwrap().as_slice(), b"Waag");
}

#[test]
fn a_record_and_an_object_in_a_piece_are_as_the_page_says() {
    let mut piece = Vec::new();
    assert!(push_record(&mut piece, StateRecord { table: Table::Lease, key: b"key", value: b"value" }));
    holds("record", &piece);
    let mut piece = Vec::new();
    assert!(push_object(&mut piece, &Hash(counted()), b"Waag"));
    holds("object", &piece);
}

#[test]
fn a_manifest_is_as_the_page_says() {
    let ledger = LedgerId(counted());
    let manifest = Manifest {
        repository: RepositoryId(counted()),
        sequence: 1,
        previous: Hash([0; 32]),
        tenant: "bank".into(),
        ledger,
        origin: format!("waag/bank/{ledger}"),
        program: "waag 0.1.0".into(),
        started: UtcNanos(1),
        taken: UtcNanos(1),
        finished: UtcNanos(2),
        expire: UtcNanos(2_592_000_000_000_001),
        guard: GuardRecord {
            sequence: 0,
            ledger,
            epoch: Epoch(0),
            frame: FrameNumber(0),
            size: 0,
            root: EMPTY_ROOT,
            header_hash: Hash([0; 32]),
            keys_generation: 2,
            checkpoint: b"note\n".to_vec(),
        },
        committed: UtcNanos(i64::MIN),
        frontier: Frontier::new(),
        generation: 2,
        records: 5,
        digest: [7; 32],
        objects: 0,
        pieces: vec![Piece {
            kind: Kind::Vault,
            name: "keys/000002592000-000102030405060708090a0b0c0d0e0f".into(),
            plain_bytes: 4,
            object_bytes: 68,
            sha256: Hash(counted()),
            items: 1,
            first_frame: 0,
            first_position: 0,
            end_position: 0,
            committed: UtcNanos(0),
        }],
    };
    let bytes = manifest.encode().unwrap();
    holds("manifest", &bytes);
    assert_eq!(Manifest::decode(&block("manifest")), Some(manifest));
}
