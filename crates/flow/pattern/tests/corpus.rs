//! The fuzz corpus of patterns and events, replayed without a fuzzer, and what is near to it.
#![expect(clippy::unwrap_used, reason = "a corpus that cannot be read fails the test")]

#[path = "support/property.rs"]
mod property;

use std::cell::Cell;
use std::path::{Path, PathBuf};

use waag_fixtures::mutate::mutations;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus/pattern");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    // The order of a folder is the file system's; the inputs are the same everywhere.
    paths.sort();
    paths
}

#[test]
fn fuzz_corpus_pattern() {
    let (mut matched, mut not) = (0, 0);
    for path in files() {
        let found = property::holds_for(&std::fs::read(&path).unwrap());
        let name = path.file_name().unwrap().to_str().unwrap();
        // Seeds say in their name what must become of them; a fuzzer's own finds are named by hash.
        assert!(!name.starts_with("good_") || found, "{name} does not match");
        assert!(!name.starts_with("bad_") || !found, "{name} matches");
        if found { matched += 1 } else { not += 1 }
    }
    assert!(matched >= 20 && not >= 20, "the corpus is there: {matched} match, {not} do not");
}

#[test]
fn mutations_of_the_fuzz_corpus_pattern() {
    let seeds: Vec<Vec<u8>> = files().iter().map(|path| std::fs::read(path).unwrap()).collect();
    let (matched, not) = (Cell::new(0), Cell::new(0));
    mutations(&seeds, 20_000, 1, &mut |input| {
        let counted = if property::holds_for(input) { &matched } else { &not };
        counted.set(counted.get() + 1);
    });
    assert!(matched.get() > 50 && not.get() > 5_000, "{} match, {} do not", matched.get(), not.get());
}
