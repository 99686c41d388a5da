//! Why a journal cannot be used.

use std::path::PathBuf;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has it.
    #[error(
        "another gateway has the journal of overrides {path}: give each its own \
         `overrides.journal.path`"
    )]
    Locked {
        /// The journal.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error("cannot {what} the journal of overrides {path}: {source}")]
    Io {
        /// What cannot be done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// There is something else in the file.
    #[error(
        "{path} is not a journal of overrides: move it away, or name another file with \
         `overrides.journal.path`"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version of the gateway has written it.
    #[error(
        "the journal of overrides {path} has version {version} of its format, which this version of \
         the gateway does not know: run the one that wrote it, or name another file with \
         `overrides.journal.path`"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of the format.
        version: u32,
    },
}
