//! The access log's files: JSON Lines, one file a day or more, kept for so many days and so many bytes.
//!
//! Place: behind the door (`waag_http::access`), never in a request's way. A request leaves its line in a bounded buffer;
//! one thread writes what is there ten times a second. What finds no room, or cannot be written because the disk is full
//! or the folder is gone, is dropped and counted; the door answers all the same.
//! What survives: an ordinary end writes everything; a kill loses the last tenth of a second, and a machine that loses its
//! power what the system had not written. The log is no evidence: that is the ledger.
//! Not here: what a line says (`waag_http::access`).
//!
//! - `ALOG-1`: the files together never have more than [`AccessLogOptions::bytes_max`], the one being written included.
//! - `ALOG-2`: a file holds whole lines only: a torn last line is cut off before anything is appended.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use waag_http::access::{Access, AccessSink};
use waag_model::time::UtcDay;
use waag_stdx::clock::Clock;
use waag_stdx::figures::{Family, Figures, counter};

/// Most bytes of lines that wait to be written; as many again may be under way.
const WAITING_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// How long lines wait for company, in milliseconds.
const GATHER_MS: u64 = 100;
/// How often old files are looked for where nothing is written, in milliseconds.
const IDLE_MS: u64 = 60_000;
/// A file has this share of all bytes at most.
const FILES_AT_LEAST: u64 = 16;
/// Largest file.
const FILE_BYTES_MAX: u64 = 64 * 1_024 * 1_024;
/// Longest line with its line feed: names of 255 bytes at most, escaped, and numbers.
const LINE_BYTES_MAX: u64 = 4_096;
const NAME_BEGIN: &str = "access-";
const NAME_END: &str = ".jsonl";

/// Where the access log is and how much of it is kept.
#[derive(Clone, Debug)]
pub struct AccessLogOptions {
    /// Its folder, made where it is not there.
    pub folder: PathBuf,
    /// Days that a file is kept, the day it was written not counted.
    pub days: u16,
    /// Bytes of all files together.
    pub bytes_max: u64,
}

impl AccessLogOptions {
    fn file_bytes_max(&self) -> u64 {
        (self.bytes_max / FILES_AT_LEAST).clamp(LINE_BYTES_MAX, FILE_BYTES_MAX)
    }
}

/// The running log. Dropping it writes what waits.
pub struct AccessLog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessLog").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    bell: Condvar,
    written: AtomicU64,
    dropped: AtomicU64,
    failures: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    count: u64,
    ending: bool,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be written next; empty where it is time to look after old files, none at the end.
    fn gathered(&self, spare: Vec<u8>) -> Option<(Vec<u8>, u64)> {
        let idle = Duration::from_millis(IDLE_MS);
        let is_empty = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.ending;
        let (waiting, _) = self
            .bell
            .wait_timeout_while(self.waiting(), idle, is_empty)
            .unwrap_or_else(PoisonError::into_inner);
        let gather = Duration::from_millis(GATHER_MS);
        let may_wait = |waiting: &mut Waiting| {
            !waiting.lines.is_empty() && waiting.lines.len() < WAITING_BYTES_MAX / 2 && !waiting.ending
        };
        let (mut waiting, _) =
            self.bell.wait_timeout_while(waiting, gather, may_wait).unwrap_or_else(PoisonError::into_inner);
        if waiting.ending && waiting.lines.is_empty() {
            return None;
        }
        let lines = std::mem::replace(&mut waiting.lines, spare);
        Some((lines, std::mem::take(&mut waiting.count)))
    }
}

