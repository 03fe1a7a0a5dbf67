//! Tiles: the ledger's hashes and entries in the fixed pieces that any tlog-tiles client can fetch and cache.
//!
//! Place: behind the read-only pages that publish a ledger; computed on demand from stored hashes.
//! Not here: serving them, compression, and which partial tiles belong to a published checkpoint.
//!
//! Source: C2SP tlog-tiles: tiles are 256 hashes wide; level `l` holds the roots of complete trees of `256^l`
//! leaves; entries travel in bundles of up to 256, each after its length as a big-endian `u16`.

use crate::hash::Hash;
use crate::proof::ProofError;
use crate::stored::{HashReadError, HashReader, frontier_at, read_exact, stored_hash_index};
use crate::subtree::{Subtree, decompose};
use crate::text;
use crate::tree::TREE_SIZE_MAX;
use std::fmt;
use std::str::FromStr;

/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;

/// The highest level that a path can name.
pub const TILE_LEVEL_MAX: u8 = 63;

/// The longest entry that fits a bundle, in bytes: its length is a `u16`.
pub const ENTRY_BYTES_MAX: usize = u16::MAX as usize;

/// The longest tile path, in bytes: `tile/entries/`, seven groups of digits, `.p/255`.
pub const TILE_PATH_BYTES_MAX: usize = 64;

/// Tree levels per tile level: a tile is 2^8 wide.
const TILE_HEIGHT: u32 = 8;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TileKind {
    /// Hashes at this tile level, 0 to [`TILE_LEVEL_MAX`].
    Hashes(u8),
    /// A bundle of entries.
    Entries,
}

/// A tile's place: what it holds, its number within the level, and its width.
///
/// Parsed from and printed as the path below a ledger's prefix, such as `tile/0/x001/x234/067.p/12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Hashes of a level, or entries.
    pub kind: TileKind,
    /// The tile's number within its level, from 0.
    pub index: u64,
    /// How many hashes or entries it holds: 1 to [`TILE_WIDTH`], where the full width prints no suffix.
    pub width: u16,
}

impl Tile {
    /// How many hashes or entries the tile at `kind` and `index` has in a tree of `tree_size` leaves: the whole
    /// width, fewer at the right edge, or 0 beyond it.
    #[must_use]
    pub fn width_in(kind: TileKind, index: u64, tree_size: u64) -> u16 {
        let complete = tree_size.checked_shr(kind.tree_level()).unwrap_or(0);
        let before = index.saturating_mul(u64::from(TILE_WIDTH));
        let held = complete.saturating_sub(before).min(u64::from(TILE_WIDTH));
        u16::try_from(held).unwrap_or(TILE_WIDTH)
    }

    /// Computes a tile's hashes from stored hashes, concatenated in the tile: 32 bytes each.
    ///
    /// The tree must have at least the tile's hashes; a tree that has grown since a partial tile's checkpoint will do.
    ///
    /// # Errors
    /// [`TileError::Entries`] for a bundle, [`TileError::NotInTree`] beyond the tree, or [`TileError::Read`].
    pub fn read<R: HashReader + ?Sized>(&self, reader: &R, tree_size: u64) -> Result<Vec<Hash>, TileError> {
        let TileKind::Hashes(_) = self.kind else {
            return Err(TileError::Entries);
        };
        let outside = TileError::NotInTree { tile: *self, tree_size };
        let there = Tile::width_in(self.kind, self.index, tree_size);
        if self.width == 0 || self.width > there || tree_size > TREE_SIZE_MAX {
            return Err(outside);
        }
        // The width check bounds the index, so that these products are below the tree's size.
        let first = self.index.saturating_mul(u64::from(TILE_WIDTH));
        let level = self.kind.tree_level();
        let numbers = first..first.saturating_add(u64::from(self.width));
        let indexes = numbers.map(|n| stored_hash_index(level, n)).collect::<Option<Vec<u64>>>();
        read_exact(reader, &indexes.ok_or(outside)?).map_err(TileError::Read)
    }

