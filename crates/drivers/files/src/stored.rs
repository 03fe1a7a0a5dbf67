//! The file of stored hashes as the engine's contract asks for it.
//!
//! Place: behind `waag_log::hashes::StoredHashes`, for the one writer. Not here: the file (`hashes`), what a proof made
//! from it is worth (whoever makes one compares it with a signed root).

use waag_ledger::hash::Hash;
use waag_ledger::stored::HashReadError;
use waag_log::hashes::StoredHashes;

use crate::hashes::HashFile;

fn unreadable(index: u64) -> impl FnOnce(std::io::Error) -> HashReadError {
    move |error| HashReadError::Unreadable { index, reason: error.to_string() }
}

impl StoredHashes for HashFile {
    fn count(&self) -> u64 {
        HashFile::count(self)
    }

    fn write(&self, first: u64, hashes: &[Hash]) -> Result<(), HashReadError> {
        let count = HashFile::count(self);
        if first > count {
            return Err(HashReadError::Missing { index: count });
        }
        if first < count {
            self.truncate_to(first).map_err(unreadable(first))?;
        }
        self.append(hashes).map_err(unreadable(first))
    }

    fn sync(&self) -> Result<(), HashReadError> {
        HashFile::sync(self).map_err(unreadable(HashFile::count(self)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use waag_ledger::stored::HashReader;
    use waag_stdx::files::{DiskFiles, Files};

    use super::*;

    fn hash(n: u8) -> Hash {
        Hash([n; 32])
    }

    #[test]
    fn writing_cuts_what_stood_behind_and_refuses_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let files: Arc<dyn Files> = Arc::new(DiskFiles::new(folder.path()));
        let file: Box<dyn StoredHashes> = Box::new(HashFile::open(&*files, "derived/hashes").unwrap());
        file.write(0, &[hash(1), hash(2), hash(3)]).unwrap();
        file.sync().unwrap();
        file.write(1, &[hash(9)]).unwrap();
        assert_eq!(file.count(), 2);
        assert_eq!(file.write(3, &[hash(4)]).unwrap_err(), HashReadError::Missing { index: 2 });
        file.write(2, &[hash(5)]).unwrap();
        file.sync().unwrap();
        let again = HashFile::open(&*files, "derived/hashes").unwrap();
        assert_eq!(again.read_hashes(&[0, 1, 2]).unwrap(), [hash(1), hash(9), hash(5)]);
        assert_eq!(again.read_hashes(&[3]).unwrap_err(), HashReadError::Missing { index: 3 });
    }
}