impl AccessLog {
    /// Starts it; a folder that cannot be used is no error here, since the door opens all the same.
    ///
    /// # Errors
    /// The operating system's, where a thread cannot be had.
    pub fn start(options: AccessLogOptions, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let run = move || {
            let mut files = Files { options, clock, current: None, swept: None };
            let mut spare = Vec::new();
            while let Some((lines, count)) = of_thread.gathered(std::mem::take(&mut spare)) {
                write(&mut files, &of_thread, &lines, count);
                spare = lines;
                spare.clear();
            }
        };
        let thread = std::thread::Builder::new().name("waag-access".to_owned()).spawn(run)?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

fn write(files: &mut Files, shared: &Shared, lines: &[u8], count: u64) {
    let mut left = lines;
    let done = files.write(&mut left);
    let dropped = left.iter().filter(|byte| **byte == b'\n').count() as u64;
    shared.written.fetch_add(count.saturating_sub(dropped), Ordering::Relaxed);
    match done {
        Ok(()) => {}
        Err(error) => {
            // Opened anew with the next lines; what stands torn is cut off then.
            files.current = None;
            shared.dropped.fetch_add(dropped, Ordering::Relaxed);
            if shared.failures.fetch_add(1, Ordering::Relaxed) == 0 {
                crate::cli::tell(&format!(
                    "warning: the access log cannot be written, its lines are dropped and counted: {error}"
                ));
            }
        }
    }
}

impl AccessSink for AccessLog {
    fn over(&self, access: &Access<'_>) {
        let line = access.line();
        let mut waiting = self.shared.waiting();
        let before = waiting.lines.len();
        let after = before.saturating_add(line.len()).saturating_add(1);
        if after > WAITING_BYTES_MAX {
            drop(waiting);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.lines.extend_from_slice(&line);
        waiting.lines.push(b'\n');
        waiting.count = waiting.count.saturating_add(1);
        drop(waiting);
        // Waking costs a system call: once when the thread may be asleep, once when it should hurry.
        let half = WAITING_BYTES_MAX / 2;
        if before == 0 || (before < half && after >= half) {
            self.shared.bell.notify_one();
        }
    }
}

impl Figures for AccessLog {
    fn families(&self) -> Vec<Family> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            counter("waag_access_log_lines", "Lines written to the access log.", read(&self.shared.written)),
            counter(
                "waag_access_log_dropped",
                "Lines of the access log that were dropped.",
                read(&self.shared.dropped),
            ),
            counter(
                "waag_access_log_failures",
                "Writes to the access log that failed.",
                read(&self.shared.failures),
            ),
        ]
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shared.waiting().ending = true;
        self.shared.bell.notify_one();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The files, as their one thread sees them.
struct Files {
    options: AccessLogOptions,
    clock: Arc<dyn Clock>,
    current: Option<Current>,
    swept: Option<UtcDay>,
}

/// The file that is appended to.
struct Current {
    file: File,
    name: Name,
    bytes: u64,
}

/// A file's name in order: its day and its number on that day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    day: String,
    number: u32,
}

impl Name {
    fn file(&self) -> String {
        format!("{NAME_BEGIN}{}-{:04}{NAME_END}", self.day, self.number)
    }

    fn next(self) -> Self {
        Self { number: self.number.saturating_add(1), ..self }
    }

    fn of_file(name: &str) -> Option<Self> {
        let (day, number) = name.strip_prefix(NAME_BEGIN)?.strip_suffix(NAME_END)?.rsplit_once('-')?;
        let is_day = day.len() == 10 && day.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let name = Self { day: day.to_owned(), number: number.parse().ok()? };
        is_day.then_some(name)
    }
}

impl Files {
    /// Writes whole lines, in as many files as they need; leaves those that were not written.
    fn write(&mut self, rest: &mut &[u8]) -> io::Result<()> {
        let today = self.clock.now().day();
        if self.swept != Some(today) {
            self.sweep(today)?;
        }
        let most = self.options.file_bytes_max();
        while !rest.is_empty() {
            let mut current = match self.current.take() {
                Some(current) if current.name.day == today.to_string() && current.bytes < most => current,
                before => self.open(&today.to_string(), before.map(|before| before.name))?,
            };
            let room = usize::try_from(most.saturating_sub(current.bytes)).unwrap_or(usize::MAX);
            let fitting = if rest.len() <= room { rest.len() } else { whole_lines(rest, room) };
            if fitting == 0 && current.bytes > 0 {
                self.current = Some(Current { bytes: most, ..current });
                continue;
            }
            // A single line above the limit has a file of its own.
            let fitting = if fitting == 0 { first_line(rest) } else { fitting };
            let (now, later) = rest.split_at_checked(fitting).unwrap_or((*rest, &[]));
            if let Err(error) = current.file.write_all(now) {
                // Taken back whole, so that what is counted as dropped is what is not there.
                drop(current.file.set_len(current.bytes));
                return Err(error);
            }
            current.bytes = current.bytes.saturating_add(now.len() as u64);
            self.current = Some(current);
            *rest = later;
        }
        Ok(())
    }

    /// The file to go on with: the newest of the day, or the next one where that is full.
    fn open(&self, day: &str, full: Option<Name>) -> io::Result<Current> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.options.folder)?;
        let newest = self.files()?.into_iter().map(|(name, _)| name).filter(|name| name.day == day).max();
        // A line that did not fit turns the file, however much room is left in it.
        let full = full.filter(|name| name.day == day);
        let mut name = match full {
            Some(full) => newest.max(Some(full)).map(Name::next),
            None => newest,
        };
        loop {
            let next = name.unwrap_or(Name { day: day.to_owned(), number: 1 });
            let path = self.options.folder.join(next.file());
            let mut options = OpenOptions::new();
            let mut file = options.read(true).append(true).create(true).mode(0o600).open(path)?;
            let bytes = cut_to_whole_lines(&mut file)?;
            if bytes < self.options.file_bytes_max() {
                self.make_room(&next, bytes)?;
                return Ok(Current { file, name: next, bytes });
            }
            name = Some(next.next());
        }
    }

