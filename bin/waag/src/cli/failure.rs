//! How a command fails: one code, one sentence with its causes, one exit code. Every code of the command line is here.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use waag_engine::reader::ReadFault;
use waag_entry::error::EntryError;
use waag_files::error::OpenError;
use waag_http::fault::Kind;
use waag_keys::error::KeysError;
use waag_keys::vault::VaultError;
use waag_model::ids::NameError;

use crate::store::beside::AskError;
use crate::store::error::StoreError;
use crate::store::own::RegisterError;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or verified.
    Done,
    /// Some events were refused, or not verified.
    Refused,
    /// The caller asked for something that cannot be.
    Usage,
    /// Disk, permissions, another process, damage.
    Environment,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Refused => 1,
            Exit::Usage => 2,
            Exit::Environment => 3,
        })
    }
}

/// Why a command could not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The stable code.
    pub(crate) code: &'static str,
    /// What happened, with its causes.
    pub(crate) reason: String,
    /// How the program ends.
    pub(crate) exit: Exit,
}

/// Errors of the command line itself.
#[derive(Debug)]
pub(crate) enum CliError {
    /// Arguments that clap or a command refused.
    Usage(String),
    /// A file that was named cannot be read or written.
    File { operation: &'static str, path: PathBuf, source: io::Error },
    /// With `--strict`, standard input longer than is held in memory, in bytes.
    StrictTooLong(usize),
    /// No page has this code.
    NoSuchCode(String),
    /// The answer could not be written.
    Output(io::Error),
    /// An input ended with an error.
    Input { name: String, source: io::Error },
    /// Samples that make no dictionary.
    Samples(String),
    /// A passphrase file that holds none.
    NoPassphrase(PathBuf),
    /// There is something where a new file was to be made.
    There(PathBuf),
}

impl CliError {
    fn code(&self) -> &'static str {
        match self {
            Self::Usage(_) => "E0700",
            Self::File { .. } => "E0701",
            Self::StrictTooLong(_) => "E0702",
            Self::NoSuchCode(_) => "E0703",
            Self::Output(_) => "E0704",
            Self::Input { .. } => "E0705",
            Self::Samples(_) => "E0706",
            Self::NoPassphrase(_) => "E0707",
            Self::There(_) => "E0708",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Usage(_)
            | Self::StrictTooLong(_)
            | Self::NoSuchCode(_)
            | Self::Samples(_)
            | Self::NoPassphrase(_)
            | Self::There(_) => Exit::Usage,
            Self::File { .. } | Self::Output(_) | Self::Input { .. } => Exit::Environment,
        }
    }

    /// Names the operation and path of a failed file operation.
    pub(crate) fn file(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { operation, path, source }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) => f.write_str(text),
            Self::File { operation, path, .. } => write!(f, "cannot {operation} `{}`", path.display()),
            Self::StrictTooLong(bytes) => {
                write!(f, "`--strict` holds standard input in memory, and it has more than {bytes} bytes")
            }
            Self::NoSuchCode(code) => write!(f, "no page has the code `{code}`"),
            Self::Output(_) => write!(f, "the answer cannot be written"),
            Self::Input { name, .. } => write!(f, "`{name}` cannot be read further"),
            Self::Samples(why) => write!(f, "the samples make no dictionary: {why}"),
            Self::NoPassphrase(path) => write!(f, "`{}` holds no passphrase", path.display()),
            Self::There(path) => write!(f, "`{}` is there already, and is not replaced", path.display()),
        }
    }
}

impl Error for CliError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File { source, .. } | Self::Output(source) | Self::Input { source, .. } => Some(source),
            Self::Usage(_)
            | Self::StrictTooLong(_)
            | Self::NoSuchCode(_)
            | Self::Samples(_)
            | Self::NoPassphrase(_)
            | Self::There(_) => None,
        }
    }
}

/// Why one event was not recorded, though nothing is wrong with its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventRefusal {
    /// Its type is one of Waag's own.
    OwnType,
    /// It names another tenant than the one it was given to.
    OtherTenant,
    /// Another event has its `source` and `id`.
    Conflict,
    /// What has its `source` and `id` was erased, so the two cannot be compared.
    Erased,
}

impl EventRefusal {
    /// The HTTP door refuses the same, with the same code and words.
    fn kind(self) -> Kind {
        match self {
            Self::OwnType => Kind::OwnType,
            Self::OtherTenant => Kind::OtherTenant,
            Self::Conflict => Kind::Conflict,
            Self::Erased => Kind::Erased,
        }
    }

