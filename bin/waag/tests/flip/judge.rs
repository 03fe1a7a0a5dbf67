//! What a verification of a changed store may come to, and an oracle of its own for "every record is unchanged".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use waag::store::place::{HASHES_FILE, Place};
use waag::store::reader::open_reader;
use waag::store::schemas::object_name;
use waag::store::verify::{Depth, Fault, Report, verify};
use waag_entry::form::Entry;
use waag_entry::plain::Body;
use waag_keys::state::{State, Table};
use waag_model::ids::Position;
use waag_sqlite::state::SqliteState;

use super::image::{self, GUARD, Image, STATE, WAL};

/// How far behind the place that a fault names a changed byte may lie: a frame of the image, or a slot of the guard.
const NEAR_BYTES: u64 = 8_192;

/// After one change in so many that verify, the entries are opened too.
const OPENED_EVERY: u64 = 16;

/// What a changed byte came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Not verified; file and place were named.
    Fault,
    /// A derived file, noted, and made again.
    Rebuilt,
    /// Beyond what is guarded, and told as residue.
    Residue,
    /// Verified, and every record reads back as before.
    Unchanged,
}

/// Everything that can be read back from a store: entries with what they open to, and records of the state.
#[derive(PartialEq, Eq)]
pub(crate) struct Contents {
    entries: Vec<(Vec<u8>, String)>,
    records: Vec<(u8, Vec<u8>, Vec<u8>)>,
}

/// Reads everything up to the guard; opens the entries only where that is asked for, since sealed bytes and keys that are
/// both unchanged open to the same.
pub(crate) fn contents(place: &Place, open: bool) -> Result<Contents, String> {
    let reader = open_reader(place, &image::options()).map_err(|error| error.to_string())?;
    let mut entries = Vec::new();
    for position in 0..reader.end().0 {
        let bytes = reader.reader.bytes(Position(position)).map_err(|fault| fault.to_string())?;
        if !open {
            entries.push((bytes, String::new()));
            continue;
        }
        let entry = Entry::read(&bytes).map_err(|error| error.to_string())?;
        let opened = reader.reader.open(&entry).map_err(|fault| fault.to_string())?;
        let common = opened.opened.event().map_err(|error| error.to_string())?;
        // The blob is told by its hash: written out it would be most of the work.
        let body = common.as_ref().map(|common| match &common.body {
            Body::Binary(body) => object_name(body).to_string(),
            Body::None | Body::Json(_) => format!("{:?}", common.body),
        });
        let rest =
            common.as_ref().map(|common| format!("{:?} {:?} {:?}", common.id, common.subject, common.actor));
        entries.push((bytes, format!("{body:?} {rest:?} {}", opened.erased)));
    }
    let state = SqliteState::open_read_only(&place.state).map_err(|error| error.to_string())?;
    let mut records = Vec::new();
    for table in Table::ALL {
        let found = state.scan(table, None, 1_000).map_err(|error| error.to_string())?;
        records.extend(found.into_iter().map(|record| (table.code(), record.key, record.value)));
    }
    Ok(Contents { entries, records })
}

/// A store on a disk of its own, which is changed and put back.
pub(crate) struct Bench {
    root: tempfile::TempDir,
    pub(crate) place: Place,
    pub(crate) base: Image,
    before: Report,
    /// What reads back, with the entries closed and opened.
    contents: [Contents; 2],
}

impl Bench {
    /// Writes the image down; it verifies as it is.
    pub(crate) fn new(base: Image) -> Self {
        let root = image::folder();
        image::write(root.path(), &base);
        let place = image::place(root.path());
        let before = look(&place, true);
        assert!(before.verified(), "{before:?}");
        let contents = [false, true].map(|open| contents(&place, open).unwrap());
        Self { root, place, base, before, contents }
    }

    pub(crate) fn path(&self, file: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(file)
    }

    /// Puts everything back.
    pub(crate) fn restore(&self) {
        image::write(self.root.path(), &self.base);
    }

    /// Compares what was read back, entries opened, with what was there before.
    pub(crate) fn compare(&self, found: &Contents, is_wal: bool) -> Result<(), String> {
        let [_, before] = &self.contents;
        if found.entries != before.entries {
            return Err("entries differ".to_owned());
        }
        if found.records != before.records && !is_wal {
            return Err("records of the state differ".to_owned());
        }
        Ok(())
    }

    /// Whether nothing was changed but SQLite's index of its log, and an empty log, which whoever opens the state makes.
    pub(crate) fn is_as_it_was(&self) -> bool {
        let shared = |image: &Image| -> Image {
            let is_made = |path: &Path, bytes: &[u8]| {
                is_shared_index(path) || (path == Path::new(WAL) && bytes.is_empty())
            };
            let names = image.iter().filter(|(path, bytes)| !is_made(path, bytes));
            names.map(|(path, bytes)| (path.clone(), bytes.clone())).collect()
        };
        shared(&image::read(self.root.path())) == shared(&self.base)
    }

