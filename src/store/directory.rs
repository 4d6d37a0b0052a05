//! The store on disk: the operations of SPEC.md section 10, each a few lines over reading, locking and writing.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::synced::Synced;
use super::write::Place;
use super::{Deleted, Fate, SessionStore};
use crate::counters::{Count, Counters};
use crate::dir::{Access, Dir, Stat};
use crate::error::{Error, NotAStore, Result, Unsupported};
use crate::locks::{self, Guard, Locks, Mode, enter};
use crate::marker::Marker;
use crate::names::{EntryType, FileName, SessionId, SessionRef};
use crate::open::{Clock, Options};
use crate::read::{self, Current, ROUNDS, Round, Tally};
use crate::record::{Draft, Session};
use crate::rule::{Fault, Rule};
use crate::slots::SPARE;
use crate::time::UnixMillis;

/// How many generated IDs may be taken before that is an error. One is, with luck, in 2^128.
const IDS_MOST: u32 = 8;

/// A store in a directory. Any number of threads and processes can work on one at the same time.
///
/// # Limitations
/// - Local file systems only (DIR-5).
/// - An operation that changes a session waits for the lock of its lock file, which it shares with about one
///   in 64 of the other sessions, and does not queue: under heavy contention the order is chance.
/// - In a child of fork(2) from a process with several threads, a lock that another thread held at the fork stays
///   `busy` for the child: open the store after the fork.
///
/// # What the format leaves to it
///
/// | SPEC.md, section 16 | |
/// |---|---|
/// | rounds of a reader (READ-5) | 4 without the lock, then one with it |
/// | waiting for a lock (LOCK-10) | 5 seconds, or [`Options::patience`]; it asks again after 40 us at first, 1 ms at most, with jitter |
/// | resolution of a touch (WRITE-17) | 60 seconds, or [`Options::resolution`]; a tenth of the session's `idle` at most |
/// | locks | owned by the process, over all of the lock file |
/// | files shrink (section 10.5) | at a save whose record would fit an eighth of its slot |
/// | largest record | 16 MiB - 64 bytes, as the format has it |
/// | its own syncs (WRITE-4) | known by device, inode, seq and the record's digest, of the last 32,768 files at least |
/// | starting over by LOCK-6 | after 100 times, as `io` |
///
/// ```
/// use sessiondir::{Options, SessionStore};
/// # let tmp = tempfile::tempdir().unwrap();
/// # let path = tmp.path().join("sessions");
/// let store = Options::new().create(true).open(&path)?;
///
/// let mut session = sessiondir::Session::new();
/// session.set_user("ada")?;
/// let id = store.create(&mut session)?;                  // the cookie's value
///
/// let mut session = store.load(&id.clone().into())?.expect("just created");
/// session.insert("visits", &1)?;
/// store.save(&mut session)?;                             // `conflict` if somebody was faster
///
/// store.update(&id.clone().into(), &mut |session| {      // or: never a conflict
///     let visits: u64 = session.get("visits")?.unwrap_or(0);
///     Ok(session.insert("visits", &(visits + 1))?)
/// })?;
/// assert!(store.delete(&id.into())?);                    // logged out
/// # Ok::<(), sessiondir::Error>(())
/// ```
pub struct DirectoryStore {
    pub(crate) dir: Dir,
    pub(crate) marker: Marker,
    read_only: bool,
    pub(crate) locks: Locks,
    pub(crate) synced: Synced,
    pub(crate) patience: Duration,
    pub(crate) resolution: Duration,
    pub(crate) threads: usize,
    pub(crate) clock: Clock,
    pub(super) tally: Tally,
    conflicts: Count,
    gone: Count,
}

impl std::fmt::Debug for DirectoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DirectoryStore")
            .field("path", &self.dir.path())
            .field("marker", &self.marker)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Opens the store in the directory `path`.
    ///
    /// # Errors
    /// `not-a-store`, `unsafe-directory`, `unsupported`, `io`.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<DirectoryStore> {
        let path = path.as_ref();
        match self.open_existing(path) {
            Err(Error::NotAStore { why: NotAStore::Missing | NotAStore::NoMarker, .. })
                if self.create && !self.read_only =>
            {
                match self.init(path) {
                    // Somebody else was faster.
                    Err(Error::NotAStore { why: NotAStore::Exists, .. }) => {}
                    done => done?,
                }
                self.open_existing(path)
            }
            opened => opened,
        }
    }

    pub(super) fn open_existing(&self, path: &Path) -> Result<DirectoryStore> {
        let (dir, marker) = self.open_dir(path)?;
        Ok(DirectoryStore {
            dir,
            marker,
            read_only: self.read_only,
            locks: Locks::new(),
            synced: Synced::default(),
            patience: self.patience,
            resolution: self.resolution,
            threads: self.threads,
            clock: Arc::clone(&self.clock),
            tally: Tally::default(),
            conflicts: Count::default(),
            gone: Count::default(),
        })
    }
}

