//! The simulator is itself tested: worlds repeat exactly, sound code survives them, and planted defects are found.

use waag_sim::node::Plant;
use waag_sim::world::{EVENTS_MIN, FAULTS_MIN, run};

#[test]
fn the_same_seed_is_the_same_world() {
    let worlds = |seeds: std::ops::Range<u64>| seeds.map(|seed| run(seed, None, false)).collect::<Vec<_>>();
    let once = worlds(0..20);
    assert_eq!(once, worlds(0..20));
    let fingerprints: std::collections::BTreeSet<u64> =
        once.iter().map(|outcome| outcome.as_ref().unwrap().fingerprint).collect();
    assert_eq!(fingerprints.len(), 20, "different seeds are different worlds");
}

#[test]
fn two_hundred_worlds_keep_every_promise() {
    let mut acknowledged = 0;
    for seed in 1_000..1_200 {
        match run(seed, None, false) {
            Ok(report) => {
                acknowledged += report.acknowledged;
                assert!(report.faults.values().sum::<u32>() >= FAULTS_MIN || report.ended.starts_with('E'));
            }
            Err(broken) => panic!("seed {seed}: {}", broken.0),
        }
    }
    assert!(acknowledged > 100 * EVENTS_MIN as usize / 2, "{acknowledged}");
}

/// Runs worlds with a defect until one breaks a promise; says after how many.
fn found_after(plant: Plant) -> Option<u64> {
    (0..300).find(|seed| run(*seed, Some(plant), false).is_err())
}

#[test]
fn a_guard_that_is_never_swapped_is_found() {
    assert!(found_after(Plant::NoGuard).is_some());
}

#[test]
fn a_frame_that_is_acknowledged_and_not_written_is_found() {
    assert!(found_after(Plant::LostFrame).is_some());
}

#[test]
fn a_disk_that_is_never_synced_is_found() {
    assert!(found_after(Plant::NoSync).is_some());
}

#[test]
fn a_state_that_forgets_its_commits_is_found() {
    assert!(found_after(Plant::ForgetfulState).is_some());
}

#[test]
fn an_identity_that_is_forgotten_is_found() {
    assert!(found_after(Plant::ShortMemory).is_some());
}
