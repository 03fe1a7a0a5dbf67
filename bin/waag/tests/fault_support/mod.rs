//! What a table of faults is driven on: every external write on one tape, a state whose commits can be struck, and a
//! store that is made once and copied for each row.
//!
//! Not here: which faults there are and what is due (`fault_table`).
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use waag_keys::state::{Change, Check, Extent, Generation, Record, State, StateError, Table};
use waag_sim::disk::SimDisk;
use waag_sim::state::StateFault;
use waag_sqlite::state::SqliteState;
use waag_stdx::files::{File, Files, Lock, Open};

/// One external write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// While what.
    pub(crate) phase: &'static str,
    /// What is done.
    pub(crate) op: &'static str,
    /// The file below the store's root, or `state.db`.
    pub(crate) file: String,
}

/// What was called, in order, and the commit of the state that is to be struck.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    pub(crate) calls: Vec<Call>,
    pub(crate) phase: &'static str,
    pub(crate) strike: Option<StateFault>,
    /// Commits of the state before the one that is struck.
    pub(crate) strike_after: usize,
}

/// A tape that everything writes on.
pub(crate) type Shared = Arc<Mutex<Tape>>;

fn note(tape: &Shared, op: &'static str, file: &str) {
    let mut tape = tape.lock().unwrap();
    let phase = tape.phase;
    tape.calls.push(Call { phase, op, file: file.to_owned() });
}

/// Files whose writes are on the tape, one for each that the simulated disk counts.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) files: SimDisk,
    pub(crate) tape: Shared,
}

#[derive(Debug)]
struct WatchedFile {
    file: Arc<dyn File>,
    path: String,
    tape: Shared,
}

impl Files for Watched {
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>> {
        let opened = self.files.open(path, how);
        let was_there = opened.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists);
        if how == Open::Create && !was_there {
            note(&self.tape, "create", path);
        }
        Ok(Arc::new(WatchedFile { file: opened?, path: path.to_owned(), tape: Arc::clone(&self.tape) }))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.files.list(folder)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        note(&self.tape, "rename", to);
        self.files.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        note(&self.tape, "remove", path);
        self.files.remove(path)
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn Lock>> {
        self.files.lock(path)
    }
}

impl File for WatchedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let op = if bytes.iter().all(|byte| *byte == 0) { "write zeros" } else { "write" };
        note(&self.tape, op, &self.path);
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        note(&self.tape, "sync", &self.path);
        self.file.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        note(&self.tape, "set length", &self.path);
        self.file.set_len(len)
    }
}

/// SQLite, one commit of which fails before or after it is done.
pub(crate) struct StruckState {
    pub(crate) state: SqliteState,
    pub(crate) tape: Shared,
}

impl StruckState {
    /// What strikes this commit; the ones before it are counted down.
    fn fault(&self) -> Option<StateFault> {
        note(&self.tape, "commit", "state.db");
        let mut tape = self.tape.lock().unwrap();
        if tape.strike_after > 0 {
            tape.strike_after -= 1;
            return None;
        }
        tape.strike.take()
    }
}

impl State for StruckState {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Record>, StateError> {
        self.state.get(table, key)
    }

    fn scan(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<Record>, StateError> {
        self.state.scan(table, after, limit)
    }

    fn commit(&self, changes: &[Change<'_>]) -> Result<Generation, StateError> {
        let failed = |what: &str| Err(StateError::Environment("commit", what.to_owned()));
        match self.fault() {
            None => self.state.commit(changes),
            Some(StateFault::Failed) => failed("nothing was done"),
            Some(StateFault::FailedButStored) => self.state.commit(changes).and(failed("all was done")),
        }
    }

    fn check(&self, extent: Extent) -> Result<Check, StateError> {
        self.state.check(extent)
    }

    fn forget(&self) -> Result<(), StateError> {
        self.state.forget()
    }
}

/// A closed store: the files of both folders, and the state's database.
#[derive(Clone, Debug)]
pub(crate) struct Closed {
    files: Vec<(String, Vec<u8>)>,
    database: Vec<u8>,
}

/// The folder of the database, beside the folder `data`.
pub(crate) const STATE_FOLDER: &str = "data.state/default";

impl Closed {
    /// What stands on a simulated disk, and the database below a root.
    pub(crate) fn of(disk: &SimDisk, root: &Path) -> Self {
        let files = disk.paths().into_iter();
        let files = files.map(|path| (path.clone(), disk.contents(&path).unwrap())).collect();
        Self { files, database: std::fs::read(root.join(STATE_FOLDER).join("state.db")).unwrap() }
    }

    /// A copy that stands on another disk, all of it durable, with its database below another root.
    pub(crate) fn copy(&self, seed: u64, root: &Path) -> SimDisk {
        let disk = SimDisk::new(seed);
        for (path, bytes) in &self.files {
            disk.replace(path, bytes);
        }
        std::fs::create_dir_all(root.join(STATE_FOLDER)).unwrap();
        std::fs::write(root.join(STATE_FOLDER).join("state.db"), &self.database).unwrap();
        disk
    }
}

/// A folder in memory where the system has such a place: what is struck are calls, and the syncs of hundreds of stores
/// would only take time.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Writes what stands on a simulated disk beside the database, so that the program itself can open it.
pub(crate) fn lay_out(disk: &SimDisk, root: &Path) {
    for path in disk.paths() {
        let full = match path.split_once('/').unwrap() {
            ("data", rest) => root.join("data/default").join(rest),
            (_, rest) => root.join(STATE_FOLDER).join(rest),
        };
        std::fs::create_dir_all(full.parent().unwrap()).unwrap();
        std::fs::write(&full, disk.contents(&path).unwrap()).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&full, private).unwrap();
    }
}
