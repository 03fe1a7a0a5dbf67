//! Every file that is not our own is listed with its licence and is, byte for byte, the one that was taken over.

use std::collections::BTreeSet;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/vendor"))
}

/// The manifest's lines, as words.
fn listed() -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(folder().join("MANIFEST.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn vendored_files_are_those_of_the_manifest_with_a_licence_each() {
    for line in listed() {
        let [file, name, version, licence, text, source, hash] = line.as_slice() else {
            panic!("a line of the manifest has seven words: {line:?}")
        };
        let bytes = std::fs::read(folder().join(file)).unwrap();
        let computed: String = digest(&SHA256, &bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(&computed, hash, "{file} of {source}");
        assert!(source.starts_with(&format!("npm:{name}@{version}/")), "{source}");
        assert!(["0BSD", "MIT"].contains(&licence.as_str()), "{licence}");
        assert!(std::fs::metadata(folder().join(text)).unwrap().len() > 100, "{text}");
    }
}

#[test]
fn no_vendored_file_is_missing_from_the_manifest() {
    let names: BTreeSet<String> = listed().into_iter().map(|line| line[0].clone()).collect();
    let found = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeSet<String> = found.filter(|name| name != "LICENSES" && name != "MANIFEST.txt").collect();
    assert_eq!(names, found);
    assert!(!names.is_empty());
}
