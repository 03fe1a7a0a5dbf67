//! The real program, killed with SIGKILL under load, started again and killed again; another process (this test) keeps
//! the acknowledgements. Nothing acknowledged is lost, moved or doubled, and what was not acknowledged is there whole or
//! not at all.
//!
//! `WAAG_CRASH_KILLS` sets the number of kills; 40 without it. `cargo xtask crash` runs 500.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails loudly and measures real time"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Events fed to one run of the program; more than it records before it is killed.
const EVENTS_PER_RUN: u64 = 20_000;

/// What was acknowledged: position and leaf hash by event number.
type Acknowledged = BTreeMap<u64, (u64, String)>;

fn waag(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waag"));
    command.env_remove("WAAG_PASSPHRASE").stdin(Stdio::null());
    command.arg("--data").arg(data);
    command
}

fn run(data: &Path, arguments: &[&str]) -> Value {
    let output = waag(data).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{arguments:?}: {:?}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str(text.trim()).unwrap_or(Value::Null)
}

fn event(number: u64) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"e-{number}","source":"/crash","type":"invoice.posting","data":{{"n":{number},"amount":12.50}}}}"#
    )
}

/// A cheap spread of delays: the same for the same kill, so that a failing run can be repeated.
fn delay(kill: u64) -> Duration {
    Duration::from_millis(15 + (kill.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57))
}

/// Starts the program on `first..`, keeps what it acknowledges, and kills it at `kill_at` after its first answer.
fn run_and_kill(data: &Path, first: u64, kill: u64, acknowledged: &mut Acknowledged) -> u64 {
    let mut child: Child = waag(data)
        .args(["append", "--json", "--as", "crash-test", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || {
        for number in first..first + EVENTS_PER_RUN {
            // The program dies in the middle of this: that is the point.
            if writeln!(input, "{}", event(number)).is_err() {
                break;
            }
        }
    });
    let output = BufReader::new(child.stdout.take().unwrap());
    let pid = child.id();
    let (began, started) = std::sync::mpsc::sync_channel(1);
    let killer = std::thread::spawn(move || {
        if started.recv().is_ok() {
            std::thread::sleep(delay(kill));
        }
        // A process may be killed at any instant; only the kernel's answer to the signal counts.
        let _killed_or_gone = Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
    });
    let mut number = first;
    for line in output.lines() {
        let Ok(line) = line else { break };
        // The last line may be cut by the kill: what is not a whole receipt was not acknowledged to anybody.
        let Ok(receipt) = serde_json::from_str::<Value>(&line) else { break };
        let (Some(position), Some(leaf)) = (receipt["position"].as_u64(), receipt["leaf_hash"].as_str())
        else {
            panic!("no receipt: {line}");
        };
        match acknowledged.get(&number) {
            None => {
                acknowledged.insert(number, (position, leaf.to_owned()));
            }
            Some((before, hash)) => {
                assert_eq!((*before, hash.as_str()), (position, leaf), "a retry of event {number} moved");
            }
        }
        if number == first {
            let _killer_waits = began.send(());
        }
        number += 1;
    }
    drop(began);
    killer.join().unwrap();
    drop(child.wait());
    feeder.join().unwrap();
    number
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_sigkill() {
    let kills: u64 =
        std::env::var("WAAG_CRASH_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(40);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    run(&data, &["init", "--json"]);
    let began = Instant::now();
    let mut acknowledged = Acknowledged::new();
    let mut next = 0;
    for kill in 0..kills {
        // Some events of the last run are sent again: the acknowledged ones must answer as before.
        let first = u64::saturating_sub(next, 50);
        next = run_and_kill(&data, first, kill, &mut acknowledged).max(next);
    }
    assert!(next > kills, "the program records under load: {next} events in {kills} runs");
    let report = run(&data, &["verify", "--json"]);
    assert_eq!(report["ok"], Value::Bool(true), "{report}");
    let entries = report["entries"].as_u64().unwrap();
    let positions: std::collections::BTreeSet<u64> =
        acknowledged.values().map(|(position, _)| *position).collect();
    assert_eq!(positions.len(), acknowledged.len(), "no two events share a position");
    assert!(positions.last().is_none_or(|last| *last < entries));
    let found = read_back(&data);
    for (number, (position, leaf)) in &acknowledged {
        assert_eq!(found.get(number), Some(&(*position, leaf.clone())), "event {number}");
    }
    println!(
        "{kills} kills, {} acknowledged, {entries} recorded, {} unacknowledged but whole, in {:.1} s",
        acknowledged.len(),
        entries - acknowledged.len() as u64,
        began.elapsed().as_secs_f64()
    );
}

/// Every recorded event by its number; fails where one is there twice.
fn read_back(data: &Path) -> Acknowledged {
    let mut child = waag(data).args(["read", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut found = Acknowledged::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let entry: Value = serde_json::from_str(&line).expect("a line of JSON");
        let event = entry.get("event").unwrap_or(&entry);
        let Some(number) = event["data"]["n"].as_u64().filter(|_| event["source"] == "/crash") else {
            continue;
        };
        let place = (entry["position"].as_u64().unwrap(), entry["leaf_hash"].as_str().unwrap().to_owned());
        assert_eq!(found.insert(number, place), None, "event {number} is there twice");
    }
    assert!(child.wait().unwrap().success());
    found
}
