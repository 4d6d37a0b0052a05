//! What a request's session does to the store when the request has succeeded.

use super::changes::User;
use super::error::Error;
use super::state::{Base, CookieChange, Pending, Shared, is_legacy};
use crate::error::{Error as StoreError, Result as StoreResult};
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
    /// It was deleted by somebody else since it was loaded, and stays so. The changes are dropped.
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
    pub(super) csrf_shown: bool,
    pub(super) cookie: CookieChange,
    /// The response's headers are gone: nobody can be told of a new ID.
    pub(super) late: bool,
}

impl Commit<'_> {
    pub(super) fn run(&mut self) -> Result<Outcome, Error> {
        let mut outcome = Outcome::Unused;
        while let Some(ended) = self.pending.ended.last() {
            self.shared.store.delete(ended)?;
            self.pending.ended.pop();
            outcome = Outcome::Ended;
        }
        match self.base.clone() {
            Base::Unknown => Ok(outcome),
            Base::Fresh if self.pending.changes.is_empty() || !self.now.has_info() => Ok(outcome),
            Base::Fresh => self.create(),
            Base::Stored(base) => match base.reference() {
                Some(reference) => self.commit(&base, reference),
                None => self.create(),
            },
        }
    }

    fn create(&mut self) -> Result<Outcome, Error> {
        if self.late {
            return Err(Error::Committed);
        }
        let config = &self.shared.config;
        let mut session = self.now.clone();
        if let Some(addr) = self.addr {
            // One that the format cannot hold is left out.
            let _ = session.set_addr(addr);
        }
        if !self.pending.changes.sets_expires() {
            session.set_expires(config.end(UnixMillis::now()));
        }
        config.set_idle(&mut session);
        let id = self.shared.store.create(&mut session)?;
        self.cookie = CookieChange::Set(id);
        Ok(self.stored(session, Outcome::Created))
    }

    fn commit(&mut self, base: &Session, reference: &SessionRef) -> Result<Outcome, Error> {
        let nothing = self.pending.changes.is_empty();
        if nothing && !base.has_info() && self.delete_if_bare(reference)? {
            return Ok(Outcome::Ended);
        }
        let is_new_login = self.shared.config.rotate_at_login && self.is_login(base);
        if (self.pending.rotate || is_legacy(base) || is_new_login) && !self.late {
            self.rotate(base, reference)
        } else if nothing {
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
                // So that the cookie lives on with the session.
                if self.shared.config.max_age.is_some()
                    && self.cookie == CookieChange::Keep
                    && let Some(id) = base.id()
                {
                    self.cookie = CookieChange::Set(id.clone());
                }
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
            Ok(stored) if !stored.has_info() && self.delete_if_bare(reference)? => Ok(Outcome::Ended),
            // Somebody else has made the same changes.
            Ok(stored) if stored.rev() == before => {
                let outcome = self.touch(&stored, reference);
                Ok(self.stored(stored, outcome))
            }
            Ok(stored) => Ok(self.stored(stored, Outcome::Saved)),
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
            Ok(()) if !session.has_info() && self.delete_if_bare(reference)? => Ok(Outcome::Ended),
            Ok(()) => Ok(self.stored(session, Outcome::Saved)),
        }
    }

    /// The changes, on what is stored now, under a new ID.
    fn rotate(&mut self, base: &Session, reference: &SessionRef) -> Result<Outcome, Error> {
        let store = &self.shared.store;
        for _ in 0..ROTATIONS_MOST {
            let current =
                if self.shared.config.strict { Some(base.clone()) } else { store.load(reference)? };
            let Some(mut session) = current else { return Ok(Outcome::Vanished) };
            if let Some(outcome) = self.refuses(base, &session) {
                return Ok(outcome);
            }
            self.change(base, &mut session)?;
            if is_legacy(base) && !self.pending.changes.sets_expires() {
                // The importer gave the short ID a last day; the new one has a life of its own.
                session.set_expires(self.shared.config.end(UnixMillis::now()));
            }
            if !session.has_info() {
                return self.update(base, reference);
            }
            match store.rotate(&mut session) {
                Err(StoreError::Conflict { .. }) if !self.shared.config.strict => continue,
                Err(StoreError::Conflict { .. }) => return Err(Error::Conflict),
                Err(StoreError::Gone { .. }) => return Ok(Outcome::Vanished),
                // It has moved: without the new cookie its user would be logged out.
                Err(error @ StoreError::OutcomeUnknown { .. }) if session.id() != base.id() => {
                    log::error!("{error}");
                }
                rotated => _ = rotated?,
            }
            if let Some(id) = session.id() {
                self.cookie = CookieChange::Set(id.clone());
            }
            let session = self.keep_tokens(base, session);
            return Ok(self.stored(session, Outcome::Rotated));
        }
        Err(StoreError::Conflict { session: reference.shown() }.into())
    }

    /// ROT-3 drops all tokens. Those which this request has made are in its page, and go to the holder of the new ID
    /// only; so is the CSRF token, unless somebody has logged in, against whom an attacker could know it.
    fn keep_tokens(&mut self, base: &Session, rotated: Session) -> Session {
        let csrf = self.now.csrf().filter(|_| self.csrf_shown && !self.is_login(base));
        let csrf = self.pending.changes.csrf().or(csrf).map(str::to_owned);
        let tokens = self.pending.changes.tokens();
        let Some(reference) = rotated.reference().filter(|_| csrf.is_some() || !tokens.is_empty()) else {
            return rotated;
        };
        let kept = self.shared.store.update(reference, &mut |session| {
            for token in tokens {
                session.push_token(token)?;
            }
            csrf.as_deref().map_or(Ok(()), |csrf| session.set_csrf(csrf))?;
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
        self.pending.changes.apply(session)?;
        if self.is_login(base) && !self.pending.changes.sets_expires() {
            session.set_expires(self.shared.config.end(UnixMillis::now()));
        }
        if !self.pending.changes.sets_idle() {
            self.shared.config.set_idle(session);
        }
        Ok(())
    }

    /// A session in which there is nothing is not kept. It is looked at again under its lock: somebody may have put
    /// something in.
    fn delete_if_bare(&mut self, reference: &SessionRef) -> StoreResult<bool> {
        let deleted = self.shared.store.delete_if(reference, &|session| !session.has_info())?;
        if deleted {
            self.base = Base::Fresh;
            self.now = Session::new();
            self.pending = Pending::default();
            self.cookie = CookieChange::Remove;
        }
        Ok(deleted)
    }

    fn stored(&mut self, session: Session, outcome: Outcome) -> Outcome {
        self.now = session.clone();
        self.base = Base::Stored(Box::new(session));
        self.pending = Pending::default();
        outcome
    }
}
