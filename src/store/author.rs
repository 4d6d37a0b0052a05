//! For authors of stores: what each operation of [`SessionStore`] makes of a session, without where it is kept.
//!
//! A store holds its lock, finds the stored session, and then:
//!
//! | operation | |
//! |---|---|
//! | `create` | [`first`], under a new [`SessionId::generate`] |
//! | `save` | `gone` if absent or expired; `conflict` unless [`is_based_on`]; nothing if [`has_same_content`]; else [`next`] |
//! | `update` | the same, with what [`run`] makes of a clone, and without `conflict` |
//! | `touch` | [`touched`], if it gives anything |
//! | `rotate` | as `save`; [`rotated`] under a new ID; the old one is deleted |
//!
//! [`encode_record`] and [`decode_record`] turn a stored session into bytes and back. Each method begins with
//! [`enter`]. tests/acceptance.rs has a small store made so.
//!
//! [`SessionStore`]: super::SessionStore
//! [`encode_record`]: crate::record::encode_record
//! [`decode_record`]: crate::record::decode_record

use std::time::Duration;

use crate::error::Result;
use crate::locks;
use crate::names::{SessionId, SessionRef};
use crate::record::Session;
use crate::time::UnixMillis;

/// Refuses a call into a store from a function that [`run`] runs.
///
/// # Errors
/// `reentrant`.
pub fn enter() -> Result<()> {
    locks::enter()
}

/// Runs a user's code (an update's function, what decides for `delete_where`), from which no store may be called. It
/// may panic.
pub fn run<T>(code: impl FnOnce() -> T) -> T {
    locks::run(code)
}

/// The first revision of a session, under a generated ID.
#[must_use]
pub fn first(session: &Session, id: &SessionId) -> Session {
    session.first(SessionRef::Id(id.clone()))
}

/// Whether `stored` is the revision that `session` was loaded as (WRITE-1).
#[must_use]
pub fn is_based_on(session: &Session, stored: &Session) -> bool {
    session.is_based_on(stored)
}

/// Whether a save of `session` over `stored` would change nothing (WRITE-9).
#[must_use]
pub fn has_same_content(session: &Session, stored: &Session) -> bool {
    session.has_same_content(stored)
}

/// The revision after `stored`, with the content of `changed` (WRITE-2, TIME-2).
#[must_use]
pub fn next(changed: &Session, stored: &Session, now: UnixMillis) -> Session {
    changed.next(stored, now)
}

/// `stored` after an access; `None` where `accessed` would move by less than `resolution`, or than a tenth of `idle`
/// (WRITE-16, WRITE-17).
#[must_use]
pub fn touched(stored: &Session, now: UnixMillis, resolution: Duration) -> Option<Session> {
    stored.touched(now, resolution)
}

/// The session under its new ID, with the content of `changed` (ROT-3).
#[must_use]
pub fn rotated(changed: &Session, stored: &Session, id: &SessionId, now: UnixMillis) -> Session {
    changed.rotated(stored, SessionRef::Id(id.clone()), now)
}
