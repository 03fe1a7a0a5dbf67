//! The note that a demonstration's history is being recorded, beside its store: what it is made from, and removed when it
//! is whole. A start that finds it makes the same events again.
//!
//! Not here: making them (`traffic`), recording them (the command).

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use waag_model::time::UtcNanos;

use super::traffic::Plan;

const NAME: &str = "unfinished-history";

/// Where the note is.
#[must_use]
pub fn path(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// Notes that a history is being recorded; durable when this returns.
///
/// # Errors
/// The operating system's.
pub fn begin(folder: &Path, plan: &Plan) -> io::Result<()> {
    let mut file = File::create(path(folder))?;
    write!(file, "{}", line_of(plan))?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

/// What the note says, where there is one.
///
/// # Errors
/// The operating system's, and `InvalidData` where it is no such note.
pub fn read(folder: &Path) -> io::Result<Option<Plan>> {
    text_of(&path(folder))?.map(|text| plan_of(&text)).transpose()
}

/// What stands in a note, where there is one.
pub(super) fn text_of(path: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        text => text.map(Some),
    }
}

/// A plan as one line.
pub(super) fn line_of(plan: &Plan) -> String {
    format!("{} {} {}", plan.seed, plan.invoices, plan.end.0)
}

/// The plan of such a line.
pub(super) fn plan_of(line: &str) -> io::Result<Plan> {
    let mut words = line.split(' ');
    let mut word = || words.next().ok_or(io::ErrorKind::InvalidData);
    let wrong = |_| io::Error::from(io::ErrorKind::InvalidData);
    Ok(Plan {
        seed: word()?.parse().map_err(wrong)?,
        invoices: word()?.parse().map_err(wrong)?,
        end: UtcNanos(word()?.parse().map_err(wrong)?),
    })
}

/// Takes the note away.
///
/// # Errors
/// The operating system's.
pub fn done(folder: &Path) -> io::Result<()> {
    std::fs::remove_file(path(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_what_was_written_and_a_torn_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        let plan = Plan { seed: u64::MAX, invoices: 7, end: UtcNanos(-5) };
        begin(folder.path(), &plan).unwrap();
        assert_eq!(read(folder.path()).unwrap(), Some(plan));
        done(folder.path()).unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        for torn in ["", "7", "7 8", "a b c"] {
            std::fs::write(path(folder.path()), torn).unwrap();
            assert!(read(folder.path()).is_err(), "{torn}");
        }
    }
}
