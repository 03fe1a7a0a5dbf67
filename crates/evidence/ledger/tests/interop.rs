//! The same ledger seen by another implementation: crates `signed_note` and `tlog_tiles` (the C2SP specifications
//! in Rust, by other authors, on another cryptographic library) must read what is written here, and be read.
//!
//! Place: an outside check on `LEDGER-1` to `LEDGER-4`. Not here: the published proof vectors (`vectors.rs`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use signed_note::{StandardSigner, StandardVerifier, VerifierList};
use tlog_tiles::{Error as PeerError, TileHashReader, TileReader};
use waag_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use waag_ledger::hash::{Hash, leaf_hash, node_hash};
use waag_ledger::note::{Note, NoteSigner, VerifierKey};
use waag_ledger::proof::{prove_consistency, prove_inclusion, verify_consistency, verify_inclusion};
use waag_ledger::stored::{frontier_at, split_stored_hash_index, stored_hash_count, stored_hash_index};
use waag_ledger::tile::Tile;
use waag_ledger::tree::Frontier;

const ORIGIN: &str = "waag.example/acme/00112233445566778899aabbccddeeff";
const SEED: [u8; 32] = [0x42; 32];

/// Stored hashes as the peer reads them.
struct PeerStored(Vec<tlog_tiles::Hash>);

impl tlog_tiles::HashReader for PeerStored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, PeerError> {
        let read = |index: &u64| self.0.get(usize::try_from(*index).ok()?).copied();
        indexes.iter().map(read).collect::<Option<_>>().ok_or(PeerError::IndexesNotInTree)
    }
}

fn peer(hash: &Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(hash.0)
}

fn ours(hashes: &[tlog_tiles::Hash]) -> Vec<Hash> {
    hashes.iter().map(|hash| Hash(hash.0)).collect()
}

fn entry(n: u64) -> Vec<u8> {
    format!("entry {n}").into_bytes()
}

fn grown(size: u64) -> (Frontier, Vec<Hash>) {
    let (mut frontier, mut stored) = (Frontier::new(), Vec::new());
    (0..size).for_each(|n| frontier.append(leaf_hash(&entry(n)), &mut stored));
    (frontier, stored)
}

#[test]
fn hashes_and_their_numbers_agree() {
    let (left, right) = (leaf_hash(b"left"), leaf_hash(b"right"));
    assert_eq!(peer(&left), tlog_tiles::record_hash(b"left"));
    assert_eq!(peer(&node_hash(&left, &right)), tlog_tiles::node_hash(peer(&left), peer(&right)));
    for n in (0..3_000).chain([u64::from(u32::MAX), 1 << 40, (1 << 45) + 12_345]) {
        assert_eq!(stored_hash_count(n), tlog_tiles::stored_hash_count(n));
        for level in [0u8, 1, 7, 13] {
            let index = stored_hash_index(level.into(), n).unwrap();
            assert_eq!(index, tlog_tiles::stored_hash_index(level, n));
            assert_eq!(split_stored_hash_index(index), Some((level.into(), n)));
            assert_eq!(tlog_tiles::split_stored_hash_index(index), (level, n));
        }
    }
    // The peer derives the same stored hashes entry by entry.
    let (_, stored) = grown(130);
    let mut theirs = PeerStored(Vec::new());
    for n in 0..130 {
        let more = tlog_tiles::stored_hashes(n, &entry(n), &theirs).unwrap();
        theirs.0.extend(more);
    }
    assert_eq!(ours(&theirs.0), stored);
}

#[test]
fn proofs_are_the_same_and_verify_on_both_sides() {
    let size = 90;
    let (_, stored) = grown(size);
    let theirs = PeerStored(stored.iter().map(peer).collect());
    for tree in 1..=size {
        let root = frontier_at(&stored, tree).unwrap().root();
        assert_eq!(tlog_tiles::tree_hash(tree, &theirs).unwrap(), peer(&root));
        for index in 0..tree {
            let proof = prove_inclusion(&stored, index, tree).unwrap();
            let leaf = leaf_hash(&entry(index));
            let path: Vec<_> = proof.path.iter().map(peer).collect();
            tlog_tiles::check_record(&path, tree, peer(&root), index, peer(&leaf)).unwrap();
            let their_path = ours(&tlog_tiles::prove_record(tree, index, &theirs).unwrap());
            assert_eq!(verify_inclusion(&leaf, index, tree, &their_path, &root), Ok(()));

            let old = index + 1;
            let old_root = frontier_at(&stored, old).unwrap().root();
            let proof = prove_consistency(&stored, old, tree).unwrap();
            let path: Vec<_> = proof.path.iter().map(peer).collect();
            tlog_tiles::check_tree(&path, tree, peer(&root), old, peer(&old_root)).unwrap();
            let their_path = ours(&tlog_tiles::prove_tree(tree, old, &theirs).unwrap());
            assert_eq!(verify_consistency(old, tree, &their_path, &old_root, &root), Ok(()));
        }
    }
}

