//! The real program under `strace`, which fails single system calls on the files of its store, SQLite's among them: of
//! one commit, in whichever thread makes them, and of opening and closing. The program ends with a documented code, or
//! goes on; and then everything acknowledged is there once.
//!
//! Besides failing, a call can kill the program at its very entry. The calls are counted first, in a run without faults.
//! Not here: calls that fail although they were done, and torn writes, which `strace` cannot make (`fault_table`).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails loudly and prints its table"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tempfile::TempDir;

mod strace_support;
use strace_support::{Call, Inject, calls_in, copy, folder, strace};

/// The base store's event, the one that is committed under faults, and one to go on with.
const EVENTS: [u64; 3] = [0, 1, 2];

/// The threads that fold the state's log and close the store: the acknowledgement may come before or after it.
const LAST: [&str; 2] = ["waag-fold", "waag"];
/// Those of the commit itself, each of which the start of a run waits for.
const COMMIT: [&str; 3] = ["waag-keys", "waag-log", "waag-guard"];
/// Whichever thread does it: log, guard and hashes are written by their own threads or by whoever comes by first.
const ANY: &str = "any";
const OF_ANY: [&str; 3] = ["default/guard", "default/log/", "default/derived/hashes"];

/// Position and leaf hash.
type Receipt = (u64, String);

fn event(number: u64) -> String {
    // Each event has a person of its own, so that its commit needs a new key.
    format!(
        r#"{{"specversion":"1.0","id":"e{number}","source":"/calls","type":"t","subject":"p{number}","data":{{"n":{number}}}}}"#
    )
}

fn waag(data: &Path, arguments: &[&str]) -> Vec<String> {
    let mut line = vec![env!("CARGO_BIN_EXE_waag").to_owned(), "--data".to_owned()];
    line.push(data.to_str().unwrap().to_owned());
    line.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    line
}

fn command(line: &[String]) -> Command {
    let (program, arguments) = line.split_first().unwrap();
    let mut command = Command::new(program);
    command.args(arguments).env_remove("WAAG_PASSPHRASE").env("RUST_BACKTRACE", "0").stdin(Stdio::null());
    command
}

/// Runs the program to its end; its answer.
fn answer(data: &Path, arguments: &[&str]) -> Vec<Value> {
    let output = command(&waag(data, arguments)).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {:?} {text} {told}", output.status);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A store with one event, and its receipt.
fn base() -> (PathBuf, Receipt, TempDir) {
    let root = folder();
    let data = root.path().join("data");
    answer(&data, &["init", "--json"]);
    let path = root.path().join("event");
    std::fs::write(&path, event(EVENTS[0])).unwrap();
    let receipt = answer(&data, &["append", "--json", path.to_str().unwrap()]).pop().unwrap().to_string();
    (data, receipt_of(&receipt).unwrap(), root)
}

/// How a run under a fault ended.
#[derive(Debug)]
struct Ended {
    status: ExitStatus,
    told: String,
    receipt: Option<Receipt>,
    /// The receipt of the event that was not there before.
    new: Option<Receipt>,
    trace: String,
}

impl Ended {
    /// The outcome as the table prints it: acknowledged or not, and the exit with the codes that were told.
    fn outcome(&self) -> String {
        let acknowledged = if self.receipt.is_some() { "acknowledged" } else { "not acknowledged" };
        let codes: BTreeSet<&str> = self
            .told
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| {
                word.len() == 5 && word.strip_prefix('E').is_some_and(|n| n.parse::<u16>().is_ok())
            })
            .collect();
        let codes = codes.into_iter().collect::<Vec<_>>().join(" ");
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("{acknowledged}, exit {code} {codes}").trim_end().to_owned(),
            (None, signal) => format!("{acknowledged}, signal {}", signal.unwrap_or(0)),
        }
    }

    /// Whether the fault has struck.
    fn is_struck(&self) -> bool {
        ["(INJECTED)", "(DELAYED)"].iter().any(|mark| self.trace.contains(mark))
            || self.status.signal() == Some(9)
    }
}

fn receipt_of(line: &str) -> Option<Receipt> {
    let line: Value = serde_json::from_str(line).ok()?;
    Some((line["position"].as_u64()?, line["leaf_hash"].as_str()?.to_owned()))
}

