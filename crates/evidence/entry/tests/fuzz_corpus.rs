//! The fuzz corpus of stored entries, replayed by the ordinary tests: `ENTRY-1` for every file.

#[path = "support/property.rs"]
mod property;

use std::cell::Cell;
use std::path::Path;

use proptest::prelude::*;
use waag_fixtures::mutate::mutations;

#[test]
fn fuzz_corpus_entry() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus/entry");
    let (mut taken, mut refused) = (0, 0);
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let holds = property::holds_for(&std::fs::read(&path).unwrap());
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // Seeds say in their name what must become of them; a fuzzer's own finds are named by hash.
        assert!(!name.starts_with("good_") || holds, "{name} was refused");
        assert!(!name.starts_with("bad_") || !holds, "{name} was taken");
        if holds { taken += 1 } else { refused += 1 }
    }
    assert!(taken >= 5 && refused >= 5, "the corpus is there: {taken} taken, {refused} refused");
}

#[test]
fn mutations_of_the_fuzz_corpus_entry() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus/entry");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    // The order of a folder is the file system's; the inputs are the same everywhere.
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let (taken, refused) = (Cell::new(0), Cell::new(0));
    mutations(&seeds, 20_000, 1, &mut |input| {
        let counted = if property::holds_for(input) { &taken } else { &refused };
        counted.set(counted.get() + 1);
    });
    assert!(taken.get() > 100 && refused.get() > 5_000, "{} taken, {} refused", taken.get(), refused.get());
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_given_back(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        property::holds_for(&bytes);
    }

    /// Bytes that are mostly heads of short items, so that many of them parse.
    #[test]
    fn bytes_like_items_are_refused_or_given_back(
        bytes in prop::collection::vec(
            prop::sample::select(vec![
                0x00, 0x01, 0x17, 0x18, 0x19, 0x20, 0x38, 0x40, 0x41, 0x60, 0x61, 0x62, 0x80, 0x81, 0x82, 0x86, 0x8a,
                0xa0, 0xa1, 0xa2, 0xa4, 0xc2, 0xc3, 0xc4, 0xe0, 0xe1, 0xe7, 0xf4, 0xf5, 0xf6, 0xf7, 0xff,
            ]),
            1..24,
        )
    ) {
        property::holds_for(&bytes);
    }

    #[test]
    fn a_changed_golden_entry_is_refused_or_given_back(at: prop::sample::Index, byte: u8, cut: bool) {
        let mut bytes = include_bytes!("golden/entry-v1.cbor").to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        property::holds_for(&bytes);
        if cut {
            bytes.truncate(at);
            prop_assert!(waag_entry::form::Entry::read(&bytes).is_err());
        }
    }
}
