//! Somebody else's store: records in a map, one lock for all changes, and nothing but the crate's public interface. It
//! can be broken, in one way at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::faults::Fault;
use sessiondir::record::{decode_record, encode_record};
use sessiondir::store::{Deleted, author};
use sessiondir::{Counters, Error, Key, Result, Session, SessionId, SessionRef, SessionStore, UnixMillis};

pub(crate) struct Outside {
    fault: Fault,
    records: Mutex<BTreeMap<Key, Vec<u8>>>,
    changing: Mutex<bool>,
    changed: Condvar,
    /// What the faults need: the records before the last change, a number that grows, whether a function has panicked.
    before: Mutex<BTreeMap<Key, Vec<u8>>>,
    number: AtomicU64,
    panicked: AtomicBool,
    gone: AtomicU64,
}

/// The right to change the store, until it is dropped.
struct Changing<'a>(&'a Outside);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.panicked.store(true, Ordering::SeqCst);
        }
        *lock(&self.0.changing) = false;
        self.0.changed.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets the others come between.
fn pause() {
    std::thread::sleep(Duration::from_micros(200));
}

fn id_of(session: &Session) -> SessionId {
    session.id().expect("it has an ID").clone()
}

impl Outside {
    pub(crate) fn new(fault: Fault) -> Self {
        Outside {
            fault,
            records: Mutex::default(),
            changing: Mutex::default(),
            changed: Condvar::new(),
            before: Mutex::default(),
            number: AtomicU64::new(0),
            panicked: AtomicBool::new(false),
            gone: AtomicU64::new(0),
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn change(&self) -> Result<Changing<'_>> {
        author::enter()?;
        if self.is(Fault::UpdateDeadAfterPanic) && self.panicked.load(Ordering::SeqCst) {
            return Err(Error::Busy { session: None, waited: Duration::ZERO });
        }
        let free = self.changed.wait_while(lock(&self.changing), |changing| *changing);
        *free.unwrap_or_else(PoisonError::into_inner) = true;
        Ok(Changing(self))
    }

    fn key(&self, session: &SessionRef) -> Key {
        match session.id() {
            Some(id) if self.is(Fault::FoldsCase) => {
                SessionId::new(id.expose().to_lowercase()).expect("an ID").key()
            }
            _ => session.key(),
        }
    }

    fn stored(&self, key: Key) -> Result<Option<Session>> {
        let mut record = lock(&self.records).get(&key).cloned();
        if self.is(Fault::ReadsWhatWas)
            && record.is_some()
            && self.number.fetch_add(1, Ordering::SeqCst).is_multiple_of(5)
            && let Some(before) = lock(&self.before).get(&key)
        {
            record = Some(before.clone());
        }
        record.map(|record| decode_record(&record).map(|(_, session)| session)).transpose()
    }

    fn is_live(&self, session: &Session) -> bool {
        let now = UnixMillis::now();
        match self.fault {
            Fault::ExpiredIsServed => true,
            Fault::IdleIsIgnored => session.expires().is_none_or(|expires| now < expires),
            _ => !session.is_expired(now),
        }
    }

    fn live(&self, key: Key) -> Result<Option<Session>> {
        Ok(self.stored(key)?.filter(|session| self.is_live(session)))
    }

    fn current(&self, id: &SessionRef) -> Result<Session> {
        self.live(self.key(id))?.ok_or_else(|| self.is_gone(id))
    }

    fn is_gone(&self, id: &SessionRef) -> Error {
        self.gone.fetch_add(1, Ordering::SeqCst);
        if self.is(Fault::ErrorsShowIds) {
            let source = std::io::Error::other(id.id().map_or("", SessionId::expose).to_owned());
            return Error::Io { operation: "find", session: None, source };
        }
        Error::Gone { session: id.shown() }
    }

    fn put(&self, session: &Session) -> Result<()> {
        let mut session = session.clone();
        self.spoil(&mut session)?;
        let key = self.key(session.reference().expect("it has an ID"));
        let record = encode_record(session.rev().max(1), &session)?;
        let before = lock(&self.records).insert(key, record);
        if let Some(before) = before {
            lock(&self.before).insert(key, before);
        }
        Ok(())
    }

    /// What a session loses on the way to the store.
    fn spoil(&self, session: &mut Session) -> Result<()> {
        let keys: Vec<String> = session.attributes().map(|(key, _)| key.to_owned()).collect();
        match self.fault {
            Fault::FloatsAreRounded => {
                for key in keys {
                    let value: Option<ciborium::Value> = session.get(&key)?;
                    session.insert(&key, &rounded(value.expect("it is there")))?;
                }
            }
            Fault::TextsAreCut => {
                for key in keys {
                    if let Ok(Some(text)) = session.get::<String>(&key) {
                        session.insert(&key, &text.chars().take(60_000).collect::<String>())?;
                    }
                }
                if let Some(csrf) = session.csrf().map(|csrf| csrf.chars().take(100).collect::<String>()) {
                    session.set_csrf(&csrf)?;
                }
            }
            Fault::TokensAreLost => {
                for token in session.tokens().map(str::to_owned).collect::<Vec<_>>() {
                    session.remove_token(&token);
                }
            }
            Fault::RemovedStays => {
                let key = session.reference().map(|reference| self.key(reference)).expect("it has an ID");
                if let Some(stored) = self.stored(key)? {
                    for (key, _) in stored.attributes() {
                        if !session.contains(key) {
                            session.insert(key, &stored.get::<ciborium::Value>(key)?)?;
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn based_on(session: &Session, stored: &Session) -> Result<()> {
        if author::is_based_on(session, stored) {
            return Ok(());
        }
        Err(Error::Conflict { session: stored.reference().expect("it has an ID").shown() })
    }

    /// The revision after `stored`.
    fn next(&self, changed: &Session, stored: &Session) -> Session {
        let now = UnixMillis::now();
        let at = |accessed| {
            // As stored, but accessed at another time.
            let mut other = author::first(&Session::at(stored.created(), accessed), &id_of(stored));
            while other.rev() < stored.rev() {
                other = author::next(&other, &other, accessed);
            }
            other
        };
        match self.fault {
            Fault::AccessedMovesBack => author::next(changed, &at(now), now),
            Fault::AccessedStaysFarAhead => author::next(changed, stored, stored.accessed().max(now)),
            Fault::ExpiresMoves => {
                let mut changed = changed.clone();
                changed.set_expires(changed.expires().map(|expires| expires.plus(Duration::from_secs(1))));
                author::next(&changed, stored, now)
            }
            _ => author::next(changed, stored, now),
        }
    }

    fn delete_due(&self, due: &dyn Fn(&Session) -> bool) -> Result<Deleted> {
        author::enter()?;
        let keys: Vec<Key> = lock(&self.records).keys().copied().collect();
        let mut done = Deleted::default();
        if self.is(Fault::WhereDoesNotLookAgain) {
            let mut chosen = Vec::new();
            for key in keys {
                match self.stored(key)? {
                    Some(session) if due(&session) => chosen.push(key),
                    _ => done.remaining += 1,
                }
            }
            pause();
            for key in chosen {
                done.deleted += u64::from(lock(&self.records).remove(&key).is_some());
            }
            return Ok(done);
        }
        let _changing = self.change()?;
        for key in keys {
            let Some(session) = self.stored(key)? else { continue };
            let removed =
                self.is(Fault::WhereDeletesAfterPanic).then(|| lock(&self.records).remove(&key)).flatten();
            if due(&session) {
                lock(&self.records).remove(&key);
                done.deleted += 1;
            } else {
                removed.map(|record| lock(&self.records).insert(key, record));
                done.remaining += 1;
            }
        }
        Ok(done)
    }

    fn run<T>(&self, allows_calls: Fault, code: impl FnOnce() -> T) -> T {
        if self.is(allows_calls) { code() } else { author::run(code) }
    }
}

fn rounded(value: ciborium::Value) -> ciborium::Value {
    use ciborium::Value::{Array, Float, Map};
    match value {
        #[allow(clippy::cast_possible_truncation, reason = "that is the fault")]
        Float(float) => Float(f64::from(float as f32)),
        Array(items) => Array(items.into_iter().map(rounded).collect()),
        Map(entries) => Map(entries.into_iter().map(|(key, value)| (key, rounded(value))).collect()),
        other => other,
    }
}

impl SessionStore for Outside {
    fn load(&self, session: &SessionRef) -> Result<Option<Session>> {
        author::enter()?;
        let loaded = self.live(self.key(session))?;
        match session.id() {
            Some(id) if loaded.is_none() && self.is(Fault::AdoptsUnknownIds) => {
                self.put(&author::first(&Session::new(), id))?;
                Ok(None)
            }
            _ => Ok(loaded),
        }
    }

    fn create(&self, session: &mut Session) -> Result<SessionId> {
        let _changing = self.change()?;
        let id = match self.fault {
            // Every fourth time.
            Fault::CreationReusesTheId if self.number.fetch_add(1, Ordering::SeqCst) % 4 == 3 => {
                let any = lock(&self.records).values().next().cloned();
                match any {
                    Some(record) => id_of(&decode_record(&record)?.1),
                    None => SessionId::generate()?,
                }
            }
            Fault::CreationHasShortIds => SessionId::new(&SessionId::generate()?.expose()[..16])?,
            _ => SessionId::generate()?,
        };
        let first = match self.fault {
            Fault::TimesAreInSeconds => {
                let seconds = session.created().as_millis() / 1000 * 1000;
                let created = UnixMillis::from_millis(seconds).expect("in range");
                author::rotated(session, &Session::at(created, session.accessed()), &id, session.accessed())
            }
            Fault::CreationHasRev2 if session.rev() > 0 => {
                author::next(session, &author::first(session, &id), session.accessed())
            }
            _ => author::first(session, &id),
        };
        let is_kept = match self.fault {
            Fault::EmptyIsNotStored => first.has_info(),
            Fault::HoldsFortyOnly => lock(&self.records).len() < 40,
            _ => true,
        };
        if is_kept {
            self.put(&first)?;
        }
        *session = first;
        Ok(id)
    }

    fn save(&self, session: &mut Session) -> Result<()> {
        let Some(id) = session.reference().cloned() else {
            if self.is(Fault::SaveDoesNotCreate) {
                return Ok(());
            }
            return self.create(session).map(drop);
        };
        let _changing = self.change()?;
        let stored = match self.live(self.key(&id))? {
            Some(stored) => stored,
            None if self.is(Fault::SaveResurrects) => session.clone(),
            None => return Err(self.is_gone(&id)),
        };
        if !self.is(Fault::SaveNeverConflicts) {
            Outside::based_on(session, &stored)?;
        }
        if !author::has_same_content(session, &stored) || self.is(Fault::SaveWritesTheUnchanged) {
            let next = self.next(session, &stored);
            self.put(&next)?;
            if !self.is(Fault::SaveForgetsTheSession) {
                *session = next;
            }
        }
        Ok(())
    }

    fn update(
        &self,
        session: &SessionRef,
        change: &mut dyn FnMut(&mut Session) -> Result<()>,
    ) -> Result<Session> {
        let changing = self.change()?;
        let stored = self.current(session)?;
        if self.is(Fault::UpdateIsLostUnderRace) {
            drop(changing);
            pause();
        }
        let mut changed = stored.clone();
        let times = if self.is(Fault::UpdateRunsTwice) { 2 } else { 1 };
        for _ in 0..times {
            let outcome = self.run(Fault::UpdateAllowsCalls, || change(&mut changed));
            if outcome.is_err() && self.is(Fault::UpdateKeepsWhatFailed) {
                self.put(&self.next(&changed, &stored))?;
            }
            outcome?;
        }
        if author::has_same_content(&changed, &stored) {
            return Ok(stored);
        }
        let next = match self.fault {
            Fault::UpdateChangesTheName => self.next(&changed, &changed),
            _ => self.next(&changed, &stored),
        };
        self.put(&next)?;
        Ok(next)
    }

    fn touch(&self, session: &SessionRef) -> Result<bool> {
        let changing = self.change()?;
        let stored = self.current(session)?;
        let now = UnixMillis::now();
        let Some(touched) = author::touched(&stored, now, Duration::from_secs(1)) else {
            return Ok(self.is(Fault::TouchSaysYes));
        };
        match self.fault {
            Fault::TouchDoesNothing => return Ok(false),
            Fault::TouchChangesRev => self.put(&self.next(&stored, &stored))?,
            Fault::TouchUndoesUpdates => {
                drop(changing);
                pause();
                self.put(&touched)?;
            }
            _ => self.put(&touched)?,
        }
        Ok(true)
    }

    fn delete(&self, session: &SessionRef) -> Result<bool> {
        author::enter()?;
        let key = self.key(session);
        if self.is(Fault::DeletionIsUnlocked) {
            let was_there = lock(&self.records).contains_key(&key);
            pause();
            lock(&self.records).remove(&key);
            return Ok(was_there);
        }
        let _changing = self.change()?;
        let was_there = match self.fault {
            Fault::DeletionIsNotDone => lock(&self.records).contains_key(&key),
            _ => lock(&self.records).remove(&key).is_some(),
        };
        if !was_there && self.is(Fault::AbsentDeletionIsAnError) {
            return Err(self.is_gone(session));
        }
        Ok(was_there || self.is(Fault::DeletionAlwaysSaysYes))
    }

    fn rotate(&self, session: &mut Session) -> Result<SessionId> {
        let Some(old) = session.reference().cloned() else {
            if self.is(Fault::RotateDoesNotCreate) {
                return SessionId::generate();
            }
            return self.create(session);
        };
        let changing = self.change()?;
        let stored = match self.live(self.key(&old))? {
            Some(stored) => stored,
            None if self.is(Fault::RotateResurrects) => session.clone(),
            None => return Err(self.is_gone(&old)),
        };
        if !self.is(Fault::RotateNeverConflicts) {
            Outside::based_on(session, &stored)?;
        }
        if self.is(Fault::RotateIsUnlocked) {
            drop(changing);
            pause();
        }
        let (id, now) = (SessionId::generate()?, UnixMillis::now());
        let mut next = match self.fault {
            Fault::RotateForgetsCreated => author::rotated(session, &Session::at(now, now), &id, now),
            Fault::RotateDropsTheChanges => author::rotated(&stored, &stored, &id, now),
            Fault::AccessedMovesBack => {
                author::rotated(session, &Session::at(stored.created(), now), &id, now)
            }
            _ => author::rotated(session, &stored, &id, now),
        };
        if self.is(Fault::RotateKeepsTheTokens) {
            session.tokens().try_for_each(|token| next.push_token(token))?;
        }
        self.put(&next)?;
        if !self.is(Fault::RotateKeepsTheOld) {
            lock(&self.records).remove(&self.key(&old));
        }
        *session = next;
        Ok(id)
    }

    fn has(&self, session: &SessionRef) -> Result<bool> {
        Ok(self.load(session)?.is_some() || self.is(Fault::HasSaysYes))
    }

    fn iter_sessions(&self) -> Result<Box<dyn Iterator<Item = Result<Session>> + '_>> {
        author::enter()?;
        let mut keys: Vec<Key> = lock(&self.records).keys().copied().collect();
        match self.fault {
            Fault::IterSkipsOne => drop(keys.pop()),
            Fault::IterTwice => keys.extend(keys.last().copied()),
            Fault::IterSkipsWhenWrittenTo if *lock(&self.changing) => drop(keys.drain(..keys.len() / 2)),
            _ => {}
        }
        let one = move |key| match self.fault {
            Fault::ExpiredIsListed => self.stored(key).transpose(),
            _ => self.live(key).transpose(),
        };
        Ok(Box::new(keys.into_iter().filter_map(one)))
    }

    fn setup(&self) -> Result<()> {
        if self.is(Fault::SetupEmptiesIt) {
            lock(&self.records).clear();
        }
        Ok(())
    }

    fn delete_old_sessions(&self, minutes: u64) -> Result<Deleted> {
        let now = UnixMillis::now();
        let most = minutes.saturating_mul(if self.is(Fault::OldIsInSeconds) { 1_000 } else { 60_000 });
        self.delete_due(&|session| {
            let age = now.millis_since(session.accessed());
            let is_old = if self.is(Fault::OldIsNotStrict) { age >= most } else { age > most };
            is_old || (session.is_expired(now) && !self.is(Fault::OldLeavesTheExpired))
        })
    }

    fn delete_where(&self, which: &(dyn Fn(&Session) -> bool + Sync)) -> Result<Deleted> {
        self.delete_due(&|session| {
            self.run(Fault::WhereAllowsCalls, || which(session)) || self.is(Fault::WhereDeletesAll)
        })
    }

    fn delete_if(&self, session: &SessionRef, which: &(dyn Fn(&Session) -> bool + Sync)) -> Result<bool> {
        let key = self.key(session);
        let due = || -> Result<bool> {
            let found = lock(&self.records).get(&key).map(|record| decode_record(record)).transpose()?;
            Ok(found.is_some_and(|(_, found)| self.run(Fault::IfAllowsCalls, || which(&found))))
        };
        if self.is(Fault::IfDoesNotLookAgain) {
            let goes = due()?;
            pause();
            let _changing = self.change()?;
            return Ok(goes && lock(&self.records).remove(&key).is_some());
        }
        let _changing = self.change()?;
        let goes = match self.fault {
            Fault::IfDeletesAnyway => lock(&self.records).contains_key(&key),
            _ => due()?,
        };
        Ok(goes && lock(&self.records).remove(&key).is_some())
    }

    fn touch_is_due(&self, session: &Session) -> bool {
        !self.is(Fault::TouchIsNeverDue)
            && author::touched(session, UnixMillis::now(), Duration::from_secs(1)).is_some()
    }

    fn is_multiprocess_safe(&self) -> bool {
        false
    }

    fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        if self.is(Fault::CountsNothingButGone) {
            counters.gone = self.gone.load(Ordering::SeqCst);
        }
        counters
    }
}