fn threads_of(process: u32) -> BTreeMap<u32, String> {
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        let task = task.ok()?;
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        Some((task.file_name().to_str()?.parse().ok()?, name.trim_end().to_owned()))
    };
    std::fs::read_dir(format!("/proc/{process}/task")).unwrap().filter_map(name).collect()
}

/// A program that has opened its store and waits for events.
struct Waiting {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Waiting {
    /// Starts it; gives with it the kernel's number of each thread, by name: the first goes by the program's.
    fn start(data: &Path) -> (Self, BTreeMap<u32, String>) {
        let mut command = command(&waag(data, &["append", "--json", "-"]));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        writeln!(input, "{}", event(EVENTS[0])).unwrap();
        let first = output.next().unwrap().unwrap();
        assert!(first.contains(r#""status":"before""#), "{first}");
        // A thread gives itself its name when it first runs.
        let names = (0..1_000).map(|_| threads_of(child.id()));
        let all = |threads: &BTreeMap<u32, String>| {
            COMMIT.iter().chain(&LAST).all(|due| threads.values().any(|name| name == due))
        };
        let threads = names.into_iter().find(all).unwrap();
        (Self { child, input, output }, threads)
    }

    /// Commits the event, closes, and waits for the end.
    fn commit(mut self) -> (ExitStatus, String, Option<Receipt>) {
        // A program that is killed reads no more.
        drop(writeln!(self.input, "{}", event(EVENTS[1])));
        let receipt = self.output.next().and_then(Result::ok).and_then(|line| receipt_of(&line));
        drop(self.input);
        let output = self.child.wait_with_output().unwrap();
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned(), receipt)
    }
}

/// Everything acknowledged is there once, and the store goes on.
fn audit(data: &Path, before: &Receipt, acknowledged: Option<&Receipt>, row: &str) {
    let root = data.parent().unwrap();
    let lines: Vec<String> = EVENTS.iter().map(|number| event(*number)).collect();
    std::fs::write(root.join("all"), lines.join("\n")).unwrap();
    let answers = answer(data, &["append", "--json", root.join("all").to_str().unwrap()]);
    let found: Vec<(Receipt, bool)> = answers
        .iter()
        .map(|line| {
            let receipt =
                (line["position"].as_u64().unwrap(), line["leaf_hash"].as_str().unwrap().to_owned());
            (receipt, line["status"] == "before")
        })
        .collect();
    let [first, second, third] = found.as_slice() else { panic!("{row}: {answers:?}") };
    assert_eq!((&first.0, first.1), (before, true), "{row}");
    if let Some(acknowledged) = acknowledged {
        assert_eq!((&second.0, second.1), (acknowledged, true), "{row}");
    }
    assert_eq!((second.0.0, third.0.0, third.1), (1, 2, false), "{row}");
    let report = answer(data, &["verify", "--json"]).pop().unwrap();
    assert_eq!((&report["ok"], &report["entries"]), (&Value::Bool(true), &Value::from(3)), "{row}: {report}");
}

/// What is done to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strike {
    Io,
    NoSpace,
    Slow,
    Kill,
}

impl Strike {
    fn words(self) -> &'static str {
        match self {
            Self::Io => "error=EIO",
            Self::NoSpace => "error=ENOSPC",
            Self::Slow => "delay_enter=30000",
            Self::Kill => "signal=KILL",
        }
    }
}

fn strikes(call: &Call) -> &'static [Strike] {
    match call.name.as_str() {
        // The index of SQLite's log, eight pages made one after the other.
        "pwrite64" if call.file.ends_with("-shm") && call.nth > 1 => &[],
        "pwrite64" => &[Strike::Io, Strike::NoSpace, Strike::Kill],
        "fsync" | "fdatasync" => &[Strike::Io, Strike::Slow, Strike::Kill],
        // Nothing was changed by it yet.
        "openat" | "flock" => &[Strike::Io],
        _ => &[Strike::Io, Strike::Kill],
    }
}

