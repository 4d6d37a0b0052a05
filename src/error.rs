//! Errors: the closed registry of SPEC.md section 14.1.
//!
//! An error names a session by `#` and 8 hexadecimal digits, never by its ID (NAME-8), and ends with what to
//! do next.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::names::Shown;
use crate::rule::{Fault, Rule};

/// The result of an operation on a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What an operation on a store can fail with. [`Error::class`] is the class that SPEC.md registers.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// `invalid-id`: the text is no session ID. It is not repeated here (NAME-2).
    InvalidId,
    /// `gone`: the session to be changed is absent or expired.
    Gone {
        /// The session.
        session: Shown,
    },
    /// `conflict`: somebody else has saved the session since it was loaded, or has made one of that ID.
    Conflict {
        /// The session.
        session: Shown,
    },
    /// `corrupt`: the session's file breaks a rule of the format.
    Corrupt {
        /// The session, where the bytes were those of a store's file.
        session: Option<Shown>,
        /// The rule, and where in the file.
        fault: Fault,
    },
    /// `unsupported`: the store or the session needs a newer implementation.
    Unsupported {
        /// The session, if it is one session and not the whole store.
        session: Option<Shown>,
        /// What is not supported.
        what: Unsupported,
        /// The rule that refuses it, and where.
        fault: Fault,
    },
    /// `too-large`: the record would break a limit of the format.
    TooLarge {
        /// The session, where it has an ID.
        session: Option<Shown>,
        /// What is too large, and the limit.
        limit: &'static str,
    },
    /// `busy`: the lock was not free in time.
    Busy {
        /// The session, or `None` for an operation on the whole store.
        session: Option<Shown>,
        /// How long was waited.
        waited: Duration,
    },
    /// `no-space`: the disk or the quota is full. The old record stands.
    NoSpace {
        /// What was being done.
        operation: &'static str,
        /// The session.
        session: Option<Shown>,
        /// The system's error.
        source: io::Error,
    },
    /// `not-a-store`: the directory has no marker or a malformed one, or has lost its lock directory.
    NotAStore {
        /// The directory.
        directory: PathBuf,
        /// What is wrong with it.
        why: NotAStore,
    },
    /// `outcome-unknown`: the change may or may not be there, now or after a power loss.
    OutcomeUnknown {
        /// What was being done.
        operation: &'static str,
        /// The session.
        session: Option<Shown>,
        /// The system's error.
        source: io::Error,
    },
    /// `io`: another failure of the system.
    Io {
        /// What was being done.
        operation: &'static str,
        /// The session, if it was about one.
        session: Option<Shown>,
        /// The system's error.
        source: io::Error,
    },
    /// `io`: the directory that a migrator is to read cannot be read.
    Source {
        /// The directory.
        directory: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// `invalid-value`: a value that the format cannot hold.
    InvalidValue(ValueError),
    /// `reentrant`: a call into a store from within a function that a store has called: an update's, or what decides
    /// for `delete_where`.
    Reentrant,
    /// `unsafe-directory`: owner, mode or file system on which the promises would not hold.
    UnsafeDirectory {
        /// The directory.
        directory: PathBuf,
        /// What is unsafe, and what to do.
        why: String,
    },
}

/// What an implementation of this version does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsupported {
    /// A record of that version.
    RecordVersion(u16),
    /// An extension that the record names as one that must be understood.
    Extension(String),
    /// A store of that read version.
    ReadVersion(u32),
    /// A change to a store of that write version.
    WriteVersion(u32),
}

/// Why a directory is not a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotAStore {
    /// There is no such directory.
    Missing,
    /// It is not a directory.
    NotADirectory,
    /// There is no marker (DIR-1).
    NoMarker,
    /// The marker is malformed (MARK-1, MARK-4).
    Marker(Fault),
    /// The lock directory is gone, or is something else.
    NoLocks,
    /// A store was to be made, but the directory is not empty (DIR-3).
    NotEmpty,
    /// A store was to be made, but there is one.
    Exists,
}

/// A value that the format cannot hold, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    path: String,
    kind: ValueErrorKind,
}

