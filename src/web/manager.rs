//! The session manager: Session3's, on any store.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, Request};

use super::commit::Outcome;
use super::config::{Config, ConfigError};
use super::cookie;
use super::error::Error;
use super::request::RequestSession;
use super::state::{CookieChange, Moved, Shared};
use crate::names::SessionId;
use crate::store::SessionStore;

/// Gives each request its session, and stores what has become of it. For any framework: it knows requests' and
/// responses' headers only. All its methods may block for the time of a store's operation.
///
/// A request begins with [`start_request`](Self::start_request), and ends with
/// [`finish_successful_request`](Self::finish_successful_request) (also after an error page that was meant, such as a
/// 404) or [`finish_failed_request`](Self::finish_failed_request). A logout in a request that then fails is no logout.
///
/// Clones share the store.
///
/// ```
/// use http::{HeaderMap, Request, header};
/// use sessiondir::web::{Config, SessionManager};
///
/// let manager = SessionManager::new(sessiondir::MemoryStore::new(), Config::new())?;
///
/// let session = manager.start_request(&Request::new(()));
/// session.set_user("ada")?;
/// let mut response = HeaderMap::new();
/// manager.finish_successful_request(&session, &mut response)?;
/// let cookie = response[header::SET_COOKIE].to_str()?.split(';').next().unwrap();
///
/// let next = Request::builder().header(header::COOKIE, cookie).body(())?;
/// let session = manager.start_request(&next);
/// assert_eq!(session.user::<String>()?.as_deref(), Some("ada"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SessionManager<S> {
    store: Arc<S>,
    shared: Arc<Shared>,
}

impl<S> Clone for SessionManager<S> {
    fn clone(&self) -> Self {
        SessionManager { store: Arc::clone(&self.store), shared: Arc::clone(&self.shared) }
    }
}

impl<S> fmt::Debug for SessionManager<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionManager").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

impl<S: SessionStore + 'static> SessionManager<S> {
    /// A manager of the sessions in `store`.
    ///
    /// # Errors
    /// As [`Config::check`].
    pub fn new(store: S, config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let store = Arc::new(store);
        let shared =
            Shared { store: Arc::clone(&store) as Arc<dyn SessionStore>, config, moved: Moved::default() };
        Ok(SessionManager { store, shared: Arc::new(shared) })
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The request's session. Touches no store.
    #[must_use]
    pub fn start_request<B>(&self, request: &Request<B>) -> RequestSession {
        let config = &self.shared.config;
        let sent = cookie::sent(request.headers(), &config.name);
        let addr = config.addr.as_ref().and_then(|addr| addr(request.headers(), request.extensions()));
        RequestSession::new(Arc::clone(&self.shared), sent, addr)
    }

    /// Stores what the request has changed, or notes that the session was used, and writes the response's `Set-Cookie`,
    /// `Vary` and `Cache-Control`. After it the session cannot be changed.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Conflict`], [`Error::Value`] (from a function that `modify` was given). The headers
    /// are as they were, and the response is not to be sent: it may tell of what was not stored, and may not carry a
    /// cookie. Send [`Error::status`] instead.
    pub fn finish_successful_request(
        &self,
        session: &RequestSession,
        headers: &mut HeaderMap,
    ) -> Result<Outcome, Error> {
        let outcome = session.commit(true)?;
        let (looked, change) = session.cookie_change();
        if looked {
            cookie::vary(headers);
        }
        let cookie = match &change {
            CookieChange::Keep => None,
            CookieChange::Set(id) => self.shared.config.set_cookie(id),
            CookieChange::Remove => self.shared.config.remove_cookie(),
        };
        if let Some(cookie) = cookie {
            cookie::append(headers, cookie);
        }
        Ok(outcome)
    }

    /// Forgets what the request has changed. No session is stored or deleted, and no cookie set.
    pub fn finish_failed_request(&self, session: &RequestSession, headers: &mut HeaderMap) {
        if session.cookie_change().0 {
            cookie::vary(headers);
        }
    }

    /// Ends the session, if the request succeeds: a logout. As [`RequestSession::expire`].
    ///
    /// # Errors
    /// [`Error::Committed`]
    pub fn expire_session(&self, session: &RequestSession) -> Result<(), Error> {
        session.expire()
    }

    /// Stores what the request has changed so far, without an end to it; true if there is a stored session now. One
    /// with nothing in it is deleted, or not stored to begin with.
    ///
    /// # Errors
    /// As [`SessionManager::finish_successful_request`]
    pub fn maintain_session(&self, session: &RequestSession) -> Result<bool, Error> {
        self.save(session)?;
        Ok(session.id()?.is_some())
    }

    /// Stores what the request has changed so far, without an end to it. A session keeps its ID until the end: a request
    /// that failed after this could not tell its browser of another one. With a new ID waits the user of a login.
    ///
    /// # Errors
    /// As [`SessionManager::finish_successful_request`]; [`Error::Committed`] after it.
    pub fn save(&self, session: &RequestSession) -> Result<Outcome, Error> {
        session.commit(false)
    }

    /// Gives the session a new ID, if the request succeeds: against session fixation. As [`RequestSession::rotate`].
    ///
    /// # Errors
    /// [`Error::Committed`], [`Error::Store`]
    pub fn rotate(&self, session: &RequestSession) -> Result<(), Error> {
        session.rotate()
    }

    /// Whether there is a session of that ID that is not expired.
    ///
    /// # Errors
    /// [`Error::Store`]
    pub fn has_session(&self, id: &SessionId) -> Result<bool, Error> {
        Ok(self.store.has(&id.clone().into())?)
    }

    /// Whether the request has a session cookie; one of a session that is there, if it `must_exist`.
    ///
    /// # Errors
    /// [`Error::Store`], if it must exist.
    pub fn has_session_cookie(&self, session: &RequestSession, must_exist: bool) -> Result<bool, Error> {
        Ok(session.has_cookie(must_exist) && (!must_exist || session.id()?.is_some()))
    }

    /// Takes the cookie from the browser; the stored session stays, and this request goes on with a new one.
    ///
    /// # Errors
    /// [`Error::Committed`]
    pub fn revoke_session_cookie(&self, session: &RequestSession) -> Result<(), Error> {
        session.forget()
    }

    /// Takes a form token out of the session, at once and for good; true for exactly one of all who try it with one
    /// token.
    ///
    /// # Errors
    /// [`Error::Committed`], [`Error::Store`]
    pub fn take_form_token(&self, session: &RequestSession, token: &str) -> Result<bool, Error> {
        session.take_token(token)
    }
}