    /// The stable code.
    pub(crate) fn code(self) -> &'static str {
        self.kind().code()
    }
}

impl fmt::Display for EventRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind().fmt(f)
    }
}

/// An error's text with its causes behind it, each said once.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text.push_str(": ");
            text.push_str(&next_text);
        }
        cause = next.source();
    }
    text
}

impl Failure {
    /// Wrong usage, in words.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        CliError::Usage(text.into()).into()
    }

    /// A name that cannot be one; `what` says whose.
    pub(crate) fn name(what: &str, error: NameError) -> Self {
        Self { code: error.code(), reason: format!("{what}: {error}"), exit: Exit::Usage }
    }
}

impl From<CliError> for Failure {
    fn from(error: CliError) -> Self {
        Self { code: error.code(), reason: chain(&error), exit: error.exit() }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let is_callers = matches!(
            &error,
            StoreError::StateInside(_)
                | StoreError::SchemaType(_)
                | StoreError::Origin(_)
                | StoreError::Vault(VaultError::Passphrase(_))
                | StoreError::Keys(
                    KeysError::Vault(VaultError::Passphrase(_))
                        | KeysError::Name(_)
                        | KeysError::NoSigner(_)
                        | KeysError::LastSigner
                        | KeysError::SignersFull
                        | KeysError::ActiveSignersFull
                        | KeysError::LedgersFull
                        | KeysError::Restricted,
                )
                | StoreError::Read(ReadFault::Beyond(_) | ReadFault::Entry(EntryError::NoPart(_)))
                | StoreError::Log(OpenError::Config(_))
        );
        let exit = if is_callers { Exit::Usage } else { Exit::Environment };
        Self { code: error.code(), reason: chain(&error), exit }
    }
}

impl From<crate::store::subjects::SubjectsError> for Failure {
    fn from(error: crate::store::subjects::SubjectsError) -> Self {
        use crate::store::subjects::SubjectsError;
        if let SubjectsError::Store(error) = error {
            return error.into();
        }
        let exit = if error.is_callers() { Exit::Usage } else { Exit::Environment };
        Self { code: error.code(), reason: chain(&error), exit }
    }
}

impl From<crate::node::subjects::AskedError> for Failure {
    fn from(error: crate::node::subjects::AskedError) -> Self {
        use crate::node::subjects::AskedError;
        if let AskedError::Subjects(error) = error {
            return error.into();
        }
        Self { code: error.code(), reason: chain(&error), exit: Exit::Usage }
    }
}

impl From<waag_domain::project::RowsError> for Failure {
    fn from(error: waag_domain::project::RowsError) -> Self {
        Self { code: error.code, reason: error.reason, exit: Exit::Environment }
    }
}

impl From<waag_import::MappingError> for Failure {
    fn from(error: waag_import::MappingError) -> Self {
        Self { code: error.code(), reason: chain(&error), exit: Exit::Usage }
    }
}

impl From<waag_import::ImportError> for Failure {
    fn from(error: waag_import::ImportError) -> Self {
        Self { code: error.code(), reason: chain(&error), exit: Exit::Environment }
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        Self { code: error.code(), reason: chain(&error), exit: Exit::Environment }
    }
}

impl From<RegisterError> for Failure {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Store(error) => error.into(),
            RegisterError::Json(_) | RegisterError::Schema(_) | RegisterError::Dictionary(_) => {
                Self { code: error.code(), reason: chain(&error), exit: Exit::Refused }
            }
        }
    }
}

macro_rules! by_node {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self { code: error.code(), reason: chain(&error), exit: Exit::Environment }
            }
        }
    )*};
}
by_node!(
    crate::node::NodeError,
    crate::node::api_keys::ApiKeyError,
    crate::node::doors::DoorsError,
    crate::node::following::FollowingError,
    waag_views::error::ViewsError,
    waag_views::projector::ProjectError,
);

macro_rules! by_store {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                StoreError::from(error).into()
            }
        }
    )*};
}
by_store!(
    ReadFault,
    KeysError,
    VaultError,
    waag_engine::effect::Rejection,
    waag_log::objects::ObjectError,
    waag_engine::recover::OpenError,
    waag_ledger::proof::ProofError,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_says_each_cause_once() {
        let error = CliError::File { operation: "read", path: "x".into(), source: io::Error::other("gone") };
        assert_eq!(chain(&error), "cannot read `x`: gone");
        let failure = Failure::from(error);
        assert_eq!((failure.code, failure.exit), ("E0701", Exit::Environment));
    }
}
