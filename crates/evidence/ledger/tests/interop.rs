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
use waag_ledger::tile::{Tile, read_entry_bundle, write_entry_bundle};
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

/// Serves the tiles of a tree, with one byte of one of them flipped.
struct Flipped {
    tiles: Vec<(String, Vec<u8>)>,
    which: usize,
    at: usize,
}

impl TileReader for Flipped {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, PeerError> {
        let read = |tile: &tlog_tiles::Tile| {
            let path = tile.path().replacen("tile/8/", "tile/", 1);
            let which = self.tiles.iter().position(|(name, _)| *name == path)?;
            let mut bytes = self.tiles.get(which)?.1.clone();
            bytes
                .iter_mut()
                .skip(self.at)
                .take(usize::from(which == self.which))
                .for_each(|byte| *byte ^= 0x10);
            Some(bytes)
        };
        tiles.iter().map(read).collect::<Option<_>>().ok_or(PeerError::InvalidTile)
    }

    fn save_tiles(&self, _tiles: &[tlog_tiles::Tile], _data: &[Vec<u8>]) {}
}

/// The bytes of these tiles of a tree, by their paths.
fn tiles(stored: &[Hash], size: u64, paths: &[&str]) -> Vec<(String, Vec<u8>)> {
    let bytes = |path: &&str| {
        let hashes = path.parse::<Tile>().ok()?.read(stored, size).ok()?;
        Some(((*path).to_owned(), hashes.iter().flat_map(|hash| hash.0).collect()))
    };
    let tiles: Vec<(String, Vec<u8>)> = paths.iter().filter_map(bytes).collect();
    assert_eq!(tiles.len(), paths.len());
    tiles
}

#[test]
fn every_flipped_byte_of_a_tile_is_noticed_under_the_checkpoint() {
    // Two trees, because the peer (0.2.0, as Go's tlog, whose code it follows) skips as many full tiles in proving them
    // as there are parts of the root that share a tile: in a tree of 300 that is the one full tile, in one of 257 none.
    for (size, paths, tile) in [
        (257, ["tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1"], 0),
        (300, ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"], 1),
        (300, ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"], 2),
    ] {
        let (frontier, stored) = grown(size);
        let root = frontier.root();
        let tiles = tiles(&stored, size, &paths);
        let wanted = [stored_hash_index(0, 3), stored_hash_index(0, 256), stored_hash_index(8, 0)];
        let wanted: Vec<u64> = wanted.into_iter().flatten().collect();
        let read = |which: usize, at: usize| {
            let served = Flipped { tiles: tiles.clone(), which, at };
            let client = TileHashReader::new(size, peer(&root), &served);
            tlog_tiles::HashReader::read_hashes(&client, &wanted).is_ok()
        };
        assert!(read(usize::MAX, 0), "untouched, they are proven");
        for at in 0..tiles[tile].1.len() {
            assert!(!read(tile, at), "byte {at} of {} of {size}", paths[tile]);
        }
    }
}

#[test]
fn every_flipped_byte_of_a_tile_leads_to_another_root() {
    let size = 300;
    let (frontier, stored) = grown(size);
    let tiles = tiles(&stored, size, &["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"]);
    // Leaves lead to the root; a full tile's own root is what the level above says.
    let fits = |tiles: &[&[u8]; 3]| {
        let hashes =
            |bytes: &[u8]| bytes.as_chunks::<32>().0.iter().map(|hash| Hash(*hash)).collect::<Vec<_>>();
        let [full, rest, above] = tiles.map(hashes);
        let mut grown = Frontier::new();
        full.iter().for_each(|leaf| grown.append(*leaf, &mut Vec::new()));
        let holds = grown.hashes() == above;
        let mut grown = Frontier::from_hashes(256, above).unwrap();
        rest.iter().for_each(|leaf| grown.append(*leaf, &mut Vec::new()));
        holds && grown.root() == frontier.root()
    };
    let [full, rest, above] = [&tiles[0].1, &tiles[1].1, &tiles[2].1];
    assert!(fits(&[full, rest, above]));
    let mut flipped = 0;
    for (which, (path, bytes)) in tiles.iter().enumerate() {
        for at in 0..bytes.len() {
            let mut edit = bytes.clone();
            edit[at] ^= 0x10;
            let mut all = [full.as_slice(), rest, above];
            all[which] = &edit;
            assert!(!fits(&all), "byte {at} of {path}");
            flipped += 1;
        }
    }
    assert_eq!(flipped, 8_192 + 1_408 + 32);
}

#[test]
fn every_flipped_byte_of_an_entry_bundle_is_noticed_under_its_tile() {
    let (_, stored) = grown(300);
    let tile: Tile = "tile/0/001.p/44".parse().unwrap();
    let leaves = tile.read(&stored, 300).unwrap();
    let entries: Vec<Vec<u8>> = (256..300).map(entry).collect();
    let bundle = write_entry_bundle(entries.iter().map(Vec::as_slice)).unwrap();
    let fits = |bundle: &[u8]| {
        read_entry_bundle(bundle)
            .is_ok_and(|entries| entries.iter().map(|entry| leaf_hash(entry)).eq(leaves.iter().copied()))
    };
    assert!(fits(&bundle));
    for at in 0..bundle.len() {
        for bit in 0..8 {
            let mut edit = bundle.clone();
            edit[at] ^= 1 << bit;
            assert!(!fits(&edit), "bit {bit} of byte {at}");
        }
        assert!(!fits(&bundle[..at]), "cut at {at}");
    }
}
