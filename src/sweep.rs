//! The collector: SPEC.md section 10.9. It removes expired sessions, idle ones by request, and debris.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::names::{self, Entry, FileName};
use crate::read::Round;
use crate::record::Session;
use crate::store::DirectoryStore;
use crate::time::UnixMillis;

/// What a sweep removes beside what is expired, and whether it does.
#[derive(Clone, Copy, Debug, Default)]
pub struct SweepOptions {
    /// Also sessions that were not accessed for this long.
    pub idle: Option<Duration>,
    /// Only count.
    pub dry_run: bool,
}

/// What a sweep has done, in numbers of sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepSummary {
    /// Removed, or to be removed in a dry run.
    pub removed: u64,
    /// Left, because they are in use.
    pub remaining: u64,
    /// Left, because they cannot be read, are corrupt or need a newer implementation (COLL-2).
    pub failed: u64,
    /// Temps that were removed.
    pub temps: u64,
}

impl DirectoryStore {
    /// Removes expired sessions and debris, one after the other, whatever else is at work in the store.
    ///
    /// # Errors
    /// The store cannot be listed or is read-only. What cannot be dealt with is counted, and left.
    pub fn sweep(&self, options: &SweepOptions) -> Result<SweepSummary> {
        crate::locks::enter()?;
        self.writable()?;
        let mut summary = SweepSummary::default();
        for entry in self.dir.entries().map_err(|error| Error::io("list the store", None, error))? {
            let (name, kind) = entry.map_err(|error| Error::io("list the store", None, error))?;
            // COLL-3: whatever one entry's fate, the next one's turn comes.
            match names::entry(&name, kind, self.marker.naming) {
                Entry::Session(name) => match self.sweep_session(&name, options) {
                    Ok(Fate::Removed) => summary.removed += 1,
                    Ok(Fate::Remains) => summary.remaining += 1,
                    Ok(Fate::Vanished) => {}
                    Err(_) => summary.failed += 1,
                },
                Entry::Temp(name) => match self.sweep_temp(&name, options) {
                    Ok(removed) => summary.temps += u64::from(removed),
                    Err(_) => summary.failed += 1,
                },
                Entry::Other(_) => {}
            }
        }
        Ok(summary)
    }

    /// COLL-1, COLL-2.
    fn sweep_session(&self, name: &FileName, options: &SweepOptions) -> Result<Fate> {
        match self.fate(self.last_round(name)?, name, options)? {
            Fate::Removed if !options.dry_run => {}
            fate => return Ok(fate),
        }
        let _guard = self.lock(name)?;
        // It may have been touched or replaced since.
        let fate = self.fate(self.round(name)?, name, options)?;
        if matches!(fate, Fate::Removed) {
            self.remove(name)?;
        }
        Ok(fate)
    }

    /// What is to become of a session that was read so.
    fn fate(&self, round: Round, name: &FileName, options: &SweepOptions) -> Result<Fate> {
        match round {
            Round::Absent => Ok(Fate::Vanished),
            // Debris: a name without bytes.
            Round::Stillborn => Ok(Fate::Removed),
            round => match round.settled(name)? {
                Some(current) if !is_due(&current.session(name)?, options, self.now()) => Ok(Fate::Remains),
                _ => Ok(Fate::Removed),
            },
        }
    }

    /// COLL-4.
    fn sweep_temp(&self, name: &FileName, options: &SweepOptions) -> Result<bool> {
        if options.dry_run {
            return Ok(true);
        }
        let _guard = self.lock(name)?;
        let failed = |error| Error::io("remove debris", Some(name.session().shown()), error);
        self.remove_temp(name).map_err(failed)
    }
}

enum Fate {
    Removed,
    Remains,
    /// Gone before we came to it.
    Vanished,
}

fn is_due(session: &Session, options: &SweepOptions, now: UnixMillis) -> bool {
    let is_idle = |idle: Duration| u128::from(now.millis_since(session.accessed())) >= idle.as_millis();
    session.is_expired(now) || options.idle.is_some_and(is_idle)
}
