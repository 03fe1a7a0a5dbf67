//! What a step of the test command gave, and the summary that adds it all up.
//!
//! The last line of a run is `N passed, N failed, N skipped`, for people and scripts alike: it sums tests, and a step
//! that failed or was skipped without telling numbers of tests counts as one, so `0 failed` is said only of a clean run.

use std::fmt::Write as _;

/// Numbers of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tests that ran and held.
    pub(crate) passed: u64,
    /// Tests that ran and did not hold, or did not end.
    pub(crate) failed: u64,
    /// Tests that did not run.
    pub(crate) skipped: u64,
}

impl Counts {
    /// Adds other numbers to these.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It ran and holds.
    Passed,
    /// It ran and does not hold, or could not run though it must.
    Failed(String),
    /// It did not run, and may be left out.
    Skipped(String),
}

/// A step that is over.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// The step's name.
    pub(crate) step: &'static str,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Tests that it ran.
    pub(crate) tests: Counts,
    /// The last lines of its output.
    pub(crate) tail: Vec<String>,
}

/// Who runs the tests; each has its own lines, and repeats what a failing test printed, the other's lines included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runner {
    /// `cargo nextest run`.
    Nextest,
    /// `cargo test`.
    Cargo,
}

impl Runner {
    /// Reads one line of output; the runner's summary gives numbers, all else nothing.
    pub(crate) fn counts_in(self, line: &str) -> Option<Counts> {
        match self {
            Self::Nextest => {
                let (_, numbers) = line.trim_start().strip_prefix("Summary [")?.split_once(" run: ")?;
                Some(numbers_in(&without_parentheses(numbers), ','))
            }
            Self::Cargo => Some(numbers_in(line.strip_prefix("test result: ")?.split_once(". ")?.1, ';')),
        }
    }

    /// A line about one test: whether it passed (true) or was left out (false), and its name.
    pub(crate) fn test_in(self, line: &str) -> Option<(bool, &str)> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (self, words.as_slice()) {
            (Self::Nextest, ["PASS", time, .., name]) if time.starts_with('[') => Some((true, name)),
            (Self::Nextest, ["SKIP", time, .., name]) if time.starts_with('[') => Some((false, name)),
            (Self::Cargo, ["test", name, "...", "ok"]) => Some((true, name)),
            (Self::Nextest | Self::Cargo, _) => None,
        }
    }
}

/// `9 passed, 1 failed, 1 timed out, 2 skipped` in whatever order.
fn numbers_in(text: &str, separator: char) -> Counts {
    let mut counts = Counts::default();
    for part in text.split(separator) {
        let Some((number, word)) = part.trim().split_once(' ') else {
            continue;
        };
        let Ok(number) = number.parse::<u64>() else {
            continue;
        };
        match word.trim() {
            "passed" => counts.passed += number,
            "failed" | "timed out" | "exec failed" | "not run" => counts.failed += number,
            "skipped" | "ignored" | "filtered out" => counts.skipped += number,
            _ => {}
        }
    }
    counts
}

fn without_parentheses(text: &str) -> String {
    let mut depth = 0_usize;
    let mut kept = String::new();
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => kept.push(c),
            _ => {}
        }
    }
    kept
}

/// The whole run in numbers.
pub(crate) fn total(reports: &[Report]) -> Counts {
    let mut total = Counts::default();
    for report in reports {
        total.add(report.tests);
        match report.outcome {
            Outcome::Failed(_) if report.tests.failed == 0 => total.failed += 1,
            Outcome::Skipped(_) if report.tests.skipped == 0 => total.skipped += 1,
            Outcome::Passed | Outcome::Failed(_) | Outcome::Skipped(_) => {}
        }
    }
    total
}