/// Why the format cannot hold a value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueErrorKind {
    /// An integer outside −2^63 … 2^63−1 (VAL-3).
    IntegerRange,
    /// A map with a key that is not text (VAL-7).
    KeyNotText,
    /// A map with two equal keys (VAL-9).
    DuplicateKey,
    /// A CBOR tag (VAL-10).
    Tag,
    /// Arrays and maps nested more than 32 deep, those of the record included (VAL-12).
    Depth,
    /// Null, where a value is needed (BODY-11).
    Null,
    /// A text that is empty or too long, or an integer out of range: which, and the limits.
    Limit(&'static str),
    /// The session's record would break REC-8: the limit. As an [`Error`] it is `too-large`.
    Room(&'static str),
    /// The value's own `Serialize` or `Deserialize` failed, or it has no such type.
    Serde(String),
}

impl ValueError {
    pub(crate) fn new(path: impl Into<String>, kind: ValueErrorKind) -> Self {
        ValueError { path: path.into(), kind }
    }

    /// The error, found `key` further in.
    pub(crate) fn inside(mut self, step: &str) -> Self {
        self.path.insert_str(0, step);
        self
    }

    /// Where in the value: `cart[3].price`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Why.
    #[must_use]
    pub fn kind(&self) -> &ValueErrorKind {
        &self.kind
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", if self.path.is_empty() { "value" } else { &self.path })?;
        match &self.kind {
            ValueErrorKind::IntegerRange => {
                f.write_str("an integer outside -2^63 to 2^63-1; store it as text")
            }
            ValueErrorKind::KeyNotText => f.write_str("a map key that is not text; convert the keys to text"),
            ValueErrorKind::DuplicateKey => f.write_str("a map with two equal keys"),
            ValueErrorKind::Tag => f.write_str("a CBOR tag; store the value as text or a map"),
            ValueErrorKind::Depth => {
                f.write_str("nested more than 32 deep, counting the record's own maps; flatten it")
            }
            ValueErrorKind::Null => f.write_str("null; remove it instead"),
            ValueErrorKind::Limit(limit) | ValueErrorKind::Room(limit) => f.write_str(limit),
            ValueErrorKind::Serde(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ValueError {}

/// The classes of SPEC.md section 14.1, with their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "SPEC.md section 14.1 defines them; Error's variants explain them")]
pub enum ErrorClass {
    InvalidId = 1,
    Gone = 2,
    Conflict = 3,
    Corrupt = 4,
    Unsupported = 5,
    TooLarge = 6,
    Busy = 7,
    NoSpace = 8,
    NotAStore = 9,
    OutcomeUnknown = 10,
    Io = 11,
    InvalidValue = 12,
    Reentrant = 13,
    UnsafeDirectory = 14,
}

impl ErrorClass {
    /// Every class, by number.
    pub const ALL: [ErrorClass; 14] = [
        ErrorClass::InvalidId,
        ErrorClass::Gone,
        ErrorClass::Conflict,
        ErrorClass::Corrupt,
        ErrorClass::Unsupported,
        ErrorClass::TooLarge,
        ErrorClass::Busy,
        ErrorClass::NoSpace,
        ErrorClass::NotAStore,
        ErrorClass::OutcomeUnknown,
        ErrorClass::Io,
        ErrorClass::InvalidValue,
        ErrorClass::Reentrant,
        ErrorClass::UnsafeDirectory,
    ];

    /// The class's name: `invalid-id`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ErrorClass::InvalidId => "invalid-id",
            ErrorClass::Gone => "gone",
            ErrorClass::Conflict => "conflict",
            ErrorClass::Corrupt => "corrupt",
            ErrorClass::Unsupported => "unsupported",
            ErrorClass::TooLarge => "too-large",
            ErrorClass::Busy => "busy",
            ErrorClass::NoSpace => "no-space",
            ErrorClass::NotAStore => "not-a-store",
            ErrorClass::OutcomeUnknown => "outcome-unknown",
            ErrorClass::Io => "io",
            ErrorClass::InvalidValue => "invalid-value",
            ErrorClass::Reentrant => "reentrant",
            ErrorClass::UnsafeDirectory => "unsafe-directory",
        }
    }

    /// The class's number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl Error {
    /// The class that SPEC.md registers for this error (ERR-1).
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Error::InvalidId => ErrorClass::InvalidId,
            Error::Gone { .. } => ErrorClass::Gone,
            Error::Conflict { .. } => ErrorClass::Conflict,
            Error::Corrupt { .. } => ErrorClass::Corrupt,
            Error::Unsupported { .. } => ErrorClass::Unsupported,
            Error::TooLarge { .. } => ErrorClass::TooLarge,
            Error::Busy { .. } => ErrorClass::Busy,
            Error::NoSpace { .. } => ErrorClass::NoSpace,
            Error::NotAStore { .. } => ErrorClass::NotAStore,
            Error::OutcomeUnknown { .. } => ErrorClass::OutcomeUnknown,
            Error::Io { .. } | Error::Source { .. } => ErrorClass::Io,
            Error::InvalidValue(_) => ErrorClass::InvalidValue,
            Error::Reentrant => ErrorClass::Reentrant,
            Error::UnsafeDirectory { .. } => ErrorClass::UnsafeDirectory,
        }
    }

    /// The rule that was broken and where, for the classes that have one.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Error::Corrupt { fault, .. }
            | Error::Unsupported { fault, .. }
            | Error::NotAStore { why: NotAStore::Marker(fault), .. } => Some(*fault),
            Error::NotAStore { why: NotAStore::NoMarker, .. } => Some(Fault::new(Rule::Dir1, 0)),
            _ => None,
        }
    }

    /// An error of the system while `operation` was done: `no-space` or `io`.
    pub(crate) fn io(operation: &'static str, session: Option<Shown>, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::NoSpace { operation, session, source }
            }
            _ => Error::Io { operation, session, source },
        }
    }

    pub(crate) fn not_a_store(directory: &Path, why: NotAStore) -> Self {
        Error::NotAStore { directory: directory.to_owned(), why }
    }

    /// The same error, about the session `shown`.
    pub(crate) fn about(mut self, shown: Shown) -> Self {
        match &mut self {
            Error::Corrupt { session, .. }
            | Error::Unsupported { session, .. }
            | Error::TooLarge { session, .. }
            | Error::Busy { session, .. }
            | Error::NoSpace { session, .. }
            | Error::OutcomeUnknown { session, .. }
            | Error::Io { session, .. } => *session = Some(shown),
            _ => {}
        }
        self
    }
}

