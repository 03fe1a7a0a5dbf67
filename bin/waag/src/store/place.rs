//! Where a tenant's store is.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use waag_files::guard::{GUARD_FILE, inspect};
use waag_model::ids::{LedgerId, TenantName};
use waag_sqlite::state::STATE_FILE;
use waag_sqlite::wal::{WAL_FILE, WAL_INDEX_FILE};
use waag_stdx::files::{DiskFiles, Files};

use super::error::StoreError;

/// The one ledger of a tenant, by its name.
pub const LEDGER: &str = "main";
/// The file of stored hashes, below the data folder.
pub const HASHES_FILE: &str = "derived/hashes";
/// The folder of the read models, below the data folder; derived, and checked by `waag views check`.
pub const VIEWS_FOLDER: &str = "views";

/// The folder of the doors' access log, below the data folder; no part of the ledger.
pub const ACCESS_FOLDER: &str = "access";

/// The folder of earlier ledgers, below the data folder and below the state folder: what was promoted away from.
pub const BEFORE_FOLDER: &str = "before";

/// The mark of a restore that was not verified to its end, below the state folder.
pub const RESTORING_FILE: &str = "restoring";

/// The mark of a promotion that is not done, below the state folder.
pub const PROMOTING_FILE: &str = "promoting";

/// Whose right to write a restored store is about to take over, below its state folder.
pub const TAKING_OVER_FILE: &str = "taking-over";

/// To which store the right to write was handed over, below the state folder that had it.
pub const HANDED_OVER_FILE: &str = "handed-over";

/// A tenant's two folders, and which of its ledgers is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The tenant.
    pub tenant: TenantName,
    /// `DIR/<tenant>`: log, derived files, objects.
    pub data: PathBuf,
    /// `DIR.state/<tenant>`: state, guard, vault.
    pub state: PathBuf,
    /// An earlier ledger, which is read and never written; its log is below `before/` in both folders.
    pub before: Option<LedgerId>,
}

impl Place {
    /// The place of a tenant below `data`, and below `state` or else `data` with `.state` behind its name.
    ///
    /// # Errors
    /// [`StoreError::StateInside`]; [`StoreError::Io`] where the working folder is gone.
    pub fn new(data: &Path, state: Option<&Path>, tenant: TenantName) -> Result<Self, StoreError> {
        let absolute = |path: &Path| std::path::absolute(path).map_err(StoreError::io("resolve", path));
        let state = match state {
            Some(state) => state.to_owned(),
            None => {
                let whole = absolute(data)?;
                let mut name = data.file_name().or(whole.file_name()).unwrap_or_default().to_owned();
                name.push(".state");
                if data.file_name().is_some() {
                    data.with_file_name(name)
                } else {
                    whole.with_file_name(name)
                }
            }
        };
        if absolute(&state)?.starts_with(absolute(data)?) {
            return Err(StoreError::StateInside(state));
        }
        let folder = tenant.as_str();
        Ok(Self { data: data.join(folder), state: state.join(folder), tenant, before: None })
    }

    /// The place of an earlier ledger of this tenant: a log and a guard of its own, everything else shared.
    #[must_use]
    pub fn earlier(&self, ledger: LedgerId) -> Self {
        let data = self.data.join(BEFORE_FOLDER).join(ledger.to_string());
        Self { data, before: Some(ledger), ..self.clone() }
    }

    /// The name under which the state has an earlier ledger.
    #[must_use]
    pub fn earlier_name(ledger: LedgerId) -> String {
        format!("{BEFORE_FOLDER}-{ledger}")
    }

    /// The name under which the state has this ledger.
    #[must_use]
    pub fn ledger_name(&self) -> String {
        self.before.map_or_else(|| LEDGER.to_owned(), Self::earlier_name)
    }

    /// Refuses a state folder that others can write, or a file of it: what stands there is then not only the owner's word.
    ///
    /// # Errors
    /// [`StoreError::TooOpen`]; [`StoreError::Io`] where a mode cannot be read.
    pub fn check_modes(&self) -> Result<(), StoreError> {
        let files = [STATE_FILE, WAL_FILE, WAL_INDEX_FILE, GUARD_FILE];
        for path in [self.state.clone()].into_iter().chain(files.map(|name| self.state.join(name))) {
            let found = match std::fs::metadata(&path) {
                // What must be there is missed where it is opened.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.map_err(StoreError::io("read the mode of", &path))?,
            };
            let mode = found.permissions().mode() & 0o7777;
            if mode & 0o022 != 0 {
                return Err(StoreError::TooOpen { path, mode });
            }
        }
        Ok(())
    }

    /// The folder of this ledger's guard.
    #[must_use]
    pub fn guard_folder(&self) -> PathBuf {
        match self.before {
            None => self.state.clone(),
            Some(ledger) => self.state.join(BEFORE_FOLDER).join(ledger.to_string()),
        }
    }

    /// The files beside this ledger's guard.
    #[must_use]
    pub fn guard_files(&self) -> Arc<dyn Files> {
        Arc::new(DiskFiles::new(&self.guard_folder()))
    }

