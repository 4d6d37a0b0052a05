//! What migrators and conversions need of a store beside its operations: SPEC.md section 20.

use std::io;

use super::directory::DirectoryStore;
use super::write::Place;
use crate::error::{Error, Result};
use crate::names::{EntryType, IMPORTS, SessionRef};
use crate::read::Round;
use crate::record::Session;

impl DirectoryStore {
    /// By how much `accessed` moves at least when it is written (WRITE-17).
    #[cfg(feature = "session3")]
    pub(crate) fn resolution(&self) -> std::time::Duration {
        self.resolution
    }

    /// Which directory it is: device and inode.
    pub(crate) fn identity(&self) -> Result<(u64, u64)> {
        let stat =
            self.dir.stat().map_err(|error| Error::io("look at the store's directory", None, error))?;
        Ok(stat.identity)
    }

    /// The session, even if it is expired.
    #[cfg(feature = "session3")]
    pub(crate) fn stored(&self, session: &SessionRef) -> Result<Option<Session>> {
        let name = self.name(session)?;
        let Some(current) = self.read(&name)? else { return Ok(None) };
        current.session(&name).map(|stored| Some(stored.known_as(session)))
    }

    /// The notes of migrators; empty where there are none. More than `most` bytes are an error.
    pub(crate) fn imports(&self, most: usize) -> Result<Vec<u8>> {
        let failed = |error| Error::io("read the notes in .imports", None, error);
        let wrong = |why| failed(io::Error::new(io::ErrorKind::InvalidData, why));
        match self.dir.stat_entry(IMPORTS.as_bytes()).map_err(failed)? {
            None => return Ok(Vec::new()),
            Some(stat) if stat.kind == EntryType::Regular => {}
            Some(_) => return Err(wrong("it is not a regular file; move it away")),
        }
        let notes = self.dir.read_control(IMPORTS, most).map_err(failed)?.unwrap_or_default();
        if notes.len() > most {
            return Err(wrong(
                "it is too large; move it away, and all sessions of the source are taken again",
            ));
        }
        Ok(notes)
    }

    /// Appends to the notes of migrators (MIG-4).
    pub(crate) fn note_imports(&self, lines: &[u8]) -> Result<()> {
        if !self.durable() {
            // MIG-6. No note is to outlive the sessions that it says are there.
            let failed = |error| Error::io("sync the sessions", None, error);
            self.dir.sync_file_system().map_err(failed)?;
        }
        self.dir.append_imports(lines).map_err(|error| Error::io("write the notes in .imports", None, error))
    }

    /// Stores a copy of `session`, which is of another store, as what it is there: with its revision and its times.
    /// Says whether the name was free.
    pub(crate) fn copy(&self, reference: &SessionRef, session: &Session) -> Result<bool> {
        let name = self.name(reference)?;
        let _guard = self.lock(&name)?;
        let place = match self.round(&name)? {
            Round::Absent => Place::Fresh,
            Round::Stillborn => Place::OverStillborn,
            _ => return Ok(false),
        };
        self.put_first(&name, &session.draft()?, place).map(|()| true)
    }
}
