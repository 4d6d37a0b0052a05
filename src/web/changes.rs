//! What a request has changed, as steps that can be done again on a session that others have changed meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use super::tokens;
use crate::error::ValueError;
use crate::record::Session;
use crate::time::UnixMillis;

/// Done on what is stored when the request commits, under the lock, and maybe more than once.
type Replay = dyn FnMut(&mut Session) -> Result<(), ValueError> + Send;

/// One step of one attribute.
pub(super) enum Step {
    Set(Box<[u8]>),
    Remove,
    Modify(Box<Replay>),
}

#[derive(Debug, PartialEq)]
pub(super) enum User {
    Set(Box<[u8]>),
    Clear,
}

/// The changes, each of which stands for itself: what is not named here stays as it is stored.
#[derive(Default)]
#[allow(clippy::option_option, reason = "set to nothing, and not set, are two things")]
pub(super) struct Changes {
    user: Option<User>,
    cleared: bool,
    attributes: BTreeMap<String, Vec<Step>>,
    tokens: Vec<String>,
    csrf: Option<String>,
    expires: Option<Option<UnixMillis>>,
    idle: Option<Option<Duration>>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        let Changes { user, cleared, attributes, tokens, csrf, expires, idle } = self;
        user.is_none()
            && !cleared
            && attributes.is_empty()
            && tokens.is_empty()
            && csrf.is_none()
            && expires.is_none()
            && idle.is_none()
    }

    /// What becomes of the user, if it was this request that decided it.
    pub(super) fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    pub(super) fn set_user(&mut self, user: User) {
        self.user = Some(user);
    }

    /// Takes the user out of them, to be put in again later.
    pub(super) fn take_user(&mut self) -> Option<User> {
        self.user.take()
    }

    /// What was done to this attribute before is of no account after a `Set` or a `Remove`.
    pub(super) fn attribute(&mut self, key: &str, step: Step) {
        let steps = self.attributes.entry(key.to_owned()).or_default();
        if !matches!(step, Step::Modify(_)) {
            steps.clear();
        }
        steps.push(step);
    }

    /// Also those go that others have added meanwhile.
    pub(super) fn clear(&mut self) {
        self.cleared = true;
        self.attributes.clear();
    }

    pub(super) fn push_token(&mut self, token: String) {
        tokens::push(&mut self.tokens, token);
    }

    /// Takes back a token that was never stored, and says whether there was one.
    pub(super) fn take_token(&mut self, token: &str) -> bool {
        let found = self.tokens.iter().position(|t| t == token);
        found.map(|index| self.tokens.remove(index)).is_some()
    }

    pub(super) fn set_csrf(&mut self, csrf: String) {
        self.csrf = Some(csrf);
    }

    pub(super) fn set_expires(&mut self, expires: Option<UnixMillis>) {
        self.expires = Some(expires);
    }

    pub(super) fn set_idle(&mut self, idle: Option<Duration>) {
        self.idle = Some(idle);
    }

    pub(super) fn sets_expires(&self) -> bool {
        self.expires.is_some()
    }

    pub(super) fn sets_idle(&self) -> bool {
        self.idle.is_some()
    }

    /// The CSRF token, if the request has made it.
    pub(super) fn csrf(&self) -> Option<&str> {
        self.csrf.as_deref()
    }

    /// Does them on `session`.
    pub(super) fn apply(&mut self, session: &mut Session) -> Result<(), ValueError> {
        match &self.user {
            None => {}
            Some(User::Clear) => session.clear_user(),
            Some(User::Set(user)) => session.set_user_encoded(user)?,
        }
        if self.cleared {
            session.clear();
        }
        // First what makes room.
        for (key, steps) in &self.attributes {
            if matches!(steps.as_slice(), [Step::Remove, ..]) {
                session.remove(key);
            }
        }
        for (key, steps) in &mut self.attributes {
            for step in steps {
                match step {
                    Step::Set(value) => session.insert_encoded(key, value)?,
                    Step::Remove => _ = session.remove(key),
                    Step::Modify(replay) => replay(session)?,
                }
            }
        }
        for token in &self.tokens {
            session.push_token(token)?;
        }
        if let Some(csrf) = &self.csrf
            && session.csrf().is_none()
        {
            // The first wins: it is in a page already.
            session.set_csrf(csrf)?;
        }
        if let Some(expires) = self.expires {
            session.set_expires(expires);
        }
        if let Some(idle) = self.idle {
            session.set_idle(idle)?;
        }
        Ok(())
    }
}
