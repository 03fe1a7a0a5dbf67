//! The fuzz corpus of notes, checkpoints, proofs and keys, replayed by the ordinary tests: `LEDGER-4` and `LEDGER-5`
//! for every file.

#[path = "support/property.rs"]
mod property;

use std::cell::Cell;
use std::path::Path;

use proptest::prelude::*;
use waag_fixtures::mutate::mutations;
use waag_ledger::note::NoteSigner;

#[test]
fn fuzz_corpus_note() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus/note");
    let (mut believed, mut not) = (0, 0);
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let holds = property::holds_for(&std::fs::read(&path).unwrap());
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // Seeds say in their name what must become of them; a fuzzer's own finds are named by hash.
        assert!(!name.starts_with("good_") || holds, "{name} was not believed");
        assert!(!name.starts_with("bad_") || !holds, "{name} was believed");
        if holds { believed += 1 } else { not += 1 }
    }
    assert!(believed >= 5 && not >= 5, "the corpus is there: {believed} believed, {not} not");
}

#[test]
fn mutations_of_the_fuzz_corpus_note() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus/note");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    // The order of a folder is the file system's; the inputs are the same everywhere.
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let (believed, not) = (Cell::new(0), Cell::new(0));
    mutations(&seeds, 20_000, 1, &mut |input| {
        let counted = if property::holds_for(input) { &believed } else { &not };
        counted.set(counted.get() + 1);
    });
    assert!(believed.get() > 10 && not.get() > 5_000, "{} believed, {} not", believed.get(), not.get());
}

#[test]
fn the_key_of_the_corpus_is_the_one_it_is_said_to_be() {
    let origin = property::VKEY.split('+').next().unwrap();
    let signer = NoteSigner::from_seed(origin, &[7; 32]).unwrap();
    assert_eq!(signer.verifier_key().to_string(), property::VKEY);
    assert_eq!(property::ENTRY.len(), 22);
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_printed_again(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        property::holds_for(&bytes);
    }

    #[test]
    fn texts_like_notes_are_refused_or_printed_again(text in "(c2sp.org/tlog-proof@v1\n)?(index [0-9]{0,3}\n)?([A-Za-z/.]{0,6}\n){0,3}\n?(\u{2014} [a-z+ ]{0,4} [A-Za-z0-9=]{0,12}\n){0,3}") {
        prop_assert!(!property::holds_for(text.as_bytes()));
    }
}
