//! The simulated disk keeps what it promises and loses only what it may.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use waag_sim::disk::SimDisk;
use waag_sim::fault::{Fault, Op};
use waag_sim::prng::Prng;
use waag_stdx::files::{Files, Open};

#[test]
fn synced_bytes_survive_and_unsynced_ones_tear_at_sectors() {
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let disk = SimDisk::new(seed);
        let file = disk.open("a/b", Open::Create).unwrap();
        file.write_at(&[1; 8_192], 0).unwrap();
        file.sync().unwrap();
        file.write_at(&[2; 4_096], 2_048).unwrap();
        disk.crash(&mut Prng::new(seed));
        assert!(file.sync().is_err(), "a handle of the machine before");
        let now = disk.contents("a/b").unwrap();
        assert_eq!(now.len(), 8_192);
        let sectors: Vec<u8> = now.chunks(512).map(|sector| sector[0]).collect();
        assert!(now.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])), "a torn sector");
        assert!(sectors[..4].iter().chain(&sectors[12..]).all(|byte| *byte == 1), "synced bytes are lost");
        seen.insert(sectors);
    }
    assert!(seen.len() > 30, "{}", seen.len());
    assert!(seen.contains(&vec![1; 16]));
}

#[test]
fn the_same_seed_is_the_same_crash() {
    let run = |seed| {
        let disk = SimDisk::new(seed);
        let file = disk.open("f", Open::Create).unwrap();
        for n in 0..20u8 {
            file.write_at(&[n; 1_500], u64::from(n) * 700).unwrap();
        }
        disk.crash(&mut Prng::new(seed));
        disk.contents("f").unwrap()
    };
    assert_eq!(run(5), run(5));
    assert!((0..20).any(|seed| run(seed) != run(5)));
}

#[test]
fn a_failed_sync_drops_what_was_dirty_and_tells_every_handle_once() {
    let disk = SimDisk::new(0);
    let one = disk.open("f", Open::Create).unwrap();
    let two = disk.open("f", Open::Write).unwrap();
    one.write_at(&[7; 600], 0).unwrap();
    disk.fault_nth(Op::Sync, 0, Fault::Io);
    assert!(one.sync().is_err());
    one.sync().unwrap();
    assert!(two.sync().is_err(), "the other handle is told as well");
    two.sync().unwrap();
    assert_eq!(disk.contents("f").unwrap(), [7; 600], "the cache shows what the media never got");
    disk.crash(&mut Prng::new(0));
    assert!(disk.contents("f").unwrap().iter().all(|byte| *byte == 0));
}

#[test]
fn lost_short_misdirected_and_full() {
    let disk = SimDisk::new(0);
    let file = disk.open("f", Open::Create).unwrap();
    file.write_at(&[1; 4_096], 0).unwrap();
    file.sync().unwrap();
    disk.fault_nth(Op::Write, 0, Fault::Lost);
    disk.fault_nth(Op::Write, 1, Fault::Misdirected { offset: 2_048 });
    file.write_at(&[2; 512], 0).unwrap();
    file.write_at(&[3; 512], 1_024).unwrap();
    file.sync().unwrap();
    assert_eq!((disk.contents("f").unwrap()[0], disk.contents("f").unwrap()[1_024]), (2, 3));
    disk.crash(&mut Prng::new(0));
    let now = disk.contents("f").unwrap();
    assert_eq!((now[0], now[1_024], now[2_048]), (1, 1, 3));
    let file = disk.open("f", Open::Write).unwrap();
    disk.set_capacity(Some(5_000));
    assert_eq!(file.write_at(&[4; 2_048], 4_096).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 4_096 + 1_024);
}

#[test]
fn power_locks_snapshots() {
    let disk = SimDisk::new(0);
    let held = disk.lock("lock").unwrap();
    assert_eq!(disk.lock("lock").unwrap_err().kind(), ErrorKind::WouldBlock);
    let file = disk.open("a/f", Open::Create).unwrap();
    file.write_at(b"one", 0).unwrap();
    file.sync().unwrap();
    let before = disk.folder("a").snapshot();
    disk.fault_at(disk.operations(), Fault::PowerOff);
    assert!(file.write_at(b"two", 0).is_err());
    assert!(disk.is_off() && disk.open("a/f", Open::Read).is_err() && disk.list("").is_err());
    disk.kill();
    assert_eq!(disk.contents("a/f").unwrap(), b"two");
    drop(held);
    let again = disk.lock("lock").unwrap();
    assert_eq!(disk.list("").unwrap(), ["a", "lock"]);
    disk.folder("a").restore(&before);
    assert_eq!(disk.contents("a/f").unwrap(), b"one");
    drop(again);
}