/// Runs every row on two threads, holds each to what is due and to its audit, and prints the table.
fn table(calls: &[Call], before: &Receipt, run: impl Fn(&Call, Strike) -> (Ended, PathBuf, TempDir) + Sync) {
    let rows: Vec<(&Call, Strike)> =
        calls.iter().flat_map(|call| strikes(call).iter().map(move |strike| (call, *strike))).collect();
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    let work = || {
        while let Some((call, strike)) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (ended, data, _root) = run(call, *strike);
            let Call { thread, name, file, nth } = call;
            let struck = if ended.is_struck() { "" } else { " (not reached)" };
            let (words, outcome) = (strike.words(), ended.outcome());
            let row = format!("{thread:<12} {name:<9} {file:<44} {nth:>2} {words:<17} {outcome}{struck}");
            println!("{row}");
            audit(&data, before, ended.new.as_ref(), &row);
            let due = due(call, *strike);
            if !due.contains(&outcome.as_str()) || !ended.is_struck() {
                wrong.lock().unwrap().push(format!("{row}, due {due:?}\n{}", ended.told));
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    println!("{} calls, {} rows", calls.len(), rows.len());
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

const DONE: &str = "acknowledged, exit 0";

/// What may become of the program when a call is struck.
fn due(call: &Call, strike: Strike) -> &'static [&'static str] {
    match (strike, call.thread.as_str()) {
        (Strike::Slow, _) => &[DONE],
        (Strike::Kill, "waag-keys") => &["not acknowledged, signal 9"],
        (Strike::Kill, ANY) if !call.file.ends_with("hashes") => &["not acknowledged, signal 9"],
        (Strike::Kill, _) => &["acknowledged, signal 9", "not acknowledged, signal 9"],
        // SQLite takes no notice of a folder that it cannot sync; its log's name was made durable at opening.
        (_, "waag-keys") if !call.file.contains("state.db") => &[DONE],
        (_, "waag-keys") => &["not acknowledged, exit 3 E0510 E0603"],
        (_, ANY) if call.file.contains("default/log/") => &["not acknowledged, exit 3 E0434 E0603"],
        (_, ANY) if call.file.ends_with("guard") => &["not acknowledged, exit 3 E0448 E0603"],
        (_, ANY) => &[DONE],
        // The log stays unfolded until the next opening.
        (_, "waag-fold") => &[DONE],
        _ => due_at_opening(call),
    }
}

/// What may become of the program when a call of its first thread fails.
fn due_at_opening(call: &Call) -> &'static [&'static str] {
    let name = call.name.as_str();
    match call.file.split_once("/default").map_or("", |(_, file)| file.trim_start_matches('/')) {
        // A later connection's files may be opened already, or are only for folding the log early.
        "state.db" => &["not acknowledged, exit 3 E0510", DONE],
        "state.db-wal" if name == "openat" => &["not acknowledged, exit 3 E0510", DONE],
        "state.db-wal" | "state.db-shm" | "lock" => &["not acknowledged, exit 3 E0510"],
        "vault.key" => &["not acknowledged, exit 3 E0530"],
        "guard" | "guard.lock" => &["not acknowledged, exit 3 E0448"],
        "objects" => &["not acknowledged, exit 3 E0491"],
        "log.lock" | "log" => &["not acknowledged, exit 3 E0465"],
        log if log.starts_with("log/") => {
            &["not acknowledged, exit 3 E0465", "not acknowledged, exit 3 E0443"]
        }
        // Derived: what cannot be read is made again, what cannot be written at closing is missed by nobody.
        "derived/identity/manifest" | "writer.sock" => &[DONE],
        "derived/schemas.pending" | "derived/schemas" if name == "openat" => &[DONE],
        "derived/hashes" if name != "openat" => &[DONE],
        "derived/identity" => &["not acknowledged, exit 3 E0640"],
        "" if call.file.contains(".state/") => &["not acknowledged, exit 3 E0510"],
        ""
        | "derived"
        | "derived/hashes"
        | "derived/schemas"
        | "derived/schemas.new"
        | "derived/schemas.pending" => &["not acknowledged, exit 3 E0808"],
        _ => &[],
    }
}

#[test]
fn needs_strace_each_call_of_a_commit() {
    let (data, before, _root) = base();
    let run = |only: Option<(&Call, Strike)>| {
        let root = folder();
        let at = copy(&data, root.path());
        let (waiting, threads) = Waiting::start(&at);
        // SQLite is closed by whichever of the last two lets go of it last.
        let one = only
            .map(|(call, _)| call.thread.as_str())
            .filter(|thread| ![ANY, LAST[0], LAST[1]].contains(thread));
        let named =
            |wanted: &str| threads.iter().find(|(_, name)| *name == wanted).map(|(number, _)| *number);
        let pid = one.map_or(waiting.child.id(), |wanted| named(wanted).unwrap());
        let inject = only.map(|(call, strike)| Inject { call, words: strike.words() });
        let mut tracer = strace(root.path(), inject.as_ref());
        if one.is_none() {
            tracer.arg("-f");
        }
        let mut tracer = tracer.arg("-p").arg(pid.to_string()).stderr(Stdio::piped()).spawn().unwrap();
        let mut attached = String::new();
        let mut told = BufReader::new(tracer.stderr.take().unwrap());
        told.read_line(&mut attached).unwrap();
        assert!(attached.contains("attached"), "this machine does not let strace trace: {attached}");
        let (status, told, receipt) = waiting.commit();
        tracer.wait().unwrap();
        let trace = std::fs::read_to_string(root.path().join("trace")).unwrap();
        (Ended { status, told, new: receipt.clone(), receipt, trace }, threads, at, root)
    };
    let (clean, threads, at, _kept) = run(None);
    assert_eq!(clean.outcome(), DONE);
    let mut calls = calls_in(&clean.trace, at.parent().unwrap(), &threads);
    for call in &mut calls {
        if OF_ANY.iter().any(|part| call.file.contains(part)) {
            ANY.clone_into(&mut call.thread);
        }
    }
    let alike = |one: &Call, other: &Call| (&one.name, &one.file) == (&other.name, &other.file);
    let is_last = |call: &Call| LAST.contains(&call.thread.as_str());
    // Traced in all threads at once, a call at closing cannot be told from its like of the commit.
    let of_commit: Vec<Call> = calls.iter().filter(|call| !is_last(call)).cloned().collect();
    calls.retain(|call| !is_last(call) || !of_commit.iter().any(|other| alike(call, other)));
    // The tracer counts in each thread by itself.
    let is_first = |call: &Call| call.thread != ANY || call.nth == 1;
    calls.retain(is_first);
    calls.sort();
    calls.dedup();
    for (thread, name, file) in [
        ("waag-keys", "pwrite64", "state.db-wal"),
        ("waag-keys", "fsync", "state.db-wal"),
        (ANY, "pwrite64", ".seg"),
        (ANY, "fdatasync", ".seg"),
        (ANY, "pwrite64", "guard"),
        (ANY, "fdatasync", "guard"),
        (ANY, "pwrite64", "hashes"),
    ] {
        let is_it = |call: &Call| call.thread == thread && call.name == name && call.file.ends_with(file);
        assert!(calls.iter().any(is_it), "{thread} {name} {file}: {calls:#?}");
    }
    table(&calls, &before, |call, strike| {
        let (ended, _, at, root) = run(Some((call, strike)));
        (ended, at, root)
    });
}

#[test]
fn needs_strace_each_call_of_opening_and_closing() {
    let (data, before, _root) = base();
    // Derived files are made anew, which is most of what opening writes.
    std::fs::remove_dir_all(data.join("default/derived")).unwrap();
    let run = |only: Option<(&Call, Strike)>| {
        let root = folder();
        let at = copy(&data, root.path());
        // It is there already: with a commit, the first thread would do what of it no other does.
        std::fs::write(root.path().join("event"), event(EVENTS[0])).unwrap();
        let inject = only.map(|(call, strike)| Inject { call, words: strike.words() });
        // Without `-f`: the first thread alone, which opens and closes.
        let mut tracer = strace(root.path(), inject.as_ref());
        tracer.args(waag(&at, &["append", "--json", root.path().join("event").to_str().unwrap()]));
        let output = tracer.env_remove("WAAG_PASSPHRASE").stdin(Stdio::null()).output().unwrap();
        let receipt = String::from_utf8_lossy(&output.stdout).lines().find_map(receipt_of);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let trace = std::fs::read_to_string(root.path().join("trace")).unwrap();
        (Ended { status: output.status, told, new: None, receipt, trace }, at, root)
    };
    let (clean, at, _kept) = run(None);
    assert_eq!(clean.outcome(), DONE, "{}", clean.told);
    let calls = calls_in(&clean.trace, at.parent().unwrap(), &BTreeMap::new());
    table(&calls, &before, |call, strike| {
        let (ended, at, root) = run(Some((call, strike)));
        assert!(ended.receipt.iter().all(|told| *told == before), "{:?}", ended.receipt);
        (ended, at, root)
    });
}
