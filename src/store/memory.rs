//! The store in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use super::{Counters, Deleted, SessionStore};
use crate::counters::Count;
use crate::error::{Error, Result};
use crate::locks::{self, enter};
use crate::names::{Key, Naming, SessionId, SessionRef};
use crate::open::{Clock, Options};
use crate::record::Session;
use crate::time::UnixMillis;

/// A store in memory, for tests and for sessions that may be lost: Session3's volatile store. It behaves as a
/// [`DirectoryStore`] does, limits and errors included, and ends with the process.
///
/// # Limitations
/// - One process; threads share it by reference or in an [`Arc`].
/// - It never evicts: what nobody deletes stays, the expired too, which nobody sees any more. Call
///   [`SessionStore::delete_old_sessions`] from time to time; nothing here does it for you.
///
/// ```
/// use sessiondir::{MemoryStore, Session, SessionStore};
/// let store = MemoryStore::new();
/// let mut session = Session::new();
/// session.set_user("ada")?;
/// let id = store.create(&mut session)?.into();
/// assert!(store.has(&id)?);
/// assert_eq!(store.delete_old_sessions(30)?.remaining, 1);
/// # Ok::<(), sessiondir::Error>(())
/// ```
///
/// [`DirectoryStore`]: crate::DirectoryStore
pub struct MemoryStore {
    /// Held only to look something up or to put something in its place, never while a user's code runs.
    sessions: RwLock<BTreeMap<Key, Arc<Session>>>,
    turns: Turns,
    patience: Duration,
    resolution: Duration,
    clock: Clock,
    conflicts: Count,
    gone: Count,
}

impl Default for MemoryStore {
    fn default() -> Self {
        MemoryStore::new()
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").field("sessions", &self.map().len()).finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// An empty store, with the default clock, patience and resolution.
    #[must_use]
    pub fn new() -> Self {
        MemoryStore::with(&Options::new())
    }

    /// An empty store with the options' clock, patience and resolution. The other options are about directories.
    #[must_use]
    pub fn with(options: &Options) -> Self {
        MemoryStore {
            sessions: RwLock::default(),
            turns: Turns::default(),
            patience: options.patience,
            resolution: options.resolution,
            clock: Arc::clone(&options.clock),
            conflicts: Count::default(),
            gone: Count::default(),
        }
    }

    fn now(&self) -> UnixMillis {
        (self.clock)()
    }

    // A panic while one of these is held leaves the map as it was before or after: each change is one call.
    fn map(&self) -> RwLockReadGuard<'_, BTreeMap<Key, Arc<Session>>> {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn map_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<Key, Arc<Session>>> {
        self.sessions.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: Key) -> Option<Arc<Session>> {
        self.map().get(&key).cloned()
    }

    /// Stores what would fit a record, and refuses what would not.
    fn put(&self, key: Key, session: &Session) -> Result<()> {
        session.encode(1, Naming::Plain)?;
        let session = Arc::new(session.clone());
        self.map_mut().insert(key, session);
        Ok(())
    }

    fn gone(&self, session: &SessionRef) -> Error {
        self.gone.add();
        Error::Gone { session: session.shown() }
    }

    fn based_on(&self, session: &Session, stored: &Session, reference: &SessionRef) -> Result<()> {
        if session.is_based_on(stored) {
            return Ok(());
        }
        self.conflicts.add();
        Err(Error::Conflict { session: reference.shown() })
    }

    /// The session; `gone` where it is absent.
    fn current(&self, reference: &SessionRef, now: UnixMillis) -> Result<Session> {
        match self.get(reference.key()) {
            Some(stored) if !stored.is_expired(now) => Ok((*stored).clone()),
            _ => Err(self.gone(reference)),
        }
    }

    /// The sessions, one after the other; what is stored meanwhile may be among them or not.
    fn all(&self) -> impl Iterator<Item = (Key, Arc<Session>)> + '_ {
        let mut after = Bound::Unbounded;
        std::iter::from_fn(move || {
            let map = self.map();
            let (key, session) = map.range((after, Bound::Unbounded)).next()?;
            after = Bound::Excluded(*key);
            Some((*key, Arc::clone(session)))
        })
    }

    fn delete_due(&self, due: &dyn Fn(&Session) -> bool) -> Result<Deleted> {
        enter()?;
        let mut summary = Deleted::default();
        for (key, seen) in self.all() {
            if !due(&seen) {
                summary.remaining += 1;
                continue;
            }
            let Ok(_turn) = self.turns.take(&[key], self.patience) else {
                summary.failed += 1;
                continue;
            };
            // It may have been touched or changed since.
            match self.get(key).map(|stored| due(&stored)) {
                Some(true) => {
                    self.map_mut().remove(&key);
                    summary.deleted += 1;
                }
                Some(false) => summary.remaining += 1,
                None => {}
            }
        }
        Ok(summary)
    }

    /// Generates IDs until one is free, and takes its turn together with those of `others`.
    fn new_id(&self, others: &[Key]) -> Result<(SessionId, Turn<'_>)> {
        loop {
            let id = SessionId::generate()?;
            let keys = [&[id.key()], others].concat();
            let turn = self.turns.take(&keys, self.patience)?;
            if self.get(id.key()).is_none() {
                return Ok((id, turn));
            }
        }
    }
}

impl SessionStore for MemoryStore {
    fn load(&self, session: &SessionRef) -> Result<Option<Session>> {
        enter()?;
        let stored = self.get(session.key()).filter(|stored| !stored.is_expired(self.now()));
        Ok(stored.map(|stored| (*stored).clone().known_as(session)))
    }

