//! What the commands about deliveries have in common: asking the node, following a job, and the form of what is shown.
//!
//! Deliveries are the work of a running node, so these commands ask it and open no store themselves.
//! Not here: which dead letters are meant (`which`), the commands (`subscription`, `dead_letter`, `replay`, `pull`), what is
//! done (`flow/router`).

pub(super) mod which;

use std::fmt;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::de::DeserializeOwned;
use waag_model::text::in_line;
use waag_model::time::UtcNanos;
use waag_router::error::RouterError;
use waag_router::shown::{FailureShown, JobKind, JobShown, JobState};

use super::explain;
use super::failure::{CliError, Exit, Failure};
use super::input::Input;
use super::output::{Output, tell};
use super::setting::Setting;
use crate::node::deliveries::held::Head;
use crate::node::deliveries::{Asked, Given, Part, Refused};
use crate::store::beside::{AskError, ask_doors};

/// The wait between two looks at a job, in milliseconds.
const FOLLOW_MS: u64 = 250;
/// Longest secret that is read from a file, in bytes.
const SECRET_BYTES_MAX: usize = 4_096;

/// Why a node could not be asked, or gave no answer.
#[derive(Debug)]
pub(super) enum NodeAskError {
    /// No node runs on this store; what the process said that writes it, if there is one.
    NoNode(Option<String>),
    /// Its answer cannot be understood, or there was none.
    NoAnswer(String),
}

impl NodeAskError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoNode(_) => "E1190",
            Self::NoAnswer(_) => "E1191",
        }
    }
}

impl fmt::Display for NodeAskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNode(None) => {
                write!(
                    f,
                    "deliveries and bridges are a running node's, and none runs on this store (`waag serve`)"
                )
            }
            Self::NoNode(Some(why)) => {
                write!(
                    f,
                    "deliveries and bridges are a running node's, and the process that writes this store said: {why}"
                )
            }
            Self::NoAnswer(why) => write!(f, "the node gave no answer that can be understood: {why}"),
        }
    }
}

impl From<NodeAskError> for Failure {
    fn from(error: NodeAskError) -> Self {
        Self { code: error.code(), reason: error.to_string(), exit: Exit::Environment }
    }
}

impl From<RouterError> for Failure {
    fn from(error: RouterError) -> Self {
        let exit = if error.is_the_callers_fault() { Exit::Usage } else { Exit::Environment };
        Self { code: error.code(), reason: error.to_string(), exit }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let Refused { code, reason, callers } = refused;
        match explain::known(&code) {
            Some(code) => Self { code, reason, exit: if callers { Exit::Usage } else { Exit::Environment } },
            // A node of another version has codes that this program does not know.
            None => NodeAskError::NoAnswer(format!("{code}: {reason}")).into(),
        }
    }
}

fn no_answer(why: impl fmt::Display) -> Failure {
    NodeAskError::NoAnswer(why.to_string()).into()
}

/// Asks the node that has this store open, and puts the pieces of its answer together.
pub(super) fn ask<T: DeserializeOwned>(setting: &Setting, asked: &Asked) -> Result<T, Failure> {
    let place = setting.place()?;
    let mut question = serde_json::to_string(asked).map_err(no_answer)?;
    let mut whole = String::new();
    loop {
        let told = match ask_doors(&place, &question) {
            Ok(Some(told)) => told,
            Ok(None) => return Err(NodeAskError::NoNode(None).into()),
            Err(AskError::Refused(why)) => return Err(NodeAskError::NoNode(Some(why)).into()),
            Err(AskError::NoAnswer(error)) => return Err(no_answer(error)),
        };
        let (head, piece) = told.split_once('\n').ok_or_else(|| no_answer("it has no head"))?;
        whole.push_str(piece);
        match serde_json::from_str(head).map_err(no_answer)? {
            Head::Last => return serde_json::from_str(&whole).map_err(no_answer),
            Head::Refused(refused) => return Err(refused.into()),
            Head::Held { answer, next } if next == whole.len() => {
                let more = Asked::More { answer, from: next };
                question = serde_json::to_string(&more).map_err(no_answer)?;
            }
            Head::Held { .. } => return Err(no_answer("its pieces do not fit together")),
        }
    }
}

/// Asks for a list until there is no more of it; `behind` asks for what is behind an item.
pub(super) fn ask_all<T: DeserializeOwned>(
    setting: &Setting,
    first: Asked,
    behind: impl Fn(&T) -> Asked,
    mut each: impl FnMut(T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut asked = first;
    loop {
        let Part { items, more } = ask::<Part<T>>(setting, &asked)?;
        let next = items.last().filter(|_| more).map(&behind);
        items.into_iter().try_for_each(&mut each)?;
        match next {
            Some(next) => asked = next,
            None => return Ok(()),
        }
    }
}

/// Who asks, as text.
pub(super) fn by(setting: &Setting) -> Result<String, Failure> {
    Ok(setting.actor()?.as_str().to_owned())
}

/// The first line of a file, `-` for standard input, as a target's secret.
pub(super) fn read_secret(path: Option<&std::path::PathBuf>) -> Result<Option<Given>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let bytes = zeroize::Zeroizing::new(Input::of(path).up_to(SECRET_BYTES_MAX)?);
    let line = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    match std::str::from_utf8(line) {
        Ok(line) if !line.is_empty() && line.len() < SECRET_BYTES_MAX => {
            Ok(Some(Given(zeroize::Zeroizing::new(line.to_owned()))))
        }
        Ok(_) | Err(_) => {
            Err(CliError::Usage(format!("the first line of `{}` is no secret", path.display())).into())
        }
    }
}

