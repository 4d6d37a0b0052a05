//! What stands behind a request's session: its locks, its commit, its form tokens.

use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::changes::Changes;
use super::commit::{Commit, Outcome};
use super::cookie::Sent;
use super::error::Error;
use super::request::RequestSession;
use super::state::{Base, CookieChange, Pending, Phase, Shared, State};
use crate::locks;
use crate::record::Session;

pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    pub(super) addr: Option<String>,
    /// Held for short, and while the session is loaded; never while an application's code runs.
    pub(super) state: Mutex<State>,
    /// Held while one commits.
    pub(super) turn: Mutex<()>,
    /// The session that this one was reopened from: its response's headers are gone.
    pub(super) late: Option<RequestSession>,
}

impl RequestSession {
    pub(super) fn new(shared: Arc<Shared>, sent: Sent, addr: Option<String>) -> Self {
        RequestSession::with(shared, State::new(sent), addr, None)
    }

    pub(super) fn with(
        shared: Arc<Shared>,
        state: State,
        addr: Option<String>,
        late: Option<RequestSession>,
    ) -> Self {
        RequestSession(Arc::new(Inner { shared, addr, state: Mutex::new(state), turn: Mutex::new(()), late }))
    }

    /// Loads the session, if that has not been done. Blocks.
    #[cfg(feature = "tower")]
    pub(super) fn load_now(&self) -> Result<(), Error> {
        self.looked_at().map(drop)
    }

    /// Whether [`RequestSession::load_now`] needs the store.
    #[cfg(feature = "tower")]
    pub(super) fn is_to_be_loaded(&self) -> bool {
        self.state().is_to_be_loaded()
    }

    /// Whether [`RequestSession::commit`] needs the store.
    #[cfg(feature = "tower")]
    pub(super) fn is_to_be_committed(&self) -> bool {
        self.state().is_to_be_committed(&*self.0.shared.store)
    }

