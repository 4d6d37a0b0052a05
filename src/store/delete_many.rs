//! Deleting many sessions: what `delete_old_sessions`, `delete_where` and a sweep have in common (COLL-1 to COLL-3).

use std::ops::ControlFlow;

use super::Deleted;
use super::directory::DirectoryStore;
use crate::error::{Error, Result};
use crate::locks::enter;
use crate::names::{self, Entry, FileName};
use crate::read::Round;
use crate::record::Session;
use crate::scan::{self, Weight};

/// Whether a session is to go; `None` stands for a stillborn file, which holds none.
pub(crate) type Due<'a> = dyn Fn(Option<&Session>) -> bool + Sync + 'a;

/// What has become of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is gone now, or would be in a dry run.
    Removed,
    Remains,
    /// It was gone before, or it is a stillborn file that nobody wants to go.
    Nothing,
}

impl Weight for Result<Fate> {
    fn weight(&self) -> usize {
        size_of::<Self>()
    }
}

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

    /// Those that are due, whatever else is at work in the store.
    pub(super) fn delete_due(&self, due: &Due<'_>) -> Result<Deleted> {
        enter()?;
        self.writable()?;
        let mut summary = Deleted::default();
        let look = |(name, kind): scan::Listed| match names::entry(&name, kind, self.marker.naming) {
            Entry::Session(name) => self.delete_if_due(&name, false, due),
            _ => Ok(Fate::Nothing),
        };
        // COLL-3: whatever one session's fate, the next one's turn comes.
        scan::each(self.list()?, self.threads, look, &mut |fate| {
            match fate {
                Ok(Fate::Removed) => summary.deleted += 1,
                Ok(Fate::Remains) => summary.remaining += 1,
                Ok(Fate::Nothing) => {}
                Err(_) => summary.failed += 1,
            }
            ControlFlow::Continue(())
        })
        .map_err(|error| Error::io("list the store", None, error))?;
        Ok(summary)
    }

    /// Deletes one session if it is due as it is without the lock, and then again under it. COLL-1, COLL-2.
    pub(crate) fn delete_if_due(&self, name: &FileName, dry_run: bool, due: &Due<'_>) -> Result<Fate> {
        match fate(self.last_round(name)?, name, due)? {
            Fate::Removed if !dry_run => {}
            fate => return Ok(fate),
        }
        let mut guard = self.lock(name)?;
        guard.note_process();
        // It may have been touched, changed or replaced since.
        let fate = fate(self.round(name)?, name, due)?;
        if !guard.is_ours() {
            // LOCK-12: this is a child, forked within the function that decides.
            return Err(Error::Reentrant);
        }
        if fate == Fate::Removed {
            self.remove(name)?;
        }
        Ok(fate)
    }
}

/// What is to become of what was read so.
fn fate(round: Round, name: &FileName, due: &Due<'_>) -> Result<Fate> {
    let session = match round {
        Round::Absent => return Ok(Fate::Nothing),
        Round::Stillborn => None,
        round => match round.settled(name)? {
            Some(current) => Some(current.session(name)?),
            None => return Ok(Fate::Nothing),
        },
    };
    Ok(match due(session.as_ref()) {
        true => Fate::Removed,
        false if session.is_some() => Fate::Remains,
        false => Fate::Nothing,
    })
}
