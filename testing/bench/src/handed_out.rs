//! Evidence packs, backup and restore as their users wait for them: the programs themselves are started and timed.
//!
//! What is measured stands in the page cache ("warm"): the folder is read once before each round. The store is of the
//! fixtures' workload; views are not made. Its types are registered, so that a fifth of the events is sealed for one of ten
//! thousand persons; with `--unregistered true` they are not, and nearly every event brings its own invoice two keys.

use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::Value;
use waag_fixtures::workload::{KINDS, SCHEMA, Shape, Workload};

use crate::events::{Events, SAMPLES};
use crate::measure::median;

/// Entries of the store that is backed up, unless asked otherwise.
const ENTRIES: u64 = 1_000_000;
/// Entries in a pack.
const PACK_ENTRIES: u64 = 10_000;
/// How often each is done.
const ROUNDS: usize = 5;

struct Store {
    folder: PathBuf,
}

/// A program built beside this one.
fn program(name: &str) -> anyhow::Result<Command> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(path.is_file(), "`{}` is missing: cargo build --release -p {name}", path.display());
    Ok(Command::new(path))
}

fn succeeded(output: &Output) -> anyhow::Result<Value> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or("null");
    Ok(serde_json::from_str(line).unwrap_or(Value::Null))
}

/// Reads every file of a folder once; the bytes.
fn warm(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            bytes += warm(&path)?;
        } else if path.is_file() {
            bytes += std::io::copy(&mut std::fs::File::open(&path)?, &mut std::io::sink())?;
        }
    }
    Ok(bytes)
}

impl Store {
    fn made(folder: &Path, asked: &Asked) -> anyhow::Result<Self> {
        let store = Self { folder: folder.to_owned() };
        succeeded(&store.waag(&["init"])?.output()?)?;
        if !asked.unregistered {
            store.register()?;
        }
        let mut append = store.waag(&["append"])?;
        let mut child =
            append.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?;
        let mut input = BufWriter::with_capacity(1 << 20, child.stdin.take().context("an input")?);
        let (mut workload, mut line) = (Workload::new(11, Shape::default()), Vec::new());
        for _ in 0..asked.entries {
            line.clear();
            workload.write_event(&mut line);
            line.push(b'\n');
            input.write_all(&line)?;
        }
        drop(input.into_inner()?);
        ensure!(child.wait()?.success(), "the store was not filled");
        Ok(store)
    }

    /// Registers the workload's types, with a dictionary from another seed's events.
    fn register(&self) -> anyhow::Result<()> {
        std::fs::write(self.path("schema.json"), SCHEMA)?;
        let samples = Events::take(&mut Workload::new(0xd1c7, Shape::default()), SAMPLES);
        std::fs::write(self.path("samples.jsonl"), samples.lines().collect::<Vec<_>>().join(&b'\n'))?;
        for kind in KINDS {
            let how =
                ["schema", "add", "--type", kind, "--schema", "schema.json", "--samples", "samples.jsonl"];
            succeeded(&self.waag(&how)?.output()?)?;
        }
        Ok(())
    }