    /// Checks that `hashes` (of a bundle: its entries' leaf hashes) are the tile's in the tree under a signed root.
    ///
    /// The other hashes that lead to the root come from `reader`, some 60 of them; a wrong one is noticed as well, since
    /// stored hashes are derived and nothing made of them is handed out unchecked.
    ///
    /// # Errors
    /// [`TileError::NotInTree`], [`TileError::Read`], [`TileError::RootDiffers`].
    pub fn verify<R: HashReader + ?Sized>(
        &self,
        hashes: &[Hash],
        reader: &R,
        tree_size: u64,
        root: &Hash,
    ) -> Result<(), TileError> {
        let outside = TileError::NotInTree { tile: *self, tree_size };
        let there = Tile::width_in(self.kind, self.index, tree_size);
        let is_whole = hashes.len() == usize::from(self.width) && self.width > 0;
        if !is_whole || self.width > there || tree_size > TREE_SIZE_MAX {
            return Err(outside);
        }
        // As above, the width check bounds these.
        let level = self.kind.tree_level();
        let first = self.index.saturating_mul(u64::from(TILE_WIDTH)) << level;
        let mut frontier = frontier_at(reader, first).map_err(TileError::Read)?;
        hashes.iter().for_each(|hash| frontier.append_subtree(level, *hash, |_, _| {}));
        let behind: Vec<Subtree> = decompose(frontier.size()..tree_size).collect();
        let indexes: Vec<u64> = behind.iter().map(|subtree| subtree.stored_index()).collect();
        let others = read_exact(reader, &indexes).map_err(TileError::Read)?;
        for (subtree, hash) in behind.iter().zip(others) {
            frontier.append_subtree(subtree.level, hash, |_, _| {});
        }
        if frontier.root() == *root { Ok(()) } else { Err(TileError::RootDiffers { tile: *self, tree_size }) }
    }
}

