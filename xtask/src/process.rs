//! Starting other programs: their output is shown as it comes, its end is kept, and time is taken.
//!
//! This is the one place of the house-keeper that reads a clock.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::Context as _;

/// How much of a program's output is kept for the closing summary.
const TAIL_LINES_MAX: usize = 60;

/// A program that has ended.
pub(crate) struct Finished {
    /// Whether it said that all is well.
    pub(crate) ok: bool,
    /// Its last lines, without colours.
    pub(crate) tail: Vec<String>,
}

/// Measures the time since it was made.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    #[expect(
        clippy::disallowed_methods,
        reason = "the duration of a step is shown to a person and decides nothing"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since the start.
    pub(crate) fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// The folder into which `needs` puts programs that it brings: beside what is compiled, so that it is kept where that is.
pub(crate) fn tools_folder(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty());
    root.join(target.unwrap_or_else(|| "target".into())).join("needs")
}

/// A program to be run in the root of the checkout, with the brought tools on its path.
pub(crate) fn program(name: &str, root: &Path) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root).env("PATH", search_path(root));
    command
}

/// Cargo, without what `cargo run` told this very program: a changed environment makes build scripts run again.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = program("cargo", root);
    for (name, _) in std::env::vars_os() {
        let told = name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
        if told || name == "CARGO" || name == "LD_LIBRARY_PATH" {
            command.env_remove(name);
        }
    }
    if std::env::var_os("CARGO_TERM_COLOR").is_none() {
        command.env("CARGO_TERM_COLOR", if std::io::stdout().is_terminal() { "always" } else { "never" });
    }
    command
}

/// The folders in which programs are looked for, the brought ones last.
pub(crate) fn search_path(root: &Path) -> OsString {
    let own = tools_folder(root).join("bin");
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&inherited).chain(std::iter::once(own));
    // A folder with a colon in its name cannot be on a path at all; then the brought tools are not found.
    std::env::join_paths(folders).unwrap_or(inherited)
}

/// Whether a program of this name can be found.
pub(crate) fn is_present(name: &str, root: &Path) -> bool {
    std::env::split_paths(&search_path(root)).any(|folder| folder.join(name).is_file())
}

/// Runs a program, prints its lines as they come, and gives each without colours to `watch`.
pub(crate) fn run(mut command: Command, watch: &mut dyn FnMut(&str)) -> anyhow::Result<Finished> {
    println!("\n$ {}", shown(&command));
    let name = command.get_program().to_string_lossy().into_owned();
    let (reader, writer) = std::io::pipe().context("no pipe")?;
    let errors = writer.try_clone().context("no pipe")?;
    let mut child = command
        .stdin(std::process::Stdio::null())
        .stdout(writer)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("`{name}` cannot be started"))?;
    drop(command); // it holds our ends of the pipe, and reading ends only when all are closed
    let mut tail = VecDeque::new();
    let mut lines = BufReader::new(reader);
    let mut bytes = Vec::new();
    while lines.read_until(b'\n', &mut bytes).context("the output cannot be read")? > 0 {
        let line = String::from_utf8_lossy(&bytes);
        println!("{}", line.trim_end());
        let plain = without_colours(line.trim_end());
        watch(&plain);
        if tail.len() == TAIL_LINES_MAX {
            tail.pop_front();
        }
        tail.push_back(plain);
        bytes.clear();
    }
    let status = child.wait().with_context(|| format!("`{name}` was lost"))?;
    Ok(Finished { ok: status.success(), tail: tail.into() })
}

/// Runs a program with this program's own input and output; whether it said that all is well.
pub(crate) fn hand_over(mut command: Command) -> anyhow::Result<bool> {
    let status = command.status().with_context(|| format!("`{}` cannot be started", shown(&command)))?;
    Ok(status.success())
}

/// The command line as a person would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The line without ANSI control sequences (ECMA-48, CSI … final byte).
fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        if c != '\u{1b}' {
            plain.push(c);
            continue;
        }
        // `ESC [ … letter`, or `ESC` and one more character.
        if characters.next() == Some('[') {
            characters.by_ref().find(|c| ('@'..='~').contains(c));
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{TAIL_LINES_MAX, is_present, program, run, without_colours};

    fn shell(script: &str) -> std::process::Command {
        let mut command = program("sh", Path::new("."));
        command.args(["-c", script]);
        command
    }

    #[test]
    fn colours_are_taken_off() {
        assert_eq!(without_colours("\u{1b}[32;1m  PASS\u{1b}[0m a\u{1b}(b"), "  PASS ab");
    }

    #[test]
    fn both_streams_are_watched_and_the_status_is_told() {
        let mut seen = Vec::new();
        let good = run(shell("echo one; echo two >&2"), &mut |line| seen.push(line.to_owned())).unwrap();
        assert!(good.ok);
        assert_eq!(seen, ["one", "two"]);
        assert!(!run(shell("exit 3"), &mut |_| {}).unwrap().ok);
        assert!(run(program("no-such-program", Path::new(".")), &mut |_| {}).is_err());
    }

    #[test]
    fn only_the_end_is_kept() {
        let script =
            format!("i=0; while [ $i -lt {} ]; do i=$((i+1)); echo line $i; done", TAIL_LINES_MAX + 5);
        let finished = run(shell(&script), &mut |_| {}).unwrap();
        assert_eq!(finished.tail.len(), TAIL_LINES_MAX);
        assert_eq!(finished.tail[0], "line 6");
    }

    #[test]
    fn presence_is_by_name() {
        assert!(is_present("sh", Path::new(".")));
        assert!(!is_present("no-such-program", Path::new(".")));
    }
}
