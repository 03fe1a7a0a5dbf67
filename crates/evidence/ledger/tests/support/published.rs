//! A ledger published into a folder: checkpoint, tiles, entries, older checkpoints and proofs, written by this crate
//! alone, for other people's programs to check.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use waag_ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use waag_ledger::cosignature::Cosigner;
use waag_ledger::hash::{Hash, leaf_hash};
use waag_ledger::note::{Algorithm, NoteSigner};
use waag_ledger::proof::{prove_consistency, prove_inclusion};
use waag_ledger::stored::frontier_at;
use waag_ledger::tile::{TILE_WIDTH, Tile, TileKind, write_entry_bundle};
use waag_ledger::tree::Frontier;

/// The ledger's origin.
pub(crate) const ORIGIN: &str = "waag.example/acme/00112233445566778899aabbccddeeff";

/// The key that signs its checkpoints.
pub(crate) fn signer() -> NoteSigner {
    NoteSigner::from_seed(ORIGIN, &[0x42; 32]).unwrap()
}

/// A witness of each kind.
pub(crate) fn witnesses() -> [Cosigner; 2] {
    let kinds = [(Algorithm::Ed25519Cosignature, 2), (Algorithm::MlDsa44, 3)];
    kinds.map(|(kind, seed)| Cosigner::from_seed("witness.example/w1", kind, &[seed; 32]).unwrap())
}

/// The bytes of an entry; some are empty, some are long.
pub(crate) fn entry(n: u64) -> Vec<u8> {
    let length = usize::try_from(n % 7 * 9).unwrap();
    if n.is_multiple_of(50) { Vec::new() } else { format!("entry {n} {}", "x".repeat(length)).into_bytes() }
}

/// A published ledger.
pub(crate) struct Published {
    stored: Vec<Hash>,
    size: u64,
}

impl Published {
    /// Grows a tree of so many entries.
    pub(crate) fn new(size: u64) -> Published {
        let (mut frontier, mut stored) = (Frontier::new(), Vec::new());
        (0..size).for_each(|n| frontier.append(leaf_hash(&entry(n)), &mut stored));
        Published { stored, size }
    }

    /// The checkpoint of the tree at a size, as the log alone signs it.
    pub(crate) fn checkpoint(&self, size: u64) -> SignedCheckpoint {
        let root = frontier_at(&self.stored, size).unwrap().root();
        SignedCheckpoint::sign(Checkpoint { origin: ORIGIN.to_owned(), size, root }, &[&signer()]).unwrap()
    }

    /// Writes everything, with proofs from these older sizes and of these records.
    pub(crate) fn write(&self, folder: &Path, older: &[u64], records: &[u64]) {
        let [ed25519, ml_dsa] = witnesses();
        let checkpoint = self.checkpoint(self.size).cosigned(&ed25519, 1_700_000_000).unwrap();
        let checkpoint = checkpoint.cosigned(&ml_dsa, 1_700_000_001).unwrap();
        put(folder, "checkpoint", checkpoint.note().as_bytes());
        for level in 0..8 {
            self.write_level(folder, TileKind::Hashes(level));
        }
        self.write_level(folder, TileKind::Entries);
        let mut proofs = String::new();
        let mut line = |kind, number, path: &[Hash]| {
            write!(proofs, "{kind} {number}").unwrap();
            path.iter().for_each(|node| write!(proofs, " {}", node.to_base64()).unwrap());
            proofs.push('\n');
        };
        for size in older {
            put(folder, &format!("older/{size}"), self.checkpoint(*size).note().as_bytes());
            line("tree", *size, &prove_consistency(&self.stored, *size, self.size).unwrap().path);
        }
        for index in records {
            line("record", *index, &prove_inclusion(&self.stored, *index, self.size).unwrap().path);
        }
        put(folder, "proofs", proofs.as_bytes());
    }

    fn write_level(&self, folder: &Path, kind: TileKind) {
        for index in 0.. {
            let width = Tile::width_in(kind, index, self.size);
            if width == 0 {
                return;
            }
            let tile = Tile { kind, index, width };
            let bytes = match kind {
                TileKind::Hashes(_) => {
                    let hashes = tile.read(&self.stored, self.size).unwrap();
                    hashes.iter().flat_map(|hash| hash.0).collect()
                }
                TileKind::Entries => {
                    let first = index * u64::from(TILE_WIDTH);
                    let entries: Vec<Vec<u8>> = (first..first + u64::from(width)).map(entry).collect();
                    write_entry_bundle(entries.iter().map(Vec::as_slice)).unwrap()
                }
            };
            put(folder, &tile.to_string(), &bytes);
        }
    }
}

/// Writes a file and the folders above it.
pub(crate) fn put(folder: &Path, path: &str, bytes: &[u8]) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Every file below a folder, in order, by its path from there.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for child in fs::read_dir(next).unwrap() {
            let child = child.unwrap().path();
            if child.is_dir() { open.push(child) } else { found.push(child) }
        }
    }
    found.sort();
    found.iter().map(|path| path.strip_prefix(folder).unwrap().to_path_buf()).collect()
}