    fn waag(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = program("waag")?;
        command.current_dir(&self.folder).args(arguments).stdin(Stdio::null());
        Ok(command)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Runs a command and tells how long it took, in seconds, with its last line of JSON.
fn timed(mut command: Command) -> anyhow::Result<(f64, Value)> {
    let start = Instant::now();
    let output = command.output()?;
    let seconds = start.elapsed().as_secs_f64();
    Ok((seconds, succeeded(&output)?))
}

fn list(seconds: &[f64]) -> String {
    seconds.iter().map(|one| format!("{one:.2}")).collect::<Vec<_>>().join(", ")
}

fn packs(store: &Store, asked: &Asked) -> anyhow::Result<()> {
    let key = succeeded(&store.waag(&["checkpoint", "--json"])?.output()?)?;
    let key = key.pointer("/keys/0/vkey").and_then(Value::as_str).context("the ledger's key")?.to_owned();
    let spans = [
        ("a gapless span", format!("{}-{}", asked.entries / 2, asked.entries / 2 + PACK_ENTRIES - 1)),
        ("the newest of the whole ledger", "newest".to_owned()),
    ];
    for (what, span) in spans {
        let (mut making, mut checking, mut bytes) = (Vec::new(), Vec::new(), 0);
        for round in 0..asked.rounds {
            warm(&store.path("waag-data"))?;
            let name = format!("pack-{round}.zip");
            let count = PACK_ENTRIES.to_string();
            let which: [&str; 2] = if span == "newest" { ["--last", &count] } else { ["--positions", &span] };
            let mut export =
                store.waag(&["evidence", "export", &name, "--json", "--reason", "a benchmark"])?;
            export.args(which);
            making.push(timed(export)?.0);
            let mut verify = program("waag-verify")?;
            verify.current_dir(&store.folder).args(["pack", &name, "--key", &key, "--json"]);
            checking.push(timed(verify)?.0);
            bytes = std::fs::metadata(store.path(&name))?.len();
            std::fs::remove_file(store.path(&name))?;
        }
        println!(
            "pack of {PACK_ENTRIES} entries, {what}, {:.1} MB: made in {:.2} s ({}; bar 2), verified by waag-verify in {:.2} s ({}; bar 1)",
            bytes as f64 / 1e6,
            median(&making),
            list(&making),
            median(&checking),
            list(&checking)
        );
    }
    Ok(())
}

fn backups(store: &Store, asked: &Asked) -> anyhow::Result<()> {
    let (mut saving, mut restoring, mut size) = (Vec::new(), Vec::new(), 0);
    for round in 0..asked.rounds {
        let [repository, key, restored] =
            ["repository", "key", "restored"].map(|name| format!("{name}-{round}"));
        succeeded(&store.waag(&["backup", "init", &repository, "--key", &key])?.output()?)?;
        warm(&store.path("waag-data"))?;
        saving.push(timed(store.waag(&["backup", &repository, "--key", &key, "--json"])?)?.0);
        size = warm(&store.path(&repository))?;
        restoring.push(
            timed(store.waag(&["restore", &repository, "--key", &key, "--to", &restored, "--json"])?)?.0,
        );
        for name in [repository, restored.clone(), format!("{restored}.state")] {
            std::fs::remove_dir_all(store.path(&name))?;
        }
        std::fs::remove_file(store.path(&key))?;
    }
    for (what, seconds) in [("backup", saving), ("restore", restoring)] {
        let middle = median(&seconds);
        println!(
            "{what} of {} entries, {:.0} MB, views not made: {:.2} s ({}), {:.0} entries/s (bar 200,000), {:.0} MB/s",
            asked.entries,
            size as f64 / 1e6,
            middle,
            list(&seconds),
            asked.entries as f64 / middle,
            size as f64 / 1e6 / middle
        );
    }
    Ok(())
}

/// Seconds to write and sync so many bytes, and to read them back: the floor under any backup to this disk.
fn disk(folder: &Path, bytes: usize) -> anyhow::Result<()> {
    let (path, piece) = (folder.join("disk"), vec![0x5a; 1 << 20]);
    let start = Instant::now();
    let mut file = std::fs::File::create(&path)?;
    for _ in 0..bytes >> 20 {
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    let rate = |start: Instant| bytes as f64 / 1e6 / start.elapsed().as_secs_f64();
    let writing = rate(start);
    let start = Instant::now();
    std::io::copy(&mut std::fs::File::open(&path)?, &mut std::io::sink())?;
    println!("disk: {writing:.0} MB/s written and synced, {:.0} MB/s read back from the cache", rate(start));
    std::fs::remove_file(path)?;
    Ok(())
}

struct Asked {
    entries: u64,
    rounds: usize,
    unregistered: bool,
    folder: Option<PathBuf>,
}

impl Asked {
    fn read(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut asked = Self { entries: ENTRIES, rounds: ROUNDS, unregistered: false, folder: None };
        for pair in arguments.chunks(2) {
            match pair {
                ["--entries", number] => asked.entries = number.parse()?,
                ["--rounds", number] => asked.rounds = number.parse()?,
                ["--unregistered", choice] => asked.unregistered = choice.parse()?,
                ["--folder", path] => asked.folder = Some(PathBuf::from(path)),
                other => anyhow::bail!("`{}` is not understood: {USAGE}", other.join(" ")),
            }
        }
        ensure!(asked.rounds > 0, "at least one round");
        asked.entries = asked.entries.max(2 * PACK_ENTRIES);
        Ok(asked)
    }
}

const USAGE: &str = "[--entries N] [--rounds N] [--unregistered true] [--folder DIR]";

/// `evidence packs|backup [--entries N] [--rounds N] [--unregistered true] [--folder DIR]`.
pub(crate) fn run(part: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let asked = Asked::read(arguments)?;
    let place = match &asked.folder {
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            tempfile::tempdir_in(folder)?
        }
        None => tempfile::tempdir_in(std::env::current_exe()?.parent().context("a folder")?)?,
    };
    println!(
        "a store of {} entries of the fixtures' workload below `{}`, types {}registered; {} rounds, medians",
        asked.entries,
        place.path().display(),
        if asked.unregistered { "un" } else { "" },
        asked.rounds
    );
    disk(place.path(), 256 << 20)?;
    let store = Store::made(place.path(), &asked)?;
    match part {
        "packs" => packs(&store, &asked),
        _ => backups(&store, &asked),
    }
}