/// `session #8a5bdb4c`, or what stands for the whole store.
struct Whose<'a>(&'a Option<Shown>, &'static str);

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(shown) => write!(f, "session {shown}"),
            None => f.write_str(self.1),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.class().name())?;
        match self {
            Error::InvalidId => f.write_str(
                "not a session ID (11 to 128 letters, digits, '-' or '_'); treat it as no session",
            ),
            Error::Gone { session } => {
                write!(f, "session {session} is not there any more; treat it as logged out")
            }
            Error::Conflict { session } => {
                write!(f, "session {session} was saved by somebody else; load it again and redo the change")
            }
            Error::Corrupt { session, fault } => {
                write!(f, "{} {fault}; run `sessiondir check`", Whose(session, "the record"))
            }
            Error::Unsupported { session, what, fault } => {
                write!(f, "{} ", Whose(session, "this"))?;
                match what {
                    Unsupported::RecordVersion(version) => write!(f, "is of record version {version}")?,
                    Unsupported::Extension(name) => {
                        write!(f, "needs the extension {}", name.escape_debug())?;
                    }
                    Unsupported::ReadVersion(version) => write!(f, "is a store of read version {version}")?,
                    Unsupported::WriteVersion(version) => {
                        write!(f, "is a store of write version {version}, to be read only")?;
                    }
                }
                write!(f, " ({}); update sessiondir", fault.rule)
            }
            Error::TooLarge { session, limit } => {
                write!(f, "{}: {limit}; store less in the session", Whose(session, "the session"))
            }
            Error::Busy { session, waited } => write!(
                f,
                "{} was locked for {} ms; try again later",
                Whose(session, "the store"),
                waited.as_millis()
            ),
            Error::NoSpace { operation, session, source } => write!(
                f,
                "cannot {operation} ({}): {source}; nothing was changed, free some space",
                Whose(session, "the store")
            ),
            Error::NotAStore { directory, why } => {
                write!(f, "{}: ", directory.display())?;
                match why {
                    NotAStore::Missing => {
                        f.write_str("no such directory; make a store with `sessiondir init DIR`")
                    }
                    NotAStore::NotADirectory => f.write_str("not a directory; name the store's directory"),
                    NotAStore::NoMarker => f.write_str(
                        "no .sessiondir in it, so it is no store; make one with `sessiondir init DIR`",
                    ),
                    NotAStore::Marker(fault) => write!(
                        f,
                        "its .sessiondir {fault}; restore that file from a backup (SPEC.md section 5.2 shows one)"
                    ),
                    NotAStore::NoLocks => f.write_str(
                        "its .lock directory is gone or is no directory; make it again: mkdir -m 700 .lock",
                    ),
                    NotAStore::NotEmpty => f.write_str(
                        "the directory is not empty, so it is not made a store; name a new or an empty one",
                    ),
                    NotAStore::Exists => f.write_str("is a store already; nothing was changed"),
                }
            }
            Error::OutcomeUnknown { operation, session, source } => write!(
                f,
                "cannot tell whether it was possible to {operation} ({}): {source}; load it again and look",
                Whose(session, "the store")
            ),
            Error::Io { operation, session, source } => {
                write!(f, "cannot {operation} ({}): {source}", Whose(session, "the store"))?;
                if source.kind() == io::ErrorKind::PermissionDenied {
                    f.write_str("; the store's files are to be readable and writable for this user (owner, mode 0600)")?;
                }
                Ok(())
            }
            Error::Source { directory, source } => write!(
                f,
                "cannot read {}: {source}; name a directory that this user can list",
                directory.display()
            ),
            Error::InvalidValue(error) => error.fmt(f),
            Error::Reentrant => f.write_str(
                "a store was called from within a function that a store has called (an update's, say); make the call before or after",
            ),
            Error::UnsafeDirectory { directory, why } => write!(f, "{}: {why}", directory.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::NoSpace { source, .. }
            | Error::OutcomeUnknown { source, .. }
            | Error::Io { source, .. }
            | Error::Source { source, .. } => Some(source),
            Error::InvalidValue(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ValueError> for Error {
    fn from(error: ValueError) -> Self {
        match error.kind {
            ValueErrorKind::Room(limit) => Error::TooLarge { session: None, limit },
            _ => Error::InvalidValue(error),
        }
    }
}