    /// Does what is pending. After a `last` one that succeeds nothing can be changed any more.
    pub(super) fn commit(&self, last: bool) -> Result<Outcome, Error> {
        // Else a function that `modify` was given could wait for itself.
        locks::enter()?;
        let _turn = self.0.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        if state.phase == Phase::Committed {
            return if last { Ok(Outcome::Unused) } else { Err(Error::Committed) };
        }
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let after = if last { Phase::Committed } else { Phase::Open };
        if !state.is_to_be_committed(&*self.0.shared.store) {
            state.phase = after;
            return Ok(match state.base {
                Base::Unknown | Base::Fresh | Base::Moved => Outcome::Unused,
                Base::Stored(_) => Outcome::Unchanged,
            });
        }
        state.phase = Phase::Committing;
        let mut commit = Commit {
            shared: &self.0.shared,
            addr: self.0.addr.as_deref(),
            base: state.base.clone(),
            now: state.now.clone(),
            pending: mem::take(&mut state.pending),
            shown: state.shown.clone(),
            cookie: state.cookie.clone(),
            late: self.0.late.is_some(),
            last,
        };
        drop(state);
        // A function of the application's may panic. The session is then as it was before.
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| commit.run()));
        let mut state = self.state();
        state.phase = if matches!(outcome, Ok(Ok(_))) { after } else { Phase::Open };
        (state.base, state.now, state.pending) = (commit.base, commit.now, commit.pending);
        state.cookie = commit.cookie;
        let outcome = outcome.unwrap_or_else(|panic| panic::resume_unwind(panic))?;
        if matches!(outcome, Outcome::Vanished | Outcome::UserChanged) {
            state.pending = Pending::default();
        }
        if outcome == Outcome::Vanished {
            // Nothing is said of it: a request that began after its end may have a new one.
            state.cookie = CookieChange::Keep;
        } else if outcome == Outcome::UserChanged {
            let session = state.now.reference().map(|session| session.shown().to_string());
            let session = session.unwrap_or_default();
            log::warn!("session {session}: a request's changes were dropped: its user has changed meanwhile");
        } else {
            // A login that waits for the last commit is seen by this request.
            state.show_login()?;
        }
        Ok(outcome)
    }

    /// Whether the response depends on the session, and what it is to do to the cookie.
    pub(super) fn cookie_change(&self) -> (bool, CookieChange) {
        let state = self.state();
        (state.looked, state.cookie.clone())
    }

    /// Whether the request brought a cookie of our name; one that may be a session's, if it is to be `valid`.
    pub(super) fn has_cookie(&self, valid: bool) -> bool {
        let mut state = self.state();
        state.looked = true;
        match state.sent {
            Sent::Nothing => false,
            Sent::Invalid => !valid,
            Sent::Id(_) => true,
        }
    }

    /// Takes the cookie from the browser; the stored session stays.
    pub(super) fn forget(&self) -> Result<(), Error> {
        let mut state = self.open_state()?;
        state.forget();
        state.sent = Sent::Nothing;
        Ok(())
    }

    /// Removes a form token from the stored session at once.
    pub(super) fn take_token(&self, token: &str) -> Result<bool, Error> {
        locks::enter()?;
        let _turn = self.0.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.open_state()?;
        state.look(&self.0.shared)?;
        state.shown.tokens.retain(|shown| shown != token);
        if state.pending.changes.take_token(token) {
            return Ok(state.now.remove_token(token));
        }
        let Base::Stored(base) = state.base.clone() else { return Ok(false) };
        let Some(reference) = base.reference() else { return Ok(false) };
        // Nobody commits in this turn, and nobody who only looks is to wait for the store.
        drop(state);
        let mut taken = false;
        let stored = self.0.shared.store.update(reference, &mut |session| {
            let is_ours =
                session.created() == base.created() && session.user_encoded() == base.user_encoded();
            taken = is_ours && session.remove_token(token);
            Ok(())
        });
        let stored = match stored {
            Err(crate::Error::Gone { .. }) => return Ok(false),
            stored => stored?,
        };
        let mut state = self.state();
        if taken && stored.rev() == base.rev() + 1 {
            // So that a strict commit takes this for its own work.
            state.base = Base::Stored(Box::new(stored));
        }
        state.now.remove_token(token);
        Ok(taken)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(earlier), Base::Unknown, Sent::Nothing) = (&self.0.late, &state.base, &state.sent) {
            state.sent = earlier.last_id();
        }
        state
    }

    /// The ID that the browser has, as far as is known now.
    fn last_id(&self) -> Sent {
        let state = self.state();
        match (&state.base, &state.sent) {
            (Base::Unknown, Sent::Id(id)) => Sent::Id(id.clone()),
            _ => state.now.id().cloned().map_or(Sent::Nothing, Sent::Id),
        }
    }

    /// The state, to be changed. Waits for a commit of another handle to the same session.
    pub(super) fn open_state(&self) -> Result<MutexGuard<'_, State>, Error> {
        loop {
            let state = self.state();
            match state.phase {
                Phase::Open => return Ok(state),
                Phase::Committed => return Err(Error::Committed),
                Phase::Committing => {
                    drop(state);
                    // Not from within that commit.
                    locks::enter()?;
                    drop(self.0.turn.lock().unwrap_or_else(PoisonError::into_inner));
                }
            }
        }
    }

    fn looked_at(&self) -> Result<MutexGuard<'_, State>, Error> {
        let mut state = self.state();
        state.look(&self.0.shared)?;
        Ok(state)
    }

    pub(super) fn look<T>(&self, read: impl FnOnce(&Session) -> T) -> Result<T, Error> {
        Ok(read(&self.looked_at()?.now))
    }

    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Session, &mut Changes) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut state = self.open_state()?;
        state.look(&self.0.shared)?;
        let State { now, pending, .. } = &mut *state;
        change(now, &mut pending.changes)
    }
}
