//! A published ledger as other people's programs see it: Go's checksum database libraries, and PyPI's `aics-tlog` with
//! `cryptography` for ML-DSA-44. Both say yes to what this crate wrote and no to every change of it.
//!
//! Place: `LEDGER-1` to `LEDGER-3` from outside. Not here: libraries in Rust (`interop.rs`).
//! The programs are in `testing/outside`; `cargo xtask test` brings what they need.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a helper that fails fails its test, and what the programs say is shown"
)]

#[path = "support/published.rs"]
mod published;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use published::{Published, entry, files, put, signer, witnesses};

/// The size whose folder is changed in every way: a full and a partial tile, and a level above.
const SMALL: u64 = 300;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// Where `cargo xtask test` puts what it brings.
fn needs() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    root().join(target).join("needs")
}

/// A checker: it answers each folder with a line.
trait Checker {
    fn answers(&self, folders: &[PathBuf]) -> Vec<String>;
}

/// The Go program, compiled against the packages of the system.
struct Go(PathBuf);

impl Go {
    fn build(folder: &Path) -> Go {
        let program = folder.join("go_tlog");
        let cache = needs().join("go-cache");
        fs::create_dir_all(&cache).unwrap();
        let output = Command::new("go")
            .args(["build", "-o"])
            .arg(&program)
            .arg(".")
            .current_dir(root().join("testing/outside/go_tlog"))
            .envs([
                ("GO111MODULE", "off"),
                ("GOPATH", "/usr/share/gocode"),
                ("GOFLAGS", ""),
                ("CGO_ENABLED", "0"),
            ])
            .env("GOCACHE", fs::canonicalize(cache).unwrap())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Go(program)
    }
}

impl Checker for Go {
    fn answers(&self, folders: &[PathBuf]) -> Vec<String> {
        let key = signer().verifier_key().to_string();
        let answer = |folder: &PathBuf| {
            let output = Command::new(&self.0).arg(folder).arg(&key).output().unwrap();
            let told = String::from_utf8_lossy(&output.stdout);
            // What it says and how it ends are one.
            assert_eq!(output.status.success(), told.starts_with("verified: "), "{told}");
            assert!(output.status.code() == Some(0) || told.starts_with("refused: "), "{told}");
            told.trim_end().to_owned()
        };
        folders.iter().map(answer).collect()
    }
}

/// The Python program; one process answers for all folders.
struct Python;