impl TileKind {
    /// The tree level of the hashes; above 63 no tree has any.
    fn tree_level(self) -> u32 {
        match self {
            TileKind::Hashes(level) => u32::from(level) * TILE_HEIGHT,
            TileKind::Entries => 0,
        }
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        // Three digits per element, all but the last marked with an `x`.
        let mut divisor = 1u64;
        while self.index / divisor >= 1_000 {
            divisor *= 1_000;
        }
        while divisor > 1 {
            write!(f, "x{:03}/", self.index / divisor % 1_000)?;
            divisor /= 1_000;
        }
        write!(f, "{:03}", self.index % 1_000)?;
        if self.width == TILE_WIDTH { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

impl FromStr for Tile {
    type Err = TileError;

    fn from_str(path: &str) -> Result<Tile, TileError> {
        if path.len() > TILE_PATH_BYTES_MAX {
            return Err(TileError::Path);
        }
        let tile = parse_path(path).ok_or(TileError::Path)?;
        // Printing has one form; this refuses every other grouping or padding at once.
        if tile.to_string() == path { Ok(tile) } else { Err(TileError::Path) }
    }
}

fn parse_path(path: &str) -> Option<Tile> {
    let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let kind = match kind {
        "entries" => TileKind::Entries,
        level => TileKind::Hashes(u8::try_from(text::decimal(level, u64::from(TILE_LEVEL_MAX))?).ok()?),
    };
    let (number, width) = match rest.split_once(".p/") {
        Some((number, width)) => (number, u16::try_from(text::decimal(width, 255)?).ok()?),
        None => (rest, TILE_WIDTH),
    };
    if width == 0 {
        return None;
    }
    let mut index = 0u64;
    for element in number.split('/') {
        let digits = element.strip_prefix('x').unwrap_or(element);
        let value = digits.parse::<u64>().ok().filter(|value| *value < 1_000)?;
        index = index.checked_mul(1_000)?.checked_add(value)?;
    }
    Some(Tile { kind, index, width })
}

/// Frames 1 to [`TILE_WIDTH`] entries as a bundle.
///
/// # Errors
/// [`TileError::EntryLength`], [`TileError::EntryCount`].
pub fn write_entry_bundle<'e>(entries: impl IntoIterator<Item = &'e [u8]>) -> Result<Vec<u8>, TileError> {
    let mut bundle = Vec::new();
    let mut count = 0u16;
    for entry in entries {
        if count == TILE_WIDTH {
            return Err(TileError::EntryCount);
        }
        count += 1;
        let length = u16::try_from(entry.len()).map_err(|_| TileError::EntryLength { got: entry.len() })?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    if count == 0 { Err(TileError::EntryCount) } else { Ok(bundle) }
}

/// Takes a bundle apart again; nothing may be left over.
///
/// # Errors
/// [`TileError::Bundle`] when it is cut short, [`TileError::EntryCount`].
pub fn read_entry_bundle(bundle: &[u8]) -> Result<Vec<&[u8]>, TileError> {
    let mut entries = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() {
        if entries.len() == usize::from(TILE_WIDTH) {
            return Err(TileError::EntryCount);
        }
        let (length, behind) = rest.split_first_chunk::<2>().ok_or(TileError::Bundle)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, behind) = behind.split_at_checked(length).ok_or(TileError::Bundle)?;
        entries.push(entry);
        rest = behind;
    }
    if entries.is_empty() { Err(TileError::EntryCount) } else { Ok(entries) }
}

/// Why a tile was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TileError {
    /// E0360: the text is no tile path.
    Path,
    /// E0361: the tree has no such tile, or fewer hashes in it.
    NotInTree {
        /// The tile asked for.
        tile: Tile,
        /// The tree's leaves.
        tree_size: u64,
    },
    /// E0362: a bundle of entries cannot be computed from hashes. The caller's mistake.
    Entries,
    /// E0363: an entry is longer than [`ENTRY_BYTES_MAX`].
    EntryLength {
        /// Its length in bytes.
        got: usize,
    },
    /// E0364: a bundle has 1 to [`TILE_WIDTH`] entries.
    EntryCount,
    /// E0365: a bundle ends in the middle of an entry.
    Bundle,
    /// The stored hashes could not be read; bears the code of the inner error.
    Read(HashReadError),
    /// The tile does not lead to the root; bears the code of [`ProofError::RootDiffers`].
    RootDiffers {
        /// The tile.
        tile: Tile,
        /// The leaves of the tree whose root differs.
        tree_size: u64,
    },
}

impl TileError {
    /// The stable code, for `waag explain`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            TileError::Path => "E0360",
            TileError::NotInTree { .. } => "E0361",
            TileError::Entries => "E0362",
            TileError::EntryLength { .. } => "E0363",
            TileError::EntryCount => "E0364",
            TileError::Bundle => "E0365",
            TileError::Read(inner) => inner.code(),
            TileError::RootDiffers { tree_size, .. } => {
                ProofError::RootDiffers { tree_size: *tree_size }.code()
            }
        }
    }
}

impl fmt::Display for TileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TileError::Path => f.write_str("the text is no tile path"),
            TileError::NotInTree { tile, tree_size } => {
                write!(f, "a tree of `{tree_size}` leaves has no tile `{tile}`")
            }
            TileError::Entries => f.write_str("a bundle of entries is not made of hashes"),
            TileError::EntryLength { got } => {
                write!(f, "an entry of `{got}` bytes is above the limit of `{ENTRY_BYTES_MAX}`")
            }
            TileError::EntryCount => write!(f, "a bundle has 1 to `{TILE_WIDTH}` entries"),
            TileError::Bundle => f.write_str("the bundle ends in the middle of an entry"),
            TileError::Read(inner) => inner.fmt(f),
            TileError::RootDiffers { tile, tree_size } => {
                write!(f, "the tile `{tile}` does not lead to the root of the tree of `{tree_size}` leaves")
            }
        }
    }
}

impl std::error::Error for TileError {}
