//! A request's session: what was loaded, what the request sees, what it has changed.

use std::sync::Arc;

use serde::Serialize;

use super::changes::{Changes, User};
use super::config::Config;
use super::cookie::Sent;
use super::error::Error;
use crate::error::{Error as StoreError, Result as StoreResult};
use crate::names::{SessionId, SessionRef};
use crate::record::Session;
use crate::store::SessionStore;

/// What the requests of one manager share.
pub(super) struct Shared {
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) config: Config,
}

/// What the store had when the request first looked.
#[derive(Clone)]
pub(super) enum Base {
    /// It has not looked.
    Unknown,
    /// Nothing: the session is a new one, which has no ID.
    Fresh,
    Stored(Box<Session>),
}

/// What is still to be done to the store.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) changes: Changes,
    /// To be deleted: `expire`.
    pub(super) ended: Vec<SessionRef>,
    pub(super) rotate: bool,
}

/// What the response is to do to the browser's cookie.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum CookieChange {
    #[default]
    Keep,
    Set(SessionId),
    Remove,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// The store is at work, without the state's lock. The session can be read.
    Committing,
    Committed,
}

pub(super) struct State {
    pub(super) sent: Sent,
    /// Whether the response depends on the session.
    pub(super) looked: bool,
    pub(super) base: Base,
    /// The session as the request sees it: the base, changed.
    pub(super) now: Session,
    pub(super) pending: Pending,
    /// Whether the request has seen the CSRF token, which then is in its page.
    pub(super) csrf_shown: bool,
    pub(super) cookie: CookieChange,
    pub(super) phase: Phase,
    /// Why the session could not be loaded.
    pub(super) failure: Option<Error>,
}

impl State {
    pub(super) fn new(sent: Sent) -> Self {
        State {
            sent,
            looked: false,
            base: Base::Unknown,
            now: Session::new(),
            pending: Pending::default(),
            csrf_shown: false,
            cookie: CookieChange::Keep,
            phase: Phase::Open,
            failure: None,
        }
    }

    /// Whether looking at the session needs the store.
    #[cfg(feature = "tower")]
    pub(super) fn is_to_be_loaded(&self) -> bool {
        matches!((&self.base, &self.sent), (Base::Unknown, Sent::Id(_)))
    }

    /// Loads the session, if that has not been done.
    pub(super) fn look(&mut self, store: &dyn SessionStore) -> Result<(), Error> {
        self.looked = true;
        if !matches!(self.base, Base::Unknown) {
            return Ok(());
        }
        let found = match &self.sent {
            Sent::Id(id) => load(store, &SessionRef::Id(id.clone())),
            Sent::Nothing | Sent::Invalid => Ok(None),
        };
        match found {
            Ok(Some(session)) => {
                self.now = session.clone();
                self.base = Base::Stored(Box::new(session));
                self.failure = None;
                Ok(())
            }
            // No adoption: what a client has chosen is no ID of ours.
            Ok(None) => {
                self.base = Base::Fresh;
                self.failure = None;
                Ok(())
            }
            Err(error) => {
                let error = Error::from(error);
                self.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Sets the user; in a session that will get a new ID for it, the tokens of before end here already, so that the
    /// page of this request shows those that count afterwards.
    pub(super) fn set_user<T: Serialize + ?Sized>(&mut self, user: &T, rotates: bool) -> Result<(), Error> {
        self.now.set_user(user)?;
        let encoded = self.now.user_encoded().unwrap_or_default();
        if let Base::Stored(base) = &self.base
            && base.user_encoded() != Some(encoded)
            && rotates
        {
            for token in base.tokens() {
                self.now.remove_token(token);
            }
            if self.pending.changes.csrf().is_none() {
                self.now.clear_csrf();
            }
        }
        let encoded = self.now.user_encoded().unwrap_or_default();
        self.pending.changes.set_user(User::Set(encoded.into()));
        Ok(())
    }

    /// Forgets the session, which is to be deleted if the request succeeds.
    pub(super) fn expire(&mut self) {
        match &self.base {
            // Not loaded first: a logout works on a session that cannot be read.
            Base::Unknown => {
                if let Sent::Id(id) = &self.sent {
                    self.pending.ended.push(SessionRef::Id(id.clone()));
                }
            }
            Base::Fresh => {}
            Base::Stored(base) => self.pending.ended.extend(base.reference().cloned()),
        }
        self.forget();
    }

    /// Forgets the session and takes the cookie from the browser.
    pub(super) fn forget(&mut self) {
        if self.sent != Sent::Nothing || self.cookie != CookieChange::Keep {
            self.cookie = CookieChange::Remove;
        }
        self.looked = true;
        self.base = Base::Fresh;
        self.now = Session::new();
        self.pending.changes.take();
        self.pending.rotate = false;
        self.failure = None;
    }

    /// Whether committing needs the store.
    pub(super) fn is_to_be_committed(&self, store: &dyn SessionStore) -> bool {
        let Pending { changes, ended, rotate } = &self.pending;
        !ended.is_empty()
            || match &self.base {
                _ if self.failure.is_some() => false,
                Base::Unknown => false,
                Base::Fresh => !changes.is_empty() && self.now.has_info(),
                Base::Stored(base) => {
                    !changes.is_empty()
                        || *rotate
                        || is_legacy(base)
                        || !base.has_info()
                        || store.touch_is_due(base)
                }
            }
    }
}

/// What is corrupt is no session, as it is to every reader; but somebody should look at it.
fn load(store: &dyn SessionStore, reference: &SessionRef) -> StoreResult<Option<Session>> {
    match store.load(reference) {
        Err(error @ StoreError::Corrupt { .. }) => {
            log::error!("{error}");
            Ok(None)
        }
        loaded => loaded,
    }
}

/// Whether the session's ID is one of the short ones of another store.
pub(super) fn is_legacy(session: &Session) -> bool {
    session.id().is_some_and(SessionId::is_legacy)
}
