//! Tiles: the specification's example tree, each tile against the definition, and paths in one spelling.
//!
//! Place: `LEDGER-1`, `LEDGER-4`, `LEDGER-5`. Not here: another implementation's tiles (`interop.rs`).

use proptest::prelude::*;
use waag_ledger::hash::{Hash, leaf_hash};
use waag_ledger::stored::stored_hash_count;
use waag_ledger::tile::{
    ENTRY_BYTES_MAX, TILE_LEVEL_MAX, TILE_PATH_BYTES_MAX, TILE_WIDTH, Tile, TileKind, read_entry_bundle,
    write_entry_bundle,
};
use waag_ledger::tree::{Frontier, TREE_SIZE_MAX};

fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|leaf| frontier.append(*leaf, &mut Vec::new()));
    frontier.root()
}

#[test]
fn the_specification_example_has_its_tiles() {
    // "A tree of size 70,000 will be represented by 273 full level 0 tiles, one partial level 0 tile of width 112, one
    // full level 1 tile, one partial level 1 tile of width 17, and one partial level 2 tile of width 1."
    let width = |level, index| Tile::width_in(TileKind::Hashes(level), index, 70_000);
    assert!((0..273).all(|index| width(0, index) == TILE_WIDTH));
    assert_eq!((width(0, 273), width(0, 274)), (112, 0));
    assert_eq!((width(1, 0), width(1, 1), width(1, 2)), (TILE_WIDTH, 17, 0));
    assert_eq!((width(2, 0), width(2, 1), width(3, 0)), (1, 0, 0));
    assert_eq!(Tile::width_in(TileKind::Entries, 273, 70_000), 112);
    // "A tree of size 256 will be represented by a full level 0 tile and a partial level 1 tile of width 1."
    assert_eq!(Tile::width_in(TileKind::Hashes(0), 0, 256), TILE_WIDTH);
    assert_eq!(Tile::width_in(TileKind::Hashes(1), 0, 256), 1);
    assert_eq!(Tile::width_in(TileKind::Hashes(TILE_LEVEL_MAX), 0, u64::MAX), 0);
    assert_eq!(Tile::width_in(TileKind::Hashes(0), u64::MAX, u64::MAX), 0);
}

