//! Whole files: cut, emptied, missing, exchanged, unknown; and what every command says of the guard and of an empty store.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use waag::store::init::init;
use waag::store::reader::open_reader;
use waag::store::verify::{Depth, Report, verify};
use waag::store::writer::open_writer;

use crate::image::{self, GUARD, STATE, WAL};
use crate::judge::{Bench, contents, is_shared_index, look};

const SEGMENTS: [&str; 2] =
    ["data/default/log/00000000000000000000.seg", "data/default/log/00000000000000000016.seg"];
const VAULT: &str = "data.state/default/vault.key";

/// Checks what a verification came to where `file` was changed as a whole: a fault at the file or where it is missed, a
/// note about a derived file, or residue.
fn is_told(bench: &Bench, file: &Path, report: &Report) -> Result<(), String> {
    let path = bench.path(file);
    if !report.verified() {
        let is_missed = |code: &str| report.faults.iter().any(|fault| fault.code == code);
        let named = report.faults.iter().any(|fault| path.starts_with(&fault.file))
            // Of a segment that is gone the one behind it tells; of an object the entry that names it; of the state's
            // write-ahead log the state, which then is older than its guard.
            || (file.starts_with("data/default/log") && is_missed("E0429"))
            || (file.starts_with("data/default/objects") && is_missed("E0427"))
            || (file == Path::new(WAL) && is_missed("E0633"));
        return if named { Ok(()) } else { Err(format!("not named: {:?}", report.faults)) };
    }
    let found = contents(&bench.place, true)?;
    bench.compare(&found, file == Path::new(WAL))?;
    // The write-ahead log has every page that the file no longer has.
    let is_logged = file == Path::new(STATE) && bench.base.contains_key(Path::new(WAL));
    let told = report.notes.iter().any(|note| path.starts_with(&note.file))
        || report.residue.iter().any(|fault| fault.file == path)
        || is_shared_index(file)
        || is_logged;
    if told { Ok(()) } else { Err("verified without a word".to_owned()) }
}

#[test]
fn a_file_that_is_cut_empty_or_missing_is_named() {
    let mut failures = whole_files(&Bench::new(image::killed()));
    failures.extend(whole_files(&Bench::new(image::folded())));
    assert!(failures.is_empty(), "{failures:#?}");
}

fn whole_files(bench: &Bench) -> Vec<String> {
    let mut failures = Vec::new();
    for (file, bytes) in &bench.base {
        let path = bench.path(file);
        let len = bytes.len();
        // Nothing, a byte, each header and slot of the forms there are, half, all but one.
        for cut in [0, 1, 32, 100, 144, 4_096, 8_192, len / 2, len.saturating_sub(1)] {
            // Space that was prepared and never written can go.
            if cut >= len
                || (file.starts_with("data/default/log") && bytes.iter().skip(cut).all(|byte| *byte == 0))
            {
                continue;
            }
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(cut as u64).unwrap();
            if let Err(why) = is_told(bench, file, &look(&bench.place, true)) {
                failures.push(format!("{} cut to {cut}: {why}", file.display()));
            }
            bench.restore();
        }
        if file.to_string_lossy().ends_with("lock") {
            continue;
        }
        std::fs::remove_file(&path).unwrap();
        if let Err(why) = is_told(bench, file, &look(&bench.place, true)) {
            failures.push(format!("{} missing: {why}", file.display()));
        }
        bench.restore();
    }
    failures
}

#[test]
fn what_is_derived_is_made_again_by_verification_and_the_next_writer() {
    let bench = Bench::new(image::killed());
    let derived = bench.base.keys().filter(|file| file.starts_with("data/default/derived"));
    for file in derived {
        let mut bytes = bench.base[file].clone();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        std::fs::write(bench.path(file), bytes).unwrap();
        let report = look(&bench.place, true);
        let note = report.notes.iter().find(|note| note.rebuilt && bench.path(file).starts_with(&note.file));
        assert!(report.verified() && note.is_some(), "{}: {report:?}", file.display());
        drop(image::open(&bench.place));
        let deep = Depth { deep: true, rebuild: false };
        let again = verify(&bench.place, &image::options(), deep, &mut |_, _| {}).unwrap();
        assert!(again.verified() && again.notes.is_empty(), "{}: {again:?}", file.display());
        // The writer has taken up the frame that was beyond the guard.
        assert_eq!(again.entries, report.entries + report.residue_entries);
        bench.restore();
    }
}

#[test]
fn an_unknown_file_in_any_folder_is_named_and_nothing_is_verified() {
    let bench = Bench::new(image::killed());
    let folders: std::collections::BTreeSet<_> =
        bench.base.keys().map(|file| file.parent().unwrap().to_owned()).collect();
    assert!(folders.len() >= 7, "{folders:?}");
    for folder in folders {
        for name in ["unknown", ".hidden", "state.db-journal", "run-0", "x.seg"] {
            let path = bench.path(folder.join(name));
            std::fs::write(&path, "x").unwrap();
            let report = look(&bench.place, true);
            assert!(!report.verified(), "{}", path.display());
            assert!(
                report.faults.iter().any(|fault| fault.file == path),
                "{}: {:?}",
                path.display(),
                report.faults
            );
            bench.restore();
        }
    }
    // A run that no manifest names is what a crash leaves beside it.
    let stray = bench.path("data/default/derived/identity/run-00000000000000ff");
    std::fs::write(&stray, "x").unwrap();
    assert!(look(&bench.place, true).verified());
}

