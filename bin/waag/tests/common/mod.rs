//! The real program in a folder of its own.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use waag_stdx::clock::{Clock, SystemClock};

/// A folder in which the program runs.
pub(crate) struct Folder(tempfile::TempDir);

/// What one run came to.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error; shown where a check fails.
    pub(crate) err: String,
}

impl Ran {
    /// Standard output as JSON lines.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Standard output as one JSON object.
    pub(crate) fn json(&self) -> Value {
        let lines = self.lines();
        assert_eq!(lines.len(), 1, "{self:?}");
        lines.into_iter().next().unwrap()
    }

    /// Checks the exit code.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

/// Waits where a day of UTC is about to end: keys, quotas and figures are by days, and a test's few seconds by one.
fn no_day_ends_soon() {
    let now = SystemClock::new().now().0.div_euclid(1_000_000_000);
    let left = 86_400 - now.rem_euclid(86_400);
    if left < 20 {
        std::thread::sleep(std::time::Duration::from_secs(left.unsigned_abs() + 1));
    }
}

impl Folder {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        no_day_ends_soon();
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder with a store.
    pub(crate) fn with_store() -> Self {
        let folder = Self::new();
        folder.run(&["init"]).exits(0);
        folder
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// The program with arguments, not started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waag"));
        command.current_dir(self.0.path()).env_remove("WAAG_PASSPHRASE").args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs the program.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        ran(&self.command(arguments).output().unwrap())
    }

    /// Runs the program with an input.
    pub(crate) fn feed(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        ran(&output)
    }

    /// Every file of the store with its bytes.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        collect(self.0.path(), &mut found);
        found.sort();
        found
    }
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
}

fn ran(output: &std::process::Output) -> Ran {
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout.clone()).unwrap(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// An event of nobody's.
pub(crate) fn event(number: u64) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"e{number}","source":"/t","type":"t.x","data":{{"n":{number},"x":1.50}}}}"#
    )
}

/// Many events, one a line.
pub(crate) fn events(numbers: std::ops::Range<u64>) -> String {
    numbers.map(|number| event(number) + "\n").collect()
}
