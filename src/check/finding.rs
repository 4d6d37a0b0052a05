//! Findings: the registry of SPEC.md section 14.2.

use std::fmt;

use crate::names::{ID_MIN, Key, SessionRef, TEMP_PREFIX};
use crate::rule::{Rule, Severity};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal, $severity:ident;)*) => {
        /// What kind of finding it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum FindingKind {
            $($(#[$doc])* $kind,)*
        }

        impl FindingKind {
            /// Every kind, in the order of SPEC.md.
            pub const ALL: &'static [FindingKind] = &[$(FindingKind::$kind,)*];

            /// Its name: `damaged-slot`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(FindingKind::$kind => $name,)* }
            }

            /// How grave it is.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(FindingKind::$kind => Severity::$severity,)* }
            }
        }
    };
}

kinds! {
    /// A session file that readers report as corrupt.
    Corrupt = "corrupt", Error;
    /// A session that needs a newer implementation.
    Unsupported = "unsupported", Error;
    /// An entry with a session's name that is no regular file.
    NotRegular = "not-regular", Error;
    /// An entry that the checker may not read.
    Unreadable = "unreadable", Error;
    /// An entry with a lock file's name that is no regular file.
    LockFile = "lock-file", Error;
    /// A slot that is neither empty nor whole, beside a whole one.
    DamagedSlot = "damaged-slot", Warning;
    /// A whole record that is not the current one and breaks a rule.
    StaleRecord = "stale-record", Warning;
    /// A creation that a power failure took back.
    Stillborn = "stillborn", Warning;
    /// Bytes other than zero after a record, or in an empty slot.
    StrayBytes = "stray-bytes", Warning;
    /// A session's ID is too short.
    LegacyId = "legacy-id", Warning;
    /// `accessed` is more than a day ahead.
    FutureAccess = "future-access", Warning;
    /// A key that the format may define one day.
    UnknownKey = "unknown-key", Warning;
    /// Others can read or write it.
    Mode = "mode", Warning;
    /// It belongs to another user than the directory.
    Owner = "owner", Warning;
    /// It has another name elsewhere.
    HardLink = "hard-link", Warning;
    /// Debris of a killed writer.
    Temp = "temp", Warning;
    /// Not the format's.
    Foreign = "foreign", Warning;
    /// A lock file is missing.
    LockFileMissing = "lock-file-missing", Warning;
    /// A lock file holds something.
    LockFileNotEmpty = "lock-file-not-empty", Warning;
    /// Its lock was not to be had, so it could not be judged.
    Busy = "busy", Warning;
}

/// Where a finding is. `Debug` hides IDs as [`Place::path`] does.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The store's directory itself.
    Directory,
    /// A session's file.
    Session(SessionRef),
    /// A session's temp.
    Temp(SessionRef),
    /// Another entry, by its path in the directory.
    Entry(Vec<u8>),
}

impl Place {
    /// The path within the store, `.` for the directory. Sessions are shown by `#` and 8 hexadecimal digits
    /// unless `full_ids` (NAME-8); bytes that are not printable ASCII are escaped. A foreign name may have an
    /// ID in it (an editor's backup copy, say), so what looks like one is shown in the same way.
    #[must_use]
    pub fn path(&self, full_ids: bool) -> String {
        let session = |session: &SessionRef| match (full_ids, session) {
            (false, session) => session.shown().to_string(),
            (true, SessionRef::Id(id)) => id.expose().to_owned(),
            (true, SessionRef::Key(key)) => key.to_hex(),
        };
        match self {
            Place::Directory => ".".to_owned(),
            Place::Session(name) => session(name),
            Place::Temp(name) => format!("{TEMP_PREFIX}{}", session(name)),
            Place::Entry(path) if full_ids => path.escape_ascii().to_string(),
            Place::Entry(path) => hide_ids(path),
        }
    }

    /// The session that it is about.
    #[must_use]
    pub fn session(&self) -> Option<&SessionRef> {
        match self {
            Place::Session(session) | Place::Temp(session) => Some(session),
            _ => None,
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path(false))
    }
}

/// `path` with each run of characters that could be an ID shown by its digest.
fn hide_ids(path: &[u8]) -> String {
    let is_id_char = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_';
    path.chunk_by(|a, b| is_id_char(a) == is_id_char(b))
        .map(|run| match run {
            _ if run.len() >= ID_MIN && is_id_char(&run[0]) => Key::of(run).shown().to_string(),
            _ => run.escape_ascii().to_string(),
        })
        .collect()
}

/// Something that a checker reports: which rule is broken, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The rule.
    pub rule: Rule,
    /// Where.
    pub place: Place,
    /// The first byte of what breaks the rule (SPEC.md, section 11.2), where the rule is about bytes.
    pub offset: Option<u64>,
    /// For people.
    pub detail: String,
}

impl Finding {
    /// How grave it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.kind.severity()
    }

    /// Whether a writer at work could have caused it, so that it is to be judged again under the lock (CHK-2).
    pub(super) fn could_be_a_writer(&self) -> bool {
        self.offset.is_some()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} [{} {}]",
            self.severity().name(),
            self.place.path(false),
            self.kind.name(),
            self.rule
        )?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exercises NAME-8.
    #[test]
    fn names_are_hidden_and_escaped() {
        let shown = |path: &[u8]| Place::Entry(path.to_vec()).path(false);
        assert_eq!(shown(b"lost+found"), "lost+found");
        assert_eq!(format!("{:?}", Place::Entry(b"AAAAAAAAAAAAAAAAAAAAAA~".to_vec())), "#8a5bdb4c~");
        assert_eq!(shown(b"AAAAAAAAAAAAAAAAAAAAAA~"), "#8a5bdb4c~");
        assert_eq!(shown(b".tmp.AAAAAAAAAAAAAAAAAAAAAA.1"), ".tmp.#8a5bdb4c.1");
        assert_eq!(shown(b"a\xffb\n"), "a\\xffb\\n");
        // A run goes on over all the characters that an ID can have.
        let dashed = format!("{}~", Key::of(b"AAAAAAAAAA-BBBBB_CCCCC").shown());
        assert_eq!(shown(b"AAAAAAAAAA-BBBBB_CCCCC~"), dashed);
        assert_eq!(Place::Entry(b"AAAAAAAAAAAAAAAAAAAAAA~".to_vec()).path(true), "AAAAAAAAAAAAAAAAAAAAAA~");
    }
}
