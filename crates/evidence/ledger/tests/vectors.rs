//! The proof vectors of transparency-dev/merkle: 98 inclusion and 98 consistency cases, 184 of which must fail.
//!
//! Place: an outside check on `LEDGER-2`. They are not part of this repository: the folder that holds them is
//! named by `WAAG_TEST_DATA`, and without it the test says what it skipped.
#![expect(clippy::unwrap_used, reason = "a vector that cannot be read fails the test")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::path::{Path, PathBuf};
use waag_ledger::hash::{Hash, leaf_hash};
use waag_ledger::proof::{verify_consistency, verify_inclusion};

const FILES_PER_KIND: usize = 98;
const POSITIVE: usize = 12;

type Verify = fn(&Value) -> Option<()>;

fn json_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for item in std::fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            json_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
}

/// Some vectors hold values that are no 32 bytes. An absent one (no bytes) has no form here at all and is refused by
/// the parser of hashes. For the others ("garbage", "don't care") their hash stands in, so that equal stays equal and
/// the verifier itself has to judge, not only the parser.
fn hash(value: &Value) -> Option<Hash> {
    let text = value.as_str().unwrap();
    if text.is_empty() {
        assert!(Hash::from_base64(text).is_err());
        return None;
    }
    let bytes = STANDARD.decode(text).unwrap();
    Some(<[u8; 32]>::try_from(bytes.as_slice()).map_or_else(|_| leaf_hash(&bytes), Hash))
}

fn path(case: &Value) -> Option<Vec<Hash>> {
    case["proof"].as_array().map_or_else(|| Some(Vec::new()), |nodes| nodes.iter().map(hash).collect())
}

fn inclusion(case: &Value) -> Option<()> {
    let (index, size) = (case["leafIdx"].as_u64().unwrap(), case["treeSize"].as_u64().unwrap());
    verify_inclusion(&hash(&case["leafHash"])?, index, size, &path(case)?, &hash(&case["root"])?).ok()
}

fn consistency(case: &Value) -> Option<()> {
    let (old, new) = (case["size1"].as_u64().unwrap(), case["size2"].as_u64().unwrap());
    verify_consistency(old, new, &path(case)?, &hash(&case["root1"])?, &hash(&case["root2"])?).ok()
}

#[test]
fn transparency_dev_merkle_vectors() {
    let Some(data) = std::env::var_os("WAAG_TEST_DATA") else {
        println!("skipped: transparency-dev/merkle vectors, WAAG_TEST_DATA is not set");
        return;
    };
    let mut positive = 0;
    for (kind, verify) in [("inclusion", inclusion as Verify), ("consistency", consistency)] {
        let mut files = Vec::new();
        json_files(&Path::new(&data).join("merkle").join(kind), &mut files);
        assert_eq!(files.len(), FILES_PER_KIND, "{kind} vectors");
        for file in files {
            let case: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            let want = !case["wantErr"].as_bool().unwrap();
            assert_eq!(verify(&case).is_some(), want, "{}: {}", file.display(), case["desc"]);
            positive += usize::from(want);
        }
    }
    assert_eq!(positive, POSITIVE);
}
