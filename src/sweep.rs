//! The collector: SPEC.md section 10.9. It removes expired sessions, idle ones by request, and debris.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::names::{self, Entry, EntryType, FileName, SessionRef};
use crate::record::Session;
use crate::scan::{self, Weight};
use crate::store::{DirectoryStore, Fate};
use crate::time::UnixMillis;

/// What a sweep removes beside what is expired, whether it does, and when it ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct SweepOptions {
    /// Also sessions that were not accessed for this long.
    pub idle: Option<Duration>,
    /// Only count.
    pub dry_run: bool,
    /// Look at no more than so many files.
    pub max_files: Option<u64>,
    /// Begin to look at no file after this time. With a limit of either kind the names are counted first, to start
    /// at a random place (COLL-5); that comes on top, and takes about half a second for a million.
    pub max_time: Option<Duration>,
    /// Also what a repair has moved into `.quarantine` so long ago (COLL-6).
    pub quarantine_older: Option<Duration>,
    /// Leave files that were written to within this time unread. A session that is in use is not read so, which takes a
    /// third of the time; one that expires unused goes with a later sweep.
    pub skip_written: Option<Duration>,
}

/// What a sweep has done, in numbers of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepSummary {
    /// Sessions that were removed, or are to be removed in a dry run.
    pub removed: u64,
    /// Sessions that were left, because they are in use.
    pub remaining: u64,
    /// Files that were left, because they cannot be read, are corrupt, need a newer implementation (COLL-2), or
    /// because their lock was not to be had.
    pub failed: u64,
    /// Temps that were removed.
    pub temps: u64,
    /// What was removed from `.quarantine`.
    pub quarantined: u64,
    /// Whether every entry was looked at: no limit was reached.
    pub complete: bool,
}

