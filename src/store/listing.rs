//! All sessions of a store: one after the other, or as fast as several threads read them.

use std::ops::ControlFlow;

use super::directory::DirectoryStore;
use crate::dir::Entries;
use crate::error::{Error, Result};
use crate::locks::enter;
use crate::names::{self, Entry, EntryType, SessionRef};
use crate::record::Session;
use crate::scan::{self, Weight};
use crate::time::UnixMillis;

impl DirectoryStore {
    /// What the store's files are named after, in no order. No file is read, so the expired, the corrupt and the
    /// stillborn are among them.
    ///
    /// # Errors
    /// `io` if the store cannot be listed.
    pub fn references(&self) -> Result<impl Iterator<Item = Result<SessionRef>> + '_> {
        enter()?;
        let naming = self.marker.naming;
        Ok(self.list()?.filter_map(move |entry| match entry {
            Ok((name, kind)) => match names::entry(&name, kind, naming) {
                Entry::Session(name) => Some(Ok(name.session().clone())),
                _ => None,
            },
            Err(error) => Some(Err(failed(error))),
        }))
    }

    /// All sessions that are not expired, each once, in no order, on this thread; they are read on as many threads as
    /// [`Options::threads`] says. What cannot be loaded comes as an error. `tell` can end it.
    ///
    /// # Errors
    /// `io` if the store cannot be listed.
    ///
    /// [`Options::threads`]: crate::Options::threads
    pub fn scan(&self, tell: &mut dyn FnMut(Result<Session>) -> ControlFlow<()>) -> Result<()> {
        enter()?;
        let now = self.now();
        let look = |(name, kind): scan::Listed| self.listed(&name, kind, now);
        scan::each(self.list()?, self.threads, look, &mut |read| match read {
            Some(session) => tell(session),
            None => ControlFlow::Continue(()),
        })
        .map_err(failed)
    }

    pub(crate) fn list(&self) -> Result<Entries<'_>> {
        self.dir.entries().map_err(failed)
    }

    pub(super) fn sessions(&self) -> Result<Sessions<'_>> {
        enter()?;
        Ok(Sessions { store: self, entries: self.list()?, now: self.now() })
    }

    /// The session that an entry of the directory is, unless it is expired or has gone since.
    fn listed(&self, name: &[u8], kind: EntryType, now: UnixMillis) -> Option<Result<Session>> {
        let Entry::Session(name) = names::entry(name, kind, self.marker.naming) else { return None };
        match self.read(&name).and_then(|current| current.map(|current| current.session(&name)).transpose()) {
            Ok(session) => session.filter(|session| !session.is_expired(now)).map(Ok),
            Err(error) => Some(Err(error)),
        }
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::io("list the store", None, error)
}

impl Weight for Option<Result<Session>> {
    fn weight(&self) -> usize {
        size_of::<Session>() + self.as_ref().and_then(|read| read.as_ref().ok()).map_or(0, Session::size)
    }
}

/// The sessions of a store that are not expired.
pub(super) struct Sessions<'a> {
    store: &'a DirectoryStore,
    entries: Entries<'a>,
    now: UnixMillis,
}

impl Iterator for Sessions<'_> {
    type Item = Result<Session>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = enter() {
            return Some(Err(error));
        }
        loop {
            match self.entries.next()? {
                Ok((name, kind)) => match self.store.listed(&name, kind, self.now) {
                    None => {}
                    read => return read,
                },
                Err(error) => return Some(Err(failed(error))),
            }
        }
    }
}