/// The closing text: tails of what failed, the table, the numbers.
pub(crate) fn summary(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports.iter().filter(|report| matches!(report.outcome, Outcome::Failed(_))) {
        let _ = writeln!(text, "\n---- {}: the last {} lines", report.step, report.tail.len());
        for line in &report.tail {
            let _ = writeln!(text, "{line}");
        }
    }
    let _ = writeln!(text, "\n{:<14} {:<8} {:>8}  remark", "step", "result", "seconds");
    for report in reports {
        let (result, remark) = match &report.outcome {
            Outcome::Passed => ("passed", ""),
            Outcome::Failed(why) => ("FAILED", why.as_str()),
            Outcome::Skipped(why) => ("skipped", why.as_str()),
        };
        let line = format!("{:<14} {result:<8} {:>8.1}  {remark}", report.step, report.seconds);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let seconds: f64 = reports.iter().map(|report| report.seconds).sum();
    let Counts { passed, failed, skipped } = total(reports);
    let _ = write!(
        text,
        "{:<14} {:<8} {seconds:>8.1}\n\n{passed} passed, {failed} failed, {skipped} skipped",
        "all", ""
    );
    text
}

#[cfg(test)]
mod tests {
    use super::{Counts, Outcome, Report, Runner, summary, total};

    fn counts(passed: u64, failed: u64, skipped: u64) -> Counts {
        Counts { passed, failed, skipped }
    }

    fn report(outcome: Outcome, tests: Counts) -> Report {
        Report { step: "tests", outcome, seconds: 1.0, tests, tail: vec!["assertion".to_owned()] }
    }

    #[test]
    fn summaries_of_both_runners_are_read() {
        for (line, expected) in [
            (
                "     Summary [   5.003s] 10 tests run: 9 passed (1 slow, 1 leaky), 1 failed, 2 skipped",
                counts(9, 1, 2),
            ),
            (
                "     Summary [   0.003s] 3/4 tests run: 1 passed, 1 timed out, 1 exec failed, 0 skipped",
                counts(1, 2, 0),
            ),
            ("     Summary [   0.003s] 1 test run: 1 passed, 0 skipped", counts(1, 0, 0)),
        ] {
            assert_eq!(Runner::Nextest.counts_in(line), Some(expected), "{line}");
            assert_eq!(Runner::Cargo.counts_in(line), None, "{line}");
        }
        for (line, expected) in [
            (
                "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s",
                counts(3, 0, 3),
            ),
            (
                "test result: FAILED. 0 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out",
                counts(0, 4, 0),
            ),
        ] {
            assert_eq!(Runner::Cargo.counts_in(line), Some(expected), "{line}");
            assert_eq!(
                Runner::Nextest.counts_in(line),
                None,
                "{line}: nextest repeats it, indented, for a failing test"
            );
        }
        assert_eq!(Runner::Cargo.counts_in("test frame::passed ... ok"), None);
        assert_eq!(Runner::Nextest.counts_in("10 passed, 0 failed"), None);
    }

    #[test]
    fn lines_of_both_runners_name_their_tests() {
        let nextest = |line| Runner::Nextest.test_in(line);
        assert_eq!(
            nextest("        PASS [   0.004s] (1/9) waag-entry cbor::fuzz_corpus_entry"),
            Some((true, "cbor::fuzz_corpus_entry"))
        );
        assert_eq!(
            nextest("        SKIP [         ] waag-files::faults needs_strace_commit"),
            Some((false, "needs_strace_commit"))
        );
        assert_eq!(nextest("        FAIL [   0.004s] waag-entry cbor::fuzz_corpus_entry"), None);
        assert_eq!(nextest("    test cbor::fuzz_corpus_entry ... ok"), None);
        assert_eq!(
            Runner::Cargo.test_in("test cbor::fuzz_corpus_entry ... ok"),
            Some((true, "cbor::fuzz_corpus_entry"))
        );
        assert_eq!(Runner::Cargo.test_in("test cbor::fuzz_corpus_entry ... FAILED"), None);
    }

    #[test]
    fn a_failed_step_is_never_counted_as_nothing() {
        let reports = [
            report(Outcome::Passed, counts(5, 0, 1)),
            report(Outcome::Failed("x".to_owned()), counts(0, 0, 0)),
            report(Outcome::Failed("x".to_owned()), counts(2, 3, 0)),
            report(Outcome::Skipped("x".to_owned()), counts(0, 0, 0)),
        ];
        assert_eq!(total(&reports), counts(7, 4, 2));
    }

    #[test]
    fn the_summary_shows_tails_of_failures_and_ends_with_the_numbers() {
        let text = summary(&[report(Outcome::Failed("1 test".to_owned()), counts(2, 1, 0))]);
        assert!(text.contains("assertion"));
        assert!(text.contains("FAILED"));
        assert_eq!(text.lines().last(), Some("2 passed, 1 failed, 0 skipped"));
        let clean = summary(&[report(Outcome::Passed, counts(2, 0, 0))]);
        assert!(!clean.contains("assertion"));
    }
}
