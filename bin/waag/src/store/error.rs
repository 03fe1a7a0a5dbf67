//! Why a store cannot be made or opened, each with a stable code; what drivers and the engine say keeps theirs.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use waag_engine::effect::Rejection;
use waag_engine::reader::ReadFault;
use waag_engine::sealer::SealError;
use waag_files::error::OpenError as LogOpenError;
use waag_http::fault::Kind;
use waag_keys::error::KeysError;
use waag_keys::state::StateError;
use waag_keys::vault::VaultError;
use waag_ledger::note::NoteError;
use waag_ledger::proof::ProofError;
use waag_ledger::tlog_proof::TlogProofError;
use waag_log::guard::GuardError;
use waag_log::objects::ObjectError;
use waag_model::ids::Position;

use super::room::NoRoom;
use crate::node::publishing::status::Stopped;

/// Why a ledger may only be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOnly {
    /// It was restored, until it is promoted.
    Restored,
    /// Another store took over the right to write it.
    HandedOver,
    /// A promotion took its place.
    Earlier,
}

/// Why something about a store failed.
#[derive(Debug)]
pub enum StoreError {
    /// There is no store in this folder.
    Missing(PathBuf),
    /// The folder has no such tenant.
    NoTenant {
        /// The tenant that was asked for.
        tenant: String,
        /// The folder.
        root: PathBuf,
    },
    /// The data is there and its state folder is not.
    StateMissing(PathBuf),
    /// The state is there and its data folder is not.
    DataMissing(PathBuf),
    /// The state folder would lie inside the data folder.
    StateInside(PathBuf),
    /// Others can write the state folder or a file of it.
    TooOpen {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another process writes this store.
    InUse,
    /// The log has frames and there is no guard.
    NoGuard,
    /// The ledger may only be read.
    ReadOnly(ReadOnly),
    /// A promotion is under way, or was broken off.
    Promoting(PathBuf),
    /// A restore was broken off before there was a store.
    Restoring {
        /// The data folder that has some of it.
        data: PathBuf,
        /// The state folder that has some of it.
        state: PathBuf,
    },
    /// A file operation failed.
    Io {
        /// What was attempted.
        operation: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A thread could not be started.
    Thread(io::Error),
    /// A registered schema or dictionary is missing or is not what was registered.
    SchemaObject {
        /// The event type.
        kind: String,
        /// The version.
        version: u32,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A registration in the ledger cannot be read.
    Registration(Position),
    /// A type that cannot be registered.
    SchemaType(&'static str),
    /// The ledger has no entries, so there is nothing to verify.
    Empty,
    /// A file that has no place in a store.
    Foreign,
    /// Too little is free on the disks of the store to take more events.
    NoRoom(NoRoom),
    /// What the ledger recorded about itself could not be recorded.
    Unrecorded(&'static str),
    /// A name that no checkpoint can carry.
    Origin(NoteError),
    /// The log's driver.
    Log(LogOpenError),
    /// The state.
    State(StateError),
    /// The vault.
    Vault(VaultError),
    /// The keys.
    Keys(KeysError),
    /// The guard.
    Guard(GuardError),
    /// The objects.
    Object(ObjectError),
    /// The engine's recovery.
    Recover(waag_engine::recover::OpenError),
    /// Reading entries.
    Read(ReadFault),
    /// Sealing.
    Seal(SealError),
    /// The writer.
    Rejected(Rejection),
    /// The ledger is not the one that this node has published, grown.
    Published(Stopped),
    /// A proof does not hold.
    Proof(ProofError),
    /// A proof and a checkpoint do not fit together.
    ProofText(TlogProofError),
}

impl StoreError {
    /// Names the operation and path of a failed file operation.
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "E0801",
            Self::NoTenant { .. } => "E0802",
            Self::StateMissing(_) => "E0803",
            Self::DataMissing(_) => "E0804",
            Self::StateInside(_) => "E0805",
            Self::TooOpen { .. } => "E0828",
            Self::InUse => "E0806",
            Self::NoGuard => "E0807",
            Self::ReadOnly(_) => "E0741",
            Self::Io { .. } => "E0808",
            Self::Thread(_) => "E0809",
            Self::SchemaObject { .. } => "E0810",
            Self::Registration(_) => "E0811",
            Self::SchemaType(_) => "E0812",
            Self::Unrecorded(_) => "E0813",
            Self::Restoring { .. } => "E0817",
            Self::Promoting(_) => "E0818",
            Self::Empty => "E0814",
            Self::Foreign => "E0815",
            Self::NoRoom(_) => Kind::NoRoom.code(),
            Self::Origin(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::State(error) => error.code(),
            Self::Vault(error) => error.code(),
            Self::Keys(error) => error.code(),
            Self::Guard(error) => error.code(),
            Self::Object(error) => error.code(),
            Self::Recover(error) => error.code(),
            Self::Read(error) => error.code(),
            Self::Seal(error) => error.code(),
            Self::Rejected(error) => error.code(),
            Self::Published(stopped) => stopped.code,
            Self::Proof(error) => error.code(),
            Self::ProofText(error) => error.code(),
        }
    }

    /// What another crate said, where this only passes it on.
    fn inner(&self) -> Option<&(dyn Error + 'static)> {
        Some(match self {
            Self::Missing(_)
            | Self::NoTenant { .. }
            | Self::StateMissing(_)
            | Self::DataMissing(_)
            | Self::StateInside(_)
            | Self::TooOpen { .. }
            | Self::InUse
            | Self::NoGuard
            | Self::ReadOnly(_)
            | Self::Promoting(_)
            | Self::Restoring { .. }
            | Self::Io { .. }
            | Self::Thread(_)
            | Self::SchemaObject { .. }
            | Self::Registration(_)
            | Self::SchemaType(_)
            | Self::Empty
            | Self::Foreign
            | Self::Unrecorded(_) => return None,
            Self::NoRoom(error) => error,
            Self::Origin(error) => error,
            Self::Log(error) => error,
            Self::State(error) => error,
            Self::Vault(error) => error,
            Self::Keys(error) => error,
            Self::Guard(error) => error,
            Self::Object(error) => error,
            Self::Recover(error) => error,
            Self::Read(error) => error,
            Self::Seal(error) => error,
            Self::Rejected(error) => error,
            Self::Published(stopped) => stopped,
            Self::Proof(error) => error,
            Self::ProofText(error) => error,
        })
    }
}

impl fmt::Display for ReadOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restored => {
                "this store was restored and may only be read: entries may have been acknowledged beyond it; \
                 `waag promote` goes on under a new ledger"
            }
            Self::HandedOver => {
                "the right to write was handed over to a restored store (`waag restore --guard`): this one is never \
                 written nor promoted again"
            }
            Self::Earlier => "an earlier ledger is only read, for ever: without --earlier the present one is written",
        })
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(inner) = self.inner() {
            return fmt::Display::fmt(inner, f);
        }
        match self {
            Self::Missing(root) => {
                write!(f, "there is no store in `{}`; `waag init` makes one", root.display())
            }
            Self::NoTenant { tenant, root } => {
                let (root, makes) = (root.display(), format!("waag init --tenant {tenant}"));
                write!(f, "there is no tenant `{tenant}` in `{root}`; `{makes}` makes one")
            }
            Self::StateMissing(path) => {
                let path = path.display();
                write!(f, "the state folder `{path}` is missing, and with it the keys and the guard")
            }
            Self::DataMissing(path) => {
                let path = path.display();
                write!(
                    f,
                    "the data folder `{path}` is missing; `waag init` goes on where it was just being made"
                )
            }
            Self::StateInside(path) => {
                let path = path.display();
                write!(f, "the state folder `{path}` lies inside the data folder; it must stand apart")
            }
            Self::TooOpen { path, mode } => {
                let path = path.display();
                write!(f, "others can write `{path}` (mode {mode:04o}); it must be its owner's alone")
            }
            Self::InUse => write!(f, "another process writes this store"),
            Self::NoGuard => write!(f, "the log has entries and its guard is missing"),
            Self::ReadOnly(why) => why.fmt(f),
            Self::Promoting(state) => write!(
                f,
                "a promotion is under way in `{}` or was broken off: `waag promote` again finishes it",
                state.display()
            ),
            Self::Restoring { data, state } => {
                let (data, state) = (data.display(), state.display());
                write!(f, "a restore was broken off here: remove `{data}` and `{state}`, and begin anew")
            }
            Self::Io { operation, path, .. } => write!(f, "cannot {operation} `{}`", path.display()),
            Self::Thread(_) => write!(f, "cannot start a thread"),
            Self::SchemaObject { kind, version, why } => {
                write!(f, "the schema of `{kind}`, version {version}, {why}")
            }
            Self::Registration(at) => write!(f, "the registration at position {at} cannot be read"),
            Self::SchemaType(why) => write!(f, "the type {why}"),
            Self::Empty => write!(f, "the ledger is empty: there is nothing to export"),
            Self::Foreign => write!(f, "no file of a store"),
            Self::Unrecorded(what) => write!(f, "the ledger has another event in the place of {what}"),
            Self::NoRoom(_)
            | Self::Origin(_)
            | Self::Log(_)
            | Self::State(_)
            | Self::Vault(_)
            | Self::Keys(_)
            | Self::Guard(_)
            | Self::Object(_)
            | Self::Recover(_)
            | Self::Read(_)
            | Self::Seal(_)
            | Self::Rejected(_)
            | Self::Published(_)
            | Self::Proof(_)
            | Self::ProofText(_) => Ok(()),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        if let Self::Io { source, .. } | Self::Thread(source) = self {
            return Some(source);
        }
        // What is passed on has lent this error its text, so the chain goes on behind it.
        self.inner().and_then(Error::source)
    }
}

impl From<StateError> for StoreError {
    fn from(error: StateError) -> Self {
        if error == StateError::InUse { Self::InUse } else { Self::State(error) }
    }
}

impl From<LogOpenError> for StoreError {
    fn from(error: LogOpenError) -> Self {
        if matches!(error, LogOpenError::Held) { Self::InUse } else { Self::Log(error) }
    }
}

impl From<GuardError> for StoreError {
    fn from(error: GuardError) -> Self {
        if matches!(error, GuardError::Held) {
            return Self::InUse;
        }
        // What every command says of a guard that is not there.
        let is_missing =
            matches!(&error, GuardError::Failed { source, .. } if source.kind() == io::ErrorKind::NotFound);
        if is_missing { Self::NoGuard } else { Self::Guard(error) }
    }
}

macro_rules! from {
    ($($error:ty => $variant:ident),* $(,)?) => {$(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}
from! {
    VaultError => Vault,
    KeysError => Keys,
    ObjectError => Object,
    waag_engine::recover::OpenError => Recover,
    ReadFault => Read,
    SealError => Seal,
    Rejection => Rejected,
    ProofError => Proof,
}
