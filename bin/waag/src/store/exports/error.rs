//! Why an export cannot be written, or what was written is no export.

use std::fmt;
use std::path::PathBuf;

use waag_engine::reader::ReadFault;
use waag_keys::error::KeysError;
use waag_log::objects::ObjectError;
use waag_router::error::RouterError;

use crate::store::error::StoreError;

/// Most files that one error names.
pub const FILES_NAMED_MAX: usize = 20;

/// Files of an export that are not as they should be.
#[derive(Debug, Default)]
pub struct FileFaults {
    /// Each file, below the export's folder, with what is wrong with it; at most [`FILES_NAMED_MAX`].
    pub named: Vec<(String, &'static str)>,
    /// How many more there are.
    pub more: u64,
}

impl FileFaults {
    /// One more file.
    pub(super) fn push(&mut self, file: String, what: &'static str) {
        if self.named.len() < FILES_NAMED_MAX {
            self.named.push((file, what));
        } else {
            self.more = self.more.saturating_add(1);
        }
    }
}

/// Why something about an export failed.
#[derive(Debug)]
pub enum ExportError {
    /// The folder cannot take one: it has something in it already.
    Folder(PathBuf),
    /// The store cannot sign: it is a copy.
    NoSigner,
    /// The exported store had a passphrase, and the copy would have none.
    Unprotected,
    /// What is there is not what it should be.
    Damaged {
        /// The file, below the export's folder.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// Files are missing, were changed, or do not belong.
    Files(FileFaults),
    /// There is no note that the ledger's keys have signed.
    Unsigned(String),
    /// The store.
    Store(StoreError),
    /// The router's records.
    Router(RouterError),
    /// Recording it failed: code and sentence of what did.
    Unrecorded(&'static str, String),
}

impl ExportError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Folder(_) => "E0745",
            Self::NoSigner => "E0746",
            Self::Damaged { .. } | Self::Files(_) => "E0747",
            Self::Unprotected => "E0765",
            Self::Unsigned(_) => "E0748",
            Self::Store(error) => error.code(),
            Self::Router(error) => error.code(),
            Self::Unrecorded(code, _) => code,
        }
    }

    /// Names what is wrong with a file of an export.
    pub(super) fn damaged(file: &str, why: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_owned(), why: why.into() }
    }
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => {
                write!(f, "`{}` is not empty; an export goes into a new folder", path.display())
            }
            Self::NoSigner => {
                write!(f, "this store is a copy that cannot sign; export from the store it was made of")
            }
            Self::Unprotected => write!(
                f,
                "the exported store had a passphrase and the new one would have none; name a file with --passphrase-file, or \
                 say --no-passphrase"
            ),
            Self::Damaged { file, why } => write!(f, "`{file}` of the export is not as it should be: {why}"),
            Self::Files(faults) => {
                write!(f, "the export is not as it should be: ")?;
                for (at, (file, what)) in faults.named.iter().enumerate() {
                    let before = if at == 0 { "" } else { "; " };
                    write!(f, "{before}`{}` {what}", file.escape_debug())?;
                }
                match faults.more {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more files"),
                }
            }
            Self::Unsigned(why) => write!(f, "this is no whole export of a known ledger: {why}"),
            Self::Store(error) => error.fmt(f),
            Self::Router(error) => error.fmt(f),
            Self::Unrecorded(_, why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ExportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => std::error::Error::source(error),
            Self::Folder(_)
            | Self::NoSigner
            | Self::Unprotected
            | Self::Files(_)
            | Self::Damaged { .. }
            | Self::Unsigned(_)
            | Self::Router(_)
            | Self::Unrecorded(..) => None,
        }
    }
}

impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<RouterError> for ExportError {
    fn from(error: RouterError) -> Self {
        Self::Router(error)
    }
}

macro_rules! by_store {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for ExportError {
            fn from(error: $error) -> Self {
                Self::Store(error.into())
            }
        }
    )*};
}
by_store!(
    ReadFault,
    KeysError,
    ObjectError,
    waag_keys::state::StateError,
    waag_keys::vault::VaultError,
    waag_files::error::OpenError,
    waag_log::guard::GuardError,
);
