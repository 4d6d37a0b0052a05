//! Stores: SPEC.md section 10.
//!
//! [`SessionStore`] is the contract; [`DirectoryStore`] keeps it on disk, [`MemoryStore`] in memory, and [`author`] is
//! for those who write another one. [`acceptance`](crate::acceptance) is the contract as a suite of tests.

pub mod author;
mod delete_many;
mod directory;
mod durability;
mod forward;
mod listing;
mod memory;
mod migrate;
mod synced;
mod write;

pub use crate::counters::Counters;
pub(crate) use delete_many::Fate;
pub use directory::DirectoryStore;
pub use durability::set_durability;
pub use memory::MemoryStore;

use crate::error::Result;
use crate::names::{SessionId, SessionRef};
use crate::record::Session;

/// What a web application needs of a store of sessions. All methods can be called from any thread.
///
/// An expired session is absent (TIME-3) to all but deletions. Absence is no error when reading, and [`Error::Gone`]
/// when changing.
///
/// A `&S`, `Box<S>` or `Arc<S>` of a store is a store.
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

    /// Makes the store ready for use, and mends what time may have done to that; does nothing where there is nothing to
    /// do. To be called at the start of a program, once or as often as one likes.
    ///
    /// # Errors
    /// `io`, `no-space`, `not-a-store`, `unsupported` (a read-only store).
    fn setup(&self) -> Result<()> {
        Ok(())
    }

    /// Deletes the sessions that were not accessed for *more than* so many minutes, and the expired. What it cannot
    /// read it leaves and counts, and goes on (COLL-2, COLL-3). What is accessed while it looks is decided anew
    /// (COLL-1).
    ///
    /// # Errors
    /// `io` if the store cannot be listed, `unsupported` (a read-only store).
    fn delete_old_sessions(&self, minutes: u64) -> Result<Deleted>;

    /// Deletes the sessions for which `which` is true, as [`SessionStore::delete_old_sessions`] does. The expired that
    /// are still there are among those that it is asked about. `which` is asked about each session that goes a second
    /// time, under its lock, and that answer counts; it may not call a store (`reentrant`).
    ///
    /// # Errors
    /// As [`SessionStore::delete_old_sessions`].
    fn delete_where(&self, which: &(dyn Fn(&Session) -> bool + Sync)) -> Result<Deleted>;

    /// Deletes one session if `which` is true of what is stored then, which is asked about under the session's lock (and
    /// maybe before that too); says whether it was deleted. Absence is no error. `which` may not call a store
    /// (`reentrant`).
    ///
    /// # Errors
    /// As [`SessionStore::delete`], and `corrupt`, `unsupported`.
    fn delete_if(&self, session: &SessionRef, which: &(dyn Fn(&Session) -> bool + Sync)) -> Result<bool>;

    /// Whether a [`SessionStore::touch`] of a session that was just loaded would write. Does not look at what is stored.
    fn touch_is_due(&self, session: &Session) -> bool {
        let _ = session;
        true
    }

    /// Whether several processes can use the store at the same time.
    fn is_multiprocess_safe(&self) -> bool;

    /// Whether several threads can use one handle at the same time. The trait asks for it, so only a store that breaks
    /// it says no.
    fn is_thread_safe(&self) -> bool {
        true
    }

    /// What the store has met since it was opened; zeros where a store does not count.
    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// What a deletion of many sessions has done, in numbers of sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deleted {
    /// Deleted.
    pub deleted: u64,
    /// Left, as they are not to go.
    pub remaining: u64,
    /// Left, as they could not be read or deleted.
    pub failed: u64,
}