impl DirectoryStore {
    /// Opens the store in the directory `path` with the default [`Options`].
    ///
    /// # Errors
    /// `not-a-store`, `unsafe-directory`, `unsupported`, `io`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Options::new().open(path)
    }

    /// What the store's marker said when it was opened.
    #[must_use]
    pub fn marker(&self) -> &Marker {
        &self.marker
    }

    /// Stores `session` under a given ID, as its first revision: for migrators. Never for an ID that a client
    /// has chosen (section 15 of SPEC.md).
    ///
    /// # Errors
    /// `conflict` if there is a session of that ID; as [`SessionStore::create`].
    pub fn insert(&self, id: &SessionId, session: &mut Session) -> Result<()> {
        enter()?;
        self.writable()?;
        let reference = SessionRef::Id(id.clone());
        let name = self.name(&reference)?;
        let _guard = self.lock(&name)?;
        let place = match self.round(&name)? {
            Round::Absent => Place::Fresh,
            Round::Stillborn => Place::OverStillborn,
            _ => return Err(self.conflict(&SessionRef::Id(id.clone()))),
        };
        self.put_first(&name, &session.draft_first(&reference), place)?;
        session.become_first(reference);
        Ok(())
    }

    pub(crate) fn now(&self) -> UnixMillis {
        (self.clock)()
    }

    /// MARK-3, and [`Options::read_only`].
    pub(crate) fn writable(&self) -> Result<()> {
        if self.read_only {
            let error =
                io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the store was opened for reading only");
            return Err(Error::io("change the store", None, error));
        }
        if self.marker.is_writable() {
            return Ok(());
        }
        let what = Unsupported::WriteVersion(self.marker.write_version);
        Err(Error::Unsupported { session: None, what, fault: Fault::new(Rule::Mark3, 0) })
    }

    /// The name of a session's file. A key is no name in a store of naming `plain`.
    pub(super) fn name(&self, session: &SessionRef) -> Result<FileName> {
        session.file_name(self.marker.naming).ok_or(Error::InvalidId)
    }

    pub(crate) fn lock(&self, name: &FileName) -> Result<Guard> {
        let key = name.key();
        self.lock_file(key.lock_file()).map_err(|error| error.about(key.shown()))
    }

    /// Takes the lock of lock file `index`, which is made if need be (LOCK-5).
    pub(crate) fn lock_file(&self, index: u8) -> Result<Guard> {
        self.locks.lock(&self.dir, index, Mode::Exclusive, self.patience)
    }

    pub(crate) fn round(&self, name: &FileName) -> Result<Round> {
        self.round_knowing(name, &[])
    }

    /// The same, for somebody who knows that the bytes of `known` are a whole record, if it is not empty.
    fn round_knowing(&self, name: &FileName, known: &[u8]) -> Result<Round> {
        read::round(&self.dir, &self.marker, name, Access::Write, known, &self.tally)
    }

    /// The session under the lock, with what is needed to write its next record; `gone` where it is absent.
    fn current(
        &self,
        name: &FileName,
        reference: &SessionRef,
        now: UnixMillis,
        known: &[u8],
    ) -> Result<(Box<Current>, Session)> {
        let Some(current) = self.round_knowing(name, known)?.settled(name)? else {
            return Err(self.gone(reference));
        };
        let session = current.session(name)?.known_as(reference);
        if session.is_expired(now) { Err(self.gone(reference)) } else { Ok((current, session)) }
    }

    /// WRITE-1: the current record is the one that the change to `reference` is based on.
    fn based_on(&self, session: &Session, current: &Session, reference: &SessionRef) -> Result<()> {
        if session.is_based_on(current) { Ok(()) } else { Err(self.conflict(reference)) }
    }

    fn gone(&self, reference: &SessionRef) -> Error {
        self.gone.add();
        Error::Gone { session: reference.shown() }
    }

    fn conflict(&self, reference: &SessionRef) -> Error {
        self.conflicts.add();
        Error::Conflict { session: reference.shown() }
    }

    /// Whether a touch is due, by a look without the lock.
    fn seems_due(&self, name: &FileName, reference: &SessionRef) -> Result<bool> {
        let now = self.now();
        let Some(current) = self.read(name)? else { return Err(self.gone(reference)) };
        let seen = current.session(name)?;
        if seen.is_expired(now) {
            return Err(self.gone(reference));
        }
        Ok(seen.accessed_by_touch(now, self.resolution).is_some())
    }

    /// What has the name, if anything.
    pub(crate) fn stat(&self, name: &FileName) -> Result<Option<Stat>> {
        let stat = self.dir.stat_entry(name.as_str().as_bytes());
        stat.map_err(|error| Error::io("look at a session", Some(name.shown()), error))
    }

    /// Whether the name is taken by a regular file. Anything else there is foreign (NAME-11).
    pub(crate) fn is_file(&self, name: &FileName) -> Result<bool> {
        match self.stat(name)? {
            None => Ok(false),
            Some(stat) if stat.kind == EntryType::Regular => Ok(true),
            Some(_) => Err(read::corrupt(name, Fault::new(Rule::Name11, 0))),
        }
    }

    /// Reads a session without a lock. Section 10.2.
    pub(crate) fn read(&self, name: &FileName) -> Result<Option<Box<Current>>> {
        self.last_round(name)?.settled(name)
    }

    /// The round that settles it.
    pub(crate) fn last_round(&self, name: &FileName) -> Result<Round> {
        let mut round = Round::Absent;
        for _ in 0..ROUNDS {
            round = read::round(&self.dir, &self.marker, name, Access::Read, &[], &self.tally)?;
            if !matches!(round, Round::Again(_)) {
                return Ok(round);
            }
        }
        // READ-6.
        let index = name.key().lock_file();
        let _guard = match self.locks.lock(&self.dir, index, Mode::Shared, self.patience) {
            Ok(guard) => {
                round = read::round(&self.dir, &self.marker, name, Access::Read, &[], &self.tally)?;
                Some(guard)
            }
            // The lock file is not there, or not for us to open: what was seen last has to do.
            Err(Error::NotAStore { .. }) => None,
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => None,
            Err(error) => return Err(error.about(name.shown())),
        };
        Ok(round)
    }

    /// Stores a session's first revision. The lock is held.
    pub(super) fn put_first(&self, name: &FileName, first: &Draft<'_>, place: Place) -> Result<()> {
        let record = first.encode(FIRST_SEQ, self.marker.naming)?;
        self.put_file(name, FIRST_SEQ, &record, place)
    }

    /// Generates IDs until `store` finds one that is free.
    fn with_new_id<T>(
        &self,
        mut store: impl FnMut(SessionRef, &FileName) -> Result<T>,
    ) -> Result<(SessionId, T)> {
        for _ in 0..IDS_MOST {
            let id = SessionId::generate()?;
            let reference = SessionRef::Id(id.clone());
            let name = self.name(&reference)?;
            match store(reference, &name) {
                Err(Error::Conflict { session }) if session == id.key().shown() => {}
                stored => return stored.map(|stored| (id, stored)),
            }
        }
        let error = io::Error::other("every generated ID is taken: the random generator repeats itself");
        Err(Error::io("create a session", None, error))
    }
}

