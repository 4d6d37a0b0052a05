//! Counting what is in a store.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::locks;
use crate::names::{self, Entry, EntryClass, FileName};
use crate::read::Round;
use crate::scan::{self, Weight};
use crate::slots;
use crate::store::DirectoryStore;
use crate::time::UnixMillis;

/// What is in a store, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Sessions that are not expired.
    pub live: u64,
    /// Sessions that are expired.
    pub expired: u64,
    /// Those of the live and the expired whose ID is legacy (CHK-10); in a store of naming `hashed` nobody can
    /// tell, so none.
    pub legacy: u64,
    /// Files that a power failure has left of a creation (SLOT-10).
    pub stillborn: u64,
    /// Sessions that need a newer implementation.
    pub unsupported: u64,
    /// Sessions that break a rule.
    pub corrupt: u64,
    /// Sessions that could not be read, or whose lock was not to be had.
    pub unreadable: u64,
    /// Temps: of writers at work, or debris.
    pub temps: u64,
    /// Entries that are not the format's.
    pub foreign: u64,
    /// Files that a repair has moved aside.
    pub quarantined: u64,
    /// The sizes of all session files together, in bytes.
    pub bytes: u64,
    /// How many session files there are of each slot size, in bytes. A corrupt file of no such size is left out.
    pub slot_sizes: BTreeMap<u64, u64>,
    /// The longest time ago that one of the live sessions was accessed.
    pub oldest_access: Option<UnixMillis>,
}

impl DirectoryStore {
    /// Counts what is in the store, on as many threads as [`Options::threads`] says, and calls `looked` after each
    /// session's file.
    ///
    /// # Errors
    /// `io` if the store cannot be listed.
    ///
    /// [`Options::threads`]: crate::Options::threads
    pub fn stats(&self, looked: &mut dyn FnMut()) -> Result<Stats> {
        locks::enter()?;
        let failed = |error| Error::io("list the store", None, error);
        let now = self.now();
        let mut stats = Stats { quarantined: self.count_quarantine().map_err(failed)?, ..Stats::default() };
        let look = |(name, kind): scan::Listed| match names::entry(&name, kind, self.marker.naming) {
            Entry::Session(name) => self.count(&name, now),
            Entry::Temp(_) => Counted::Temp,
            Entry::Other(EntryClass::Foreign) => Counted::Foreign,
            Entry::Other(_) => Counted::Nothing,
        };
        scan::each(self.list()?, self.threads, look, &mut |counted| {
            match counted {
                Counted::Session(session) => {
                    stats.add(&session);
                    looked();
                }
                Counted::Temp => stats.temps += 1,
                Counted::Foreign => stats.foreign += 1,
                Counted::Nothing => {}
            }
            ControlFlow::Continue(())
        })
        .map_err(failed)?;
        Ok(stats)
    }

    fn count(&self, name: &FileName, now: UnixMillis) -> Counted {
        let (size, kind) = match self.last_round(name) {
            Ok(Round::Absent) => return Counted::Nothing,
            Ok(Round::Stillborn) => (None, Kind::Stillborn),
            Ok(Round::Again(_)) => (None, Kind::Corrupt),
            Ok(Round::Current(current)) => {
                let kind = match current.session(name) {
                    Ok(session) if session.is_expired(now) => Kind::Expired,
                    Ok(session) => Kind::Live(session.accessed()),
                    Err(error) => Kind::of(&error),
                };
                (Some(current.stat.size), kind)
            }
            Err(error) => (None, Kind::of(&error)),
        };
        // The size of what could not be read can still be had, unless it has gone meanwhile.
        let size = size.or_else(|| Some(self.dir.stat_entry(name.as_str().as_bytes()).ok()??.size));
        let legacy = name.session().id().is_some_and(crate::SessionId::is_legacy);
        Counted::Session(CountedSession { kind, legacy, size: size.unwrap_or(0) })
    }

    fn count_quarantine(&self) -> io::Result<u64> {
        let Some(quarantine) = self.dir.quarantine()? else { return Ok(0) };
        let mut count = 0;
        for entry in quarantine.entries()? {
            let (name, kind) = entry?;
            count += u64::from(names::quarantined(&name, kind, self.marker.naming).is_some());
        }
        Ok(count)
    }
}

impl Stats {
    fn add(&mut self, session: &CountedSession) {
        if let Kind::Live(accessed) = session.kind {
            self.oldest_access = Some(self.oldest_access.map_or(accessed, |oldest| oldest.min(accessed)));
        }
        self.legacy += u64::from(session.legacy && matches!(session.kind, Kind::Live(_) | Kind::Expired));
        *match session.kind {
            Kind::Live(_) => &mut self.live,
            Kind::Expired => &mut self.expired,
            Kind::Stillborn => &mut self.stillborn,
            Kind::Unsupported => &mut self.unsupported,
            Kind::Corrupt => &mut self.corrupt,
            Kind::Unreadable => &mut self.unreadable,
        } += 1;
        self.bytes += session.size;
        if let Ok(slot) = slots::slot_size(session.size) {
            *self.slot_sizes.entry(slot as u64).or_default() += 1;
        }
    }
}

/// What one entry adds.
enum Counted {
    Session(CountedSession),
    Temp,
    Foreign,
    Nothing,
}

impl Weight for Counted {
    fn weight(&self) -> usize {
        size_of::<Counted>()
    }
}

struct CountedSession {
    kind: Kind,
    legacy: bool,
    /// Of the file, in bytes.
    size: u64,
}

enum Kind {
    /// With the last access.
    Live(UnixMillis),
    Expired,
    Stillborn,
    Unsupported,
    Corrupt,
    Unreadable,
}

impl Kind {
    fn of(error: &Error) -> Self {
        match error {
            Error::Corrupt { .. } => Kind::Corrupt,
            Error::Unsupported { .. } => Kind::Unsupported,
            _ => Kind::Unreadable,
        }
    }
}
