//! Changing the durability of a store: MARK-6, MARK-7.

use std::path::Path;

use super::directory::DirectoryStore;
use crate::dir::Access;
use crate::error::{Error, Result};
use crate::locks::enter;
use crate::marker::{Durability, Marker};
use crate::names::{self, Entry};
use crate::open::{self, Options};
use crate::read::{self, Round};

/// Changes the durability of a store (MARK-6, MARK-7). Processes that have it open keep to the old one until they
/// open it again; `power` is in force when they have, and it was set once more after that.
///
/// # Errors
/// `busy` if a writer is at work for longer than the options' patience; `outcome-unknown` if the change may not
/// survive a power loss; as [`Options::open`].
pub fn set_durability(path: impl AsRef<Path>, options: &Options, durability: Durability) -> Result<()> {
    enter()?;
    let failed = |error| Error::io("change the marker", None, error);
    let mut store = options.open_existing(path.as_ref())?;
    store.writable()?;
    let all: Vec<u8> = (0..names::LOCK_FILES).collect();
    let _guards = store.locks.lock_many(&store.dir, &all, options.patience)?;
    // Somebody else may have changed it before we had the locks.
    store.marker = open::read_marker(&store.dir)?;
    store.writable()?;
    // Also where it is that already: those who had it open as `process` may have written since.
    if durability == Durability::Power {
        store.sync_all()?;
    }
    let marker = Marker { durability, ..store.marker };
    store.dir.write_marker(&marker.text()).map_err(failed)?;
    let operation = "sync the directory";
    store.dir.sync().map_err(|source| Error::OutcomeUnknown { operation, session: None, source })
}

impl DirectoryStore {
    /// Puts all sessions on stable storage, and removes the stillborn, which a store of durability `power` does not
    /// have. All locks are held. MARK-7.
    fn sync_all(&self) -> Result<()> {
        let failed = |error| Error::io("sync the sessions", None, error);
        for entry in self.dir.entries().map_err(failed)? {
            let (name, kind) = entry.map_err(failed)?;
            let Entry::Session(name) = names::entry(&name, kind, self.marker.naming) else { continue };
            match read::round(&self.dir, &self.marker, &name, Access::Read, &[], &self.tally) {
                Ok(Round::Stillborn) => {
                    self.dir.unlink(&name).map_err(failed)?;
                }
                Ok(Round::Current(current)) => current.file.sync().map_err(failed)?,
                // What is corrupt stays so.
                Ok(Round::Absent | Round::Again(_)) | Err(Error::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.dir.sync().map_err(failed)
    }
}