impl Checker for Python {
    fn answers(&self, folders: &[PathBuf]) -> Vec<String> {
        let python = needs().join("bin/python");
        assert!(python.is_file(), "{} is not there; `cargo xtask test` brings it", python.display());
        let mut child = Command::new(python)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(root().join("testing/outside/tlog_py.py"))
            .arg(signer().verifier_key().to_string())
            .args(witnesses().map(|witness| witness.verifier_key().to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines: String = folders.iter().map(|folder| format!("{}\n", folder.display())).collect();
        // Written by a thread of its own, since each side may wait for the other.
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

/// A copy of a folder with one file changed or removed.
fn changed(from: &Path, to: PathBuf, file: &Path, bytes: Option<&[u8]>) -> PathBuf {
    for path in files(from) {
        match bytes {
            _ if path != file => put(&to, path.to_str().unwrap(), &fs::read(from.join(&path)).unwrap()),
            Some(bytes) => put(&to, path.to_str().unwrap(), bytes),
            None => {}
        }
    }
    to
}

/// The folder with bytes flipped in each file, files cut, swapped and taken away, each in a copy with a name of its own.
fn mutations(from: &Path, folder: &Path) -> Vec<(String, PathBuf)> {
    let mut all = Vec::new();
    let mut add = |what: String, file: &Path, bytes: Option<&[u8]>| {
        let to = folder.join(all.len().to_string());
        all.push((what, changed(from, to, file, bytes)));
    };
    for file in files(from) {
        let bytes = fs::read(from.join(&file)).unwrap();
        let name = file.display();
        for (at, bit) in places(&file, &bytes) {
            let mut edit = bytes.clone();
            edit[at] ^= bit;
            add(format!("bit {bit} of byte {at} of {name}"), &file, Some(&edit));
        }
        // A text's last newline is forgiven by some.
        let cut = bytes.len() - if file.starts_with("tile") { 1 } else { 2 };
        add(format!("{name} cut short"), &file, Some(&bytes[..cut]));
        add(format!("{name} with a byte more"), &file, Some(&[&bytes[..], b"x"].concat()));
        if file != Path::new("proofs") {
            add(format!("{name} missing"), &file, None);
        }
    }
    let tiles = ["tile/entries/000", "tile/0/000"].map(Path::new);
    for tile in tiles {
        let bytes = fs::read(from.join(tile)).unwrap();
        // The first two hashes or records change places.
        let width = if tile == tiles[1] { 32 } else { entry(0).len() + 2 };
        let next = if tile == tiles[1] { 32 } else { entry(1).len() + 2 };
        let swapped = [&bytes[width..width + next], &bytes[..width], &bytes[width + next..]].concat();
        add(format!("{} reordered", tile.display()), tile, Some(&swapped));
    }
    // Signed as it should be, and not of these tiles.
    let other = Published::new(SMALL + 1).checkpoint(SMALL + 1);
    add("a checkpoint of another size".to_owned(), Path::new("checkpoint"), Some(other.note().as_bytes()));
    let note = String::from_utf8(fs::read(from.join("checkpoint")).unwrap()).unwrap();
    let lines: Vec<&str> = note.split_inclusive('\n').collect();
    let unsigned = [&lines[..4], &lines[5..]].concat().concat();
    add(
        "a checkpoint without the log's signature".to_owned(),
        Path::new("checkpoint"),
        Some(unsigned.as_bytes()),
    );
    all
}

/// Where a file is changed. A checkpoint: in its text and in the log's signature, but for the last digit before the
/// padding, whose lowest bits Go does not read.
fn places(file: &Path, bytes: &[u8]) -> Vec<(usize, u8)> {
    let end = if file.starts_with("older") || file == Path::new("checkpoint") {
        let signature = bytes.iter().position(|byte| *byte == 0xe2).unwrap();
        let line = bytes.iter().skip(signature).position(|byte| *byte == b'\n').unwrap();
        signature + line - 2
    } else {
        bytes.len()
    };
    let few = 9.min(end);
    (0..few).map(|part| (part * (end - 1) / few.max(2).saturating_sub(1), 1 << (part % 8))).collect()
}

/// Both must say yes to the folders and no to each change of the small one.
fn check(checker: &dyn Checker, big: u64) {
    let work = tempfile::tempdir().unwrap();
    let sizes = [1, 5, 255, 256, 257, SMALL, 1_000, big];
    let folders: Vec<PathBuf> = sizes.map(|size| work.path().join(format!("size-{size}"))).into();
    for (size, folder) in sizes.into_iter().zip(&folders) {
        let older: Vec<u64> =
            [1, 2, 255, 256, 299, 999, 65_536].into_iter().filter(|older| *older <= size).collect();
        let records: Vec<u64> =
            [0, 1, 255, 256, size - 1].into_iter().filter(|record| *record < size).collect();
        Published::new(size).write(folder, &older, &records);
    }
    for (size, answer) in sizes.into_iter().zip(checker.answers(&folders)) {
        println!("{answer}");
        assert!(answer.starts_with(&format!("verified: {size} records, ")), "{size}: {answer}");
        assert!(!answer.ends_with(" 0 proofs"), "{size}: {answer}");
    }
    let small = work.path().join(format!("size-{SMALL}"));
    let changes = mutations(&small, &work.path().join("changed"));
    let (whats, folders): (Vec<String>, Vec<PathBuf>) = changes.into_iter().unzip();
    let answers = checker.answers(&folders);
    assert_eq!(answers.len(), whats.len());
    assert!(whats.len() > 100, "{} changes", whats.len());
    for (what, answer) in whats.iter().zip(answers) {
        assert!(answer.starts_with("refused: "), "{what}: {answer}");
    }
}

#[test]
fn needs_go_x_mod_verifies_what_is_published() {
    let work = tempfile::tempdir().unwrap();
    check(&Go::build(work.path()), 66_000);
}

#[test]
fn needs_aics_tlog_verifies_what_is_published() {
    check(&Python, 66_000);
}

#[test]
fn needs_aics_tlog_reads_cosignatures_of_both_kinds() {
    let work = tempfile::tempdir().unwrap();
    let good = work.path().join("good");
    Published::new(SMALL).write(&good, &[], &[]);
    let file = Path::new("checkpoint");
    let note = fs::read(good.join(file)).unwrap();
    let mut folders = vec![good.clone()];
    // Bytes of each witness's line: key id, time, and two of the signature.
    let starts: Vec<usize> = (0..note.len()).filter(|at| note[*at] == 0xe2).collect();
    for start in &starts[1..] {
        for step in [24, 30, 60, 120] {
            let mut edit = note.clone();
            edit[start + step] ^= 1;
            folders.push(changed(&good, work.path().join(folders.len().to_string()), file, Some(&edit)));
        }
    }
    for take in [1, 2] {
        // One witness, then both, taken away.
        let cut = &note[..starts[3 - take]];
        folders.push(changed(&good, work.path().join(folders.len().to_string()), file, Some(cut)));
    }
    let answers = Python.answers(&folders);
    assert!(answers[0].starts_with("verified: "), "{}", answers[0]);
    assert_eq!(answers.len(), 11);
    for answer in &answers[1..] {
        assert!(answer.starts_with("refused: "), "{answer}");
    }
}
