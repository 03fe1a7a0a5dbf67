//! The note of how far a demonstration's traffic came, beside its store, so that the next start goes on with the same firm:
//! its plan, and how many events behind the thirty days were taken.
//!
//! Written about once a second and at an orderly end. After a kill it is behind by what came since; those events are made
//! again with another time, which the ledger refuses as other content under a known id, and the firm goes on behind them.
//!
//! Not here: making events (`traffic`), whether the thirty days are whole (`unfinished`).

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::traffic::Plan;
use super::unfinished::{line_of, plan_of, text_of};

const NAME: &str = "traffic";
const NEXT: &str = "traffic.new";

/// Where the note is.
#[must_use]
pub fn path(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// Writes how far it is; whole or not at all.
///
/// # Errors
/// The operating system's.
pub fn write(folder: &Path, plan: &Plan, taken: u64) -> io::Result<()> {
    let mut next = File::create(folder.join(NEXT))?;
    next.write_all(format!("{} {taken}", line_of(plan)).as_bytes())?;
    // Without it a power loss may leave the name with nothing behind it.
    next.sync_data()?;
    std::fs::rename(folder.join(NEXT), path(folder))
}

/// What the note says; none beside a demonstration of a build that kept no such note.
///
/// # Errors
/// The operating system's, and `InvalidData` where it is no such note.
pub fn read(folder: &Path) -> io::Result<Option<(Plan, u64)>> {
    let Some(text) = text_of(&path(folder))? else { return Ok(None) };
    let (plan, taken) = text.rsplit_once(' ').ok_or(io::ErrorKind::InvalidData)?;
    let taken = taken.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(Some((plan_of(plan)?, taken)))
}

#[cfg(test)]
mod tests {
    use waag_model::time::UtcNanos;

    use super::*;

    #[test]
    fn a_note_says_what_was_written_and_a_torn_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        let plan = Plan { seed: 3, invoices: 7, end: UtcNanos(i64::MIN) };
        for taken in [0, u64::MAX] {
            write(folder.path(), &plan, taken).unwrap();
            assert_eq!(read(folder.path()).unwrap(), Some((plan, taken)));
        }
        for torn in ["", "3", "3 7 5", "3 7 5 x"] {
            std::fs::write(path(folder.path()), torn).unwrap();
            assert!(read(folder.path()).is_err(), "{torn}");
        }
    }
}
