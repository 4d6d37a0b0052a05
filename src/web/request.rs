//! The session as one request sees it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::changes::{Step, User};
use super::cookie::Sent;
use super::error::Error;
use super::inner::Inner;
use super::state::{ShownCsrf, State};
use super::tokens;
use crate::names::SessionId;
use crate::record::Session;
use crate::time::UnixMillis;

/// One request's session. Clones are handles to the same one.
///
/// It is loaded at the first look, and a request that does not look costs nothing. What the request changes is kept
/// beside what was loaded, and [committed](super::SessionManager::finish_successful_request) when it has succeeded:
/// only what it has set or removed is done, on what is stored then, so that requests which change different attributes
/// do not undo each other's work. Dropped without that, it has changed nothing.
///
/// Methods that change it fail with [`Error::Committed`] after the commit. All methods fail with [`Error::Store`] if the
/// session has to be loaded and the store does not answer; what is missing, expired, corrupt or no session ID at all
/// is a new session instead.
///
/// `Debug` and `Display` show neither the ID nor data.
#[derive(Clone)]
pub struct RequestSession(pub(super) Arc<Inner>);

impl RequestSession {
    /// The ID: `None` until the session is stored. The end of the request may give it another one: after a login, for
    /// one, or to a short ID of an importer.
    ///
    /// # Errors
    /// [`Error::Store`]
    pub fn id(&self) -> Result<Option<SessionId>, Error> {
        self.look(|session| session.id().cloned())
    }

    /// Whether somebody is logged in.
    ///
    /// # Errors
    /// [`Error::Store`]
    pub fn has_user(&self) -> Result<bool, Error> {
        self.look(Session::has_user)
    }