/// The seq of a session's first record (section 7.1).
const FIRST_SEQ: u64 = 2;

impl SessionStore for DirectoryStore {
    fn load(&self, session: &SessionRef) -> Result<Option<Session>> {
        enter()?;
        let name = self.name(session)?;
        let Some(current) = self.read(&name)? else { return Ok(None) };
        let mut loaded = current.session(&name)?.known_as(session);
        if loaded.is_expired(self.now()) {
            return Ok(None);
        }
        loaded.see(current.into_seen());
        Ok(Some(loaded))
    }

    fn create(&self, session: &mut Session) -> Result<SessionId> {
        enter()?;
        self.writable()?;
        let (id, reference) = self.with_new_id(|reference, name| {
            let _guard = self.lock(name)?;
            self.put_first(name, &session.draft_first(&reference), Place::Fresh)?;
            Ok(reference)
        })?;
        session.become_first(reference);
        Ok(id)
    }

    fn save(&self, session: &mut Session) -> Result<()> {
        enter()?;
        self.writable()?;
        let Some(reference) = session.reference() else { return self.create(session).map(drop) };
        let name = self.name(reference)?;
        let _guard = self.lock(&name)?;
        let now = self.now();
        let (current, stored) = self.current(&name, reference, now, session.seen())?;
        self.based_on(session, &stored, reference)?;
        if session.has_same_content(&stored) {
            self.keep(&name, &current, &stored)?;
            *session = stored;
            session.see(current.into_seen());
            return Ok(());
        }
        let seen = self.put(&name, &current, &session.draft_after(&stored, now)?, SPARE)?;
        // Only now, so that whatever ends a save leaves the session as it was.
        session.become_next(&stored, now);
        session.see(seen);
        Ok(())
    }

    fn update(
        &self,
        session: &SessionRef,
        change: &mut dyn FnMut(&mut Session) -> Result<()>,
    ) -> Result<Session> {
        enter()?;
        self.writable()?;
        let name = self.name(session)?;
        let mut guard = self.lock(&name)?;
        guard.note_process();
        let now = self.now();
        let (current, stored) = self.current(&name, session, now, &[])?;
        let mut changed = stored.clone();
        locks::run(|| change(&mut changed))?;
        if !guard.is_ours() {
            // LOCK-12: this is a child, forked within `change`. The parent holds the lock and does the update.
            return Err(Error::Reentrant);
        }
        if changed.has_same_content(&stored) {
            self.keep(&name, &current, &stored)?;
            return Ok(stored);
        }
        changed.become_next(&stored, now);
        let seen = self.put(&name, &current, &changed.draft()?, SPARE)?;
        changed.see(seen);
        Ok(changed)
    }

