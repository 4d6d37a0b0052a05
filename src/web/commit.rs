//! What a request's session does to the store when the request has succeeded.

use super::changes::{Changes, User};
use super::config::is_bare;
use super::error::Error;
use super::state::{Base, CookieChange, Pending, Shared, Shown, is_legacy};
use crate::error::{Error as StoreError, Result as StoreResult};
use crate::locks;
use crate::names::SessionRef;
use crate::record::Session;
use crate::time::UnixMillis;

/// How often a rotation is tried again because somebody has saved the session meanwhile.
const ROTATIONS_MOST: u32 = 20;

/// What became of the session at the end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The request did not look at it, or it was a new one in which nothing was put.
    Unused,
    /// It was read.
    Unchanged,
    /// It was read, and that was noted.
    Touched,
    /// The changes were stored.
    Saved,
    /// A new one was stored.
    Created,
    /// It was stored under a new ID.
    Rotated,
    /// It was deleted.
    Ended,
    /// It was deleted by somebody else since it was loaded, and stays so, or has got another ID before. The changes are
    /// dropped.
    Vanished,
    /// Somebody else is logged in since it was loaded. The changes are dropped.
    UserChanged,
}

/// A commit, while it works on copies.
pub(super) struct Commit<'a> {
    pub(super) shared: &'a Shared,
    pub(super) addr: Option<&'a str>,
    pub(super) base: Base,
    pub(super) now: Session,
    pub(super) pending: Pending,
    pub(super) shown: Shown,
    pub(super) cookie: CookieChange,
    /// The response's headers are gone: nobody can be told of a new ID.
    pub(super) late: bool,
    /// The request has succeeded. Before that no ID is changed, as it may fail yet, and then tells its browser nothing.
    pub(super) last: bool,
}

