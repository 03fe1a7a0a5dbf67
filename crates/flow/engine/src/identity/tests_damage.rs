//! `IDENT-4`: every byte of every file, changed, cut or exchanged, is noticed or not used.

use waag_model::time::UtcNanos;

use super::tests::{FOLDER, LEDGER, open, small};
use super::tests_support::{MemFiles, random_tag};
use super::*;

const TABLE: usize = 200;

/// Three runs of two blocks each.
fn filled() -> (MemFiles, Vec<(Tag, UtcNanos)>, IdentityLimits) {
    let limits = small(TABLE, 1 << 20, i64::MAX);
    let log: Vec<_> = (0..3 * TABLE as u64 + 1).map(|n| (random_tag(n), UtcNanos(1))).collect();
    let files = MemFiles::default();
    let mut index = open(&files, &[], &limits).index;
    for (at, (tag, time)) in log.iter().enumerate() {
        if index.room() == 0 {
            index.maintain().unwrap();
        }
        index.insert(*tag, Position(at as u64), *time).unwrap();
    }
    index.maintain().unwrap();
    assert_eq!(index.covered(), Position(3 * TABLE as u64));
    (files, log, limits)
}

/// The first and the last tag of each block of each run: enough to read every block.
fn probes(log: &[(Tag, UtcNanos)]) -> Vec<(Tag, u64)> {
    let mut probes = Vec::new();
    for (run, entries) in log.chunks(TABLE).take(3).enumerate() {
        let mut tags: Vec<(Tag, u64)> =
            entries.iter().enumerate().map(|(n, (tag, _))| (*tag, (run * TABLE + n) as u64)).collect();
        tags.sort_unstable();
        probes.extend([tags[0], tags[169], tags[170], tags[199]]);
    }
    probes
}

/// Whether opening or one of the probes notices; never is an answer another one.
fn noticed(files: &MemFiles, limits: &IdentityLimits, probes: &[(Tag, u64)]) -> bool {
    let files = Arc::new(files.clone());
    let opened = IdentityIndex::open(files, FOLDER, LEDGER, Position(1 << 40), limits.clone()).unwrap();
    if let Some(empty) = opened.empty {
        assert!(matches!(empty, Empty::Unusable(IdentityError::Damaged { .. })), "{empty:?}");
        assert_eq!(opened.index.covered(), Position(0));
        return true;
    }
    let mut damaged = false;
    for (tag, at) in probes {
        match opened.index.lookup(tag) {
            Ok(found) => assert_eq!(found, Some(Position(*at))),
            Err(IdentityError::Damaged { file, offset, .. }) => {
                assert!(file.contains("run-") && offset >= 4_096, "{file} {offset}");
                damaged = true;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    damaged
}

#[test]
fn any_changed_byte_of_any_file_is_noticed() {
    let (files, log, limits) = filled();
    let probes = probes(&log);
    assert!(!noticed(&files.after_crash(false), &limits, &probes), "undamaged");
    let names = files.names();
    assert_eq!(names.len(), 4, "{names:?}");
    let per_run = 4_096 + 2 * 4_096 + 5 * 64 + 2 * 8 + 32;
    for (name, step) in names.iter().zip([1, 1, 7, 7]) {
        let whole = files.bytes(name);
        assert!(name.ends_with("manifest") || whole.len() == per_run, "{name}: {}", whole.len());
        for at in (0..whole.len()).step_by(step) {
            let disk = files.after_crash(false);
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            disk.set_bytes(name, bytes);
            assert!(noticed(&disk, &limits, &probes), "{name}, byte {at}");
        }
    }
}

#[test]
fn cut_and_lengthened_files_are_noticed() {
    let (files, log, limits) = filled();
    let probes = probes(&log);
    for name in files.names() {
        let whole = files.bytes(&name);
        for len in [0, 1, 47, whole.len() / 2, whole.len() - 1, whole.len() + 1, whole.len() + 4_096] {
            let disk = files.after_crash(false);
            let mut bytes = whole.clone();
            bytes.resize(len, 0);
            disk.set_bytes(&name, bytes);
            assert!(noticed(&disk, &limits, &probes), "{name}, {len} bytes");
        }
    }
}

#[test]
fn exchanged_blocks_and_runs_are_noticed() {
    let (files, log, limits) = filled();
    let probes = probes(&log);
    let names = files.names();
    let (one, other) = (&names[1], &names[2]);

    let mut bytes = files.bytes(one);
    let (first, second) = bytes[4_096..4_096 * 3].split_at_mut(4_096);
    first.swap_with_slice(second);
    let disk = files.after_crash(false);
    disk.set_bytes(one, bytes);
    assert!(noticed(&disk, &limits, &probes), "blocks of one run");

    let mut bytes = files.bytes(one);
    bytes[4_096..8_192].copy_from_slice(&files.bytes(other)[4_096..8_192]);
    let disk = files.after_crash(false);
    disk.set_bytes(one, bytes);
    assert!(noticed(&disk, &limits, &probes), "a block of another run");

    let disk = files.after_crash(false);
    disk.set_bytes(one, files.bytes(other));
    assert!(noticed(&disk, &limits, &probes), "another run's file");
}

#[test]
fn a_missing_run_is_noticed_and_strangers_are_removed() {
    let (files, log, limits) = filled();
    let names = files.names();
    let disk = files.after_crash(false);
    waag_stdx::files::Files::remove(&disk, &names[2]).unwrap();
    let opened = open(&disk, &log, &limits);
    assert!(matches!(opened.empty, Some(Empty::Unusable(IdentityError::Io { .. }))), "{:?}", opened.empty);
    assert!(disk.names().is_empty(), "what cannot be used is removed");

    let disk = files.after_crash(false);
    disk.set_bytes(&format!("{FOLDER}/manifest.next"), vec![1]);
    disk.set_bytes(&format!("{FOLDER}/run-00000000000000ff"), vec![2]);
    assert!(open(&disk, &log, &limits).empty.is_none());
    assert_eq!(disk.names(), names);
}

#[test]
fn a_merge_stops_at_a_damaged_block_and_the_index_can_be_rebuilt() {
    let (files, log, limits) = filled();
    let name = &files.names()[1];
    let mut bytes = files.bytes(name);
    bytes[4_096 + 100] ^= 1;
    files.set_bytes(name, bytes);
    let mut index = open(&files, &log, &limits).index;
    for n in log.len() as u64..log.len() as u64 + 2 * TABLE as u64 {
        index.insert(random_tag(n), Position(n), UtcNanos(2)).unwrap();
    }
    let fault = index.maintain().unwrap_err();
    assert!(matches!(fault, IdentityError::Damaged { offset: 4_096, .. }), "{fault}");
    index.reset().unwrap();
    super::tests::replay(&mut index, &log).unwrap();
    super::tests::check(&index, &log);
}