    /// All files of the log, by name, with their bytes.
    fn files(&self) -> io::Result<Vec<(Name, u64)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.options.folder)? {
            let entry = entry?;
            if let Some(name) = entry.file_name().to_str().and_then(Name::of_file) {
                found.push((name, entry.metadata()?.len()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Removes the oldest files until the one that begins can grow to its full size (`ALOG-1`).
    fn make_room(&self, current: &Name, bytes: u64) -> io::Result<()> {
        let others: Vec<_> = self.files()?.into_iter().filter(|(name, _)| name != current).collect();
        let mut all = others.iter().map(|(_, bytes)| bytes).sum::<u64>();
        let most = self.options.bytes_max.saturating_sub(self.options.file_bytes_max().max(bytes));
        for (name, bytes) in others {
            if all <= most {
                break;
            }
            remove(&self.options.folder, &name)?;
            all = all.saturating_sub(bytes);
        }
        Ok(())
    }

    /// Removes the files that are too old.
    fn sweep(&mut self, today: UtcDay) -> io::Result<()> {
        let oldest = UtcDay(today.0.saturating_sub(self.options.days.into())).to_string();
        let files = match self.files() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            files => files?,
        };
        for (name, _) in files.into_iter().filter(|(name, _)| name.day < oldest) {
            remove(&self.options.folder, &name)?;
        }
        self.swept = Some(today);
        Ok(())
    }
}

fn remove(folder: &Path, name: &Name) -> io::Result<()> {
    match std::fs::remove_file(folder.join(name.file())) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// How many bytes at the beginning are whole lines and not more than `most`.
fn whole_lines(lines: &[u8], most: usize) -> usize {
    let within = lines.get(..most.min(lines.len())).unwrap_or_default();
    within.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

/// How many bytes the first line has.
fn first_line(lines: &[u8]) -> usize {
    lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |at| at + 1)
}

/// Cuts a torn last line off (`ALOG-2`); the bytes that are left.
fn cut_to_whole_lines(file: &mut File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut piece = Vec::new();
    while end > 0 {
        let begin = end.saturating_sub(LINE_BYTES_MAX);
        file.seek(SeekFrom::Start(begin))?;
        piece.clear();
        Read::by_ref(file).take(end - begin).read_to_end(&mut piece)?;
        if let Some(at) = piece.iter().rposition(|byte| *byte == b'\n') {
            end = begin.saturating_add(at as u64).saturating_add(1);
            break;
        }
        end = begin;
    }
    if end < length {
        file.set_len(end)?;
    }
    Ok(end)
}

#[cfg(test)]
mod tests;
