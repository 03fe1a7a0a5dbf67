//! The folder that a benchmark fills: emptied before, removed after, and never one that holds anything else.
//!
//! Not here: folders that are kept for the next run (`views`, `pages`), which remove only what they have named themselves.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// What says that a folder is a benchmark's.
const MARK: &str = ".waag-bench";

/// A folder that is emptied before and removed after, however the benchmark ends.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Takes a folder that is not there, is empty, or was a benchmark's before.
    ///
    /// # Errors
    /// Where it holds something else: a mistyped folder is not to be lost.
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Self> {
        if folder.exists() {
            let is_empty = std::fs::read_dir(folder).with_context(|| shown(folder))?.next().is_none();
            ensure!(
                is_empty || folder.join(MARK).is_file(),
                "`{}` holds something that is no benchmark's: name a folder that is empty or not there",
                folder.display()
            );
            std::fs::remove_dir_all(folder).with_context(|| shown(folder))?;
        }
        std::fs::create_dir_all(folder).with_context(|| shown(folder))?;
        std::fs::write(folder.join(MARK), []).with_context(|| shown(folder))?;
        Ok(Self(folder.to_owned()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

fn shown(folder: &Path) -> String {
    format!("`{}`", folder.display())
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_benchmarks_own_folder_is_emptied() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("bench");
        let scratch = Scratch::new(&folder).unwrap();
        std::fs::write(scratch.path().join("left"), b"x").unwrap();
        // Killed before its end.
        std::mem::forget(scratch);
        let scratch = Scratch::new(&folder).unwrap();
        assert!(!scratch.path().join("left").exists());
        drop(scratch);
        assert!(!folder.exists());

        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("thesis.tex"), b"years").unwrap();
        let refused = Scratch::new(&folder).map(drop).unwrap_err().to_string();
        assert!(refused.contains("no benchmark's"), "{refused}");
        assert_eq!(std::fs::read(folder.join("thesis.tex")).unwrap(), b"years");
    }
}
