//! Every file that is not our own is listed with its licence and is, byte for byte, the one that was taken over.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

/// What is shipped, and what only tests use.
const FOLDERS: [&str; 2] = ["assets/vendor", FOR_TESTS];
const FOR_TESTS: &str = "../../../testing/chromium/vendor";

fn path(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

/// The manifest's lines, as words.
fn listed(folder: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path(folder).join("MANIFEST.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn vendored_files_are_those_of_the_manifest_with_a_licence_each() {
    for (folder, line) in
        FOLDERS.into_iter().flat_map(|folder| listed(folder).into_iter().map(move |line| (folder, line)))
    {
        let [file, name, version, licence, text, source, hash] = line.as_slice() else {
            panic!("a line of the manifest has seven words: {line:?}")
        };
        let bytes = std::fs::read(path(folder).join(file)).unwrap();
        let computed: String =
            digest(&SHA256, &bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(&computed, hash, "{file} of {source}");
        assert!(source.starts_with(&format!("npm:{name}@{version}/")), "{source}");
        let allowed: &[&str] = if folder == FOR_TESTS { &["MPL-2.0"] } else { &["0BSD", "MIT"] };
        assert!(allowed.contains(&licence.as_str()), "{licence}");
        assert!(std::fs::metadata(path(folder).join(text)).unwrap().len() > 100, "{text}");
    }
}

#[test]
fn no_vendored_file_is_missing_from_the_manifest() {
    for folder in FOLDERS {
        let lines = listed(folder);
        let names: BTreeSet<String> = lines.iter().map(|line| line[0].clone()).collect();
        let texts: BTreeSet<String> = lines.iter().map(|line| line[4].clone()).collect();
        let found = std::fs::read_dir(path(folder)).unwrap();
        let found = found.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let found: BTreeSet<String> = found
            .filter(|name| name != "LICENSES" && name != "MANIFEST.txt" && !texts.contains(name))
            .collect();
        assert_eq!(names, found);
        assert!(!names.is_empty());
    }
}