    fn create(&self, session: &mut Session) -> Result<SessionId> {
        enter()?;
        let (id, _turn) = self.new_id(&[])?;
        let first = session.first(SessionRef::Id(id.clone()));
        self.put(id.key(), &first)?;
        *session = first;
        Ok(id)
    }

    fn save(&self, session: &mut Session) -> Result<()> {
        enter()?;
        let Some(reference) = session.reference().cloned() else { return self.create(session).map(drop) };
        let _turn = self.turns.take(&[reference.key()], self.patience)?;
        let now = self.now();
        let stored = self.current(&reference, now)?;
        self.based_on(session, &stored, &reference)?;
        let next = if session.has_same_content(&stored) {
            stored
        } else {
            let next = session.next(&stored, now);
            self.put(reference.key(), &next)?;
            next
        };
        *session = next.known_as(&reference);
        Ok(())
    }

    fn update(
        &self,
        session: &SessionRef,
        change: &mut dyn FnMut(&mut Session) -> Result<()>,
    ) -> Result<Session> {
        enter()?;
        let _turn = self.turns.take(&[session.key()], self.patience)?;
        let now = self.now();
        let stored = self.current(session, now)?;
        let mut changed = stored.clone().known_as(session);
        locks::run(|| change(&mut changed))?;
        if changed.has_same_content(&stored) {
            return Ok(stored.known_as(session));
        }
        let next = changed.next(&stored, now);
        self.put(session.key(), &next)?;
        Ok(next.known_as(session))
    }

    fn touch(&self, session: &SessionRef) -> Result<bool> {
        enter()?;
        // Most touches come too early to write, and so need not wait.
        let now = self.now();
        if self.current(session, now)?.touched(now, self.resolution).is_none() {
            return Ok(false);
        }
        let _turn = self.turns.take(&[session.key()], self.patience)?;
        let now = self.now();
        match self.current(session, now)?.touched(now, self.resolution) {
            Some(next) => self.put(session.key(), &next).map(|()| true),
            None => Ok(false),
        }
    }

    fn delete(&self, session: &SessionRef) -> Result<bool> {
        enter()?;
        let _turn = self.turns.take(&[session.key()], self.patience)?;
        Ok(self.map_mut().remove(&session.key()).is_some())
    }

    fn rotate(&self, session: &mut Session) -> Result<SessionId> {
        enter()?;
        let Some(old) = session.reference().cloned() else { return self.create(session) };
        let (id, _turn) = self.new_id(&[old.key()])?;
        let now = self.now();
        let stored = self.current(&old, now)?;
        self.based_on(session, &stored, &old)?;
        let next = session.rotated(&stored, SessionRef::Id(id.clone()), now);
        self.put(id.key(), &next)?;
        self.map_mut().remove(&old.key());
        *session = next;
        Ok(id)
    }

    fn iter_sessions(&self) -> Result<Box<dyn Iterator<Item = Result<Session>> + '_>> {
        enter()?;
        let now = self.now();
        let mut all = self.all().filter(move |(_, session)| !session.is_expired(now));
        Ok(Box::new(std::iter::from_fn(move || match enter() {
            Ok(()) => all.next().map(|(_, session)| Ok((*session).clone())),
            Err(error) => Some(Err(error)),
        })))
    }

    fn setup(&self) -> Result<()> {
        enter()
    }

    fn delete_old_sessions(&self, minutes: u64) -> Result<Deleted> {
        let most = minutes.saturating_mul(60_000);
        self.delete_due(&|session| {
            let now = self.now();
            session.is_expired(now) || now.millis_since(session.accessed()) > most
        })
    }

    fn delete_where(&self, which: &(dyn Fn(&Session) -> bool + Sync)) -> Result<Deleted> {
        self.delete_due(&|session| locks::run(|| which(session)))
    }

    fn delete_if(&self, session: &SessionRef, which: &(dyn Fn(&Session) -> bool + Sync)) -> Result<bool> {
        enter()?;
        let _turn = self.turns.take(&[session.key()], self.patience)?;
        let Some(stored) = self.get(session.key()) else { return Ok(false) };
        let found = (*stored).clone().known_as(session);
        let goes = locks::run(|| which(&found));
        if goes {
            self.map_mut().remove(&session.key());
        }
        Ok(goes)
    }

    fn touch_is_due(&self, session: &Session) -> bool {
        session.accessed_by_touch(self.now(), self.resolution).is_some()
    }

    fn is_multiprocess_safe(&self) -> bool {
        false
    }

    fn counters(&self) -> Counters {
        Counters {
            busy_waits: self.turns.waits.get(),
            conflicts: self.conflicts.get(),
            gone: self.gone.get(),
            ..Counters::default()
        }
    }
}

/// Whose turn it is to change a session: what the lock files are to a directory.
#[derive(Debug, Default)]
struct Turns {
    taken: Mutex<BTreeSet<Key>>,
    released: Condvar,
    waits: Count,
}

impl Turns {
    /// Takes the turns of all `keys` at once, so that no order matters.
    fn take(&self, keys: &[Key], patience: Duration) -> Result<Turn<'_>> {
        let start = Instant::now();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut waits = false;
        while let Some(key) = keys.iter().find(|key| taken.contains(key)) {
            if !waits {
                self.waits.add();
                waits = true;
            }
            let left = patience.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(Error::Busy { session: Some(key.shown()), waited: patience });
            }
            taken = self.released.wait_timeout(taken, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        taken.extend(keys);
        Ok(Turn { turns: self, keys: keys.to_vec() })
    }
}

/// A turn, until this is dropped.
struct Turn<'a> {
    turns: &'a Turns,
    keys: Vec<Key>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut taken = self.turns.taken.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &self.keys {
            taken.remove(key);
        }
        drop(taken);
        self.turns.released.notify_all();
    }
}
