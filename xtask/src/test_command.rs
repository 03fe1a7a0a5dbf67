//! The one test command: every check there is, in order, each timed, none hidden by the failure of another.
//!
//! `.ci/run` calls exactly this. The last line is `N passed, N failed, N skipped`; the exit code is success only
//! when nothing failed. What the checks are is elsewhere: `tidy`, `licences`, and the tests of the crates.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::licences::Policy;
use crate::outcome::{self, Counts, Outcome, Report, Runner};
use crate::process::{self, Finished, Stopwatch};
use crate::{needs, repository, tidy};

/// How many worlds the simulator visits in a run of the test command.
const SIMULATION_SEEDS: &str = "2000";

/// The variable that property tests take their seed from.
const SEED: &str = "PROPTEST_RNG_SEED";

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Everything.
    Full,
    /// Without doc tests and simulation, which need builds of their own.
    Fast,
}

/// A run under way.
struct Run<'a> {
    root: &'a Path,
    extent: Extent,
    /// Whether gaps are failures.
    strict: bool,
    /// The folder of outside test vectors.
    data: Option<PathBuf>,
    /// The seed of generated cases; none where one was set from outside.
    seed: Option<u64>,
    /// Tools that are not there; tests named after them are left out.
    missing: Vec<&'static str>,
    /// Names of the tests that passed and replay a fuzz corpus.
    replayed: BTreeSet<String>,
}

/// What a step gives beside its time.
struct Ended {
    outcome: Outcome,
    tests: Counts,
    tail: Vec<String>,
}

impl Ended {
    fn passed() -> Self {
        Self { outcome: Outcome::Passed, tests: Counts::default(), tail: Vec::new() }
    }

    fn failed(why: impl Into<String>, tail: Vec<String>) -> Self {
        Self { outcome: Outcome::Failed(why.into()), tests: Counts::default(), tail }
    }

    fn skipped(why: impl Into<String>) -> Self {
        Self { outcome: Outcome::Skipped(why.into()), tests: Counts::default(), tail: Vec::new() }
    }
}

/// A step by name.
type Step = (&'static str, fn(&mut Run<'_>) -> anyhow::Result<Ended>);

/// The steps in order: cheap ones first, so that a slip is told early.
const STEPS: [Step; 9] = [
    ("needs", step_needs),
    ("format", |run| run.cargo_step(&["fmt", "--all", "--check"])),
    ("clippy", |run| run.cargo_step(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
    ("tidy", step_tidy),
    ("licences", step_licences),
    ("tests", step_tests),
    ("doc tests", step_doc_tests),
    ("fuzz corpora", step_fuzz_corpora),
    ("simulation", step_simulation),
];

/// Runs all steps and prints the summary; true when nothing failed.
pub(crate) fn command(root: &Path, extent: Extent) -> anyhow::Result<bool> {
    let strict = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    let data = test_data(root);
    let seed = seed_of_cases(root);
    let mut run = Run { root, extent, strict, data, seed, missing: Vec::new(), replayed: BTreeSet::new() };
    let mut reports = Vec::new();
    for (step, action) in STEPS {
        println!("\n==== {step}");
        let stopwatch = Stopwatch::start();
        // A step that could not be made has failed, and the others are still worth knowing.
        let ended = action(&mut run).unwrap_or_else(|error| Ended::failed(format!("{error:#}"), Vec::new()));
        let Ended { outcome, tests, tail } = ended;
        reports.push(Report { step, outcome, seconds: stopwatch.seconds(), tests, tail });
    }
    println!("{}", outcome::summary(&reports));
    Ok(outcome::total(&reports).failed == 0)
}

/// The seed of generated cases: that of the tree that is checked out, so that each change tries other cases while a run of
/// one change means the same everywhere and can be had again.
fn seed_of_cases(root: &Path) -> Option<u64> {
    if let Some(set) = std::env::var_os(SEED) {
        println!("{SEED} is set: {}", set.display());
        return None;
    }
    let tree = process::program("git", root).args(["rev-parse", "HEAD^{tree}"]).output().ok()?;
    let name = String::from_utf8(tree.stdout).ok()?;
    let seed = u64::from_str_radix(name.get(..16)?, 16).ok()?;
    println!("{SEED} is taken from the tree that is checked out: {seed}");
    Some(seed)
}

/// The outside vectors: where the variable says, or beside the checkout.
fn test_data(root: &Path) -> Option<PathBuf> {
    if let Some(set) = std::env::var_os("WAAG_TEST_DATA") {
        println!("WAAG_TEST_DATA is set: {}", PathBuf::from(&set).display());
        return Some(set.into());
    }
    let beside = root.parent().map(|parent| parent.join("shared/data")).filter(|folder| folder.is_dir());
    match &beside {
        Some(folder) => println!("WAAG_TEST_DATA is taken from beside the checkout: {}", folder.display()),
        None => println!(
            "WAAG_TEST_DATA is not set: tests of outside vectors check only what the repository holds"
        ),
    }
    beside
}

impl Run<'_> {
    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = process::cargo(self.root);
        command.args(arguments);
        if let Some(data) = &self.data {
            command.env("WAAG_TEST_DATA", data);
        }
        if let Some(seed) = self.seed {
            command.env(SEED, seed.to_string());
        }
        command
    }

    fn cargo_step(&self, arguments: &[&str]) -> anyhow::Result<Ended> {
        let finished = process::run(self.cargo(arguments), &mut |_| {})?;
        Ok(if finished.ok { Ended::passed() } else { Ended::failed("see above", finished.tail) })
    }

    /// Runs tests, adds up their numbers, and notes which corpora were replayed.
    fn run_tests(&mut self, runner: Runner, command: Command) -> anyhow::Result<Ended> {
        let mut tests = Counts::default();
        let mut left_out = Vec::new();
        let replayed = &mut self.replayed;
        let finished = process::run(command, &mut |line| {
            if let Some(counts) = runner.counts_in(line) {
                tests.add(counts);
            }
            match runner.test_in(line) {
                Some((true, name)) if name.contains("fuzz_corpus_") => {
                    replayed.insert(name.to_owned());
                }
                Some((false, name)) => left_out.push(name.to_owned()),
                Some((true, _)) | None => {}
            }
        })?;
        for name in left_out {
            println!("left out: {name}");
        }
        Ok(judged(finished, tests))
    }
}