#[test]
fn files_in_each_others_place_are_named() {
    let bench = Bench::new(image::killed());
    let of = |folder: &str, from: usize| {
        let found: Vec<_> =
            bench.base.keys().filter(|file| file.starts_with(folder)).skip(from).take(2).collect();
        let [one, other] = found.try_into().unwrap();
        (one.clone(), other.clone())
    };
    let pairs = [
        of("data/default/log", 0),
        of("data/default/objects", 0),
        of("data/default/derived/identity", 1),
        (STATE.into(), WAL.into()),
        (GUARD.into(), VAULT.into()),
    ];
    for (one, other) in pairs {
        let (first, second) = (bench.path(&one), bench.path(&other));
        let between = bench.path("between");
        std::fs::rename(&first, &between).unwrap();
        std::fs::rename(&second, &first).unwrap();
        std::fs::rename(&between, &second).unwrap();
        let report = look(&bench.place, true);
        is_told(&bench, &one, &report).unwrap_or_else(|why| panic!("{}: {why}", one.display()));
        bench.restore();
    }
    // The guard's slots in each other's place; one segment's frames twice.
    let guard = &bench.base[Path::new(GUARD)];
    let (low, high) = guard.split_at(8_192);
    std::fs::write(bench.path(GUARD), [high, low].concat()).unwrap();
    is_told(&bench, Path::new(GUARD), &look(&bench.place, true)).unwrap();
    assert!(!look(&bench.place, true).verified());
    bench.restore();
    let [first, second] = SEGMENTS.map(|segment| &bench.base[Path::new(segment)]);
    std::fs::write(bench.path(SEGMENTS[1]), [&second[..4_096], &first[..4_096]].concat()).unwrap();
    assert!(!look(&bench.place, true).verified());
}

#[test]
fn every_command_says_the_same_of_a_guard_that_is_missing_and_of_one_that_is_damaged() {
    let bench = Bench::new(image::killed());
    let codes = || {
        let report = look(&bench.place, false);
        assert!(!report.verified());
        let codes: Vec<_> = report.faults.iter().map(|fault| fault.code).collect();
        let opened = [
            open_reader(&bench.place, &image::options()).unwrap_err().code(),
            open_writer(&bench.place, &image::options(), &mut |_, _| {}).unwrap_err().code(),
            init(&bench.place, "waag.example", &image::options()).unwrap_err().code(),
        ];
        (codes, opened)
    };
    std::fs::remove_file(bench.path(GUARD)).unwrap();
    let (told, opened) = codes();
    assert!(told.contains(&"E0807"), "{told:?}");
    assert_eq!(opened, ["E0807"; 3]);
    bench.restore();
    let mut guard = bench.base[Path::new(GUARD)].clone();
    guard[100] ^= 1;
    guard[8_192 + 100] ^= 1;
    std::fs::write(bench.path(GUARD), guard).unwrap();
    let (told, opened) = codes();
    assert!(told.contains(&"E0449") && told.contains(&"E0453"), "{told:?}");
    assert_eq!(opened, ["E0449"; 3]);
}

#[test]
fn a_store_without_entries_is_verified_where_its_signed_guard_says_so() {
    let root = image::folder();
    let place = image::place(root.path());
    let depth = Depth { deep: true, rebuild: true };
    let look = || verify(&place, &image::options(), depth, &mut |_, _| {});
    assert_eq!(look().unwrap_err().code(), "E0801");
    init(&place, "waag.example", &image::options()).unwrap();
    let report = look().unwrap();
    assert!(report.verified() && report.entries == 0, "{report:?}");
    for byte in [20, 70, 200] {
        let path = place.state.join("guard");
        let guard = std::fs::read(&path).unwrap();
        let mut flipped = guard.clone();
        flipped[byte] ^= 1;
        std::fs::write(&path, flipped).unwrap();
        assert!(!look().unwrap().verified(), "{byte}");
        std::fs::write(&path, guard).unwrap();
    }
}

#[test]
fn the_command_exits_with_one_and_each_fault_has_file_offset_position_and_reason() {
    let bench = Bench::new(image::killed());
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waag"));
        command.current_dir(bench.path(".")).env_remove("WAAG_PASSPHRASE");
        let output = command.args(["--data", "data", "verify", "--json"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let answer: Value =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}, {:?}", output.stderr));
        (output.status.code(), answer)
    };
    let (code, answer) = run();
    assert_eq!((code, &answer["ok"]), (Some(0), &Value::Bool(true)), "{answer}");
    for (file, at) in [(SEGMENTS[0], 300), (GUARD, 300), (VAULT, 20), (STATE, 16), (WAL, 40)] {
        let mut bytes = bench.base[Path::new(file)].clone();
        bytes[at] ^= 1;
        std::fs::write(bench.path(file), bytes).unwrap();
        let (code, answer) = run();
        assert_eq!((code, &answer["ok"]), (Some(1), &Value::Bool(false)), "{file}: {answer}");
        let faults = answer["faults"].as_array().unwrap();
        let fault = faults.iter().find(|fault| fault["file"].as_str().unwrap().ends_with(file));
        let fault = fault.unwrap_or_else(|| panic!("{file}: {answer}"));
        for member in ["file", "offset", "position", "reason", "code"] {
            assert!(fault.get(member).is_some(), "{file}: {fault}");
        }
        let is_placed = fault["offset"].is_u64() || fault["table"].is_string() && fault["record"].is_string();
        assert!(is_placed, "{fault}");
        bench.restore();
    }
}
