//! A writer killed with SIGKILL at any instant loses no commit that it acknowledged.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use waag_keys::state::{Change, Expect, Extent, Generation, State, Table};
use waag_sqlite::state::SqliteState;

const KILLS: u64 = 50;
const CHILD: &str = "WAAG_SQLITE_KILLED_CHILD";

/// The test is parent and child: it starts itself again with the folder in the environment.
#[test]
fn killed_fifty_times_in_a_commit_loop_every_acknowledged_commit_is_there() {
    if let Ok(folder) = std::env::var(CHILD) {
        let state = SqliteState::create(folder.as_ref()).unwrap();
        let first = state.check(Extent::Head).unwrap().head.generation.0;
        for n in first.. {
            let (key, value) = (n.to_be_bytes(), [7; 200]);
            let change = |table| Change { table, key: &key, expect: Expect::Absent, value: Some(&value) };
            let generation = state.commit(&[change(Table::DataKey), change(Table::Person)]).unwrap();
            assert_eq!(generation, Generation(n + 1));
            println!("acknowledged {}", n + 1);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0_u64;
    for round in 0..KILLS {
        let name = "killed_fifty_times_in_a_commit_loop_every_acknowledged_commit_is_there";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads", "1"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Another number of commits each round; the kill falls somewhere within a later one.
        let wanted = 1 + round * 7 % 23;
        let mut told = 0;
        while told < wanted {
            let line = lines.next().expect("the child died by itself").unwrap();
            if let Some((_, number)) = line.split_once("acknowledged ") {
                acknowledged = number.trim().parse().unwrap();
                told += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            if let Some(number) = line.strip_prefix("acknowledged ").and_then(|n| n.trim().parse().ok()) {
                acknowledged = number;
            }
        }
        let state = SqliteState::open(folder.path()).unwrap();
        let check = state.check(Extent::All).unwrap();
        assert!(check.is_clean(), "round {round}: {:?}", check.faults);
        let generation = check.head.generation.0;
        assert!(generation >= acknowledged, "round {round}: {acknowledged} acknowledged, {generation} there");
        assert_eq!(check.head.count, generation * 2, "round {round}");
        acknowledged = generation;
        let last = (acknowledged - 1).to_be_bytes();
        assert!(state.get(Table::Person, &last).unwrap().is_some(), "round {round}");
    }
    assert!(acknowledged > KILLS);
}