/// What a sweep tells while it runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum SweepEvent<'a> {
    /// A session was removed, or is to be removed in a dry run.
    Removed(&'a SessionRef),
    /// A file was left, because of this.
    Failed(&'a Error),
    /// It is through with another file.
    Looked,
}

impl DirectoryStore {
    /// Removes expired sessions and debris, whatever else is at work in the store.
    ///
    /// # Errors
    /// As [`DirectoryStore::sweep_with`].
    pub fn sweep(&self, options: &SweepOptions) -> Result<SweepSummary> {
        self.sweep_with(options, &mut |_| {})
    }

    /// The same, and calls `tell` for each event, on this thread. It works on as many threads as
    /// [`Options::threads`] says.
    ///
    /// # Errors
    /// The store cannot be listed, or is read-only and this is no dry run. What cannot be dealt with is counted,
    /// and left.
    ///
    /// [`Options::threads`]: crate::Options::threads
    pub fn sweep_with(
        &self,
        options: &SweepOptions,
        tell: &mut dyn FnMut(SweepEvent<'_>),
    ) -> Result<SweepSummary> {
        crate::locks::enter()?;
        if !options.dry_run {
            self.writable()?;
        }
        let mut summary = SweepSummary::default();
        if let Some(age) = options.quarantine_older {
            self.sweep_quarantine(age, options.dry_run, &mut summary, tell)?;
        }
        let start =
            if options.max_files.is_some() || options.max_time.is_some() { self.random_place()? } else { 0 };
        // From there to the end, and then from the beginning to there.
        let entries = self.list()?.skip(start).chain(self.list()?.take(start));
        let budget = Budget::new(options);
        let entries = entries.take_while(|entry| match entry {
            Ok((_, EntryType::Regular)) => budget.take(),
            _ => true,
        });
        let look = |(name, kind): scan::Listed| match names::entry(&name, kind, self.marker.naming) {
            Entry::Session(name) if budget.has_time() => match self.sweep_session(&name, options) {
                Ok(Fate::Removed) => Swept::Removed(Box::new(name)),
                Ok(Fate::Remains) => Swept::Remains,
                Ok(Fate::Nothing) => Swept::Nothing,
                Err(error) => Swept::Failed(Box::new(error)),
            },
            Entry::Temp(name) if budget.has_time() => match self.sweep_temp(&name, options) {
                Ok(true) => Swept::Temp,
                Ok(false) => Swept::Nothing,
                Err(error) => Swept::Failed(Box::new(error)),
            },
            _ => Swept::Other,
        };
        scan::each(entries, self.threads, look, &mut |swept| {
            // COLL-3: whatever one entry's fate, the next one's turn comes.
            match swept {
                Swept::Removed(name) => {
                    summary.removed += 1;
                    tell(SweepEvent::Removed(name.session()));
                }
                Swept::Remains => summary.remaining += 1,
                Swept::Nothing => {}
                Swept::Temp => summary.temps += 1,
                Swept::Failed(error) => {
                    summary.failed += 1;
                    tell(SweepEvent::Failed(&error));
                }
                Swept::Other => return ControlFlow::Continue(()),
            }
            tell(SweepEvent::Looked);
            ControlFlow::Continue(())
        })
        .map_err(|error| Error::io("list the store", None, error))?;
        summary.complete = !budget.ended.into_inner();
        Ok(summary)
    }

    /// A number of entries to skip, by chance. COLL-5.
    fn random_place(&self) -> Result<usize> {
        let mut count = 0;
        for entry in self.list()? {
            entry.map_err(|error| Error::io("list the store", None, error))?;
            count += 1;
        }
        Ok(usize::try_from(names::random(count)?).unwrap_or(0))
    }

    /// The stillborn goes in any case: it is debris.
    fn sweep_session(&self, name: &FileName, options: &SweepOptions) -> Result<Fate> {
        if let Some(lately) = options.skip_written
            && self.was_written_within(name, lately)?
        {
            return Ok(Fate::Remains);
        }
        let due =
            |session: Option<&Session>| session.is_none_or(|session| is_due(session, options, self.now()));
        self.delete_if_due(name, options.dry_run, &due)
    }

    /// Whether the file was last written to within `lately`, by its times. One from the future may be anything.
    fn was_written_within(&self, name: &FileName, lately: Duration) -> Result<bool> {
        let age = self.stat(name)?.and_then(|stat| self.now().as_millis().checked_sub(stat.modified));
        Ok(age.is_some_and(|age| u128::from(age) < lately.as_millis()))
    }

    /// COLL-4.
    fn sweep_temp(&self, name: &FileName, options: &SweepOptions) -> Result<bool> {
        if options.dry_run {
            return Ok(true);
        }
        let _guard = self.lock(name)?;
        let failed = |error| Error::io("remove debris", Some(name.shown()), error);
        self.remove_temp(name).map_err(failed)
    }

    /// COLL-6.
    fn sweep_quarantine(
        &self,
        age: Duration,
        dry_run: bool,
        summary: &mut SweepSummary,
        tell: &mut dyn FnMut(SweepEvent<'_>),
    ) -> Result<()> {
        let failed = |error| Error::io("list .quarantine", None, error);
        let Some(quarantine) = self.dir.quarantine().map_err(failed)? else { return Ok(()) };
        let now = self.now();
        for entry in quarantine.entries().map_err(failed)? {
            let (name, kind) = entry.map_err(failed)?;
            let Some((session, moved)) = names::quarantined(&name, kind, self.marker.naming) else {
                continue;
            };
            if u128::from(now.as_millis().saturating_sub(moved)) < age.as_millis() {
                continue;
            }
            let removed = if dry_run { Ok(true) } else { quarantine.unlink_quarantined(&session, moved) };
            match removed {
                Ok(removed) => summary.quarantined += u64::from(removed),
                Err(error) => {
                    summary.failed += 1;
                    let shown = Some(session.session().shown());
                    tell(SweepEvent::Failed(&Error::io("remove from .quarantine", shown, error)));
                }
            }
        }
        Ok(())
    }
}

/// What has become of an entry. Most remain: those are to be small, and to take no memory that another thread frees.
enum Swept {
    Removed(Box<FileName>),
    Remains,
    /// It was gone before, or nobody wants it to go.
    Nothing,
    /// A temp, which is gone now.
    Temp,
    Failed(Box<Error>),
    /// Nothing for a sweep, or there was no time left for it.
    Other,
}

impl Weight for Swept {
    fn weight(&self) -> usize {
        match self {
            Swept::Removed(_) => size_of::<FileName>() + names::ID_MAX,
            Swept::Failed(_) => size_of::<Error>() + names::ID_MAX,
            _ => size_of::<Swept>(),
        }
    }
}

fn is_due(session: &Session, options: &SweepOptions, now: UnixMillis) -> bool {
    let is_idle = |idle: Duration| u128::from(now.millis_since(session.accessed())) >= idle.as_millis();
    session.is_expired(now) || options.idle.is_some_and(is_idle)
}

/// Of how many files a sweep may still look at, and until when.
struct Budget {
    files: AtomicU64,
    deadline: Option<Instant>,
    ended: AtomicBool,
}

impl Budget {
    fn new(options: &SweepOptions) -> Self {
        Budget {
            files: AtomicU64::new(options.max_files.unwrap_or(u64::MAX)),
            deadline: options.max_time.and_then(|time| Instant::now().checked_add(time)),
            ended: AtomicBool::new(false),
        }
    }

    /// Takes one file from the budget; says whether there was one left, and time for it.
    fn take(&self) -> bool {
        // The lister alone takes.
        let left = self.files.load(Ordering::Relaxed);
        self.files.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 0 {
            self.ended.store(true, Ordering::Relaxed);
        }
        left > 0 && self.has_time()
    }

    fn has_time(&self) -> bool {
        let has = self.deadline.is_none_or(|deadline| Instant::now() < deadline);
        if !has {
            self.ended.store(true, Ordering::Relaxed);
        }
        has
    }
}