/// A point in time to the second.
pub(super) fn second(at_ns: i64) -> String {
    let text = UtcNanos(at_ns).to_string();
    format!("{}Z", text.get(..19).unwrap_or(&text))
}

/// A number and what is counted.
pub(super) fn many(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A failure in one line.
pub(super) fn failure_text(failure: &FailureShown) -> String {
    let FailureShown { class, code, reason, response } = failure;
    let answer = if response.is_empty() { String::new() } else { format!(": {}", in_line(response)) };
    format!("{class}  {code}  {}{answer}", in_line(reason))
}

/// Lines under a head, each column as wide as its widest; columns whose head begins with a space are numbers.
pub(super) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let width = |at: usize, head: &str| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain([head.trim().chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<(usize, bool)> =
        heads.iter().enumerate().map(|(at, head)| (width(at, head), head.starts_with(' '))).collect();
    let head = heads.iter().map(|head| head.trim().to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (cell, &(width, is_number)) in row.iter().zip(&widths) {
            match is_number {
                true => line.push_str(&format!("{cell:>width$}  ")),
                false => line.push_str(&format!("{cell:<width$}  ")),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn kind_name(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Redrive => "redrive",
        JobKind::Discard => "discard",
        JobKind::Replay => "replay",
    }
}

fn state_name(state: JobState) -> &'static str {
    match state {
        JobState::Running => "running",
        JobState::Done => "done",
        JobState::Cancelled => "cancelled",
    }
}

/// A job in one line.
pub(super) fn job_line(job: &JobShown) -> String {
    let JobShown { number, subscription, done, total, succeeded, failed, waits, by, .. } = job;
    let (kind, state) = (kind_name(job.kind), state_name(job.state));
    let outcome = match job.kind {
        JobKind::Discard => "discarded",
        JobKind::Redrive | JobKind::Replay => "delivered",
    };
    let reason = if job.reason.is_empty() { String::new() } else { format!("  {}", in_line(&job.reason)) };
    let started = second(job.started_ns);
    format!(
        "job {number}  {kind}  {subscription}  {state}  {done} of {total}, {succeeded} {outcome}, {failed} failed, {waits} \
         waiting  {started}  {by}{reason}\n"
    )
}

/// Shows a job that was begun; where it is followed, when it has ended.
pub(super) fn show_job(
    setting: &Setting,
    job: JobShown,
    follows: bool,
    output: &mut Output,
) -> Result<Exit, Failure> {
    if follows {
        return follow(setting, job, output);
    }
    output.answer(&job, || job_line(&job))?;
    if !output.is_json() && job.state == JobState::Running {
        let number = job.number;
        tell(&format!("note: `waag dead-letter jobs {number}` says how far it is"));
    }
    Ok(Exit::Done)
}

/// Looks at a job until it has ended. It is the node's: who ends this command does not end the job.
fn follow(setting: &Setting, mut job: JobShown, output: &mut Output) -> Result<Exit, Failure> {
    let bar = job_bar(job.total);
    while job.state == JobState::Running {
        bar.set_position(job.done);
        bar.set_message(format!("{} failed, {} waiting", job.failed, job.waits));
        std::thread::sleep(Duration::from_millis(FOLLOW_MS));
        job = ask(setting, &Asked::Job { number: job.number })?;
    }
    bar.finish_and_clear();
    output.answer(&job, || job_line(&job))?;
    let is_whole = job.state == JobState::Done && job.failed == 0;
    Ok(if is_whole { Exit::Done } else { Exit::Refused })
}

/// A bar where there is a terminal; jobs are held to a rate, so that few events take long too.
fn job_bar(total: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(5));
    match ProgressStyle::with_template("{bar:40} {human_pos} of {human_len}, {msg}, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_straight_columns_and_numbers_to_the_right() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let text =
            table(&["name", " lag", "target"], &[row(["a", "1", "x y"]), row(["längst", "1000000", "z"])]);
        assert_eq!(text, "name        lag  target\na             1  x y\nlängst  1000000  z\n");
        assert_eq!(table(&["name", " lag"], &[]), "name  lag\n");
    }

    #[test]
    fn a_text_of_others_changes_nothing_on_a_terminal() {
        let failure = FailureShown {
            class: "terminal".to_owned(),
            code: "E1160".to_owned(),
            reason: "no\nanswer".to_owned(),
            response: "\u{7}bad".to_owned(),
        };
        assert_eq!(failure_text(&failure), "terminal  E1160  no answer:  bad");
    }

    #[test]
    fn times_are_shown_to_the_second() {
        assert_eq!(second(1_000_000_000_999_999_999), "2001-09-09T01:46:40Z");
        assert_eq!(second(i64::MIN), "1677-09-21T00:12:43Z");
    }

    #[test]
    fn a_refusal_of_the_node_fails_with_its_own_code() {
        let refused = |code: &str, callers| {
            let (code, reason) = (code.to_owned(), "why".to_owned());
            let failure = Failure::from(Refused { code, reason, callers });
            (failure.code, failure.exit, failure.reason)
        };
        assert_eq!(refused("E1100", true), ("E1100", Exit::Usage, "why".to_owned()));
        assert_eq!(refused("E1100", false).1, Exit::Environment);
        let (code, exit, reason) = refused("E9998", true);
        assert_eq!((code, exit), ("E1191", Exit::Environment));
        assert!(reason.contains("E9998: why"), "{reason}");
    }
}
