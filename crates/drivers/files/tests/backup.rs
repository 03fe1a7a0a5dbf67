//! A backup repository on a faulty disk: after any fault at any operation, and a power cut, an object is whole or absent,
//! and what was acknowledged is there.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::collections::BTreeMap;
use std::sync::Arc;

use waag_archive::contract::{BackupStore, StoreFault};
use waag_files::backup::FolderStore;
use waag_sim::disk::SimDisk;
use waag_sim::fault::Fault;
use waag_sim::prng::Prng;

fn bytes_of(number: u64) -> Vec<u8> {
    vec![u8::try_from(number % 251).unwrap(); usize::try_from(3_000 * number + 1).unwrap()]
}

/// Puts objects and removes one; gives what was acknowledged: bytes, or that it is gone.
fn work(store: &FolderStore) -> (BTreeMap<String, Option<Vec<u8>>>, Option<StoreFault>) {
    let mut done = BTreeMap::new();
    for number in 0..4 {
        let name = format!("pieces/{number:02}/{number}");
        if let Err(fault) = store.put_new(&name, &bytes_of(number)) {
            return (done, Some(fault));
        }
        done.insert(name, Some(bytes_of(number)));
    }
    match store.remove("pieces/01/1") {
        Ok(()) => {
            done.insert("pieces/01/1".to_owned(), None);
            (done, None)
        }
        Err(fault) => {
            done.remove("pieces/01/1");
            (done, Some(fault))
        }
    }
}

#[test]
fn an_object_is_whole_or_absent_whatever_fails_and_what_was_acknowledged_is_there() {
    let mut rng = Prng::new(7);
    let mut struck = 0;
    for fault in
        [Fault::Io, Fault::IoShort, Fault::IoPersisted, Fault::NoSpace, Fault::NoSpaceShort, Fault::PowerOff]
    {
        for at in 0.. {
            let disk = SimDisk::new(at);
            disk.fault_at(at, fault);
            let store = match FolderStore::writing(Arc::new(disk.clone())) {
                Ok(store) => store,
                Err(failed) => {
                    assert!(matches!(failed, StoreFault::Failed { .. }), "{failed}");
                    continue;
                }
            };
            let (done, failed) = work(&store);
            drop(store);
            let operations = disk.operations();
            disk.crash(&mut rng);
            disk.clear_faults();
            let store = FolderStore::writing(Arc::new(disk.clone())).unwrap();
            for name in store.list("").unwrap() {
                let number: u64 = name.rsplit('/').next().unwrap().parse().unwrap();
                assert!(
                    store.get(&name).unwrap().as_deref() == Some(&bytes_of(number)),
                    "{name} {fault:?} {at}"
                );
            }
            for (name, bytes) in &done {
                assert!(store.get(name).unwrap() == *bytes, "{name} {fault:?} {at}");
            }
            assert!(disk.paths().iter().all(|path| !path.ends_with(".new")), "{:?}", disk.paths());
            struck += usize::from(failed.is_some());
            if at >= operations {
                break;
            }
        }
    }
    assert!(struck > 60, "{struck}");
}