impl Commit<'_> {
    pub(super) fn run(&mut self) -> Result<Outcome, Error> {
        let mut outcome = match self.base.clone() {
            Base::Unknown => Outcome::Unused,
            Base::Moved if self.pending.changes.is_empty() => Outcome::Unused,
            Base::Moved => Outcome::Vanished,
            Base::Fresh if self.pending.changes.is_empty() || !self.now.has_info() => Outcome::Unused,
            Base::Fresh => self.create()?,
            Base::Stored(base) => match base.reference() {
                Some(reference) => self.commit(&base, reference)?,
                None => self.create()?,
            },
        };
        // After what takes its place is stored: if that cannot be, the old session is as it was.
        while let Some(ended) = self.pending.ended.last() {
            self.shared.store.delete(ended)?;
            self.pending.ended.pop();
            if outcome == Outcome::Unused {
                outcome = Outcome::Ended;
            }
        }
        Ok(outcome)
    }

    fn create(&mut self) -> Result<Outcome, Error> {
        if self.late {
            return Err(Error::Committed);
        }
        let config = &self.shared.config;
        let mut session = Session::at(self.now.created(), self.now.accessed());
        locks::run(|| self.pending.changes.apply(&mut session))?;
        if let Some(addr) = self.addr {
            // One that the format cannot hold is left out.
            let _ = session.set_addr(addr);
        }
        if !self.pending.changes.sets_expires() {
            session.set_expires(config.end(UnixMillis::now()));
        }
        if !self.pending.changes.sets_idle() {
            session.set_idle(config.idle_of(&session))?;
        }
        let id = self.shared.store.create(&mut session)?;
        self.cookie = CookieChange::Set(id);
        Ok(self.stored(session, Outcome::Created))
    }

    fn commit(&mut self, base: &Session, reference: &SessionRef) -> Result<Outcome, Error> {
        let logs_in = self.shared.config.rotate_at_login && self.is_login(base);
        let rotates = self.pending.rotate || is_legacy(base) || logs_in;
        if rotates && self.last && !self.late {
            return self.rotate(base, reference);
        }
        // The new user waits for the new ID.
        let user = if logs_in { self.pending.changes.take_user() } else { None };
        let rotate = self.pending.rotate;
        let outcome = self.keep_id(base, reference);
        self.pending.rotate = rotate;
        if let Some(user) = user {
            self.pending.changes.set_user(user);
        }
        outcome
    }

    /// Commits under the ID that the session has.
    fn keep_id(&mut self, base: &Session, reference: &SessionRef) -> Result<Outcome, Error> {
        if self.pending.changes.is_empty() {
            Ok(self.touch(base, reference))
        } else if self.shared.config.strict {
            self.save(base, reference)
        } else {
            self.update(base, reference)
        }
    }

    /// Whether this request has logged somebody in who was not.
    fn is_login(&self, base: &Session) -> bool {
        matches!(self.pending.changes.user(), Some(User::Set(user)) if Some(&**user) != base.user_encoded())
    }

    /// A failure to note an access is no reason to refuse a page: on a full or a read-only disk, sessions can be read.
    fn touch(&mut self, base: &Session, reference: &SessionRef) -> Outcome {
        if !self.shared.store.touch_is_due(base) {
            return Outcome::Unchanged;
        }
        match self.shared.store.touch(reference) {
            Ok(true) => {
                self.renew_cookie(base);
                Outcome::Touched
            }
            Ok(false) => Outcome::Unchanged,
            Err(StoreError::Gone { .. }) => Outcome::Vanished,
            Err(error) => {
                log::warn!("an access was not noted: {error}");
                Outcome::Unchanged
            }
        }
    }

    /// The access was noted: a cookie that has an age lives on with its session.
    fn renew_cookie(&mut self, session: &Session) {
        if self.shared.config.max_age.is_some()
            && self.cookie == CookieChange::Keep
            && let Some(id) = session.id()
        {
            self.cookie = CookieChange::Set(id.clone());
        }
    }

    /// The changes, on what is stored now, under its lock.
    fn update(&mut self, base: &Session, reference: &SessionRef) -> Result<Outcome, Error> {
        let mut dropped = None;
        let mut before = 0;
        let stored = self.shared.store.update(reference, &mut |current| {
            before = current.rev();
            dropped = self.refuses(base, current);
            match dropped {
                // Any error: it keeps the store from writing.
                Some(_) => Err(StoreError::InvalidId),
                None => self.change(base, current),
            }
        });
        if let Some(outcome) = dropped {
            return Ok(outcome);
        }
        match stored {
            Err(StoreError::Gone { .. }) => Ok(Outcome::Vanished),
            Err(error) => Err(error.into()),
            Ok(stored) => Ok(self.saved(stored, before, reference)),
        }
    }

    /// The changes, on what was loaded, if that is still what is stored.
    fn save(&mut self, base: &Session, reference: &SessionRef) -> Result<Outcome, Error> {
        let mut session = base.clone();
        self.change(base, &mut session)?;
        match self.shared.store.save(&mut session) {
            Err(StoreError::Gone { .. }) => Ok(Outcome::Vanished),
            Err(StoreError::Conflict { .. }) => Err(Error::Conflict),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(self.saved(session, base.rev(), reference)),
        }
    }

    /// After the changes of a session whose revision was `before` them.
    fn saved(&mut self, stored: Session, before: u64, reference: &SessionRef) -> Outcome {
        if !stored.has_info() {
            match self.delete_if_bare(reference) {
                Ok(true) => return Outcome::Ended,
                Ok(false) => {}
                // The changes are stored, and an empty session expires soon.
                Err(error) => log::warn!("an empty session was not deleted: {error}"),
            }
        }
        // Somebody else may have made the same changes.
        let outcome = if stored.rev() == before {
            self.touch(&stored, reference)
        } else {
            self.renew_cookie(&stored);
            Outcome::Saved
        };
        self.stored(stored, outcome)
    }

    /// The changes, on what is stored now, under a new ID.
    fn rotate(&mut self, base: &Session, reference: &SessionRef) -> Result<Outcome, Error> {
        // That a short ID goes is nothing that the request has asked for.
        let is_asked_for = self.pending.rotate || !self.pending.changes.is_empty();
        match self.try_rotate(base, reference) {
            Err(error) if !is_asked_for => {
                log::warn!("a short ID was not replaced: {error}");
                Ok(Outcome::Unchanged)
            }
            rotated => rotated,
        }
    }

    fn try_rotate(&mut self, base: &Session, reference: &SessionRef) -> Result<Outcome, Error> {
        let store = &self.shared.store;
        let strict = self.shared.config.strict;
        for _ in 0..ROTATIONS_MOST {
            let current = if strict { Some(base.clone()) } else { store.load(reference)? };
            let Some(mut session) = current else { return Ok(Outcome::Vanished) };
            if let Some(outcome) = self.refuses(base, &session) {
                return Ok(outcome);
            }
            self.change(base, &mut session)?;
            if is_legacy(base) && !self.pending.changes.sets_expires() {
                // The importer gave the short ID a last day; the new one has a life of its own.
                session.set_expires(self.shared.config.end(UnixMillis::now()));
            }
            let (csrf, tokens) = self.kept_tokens(base);
            let is_left = !is_bare(&session)
                || csrf.is_some()
                || tokens.iter().any(|token| session.tokens().any(|t| t == token));
            if !is_left {
                // Nothing that a new ID would protect, unless somebody has put something in meanwhile.
                let outcome = self.keep_id(base, reference)?;
                return match self.base.clone() {
                    Base::Stored(stored) if !is_bare(&stored) => self.try_rotate(&stored, reference),
                    _ => Ok(outcome),
                };
            }
            match store.rotate(&mut session) {
                Err(StoreError::Conflict { .. }) if !strict => continue,
                Err(StoreError::Conflict { .. }) => return Err(Error::Conflict),
                Err(StoreError::Gone { .. }) => return Ok(Outcome::Vanished),
                // It has moved: without the new cookie its user would be logged out.
                Err(error @ StoreError::OutcomeUnknown { .. }) if session.id() != base.id() => {
                    log::error!("{error}");
                }
                rotated => _ = rotated?,
            }
            self.shared.moved.note(reference.key());
            if let Some(id) = session.id() {
                self.cookie = CookieChange::Set(id.clone());
            }
            let session = self.keep_tokens(session, csrf.as_deref(), &tokens);
            return Ok(self.stored(session, Outcome::Rotated));
        }
        Err(StoreError::Conflict { session: reference.shown() }.into())
    }

    /// ROT-3 drops all tokens. Those which this request has made are in its page, and go to the holder of the new ID
    /// only; so is a CSRF token that was there before, unless somebody logs in, against whom an attacker could know it.
    fn kept_tokens(&self, base: &Session) -> (Option<String>, Vec<String>) {
        let csrf = self.shown.csrf.as_ref().filter(|csrf| csrf.is_made || !self.is_login(base));
        (csrf.map(|csrf| csrf.token.clone()), self.shown.tokens.clone())
    }

    fn keep_tokens(&self, rotated: Session, csrf: Option<&str>, tokens: &[String]) -> Session {
        let Some(reference) = rotated.reference().filter(|_| csrf.is_some() || !tokens.is_empty()) else {
            return rotated;
        };
        let kept = self.shared.store.update(reference, &mut |session| {
            for token in tokens {
                session.push_token(token)?;
            }
            csrf.map_or(Ok(()), |csrf| session.set_csrf(csrf))?;
            Ok(())
        });
        kept.unwrap_or_else(|error| {
            // The session itself is safe under its new ID, of which its user is to learn.
            log::warn!("the tokens of a page were not stored: {error}");
            rotated
        })
    }

    /// Whether the changes are not to be done on `current`, as it is not what they were meant for.
    fn refuses(&self, base: &Session, current: &Session) -> Option<Outcome> {
        if current.created() != base.created() {
            return Some(Outcome::Vanished);
        }
        let is_other = current.user_encoded() != base.user_encoded();
        (is_other && self.pending.changes.user().is_none()).then_some(Outcome::UserChanged)
    }

    fn change(&mut self, base: &Session, session: &mut Session) -> StoreResult<()> {
        let config = &self.shared.config;
        let before = config.idle_of(session);
        locks::run(|| self.pending.changes.apply(session))?;
        if self.is_login(base) && !self.pending.changes.sets_expires() {
            config.begin_again(session, UnixMillis::now());
        }
        let after = config.idle_of(session);
        if before != after && session.idle() == before && !self.pending.changes.sets_idle() {
            session.set_idle(after)?;
        }
        Ok(())
    }

    /// A session that this request has emptied is not kept. It is looked at again under its lock: somebody may have put
    /// something in.
    fn delete_if_bare(&mut self, reference: &SessionRef) -> StoreResult<bool> {
        let deleted = self.shared.store.delete_if(reference, &|session| !session.has_info())?;
        if deleted {
            self.base = Base::Fresh;
            self.now = Session::new();
            self.done();
            self.cookie = CookieChange::Remove;
        }
        Ok(deleted)
    }

    fn stored(&mut self, session: Session, outcome: Outcome) -> Outcome {
        self.now = session.clone();
        self.base = Base::Stored(Box::new(session));
        self.done();
        outcome
    }

    fn done(&mut self) {
        self.pending.changes = Changes::default();
        self.pending.rotate = false;
    }
}
