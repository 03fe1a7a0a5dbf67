//! Programs of `testing/` behind short names: the benchmarks and the simulator, always in a release build.

use std::path::Path;

use crate::process;

/// The benchmarks by name.
const BENCHES: [(&str, &str); 8] = [
    (
        "core",
        "append, acknowledge, verify and open: throughput, latency, processor time and memory of the evidence core",
    ),
    (
        "ingest",
        "a whole node over HTTP: events acknowledged and projected, latency, processor time by stage, memory",
    ),
    ("views", "projecting to SQLite: rate, processor time, memory"),
    ("pages", "every page, named filter and further page over a large read model: how long each takes"),
    ("router", "which subscriptions an event concerns: events per second and core, few rules and many"),
    ("evidence", "a proof in a tree of 100 million entries; what the scrubber costs those who record"),
    ("bare", "a server that takes anything and does nothing: what HTTP alone costs on this machine"),
    ("visible", "from an acknowledgement to the open page that shows it, on a running node"),
];

/// `cargo xtask bench [NAME ARGS…]`.
pub(crate) fn bench(root: &Path, words: &[&str]) -> anyhow::Result<bool> {
    let Some(name) = words.first() else {
        for (name, description) in BENCHES {
            println!("{name:<8} {description}");
        }
        return Ok(true);
    };
    anyhow::ensure!(
        BENCHES.iter().any(|(known, _)| known == name),
        "`{name}` is not a benchmark; `cargo xtask bench` lists them"
    );
    // A benchmark of a whole node starts the program beside itself.
    let mut program = process::cargo(root);
    program.args(["build", "--quiet", "--release", "--package", "waag", "--package", "waag-verify"]);
    Ok(process::hand_over(program)? && run(root, &["--package", "waag-bench"], words)?)
}

/// `cargo xtask sim [ARGS…]`.
pub(crate) fn simulator(root: &Path, words: &[&str]) -> anyhow::Result<bool> {
    run(root, &["--package", "waag-sim", "--bin", "waag-sim"], words)
}

/// `cargo xtask crash [KILLS]`: the crash loop of `waag`'s own tests, on a release build.
pub(crate) fn crash(root: &Path, kills: &str) -> anyhow::Result<bool> {
    anyhow::ensure!(kills.parse::<u32>().is_ok_and(|kills| kills > 0), "`{kills}` is not a number of kills");
    let mut command = process::cargo(root);
    command.args([
        "test",
        "--quiet",
        "--release",
        "--package",
        "waag",
        "--test",
        "crash_loop",
        "--",
        "--nocapture",
    ]);
    command.env("WAAG_CRASH_KILLS", kills);
    process::hand_over(command)
}

fn run(root: &Path, program: &[&str], words: &[&str]) -> anyhow::Result<bool> {
    let mut command = process::cargo(root);
    command.args(["run", "--quiet", "--release"]).args(program).arg("--").args(words);
    process::hand_over(command)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{bench, crash};

    #[test]
    fn only_known_benchmarks_are_started() {
        assert!(bench(Path::new("."), &["cor"]).is_err());
        assert!(bench(Path::new("."), &[]).unwrap());
    }

    #[test]
    fn a_crash_loop_needs_a_number() {
        assert!(crash(Path::new("."), "many").is_err());
        assert!(crash(Path::new("."), "0").is_err());
    }
}
