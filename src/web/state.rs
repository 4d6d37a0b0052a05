//! A request's session: what was loaded, what the request sees, what it has changed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::changes::{Changes, User};
use super::config::Config;
use super::cookie::Sent;
use super::error::Error;
use crate::error::{Error as StoreError, Result as StoreResult};
use crate::names::{Key, SessionId, SessionRef};
use crate::record::Session;
use crate::store::SessionStore;

/// What the requests of one manager share.
pub(super) struct Shared {
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) config: Config,
    pub(super) moved: Moved,
}

/// The sessions that have got another ID just now. Requests that their browsers have sent before they learned of it
/// have no session; but if such a request got a new one, its cookie would take the place of the right one. Known in this
/// process only.
#[derive(Default)]
pub(super) struct Moved(Mutex<VecDeque<(Instant, Key)>>);

/// How long, and how many at most, are remembered.
const MOVED_FOR: Duration = Duration::from_secs(60);
const MOVED_MOST: usize = 4096;

impl Moved {
    pub(super) fn note(&self, key: Key) {
        let mut moved = self.recent();
        if moved.len() == MOVED_MOST {
            moved.pop_front();
        }
        moved.push_back((Instant::now(), key));
    }

    fn has(&self, key: Key) -> bool {
        self.recent().iter().any(|(_, moved)| *moved == key)
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<(Instant, Key)>> {
        let mut moved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while moved.front().is_some_and(|(when, _)| when.elapsed() > MOVED_FOR) {
            moved.pop_front();
        }
        moved
    }
}

/// What the store had when the request first looked.
#[derive(Clone)]
pub(super) enum Base {
    /// It has not looked.
    Unknown,
    /// Nothing: the session is a new one, which has no ID.
    Fresh,
    /// Nothing any more: it has got another ID, of which the browser did not know yet. Reads as a new one, and is not
    /// stored.
    Moved,
    Stored(Box<Session>),
}

/// The tokens that the request has seen, which then are in its page.
#[derive(Clone, Default)]
pub(super) struct Shown {
    pub(super) csrf: Option<ShownCsrf>,
    /// The form tokens that it has made, and not taken.
    pub(super) tokens: Vec<String>,
}

#[derive(Clone)]
pub(super) struct ShownCsrf {
    pub(super) token: String,
    /// Made by this request, so that nobody knew it before.
    pub(super) is_made: bool,
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
    pub(super) shown: Shown,
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
            shown: Shown::default(),
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
    pub(super) fn look(&mut self, shared: &Shared) -> Result<(), Error> {
        self.looked = true;
        if !matches!(self.base, Base::Unknown) {
            return Ok(());
        }
        let found = match &self.sent {
            Sent::Id(id) => load(&*shared.store, &SessionRef::Id(id.clone())),
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
                let is_moved = matches!(&self.sent, Sent::Id(id) if shared.moved.has(id.key()));
                self.base = if is_moved { Base::Moved } else { Base::Fresh };
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

    /// Sets the user.
    pub(super) fn set_user<T: Serialize + ?Sized>(&mut self, user: &T, rotates: bool) -> Result<(), Error> {
        self.now.set_user(user)?;
        let encoded = self.now.user_encoded().unwrap_or_default();
        if let Base::Stored(base) = &self.base
            && base.user_encoded() == Some(encoded)
        {
            // No change, and so not one that would undo somebody else's logout.
            self.pending.changes.take_user();
            if let (Some(csrf), None) = (base.csrf(), self.pending.changes.csrf()) {
                self.now.set_csrf(csrf)?;
            }
            return Ok(());
        }
        self.pending.changes.set_user(User::Set(encoded.into()));
        if rotates {
            self.show_login()?;
        }
        Ok(())
    }

    /// In a session that will get a new ID for a login, the tokens of before end here already, so that the page of this
    /// request shows those that count afterwards.
    pub(super) fn show_login(&mut self) -> Result<(), Error> {
        let (Base::Stored(base), Some(User::Set(user))) = (&self.base, self.pending.changes.user()) else {
            return Ok(());
        };
        self.now.set_user_encoded(user)?;
        for token in base.tokens().filter(|token| !self.shown.tokens.iter().any(|shown| shown == token)) {
            self.now.remove_token(token);
        }
        if !self.shown.csrf.as_ref().is_some_and(|csrf| csrf.is_made) {
            self.now.clear_csrf();
        }
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
            Base::Fresh | Base::Moved => {}
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
        self.pending.changes = Changes::default();
        self.pending.rotate = false;
        self.shown = Shown::default();
        self.failure = None;
    }

    /// Whether committing needs the store.
    pub(super) fn is_to_be_committed(&self, store: &dyn SessionStore) -> bool {
        let Pending { changes, ended, rotate } = &self.pending;
        !ended.is_empty()
            || match &self.base {
                _ if self.failure.is_some() => false,
                Base::Unknown => false,
                Base::Moved => !changes.is_empty(),
                Base::Fresh => !changes.is_empty() && self.now.has_info(),
                Base::Stored(base) => {
                    !changes.is_empty() || *rotate || is_legacy(base) || store.touch_is_due(base)
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
