//! Stores: SPEC.md section 10.
//!
//! [`SessionStore`] is the contract; [`DirectoryStore`] keeps it on disk.

mod directory;
#[cfg(feature = "session3")]
mod migrate;
mod synced;
mod write;

pub use directory::{DirectoryStore, set_durability};

use crate::error::Result;
use crate::names::{SessionId, SessionRef};
use crate::record::Session;

/// What a web application needs of a store of sessions. All methods can be called from any thread.
///
/// An expired session is absent (TIME-3). Absence is no error when reading, and [`Error::Gone`] when changing.
///
/// [`Error::Gone`]: crate::Error::Gone
pub trait SessionStore: Send + Sync {
    /// The session, or `None` where it is absent. Takes no lock.
    ///
    /// # Errors
    /// `corrupt`, `unsupported`, `io`; `busy` if a writer that holds the lock leaves no whole record to be seen.
    fn load(&self, session: &SessionRef) -> Result<Option<Session>>;

    /// Stores `session` under a newly generated ID, as its first revision, and returns the ID.
    ///
    /// # Errors
    /// `too-large`, `busy`, `no-space`, `outcome-unknown`, `io`, `unsupported` (a read-only store).
    fn create(&self, session: &mut Session) -> Result<SessionId>;

    /// Stores the changes made to a loaded session; creates one that was never stored. Writes nothing where
    /// nothing changed. On success `session` is what is stored.
    ///
    /// # Errors
    /// `gone` if it has been deleted or has expired since (it is not brought back), `conflict` if somebody
    /// has saved it since: load it again and redo the change. Otherwise as [`SessionStore::create`], and
    /// `corrupt`.
    fn save(&self, session: &mut Session) -> Result<()>;

    /// Loads, changes and saves a session under one lock, and returns what is stored then. An error of
    /// `change` is passed on, and nothing is written. `change` may not call a store (`reentrant`), and is called
    /// at most once.
    ///
    /// # Errors
    /// `gone`, or as [`SessionStore::save`], but never `conflict`.
    fn update(
        &self,
        session: &SessionRef,
        change: &mut dyn FnMut(&mut Session) -> Result<()>,
    ) -> Result<Session>;

    /// Notes an access: moves `accessed` to now, unless it would move by less than the store's resolution.
    /// Says whether it wrote.
    ///
    /// # Errors
    /// `gone`, or as [`SessionStore::save`], but never `conflict`.
    fn touch(&self, session: &SessionRef) -> Result<bool>;

    /// Deletes a session, whatever its file holds, and says whether it was there.
    ///
    /// # Errors
    /// `busy`, `outcome-unknown`, `io`; `corrupt` if something that is no file has taken its name.
    fn delete(&self, session: &SessionRef) -> Result<bool>;

    /// Moves a loaded session to a newly generated ID, together with the changes made to it, and deletes the
    /// old one: against fixation, after a login. Drops the form tokens and the CSRF token (ROT-3).
    ///
    /// # Errors
    /// As [`SessionStore::save`].
    fn rotate(&self, session: &mut Session) -> Result<SessionId>;

    /// Whether the session is there and not expired.
    ///
    /// # Errors
    /// As [`SessionStore::load`].
    fn has(&self, session: &SessionRef) -> Result<bool> {
        Ok(self.load(session)?.is_some())
    }

    /// All sessions that are not expired, in no order, one after the other. What cannot be loaded comes as an
    /// error, and does not end the iteration.
    ///
    /// # Errors
    /// `io` if the store cannot be listed.
    fn iter_sessions(&self) -> Result<Box<dyn Iterator<Item = Result<Session>> + '_>>;
}
