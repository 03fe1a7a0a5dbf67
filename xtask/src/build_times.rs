//! How long `waag` takes to build, cold and warm, as a row of the table in docs/benchmarks.md.
//!
//! Cold is an empty target folder with every dependency already downloaded; warm is a change to the lowest crate,
//! `waag-model`, after which every crate of our own is compiled again. The folder lies under target/ and is removed.

use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context as _;

use crate::process::{self, Stopwatch};

/// The file whose change makes a build warm.
const LOWEST: &str = "crates/base/model/src/lib.rs";

/// Builds four times and prints the row.
pub(crate) fn command(root: &Path) -> anyhow::Result<bool> {
    let folder = root.join("target/build-times");
    remove(&folder)?;
    let fetched = process::run(with(root, &["fetch"]), &mut |_| {})?.ok;
    anyhow::ensure!(fetched, "the dependencies cannot be downloaded");
    let mut seconds = Vec::new();
    for profile in ["dev", "release"] {
        for warm in [false, true] {
            if warm {
                touch(&root.join(LOWEST))?;
            }
            seconds.push(build(root, &folder, profile)?);
        }
    }
    remove(&folder)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let commit = first_line(with_git(root, &["rev-parse", "--short", "HEAD"]));
    let compiler = first_line(with_rustc(root));
    println!(
        "\n| commit | compiler | cores | debug cold (s) | debug warm (s) | release cold (s) | release warm (s) |"
    );
    println!("|---|---|---|---|---|---|---|");
    println!("{}", row(&commit, &compiler, cores, &seconds));
    Ok(true)
}

/// One row of the table; times to a tenth of a second.
fn row(commit: &str, compiler: &str, cores: usize, seconds: &[f64]) -> String {
    let times: Vec<String> = seconds.iter().map(|seconds| format!("{seconds:.1}")).collect();
    format!("| {commit} | {compiler} | {cores} | {} |", times.join(" | "))
}

fn build(root: &Path, folder: &Path, profile: &str) -> anyhow::Result<f64> {
    let mut command = with(root, &["build", "--package", "waag", "--profile", profile]);
    command.env("CARGO_TARGET_DIR", folder);
    let stopwatch = Stopwatch::start();
    let finished = process::run(command, &mut |_| {})?;
    anyhow::ensure!(finished.ok, "the build failed, so its time says nothing");
    Ok(stopwatch.seconds())
}

/// Makes a file look changed without changing it.
#[expect(clippy::disallowed_methods, reason = "Cargo compares file times with the system's own clock")]
fn touch(path: &Path) -> anyhow::Result<()> {
    let file = File::options()
        .append(true)
        .open(path)
        .with_context(|| format!("`{}` cannot be opened", path.display()))?;
    file.set_modified(SystemTime::now()).context("the file's time cannot be set")
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("`{}` cannot be removed", folder.display()))?;
    }
    Ok(())
}

fn with(root: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = process::cargo(root);
    command.args(arguments);
    command
}

fn with_git(root: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = process::program("git", root);
    command.args(arguments);
    command
}

fn with_rustc(root: &Path) -> std::process::Command {
    let mut command = process::program("rustc", root);
    command.arg("--version");
    command
}

/// The first line a program prints, or a dash.
fn first_line(mut command: std::process::Command) -> String {
    let output = command.output().ok().filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("–").to_owned()
}

#[cfg(test)]
mod tests {
    use super::row;

    #[test]
    fn a_row_has_a_cell_for_each_time() {
        let row = row("abc1234", "rustc 1.95.0", 2, &[61.04, 2.0, 90.0, 3.96]);
        assert_eq!(row, "| abc1234 | rustc 1.95.0 | 2 | 61.0 | 2.0 | 90.0 | 4.0 |");
    }
}
