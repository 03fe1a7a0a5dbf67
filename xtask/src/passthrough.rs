//! Programs of `testing/` behind short names: the benchmarks and the simulator, always in a release build.

use std::path::Path;

use crate::process;

/// The benchmarks by name.
const BENCHES: [(&str, &str); 1] = [(
    "core",
    "append, acknowledge, verify and open: throughput, latency, processor time and memory of the evidence core",
)];

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
    run(root, &["--package", "waag-bench"], words)
}

/// `cargo xtask sim [ARGS…]`.
pub(crate) fn simulator(root: &Path, words: &[&str]) -> anyhow::Result<bool> {
    run(root, &["--package", "waag-sim", "--bin", "waag-sim"], words)
}

fn run(root: &Path, program: &[&str], words: &[&str]) -> anyhow::Result<bool> {
    let mut command = process::cargo(root);
    command.args(["run", "--quiet", "--release"]).args(program).arg("--").args(words);
    process::hand_over(command)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::bench;

    #[test]
    fn only_known_benchmarks_are_started() {
        assert!(bench(Path::new("."), &["cor"]).is_err());
        assert!(bench(Path::new("."), &[]).unwrap());
    }
}