/// Serves our tiles to the peer by their path, as a web server would.
struct Served(Vec<Hash>, u64);

impl TileReader for Served {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, PeerError> {
        let read = |tile: &tlog_tiles::Tile| {
            // The peer writes the height into its paths, as Go's tlog does; C2SP tlog-tiles fixed it at 8.
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            let hashes = path.parse::<Tile>().ok()?.read(&self.0, self.1).ok()?;
            Some(hashes.iter().flat_map(|hash| hash.0).collect())
        };
        tiles.iter().map(read).collect::<Option<_>>().ok_or(PeerError::InvalidTile)
    }

    fn save_tiles(&self, _tiles: &[tlog_tiles::Tile], _data: &[Vec<u8>]) {}
}

#[test]
fn a_client_proves_entries_from_our_tiles() {
    for size in [1, 255, 256, 257, 70_000] {
        let (frontier, stored) = grown(size);
        let root = frontier.root();
        let served = Served(stored, size);
        // The peer authenticates every tile it reads against the root, and panics or errs on a wrong one.
        let client = TileHashReader::new(size, peer(&root), &served);
        for index in [0, size / 2, size - 1] {
            let path = ours(&tlog_tiles::prove_record(size, index, &client).unwrap());
            assert_eq!(verify_inclusion(&leaf_hash(&entry(index)), index, size, &path, &root), Ok(()));
        }
    }
}

#[test]
fn the_peer_verifies_our_checkpoint() {
    let signer = NoteSigner::from_seed(ORIGIN, &SEED).unwrap();
    let (frontier, _) = grown(77);
    let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: 77, root: frontier.root() };
    let signed = SignedCheckpoint::sign(checkpoint, &[&signer]).unwrap();

    let vkey = signer.verifier_key().to_string();
    let verifier = StandardVerifier::new(&vkey).unwrap();
    let note = signed_note::Note::from_bytes(signed.note().as_bytes()).unwrap();
    let (known, unknown) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!((known.len(), unknown.len()), (1, 0));
    let read = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!((read.origin(), read.size(), read.extension()), (ORIGIN, 77, ""));
    assert_eq!(*read.hash(), peer(&frontier.root()));
}

#[test]
fn we_verify_the_checkpoint_of_the_peer() {
    let own = NoteSigner::from_seed(ORIGIN, &SEED).unwrap();
    let typed: Vec<u8> = [1].into_iter().chain(SEED).collect();
    let skey = format!("PRIVATE+KEY+{ORIGIN}+{}+{}", own.verifier_key().id(), STANDARD.encode(typed));
    let signer = StandardSigner::new(&skey).unwrap();
    let (frontier, _) = grown(77);
    let text = tlog_tiles::Checkpoint::new(ORIGIN, 77, peer(&frontier.root()), "").unwrap().to_bytes();
    let mut note = signed_note::Note::new(&text, &[]).unwrap();
    note.add_sigs(&[&signer]).unwrap();

    let vkey: VerifierKey = own.verifier_key().to_string().parse().unwrap();
    let verified = SignedCheckpoint::verify(&note.to_bytes(), &[vkey]).unwrap();
    assert_eq!((verified.checkpoint().size, verified.checkpoint().root), (77, frontier.root()));
    // Ed25519 is deterministic: two implementations sign the same bytes.
    let ours = SignedCheckpoint::sign(verified.checkpoint().clone(), &[&own]).unwrap();
    assert_eq!(ours.note().as_bytes(), note.to_bytes());
}

#[test]
fn both_read_the_same_notes() {
    // One edit away from a good note: whatever we take, the peer takes. (It is laxer in places, never stricter.)
    let signer = NoteSigner::from_seed(ORIGIN, &SEED).unwrap();
    let note = Note::sign("a text\n\nin two parts\n", &[&signer]).unwrap().to_string();
    let mut taken = 0;
    for at in 0..note.len() {
        for bit in 0..8 {
            let mut edit = note.clone().into_bytes();
            edit.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
            if Note::parse(&edit).is_ok() {
                taken += 1;
                assert!(signed_note::Note::from_bytes(&edit).is_ok(), "{}", String::from_utf8_lossy(&edit));
            }
        }
    }
    assert!(taken > 100);
}
