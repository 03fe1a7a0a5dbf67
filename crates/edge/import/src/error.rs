//! Why a mapping or a whole file cannot be taken; each kind has a stable code.
//!
//! Not here: what is odd about one record of a file that can be read (`report.rs`): that ends nothing.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::limits::{ELEMENT_DEPTH_MAX, MAPPING_BYTES_MAX, MAPPING_NAMES_MAX, PIECE_BYTES_MAX};

/// A mapping that cannot be used; the fault is the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappingError {
    /// Not TOML, an unknown key, or a value of another kind; the text says what was met.
    Form {
        /// Line of the mapping file, counted from 1; 0 where none can be told.
        line: usize,
        /// What the reader of TOML says.
        why: String,
    },
    /// A value that has the right kind and cannot be used.
    Value {
        /// Line of the mapping file, counted from 1; 0 where none can be told.
        line: usize,
        /// The key, with its table.
        key: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Something that this format of log needs is not there.
    Missing {
        /// The key, with its table.
        key: &'static str,
    },
    /// More bytes or names than the limits.
    TooLarge,
}

impl MappingError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Form { .. } => "E1020",
            Self::Value { .. } => "E1021",
            Self::Missing { .. } => "E1022",
            Self::TooLarge => "E1023",
        }
    }
}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form { line, why } => write!(f, "line {line} of the mapping: {why}"),
            Self::Value { line, key, why } => write!(f, "line {line} of the mapping: `{key}` {why}"),
            Self::Missing { key } => write!(f, "the mapping lacks `{key}`"),
            Self::TooLarge => write!(
                f,
                "the mapping is larger than {MAPPING_BYTES_MAX} bytes or {MAPPING_NAMES_MAX} names of a kind"
            ),
        }
    }
}

impl std::error::Error for MappingError {}

/// A file that cannot be read on; the events before it stand.
#[derive(Clone, Debug)]
pub enum ImportError {
    /// The environment's: the reader that was passed in failed.
    Read(Arc<io::Error>),
    /// The gzip form is broken or cut short.
    Gzip(Arc<io::Error>),
    /// Not well-formed XML.
    Xml {
        /// Line of the unpacked text, counted from 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// The XML has a document type declaration, which could define entities.
    Doctype {
        /// Line of the unpacked text.
        line: u64,
    },
    /// Elements nested deeper than `ELEMENT_DEPTH_MAX`.
    TooDeep {
        /// Line of the unpacked text.
        line: u64,
    },
    /// A tag, a text or a row longer than `PIECE_BYTES_MAX`.
    TooLong {
        /// Line of the unpacked text where it was given up.
        line: u64,
    },
    /// An encoding that is not known, or bytes that it does not have.
    Encoding {
        /// Line of the unpacked text.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// Well-formed, but not an XES log.
    NotXes {
        /// The root element that was met; empty where there is none.
        root: String,
    },
    /// The table's header has no column of this name, or has it twice.
    Column {
        /// The column's name in the mapping.
        name: String,
        /// Whether it is there twice.
        twice: bool,
    },
    /// The file has other bytes than when it was hashed.
    Changed,
}

impl ImportError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read(_) => "E1030",
            Self::Gzip(_) => "E1031",
            Self::Xml { .. } => "E1032",
            Self::Doctype { .. } => "E1033",
            Self::TooDeep { .. } => "E1034",
            Self::TooLong { .. } => "E1035",
            Self::Encoding { .. } => "E1036",
            Self::NotXes { .. } => "E1037",
            Self::Column { .. } => "E1038",
            Self::Changed => "E1039",
        }
    }

    /// Takes out of an `io::Error` what a reader of this crate put into it.
    pub(crate) fn from_io(error: &Arc<io::Error>) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            Some(own) => own.clone(),
            None => Self::Read(Arc::clone(error)),
        }
    }

    /// As an `io::Error`, to pass through a library's reader.
    pub(crate) fn into_io(self) -> io::Error {
        io::Error::other(self)
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(_) => write!(f, "the file cannot be read on"),
            Self::Gzip(_) => write!(f, "the gzip form is broken or cut short"),
            Self::Xml { line, why } => write!(f, "line {line}: not well-formed XML: {why}"),
            Self::Doctype { line } => write!(f, "line {line}: a document type declaration is not taken"),
            Self::TooDeep { line } => {
                write!(f, "line {line}: elements are nested deeper than {ELEMENT_DEPTH_MAX}")
            }
            Self::TooLong { line } => {
                write!(f, "line {line}: a tag, a text or a row is longer than {PIECE_BYTES_MAX} bytes")
            }
            Self::Encoding { line, why } => write!(f, "line {line}: {why}"),
            Self::NotXes { root } if root.is_empty() => write!(f, "the file has no element `log`"),
            Self::NotXes { root } => write!(f, "the file begins with `{root}`, not with `log`"),
            Self::Column { name, twice: false } => write!(f, "the header has no column `{name}`"),
            Self::Column { name, twice: true } => write!(f, "the header has two columns `{name}`"),
            Self::Changed => write!(f, "the file was changed while it was read"),
        }
    }
}

impl std::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(error) | Self::Gzip(error) => Some(error.as_ref()),
            Self::Xml { .. }
            | Self::Doctype { .. }
            | Self::TooDeep { .. }
            | Self::TooLong { .. }
            | Self::Encoding { .. }
            | Self::NotXes { .. }
            | Self::Column { .. }
            | Self::Changed => None,
        }
    }
}