/// A run of tests is good when the runner says so and ran something.
fn judged(finished: Finished, tests: Counts) -> Ended {
    let outcome = match (finished.ok, tests) {
        (true, Counts { failed: 0, .. }) => Outcome::Passed,
        (_, Counts { failed: 0, .. }) => Outcome::Failed("did not build, or ended early".to_owned()),
        (_, Counts { failed, .. }) => Outcome::Failed(format!("{failed} failed")),
    };
    Ended { outcome, tests, tail: finished.tail }
}

fn step_needs(run: &mut Run<'_>) -> anyhow::Result<Ended> {
    let missing = needs::bring(run.root)?;
    if missing.is_empty() {
        return Ok(Ended::passed());
    }
    run.missing = missing.iter().map(|missing| missing.tool).collect();
    // What the machine forbids is no gap that anybody could close.
    let fails = run.strict && missing.iter().any(|missing| !missing.forbidden);
    let lines: Vec<String> = missing.into_iter().map(|missing| missing.line).collect();
    let why = lines.join("; ");
    Ok(if fails { Ended::failed(why, lines) } else { Ended::skipped(why) })
}

fn step_tidy(run: &mut Run<'_>) -> anyhow::Result<Ended> {
    let found = tidy::command(run.root)?;
    Ok(if found.is_empty() {
        Ended::passed()
    } else {
        Ended::failed(format!("{} found", found.len()), found)
    })
}

fn step_licences(run: &mut Run<'_>) -> anyhow::Result<Ended> {
    if process::is_present("cargo-deny", run.root) {
        return run.cargo_step(&["deny", "--all-features", "check", "licenses", "bans", "sources"]);
    }
    let policy = Policy::read(&std::fs::read_to_string(run.root.join("deny.toml"))?)?;
    let packages = repository::read_packages(run.root)?.only_built(&repository::read_built(run.root)?);
    let wrong = policy.check(&packages);
    println!("cargo-deny is not installed: {} packages held to deny.toml by xtask", packages.graph.len());
    for line in &wrong {
        println!("{line}");
    }
    Ok(if wrong.is_empty() {
        Ended::passed()
    } else {
        Ended::failed(format!("{} found", wrong.len()), wrong)
    })
}

fn step_tests(run: &mut Run<'_>) -> anyhow::Result<Ended> {
    if !process::is_present("cargo-nextest", run.root) {
        let mut command = run.cargo(&["test", "--workspace", "--all-targets", "--no-fail-fast", "--"]);
        for tool in &run.missing {
            println!(
                "left out: every test with `needs_{tool}` in its name; the summary counts them as skipped"
            );
            command.args(["--skip", &format!("needs_{tool}")]);
        }
        return run.run_tests(Runner::Cargo, command);
    }
    let mut command = run.cargo(&["nextest", "run", "--workspace", "--no-fail-fast", "--no-tests", "fail"]);
    command.args(["--final-status-level", "fail"]);
    match nextest_filter(&run.missing) {
        Some(filter) => command.args(["--status-level", "skip", "--filterset", &filter]),
        None => command.args(["--status-level", "pass"]),
    };
    run.run_tests(Runner::Nextest, command)
}

