//! Entries and their hashes cut into the tiles of C2SP tlog-tiles, in one pass and with a tile a level in memory.
//!
//! The checkpoint and these files are all that a proof needs: any tlog-tiles client can prove any entry from them.

use waag_ledger::hash::{Hash, node_hash};
use waag_ledger::tile::{TILE_WIDTH, Tile, TileKind};

/// Where a tile goes.
pub(super) type Sink<'s, E> = &'s mut dyn FnMut(&Tile, &[u8]) -> Result<(), E>;

#[derive(Default)]
struct Level {
    index: u64,
    hashes: Vec<Hash>,
}

/// Tiles under way.
#[derive(Default)]
pub(super) struct Tiler {
    bundle: Vec<u8>,
    levels: Vec<Level>,
}

impl Tiler {
    /// Adds an entry with its leaf hash.
    pub(super) fn push<E>(&mut self, entry: &[u8], leaf: Hash, sink: Sink<'_, E>) -> Result<(), E> {
        // No entry is longer: the log refuses it.
        let length = u16::try_from(entry.len()).unwrap_or(u16::MAX);
        self.bundle.extend_from_slice(&length.to_be_bytes());
        self.bundle.extend_from_slice(entry);
        let mut hash = leaf;
        for level in 0..=u8::MAX {
            if self.levels.len() <= usize::from(level) {
                self.levels.push(Level::default());
            }
            let Some(under_way) = self.levels.get_mut(usize::from(level)) else { break };
            under_way.hashes.push(hash);
            if under_way.hashes.len() < usize::from(TILE_WIDTH) {
                break;
            }
            if level == 0 {
                let tile = Tile { kind: TileKind::Entries, index: under_way.index, width: TILE_WIDTH };
                sink(&tile, &self.bundle)?;
                self.bundle.clear();
            }
            let tile = Tile { kind: TileKind::Hashes(level), index: under_way.index, width: TILE_WIDTH };
            sink(&tile, &bytes_of(&under_way.hashes))?;
            hash = root_of_full(&under_way.hashes);
            under_way.index = under_way.index.saturating_add(1);
            under_way.hashes.clear();
        }
        Ok(())
    }

    /// The partial tiles at the right edge.
    pub(super) fn finish<E>(self, sink: Sink<'_, E>) -> Result<(), E> {
        for (level, under_way) in self.levels.iter().enumerate() {
            let Ok(width) = u16::try_from(under_way.hashes.len()) else { continue };
            if width == 0 {
                continue;
            }
            if level == 0 {
                let tile = Tile { kind: TileKind::Entries, index: under_way.index, width };
                sink(&tile, &self.bundle)?;
            }
            let level = u8::try_from(level).unwrap_or(u8::MAX);
            let tile = Tile { kind: TileKind::Hashes(level), index: under_way.index, width };
            sink(&tile, &bytes_of(&under_way.hashes))?;
        }
        Ok(())
    }
}

fn bytes_of(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The root over a full tile's hashes: a complete tree.
fn root_of_full(hashes: &[Hash]) -> Hash {
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => node_hash(left, right),
                [single, ..] => *single,
                [] => Hash([0; 32]),
            })
            .collect();
    }
    level.first().copied().unwrap_or(Hash([0; 32]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use waag_ledger::hash::leaf_hash;
    use waag_ledger::stored::{HashReadError, HashReader};
    use waag_ledger::tree::Frontier;

    use super::*;

    struct Kept(Vec<Hash>);

    impl HashReader for Kept {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, HashReadError> {
            Ok(indexes.iter().map(|index| self.0[usize::try_from(*index).unwrap()]).collect())
        }
    }

    /// Cut while entries come, tiles are those that are read from stored hashes, at full edges and partial ones.
    #[test]
    fn tiles_are_those_of_the_stored_hashes() {
        for size in [1_u64, 255, 256, 257, 65_535, 65_536, 65_793] {
            let (mut tiler, mut tiles) = (Tiler::default(), BTreeMap::new());
            let (mut frontier, mut stored) = (Frontier::new(), Vec::new());
            let mut keep = |tile: &Tile, bytes: &[u8]| {
                tiles.insert(tile.to_string(), bytes.to_vec());
                Ok::<(), Infallible>(())
            };
            for n in 0..size {
                let entry = n.to_be_bytes();
                tiler.push(&entry, leaf_hash(&entry), &mut keep).unwrap();
                frontier.append(leaf_hash(&entry), &mut stored);
            }
            tiler.finish(&mut keep).unwrap();
            let stored = Kept(stored);
            let mut expected = 0;
            for level in 0..3 {
                for index in 0.. {
                    let kind = TileKind::Hashes(level);
                    let width = Tile::width_in(kind, index, size);
                    if width == 0 {
                        break;
                    }
                    let tile = Tile { kind, index, width };
                    let hashes = tile.read(&stored, size).unwrap();
                    assert_eq!(tiles.get(&tile.to_string()), Some(&bytes_of(&hashes)), "{tile} of {size}");
                    expected += 1;
                }
            }
            let bundles = tiles.keys().filter(|path| path.starts_with("tile/entries/")).count();
            assert_eq!(bundles as u64, size.div_ceil(256));
            assert_eq!(tiles.len(), expected + bundles);
        }
    }
}