    /// Flips a byte by a mask, verifies, judges, and flips it back.
    pub(crate) fn flip(&self, file: &Path, at: usize, mask: u8) -> Result<Outcome, String> {
        use std::os::unix::fs::FileExt;
        let path = self.path(file);
        let byte = self.base[file][at];
        let put = |byte: u8| {
            let handle = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            handle.write_all_at(&[byte], at as u64).unwrap();
        };
        put(byte ^ mask);
        let report = look(&self.place, true);
        let outcome = self.judge(file, Some(at as u64), &report);
        if report.notes.iter().any(|note| note.rebuilt) || is_shared_index(file) {
            self.restore();
        } else {
            put(byte);
        }
        outcome
    }

    /// Judges a store in which `file` was changed, at a byte or as a whole.
    pub(crate) fn judge(&self, file: &Path, at: Option<u64>, report: &Report) -> Result<Outcome, String> {
        if !report.verified() {
            let named = report.faults.iter().any(|fault| self.names(fault, file, at));
            return if named { Ok(Outcome::Fault) } else { Err(format!("not named: {:?}", report.faults)) };
        }
        let open = at.is_none_or(|at| at.is_multiple_of(OPENED_EVERY));
        let found = contents(&self.place, open);
        let found = found.map_err(|error| format!("verified, and cannot be read: {error}"))?;
        let [closed, opened] = &self.contents;
        let before = if open { opened } else { closed };
        if found.entries != before.entries {
            return Err("verified, and entries differ".to_owned());
        }
        let same_records = found.records == before.records;
        // Commits that no guard asks for may be gone with the end of the log, where that is told.
        if !same_records && file != Path::new(WAL) {
            return Err("verified, and records of the state differ".to_owned());
        }
        let path = self.path(file);
        let is_new = |note: &&waag::store::verify::Note| {
            !self.before.notes.iter().any(|before| before.what == note.what)
        };
        if let Some(note) = report.notes.iter().filter(is_new).find(|note| path.starts_with(&note.file)) {
            return self.rebuilt(file, note.rebuilt).map(|()| Outcome::Rebuilt);
        }
        let is_told = report.residue.iter().any(|fault| self.names(fault, file, at));
        if is_told || report.residue_frames < self.before.residue_frames {
            return Ok(Outcome::Residue);
        }
        let may = [STATE, WAL].iter().any(|name| file == Path::new(name)) || is_shared_index(file);
        if same_records && may { Ok(Outcome::Unchanged) } else { Err(format!("unseen: {report:?}")) }
    }

    /// Whether a fault is about this change: its file and its place.
    fn names(&self, fault: &Fault, file: &Path, at: Option<u64>) -> bool {
        let is_near = |offset: Option<u64>| match (offset, at) {
            (Some(offset), Some(at)) if file.starts_with("data/default/log") || file == Path::new(GUARD) => {
                offset <= at && at - offset < NEAR_BYTES
            }
            (Some(offset), Some(at)) => offset <= at,
            (offset, None) => offset.is_some(),
            (None, Some(_)) => false,
        };
        if file == Path::new(STATE) {
            return fault.file == self.path(file) && fault.record.is_some();
        }
        fault.file == self.path(file) && is_near(fault.offset)
    }

    /// What was derived again is what it was; the identity index is removed, and made by the next writer.
    fn rebuilt(&self, file: &Path, said: bool) -> Result<(), String> {
        let base = &self.base[file];
        let now = std::fs::read(self.path(file));
        match now {
            _ if !said => Err("a derived file is wrong and was not made again".to_owned()),
            // Behind before, complete now.
            Ok(now) if file.ends_with(HASHES_FILE) && now.starts_with(base) => Ok(()),
            Ok(now) if now == *base => Ok(()),
            Err(_) if file.starts_with("data/default/derived/identity") => Ok(()),
            Ok(_) => Err("made again, and differs".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Verifies, as the command does.
pub(crate) fn look(place: &Place, rebuild: bool) -> Report {
    verify(place, &image::options(), Depth { deep: false, rebuild }, &mut |_, _| {}).unwrap()
}

/// SQLite's index of its write-ahead log: made anew by whoever opens the state first.
pub(crate) fn is_shared_index(file: &Path) -> bool {
    file.to_string_lossy().ends_with("-shm")
}

/// How often each outcome came, by kind of file.
pub(crate) type Tally = BTreeMap<(String, Outcome), u64>;

/// The kind of a file, for the tally.
pub(crate) fn kind(file: &Path) -> String {
    let mut parts: Vec<String> =
        file.iter().skip(2).map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.len() > 1 && parts[0] != "derived" {
        parts.truncate(1);
    }
    parts.join("/")
}