    /// Who is logged in.
    ///
    /// # Errors
    /// [`Error::Store`]; [`Error::Value`] if the user is no `T`.
    pub fn user<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        Ok(self.look(Session::user)??)
    }

    /// Logs somebody in: any value but null. A stored session gets a new ID at the commit, if it is another user than
    /// before ([`Config::rotate_at_login`](super::Config::rotate_at_login)); tokens of before the login end then, so
    /// a page that shows them asks for them after this. What the same user is set to again is no change.
    ///
    /// # Errors
    /// [`Error::Value`] for what the format cannot hold; [`Error::Committed`], also in a reopened session, which cannot
    /// get another ID; [`Error::Store`].
    pub fn set_user<T: Serialize + ?Sized>(&self, user: &T) -> Result<(), Error> {
        let mut state = self.open_state()?;
        state.look(&self.0.shared)?;
        let rotates = self.0.shared.config.rotate_at_login;
        if rotates && self.0.late.is_some() {
            return Err(Error::Committed);
        }
        state.set_user(user, rotates)
    }

    /// Nobody is logged in any more; the session stays. [`RequestSession::expire`] is the better logout.
    ///
    /// # Errors
    /// [`Error::Committed`], [`Error::Store`]
    pub fn clear_user(&self) -> Result<(), Error> {
        self.change(|session, changes| {
            session.clear_user();
            changes.set_user(User::Clear);
            Ok(())
        })
    }

    /// The attribute `key` as a `T`.
    ///
    /// # Errors
    /// [`Error::Store`]; [`Error::Value`] if it is no `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        Ok(self.look(|session| session.get(key))??)
    }

    /// Whether there is an attribute `key`.
    ///
    /// # Errors
    /// [`Error::Store`]
    pub fn contains(&self, key: &str) -> Result<bool, Error> {
        self.look(|session| session.contains(key))
    }

    /// The keys of all attributes.
    ///
    /// # Errors
    /// [`Error::Store`]
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        self.look(|session| session.attributes().map(|(key, _)| key.to_owned()).collect())
    }

    /// Sets the attribute `key`. If another request sets the same one, the later commit counts. A nested value is one
    /// attribute.
    ///
    /// # Errors
    /// [`Error::Value`] for what the format cannot hold; [`Error::Committed`], [`Error::Store`].
    pub fn insert<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<(), Error> {
        self.change(|session, changes| {
            session.insert(key, value)?;
            changes.attribute(key, Step::Set(session.encoded(key).unwrap_or_default().into()));
            Ok(())
        })
    }

    /// Removes the attribute `key`, and says whether it was there.
    ///
    /// # Errors
    /// [`Error::Committed`], [`Error::Store`]
    pub fn remove(&self, key: &str) -> Result<bool, Error> {
        self.change(|session, changes| {
            changes.attribute(key, Step::Remove);
            Ok(session.remove(key))
        })
    }

    /// Removes every attribute, also those which others set until the commit.
    ///
    /// # Errors
    /// [`Error::Committed`], [`Error::Store`]
    pub fn clear(&self) -> Result<(), Error> {
        self.change(|session, changes| {
            session.clear();
            changes.clear();
            Ok(())
        })
    }

    /// Changes the attribute `key` by a function of its value, `None` standing for its absence: a counter, a list
    /// that grows. Called now, and at the commit once more (or, rarely, more than once) with the value that is stored
    /// then, so that none of two requests' changes is lost. It is to do nothing but compute, and may not call a store
    /// or a session.
    ///
    /// ```
    /// # use sessiondir::web::{Config, SessionManager};
    /// # let manager = SessionManager::new(sessiondir::MemoryStore::new(), Config::new())?;
    /// # let session = manager.start_request(&http::Request::new(()));
    /// session.modify("visits", |visits| Some(visits.unwrap_or(0) + 1))?;
    /// assert_eq!(session.get("visits")?, Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Value`] if the attribute is no `T`, or the function gives what the format cannot hold;
    /// [`Error::Committed`], [`Error::Store`].
    pub fn modify<T, F>(&self, key: &str, mut function: F) -> Result<(), Error>
    where
        T: Serialize + DeserializeOwned,
        F: FnMut(Option<T>) -> Option<T> + Send + 'static,
    {
        // Without the state's lock: the function is the application's.
        let value = function(self.get(key)?);
        let step = {
            let key = key.to_owned();
            move |session: &mut Session| {
                let value = function(session.get(&key)?);
                put(session, &key, value.as_ref())
            }
        };
        self.change(|session, changes| {
            put(session, key, value.as_ref())?;
            changes.attribute(key, Step::Modify(Box::new(step)));
            Ok(())
        })
    }

    /// Whether the session holds anything: a user, a form token, a CSRF token or an attribute. One that does not is
    /// not stored.
    ///
    /// # Errors
    /// [`Error::Store`]
    pub fn has_info(&self) -> Result<bool, Error> {
        self.look(Session::has_info)
    }

    /// When the session was created.
    ///
    /// # Errors
    /// [`Error::Store`]
    pub fn created(&self) -> Result<UnixMillis, Error> {
        self.look(Session::created)
    }

    /// When it was last accessed, before this request.
    ///
    /// # Errors
    /// [`Error::Store`]
    pub fn accessed(&self) -> Result<UnixMillis, Error> {
        self.look(Session::accessed)
    }

    /// The client's address when it was created, if that is [recorded](super::Config::addr).
    ///
    /// # Errors
    /// [`Error::Store`]
    pub fn addr(&self) -> Result<Option<String>, Error> {
        self.look(|session| session.addr().map(str::to_owned))
    }

    /// Sets when it ends, whatever its use; instead of [`Config::lifetime`](super::Config::lifetime). A later end than that
    /// would give begins anew at a login.
    ///
    /// # Errors
    /// [`Error::Committed`], [`Error::Store`]
    pub fn set_expires(&self, expires: Option<UnixMillis>) -> Result<(), Error> {
        self.change(|session, changes| {
            session.set_expires(expires);
            changes.set_expires(expires);
            Ok(())
        })
    }

    /// Sets how long it lives without an access; instead of [`Config::idle`](super::Config::idle).
    ///
    /// # Errors
    /// [`Error::Value`] for less than a millisecond or more than the format's limit; [`Error::Committed`],
    /// [`Error::Store`].
    pub fn set_idle(&self, idle: Option<Duration>) -> Result<(), Error> {
        self.change(|session, changes| {
            session.set_idle(idle)?;
            changes.set_idle(idle);
            Ok(())
        })
    }

    /// A new form token: to stand in a form, and to be [taken](super::SessionManager::take_form_token) when that comes
    /// back, so that no form is handled twice. Of more than 32 the oldest goes.
    ///
    /// # Errors
    /// [`Error::Committed`], [`Error::Store`]
    pub fn create_form_token(&self) -> Result<String, Error> {
        let token = tokens::generate()?;
        self.change(|session, changes| {
            session.push_token(&token)?;
            changes.push_token(token.clone());
            Ok(())
        })?;
        tokens::push(&mut self.state().shown.tokens, token.clone());
        Ok(token)
    }

    /// Whether `token` is one of the form tokens that are outstanding. It is no proof that it will be there a moment
    /// later.
    ///
    /// # Errors
    /// [`Error::Store`]
    pub fn has_form_token(&self, token: &str) -> Result<bool, Error> {
        self.look(|session| session.tokens().any(|t| tokens::equal(t, token)))
    }

    /// How many form tokens are outstanding.
    ///
    /// # Errors
    /// [`Error::Store`]
    pub fn form_tokens(&self) -> Result<usize, Error> {
        self.look(|session| session.tokens().len())
    }

    /// The CSRF token, which is made at the first call and then stays. Where two requests make the first one at once,
    /// that of the first to commit counts, and the other's page has to be loaded again.
    ///
    /// # Errors
    /// [`Error::Committed`] if it has to be made and it is too late; [`Error::Store`].
    pub fn csrf_token(&self) -> Result<String, Error> {
        if let Some(token) = self.look(|session| session.csrf().map(str::to_owned))? {
            let shown = &mut self.state().shown.csrf;
            if shown.as_ref().is_none_or(|shown| shown.token != token) {
                *shown = Some(ShownCsrf { token: token.clone(), is_made: false });
            }
            return Ok(token);
        }
        let token = tokens::generate()?;
        let mut state = self.open_state()?;
        state.look(&self.0.shared)?;
        // A clone of this handle may have been faster.
        if let Some(token) = state.now.csrf() {
            return Ok(token.to_owned());
        }
        state.now.set_csrf(&token)?;
        state.pending.changes.set_csrf(token.clone());
        state.shown.csrf = Some(ShownCsrf { token: token.clone(), is_made: true });
        Ok(token)
    }

    /// Whether a request of that method, in which `presented` was sent as the CSRF token, comes from a page of this
    /// session. Only a `POST` can; the comparison takes the same time for all tokens of one length.
    ///
    /// # Errors
    /// [`Error::Store`]
    pub fn is_csrf_valid(&self, method: &Method, presented: &str) -> Result<bool, Error> {
        self.look(|session| {
            method == Method::POST && session.csrf().is_some_and(|token| tokens::equal(token, presented))
        })
    }

    /// Ends the session, if the request succeeds: a logout. It is forgotten at once; what is set after that makes a new
    /// one, with a new ID.
    ///
    /// # Errors
    /// [`Error::Committed`]
    pub fn expire(&self) -> Result<(), Error> {
        self.open_state()?.expire();
        Ok(())
    }

    /// Gives the session a new ID, if the request succeeds.
    ///
    /// # Errors
    /// [`Error::Committed`], also in a reopened session; [`Error::Store`]
    pub fn rotate(&self) -> Result<(), Error> {
        let mut state = self.open_state()?;
        if self.0.late.is_some() {
            return Err(Error::Committed);
        }
        state.look(&self.0.shared)?;
        state.pending.rotate = true;
        Ok(())
    }

    /// The session once more, as it is stored at the first look, to be changed after its commit: from a stream or a
    /// WebSocket. Its changes are stored by an explicit save only, and cannot make a session that has no ID, nor give one
    /// another.
    #[must_use]
    pub fn reopen(&self) -> RequestSession {
        let late = Some(self.clone());
        RequestSession::with(Arc::clone(&self.0.shared), State::new(Sent::Nothing), self.0.addr.clone(), late)
    }
}

/// Sets an attribute, or removes it.
fn put<T: Serialize>(
    session: &mut Session,
    key: &str,
    value: Option<&T>,
) -> Result<(), crate::error::ValueError> {
    if let Some(value) = value {
        return session.insert(key, value);
    }
    session.remove(key);
    Ok(())
}

/// As Session3 shows one, but for the ID: `session #8a5bdb4c (user ada)`. Does not load it.
impl fmt::Display for RequestSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        match state.now.reference() {
            Some(reference) => write!(f, "session {}", reference.shown())?,
            None => f.write_str("session")?,
        }
        match state.now.user::<String>() {
            Ok(None) => f.write_str(" (no user)"),
            Ok(Some(user)) => write!(f, " (user {})", user.escape_debug()),
            Err(_) => f.write_str(" (a user)"),
        }
    }
}

impl fmt::Debug for RequestSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("RequestSession")
            .field("reference", &state.now.reference())
            .field("phase", &state.phase)
            .finish_non_exhaustive()
    }
}