/// The filter that leaves out the tests of missing tools.
fn nextest_filter(missing: &[&str]) -> Option<String> {
    let needing: Vec<String> = missing.iter().map(|tool| format!("test(needs_{tool})")).collect();
    (!needing.is_empty()).then(|| format!("not ({})", needing.join(" | ")))
}

fn step_doc_tests(run: &mut Run<'_>) -> anyhow::Result<Ended> {
    if run.extent == Extent::Fast {
        return Ok(Ended::skipped("left out by --fast"));
    }
    let command = run.cargo(&["test", "--workspace", "--doc", "--no-fail-fast"]);
    run.run_tests(Runner::Cargo, command)
}

/// Every folder of fuzz/corpus/ must have been replayed by a test named `fuzz_corpus_FOLDER`.
fn step_fuzz_corpora(run: &mut Run<'_>) -> anyhow::Result<Ended> {
    let folder = run.root.join("fuzz/corpus");
    if !folder.is_dir() {
        return Ok(Ended::skipped("there is no fuzz/corpus"));
    }
    let mut corpora = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let inputs = std::fs::read_dir(entry.path())?.count();
            corpora.push((entry.file_name().to_string_lossy().into_owned(), inputs));
        }
    }
    let wrong = unreplayed(&corpora, &run.replayed);
    println!("{} corpora, {} replaying tests passed", corpora.len(), run.replayed.len());
    Ok(if wrong.is_empty() { Ended::passed() } else { Ended::failed(wrong.join("; "), wrong) })
}

/// Corpora that no test has replayed, or that hold nothing; corpora are folder names with numbers of inputs.
fn unreplayed(corpora: &[(String, usize)], replayed: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, inputs) in corpora {
        let test = format!("fuzz_corpus_{name}");
        // The test's name ends with the folder's, so that `entry` is not taken for `entry_part`.
        if !replayed.iter().any(|replayed| replayed.ends_with(&test)) {
            wrong.push(format!("no test `{test}` passed"));
        }
        if *inputs == 0 {
            wrong.push(format!("fuzz/corpus/{name} is empty"));
        }
    }
    wrong
}

fn step_simulation(run: &mut Run<'_>) -> anyhow::Result<Ended> {
    if run.extent == Extent::Fast {
        return Ok(Ended::skipped("left out by --fast"));
    }
    let packages = repository::read_packages(run.root)?;
    let there = packages.members.iter().any(|member| member.programs.iter().any(|name| name == "waag-sim"));
    if !there {
        return Ok(Ended::skipped("testing/sim has no program `waag-sim`"));
    }
    let program = ["run", "--release", "--package", "waag-sim", "--bin", "waag-sim"];
    run.cargo_step(&[program.as_slice(), &["--", "run", "--seeds", SIMULATION_SEEDS]].concat())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Counts, Finished, Outcome, judged, nextest_filter, unreplayed};

    #[test]
    fn a_run_is_good_only_when_runner_and_numbers_agree() {
        let ended = |ok, failed| {
            let tests = Counts { passed: 1, failed, skipped: 0 };
            judged(Finished { ok, tail: Vec::new() }, tests).outcome
        };
        assert_eq!(ended(true, 0), Outcome::Passed);
        assert!(matches!(ended(false, 0), Outcome::Failed(_)));
        assert!(matches!(ended(true, 1), Outcome::Failed(_)));
        assert!(matches!(ended(false, 1), Outcome::Failed(_)));
    }

    #[test]
    fn tests_of_missing_tools_are_filtered_by_name() {
        assert_eq!(nextest_filter(&[]), None);
        assert_eq!(nextest_filter(&["strace", "aws"]).unwrap(), "not (test(needs_strace) | test(needs_aws))");
    }

    #[test]
    fn every_corpus_needs_its_replay() {
        let replayed = BTreeSet::from(["codec::fuzz_corpus_entry_part".to_owned()]);
        let corpus = |name: &str, inputs| vec![(name.to_owned(), inputs)];
        assert!(unreplayed(&corpus("entry_part", 3), &replayed).is_empty());
        assert_eq!(unreplayed(&corpus("entry_part", 0), &replayed), ["fuzz/corpus/entry_part is empty"]);
        assert_eq!(unreplayed(&corpus("entry", 3), &replayed), ["no test `fuzz_corpus_entry` passed"]);
    }
}
