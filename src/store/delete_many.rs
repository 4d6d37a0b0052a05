//! Deleting many sessions: `delete_old_sessions` and `delete_where` (COLL-1 to COLL-3).

use super::Deleted;
use super::directory::DirectoryStore;
use crate::error::Result;
use crate::locks::enter;
use crate::names::FileName;
use crate::read::Round;
use crate::record::Session;

/// Whether a session is to go; `None` stands for a stillborn file, which holds none.
type Due<'a> = dyn Fn(Option<&Session>) -> bool + 'a;

impl DirectoryStore {
    /// The sessions that were not accessed for more than `minutes`, the expired and the stillborn.
    pub(super) fn delete_old(&self, minutes: u64) -> Result<Deleted> {
        let most = minutes.saturating_mul(60_000);
        self.delete_due(&|session| {
            session.is_none_or(|session| {
                let now = self.now();
                session.is_expired(now) || now.millis_since(session.accessed()) > most
            })
        })
    }

    /// Those that are due, one after the other, whatever else is at work in the store.
    pub(super) fn delete_due(&self, due: &Due<'_>) -> Result<Deleted> {
        enter()?;
        self.writable()?;
        let mut summary = Deleted::default();
        for reference in self.references()? {
            let name = self.name(&reference?)?;
            // COLL-3: whatever one session's fate, the next one's turn comes.
            match self.delete_if(&name, due) {
                Ok(Some(true)) => summary.deleted += 1,
                Ok(Some(false)) => summary.remaining += 1,
                Ok(None) => {}
                Err(_) => summary.failed += 1,
            }
        }
        Ok(summary)
    }

    /// Deletes one session if it is due, and says whether it did; `None` where it is not there. COLL-1, COLL-2.
    fn delete_if(&self, name: &FileName, due: &Due<'_>) -> Result<Option<bool>> {
        match is_due(self.last_round(name)?, name, due)? {
            Some(true) => {}
            other => return Ok(other),
        }
        let mut guard = self.lock(name)?;
        guard.note_process();
        // It may have been touched, changed or replaced since.
        let is_due = is_due(self.round(name)?, name, due)?;
        if !guard.is_ours() {
            // LOCK-12: this is a child, forked within the function that decides.
            return Err(crate::Error::Reentrant);
        }
        if is_due == Some(true) {
            self.remove(name)?;
        }
        Ok(is_due)
    }
}

/// Whether what was read so is due; `None` where nothing is there, or nothing that anybody wants to go.
fn is_due(round: Round, name: &FileName, due: &Due<'_>) -> Result<Option<bool>> {
    match round {
        Round::Absent => Ok(None),
        Round::Stillborn => Ok(due(None).then_some(true)),
        round => match round.settled(name)? {
            Some(current) => Ok(Some(due(Some(&current.session(name)?)))),
            None => Ok(None),
        },
    }
}