    /// The folder above the objects, which all ledgers of a tenant share.
    #[must_use]
    pub fn object_folder(&self) -> &Path {
        let shared = self.before.and_then(|_| self.data.parent()?.parent());
        shared.unwrap_or(&self.data)
    }

    /// Its files.
    #[must_use]
    pub fn object_files(&self) -> Arc<dyn Files> {
        Arc::new(DiskFiles::new(self.object_folder()))
    }

    /// The data folder's files.
    #[must_use]
    pub fn data_files(&self) -> Arc<dyn Files> {
        Arc::new(DiskFiles::new(&self.data))
    }

    /// The state folder's files.
    #[must_use]
    pub fn state_files(&self) -> Arc<dyn Files> {
        Arc::new(DiskFiles::new(&self.state))
    }

    /// Whether a restore into this place is not verified to its end.
    #[must_use]
    pub fn is_restoring(&self) -> bool {
        self.state.join(RESTORING_FILE).exists()
    }

    /// Refuses what a restore has left that was broken off before there was a store.
    ///
    /// # Errors
    /// [`StoreError::Restoring`].
    pub fn must_not_be_half_restored(&self) -> Result<(), StoreError> {
        // The guard comes behind everything else, also where an earlier ledger is meant.
        let has_guard = || inspect(&*self.state_files()).is_ok_and(|guard| guard.record.is_some());
        if self.is_restoring() && !has_guard() {
            let (data, state) = (self.object_folder().to_owned(), self.state.clone());
            return Err(StoreError::Restoring { data, state });
        }
        Ok(())
    }

    /// Whether a promotion of this store was begun and is not done.
    #[must_use]
    pub fn is_promoting(&self) -> bool {
        self.state.join(PROMOTING_FILE).exists()
    }

    /// Refuses a place where no store was made, and says what is missing (`STORE-1`); also one that a promotion has left
    /// in between, which would look like an empty ledger, or like a forged one.
    ///
    /// # Errors
    /// [`StoreError::Promoting`]; as [`Place::must_stand`].
    pub fn must_exist(&self) -> Result<(), StoreError> {
        if self.is_promoting() {
            return Err(StoreError::Promoting(self.state.clone()));
        }
        self.must_stand()
    }

    /// The same, also while a promotion is not done: for the promotion itself.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::NoTenant`], [`StoreError::StateMissing`], [`StoreError::DataMissing`],
    /// [`StoreError::Restoring`].
    pub fn must_stand(&self) -> Result<(), StoreError> {
        self.must_not_be_half_restored()?;
        match (self.data.is_dir(), self.state.is_dir()) {
            (true, true) => Ok(()),
            (true, false) => Err(StoreError::StateMissing(self.state.clone())),
            (false, true) => Err(StoreError::DataMissing(self.data.clone())),
            (false, false) => {
                let root = self.data.parent().unwrap_or(&self.data);
                if root.is_dir() {
                    Err(StoreError::NoTenant { tenant: self.tenant.to_string(), root: root.to_owned() })
                } else {
                    Err(StoreError::Missing(root.to_owned()))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(data: &str, state: Option<&str>) -> Result<Place, StoreError> {
        Place::new(Path::new(data), state.map(Path::new), TenantName::new("bank").unwrap())
    }

    #[test]
    fn the_state_stands_beside_the_data_and_never_inside() {
        let here = place("a/waag-data", None).unwrap();
        assert_eq!(here.data, Path::new("a/waag-data/bank"));
        assert_eq!(here.state, Path::new("a/waag-data.state/bank"));
        assert_eq!(place("a/waag-data/", None).unwrap().state, Path::new("a/waag-data.state/bank"));
        assert_eq!(place("a", Some("b")).unwrap().state, Path::new("b/bank"));
        let dot = place(".", None).unwrap().state;
        let folder = std::env::current_dir().unwrap();
        assert_eq!(
            dot,
            folder
                .with_file_name(format!("{}.state", folder.file_name().unwrap().to_str().unwrap()))
                .join("bank")
        );
        for inside in ["a", "a/state", "./a/b"] {
            assert!(matches!(place("a", Some(inside)), Err(StoreError::StateInside(_))), "{inside}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let here = Place::new(&folder.path().join("d"), None, TenantName::new("bank").unwrap()).unwrap();
        assert!(matches!(here.must_exist(), Err(StoreError::Missing(_))));
        std::fs::create_dir(folder.path().join("d")).unwrap();
        assert!(matches!(here.must_exist(), Err(StoreError::NoTenant { .. })));
        std::fs::create_dir_all(&here.data).unwrap();
        assert!(matches!(here.must_exist(), Err(StoreError::StateMissing(_))));
        std::fs::create_dir_all(&here.state).unwrap();
        here.must_exist().unwrap();
        std::fs::remove_dir(&here.data).unwrap();
        assert!(matches!(here.must_exist(), Err(StoreError::DataMissing(_))));
    }
}
