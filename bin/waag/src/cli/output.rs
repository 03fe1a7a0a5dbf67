//! Where answers go: standard output for answers, standard error for everything about them.
//!
//! With `--json` every line on standard output is one JSON object, also the one that says why a command failed.

use std::io::{self, BufWriter, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::failure::{CliError, Failure};

/// Inputs from this size on have a progress bar, in bytes or entries.
const PROGRESS_MIN: u64 = 1_000_000;

/// The two streams.
pub(crate) struct Output {
    stdout: BufWriter<io::Stdout>,
    json: bool,
    /// Nobody reads standard output any more, which is theirs to decide.
    closed: bool,
}

/// An error as programs read it.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorJson<'a> {
    pub(crate) code: &'a str,
    pub(crate) reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<&'a str>,
}

#[derive(Serialize)]
struct FailureJson<'a> {
    error: ErrorJson<'a>,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { stdout: BufWriter::new(io::stdout()), json, closed: false }
    }

    /// Whether programs read this.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// One JSON object as a line.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let written = serde_json::to_writer(&mut self.stdout, value).map_err(io::Error::from);
        let written = written.and_then(|()| self.stdout.write_all(b"\n"));
        self.written(written)
    }

    /// Text as it is.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.stdout.write_all(bytes);
        self.written(written)
    }

    /// JSON for programs, text for people.
    pub(crate) fn answer(
        &mut self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json { self.json(value) } else { self.text(&text()) }
    }

    /// Hands everything written on.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        let written = self.stdout.flush();
        self.written(written)
    }

    fn written(&mut self, written: io::Result<()>) -> Result<(), Failure> {
        written.map_err(|error| {
            self.closed |= error.kind() == io::ErrorKind::BrokenPipe;
            CliError::Output(error).into()
        })
    }

    /// Says why a command failed; what cannot be written is lost, since there is nobody left to tell.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        let Failure { code, reason, .. } = failure;
        if self.json {
            let reason = reason.as_str();
            drop(self.json(&FailureJson { error: ErrorJson { code, reason, path: None } }));
        }
        drop(self.flush());
        if self.closed {
            return;
        }
        // clap's own texts begin with `error:` and say what is right.
        match reason.strip_prefix("error: ") {
            Some(text) => tell(&format!("error {code}: {}", text.trim_end())),
            None => tell(&format!("error {code}: {reason}\nhint: waag explain {code}")),
        }
    }
}

/// A line on standard error.
pub(crate) fn tell(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// A progress bar where there is a terminal and enough to wait for; `unit` is `bytes` or another word.
pub(crate) fn progress(total: Option<u64>, unit: &str) -> ProgressBar {
    let worth = total.is_none_or(|total| total >= PROGRESS_MIN);
    if !worth || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(5));
    let count = if unit == "bytes" {
        "{bytes} of {total_bytes}, {bytes_per_sec}"
    } else {
        "{human_pos} of {human_len}"
    };
    let template = match total {
        Some(_) => format!("{{bar:40}} {count}, {{eta}} left"),
        None if unit == "bytes" => "{spinner} {bytes}, {bytes_per_sec}".to_owned(),
        None => format!("{{spinner}} {{human_pos}} of {{human_len}} {unit}"),
    };
    match ProgressStyle::with_template(&template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