    fn touch(&self, session: &SessionRef) -> Result<bool> {
        enter()?;
        self.writable()?;
        let name = self.name(session)?;
        // Where the lock is free, to take it costs less than to find out whether it is needed. Where it is not, or not to be
        // had at all: most touches come too early to write, and those need not wait for it.
        let _guard = match self.locks.lock_if_free(&self.dir, name.key().lock_file()) {
            Some(guard) => guard,
            None if !self.seems_due(&name, session)? => return Ok(false),
            None => self.lock(&name)?,
        };
        let now = self.now();
        let (current, stored) = self.current(&name, session, now, &[])?;
        match stored.accessed_by_touch(now, self.resolution) {
            Some(accessed) => {
                self.put(&name, &current, &stored.into_accessed(accessed).draft()?, 0).map(|_| true)
            }
            None => Ok(false),
        }
    }

    fn delete(&self, session: &SessionRef) -> Result<bool> {
        enter()?;
        self.writable()?;
        let name = self.name(session)?;
        let _guard = self.lock(&name)?;
        self.remove(&name)
    }

    fn rotate(&self, session: &mut Session) -> Result<SessionId> {
        enter()?;
        self.writable()?;
        let Some(old_reference) = session.reference().cloned() else { return self.create(session) };
        let old_name = self.name(&old_reference)?;
        let old_lock = old_name.session().key().lock_file();
        let mut unsure = None;
        let (id, stored) = self.with_new_id(|reference, name| {
            let locks = [old_lock, name.key().lock_file()];
            let _guards = self
                .locks
                .lock_many(&self.dir, &locks, self.patience)
                .map_err(|error| error.about(old_reference.shown()))?;
            let now = self.now();
            let (_, stored) = self.current(&old_name, &old_reference, now, session.seen())?;
            self.based_on(session, &stored, &old_reference)?;
            let next = session.rotated(&stored, reference, now);
            // ROT-1: in this order, so that a crash in between leaves the old session without the new rights.
            self.put_first(name, &next.draft()?, Place::Fresh)?;
            match self.remove(&old_name) {
                Ok(_) => {}
                // The old one is gone, though not yet for sure after a power loss; the new one is there.
                Err(error @ Error::OutcomeUnknown { .. }) => unsure = Some(error),
                Err(error) => {
                    // The old one stays, so the new one, whose ID nobody learns, is to go.
                    let _ = self.remove(name);
                    return Err(error);
                }
            }
            Ok(next)
        })?;
        *session = stored;
        unsure.map_or(Ok(id), Err)
    }

    fn iter_sessions(&self) -> Result<Box<dyn Iterator<Item = Result<Session>> + '_>> {
        Ok(Box::new(self.sessions()?))
    }

    /// Makes the lock files that are missing (LOCK-5). One whose name is taken by something that is no file is an error.
    fn setup(&self) -> Result<()> {
        enter()?;
        self.writable()?;
        locks::make_missing(&self.dir)
    }

    fn delete_old_sessions(&self, minutes: u64) -> Result<Deleted> {
        self.delete_old(minutes)
    }

    fn delete_where(&self, which: &(dyn Fn(&Session) -> bool + Sync)) -> Result<Deleted> {
        // The expired too: to a deletion they are there (TIME-3).
        self.delete_due(&|session| session.is_some_and(|session| locks::run(|| which(session))))
    }

    fn delete_if(&self, session: &SessionRef, which: &(dyn Fn(&Session) -> bool + Sync)) -> Result<bool> {
        enter()?;
        self.writable()?;
        let due = |found: Option<&Session>| {
            found.is_some_and(|found| {
                let found = found.clone().known_as(session);
                locks::run(|| which(&found))
            })
        };
        let fate = self.delete_if_due(&self.name(session)?, false, &due)?;
        Ok(fate == Fate::Removed)
    }

    fn touch_is_due(&self, session: &Session) -> bool {
        session.accessed_by_touch(self.now(), self.resolution).is_some()
    }

    fn is_multiprocess_safe(&self) -> bool {
        true
    }

    fn counters(&self) -> Counters {
        Counters {
            fallback_reads: self.tally.fallbacks.get(),
            second_reads: self.tally.second_reads.get(),
            busy_waits: self.locks.waits.get(),
            conflicts: self.conflicts.get(),
            gone: self.gone.get(),
        }
    }
}