/// A tile as read leads to the root, in each width; one with another hash in it, or among other stored hashes, does not.
#[test]
fn a_tile_leads_to_the_root_or_is_refused() {
    let size = 700u32;
    let leaves: Vec<Hash> = (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect();
    let (mut frontier, mut stored) = (Frontier::new(), Vec::new());
    leaves.iter().for_each(|leaf| frontier.append(*leaf, &mut stored));
    let (root, size) = (frontier.root(), u64::from(size));
    let mut refused = 0;
    for (level, index, widths) in [(0, 0, vec![1, 7, 256]), (0, 2, vec![1, 100, 188]), (1, 0, vec![1, 2])] {
        for width in widths {
            let tile = Tile { kind: TileKind::Hashes(level), index, width };
            let hashes = tile.read(&stored, size).unwrap();
            tile.verify(&hashes, &stored, size, &root).unwrap();
            for at in [0, hashes.len() / 2, hashes.len() - 1] {
                let mut other = hashes.clone();
                other[at].0[31] ^= 1;
                assert_eq!(
                    tile.verify(&other, &stored, size, &root).unwrap_err().code(),
                    "E0313",
                    "{tile} {at}"
                );
                refused += 1;
            }
            assert_eq!(tile.verify(&hashes[1..], &stored, size, &root).unwrap_err().code(), "E0361");
            assert_eq!(tile.verify(&[], &stored, size, &root).unwrap_err().code(), "E0361");
            let elsewhere = Tile { index: index + 1, ..tile };
            assert!(elsewhere.verify(&hashes, &stored, size, &root).is_err(), "{elsewhere}");
            assert_eq!(tile.verify(&hashes, &stored, size, &leaves[0]).unwrap_err().code(), "E0313");
        }
    }
    assert_eq!(refused, 8 * 3);
    let bundle = Tile { kind: TileKind::Entries, index: 1, width: TILE_WIDTH };
    bundle.verify(&leaves[256..512], &stored, size, &root).unwrap();
    assert!(bundle.verify(&leaves[255..511], &stored, size, &root).is_err());
    let whole = Tile { kind: TileKind::Hashes(0), index: 0, width: TILE_WIDTH };
    let mut damaged = stored.clone();
    let last = damaged.len() - 1;
    damaged[last].0[0] ^= 1;
    let found = whole.verify(&leaves[..256], &damaged, size, &root).unwrap_err();
    assert_eq!(found.code(), "E0313", "a hash beside the tile");
}

#[test]
fn every_hash_of_every_tile_is_the_root_of_its_leaves() {
    let size = 66_000u32;
    let leaves: Vec<Hash> = (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect();
    let (mut frontier, mut stored) = (Frontier::new(), Vec::new());
    leaves.iter().for_each(|leaf| frontier.append(*leaf, &mut stored));
    assert_eq!(stored.len() as u64, stored_hash_count(size.into()));
    for level in 0..=2u8 {
        let span = 256usize.pow(level.into());
        let mut hashes = leaves.chunks_exact(span).map(root);
        for index in 0.. {
            let width = Tile::width_in(TileKind::Hashes(level), index, size.into());
            if width == 0 {
                break;
            }
            let tile = Tile { kind: TileKind::Hashes(level), index, width };
            let expected: Vec<Hash> = hashes.by_ref().take(usize::from(width)).collect();
            assert_eq!(tile.read(&stored, size.into()).unwrap(), expected, "{tile}");
            // A narrower tile of an earlier checkpoint is the beginning of the same hashes.
            let narrow = Tile { width: 1, ..tile };
            assert_eq!(narrow.read(&stored, size.into()).unwrap(), expected[..1]);
        }
        assert!(hashes.next().is_none());
    }
}

#[test]
fn tiles_beyond_the_tree_are_refused() {
    let leaves = vec![leaf_hash(b"x"); 300];
    let (mut frontier, mut stored) = (Frontier::new(), Vec::new());
    leaves.iter().for_each(|leaf| frontier.append(*leaf, &mut stored));
    let read =
        |kind, index, width, size| Tile { kind, index, width }.read(&stored, size).map_err(|e| e.code());
    assert_eq!(read(TileKind::Hashes(0), 1, 44, 300).map(|hashes| hashes.len()), Ok(44));
    for (kind, index, width, size) in [
        (TileKind::Hashes(0), 1, 45, 300),
        (TileKind::Hashes(0), 1, 0, 300),
        (TileKind::Hashes(0), 2, 1, 300),
        (TileKind::Hashes(1), 0, 2, 300),
        (TileKind::Hashes(8), 0, 1, TREE_SIZE_MAX),
        (TileKind::Hashes(0), u64::MAX, TILE_WIDTH, TREE_SIZE_MAX),
        (TileKind::Hashes(0), 0, 1, TREE_SIZE_MAX + 1),
        (TileKind::Hashes(0), 0, u16::MAX, TREE_SIZE_MAX),
    ] {
        assert_eq!(read(kind, index, width, size), Err("E0361"), "{index} {width} {size}");
    }
    assert_eq!(read(TileKind::Entries, 0, 1, 300), Err("E0362"));
    assert_eq!(read(TileKind::Hashes(0), 1, 45, 301), Err("E0304"));
}

#[test]
fn paths_have_one_spelling() {
    let cases = [
        ("tile/0/x001/x234/067", TileKind::Hashes(0), 1_234_067, TILE_WIDTH),
        ("tile/0/x001/x234/067.p/12", TileKind::Hashes(0), 1_234_067, 12),
        ("tile/entries/000.p/255", TileKind::Entries, 0, 255),
        ("tile/63/999", TileKind::Hashes(63), 999, TILE_WIDTH),
        ("tile/1/x001/000.p/1", TileKind::Hashes(1), 1_000, 1),
        ("tile/63/x018/x446/x744/x073/x709/x551/615.p/255", TileKind::Hashes(63), u64::MAX, 255),
    ];
    for (path, kind, index, width) in cases {
        let tile = Tile { kind, index, width };
        assert_eq!((tile.to_string().as_str(), path.parse()), (path, Ok(tile)));
        assert!(path.len() <= TILE_PATH_BYTES_MAX);
    }
    for bad in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/0/000/",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/data/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/000",
        "tile/0/x000",
        "tile/0/001/000",
        "tile/0/x1/000",
        "tile/0/X001/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p/1/",
        "tile/0/+01",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/000 ",
        "tile/0/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/x001/000",
    ] {
        assert_eq!(bad.parse::<Tile>().unwrap_err().code(), "E0360", "`{bad}`");
    }
}

#[test]
fn bundles_hold_to_their_limits() {
    let longest = vec![7; ENTRY_BYTES_MAX];
    let entries: [&[u8]; 4] = [b"one", b"", b"three", &longest];
    let bundle = write_entry_bundle(entries).unwrap();
    assert_eq!(&bundle[..7], b"\x00\x03one\x00\x00");
    assert_eq!(read_entry_bundle(&bundle).unwrap(), entries);
    for cut in [1, 2, 4, bundle.len() - 1] {
        assert_eq!(read_entry_bundle(&bundle[..cut]).unwrap_err().code(), "E0365", "cut at {cut}");
    }
    let code = |entries: &[&[u8]]| write_entry_bundle(entries.iter().copied()).map_err(|error| error.code());
    assert_eq!(code(&[&vec![7; ENTRY_BYTES_MAX + 1]]), Err("E0363"));
    assert_eq!(code(&[]), Err("E0364"));
    let full = code(&[b"e".as_slice(); 256]).unwrap();
    assert_eq!(read_entry_bundle(&full).unwrap().len(), 256);
    assert_eq!(code(&[b"e".as_slice(); 257]), Err("E0364"));
    assert_eq!(read_entry_bundle(&[&full[..], b"\x00\x01e"].concat()).unwrap_err().code(), "E0364");
    assert_eq!(read_entry_bundle(&[]).unwrap_err().code(), "E0364");
}

proptest! {
    #[test]
    fn any_tile_prints_and_parses(level in 0..=TILE_LEVEL_MAX, index in any::<u64>(), width in 1..=TILE_WIDTH) {
        for kind in [TileKind::Hashes(level), TileKind::Entries] {
            let tile = Tile { kind, index, width };
            prop_assert_eq!(tile.to_string().parse(), Ok(tile));
        }
    }

    #[test]
    fn parsers_survive_anything(path in "(?s).{0,80}", near in "tile/[0-9ex/.p]{0,40}", bytes: Vec<u8>) {
        for text in [path, near] {
            if let Ok(tile) = text.parse::<Tile>() {
                prop_assert_eq!(tile.to_string(), text);
            }
        }
        if let Ok(entries) = read_entry_bundle(&bytes) {
            prop_assert_eq!(write_entry_bundle(entries).unwrap(), bytes);
        }
    }
}
